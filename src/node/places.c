/* places.c - replies in the order of their requests, in whatever order they come.
 *
 * While a session awaits a reply of another node, what its other commands answer is parked behind it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/route.h"

#include "node/transaction.h"

/* Less than this is not worth to be compacted. */
#define COMPACT_MIN (512 * 1024)

struct session_cluster *route_session(struct node *node, struct session *session) {
    if (session->cluster == NULL) {
        session->cluster = mem_alloc_zeroed(node->mem, sizeof *session->cluster);
        if (session->cluster != NULL) {
            session->cluster->transaction_slot = ARGUMENT_NOT_PLACED;
            buffer_init(&session->cluster->watched, node->mem);
        }
    }
    return session->cluster;
}

unsigned route_session_flags(const struct session *session) {
    return (session->reply.protocol == 3 ? FORWARD_RESP3 : 0) |
           (session->flags & SESSION_NO_TOUCH ? FORWARD_NO_TOUCH : 0) |
           FORWARD_QUORUM_OF(session->read_quorum, session->write_quorum);
}

static void remove_place(struct node *node, struct reply_place *place) {
    list_remove(&place->link);
    place->session->place_count--;
    place->session->parked_live -= place->size;
    mem_free(node->mem, place, sizeof *place);
}

struct reply_place *route_keep_place(struct node *node, struct session *session) {
    struct reply_place *place = mem_alloc_zeroed(node->mem, sizeof *place);
    if (place == NULL)
        return NULL;
    place->session = session;
    place->is_silent = session->flags & (SESSION_REPLY_OFF | SESSION_REPLY_SKIP);
    list_append(&session->places, &place->link);
    session->place_count++;
    session->flags |= SESSION_ORDERED;
    session->reply.out = &session->parked;
    return place;
}

/* Moves what may leave to the output. */
static void advance(struct node *node, struct session *session) {
    struct list_node *link;
    node_leave_shared_output(node, session);
    struct buffer *out = session->outgoing;
    bool is_fine = true;
    while ((link = list_first(&session->places)) != NULL) {
        struct reply_place *place = LIST_ENTRY(link, struct reply_place, link);
        if (!place->is_ready)
            break;
        is_fine = is_fine && buffer_append(out, session->parked.data + place->at, place->size);
        remove_place(node, place);
    }
    if (list_is_empty(&session->places)) {
        if (session->parked.capacity > 64 * 1024)
            buffer_release(&session->parked);
        else
            buffer_clear(&session->parked);
        session->flags &= ~SESSION_ORDERED;
        session->reply.out = session->outgoing;
    }
    if (UNLIKELY(!list_is_empty(&node->cluster->deferred_waits)))
        node->cluster->must_wait_work = true; /* one of them may be the first now */
    if (!is_fine)
        node_kill(node, session, false);
    node_raise(node, session);
    node_unclog(node, session); /* what clogged it may be these very places, and replies that nobody wants */
}

/* Writes the parked bytes anew that are still to leave, in their order. Without memory all stays as it is. */
static void compact(struct node *node, struct session *session) {
    struct buffer fresh;
    buffer_init(&fresh, node->mem);
    if (!buffer_reserve(&fresh, session->parked_live))
        return;
    LIST_FOR_EACH(link, &session->places) {
        struct reply_place *place = LIST_ENTRY(link, struct reply_place, link);
        if (!place->is_ready)
            continue;
        size_t at = fresh.size;
        buffer_append(&fresh, session->parked.data + place->at, place->size);
        place->at = at;
    }
    buffer_release(&session->parked);
    session->parked = fresh;
}

void route_fill_place(struct node *node, struct reply_place *place, const uint8_t *reply, size_t size) {
    struct session *session = place->session;
    if (session == NULL) {
        mem_free(node->mem, place, sizeof *place);
        return;
    }
    bool is_first = list_first(&session->places) == &place->link;
    if (place->is_silent)
        size = 0;
    if (is_first) {
        /* The usual case: it need not be parked. */
        node_leave_shared_output(node, session);
        if (!buffer_append(session->outgoing, reply, size))
            node_kill(node, session, false);
        remove_place(node, place);
        advance(node, session);
        node_check_output(node, session);
        return;
    }
    if (session->parked.size > COMPACT_MIN && session->parked_live < session->parked.size / 2)
        compact(node, session);
    place->at = session->parked.size;
    place->is_ready = true;
    if (!buffer_append(&session->parked, reply, size)) {
        node_kill(node, session, false);
        return;
    }
    place->size = size;
    session->parked_live += size;
    node_check_output(node, session);
}

static void fill(struct node *node, void *target, uint32_t part, const uint8_t *reply, size_t size) {
    (void)part;
    route_fill_place(node, target, reply, size);
}

struct sink route_place_sink(struct reply_place *place) {
    return (struct sink){.take = fill, .target = place};
}

void route_note_local(struct node *node, struct session *session, size_t mark) {
    size_t size = session->parked.size - mark;
    if (size == 0)
        return;
    struct list_node *link = list_last(&session->places);
    struct reply_place *last = link == NULL ? NULL : LIST_ENTRY(link, struct reply_place, link);
    if (last != NULL && last->is_ready && last->at + last->size == mark) {
        session->parked_live += size;
        last->size += size; /* neighbours in the order of requests, and in the buffer */
        return;
    }
    struct reply_place *place = mem_alloc_zeroed(node->mem, sizeof *place);
    if (place == NULL) {
        node_kill(node, session, false);
        return;
    }
    *place = (struct reply_place){.session = session, .is_ready = true, .at = mark, .size = size};
    session->parked_live += size;
    list_append(&session->places, &place->link);
    session->place_count++;
}

void route_forget_session(struct node *node, struct session *session) {
    struct list_node *link;
    while ((link = list_first(&session->places)) != NULL) {
        struct reply_place *place = LIST_ENTRY(link, struct reply_place, link);
        list_remove(link);
        place->session = NULL;
        if (place->is_ready)
            mem_free(node->mem, place, sizeof *place);
    }
    session->place_count = 0;
    if (session->cluster != NULL) {
        transaction_forget_requests(session);
        buffer_release(&session->cluster->watched);
        mem_free(node->mem, session->cluster, sizeof *session->cluster);
        session->cluster = NULL;
    }
}
