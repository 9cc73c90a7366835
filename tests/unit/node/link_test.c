/* link_test.c - two ends of a link: proofs, versions, frames, bounds, and how it ends.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/link_ends.h"

TestSuite(link, .init = set_up, .fini = tear_down, .timeout = 60);

/* ---- The beginning ---- */

Test(link, two_ends_with_one_secret_learn_who_the_other_is) {
    make_ends("secret", "secret");
    cr_assert_eq(link_protocol(caller.link), 0);
    cr_assert_not(link_send(caller.link, FRAME_RECORDS, "1234", 4, NULL), "not ready yet");
    settle();
    cr_assert_eq(link_state(caller.link), LINK_READY);
    cr_assert_eq(link_state(called.link), LINK_READY);
    cr_assert_str_eq(caller.introduced, "the called one");
    cr_assert_str_eq(called.introduced, "the caller");
    cr_assert(caller.introductions == 1 && called.introductions == 1);
    cr_assert_eq(link_protocol(caller.link), PEER_PROTOCOL);
    cr_assert_str_eq(link_reason(caller.link), "");
}

Test(link, no_secret_is_a_secret_too) {
    make_ends("", "");
    settle();
    cr_assert(link_state(caller.link) == LINK_READY && link_state(called.link) == LINK_READY);
}

static void both_are_over(const char *why) {
    cr_assert_eq(link_state(caller.link), LINK_OVER);
    cr_assert_eq(link_state(called.link), LINK_OVER);
    cr_assert_eq(caller.introductions + called.introductions, 0);
    cr_assert_eq(caller.deliveries + called.deliveries, 0);
    cr_assert_str_eq(link_reason(caller.link), why);
    cr_assert_str_eq(link_reason(called.link), why);
}

Test(link, another_secret_is_refused_by_both_ends) {
    const char *const secrets[][2] = {{"secret", "another secret"}, {"", "secret"}, {"secret", ""}};
    for (int i = 0; i < 3; i++) {
        link_free(caller.link);
        link_free(called.link);
        make_ends(secrets[i][0], secrets[i][1]);
        settle();
        both_are_over("the cluster secrets differ");
    }
}

Test(link, an_introduction_that_was_changed_on_the_way_is_refused_by_both_ends) {
    make_ends("secret", "secret");
    struct buffer bytes;
    buffer_init(&bytes, &mem);
    take_output(&caller, &bytes);
    bytes.data[bytes.size - 4] ^= 1; /* in the introduction */
    link_input(called.link, bytes.data, bytes.size, now);
    buffer_release(&bytes);
    settle();
    both_are_over("the cluster secrets differ");
}

Test(link, a_recorded_session_is_refused) {
    struct buffer recorded;
    buffer_init(&recorded, &mem);
    make_ends("secret", "secret");
    for (int i = 0; i < 4; i++) {
        size_t before = recorded.size;
        if (link_state(caller.link) == LINK_READY && i == 2)
            send(&caller, FRAME_RECORDS, 0, 100);
        take_output(&caller, &recorded);
        link_input(called.link, recorded.data + before, recorded.size - before, now);
        move_all(&called, &caller);
    }
    cr_assert_eq(called.deliveries, 1);
    link_free(called.link);
    make_end(&called, false, "secret", 'D');
    link_input(called.link, recorded.data, recorded.size, now);
    cr_assert_eq(link_state(called.link), LINK_OVER);
    cr_assert_eq(called.introductions + called.deliveries, 0);
    buffer_release(&recorded);
}

Test(link, what_an_end_has_said_does_not_convince_it) {
    make_end(&called, false, "secret", 'd');
    for (int i = 0; i < 10 && link_state(called.link) != LINK_OVER; i++)
        move_bytes(&called, &called, SIZE_MAX);
    cr_assert_eq(link_state(called.link), LINK_OVER);
    cr_assert_eq(called.introductions, 0);
}

Test(link, whom_the_node_does_not_want_is_told_why) {
    called.answer = "node belongs\nto another cluster";
    make_ends("secret", "secret");
    settle();
    cr_assert_eq(link_state(called.link), LINK_OVER);
    cr_assert_eq(link_state(caller.link), LINK_OVER);
    cr_assert_str_eq(link_reason(caller.link), "node belongs?to another cluster");
    cr_assert(link_was_refused(caller.link));
    cr_assert_not(link_was_refused(called.link));
}

Test(link, nothing_is_delivered_before_the_proof) {
    make_end(&called, false, "secret", 'd');
    input_frame(&called, FRAME_RECORDS, 1, 0, "\0\0\0\0", 4);
    input_frame(&called, FRAME_GOSSIP, 0, 1, "abcd", 4);
    input_frame(&called, FRAME_PROOF, 0, 0, "a proof without a challenge", 27);
    cr_assert_eq(link_state(called.link), LINK_PROVING);
    cr_assert_eq(called.deliveries + called.gossips, 0);
    is_output(&called, "1:0:0");
}

Test(link, a_frame_before_the_proof_must_be_short) {
    static uint8_t payload[LINK_UNPROVED_FRAME_MAX + 1] = {PEER_PROTOCOL};
    make_end(&called, false, "secret", 'd');
    input_frame(&called, FRAME_CHALLENGE, 0, 0, payload, LINK_UNPROVED_FRAME_MAX);
    cr_assert_eq(link_state(called.link), LINK_PROVING);
    input_frame(&called, FRAME_RECORDS, 1, 0, payload, sizeof payload);
    cr_assert_eq(link_state(called.link), LINK_OVER);
}

Test(link, an_end_without_a_proof_has_five_seconds) {
    make_ends("secret", "secret");
    uint64_t begun = now;
    for (uint32_t wait; link_state(called.link) == LINK_PROVING; now += wait) {
        wait = link_tick(called.link, now);
        cr_assert(link_state(called.link) == LINK_OVER || (wait > 0 && wait <= LINK_RESEND_MS));
        cr_assert_leq(now, begun + LINK_PROOF_MS);
        if (link_state(called.link) == LINK_OVER)
            break;
    }
    cr_assert_eq(now, begun + LINK_PROOF_MS);
    cr_assert_not(link_has_output(called.link));
    cr_assert_eq(link_tick(called.link, now), UINT32_MAX);
}

/* Loses the first `lost` of what both ends say, one span at a time. */
static void begin_with_losses(unsigned lost) {
    make_ends("secret", "secret");
    struct buffer nowhere;
    buffer_init(&nowhere, &mem);
    while (link_state(caller.link) == LINK_PROVING || link_state(called.link) == LINK_PROVING ||
           link_has_output(caller.link) || link_has_output(called.link)) {
        struct end *ends[] = {&caller, &called};
        for (int i = 0; i < 2; i++)
            if (!link_has_output(ends[i]->link))
                continue;
            else if (lost != 0 && lost-- != 0)
                take_output(ends[i], &nowhere);
            else
                move_all(ends[i], ends[1 - i]);
        now += 100;
        tick_both();
        cr_assert_neq(link_state(caller.link), LINK_OVER, "%s", link_reason(caller.link));
        cr_assert_neq(link_state(called.link), LINK_OVER, "%s", link_reason(called.link));
    }
    buffer_release(&nowhere);
}

Test(link, a_beginning_that_is_lost_is_repeated) {
    for (unsigned lost = 0; lost < 6; lost++) {
        begin_with_losses(lost);
        cr_assert(caller.introductions == 1 && called.introductions == 1);
        send(&caller, FRAME_RECORDS, 0, 5000);
        send(&called, FRAME_RECORDS, 0, 5000);
        for (int i = 0; i < 30; i++, now += 100) {
            tick_both();
            settle();
        }
        cr_assert(caller.deliveries == 1 && called.deliveries == 1, "%u lost", lost);
        link_free(caller.link);
        link_free(called.link);
    }
    caller.link = called.link = NULL;
}

/* The called one's proof has come, the caller's is lost. A large frame would break the end that is not ready. */
Test(link, a_large_frame_waits_until_the_other_end_is_ready) {
    make_ends("secret", "secret");
    struct buffer nowhere;
    buffer_init(&nowhere, &mem);
    move_all(&caller, &called); /* challenge */
    move_all(&called, &caller); /* challenge and proof */
    cr_assert_eq(link_state(caller.link), LINK_READY);
    take_output(&caller, &nowhere);
    send(&caller, FRAME_RECORDS, 0, LINK_UNPROVED_FRAME_MAX + 1);
    cr_assert_not(link_has_output(caller.link));
    now += LINK_RESEND_MS;
    tick_both();
    settle();
    cr_assert_eq(called.deliveries, 1);
    buffer_release(&nowhere);
}

/* Both are ready; that the called one is, has not been heard. */
Test(link, an_end_that_is_not_heard_to_be_ready_is_asked_again) {
    make_ends("secret", "secret");
    struct buffer nowhere;
    buffer_init(&nowhere, &mem);
    move_all(&caller, &called);
    move_all(&called, &caller);
    move_all(&caller, &called);
    cr_assert(link_state(caller.link) == LINK_READY && link_state(called.link) == LINK_READY);
    take_output(&called, &nowhere);
    send(&caller, FRAME_RECORDS, 0, LINK_UNPROVED_FRAME_MAX + 1);
    cr_assert_not(link_has_output(caller.link));
    cr_assert_eq(link_tick(caller.link, now), LINK_RESEND_MS);
    now += LINK_RESEND_MS;
    link_tick(caller.link, now);
    settle();
    cr_assert_eq(called.deliveries, 1);
    buffer_release(&nowhere);
}

Test(link, another_introduction_on_the_same_link_ends_it) {
    make_ready();
    uint8_t hello[1 + SECRET_CHALLENGE_SIZE + 10] = {PEER_PROTOCOL};
    memset(hello + 1, 'r', SECRET_CHALLENGE_SIZE);
    memcpy(hello + 1 + SECRET_CHALLENGE_SIZE, "the caller", 10);
    input_frame(&called, FRAME_CHALLENGE, 0, 0, hello, sizeof hello);
    cr_assert_eq(link_state(called.link), LINK_READY);
    is_output(&called, "2:0:0");
    hello[5] ^= 1;
    input_frame(&called, FRAME_CHALLENGE, 0, 0, hello, sizeof hello);
    cr_assert_eq(link_state(called.link), LINK_OVER);
}

Test(link, a_repeated_proof_is_acknowledged_and_an_acknowledgement_is_not) {
    make_ready();
    input_frame(&called, FRAME_PROOF, 0, 0, "whatever", 8);
    is_output(&called, "4:0:0");
    input_frame(&called, FRAME_ACKNOWLEDGED, 0, 0, "", 0);
    is_output(&called, "");
}

Test(link, a_quiet_link_says_nothing_and_needs_no_timer) {
    make_ready();
    for (int i = 0; i < 100; i++, now += 1000) {
        cr_assert_eq(link_tick(caller.link, now), UINT32_MAX);
        cr_assert_eq(link_tick(called.link, now), UINT32_MAX);
        cr_assert(!link_has_output(caller.link) && !link_has_output(called.link));
    }
}

/* ---- Versions ---- */

/* An end of another version, made by hand. */
static void introduce_by_hand(uint8_t version) {
    uint8_t hello[1 + SECRET_CHALLENGE_SIZE + 4] = {version}, mine[200], proof[SECRET_PROOF_SIZE];
    make_end(&called, false, "secret", 'd');
    memcpy(hello + 1 + SECRET_CHALLENGE_SIZE, "hand", 4);
    size_t mine_size = 1 + SECRET_CHALLENGE_SIZE + strlen("the called one");
    mine[0] = PEER_PROTOCOL;
    memset(mine + 1, 'd', SECRET_CHALLENGE_SIZE);
    memcpy(mine + 1 + SECRET_CHALLENGE_SIZE, "the called one", strlen("the called one"));
    struct secret_exchange exchange = {hello, mine, sizeof hello, mine_size};
    secret_prove("secret", SECRET_CALLER, &exchange, proof);
    input_frame(&called, FRAME_CHALLENGE, 0, 0, hello, sizeof hello);
    input_frame(&called, FRAME_PROOF, 0, 0, proof, sizeof proof);
}

Test(link, the_lower_version_is_spoken_and_none_is_refused) {
    introduce_by_hand(PEER_PROTOCOL + 8);
    cr_assert_eq(link_state(called.link), LINK_READY);
    cr_assert_eq(link_protocol(called.link), PEER_PROTOCOL);
    cr_assert_str_eq(called.introduced, "hand");
    link_free(called.link);
    introduce_by_hand(0);
    cr_assert_eq(link_state(called.link), LINK_OVER);
    cr_assert_eq(called.introductions, 0);
}

Test(link, a_version_that_nobody_speaks_any_more_is_refused_in_words) {
    introduce_by_hand(PEER_PROTOCOL_OLDEST - 1);
    char expected[128];
    snprintf(expected, sizeof expected,
             "the protocols differ: one end speaks version %d, the other none below %d",
             PEER_PROTOCOL_OLDEST - 1, PEER_PROTOCOL_OLDEST);
    cr_assert_eq(link_state(called.link), LINK_OVER);
    cr_assert_eq(called.introductions, 0);
    cr_assert_str_eq(link_reason(called.link), expected);
    cr_assert(link_has_refused(called.link) && !link_was_refused(called.link));
}

Test(link, a_short_introduction_is_refused) {
    make_end(&called, false, "secret", 'd');
    input_frame(&called, FRAME_CHALLENGE, 0, 0, "\1short", 6);
    cr_assert_eq(link_state(called.link), LINK_OVER);
    is_output(&called, "3:0:0");
}

Test(link, kinds_of_a_later_version_are_taken_and_ignored) {
    make_ready();
    input_frame(&called, FRAME_KIND_COUNT, 1, 0, "later", 5);
    input_frame(&called, 200, 0, 0, "later", 5);
    input_frame(&called, FRAME_RECORDS, 2, 0, "\0\0\0\0", 4);
    cr_assert_eq(called.deliveries, 1);
    link_acknowledge_now(called.link);
    is_output(&called, "4:0:2");
}

/* ---- Frames ---- */

Test(link, frames_come_in_order_and_are_acknowledged) {
    make_ready();
    for (uint32_t i = 0; i < 300; i++) {
        send(&caller, FRAME_RECORDS + i % 4, i, 4 + i * 97 % 20000);
        send(&called, FRAME_REPLIES, i, 4 + i * 31 % 200);
        if (i % 7 == 0) {
            settle();
            now += 5;
            tick_both();
        }
    }
    settle();
    now += LINK_ACKNOWLEDGE_MS;
    tick_both();
    settle();
    cr_assert(called.deliveries == 300 && caller.deliveries == 300);
    cr_assert(caller.acknowledged == 300 && called.acknowledged == 300);
    cr_assert_eq(link_last_number(caller.link), 300);
    cr_assert_eq(link_unacknowledged_bytes(caller.link), 0);
    cr_assert_eq(link_oldest_unacknowledged_ms(caller.link), 0);
}

Test(link, bytes_may_come_one_by_one) {
    make_ends("secret", "secret");
    for (int round = 0; round < 3; round++) {
        if (round == 1) {
            for (uint32_t i = 0; i < 20; i++)
                send(&caller, FRAME_REQUESTS, i, 4 + i * i * 40);
            called.echoes = true;
        }
        for (size_t moved = 1; moved != 0;)
            moved = move_bytes(&caller, &called, 1) + move_bytes(&called, &caller, 1);
    }
    cr_assert(called.deliveries == 20 && caller.deliveries == 20);
}

Test(link, small_frames_leave_together_and_a_large_one_from_where_it_is) {
    make_ready();
    uint32_t counter = 0;
    while (counter < 100)
        send(&caller, FRAME_REQUESTS, counter++, 100);
    send(&caller, FRAME_RECORDS, counter++, 100000);
    cr_assert_gt(move_bytes(&caller, &called, SIZE_MAX), 100 * 100);
    cr_assert_eq(called.deliveries, 100);
    cr_assert_gt(move_bytes(&caller, &called, SIZE_MAX), 100000);
    cr_assert_eq(called.deliveries, 101);
    cr_assert_eq(move_bytes(&caller, &called, SIZE_MAX), 0);
}

Test(link, gossip_overtakes_and_is_not_acknowledged) {
    make_ready();
    uint64_t number = 4711;
    send(&caller, FRAME_RECORDS, 0, 9000);
    cr_assert(link_send(caller.link, FRAME_GOSSIP, "gossip", 6, &number));
    cr_assert_eq(number, 0);
    move_bytes(&caller, &called, SIZE_MAX);
    cr_assert(called.gossips == 1 && called.deliveries == 0 && called.last_size == 6);
    move_all(&caller, &called);
    cr_assert(called.gossips == 1 && called.deliveries == 1);
    cr_assert_eq(link_last_number(caller.link), 1);
}

Test(link, large_gossip_is_given_back_when_it_has_left) {
    make_ready();
    static uint8_t gossip[50000];
    cr_assert(link_send(caller.link, FRAME_GOSSIP, gossip, sizeof gossip, NULL));
    cr_assert(link_send(caller.link, FRAME_GOSSIP, gossip, sizeof gossip, NULL));
    size_t held = mem.used_bytes;
    move_all(&caller, &called);
    cr_assert_eq(called.gossips, 2);
    cr_assert_lt(mem.used_bytes, held);
    cr_assert(link_send(caller.link, FRAME_GOSSIP, gossip, sizeof gossip, NULL));
    size_t size; /* half of it has left when the link is freed */
    link_output(caller.link, now, &size);
    link_sent(caller.link, size / 2);
}

Test(link, whoever_gets_a_frame_may_answer_and_end_the_link) {
    make_ready();
    called.echoes = true;
    send(&caller, FRAME_REQUESTS, 0, 10);
    settle();
    cr_assert_eq(caller.deliveries, 1);
    caller.end_reason = "enough";
    send(&caller, FRAME_REQUESTS, 1, 10);
    send(&caller, FRAME_REQUESTS, 2, 10);
    settle();
    cr_assert_eq(called.deliveries, 3);
    cr_assert_eq(caller.deliveries, 2, "nothing comes behind the end");
    cr_assert_eq(link_state(caller.link), LINK_OVER);
    cr_assert_str_eq(link_reason(caller.link), "enough");
    cr_assert_not(link_has_output(caller.link));
    cr_assert_not(link_send(caller.link, FRAME_REQUESTS, "1234", 4, NULL));
}

Test(link, a_frame_that_makes_no_sense_ends_the_link) {
    make_ready();
    called.makes_no_sense = true;
    send(&caller, FRAME_RECORDS, 0, 10);
    settle();
    cr_assert_eq(link_state(called.link), LINK_OVER);
    cr_assert(link_was_refused(caller.link));
    cr_assert_str_eq(link_reason(caller.link), link_reason(called.link));
}

/* ---- Bounds, the end ---- */

Test(link, a_full_queue_says_no_until_something_is_acknowledged) {
    options.queue_max = 100000;
    make_ready();
    static uint8_t payload[1000];
    size_t used = mem.used_bytes;
    uint32_t count = 0;
    for (;; count++) {
        fill_payload(payload, sizeof payload, count);
        if (!link_send(caller.link, FRAME_RECORDS, payload, sizeof payload, NULL))
            break;
    }
    cr_assert(count > 80 && count < 100);
    cr_assert_leq(link_unacknowledged_bytes(caller.link), options.queue_max);
    cr_assert_leq(mem.used_bytes - used, options.queue_max * 5 / 4);
    cr_assert_eq(link_last_number(caller.link), count);
    cr_assert(link_send(caller.link, FRAME_GOSSIP, "gossip has its own room", 23, NULL));
    move_all(&caller, &called);
    cr_assert_not(link_send(caller.link, FRAME_RECORDS, payload, sizeof payload, NULL),
                  "sent, but not acknowledged");
    link_acknowledge_now(called.link);
    settle();
    cr_assert_eq(called.deliveries, count);
    send(&caller, FRAME_RECORDS, count, sizeof payload);
}

Test(link, a_full_queue_takes_replies_and_comparisons_all_the_same) {
    options.queue_max = 100000;
    make_ready();
    static uint8_t payload[60000];
    uint32_t count = 0;
    for (; count < 4; count++) {
        fill_payload(payload, sizeof payload, count);
        cr_assert(link_send(caller.link, count % 2 == 0 ? FRAME_REPLIES : FRAME_COMPARE, payload,
                            sizeof payload, NULL));
    }
    cr_assert_gt(link_unacknowledged_bytes(caller.link), 2 * options.queue_max);
    cr_assert_not(link_send(caller.link, FRAME_RECORDS, payload, 10, NULL));
    cr_assert_not(link_send(caller.link, FRAME_REQUESTS, payload, 10, NULL));
    settle();
    cr_assert_eq(called.deliveries, count);
}

Test(link, gossip_that_cannot_leave_is_bounded) {
    make_ready();
    static uint8_t gossip[5000];
    unsigned count = 0;
    while (link_send(caller.link, FRAME_GOSSIP, gossip, sizeof gossip, NULL))
        cr_assert_leq(++count * sizeof gossip, LINK_GOSSIP_MAX);
    cr_assert_gt(count, LINK_GOSSIP_MAX / 6000);
    move_all(&caller, &called);
    cr_assert_eq(called.gossips, count);
    cr_assert(link_send(caller.link, FRAME_GOSSIP, gossip, sizeof gossip, NULL));
}

Test(link, a_frame_above_the_limit_is_not_queued) {
    options.frame_max = 20000;
    make_ready();
    static uint8_t payload[20001];
    cr_assert_not(link_send(caller.link, FRAME_RECORDS, payload, sizeof payload, NULL));
    cr_assert(link_send(caller.link, FRAME_RECORDS, payload, sizeof payload - 1, NULL));
    static uint8_t hostile[20001];
    input_frame(&called, FRAME_RECORDS, 1, 0, hostile, sizeof hostile);
    cr_assert_eq(link_state(called.link), LINK_OVER);
}

struct visit {
    uint32_t counters[10];
    unsigned count;
};

static void note_visit(void *context, unsigned kind, const uint8_t *payload, size_t size) {
    struct visit *visit = context;
    cr_assert(kind == FRAME_RECORDS && size >= 4 && visit->count < 10);
    memcpy(&visit->counters[visit->count++], payload, 4);
}

Test(link, what_was_not_acknowledged_can_be_taken_out_of_a_link_that_is_over) {
    make_ready();
    for (uint32_t i = 0; i < 4; i++)
        send(&caller, FRAME_RECORDS, i, i == 2 ? 30000 : 100);
    move_bytes(&caller, &called, SIZE_MAX); /* the first two */
    link_acknowledge_now(called.link);
    move_all(&called, &caller);
    move_bytes(&caller, &called, 7777); /* a part of the third */
    link_send(caller.link, FRAME_GOSSIP, "gossip is forgotten", 19, NULL);
    link_end(caller.link, "the connection was reset");
    link_end(caller.link, "another reason");
    cr_assert_str_eq(link_reason(caller.link), "the connection was reset");
    cr_assert_not(link_has_output(caller.link));
    struct visit visit = {0};
    link_each_unacknowledged(caller.link, note_visit, &visit);
    cr_assert(visit.count == 2 && visit.counters[0] == 2 && visit.counters[1] == 3);
}

/* Otherwise the other end would take the refusal for a part of a payload. */
Test(link, a_refusal_comes_behind_the_whole_frame_that_is_leaving) {
    make_ready();
    send(&caller, FRAME_RECORDS, 0, 30000);
    send(&caller, FRAME_RECORDS, 1, 30000);
    move_bytes(&caller, &called, 10000);
    input_frame(&caller, FRAME_RECORDS, 0, 0, "", 0);
    cr_assert_eq(link_state(caller.link), LINK_OVER);
    settle();
    cr_assert_eq(called.deliveries, 1);
    cr_assert(link_was_refused(called.link));
    cr_assert_not(link_has_output(caller.link));
}

Test(link, bytes_that_are_no_frames_end_the_link) {
    make_ready();
    link_input(called.link, (const uint8_t *)"GET / HTTP/1.1\r\n", 16, now);
    cr_assert_eq(link_state(called.link), LINK_OVER);
    link_input(called.link, (const uint8_t *)"GET / HTTP/1.1\r\n", 16, now);
    is_output(&called, "3:0:0");
}

Test(link, without_memory_nothing_is_half_done) {
    make_ready();
    for (uint64_t fuse = 1;; fuse++) {
        mem.fuse = fuse;
        struct link *link = link_new(&options);
        if (link != NULL) {
            cr_assert_gt(fuse, 3);
            link_free(link);
            break;
        }
        mem.fuse = 0;
    }
    mem.fuse = 1;
    cr_assert_not(link_send(caller.link, FRAME_RECORDS, "1234", 4, NULL));
    cr_assert_eq(link_last_number(caller.link), 0);
    cr_assert_eq(link_unacknowledged_bytes(caller.link), 0);
    cr_assert_not(link_has_output(caller.link));
    send(&caller, FRAME_RECORDS, 0, 10);
    settle();
    cr_assert_eq(called.deliveries, 1);
    link_free(called.link);
    make_end(&called, false, "secret", 'd');
    uint8_t hello[1 + SECRET_CHALLENGE_SIZE] = {PEER_PROTOCOL};
    struct buffer bytes;
    struct frame frame = {FRAME_CHALLENGE, 0, 0, hello, sizeof hello};
    buffer_init(&bytes, &mem);
    cr_assert(peer_frame_append(&bytes, &frame));
    mem.fuse = 1;
    link_input(called.link, bytes.data, bytes.size, now);
    cr_assert_eq(link_state(called.link), LINK_OVER);
    buffer_release(&bytes);
}
