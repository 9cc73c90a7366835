/* connection_test.c - what a client says about its own connection.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/conversation.h"
#include "node/release.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define WRONG_PASSWORD "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
#define NOT_LOGGED_IN  "-NOAUTH Authentication required.\r\n"

#define WITH_CLIENT             \
    struct conversation world;  \
    conversation_begin(&world); \
    struct session *client = conversation_client(&world, 1)

#define EXPECT(line, expected) \
    cr_assert_str_eq(say(&world, client, line), expected, "%s -> %s", line, world.reply)

Test(connection, ping_and_echo_give_back_what_they_get) {
    WITH_CLIENT;
    EXPECT("PING", "+PONG\r\n");
    EXPECT("PING \"a b\"", "$3\r\na b\r\n");
    EXPECT("PING a b", "-ERR wrong number of arguments for 'ping' command\r\n");
    EXPECT("ECHO \"\"", "$0\r\n\r\n");
    conversation_end(&world);
}

Test(connection, quit_is_answered_then_it_ends) {
    WITH_CLIENT;
    EXPECT("QUIT", "+OK\r\n");
    cr_assert(node_wants_close(client));
    conversation_end(&world);
}

Test(connection, select_takes_the_databases_that_there_are) {
    WITH_CLIENT;
    EXPECT("SELECT 15", "+OK\r\n");
    EXPECT("SELECT 16", "-ERR DB index is out of range\r\n");
    EXPECT("SELECT -1", "-ERR DB index is out of range\r\n");
    EXPECT("SELECT a", "-ERR value is not an integer or out of range\r\n");
    EXPECT("SELECT 2147483648",
           "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
    cr_assert_eq(client->database, 15);
    conversation_end(&world);
}

Test(connection, a_browser_is_sent_away_without_an_answer) {
    WITH_CLIENT;
    EXPECT("POST / HTTP/1.1\r\nHost: x\r\nSET a 1", "");
    cr_assert(node_wants_close(client));
    struct session *other = conversation_client(&world, 2);
    cr_assert_str_eq(say(&world, other, "hOst: x"), "");
    cr_assert(node_wants_close(other));
    client = conversation_client(&world, 3);
    EXPECT("GET a", "$-1\r\n");
    conversation_end(&world);
}

/* ---- Names ---- */

Test(connection, a_name_is_printable_and_without_spaces) {
    WITH_CLIENT;
    EXPECT("CLIENT GETNAME", "$-1\r\n");
    EXPECT("CLIENT SETNAME me!~", "+OK\r\n");
    EXPECT("CLIENT SETNAME \"not me\"",
           "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
    EXPECT("CLIENT SETNAME \"a\\x7f\"",
           "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
    EXPECT("CLIENT GETNAME", "$4\r\nme!~\r\n");
    EXPECT("CLIENT SETNAME \"\"", "+OK\r\n");
    EXPECT("CLIENT GETNAME", "$-1\r\n");
    conversation_end(&world);
}

Test(connection, a_library_says_its_name_and_version) {
    WITH_CLIENT;
    EXPECT("CLIENT SETINFO lib-name ioredis", "+OK\r\n");
    EXPECT("CLIENT SETINFO LIB-VER 5.1", "+OK\r\n");
    EXPECT("CLIENT SETINFO lib-name \"a b\"",
           "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n");
    EXPECT("CLIENT SETINFO nosuch x", "-ERR Unrecognized option 'nosuch'\r\n");
    cr_assert_not_null(strstr(say(&world, client, "CLIENT INFO"), " resp=2 lib-name=ioredis lib-ver=5.1\n"));
    conversation_end(&world);
}

Test(connection, a_name_without_memory_stays_as_it_was) {
    WITH_CLIENT;
    EXPECT("CLIENT SETNAME old", "+OK\r\n");
    world.mem.fuse = 1;
    EXPECT("CLIENT SETNAME new", "-" ERROR_NO_MEMORY "\r\n");
    EXPECT("CLIENT GETNAME", "$3\r\nold\r\n");
    conversation_end(&world);
}

Test(connection, ids_are_given_in_order) {
    WITH_CLIENT;
    EXPECT("CLIENT ID", ":1\r\n");
    cr_assert_str_eq(say(&world, conversation_client(&world, 2), "CLIENT ID"), ":2\r\n");
    conversation_end(&world);
}

/* ---- HELLO ---- */

static void expect_hello(char text[256], int protocol, const char *head, const char *end) {
    snprintf(
        text, 256,
        "%s$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n%s\r\n$5\r\nproto\r\n:%d\r\n$2\r\nid\r\n:1\r\n"
        "$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n%s",
        head, REDIS_LEVEL_VERSION, protocol, end);
}

Test(connection, hello_tells_who_is_there_and_changes_the_protocol) {
    WITH_CLIENT;
    char expected[256];
    expect_hello(expected, 2, "*14\r\n", "");
    EXPECT("HELLO", expected);
    expect_hello(expected, 3, "%7\r\n", "");
    EXPECT("HELLO 3", expected);
    EXPECT("HELLO", expected);
    EXPECT("GET nosuch", "_\r\n");
    expect_hello(expected, 2, "*14\r\n", "");
    EXPECT("HELLO 2 SETNAME me", expected);
    EXPECT("CLIENT GETNAME", "$2\r\nme\r\n");
    conversation_end(&world);
}

Test(connection, hello_refuses_what_it_does_not_know) {
    WITH_CLIENT;
    EXPECT("HELLO abc", "-ERR Protocol version is not an integer or out of range\r\n");
    EXPECT("HELLO 1", "-NOPROTO unsupported protocol version\r\n");
    EXPECT("HELLO 4 NOSUCH", "-NOPROTO unsupported protocol version\r\n");
    EXPECT("HELLO 3 NOSUCH", "-ERR Syntax error in HELLO option 'NOSUCH'\r\n");
    EXPECT("HELLO 3 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'\r\n");
    EXPECT("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'\r\n");
    EXPECT("HELLO 3 SETNAME \"a b\"",
           "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
    EXPECT("HELLO 3 AUTH nosuch x", WRONG_PASSWORD);
    EXPECT("GET nosuch", "$-1\r\n");
    conversation_end(&world);
}

/* ---- Passwords ---- */

Test(connection, without_a_password_auth_is_a_mistake_but_the_default_user_may_in) {
    WITH_CLIENT;
    EXPECT(
        "AUTH x",
        "-ERR AUTH <password> called without any password configured for the default user. Are you sure your "
        "configuration is correct?\r\n");
    EXPECT("AUTH default x", "+OK\r\n");
    EXPECT("AUTH DEFAULT x", WRONG_PASSWORD);
    EXPECT("AUTH a b c", "-ERR syntax error\r\n");
    conversation_end(&world);
}

Test(connection, with_a_password_nothing_goes_without_it) {
    struct conversation world;
    conversation_begin(&world);
    struct session *administrator = conversation_client(&world, 9);
    say(&world, administrator, "CONFIG SET requirepass secret");
    struct session *client = conversation_client(&world, 1);
    EXPECT("PING", NOT_LOGGED_IN);
    EXPECT(
        "HELLO 3",
        "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> "
        "<pass> option can be used to authenticate the client and select the RESP protocol version at the "
        "same time\r\n");
    EXPECT("EXEC", "-EXECABORT Transaction discarded because of: NOAUTH Authentication required.\r\n");
    EXPECT("AUTH wrong", WRONG_PASSWORD);
    EXPECT("AUTH secre", WRONG_PASSWORD);
    EXPECT("AUTH secreT", WRONG_PASSWORD);
    EXPECT("AUTH secrets", WRONG_PASSWORD);
    EXPECT("AUTH \"\"", WRONG_PASSWORD);
    EXPECT("AUTH \"secret\\x00\"", WRONG_PASSWORD);
    EXPECT("AUTH nosuch secret", WRONG_PASSWORD);
    cr_assert_eq(world.node->statistics.auth_failures, 7);
    EXPECT("AUTH default secret", "+OK\r\n");
    EXPECT("PING", "+PONG\r\n");
    EXPECT("AUTH wrong", WRONG_PASSWORD);
    EXPECT("PING", "+PONG\r\n");
    EXPECT("RESET", "+RESET\r\n");
    EXPECT("PING", NOT_LOGGED_IN);
    cr_assert_eq(strncmp(say(&world, client, "HELLO 2 AUTH default secret"), "*14\r\n", 5), 0);
    EXPECT("PING", "+PONG\r\n");
    conversation_end(&world);
}

Test(connection, a_password_that_is_taken_away_lets_everybody_in) {
    struct conversation world;
    conversation_begin(&world);
    struct session *administrator = conversation_client(&world, 9);
    say(&world, administrator, "CONFIG SET requirepass secret");
    struct session *client = conversation_client(&world, 1);
    EXPECT("PING", NOT_LOGGED_IN);
    say(&world, administrator, "CONFIG SET requirepass \"\"");
    EXPECT("PING", "+PONG\r\n");
    say(&world, administrator, "CONFIG SET requirepass new");
    EXPECT("PING", NOT_LOGGED_IN);
    cr_assert_str_eq(say(&world, administrator, "PING"), "+PONG\r\n");
    say(&world, administrator, "CONFIG SET requirepass \"\"");
    EXPECT("RESET", "+RESET\r\n");
    say(&world, administrator, "CONFIG SET requirepass new");
    EXPECT("PING", "+PONG\r\n");
    conversation_end(&world);
}

/* ---- CLIENT REPLY, switches, RESET ---- */

Test(connection, replies_can_be_turned_off_and_on) {
    WITH_CLIENT;
    EXPECT("CLIENT REPLY OFF", "");
    EXPECT("PING", "");
    EXPECT("NOSUCH", "");
    EXPECT("CLIENT REPLY SKIP", "");
    EXPECT("CLIENT REPLY ON", "+OK\r\n");
    EXPECT("PING", "+PONG\r\n");
    EXPECT("CLIENT REPLY maybe", "-ERR syntax error\r\n");
    conversation_end(&world);
}

Test(connection, skip_swallows_the_next_reply_only) {
    WITH_CLIENT;
    EXPECT("CLIENT REPLY SKIP", "");
    EXPECT("PING", "");
    EXPECT("PING", "+PONG\r\n");
    EXPECT("CLIENT REPLY SKIP", "");
    EXPECT("CLIENT REPLY SKIP", "");
    EXPECT("PING", "");
    EXPECT("PING", "+PONG\r\n");
    EXPECT("CLIENT REPLY SKIP", "");
    EXPECT("CLIENT REPLY ON", "+OK\r\n");
    EXPECT("PING", "+PONG\r\n");
    EXPECT("CLIENT REPLY SKIP", "");
    EXPECT("RESET", "");
    EXPECT("PING", "+PONG\r\n");
    conversation_end(&world);
}

Test(connection, switches_are_seen_in_the_list) {
    WITH_CLIENT;
    EXPECT("CLIENT NO-EVICT on", "+OK\r\n");
    EXPECT("CLIENT NO-TOUCH ON", "+OK\r\n");
    EXPECT("CLIENT NO-TOUCH maybe", "-ERR syntax error\r\n");
    cr_assert_not_null(strstr(say(&world, client, "CLIENT INFO"), " flags=eT "));
    EXPECT("CLIENT NO-EVICT off", "+OK\r\n");
    EXPECT("CLIENT NO-TOUCH off", "+OK\r\n");
    cr_assert_not_null(strstr(say(&world, client, "CLIENT INFO"), " flags=N "));
    conversation_end(&world);
}

Test(connection, no_touch_leaves_access_times_alone) {
    WITH_CLIENT;
    EXPECT("SET a 1", "+OK\r\n");
    conversation_wait(&world, 5000);
    EXPECT("CLIENT NO-TOUCH on", "+OK\r\n");
    EXPECT("GET a", "$1\r\n1\r\n");
    EXPECT("OBJECT IDLETIME a", ":5\r\n");
    EXPECT("CLIENT NO-TOUCH off", "+OK\r\n");
    EXPECT("GET a", "$1\r\n1\r\n");
    EXPECT("OBJECT IDLETIME a", ":0\r\n");
    conversation_end(&world);
}

Test(connection, reset_makes_it_as_new) {
    WITH_CLIENT;
    say(&world, client, "HELLO 3 SETNAME me");
    say(&world, client, "SELECT 3");
    say(&world, client, "CLIENT NO-TOUCH on");
    say(&world, client, "CLIENT SETINFO lib-name x");
    say(&world, client, "WATCH a");
    say(&world, client, "MULTI");
    say(&world, client, "GET a");
    EXPECT("RESET", "+RESET\r\n");
    EXPECT("EXEC", "-ERR EXEC without MULTI\r\n");
    EXPECT("GET nosuch", "$-1\r\n");
    const char *line = say(&world, client, "CLIENT INFO");
    cr_assert_not_null(strstr(line, " name= "));
    cr_assert_not_null(strstr(line, " flags=N db=0 "));
    cr_assert_not_null(strstr(line, " lib-name=x "));
    cr_assert_eq(client->queued_bytes, 0);
    conversation_end(&world);
}
