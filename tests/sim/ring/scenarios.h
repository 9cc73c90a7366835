/* scenarios.h - what the named scenarios have in common: a cluster without faults, what is demanded of it, and the stories in other files.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_RING_SCENARIOS_H
#define SIM_RING_SCENARIOS_H

#include "node/cluster.h"
#include "node/state.h"
#include "sim/ring/fleet.h"

/* Conditions without faults, which come from the story. */
void scenario_conditions(struct conditions *conditions, uint32_t nodes, uint32_t copies, bool is_framed);
/* The same with three copies, of which two must answer or acknowledge, and no stand-ins. */
void scenario_strict_conditions(struct conditions *conditions, uint32_t nodes);
/* The nodes begin, and find each other. */
void scenario_begin_with(struct fleet *fleet, uint64_t seed, const struct conditions *conditions);
void scenario_begin(struct fleet *fleet, uint64_t seed, uint32_t nodes, uint32_t late_nodes, uint32_t copies,
                    bool is_framed);

void scenario_demand(struct fleet *fleet, bool is_so, const char *what);
void scenario_expect_settled(struct fleet *fleet, const char *when);
/* Of the keys that are no counters and no pairs: writes all through a node; each has the value that the operator wrote last, from that
 * number of his operations on. */
void scenario_write_all(struct fleet *fleet, uint32_t node);
void scenario_expect_all(struct fleet *fleet, uint32_t node, uint32_t from);
uint32_t scenario_next_sequence(const struct fleet *fleet);
void scenario_end_well(struct fleet *fleet);

static inline const struct cluster *scenario_cluster(const struct fleet *fleet, uint32_t number) {
    return fleet->stations[number].node->cluster;
}

/* ---- scenarios_copies.c: what copies miss, and what is deleted ---- */

void scenario_f1_doomstone(struct fleet *fleet, uint64_t seed);
void scenario_f3_tombstone(struct fleet *fleet, uint64_t seed);
void scenario_f4_late_hint(struct fleet *fleet, uint64_t seed);
void scenario_f5_hints(struct fleet *fleet, uint64_t seed);
void scenario_f5_links(struct fleet *fleet, uint64_t seed);
void scenario_f15_empty(struct fleet *fleet, uint64_t seed);
void scenario_f15_vote(struct fleet *fleet, uint64_t seed);
void scenario_f16_power(struct fleet *fleet, uint64_t seed);

/* ---- scenarios_parts.c: nodes that do not reach each other, or stand still ---- */

void scenario_f10_bridge(struct fleet *fleet, uint64_t seed);
void scenario_f10_chain(struct fleet *fleet, uint64_t seed);
void scenario_f10_majority(struct fleet *fleet, uint64_t seed);
void scenario_f10_detour(struct fleet *fleet, uint64_t seed);
void scenario_f10_part(struct fleet *fleet, uint64_t seed);
void scenario_f11_pause(struct fleet *fleet, uint64_t seed);
void scenario_f12_counts(struct fleet *fleet, uint64_t seed);
void scenario_f12_strangers(struct fleet *fleet, uint64_t seed);
void scenario_f12_resets(struct fleet *fleet, uint64_t seed);
void scenario_f13_siblings(struct fleet *fleet, uint64_t seed);
void scenario_f14_errors(struct fleet *fleet, uint64_t seed);
void scenario_f17_join(struct fleet *fleet, uint64_t seed);

#endif
