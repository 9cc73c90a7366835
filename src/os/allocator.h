/* allocator.h - the settings and figures of the memory allocator of this process.
 *
 * With jemalloc, memory that was freed goes back to the system within a second or so, given back by a thread of
 * the allocator: handing a gigabyte back takes the kernel tens of milliseconds, which no client should wait for.
 * With another allocator (the sanitizers bring their own) all this does nothing, and the figures are 0.
 * May touch: mallctl(). Must never know: who allocates what; that is counted in base/mem.
 * Tests: tests/unit/os/allocator_test.c, tests/server/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef OS_ALLOCATOR_H
#define OS_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct allocator_figures {
    uint64_t allocated_bytes; /* asked for, rounded up to size classes */
    uint64_t active_bytes;    /* of pages with something allocated in them */
    uint64_t resident_bytes;  /* of pages that the system has given, freed ones too */
};

/* What cannot be said to the allocator before the process starts. To be called once, by the thread that allocates. */
void allocator_set_up(void);

/* Lets a thread of the allocator hand freed memory back, or ends that thread. A thread does not outlive fork(), so the
 * process goes into the background first. false: the allocator cannot; errno says why. */
bool allocator_set_background(bool is_on) __attribute__((warn_unused_result));

/* The figures of this moment. */
void allocator_figures(struct allocator_figures *figures);

/* Hands all freed memory back to the system, at once. */
void allocator_purge(void);

#endif
