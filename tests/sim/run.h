/* run.h - one run of the simulated world: conditions, clients, faults; then peace, in which all must be answered.
 *
 * May touch: everything of the simulator. Must never know: seeds of other runs.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "sim/sightings.h"
#include "sim/world.h"

struct machine;
/* Does something to the node that must not be. True: it is done; false: to be called again, after the next event. */
typedef bool run_spoiler(struct machine *machine);

struct run_options {
    uint64_t seed;
    uint64_t steps; /* events after which peace comes at the latest; 0: the default */
    bool is_verbose;
    run_spoiler
        *spoil; /* called from the time when some requests are answered; NULL: the node is left in peace */
    unsigned last_lines; /* printed of a run that failed */
};

struct run_result {
    bool has_failed;
    char failure[WORLD_FAILURE_SIZE];
    uint64_t hash; /* of all that happened */
    uint64_t requests, events, unknown, virtual_ms;
};

/* What was seen is added to sightings. */
void run_world(const struct run_options *options, struct run_result *result, struct sightings *sightings);

#endif
