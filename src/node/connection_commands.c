/* connection_commands.c - what a client says about its own connection: PING, HELLO, AUTH, SELECT, RESET,
 * CLIENT SETNAME...
 *
 * May touch: node, proto, cmd. Must never know: other sessions.
 * Invariants: a command that answers an error has changed nothing, except HELLO, whose options take effect one
 * by one in their order, as clients know it.
 * Tests: tests/unit/node/connection_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/handlers.h"
#include "node/monitor.h"
#include "node/release.h"
#include "node/transaction.h"

#include "base/number.h"

#include <limits.h>

#define ERROR_WRONG_PASSWORD "WRONGPASS invalid username-password pair or user is disabled."

void handle_ping(struct node *node, struct session *session, struct call *call) {
    (void)node;
    (void)session;
    if (call->argc > 2)
        reply_error(call->reply, "ERR wrong number of arguments for 'ping' command");
    else if (call->argc == 2)
        reply_bulk(call->reply, call->argv[1].data, call->argv[1].size);
    else
        reply_simple(call->reply, "PONG");
}

void handle_echo(struct node *node, struct session *session, struct call *call) {
    (void)node;
    (void)session;
    reply_bulk(call->reply, call->argv[1].data, call->argv[1].size);
}

void handle_quit(struct node *node, struct session *session, struct call *call) {
    reply_ok(call->reply);
    node_kill(node, session, true);
}

void handle_select(struct node *node, struct session *session, struct call *call) {
    int64_t database;
    if (!call_integer(call, 1, &database, NULL))
        return;
    if (database < INT_MIN || database > INT_MAX) {
        reply_error_format(call->reply, "ERR value is out of range, value must between %d and %d", INT_MIN,
                           INT_MAX);
        return;
    }
    if (node->cluster != NULL && database != 0) {
        reply_error(call->reply, "ERR SELECT is not allowed in cluster mode");
        return;
    }
    if (database < 0 || database >= DATABASE_COUNT) {
        reply_error(call->reply, "ERR DB index is out of range");
        return;
    }
    session->database = (uint32_t)database;
    reply_ok(call->reply);
}

/* ---- Names ---- */

static bool is_plain_text(const struct argument *text) {
    for (uint32_t i = 0; i < text->size; i++)
        if (text->data[i] < '!' || text->data[i] > '~')
            return false;
    return true;
}

/* false: no memory, the old text stays. */
static bool set_text(struct buffer *text, const struct argument *argument) {
    struct buffer fresh;
    buffer_init(&fresh, text->mem);
    if (!buffer_append(&fresh, argument->data, argument->size))
        return false;
    buffer_release(text);
    *text = fresh;
    return true;
}

/* false: the error is replied. */
static bool set_name(struct session *session, struct call *call, const struct argument *name) {
    if (!is_plain_text(name)) {
        reply_error(call->reply, "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
    }
    if (set_text(&session->name, name))
        return true;
    call_no_memory(call);
    return false;
}

void handle_client_setname(struct node *node, struct session *session, struct call *call) {
    (void)node;
    if (set_name(session, call, &call->argv[2]))
        reply_ok(call->reply);
}

void handle_client_getname(struct node *node, struct session *session, struct call *call) {
    (void)node;
    if (session->name.size == 0)
        reply_null(call->reply);
    else
        reply_bulk(call->reply, session->name.data, session->name.size);
}

void handle_client_setinfo(struct node *node, struct session *session, struct call *call) {
    (void)node;
    const struct argument *attribute = &call->argv[2], *text = &call->argv[3];
    struct buffer *target = argument_is(attribute, "lib-name")  ? &session->library_name
                            : argument_is(attribute, "lib-ver") ? &session->library_version
                                                                : NULL;
    if (target == NULL)
        reply_error_format(call->reply, "ERR Unrecognized option '%.*s'", (int)attribute->size,
                           (const char *)attribute->data);
    else if (!is_plain_text(text))
        reply_error_format(call->reply, "ERR %.*s cannot contain spaces, newlines or special characters.",
                           (int)attribute->size, (const char *)attribute->data);
    else if (!set_text(target, text))
        call_no_memory(call);
    else
        reply_ok(call->reply);
}

void handle_client_id(struct node *node, struct session *session, struct call *call) {
    (void)node;
    reply_integer(call->reply, (int64_t)session->id);
}

/* ---- Switches ---- */

/* ON or OFF of one flag. */
static void set_switch(struct session *session, struct call *call, uint32_t flag) {
    const struct argument *word = &call->argv[2];
    if (argument_is(word, "on")) {
        session->flags |= flag;
    } else if (argument_is(word, "off")) {
        session->flags &= ~flag;
    } else {
        reply_error(call->reply, ERROR_SYNTAX);
        return;
    }
    reply_ok(call->reply);
}

void handle_client_no_evict(struct node *node, struct session *session, struct call *call) {
    (void)node;
    set_switch(session, call, SESSION_NO_EVICT);
}

void handle_client_no_touch(struct node *node, struct session *session, struct call *call) {
    (void)node;
    set_switch(session, call, SESSION_NO_TOUCH);
}

void handle_client_reply(struct node *node, struct session *session, struct call *call) {
    (void)node;
    const struct argument *mode = &call->argv[2];
    if (argument_is(mode, "on")) {
        session->flags &= ~(SESSION_REPLY_OFF | SESSION_REPLY_SKIP);
        reply_ok(call->reply);
    } else if (argument_is(mode, "off")) {
        session->flags |= SESSION_REPLY_OFF;
    } else if (argument_is(mode, "skip")) {
        if (!(session->flags & SESSION_REPLY_OFF))
            session->flags |= SESSION_REPLY_SKIP_NEXT;
    } else {
        reply_error(call->reply, ERROR_SYNTAX);
    }
}

/* ---- Passwords ---- */

/* Compares in a time that depends on the size of what was given only. */
static bool is_password(const char *password, const struct argument *given) {
    size_t size = strlen(password);
    size_t difference = size ^ given->size;
    for (uint32_t i = 0; i < given->size; i++)
        difference |= given->data[i] ^ (uint8_t)password[i < size ? i : size];
    return difference == 0;
}

/* There is one user, "default". Without a password set it takes any. */
static bool log_in(struct node *node, struct session *session, const struct argument *user,
                   const struct argument *password) {
    bool is_default = user == NULL || (user->size == 7 && memcmp(user->data, "default", 7) == 0);
    const char *required = node->config->requirepass;
    if (is_default && (required[0] == '\0' || is_password(required, password))) {
        session->flags |= SESSION_AUTHENTICATED;
        return true;
    }
    node->statistics.auth_failures++;
    return false;
}

void handle_auth(struct node *node, struct session *session, struct call *call) {
    if (call->argc > 3) {
        reply_error(call->reply, ERROR_SYNTAX);
    } else if (call->argc == 2 && node->config->requirepass[0] == '\0') {
        reply_error(call->reply,
                    "ERR AUTH <password> called without any password configured for the default user. "
                    "Are you sure your configuration is correct?");
    } else {
        const struct argument *user = call->argc == 3 ? &call->argv[1] : NULL;
        if (log_in(node, session, user, &call->argv[call->argc - 1]))
            reply_ok(call->reply);
        else
            reply_error(call->reply, ERROR_WRONG_PASSWORD);
    }
}

/* ---- HELLO, RESET ---- */

/* false: the error is replied. */
static bool hello_options(struct node *node, struct session *session, struct call *call) {
    for (uint32_t i = 2; i < call->argc;) {
        const struct argument *option = &call->argv[i];
        uint32_t more = call->argc - i - 1;
        if (more >= 2 && argument_is(option, "auth")) {
            if (!log_in(node, session, option + 1, option + 2)) {
                reply_error(call->reply, ERROR_WRONG_PASSWORD);
                return false;
            }
            i += 3;
        } else if (more >= 1 && argument_is(option, "setname")) {
            if (!set_name(session, call, option + 1))
                return false;
            i += 2;
        } else {
            reply_error_format(call->reply, "ERR Syntax error in HELLO option '%.*s'", (int)option->size,
                               (const char *)option->data);
            return false;
        }
    }
    return true;
}

void handle_hello(struct node *node, struct session *session, struct call *call) {
    struct reply *reply = call->reply;
    int64_t protocol = 0;
    if (call->argc > 1) {
        if (!call_integer(call, 1, &protocol, "ERR Protocol version is not an integer or out of range"))
            return;
        if (protocol != 2 && protocol != 3) {
            reply_error(reply, "NOPROTO unsupported protocol version");
            return;
        }
        if (!hello_options(node, session, call))
            return;
    }
    if (!(session->flags & SESSION_AUTHENTICATED) && node->config->requirepass[0] != '\0') {
        reply_error(reply,
                    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
                    "AUTH <user> <pass> option can be used to authenticate the client and select the RESP "
                    "protocol version at the same time");
        return;
    }
    if (protocol != 0)
        reply->protocol = (uint8_t)protocol;
    reply_map(reply, 7);
    reply_bulk_text(reply, "server");
    reply_bulk_text(reply, "redis");
    reply_bulk_text(reply, "version");
    reply_bulk_text(reply, REDIS_LEVEL_VERSION);
    reply_bulk_text(reply, "proto");
    reply_integer(reply, reply->protocol);
    reply_bulk_text(reply, "id");
    reply_integer(reply, (int64_t)session->id);
    reply_bulk_text(reply, "mode");
    reply_bulk_text(reply, session->flags & SESSION_CLUSTER_VIEW ? RELEASE_CLUSTER_MODE : RELEASE_MODE);
    reply_bulk_text(reply, "role");
    reply_bulk_text(reply, "master");
    reply_bulk_text(reply, "modules");
    reply_array(reply, 0);
}

void handle_reset(struct node *node, struct session *session, struct call *call) {
    transaction_reset(node, session);
    monitor_stop(session);
    buffer_release(&session->name);
    session->database = 0;
    session->flags &=
        ~(SESSION_REPLY_OFF | SESSION_REPLY_SKIP_NEXT | SESSION_READONLY | SESSION_NO_TOUCH | SESSION_QUORUM);
    session->read_quorum = session->write_quorum = 0;
    if (node->config->requirepass[0] == '\0')
        session->flags |= SESSION_AUTHENTICATED;
    else
        session->flags &= ~SESSION_AUTHENTICATED;
    call->reply->protocol = 2;
    reply_simple(call->reply, "RESET");
}
