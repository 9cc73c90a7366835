/* dump_test.c - DUMP and RESTORE: what comes back, what is refused and in which order, with redis-server 7.0's replies.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/harness.h"

#include "base/checksum.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct harness harness;

static void set_up(void) {
    harness_init(&harness);
}

static void tear_down(void) {
    harness_release(&harness);
}

TestSuite(dump, .init = set_up, .fini = tear_down);

struct payload {
    uint8_t bytes[1000];
    uint32_t size;
};

static struct payload dump(const char *key) {
    char line[64];
    snprintf(line, sizeof line, "DUMP %s", key);
    struct harness_answer answer = harness_run(&harness, line);
    cr_assert_eq(answer.data[0], '$');
    struct payload payload = {.size = (uint32_t)atoi((const char *)answer.data + 1)};
    const uint8_t *begin = memchr(answer.data, '\n', answer.size);
    cr_assert(payload.size < sizeof payload.bytes &&
              begin + 1 + payload.size + 2 == answer.data + answer.size);
    memcpy(payload.bytes, begin + 1, payload.size);
    return payload;
}

/* A payload of `value`, made through a key of another database. */
static struct payload dump_of(const char *value) {
    uint32_t database = harness.database;
    char line[256];
    harness.database = 15;
    snprintf(line, sizeof line, "SET temporary %s", value);
    EXPECT(&harness, line, "+OK\r\n");
    struct payload payload = dump("temporary");
    EXPECT(&harness, "DEL temporary", ":1\r\n");
    harness.database = database;
    return payload;
}

/* RESTORE key ttl payload [options, apart by single spaces]. */
static struct harness_answer restore(const char *key, const char *ttl, const struct payload *payload,
                                     const char *options) {
    struct argument argv[16] = {{.data = (const uint8_t *)"RESTORE", .size = 7},
                                {.data = (const uint8_t *)key, .size = (uint32_t)strlen(key)},
                                {.data = (const uint8_t *)ttl, .size = (uint32_t)strlen(ttl)},
                                {.data = payload->bytes, .size = payload->size}};
    uint32_t argc = 4;
    while (*options != '\0') {
        uint32_t size = (uint32_t)strcspn(options, " ");
        argv[argc++] = (struct argument){.data = (const uint8_t *)options, .size = size};
        options += size + (options[size] == ' ');
    }
    return harness_run_arguments(&harness, argv, argc);
}

static void expect_restore(const char *key, const char *ttl, const struct payload *payload,
                           const char *options, const char *reply) {
    struct harness_answer answer = restore(key, ttl, payload, options);
    cr_assert(answer.size == strlen(reply) && memcmp(answer.data, reply, answer.size) == 0,
              "RESTORE %s %s ... %s answers %.*s", key, ttl, options, (int)answer.size, answer.data);
}

#define FOREIGN "-ERR DUMP payload version or checksum are wrong\r\n"

/* ---- What comes back ---- */

Test(dump, a_value_comes_back_byte_for_byte) {
    static const char *const values[] = {
        "\"\"",
        "hello",
        "12345",
        "\"\\x00\\xff\\r\\n\"",
        "-9223372036854775808",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char line[256];
        snprintf(line, sizeof line, "SET a %s", values[i]);
        EXPECT(&harness, line, "+OK\r\n");
        struct payload payload = dump("a");
        expect_restore("b", "0", &payload, "REPLACE", "+OK\r\n");
        struct harness_answer answer = harness_run(&harness, "GET a");
        uint8_t *first = malloc(answer.size);
        size_t size = answer.size;
        memcpy(first, answer.data, size);
        answer = harness_run(&harness, "GET b");
        cr_assert(answer.size == size && memcmp(answer.data, first, size) == 0, "%s", values[i]);
        free(first);
        EXPECT(&harness, "TTL b", ":-1\r\n");
    }
}

Test(dump, an_absent_or_expired_key_has_no_payload) {
    EXPECT(&harness, "DUMP nosuch", "$-1\r\n");
    EXPECT(&harness, "SET a 1 PX 10", "+OK\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 11);
    EXPECT(&harness, "DUMP a", "$-1\r\n");
    harness.reply.protocol = 3;
    EXPECT(&harness, "DUMP a", "_\r\n");
}

Test(dump, a_payload_holds_neither_key_nor_expiry_nor_version) {
    EXPECT(&harness, "SET a value EX 100", "+OK\r\n");
    struct payload first = dump("a");
    EXPECT(&harness, "SET another value", "+OK\r\n");
    struct payload second = dump("another");
    cr_assert_eq(first.size, second.size);
    cr_assert_arr_eq(first.bytes, second.bytes, first.size);
}

Test(dump, the_encoding_of_a_restored_value_follows_from_its_content) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "APPEND a 2", ":2\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nraw\r\n");
    struct payload payload = dump("a");
    expect_restore("b", "0", &payload, "", "+OK\r\n");
    EXPECT(&harness, "OBJECT ENCODING b", "$3\r\nint\r\n");
    EXPECT(&harness, "APPEND a x", ":3\r\n");
    payload = dump("a");
    expect_restore("b", "0", &payload, "REPLACE", "+OK\r\n");
    EXPECT(&harness, "OBJECT ENCODING b", "$6\r\nembstr\r\n");
}

Test(dump, a_restored_key_is_a_new_write) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    struct payload payload = dump("a");
    uint64_t counter = harness.keyspace->counter, changes = harness.keyspace->counters.changes;
    expect_restore("a", "0", &payload, "REPLACE", "+OK\r\n");
    cr_assert_gt(harness.keyspace->counter, counter);
    cr_assert_eq(harness.keyspace->counters.changes, changes + 1);
}

Test(dump, a_ttl_is_relative_unless_it_is_said_to_be_absolute) {
    struct payload payload = dump_of("value");
    expect_restore("a", "5000", &payload, "", "+OK\r\n");
    EXPECT(&harness, "PTTL a", ":5000\r\n");
    expect_restore("b", "1700000007000", &payload, "ABSTTL", "+OK\r\n");
    EXPECT(&harness, "PTTL b", ":7000\r\n");
    expect_restore("c", "9223372036854775807", &payload, "absttl", "+OK\r\n");
    EXPECT(&harness, "PEXPIRETIME c", ":9223372036854775807\r\n");
    expect_restore("d", "0", &payload, "ABSTTL", "+OK\r\n");
    EXPECT(&harness, "PTTL d", ":-1\r\n");
    expect_restore("a", "0", &payload, "REPLACE", "+OK\r\n");
    EXPECT(&harness, "PTTL a", ":-1\r\n");
}

Test(dump, a_key_that_would_be_expired_is_not_restored) {
    struct payload payload = dump_of("value");
    EXPECT(&harness, "SET there 1", "+OK\r\n");
    uint64_t changes = harness.keyspace->counters.changes;
    expect_restore("a", "1", &payload, "ABSTTL", "+OK\r\n");
    expect_restore("a", "1700000000000", &payload, "ABSTTL", "+OK\r\n");
    expect_restore("a", "9223372036854775807", &payload, "", "+OK\r\n"); /* beyond all clocks */
    EXPECT(&harness, "EXISTS a", ":0\r\n");
    cr_assert_eq(harness.keyspace->counters.changes, changes);
    expect_restore("there", "1", &payload, "ABSTTL REPLACE", "+OK\r\n");
    EXPECT(&harness, "EXISTS there", ":0\r\n");
    cr_assert_eq(harness.keyspace->counters.changes, changes + 1);
    expect_restore("a", "1700000000001", &payload, "ABSTTL", "+OK\r\n");
    EXPECT(&harness, "EXISTS a", ":1\r\n");
}

Test(dump, an_idle_time_and_a_frequency_may_come_along) {
    struct payload payload = dump_of("value");
    expect_restore("a", "0", &payload, "IDLETIME 1000", "+OK\r\n");
    EXPECT(&harness, "OBJECT IDLETIME a", ":1000\r\n");
    expect_restore("a", "0", &payload, "REPLACE idletime 1 IDLETIME 5", "+OK\r\n");
    EXPECT(&harness, "OBJECT IDLETIME a", ":5\r\n");
    expect_restore("a", "0", &payload, "REPLACE IDLETIME 9223372036854775807", "+OK\r\n");
    EXPECT(&harness, "OBJECT IDLETIME a", ":16777215\r\n");
    expect_restore("a", "0", &payload, "REPLACE IDLETIME 20000000", "+OK\r\n");
    EXPECT(&harness, "OBJECT IDLETIME a", ":16777215\r\n");
    expect_restore("a", "0", &payload, "REPLACE FREQ 255", "+OK\r\n");
    EXPECT(&harness, "OBJECT IDLETIME a", ":0\r\n");
    EXPECT(&harness, "GET a", "$5\r\nvalue\r\n");
}

Test(dump, hits_and_access_are_counted_for_dump_only) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 5000);
    struct keyspace_counters before = harness.keyspace->counters;
    struct payload payload = dump("a");
    harness_run(&harness, "DUMP nosuch");
    cr_assert_eq(harness.keyspace->counters.hits, before.hits + 1);
    cr_assert_eq(harness.keyspace->counters.misses, before.misses + 1);
    EXPECT(&harness, "OBJECT IDLETIME a", ":0\r\n");
    before = harness.keyspace->counters;
    expect_restore("a", "0", &payload, "", "-BUSYKEY Target key name already exists.\r\n");
    expect_restore("b", "0", &payload, "", "+OK\r\n");
    cr_assert_eq(harness.keyspace->counters.hits, before.hits);
    cr_assert_eq(harness.keyspace->counters.misses, before.misses);
}

/* ---- What is refused ---- */

Test(dump, arguments_are_checked_in_the_order_of_redis) {
    struct payload good = dump_of("value"), bad = {.bytes = "xx", .size = 2};
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    /* options, then the key, then the TTL, then the payload */
    expect_restore("a", "-1", &bad, "foo", "-ERR syntax error\r\n");
    expect_restore("a", "abc", &bad, "", "-BUSYKEY Target key name already exists.\r\n");
    expect_restore("a", "-1", &good, "", "-BUSYKEY Target key name already exists.\r\n");
    expect_restore("b", "abc", &bad, "", "-ERR value is not an integer or out of range\r\n");
    expect_restore("b", "-1", &bad, "", "-ERR Invalid TTL value, must be >= 0\r\n");
    expect_restore("a", "-1", &good, "REPLACE ABSTTL", "-ERR Invalid TTL value, must be >= 0\r\n");
    expect_restore("b", "-9223372036854775808", &good, "", "-ERR Invalid TTL value, must be >= 0\r\n");
    expect_restore("b", "0", &bad, "", FOREIGN);
    expect_restore("a", "0", &bad, "REPLACE", FOREIGN);
    expect_restore("b", "0", &good, "IDLETIME", "-ERR syntax error\r\n");
    expect_restore("b", "0", &good, "FREQ", "-ERR syntax error\r\n");
    expect_restore("b", "0", &good, "IDLETIME x", "-ERR value is not an integer or out of range\r\n");
    expect_restore("b", "0", &good, "IDLETIME -1", "-ERR Invalid IDLETIME value, must be >= 0\r\n");
    expect_restore("b", "0", &good, "FREQ x", "-ERR value is not an integer or out of range\r\n");
    expect_restore("b", "0", &good, "FREQ -1", "-ERR Invalid FREQ value, must be >= 0 and <= 255\r\n");
    expect_restore("b", "0", &good, "FREQ 256", "-ERR Invalid FREQ value, must be >= 0 and <= 255\r\n");
    expect_restore("b", "0", &good, "IDLETIME 1 FREQ 1", "-ERR syntax error\r\n");
    expect_restore("b", "0", &good, "FREQ 1 IDLETIME 1", "-ERR syntax error\r\n");
    expect_restore("b", "abc", &good, "FREQ 256", "-ERR Invalid FREQ value, must be >= 0 and <= 255\r\n");
    EXPECT(&harness, "RESTORE a 0", "-ERR wrong number of arguments for 'restore' command\r\n");
    EXPECT(&harness, "MGET a b", "*2\r\n$1\r\n1\r\n$-1\r\n");
}

Test(dump, a_payload_of_another_program_is_refused) {
    /* redis-server 7.0's payload of "hello" */
    struct payload theirs = {.bytes = "\x00\x05hello\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a", .size = 17};
    struct payload empty = {.size = 0};
    expect_restore("a", "0", &theirs, "", FOREIGN);
    expect_restore("a", "0", &empty, "", FOREIGN);
}

Test(dump, a_damaged_payload_is_refused_at_every_bit_and_every_length) {
    struct payload good = dump_of("value");
    EXPECT(&harness, "SET a kept", "+OK\r\n");
    for (uint32_t bit = 0; bit < good.size * 8; bit++) {
        struct payload bad = good;
        bad.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        expect_restore("a", "0", &bad, "REPLACE", FOREIGN);
    }
    for (uint32_t size = 0; size < good.size; size++) {
        struct payload bad = good;
        bad.size = size;
        expect_restore("a", "0", &bad, "REPLACE", FOREIGN);
    }
    struct payload longer = good;
    longer.size++;
    expect_restore("a", "0", &longer, "REPLACE", FOREIGN);
    EXPECT(&harness, "GET a", "$4\r\nkept\r\n");
    expect_restore("a", "0", &good, "REPLACE", "+OK\r\n");
}

static void sign(struct payload *payload) {
    uint64_t checksum = checksum_bytes(payload->bytes, payload->size - 8);
    for (int i = 0; i < 8; i++)
        payload->bytes[payload->size - 8 + (uint32_t)i] = (uint8_t)(checksum >> 8 * i);
}

Test(dump, a_forged_payload_is_refused) {
    struct payload forged = dump_of("value");
    EXPECT(&harness, "SET a kept", "+OK\r\n");
    forged.bytes[2] = 7; /* the type of a tombstone */
    sign(&forged);
    expect_restore("a", "0", &forged, "REPLACE", "-ERR Bad data format\r\n");
    forged.bytes[2] = 0;
    forged.bytes[3] = 4; /* a value one byte shorter than what follows */
    sign(&forged);
    expect_restore("a", "0", &forged, "REPLACE", "-ERR Bad data format\r\n");
    EXPECT(&harness, "GET a", "$4\r\nkept\r\n");
}

Test(dump, mutated_payloads_never_do_harm) {
    struct rng rng;
    rng_init(&rng, 6);
    struct payload good = dump_of("some-value-of-some-length");
    unsigned restored = 0, malformed = 0;
    for (int round = 0; round < 10000; round++) {
        struct payload bad = good;
        for (uint64_t changes = 1 + rng_below(&rng, 3); changes > 0; changes--)
            bad.bytes[rng_below(&rng, bad.size)] = (uint8_t)rng_next64(&rng);
        if (rng_below(&rng, 4) == 0)
            bad.size = (uint32_t)rng_below(&rng, bad.size + 10);
        bool is_signed = bad.size >= 10 && rng_below(&rng, 4) != 0;
        if (is_signed) {
            memcpy(bad.bytes, good.bytes, 2); /* the right mark and format */
            sign(&bad);
        }
        struct harness_answer answer = restore("a", "0", &bad, "REPLACE");
        if (answer.data[0] == '+') {
            cr_assert(is_signed || memcmp(&bad, &good, sizeof bad) == 0);
            harness_run(&harness, "GET a");
            restored++;
        } else {
            malformed += answer.size > 8 && memcmp(answer.data, "-ERR Bad", 8) == 0;
        }
    }
    cr_assert_gt(restored, 1000);
    cr_assert_gt(malformed, 500);
}

/* ---- Failing allocations ---- */

Test(dump, a_dump_without_memory_is_an_error_and_nothing_else) {
    static char line[2100];
    int size = snprintf(line, sizeof line, "SET a ");
    memset(line + size, 'v', 2000);
    line[size + 2000] = '\0';
    const char *const setup[] = {line, NULL};
    cr_assert_geq(harness_fail_each_allocation(setup, "DUMP a"), 1);
}

Test(dump, a_restore_without_memory_leaves_the_old_key) {
    struct payload payload = dump_of("a-value-that-is-longer-than-the-old-one");
    char line[600] = "RESTORE a 5000 \"";
    for (uint32_t i = 0; i < payload.size; i++)
        snprintf(line + strlen(line), sizeof line - strlen(line), "\\x%02x", payload.bytes[i]);
    strcat(line, "\" IDLETIME 5");
    static const char *const empty[] = {"SET b 1", NULL}, *const busy[] = {"SET a old", NULL};
    cr_assert_geq(harness_fail_each_allocation(empty, line), 1);
    harness_fail_each_allocation(busy, line);
    strcat(line, " REPLACE");
    cr_assert_geq(harness_fail_each_allocation(busy, line), 1);
}
