/* loop.h - which of many file descriptors are ready: one epoll_wait() per turn, events handed out one by one.
 *
 * The owner of a descriptor embeds a struct loop_source in its object; the loop keeps a pointer to it from loop_add()
 * to loop_remove() and allocates nothing per descriptor. The loop dispatches nothing: the caller takes events with
 * loop_next() and tells by `kind` what the source is a part of.
 *
 *     loop_wait(loop, timeout_ms);
 *     while (loop_next(loop, &event))
 *         switch (event.source->kind) ...
 *
 * May touch: epoll. Must never know: what a descriptor is, nor who listens.
 * Invariants: after loop_remove() no event of that source comes out of loop_next(), not even one that the kernel had
 * reported before in the same turn; so a source may be removed and its memory given back in the middle of a turn.
 * Readiness is level triggered: what was not read or written is reported again in the next turn.
 * Tests: tests/unit/os/loop_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef OS_LOOP_H
#define OS_LOOP_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

/* What one turn hands out at most; others wait for the next turn, so nobody starves. */
#define LOOP_EVENTS_MAX 1024

enum {
    LOOP_READ = 1,  /* reading gives bytes, a connection, the end or an error */
    LOOP_WRITE = 2, /* writing takes bytes or gives an error */
    /* The connection is over in both directions or broken. Comes unasked, in every turn, until the source is removed:
     * who does not want LOOP_READ (to take what still lies in the socket) must close, or the loop spins. */
    LOOP_HANGUP = 4,
};

/* Part of the owner's object. `kind` is the owner's; the rest is written by the loop alone. */
struct loop_source {
    int fd;
    uint32_t kind;
    uint32_t wanted;         /* LOOP_READ, LOOP_WRITE, both or 0 */
    uint32_t ready_position; /* place among the events of the last turn; checked before it is believed */
};

struct loop_event {
    struct loop_source *source;
    uint32_t ready; /* LOOP_* */
};

struct loop;

/* NULL: no memory or no descriptor left (errno says which). Released with loop_free(). */
struct loop *loop_new(struct mem *mem);

/* Closes the loop; the sources' descriptors stay open. NULL is allowed. */
void loop_free(struct loop *loop);

/* Watches fd for `wanted`. The source must stay where it is until loop_remove(). False: errno says why (ENOSPC and
 * ENOMEM are limits of the machine); the source is not watched then. */
bool loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t kind, uint32_t wanted)
    __attribute__((warn_unused_result));

/* Changes what is wanted; free of charge when that is what it was. An event of this turn that is still to be handed
 * out is cut to what is wanted now. False: errno; the wish is as before. */
bool loop_change(struct loop *loop, struct loop_source *source, uint32_t wanted);

/* Stops watching; to be called before the descriptor is closed. */
void loop_remove(struct loop *loop, struct loop_source *source);

/* Waits until something is ready, timeout_ms has passed (-1: for ever; 0: not at all) or a signal came, and begins a
 * turn. Returns the number of events. */
unsigned loop_wait(struct loop *loop, int timeout_ms);

/* The next event of the turn; false when there is none left. */
bool loop_next(struct loop *loop, struct loop_event *event);

#endif
