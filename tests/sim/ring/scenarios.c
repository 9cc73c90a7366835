/* scenarios.c - failures with a name, each a short story with one fault and what must come of it.
 *
 * The numbers (F2, F6...) are those of a catalogue of failures that other systems have had.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/scenarios.h"

#include <stdio.h>
#include <stdlib.h>

#define SETTLE_NS (120 * S_NS)

void scenario_demand(struct fleet *fleet, bool is_so, const char *what) {
    if (!is_so)
        world_fail(&fleet->world, "SCENARIO: %s", what);
}

void scenario_conditions(struct conditions *conditions, uint32_t nodes, uint32_t copies, bool is_framed) {
    fleet_calm_conditions(conditions, nodes, copies);
    conditions->is_framed = is_framed;
    conditions->is_calm = false;
}

void scenario_strict_conditions(struct conditions *conditions, uint32_t nodes) {
    scenario_conditions(conditions, nodes, 3, false);
    conditions->quorum.reads = conditions->quorum.writes = 2;
    conditions->quorum.is_strict = true;
}

/* All are there, and of one opinion. */
void scenario_expect_settled(struct fleet *fleet, const char *when) {
    char why[256] = "";
    if (!world_has_failed(&fleet->world) && !fleet_settle(fleet, SETTLE_NS, why))
        world_fail(&fleet->world, "SCENARIO: %s: %s", when, why);
}

void scenario_begin_with(struct fleet *fleet, uint64_t seed, const struct conditions *conditions) {
    fleet_init(fleet, seed, conditions);
    fleet_begin_nodes(fleet);
    scenario_expect_settled(fleet, "at the beginning");
}

void scenario_begin(struct fleet *fleet, uint64_t seed, uint32_t nodes, uint32_t late_nodes, uint32_t copies,
                    bool is_framed) {
    struct conditions conditions;
    scenario_conditions(&conditions, nodes, copies, is_framed);
    conditions.late_nodes = late_nodes;
    scenario_begin_with(fleet, seed, &conditions);
}

void scenario_write_all(struct fleet *fleet, uint32_t node) {
    for (uint32_t key = 0; key < fleet->history.key_count && !world_has_failed(&fleet->world); key++)
        if (fleet->history.keys[key].kind != KEY_COUNTER && fleet->history.keys[key].kind != KEY_PAIR)
            scenario_demand(fleet, fleet_write(fleet, node, key) != NULL, "a write has no answer");
}

/* Each key has the value that was written to it last; only = those of a user's operations from `from` on. */
void scenario_expect_all(struct fleet *fleet, uint32_t node, uint32_t from) {
    for (uint32_t key = 0; key < fleet->history.key_count && !world_has_failed(&fleet->world); key++) {
        enum key_kind kind = fleet->history.keys[key].kind;
        if (kind == KEY_COUNTER || kind == KEY_PAIR)
            continue;
        scenario_demand(fleet, fleet_read(fleet, node, key), "a read has no answer");
        if (fleet->last_read == NULL || fleet->last_read->sequence < from || fleet->last_read->keys[0] != key)
            world_fail(&fleet->world, "SCENARIO: %s through node %u is %s", fleet->history.keys[key].name,
                       node, fleet->last_read_is_nil ? "not there" : "an old value");
    }
}

uint32_t scenario_next_sequence(const struct fleet *fleet) {
    return fleet->history.operation_count[FLEET_OPERATOR];
}

void scenario_end_well(struct fleet *fleet) {
    if (!world_has_failed(&fleet->world))
        fleet_make_peace(fleet);
}

/* ---- Members come and go ---- */

static void node_is_added(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 3, 1, 2, false);
    uint32_t from = scenario_next_sequence(fleet);
    scenario_write_all(fleet, 0);
    fleet_begin_node(fleet, 3, DISK_KEPT);
    scenario_expect_settled(fleet, "with a node more");
    if (!world_has_failed(&fleet->world)) {
        uint32_t slots = slot_set_count(&scenario_cluster(fleet, 3)->coordinated);
        scenario_demand(fleet, slots > SLOT_COUNT / 8 && slots < SLOT_COUNT / 2,
                        "the new node has not got its part of the slots");
    }
    scenario_expect_all(fleet, 3, from);
    scenario_expect_all(fleet, 1, from);
    scenario_end_well(fleet);
}

static void empty_node_refills(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 3, 0, 3, true);
    uint32_t from = scenario_next_sequence(fleet);
    scenario_write_all(fleet, 1);
    fleet_pass(fleet, 2 * S_NS);
    station_end(&fleet->stations[2], false);
    scenario_expect_all(fleet, 0, from);
    fleet_begin_node(fleet, 2, DISK_KEPT);
    scenario_expect_settled(fleet, "the empty node refills");
    scenario_expect_all(fleet, 2, from);
    scenario_end_well(fleet);
}

static void all_restart_one_by_one(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 3, 0, 3, false);
    uint32_t from = scenario_next_sequence(fleet);
    scenario_write_all(fleet, 0);
    for (uint32_t i = 0; i < 3 && !world_has_failed(&fleet->world); i++) {
        fleet_pass(fleet, 5 * S_NS);
        station_end(&fleet->stations[i], i == 1);
        fleet_pass(fleet, 10 * S_NS);
        fleet_begin_node(fleet, i, DISK_KEPT);
        scenario_expect_settled(fleet, "after a restart");
    }
    scenario_expect_all(fleet, 1, from);
    scenario_end_well(fleet);
}

static void one_node_is_a_cluster(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 1, 1, 3, false);
    uint32_t from = scenario_next_sequence(fleet);
    scenario_write_all(fleet, 0);
    scenario_expect_all(fleet, 0, from);
    fleet_begin_node(fleet, 1, DISK_KEPT);
    scenario_expect_settled(fleet, "two nodes");
    scenario_expect_all(fleet, 1, from);
    scenario_end_well(fleet);
}

/* ---- F2, F6, F7 ---- */

/* A node comes back with the disk, and so the incarnation, of an earlier time. */
static void f2_amnesia(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 3, 0, 3, true);
    station_keep_disk(&fleet->stations[0]);
    for (uint32_t i = 0; i < 3 && !world_has_failed(&fleet->world); i++) {
        station_end(&fleet->stations[0], false);
        fleet_begin_node(fleet, 0, DISK_KEPT);
        scenario_expect_settled(fleet, "after a restart");
    }
    if (world_has_failed(&fleet->world))
        return;
    uint64_t incarnation = fleet->stations[0].identity.actor.incarnation;
    uint32_t from = scenario_next_sequence(fleet);
    scenario_write_all(fleet, 0);
    fleet_pass(fleet, 2 * S_NS);
    station_end(&fleet->stations[0], false);
    fleet_begin_node(fleet, 0, DISK_ROLLED_BACK);
    scenario_demand(fleet, fleet->stations[0].identity.actor.incarnation <= incarnation,
                    "the disk was not rolled back");
    scenario_expect_settled(fleet, "with an old disk");
    if (world_has_failed(&fleet->world))
        return;
    scenario_demand(fleet, fleet->stations[0].identity.actor.incarnation > incarnation,
                    "the node goes on under an incarnation that it had before");
    scenario_expect_all(fleet, 0, from);
    from = scenario_next_sequence(fleet);
    scenario_write_all(fleet, 0);
    scenario_expect_all(fleet, 2, from);
    scenario_end_well(fleet);
}

static void f2_disk_lost(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 3, 0, 3, false);
    uint32_t from = scenario_next_sequence(fleet);
    scenario_write_all(fleet, 2);
    fleet_pass(fleet, 2 * S_NS);
    station_end(&fleet->stations[2], true);
    fleet_pass(fleet, 20 * S_NS);
    fleet_begin_node(fleet, 2, DISK_LOST);
    fleet_pass(fleet, 20 * S_NS);
    if (!world_has_failed(&fleet->world))
        fleet_remove(fleet, 0, fleet->lost_ids[0]);
    scenario_expect_settled(fleet, "with a new disk, and the old member taken out");
    scenario_expect_all(fleet, 2, from);
    scenario_end_well(fleet);
}

/* A member that was taken out comes back, and nobody takes it in, now or later. */
static void f6_gossip_zombie(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 4, 0, 2, false);
    uint8_t id[NODE_ID_SIZE];
    memcpy(id, fleet->stations[3].identity.actor.node_id, NODE_ID_SIZE);
    station_end(&fleet->stations[3], false);
    /* One of the others does not hear of it at once. */
    network_cut(&fleet->network, 0, 2, true, false);
    network_cut(&fleet->network, 1, 2, true, false);
    fleet->stations[3].is_removed = true;
    fleet_remove(fleet, 0, id);
    fleet_begin_node(fleet, 3, DISK_KEPT);
    fleet_pass(fleet, 10 * S_NS);
    network_mend_all(&fleet->network);
    scenario_expect_settled(fleet, "without the member that was taken out");
    fleet_pass(fleet, 60 * S_NS);
    scenario_expect_settled(fleet, "a minute later");
    scenario_end_well(fleet);
}

static void set_seeds(struct fleet *fleet, uint32_t station, uint32_t first, uint32_t last) {
    int at = 0;
    char *text = fleet->seeds[station];
    for (uint32_t i = first; i <= last; i++)
        at += snprintf(text + at, sizeof fleet->seeds[0] - (size_t)at, "%s" STATION_NAME "%u:%u",
                       at == 0 ? "" : " ", i, STATION_PORT);
}

/* Two pairs of nodes with seeds of their own become two clusters; introduced to each other they do not become one by accident. */
static void f7_two_clusters(struct fleet *fleet, uint64_t seed) {
    struct conditions conditions;
    fleet_calm_conditions(&conditions, 4, 2);
    fleet_init(fleet, seed, &conditions);
    for (uint32_t i = 0; i < 4; i++) {
        set_seeds(fleet, i, i / 2 * 2, i / 2 * 2 + 1);
        fleet_begin_node(fleet, i, DISK_KEPT);
    }
    fleet_pass(fleet, 20 * S_NS);
    fleet_command(fleet, 0, (const char *const[]){"CLUSTER", "MEET", STATION_ADDRESS "3", "6379", NULL});
    fleet_pass(fleet, 30 * S_NS);
    for (uint32_t i = 0; i < 4 && !world_has_failed(&fleet->world); i++)
        scenario_demand(fleet, membership_live_count(scenario_cluster(fleet, i)->membership) == 2,
                        "two clusters have become one without being asked");
    /* What is read and written in each is as if the other one were not there. */
    for (uint32_t i = 0; i < 4; i += 2) {
        fleet->stations[2 - i].is_removed = fleet->stations[3 - i].is_removed = true;
        fleet->stations[i].is_removed = fleet->stations[i + 1].is_removed = false;
        scenario_expect_settled(fleet, "one of two clusters");
    }
}

/* Two halves that have long taken each other for dead find each other again. */
static void f7_logical_partition(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 4, 0, 3, false);
    scenario_write_all(fleet, 0);
    for (uint32_t a = 0; a < 2; a++)
        for (uint32_t b = 2; b < 4; b++) {
            network_cut(&fleet->network, a, b, true, true);
            network_cut(&fleet->network, b, a, true, true);
        }
    fleet_pass(fleet, 120 * S_NS);
    for (uint32_t i = 0; i < 4 && !world_has_failed(&fleet->world); i++)
        scenario_demand(fleet, membership_live_count(scenario_cluster(fleet, i)->membership) == 2,
                        "a half does not see that it is one");
    scenario_write_all(fleet, 0);
    scenario_write_all(fleet, 3);
    network_mend_all(&fleet->network);
    scenario_expect_settled(fleet, "the halves find each other");
    scenario_end_well(fleet);
}

/* ---- F8, F9, F18 ---- */

/* A clock goes an hour forward and back again: what is written later by others wins all the same. */
static void f8_clock_jump(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 3, 0, 3, false);
    scenario_write_all(fleet, 0);
    fleet->stations[0].wall_shift_us = INT64_C(3600000000);
    scenario_write_all(fleet, 0);
    fleet_pass(fleet, 5 * S_NS);
    fleet->stations[0].wall_shift_us = 0;
    uint32_t from = scenario_next_sequence(fleet);
    scenario_write_all(fleet, 1);
    fleet_pass(fleet, 2 * S_NS);
    for (uint32_t i = 0; i < 3; i++)
        scenario_expect_all(fleet, i, from);
    station_end(&fleet->stations[0], false);
    fleet_pass(fleet, 20 * S_NS);
    from = scenario_next_sequence(fleet);
    scenario_write_all(fleet, 2);
    fleet_begin_node(fleet, 0, DISK_KEPT);
    scenario_expect_settled(fleet, "after the jump");
    scenario_expect_all(fleet, 0, from);
    scenario_end_well(fleet);
}

/* What node 0 says does not reach node 1; all else does. Everything is answered. */
static void f9_one_way_link(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 3, 0, 3, false);
    scenario_write_all(fleet, 0);
    network_cut(&fleet->network, 0, 1, true, false);
    for (uint32_t round = 0; round < 3 && !world_has_failed(&fleet->world); round++) {
        fleet_pass(fleet, 10 * S_NS);
        for (uint32_t i = 0; i < 3; i++)
            for (uint32_t key = 0; key < 16 && !world_has_failed(&fleet->world); key++)
                scenario_demand(fleet, fleet_read(fleet, i, key), "a read over a one-way link has no answer");
    }
    network_mend_all(&fleet->network);
    scenario_expect_settled(fleet, "the link is whole again");
    scenario_end_well(fleet);
}

/* Many writes of few keys, whose frames overtake each other, come twice, or not at all: the last one stays. */
static void f18_overtaken_by_older(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 3, 0, 3, true);
    fleet->conditions.frames = (struct frame_faults){
        .lost = 100, .repeated = 300, .overtaken = 500, .overtaken_max_ns = 500 * MS_NS};
    struct operation *last[8] = {NULL};
    for (uint32_t round = 0; round < 40 && !world_has_failed(&fleet->world); round++)
        for (uint32_t key = 0; key < 3 && !world_has_failed(&fleet->world); key++) {
            struct operation *operation = fleet_write(fleet, round % 3, key);
            scenario_demand(fleet, operation != NULL, "a write has no answer");
            if (operation != NULL && operation->outcome == OUTCOME_DONE)
                last[key] = operation;
            if (round % 10 == 9) /* anti-entropy takes part in it */
                network_break_some_wire(&fleet->network);
        }
    fleet->conditions.frames = (struct frame_faults){0};
    scenario_expect_settled(fleet, "when all has arrived");
    for (uint32_t key = 0; key < 3 && !world_has_failed(&fleet->world); key++)
        for (uint32_t i = 0; i < 3 && fleet_read(fleet, i, key); i++)
            scenario_demand(fleet,
                            last[key] == NULL || (fleet->last_read != NULL &&
                                                  fleet->last_read->sequence >= last[key]->sequence),
                            "an older write has won");
    scenario_end_well(fleet);
}

/* ---- All ---- */

static const struct {
    const char *name;
    void (*run)(struct fleet *fleet, uint64_t seed);
} scenarios[] = {
    {"one-node-is-a-cluster", one_node_is_a_cluster},
    {"node-is-added", node_is_added},
    {"empty-node-refills", empty_node_refills},
    {"all-restart-one-by-one", all_restart_one_by_one},
    {"F1-doomstone", scenario_f1_doomstone},
    {"F2-amnesia", f2_amnesia},
    {"F2-disk-lost", f2_disk_lost},
    {"F3-tombstone-waits-for-all", scenario_f3_tombstone},
    {"F4-hint-after-burial", scenario_f4_late_hint},
    {"F5-hints-outlive-restarts", scenario_f5_hints},
    {"F5-links-break", scenario_f5_links},
    {"F6-gossip-zombie", f6_gossip_zombie},
    {"F7-two-clusters", f7_two_clusters},
    {"F7-logical-partition", f7_logical_partition},
    {"F8-clock-jump", f8_clock_jump},
    {"F9-one-way-link", f9_one_way_link},
    {"F10-bridge", scenario_f10_bridge},
    {"F10-majorities-ring", scenario_f10_chain},
    {"F10-asked-behind-a-cut", scenario_f10_majority},
    {"F10-executed-by-a-detour", scenario_f10_detour},
    {"F10-part-before-its-value", scenario_f10_part},
    {"F11-pause", scenario_f11_pause},
    {"F12-counted-again", scenario_f12_counts},
    {"F12-counted-by-strangers", scenario_f12_strangers},
    {"F12-reset-on-two-sides", scenario_f12_resets},
    {"F13-many-siblings", scenario_f13_siblings},
    {"F14-honest-errors", scenario_f14_errors},
    {"F15-same-id-and-empty", scenario_f15_empty},
    {"F15-empty-copy-votes", scenario_f15_vote},
    {"F16-power-lost-while-saving", scenario_f16_power},
    {"F17-joins-one-half", scenario_f17_join},
    {"F18-overtaken-by-older", f18_overtaken_by_older},
};

const char *scenario_name(unsigned index) {
    return index < sizeof scenarios / sizeof *scenarios ? scenarios[index].name : NULL;
}

bool scenario_run(const char *name, struct fleet *fleet, uint64_t seed) {
    for (unsigned i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(scenarios[i].name, name) == 0) {
            scenarios[i].run(fleet, seed);
            return true;
        }
    return false;
}
