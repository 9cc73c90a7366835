/* failover.c - who does not answer, who has been told so, who stood still, who leaves.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/failover.h"

#include "base/cursor.h"
#include "base/encode.h"
#include "node/forward.h"
#include "node/peers.h"
#include "node/quorum.h"
#include "node/route.h"
#include "node/state.h"

/* A link with a peer that is passed over, or that does not acknowledge, ends when nothing was heard on it for so long. */
#define SILENT_LINK_MS 5000
/* The time is told so often; the least difference of two clocks is sought in two windows of this length, for clocks drift. */
#define CLOCK_EVERY_MS  10000
#define CLOCK_WINDOW_MS 30000
/* A planned end takes no longer than this before the node saves. */
#define LEAVE_MS      2000
#define LEAVE_STEP_MS 10

enum reach_frame { REACH_PASSED_OVER, REACH_HEARD, REACH_LEAVING, REACH_AROUND, REACH_CLOCK, REACH_RESUME };

static uint64_t timeout_ms(const struct node *node) {
    return node->config->failover_timeout_ms;
}

static const struct member_entry *entry_of(const struct node *node, const struct peer *peer) {
    return &membership_member(node->cluster->membership, peer->member)->entry;
}

static void look_soon(struct node *node, uint64_t time_ms) {
    struct failover *failover = &node->cluster->failover;
    if (time_ms < failover->next_ms)
        failover->next_ms = time_ms;
}

/* A frame of one byte and up to two numbers. */
static bool tell(struct node *node, struct peer_link *link, enum reach_frame frame, unsigned count,
                 const uint64_t *numbers) {
    uint8_t bytes[1 + 2 * ENCODE_VARINT_MAX], *end = bytes;
    *end++ = (uint8_t)frame;
    for (unsigned i = 0; i < count; i++)
        end = encode_varint(end, numbers[i]);
    bool is_sent = link_send(link->link, FRAME_REACH, bytes, (size_t)(end - bytes), NULL);
    peers_raise(node, link);
    return is_sent;
}

static void log_peer(struct node *node, const struct peer *peer, const char *what, const char *why) {
    const struct member_entry *entry = entry_of(node, peer);
    char id[IDENTITY_ID_SIZE];
    identity_print_id(entry->id, id);
    node_log(node, NODE_LOG_VERBOSE, "%s node %.12s at %s:%u%s", what, id, entry->host, entry->port, why);
}

/* ---- Reach ---- */

static struct deeds deeds_of(const struct node *node) {
    struct deeds deeds = {.stamp = node->keyspace->counter};
    for (uint32_t i = 0; i < node->cluster->peer_capacity; i++) {
        const struct peer *peer = node->cluster->peers[i];
        if (peer == NULL)
            continue;
        const struct reach *reach = &peer->reach;
        deeds.requests += peer->requests_out;
        deeds.records +=
            (reach->is_passed_over ? reach->records_then : peer->records_out) - reach->records_ignored;
    }
    return deeds;
}

/* What a peer that is passed over may lack, though those who would coordinate in its place have it. */
enum lack {
    LACKS_NOTHING,
    LACKS_OURS, /* only what nobody but this node has */
    LACKS_OTHERS
};

static enum lack lack_of(const struct node *node, const struct peer *peer) {
    const struct cluster *cluster = node->cluster;
    const struct deeds *before = &peer->reach.deeds, now = deeds_of(node);
    /* What it does while it is not settled itself gives it no precedence. */
    const struct deeds *settled = cluster->is_settled ? &now : &cluster->failover.settled_deeds;
    if (now.requests != before->requests)
        return LACKS_OTHERS;
    if (settled->stamp <= before->stamp)
        return LACKS_NOTHING;
    if (settled->records != before->records)
        return LACKS_OTHERS;
    return cluster->is_settled ? LACKS_OURS : LACKS_NOTHING;
}

/* Routes are still to be made. */
static void mark_passed(struct node *node, struct peer *peer, const char *why) {
    struct failover *failover = &node->cluster->failover;
    struct reach *reach = &peer->reach;
    log_peer(node, peer, "Commands go around", why);
    if (!reach->must_prove)
        reach->deeds = deeds_of(node); /* else what it has to prove is from before */
    reach->records_then = peer->records_out;
    reach->is_passed_over = true;
    reach->was_told = false;
    reach->passed_ms = node->monotonic_ms;
    failover->passed_count++;
    failover->passes++;
    failover->unproved_count += !reach->must_prove;
    /* What it says of itself counts again when it has said that it knows, or is another process. */
    reach->must_prove = true;
    reach->incarnation = entry_of(node, peer)->incarnation;
    reach->version = UINT64_MAX;
    look_soon(node, node->monotonic_ms);
}

static void pass_over(struct node *node, struct peer *peer, const char *why) {
    if (peer->reach.is_passed_over || !membership_wants_link(node->cluster->membership, peer->member))
        return;
    mark_passed(node, peer, why);
    cluster_reroute(node);
    forward_give_up(node, peer);
    route_retry(node);
}

static void end_pass(struct cluster *cluster, struct peer *peer) {
    peer->reach.is_passed_over = false;
    peer->reach.records_ignored += peer->records_out - peer->reach.records_then;
    cluster->failover.passed_count--;
}

static void reach_again(struct node *node, struct peer *peer) {
    log_peer(node, peer, "Commands may go to", " again");
    end_pass(node->cluster, peer);
    cluster_reroute(node);
    route_retry(node);
}

void failover_note_lost(struct node *node, struct peer *peer) {
    peer->reach.lost_ms = node->monotonic_ms + (node->monotonic_ms == 0);
    peer->reach.was_told = peer->reach.was_late = false;
    look_soon(node, node->monotonic_ms);
}

void failover_note_refused(struct node *node, struct peer *peer) {
    if (peer->out != NULL)
        return;
    /* Nobody is there who could still execute what was awaited. */
    route_note_gone(node, peer);
    pass_over(node, peer, ": it refuses connections");
    route_retry(node);
}

static void forget_proof(struct cluster *cluster, struct reach *reach) {
    cluster->failover.unproved_count -= reach->must_prove;
    reach->must_prove = false;
}

/* What a peer that is passed over is to be told, if it is the process that was, and lacks something. Perhaps it has the same to tell: where both
 * have written on their own, one of them is to stay settled, and whoever hears of it first gives way. */
static void tell_passed(struct node *node, struct peer *peer) {
    struct reach *reach = &peer->reach;
    if (entry_of(node, peer)->incarnation > reach->incarnation) {
        reach_again(node, peer);
        return;
    }
    enum lack lack = lack_of(node, peer);
    if (lack == LACKS_NOTHING) {
        bool is_heard =
            reach->linked_ms >= reach->passed_ms || link_heard_ms(peer->out->link) > reach->passed_ms;
        if (is_heard) {
            forget_proof(node->cluster, reach);
            reach_again(node, peer);
        }
    } else if (lack == LACKS_OURS && peer->in == NULL &&
               node->monotonic_ms - reach->linked_ms < timeout_ms(node)) {
        look_soon(node, reach->linked_ms + timeout_ms(node));
    } else {
        reach->was_told = tell(node, peer->out, REACH_PASSED_OVER, 0, NULL);
    }
}

static void tell_clock(struct node *node, struct peer *peer) {
    peer->reach.told_clock_ms = node->monotonic_ms;
    (void)tell(node, peer->out, REACH_CLOCK, 1, &node->monotonic_ms);
}

void failover_note_linked(struct node *node, struct peer *peer) {
    peer->reach.lost_ms = 0;
    peer->reach.linked_ms = node->monotonic_ms;
    tell_clock(node, peer);
    if (peer->reach.is_passed_over)
        tell_passed(node, peer);
    if (node->cluster->failover.leave_phase != LEAVE_NOT)
        (void)tell(node, peer->out, REACH_LEAVING, 0, NULL);
}

static bool is_later(const struct member_entry *entry, const struct reach *reach) {
    return entry->incarnation != reach->incarnation ? entry->incarnation > reach->incarnation
                                                    : entry->version > reach->version;
}

void failover_note_entries(struct node *node) {
    struct cluster *cluster = node->cluster;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        struct peer *peer = cluster->peers[i];
        if (peer == NULL)
            continue;
        bool is_gone = !membership_wants_link(cluster->membership, peer->member);
        if (peer->reach.must_prove && (is_gone || is_later(entry_of(node, peer), &peer->reach)))
            forget_proof(cluster, &peer->reach);
        if (peer->reach.is_passed_over && is_gone)
            end_pass(cluster, peer);
        if (!peer->reach.is_passed_over && !is_gone && !cluster_is_up(cluster, peer->member))
            mark_passed(node, peer, ": it is down"); /* others coordinate in its place from now on */
        if (peer->reach.owes_around)
            look_soon(node, node->monotonic_ms);
    }
}

/* It leaves, and no command goes there any more: what has gathered for it was the last. */
static void go_around(struct node *node, struct peer *peer) {
    if (!entry_of(node, peer)->is_leaving || !peer_is_linked(peer))
        return;
    forward_flush(node, peer);
    peer->reach.owes_around = !tell(node, peer->out, REACH_AROUND, 0, NULL);
}

static uint64_t later(uint64_t one, uint64_t other) {
    return one > other ? one : other;
}

static void end_silent_link(struct node *node, struct peer *peer) {
    link_end(peer->out->link, "it is silent");
    peers_raise(node, peer->out);
}

/* Records and gossip on a link are no requests, but if they are not acknowledged for long, nothing arrives there: a link that is made
 * anew gets through as soon as the network allows it, while the old one may wait for its next try. Returns when to look again. */
static uint64_t look_at_link(struct node *node, struct peer *peer) {
    uint64_t since_ms = link_oldest_unacknowledged_ms(peer->out->link);
    if (since_ms == 0)
        return node->monotonic_ms + SILENT_LINK_MS;
    since_ms = later(since_ms, later(link_heard_ms(peer->out->link), node->cluster->failover.attentive_ms));
    if (node->monotonic_ms - since_ms >= SILENT_LINK_MS)
        end_silent_link(node, peer);
    return since_ms + SILENT_LINK_MS;
}

/* Looks at a peer that can be reached. Returns when it is to be looked at again; UINT64_MAX: as soon as there is a link. */
static uint64_t look_at_reached(struct node *node, struct peer *peer) {
    uint64_t since_ms = peer->reach.lost_ms, link_due_ms = UINT64_MAX;
    if (peer_is_linked(peer)) {
        link_due_ms = look_at_link(node, peer);
        since_ms = forward_oldest_ms(peer);
        if (since_ms != 0)
            since_ms = later(since_ms, link_heard_ms(peer->out->link));
    }
    if (since_ms == 0)
        return link_due_ms;
    uint64_t due_ms = later(since_ms, node->cluster->failover.attentive_ms) + timeout_ms(node);
    if (node->monotonic_ms < due_ms)
        return due_ms < link_due_ms ? due_ms : link_due_ms;
    pass_over(node, peer, peer_is_linked(peer) ? ": it is silent" : ": there is no link to it");
    return node->monotonic_ms;
}

static uint64_t look_at_passed(struct node *node, struct peer *peer) {
    if (!peer_is_linked(peer))
        return UINT64_MAX;
    if (!peer->reach.was_told)
        tell_passed(node, peer);
    uint64_t since_ms = later(peer->reach.passed_ms, link_heard_ms(peer->out->link));
    if (node->monotonic_ms - since_ms >= SILENT_LINK_MS)
        end_silent_link(node, peer);
    return since_ms + SILENT_LINK_MS;
}

uint32_t failover_work(struct node *node) {
    struct cluster *cluster = node->cluster;
    struct failover *failover = &cluster->failover;
    if (LIKELY(node->monotonic_ms < failover->next_ms) && LIKELY(failover->timeout_ms == timeout_ms(node))) {
        uint64_t left_ms = failover->next_ms - node->monotonic_ms;
        return left_ms < UINT32_MAX ? (uint32_t)left_ms : UINT32_MAX;
    }
    failover->cpu_ns = node_thread_cpu_ns(node);
    failover->timeout_ms = timeout_ms(node);
    /* What is sent from now on is not late before this. */
    uint64_t next_ms = node->monotonic_ms + timeout_ms(node);
    failover->next_ms = next_ms;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        struct peer *peer = cluster->peers[i];
        if (peer == NULL || !membership_wants_link(cluster->membership, peer->member))
            continue;
        if (peer_is_linked(peer) && node->monotonic_ms - peer->reach.told_clock_ms >= CLOCK_EVERY_MS)
            tell_clock(node, peer);
        if (peer->reach.owes_around)
            go_around(node, peer);
        uint64_t due_ms =
            peer->reach.is_passed_over ? look_at_passed(node, peer) : look_at_reached(node, peer);
        look_soon(node, due_ms > node->monotonic_ms ? due_ms : node->monotonic_ms + 1);
    }
    if (failover->leave_phase != LEAVE_NOT)
        look_soon(node, node->monotonic_ms + LEAVE_STEP_MS);
    return (uint32_t)(failover->next_ms - node->monotonic_ms);
}

unsigned failover_flags(const struct node *node, uint32_t slot, uint16_t member) {
    const struct cluster *cluster = node->cluster;
    uint16_t holders[RING_COPIES_MAX];
    if (LIKELY(!cluster->has_detours) || slot >= SLOT_COUNT)
        return 0;
    uint32_t count = cluster_holders(cluster, slot, holders);
    for (uint32_t i = 0; i < count; i++)
        if (holders[i] == member)
            return FORWARD_SECOND_HOP;
    return FORWARD_SECOND_HOP | FORWARD_STAND_IN;
}

/* ---- Pauses ---- */

/* Becomes unsettled; routes are still to be made. */
static void unsettle(struct node *node, const char *reason) {
    struct cluster *cluster = node->cluster;
    if (!cluster->is_settled || cluster->is_joining || cluster->is_removed ||
        membership_is_alone(cluster->membership))
        return;
    node_log(node, NODE_LOG_NOTICE, "This node coordinates nothing until its copies were compared: %s",
             reason);
    cluster->failover.settled_deeds = deeds_of(node);
    cluster->is_settled = false;
    membership_set_settled(cluster->membership, false);
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        struct peer *peer = cluster->peers[i];
        if (peer == NULL)
            continue;
        peer->settles_us = peer->is_agreed = false;
        peer->must_compare = true;
        peer->next_compare_ms = node->monotonic_ms;
    }
    cluster->must_route = true;
}

void failover_unsettle(struct node *node, const char *reason) {
    struct cluster *cluster = node->cluster;
    if (cluster == NULL || node->routes == NULL)
        return;
    unsettle(node, reason);
    if (!cluster->must_route)
        return;
    cluster_update(node);
    cluster_announce(node);
}

void failover_note_turn(struct node *node) {
    struct failover *failover = &node->cluster->failover;
    uint64_t elapsed_ns = node->monotonic_ns - failover->turn_ns;
    uint64_t timeout_ns = timeout_ms(node) * 1000000;
    failover->turn_ns = node->monotonic_ns;
    if (LIKELY(elapsed_ns <= timeout_ns / 2) ||
        elapsed_ns <= timeout_ns / 2 + (uint64_t)failover->asked_wait_ms * 1000000)
        return;
    failover->attentive_ms = node->monotonic_ms;
    uint64_t cpu_ns = node_thread_cpu_ns(node), worked_ns = cpu_ns - failover->cpu_ns;
    failover->cpu_ns = cpu_ns;
    if (worked_ns > elapsed_ns || elapsed_ns - worked_ns < timeout_ns)
        return;
    failover->pauses++;
    failover_unsettle(node, "its process stood still");
}

/* ---- Lateness ---- */

void failover_note_clock(const struct node *node, struct peer_link *link, uint64_t sent_ms) {
    struct link_clock *clock = &link->clock;
    int64_t difference_ms = (int64_t)(node->monotonic_ms - sent_ms);
    if (UNLIKELY(clock->since_ms == 0) || node->monotonic_ms - clock->since_ms >= CLOCK_WINDOW_MS) {
        clock->has_last = clock->since_ms != 0;
        clock->least_ms[1] = clock->least_ms[0];
        clock->least_ms[0] = difference_ms;
        clock->since_ms = node->monotonic_ms + (node->monotonic_ms == 0);
    }
    if (difference_ms < clock->least_ms[0])
        clock->least_ms[0] = difference_ms;
}

uint64_t failover_age(const struct node *node, const struct peer_link *link, uint64_t sent_ms) {
    const struct link_clock *clock = &link->clock;
    int64_t least_ms = clock->least_ms[0];
    if (clock->has_last && clock->least_ms[1] < least_ms)
        least_ms = clock->least_ms[1];
    return (uint64_t)((int64_t)(node->monotonic_ms - sent_ms) - least_ms);
}

bool failover_is_late(struct node *node, struct peer_link *link, unsigned flags, uint64_t age_ms) {
    uint64_t allowed_ms = timeout_ms(node) / 2 * (flags & FORWARD_PATIENT ? FAILOVER_PATIENCE : 1);
    if (LIKELY(age_ms <= allowed_ms) && LIKELY(!link->clock.refuses))
        return false;
    link->clock.refuses = true;
    node->cluster->failover.refused_late++;
    return true;
}

void failover_note_late(struct node *node, struct peer *peer) {
    struct reach *reach = &peer->reach;
    if (reach->was_late)
        return;
    /* What has gathered was sent in this order, and is refused like the rest. */
    forward_flush(node, peer);
    reach->was_late = true;
    reach->resume_number = peer->awaited_next;
    if (peer_is_linked(peer) && !tell(node, peer->out, REACH_RESUME, 0, NULL)) {
        link_end(peer->out->link, "too much waits");
        peers_raise(node, peer->out);
    }
}

void failover_note_answers(struct node *node, struct peer *peer) {
    if (LIKELY(!peer->reach.was_late) || forward_awaits_before(peer, peer->reach.resume_number))
        return;
    peer->reach.was_late = false;
    route_retry(node);
}

/* ---- What others tell ---- */

/* Answers with the version of our entry as it is when nothing of what it says may be from before this. */
static void take_passed_over(struct node *node, struct peer_link *link) {
    struct cluster *cluster = node->cluster;
    unsettle(node, "another node has passed it over");
    const struct member_entry *self = &membership_member(cluster->membership, ROUTE_SELF)->entry;
    (void)tell(node, link, REACH_HEARD, 2, (const uint64_t[]){self->incarnation, self->version});
    if (!cluster->must_route)
        return;
    cluster_update(node);
    cluster_announce(node);
}

static void take_heard(struct node *node, struct peer *peer, uint64_t incarnation, uint64_t version) {
    struct reach *reach = &peer->reach;
    if (!reach->is_passed_over || !reach->was_told)
        return;
    reach->incarnation = incarnation;
    reach->version = version;
    failover_note_entries(node);
    reach_again(node, peer);
}

bool failover_receive(struct node *node, struct peer_link *link, const uint8_t *payload, size_t size) {
    struct cursor cursor = cursor_make(payload, size);
    struct peer *peer = link->peer;
    unsigned frame = cursor_u8(&cursor);
    uint64_t numbers[2] = {0};
    for (unsigned i = 0; i < (frame == REACH_HEARD ? 2u : frame == REACH_CLOCK ? 1u : 0u); i++)
        numbers[i] = cursor_varint(&cursor);
    if (cursor_failed(&cursor) || cursor_remaining(&cursor) != 0 || link->is_caller != (frame == REACH_HEARD))
        return false;
    switch (frame) {
    case REACH_PASSED_OVER: take_passed_over(node, link); return true;
    case REACH_HEARD: take_heard(node, peer, numbers[0], numbers[1]); return true;
    case REACH_LEAVING:
        peer->reach.owes_around = true;
        look_soon(node, node->monotonic_ms);
        return true;
    case REACH_AROUND: peer->reach.goes_around = true; return true;
    case REACH_CLOCK: failover_note_clock(node, link, numbers[0]); return true;
    case REACH_RESUME:
        link->clock.resumes = link->held.size != 0;
        link->clock.refuses = link->clock.refuses && link->clock.resumes;
        return true;
    default: return false;
    }
}

/* ---- A planned end ---- */

static void set_leaving(struct node *node, bool is_leaving) {
    struct cluster *cluster = node->cluster;
    cluster->failover.leave_phase = is_leaving ? LEAVE_ANNOUNCED : LEAVE_NOT;
    membership_set_leaving(cluster->membership, is_leaving);
    cluster_update(node);
    cluster_announce(node);
    look_soon(node, node->monotonic_ms);
}

bool failover_leave(struct node *node) {
    struct cluster *cluster = node->cluster;
    if (cluster == NULL || node->routes == NULL || cluster->is_joining || cluster->is_removed ||
        membership_live_count(cluster->membership) < 2)
        return false;
    node_log(node, NODE_LOG_NOTICE, "This node leaves: the others take over what it coordinates");
    cluster->failover.leave_until_ms = node->monotonic_ms + LEAVE_MS;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++)
        if (cluster->peers[i] != NULL)
            cluster->peers[i]->reach.goes_around = false;
    set_leaving(node, true);
    for (uint32_t i = 0; i < cluster->peer_capacity; i++)
        if (cluster->peers[i] != NULL && peer_is_linked(cluster->peers[i]))
            (void)tell(node, cluster->peers[i]->out, REACH_LEAVING, 0, NULL);
    return true;
}

void failover_stay(struct node *node) {
    if (node->cluster != NULL && node->cluster->failover.leave_phase != LEAVE_NOT)
        set_leaving(node, false);
}

/* Whether something may still be awaited from a peer. */
static bool is_there(const struct cluster *cluster, const struct peer *peer) {
    return cluster_is_up(cluster, peer->member) && !peer->reach.is_passed_over;
}

bool failover_has_left(struct node *node) {
    struct cluster *cluster = node->cluster;
    struct failover *failover = &cluster->failover;
    if (node->monotonic_ms < failover->leave_until_ms)
        for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
            const struct peer *peer = cluster->peers[i];
            if (peer != NULL && is_there(cluster, peer) && peer->in != NULL &&
                link_state(peer->in->link) == LINK_READY && !peer->reach.goes_around)
                return false;
        }
    failover->leave_phase = LEAVE_DRAINING;
    return true;
}

static bool is_empty(const struct peer_link *link) {
    return link_state(link->link) != LINK_READY ||
           (link_unacknowledged_bytes(link->link) == 0 && link->replies.size == 0 && link->held.size == 0);
}

bool failover_is_drained(struct node *node) {
    struct cluster *cluster = node->cluster;
    if (cluster == NULL || cluster->failover.leave_phase == LEAVE_NOT)
        return true;
    if (node->monotonic_ms >= cluster->failover.leave_until_ms)
        return true;
    if (!list_is_empty(&cluster->retries) || !list_is_empty(&cluster->gathers) || quorum_is_busy(node))
        return false;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        const struct peer *peer = cluster->peers[i];
        if (peer == NULL || !is_there(cluster, peer) || !peer_is_linked(peer))
            continue;
        if (peer->records.size != 0 || peer->open_frame != NULL || forward_is_awaited(peer) ||
            !is_empty(peer->out) || (peer->in != NULL && !is_empty(peer->in)))
            return false;
    }
    return true;
}
