/* transaction_ring_test.c - MULTI, EXEC and WATCH on any node: one slot, one coordinator, one step.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/ring_stage.h"

#include "node/route.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void begin(struct ring_client *client) {
    EXPECT_ASKED(client, "MULTI", "+OK\r\n");
}

static void queue(struct ring_client *client, const char *line) {
    EXPECT_ASKED(client, line, "+QUEUED\r\n");
}

/* A tag whose slot a node coordinates. */
static struct ring_key tag_of(struct ring_stage *stage, unsigned coordinator) {
    struct ring_key tag;
    for (unsigned i = 0;; i++) {
        char key[64];
        snprintf(tag.text, sizeof tag.text, "{t%u}", i);
        snprintf(key, sizeof key, "%sa", tag.text);
        if (ring_coordinator(stage, 0, key) == coordinator)
            return tag;
    }
}

#define WITH_RING(count)                                      \
    struct ring_stage *stage = ring_stage_begin(count, NULL); \
    struct ring_client *client = ring_connect(stage, 0);      \
    char line[256];                                           \
    (void)line

#define LINE(...) (snprintf(line, sizeof line, __VA_ARGS__), line)

Test(transaction_ring, a_transaction_runs_at_the_coordinator_of_its_slot_in_one_step) {
    WITH_RING(3);
    for (unsigned i = 0; i < 3; i++) {
        struct ring_key tag = tag_of(stage, i);
        begin(client);
        queue(client, LINE("SET %sa 1", tag.text));
        queue(client, LINE("INCR %sa", tag.text));
        queue(client, LINE("MSET %sb x %sc y", tag.text, tag.text));
        queue(client, LINE("MGET %sa %sb %sc %snone", tag.text, tag.text, tag.text, tag.text));
        queue(client, LINE("DEL %sb", tag.text));
        EXPECT_ASKED(client, "EXEC",
                     "*5\r\n+OK\r\n:2\r\n+OK\r\n*4\r\n$1\r\n2\r\n$1\r\nx\r\n$1\r\ny\r\n$-1\r\n:1\r\n");
        ring_turn(stage);
        cr_assert(ring_copies_are_equal(stage));
        EXPECT_ASKED(client, LINE("EXISTS %sa %sb %sc", tag.text, tag.text, tag.text), ":2\r\n");
    }
    ring_stage_end(stage);
}

Test(transaction_ring, replies_of_a_transaction_keep_their_place_in_a_pipeline) {
    WITH_RING(3);
    struct ring_key far = tag_of(stage, 1), other = tag_of(stage, 2);
    ring_hold(stage, 1, 0, true);
    ring_say_format(client, "INCR %sn", far.text);
    ring_say(client, "MULTI");
    ring_say_format(client, "INCR %sn", far.text);
    ring_say_format(client, "GET %sn", far.text);
    ring_say(client, "EXEC");
    ring_say_format(client, "INCR %sn", other.text);
    ring_say(client, "PING");
    ring_turn(stage);
    ring_hold(stage, 1, 0, false);
    EXPECT_HEARD(client, ":1\r\n");
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, "+QUEUED\r\n");
    EXPECT_HEARD(client, "+QUEUED\r\n");
    EXPECT_HEARD(client, "*2\r\n:2\r\n$1\r\n2\r\n");
    EXPECT_HEARD(client, ":1\r\n");
    EXPECT_HEARD(client, "+PONG\r\n");
    ring_stage_end(stage);
}

Test(transaction_ring, an_error_inside_does_not_end_the_transaction) {
    WITH_RING(3);
    for (unsigned i = 0; i < 2; i++) {
        struct ring_key tag = tag_of(stage, i);
        begin(client);
        queue(client, LINE("SET %sa text", tag.text));
        queue(client, LINE("INCR %sa", tag.text));
        queue(client, LINE("APPEND %sa more", tag.text));
        EXPECT_ASKED(client, "EXEC", "*3\r\n+OK\r\n-ERR value is not an integer or out of range\r\n:8\r\n");
    }
    ring_stage_end(stage);
}

Test(transaction_ring, a_command_that_cannot_be_queued_breaks_the_transaction) {
    WITH_RING(3);
    struct ring_key far = tag_of(stage, 1), other = tag_of(stage, 2);
    static const char aborted[] = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    begin(client);
    queue(client, LINE("SET %sa 1", far.text));
    EXPECT_ASKED(client, LINE("SET %sa 1", other.text), "-" ERROR_CROSS_SLOT "\r\n");
    EXPECT_ASKED(client, "EXEC", aborted);
    begin(client);
    EXPECT_ASKED(client, LINE("MGET %sa %sa", far.text, other.text), "-" ERROR_CROSS_SLOT "\r\n");
    EXPECT_ASKED(client, "EXEC", aborted);
    begin(client);
    queue(client, LINE("SET %sa 1", far.text));
    cr_assert(strncmp(ring_ask(client, "DBSIZE"), "-ERR this command speaks for the whole cluster", 46) == 0);
    EXPECT_ASKED(client, "EXEC", aborted);
    begin(client);
    queue(client, LINE("SET %sa 1", far.text));
    EXPECT_ASKED(client, "NONSENSE", "-ERR unknown command 'NONSENSE', with args beginning with: \r\n");
    EXPECT_ASKED(client, "EXEC", aborted);
    EXPECT_ASKED(client, LINE("EXISTS %sa", far.text), ":0\r\n");
    ring_stage_end(stage);
}

Test(transaction_ring, discard_forgets_queue_slot_and_watched_keys) {
    WITH_RING(3);
    struct ring_key far = tag_of(stage, 1), other = tag_of(stage, 2);
    EXPECT_ASKED(client, LINE("WATCH %sa", far.text), "+OK\r\n");
    begin(client);
    queue(client, LINE("SET %sa 1", far.text));
    EXPECT_ASKED(client, "DISCARD", "+OK\r\n");
    EXPECT_ASKED(client, "EXEC", "-ERR EXEC without MULTI\r\n");
    EXPECT_ASKED(client, LINE("EXISTS %sa", far.text), ":0\r\n");
    begin(client);
    queue(client, LINE("SET %sa 1", other.text));
    EXPECT_ASKED(client, "EXEC", "*1\r\n+OK\r\n");
    ring_stage_end(stage);
}

Test(transaction_ring, an_empty_transaction_is_answered_by_the_node_itself) {
    WITH_RING(3);
    begin(client);
    EXPECT_ASKED(client, "EXEC", "*0\r\n");
    begin(client);
    queue(client, "PING");
    queue(client, "ECHO x");
    EXPECT_ASKED(client, "EXEC", "*2\r\n+PONG\r\n$1\r\nx\r\n");
    ring_stage_end(stage);
}

Test(transaction_ring, what_concerns_the_connection_is_done_to_the_clients_own_one) {
    WITH_RING(3);
    struct ring_key far = tag_of(stage, 1);
    begin(client);
    queue(client, LINE("SET %sa 1", far.text));
    queue(client, "CLIENT SETNAME somebody");
    queue(client, "CLIENT ID");
    queue(client, LINE("GET %sa", far.text));
    char expected[64];
    snprintf(expected, sizeof expected, "*4\r\n+OK\r\n+OK\r\n:%llu\r\n$1\r\n1\r\n",
             (unsigned long long)client->session->id);
    EXPECT_ASKED(client, "EXEC", expected);
    EXPECT_ASKED(client, "CLIENT GETNAME", "$8\r\nsomebody\r\n");
    ring_stage_end(stage);
}

Test(transaction_ring, nulls_come_in_the_protocol_of_the_client) {
    WITH_RING(3);
    struct ring_key far = tag_of(stage, 1);
    ring_ask(client, "HELLO 3");
    begin(client);
    queue(client, LINE("GET %snone", far.text));
    EXPECT_ASKED(client, "EXEC", "*1\r\n_\r\n");
    EXPECT_ASKED(client, LINE("WATCH %sa", far.text), "+OK\r\n");
    struct ring_client *other = ring_connect(stage, 2);
    EXPECT_ASKED(other, LINE("SET %sa 1", far.text), "+OK\r\n");
    begin(client);
    queue(client, LINE("GET %sa", far.text));
    EXPECT_ASKED(client, "EXEC", "_\r\n");
    ring_stage_end(stage);
}

/* ---- WATCH ---- */

Test(transaction_ring, a_watched_key_that_nobody_touches_lets_the_transaction_run) {
    WITH_RING(3);
    for (unsigned i = 0; i < 3; i++) {
        struct ring_key tag = tag_of(stage, i);
        EXPECT_ASKED(client, LINE("SET %sa 1", tag.text), "+OK\r\n");
        EXPECT_ASKED(client, LINE("WATCH %sa %snone", tag.text, tag.text), "+OK\r\n");
        EXPECT_ASKED(client, LINE("WATCH %smore", tag.text), "+OK\r\n");
        EXPECT_ASKED(client, LINE("GET %sa", tag.text), "$1\r\n1\r\n");
        begin(client);
        queue(client, LINE("INCR %sa", tag.text));
        EXPECT_ASKED(client, "EXEC", "*1\r\n:2\r\n");
        /* It is watched no longer. */
        begin(client);
        queue(client, LINE("INCR %sa", tag.text));
        EXPECT_ASKED(client, "EXEC", "*1\r\n:3\r\n");
    }
    ring_stage_end(stage);
}

Test(transaction_ring, a_watched_key_that_somebody_changes_stops_it) {
    WITH_RING(3);
    struct ring_client *other = ring_connect(stage, 2);
    static const char *const changes[] = {"SET %sa 5",    "INCR %sa",    "DEL %sa",          "EXPIRE %sa 100",
                                          "APPEND %sa x", "SET %snew 1", "RENAME %sa %1$sb", "FLUSHALL"};
    for (unsigned i = 0; i < 3; i++) {
        struct ring_key tag = tag_of(stage, i);
        for (size_t j = 0; j < sizeof changes / sizeof *changes; j++) {
            EXPECT_ASKED(other, LINE("SET %sa 1", tag.text), "+OK\r\n");
            EXPECT_ASKED(other, LINE("DEL %snew", tag.text), j == 6 ? ":1\r\n" : ":0\r\n");
            EXPECT_ASKED(client, LINE("WATCH %sa %snew", tag.text, tag.text), "+OK\r\n");
            begin(client);
            queue(client, LINE("SET %sresult %zu", tag.text, j));
            char change[128];
            if (j == 6)
                snprintf(change, sizeof change, "RENAME %sa %sb", tag.text, tag.text);
            else
                snprintf(change, sizeof change, "%.*s%s%s", (int)strcspn(changes[j], "%"), changes[j],
                         strchr(changes[j], '%') != NULL ? tag.text : "",
                         strchr(changes[j], '%') != NULL ? strchr(changes[j], '%') + 2 : "");
            cr_assert_neq(ring_ask(other, change)[0], '-', "%s", change);
            cr_assert_str_eq(ring_ask(client, "EXEC"), "*-1\r\n", "after %s", change);
            EXPECT_ASKED(client, LINE("EXISTS %sresult", tag.text), ":0\r\n");
        }
    }
    ring_stage_end(stage);
}

Test(transaction_ring, a_watched_key_whose_time_comes_stops_it) {
    WITH_RING(3);
    for (unsigned i = 0; i < 3; i++) {
        struct ring_key tag = tag_of(stage, i);
        EXPECT_ASKED(client, LINE("SET %sa 1 PX 100", tag.text), "+OK\r\n");
        EXPECT_ASKED(client, LINE("WATCH %sa", tag.text), "+OK\r\n");
        begin(client);
        queue(client, LINE("SET %sresult 1", tag.text));
        ring_wait(stage, 300);
        EXPECT_ASKED(client, "EXEC", "*-1\r\n");
    }
    ring_stage_end(stage);
}

Test(transaction_ring, unwatch_forgets_keys_of_other_nodes) {
    WITH_RING(3);
    struct ring_key far = tag_of(stage, 1), other = tag_of(stage, 2);
    EXPECT_ASKED(client, LINE("WATCH %sa", far.text), "+OK\r\n");
    EXPECT_ASKED(client, LINE("SET %sa 1", far.text), "+OK\r\n");
    EXPECT_ASKED(client, "UNWATCH", "+OK\r\n");
    begin(client);
    queue(client, LINE("GET %sa", far.text));
    EXPECT_ASKED(client, "EXEC", "*1\r\n$1\r\n1\r\n");
    EXPECT_ASKED(client, LINE("WATCH %sa", other.text), "+OK\r\n");
    begin(client);
    queue(client, LINE("GET %snone", other.text));
    EXPECT_ASKED(client, "EXEC", "*1\r\n$-1\r\n");
    ring_stage_end(stage);
}

Test(transaction_ring, watched_and_queued_keys_must_be_in_one_slot) {
    WITH_RING(3);
    struct ring_key far = tag_of(stage, 1), other = tag_of(stage, 2);
    EXPECT_ASKED(client, LINE("WATCH %sa", far.text), "+OK\r\n");
    EXPECT_ASKED(client, LINE("WATCH %sa", other.text), "-" ERROR_CROSS_SLOT "\r\n");
    begin(client);
    queue(client, LINE("GET %sa", other.text));
    EXPECT_ASKED(client, "EXEC", "-" ERROR_CROSS_SLOT "\r\n");
    EXPECT_ASKED(client, "EXEC", "-ERR EXEC without MULTI\r\n");
    EXPECT_ASKED(client, "PING", "+PONG\r\n");
    ring_stage_end(stage);
}

Test(transaction_ring, watch_holds_the_pipeline_behind_it_until_it_is_answered) {
    WITH_RING(3);
    struct ring_key far = tag_of(stage, 1);
    ring_say_format(client, "SET %sa 1", far.text);
    ring_say_format(client, "WATCH %sa", far.text);
    ring_say_format(client, "INCR %sa", far.text); /* its own change counts, too */
    ring_say(client, "MULTI");
    ring_say_format(client, "GET %sa", far.text);
    ring_say(client, "EXEC");
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, ":2\r\n");
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, "+QUEUED\r\n");
    EXPECT_HEARD(client, "*-1\r\n");
    ring_stage_end(stage);
}

/* ---- Nodes that are lost, routes that change ---- */

Test(transaction_ring, a_transaction_that_was_perhaps_run_is_indeterminate) {
    WITH_RING(3);
    struct ring_key far = tag_of(stage, 1);
    begin(client);
    queue(client, LINE("SET %sa 1", far.text));
    ring_hold(stage, 1, 0, true);
    ring_say(client, "EXEC");
    ring_say(client, "PING");
    ring_turn(stage);
    ring_kill(stage, 1);
    ring_hold(stage, 1, 0, false);
    EXPECT_HEARD(client, "-" ERROR_INDETERMINATE "\r\n");
    EXPECT_HEARD(client, "+PONG\r\n");
    ring_stage_end(stage);
}

Test(transaction_ring, exec_goes_to_who_coordinates_the_slot_by_then_and_what_was_watched_still_counts) {
    WITH_RING(3);
    struct ring_key far = tag_of(stage, 1);
    struct ring_client *other = ring_connect(stage, 2);
    for (unsigned changes = 0; changes < 2; changes++) {
        EXPECT_ASKED(client, LINE("SET %sa 1", far.text), "+OK\r\n");
        ring_turn(stage);
        EXPECT_ASKED(client, LINE("WATCH %sa", far.text), "+OK\r\n");
        begin(client);
        queue(client, LINE("INCR %sa", far.text));
        ring_kill(stage, 1);
        ring_wait(stage, 3000);
        if (changes)
            EXPECT_ASKED(other, LINE("SET %sa 5", far.text), "+OK\r\n");
        EXPECT_ASKED(client, "EXEC", changes ? "*-1\r\n" : "*1\r\n:2\r\n");
        ring_start(stage, 1);
        ring_settle(stage);
    }
    ring_stage_end(stage);
}

Test(transaction_ring, exec_that_is_refused_is_sent_to_the_right_node) {
    WITH_RING(3);
    struct ring_key far = tag_of(stage, 1);
    begin(client);
    queue(client, LINE("SET %sa 1", far.text));
    struct node *node = stage->nodes[0].node;
    uint32_t slot = client->session->cluster->transaction_slot;
    cr_assert_lt(slot, SLOT_COUNT);
    uint16_t right = node->cluster->routes[slot];
    node->cluster->routes[slot] = ring_member(stage, 0, 2);
    ring_say(client, "EXEC");
    ring_turn(stage);
    cr_assert_str_eq(ring_hear_now(client), "");
    node->cluster->routes[slot] = right;
    EXPECT_HEARD(client, "*1\r\n+OK\r\n");
    ring_turn(stage);
    cr_assert(ring_copies_are_equal(stage));
    ring_stage_end(stage);
}

Test(transaction_ring, a_transaction_that_was_begun_alone_is_sent_on_when_there_is_company) {
    struct ring_stage *stage = ring_stage_new(3, NULL);
    ring_start(stage, 0);
    struct ring_client *client = ring_connect(stage, 0), *other = ring_connect(stage, 0);
    struct ring_client *second = ring_connect(stage, 0);
    EXPECT_ASKED(client, "MSET {a}k 1 {b}k 1 {c}k 1 {d}k 1 {e}k 1", "+OK\r\n");
    EXPECT_ASKED(client, "WATCH {a}k", "+OK\r\n");
    begin(client);
    queue(client, "INCR {a}k");
    begin(second);
    queue(second, "INCR {b}k");
    queue(second, "INCR {c}k");
    queue(second, "INCR {d}k");
    queue(second, "INCR {e}k");
    ring_start(stage, 1);
    ring_start(stage, 2);
    ring_settle(stage);
    EXPECT_ASKED(other, "SET {a}k 10", "+OK\r\n");
    /* What was watched was changed. */
    const char *answer = ring_ask(client, "EXEC");
    cr_assert(answer[0] == '-' || strcmp(answer, "*-1\r\n") == 0, "%s", answer);
    EXPECT_ASKED(other, "GET {a}k", "$2\r\n10\r\n");
    /* Slots of several coordinators cannot be changed in one step any more. */
    answer = ring_ask(second, "EXEC");
    cr_assert_eq(answer[0], '-', "%s", answer);
    EXPECT_ASKED(other, "MGET {b}k {c}k {d}k {e}k", "*4\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n");
    ring_stage_end(stage);
}

/* ---- Limits ---- */

Test(transaction_ring, a_long_transaction_is_sent_on_whole) {
    WITH_RING(3);
    struct ring_key far = tag_of(stage, 1);
    ring_say(client, "MULTI");
    for (unsigned i = 0; i < 3000; i++)
        ring_say_format(client, "INCR %sn", far.text);
    ring_say(client, "EXEC");
    EXPECT_HEARD(client, "+OK\r\n");
    for (unsigned i = 0; i < 3000; i++)
        EXPECT_HEARD(client, "+QUEUED\r\n");
    const char *answer = ring_hear(client);
    cr_assert(strncmp(answer, "*3000\r\n:1\r\n:2\r\n", 15) == 0);
    EXPECT_ASKED(client, LINE("GET %sn", far.text), "$4\r\n3000\r\n");
    ring_stage_end(stage);
}

Test(transaction_ring, a_transaction_of_more_arguments_than_a_request_may_have_is_run) {
    WITH_RING(3);
    struct ring_key far = tag_of(stage, 1);
    begin(client);
    for (unsigned i = 0; i < 3; i++) {
        buffer_append_format(&client->unsent, "*%u\r\n$3\r\nDEL\r\n", 400001);
        for (unsigned j = 0; j < 400000; j++)
            buffer_append_format(&client->unsent, "$%zu\r\n%s\r\n", strlen(far.text), far.text);
        EXPECT_HEARD(client, "+QUEUED\r\n");
    }
    EXPECT_ASKED(client, "EXEC", "*3\r\n:0\r\n:0\r\n:0\r\n");
    ring_stage_end(stage);
}

Test(transaction_ring, a_coordinator_that_takes_no_writes_refuses_the_transaction) {
    WITH_RING(3);
    struct ring_key far = tag_of(stage, 1);
    struct ring_client *there = ring_connect(stage, 1);
    EXPECT_ASKED(there, "CONFIG SET maxmemory 1", "+OK\r\n");
    begin(client);
    queue(client, LINE("SET %sa 1", far.text));
    const char *answer = ring_ask(client, "EXEC");
    cr_assert_eq(answer[0], '-', "%s", answer);
    EXPECT_ASKED(client, LINE("EXISTS %sa", far.text), ":0\r\n");
    ring_stage_end(stage);
}
