/* weather.c - faults that come and go while the users ask: partitions, ends of processes, pauses, clocks, new and removed nodes.
 *
 * Each class is a chain of events: one asks for the next. When peace has come the chains end.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/fleet.h"

#include "node/cluster.h"
#include "node/state.h"

static struct rng *dice(struct fleet *fleet) {
    return &fleet->faults;
}

/* Asks for the next event of a chain, somewhere around `every_ns` from now; 0: there is no such chain. */
static void again(struct fleet *fleet, uint64_t every_ns, world_action *act) {
    if (every_ns != 0)
        world_at(&fleet->world,
                 fleet->world.now_ns + chance_between(dice(fleet), every_ns / 2, every_ns * 3 / 2), act,
                 fleet);
}

static uint32_t running_count(const struct fleet *fleet) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < fleet->station_count; i++)
        count += station_runs(&fleet->stations[i]) && !fleet->stations[i].is_removed;
    return count;
}

/* One of those that run; NULL: nobody does. */
static struct station *some_station(struct fleet *fleet) {
    uint32_t count = running_count(fleet);
    if (count == 0)
        return NULL;
    uint64_t chosen = rng_below(dice(fleet), count);
    for (uint32_t i = 0; i < fleet->station_count; i++)
        if (station_runs(&fleet->stations[i]) && !fleet->stations[i].is_removed && chosen-- == 0)
            return &fleet->stations[i];
    return NULL;
}

/* ---- Partitions ---- */

static void cut_both(struct fleet *fleet, uint32_t one, uint32_t other, bool resets) {
    network_cut(&fleet->network, one, other, true, resets);
    network_cut(&fleet->network, other, one, true, resets);
}

void weather_part(struct fleet *fleet, enum partition_shape shape, bool resets) {
    uint32_t count = fleet->station_count, order[STATIONS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (uint32_t)rng_below(dice(fleet), i + 1);
        order[i] = order[at];
        order[at] = i;
    }
    uint32_t middle = count / 2;
    for (uint32_t a = 0; a < count; a++)
        for (uint32_t b = 0; b < a; b++) {
            bool is_apart;
            switch (shape) {
            case PARTITION_ONE: is_apart = b == 0; break;
            case PARTITION_HALVES: is_apart = b < middle && a >= middle; break;
            case PARTITION_BRIDGE: is_apart = b < middle && a > middle; break;
            case PARTITION_CHAIN: is_apart = a - b > 1 && a - b < count - 1; break;
            default: is_apart = false; break;
            }
            if (is_apart)
                cut_both(fleet, order[a], order[b], resets);
        }
    if (shape == PARTITION_ONE_WAY && count > 1)
        network_cut(&fleet->network, order[0], order[1], true, resets);
}

static void mend(void *context) {
    struct fleet *fleet = context;
    if (fleet->is_parted && fleet->is_stormy)
        network_mend_all(&fleet->network);
    fleet->is_parted = false;
}

static void part(void *context) {
    struct fleet *fleet = context;
    const struct weather *weather = &fleet->conditions.weather;
    if (!fleet->is_stormy)
        return;
    again(fleet, weather->partition_every_ns, part);
    if (fleet->is_parted)
        return;
    uint32_t shape = (uint32_t)rng_below(dice(fleet), PARTITION_SHAPE_COUNT);
    while (!(weather->shapes >> shape & 1))
        shape = (shape + 1) % PARTITION_SHAPE_COUNT;
    fleet->is_parted = true;
    weather_part(fleet, (enum partition_shape)shape, chance_permille(dice(fleet), weather->resets_permille));
    world_at(&fleet->world,
             fleet->world.now_ns + chance_magnitude(dice(fleet), 100 * MS_NS, weather->partition_max_ns),
             mend, fleet);
}

/* ---- Processes ---- */

/* Whether somebody new would meet the others: else two who have never met them might found a cluster of their own, and who
 * should then make one of two? */
static bool is_welcoming(const struct fleet *fleet) {
    for (uint32_t i = 0; i < fleet->station_count && !fleet->is_parted; i++) {
        const struct station *station = &fleet->stations[i];
        if (i < fleet->conditions.nodes && station_runs(station) && !station->is_removed &&
            station->stands_still_until_ns <= fleet->world.now_ns && !station->node->cluster->is_joining &&
            membership_count(station->node->cluster->membership) > 1)
            return true;
    }
    return false;
}

static void begin_again(void *context) {
    struct station *station = context;
    struct fleet *fleet = station->observer.context;
    const struct weather *weather = &fleet->conditions.weather;
    if (!fleet->is_stormy || station_runs(station) ||
        (station->is_removed && chance_permille(dice(fleet), 500)))
        return;
    enum disk_fate fate = DISK_KEPT;
    if (chance_permille(dice(fleet), weather->disk_loss_permille) && !station->is_removed &&
        fleet->lost_id_count < LOST_IDS_MAX / 2 && is_welcoming(fleet))
        fate = DISK_LOST;
    else if (chance_permille(dice(fleet), weather->rollback_permille) && station->has_old_disk)
        fate = DISK_ROLLED_BACK;
    fleet_begin_node(fleet, station->number, fate);
}

/* One that has been asked to end does so when it is ready: then somebody begins it again. */
static void look_for_ended(void *context) {
    struct fleet *fleet = context;
    if (!fleet->is_stormy)
        return;
    for (uint32_t i = 0; i < fleet->station_count; i++) {
        struct station *station = &fleet->stations[i];
        if (station->is_asked_to_end && !station_runs(station)) {
            station->is_asked_to_end = false;
            world_at(&fleet->world,
                     fleet->world.now_ns +
                         chance_magnitude(dice(fleet), MS_NS, fleet->conditions.weather.down_max_ns),
                     begin_again, station);
        }
    }
    world_at(&fleet->world, fleet->world.now_ns + S_NS, look_for_ended, fleet);
}

static void end_one(void *context) {
    struct fleet *fleet = context;
    const struct weather *weather = &fleet->conditions.weather;
    if (!fleet->is_stormy)
        return;
    again(fleet, weather->end_every_ns, end_one);
    struct station *station = some_station(fleet);
    if (station == NULL)
        return;
    if (fleet->conditions.is_clear) {
        char why[256];
        /* One at a time: all others have what it has, but for the last moments. */
        if (!fleet_is_settled(fleet, true, why))
            return;
    }
    if (weather->rollback_permille != 0 && (!station->has_old_disk || chance_permille(dice(fleet), 300)))
        station_keep_disk(station);
    uint64_t way = rng_below(dice(fleet), 3);
    if (way == 0 && weather->may_stop_in_peace) {
        station_ask_to_end(station, chance_permille(dice(fleet), 500) ? NODE_STOP_DEFAULT : NODE_STOP_NOSAVE);
        return;
    }
    station_end(station, way == 1 && weather->loses_power);
    world_at(&fleet->world, fleet->world.now_ns + chance_magnitude(dice(fleet), MS_NS, weather->down_max_ns),
             begin_again, station);
}

static void stand_still(void *context) {
    struct fleet *fleet = context;
    if (!fleet->is_stormy)
        return;
    again(fleet, fleet->conditions.weather.pause_every_ns, stand_still);
    struct station *station = some_station(fleet);
    if (station != NULL)
        station_pause(station, chance_magnitude(dice(fleet), MS_NS, fleet->conditions.weather.pause_max_ns));
}

/* ---- Clocks, connections ---- */

static void jump(void *context) {
    struct fleet *fleet = context;
    if (!fleet->is_stormy)
        return;
    again(fleet, fleet->conditions.weather.jump_every_ns, jump);
    struct station *station = some_station(fleet);
    if (station == NULL)
        return;
    int64_t by_us = (int64_t)chance_magnitude(dice(fleet), 1000, fleet->conditions.weather.jump_max_us);
    station->wall_shift_us += chance_permille(dice(fleet), 500) ? by_us : -by_us;
    world_note(&fleet->world, "the clock of node %u jumps: %lld ms from the others", station->number,
               (long long)station->wall_shift_us / 1000);
}

static void cut_one(void *context) {
    struct fleet *fleet = context;
    if (!fleet->is_stormy)
        return;
    again(fleet, fleet->conditions.weather.cut_every_ns, cut_one);
    network_break_some_wire(&fleet->network);
}

/* ---- Members ---- */

static void join(void *context) {
    struct fleet *fleet = context;
    if (!fleet->is_stormy || fleet->begun_count >= fleet->station_count)
        return;
    again(fleet, fleet->conditions.weather.join_every_ns, join);
    if (is_welcoming(fleet))
        fleet_begin_node(fleet, fleet->begun_count, DISK_KEPT);
}

static bool knows(const struct station *station, const struct station *other) {
    const struct membership *membership = station->node->cluster->membership;
    uint16_t member = membership_find(membership, other->identity.actor.node_id);
    return member != RING_NOBODY && membership_member(membership, member)->state != MEMBER_REMOVED;
}

/* A member ends, is taken out of the cluster, and perhaps comes back as if nothing had been. The word of it may get lost, with
 * those who have heard it: it is said again when peace has come. */
static void remove_one(void *context) {
    struct fleet *fleet = context;
    struct user *user = &fleet->users[FLEET_OPERATOR];
    if (!fleet->is_stormy || running_count(fleet) < 3)
        return;
    struct station *gone = some_station(fleet), *through = some_station(fleet);
    if (gone == through || !knows(through, gone))
        return;
    station_end(gone, false);
    gone->is_removed = true;
    char id[IDENTITY_ID_SIZE];
    identity_print_id(gone->identity.actor.node_id, id);
    world_note(&fleet->world, "node %u is taken out of the cluster, through node %u", gone->number,
               through->number);
    if (user_connect(user, through))
        user_look(user, (const char *const[]){"CLUSTER", "FORGET", id, NULL});
    if (fleet->lost_id_count < LOST_IDS_MAX)
        memcpy(fleet->lost_ids[fleet->lost_id_count++], gone->identity.actor.node_id, NODE_ID_SIZE);
    world_at(&fleet->world, fleet->world.now_ns + chance_magnitude(dice(fleet), 10 * MS_NS, 20 * S_NS),
             begin_again, gone);
}

void weather_begin(struct fleet *fleet) {
    const struct weather *weather = &fleet->conditions.weather;
    again(fleet, weather->partition_every_ns, part);
    again(fleet, weather->end_every_ns, end_one);
    again(fleet, weather->pause_every_ns, stand_still);
    again(fleet, weather->jump_every_ns, jump);
    again(fleet, weather->cut_every_ns, cut_one);
    again(fleet, weather->join_every_ns, join);
    if (weather->end_every_ns != 0)
        again(fleet, S_NS, look_for_ended);
    if (weather->removal_at_ns != 0)
        world_at(&fleet->world, fleet->world.now_ns + weather->removal_at_ns, remove_one, fleet);
}
