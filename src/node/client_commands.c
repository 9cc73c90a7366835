/* client_commands.c - CLIENT's view of all sessions: LIST, INFO, KILL, PAUSE, UNPAUSE, UNBLOCK.
 *
 * May touch: node, base. Must never know: sockets (a session is only marked to be closed).
 * Invariants: a session that is marked to be closed at once is no longer listed nor killed again.
 * Tests: tests/unit/node/client_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/client_text.h"
#include "node/handlers.h"
#include "node/text_reply.h"

#include <stdlib.h>

/* ---- Kinds of clients ---- */

enum client_kind { KIND_ANY, KIND_NORMAL, KIND_OTHER, KIND_UNKNOWN };

/* There are no replicas and no subscribers yet; asking for them finds none. */
static enum client_kind kind_by_name(const struct argument *name) {
    static const char *const others[] = {"slave", "replica", "pubsub", "master"};
    if (argument_is(name, "normal"))
        return KIND_NORMAL;
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
        if (argument_is(name, others[i]))
            return KIND_OTHER;
    return KIND_UNKNOWN;
}

static void reply_unknown_kind(struct call *call, const struct argument *name) {
    reply_error_format(call->reply, "ERR Unknown client type '%.*s'", (int)name->size,
                       (const char *)name->data);
}

static bool is_going(const struct session *session) {
    return session->flags & SESSION_CLOSE_NOW;
}

/* ---- LIST, INFO ---- */

void handle_client_info(struct node *node, struct session *session, struct call *call) {
    struct buffer text;
    buffer_init(&text, node->mem);
    client_text_append(node, session, &text);
    text_reply(call, &text);
}

static void append_all(const struct node *node, struct buffer *text) {
    LIST_FOR_EACH(link, &node->sessions) {
        const struct session *session = LIST_ENTRY(link, struct session, all);
        if (!is_going(session))
            client_text_append(node, session, text);
    }
}

struct indexed_session {
    uint64_t id;
    const struct session *session;
};

static int compare_ids(const void *first, const void *second) {
    uint64_t a = ((const struct indexed_session *)first)->id,
             b = ((const struct indexed_session *)second)->id;
    return a < b ? -1 : a > b;
}

/* All sessions by id: with it a long list of ids costs no pass over all sessions for each of them. */
static struct indexed_session *index_sessions(const struct node *node, size_t *count) {
    struct indexed_session *index = mem_alloc(node->mem, node->session_count * sizeof *index);
    *count = 0;
    if (index == NULL)
        return NULL;
    LIST_FOR_EACH(link, &node->sessions) {
        const struct session *session = LIST_ENTRY(link, struct session, all);
        if (!is_going(session))
            index[(*count)++] = (struct indexed_session){session->id, session};
    }
    qsort(index, *count, sizeof *index, compare_ids);
    return index;
}

/* CLIENT LIST ID id...: in the order asked for; ids of nobody are left out. false: the error is replied. */
static bool append_by_id(struct node *node, struct call *call, struct buffer *text) {
    size_t count;
    struct indexed_session *index = index_sessions(node, &count);
    if (index == NULL) {
        call_no_memory(call);
        return false;
    }
    bool is_fine = true;
    for (uint32_t i = 3; i < call->argc && is_fine; i++) {
        int64_t id;
        is_fine = call_integer(call, i, &id, "ERR Invalid client ID");
        if (!is_fine || id < 0)
            continue;
        struct indexed_session wanted = {.id = (uint64_t)id};
        const struct indexed_session *found = bsearch(&wanted, index, count, sizeof *index, compare_ids);
        if (found != NULL)
            client_text_append(node, found->session, text);
    }
    mem_free(node->mem, index, node->session_count * sizeof *index);
    return is_fine;
}

/* Fills in the text that was asked for; false: the error is replied. */
static bool list_text(struct node *node, struct call *call, struct buffer *text) {
    if (call->argc == 2) {
        append_all(node, text);
        return true;
    }
    if (call->argc > 3 && argument_is(&call->argv[2], "id"))
        return append_by_id(node, call, text);
    if (call->argc != 4 || !argument_is(&call->argv[2], "type")) {
        reply_error(call->reply, ERROR_SYNTAX);
        return false;
    }
    enum client_kind kind = kind_by_name(&call->argv[3]);
    if (kind == KIND_UNKNOWN) {
        reply_unknown_kind(call, &call->argv[3]);
        return false;
    }
    if (kind == KIND_NORMAL)
        append_all(node, text);
    return true;
}

void handle_client_list(struct node *node, struct session *session, struct call *call) {
    (void)session;
    struct buffer text;
    buffer_init(&text, node->mem);
    if (list_text(node, call, &text))
        text_reply(call, &text);
    else
        buffer_release(&text);
}

/* ---- KILL ---- */

struct kill_filter {
    int64_t id;                                     /* 0: any */
    const struct argument *address, *local_address; /* NULL: any */
    enum client_kind kind;
    bool spares_caller;
};

/* One option of the new form at argv[i]; false: the error is replied. */
static bool kill_option(struct call *call, uint32_t i, struct kill_filter *filter) {
    const struct argument *option = &call->argv[i], *value = option + 1;
    if (argument_is(option, "id")) {
        static const char wrong_id[] = "ERR client-id should be greater than 0";
        if (!call_integer(call, i + 1, &filter->id, wrong_id))
            return false;
        if (filter->id < 1) {
            reply_error(call->reply, wrong_id);
            return false;
        }
    } else if (argument_is(option, "type")) {
        filter->kind = kind_by_name(value);
        if (filter->kind == KIND_UNKNOWN) {
            reply_unknown_kind(call, value);
            return false;
        }
    } else if (argument_is(option, "addr")) {
        filter->address = value;
    } else if (argument_is(option, "laddr")) {
        filter->local_address = value;
    } else if (argument_is(option, "user")) {
        /* Everybody is the one user that there is. */
        if (value->size != 7 || memcmp(value->data, "default", 7) != 0) {
            reply_error_format(call->reply, "ERR No such user '%.*s'", (int)value->size,
                               (const char *)value->data);
            return false;
        }
    } else if (argument_is(option, "skipme") && (argument_is(value, "yes") || argument_is(value, "no"))) {
        filter->spares_caller = argument_is(value, "yes");
    } else {
        reply_error(call->reply, ERROR_SYNTAX);
        return false;
    }
    return true;
}

static bool kill_options(struct call *call, struct kill_filter *filter) {
    for (uint32_t i = 2; i < call->argc; i += 2) {
        if (i + 1 == call->argc) {
            reply_error(call->reply, ERROR_SYNTAX);
            return false;
        }
        if (!kill_option(call, i, filter))
            return false;
    }
    return true;
}

static bool is_text(const struct argument *argument, const char *text) {
    return argument->size == strlen(text) && memcmp(argument->data, text, argument->size) == 0;
}

static bool filter_takes(const struct kill_filter *filter, const struct session *session, bool is_caller) {
    return !is_going(session) && filter->kind != KIND_OTHER && !(is_caller && filter->spares_caller) &&
           (filter->id == 0 || (uint64_t)filter->id == session->id) &&
           (filter->address == NULL || is_text(filter->address, session->peer_address)) &&
           (filter->local_address == NULL || is_text(filter->local_address, session->local_address));
}

void handle_client_kill(struct node *node, struct session *session, struct call *call) {
    bool is_old_form = call->argc == 3;
    struct kill_filter filter = {.spares_caller = !is_old_form};
    if (is_old_form)
        filter.address = &call->argv[2];
    else if (!kill_options(call, &filter))
        return;
    int64_t killed = 0;
    LIST_FOR_EACH(link, &node->sessions) {
        struct session *other = LIST_ENTRY(link, struct session, all);
        if (!filter_takes(&filter, other, other == session))
            continue;
        /* Who kills itself still gets the answer. */
        node_kill(node, other, other == session);
        killed++;
    }
    if (!is_old_form)
        reply_integer(call->reply, killed);
    else if (killed == 0)
        reply_error(call->reply, "ERR No such client");
    else
        reply_ok(call->reply);
}

/* ---- PAUSE, UNPAUSE, UNBLOCK ---- */

void handle_client_pause(struct node *node, struct session *session, struct call *call) {
    (void)session;
    static const char wrong_timeout[] = "ERR timeout is not an integer or out of range";
    bool writes_only = false;
    int64_t timeout_ms;
    if (call->argc > 4) {
        text_reply_wrong_form(call, "CLIENT");
        return;
    }
    if (call->argc == 4) {
        writes_only = argument_is(&call->argv[3], "write");
        if (!writes_only && !argument_is(&call->argv[3], "all")) {
            reply_error(call->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
            return;
        }
    }
    if (!call_integer(call, 2, &timeout_ms, wrong_timeout))
        return;
    if (timeout_ms < 0) {
        reply_error(call->reply, "ERR timeout is negative");
        return;
    }
    uint64_t now_ms = node->monotonic_ms, until_ms = now_ms + (uint64_t)timeout_ms;
    bool is_paused = node->pause_until_ms > now_ms;
    /* A pause that runs is only ever made longer and stricter. */
    node->pause_writes_only = writes_only && (!is_paused || node->pause_writes_only);
    if (!is_paused || until_ms > node->pause_until_ms)
        node->pause_until_ms = until_ms;
    node->keyspace->expiry_is_paused = true;
    reply_ok(call->reply);
}

void handle_client_unpause(struct node *node, struct session *session, struct call *call) {
    (void)session;
    node->pause_until_ms = 0;
    node->keyspace->expiry_is_paused = false;
    reply_ok(call->reply);
}

/* No command of this server waits for something, so there is nobody to be woken. */
void handle_client_unblock(struct node *node, struct session *session, struct call *call) {
    (void)node;
    (void)session;
    int64_t id;
    if (call->argc > 4)
        text_reply_wrong_form(call, "CLIENT");
    else if (call->argc == 4 && !argument_is(&call->argv[3], "timeout") &&
             !argument_is(&call->argv[3], "error"))
        reply_error(call->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    else if (call_integer(call, 2, &id, NULL))
        reply_integer(call->reply, 0);
}
