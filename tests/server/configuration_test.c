/*
 * configuration_test.c - configuration files: their syntax, what overrides what, errors, CONFIG REWRITE.
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

/* Starts a server from a file with this content, whose port is set behind it. */
static struct server *start_from_file(struct test *test, const char *path, const char *const *words) {
    char port_text[16];
    int port = free_port(test);
    snprintf(port_text, sizeof(port_text), "%d", port);
    const char *all[32] = {path, "--port", port_text};
    int count = 3;
    for (; *words && count < 31; words++)
        all[count++] = *words;
    struct server *server = server_spawn(test, all, NULL);
    server->port = port;
    server_wait_ready(test, server);
    return server;
}

static void a_file_configures_the_server_and_options_override_it(struct test *test) {
    char path[HARNESS_PATH_BYTES];
    test_file(test, path, "server.conf",
              "# a comment\n"
              "bind 127.0.0.1\n"
              "save \"\"\n"
              "\n"
              "   latency-monitor-threshold 7   \n"
              "MaxClients 321\n"
              "timeout 10\n"
              "timeout 20\n"
              "requirepass \"two words \\x21\\\"\"\n"
              "slowlog-max-len '64'\n");
    struct server *server = start_from_file(test, path, WORDS("--maxclients", "123", "--hz", "20"));
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "+OK", "AUTH %s", "two words !\"");
    EXPECT(test, client, "[\"latency-monitor-threshold\", \"7\"]", "CONFIG GET latency-monitor-threshold");
    EXPECT(test, client, "[\"maxclients\", \"123\"]", "CONFIG GET maxclients");
    EXPECT(test, client, "[\"timeout\", \"20\"]", "CONFIG GET timeout");
    EXPECT(test, client, "[\"hz\", \"20\"]", "CONFIG GET hz");
    EXPECT(test, client, "[\"slowlog-max-len\", \"64\"]", "CONFIG GET slowlog-max-len");
    redisFree(client);
}

static void a_minus_reads_the_configuration_from_stdin(struct test *test) {
    char path[HARNESS_PATH_BYTES], port_text[16];
    test_file(test, path, "stdin", "bind 127.0.0.1\nsave \"\"\nhz 50\nmaxclients 99\n");
    int port = free_port(test);
    snprintf(port_text, sizeof(port_text), "%d", port);
    struct server *server = server_spawn(test, WORDS("-", "--port", port_text, "--maxclients", "77"), path);
    server->port = port;
    server_wait_ready(test, server);
    redisContext *client = client_open(test, port);
    EXPECT(test, client, "[\"hz\", \"50\"]", "CONFIG GET hz");
    EXPECT(test, client, "[\"maxclients\", \"77\"]", "CONFIG GET maxclients");
    redisFree(client);
}

static void memory_has_units_of_1000_and_of_1024(struct test *test) {
    static const struct {
        const char *text, *bytes;
    } sizes[] = {
        {"123", "123"},        {"1k", "1000"},     {"1kb", "1024"},
        {"2m", "2000000"},     {"2mb", "2097152"}, {"1g", "1000000000"},
        {"1gb", "1073741824"}, {"3MB", "3145728"}, {"4096B", "4096"},
    };
    struct server *server = server_start(test, WORDS("--maxmemory", "100mb"));
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "[\"maxmemory\", \"104857600\"]", "CONFIG GET maxmemory");
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char wanted[64];
        EXPECT(test, client, "+OK", "CONFIG SET maxmemory %s", sizes[i].text);
        snprintf(wanted, sizeof(wanted), "[\"maxmemory\", \"%s\"]", sizes[i].bytes);
        EXPECT(test, client, wanted, "CONFIG GET maxmemory");
    }
    char *error = client_text(test, client, "CONFIG SET maxmemory 1tx");
    CHECK_CONTAINS(test, error, "ERR CONFIG SET failed");
    free(error);
    redisFree(client);
}

static void include_reads_another_file_and_all_that_match_a_pattern(struct test *test) {
    char path[HARNESS_PATH_BYTES], one[HARNESS_PATH_BYTES], two[HARNESS_PATH_BYTES], text[1024];
    test_file(test, one, "one.conf", "hz 60\ntimeout 1\n");
    test_file(test, two, "part-a.include", "maxclients 200\n");
    test_file(test, two, "part-b.include", "slowlog-max-len 33\n");
    snprintf(
        text, sizeof(text),
        "bind 127.0.0.1\nsave \"\"\ninclude %s\ntimeout 2\ninclude %s/part-*.include\ninclude %s/none-*.conf\n",
        one, test->directory, test->directory);
    test_file(test, path, "server.conf", text);
    struct server *server = start_from_file(test, path, WORDS());
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "[\"hz\", \"60\"]", "CONFIG GET hz");
    EXPECT(test, client, "[\"timeout\", \"2\"]", "CONFIG GET timeout");
    EXPECT(test, client, "[\"maxclients\", \"200\"]", "CONFIG GET maxclients");
    EXPECT(test, client, "[\"slowlog-max-len\", \"33\"]", "CONFIG GET slowlog-max-len");
    redisFree(client);
}

static void a_file_that_includes_itself_is_an_error_and_not_the_end_of_memory(struct test *test) {
    char path[HARNESS_PATH_BYTES], text[HARNESS_PATH_BYTES + 16];
    test_file(test, path, "server.conf", NULL);
    snprintf(text, sizeof(text), "include %s\n", path);
    test_file(test, path, "server.conf", text);
    struct outcome outcome = binary_run(test, WORDS(path, "--port", "0"), NULL);
    CHECK_EQUAL(test, outcome.status, 1);
    CHECK_CONTAINS(test, outcome.output, "include");
}

static void an_unknown_directive_is_fatal_and_its_line_is_named(struct test *test) {
    char path[HARNESS_PATH_BYTES];
    test_file(test, path, "server.conf", "# first\n\nport 0\nno-such-directive yes please\n");
    struct outcome outcome = binary_run(test, WORDS(path), NULL);
    CHECK_EQUAL(test, outcome.status, 1);
    CHECK_MATCHES(test, outcome.output, "^\\*\\*\\* FATAL CONFIG FILE ERROR .*\\*\\*\\*$");
    CHECK_CONTAINS(test, outcome.output, "at line 4\n");
    CHECK_CONTAINS(test, outcome.output, ">>> 'no-such-directive yes please'");
    CHECK_MATCHES(test, outcome.output, "^Bad directive or wrong number of arguments$");
}

static void bad_values_are_fatal_and_their_line_is_named(struct test *test) {
    static const char *const lines[] = {
        "port seven",
        "port 70000",
        "maxmemory 10xb",
        "appendonly perhaps",
        "maxmemory-policy none",
        "databases 0",
        "timeout -1",
        "maxclients",
        "port 1 2",
        "save 1",
        "loglevel loud",
        "logfile \"open",
        "unixsocketperm 9999",
        "include",
        "hz abc",
    };
    char path[HARNESS_PATH_BYTES], text[128];
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        snprintf(text, sizeof(text), "tcp-backlog 511\n%s\n", lines[i]);
        test_file(test, path, "server.conf", text);
        struct outcome outcome = binary_run(test, WORDS(path), NULL);
        CHECK_EQUAL(test, outcome.status, 1);
        CHECK_CONTAINS(test, outcome.output, "*** FATAL CONFIG FILE ERROR");
        CHECK_CONTAINS(test, outcome.output, lines[i]);
    }
}

static void a_file_that_is_not_there_is_fatal(struct test *test) {
    struct outcome outcome = binary_run(test, WORDS("/nowhere/server.conf"), NULL);
    CHECK_EQUAL(test, outcome.status, 1);
    CHECK_CONTAINS(test, outcome.output, "/nowhere/server.conf");
    CHECK_CONTAINS(test, outcome.output, "No such file or directory");
}

static void check_config_says_good_of_a_good_file_and_starts_nothing(struct test *test) {
    char path[HARNESS_PATH_BYTES], pid_path[HARNESS_PATH_BYTES], text[1024];
    test_file(test, pid_path, "pid", NULL);
    snprintf(text, sizeof(text), "port %d\nhz 30\npidfile %s\ndaemonize yes\n", free_port(test), pid_path);
    test_file(test, path, "server.conf", text);
    struct outcome outcome = binary_run(test, WORDS(path, "--check-config"), NULL);
    CHECK_EQUAL(test, outcome.status, 0);
    CHECK(test, access(pid_path, F_OK) != 0);
    CHECK(test, connection_try(free_port(test)) < 0);
    outcome = binary_run(test, WORDS(path, "--check-config", "--maxclients", "10"), NULL);
    CHECK_EQUAL(test, outcome.status, 0);
}

static void check_config_says_what_is_wrong_with_a_bad_file(struct test *test) {
    char path[HARNESS_PATH_BYTES];
    test_file(test, path, "server.conf", "port 6379\nmaxmemory lots\n");
    struct outcome outcome = binary_run(test, WORDS(path, "--check-config"), NULL);
    CHECK_EQUAL(test, outcome.status, 1);
    CHECK_CONTAINS(test, outcome.output, "line 2");
    CHECK_CONTAINS(test, outcome.output, "maxmemory lots");
    test_file(test, path, "server.conf", "port 6379\n");
    outcome = binary_run(test, WORDS(path, "--check-config", "--maxclients", "none"), NULL);
    CHECK_EQUAL(test, outcome.status, 1);
    CHECK_CONTAINS(test, outcome.output, "maxclients");
}

/* The directives that are set in the redis.conf of a Debian package, and others that are often set. */
static const char common_directives[] = "bind 127.0.0.1 -::1\n"
                                        "protected-mode yes\n"
                                        "tcp-backlog 511\n"
                                        "timeout 0\n"
                                        "tcp-keepalive 300\n"
                                        "daemonize no\n"
                                        "supervised no\n"
                                        "loglevel notice\n"
                                        "logfile \"\"\n"
                                        "databases 16\n"
                                        "always-show-logo no\n"
                                        "set-proc-title yes\n"
                                        "proc-title-template \"{title} {listen-addr} {server-mode}\"\n"
                                        "stop-writes-on-bgsave-error yes\n"
                                        "rdbcompression yes\n"
                                        "rdbchecksum yes\n"
                                        "dbfilename dump.rdb\n"
                                        "rdb-del-sync-files no\n"
                                        "replica-serve-stale-data yes\n"
                                        "replica-read-only yes\n"
                                        "repl-diskless-sync yes\n"
                                        "repl-diskless-sync-delay 5\n"
                                        "repl-diskless-sync-max-replicas 0\n"
                                        "repl-diskless-load disabled\n"
                                        "repl-disable-tcp-nodelay no\n"
                                        "replica-priority 100\n"
                                        "acllog-max-len 128\n"
                                        "lazyfree-lazy-eviction no\n"
                                        "lazyfree-lazy-expire no\n"
                                        "lazyfree-lazy-server-del no\n"
                                        "replica-lazy-flush no\n"
                                        "lazyfree-lazy-user-del no\n"
                                        "lazyfree-lazy-user-flush no\n"
                                        "oom-score-adj no\n"
                                        "oom-score-adj-values 0 200 800\n"
                                        "disable-thp yes\n"
                                        "appendonly no\n"
                                        "appendfilename \"appendonly.aof\"\n"
                                        "appenddirname \"appendonlydir\"\n"
                                        "appendfsync everysec\n"
                                        "no-appendfsync-on-rewrite no\n"
                                        "auto-aof-rewrite-percentage 100\n"
                                        "auto-aof-rewrite-min-size 64mb\n"
                                        "aof-load-truncated yes\n"
                                        "aof-use-rdb-preamble yes\n"
                                        "aof-timestamp-enabled no\n"
                                        "lua-time-limit 5000\n"
                                        "slowlog-log-slower-than 10000\n"
                                        "slowlog-max-len 128\n"
                                        "latency-monitor-threshold 0\n"
                                        "notify-keyspace-events \"\"\n"
                                        "hash-max-listpack-entries 512\n"
                                        "hash-max-listpack-value 64\n"
                                        "hash-max-ziplist-entries 512\n"
                                        "list-max-listpack-size -2\n"
                                        "list-compress-depth 0\n"
                                        "set-max-intset-entries 512\n"
                                        "zset-max-listpack-entries 128\n"
                                        "zset-max-listpack-value 64\n"
                                        "hll-sparse-max-bytes 3000\n"
                                        "stream-node-max-bytes 4096\n"
                                        "stream-node-max-entries 100\n"
                                        "activerehashing yes\n"
                                        "client-output-buffer-limit normal 0 0 0\n"
                                        "client-output-buffer-limit replica 256mb 64mb 60\n"
                                        "client-output-buffer-limit pubsub 32mb 8mb 60\n"
                                        "client-query-buffer-limit 1gb\n"
                                        "proto-max-bulk-len 512mb\n"
                                        "hz 10\n"
                                        "dynamic-hz yes\n"
                                        "aof-rewrite-incremental-fsync yes\n"
                                        "rdb-save-incremental-fsync yes\n"
                                        "lfu-log-factor 10\n"
                                        "lfu-decay-time 1\n"
                                        "maxmemory-samples 5\n"
                                        "activedefrag no\n"
                                        "jemalloc-bg-thread yes\n"
                                        "save 900 1 300 10 60 10000\n";

static void a_configuration_file_of_redis_starts_the_server(struct test *test) {
    char path[HARNESS_PATH_BYTES], line[128], name[64], text[1024];
    test_file(test, path, "redis.conf", common_directives);
    struct server *server = start_from_file(test, path, WORDS("--save", ""));
    redisContext *client = client_open(test, server->port);
    /* Each of them is reported: with one value as it was set, otherwise by name. */
    for (const char *next = common_directives; *next; next = strchr(next, '\n') + 1) {
        size_t size_bytes = (size_t)(strchr(next, '\n') - next);
        snprintf(line, sizeof(line), "%.*s", (int)size_bytes, next);
        CHECK(test, sscanf(line, "%63s", name) == 1);
        char *reply = client_text(test, client, "CONFIG GET %s", name);
        snprintf(text, sizeof(text), "[\"%s\", \"", name);
        CHECK_CONTAINS(test, reply, text);
        const char *value = strchr(line, ' ') + 1;
        if (!strpbrk(value, " \"bgm-") && strcmp(name, "bind") != 0) {
            snprintf(text, sizeof(text), "[\"%s\", \"%s\"]", name, value);
            CHECK_CONTAINS(test, reply, text);
        }
        free(reply);
    }
    redisFree(client);
}

static void config_set_changes_several_or_none(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "+OK", "CONFIG SET timeout 5 slowlog-max-len 9");
    char *error = client_text(test, client, "CONFIG SET timeout 6 slowlog-max-len many");
    CHECK_CONTAINS(test, error, "ERR CONFIG SET failed (possibly related to argument 'slowlog-max-len')");
    free(error);
    error = client_text(test, client, "CONFIG SET timeout 7 no-such-directive 1");
    CHECK_CONTAINS(test, error,
                   "ERR Unknown option or number of arguments for CONFIG SET - 'no-such-directive'");
    free(error);
    error = client_text(test, client, "CONFIG SET daemonize yes");
    CHECK_CONTAINS(test, error, "can't set immutable config");
    free(error);
    EXPECT(test, client, "[\"timeout\", \"5\"]", "CONFIG GET timeout");
    EXPECT(test, client, "[\"slowlog-max-len\", \"9\"]", "CONFIG GET slowlog-max-len");
    redisFree(client);
}

static void config_rewrite_keeps_comments_and_survives_a_restart(struct test *test) {
    char path[HARNESS_PATH_BYTES], text[7000];
    test_file(test, path, "server.conf",
              "# Kept: the first comment\n"
              "bind 127.0.0.1\n"
              "save \"\"\n"
              "\n"
              "# Kept: how many may come\n"
              "maxclients 300\n"
              "timeout 100\n"
              "#maxmemory 1gb\n");
    struct server *server = start_from_file(test, path, WORDS());
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "+OK", "CONFIG SET maxclients 400 slowlog-max-len 55 requirepass %s",
           "pass \"word\" \n#");
    EXPECT(test, client, "+OK", "CONFIG REWRITE");
    redisFree(client);
    CHECK_EQUAL(test, server_stop(test, server), 0);
    file_text(path, text, sizeof(text));
    CHECK_MATCHES(test, text, "^# Kept: the first comment$");
    CHECK_MATCHES(test, text, "^# Kept: how many may come$");
    CHECK_MATCHES(test, text, "^#maxmemory 1gb$");
    CHECK_MATCHES(test, text, "^maxclients 400$");
    CHECK_MATCHES(test, text, "^timeout 100$");
    CHECK_MATCHES(test, text, "^slowlog-max-len 55$");
    CHECK(test, !strstr(text, "maxclients 300"));
    CHECK(test, strstr(text, "# Kept: how many") < strstr(text, "maxclients 400"));

    server = start_from_file(test, path, WORDS());
    client = client_open(test, server->port);
    EXPECT(test, client, "+OK", "AUTH %s", "pass \"word\" \n#");
    EXPECT(test, client, "[\"maxclients\", \"400\"]", "CONFIG GET maxclients");
    EXPECT(test, client, "[\"timeout\", \"100\"]", "CONFIG GET timeout");
    EXPECT(test, client, "[\"slowlog-max-len\", \"55\"]", "CONFIG GET slowlog-max-len");
    redisFree(client);
}

static void a_second_config_rewrite_changes_nothing(struct test *test) {
    char path[HARNESS_PATH_BYTES], first[7000], second[7000];
    test_file(test, path, "server.conf", "bind 127.0.0.1\nsave \"\"\n\n# a comment\ntimeout 100\n");
    struct server *server = start_from_file(test, path, WORDS());
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "+OK", "CONFIG SET timeout 50 maxmemory 100mb requirepass %s", "a b");
    EXPECT(test, client, "+OK", "CONFIG REWRITE");
    file_text(path, first, sizeof(first));
    EXPECT(test, client, "+OK", "CONFIG REWRITE");
    CHECK(test, strcmp(first, file_text(path, second, sizeof(second))) == 0);
    redisFree(client);
    CHECK_EQUAL(test, server_stop(test, server), 0);
    server = start_from_file(test, path, WORDS());
    client = client_open(test, server->port);
    EXPECT(test, client, "+OK", "AUTH %s", "a b");
    EXPECT(test, client, "+OK", "CONFIG REWRITE");
    file_text(path, second, sizeof(second));
    if (strcmp(first, second) != 0)
        FAIL(test, "after a restart CONFIG REWRITE changed the file from\n%s\nto\n%s", first, second);
    redisFree(client);
}

static void config_rewrite_without_a_file_is_an_error(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "-ERR The server is running without a config file", "CONFIG REWRITE");
    redisFree(client);
}

static const struct test_case cases[] = {
    TEST_CASE(a_file_configures_the_server_and_options_override_it),
    TEST_CASE(a_minus_reads_the_configuration_from_stdin),
    TEST_CASE(memory_has_units_of_1000_and_of_1024),
    TEST_CASE(include_reads_another_file_and_all_that_match_a_pattern),
    TEST_CASE(a_file_that_includes_itself_is_an_error_and_not_the_end_of_memory),
    TEST_CASE(an_unknown_directive_is_fatal_and_its_line_is_named),
    TEST_CASE(bad_values_are_fatal_and_their_line_is_named),
    TEST_CASE(a_file_that_is_not_there_is_fatal),
    TEST_CASE(check_config_says_good_of_a_good_file_and_starts_nothing),
    TEST_CASE(check_config_says_what_is_wrong_with_a_bad_file),
    TEST_CASE(a_configuration_file_of_redis_starts_the_server),
    TEST_CASE(config_set_changes_several_or_none),
    TEST_CASE(config_rewrite_keeps_comments_and_survives_a_restart),
    TEST_CASE(a_second_config_rewrite_changes_nothing),
    TEST_CASE(config_rewrite_without_a_file_is_an_error),
    TEST_CASES_END,
};

const struct test_case *configuration_tests(void) {
    return cases;
}
