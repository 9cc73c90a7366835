/* failover_test.c - commands go around nodes that do not answer; who was passed over, stood still or leaves coordinates nothing.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/failover.h"

#include "node/forward.h"
#include "node/ring_faults.h"
#include "node/route.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct cluster *cluster_at(struct ring_stage *stage, unsigned number) {
    return stage->nodes[number].node->cluster;
}

static struct failover *failover_at(struct ring_stage *stage, unsigned number) {
    return &cluster_at(stage, number)->failover;
}

static bool is_passed_over(struct ring_stage *stage, unsigned at, unsigned other) {
    return ring_peer(stage, at, other)->reach.is_passed_over;
}

/* Asks, demands the answer, and returns the milliseconds that it took. */
static uint64_t took_ms(struct ring_stage *stage, struct ring_client *client, const char *line,
                        const char *expected) {
    uint64_t asked_ns = stage->now_ns;
    EXPECT_ASKED(client, line, expected);
    return (stage->now_ns - asked_ns) / 1000000;
}

static const char *line_of(char line[64], const char *format, struct ring_key key) {
    snprintf(line, 64, format, key.text);
    return line;
}

static bool has_begin(const char *text, const char *begin) {
    return strncmp(text, begin, strlen(begin)) == 0;
}

/* ---- Reach ---- */

Test(failover, reads_and_plain_writes_of_a_silent_node_are_answered_by_the_next_one_after_the_timeout) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0), other = ring_key_of(stage, 0, 1, 1);
    char line[64];
    EXPECT_ASKED(client, line_of(line, "SET %s old", key), "+OK\r\n");
    ring_stop(stage, 1);
    uint64_t first_ms = took_ms(stage, client, line_of(line, "GET %s", key), "$3\r\nold\r\n");
    cr_assert(first_ms >= 100 && first_ms <= 120, "%llu ms", (unsigned long long)first_ms);
    cr_assert(is_passed_over(stage, 0, 1));
    cr_assert_leq(took_ms(stage, client, line_of(line, "SET %s new", key), "+OK\r\n"), 10);
    cr_assert_leq(took_ms(stage, client, line_of(line, "INCR %s", other), ":1\r\n"), 10);
    cr_assert_eq(failover_at(stage, 0)->passes, 1);
    cr_assert_geq(failover_at(stage, 0)->resends, 1);
    ring_go_on(stage, 1, false);
    ring_settle(stage);
    cr_assert_not(is_passed_over(stage, 0, 1));
    cr_assert_eq(ring_coordinator(stage, 0, key.text), 1);
    EXPECT_ASKED(client, line_of(line, "GET %s", key), "$3\r\nnew\r\n");
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(failover, what_may_have_run_at_a_silent_node_is_indeterminate_and_what_comes_behind_it_is_executed) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    ring_stop(stage, 1);
    ring_say_format(client, "INCR %s", key.text);
    ring_say_format(client, "SET %s 7", key.text);
    ring_say_format(client, "GET %s", key.text);
    uint64_t asked_ns = stage->now_ns;
    cr_assert(has_begin(ring_hear(client), "-INDETERMINATE "));
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, "$1\r\n7\r\n");
    cr_assert_leq(stage->now_ns - asked_ns, UINT64_C(120000000));
    ring_go_on(stage, 1, false);
    ring_settle(stage);
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$1\r\n7\r\n");
    ring_stage_end(stage);
}

Test(failover, what_may_have_run_elsewhere_is_never_called_not_executed) {
    struct ring_stage *stage = ring_stage_begin(3, "consistency quorum\nsloppy-quorum no\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    ring_kill(stage, 2);
    ring_wait(stage, 3000);
    cr_assert_str_eq(ring_ask_format(client, "SET %s old", key.text), "+OK\r\n");
    /* Node 1 executes, and cannot say so; here are too few copies to do it again. */
    ring_hold(stage, 1, 0, true);
    const char *answer = ring_ask_format(client, "SET %s new", key.text);
    cr_assert(has_begin(answer, "-INDETERMINATE "), "%s", answer);
    answer = ring_ask_format(client, "SET %s newer", key.text);
    cr_assert(has_begin(answer, "-NOQUORUM "), "this one was sent to nobody: %s", answer);
    ring_hold(stage, 1, 0, false);
    ring_start(stage, 2);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$3\r\nnew\r\n");
    ring_stage_end(stage);
}

Test(failover, the_timeout_is_the_setting) {
    struct ring_stage *stage = ring_stage_begin(3, "failover-timeout 400\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    char line[64];
    ring_stop(stage, 1);
    uint64_t ms = took_ms(stage, client, line_of(line, "GET %s", key), "$-1\r\n");
    cr_assert(ms >= 400 && ms <= 420, "%llu ms", (unsigned long long)ms);
    EXPECT_ASKED(client, "CONFIG SET failover-timeout 50", "+OK\r\n");
    key = ring_key_of(stage, 0, 2, 0);
    ring_stop(stage, 2);
    ms = took_ms(stage, client, line_of(line, "GET %s", key), "$-1\r\n");
    cr_assert(ms >= 50 && ms <= 70, "%llu ms", (unsigned long long)ms);
    ring_stage_end(stage);
}

Test(failover, a_killed_node_costs_no_time) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    char line[64];
    EXPECT_ASKED(client, line_of(line, "SET %s v", key), "+OK\r\n");
    ring_kill(stage, 1);
    cr_assert_leq(took_ms(stage, client, line_of(line, "GET %s", key), "$1\r\nv\r\n"), 20);
    cr_assert_leq(took_ms(stage, client, line_of(line, "INCR %s", ring_key_of(stage, 0, 0, 0)), ":1\r\n"), 0);
    ring_start(stage, 1);
    ring_settle(stage);
    cr_assert_eq(failover_at(stage, 0)->passed_count, 0);
    cr_assert_eq(failover_at(stage, 0)->unproved_count, 0);
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$1\r\nv\r\n");
    ring_stage_end(stage);
}

Test(failover, what_is_awaited_at_a_node_that_is_killed_is_sent_to_the_next_or_indeterminate) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    for (unsigned i = 0; i < 20; i++)
        ring_say_format(client,
                        i % 4 == 3   ? "INCR %s"
                        : i % 4 == 2 ? "MGET %s a b c d e"
                                     : "SET %s 1",
                        key.text);
    ring_step(stage);
    ring_kill(stage, 1);
    uint64_t asked_ns = stage->now_ns;
    for (unsigned i = 0; i < 20; i++) {
        const char *answer = ring_hear(client);
        bool is_good =
            i % 4 == 3 ? answer[0] == ':' || has_begin(answer, "-INDETERMINATE ") : answer[0] != '-';
        cr_assert(is_good, "%u: %s", i, answer);
    }
    cr_assert_leq(stage->now_ns - asked_ns, UINT64_C(30000000));
    ring_stage_end(stage);
}

Test(failover, a_link_that_breaks_and_is_made_again_passes_nobody_over) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    char line[64];
    for (unsigned i = 0; i < 5; i++) {
        ring_cut(stage, 0, 1, true);
        cr_assert_leq(took_ms(stage, client, line_of(line, "SET %s v", key), "+OK\r\n"), 40);
        ring_wait(stage, 50);
    }
    cr_assert_eq(failover_at(stage, 0)->passes + failover_at(stage, 1)->passes, 0);
    cr_assert(cluster_at(stage, 1)->is_settled);
    ring_settle(stage);
    ring_stage_end(stage);
}

Test(failover, a_link_that_cannot_be_made_again_in_time_passes_its_node_over) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    char line[64];
    ring_hold_pair(stage, 0, 1, true);
    ring_cut(stage, 0, 1, false);
    uint64_t ms = took_ms(stage, client, line_of(line, "INCR %s", key), ":1\r\n");
    cr_assert(ms >= 90 && ms <= 130, "%llu ms", (unsigned long long)ms);
    ring_hold_pair(stage, 0, 1, false);
    ring_settle(stage);
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$1\r\n1\r\n");
    ring_stage_end(stage);
}

Test(failover, a_node_without_requests_that_it_should_answer_may_be_silent) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    ring_stop(stage, 1);
    ring_wait(stage, 500);
    cr_assert_not(is_passed_over(stage, 0, 1));
    ring_stage_end(stage);
}

Test(failover, a_link_on_which_nothing_arrives_any_more_is_made_anew_though_nothing_was_asked) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_hold_pair(stage, 0, 1, true);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    ring_wait(stage, 3000);
    cr_assert_not(is_passed_over(stage, 0, 1));
    cr_assert(peer_is_linked(ring_peer(stage, 0, 1)));
    cr_assert_not_null(strstr(ring_ask(client, "INFO cluster"), "cluster_agrees:0"));
    ring_wait(stage, 3000);
    cr_assert(is_passed_over(stage, 0, 1));
    cr_assert_not(peer_is_linked(ring_peer(stage, 0, 1)));
    ring_hold_pair(stage, 0, 1, false);
    ring_settle(stage);
    cr_assert_not(is_passed_over(stage, 0, 1));
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(failover, a_node_that_may_be_busy_with_a_slow_command_of_ours_is_not_passed_over) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0), other = ring_key_of(stage, 0, 1, 1);
    EXPECT_ASKED(client, "SET {x}1 abc", "+OK\r\n");
    ring_stop(stage, 1);
    ring_say_format(client, "BITCOUNT %s", key.text);
    ring_say_format(client, "GET %s", other.text);
    ring_wait(stage, 600);
    cr_assert_not(is_passed_over(stage, 0, 1));
    cr_assert_str_eq(ring_hear_now(client), "");
    ring_go_on(stage, 1, true);
    EXPECT_HEARD(client, ":0\r\n");
    EXPECT_HEARD(client, "$-1\r\n");
    cr_assert(cluster_at(stage, 1)->is_settled);
    ring_stage_end(stage);
}

Test(failover, who_was_not_there_to_listen_takes_nobody_for_silent) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    ring_say_format(client, "SET %s v", key.text);
    ring_step(stage);
    ring_stop(stage, 0);
    ring_wait(stage, 600);
    ring_go_on(stage, 0, true);
    EXPECT_HEARD(client, "+OK\r\n");
    cr_assert_eq(failover_at(stage, 0)->passes, 0);
    ring_stage_end(stage);
}

/* ---- Handback ---- */

Test(failover, who_was_passed_over_coordinates_nothing_before_it_has_been_compared) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    struct ring_client *client = ring_connect(stage, 0), *there = ring_connect(stage, 1);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    char line[64];
    EXPECT_ASKED(client, line_of(line, "SET %s old", key), "+OK\r\n");
    ring_wait(stage, 50);
    ring_hold_pair(stage, 0, 1, true);
    EXPECT_ASKED(client, line_of(line, "SET %s new", key), "+OK\r\n");
    cr_assert(is_passed_over(stage, 0, 1));
    cr_assert(cluster_at(stage, 1)->is_settled, "nobody has told it yet");
    uint64_t incarnation = ring_peer(stage, 0, 1)->reach.incarnation;
    ring_hold_pair(stage, 0, 1, false);
    for (unsigned i = 0; i < 100 && is_passed_over(stage, 0, 1); i++)
        ring_step(stage);
    cr_assert_not(is_passed_over(stage, 0, 1));
    /* It has said from which entry on it knows, and its way back leads over that. */
    cr_assert_eq(ring_peer(stage, 0, 1)->reach.incarnation, incarnation);
    cr_assert_lt(ring_peer(stage, 0, 1)->reach.version, UINT64_MAX);
    cr_assert_not(cluster_at(stage, 1)->is_settled && ring_peer(stage, 0, 1)->reach.must_prove &&
                  ring_coordinator(stage, 0, key.text) == 1);
    EXPECT_ASKED(there, line_of(line, "GET %s", key), "$3\r\nnew\r\n");
    uint64_t since_ns = stage->now_ns;
    ring_settle(stage);
    cr_assert_leq(stage->now_ns - since_ns, UINT64_C(1000000000));
    cr_assert_eq(ring_coordinator(stage, 0, key.text), 1);
    cr_assert_eq(failover_at(stage, 0)->unproved_count, 0);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(failover, two_nodes_that_have_passed_over_each_other_come_to_terms) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct ring_client *clients[2] = {ring_connect(stage, 0), ring_connect(stage, 1)};
    ring_hold_pair(stage, 0, 1, true);
    for (unsigned i = 0; i < 2; i++) {
        ring_say_format(clients[i], "SET %s v", ring_key_of(stage, i, 1 - i, 0).text);
        ring_say_format(clients[i], "SET %s v", ring_key_of(stage, i, 1 - i, 1).text);
    }
    for (unsigned i = 0; i < 4; i++)
        EXPECT_HEARD(clients[i % 2], "+OK\r\n");
    cr_assert(is_passed_over(stage, 0, 1) && is_passed_over(stage, 1, 0));
    ring_hold_pair(stage, 0, 1, false);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    cr_assert_eq(failover_at(stage, 0)->passed_count + failover_at(stage, 1)->passed_count, 0);
    ring_stage_end(stage);
}

Test(failover, a_node_that_one_other_cannot_reach_serves_all_the_rest) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    struct ring_client *client = ring_connect(stage, 0), *other = ring_connect(stage, 2);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    ring_hold_pair(stage, 0, 1, true);
    for (unsigned i = 0; i < 20; i++) {
        cr_assert_str_eq(ring_ask_format(client, "SET one:%s %u", key.text, i), "+OK\r\n");
        cr_assert_str_eq(ring_ask_format(other, "SET two:%s %u", key.text, i), "+OK\r\n");
        ring_wait(stage, 200);
    }
    cr_assert(is_passed_over(stage, 0, 1));
    cr_assert_not(is_passed_over(stage, 2, 1));
    cr_assert(cluster_at(stage, 1)->is_settled);
    cr_assert_eq(ring_coordinator(stage, 2, key.text), 1);
    cr_assert_str_eq(ring_ask_format(client, "GET two:%s", key.text), "$2\r\n19\r\n");
    cr_assert_str_eq(ring_ask_format(other, "GET one:%s", key.text), "$2\r\n19\r\n");
    ring_hold_pair(stage, 0, 1, false);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

/* Cuts a node off from all the others, until it is down for them. */
static void isolate(struct ring_stage *stage, unsigned number) {
    ring_isolate(stage, number, true);
    for (unsigned other = 0; other < stage->count; other++)
        if (other != number)
            ring_expect_down(stage, other, number);
}

/* Time goes by until all is well again. Returns a bit for each node that was unsettled meanwhile. */
static unsigned heal(struct ring_stage *stage, unsigned number) {
    unsigned unsettled = 0, steps = 0;
    bool is_whole = false;
    ring_isolate(stage, number, false);
    while (!is_whole) {
        cr_assert_lt(++steps, 10000);
        ring_wait(stage, RING_STEP_MS);
        is_whole = true;
        for (unsigned i = 0; i < stage->count; i++) {
            const struct cluster *cluster = cluster_at(stage, i);
            unsettled |= (unsigned)!cluster->is_settled << i;
            is_whole = is_whole && cluster->is_settled &&
                       membership_live_count(cluster->membership) == stage->count &&
                       cluster->failover.passed_count == 0 && cluster->failover.unproved_count == 0;
        }
    }
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    return unsettled;
}

Test(failover, who_was_passed_over_for_nothing_that_was_written_stays_settled) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    isolate(stage, 4);
    ring_wait(stage, 1000);
    cr_assert_eq(failover_at(stage, 4)->passed_count, 4);
    for (unsigned i = 0; i < 4; i++)
        cr_assert(is_passed_over(stage, i, 4));
    cr_assert_eq(heal(stage, 4), 0);
    ring_stage_end(stage);
}

/* Clients write on both sides. calls_first: when the nodes come together, it is the one that calls. */
static void expect_one_gives_way(bool calls_first) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    struct ring_client *client = ring_connect(stage, 0), *there = ring_connect(stage, 4);
    struct ring_key key = ring_key_of(stage, 0, 4, 0), other = ring_key_of(stage, 4, 0, 0);
    isolate(stage, 4);
    for (unsigned i = 0; i < 4; i++)
        ring_expect_down(stage, 4, i);
    cr_assert_str_eq(ring_ask_format(client, "SET %s here", key.text), "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(there, "SET %s there", other.text), "+OK\r\n");
    ring_wait(stage, 500);
    for (unsigned i = 0; i < 4 && calls_first; i++)
        ring_lose_calls(stage, i);
    cr_assert_eq(heal(stage, 4), 1u << 4);
    cr_assert_str_eq(ring_ask_format(there, "GET %s", key.text), "$4\r\nhere\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", other.text), "$5\r\nthere\r\n");
    ring_stage_end(stage);
}

Test(failover, a_node_that_was_cut_off_from_all_others_unsettles_none_of_them) {
    expect_one_gives_way(false);
}

Test(failover, a_node_that_has_written_alone_hears_the_others_before_it_tells_them) {
    expect_one_gives_way(true);
}

/* Its links end only when it is down, and are there again before anybody has missed them for failover-timeout. */
Test(failover, who_was_down_for_a_moment_is_told_what_was_written_meanwhile) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 4, 0);
    for (unsigned i = 0; i < 4; i++)
        ring_hold_pair(stage, i, 4, true);
    for (unsigned i = 0, steps = 0; i < 4; i++)
        for (; membership_live_count(cluster_at(stage, i)->membership) == 5; steps++) {
            cr_assert_lt(steps, 1000);
            ring_wait(stage, RING_STEP_MS);
        }
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    cr_assert_eq(heal(stage, 4), 1u << 4);
    ring_stage_end(stage);
}

Test(failover, who_is_passed_over_again_still_has_to_prove_itself) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    const struct reach *reach = &ring_peer(stage, 0, 1)->reach;
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    ring_hold_pair(stage, 0, 1, true);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(reach->is_passed_over && reach->must_prove);
        ring_hold_pair(stage, 0, 1, false);
        for (unsigned steps = 0; reach->is_passed_over; steps++) {
            cr_assert_lt(steps, 1000);
            ring_step(stage);
            stage->now_ns += 1000000;
        }
        cr_assert(reach->must_prove);
        ring_part(stage, 0, 1, true);
        ring_wait(stage, 300);
    }
    ring_part(stage, 0, 1, false);
    ring_settle(stage);
    cr_assert_not(reach->must_prove);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(failover, who_was_called_by_a_node_that_it_calls_in_vain_calls_it_anew) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    ring_hold_pair(stage, 0, 1, true);
    ring_cut(stage, 0, 1, false);
    ring_wait(stage, 300);
    ring_lose_calls(stage, 0);
    ring_hold_pair(stage, 0, 1, false);
    ring_wait(stage, 20);
    cr_assert(peer_is_linked(ring_peer(stage, 0, 1)) && peer_is_linked(ring_peer(stage, 1, 0)));
    ring_stage_end(stage);
}

/* ---- Pauses ---- */

Test(failover, a_node_that_stood_still_answers_its_own_clients_with_what_others_have_written_meanwhile) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *there = ring_connect(stage, 1);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    char line[64];
    EXPECT_ASKED(client, line_of(line, "SET %s old", key), "+OK\r\n");
    ring_stop(stage, 1);
    EXPECT_ASKED(client, line_of(line, "SET %s new", key), "+OK\r\n");
    ring_say_format(there, "GET %s", key.text);
    ring_say_format(there, "INCR counter:%s", key.text);
    ring_wait(stage, 300);
    ring_go_on(stage, 1, false);
    EXPECT_HEARD(there, "$3\r\nnew\r\n");
    EXPECT_HEARD(there, ":1\r\n");
    cr_assert_eq(failover_at(stage, 1)->pauses, 1);
    ring_settle(stage);
    ring_stage_end(stage);
}

Test(failover, a_node_that_slept_until_it_was_taken_for_down_answers_nothing_stale) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    struct ring_client *client = ring_connect(stage, 0), *there = ring_connect(stage, 1);
    struct ring_key keys[3] = {ring_key_of(stage, 0, 1, 0), ring_key_of(stage, 0, 1, 1),
                               ring_key_of(stage, 0, 2, 0)};
    char line[64];
    for (unsigned i = 0; i < 3; i++)
        EXPECT_ASKED(client, line_of(line, "SET %s old", keys[i]), "+OK\r\n");
    ring_wait(stage, 50);
    ring_stop(stage, 1);
    ring_wait(stage, 5000);
    cr_assert_eq(membership_member(cluster_at(stage, 0)->membership, ring_member(stage, 0, 1))->state,
                 MEMBER_DOWN);
    for (unsigned i = 0; i < 3; i++)
        EXPECT_ASKED(client, line_of(line, "SET %s new", keys[i]), "+OK\r\n");
    ring_say(there, "READONLY");
    for (unsigned i = 0; i < 3; i++)
        ring_say_format(there, "GET %s", keys[i].text);
    ring_go_on(stage, 1, false);
    EXPECT_HEARD(there, "+OK\r\n");
    for (unsigned i = 0; i < 3; i++)
        EXPECT_HEARD(there, "$3\r\nnew\r\n");
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(failover, work_of_its_own_is_no_pause) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    ring_stop(stage, 1);
    ring_wait(stage, 400);
    ring_go_on(stage, 1, true);
    ring_step(stage);
    cr_assert_eq(failover_at(stage, 1)->pauses, 0);
    cr_assert(cluster_at(stage, 1)->is_settled);
    ring_stage_end(stage);
}

Test(failover, what_has_waited_in_the_sockets_of_a_node_that_stood_still_is_refused_not_executed_late) {
    for (unsigned has_worked = 0; has_worked < 2; has_worked++) {
        struct ring_stage *stage = ring_stage_begin(3, NULL);
        struct ring_client *client = ring_connect(stage, 0);
        struct ring_key key = ring_key_of(stage, 0, 1, 0);
        ring_wait(stage, 200);
        ring_stop(stage, 1);
        ring_say_format(client, "INCR %s", key.text);
        cr_assert(has_begin(ring_hear(client), "-INDETERMINATE "));
        ring_go_on(stage, 1, has_worked);
        ring_settle(stage);
        cr_assert_geq(failover_at(stage, 1)->refused_late, 1);
        cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$-1\r\n");
        ring_stage_end(stage);
    }
}

Test(failover, what_was_late_is_executed_in_its_order_when_it_is_sent_again) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0), other = ring_key_of(stage, 0, 1, 1);
    ring_wait(stage, 200);
    ring_stop(stage, 1);
    /* The first ones are too old when they are looked at, the last ones are not; nobody has given up any of them. */
    for (unsigned i = 0; i < 9; i++) {
        ring_say_format(client, "APPEND %s %u", key.text, i);
        ring_say_format(client, "INCR %s", other.text);
        ring_wait(stage, 10);
    }
    ring_go_on(stage, 1, true);
    for (unsigned i = 0; i < 9; i++) {
        char expected[16];
        snprintf(expected, sizeof expected, ":%u\r\n", i + 1);
        EXPECT_HEARD(client, expected);
        EXPECT_HEARD(client, expected);
    }
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$9\r\n012345678\r\n");
    cr_assert_gt(failover_at(stage, 1)->refused_late, 0);
    cr_assert_eq(failover_at(stage, 0)->passes, 0);
    cr_assert_not(ring_peer(stage, 0, 1)->reach.was_late);
    cr_assert_not(ring_peer(stage, 1, 0)->in->clock.refuses);
    ring_stage_end(stage);
}

Test(failover, a_write_is_sent_elsewhere_only_when_it_is_executed_nowhere_else_any_more) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *other = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0), late = ring_key_of(stage, 0, 1, 1);
    ring_wait(stage, 200);
    ring_stop(stage, 1);
    ring_say_format(client, "GET %s", key.text);
    ring_wait(stage, 80);
    ring_say_format(other, "SET %s v", late.text);
    ring_say_format(other, "GET %s", late.text);
    uint64_t said_ns = stage->now_ns;
    EXPECT_HEARD(client, "$-1\r\n");
    cr_assert_leq(stage->now_ns - said_ns, UINT64_C(30000000), "a read waits for nothing");
    EXPECT_HEARD(other, "+OK\r\n");
    EXPECT_HEARD(other, "$1\r\nv\r\n");
    uint64_t ms = (stage->now_ns - said_ns) / 1000000;
    cr_assert(ms >= 100 && ms <= 130, "%llu ms", (unsigned long long)ms);
    ring_stage_end(stage);
}

Test(failover, commands_of_a_slot_keep_their_order_when_its_coordinator_changes_under_them) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    char expected[2048] = "";
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    unsigned count = 0, size = 0;
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned i = 0; i < 40; i++) {
            ring_say_format(client, "APPEND %s %u", key.text, count % 10);
            size += (unsigned)snprintf(expected + size, sizeof expected - size, "%u", count++ % 10);
            ring_step(stage);
        }
        failover_unsettle(stage->nodes[round % 3].node, "the test wants it");
    }
    for (unsigned i = 1; i <= count; i++) {
        char length[16];
        snprintf(length, sizeof length, ":%u\r\n", i);
        EXPECT_HEARD(client, length);
    }
    const char *value = ring_ask_format(client, "GET %s", key.text);
    cr_assert_not_null(strstr(value, expected), "%s", value);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        cr_assert_eq(cluster_at(stage, 0)->ways[slot].in_flight + cluster_at(stage, 0)->ways[slot].waiting,
                     0);
    ring_settle(stage);
    ring_stage_end(stage);
}

Test(failover,
     a_transaction_waits_for_the_commands_of_its_slot_that_are_under_way_to_who_coordinated_it_before) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    ring_wait(stage, 200);
    ring_hold(stage, 0, 1, true);
    ring_say_format(client, "APPEND %s a", key.text);
    ring_step(stage);
    failover_unsettle(stage->nodes[1].node, "the test wants it");
    for (unsigned ms = 0; ring_coordinator(stage, 0, key.text) != 0; ms += RING_STEP_MS) {
        cr_assert_lt(ms, 80u);
        ring_wait(stage, RING_STEP_MS);
    }
    ring_say(client, "MULTI");
    ring_say_format(client, "APPEND %s b", key.text);
    ring_say_format(client, "GET %s", key.text);
    ring_say(client, "EXEC");
    ring_turn(stage);
    ring_hold(stage, 0, 1, false);
    EXPECT_HEARD(client, ":1\r\n");
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, "+QUEUED\r\n");
    EXPECT_HEARD(client, "+QUEUED\r\n");
    EXPECT_HEARD(client, "*2\r\n:2\r\n$2\r\nab\r\n");
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(failover, what_was_sent_shortly_before_a_node_goes_on_is_executed) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    ring_stop(stage, 1);
    ring_wait(stage, 200);
    ring_say_format(client, "INCR %s", key.text);
    ring_wait(stage, 30);
    ring_go_on(stage, 1, true);
    EXPECT_HEARD(client, ":1\r\n");
    cr_assert_eq(failover_at(stage, 1)->refused_late, 0);
    ring_stage_end(stage);
}

Test(failover, a_machine_that_stood_still_with_all_its_nodes_goes_on) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    char line[64];
    for (unsigned i = 0; i < 3; i++)
        EXPECT_ASKED(client, line_of(line, "SET %s v", ring_key_of(stage, 0, i, 0)), "+OK\r\n");
    stage->now_ns += UINT64_C(700000000);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_leq(
            took_ms(stage, client, line_of(line, "GET %s", ring_key_of(stage, 1, i, 0)), "$1\r\nv\r\n"), 200);
        cr_assert_eq(failover_at(stage, i)->pauses, 1);
    }
    ring_settle(stage);
    cr_assert_eq(failover_at(stage, 0)->passes, 0);
    ring_stage_end(stage);
}

Test(failover, the_age_of_requests_is_told_by_the_least_difference_of_the_clocks_lately) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct node *node = stage->nodes[0].node;
    struct peer_link link = {0};
    uint64_t begin_ms = node->monotonic_ms;
    /* A clock that is an hour ahead: it is the difference that counts. */
    uint64_t ahead_ms = 3600000;
    failover_note_clock(node, &link, begin_ms + ahead_ms);
    cr_assert_eq(failover_age(node, &link, begin_ms + ahead_ms), 0);
    node->monotonic_ms = begin_ms + 1000;
    failover_note_clock(node, &link, begin_ms + 700 + ahead_ms);
    cr_assert_eq(failover_age(node, &link, begin_ms + 700 + ahead_ms), 300);
    /* It runs slower than ours: what was least long ago is forgotten. */
    for (unsigned i = 1; i < 20; i++) {
        node->monotonic_ms = begin_ms + i * 30000;
        failover_note_clock(node, &link, begin_ms + i * 29980 + ahead_ms);
        cr_assert_leq(failover_age(node, &link, begin_ms + i * 29980 + ahead_ms), 20, "after %u windows", i);
    }
    cr_assert_geq(failover_age(node, &link, begin_ms + 19 * 29980 - 80 + ahead_ms), 80);
    ring_stage_end(stage);
}

/* ---- A planned end ---- */

/* Until the node has come to its end; its process is gone then. Returns the milliseconds. */
static uint64_t end_node(struct ring_stage *stage, unsigned number) {
    uint64_t begin_ns = stage->now_ns;
    while (node_shutdown_wish(stage->nodes[number].node) == NODE_RUNNING) {
        ring_wait(stage, RING_STEP_MS);
        cr_assert_lt(stage->now_ns - begin_ns, UINT64_C(5000000000), "it does not end:\n%s",
                     stage->nodes[number].log);
    }
    ring_kill(stage, number);
    return (stage->now_ns - begin_ns) / 1000000;
}

Test(failover, the_others_take_over_from_a_node_that_is_asked_to_end_and_no_command_fails) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    for (unsigned ending = 0; ending < 5; ending++) {
        unsigned at = (ending + 1) % 5;
        struct ring_client *client = ring_connect(stage, at);
        for (unsigned i = 0; i < 100; i++)
            ring_say_format(client, "INCR key:%u:%u", ending, i);
        ring_step(stage);
        node_stop(stage->nodes[ending].node, NODE_STOP_NOSAVE);
        for (unsigned step = 0; step < 3; step++) {
            for (unsigned i = 0; i < 100; i++)
                ring_say_format(client, "INCR key:%u:%u", ending, i);
            ring_step(stage);
        }
        cr_assert_leq(end_node(stage, ending), 500);
        for (unsigned i = 0; i < 400; i++) {
            char expected[16];
            snprintf(expected, sizeof expected, ":%u\r\n", i / 100 + 1);
            EXPECT_HEARD(client, expected);
        }
        for (unsigned i = 0; i < 100; i++)
            cr_assert_str_eq(ring_ask_format(client, "GET key:%u:%u", ending, i), "$1\r\n4\r\n");
        cr_assert_eq(cluster_at(stage, at)->indeterminate, 0);
        ring_start(stage, ending);
        ring_settle(stage);
    }
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(failover, a_node_that_leaves_serves_its_own_clients_until_the_others_have_taken_over) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 1);
    struct ring_key own = ring_key_of(stage, 1, 1, 0);
    ring_hold(stage, 2, 1, true); /* so node 2 cannot say that it goes around it */
    node_stop(stage->nodes[1].node, NODE_STOP_NOSAVE);
    cr_assert_str_eq(ring_ask_format(client, "INCR %s", own.text), ":1\r\n");
    cr_assert_neq(ring_coordinator(stage, 1, own.text), 1);
    cr_assert_neq(ring_coordinator(stage, 0, own.text), 1);
    uint64_t ms = end_node(stage, 1);
    cr_assert(ms >= 1900 && ms <= 2100, "%llu ms", (unsigned long long)ms);
    ring_stage_end(stage);
}

Test(failover, an_end_that_was_called_off_gives_the_node_back_what_it_coordinated) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *other = ring_connect(stage, 1),
                       *asks = ring_connect(stage, 1);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    ring_hold(stage, 2, 1, true);
    ring_say(asks, "SHUTDOWN NOSAVE");
    ring_wait(stage, 50);
    cr_assert_neq(ring_coordinator(stage, 0, key.text), 1);
    cr_assert_str_eq(ring_ask_format(client, "INCR %s", key.text), ":1\r\n");
    EXPECT_ASKED(other, "SHUTDOWN ABORT", "+OK\r\n");
    cr_assert(has_begin(ring_hear(asks), "-ERR Errors trying to SHUTDOWN"));
    ring_hold(stage, 2, 1, false);
    ring_settle(stage);
    cr_assert_eq(ring_coordinator(stage, 0, key.text), 1);
    cr_assert_str_eq(ring_ask_format(client, "INCR %s", key.text), ":2\r\n");
    ring_stage_end(stage);
}

Test(failover, shutdown_now_and_a_second_wish_wait_for_nobody) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 1);
    ring_hold(stage, 2, 1, true);
    node_stop(stage->nodes[0].node, NODE_STOP_NOSAVE);
    node_stop(stage->nodes[0].node, NODE_STOP_NOSAVE);
    ring_say(client, "SHUTDOWN NOSAVE NOW");
    cr_assert_leq(end_node(stage, 1), 10);
    ring_wait(stage, 10);
    cr_assert_leq(end_node(stage, 0), 100);
    ring_stage_end(stage);
}

Test(failover, all_nodes_may_end_at_once) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    for (unsigned i = 0; i < 3; i++)
        node_stop(stage->nodes[i].node, NODE_STOP_NOSAVE);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_leq(end_node(stage, i), 2100);
    ring_stage_end(stage);
}

/* ---- The whole database ---- */

/* Goes over all keys with SCAN; returns how many there were. */
static unsigned scan(struct ring_client *client) {
    char cursor[32] = "0";
    unsigned found = 0;
    do {
        const char *reply = ring_ask_format(client, "SCAN %s COUNT 50", cursor);
        cr_assert(has_begin(reply, "*2\r\n$"), "%s", reply);
        const char *line = strchr(reply + 5, '\n') + 1;
        snprintf(cursor, sizeof cursor, "%.*s", (int)strcspn(line, "\r"), line);
        found += (unsigned)strtoul(strchr(line, '*') + 1, NULL, 10);
    } while (strcmp(cursor, "0") != 0);
    return found;
}

Test(failover, commands_on_the_whole_database_count_every_key_once_while_nodes_fail) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    ring_fill(client, 300);
    EXPECT_ASKED(client, "DBSIZE", ":300\r\n");
    ring_wait(stage, 50);
    ring_say(client, "DBSIZE");
    ring_step(stage);
    ring_kill(stage, 3);
    EXPECT_HEARD(client, ":300\r\n");
    cr_assert_leq(took_ms(stage, client, "DBSIZE", ":300\r\n"), 50);
    cr_assert_eq(scan(client), 300);
    ring_stop(stage, 2);
    cr_assert_leq(took_ms(stage, client, "DBSIZE", ":300\r\n"), 200);
    cr_assert_eq(scan(client), 300);
    cr_assert(has_begin(ring_ask(client, "KEYS *"), "*300\r\n"));
    cr_assert_eq(ring_ask(client, "RANDOMKEY")[0], '$');
    ring_go_on(stage, 2, false);
    ring_start(stage, 3);
    for (unsigned i = 0; i < 50; i++) {
        EXPECT_ASKED(client, "DBSIZE", ":300\r\n");
        ring_wait(stage, 20);
    }
    ring_settle(stage);
    EXPECT_ASKED(client, "DBSIZE", ":300\r\n");
    ring_stage_end(stage);
}

Test(failover, what_is_flushed_while_a_node_does_not_answer_does_not_come_back_with_it) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    ring_fill(client, 200);
    ring_wait(stage, 50);
    ring_stop(stage, 2);
    EXPECT_ASKED(client, line_of((char[64]){0}, "GET %s", ring_key_of(stage, 0, 2, 0)), "$1\r\nv\r\n");
    EXPECT_ASKED(client, "FLUSHALL", "+OK\r\n");
    EXPECT_ASKED(client, "DBSIZE", ":0\r\n");
    ring_go_on(stage, 2, false);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    EXPECT_ASKED(client, "DBSIZE", ":0\r\n");
    ring_stage_end(stage);
}

Test(failover, who_is_passed_over_when_all_is_flushed_is_told_of_it_without_being_compared) {
    struct ring_stage *stage = ring_stage_begin(5, "anti-entropy no\n");
    struct ring_client *client = ring_connect(stage, 0);
    ring_fill(client, 200);
    ring_wait(stage, 50);
    ring_stop(stage, 2);
    EXPECT_ASKED(client, line_of((char[64]){0}, "GET %s", ring_key_of(stage, 0, 2, 0)), "$1\r\nv\r\n");
    EXPECT_ASKED(client, "FLUSHALL", "+OK\r\n");
    cr_assert_neq(keyspace_size(stage->nodes[2].node->keyspace, 0), 0);
    ring_go_on(stage, 2, false);
    ring_wait(stage, 2000);
    cr_assert_eq(keyspace_size(stage->nodes[2].node->keyspace, 0), 0);
    ring_stage_end(stage);
}

Test(failover, split_commands_lose_no_part) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    ring_fill(client, 10);
    ring_wait(stage, 50);
    ring_say(client, "MGET key:0 key:1 key:2 key:3 key:4 key:5 key:6 key:7 key:8 key:9");
    ring_say(client, "MSET key:0 w key:1 w key:2 w key:3 w key:4 w key:5 w key:6 w key:7 w key:8 w key:9 w");
    ring_say(client, "EXISTS key:0 key:1 key:2 key:3 key:4 key:5 key:6 key:7 key:8 key:9 none");
    ring_stop(stage, 1);
    EXPECT_HEARD(client,
                 "*10\r\n$1\r\nv\r\n$1\r\nv\r\n$1\r\nv\r\n$1\r\nv\r\n$1\r\nv\r\n$1\r\nv\r\n$1\r\nv\r\n"
                 "$1\r\nv\r\n$1\r\nv\r\n$1\r\nv\r\n");
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, ":10\r\n");
    ring_stage_end(stage);
}

/* ---- Stand-ins ---- */

Test(failover, where_all_who_hold_a_slot_are_down_the_next_node_stands_in_and_hands_over_later) {
    struct ring_stage *stage = ring_stage_begin(3, "replication-factor 1\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    char line[64];
    ring_kill(stage, 1);
    cr_assert_leq(took_ms(stage, client, line_of(line, "SET %s v", key), "+OK\r\n"), 3000);
    EXPECT_ASKED(client, line_of(line, "APPEND %s w", key), ":2\r\n");
    EXPECT_ASKED(client, "DBSIZE", ":1\r\n");
    ring_start(stage, 1);
    ring_settle(stage);
    cr_assert_eq(ring_coordinator(stage, 0, key.text), 1);
    EXPECT_ASKED(client, line_of(line, "GET %s", key), "$2\r\nvw\r\n");
    ring_wait(stage, 25000);
    cr_assert_eq(ring_copy_size(stage, 1, key.text), 2);
    cr_assert_eq(ring_copy_size(stage, 0, key.text) + ring_copy_size(stage, 2, key.text), -2,
                 "it is kept elsewhere");
    ring_stage_end(stage);
}

Test(failover, nobody_stands_in_for_a_node_that_is_merely_silent) {
    struct ring_stage *stage = ring_stage_begin(3, "replication-factor 1\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    char line[64];
    EXPECT_ASKED(client, line_of(line, "SET %s v", key), "+OK\r\n");
    ring_stop(stage, 1);
    ring_say_format(client, "GET %s", key.text);
    ring_wait(stage, 400);
    cr_assert_str_eq(ring_hear_now(client), "");
    ring_go_on(stage, 1, false);
    EXPECT_HEARD(client, "$1\r\nv\r\n");
    ring_settle(stage);
    ring_stage_end(stage);
}

/* ---- Bytes ---- */

Test(failover, words_about_reach_that_make_no_sense_are_refused) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct node *node = stage->nodes[0].node;
    struct peer *peer = ring_peer(stage, 0, 1);
    static const struct {
        bool is_caller; /* the link that it comes on was called by us */
        uint8_t size, bytes[4];
    } wrong[] = {{false, 0, {0}},        {false, 1, {1}},   {true, 1, {1}},          {true, 2, {1, 1}},
                 {false, 3, {1, 1, 1}},  {true, 1, {0}},    {false, 2, {0, 1}},      {true, 1, {2}},
                 {true, 1, {3}},         {false, 1, {4}},   {false, 3, {4, 1, 1}},   {false, 2, {5, 1}},
                 {false, 1, {6}},        {false, 1, {255}}, {true, 4, {1, 1, 1, 1}}, {false, 2, {4, 0x80}},
                 {true, 3, {1, 1, 0x80}}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_not(
            failover_receive(node, wrong[i].is_caller ? peer->out : peer->in, wrong[i].bytes, wrong[i].size),
            "%zu", i);
    cr_assert(cluster_at(stage, 0)->is_settled);
    /* An answer to a question that was not asked. */
    cr_assert(failover_receive(node, peer->out, (const uint8_t[]){1, 9, 9}, 3));
    cr_assert_not(peer->reach.must_prove);
    ring_stage_end(stage);
}
