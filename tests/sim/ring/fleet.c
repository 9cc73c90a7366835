/* fleet.c - the course of a run.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/fleet.h"

#include "node/cluster.h"
#include "node/state.h"

#include <stdio.h>

#define MEET_NS    (60 * S_NS)
#define STORM_NS   (5 * S_NS) /* faults go on for so long when the users have asked all that they will */
#define PEACE_NS   (180 * S_NS)
#define ANSWERS_NS (120 * S_NS)
#define ANSWER_NS  (30 * S_NS)
#define SWEEP_NS   (2 * S_NS)
/* A sweep may look at so many records per SWEEP_NS. */
#define SWEEP_LOOKS 500
/* Where reads alone repair, all is read so often, and so long is waited then. */
#define READ_ROUNDS 4
#define READ_NS     (15 * S_NS)
#define FAULT_SEED  UINT64_C(0x5f356495)

void fleet_calm_conditions(struct conditions *conditions, uint32_t nodes, uint32_t copies) {
    *conditions =
        (struct conditions){.nodes = nodes, .copies = copies, .is_calm = true, .help_max_ns = MS_NS};
    conditions->network =
        (struct network_faults){.delay_min_ns = 200000, .delay_max_ns = 1000000, .window = 1u << 20};
    conditions->mix = (struct ring_mix){.keys = 100,
                                        .users = 4,
                                        .pipeline_max = 1,
                                        .think_max_ns = 100 * MS_NS,
                                        .reads = 500,
                                        .sets = 500,
                                        .cells_max = 4,
                                        .requests = 1};
}

/* ---- What is watched ---- */

static void turned(void *context, struct station *station) {
    struct fleet *fleet = context;
    inspector_turned(&fleet->inspector, station);
}

static void ending(void *context, struct station *station) {
    struct fleet *fleet = context;
    fleet->last_end_ns = fleet->world.now_ns;
    inspector_losing(&fleet->inspector, station);
}

static void rerouted(void *context) {
    struct fleet *fleet = context;
    history_disturb(&fleet->history);
}

static void told(void *context, struct operation *operation) {
    struct fleet *fleet = context;
    inspector_told(&fleet->inspector, operation);
}

static void undecided(void *context, const struct operation *operation, uint32_t copies) {
    struct fleet *fleet = context;
    inspector_undecided(&fleet->inspector, operation, copies);
}

static void waited(void *context, struct operation *last_write, int64_t copies) {
    struct fleet *fleet = context;
    inspector_waited(&fleet->inspector, last_write, copies);
}

static void note_read(void *context, uint32_t key, const uint8_t *data, size_t size) {
    struct fleet *fleet = context;
    (void)key;
    fleet->was_read = true;
    fleet->last_read_is_nil = data == NULL;
    fleet->last_read = size >= CELL_SIZE ? history_find_cell(&fleet->history, data) : NULL;
}

static void sweep(void *context) {
    struct fleet *fleet = context;
    if (world_has_failed(&fleet->world))
        return;
    inspector_sweep(&fleet->inspector);
    uint64_t looks = (uint64_t)fleet->history.key_count * fleet->station_count;
    world_at(&fleet->world, fleet->world.now_ns + SWEEP_NS * (1 + looks / SWEEP_LOOKS), sweep, fleet);
}

/* ---- Beginning and end ---- */

static void name_seeds(struct fleet *fleet) {
    for (uint32_t i = 0; i < fleet->station_count; i++) {
        size_t at = 0, size = sizeof fleet->seeds[i];
        for (uint32_t j = 0; j < fleet->conditions.nodes; j++)
            at += (size_t)snprintf(fleet->seeds[i] + at, size - at, "%s" STATION_NAME "%u:%u",
                                   at == 0 ? "" : " ", j, STATION_PORT);
        fleet->stations[i].seeds = fleet->seeds[i];
        fleet->stations[i].secret = fleet->secret;
    }
}

void fleet_init(struct fleet *fleet, uint64_t seed, const struct conditions *conditions) {
    *fleet = (struct fleet){0};
    world_init(&fleet->world, seed);
    rng_init(&fleet->faults, seed ^ FAULT_SEED);
    if (conditions == NULL)
        conditions_draw(&fleet->conditions, world_random(&fleet->world, CHANCE_SWARM));
    else
        fleet->conditions = *conditions;
    struct world *world = &fleet->world;
    fleet->station_count = fleet->conditions.nodes + fleet->conditions.late_nodes;
    snprintf(fleet->secret, sizeof fleet->secret, "secret-%llu-abcdefghijklmnop", (unsigned long long)seed);
    network_init(&fleet->network, world, &fleet->conditions, fleet->stations);
    fleet->network.station_count = fleet->station_count;
    history_init(&fleet->history, world, &fleet->conditions);
    inspector_init(&fleet->inspector, world, &fleet->conditions, &fleet->history, fleet->stations);
    fleet->inspector.station_count = fleet->station_count;
    for (uint32_t i = 0; i < fleet->station_count; i++) {
        station_init(&fleet->stations[i], world, &fleet->network, &fleet->conditions, i);
        fleet->stations[i].observer = (struct station_observer){
            .context = fleet, .turned = turned, .ending = ending, .rerouted = rerouted};
    }
    name_seeds(fleet);
    for (uint32_t i = 0; i < HISTORY_USERS; i++) {
        user_init(&fleet->users[i], world, &fleet->conditions, &fleet->history, fleet->stations,
                  &fleet->station_count, i);
        fleet->users[i].observer =
            (struct user_observer){.context = fleet, .told = told, .undecided = undecided, .waited = waited};
        fleet->users[i].requests_left = &fleet->requests_left;
    }
    fleet->users[FLEET_OPERATOR].observer.read = note_read;
    fleet->user_count = fleet->conditions.mix.users;
    world_at(world, world->now_ns + SWEEP_NS, sweep, fleet);
}

void fleet_release(struct fleet *fleet) {
    for (uint32_t i = 0; i < HISTORY_USERS; i++)
        user_release(&fleet->users[i]);
    for (uint32_t i = 0; i < fleet->station_count; i++)
        if (station_runs(&fleet->stations[i]))
            station_end(&fleet->stations[i], false);
    for (uint32_t i = 0; i < fleet->station_count; i++)
        station_release(&fleet->stations[i]);
    network_release(&fleet->network);
    inspector_release(&fleet->inspector);
    history_release(&fleet->history);
}

static void draw_clock(struct fleet *fleet, struct station *station) {
    uint64_t most_us = fleet->conditions.weather.skew_max_us;
    if (most_us != 0)
        station->wall_shift_us =
            (int64_t)rng_below(world_random(&fleet->world, CHANCE_CLOCK), 2 * most_us) - (int64_t)most_us;
}

void fleet_begin_node(struct fleet *fleet, uint32_t number, enum disk_fate fate) {
    if (number >= fleet->begun_count)
        fleet->begun_count = number + 1;
    struct station *station = &fleet->stations[number];
    uint8_t before[NODE_ID_SIZE];
    memcpy(before, station->identity.actor.node_id, NODE_ID_SIZE);
    bool was_somebody = station->process != 0;
    station_begin(station, fate);
    if (was_somebody && memcmp(before, station->identity.actor.node_id, NODE_ID_SIZE) != 0 &&
        fleet->lost_id_count < LOST_IDS_MAX)
        memcpy(fleet->lost_ids[fleet->lost_id_count++], before, NODE_ID_SIZE);
}

void fleet_begin_nodes(struct fleet *fleet) {
    for (uint32_t i = 0; i < fleet->conditions.nodes; i++) {
        draw_clock(fleet, &fleet->stations[i]);
        fleet_begin_node(fleet, i, DISK_KEPT);
    }
}

/* ---- Time ---- */

bool fleet_pass(struct fleet *fleet, uint64_t ns) {
    struct world *world = &fleet->world;
    uint64_t until_ns = world->now_ns + ns;
    while (!world_has_failed(world) && world_next_ns(world) <= until_ns)
        world_step(world);
    if (!world_has_failed(world) && world->now_ns < until_ns)
        world->now_ns = until_ns;
    return !world_has_failed(world);
}

static bool wait_for_operator(struct fleet *fleet) {
    struct user *user = &fleet->users[FLEET_OPERATOR];
    uint64_t until_ns = fleet->world.now_ns + ANSWER_NS;
    while (user_waits(user) && fleet->world.now_ns < until_ns && fleet_pass(fleet, MS_NS))
        continue;
    return !user_waits(user) && !world_has_failed(&fleet->world);
}

static struct user *operator_at(struct fleet *fleet, uint32_t node) {
    struct user *user = &fleet->users[FLEET_OPERATOR];
    if (user->client.station != &fleet->stations[node] && !user_connect(user, &fleet->stations[node]))
        return NULL;
    return user;
}

bool fleet_command(struct fleet *fleet, uint32_t node, const char *const *words) {
    struct user *user = operator_at(fleet, node);
    if (user == NULL)
        return false;
    user_look(user, words);
    return wait_for_operator(fleet);
}

static struct operation *ask_operator(struct fleet *fleet, uint32_t node, uint32_t key,
                                      struct operation *(*ask)(struct user *user, uint32_t key)) {
    struct user *user = operator_at(fleet, node);
    if (user == NULL)
        return NULL;
    struct operation *operation = ask(user, key);
    return wait_for_operator(fleet) ? operation : NULL;
}

struct operation *fleet_write(struct fleet *fleet, uint32_t node, uint32_t key) {
    return ask_operator(fleet, node, key, user_set_value);
}

struct operation *fleet_delete(struct fleet *fleet, uint32_t node, uint32_t key) {
    return ask_operator(fleet, node, key, user_delete_value);
}

struct operation *fleet_append(struct fleet *fleet, uint32_t node, uint32_t key) {
    return ask_operator(fleet, node, key, user_append_value);
}

struct operation *fleet_count(struct fleet *fleet, uint32_t node, uint32_t key) {
    return ask_operator(fleet, node, key, user_count);
}

struct operation *fleet_reset(struct fleet *fleet, uint32_t node, uint32_t key) {
    return ask_operator(fleet, node, key, user_reset_count);
}

bool fleet_read(struct fleet *fleet, uint32_t node, uint32_t key) {
    struct user *user = operator_at(fleet, node);
    fleet->last_read = NULL;
    fleet->was_read = fleet->last_read_is_nil = false;
    if (user == NULL)
        return false;
    user_ask_value(user, key);
    return wait_for_operator(fleet);
}

bool fleet_remove(struct fleet *fleet, uint32_t through, const uint8_t id[NODE_ID_SIZE]) {
    struct actor_identity actor = {.incarnation = 1};
    char text[IDENTITY_ID_SIZE];
    memcpy(actor.node_id, id, NODE_ID_SIZE);
    identity_print_id(actor.node_id, text);
    world_note(&fleet->world, "%.8s... is taken out of the cluster, through node %u", text, through);
    return fleet_command(fleet, through, (const char *const[]){"CLUSTER", "FORGET", text, NULL});
}

/* ---- Peace ---- */

static void remove_lost_ids(struct fleet *fleet) {
    for (uint32_t id = 0; id < fleet->lost_id_count; id++)
        for (uint32_t i = 0; i < fleet->station_count && !world_has_failed(&fleet->world); i++)
            if (station_runs(&fleet->stations[i]) && !fleet->stations[i].is_removed &&
                fleet_find_id(fleet, fleet->lost_ids[id]) == STATIONS_MAX)
                fleet_remove(fleet, i, fleet->lost_ids[id]);
}

void fleet_heal(struct fleet *fleet) {
    struct world *world = &fleet->world;
    world_note(world, "peace");
    fleet->is_stormy = false;
    conditions_heal(&fleet->conditions);
    network_mend_all(&fleet->network);
    for (uint32_t i = 0; i < fleet->station_count; i++) {
        struct station *station = &fleet->stations[i];
        station->wall_shift_us = (int64_t)chance_between(world_random(world, CHANCE_CLOCK), 0, 20000);
        /* One that was asked to end and stood still would end in peace, and nobody would begin it again. */
        if (station_runs(station) && station->is_asked_to_end)
            station_end(station, false);
        if (i < fleet->begun_count && !station_runs(station) && !station->is_removed)
            fleet_begin_node(fleet, i, DISK_KEPT);
        /* What only those have that were taken out is lost with them. */
        if (station_runs(station) && station->is_removed)
            inspector_losing(&fleet->inspector, station);
        station_go_on(station);
    }
}

static bool everybody_is_answered(const struct fleet *fleet) {
    for (uint32_t i = 0; i < HISTORY_USERS; i++)
        if (user_waits(&fleet->users[i]))
            return false;
    return true;
}

static void wait_for_answers(struct fleet *fleet) {
    struct world *world = &fleet->world;
    uint64_t until_ns = world->now_ns + ANSWERS_NS;
    while (!everybody_is_answered(fleet) && world->now_ns < until_ns && fleet_pass(fleet, 100 * MS_NS))
        continue;
    for (uint32_t i = 0; i < HISTORY_USERS && !world_has_failed(world); i++)
        if (user_waits(&fleet->users[i]))
            world_fail(world, "I-LIVE: user %u waits at node %u for %u answers, since %.3f s", i,
                       fleet->users[i].client.station->number, fleet->users[i].expected_count,
                       (double)user_waits_since_ns(&fleet->users[i]) / 1e9);
}

void fleet_make_peace(struct fleet *fleet) {
    struct world *world = &fleet->world;
    char why[256] = "";
    fleet->requests_left = 0;
    fleet_heal(fleet);
    wait_for_answers(fleet);
    if (!world_has_failed(world) && fleet->lost_id_count != 0)
        fleet_pass(fleet, 10 * S_NS);
    remove_lost_ids(fleet);
    if (world_has_failed(world))
        return;
    for (uint32_t round = 0; round < READ_ROUNDS && fleet->conditions.repair == REPAIR_READS; round++)
        if (!fleet_read_all_copies(fleet) || fleet_settle(fleet, READ_NS, why))
            break;
    if (world_has_failed(world))
        return;
    if (!fleet_settle(fleet, PEACE_NS, why)) {
        char members[256];
        world_fail(world, "%s: after %llu s of peace %s",
                   fleet_is_settled(fleet, true, members) ? "I-CONV" : "I-RING",
                   (unsigned long long)(PEACE_NS / S_NS), why);
    }
    if (!world_has_failed(world))
        inspector_sweep(&fleet->inspector);
    if (!world_has_failed(world))
        fleet_check_all(fleet);
}

/* ---- Runs ---- */

/* The nodes find each other; where nothing is wrong they have to. */
static void meet(struct fleet *fleet) {
    char why[256] = "";
    const struct conditions *conditions = &fleet->conditions;
    if (conditions->begins_in_storm) {
        /* Parts that have never met would be clusters of their own. */
        uint64_t until_ns = fleet->world.now_ns + 2 * MEET_NS;
        while (!fleet_has_met(fleet, why) && fleet->world.now_ns < until_ns && fleet_pass(fleet, 100 * MS_NS))
            continue;
        if (!world_has_failed(&fleet->world) && !fleet_has_met(fleet, why))
            world_fail(&fleet->world, "I-RING: the nodes do not meet: %s", why);
        fleet_pass(fleet, 2 * S_NS); /* they note it on their disks */
        return;
    }
    bool has_met =
        fleet_settle(fleet, conditions->is_calm || conditions->is_clear ? MEET_NS : MEET_NS / 2, why);
    if (!has_met && !world_has_failed(&fleet->world) && (conditions->is_calm || conditions->is_clear))
        world_fail(&fleet->world, "I-RING: the nodes do not find each other in %llu s: %s",
                   (unsigned long long)(MEET_NS / S_NS), why);
    fleet->history.is_strict = conditions->is_calm || conditions->is_clear;
    fleet->history.is_register = conditions->quorum.is_register && has_met;
    if (fleet->history.is_strict)
        fleet_pass(fleet, UNDISTURBED_NS + S_NS);
}

static void run_random(struct fleet *fleet, const struct fleet_options *options) {
    struct world *world = &fleet->world;
    bool is_spoilt = options->spoil == NULL;
    fleet_begin_nodes(fleet);
    meet(fleet);
    fleet->requests_left = fleet->conditions.mix.requests;
    fleet->is_stormy = true;
    weather_begin(fleet);
    for (uint32_t i = 0; i < fleet->user_count; i++)
        user_start(&fleet->users[i]);
    uint64_t until_ns =
        fleet->conditions.duration_ns == 0 ? UINT64_MAX : world->now_ns + 2 * fleet->conditions.duration_ns;
    while (fleet->requests_left != 0 && world->now_ns < until_ns && fleet_pass(fleet, 100 * MS_NS))
        if (!is_spoilt && fleet->requests_left < fleet->conditions.mix.requests / 2)
            is_spoilt = options->spoil(fleet);
    if (!world_has_failed(world))
        fleet_pass(fleet, rng_below(&fleet->faults, STORM_NS));
    if (!world_has_failed(world))
        fleet_make_peace(fleet);
}

static void fill_result(const struct fleet *fleet, struct fleet_result *result) {
    *result = (struct fleet_result){.has_failed = world_has_failed(&fleet->world),
                                    .hash = fleet->world.trace.hash,
                                    .events = fleet->world.steps,
                                    .virtual_ms = fleet->world.now_ns / 1000000,
                                    .final_reads = fleet->final_reads,
                                    .claims = fleet->inspector.statistics.claims,
                                    .excused = fleet->inspector.statistics.excused,
                                    .unseen = fleet->inspector.statistics.unseen,
                                    .acknowledged = fleet->inspector.statistics.acknowledged,
                                    .graves = fleet->inspector.statistics.graves,
                                    .merges = fleet->inspector.statistics.merges,
                                    .fresh_demands = fleet->history.fresh_demands,
                                    .count_demands = fleet->history.count_demands,
                                    .siblings = fleet->inspector.statistics.siblings,
                                    .kept = fleet->inspector.statistics.kept,
                                    .gossip_frames = fleet->network.statistics.kinds[FRAME_GOSSIP],
                                    .frames = fleet->network.statistics.frames,
                                    .bytes = fleet->network.statistics.bytes};
    for (uint32_t i = 0; i < HISTORY_USERS; i++)
        result->requests += fleet->history.operation_count[i];
    for (unsigned kind = 0; kind < OPERATION_KIND_COUNT; kind++)
        result->unknown += fleet->history.outcomes[kind][OUTCOME_UNKNOWN];
    for (uint32_t i = 0; i < fleet->station_count; i++) {
        result->turns += fleet->stations[i].steps.turns;
        result->clock_calls += fleet->stations[i].steps.clock_calls;
    }
    snprintf(result->failure, sizeof result->failure, "%s", fleet->world.failure);
}

void fleet_run(const struct fleet_options *options, struct fleet_result *result) {
    struct fleet *fleet = malloc(sizeof *fleet);
    CHECK(fleet != NULL);
    if (options->scenario != NULL) {
        CHECK(scenario_run(options->scenario, fleet, options->seed));
    } else {
        fleet_init(fleet, options->seed, NULL);
        fleet->world.trace.prints_all = options->is_verbose;
        if (options->is_verbose)
            conditions_print(&fleet->conditions);
        run_random(fleet, options);
    }
    bool had_failed = world_has_failed(&fleet->world);
    uint64_t excused = fleet->inspector.statistics.excused;
    fleet_release(fleet);
    fill_result(fleet, result);
    result->excused = excused;
    if (result->has_failed && options->last_lines != 0) {
        trace_print(&fleet->world.trace, options->last_lines);
        if (options->scenario == NULL) {
            struct conditions conditions;
            struct rng rng;
            rng_init(&rng, options->seed * CHANCE_COUNT + CHANCE_SWARM);
            conditions_draw(&conditions, &rng);
            conditions_print(&conditions);
        }
        if (!had_failed)
            printf("it failed at its end\n");
    }
    world_release(&fleet->world);
    free(fleet);
}

void fleet_measure(uint64_t seconds, struct fleet_result *result) {
    struct conditions conditions;
    fleet_calm_conditions(&conditions, 5, 3);
    conditions.mix.keys = 1000;
    conditions.mix.users = 5;
    conditions.mix.think_max_ns = 200 * MS_NS;
    conditions.mix.requests = (uint32_t)(seconds * 50);
    struct fleet *fleet = malloc(sizeof *fleet);
    CHECK(fleet != NULL);
    fleet_init(fleet, 1, &conditions);
    run_random(fleet, &(struct fleet_options){.seed = 1});
    fleet_release(fleet);
    fill_result(fleet, result);
    world_release(&fleet->world);
    free(fleet);
}
