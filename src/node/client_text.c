/* client_text.c - one pass over a session or over all of them.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/client_text.h"

static const struct {
    uint32_t flag;
    char letter;
} letters[] = {
    {SESSION_MONITOR, 'O'},   {SESSION_MULTI | SESSION_IN_EXEC, 'x'},
    {SESSION_BLOCKED, 'b'},   {SESSION_CLOSE_AFTER_REPLY, 'c'},
    {SESSION_CLOSE_NOW, 'A'}, {SESSION_UNIX_SOCKET, 'U'},
    {SESSION_READONLY, 'r'},  {SESSION_NO_EVICT, 'e'},
    {SESSION_NO_TOUCH, 'T'},
};
#define LETTER_COUNT (sizeof letters / sizeof *letters)

/* Text of LETTER_COUNT + 2 letters at most ('d' for a broken watch has no flag of its own). */
static void flags_text(const struct session *session, char text[LETTER_COUNT + 2]) {
    char *at = text;
    for (unsigned i = 0; i < LETTER_COUNT; i++) {
        if (letters[i].flag == SESSION_CLOSE_AFTER_REPLY && session->watcher.is_broken)
            *at++ = 'd';
        if (session->flags & letters[i].flag)
            *at++ = letters[i].letter;
    }
    if (at == text)
        *at++ = 'N';
    *at = '\0';
}

static size_t unsent_bytes(const struct session *session) {
    return session->pending.size - session->pending_sent;
}

size_t client_memory_bytes(const struct session *session) {
    return sizeof *session + session->input.capacity + session->pending.capacity + session->name.capacity +
           session->library_name.capacity + session->library_version.capacity + session->queued_bytes;
}

static void append_field(struct buffer *text, const char *name, const struct buffer *value) {
    buffer_append_text(text, name);
    buffer_append(text, value->data, value->size);
}

static unsigned long long seconds_since(const struct node *node, uint64_t moment_ms) {
    return (node->monotonic_ms - moment_ms) / 1000;
}

static const char *last_command_name(const struct session *session) {
    return session->last_command == NULL ? "NULL" : session->last_command->name;
}

void client_text_append(const struct node *node, const struct session *session, struct buffer *text) {
    char flags[LETTER_COUNT + 2];
    flags_text(session, flags);
    bool is_in_transaction = session->flags & (SESSION_MULTI | SESSION_IN_EXEC);
    buffer_append_format(text, "id=%llu addr=%s laddr=%s fd=%d", (unsigned long long)session->id,
                         session->peer_address, session->local_address, session->descriptor);
    append_field(text, " name=", &session->name);
    buffer_append_format(text, " age=%llu idle=%llu flags=%s db=%u sub=0 psub=0 ssub=0 multi=%d",
                         seconds_since(node, session->created_ms), seconds_since(node, session->active_ms),
                         flags, session->database, is_in_transaction ? (int)session->queued : -1);
    buffer_append_format(text, " qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=%zu rbs=%zu rbp=%zu",
                         session->input.size, session->input.capacity - session->input.size,
                         session->queued_bytes, session->pending.capacity, session->pending.size);
    buffer_append_format(
        text, " obl=%zu oll=0 omem=%zu tot-mem=%zu events=%s cmd=%s user=default redir=-1 resp=%u",
        unsent_bytes(session), session->pending.capacity, client_memory_bytes(session),
        unsent_bytes(session) == 0 ? "r" : "rw", last_command_name(session), session->reply.protocol);
    append_field(text, " lib-name=", &session->library_name);
    append_field(text, " lib-ver=", &session->library_version);
    buffer_append_byte(text, '\n');
}

static void add(struct client_totals *totals, const struct session *session) {
    totals->connected++;
    totals->blocked += (session->flags & SESSION_BLOCKED) != 0;
    totals->in_transaction += (session->flags & SESSION_MULTI) != 0;
    totals->watching += session->watcher.keys != NULL;
    totals->memory_bytes += client_memory_bytes(session);
    if (session->input.capacity > totals->longest_input_bytes)
        totals->longest_input_bytes = session->input.capacity;
    if (unsent_bytes(session) > totals->longest_output_bytes)
        totals->longest_output_bytes = unsent_bytes(session);
}

void client_totals_collect(const struct node *node, struct client_totals *totals) {
    *totals = (struct client_totals){0};
    LIST_FOR_EACH(link, &node->sessions) {
        const struct session *session = LIST_ENTRY(link, struct session, all);
        if (!(session->flags & SESSION_CLOSE_NOW))
            add(totals, session);
    }
}
