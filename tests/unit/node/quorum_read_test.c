/* quorum_read_test.c - reads look at R copies: what the coordinator has missed is seen and repaired, in the order of the commands.
 *
 * A copy is made stale by writing to another one behind everybody's back.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/crc16.h"
#include "node/forward.h"
#include "node/peers.h"
#include "node/ring_faults.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* One copy alone has this value; NULL: the key is deleted there. */
static void write_alone(struct ring_stage *stage, unsigned number, const char *key, const char *text) {
    struct keyspace *keyspace = stage->nodes[number].node->keyspace;
    struct argument argument = {
        .data = (const uint8_t *)key, .size = (uint32_t)strlen(key), .slot = ARGUMENT_NOT_PLACED};
    struct entry entry;
    keyspace_place(keyspace, &argument);
    if (text == NULL) {
        cr_assert_not_null(keyspace_lookup(keyspace, 0, &argument, LOOKUP_PEEK, &entry));
        keyspace_remove(keyspace, 0, &argument, &entry, REMOVE_DELETED);
    } else {
        struct value value = {.data = (const uint8_t *)text,
                              .size = (uint32_t)strlen(text),
                              .expiry_ms = EXPIRY_NONE,
                              .type = RECORD_STRING};
        cr_assert(keyspace_put(keyspace, 0, &argument, &value));
    }
    ledger_clear_effects(keyspace->ledger);
}

/* ---- What is seen ---- */

Test(quorum_read, what_the_coordinator_has_missed_is_seen_and_told_to_all) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    write_alone(stage, 1, key.text, "new");
    ring_wait(stage, RING_STEP_MS);
    write_alone(stage, 2, key.text, "newest");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$-1\r\n");
    EXPECT_ASKED(client, "KV.QUORUM 3 1", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$6\r\nnewest\r\n");
    ring_turn(stage);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(ring_copy_size(stage, i, key.text), 6);
    cr_assert_geq(ring_quorum_facts(stage, 0).repairs, 1);
    cr_assert_eq(ring_quorum_facts(stage, 0).gathers, 1);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

/* A key that node 0 coordinates, and after it node `next`. */
static struct ring_key key_with_next(struct ring_stage *stage, unsigned next) {
    const struct cluster *cluster = stage->nodes[0].node->cluster;
    for (unsigned nth = 0;; nth++) { /* ring_key_of() fails where there are no more */
        struct ring_key key = ring_key_of(stage, 0, 0, nth);
        uint16_t holders[RING_COPIES_MAX];
        cluster_holders(cluster, crc16_key_slot((const uint8_t *)key.text, (uint32_t)strlen(key.text)),
                        holders);
        if (holders[1] == ring_member(stage, 0, next))
            return key;
    }
}

Test(quorum_read, what_two_copies_have_acknowledged_is_seen_when_one_of_them_has_died) {
    struct ring_stage *stage = ring_stage_begin(3, "consistency quorum\n");
    struct ring_client *client = ring_connect(stage, 0), *reader = ring_connect(stage, 1);
    struct ring_key key = key_with_next(stage, 2);
    ring_hold(stage, 0, 2, true);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    cr_assert_eq(ring_copy_size(stage, 1, key.text), 1);
    cr_assert_eq(ring_copy_size(stage, 2, key.text), -1);
    ring_kill(stage, 0);
    ring_hold(stage, 0, 2, false);
    bool is_seen = false;
    for (unsigned i = 0; i < 50 && !is_seen; i++) {
        const char *answer = ring_ask_format(reader, "GET %s", key.text);
        is_seen = strcmp(answer, "$1\r\nv\r\n") == 0;
        cr_assert(is_seen || answer[0] == '-', "%s", answer);
        ring_wait(stage, 20);
    }
    cr_assert(is_seen);
    cr_assert_eq(ring_copy_size(stage, 2, key.text), 1);
    ring_stage_end(stage);
}

Test(quorum_read, a_copy_that_is_behind_is_told_what_it_has_missed) {
    struct ring_stage *stage = ring_stage_begin(3, "consistency fast-write\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    cr_assert_str_eq(ring_ask_format(client, "SET %s old", key.text), "+OK\r\n");
    ring_turn(stage);
    write_alone(stage, 0, key.text, "newer");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$5\r\nnewer\r\n");
    ring_turn(stage);
    cr_assert_eq(ring_copy_size(stage, 1, key.text), 5);
    cr_assert_eq(ring_copy_size(stage, 2, key.text), 5);
    cr_assert_eq(ring_quorum_facts(stage, 0).repairs, 2);
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$5\r\nnewer\r\n");
    cr_assert_eq(ring_quorum_facts(stage, 0).repairs, 2, "who has the same is told nothing");
    ring_stage_end(stage);
}

Test(quorum_read, what_is_equal_is_not_sent) {
    struct ring_stage *stage = ring_stage_begin(3, "consistency quorum\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    cr_assert_str_eq(ring_ask_format(client, "SETRANGE %s 99999 x", key.text), ":100000\r\n");
    ring_expect_equal_copies(stage);
    uint64_t before = stage->bytes[1][0] + stage->bytes[2][0];
    cr_assert_str_eq(ring_ask_format(client, "STRLEN %s", key.text), ":100000\r\n");
    cr_assert_lt(stage->bytes[1][0] + stage->bytes[2][0] - before, 1000);
    cr_assert_eq(ring_quorum_facts(stage, 0).repairs, 0);
    ring_stage_end(stage);
}

Test(quorum_read, absent_and_deleted_keys_are_looked_for_elsewhere_too) {
    struct ring_stage *stage = ring_stage_begin(3, "consistency fast-write\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0), never = ring_key_of(stage, 0, 0, 1);
    cr_assert_str_eq(ring_ask_format(client, "GET %s", never.text), "$-1\r\n");
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    ring_turn(stage);
    write_alone(stage, 1, key.text, NULL);
    cr_assert_str_eq(ring_ask_format(client, "EXISTS %s", key.text), ":0\r\n");
    ring_turn(stage);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(ring_copy_size(stage, i, key.text), -1);
    /* Deleted where it never was: nobody who never had the key needs to know. */
    write_alone(stage, 1, never.text, "x");
    write_alone(stage, 1, never.text, NULL);
    uint64_t repairs = ring_quorum_facts(stage, 0).repairs;
    cr_assert_str_eq(ring_ask_format(client, "GET %s", never.text), "$-1\r\n");
    cr_assert_eq(ring_quorum_facts(stage, 0).repairs, repairs);
    ring_stage_end(stage);
}

Test(quorum_read, a_flush_that_the_coordinator_has_missed_is_seen) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    ring_turn(stage);
    for (unsigned i = 1; i < 3; i++) {
        struct keyspace *keyspace = stage->nodes[i].node->keyspace;
        struct slot_set all = {{0}};
        slot_set_add_range(&all, 0, SLOT_COUNT);
        cr_assert_neq(keyspace_flush_slots(keyspace, &all, keyspace_stamp(keyspace)), 0);
        ledger_clear_effects(keyspace->ledger);
    }
    EXPECT_ASKED(client, "KV.QUORUM 2 1", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$-1\r\n");
    EXPECT_ASKED(client, "KV.QUORUM 1 1", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$-1\r\n");
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(quorum_read, several_keys_are_asked_for_at_once_and_by_each_coordinator) {
    struct ring_stage *stage = ring_stage_begin(3, "consistency fast-write\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key a = ring_key_of(stage, 0, 0, 0), b = ring_key_of(stage, 0, 0, 1),
                    c = ring_key_of(stage, 0, 1, 0);
    write_alone(stage, 1, a.text, "a");
    write_alone(stage, 2, b.text, "b");
    write_alone(stage, 0, c.text, "c");
    ring_say_format(client, "MGET %s %s %s %s", a.text, b.text, c.text, a.text);
    EXPECT_HEARD(client, "*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\na\r\n");
    cr_assert_eq(ring_quorum_facts(stage, 0).gathers, 1);
    cr_assert_eq(ring_quorum_facts(stage, 1).gathers, 1);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

/* ---- Writes that look first ---- */

Test(quorum_read, a_write_that_depends_on_what_was_there_looks_first) {
    struct ring_stage *stage = ring_stage_begin(3, "consistency fast-write\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key keys[8];
    for (unsigned i = 0; i < 8; i++) {
        keys[i] = ring_key_of(stage, 0, 0, i);
        write_alone(stage, 1 + i % 2, keys[i].text, "5");
    }
    cr_assert_str_eq(ring_ask_format(client, "INCR %s", keys[0].text), ":6\r\n");
    cr_assert_str_eq(ring_ask_format(client, "APPEND %s x", keys[1].text), ":2\r\n");
    cr_assert_str_eq(ring_ask_format(client, "SETNX %s y", keys[2].text), ":0\r\n");
    cr_assert_str_eq(ring_ask_format(client, "SET %s y NX", keys[3].text), "$-1\r\n");
    cr_assert_str_eq(ring_ask_format(client, "SET %s y GET", keys[4].text), "$1\r\n5\r\n");
    cr_assert_str_eq(ring_ask_format(client, "DEL %s", keys[5].text), ":1\r\n");
    cr_assert_str_eq(ring_ask_format(client, "EXPIRE %s 100", keys[6].text), ":1\r\n");
    uint64_t gathers = ring_quorum_facts(stage, 0).gathers;
    cr_assert_eq(gathers, 7);
    cr_assert_str_eq(ring_ask_format(client, "SET %s y EX 10", keys[7].text), "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "SETEX %s 10 y", keys[7].text), "+OK\r\n");
    cr_assert_eq(ring_quorum_facts(stage, 0).gathers, gathers, "who overwrites need not look");
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(quorum_read, a_transaction_looks_at_all_its_keys_first) {
    struct ring_stage *stage = ring_stage_begin(3, "read-quorum 3\n");
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned coordinator = 0; coordinator < 2; coordinator++) {
        struct ring_key key = ring_key_of(stage, 0, coordinator, 0);
        char second[48];
        snprintf(second, sizeof second, "{%s}2", key.text);
        write_alone(stage, 2, key.text, "5");
        write_alone(stage, 1 - coordinator, second, "7");
        EXPECT_ASKED(client, "MULTI", "+OK\r\n");
        cr_assert_str_eq(ring_ask_format(client, "INCR %s", key.text), "+QUEUED\r\n");
        cr_assert_str_eq(ring_ask_format(client, "GET %s", second), "+QUEUED\r\n");
        EXPECT_ASKED(client, "EXEC", "*2\r\n:6\r\n$1\r\n7\r\n");
    }
    ring_stage_end(stage);
}

Test(quorum_read, a_transaction_whose_watched_key_another_copy_knows_newer_does_not_run) {
    struct ring_stage *stage = ring_stage_begin(3, "read-quorum 3\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    cr_assert_str_eq(ring_ask_format(client, "WATCH %s", key.text), "+OK\r\n");
    write_alone(stage, 1, key.text, "newer");
    EXPECT_ASKED(client, "MULTI", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "SET %s mine", key.text), "+QUEUED\r\n");
    EXPECT_ASKED(client, "EXEC", "*-1\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$5\r\nnewer\r\n");
    ring_stage_end(stage);
}

Test(quorum_read, who_has_not_compared_yet_looks_before_it_overwrites) {
    struct ring_stage *stage = ring_stage_begin(3, "consistency quorum\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    struct node *node = stage->nodes[0].node;
    struct keyspace *ahead = stage->nodes[1].node->keyspace;
    ahead->counter += UINT64_C(200) << 16; /* its clock is 200 ms ahead */
    write_alone(stage, 1, key.text, "before");
    write_alone(stage, 2, key.text, "before");
    cluster_peer(node->cluster, ring_member(stage, 0, 1))->is_agreed = false;
    cluster_peer(node->cluster, ring_member(stage, 0, 2))->is_agreed = false;
    EXPECT_ASKED(client, "KV.QUORUM 3 2", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "SET %s after", key.text), "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$5\r\nafter\r\n");
    ring_turn(stage);
    cr_assert_eq(ring_copy_size(stage, 1, key.text), 5);
    ring_stage_end(stage);
}

/* ---- Order ---- */

Test(quorum_read, who_cannot_reach_another_coordinator_looks_before_it_overwrites) {
    struct ring_stage *stage = ring_stage_begin(3, "consistency quorum\nsloppy-quorum no\n");
    struct ring_key key = key_with_next(stage, 2);
    struct ring_client *clients[3];
    for (unsigned i = 0; i < 3; i++)
        clients[i] = ring_connect(stage, i);
    /* Both coordinate, each with node 1 as the second copy; the later one has a clock that is behind. */
    stage->nodes[2].wall_shift_us = -300000;
    ring_hold(stage, 0, 2, true);
    ring_hold(stage, 2, 0, true);
    cr_assert_str_eq(ring_ask_format(clients[0], "SET %s first", key.text), "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(clients[2], "SET %s second", key.text), "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(clients[1], "GET %s", key.text), "$6\r\nsecond\r\n");
    ring_hold(stage, 0, 2, false);
    ring_hold(stage, 2, 0, false);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    cr_assert_str_eq(ring_ask_format(clients[0], "GET %s", key.text), "$6\r\nsecond\r\n");
    ring_stage_end(stage);
}

Test(quorum_read, who_executes_in_the_place_of_a_silent_node_looks_before_it_overwrites) {
    struct ring_stage *stage = ring_stage_begin(3, "consistency quorum\nsloppy-quorum no\n");
    struct ring_client *there = ring_connect(stage, 1), *here = ring_connect(stage, 0);
    struct ring_key key;
    /* One that node 0 executes when it does not reach node 1. */
    unsigned nth = 0;
    for (uint16_t list[RING_COPIES_MAX];; nth++) {
        key = ring_key_of(stage, 0, 1, nth);
        (void)cluster_holders(stage->nodes[0].node->cluster, crc16_key_slot(key.text, strlen(key.text)),
                              list);
        if (list[1] == ROUTE_SELF)
            break;
    }
    stage->nodes[1].wall_shift_us =
        400000; /* what it writes has a stamp that is ahead of the others' clocks */
    ring_wait(stage, 20);
    ring_hold(stage, 0, 1, true);
    ring_hold(stage, 1, 0, true);
    cr_assert_str_eq(ring_ask_format(there, "SET %s old", key.text), "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(here, "SET %s new", key.text), "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(here, "GET %s", key.text), "$3\r\nnew\r\n",
                     "what was acknowledged last has lost to what was acknowledged before");
    ring_hold(stage, 0, 1, false);
    ring_hold(stage, 1, 0, false);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

/* All copies have what is acknowledged, so that one is enough: it has to be one of them. */
Test(quorum_read, who_has_no_copy_answers_no_read_without_stand_ins) {
    struct ring_stage *stage = ring_stage_begin(5, "write-quorum 3\nsloppy-quorum no\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key;
    bool is_ours = true;
    for (unsigned nth = 0; is_ours; nth++) {
        uint16_t list[RING_COPIES_MAX];
        key = ring_key_of(stage, 0, 1, nth);
        uint32_t count = cluster_holders(stage->nodes[0].node->cluster,
                                         crc16_key_slot(key.text, (uint32_t)strlen(key.text)), list);
        is_ours = false;
        for (uint32_t i = 0; i < count; i++)
            is_ours = is_ours || list[i] == ROUTE_SELF;
    }
    cr_assert_str_eq(ring_ask_format(client, "SET %s v", key.text), "+OK\r\n");
    for (unsigned i = 1; i < 5; i++) {
        ring_hold(stage, 0, i, true);
        ring_hold(stage, i, 0, true);
    }
    ring_wait(stage, 10000);
    const char *reply = ring_ask_format(client, "GET %s", key.text);
    cr_assert(strncmp(reply, "-NOQUORUM ", 10) == 0, "%s came", reply);
    for (unsigned i = 1; i < 5; i++) {
        ring_hold(stage, 0, i, false);
        ring_hold(stage, i, 0, false);
    }
    ring_settle(stage);
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$1\r\nv\r\n");
    ring_stage_end(stage);
}

Test(quorum_read, commands_on_one_key_are_executed_in_their_order) {
    struct ring_stage *stage = ring_stage_begin(3, "consistency quorum\n");
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned coordinator = 0; coordinator < 2; coordinator++) {
        struct ring_key key = ring_key_of(stage, 0, coordinator, 0);
        ring_say_format(client, "SETNX %s 1", key.text);
        ring_say_format(client, "GET %s", key.text);
        ring_say_format(client, "SET %s 7", key.text);
        ring_say_format(client, "INCR %s", key.text);
        ring_say_format(client, "GET %s", key.text);
        ring_say_format(client, "DEL %s", key.text);
        ring_say_format(client, "SET %s last", key.text);
        ring_say_format(client, "GETDEL %s", key.text);
        EXPECT_HEARD(client, ":1\r\n");
        EXPECT_HEARD(client, "$1\r\n1\r\n");
        EXPECT_HEARD(client, "+OK\r\n");
        EXPECT_HEARD(client, ":8\r\n");
        EXPECT_HEARD(client, "$1\r\n8\r\n");
        EXPECT_HEARD(client, ":1\r\n");
        EXPECT_HEARD(client, "+OK\r\n");
        EXPECT_HEARD(client, "$4\r\nlast\r\n");
    }
    ring_stage_end(stage);
}

Test(quorum_read, commands_on_different_keys_do_not_wait_for_each_other) {
    struct ring_stage *stage = ring_stage_begin(3, "read-quorum 2\n");
    struct ring_client *client = ring_connect(stage, 0);
    ring_hold_from(stage, 0, true);
    ring_say_format(client, "GET %s", ring_key_of(stage, 0, 0, 0).text);
    ring_say_format(client, "INCR %s", ring_key_of(stage, 0, 0, 1).text);
    ring_say_format(client, "SET %s v", ring_key_of(stage, 0, 0, 2).text);
    ring_turn(stage);
    cr_assert_eq(ring_quorum_facts(stage, 0).gathers, 2, "both have asked");
    cr_assert_eq(ring_copy_size(stage, 0, ring_key_of(stage, 0, 0, 2).text), 1, "it is executed already");
    ring_hold_from(stage, 0, false);
    EXPECT_HEARD(client, "$-1\r\n");
    EXPECT_HEARD(client, ":1\r\n");
    EXPECT_HEARD(client, "+OK\r\n");
    ring_stage_end(stage);
}

Test(quorum_read, emptying_the_cluster_is_done_between_the_commands_before_and_after_it) {
    struct ring_stage *stage = ring_stage_begin(3, "read-quorum 2\n");
    struct ring_client *client = ring_connect_to_cluster_port(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_say_format(client, "INCR %s", key.text);
    ring_say(client, "DBSIZE");
    ring_say(client, "FLUSHALL");
    ring_say_format(client, "INCR %s", key.text);
    ring_say_format(client, "INCR %s", key.text);
    EXPECT_HEARD(client, ":1\r\n");
    EXPECT_HEARD(client, ":1\r\n");
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, ":1\r\n");
    EXPECT_HEARD(client, ":2\r\n");
    ring_stage_end(stage);
}

Test(quorum_read, a_connection_that_wants_less_afterwards_still_has_its_order) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_say(client, "KV.QUORUM 2 1");
    ring_say_format(client, "INCR %s", key.text);
    ring_say(client, "KV.QUORUM 1 1");
    ring_say_format(client, "INCR %s", key.text);
    ring_say(client, "KV.QUORUM 0 0");
    ring_say_format(client, "APPEND %s 0", key.text);
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, ":1\r\n");
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, ":2\r\n");
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, ":2\r\n");
    cr_assert_not(stage->nodes[0].node->has_quorum, "the short way is open again");
    ring_stage_end(stage);
}

/* ---- Too few ---- */

Test(quorum_read, a_copy_that_is_silent_is_made_up_for_by_another_one) {
    struct ring_stage *stage = ring_stage_begin(3, "read-quorum 2\nquorum-timeout 3000\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    for (unsigned silent = 1; silent < 3; silent++) {
        write_alone(stage, 3 - silent, key.text, silent == 1 ? "one" : "another");
        ring_hold(stage, silent, 0, true);
        uint64_t said_ns = stage->now_ns;
        cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text),
                         silent == 1 ? "$3\r\none\r\n" : "$7\r\nanother\r\n");
        cr_assert_leq(stage->now_ns - said_ns, UINT64_C(200000000));
        ring_hold(stage, silent, 0, false);
        ring_settle(stage);
    }
    ring_stage_end(stage);
}

Test(quorum_read, a_command_that_gets_too_few_answers_is_not_executed) {
    struct ring_stage *stage = ring_stage_begin(3, "read-quorum 2\nquorum-timeout 80\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    cr_assert_str_eq(ring_ask_format(client, "SET %s 1", key.text), "+OK\r\n");
    ring_hold_from(stage, 0, true);
    ring_say_format(client, "INCR %s", key.text);
    ring_say_format(client, "SET %s behind", key.text);
    EXPECT_HEARD(client,
                 "-NOQUORUM 1 of the 2 copies that a read needs have answered; nothing was executed\r\n");
    EXPECT_HEARD(client, "+OK\r\n");
    cr_assert_eq(ring_quorum_facts(stage, 0).timeouts, 1);
    ring_hold_from(stage, 0, false);
    ring_wait(stage, 100);
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$6\r\nbehind\r\n");
    ring_stage_end(stage);
}

Test(quorum_read, a_read_that_cannot_reach_enough_copies_is_refused_at_once) {
    struct ring_stage *stage = ring_stage_begin(3, "read-quorum 3\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_kill(stage, 2);
    ring_wait(stage, 100);
    cr_assert_str_eq(
        ring_ask_format(client, "GET %s", key.text),
        "-NOQUORUM 2 of the 3 copies that a read needs can be reached; nothing was executed\r\n");
    cr_assert_eq(ring_quorum_facts(stage, 0).refused, 1);
    EXPECT_ASKED(client, "KV.QUORUM 2 1", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$-1\r\n");
    ring_stage_end(stage);
}

Test(quorum_read, a_link_that_breaks_while_it_is_asked_is_made_up_for) {
    struct ring_stage *stage = ring_stage_begin(3, "read-quorum 2\nquorum-timeout 5000\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    ring_hold_from(stage, 0, true);
    ring_say_format(client, "GET %s", key.text);
    ring_turn(stage);
    ring_cut(stage, 0, 1, false);
    ring_hold_from(stage, 0, false);
    EXPECT_HEARD(client, "$-1\r\n");
    ring_stage_end(stage);
}

Test(quorum_read, a_copy_that_is_not_in_agreement_is_heard_and_does_not_count) {
    struct ring_stage *stage = ring_stage_begin(3, "read-quorum 2\nquorum-timeout 100\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    write_alone(stage, 1, key.text, "one");
    stage->nodes[1].node->cluster->is_settled = false;
    stage->nodes[2].node->cluster->is_settled = false;
    EXPECT_BEGIN(ring_ask_format(client, "GET %s", key.text), "-NOQUORUM 1 of the 2 ");
    cr_assert_eq(ring_copy_size(stage, 0, key.text), 3);
    stage->nodes[2].node->cluster->is_settled = true;
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$3\r\none\r\n");
    stage->nodes[1].node->cluster->is_settled = true;
    ring_stage_end(stage);
}

/* ---- Through other nodes, and damage ---- */

Test(quorum_read, a_node_that_forwards_tells_what_its_client_wants) {
    struct ring_stage *stage = ring_stage_begin(3, "read-from nearest\n");
    struct ring_client *client = ring_connect(stage, 1);
    struct ring_key key = ring_key_of(stage, 1, 0, 0);
    write_alone(stage, 2, key.text, "newer");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$-1\r\n");
    EXPECT_ASKED(client, "KV.QUORUM 3 1", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$5\r\nnewer\r\n");
    cr_assert_eq(ring_quorum_facts(stage, 0).gathers, 1);
    cr_assert_eq(ring_quorum_facts(stage, 1).gathers, 0);
    ring_stage_end(stage);
}

struct asked {
    struct awaited awaited;
    bool is_done;
    enum forward_outcome outcome;
};

static void note_outcome(struct node *node, struct awaited *awaited, enum forward_outcome outcome,
                         const uint8_t *reply, size_t size) {
    struct asked *asked = (struct asked *)(void *)awaited;
    (void)node;
    (void)reply;
    (void)size;
    asked->is_done = true;
    asked->outcome = outcome;
    forward_release(awaited);
}

Test(quorum_read, questions_that_make_no_sense_are_refused) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct node *node = stage->nodes[0].node;
    struct peer *peer = cluster_peer(node->cluster, ring_member(stage, 0, 1));
    struct argument argv[] = {{.data = (const uint8_t *)"FETCH", .size = 5},
                              {.data = (const uint8_t *)"0123456", .size = 7},
                              {.data = (const uint8_t *)"key", .size = 3}};
    for (uint32_t argc = 1; argc <= 3; argc++) {
        struct asked asked = {.awaited.done = note_outcome};
        cr_assert(forward_send(node, peer, FORWARD_FETCH, argv, argc, &asked.awaited));
        ring_turn(stage);
        cr_assert(asked.is_done);
        cr_assert_eq(asked.outcome, FORWARD_REFUSED);
    }
    ring_stage_end(stage);
}

Test(quorum_read, clients_cannot_ask_so) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    EXPECT_BEGIN(ring_ask(ring_connect(stage, 0), "FETCH 01234567 key"), "-ERR unknown command");
    ring_stage_end(stage);
}

Test(quorum_read, memory_that_ends_at_any_point_is_an_error_and_never_a_false_word) {
    struct ring_stage *stage = ring_stage_begin(3, "read-quorum 2\nquorum-timeout 300\n");
    struct ring_client *client = ring_connect(stage, 0);
    bool is_good = false;
    for (unsigned at = 0; at < 2; at++) { /* the coordinator, and one that answers */
        for (unsigned fuse = 1; fuse < 60; fuse++) {
            struct ring_key key = ring_key_of(stage, 0, 0, fuse);
            write_alone(stage, 1, key.text, "value");
            write_alone(stage, 2, key.text, "value!");
            ring_say_format(client, "GET %s", key.text);
            stage->nodes[at].mem.fuse = fuse;
            ring_turn(stage);
            stage->nodes[at].mem.fuse = 0;
            if (client->session == NULL) {
                client = ring_connect(stage, 0);
            } else {
                const char *answer = ring_hear(client);
                is_good = strcmp(answer, "$5\r\nvalue\r\n") == 0 || strcmp(answer, "$6\r\nvalue!\r\n") == 0;
                cr_assert(is_good || answer[0] == '-', "%s", answer);
            }
            ring_settle(stage);
        }
        cr_assert(is_good, "the fuse was always too short");
    }
    ring_stage_end(stage);
}
