/* replicate_test.c - what a coordinator has changed is at all copies a turn later: every command, patches, expiry, flushes.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/ring_stage.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* ---- Every command that writes ---- */

/* Commands on keys of one slot, {t}; each is run with the state that those before it have left. */
static const char *const writes[] = {
    "SET {t}a 1",
    "SET {t}a v EX 1000",
    "SET {t}a w KEEPTTL",
    "SET {t}a x NX",
    "SET {t}a y XX GET",
    "SET {t}b z PXAT 1900000000000",
    "SETEX {t}c 100 v",
    "PSETEX {t}d 100000 v",
    "SETNX {t}e 10",
    "SETNX {t}e 11",
    "GETSET {t}e 12",
    "GETEX {t}e EX 500",
    "GETEX {t}e PERSIST",
    "GETDEL {t}d",
    "GETDEL {t}none",
    "INCR {t}e",
    "DECR {t}e",
    "INCRBY {t}e 100",
    "DECRBY {t}e 7",
    "INCRBYFLOAT {t}e 0.5",
    "INCR {t}new",
    "APPEND {t}c more",
    "APPEND {t}fresh text",
    "SETRANGE {t}c 3 xyz",
    "SETRANGE {t}gap 20 end",
    "SETRANGE {t}none 0 \"\"",
    "SETBIT {t}bits 70 1",
    "SETBIT {t}bits 70 0",
    "SETBIT {t}bits 3 1",
    "BITFIELD {t}field SET u8 0 255 INCRBY i5 100 1 OVERFLOW FAIL INCRBY u2 102 3",
    "BITFIELD {t}field GET u8 0",
    "BITOP NOT {t}not {t}bits",
    "BITOP AND {t}none {t}none2",
    "BITOP AND {t}not {t}none2",
    "MSET {t}m1 1 {t}m2 2 {t}m1 3",
    "MSETNX {t}m3 1 {t}m4 2",
    "MSETNX {t}m4 1 {t}m5 2",
    "EXPIRE {t}m1 100",
    "EXPIRE {t}m1 50 GT",
    "PEXPIRE {t}m2 100000",
    "EXPIREAT {t}m3 1900000000",
    "PEXPIREAT {t}m4 1900000000000",
    "PERSIST {t}m1",
    "EXPIRE {t}m2 -1",
    "PEXPIREAT {t}m3 1",
    "RENAME {t}a {t}renamed",
    "RENAME {t}b {t}renamed",
    "RENAMENX {t}c {t}other",
    "RENAMENX {t}e {t}other",
    "COPY {t}other {t}copy",
    "COPY {t}e {t}copy REPLACE",
    "SET {t}a again",
    "DEL {t}a {t}copy {t}none",
    "UNLINK {t}other {t}gap",
    "SET {t}a back",
    "TOUCH {t}a",
};

Test(replicate, every_write_is_at_all_copies_a_turn_later) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *clients[3];
    for (unsigned i = 0; i < 3; i++)
        clients[i] = ring_connect(stage, i);
    unsigned coordinator = ring_coordinator(stage, 0, "{t}");
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        /* At the coordinator, and sent on by another node. */
        ring_say(clients[(coordinator + i) % 3], writes[i]);
        ring_turn(stage);
        const char *answer = ring_hear_now(clients[(coordinator + i) % 3]);
        cr_assert(answer[0] != '\0' && strncmp(answer, "-ERR", 4) != 0, "%s -> %s", writes[i], answer);
        cr_assert(ring_copies_are_equal(stage), "the copies differ after %s", writes[i]);
        uint64_t size = keyspace_size(stage->nodes[0].node->keyspace, 0);
        for (unsigned j = 1; j < 3; j++)
            cr_assert_eq(keyspace_size(stage->nodes[j].node->keyspace, 0), size, "after %s", writes[i]);
    }
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(stage->nodes[i].node->cluster->outcome.fetches.size, 0);
    ring_stage_end(stage);
}

/* The process may be killed between any two of its system calls. */
Test(replicate, what_was_written_leaves_before_the_answer_that_says_so) {
    unsigned answered = 0;
    for (unsigned links = 1; links <= 4; links++) {
        struct ring_stage *stage = ring_stage_begin(3, NULL);
        struct ring_client *client = ring_connect(stage, 0);
        struct ring_key key = ring_key_of(stage, 0, 1, 0);
        ring_turn(stage);
        stage->nodes[1].links_left = links;
        ring_say_format(client, "INCR %s", key.text);
        ring_turn(stage);
        if (ring_hear_now(client)[0] != '\0') {
            answered++;
            cr_expect(ring_copy_size(stage, 0, key.text) == 1 && ring_copy_size(stage, 2, key.text) == 1,
                      "%u", links);
        }
        ring_stage_end(stage);
    }
    cr_assert(answered > 0 && answered < 4, "%u", answered);
}

Test(replicate, a_restored_value_is_at_all_copies) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    EXPECT_ASKED(client, "SET {t}a hello", "+OK\r\n");
    ring_ask(client, "DUMP {t}a");
    uint8_t payload[64];
    size_t head = (size_t)(strstr((char *)client->reply.data, "\r\n") + 2 - (char *)client->reply.data);
    size_t size = ring_heard_size(client) - head - 2;
    cr_assert_lt(size, sizeof payload);
    memcpy(payload, client->reply.data + head, size);
    const void *words[] = {"RESTORE", "{t}b", "50000", payload};
    size_t sizes[] = {7, 4, 5, size};
    ring_say_words(client, 4, words, sizes);
    EXPECT_HEARD(client, "+OK\r\n");
    ring_turn(stage);
    cr_assert(ring_copies_are_equal(stage));
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(ring_copy_size(stage, i, "{t}b"), 5);
    ring_stage_end(stage);
}

Test(replicate, a_command_that_changes_nothing_tells_nobody) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    unsigned coordinator = ring_coordinator(stage, 0, "{t}");
    struct ring_client *client = ring_connect(stage, coordinator);
    EXPECT_ASKED(client, "SET {t}a 1", "+OK\r\n");
    ring_wait(stage, 100);
    static const char *const silent[] = {"GET {t}a",         "SET {t}a 2 NX",        "SETNX {t}a 2",
                                         "DEL {t}none",      "EXPIRE {t}none 10",    "PERSIST {t}a",
                                         "GETDEL {t}none",   "MSETNX {t}b 1 {t}a 2", "BITFIELD {t}a GET u8 0",
                                         "APPEND {t}a \"\"", "INCR {t}a x"};
    const struct node *node = stage->nodes[coordinator].node;
    uint64_t before = 0, after = 0;
    for (uint32_t i = 1; i < 3; i++)
        before += node->cluster->peers[i]->records_out;
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) {
        ring_ask(client, silent[i]);
        after = 0;
        for (uint32_t j = 1; j < 3; j++)
            after += node->cluster->peers[j]->records_out;
        if (strncmp(silent[i], "APPEND", 6) != 0) /* which counts as a change */
            cr_assert_eq(after, before, "%s", silent[i]);
        before = after;
    }
    ring_stage_end(stage);
}

Test(replicate, a_deleted_key_is_a_tombstone_at_all_copies) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 1);
    for (unsigned i = 0; i < 30; i++)
        ring_ask_format(client, "SET key:%u v", i);
    EXPECT_ASKED(client, "DEL key:1 key:2 key:3 none", ":3\r\n");
    ring_turn(stage);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t tombstones = 0;
        for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
            tombstones += stage->nodes[i].node->keyspace->ledger->tombstones[slot];
        cr_assert_eq(tombstones, 3);
        cr_assert_eq(keyspace_size(stage->nodes[i].node->keyspace, 0), 27);
    }
    cr_assert(ring_copies_are_equal(stage));
    EXPECT_ASKED(client, "DBSIZE", ":27\r\n");
    ring_stage_end(stage);
}

/* ---- Parts of long values ---- */

static uint64_t bytes_sent(const struct ring_stage *stage) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < stage->count; i++)
        for (unsigned j = 0; j < stage->count; j++)
            sum += stage->bytes[i][j];
    return sum;
}

/* Bytes that all nodes have sent to each other for a command at the coordinator. */
static uint64_t cost(struct ring_stage *stage, struct ring_client *client, const char *line) {
    ring_wait(stage, 40); /* acknowledgements that are held back */
    uint64_t before = bytes_sent(stage);
    ring_say(client, line);
    ring_turn(stage);
    const char *answer = ring_hear_now(client);
    cr_assert(answer[0] != '\0' && answer[0] != '-', "%s -> %s", line, answer);
    return bytes_sent(stage) - before;
}

Test(replicate, of_a_long_value_only_the_part_that_was_written_is_sent) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    unsigned coordinator = ring_coordinator(stage, 0, "{t}");
    struct ring_client *client = ring_connect(stage, coordinator);
    cr_assert_gt(cost(stage, client, "SETRANGE {t}long 99999 x"), 100000u);
    static const char *const parts[] = {"APPEND {t}long more",
                                        "SETRANGE {t}long 50000 middle",
                                        "SETBIT {t}long 400000 1",
                                        "EXPIRE {t}long 1000",
                                        "BITFIELD {t}long SET u8 8000 77",
                                        "BITFIELD {t}long INCRBY i16 16000 1",
                                        "PERSIST {t}long",
                                        "SETRANGE {t}long 100010 \"behind the end\"",
                                        "GETEX {t}long EX 100",
                                        "BITFIELD {t}long SET u8 0 1 SET u8 64 2",
                                        "PEXPIREAT {t}long 1900000000000"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        uint64_t bytes = cost(stage, client, parts[i]);
        cr_assert(ring_copies_are_equal(stage), "the copies differ after %s", parts[i]);
        cr_assert(bytes > 60 && bytes < 1000, "%s took %llu bytes", parts[i], (unsigned long long)bytes);
    }
    ring_stage_end(stage);
}

Test(replicate, several_patches_of_one_value_in_a_turn_fit_one_another) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    unsigned coordinator = ring_coordinator(stage, 0, "{t}");
    struct ring_client *client = ring_connect(stage, coordinator),
                       *other = ring_connect(stage, (coordinator + 1) % 3);
    ring_ask(client, "SETRANGE {t}long 99999 x");
    ring_wait(stage, 100);
    uint64_t before = bytes_sent(stage);
    for (unsigned i = 0; i < 50; i++) {
        ring_say_format(client, "APPEND {t}long part-%u", i);
        ring_say_format(other, "SETRANGE {t}long %u other-%u", i * 100, i);
    }
    ring_turn(stage);
    cr_assert(ring_copies_are_equal(stage));
    cr_assert_lt(bytes_sent(stage) - before, 40000u);
    ring_stage_end(stage);
}

Test(replicate, patches_inside_a_transaction_arrive_whole) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    unsigned coordinator = ring_coordinator(stage, 0, "{t}");
    for (unsigned i = 0; i < 2; i++) {
        struct ring_client *client = ring_connect(stage, (coordinator + i) % 3);
        ring_ask(client, "SETRANGE {t}long 99999 x");
        ring_say(client, "MULTI");
        ring_say(client, "APPEND {t}long one");
        ring_say(client, "SETRANGE {t}long 10 two");
        ring_say(client, "SETBIT {t}long 7 1");
        ring_say(client, "DEL {t}gone");
        ring_say(client, "EXPIRE {t}long 77");
        ring_say(client, "EXEC");
        ring_turn(stage);
        cr_assert(ring_copies_are_equal(stage));
        for (unsigned j = 0; j < 3; j++)
            cr_assert_eq(ring_copy_size(stage, j, "{t}long"), 100003 + 3 * (int64_t)i);
    }
    ring_stage_end(stage);
}

Test(replicate, a_patch_that_does_not_fit_has_the_value_fetched) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    unsigned coordinator = ring_coordinator(stage, 0, "{t}"), other = 1 - coordinator;
    struct ring_client *client = ring_connect(stage, coordinator);
    ring_ask(client, "SETRANGE {t}long 99999 x");
    ring_turn(stage);
    /* The copy loses it. */
    struct argument key = {.data = (const uint8_t *)"{t}long", .size = 7, .slot = ARGUMENT_NOT_PLACED};
    struct keyspace *keyspace = stage->nodes[other].node->keyspace;
    keyspace_place(keyspace, &key);
    struct slot_set slots = {{0}};
    slot_set_add(&slots, key.slot);
    uint64_t flushed = keyspace->ledger->flush_counters[key.slot];
    keyspace_flush_slots(keyspace, &slots, 0); /* nothing: all is newer */
    cr_assert_eq(keyspace->ledger->flush_counters[key.slot], flushed);
    struct entry entry;
    cr_assert_not_null(keyspace_lookup(keyspace, 0, &key, LOOKUP_PEEK, &entry));
    keyspace_remove(keyspace, 0, &key, &entry, REMOVE_EXPIRED);
    ledger_clear_effects(keyspace->ledger);
    cr_assert_eq(ring_copy_size(stage, other, "{t}long"), -1);
    ring_ask(client, "APPEND {t}long more");
    ring_turn(stage);
    cr_assert_eq(ring_copy_size(stage, other, "{t}long"), 100004);
    cr_assert(ring_copies_are_equal(stage));
    ring_stage_end(stage);
}

/* ---- Large ---- */

static void say_large(struct ring_client *client, const char *command, const char *key, const uint8_t *value,
                      size_t size) {
    const void *words[] = {command, key, value};
    size_t sizes[] = {strlen(command), strlen(key), size};
    ring_say_words(client, 3, words, sizes);
}

Test(replicate, values_of_ten_mebibytes_are_sent_on_answered_and_copied) {
    enum { SIZE = 10 * 1024 * 1024 };
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    uint8_t *value = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        value[i] = (uint8_t)(i * 2654435761u >> 13);
    for (unsigned i = 0; i < 3; i++) {
        struct ring_key key = ring_key_of(stage, 0, i, 0);
        struct ring_client *client = ring_connect(stage, (i + 1) % 3);
        say_large(client, "SET", key.text, value, SIZE);
        EXPECT_HEARD(client, "+OK\r\n");
        ring_say_format(client, "GET %s", key.text);
        ring_hear(client);
        cr_assert_eq(ring_heard_size(client), SIZE + 11 + 2);
        cr_assert_eq(memcmp(client->reply.data + 11, value, SIZE), 0);
        ring_turn(stage);
        for (unsigned j = 0; j < 3; j++)
            cr_assert_eq(ring_copy_size(stage, j, key.text), SIZE);
        ring_disconnect(client);
    }
    cr_assert(ring_copies_are_equal(stage));
    free(value);
    ring_stage_end(stage);
}

Test(replicate, more_than_a_link_may_hold_gets_there_in_the_end) {
    enum { SIZE = 300 * 1024, COUNT = 40 };
    struct ring_stage *stage = ring_stage_begin(3, "peer-output-limit 1mb\n");
    uint8_t *value = calloc(1, SIZE);
    struct ring_client *client = ring_connect(stage, 0);
    ring_hold(stage, 1, 0, true); /* nothing is acknowledged */
    for (unsigned i = 0; i < COUNT; i++) {
        struct ring_key key = ring_key_of(stage, 0, 0, i);
        value[0] = (uint8_t)i;
        say_large(client, "SET", key.text, value, SIZE);
        EXPECT_HEARD(client, "+OK\r\n");
    }
    cr_assert_lt(stage->nodes[0].mem.used_bytes, 40u << 20);
    ring_hold(stage, 1, 0, false);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    free(value);
    ring_stage_end(stage);
}

/* ---- Time to live ---- */

Test(replicate, what_expires_at_the_coordinator_goes_at_the_copies_at_its_word) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned i = 0; i < 30; i++)
        cr_assert_str_eq(ring_ask_format(client, "SET key:%u v PX 300", i), "+OK\r\n");
    for (unsigned i = 30; i < 40; i++)
        cr_assert_str_eq(ring_ask_format(client, "SET key:%u v", i), "+OK\r\n");
    ring_wait(stage, 200);
    EXPECT_ASKED(client, "DBSIZE", ":40\r\n");
    ring_wait(stage, 1000);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(keyspace_size(stage->nodes[i].node->keyspace, 0), 10, "node %u has %llu keys", i,
                     (unsigned long long)keyspace_size(stage->nodes[i].node->keyspace, 0));
    cr_assert(ring_copies_are_equal(stage));
    EXPECT_ASKED(client, "DBSIZE", ":10\r\n");
    ring_stage_end(stage);
}

Test(replicate,
     a_copy_whose_clock_is_ahead_hides_an_expired_key_and_reclaims_it_at_the_coordinators_word_only) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct ring_key key = ring_key_of(stage, 0, 0, 0);
    struct ring_client *client = ring_connect(stage, 0), *at_copy = ring_connect(stage, 1);
    stage->nodes[1].wall_shift_us = 400000;
    cr_assert_str_eq(ring_ask_format(client, "SET %s v PX 500", key.text), "+OK\r\n");
    ring_wait(stage, 200);
    EXPECT_ASKED(at_copy, "READONLY", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(at_copy, "GET %s", key.text), "$-1\r\n");
    cr_assert_eq(ring_copy_size(stage, 1, key.text), 1);
    cr_assert_str_eq(ring_ask_format(client, "PERSIST %s", key.text), ":1\r\n");
    cr_assert_str_eq(ring_ask_format(at_copy, "GET %s", key.text), "$1\r\nv\r\n");
    ring_stage_end(stage);
}

Test(replicate, an_expired_key_that_is_asked_for_is_reclaimed_everywhere) {
    struct ring_stage *stage = ring_stage_begin(3, "enable-debug-command yes\n");
    for (unsigned i = 0; i < 3; i++) {
        struct ring_client *client = ring_connect(stage, i);
        EXPECT_ASKED(client, "DEBUG SET-ACTIVE-EXPIRE 0", "+OK\r\n");
    }
    struct ring_client *client = ring_connect(stage, 1);
    for (unsigned i = 0; i < 3; i++) {
        struct ring_key key = ring_key_of(stage, 0, i, 0);
        cr_assert_str_eq(ring_ask_format(client, "SET %s v PX 100", key.text), "+OK\r\n");
        ring_wait(stage, 200);
        cr_assert_eq(ring_copy_size(stage, 2, key.text), 1);
        cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), "$-1\r\n");
        ring_turn(stage);
        for (unsigned j = 0; j < 3; j++)
            cr_assert_eq(ring_copy_size(stage, j, key.text), -1);
    }
    cr_assert(ring_copies_are_equal(stage));
    ring_stage_end(stage);
}

/* ---- Flushes ---- */

Test(replicate, a_flush_with_writes_at_the_same_time_leaves_equal_copies) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *clients[3];
    for (unsigned i = 0; i < 3; i++)
        clients[i] = ring_connect(stage, i);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 60; i++)
            ring_say_format(clients[i % 3], "SET key:%u round-%u", i, round);
        ring_say(clients[round % 3], "FLUSHALL");
        for (unsigned i = 0; i < 60; i++)
            ring_say_format(clients[i % 3], i % 5 == 0 ? "DEL key:%u" : "APPEND key:%u later", i);
        ring_turn(stage);
        cr_assert(ring_copies_are_equal(stage), "round %u", round);
        for (unsigned i = 0; i < 3; i++) {
            cr_assert_eq(keyspace_size(stage->nodes[i].node->keyspace, 0),
                         keyspace_size(stage->nodes[0].node->keyspace, 0));
            while (ring_hear_now(clients[i])[0] != '\0')
                continue;
        }
    }
    ring_stage_end(stage);
}

Test(replicate, a_copy_that_missed_a_flush_learns_of_it) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned i = 0; i < 60; i++)
        ring_ask_format(client, "SET key:%u v", i);
    ring_turn(stage);
    ring_cut(stage, 0, 2, false);
    ring_cut(stage, 1, 2, false);
    stage->is_unreachable[2] = true;
    ring_hold(stage, 2, 0, true);
    ring_hold(stage, 2, 1, true);
    ring_wait(stage, 8000); /* it is taken for dead */
    EXPECT_ASKED(client, "FLUSHALL", "+OK\r\n");
    EXPECT_ASKED(client, "SET key:1 new", "+OK\r\n");
    cr_assert_eq(keyspace_size(stage->nodes[2].node->keyspace, 0), 60);
    stage->is_unreachable[2] = false;
    ring_hold(stage, 2, 0, false);
    ring_hold(stage, 2, 1, false);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    cr_assert_eq(keyspace_size(stage->nodes[2].node->keyspace, 0), 1);
    EXPECT_ASKED(client, "DBSIZE", ":1\r\n");
    ring_stage_end(stage);
}

/* ---- Lost frames ---- */

Test(replicate, what_was_written_while_a_link_was_broken_is_found_by_comparing) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 40; i++)
            ring_say_format(client, "SET key:%u round-%u", i * (round + 1), round);
        ring_step(stage);
        ring_cut(stage, 0, 1, round % 2 == 0);
        for (unsigned i = 0; i < 40; i++)
            ring_say_format(client, i % 3 == 0 ? "DEL key:%u" : "APPEND key:%u more", i * (round + 1));
        ring_step(stage);
        ring_cut(stage, 0, 2, false);
        ring_settle(stage);
        ring_expect_equal_copies(stage);
        while (ring_hear_now(client)[0] != '\0')
            continue;
    }
    ring_stage_end(stage);
}

/* ---- No memory ---- */

Test(replicate, effects_that_find_no_memory_are_made_good_later) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    unsigned coordinator = ring_coordinator(stage, 0, "{t}");
    struct ring_client *client = ring_connect(stage, coordinator);
    struct mem *mem = &stage->nodes[coordinator].mem;
    ring_ask(client, "SETRANGE {t}long 99999 x");
    for (unsigned fuse = 1; fuse < 40; fuse++) {
        ring_settle(stage);
        mem->fuse = fuse;
        mem->fuse_stays_blown = fuse % 2;
        ring_say_format(client, "SET {t}a v%u", fuse);
        ring_say(client, "APPEND {t}long more");
        ring_say_format(client, "MSET {t}a x {t}b y {t}c%u z", fuse);
        ring_say(client, "DEL {t}b");
        ring_say(client, "EXPIRE {t}long 1000");
        ring_step(stage);
        mem->fuse = 0;
        mem->fuse_stays_blown = false;
        for (unsigned i = 0; i < 5 && client->session != NULL; i++)
            ring_hear(client);
        if (client->session == NULL) {
            ring_disconnect(client);
            client = ring_connect(stage, coordinator);
        }
        ring_expect_equal_copies(stage);
    }
    ring_stage_end(stage);
}

Test(replicate, a_flush_is_done_whatever_the_clock_of_who_executes_it_says) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 1), *other = ring_connect(stage, 0);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_str_eq(ring_ask_format(other, "SET key:%u v", i), "+OK\r\n");
    stage->nodes[1].wall_shift_us = -3 * INT64_C(86400000000);
    ring_wait(stage, 100);
    EXPECT_ASKED(client, "FLUSHALL", "+OK\r\n");
    EXPECT_ASKED(client, "DBSIZE", ":0\r\n");
    ring_expect_equal_copies(stage);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(keyspace_size(stage->nodes[i].node->keyspace, 0), 0, "node %u", i);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_str_eq(ring_ask_format(other, "SET key:%u again", i), "+OK\r\n");
    ring_expect_equal_copies(stage);
    EXPECT_ASKED(client, "DBSIZE", ":100\r\n");
    ring_stage_end(stage);
}

Test(replicate, a_copy_that_finds_no_memory_gets_the_keys_later) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    unsigned coordinator = ring_coordinator(stage, 0, "{t}");
    struct ring_client *client = ring_connect(stage, coordinator);
    struct mem *mem = &stage->nodes[1 - coordinator].mem;
    for (unsigned fuse = 1; fuse < 40; fuse++) {
        ring_settle(stage);
        ring_say_format(client, "MSET {t}a%u x {t}b%u y {t}c z", fuse, fuse);
        ring_say_format(client, "SETRANGE {t}d%u 2000 x", fuse);
        ring_say_format(client, "APPEND {t}d%u x", fuse - 1);
        mem->fuse = fuse;
        mem->fuse_stays_blown = fuse % 3 == 0;
        ring_step(stage);
        ring_step(stage);
        mem->fuse = 0;
        mem->fuse_stays_blown = false;
        for (unsigned i = 0; i < 3; i++)
            cr_assert_neq(ring_hear(client)[0], '-');
        ring_expect_equal_copies(stage);
    }
    ring_stage_end(stage);
}

/* ---- What is left over ---- */

static unsigned count_copies(struct ring_stage *stage, const char *key) {
    unsigned count = 0;
    for (unsigned i = 0; i < stage->count; i++)
        count += ring_copy_size(stage, i, key) >= 0;
    return count;
}

#define KEYS_WRITTEN 40u

static unsigned most_copies(struct ring_stage *stage) {
    unsigned most = 0;
    for (unsigned i = 0; i < KEYS_WRITTEN; i++) {
        char key[32];
        snprintf(key, sizeof key, "written:%u", i);
        unsigned count = count_copies(stage, key);
        most = count > most ? count : most;
    }
    return most;
}

Test(replicate, what_a_newcomer_took_over_is_dropped_though_it_is_written_all_the_time) {
    struct ring_stage *stage = ring_stage_new(4, "replication-factor 2\n");
    for (unsigned i = 0; i < 3; i++)
        ring_start(stage, i);
    ring_settle(stage);
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned i = 0; i < KEYS_WRITTEN; i++)
        cr_assert_str_eq(ring_ask_format(client, "INCR written:%u", i), ":1\r\n");
    ring_start(stage, 3);
    ring_settle(stage);
    cr_assert_eq(most_copies(stage), 3u, "nothing is left over");
    unsigned round = 1;
    for (unsigned ms = 0; most_copies(stage) > 2; ms += 50) {
        cr_assert_lt(ms, 60000u, "some keys still have %u copies", most_copies(stage));
        round++;
        for (unsigned i = 0; i < KEYS_WRITTEN; i++)
            ring_ask_format(client, "INCR written:%u", i);
        ring_wait(stage, 50);
    }
    cr_assert_gt(round, 100u);
    for (unsigned i = 0; i < KEYS_WRITTEN; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, ":%u\r\n", round + 1);
        cr_assert_str_eq(ring_ask_format(client, "INCR written:%u", i), expected);
    }
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}
