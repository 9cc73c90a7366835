/* dispatch.c - one command from the row to its reply: checks in Redis's order, the handler, statistics.
 *
 * Tests: tests/unit/node/, tests/differential/, the simulator.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/latency.h"
#include "node/monitor.h"
#include "node/replicate.h"
#include "node/route.h"
#include "node/slowlog.h"
#include "node/state.h"
#include "node/transaction.h"

#include <ctype.h>
#include <stdio.h>

#define ERROR_UNSAVED                                                                                            \
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. "          \
    "Commands that may modify the data set are disabled, because this instance is configured to report errors "  \
    "during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs " \
    "for details about the RDB error."
#define ERROR_MEMORY_LIMIT "OOM command not allowed when used memory > 'maxmemory'."

/* `ERR unknown command` shows so much of what was sent. */
#define SHOWN_NAME_MAX 128

/* The error of a command that is not run. It breaks the transaction that the command was for; an EXEC is the end of it. */
static void reject(struct node *node, struct session *session, const struct command *command,
                   const char *text) {
    if (command->id == COMMAND_ID_EXEC) {
        transaction_refuse(node, session, strncmp(text, "ERR ", 4) == 0 ? text + 4 : text);
        return;
    }
    reply_error(&session->reply, text);
    if (session->flags & SESSION_MULTI)
        session->flags |= SESSION_MULTI_BROKEN;
}

static void reject_unknown(struct session *session, const struct argument *argv, uint32_t argc) {
    char shown[SHOWN_NAME_MAX * 2 + 64];
    size_t size = 0;
    for (uint32_t i = 1; i < argc && size < SHOWN_NAME_MAX; i++) {
        uint32_t left = (uint32_t)(SHOWN_NAME_MAX - size);
        uint32_t shown_size = argv[i].size < left ? argv[i].size : left;
        /* A zero byte would end the text: show what is before it. */
        shown_size = (uint32_t)strnlen((const char *)argv[i].data, shown_size);
        shown[size++] = '\'';
        memcpy(shown + size, argv[i].data, shown_size);
        size += shown_size;
        shown[size++] = '\'';
        shown[size++] = ' ';
    }
    uint32_t name_size = argv[0].size < SHOWN_NAME_MAX ? argv[0].size : SHOWN_NAME_MAX;
    reply_error_format(&session->reply, "ERR unknown command '%.*s', with args beginning with: %.*s",
                       (int)name_size, (const char *)argv[0].data, (int)size, shown);
    if (session->flags & SESSION_MULTI)
        session->flags |= SESSION_MULTI_BROKEN;
}

static void reject_unknown_subcommand(struct session *session, const struct command *container,
                                      const struct argument *name) {
    char upper[32];
    size_t i = 0;
    for (; container->name[i] != '\0' && i < sizeof upper - 1; i++)
        upper[i] = (char)toupper((unsigned char)container->name[i]);
    upper[i] = '\0';
    reply_error_format(&session->reply, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                       (int)(name->size < SHOWN_NAME_MAX ? name->size : SHOWN_NAME_MAX),
                       (const char *)name->data, upper);
    if (session->flags & SESSION_MULTI)
        session->flags |= SESSION_MULTI_BROKEN;
}

static void reject_arity(struct node *node, struct session *session, const struct command *command) {
    char text[128];
    snprintf(text, sizeof text, "ERR wrong number of arguments for '%s' command", command->name);
    reject(node, session, command, text);
}

/* Counts an error reply under its first word. */
static void count_error(struct node *node, const struct reply *reply) {
    struct statistics *statistics = &node->statistics;
    statistics->error_replies++;
    const char *text = (const char *)reply->out->data + reply->error_mark + 1;
    size_t room = reply->out->size - reply->error_mark - 1, size = 0;
    while (size < room && size < STATISTICS_ERROR_NAME_SIZE - 1 && text[size] != ' ' && text[size] != '\r')
        size++;
    for (uint32_t i = 0; i < statistics->error_count; i++)
        if (strlen(statistics->errors[i].name) == size &&
            memcmp(statistics->errors[i].name, text, size) == 0) {
            statistics->errors[i].count++;
            return;
        }
    if (statistics->error_count == STATISTICS_ERRORS_MAX)
        return;
    struct error_statistics *error = &statistics->errors[statistics->error_count++];
    memcpy(error->name, text, size);
    error->name[size] = '\0';
    error->count = 1;
}

/* A web page can make a browser send a request here, whose body would be commands: its first lines betray it. */
static bool is_web_request(const struct argument *argv) {
    return argument_is(&argv[0], "post") || argument_is(&argv[0], "host:");
}

static void reject_web_request(struct node *node, struct session *session) {
    node_log(node, NODE_LOG_WARNING,
             "Client %s closed: it speaks HTTP, perhaps for somebody else (cross-site request)",
             session->peer_address);
    node_kill(node, session, false);
}

/* Finds the subcommand's row; NULL: the error is replied. */
static const struct command *resolve(struct node *node, struct session *session,
                                     const struct command *command, const struct argument *argv,
                                     uint32_t argc) {
    if (UNLIKELY(command == NULL)) {
        if (is_web_request(argv))
            reject_web_request(node, session);
        else
            reject_unknown(session, argv, argc);
        return NULL;
    }
    if (UNLIKELY(command->flags & COMMAND_CONTAINER) && argc > 1) {
        const struct command *subcommand = command_find_subcommand(command, argv[1].data, argv[1].size);
        if (subcommand != NULL) {
            command = subcommand;
        } else {
            reject_unknown_subcommand(session, command, &argv[1]);
            return NULL;
        }
    }
    return command;
}

bool node_is_local(const struct session *session) {
    return session->flags & SESSION_UNIX_SOCKET || strncmp(session->peer_address, "127.", 4) == 0 ||
           strncmp(session->peer_address, "[::1]", 5) == 0;
}

static bool is_protected(const struct node *node, const struct session *session,
                         const struct command *command) {
    return command->id == COMMAND_ID_DEBUG && !node->config->enable_debug_command &&
           !(node->config->enable_debug_command_local && node_is_local(session));
}

/* Whether a command is refused while memory is short: it may take more, or would wait in a transaction's queue. */
static bool needs_memory(const struct session *session, const struct command *command) {
    if (command->id == COMMAND_ID_EXEC)
        return transaction_command_flags(session) & COMMAND_DENYOOM;
    if (session->flags & SESSION_MULTI)
        return command->id != COMMAND_ID_DISCARD && command->id != COMMAND_ID_QUIT &&
               command->id != COMMAND_ID_RESET;
    return command->flags & COMMAND_DENYOOM;
}

/* Whether a command, or for EXEC one of those that it would run, changes keys. */
static bool is_write(const struct session *session, const struct command *command) {
    return (command->id == COMMAND_ID_EXEC ? transaction_command_flags(session) : command->flags) &
           COMMAND_WRITE;
}

/* What is not to be done while keys are loaded, or while they cannot be saved. NULL: nothing speaks against it. */
static const char *refusal(const struct node *node, const struct session *session,
                           const struct command *command) {
    if (persistence_refuses_writes(&node->persistence, node->config) &&
        (command->id == COMMAND_ID_PING || is_write(session, command)))
        return ERROR_UNSAVED;
    bool may_load = command->flags & COMMAND_LOADING &&
                    (command->id != COMMAND_ID_EXEC || transaction_common_flags(session) & COMMAND_LOADING);
    if (node->persistence.is_loading && !may_load)
        return "LOADING Redis is loading the dataset in memory";
    return NULL;
}

/* The checks that stand between a command and its execution; false: rejected, the error is replied. What EXEC runs was
 * checked when it was queued, and with EXEC as a whole. */
static bool is_allowed(struct node *node, struct session *session, const struct command *command,
                       uint32_t argc) {
    if (UNLIKELY(session->flags & SESSION_IN_EXEC))
        return true;
    if (UNLIKELY(!command_arity_fits(command, argc))) {
        reject_arity(node, session, command);
        return false;
    }
    if (UNLIKELY(is_protected(node, session, command))) {
        reject(
            node, session, command,
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it "
            "from a local connection, otherwise you need to set this option in the configuration file, and then "
            "restart the server.");
        return false;
    }
    if (UNLIKELY(!(session->flags & SESSION_AUTHENTICATED)) && node->config->requirepass[0] != '\0' &&
        !(command->flags & COMMAND_NO_AUTH)) {
        reject(node, session, command, "NOAUTH Authentication required.");
        return false;
    }
    if (UNLIKELY(session->flags & SESSION_MULTI) && command->flags & COMMAND_NO_MULTI) {
        reject(node, session, command, "ERR Command not allowed inside a transaction");
        return false;
    }
    if (UNLIKELY(node->config->maxmemory != 0) && node->mem->used_bytes > node->config->maxmemory &&
        needs_memory(session, command)) {
        reject(node, session, command, ERROR_MEMORY_LIMIT);
        return false;
    }
    if (UNLIKELY(node->persistence.has_failed || node->persistence.is_loading)) {
        const char *text = refusal(node, session, command);
        if (text != NULL)
            reject(node, session, command, text);
        return text == NULL;
    }
    return true;
}

const char *node_refuses_transaction(const struct node *node, uint32_t command_flags) {
    if (node->config->maxmemory != 0 && node->mem->used_bytes > node->config->maxmemory &&
        command_flags & COMMAND_DENYOOM)
        return ERROR_MEMORY_LIMIT;
    if (node->persistence.has_failed && command_flags & COMMAND_WRITE &&
        persistence_refuses_writes(&node->persistence, node->config))
        return ERROR_UNSAVED;
    return NULL;
}

/* Runs in spite of an open transaction. */
static bool is_transaction_control(const struct command *command) {
    switch (command->id) {
    case COMMAND_ID_EXEC:
    case COMMAND_ID_DISCARD:
    case COMMAND_ID_MULTI:
    case COMMAND_ID_WATCH:
    case COMMAND_ID_QUIT:
    case COMMAND_ID_RESET: return true;
    default: return false;
    }
}

static inline bool is_silent(const struct session *session) {
    return session->flags & (SESSION_REPLY_OFF | SESSION_REPLY_SKIP);
}

/* What CLIENT REPLY OFF and SKIP swallow is taken back out of the output: where replies were off before the command and
 * after it. So a transaction that turns them off has sent the beginning of its reply. */
static inline void apply_reply_mode(struct session *session, size_t mark, bool was_silent) {
    if (LIKELY(!(session->flags & (SESSION_REPLY_OFF | SESSION_REPLY_SKIP | SESSION_REPLY_SKIP_NEXT))))
        return;
    if (was_silent && is_silent(session))
        reply_rollback(&session->reply, mark);
    if (session->flags & SESSION_IN_EXEC)
        return;
    session->flags &= ~SESSION_REPLY_SKIP;
    if (session->flags & SESSION_REPLY_SKIP_NEXT)
        session->flags = (session->flags & ~SESSION_REPLY_SKIP_NEXT) | SESSION_REPLY_SKIP;
}

static void run_handler(struct node *node, struct session *session, const struct command *command,
                        struct argument *argv, uint32_t argc, size_t mark) {
    struct call call = {.keyspace = node->keyspace,
                        .reply = &session->reply,
                        .command = command,
                        .argv = argv,
                        .argc = argc,
                        .database = session->database,
                        .slots = UNLIKELY(node->routes != NULL) && command->flags & COMMAND_SPREAD
                                     ? cluster_spoken(node->cluster)
                                     : NULL};
    if (UNLIKELY(node->keyspace->has_dropped_own) && command->flags & COMMAND_WRITE &&
        !cluster_prepare_write(node, command, argv, argc)) {
        reply_error(&session->reply, ERROR_NO_MEMORY);
    } else if (LIKELY(command->handler != NULL)) {
        command->handler(&call);
    } else {
        node_handler_of(command)(node, session, &call);
        node_apply_limits(node);
    }
    if (UNLIKELY(!reply_is_complete(&session->reply))) {
        /* The reply found no memory. Handlers reply before they change, so nothing was changed. */
        reply_rollback(&session->reply, mark);
        reply_error(&session->reply, ERROR_NO_MEMORY);
    }
}

/* Runs a command that nothing speaks against; the row if its duration is still to be booked. */
static const struct command *execute(struct node *node, struct session *session, const struct command *row,
                                     struct argument *argv, uint32_t argc, size_t mark) {
    node->statistics.commands++;
    session->commands++;
    node->keyspace->access_is_frozen = session->flags & SESSION_NO_TOUCH && row->id != COMMAND_ID_TOUCH;
    bool is_timed = node_is_timed(row, argc) || session->flags & SESSION_IN_EXEC;
    uint64_t started_ns = UNLIKELY(is_timed) ? node->host.clock_ns(node->host.context) : 0;
    run_handler(node, session, row, argv, argc, mark);
    if (UNLIKELY(node->routes != NULL))
        replicate_command(node, row, session->reply.errors != 0);
    if (UNLIKELY(session->reply.errors != 0))
        node->statistics.of_command[row->id].failed++;
    /* Behind the command, as it is now known which database it left the session in. */
    if (UNLIKELY(!list_is_empty(&node->monitors)) && !(row->flags & (COMMAND_SKIP_MONITOR | COMMAND_ADMIN)) &&
        !(session->flags & SESSION_PEER))
        monitor_feed(node, session, argv, argc);
    if (LIKELY(!is_timed))
        return row;
    node_book(node, session, row, 1, node->host.clock_ns(node->host.context) - started_ns, argv, argc);
    return NULL;
}

const struct command *node_dispatch(struct node *node, struct session *session, const struct command *command,
                                    struct argument *argv, uint32_t argc) {
    struct reply *reply = &session->reply;
    size_t mark = reply_mark(reply);
    bool was_silent = is_silent(session);
    if (UNLIKELY(!buffer_reserve(reply->out, CALL_REPLY_RESERVE))) {
        node_kill(node, session, false);
        return NULL;
    }
    const struct command *row = resolve(node, session, command, argv, argc);
    const struct command *to_book = NULL;
    if (LIKELY(!(session->flags & SESSION_IN_EXEC)))
        session->last_command = row;
    if (UNLIKELY(row == NULL)) {
        /* The error is replied. */
    } else if (UNLIKELY(!is_allowed(node, session, row, argc))) {
        node->statistics.of_command[row->id].rejected++;
    } else if (UNLIKELY(session->flags & SESSION_MULTI) && !is_transaction_control(row)) {
        const char *error =
            UNLIKELY(node->routes != NULL) ? route_check_queued(node, session, row, argv, argc) : NULL;
        if (error != NULL)
            reject(node, session, row, error);
        else if (transaction_queue(node, session, row, argv, argc))
            reply_simple(reply, "QUEUED");
        else
            reject(node, session, row, ERROR_NO_MEMORY);
    } else {
        enum route route = ROUTE_HERE;
        if (UNLIKELY(node->routes != NULL) && !(session->flags & (SESSION_IN_EXEC | SESSION_PEER)))
            route = route_command(node, session, row, argv, argc);
        if (LIKELY(route == ROUTE_HERE))
            to_book = execute(node, session, row, argv, argc, mark);
        else if (route == ROUTE_TAKEN)
            mark = reply_mark(reply); /* the output may be another one now */
    }
    /* Errors of commands that an EXEC has run are counted already, and no longer in reply->errors. */
    if (UNLIKELY(reply->errors != 0) && reply->out->size > reply->error_mark)
        count_error(node, reply);
    reply->errors = 0;
    apply_reply_mode(session, mark, was_silent);
    if (UNLIKELY(session->flags & SESSION_ORDERED) && !(session->flags & SESSION_IN_EXEC))
        route_note_local(node, session, mark);
    return to_book;
}

void node_block(struct session *session, struct list *waiting) {
    session->flags |= SESSION_BLOCKED | (is_silent(session) ? SESSION_WAITS_SILENTLY : 0);
    list_append(waiting, &session->waiting);
}

void node_unblock_with(struct node *node, struct session *session,
                       void (*answer)(struct node *node, struct session *session, void *context),
                       void *context) {
    bool is_unheard = session->flags & SESSION_WAITS_SILENTLY;
    struct reply *reply = &session->reply;
    list_remove(&session->waiting);
    session->flags = (session->flags & ~(SESSION_BLOCKED | SESSION_WAITS_SILENTLY)) | SESSION_RESUME;
    node_raise(node, session);
    /* Others will be served before this reply is sent: the shared buffer is theirs. */
    node_leave_shared_output(node, session);
    size_t mark = reply_mark(reply);
    answer(node, session, context);
    if (!reply_is_complete(reply)) {
        reply_rollback(reply, mark);
        node_kill(node, session, false);
    } else if (reply->errors != 0 && reply->out->size > reply->error_mark) {
        count_error(node, reply);
    }
    reply->errors = 0;
    if (is_unheard)
        reply_rollback(reply, mark);
    if (session->flags & SESSION_REPLY_SKIP_NEXT) /* CLIENT REPLY SKIP, in a transaction that waited */
        session->flags = (session->flags & ~SESSION_REPLY_SKIP_NEXT) | SESSION_REPLY_SKIP;
    if (session->flags & SESSION_ORDERED)
        route_note_local(node, session, mark);
}

/* OK, or the error (a text) that `context` is. */
static void answer_plainly(struct node *node, struct session *session, void *context) {
    if (context == NULL) {
        reply_ok(&session->reply);
    } else {
        reply_error(&session->reply, context);
        node->statistics.of_command[session->last_command->id].failed++;
    }
}

void node_unblock(struct node *node, struct session *session, const char *error) {
    node_unblock_with(node, session, answer_plainly, (void *)(uintptr_t)error);
}

void node_book(struct node *node, struct session *session, const struct command *command, uint32_t count,
               uint64_t duration_ns, struct argument *argv, uint32_t argc) {
    struct command_statistics *statistics = &node->statistics.of_command[command->id];
    statistics->calls += count;
    statistics->duration_ns += duration_ns * count;
    if (LIKELY(node->config->latency_tracking)) {
        if (UNLIKELY(statistics->durations == NULL)) {
            statistics->durations = mem_alloc(node->mem, sizeof *statistics->durations);
            if (statistics->durations != NULL)
                histogram_reset(statistics->durations);
        }
        if (LIKELY(statistics->durations != NULL))
            histogram_record(statistics->durations, duration_ns, count);
    }
    int64_t slow_us = node->config->slowlog_log_slower_than_us;
    if (UNLIKELY(argv != NULL && slow_us >= 0 && duration_ns >= (uint64_t)slow_us * 1000) &&
        !(command->flags & COMMAND_SKIP_SLOWLOG))
        slowlog_note(node, session, argv, argc, duration_ns);
    int64_t latency_ms = node->config->latency_monitor_threshold_ms;
    if (UNLIKELY(latency_ms != 0 && duration_ns >= (uint64_t)latency_ms * 1000000))
        latency_note(node, command->flags & COMMAND_FAST ? "fast-command" : "command", duration_ns);
}
