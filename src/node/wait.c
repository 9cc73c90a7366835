/* wait.c - WAIT over several coordinators, and what a coordinator waits for.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/wait.h"

#include "base/number.h"
#include "node/peers.h"
#include "node/replicate.h"

#include <stdio.h>

/* In a request between nodes, before the slots: their ways have changed. */
#define MOVED "MOVED"

/* What this node, as a coordinator, waits for: until the peers have acknowledged these frames. */
struct waiter {
    struct list_node link; /* cluster->waiters */
    struct sink sink;      /* of this node's client */
    struct peer_link *to;  /* or another node's request `number` came here */
    uint64_t number;
    uint32_t wanted;
    bool has_moved;       /* others have executed before: comparisons count, of all holders */
    uint64_t begun;       /* cluster->moments */
    uint64_t deadline_ms; /* UINT64_MAX: none */
    struct slot_set slots;
    uint32_t peer_count;
    struct {
        uint16_t member;
        uint64_t frame; /* UINT64_MAX: it could not be sent */
        struct peer_link *out;
        bool must_agree; /* something that was sent before may have been lost */
    } peers[];
};

/* One client's WAIT: the least of its parts. */
struct wait_gather {
    struct reply_place *place;
    uint32_t parts_left;
    int64_t least;
};

/* A client's WAIT behind commands that have no answer yet: they may still have to be executed. */
struct deferred_wait {
    struct list_node link; /* cluster->deferred_waits */
    struct reply_place *place;
    int64_t wanted, timeout_ms;
};

static void answer_client(struct node *node, struct sink sink, int64_t count) {
    char line[NUMBER_INT64_SIZE + 4];
    int size = snprintf(line, sizeof line, ":%lld\r\n", (long long)count);
    sink.take(node, sink.target, sink.part, (const uint8_t *)line, (size_t)size);
}

static void take_part(struct node *node, void *target, uint32_t part, const uint8_t *reply, size_t size) {
    (void)part;
    struct wait_gather *gather = target;
    int64_t count = 0;
    if (size > 3 && reply[0] == ':')
        (void)number_parse_int64((const char *)reply + 1, size - 3, &count);
    /* A coordinator that was lost vouches for nothing. */
    if (count < gather->least)
        gather->least = count;
    if (--gather->parts_left != 0)
        return;
    struct reply_place *place = gather->place;
    int64_t least = gather->least;
    mem_free(node->mem, gather, sizeof *gather);
    answer_client(node, route_place_sink(place), least);
}

/* ---- As a coordinator ---- */

/* All that was written before has arrived if the frame behind it was acknowledged, and nothing was lost before; or if a comparison that
 * began later has found the copies equal. */
static bool has_acknowledged(const struct waiter *waiter, uint32_t index, const struct cluster *cluster) {
    const struct peer *peer = cluster_peer(cluster, waiter->peers[index].member);
    if (peer == NULL || !peer_is_linked(peer))
        return false;
    if (!waiter->has_moved && peer->out == waiter->peers[index].out &&
        waiter->peers[index].frame != UINT64_MAX &&
        link_acknowledged_number(peer->out->link) >= waiter->peers[index].frame &&
        (!waiter->peers[index].must_agree || peer->is_agreed))
        return true;
    return peer->is_agreed && peer->agreed_begun > waiter->begun;
}

/* The least number of copies, besides this node's, that any of the slots has. */
static uint32_t copies(const struct cluster *cluster, const struct waiter *waiter) {
    uint64_t acknowledged[RING_MEMBERS_MAX / 64 + 1] = {0};
    uint32_t count = 0, least = UINT32_MAX;
    for (uint32_t i = 0; i < waiter->peer_count; i++)
        if (has_acknowledged(waiter, i, cluster)) {
            acknowledged[waiter->peers[i].member / 64] |= UINT64_C(1) << waiter->peers[i].member % 64;
            count++;
        }
    if (count == 0)
        return 0;
    for (uint32_t word = 0; word < SLOT_COUNT / 64; word++) {
        for (uint64_t bits = waiter->slots.bits[word]; bits != 0; bits &= bits - 1) {
            uint16_t holders[RING_COPIES_MAX];
            uint32_t held = 0;
            uint32_t holder_count =
                cluster_holders(cluster, word * 64 + (uint32_t)__builtin_ctzll(bits), holders);
            for (uint32_t i = 0; i < holder_count; i++)
                held += acknowledged[holders[i] / 64] >> holders[i] % 64 & 1;
            if (waiter->has_moved && held < holder_count - 1)
                held = 0;
            least = held < least ? held : least;
        }
    }
    return least == UINT32_MAX ? count : least;
}

static void finish(struct node *node, struct waiter *waiter, uint32_t count) {
    list_remove(&waiter->link);
    if (waiter->to != NULL) {
        char line[32];
        int size = snprintf(line, sizeof line, ":%u\r\n", count);
        if (!forward_append_answer(&waiter->to->replies, waiter->number, (const uint8_t *)line, (size_t)size))
            link_end(waiter->to->link, "no memory");
        peers_raise(node, waiter->to);
    } else {
        answer_client(node, waiter->sink, count);
    }
    mem_free(node->mem, waiter, sizeof *waiter + waiter->peer_count * sizeof *waiter->peers);
}

/* Whatever was written before has left, and everybody who gets it is asked to acknowledge it at once. */
static void note_peers(struct node *node, struct waiter *waiter) {
    struct cluster *cluster = node->cluster;
    uint32_t count = 0;
    for (uint32_t i = 0; i < cluster->peer_capacity && count < waiter->peer_count; i++) {
        struct peer *peer = cluster->peers[i];
        if (peer == NULL)
            continue;
        uint64_t frame = UINT64_MAX;
        if (peer_is_linked(peer)) {
            bool is_marked = entries_add_mark(&peer->records, ++peer->marks);
            replicate_send(node, peer);
            if (is_marked && peer_is_linked(peer))
                frame = link_last_number(peer->out->link);
        }
        peer->must_compare = peer->must_compare || waiter->has_moved;
        waiter->peers[count].must_agree = peer->must_compare || !peer->is_agreed;
        waiter->peers[count].member = (uint16_t)i;
        waiter->peers[count].out = peer->out;
        waiter->peers[count++].frame = frame;
    }
    waiter->peer_count = count;
}

static bool wait_here(struct node *node, const struct slot_set *slots, bool has_moved, uint32_t wanted,
                      uint64_t timeout_ms, struct sink sink, struct peer_link *to, uint64_t number) {
    struct cluster *cluster = node->cluster;
    uint32_t count = 0;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++)
        count += cluster->peers[i] != NULL;
    struct waiter *waiter = mem_alloc_zeroed(node->mem, sizeof *waiter + count * sizeof *waiter->peers);
    if (waiter == NULL)
        return false;
    waiter->sink = sink;
    waiter->to = to;
    waiter->number = number;
    waiter->wanted = wanted;
    waiter->has_moved = has_moved;
    waiter->begun = ++cluster->moments;
    waiter->deadline_ms = timeout_ms == 0 ? UINT64_MAX : node->monotonic_ms + timeout_ms;
    waiter->slots = *slots;
    waiter->peer_count = count;
    list_append(&cluster->waiters, &waiter->link);
    note_peers(node, waiter);
    CHECK(waiter->peer_count == count);
    uint32_t now = copies(cluster, waiter);
    if (now >= wanted)
        finish(node, waiter, now);
    return true;
}

void wait_forget_link(struct node *node, const struct peer_link *peer_link) {
    LIST_FOR_EACH(link, &node->cluster->waiters) {
        struct waiter *waiter = LIST_ENTRY(link, struct waiter, link);
        if (waiter->to != peer_link)
            continue;
        list_remove(link);
        mem_free(node->mem, waiter, sizeof *waiter + waiter->peer_count * sizeof *waiter->peers);
    }
}

void wait_release(struct node *node) {
    struct list_node *link;
    while ((link = list_first(&node->cluster->deferred_waits)) != NULL) {
        struct deferred_wait *deferred = LIST_ENTRY(link, struct deferred_wait, link);
        struct sink sink = route_place_sink(deferred->place);
        list_remove(link);
        mem_free(node->mem, deferred, sizeof *deferred);
        answer_client(node, sink, 0);
    }
    while ((link = list_first(&node->cluster->waiters)) != NULL)
        finish(node, LIST_ENTRY(link, struct waiter, link), 0);
}

void wait_for_peer(struct node *node, struct peer_link *link, uint64_t number, const struct argument *argv,
                   uint32_t argc) {
    int64_t wanted = 0, timeout_ms = 0;
    struct slot_set slots = {{0}};
    bool is_good = argc >= 3 && number_parse_int64((const char *)argv[1].data, argv[1].size, &wanted) &&
                   number_parse_int64((const char *)argv[2].data, argv[2].size, &timeout_ms) && wanted >= 0 &&
                   timeout_ms >= 0;
    bool has_moved = argc > 3 && argument_is(&argv[3], MOVED);
    uint32_t first = has_moved ? 4 : 3;
    for (uint32_t i = first; is_good && i < argc; i++) {
        int64_t slot;
        is_good = number_parse_int64((const char *)argv[i].data, argv[i].size, &slot) && slot >= 0 &&
                  slot < SLOT_COUNT;
        if (is_good)
            slot_set_add(&slots, (uint32_t)slot);
    }
    if (argc == first)
        slots = node->cluster->coordinated;
    static const char error[] = "-ERR this is no WAIT\r\n";
    if (is_good && wait_here(node, &slots, has_moved, wanted > UINT16_MAX ? UINT16_MAX : (uint32_t)wanted,
                             (uint64_t)timeout_ms, (struct sink){0}, link, number))
        return;
    if (!forward_append_answer(&link->replies, number, (const uint8_t *)error, sizeof error - 1))
        link_end(link->link, "no memory");
}

/* ---- A client's ---- */

/* The coordinator's part: a WAIT of its own. */
static void wait_at(struct node *node, uint16_t member, const struct slot_set *slots, bool has_moved,
                    int64_t wanted, int64_t timeout_ms, struct wait_gather *gather) {
    struct sink sink = {take_part, gather, 0};
    if (member == ROUTE_NOBODY) {
        answer_client(node, sink, 0);
        return;
    }
    if (member == ROUTE_SELF) {
        if (!wait_here(node, slots, has_moved, wanted > UINT16_MAX ? UINT16_MAX : (uint32_t)wanted,
                       (uint64_t)timeout_ms, sink, NULL, 0))
            answer_client(node, sink, 0);
        return;
    }
    char texts[WRITTEN_SLOTS_MAX + 2][NUMBER_INT64_SIZE];
    struct argument argv[WRITTEN_SLOTS_MAX + 4] = {{.data = (const uint8_t *)"WAIT", .size = 4}};
    uint32_t argc = 3;
    argv[1] =
        (struct argument){(const uint8_t *)texts[0], (uint32_t)number_format_int64(texts[0], wanted), 0, 0};
    argv[2] = (struct argument){(const uint8_t *)texts[1],
                                (uint32_t)number_format_int64(texts[1], timeout_ms), 0, 0};
    if (has_moved)
        argv[argc++] = (struct argument){.data = (const uint8_t *)MOVED, .size = strlen(MOVED)};
    char(*place)[NUMBER_INT64_SIZE] = &texts[2];
    for (uint32_t slot = slots == NULL ? SLOT_COUNT : slot_set_next(slots, 0);
         slot < SLOT_COUNT && argc < WRITTEN_SLOTS_MAX + 3; slot = slot_set_next(slots, slot + 1)) {
        char *text = *place++;
        argv[argc++] =
            (struct argument){(const uint8_t *)text, (uint32_t)number_format_int64(text, slot), 0, 0};
    }
    route_execute_at(node, member, command_by_id(COMMAND_ID_WAIT), FORWARD_WAIT, argv, argc, sink);
}

/* Sorts the slots that a session has written by their coordinators. Returns the number of these; sets has one for each. */
static uint32_t sort_slots(struct node *node, const struct session_cluster *of,
                           uint16_t members[WRITTEN_SLOTS_MAX], struct slot_set sets[WRITTEN_SLOTS_MAX]) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < of->written_count; i++) {
        uint16_t member = node->cluster->routes[of->written[i]]; /* there also when it is alone by now */
        uint32_t j = 0;
        while (j < count && members[j] != member)
            j++;
        if (j == count) {
            members[count++] = member;
            memset(&sets[j], 0, sizeof sets[j]);
        }
        slot_set_add(&sets[j], of->written[i]);
    }
    return count;
}

/* Whether others than those that are asked now may have executed what the session has written. */
static bool have_moved(const struct cluster *cluster, const struct session_cluster *of) {
    if (of->written_overflow)
        return cluster->way_epoch > of->written_epoch;
    for (uint32_t i = 0; i < of->written_count; i++)
        if (cluster->way_epochs[of->written[i]] > of->written_epoch)
            return true;
    return false;
}

static void wait_at_all(struct node *node, bool has_moved, int64_t wanted, int64_t timeout_ms,
                        struct wait_gather *gather) {
    const struct membership *membership = node->cluster->membership;
    uint32_t count = membership_count(membership);
    for (uint32_t i = 0; i < count; i++) {
        if (i != ROUTE_SELF && !cluster_is_asked(node->cluster, (uint16_t)i))
            continue;
        gather->parts_left++;
        wait_at(node, (uint16_t)i, i == ROUTE_SELF ? &node->cluster->coordinated : NULL, has_moved, wanted,
                timeout_ms, gather);
    }
}

/* Asks the coordinators of what the session has written. */
static void wait_at_coordinators(struct node *node, struct session_cluster *of, struct reply_place *place,
                                 int64_t wanted, int64_t timeout_ms) {
    struct wait_gather *gather = mem_alloc(node->mem, sizeof *gather);
    struct slot_set *sets = mem_alloc(node->mem, WRITTEN_SLOTS_MAX * sizeof *sets);
    if (gather == NULL || sets == NULL) {
        static const char error[] = "-" ERROR_NO_MEMORY "\r\n";
        mem_free(node->mem, gather, sizeof *gather);
        mem_free(node->mem, sets, WRITTEN_SLOTS_MAX * sizeof *sets);
        route_fill_place(node, place, (const uint8_t *)error, sizeof error - 1);
        return;
    }
    *gather = (struct wait_gather){.place = place, .parts_left = 1, .least = INT64_MAX};
    bool has_moved = have_moved(node->cluster, of);
    if (has_moved)
        of->written_epoch = node->cluster->route_epoch;
    if (of->written_overflow) {
        wait_at_all(node, has_moved, wanted, timeout_ms, gather);
    } else {
        uint16_t members[WRITTEN_SLOTS_MAX];
        uint32_t count = sort_slots(node, of, members, sets);
        for (uint32_t i = 0; i < count; i++) {
            gather->parts_left++;
            wait_at(node, members[i], &sets[i], has_moved, wanted, timeout_ms, gather);
        }
    }
    mem_free(node->mem, sets, WRITTEN_SLOTS_MAX * sizeof *sets);
    char none[32];
    int size = snprintf(none, sizeof none, ":%lld\r\n", (long long)INT32_MAX);
    take_part(node, gather, 0, (const uint8_t *)none, (size_t)size);
}

/* All commands before it are answered, or its client has gone. */
static void begin_deferred(struct node *node, struct deferred_wait *deferred) {
    struct deferred_wait wait = *deferred;
    list_remove(&deferred->link);
    mem_free(node->mem, deferred, sizeof *deferred);
    if (wait.place->session == NULL)
        mem_free(node->mem, wait.place, sizeof *wait.place);
    else
        wait_at_coordinators(node, wait.place->session->cluster, wait.place, wait.wanted, wait.timeout_ms);
}

static void begin_waits(struct node *node) {
    LIST_FOR_EACH(link, &node->cluster->deferred_waits) {
        struct deferred_wait *deferred = LIST_ENTRY(link, struct deferred_wait, link);
        const struct session *session = deferred->place->session;
        if (session == NULL || list_first(&session->places) == &deferred->place->link)
            begin_deferred(node, deferred);
    }
}

uint32_t wait_work(struct node *node) {
    struct cluster *cluster = node->cluster;
    begin_waits(node);
    uint64_t first_ms = UINT64_MAX;
    LIST_FOR_EACH(link, &cluster->waiters) {
        struct waiter *waiter = LIST_ENTRY(link, struct waiter, link);
        uint32_t now = copies(cluster, waiter);
        if (now >= waiter->wanted || node->monotonic_ms >= waiter->deadline_ms)
            finish(node, waiter, now);
        else if (waiter->deadline_ms < first_ms)
            first_ms = waiter->deadline_ms;
    }
    if (first_ms == UINT64_MAX)
        return UINT32_MAX;
    uint64_t left_ms = first_ms - node->monotonic_ms;
    return left_ms < UINT32_MAX ? (uint32_t)left_ms : UINT32_MAX;
}

void wait_for_client(struct node *node, struct session *session, struct argument *argv, uint32_t argc) {
    struct reply *reply = &session->reply;
    int64_t wanted, timeout_ms;
    (void)argc;
    if (!number_parse_int64((const char *)argv[1].data, argv[1].size, &wanted)) {
        reply_error(reply, ERROR_NOT_INTEGER);
        return;
    }
    if (!number_parse_int64((const char *)argv[2].data, argv[2].size, &timeout_ms)) {
        reply_error(reply, "ERR timeout is not an integer or out of range");
        return;
    }
    if (timeout_ms < 0) {
        reply_error(reply, "ERR timeout is negative");
        return;
    }
    if (wanted < 0)
        wanted = 0;
    struct session_cluster *of = session->cluster;
    if (of == NULL || (of->written_count == 0 && !of->written_overflow)) {
        /* It has written nothing: all who could have it have it. */
        uint32_t width = node->cluster->ring == NULL ? 1 : node->cluster->ring->width;
        reply_integer(reply, width == 0 ? 0 : width - 1);
        return;
    }
    struct deferred_wait *deferred = mem_alloc(node->mem, sizeof *deferred);
    struct reply_place *place = deferred == NULL ? NULL : route_keep_place(node, session);
    if (place == NULL) {
        mem_free(node->mem, deferred, sizeof *deferred);
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    node->statistics.commands++;
    session->commands++;
    *deferred = (struct deferred_wait){.place = place, .wanted = wanted, .timeout_ms = timeout_ms};
    list_append(&node->cluster->deferred_waits, &deferred->link);
    if (list_first(&session->places) == &place->link)
        begin_deferred(node, deferred);
}
