/* ring_main.h - the part of the simulator's command line that is about clusters.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_RING_MAIN_H
#define SIM_RING_MAIN_H

#include <stdbool.h>
#include <stdint.h>

struct ring_plan {
    uint64_t first, count; /* seeds; count 0: as many as fit into the seconds */
    double seconds;
    bool has_runs, has_scenarios, has_selftest, stops_at_first;
    const char *scenario;    /* NULL: all */
    uint64_t detector_hours; /* of a node's virtual time; 0: the detector is not tried */
    uint64_t speed_seconds;  /* of virtual time; 0: not measured */
    bool is_verbose;
    unsigned last_lines;
};

/* One word of the command line and what follows it, which may be NULL; *taken: how many of the two were read. */
bool ring_read_word(const char *word, const char *value, struct ring_plan *plan, int *taken);

void ring_main(const struct ring_plan *plan, uint64_t *passed, uint64_t *failed);

#endif
