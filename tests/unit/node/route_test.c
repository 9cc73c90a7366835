/* route_test.c - commands on any node: order of replies, splitting and gathering, what becomes of a command whose node is lost.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/ring_faults.h"

#include "node/route.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* ---- Order ---- */

/* INCRs of a counter at each of three nodes in turn, so often; the replies are told apart by their values. */
static void say_alternating(struct ring_stage *stage, struct ring_client *client, unsigned rounds) {
    struct ring_key keys[3];
    for (unsigned i = 0; i < 3; i++)
        keys[i] = ring_key_of(stage, 0, i, 0);
    for (unsigned i = 0; i < rounds; i++)
        for (unsigned j = 0; j < 3; j++)
            ring_say_format(client, "INCRBY %s %u", keys[j].text, j == 0 ? 1 : j == 1 ? 1000 : 1000000);
}

static void expect_alternating(struct ring_client *client, unsigned rounds) {
    for (unsigned i = 1; i <= rounds; i++)
        for (unsigned j = 0; j < 3; j++) {
            char expected[32];
            snprintf(expected, sizeof expected, ":%u\r\n", i * (j == 0 ? 1 : j == 1 ? 1000 : 1000000));
            EXPECT_HEARD(client, expected);
        }
}

Test(route, replies_leave_in_the_order_of_the_requests_when_nodes_alternate_in_a_pipeline) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    say_alternating(stage, client, 500);
    expect_alternating(client, 500);
    cr_assert_eq(client->session->place_count, 0);
    cr_assert_eq(client->session->parked.size, 0);
    cr_assert_not(client->session->flags & SESSION_ORDERED);
    ring_stage_end(stage);
}

Test(route, replies_leave_in_the_order_of_the_requests_when_they_come_in_another_one) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    ring_hold(stage, 1, 0, true);
    say_alternating(stage, client, 200);
    ring_turn(stage);
    EXPECT_HEARD(client, ":1\r\n"); /* ours, before the first that is awaited */
    cr_assert_str_eq(ring_hear_now(client), "");
    cr_assert_gt(client->session->place_count, 200);
    ring_hold(stage, 1, 0, false);
    ring_turn(stage);
    for (unsigned i = 1; i <= 200; i++)
        for (unsigned j = i == 1 ? 1 : 0; j < 3; j++) {
            char expected[32];
            snprintf(expected, sizeof expected, ":%u\r\n", i * (j == 0 ? 1 : j == 1 ? 1000 : 1000000));
            EXPECT_HEARD(client, expected);
        }
    cr_assert_eq(client->session->place_count, 0);
    ring_stage_end(stage);
}

Test(route, many_clients_with_pipelines_get_their_own_replies) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *clients[8];
    for (unsigned i = 0; i < 8; i++)
        clients[i] = ring_connect(stage, i % 3);
    for (unsigned i = 0; i < 50; i++)
        for (unsigned j = 0; j < 8; j++)
            ring_say_format(clients[j], "INCR client:%u:%u", j, i % 7);
    for (unsigned i = 0; i < 50; i++)
        for (unsigned j = 0; j < 8; j++) {
            char expected[32];
            snprintf(expected, sizeof expected, ":%u\r\n", i / 7 + 1);
            EXPECT_HEARD(clients[j], expected);
        }
    ring_stage_end(stage);
}

Test(route, parked_replies_of_any_size_stay_whole_when_they_are_compacted) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key far = ring_key_of(stage, 0, 1, 0), other = ring_key_of(stage, 0, 2, 0),
                    own = ring_key_of(stage, 0, 0, 0);
    cr_assert_str_eq(ring_ask_format(client, "SETRANGE %s 99999 x", own.text), ":100000\r\n");
    cr_assert_str_eq(ring_ask_format(client, "SETRANGE %s 79999 y", other.text), ":80000\r\n");
    ring_hold(stage, 1, 0, true);
    for (unsigned i = 0; i < 60; i++) {
        ring_say_format(client, "STRLEN %s", i % 10 == 0 ? far.text : own.text);
        ring_say_format(client, "GET %s", i % 2 == 0 ? own.text : other.text);
    }
    ring_turn(stage);
    ring_hold(stage, 1, 0, false);
    for (unsigned i = 0; i < 60; i++) {
        EXPECT_HEARD(client, i % 10 == 0 ? ":0\r\n" : ":100000\r\n");
        ring_hear(client);
        cr_assert_eq(ring_heard_size(client), i % 2 == 0 ? 9 + 100000 + 2 : 8 + 80000 + 2);
        cr_assert_eq(client->reply.data[ring_heard_size(client) - 3], i % 2 == 0 ? 'x' : 'y');
    }
    ring_stage_end(stage);
}

Test(route, what_is_parked_behind_much_that_has_left_is_compacted_and_stays_as_it_was) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key one = ring_key_of(stage, 0, 1, 0), two = ring_key_of(stage, 0, 2, 0),
                    own = ring_key_of(stage, 0, 0, 0);
    cr_assert_str_eq(ring_ask_format(client, "SETRANGE %s 99999 x", own.text), ":100000\r\n");
    ring_hold(stage, 1, 0, true);
    ring_hold(stage, 2, 0, true);
    ring_say_format(client, "INCR %s", one.text);
    for (unsigned i = 0; i < 10; i++)
        ring_say_format(client, "GET %s", own.text);
    ring_say_format(client, "INCR %s", two.text);
    ring_say(client, "ECHO behind-it");
    ring_say_format(client, "INCR %s", one.text);
    ring_say(client, "ECHO at-the-end");
    ring_turn(stage);
    ring_hold(stage, 1, 0, false);
    ring_turn(stage);
    cr_assert_lt(client->session->parked.size, 1000, "%zu bytes are parked", client->session->parked.size);
    ring_hold(stage, 2, 0, false);
    EXPECT_HEARD(client, ":1\r\n");
    for (unsigned i = 0; i < 10; i++) {
        ring_hear(client);
        cr_assert_eq(ring_heard_size(client), 100011);
    }
    EXPECT_HEARD(client, ":1\r\n");
    EXPECT_HEARD(client, "$9\r\nbehind-it\r\n");
    EXPECT_HEARD(client, ":2\r\n");
    EXPECT_HEARD(client, "$10\r\nat-the-end\r\n");
    ring_stage_end(stage);
}

Test(route, where_a_node_never_answers_its_commands_end_in_an_error_and_what_was_parked_behind_them_follows) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key far = ring_key_of(stage, 0, 1, 0), other = ring_key_of(stage, 0, 2, 0);
    ring_hold(stage, 1, 0, true);
    ring_say_format(client, "INCR %s", far.text);
    ring_say_format(client, "INCR %s", other.text);
    ring_say(client, "PING");
    ring_say_format(client, "GET %s", far.text);
    ring_wait(stage, 50);
    cr_assert_str_eq(ring_hear_now(client), "");
    uint64_t asked_ns = stage->now_ns;
    cr_assert(strncmp(ring_hear(client), "-INDETERMINATE ", 15) == 0, "%s", (char *)client->reply.data);
    cr_assert_lt(stage->now_ns - asked_ns, UINT64_C(12000000000));
    EXPECT_HEARD(client, ":1\r\n");
    EXPECT_HEARD(client, "+PONG\r\n");
    const char *read = ring_hear(client);
    cr_assert(read[0] == '$' || read[0] == '-', "%s", read);
    ring_hold(stage, 1, 0, false);
    ring_settle(stage);
    ring_stage_end(stage);
}

/* ---- What clients do meanwhile ---- */

Test(route, client_reply_off_swallows_forwarded_replies_and_those_parked_behind_them) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key far = ring_key_of(stage, 0, 1, 0), own = ring_key_of(stage, 0, 0, 0);
    ring_say_format(client, "INCR %s", far.text);
    ring_say(client, "CLIENT REPLY OFF");
    ring_say_format(client, "INCR %s", far.text);
    ring_say_format(client, "INCR %s", own.text);
    ring_say(client, "MGET a b c d e");
    ring_say(client, "CLIENT REPLY ON");
    ring_say_format(client, "INCR %s", far.text);
    EXPECT_HEARD(client, ":1\r\n");
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, ":3\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", own.text), "$1\r\n1\r\n");
    cr_assert_eq(client->session->place_count, 0);
    ring_stage_end(stage);
}

Test(route, client_reply_skip_swallows_one_reply_wherever_it_comes_from) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned skipped = 0; skipped < 3; skipped++) {
        struct ring_key key = ring_key_of(stage, 0, skipped, 1);
        ring_say_format(client, "INCR %s", ring_key_of(stage, 0, 1, 2).text);
        ring_say(client, "CLIENT REPLY SKIP");
        ring_say_format(client, "SET %s 10", key.text);
        ring_say_format(client, "INCR %s", key.text);
        char expected[32];
        snprintf(expected, sizeof expected, ":%u\r\n", skipped + 1);
        EXPECT_HEARD(client, expected);
        EXPECT_HEARD(client, ":11\r\n");
    }
    ring_say(client, "CLIENT REPLY SKIP");
    ring_say(client, "MGET a b c d e");
    EXPECT_ASKED(client, "PING", "+PONG\r\n");
    ring_stage_end(stage);
}

Test(route, a_client_that_wants_no_replies_may_send_any_number_of_commands) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key far = ring_key_of(stage, 0, 1, 0);
    ring_say(client, "CLIENT REPLY OFF");
    for (unsigned i = 0; i < 30000; i++)
        ring_say_format(client, "INCR %s", far.text);
    ring_say(client, "CLIENT REPLY ON");
    EXPECT_HEARD(client, "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", far.text), "$5\r\n30000\r\n");
    ring_stage_end(stage);
}

Test(route, a_client_may_send_more_commands_than_replies_are_awaited_at_once) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key far = ring_key_of(stage, 0, 1, 0);
    ring_hold(stage, 1, 0, true);
    for (unsigned i = 0; i < 30000; i++)
        ring_say_format(client, "INCR %s", far.text);
    ring_turn(stage);
    cr_assert(client->session->flags & SESSION_CLOGGED);
    cr_assert_lt(client->session->place_count, 15000);
    ring_hold(stage, 1, 0, false);
    for (unsigned i = 1; i <= 30000; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, ":%u\r\n", i);
        EXPECT_HEARD(client, expected);
    }
    ring_stage_end(stage);
}

Test(route, quit_is_answered_behind_forwarded_commands_and_the_connection_closes_after_it) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key far = ring_key_of(stage, 0, 1, 0);
    ring_hold(stage, 1, 0, true);
    ring_say_format(client, "SET %s v", far.text);
    ring_say_format(client, "GET %s", far.text);
    ring_say(client, "QUIT");
    ring_say(client, "SET never executed");
    ring_wait(stage, 50);
    cr_assert_not_null(client->session);
    cr_assert_str_eq(ring_hear_now(client), "");
    ring_hold(stage, 1, 0, false);
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, "$1\r\nv\r\n");
    EXPECT_HEARD(client, "+OK\r\n");
    ring_turn(stage);
    cr_assert_null(client->session);
    client = ring_connect(stage, 0);
    EXPECT_ASKED(client, "EXISTS never", ":0\r\n");
    ring_stage_end(stage);
}

Test(route, a_broken_request_behind_forwarded_commands_is_reported_behind_their_replies) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    ring_say_format(client, "INCR %s", ring_key_of(stage, 0, 1, 0).text);
    ring_say(client, "*1\r\n+nonsense");
    EXPECT_HEARD(client, ":1\r\n");
    cr_assert(strncmp(ring_hear(client), "-ERR Protocol error", 19) == 0);
    ring_turn(stage);
    cr_assert_null(client->session);
    ring_stage_end(stage);
}

Test(route, a_session_may_close_while_replies_are_awaited) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_key far = ring_key_of(stage, 0, 1, 0);
    for (unsigned i = 0; i < 3; i++) {
        struct ring_client *client = ring_connect(stage, 0);
        ring_hold(stage, 1, 0, true);
        ring_say_format(client, "INCR %s", far.text);
        ring_say(client, "PING");
        ring_say(client, "MSET a 1 b 2 c 3 d 4 e 5 f 6");
        ring_say(client, "DBSIZE");
        ring_say(client, "WAIT 2 1000");
        if (i == 1)
            ring_say_format(client, "WATCH %s", far.text);
        if (i == 2) {
            ring_say(client, "MULTI");
            ring_say_format(client, "GET %s", far.text);
            ring_say(client, "EXEC");
        }
        ring_turn(stage);
        ring_disconnect(client);
        ring_hold(stage, 1, 0, false);
        ring_wait(stage, 50);
    }
    struct ring_client *client = ring_connect(stage, 0);
    cr_assert_str_eq(ring_ask_format(client, "GET %s", far.text), "$1\r\n3\r\n");
    ring_stage_end(stage);
}

Test(route, monitors_and_statistics_see_forwarded_commands_once_at_the_entry_node) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *monitor = ring_connect(stage, 0),
                       *there = ring_connect(stage, 1);
    struct ring_key far = ring_key_of(stage, 0, 1, 0);
    EXPECT_ASKED(monitor, "MONITOR", "+OK\r\n");
    EXPECT_ASKED(there, "MONITOR", "+OK\r\n");
    uint64_t before = stage->nodes[0].node->statistics.commands;
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", far.text), "+OK\r\n");
    const char *line = ring_hear(monitor);
    cr_assert_not_null(strstr(line, "\"SET\""), "%s", line);
    cr_assert_not_null(strstr(line, far.text));
    cr_assert_str_eq(ring_hear_now(monitor), "");
    cr_assert_str_eq(ring_hear_now(there), "");
    cr_assert_eq(stage->nodes[0].node->statistics.commands, before + 1);
    ring_stage_end(stage);
}

Test(route, cluster_redirect_moved_tells_clients_of_the_cluster_port_where_to_go) {
    struct ring_stage *stage = ring_stage_begin(3, "cluster-redirect moved\n");
    struct ring_client *client = ring_connect(stage, 0), *clustered = ring_connect_to_cluster_port(stage, 0);
    struct ring_key far = ring_key_of(stage, 0, 1, 0), own = ring_key_of(stage, 0, 0, 0);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", far.text), "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(clustered, "SET %s v", own.text), "+OK\r\n");
    const char *answer = ring_ask_format(clustered, "GET %s", far.text);
    cr_assert(strncmp(answer, "-MOVED ", 7) == 0, "%s", answer);
    cr_assert_not_null(strstr(answer, " 10.0.0.1:12001\r\n"), "%s", answer);
    ring_stage_end(stage);
}

/* ---- Nodes that are lost ---- */

/* Node 1 has executed what it was sent, and dies before its answers have left. */
static void kill_after_execution(struct ring_stage *stage) {
    ring_hold(stage, 1, 0, true);
    ring_turn(stage);
    ring_kill(stage, 1);
    ring_hold(stage, 1, 0, false);
}

Test(route, when_a_node_is_killed_reads_are_repeated_and_what_cannot_be_is_indeterminate) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key a = ring_key_of(stage, 0, 1, 0), b = ring_key_of(stage, 0, 1, 1),
                    c = ring_key_of(stage, 0, 1, 2);
    cr_assert_str_eq(ring_ask_format(client, "SET %s old", a.text), "+OK\r\n");
    ring_turn(stage);
    ring_hold(stage, 1, 0, true);
    ring_say_format(client, "GET %s", a.text);
    ring_say_format(client, "INCR %s", b.text);
    ring_say_format(client, "SET %s new", c.text);
    ring_say_format(client, "SET %s new NX", c.text);
    ring_say_format(client, "SET %s newer XX GET", c.text);
    ring_say_format(client, "DEL %s", a.text);
    ring_say_format(client, "MGET %s a b c d", c.text);
    kill_after_execution(stage);
    EXPECT_HEARD(client, "$3\r\nold\r\n");
    cr_assert(strncmp(ring_hear(client), "-INDETERMINATE ", 15) == 0);
    EXPECT_HEARD(client, "+OK\r\n");
    cr_assert(strncmp(ring_hear(client), "-INDETERMINATE ", 15) == 0, "SET NX: %s",
              (char *)client->reply.data);
    cr_assert(strncmp(ring_hear(client), "-INDETERMINATE ", 15) == 0, "SET GET: %s",
              (char *)client->reply.data);
    cr_assert(strncmp(ring_hear(client), "-INDETERMINATE ", 15) == 0);
    cr_assert(strncmp(ring_hear(client), "*5\r\n$", 5) == 0);
    ring_stage_end(stage);
}

Test(route, a_set_with_a_time_to_live_is_repeated_though_its_words_are_those_of_a_condition) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    ring_hold(stage, 1, 0, true);
    ring_say_format(client, "SET %s nx EX 100", key.text);
    ring_say_format(client, "SET %s get KEEPTTL", key.text);
    ring_say_format(client, "SETEX %s 100 xx", key.text);
    kill_after_execution(stage);
    for (unsigned i = 0; i < 3; i++)
        EXPECT_HEARD(client, "+OK\r\n");
    ring_stage_end(stage);
}

Test(route, commands_for_a_node_that_has_just_died_are_executed_by_the_next_one) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    ring_kill(stage, 1);
    uint64_t asked_ns = stage->now_ns;
    cr_assert_str_eq(ring_ask_format(client, "INCR %s", key.text), ":1\r\n");
    cr_assert_lt(stage->now_ns - asked_ns, UINT64_C(3000000000));
    cr_assert_str_eq(ring_ask_format(client, "INCR %s", key.text), ":2\r\n");
    EXPECT_ASKED(client, "DBSIZE", ":1\r\n");
    ring_start(stage, 1);
    ring_settle(stage);
    cr_assert_str_eq(ring_ask_format(client, "INCR %s", key.text), ":3\r\n");
    ring_stage_end(stage);
}

Test(route, a_link_that_breaks_while_both_nodes_live_costs_no_reply) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    for (unsigned i = 0; i < 20; i++)
        ring_say_format(client, "SET %s %u", key.text, i);
    ring_step(stage); /* they have left */
    ring_cut(stage, 0, 1, false);
    for (unsigned i = 0; i < 20; i++)
        EXPECT_HEARD(client, "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$2\r\n19\r\n");
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(route, a_spread_command_that_waits_for_a_node_that_dies_is_answered_all_the_same) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    ring_fill(client, 100);
    ring_turn(stage);
    ring_hold(stage, 1, 0, true);
    ring_say(client, "DBSIZE");
    ring_say(client, "PING");
    kill_after_execution(stage);
    const char *answer = ring_hear(client);
    cr_assert(answer[0] == ':' || answer[0] == '-', "%s", answer);
    EXPECT_HEARD(client, "+PONG\r\n");
    ring_wait(stage, 3000);
    EXPECT_ASKED(client, "DBSIZE", ":100\r\n");
    ring_stage_end(stage);
}

/* ---- A ring that is seen otherwise ---- */

/* Has node `at` believe that `coordinator` executes what is in the key's slot. */
static void mislead(struct ring_stage *stage, unsigned at, unsigned coordinator, const char *key) {
    struct node *node = stage->nodes[at].node;
    struct argument argument = {
        .data = (const uint8_t *)key, .size = (uint32_t)strlen(key), .slot = ARGUMENT_NOT_PLACED};
    keyspace_place(node->keyspace, &argument);
    node->cluster->routes[argument.slot] = ring_member(stage, at, coordinator);
}

Test(route, a_node_that_does_not_hold_the_slot_refuses_and_the_entry_node_finds_the_right_one) {
    struct ring_stage *stage = ring_stage_begin(5, "replication-factor 2\n");
    struct ring_client *client = ring_connect(stage, 0);
    unsigned wrong = 0;
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    for (unsigned nth = 1; wrong == 0; nth++) { /* somebody who holds no copy of it */
        struct argument argument = {.data = (const uint8_t *)key.text,
                                    .size = (uint32_t)strlen(key.text),
                                    .slot = ARGUMENT_NOT_PLACED};
        keyspace_place(stage->nodes[0].node->keyspace, &argument);
        for (unsigned i = 2; i < 5; i++)
            if (!slot_set_has(&stage->nodes[i].node->cluster->held, argument.slot))
                wrong = i;
        if (wrong == 0)
            key = ring_key_of(stage, 0, 1, nth);
    }
    mislead(stage, 0, wrong, key.text);
    ring_say_format(client, "INCR %s", key.text);
    ring_turn(stage);
    cr_assert_eq(stage->nodes[wrong].node->cluster->redirected, 1);
    cr_assert_str_eq(ring_hear_now(client), "");
    mislead(stage, 0, 1, key.text); /* it has learnt better */
    EXPECT_HEARD(client, ":1\r\n");
    cr_assert_eq(stage->nodes[1].node->cluster->forwarded_here, 1);
    cr_assert_eq(ring_copy_size(stage, wrong, key.text), -1);
    ring_stage_end(stage);
}

Test(route, who_is_refused_once_may_be_served_by_another_holder) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    mislead(stage, 0, 2, key.text); /* holds a copy, but does not coordinate it */
    cr_assert_str_eq(ring_ask_format(client, "INCR %s", key.text), ":1\r\n");
    cr_assert_eq(stage->nodes[2].node->cluster->redirected, 1);
    ring_turn(stage);
    cr_assert(ring_copies_are_equal(stage));
    ring_stage_end(stage);
}

Test(route, a_command_that_nobody_executes_ends_in_an_error_after_the_patience) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    struct argument argument = {
        .data = (const uint8_t *)key.text, .size = (uint32_t)strlen(key.text), .slot = ARGUMENT_NOT_PLACED};
    keyspace_place(stage->nodes[0].node->keyspace, &argument);
    stage->nodes[0].node->cluster->routes[argument.slot] = ROUTE_NOBODY;
    uint64_t asked_ns = stage->now_ns;
    cr_assert_str_eq(ring_ask_format(client, "INCR %s", key.text), "-" ERROR_NOBODY "\r\n");
    uint64_t waited_ms = (stage->now_ns - asked_ns) / 1000000;
    cr_assert_geq(waited_ms, ROUTE_PATIENCE_MS);
    cr_assert_leq(waited_ms, ROUTE_PATIENCE_MS + 100);
    ring_stage_end(stage);
}

Test(route, a_command_that_waits_is_executed_here_or_split_when_the_routes_say_so) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key a = ring_key_of(stage, 0, 1, 0), b = ring_key_of(stage, 0, 1, 1);
    ring_kill(stage, 1);
    ring_say_format(client, "MSET %s 1 %s 2", a.text, b.text);
    ring_say_format(client, "MGET %s %s", a.text, b.text);
    ring_say_format(client, "INCR %s", a.text);
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    EXPECT_HEARD(client, ":2\r\n");
    ring_stage_end(stage);
}

/* Has node 0 believe that nobody executes what is in the key's slot. */
static void mislead_to_nobody(struct ring_stage *stage, const char *key) {
    struct node *node = stage->nodes[0].node;
    struct argument argument = {
        .data = (const uint8_t *)key, .size = (uint32_t)strlen(key), .slot = ARGUMENT_NOT_PLACED};
    keyspace_place(node->keyspace, &argument);
    node->cluster->routes[argument.slot] = ROUTE_NOBODY;
    node->keyspace->ledger->notes[argument.slot] &= (uint16_t)~SLOT_COORDINATED;
}

static void expect_no_way_is_taken(struct ring_stage *stage) {
    const struct cluster *cluster = stage->nodes[0].node->cluster;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        cr_assert_eq(cluster->ways[slot].in_flight + cluster->ways[slot].waiting, 0, "slot %u", slot);
}

Test(route, a_command_of_several_slots_at_one_node_waits_for_what_came_before_it_in_any_of_them) {
    for (unsigned coordinator = 0; coordinator < 2; coordinator++) {
        struct ring_stage *stage = ring_stage_begin(3, NULL);
        struct ring_client *client = ring_connect(stage, 0);
        struct ring_key a = ring_key_of(stage, 0, coordinator, 0), b = ring_key_of(stage, 0, coordinator, 1);
        mislead_to_nobody(stage, b.text);
        ring_say_format(client, "SET %s early", b.text);
        ring_turn(stage);
        mislead(stage, 0, coordinator, b.text);
        ring_say_format(client, "MSET %s 1 %s late", a.text, b.text);
        ring_say_format(client, "EXISTS %s %s", a.text, b.text);
        ring_turn(stage);
        cr_assert_str_eq(ring_hear_now(client), "", "the first one waits, and so do all");
        EXPECT_HEARD(client, "+OK\r\n");
        EXPECT_HEARD(client, "+OK\r\n");
        EXPECT_HEARD(client, ":2\r\n");
        cr_assert_str_eq(ring_ask_format(client, "GET %s", b.text), "$4\r\nlate\r\n");
        expect_no_way_is_taken(stage);
        ring_stage_end(stage);
    }
}

Test(route, what_comes_behind_a_command_of_several_slots_that_waits_waits_for_it_in_all_of_them) {
    for (unsigned coordinator = 0; coordinator < 2; coordinator++) {
        struct ring_stage *stage = ring_stage_begin(3, NULL);
        struct ring_client *client = ring_connect(stage, 0);
        struct ring_key a = ring_key_of(stage, 0, coordinator, 0), b = ring_key_of(stage, 0, coordinator, 1);
        mislead_to_nobody(stage, a.text);
        mislead_to_nobody(stage, b.text);
        ring_say_format(client, "MSET %s 1 %s early", a.text, b.text);
        ring_turn(stage);
        mislead(stage, 0, coordinator, a.text);
        mislead(stage, 0, coordinator, b.text);
        ring_say_format(client, "SET %s late", b.text);
        EXPECT_HEARD(client, "+OK\r\n");
        EXPECT_HEARD(client, "+OK\r\n");
        cr_assert_str_eq(ring_ask_format(client, "GET %s", b.text), "$4\r\nlate\r\n");
        expect_no_way_is_taken(stage);
        ring_stage_end(stage);
    }
}

Test(route, nothing_goes_to_another_node_while_a_command_of_several_slots_is_under_way_to_the_one_before) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key a = ring_key_of(stage, 0, 1, 0), b = ring_key_of(stage, 0, 1, 1);
    ring_hold(stage, 0, 1, true);
    ring_say_format(client, "MSET %s 1 %s x", a.text, b.text);
    ring_turn(stage);
    mislead(stage, 0, 2, b.text); /* holds a copy: it executes what it is asked for twice */
    ring_say_format(client, "APPEND %s y", b.text);
    ring_wait(stage, 60);
    ring_hold(stage, 0, 1, false);
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, ":2\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", b.text), "$2\r\nxy\r\n");
    expect_no_way_is_taken(stage);
    ring_stage_end(stage);
}

/* ---- Reads from copies ---- */

Test(route, a_readonly_connection_and_read_from_nearest_are_answered_by_the_nodes_own_copy) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    ring_turn(stage);
    uint64_t before = stage->nodes[1].node->cluster->forwarded_here;
    EXPECT_ASKED(client, "READONLY", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$1\r\nv\r\n");
    cr_assert_eq(stage->nodes[1].node->cluster->forwarded_here, before);
    EXPECT_ASKED(client, "READWRITE", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$1\r\nv\r\n");
    cr_assert_eq(stage->nodes[1].node->cluster->forwarded_here, before + 1);
    EXPECT_ASKED(client, "CONFIG SET read-from nearest", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$1\r\nv\r\n");
    cr_assert_eq(stage->nodes[1].node->cluster->forwarded_here, before + 1);
    ring_stage_end(stage);
}

Test(route, read_from_round_robin_and_random_ask_every_copy) {
    struct ring_stage *stage = ring_stage_begin(4, "replication-factor 2\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    ring_turn(stage);
    static const char *const policies[] = {"round-robin", "random", "fastest"};
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_str_eq(ring_ask_format(client, "CONFIG SET read-from %s", policies[i]), "+OK\r\n");
        uint64_t sum = 0, at_first = stage->nodes[1].node->cluster->forwarded_here;
        for (unsigned j = 0; j < 40; j++)
            cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$1\r\nv\r\n");
        sum = stage->nodes[1].node->cluster->forwarded_here - at_first;
        if (i < 2)
            cr_assert(sum > 5 && sum < 35, "%s: %u of 40", policies[i], (unsigned)sum);
    }
    ring_stage_end(stage);
}

/* ---- No memory ---- */

Test(route, every_command_is_answered_once_whichever_allocation_of_the_entry_node_fails) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key far = ring_key_of(stage, 0, 1, 0), own = ring_key_of(stage, 0, 0, 0);
    struct mem *mem = &stage->nodes[0].mem;
    for (unsigned fuse = 1; fuse < 80; fuse++) {
        ring_turn(stage);
        mem->fuse = fuse;
        ring_say_format(client, "SET %s v%u", far.text, fuse);
        ring_say_format(client, "GET %s", own.text);
        ring_say(client, "MSET a 1 b 2 c 3 d 4 e 5 f 6");
        ring_say(client, "MGET a b c d e f");
        ring_say(client, "DBSIZE");
        ring_say(client, "SCAN 0");
        ring_say_format(client, "WATCH %s", far.text);
        ring_say(client, "MULTI");
        ring_say_format(client, "SET %s x", far.text);
        ring_say(client, "EXEC");
        ring_say(client, "WAIT 1 100");
        ring_say(client, "ECHO end");
        ring_step(stage);
        unsigned replies = 0;
        for (;;) {
            const char *answer = ring_hear(client);
            if (client->session == NULL)
                break;
            replies++;
            if (strcmp(answer, "$3\r\nend\r\n") == 0)
                break;
        }
        mem->fuse = 0;
        if (client->session == NULL) {
            ring_disconnect(client);
            client = ring_connect(stage, 0);
        } else {
            cr_assert_eq(replies, 12, "with fuse %u there were %u replies", fuse, replies);
        }
    }
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(route, a_coordinator_without_memory_loses_no_reply_and_no_session_of_its_own) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *there = ring_connect(stage, 1);
    struct ring_key far = ring_key_of(stage, 0, 1, 0);
    struct mem *mem = &stage->nodes[1].mem;
    for (unsigned fuse = 1; fuse < 60; fuse++) {
        ring_settle(stage);
        mem->fuse = fuse;
        ring_say_format(client, "SET %s v%u", far.text, fuse);
        ring_say_format(client, "APPEND %s more", far.text);
        ring_say_format(client, "MGET %s a b c d", far.text);
        ring_say(client, "DBSIZE");
        ring_say(client, "MULTI");
        ring_say_format(client, "SET %s x", far.text);
        ring_say(client, "EXEC");
        ring_say(client, "WAIT 1 100");
        ring_turn(stage);
        mem->fuse = 0;
        for (unsigned i = 0; i < 8; i++)
            cr_assert_neq(ring_hear(client)[0], '(', "fuse %u: closed", fuse);
        cr_assert_not_null(client->session);
        EXPECT_ASKED(there, "PING", "+PONG\r\n");
    }
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(route, a_node_may_end_while_commands_are_under_way_in_every_state) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key far = ring_key_of(stage, 0, 1, 0), other = ring_key_of(stage, 0, 2, 0);
    ring_hold(stage, 1, 0, true);
    ring_kill(stage, 2);
    ring_say_format(client, "INCR %s", far.text);
    ring_say_format(client, "SET %s v", other.text);
    ring_say(client, "MGET a b c d e f");
    ring_say(client, "KEYS *");
    ring_say_format(client, "WAIT 2 0");
    ring_say_format(client, "WATCH %s", far.text);
    ring_step(stage);
    ring_kill(stage, 0); /* demands that all memory is back */
    ring_stage_end(stage);
}
