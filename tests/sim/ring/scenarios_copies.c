/* scenarios_copies.c - stories of copies that were away: what they have missed reaches them, and what was deleted stays so.
 *
 * What one disk does to a checkpoint when its power goes is tried call by call in sim/crash.c; here it is a node of several.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/scenarios.h"

#define KEY 0 /* of kind KEY_PLAIN */

static uint32_t slot_of(const struct fleet *fleet, uint32_t key) {
    return fleet->history.keys[key].slot;
}

/* The stations that hold the key, the one that executes its commands first; and a station that does not hold it. */
struct places {
    uint32_t holders[3], outside;
};

static struct places find_places(const struct fleet *fleet, uint32_t key) {
    struct places places = {.outside = STATIONS_MAX};
    const struct cluster *cluster = scenario_cluster(fleet, 0);
    uint16_t holders[RING_COPIES_MAX];
    uint32_t all = 0, count = cluster_holders(cluster, slot_of(fleet, key), holders);
    for (uint32_t i = 0; i < count && i < 3; i++) {
        places.holders[i] =
            fleet_find_id(fleet, membership_member(cluster->membership, holders[i])->entry.id);
        all |= 1u << places.holders[i];
    }
    for (uint32_t i = 0; i < fleet->station_count; i++)
        if (!(all >> i & 1))
            places.outside = i;
    return places;
}

static void isolate(struct fleet *fleet, uint32_t station) {
    for (uint32_t i = 0; i < fleet->station_count; i++)
        if (i != station) {
            network_cut(&fleet->network, i, station, true, false);
            network_cut(&fleet->network, station, i, true, false);
        }
}

static void expect_value(struct fleet *fleet, uint32_t node, uint32_t key, const struct operation *writer,
                         const char *what) {
    if (world_has_failed(&fleet->world))
        return;
    scenario_demand(fleet, fleet_read(fleet, node, key), "a read has no answer");
    scenario_demand(fleet, writer == NULL ? fleet->last_read_is_nil : fleet->last_read == writer, what);
}

static void expect_done(struct fleet *fleet, const struct operation *operation, const char *what) {
    scenario_demand(fleet, operation != NULL && operation->outcome == OUTCOME_DONE, what);
}

static bool has_tombstone(const struct fleet *fleet, uint32_t station, uint32_t key) {
    const struct record *record = inspector_record(&fleet->inspector, &fleet->stations[station], key);
    return record != NULL && record_type(record) == RECORD_TOMBSTONE;
}

/* Five nodes, three copies; a tombstone is old after three seconds. */
static struct places begin_short_lived(struct fleet *fleet, uint64_t seed) {
    struct conditions conditions;
    scenario_conditions(&conditions, 5, 3, false);
    conditions.hint_window_s = 2;
    conditions.tombstone_grace_s = 3;
    scenario_begin_with(fleet, seed, &conditions);
    fleet_pass(fleet, 5 * S_NS); /* all have noted on their disks whom they have met */
    return find_places(fleet, KEY);
}

/* The tombstone that a stand-in was given is older than a value that was made when all others had forgotten it. */
void scenario_f1_doomstone(struct fleet *fleet, uint64_t seed) {
    struct places places = begin_short_lived(fleet, seed);
    uint32_t home = places.holders[0], away = places.holders[2];
    expect_done(fleet, fleet_write(fleet, home, KEY), "a write");
    station_end(&fleet->stations[away], false);
    fleet_pass(fleet, 10 * S_NS);
    expect_done(fleet, fleet_delete(fleet, home, KEY), "a deletion");
    fleet_pass(fleet, S_NS);
    scenario_demand(
        fleet, has_tombstone(fleet, 0, KEY) || has_tombstone(fleet, 1, KEY) || has_tombstone(fleet, 2, KEY),
        "there is no tombstone");
    uint32_t doomed = STATIONS_MAX;
    for (uint32_t i = 0; i < 5; i++)
        if (i != away && i != home && i != places.holders[1] && has_tombstone(fleet, i, KEY))
            doomed = i;
    scenario_demand(fleet, doomed != STATIONS_MAX, "nobody stands in for the node that is down");
    if (world_has_failed(&fleet->world))
        return;
    isolate(fleet, doomed);
    fleet_pass(fleet, 10 * S_NS);
    fleet_begin_node(fleet, away, DISK_KEPT);
    fleet_pass(fleet, 60 * S_NS);
    scenario_demand(fleet, !has_tombstone(fleet, home, KEY),
                    "all home copies have it, and the tombstone stays");
    struct operation *again = fleet_write(fleet, home, KEY);
    expect_done(fleet, again, "a write of what was deleted");
    network_mend_all(&fleet->network);
    scenario_expect_settled(fleet, "the stand-in is back");
    for (uint32_t i = 0; i < 5; i++)
        expect_value(fleet, i, KEY, again, "an old tombstone has deleted a new value");
    scenario_end_well(fleet);
}

/* A copy that is away, with the value in its checkpoint, keeps the tombstone where it is, however old that is. */
void scenario_f3_tombstone(struct fleet *fleet, uint64_t seed) {
    struct conditions conditions;
    scenario_conditions(&conditions, 3, 3, true);
    conditions.hint_window_s = 1;
    conditions.tombstone_grace_s = 2;
    conditions.save_s = conditions.save_changes = 1;
    scenario_begin_with(fleet, seed, &conditions);
    expect_done(fleet, fleet_write(fleet, 0, KEY), "a write");
    fleet_pass(fleet, 10 * S_NS); /* it is in all checkpoints */
    station_end(&fleet->stations[2], false);
    fleet_pass(fleet, 5 * S_NS);
    expect_done(fleet, fleet_delete(fleet, 0, KEY), "a deletion");
    fleet_pass(fleet, 60 * S_NS);
    scenario_demand(fleet, has_tombstone(fleet, 0, KEY) && has_tombstone(fleet, 1, KEY),
                    "a tombstone was given up that a copy lacks");
    fleet_begin_node(fleet, 2, DISK_KEPT);
    scenario_expect_settled(fleet, "the copy is back");
    for (uint32_t i = 0; i < 3; i++)
        expect_value(fleet, i, KEY, NULL, "what was deleted is back");
    /* With later checkpoints everywhere it goes. */
    for (uint32_t round = 0; round < 40 && !world_has_failed(&fleet->world); round++) {
        scenario_demand(fleet, fleet_write(fleet, round % 3, KEY + 1) != NULL, "a write has no answer");
        fleet_pass(fleet, 2 * S_NS);
    }
    scenario_demand(fleet, fleet->inspector.statistics.graves != 0, "no tombstone is ever given up");
    for (uint32_t i = 0; i < 3; i++)
        expect_value(fleet, i, KEY, NULL, "what was deleted is back");
    scenario_end_well(fleet);
}

/* A stand-in keeps a value that was deleted, and the tombstone given up, while nobody could reach it. */
void scenario_f4_late_hint(struct fleet *fleet, uint64_t seed) {
    struct places places = begin_short_lived(fleet, seed);
    uint32_t home = places.holders[0], away = places.holders[2], late = STATIONS_MAX;
    station_end(&fleet->stations[away], false);
    fleet_pass(fleet, 10 * S_NS);
    expect_done(fleet, fleet_write(fleet, home, KEY), "a write");
    fleet_pass(fleet, S_NS);
    for (uint32_t i = 0; i < 5; i++)
        if (i != away && i != home && i != places.holders[1] &&
            inspector_record(&fleet->inspector, &fleet->stations[i], KEY) != NULL)
            late = i;
    scenario_demand(fleet, late != STATIONS_MAX, "nobody stands in for the node that is down");
    if (world_has_failed(&fleet->world))
        return;
    isolate(fleet, late);
    fleet_begin_node(fleet, away, DISK_KEPT);
    fleet_pass(fleet, 20 * S_NS);
    expect_done(fleet, fleet_delete(fleet, home, KEY), "a deletion");
    fleet_pass(fleet, 60 * S_NS);
    scenario_demand(fleet, !has_tombstone(fleet, home, KEY),
                    "all home copies have it, and the tombstone stays");
    network_mend_all(&fleet->network);
    scenario_expect_settled(fleet, "the stand-in is back");
    fleet_pass(fleet, 30 * S_NS);
    for (uint32_t i = 0; i < 5; i++)
        expect_value(fleet, i, KEY, NULL, "what was deleted is back");
    scenario_end_well(fleet);
}

/* Whoever has hints is killed and begun again, and hands over what is on its disk: nobody else does, and nobody hears that the
 * other one is up. */
void scenario_f5_hints(struct fleet *fleet, uint64_t seed) {
    struct conditions conditions;
    scenario_conditions(&conditions, 4, 3, false);
    conditions.repair = REPAIR_HINTS;
    scenario_begin_with(fleet, seed, &conditions);
    isolate(fleet, 3);
    fleet_pass(fleet, 10 * S_NS);
    uint32_t from = scenario_next_sequence(fleet);
    scenario_write_all(fleet, 0);
    fleet_pass(fleet, 2 * S_NS);
    for (uint32_t i = 0; i < 3 && !world_has_failed(&fleet->world); i++) {
        scenario_demand(fleet, fleet_command(fleet, i, (const char *const[]){"SAVE", NULL}), "SAVE");
        fleet_pass(fleet, 5 * S_NS);
        station_end(&fleet->stations[i], true);
        fleet_begin_node(fleet, i, DISK_KEPT);
        fleet_pass(fleet, 10 * S_NS);
    }
    network_mend_all(&fleet->network);
    scenario_expect_settled(fleet, "by hints alone");
    scenario_expect_all(fleet, 3, from);
    scenario_end_well(fleet);
}

/* Connections break behind writes that were just answered: what was on its way is noted, and handed over. Nothing else repairs. */
void scenario_f5_links(struct fleet *fleet, uint64_t seed) {
    struct conditions conditions;
    scenario_conditions(&conditions, 3, 3, false);
    conditions.repair = REPAIR_HINTS;
    scenario_begin_with(fleet, seed, &conditions);
    fleet_pass(fleet, 5 * S_NS);
    for (uint32_t round = 0; round < 3 && !world_has_failed(&fleet->world); round++) {
        uint32_t from = scenario_next_sequence(fleet);
        for (uint32_t key = 0; key < fleet->history.key_count && !world_has_failed(&fleet->world); key++) {
            enum key_kind kind = fleet->history.keys[key].kind;
            if (kind == KEY_COUNTER || kind == KEY_PAIR)
                continue;
            scenario_demand(fleet, fleet_write(fleet, round, key) != NULL, "a write has no answer");
            if (key % 4 == 0) {
                for (uint32_t i = 0; i < 3; i++)
                    network_cut(&fleet->network, i, (i + 1) % 3, true, true);
                network_mend_all(&fleet->network);
                fleet_pass(fleet, 100 * MS_NS);
            }
        }
        scenario_expect_settled(fleet, "by hints alone");
        for (uint32_t i = 0; i < 3; i++)
            scenario_expect_all(fleet, i, from);
    }
    scenario_end_well(fleet);
}

/* A node comes back with its id and without its data: it has no vote before it has them. */
void scenario_f15_empty(struct fleet *fleet, uint64_t seed) {
    struct conditions conditions;
    scenario_strict_conditions(&conditions, 3);
    scenario_begin_with(fleet, seed, &conditions);
    uint32_t from = scenario_next_sequence(fleet);
    scenario_write_all(fleet, 0);
    for (uint32_t round = 0; round < 3 && !world_has_failed(&fleet->world); round++) {
        uint32_t empty = (uint32_t)((seed + round) % 3), other = (empty + 1) % 3;
        uint64_t incarnation = fleet->stations[empty].identity.actor.incarnation;
        station_end(&fleet->stations[empty], round == 1);
        fleet_begin_node(fleet, empty, DISK_KEPT);
        scenario_demand(fleet, fleet->stations[empty].identity.actor.incarnation > incarnation,
                        "it goes on under an incarnation that it had before");
        /* A moment without an answer is no lie. */
        for (uint32_t key = 0; key < 40 && !world_has_failed(&fleet->world); key++) {
            enum key_kind kind = fleet->history.keys[key].kind;
            bool is_read = kind == KEY_COUNTER || kind == KEY_PAIR;
            for (uint32_t tries = 0; !is_read && tries < 100; tries++) {
                scenario_demand(fleet, fleet_read(fleet, other, key), "a read has no answer");
                is_read = fleet->was_read;
                if (!is_read)
                    fleet_pass(fleet, 100 * MS_NS);
            }
            scenario_demand(fleet, is_read, "a read is refused for ten seconds");
            if (kind != KEY_COUNTER && kind != KEY_PAIR)
                scenario_demand(fleet, fleet->last_read != NULL && fleet->last_read->sequence >= from,
                                "a copy that has nothing has voted");
        }
        scenario_expect_settled(fleet, "the empty node refills");
        scenario_expect_all(fleet, empty, from);
    }
    scenario_end_well(fleet);
}

/* Two of three copies have a write; one of them cannot be reached, the other one has begun anew: the third one and an empty one are not two
 * that could say what the value is. */
void scenario_f15_vote(struct fleet *fleet, uint64_t seed) {
    struct conditions conditions;
    scenario_strict_conditions(&conditions, 3);
    conditions.quorum.timeout_ms = 100;
    scenario_begin_with(fleet, seed, &conditions);
    fleet_pass(fleet, 5 * S_NS);
    uint32_t refused = 0;
    for (uint32_t round = 0; round < 6 && !world_has_failed(&fleet->world); round++) {
        uint32_t away = round % 3, empty = (round + 1 + round / 3) % 3, reader = 3 - away - empty;
        scenario_write_all(fleet, away);
        network_cut(&fleet->network, away, reader, true, false);
        network_cut(&fleet->network, reader, away, true, false);
        fleet_pass(fleet, 300 * MS_NS);
        struct operation *last[16] = {NULL};
        for (uint32_t key = 0; key < 16 && !world_has_failed(&fleet->world); key++)
            if (fleet->history.keys[key].kind == KEY_PLAIN)
                last[key] = fleet_write(fleet, away, key);
        station_end(&fleet->stations[empty], true);
        isolate(fleet, away);
        fleet_begin_node(fleet, empty, DISK_KEPT);
        /* Nobody has called the first one dead yet. */
        uint64_t until_ns = fleet->world.now_ns + 1000 * MS_NS;
        for (uint32_t key = 0; fleet->world.now_ns < until_ns && fleet_pass(fleet, MS_NS); key++) {
            struct operation *write = last[key % 16];
            if (write == NULL || write->outcome != OUTCOME_DONE)
                continue;
            scenario_demand(fleet, fleet_read(fleet, reader, key % 16), "a read has no answer");
            refused += !fleet->was_read;
            if (fleet->was_read && fleet->world.now_ns < until_ns)
                scenario_demand(fleet, fleet->last_read == write, "a copy that has nothing has voted");
        }
        network_mend_all(&fleet->network);
        scenario_expect_settled(fleet, "all reach each other");
    }
    scenario_demand(fleet, refused != 0, "no read was refused");
    scenario_end_well(fleet);
}

/* The power goes while a checkpoint is written: what is left on the disk is whole, or nothing. */
void scenario_f16_power(struct fleet *fleet, uint64_t seed) {
    struct conditions conditions;
    scenario_conditions(&conditions, 3, 3, true);
    conditions.save_s = conditions.save_changes = 1;
    conditions.help_max_ns = 300 * MS_NS;
    scenario_begin_with(fleet, seed, &conditions);
    for (uint32_t round = 0; round < 8 && !world_has_failed(&fleet->world); round++) {
        uint32_t from = scenario_next_sequence(fleet), victim = round % 3;
        scenario_write_all(fleet, (victim + 1) % 3);
        fleet_pass(fleet, chance_between(&fleet->faults, MS_NS, 2 * S_NS));
        (void)fleet_command(fleet, victim, (const char *const[]){"BGSAVE", NULL});
        fleet_pass(fleet, chance_between(&fleet->faults, MS_NS, S_NS));
        station_end(&fleet->stations[victim], true);
        fleet_begin_node(fleet, victim, DISK_KEPT);
        scenario_expect_settled(fleet, "with what the power has left");
        scenario_expect_all(fleet, victim, from);
    }
    scenario_end_well(fleet);
}
