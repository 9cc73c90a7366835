/* wait_test.c - WAIT counts the copies that have what a connection has written, wherever it was written.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/ring_stage.h"

#include "base/crc16.h"
#include "node/route.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(wait, two_copies_have_what_was_written_at_any_coordinator) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    for (unsigned i = 0; i < 3; i++) {
        struct ring_client *client = ring_connect(stage, 0);
        cr_assert_str_eq(ring_ask_format(client, "SET %s v", ring_key_of(stage, 0, i, 0).text), "+OK\r\n");
        uint64_t asked_ns = stage->now_ns;
        EXPECT_ASKED(client, "WAIT 2 1000", ":2\r\n");
        cr_assert_eq(stage->now_ns, asked_ns, "an acknowledgement was held back");
        EXPECT_ASKED(client, "WAIT 1 1000", ":2\r\n");
        cr_assert_eq(ring_ask(client, "WAIT 0 1000")[0], ':');
        EXPECT_ASKED(client, "WAIT 2 0", ":2\r\n");
    }
    ring_stage_end(stage);
}

Test(wait, more_copies_than_there_are_time_out_with_the_number_that_there_is) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    for (unsigned i = 0; i < 2; i++) {
        struct ring_client *client = ring_connect(stage, 0);
        cr_assert_str_eq(ring_ask_format(client, "SET %s v", ring_key_of(stage, 0, i, 0).text), "+OK\r\n");
        uint64_t asked_ns = stage->now_ns;
        EXPECT_ASKED(client, "WAIT 3 300", ":2\r\n");
        uint64_t waited_ms = (stage->now_ns - asked_ns) / 1000000;
        cr_assert(waited_ms >= 300 && waited_ms <= 340, "%llu ms", (unsigned long long)waited_ms);
    }
    ring_stage_end(stage);
}

Test(wait, a_copy_that_cannot_be_reached_does_not_count) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *elsewhere = ring_connect(stage, 1);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_hold(stage, 0, 2, true);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(elsewhere, "SET %s w", key.text), "+OK\r\n");
    EXPECT_ASKED(client, "WAIT 2 200", ":1\r\n");
    EXPECT_ASKED(elsewhere, "WAIT 2 200", ":1\r\n");
    EXPECT_ASKED(client, "WAIT 1 200", ":1\r\n");
    ring_hold(stage, 0, 2, false);
    EXPECT_ASKED(client, "WAIT 2 2000", ":2\r\n");
    ring_stage_end(stage);
}

Test(wait, a_copy_whose_link_broke_counts_again_when_it_was_found_equal) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_hold(stage, 0, 2, true);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    ring_cut(stage, 0, 2, false); /* what was on its way is lost */
    ring_say(client, "WAIT 2 100");
    EXPECT_HEARD(client, ":1\r\n");
    ring_hold(stage, 0, 2, false);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    EXPECT_ASKED(client, "WAIT 2 1000", ":2\r\n");
    ring_stage_end(stage);
}

Test(wait, a_copy_that_may_lack_something_does_not_count_before_it_was_found_equal) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned i = 0; i < 20; i++) {
        struct ring_key key = ring_key_of(stage, 0, 0, i);
        ring_hold(stage, 0, 1, true);
        cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
        ring_turn(stage);
        ring_cut(stage, 0, 1, false); /* what was on its way is lost */
        ring_hold(stage, 0, 1, false);
        for (unsigned steps = 0; steps < i; steps++)
            if (!ring_step(stage))
                ring_wait(stage, RING_STEP_MS);
        EXPECT_ASKED(client, "WAIT 1 0", ":1\r\n");
        cr_assert_eq(ring_copy_size(stage, 1, key.text), 1,
                     "it counted %u steps after the loss without having it", i);
        ring_settle(stage);
    }
    ring_stage_end(stage);
}

Test(wait, a_long_wait_at_another_coordinator_is_not_taken_for_its_death) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", ring_key_of(stage, 0, 1, 0).text), "+OK\r\n");
    uint64_t asked_ns = stage->now_ns;
    EXPECT_ASKED(client, "WAIT 3 12000", ":2\r\n");
    cr_assert_geq(stage->now_ns - asked_ns, UINT64_C(12000000000));
    cr_assert_null(strstr(stage->nodes[0].log, "no answer"));
    ring_stage_end(stage);
}

Test(wait, a_wait_goes_on_over_a_link_that_breaks) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_hold(stage, 0, 1, true);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    ring_say(client, "WAIT 2 0");
    ring_turn(stage);
    ring_cut(stage, 0, 1, false);
    ring_hold(stage, 0, 1, false);
    EXPECT_HEARD(client, ":2\r\n");
    cr_assert_eq(ring_copy_size(stage, 1, key.text), 1);
    ring_stage_end(stage);
}

Test(wait, the_slot_with_the_fewest_copies_counts) {
    struct ring_stage *stage = ring_stage_begin(4, "replication-factor 2\n");
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned i = 0; i < 8; i++) /* other nodes hold the copies of some of them */
        cr_assert_str_eq(ring_ask_format(client, "SET %s v", ring_key_of(stage, 0, 0, i).text), "+OK\r\n");
    EXPECT_ASKED(client, "WAIT 1 1000", ":1\r\n");
    for (unsigned lacking = 1; lacking < 4; lacking++) {
        bool holds_some = false;
        for (unsigned i = 0; i < 8; i++)
            holds_some = holds_some || ring_copy_size(stage, lacking, ring_key_of(stage, 0, 0, i).text) == 1;
        cr_assert(holds_some);
        ring_hold(stage, 0, lacking, true);
        for (unsigned i = 0; i < 8; i++)
            cr_assert_str_eq(ring_ask_format(client, "SET %s w", ring_key_of(stage, 0, 0, i).text),
                             "+OK\r\n");
        EXPECT_ASKED(client, "WAIT 1 100", ":0\r\n");
        ring_hold(stage, 0, lacking, false);
    }
    ring_stage_end(stage);
}

Test(wait, a_wait_without_end_goes_on_until_the_copies_are_there_and_holds_no_other_client) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *other = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_hold(stage, 0, 1, true);
    ring_say_format(client, "SET %s v", key.text);
    ring_say(client, "WAIT 2 0");
    ring_say(client, "PING");
    ring_wait(stage, 500);
    cr_assert_str_eq(ring_hear_now(client), "+OK\r\n");
    cr_assert_str_eq(ring_hear_now(client), "");
    EXPECT_ASKED(other, "PING", "+PONG\r\n");
    ring_hold(stage, 0, 1, false);
    EXPECT_HEARD(client, ":2\r\n");
    EXPECT_HEARD(client, "+PONG\r\n");
    ring_stage_end(stage);
}

Test(wait, who_has_written_nothing_waits_for_nobody) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *writer = ring_connect(stage, 0);
    ring_hold(stage, 0, 1, true);
    cr_assert_str_eq(ring_ask_format(writer, "SET %s v", ring_key_of(stage, 0, 0, 0).text), "+OK\r\n");
    EXPECT_ASKED(client, "WAIT 2 0", ":2\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", ring_key_of(stage, 0, 0, 0).text), "$1\r\nv\r\n");
    EXPECT_ASKED(client, "WAIT 2 0", ":2\r\n");
    ring_stage_end(stage);
}

Test(wait, the_slots_that_a_connection_wrote_are_remembered_one_by_one_and_beyond_eight_all_together) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned i = 0; i < 30; i++) {
        cr_assert_str_eq(ring_ask_format(client, "SET key:%u v", i), "+OK\r\n");
        if (i % 3 == 0)
            EXPECT_ASKED(client, "WAIT 2 1000", ":2\r\n");
    }
    cr_assert(client->session->cluster->written_overflow);
    ring_hold(stage, 1, 2, true); /* what node 1 coordinates does not reach node 2 */
    struct ring_client *few = ring_connect(stage, 0);
    cr_assert_str_eq(ring_ask_format(few, "SET %s v", ring_key_of(stage, 0, 0, 0).text), "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", ring_key_of(stage, 0, 0, 0).text), "+OK\r\n");
    EXPECT_ASKED(few, "WAIT 2 200", ":2\r\n");
    EXPECT_ASKED(client, "WAIT 2 200", ":1\r\n");
    ring_stage_end(stage);
}

Test(wait, writes_of_split_commands_and_of_transactions_count) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    EXPECT_ASKED(client, "MSET a 1 b 2 c 3 d 4 e 5 f 6", "+OK\r\n");
    EXPECT_ASKED(client, "WAIT 2 1000", ":2\r\n");
    struct ring_client *transaction = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    EXPECT_ASKED(transaction, "MULTI", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(transaction, "SET %s v", key.text), "+QUEUED\r\n");
    EXPECT_ASKED(transaction, "EXEC", "*1\r\n+OK\r\n");
    ring_hold(stage, 1, 2, true);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    EXPECT_ASKED(transaction, "WAIT 2 200", ":1\r\n");
    EXPECT_ASKED(client, "WAIT 2 200", ":1\r\n");
    ring_stage_end(stage);
}

Test(wait, a_coordinator_that_dies_vouches_for_nothing) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    ring_hold(stage, 1, 2, true);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", ring_key_of(stage, 0, 1, 0).text), "+OK\r\n");
    ring_say(client, "WAIT 2 60000");
    ring_turn(stage);
    cr_assert_str_eq(ring_hear_now(client), "");
    ring_kill(stage, 1);
    ring_hold(stage, 1, 2, false);
    const char *answer = ring_hear(client);
    cr_assert(strcmp(answer, ":0\r\n") == 0 || strcmp(answer, ":1\r\n") == 0, "%s", answer);
    ring_stage_end(stage);
}

Test(wait, wrong_arguments_are_refused_as_always) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    EXPECT_ASKED(client, "WAIT x 0", "-ERR value is not an integer or out of range\r\n");
    EXPECT_ASKED(client, "WAIT 1 x", "-ERR timeout is not an integer or out of range\r\n");
    EXPECT_ASKED(client, "WAIT 1 -1", "-ERR timeout is negative\r\n");
    EXPECT_ASKED(client, "SET a 1", "+OK\r\n");
    cr_assert_eq(ring_ask(client, "WAIT -1 0")[0], ':');
    EXPECT_ASKED(client, "WAIT 9223372036854775807 50", ":2\r\n");
    EXPECT_ASKED(client, "WAIT 1 9223372036854775807", ":2\r\n");
    ring_stage_end(stage);
}

Test(wait, copies_are_counted_in_rings_of_two_and_of_one) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    EXPECT_ASKED(client, "MSET a 1 b 2 c 3", "+OK\r\n");
    EXPECT_ASKED(client, "WAIT 1 1000", ":1\r\n");
    EXPECT_ASKED(client, "WAIT 2 50", ":1\r\n");
    ring_stage_end(stage);
    stage = ring_stage_begin(3, "replication-factor 1\n");
    client = ring_connect(stage, 0);
    EXPECT_ASKED(client, "MSET a 1 b 2 c 3", "+OK\r\n");
    EXPECT_ASKED(client, "WAIT 0 1000", ":0\r\n");
    EXPECT_ASKED(client, "WAIT 1 50", ":0\r\n");
    ring_stage_end(stage);
}

/* A transaction waits for its node to have met others, and is executed when it has given up its seeds. */
Test(wait, a_node_that_is_alone_by_then_answers_for_itself) {
    struct ring_stage *stage = ring_stage_new(2, NULL);
    stage->is_unreachable[0] = true;
    ring_start(stage, 1);
    struct ring_client *client = ring_connect(stage, 1);
    ring_wait(stage, 13000);
    EXPECT_ASKED(client, "MULTI", "+OK\r\n");
    EXPECT_ASKED(client, "SET a v", "+QUEUED\r\n");
    ring_say(client, "EXEC");
    ring_say(client, "WAIT 1 50");
    EXPECT_HEARD(client, "*1\r\n+OK\r\n");
    EXPECT_HEARD(client, ":0\r\n");
    cr_assert_null(stage->nodes[1].node->routes);
    ring_stage_end(stage);
}

Test(wait, a_wait_inside_a_transaction_does_not_wait) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    for (unsigned i = 0; i < 2; i++) {
        struct ring_client *client = ring_connect(stage, 0);
        EXPECT_ASKED(client, "MULTI", "+OK\r\n");
        ring_ask_format(client, "SET %s v", ring_key_of(stage, 0, i, 0).text);
        EXPECT_ASKED(client, "WAIT 2 0", "+QUEUED\r\n");
        const char *answer = ring_ask(client, "EXEC");
        cr_assert(strncmp(answer, "*2\r\n+OK\r\n:", 10) == 0, "%s", answer);
    }
    ring_stage_end(stage);
}

Test(wait, who_executes_now_does_not_vouch_for_who_did_before) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *other = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    ring_hold(stage, 1, 2, true);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    ring_hold(stage, 1, 0, true);
    cr_assert_str_eq(ring_ask_format(other, "SET %s w", ring_key_of(stage, 0, 1, 1).text), "+OK\r\n");
    uint16_t slot = crc16_key_slot((const uint8_t *)key.text, (uint32_t)strlen(key.text));
    cr_assert_neq(stage->nodes[0].node->cluster->routes[slot], ring_member(stage, 0, 1),
                  "another one executes it");
    cr_assert_eq(ring_copy_size(stage, 2, key.text), -1);
    EXPECT_ASKED(client, "WAIT 1 300", ":0\r\n");
    ring_hold(stage, 1, 0, false);
    ring_hold(stage, 1, 2, false);
    ring_settle(stage);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    EXPECT_ASKED(client, "WAIT 2 20000", ":2\r\n");
    cr_assert_eq(ring_copy_size(stage, 2, key.text), 1);
    ring_stage_end(stage);
}

Test(wait, it_begins_when_the_commands_before_it_are_answered) {
    struct ring_stage *stage = ring_stage_begin(3, "read-quorum 2\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    /* It looks at another copy before it adds, and WAIT stands behind it. */
    for (unsigned other = 1; other < 3; other++)
        ring_hold(stage, other, 0, true);
    ring_say_format(client, "APPEND %s w", key.text);
    ring_say_format(client, "WAIT 1 500");
    ring_turn(stage);
    /* The look succeeds, and what was sent before is acknowledged; but nobody is told of what is added then. */
    for (unsigned other = 1; other < 3; other++) {
        ring_hold(stage, 0, other, true);
        ring_hold(stage, other, 0, false);
    }
    cr_assert_str_eq(ring_hear(client), ":2\r\n");
    cr_assert_str_eq(ring_hear(client), ":0\r\n");
    for (unsigned other = 1; other < 3; other++) {
        cr_assert_eq(ring_copy_size(stage, other, key.text), 1);
        ring_hold(stage, 0, other, false);
    }
    ring_settle(stage);
    ring_stage_end(stage);
}
