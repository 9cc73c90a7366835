/* slowlog_test.c - what the slow log keeps and shows.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/conversation.h"
#include "node/slowlog.h"

#include <criterion/criterion.h>

static struct argument word(const char *text) {
    return (struct argument){.data = (const uint8_t *)text, .size = (uint32_t)strlen(text)};
}

static void note(struct conversation *world, struct session *client, const char *name, uint64_t duration_us) {
    struct argument argv[] = {word(name)};
    slowlog_note(world->node, client, argv, 1, duration_us * 1000);
}

Test(slowlog, an_entry_tells_who_did_what_when_and_how_long) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 4711);
    say(&world, client, "CLIENT SETNAME me");
    struct argument argv[] = {word("GET"), word("some key")};
    slowlog_note(world.node, client, argv, 2, 12345678);
    cr_assert_str_eq(say(&world, client, "SLOWLOG GET"),
                     "*1\r\n*6\r\n:0\r\n:1800000000\r\n:12345\r\n*2\r\n$3\r\nGET\r\n$8\r\nsome key\r\n"
                     "$14\r\n127.0.0.1:4711\r\n$2\r\nme\r\n");
    conversation_end(&world);
}

Test(slowlog, the_newest_comes_first_and_the_oldest_go) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    world.config.slowlog_max_len = 2;
    note(&world, client, "A", 1);
    note(&world, client, "B", 2);
    note(&world, client, "C", 3);
    cr_assert_str_eq(say(&world, client, "SLOWLOG LEN"), ":2\r\n");
    cr_assert_str_eq(
        say(&world, client, "SLOWLOG GET -1"),
        "*2\r\n*6\r\n:2\r\n:1800000000\r\n:3\r\n*1\r\n$1\r\nC\r\n$11\r\n127.0.0.1:1\r\n$0\r\n\r\n"
        "*6\r\n:1\r\n:1800000000\r\n:2\r\n*1\r\n$1\r\nB\r\n$11\r\n127.0.0.1:1\r\n$0\r\n\r\n");
    cr_assert_str_eq(say(&world, client, "SLOWLOG GET 0"), "*0\r\n");
    cr_assert_str_eq(say(&world, client, "SLOWLOG RESET"), "+OK\r\n");
    cr_assert_str_eq(say(&world, client, "SLOWLOG GET"), "*0\r\n");
    conversation_end(&world);
}

Test(slowlog, a_length_of_0_keeps_nothing_but_counts_on) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    world.config.slowlog_max_len = 0;
    note(&world, client, "A", 1);
    cr_assert_eq(slowlog_size(world.node->slowlog), 0);
    world.config.slowlog_max_len = 1;
    note(&world, client, "B", 1);
    cr_assert_eq(strncmp(say(&world, client, "SLOWLOG GET"), "*1\r\n*6\r\n:1\r\n", 12), 0);
    conversation_end(&world);
}

Test(slowlog, ten_entries_are_shown_unless_asked_for_more) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    for (int i = 0; i < 12; i++)
        note(&world, client, "A", 1);
    cr_assert_eq(strncmp(say(&world, client, "SLOWLOG GET"), "*10\r\n", 5), 0);
    cr_assert_eq(strncmp(say(&world, client, "SLOWLOG GET 11"), "*11\r\n", 5), 0);
    cr_assert_eq(strncmp(say(&world, client, "SLOWLOG GET 99"), "*12\r\n", 5), 0);
    conversation_end(&world);
}

Test(slowlog, long_requests_are_kept_in_part) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    char long_word[140];
    memset(long_word, 'x', sizeof long_word);
    struct argument argv[40];
    for (unsigned i = 0; i < 40; i++)
        argv[i] = word("a");
    argv[1] = (struct argument){.data = (uint8_t *)long_word, .size = 128};
    argv[2] = (struct argument){.data = (uint8_t *)long_word, .size = 140};
    slowlog_note(world.node, client, argv, 40, 1000);
    const char *reply = say(&world, client, "SLOWLOG GET");
    cr_assert_not_null(strstr(reply, "\r\n*32\r\n$1\r\na\r\n$128\r\nxx"));
    cr_assert_not_null(strstr(reply, "$147\r\nxx"));
    cr_assert_not_null(strstr(reply, "xx... (12 more bytes)\r\n"));
    cr_assert_not_null(strstr(reply, "$1\r\na\r\n$22\r\n... (9 more arguments)\r\n$11\r\n127.0.0.1:1\r\n"));
    slowlog_note(world.node, client, argv, 32, 1000);
    cr_assert_null(strstr(say(&world, client, "SLOWLOG GET 1"), "more arguments"));
    conversation_end(&world);
}

Test(slowlog, passwords_are_not_kept) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    struct argument argv[] = {word("AUTH"), word("tell-nobody")};
    slowlog_note(world.node, client, argv, 2, 1000);
    const char *reply = say(&world, client, "SLOWLOG GET");
    cr_assert_not_null(strstr(reply, "$4\r\nAUTH\r\n$10\r\n(redacted)\r\n"));
    cr_assert_null(strstr(reply, "tell-nobody"));
    conversation_end(&world);
}

Test(slowlog, calls_above_the_limit_are_noted_by_themselves) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    world.config.slowlog_log_slower_than_us = 10000;
    world.clock_step_ns = 9000000;
    say(&world, client, "GET fast");
    world.clock_step_ns = 11000000;
    say(&world, client, "GET slow");
    world.clock_step_ns = 0;
    const char *reply = say(&world, client, "SLOWLOG GET");
    cr_assert_not_null(strstr(reply, "*2\r\n$3\r\nGET\r\n$4\r\nslow\r\n"));
    cr_assert_null(strstr(reply, "fast"));
    conversation_end(&world);
}

Test(slowlog, without_memory_an_entry_is_left_out) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    world.mem.fuse = 1;
    note(&world, client, "A", 1);
    cr_assert_eq(slowlog_size(world.node->slowlog), 0);
    note(&world, client, "B", 1);
    cr_assert_eq(slowlog_size(world.node->slowlog), 1);
    conversation_end(&world);
}

Test(slowlog, wrong_words_are_refused_as_clients_know_it) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    const char *wrong_count = "-ERR count should be greater than or equal to -1\r\n";
    cr_assert_str_eq(say(&world, client, "SLOWLOG GET -2"), wrong_count);
    cr_assert_str_eq(say(&world, client, "SLOWLOG GET abc"), wrong_count);
    cr_assert_str_eq(say(&world, client, "SLOWLOG GET 1 2"),
                     "-ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.\r\n");
    conversation_end(&world);
}
