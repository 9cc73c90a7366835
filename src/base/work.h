/* work.h - something that takes long, done beside the loop: compressing, reading and writing files.
 *
 * The world runs items one by one in the order in which they were submitted: in the real one on a helper thread, in the
 * simulated one at a moment of its choice. Then it calls done() on the loop's thread, in the same order.
 * Invariants: between submit and done the item, and all that run() touches, belong to the helper alone; run() allocates
 * nothing from a counted handle (base/mem.h), logs nothing, and knows no node.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_WORK_H
#define BASE_WORK_H

struct work {
    void (*run)(struct work *work);
    void (*done)(struct work *work);
    struct work *next; /* the world's */
};

/* Where items are handed in. */
struct work_queue {
    void *context;
    void (*submit)(void *context, struct work *work);
};

#endif
