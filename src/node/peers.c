/* peers.c - links to other nodes as the world serves them: calls, introductions, frames, ends.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/peers.h"

#include "node/burial.h"
#include "node/forward.h"
#include "node/handoff.h"
#include "node/quorum.h"
#include "node/replicate.h"
#include "node/state.h"
#include "node/wait.h"

#include <stdio.h>

/* Calls that fail are repeated after this, and twice as long each time up to the most. */
#define CALL_AGAIN_MS     100
#define CALL_AGAIN_MAX_MS 2000
/* A seed that belongs to no member that is linked is called so often, by one who has members. */
#define SEED_EVERY_MS 3000
/* Records gather for so long at most, or until they are so many bytes. */
#define GATHER_NS      UINT64_C(500000)
#define GATHER_BYTES   (64 * 1024)
#define REMOVED_REASON "this node id was removed from the cluster"
#define SELF_REASON    "that is this node itself"
#define LINKED_REASON  "already linked"

/* ---- Peers ---- */

struct peer *peers_of(struct node *node, uint16_t member) {
    struct cluster *cluster = node->cluster;
    if (member == ROUTE_SELF || member >= RING_MEMBERS_MAX)
        return NULL;
    if (member >= cluster->peer_capacity) {
        uint32_t capacity = cluster->peer_capacity == 0 ? 8 : cluster->peer_capacity;
        while (capacity <= member)
            capacity *= 2;
        struct peer **peers =
            mem_resize(node->mem, cluster->peers, cluster->peer_capacity * sizeof(struct peer *),
                       capacity * sizeof(struct peer *));
        if (peers == NULL)
            return NULL;
        memset(peers + cluster->peer_capacity, 0,
               (capacity - cluster->peer_capacity) * sizeof(struct peer *));
        cluster->peers = peers;
        cluster->peer_capacity = capacity;
    }
    if (cluster->peers[member] != NULL)
        return cluster->peers[member];
    struct peer *peer = mem_alloc_zeroed(node->mem, sizeof *peer);
    if (peer == NULL)
        return NULL;
    peer->member = member;
    peer->compare_pause_ms = 20;
    buffer_init(&peer->records, node->mem);
    entries_writer_init(&peer->writer, node->mem);
    list_init(&peer->lost_links);
    buffer_init(&peer->next_question[0], node->mem);
    buffer_init(&peer->next_question[1], node->mem);
    comparer_init(&peer->comparer, node->mem);
    comparer_init(&peer->handover, node->mem);
    peer->handover.hands_over = true;
    cluster->peers[member] = peer;
    return peer;
}

void peers_release(struct node *node) {
    struct cluster *cluster = node->cluster;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        struct peer *peer = cluster->peers[i];
        if (peer == NULL)
            continue;
        forward_link_ended(node, peer);
        handoff_forget_peer(node, peer);
        buffer_release(&peer->records);
        entries_writer_release(&peer->writer);
        comparer_release(&peer->comparer);
        comparer_release(&peer->handover);
        buffer_release(&peer->next_question[0]);
        buffer_release(&peer->next_question[1]);
        mem_free(node->mem, peer->awaited, peer->awaited_capacity * sizeof(struct awaited *));
        mem_free(node->mem, peer, sizeof *peer);
    }
    mem_free(node->mem, cluster->peers, cluster->peer_capacity * sizeof(struct peer *));
    cluster->peers = NULL;
    cluster->peer_capacity = 0;
}

void peers_mention(struct node *node, struct peer *peer) {
    if (LIKELY(peer->is_mentioned)) {
        if (UNLIKELY(peer->records.size > 1024 * 1024))
            replicate_send(node, peer);
        return;
    }
    peer->is_mentioned = true;
    peer->mentioned_ns = node->monotonic_ns;
    list_append(&node->cluster->mentioned, &peer->mentioned);
}

void peers_raise(struct node *node, struct peer_link *link) {
    if (link->is_listed)
        return;
    link->is_listed = true;
    /* What was written leaves before the answer that says so: a process that is killed between the two loses nothing. */
    if (link->is_caller)
        list_prepend(&node->cluster->attention, &link->attention);
    else
        list_append(&node->cluster->attention, &link->attention);
}

void peers_send_replies(struct node *node, struct peer_link *link) {
    uint64_t number;
    if (link->replies.size == 0)
        return;
    if (link->replies.failed ||
        !link_send(link->link, FRAME_REPLIES, link->replies.data, link->replies.size, &number))
        link_end(link->link, "too much waits");
    if (link->replies.capacity > 1024 * 1024)
        buffer_release(&link->replies);
    else
        buffer_clear(&link->replies);
    peers_raise(node, link);
}

/* ---- A link's life ---- */

static const char *refusal_of(enum introduction introduction) {
    switch (introduction) {
    case INTRODUCTION_WELCOME: return NULL;
    case INTRODUCTION_SELF: return SELF_REASON;
    case INTRODUCTION_REMOVED: return REMOVED_REASON;
    case INTRODUCTION_DUPLICATE: return "another process has this node id";
    case INTRODUCTION_FOREIGN: return "that is another cluster";
    case INTRODUCTION_MALFORMED: return "the introduction makes no sense";
    case INTRODUCTION_NO_MEMORY: return "no memory";
    }
    return "unknown";
}

/* The seed or member that was called under this number. */
static struct seed *called_seed(struct cluster *cluster, uint64_t id) {
    for (uint32_t i = 0; i < cluster->seed_count; i++)
        if (cluster->seeds[i].call_id == id)
            return &cluster->seeds[i];
    return NULL;
}

static struct peer *called_peer(struct cluster *cluster, uint64_t id) {
    for (uint32_t i = 0; i < cluster->peer_capacity; i++)
        if (cluster->peers[i] != NULL && cluster->peers[i]->call_id == id)
            return cluster->peers[i];
    return NULL;
}

/* Another link than the one at hand on which the peer has called. */
static struct peer_link *other_in(const struct cluster *cluster, const struct peer *peer) {
    LIST_FOR_EACH(at, &cluster->links) {
        struct peer_link *link = LIST_ENTRY(at, struct peer_link, all);
        if (link->peer == peer && link != peer->in && !link->is_caller &&
            link_state(link->link) == LINK_READY)
            return link;
    }
    return NULL;
}

/* The peer has called again and speaks on the new link, so its former one is over for it. What may still be on its way there, held up
 * in a network that was cut, has been given up by the peer, and is not to be believed any more. (Who has called twice, as a seed
 * and as a member, ends the second link without a word: then the first one stays.) */
static void end_former(struct node *node, struct peer *peer) {
    peer->in->has_spoken = true;
    struct peer_link *former = other_in(node->cluster, peer);
    if (former == NULL)
        return;
    link_end(former->link, "the node has called anew");
    peers_raise(node, former);
    peer->reach.goes_around = false;
    if (!node->cluster->is_settled)
        peer->settles_us = false; /* it compares when it has called */
}

/* The peer is there, for it has called: it is called, too. A call that has found nobody so far would be tried again by the system, some
 * seconds later: another one is made, and what becomes of that one is of no interest any more. */
static void call_again(struct node *node, struct peer *peer) {
    peer->next_call_ms = 0;
    peer->failed_calls = 0;
    if (node->monotonic_ms - peer->called_ms >= CALL_AGAIN_MS)
        peer->call_id = 0;
}

static const char *introduced(void *context, struct link *link, const uint8_t *introduction, size_t size) {
    struct peer_link *peer_link = context;
    struct node *node = peer_link->node;
    struct cluster *cluster = node->cluster;
    (void)link;
    uint16_t member = RING_NOBODY;
    enum introduction outcome =
        membership_introduce(cluster->membership, introduction, size, node->monotonic_ms, &member);
    struct seed *seed = peer_link->is_caller ? called_seed(cluster, peer_link->call_id) : NULL;
    cluster->must_update = true;
    if (outcome != INTRODUCTION_WELCOME)
        return refusal_of(outcome);
    struct peer *peer = peers_of(node, member);
    if (peer == NULL)
        return "no memory";
    if (seed != NULL) {
        seed->member = member;
        seed->failed_calls = 0;
        seed->is_answered = true;
    }
    if (peer_link->is_caller && peer->out != NULL && link_state(peer->out->link) != LINK_OVER)
        return LINKED_REASON;
    peer_link->peer = peer;
    if (peer_link->is_caller) {
        handoff_link_ended(node, peer); /* if there was one, it is over */
        peer->out = peer_link;
        entries_writer_clear(&peer->writer);
        buffer_clear(&peer->records);
        peer->must_compare = true;
        peer->failed_calls = 0;
        handoff_link_ready(node, peer);
        burial_greet(node, peer);
    } else {
        peer->in = peer_link;
        call_again(node, peer);
    }
    cluster->has_calls = true;
    return NULL;
}

static bool deliver(void *context, struct link *link, unsigned kind, const uint8_t *payload, size_t size) {
    struct peer_link *peer_link = context;
    struct node *node = peer_link->node;
    struct peer *peer = peer_link->peer;
    (void)link;
    if (peer == NULL)
        return false;
    if (UNLIKELY(!peer_link->has_spoken) && peer_link == peer->in)
        end_former(node, peer);
    switch (kind) {
    case FRAME_GOSSIP:
        node->cluster->must_update = true;
        return membership_receive(node->cluster->membership, peer->member, payload, size, node->monotonic_ms);
    case FRAME_RECORDS: return !peer_link->is_caller && replicate_receive(node, peer_link, payload, size);
    case FRAME_REQUESTS: return !peer_link->is_caller && forward_execute(node, peer_link, payload, size);
    case FRAME_REPLIES: return peer_link->is_caller && forward_answered(node, peer, payload, size);
    case FRAME_COMPARE: return replicate_compare(node, peer_link, payload, size);
    case FRAME_REACH: return failover_receive(node, peer_link, payload, size);
    default: return true;
    }
}

static void acknowledged(void *context, struct link *link, uint64_t number) {
    struct peer_link *peer_link = context;
    (void)link;
    (void)number;
    if (peer_link->peer != NULL && peer_link->is_caller && handoff_waits(peer_link->peer))
        peer_link->node->cluster->must_work = true;
    if (!list_is_empty(&peer_link->node->cluster->waiters) || quorum_waits(peer_link->node))
        peer_link->node->cluster->must_wait_work = true;
}

static struct peer_link *link_to(struct node *node, const struct node_client *client, bool is_caller,
                                 uint64_t call_id) {
    struct cluster *cluster = node->cluster;
    struct buffer introduction;
    buffer_init(&introduction, node->mem);
    struct peer_link *peer_link = mem_alloc_zeroed(node->mem, sizeof *peer_link);
    if (peer_link == NULL || !membership_write_introduction(cluster->membership, &introduction)) {
        mem_free(node->mem, peer_link, sizeof *peer_link);
        buffer_release(&introduction);
        return NULL;
    }
    peer_link->node = node;
    peer_link->owner = client->owner;
    peer_link->is_caller = is_caller;
    peer_link->call_id = call_id;
    peer_link->created_ms = node->wall_ms;
    snprintf(peer_link->address, sizeof peer_link->address, "%s", client->peer_address);
    buffer_init(&peer_link->replies, node->mem);
    buffer_init(&peer_link->held, node->mem);
    entries_reader_init(&peer_link->reader, node->mem);
    struct link_options options = {.mem = node->mem,
                                   .secret = node->config->cluster_secret,
                                   .is_caller = is_caller,
                                   .introduction = introduction.data,
                                   .introduction_size = introduction.size,
                                   .queue_max = node->config->peer_output_limit,
                                   .frame_max = PEER_FRAME_PAYLOAD_MAX,
                                   .now_ms = node->monotonic_ms,
                                   .context = peer_link,
                                   .introduced = introduced,
                                   .deliver = deliver,
                                   .acknowledged = acknowledged};
    node->host.random(node->host.context, options.challenge, sizeof options.challenge);
    peer_link->link = link_new(&options);
    buffer_release(&introduction);
    if (peer_link->link == NULL) {
        entries_reader_release(&peer_link->reader);
        mem_free(node->mem, peer_link, sizeof *peer_link);
        return NULL;
    }
    list_append(&cluster->links, &peer_link->all);
    peers_raise(node, peer_link);
    return peer_link;
}

struct peer_link *node_peer_accept(struct node *node, const struct node_client *peer) {
    if (node->cluster == NULL || node->persistence.is_loading || node->shutdown != NODE_RUNNING)
        return NULL; /* it will be called again */
    return link_to(node, peer, false, 0);
}

/* Why a link is over: known to who runs the node if one of the two ends does not want the other. */
static void tell_end(struct node *node, const struct peer_link *link) {
    const char *reason = link_reason(link->link);
    if (link_state(link->link) != LINK_OVER || reason[0] == '\0')
        return;
    node_log(node, NODE_LOG_VERBOSE, "Link with the node at %s has ended: %s", link->address, reason);
    bool is_harmless = strcmp(reason, SELF_REASON) == 0 || strcmp(reason, LINKED_REASON) == 0;
    if (is_harmless || (!link_was_refused(link->link) && !link_has_refused(link->link)))
        return;
    struct refusal what = {.is_caller = link->is_caller, .is_theirs = link_was_refused(link->link)};
    refusal_describe(&what, link->address, reason);
    const struct refusal *news = refusals_note(&node->cluster->refusals, &what, node->monotonic_ms);
    if (news != NULL)
        node_log(node, NODE_LOG_WARNING,
                 news->is_theirs ? "Node at %s does not want this one: %s" : "Node at %s refused: %s",
                 news->address, news->reason);
}

void node_peer_close(struct node *node, struct peer_link *link, bool was_reset) {
    struct cluster *cluster = node->cluster;
    struct peer *peer = link->peer;
    bool was_ready = link_state(link->link) != LINK_PROVING, is_ours = link_state(link->link) == LINK_OVER;
    list_remove(&link->all);
    if (link->is_listed)
        list_remove(&link->attention);
    wait_forget_link(node, link);
    quorum_forget_link(node, link);
    bool was_out = peer != NULL && peer->out == link;
    if (was_out) {
        peer->out = NULL;
        handoff_link_ended(node, peer);
        peer->must_compare = true;
        peer->is_agreed = false;
        cluster->next_burial_ms = node->monotonic_ms; /* expired keys leave stubs from now on */
        comparer_reset(&peer->comparer);
        comparer_reset(&peer->handover);
        peer->next_call_ms = node->monotonic_ms;
        cluster->has_calls = true;
        failover_note_lost(node, peer);
        forward_link_ended(node, peer);
    }
    if (peer != NULL && peer->in == link) {
        peer->in = other_in(cluster, peer); /* it may have called twice, and have ended this one itself */
        peer->reach.goes_around = false;
        if (!cluster->is_settled && peer->in == NULL)
            peer->settles_us = false; /* something may be lost: it will compare when it has called again */
    }
    if (peer != NULL && was_reset && was_ready && !is_ours) {
        membership_note_broken(cluster->membership, peer->member, node->monotonic_ms);
        cluster->must_update = true;
    }
    /* It was down when it was removed: so it learns of it. */
    if (link_refusal_is_proved(link->link) && strcmp(link_reason(link->link), REMOVED_REASON) == 0)
        cluster_note_removed(node);
    struct seed *seed = link->is_caller ? called_seed(cluster, link->call_id) : NULL;
    if (seed != NULL) {
        /* Whichever of the two ends has found it out. */
        seed->is_self = seed->is_self || strcmp(link_reason(link->link), SELF_REASON) == 0;
        seed->call_id = 0;
        seed->next_call_ms = node->monotonic_ms + (seed->is_answered ? SEED_EVERY_MS : CALL_AGAIN_MS * 5);
    }
    tell_end(node, link);
    entries_reader_release(&link->reader);
    buffer_release(&link->replies);
    buffer_release(&link->held);
    if (peer == NULL || !link->is_caller || !handoff_take_link(node, peer, link->link))
        link_free(link->link);
    mem_free(node->mem, link, sizeof *link);
    cluster->must_work = true;
}

struct peer_link *node_first_peer(struct node *node) {
    struct list_node *link = node->cluster == NULL ? NULL : list_first(&node->cluster->links);
    return link == NULL ? NULL : LIST_ENTRY(link, struct peer_link, all);
}

void *node_peer_owner(const struct peer_link *link) {
    return link->owner;
}

/* ---- Bytes ---- */

struct node_span node_peer_space(struct node *node, struct peer_link *link) {
    if (link_state(link->link) == LINK_OVER)
        return (struct node_span){0};
    return (struct node_span){node->input_chunk, INPUT_CHUNK_SIZE};
}

void node_peer_input(struct node *node, struct peer_link *link, size_t size) {
    link_input(link->link, node->input_chunk, size, node->monotonic_ms);
    if (UNLIKELY(!link->was_ready) && link_state(link->link) == LINK_READY) {
        link->was_ready = true;
        if (link->is_caller && link->peer != NULL)
            failover_note_linked(node, link->peer);
    }
    forward_resume(node, link);
    quorum_run(node);
    peers_raise(node, link);
    if (node->cluster->must_update)
        cluster_update(node);
}

struct node_span node_peer_output(struct node *node, struct peer_link *link) {
    size_t size;
    const uint8_t *data = link_output(link->link, node->monotonic_ms, &size);
    return (struct node_span){(uint8_t *)(uintptr_t)data, size};
}

void node_peer_sent(struct node *node, struct peer_link *link, size_t size) {
    (void)node;
    link_sent(link->link, size);
}

bool node_peer_wants_write(const struct peer_link *link) {
    return link_has_output(link->link);
}

bool node_peer_wants_close(const struct peer_link *link) {
    return link_state(link->link) == LINK_OVER && !link_has_output(link->link);
}

/* Whether more may gather for the peer before it is sent: as long as clients keep this node busy, records of which nobody
 * waits for the arrival wait for others, a moment. Each frame costs a system call here and there, and a busy turn may be short. */
static bool may_wait(const struct node *node, const struct peer *peer) {
    return peer->open_frame == NULL && peer->records.size < GATHER_BYTES &&
           node->statistics.reads != node->reads_before_turn &&
           node->monotonic_ns - peer->mentioned_ns < GATHER_NS;
}

void peers_pack(struct node *node) {
    struct cluster *cluster = node->cluster;
    quorum_end_turn(node);
    LIST_FOR_EACH(link, &cluster->mentioned) {
        struct peer *peer = LIST_ENTRY(link, struct peer, mentioned);
        if (may_wait(node, peer))
            continue;
        list_remove(link);
        peer->is_mentioned = false;
        replicate_send(node, peer);
        forward_flush(node, peer);
    }
}

struct peer_link *node_peer_attention(struct node *node) {
    struct cluster *cluster = node->cluster;
    if (cluster == NULL)
        return NULL;
    peers_pack(node);
    struct list_node *first = list_first(&cluster->attention);
    if (first == NULL)
        return NULL;
    struct peer_link *link = LIST_ENTRY(first, struct peer_link, attention);
    list_remove(first);
    link->is_listed = false;
    peers_send_replies(node, link);
    if (link->is_listed) {
        list_remove(&link->attention);
        link->is_listed = false;
    }
    return link;
}

/* ---- Calls ---- */

static uint64_t again_ms(uint32_t failed_calls) {
    uint64_t pause_ms = CALL_AGAIN_MS;
    for (uint32_t i = 1; i < failed_calls && pause_ms < CALL_AGAIN_MAX_MS; i++)
        pause_ms *= 2;
    return pause_ms < CALL_AGAIN_MAX_MS ? pause_ms : CALL_AGAIN_MAX_MS;
}

/* Whether a seed leads to somebody who is linked already, or to this node itself. */
static bool is_needless(const struct cluster *cluster, const struct seed *seed) {
    if (seed->is_self)
        return true;
    if (seed->is_answered) {
        const struct peer *peer = cluster_peer(cluster, seed->member);
        if (peer != NULL && peer_is_linked(peer))
            return true;
    }
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        const struct peer *peer = cluster->peers[i];
        if (peer == NULL || !peer_is_linked(peer))
            continue;
        const struct member_entry *entry = &membership_member(cluster->membership, peer->member)->entry;
        if (entry->peer_port == seed->port && strcmp(entry->host, seed->host) == 0)
            return true;
    }
    return false;
}

bool node_next_call(struct node *node, struct node_call *call) {
    struct cluster *cluster = node->cluster;
    if (cluster == NULL || !cluster->has_calls || node->persistence.is_loading ||
        node->shutdown != NODE_RUNNING)
        return false;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        struct peer *peer = cluster->peers[i];
        if (peer == NULL || peer->out != NULL || peer->call_id != 0 ||
            peer->next_call_ms > node->monotonic_ms ||
            !membership_wants_link(cluster->membership, peer->member))
            continue;
        const struct member_entry *entry = &membership_member(cluster->membership, peer->member)->entry;
        peer->call_id = ++cluster->next_call_id;
        peer->called_ms = node->monotonic_ms;
        *call = (struct node_call){peer->call_id, entry->host, entry->peer_port};
        return true;
    }
    for (uint32_t i = 0; i < cluster->seed_count; i++) {
        struct seed *seed = &cluster->seeds[i];
        if (seed->call_id != 0 || seed->next_call_ms > node->monotonic_ms || is_needless(cluster, seed))
            continue;
        seed->call_id = ++cluster->next_call_id;
        *call = (struct node_call){seed->call_id, seed->host, seed->port};
        return true;
    }
    cluster->has_calls = false;
    return false;
}

struct peer_link *node_call_connected(struct node *node, uint64_t id, const struct node_client *client) {
    struct cluster *cluster = node->cluster;
    struct seed *seed = called_seed(cluster, id);
    struct peer *peer = called_peer(cluster, id);
    if (peer != NULL)
        peer->call_id = 0;
    if ((seed == NULL && peer == NULL) || (peer != NULL && peer->out != NULL))
        return NULL;
    struct peer_link *link = link_to(node, client, true, id);
    if (link == NULL && seed != NULL)
        seed->call_id = 0;
    if (peer != NULL)
        peer->next_call_ms =
            node->monotonic_ms + LINK_PROOF_MS; /* unless it becomes ready, or ends, before */
    return link;
}

void node_call_failed(struct node *node, uint64_t id, enum node_call_failure failure) {
    struct cluster *cluster = node->cluster;
    struct seed *seed = called_seed(cluster, id);
    struct peer *peer = called_peer(cluster, id);
    if (seed != NULL) {
        seed->call_id = 0;
        seed->next_call_ms = node->monotonic_ms + again_ms(++seed->failed_calls);
    }
    if (peer != NULL) {
        peer->call_id = 0;
        peer->next_call_ms = node->monotonic_ms + again_ms(++peer->failed_calls);
        if (failure == NODE_CALL_REFUSED) {
            membership_note_broken(cluster->membership, peer->member, node->monotonic_ms);
            cluster->must_update = true;
            failover_note_refused(node, peer);
        }
    }
}

struct peers_memory peers_memory(const struct node *node) {
    struct peers_memory memory = {0};
    if (node->cluster == NULL)
        return memory;
    const struct list *links = &node->cluster->links;
    for (struct list_node *at = list_first(links); at != NULL; at = list_next(links, at)) {
        const struct peer_link *link = LIST_ENTRY(at, struct peer_link, all);
        memory.links++;
        memory.bytes +=
            sizeof *link + link_memory_bytes(link->link) + link->replies.capacity + link->held.capacity;
        if (link->is_caller && link->peer != NULL)
            memory.bytes += link->peer->records.capacity;
    }
    return memory;
}

uint32_t peers_work(struct node *node) {
    struct cluster *cluster = node->cluster;
    uint32_t next_ms = UINT32_MAX;
    cluster->has_calls = true;
    LIST_FOR_EACH(at, &cluster->links) {
        struct peer_link *link = LIST_ENTRY(at, struct peer_link, all);
        uint32_t wait_ms = link_tick(link->link, node->monotonic_ms);
        next_ms = wait_ms < next_ms ? wait_ms : next_ms;
        if (link_has_output(link->link) || link_state(link->link) == LINK_OVER)
            peers_raise(node, link);
    }
    return next_ms;
}
