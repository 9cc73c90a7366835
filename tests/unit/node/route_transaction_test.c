/* route_transaction_test.c - transactions that another node runs: what of them is done at the entry node, and what WATCH takes for a
 * change.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/ring_stage.h"

#include <criterion/criterion.h>

Test(route_transaction, commands_without_keys_run_at_the_clients_own_node_and_stand_in_their_places) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *other = ring_connect(stage, 1);
    struct ring_key far = ring_key_of(stage, 0, 1, 0);
    ring_ask(client, "MULTI");
    ring_ask_format(client, "SET %s v", far.text);
    ring_ask(client, "CLIENT SETNAME inside");
    ring_ask(client, "CONFIG SET slowlog-max-len 77");
    ring_ask_format(client, "BITFIELD %s GET u8 0 GET u8 8", far.text);
    ring_ask(client, "ECHO x");
    ring_say(client, "EXEC");
    ring_say(client, "PING");
    EXPECT_HEARD(client, "*5\r\n+OK\r\n+OK\r\n+OK\r\n*2\r\n:118\r\n:0\r\n$1\r\nx\r\n");
    EXPECT_HEARD(client, "+PONG\r\n");
    EXPECT_ASKED(client, "CLIENT GETNAME", "$6\r\ninside\r\n");
    EXPECT_ASKED(client, "CONFIG GET slowlog-max-len", "*2\r\n$15\r\nslowlog-max-len\r\n$2\r\n77\r\n");
    EXPECT_ASKED(other, "CONFIG GET slowlog-max-len", "*2\r\n$15\r\nslowlog-max-len\r\n$3\r\n128\r\n");
    ring_stage_end(stage);
}

Test(route_transaction, of_one_that_is_not_run_nothing_is_done_at_the_clients_node) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *other = ring_connect(stage, 1);
    struct ring_key far = ring_key_of(stage, 0, 1, 0);
    ring_ask_format(client, "WATCH %s", far.text);
    ring_ask_format(other, "SET %s v", far.text);
    ring_ask(client, "MULTI");
    ring_ask_format(client, "GET %s", far.text);
    ring_ask(client, "CLIENT SETNAME inside");
    EXPECT_ASKED(client, "EXEC", "*-1\r\n");
    EXPECT_ASKED(client, "CLIENT GETNAME", "$-1\r\n");
    EXPECT_ASKED(client, "EXEC", "-ERR EXEC without MULTI\r\n");
    ring_stage_end(stage);
}

Test(route_transaction, client_reply_inside_counts_for_what_follows) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key far = ring_key_of(stage, 0, 1, 0);
    ring_ask(client, "MULTI");
    ring_ask_format(client, "SET %s v", far.text);
    ring_ask(client, "CLIENT REPLY SKIP");
    ring_say(client, "EXEC");
    ring_say(client, "ECHO silent");
    ring_say(client, "ECHO loud");
    ring_say(client, "ECHO more");
    /* An array of two, of which one is silent: what follows is taken for the other. */
    EXPECT_HEARD(client, "*2\r\n+OK\r\n$4\r\nloud\r\n");
    EXPECT_HEARD(client, "$4\r\nmore\r\n");
    ring_stage_end(stage);
}

Test(route_transaction, a_client_may_go_away_while_it_waits) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key far = ring_key_of(stage, 0, 1, 0);
    ring_ask(client, "MULTI");
    ring_ask_format(client, "SET %s v", far.text);
    ring_ask(client, "PING");
    ring_hold(stage, 1, 0, true);
    ring_say(client, "EXEC");
    ring_turn(stage);
    ring_disconnect(client);
    ring_hold(stage, 1, 0, false);
    ring_turn(stage);
    client = ring_connect(stage, 0);
    cr_assert_str_eq(ring_ask_format(client, "GET %s", far.text), "$1\r\nv\r\n");
    ring_stage_end(stage);
}

/* The words of the next line that a MONITOR shows. */
static const char *shown(struct ring_client *monitor) {
    const char *line = ring_hear(monitor), *words = strstr(line, "] ");
    return words == NULL ? line : words + 2;
}

Test(route_transaction, monitor_shows_it_in_the_order_in_which_it_ran) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *monitor = ring_connect(stage, 0);
    struct ring_key far = ring_key_of(stage, 0, 1, 0);
    EXPECT_ASKED(monitor, "MONITOR", "+OK\r\n");
    ring_ask_format(client, "WATCH %s", far.text);
    cr_assert(strncmp(shown(monitor), "\"WATCH\"", 7) == 0);
    ring_ask(client, "MULTI");
    cr_assert_str_eq(shown(monitor), "\"MULTI\"\r\n");
    ring_ask_format(client, "INCR %s", far.text);
    ring_ask(client, "PING");
    cr_assert_str_eq(ring_hear_now(monitor), "");
    EXPECT_ASKED(client, "EXEC", "*2\r\n:1\r\n+PONG\r\n");
    cr_assert(strncmp(shown(monitor), "\"INCR\"", 6) == 0);
    cr_assert_str_eq(shown(monitor), "\"PING\"\r\n");
    cr_assert_str_eq(shown(monitor), "\"EXEC\"\r\n");
    ring_ask(client, "MULTI");
    cr_assert_str_eq(shown(monitor), "\"MULTI\"\r\n");
    ring_ask_format(client, "GET %s", far.text);
    EXPECT_ASKED(client, "exec", "*1\r\n$1\r\n1\r\n");
    cr_assert(strncmp(shown(monitor), "\"GET\"", 5) == 0);
    cr_assert_str_eq(shown(monitor), "\"exec\"\r\n");
    ring_stage_end(stage);
}

/* Whether a watched key lets the transaction run after something was done. */
static bool runs_after(struct ring_stage *stage, const char *key, const char *const *done, size_t count) {
    struct ring_client *client = ring_connect(stage, 0), *other = ring_connect(stage, 2);
    ring_ask_format(client, "WATCH %s", key);
    for (size_t i = 0; i < count; i++)
        ring_ask(other, done[i]);
    ring_ask(client, "MULTI");
    ring_ask(client, "PING");
    bool runs = strcmp(ring_ask(client, "EXEC"), "*1\r\n+PONG\r\n") == 0;
    ring_disconnect(client);
    ring_disconnect(other);
    return runs;
}

Test(route_transaction, a_watched_key_that_came_and_went_has_changed_and_a_flush_changes_no_absent_one) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    static const char *const come_and_go[] = {"SET a v", "DEL a", "SET b v", "DEL b", "SET c v", "DEL c"};
    static const char *const flush[] = {"FLUSHALL"};
    static const char *const keys[] = {"a", "b", "c"};
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(runs_after(stage, keys[i], NULL, 0));
        cr_assert_not(runs_after(stage, keys[i], &come_and_go[2 * i], 2), "%s was never there before",
                      keys[i]);
        cr_assert_not(runs_after(stage, keys[i], &come_and_go[2 * i], 2), "%s was deleted before", keys[i]);
        cr_assert(runs_after(stage, keys[i], flush, 1));
    }
    ring_stage_end(stage);
}

Test(route_transaction, a_flush_that_is_refused_is_not_told_to_the_copies) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned i = 0; i < 3; i++)
        ring_ask_format(client, "SET %s v", ring_key_of(stage, 0, i, 0).text);
    ring_expect_equal_copies(stage);
    EXPECT_ASKED(client, "FLUSHALL NOW", "-ERR syntax error\r\n");
    EXPECT_ASKED(client, "FLUSHDB ASYNC SYNC", "-ERR syntax error\r\n");
    ring_wait(stage, 100);
    for (unsigned i = 0; i < 3; i++)
        for (unsigned at = 0; at < 3; at++)
            cr_assert_eq(ring_copy_size(stage, at, ring_key_of(stage, 0, i, 0).text), 1);
    EXPECT_ASKED(client, "FLUSHALL", "+OK\r\n");
    ring_wait(stage, 100);
    for (unsigned at = 0; at < 3; at++)
        cr_assert_eq(ring_copy_size(stage, at, ring_key_of(stage, 0, 0, 0).text), -1);
    ring_stage_end(stage);
}
