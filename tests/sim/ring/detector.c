/* detector.c - how soon a node that is gone is called down, and whether one that is there ever is.
 *
 * Five nodes without users. First nobody dies: frames are lost and nodes stand still for a moment, and nobody may be called down.
 * Then nodes go, one at a time and at any moment of the gossip's round: silently, as a machine without power does, or with all
 * connections reset, as a killed process; the clock stops when all others call them down.
 *
 * May touch: stations, their memberships (to read). Must never know: the clock of the machine.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/detector.h"

#include "node/cluster.h"
#include "node/state.h"
#include "sim/ring/fleet.h"

#include <stdio.h>
#include <stdlib.h>

#define NODES          5
#define LOST_PERMILLE  50
#define PAUSE_MAX_NS   S_NS
#define PAUSE_EVERY_NS (20 * S_NS) /* of any of them */
#define PATIENCE_NS    (30 * S_NS)

struct watch {
    struct fleet *fleet;
    bool is_down[NODES][NODES]; /* as seen by, whom */
    uint32_t gone;              /* a station that is to be called down; NODES: none */
    uint64_t false_deaths, last_ns;
};

static void turned(void *context, struct station *station) {
    struct watch *watch = context;
    const struct membership *membership = station->node->cluster->membership;
    for (uint32_t i = 1; i < membership_count(membership); i++) {
        const struct member *member = membership_member(membership, (uint16_t)i);
        uint32_t whom = NODES;
        for (uint32_t k = 0; k < NODES && whom == NODES; k++)
            if (memcmp(watch->fleet->stations[k].identity.actor.node_id, member->entry.id, NODE_ID_SIZE) == 0)
                whom = k;
        bool is_down = member->state == MEMBER_DOWN;
        if (whom == NODES || watch->is_down[station->number][whom] == is_down)
            continue;
        watch->is_down[station->number][whom] = is_down;
        if (!is_down)
            continue;
        watch->last_ns = watch->fleet->world.now_ns;
        if (whom == watch->gone)
            continue;
        watch->false_deaths++;
    }
}

static void ignore_end(void *context, struct station *station) {
    struct watch *watch = context;
    memset(watch->is_down[station->number], 0, sizeof watch->is_down[0]);
}

static void ignore(void *context) {
    (void)context;
}

static void begin(struct fleet *fleet, struct watch *watch, uint64_t seed, uint32_t lost_permille) {
    struct conditions conditions;
    char why[256] = "";
    fleet_calm_conditions(&conditions, NODES, 3);
    conditions.is_calm = false;
    conditions.is_framed = true;
    conditions.mix.keys = 1;
    fleet_init(fleet, seed, &conditions);
    *watch = (struct watch){.fleet = fleet, .gone = NODES};
    for (uint32_t i = 0; i < NODES; i++)
        fleet->stations[i].observer = (struct station_observer){
            .context = watch, .turned = turned, .ending = ignore_end, .rerouted = ignore};
    fleet_begin_nodes(fleet);
    if (!fleet_settle(fleet, 60 * S_NS, why))
        world_fail(&fleet->world, "the nodes do not find each other: %s", why);
    fleet->conditions.frames.lost = lost_permille;
}

static void end(struct fleet *fleet) {
    fleet_release(fleet);
    world_release(&fleet->world);
}

/* ---- Nobody dies ---- */

static void live(struct fleet *fleet, uint64_t seed, double node_hours, struct detector_result *result) {
    struct watch watch;
    begin(fleet, &watch, seed, LOST_PERMILLE);
    uint64_t until_ns = fleet->world.now_ns + (uint64_t)(node_hours / NODES * 3600 * 1e9);
    watch.false_deaths = 0;
    while (fleet->world.now_ns < until_ns && !world_has_failed(&fleet->world)) {
        /* Two pauses at once would be a longer one. */
        fleet_pass(fleet, chance_between(&fleet->faults, 3 * PAUSE_MAX_NS, 2 * PAUSE_EVERY_NS));
        station_pause(&fleet->stations[rng_below(&fleet->faults, NODES)],
                      chance_between(&fleet->faults, MS_NS, PAUSE_MAX_NS));
        result->pauses++;
    }
    result->false_deaths = watch.false_deaths;
    result->has_failed = result->has_failed || world_has_failed(&fleet->world);
    end(fleet);
}

/* ---- One is gone ---- */

static bool all_call_it_down(const struct watch *watch) {
    for (uint32_t i = 0; i < NODES; i++)
        if (i != watch->gone && !watch->is_down[i][watch->gone])
            return false;
    return true;
}

/* How long it takes until all others call a node down; UINT64_MAX: too long. */
static uint64_t lose_one(struct fleet *fleet, struct watch *watch, bool is_silent) {
    char why[256];
    uint32_t gone = (uint32_t)rng_below(&fleet->faults, NODES);
    fleet_pass(fleet, chance_between(&fleet->faults, S_NS, 3 * S_NS));
    watch->gone = gone;
    uint64_t begun_ns = fleet->world.now_ns;
    station_end(&fleet->stations[gone], is_silent);
    while (!all_call_it_down(watch) && fleet->world.now_ns < begun_ns + PATIENCE_NS &&
           fleet_pass(fleet, 10 * MS_NS))
        continue;
    uint64_t taken_ns = all_call_it_down(watch) ? watch->last_ns - begun_ns : UINT64_MAX;
    fleet_begin_node(fleet, gone, DISK_KEPT);
    if (!fleet_settle(fleet, 60 * S_NS, why) && !world_has_failed(&fleet->world))
        world_fail(&fleet->world, "a node does not come back: %s", why);
    watch->gone = NODES;
    return taken_ns;
}

static int compare_times(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return a < b ? -1 : a > b;
}

static void lose_many(struct fleet *fleet, uint64_t seed, bool is_silent, struct detector_times *times,
                      struct detector_result *result) {
    static const uint32_t tries = DETECTOR_TRIES;
    uint64_t taken_ns[DETECTOR_TRIES];
    struct watch watch;
    begin(fleet, &watch, seed, 0);
    for (uint32_t i = 0; i < tries; i++)
        taken_ns[i] = world_has_failed(&fleet->world) ? UINT64_MAX : lose_one(fleet, &watch, is_silent);
    qsort(taken_ns, tries, sizeof *taken_ns, compare_times);
    *times = (struct detector_times){.median_ns = taken_ns[tries / 2],
                                     .almost_all_ns = taken_ns[tries * 99 / 100],
                                     .most_ns = taken_ns[tries - 1]};
    result->false_deaths += watch.false_deaths;
    result->has_failed = result->has_failed || world_has_failed(&fleet->world);
    end(fleet);
}

void detector_run(uint64_t seed, double node_hours, struct detector_result *result) {
    struct fleet *fleet = malloc(sizeof *fleet);
    CHECK(fleet != NULL);
    *result = (struct detector_result){0};
    live(fleet, seed, node_hours, result);
    lose_many(fleet, seed, true, &result->silent, result);
    lose_many(fleet, seed, false, &result->reset, result);
    free(fleet);
}
