/* server_commands.c - the small commands about the server: TIME, ROLE, WAIT, LOLWUT, COMMAND, and every HELP.
 *
 * May touch: node, cmd. Must never know: processes, files.
 * Tests: tests/unit/node/server_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"
#include "node/command_docs.h"
#include "node/handlers.h"
#include "node/release.h"
#include "node/text_reply.h"

#include <limits.h>

void handle_time(struct node *node, struct session *session, struct call *call) {
    (void)session;
    reply_array(call->reply, 2);
    reply_bulk_integer(call->reply, node->wall_us / 1000000);
    reply_bulk_integer(call->reply, node->wall_us % 1000000);
}

void handle_role(struct node *node, struct session *session, struct call *call) {
    (void)node;
    (void)session;
    reply_array(call->reply, 3);
    reply_bulk_text(call->reply, "master");
    reply_integer(call->reply, 0);
    reply_array(call->reply, 0);
}

/* Alone there is nobody whose word could be waited for. */
void handle_wait(struct node *node, struct session *session, struct call *call) {
    (void)node;
    (void)session;
    int64_t replicas, timeout_ms;
    if (!call_integer(call, 1, &replicas, NULL) ||
        !call_integer(call, 2, &timeout_ms, "ERR timeout is not an integer or out of range"))
        return;
    if (timeout_ms < 0)
        reply_error(call->reply, "ERR timeout is negative");
    else
        reply_integer(call->reply, 0);
}

/* ---- LOLWUT ---- */

#define ART_WIDTH_MAX  200
#define ART_HEIGHT_MAX 100

/* A ring of slots, with keys that fell where they fell: drawn anew each time. */
static void draw_ring(struct buffer *text, struct rng *random, unsigned width, unsigned height) {
    for (unsigned y = 0; y < height; y++) {
        for (unsigned x = 0; x < width; x++) {
            double across = (2.0 * x + 1) / width - 1, down = (2.0 * y + 1) / height - 1;
            double radius = across * across + down * down;
            bool is_on_ring = radius > 0.55 && radius < 1;
            buffer_append_byte(text, !is_on_ring ? ' ' : ".:oO"[rng_below(random, 4)]);
        }
        buffer_append_byte(text, '\n');
    }
}

/* The number at argv[index], if there is one, between 1 and `most`. false: it is no number; the error is
 * replied if is_strict, otherwise it is passed over. */
static bool art_number(struct call *call, uint32_t index, bool is_strict, unsigned most, unsigned *number) {
    int64_t wanted;
    if (index >= call->argc)
        return true;
    const struct argument *word = &call->argv[index];
    if (!number_parse_int64((const char *)word->data, word->size, &wanted)) {
        if (is_strict)
            reply_error(call->reply, ERROR_NOT_INTEGER);
        return !is_strict;
    }
    *number = wanted < 1 ? 1 : wanted > most ? most : (unsigned)wanted;
    return true;
}

/* LOLWUT [VERSION version] [width] [height]. The drawings of versions 5 and 6 are known to check their
 * numbers. */
void handle_lolwut(struct node *node, struct session *session, struct call *call) {
    (void)session;
    unsigned width = 40, height = 16, version = 0;
    bool has_version = call->argc > 2 && argument_is(&call->argv[1], "version");
    if (has_version && !art_number(call, 2, true, INT_MAX, &version))
        return;
    uint32_t first = has_version ? 3 : 1;
    bool is_strict = version == 5 || version == 6;
    if (!art_number(call, first, is_strict, ART_WIDTH_MAX, &width) ||
        !art_number(call, first + 1, is_strict, ART_HEIGHT_MAX, &height))
        return;
    struct buffer text;
    buffer_init(&text, node->mem);
    draw_ring(&text, &node->keyspace->random, width, height);
    buffer_append_text(&text, "\nA ring without a leader. redis-kv ver. " REDIS_KV_VERSION
                              " (Redis ver. " REDIS_LEVEL_VERSION ")\n");
    text_reply(call, &text);
}

/* ---- COMMAND, HELP ---- */

void handle_help(struct node *node, struct session *session, struct call *call) {
    (void)node;
    (void)session;
    command_docs_help(call->reply, command_by_id(call->command->parent));
}

void handle_command(struct node *node, struct session *session, struct call *call) {
    (void)node;
    (void)session;
    command_docs_all(call->reply);
}

void handle_command_count(struct node *node, struct session *session, struct call *call) {
    (void)node;
    (void)session;
    command_docs_count(call->reply);
}

void handle_command_info(struct node *node, struct session *session, struct call *call) {
    (void)session;
    command_docs_info(call->reply, node->commands, call->argv, call->argc);
}

void handle_command_docs(struct node *node, struct session *session, struct call *call) {
    (void)session;
    command_docs_docs(call->reply, node->commands, call->argv, call->argc);
}

void handle_command_list(struct node *node, struct session *session, struct call *call) {
    (void)node;
    (void)session;
    if (call->argc < 5 || call_pattern(call, 4))
        command_docs_list(call->reply, call->argv, call->argc);
}

void handle_command_getkeys(struct node *node, struct session *session, struct call *call) {
    (void)session;
    command_docs_getkeys(call->reply, node->commands, call->argv, call->argc, false);
}

void handle_command_getkeysandflags(struct node *node, struct session *session, struct call *call) {
    (void)session;
    command_docs_getkeys(call->reply, node->commands, call->argv, call->argc, true);
}
