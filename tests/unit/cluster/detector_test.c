/* detector_test.c - what one node makes of what it is told: messages written by hand, word for word.
 *
 * The node has the id 0x10 x 20; members 0x11, 0x12... are known to it. Time moves only where a test moves it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/gossip_codec.h"

#include <criterion/criterion.h>
#include <string.h>

#define OTHERS_MAX 4
#define TICK_MS    20

static struct mem mem;
static struct membership *node;
static uint64_t now_ms;
static uint64_t heartbeats[1 + OTHERS_MAX]; /* what the teller says of each, the node's own first */
static bool is_suspected[1 + OTHERS_MAX];
static uint32_t others;

static struct membership *make(uint8_t byte) {
    struct membership_options options = {
        .mem = &mem,
        .self = {.run = byte, .incarnation = 1, .weight = 1},
        .random_seed = byte,
        .interval_ms = 200,
        .suspect_timeout_ms = 1000,
        .fan_out = 3,
        .now_ms = now_ms,
    };
    memset(options.self.id, byte, NODE_ID_SIZE);
    struct membership *membership = membership_new(&options);
    cr_assert_not_null(membership);
    return membership;
}

static void drain(void) {
    struct membership_event event;
    struct buffer message;
    uint16_t index;
    buffer_init(&message, &mem);
    while (membership_next_event(node, &event))
        ;
    while (membership_next_message(node, &index, &message))
        ;
    buffer_release(&message);
}

static void begin(uint32_t other_count) {
    now_ms = 5000;
    others = other_count;
    node = make(0x10);
    heartbeats[0] = 1;
    for (uint32_t i = 1; i <= others; i++) {
        struct membership *other = make((uint8_t)(0x10 + i));
        struct buffer introduction;
        uint16_t index;
        buffer_init(&introduction, &mem);
        cr_assert(membership_write_introduction(other, &introduction));
        cr_assert_eq(membership_introduce(node, introduction.data, introduction.size, now_ms, &index),
                     INTRODUCTION_WELCOME);
        cr_assert_eq(index, i);
        buffer_release(&introduction);
        membership_free(other);
        heartbeats[i] = 1;
    }
    drain();
}

static void tear_down(void) {
    membership_free(node);
    cr_assert_eq(mem.used_bytes, 0);
    cr_assert_eq(mem.allocations, 0);
}

TestSuite(detector, .fini = tear_down);

/* A greeting of a member, whose own heartbeat goes up by one. By position it claims the roster's digest that is given. */
static void tell(uint16_t teller, enum gossip_heartbeats form, uint64_t roster_digest) {
    struct buffer message;
    struct gossip_header header = {
        .rank = CLUSTER_FORMING,
        .heartbeats = form,
        .incarnation = 1,
        .heartbeat = ++heartbeats[teller],
        .roster_digest = roster_digest,
        .digest = membership_digest(node),
    };
    buffer_init(&message, &mem);
    cr_assert(gossip_append_header(&message, &header) && gossip_append_varint(&message, 0) &&
              gossip_append_varint(&message, 1 + others));
    for (uint32_t i = 0; i <= others; i++) {
        if (form == HEARTBEATS_BY_TAG) {
            cr_assert(gossip_append_fixed(&message, 0x01010101u * (0x10 + i), 4) &&
                      gossip_append_fixed(&message, 1, 1));
        }
        uint64_t value = (heartbeats[i] & GOSSIP_HEARTBEAT_MASK) | (is_suspected[i] ? GOSSIP_SUSPECT_BIT : 0);
        cr_assert(gossip_append_fixed(&message, value, 3));
    }
    cr_assert(buffer_append(&message, "\0\0\0\0\0", 5)); /* no loads */
    cr_assert(membership_receive(node, teller, message.data, message.size, now_ms));
    buffer_release(&message);
    drain();
}

/* Time passes; these members greet in every interval. */
static void pass(uint64_t duration_ms, uint16_t first_teller, uint16_t last_teller) {
    for (uint64_t end_ms = now_ms + duration_ms; now_ms < end_ms;) {
        now_ms += TICK_MS;
        membership_tick(node, now_ms);
        drain();
        if (now_ms % 200 == 0)
            for (uint16_t teller = first_teller; teller <= last_teller; teller++)
                tell(teller, HEARTBEATS_BY_TAG, 1);
    }
}

static enum member_state state(uint16_t member) {
    return membership_member(node, member)->state;
}

/* ---- Witnesses ---- */

Test(detector, a_suspicion_alone_makes_nobody_down) {
    begin(3);
    pass(900, 1, 2);
    cr_assert_eq(state(3), MEMBER_UP);
    pass(30000, 1, 2);
    cr_assert_eq(state(3), MEMBER_SUSPECT);
    cr_assert_eq(state(1), MEMBER_UP);
}

Test(detector, a_second_suspicion_makes_it_down) {
    begin(3);
    pass(5000, 1, 2);
    is_suspected[3] = true;
    tell(1, HEARTBEATS_BY_TAG, 1);
    membership_tick(node, now_ms);
    cr_assert_eq(state(3), MEMBER_DOWN);
}

Test(detector, a_witness_that_takes_its_word_back_is_none) {
    begin(3);
    is_suspected[3] = true;
    pass(600, 1, 1);
    is_suspected[3] = false;
    tell(1, HEARTBEATS_BY_TAG, 1);
    pass(10000, 1, 2);
    cr_assert_eq(state(3), MEMBER_SUSPECT);
}

Test(detector, two_others_are_two_witnesses) {
    begin(4);
    is_suspected[3] = true;
    tell(1, HEARTBEATS_BY_TAG, 1);
    tell(2, HEARTBEATS_BY_TAG, 1);
    pass(400, 1, 2);
    cr_assert_eq(state(3), MEMBER_DOWN);
}

Test(detector, a_suspicion_of_an_older_heartbeat_counts_for_nothing) {
    begin(4);
    heartbeats[3] = 20;
    tell(4, HEARTBEATS_BY_TAG, 1);
    cr_assert_eq(membership_member(node, 3)->heartbeat, 20);
    heartbeats[3] = 19;
    is_suspected[3] = true;
    pass(800, 1, 2);
    cr_assert_eq(state(3), MEMBER_UP);
}

Test(detector, who_is_silent_itself_is_not_waited_for) {
    begin(2);
    pass(4000, 1, 0);
    cr_assert_eq(state(1), MEMBER_DOWN);
    cr_assert_eq(state(2), MEMBER_DOWN);
    cr_assert_eq(membership_live_count(node), 1);
}

/* ---- Heartbeats ---- */

Test(detector, only_a_heartbeat_well_above_brings_hearsay_of_the_dead_back) {
    begin(3);
    heartbeats[3] = 100;
    pass(400, 1, 2);
    pass(1000, 1, 2);
    is_suspected[3] = true;
    pass(1000, 1, 2);
    cr_assert_eq(state(3), MEMBER_DOWN);
    /* One that has not noticed brings the last beat before the end. */
    is_suspected[3] = false;
    heartbeats[3] = 101;
    tell(1, HEARTBEATS_BY_TAG, 1);
    cr_assert_eq(state(3), MEMBER_DOWN);
    cr_assert_eq(membership_member(node, 3)->heartbeat, 101);
    heartbeats[3] = 101 + REFUTATION_STEP;
    tell(1, HEARTBEATS_BY_TAG, 1);
    cr_assert_eq(state(3), MEMBER_UP);
}

Test(detector, a_member_that_speaks_itself_is_up_at_once) {
    begin(3);
    is_suspected[3] = true;
    pass(3000, 1, 2);
    cr_assert_eq(state(3), MEMBER_DOWN);
    is_suspected[3] = false;
    tell(3, HEARTBEATS_BY_TAG, 1);
    cr_assert_eq(state(3), MEMBER_UP);
}

Test(detector, a_node_that_hears_of_its_own_suspicion_leaps_ahead) {
    begin(3);
    pass(1000, 1, 3);
    uint64_t before = membership_member(node, 0)->heartbeat;
    heartbeats[0] = before;
    is_suspected[0] = true;
    tell(1, HEARTBEATS_BY_TAG, 1);
    now_ms += TICK_MS;
    membership_tick(node, now_ms);
    uint64_t after = membership_member(node, 0)->heartbeat;
    cr_assert_geq(after, before + REFUTATION_STEP);
    /* It tells all members. */
    uint32_t told = 0;
    uint16_t index;
    struct buffer message;
    buffer_init(&message, &mem);
    while (membership_next_message(node, &index, &message))
        told |= 1u << index;
    cr_assert_eq(told, 14);
    buffer_release(&message);
    /* But not for each word. */
    for (uint32_t i = 0; i < 10; i++) {
        tell(1, HEARTBEATS_BY_TAG, 1);
        membership_tick(node, now_ms);
    }
    cr_assert_eq(membership_member(node, 0)->heartbeat, after);
}

Test(detector, heartbeats_by_position_count_for_the_same_roster_only) {
    begin(3);
    heartbeats[2] = 50;
    tell(1, HEARTBEATS_BY_POSITION, node->roster_digest + 1);
    cr_assert_eq(membership_member(node, 2)->heartbeat, 1);
    tell(1, HEARTBEATS_BY_POSITION, node->roster_digest);
    cr_assert_eq(membership_member(node, 2)->heartbeat, 50);
}

Test(detector, the_digest_of_the_roster_follows_its_members) {
    begin(3);
    uint64_t three = node->roster_digest, digest = node->digest;
    uint8_t id[NODE_ID_SIZE];
    membership_set_settled(node, true);
    cr_assert_eq(node->roster_digest, three);
    cr_assert_neq(node->digest, digest);
    memset(id, 0x12, NODE_ID_SIZE);
    cr_assert(membership_forget(node, id));
    uint64_t two = node->roster_digest;
    cr_assert_neq(two, three);
    membership_set_incarnation(node, 2);
    cr_assert_neq(node->roster_digest, two);
}

Test(detector, the_lowest_bits_of_a_heartbeat_are_enough) {
    static const uint64_t known[] = {0, 5, GOSSIP_HEARTBEAT_MASK - 3, (uint64_t)GOSSIP_HEARTBEAT_MASK + 1,
                                     123456789012};
    static const int64_t steps[] = {0, 1, -1, 1000, -1000, 4000000, -4000000};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        for (size_t j = 0; j < sizeof steps / sizeof *steps; j++) {
            int64_t expected = (int64_t)known[i] + steps[j];
            if (expected >= 0)
                cr_assert_eq(gossip_extend_heartbeat((uint32_t)expected & GOSSIP_HEARTBEAT_MASK, known[i]),
                             expected, "%ld", (long)expected);
        }
}

/* ---- Time ---- */

Test(detector, a_node_that_stood_still_suspects_nobody_for_it) {
    begin(3);
    pass(1000, 1, 3);
    now_ms += 30000;
    membership_tick(node, now_ms);
    pass(600, 1, 0);
    for (uint16_t i = 1; i <= 3; i++)
        cr_assert_eq(state(i), MEMBER_UP);
    pass(3000, 1, 0);
    for (uint16_t i = 1; i <= 3; i++)
        cr_assert_eq(state(i), MEMBER_DOWN);
}

Test(detector, a_clock_that_goes_back_does_no_harm) {
    begin(3);
    pass(1000, 1, 3);
    membership_tick(node, now_ms - 900);
    membership_tick(node, 0);
    pass(1000, 1, 3);
    for (uint16_t i = 1; i <= 3; i++)
        cr_assert_eq(state(i), MEMBER_UP);
}

Test(detector, a_broken_connection_is_suspicious_and_a_new_one_is_not) {
    begin(3);
    membership_note_broken(node, 2, now_ms);
    cr_assert_eq(state(2), MEMBER_SUSPECT);
    struct membership *other = make(0x12);
    struct buffer introduction;
    uint16_t index;
    buffer_init(&introduction, &mem);
    cr_assert(membership_write_introduction(other, &introduction));
    cr_assert_eq(membership_introduce(node, introduction.data, introduction.size, now_ms, &index),
                 INTRODUCTION_WELCOME);
    cr_assert_eq(state(2), MEMBER_UP);
    membership_note_broken(node, 0, now_ms);
    membership_note_broken(node, 99, now_ms);
    cr_assert_eq(state(0), MEMBER_UP);
    buffer_release(&introduction);
    membership_free(other);
}

Test(detector, who_is_suspected_is_asked_at_once) {
    begin(3);
    struct buffer message;
    uint16_t index = RING_NOBODY;
    buffer_init(&message, &mem);
    membership_note_broken(node, 3, now_ms);
    cr_assert(membership_next_message(node, &index, &message));
    cr_assert_eq(index, 3);
    struct gossip_message parsed;
    cr_assert(gossip_parse(message.data, message.size, &parsed));
    /* The last of its heartbeats is that of the member itself: it reads there that it is suspected. */
    cr_assert_eq(parsed.header.heartbeats, HEARTBEATS_BY_TAG);
    cr_assert_eq(parsed.heartbeats.count, 4);
    cursor_bytes(&parsed.heartbeats.cursor, 3 * GOSSIP_TAG_SIZE + 5);
    cr_assert(gossip_read_u24(&parsed.heartbeats.cursor) & GOSSIP_SUSPECT_BIT);
    buffer_release(&message);
}
