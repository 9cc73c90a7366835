/* holders.c - the sets of holders and of their stand-ins, for all slots at once.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/state.h"

#include "node/holders.h"

/* Sets that were found last, by a hash: neighbours on the ring mostly have the same few. */
#define MEMO_SIZE 512
/* So far past the preference list a healthy node is looked for. */
#define WALK_MAX 32

struct placing {
    struct cluster *cluster;
    bool is_reachable[RING_MEMBERS_MAX]; /* by ring member */
    bool may_stand_in;
    uint16_t memo[MEMO_SIZE];
};

static bool is_reachable(const struct cluster *cluster, uint16_t member) {
    const struct peer *peer = cluster_peer(cluster, member);
    return peer != NULL && peer_is_reached(peer);
}

bool holders_has(const struct cluster *cluster, uint32_t slot, uint16_t member) {
    const uint16_t *list = ring_list(cluster->ring, slot);
    for (uint32_t i = 0; i < cluster->ring->width; i++)
        if (cluster->ring_indexes[list[i]] == member)
            return true;
    return false;
}

/* The holders of a slot but for this node, in ascending order. Returns how many of them are absent, and names these in the order of the list. */
static uint32_t find_holders(const struct placing *placing, uint32_t slot, struct holder_set *set,
                             uint16_t absent[RING_COPIES_MAX], bool *is_held) {
    const struct cluster *cluster = placing->cluster;
    const uint16_t *list = ring_list(cluster->ring, slot);
    uint32_t absent_count = 0;
    *is_held = false;
    for (uint32_t i = 0; i < cluster->ring->width; i++) {
        uint16_t member = cluster->ring_indexes[list[i]];
        if (member == ROUTE_SELF) {
            *is_held = true;
            continue;
        }
        if (!placing->is_reachable[list[i]])
            absent[absent_count++] = member;
        uint32_t at = set->count++;
        for (; at > 0 && set->members[at - 1] > member; at--)
            set->members[at] = set->members[at - 1];
        set->members[at] = member;
    }
    return absent_count;
}

/* Finds nodes past the list for the absent ones, as far as there are. */
static void find_stand_ins(const struct placing *placing, uint32_t slot, const uint16_t *absent,
                           uint32_t absent_count, struct holder_set *set, struct stand_in_set *stand_ins) {
    const struct cluster *cluster = placing->cluster;
    uint16_t walk[WALK_MAX];
    uint32_t count = ring_walk(cluster->ring, slot, walk, WALK_MAX);
    for (uint32_t i = 0; i < count && set->stand_in_count < absent_count; i++) {
        uint16_t member = cluster->ring_indexes[walk[i]];
        if (member == ROUTE_SELF || !placing->is_reachable[walk[i]] || holders_has(cluster, slot, member) ||
            membership_member(cluster->membership, member)->entry.is_leaving)
            continue;
        stand_ins->places[set->stand_in_count] =
            (struct stand_in){.member = member, .owner = absent[set->stand_in_count]};
        set->stand_in_count++;
    }
}

static bool is_same(const struct cluster *cluster, uint32_t number, const struct holder_set *set,
                    const struct stand_in_set *stand_ins) {
    const struct holder_set *other = &cluster->holder_sets[number];
    return other->count == set->count && other->stand_in_count == set->stand_in_count &&
           memcmp(other->members, set->members, set->count * sizeof *set->members) == 0 &&
           (set->stand_in_count == 0 || memcmp(cluster->stand_ins[number].places, stand_ins->places,
                                               set->stand_in_count * sizeof *stand_ins->places) == 0);
}

/* The number of a set, which is made unless it is there. */
static uint16_t number_of(struct placing *placing, const struct holder_set *set,
                          const struct stand_in_set *stand_ins) {
    struct cluster *cluster = placing->cluster;
    uint32_t hash = set->count;
    for (uint32_t i = 0; i < set->count; i++)
        hash = hash * 31 + set->members[i];
    for (uint32_t i = 0; i < set->stand_in_count; i++)
        hash = (hash * 31 + stand_ins->places[i].member) * 31 + stand_ins->places[i].owner;
    uint16_t *found = &placing->memo[hash % MEMO_SIZE];
    if (*found < cluster->holder_set_count && is_same(cluster, *found, set, stand_ins))
        return *found;
    *found = (uint16_t)cluster->holder_set_count++;
    cluster->holder_sets[*found] = *set;
    if (set->stand_in_count != 0)
        cluster->stand_ins[*found] = *stand_ins;
    return *found;
}

static uint16_t place_slot(struct placing *placing, uint32_t slot) {
    struct holder_set set = {0};
    struct stand_in_set stand_ins = {{{0}}};
    uint16_t absent[RING_COPIES_MAX];
    bool is_held;
    uint32_t absent_count = find_holders(placing, slot, &set, absent, &is_held);
    if (UNLIKELY(absent_count != 0) && placing->may_stand_in) {
        /* Whoever executes without holding the slot is a stand-in itself: for the first of them. */
        uint32_t covered = is_held ? 0 : 1;
        if (absent_count > covered)
            find_stand_ins(placing, slot, absent + covered, absent_count - covered, &set, &stand_ins);
    }
    return number_of(placing, &set, &stand_ins);
}

/* The ring, who can be reached, and who is about to leave: whether that has changed is known by a digest. */
static uint64_t digest_places(const struct cluster *cluster, bool may_stand_in) {
    uint64_t digest = cluster->ring_changes * 2 + may_stand_in;
    for (uint32_t i = 0; may_stand_in && i < cluster->peer_capacity; i++)
        if (cluster->peers[i] != NULL) {
            uint32_t facts = is_reachable(cluster, (uint16_t)i);
            facts += membership_member(cluster->membership, (uint16_t)i)->entry.is_leaving * 2u;
            digest += facts * (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
            digest ^= digest >> 29;
        }
    return digest;
}

static bool may_stand_in(const struct node *node) {
    return node->config->sloppy_quorum && node->routes != NULL &&
           node->cluster->ring->placed_count > node->cluster->ring->width;
}

/* Room for stand-ins, made when they are first wanted. */
static bool make_room(struct node *node) {
    struct cluster *cluster = node->cluster;
    if (cluster->stand_ins == NULL)
        cluster->stand_ins = mem_alloc(node->mem, SLOT_COUNT * sizeof *cluster->stand_ins);
    return cluster->stand_ins != NULL;
}

void holders_release(struct node *node) {
    struct cluster *cluster = node->cluster;
    mem_free(node->mem, cluster->stand_ins, SLOT_COUNT * sizeof *cluster->stand_ins);
    cluster->stand_ins = NULL;
}

/* Works out the sets of all slots anew. */
static void place_all(struct node *node) {
    struct cluster *cluster = node->cluster;
    uint16_t *notes = node->keyspace->ledger->notes;
    struct placing placing = {.cluster = cluster, .may_stand_in = may_stand_in(node) && make_room(node)};
    for (uint32_t i = 0; i < cluster->ring_count; i++)
        placing.is_reachable[i] = is_reachable(cluster, cluster->ring_indexes[i]);
    cluster->placed_digest = digest_places(cluster, placing.may_stand_in);
    cluster->holder_set_count = 0;
    for (uint32_t first = 0, end; first < SLOT_COUNT; first = end) {
        end = ring_next_begin(cluster->ring, first + 1);
        uint16_t number = place_slot(&placing, first);
        for (uint32_t slot = first; slot < end; slot++)
            notes[slot] = (notes[slot] & SLOT_COORDINATED) | number;
    }
}

void holders_work(struct node *node) {
    struct cluster *cluster = node->cluster;
    if (cluster->ring != NULL && digest_places(cluster, may_stand_in(node)) != cluster->placed_digest)
        place_all(node);
}

uint32_t holders_stand_ins(const struct node *node, uint32_t slot, uint16_t members[RING_COPIES_MAX]) {
    const struct cluster *cluster = node->cluster;
    const struct holder_set *set = holders_of(cluster, node->keyspace->ledger, slot);
    uint32_t count = 0;
    for (uint32_t i = 0; i < set->stand_in_count; i++) {
        const struct stand_in *place = &holders_stand_ins_of(cluster, set)[i];
        if (is_reachable(cluster, place->member) && !is_reachable(cluster, place->owner))
            members[count++] = place->member;
    }
    return count;
}
