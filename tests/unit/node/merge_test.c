/* merge_test.c - nodes that were cut from each other and wrote the same keys: what is there after they are together again.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/ring_stage.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* Two nodes that both hold everything, a client of each. */
struct pair {
    struct ring_stage *stage;
    struct ring_client *clients[2];
};

static struct pair pair_begin(const char *settings) {
    struct pair pair = {.stage = ring_stage_begin(2, settings)};
    for (unsigned i = 0; i < 2; i++)
        pair.clients[i] = ring_connect(pair.stage, i);
    return pair;
}

/* From here on each takes the other for dead, and coordinates everything. */
static void cut(const struct pair *pair) {
    ring_turn(pair->stage);
    pair->stage->is_unreachable[0] = pair->stage->is_unreachable[1] = true;
    ring_cut(pair->stage, 0, 1, true);
    ring_wait(pair->stage, 8000);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(ring_coordinator(pair->stage, i, "a"), i);
}

static void heal(const struct pair *pair) {
    pair->stage->is_unreachable[0] = pair->stage->is_unreachable[1] = false;
    ring_settle(pair->stage);
    ring_expect_equal_copies(pair->stage);
}

static void expect_both(const struct pair *pair, const char *line, const char *expected) {
    for (unsigned i = 0; i < 2; i++)
        EXPECT_ASKED(pair->clients[i], line, expected);
}

static void ask_both(const struct pair *pair, const char *line) {
    for (unsigned i = 0; i < 2; i++)
        cr_assert_neq(ring_ask(pair->clients[i], line)[0], '-', "%s", line);
}

Test(node_merge, increments_on_both_sides_of_a_cut_add_up) {
    struct pair pair = pair_begin(NULL);
    EXPECT_ASKED(pair.clients[0], "SET a 10", "+OK\r\n");
    EXPECT_ASKED(pair.clients[1], "INCR a", ":11\r\n");
    cut(&pair);
    EXPECT_ASKED(pair.clients[0], "INCRBY a 5", ":16\r\n");
    EXPECT_ASKED(pair.clients[1], "INCRBY a 7", ":18\r\n");
    EXPECT_ASKED(pair.clients[1], "DECR a", ":17\r\n");
    for (unsigned i = 0; i < 100; i++)
        ask_both(&pair, "INCR hits");
    ask_both(&pair, "INCRBYFLOAT temperature 1.25");
    ask_both(&pair, "INCRBYFLOAT a 0.5");
    heal(&pair);
    expect_both(&pair, "GET a", "$2\r\n23\r\n");
    expect_both(&pair, "GET hits", "$3\r\n200\r\n");
    expect_both(&pair, "GET temperature", "$3\r\n2.5\r\n");
    EXPECT_ASKED(pair.clients[0], "INCR hits", ":201\r\n");
    /* And once more, on top of that. */
    cut(&pair);
    ask_both(&pair, "DECRBY hits 101");
    heal(&pair);
    expect_both(&pair, "GET hits", "$2\r\n-1\r\n");
    ring_stage_end(pair.stage);
}

Test(node_merge, a_set_on_one_side_and_an_increment_on_the_other_both_count) {
    struct pair pair = pair_begin(NULL);
    EXPECT_ASKED(pair.clients[0], "SET a 10", "+OK\r\n");
    EXPECT_ASKED(pair.clients[0], "SET b 10", "+OK\r\n");
    EXPECT_ASKED(pair.clients[0], "SET c 10", "+OK\r\n");
    EXPECT_ASKED(pair.clients[0], "SET d 10", "+OK\r\n");
    cut(&pair);
    EXPECT_ASKED(pair.clients[0], "INCRBY a 5", ":15\r\n");
    EXPECT_ASKED(pair.clients[0], "DEL b", ":1\r\n");
    EXPECT_ASKED(pair.clients[0], "INCR c", ":11\r\n");
    EXPECT_ASKED(pair.clients[0], "EXPIRE d 1000", ":1\r\n");
    EXPECT_ASKED(pair.clients[0], "INCR d", ":11\r\n");
    ring_wait(pair.stage, 100);
    EXPECT_ASKED(pair.clients[1], "SET a 100", "+OK\r\n");
    EXPECT_ASKED(pair.clients[1], "INCRBY b 7", ":17\r\n");
    EXPECT_ASKED(pair.clients[1], "SET c text", "+OK\r\n");
    EXPECT_ASKED(pair.clients[1], "INCR d", ":11\r\n");
    heal(&pair);
    expect_both(&pair, "GET a", "$3\r\n105\r\n");
    expect_both(&pair, "GET b", "$1\r\n7\r\n");
    expect_both(&pair, "GET c", "$4\r\ntext\r\n");
    expect_both(&pair, "GET d", "$2\r\n12\r\n");
    EXPECT_ASKED(pair.clients[1], "SET a 3", "+OK\r\n");
    expect_both(&pair, "GET a", "$1\r\n3\r\n");
    ring_stage_end(pair.stage);
}

Test(node_merge, a_value_that_lost_is_told_as_sibling_where_conflicts_are_kept) {
    struct pair pair = pair_begin("conflict-keep cart: draft:\n");
    cut(&pair);
    EXPECT_ASKED(pair.clients[0], "SET cart:1 apples", "+OK\r\n");
    EXPECT_ASKED(pair.clients[0], "SET other apples", "+OK\r\n");
    ring_wait(pair.stage, 100);
    EXPECT_ASKED(pair.clients[1], "SET cart:1 pears", "+OK\r\n");
    EXPECT_ASKED(pair.clients[1], "SET other pears", "+OK\r\n");
    heal(&pair);
    expect_both(&pair, "GET cart:1", "$5\r\npears\r\n");
    for (unsigned i = 0; i < 2; i++) {
        const char *told = ring_ask(pair.clients[i], "KV.SIBLINGS cart:1");
        cr_assert(strstr(told, "pears") != NULL && strstr(told, "apples") != NULL, "%s", told);
        told = ring_ask(pair.clients[i], "KV.SIBLINGS other");
        cr_assert(strstr(told, "pears") != NULL && strstr(told, "apples") == NULL, "%s", told);
    }
    EXPECT_ASKED(pair.clients[0], "SET cart:1 both", "+OK\r\n");
    ring_turn(pair.stage);
    ring_expect_equal_copies(pair.stage);
    for (unsigned i = 0; i < 2; i++) {
        const char *told = ring_ask(pair.clients[i], "KV.SIBLINGS cart:1");
        cr_assert(strstr(told, "both") != NULL && strstr(told, "apples") == NULL, "%s", told);
    }
    ring_stage_end(pair.stage);
}

Test(node_merge, counters_are_counters_still_after_a_restart_from_a_checkpoint) {
    struct pair pair = pair_begin(NULL);
    EXPECT_ASKED(pair.clients[0], "INCRBY a 10", ":10\r\n");
    cut(&pair);
    EXPECT_ASKED(pair.clients[0], "INCRBY a 5", ":15\r\n");
    EXPECT_ASKED(pair.clients[1], "INCRBY a 7", ":17\r\n");
    EXPECT_ASKED(pair.clients[1], "SAVE", "+OK\r\n");
    ring_kill(pair.stage, 1);
    pair.stage->is_unreachable[0] = pair.stage->is_unreachable[1] = false;
    ring_start(pair.stage, 1);
    ring_settle(pair.stage);
    ring_expect_equal_copies(pair.stage);
    pair.clients[1] = ring_connect(pair.stage, 1);
    expect_both(&pair, "GET a", "$2\r\n22\r\n");
    ring_stage_end(pair.stage);
}

static uint32_t dots_at(struct ring_stage *stage, unsigned number, const char *name) {
    struct argument key = {
        .data = (const uint8_t *)name, .size = (uint32_t)strlen(name), .slot = ARGUMENT_NOT_PLACED};
    struct keyspace *keyspace = stage->nodes[number].node->keyspace;
    keyspace_place(keyspace, &key);
    struct version version;
    record_version(keyspace_find_record(keyspace, &key), &version);
    return version.count;
}

/* Its memory is gone each time, and each start is another actor. */
Test(node_merge, a_node_that_starts_a_hundred_times_goes_on_counting_exactly, .timeout = 120) {
    struct ring_stage *stage = ring_stage_begin(3, "save \"\"\nhint-window 1\ntombstone-grace 2\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    unsigned count = 0;
    for (unsigned start = 0; start < 100; start++) {
        cr_assert_eq(atoi(ring_ask_format(client, "INCR %s", key.text) + 1), ++count);
        ring_turn(stage);
        ring_kill(stage, 1);
        cr_assert_eq(atoi(ring_ask_format(client, "INCR %s", key.text) + 1), ++count);
        ring_start(stage, 1);
        ring_settle(stage);
        cr_assert_leq(dots_at(stage, 0, key.text), VERSION_DOTS_MAX);
    }
    cr_assert_eq(atoi(ring_ask_format(client, "INCR %s", key.text) + 1), ++count);
    /* The key is never left alone for so long that all of it is below a fold point. */
    for (unsigned second = 0; second < 80; second++) {
        ring_wait(stage, 1000);
        cr_assert_eq(atoi(ring_ask_format(client, "INCR %s", key.text) + 1), ++count);
    }
    ring_expect_equal_copies(stage);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_leq(dots_at(stage, i, key.text), 4, "%u", dots_at(stage, i, key.text));
    ring_stage_end(stage);
}
