/* forward.c - requests to other nodes and their answers, numbered and packed; the requests of other nodes executed.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/forward.h"

#include "base/cursor.h"
#include "base/encode.h"
#include "base/load.h"
#include "node/peers.h"
#include "node/quorum.h"
#include "node/replicate.h"
#include "node/route.h"
#include "node/transaction.h"
#include "node/wait.h"

/* So much gathers for a peer within a turn before it is sent. */
#define GATHERED_MAX (256 * 1024)
/* Bytes of a link that are on their way while more replies are made for it: acknowledgements come for every half a MiB. */
#define REPLIES_AHEAD_MAX (4 * 1024 * 1024)
/* Unanswered requests to one peer. */
#define AWAITED_MAX (1u << 20)
/* A peer that lets a request wait for so long is taken for lost, unless it sends other answers. */
#define ANSWER_TIMEOUT_MS 5000
/* Of a reply, before its bytes: number, outcome, size. */
#define REPLY_HEAD_MAX (ENCODE_VARINT_MAX + 1 + 4)

/* ---- Frames of requests ---- */

static void frame_put(struct request_frame *frame) {
    if (--frame->references != 0)
        return;
    buffer_release(&frame->bytes);
    mem_free(frame->mem, frame, sizeof *frame);
}

static struct request_frame *frame_new(struct mem *mem) {
    struct request_frame *frame = mem_alloc(mem, sizeof *frame);
    if (frame == NULL)
        return NULL;
    frame->mem = mem;
    frame->references = 1;
    buffer_init(&frame->bytes, mem);
    return frame;
}

static size_t arguments_size(const struct argument *argv, uint32_t argc) {
    size_t size = ENCODE_VARINT_MAX;
    for (uint32_t i = 0; i < argc; i++)
        size += ENCODE_VARINT_MAX + argv[i].size;
    return size;
}

/* `at` has room for arguments_size(). */
static uint8_t *write_arguments(uint8_t *at, const struct argument *argv, uint32_t argc) {
    at = encode_varint(at, argc);
    for (uint32_t i = 0; i < argc; i++) {
        at = encode_varint(at, argv[i].size);
        if (argv[i].size != 0)
            memcpy(at, argv[i].data, argv[i].size);
        at += argv[i].size;
    }
    return at;
}

/* ---- Who waits for what ---- */

static bool ring_grow(struct node *node, struct peer *peer) {
    uint32_t capacity = peer->awaited_capacity == 0 ? 256 : peer->awaited_capacity * 2;
    if (capacity > AWAITED_MAX)
        return false;
    struct awaited **ring = mem_alloc_zeroed(node->mem, capacity * sizeof(struct awaited *));
    if (ring == NULL)
        return false;
    for (uint64_t i = peer->awaited_first; i < peer->awaited_next; i++)
        ring[i & (capacity - 1)] = peer->awaited[i & (peer->awaited_capacity - 1)];
    mem_free(node->mem, peer->awaited, peer->awaited_capacity * sizeof(struct awaited *));
    peer->awaited = ring;
    peer->awaited_capacity = capacity;
    return true;
}

/* Takes a waiter off the peer's ring; NULL: nobody waits for that number. */
static struct awaited *take_awaited(struct peer *peer, uint64_t number) {
    if (number < peer->awaited_first || number >= peer->awaited_next)
        return NULL;
    uint32_t mask = peer->awaited_capacity - 1;
    struct awaited *awaited = peer->awaited[number & mask];
    peer->awaited[number & mask] = NULL;
    while (peer->awaited_first < peer->awaited_next && peer->awaited[peer->awaited_first & mask] == NULL)
        peer->awaited_first++;
    return awaited;
}

/* ---- Sending ---- */

/* Whether a request can be added to what gathers for the peer; makes the frame that it is to stand in. */
static bool may_gather(struct node *node, struct peer *peer) {
    if (!peer_is_reached(peer) || UNLIKELY(peer->reach.was_late))
        return false;
    if (peer->awaited_next - peer->awaited_first == peer->awaited_capacity && !ring_grow(node, peer))
        return false;
    if (peer->open_frame != NULL)
        return true;
    peer->open_frame = frame_new(node->mem);
    if (peer->open_frame == NULL)
        return false;
    if (buffer_reserve(&peer->open_frame->bytes, 2 * ENCODE_VARINT_MAX)) {
        uint8_t *begin = peer->open_frame->bytes.data, *end = encode_varint(begin, peer->awaited_next);
        peer->open_frame->bytes.size = (size_t)(encode_varint(end, node->monotonic_ms) - begin);
        return true;
    }
    frame_put(peer->open_frame);
    peer->open_frame = NULL;
    return false;
}

/* The request's bytes have been written to the open frame, behind its flags: books it. */
static void gathered(struct node *node, struct peer *peer, unsigned flags, struct awaited *awaited, size_t at,
                     size_t size) {
    struct request_frame *frame = peer->open_frame;
    frame->references++;
    if (awaited->frame != NULL)
        frame_put(awaited->frame);
    awaited->frame = frame;
    awaited->at = (uint32_t)at;
    awaited->size = (uint32_t)size;
    awaited->peer = peer;
    awaited->number = peer->awaited_next++;
    awaited->sent_ms = node->monotonic_ms;
    awaited->may_last = flags & FORWARD_WAIT;
    peer->awaited[awaited->number & (peer->awaited_capacity - 1)] = awaited;
    peer->requests_out++;
    peers_mention(node, peer);
    if (frame->bytes.size > GATHERED_MAX)
        forward_flush(node, peer);
}

bool forward_send(struct node *node, struct peer *peer, unsigned flags, const struct argument *argv,
                  uint32_t argc, struct awaited *awaited) {
    awaited->frame = NULL;
    if (!may_gather(node, peer))
        return false;
    struct buffer *bytes = &peer->open_frame->bytes;
    if (!buffer_reserve(bytes, ENCODE_VARINT_MAX + arguments_size(argv, argc)) ||
        bytes->size > UINT32_MAX / 2)
        return false;
    size_t at = (size_t)(encode_varint(bytes->data + bytes->size, flags) - bytes->data);
    bytes->size = (size_t)(write_arguments(bytes->data + at, argv, argc) - bytes->data);
    gathered(node, peer, flags, awaited, at, bytes->size - at);
    return true;
}

bool forward_keep(struct node *node, const struct argument *argv, uint32_t argc, struct awaited *awaited) {
    awaited->frame = frame_new(node->mem);
    if (awaited->frame == NULL)
        return false;
    struct buffer *bytes = &awaited->frame->bytes;
    if (!buffer_reserve(bytes, arguments_size(argv, argc))) {
        forward_release(awaited);
        return false;
    }
    bytes->size = (size_t)(write_arguments(bytes->data, argv, argc) - bytes->data);
    awaited->at = 0;
    awaited->size = (uint32_t)bytes->size;
    return true;
}

bool forward_resend(struct node *node, struct peer *peer, unsigned flags, struct awaited *awaited) {
    if (!may_gather(node, peer))
        return false;
    struct buffer *bytes = &peer->open_frame->bytes;
    if (!buffer_reserve(bytes, ENCODE_VARINT_MAX + (size_t)awaited->size) || bytes->size > UINT32_MAX / 2)
        return false;
    size_t at = (size_t)(encode_varint(bytes->data + bytes->size, flags) - bytes->data);
    memcpy(bytes->data + at, awaited->frame->bytes.data + awaited->at, awaited->size);
    bytes->size = at + awaited->size;
    gathered(node, peer, flags, awaited, at, awaited->size);
    return true;
}

void forward_release(struct awaited *awaited) {
    if (awaited->frame != NULL)
        frame_put(awaited->frame);
    awaited->frame = NULL;
}

void forward_flush(struct node *node, struct peer *peer) {
    struct request_frame *frame = peer->open_frame;
    if (frame == NULL)
        return;
    peer->open_frame = NULL;
    uint64_t number;
    bool is_sent = peer_is_linked(peer) &&
                   link_send(peer->out->link, FRAME_REQUESTS, frame->bytes.data, frame->bytes.size, &number);
    if (is_sent) {
        peers_raise(node, peer->out);
    } else {
        /* Those of this frame are the last that were numbered. */
        struct cursor cursor = cursor_make(frame->bytes.data, frame->bytes.size);
        uint64_t first = cursor_varint(&cursor), next = peer->awaited_next;
        for (uint64_t i = first; i < next; i++) {
            struct awaited *awaited = take_awaited(peer, i);
            if (awaited != NULL)
                awaited->done(node, awaited, FORWARD_NOT_SENT, NULL, 0);
        }
    }
    frame_put(frame);
}

/* ---- Answers ---- */

bool forward_answered(struct node *node, struct peer *peer, const uint8_t *payload, size_t size) {
    struct cursor cursor = cursor_make(payload, size);
    while (cursor_remaining(&cursor) != 0) {
        uint64_t number = cursor_varint(&cursor);
        unsigned outcome = cursor_u8(&cursor);
        uint32_t reply_size = cursor_u32(&cursor);
        const uint8_t *reply = cursor_bytes(&cursor, reply_size);
        if (cursor_failed(&cursor) || outcome > FORWARD_LATE || (outcome == FORWARD_DONE && reply_size == 0))
            return false;
        struct awaited *awaited = take_awaited(peer, number);
        if (UNLIKELY(outcome == FORWARD_LATE) && awaited != NULL)
            failover_note_late(node, peer);
        if (awaited != NULL)
            awaited->done(node, awaited, (enum forward_outcome)outcome, reply, reply_size);
    }
    failover_note_answers(node, peer);
    return true;
}

static void give_up(struct node *node, struct peer *peer, bool keeps_waits) {
    struct request_frame *open = peer->open_frame;
    uint64_t unsent = peer->awaited_next;
    if (open != NULL) {
        struct cursor cursor = cursor_make(open->bytes.data, open->bytes.size);
        unsent = cursor_varint(&cursor);
        peer->open_frame = NULL;
    }
    for (uint64_t i = peer->awaited_first, next = peer->awaited_next; i < next; i++) {
        struct awaited *awaited = peer->awaited[i & (peer->awaited_capacity - 1)];
        if (awaited == NULL || (keeps_waits && awaited->may_last && i < unsent))
            continue;
        (void)take_awaited(peer, i);
        awaited->done(node, awaited, i < unsent ? FORWARD_UNKNOWN : FORWARD_NOT_SENT, NULL, 0);
    }
    if (open != NULL)
        frame_put(open);
}

void forward_link_ended(struct node *node, struct peer *peer) {
    give_up(node, peer, false);
}

void forward_give_up(struct node *node, struct peer *peer) {
    give_up(node, peer, true);
}

/* The oldest request that should be answered at once; NULL: there is none. */
static const struct awaited *oldest_awaited(const struct peer *peer) {
    for (uint64_t i = peer->awaited_first; i < peer->awaited_next; i++) {
        const struct awaited *awaited = peer->awaited[i & (peer->awaited_capacity - 1)];
        if (awaited != NULL && !awaited->may_last)
            return awaited;
    }
    return NULL;
}

uint64_t forward_oldest_ms(const struct peer *peer) {
    const struct awaited *oldest = oldest_awaited(peer);
    return oldest == NULL || oldest->is_slow ? 0 : oldest->sent_ms + (oldest->sent_ms == 0);
}

bool forward_is_awaited(const struct peer *peer) {
    return oldest_awaited(peer) != NULL;
}

bool forward_awaits_before(const struct peer *peer, uint64_t number) {
    const struct awaited *oldest = oldest_awaited(peer);
    return oldest != NULL && oldest->number < number;
}

void forward_tick(struct node *node) {
    struct cluster *cluster = node->cluster;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        struct peer *peer = cluster->peers[i];
        if (peer == NULL || peer->awaited_first == peer->awaited_next || peer->out == NULL)
            continue;
        const struct awaited *oldest = oldest_awaited(peer);
        /* One that waits for others (WAIT) is acknowledged, but not answered. */
        uint64_t unacknowledged_ms = link_oldest_unacknowledged_ms(peer->out->link);
        if (oldest != NULL && node->monotonic_ms - oldest->sent_ms > ANSWER_TIMEOUT_MS &&
            (node->monotonic_ms - link_heard_ms(peer->out->link) > ANSWER_TIMEOUT_MS / 2 ||
             (unacknowledged_ms != 0 && node->monotonic_ms - unacknowledged_ms > ANSWER_TIMEOUT_MS / 2))) {
            link_end(peer->out->link, "no answer");
            peers_raise(node, peer->out);
        }
    }
}

/* ---- Executing for others ---- */

static bool read_arguments(struct node *node, struct cursor *cursor, size_t first, uint32_t *argc) {
    uint64_t count = cursor_varint(cursor);
    if (cursor_failed(cursor) || count == 0 || count > cursor_remaining(cursor))
        return false;
    while (first + count > node->argument_capacity)
        if (!node_arguments_grow(node, first + count))
            return false;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t size = cursor_varint(cursor);
        if (cursor_failed(cursor) || size > VALUE_SIZE_MAX)
            return false;
        const uint8_t *data = cursor_bytes(cursor, size);
        if (data == NULL)
            return false;
        node->arguments[first + i] =
            (struct argument){.data = data, .size = (uint32_t)size, .slot = ARGUMENT_NOT_PLACED};
    }
    *argc = (uint32_t)count;
    return true;
}

bool forward_arguments(struct node *node, const struct awaited *awaited, struct argument **argv,
                       uint32_t *argc) {
    struct cursor cursor = cursor_make(awaited->frame->bytes.data + awaited->at, awaited->size);
    uint64_t count = cursor_varint(&cursor);
    *argv = mem_alloc(node->mem, count * sizeof **argv);
    if (*argv == NULL)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t size = cursor_varint(&cursor);
        const uint8_t *data = cursor_bytes(&cursor, size);
        (*argv)[i] = (struct argument){.data = data, .size = (uint32_t)size, .slot = ARGUMENT_NOT_PLACED};
    }
    CHECK(!cursor_failed(&cursor)); /* this node has written it */
    *argc = (uint32_t)count;
    return true;
}

/* One reply of a batch, while it is written. */
struct answer {
    struct buffer *out;
    size_t begin, size_at;
};

static bool answer_begin(struct answer *answer, struct buffer *out, uint64_t number) {
    answer->out = out;
    answer->begin = out->size;
    if (!buffer_reserve(out, REPLY_HEAD_MAX))
        return false;
    uint8_t *at = encode_varint(out->data + out->size, number);
    *at++ = FORWARD_DONE;
    answer->size_at = (size_t)(at - out->data);
    out->size = answer->size_at + 4;
    return true;
}

static void answer_end(struct answer *answer) {
    size_t size = answer->out->size - answer->size_at - 4;
    if (size == 0)
        answer->out->data[answer->size_at - 1] = FORWARD_REFUSED;
    encode_fixed(answer->out->data + answer->size_at, size, 4);
}

bool forward_append_answer(struct buffer *out, uint64_t number, const uint8_t *reply, size_t size) {
    struct answer answer;
    if (!answer_begin(&answer, out, number) || !buffer_append(out, reply, size)) {
        out->size = answer.begin;
        return false;
    }
    answer_end(&answer);
    return true;
}

/* The set of slots that stands at the end of a part of a command on the whole database; false: none does. */
static bool take_set(struct slot_set *set, struct batched_request *request, const struct argument *argv) {
    const struct argument *last = &argv[request->argc - 1];
    if (request->argc < 2 || last->size != sizeof set->bits)
        return false;
    for (uint32_t word = 0; word < SLOT_COUNT / 64; word++)
        set->bits[word] = load_u64(last->data + 8 * word);
    request->argc--;
    return true;
}

/* Whether this node can speak for the slots that it is asked to speak for. */
static bool may_speak(const struct cluster *cluster, unsigned flags) {
    bool is_able = cluster_is_able(cluster, ROUTE_SELF);
    for (uint32_t slot = slot_set_next(cluster->spoken, 0); slot < SLOT_COUNT;
         slot = slot_set_next(cluster->spoken, slot + 1))
        if (cluster->routes[slot] != ROUTE_SELF &&
            !(is_able && (flags & FORWARD_STAND_IN || slot_set_has(&cluster->held, slot))))
            return false;
    return true;
}

/* Whether this node executes a command that another one has sent on (EXEC and WAIT are looked at where they run). */
static bool accepts(const struct node *node, const struct command *command, unsigned flags,
                    struct argument *argv, uint32_t argc) {
    const struct cluster *cluster = node->cluster;
    if (command == NULL || cluster->is_joining || node->persistence.is_loading)
        return false;
    if (flags & FORWARD_PART)
        return command->flags & COMMAND_SPREAD &&
               (cluster->spoken != NULL ? may_speak(cluster, flags)
                                        : cluster_is_able(cluster, ROUTE_SELF) && gather_is_sure(node));
    if (command->first_key <= 0)
        return false;
    int last = command_last_key(command, argc);
    bool is_read = command->flags & COMMAND_READONLY;
    for (int i = command->first_key; i <= last; i += command->key_step) {
        keyspace_place(node->keyspace, &argv[i]);
        if (!route_may_execute(node, argv[i].slot, is_read ? flags : flags & ~FORWARD_REPLICA))
            return false;
    }
    return true;
}

/* Requests of one batch. */
struct forwarded_batch {
    uint32_t count;
    uint64_t numbers[BATCH_COMMANDS];
    uint32_t flags[BATCH_COMMANDS];
    size_t left[BATCH_COMMANDS]; /* bytes from its begin to the end of the payload */
};

/* Parses up to a batch of requests; false: they make no sense, or there is no memory. */
static bool collect(struct node *node, struct session *session, struct cursor *cursor, uint64_t *number,
                    struct forwarded_batch *batch) {
    uint32_t used = 0;
    batch->count = 0;
    node->batch_key_count = 0;
    while (batch->count < BATCH_COMMANDS && cursor_remaining(cursor) != 0) {
        struct cursor ahead = *cursor;
        uint32_t flags = (uint32_t)cursor_varint(&ahead);
        uint32_t argc, i = batch->count;
        uint64_t count = cursor_varint(&ahead);
        /* More room for arguments would stand elsewhere, and keys are placed already: then it is for the next batch. */
        if (!cursor_failed(&ahead) && i != 0 && used + count > node->argument_capacity)
            return true;
        batch->left[i] = cursor_remaining(cursor);
        (void)cursor_varint(cursor);
        if (!read_arguments(node, cursor, used, &argc))
            return false;
        struct argument *argv = node->arguments + used;
        const struct argument *name_before = i == 0 ? NULL : &node->arguments[node->batch[i - 1].first];
        const struct command *command =
            node_find_command(node, argv, name_before, i == 0 ? NULL : node->batch[i - 1].command);
        command = command_row(command, argv, argc);
        node->batch[i] = (struct batched_request){
            .command = command, .first = used, .argc = argc, .first_key = (uint16_t)node->batch_key_count};
        batch->numbers[i] = (*number)++;
        batch->flags[i] = flags;
        batch->count++;
        used += argc;
        if (command != NULL && !(flags & (FORWARD_EXEC | FORWARD_WAIT | FORWARD_PART | FORWARD_FETCH)) &&
            command_arity_fits(command, argc))
            node_place_keys(node, session, command, argv, argc);
    }
    return true;
}

void forward_set_session(struct session *session, struct buffer *out, unsigned flags) {
    session->reply = (struct reply){.out = out, .protocol = flags & FORWARD_RESP3 ? 3 : 2};
    session->flags = SESSION_PEER | SESSION_AUTHENTICATED | (flags & FORWARD_NO_TOUCH ? SESSION_NO_TOUCH : 0);
}

/* A command that is about several copies is answered when these have answered. false: it is not executed here. */
static bool execute_with_quorum(struct node *node, struct peer_link *link, unsigned flags, uint64_t number,
                                const struct batched_request *request) {
    struct argument *argv = node->arguments + request->first;
    struct quorum_target target = {.to = link, .number = number};
    const struct command *command = request->command;
    if (flags & FORWARD_EXEC)
        command = command_by_id(COMMAND_ID_EXEC);
    else if (command == NULL || !command_arity_fits(command, request->argc) ||
             !accepts(node, command, flags, argv, request->argc))
        return false;
    else
        node->cluster->forwarded_here++;
    quorum_execute(node, command, flags, argv, request->argc, &target);
    return true;
}

/* Executes a request, or refuses it: is_good false: its set of slots makes no sense. */
static void execute_or_refuse(struct node *node, struct peer_link *link, unsigned flags, uint64_t number,
                              struct batched_request *request, bool is_good) {
    struct session *session = node->cluster->self;
    struct argument *argv = node->arguments + request->first;
    struct answer answer;
    if (!answer_begin(&answer, &link->replies, number)) {
        link_end(link->link, "no memory");
        return;
    }
    forward_set_session(session, &link->replies, flags);
    if (flags & FORWARD_EXEC) {
        transaction_run_forwarded(node, session, flags, argv, request->argc);
    } else if (!is_good || request->command == NULL || !command_arity_fits(request->command, request->argc) ||
               !accepts(node, request->command, flags, argv, request->argc)) {
        node->cluster->redirected++;
    } else {
        const struct command *top = command_by_id(request->command->parent);
        const struct command *ran = node_dispatch(node, session, top, argv, request->argc);
        request->is_counted = ran != NULL;
        request->command = ran;
        node->cluster->forwarded_here++;
    }
    answer_end(&answer);
}

/* It has come too late, or behind such a one. */
static void refuse_late(struct peer_link *link, uint64_t number) {
    struct answer answer;
    if (!answer_begin(&answer, &link->replies, number)) {
        link_end(link->link, "no memory");
        return;
    }
    link->replies.data[answer.size_at - 1] = FORWARD_LATE;
    encode_fixed(link->replies.data + answer.size_at, 0, 4);
}

static void execute_one(struct node *node, struct peer_link *link, unsigned flags, uint64_t number,
                        struct batched_request *request, uint64_t age_ms) {
    struct argument *argv = node->arguments + request->first;
    struct slot_set set;
    bool is_good = true;
    request->is_counted = false;
    if (flags & FORWARD_WAIT) {
        wait_for_peer(node, link, number, argv, request->argc);
        return;
    }
    if (UNLIKELY(flags & FORWARD_FETCH)) {
        quorum_answer_fetch(node, link, number, argv, request->argc);
        return;
    }
    if (UNLIKELY(failover_is_late(node, link, flags, age_ms))) {
        refuse_late(link, number);
        return;
    }
    if (UNLIKELY(flags & FORWARD_PART && flags & FORWARD_SECOND_HOP)) {
        is_good = take_set(&set, request, argv);
        node->cluster->spoken = &set;
    }
    if (LIKELY(!quorum_concerns_request(node, flags)) || !is_good ||
        !execute_with_quorum(node, link, flags, number, request))
        execute_or_refuse(node, link, flags, number, request, is_good);
    node->cluster->spoken = NULL;
}

/* Whether so many replies wait for the link that no more are to be made: what is asked for in one go, and may be large, would
 * otherwise be made in one turn here and taken in a few turns there, and nobody else be served meanwhile. */
static bool is_clogged(const struct node *node, const struct peer_link *link) {
    uint64_t limit = node->config->peer_output_limit;
    return link_unacknowledged_bytes(link->link) > (limit < REPLIES_AHEAD_MAX ? limit : REPLIES_AHEAD_MAX);
}

/* Requests that are to be executed: where they stand, the number of the first, and when they were sent by the sender's clock. */
struct requests {
    const uint8_t *at;
    size_t size;
    uint64_t number, sent_ms;
};

/* Executes requests up to the end, or until replies have to leave first: then the rest is in *requests. false: they make no
 * sense. */
static bool execute(struct node *node, struct peer_link *link, struct requests *requests) {
    struct session *session = node->cluster->self;
    struct cursor cursor = cursor_make(requests->at, requests->size);
    uint64_t number = requests->number;
    const uint8_t *end = requests->at + requests->size;
    uint64_t age_ms = failover_age(node, link, requests->sent_ms);
    struct forwarded_batch batch;
    while (cursor_remaining(&cursor) != 0 && !is_clogged(node, link)) {
        if (!collect(node, session, &cursor, &number, &batch))
            return false;
        node_fetch_keys(node, session);
        uint64_t started_ns = node_clock_ns(node);
        uint32_t i = 0;
        while (i < batch.count) {
            execute_one(node, link, batch.flags[i], batch.numbers[i], &node->batch[i], age_ms);
            i++;
            if (link->replies.size <= GATHERED_MAX)
                continue;
            peers_send_replies(node, link);
            if (is_clogged(node, link))
                break;
        }
        node_book_batch(node, session, 0, i, node_clock_ns(node) - started_ns);
        if (link->peer != NULL)
            link->peer->requests_in += i;
        if (i < batch.count) {
            requests->at = end - batch.left[i];
            requests->size = batch.left[i];
            requests->number = batch.numbers[i];
            return true;
        }
        if (link_state(link->link) != LINK_READY) {
            requests->size = 0;
            return true;
        }
    }
    requests->at = end - cursor_remaining(&cursor);
    requests->size = cursor_remaining(&cursor);
    requests->number = number;
    return true;
}

bool forward_execute(struct node *node, struct peer_link *link, const uint8_t *payload, size_t size) {
    struct cursor cursor = cursor_make(payload, size);
    struct requests requests = {.number = cursor_varint(&cursor)};
    requests.sent_ms = cursor_varint(&cursor);
    if (cursor_failed(&cursor))
        return false;
    requests.size = cursor_remaining(&cursor);
    requests.at = payload + size - requests.size;
    peers_raise(node, link);
    failover_note_clock(node, link, requests.sent_ms);
    if (link->held.size == 0 && !execute(node, link, &requests))
        return false;
    if (requests.size == 0)
        return true;
    struct buffer *held = &link->held;
    if (!buffer_reserve(held, 4 + 2 * ENCODE_VARINT_MAX + requests.size)) {
        link_end(link->link, "no memory for requests that have to wait");
        return true;
    }
    uint8_t *at = encode_varint(held->data + held->size + 4, requests.number);
    at = encode_varint(at, requests.sent_ms);
    memcpy(at, requests.at, requests.size);
    encode_fixed(held->data + held->size, (size_t)(at - (held->data + held->size + 4)) + requests.size, 4);
    held->size = (size_t)(at - held->data) + requests.size;
    return true;
}

void forward_resume(struct node *node, struct peer_link *link) {
    struct buffer *held = &link->held;
    if (LIKELY(held->size == 0))
        return;
    while (link->held_at < held->size && link_state(link->link) == LINK_READY && !is_clogged(node, link)) {
        uint8_t *frame = held->data + link->held_at;
        size_t size = load_u32(frame);
        struct cursor cursor = cursor_make(frame + 4, size);
        struct requests requests = {.number = cursor_varint(&cursor)};
        requests.sent_ms = cursor_varint(&cursor);
        requests.size = cursor_remaining(&cursor);
        requests.at = frame + 4 + size - requests.size;
        if (!execute(node, link, &requests)) {
            link_end(link->link, "requests that make no sense");
            peers_raise(node, link);
            return;
        }
        if (requests.size == 0) {
            link->held_at += 4 + size;
            continue;
        }
        /* The rest, with a head of its own: there is room for it where the requests stood that are done. */
        uint8_t head[4 + 2 * ENCODE_VARINT_MAX], *head_end = encode_varint(head + 4, requests.number);
        size_t number_size = (size_t)(encode_varint(head_end, requests.sent_ms) - (head + 4));
        uint8_t *rest = frame + 4 + size - requests.size;
        if ((size_t)(rest - frame) < 4 + number_size)
            break; /* not even one was executed */
        encode_fixed(head, number_size + requests.size, 4);
        memcpy(rest - number_size - 4, head, 4 + number_size);
        link->held_at = (size_t)(rest - number_size - 4 - held->data);
    }
    if (link->held_at < held->size)
        return;
    buffer_release(held);
    link->held_at = 0;
    if (link->clock.resumes)
        link->clock.refuses = link->clock.resumes = false;
}
