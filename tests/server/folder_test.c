/*
 * folder_test.c - what a server keeps in its folder from one start to the next: keys, who it is, and that it is alone there.
 *
 * May touch: the server through harness.h and connection.h; its folder.
 * Must never know: the server's code, the bytes of its files.
 * Invariants: see harness.h.
 * Tests: it is one.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "connection.h"
#include "groups.h"
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_BYTES = 16384 };

/* A server that saves, in the folder `name` of the test; `extra` is one more option, or NULL. */
static struct server *start_in(struct test *test, const char *name, const char *extra, const char *value) {
    char path[HARNESS_PATH_BYTES];
    test_file(test, path, name, NULL);
    if (mkdir(path, 0700) != 0)
        CHECK(test, errno == EEXIST);
    const char *words[] = {"--dir", path, "--save", "3600", "1", extra, value, NULL};
    return server_start(test, words);
}

/* The same, but it is expected to end by itself. */
static struct outcome run_in(struct test *test, const char *name, const char *extra) {
    char path[HARNESS_PATH_BYTES], port[16];
    snprintf(port, sizeof(port), "%d", free_port(test));
    const char *words[] = {
        "--port", port,   "--bind", "127.0.0.1", "--dir", test_file(test, path, name, NULL),
        "--save", "3600", "1",      extra,       NULL};
    return binary_run(test, words, NULL);
}

static void run_command(struct test *test, const struct server *server, const char *wanted,
                        const char *command) {
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, wanted, command);
    redisFree(client);
}

static bool has_file(struct test *test, const char *name) {
    char path[HARNESS_PATH_BYTES];
    return access(test_file(test, path, name, NULL), F_OK) == 0;
}

/* Changes one byte in the middle. */
static void damage(struct test *test, const char *name) {
    char path[HARNESS_PATH_BYTES];
    FILE *file = fopen(test_file(test, path, name, NULL), "r+");
    CHECK(test, file != NULL && fseek(file, 0, SEEK_END) == 0);
    long middle = ftell(file) / 2;
    CHECK(test, fseek(file, middle, SEEK_SET) == 0);
    int byte = fgetc(file);
    CHECK(test, byte != EOF && fseek(file, middle, SEEK_SET) == 0 && fputc(byte ^ 0x55, file) != EOF);
    CHECK(test, fclose(file) == 0);
}

static void sigterm_saves_and_the_next_start_has_all_keys(struct test *test) {
    struct server *server = start_in(test, "data", NULL, NULL);
    run_command(test, server, "+OK", "MSET a 1 b 2");
    CHECK_EQUAL(test, server_stop(test, server), 0);
    server = start_in(test, "data", NULL, NULL);
    run_command(test, server, "[\"1\", \"2\", nil]", "MGET a b c");
}

static void sigint_saves_too(struct test *test) {
    struct server *server = start_in(test, "data", NULL, NULL);
    run_command(test, server, "+OK", "SET a 1");
    kill(server->pid, SIGINT);
    CHECK_EQUAL(test, server_wait_end(test, server), 0);
    server = start_in(test, "data", NULL, NULL);
    run_command(test, server, "\"1\"", "GET a");
}

static void without_save_rules_sigterm_saves_nothing(struct test *test) {
    struct server *server = start_in(test, "data", "--save", "");
    run_command(test, server, "+OK", "SET a 1");
    CHECK_EQUAL(test, server_stop(test, server), 0);
    CHECK(test, !has_file(test, "data/dump.rdb"));
    server = start_in(test, "data", NULL, NULL);
    run_command(test, server, "nil", "GET a");
}

/* A folder has the name of the temporary file. */
static void a_server_that_cannot_save_serves_on_until_it_can(struct test *test) {
    char path[HARNESS_PATH_BYTES], text[LOG_BYTES];
    struct server *server = start_in(test, "data", NULL, NULL);
    run_command(test, server, "+OK", "SET a 1");
    CHECK(test, mkdir(test_file(test, path, "data/dump.rdb.temporary", NULL), 0700) == 0);
    kill(server->pid, SIGTERM);
    EVENTUALLY(test, HARNESS_DEADLINE_MS,
               strstr(file_text(server->output, text, sizeof(text)), "it serves on") != NULL);
    CHECK_CONTAINS(test, text, "Is a directory");
    run_command(test, server, "\"1\"", "GET a");
    CHECK(test, rmdir(path) == 0);
    CHECK_EQUAL(test, server_stop(test, server), 0);
    server = start_in(test, "data", NULL, NULL);
    run_command(test, server, "\"1\"", "GET a");
}

static void a_node_keeps_its_id_and_counts_its_starts(struct test *test) {
    char text[LOG_BYTES], id[41], wanted[128];
    struct server *server = start_in(test, "data", NULL, NULL);
    const char *found = strstr(file_text(server->output, text, sizeof(text)), "This is a new node, ");
    CHECK(test, found != NULL);
    snprintf(id, sizeof(id), "%s", found + strlen("This is a new node, "));
    CHECK_EQUAL(test, strspn(id, "0123456789abcdef"), 40);
    for (int incarnation = 2; incarnation <= 4; incarnation++) {
        kill(server->pid, SIGKILL);
        server_wait_end(test, server);
        server = start_in(test, "data", NULL, NULL);
        snprintf(wanted, sizeof(wanted), "This is node %s, incarnation %d ", id, incarnation);
        CHECK_CONTAINS(test, file_text(server->output, text, sizeof(text)), wanted);
    }
}

static void a_damaged_identity_is_set_aside(struct test *test) {
    char text[LOG_BYTES];
    CHECK_EQUAL(test, server_stop(test, start_in(test, "data", NULL, NULL)), 0);
    damage(test, "data/dump.rdb.node");
    struct server *server = start_in(test, "data", NULL, NULL);
    CHECK_CONTAINS(
        test, file_text(server->output, text, sizeof(text)),
        "dump.rdb.node was damaged: it is named dump.rdb.node.damaged now, and this is a new node, ");
    CHECK(test, has_file(test, "data/dump.rdb.node.damaged"));
    CHECK(test, has_file(test, "data/dump.rdb.node"));
}

static void an_identity_that_cannot_be_kept_is_no_reason_not_to_serve(struct test *test) {
    char path[HARNESS_PATH_BYTES], text[LOG_BYTES];
    CHECK(test, mkdir(test_file(test, path, "data", NULL), 0700) == 0);
    CHECK(test, mkdir(test_file(test, path, "data/dump.rdb.node", NULL), 0700) == 0);
    struct server *server = start_in(test, "data", NULL, NULL);
    CHECK_MATCHES(
        test, file_text(server->output, text, sizeof(text)),
        "cannot be kept in .*/data/dump.rdb.node \\(Is a directory\\): it is a new node, [0-9a-f]{40}");
    run_command(test, server, "+OK", "SET a 1");
}

static void two_servers_do_not_save_to_the_same_file(struct test *test) {
    char path[HARNESS_PATH_BYTES], wanted[2 * HARNESS_PATH_BYTES];
    struct server *server = start_in(test, "data", NULL, NULL);
    run_command(test, server, "+OK", "SET a 1");
    struct outcome outcome = run_in(test, "data", NULL);
    CHECK_EQUAL(test, outcome.status, 1);
    snprintf(wanted, sizeof(wanted),
             "Another server keeps its data in %s/dump.rdb. Give this one another folder (--dir)",
             test_file(test, path, "data", NULL));
    CHECK_CONTAINS(test, outcome.output, wanted);
    start_in(test, "data", "--dbfilename", "another.rdb");
    start_in(test, "another", NULL, NULL);
    run_command(test, server, "\"1\"", "GET a");
}

static void a_server_without_save_rules_may_stand_beside_another(struct test *test) {
    char text[LOG_BYTES];
    start_in(test, "data", NULL, NULL);
    struct server *other = start_in(test, "data", "--save", "");
    CHECK_CONTAINS(test, file_text(other->output, text, sizeof(text)), "Another server keeps its data in ");
    CHECK_EQUAL(test, server_stop(test, other), 0);
}

static void a_damaged_checkpoint_gives_way_to_the_one_before(struct test *test) {
    char text[LOG_BYTES];
    struct server *server = start_in(test, "data", NULL, NULL);
    run_command(test, server, "+OK", "SET a 1");
    run_command(test, server, "+OK", "SAVE");
    run_command(test, server, "+OK", "SET a 2");
    CHECK_EQUAL(test, server_stop(test, server), 0);
    damage(test, "data/dump.rdb");
    server = start_in(test, "data", NULL, NULL);
    run_command(test, server, "\"1\"", "GET a");
    CHECK_CONTAINS(test, file_text(server->output, text, sizeof(text)), "dump.rdb is damaged");
    CHECK(test, has_file(test, "data/dump.rdb.damaged"));
}

static void without_a_valid_checkpoint_only_start_empty_starts(struct test *test) {
    struct server *server = start_in(test, "data", NULL, NULL);
    run_command(test, server, "+OK", "SET a 1");
    CHECK_EQUAL(test, server_stop(test, server), 0);
    damage(test, "data/dump.rdb");
    for (int i = 0; i < 2; i++) {
        struct outcome outcome = run_in(test, "data", NULL);
        CHECK_EQUAL(test, outcome.status, 1);
        CHECK_CONTAINS(test, outcome.output, "dump.rdb is damaged");
        CHECK_CONTAINS(test, outcome.output, "--start-empty");
    }
    server = start_in(test, "data", "--start-empty", NULL);
    run_command(test, server, ":0", "DBSIZE");
    CHECK(test, has_file(test, "data/dump.rdb.damaged"));
    CHECK_EQUAL(test, server_stop(test, server), 0);
    server = start_in(test, "data", NULL, NULL);
    run_command(test, server, ":0", "DBSIZE");
}

static void the_folder_is_changed_by_those_only_who_may(struct test *test) {
    char other[HARNESS_PATH_BYTES], command[2 * HARNESS_PATH_BYTES], wanted[2 * HARNESS_PATH_BYTES];
    CHECK(test, mkdir(test_file(test, other, "other", NULL), 0700) == 0);
    struct server *server = start_in(test, "data", "--save", "");
    run_command(test, server,
                "-ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config",
                "CONFIG SET dir ../other");
    CHECK_EQUAL(test, server_stop(test, server), 0);

    server = start_in(test, "data", "--enable-protected-configs", "local");
    run_command(test, server,
                "-ERR CONFIG SET failed (possibly related to argument 'dir') - No such file or directory",
                "CONFIG SET dir nowhere");
    run_command(test, server, "+OK", "CONFIG SET dir ../other");
    snprintf(wanted, sizeof(wanted), "[\"dir\", \"%s\"]", other);
    run_command(test, server, wanted, "CONFIG GET dir");
    run_command(test, server, "+OK", "SET a 1");
    run_command(test, server, "+OK", "SAVE");
    CHECK(test, has_file(test, "other/dump.rdb"));
    /* Another node may live there. */
    CHECK(test, !has_file(test, "other/dump.rdb.node"));
    /* All or nothing: the second setting is refused, the first is taken back. */
    struct server *neighbour = start_in(test, "neighbour", NULL, NULL);
    snprintf(command, sizeof(command), "CONFIG SET dir %s port %d", test->directory, neighbour->port);
    redisContext *client = client_open(test, server->port);
    char *refusal = client_text(test, client, command);
    CHECK_CONTAINS(test, refusal, "possibly related to argument 'port'");
    free(refusal);
    EXPECT(test, client, wanted, "CONFIG GET dir");
    EXPECT(test, client, "+OK", "SAVE");
    CHECK(test, has_file(test, "other/dump.rdb.previous"));
    redisFree(client);
}

static const struct test_case cases[] = {
    TEST_CASE(sigterm_saves_and_the_next_start_has_all_keys),
    TEST_CASE(sigint_saves_too),
    TEST_CASE(without_save_rules_sigterm_saves_nothing),
    TEST_CASE(a_server_that_cannot_save_serves_on_until_it_can),
    TEST_CASE(a_node_keeps_its_id_and_counts_its_starts),
    TEST_CASE(a_damaged_identity_is_set_aside),
    TEST_CASE(an_identity_that_cannot_be_kept_is_no_reason_not_to_serve),
    TEST_CASE(two_servers_do_not_save_to_the_same_file),
    TEST_CASE(a_server_without_save_rules_may_stand_beside_another),
    TEST_CASE(a_damaged_checkpoint_gives_way_to_the_one_before),
    TEST_CASE(without_a_valid_checkpoint_only_start_empty_starts),
    TEST_CASE(the_folder_is_changed_by_those_only_who_may),
    TEST_CASES_END,
};

const struct test_case *folder_tests(void) {
    return cases;
}
