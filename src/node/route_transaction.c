/* route_transaction.c - WATCH and EXEC in a cluster: one slot, one coordinator, one step.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/encode.h"
#include "base/load.h"
#include "base/number.h"
#include "node/monitor.h"
#include "node/quorum.h"
#include "node/replicate.h"
#include "node/transaction.h"
#include "store/ledger.h"

#define DIGEST_SIZE 8
#define TEXT_SIZE   NUMBER_INT64_SIZE

/* A WATCH that another node answers. */
struct watch_request {
    struct session *session; /* NULL: it has closed */
    struct argument *keys;   /* one block with their bytes */
    uint32_t count;
    size_t block_size;
    bool is_being_sent, is_answered; /* answered while it is being sent: the session does not wait yet */
    const char *error;               /* then */
};

/* An EXEC that another node answers, for the part that has keys. The rest speaks of this node, or of the connection (INFO, CLIENT), and
 * runs here once that part is done. The session keeps its queue until then. */
struct exec_request {
    struct session *session;         /* NULL: it has closed */
    char name[4];                    /* EXEC, in the client's letters: for MONITOR */
    bool is_being_sent, is_answered; /* answered while it is being sent: the session does not wait yet */
};

/* The digest of a key that was deleted ends with this bit, that of one that is there does not. */
#define DIGEST_DELETED 1

/* What a watched key is compared by: 0 while nothing is known of it, or its time is over. */
static uint64_t digest_of(struct node *node, struct argument *key) {
    struct entry entry;
    const struct record *record = keyspace_lookup(node->keyspace, 0, key, LOOKUP_PEEK, &entry);
    if (record != NULL)
        return (ledger_record_digest(node->keyspace, key->hash, record) | 2) & ~(uint64_t)DIGEST_DELETED;
    record = keyspace_find_record(node->keyspace, key);
    return record == NULL || record_type(record) != RECORD_TOMBSTONE
               ? 0
               : ledger_record_digest(node->keyspace, key->hash, record) | DIGEST_DELETED;
}

/* Whether nothing was done to a key. That the tombstone of an absent one is gone is no news: it was dropped, or flushed. */
static bool is_unchanged(uint64_t watched, uint64_t now) {
    return now == watched || (watched & DIGEST_DELETED && now == 0);
}

static bool keep_watched(struct session *session, const struct argument *key, uint64_t digest) {
    struct buffer *watched = &session->cluster->watched;
    if (!buffer_reserve(watched, 4 + (size_t)key->size + DIGEST_SIZE))
        return false;
    uint8_t *at = encode_fixed(watched->data + watched->size, key->size, 4);
    memcpy(at, key->data, key->size);
    encode_fixed(at + key->size, digest, DIGEST_SIZE);
    watched->size += 4 + (size_t)key->size + DIGEST_SIZE;
    session->cluster->watched_count++;
    return true;
}

/* The next of the watched keys. */
static const uint8_t *next_watched(const uint8_t *at, struct argument *key, const uint8_t **digest) {
    *key = (struct argument){.data = at + 4, .size = load_u32(at), .slot = ARGUMENT_NOT_PLACED};
    *digest = at + 4 + key->size;
    return *digest + DIGEST_SIZE;
}

/* A client's command that was answered here, and does not come to its handler. */
static void note_command(struct node *node, struct session *session, const struct argument *argv,
                         uint32_t argc) {
    node->statistics.commands++;
    session->commands++;
    if (!list_is_empty(&node->monitors))
        monitor_feed(node, session, argv, argc);
}

/* ---- WATCH ---- */

void transaction_forget_requests(struct session *session) {
    if (session->cluster->watch_request != NULL)
        session->cluster->watch_request->session = NULL;
    if (session->cluster->exec_request != NULL)
        session->cluster->exec_request->session = NULL;
}

static void free_watch(struct node *node, struct watch_request *request) {
    mem_free(node->mem, request->keys, request->block_size);
    mem_free(node->mem, request, sizeof *request);
}

static void take_watched(struct node *node, void *target, uint32_t part, const uint8_t *reply, size_t size) {
    (void)part;
    struct watch_request *request = target;
    struct session *session = request->session;
    size_t digests = (size_t)request->count * DIGEST_SIZE;
    if (session != NULL) {
        session->cluster->watch_request = NULL;
        const char *error = "ERR the watched keys could not be looked at: they are not watched";
        const uint8_t *line_end = reply[0] == '$' ? memchr(reply, '\n', size) : NULL;
        if (line_end != NULL && (size_t)(reply + size - line_end) == 1 + digests + 2) {
            error = NULL;
            for (uint32_t i = 0; i < request->count && error == NULL; i++)
                if (!keep_watched(session, &request->keys[i],
                                  load_u64(line_end + 1 + (size_t)i * DIGEST_SIZE)))
                    error = ERROR_NO_MEMORY;
        }
        if (request->is_being_sent) {
            request->is_answered = true;
            request->error = error;
            return;
        }
        node_unblock(node, session, error);
    }
    free_watch(node, request);
}

/* Sends [WATCH, slot, key...]; false: no memory. */
static bool watch_elsewhere(struct node *node, struct session *session, struct argument *argv,
                            uint32_t argc) {
    size_t block_size = (argc - 1) * sizeof(struct argument);
    for (uint32_t i = 1; i < argc; i++)
        block_size += argv[i].size;
    struct watch_request *request = mem_alloc(node->mem, sizeof *request);
    struct argument *keys = mem_alloc(node->mem, block_size);
    struct argument *sent = mem_alloc(node->mem, (argc + 1) * sizeof *sent);
    if (request == NULL || keys == NULL || sent == NULL) {
        mem_free(node->mem, request, sizeof *request);
        mem_free(node->mem, keys, block_size);
        mem_free(node->mem, sent, (argc + 1) * sizeof *sent);
        return false;
    }
    uint8_t *bytes = (uint8_t *)(keys + argc - 1);
    for (uint32_t i = 1; i < argc; i++) {
        keys[i - 1] = argv[i];
        keys[i - 1].data = bytes;
        if (argv[i].size != 0)
            memcpy(bytes, argv[i].data, argv[i].size);
        bytes += argv[i].size;
    }
    *request = (struct watch_request){
        .session = session, .keys = keys, .count = argc - 1, .block_size = block_size, .is_being_sent = true};
    session->cluster->watch_request = request;
    char slot[TEXT_SIZE];
    sent[0] = argv[0];
    sent[1] = (struct argument){.data = (const uint8_t *)slot,
                                .size = (uint32_t)number_format_uint64(slot, argv[1].slot),
                                .slot = ARGUMENT_NOT_PLACED};
    memcpy(sent + 2, argv + 1, (argc - 1) * sizeof *sent);
    route_execute_slot(node, argv[1].slot, command_by_id(COMMAND_ID_WATCH), FORWARD_EXEC, sent, argc + 1,
                       (struct sink){take_watched, request, 0});
    mem_free(node->mem, sent, (argc + 1) * sizeof *sent);
    request->is_being_sent = false;
    if (!request->is_answered) {
        node_block(session, &node->cluster->watching);
        return true;
    }
    if (request->error == NULL)
        reply_ok(&session->reply);
    else
        reply_error(&session->reply, request->error);
    free_watch(node, request);
    return true;
}

enum route transaction_watch(struct node *node, struct session *session, struct argument *argv,
                             uint32_t argc) {
    struct session_cluster *of = route_session(node, session);
    if (session->flags & SESSION_MULTI)
        return ROUTE_HERE; /* the handler refuses it */
    if (of == NULL) {
        reply_error(&session->reply, ERROR_NO_MEMORY);
        return ROUTE_REPLIED;
    }
    for (uint32_t i = 1; i < argc; i++)
        keyspace_place(node->keyspace, &argv[i]);
    uint32_t slot = of->watched_count != 0 ? of->watched_slot : argv[1].slot;
    for (uint32_t i = 1; i < argc; i++)
        if (argv[i].slot != slot) {
            reply_error(&session->reply, ERROR_CROSS_SLOT);
            return ROUTE_REPLIED;
        }
    of->watched_slot = slot;
    bool is_fine = true;
    if (cluster_is_open(node->cluster, slot)) {
        for (uint32_t i = 1; i < argc && is_fine; i++)
            is_fine = keep_watched(session, &argv[i], digest_of(node, &argv[i]));
        if (is_fine)
            reply_ok(&session->reply);
    } else {
        is_fine = watch_elsewhere(node, session, argv, argc);
    }
    if (!is_fine)
        reply_error(&session->reply, ERROR_NO_MEMORY);
    note_command(node, session, argv, argc);
    return ROUTE_REPLIED;
}

/* ---- EXEC ---- */

/* Whether what a session watches is as it was. This node coordinates the slot. */
static bool is_as_watched(struct node *node, const struct session_cluster *of) {
    const uint8_t *at = of->watched.data;
    for (uint32_t i = 0; i < of->watched_count; i++) {
        struct argument key;
        const uint8_t *digest;
        at = next_watched(at, &key, &digest);
        if (!is_unchanged(load_u64(digest), digest_of(node, &key)))
            return false;
    }
    return true;
}

/* Whether a queued command is for the node that the slot's keys are at. */
static bool is_about_keys(const struct command *command) {
    return command->first_key > 0 && !(command->flags & COMMAND_LOCAL);
}

static uint32_t count_about_keys(const struct session *session) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < session->queued; i++)
        count += is_about_keys(session->queue[i].command);
    return count;
}

/* The arguments of a request [EXEC, ...], for the commands that are about keys: needs `numbers` to write its numbers to. */
static uint32_t fill_request(const struct session *session, uint32_t slot, struct argument *argv,
                             char *numbers) {
    const struct session_cluster *of = session->cluster;
    uint32_t argc = 0;
    char *text = numbers;
#define PUT_NUMBER(value)                                                                     \
    do {                                                                                      \
        argv[argc++] = (struct argument){.data = (const uint8_t *)text,                       \
                                         .size = (uint32_t)number_format_uint64(text, value), \
                                         .slot = ARGUMENT_NOT_PLACED};                        \
        text += TEXT_SIZE;                                                                    \
    } while (0)
    argv[argc++] = (struct argument){.data = (const uint8_t *)"EXEC", .size = 4, .slot = ARGUMENT_NOT_PLACED};
    PUT_NUMBER(slot);
    PUT_NUMBER(of->watched_count);
    const uint8_t *at = of->watched.data;
    for (uint32_t i = 0; i < of->watched_count; i++) {
        const uint8_t *digest;
        at = next_watched(at, &argv[argc], &digest);
        argc++;
        argv[argc++] = (struct argument){.data = digest, .size = DIGEST_SIZE, .slot = ARGUMENT_NOT_PLACED};
    }
    PUT_NUMBER(count_about_keys(session));
    for (uint32_t i = 0; i < session->queued; i++) {
        const struct queued_command *queued = &session->queue[i];
        if (!is_about_keys(queued->command))
            continue;
        PUT_NUMBER(queued->argc);
        memcpy(argv + argc, queued->argv, queued->argc * sizeof *argv);
        argc += queued->argc;
    }
#undef PUT_NUMBER
    return argc;
}

/* The size of the reply that begins here, whatever it holds; 0: it is none. */
static size_t reply_size(const uint8_t *at, size_t left) {
    size_t size = 0;
    for (uint64_t missing = 1; missing != 0; missing--) {
        const uint8_t *head = at + size, *end = size < left ? memchr(head, '\n', left - size) : NULL;
        int64_t number;
        if (end == NULL || end - head < 2)
            return 0;
        size = (size_t)(end + 1 - at);
        if (strchr("+-:,(#_", head[0]) != NULL)
            continue;
        if (!number_parse_int64((const char *)head + 1, (size_t)(end - head) - 2, &number) ||
            number > (int64_t)left)
            return 0;
        if (number < 0)
            continue;
        if (strchr("$=!", head[0]) != NULL)
            size += (size_t)number + 2;
        else
            missing += (uint64_t)number * (head[0] == '%' ? 2 : 1);
        if (size > left || missing > left)
            return 0;
    }
    return size;
}

/* What another node has answered to the part of a transaction that has keys. */
struct executed {
    const struct exec_request *request;
    const uint8_t *reply;
    size_t size;
};

/* Puts the elements of the other node's reply between what is run here. */
static void merge_executed(struct node *node, struct session *session, const struct executed *executed,
                           size_t at) {
    struct reply *reply = &session->reply;
    session->flags = (session->flags & ~SESSION_MULTI) | SESSION_IN_EXEC;
    reply_array(reply, session->queued);
    for (uint32_t i = 0; i < session->queued; i++) {
        struct queued_command *queued = &session->queue[i];
        if (!is_about_keys(queued->command)) {
            node_dispatch(node, session, queued->command, queued->argv, queued->argc);
            continue;
        }
        if (!list_is_empty(&node->monitors))
            monitor_feed(node, session, queued->argv, queued->argc);
        size_t size = reply_size(executed->reply + at, executed->size - at);
        if (size == 0)
            reply_error(reply, "ERR another node has sent a reply that makes no sense");
        else
            buffer_append(reply->out, executed->reply + at, size);
        at += size;
    }
    session->flags &= ~SESSION_IN_EXEC;
}

static void answer_executed(struct node *node, struct session *session, void *context) {
    const struct executed *executed = context;
    const uint8_t *end = memchr(executed->reply, '\n', executed->size);
    if (executed->reply[0] == '*' && executed->size > 2 && executed->reply[1] != '-' && end != NULL)
        merge_executed(node, session, executed, (size_t)(end + 1 - executed->reply));
    else /* an error; or null, for what was watched has changed */
        buffer_append(session->reply.out, executed->reply, executed->size);
    transaction_reset(node, session);
    struct argument name = {.data = (const uint8_t *)executed->request->name,
                            .size = sizeof executed->request->name};
    if (!list_is_empty(&node->monitors))
        monitor_feed(node, session, &name, 1);
}

static void take_executed(struct node *node, void *target, uint32_t part, const uint8_t *reply, size_t size) {
    (void)part;
    struct exec_request *request = target;
    struct executed executed = {request, reply, size};
    if (request->session != NULL) {
        request->session->cluster->exec_request = NULL;
        if (request->is_being_sent) {
            answer_executed(node, request->session, &executed);
            request->is_answered = true;
            return;
        }
        node_unblock_with(node, request->session, answer_executed, &executed);
    }
    mem_free(node->mem, request, sizeof *request);
}

/* Sends the part that has keys; the client's reply will stand in its place. */
static bool exec_whole(struct node *node, struct session *session, uint32_t slot, struct argument *argv,
                       uint32_t argc) {
    struct reply_place *place = route_keep_place(node, session);
    if (place == NULL)
        return false;
    route_execute_slot(node, slot, command_by_id(COMMAND_ID_EXEC),
                       FORWARD_EXEC | route_session_flags(session), argv, argc, route_place_sink(place));
    transaction_reset(node, session);
    return true;
}

/* The same, but the session waits, because something is to be done here then. */
static bool exec_and_wait(struct node *node, struct session *session, uint32_t slot, struct argument *argv,
                          uint32_t argc, const struct argument *name) {
    struct exec_request *request = mem_alloc(node->mem, sizeof *request);
    if (request == NULL)
        return false;
    *request = (struct exec_request){.session = session, .is_being_sent = true};
    memcpy(request->name, name->data, sizeof request->name);
    session->cluster->exec_request = request;
    route_execute_slot(node, slot, command_by_id(COMMAND_ID_EXEC),
                       FORWARD_EXEC | route_session_flags(session), argv, argc,
                       (struct sink){take_executed, request, 0});
    request->is_being_sent = false;
    if (request->is_answered)
        mem_free(node->mem, request, sizeof *request);
    else
        node_block(session, &node->cluster->watching);
    return true;
}

static enum route exec_elsewhere(struct node *node, struct session *session, uint32_t slot,
                                 const struct argument *name) {
    uint32_t about_keys = count_about_keys(session);
    size_t argc = 4 + 2 * (size_t)session->cluster->watched_count,
           numbers_size = (3 + session->queued) * TEXT_SIZE;
    for (uint32_t i = 0; i < session->queued; i++)
        argc += is_about_keys(session->queue[i].command) ? 1 + session->queue[i].argc : 0;
    struct argument *argv = mem_alloc(node->mem, argc * sizeof *argv);
    char *numbers = mem_alloc(node->mem, numbers_size);
    bool is_whole = about_keys == session->queued && list_is_empty(&node->monitors), is_sent = false;
    if (argv != NULL && numbers != NULL) {
        uint32_t used = fill_request(session, slot, argv, numbers);
        CHECK(used == argc);
        is_sent = is_whole ? exec_whole(node, session, slot, argv, used)
                           : exec_and_wait(node, session, slot, argv, used, name);
    }
    if (is_sent) {
        node->statistics.commands += 1 + about_keys;
        session->commands++;
    } else {
        reply_error(&session->reply, ERROR_NO_MEMORY);
        transaction_reset(node, session);
    }
    mem_free(node->mem, argv, argc * sizeof *argv);
    mem_free(node->mem, numbers, numbers_size);
    return is_sent && is_whole ? ROUTE_TAKEN : ROUTE_REPLIED;
}

/* What was queued while there was nobody else has its slot looked at now. Returns what speaks against it; NULL: nothing. */
static const char *place_queue(struct node *node, struct session *session) {
    const char *error = NULL;
    if (session->cluster->transaction_slot != ARGUMENT_NOT_PLACED)
        return NULL;
    for (uint32_t i = 0; i < session->queued && error == NULL; i++) {
        const struct queued_command *queued = &session->queue[i];
        error = route_check_queued(node, session, queued->command, queued->argv, queued->argc);
    }
    return error;
}

enum route transaction_exec(struct node *node, struct session *session, struct argument *argv,
                            uint32_t argc) {
    struct session_cluster *of = route_session(node, session);
    if (!(session->flags & SESSION_MULTI) || session->flags & SESSION_MULTI_BROKEN)
        return ROUTE_HERE;
    const char *error = of == NULL ? ERROR_NO_MEMORY : place_queue(node, session);
    if (error != NULL) {
        reply_error(&session->reply, error);
        transaction_reset(node, session);
        return ROUTE_REPLIED;
    }
    uint32_t slot = of->transaction_slot;
    if (slot == ARGUMENT_NOT_PLACED && of->watched_count == 0)
        return ROUTE_HERE; /* no keys at all */
    if (slot == ARGUMENT_NOT_PLACED)
        slot = of->watched_slot;
    if (of->watched_count != 0 && of->watched_slot != slot) {
        reply_error(&session->reply, ERROR_CROSS_SLOT);
    } else if (!cluster_is_open(node->cluster, slot) && session->watcher.keys != NULL) {
        reply_null_array(
            &session->reply); /* watched while there was nobody else: who knows what has become of it */
    } else if (!cluster_is_open(node->cluster, slot) || quorum_concerns(node, session)) {
        /* Also where the slot has just become this node's own: behind its commands that are still under way. */
        return exec_elsewhere(node, session, slot, &argv[0]);
    } else if (is_as_watched(node, of)) {
        return ROUTE_HERE;
    } else {
        reply_null_array(&session->reply);
    }
    transaction_reset(node, session);
    note_command(node, session, argv, argc);
    return ROUTE_REPLIED;
}

/* ---- For other nodes ---- */

/* The number at *at, which moves on; false: it is none, or above `most`. */
static bool take_number(const struct argument *argv, uint32_t argc, uint32_t *at, uint32_t most,
                        uint32_t *number) {
    int64_t value;
    if (*at >= argc || !number_parse_int64((const char *)argv[*at].data, argv[*at].size, &value) ||
        value < 0 || value > most)
        return false;
    (*at)++;
    *number = (uint32_t)value;
    return true;
}

uint32_t transaction_slot(const struct argument *argv, uint32_t argc) {
    uint32_t at = 1, slot;
    return take_number(argv, argc, &at, SLOT_COUNT - 1, &slot) ? slot : 0;
}

static void answer_watch(struct node *node, struct session *session, struct argument *keys, uint32_t count) {
    uint8_t *space = reply_bulk_space(&session->reply, (size_t)count * DIGEST_SIZE);
    for (uint32_t i = 0; space != NULL && i < count; i++)
        space = encode_fixed(space, digest_of(node, &keys[i]), DIGEST_SIZE);
}

/* The row of a queued command whose keys are all in the slot; NULL: it is none. */
static const struct command *queued_row(struct node *node, struct argument *argv, uint32_t argc,
                                        uint32_t slot) {
    const struct command *top = command_find(node->commands, argv[0].data, argv[0].size);
    const struct command *row = command_row(top, argv, argc);
    if (row == NULL || !command_arity_fits(row, argc) || row->flags & COMMAND_NO_MULTI || !is_about_keys(row))
        return NULL;
    int last = command_last_key(row, argc);
    for (int i = row->first_key; i > 0 && i <= last; i += row->key_step) {
        keyspace_place(node->keyspace, &argv[i]);
        if (argv[i].slot != slot)
            return NULL;
    }
    return row;
}

/* Runs the commands from argv[at] on; all of them were looked at. */
static void run_commands(struct node *node, struct session *session, struct argument *argv, uint32_t argc,
                         uint32_t at, uint32_t commands) {
    size_t mark = reply_mark(&session->reply);
    session->flags |= SESSION_IN_EXEC;
    reply_array(&session->reply, commands);
    for (uint32_t i = 0; i < commands; i++) {
        uint32_t count;
        if (!take_number(argv, argc, &at, argc, &count))
            break;
        node_dispatch(node, session, command_find(node->commands, argv[at].data, argv[at].size), argv + at,
                      count);
        at += count;
    }
    session->flags &= ~SESSION_IN_EXEC;
    if (session->flags &
        SESSION_CLOSE_NOW) { /* a command found no memory to begin with: its reply is missing */
        reply_rollback(&session->reply, mark);
        reply_error(&session->reply, ERROR_INDETERMINATE);
    }
}

static void run_exec(struct node *node, struct session *session, struct argument *argv, uint32_t argc,
                     uint32_t slot) {
    uint32_t at = 2, watched, commands, count;
    if (!take_number(argv, argc, &at, argc / 2, &watched) || at + 2 * watched >= argc)
        goto malformed;
    bool is_stale = false;
    for (uint32_t i = 0; i < watched; i++, at += 2) {
        keyspace_place(node->keyspace, &argv[at]);
        if (argv[at].slot != slot || argv[at + 1].size != DIGEST_SIZE)
            goto malformed;
        is_stale = is_stale || !is_unchanged(load_u64(argv[at + 1].data), digest_of(node, &argv[at]));
    }
    if (!take_number(argv, argc, &at, argc, &commands))
        goto malformed;
    uint32_t first = at, command_flags = 0;
    for (uint32_t i = 0; i < commands; i++) {
        if (!take_number(argv, argc, &at, argc, &count) || count == 0 || count > argc - at)
            goto malformed;
        const struct command *row = queued_row(node, argv + at, count, slot);
        if (row == NULL)
            goto malformed;
        command_flags |= row->flags;
        at += count;
    }
    const char *refusal = node_refuses_transaction(node, command_flags);
    if (refusal != NULL)
        reply_error_format(&session->reply, "EXECABORT Transaction discarded because of: %s", refusal);
    else if (is_stale)
        reply_null_array(&session->reply);
    else
        run_commands(node, session, argv, argc, first, commands);
    return;
malformed:
    reply_error(&session->reply, "ERR this is no transaction that this node can run");
}

/* The keys of one queued command. */
static void visit_keys(struct node *node, const struct command *row, struct argument *argv, uint32_t argc,
                       void (*visit)(void *context, struct argument *key), void *context) {
    int last = command_last_key(row, argc);
    for (int i = row->first_key; i > 0 && i <= last; i += row->key_step) {
        keyspace_place(node->keyspace, &argv[i]);
        visit(context, &argv[i]);
    }
}

bool transaction_look(struct node *node, struct argument *argv, uint32_t argc, uint32_t *command_flags,
                      void (*visit)(void *context, struct argument *key), void *context) {
    uint32_t at = 1, slot, watched, commands, count;
    *command_flags = 0;
    if (!take_number(argv, argc, &at, SLOT_COUNT - 1, &slot))
        return false;
    bool is_watch = argument_is(&argv[0], "watch");
    if (is_watch)
        watched = argc - at;
    else if (!take_number(argv, argc, &at, argc / 2, &watched) || at + 2 * watched >= argc)
        return false;
    for (uint32_t i = 0; i < watched; i++, at += is_watch ? 1 : 2) {
        keyspace_place(node->keyspace, &argv[at]);
        visit(context, &argv[at]);
    }
    if (is_watch)
        return true;
    if (!take_number(argv, argc, &at, argc, &commands))
        return false;
    for (uint32_t i = 0; i < commands; i++, at += count) {
        if (!take_number(argv, argc, &at, argc, &count) || count == 0 || count > argc - at)
            return false;
        const struct command *row = queued_row(node, argv + at, count, slot);
        if (row == NULL)
            return false;
        *command_flags |= row->flags;
        visit_keys(node, row, argv + at, count, visit, context);
    }
    return true;
}

void transaction_run_forwarded(struct node *node, struct session *session, unsigned flags,
                               struct argument *argv, uint32_t argc) {
    uint32_t at = 1, slot;
    if (node->persistence.is_loading || !take_number(argv, argc, &at, SLOT_COUNT - 1, &slot) ||
        !route_may_execute(node, slot, flags & ~FORWARD_REPLICA))
        return;
    node->cluster->forwarded_here++;
    if (argument_is(&argv[0], "watch"))
        answer_watch(node, session, argv + at, argc - at);
    else
        run_exec(node, session, argv, argc, slot);
}
