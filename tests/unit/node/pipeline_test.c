/* pipeline_test.c - from bytes to executed commands: however they are cut, held back, or too many.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/rng.h"
#include "node/conversation.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct conversation world;

static void set_up(void) {
    conversation_begin(&world);
}

static void tear_down(void) {
    conversation_end(&world);
}

TestSuite(pipeline, .init = set_up, .fini = tear_down);

/* ---- Feeding ---- */

#define ALL ((size_t)1 << 30)

/* A text that grows; from malloc(). */
struct text {
    char *data;
    size_t size, capacity;
};

static void add(struct text *text, const void *data, size_t size) {
    if (text->capacity - text->size < size + 1) {
        text->capacity = 2 * (text->capacity + size + 1);
        text->data = realloc(text->data, text->capacity);
        cr_assert_not_null(text->data);
    }
    memcpy(text->data + text->size, data, size);
    text->size += size;
    text->data[text->size] = '\0';
}

static void add_text(struct text *text, const char *more) {
    add(text, more, strlen(more));
}

static void forget(struct text *text) {
    free(text->data);
    *text = (struct text){0};
}

/* Takes what the session has to send, at most `at_most` bytes. */
static void listen_to(struct session *session, struct text *heard, size_t at_most) {
    struct node_span span = node_output(world.node, session);
    if (span.size == 0)
        return;
    size_t taken = span.size < at_most ? span.size : at_most;
    if (heard != NULL)
        add(heard, span.data, taken);
    node_sent(world.node, session, taken);
}

/* Gives the session bytes in one piece, as far as it takes them; returns how many. */
static size_t feed(struct session *session, const void *data, size_t size) {
    struct node_span space = node_input_space(world.node, session);
    size_t given = size < space.size ? size : space.size;
    if (given == 0)
        return 0;
    memcpy(space.data, data, given);
    node_input(world.node, session, given);
    return given;
}

/* Gives it all, in pieces of 1 to `piece_max` bytes, and takes every reply whole. */
static void feed_in_pieces(struct session *session, const struct text *input, size_t piece_max,
                           struct rng *rng, struct text *heard) {
    for (size_t at = 0; at < input->size;) {
        size_t piece = 1 + rng_below(rng, piece_max);
        size_t given = feed(session, input->data + at, piece < input->size - at ? piece : input->size - at);
        cr_assert_gt(given, 0, "it takes no more at byte %zu", at);
        at += given;
        listen_to(session, heard, ALL);
    }
}

/* ---- Cutting ---- */

static void add_bulk(struct text *text, const char *data, size_t size) {
    char header[32];
    snprintf(header, sizeof header, "$%zu\r\n", size);
    add_text(text, header);
    add(text, data, size);
    add_text(text, "\r\n");
}

/* Requests of all forms and sizes, each of which has one reply. */
static void add_requests(struct text *input, struct rng *rng, unsigned count) {
    static char large[200000];
    memset(large, 'L', sizeof large);
    for (unsigned i = 0; i < count; i++) {
        char line[128];
        unsigned key = (unsigned)rng_below(rng, 7);
        switch (rng_below(rng, 9)) {
        case 0: snprintf(line, sizeof line, "INCR counter:%u\r\n", key); break;
        case 1: snprintf(line, sizeof line, "  SET  key:%u \"a b\\x01\\n\"\r\n", key); break;
        case 2: snprintf(line, sizeof line, "\r\n*0\r\nGET key:%u\n", key); break;
        case 3: snprintf(line, sizeof line, "*2\r\n$3\r\nGET\r\n$5\r\nkey:%u\r\n", key); break;
        case 4: snprintf(line, sizeof line, "NOSUCH %u\r\n", key); break;
        case 5: snprintf(line, sizeof line, "MGET key:1 key:%u counter:%u\r\n", key, key); break;
        case 6: snprintf(line, sizeof line, "SETRANGE key:%u 3 xyz\r\n", key); break;
        case 7: snprintf(line, sizeof line, "APPEND key:%u y\r\n", key); break;
        default:
            line[0] = '\0';
            add_text(input, "*3\r\n$3\r\nSET\r\n");
            snprintf(line, sizeof line, "key:%u", key);
            add_bulk(input, line, strlen(line));
            add_bulk(input, large, rng_below(rng, i % 40 == 0 ? sizeof large : 300));
            continue;
        }
        add_text(input, line);
    }
}

Test(pipeline, it_is_no_matter_how_the_bytes_are_cut) {
    struct rng rng;
    rng_init(&rng, 42);
    for (unsigned round = 0; round < 6; round++) {
        struct text input = {0}, expected = {0};
        add_requests(&input, &rng, 300);
        static const size_t pieces[] = {1 << 20, 1, 3, 50, 4000, 130000};
        for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
            struct text heard = {0};
            struct session *client = conversation_client(&world, 1);
            feed_in_pieces(client, &input, pieces[i], &rng, i == 0 ? &expected : &heard);
            cr_assert(!conversation_is_closing(client));
            cr_assert_eq(client->input.size, 0, "nothing is left over");
            if (i != 0) {
                cr_assert_eq(heard.size, expected.size, "pieces of %zu: %zu bytes in place of %zu", pieces[i],
                             heard.size, expected.size);
                cr_assert_eq(memcmp(heard.data, expected.data, heard.size), 0);
            }
            say(&world, client, "FLUSHALL");
            node_close(world.node, client);
            forget(&heard);
        }
        forget(&input);
        forget(&expected);
    }
}

Test(pipeline, all_requests_of_one_read_are_answered_in_order) {
    struct session *client = conversation_client(&world, 1);
    struct text input = {0}, heard = {0}, expected = {0};
    for (unsigned i = 0; i < 3 * BATCH_COMMANDS + 7; i++) {
        char text[64];
        snprintf(text, sizeof text, "ECHO %u\r\n", 100 + i);
        add_text(&input, text);
        snprintf(text, sizeof text, "$3\r\n%u\r\n", 100 + i);
        add_text(&expected, text);
    }
    cr_assert_eq(feed(client, input.data, input.size), input.size);
    listen_to(client, &heard, ALL);
    cr_assert_str_eq(heard.data, expected.data);
    forget(&input);
    forget(&heard);
    forget(&expected);
}

/* Long records are looked at before the batch runs, and asked for while it runs: by then some are gone. With sanitizers this
 * fails if one is read then. */
Test(pipeline, a_batch_may_free_the_long_records_that_it_was_about_to_fetch) {
    struct session *client = conversation_client(&world, 1);
    struct text batch = {0}, heard = {0}, expected = {0};
    char long_value[2001], line[2100];
    memset(long_value, 'v', sizeof long_value - 1);
    long_value[sizeof long_value - 1] = '\0';
    for (unsigned i = 0; i < 12; i++) {
        snprintf(line, sizeof line, "SET key:%u %s", i, long_value);
        say(&world, client, line);
    }
    for (unsigned i = 0; i < 12; i += 3) {
        snprintf(line, sizeof line,
                 "GET key:%u\r\nDEL key:%u\r\nGET key:%u\r\nSET key:%u short\r\nGET key:%u\r\n", i, i + 1,
                 i + 1, i + 2, i + 2);
        add_text(&batch, line);
        snprintf(line, sizeof line, "$%zu\r\n%s\r\n", strlen(long_value), long_value);
        add_text(&expected, line);
        add_text(&expected, ":1\r\n$-1\r\n+OK\r\n$5\r\nshort\r\n");
    }
    cr_assert_eq(feed(client, batch.data, batch.size), batch.size);
    listen_to(client, &heard, ALL);
    cr_assert_str_eq(heard.data, expected.data);
    forget(&batch);
    forget(&heard);
    forget(&expected);
}

Test(pipeline, a_request_of_more_arguments_than_ever_before_makes_room_for_them) {
    struct session *client = conversation_client(&world, 1);
    struct text input = {0}, heard = {0};
    enum { KEYS = 20000 };
    add_text(&input, "PING\r\n*20001\r\n$6\r\nEXISTS\r\n");
    say(&world, client, "SET k 1");
    for (unsigned i = 0; i < KEYS; i++)
        add_bulk(&input, "k", 1);
    add_text(&input, "PING\r\n");
    struct rng rng;
    rng_init(&rng, 1);
    feed_in_pieces(client, &input, 100000, &rng, &heard);
    cr_assert_str_eq(heard.data, "+PONG\r\n:20000\r\n+PONG\r\n");
    forget(&input);
    forget(&heard);
}

/* ---- What a session holds ---- */

Test(pipeline, a_session_without_a_rest_holds_no_buffers) {
    struct session *client = conversation_client(&world, 1);
    say(&world, client, "ECHO something");
    size_t before = world.mem.used_bytes;
    for (unsigned i = 0; i < 100; i++)
        say(&world, client, "ECHO something");
    cr_assert_eq(client->input.capacity, 0);
    cr_assert_eq(client->pending.capacity, 0);
    cr_assert_eq(world.mem.used_bytes, before);
}

Test(pipeline, an_announced_size_takes_no_memory_before_the_bytes_come) {
    struct session *client = conversation_client(&world, 1);
    size_t before = world.mem.used_bytes;
    static const char announced[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nx";
    feed(client, announced, sizeof announced - 1);
    struct node_span space = node_input_space(world.node, client);
    cr_assert_gt(space.size, 0);
    cr_assert_leq(world.mem.used_bytes - before, 64 * 1024, "%zu bytes for 36 that came",
                  world.mem.used_bytes - before);
    static const char more[1000];
    size_t come = sizeof announced - 1;
    for (unsigned i = 0; i < 1000; i++) {
        come += feed(client, more, sizeof more);
        cr_assert_leq(world.mem.used_bytes - before, 4 * come + 64 * 1024);
    }
}

Test(pipeline, a_large_request_is_given_back_when_it_is_done) {
    struct session *client = conversation_client(&world, 1);
    struct text input = {0}, heard = {0};
    static char value[3 << 20];
    memset(value, 'v', sizeof value);
    add_text(&input, "*2\r\n$6\r\nSTRLEN\r\n");
    add_bulk(&input, value, sizeof value);
    struct rng rng;
    rng_init(&rng, 3);
    feed_in_pieces(client, &input, 60000, &rng, &heard);
    cr_assert_str_eq(heard.data, ":0\r\n");
    cr_assert_eq(client->input.capacity, 0);
    forget(&input);
    forget(&heard);
}

Test(pipeline, a_request_beyond_the_query_buffer_limit_closes_its_client) {
    world.config.client_query_buffer_limit = 1 << 20;
    struct session *client = conversation_client(&world, 1);
    static const char header[] = "*2\r\n$4\r\nECHO\r\n$100000000\r\n";
    static const char bytes[10000];
    feed(client, header, sizeof header - 1);
    size_t given = sizeof header - 1;
    while (!conversation_is_closing(client)) {
        cr_assert_leq(given, 2 << 20, "it takes more and more");
        given += feed(client, bytes, sizeof bytes);
    }
    cr_assert_gt(given, 1 << 20);
    cr_assert_eq(world.node->statistics.input_buffer_closed, 1);
    cr_assert_not_null(strstr(world.logged, "client-query-buffer-limit"), "%s", world.logged);
}

Test(pipeline, what_is_broken_is_answered_behind_what_was_not_and_ends_the_session) {
    struct session *client = conversation_client(&world, 1);
    struct text heard = {0};
    static const char input[] = "SET a 1\r\nGET a\r\n*1\r\n!nonsense\r\nSET a 2\r\n";
    feed(client, input, sizeof input - 1);
    listen_to(client, &heard, ALL);
    cr_assert_eq(strncmp(heard.data, "+OK\r\n$1\r\n1\r\n-ERR Protocol error", 31), 0, "%s", heard.data);
    cr_assert_eq(strlen(strstr(heard.data, "-ERR")),
                 (size_t)(strstr(strstr(heard.data, "-ERR"), "\r\n") + 2 - strstr(heard.data, "-ERR")),
                 "nothing behind the error: %s", heard.data);
    cr_assert(node_wants_close(client));
    cr_assert_eq(node_input_space(world.node, client).size, 0);
    cr_assert_str_eq(say(&world, conversation_client(&world, 2), "GET a"), "$1\r\n1\r\n");
    cr_assert_eq(world.node->statistics.protocol_errors, 1);
    forget(&heard);
}

Test(pipeline, before_the_password_only_short_requests_are_read) {
    say(&world, conversation_client(&world, 1), "CONFIG SET requirepass secret");
    struct session *client = conversation_client(&world, 2);
    static const char too_long[] = "*2\r\n$4\r\nECHO\r\n$16385\r\n";
    feed(client, too_long, sizeof too_long - 1);
    cr_assert_eq(strncmp(hear(&world, client), "-ERR Protocol error", 19), 0, "%s", world.reply);
    cr_assert(node_wants_close(client));
    struct session *other = conversation_client(&world, 3);
    static const char together[] = "AUTH secret\r\n*2\r\n$4\r\nECHO\r\n$16385\r\n";
    feed(other, together, sizeof together - 1);
    cr_assert_str_eq(hear(&world, other), "+OK\r\n", "the limits are those of the session as it is then");
    cr_assert(!conversation_is_closing(other));
}

/* ---- Replies that wait ---- */

Test(pipeline, replies_that_the_connection_takes_slowly_stay_in_order) {
    struct rng rng;
    rng_init(&rng, 9);
    struct session *client = conversation_client(&world, 1), *other = conversation_client(&world, 2);
    struct text input = {0}, heard = {0}, expected = {0};
    for (unsigned i = 0; i < 2000; i++) {
        char text[64];
        snprintf(text, sizeof text, "ECHO %u\r\n", 10000 + i);
        add_text(&input, text);
        snprintf(text, sizeof text, "$5\r\n%u\r\n", 10000 + i);
        add_text(&expected, text);
    }
    for (size_t at = 0; at < input.size;) {
        size_t piece = 1 + rng_below(&rng, 300);
        at += feed(client, input.data + at, piece < input.size - at ? piece : input.size - at);
        listen_to(client, &heard, rng_below(&rng, 200));
        cr_assert_str_eq(say(&world, other, "PING"), "+PONG\r\n", "the other is not in its way");
    }
    cr_assert(node_wants_write(client));
    while (node_wants_write(client))
        listen_to(client, &heard, 100);
    cr_assert_str_eq(heard.data, expected.data);
    cr_assert_eq(client->pending.capacity, 0, "it is given back");
    forget(&input);
    forget(&heard);
    forget(&expected);
}

Test(pipeline, who_does_not_read_is_not_served_until_it_has) {
    struct session *client = conversation_client(&world, 1);
    struct text input = {0}, heard = {0};
    enum { REPLIES = 200, SIZE = 1 << 20 };
    char *value = malloc(SIZE);
    memset(value, 'v', SIZE);
    add_text(&input, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n");
    add_bulk(&input, value, SIZE);
    struct rng rng;
    rng_init(&rng, 3);
    feed_in_pieces(client, &input, 60000, &rng, NULL);
    uint64_t before = world.node->statistics.commands;
    for (unsigned i = 0; i < REPLIES && node_wants_read(world.node, client); i++)
        cr_assert_eq(feed(client, "GET k\r\n", 7), 7);
    uint64_t served = world.node->statistics.commands - before;
    cr_assert(served > 10 && served < 50, "%llu MiB wait", (unsigned long long)served);
    cr_assert_eq(node_input_space(world.node, client).size, 0);
    while (!node_wants_read(world.node, client)) {
        listen_to(client, &heard, 1 << 20);
        cr_assert(node_wants_write(client) || node_wants_read(world.node, client), "it is stuck");
    }
    cr_assert_eq(node_attention(world.node), client, "the world is told that it reads again");
    cr_assert_eq(feed(client, "PING\r\n", 6), 6);
    while (node_wants_write(client))
        listen_to(client, &heard, 1 << 20);
    cr_assert_eq(heard.size, served * (SIZE + 12) + 7);
    cr_assert_str_eq(heard.data + heard.size - 7, "+PONG\r\n");
    free(value);
    forget(&input);
    forget(&heard);
}

static unsigned closings(void) {
    unsigned count = 0;
    for (const char *at = world.log; (at = strstr(at, " closed: ")) != NULL; at++)
        count++;
    return count;
}

static void pass_seconds(unsigned seconds) {
    for (unsigned i = 0; i < seconds; i++) {
        conversation_wait(&world, 1000);
        (void)node_work(world.node);
    }
}

Test(pipeline, a_client_over_its_limit_is_closed_once) {
    struct session *client = conversation_client(&world, 1);
    struct text input = {0};
    enum { SIZE = 1 << 20 };
    char *value = malloc(SIZE);
    memset(value, 'v', SIZE);
    say(&world, client, "CONFIG SET client-output-buffer-limit \"normal 3000000 2000000 1\"");
    add_text(&input, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n");
    add_bulk(&input, value, SIZE);
    struct rng rng;
    rng_init(&rng, 3);
    feed_in_pieces(client, &input, 60000, &rng, NULL);
    struct session *slow = conversation_client(&world, 2);
    feed(slow, "GET k\r\nGET k\r\n", 2 * 7);
    listen_to(slow, NULL, 1);
    pass_seconds(10);
    cr_assert(conversation_is_closing(slow));
    cr_assert_eq(closings(), 1, "%s", world.log);
    cr_assert_eq(world.node->statistics.output_buffer_closed, 1);
    feed(client, "GET k\r\nGET k\r\nGET k\r\nGET k\r\n", 4 * 7);
    cr_assert(conversation_is_closing(client));
    node_check_output(world.node, client); /* as when another node's reply comes */
    node_push(world.node, client, "more", 4);
    pass_seconds(10);
    cr_assert_eq(closings(), 2, "%s", world.log);
    cr_assert_eq(world.node->statistics.output_buffer_closed, 2);
    free(value);
    forget(&input);
}

Test(pipeline, requests_behind_a_clogged_one_run_when_it_has_drained) {
    struct session *client = conversation_client(&world, 1);
    struct text input = {0}, heard = {0};
    char *value = malloc(1 << 20);
    memset(value, 'v', 1 << 20);
    add_text(&input, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n");
    add_bulk(&input, value, 1 << 20);
    struct rng rng;
    rng_init(&rng, 3);
    feed_in_pieces(client, &input, 60000, &rng, NULL);
    input.size = 0;
    for (unsigned i = 0; i < 3 * BATCH_COMMANDS; i++)
        add_text(&input, "GET k\r\n");
    add_text(&input, "INCR done\r\n");
    cr_assert_eq(feed(client, input.data, input.size), input.size);
    listen_to(client, &heard, 1 << 20);
    cr_assert_str_eq(say(&world, conversation_client(&world, 2), "GET done"), "$-1\r\n", "not yet");
    struct session *raised;
    for (unsigned i = 0; i < 10000 && (node_wants_write(client) || client->input.size != 0); i++) {
        listen_to(client, &heard, 1 << 20);
        while ((raised = node_attention(world.node)) != NULL)
            cr_assert_eq(raised, client);
    }
    cr_assert_eq(heard.size, 3 * BATCH_COMMANDS * ((size_t)(1 << 20) + 12) + 4, "%zu bytes", heard.size);
    cr_assert_str_eq(heard.data + heard.size - 4, ":1\r\n");
    free(value);
    forget(&input);
    forget(&heard);
}

/* ---- Holding back ---- */

Test(pipeline, what_a_pause_holds_back_runs_in_order_when_it_is_over) {
    struct session *client = conversation_client(&world, 1), *other = conversation_client(&world, 2);
    say(&world, other, "CLIENT PAUSE 1000 WRITE");
    cr_assert_str_eq(say(&world, client, "GET a\r\nSET a \"x \\\"y\\\"\"\r\nGET a\r\nECHO 'q\r\nPING"),
                     "$-1\r\n", "%s", world.reply);
    cr_assert_str_eq(say(&world, other, "GET a"), "$-1\r\n");
    cr_assert_str_eq(say(&world, client, "ECHO behind"), "", "what comes later waits behind it");
    conversation_wait(&world, 999);
    cr_assert_eq(node_attention(world.node), NULL);
    conversation_wait(&world, 1);
    cr_assert_eq(node_attention(world.node), client);
    const char *reply = hear(&world, client);
    cr_assert_eq(strncmp(reply, "+OK\r\n$5\r\nx \"y\"\r\n-ERR Protocol error: unbalanced quotes", 50), 0,
                 "%s", reply);
}

Test(pipeline, a_request_that_is_held_back_is_not_run_twice) {
    struct session *client = conversation_client(&world, 1), *other = conversation_client(&world, 2);
    say(&world, other, "CLIENT PAUSE 1000");
    cr_assert_str_eq(say(&world, client, "INCR a\r\nINCR a\r\n*2\r\n$4\r\nINCR\r\n$1\r\na"), "");
    struct rng rng;
    rng_init(&rng, 5);
    for (unsigned i = 0; i < 5; i++) {
        conversation_wait(&world, 10);
        cr_assert_str_eq(say(&world, client, "INCR a"), "");
    }
    cr_assert_str_eq(say(&world, other, "CLIENT UNPAUSE"), "+OK\r\n");
    conversation_wait(&world, 1);
    cr_assert_eq(node_attention(world.node), client);
    cr_assert_str_eq(hear(&world, client), ":1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n");
}

Test(pipeline, what_was_parsed_before_a_client_became_a_stranger_is_not_measured_anew) {
    struct session *client = conversation_client(&world, 1), *other = conversation_client(&world, 2);
    say(&world, other, "CONFIG SET requirepass secret");
    say(&world, other, "CLIENT PAUSE 1000 WRITE");
    cr_assert_str_eq(
        say(&world, client, "RESET\r\nDEL 1 2 3 4 5 6 7 8 9 10 11\r\nDEL 1 2 3 4 5 6 7 8 9 10 11"),
        "+RESET\r\n", "%s", world.reply);
    conversation_wait(&world, 1000);
    cr_assert_eq(node_attention(world.node), client);
    static const char refused[] = "-NOAUTH Authentication required.\r\n-NOAUTH Authentication required.\r\n";
    cr_assert_str_eq(hear(&world, client), refused, "%s", world.reply);
    cr_assert(!conversation_is_closing(client));
    cr_assert_str_eq(say(&world, client, "*11"), "-ERR Protocol error: unauthenticated multibulk length\r\n",
                     "%s", world.reply);
}

Test(pipeline, a_client_that_waits_is_read_on_only_so_far) {
    struct session *client = conversation_client(&world, 1), *other = conversation_client(&world, 2);
    say(&world, other, "CLIENT PAUSE 100000");
    static const char request[] = "ECHO aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";
    size_t given = 0, piece;
    while ((piece = feed(client, request, sizeof request - 1)) != 0) {
        given += piece;
        cr_assert_lt(given, 8 << 20, "it takes more and more");
    }
    cr_assert_gt(given, 64 * 1024);
    cr_assert(!conversation_is_closing(client));
}

/* ---- Time ---- */

static const struct command_statistics *of(enum command_id id) {
    return &world.node->statistics.of_command[id];
}

Test(pipeline, the_requests_of_a_batch_share_its_time) {
    struct session *client = conversation_client(&world, 1);
    world.clock_step_ns = 9000;
    say(&world, client, "GET a\r\nSET a 1\r\nGET a");
    cr_assert_eq(of(COMMAND_ID_GET)->calls, 2);
    cr_assert_eq(of(COMMAND_ID_GET)->duration_ns, 6000);
    cr_assert_eq(of(COMMAND_ID_SET)->duration_ns, 3000);
}

Test(pipeline, a_short_request_that_may_take_long_has_a_time_of_its_own) {
    static const char *const lines[] = {"SETRANGE a 9 x", "SETBIT a 9 1", "BITFIELD a SET u8 9 1",
                                        "APPEND a x",     "BITCOUNT a",   "KEYS *",
                                        "BITOP NOT b a",  "LCS a b",      "RENAME a b"};
    static const enum command_id ids[] = {COMMAND_ID_SETRANGE, COMMAND_ID_SETBIT,   COMMAND_ID_BITFIELD,
                                          COMMAND_ID_APPEND,   COMMAND_ID_BITCOUNT, COMMAND_ID_KEYS,
                                          COMMAND_ID_BITOP,    COMMAND_ID_LCS,      COMMAND_ID_RENAME};
    struct session *client = conversation_client(&world, 1);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char together[128];
        snprintf(together, sizeof together, "SET a 1\r\nGET a\r\n%s\r\nGET a", lines[i]);
        world.clock_step_ns = 9000;
        say(&world, client, together);
        cr_assert_eq(of(ids[i])->calls, 1, "%s", lines[i]);
        cr_assert_eq(of(ids[i])->duration_ns, 9000, "%s: %llu ns", lines[i],
                     (unsigned long long)of(ids[i])->duration_ns);
    }
}

Test(pipeline, a_request_of_many_keys_has_a_time_of_its_own) {
    struct session *client = conversation_client(&world, 1);
    world.config.slowlog_log_slower_than_us = 9;
    char line[1024] = "GET a\r\nMGET";
    for (unsigned i = 1; i < MANY_ARGUMENTS; i++)
        strcat(line, " key");
    strcat(line, "\r\nGET a\r\nMGET a b");
    world.clock_step_ns = 9000;
    say(&world, client, line);
    cr_assert_eq(of(COMMAND_ID_MGET)->calls, 2);
    cr_assert_eq(of(COMMAND_ID_MGET)->duration_ns, 9000 + 4500);
    world.clock_step_ns = 0;
    cr_assert_not_null(strstr(say(&world, client, "SLOWLOG GET"), "$4\r\nMGET\r\n"), "%s", world.reply);
}
