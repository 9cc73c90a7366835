/* cluster_routes.c - who holds what and who executes what: rings, routes, and the sets of slots that follow from them.
 *
 * What is known of each member is put into a byte first: the walk over all slots looks at nothing else.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/cluster_inside.h"
#include "node/holders.h"
#include "node/quorum.h"
#include "node/state.h"
#include "store/expire.h"
#include "store/ledger.h"

/* What is left over here is compared with its new coordinators so soon. */
#define HANDOVER_SOON_MS 100

/* ---- What is known of members ---- */

bool cluster_is_up(const struct cluster *cluster, uint16_t member) {
    return member == ROUTE_SELF || membership_member(cluster->membership, member)->state <= MEMBER_SUSPECT;
}

bool cluster_is_able(const struct cluster *cluster, uint16_t member) {
    const struct member_entry *entry = &membership_member(cluster->membership, member)->entry;
    return !entry->is_leaving && (member == ROUTE_SELF ? cluster->is_settled : entry->is_settled);
}

bool cluster_is_asked(const struct cluster *cluster, uint16_t member) {
    return cluster_is_up(cluster, member) &&
           (member == ROUTE_SELF || !membership_member(cluster->membership, member)->entry.is_leaving);
}

bool cluster_may_read(const struct cluster *cluster, uint16_t member) {
    if (!cluster_is_up(cluster, member) || !cluster_is_able(cluster, member))
        return false;
    const struct peer *peer = cluster_peer(cluster, member);
    return member == ROUTE_SELF || (peer != NULL && peer_is_reached(peer) && !peer->reach.must_prove);
}

/* ---- Rings ---- */

uint32_t cluster_holders(const struct cluster *cluster, uint32_t slot, uint16_t holders[RING_COPIES_MAX]) {
    if (cluster->ring == NULL)
        return 0;
    const uint16_t *list = ring_list(cluster->ring, slot);
    for (uint32_t i = 0; i < cluster->ring->width; i++)
        holders[i] = cluster->ring_indexes[list[i]];
    return cluster->ring->width;
}

/* Whether a ring is of these members, in this order. */
static bool is_ring_of(const struct node *node, const struct ring *ring, const uint16_t *ring_indexes,
                       const struct ring_member *members, const uint16_t *indexes, uint32_t count) {
    return ring != NULL && ring->member_count == count &&
           memcmp(ring_indexes, indexes, count * sizeof *indexes) == 0 &&
           ring->digest == ring_digest(members, count, node->config->replication_factor);
}

/* Makes *ring one of these members, unless it is. false: no memory, the old one stays. */
static bool remake_ring(struct node *node, struct ring **ring, uint16_t *ring_indexes,
                        const struct ring_member *members, const uint16_t *indexes, uint32_t count) {
    if (is_ring_of(node, *ring, ring_indexes, members, indexes, count))
        return true;
    struct ring *fresh = ring_new(node->mem, members, count, node->config->replication_factor);
    if (fresh == NULL)
        return false;
    ring_free(*ring);
    *ring = fresh;
    node->cluster->ring_changes++;
    memcpy(ring_indexes, indexes, count * sizeof *indexes);
    return true;
}

/* Most changes of members leave them as they are. */
bool cluster_make_rings(struct node *node) {
    struct cluster *cluster = node->cluster;
    struct ring_member *members = mem_alloc(node->mem, RING_MEMBERS_MAX * sizeof *members);
    uint16_t *indexes = mem_alloc(node->mem, RING_MEMBERS_MAX * sizeof *indexes);
    bool is_fine = false;
    if (members != NULL && indexes != NULL) {
        uint32_t count = membership_ring_members(cluster->membership, members, indexes), settled = 0;
        is_fine = remake_ring(node, &cluster->ring, cluster->ring_indexes, members, indexes, count);
        if (is_fine)
            cluster->ring_count = count;
        for (uint32_t i = 0; i < count; i++)
            if (membership_member(cluster->membership, indexes[i])->entry.was_settled) {
                members[settled] = members[i];
                indexes[settled++] = indexes[i];
            }
        bool is_needed = is_fine && settled != 0 && settled != count;
        if (is_needed)
            is_fine = remake_ring(node, &cluster->settled_ring, cluster->settled_indexes, members, indexes,
                                  settled);
        if (!is_needed || !is_fine) {
            cluster->ring_changes += cluster->settled_ring != NULL;
            ring_free(cluster->settled_ring);
            cluster->settled_ring = NULL;
        }
    }
    mem_free(node->mem, members, RING_MEMBERS_MAX * sizeof *members);
    mem_free(node->mem, indexes, RING_MEMBERS_MAX * sizeof *indexes);
    return is_fine;
}

bool cluster_is_newcomer(const struct cluster *cluster, uint16_t member) {
    const struct member_entry *entry = &membership_member(cluster->membership, member)->entry;
    return !entry->was_settled;
}

bool cluster_may_replace(const struct node *node) {
    const struct cluster *cluster = node->cluster;
    const struct ring *ring = cluster->settled_ring;
    unsigned least = ring == NULL ? 0 : quorum_least(node);
    if (least == 0 || !cluster_is_newcomer(cluster, ROUTE_SELF))
        return true;
    bool is_met[RING_MEMBERS_MAX];
    for (uint32_t i = 0; i < ring->member_count; i++) {
        const struct peer *peer = cluster_peer(cluster, cluster->settled_indexes[i]);
        is_met[i] = peer != NULL && peer_is_reached(peer);
    }
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot = cluster_run_end(cluster, slot)) {
        const uint16_t *list = ring_list(ring, slot);
        unsigned strangers = 0;
        for (uint32_t i = 0; i < ring->width; i++)
            strangers += !is_met[list[i]];
        if (strangers >= least && slot_set_has(&cluster->held, slot))
            return false;
    }
    return true;
}

/* ---- Routes ---- */

#define IS_UP      1u
#define IS_ABLE    2u /* to coordinate, as all members see it */
#define IS_REACHED 4u
#define IS_PROVED  8u /* it has been compared since this node has passed it over */
#define IS_BEST    (IS_UP | IS_ABLE | IS_REACHED | IS_PROVED)

/* Of each member, by its index in the ring of all, and in that of the settled ones. */
struct marks {
    uint8_t all[RING_MEMBERS_MAX], settled[RING_MEMBERS_MAX];
};

static uint8_t mark(const struct cluster *cluster, uint16_t member, bool by_reach) {
    const struct peer *peer = by_reach ? cluster_peer(cluster, member) : NULL;
    unsigned marks = cluster_is_up(cluster, member) ? IS_UP : 0;
    marks |= cluster_is_able(cluster, member) ? IS_ABLE : 0;
    marks |= peer == NULL || !peer->reach.is_passed_over ? IS_REACHED : 0;
    return (uint8_t)(marks | (peer == NULL || !peer->reach.must_prove ? IS_PROVED : 0));
}

static void mark_all(const struct cluster *cluster, struct marks *marks, bool by_reach) {
    for (uint32_t i = 0; i < cluster->ring_count; i++)
        marks->all[i] = mark(cluster, cluster->ring_indexes[i], by_reach);
    for (uint32_t i = 0; cluster->settled_ring != NULL && i < cluster->settled_ring->member_count; i++)
        marks->settled[i] = mark(cluster, cluster->settled_indexes[i], by_reach);
}

/* The first member of a slot's list that has all of these marks. */
static uint16_t first_of(const struct ring *ring, const uint16_t *indexes, const uint8_t *marks,
                         uint32_t slot, unsigned wanted) {
    if (ring == NULL)
        return ROUTE_NOBODY;
    const uint16_t *list = ring_list(ring, slot);
    for (uint32_t i = 0; i < ring->width; i++)
        if ((marks[list[i]] & wanted) == wanted)
            return indexes[list[i]];
    return ROUTE_NOBODY;
}

/* The next member on the ring that is up, one that is settled rather than one that is not. */
static uint16_t stand_in(const struct cluster *cluster, const struct marks *marks, uint32_t slot) {
    static const unsigned wanted[] = {IS_BEST, IS_UP | IS_REACHED, IS_UP};
    uint16_t walk[RING_MEMBERS_MAX];
    uint32_t count = ring_walk(cluster->ring, slot, walk, RING_MEMBERS_MAX);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        for (uint32_t j = 0; j < count; j++)
            if ((marks->all[walk[j]] & wanted[i]) == wanted[i])
                return cluster->ring_indexes[walk[j]];
    return ROUTE_NOBODY;
}

static uint16_t route_of(const struct cluster *cluster, const struct marks *marks, uint32_t slot) {
    /* Who is settled is waited for where it cannot be reached now, rather than that others, who are not, take its place. */
    static const struct {
        bool of_settled_ring;
        unsigned wanted;
    } choices[] = {{false, IS_BEST},
                   {true, IS_BEST},
                   {false, IS_UP | IS_ABLE},
                   {true, IS_UP | IS_REACHED},
                   {true, IS_UP},
                   {false, IS_UP | IS_REACHED},
                   {false, IS_UP}};
    if (cluster->is_joining || cluster->is_removed)
        return ROUTE_NOBODY;
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        uint16_t member =
            choices[i].of_settled_ring
                ? first_of(cluster->settled_ring, cluster->settled_indexes, marks->settled, slot,
                           choices[i].wanted)
                : first_of(cluster->ring, cluster->ring_indexes, marks->all, slot, choices[i].wanted);
        if (LIKELY(member != ROUTE_NOBODY))
            return member;
    }
    return stand_in(cluster, marks, slot);
}

uint16_t cluster_coordinator(const struct cluster *cluster, uint32_t slot) {
    return cluster->coordinators[slot];
}

/* All that routes follow from. Most changes of what is known of members leave them as they are. */
static uint64_t digest_marks(const struct cluster *cluster, const struct marks *marks) {
    uint64_t facts[5] = {XXH3_64bits(marks->all, cluster->ring_count), 0, cluster->ring_changes,
                         cluster->is_joining * 2u + cluster->is_removed, 0};
    if (cluster->settled_ring != NULL)
        facts[1] = XXH3_64bits(marks->settled, cluster->settled_ring->member_count);
    for (uint32_t i = 0; i < cluster->peer_capacity; i++)
        facts[4] += cluster->peers[i] != NULL;
    return XXH3_64bits(facts, sizeof facts);
}

void cluster_find_leftovers(const struct node *node, struct slot_set *slots) {
    const struct cluster *cluster = node->cluster;
    const struct database *database = node->keyspace->databases[0];
    const struct ledger *ledger = node->keyspace->ledger;
    bool has_digests = ledger->is_walked && !node->keyspace->is_alone;
    *slots = (struct slot_set){{0}};
    for (uint32_t word = 0; database != NULL && word < SLOT_COUNT / 64; word++) {
        uint64_t bits = ~(cluster->held.bits[word] | cluster->coordinated.bits[word]);
        /* Slots with records have digests. */
        for (bits &= has_digests ? ledger->touched.bits[word] : UINT64_MAX; bits != 0; bits &= bits - 1) {
            uint32_t slot = word << 6 | (uint32_t)__builtin_ctzll(bits);
            if (database->slots[slot].count != 0 && hints_of_slot(&cluster->hints, slot) == 0)
                slot_set_add(slots, slot);
        }
    }
}

static void note_leftovers(struct node *node) {
    struct cluster *cluster = node->cluster;
    struct slot_set slots;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++)
        if (cluster->peers[i] != NULL)
            memset(&cluster->peers[i]->leftover, 0, sizeof cluster->peers[i]->leftover);
    cluster_find_leftovers(node, &slots);
    for (uint32_t slot = slot_set_next(&slots, 0); slot < SLOT_COUNT;
         slot = slot_set_next(&slots, slot + 1)) {
        struct peer *peer = cluster_peer(cluster, cluster->coordinators[slot]);
        if (peer != NULL)
            slot_set_add(&peer->leftover, slot);
    }
}

static void make_sets_of_run(struct cluster *cluster, uint32_t first, uint32_t end) {
    uint16_t route = cluster->coordinators[first];
    const uint16_t *list = ring_list(cluster->ring, first);
    bool is_held = false;
    for (uint32_t i = 0; i < cluster->ring->width; i++) {
        uint16_t member = cluster->ring_indexes[list[i]];
        struct peer *peer = cluster_peer(cluster, member);
        is_held = is_held || member == ROUTE_SELF;
        if (route == ROUTE_SELF && peer != NULL)
            slot_set_add_range(&peer->asked, first, end);
    }
    struct peer *coordinator = cluster_peer(cluster, route);
    if (is_held)
        slot_set_add_range(&cluster->held, first, end);
    if (route == ROUTE_SELF)
        slot_set_add_range(&cluster->coordinated, first, end);
    else if (coordinator != NULL && is_held)
        slot_set_add_range(&coordinator->answered, first, end);
}

/* What each peer and this node compare follows from who coordinates, as membership tells it. */
static void make_sets(struct cluster *cluster) {
    const struct slot_set held_before = cluster->held;
    memset(&cluster->coordinated, 0, sizeof cluster->coordinated);
    memset(&cluster->held, 0, sizeof cluster->held);
    for (uint32_t i = 0; i < cluster->peer_capacity; i++)
        if (cluster->peers[i] != NULL) {
            memset(&cluster->peers[i]->asked, 0, sizeof cluster->peers[i]->asked);
            memset(&cluster->peers[i]->answered, 0, sizeof cluster->peers[i]->answered);
        }
    for (uint32_t first = 0, end; first < SLOT_COUNT; first = end) {
        end = cluster_run_end(cluster, first);
        make_sets_of_run(cluster, first, end);
    }
    for (uint32_t word = 0; word < SLOT_COUNT / 64; word++)
        cluster->sure.bits[word] &= held_before.bits[word] & cluster->held.bits[word];
}

static void note_sets(struct node *node) {
    struct cluster *cluster = node->cluster;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        struct peer *peer = cluster->peers[i];
        if (peer == NULL)
            continue;
        uint64_t asked = slot_set_digest(&peer->asked), answered = slot_set_digest(&peer->answered);
        if (asked != peer->asked_digest) {
            peer->is_agreed = false;
            peer->burial = (struct burial_facts){0};
            peer->next_compare_ms = node->monotonic_ms;
            comparer_reset(&peer->comparer);
        }
        if (answered != peer->answered_digest)
            peer->settles_us = false;
        peer->asked_digest = asked;
        peer->answered_digest = answered;
        peer->asked_count = slot_set_count(&peer->asked);
        peer->answered_count = slot_set_count(&peer->answered);
        peer->leftover_count = slot_set_count(&peer->leftover);
        peer->covered_ms = 0;
        if (peer->next_handover_ms > node->monotonic_ms + HANDOVER_SOON_MS)
            peer->next_handover_ms = node->monotonic_ms + HANDOVER_SOON_MS;
        comparer_reset(&peer->handover);
    }
}

/* Commands for a run of slots go this way now. */
static void take_way(struct cluster *cluster, uint32_t first, uint32_t end, uint16_t route) {
    for (uint32_t slot = first; slot < end; slot++) {
        if (cluster->routes[slot] == route)
            continue;
        cluster->way_epoch = cluster->way_epochs[slot] = cluster->route_epoch + 1;
        cluster->routes[slot] = route;
    }
}

/* By which ways commands go now; marks: NULL where that is to those who coordinate. */
static void make_ways(struct cluster *cluster, const struct marks *marks) {
    cluster->has_detours = false;
    for (uint32_t first = 0, end; first < SLOT_COUNT; first = end) {
        end = cluster_run_end(cluster, first);
        uint16_t coordinator = cluster->coordinators[first];
        uint16_t route = marks == NULL ? coordinator : route_of(cluster, marks, first);
        cluster->has_detours = cluster->has_detours || route != coordinator;
        take_way(cluster, first, end, route);
    }
}

/* The notes say which slots are open. */
static void note_open(struct node *node) {
    const struct cluster *cluster = node->cluster;
    uint16_t *notes = node->keyspace->ledger->notes;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        notes[slot] &= SLOT_NOTE_MASK;
    for (uint32_t word = 0; word < SLOT_COUNT / 64; word++)
        for (uint64_t bits = cluster->has_detours ? UINT64_MAX : cluster->coordinated.bits[word]; bits != 0;
             bits &= bits - 1) {
            uint32_t slot = word << 6 | (uint32_t)__builtin_ctzll(bits);
            if (cluster_is_open(cluster, slot))
                notes[slot] |= SLOT_COORDINATED;
        }
}

static void take_ways(struct node *node) {
    struct cluster *cluster = node->cluster;
    struct marks marks;
    bool is_plain = cluster->failover.passed_count == 0 && cluster->failover.unproved_count == 0;
    uint64_t digest = cluster->coordinators_digest;
    if (!is_plain) {
        mark_all(cluster, &marks, true);
        digest += digest_marks(cluster, &marks) | 1;
    }
    if (digest != cluster->ways_digest) {
        make_ways(cluster, is_plain ? NULL : &marks);
        cluster->ways_digest = digest;
        keyspace_expire_anew(node->keyspace);
    }
    note_open(node);
    cluster->route_epoch++;
    cluster->rerouted_ms = node->monotonic_ms;
}

static void make_coordinators(struct cluster *cluster, const struct marks *marks) {
    for (uint32_t first = 0, end; first < SLOT_COUNT; first = end) {
        end = cluster_run_end(cluster, first);
        uint16_t route = route_of(cluster, marks, first);
        for (uint32_t slot = first; slot < end; slot++)
            cluster->coordinators[slot] = route;
    }
}

void cluster_make_routes(struct node *node) {
    struct cluster *cluster = node->cluster;
    bool is_alone = membership_is_alone(cluster->membership) && !cluster->is_joining;
    struct marks marks;
    mark_all(cluster, &marks, false);
    uint64_t digest = digest_marks(cluster, &marks);
    if (digest != cluster->coordinators_digest) {
        make_coordinators(cluster, &marks);
        make_sets(cluster);
        cluster->coordinators_digest = digest;
    }
    note_leftovers(node);
    note_sets(node);
    if (node->keyspace->is_alone != membership_is_alone(cluster->membership)) {
        keyspace_set_alone(node->keyspace, membership_is_alone(cluster->membership));
        keyspace_expire_anew(node->keyspace);
    }
    keyspace_set_awaiting(node->keyspace, cluster->is_joining);
    take_ways(node);
    /* Who wants several copies is told so, too, where there is only one. */
    node->routes = is_alone && !quorum_is_wanted(node) ? NULL : cluster->routes;
    holders_work(node);
}

void cluster_reroute(struct node *node) {
    if (node->cluster->ring != NULL)
        take_ways(node);
}
