/* conditions.c - draws of conditions.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/conditions.h"

#include <stdio.h>

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

static bool is_on(struct rng *rng) {
    return chance_permille(rng, 500);
}

static uint32_t magnitude(struct rng *rng, uint32_t least, uint32_t most) {
    return (uint32_t)chance_magnitude(rng, least, most);
}

/* 0, or a weight of any size. */
static uint32_t weight(struct rng *rng, uint32_t most) {
    return is_on(rng) ? magnitude(rng, 1, most) : 0;
}

static void draw_network(struct conditions *conditions, struct rng *rng) {
    struct network_faults *network = &conditions->network;
    network->delay_min_ns = chance_magnitude(rng, 50 * US, is_on(rng) ? 10 * MS : MS);
    network->delay_max_ns =
        network->delay_min_ns + chance_magnitude(rng, 50 * US, is_on(rng) ? 100 * MS : MS);
    network->window = magnitude(rng, 4096, 4 << 20);
    if (is_on(rng))
        network->arrive_max = magnitude(rng, 64, 65536);
    if (is_on(rng))
        network->read_max = magnitude(rng, 16, 65536);
    if (is_on(rng))
        network->write_max = magnitude(rng, 16, 65536);
    if (is_on(rng)) {
        network->stall_permille = magnitude(rng, 1, 20);
        network->stall_max_ns = chance_magnitude(rng, 10 * MS, 5 * S);
    }
    if (chance_permille(rng, 250)) {
        network->cut_permille = magnitude(rng, 10, 500);
        network->cut_bytes_max = chance_magnitude(rng, 1000, 1000000);
        network->vanish_permille = is_on(rng) ? 300 : 0;
    }
    if (is_on(rng))
        conditions->frames.lost = magnitude(rng, 1, 300);
    if (is_on(rng))
        conditions->frames.repeated = magnitude(rng, 1, 500);
    if (is_on(rng)) {
        conditions->frames.overtaken = magnitude(rng, 1, 300);
        conditions->frames.overtaken_max_ns = chance_magnitude(rng, MS, 3 * S);
    }
}

/* From a few times in a run to all the time. */
static uint64_t often(struct rng *rng, uint64_t duration_ns) {
    return chance_magnitude(rng, duration_ns / 50 < S / 2 ? S / 2 : duration_ns / 50, duration_ns);
}

static void draw_processes(struct weather *weather, struct rng *rng, uint64_t duration_ns) {
    if (is_on(rng)) {
        weather->end_every_ns = often(rng, duration_ns);
        weather->down_max_ns = chance_magnitude(rng, 10 * MS, duration_ns);
        weather->may_stop_in_peace = is_on(rng);
        weather->loses_power = is_on(rng);
        weather->disk_loss_permille = is_on(rng) ? magnitude(rng, 10, 300) : 0;
        weather->rollback_permille = is_on(rng) ? magnitude(rng, 10, 200) : 0;
    }
    if (is_on(rng)) {
        weather->pause_every_ns = often(rng, duration_ns);
        weather->pause_max_ns = chance_magnitude(rng, 10 * MS, duration_ns);
    }
}

static void draw_weather(struct weather *weather, struct rng *rng, uint64_t duration_ns) {
    if (is_on(rng)) {
        weather->partition_every_ns = often(rng, duration_ns);
        weather->partition_max_ns = chance_magnitude(rng, 100 * MS, duration_ns);
        weather->shapes = (uint32_t)chance_between(rng, 1, (1u << PARTITION_SHAPE_COUNT) - 1);
        weather->resets_permille = is_on(rng) ? (uint32_t)rng_below(rng, 1001) : 0;
    }
    draw_processes(weather, rng, duration_ns);
    if (is_on(rng))
        weather->skew_max_us = chance_magnitude(rng, 1000, is_on(rng) ? 3600 * UINT64_C(1000000) : 500000);
    if (is_on(rng)) {
        weather->jump_every_ns = often(rng, duration_ns);
        weather->jump_max_us = chance_magnitude(rng, 1000, 3600 * UINT64_C(1000000));
    }
    if (is_on(rng))
        weather->cut_every_ns = often(rng, duration_ns);
}

static void draw_mix(struct ring_mix *mix, struct rng *rng) {
    mix->users = magnitude(rng, 1, 16);
    mix->pipeline_max = is_on(rng) ? 1 : magnitude(rng, 2, 16);
    mix->requests = magnitude(rng, 100, 3000);
    mix->keys = magnitude(rng, 1, 2000);
    mix->reads = magnitude(rng, 50, 500);
    mix->sets = magnitude(rng, 50, 500);
    mix->deletes = weight(rng, 100);
    mix->appends = weight(rng, 200);
    mix->ranges = weight(rng, 100);
    mix->counts = weight(rng, 200);
    mix->expiries = weight(rng, 100);
    mix->conditional = weight(rng, 100);
    mix->many = weight(rng, 100);
    mix->transactions = weight(rng, 100);
    mix->scans = weight(rng, 10);
    mix->sizes = weight(rng, 20);
    mix->flushes = chance_permille(rng, 250) ? magnitude(rng, 1, 5) : 0;
    mix->waits = weight(rng, 50);
    mix->introspection = weight(rng, 20);
    mix->cells_max = magnitude(rng, 1, is_on(rng) ? 400 : 8);
    mix->hot_permille = is_on(rng) ? magnitude(rng, 10, 500) : 0;
    mix->hops_permille = is_on(rng) ? magnitude(rng, 1, 300) : 0;
}

/* A network that does what networks should. */
static void clear_network(struct conditions *conditions) {
    struct network_faults *network = &conditions->network;
    uint64_t delay_ns = network->delay_min_ns < 2 * MS ? network->delay_min_ns : 2 * MS;
    *network =
        (struct network_faults){.delay_min_ns = delay_ns, .delay_max_ns = delay_ns + MS, .window = 1u << 20};
    conditions->frames = (struct frame_faults){0};
}

static void make_calm(struct conditions *conditions) {
    conditions->is_calm = true;
    clear_network(conditions);
    conditions->weather = (struct weather){0};
    conditions->late_nodes = 0;
    conditions->begins_in_storm = false;
}

/* Processes die one at a time and come again, nodes are added; all else is well. */
static void make_clear(struct conditions *conditions, struct rng *rng) {
    struct weather *weather = &conditions->weather;
    conditions->is_clear = true;
    clear_network(conditions);
    weather->partition_every_ns = weather->pause_every_ns = weather->jump_every_ns = weather->skew_max_us = 0;
    weather->cut_every_ns = weather->removal_at_ns = 0;
    weather->disk_loss_permille = weather->rollback_permille = 0;
    weather->loses_power = false;
    /* Far away from each other, at times: then it takes a while until a new one has what it needs. */
    if (is_on(rng))
        conditions->network.delay_max_ns = chance_magnitude(rng, 10 * MS, 100 * MS);
    weather->end_every_ns = chance_magnitude(rng, 4 * S, 30 * S);
    weather->down_max_ns = chance_magnitude(rng, 10 * MS, 10 * S);
    conditions->save_changes = is_on(rng) ? 0 : conditions->save_changes;
    struct ring_mix *mix = &conditions->mix;
    mix->keys = mix->keys < 20 ? 20 : mix->keys;
    mix->requests = mix->requests < 1500 ? 1500 : mix->requests;
    conditions->duration_ns = chance_magnitude(rng, 20 * S, 60 * S);
    mix->think_max_ns =
        2 * conditions->duration_ns * mix->users * ((mix->pipeline_max + 1) / 2) / mix->requests;
    conditions->begins_in_storm = false;
    conditions->copies = conditions->copies < 3 ? 3 : conditions->copies;
    if (conditions->nodes < 3)
        conditions->nodes = 3;
    if (conditions->late_nodes > STATIONS_MAX - conditions->nodes)
        conditions->late_nodes = STATIONS_MAX - conditions->nodes;
}

/* The network falls apart again and again, for so long that each part goes on by itself, and all parts write the same few keys. */
static void make_divided(struct conditions *conditions, struct rng *rng) {
    struct weather *weather = &conditions->weather;
    struct ring_mix *mix = &conditions->mix;
    conditions->nodes = conditions->nodes < 3 ? 3 : conditions->nodes;
    if (conditions->late_nodes > STATIONS_MAX - conditions->nodes)
        conditions->late_nodes = STATIONS_MAX - conditions->nodes;
    conditions->copies = conditions->copies < 3 ? 3 : conditions->copies;
    conditions->gossip_interval_ms = magnitude(rng, 50, 200);
    conditions->suspect_timeout_ms = conditions->gossip_interval_ms * 5;
    conditions->begins_in_storm = false;
    conditions->duration_ns = chance_magnitude(rng, 30 * S, 90 * S);
    weather->partition_every_ns = chance_magnitude(rng, 2 * S, 10 * S);
    weather->partition_max_ns = chance_magnitude(rng, 5 * S, 30 * S);
    weather->shapes = 1u << PARTITION_HALVES | (uint32_t)rng_below(rng, 1u << PARTITION_SHAPE_COUNT);
    mix->keys = (uint32_t)chance_between(rng, 8, 64);
    mix->users = mix->users < 6 ? 6 : mix->users;
    mix->requests = magnitude(rng, 1000, 3000);
    mix->counts = magnitude(rng, 100, 1000);
    mix->deletes = magnitude(rng, 10, 100);
    mix->flushes = 0;
    mix->cells_max = mix->cells_max < 8 ? mix->cells_max : 8;
    mix->think_max_ns =
        2 * conditions->duration_ns * mix->users * ((mix->pipeline_max + 1) / 2) / mix->requests;
}

uint32_t conditions_copies(const struct conditions *conditions) {
    return conditions->copies < conditions->nodes ? conditions->copies : conditions->nodes;
}

/* Nobody loses his memory, and the members stay. */
static void keep_memories(struct conditions *conditions) {
    conditions->weather.end_every_ns = conditions->weather.join_every_ns = 0;
    conditions->weather.removal_at_ns = 0;
    conditions->late_nodes = 0;
    conditions->begins_in_storm = false;
}

/* What is acknowledged is read from then on, whatever the network does. */
static void make_register(struct conditions *conditions, struct rng *rng) {
    struct quorum_conditions *quorum = &conditions->quorum;
    uint32_t copies = conditions_copies(conditions);
    keep_memories(conditions);
    conditions->is_clear = false;
    quorum->is_register = quorum->is_strict = true;
    quorum->users_choose = false;
    quorum->writes = (uint32_t)chance_between(rng, copies / 2 + 1, copies);
    quorum->reads = (uint32_t)chance_between(rng, copies - quorum->writes + 1, copies);
    conditions->mix.appends = conditions->mix.ranges = 0;
    if (conditions->mix.keys > 40)
        conditions->mix.keys = (uint32_t)chance_between(rng, 8, 40);
    if (conditions->mix.requests < 1000)
        conditions->mix.requests = 1000;
}

static void draw_quorums(struct conditions *conditions, struct rng *rng) {
    struct quorum_conditions *quorum = &conditions->quorum;
    uint32_t copies = conditions_copies(conditions);
    bool is_register = chance_permille(rng, 350), is_asked = is_on(rng);
    quorum->wants_majority = chance_permille(rng, 100) && !conditions->is_calm;
    if (!is_asked || copies < 2)
        return;
    quorum->reads = (uint32_t)chance_between(rng, 1, copies);
    quorum->writes = (uint32_t)chance_between(rng, 1, copies);
    quorum->is_strict = is_on(rng);
    quorum->users_choose = chance_permille(rng, 300);
    quorum->timeout_ms = is_on(rng) || conditions->is_calm ? 0 : magnitude(rng, 100, 5000);
    if (is_register && copies > 2)
        make_register(conditions, rng);
}

/* Connections break, and nothing else happens. */
static void make_torn(struct conditions *conditions, struct rng *rng) {
    clear_network(conditions);
    conditions->weather = (struct weather){.cut_every_ns = chance_magnitude(rng, S / 10, 2 * S)};
    conditions->is_clear = conditions->is_calm = false;
    conditions->mix.flushes = 0;
    if (conditions->copies < 2)
        conditions->copies = 2;
    if (conditions->nodes < 2)
        conditions->nodes = 2;
    keep_memories(conditions);
}

static void draw_repair(struct conditions *conditions, struct rng *rng) {
    uint64_t draw = rng_below(rng, 12);
    if (conditions->is_calm || draw > REPAIR_COMPARING || draw == REPAIR_ALL)
        return;
    conditions->repair = (enum repair_ways)draw;
    conditions->quorum.is_register = false;
    if (conditions->repair != REPAIR_READS) {
        conditions->quorum.reads = conditions->quorum.reads == 0 ? 0 : 1;
        conditions->quorum.users_choose = false;
    }
    if (conditions->repair == REPAIR_HINTS) {
        conditions->mix.flushes =
            0; /* a flush by whom its coordinator was passed over is found by comparing only */
        keep_memories(conditions);
        conditions->is_clear = false;
    } else if (conditions->repair == REPAIR_READS) {
        make_torn(conditions, rng);
        conditions->quorum.is_strict = true;
        conditions->quorum.wants_majority = false;
    }
    /* Which of the copies have found out that a key has expired is not told. */
    conditions->has_no_expiries = conditions->repair != REPAIR_COMPARING;
}

static void draw_graves(struct conditions *conditions, struct rng *rng) {
    if (!chance_permille(rng, 250) || conditions->repair == REPAIR_HINTS)
        return;
    conditions->hint_window_s = magnitude(rng, 1, 10);
    conditions->tombstone_grace_s = conditions->hint_window_s + magnitude(rng, 1, 10);
}

void conditions_draw(struct conditions *conditions, struct rng *rng) {
    *conditions = (struct conditions){0};
    conditions->nodes = (uint32_t)(chance_permille(rng, 700) ? chance_between(rng, 2, 5)
                                                             : chance_between(rng, 1, STATIONS_MAX));
    conditions->copies = (uint32_t)(is_on(rng) ? 3 : chance_between(rng, 1, 5));
    conditions->is_framed = is_on(rng);
    conditions->begins_in_storm = chance_permille(rng, 250);
    conditions->help_max_ns = chance_magnitude(rng, 100 * US, 100 * MS);
    if (is_on(rng)) {
        conditions->save_s = (uint32_t)chance_between(rng, 1, 10);
        conditions->save_changes = magnitude(rng, 1, 100);
    }
    if (is_on(rng)) {
        conditions->gossip_interval_ms = magnitude(rng, 50, 1000);
        conditions->suspect_timeout_ms =
            conditions->gossip_interval_ms * (uint32_t)chance_between(rng, 5, 15);
    }
    draw_network(conditions, rng);
    draw_mix(&conditions->mix, rng);
    /* The users' patience makes the run that long. */
    struct ring_mix *mix = &conditions->mix;
    uint64_t duration_ns = chance_magnitude(rng, 2 * S, 120 * S), per_turn = (mix->pipeline_max + 1) / 2;
    conditions->duration_ns = duration_ns;
    mix->think_max_ns = 2 * duration_ns * mix->users * per_turn / mix->requests;
    draw_weather(&conditions->weather, rng, duration_ns);
    if (conditions->nodes < STATIONS_MAX && chance_permille(rng, 300)) {
        conditions->late_nodes = (uint32_t)chance_between(rng, 1, STATIONS_MAX - conditions->nodes);
        conditions->weather.join_every_ns = often(rng, duration_ns);
    }
    if (conditions->nodes > 2 && chance_permille(rng, 150))
        conditions->weather.removal_at_ns = chance_between(rng, S, duration_ns);
    switch (rng_below(rng, 8)) {
    case 0: make_calm(conditions); break;
    case 1: make_clear(conditions, rng); break;
    case 2: make_divided(conditions, rng); break;
    default: break;
    }
    conditions->keeps_conflicts = is_on(rng);
    draw_quorums(conditions, rng);
    draw_repair(conditions, rng);
    draw_graves(conditions, rng);
}

void conditions_heal(struct conditions *conditions) {
    clear_network(conditions);
    conditions->weather = (struct weather){0};
}

static unsigned long long ms(uint64_t ns) {
    return (unsigned long long)(ns / MS);
}

void conditions_print(const struct conditions *conditions) {
    static const char *const repairs[] = {[REPAIR_ALL] = "all ways of repair",
                                          [REPAIR_HINTS] = "hints alone repair",
                                          [REPAIR_READS] = "reads alone repair",
                                          [REPAIR_COMPARING] = "comparing alone repairs"};
    const struct network_faults *network = &conditions->network;
    const struct weather *weather = &conditions->weather;
    const struct ring_mix *mix = &conditions->mix;
    printf(
        "conditions: %u nodes and %u later, %u copies%s%s, %s, save %u %u, gossip %u ms, suspect after %u ms%s%s\n",
        conditions->nodes, conditions->late_nodes, conditions->copies, conditions->is_calm ? ", calm" : "",
        conditions->is_clear ? ", clear" : "", conditions->is_framed ? "frames" : "streams",
        conditions->save_s, conditions->save_changes, conditions->gossip_interval_ms,
        conditions->suspect_timeout_ms, conditions->begins_in_storm ? ", faults from the start" : "",
        conditions->keeps_conflicts ? ", conflicts are kept" : "");
    const struct quorum_conditions *quorum = &conditions->quorum;
    printf("quorums: reads %u writes %u%s%s%s%s, within %u ms; %s; hints for %u s, tombstones %u s\n",
           quorum->reads, quorum->writes, quorum->is_strict ? ", strict" : "",
           quorum->wants_majority ? ", majorities only" : "", quorum->users_choose ? ", users choose" : "",
           quorum->is_register ? ", a register" : "", quorum->timeout_ms, repairs[conditions->repair],
           conditions->hint_window_s, conditions->tombstone_grace_s);
    printf(
        "network: delay %llu-%llu us, arrive %u, read %u, write %u, window %u, stalls %u/1000 up to %llu ms, cuts %u/1000 "
        "within %llu bytes; frames lost %u repeated %u overtaken %u/1000 by %llu ms\n",
        (unsigned long long)network->delay_min_ns / 1000, (unsigned long long)network->delay_max_ns / 1000,
        network->arrive_max, network->read_max, network->write_max, network->window, network->stall_permille,
        ms(network->stall_max_ns), network->cut_permille, (unsigned long long)network->cut_bytes_max,
        conditions->frames.lost, conditions->frames.repeated, conditions->frames.overtaken,
        ms(conditions->frames.overtaken_max_ns));
    printf(
        "weather: partitions every %llu ms up to %llu ms, shapes %x, resets %u/1000; ends every %llu ms, down up to %llu "
        "ms, disk lost %u rolled back %u/1000; pauses every %llu ms up to %llu ms; clocks %llu ms apart, jumps every %llu "
        "ms up to %llu ms; cuts every %llu ms; a node more every %llu ms; one removed at %llu ms\n",
        ms(weather->partition_every_ns), ms(weather->partition_max_ns), weather->shapes,
        weather->resets_permille, ms(weather->end_every_ns), ms(weather->down_max_ns),
        weather->disk_loss_permille, weather->rollback_permille, ms(weather->pause_every_ns),
        ms(weather->pause_max_ns), (unsigned long long)weather->skew_max_us / 1000,
        ms(weather->jump_every_ns), (unsigned long long)weather->jump_max_us / 1000,
        ms(weather->cut_every_ns), ms(weather->join_every_ns), ms(weather->removal_at_ns));
    printf(
        "users: %u, pipeline %u, %u requests, think up to %llu ms, %u keys, cells %u, hot %u hops %u; reads %u sets %u "
        "deletes %u appends %u ranges %u counts %u expiries %u conditional %u many %u transactions %u scans %u sizes %u "
        "flushes %u waits %u introspection %u\n",
        mix->users, mix->pipeline_max, mix->requests, ms(mix->think_max_ns), mix->keys, mix->cells_max,
        mix->hot_permille, mix->hops_permille, mix->reads, mix->sets, mix->deletes, mix->appends, mix->ranges,
        mix->counts, mix->expiries, mix->conditional, mix->many, mix->transactions, mix->scans, mix->sizes,
        mix->flushes, mix->waits, mix->introspection);
}
