/* scenarios_parts.c - stories of nodes that do not reach each other, or stand still: what is answered meanwhile, and what becomes of it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/scenarios.h"

#define COUNTER 3 /* of kind KEY_COUNTER */

static void cut_both(struct fleet *fleet, uint32_t one, uint32_t other, bool resets) {
    network_cut(&fleet->network, one, other, true, resets);
    network_cut(&fleet->network, other, one, true, resets);
}

/* Two halves: the first `count` stations, and the others. */
static void cut_in_two(struct fleet *fleet, uint32_t count) {
    for (uint32_t a = 0; a < count; a++)
        for (uint32_t b = count; b < fleet->station_count; b++)
            cut_both(fleet, a, b, false);
}

static bool is_written(const struct fleet *fleet, uint32_t key) {
    return fleet->history.keys[key].kind == KEY_PLAIN || fleet->history.keys[key].kind == KEY_TAGGED;
}

/* The station that executes a key's commands, as another one sees it. */
static uint32_t executor(const struct fleet *fleet, uint32_t seen_by, uint32_t key) {
    const struct cluster *cluster = scenario_cluster(fleet, seen_by);
    uint16_t member = cluster->routes[fleet->history.keys[key].slot];
    return member == ROUTE_NOBODY
               ? STATIONS_MAX
               : fleet_find_id(fleet, membership_member(cluster->membership, member)->entry.id);
}

static void expect_counted(struct fleet *fleet, uint32_t node) {
    const struct operation *count = fleet_count(fleet, node, COUNTER);
    scenario_demand(fleet, count != NULL && count->outcome == OUTCOME_DONE, "a count was not done");
}

/* ---- F10 ---- */

/* Nobody reaches all others, everybody some: each node goes by whom it reaches, and all users are served. */
static void partly_parted(struct fleet *fleet, uint64_t seed, enum partition_shape shape) {
    scenario_begin(fleet, seed, 5, 0, 3, false);
    scenario_write_all(fleet, 0);
    weather_part(fleet, shape, false);
    fleet_pass(fleet, 15 * S_NS);
    uint32_t asked = 0, done = 0;
    for (uint32_t node = 0; node < 5 && !world_has_failed(&fleet->world); node++)
        for (uint32_t key = 0; key < 24 && !world_has_failed(&fleet->world); key++) {
            if (!is_written(fleet, key))
                continue;
            struct operation *operation = fleet_write(fleet, node, key);
            scenario_demand(fleet, operation != NULL, "a write has no answer");
            asked++;
            done += operation != NULL && operation->outcome == OUTCOME_DONE;
            if (!world_has_failed(&fleet->world))
                scenario_demand(fleet, fleet_read(fleet, node, key), "a read has no answer");
        }
    if (done * 100 < asked * 95)
        world_fail(&fleet->world, "SCENARIO: of %u writes in a cluster that is partly parted %u were done",
                   asked, done);
    network_mend_all(&fleet->network);
    scenario_expect_settled(fleet, "all reach each other");
    scenario_end_well(fleet);
}

void scenario_f10_bridge(struct fleet *fleet, uint64_t seed) {
    partly_parted(fleet, seed, PARTITION_BRIDGE);
}

void scenario_f10_chain(struct fleet *fleet, uint64_t seed) {
    partly_parted(fleet, seed, PARTITION_CHAIN);
}

/* One node of three does not hear of a write that the two others have acknowledged, and is asked at once, with R + W > RF. */
void scenario_f10_majority(struct fleet *fleet, uint64_t seed) {
    struct conditions conditions;
    uint32_t compared = 0;
    scenario_strict_conditions(&conditions, 3);
    scenario_begin_with(fleet, seed, &conditions);
    scenario_write_all(fleet, 0);
    for (uint32_t round = 0; round < 6 && !world_has_failed(&fleet->world); round++) {
        uint32_t writer = round % 3, reader = (writer + 1 + round / 3) % 3;
        fleet->stations[writer].wall_shift_us = round % 2 == 0 ? 400000 : 0;
        cut_both(fleet, writer, reader, false);
        fleet_pass(fleet, 500 * MS_NS);
        for (uint32_t key = 0; key < 24 && !world_has_failed(&fleet->world); key++) {
            if (!is_written(fleet, key))
                continue;
            struct operation *write = fleet_write(fleet, writer, key);
            scenario_demand(fleet, write != NULL, "a write has no answer");
            if (write == NULL || write->outcome != OUTCOME_DONE)
                continue;
            scenario_demand(fleet, fleet_read(fleet, reader, key), "a read has no answer");
            if (!fleet->was_read)
                continue;
            compared++;
            scenario_demand(fleet, fleet->last_read == write, "a majority has answered with an old value");
        }
        /* What is written over it by who has not seen it is later, whatever the clocks say. */
        for (uint32_t key = 0; key < 24 && !world_has_failed(&fleet->world); key++) {
            if (!is_written(fleet, key))
                continue;
            (void)fleet_write(fleet, writer, key);
            struct operation *later = fleet_write(fleet, reader, key);
            scenario_demand(fleet, later != NULL, "a write has no answer");
            if (later == NULL || later->outcome != OUTCOME_DONE)
                continue;
            scenario_demand(fleet, fleet_read(fleet, reader, key), "a read has no answer");
            scenario_demand(fleet, !fleet->was_read || fleet->last_read == later,
                            "a write has lost against one before it, whose clock was ahead");
        }
        network_mend_all(&fleet->network);
        scenario_expect_settled(fleet, "all reach each other");
    }
    scenario_demand(fleet, compared >= 24, "hardly anything was read");
    scenario_end_well(fleet);
}

/* A station that does not hold a key, and goes around the one that executes its commands; and the two other holders of three. */
struct detour {
    uint32_t stranger, first, second, third;
};

static struct detour make_detour(struct fleet *fleet, uint32_t key) {
    uint32_t holders = fleet_holders(fleet, fleet->history.keys[key].slot);
    struct detour detour = {0};
    while (holders >> detour.stranger & 1)
        detour.stranger++;
    detour.first = executor(fleet, detour.stranger, key);
    cut_both(fleet, detour.stranger, detour.first, false);
    (void)fleet_write(fleet, detour.stranger, key); /* it finds out */
    detour.second = executor(fleet, detour.stranger, key);
    detour.third = (uint32_t)__builtin_ctz(holders & ~(1u << detour.first) & ~(1u << detour.second));
    scenario_demand(fleet, detour.second != detour.first && holders >> detour.second & 1,
                    "nobody executes in the place of one that cannot be reached");
    return detour;
}

static void end_detour(struct fleet *fleet) {
    network_mend_all(&fleet->network);
    scenario_expect_settled(fleet, "all reach each other");
    fleet_pass(fleet, S_NS);
}

/* Who executes in the place of the coordinator has not heard of the last write, which is still on its way to it: what it writes is later
 * all the same, whatever its clock says. */
void scenario_f10_detour(struct fleet *fleet, uint64_t seed) {
    struct conditions conditions;
    uint32_t compared = 0;
    scenario_strict_conditions(&conditions, 4);
    scenario_begin_with(fleet, seed, &conditions);
    for (uint32_t key = 0; key < 12 && !world_has_failed(&fleet->world); key++) {
        if (!is_written(fleet, key))
            continue;
        struct detour detour = make_detour(fleet, key);
        if (world_has_failed(&fleet->world))
            return;
        fleet->stations[detour.first].wall_shift_us = 400000;
        network_cut(&fleet->network, detour.first, detour.second, true, false);
        struct operation *write = fleet_write(fleet, detour.first, key),
                         *later = fleet_write(fleet, detour.stranger, key);
        scenario_demand(fleet, write != NULL && later != NULL && fleet_read(fleet, detour.stranger, key),
                        "there is no answer");
        if (!world_has_failed(&fleet->world) && write->outcome == OUTCOME_DONE &&
            later->outcome == OUTCOME_DONE && fleet->was_read) {
            compared++;
            scenario_demand(fleet, fleet->last_read == later, "a write has lost against one before it");
        }
        fleet->stations[detour.first].wall_shift_us = 0;
        end_detour(fleet);
    }
    scenario_demand(fleet, compared >= 4, "hardly anything was compared");
    scenario_end_well(fleet);
}

static bool has_value_of(const struct fleet *fleet, uint32_t one, uint32_t other, uint32_t key) {
    struct record *first = inspector_record(&fleet->inspector, &fleet->stations[one], key),
                  *second = inspector_record(&fleet->inspector, &fleet->stations[other], key);
    return first != NULL && second != NULL && record_value_size(first) == record_value_size(second) &&
           memcmp(record_value(first), record_value(second), record_value_size(first)) == 0;
}

/* A part of a value reaches a copy to which the value that it is a part of is still on its way. */
void scenario_f10_part(struct fleet *fleet, uint64_t seed) {
    struct conditions conditions;
    uint32_t compared = 0;
    scenario_conditions(&conditions, 4, 3, true);
    conditions.mix.cells_max = 200;
    scenario_begin_with(fleet, seed, &conditions);
    for (uint32_t key = 0; key < 50 && !world_has_failed(&fleet->world); key++) {
        if (!fleet->history.keys[key].is_large)
            continue;
        struct detour detour = make_detour(fleet, key);
        fleet_pass(fleet, 100 * MS_NS);
        network_cut(&fleet->network, detour.first, detour.third, true, false);
        struct operation *write = fleet_write(fleet, detour.first, key);
        fleet_pass(fleet, 5 * MS_NS);
        if (world_has_failed(&fleet->world))
            return;
        bool is_part = !has_value_of(fleet, detour.second, detour.third, key);
        struct operation *part = fleet_append(fleet, detour.stranger, key);
        scenario_demand(fleet, write != NULL && part != NULL, "there is no answer");
        fleet_pass(fleet, 50 * MS_NS);
        if (!world_has_failed(&fleet->world) && is_part && part->outcome == OUTCOME_DONE) {
            compared++;
            scenario_demand(fleet, has_value_of(fleet, detour.second, detour.third, key),
                            "a part was written into another value, or nowhere");
        }
        end_detour(fleet);
    }
    scenario_demand(fleet, compared >= 4, "hardly anything was compared");
    scenario_end_well(fleet);
}

/* ---- F11 ---- */

/* A user of a node that stands still asks; it wakes, and answers with what others have written meanwhile. */
void scenario_f11_pause(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 3, 0, 3, false);
    scenario_write_all(fleet, 2);
    struct user *sleeper = &fleet->users[0];
    sleeper->observer = fleet->users[FLEET_OPERATOR].observer;
    for (uint32_t round = 0; round < 8 && !world_has_failed(&fleet->world); round++) {
        static const uint64_t pauses[] = {500 * MS_NS, 2 * S_NS, 20 * S_NS, 60 * S_NS};
        uint64_t pause_ns = pauses[round % 4];
        scenario_demand(fleet, user_connect(sleeper, &fleet->stations[2]), "a client is not taken");
        station_pause(&fleet->stations[2], pause_ns);
        fleet_pass(fleet, pause_ns / 4);
        struct operation *last[32] = {NULL};
        for (uint32_t key = 0; key < 32 && !world_has_failed(&fleet->world); key++)
            if (is_written(fleet, key))
                last[key] = fleet_write(fleet, 0, key);
        bool was_asleep = fleet->world.now_ns < fleet->stations[2].stands_still_until_ns;
        for (uint32_t key = 0; key < 32 && was_asleep && !world_has_failed(&fleet->world); key++) {
            if (last[key] == NULL || last[key]->outcome != OUTCOME_DONE)
                continue;
            /* The first is asked while it sleeps, the others as soon as it has answered. */
            fleet->last_read = NULL;
            user_ask_value(sleeper, key);
            for (uint64_t until_ns = fleet->world.now_ns + 90 * S_NS;
                 user_waits(sleeper) && fleet->world.now_ns < until_ns && fleet_pass(fleet, MS_NS);)
                continue;
            scenario_demand(fleet, !user_waits(sleeper), "a node that has woken does not answer");
            if (!world_has_failed(&fleet->world) && fleet->last_read != last[key])
                world_fail(&fleet->world,
                           "SCENARIO: a node that has slept for %llu ms answers with an old %s",
                           (unsigned long long)(pause_ns / MS_NS), fleet->history.keys[key].name);
        }
        user_leave(sleeper);
        scenario_expect_settled(fleet, "the sleeper is awake");
    }
    scenario_end_well(fleet);
}

/* ---- F12, F13, F14 ---- */

/* Who counts loses his connections, frames come twice, and nodes are passed over: nothing that was told is lost, nothing counts twice. */
void scenario_f12_counts(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 4, 0, 3, true);
    fleet->conditions.frames =
        (struct frame_faults){.lost = 50, .repeated = 500, .overtaken = 100, .overtaken_max_ns = 50 * MS_NS};
    for (uint32_t round = 0; round < 200 && !world_has_failed(&fleet->world); round++) {
        uint32_t node = round % 4, other = executor(fleet, node, COUNTER);
        scenario_demand(fleet, fleet_count(fleet, node, COUNTER) != NULL, "a count has no answer");
        if (round % 20 == 5)
            network_break_some_wire(&fleet->network);
        if (round % 50 == 20 && other < STATIONS_MAX)
            for (uint32_t i = 0; i < 4; i++)
                if (i != other)
                    cut_both(fleet, i, other, round % 100 == 20);
        if (round % 50 == 40) {
            network_mend_all(&fleet->network);
            fleet_pass(fleet, 5 * S_NS);
        }
    }
    fleet->conditions.frames = (struct frame_faults){0};
    network_mend_all(&fleet->network);
    scenario_expect_settled(fleet, "when all has been counted");
    scenario_end_well(fleet);
}

/* Who does not hold a counter counts while its holders cannot be reached, gives its copy away, and counts once more from nothing: what it
 * has counted before counts, too. */
void scenario_f12_strangers(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 4, 0, 2, false);
    uint32_t holders = fleet_holders(fleet, fleet->history.keys[COUNTER].slot), stranger = 0;
    while (holders >> stranger & 1)
        stranger++;
    for (uint32_t round = 0; round < 4 && !world_has_failed(&fleet->world); round++) {
        for (uint32_t one = 0; one < 4; one++)
            for (uint32_t other = 0; other < one; other++)
                if ((holders >> one & 1) != (holders >> other & 1))
                    cut_both(fleet, one, other, round % 2 == 0);
        fleet_pass(fleet, 10 * S_NS);
        for (uint32_t i = 0; i < 5 && !world_has_failed(&fleet->world); i++)
            expect_counted(fleet, stranger);
        network_mend_all(&fleet->network);
        scenario_expect_settled(fleet, "the holders are reached");
        scenario_demand(fleet,
                        inspector_record(&fleet->inspector, &fleet->stations[stranger], COUNTER) == NULL,
                        "who does not hold a counter keeps a copy of it");
        expect_counted(fleet, stranger);
    }
    scenario_end_well(fleet);
}

/* A counter is reset on two sides of a cut, and only the earlier reset has seen what was counted. One copy of the later reset meets the
 * counts first, another one the reset that did away with them: in the end all have the same. */
void scenario_f12_resets(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 4, 0, 4, false);
    for (uint32_t round = 0; round < 3 && !world_has_failed(&fleet->world); round++) {
        struct operation *reset = NULL;
        cut_in_two(fleet, 2);
        fleet_pass(fleet, 10 * S_NS);
        expect_counted(fleet, 0);
        fleet_pass(fleet, S_NS);
        cut_both(fleet, 0, 1, false); /* which has the count */
        fleet_pass(fleet, 10 * S_NS);
        for (uint32_t node = 0; node <= 2 && !world_has_failed(&fleet->world); node += 2) {
            reset = fleet_reset(fleet, node, COUNTER);
            scenario_demand(fleet, reset != NULL && reset->outcome == OUTCOME_DONE, "a reset was not done");
        }
        fleet_pass(fleet, S_NS);
        network_mend_all(&fleet->network);
        for (uint32_t one = 0; one <= 2; one += 2) {
            cut_both(fleet, one, 1, false);
            cut_both(fleet, one, 3, false);
        }
        fleet_pass(fleet, 20 * S_NS);
        network_mend_all(&fleet->network);
        scenario_expect_settled(fleet, "all have met");
    }
    scenario_end_well(fleet);
}

/* Halves that meet and part again and again, each writing the same key: what is kept of it has its limit. */
void scenario_f13_siblings(struct fleet *fleet, uint64_t seed) {
    struct conditions conditions;
    scenario_conditions(&conditions, 4, 3, false);
    conditions.keeps_conflicts = true;
    scenario_begin_with(fleet, seed, &conditions);
    for (uint32_t round = 0; round < 12 && !world_has_failed(&fleet->world); round++) {
        cut_in_two(fleet, 2);
        fleet_pass(fleet, 8 * S_NS);
        for (uint32_t write = 0; write < 4; write++)
            for (uint32_t node = 0; node < 4 && !world_has_failed(&fleet->world); node++)
                scenario_demand(fleet, fleet_write(fleet, node, 0) != NULL, "a write has no answer");
        network_mend_all(&fleet->network);
        fleet_pass(fleet, round % 3 == 0 ? 10 * S_NS : S_NS);
    }
    scenario_expect_settled(fleet, "the halves are one");
    scenario_demand(fleet, fleet->inspector.statistics.siblings != 0, "no value has ever lost a conflict");
    scenario_end_well(fleet);
}

/* Whatever is told of a write that could not reach all copies: "not executed" is true, and what may have been executed is not told so. */
void scenario_f14_errors(struct fleet *fleet, uint64_t seed) {
    struct conditions conditions;
    uint32_t refused = 0, unknown = 0;
    scenario_conditions(&conditions, 3, 3, false);
    conditions.quorum.reads = 1;
    conditions.quorum.writes = 3;
    conditions.quorum.is_strict = true;
    scenario_begin_with(fleet, seed, &conditions);
    for (uint32_t round = 0; round < 24 && !world_has_failed(&fleet->world); round++) {
        uint32_t entry = round % 3, key = round % 2, other = executor(fleet, entry, key);
        if (other >= 3)
            continue;
        /* The executor, or one of its copies, is lost behind the request. */
        uint32_t lost = round % 4 < 2 ? other : (other + 1) % 3;
        struct user *user = &fleet->users[FLEET_OPERATOR];
        if (!user_connect(user, &fleet->stations[entry]))
            continue;
        struct operation *write = user_set_value(user, key);
        fleet_pass(fleet, chance_between(&fleet->faults, MS_NS / 10, 3 * MS_NS));
        for (uint32_t i = 0; i < 3; i++)
            if (i != lost)
                cut_both(fleet, i, lost, round % 3 == 0);
        for (uint64_t until_ns = fleet->world.now_ns + 20 * S_NS;
             user_waits(user) && fleet->world.now_ns < until_ns && fleet_pass(fleet, MS_NS);)
            continue;
        scenario_demand(fleet, write->outcome != OUTCOME_OPEN, "a write has no answer");
        struct operation *second =
            world_has_failed(&fleet->world) ? NULL : fleet_write(fleet, (lost + 1) % 3, key);
        scenario_demand(fleet, second != NULL && second->outcome != OUTCOME_DONE,
                        "a write is acknowledged that cannot have reached all copies");
        unknown +=
            write->outcome == OUTCOME_UNKNOWN || (second != NULL && second->outcome == OUTCOME_UNKNOWN);
        refused += write->outcome == OUTCOME_FAILED || (second != NULL && second->outcome == OUTCOME_FAILED);
        network_mend_all(&fleet->network);
        scenario_expect_settled(fleet, "after a lost link");
        for (uint32_t i = 0; i < 3 && !world_has_failed(&fleet->world); i++)
            scenario_demand(fleet, fleet_read(fleet, i, key), "a read has no answer"); /* I-HONEST */
    }
    scenario_demand(fleet, refused != 0 && unknown != 0, "one of the two errors was never told");
    scenario_end_well(fleet);
}

/* ---- F17 ---- */

/* A node joins one half, another one is taken out of the other: what each half has acknowledged is there when they meet. */
void scenario_f17_join(struct fleet *fleet, uint64_t seed) {
    scenario_begin(fleet, seed, 4, 1, 3, false);
    scenario_write_all(fleet, 0);
    struct operation *last[64] = {NULL};
    cut_in_two(fleet, 2); /* the late node cannot be reached by the first half */
    fleet_pass(fleet, 10 * S_NS);
    for (uint32_t node = 0; node < 2; node++) {
        cut_both(fleet, node, 4, true);
    }
    fleet_begin_node(fleet, 4, DISK_KEPT);
    for (uint32_t key = 0; key < 64 && !world_has_failed(&fleet->world); key++) {
        if (!is_written(fleet, key))
            continue;
        last[key] = fleet_write(fleet, key / 2 % 2 == 0 ? key % 2 : 2 + key % 2, key);
        scenario_demand(fleet, last[key] != NULL, "a write has no answer");
        fleet_pass(fleet, 300 * MS_NS);
    }
    fleet_pass(fleet, 10 * S_NS);
    network_mend_all(&fleet->network);
    scenario_expect_settled(fleet, "the halves meet, with a member more");
    for (uint32_t key = 0; key < 64 && !world_has_failed(&fleet->world); key++) {
        if (last[key] == NULL || last[key]->outcome != OUTCOME_DONE)
            continue;
        scenario_demand(fleet, fleet_read(fleet, key % 5, key), "a read has no answer");
        scenario_demand(fleet, fleet->last_read == last[key], "what one half has acknowledged is lost");
    }
    scenario_end_well(fleet);
}
