/* forward_test.c - requests between nodes: frames that make no sense, full queues, order, answers that nobody awaits.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/forward.h"

#include "base/encode.h"
#include "node/peers.h"
#include "node/ring_faults.h"
#include "node/route.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void say_large(struct ring_client *client, const char *command, const char *key, size_t size,
                      char filling) {
    char *value = malloc(size);
    memset(value, filling, size);
    const void *words[] = {command, key, value};
    size_t sizes[] = {strlen(command), strlen(key), size};
    ring_say_words(client, 3, words, sizes);
    free(value);
}

/* ---- Full queues ---- */

Test(forward, requests_that_find_a_full_queue_are_executed_later_and_in_their_order) {
    struct ring_stage *stage = ring_stage_begin(3, "peer-output-limit 1mb\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key a = ring_key_of(stage, 0, 1, 0), b = ring_key_of(stage, 0, 1, 1);
    ring_hold(stage, 1, 0, true); /* nothing is acknowledged */
    say_large(client, "SET", a.text, 900 * 1024, 'a');
    say_large(client, "SET", b.text, 900 * 1024, 'b');
    ring_say_format(client, "SET %s last", b.text);
    ring_say_format(client, "APPEND %s -of-all", b.text);
    ring_turn(stage);
    ring_hold(stage, 1, 0, false);
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(client, ":11\r\n");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", b.text), "$11\r\nlast-of-all\r\n");
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(forward, a_pipeline_of_large_writes_is_executed_in_its_order) {
    struct ring_stage *stage = ring_stage_begin(3, "peer-output-limit 1mb\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0);
    for (unsigned i = 0; i < 30; i++) {
        say_large(client, "SET", key.text, (i % 3 + 1) * 200 * 1024, (char)('a' + i % 26));
        ring_say_format(client, "GETRANGE %s 0 0", key.text);
        ring_say_format(client, "SETRANGE %s 0 %c", key.text, 'A' + i % 26);
        ring_say_format(client, "GETRANGE %s 0 1", key.text);
    }
    for (unsigned i = 0; i < 30; i++) {
        char expected[32];
        EXPECT_HEARD(client, "+OK\r\n");
        snprintf(expected, sizeof expected, "$1\r\n%c\r\n", 'a' + i % 26);
        EXPECT_HEARD(client, expected);
        cr_assert_eq(ring_hear(client)[0], ':');
        snprintf(expected, sizeof expected, "$2\r\n%c%c\r\n", 'A' + i % 26, 'a' + i % 26);
        EXPECT_HEARD(client, expected);
    }
    ring_stage_end(stage);
}

Test(forward, large_replies_are_made_as_they_are_taken) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0), *other = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0), small = ring_key_of(stage, 0, 1, 1);
    say_large(client, "SET", key.text, 1024 * 1024, 'a');
    EXPECT_HEARD(client, "+OK\r\n");
    ring_hold(stage, 1, 0, true); /* nothing arrives, so nothing is acknowledged */
    for (unsigned i = 0; i < 30; i++)
        ring_say_format(client, "GETRANGE %s 0 -1", key.text);
    ring_say_format(other, "SET %s v", small.text);
    ring_turn(stage);
    const struct peer *peer = ring_peer(stage, 1, 0);
    cr_assert_not_null(peer->in);
    uint64_t waiting = link_unacknowledged_bytes(peer->in->link);
    cr_assert(waiting > 1024 * 1024 && waiting < 6 * 1024 * 1024, "%llu bytes", (unsigned long long)waiting);
    ring_hold(stage, 1, 0, false);
    EXPECT_HEARD(other, "+OK\r\n");
    for (unsigned i = 0; i < 30; i++) {
        const char *reply = ring_hear(client);
        cr_assert(strncmp(reply, "$1048576\r\naaaa", 14) == 0, "reply %u", i);
    }
    ring_stage_end(stage);
}

Test(forward, more_replies_than_a_queue_holds_come_all_and_other_clients_lose_nothing) {
    struct ring_stage *stage = ring_stage_begin(3, "peer-output-limit 1mb\n");
    struct ring_client *client = ring_connect(stage, 0), *other = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 1, 0), counter = ring_key_of(stage, 0, 1, 1);
    say_large(client, "SET", key.text, 300 * 1024, 'x');
    EXPECT_HEARD(client, "+OK\r\n");
    size_t used = stage->nodes[1].mem.used_bytes;
    ring_hold(stage, 1, 0, true);
    for (unsigned i = 0; i < 60; i++)
        ring_say_format(client, "GET %s", key.text);
    for (unsigned i = 0; i < 20; i++)
        ring_say_format(other, "INCR %s", counter.text);
    ring_turn(stage);
    cr_assert_lt(stage->nodes[1].mem.used_bytes - used, 6u << 20, "all replies were made at once");
    ring_hold(stage, 1, 0, false);
    for (unsigned i = 0; i < 60; i++) {
        cr_assert_eq(ring_hear(client)[0], '$', "%.60s", (char *)client->reply.data);
        cr_assert_eq(ring_heard_size(client), 300 * 1024 + 11);
    }
    for (unsigned i = 1; i <= 20; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, ":%u\r\n", i);
        EXPECT_HEARD(other, expected);
    }
    for (unsigned i = 0; i < 3; i++)
        cr_assert_null(strstr(stage->nodes[i].log, "too much waits"));
    ring_stage_end(stage);
}

Test(forward, a_value_that_is_longer_than_a_queue_holds_goes_through) {
    struct ring_stage *stage = ring_stage_begin(3, "peer-output-limit 1mb\n");
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned i = 0; i < 3; i++) {
        struct ring_key key = ring_key_of(stage, 0, i, 0);
        say_large(client, "SET", key.text, 5 << 20, 'x');
        ring_say_format(client, "GET %s", key.text);
        ring_say_format(client, "APPEND %s y", key.text);
        EXPECT_HEARD(client, "+OK\r\n");
        cr_assert_eq(ring_hear(client)[0], '$');
        EXPECT_HEARD(client, ":5242881\r\n");
    }
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

/* ---- Frames that make no sense ---- */

Test(forward, requests_that_make_no_sense_are_refused_whatever_they_are_cut_to) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct node *node = stage->nodes[0].node;
    struct peer_link *link = ring_peer(stage, 0, 1)->in;
    uint8_t frame[] = {7, 0, 0,                          /* number, time */
                       0, 2, 3, 'G', 'E', 'T', 1,   'k', /* flags, count, arguments */
                       0, 1, 4, 'P', 'I', 'N', 'G', 4,   2, 4, 'S', 'C', 'A', 'N', 1, '0'};
    cr_assert_eq(encode_varint(frame + 1, node->monotonic_ms), frame + 3);
    for (size_t size = 0; size < sizeof frame; size++) {
        uint8_t *cut = malloc(size == 0 ? 1 : size); /* so that a read behind the end is noticed */
        memcpy(cut, frame, size);
        bool is_whole = size == 3 || size == 11 || size == 18;
        cr_assert_eq(forward_execute(node, link, cut, size), is_whole, "%zu bytes", size);
        free(cut);
    }
    static const uint8_t huge_count[] = {1,    1,    0,    0xff, 0xff, 0xff, 0xff,
                                         0xff, 0xff, 0xff, 0xff, 0x7f, 1,    'x'};
    static const uint8_t huge_size[] = {1, 1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 'x'};
    static const uint8_t no_arguments[] = {1, 1, 0, 0};
    cr_assert_not(forward_execute(node, link, huge_count, sizeof huge_count));
    cr_assert_not(forward_execute(node, link, huge_size, sizeof huge_size));
    cr_assert_not(forward_execute(node, link, no_arguments, sizeof no_arguments));
    buffer_clear(&link->replies);
    ring_stage_end(stage);
}

Test(forward, only_commands_that_belong_here_are_executed_for_others) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct node *node = stage->nodes[0].node;
    struct peer_link *link = ring_peer(stage, 0, 1)->in;
    static const struct {
        unsigned flags;
        const char *words[4];
    } refused[] = {{0, {"PING"}},
                   {0, {"NONSENSE", "x"}},
                   {0, {"CONFIG", "SET", "maxmemory", "1"}},
                   {0, {"SHUTDOWN"}},
                   {0, {"FLUSHALL"}},
                   {0, {"MULTI"}},
                   {0, {"GET"}},
                   {0, {"GET", "a", "b"}},
                   {0, {"CLIENT", "SETNAME", "x"}},
                   {0, {"CLIENT"}},
                   {FORWARD_PART, {"GET", "a"}},
                   {FORWARD_PART, {"SHUTDOWN"}},
                   {FORWARD_PART | FORWARD_SECOND_HOP, {"CONFIG", "GET", "port"}}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        uint8_t frame[128], *at = frame;
        *at++ = (uint8_t)(i + 1);
        at = encode_varint(at, node->monotonic_ms);
        *at++ = (uint8_t)refused[i].flags;
        uint8_t *count = at++;
        for (*count = 0; *count < 4 && refused[i].words[*count] != NULL; ++*count) {
            const char *word = refused[i].words[*count];
            *at++ = (uint8_t)strlen(word);
            at = (uint8_t *)memcpy(at, word, strlen(word)) + strlen(word);
        }
        buffer_clear(&link->replies);
        cr_assert(forward_execute(node, link, frame, (size_t)(at - frame)));
        cr_assert_eq(link->replies.size, 6, "%s", refused[i].words[0]);
        cr_assert_eq(link->replies.data[1], FORWARD_REFUSED, "%s was executed", refused[i].words[0]);
    }
    buffer_clear(&link->replies);
    cr_assert_eq(node->shutdown, NODE_RUNNING);
    ring_stage_end(stage);
}

Test(forward, transactions_and_waits_that_make_no_sense_are_answered_with_errors) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct node *node = stage->nodes[0].node;
    struct peer_link *link = ring_peer(stage, 0, 1)->in;
    struct ring_key own = ring_key_of(stage, 0, 0, 0);
    struct argument key = {
        .data = (const uint8_t *)own.text, .size = (uint32_t)strlen(own.text), .slot = ARGUMENT_NOT_PLACED};
    keyspace_place(node->keyspace, &key);
    char slot[16];
    snprintf(slot, sizeof slot, "%u", key.slot);
    const struct {
        unsigned flags;
        const char *words[10];
    } wrong[] = {{FORWARD_EXEC, {"EXEC"}},
                 {FORWARD_EXEC, {"EXEC", "x"}},
                 {FORWARD_EXEC, {"EXEC", "99999"}},
                 {FORWARD_EXEC, {"EXEC", slot}},
                 {FORWARD_EXEC, {"EXEC", slot, "0"}},
                 {FORWARD_EXEC, {"EXEC", slot, "5", "0"}},
                 {FORWARD_EXEC, {"EXEC", slot, "1", own.text, "short", "0"}},
                 {FORWARD_EXEC, {"EXEC", slot, "0", "1"}},
                 {FORWARD_EXEC, {"EXEC", slot, "0", "1", "5", "GET", own.text}},
                 {FORWARD_EXEC, {"EXEC", slot, "0", "1", "0"}},
                 {FORWARD_EXEC, {"EXEC", slot, "0", "2", "2", "GET", own.text}},
                 {FORWARD_EXEC, {"EXEC", slot, "0", "1", "1", "GET"}},
                 {FORWARD_EXEC, {"EXEC", slot, "0", "1", "1", "SHUTDOWN"}},
                 {FORWARD_EXEC, {"EXEC", slot, "0", "1", "1", "FLUSHALL"}},
                 {FORWARD_EXEC, {"EXEC", slot, "0", "1", "2", "GET", "other"}},
                 {FORWARD_EXEC, {"EXEC", slot, "0", "1", "3", "CLIENT", "SETNAME", "x"}},
                 {FORWARD_WAIT, {"WAIT"}},
                 {FORWARD_WAIT, {"WAIT", "1"}},
                 {FORWARD_WAIT, {"WAIT", "x", "1"}},
                 {FORWARD_WAIT, {"WAIT", "1", "-1"}},
                 {FORWARD_WAIT, {"WAIT", "1", "1", "99999"}}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint8_t frame[256], *at = frame;
        *at++ = (uint8_t)(i + 1);
        at = encode_varint(at, node->monotonic_ms);
        *at++ = (uint8_t)wrong[i].flags;
        uint8_t *count = at++;
        for (*count = 0; *count < 10 && wrong[i].words[*count] != NULL; ++*count) {
            const char *word = wrong[i].words[*count];
            *at++ = (uint8_t)strlen(word);
            at = (uint8_t *)memcpy(at, word, strlen(word)) + strlen(word);
        }
        buffer_clear(&link->replies);
        cr_assert(forward_execute(node, link, frame, (size_t)(at - frame)));
        bool is_refused = link->replies.data[1] == FORWARD_REFUSED;
        cr_assert(is_refused || link->replies.data[6] == '-', "%zu was executed: %.*s", i,
                  (int)link->replies.size - 6, link->replies.data + 6);
    }
    buffer_clear(&link->replies);
    ring_stage_end(stage);
}

Test(forward, answers_that_nobody_awaits_or_that_make_no_sense_harm_nobody) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct node *node = stage->nodes[0].node;
    struct peer *peer = ring_peer(stage, 0, 1);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key far = ring_key_of(stage, 0, 1, 0);
    static const uint8_t unknown[] = {99, FORWARD_DONE, 5, 0, 0, 0, '+', 'O', 'K', '\r', '\n'};
    cr_assert(forward_answered(node, peer, unknown, sizeof unknown));
    for (size_t size = 1; size < sizeof unknown; size++)
        cr_assert_not(forward_answered(node, peer, unknown, size));
    static const uint8_t empty[] = {99, FORWARD_DONE, 0, 0, 0, 0};
    static const uint8_t outcome[] = {99, FORWARD_UNKNOWN, 0, 0, 0, 0};
    cr_assert_not(forward_answered(node, peer, empty, sizeof empty));
    cr_assert_not(forward_answered(node, peer, outcome, sizeof outcome));
    /* One that comes twice is taken once. */
    ring_hold(stage, 1, 0, true);
    uint8_t twice[32];
    uint8_t *at = encode_varint(twice, peer->awaited_next);
    *at++ = FORWARD_DONE;
    at = encode_fixed(at, 4, 4);
    memcpy(at, ":7\r\n", 4);
    ring_say_format(client, "INCR %s", far.text);
    ring_turn(stage);
    cr_assert(forward_answered(node, peer, twice, (size_t)(at + 4 - twice)));
    cr_assert(forward_answered(node, peer, twice, (size_t)(at + 4 - twice)));
    ring_hold(stage, 1, 0, false);
    EXPECT_HEARD(client, ":7\r\n");
    ring_turn(stage);
    cr_assert_str_eq(ring_hear_now(client), "");
    cr_assert_str_eq(ring_ask_format(client, "GET %s", far.text), "$1\r\n1\r\n");
    ring_stage_end(stage);
}

Test(forward, nonsense_in_the_parts_of_a_gathered_reply_is_an_error_for_the_client) {
    static const char *const parts[] = {"+what\r\n",         "*1\r\n",
                                        "*-1\r\n",           "$5\r\nhello\r\n",
                                        "*2\r\n:1\r\n",      "*99\r\n$1\r\nx\r\n",
                                        "*2\r\n$3\r\nx\r\n", "*2\r\n$99999999999\r\n"};
    static const char *const commands[] = {"MGET a b c d e f", "KEYS *", "SCAN 0", "RANDOMKEY"};
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct node *node = stage->nodes[0].node;
    struct peer *peer = ring_peer(stage, 0, 1);
    struct ring_client *client = ring_connect(stage, 0);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (size_t j = 0; j < sizeof commands / sizeof *commands; j++) {
            uint8_t reply[128];
            uint8_t *at = encode_varint(reply, peer->awaited_next);
            *at++ = FORWARD_DONE;
            at = encode_fixed(at, strlen(parts[i]), 4);
            memcpy(at, parts[i], strlen(parts[i]));
            ring_hold(stage, 1, 0, true);
            ring_say(client, commands[j]);
            ring_turn(stage);
            cr_assert(forward_answered(node, peer, reply, (size_t)(at - reply) + strlen(parts[i])));
            ring_hold(stage, 1, 0, false);
            ring_turn(stage);
            cr_assert_gt(client->heard.size, 0, "%s with %s", commands[j], parts[i]);
            buffer_clear(
                &client->heard); /* what KEYS has joined may be broken: the other node has proved itself */
        }
    ring_stage_end(stage);
}

/* ---- Many ---- */

Test(forward, so_many_requests_may_be_unanswered_that_their_ring_grows) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct ring_client *clients[4];
    struct ring_key far = ring_key_of(stage, 0, 1, 0);
    ring_hold(stage, 1, 0, true);
    for (unsigned i = 0; i < 4; i++) {
        clients[i] = ring_connect(stage, 0);
        for (unsigned j = 0; j < 2000; j++)
            ring_say_format(clients[i], "INCR %s", far.text);
    }
    ring_turn(stage);
    cr_assert_geq(ring_peer(stage, 0, 1)->awaited_capacity, 8000);
    ring_hold(stage, 1, 0, false);
    uint64_t sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        unsigned last = 0, value;
        for (unsigned j = 0; j < 2000; j++) {
            cr_assert_eq(sscanf(ring_hear(clients[i]), ":%u", &value), 1);
            cr_assert_gt(value, last);
            last = value;
            sum += value;
        }
    }
    cr_assert_eq(sum, UINT64_C(8000) * 8001 / 2);
    ring_stage_end(stage);
}

Test(forward, requests_with_more_arguments_than_a_batch_has_room_for_are_executed) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key far = ring_key_of(stage, 0, 1, 0);
    for (unsigned i = 0; i < 5; i++) {
        ring_say_format(client, "INCR %s", far.text);
        buffer_append_text(&client->unsent, "EXISTS");
        for (unsigned j = 0; j < 900 * (i + 1); j++)
            buffer_append_format(&client->unsent, " %s", far.text);
        ring_say(client, "");
        ring_say_format(client, "GET %s", far.text);
    }
    for (unsigned i = 0; i < 5; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, ":%u\r\n", i + 1);
        EXPECT_HEARD(client, expected);
        snprintf(expected, sizeof expected, ":%u\r\n", 900 * (i + 1));
        EXPECT_HEARD(client, expected);
        snprintf(expected, sizeof expected, "$1\r\n%u\r\n", i + 1);
        EXPECT_HEARD(client, expected);
    }
    ring_stage_end(stage);
}
