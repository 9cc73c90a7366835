/* cluster.c - the node as a member: from what membership knows to routes, and the work that time brings.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/cluster.h"

#include "node/burial.h"
#include "node/cluster_inside.h"
#include "node/cluster_settings.h"
#include "node/forward.h"
#include "node/handoff.h"
#include "node/holders.h"
#include "node/peers.h"
#include "node/quorum.h"
#include "node/replicate.h"
#include "node/route.h"
#include "node/state.h"
#include "node/wait.h"
#include "store/floors.h"
#include "store/ledger.h"

#include <stdio.h>

/* Gossip, links and timers are looked at twice in an interval of gossip, within these bounds; the loop sleeps meanwhile. */
#define WORK_EVERY_MIN_MS  50
#define WORK_EVERY_MAX_MS  100
#define LEFTOVERS_EVERY_MS 10000
/* A member that was removed is told so by gossip: its links end so long after. */
#define REMOVED_LINKS_MS 500
/* A node that has seeds and has never met anybody serves alone when none of them has answered for so long. */
#define JOIN_PATIENCE_MS 15000
/* Why this node goes on as a later start. */
#define KNOWN_LATER "other nodes know a later one than its folder does"

/* ---- The session that runs what others have sent on ---- */

static struct session *self_session(struct node *node) {
    struct session *session = mem_alloc_zeroed(node->mem, sizeof *session);
    if (session == NULL)
        return NULL;
    session->flags = SESSION_PEER | SESSION_AUTHENTICATED;
    session->descriptor = -1;
    list_init(&session->places);
    buffer_init(&session->pending, node->mem);
    buffer_init(&session->parked, node->mem);
    session->outgoing = &session->pending;
    session->reply = (struct reply){.out = &session->pending, .protocol = 2};
    return session;
}

/* ---- Begin and end ---- */

static bool make_membership(struct node *node, const struct node_options *options) {
    struct cluster *cluster = node->cluster;
    const struct config *config = node->config;
    struct membership_options wanted = {.mem = node->mem,
                                        .interval_ms = config->gossip_interval_ms,
                                        .suspect_timeout_ms = config->suspect_timeout_ms,
                                        .fan_out = 3,
                                        .now_ms = node->monotonic_ms};
    struct member_entry *self = &wanted.self;
    cluster->self_identity = options->identity->actor;
    memcpy(self->id, options->identity->actor.node_id, NODE_ID_SIZE);
    self->incarnation = options->identity->actor.incarnation;
    self->weight = config->cluster_weight;
    snprintf(self->zone, sizeof self->zone, "%s", config->cluster_zone);
    snprintf(self->host, sizeof self->host, "127.0.0.1");
    cluster_own_address(node, self);
    node->host.random(node->host.context, &self->run, sizeof self->run);
    node->host.random(node->host.context, wanted.fresh_cluster_id, sizeof wanted.fresh_cluster_id);
    node->host.random(node->host.context, &wanted.random_seed, sizeof wanted.random_seed);
    cluster->membership = membership_new(&wanted);
    return cluster->membership != NULL;
}

bool cluster_begin(struct node *node, const struct node_options *options) {
    if (!node->config->cluster_enabled || options->identity == NULL)
        return true;
    struct cluster *cluster = mem_alloc_zeroed(node->mem, sizeof *cluster);
    if (cluster == NULL)
        return false;
    node->cluster = cluster;
    cluster->node = node;
    list_init(&cluster->links);
    list_init(&cluster->attention);
    list_init(&cluster->retries);
    list_init(&cluster->gathers);
    list_init(&cluster->waiters);
    list_init(&cluster->deferred_waits);
    list_init(&cluster->watching);
    list_init(&cluster->mentioned);
    buffer_init(&cluster->slots_reply[0], node->mem);
    buffer_init(&cluster->slots_reply[1], node->mem);
    buffer_init(&cluster->outcome.fetches, node->mem);
    buffer_init(&cluster->outcome.answers, node->mem);
    cluster_file_init(node);
    handoff_init(node);
    snprintf(cluster->host_name, sizeof cluster->host_name, "%s",
             options->host_name == NULL ? "127.0.0.1" : options->host_name);
    cluster->self = self_session(node);
    if (cluster->self == NULL || !ledger_attach(node->keyspace) || !make_membership(node, options))
        return false;
    if (!quorum_begin(node) || !cluster_file_load(node) || !handoff_file_load(node))
        return false;
    cluster_seeds_read(node);
    bool is_alone = membership_is_alone(cluster->membership);
    node->keyspace->is_alone = true; /* as long as nobody is known */
    cluster->is_joining = is_alone && cluster->seed_count != 0;
    cluster->join_until_ms = node->monotonic_ms + JOIN_PATIENCE_MS;
    cluster->is_settled = is_alone;
    if (is_alone)
        membership_set_settled(cluster->membership, true);
    cluster->failover.turn_ns = node->monotonic_ns;
    cluster->membership_epoch = UINT64_MAX;
    cluster->must_work = true;
    cluster_update(node);
    return true;
}

static void release_session(struct node *node, struct session *session) {
    if (session == NULL)
        return;
    buffer_release(&session->pending);
    buffer_release(&session->parked);
    mem_free(node->mem, session, sizeof *session);
}

void cluster_release(struct node *node) {
    struct cluster *cluster = node->cluster;
    struct peer_link *link;
    if (cluster == NULL)
        return;
    if (cluster->membership != NULL) {
        while ((link = node_first_peer(node)) != NULL)
            node_peer_close(node, link, false);
        wait_release(node);
        quorum_release(node);
        peers_release(node);
        route_release(node);
        wait_release(node);
        membership_free(cluster->membership);
    }
    ring_free(cluster->ring);
    ring_free(cluster->settled_ring);
    release_session(node, cluster->self);
    buffer_release(&cluster->slots_reply[0]);
    buffer_release(&cluster->slots_reply[1]);
    buffer_release(&cluster->outcome.fetches);
    buffer_release(&cluster->outcome.answers);
    holders_release(node);
    handoff_release(node);
    cluster_file_release(node);
    mem_free(node->mem, cluster->seeds, cluster->seed_capacity * sizeof *cluster->seeds);
    mem_free(node->mem, cluster, sizeof *cluster);
    node->cluster = NULL;
    node->routes = NULL;
}

bool cluster_end(struct node *node) {
    return node->cluster == NULL || (!cluster_file_is_busy(node) && !handoff_file_is_busy(node));
}

/* ---- What membership reports ---- */

static void log_member(struct node *node, enum node_log_level level, uint16_t member, const char *what) {
    char id[IDENTITY_ID_SIZE];
    const struct member_entry *entry = &membership_member(node->cluster->membership, member)->entry;
    identity_print_id(entry->id, id);
    node_log(node, level, "Node %.12s at %s:%u %s", id, entry->host, entry->port, what);
}

static void end_links(struct node *node, uint16_t member, const char *reason) {
    LIST_FOR_EACH(at, &node->cluster->links) {
        struct peer_link *link = LIST_ENTRY(at, struct peer_link, all);
        if (link->peer == NULL || link->peer->member != member)
            continue;
        link_end(link->link, reason);
        peers_raise(node, link);
    }
}

void cluster_note_removed(struct node *node) {
    struct cluster *cluster = node->cluster;
    if (cluster->is_removed)
        return;
    node_log(node, NODE_LOG_WARNING,
             "This node was removed from the cluster: it serves no keys any more. To come "
             "back it needs a new identity (an empty folder)");
    cluster->is_removed = true;
    cluster->must_update = cluster->must_route = true;
}

static void take_event(struct node *node, const struct membership_event *event) {
    struct cluster *cluster = node->cluster;
    switch (event->kind) {
    case MEMBERSHIP_JOINED:
        log_member(node, NODE_LOG_NOTICE, event->member, "is a member of the cluster");
        (void)peers_of(node, event->member);
        cluster->is_joining = false;
        break;
    case MEMBERSHIP_UP: log_member(node, NODE_LOG_NOTICE, event->member, "is up"); break;
    case MEMBERSHIP_SUSPECT: log_member(node, NODE_LOG_VERBOSE, event->member, "is silent"); break;
    case MEMBERSHIP_DOWN:
        log_member(node, NODE_LOG_WARNING, event->member, "is down");
        end_links(node, event->member, "the node is down");
        break;
    case MEMBERSHIP_RESTARTED: log_member(node, NODE_LOG_NOTICE, event->member, "has started again"); break;
    case MEMBERSHIP_CHANGED: break;
    case MEMBERSHIP_REMOVED:
        log_member(node, NODE_LOG_WARNING, event->member, "was removed from the cluster");
        if (cluster_peer(cluster, event->member) != NULL)
            cluster_peer(cluster, event->member)->end_ms = node->monotonic_ms + REMOVED_LINKS_MS;
        hints_forget(&cluster->hints, event->member);
        break;
    case MEMBERSHIP_SELF_REMOVED: cluster_note_removed(node); break;
    case MEMBERSHIP_SELF_OUTDATED:
        (void)cluster_take_incarnation(node, event->incarnation, KNOWN_LATER);
        break;
    case MEMBERSHIP_DUPLICATE:
        node_log(node, NODE_LOG_WARNING,
                 "Two processes have the same node id: the later one is not let in. Was its "
                 "folder copied?");
        break;
    case MEMBERSHIP_FOREIGN:
        /* The link's end is a warning, with the address (peers.c). */
        node_log(node, NODE_LOG_VERBOSE, "A node of another cluster was met: the two do not become one");
        break;
    case MEMBERSHIP_ADOPTED:
        node_log(node, NODE_LOG_NOTICE, "This node joins the cluster that it has met");
        cluster->is_settled = false;
        cluster->sure = (struct slot_set){{0}};
        cluster->is_joining = false;
        membership_set_unsettled_ever(cluster->membership);
        break;
    }
}

/* Who is no longer settled wants to be compared anew: by us, too, where we coordinate what it holds. */
static void note_settled(struct node *node) {
    struct cluster *cluster = node->cluster;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        struct peer *peer = cluster->peers[i];
        if (peer == NULL)
            continue;
        bool is_settled = membership_member(cluster->membership, peer->member)->entry.is_settled;
        if (peer->was_settled && !is_settled) {
            peer->is_agreed = false;
            peer->must_compare = true;
            peer->next_compare_ms = node->monotonic_ms;
        }
        peer->was_settled = is_settled;
    }
}

void cluster_update(struct node *node) {
    struct cluster *cluster = node->cluster;
    struct membership_event event;
    cluster->must_update = false;
    bool must_route = cluster->must_route;
    while (membership_next_event(cluster->membership, &event))
        take_event(node, &event);
    uint64_t epoch = membership_epoch(cluster->membership);
    if (epoch == cluster->membership_epoch && !must_route)
        return;
    for (uint32_t i = 1; i < membership_count(cluster->membership); i++)
        if (membership_member(cluster->membership, (uint16_t)i)->state != MEMBER_REMOVED)
            (void)peers_of(node, (uint16_t)i);
    cluster->must_route = !cluster_make_rings(node);
    if (cluster->ring == NULL)
        return;
    cluster->membership_epoch = epoch;
    note_settled(node);
    failover_note_entries(node);
    cluster_make_routes(node);
    cluster->wants_file = cluster->wants_file || !membership_is_alone(cluster->membership);
    cluster->must_work = true;
    cluster_settle(node);
}

bool cluster_has_agreed(const struct node *node, const struct peer *other) {
    const struct cluster *cluster = node->cluster;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        const struct peer *peer = cluster->peers[i];
        if (peer != NULL && peer != other && peer->asked_count != 0 && !peer->is_agreed &&
            cluster_is_up(cluster, peer->member))
            return false;
    }
    return true;
}

void cluster_settle(struct node *node) {
    struct cluster *cluster = node->cluster;
    if (cluster->is_settled || cluster->is_joining || cluster->is_removed || node->persistence.is_loading ||
        !node->keyspace->ledger->is_walked || !cluster_has_agreed(node, NULL) || !cluster_may_replace(node))
        return;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        const struct peer *peer = cluster->peers[i];
        if (peer != NULL && peer->answered_count != 0 && !peer->settles_us &&
            cluster_is_up(cluster, peer->member))
            return;
    }
    node_log(node, NODE_LOG_NOTICE, "All slots of this node are in agreement with the other copies");
    cluster->is_settled = true;
    membership_set_settled(cluster->membership, true);
    cluster_announce(node);
    cluster->must_update = cluster->must_route = true;
}

bool cluster_take_incarnation(struct node *node, uint64_t seen, const char *reason) {
    struct cluster *cluster = node->cluster;
    if (seen < cluster->self_identity.incarnation)
        return true;
    struct identity *identity = node->persistence.identity.identity;
    int error = identity_raise(identity, &node->host.disk, seen);
    uint64_t incarnation = identity->actor.incarnation;
    if (error != 0 && incarnation <= seen)
        incarnation = seen + 1; /* not durable: the next start will be told again */
    cluster->self_identity.incarnation = incarnation;
    uint16_t actor = actors_intern(&node->keyspace->actors, &cluster->self_identity);
    if (actor != ACTORS_NONE)
        keyspace_set_actor(node->keyspace, actor);
    membership_set_incarnation(cluster->membership, incarnation);
    node_log(node, NODE_LOG_NOTICE, "This node goes on as its start %llu: %s",
             (unsigned long long)incarnation, reason);
    cluster->must_update = true;
    return actor != ACTORS_NONE;
}

struct forgotten_look {
    struct keyspace *keyspace;
    struct argument *argv;
    bool has_forgotten;
};

static void look_at_key(void *context, uint32_t argument, unsigned flags) {
    struct forgotten_look *look = context;
    (void)flags;
    look->has_forgotten =
        look->has_forgotten || keyspace_has_forgotten(look->keyspace, &look->argv[argument]);
}

bool cluster_prepare_write(struct node *node, const struct command *command, struct argument *argv,
                           uint32_t argc) {
    struct forgotten_look look = {.keyspace = node->keyspace, .argv = argv};
    (void)command_each_key(command, argc, look_at_key, &look);
    return !look.has_forgotten ||
           cluster_take_incarnation(node, node->cluster->self_identity.incarnation,
                                    "it writes keys of which it has dropped a copy with writes of its own");
}

void cluster_heed_outcome(struct node *node) {
    const struct entries_outcome *outcome = &node->cluster->outcome;
    uint64_t own = node->cluster->self_identity.incarnation;
    if (outcome->own_incarnation > own)
        (void)cluster_take_incarnation(node, outcome->own_incarnation, KNOWN_LATER);
    else if (outcome->own_counter != 0)
        (void)cluster_take_incarnation(node, own, "other nodes have writes of this one that it has not made");
}

/* ---- What time brings ---- */

static void send_gossip(struct node *node) {
    struct cluster *cluster = node->cluster;
    struct buffer message;
    uint16_t member;
    buffer_init(&message, node->mem);
    while (membership_next_message(cluster->membership, &member, &message)) {
        struct peer *peer = cluster_peer(cluster, member);
        uint64_t number;
        if (peer == NULL)
            continue;
        struct peer_link *link = peer_is_linked(peer) ? peer->out : peer->in;
        if (link == NULL || link_state(link->link) != LINK_READY)
            continue;
        (void)link_send(link->link, FRAME_GOSSIP, message.data, message.size, &number);
        peers_raise(node, link);
    }
    buffer_release(&message);
}

void cluster_announce(struct node *node) {
    membership_announce(node->cluster->membership);
    send_gossip(node);
}

/* What a removed member was to be told has left. */
static void end_removed(struct node *node) {
    for (uint32_t i = 0; i < node->cluster->peer_capacity; i++) {
        struct peer *peer = node->cluster->peers[i];
        if (peer == NULL || peer->end_ms == 0 || node->monotonic_ms < peer->end_ms)
            continue;
        peer->end_ms = 0;
        end_links(node, peer->member, "the node was removed from the cluster");
    }
}

static void tell_load(struct node *node) {
    const struct statistics *statistics = &node->statistics;
    uint64_t per_s = 0;
    for (unsigned i = 0; i < STATISTICS_SAMPLES; i++)
        per_s += statistics->commands_rate.samples[i];
    membership_set_load(node->cluster->membership, keyspace_size(node->keyspace, 0),
                        per_s / STATISTICS_SAMPLES, node->mem->used_bytes);
}

static void stop_joining(struct node *node) {
    struct cluster *cluster = node->cluster;
    if (!cluster->is_joining || node->monotonic_ms < cluster->join_until_ms)
        return;
    bool is_met = false;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++)
        is_met = is_met || cluster->peers[i] != NULL;
    if (!is_met) {
        node_log(node, NODE_LOG_WARNING,
                 "None of the seeds has answered for %u s: this node serves alone until one does",
                 JOIN_PATIENCE_MS / 1000);
        cluster->is_joining = false;
        cluster->must_update = cluster->must_route = true;
    }
}

/* A record may come late, for a slot that this node has handed over by then. */
static void look_for_leftovers(struct node *node) {
    struct cluster *cluster = node->cluster;
    if (cluster->ring == NULL || node->routes == NULL || node->monotonic_ms < cluster->next_leftovers_ms)
        return;
    cluster->next_leftovers_ms = node->monotonic_ms + LEFTOVERS_EVERY_MS;
    struct slot_set slots;
    cluster_find_leftovers(node, &slots);
    for (uint32_t slot = slot_set_next(&slots, 0); slot < SLOT_COUNT;
         slot = slot_set_next(&slots, slot + 1)) {
        struct peer *peer = cluster_peer(cluster, cluster->coordinators[slot]);
        if (peer == NULL || slot_set_has(&peer->leftover, slot))
            continue;
        slot_set_add(&peer->leftover, slot);
        peer->leftover_count++;
        peer->covered_ms = 0;
        peer->next_handover_ms = node->monotonic_ms;
        comparer_reset(&peer->handover);
        cluster->must_work = true;
    }
}

static void tick(struct node *node) {
    struct cluster *cluster = node->cluster;
    look_for_leftovers(node);
    membership_tick(cluster->membership, node->monotonic_ms);
    cluster_update(node); /* who is down may be told by the time alone */
    tell_load(node);
    send_gossip(node);
    end_removed(node);
    stop_joining(node);
    forward_tick(node);
    cluster_seeds_work(node);
    cluster_file_work(node);
    cluster_settle(node);
    uint32_t wait_ms = node->config->gossip_interval_ms / 2;
    wait_ms = wait_ms < WORK_EVERY_MIN_MS ? WORK_EVERY_MIN_MS : wait_ms;
    cluster->next_tick_ms = node->monotonic_ms + (wait_ms < WORK_EVERY_MAX_MS ? wait_ms : WORK_EVERY_MAX_MS);
}

/* Whether there are steps to be taken. Alone, tombstones are dropped, but not as long as somebody may be met who has older copies. */
static bool must_walk(const struct node *node) {
    const struct ledger *ledger = node->keyspace->ledger;
    if (node->persistence.is_loading)
        return false;
    if (node->keyspace->is_alone)
        return ledger->drop_slot < SLOT_COUNT && !node->cluster->is_joining;
    return !ledger->is_walked || floors_are_dropping(ledger);
}

/* Digests are made anew in steps, and what lies below floors is dropped. */
static bool walk(struct node *node) {
    struct ledger *ledger = node->keyspace->ledger;
    if (!must_walk(node))
        return false;
    uint64_t started_cpu_ns = node_thread_cpu_ns(node);
    if (!node->keyspace->is_alone && floors_are_dropping(ledger))
        floors_step(node->keyspace, JOB_STEP_UNITS);
    else
        ledger_walk_step(node->keyspace, JOB_STEP_UNITS);
    node_note_step(node, JOB_COMPARE, started_cpu_ns);
    return must_walk(node);
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

uint32_t cluster_work(struct node *node) {
    struct cluster *cluster = node->cluster;
    if (cluster == NULL)
        return UINT32_MAX;
    if (cluster->was_loading && !node->persistence.is_loading)
        cluster->must_update = cluster->must_route = true; /* now it is known which slots have records */
    cluster->was_loading = node->persistence.is_loading;
    if (cluster->must_update)
        cluster_update(node);
    uint32_t reach_ms = failover_work(node);
    bool is_walking = walk(node), is_writing = handoff_file_work(node);
    if (cluster->must_wait_work) {
        cluster->must_wait_work = false;
        wait_work(node);
        quorum_work(node);
    }
    bool is_tick = node->monotonic_ms >= cluster->next_tick_ms;
    if (is_tick || cluster->must_work || node->monotonic_ms >= cluster->next_work_ms) {
        cluster->must_work = false;
        if (is_tick)
            tick(node);
        uint32_t wait_ms = peers_work(node);
        holders_work(node);
        if (!node->persistence.is_loading)
            wait_ms =
                least(least(wait_ms, burial_work(node)), least(handoff_work(node), replicate_work(node)));
        wait_ms = least(wait_ms, least(route_work(node), least(gather_work(node), wait_work(node))));
        wait_ms = least(wait_ms, quorum_work(node));
        cluster->next_work_ms = node->monotonic_ms + wait_ms;
    }
    /* What leaves with this turn needs no other one. */
    if (!list_is_empty(&cluster->mentioned))
        peers_pack(node);
    if (is_walking || is_writing || cluster->must_update || cluster->must_work ||
        !list_is_empty(&cluster->mentioned))
        return 0;
    uint64_t next_ms =
        cluster->next_tick_ms < cluster->next_work_ms ? cluster->next_tick_ms : cluster->next_work_ms;
    return next_ms <= node->monotonic_ms ? 0 : least((uint32_t)(next_ms - node->monotonic_ms), reach_ms);
}
