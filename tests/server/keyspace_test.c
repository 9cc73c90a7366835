/*
 * keyspace_test.c - what the keyspace of the running server does by itself: expiry, the memory limit.
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

/* Sends commands in one pipeline and expects +OK for each. */
static void set_keys(struct test *test, redisContext *client, const char *format, int count) {
    for (int i = 0; i < count; i++)
        redisAppendCommand(client, format, i);
    for (int i = 0; i < count; i++) {
        redisReply *reply = NULL;
        CHECK(test, redisGetReply(client, (void **)&reply) == REDIS_OK && reply);
        CHECK(test, reply->type == REDIS_REPLY_STATUS);
        freeReplyObject(reply);
    }
}

static void expired_keys_are_gone_within_a_second_without_being_read(struct test *test) {
    enum { KEYS = 20000, TTL_MS = 1000 };
    struct server *server = server_start(test, WORDS());
    redisContext *client = client_open(test, server->port);
    set_keys(test, client, "SET stays:%d x", 1000);
    set_keys(test, client, "SET goes:%d x PX 1000", KEYS);
    long long last_ms = now_ms();
    CHECK_RANGE(test, client_integer(test, client, "DBSIZE"), 1000, KEYS + 1000);
    EVENTUALLY(test, HARNESS_DEADLINE_MS, client_integer(test, client, "DBSIZE") == 1000);
    CHECK_RANGE(test, now_ms() - (last_ms + TTL_MS), -TTL_MS, 1000);
    CHECK_EQUAL(test, client_info(test, client, "expired_keys"), KEYS);
    CHECK_EQUAL(test, client_info(test, client, "keyspace_misses"), 0);
    redisFree(client);
}

static void an_expired_key_is_never_read_though_it_is_still_there(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *client = client_open(test, server->port);
    for (int i = 0; i < 50; i++) {
        /* Read without a pause: the first answers have the value, all from the expiry on have not. What is sent later than
         * that has no excuse; how long the answers take on a busy machine is no matter. */
        EXPECT(test, client, "+OK", "SET a x PX 5");
        long long last_ms = now_ms() + 5 + 1;
        for (int times_gone = 0; times_gone < 50;) {
            bool is_late = now_ms() > last_ms;
            char *value = client_text(test, client, "GET a");
            bool is_gone = strcmp(value, "nil") == 0;
            CHECK(test, is_gone || (times_gone == 0 && !is_late));
            times_gone += is_gone;
            free(value);
        }
    }
    redisFree(client);
}

static void writes_past_maxmemory_answer_oom_and_reads_and_deletes_go_on(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "+OK", "SET small 41");
    EXPECT(test, client, "+OK", "CONFIG SET maxmemory %lld",
           client_info(test, client, "used_memory") + (4 << 20));
    EXPECT(test, client, "[\"maxmemory-policy\", \"noeviction\"]", "CONFIG GET maxmemory-policy");
    static const char oom[] = "-OOM command not allowed when used memory > 'maxmemory'.";
    char value[1000], text[128];
    memset(value, 'v', sizeof(value));
    int keys = 0;
    for (;; keys++) {
        redisReply *reply = redisCommand(client, "SET key:%d %b", keys, value, sizeof(value));
        CHECK(test, reply != NULL);
        bool is_error = reply->type == REDIS_REPLY_ERROR;
        client_reply_text(reply, text, sizeof(text));
        freeReplyObject(reply);
        if (is_error)
            break;
        CHECK_RANGE(test, keys, 0, 10000);
    }
    CHECK(test, strcmp(text, oom) == 0);
    CHECK_RANGE(test, keys, 1000, 4200);
    /* Well below what is used, so that the buffer of a request more or less makes no difference. */
    EXPECT(test, client, "+OK", "CONFIG SET maxmemory %lld",
           client_info(test, client, "used_memory") - (1 << 20));
    static const char *const refused[] = {
        "SET small x",        "APPEND small x",           "INCR small",     "MSET a 1 b 2",
        "SETRANGE small 9 x", "SETBIT small 90 1",        "GETSET small x", "COPY small b",
        "SETEX small 9 x",    "BITFIELD small SET u8 0 1"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char *answer = client_text(test, client, refused[i]);
        if (strcmp(answer, oom + 1) != 0)
            FAIL(test, "the reply to %s is %s", refused[i], answer);
        free(answer);
    }
    EXPECT(test, client, "\"41\"", "GET small");
    CHECK_EQUAL(test, client_integer(test, client, "DBSIZE"), keys + 1);
    EXPECT(test, client, ":1", "EXPIRE small 1000");
    EXPECT(test, client, "+PONG", "PING");
    EXPECT(test, client, "+OK", "MULTI");
    EXPECT(test, client, oom, "SET in-a transaction");
    EXPECT(test, client, "-EXECABORT Transaction discarded because of previous errors.", "EXEC");
    CHECK_EQUAL(test, client_info(test, client, "evicted_keys"), 0);
    for (int i = 0; i < keys / 2; i++)
        EXPECT(test, client, ":1", "DEL key:%d", i);
    EXPECT(test, client, "+OK", "SET again %b", value, sizeof(value));
    EXPECT(test, client, "+OK", "FLUSHALL");
    EXPECT(test, client, "+OK", "SET again x");
    redisFree(client);
}

static void flushall_async_answers_at_once_and_gives_the_memory_back(struct test *test) {
    enum { KEYS = 300000 };
    struct server *server = server_start(test, WORDS());
    redisContext *client = client_open(test, server->port);
    long long before_bytes = client_info(test, client, "used_memory");
    set_keys(test, client, "SET key:%d a-value-of-a-few-bytes", KEYS);
    CHECK_EQUAL(test, client_integer(test, client, "DBSIZE"), KEYS);
    long long full_bytes = client_info(test, client, "used_memory");
    EXPECT(test, client, "+OK", "FLUSHALL ASYNC");
    EXPECT(test, client, ":0", "DBSIZE");
    EXPECT(test, client, "nil", "GET key:1");
    EXPECT(test, client, "+OK", "SET key:1 new");
    EVENTUALLY(test, HARNESS_DEADLINE_MS,
               client_info(test, client, "used_memory") < before_bytes + (full_bytes - before_bytes) / 10);
    EXPECT(test, client, "\"new\"", "GET key:1");
    redisFree(client);
}

static const struct test_case cases[] = {
    TEST_CASE(expired_keys_are_gone_within_a_second_without_being_read),
    TEST_CASE(an_expired_key_is_never_read_though_it_is_still_there),
    TEST_CASE(writes_past_maxmemory_answer_oom_and_reads_and_deletes_go_on),
    TEST_CASE(flushall_async_answers_at_once_and_gives_the_memory_back),
    TEST_CASES_END,
};

const struct test_case *keyspace_tests(void) {
    return cases;
}
