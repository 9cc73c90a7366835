/* quorum_test.c - writes are acknowledged when W copies have them, refused when they cannot, and nothing else waits for that.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/crc16.h"
#include "node/ring_faults.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Time goes by until node `at` has no link with the others. */
static void wait_for_broken_links(struct ring_stage *stage, unsigned at, unsigned other) {
    for (unsigned waited_ms = 0; waited_ms < 5000; waited_ms += 10) {
        const struct peer *peer = cluster_peer(stage->nodes[at].node->cluster, ring_member(stage, at, other));
        if (!peer_is_linked(peer))
            return;
        ring_wait(stage, 10);
    }
    cr_assert_fail("the link is still there");
}

/* ---- Acknowledgements ---- */

Test(quorum, a_write_is_acknowledged_when_another_copy_has_it_and_not_before) {
    struct ring_stage *stage = ring_stage_begin(3, "write-quorum 2\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_hold_from(stage, 0, true);
    ring_say_format(client, "SET %s v", key.text);
    ring_turn(stage);
    cr_assert_str_eq(ring_hear_now(client), "");
    cr_assert_eq(ring_copy_size(stage, 0, key.text), 1, "it is executed all the same");
    ring_hold(stage, 0, 2, false);
    ring_turn(stage);
    cr_assert_str_eq(ring_hear_now(client), "+OK\r\n", "an acknowledgement was held back");
    cr_assert_eq(ring_copy_size(stage, 2, key.text), 1);
    cr_assert_eq(ring_copy_size(stage, 1, key.text), -1);
    cr_assert_eq(ring_quorum_facts(stage, 0).waits, 1);
    ring_hold_from(stage, 0, false);
    ring_stage_end(stage);
}

Test(quorum, all_copies_are_waited_for_where_all_are_wanted) {
    struct ring_stage *stage = ring_stage_begin(3, "consistency fast-read\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_hold(stage, 0, 1, true);
    ring_say_format(client, "SET %s v", key.text);
    ring_turn(stage);
    cr_assert_eq(ring_copy_size(stage, 2, key.text), 1);
    cr_assert_str_eq(ring_hear_now(client), "");
    ring_hold(stage, 0, 1, false);
    ring_turn(stage);
    cr_assert_str_eq(ring_hear_now(client), "+OK\r\n");
    cr_assert_eq(ring_copy_size(stage, 1, key.text), 1);
    ring_stage_end(stage);
}

Test(quorum, a_write_that_too_few_acknowledge_in_time_says_how_many_did) {
    struct ring_stage *stage = ring_stage_begin(3, "write-quorum 3\nquorum-timeout 80\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_hold(stage, 0, 1, true);
    uint64_t said_ns = stage->now_ns;
    ring_say_format(client, "SET %s v", key.text);
    EXPECT_HEARD(client, "-INDETERMINATE 2 of 3 copies have acknowledged the write\r\n");
    cr_assert_geq(stage->now_ns - said_ns, UINT64_C(80000000));
    cr_assert_leq(stage->now_ns - said_ns, UINT64_C(120000000));
    ring_hold(stage, 0, 2, true);
    ring_say_format(client, "INCRBY %s-x 5", key.text);
    ring_say_format(client, "SET %s w", key.text);
    ring_hear(client);
    EXPECT_HEARD(client, "-INDETERMINATE 1 of 3 copies have acknowledged the write\r\n");
    cr_assert_geq(ring_quorum_facts(stage, 0).timeouts, 2);
    ring_hold_from(stage, 0, false);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(quorum, a_link_that_breaks_is_made_up_for_by_another_copy_or_by_the_comparison_after_it) {
    struct ring_stage *stage = ring_stage_begin(3, "write-quorum 2\nquorum-timeout 20000\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_hold_from(stage, 0, true);
    ring_say_format(client, "SET %s v", key.text);
    ring_turn(stage);
    ring_cut(stage, 0, 1, false);
    ring_turn(stage);
    cr_assert_str_eq(ring_hear_now(client), "");
    ring_hold(stage, 0, 2, false);
    EXPECT_HEARD(client, "+OK\r\n");
    ring_hold_from(stage, 0, true);
    ring_say_format(client, "SET %s w", key.text);
    ring_turn(stage);
    ring_cut(stage, 0, 1, false);
    ring_cut(stage, 0, 2, false);
    ring_hold_from(stage, 0, false);
    EXPECT_HEARD(client, "+OK\r\n");
    cr_assert(ring_copy_size(stage, 1, key.text) == 1 || ring_copy_size(stage, 2, key.text) == 1);
    ring_stage_end(stage);
}

Test(quorum, what_changes_nothing_waits_for_nobody) {
    struct ring_stage *stage = ring_stage_begin(3, "write-quorum 2\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0), absent = ring_key_of(stage, 0, 0, 1);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    ring_hold_from(stage, 0, true);
    ring_say_format(client, "SET %s w NX", key.text);
    ring_say_format(client, "DEL %s", absent.text);
    ring_say_format(client, "INCR %s", key.text);
    ring_say_format(client, "GET %s", key.text);
    ring_turn(stage);
    cr_assert_str_eq(ring_hear_now(client), "$-1\r\n");
    cr_assert_str_eq(ring_hear_now(client), ":0\r\n");
    cr_assert_str_eq(ring_hear_now(client), "-ERR value is not an integer or out of range\r\n");
    cr_assert_str_eq(ring_hear_now(client), "$1\r\nv\r\n");
    ring_hold_from(stage, 0, false);
    ring_stage_end(stage);
}

Test(quorum, commands_of_a_pipeline_are_executed_at_once_and_answered_in_their_order) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *other = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0), elsewhere = ring_key_of(stage, 0, 1, 0);
    EXPECT_ASKED(client, "KV.QUORUM 1 2", "+OK\r\n");
    ring_hold_from(stage, 0, true);
    ring_say_format(client, "SET %s 1", key.text);
    ring_say_format(client, "GET %s", key.text);
    ring_say_format(client, "SET %s e", elsewhere.text);
    ring_say_format(client, "INCR %s", key.text);
    ring_say(client, "PING");
    ring_turn(stage);
    cr_assert_str_eq(ring_hear_now(client), "");
    cr_assert_str_eq(ring_ask_format(other, "GET %s", key.text), "$1\r\n2\r\n", "no other client is held");
    ring_hold_from(stage, 0, false);
    ring_turn(stage);
    cr_assert_str_eq(ring_hear_now(client), "+OK\r\n");
    cr_assert_str_eq(ring_hear_now(client), "$1\r\n1\r\n");
    cr_assert_str_eq(ring_hear_now(client), "+OK\r\n");
    cr_assert_str_eq(ring_hear_now(client), ":2\r\n");
    cr_assert_str_eq(ring_hear_now(client), "+PONG\r\n");
    ring_stage_end(stage);
}

Test(quorum, many_writes_of_one_turn_wait_together) {
    struct ring_stage *stage = ring_stage_begin(3, "write-quorum 2\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    const struct peer *peer = cluster_peer(stage->nodes[0].node->cluster, ring_member(stage, 0, 1));
    uint64_t marks = peer->marks;
    for (unsigned i = 0; i < 50; i++)
        ring_say_format(client, "INCR %s", key.text);
    for (unsigned i = 0; i < 50; i++) {
        char expected[16];
        snprintf(expected, sizeof expected, ":%u\r\n", i + 1);
        EXPECT_HEARD(client, expected);
    }
    cr_assert_eq(ring_quorum_facts(stage, 0).waits, 50);
    cr_assert_leq(peer->marks - marks, 2);
    ring_stage_end(stage);
}

Test(quorum, a_reply_that_is_long_waits_whole) {
    struct ring_stage *stage = ring_stage_begin(3, "write-quorum 2\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    char value[5001], expected[5020];
    memset(value, 'v', 5000);
    value[5000] = '\0';
    snprintf(expected, sizeof expected, "$5000\r\n%s\r\n", value);
    const void *words[] = {"SET", key.text, value};
    ring_say_words(client, 3, words, (const size_t[]){3, strlen(key.text), 5000});
    EXPECT_HEARD(client, "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GETSET %s w", key.text), expected);
    ring_stage_end(stage);
}

Test(quorum, a_part_of_a_long_value_counts_like_all_of_it) {
    struct ring_stage *stage = ring_stage_begin(3, "write-quorum 3\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_settle(stage);
    cr_assert_str_eq(ring_ask_format(client, "SETRANGE %s 100000 x", key.text), ":100001\r\n");
    cr_assert_str_eq(ring_ask_format(client, "APPEND %s yz", key.text), ":100003\r\n");
    cr_assert_eq(ring_copy_size(stage, 1, key.text), 100003);
    cr_assert_eq(ring_copy_size(stage, 2, key.text), 100003);
    ring_stage_end(stage);
}

/* ---- Refused ---- */

Test(quorum, a_write_that_cannot_reach_enough_copies_is_refused_and_leaves_nothing_behind) {
    struct ring_stage *stage = ring_stage_begin(3, "write-quorum 2\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_kill(stage, 1);
    ring_kill(stage, 2);
    wait_for_broken_links(stage, 0, 1);
    wait_for_broken_links(stage, 0, 2);
    cr_assert_str_eq(
        ring_ask_format(client, "SET %s v", key.text),
        "-NOQUORUM 1 of the 2 copies that a write needs can be reached; it was not executed\r\n");
    EXPECT_BEGIN(ring_ask_format(client, "DEL %s", key.text), "-NOQUORUM ");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$-1\r\n");
    cr_assert_eq(ring_copy_size(stage, 0, key.text), -1);
    cr_assert_eq(ring_quorum_facts(stage, 0).refused, 2);
    EXPECT_ASKED(client, "KV.QUORUM 1 1", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    ring_stage_end(stage);
}

Test(quorum, a_write_that_may_have_been_executed_elsewhere_is_not_said_to_be_refused) {
    struct ring_stage *stage = ring_stage_begin(2, "write-quorum 2\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key one = ring_key_of(stage, 0, 1, 0), other = ring_key_of(stage, 0, 1, 1);
    ring_wait(stage, 200);
    ring_hold(stage, 1, 0, true); /* it executes what it is sent, and nobody hears of it */
    ring_say_format(client, "SET %s v", one.text);
    ring_say_format(client, "MSET %s v %s v", one.text, other.text);
    for (unsigned i = 0; i < 2; i++)
        EXPECT_BEGIN(ring_hear(client), "-INDETERMINATE ");
    cr_assert_eq(ring_copy_size(stage, 1, one.text), 1);
    cr_assert_eq(ring_copy_size(stage, 1, other.text), 1);
    cr_assert_eq(ring_quorum_facts(stage, 0).refused, 2);
    /* What was sent nowhere before is refused as ever. */
    EXPECT_BEGIN(ring_ask_format(client, "SET %s v", one.text), "-NOQUORUM 1 of the 2 ");
    ring_hold(stage, 1, 0, false);
    ring_settle(stage);
    ring_stage_end(stage);
}

/* The first attempt may have been executed: that the second one was refused says nothing of it. */
Test(quorum, a_write_that_may_have_run_at_a_lost_node_is_not_told_that_it_was_not_executed) {
    struct ring_stage *stage = ring_stage_begin(3, "write-quorum 3\n");
    struct ring_client *client = ring_connect(stage, 0);
    ring_hold(stage, 1, 0, true);
    for (unsigned i = 0; i < 8; i++) {
        struct ring_key key =
            ring_key_of(stage, 0, 1, i); /* the next one is this node for some, and node 2 for others */
        ring_say_format(client, "SET %s v", key.text);
    }
    ring_turn(stage);
    ring_kill(stage, 1);
    ring_hold(stage, 1, 0, false);
    for (unsigned i = 0; i < 8; i++)
        EXPECT_BEGIN(ring_hear(client), "-INDETERMINATE ");
    EXPECT_BEGIN(ring_ask_format(client, "SET %s w", ring_key_of(stage, 0, 0, 0).text), "-NOQUORUM ");
    ring_stage_end(stage);
}

Test(quorum, a_node_that_is_alone_has_no_second_copy) {
    struct ring_stage *stage = ring_stage_new(1, "write-quorum 2\n");
    ring_start_alone(stage, 0);
    ring_wait(stage, 500);
    struct ring_client *client = ring_connect(stage, 0);
    EXPECT_BEGIN(ring_ask(client, "SET a v"), "-NOQUORUM 1 of the 2 ");
    EXPECT_ASKED(client, "GET a", "$-1\r\n");
    EXPECT_BEGIN(ring_ask(client, "MSET a 1 b 2"), "-NOQUORUM ");
    EXPECT_ASKED(client, "DBSIZE", ":0\r\n");
    EXPECT_ASKED(client, "CONFIG SET write-quorum 1", "+OK\r\n");
    ring_wait(stage, 200);
    EXPECT_ASKED(client, "SET a v", "+OK\r\n");
    EXPECT_ASKED(client, "KV.QUORUM 2 2", "+OK\r\n");
    ring_wait(stage, 200);
    EXPECT_BEGIN(ring_ask(client, "SET a w"), "-NOQUORUM ");
    EXPECT_BEGIN(ring_ask(client, "GET a"), "-NOQUORUM 1 of the 2 copies that a read needs can be reached");
    ring_stage_end(stage);
}

Test(quorum, a_stand_in_counts_only_where_the_quorum_is_sloppy) {
    struct ring_stage *stage = ring_stage_begin(5, "write-quorum 3\n");
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    struct ring_client *client = ring_connect(stage, 0);
    unsigned down = 0;
    cr_assert_str_eq(ring_ask_format(client, "SET %s first", key.text), "+OK\r\n");
    for (unsigned i = 1; i < 5 && down == 0; i++)
        if (ring_copy_size(stage, i, key.text) == 5)
            down = i;
    ring_kill(stage, down);
    wait_for_broken_links(stage, 0, down);
    ring_wait(stage, 500);
    EXPECT_ASKED(client, "CONFIG SET sloppy-quorum no", "+OK\r\n");
    ring_wait(stage, 200);
    EXPECT_BEGIN(ring_ask_format(client, "SET %s second", key.text), "-NOQUORUM 2 of the 3 ");
    EXPECT_ASKED(client, "CONFIG SET sloppy-quorum yes", "+OK\r\n");
    ring_wait(stage, 200);
    cr_assert_str_eq(ring_ask_format(client, "SET %s third", key.text), "+OK\r\n");
    unsigned copies = 0;
    for (unsigned i = 0; i < 5; i++)
        copies += i != down && ring_copy_size(stage, i, key.text) == 5;
    cr_assert_eq(copies, 3);
    ring_stage_end(stage);
}

Test(quorum, the_smaller_half_refuses_writes_where_the_majority_is_asked_for) {
    struct ring_stage *stage = ring_stage_begin(3, "partition-mode majority\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    ring_kill(stage, 1);
    ring_wait(stage, 6000);
    cr_assert_str_eq(ring_ask_format(client, "SET %s w", key.text), "+OK\r\n", "two of three go on");
    ring_kill(stage, 2);
    ring_wait(stage, 6000);
    EXPECT_BEGIN(ring_ask_format(client, "SET %s x", key.text), "-NOQUORUM this node sees 1 of 3 nodes");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$1\r\nw\r\n");
    ring_say(client, "MULTI");
    ring_say_format(client, "SET %s y", key.text);
    ring_say(client, "EXEC");
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, "+QUEUED\r\n");
    EXPECT_BEGIN(ring_hear(client), "-NOQUORUM ");
    EXPECT_ASKED(client, "CONFIG SET partition-mode available", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "SET %s z", key.text), "+OK\r\n");
    ring_stage_end(stage);
}

/* ---- Connections ---- */

Test(quorum, a_connection_says_what_it_wants_and_the_node_that_executes_goes_by_it) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 1), *plain = ring_connect(stage, 1);
    struct ring_key key = ring_key_of(stage, 1, 0, 0);
    EXPECT_ASKED(client, "KV.QUORUM", "*2\r\n:1\r\n:1\r\n");
    EXPECT_ASKED(client, "KV.QUORUM 0 3", "+OK\r\n");
    EXPECT_ASKED(client, "KV.QUORUM", "*2\r\n:1\r\n:3\r\n");
    ring_hold(stage, 0, 2, true);
    ring_say_format(client, "SET %s v", key.text);
    ring_turn(stage);
    cr_assert_str_eq(ring_hear_now(client), "");
    cr_assert_eq(ring_copy_size(stage, 1, key.text), 1);
    cr_assert_str_eq(ring_ask_format(plain, "SET %s w", key.text), "+OK\r\n");
    ring_hold(stage, 0, 2, false);
    EXPECT_HEARD(client, "+OK\r\n");
    cr_assert_eq(ring_quorum_facts(stage, 0).waits, 1);
    EXPECT_ASKED(client, "KV.QUORUM 0 0", "+OK\r\n");
    cr_assert_eq(client->session->flags & SESSION_QUORUM, 0);
    EXPECT_ASKED(client, "KV.QUORUM 2 2", "+OK\r\n");
    EXPECT_ASKED(client, "RESET", "+RESET\r\n");
    EXPECT_ASKED(client, "KV.QUORUM", "*2\r\n:1\r\n:1\r\n");
    ring_stage_end(stage);
}

Test(quorum, numbers_that_are_none_or_above_the_copies_are_refused) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    EXPECT_ASKED(client, "KV.QUORUM 4 1",
                 "-ERR a quorum must be between 0 and 3, the replication-factor\r\n");
    EXPECT_ASKED(client, "KV.QUORUM 1 -1",
                 "-ERR a quorum must be between 0 and 3, the replication-factor\r\n");
    EXPECT_ASKED(client, "KV.QUORUM 1 x", "-ERR value is not an integer or out of range\r\n");
    EXPECT_ASKED(client, "KV.QUORUM 1", "-ERR syntax error\r\n");
    EXPECT_ASKED(client, "KV.QUORUM", "*2\r\n:1\r\n:1\r\n");
    EXPECT_ASKED(client, "MULTI", "+OK\r\n");
    EXPECT_BEGIN(ring_ask(client, "KV.QUORUM 1 1"), "-ERR ");
    EXPECT_ASKED(client, "DISCARD", "+OK\r\n");
    EXPECT_BEGIN(ring_ask(client, "CONFIG SET write-quorum 4"), "-ERR CONFIG SET failed");
    ring_stage_end(stage);
}

Test(quorum, a_client_that_leaves_while_it_waits_leaves_nothing_behind) {
    struct ring_stage *stage = ring_stage_begin(3, "write-quorum 2\n");
    struct ring_client *client = ring_connect(stage, 0), *elsewhere = ring_connect(stage, 1);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_hold_from(stage, 0, true);
    ring_say_format(client, "SET %s v", key.text);
    ring_say_format(elsewhere, "SET %s w", key.text);
    ring_turn(stage);
    ring_disconnect(client);
    ring_cut(stage, 1, 0, false);
    ring_turn(stage);
    ring_hold_from(stage, 0, false);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(quorum, what_waits_when_its_node_ends_is_forgotten) {
    struct ring_stage *stage = ring_stage_begin(3, "consistency quorum\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_hold_from(stage, 0, true);
    ring_say_format(client, "SET %s v", key.text);
    ring_say_format(client, "INCR %s-x", key.text);
    ring_say_format(client, "GET %s", key.text);
    ring_turn(stage);
    ring_stage_end(stage); /* it demands that all memory is back */
}

Test(quorum, a_node_that_waits_for_its_copies_is_not_taken_for_silent_by_the_one_that_has_asked_it) {
    struct ring_stage *stage = ring_stage_begin(5, "quorum-timeout 3000\n");
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    struct ring_client *client = NULL;
    uint16_t holders[RING_COPIES_MAX];
    const struct cluster *cluster = stage->nodes[0].node->cluster;
    uint32_t slot = crc16_key_slot((const uint8_t *)key.text, (uint32_t)strlen(key.text));
    unsigned entry = 0, count = cluster_holders(cluster, slot, holders);
    for (unsigned i = 1; i < 5; i++) {
        bool is_holder = false;
        for (unsigned k = 0; k < count; k++)
            is_holder = is_holder || holders[k] == ring_member(stage, 0, i);
        ring_hold(stage, 0, i, is_holder);
        entry = is_holder ? entry : i;
    }
    client = ring_connect(stage, entry);
    EXPECT_ASKED(client, "KV.QUORUM 1 2", "+OK\r\n");
    ring_say_format(client, "INCR %s", key.text);
    ring_wait(stage, 600);
    cr_assert_str_eq(ring_hear_now(client), "");
    cr_assert_eq(stage->nodes[entry].node->cluster->failover.passes, 0);
    ring_hold_from(stage, 0, false);
    EXPECT_HEARD(client, ":1\r\n");
    ring_stage_end(stage);
}

/* ---- Several keys ---- */

Test(quorum, a_transaction_waits_once_wherever_it_is_executed) {
    struct ring_stage *stage = ring_stage_begin(3, "write-quorum 3\n");
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned coordinator = 0; coordinator < 2; coordinator++) {
        struct ring_key key = ring_key_of(stage, 0, coordinator, 0);
        uint64_t waits = ring_quorum_facts(stage, coordinator).waits;
        ring_hold(stage, coordinator, 2, true);
        ring_say(client, "MULTI");
        ring_say_format(client, "SET %s 1", key.text);
        ring_say_format(client, "INCR %s", key.text);
        ring_say(client, "EXEC");
        ring_turn(stage);
        cr_assert_str_eq(ring_hear_now(client), "+OK\r\n");
        cr_assert_str_eq(ring_hear_now(client), "+QUEUED\r\n");
        cr_assert_str_eq(ring_hear_now(client), "+QUEUED\r\n");
        cr_assert_str_eq(ring_hear_now(client), "");
        ring_hold(stage, coordinator, 2, false);
        EXPECT_HEARD(client, "*2\r\n+OK\r\n:2\r\n");
        cr_assert_eq(ring_quorum_facts(stage, coordinator).waits, waits + 1);
        cr_assert_eq(ring_copy_size(stage, 2, key.text), 1);
    }
    ring_stage_end(stage);
}

Test(quorum, a_transaction_of_what_was_watched_runs_only_if_nothing_has_changed) {
    struct ring_stage *stage = ring_stage_begin(3, "consistency quorum\n");
    struct ring_client *client = ring_connect(stage, 0), *other = ring_connect(stage, 1);
    for (unsigned coordinator = 0; coordinator < 2; coordinator++) {
        struct ring_key key = ring_key_of(stage, 0, coordinator, 0);
        for (unsigned is_changed = 0; is_changed < 2; is_changed++) {
            cr_assert_str_eq(ring_ask_format(client, "WATCH %s", key.text), "+OK\r\n");
            if (is_changed)
                cr_assert_str_eq(ring_ask_format(other, "SET %s theirs", key.text), "+OK\r\n");
            EXPECT_ASKED(client, "MULTI", "+OK\r\n");
            cr_assert_str_eq(ring_ask_format(client, "SET %s ours", key.text), "+QUEUED\r\n");
            cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "+QUEUED\r\n");
            EXPECT_ASKED(client, "EXEC", is_changed ? "*-1\r\n" : "*2\r\n+OK\r\n$4\r\nours\r\n");
        }
    }
    ring_stage_end(stage);
}

Test(quorum, keys_of_several_nodes_are_waited_for_by_each) {
    struct ring_stage *stage = ring_stage_begin(3, "write-quorum 2\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key a = ring_key_of(stage, 0, 0, 0), b = ring_key_of(stage, 0, 1, 0),
                    c = ring_key_of(stage, 0, 2, 0);
    ring_say_format(client, "MSET %s 1 %s 2 %s 3", a.text, b.text, c.text);
    EXPECT_HEARD(client, "+OK\r\n");
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(ring_quorum_facts(stage, i).waits, 1);
    ring_hold_from(stage, 0, true);
    ring_say_format(client, "DEL %s %s", a.text, ring_key_of(stage, 0, 0, 1).text);
    ring_turn(stage);
    cr_assert_str_eq(ring_hear_now(client), "");
    ring_hold_from(stage, 0, false);
    EXPECT_HEARD(client, ":1\r\n");
    ring_say_format(client, "DEL %s %s %s", a.text, b.text, c.text);
    EXPECT_HEARD(client, ":2\r\n");
    ring_stage_end(stage);
}

Test(quorum,
     where_a_part_of_a_command_has_too_few_copies_and_another_is_executed_nobody_says_that_nothing_was) {
    struct ring_stage *stage =
        ring_stage_begin(5, "replication-factor 2\nwrite-quorum 2\nsloppy-quorum no\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key poor = {{0}}, rich = {{0}};
    const struct cluster *cluster = stage->nodes[0].node->cluster;
    uint16_t killed = ring_member(stage, 0, 1);
    for (unsigned i = 0; rich.text[0] == 0; i++) {
        struct ring_key key;
        uint16_t holders[RING_COPIES_MAX];
        snprintf(key.text, sizeof key.text, "k:%u", i);
        cr_assert_eq(cluster_holders(cluster, crc16_key_slot(key.text, (uint32_t)strlen(key.text)), holders),
                     2u);
        if (poor.text[0] == 0 && holders[0] != killed && holders[1] == killed)
            poor = key;
        else if (poor.text[0] != 0 && holders[0] != killed && holders[1] != killed &&
                 ring_coordinator(stage, 0, key.text) != ring_coordinator(stage, 0, poor.text))
            rich = key;
    }
    ring_kill(stage, 1);
    wait_for_broken_links(stage, ring_coordinator(stage, 0, poor.text), 1);
    EXPECT_BEGIN(ring_ask_format(client, "SET %s v", poor.text), "-NOQUORUM 1 of the 2 ");
    EXPECT_BEGIN(ring_ask_format(client, "MSET %s v %s v", poor.text, rich.text),
                 "-INDETERMINATE a part of it was executed, of another one is said: NOQUORUM 1 of the 2 ");
    cr_assert_str_eq(ring_ask_format(client, "EXISTS %s %s", poor.text, rich.text), ":1\r\n");
    ring_stage_end(stage);
}

/* ---- Newcomers ---- */

/* Nodes 0, 1 and 4 have no path to 2 and 3. */
static void divide(struct ring_stage *stage, bool is_divided) {
    static const unsigned halves[2][3] = {{0, 1, 4}, {2, 3, 3}};
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < 2; j++)
            ring_part(stage, halves[0][i], halves[1][j], is_divided);
}

/* Four nodes are divided, and a fifth comes to two of them. */
static struct ring_stage *begin_divided(const char *settings) {
    struct ring_stage *stage = ring_stage_new(5, settings);
    for (unsigned i = 0; i < 4; i++)
        ring_start(stage, i);
    ring_settle(stage);
    divide(stage, true);
    for (unsigned i = 2; i < 4; i++) {
        ring_expect_down(stage, 0, i);
        ring_expect_down(stage, i, 0);
    }
    ring_start(stage, 4);
    ring_wait(stage, 5000);
    cr_assert_neq(ring_member(stage, 0, 4), RING_NOBODY);
    return stage;
}

Test(quorum, a_newcomer_that_one_half_knows_makes_no_second_quorum) {
    struct ring_stage *stage = begin_divided("read-quorum 2\nwrite-quorum 2\nsloppy-quorum no\n");
    struct ring_client *here = ring_connect(stage, 0), *there = ring_connect(stage, 2);
    unsigned done[2] = {0, 0};
    for (unsigned i = 0; i < 100; i++) {
        bool is_done[2] = {strcmp(ring_ask_format(here, "SET key:%u here", i), "+OK\r\n") == 0,
                           strcmp(ring_ask_format(there, "SET key:%u there", i), "+OK\r\n") == 0};
        cr_assert(!is_done[0] || !is_done[1], "key:%u is written in both halves", i);
        done[0] += is_done[0];
        done[1] += is_done[1];
    }
    cr_assert(done[0] > 0 && done[1] > 0, "%u %u", done[0], done[1]);
    cr_assert_not(stage->nodes[4].node->cluster->is_settled);
    divide(stage, false);
    ring_settle(stage);
    cr_assert(stage->nodes[4].node->cluster->is_settled);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_str_eq(ring_ask_format(here, "SET key:%u again", i), "+OK\r\n");
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(quorum, a_newcomer_is_not_waited_for_by_who_asks_for_fewer_copies) {
    static const char *const settings[] = {"read-quorum 2\nwrite-quorum 2\n", "sloppy-quorum no\n"};
    for (unsigned i = 0; i < 2; i++) {
        struct ring_stage *stage = begin_divided(settings[i]);
        cr_assert(stage->nodes[4].node->cluster->is_settled);
        ring_stage_end(stage);
    }
}

Test(quorum, a_newcomer_takes_its_place_though_one_node_is_dead) {
    struct ring_stage *stage = ring_stage_new(5, "read-quorum 2\nwrite-quorum 2\nsloppy-quorum no\n");
    for (unsigned i = 0; i < 4; i++)
        ring_start(stage, i);
    ring_settle(stage);
    ring_kill(stage, 3);
    ring_expect_down(stage, 0, 3);
    ring_start(stage, 4);
    ring_wait(stage, 5000);
    cr_assert(stage->nodes[4].node->cluster->is_settled);
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_str_eq(ring_ask_format(client, "SET key:%u v", i), "+OK\r\n");
    ring_stage_end(stage);
}

Test(quorum, an_emptied_cluster_is_waited_for_on_both_ports) {
    struct ring_stage *stage = ring_stage_begin(3, "write-quorum 3\n");
    struct ring_client *client = ring_connect(stage, 0), *clustered = ring_connect_to_cluster_port(stage, 0);
    for (unsigned i = 0; i < 2; i++) {
        struct ring_key key = ring_key_of(stage, 0, 0, 0);
        struct ring_client *asking = i == 0 ? client : clustered;
        cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
        ring_hold(stage, 0, 2, true);
        ring_say(asking, "FLUSHALL");
        ring_turn(stage);
        cr_assert_str_eq(ring_hear_now(asking), "");
        cr_assert_eq(ring_copy_size(stage, 1, key.text), -1);
        cr_assert_eq(ring_copy_size(stage, 2, key.text), 1);
        ring_hold(stage, 0, 2, false);
        EXPECT_HEARD(asking, "+OK\r\n");
        cr_assert_eq(ring_copy_size(stage, 2, key.text), -1);
    }
    ring_stage_end(stage);
}

/* ---- Figures and memory ---- */

Test(quorum, info_says_what_the_numbers_promise) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    const char *info = ring_ask(client, "INFO cluster");
    cr_assert_not_null(
        strstr(info, "\r\nquorum_copies:3\r\nquorum_read:1\r\nquorum_write:1\r\nquorum_overlaps:no\r\n"));
    EXPECT_ASKED(client, "CONFIG SET consistency quorum", "+OK\r\n");
    info = ring_ask(client, "INFO cluster");
    cr_assert_not_null(
        strstr(info, "\r\nquorum_copies:3\r\nquorum_read:2\r\nquorum_write:2\r\nquorum_overlaps:yes\r\n"));
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", ring_key_of(stage, 0, 0, 0).text), "+OK\r\n");
    info = ring_ask(client, "INFO cluster");
    cr_assert_not_null(strstr(info, "\r\nquorum_waits:1\r\nquorum_timeouts:0\r\n"));
    cr_assert_not_null(strstr(info, "\r\nnoquorum:0\r\nread_repairs:0\r\n"));
    ring_stage_end(stage);
}

Test(quorum, memory_that_ends_at_any_point_is_an_error_and_never_a_false_word) {
    struct ring_stage *stage = ring_stage_begin(3, "write-quorum 2\nquorum-timeout 300\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    cr_assert_str_eq(ring_ask_format(client, "SET %s 0", key.text), "+OK\r\n");
    struct mem *mem = &stage->nodes[0].mem;
    bool is_good = false;
    for (unsigned fuse = 1; fuse < 60; fuse++) {
        int64_t before = ring_copy_size(stage, 0, key.text);
        ring_say_format(client, "APPEND %s x", key.text);
        mem->fuse = fuse;
        ring_turn(stage);
        mem->fuse = 0;
        if (client->session == NULL)
            client = ring_connect(stage, 0);
        else {
            const char *answer = ring_hear(client);
            int64_t after = ring_copy_size(stage, 0, key.text);
            is_good = answer[0] == ':';
            if (is_good || strncmp(answer, "-INDETERMINATE", 14) == 0)
                cr_assert_eq(after, before + 1, "%s", answer);
            else
                cr_assert_eq(after, before, "%s", answer);
        }
        ring_settle(stage);
    }
    cr_assert(is_good, "the fuse was always too short");
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

/* By another name than the members know, so the second call is made though there is a link: the second link is refused, and the first one
 * stays, with all that is sent on it. */
Test(quorum, who_is_called_a_second_time_goes_on_writing) {
    struct ring_stage *stage = ring_stage_begin(2, "write-quorum 2\nsloppy-quorum no\nquorum-timeout 100\n");
    struct ring_client *clients[] = {ring_connect(stage, 0), ring_connect(stage, 1)};
    const struct peer_link *links[] = {ring_peer(stage, 0, 1)->out, ring_peer(stage, 1, 0)->out};
    ring_say(clients[1], "CLUSTER MEET 10.0.0.00 7000");
    ring_say(clients[0], "CLUSTER MEET 10.0.0.01 7001");
    enum { WRITES = 60 };
    /* One in each turn of the loops, whatever has come of the calls by then. */
    for (unsigned i = 0; i < WRITES; i++) {
        for (unsigned at = 0; at < 2; at++)
            ring_say_format(clients[at], "SET %s v", ring_key_of(stage, at, at, i).text);
        (void)ring_step(stage);
    }
    for (unsigned i = 0; i < 2 * (WRITES + 1); i++)
        EXPECT_HEARD(clients[i % 2], "+OK\r\n");
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(ring_peer(stage, i, 1 - i)->out, links[i], "%s", stage->nodes[i].log);
        cr_assert_not_null(strstr(stage->nodes[i].log, "already linked"), "nobody was called twice");
    }
    ring_stage_end(stage);
}
