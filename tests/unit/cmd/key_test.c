/* key_test.c - commands on whole keys, with the replies of redis-server 7.0.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/harness.h"

#include "store/watch.h"

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

TestSuite(key, .init = set_up, .fini = tear_down);

static uint64_t changes(void) {
    return harness.keyspace->counters.changes;
}

/* What a command adds to the counters of hits and misses. */
static void expect_counts(const char *line, uint64_t hits, uint64_t misses) {
    struct keyspace_counters before = harness.keyspace->counters;
    harness_run(&harness, line);
    cr_assert_eq(harness.keyspace->counters.hits - before.hits, hits, "hits of %s", line);
    cr_assert_eq(harness.keyspace->counters.misses - before.misses, misses, "misses of %s", line);
}

static uint32_t idle_of(const char *text) {
    struct argument key = {
        .data = (const uint8_t *)text, .size = (uint32_t)strlen(text), .slot = ARGUMENT_NOT_PLACED};
    struct entry entry;
    struct record *record = keyspace_lookup(harness.keyspace, harness.database, &key, LOOKUP_PEEK, &entry);
    cr_assert_not_null(record, "%s", text);
    return (harness.keyspace->now_s - record_access_s(record)) & 0xffffff;
}

/* ---- DEL UNLINK EXISTS TOUCH TYPE ---- */

Test(key, del_and_unlink_count_the_keys_that_were_there) {
    EXPECT(&harness, "MSET a 1 b 2 c 3 d 4", "+OK\r\n");
    EXPECT(&harness, "DEL a nosuch b a", ":2\r\n");
    EXPECT(&harness, "UNLINK a c c", ":1\r\n");
    EXPECT(&harness, "DBSIZE", ":1\r\n");
    EXPECT(&harness, "DEL nosuch", ":0\r\n");
    EXPECT(&harness, "DEL", "-ERR wrong number of arguments for 'del' command\r\n");
    EXPECT(&harness, "UNLINK", "-ERR wrong number of arguments for 'unlink' command\r\n");
}

Test(key, each_deleted_key_is_one_change) {
    EXPECT(&harness, "MSET a 1 b 2", "+OK\r\n");
    uint64_t before = changes();
    EXPECT(&harness, "DEL a b nosuch", ":2\r\n");
    cr_assert_eq(changes(), before + 2);
}

Test(key, an_expired_key_is_not_deleted_but_absent) {
    EXPECT(&harness, "SET a 1 PX 100", "+OK\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 101);
    EXPECT(&harness, "DEL a", ":0\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
    EXPECT(&harness, "TYPE a", "+none\r\n");
}

Test(key, a_key_may_be_empty_and_binary) {
    EXPECT(&harness, "SET \"\" empty", "+OK\r\n");
    EXPECT(&harness, "SET \"\\x00\\r\\n\" binary", "+OK\r\n");
    EXPECT(&harness, "EXISTS \"\" \"\\x00\\r\\n\" \"\\x00\"", ":2\r\n");
    EXPECT(&harness, "RENAME \"\" \"\\x00\"", "+OK\r\n");
    EXPECT(&harness, "GET \"\\x00\"", "$5\r\nempty\r\n");
    EXPECT(&harness, "RENAME \"\\x00\" \"\"", "+OK\r\n");
    EXPECT(&harness, "GET \"\"", "$5\r\nempty\r\n");
    EXPECT(&harness, "DEL \"\"", ":1\r\n");
}

Test(key, exists_counts_each_mention) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "EXISTS a a b a", ":3\r\n");
    EXPECT(&harness, "TOUCH a a b", ":2\r\n");
    EXPECT(&harness, "TYPE a", "+string\r\n");
    EXPECT(&harness, "TYPE b", "+none\r\n");
}

Test(key, only_touch_marks_the_access) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 7000);
    EXPECT(&harness, "EXISTS a", ":1\r\n");
    EXPECT(&harness, "TYPE a", "+string\r\n");
    cr_assert_eq(idle_of("a"), 7);
    EXPECT(&harness, "TOUCH a", ":1\r\n");
    cr_assert_eq(idle_of("a"), 0);
}

Test(key, hits_and_misses_are_counted_as_in_redis) {
    EXPECT(&harness, "MSET a 1 b 2 c 3", "+OK\r\n");
    expect_counts("EXISTS nosuch a a", 2, 1);
    expect_counts("TOUCH a nosuch", 1, 1);
    expect_counts("TYPE a", 1, 0);
    expect_counts("TYPE nosuch", 0, 1);
    expect_counts("COPY a b", 1, 0);
    expect_counts("COPY nosuch b", 0, 1);
    expect_counts("RENAME a a", 0, 0);
    expect_counts("RENAMENX a b", 0, 0);
    expect_counts("MOVE a 5", 0, 0);
    expect_counts("MOVE nosuch 5", 0, 0);
    expect_counts("DEL b nosuch", 0, 0);
    expect_counts("RANDOMKEY", 0, 0);
    expect_counts("DBSIZE", 0, 0);
}

/* ---- RENAME RENAMENX ---- */

Test(key, rename_moves_value_expiry_and_encoding) {
    EXPECT(&harness, "SET a 1 PX 5000", "+OK\r\n");
    EXPECT(&harness, "APPEND a 23", ":3\r\n");
    EXPECT(&harness, "SET b other", "+OK\r\n");
    EXPECT(&harness, "RENAME a b", "+OK\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
    EXPECT(&harness, "GET b", "$3\r\n123\r\n");
    EXPECT(&harness, "PTTL b", ":5000\r\n");
    EXPECT(&harness, "OBJECT ENCODING b", "$3\r\nraw\r\n");
    EXPECT(&harness, "DBSIZE", ":1\r\n");
}

Test(key, rename_onto_a_key_with_an_expiry_takes_the_source_as_it_is) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "SET b 2 EX 100", "+OK\r\n");
    EXPECT(&harness, "RENAME a b", "+OK\r\n");
    EXPECT(&harness, "TTL b", ":-1\r\n");
}

Test(key, renaming_to_itself_changes_nothing) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    uint64_t before = changes();
    EXPECT(&harness, "RENAME a a", "+OK\r\n");
    EXPECT(&harness, "RENAMENX a a", ":0\r\n");
    cr_assert_eq(changes(), before);
    EXPECT(&harness, "GET a", "$1\r\n1\r\n");
}

Test(key, renaming_an_absent_key_is_an_error) {
    EXPECT(&harness, "SET b 1", "+OK\r\n");
    EXPECT(&harness, "RENAME a b", "-ERR no such key\r\n");
    EXPECT(&harness, "RENAMENX a c", "-ERR no such key\r\n");
    EXPECT(&harness, "RENAME a a", "-ERR no such key\r\n");
    EXPECT(&harness, "RENAMENX a a", "-ERR no such key\r\n");
    EXPECT(&harness, "RENAME a", "-ERR wrong number of arguments for 'rename' command\r\n");
}

Test(key, renamenx_leaves_an_existing_target) {
    EXPECT(&harness, "MSET a 1 b 2", "+OK\r\n");
    EXPECT(&harness, "RENAMENX a b", ":0\r\n");
    EXPECT(&harness, "MGET a b", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    EXPECT(&harness, "RENAMENX a c", ":1\r\n");
    EXPECT(&harness, "MGET a b c", "*3\r\n$-1\r\n$1\r\n2\r\n$1\r\n1\r\n");
}

Test(key, renamenx_takes_the_place_of_an_expired_key) {
    EXPECT(&harness, "SET b 2 PX 100", "+OK\r\n");
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 101);
    EXPECT(&harness, "RENAMENX a b", ":1\r\n");
    EXPECT(&harness, "GET b", "$1\r\n1\r\n");
    EXPECT(&harness, "TTL b", ":-1\r\n");
}

Test(key, a_rename_or_move_is_one_change) {
    EXPECT(&harness, "MSET a 1 b 2", "+OK\r\n");
    uint64_t before = changes();
    EXPECT(&harness, "RENAME a c", "+OK\r\n");
    cr_assert_eq(changes(), before + 1);
    EXPECT(&harness, "RENAME c b", "+OK\r\n");
    cr_assert_eq(changes(), before + 2);
    EXPECT(&harness, "MOVE b 1", ":1\r\n");
    cr_assert_eq(changes(), before + 3);
}

/* ---- COPY MOVE ---- */

Test(key, copy_leaves_the_source_and_takes_expiry_and_encoding_along) {
    EXPECT(&harness, "SET a 1 PX 5000", "+OK\r\n");
    EXPECT(&harness, "APPEND a 23", ":3\r\n");
    EXPECT(&harness, "COPY a b", ":1\r\n");
    EXPECT(&harness, "MGET a b", "*2\r\n$3\r\n123\r\n$3\r\n123\r\n");
    EXPECT(&harness, "PTTL b", ":5000\r\n");
    EXPECT(&harness, "OBJECT ENCODING b", "$3\r\nraw\r\n");
    EXPECT(&harness, "APPEND b 4", ":4\r\n");
    EXPECT(&harness, "GET a", "$3\r\n123\r\n");
}

Test(key, copy_replaces_only_when_it_is_told_to) {
    EXPECT(&harness, "MSET a 1 b 2", "+OK\r\n");
    EXPECT(&harness, "EXPIRE b 100", ":1\r\n");
    EXPECT(&harness, "COPY a b", ":0\r\n");
    EXPECT(&harness, "GET b", "$1\r\n2\r\n");
    EXPECT(&harness, "COPY a b REPLACE", ":1\r\n");
    EXPECT(&harness, "GET b", "$1\r\n1\r\n");
    EXPECT(&harness, "TTL b", ":-1\r\n");
    EXPECT(&harness, "COPY a b replace REPLACE", ":1\r\n");
    EXPECT(&harness, "COPY nosuch b REPLACE", ":0\r\n");
    EXPECT(&harness, "GET b", "$1\r\n1\r\n");
}

Test(key, copy_reaches_other_databases) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "COPY a a DB 1", ":1\r\n");
    EXPECT(&harness, "COPY a a db 1", ":0\r\n");
    EXPECT(&harness, "COPY a b DB 3 DB 15", ":1\r\n");
    harness.database = 1;
    EXPECT(&harness, "GET a", "$1\r\n1\r\n");
    harness.database = 15;
    EXPECT(&harness, "GET b", "$1\r\n1\r\n");
    harness.database = 3;
    EXPECT(&harness, "DBSIZE", ":0\r\n");
}

Test(key, copy_checks_its_arguments_in_the_order_of_redis) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "COPY a a", "-ERR source and destination objects are the same\r\n");
    EXPECT(&harness, "COPY nosuch nosuch", "-ERR source and destination objects are the same\r\n");
    EXPECT(&harness, "COPY a a DB 0", "-ERR source and destination objects are the same\r\n");
    EXPECT(&harness, "COPY a a DB 1 DB 0", "-ERR source and destination objects are the same\r\n");
    EXPECT(&harness, "COPY a b DB", "-ERR syntax error\r\n");
    EXPECT(&harness, "COPY a b foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "COPY a b DB 1 foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "COPY a b foo DB 77", "-ERR syntax error\r\n");
    EXPECT(&harness, "COPY a b DB 77 foo", "-ERR DB index is out of range\r\n");
    EXPECT(&harness, "COPY a b DB 16", "-ERR DB index is out of range\r\n");
    EXPECT(&harness, "COPY a b DB -1", "-ERR DB index is out of range\r\n");
    EXPECT(&harness, "COPY a b DB x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "COPY a b DB 99999999999999999999", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "COPY a b DB 4294967297",
           "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
    EXPECT(&harness, "COPY nosuch b", ":0\r\n");
    EXPECT(&harness, "DBSIZE", ":1\r\n");
}

Test(key, move_takes_the_key_to_another_database) {
    EXPECT(&harness, "SET a 1 PX 5000", "+OK\r\n");
    EXPECT(&harness, "APPEND a 23", ":3\r\n");
    EXPECT(&harness, "MOVE a 1", ":1\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
    EXPECT(&harness, "SET a mine", "+OK\r\n");
    EXPECT(&harness, "MOVE a 1", ":0\r\n");
    EXPECT(&harness, "GET a", "$4\r\nmine\r\n");
    harness.database = 1;
    EXPECT(&harness, "GET a", "$3\r\n123\r\n");
    EXPECT(&harness, "PTTL a", ":5000\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nraw\r\n");
}

Test(key, move_checks_the_database_before_the_key) {
    EXPECT(&harness, "MOVE nosuch 1", ":0\r\n");
    EXPECT(&harness, "MOVE nosuch 0", "-ERR source and destination objects are the same\r\n");
    EXPECT(&harness, "MOVE nosuch 16", "-ERR DB index is out of range\r\n");
    EXPECT(&harness, "MOVE nosuch -1", "-ERR DB index is out of range\r\n");
    EXPECT(&harness, "MOVE nosuch abc", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "MOVE nosuch 4294967296",
           "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
}

/* ---- Whole databases ---- */

Test(key, randomkey_answers_every_key_in_time_and_nothing_else) {
    EXPECT(&harness, "RANDOMKEY", "$-1\r\n");
    EXPECT(&harness, "MSET a 1 b 2 c 3", "+OK\r\n");
    unsigned seen[3] = {0};
    for (int i = 0; i < 1000; i++) {
        struct harness_answer answer = harness_run(&harness, "RANDOMKEY");
        cr_assert_eq(answer.size, 7);
        cr_assert(answer.data[4] >= 'a' && answer.data[4] <= 'c');
        seen[answer.data[4] - 'a']++;
    }
    cr_assert(seen[0] > 50 && seen[1] > 50 && seen[2] > 50, "%u %u %u", seen[0], seen[1], seen[2]);
    harness.reply.protocol = 3;
    EXPECT(&harness, "DEL a b c", ":3\r\n");
    EXPECT(&harness, "RANDOMKEY", "_\r\n");
}

Test(key, randomkey_never_answers_an_expired_key) {
    EXPECT(&harness, "SET a 1 PX 100", "+OK\r\n");
    EXPECT(&harness, "SET b 1", "+OK\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 101);
    for (int i = 0; i < 50; i++)
        EXPECT(&harness, "RANDOMKEY", "$1\r\nb\r\n");
}

Test(key, dbsize_counts_the_keys_of_its_database) {
    EXPECT(&harness, "DBSIZE", ":0\r\n");
    EXPECT(&harness, "MSET a 1 b 2", "+OK\r\n");
    harness.database = 5;
    EXPECT(&harness, "DBSIZE", ":0\r\n");
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "DBSIZE", ":1\r\n");
}

static void fill_two_databases(void) {
    harness.database = 0;
    EXPECT(&harness, "MSET a 1 b 2", "+OK\r\n");
    harness.database = 9;
    EXPECT(&harness, "SET c 3", "+OK\r\n");
}

Test(key, flushdb_empties_one_database_and_flushall_all) {
    static const char *const options[] = {"", " ASYNC", " sync"};
    for (int i = 0; i < 3; i++) {
        char line[32];
        fill_two_databases();
        uint64_t before = changes();
        snprintf(line, sizeof line, "FLUSHDB%s", options[i]);
        EXPECT(&harness, line, "+OK\r\n");
        cr_assert_eq(changes(), before + 1);
        EXPECT(&harness, "DBSIZE", ":0\r\n");
        harness.database = 0;
        EXPECT(&harness, "DBSIZE", ":2\r\n");

        fill_two_databases();
        before = changes();
        snprintf(line, sizeof line, "FLUSHALL%s", options[i]);
        EXPECT(&harness, line, "+OK\r\n");
        cr_assert_eq(changes(), before + 3);
        EXPECT(&harness, "EXISTS c", ":0\r\n");
        harness.database = 0;
        EXPECT(&harness, "EXISTS a b", ":0\r\n");
    }
}

Test(key, a_flush_with_another_option_does_nothing) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "FLUSHALL foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "FLUSHALL ASYNC SYNC", "-ERR syntax error\r\n");
    EXPECT(&harness, "FLUSHDB foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "FLUSHDB ASYNC x", "-ERR syntax error\r\n");
    EXPECT(&harness, "DBSIZE", ":1\r\n");
}

Test(key, flushed_memory_comes_back_in_bounded_steps) {
    char line[64];
    for (int i = 0; i < 5000; i++) {
        snprintf(line, sizeof line, "SET key:%d value", i);
        EXPECT(&harness, line, "+OK\r\n");
    }
    size_t full = harness.mem.used_bytes;
    EXPECT(&harness, "FLUSHALL", "+OK\r\n");
    EXPECT(&harness, "SET new 1", "+OK\r\n");
    cr_assert_gt(keyspace_reclaim_pending(harness.keyspace), 4000);
    unsigned steps = 0;
    while (keyspace_reclaim_pending(harness.keyspace) > 0) {
        uint32_t spent = keyspace_reclaim_step(harness.keyspace, 100);
        cr_assert(spent > 0 && spent <= 120, "a step of %u", spent);
        cr_assert_lt(++steps, 2000);
    }
    cr_assert_gt(steps, 30);
    cr_assert_lt(harness.mem.used_bytes, full - 5000 * 24);
    EXPECT(&harness, "GET new", "$1\r\n1\r\n");
}

Test(key, swapdb_exchanges_two_databases) {
    fill_two_databases();
    EXPECT(&harness, "SWAPDB 0 9", "+OK\r\n");
    EXPECT(&harness, "MGET a b c", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n");
    harness.database = 0;
    EXPECT(&harness, "MGET a b c", "*3\r\n$-1\r\n$-1\r\n$1\r\n3\r\n");
    EXPECT(&harness, "SWAPDB 9 9", "+OK\r\n");
    EXPECT(&harness, "SWAPDB 0 1", "+OK\r\n"); /* nothing was ever in 1 */
    EXPECT(&harness, "DBSIZE", ":0\r\n");
    harness.database = 1;
    EXPECT(&harness, "GET c", "$1\r\n3\r\n");
}

Test(key, swapdb_checks_both_numbers_before_their_range) {
    EXPECT(&harness, "SWAPDB x 1", "-ERR invalid first DB index\r\n");
    EXPECT(&harness, "SWAPDB 1 x", "-ERR invalid second DB index\r\n");
    EXPECT(&harness, "SWAPDB x y", "-ERR invalid first DB index\r\n");
    EXPECT(&harness, "SWAPDB 16 x", "-ERR invalid second DB index\r\n");
    EXPECT(&harness, "SWAPDB 16 0", "-ERR DB index is out of range\r\n");
    EXPECT(&harness, "SWAPDB 0 16", "-ERR DB index is out of range\r\n");
    EXPECT(&harness, "SWAPDB -1 0", "-ERR DB index is out of range\r\n");
    EXPECT(&harness, "SWAPDB 4294967296 0", "-ERR invalid first DB index\r\n");
    EXPECT(&harness, "SWAPDB 0 4294967296", "-ERR invalid second DB index\r\n");
    EXPECT(&harness, "SWAPDB 9223372036854775808 1", "-ERR invalid first DB index\r\n");
}

/* ---- Watched keys ---- */

/* Watches keys of database 0 (apart by spaces), runs a line, and tells whether that broke the watch. */
static bool breaks(const char *keys, const char *line) {
    struct watcher watcher = {0};
    char names[64];
    snprintf(names, sizeof names, "%s", keys);
    for (char *name = strtok(names, " "); name != NULL; name = strtok(NULL, " ")) {
        struct argument key = {
            .data = (const uint8_t *)name, .size = (uint32_t)strlen(name), .slot = ARGUMENT_NOT_PLACED};
        keyspace_place(harness.keyspace, &key);
        cr_assert(watch_add(harness.keyspace->watch, &watcher, 0, &key, false));
    }
    struct harness_answer answer = harness_run(&harness, line);
    cr_assert_neq(answer.data[0], '-', "%s", line);
    bool is_broken = watcher.is_broken;
    watch_clear(harness.keyspace->watch, &watcher);
    return is_broken;
}

Test(key, a_watch_breaks_when_its_key_changes_place) {
    EXPECT(&harness, "MSET a 1 b 2 c 3 d 4 e 5", "+OK\r\n");
    cr_assert(breaks("a", "RENAME a b"));
    cr_assert(breaks("a", "RENAME b a"));
    cr_assert_not(breaks("a", "RENAME a a"));
    cr_assert_not(breaks("a b", "COPY a c"));
    cr_assert_not(breaks("a", "COPY a b"));
    cr_assert(breaks("b", "COPY a b REPLACE"));
    cr_assert(breaks("c", "MOVE c 1"));
    cr_assert_not(breaks("d", "MOVE c 1"));
    cr_assert(breaks("d", "DEL c d"));
    cr_assert_not(breaks("d", "DEL d"));
    cr_assert_not(breaks("a nosuch", "TOUCH a nosuch"));
}

Test(key, a_flush_breaks_watches_of_keys_that_were_there) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    cr_assert_not(breaks("nosuch", "FLUSHALL"));
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    cr_assert(breaks("a nosuch", "FLUSHALL"));
    cr_assert_not(breaks("a", "FLUSHALL"));
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    cr_assert(breaks("a", "FLUSHDB"));
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    harness.database = 1;
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    cr_assert_not(breaks("a", "FLUSHDB"));
    cr_assert(breaks("a", "FLUSHALL"));
}

Test(key, swapdb_breaks_watches_of_keys_that_are_in_either_database) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    cr_assert(breaks("a", "SWAPDB 0 1"));
    cr_assert(breaks("a", "SWAPDB 0 1")); /* now it comes back */
    cr_assert(breaks("a", "SWAPDB 1 0"));
    cr_assert_not(breaks("a", "SWAPDB 0 2"));
    cr_assert_not(breaks("a", "SWAPDB 1 2"));
    cr_assert_not(breaks("nosuch", "SWAPDB 2 0"));
}

Test(key, reclaiming_an_expired_key_breaks_only_who_saw_it_alive) {
    struct argument key = {.data = (const uint8_t *)"a", .size = 1, .slot = ARGUMENT_NOT_PLACED};
    struct watcher saw_alive = {0}, saw_expired = {0};
    EXPECT(&harness, "SET a 1 PX 100", "+OK\r\n");
    keyspace_place(harness.keyspace, &key);
    cr_assert(watch_add(harness.keyspace->watch, &saw_alive, 0, &key, false));
    harness_set_time(&harness, HARNESS_NOW_MS + 101);
    cr_assert(watch_add(harness.keyspace->watch, &saw_expired, 0, &key, true));
    EXPECT(&harness, "GET a", "$-1\r\n");
    cr_assert(saw_alive.is_broken);
    cr_assert_not(saw_expired.is_broken);
    EXPECT(&harness, "SET a 2", "+OK\r\n");
    cr_assert(saw_expired.is_broken);
    watch_clear(harness.keyspace->watch, &saw_alive);
    watch_clear(harness.keyspace->watch, &saw_expired);
}

/* ---- Failing allocations ---- */

/* A value that needs memory of its own at every turn. */
#define LONG_VALUE                                                                                         \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789" \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

Test(key, no_failing_allocation_loses_a_key) {
    static const char *const setup[] = {"SET a " LONG_VALUE " PX 5000", "SET b short", "APPEND a x", NULL};
    static const char *const lines[] = {
        "RENAME a b", "RENAME b a",       "RENAME a new", "RENAMENX a new",   "RENAMENX a b",
        "COPY a b",   "COPY a b REPLACE", "COPY a new",   "COPY b a REPLACE", "COPY a a DB 3",
        "MOVE a 3",   "DEL a b",          "UNLINK a",     "FLUSHALL",         "FLUSHDB ASYNC",
        "SWAPDB 0 3", "RANDOMKEY",        "EXISTS a b",   "TOUCH a b",        "TYPE a",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        harness_fail_each_allocation(setup, lines[i]);
    cr_assert_geq(harness_fail_each_allocation(setup, "RENAME a new"), 1);
    cr_assert_geq(harness_fail_each_allocation(setup, "COPY a b REPLACE"), 1);
    cr_assert_geq(harness_fail_each_allocation(setup, "MOVE a 3"), 2, "a new database needs memory, too");
}
