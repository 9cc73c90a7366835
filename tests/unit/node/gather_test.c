/* gather_test.c - commands that several nodes execute parts of: split by keys, or spread over all; and one reply.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/ring_faults.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* ---- Several keys ---- */

Test(gather, mget_and_mset_are_split_by_node_and_keep_the_order_of_their_keys) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *other = ring_connect(stage, 2);
    EXPECT_ASKED(client, "MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8", "+OK\r\n");
    EXPECT_ASKED(
        other, "MGET h none g f e d c b a none",
        "*10\r\n$1\r\n8\r\n$-1\r\n$1\r\n7\r\n$1\r\n6\r\n$1\r\n5\r\n$1\r\n4\r\n$1\r\n3\r\n$1\r\n2\r\n$1\r\n1\r\n$-1\r\n");
    EXPECT_ASKED(client, "MGET a", "*1\r\n$1\r\n1\r\n");
    EXPECT_ASKED(client, "MGET a a b a b", "*5\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    /* Of a key that comes twice the last value stays. */
    EXPECT_ASKED(client, "MSET a x b y a z c w a last", "+OK\r\n");
    EXPECT_ASKED(client, "MGET a b c", "*3\r\n$4\r\nlast\r\n$1\r\ny\r\n$1\r\nw\r\n");
    ring_turn(stage);
    cr_assert(ring_copies_are_equal(stage));
    ring_stage_end(stage);
}

Test(gather, del_unlink_exists_and_touch_sum_what_the_nodes_answer) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 1);
    EXPECT_ASKED(client, "MSET a 1 b 2 c 3 d 4 e 5 f 6", "+OK\r\n");
    EXPECT_ASKED(client, "EXISTS a b c d e f none", ":6\r\n");
    EXPECT_ASKED(client, "EXISTS a a b b none", ":4\r\n");
    EXPECT_ASKED(client, "TOUCH a b c none", ":3\r\n");
    EXPECT_ASKED(client, "DEL a b none b", ":2\r\n");
    EXPECT_ASKED(client, "UNLINK c d e c", ":3\r\n");
    EXPECT_ASKED(client, "EXISTS a b c d e f", ":1\r\n");
    EXPECT_ASKED(client, "DEL a b c d e f", ":1\r\n");
    ring_turn(stage);
    cr_assert(ring_copies_are_equal(stage));
    ring_stage_end(stage);
}

Test(gather, a_split_command_with_many_keys_reaches_all_of_them) {
    struct ring_stage *stage = ring_stage_begin(4, NULL);
    struct ring_client *client = ring_connect(stage, 3);
    buffer_append_text(&client->unsent, "MSET");
    for (unsigned i = 0; i < 5000; i++)
        buffer_append_format(&client->unsent, " k%u v%u", i, i);
    ring_say(client, "");
    EXPECT_HEARD(client, "+OK\r\n");
    buffer_append_text(&client->unsent, "EXISTS");
    for (unsigned i = 0; i < 6000; i++)
        buffer_append_format(&client->unsent, " k%u", i);
    ring_say(client, "");
    EXPECT_HEARD(client, ":5000\r\n");
    EXPECT_ASKED(client, "DBSIZE", ":5000\r\n");
    ring_stage_end(stage);
}

Test(gather, an_odd_mset_is_refused_as_a_whole) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    EXPECT_ASKED(client, "MSET a 1 b 2 c 3 d", "-ERR wrong number of arguments for 'mset' command\r\n");
    EXPECT_ASKED(client, "EXISTS a b c d", ":0\r\n");
    ring_stage_end(stage);
}

Test(gather, an_error_of_one_part_is_the_reply_of_the_whole) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *small = ring_connect(stage, 1);
    EXPECT_ASKED(small, "CONFIG SET maxmemory 1", "+OK\r\n");
    EXPECT_ASKED(client, "MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8",
                 "-INDETERMINATE a part of it was executed, of another one is said: "
                 "OOM command not allowed when used memory > 'maxmemory'.\r\n");
    EXPECT_ASKED(client, "PING", "+PONG\r\n");
    ring_stage_end(stage);
}

Test(gather, a_write_is_certainly_not_executed_only_where_all_parts_say_so) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key a = ring_key_of(stage, 0, 1, 0), b = ring_key_of(stage, 0, 2, 0);
    for (unsigned i = 1; i < 3; i++)
        EXPECT_ASKED(ring_connect(stage, i), "CONFIG SET maxmemory 1", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "MSET %s 1 %s 2", a.text, b.text),
                     "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    EXPECT_ASKED(ring_connect(stage, 1), "CONFIG SET maxmemory 0", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "MSET %s 1 %s 2", a.text, b.text),
                     "-INDETERMINATE a part of it was executed, of another one is said: "
                     "OOM command not allowed when used memory > 'maxmemory'.\r\n");
    cr_assert_str_eq(ring_ask_format(client, "EXISTS %s %s", a.text, b.text), ":1\r\n");
    ring_stage_end(stage);
}

Test(gather, nulls_and_maps_come_in_the_protocol_that_the_client_speaks) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *old = ring_connect(stage, 0);
    ring_ask(client, "HELLO 3");
    EXPECT_ASKED(client, "SET a 1", "+OK\r\n");
    EXPECT_ASKED(client, "MGET a b c d e f", "*6\r\n$1\r\n1\r\n_\r\n_\r\n_\r\n_\r\n_\r\n");
    EXPECT_ASKED(old, "MGET a b c", "*3\r\n$1\r\n1\r\n$-1\r\n$-1\r\n");
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_str_eq(ring_ask_format(client, "GET %s", ring_key_of(stage, 0, i, 40).text), "_\r\n");
        cr_assert_str_eq(ring_ask_format(old, "GET %s", ring_key_of(stage, 0, i, 40).text), "$-1\r\n");
    }
    EXPECT_ASKED(client, "FLUSHALL", "+OK\r\n");
    EXPECT_ASKED(client, "RANDOMKEY", "_\r\n");
    EXPECT_ASKED(old, "RANDOMKEY", "$-1\r\n");
    ring_stage_end(stage);
}

Test(gather, other_commands_of_several_keys_need_one_slot) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    static const char crossed[] = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
    EXPECT_ASKED(client, "MSET a 1 b 2", "+OK\r\n");
    EXPECT_ASKED(client, "RENAME a b", crossed);
    EXPECT_ASKED(client, "MSETNX a 1 b 2", crossed);
    EXPECT_ASKED(client, "COPY a b", crossed);
    EXPECT_ASKED(client, "LCS a b", crossed);
    EXPECT_ASKED(client, "BITOP AND dest a b", crossed);
    EXPECT_ASKED(client, "WATCH a b", crossed);
    for (unsigned i = 0; i < 12; i++) { /* slots of all nodes */
        cr_assert_str_eq(ring_ask_format(client, "MSETNX {t%u}a 1 {t%u}b 2", i, i), ":1\r\n");
        cr_assert_str_eq(ring_ask_format(client, "RENAME {t%u}a {t%u}b", i, i), "+OK\r\n");
        cr_assert_str_eq(ring_ask_format(client, "BITOP OR {t%u}c {t%u}b {t%u}none", i, i, i), ":1\r\n");
        cr_assert_str_eq(ring_ask_format(client, "MGET {t%u}a {t%u}b {t%u}c", i, i, i),
                         "*3\r\n$-1\r\n$1\r\n1\r\n$1\r\n1\r\n");
    }
    ring_turn(stage);
    cr_assert(ring_copies_are_equal(stage));
    ring_stage_end(stage);
}

/* ---- The whole cluster ---- */

/* Walks through all keys, and adds keys meanwhile where `adds` is set. seen: by number. */
static unsigned scan(struct ring_client *client, unsigned count, bool adds, const char *options,
                     uint8_t *seen, unsigned keys) {
    char cursor[32] = "0";
    unsigned calls = 0, added = 0;
    do {
        char reply[64 * 1024];
        const char *answer = ring_ask_format(client, "SCAN %s COUNT %u%s", cursor, count, options);
        cr_assert_eq(answer[0], '*', "%s", answer);
        snprintf(reply, sizeof reply, "%s", answer);
        char *at = strstr(reply, "\r\n$");
        at = strstr(at + 2, "\r\n") + 2;
        snprintf(cursor, sizeof cursor, "%.*s", (int)strcspn(at, "\r"), at);
        while ((at = strstr(at, "\r\nkey:")) != NULL) {
            unsigned number = (unsigned)strtoul(at + 6, NULL, 10);
            cr_assert_lt(number, keys);
            seen[number]++;
            at += 6;
        }
        if (adds && added < 100)
            cr_assert_str_eq(ring_ask_format(client, "SET added:%u v", added++), "+OK\r\n");
        cr_assert_lt(++calls, 100000u);
    } while (strcmp(cursor, "0") != 0);
    return calls;
}

Test(gather, scan_returns_every_key_once_over_all_nodes) {
    static const unsigned counts[] = {1, 10, 1000};
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    ring_fill(client, 700);
    for (unsigned i = 0; i < 3; i++) {
        struct ring_client *at = ring_connect(stage, i);
        uint8_t seen[700] = {0};
        unsigned calls = scan(at, counts[i], false, "", seen, 700);
        for (unsigned j = 0; j < 700; j++)
            cr_assert_eq(seen[j], 1, "COUNT %u: key:%u was seen %u times", counts[i], j, seen[j]);
        cr_assert_leq(calls, 1 + 3 * 700 / counts[i], "COUNT %u took %u calls", counts[i], calls);
    }
    ring_stage_end(stage);
}

Test(gather, scan_misses_no_key_that_is_there_all_the_time_while_others_are_added) {
    static const unsigned counts[] = {1, 10, 1000};
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    ring_fill(client, 500);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t seen[500] = {0};
        scan(client, counts[i], true, " MATCH key:*", seen, 500);
        for (unsigned j = 0; j < 500; j++)
            cr_assert_geq(seen[j], 1, "COUNT %u: key:%u was never seen", counts[i], j);
    }
    ring_stage_end(stage);
}

Test(gather, scan_refuses_what_is_no_cursor_and_no_count) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    EXPECT_ASKED(client, "SCAN x", "-ERR invalid cursor\r\n");
    EXPECT_ASKED(client, "SCAN 0 COUNT 0", "-ERR syntax error\r\n");
    EXPECT_ASKED(client, "SCAN 0 COUNT x", "-ERR value is not an integer or out of range\r\n");
    EXPECT_ASKED(client, "SCAN 0 MATCH", "-ERR syntax error\r\n");
    EXPECT_ASKED(client, "SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n");
    ring_stage_end(stage);
}

Test(gather, keys_dbsize_and_randomkey_speak_for_all_nodes) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 1);
    ring_fill(client, 200);
    EXPECT_ASKED(client, "DBSIZE", ":200\r\n");
    EXPECT_ASKED(client, "SET other 1", "+OK\r\n");
    cr_assert(strncmp(ring_ask(client, "KEYS *"), "*201\r\n", 6) == 0);
    EXPECT_ASKED(client, "KEYS oth*", "*1\r\n$5\r\nother\r\n");
    EXPECT_ASKED(client, "KEYS none*", "*0\r\n");
    unsigned found[3] = {0};
    for (unsigned i = 0; i < 100; i++) {
        char key[32] = "";
        cr_assert_eq(sscanf(ring_ask(client, "RANDOMKEY"), "$%*d\r\n%31s", key), 1);
        found[ring_coordinator(stage, 0, key)]++;
    }
    for (unsigned i = 0; i < 3; i++)
        cr_assert_gt(found[i], 0, "node %u's keys were never chosen", i);
    ring_stage_end(stage);
}

Test(gather, flushall_empties_all_nodes) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 1);
    ring_fill(client, 200);
    EXPECT_ASKED(client, "FLUSHALL", "+OK\r\n");
    ring_turn(stage);
    EXPECT_ASKED(client, "DBSIZE", ":0\r\n");
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(keyspace_size(stage->nodes[i].node->keyspace, 0), 0);
    cr_assert(ring_copies_are_equal(stage));
    EXPECT_ASKED(client, "SET a 1", "+OK\r\n");
    EXPECT_ASKED(client, "FLUSHALL ASYNC", "+OK\r\n");
    EXPECT_ASKED(client, "FLUSHDB SYNC", "+OK\r\n");
    EXPECT_ASKED(client, "FLUSHALL NONSENSE", "-ERR syntax error\r\n");
    EXPECT_ASKED(client, "GET a", "$-1\r\n");
    ring_stage_end(stage);
}

/* It coordinates nothing any more when it gets to what it was asked before it stood still. */
Test(gather, a_node_that_has_stood_still_does_not_speak_for_slots_that_it_has_lost) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 1);
    for (unsigned i = 0; i < 2; i++) {
        ring_fill(client, 100);
        ring_wait(stage, 5000); /* nobody is in doubt any more */
        ring_stop(stage, 0);
        ring_wait(stage, 150);
        ring_say(client, i == 0 ? "DBSIZE" : "FLUSHALL");
        ring_wait(stage, 40);
        ring_go_on(stage, 0, false);
        EXPECT_HEARD(client, i == 0 ? ":100\r\n" : "+OK\r\n");
    }
    EXPECT_ASKED(client, "DBSIZE", ":0\r\n");
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    EXPECT_ASKED(client, "DBSIZE", ":0\r\n");
    ring_stage_end(stage);
}

Test(gather, a_cluster_client_gets_the_share_of_its_node_alone) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    ring_fill(client, 300);
    unsigned sum = 0;
    uint8_t seen[300] = {0};
    for (unsigned i = 0; i < 3; i++) {
        struct ring_client *at = ring_connect_to_cluster_port(stage, i);
        unsigned size = 0;
        cr_assert_eq(sscanf(ring_ask(at, "DBSIZE"), ":%u", &size), 1);
        cr_assert_gt(size, 10);
        sum += size;
        scan(at, 10, false, "", seen, 300);
    }
    cr_assert_eq(sum, 300);
    for (unsigned i = 0; i < 300; i++)
        cr_assert_eq(seen[i], 1);
    ring_stage_end(stage);
}
