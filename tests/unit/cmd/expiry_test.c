/* expiry_test.c - setting, clearing and showing expiries, with the replies of redis-server 7.0.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/harness.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct harness harness;

static void set_up(void) {
    harness_init(&harness);
    EXPECT(&harness, "SET a 1", "+OK\r\n");
}

static void tear_down(void) {
    harness_release(&harness);
}

TestSuite(expiry, .init = set_up, .fini = tear_down);

static void expect_counts(const char *line, uint64_t hits, uint64_t misses, uint64_t changes) {
    struct keyspace_counters before = harness.keyspace->counters;
    harness_run(&harness, line);
    cr_assert_eq(harness.keyspace->counters.hits - before.hits, hits, "hits of %s", line);
    cr_assert_eq(harness.keyspace->counters.misses - before.misses, misses, "misses of %s", line);
    cr_assert_eq(harness.keyspace->counters.changes - before.changes, changes, "changes of %s", line);
}

Test(expiry, a_key_lives_until_its_time_is_past) {
    EXPECT(&harness, "PEXPIRE a 100", ":1\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 100);
    EXPECT(&harness, "PTTL a", ":0\r\n");
    EXPECT(&harness, "GET a", "$1\r\n1\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 101);
    EXPECT(&harness, "GET a", "$-1\r\n");
    EXPECT(&harness, "PTTL a", ":-2\r\n");
    EXPECT(&harness, "DBSIZE", ":0\r\n");
    cr_assert_eq(harness.keyspace->counters.expired, 1);
}

Test(expiry, the_four_commands_differ_in_unit_and_base) {
    EXPECT(&harness, "EXPIRE a 100", ":1\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":1700000100000\r\n");
    EXPECT(&harness, "PEXPIRE a 100", ":1\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":1700000000100\r\n");
    EXPECT(&harness, "EXPIREAT a 1700000200", ":1\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":1700000200000\r\n");
    EXPECT(&harness, "PEXPIREAT a 1700000000300", ":1\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":1700000000300\r\n");
    EXPECT(&harness, "EXPIRE nosuch 100", ":0\r\n");
    EXPECT(&harness, "EXPIRE a", "-ERR wrong number of arguments for 'expire' command\r\n");
}

Test(expiry, seconds_are_rounded_to_the_nearest) {
    EXPECT(&harness, "PEXPIRE a 1499", ":1\r\n");
    EXPECT(&harness, "TTL a", ":1\r\n");
    EXPECT(&harness, "EXPIRETIME a", ":1700000001\r\n");
    EXPECT(&harness, "PEXPIRE a 1500", ":1\r\n");
    EXPECT(&harness, "TTL a", ":2\r\n");
    EXPECT(&harness, "EXPIRETIME a", ":1700000002\r\n");
    EXPECT(&harness, "PEXPIRE a 499", ":1\r\n");
    EXPECT(&harness, "TTL a", ":0\r\n");
    EXPECT(&harness, "PTTL a", ":499\r\n");
}

Test(expiry, without_a_key_or_an_expiry_there_is_minus_2_or_minus_1) {
    static const char *const commands[] = {"TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"};
    for (int i = 0; i < 4; i++) {
        char line[32];
        snprintf(line, sizeof line, "%s a", commands[i]);
        EXPECT(&harness, line, ":-1\r\n");
        snprintf(line, sizeof line, "%s nosuch", commands[i]);
        EXPECT(&harness, line, ":-2\r\n");
    }
}

Test(expiry, a_time_that_is_not_in_the_future_deletes_the_key) {
    static const char *const lines[] = {"EXPIRE a 0",
                                        "EXPIRE a -1",
                                        "PEXPIRE a 0",
                                        "PEXPIRE a -9223372036854775808",
                                        "EXPIREAT a 1700000000",
                                        "EXPIREAT a 0",
                                        "EXPIREAT a -9223372036854775",
                                        "PEXPIREAT a 1700000000000",
                                        "PEXPIREAT a -9223372036854775808",
                                        "EXPIRE a -9223372036854775"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        EXPECT(&harness, "SET a 1", "+OK\r\n");
        EXPECT(&harness, lines[i], ":1\r\n");
        EXPECT(&harness, "EXISTS a", ":0\r\n");
        EXPECT(&harness, lines[i], ":0\r\n");
    }
    cr_assert_eq(harness.keyspace->counters.expired, 0, "deleted, not expired");
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "PEXPIREAT a 1700000000001", ":1\r\n");
    EXPECT(&harness, "EXISTS a", ":1\r\n");
}

Test(expiry, a_time_that_does_not_fit_is_refused) {
    EXPECT(&harness, "EXPIRE a 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n");
    EXPECT(&harness, "EXPIRE a 9223372036854775", "-ERR invalid expire time in 'expire' command\r\n");
    EXPECT(&harness, "EXPIRE a -9223372036854776", "-ERR invalid expire time in 'expire' command\r\n");
    EXPECT(&harness, "EXPIRE a -9223372036854775808", "-ERR invalid expire time in 'expire' command\r\n");
    EXPECT(&harness, "EXPIREAT a 9223372036854776", "-ERR invalid expire time in 'expireat' command\r\n");
    EXPECT(&harness, "EXPIREAT a -9223372036854775808", "-ERR invalid expire time in 'expireat' command\r\n");
    EXPECT(&harness, "PEXPIRE a 9223372036854775807", "-ERR invalid expire time in 'pexpire' command\r\n");
    EXPECT(&harness, "PEXPIRE nosuch 9223372036854775807",
           "-ERR invalid expire time in 'pexpire' command\r\n");
    EXPECT(&harness, "TTL a", ":-1\r\n");
}

Test(expiry, the_latest_time_of_all_can_be_set_and_shown) {
    EXPECT(&harness, "PEXPIREAT a 9223372036854775807", ":1\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":9223372036854775807\r\n");
    EXPECT(&harness, "EXPIRETIME a", ":9223372036854776\r\n");
    EXPECT(&harness, "PTTL a", ":9223370336854775807\r\n");
    EXPECT(&harness, "TTL a", ":9223370336854776\r\n");
    EXPECT(&harness, "PEXPIRE a 9223370336854775807", ":1\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":9223372036854775807\r\n");
}

Test(expiry, nx_wants_no_expiry_and_xx_wants_one) {
    EXPECT(&harness, "EXPIRE a 100 XX", ":0\r\n");
    EXPECT(&harness, "TTL a", ":-1\r\n");
    EXPECT(&harness, "EXPIRE a 100 NX", ":1\r\n");
    EXPECT(&harness, "EXPIRE a 200 nx NX", ":0\r\n");
    EXPECT(&harness, "TTL a", ":100\r\n");
    EXPECT(&harness, "EXPIRE a 200 xx", ":1\r\n");
    EXPECT(&harness, "TTL a", ":200\r\n");
}

Test(expiry, gt_takes_no_expiry_for_infinite_and_lt_does_too) {
    EXPECT(&harness, "EXPIRE a 100 GT", ":0\r\n");
    EXPECT(&harness, "EXPIRE a 100 LT", ":1\r\n");
    EXPECT(&harness, "EXPIRE a 100 GT", ":0\r\n");
    EXPECT(&harness, "EXPIRE a 100 LT", ":0\r\n");
    EXPECT(&harness, "EXPIRE a 101 GT", ":1\r\n");
    EXPECT(&harness, "EXPIRE a 102 LT", ":0\r\n");
    EXPECT(&harness, "EXPIRE a 50 LT", ":1\r\n");
    EXPECT(&harness, "TTL a", ":50\r\n");
    EXPECT(&harness, "PERSIST a", ":1\r\n");
    EXPECT(&harness, "EXPIRE a 100 XX GT", ":0\r\n");
    EXPECT(&harness, "EXPIRE a 100 LT XX", ":0\r\n");
    EXPECT(&harness, "TTL a", ":-1\r\n");
}

Test(expiry, a_condition_also_guards_against_a_time_in_the_past) {
    EXPECT(&harness, "EXPIRE a -1 XX", ":0\r\n");
    EXPECT(&harness, "EXPIRE a -1 GT", ":0\r\n");
    EXPECT(&harness, "EXPIRE a 100", ":1\r\n");
    EXPECT(&harness, "EXPIRE a -1 NX", ":0\r\n");
    EXPECT(&harness, "EXPIRE a -1 GT", ":0\r\n");
    EXPECT(&harness, "EXISTS a", ":1\r\n");
    EXPECT(&harness, "EXPIRE a -1 LT", ":1\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
}

Test(expiry, arguments_are_checked_in_the_order_of_redis) {
#define NX_ERROR "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"
#define GT_ERROR "-ERR GT and LT options at the same time are not compatible\r\n"
    EXPECT(&harness, "EXPIRE a abc", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "EXPIRE nosuch 1.5", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "EXPIRE a \" 1\"", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "EXPIRE a abc foo", "-ERR Unsupported option foo\r\n");
    EXPECT(&harness, "EXPIRE a abc NX XX", NX_ERROR);
    EXPECT(&harness, "EXPIRE nosuch 10 NX GT", NX_ERROR);
    EXPECT(&harness, "EXPIRE a 10 LT NX", NX_ERROR);
    EXPECT(&harness, "EXPIRE a 10 NX XX GT LT", NX_ERROR);
    EXPECT(&harness, "EXPIRE a 10 GT LT", GT_ERROR);
    EXPECT(&harness, "EXPIRE a 10 XX GT LT", GT_ERROR);
    EXPECT(&harness, "EXPIRE a 10 GT LT foo", "-ERR Unsupported option foo\r\n");
    EXPECT(&harness, "EXPIRE a 10 foo NX XX", "-ERR Unsupported option foo\r\n");
    EXPECT(&harness, "EXPIRE a 10 \"\"", "-ERR Unsupported option \r\n");
    EXPECT(&harness, "EXPIRE a 10 \"x\\r\\ny\\x00z\"", "-ERR Unsupported option x  y\r\n");
    EXPECT(&harness, "EXPIRE a 99999999999999999 NX", "-ERR invalid expire time in 'expire' command\r\n");
    EXPECT(&harness, "TTL a", ":-1\r\n");
}

Test(expiry, persist_takes_the_expiry_away) {
    EXPECT(&harness, "PERSIST a", ":0\r\n");
    EXPECT(&harness, "PERSIST nosuch", ":0\r\n");
    EXPECT(&harness, "EXPIRE a 100", ":1\r\n");
    EXPECT(&harness, "PERSIST a", ":1\r\n");
    EXPECT(&harness, "PERSIST a", ":0\r\n");
    EXPECT(&harness, "TTL a", ":-1\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 200000);
    EXPECT(&harness, "GET a", "$1\r\n1\r\n");
}

Test(expiry, value_and_encoding_survive_any_change_of_the_expiry) {
    EXPECT(&harness, "APPEND a 23", ":3\r\n");
    for (int i = 0; i < 3; i++) {
        EXPECT(&harness, "EXPIRE a 100", ":1\r\n");
        EXPECT(&harness, "GET a", "$3\r\n123\r\n");
        EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nraw\r\n");
        EXPECT(&harness, "PERSIST a", ":1\r\n");
        EXPECT(&harness, "GET a", "$3\r\n123\r\n");
        EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nraw\r\n");
    }
}

Test(expiry, hits_misses_and_changes_are_counted_as_in_redis) {
    expect_counts("EXPIRE a 100", 0, 0, 1);
    expect_counts("EXPIRE a 100 NX", 0, 0, 0);
    expect_counts("EXPIRE nosuch 100", 0, 0, 0);
    expect_counts("TTL a", 1, 0, 0);
    expect_counts("PTTL nosuch", 0, 1, 0);
    expect_counts("EXPIRETIME a", 1, 0, 0);
    expect_counts("PERSIST a", 0, 0, 1);
    expect_counts("PERSIST a", 0, 0, 0);
    expect_counts("PERSIST nosuch", 0, 0, 0);
    expect_counts("EXPIRE a -1", 0, 0, 1);
}

Test(expiry, looking_at_the_expiry_is_no_access_and_setting_it_is) {
    harness_set_time(&harness, HARNESS_NOW_MS + 9000);
    EXPECT(&harness, "TTL a", ":-1\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":-1\r\n");
    EXPECT(&harness, "OBJECT IDLETIME a", ":9\r\n");
    EXPECT(&harness, "EXPIRE a 100 XX", ":0\r\n");
    EXPECT(&harness, "OBJECT IDLETIME a", ":0\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 12000);
    EXPECT(&harness, "PERSIST a", ":0\r\n");
    EXPECT(&harness, "OBJECT IDLETIME a", ":0\r\n");
}

Test(expiry, no_failing_allocation_half_sets_an_expiry) {
    static const char *const setup[] = {"SET a 12345678901234567890", "SET t 12345678901234567890 EX 100",
                                        "SET e 1 PX 1", NULL};
    static const char *const lines[] = {
        "EXPIRE a 100", "PEXPIRE t 5",     "EXPIRE a -1",     "PERSIST t", "PEXPIREAT a 1700000000900",
        "TTL t",        "EXPIRE nosuch 5", "EXPIRE t 5 GT LT"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        harness_fail_each_allocation(setup, lines[i]);
    cr_assert_geq(harness_fail_each_allocation(setup, "EXPIRE a 100"), 1);
}
