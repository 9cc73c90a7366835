/* client_test.c - CLIENT's view of all connections.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/client_text.h"
#include "node/conversation.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define WITH_CLIENTS                                         \
    struct conversation world;                               \
    conversation_begin(&world);                              \
    struct session *client = conversation_client(&world, 1); \
    struct session *second = conversation_client(&world, 2); \
    struct session *third = conversation_client(&world, 0);  \
    (void)second;                                            \
    (void)third

#define EXPECT(line, expected) \
    cr_assert_str_eq(say(&world, client, line), expected, "%s -> %s", line, world.reply)

static unsigned count_lines(const char *text) {
    unsigned lines = 0;
    for (; (text = strstr(text, "id=")) != NULL && text[3] != '\0'; text++)
        lines += text[-1] == '\n';
    return lines;
}

Test(client, a_line_has_every_field_in_order) {
    static const char *const names[] = {"id",    "addr",  "laddr",     "fd",       "name",      "age",
                                        "idle",  "flags", "db",        "sub",      "psub",      "ssub",
                                        "multi", "qbuf",  "qbuf-free", "argv-mem", "multi-mem", "rbs",
                                        "rbp",   "obl",   "oll",       "omem",     "tot-mem",   "events",
                                        "cmd",   "user",  "redir",     "resp",     "lib-name",  "lib-ver"};
    WITH_CLIENTS;
    struct buffer text;
    buffer_init(&text, &world.mem);
    client_text_append(world.node, client, &text);
    buffer_append_byte(&text, 0);
    const char *at = (const char *)text.data;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size = strlen(names[i]);
        cr_assert(strncmp(at, names[i], size) == 0 && at[size] == '=', "%s is not at: %s", names[i], at);
        at += strcspn(at, " \n") + 1;
    }
    cr_assert_str_eq(at, "");
    buffer_release(&text);
    conversation_end(&world);
}

Test(client, the_line_tells_where_how_long_and_what) {
    WITH_CLIENTS;
    conversation_wait(&world, 2000);
    say(&world, client, "SELECT 4");
    conversation_wait(&world, 3500);
    const char *list = say(&world, second, "CLIENT LIST");
    cr_assert_not_null(
        strstr(list, "id=1 addr=127.0.0.1:1 laddr=127.0.0.1:6379 fd=9 name= age=5 idle=3 flags=N db=4 "));
    cr_assert_not_null(
        strstr(list, " events=r cmd=select user=default redir=-1 resp=2 lib-name= lib-ver=\n"));
    cr_assert_not_null(
        strstr(list, "id=3 addr=/test/socket:0 laddr=/test/socket:0 fd=9 name= age=5 idle=5 flags=U "));
    cr_assert_not_null(strstr(list, " cmd=NULL "));
    cr_assert_not_null(strstr(list, " cmd=client|list "));
    conversation_end(&world);
}

Test(client, a_list_can_be_cut_down_by_type_and_id) {
    WITH_CLIENTS;
    cr_assert_eq(count_lines(say(&world, client, "CLIENT LIST")), 3);
    cr_assert_eq(count_lines(say(&world, client, "CLIENT LIST TYPE normal")), 3);
    EXPECT("CLIENT LIST TYPE replica", "$0\r\n\r\n");
    EXPECT("CLIENT LIST TYPE nosuch", "-ERR Unknown client type 'nosuch'\r\n");
    EXPECT("CLIENT LIST TYPE", "-ERR syntax error\r\n");
    EXPECT("CLIENT LIST TYPE normal x", "-ERR syntax error\r\n");
    EXPECT("CLIENT LIST ID", "-ERR syntax error\r\n");
    EXPECT("CLIENT LIST ID 1 x", "-ERR Invalid client ID\r\n");
    EXPECT("CLIENT LIST ID -1 0 99", "$0\r\n\r\n");
    EXPECT("CLIENT LIST NOSUCH", "-ERR syntax error\r\n");
    const char *list = say(&world, client, "CLIENT LIST ID 3 99 1");
    cr_assert_eq(count_lines(list), 2);
    cr_assert_lt(strstr(list, "id=3 "), strstr(list, "id=1 "));
    conversation_end(&world);
}

Test(client, in_resp3_the_list_is_a_verbatim_text) {
    WITH_CLIENTS;
    say(&world, client, "HELLO 3");
    const char *list = say(&world, client, "CLIENT LIST ID 1");
    cr_assert_eq(list[0], '=');
    cr_assert_not_null(strstr(list, "\r\ntxt:id=1 "));
    conversation_end(&world);
}

/* ---- KILL ---- */

Test(client, kill_by_address_in_the_old_form) {
    WITH_CLIENTS;
    EXPECT("CLIENT KILL 1.2.3.4:5", "-ERR No such client\r\n");
    EXPECT("CLIENT KILL ID", "-ERR No such client\r\n");
    EXPECT("CLIENT KILL 127.0.0.1:2", "+OK\r\n");
    cr_assert(second->flags & SESSION_CLOSE_NOW);
    EXPECT("CLIENT KILL 127.0.0.1:2", "-ERR No such client\r\n");
    cr_assert_not(conversation_is_closing(client));
    EXPECT("CLIENT KILL 127.0.0.1:1", "+OK\r\n");
    cr_assert(client->flags & SESSION_CLOSE_AFTER_REPLY);
    cr_assert_not(client->flags & SESSION_CLOSE_NOW);
    conversation_end(&world);
}

Test(client, kill_by_filters_takes_those_that_fit_all) {
    WITH_CLIENTS;
    EXPECT("CLIENT KILL ID 2 ADDR 127.0.0.1:9", ":0\r\n");
    EXPECT("CLIENT KILL ID 2 TYPE pubsub", ":0\r\n");
    EXPECT("CLIENT KILL TYPE pubsub TYPE normal ID 2", ":1\r\n");
    EXPECT("CLIENT KILL ID 2", ":0\r\n");
    EXPECT("CLIENT KILL LADDR /test/socket:0 USER default", ":1\r\n");
    cr_assert(third->flags & SESSION_CLOSE_NOW);
    EXPECT("CLIENT KILL TYPE normal", ":0\r\n");
    EXPECT("CLIENT KILL SKIPME no TYPE normal", ":1\r\n");
    cr_assert(client->flags & SESSION_CLOSE_AFTER_REPLY);
    conversation_end(&world);
}

Test(client, who_is_killed_is_neither_listed_nor_counted) {
    WITH_CLIENTS;
    say(&world, client, "CLIENT KILL SKIPME yes");
    cr_assert_eq(count_lines(say(&world, client, "CLIENT LIST")), 1);
    EXPECT("CLIENT LIST ID 2 3", "$0\r\n\r\n");
    struct client_totals totals;
    client_totals_collect(world.node, &totals);
    cr_assert_eq(totals.connected, 1);
    conversation_end(&world);
}

Test(client, kill_refuses_filters_that_make_no_sense) {
    WITH_CLIENTS;
    EXPECT("CLIENT KILL ID 0 SKIPME no", "-ERR client-id should be greater than 0\r\n");
    EXPECT("CLIENT KILL ID x", "-ERR client-id should be greater than 0\r\n");
    EXPECT("CLIENT KILL TYPE nosuch", "-ERR Unknown client type 'nosuch'\r\n");
    EXPECT("CLIENT KILL USER nosuch", "-ERR No such user 'nosuch'\r\n");
    EXPECT("CLIENT KILL SKIPME maybe", "-ERR syntax error\r\n");
    EXPECT("CLIENT KILL NOSUCH x", "-ERR syntax error\r\n");
    EXPECT("CLIENT KILL ID 1 ID", "-ERR syntax error\r\n");
    cr_assert_not(conversation_is_closing(client));
    conversation_end(&world);
}

/* ---- PAUSE ---- */

Test(client, pause_refuses_nonsense) {
    WITH_CLIENTS;
    EXPECT("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range\r\n");
    EXPECT("CLIENT PAUSE -1", "-ERR timeout is negative\r\n");
    EXPECT("CLIENT PAUSE x nosuch", "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n");
    EXPECT("CLIENT PAUSE 1 ALL x",
           "-ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.\r\n");
    cr_assert_eq(world.node->pause_until_ms, 0);
    conversation_end(&world);
}

Test(client, a_pause_is_only_made_longer_and_stricter) {
    WITH_CLIENTS;
    uint64_t now_ms = world.node->monotonic_ms;
    EXPECT("CLIENT PAUSE 100 WRITE", "+OK\r\n");
    cr_assert(world.node->pause_writes_only);
    cr_assert_eq(world.node->pause_until_ms, now_ms + 100);
    EXPECT("CLIENT PAUSE 50 WRITE", "+OK\r\n");
    cr_assert_eq(world.node->pause_until_ms, now_ms + 100);
    EXPECT("CLIENT PAUSE 200 WRITE", "+OK\r\n");
    cr_assert_eq(world.node->pause_until_ms, now_ms + 200);
    EXPECT("CLIENT UNPAUSE", "+OK\r\n");
    cr_assert_eq(world.node->pause_until_ms, 0);
    cr_assert_not(world.node->keyspace->expiry_is_paused);
    EXPECT("CLIENT PAUSE 20 ALL", "+OK\r\n");
    cr_assert_not(world.node->pause_writes_only);
    conversation_wait(&world, 30);
    EXPECT("CLIENT PAUSE 9223372036854775807 WRITE", "+OK\r\n");
    cr_assert(world.node->pause_writes_only);
    EXPECT("GET a", "$-1\r\n");
    conversation_end(&world);
}

Test(client, while_paused_expired_keys_are_hidden_but_kept) {
    WITH_CLIENTS;
    EXPECT("SET a 1 PX 10", "+OK\r\n");
    EXPECT("CLIENT PAUSE 100 WRITE", "+OK\r\n");
    conversation_wait(&world, 20);
    EXPECT("GET a", "$-1\r\n");
    EXPECT("DBSIZE", ":1\r\n");
    conversation_wait(&world, 100);
    EXPECT("GET a", "$-1\r\n");
    EXPECT("DBSIZE", ":0\r\n");
    conversation_end(&world);
}

Test(client, unblock_finds_nobody_who_waits) {
    WITH_CLIENTS;
    EXPECT("CLIENT UNBLOCK 2", ":0\r\n");
    EXPECT("CLIENT UNBLOCK 2 ERROR", ":0\r\n");
    EXPECT("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("CLIENT UNBLOCK x nosuch", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n");
    EXPECT("CLIENT UNBLOCK 1 ERROR x",
           "-ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP.\r\n");
    conversation_end(&world);
}
