/* allocations.h - every command of the table with every allocation failing once: nothing is lost, nothing half-done.
 *
 * For each call of allocation_calls.c, and each i: the i-th allocation fails, then (in another node) the i-th and all
 * later ones. The node neither stops nor leaks; either nothing has changed or all is done, and the answer says which;
 * the connection stays in step or is closed.
 * May touch: the node and its inside, to compare. Must never know: the model.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_ALLOCATIONS_H
#define SIM_ALLOCATIONS_H

#include <stdint.h>

struct allocation_tally {
    uint64_t passed, failed; /* calls */
    uint64_t runs, failures; /* nodes, allocations that failed */
};

/* Runs the calls of commands whose name begins with `word` ("": all, and then every row of the table must have one).
 * Prints what fails. */
void allocations_fail(const char *word, struct allocation_tally *tally);

#endif
