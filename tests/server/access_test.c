/*
 * access_test.c - who may do what: passwords, and what a client can make the server do before it has given one.
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
#include <sys/socket.h>
#include <unistd.h>

static const char no_auth[] = "-NOAUTH Authentication required.\r\n";
static const char wrong_password[] = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";

static struct server *start_guarded(struct test *test) {
    return server_start(test, WORDS("--requirepass", "secret"));
}

static void every_command_answers_noauth_before_login(struct test *test) {
    static const char *const commands[] = {
        "PING\r\n",    "GET a\r\n",       "SET a 1\r\n",  "INFO\r\n",    "CONFIG GET *\r\n", "MULTI\r\n",
        "MONITOR\r\n", "CLIENT LIST\r\n", "FLUSHALL\r\n", "COMMAND\r\n", "SELECT 1\r\n"};
    struct server *server = start_guarded(test);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        int fd = connection_open(test, server->port);
        connection_send_text(test, fd, commands[i]);
        connection_expect(test, fd, no_auth);
        close(fd);
    }
}

static void a_client_may_quit_and_reset_before_login(struct test *test) {
    struct server *server = start_guarded(test);
    int fd = connection_open(test, server->port);
    char text[64];
    connection_send_text(test, fd, "RESET\r\n");
    connection_expect(test, fd, "+RESET\r\n");
    connection_send_text(test, fd, "QUIT\r\n");
    connection_until_closed(test, fd, text, sizeof(text));
    CHECK(test, strcmp(text, "+OK\r\n") == 0);
}

static void auth_takes_a_password_with_and_without_the_default_user(struct test *test) {
    struct server *server = start_guarded(test);
    static const char *const logins[] = {"AUTH secret\r\n", "AUTH default secret\r\n",
                                         "*2\r\n$4\r\nauth\r\n$6\r\nsecret\r\n"};
    for (size_t i = 0; i < 3; i++) {
        int fd = connection_open(test, server->port);
        connection_send_text(test, fd, logins[i]);
        connection_expect(test, fd, "+OK\r\n");
        connection_send_text(test, fd, "PING\r\n");
        connection_expect(test, fd, "+PONG\r\n");
        close(fd);
    }
}

static void auth_refuses_wrong_passwords_and_other_users(struct test *test) {
    struct server *server = start_guarded(test);
    static const char *const logins[] = {
        "AUTH Secret\r\n",        "AUTH secret2\r\n",         "AUTH secre\r\n",       "AUTH \"\"\r\n",
        "AUTH default wrong\r\n", "AUTH somebody secret\r\n", "AUTH \"\" secret\r\n",
    };
    for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
        int fd = connection_open(test, server->port);
        connection_send_text(test, fd, logins[i]);
        connection_expect(test, fd, wrong_password);
        connection_send_text(test, fd, "GET a\r\n");
        connection_expect(test, fd, no_auth);
        connection_send_text(test, fd, "AUTH secret\r\nPING\r\n");
        connection_expect(test, fd, "+OK\r\n+PONG\r\n");
        close(fd);
    }
}

static void a_failed_auth_does_not_log_out(struct test *test) {
    struct server *server = start_guarded(test);
    int fd = connection_open(test, server->port);
    connection_send_text(test, fd, "AUTH secret\r\nAUTH wrong\r\nPING\r\n");
    connection_expect(test, fd, "+OK\r\n");
    connection_expect(test, fd, wrong_password);
    connection_expect(test, fd, "+PONG\r\n");
}

static void auth_without_a_password_set_says_so(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *client = client_open(test, server->port);
    EXPECT(
        test, client,
        "-ERR AUTH <password> called without any password configured for the default user. Are you sure your "
        "configuration is correct?",
        "AUTH secret");
    EXPECT(test, client, "+OK", "AUTH default anything");
    redisFree(client);
}

static void hello_logs_in_names_the_client_and_changes_the_protocol(struct test *test) {
    struct server *server = start_guarded(test);
    int fd = connection_open(test, server->port);
    char line[256];
    connection_send_text(test, fd, "HELLO 3\r\n");
    connection_line(test, fd, line, sizeof(line));
    CHECK_CONTAINS(test, line, "-NOAUTH HELLO must be called with the client already authenticated");
    connection_send_text(test, fd, "HELLO 3 AUTH default wrong\r\n");
    connection_expect(test, fd, wrong_password);
    connection_send_text(test, fd, "HELLO 4 AUTH default secret\r\n");
    connection_line(test, fd, line, sizeof(line));
    CHECK_CONTAINS(test, line, "-NOPROTO unsupported protocol version");
    connection_send_text(test, fd, "GET a\r\n");
    connection_expect(test, fd, no_auth);
    connection_send_text(test, fd, "HELLO 3 AUTH default secret SETNAME somebody\r\n");
    connection_expect(test, fd, "%7\r\n$6\r\nserver\r\n");
    while (strcmp(connection_line(test, fd, line, sizeof(line)), "*0") != 0)
        ; /* modules come last */
    connection_send_text(test, fd, "GET a\r\nCLIENT GETNAME\r\n");
    connection_expect(test, fd, "_\r\n$8\r\nsomebody\r\n");
}

static void a_new_password_holds_for_new_clients_and_leaves_the_others_logged_in(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *before = client_open(test, server->port);
    EXPECT(test, before, "+OK", "CONFIG SET requirepass secret");
    EXPECT(test, before, "+PONG", "PING");
    redisContext *after = client_open(test, server->port);
    EXPECT(test, after, "-NOAUTH Authentication required.", "PING");
    EXPECT(test, after, "+OK", "AUTH secret");
    EXPECT(test, after, "+OK", "CONFIG SET requirepass %s", "");
    redisContext *last = client_open(test, server->port);
    EXPECT(test, last, "+PONG", "PING");
    redisFree(before), redisFree(after), redisFree(last);
}

static void reset_logs_out(struct test *test) {
    struct server *server = start_guarded(test);
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "+OK", "AUTH secret");
    EXPECT(test, client, "+RESET", "RESET");
    EXPECT(test, client, "-NOAUTH Authentication required.", "PING");
    redisFree(client);
}

static void passwords_are_not_shown_by_monitor_slowlog_client_list_or_the_log(struct test *test) {
    struct server *server = server_start(
        test, WORDS("--requirepass", "secret", "--slowlog-log-slower-than", "0", "--loglevel", "debug"));
    redisContext *control = client_open(test, server->port);
    EXPECT(test, control, "+OK", "AUTH secret");
    int monitor = connection_open(test, server->port), fd = connection_open(test, server->port);
    connection_send_text(test, monitor, "AUTH secret\r\nMONITOR\r\n");
    connection_expect(test, monitor, "+OK\r\n+OK\r\n");
    connection_send_text(test, fd,
                         "AUTH secret\r\nHELLO 2 AUTH default secret\r\nAUTH secret-no\r\nECHO end\r\n");
    char line[1024], text[8192];
    while (!strstr(connection_line(test, monitor, line, sizeof(line)), "\"ECHO\" \"end\""))
        CHECK(test, !strstr(line, "secret"));
    char *slow = client_text(test, control, "SLOWLOG GET 100");
    CHECK_CONTAINS(test, slow, "\"ECHO\"");
    CHECK(test, !strstr(slow, "secret"));
    char *list = client_text(test, control, "CLIENT LIST");
    CHECK(test, !strstr(list, "secret"));
    CHECK(test, !strstr(file_text(server->output, text, sizeof(text)), "secret"));
    free(slow), free(list);
    redisFree(control);
}

static void before_login_an_array_has_at_most_10_items(struct test *test) {
    struct server *server = start_guarded(test);
    int fd = connection_open(test, server->port);
    char text[256];
    connection_send_text(test, fd, "*10\r\n$4\r\nMGET\r\n");
    for (int i = 0; i < 9; i++)
        connection_send_text(test, fd, "$1\r\na\r\n");
    connection_expect(test, fd, no_auth);
    connection_send_text(test, fd, "*11\r\n");
    connection_until_closed(test, fd, text, sizeof(text));
    CHECK(test, strcmp(text, "-ERR Protocol error: unauthenticated multibulk length\r\n") == 0);
    fd = connection_open(test, server->port);
    connection_send_text(test, fd, "AUTH secret\r\n*11\r\n$4\r\nMGET\r\n");
    for (int i = 0; i < 10; i++)
        connection_send_text(test, fd, "$1\r\na\r\n");
    connection_expect(test, fd, "+OK\r\n*10\r\n$-1\r\n");
}

static void before_login_a_word_has_at_most_16_kib(struct test *test) {
    struct server *server = start_guarded(test);
    char *value = malloc(16385), text[256];
    CHECK(test, value != NULL);
    memset(value, 'x', 16384);
    value[16384] = '\0';
    int fd = connection_open(test, server->port);
    connection_send_text(test, fd, "*2\r\n$4\r\nECHO\r\n$16384\r\n");
    connection_send_text(test, fd, value);
    connection_send_text(test, fd, "\r\n");
    connection_expect(test, fd, no_auth);
    connection_send_text(test, fd, "*2\r\n$4\r\nECHO\r\n$16385\r\n");
    connection_until_closed(test, fd, text, sizeof(text));
    CHECK(test, strcmp(text, "-ERR Protocol error: unauthenticated bulk length\r\n") == 0);
    fd = connection_open(test, server->port);
    connection_send_text(test, fd, "AUTH secret\r\n*2\r\n$4\r\nECHO\r\n$16385\r\n");
    connection_send_text(test, fd, value);
    connection_send_text(test, fd, "x\r\n");
    connection_expect(test, fd, "+OK\r\n$16385\r\nxxx");
    free(value);
}

static void before_login_a_client_that_never_reads_is_cut_early(struct test *test) {
    struct server *server = start_guarded(test);
    long long before_bytes = process_rss_bytes(test, server->pid);
    int fd = connection_open(test, server->port);
    char pings[6 * 1000];
    for (int i = 0; i < 1000; i++)
        memcpy(pings + i * 6, "PING\r\n", 6);
    /* 120 MB of requests would be 660 MB of errors. */
    long long sent_bytes = 0;
    while (sent_bytes < 120LL * 1000 * 1000) {
        ssize_t sent = send(fd, pings, sizeof(pings), MSG_NOSIGNAL);
        if (sent <= 0)
            break;
        sent_bytes += sent;
    }
    CHECK_RANGE(test, sent_bytes, 6, 100LL * 1000 * 1000);
    EVENTUALLY(test, HARNESS_DEADLINE_MS, send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0);
    CHECK(test, process_grew_at_most(test, server->pid, before_bytes, 16 << 20));
    redisContext *control = client_open(test, server->port);
    EXPECT(test, control, "+OK", "AUTH secret");
    client_wait_alone(test, control);
    redisFree(control);
}

/* Whether the server has read so many bytes since `begin_bytes`, not counting those of the question itself. */
static bool has_read(struct test *test, redisContext *control, long long begin_bytes, long long bytes,
                     int *asked) {
    enum { QUESTION_BYTES = 31 }; /* *2 $4 INFO $10 everything */
    return client_info(test, control, "total_net_input_bytes") - begin_bytes >=
           bytes + ++*asked * QUESTION_BYTES;
}

/* Opens 1,000 connections that each send this and no more; the server's memory must not follow what they announce. */
static void expect_little_growth(struct test *test, struct server *server, const char *text) {
    enum { CLIENTS = 1000, MOST_BYTES = 64 << 20 };
    int asked = 0;
    redisContext *control = client_open(test, server->port);
    char *answer = client_text(test, control, "AUTH secret");
    free(answer);
    long long begin_bytes = client_info(test, control, "total_net_input_bytes");
    long long before_bytes = process_rss_bytes(test, server->pid);
    for (int i = 0; i < CLIENTS; i++) {
        connection_send_text(test, connection_open(test, server->port), text);
        CHECK(test, process_grew_at_most(test, server->pid, before_bytes, MOST_BYTES));
    }
    EVENTUALLY(test, HARNESS_DEADLINE_MS,
               has_read(test, control, begin_bytes, CLIENTS * (long long)strlen(text), &asked));
    CHECK(test, process_grew_at_most(test, server->pid, before_bytes, MOST_BYTES));
    EXPECT(test, control, "+OK", "SET still alive");
    redisFree(control);
}

static void a_thousand_clients_that_send_huge_lengths_before_login_take_no_memory(struct test *test) {
    struct server *server = start_guarded(test);
    expect_little_growth(test, server, "*1000000\r\n$500000000\r\n");
    expect_little_growth(test, server, "*10\r\n$16384\r\n");
}

static void a_thousand_clients_that_send_huge_lengths_after_login_take_no_memory(struct test *test) {
    struct server *server = start_guarded(test);
    static const char header[] = "AUTH secret\r\n*1000000\r\n$500000000\r\n";
    expect_little_growth(test, server, header);
}

static void a_thousand_clients_that_send_huge_allowed_lengths_take_no_memory(struct test *test) {
    struct server *server = server_start(test, WORDS("--proto-max-bulk-len", "512mb"));
    expect_little_growth(test, server, "*1000000\r\n$500000000\r\n");
    static const char begun[] = "*1000000\r\n$4\r\nMGET\r\n$500000000\r\nthe beginning of a value";
    expect_little_growth(test, server, begun);
}

static const struct test_case cases[] = {
    TEST_CASE(every_command_answers_noauth_before_login),
    TEST_CASE(a_client_may_quit_and_reset_before_login),
    TEST_CASE(auth_takes_a_password_with_and_without_the_default_user),
    TEST_CASE(auth_refuses_wrong_passwords_and_other_users),
    TEST_CASE(a_failed_auth_does_not_log_out),
    TEST_CASE(auth_without_a_password_set_says_so),
    TEST_CASE(hello_logs_in_names_the_client_and_changes_the_protocol),
    TEST_CASE(a_new_password_holds_for_new_clients_and_leaves_the_others_logged_in),
    TEST_CASE(reset_logs_out),
    TEST_CASE(passwords_are_not_shown_by_monitor_slowlog_client_list_or_the_log),
    TEST_CASE(before_login_an_array_has_at_most_10_items),
    TEST_CASE(before_login_a_word_has_at_most_16_kib),
    TEST_CASE(before_login_a_client_that_never_reads_is_cut_early),
    TEST_CASE(a_thousand_clients_that_send_huge_lengths_before_login_take_no_memory),
    TEST_CASE(a_thousand_clients_that_send_huge_lengths_after_login_take_no_memory),
    TEST_CASE(a_thousand_clients_that_send_huge_allowed_lengths_take_no_memory),
    TEST_CASES_END,
};

const struct test_case *access_tests(void) {
    return cases;
}
