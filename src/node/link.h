/* link.h - one connection between two nodes: bytes in and out, proof of the secret, numbered frames, acknowledgements.
 *
 * The caller's end carries what the caller wants of the called one: requests, records, comparisons; the called one answers
 * on the same link. (Two nodes have two links, one called by each.) Both ends send a challenge with their introduction, then
 * their proof. After that, numbered frames are delivered in order, exactly once, for the life of the link, also where frames
 * are lost, repeated or overtaken on the way: what is missing is sent again when acknowledgements do not move for
 * LINK_RESEND_MS. When a link ends, the frames that were not acknowledged can be taken out of it.
 * What is sent is collected: bytes leave when the world asks for output, once per turn of the loop. A frame is copied once, when
 * it is queued; its head is written when it leaves, with the acknowledgement of that moment, so nearly all acknowledgements
 * travel in frames that leave anyhow. Small frames are put together into one span, large ones leave from where they are queued.
 *
 * The beginning. Each end sends FRAME_CHALLENGE: a byte with its protocol's version, SECRET_CHALLENGE_SIZE random bytes, its
 * introduction; when it has the other's, FRAME_PROOF. An end that has checked the other's proof is ready, and says so with any
 * frame from FRAME_ACKNOWLEDGED on. Until it hears that, an end repeats what the other may lack every LINK_RESEND_MS, and
 * sends no frame beyond LINK_UNPROVED_FRAME_MAX. Who is ready answers a repeated challenge with its proof and a repeated proof
 * with an acknowledgement; acknowledgements are not answered, so there is no end to nothing.
 *
 * May touch: base, proto/peer_frame.h, cluster/secret.h. Must never know: sockets, sessions, membership, what payloads mean.
 * Invariants: nothing is delivered before the other end has proved itself; memory held is bounded by `queue_max` (then sending
 * says no), LINK_GOSSIP_MAX and one frame that comes in; lengths come from checked frames only.
 * Tests: tests/unit/node/link_test.c, tests/unit/node/link_loss_test.c, tests/sim/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_LINK_H
#define NODE_LINK_H

#include "base/buffer.h"
#include "base/list.h"
#include "base/mem.h"
#include "cluster/secret.h"
#include "proto/peer_frame.h"

#include <stdbool.h>
#include <stdint.h>

/* Unacknowledged frames are sent again when nothing was acknowledged for so long. */
#define LINK_RESEND_MS 1000
/* So long the other end may take to prove itself. */
#define LINK_PROOF_MS 5000
/* Acknowledgements that nobody waits for are held back for so long at most, or for so many frames' bytes. */
#define LINK_ACKNOWLEDGE_MS    20
#define LINK_ACKNOWLEDGE_BYTES (512 * 1024)
/* Before the proof a frame is no longer than this. */
#define LINK_UNPROVED_FRAME_MAX 1024
#define LINK_INTRODUCTION_MAX   (LINK_UNPROVED_FRAME_MAX - 1 - SECRET_CHALLENGE_SIZE)
/* After it, unless link_options.frame_max says otherwise. Both ends must agree on it: a longer frame breaks the link. */
#define LINK_FRAME_MAX (64u * 1024 * 1024)
/* Gossip that waits for the connection: more than this means that it stands still, and that the gossip is stale. */
#define LINK_GOSSIP_MAX (256 * 1024)

enum link_state {
    LINK_PROVING, /* frames are exchanged that prove the secret */
    LINK_READY,
    LINK_OVER /* to be closed (after its output is sent); `reason` says why */
};

struct link;

struct link_options {
    struct mem *mem;
    const char *secret; /* copied */
    bool is_caller;
    uint8_t challenge[SECRET_CHALLENGE_SIZE]; /* random */
    const uint8_t *introduction;              /* copied; at most LINK_INTRODUCTION_MAX */
    size_t introduction_size;
    size_t
        queue_max; /* bytes of frames sent and not acknowledged, as link_unacknowledged_bytes() counts them; a frame that is
                      alone may be longer */
    size_t frame_max; /* bytes of a payload, at most PEER_FRAME_PAYLOAD_MAX; 0: LINK_FRAME_MAX */
    uint64_t now_ms;
    void *context;
    /* The other end's introduction is known AND it has proved itself. Returns NULL to go on, or the reason why not (sent to the
     * other end as FRAME_REFUSED, then the link is over). Both this and the next two may call link_send() and link_end(), but never
     * link_free() or link_input(); here the link is not ready yet, so nothing can be sent. */
    const char *(*introduced)(void *context, struct link *link, const uint8_t *introduction, size_t size);
    /* A frame of the kinds FRAME_GOSSIP and above. The payload is valid during the call. false: it made no sense; the link is over. */
    bool (*deliver)(void *context, struct link *link, unsigned kind, const uint8_t *payload, size_t size);
    /* Frames up to this number were acknowledged (it moved). May be NULL. */
    void (*acknowledged)(void *context, struct link *link, uint64_t number);
};

/* NULL: no memory. */
struct link *link_new(const struct link_options *options);
void link_free(struct link *link);

enum link_state link_state(const struct link *link);
const char *link_reason(const struct link *link); /* "" unless LINK_OVER */
bool link_was_refused(const struct link *link);   /* by the other end; the reason is its text */
bool link_has_refused(const struct link *link);   /* this end the other one */
/* The protocol that both ends speak: the lower version of the two. 0 while the other's is not known. An end that speaks no version as low
 * as the other's refuses it. */
unsigned link_protocol(const struct link *link);
/* The refusal came from somebody who has proved to know the secret. */
bool link_refusal_is_proved(const struct link *link);
/* Nothing is sent or delivered any more. The first reason stays. */
void link_end(struct link *link, const char *reason);

/* Queues a frame: *number is its number (0 for gossip; number may be NULL). Only in LINK_READY. false: it is not ready, the queue is
 * full, the payload is above frame_max or there is no memory; nothing was queued. Replies and comparisons are taken by a full queue,
 * too: who makes them looks at link_unacknowledged_bytes() before. The payload is copied. Gossip leaves before
 * what is numbered. */
bool link_send(struct link *link, enum frame_kind kind, const void *payload, size_t size, uint64_t *number);

/* Bytes of memory of numbered frames that are not acknowledged yet, and the number of the last frame queued / acknowledged. */
size_t link_unacknowledged_bytes(const struct link *link);
uint64_t link_last_number(const struct link *link);
/* Bytes of memory that it holds: itself, what it was introduced with, what waits or is not acknowledged. */
size_t link_memory_bytes(const struct link *link);
uint64_t link_acknowledged_number(const struct link *link);
/* Microseconds between sending and acknowledging, smoothed, in steps of the clock that is given (frames that were sent again do not
 * count); and since when the oldest frame waits: the time at which it was first given to the world (0: none was). */
uint32_t link_round_trip_us(const struct link *link);
uint64_t link_oldest_unacknowledged_ms(const struct link *link);

/* Visits the frames that were not acknowledged, oldest first (when a link has ended). */
void link_each_unacknowledged(const struct link *link,
                              void (*visit)(void *context, unsigned kind, const uint8_t *payload,
                                            size_t size),
                              void *context);

/* The oldest of them, and the end of it; of a link that has ended. NULL: there is none. */
const uint8_t *link_first_unacknowledged(const struct link *link, unsigned *kind, size_t *size);
void link_drop_first_unacknowledged(struct link *link);

/* An acknowledgement of what has come is wanted at once (somebody waits for it at the other end). */
void link_acknowledge_now(struct link *link);

/* The other end is to hear from this one, whatever there is to say. */
void link_give_sign(struct link *link);

/* ---- The world's side: as node_input_space() and the others do it for clients ---- */

/* Bytes have been read. Delivers what is complete. */
void link_input(struct link *link, const uint8_t *data, size_t size, uint64_t now_ms);

/* What is to be sent now (size 0: nothing); valid until the next call. link_sent() tells how much was taken (0 too). There may be
 * more at once: as long as all is taken, the world asks again. */
const uint8_t *link_output(struct link *link, uint64_t now_ms, size_t *size);
void link_sent(struct link *link, size_t size);
bool link_has_output(const struct link *link);

/* Timers: resending, the proof's deadline, held back acknowledgements. Returns the milliseconds until it wants to be called again
 * (UINT32_MAX: no timer runs). */
uint32_t link_tick(struct link *link, uint64_t now_ms);

/* When the last byte came, monotonic. */
uint64_t link_heard_ms(const struct link *link);

#endif
