/* session.h - one client connection as the node sees it: bytes in, replies out, and what the client has set.
 *
 * May touch: base, proto, store (watch). Must never know: sockets, epoll.
 * Invariants: replies leave in the order of the requests; `pending` holds what could not be sent at once, and while it is not
 * empty all replies are appended there; a session on node->attention has something for the world to do.
 * Tests: tests/unit/node/, tests/sim/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_SESSION_H
#define NODE_SESSION_H

#include "base/argument.h"
#include "base/buffer.h"
#include "base/list.h"
#include "cmd/command.h"
#include "proto/reply.h"
#include "store/watch.h"

#define SESSION_MULTI           (1u << 0) /* between MULTI and EXEC */
#define SESSION_MULTI_BROKEN    (1u << 1) /* a command could not be queued: EXEC answers EXECABORT */
#define SESSION_MONITOR         (1u << 2)
#define SESSION_REPLY_OFF       (1u << 3)
#define SESSION_REPLY_SKIP_NEXT (1u << 4)
#define SESSION_REPLY_SKIP      (1u << 5) /* this command's reply is not sent */
#define SESSION_CLOSE_AFTER_REPLY \
    (1u << 6) /* QUIT, protocol errors, CLIENT KILL of itself: no more input is looked at */
#define SESSION_CLOSE_NOW     (1u << 7) /* killed, output limit: nothing more is sent */
#define SESSION_NO_EVICT      (1u << 8)
#define SESSION_NO_TOUCH      (1u << 9)
#define SESSION_AUTHENTICATED (1u << 10)
#define SESSION_UNIX_SOCKET   (1u << 11)
#define SESSION_PAUSED        (1u << 12) /* has a complete request that CLIENT PAUSE holds back */
#define SESSION_READONLY      (1u << 13)
#define SESSION_BLOCKED       (1u << 14) /* waits inside a command: SAVE, SHUTDOWN, DEBUG RELOAD */
#define SESSION_LISTED        (1u << 15) /* is on the attention list */
#define SESSION_IN_EXEC       (1u << 16)
#define SESSION_CLOGGED       (1u << 17) /* its output has to drain before more of its input is executed */
#define SESSION_RESUME        (1u << 18) /* what held it back is over: its input is to be looked at again */
#define SESSION_WAITS_SILENTLY \
    (1u << 19) /* blocked, and CLIENT REPLY swallows the reply of the command that it waits in */

#define SESSION_CLUSTER_VIEW (1u << 20) /* came to the cluster-port */
#define SESSION_ORDERED      (1u << 21) /* replies are parked behind some that are still to come */
#define SESSION_PEER         (1u << 22) /* not a client's: runs what other nodes have sent on */
#define SESSION_QUORUM       (1u << 23) /* read_quorum, write_quorum are not both 0 */

/* What keeps the input of a session from being read and executed. */
#define SESSION_HELD \
    (SESSION_PAUSED | SESSION_BLOCKED | SESSION_CLOGGED | SESSION_CLOSE_AFTER_REPLY | SESSION_CLOSE_NOW)

#define SESSION_ADDRESS_SIZE 120

/* A queued command of a transaction: its row and its own copy of the arguments. */
struct queued_command {
    const struct command *command;
    struct argument *argv;
    uint32_t argc;
    uint8_t *bytes; /* what argv points into */
    size_t byte_count;
};

struct session {
    struct list_node all;       /* node->sessions; the timeouts' walk turns it round */
    struct list_node attention; /* node->attention */
    struct list_node monitor;   /* node->monitors */
    struct list_node paused;    /* node->paused */
    struct list_node waiting;   /* blocked: a list of who waits for the same */
    void *owner;                /* the world's object */
    uint64_t id;
    uint32_t flags; /* SESSION_* */
    uint32_t database;
    struct buffer input;   /* a request that is not complete, or held back */
    size_t input_needed;   /* do not parse before input has this many bytes */
    size_t input_parsed;   /* of input, at its begin: requests that were parsed once, and held back */
    struct buffer pending; /* output that could not be sent at once */
    size_t pending_sent;   /* of it, sent already */
    struct buffer
        *outgoing;      /* where the replies stand that may leave: the node's shared buffer, or `pending` */
    struct list places; /* of replies that are to come, and of those behind them: node/route.h */
    uint32_t place_count;
    uint8_t read_quorum, write_quorum; /* KV.QUORUM; 0: as the node's settings say */
    struct buffer parked;              /* the bytes of the latter */
    size_t parked_live;                /* of these, still to leave */
    struct reply reply;                /* its `out` is `outgoing`, or `parked` if SESSION_ORDERED */
    struct session_cluster *cluster;   /* what only sessions of a cluster's node need; NULL until they do */
    uint64_t soft_limit_since_ms;      /* monotonic; 0: not above the soft limit */
    const struct command *last_command;
    uint64_t created_ms, active_ms; /* monotonic: a wall clock that jumps closes nobody */
    uint64_t commands, input_bytes, output_bytes;
    struct buffer name, library_name, library_version; /* texts without a final zero */
    struct watcher watcher;
    struct queued_command *queue; /* MULTI */
    uint32_t queued, queue_capacity;
    size_t queued_bytes;
    int descriptor;                          /* for CLIENT LIST's fd=; -1 in the simulator */
    char peer_address[SESSION_ADDRESS_SIZE]; /* "ip:port" */
    char local_address[SESSION_ADDRESS_SIZE];
};

#endif
