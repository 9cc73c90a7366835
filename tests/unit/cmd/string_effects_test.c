/* string_effects_test.c - what the commands on strings and bits do besides their replies: counters, broken watches,
 * and nothing at all where memory is missing. Counts are those of redis-server 7.0.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/harness.h"

#include "store/watch.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct effect {
    const char *line;
    unsigned hits, misses, changes;
};

/* Each line meets a = "1", b = "2" and e = "1" with an expiry. */
static const struct effect effects[] = {
    {"GET a", 1, 0, 0},
    {"GET n", 0, 1, 0},
    {"SET a x", 0, 0, 1},
    {"SET a x NX", 0, 0, 0},
    {"SET n x NX", 0, 0, 1},
    {"SET a x XX", 0, 0, 1},
    {"SET n x XX", 0, 0, 0},
    {"SET a x GET", 1, 0, 1},
    {"SET n x GET", 0, 1, 1},
    {"SET a x NX GET", 1, 0, 0},
    {"SET n x XX GET", 0, 1, 0},
    {"SET a x EX 100", 0, 0, 1},
    {"SET a x foo", 0, 0, 0},
    {"SETNX a 1", 0, 0, 0},
    {"SETNX n 1", 0, 0, 1},
    {"SETEX a 100 1", 0, 0, 1},
    {"GETSET a 1", 1, 0, 1},
    {"GETSET n 1", 0, 1, 1},
    {"GETDEL a", 1, 0, 1},
    {"GETDEL n", 0, 1, 0},
    {"GETEX a", 1, 0, 0},
    {"GETEX n", 0, 1, 0},
    {"GETEX a EX 100", 1, 0, 1},
    {"GETEX a PXAT 1", 1, 0, 1},
    {"GETEX e PERSIST", 1, 0, 1},
    {"GETEX a PERSIST", 1, 0, 0},
    {"MGET a n b a", 3, 1, 0},
    {"MSET a 1 b 2 n 3", 0, 0, 3},
    {"MSET a 1 a 2", 0, 0, 2},
    {"MSETNX a 1 n 2", 0, 0, 0},
    {"MSETNX n 1 n2 2", 0, 0, 2},
    {"APPEND a x", 0, 0, 1},
    {"APPEND n x", 0, 0, 1},
    {"APPEND a \"\"", 0, 0, 1},
    {"STRLEN a", 1, 0, 0},
    {"STRLEN n", 0, 1, 0},
    {"GETRANGE a 0 1", 1, 0, 0},
    {"GETRANGE n 0 1", 0, 1, 0},
    {"SETRANGE a 0 x", 0, 0, 1},
    {"SETRANGE n 0 x", 0, 0, 1},
    {"SETRANGE a 0 \"\"", 0, 0, 0},
    {"SETRANGE n 0 \"\"", 0, 0, 0},
    {"INCR a", 0, 0, 1},
    {"INCR n", 0, 0, 1},
    {"INCRBY a x", 0, 0, 0},
    {"INCRBYFLOAT a 1", 0, 0, 1},
    {"INCRBYFLOAT n 1", 0, 0, 1},
    {"LCS a b", 2, 0, 0},
    {"LCS a n", 1, 1, 0},
    {"LCS a a", 2, 0, 0},
    {"SETBIT a 0 1", 0, 0, 1},
    {"SETBIT a 0 0", 0, 0, 0},
    {"SETBIT n 0 0", 0, 0, 1},
    {"GETBIT a 0", 1, 0, 0},
    {"GETBIT n 0", 0, 1, 0},
    {"BITCOUNT a", 1, 0, 0},
    {"BITCOUNT n", 0, 1, 0},
    {"BITPOS a 1", 1, 0, 0},
    {"BITPOS n 1", 0, 1, 0},
    {"BITOP AND d a b", 2, 0, 1},
    {"BITOP AND d n n", 0, 2, 0},
    {"BITOP AND a n n", 0, 2, 1},
    {"BITOP AND a a b", 2, 0, 1},
    {"BITOP AND b a", 1, 0, 1},
    {"BITOP AND e a", 1, 0, 1},
    {"BITFIELD a GET u8 0", 1, 0, 0},
    {"BITFIELD n GET u8 0", 0, 1, 0},
    {"BITFIELD a SET u8 0 1", 0, 0, 1},
    {"BITFIELD a SET u8 0 49", 0, 0, 0},
    {"BITFIELD a SET u8 0 49 OVERFLOW FAIL INCRBY u8 0 255", 0, 0, 0},
    {"BITFIELD n SET u8 0 0", 0, 0, 1},
    {"BITFIELD_RO a GET u8 0", 1, 0, 0},
    {"BITFIELD_RO n GET u8 0", 0, 1, 0},
};

static void watch(struct harness *harness, struct watcher *watcher, const char *key) {
    struct argument place = {
        .data = (const uint8_t *)key, .size = (uint32_t)strlen(key), .slot = ARGUMENT_NOT_PLACED};
    keyspace_place(harness->keyspace, &place);
    cr_assert(watch_add(harness->keyspace->watch, watcher, harness->database, &place, false));
}

static void check_effect(const struct effect *effect) {
    static const char *const keys[] = {"a", "b", "d", "e", "n", "n2"};
    struct harness harness;
    struct watcher watcher = {0};
    harness_init(&harness);
    EXPECT(&harness, "MSET a 1 b 2", "+OK\r\n");
    EXPECT(&harness, "SET e 1 EX 100", "+OK\r\n");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        watch(&harness, &watcher, keys[i]);
    struct keyspace_counters before = harness.keyspace->counters;
    uint64_t stamp = harness.keyspace->counter;
    harness_run(&harness, effect->line);
    const struct keyspace_counters *after = &harness.keyspace->counters;
    cr_assert_eq(after->hits - before.hits, effect->hits, "hits of %s", effect->line);
    cr_assert_eq(after->misses - before.misses, effect->misses, "misses of %s", effect->line);
    cr_assert_eq(after->changes - before.changes, effect->changes, "changes of %s", effect->line);
    cr_assert_eq(watcher.is_broken, effect->changes != 0, "watchers of %s", effect->line);
    if (effect->changes == 0)
        cr_assert_eq(harness.keyspace->counter, stamp, "%s stamps a version", effect->line);
    watch_clear(harness.keyspace->watch, &watcher);
    harness_release(&harness);
}

Test(string_effects, hits_misses_changes_and_watches_are_those_of_redis) {
    for (size_t i = 0; i < sizeof effects / sizeof effects[0]; i++)
        check_effect(&effects[i]);
}

/* ---- Missing memory ---- */

/* Strings of all layouts: short, long, with an expiry; a reply with `large` does not fit into the reserve. */
static const char *const setup[] = {"MSET a 1 b hello nine 9", "SET e expiring PXAT 4102444800123",
                                    "SETRANGE large 2000 x",   "SET largee x PXAT 4102444800123",
                                    "SETRANGE largee 2000 y",  NULL};

/* must: the line cannot do without memory. */
static void expect_all_or_nothing(const char *line, bool must) {
    unsigned allocations = harness_fail_each_allocation(setup, line);
    if (must)
        cr_assert_gt(allocations, 0, "%s needs no memory", line);
}

Test(string_effects, whole_strings_change_wholly_or_not_at_all) {
    expect_all_or_nothing("SET n 1", true);
    expect_all_or_nothing("SET a 1", false);
    expect_all_or_nothing("SET a \"a string that needs a larger record than the one that is there\"", true);
    expect_all_or_nothing("SET a 1 EX 100", true);
    expect_all_or_nothing("SET e 1", false);
    expect_all_or_nothing("SET a \"a string that needs a larger record\" GET", true);
    expect_all_or_nothing("SET large 1 GET", true);
    expect_all_or_nothing("SET large 1 NX GET", true);
    expect_all_or_nothing("SET largee 1 KEEPTTL GET", true);
    expect_all_or_nothing("SETNX n 1", true);
    expect_all_or_nothing("SETEX n 100 1", true);
    expect_all_or_nothing("PSETEX a 100 1", true);
    expect_all_or_nothing("GETSET large 1", true);
    expect_all_or_nothing("GETSET n 1", true);
}

Test(string_effects, what_reads_and_changes_changes_nothing_without_memory) {
    expect_all_or_nothing("GETDEL a", false);
    expect_all_or_nothing("GETDEL large", true);
    expect_all_or_nothing("GETEX a EX 100", true);
    expect_all_or_nothing("GETEX large EX 100", true);
    expect_all_or_nothing("GETEX largee PERSIST", true);
    expect_all_or_nothing("GETEX largee PXAT 1", true);
    expect_all_or_nothing("GETEX e PERSIST", false);
    expect_all_or_nothing("GETEX e PX 5", false);
}

Test(string_effects, several_keys_change_all_or_none) {
    expect_all_or_nothing("MSET n1 1 n2 2 n3 3 n4 4 n5 5 n6 6 n7 7 n8 8 n9 9 n10 10", true);
    expect_all_or_nothing("MSET a 2 b world nine 8", false);
    expect_all_or_nothing(
        "MSET a 2 n 1 b \"a string that needs a larger record than the one that is there\" e 1", true);
    expect_all_or_nothing("MSET n 1 n \"a longer string than the one before it\" n 3 a 1 n 4", true);
    expect_all_or_nothing("MSET large 1 largee 2 e 3 n 4", true);
    expect_all_or_nothing("MSETNX n1 1 n2 2 n3 3", true);
    expect_all_or_nothing("MSETNX n1 1 n1 2 n1 \"a longer string than the two before it\"", true);
    expect_all_or_nothing("MSETNX n1 1 a 2", false);
}

Test(string_effects, so_many_pairs_that_they_need_room_of_their_own_change_all_or_none) {
    char line[4096] = "MSET";
    size_t size = strlen(line);
    for (int i = 0; i < 100; i++)
        size += (size_t)snprintf(line + size, sizeof line - size, " {tag}key%d %d", i, i);
    expect_all_or_nothing(line, true);
}

Test(string_effects, parts_of_strings_change_wholly_or_not_at_all) {
    expect_all_or_nothing("APPEND n x", true);
    expect_all_or_nothing("APPEND a x", false);
    expect_all_or_nothing("APPEND a \" and what makes a string longer than its record\"", true);
    expect_all_or_nothing("APPEND e \" and what makes a string longer than its record\"", true);
    expect_all_or_nothing("SETRANGE n 10 x", true);
    expect_all_or_nothing("SETRANGE a 100 x", true);
    expect_all_or_nothing("SETRANGE e 300 x", true);
    expect_all_or_nothing("SETRANGE large 3000 x", true);
    expect_all_or_nothing("GETRANGE large 0 -1", true);
    expect_all_or_nothing("GET large", true);
    expect_all_or_nothing("MGET large a large", true);
}

Test(string_effects, numbers_change_or_not) {
    expect_all_or_nothing("INCR n", true);
    expect_all_or_nothing("INCR a", false);
    expect_all_or_nothing("INCR nine", false);
    expect_all_or_nothing("INCRBY a 1000000000000000000", false);
    expect_all_or_nothing("DECR n", true);
    expect_all_or_nothing("INCRBYFLOAT n 1.5", true);
    expect_all_or_nothing("INCRBYFLOAT a 1.0000000000001", false);
    expect_all_or_nothing("INCRBYFLOAT a 1e4900", true);
    expect_all_or_nothing("INCRBYFLOAT n -1e4900", true);
}

Test(string_effects, bits_change_or_not) {
    expect_all_or_nothing("SETBIT n 0 1", true);
    expect_all_or_nothing("SETBIT a 0 1", false);
    expect_all_or_nothing("SETBIT a 0 0", false);
    expect_all_or_nothing("SETBIT a 3000 1", true);
    expect_all_or_nothing("BITOP AND d a b large", true);
    expect_all_or_nothing("BITOP OR large large b", true);
    expect_all_or_nothing("BITOP XOR e large b a", true);
    expect_all_or_nothing("BITOP NOT b large", true);
    expect_all_or_nothing("BITOP AND large n", true);
    expect_all_or_nothing("BITFIELD n SET u8 0 1", true);
    expect_all_or_nothing("BITFIELD a SET u8 0 1 INCRBY u8 0 1", false);
    expect_all_or_nothing("BITFIELD a SET u8 3000 1 INCRBY u8 0 1 GET u8 0", true);
    expect_all_or_nothing("BITFIELD e SET i64 3000 1 OVERFLOW FAIL INCRBY u1 0 9", true);
}

Test(string_effects, so_many_fields_that_their_reply_needs_memory_change_all_or_none) {
    char line[4096] = "BITFIELD a";
    size_t size = strlen(line);
    for (int i = 0; i < 60; i++)
        size += (size_t)snprintf(line + size, sizeof line - size, " INCRBY i64 %d 9223372036854775807", i);
    expect_all_or_nothing(line, true);
}

Test(string_effects, a_subsequence_without_memory_is_refused) {
    expect_all_or_nothing("LCS a b", true);
    expect_all_or_nothing("LCS large largee", true);
    expect_all_or_nothing("LCS large largee LEN", true);
    expect_all_or_nothing("LCS large largee IDX", true);
    expect_all_or_nothing("LCS n a", false);
}
