/*
 * request_test.c - requests as clients send them: pipelines of any length, in pieces of any size, cut off, broken.
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

/* A request that is repeated; the caller frees it. */
static char *repeated(struct test *test, const char *text, size_t times) {
    size_t size_bytes = strlen(text);
    char *all = malloc(size_bytes * times + 1);
    CHECK(test, all != NULL);
    for (size_t i = 0; i < times; i++)
        memcpy(all + i * size_bytes, text, size_bytes);
    all[size_bytes * times] = '\0';
    return all;
}

static void a_pipeline_of_1000000_commands_is_written_whole_before_a_reply_is_read(struct test *test) {
    enum { COMMANDS = 1000000 };
    struct server *server = server_start(test, WORDS());
    int fd = connection_open(test, server->port);
    char *requests = repeated(test, "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n", COMMANDS);
    connection_send(test, fd, requests, strlen(requests));
    free(requests);
    /* The replies have as many bytes as the numbers from 1 to 1,000,000 have digits, and three more each. */
    size_t size_bytes = 0;
    char *wanted = malloc(COMMANDS * 10), *got = malloc(COMMANDS * 10);
    CHECK(test, wanted && got);
    for (int number = 1; number <= COMMANDS; number++)
        size_bytes += (size_t)sprintf(wanted + size_bytes, ":%d\r\n", number);
    connection_receive(test, fd, got, size_bytes);
    CHECK(test, memcmp(got, wanted, size_bytes) == 0);
    CHECK(test, connection_is_silent(fd));
    free(wanted), free(got);
}

static const char mixed_requests[] = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\ntext\r\n"
                                     "*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"
                                     "*2\r\n$6\r\nNOSUCH\r\n$1\r\nx\r\n"
                                     "*1\r\n$3\r\nGET\r\n"
                                     "ECHO 'inline words'\r\n"
                                     "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
                                     "*5\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n$2\r\nEX\r\n$1\r\n0\r\n"
                                     "*2\r\n$3\r\nDEL\r\n$1\r\na\r\n";
static const char mixed_replies[] = "+OK\r\n"
                                    "-ERR value is not an integer or out of range\r\n"
                                    "-ERR unknown command 'NOSUCH', with args beginning with: 'x' \r\n"
                                    "-ERR wrong number of arguments for 'get' command\r\n"
                                    "$12\r\ninline words\r\n"
                                    "$4\r\ntext\r\n"
                                    "-ERR invalid expire time in 'set' command\r\n"
                                    ":1\r\n";

static void errors_in_a_pipeline_keep_their_places(struct test *test) {
    enum { ROUNDS = 5000 };
    struct server *server = server_start(test, WORDS());
    int fd = connection_open(test, server->port);
    char *requests = repeated(test, mixed_requests, ROUNDS), *wanted = repeated(test, mixed_replies, ROUNDS);
    char *got = malloc(strlen(wanted) + 1);
    CHECK(test, got != NULL);
    connection_send(test, fd, requests, strlen(requests));
    connection_receive(test, fd, got, strlen(wanted));
    CHECK(test, memcmp(got, wanted, strlen(wanted)) == 0);
    free(requests), free(wanted), free(got);
}

static void requests_may_come_in_pieces_of_any_size(struct test *test) {
    struct server *server = server_start(test, WORDS());
    for (size_t piece_bytes = 1; piece_bytes <= 40; piece_bytes++) {
        int fd = connection_open(test, server->port);
        for (size_t at = 0; at < sizeof(mixed_requests) - 1; at += piece_bytes) {
            size_t left_bytes = sizeof(mixed_requests) - 1 - at;
            connection_send(test, fd, mixed_requests + at,
                            left_bytes < piece_bytes ? left_bytes : piece_bytes);
        }
        connection_expect(test, fd, mixed_replies);
        CHECK(test, connection_is_silent(fd));
        close(fd);
    }
}

static void a_request_that_is_cut_anywhere_does_nothing(struct test *test) {
    static const char request[] = "*3\r\n$3\r\nSET\r\n$3\r\ncut\r\n$5\r\nvalue\r\n";
    struct server *server = server_start(test, WORDS());
    redisContext *control = client_open(test, server->port);
    for (size_t size_bytes = 0; size_bytes < sizeof(request) - 1; size_bytes++) {
        int orderly = connection_open(test, server->port), reset = connection_open(test, server->port);
        connection_send(test, orderly, request, size_bytes);
        connection_send(test, reset, request, size_bytes);
        close(orderly);
        connection_reset(reset);
    }
    client_wait_alone(test, control);
    EXPECT(test, control, ":0", "EXISTS cut");
    /* Cut at the same places, and then continued. */
    for (size_t size_bytes = 1; size_bytes < sizeof(request) - 1; size_bytes++) {
        int fd = connection_open(test, server->port);
        connection_send(test, fd, request, size_bytes);
        EXPECT(test, control, ":0", "EXISTS cut");
        CHECK(test, connection_is_silent(fd));
        connection_send(test, fd, request + size_bytes, sizeof(request) - 1 - size_bytes);
        connection_expect(test, fd, "+OK\r\n");
        EXPECT(test, control, ":1", "DEL cut");
        close(fd);
    }
    redisFree(control);
}

static void a_transaction_that_is_cut_does_nothing(struct test *test) {
    static const char request[] = "MULTI\r\nSET cut 1\r\nINCR cut\r\nEXEC";
    struct server *server = server_start(test, WORDS());
    redisContext *control = client_open(test, server->port);
    for (size_t size_bytes = 1; size_bytes < sizeof(request); size_bytes++) {
        int fd = connection_open(test, server->port);
        connection_send(test, fd, request, size_bytes);
        close(fd);
    }
    client_wait_alone(test, control);
    EXPECT(test, control, ":0", "EXISTS cut");
    redisFree(control);
}

static void inline_commands_are_words_with_quotes(struct test *test) {
    static const struct {
        const char *request, *reply;
    } lines[] = {
        {"PING\r\n", "+PONG\r\n"},
        {"PING\n", "+PONG\r\n"},
        {"   ping   hello   \r\n", "$5\r\nhello\r\n"},
        {"\r\n\n\r\nECHO \"two words\"\r\n", "$9\r\ntwo words\r\n"},
        {"ECHO 'single \\' quote'\r\n", "$14\r\nsingle ' quote\r\n"},
        {"ECHO \"\\x41\\n\\\"\\\\\"\r\n", "$4\r\nA\n\"\\\r\n"},
        {"ECHO \"\"\r\n", "$0\r\n\r\n"},
        {"SET a 1\r\nINCR a\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\nGET a\r\n",
         "+OK\r\n:2\r\n$1\r\n2\r\n$1\r\n2\r\n"},
    };
    struct server *server = server_start(test, WORDS());
    int fd = connection_open(test, server->port);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        connection_send_text(test, fd, lines[i].request);
        connection_expect(test, fd, lines[i].reply);
    }
    CHECK(test, connection_is_silent(fd));
}

static void empty_arrays_are_passed_over(struct test *test) {
    struct server *server = server_start(test, WORDS());
    int fd = connection_open(test, server->port);
    connection_send_text(test, fd, "*0\r\n*-1\r\n*0\r\nPING\r\n");
    connection_expect(test, fd, "+PONG\r\n");
    CHECK(test, connection_is_silent(fd));
}

static void a_broken_request_gets_an_error_after_the_replies_before_it_and_is_closed(struct test *test) {
    static const struct {
        const char *request, *error;
    } broken[] = {
        {"*1\r\n!4\r\nPING\r\n", "-ERR Protocol error: expected '$', got '!'\r\n"},
        {"*2\r\n$3\r\nGET\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'\r\n"},
        {"*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
        {"*1\r\n$abc\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
        {"*1\r\n$\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
        {"*1\r\n$99999999999\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
        {"*1\r\n$9223372036854775808\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
        {"*abc\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
        {"*4294967297\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
        {"*99999999999999999999\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
        {"ECHO \"open\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"},
        {"ECHO \"a\"b\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"},
        {"ECHO 'open\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"},
    };
    struct server *server = server_start(test, WORDS());
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        int fd = connection_open(test, server->port);
        char text[256];
        connection_send_text(test, fd, "PING\r\nSET a 1\r\n");
        connection_send_text(test, fd, broken[i].request);
        connection_expect(test, fd, "+PONG\r\n+OK\r\n");
        connection_until_closed(test, fd, text, sizeof(text));
        if (strcmp(text, broken[i].error) != 0)
            FAIL(test, "the answer to %s is %s", broken[i].request, text);
        close(fd);
    }
}

static void a_line_without_an_end_gets_an_error_after_64_kib(struct test *test) {
    static const struct {
        const char *begin, *error;
    } lines[] = {
        {"ECHO ", "-ERR Protocol error: too big inline request\r\n"},
        {"*", "-ERR Protocol error: too big mbulk count string\r\n"},
        {"*1\r\n$", "-ERR Protocol error: too big bulk count string\r\n"},
    };
    struct server *server = server_start(test, WORDS());
    char *digits = repeated(test, "1", 70000);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        int fd = connection_open(test, server->port);
        char text[256];
        connection_send_text(test, fd, lines[i].begin);
        send(fd, digits, strlen(digits), MSG_NOSIGNAL);
        connection_line(test, fd, text, sizeof(text));
        CHECK(test, strncmp(text, lines[i].error, strlen(text)) == 0);
        connection_until_closed(test, fd, text, sizeof(text));
        close(fd);
    }
    free(digits);
}

static void keys_and_values_may_be_any_bytes(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *client = client_open(test, server->port);
    char bytes[512];
    for (int i = 0; i < 512; i++)
        bytes[i] = (char)(i * 7);
    EXPECT(test, client, "+OK", "SET %b %b", bytes, (size_t)512, bytes, (size_t)512);
    EXPECT(test, client, ":512", "STRLEN %b", bytes, (size_t)512);
    redisReply *reply = redisCommand(client, "GET %b", bytes, (size_t)512);
    CHECK(test, reply && reply->len == 512 && memcmp(reply->str, bytes, 512) == 0);
    freeReplyObject(reply);
    EXPECT(test, client, "+OK", "SET %b %b", bytes, (size_t)0, "\r\n$1\r\n", (size_t)6);
    EXPECT(test, client, ":6", "STRLEN %b", bytes, (size_t)0);
    EXPECT(test, client, ":2", "DBSIZE");
    redisFree(client);
}

static void a_value_of_60_mib_comes_back_as_it_was(struct test *test) {
    const size_t size_bytes = 60u << 20;
    struct server *server = server_start(test, WORDS());
    redisContext *client = client_open(test, server->port);
    char *value = malloc(size_bytes);
    CHECK(test, value != NULL);
    for (size_t i = 0; i < size_bytes; i++)
        value[i] = (char)(i * 2654435761u >> 13);
    EXPECT(test, client, "+OK", "SET large %b", value, size_bytes);
    redisReply *reply = redisCommand(client, "GET large");
    CHECK(test, reply && reply->len == size_bytes && memcmp(reply->str, value, size_bytes) == 0);
    freeReplyObject(reply);
    free(value);
    redisFree(client);
}

static void quit_answers_and_closes_and_what_follows_is_not_done(struct test *test) {
    struct server *server = server_start(test, WORDS());
    int fd = connection_open(test, server->port);
    char text[64];
    connection_send_text(test, fd, "SET a 1\r\nQUIT\r\nSET a 2\r\n");
    connection_until_closed(test, fd, text, sizeof(text));
    CHECK(test, strcmp(text, "+OK\r\n+OK\r\n") == 0);
    redisContext *control = client_open(test, server->port);
    EXPECT(test, control, "\"1\"", "GET a");
    redisFree(control);
}

static void a_client_that_closes_its_sending_side_still_gets_its_replies(struct test *test) {
    enum { PINGS = 1000 };
    struct server *server = server_start(test, WORDS());
    int fd = connection_open(test, server->port);
    char *requests = repeated(test, "PING\r\n", PINGS), *wanted = repeated(test, "+PONG\r\n", PINGS);
    char *got = malloc(strlen(wanted) + 64);
    CHECK(test, got != NULL);
    connection_send(test, fd, requests, strlen(requests));
    shutdown(fd, SHUT_WR);
    connection_until_closed(test, fd, got, strlen(wanted) + 64);
    CHECK(test, strcmp(got, wanted) == 0);
    free(requests), free(wanted), free(got);
}

static void hello_changes_how_replies_look_within_one_pipeline(struct test *test) {
    struct server *server = server_start(test, WORDS());
    int fd = connection_open(test, server->port);
    char line[256];
    connection_send_text(test, fd,
                         "GET none\r\nCONFIG GET timeout\r\nHELLO 3\r\nGET none\r\nCONFIG GET timeout\r\n");
    connection_expect(test, fd, "$-1\r\n*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n%7\r\n");
    while (strcmp(connection_line(test, fd, line, sizeof(line)), "*0") != 0)
        ; /* modules come last */
    connection_expect(test, fd, "_\r\n%1\r\n$7\r\ntimeout\r\n$1\r\n0\r\n");
    connection_send_text(test, fd, "HELLO 2\r\nGET none\r\n");
    connection_expect(test, fd, "*14\r\n");
    while (strcmp(connection_line(test, fd, line, sizeof(line)), "*0") != 0)
        ;
    connection_expect(test, fd, "$-1\r\n");
}

static const struct test_case cases[] = {
    TEST_CASE(a_pipeline_of_1000000_commands_is_written_whole_before_a_reply_is_read),
    TEST_CASE(errors_in_a_pipeline_keep_their_places),
    TEST_CASE(requests_may_come_in_pieces_of_any_size),
    TEST_CASE(a_request_that_is_cut_anywhere_does_nothing),
    TEST_CASE(a_transaction_that_is_cut_does_nothing),
    TEST_CASE(inline_commands_are_words_with_quotes),
    TEST_CASE(empty_arrays_are_passed_over),
    TEST_CASE(a_broken_request_gets_an_error_after_the_replies_before_it_and_is_closed),
    TEST_CASE(a_line_without_an_end_gets_an_error_after_64_kib),
    TEST_CASE(keys_and_values_may_be_any_bytes),
    TEST_CASE(a_value_of_60_mib_comes_back_as_it_was),
    TEST_CASE(quit_answers_and_closes_and_what_follows_is_not_done),
    TEST_CASE(a_client_that_closes_its_sending_side_still_gets_its_replies),
    TEST_CASE(hello_changes_how_replies_look_within_one_pipeline),
    TEST_CASES_END,
};

const struct test_case *request_tests(void) {
    return cases;
}
