/* scan_test.c - SCAN and KEYS: filters, cursors, and the guarantee that a key which stays is found.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/harness.h"

#include "base/number.h"

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

TestSuite(scan, .init = set_up, .fini = tear_down);

/* ---- Reading replies ---- */

struct keys {
    uint64_t cursor;
    size_t count;
    const uint8_t *key[20000];
    size_t size[20000];
};

static uint64_t read_header(const uint8_t **at, char type) {
    cr_assert_eq(*(*at)++, type);
    const uint8_t *end = (const uint8_t *)strchr((const char *)*at, '\r');
    uint64_t number;
    cr_assert(number_parse_uint64((const char *)*at, (size_t)(end - *at), &number));
    *at = end + 2;
    return number;
}

static void read_keys(const uint8_t **at, struct keys *keys) {
    keys->count = read_header(at, '*');
    cr_assert_leq(keys->count, sizeof keys->key / sizeof *keys->key);
    for (size_t i = 0; i < keys->count; i++) {
        keys->size[i] = read_header(at, '$');
        keys->key[i] = *at;
        *at += keys->size[i] + 2;
    }
}

/* Runs a SCAN with this cursor and checks the form of its reply. The keys are valid until the next command. */
static void scan(uint64_t cursor, const char *options, struct keys *keys) {
    char line[128];
    snprintf(line, sizeof line, "SCAN %llu %s", (unsigned long long)cursor, options);
    struct harness_answer answer = harness_run(&harness, line);
    const uint8_t *at = answer.data;
    cr_assert_eq(read_header(&at, '*'), 2, "%s answers %.*s", line, (int)answer.size, answer.data);
    size_t size = read_header(&at, '$');
    cr_assert(number_parse_uint64((const char *)at, size, &keys->cursor));
    cr_assert_lt(keys->cursor, UINT64_C(1) << 53);
    at += size + 2;
    read_keys(&at, keys);
    cr_assert_eq(at, answer.data + answer.size);
}

static void set_key(const char *name) {
    char line[128];
    snprintf(line, sizeof line, "SET %s v", name);
    EXPECT(&harness, line, "+OK\r\n");
}

/* ---- Arguments ---- */

Test(scan, an_empty_database_has_nothing_to_scan) {
    EXPECT(&harness, "SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n");
    EXPECT(&harness, "SCAN 0 TYPE string COUNT 5 MATCH x", "*2\r\n$1\r\n0\r\n*0\r\n");
    EXPECT(&harness, "KEYS *", "*0\r\n");
}

Test(scan, a_cursor_is_read_as_generously_as_by_redis) {
    static const char *const good[] = {"0",
                                       "00",
                                       "+0",
                                       "\"\"",
                                       "\"\\x00\"",
                                       "\"0\\x00abc\"",
                                       "18446744073709551615",
                                       "-1",
                                       "-18446744073709551615",
                                       "000000000000000000000000000000000"};
    static const char *const bad[] = {"abc",
                                      "1x",
                                      "0x10",
                                      "\" 0\"",
                                      "\"0 \"",
                                      "\"\\t0\"",
                                      "18446744073709551616",
                                      "-",
                                      "+",
                                      "--1",
                                      "-+1",
                                      "-18446744073709551616",
                                      "1.0",
                                      "99999999999999999999999999999999"};
    char line[128];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(line, sizeof line, "SCAN %s", good[i]);
        EXPECT(&harness, line, "*2\r\n$1\r\n0\r\n*0\r\n");
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(line, sizeof line, "SCAN %s", bad[i]);
        EXPECT(&harness, line, "-ERR invalid cursor\r\n");
    }
}

Test(scan, a_cursor_counts_from_the_first_slot_and_wraps_below_zero) {
    set_key("a"); /* in some slot behind the first */
    EXPECT(&harness, "SCAN 1", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n");
    EXPECT(&harness, "SCAN -18446744073709551615", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n");
    EXPECT(&harness, "SCAN -1", "*2\r\n$1\r\n0\r\n*0\r\n");
    EXPECT(&harness, "SCAN 9007199254740992", "*2\r\n$1\r\n0\r\n*0\r\n");
    EXPECT(&harness, "SCAN \"0\\x001\"", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n");
}

Test(scan, any_cursor_whatsoever_ends_some_time) {
    static const uint64_t cursors[] = {1,
                                       12345,
                                       (UINT64_C(1) << 53) - 1,
                                       UINT64_C(1) << 53,
                                       UINT64_C(1) << 39,
                                       UINT64_MAX,
                                       0x123456789abcdef};
    static struct keys keys;
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", i);
        set_key(name);
    }
    for (size_t i = 0; i < sizeof cursors / sizeof *cursors; i++) {
        keys.cursor = cursors[i];
        unsigned calls = 0;
        do {
            scan(keys.cursor, "", &keys);
            cr_assert_lt(++calls, 2000);
        } while (keys.cursor != 0);
    }
}

Test(scan, options_are_checked_one_after_the_other) {
    EXPECT(&harness, "SCAN 0 foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "SCAN 0 foo bar", "-ERR syntax error\r\n");
    EXPECT(&harness, "SCAN 0 MATCH", "-ERR syntax error\r\n");
    EXPECT(&harness, "SCAN 0 MATCH a COUNT", "-ERR syntax error\r\n");
    EXPECT(&harness, "SCAN 0 NOVALUES", "-ERR syntax error\r\n");
    EXPECT(&harness, "SCAN 0 COUNT 0", "-ERR syntax error\r\n");
    EXPECT(&harness, "SCAN 0 COUNT -1", "-ERR syntax error\r\n");
    EXPECT(&harness, "SCAN 0 COUNT abc", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SCAN 0 COUNT +1", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SCAN 0 COUNT abc foo", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SCAN 0 foo COUNT abc", "-ERR syntax error\r\n");
    EXPECT(&harness, "SCAN 0 COUNT 99999999999999999999", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SCAN 0 COUNT 9223372036854775807", "*2\r\n$1\r\n0\r\n*0\r\n");
    EXPECT(&harness, "SCAN abc foo", "-ERR invalid cursor\r\n");
    EXPECT(&harness, "SCAN", "-ERR wrong number of arguments for 'scan' command\r\n");
    EXPECT(&harness, "KEYS", "-ERR wrong number of arguments for 'keys' command\r\n");
    EXPECT(&harness, "KEYS a b", "-ERR wrong number of arguments for 'keys' command\r\n");
}

/* ---- Filters ---- */

Test(scan, a_few_keys_come_at_once) {
    static struct keys keys;
    for (int i = 0; i < 9; i++) {
        char name[16];
        snprintf(name, sizeof name, "key:%d", i);
        set_key(name);
        scan(0, "", &keys);
        cr_assert_eq(keys.cursor, 0);
        cr_assert_eq(keys.count, (size_t)i + 1);
    }
}

Test(scan, match_and_type_select) {
    set_key("a1");
    EXPECT(&harness, "SCAN 0 MATCH a*", "*2\r\n$1\r\n0\r\n*1\r\n$2\r\na1\r\n");
    EXPECT(&harness, "SCAN 0 MATCH b*", "*2\r\n$1\r\n0\r\n*0\r\n");
    EXPECT(&harness, "SCAN 0 MATCH b* MATCH a?", "*2\r\n$1\r\n0\r\n*1\r\n$2\r\na1\r\n");
    EXPECT(&harness, "SCAN 0 TYPE string", "*2\r\n$1\r\n0\r\n*1\r\n$2\r\na1\r\n");
    EXPECT(&harness, "SCAN 0 type STRING", "*2\r\n$1\r\n0\r\n*1\r\n$2\r\na1\r\n");
    EXPECT(&harness, "SCAN 0 TYPE list", "*2\r\n$1\r\n0\r\n*0\r\n");
    EXPECT(&harness, "SCAN 0 TYPE nosuchtype", "*2\r\n$1\r\n0\r\n*0\r\n");
    EXPECT(&harness, "SCAN 0 TYPE hash TYPE string MATCH [a-c]1 COUNT 3",
           "*2\r\n$1\r\n0\r\n*1\r\n$2\r\na1\r\n");
    EXPECT(&harness, "KEYS ?1", "*1\r\n$2\r\na1\r\n");
    EXPECT(&harness, "KEYS A1", "*0\r\n");
}

Test(scan, a_single_star_also_finds_the_empty_key) {
    EXPECT(&harness, "SET \"\" 1", "+OK\r\n");
    EXPECT(&harness, "SCAN 0 MATCH *", "*2\r\n$1\r\n0\r\n*1\r\n$0\r\n\r\n");
    EXPECT(&harness, "SCAN 0 MATCH **", "*2\r\n$1\r\n0\r\n*0\r\n");
    EXPECT(&harness, "KEYS *", "*1\r\n$0\r\n\r\n");
    EXPECT(&harness, "KEYS **", "*0\r\n");
    EXPECT(&harness, "KEYS \"\"", "*1\r\n$0\r\n\r\n");
}

Test(scan, expired_keys_are_not_shown) {
    EXPECT(&harness, "SET a 1 PX 100", "+OK\r\n");
    EXPECT(&harness, "SET b 1", "+OK\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 101);
    EXPECT(&harness, "SCAN 0", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n");
    EXPECT(&harness, "KEYS *", "*1\r\n$1\r\nb\r\n");
}

Test(scan, each_database_has_keys_of_its_own) {
    set_key("zero");
    harness.database = 4;
    EXPECT(&harness, "SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n");
    set_key("four");
    EXPECT(&harness, "SCAN 0", "*2\r\n$1\r\n0\r\n*1\r\n$4\r\nfour\r\n");
    EXPECT(&harness, "KEYS *", "*1\r\n$4\r\nfour\r\n");
}

Test(scan, only_a_look_at_the_type_is_a_look_at_the_key) {
    EXPECT(&harness, "MSET a 1 b 2 c 3", "+OK\r\n");
    static const struct {
        const char *line;
        unsigned hits;
    } cases[] = {{"SCAN 0", 0},
                 {"KEYS *", 0},
                 {"SCAN 0 TYPE string", 3},
                 {"SCAN 0 TYPE list", 3},
                 {"SCAN 0 TYPE string MATCH a", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct keyspace_counters before = harness.keyspace->counters;
        harness_run(&harness, cases[i].line);
        cr_assert_eq(harness.keyspace->counters.hits - before.hits, cases[i].hits, "%s", cases[i].line);
        cr_assert_eq(harness.keyspace->counters.misses, before.misses);
    }
}

Test(scan, keys_answers_every_key_once) {
    static struct keys keys;
    static bool seen[10000];
    char name[32];
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof name, i % 2 ? "{one}%d" : "%d", i); /* half of them in a single slot */
        set_key(name);
    }
    struct harness_answer answer = harness_run(&harness, "KEYS *");
    const uint8_t *at = answer.data;
    read_keys(&at, &keys);
    cr_assert_eq(keys.count, 10000);
    for (size_t i = 0; i < keys.count; i++) {
        const char *digits = (const char *)keys.key[i] + (keys.key[i][0] == '{' ? 5 : 0);
        int number = atoi(digits);
        cr_assert_not(seen[number], "%d twice", number);
        seen[number] = true;
    }
}

/* ---- Cursors ---- */

Test(scan, a_call_answers_about_as_many_keys_as_it_is_asked_for) {
    static struct keys keys;
    char name[32];
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, i % 2 ? "{one}%d" : "%d", i);
        set_key(name);
    }
    static const unsigned counts[] = {1, 10, 100, 1000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        char options[32];
        snprintf(options, sizeof options, "COUNT %u", counts[i]);
        size_t total = 0, calls = 0;
        keys.cursor = 0;
        do {
            scan(keys.cursor, options, &keys);
            cr_assert(keys.cursor == 0 || keys.count >= counts[i], "%zu keys of %u", keys.count, counts[i]);
            cr_assert_leq(keys.count, 2 * counts[i] + 64);
            total += keys.count;
            calls++;
        } while (keys.cursor != 0);
        cr_assert_geq(total, 20000);
        cr_assert_leq(total, 20200, "%zu keys: too many of them twice", total);
        cr_assert_leq(calls, 20000 / counts[i] + 1);
    }
}

Test(scan, work_is_bounded_where_all_keys_have_expired) {
    static struct keys keys;
    char line[64];
    harness.keyspace->expiry_is_paused = true; /* so that nothing reclaims them */
    for (int i = 0; i < 20000; i++) {
        snprintf(line, sizeof line, "SET %d v PX 100", i);
        EXPECT(&harness, line, "+OK\r\n");
    }
    harness_set_time(&harness, HARNESS_NOW_MS + 101);
    unsigned calls = 0;
    keys.cursor = 0;
    do {
        scan(keys.cursor, "COUNT 10", &keys);
        cr_assert_eq(keys.count, 0);
        calls++;
    } while (keys.cursor != 0);
    cr_assert_geq(calls, 5, "one call looked at thousands of keys");
}

/* What a history does between two calls of a scan. */
enum churn { CHURN_RANDOM, CHURN_GROW, CHURN_SHRINK };

#define STABLE_KEYS  600
#define PASSING_KEYS 12000

static void format_key(char name[32], const char *kind, unsigned number, bool one_slot) {
    snprintf(name, 32, "%s%s:%u", one_slot ? "{one}" : "", kind, number);
}

static void change_something(struct rng *rng, enum churn churn, bool one_slot) {
    char name[32], line[64];
    unsigned changes = churn == CHURN_RANDOM ? (unsigned)rng_below(rng, 40) : 200;
    for (unsigned i = 0; i < changes; i++) {
        format_key(name, "passing", (unsigned)rng_below(rng, PASSING_KEYS), one_slot);
        bool adds = churn == CHURN_GROW || (churn == CHURN_RANDOM && rng_below(rng, 2));
        snprintf(line, sizeof line, adds ? "SET %s v" : "DEL %s", name);
        harness_run(&harness, line);
    }
}

/* Scans from start to end while keys come and go; every key that is there all the time must be found. */
static void check_guarantee(uint64_t seed, enum churn churn, unsigned count, bool one_slot) {
    static struct keys keys;
    bool found[STABLE_KEYS] = {0};
    char name[32], options[32], prefix[32];
    struct rng rng;
    rng_init(&rng, seed);
    harness_run(&harness, "FLUSHALL");
    for (unsigned i = 0; i < STABLE_KEYS; i++) {
        format_key(name, "stable", i, one_slot);
        set_key(name);
    }
    for (unsigned i = 0; churn == CHURN_SHRINK && i < PASSING_KEYS; i++) {
        format_key(name, "passing", i, one_slot);
        set_key(name);
    }
    snprintf(options, sizeof options, "COUNT %u", count);
    snprintf(prefix, sizeof prefix, "%sstable:", one_slot ? "{one}" : "");
    unsigned calls = 0;
    keys.cursor = 0;
    do {
        scan(keys.cursor, options, &keys);
        for (size_t i = 0; i < keys.count; i++)
            if (keys.size[i] > strlen(prefix) && memcmp(keys.key[i], prefix, strlen(prefix)) == 0)
                found[atoi((const char *)keys.key[i] + strlen(prefix))] = true;
        change_something(&rng, churn, one_slot);
        cr_assert_lt(++calls, 50000, "the scan does not end");
    } while (keys.cursor != 0);
    for (unsigned i = 0; i < STABLE_KEYS; i++)
        cr_assert(found[i], "stable:%u is missing (seed %llu, churn %d, count %u, %s)", i,
                  (unsigned long long)seed, churn, count, one_slot ? "one slot" : "all slots");
}

Test(scan, a_key_that_stays_is_found_while_others_come_and_go) {
    for (uint64_t seed = 1; seed <= 6; seed++)
        check_guarantee(seed, CHURN_RANDOM, 1 + (unsigned)seed * 5, seed % 2);
}

Test(scan, a_key_that_stays_is_found_while_tables_grow) {
    for (uint64_t seed = 1; seed <= 4; seed++)
        check_guarantee(seed, CHURN_GROW, 3 + (unsigned)seed * 7, seed % 2);
}

Test(scan, a_key_that_stays_is_found_while_tables_shrink) {
    for (uint64_t seed = 1; seed <= 4; seed++)
        check_guarantee(seed, CHURN_SHRINK, 3 + (unsigned)seed * 7, seed % 2);
}

/* ---- Patterns ---- */

Test(scan, a_pattern_longer_than_any_name_is_worth_is_refused) {
    static char pattern[PATTERN_SIZE_MAX + 1];
    memset(pattern, 'p', sizeof pattern);
    struct argument keys[] = {{.data = (const uint8_t *)"KEYS", .size = 4},
                              {.data = (const uint8_t *)pattern, .size = PATTERN_SIZE_MAX}};
    struct argument match[] = {{.data = (const uint8_t *)"SCAN", .size = 4},
                               {.data = (const uint8_t *)"0", .size = 1},
                               {.data = (const uint8_t *)"MATCH", .size = 5},
                               {.data = (const uint8_t *)pattern, .size = PATTERN_SIZE_MAX}};
    struct argument set[] = {{.data = (const uint8_t *)"SET", .size = 3},
                             {.data = (const uint8_t *)pattern, .size = PATTERN_SIZE_MAX},
                             {.data = (const uint8_t *)"v", .size = 1}};
    harness_run_arguments(&harness, set, 3);
    harness_run(&harness, "SET k v");
    cr_assert_eq(
        strncmp((const char *)harness_run_arguments(&harness, keys, 2).data, "*1\r\n$16384\r\nppp", 15), 0);
    cr_assert_not_null(
        strstr((const char *)harness_run_arguments(&harness, match, 4).data, "*1\r\n$16384\r\nppp"));
    keys[1].size = match[3].size = PATTERN_SIZE_MAX + 1;
    cr_assert_str_eq((const char *)harness_run_arguments(&harness, keys, 2).data,
                     "-ERR pattern is too long\r\n");
    cr_assert_str_eq((const char *)harness_run_arguments(&harness, match, 4).data,
                     "-ERR pattern is too long\r\n");
}

/* ---- Failing allocations ---- */

Test(scan, a_reply_without_memory_is_an_error_and_nothing_else) {
    static const char *setup[102];
    static char lines[101][200];
    for (int i = 0; i < 101; i++) {
        snprintf(lines[i], sizeof lines[i], "SET %0150d v", i); /* the reply outgrows what is reserved */
        setup[i] = lines[i];
    }
    cr_assert_geq(harness_fail_each_allocation(setup, "KEYS *"), 1);
    cr_assert_geq(harness_fail_each_allocation(setup, "SCAN 0 COUNT 50"), 1);
    cr_assert_geq(harness_fail_each_allocation(setup, "SCAN 0 COUNT 1000 TYPE string MATCH 0*"), 1);
}
