/* transaction.c - the queue of MULTI in counted memory; EXEC, DISCARD, WATCH, UNWATCH.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/transaction.h"

#include "node/handlers.h"

#define FIRST_CAPACITY 8

/* ---- The queue ---- */

static bool has_room(struct node *node, struct session *session) {
    if (session->queued < session->queue_capacity)
        return true;
    uint32_t capacity = session->queue_capacity == 0 ? FIRST_CAPACITY : session->queue_capacity * 2;
    struct queued_command *queue = mem_resize(
        node->mem, session->queue, session->queue_capacity * sizeof *queue, capacity * sizeof *queue);
    if (queue == NULL)
        return false;
    session->queue = queue;
    session->queue_capacity = capacity;
    return true;
}

/* Bytes of one block for a command's arguments: first their descriptions, then what these point to. */
static size_t block_size(const struct argument *argv, uint32_t argc) {
    size_t size = argc * sizeof(struct argument);
    for (uint32_t i = 0; i < argc; i++)
        size += argv[i].size;
    return size;
}

static void fill_block(uint8_t *block, const struct argument *argv, uint32_t argc) {
    struct argument *copies = (struct argument *)(void *)block;
    uint8_t *at = block + argc * sizeof *copies;
    for (uint32_t i = 0; i < argc; i++) {
        copies[i] = argv[i];
        copies[i].data = at;
        if (argv[i].size != 0)
            memcpy(at, argv[i].data, argv[i].size);
        at += argv[i].size;
    }
}

bool transaction_queue(struct node *node, struct session *session, const struct command *command,
                       const struct argument *argv, uint32_t argc) {
    size_t size = block_size(argv, argc);
    size_t counted = size + sizeof(struct queued_command);
    if (session->queued_bytes + counted > node->config->client_query_buffer_limit) {
        node->statistics.input_buffer_closed++;
        node_log(node, NODE_LOG_WARNING, "Client %s closed: its transaction passes client-query-buffer-limit",
                 session->peer_address);
        node_kill(node, session, false);
        return false;
    }
    if (!has_room(node, session))
        return false;
    uint8_t *block = mem_alloc(node->mem, size);
    if (block == NULL)
        return false;
    fill_block(block, argv, argc);
    session->queue[session->queued++] = (struct queued_command){.command = command,
                                                                .argv = (struct argument *)(void *)block,
                                                                .argc = argc,
                                                                .bytes = block,
                                                                .byte_count = size};
    session->queued_bytes += counted;
    return true;
}

uint32_t transaction_command_flags(const struct session *session) {
    uint32_t flags = 0;
    for (uint32_t i = 0; i < session->queued; i++)
        flags |= session->queue[i].command->flags;
    return flags;
}

uint32_t transaction_common_flags(const struct session *session) {
    uint32_t flags = UINT32_MAX;
    for (uint32_t i = 0; i < session->queued; i++)
        flags &= session->queue[i].command->flags;
    return flags;
}

bool transaction_has_writes(const struct session *session) {
    return transaction_command_flags(session) & (COMMAND_WRITE | COMMAND_MAY_REPLICATE);
}

static void empty_queue(struct node *node, struct session *session) {
    for (uint32_t i = 0; i < session->queued; i++)
        mem_free(node->mem, session->queue[i].bytes, session->queue[i].byte_count);
    mem_free(node->mem, session->queue, session->queue_capacity * sizeof *session->queue);
    session->queue = NULL;
    session->queued = session->queue_capacity = 0;
    session->queued_bytes = 0;
}

/* In a cluster: the versions that were watched, and the slot that the queue is about. */
static void forget_slots(struct session *session) {
    if (session->cluster == NULL)
        return;
    session->cluster->transaction_slot = ARGUMENT_NOT_PLACED;
    session->cluster->watched_count = 0;
    buffer_clear(&session->cluster->watched);
}

void transaction_reset(struct node *node, struct session *session) {
    empty_queue(node, session);
    watch_clear(node->keyspace->watch, &session->watcher);
    session->flags &= ~(SESSION_MULTI | SESSION_MULTI_BROKEN);
    forget_slots(session);
}

void transaction_refuse(struct node *node, struct session *session, const char *reason) {
    transaction_reset(node, session);
    reply_error_format(&session->reply, "EXECABORT Transaction discarded because of: %s", reason);
}

/* ---- WATCH ---- */

/* Whether the key is there, but its time is over. Nothing is reclaimed by asking. */
static bool is_expired(const struct keyspace *keyspace, uint32_t database, struct argument *key) {
    struct database *of = keyspace->databases[database];
    if (of == NULL)
        return false;
    keyspace_place(keyspace, key);
    const struct record *record = dict_find(&of->slots[key->slot], key->hash, key->data, key->size, NULL);
    return record != NULL && record->flags & RECORD_EXPIRY && record_expiry_ms(record) < keyspace->now_ms;
}

/* A key whose time came after it was watched has changed, though nobody has touched it yet. */
static bool has_expired_since(void *context, uint32_t database, struct argument *key, bool was_expired) {
    const struct keyspace *keyspace = context;
    return !was_expired && is_expired(keyspace, database, key);
}

static bool is_promise_broken(const struct node *node, const struct session *session) {
    return session->watcher.is_broken || watch_each(&session->watcher, has_expired_since, node->keyspace);
}

void handle_watch(struct node *node, struct session *session, struct call *call) {
    if (session->flags & SESSION_MULTI) {
        reply_error(call->reply, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    bool watched_nothing = session->watcher.keys == NULL;
    for (uint32_t i = 1; i < call->argc; i++) {
        struct argument *key = &call->argv[i];
        keyspace_place(node->keyspace, key);
        bool was_expired = is_expired(node->keyspace, session->database, key);
        if (watch_add(node->keyspace->watch, &session->watcher, session->database, key, was_expired))
            continue;
        /* Keys that were watched before cannot be told from those of this call: to watch too much is no harm. */
        if (watched_nothing)
            watch_clear(node->keyspace->watch, &session->watcher);
        call_no_memory(call);
        return;
    }
    reply_ok(call->reply);
}

void handle_unwatch(struct node *node, struct session *session, struct call *call) {
    watch_clear(node->keyspace->watch, &session->watcher);
    if (session->cluster != NULL) {
        session->cluster->watched_count = 0;
        buffer_clear(&session->cluster->watched);
    }
    reply_ok(call->reply);
}

/* ---- MULTI, DISCARD, EXEC ---- */

void handle_multi(struct node *node, struct session *session, struct call *call) {
    (void)node;
    if (session->flags & SESSION_MULTI) {
        reply_error(call->reply, "ERR MULTI calls can not be nested");
        return;
    }
    session->flags |= SESSION_MULTI;
    reply_ok(call->reply);
}

void handle_discard(struct node *node, struct session *session, struct call *call) {
    if (!(session->flags & SESSION_MULTI)) {
        reply_error(call->reply, "ERR DISCARD without MULTI");
        return;
    }
    transaction_reset(node, session);
    reply_ok(call->reply);
}

static bool is_silent(const struct session *session) {
    return session->flags & (SESSION_REPLY_OFF | SESSION_REPLY_SKIP);
}

/* Runs the queue. A command may close the session: those behind it still run, but nobody hears of them. */
static void run_queue(struct node *node, struct session *session, struct reply *reply) {
    session->flags = (session->flags & ~SESSION_MULTI) | SESSION_IN_EXEC;
    if (!is_silent(session))
        reply_array(reply, session->queued);
    for (uint32_t i = 0; i < session->queued; i++) {
        struct queued_command *queued = &session->queue[i];
        bool is_closing = session->flags & SESSION_CLOSE_AFTER_REPLY;
        size_t mark = reply_mark(reply);
        node_dispatch(node, session, queued->command, queued->argv, queued->argc);
        if (is_closing)
            reply_rollback(reply, mark);
    }
    session->flags &= ~SESSION_IN_EXEC;
}

void handle_exec(struct node *node, struct session *session, struct call *call) {
    if (!(session->flags & SESSION_MULTI)) {
        reply_error(call->reply, "ERR EXEC without MULTI");
        return;
    }
    bool is_broken = session->flags & SESSION_MULTI_BROKEN;
    bool is_stale = is_promise_broken(node, session);
    /* From here on nothing is watched: what the transaction itself changes is no news. */
    watch_clear(node->keyspace->watch, &session->watcher);
    if (is_broken)
        reply_error(call->reply, "EXECABORT Transaction discarded because of previous errors.");
    else if (is_stale)
        reply_null_array(call->reply);
    else
        run_queue(node, session, call->reply);
    transaction_reset(node, session);
}
