/*
 * client_command_test.c - commands about connections and the whole server: CLIENT, MONITOR, SHUTDOWN, DEBUG.
 *
 * May touch: the server through harness.h and connection.h.
 * Must never know: the server's code.
 * Invariants: see harness.h.
 * Tests: it is one.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "connection.h"
#include "groups.h"
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long long own_id(struct test *test, int fd) {
    char line[64];
    connection_send_text(test, fd, "CLIENT ID\r\n");
    return atoll(connection_line(test, fd, line, sizeof(line)) + 1);
}

static void a_client_that_kills_itself_gets_the_answer_and_no_more(struct test *test) {
    struct server *server = server_start(test, WORDS());
    int fd = connection_open(test, server->port);
    char text[256];
    snprintf(text, sizeof(text), "SET a 1\r\nCLIENT KILL ID %lld SKIPME no\r\nSET a 2\r\nPING\r\n",
             own_id(test, fd));
    connection_send_text(test, fd, text);
    connection_until_closed(test, fd, text, sizeof(text));
    CHECK(test, strcmp(text, "+OK\r\n:1\r\n") == 0);
    redisContext *control = client_open(test, server->port);
    EXPECT(test, control, "\"1\"", "GET a");
    redisFree(control);
}

static void a_client_is_killed_in_the_middle_of_its_pipeline(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *control = client_open(test, server->port);
    EXPECT(test, control, "+OK", "SET large %s", "a value");
    EXPECT(test, control, ":1000000", "SETRANGE large 999999 x");
    for (int round = 0; round < 20; round++) {
        /* It has replies waiting that it does not read, and half a request. */
        int fd = connection_open(test, server->port);
        long long id = own_id(test, fd);
        for (int i = 0; i < 20; i++)
            connection_send_text(test, fd, "GET large\r\n");
        connection_send_text(test, fd, "*3\r\n$3\r\nSET\r\n");
        EXPECT(test, control, ":1", "CLIENT KILL ID %lld", id);
        EXPECT(test, control, ":0", "CLIENT KILL ID %lld", id);
        close(fd);
    }
    client_wait_alone(test, control);
    redisFree(control);
}

static void client_list_has_a_line_for_each_client_with_the_known_fields(struct test *test) {
    static const char *const fields[] = {"id=",       " addr=127.0.0.1:", " laddr=127.0.0.1:",
                                         " fd=",      " name=",           " age=",
                                         " idle=",    " flags=N ",        " db=0 ",
                                         " sub=0 ",   " psub=0 ",         " multi=-1 ",
                                         " qbuf=",    " qbuf-free=",      " obl=",
                                         " oll=",     " omem=",           " events=",
                                         " cmd=",     " user=default ",   " resp=2",
                                         " tot-mem=", " redir=-1"};
    struct server *server = server_start(test, WORDS());
    redisContext *control = client_open(test, server->port);
    redisContext *other = client_open(test, server->port);
    EXPECT(test, other, "+OK", "CLIENT SETNAME other");
    EXPECT(test, other, "+OK", "SELECT 7");
    EXPECT(test, other, "+OK", "MULTI");
    EXPECT(test, other, "+QUEUED", "PING");
    EVENTUALLY(test, HARNESS_DEADLINE_MS, client_info(test, control, "connected_clients") == 2);
    char *list = client_text(test, control, "CLIENT LIST");
    char *end = strchr(list, '\n');
    CHECK(test, end != NULL && strchr(end + 1, '\n') == list + strlen(list) - 1);
    CHECK_MATCHES(test, list, " name=other .* flags=x db=7 .* multi=1 .* cmd=ping ");
    CHECK_MATCHES(test, list, " cmd=client\\|list ");
    char *own = client_text(test, control, "CLIENT INFO");
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        CHECK_CONTAINS(test, own, fields[i]);
    free(list), free(own);
    redisFree(control), redisFree(other);
}

static void a_pause_of_writes_holds_writes_and_lets_reads_through(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *control = client_open(test, server->port);
    int writer = connection_open(test, server->port);
    EXPECT(test, control, "+OK", "SET a before");
    EXPECT(test, control, "+OK", "CLIENT PAUSE 60000 WRITE");
    connection_send_text(test, writer, "GET a\r\nSET a after\r\nGET a\r\n");
    connection_expect(test, writer, "$6\r\nbefore\r\n");
    for (int i = 0; i < 200; i++)
        EXPECT(test, control, "\"before\"", "GET a");
    CHECK(test, connection_is_silent(writer));
    EXPECT(test, control, "+OK", "CLIENT UNPAUSE");
    connection_expect(test, writer, "+OK\r\n$5\r\nafter\r\n");
    EXPECT(test, control, "+OK", "SET a 1");
    redisFree(control);
}

static void a_pause_of_all_ends_by_itself_on_time(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *control = client_open(test, server->port);
    int reader = connection_open(test, server->port);
    long long begin_ms = now_ms();
    EXPECT(test, control, "+OK", "CLIENT PAUSE 300");
    connection_send_text(test, reader, "GET a\r\nPING\r\n");
    connection_expect(test, reader, "$-1\r\n+PONG\r\n");
    CHECK_RANGE(test, now_ms() - begin_ms, 295, 3000);
    begin_ms = now_ms();
    EXPECT(test, control, "+OK", "CLIENT PAUSE 300 WRITE");
    connection_send_text(test, reader, "SET a 1\r\n");
    connection_expect(test, reader, "+OK\r\n");
    CHECK_RANGE(test, now_ms() - begin_ms, 295, 3000);
    redisFree(control);
}

static void clients_that_leave_during_a_pause_are_forgotten(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *control = client_open(test, server->port);
    EXPECT(test, control, "+OK", "CLIENT PAUSE 60000 WRITE");
    for (int i = 0; i < 50; i++) {
        int fd = connection_open(test, server->port);
        connection_send_text(test, fd, "SET left behind\r\n");
        i % 2 ? close(fd) : connection_reset(fd);
    }
    client_wait_alone(test, control);
    EXPECT(test, control, "+OK", "CLIENT UNPAUSE");
    EXPECT(test, control, "+OK", "SET a 1");
    EXPECT(test, control, ":0", "EXISTS left");
    redisFree(control);
}

static void replies_are_switched_off_skipped_and_on(struct test *test) {
    struct server *server = server_start(test, WORDS());
    int fd = connection_open(test, server->port);
    connection_send_text(test, fd,
                         "CLIENT REPLY OFF\r\nSET a 1\r\nINCR a\r\nNOSUCH\r\nCLIENT REPLY ON\r\nGET a\r\n");
    connection_expect(test, fd, "+OK\r\n$1\r\n2\r\n");
    connection_send_text(test, fd, "CLIENT REPLY SKIP\r\nINCR a\r\nINCR a\r\n");
    connection_expect(test, fd, ":4\r\n");
    connection_send_text(test, fd, "CLIENT REPLY SKIP\r\nGET\r\nCLIENT REPLY MAYBE\r\n");
    connection_expect(test, fd, "-ERR syntax error\r\n");
    connection_send_text(test, fd, "CLIENT REPLY ON\r\n");
    connection_expect(test, fd, "+OK\r\n");
    CHECK(test, connection_is_silent(fd));
}

static void monitor_shows_every_command_under_load_in_order(struct test *test) {
    enum { COMMANDS = 50000 };
    struct server *server = server_start(test, WORDS());
    int monitor = connection_open(test, server->port), fd = connection_open(test, server->port);
    connection_send_text(test, monitor, "MONITOR\r\n");
    connection_expect(test, monitor, "+OK\r\n");
    FILE *lines = fdopen(dup(monitor), "r");
    CHECK(test, lines != NULL);
    char text[256], wanted[64];
    for (int sent = 0, seen = 0; seen < COMMANDS;) {
        for (int end = sent + 1000; sent < end && sent < COMMANDS; sent++) {
            snprintf(text, sizeof(text), "SET key:%d %d\r\n", sent, sent);
            connection_send_text(test, fd, text);
        }
        for (int end = seen + 1000; seen < end; seen++) {
            snprintf(wanted, sizeof(wanted), "] \"SET\" \"key:%d\" \"%d\"\r\n", seen, seen);
            CHECK(test, fgets(text, sizeof(text), lines) != NULL);
            CHECK_CONTAINS(test, text, wanted);
        }
    }
    fclose(lines);
    for (int i = 0; i < COMMANDS / 1000; i++) {
        char replies[5 * 1000];
        connection_receive(test, fd, replies, sizeof(replies));
    }
    /* RESET ends the monitoring. */
    connection_send_text(test, monitor, "RESET\r\nPING\r\n");
    connection_expect(test, monitor, "+RESET\r\n+PONG\r\n");
}

static void shutdown_nosave_ends_the_server_without_a_reply_and_with_exit_0(struct test *test) {
    struct server *server = server_start(test, WORDS());
    int other = connection_open(test, server->port), fd = connection_open(test, server->port);
    char text[64];
    connection_send_text(test, fd, "SHUTDOWN NOSAVE\r\nPING\r\n");
    CHECK_EQUAL(test, server_wait_end(test, server), 0);
    CHECK(test, connection_until_closed(test, fd, text, sizeof(text))[0] == '\0');
    CHECK(test, connection_until_closed(test, other, text, sizeof(text))[0] == '\0');
    CHECK(test, connection_try(server->port) < 0);
}

static void shutdown_refuses_words_it_does_not_know(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "-ERR syntax error", "SHUTDOWN PERHAPS");
    EXPECT(test, client, "-ERR syntax error", "SHUTDOWN SAVE NOSAVE");
    EXPECT(test, client, "+PONG", "PING");
    redisFree(client);
}

static void debug_sleep_is_refused_or_sleeps_as_long_as_it_says(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *client = client_open(test, server->port);
    long long begin_ms = now_ms();
    char *answer = client_text(test, client, "DEBUG SLEEP 0.2");
    if (strcmp(answer, "OK") == 0)
        CHECK_RANGE(test, now_ms() - begin_ms, 195, 5000);
    else
        CHECK_CONTAINS(test, answer, "ERR DEBUG command not allowed");
    free(answer);
    EXPECT(test, client, "+PONG", "PING");
    redisFree(client);
    server_stop(test, server);

    server = server_start(test, WORDS("--enable-debug-command", "yes"));
    client = client_open(test, server->port);
    begin_ms = now_ms();
    EXPECT(test, client, "+OK", "DEBUG SLEEP 0.2");
    CHECK_RANGE(test, now_ms() - begin_ms, 195, 5000);
    redisFree(client);
}

static void reset_leaves_nothing_of_the_session(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *client = client_open(test, server->port), *other = client_open(test, server->port);
    EXPECT(test, client, "+OK", "CLIENT SETNAME somebody");
    EXPECT(test, client, "+OK", "SELECT 5");
    EXPECT(test, client, "+OK", "WATCH a");
    EXPECT(test, client, "+OK", "MULTI");
    EXPECT(test, client, "+QUEUED", "SET a 1");
    EXPECT(test, client, "+RESET", "RESET");
    EXPECT(test, client, "-ERR EXEC without MULTI", "EXEC");
    char *information = client_text(test, client, "CLIENT INFO");
    CHECK_MATCHES(test, information, " name= .* flags=N db=0 .* multi=-1 ");
    EXPECT(test, other, "+OK", "SET a 2");
    EXPECT(test, client, "+OK", "MULTI");
    EXPECT(test, client, "[]", "EXEC");
    free(information);
    redisFree(client), redisFree(other);
}

static const struct test_case cases[] = {
    TEST_CASE(a_client_that_kills_itself_gets_the_answer_and_no_more),
    TEST_CASE(a_client_is_killed_in_the_middle_of_its_pipeline),
    TEST_CASE(client_list_has_a_line_for_each_client_with_the_known_fields),
    TEST_CASE(a_pause_of_writes_holds_writes_and_lets_reads_through),
    TEST_CASE(a_pause_of_all_ends_by_itself_on_time),
    TEST_CASE(clients_that_leave_during_a_pause_are_forgotten),
    TEST_CASE(replies_are_switched_off_skipped_and_on),
    TEST_CASE(monitor_shows_every_command_under_load_in_order),
    TEST_CASE(shutdown_nosave_ends_the_server_without_a_reply_and_with_exit_0),
    TEST_CASE(shutdown_refuses_words_it_does_not_know),
    TEST_CASE(debug_sleep_is_refused_or_sleeps_as_long_as_it_says),
    TEST_CASE(reset_leaves_nothing_of_the_session),
    TEST_CASES_END,
};

const struct test_case *client_command_tests(void) {
    return cases;
}
