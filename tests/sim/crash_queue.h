/* crash_queue.h - a helper without a thread: what is handed in is run, and later reported as done, when somebody says so.
 *
 * May touch: base. Must never know: what the items do.
 * Invariant: items run, and are done, in the order in which they were handed in.
 * Tests: the checkpoints that are made with it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_CRASH_QUEUE_H
#define SIM_CRASH_QUEUE_H

#include "base/work.h"

#include <stdbool.h>
#include <stddef.h>

struct work_list {
    struct work *first, **end;
};

/* Must stay in its place. */
struct crash_queue {
    struct work_queue queue; /* what its user gets */
    struct work_list waiting, ran;
};

static inline void work_list_add(struct work_list *list, struct work *work) {
    work->next = NULL;
    *list->end = work;
    list->end = &work->next;
}

static inline struct work *work_list_take(struct work_list *list) {
    struct work *work = list->first;
    if (work != NULL && (list->first = work->next) == NULL)
        list->end = &list->first;
    return work;
}

static inline void crash_queue_submit(void *context, struct work *work) {
    struct crash_queue *queue = context;
    work_list_add(&queue->waiting, work);
}

static inline void crash_queue_init(struct crash_queue *queue) {
    *queue = (struct crash_queue){.queue = {.context = queue, .submit = crash_queue_submit}};
    queue->waiting.end = &queue->waiting.first;
    queue->ran.end = &queue->ran.first;
}

/* Each answers whether there was anything to do. */
static inline bool crash_queue_run(struct crash_queue *queue) {
    struct work *work = work_list_take(&queue->waiting);
    if (work == NULL)
        return false;
    work->run(work);
    work_list_add(&queue->ran, work);
    return true;
}

static inline bool crash_queue_finish(struct crash_queue *queue) {
    struct work *work = work_list_take(&queue->ran);
    if (work != NULL)
        work->done(work);
    return work != NULL;
}

#endif
