/* burial.c - what comparisons and checkpoints say becomes a counter for each peer, and these become floors.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/burial.h"

#include "node/holders.h"
#include "node/peers.h"
#include "node/state.h"
#include "store/floors.h"

#define WORK_EVERY_MS 1000
/* Tombstones of a slot are dropped together: so many times while one grows old. */
#define TIMES_PER_GRACE 16
/* So far behind what is compared and kept are the fold points; less where tombstones are dropped earlier. */
#define FOLD_MARGIN_MS 60000
#define FOLD_EVERY_MS  5000
/* Slots whose floors are raised in one go. */
#define SLOTS_PER_STEP 256

static uint64_t counter_of_ms(uint64_t ms) {
    return ms << 16;
}

/* What has been stamped so far is at or below it, by this node and as far as its clock knows. */
static uint64_t present_counter(const struct node *node) {
    uint64_t now = counter_of_ms((uint64_t)node->keyspace->now_ms);
    return node->keyspace->counter > now ? node->keyspace->counter : now;
}

/* ---- What comparisons tell ---- */

void burial_note_round(struct node *node, struct peer *peer) {
    peer->burial.round_counter = present_counter(node);
}

void burial_note_equal(struct node *node, struct peer *peer, uint64_t begun, uint64_t oldest) {
    struct burial_facts *facts = &peer->burial;
    struct cluster *cluster = node->cluster;
    if (facts->agreed_linked_ms != peer->linked_ms)
        facts->agreed_counter = 0; /* it may be another start, with other numbers */
    if (facts->agreed_counter != 0 && oldest > facts->their_checkpoint &&
        persistence_oldest(node) > facts->own_checkpoint) {
        facts->kept_counter = facts->agreed_counter;
        facts->agreed_counter = 0;
    }
    /* What is agreed now waits for no later checkpoints than what was before, unless one has begun in between. */
    if (facts->agreed_counter == 0 ||
        (begun == facts->their_checkpoint && node->persistence.last_begun == facts->own_checkpoint)) {
        facts->agreed_counter = facts->round_counter;
        facts->agreed_linked_ms = peer->linked_ms;
        facts->own_checkpoint = node->persistence.last_begun;
        facts->their_checkpoint = begun;
    }
    if (oldest == UINT64_MAX && persistence_oldest(node) == UINT64_MAX)
        facts->kept_counter = facts->agreed_counter; /* there are no files to be waited for */
    if (!cluster->is_settled || !cluster_has_agreed(node, NULL))
        return;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++)
        for (uint32_t word = 0; cluster->peers[i] != NULL && word < SLOT_COUNT / 64; word++)
            cluster->sure.bits[word] |= cluster->peers[i]->asked.bits[word] & cluster->held.bits[word];
}

void burial_note_word(struct node *node, const struct peer *peer) {
    for (uint32_t word = 0; word < SLOT_COUNT / 64; word++)
        node->cluster->sure.bits[word] |= peer->answered.bits[word];
}

void burial_greet(struct node *node, struct peer *peer) {
    const struct cluster *cluster = node->cluster;
    const uint64_t *floors = node->keyspace->ledger->floors.counters;
    if (node->keyspace->ledger->floors.highest == 0 || cluster->ring == NULL ||
        membership_member(cluster->membership, peer->member)->entry.is_settled)
        return;
    for (uint32_t first = 0, last; first < SLOT_COUNT; first = last + 1) {
        last = first;
        if (floors[first] == 0 || !holders_has(cluster, first, peer->member))
            continue;
        while (last + 1 < SLOT_COUNT && floors[last + 1] == floors[first])
            last++; /* what it does not hold does no harm */
        if (!entries_add_floor(&peer->records, first, last, floors[first]))
            return;
    }
    peers_mention(node, peer);
}

bool burial_is_candidate(void *context, uint32_t slot) {
    const struct node *node = context;
    const struct cluster *cluster = node->cluster;
    const struct peer *from = cluster->records_from;
    if (!cluster->is_settled || from == NULL || !slot_set_has(&cluster->sure, slot))
        return false;
    return !membership_member(cluster->membership, from->member)->entry.is_settled ||
           !holders_has(cluster, slot, from->member);
}

/* ---- What follows ---- */

/* Slots that nobody else holds: this node's own checkpoints count. */
static void note_own(struct node *node) {
    struct burial_facts *facts = &node->cluster->own_burial;
    if (facts->agreed_counter != 0 && persistence_oldest(node) > facts->own_checkpoint) {
        facts->kept_counter = facts->agreed_counter;
        facts->agreed_counter = 0;
    }
    if (facts->agreed_counter == 0 || node->persistence.last_begun == facts->own_checkpoint) {
        facts->agreed_counter = present_counter(node);
        facts->own_checkpoint = node->persistence.last_begun;
    }
}

/* For whom anybody keeps hints. */
static uint64_t all_hinted(const struct node *node) {
    const struct cluster *cluster = node->cluster;
    uint64_t hinted = 0;
    for (uint32_t i = 1; i < membership_count(cluster->membership); i++) {
        const struct member *member = membership_member(cluster->membership, (uint16_t)i);
        if (member->state <= MEMBER_SUSPECT)
            hinted |= member->hinted;
        if (hints_has_any(&cluster->hints, (uint16_t)i))
            hinted |= membership_hint_bit(member);
    }
    return hinted;
}

/* What a member has for good; 0: it cannot be asked. */
static uint64_t kept_by(const struct node *node, uint16_t index, uint64_t hinted) {
    const struct cluster *cluster = node->cluster;
    const struct member *member = membership_member(cluster->membership, index);
    const struct peer *peer = cluster_peer(cluster, index);
    bool is_asked = peer != NULL && peer_is_linked(peer) && member->state == MEMBER_UP &&
                    member->entry.is_settled && peer->is_agreed && !peer->must_compare &&
                    list_is_empty(&peer->lost_links) && !(hinted & membership_hint_bit(member));
    return is_asked ? peer->burial.kept_counter : 0;
}

/* What all members of a set have for good; 0: one of them cannot be asked. */
static uint64_t kept_by_all(const struct node *node, const struct holder_set *set, uint64_t hinted) {
    const struct cluster *cluster = node->cluster;
    uint64_t kept = set->count == 0 ? cluster->own_burial.kept_counter : UINT64_MAX;
    if (hinted & membership_hint_bit(membership_member(cluster->membership, ROUTE_SELF)))
        return 0;
    for (uint32_t i = 0; i < set->count; i++) {
        uint64_t by = kept_by(node, set->members[i], hinted);
        kept = by < kept ? by : kept;
    }
    return kept;
}

/* What is known of the set that was looked at last: neighbours mostly have the same. */
struct verdict {
    const struct holder_set *set;
    uint64_t kept;
};

static uint64_t kept_of_slot(const struct node *node, uint32_t slot, uint64_t hinted,
                             struct verdict *verdict) {
    const struct holder_set *set = holders_of(node->cluster, node->keyspace->ledger, slot);
    if (set != verdict->set) {
        verdict->set = set;
        verdict->kept = kept_by_all(node, set, hinted);
    }
    return verdict->kept;
}

static void raise(struct node *node, uint32_t slot, const struct holder_set *set, uint64_t floor) {
    if (!floors_raise(node->keyspace, slot, slot, floor))
        return;
    for (uint32_t i = 0; i < set->count; i++) {
        struct peer *peer = cluster_peer(node->cluster, set->members[i]);
        if (entries_add_floor(&peer->records, slot, slot, floor))
            peers_mention(node, peer);
        else
            peer->must_compare = true;
    }
}

/* What all home copies have for good becomes the fold points of the slots that this node executes. A start with a slow clock may have
 * stamped below what had been compared by then; and word of hints takes its time. */
static void note_folds(struct node *node, uint64_t hinted) {
    struct cluster *cluster = node->cluster;
    if (node->monotonic_ms < cluster->next_fold_ms)
        return;
    cluster->next_fold_ms = node->monotonic_ms + FOLD_EVERY_MS;
    struct ledger *ledger = node->keyspace->ledger;
    uint64_t grace_ms = (uint64_t)node->config->tombstone_grace_s * 1000;
    uint64_t margin = counter_of_ms(grace_ms < FOLD_MARGIN_MS ? grace_ms : FOLD_MARGIN_MS);
    struct verdict verdict = {NULL, 0};
    for (uint32_t first = 0, end; first < SLOT_COUNT; first = end) {
        end = cluster_run_end(cluster, first);
        if (!slot_set_has(&cluster->coordinated, first))
            continue;
        uint64_t kept = kept_of_slot(node, first, hinted, &verdict);
        for (uint32_t slot = first; slot < end && kept > margin; slot++)
            if (kept - margin > ledger->folds[slot] && hints_of_slot(&cluster->hints, slot) == 0)
                ledger->folds[slot] = kept - margin;
    }
}

/* One pass over the slots that this node coordinates. */
struct pass {
    uint64_t limit,
        slack; /* tombstones at or below their difference are to go; those up to the limit go with them */
    uint64_t hinted;
    struct verdict verdict;
    uint64_t oldest; /* of all that were seen */
    uint32_t raised;
};

static void look_at_slot(struct node *node, uint32_t slot, struct pass *pass) {
    const struct ledger *ledger = node->keyspace->ledger;
    if (LIKELY(ledger->tombstones[slot] == 0))
        return;
    uint64_t oldest = ledger->oldest_tombstones[slot];
    pass->oldest = oldest < pass->oldest ? oldest : pass->oldest;
    if (oldest > pass->limit - pass->slack || hints_of_slot(&node->cluster->hints, slot) != 0)
        return;
    uint64_t kept = kept_of_slot(node, slot, pass->hinted, &pass->verdict);
    uint64_t floor = floors_round(kept < pass->limit ? kept : pass->limit);
    if (floor < oldest)
        return;
    raise(node, slot, pass->verdict.set, floor);
    pass->raised++;
}

/* From one slot up to the one before `end`, or up to where it has done enough. Returns where that is. */
static uint32_t look_at_slots(struct node *node, struct pass *pass, uint32_t slot, uint32_t end) {
    const struct slot_set *slots = &node->cluster->coordinated;
    for (slot = slot_set_next(slots, slot); slot < end && pass->raised < SLOTS_PER_STEP;
         slot = slot_set_next(slots, slot + 1))
        look_at_slot(node, slot, pass);
    return slot;
}

/* Goes on where the last pass stopped. What is too young for now is not looked at again before it is old enough, unless other slots have
 * come to this node since. */
static void look_at_tombstones(struct node *node, struct pass *pass) {
    struct cluster *cluster = node->cluster;
    struct ledger *ledger = node->keyspace->ledger;
    if (cluster->burial_epoch == cluster->route_epoch && ledger->oldest_tombstone > pass->limit - pass->slack)
        return;
    uint32_t begin = cluster->burial_slot, slot = look_at_slots(node, pass, begin, SLOT_COUNT);
    if (slot == SLOT_COUNT)
        slot = look_at_slots(node, pass, 0, begin);
    cluster->burial_slot = slot % SLOT_COUNT;
    if (pass->raised < SLOTS_PER_STEP) {
        ledger->oldest_tombstone = pass->oldest;
        cluster->burial_epoch = cluster->route_epoch;
    }
}

static void tell_hinted(struct node *node) {
    const struct cluster *cluster = node->cluster;
    uint64_t hinted = 0;
    for (uint32_t i = 1; i < membership_count(cluster->membership); i++) {
        const struct peer *peer = cluster_peer(cluster, (uint16_t)i);
        if (hints_has_any(&cluster->hints, (uint16_t)i) ||
            (peer != NULL && !list_is_empty(&peer->lost_links)))
            hinted |= membership_hint_bit(membership_member(cluster->membership, (uint16_t)i));
    }
    membership_set_hinted(cluster->membership, hinted);
}

/* ---- Stubs ---- */

/* Whether it may lack what the others have. */
static bool may_lag(const struct cluster *cluster, uint16_t member, bool is_coordinated) {
    const struct peer *peer = cluster_peer(cluster, member);
    return peer == NULL || !peer_is_linked(peer) ||
           (is_coordinated && (!peer->is_agreed || peer->must_compare));
}

/* Who may lag, and where which nodes hold what: stubs follow from both. */
static uint64_t digest_lagging(const struct cluster *cluster) {
    uint64_t digest = cluster->route_epoch;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++)
        if (cluster->peers[i] != NULL)
            digest =
                (digest + may_lag(cluster, (uint16_t)i, false) * 2u + may_lag(cluster, (uint16_t)i, true)) *
                LEDGER_MIX_KEY;
    return digest;
}

/* As struct verdict: what is known of the set that was looked at last. */
struct lag_verdict {
    const struct holder_set *set;
    bool may_lag;
};

static bool may_any_lag(const struct cluster *cluster, const struct holder_set *set, bool is_coordinated,
                        struct lag_verdict *verdict) {
    if (set != verdict->set) {
        *verdict = (struct lag_verdict){.set = set};
        for (uint32_t i = 0; i < set->count; i++)
            verdict->may_lag = verdict->may_lag || may_lag(cluster, set->members[i], is_coordinated);
    }
    return verdict->may_lag;
}

static void note_stubs(struct node *node) {
    struct cluster *cluster = node->cluster;
    struct ledger *ledger = node->keyspace->ledger;
    uint64_t digest = digest_lagging(cluster);
    if (digest == cluster->lagging_digest)
        return;
    cluster->lagging_digest = digest;
    ledger->stubs = (struct slot_set){{0}};
    struct lag_verdict verdicts[2] = {{NULL, false}, {NULL, false}};
    for (uint32_t first = 0, end; first < SLOT_COUNT; first = end) {
        end = cluster_run_end(cluster, first);
        bool is_coordinated = slot_set_has(&cluster->coordinated, first);
        if (may_any_lag(cluster, holders_of(cluster, ledger, first), is_coordinated,
                        &verdicts[is_coordinated]))
            slot_set_add_range(&ledger->stubs, first, end);
    }
}

uint32_t burial_work(struct node *node) {
    struct cluster *cluster = node->cluster;
    if (node->monotonic_ms < cluster->next_burial_ms)
        return (uint32_t)(cluster->next_burial_ms - node->monotonic_ms);
    cluster->next_burial_ms = node->monotonic_ms + WORK_EVERY_MS;
    tell_hinted(node);
    if (cluster->ring != NULL)
        note_stubs(node);
    uint64_t grace_ms = (uint64_t)node->config->tombstone_grace_s * 1000;
    const struct keyspace *keyspace = node->keyspace;
    if (keyspace->is_alone || cluster->ring == NULL || !cluster->is_settled || !keyspace->ledger->is_walked)
        return WORK_EVERY_MS;
    note_own(node);
    uint64_t hinted = all_hinted(node);
    note_folds(node, hinted);
    if (keyspace->ledger->tombstone_count == 0 || floors_are_dropping(keyspace->ledger) ||
        (uint64_t)keyspace->now_ms < 2 * grace_ms)
        return WORK_EVERY_MS;
    struct pass pass = {.limit = counter_of_ms((uint64_t)keyspace->now_ms - grace_ms),
                        .slack = counter_of_ms(grace_ms / TIMES_PER_GRACE),
                        .hinted = hinted,
                        .oldest = UINT64_MAX};
    look_at_tombstones(node, &pass);
    return WORK_EVERY_MS;
}
