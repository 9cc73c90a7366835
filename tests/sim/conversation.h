/* conversation.h - what one client says on one connection, and what it is answered: written down by three parties.
 *
 * The client appends requests as it writes them. The judge walks behind as the node executes them, and appends what the
 * node produced. The client compares what reaches it over the stream with that. So each request is looked at twice: when
 * it was executed (against the model), and when its answer arrived (against what was produced).
 * May touch: base, world. Must never know: what is right, how bytes travel.
 * Invariants: first (oldest not yet answered) <= to_run (oldest not yet executed) in the order of the list.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_CONVERSATION_H
#define SIM_CONVERSATION_H

#include "base/argument.h"
#include "base/buffer.h"
#include "sim/model.h"
#include "sim/reply_reader.h"
#include "sim/world.h"

enum saying_kind {
    SAYING_PLAIN,
    SAYING_EMPTY,     /* nothing is to be done and nothing answered */
    SAYING_MALFORMED, /* an error is answered and the connection closed */
    SAYING_PARTIAL    /* never becomes complete */
};

struct saying {
    struct saying *next;
    enum saying_kind kind;
    uint32_t argc;
    struct argument *argv; /* plain: the words */
    const char *error;     /* malformed: the whole answer */
    uint64_t end;          /* bytes from the start of the conversation to the request's end */
    size_t bytes;          /* of this allocation */
    bool is_inline;        /* as people type it */
    bool has_run;
    bool is_waiting;  /* it was begun, and its answer comes later */
    bool is_answered; /* and an answer is to come */
};

struct conversation {
    struct world *world;
    uint32_t client; /* for people */
    struct saying *first, *last, *to_run;
    uint32_t unanswered;        /* plain requests that an answer is still to come for */
    uint64_t written;           /* bytes of all requests */
    struct buffer replies;      /* produced; what has been received whole is dropped now and then */
    size_t answer_begin;        /* in it: where the answer at hand begins, */
    size_t received;            /* and up to where it was received */
    struct reply_reader reader; /* the client's */
    struct model_session *session;
    uint64_t id;                    /* the node's number for it; 0: was never accepted */
    const char *refusal;            /* an error that is all it gets, or how it begins; NULL: it is welcome */
    bool is_monitor;                /* lines come at any time */
    bool was_known;                 /* it said the password once, or none was asked for */
    bool was_killed;                /* CLIENT KILL */
    bool has_killed_itself;         /* and was not answered */
    bool is_ended;                  /* the node executes nothing more of it */
    bool is_known_closed;           /* and has closed it */
    bool lost_replies;              /* not all that was produced was sent */
    bool lacked_memory;             /* it may be closed for that */
    uint64_t taken;                 /* bytes that the node was given */
    uint64_t started_ns, active_ns; /* when it was accepted; when the node was last given something */
};

struct conversation *conversation_new(struct world *world, uint32_t client);
void conversation_free(struct conversation *conversation);

/* A request of these words (copied), which takes `bytes` bytes on the wire. */
struct saying *conversation_add(struct conversation *conversation, enum saying_kind kind,
                                const struct argument *argv, uint32_t argc, size_t bytes);

/* Drops the requests that are done with: executed, and their answers received if they have any. */
void conversation_trim(struct conversation *conversation);

/* The client receives bytes. Compares and counts; calls answered(context, request, reply) for each whole answer. */
typedef void conversation_answered(void *context, const struct saying *request, const uint8_t *reply,
                                   size_t size);
void conversation_receive(struct conversation *conversation, const uint8_t *data, size_t size,
                          conversation_answered *answered, void *context);

#endif
