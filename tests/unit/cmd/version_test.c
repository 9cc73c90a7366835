/* version_test.c - KV.VERSION, KV.PEEK and KV.SIBLINGS: who wrote a key, what this copy of it is, and what lost.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/harness.h"

#include "store/ledger.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define ID "00112233445566778899aabbccddeeff00112233"
/* HARNESS_NOW_MS as a counter: with nothing in its logical part. */
#define NOW_COUNTER "111411200000000000"

static struct harness harness;

static struct actor_identity actor(uint8_t last, uint64_t incarnation) {
    struct actor_identity identity = {.incarnation = incarnation};
    for (unsigned i = 0; i < NODE_ID_SIZE; i++)
        identity.node_id[i] = (uint8_t)(0x11 * (i % 16));
    identity.node_id[NODE_ID_SIZE - 1] = last;
    return identity;
}

static void set_up(void) {
    harness_init(&harness);
    struct actor_identity self = actor(0x33, 7);
    actors_set_self(&harness.keyspace->actors, &self);
}

static void tear_down(void) {
    harness_release(&harness);
}

TestSuite(kv_version, .init = set_up, .fini = tear_down);

/* A copy that another node has written: `count` writers with the counters 1000, 999..., the first of them the newest. */
static void merge(const char *name, uint32_t count, uint8_t type, int64_t expiry_ms) {
    struct argument key = {(const uint8_t *)name, (uint32_t)strlen(name), ARGUMENT_NOT_PLACED, 0};
    struct dot dots[VERSION_DOTS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        struct actor_identity identity = actor((uint8_t)(0x40 + i), i + 1);
        dots[i] = (struct dot){.actor = actors_intern(&harness.keyspace->actors, &identity),
                               .counter = (1000 - i) << 16};
    }
    struct record_parts parts = {.key = key.data,
                                 .key_size = key.size,
                                 .value = (const uint8_t *)"theirs",
                                 .value_size = type == RECORD_TOMBSTONE ? 0 : 6,
                                 .expiry_ms = expiry_ms,
                                 .newest = dots[0],
                                 .others = dots + 1,
                                 .other_count = (uint16_t)(count - 1),
                                 .type = type};
    bool changed;
    cr_assert(keyspace_merge(harness.keyspace, 0, &key, &parts, &changed));
    cr_assert(changed);
}

Test(kv_version, names_the_writer_its_start_its_counter_and_the_time) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "KV.VERSION a",
           "*1\r\n*4\r\n$40\r\n" ID "\r\n:7\r\n:" NOW_COUNTER "\r\n:1700000000000\r\n");
    EXPECT(&harness, "KV.VERSION nosuch", "*-1\r\n");
}

Test(kv_version, has_the_latest_writer_first) {
    merge("a", 3, RECORD_STRING, RECORD_NO_EXPIRY);
    EXPECT(&harness, "KV.VERSION a",
           "*3\r\n*4\r\n$40\r\n00112233445566778899aabbccddeeff00112240\r\n:1\r\n:65536000\r\n:1000\r\n"
           "*4\r\n$40\r\n00112233445566778899aabbccddeeff00112241\r\n:2\r\n:65470464\r\n:999\r\n"
           "*4\r\n$40\r\n00112233445566778899aabbccddeeff00112242\r\n:3\r\n:65404928\r\n:998\r\n");
}

Test(kv_version, there_is_none_of_a_key_that_is_not_there) {
    EXPECT(&harness, "SET a 1 PX 10", "+OK\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 11);
    EXPECT(&harness, "KV.VERSION a", "*-1\r\n");
    cr_assert_eq(keyspace_size(harness.keyspace, 0), 1, "looking reclaims nothing");
}

Test(kv_peek, shows_value_type_expiry_and_version, .init = set_up, .fini = tear_down) {
    EXPECT(&harness, "SET a hello PXAT 1700000005000", "+OK\r\n");
    EXPECT(&harness, "KV.PEEK a",
           "*4\r\n$5\r\nhello\r\n$6\r\nstring\r\n:1700000005000\r\n*1\r\n*4\r\n$40\r\n" ID
           "\r\n:7\r\n:" NOW_COUNTER "\r\n:1700000000000\r\n");
    EXPECT(&harness, "SET b \"\"", "+OK\r\n");
    EXPECT(&harness, "KV.PEEK b",
           "*4\r\n$0\r\n\r\n$6\r\nstring\r\n:-1\r\n*1\r\n*4\r\n$40\r\n" ID
           "\r\n:7\r\n:111411200000000001\r\n:1700000000000\r\n");
    EXPECT(&harness, "KV.PEEK nosuch", "*-1\r\n");
}

Test(kv_peek, shows_what_is_hidden, .init = set_up, .fini = tear_down) {
    EXPECT(&harness, "SET a hello PX 10", "+OK\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 11);
    EXPECT(&harness, "KV.PEEK a",
           "*4\r\n$-1\r\n$7\r\nexpired\r\n:1700000000010\r\n*1\r\n*4\r\n$40\r\n" ID "\r\n:7\r\n:" NOW_COUNTER
           "\r\n:1700000000000\r\n");
    cr_assert_eq(keyspace_size(harness.keyspace, 0), 1);
    merge("t", 1, RECORD_TOMBSTONE, RECORD_NO_EXPIRY);
    EXPECT(
        &harness, "KV.PEEK t",
        "*4\r\n$-1\r\n$9\r\ntombstone\r\n:-1\r\n*1\r\n*4\r\n$40\r\n00112233445566778899aabbccddeeff00112240\r\n:1\r\n"
        ":65536000\r\n:1000\r\n");
    EXPECT(&harness, "KV.VERSION t", "*-1\r\n");
}

Test(kv_peek, counts_as_no_use, .init = set_up, .fini = tear_down) {
    EXPECT(&harness, "SET a hello", "+OK\r\n");
    uint64_t hits = harness.keyspace->counters.hits, misses = harness.keyspace->counters.misses;
    harness_run(&harness, "KV.PEEK a");
    harness_run(&harness, "KV.VERSION a");
    harness_run(&harness, "KV.PEEK nosuch");
    cr_assert_eq(harness.keyspace->counters.hits, hits);
    cr_assert_eq(harness.keyspace->counters.misses, misses);
}

Test(kv_peek, without_memory_it_says_so) {
    static const char *const setup[] = {"SET a 0123456789", NULL};
    harness_fail_each_allocation(setup, "KV.PEEK a");
    harness_fail_each_allocation(setup, "KV.VERSION a");
}

/* ---- Siblings ---- */

/* Another node's value of a key, written without knowledge of ours, `age_s` before or (below 0) after. NULL: it is deleted. */
static void merge_value(const char *name, uint8_t writer, const char *value, int64_t age_s) {
    struct argument key = {(const uint8_t *)name, (uint32_t)strlen(name), ARGUMENT_NOT_PLACED, 0};
    struct actor_identity identity = actor(writer, 1);
    struct record_parts parts = {.key = key.data,
                                 .key_size = key.size,
                                 .value = (const uint8_t *)value,
                                 .value_size = value == NULL ? 0 : (uint32_t)strlen(value),
                                 .expiry_ms = RECORD_NO_EXPIRY,
                                 .newest = {.actor = actors_intern(&harness.keyspace->actors, &identity),
                                            .counter = (uint64_t)(HARNESS_NOW_MS - age_s * 1000) << 16},
                                 .type = value == NULL ? RECORD_TOMBSTONE : RECORD_STRING};
    bool changed;
    cr_assert(keyspace_merge(harness.keyspace, 0, &key, &parts, &changed));
    cr_assert(changed);
}

static bool begins_with_k(const void *context, const uint8_t *key, uint32_t key_size) {
    (void)context;
    return key_size != 0 && key[0] == 'k';
}

static void set_up_siblings(void) {
    set_up();
    harness.keyspace->keeps_siblings = begins_with_k;
    cr_assert(ledger_attach(harness.keyspace));
}

TestSuite(kv_siblings, .init = set_up_siblings, .fini = tear_down);

Test(kv_siblings, shows_the_value_and_what_lost_against_it) {
    EXPECT(&harness, "KV.SIBLINGS k", "*0\r\n");
    EXPECT(&harness, "SET k ours", "+OK\r\n");
    EXPECT(&harness, "KV.SIBLINGS k", "*1\r\n$4\r\nours\r\n");
    merge_value("k", 0x41, "oldest", 3);
    merge_value("k", 0x42, "older", 2);
    merge_value("k", 0x43, "newer", -1);
    EXPECT(&harness, "GET k", "$5\r\nnewer\r\n");
    EXPECT(&harness, "KV.SIBLINGS k", "*4\r\n$5\r\nnewer\r\n$4\r\nours\r\n$5\r\nolder\r\n$6\r\noldest\r\n");
    EXPECT(&harness, "SET k all", "+OK\r\n");
    EXPECT(&harness, "KV.SIBLINGS k", "*1\r\n$3\r\nall\r\n");
}

Test(kv_siblings, has_nobody_for_other_keys) {
    EXPECT(&harness, "SET other ours", "+OK\r\n");
    merge_value("other", 0x41, "older", 2);
    EXPECT(&harness, "KV.SIBLINGS other", "*1\r\n$4\r\nours\r\n");
}

Test(kv_siblings, of_a_deleted_key_come_behind_null) {
    EXPECT(&harness, "SET k ours", "+OK\r\n");
    merge_value("k", 0x41, NULL, -1);
    EXPECT(&harness, "GET k", "$-1\r\n");
    EXPECT(&harness, "KV.SIBLINGS k", "*2\r\n$-1\r\n$4\r\nours\r\n");
    EXPECT(&harness, "SET k2 ours", "+OK\r\n");
    EXPECT(&harness, "DEL k2", ":1\r\n");
    EXPECT(&harness, "KV.SIBLINGS k2", "*0\r\n");
}

Test(kv_siblings, of_an_expired_key_are_hidden_with_it) {
    EXPECT(&harness, "SET k ours PX 10", "+OK\r\n");
    merge_value("k", 0x41, "older", 2);
    EXPECT(&harness, "KV.SIBLINGS k", "*2\r\n$4\r\nours\r\n$5\r\nolder\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 11);
    EXPECT(&harness, "KV.SIBLINGS k", "*0\r\n");
}

Test(kv_siblings, stay_with_an_expiry_and_with_an_addition) {
    EXPECT(&harness, "SET k 1", "+OK\r\n");
    merge_value("k", 0x41, "10", 2);
    EXPECT(&harness, "EXPIRE k 100", ":1\r\n");
    EXPECT(&harness, "INCR k", ":2\r\n");
    EXPECT(&harness, "KV.SIBLINGS k", "*2\r\n$1\r\n2\r\n$2\r\n10\r\n");
    EXPECT(&harness, "APPEND k 0", ":2\r\n");
    EXPECT(&harness, "KV.SIBLINGS k", "*1\r\n$2\r\n20\r\n");
}

Test(kv_siblings, without_memory_it_says_so, .init = NULL, .fini = NULL) {
    static const char *const setup[] = {"SET a 0123456789", NULL};
    harness_fail_each_allocation(setup, "KV.SIBLINGS a");
}

/* ---- One database ---- */

Test(one_database, is_all_that_there_is_where_others_hold_copies, .init = set_up, .fini = tear_down) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    cr_assert(ledger_attach(harness.keyspace));
    EXPECT(&harness, "MOVE a 1", "-ERR MOVE is not allowed in cluster mode\r\n");
    EXPECT(&harness, "MOVE a x", "-ERR MOVE is not allowed in cluster mode\r\n");
    EXPECT(&harness, "SWAPDB 0 1", "-ERR SWAPDB is not allowed in cluster mode\r\n");
    EXPECT(&harness, "SWAPDB x y", "-ERR SWAPDB is not allowed in cluster mode\r\n");
    EXPECT(&harness, "COPY a b DB 1", "-ERR Copying to another database is not allowed in cluster mode\r\n");
    EXPECT(&harness, "COPY a b DB 99", "-ERR DB index is out of range\r\n");
    EXPECT(&harness, "COPY a b DB 0", ":1\r\n");
    EXPECT(&harness, "COPY a c", ":1\r\n");
}
