/* link.c - proofs first, then a queue of numbered frames that go back to the last acknowledged one when nothing moves.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/link.h"

#include <stdio.h>
#include <string.h>

/* What leaves together: large enough that many small frames cost one send, small enough for every link to have one. */
#define SPAN_SIZE (32 * 1024)
/* Frames up to this are copied into the span; a larger one is a span of its own. */
#define SMALL_FRAME_MAX (8 * 1024)
#define REASON_SIZE     256
/* True at both ends. */
#define PROTOCOLS_DIFFER "the protocols differ: one end speaks version %u, the other none below %u"

_Static_assert(2 * LINK_UNPROVED_FRAME_MAX + SMALL_FRAME_MAX + 4 * PEER_FRAME_HEAD_MAX <= SPAN_SIZE,
               "what begins a link fits into a span, and any small frame into an empty one");

/* A frame that waits to be sent or acknowledged: room for the head (of a large one), the payload, the tail. */
struct queued {
    struct list_node node;
    uint64_t number, first_ms; /* when it was first given to the world; 0: not yet */
    size_t size, room;
    unsigned kind;
    bool is_repeated;
    uint8_t bytes[];
};

enum refusal { REFUSAL_NONE, REFUSAL_WANTED, REFUSAL_IN_SPAN };

struct link {
    struct mem *mem;
    struct peer_frame_reader *reader;
    struct peer_frame_form forms[2]; /* of the last heads, without and with a number */
    enum link_state state;
    bool is_caller, was_refused, has_refused;
    bool refusal_is_proved;
    bool other_is_ready; /* it has been heard to be */
    char reason[REASON_SIZE];
    unsigned protocol;
    uint64_t now_ms, heard_ms, begun_ms;
    uint64_t repeated_ms; /* when what begins the link was last sent, before the other is ready */

    char *secret;
    uint8_t *hello, *other_hello; /* payloads of the challenges; the other's is NULL until it has come */
    size_t secret_size, hello_size, other_hello_size, frame_max;
    bool wants_challenge, wants_proof;
    enum refusal refusal;

    /* Numbered frames that are not acknowledged, in order. Those before `unsent` have been sent (again). */
    struct list queue, gossip;
    struct list_node *unsent; /* NULL: all are sent */
    size_t queue_bytes, queue_max, gossip_bytes;
    uint64_t last_number, sent_number, acknowledged_number;
    uint64_t progress_ms; /* when an acknowledgement last moved, or the first frame left that waits for one */
    uint32_t round_trip_us;

    /* What has come: all frames up to this number. */
    uint64_t received_number;
    bool owes_acknowledgement, wants_acknowledgement; /* wants: not later, but with the next output */
    uint64_t owed_since_ms;
    size_t owed_bytes;

    /* What the world is sending: span_at bytes of it have left. Either frames in `room`, or one large frame, which is in the
     * queue, or else (gossip, or acknowledged meanwhile) belongs to nobody but the span. */
    const uint8_t *span;
    size_t span_size, span_at;
    uint64_t span_since_ms;
    struct queued *large;
    bool large_is_ours;

    void *context;
    const char *(*introduced)(void *context, struct link *link, const uint8_t *introduction, size_t size);
    bool (*deliver)(void *context, struct link *link, unsigned kind, const uint8_t *payload, size_t size);
    void (*acknowledged)(void *context, struct link *link, uint64_t number);
    uint8_t room[SPAN_SIZE];
};

static uint64_t elapsed(const struct link *link, uint64_t since_ms) {
    return link->now_ms > since_ms ? link->now_ms - since_ms : 0;
}

static uint32_t remaining(const struct link *link, uint64_t since_ms, uint32_t wait_ms) {
    uint64_t gone = elapsed(link, since_ms);
    return gone >= wait_ms ? 0 : wait_ms - (uint32_t)gone;
}

static void set_now(struct link *link, uint64_t now_ms) {
    if (now_ms > link->now_ms)
        link->now_ms = now_ms;
}

/* ---- Life ---- */

struct link *link_new(const struct link_options *options) {
    CHECK(options->introduction_size <= LINK_INTRODUCTION_MAX);
    struct mem *mem = options->mem;
    struct link *link = mem_alloc_zeroed(mem, sizeof *link);
    if (link == NULL)
        return NULL;
    link->mem = mem;
    list_init(&link->queue);
    list_init(&link->gossip);
    link->is_caller = options->is_caller;
    link->frame_max = options->frame_max == 0 ? LINK_FRAME_MAX : options->frame_max;
    link->queue_max = options->queue_max;
    link->context = options->context;
    link->introduced = options->introduced;
    link->deliver = options->deliver;
    link->acknowledged = options->acknowledged;
    link->now_ms = link->heard_ms = link->begun_ms = link->repeated_ms = options->now_ms;
    link->wants_challenge = true;
    link->secret_size = strlen(options->secret) + 1;
    link->hello_size = 1 + SECRET_CHALLENGE_SIZE + options->introduction_size;
    link->secret = mem_alloc(mem, link->secret_size);
    link->hello = mem_alloc(mem, link->hello_size);
    link->reader = peer_frame_reader_new(mem, LINK_UNPROVED_FRAME_MAX);
    if (link->secret == NULL || link->hello == NULL || link->reader == NULL) {
        link_free(link);
        return NULL;
    }
    memcpy(link->secret, options->secret, link->secret_size);
    link->hello[0] = PEER_PROTOCOL;
    memcpy(link->hello + 1, options->challenge, SECRET_CHALLENGE_SIZE);
    if (options->introduction_size != 0)
        memcpy(link->hello + 1 + SECRET_CHALLENGE_SIZE, options->introduction, options->introduction_size);
    return link;
}

static size_t queued_bytes(size_t room, size_t size) {
    return sizeof(struct queued) + room + size + strlen(PEER_FRAME_TAIL);
}

static void free_queued(struct link *link, struct queued *frame) {
    mem_free(link->mem, frame, queued_bytes(frame->room, frame->size));
}

static void free_list(struct link *link, struct list *list) {
    LIST_FOR_EACH(node, list) {
        list_remove(node);
        free_queued(link, LIST_ENTRY(node, struct queued, node));
    }
}

void link_free(struct link *link) {
    if (link == NULL)
        return;
    if (link->large_is_ours)
        free_queued(link, link->large);
    free_list(link, &link->queue);
    free_list(link, &link->gossip);
    peer_frame_reader_free(link->reader);
    mem_free(link->mem, link->other_hello, link->other_hello_size);
    mem_free(link->mem, link->hello, link->hello_size);
    mem_free(link->mem, link->secret, link->secret_size);
    mem_free(link->mem, link, sizeof *link);
}

/* Reasons may come from the other end and are for logs: one line of plain text. */
static void set_reason(struct link *link, const void *text, size_t size) {
    if (size >= sizeof link->reason)
        size = sizeof link->reason - 1;
    memcpy(link->reason, text, size);
    link->reason[size] = '\0';
    for (size_t i = 0; i < size; i++)
        if (link->reason[i] < ' ' || link->reason[i] > '~')
            link->reason[i] = '?';
}

void link_end(struct link *link, const char *reason) {
    if (link->state == LINK_OVER)
        return;
    link->state = LINK_OVER;
    set_reason(link, reason, strlen(reason));
}

static void refuse(struct link *link, const char *reason) {
    if (link->state == LINK_OVER)
        return;
    link_end(link, reason);
    link->has_refused = true;
    link->refusal = REFUSAL_WANTED;
}

enum link_state link_state(const struct link *link) {
    return link->state;
}

const char *link_reason(const struct link *link) {
    return link->reason;
}

bool link_refusal_is_proved(const struct link *link) {
    return link->refusal_is_proved;
}

bool link_was_refused(const struct link *link) {
    return link->was_refused;
}

bool link_has_refused(const struct link *link) {
    return link->has_refused;
}

unsigned link_protocol(const struct link *link) {
    return link->protocol;
}

uint64_t link_heard_ms(const struct link *link) {
    return link->heard_ms;
}

/* ---- The queue ---- */

bool link_send(struct link *link, enum frame_kind kind, const void *payload, size_t size, uint64_t *number) {
    CHECK(kind >= FRAME_GOSSIP && kind < FRAME_KIND_COUNT);
    if (link->state != LINK_READY || size > link->frame_max)
        return false;
    bool is_gossip = kind == FRAME_GOSSIP;
    size_t room = size > SMALL_FRAME_MAX ? PEER_FRAME_HEAD_MAX : 0;
    size_t bytes = queued_bytes(room, size);
    size_t held = is_gossip ? link->gossip_bytes : link->queue_bytes;
    size_t max = is_gossip ? LINK_GOSSIP_MAX : link->queue_max;
    bool is_answer = kind == FRAME_REPLIES || kind == FRAME_COMPARE;
    /* A frame alone is taken whatever its size: a long value has to go through. */
    if (held != 0 && !is_answer && (bytes > max || held > max - bytes))
        return false;
    struct queued *frame = mem_alloc(link->mem, bytes);
    if (frame == NULL)
        return false;
    *frame = (struct queued){.kind = kind, .size = size, .room = room};
    if (size != 0)
        memcpy(frame->bytes + room, payload, size);
    memcpy(frame->bytes + room + size, PEER_FRAME_TAIL, strlen(PEER_FRAME_TAIL));
    if (is_gossip) {
        list_append(&link->gossip, &frame->node);
        link->gossip_bytes += bytes;
    } else {
        frame->number = ++link->last_number;
        list_append(&link->queue, &frame->node);
        link->queue_bytes += bytes;
        if (link->unsent == NULL)
            link->unsent = &frame->node;
    }
    if (number != NULL)
        *number = frame->number;
    return true;
}

size_t link_unacknowledged_bytes(const struct link *link) {
    return link->queue_bytes;
}

size_t link_memory_bytes(const struct link *link) {
    return sizeof *link + link->secret_size + link->hello_size + link->other_hello_size + link->queue_bytes +
           link->gossip_bytes;
}

uint64_t link_last_number(const struct link *link) {
    return link->last_number;
}

uint64_t link_acknowledged_number(const struct link *link) {
    return link->acknowledged_number;
}

uint32_t link_round_trip_us(const struct link *link) {
    return link->round_trip_us;
}

uint64_t link_oldest_unacknowledged_ms(const struct link *link) {
    struct list_node *first = list_first(&link->queue);
    return first == NULL ? 0 : LIST_ENTRY(first, struct queued, node)->first_ms;
}

void link_each_unacknowledged(const struct link *link,
                              void (*visit)(void *context, unsigned kind, const uint8_t *payload,
                                            size_t size),
                              void *context) {
    LIST_FOR_EACH(node, &link->queue) {
        const struct queued *frame = LIST_ENTRY(node, struct queued, node);
        visit(context, frame->kind, frame->bytes + frame->room, frame->size);
    }
}

const uint8_t *link_first_unacknowledged(const struct link *link, unsigned *kind, size_t *size) {
    const struct list_node *first = list_first(&link->queue);
    if (first == NULL)
        return NULL;
    const struct queued *frame = LIST_ENTRY(first, struct queued, node);
    *kind = frame->kind;
    *size = frame->size;
    return frame->bytes + frame->room;
}

void link_drop_first_unacknowledged(struct link *link) {
    struct list_node *first = list_first(&link->queue);
    CHECK(link->state == LINK_OVER && first != NULL);
    struct queued *frame = LIST_ENTRY(first, struct queued, node);
    list_remove(first);
    link->unsent = NULL;
    link->queue_bytes -= queued_bytes(frame->room, frame->size);
    if (frame == link->large)
        link->large_is_ours = true; /* link_free() frees it */
    else
        free_queued(link, frame);
}

/* Whether a numbered frame has left that is not acknowledged. */
static bool has_frames_on_the_way(const struct link *link) {
    struct list_node *first = list_first(&link->queue);
    return first != NULL && first != link->unsent;
}

static void note_round_trip(struct link *link, uint64_t sent_ms) {
    uint64_t sample_us = elapsed(link, sent_ms) * 1000;
    if (sample_us > UINT32_MAX)
        sample_us = UINT32_MAX;
    int64_t difference = (int64_t)sample_us - link->round_trip_us;
    link->round_trip_us =
        link->round_trip_us == 0 ? (uint32_t)sample_us : (uint32_t)(link->round_trip_us + difference / 8);
}

static void take_acknowledgement(struct link *link, uint64_t number) {
    if (number > link->sent_number) {
        refuse(link, "broken: it acknowledges what was not sent");
        return;
    }
    if (number <= link->acknowledged_number)
        return;
    for (struct list_node *node = list_first(&link->queue); node != NULL; node = list_first(&link->queue)) {
        struct queued *frame = LIST_ENTRY(node, struct queued, node);
        if (frame->number > number)
            break;
        if (link->unsent == node)
            link->unsent = list_next(&link->queue, node);
        list_remove(node);
        link->queue_bytes -= queued_bytes(frame->room, frame->size);
        /* Of a frame that was sent twice nobody knows which one was acknowledged. */
        if (frame->number == number && !frame->is_repeated)
            note_round_trip(link, frame->first_ms);
        if (frame == link->large)
            link->large_is_ours = true;
        else
            free_queued(link, frame);
    }
    link->acknowledged_number = number;
    link->progress_ms = link->now_ms;
    if (link->acknowledged != NULL)
        link->acknowledged(link->context, link, number);
}

/* ---- What comes in ---- */

static struct secret_exchange exchange_of(const struct link *link) {
    struct secret_exchange exchange = {link->hello, link->other_hello, link->hello_size,
                                       link->other_hello_size};
    if (!link->is_caller)
        exchange = (struct secret_exchange){link->other_hello, link->hello, link->other_hello_size,
                                            link->hello_size};
    return exchange;
}

static void take_challenge(struct link *link, const struct frame *frame) {
    if (link->other_hello != NULL) {
        if (frame->size == link->other_hello_size &&
            memcmp(frame->payload, link->other_hello, frame->size) == 0)
            link->wants_proof = true;
        else
            refuse(link, "broken: another introduction than before");
        return;
    }
    if (frame->size < 1 + SECRET_CHALLENGE_SIZE || frame->payload[0] == 0) {
        refuse(link, "broken: no introduction of a known protocol");
        return;
    }
    if (frame->payload[0] < PEER_PROTOCOL_OLDEST) {
        char reason[REASON_SIZE];
        snprintf(reason, sizeof reason, PROTOCOLS_DIFFER, frame->payload[0], PEER_PROTOCOL_OLDEST);
        refuse(link, reason);
        return;
    }
    link->other_hello = mem_alloc(link->mem, frame->size);
    if (link->other_hello == NULL) {
        link_end(link, "out of memory");
        return;
    }
    memcpy(link->other_hello, frame->payload, frame->size);
    link->other_hello_size = frame->size;
    link->protocol = frame->payload[0] < PEER_PROTOCOL ? frame->payload[0] : PEER_PROTOCOL;
    link->wants_proof = true;
}

static void take_proof(struct link *link, const struct frame *frame) {
    if (link->state == LINK_READY) {
        link->wants_acknowledgement = true;
        return;
    }
    if (link->other_hello == NULL)
        return; /* its challenge was lost or overtaken, and will be repeated as this will */
    const struct secret_exchange exchange = exchange_of(link);
    enum secret_role role = link->is_caller ? SECRET_CALLED : SECRET_CALLER;
    if (!secret_proves(link->secret, role, &exchange, frame->payload, frame->size)) {
        refuse(link, "the cluster secrets differ");
        return;
    }
    const char *reason = link->introduced(link->context, link, link->other_hello + 1 + SECRET_CHALLENGE_SIZE,
                                          link->other_hello_size - 1 - SECRET_CHALLENGE_SIZE);
    if (reason != NULL)
        refuse(link, reason);
    if (link->state == LINK_OVER)
        return;
    link->state = LINK_READY;
    link->repeated_ms = link->now_ms;
    link->wants_acknowledgement = true; /* tells the other end that this one is ready */
    peer_frame_reader_set_max(link->reader, link->frame_max);
}

static void take_refusal(struct link *link, const struct frame *frame) {
    link->refusal_is_proved = link->state == LINK_READY;
    link->state = LINK_OVER;
    link->was_refused = true;
    set_reason(link, frame->payload, frame->size);
}

/* Whether a numbered frame is the next one; whatever it is, the other end will hear of it. */
static bool take_number(struct link *link, const struct frame *frame) {
    if (frame->number != link->received_number + 1) {
        /* It was here already, or one before it is missing: the sender finds out how far we are. */
        link->wants_acknowledgement = true;
        return false;
    }
    link->received_number = frame->number;
    if (!link->owes_acknowledgement) {
        link->owes_acknowledgement = true;
        link->owed_since_ms = link->now_ms;
        link->owed_bytes = 0;
    }
    link->owed_bytes += frame->size;
    if (link->owed_bytes >= LINK_ACKNOWLEDGE_BYTES)
        link->wants_acknowledgement = true;
    return true;
}

static void take_frame(struct link *link, const struct frame *frame) {
    if (link->state != LINK_READY)
        return; /* it has overtaken a proof, or its sender has none: a numbered one will be sent again */
    link->other_is_ready = true;
    take_acknowledgement(link, frame->acknowledged);
    if (link->state != LINK_READY)
        return;
    bool is_known = frame->kind < FRAME_KIND_COUNT;
    bool is_numbered = frame->kind > FRAME_GOSSIP;
    if (is_known && is_numbered != (frame->number != 0)) {
        refuse(link, "broken: a frame of this kind with such a number");
        return;
    }
    if (frame->kind == FRAME_ACKNOWLEDGED || (frame->number != 0 && !take_number(link, frame)))
        return;
    /* Kinds of a later version are taken, and nothing is done with them. */
    if (is_known && !link->deliver(link->context, link, frame->kind, frame->payload, frame->size))
        refuse(link, "broken: a frame makes no sense");
}

void link_input(struct link *link, const uint8_t *data, size_t size, uint64_t now_ms) {
    set_now(link, now_ms);
    if (link->state == LINK_OVER || size == 0)
        return;
    link->heard_ms = link->now_ms;
    if (!peer_frame_reader_feed(link->reader, data, size)) {
        link_end(link, "out of memory");
        return;
    }
    while (link->state != LINK_OVER) {
        struct frame frame;
        switch (peer_frame_reader_next(link->reader, &frame)) {
        case FRAME_INCOMPLETE: return;
        case FRAME_BROKEN: refuse(link, "broken: no frames, or longer ones than allowed"); return;
        case FRAME_COMPLETE: break;
        }
        switch (frame.kind) {
        case FRAME_CHALLENGE: take_challenge(link, &frame); break;
        case FRAME_PROOF: take_proof(link, &frame); break;
        case FRAME_REFUSED: take_refusal(link, &frame); break;
        default: take_frame(link, &frame);
        }
    }
}

/* ---- What goes out ---- */

/* The head that a frame gets when it leaves. Returns its size; 0: the link is over. */
static size_t write_head(struct link *link, uint8_t head[PEER_FRAME_HEAD_MAX], unsigned kind, uint64_t number,
                         size_t size) {
    struct frame frame = {.kind = kind, .number = number, .size = size};
    if (kind >= FRAME_ACKNOWLEDGED) {
        frame.acknowledged = link->received_number;
        link->owes_acknowledgement = link->wants_acknowledgement = false;
    }
    size_t head_size = peer_frame_head_by_form(&link->forms[number != 0], head, &frame);
    if (head_size == 0)
        link_end(link, "out of memory");
    return head_size;
}

/* Appends a frame to the span in `room`. false: it does not fit in behind the others, or the link is over. */
static bool put(struct link *link, unsigned kind, uint64_t number, const void *payload, size_t size) {
    if (PEER_FRAME_HEAD_MAX + size + strlen(PEER_FRAME_TAIL) > SPAN_SIZE - link->span_size)
        return false;
    uint8_t *out = link->room + link->span_size;
    size_t head_size = write_head(link, out, kind, number, size);
    if (head_size == 0)
        return false;
    if (size != 0)
        memcpy(out + head_size, payload, size);
    memcpy(out + head_size + size, PEER_FRAME_TAIL, strlen(PEER_FRAME_TAIL));
    link->span = link->room;
    link->span_size += head_size + size + strlen(PEER_FRAME_TAIL);
    return true;
}

/* Before the other end is known to be ready, it may still refuse what is longer. */
static bool may_leave(const struct link *link, const struct queued *frame) {
    return link->other_is_ready || frame->size <= LINK_UNPROVED_FRAME_MAX;
}

/* Puts a queued frame into the span, or makes it the span. false: not with this span. */
static bool put_queued(struct link *link, struct queued *frame) {
    if (frame->room == 0)
        return put(link, frame->kind, frame->number, frame->bytes, frame->size);
    if (link->span_size != 0)
        return false;
    uint8_t head[PEER_FRAME_HEAD_MAX];
    size_t head_size = write_head(link, head, frame->kind, frame->number, frame->size);
    if (head_size == 0)
        return false;
    uint8_t *begin = frame->bytes + frame->room - head_size;
    memcpy(begin, head, head_size);
    link->span = begin;
    link->span_size = head_size + frame->size + strlen(PEER_FRAME_TAIL);
    link->large = frame;
    return true;
}

static struct queued *next_gossip(const struct link *link) {
    struct list_node *first = list_first(&link->gossip);
    struct queued *frame = first == NULL ? NULL : LIST_ENTRY(first, struct queued, node);
    return frame != NULL && may_leave(link, frame) ? frame : NULL;
}

static struct queued *next_numbered(const struct link *link) {
    struct queued *frame = link->unsent == NULL ? NULL : LIST_ENTRY(link->unsent, struct queued, node);
    return frame != NULL && may_leave(link, frame) ? frame : NULL;
}

static void gossip_has_left(struct link *link, struct queued *frame) {
    list_remove(&frame->node);
    link->gossip_bytes -= queued_bytes(frame->room, frame->size);
    if (frame == link->large)
        link->large_is_ours = true;
    else
        free_queued(link, frame);
}

static void numbered_has_left(struct link *link, struct queued *frame) {
    if (!has_frames_on_the_way(link))
        link->progress_ms = link->now_ms;
    if (frame->first_ms != 0)
        frame->is_repeated = true;
    else
        frame->first_ms = link->now_ms == 0 ? 1 : link->now_ms;
    if (frame->number > link->sent_number)
        link->sent_number = frame->number;
    link->unsent = list_next(&link->queue, &frame->node);
}

/* Gossip first; what is numbered follows when there is none left that may leave. */
static void fill_with_queued(struct link *link) {
    for (struct queued *frame; link->large == NULL && (frame = next_gossip(link)) != NULL;) {
        if (!put_queued(link, frame))
            return;
        gossip_has_left(link, frame);
    }
    for (struct queued *frame; link->large == NULL && (frame = next_numbered(link)) != NULL;) {
        if (!put_queued(link, frame))
            return;
        numbered_has_left(link, frame);
    }
}

static void fill_span(struct link *link) {
    if (link->wants_challenge && put(link, FRAME_CHALLENGE, 0, link->hello, link->hello_size))
        link->wants_challenge = false;
    if (link->wants_proof) {
        uint8_t proof[SECRET_PROOF_SIZE];
        const struct secret_exchange exchange = exchange_of(link);
        secret_prove(link->secret, link->is_caller ? SECRET_CALLER : SECRET_CALLED, &exchange, proof);
        if (put(link, FRAME_PROOF, 0, proof, sizeof proof))
            link->wants_proof = false;
    }
    if (link->state == LINK_READY)
        fill_with_queued(link);
    /* Whatever has left has carried the acknowledgement with it. */
    if (link->state == LINK_READY && link->wants_acknowledgement)
        (void)put(link, FRAME_ACKNOWLEDGED, 0, NULL, 0);
}

static void finish_span(struct link *link) {
    if (link->large_is_ours)
        free_queued(link, link->large);
    link->large = NULL;
    link->large_is_ours = false;
    link->span = NULL;
    link->span_size = link->span_at = 0;
}

/* The other end is told why, behind the whole of the frames that it has begun to read. */
static void fill_with_refusal(struct link *link) {
    finish_span(link);
    link->refusal =
        put(link, FRAME_REFUSED, 0, link->reason, strlen(link->reason)) ? REFUSAL_IN_SPAN : REFUSAL_NONE;
}

const uint8_t *link_output(struct link *link, uint64_t now_ms, size_t *size) {
    set_now(link, now_ms);
    if (link->state != LINK_OVER && link->span_size == 0) {
        fill_span(link);
        link->span_since_ms = link->now_ms;
    }
    if (link->state == LINK_OVER && link->refusal == REFUSAL_WANTED && link->span_at == 0)
        fill_with_refusal(link);
    *size = link->state == LINK_OVER && link->refusal == REFUSAL_NONE ? 0 : link->span_size - link->span_at;
    return *size == 0 ? NULL : link->span + link->span_at;
}

void link_sent(struct link *link, size_t size) {
    CHECK(size <= link->span_size - link->span_at);
    link->span_at += size;
    if (link->span_at != link->span_size || size == 0)
        return;
    link->progress_ms += elapsed(link, link->span_since_ms);
    if (link->progress_ms > link->now_ms)
        link->progress_ms = link->now_ms;
    finish_span(link);
}

bool link_has_output(const struct link *link) {
    if (link->state == LINK_OVER)
        return link->refusal == REFUSAL_WANTED || (link->refusal == REFUSAL_IN_SPAN && link->span_size != 0);
    if (link->span_size != 0 || link->wants_challenge || link->wants_proof)
        return true;
    return link->state == LINK_READY &&
           (link->wants_acknowledgement || next_gossip(link) != NULL || next_numbered(link) != NULL);
}

void link_acknowledge_now(struct link *link) {
    if (link->owes_acknowledgement)
        link->wants_acknowledgement = true;
}

void link_give_sign(struct link *link) {
    link->wants_acknowledgement = link->wants_acknowledgement || link->state == LINK_READY;
}

/* ---- Timers ---- */

/* Repeats what begins the link, as it may have been lost. Returns when to come back. */
static uint32_t tick_beginning(struct link *link) {
    if (link->state == LINK_PROVING && elapsed(link, link->begun_ms) >= LINK_PROOF_MS) {
        link_end(link, "the other end has not proved itself in time");
        return UINT32_MAX;
    }
    if (elapsed(link, link->repeated_ms) >= LINK_RESEND_MS) {
        link->repeated_ms = link->now_ms;
        link->wants_challenge = link->state == LINK_PROVING;
        link->wants_proof = link->other_hello != NULL;
    }
    uint32_t wait = remaining(link, link->repeated_ms, LINK_RESEND_MS);
    uint32_t end = link->state == LINK_PROVING ? remaining(link, link->begun_ms, LINK_PROOF_MS) : UINT32_MAX;
    return wait < end ? wait : end;
}

/* Goes back to the first frame that is not acknowledged. The time in which the connection did not take what it was given is not
 * time in which something could be acknowledged. */
static uint32_t tick_resending(struct link *link) {
    if (!has_frames_on_the_way(link))
        return UINT32_MAX;
    if (link->span_size != 0)
        return LINK_RESEND_MS;
    if (elapsed(link, link->progress_ms) >= LINK_RESEND_MS) {
        link->progress_ms = link->now_ms;
        link->unsent = list_first(&link->queue);
    }
    return remaining(link, link->progress_ms, LINK_RESEND_MS);
}

static uint32_t tick_acknowledgement(struct link *link) {
    if (!link->owes_acknowledgement || link->wants_acknowledgement)
        return UINT32_MAX;
    uint32_t wait = remaining(link, link->owed_since_ms, LINK_ACKNOWLEDGE_MS);
    if (wait != 0)
        return wait;
    link->wants_acknowledgement = true;
    return UINT32_MAX;
}

uint32_t link_tick(struct link *link, uint64_t now_ms) {
    set_now(link, now_ms);
    uint32_t wait = UINT32_MAX;
    if (link->state != LINK_OVER && !link->other_is_ready)
        wait = tick_beginning(link);
    if (link->state != LINK_READY)
        return wait;
    const uint32_t waits[] = {tick_resending(link), tick_acknowledgement(link)};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        if (waits[i] < wait)
            wait = waits[i];
    return wait;
}
