/* object_test.c - OBJECT, with the replies of redis-server 7.0.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/harness.h"

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

TestSuite(object, .init = set_up, .fini = tear_down);

static void expect_encoding(const char *value, const char *encoding) {
    char line[128], reply[32];
    snprintf(line, sizeof line, "SET a %s", value);
    EXPECT(&harness, line, "+OK\r\n");
    snprintf(reply, sizeof reply, "$%zu\r\n%s\r\n", strlen(encoding), encoding);
    struct harness_answer answer = harness_run(&harness, "OBJECT ENCODING a");
    cr_assert(answer.size == strlen(reply) && memcmp(answer.data, reply, answer.size) == 0, "%s is %.*s",
              value, (int)answer.size, answer.data);
}

Test(object, the_encoding_follows_from_what_was_set) {
    expect_encoding("0", "int");
    expect_encoding("12", "int");
    expect_encoding("-5", "int");
    expect_encoding("9223372036854775807", "int");
    expect_encoding("-9223372036854775808", "int");
    expect_encoding("9223372036854775808", "embstr");
    expect_encoding("123456789012345678901", "embstr");
    expect_encoding("012", "embstr");
    expect_encoding("+1", "embstr");
    expect_encoding("-0", "embstr");
    expect_encoding("\" 1\"", "embstr");
    expect_encoding("1.5", "embstr");
    expect_encoding("\"\"", "embstr");
    expect_encoding("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "embstr");
    expect_encoding("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "raw");
}

Test(object, a_string_that_was_edited_in_place_is_raw) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "APPEND a 2", ":2\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nraw\r\n");
    EXPECT(&harness, "SETRANGE b 0 5", ":1\r\n");
    EXPECT(&harness, "OBJECT ENCODING b", "$3\r\nraw\r\n");
    EXPECT(&harness, "OBJECT REFCOUNT b", ":1\r\n");
}

Test(object, small_integers_count_as_shared) {
    EXPECT(&harness, "SET a 0", "+OK\r\n");
    EXPECT(&harness, "OBJECT REFCOUNT a", ":2147483647\r\n");
    EXPECT(&harness, "SET a 9999", "+OK\r\n");
    EXPECT(&harness, "OBJECT REFCOUNT a", ":2147483647\r\n");
    EXPECT(&harness, "SET a 10000", "+OK\r\n");
    EXPECT(&harness, "OBJECT REFCOUNT a", ":1\r\n");
    EXPECT(&harness, "SET a -1", "+OK\r\n");
    EXPECT(&harness, "OBJECT REFCOUNT a", ":1\r\n");
    EXPECT(&harness, "SET a text", "+OK\r\n");
    EXPECT(&harness, "OBJECT REFCOUNT a", ":1\r\n");
}

Test(object, the_idle_time_grows_until_the_next_access) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "OBJECT IDLETIME a", ":0\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 1234000);
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nint\r\n");
    EXPECT(&harness, "OBJECT IDLETIME a", ":1234\r\n");
    EXPECT(&harness, "GET a", "$1\r\n1\r\n");
    EXPECT(&harness, "OBJECT IDLETIME a", ":0\r\n");
}

Test(object, the_idle_time_is_right_across_the_wrap_of_its_clock) {
    int64_t wrap_ms = (HARNESS_NOW_MS / 1000 / 0x1000000 + 1) * 0x1000000 * 1000;
    harness_set_time(&harness, wrap_ms - 5000);
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    harness_set_time(&harness, wrap_ms + 3000);
    EXPECT(&harness, "OBJECT IDLETIME a", ":8\r\n");
}

Test(object, there_is_no_frequency_without_an_lfu_policy) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(
        &harness, "OBJECT FREQ a",
        "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
        "switching between policies at runtime LRU and LFU data will take some time to adjust.\r\n");
}

Test(object, an_absent_key_is_null) {
    static const char *const lines[] = {"OBJECT ENCODING nosuch", "OBJECT REFCOUNT nosuch",
                                        "OBJECT IDLETIME nosuch", "OBJECT FREQ nosuch"};
    for (int i = 0; i < 4; i++) {
        uint64_t misses = harness.keyspace->counters.misses;
        harness.reply.protocol = 2;
        EXPECT(&harness, lines[i], "$-1\r\n");
        cr_assert_eq(harness.keyspace->counters.misses, misses + 1);
        harness.reply.protocol = 3;
        EXPECT(&harness, lines[i], "_\r\n");
    }
}

Test(object, a_look_is_a_hit_but_no_access) {
    static const char *const lines[] = {"OBJECT ENCODING a", "OBJECT REFCOUNT a", "OBJECT IDLETIME a",
                                        "OBJECT FREQ a"};
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    harness_set_time(&harness, HARNESS_NOW_MS + 5000);
    for (int i = 0; i < 4; i++) {
        uint64_t hits = harness.keyspace->counters.hits;
        harness_run(&harness, lines[i]);
        cr_assert_eq(harness.keyspace->counters.hits, hits + 1);
    }
    EXPECT(&harness, "OBJECT IDLETIME a", ":5\r\n");
}

Test(object, help_is_an_array_of_lines_and_names_each_subcommand) {
    static const char *const names[] = {"\r\n+ENCODING ", "\r\n+FREQ ", "\r\n+IDLETIME ", "\r\n+REFCOUNT ",
                                        "\r\n+HELP\r\n"};
    struct harness_answer answer = harness_run(&harness, "OBJECT HELP");
    cr_assert_eq(answer.data[0], '*');
    unsigned lines = 0;
    for (size_t i = 0; i < answer.size; i++)
        lines += answer.data[i] == '\n';
    cr_assert_eq((unsigned)atoi((const char *)answer.data + 1), lines - 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_assert_not_null(memmem(answer.data, answer.size, names[i], strlen(names[i])), "%s", names[i]);
}

Test(object, the_number_of_arguments_is_checked) {
    EXPECT(&harness, "OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command\r\n");
    EXPECT(&harness, "OBJECT ENCODING a b",
           "-ERR wrong number of arguments for 'object|encoding' command\r\n");
}
