/*
 * startup_test.c - how the server starts and ends: options, signals, exit status, pidfile, log file, daemon.
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

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void version_is_one_line_with_a_number(struct test *test) {
    const char *const options[] = {"--version", "-v"};
    for (size_t i = 0; i < 2; i++) {
        struct outcome outcome = binary_run(test, WORDS(options[i]), NULL);
        CHECK_EQUAL(test, outcome.status, 0);
        CHECK_MATCHES(test, outcome.output, "^[A-Za-z].* v=[0-9]+\\.[0-9]+\\.[0-9]+ sha=[0-9a-f]+");
        CHECK(test, strchr(outcome.output, '\n') == outcome.output + strlen(outcome.output) - 1);
    }
}

static void help_shows_the_usage_and_exits_with_0(struct test *test) {
    const char *const options[] = {"--help", "-h"};
    for (size_t i = 0; i < 2; i++) {
        struct outcome outcome = binary_run(test, WORDS(options[i]), NULL);
        CHECK_EQUAL(test, outcome.status, 0);
        CHECK_MATCHES(test, outcome.output, "^Usage: ");
        CHECK_CONTAINS(test, outcome.output, "--version");
        CHECK_CONTAINS(test, outcome.output, "--check-config");
        CHECK_CONTAINS(test, outcome.output, "--start-empty");
    }
}

static void an_unknown_option_is_fatal(struct test *test) {
    struct outcome outcome = binary_run(test, WORDS("--port", "0", "--no-such-directive", "1"), NULL);
    CHECK_EQUAL(test, outcome.status, 1);
    CHECK_CONTAINS(test, outcome.output, "*** FATAL CONFIG FILE ERROR");
    CHECK_CONTAINS(test, outcome.output, "no-such-directive");
}

static void options_take_several_values_and_empty_ones(struct test *test) {
    struct server *server =
        server_start(test, WORDS("--save", "900", "1", "--maxclients", "44", "--requirepass", ""));
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "[\"maxclients\", \"44\"]", "CONFIG GET maxclients");
    EXPECT(test, client, "[\"save\", \"900 1\"]", "CONFIG GET save");
    EXPECT(test, client, "[\"requirepass\", \"\"]", "CONFIG GET requirepass");
    redisFree(client);
}

static void sigterm_ends_the_server_with_exit_0(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "+PONG", "PING");
    CHECK_EQUAL(test, server_stop(test, server), 0);
    char text[16];
    connection_until_closed(test, client->fd, text, sizeof(text));
}

static void sigint_ends_the_server_with_exit_0(struct test *test) {
    struct server *server = server_start(test, WORDS());
    kill(server->pid, SIGINT);
    CHECK_EQUAL(test, server_wait_end(test, server), 0);
}

static void sigterm_ends_the_server_under_load_with_exit_0(struct test *test) {
    struct server *server = server_start(test, WORDS());
    int busy = connection_open(test, server->port);
    for (int i = 0; i < 20000; i++)
        connection_send_text(test, busy, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n");
    CHECK_EQUAL(test, server_stop(test, server), 0);
}

static void sighup_and_sigpipe_change_nothing(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "+OK", "SET a 1");
    for (int i = 0; i < 3; i++) {
        kill(server->pid, SIGHUP);
        kill(server->pid, SIGPIPE);
        EXPECT(test, client, "\"1\"", "GET a");
    }
    CHECK(test, server_runs(server));
    redisFree(client);
    CHECK_EQUAL(test, server_stop(test, server), 0);
}

static void a_port_in_use_is_a_clear_error_and_exit_1(struct test *test) {
    struct server *server = server_start(test, WORDS());
    char port[16];
    snprintf(port, sizeof(port), "%d", server->port);
    struct outcome outcome = binary_run(test, WORDS("--port", port, "--bind", "127.0.0.1"), NULL);
    CHECK_EQUAL(test, outcome.status, 1);
    CHECK_CONTAINS(test, outcome.output, port);
    CHECK_CONTAINS(test, outcome.output, "Address already in use");
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "+PONG", "PING");
    redisFree(client);
}

static void an_address_of_another_machine_is_a_clear_error_and_exit_1(struct test *test) {
    char port[16];
    snprintf(port, sizeof(port), "%d", free_port(test));
    struct outcome outcome = binary_run(test, WORDS("--port", port, "--bind", "203.0.113.77"), NULL);
    CHECK_EQUAL(test, outcome.status, 1);
    CHECK_CONTAINS(test, outcome.output, "203.0.113.77");
}

static void a_working_directory_that_is_not_there_is_an_error_and_exit_1(struct test *test) {
    struct outcome outcome = binary_run(test, WORDS("--port", "0", "--dir", "/nowhere/at/all"), NULL);
    CHECK_EQUAL(test, outcome.status, 1);
    CHECK_CONTAINS(test, outcome.output, "/nowhere/at/all");
    CHECK_CONTAINS(test, outcome.output, "No such file or directory");
}

static void the_pidfile_has_the_pid_and_goes_with_the_server(struct test *test) {
    char path[HARNESS_PATH_BYTES], text[32];
    test_file(test, path, "pid", NULL);
    struct server *server = server_start(test, WORDS("--pidfile", path));
    CHECK_EQUAL(test, atoi(file_text(path, text, sizeof(text))), server->pid);
    CHECK_EQUAL(test, server_stop(test, server), 0);
    CHECK(test, access(path, F_OK) != 0);
}

static void the_log_goes_to_the_logfile_line_by_line(struct test *test) {
    char path[HARNESS_PATH_BYTES], text[4096];
    test_file(test, path, "log", "kept from before\n");
    struct server *server = server_start(test, WORDS("--logfile", path, "--loglevel", "verbose"));
    CHECK_EQUAL(test, server_stop(test, server), 0);
    CHECK(test, file_text(server->output, text, sizeof(text))[0] == '\0');
    file_text(path, text, sizeof(text));
    CHECK_MATCHES(test, text, "^kept from before$");
    CHECK_MATCHES(
        test, text,
        "^[0-9]+:[A-Z] [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} [.*#-] .");
    char own[32];
    snprintf(own, sizeof(own), "%d:", (int)server->pid);
    CHECK_CONTAINS(test, text, own);
}

static void the_log_goes_to_stdout_without_a_logfile(struct test *test) {
    char text[4096];
    struct server *server = server_start(test, WORDS());
    CHECK_EQUAL(test, server_stop(test, server), 0);
    CHECK_MATCHES(test, file_text(server->output, text, sizeof(text)), "^[0-9]+:[A-Z] .* [.*#-] ");
}

static bool process_is_gone(int pid) {
    return kill(pid, 0) != 0;
}

static void daemonize_leaves_a_server_behind_and_returns_0(struct test *test) {
    char pid_path[HARNESS_PATH_BYTES], log_path[HARNESS_PATH_BYTES], text[32], port_text[16];
    test_file(test, pid_path, "pid", NULL);
    test_file(test, log_path, "log", NULL);
    int port = free_port(test);
    snprintf(port_text, sizeof(port_text), "%d", port);
    struct outcome outcome =
        binary_run(test,
                   WORDS("--port", port_text, "--bind", "127.0.0.1", "--daemonize", "yes", "--pidfile",
                         pid_path, "--logfile", log_path, "--save", "", "--dir", test->directory),
                   NULL);
    CHECK_EQUAL(test, outcome.status, 0);
    int fd = -1;
    EVENTUALLY(test, HARNESS_DEADLINE_MS, (fd = connection_try(port)) >= 0);
    connection_send_text(test, fd, "PING\r\n");
    connection_expect(test, fd, "+PONG\r\n");
    EVENTUALLY(test, HARNESS_DEADLINE_MS, atoi(file_text(pid_path, text, sizeof(text))) > 1);
    int pid = atoi(text);
    redisContext *client = client_open(test, port);
    CHECK_EQUAL(test, client_info(test, client, "process_id"), pid);
    CHECK(test, getsid(pid) == pid || getsid(pid) != getsid(0));
    /* It holds nothing of the terminal that started it. */
    char link[64], target[HARNESS_PATH_BYTES];
    snprintf(link, sizeof(link), "/proc/%d/fd/0", pid);
    ssize_t size_bytes = readlink(link, target, sizeof(target) - 1);
    CHECK(test, size_bytes > 0);
    target[size_bytes] = '\0';
    CHECK_CONTAINS(test, target, "/dev/null");
    kill(pid, SIGTERM);
    EVENTUALLY(test, HARNESS_DEADLINE_MS, process_is_gone(pid) || connection_try(port) < 0);
    EVENTUALLY(test, HARNESS_DEADLINE_MS, access(pid_path, F_OK) != 0);
}

static void a_daemon_that_cannot_listen_does_not_stay(struct test *test) {
    struct server *server = server_start(test, WORDS());
    char port[16], pid_path[HARNESS_PATH_BYTES], log_path[HARNESS_PATH_BYTES], text[4096];
    snprintf(port, sizeof(port), "%d", server->port);
    test_file(test, pid_path, "pid", NULL);
    test_file(test, log_path, "log", NULL);
    binary_run(test,
               WORDS("--port", port, "--bind", "127.0.0.1", "--daemonize", "yes", "--pidfile", pid_path,
                     "--logfile", log_path),
               NULL);
    EVENTUALLY(test, HARNESS_DEADLINE_MS,
               strstr(file_text(log_path, text, sizeof(text)), "Address already in use") != NULL);
}

static void the_working_directory_is_changed_to(struct test *test) {
    struct server *server = server_start(test, WORDS());
    char link[64], target[HARNESS_PATH_BYTES], wanted[HARNESS_PATH_BYTES * 2];
    snprintf(link, sizeof(link), "/proc/%d/cwd", (int)server->pid);
    ssize_t size_bytes = readlink(link, target, sizeof(target) - 1);
    CHECK(test, size_bytes > 0);
    target[size_bytes] = '\0';
    CHECK(test, strcmp(target, server->directory) == 0);
    redisContext *client = client_open(test, server->port);
    snprintf(wanted, sizeof(wanted), "[\"dir\", \"%s\"]", server->directory);
    EXPECT(test, client, wanted, "CONFIG GET dir");
    redisFree(client);
}

static const struct test_case cases[] = {
    TEST_CASE(version_is_one_line_with_a_number),
    TEST_CASE(help_shows_the_usage_and_exits_with_0),
    TEST_CASE(an_unknown_option_is_fatal),
    TEST_CASE(options_take_several_values_and_empty_ones),
    TEST_CASE(sigterm_ends_the_server_with_exit_0),
    TEST_CASE(sigint_ends_the_server_with_exit_0),
    TEST_CASE(sigterm_ends_the_server_under_load_with_exit_0),
    TEST_CASE(sighup_and_sigpipe_change_nothing),
    TEST_CASE(a_port_in_use_is_a_clear_error_and_exit_1),
    TEST_CASE(an_address_of_another_machine_is_a_clear_error_and_exit_1),
    TEST_CASE(a_working_directory_that_is_not_there_is_an_error_and_exit_1),
    TEST_CASE(the_pidfile_has_the_pid_and_goes_with_the_server),
    TEST_CASE(the_log_goes_to_the_logfile_line_by_line),
    TEST_CASE(the_log_goes_to_stdout_without_a_logfile),
    TEST_CASE(daemonize_leaves_a_server_behind_and_returns_0),
    TEST_CASE(a_daemon_that_cannot_listen_does_not_stay),
    TEST_CASE(the_working_directory_is_changed_to),
    TEST_CASES_END,
};

const struct test_case *startup_tests(void) {
    return cases;
}
