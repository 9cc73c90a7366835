/* verdict.c - whether the nodes of a cluster are of one opinion: members, routes, records, digests; and what all of them answer.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/fleet.h"
#include "sim/ring/inspector_inside.h"

#include "node/cluster.h"
#include "node/state.h"
#include "store/keyspace.h"
#include "store/ledger.h"

#include <stdio.h>

#define READS_AT_ONCE 64
#define ANSWER_NS     (20 * S_NS)
/* Who reads a key that is about to expire may find it or not. */
#define EXPIRY_MARGIN_MS 2000

static const struct cluster *cluster_of(const struct fleet *fleet, uint32_t number) {
    return fleet->stations[number].node->cluster;
}

static bool is_member(const struct fleet *fleet, uint32_t number) {
    return station_runs(&fleet->stations[number]) && !fleet->stations[number].is_removed;
}

uint32_t fleet_find_id(const struct fleet *fleet, const uint8_t id[NODE_ID_SIZE]) {
    for (uint32_t i = 0; i < fleet->station_count; i++)
        if (is_member(fleet, i) && memcmp(fleet->stations[i].identity.actor.node_id, id, NODE_ID_SIZE) == 0)
            return i;
    return STATIONS_MAX;
}

static uint32_t first_member(const struct fleet *fleet) {
    for (uint32_t i = 0; i < fleet->station_count; i++)
        if (is_member(fleet, i))
            return i;
    return STATIONS_MAX;
}

static uint32_t station_of(const struct fleet *fleet, const struct cluster *cluster, uint16_t member) {
    return member == ROUTE_NOBODY || member >= membership_count(cluster->membership)
               ? STATIONS_MAX
               : fleet_find_id(fleet, membership_member(cluster->membership, member)->entry.id);
}

uint32_t fleet_holders(const struct fleet *fleet, uint32_t slot) {
    const struct cluster *cluster = cluster_of(fleet, first_member(fleet));
    uint16_t holders[RING_COPIES_MAX];
    uint32_t found = 0, count = cluster_holders(cluster, slot, holders);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t station = station_of(fleet, cluster, holders[i]);
        if (station != STATIONS_MAX)
            found |= 1u << station;
    }
    return found;
}

/* ---- Members and routes ---- */

bool fleet_has_met(const struct fleet *fleet, char why[256]) {
    uint32_t first = first_member(fleet), members = 0;
    for (uint32_t i = 0; i < fleet->station_count; i++)
        members += is_member(fleet, i);
    for (uint32_t i = 0; i < fleet->station_count; i++) {
        if (!is_member(fleet, i))
            continue;
        const struct membership *membership = cluster_of(fleet, i)->membership;
        if (membership_live_count(membership) == members &&
            memcmp(membership_cluster_id(membership),
                   membership_cluster_id(cluster_of(fleet, first)->membership), CLUSTER_ID_SIZE) == 0)
            continue;
        snprintf(why, 256, "node %u sees %u of %u members, or is of another cluster", i,
                 membership_live_count(membership), members);
        return false;
    }
    return true;
}

/* Whose heartbeat stands still may be called down at any moment, also when the path to it has just been mended: then others take over
 * what it coordinates. And what a node keeps for others is on its way to them: where there is one home copy alone, nothing else
 * shows that it is behind. */
static bool is_even_with_all(const struct fleet *fleet, uint32_t number, char why[256]) {
    const struct cluster *cluster = cluster_of(fleet, number);
    for (uint32_t i = 1; i < membership_count(cluster->membership); i++) {
        const struct member *member = membership_member(cluster->membership, (uint16_t)i);
        bool is_suspect = member->state == MEMBER_SUSPECT;
        if (!is_suspect && (member->state != MEMBER_UP || !hints_has_any(&cluster->hints, (uint16_t)i)))
            continue;
        snprintf(why, 256, "node %u %s node %u", number, is_suspect ? "suspects" : "has hints for",
                 fleet_find_id(fleet, member->entry.id));
        return false;
    }
    return true;
}

static bool agree_on_members(const struct fleet *fleet, char why[256]) {
    uint32_t first = first_member(fleet), members = 0;
    for (uint32_t i = 0; i < fleet->station_count; i++)
        members += is_member(fleet, i);
    if (members == 0) {
        snprintf(why, 256, "nobody is there");
        return false;
    }
    for (uint32_t i = 0; i < fleet->station_count; i++) {
        if (!is_member(fleet, i))
            continue;
        const struct cluster *cluster = cluster_of(fleet, i);
        if (fleet->stations[i].node->persistence.is_loading || cluster->ring == NULL || cluster->is_joining)
            snprintf(why, 256, "node %u is loading, has no ring, or has met nobody yet", i);
        else if (cluster->ring->member_count != members ||
                 membership_live_count(cluster->membership) != members)
            snprintf(why, 256, "node %u sees %u members, %u alive, of %u that are there", i,
                     cluster->ring->member_count, membership_live_count(cluster->membership), members);
        else if (cluster->ring->digest != cluster_of(fleet, first)->ring->digest)
            snprintf(why, 256, "nodes %u and %u have different rings", first, i);
        else if (memcmp(membership_cluster_id(cluster->membership),
                        membership_cluster_id(cluster_of(fleet, first)->membership), CLUSTER_ID_SIZE) != 0)
            snprintf(why, 256, "nodes %u and %u are of different clusters", first, i);
        else if (members > 1 && !cluster->is_settled)
            snprintf(why, 256, "node %u is not settled", i);
        else if (is_even_with_all(fleet, i, why))
            continue;
        return false;
    }
    return true;
}

static bool agree_on_routes(const struct fleet *fleet, char why[256]) {
    uint32_t first = first_member(fleet);
    const struct cluster *ours = cluster_of(fleet, first);
    if (ours->ring->member_count == 1)
        return true;
    for (uint32_t i = first + 1; i < fleet->station_count; i++) {
        if (!is_member(fleet, i))
            continue;
        const struct cluster *theirs = cluster_of(fleet, i);
        uint32_t same_as[RING_MEMBERS_MAX > 64 ? 64 : RING_MEMBERS_MAX];
        uint32_t count = membership_count(theirs->membership);
        for (uint32_t member = 0; member < count && member < 64; member++)
            same_as[member] = membership_find(
                ours->membership, membership_member(theirs->membership, (uint16_t)member)->entry.id);
        for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
            uint16_t route = theirs->routes[slot];
            if (route < 64 && same_as[route] == ours->routes[slot] && ours->routes[slot] != ROUTE_NOBODY)
                continue;
            snprintf(why, 256,
                     "slot %u is executed by node %u as node %u sees it, and by node %u as node %u does",
                     slot, station_of(fleet, ours, ours->routes[slot]), first,
                     station_of(fleet, theirs, route), i);
            return false;
        }
    }
    return true;
}

/* ---- Records ---- */

static bool is_alive(const struct fleet *fleet, const struct record *record) {
    if (record == NULL)
        return false;
    int64_t expiry_ms = record_expiry_ms(record);
    return expiry_ms == RECORD_NO_EXPIRY ||
           expiry_ms > world_wall_us(&fleet->world) / 1000 + EXPIRY_MARGIN_MS;
}

static bool is_gone(const struct record *record) {
    return record == NULL || record_type(record) == RECORD_TOMBSTONE;
}

/* Whether the node that executes a key's commands has a stub of this very record: by a clock that was ahead its time had come there.
 * What is a stub has the version of what has expired; a deletion has one of its own. */
static bool has_expired_for_all(struct fleet *fleet, uint32_t key, uint32_t holder,
                                const struct record *record) {
    const struct cluster *cluster = cluster_of(fleet, first_member(fleet));
    uint32_t executes = station_of(fleet, cluster, cluster->routes[fleet->history.keys[key].slot]);
    if (executes == STATIONS_MAX || record_expiry_ms(record) == RECORD_NO_EXPIRY)
        return false;
    const struct station *station = &fleet->stations[executes];
    const struct record *stub = inspector_record(&fleet->inspector, station, key);
    if (stub == NULL || record_type(stub) != RECORD_TOMBSTONE)
        return false;
    struct known_version version, expired;
    inspector_version(&fleet->inspector, &fleet->stations[holder], record, &version);
    inspector_version(&fleet->inspector, station, stub, &expired);
    return inspector_same_write(&fleet->inspector, &version, &expired);
}

static bool agree_on_key(struct fleet *fleet, uint32_t key, uint32_t holders, char why[256]) {
    const struct record *first = NULL;
    uint32_t first_holder = STATIONS_MAX;
    struct known_version version, other;
    const char *name = fleet->history.keys[key].name;
    for (uint32_t i = 0; i < fleet->station_count; i++) {
        if (!(holders >> i & 1))
            continue;
        const struct record *record = inspector_record(&fleet->inspector, &fleet->stations[i], key);
        if (first_holder == STATIONS_MAX) {
            first_holder = i;
            first = record;
            if (first != NULL)
                inspector_version(&fleet->inspector, &fleet->stations[i], first, &version);
            continue;
        }
        if (!is_alive(fleet, first) && !is_alive(fleet, record) &&
            fleet->history.keys[key].kind == KEY_VOLATILE)
            continue; /* one has reclaimed it, another has not yet */
        if (first != NULL && record != NULL && record_type(first) != record_type(record) &&
            fleet->history.keys[key].kind == KEY_VOLATILE) {
            inspector_version(&fleet->inspector, &fleet->stations[i], record, &other);
            if (inspector_same_write(&fleet->inspector, &version, &other))
                continue; /* one has become a stub: the clock that says so is ahead of the other's */
        }
        if (first == NULL && record == NULL)
            continue;
        if (fleet->conditions.repair == REPAIR_READS && is_gone(first) && is_gone(record))
            continue; /* reads do not tell of a deletion where there is nothing to be deleted */
        if (first == NULL || record == NULL) {
            snprintf(why, 256, "node %u has %s, and node %u has not", first == NULL ? i : first_holder, name,
                     first == NULL ? first_holder : i);
            return false;
        }
        inspector_version(&fleet->inspector, &fleet->stations[i], record, &other);
        const char *what =
            !inspector_same_write(&fleet->inspector, &version, &other) ? "versions"
            : record_type(first) != record_type(record)                ? "types"
            : record_expiry_ms(first) != record_expiry_ms(record)      ? "expiries"
            : record_value_size(first) != record_value_size(record)    ? "sizes"
            : memcmp(record_value_const(first), record_value_const(record), record_value_size(first)) != 0
                ? "values"
            : !inspector_same_state(&fleet->inspector, key, fleet->stations[first_holder].node->keyspace,
                                    first, fleet->stations[i].node->keyspace, record)
                ? "merge states"
                : NULL;
        if (what != NULL) {
            char text[2][80];
            snprintf(why, 256, "nodes %u and %u have different %s of %s: [%s] [%s]", first_holder, i, what,
                     name, inspector_print_version(&fleet->inspector, &version, text[0], sizeof text[0]),
                     inspector_print_version(&fleet->inspector, &other, text[1], sizeof text[1]));
            return false;
        }
    }
    return true;
}

/* Who does not hold a slot has handed over what it had of it: that is a part of comparing. */
static bool is_in_place(const struct fleet *fleet, uint32_t key, uint32_t holders, char why[256]) {
    if (fleet->conditions.repair == REPAIR_HINTS || fleet->conditions.repair == REPAIR_READS)
        return true;
    for (uint32_t i = 0; i < fleet->station_count; i++)
        if (is_member(fleet, i) && !(holders >> i & 1) &&
            inspector_record(&fleet->inspector, &fleet->stations[i], key) != NULL) {
            snprintf(why, 256, "node %u still has %s, which is not its own", i,
                     fleet->history.keys[key].name);
            return false;
        }
    return true;
}

static bool agree_on_digests(const struct fleet *fleet, char why[256]) {
    uint32_t first = first_member(fleet);
    if (cluster_of(fleet, first)->ring->member_count == 1 || fleet->conditions.repair == REPAIR_READS)
        return true;
    uint32_t holders = 0;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        uint32_t known = STATIONS_MAX;
        uint64_t digest = 0;
        if (slot == 0 || ring_begins(cluster_of(fleet, first)->ring, slot))
            holders = fleet_holders(fleet, slot);
        for (uint32_t i = 0; i < fleet->station_count; i++) {
            if (!(holders >> i & 1))
                continue;
            const struct ledger *ledger = fleet->stations[i].node->keyspace->ledger;
            if (!ledger_is_known(ledger, slot)) {
                snprintf(why, 256, "node %u has no digest of slot %u yet", i, slot);
                return false;
            }
            uint64_t theirs = slot_set_has(&ledger->touched, slot) ? ledger_slot_digest(ledger, slot) : 0;
            if (known != STATIONS_MAX && theirs != digest) {
                snprintf(
                    why, 256, "nodes %u and %u have different digests of slot %u (flushes %llx, %llx)", known,
                    i, slot,
                    (unsigned long long)fleet->stations[known].node->keyspace->ledger->flush_counters[slot],
                    (unsigned long long)ledger->flush_counters[slot]);
                return false;
            }
            known = i;
            digest = theirs;
        }
    }
    return true;
}

bool fleet_is_settled(struct fleet *fleet, bool without_records, char why[256]) {
    if (!agree_on_members(fleet, why) || !agree_on_routes(fleet, why))
        return false;
    if (without_records)
        return true;
    for (uint32_t key = 0; key < fleet->history.key_count; key++) {
        uint32_t holders = fleet_holders(fleet, fleet->history.keys[key].slot);
        if (!agree_on_key(fleet, key, holders, why) || !is_in_place(fleet, key, holders, why))
            return false;
    }
    return agree_on_digests(fleet, why);
}

/* ---- The end ---- */

/* Digests are kept up with every change: are they what the records give? */
static bool digests_are_right(struct fleet *fleet, uint32_t number, char why[256]) {
    struct station *station = &fleet->stations[number];
    struct keyspace *keyspace = station->node->keyspace;
    bool is_right = true;
    if (keyspace->is_alone || keyspace->ledger == NULL)
        return true;
    uint64_t *sums = world_alloc(&fleet->world, SLOT_COUNT * sizeof *sums);
    for (uint32_t key = 0; key < fleet->history.key_count; key++) {
        const struct history_key *name = &fleet->history.keys[key];
        struct argument argument = {
            .data = (const uint8_t *)name->name, .size = name->name_size, .slot = ARGUMENT_NOT_PLACED};
        keyspace_place(keyspace, &argument);
        struct record *record = keyspace_find_record(keyspace, &argument);
        if (record != NULL)
            sums[argument.slot] += ledger_record_digest(keyspace, argument.hash, record);
    }
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        const struct ledger *ledger = keyspace->ledger;
        bool is_counted = ledger->flush_counters[slot] != 0 || ledger->floors.counters[slot] != 0;
        if ((is_counted && !slot_set_has(&ledger->counted, slot)) ||
            ((is_counted || ledger->digests[slot] != 0) && !slot_set_has(&ledger->touched, slot))) {
            snprintf(why, 256, "node %u does not know that slot %u has a digest", number, slot);
            is_right = false;
        }
        if (ledger_is_known(keyspace->ledger, slot) && keyspace->ledger->digests[slot] != sums[slot]) {
            snprintf(why, 256, "node %u has the digest %llx of slot %u, and its records give %llx", number,
                     (unsigned long long)keyspace->ledger->digests[slot], slot,
                     (unsigned long long)sums[slot]);
            is_right = false;
        }
    }
    world_free(&fleet->world, sums, SLOT_COUNT * sizeof *sums);
    return is_right;
}

/* Digests that are wrong are the reason for much else. */
static bool all_digests_are_right(struct fleet *fleet, char why[256]) {
    for (uint32_t i = 0; i < fleet->station_count; i++)
        if (is_member(fleet, i) && !digests_are_right(fleet, i, why))
            return false;
    return true;
}

/* For people: which copies differ where nodes do not come to agree. */
static void note_difference(struct fleet *fleet) {
    char why[256];
    for (uint32_t key = 0; key < fleet->history.key_count; key++)
        if (!agree_on_key(fleet, key, fleet_holders(fleet, fleet->history.keys[key].slot), why)) {
            world_note(&fleet->world, "%s", why);
            inspector_note_copies(&fleet->inspector, key);
            return;
        }
}

bool fleet_settle(struct fleet *fleet, uint64_t limit_ns, char why[256]) {
    uint64_t until_ns = fleet->world.now_ns + limit_ns;
    while (!fleet_is_settled(fleet, false, why)) {
        if (fleet->world.now_ns >= until_ns || !fleet_pass(fleet, 500 * MS_NS)) {
            if (all_digests_are_right(fleet, why) && !world_has_failed(&fleet->world))
                note_difference(fleet);
            return false;
        }
    }
    return true;
}

static bool wait_for(struct fleet *fleet, struct user *user) {
    uint64_t until_ns = fleet->world.now_ns + ANSWER_NS;
    while (user_waits(user) && !world_has_failed(&fleet->world) && fleet->world.now_ns < until_ns)
        if (!world_step(&fleet->world))
            break;
    if (user_waits(user))
        world_fail(&fleet->world, "I-LIVE: node %u does not answer within %llu s",
                   user->client.station == NULL ? 99 : user->client.station->number,
                   (unsigned long long)(ANSWER_NS / S_NS));
    return !world_has_failed(&fleet->world);
}

/* What is read at the end is what all holders have. */
static void check_read(void *context, uint32_t key, const uint8_t *data, size_t size) {
    struct fleet *fleet = context;
    uint32_t holders = fleet_holders(fleet, fleet->history.keys[key].slot);
    if (holders == 0) {
        world_fail(&fleet->world, "I-RING: nobody holds %s", fleet->history.keys[key].name);
        return;
    }
    uint32_t number = (uint32_t)__builtin_ctz(holders);
    struct record *record = inspector_record(&fleet->inspector, &fleet->stations[number], key);
    bool is_string = record != NULL && record_type(record) == RECORD_STRING;
    fleet->final_reads++;
    bool is_volatile = fleet->history.keys[key].kind == KEY_VOLATILE;
    /* It may be gone any moment, or has been when the reply was on its way; or is so only by this holder's clock, and has left a stub
     * (that it is one, and no later deletion, was looked at when the nodes had settled); or only by the clock of who executes reads. */
    if ((is_string && !is_alive(fleet, record)) || (is_volatile && !is_string) ||
        (is_string && is_volatile && data == NULL && has_expired_for_all(fleet, key, number, record)))
        return;
    bool is_right = data == NULL ? !is_string
                                 : is_string && record_value_size(record) == size &&
                                       memcmp(record_value_const(record), data, size) == 0;
    if (!is_right)
        world_fail(&fleet->world,
                   "I-CONV: %s is read as %s with %zu bytes through node %u, and node %u holds %s with %u",
                   fleet->history.keys[key].name, data == NULL ? "nothing" : "a value", size,
                   fleet->users[FLEET_READER].client.station->number, number,
                   is_string ? "a value" : "nothing", is_string ? record_value_size(record) : 0);
}

static void note_number(void *context, int64_t number) {
    struct fleet *fleet = context;
    fleet->last_number = number;
}

static void read_all_through(struct fleet *fleet, uint32_t number) {
    struct user *reader = &fleet->users[FLEET_READER];
    if (!user_connect(reader, &fleet->stations[number])) {
        world_fail(&fleet->world, "I-LIVE: node %u takes no client", number);
        return;
    }
    for (uint32_t key = 0; key < fleet->history.key_count; key++) {
        user_ask_value(reader, key);
        if ((key % READS_AT_ONCE == READS_AT_ONCE - 1 || key == fleet->history.key_count - 1) &&
            !wait_for(fleet, reader))
            return;
    }
    user_ask_size(reader);
    if (!wait_for(fleet, reader))
        return;
    int64_t least = 0, most = 0;
    for (uint32_t key = 0; key < fleet->history.key_count; key++) {
        uint32_t holder = (uint32_t)__builtin_ctz(fleet_holders(fleet, fleet->history.keys[key].slot));
        struct record *record = inspector_record(&fleet->inspector, &fleet->stations[holder], key);
        bool is_string = record != NULL && record_type(record) == RECORD_STRING;
        least += is_string && is_alive(fleet, record) && !has_expired_for_all(fleet, key, holder, record);
        most += is_string || fleet->history.keys[key].kind == KEY_VOLATILE;
    }
    if (fleet->last_number < least || fleet->last_number > most)
        world_fail(&fleet->world, "I-CONV: DBSIZE through node %u says %lld; there are %lld to %lld keys",
                   number, (long long)fleet->last_number, (long long)least, (long long)most);
    user_leave(reader);
}

bool fleet_read_all_copies(struct fleet *fleet) {
    struct user *reader = &fleet->users[FLEET_READER];
    uint32_t first = first_member(fleet);
    char copies[12];
    snprintf(copies, sizeof copies, "%u", conditions_copies(&fleet->conditions));
    if (first == STATIONS_MAX || !user_connect(reader, &fleet->stations[first]))
        return false;
    user_look(reader, (const char *const[]){"KV.QUORUM", copies, "0", NULL});
    for (uint32_t key = 0; key < fleet->history.key_count; key++) {
        user_ask_value(reader, key);
        if ((key % READS_AT_ONCE == READS_AT_ONCE - 1 || key == fleet->history.key_count - 1) &&
            !wait_for(fleet, reader))
            return false;
    }
    user_leave(reader);
    return !world_has_failed(&fleet->world);
}

static void check_holders(struct fleet *fleet, uint32_t key, uint32_t holders) {
    /* Where nothing is it was deleted, and nobody has told it. */
    for (uint32_t i = 0; i < fleet->station_count && fleet->conditions.repair == REPAIR_READS; i++)
        if (holders >> i & 1 && inspector_record(&fleet->inspector, &fleet->stations[i], key) == NULL)
            holders &= ~(1u << i);
    inspector_check_claims(&fleet->inspector, key, holders);
    if (holders != 0 && !world_has_failed(&fleet->world))
        inspector_check_kept(&fleet->inspector, key, &fleet->stations[__builtin_ctz(holders)]);
    if (holders != 0 && !world_has_failed(&fleet->world))
        inspector_check_buried(&fleet->inspector, key, &fleet->stations[__builtin_ctz(holders)]);
}

void fleet_check_all(struct fleet *fleet) {
    struct world *world = &fleet->world;
    char why[256];
    if (!all_digests_are_right(fleet, why))
        world_fail(world, "I-CONV: %s", why);
    for (uint32_t key = 0; key < fleet->history.key_count && !world_has_failed(world); key++)
        check_holders(fleet, key, fleet_holders(fleet, fleet->history.keys[key].slot));
    fleet->history.is_final = true;
    struct user *reader = &fleet->users[FLEET_READER];
    reader->observer.context = fleet;
    reader->observer.read = check_read;
    reader->observer.number = note_number;
    for (uint32_t i = 0; i < fleet->station_count && !world_has_failed(world); i++)
        if (is_member(fleet, i))
            read_all_through(fleet, i);
}
