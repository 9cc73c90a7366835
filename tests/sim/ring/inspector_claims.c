/* inspector_claims.c - acknowledged writes, and who has to have them.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/inspector_inside.h"

#include "node/cluster.h"
#include "node/state.h"
#include "store/keyspace.h"
#include "store/ledger.h"

#include <stdio.h>

/* ---- I-HOLD ---- */

/* By what was seen last. */
static bool covers(const struct inspector *inspector, const struct station *station, uint32_t key,
                   const struct claim *claim) {
    const struct known_dot *kept = &inspector->dots[inspector_sight(inspector, station, key)->version];
    uint32_t count = (uint32_t)kept->counter;
    if (inspector_counter_of(kept + 1, count, claim->actor) >= claim->counter)
        return true;
    /* Of a write that has lost the versions may forget that it was there: which one wins is decided by the counter. */
    if (count != 0 && inspector_newest(inspector, kept + 1, count).counter > claim->counter)
        return true;
    if (inspector_flush_counter(inspector, station, key) >= claim->counter)
        return true;
    /* It was deleted, and the tombstone has gone, too. */
    const struct history_key *name = &inspector->history->keys[key];
    return (name->last_delete_ns != 0 || name->open_deletes != 0) &&
           inspector_floor(inspector, station, key) >= claim->counter;
}

/* Who has a claim, of those whose record was looked at just now. */
static uint32_t seen_holders(const struct inspector *inspector, uint32_t key, const struct claim *claim) {
    uint32_t holders = 0;
    for (uint32_t i = 0; i < inspector->station_count; i++) {
        const struct station *station = &inspector->stations[i];
        if (station_runs(station) && covers(inspector, station, key, claim))
            holders |= 1u << i;
    }
    return holders;
}

static uint32_t holders_of(struct inspector *inspector, uint32_t key, const struct claim *claim) {
    inspector_look_everywhere(inspector, key);
    return seen_holders(inspector, key, claim);
}

static void fail_claim(struct inspector *inspector, uint32_t key, const struct claim *claim,
                       const char *what) {
    const struct actor_identity *actor = &inspector->actors[claim->actor - 1];
    if (!world_has_failed(inspector->world))
        inspector_note_copies(inspector, key);
    world_fail(
        inspector->world,
        "I-HOLD: %s: operation %u of user %u, told at %.6f s, made it %02x%02x.%llu:%llx.%u: %s (holders were %x)",
        inspector->history->keys[key].name, claim->operation->sequence, claim->operation->user,
        (double)claim->operation->done_ns / 1e9, actor->node_id[0], actor->node_id[1],
        (unsigned long long)actor->incarnation, (unsigned long long)(claim->counter >> 16),
        (unsigned)(claim->counter & 0xffff), what, claim->holders);
}

/* The stations that hold a key's slot, as anybody sees it. */
static uint32_t listed(const struct inspector *inspector, uint32_t key) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < inspector->station_count; i++) {
        uint16_t holders[RING_COPIES_MAX];
        if (!station_runs(&inspector->stations[i]))
            continue;
        const struct cluster *cluster = inspector->stations[i].node->cluster;
        uint32_t count = cluster_holders(cluster, inspector->history->keys[key].slot, holders);
        for (uint32_t at = 0; at < count; at++)
            for (uint32_t k = 0; k < inspector->station_count; k++)
                if (memcmp(membership_member(cluster->membership, holders[at])->entry.id,
                           inspector->stations[k].identity.actor.node_id, NODE_ID_SIZE) == 0)
                    found |= 1u << k;
    }
    return found;
}

/* Whether there are fewer than W that have it, and not because of memories that were lost since so many of those had it who hold its
 * slot: a stand-in gives its copy away. */
static bool is_too_thin(const struct inspector *inspector, uint32_t key, struct claim *claim,
                        uint32_t holders) {
    uint32_t count = (uint32_t)__builtin_popcount(holders), writes = claim->operation->writes;
    if (!claim->had_all || !inspector->members_stay)
        return false;
    if (claim->losses != 0 && count >= writes &&
        (uint32_t)__builtin_popcount(holders & listed(inspector, key)) >= writes)
        claim->losses = 0;
    return count + claim->losses < writes;
}

void inspector_check_key(struct inspector *inspector, uint32_t key) {
    for (uint32_t i = 0; i < CLAIMS_MAX; i++) {
        struct claim *claim = &inspector->claims[key * CLAIMS_MAX + i];
        if (claim->actor == 0)
            continue;
        uint32_t holders = seen_holders(inspector, key, claim);
        if (holders == 0) {
            fail_claim(inspector, key, claim, "nobody has it or what descends from it");
            return;
        }
        claim->holders = holders;
        if (is_too_thin(inspector, key, claim, holders)) {
            fail_claim(inspector, key, claim, "W copies had it, and they have not lost their memory");
            return;
        }
    }
}

/* A node that has never met another one leaves no tombstones, and forgets what a write replaces. */
static bool somebody_is_alone(const struct inspector *inspector) {
    for (uint32_t i = 0; i < inspector->station_count; i++)
        if (station_runs(&inspector->stations[i]) && inspector->stations[i].node->keyspace->is_alone)
            return true;
    return false;
}

/* ---- I-ACK ---- */

/* Whether who does not hold the slot keeps it for one who does. */
static bool stands_in(const struct inspector *inspector, const struct station *station, uint32_t key) {
    const struct history_key *name = &inspector->history->keys[key];
    const struct cluster *cluster = station->node->cluster;
    struct argument argument = {
        .data = (const uint8_t *)name->name, .size = name->name_size, .slot = ARGUMENT_NOT_PLACED};
    keyspace_place(station->node->keyspace, &argument);
    /* Where hints are kept for a moment only, comparing takes over. */
    return !station->config.hinted_handoff || inspector->conditions->hint_window_s != 0 ||
           cluster->routes[name->slot] == ROUTE_SELF || hints_has_key(&cluster->hints, &argument);
}

/* Of those who have it, how many count. */
static uint32_t counted(const struct inspector *inspector, uint32_t key, uint32_t holders) {
    uint32_t home = listed(inspector, key), count = 0;
    if (!inspector->members_stay)
        return (uint32_t)__builtin_popcount(holders); /* some had it when it was their slot */
    for (uint32_t i = 0; i < inspector->station_count; i++) {
        bool is_outside = !(home >> i & 1);
        if (!(holders >> i & 1) || (is_outside && inspector->conditions->quorum.is_strict))
            continue;
        count += !is_outside || stands_in(inspector, &inspector->stations[i], key);
    }
    return count;
}

static void check_copies(struct inspector *inspector, const struct operation *operation, struct claim *claim,
                         uint32_t wanted) {
    uint32_t key = operation->keys[0], count;
    char text[100];
    /* Who has acknowledged it has died meanwhile; or it was executed twice, and which of both was told is not known. */
    if (inspector->last_loss_ns >= operation->invoked_ns || operation->was_repeated)
        return;
    inspector->statistics.acknowledged++;
    count = counted(inspector, key, claim->holders);
    if (count >= wanted) {
        claim->had_all = operation->writes > 1 && count >= operation->writes;
        return;
    }
    snprintf(text, sizeof text, "I-ACK: %u copies have it, it is said, and %u do", wanted, count);
    fail_claim(inspector, key, claim, text);
}

void inspector_undecided(struct inspector *inspector, const struct operation *operation, uint32_t copies) {
    if (operation->dot_actor == 0 || !operation_sets(operation) || operation->key_count != 1 ||
        somebody_is_alone(inspector) || inspector->history->keys[operation->keys[0]].kind == KEY_VOLATILE)
        return;
    struct claim claim = {
        .actor = operation->dot_actor, .counter = operation->dot_counter, .operation = operation};
    claim.holders = holders_of(inspector, operation->keys[0], &claim);
    check_copies(inspector, operation, &claim, copies);
}

void inspector_told(struct inspector *inspector, struct operation *operation) {
    /* Alone, a counter is a number like any other. */
    if (operation->kind == OPERATION_INCR && somebody_is_alone(inspector))
        history_excuse(inspector->history, operation->keys[0]);
    inspector->was_alone = inspector->was_alone || somebody_is_alone(inspector);
    /* Executed where its user is connected, it is told before the turn is over; the next look may be at what it was merged with. */
    if (operation_writes(operation))
        for (uint32_t i = 0; i < operation->key_count; i++)
            inspector_look_everywhere(inspector, operation->keys[i]);
    if (!operation_sets(operation) || operation->key_count != 1 || somebody_is_alone(inspector))
        return;
    uint32_t key = operation->keys[0];
    if (inspector->history->keys[key].kind == KEY_VOLATILE)
        return;
    if (operation->dot_actor == 0) {
        inspector->statistics.unseen++;
        return;
    }
    struct claim *claims = &inspector->claims[key * CLAIMS_MAX];
    struct claim fresh = {
        .actor = operation->dot_actor, .counter = operation->dot_counter, .operation = operation};
    fresh.holders = seen_holders(inspector, key, &fresh);
    inspector->statistics.claims++;
    struct history_key *name = &inspector->history->keys[key];
    if (fresh.counter > name->acknowledged_counter)
        name->acknowledged_counter = fresh.counter;
    if (fresh.holders == 0) {
        /* Its coordinator has died since it answered. */
        if (inspector->last_loss_ns < operation->invoked_ns)
            fail_claim(inspector, key, &fresh, "nobody has it when it is acknowledged");
        return;
    }
    if (operation->writes > 1)
        check_copies(inspector, operation, &fresh, operation->writes);
    /* In place of one that it descends from; else of the oldest. */
    uint32_t chosen = 0;
    for (uint32_t i = 0; i < CLAIMS_MAX; i++) {
        if (claims[i].actor == fresh.actor || claims[i].actor == 0) {
            if (claims[i].actor != 0 && claims[i].counter > fresh.counter)
                return;
            chosen = i;
            break;
        }
        if (claims[i].operation->invoked_ns < claims[chosen].operation->invoked_ns)
            chosen = i;
    }
    claims[chosen] = fresh;
}

void inspector_waited(struct inspector *inspector, const struct operation *write, int64_t copies) {
    /* Where routes have changed meanwhile, another coordinator is asked than the one that executed it. */
    if (write->dot_actor == 0 || inspector->last_loss_ns >= write->invoked_ns ||
        somebody_is_alone(inspector) || inspector->history->disturbed_ns >= write->invoked_ns ||
        inspector->history->keys[write->keys[0]].kind == KEY_VOLATILE)
        return;
    struct claim claim = {.actor = write->dot_actor, .counter = write->dot_counter, .operation = write};
    claim.holders = holders_of(inspector, write->keys[0], &claim);
    inspector->statistics.waits++;
    if (__builtin_popcount(claim.holders) < copies + 1) {
        char text[100];
        snprintf(text, sizeof text, "WAIT says that %lld others have it", (long long)copies);
        fail_claim(inspector, write->keys[0], &claim, text);
    }
}

/* Where others do not have what this one has, nobody can be blamed for it later. */
void inspector_losing(struct inspector *inspector, struct station *station) {
    uint32_t bit = 1u << station->number;
    inspector->last_loss_ns = inspector->world->now_ns;
    history_disturb(inspector->history);
    for (uint32_t key = 0; key < inspector->history->key_count && !world_has_failed(inspector->world);
         key++) {
        struct record *record = inspector_record(inspector, station, key);
        inspector_look_everywhere(inspector, key);
        bool is_alike = record == NULL;
        struct known_version ours = {0}, theirs;
        if (record != NULL)
            inspector_version(inspector, station, record, &ours);
        for (uint32_t i = 0; i < inspector->station_count && record != NULL; i++) {
            struct station *other = &inspector->stations[i];
            struct record *there =
                other != station && station_runs(other) ? inspector_record(inspector, other, key) : NULL;
            if (there == NULL)
                continue;
            inspector_version(inspector, other, there, &theirs);
            /* Of a counter each dot has its own part. */
            is_alike = inspector_descends(theirs.dots, theirs.count, ours.dots, ours.count) ||
                       (inspector->history->keys[key].kind != KEY_COUNTER &&
                        inspector_same_write(inspector, &theirs, &ours));
            if (!is_alike)
                break;
        }
        if (!is_alike) {
            history_excuse(inspector->history, key);
            inspector->may_return[key] = true;
        }
        for (uint32_t i = 0; i < CLAIMS_MAX; i++) {
            struct claim *claim = &inspector->claims[key * CLAIMS_MAX + i];
            if (claim->actor == 0)
                continue;
            uint32_t holders = seen_holders(inspector, key, claim);
            if (holders == 0)
                fail_claim(inspector, key, claim, "nobody has it or what descends from it");
            if (is_too_thin(inspector, key, claim, holders))
                fail_claim(inspector, key, claim, "W copies had it, and they have not lost their memory");
            claim->losses += (holders & bit) != 0;
            claim->holders = holders & ~bit;
            if (claim->holders == 0) {
                claim->actor = 0;
                inspector->statistics.excused++;
            }
        }
    }
    inspector->changes[station->number] = 0;
}

/* Whether a node holds the same as one that has a claim: what that one has merely seen (a write that has lost a conflict, say) is told by
 * nobody, as copies are compared by what they hold. */
static bool holds_the_same(struct inspector *inspector, uint32_t key, const struct claim *claim,
                           uint32_t number) {
    const struct station *station = &inspector->stations[number];
    const struct record *record = inspector_record(inspector, station, key);
    struct known_version version, other_version;
    if (record == NULL)
        return false;
    inspector_version(inspector, station, record, &version);
    for (uint32_t i = 0; i < inspector->station_count; i++) {
        const struct station *other = &inspector->stations[i];
        const struct record *theirs =
            claim->holders >> i & 1 ? inspector_record(inspector, other, key) : NULL;
        if (theirs == NULL)
            continue;
        inspector_version(inspector, other, theirs, &other_version);
        if (inspector_same_write(inspector, &version, &other_version) &&
            inspector_same_state(inspector, key, station->node->keyspace, record, other->node->keyspace,
                                 theirs))
            return true;
    }
    return false;
}

void inspector_check_claims(struct inspector *inspector, uint32_t key, uint32_t holders) {
    for (uint32_t i = 0; i < CLAIMS_MAX; i++) {
        struct claim *claim = &inspector->claims[key * CLAIMS_MAX + i];
        if (claim->actor == 0)
            continue;
        claim->holders = holders_of(inspector, key, claim);
        uint64_t flushed = 0;
        for (uint32_t at = 0; at < inspector->station_count; at++)
            if (station_runs(&inspector->stations[at]) &&
                inspector_flush_counter(inspector, &inspector->stations[at], key) > flushed)
                flushed = inspector_flush_counter(inspector, &inspector->stations[at], key);
        bool have_all = true;
        for (uint32_t at = 0; at < inspector->station_count; at++)
            have_all = have_all && (!((holders & ~claim->holders) >> at & 1) ||
                                    holds_the_same(inspector, key, claim, at));
        if (!have_all && flushed < claim->counter)
            fail_claim(inspector, key, claim, "at the end not all who should hold it do");
    }
}
