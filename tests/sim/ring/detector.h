/* detector.h - the detector of failures on trial: false deaths, and how long it takes to see a true one.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_RING_DETECTOR_H
#define SIM_RING_DETECTOR_H

#include <stdbool.h>
#include <stdint.h>

#define DETECTOR_TRIES 200 /* of each way to go */

/* Until all others call it down. */
struct detector_times {
    uint64_t median_ns, almost_all_ns, most_ns; /* almost all: 99 of 100 */
};

struct detector_result {
    bool has_failed;       /* something else went wrong */
    uint64_t false_deaths; /* verdicts about nodes that were there */
    uint64_t pauses;
    struct detector_times silent, reset;
};

/* Five nodes for so many node-hours of virtual time in which nobody dies; then nodes that do. */
void detector_run(uint64_t seed, double node_hours, struct detector_result *result);

#endif
