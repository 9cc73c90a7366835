/* monitor_test.c - the lines that MONITOR shows.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/conversation.h"
#include "node/monitor.h"

#include <criterion/criterion.h>

Test(monitor, bytes_that_cannot_be_printed_are_escaped) {
    struct mem mem = {0};
    struct buffer line;
    buffer_init(&line, &mem);
    monitor_append_quoted(&line, (const uint8_t *)"a\0\"\\\r\n\t\a\b\x7f\xff\x1b' ~", 15);
    buffer_append_byte(&line, 0);
    cr_assert_str_eq((char *)line.data, "\"a\\x00\\\"\\\\\\r\\n\\t\\a\\b\\x7f\\xff\\x1b' ~\"");
    buffer_release(&line);
}

Test(monitor, a_line_names_time_database_address_and_words) {
    struct conversation world;
    conversation_begin(&world);
    struct session *watcher = conversation_client(&world, 1), *client = conversation_client(&world, 2);
    cr_assert_str_eq(say(&world, watcher, "MONITOR"), "+OK\r\n");
    say(&world, client, "set k \"\\x00 v\"");
    cr_assert_str_eq(hear(&world, watcher),
                     "+1800000000.123456 [0 127.0.0.1:2] \"set\" \"k\" \"\\x00 v\"\r\n");
    conversation_end(&world);
}

Test(monitor, the_database_is_the_one_after_the_command) {
    struct conversation world;
    conversation_begin(&world);
    struct session *watcher = conversation_client(&world, 1), *client = conversation_client(&world, 0);
    say(&world, watcher, "MONITOR");
    say(&world, client, "SELECT 3");
    cr_assert_str_eq(hear(&world, watcher), "+1800000000.123456 [3 unix:/test/socket] \"SELECT\" \"3\"\r\n");
    conversation_end(&world);
}

Test(monitor, an_exec_comes_behind_what_it_ran) {
    struct conversation world;
    conversation_begin(&world);
    struct session *watcher = conversation_client(&world, 1), *client = conversation_client(&world, 2);
    say(&world, watcher, "MONITOR");
    say(&world, client, "MULTI");
    say(&world, client, "GET a");
    cr_assert_str_eq(hear(&world, watcher), "+1800000000.123456 [0 127.0.0.1:2] \"MULTI\"\r\n");
    say(&world, client, "EXEC");
    cr_assert_str_eq(hear(&world, watcher), "+1800000000.123456 [0 127.0.0.1:2] \"GET\" \"a\"\r\n"
                                            "+1800000000.123456 [0 127.0.0.1:2] \"EXEC\"\r\n");
    conversation_end(&world);
}

Test(monitor, passwords_and_administrators_are_not_shown) {
    struct conversation world;
    conversation_begin(&world);
    struct session *watcher = conversation_client(&world, 1), *client = conversation_client(&world, 2);
    say(&world, watcher, "MONITOR");
    say(&world, client, "AUTH default tell-nobody");
    cr_assert_str_eq(hear(&world, watcher),
                     "+1800000000.123456 [0 127.0.0.1:2] \"AUTH\" \"(redacted)\" \"(redacted)\"\r\n");
    say(&world, client, "CONFIG GET port");
    say(&world, client, "GET");
    say(&world, client, "NOSUCH");
    cr_assert_str_eq(hear(&world, watcher), "");
    conversation_end(&world);
}

Test(monitor, what_the_watcher_does_itself_is_shown_behind_its_reply) {
    struct conversation world;
    conversation_begin(&world);
    struct session *watcher = conversation_client(&world, 1);
    say(&world, watcher, "MONITOR");
    cr_assert_str_eq(say(&world, watcher, "PING"),
                     "+PONG\r\n+1800000000.123456 [0 127.0.0.1:1] \"PING\"\r\n");
    cr_assert_str_eq(say(&world, watcher, "MONITOR"), "");
    conversation_end(&world);
}

Test(monitor, reset_and_a_closed_connection_end_it) {
    struct conversation world;
    conversation_begin(&world);
    struct session *watcher = conversation_client(&world, 1), *other = conversation_client(&world, 3);
    struct session *client = conversation_client(&world, 2);
    say(&world, watcher, "MONITOR");
    say(&world, other, "MONITOR");
    cr_assert_str_eq(say(&world, watcher, "RESET"), "+RESET\r\n");
    node_close(world.node, other);
    cr_assert(list_is_empty(&world.node->monitors));
    say(&world, client, "PING");
    cr_assert_str_eq(hear(&world, watcher), "");
    conversation_end(&world);
}

Test(monitor, is_refused_inside_a_transaction) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    say(&world, client, "MULTI");
    cr_assert_str_eq(say(&world, client, "MONITOR"), "+QUEUED\r\n");
    cr_assert_str_eq(say(&world, client, "EXEC"),
                     "*1\r\n-ERR MONITOR isn't allowed for DENY BLOCKING client\r\n");
    cr_assert(list_is_empty(&world.node->monitors));
    conversation_end(&world);
}

Test(monitor, a_very_long_argument_is_cut) {
    struct conversation world;
    conversation_begin(&world);
    struct session *watcher = conversation_client(&world, 1), *client = conversation_client(&world, 2);
    say(&world, watcher, "MONITOR");
    size_t size = 1024 * 1024 + 10;
    uint8_t *bytes = mem_alloc(&world.mem, size);
    memset(bytes, 'x', size);
    struct argument argv[] = {{.data = (const uint8_t *)"ECHO", .size = 4},
                              {.data = bytes, .size = (uint32_t)size}};
    monitor_feed(world.node, client, argv, 2);
    struct node_span span = node_output(world.node, watcher);
    const char end[] = "xx\"... (10 more bytes)\r\n";
    cr_assert_eq(memcmp(span.data + span.size - strlen(end), end, strlen(end)), 0);
    cr_assert_lt(span.size, size + 100);
    node_sent(world.node, watcher, span.size);
    mem_free(&world.mem, bytes, size);
    conversation_end(&world);
}
