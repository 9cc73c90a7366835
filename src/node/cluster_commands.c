/* cluster_commands.c - CLUSTER and what belongs to it: READONLY, READWRITE, ASKING.
 *
 * Redis Cluster's commands about who has which slots are refused with a reason, because the ring says that here.
 * May touch: node, cluster. Must never know: sockets.
 * Invariants: a node that is no member answers all of them as Redis does where cluster mode is off, but for HELP.
 * Tests: tests/unit/node/cluster_commands_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/crc16.h"
#include "base/number.h"
#include "node/cluster_slots.h"
#include "node/handlers.h"
#include "node/text_reply.h"

#define ERROR_NO_CLUSTER "ERR This instance has cluster support disabled"
/* Of what a client has sent so much is shown. */
#define SHOWN_MAX 128

/* Whether the node is a member; false: the error is replied. */
static bool is_member(const struct node *node, struct call *call) {
    if (node->cluster == NULL)
        reply_error(call->reply, ERROR_NO_CLUSTER);
    return node->cluster != NULL;
}

static int shown_size(const struct argument *argument) {
    return argument->size < SHOWN_MAX ? (int)argument->size : SHOWN_MAX;
}

static void reply_unknown_node(struct call *call, const struct argument *id) {
    reply_error_format(call->reply, "ERR Unknown node %.*s", shown_size(id), (const char *)id->data);
}

/* The member that argv[2] names, of those that were not removed; RING_NOBODY: the error is replied. */
static uint16_t named_member(const struct node *node, struct call *call) {
    const struct membership *membership = node->cluster->membership;
    uint8_t id[NODE_ID_SIZE];
    uint16_t member = cluster_read_id(&call->argv[2], id) ? membership_find(membership, id) : RING_NOBODY;
    if (member != RING_NOBODY && membership_member(membership, member)->state == MEMBER_REMOVED)
        member = RING_NOBODY;
    if (member == RING_NOBODY)
        reply_unknown_node(call, &call->argv[2]);
    return member;
}

/* ---- READONLY, READWRITE, ASKING ---- */

void handle_readonly(struct node *node, struct session *session, struct call *call) {
    if (!is_member(node, call))
        return;
    session->flags |= SESSION_READONLY;
    reply_ok(call->reply);
}

void handle_readwrite(struct node *node, struct session *session, struct call *call) {
    if (!is_member(node, call))
        return;
    session->flags &= ~SESSION_READONLY;
    reply_ok(call->reply);
}

void handle_asking(struct node *node, struct session *session, struct call *call) {
    (void)session;
    if (is_member(node, call))
        reply_ok(call->reply);
}

/* ---- Views ---- */

void handle_cluster_slots(struct node *node, struct session *session, struct call *call) {
    (void)session;
    if (is_member(node, call))
        cluster_slots_reply(node, call->reply);
}

void handle_cluster_shards(struct node *node, struct session *session, struct call *call) {
    (void)session;
    if (is_member(node, call))
        cluster_shards_reply(node, call->reply);
}

void handle_cluster_nodes(struct node *node, struct session *session, struct call *call) {
    (void)session;
    if (!is_member(node, call))
        return;
    struct buffer text;
    buffer_init(&text, node->mem);
    cluster_nodes_append(node, &text);
    text_reply(call, &text);
}

void handle_cluster_myid(struct node *node, struct session *session, struct call *call) {
    (void)session;
    if (!is_member(node, call))
        return;
    char id[IDENTITY_ID_SIZE];
    identity_print_id(membership_member(node->cluster->membership, ROUTE_SELF)->entry.id, id);
    reply_bulk_text(call->reply, id);
}

/* The fields of Redis, then ours. Whoever asks every node compares cluster_current_epoch with nobody else's: it is this
 * node's own count of changes. */
void handle_cluster_info(struct node *node, struct session *session, struct call *call) {
    (void)session;
    if (!is_member(node, call))
        return;
    const struct cluster *cluster = node->cluster;
    struct cluster_counts counts;
    cluster_count(node, &counts);
    char id[IDENTITY_ID_SIZE];
    identity_print_id(membership_cluster_id(cluster->membership), id);
    uint64_t own_epoch = membership_member(cluster->membership, ROUTE_SELF)->entry.incarnation;
    struct buffer text;
    buffer_init(&text, node->mem);
    buffer_append_format(&text,
                         "cluster_state:%s\r\ncluster_slots_assigned:%u\r\ncluster_slots_ok:%u\r\n"
                         "cluster_slots_pfail:%u\r\ncluster_slots_fail:%u\r\ncluster_known_nodes:%u\r\n"
                         "cluster_size:%u\r\ncluster_current_epoch:%llu\r\ncluster_my_epoch:%llu\r\n",
                         counts.slots_lost == 0 ? "ok" : "fail", SLOT_COUNT, counts.slots_up,
                         counts.slots_suspect, counts.slots_lost, counts.members, counts.coordinators,
                         (unsigned long long)cluster->route_epoch, (unsigned long long)own_epoch);
    buffer_append_format(&text,
                         "cluster_stats_messages_sent:%llu\r\ncluster_stats_messages_received:%llu\r\n",
                         (unsigned long long)(counts.records_out + counts.requests_out),
                         (unsigned long long)(counts.records_in + counts.requests_in));
    buffer_append_format(&text,
                         "cluster_id:%s\r\ncluster_nodes_settled:%u\r\ncluster_is_settled:%u\r\n"
                         "cluster_joining:%u\r\ncluster_refused_links:%llu\r\n",
                         id, counts.settled, cluster->is_settled, cluster->is_joining,
                         (unsigned long long)cluster->refusals.count);
    text_reply(call, &text);
}

static void reply_link(struct reply *reply, const struct peer_link *link, const struct member_entry *entry) {
    char id[IDENTITY_ID_SIZE];
    identity_print_id(entry->id, id);
    size_t waiting = link_unacknowledged_bytes(link->link);
    reply_map(reply, 6);
    reply_bulk_text(reply, "direction");
    reply_bulk_text(reply, link->is_caller ? "to" : "from");
    reply_bulk_text(reply, "node");
    reply_bulk_text(reply, id);
    reply_bulk_text(reply, "create-time");
    reply_integer(reply, link->created_ms);
    reply_bulk_text(reply, "events");
    reply_bulk_text(reply, link_has_output(link->link) ? "rw" : "r");
    reply_bulk_text(reply, "send-buffer-allocated");
    reply_integer(reply, (int64_t)waiting);
    reply_bulk_text(reply, "send-buffer-used");
    reply_integer(reply, (int64_t)waiting);
}

void handle_cluster_links(struct node *node, struct session *session, struct call *call) {
    (void)session;
    if (!is_member(node, call))
        return;
    const struct cluster *cluster = node->cluster;
    size_t place = reply_deferred(call->reply), count = 0;
    for (struct list_node *at = list_first(&cluster->links); at != NULL;
         at = list_next(&cluster->links, at)) {
        const struct peer_link *link = LIST_ENTRY(at, struct peer_link, all);
        if (link->peer == NULL)
            continue;
        reply_link(call->reply, link, &membership_member(cluster->membership, link->peer->member)->entry);
        count++;
    }
    if (reply_is_complete(call->reply))
        reply_deferred_set(call->reply, place, '*', count);
}

/* Also SLAVES. */
void handle_cluster_replicas(struct node *node, struct session *session, struct call *call) {
    (void)session;
    if (is_member(node, call) && named_member(node, call) != RING_NOBODY)
        reply_array(call->reply, 0);
}

/* ---- Slots and keys ---- */

void handle_cluster_keyslot(struct node *node, struct session *session, struct call *call) {
    (void)session;
    if (is_member(node, call))
        reply_integer(call->reply, crc16_key_slot(call->argv[2].data, call->argv[2].size));
}

void handle_cluster_countkeysinslot(struct node *node, struct session *session, struct call *call) {
    (void)session;
    int64_t slot;
    if (!is_member(node, call) || !call_integer(call, 2, &slot, NULL))
        return;
    if (slot < 0 || slot >= SLOT_COUNT)
        reply_error(call->reply, "ERR Invalid slot");
    else
        reply_integer(call->reply, (int64_t)keyspace_slot_size(node->keyspace, (uint32_t)slot));
}

struct keys_of_slot {
    struct reply *reply;
    int64_t wanted, found;
};

static void reply_key(void *context, struct record *record) {
    struct keys_of_slot *keys = context;
    if (keys->found == keys->wanted)
        return;
    reply_bulk(keys->reply, record_key(record), record_key_size(record));
    keys->found++;
}

void handle_cluster_getkeysinslot(struct node *node, struct session *session, struct call *call) {
    (void)session;
    int64_t slot;
    struct keys_of_slot keys = {.reply = call->reply};
    if (!is_member(node, call) || !call_integer(call, 2, &slot, NULL) ||
        !call_integer(call, 3, &keys.wanted, NULL))
        return;
    if (slot < 0 || slot >= SLOT_COUNT || keys.wanted < 0) {
        reply_error(call->reply, "ERR Invalid slot or number of keys");
        return;
    }
    struct slot_set slots = {{0}};
    slot_set_add(&slots, (uint32_t)slot);
    size_t place = reply_deferred(call->reply);
    uint64_t cursor = 0;
    while (keys.found < keys.wanted && reply_is_complete(call->reply)) {
        int64_t left = keys.wanted - keys.found;
        cursor = keyspace_scan_slots(node->keyspace, &slots, cursor,
                                     left < INT32_MAX ? (uint32_t)left : INT32_MAX, reply_key, &keys);
        if (cursor == 0)
            break;
    }
    if (reply_is_complete(call->reply))
        reply_deferred_set(call->reply, place, '*', (size_t)keys.found);
}

/* ---- Members ---- */

#define PORT_MAX    65535
#define PORT_OFFSET 10000

/* false: the error is replied. */
static bool read_port(struct call *call, uint32_t index, const char *kind, int64_t *port) {
    const struct argument *word = &call->argv[index];
    if (number_parse_int64((const char *)word->data, word->size, port))
        return true;
    reply_error_format(call->reply, "ERR Invalid TCP %s port specified: %.*s", kind, shown_size(word),
                       (const char *)word->data);
    return false;
}

void handle_cluster_meet(struct node *node, struct session *session, struct call *call) {
    (void)session;
    if (!is_member(node, call))
        return;
    const struct argument *host = &call->argv[2];
    int64_t port, peer_port;
    if (call->argc > 5) {
        reply_error(call->reply, "ERR wrong number of arguments for 'cluster|meet' command");
        return;
    }
    if (!read_port(call, 3, "base", &port))
        return;
    bool has_port = port > 0 && port <= PORT_MAX;
    peer_port = has_port ? port + PORT_OFFSET : 0;
    if (call->argc == 5 && !read_port(call, 4, "bus", &peer_port))
        return;
    char name[MEMBER_HOST_SIZE] = "";
    if (host->size < sizeof name)
        memcpy(name, host->data, host->size);
    if (name[0] == '\0' || strlen(name) != host->size || !has_port || peer_port <= 0 || peer_port > PORT_MAX)
        reply_error_format(call->reply, "ERR Invalid node address specified: %.*s:%.*s", shown_size(host),
                           (const char *)host->data, shown_size(&call->argv[3]),
                           (const char *)call->argv[3].data);
    else if (!cluster_meet(node, name, (uint16_t)peer_port))
        call_no_memory(call);
    else
        reply_ok(call->reply);
}

void handle_cluster_forget(struct node *node, struct session *session, struct call *call) {
    (void)session;
    if (!is_member(node, call))
        return;
    uint16_t member = named_member(node, call);
    if (member == RING_NOBODY)
        return;
    if (member == ROUTE_SELF) {
        reply_error(call->reply, "ERR I tried hard but I can't forget myself...");
        return;
    }
    uint8_t id[NODE_ID_SIZE];
    memcpy(id, membership_member(node->cluster->membership, member)->entry.id, sizeof id);
    if (!membership_forget(node->cluster->membership, id)) {
        reply_unknown_node(call, &call->argv[2]);
        return;
    }
    cluster_update(node);
    reply_ok(call->reply);
}

void handle_cluster_saveconfig(struct node *node, struct session *session, struct call *call) {
    (void)session;
    if (!is_member(node, call))
        return;
    node->cluster->wants_file = true;
    reply_ok(call->reply);
}

/* ---- What makes no sense here ---- */

static const char *refusal_of(unsigned id) {
    switch (id) {
    case COMMAND_ID_CLUSTER_FAILOVER:
        return "ERR there is no failover to ask for: the next node of the ring takes over by itself";
    case COMMAND_ID_CLUSTER_REPLICATE:
        return "ERR nodes are not replicas of nodes: each slot has its own copies, see replication-factor";
    case COMMAND_ID_CLUSTER_RESET:
        return "ERR a node leaves its cluster by CLUSTER FORGET <its id> at another node";
    case COMMAND_ID_CLUSTER_BUMPEPOCH:
    case COMMAND_ID_CLUSTER_SET_CONFIG_EPOCH:
        return "ERR there are no configuration epochs in this cluster: nobody is elected";
    case COMMAND_ID_CLUSTER_COUNT_FAILURE_REPORTS:
        return "ERR single reports are not kept in this cluster: see CLUSTER NODES for who is suspected or down";
    default:
        return "ERR this cluster assigns slots by itself: cluster-weight and cluster-zone say which node gets how many";
    }
}

void handle_cluster_refused(struct node *node, struct session *session, struct call *call) {
    (void)session;
    if (is_member(node, call))
        reply_error(call->reply, refusal_of(call->command->id));
}
