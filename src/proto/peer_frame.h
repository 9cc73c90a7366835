/* peer_frame.h - the frames between nodes: RESP arrays, written and read by hiredis.
 *
 *   *4  :kind  :number  :acknowledged  $payload        (all four as bulk strings)
 *
 * A frame with number 0 is not acknowledged and may be lost; the others are numbered 1, 2, 3... in each direction of a link.
 * `acknowledged` is the highest number up to which the sender has taken all frames of the other direction. Numbers are
 * decimal, without sign and leading zeros: a frame has one form only.
 * The reader is hiredis's with our own object functions, so that no reply objects are made: a payload is handed out where it
 * stands in the reader's buffer. Nobody vouches for the bytes: every length is checked, and before the other end has proved
 * itself a frame must be short.
 * May touch: base, hiredis (its reader and formatter, which know no sockets). Must never know: what payloads mean, links.
 * Invariants: a length above the limit is refused with its first digits that say so, and reserves nothing: while no frame is
 * complete, the reader holds less than payload_max + PEER_FRAME_HEAD_MAX + 2 bytes. What hiredis allocates is counted in `mem`.
 * Tests: tests/unit/proto/peer_frame_test.c, tests/fuzz/peer_frame_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef PROTO_PEER_FRAME_H
#define PROTO_PEER_FRAME_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The protocol's version: nodes tell it in their first frame and speak the lower one of the two. */
#define PEER_PROTOCOL 5
/* And this is the lowest one that is still spoken. */
#define PEER_PROTOCOL_OLDEST 5

enum frame_kind {
    FRAME_CHALLENGE = 1, /* who I am, my random bytes: the first frame of both ends */
    FRAME_PROOF,         /* that I know the secret: the second */
    FRAME_REFUSED,       /* why I do not talk to you (text); the link is closed behind it */
    FRAME_ACKNOWLEDGED,  /* nothing but the number in its head */
    FRAME_GOSSIP,        /* cluster/membership.h; number 0 */
    FRAME_RECORDS,       /* cluster/entries.h: changes to be merged */
    FRAME_REQUESTS,      /* commands to be executed */
    FRAME_REPLIES,       /* and what they answered */
    FRAME_COMPARE,       /* cluster/antientropy.h */
    FRAME_REACH,         /* node/failover.h: who is passed over, who leaves, what time it is */
    FRAME_KIND_COUNT
};

struct frame {
    unsigned kind; /* enum frame_kind; a later version may have others */
    uint64_t number, acknowledged;
    const uint8_t *payload; /* of a frame that was read: valid until the next call for the reader */
    size_t size;
};

/* The highest kind that a frame may have, of this version or a later one; the lowest is 1. */
#define PEER_FRAME_KIND_MAX 255

/* No limit for payloads may be above this: hiredis measures parts of its buffer with int. */
#define PEER_FRAME_PAYLOAD_MAX (1u << 30)

/* Appends a frame; false: no memory (the buffer is as before, but `failed`). */
bool peer_frame_append(struct buffer *out, const struct frame *frame);

/* The same in parts, for whoever has the payload in place already: a frame is its head, its payload, and the tail. */
#define PEER_FRAME_HEAD_MAX 128
#define PEER_FRAME_TAIL     "\r\n"
/* Writes the head; its size is returned. 0: no memory. */
size_t peer_frame_head(uint8_t head[PEER_FRAME_HEAD_MAX], const struct frame *frame);

/* A head as hiredis has formatted it, kept for others whose numbers have as many digits: they are put in where they stand, if they are
 * others. Formatting costs as much as all else about a small frame, and the numbers of a link seldom get longer. Zero: none is kept yet. */
struct peer_frame_form {
    uint64_t values[3]; /* of kind, number, acknowledged */
    uint8_t bytes[PEER_FRAME_HEAD_MAX];
    uint8_t size;                 /* up to the length of the payload, which is put in, too */
    uint8_t places[3], digits[3]; /* of these numbers */
};
/* The same head. */
size_t peer_frame_head_by_form(struct peer_frame_form *form, uint8_t head[PEER_FRAME_HEAD_MAX],
                               const struct frame *frame);

struct peer_frame_reader;

/* payload_max: of one frame, at most PEER_FRAME_PAYLOAD_MAX. NULL: no memory. */
struct peer_frame_reader *peer_frame_reader_new(struct mem *mem, size_t payload_max);
void peer_frame_reader_free(struct peer_frame_reader *reader);
void peer_frame_reader_set_max(struct peer_frame_reader *reader, size_t payload_max);

/* Bytes have come; to be followed by peer_frame_reader_next() until it has no more. false: no memory (the reader is broken then). */
bool peer_frame_reader_feed(struct peer_frame_reader *reader, const uint8_t *data, size_t size);

enum frame_status { FRAME_COMPLETE, FRAME_INCOMPLETE, FRAME_BROKEN };

/* The next complete frame. FRAME_BROKEN: these bytes are no frames; the reader is of no use any more. */
enum frame_status peer_frame_reader_next(struct peer_frame_reader *reader, struct frame *frame);

/* Bytes that wait in the reader: of a frame that is not complete, or of frames that have not been asked for. */
size_t peer_frame_reader_held(const struct peer_frame_reader *reader);

#endif
