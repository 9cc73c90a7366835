/* link_ends.h - two ends of a link back to back, for the tests of links: what each was told, and the bytes between them.
 *
 * A file of tests that includes it has ends of its own, made by make_ends() or make_ready() and freed by tear_down().
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef UNIT_NODE_LINK_ENDS_H
#define UNIT_NODE_LINK_ENDS_H

#include "node/link.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* One end: a link, and what has been told of it. Numbered frames carry a counter in their first bytes. */
struct end {
    struct link *link;
    char introduced[64];
    const char *answer; /* to the introduction */
    unsigned introductions, deliveries, gossips;
    unsigned last_kind;
    size_t last_size;
    uint32_t expected; /* the counter of the next numbered frame */
    uint64_t acknowledged;
    bool makes_no_sense;    /* what is delivered */
    const char *end_reason; /* to end the link with when a frame is delivered */
    bool echoes;            /* each request is answered with a reply */
};

static struct mem mem;
static struct end caller, called;
static uint64_t now;
static struct link_options options;

static inline const char *introduced(void *context, struct link *link, const uint8_t *introduction,
                                     size_t size) {
    struct end *end = context;
    cr_assert_eq(link_state(link), LINK_PROVING);
    cr_assert_lt(size, sizeof end->introduced);
    memcpy(end->introduced, introduction, size);
    end->introduced[size] = '\0';
    end->introductions++;
    return end->answer;
}

static inline void fill_payload(uint8_t *payload, size_t size, uint32_t counter) {
    memcpy(payload, &counter, sizeof counter);
    for (size_t i = sizeof counter; i < size; i++)
        payload[i] = (uint8_t)(counter + i);
}

static inline bool deliver(void *context, struct link *link, unsigned kind, const uint8_t *payload,
                           size_t size) {
    struct end *end = context;
    end->last_kind = kind;
    end->last_size = size;
    cr_assert_eq(link_state(link), LINK_READY);
    if (kind == FRAME_GOSSIP) {
        end->gossips++;
    } else {
        uint32_t counter;
        cr_assert_geq(size, sizeof counter);
        memcpy(&counter, payload, sizeof counter);
        cr_assert_eq(counter, end->expected, "frame %u has come in the place of %u", counter, end->expected);
        uint8_t *wanted = malloc(size);
        fill_payload(wanted, size, counter);
        cr_assert_eq(memcmp(payload, wanted, size), 0);
        free(wanted);
        end->expected++;
        end->deliveries++;
    }
    if (end->echoes && kind == FRAME_REQUESTS)
        cr_assert(link_send(link, FRAME_REPLIES, payload, size, NULL));
    if (end->end_reason != NULL)
        link_end(link, end->end_reason);
    return !end->makes_no_sense;
}

static inline void acknowledged(void *context, struct link *link, uint64_t number) {
    struct end *end = context;
    cr_assert_gt(number, end->acknowledged);
    cr_assert_eq(number, link_acknowledged_number(link));
    end->acknowledged = number;
}

static inline void make_end(struct end *end, bool is_caller, const char *secret, uint8_t challenge) {
    const char *answer = end->answer;
    *end = (struct end){.answer = answer};
    options.mem = &mem;
    options.secret = secret;
    options.is_caller = is_caller;
    memset(options.challenge, challenge, sizeof options.challenge);
    options.introduction = (const uint8_t *)(is_caller ? "the caller" : "the called one");
    options.introduction_size = strlen((const char *)options.introduction);
    if (options.queue_max == 0)
        options.queue_max = 16 * 1024 * 1024;
    options.now_ms = now;
    options.context = end;
    options.introduced = introduced;
    options.deliver = deliver;
    options.acknowledged = acknowledged;
    end->link = link_new(&options);
    cr_assert_not_null(end->link);
}

static inline void make_ends(const char *callers_secret, const char *called_ones_secret) {
    make_end(&caller, true, callers_secret, 'r');
    make_end(&called, false, called_ones_secret, 'd');
}

static inline void set_up(void) {
    mem = (struct mem){0};
    options = (struct link_options){0};
    caller = called = (struct end){0};
    now = 1000;
}

static inline void tear_down(void) {
    link_free(caller.link);
    link_free(called.link);
    cr_expect_eq(mem.used_bytes, 0);
    cr_expect_eq(mem.allocations, 0);
}

/* ---- Wires ---- */

/* Moves up to `most` bytes of one span; how many it was. */
static inline size_t move_bytes(struct end *from, struct end *to, size_t most) {
    size_t size;
    bool has_output = link_has_output(from->link);
    const uint8_t *bytes = link_output(from->link, now, &size);
    cr_assert_eq(has_output, size != 0, "output is announced");
    if (size == 0)
        return 0;
    size = size < most ? size : most;
    uint8_t *copy = malloc(size);
    memcpy(copy, bytes, size);
    link_sent(from->link, size);
    link_input(to->link, copy, size, now);
    free(copy);
    return size;
}

static inline size_t move_all(struct end *from, struct end *to) {
    size_t moved = 0, size;
    while ((size = move_bytes(from, to, SIZE_MAX)) != 0)
        moved += size;
    return moved;
}

/* Until nobody has anything to say at this moment. */
static inline void settle(void) {
    for (unsigned i = 0; move_all(&caller, &called) + move_all(&called, &caller) != 0; i++)
        cr_assert_lt(i, 1000, "they never stop talking");
}

static inline void tick_both(void) {
    link_tick(caller.link, now);
    link_tick(called.link, now);
}

static inline void make_ready(void) {
    make_ends("secret", "secret");
    settle();
    cr_assert_eq(link_state(caller.link), LINK_READY, "%s", link_reason(caller.link));
    cr_assert_eq(link_state(called.link), LINK_READY, "%s", link_reason(called.link));
}

static inline void send(struct end *end, unsigned kind, uint32_t counter, size_t size) {
    uint8_t *payload = malloc(size);
    uint64_t number;
    fill_payload(payload, size, counter);
    cr_assert(link_send(end->link, kind, payload, size, &number));
    cr_assert_eq(number, counter + 1);
    free(payload);
}

/* What an end has to say, taken off it. */
static inline void take_output(struct end *end, struct buffer *bytes) {
    size_t size;
    const uint8_t *output;
    while ((output = link_output(end->link, now, &size)), size != 0) {
        cr_assert(buffer_append(bytes, output, size));
        link_sent(end->link, size);
    }
}

/* A frame made by hand comes in. */
static inline void input_frame(struct end *end, unsigned kind, uint64_t number, uint64_t acknowledges,
                               const void *payload, size_t size) {
    struct buffer bytes;
    struct frame frame = {kind, number, acknowledges, payload, size};
    buffer_init(&bytes, &mem);
    cr_assert(peer_frame_append(&bytes, &frame));
    link_input(end->link, bytes.data, bytes.size, now);
    buffer_release(&bytes);
}

/* The frames in the output, in words: kind, number, acknowledged. */
static inline void is_output(struct end *end, const char *expected) {
    struct buffer bytes;
    struct frame frame;
    char text[1000] = "", *at = text;
    buffer_init(&bytes, &mem);
    take_output(end, &bytes);
    struct peer_frame_reader *reader = peer_frame_reader_new(&mem, 1 << 20);
    cr_assert(peer_frame_reader_feed(reader, bytes.data, bytes.size));
    while (peer_frame_reader_next(reader, &frame) == FRAME_COMPLETE && at < text + sizeof text - 100)
        at += sprintf(at, "%s%u:%u:%u", at == text ? "" : " ", frame.kind, (unsigned)frame.number,
                      (unsigned)frame.acknowledged);
    cr_assert_eq(peer_frame_reader_held(reader), 0);
    peer_frame_reader_free(reader);
    buffer_release(&bytes);
    cr_assert_str_eq(text, expected);
}

#endif
