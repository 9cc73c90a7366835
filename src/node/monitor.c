/* monitor.c - one line for each command that runs, made once and given to all who look.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/monitor.h"

#include "node/handlers.h"
#include "node/redaction.h"

/* A longer argument is cut in the line: its escapes would take four times its memory. */
#define SHOWN_SIZE_MAX (1024 * 1024)

static char letter_of_escape(uint8_t byte) {
    switch (byte) {
    case '\\': return '\\';
    case '"': return '"';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    case '\a': return 'a';
    case '\b': return 'b';
    default: return '\0';
    }
}

static uint8_t *put_escaped(uint8_t *at, uint8_t byte) {
    static const char digits[] = "0123456789abcdef";
    char letter = letter_of_escape(byte);
    if (letter != '\0') {
        *at++ = '\\';
        *at++ = (uint8_t)letter;
    } else if (byte >= ' ' && byte <= '~') {
        *at++ = byte;
    } else {
        *at++ = '\\';
        *at++ = 'x';
        *at++ = (uint8_t)digits[byte >> 4];
        *at++ = (uint8_t)digits[byte & 15];
    }
    return at;
}

void monitor_append_quoted(struct buffer *line, const uint8_t *bytes, size_t size) {
    if (!buffer_reserve(line, 4 * size + 2))
        return;
    uint8_t *at = line->data + line->size;
    *at++ = '"';
    for (size_t i = 0; i < size; i++)
        at = put_escaped(at, bytes[i]);
    *at++ = '"';
    line->size = (size_t)(at - line->data);
}

static void append_argument(struct buffer *line, const struct argument *argument) {
    buffer_append_byte(line, ' ');
    if (argument->size <= SHOWN_SIZE_MAX) {
        monitor_append_quoted(line, argument->data, argument->size);
        return;
    }
    monitor_append_quoted(line, argument->data, SHOWN_SIZE_MAX);
    buffer_append_format(line, "... (%u more bytes)", argument->size - SHOWN_SIZE_MAX);
}

static void append_line(struct buffer *line, const struct node *node, const struct session *session,
                        const struct argument *argv, uint32_t argc) {
    /* The address of a unix socket ends in ":0" everywhere else. */
    bool is_unix = session->flags & SESSION_UNIX_SOCKET;
    int shown_size = (int)strlen(session->peer_address) - (is_unix ? 2 : 0);
    buffer_append_format(line, "+%lld.%06lld [%u %s%.*s]", (long long)(node->wall_us / 1000000),
                         (long long)(node->wall_us % 1000000), session->database, is_unix ? "unix:" : "",
                         shown_size > 0 ? shown_size : 0, session->peer_address);
    struct redaction redaction = redaction_begin(argv, argc);
    for (uint32_t i = 0; i < argc; i++) {
        if (redaction_covers(&redaction, argv, argc, i))
            buffer_append_text(line, " \"" REDACTION_TEXT "\"");
        else
            append_argument(line, &argv[i]);
    }
    buffer_append_text(line, "\r\n");
}

void monitor_feed(struct node *node, struct session *session, const struct argument *argv, uint32_t argc) {
    struct buffer line;
    buffer_init(&line, node->mem);
    append_line(&line, node, session, argv, argc);
    if (!line.failed) {
        LIST_FOR_EACH(link, &node->monitors) {
            struct session *monitor = LIST_ENTRY(link, struct session, monitor);
            if (!(monitor->flags & SESSION_CLOSE_NOW))
                node_push(node, monitor, line.data, line.size);
        }
    }
    buffer_release(&line);
}

void monitor_stop(struct session *session) {
    if (!(session->flags & SESSION_MONITOR))
        return;
    session->flags &= ~SESSION_MONITOR;
    list_remove(&session->monitor);
}

void handle_monitor(struct node *node, struct session *session, struct call *call) {
    if (session->flags & SESSION_IN_EXEC) {
        reply_error(call->reply, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    if (session->flags & SESSION_MONITOR)
        return;
    session->flags |= SESSION_MONITOR;
    list_append(&node->monitors, &session->monitor);
    reply_ok(call->reply);
}
