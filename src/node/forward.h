/* forward.h - commands that other nodes execute for this node's clients, and this node for theirs.
 *
 * A request travels with its number and flags, its answer with the same number, in any order. Per peer the requests of one turn
 * of the loop make one FRAME_REQUESTS, their answers FRAME_REPLIES.
 *
 *   requests: per request  flags (varint), argument count (varint), and for each argument its size (varint) and bytes;
 *             before the first its number (varint; the others count on) and the sender's monotonic milliseconds (varint)
 *   replies:  per reply    number (varint), outcome (1), size (4), and the bytes of the reply as the client gets them
 *
 * Every request ends in exactly one call of `done`: with its answer, as certainly not executed (then it may be sent
 * elsewhere), or as unknown.
 * May touch: cluster. Must never know: sockets.
 * Tests: tests/unit/node/forward_test.c, tests/sim/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_FORWARD_H
#define NODE_FORWARD_H

#include "node/cluster.h"

/* Flags of a request. */
#define FORWARD_RESP3 1u /* the client wants its reply so */
#define FORWARD_SECOND_HOP \
    2u /* somebody has refused it, or does not answer: execute it if you hold the slot and are settled, else refuse */
#define FORWARD_PART \
    4u /* speak for the slots that you coordinate: DBSIZE, KEYS, SCAN, FLUSHALL, RANDOMKEY. With FORWARD_SECOND_HOP: for those of
          the set of slots that is the last argument, one bit each */
#define FORWARD_REPLICA  8u         /* a copy in agreement may answer, it need not be the coordinator */
#define FORWARD_NO_TOUCH 16u        /* CLIENT NO-TOUCH */
#define FORWARD_EXEC     32u        /* a whole transaction, see transaction.h */
#define FORWARD_WAIT     64u        /* WAIT: for what this node has written so far as a coordinator */
#define FORWARD_PATIENT  (1u << 17) /* it was late once, and may be later now */
#define FORWARD_REPEATED \
    (1u << 18) /* it may have been executed before: whoever refuses it must not say that it was not */
#define FORWARD_STAND_IN \
    128u /* nobody who holds the slot can be reached: execute it if you are settled, though you do not hold it */
#define FORWARD_FETCH (1u << 16) /* what this copy has of some keys: node/quorum.h */
/* How many copies reads and writes are about (node/quorum.h); 0: as the settings of the node that executes it say. */
#define FORWARD_QUORUM                 0xff00u
#define FORWARD_READ_QUORUM(flags)     ((flags) >> 8 & 15u)
#define FORWARD_WRITE_QUORUM(flags)    ((flags) >> 12 & 15u)
#define FORWARD_QUORUM_OF(read, write) ((unsigned)(read) << 8 | (unsigned)(write) << 12)

enum forward_outcome {
    FORWARD_DONE,     /* executed: here is the reply */
    FORWARD_REFUSED,  /* certainly not executed: the node sees the ring otherwise, or is not ready */
    FORWARD_LATE,     /* likewise: it has come too late, or behind such a one (node/failover.h) */
    FORWARD_NOT_SENT, /* likewise: there is no link, or its queue is full */
    FORWARD_UNKNOWN   /* the link ended, or time ran out, after it was sent */
};

/* Somebody waits for an answer. Owned by who waits; must stay until `done` was called. */
struct awaited {
    void (*done)(struct node *node, struct awaited *awaited, enum forward_outcome outcome,
                 const uint8_t *reply, size_t size);
    struct peer *peer;
    uint64_t number;
    uint64_t sent_ms;
    bool may_last;               /* WAIT: its answer takes as long as it takes */
    bool is_slow;                /* set by the owner: it may keep the other node busy for long */
    struct request_frame *frame; /* where its bytes are, for sending it elsewhere */
    uint32_t at, size;           /* of its argument count and arguments therein */
};

/* The bytes of requests sent together: kept until all of them are answered. */
struct request_frame {
    struct mem *mem;
    struct buffer bytes;
    uint32_t references;
};

/* Sends a command to a peer. false: it could not be sent (there is no link, too much waits there, or no memory): `done` is not
 * called, and awaited->frame is NULL. */
bool forward_send(struct node *node, struct peer *peer, unsigned flags, const struct argument *argv,
                  uint32_t argc, struct awaited *awaited);

/* Keeps a copy of a command in `awaited` that could not be sent, for later. false: no memory. */
bool forward_keep(struct node *node, const struct argument *argv, uint32_t argc, struct awaited *awaited);

/* Sends what `awaited` holds (it was kept, refused or not answered). false: as above, but the copy stays. */
bool forward_resend(struct node *node, struct peer *peer, unsigned flags, struct awaited *awaited);

/* The arguments of what `awaited` holds: *argv is the caller's (mem_free, argc * sizeof), the bytes are those of its frame. false: no
 * memory. */
bool forward_arguments(struct node *node, const struct awaited *awaited, struct argument **argv,
                       uint32_t *argc);

/* The owner is done with it (after `done`, if it does not send it elsewhere): gives back the request's bytes. */
void forward_release(struct awaited *awaited);

/* Sends what has gathered for a peer. */
void forward_flush(struct node *node, struct peer *peer);

/* Makes cluster->self a session that replies to `out`, as a client would have it that has set these FORWARD_* flags. */
void forward_set_session(struct session *session, struct buffer *out, unsigned flags);

/* FRAME_REQUESTS from a peer; FRAME_REPLIES. false: it made no sense. While more replies wait for the link than 4 MiB, or peer-output-limit,
 * requests are kept; forward_resume() goes on with them when replies were acknowledged. */
bool forward_execute(struct node *node, struct peer_link *link, const uint8_t *payload, size_t size);
void forward_resume(struct node *node, struct peer_link *link);
bool forward_answered(struct node *node, struct peer *peer, const uint8_t *payload, size_t size);

/* Appends one answer to what is sent back as FRAME_REPLIES: for requests that had to wait. false: no memory. */
bool forward_append_answer(struct buffer *out, uint64_t number, const uint8_t *reply, size_t size);

/* The link to the peer is gone: all that was sent there is unknown, or was never sent. */
void forward_link_ended(struct node *node, struct peer *peer);

/* The peer is passed over: the same, though its link may still be there. What it answers later is not looked at. Only WAIT is
 * awaited on, as long as there is a link. */
void forward_give_up(struct node *node, struct peer *peer);

/* When the oldest request was sent that the peer should answer at once; 0: there is none, or the peer may be busy with a slow one. */
uint64_t forward_oldest_ms(const struct peer *peer);
/* Whether any request is awaited, but for WAIT; and whether any with a lower number than this. */
bool forward_is_awaited(const struct peer *peer);
bool forward_awaits_before(const struct peer *peer, uint64_t number);

/* Requests that have waited for too long. */
void forward_tick(struct node *node);

#endif
