/* ring_commands.c - KV.RING: the ring as this node has it, for people who want to know where a key lives, and why.
 *
 * May touch: node, cluster. Must never know: keys (but for the one it is asked about, by its bytes).
 * Tests: tests/unit/node/cluster_commands_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/crc16.h"
#include "base/number.h"
#include "node/cluster_slots.h"
#include "node/handlers.h"

static const char *state_name(enum member_state state) {
    switch (state) {
    case MEMBER_UP: return "up";
    case MEMBER_SUSPECT: return "suspect";
    case MEMBER_DOWN: return "down";
    case MEMBER_REMOVED: return "removed";
    }
    return "";
}

/* The fields that both forms begin a node with. */
#define MEMBER_FIELDS 4

static void reply_member(struct reply *reply, const struct member *member) {
    char id[IDENTITY_ID_SIZE];
    identity_print_id(member->entry.id, id);
    reply_bulk_text(reply, "id");
    reply_bulk_text(reply, id);
    reply_bulk_text(reply, "address");
    reply_bulk_format(reply, "%s:%u", member->entry.host, member->entry.port);
    reply_bulk_text(reply, "state");
    reply_bulk_text(reply, state_name(member->state));
    reply_bulk_text(reply, "settled");
    reply_boolean(reply, member->entry.is_settled);
}

/* ---- Without an argument: the members ---- */

/* Slots of one member. */
struct share {
    uint32_t primary, held, coordinated;
};

/* One walk over all lists, for all members. */
static void count_shares(const struct node *node, struct share *shares) {
    const struct cluster *cluster = node->cluster;
    const struct ring *ring = cluster->ring;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        if (cluster_route(node, slot) != ROUTE_NOBODY)
            shares[cluster_route(node, slot)].coordinated++;
        for (uint32_t i = 0; ring != NULL && i < ring->width; i++) {
            struct share *share = &shares[cluster->ring_indexes[ring_list(ring, slot)[i]]];
            share->held++;
            share->primary += i == 0;
        }
    }
}

static void reply_share(struct reply *reply, const struct member *member, const struct share *share) {
    reply_map(reply, MEMBER_FIELDS + 6);
    reply_member(reply, member);
    reply_bulk_text(reply, "zone");
    reply_bulk_text(reply, member->entry.zone);
    reply_bulk_text(reply, "weight");
    reply_integer(reply, member->entry.weight);
    reply_bulk_text(reply, "primary-slots");
    reply_integer(reply, share->primary);
    reply_bulk_text(reply, "held-slots");
    reply_integer(reply, share->held);
    reply_bulk_text(reply, "coordinated-slots");
    reply_integer(reply, share->coordinated);
    reply_bulk_text(reply, "keys");
    reply_integer(reply, (int64_t)member->keys);
}

static void reply_members(const struct node *node, struct reply *reply) {
    const struct membership *membership = node->cluster->membership;
    uint32_t count = membership_count(membership), shown = 0;
    struct share *shares = mem_alloc_zeroed(node->mem, count * sizeof *shares);
    if (shares == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    count_shares(node, shares);
    size_t place = reply_deferred(reply);
    for (uint32_t i = 0; i < count; i++) {
        const struct member *member = membership_member(membership, (uint16_t)i);
        if (member->state == MEMBER_REMOVED)
            continue;
        reply_share(reply, member, &shares[i]);
        shown++;
    }
    if (reply_is_complete(reply))
        reply_deferred_set(reply, place, '*', shown);
    mem_free(node->mem, shares, count * sizeof *shares);
}

/* ---- With a key or a slot: who holds it ---- */

static void reply_holder(struct reply *reply, const struct member *member, const char *part,
                         bool coordinates) {
    reply_map(reply, MEMBER_FIELDS + 2);
    reply_member(reply, member);
    reply_bulk_text(reply, "part");
    reply_bulk_text(reply, part);
    reply_bulk_text(reply, "coordinates");
    reply_boolean(reply, coordinates);
}

/* The preference list, and behind it the coordinator where that is none of the list. */
static void reply_holders(const struct node *node, struct reply *reply, uint32_t slot) {
    const struct cluster *cluster = node->cluster;
    const struct ring *ring = cluster->ring;
    uint16_t coordinator = cluster_route(node, slot);
    uint32_t width = ring == NULL ? 0 : ring->width;
    bool is_listed = coordinator == ROUTE_NOBODY;
    size_t place = reply_deferred(reply);
    for (uint32_t i = 0; i < width; i++) {
        uint16_t member = cluster->ring_indexes[ring_list(ring, slot)[i]];
        reply_holder(reply, membership_member(cluster->membership, member), i == 0 ? "primary" : "replica",
                     member == coordinator);
        is_listed |= member == coordinator;
    }
    if (!is_listed)
        reply_holder(reply, membership_member(cluster->membership, coordinator), "stand-in", true);
    if (reply_is_complete(reply))
        reply_deferred_set(reply, place, '*', width + !is_listed);
}

static void reply_slot(const struct node *node, struct reply *reply, uint32_t slot) {
    reply_map(reply, 3);
    reply_bulk_text(reply, "slot");
    reply_integer(reply, slot);
    reply_bulk_text(reply, "place");
    reply_bulk_format(reply, "%016llx", (unsigned long long)slot << 50);
    reply_bulk_text(reply, "nodes");
    reply_holders(node, reply, slot);
}

/* A number below 16384 is a slot, all else is a key. (A key that is such a number: in braces it is its own tag.) */
static uint32_t slot_of(const struct argument *word) {
    int64_t number;
    if (number_parse_int64((const char *)word->data, word->size, &number) && number >= 0 &&
        number < SLOT_COUNT)
        return (uint32_t)number;
    return crc16_key_slot(word->data, word->size);
}

void handle_kv_ring(struct node *node, struct session *session, struct call *call) {
    (void)session;
    if (node->cluster == NULL)
        reply_error(call->reply, "ERR This instance has cluster support disabled");
    else if (call->argc > 2)
        reply_error(call->reply, ERROR_SYNTAX);
    else if (call->argc == 1)
        reply_members(node, call->reply);
    else
        reply_slot(node, call->reply, slot_of(&call->argv[1]));
}
