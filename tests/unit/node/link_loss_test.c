/* link_loss_test.c - acknowledgements, loss, and ends that lie: every frame comes once and in order, with few words about it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/rng.h"
#include "node/link_ends.h"

enum { WIRE_MAX = 4096, SIZE_MOST = 64 * 1024 };

TestSuite(link_loss, .init = set_up, .fini = tear_down, .timeout = 60);

/* ---- Acknowledgements ---- */

Test(link_loss, an_acknowledgement_travels_with_other_frames) {
    make_ready();
    input_frame(&called, FRAME_RECORDS, 1, 0, "\0\0\0\0", 4);
    send(&called, FRAME_REPLIES, 0, 10);
    is_output(&called, "8:1:1");
    now += 10 * LINK_ACKNOWLEDGE_MS;
    link_tick(called.link, now);
    is_output(&called, "");
}

Test(link_loss, an_acknowledgement_alone_waits_its_time) {
    make_ready();
    input_frame(&called, FRAME_RECORDS, 1, 0, "\0\0\0\0", 4);
    is_output(&called, "");
    cr_assert_eq(link_tick(called.link, now), LINK_ACKNOWLEDGE_MS);
    now += LINK_ACKNOWLEDGE_MS - 1;
    input_frame(&called, FRAME_RECORDS, 2, 0, "\1\0\0\0", 4);
    cr_assert_eq(link_tick(called.link, now), 1);
    is_output(&called, "");
    now++;
    link_tick(called.link, now);
    is_output(&called, "4:0:2");
    cr_assert_eq(link_tick(called.link, now), UINT32_MAX);
}

Test(link_loss, an_acknowledgement_that_somebody_waits_for_leaves_at_once) {
    make_ready();
    link_acknowledge_now(called.link);
    is_output(&called, "");
    input_frame(&called, FRAME_RECORDS, 1, 0, "\0\0\0\0", 4);
    link_acknowledge_now(called.link);
    cr_assert(link_has_output(called.link));
    is_output(&called, "4:0:1");
}

Test(link_loss, acknowledgements_are_few) {
    make_ready();
    size_t payload = 10000, back = 0;
    uint32_t frames = 2000;
    for (uint32_t i = 0; i < frames; i++) {
        send(&caller, FRAME_RECORDS, i, payload);
        move_all(&caller, &called);
        back += move_all(&called, &caller) != 0;
        cr_assert_leq(link_unacknowledged_bytes(caller.link), LINK_ACKNOWLEDGE_BYTES + 2 * payload);
    }
    cr_assert_leq(back, frames * payload / LINK_ACKNOWLEDGE_BYTES + 1);
}

Test(link_loss, repeated_and_overtaken_frames_are_dropped_and_answered) {
    make_ready();
    input_frame(&called, FRAME_RECORDS, 2, 0, "\1\0\0\0", 4);
    cr_assert_eq(called.deliveries, 0);
    is_output(&called, "4:0:0");
    input_frame(&called, FRAME_RECORDS, 1, 0, "\0\0\0\0", 4);
    input_frame(&called, FRAME_RECORDS, 1, 0, "\0\0\0\0", 4);
    cr_assert_eq(called.deliveries, 1);
    is_output(&called, "4:0:1");
    input_frame(&called, FRAME_RECORDS, UINT64_MAX, 0, "\1\0\0\0", 4);
    cr_assert_eq(called.deliveries, 1);
}

Test(link_loss, an_end_that_lies_is_left) {
    make_ready();
    send(&called, FRAME_REPLIES, 0, 10);
    input_frame(&called, FRAME_ACKNOWLEDGED, 0, 1, "", 0);
    cr_assert_eq(link_state(called.link), LINK_OVER, "the frame has not left");
    const struct {
        unsigned kind, number;
    } lies[] = {{FRAME_RECORDS, 0}, {FRAME_GOSSIP, 1}, {FRAME_ACKNOWLEDGED, 1}, {FRAME_COMPARE, 0}};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        link_free(caller.link);
        link_free(called.link);
        make_ready();
        input_frame(&called, lies[i].kind, lies[i].number, 0, "\0\0\0\0", 4);
        cr_assert_eq(link_state(called.link), LINK_OVER, "%zu", i);
        cr_assert_eq(called.deliveries + called.gossips, 0);
    }
}

Test(link_loss, the_round_trip_is_measured) {
    make_ready();
    send(&caller, FRAME_RECORDS, 0, 10);
    cr_assert_eq(link_oldest_unacknowledged_ms(caller.link), 0, "it has not left");
    now += 100;
    move_all(&caller, &called);
    cr_assert_eq(link_oldest_unacknowledged_ms(caller.link), now);
    now += 8;
    link_acknowledge_now(called.link);
    settle();
    cr_assert_eq(link_round_trip_us(caller.link), 8000);
    cr_assert_eq(link_heard_ms(caller.link), now);
    send(&caller, FRAME_RECORDS, 1, 10);
    move_all(&caller, &called);
    now += 16;
    link_acknowledge_now(called.link);
    settle();
    cr_assert_eq(link_round_trip_us(caller.link), 9000);
    send(&caller, FRAME_RECORDS, 2, 10);
    is_output(&caller, "6:3:0");
    now += LINK_RESEND_MS;
    link_tick(caller.link, now);
    settle();
    link_acknowledge_now(called.link);
    settle();
    cr_assert_eq(link_acknowledged_number(caller.link), 3);
    cr_assert_eq(link_round_trip_us(caller.link), 9000, "it was sent twice: which one was acknowledged?");
}

/* ---- Loss ---- */

Test(link_loss, what_is_lost_is_sent_again_after_a_second) {
    make_ready();
    for (uint32_t i = 0; i < 3; i++)
        send(&caller, FRAME_RECORDS, i, 20);
    is_output(&caller, "6:1:0 6:2:0 6:3:0");
    now += 1;
    input_frame(&caller, FRAME_ACKNOWLEDGED, 0, 1, "", 0);
    cr_assert_eq(link_tick(caller.link, now), LINK_RESEND_MS);
    now += LINK_RESEND_MS - 1;
    cr_assert_eq(link_tick(caller.link, now), 1);
    is_output(&caller, "");
    now += 1;
    link_tick(caller.link, now);
    send(&caller, FRAME_RECORDS, 3, 20);
    is_output(&caller, "6:2:0 6:3:0 6:4:0");
    input_frame(&caller, FRAME_ACKNOWLEDGED, 0, 4, "", 0);
    now += 10 * LINK_RESEND_MS;
    cr_assert_eq(link_tick(caller.link, now), UINT32_MAX);
    is_output(&caller, "");
}

/* A connection that takes nothing loses nothing: repeating would fill it further. */
Test(link_loss, nothing_is_sent_again_while_the_connection_stands_still) {
    make_ready();
    send(&caller, FRAME_RECORDS, 0, 20000);
    send(&caller, FRAME_RECORDS, 1, 20000);
    size_t size;
    link_output(caller.link, now, &size);
    link_sent(caller.link, 100);
    now += 10 * LINK_RESEND_MS;
    cr_assert_eq(link_tick(caller.link, now), LINK_RESEND_MS);
    link_output(caller.link, now, &size);
    link_sent(caller.link, size);
    cr_assert_eq(link_tick(caller.link, now), LINK_RESEND_MS);
    is_output(&caller, "6:2:0");
}

/* The frame's memory is the span that the world is sending. */
Test(link_loss, a_frame_may_be_acknowledged_while_it_leaves_again) {
    for (int is_freed_at_once = 0; is_freed_at_once < 2; is_freed_at_once++) {
        make_ready();
        send(&caller, FRAME_RECORDS, 0, 50000);
        send(&caller, FRAME_RECORDS, 1, 50);
        is_output(&caller, "6:1:0 6:2:0");
        now += LINK_RESEND_MS;
        link_tick(caller.link, now);
        size_t moved = move_bytes(&caller, &called, 20000);
        cr_assert_eq(moved, 20000);
        input_frame(&caller, FRAME_ACKNOWLEDGED, 0, 2, "", 0);
        cr_assert_eq(link_unacknowledged_bytes(caller.link), 0);
        if (!is_freed_at_once) {
            send(&caller, FRAME_RECORDS, 2, 50);
            move_bytes(&caller, &called, SIZE_MAX);
            cr_assert_eq(called.deliveries, 1);
            is_output(&caller, "6:3:0");
        }
        link_free(caller.link);
        link_free(called.link);
    }
    caller.link = called.link = NULL;
}

/* A wire that loses, repeats and overtakes whole frames. */
struct wire {
    struct peer_frame_reader *reader;
    struct {
        uint8_t *bytes;
        size_t size;
        uint64_t due_ms;
    } flying[WIRE_MAX];
    unsigned count, lost_percent, repeated_percent, late_percent;
};

static void wire_take(struct wire *wire, struct rng *rng, const struct frame *frame) {
    if (rng_below(rng, 100) < wire->lost_percent)
        return;
    unsigned copies = 1 + (rng_below(rng, 100) < wire->repeated_percent);
    for (unsigned i = 0; i < copies; i++) {
        struct buffer bytes;
        buffer_init(&bytes, &mem);
        cr_assert(peer_frame_append(&bytes, frame));
        cr_assert_lt(wire->count, WIRE_MAX);
        uint8_t *copy = malloc(bytes.size);
        memcpy(copy, bytes.data, bytes.size);
        wire->flying[wire->count].bytes = copy;
        wire->flying[wire->count].size = bytes.size;
        wire->flying[wire->count++].due_ms =
            now + (rng_below(rng, 100) < wire->late_percent ? rng_below(rng, 50) : 0);
        buffer_release(&bytes);
    }
}

static void wire_move(struct wire *wire, struct rng *rng, struct end *from, struct end *to) {
    struct frame frame;
    size_t size;
    const uint8_t *bytes;
    while ((bytes = link_output(from->link, now, &size)), size != 0) {
        size_t taken = 1 + rng_below(rng, size);
        cr_assert(peer_frame_reader_feed(wire->reader, bytes, taken));
        link_sent(from->link, taken);
        while (peer_frame_reader_next(wire->reader, &frame) == FRAME_COMPLETE)
            wire_take(wire, rng, &frame);
        if (rng_below(rng, 20) == 0)
            break; /* it stands still until the next turn */
    }
    unsigned kept = 0;
    for (unsigned i = 0; i < wire->count; i++) {
        if (wire->flying[i].due_ms > now) {
            wire->flying[kept++] = wire->flying[i];
            continue;
        }
        link_input(to->link, wire->flying[i].bytes, wire->flying[i].size, now);
        free(wire->flying[i].bytes);
    }
    wire->count = kept;
}

static size_t random_size(struct rng *rng) {
    return 4 + rng_below(rng, rng_below(rng, 20) == 0 ? 60000 : rng_below(rng, 3) == 0 ? 12000 : 300);
}

static void run_lossy(uint64_t seed) {
    enum { FRAMES = 200 };
    static struct wire there, back;
    struct rng rng;
    struct wire *wires[] = {&there, &back};
    struct end *ends[] = {&caller, &called};
    uint32_t sent[2] = {0, 0};
    set_up();
    rng_init(&rng, seed);
    options.queue_max = 200000;
    make_ends("secret", "secret");
    for (int i = 0; i < 2; i++) {
        memset(wires[i], 0, sizeof *wires[i]);
        wires[i]->reader = peer_frame_reader_new(&mem, 1 << 20);
        wires[i]->lost_percent = (unsigned)rng_below(&rng, 12);
        wires[i]->repeated_percent = (unsigned)rng_below(&rng, 20);
        wires[i]->late_percent = (unsigned)rng_below(&rng, 12);
    }
    uint64_t end_ms = now + 2000 * 1000;
    while (caller.acknowledged < FRAMES || called.acknowledged < FRAMES) {
        now += 1 + rng_below(&rng, 5);
        cr_assert_lt(now, end_ms, "seed %u: %u and %u frames have come", (unsigned)seed, called.deliveries,
                     caller.deliveries);
        for (int i = 0; i < 2; i++) {
            cr_assert_neq(link_state(ends[i]->link), LINK_OVER, "seed %u: %s", (unsigned)seed,
                          link_reason(ends[i]->link));
            static uint8_t payload[SIZE_MOST];
            while (sent[i] < FRAMES && rng_below(&rng, 3) != 0) {
                size_t size = random_size(&rng);
                fill_payload(payload, size, sent[i]);
                unsigned kind = FRAME_RECORDS + (unsigned)rng_below(&rng, 4);
                if (!link_send(ends[i]->link, kind, payload, size, NULL))
                    break;
                sent[i]++;
                if (kind == FRAME_RECORDS || kind == FRAME_REQUESTS) /* the others may go beyond it */
                    cr_assert_leq(link_unacknowledged_bytes(ends[i]->link), options.queue_max);
            }
            if (rng_below(&rng, 10) == 0)
                (void)link_send(ends[i]->link, FRAME_GOSSIP, payload, random_size(&rng), NULL);
            link_tick(ends[i]->link, now);
            wire_move(wires[i], &rng, ends[i], ends[1 - i]);
        }
    }
    cr_assert(called.deliveries == FRAMES && caller.deliveries == FRAMES);
    cr_assert(caller.gossips > 0 && called.gossips > 0);
    for (int i = 0; i < 2; i++) {
        for (unsigned j = 0; j < wires[i]->count; j++)
            free(wires[i]->flying[j].bytes);
        peer_frame_reader_free(wires[i]->reader);
    }
    tear_down();
    caller.link = called.link = NULL;
}

Test(link_loss, every_frame_comes_once_and_in_order_whatever_the_wire_does) {
    for (uint64_t seed = 1; seed <= 60; seed++)
        run_lossy(seed);
}
