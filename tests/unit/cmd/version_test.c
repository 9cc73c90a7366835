/* version_test.c - KV.VERSION and KV.PEEK: who wrote a key, and what this copy of it is.
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
