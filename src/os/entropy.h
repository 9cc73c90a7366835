/* entropy.h - random bytes from the kernel, good enough for secrets and seeds.
 *
 * May touch: getrandom(). Must never know: what the bytes are for; the node's own generator (base/rng.h) is seeded
 * from here and is deterministic from there on.
 * Tests: tests/unit/os/entropy_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef OS_ENTROPY_H
#define OS_ENTROPY_H

#include <stdbool.h>
#include <stddef.h>

/* Fills `size` bytes. Waits at most for the kernel's own start. False: the kernel gives none (errno says why); the
 * bytes must not be used then. */
bool entropy_fill(void *data, size_t size) __attribute__((warn_unused_result));

#endif
