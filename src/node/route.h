/* route.h - where a command is executed in a cluster: here, at another node, at several, or nowhere.
 *
 * The node asks for each command of a client once it has passed all checks, while node->routes is not NULL. What is not
 * executed here gets its reply later: a place is kept among the session's replies, so that they leave in the order of the requests.
 * A command that its coordinator refuses, or that cannot be sent, is tried again until ROUTE_PATIENCE_MS have passed, at once
 * where the routes lead to another node now (node/failover.h; a write that may have run not before it is sure that it does not run
 * any more); so is one
 * of which nobody knows whether it was executed, if the command table says that it may be repeated. Otherwise the
 * client is told: -INDETERMINATE.
 * May touch: cluster, forward, sessions. Must never know: sockets.
 * Invariants: every command has exactly one reply; every sink is given exactly one.
 * Tests: tests/unit/node/route_test.c, tests/sim/, tests/cluster/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_ROUTE_H
#define NODE_ROUTE_H

#include "node/cluster.h"
#include "node/forward.h"
#include "node/state.h"

#define ROUTE_PATIENCE_MS 4000
/* Slots that a session remembers to have written. */
#define WRITTEN_SLOTS_MAX 8

#define ERROR_CROSS_SLOT "CROSSSLOT Keys in request don't hash to the same slot"
#define ERROR_INDETERMINATE \
    "INDETERMINATE the node that executes this command was lost: it may have been executed, or not"
#define ERROR_NOBODY "CLUSTERDOWN no node can execute this command at the moment; it was not executed"

/* What only the sessions of a cluster's node need. */
struct session_cluster {
    uint16_t written[WRITTEN_SLOTS_MAX];
    uint8_t written_count;
    bool written_overflow;
    uint64_t
        written_epoch; /* cluster->route_epoch when the first of them was written, or WAIT last told of changes since */
    uint32_t transaction_slot; /* of the keys that were queued since MULTI; ARGUMENT_NOT_PLACED: none yet */
    struct buffer watched;     /* WATCH: size (4), key, digest (8) of each */
    uint32_t watched_count, watched_slot;
    struct watch_request *watch_request; /* a WATCH that is on its way: the session waits for it */
    struct exec_request *exec_request;   /* the same of an EXEC of which a part is run here */
};
struct session_cluster *route_session(struct node *node,
                                      struct session *session); /* made at need; NULL: no memory */

enum route {
    ROUTE_HERE,   /* to be executed here and now */
    ROUTE_TAKEN,  /* its reply will come */
    ROUTE_REPLIED /* it cannot be: the error is written */
};
enum route route_command(struct node *node, struct session *session, const struct command *command,
                         struct argument *argv, uint32_t argc);

/* Executes a command here and now, as another node's or a part of one, whatever the routes say; flags: FORWARD_*. The reply is appended
 * to `out`; nothing, if it is not to be executed here. */
void route_run(struct node *node, const struct command *command, unsigned flags, struct argument *argv,
               uint32_t argc, struct buffer *out);

/* Whether this node may execute a command on the slot that another node has sent on with these FORWARD_* flags. */
bool route_may_execute(const struct node *node, uint32_t slot, unsigned flags);

/* What speaks against queueing a command in a transaction; NULL: nothing. */
const char *route_check_queued(struct node *node, struct session *session, const struct command *command,
                               struct argument *argv, uint32_t argc);

/* ---- Commands of which somebody awaits the reply ---- */

/* Who takes a reply: once, perhaps before the function that it was given to returns. */
struct sink {
    void (*take)(struct node *node, void *target, uint32_t part, const uint8_t *reply, size_t size);
    void *target;
    uint32_t part;
};

/* Executes a command on keys of any slots, where they are; without memory the sink takes an error. flags: FORWARD_*. */
void route_execute(struct node *node, const struct command *command, unsigned flags, struct argument *argv,
                   uint32_t argc, struct sink sink);

/* Has the coordinator of a slot execute a transaction's request (see transaction.h). */
void route_execute_slot(struct node *node, uint32_t slot, const struct command *command, unsigned flags,
                        struct argument *argv, uint32_t argc, struct sink sink);

/* Has a certain member execute it (ROUTE_SELF: here). */
void route_execute_at(struct node *node, uint16_t member, const struct command *command, unsigned flags,
                      struct argument *argv, uint32_t argc, struct sink sink);

/* Commands that are to be tried again. Returns the milliseconds until the next. */
uint32_t route_work(struct node *node);
void route_release(struct node *node);

/* The routes have changed: tries all that wait again now. */
void route_retry(struct node *node);
/* What may have been executed by a peer will not be any more: its process is gone. */
void route_note_gone(struct node *node, const struct peer *peer);

/* ---- Several nodes (gather.c) ---- */

/* Splits MGET, MSET, DEL, UNLINK, EXISTS, TOUCH by node, and gathers the replies for the sink. */
void gather_split(struct node *node, const struct command *command, unsigned flags, struct argument *argv,
                  uint32_t argc, struct sink sink);

/* DBSIZE, KEYS, SCAN, FLUSHALL, FLUSHDB, RANDOMKEY over all nodes. */
void gather_spread(struct node *node, const struct command *command, unsigned flags, struct argument *argv,
                   uint32_t argc, struct sink sink);

/* Whether all nodes can be supposed to see the routes as this one does: they have not changed here for a while. Else whoever asks the others for
 * their parts says which slots each is to speak for; and whoever is asked without that refuses, and is asked again with it. */
bool gather_is_sure(const struct node *node);

/* Begins those anew that have lost a node. Returns the milliseconds until the next. */
uint32_t gather_work(struct node *node);
void gather_release(struct node *node);

/* ---- Replies in order ---- */

/* A reply that is to come, or that came before those that are to leave first. */
struct reply_place {
    struct list_node link;    /* session->places */
    struct session *session;  /* NULL: it has closed */
    bool is_ready, is_silent; /* silent: CLIENT REPLY wants none */
    size_t at, size;          /* of session->parked, if ready */
};

/* Keeps a place behind all replies so far. NULL: no memory. */
struct reply_place *route_keep_place(struct node *node, struct session *session);

/* Its reply: moved to the session's output as soon as all before it have left. Frees the place. */
void route_fill_place(struct node *node, struct reply_place *place, const uint8_t *reply, size_t size);

/* The sink that fills a place. */
struct sink route_place_sink(struct reply_place *place);

/* A command has written its reply at session->parked from `mark` on, while others before it are still to come. */
void route_note_local(struct node *node, struct session *session, size_t mark);

/* The session closes: what is still to come will be dropped. */
void route_forget_session(struct node *node, struct session *session);

/* FORWARD_* of what a session's client has set. */
unsigned route_session_flags(const struct session *session);

#endif
