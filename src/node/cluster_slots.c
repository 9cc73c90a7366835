/* cluster_slots.c - ranges of slots, found in one walk over the routes, and the replies that are made of them.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/cluster_slots.h"

#include "base/number.h"

static int digit_of(uint8_t letter) {
    if (letter >= '0' && letter <= '9')
        return letter - '0';
    letter |= 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

bool cluster_read_id(const struct argument *text, uint8_t id[NODE_ID_SIZE]) {
    if (text->size != IDENTITY_ID_SIZE - 1)
        return false;
    for (unsigned i = 0; i < NODE_ID_SIZE; i++) {
        int high = digit_of(text->data[2 * i]), low = digit_of(text->data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        id[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool is_member(const struct member *member) {
    return member->state != MEMBER_REMOVED;
}

/* ---- CLUSTER SLOTS ---- */

/* The entry of each member as it stands in the reply, made once: a member has many ranges. */
struct rendered_members {
    struct mem *mem;
    struct buffer text;
    uint32_t *at; /* where each begins in the text, and behind the last its end */
    uint32_t count;
};

static void rendered_release(struct rendered_members *rendered) {
    buffer_release(&rendered->text);
    mem_free(rendered->mem, rendered->at, (rendered->count + 1) * sizeof *rendered->at);
}

/* false: no memory, nothing to release. */
static bool rendered_init(struct rendered_members *rendered, const struct node *node, uint8_t protocol) {
    const struct membership *membership = node->cluster->membership;
    *rendered = (struct rendered_members){.mem = node->mem, .count = membership_count(membership)};
    buffer_init(&rendered->text, node->mem);
    rendered->at = mem_alloc(node->mem, (rendered->count + 1) * sizeof *rendered->at);
    if (rendered->at == NULL)
        return false;
    struct reply reply = {.out = &rendered->text, .protocol = protocol};
    for (uint32_t i = 0; i < rendered->count; i++) {
        const struct member_entry *entry = &membership_member(membership, (uint16_t)i)->entry;
        char id[IDENTITY_ID_SIZE];
        identity_print_id(entry->id, id);
        rendered->at[i] = (uint32_t)rendered->text.size;
        reply_array(&reply, 4);
        reply_bulk_text(&reply, entry->host);
        reply_integer(&reply, entry->cluster_port);
        reply_bulk(&reply, id, sizeof id - 1);
        reply_map(&reply, 0); /* what else is known of the address */
    }
    rendered->at[rendered->count] = (uint32_t)rendered->text.size;
    if (!rendered->text.failed)
        return true;
    rendered_release(rendered);
    return false;
}

static void append_rendered(struct buffer *out, const struct rendered_members *rendered, uint16_t member) {
    uint32_t at = rendered->at[member];
    buffer_append(out, rendered->text.data + at, rendered->at[member + 1] - at);
}

/* The members besides the coordinator that hold a slot and are not down. Returns their number. */
static uint32_t other_holders(const struct node *node, uint32_t slot, uint16_t coordinator,
                              uint16_t others[RING_COPIES_MAX]) {
    const struct cluster *cluster = node->cluster;
    const struct ring *ring = cluster->ring;
    uint32_t count = 0;
    for (uint32_t i = 0; ring != NULL && i < ring->width; i++) {
        uint16_t member = cluster->ring_indexes[ring_list(ring, slot)[i]];
        if (member != coordinator && membership_member(cluster->membership, member)->state < MEMBER_DOWN)
            others[count++] = member;
    }
    return count;
}

/* The last slot of the range that begins at `first`: with the same coordinator and, if they matter, the same holders. */
static uint32_t range_end(const struct node *node, uint32_t first, bool with_replicas) {
    const struct ring *ring = node->cluster->ring;
    uint16_t coordinator = cluster_route(node, first);
    bool compares_lists = with_replicas && ring != NULL && ring->width != 0;
    uint32_t last = first;
    while (last + 1 < SLOT_COUNT && cluster_route(node, last + 1) == coordinator &&
           (!compares_lists || memcmp(ring_list(ring, last + 1), ring_list(ring, first),
                                      ring->width * sizeof *ring->lists) == 0))
        last++;
    return last;
}

static uint32_t count_ranges(const struct node *node, bool with_replicas) {
    uint32_t count = 0;
    for (uint32_t first = 0; first < SLOT_COUNT; first = range_end(node, first, with_replicas) + 1)
        count += cluster_route(node, first) != ROUTE_NOBODY;
    return count;
}

bool cluster_slots_render(const struct node *node, bool with_replicas, uint8_t protocol, struct buffer *out) {
    struct rendered_members rendered;
    if (!rendered_init(&rendered, node, protocol))
        return false;
    struct reply reply = {.out = out, .protocol = protocol};
    reply_array(&reply, count_ranges(node, with_replicas));
    for (uint32_t first = 0, last; first < SLOT_COUNT; first = last + 1) {
        last = range_end(node, first, with_replicas);
        uint16_t coordinator = cluster_route(node, first), others[RING_COPIES_MAX];
        if (coordinator == ROUTE_NOBODY)
            continue;
        uint32_t other_count = with_replicas ? other_holders(node, first, coordinator, others) : 0;
        reply_array(&reply, 3 + other_count);
        reply_integer(&reply, first);
        reply_integer(&reply, last);
        append_rendered(out, &rendered, coordinator);
        for (uint32_t i = 0; i < other_count; i++)
            append_rendered(out, &rendered, others[i]);
    }
    rendered_release(&rendered);
    return !out->failed;
}

/* What is kept is taken whole, with no more room than it needs. */
static bool keep_slots(struct node *node, struct buffer *kept, uint8_t protocol) {
    struct buffer fresh;
    buffer_init(&fresh, node->mem);
    bool done = cluster_slots_render(node, node->config->cluster_replica_lists, protocol, &fresh);
    if (done)
        *kept = fresh;
    else
        buffer_release(&fresh);
    return done;
}

void cluster_slots_reply(struct node *node, struct reply *reply) {
    struct cluster *cluster = node->cluster;
    unsigned which = reply->protocol == 3;
    struct buffer *kept = &cluster->slots_reply[which];
    if (kept->size == 0 || cluster->slots_epoch[which] != cluster->route_epoch) {
        if (kept->capacity != 0)
            buffer_release(kept);
        buffer_init(kept, node->mem);
        if (!keep_slots(node, kept, reply->protocol)) {
            reply_error(reply, ERROR_NO_MEMORY);
            return;
        }
        cluster->slots_epoch[which] = cluster->route_epoch;
    }
    buffer_append(reply->out, kept->data, kept->size);
}

/* ---- Ranges by member ---- */

struct slot_range {
    uint16_t first, last;
};

/* The ranges of all members, those of one side by side in the order of slots. */
struct owned_ranges {
    struct mem *mem;
    uint32_t *begin; /* of each member, and behind the last the number of all */
    uint32_t member_count, count;
    struct slot_range *ranges; /* NULL where there are none */
};

static void owned_release(struct owned_ranges *owned) {
    mem_free(owned->mem, owned->ranges, owned->count * sizeof *owned->ranges);
    mem_free(owned->mem, owned->begin, (owned->member_count + 1) * sizeof *owned->begin);
}

/* Counts, then puts in place. false: no memory, nothing to release. */
static bool owned_init(struct owned_ranges *owned, const struct node *node) {
    *owned = (struct owned_ranges){.mem = node->mem,
                                   .member_count = membership_count(node->cluster->membership),
                                   .count = count_ranges(node, false)};
    owned->begin = mem_alloc_zeroed(node->mem, (owned->member_count + 1) * sizeof *owned->begin);
    if (owned->begin == NULL)
        return false;
    if (owned->count == 0)
        return true;
    owned->ranges = mem_alloc(node->mem, owned->count * sizeof *owned->ranges);
    if (owned->ranges == NULL) {
        owned->count = 0;
        owned_release(owned);
        return false;
    }
    for (uint32_t first = 0; first < SLOT_COUNT; first = range_end(node, first, false) + 1)
        if (cluster_route(node, first) != ROUTE_NOBODY)
            owned->begin[cluster_route(node, first)]++;
    for (uint32_t i = 0, before = 0; i <= owned->member_count; i++) {
        uint32_t own = owned->begin[i];
        owned->begin[i] = before;
        before += own;
    }
    for (uint32_t first = 0, last; first < SLOT_COUNT; first = last + 1) {
        last = range_end(node, first, false);
        if (cluster_route(node, first) != ROUTE_NOBODY)
            owned->ranges[owned->begin[cluster_route(node, first)]++] =
                (struct slot_range){(uint16_t)first, (uint16_t)last};
    }
    /* Each begin has moved to where the next one's was. */
    for (uint32_t i = owned->member_count; i > 0; i--)
        owned->begin[i] = owned->begin[i - 1];
    owned->begin[0] = 0;
    return true;
}

/* ---- CLUSTER SHARDS ---- */

static void reply_shard_node(struct reply *reply, const struct member *member) {
    char id[IDENTITY_ID_SIZE];
    identity_print_id(member->entry.id, id);
    reply_array(reply, 1);
    reply_map(reply, 7);
    reply_bulk_text(reply, "id");
    reply_bulk_text(reply, id);
    reply_bulk_text(reply, "port");
    reply_integer(reply, member->entry.cluster_port);
    reply_bulk_text(reply, "ip");
    reply_bulk_text(reply, member->entry.host);
    reply_bulk_text(reply, "endpoint");
    reply_bulk_text(reply, member->entry.host);
    reply_bulk_text(reply, "role");
    reply_bulk_text(reply, "master");
    reply_bulk_text(reply, "replication-offset");
    reply_integer(reply, 0);
    reply_bulk_text(reply, "health");
    reply_bulk_text(reply, member->state == MEMBER_DOWN ? "fail" : "online");
}

void cluster_shards_reply(struct node *node, struct reply *reply) {
    const struct membership *membership = node->cluster->membership;
    struct owned_ranges owned;
    if (!owned_init(&owned, node)) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    size_t place = reply_deferred(reply);
    uint32_t count = 0;
    for (uint32_t i = 0; i < owned.member_count; i++) {
        const struct member *member = membership_member(membership, (uint16_t)i);
        if (!is_member(member))
            continue;
        reply_map(reply, 2);
        reply_bulk_text(reply, "slots");
        reply_array(reply, 2 * (size_t)(owned.begin[i + 1] - owned.begin[i]));
        for (uint32_t at = owned.begin[i]; at < owned.begin[i + 1]; at++) {
            reply_integer(reply, owned.ranges[at].first);
            reply_integer(reply, owned.ranges[at].last);
        }
        reply_bulk_text(reply, "nodes");
        reply_shard_node(reply, member);
        count++;
    }
    if (reply_is_complete(reply))
        reply_deferred_set(reply, place, '*', count);
    owned_release(&owned);
}

/* ---- CLUSTER NODES ---- */

static const char *flags_of(const struct member *member, bool is_self) {
    if (is_self)
        return "myself,master";
    switch (member->state) {
    case MEMBER_DOWN: return "master,fail";
    case MEMBER_SUSPECT: return "master,fail?";
    default: return "master";
    }
}

/* When the member was last heard of, as a time of the wall clock; 0: this node, or never. */
static long long heard_wall_ms(const struct node *node, const struct member *member, bool is_self) {
    if (is_self || member->heard_ms == 0)
        return 0;
    return (long long)(node->wall_ms - (int64_t)(node->monotonic_ms - member->heard_ms));
}

/* " 7" or " 7-9". There are thousands of them: not by a format. */
static void append_range(struct buffer *text, struct slot_range range) {
    char words[2 * NUMBER_INT64_SIZE + 2] = " ";
    size_t size = 1 + number_format_uint64(words + 1, range.first);
    if (range.first != range.last) {
        words[size++] = '-';
        size += number_format_uint64(words + size, range.last);
    }
    buffer_append(text, words, size);
}

static void append_node(struct node *node, struct buffer *text, uint16_t index,
                        const struct owned_ranges *owned) {
    const struct member *member = membership_member(node->cluster->membership, index);
    const struct member_entry *entry = &member->entry;
    const struct peer *peer = cluster_peer(node->cluster, index);
    bool is_self = index == ROUTE_SELF, is_linked = is_self || (peer != NULL && peer_is_linked(peer));
    char id[IDENTITY_ID_SIZE];
    identity_print_id(entry->id, id);
    buffer_append_format(text, "%s %s:%u@%u %s - 0 %lld %llu %s", id, entry->host, entry->cluster_port,
                         entry->peer_port, flags_of(member, is_self), heard_wall_ms(node, member, is_self),
                         (unsigned long long)entry->incarnation, is_linked ? "connected" : "disconnected");
    for (uint32_t at = owned->begin[index]; at < owned->begin[index + 1]; at++)
        append_range(text, owned->ranges[at]);
    buffer_append_byte(text, '\n');
}

void cluster_nodes_append(struct node *node, struct buffer *text) {
    struct owned_ranges owned;
    if (!owned_init(&owned, node)) {
        text->failed = true;
        return;
    }
    for (uint32_t i = 0; i < owned.member_count; i++)
        if (is_member(membership_member(node->cluster->membership, (uint16_t)i)))
            append_node(node, text, (uint16_t)i, &owned);
    owned_release(&owned);
}

/* ---- Counts ---- */

static void count_member(struct cluster_counts *counts, const struct member *member) {
    counts->members++;
    counts->up += member->state == MEMBER_UP;
    counts->suspect += member->state == MEMBER_SUSPECT;
    counts->down += member->state == MEMBER_DOWN;
    counts->settled += member->entry.is_settled;
}

void cluster_count(const struct node *node, struct cluster_counts *counts) {
    const struct cluster *cluster = node->cluster;
    const struct membership *membership = cluster->membership;
    uint64_t coordinates[(UINT16_MAX + 1) / 64] = {0}; /* a bit for each member */
    *counts = (struct cluster_counts){.slots_held = slot_set_count(&cluster->held)};
    for (uint32_t i = 0; i < membership_count(membership); i++) {
        const struct member *member = membership_member(membership, (uint16_t)i);
        const struct peer *peer = cluster_peer(cluster, (uint16_t)i);
        if (is_member(member))
            count_member(counts, member);
        if (peer == NULL)
            continue;
        counts->records_out += peer->records_out;
        counts->records_in += peer->records_in;
        counts->requests_out += peer->requests_out;
        counts->requests_in += peer->requests_in;
    }
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        uint16_t route = cluster_route(node, slot);
        if (route == ROUTE_NOBODY) {
            counts->slots_lost++;
            continue;
        }
        bool is_suspect = membership_member(membership, route)->state == MEMBER_SUSPECT;
        counts->slots_suspect += is_suspect;
        counts->slots_up += !is_suspect;
        counts->slots_own += route == ROUTE_SELF;
        counts->coordinators += !(coordinates[route / 64] >> (route % 64) & 1);
        coordinates[route / 64] |= UINT64_C(1) << (route % 64);
    }
}
