/* allocations.h - every command of the table with every allocation failing once: nothing is lost, nothing half-done.
 *
 * For each call of allocation_calls.c, in several surroundings, and for each i: the i-th allocation fails; then, in
 * another node, the i-th and all later ones. The node neither stops nor leaks; either nothing has changed or all is done,
 * and the answer says which; the connection stays in step or is closed. Then faults of all these kinds are made on purpose:
 * each must be found out.
 * May touch: the node and its inside, to compare. Must never know: the model.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_ALLOCATIONS_H
#define SIM_ALLOCATIONS_H

#include <stddef.h>
#include <stdint.h>

/* One representative call. Words are separated by spaces, lines by '\n'; "..." may hold spaces, \xHH and \n. */
struct allocation_call {
    const char *call;
    const char *before; /* what the session says first; NULL: nothing */
    unsigned flags;
};

#define CALL_ANSWERS_VARY \
    1u /* the answer depends on memory, or on how long things took: only its kind is compared */
#define CALL_PARTLY_DONE \
    2u /* options take effect one by one, as clients know it: the session may have changed */
#define CALL_ENDS         4u  /* the connection ends with it */
#define CALL_SILENT       8u  /* there is no answer */
#define CALL_NOT_IN_MULTI 16u /* means something else there */
#define CALL_IS_MANY      32u /* several commands: some may be done, others not */

const struct allocation_call *allocation_calls(size_t *count);

struct allocation_tally {
    uint64_t passed, failed;  /* calls in surroundings; rows of the command table that have a call */
    uint64_t nodes, failures; /* runs, allocations that failed */
};

/* Runs the calls of commands whose name begins with `word` ("": all, and then every row of the table must have one).
 * Prints what fails. */
void allocations_fail(const char *word, struct allocation_tally *tally);

#endif
