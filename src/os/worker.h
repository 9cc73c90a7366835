/* worker.h - the helper thread: runs work items one by one beside the loop and hands them back through a descriptor.
 *
 * The thread runs as a batch job (SCHED_BATCH): what is handed to it does not take the processor from the loop at once. It begins
 * with the first item and sleeps while there is none.
 * May touch: one thread, eventfd, scheduling of that thread. Must never know: what items do.
 * Invariants: items run and come back in the order in which they were submitted; signals are never delivered to the thread.
 * Tests: tests/unit/os/worker_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef OS_WORKER_H
#define OS_WORKER_H

#include "base/mem.h"
#include "base/work.h"

#include <stdbool.h>

struct worker;

/* NULL: no memory or no descriptor (errno). The thread is started when it is first needed; where it cannot be, items run
 * on the caller's thread in worker_submit(). */
struct worker *worker_new(struct mem *mem);

/* Runs what is still queued, calls done() for all, ends the thread. */
void worker_free(struct worker *worker);

/* Becomes readable when items have been run; for the loop. */
int worker_fd(const struct worker *worker);

/* Whether something was submitted whose done() is yet to come. */
bool worker_is_busy(const struct worker *worker);

/* As struct work_queue's submit, with the worker as context. From the thread that collects only. */
void worker_submit(void *worker, struct work *work);

/* Calls done() of all items that have been run. To be called when worker_fd() is readable. */
void worker_collect(struct worker *worker);

/* Waits until everything submitted has been run and collects it, done() may submit more: returns when nothing is left. */
void worker_finish(struct worker *worker);

#endif
