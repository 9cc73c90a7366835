/* repair_commands.c - KV.DIGEST and KV.REPAIR: whether copies are equal, for people to see, and comparisons for them to begin.
 *
 * May touch: node, cluster, the ledger. Must never know: keys.
 * Tests: tests/unit/node/burial_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"
#include "node/cluster_slots.h"
#include "node/handlers.h"
#include "node/state.h"

#define ERROR_DISABLED "ERR This instance has cluster support disabled"

static bool take_slot(struct reply *reply, const struct argument *word, uint32_t *slot) {
    int64_t number;
    if (!number_parse_int64((const char *)word->data, word->size, &number) || number < 0 ||
        number >= SLOT_COUNT) {
        reply_error(reply, "ERR Invalid or out of range slot");
        return false;
    }
    *slot = (uint32_t)number;
    return true;
}

/* ---- KV.DIGEST ---- */

static void reply_slot(const struct node *node, struct reply *reply, uint32_t slot) {
    const struct cluster *cluster = node->cluster;
    const struct ledger *ledger = node->keyspace->ledger;
    reply_map(reply, 8);
    reply_bulk_text(reply, "slot");
    reply_integer(reply, slot);
    reply_bulk_text(reply, "held");
    reply_boolean(reply, slot_set_has(&cluster->held, slot));
    reply_bulk_text(reply, "coordinated");
    reply_boolean(reply, slot_set_has(&cluster->coordinated, slot));
    reply_bulk_text(reply, "digest");
    reply_bulk_format(reply, "%016llx", (unsigned long long)ledger_slot_digest(ledger, slot));
    reply_bulk_text(reply, "keys");
    reply_integer(reply, (int64_t)keyspace_slot_size(node->keyspace, slot));
    reply_bulk_text(reply, "tombstones");
    reply_integer(reply, ledger->tombstones[slot]);
    reply_bulk_text(reply, "flush-counter");
    reply_integer(reply, (int64_t)ledger->flush_counters[slot]);
    reply_bulk_text(reply, "floor");
    reply_integer(reply, (int64_t)ledger->floors.counters[slot]);
}

static void reply_all(const struct node *node, struct reply *reply) {
    const struct slot_set *held = &node->cluster->held;
    uint64_t digest = 0;
    for (uint32_t slot = slot_set_next(held, 0); slot < SLOT_COUNT; slot = slot_set_next(held, slot + 1))
        digest += ledger_slot_digest(node->keyspace->ledger, slot);
    reply_bulk_format(reply, "%016llx", (unsigned long long)digest);
}

void handle_kv_digest(struct node *node, struct session *session, struct call *call) {
    uint32_t slot;
    (void)session;
    if (node->cluster == NULL)
        reply_error(call->reply, ERROR_DISABLED);
    else if (call->argc > 2)
        reply_error(call->reply, ERROR_SYNTAX);
    else if (node->keyspace->is_alone)
        reply_error(call->reply, "ERR This node is alone: nobody else has copies, and it keeps no digests");
    else if (!node->keyspace->ledger->is_walked)
        reply_error(call->reply, "ERR The digests are being made: try again in a moment");
    else if (call->argc == 1)
        reply_all(node, call->reply);
    else if (take_slot(call->reply, &call->argv[1], &slot))
        reply_slot(node, call->reply, slot);
}

/* ---- KV.REPAIR ---- */

/* Which peers are to be compared with. */
struct wanted {
    uint16_t member; /* RING_NOBODY: all */
    uint32_t slot;   /* SLOT_COUNT: all */
};

static bool take_member(struct node *node, struct reply *reply, const struct argument *word,
                        uint16_t *member) {
    const struct membership *membership = node->cluster->membership;
    uint8_t id[NODE_ID_SIZE];
    *member = RING_NOBODY;
    if (cluster_read_id(word, id))
        *member = membership_find(membership, id);
    if (*member != RING_NOBODY && membership_member(membership, *member)->state != MEMBER_REMOVED)
        return true;
    reply_error(reply, "ERR Unknown node");
    return false;
}

static bool take_coordinated(const struct node *node, struct reply *reply, const struct argument *word,
                             uint32_t *slot) {
    if (!take_slot(reply, word, slot))
        return false;
    if (slot_set_has(&node->cluster->coordinated, *slot))
        return true;
    reply_error(reply, "ERR Another node coordinates this slot, and compares it: ask that one (KV.RING)");
    return false;
}

static bool take_wanted(struct node *node, struct call *call, struct wanted *wanted) {
    *wanted = (struct wanted){.member = RING_NOBODY, .slot = SLOT_COUNT};
    if (call->argc == 1 || (call->argc == 2 && argument_is(&call->argv[1], "all")))
        return true;
    if (call->argc == 3 && argument_is(&call->argv[1], "node"))
        return take_member(node, call->reply, &call->argv[2], &wanted->member);
    if (call->argc == 3 && argument_is(&call->argv[1], "slot"))
        return take_coordinated(node, call->reply, &call->argv[2], &wanted->slot);
    reply_error(call->reply, ERROR_SYNTAX);
    return false;
}

void handle_kv_repair(struct node *node, struct session *session, struct call *call) {
    struct cluster *cluster = node->cluster;
    struct wanted wanted;
    (void)session;
    if (cluster == NULL) {
        reply_error(call->reply, ERROR_DISABLED);
        return;
    }
    if (!take_wanted(node, call, &wanted))
        return;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        struct peer *peer = cluster->peers[i];
        bool is_meant = peer != NULL && (wanted.member == RING_NOBODY || wanted.member == i) &&
                        (wanted.slot == SLOT_COUNT || slot_set_has(&peer->asked, wanted.slot));
        if (!is_meant)
            continue;
        peer->wants_compare = true;
        peer->next_compare_ms = node->monotonic_ms;
        peer->next_handover_ms = node->monotonic_ms;
    }
    cluster->must_work = true;
    reply_ok(call->reply);
}
