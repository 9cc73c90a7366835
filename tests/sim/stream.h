/* stream.h - a simulated connection between two ends: bytes in order, in pieces of any size, late, cut off anywhere.
 *
 * What is written on one end is on its way for a while and then arrives, some bytes at a time. A read takes of what has
 * arrived, a write gives as much as the window takes. A cut comes at a certain byte: the rest never arrives, and the
 * other end learns of it (after it has read what came, or at once with that lost), or never does (half-open).
 * May touch: world, swarm. Must never know: what the bytes are, who talks.
 * Invariants: bytes arrive in order, once, unchanged; after the end of a stream nothing arrives any more.
 * Tests: the simulator compares what leaves one end with what comes out of the other.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_STREAM_H
#define SIM_STREAM_H

#include "base/buffer.h"
#include "sim/swarm.h"
#include "sim/world.h"

/* One direction. */
struct stream_pipe {
    struct stream_end *from, *to;
    struct buffer bytes; /* [taken, arrived) can be read, [arrived, size) is on its way */
    size_t taken, arrived;
    uint64_t carried; /* bytes that have arrived, from the start */
    uint64_t cut_at;  /* the stream is cut when so many have; UINT64_MAX: never */
    bool is_moving;   /* an arrival is to come */
    bool is_closed;   /* nothing more is written */
    bool is_over;     /* and the reader knows it */
    bool is_blocked;  /* nothing moves in this direction for the time being */
};

struct stream_end {
    struct stream *stream;
    struct stream_pipe *out, *in;
    void *context;
    void (*ready)(void *context); /* something arrived, or there is room again, or the other end is gone */
    bool is_gone;                 /* closed from this side */
};

struct stream {
    struct world *world;
    const struct network_faults *faults; /* outlives the stream; may change */
    struct stream_end ends[2];           /* who connected, who was connected to */
    struct stream_pipe pipes[2];
    bool is_reset;  /* both ends know that it is over, and what had not been read is lost */
    bool is_silent; /* half-open: nothing moves, nobody knows */
};

struct stream *stream_open(struct world *world, const struct network_faults *faults);
void stream_free(struct stream *stream);

/* Returns how many bytes were taken, 0 while the window is full. To an end that is gone any number are. */
size_t stream_write(struct stream_end *end, const uint8_t *data, size_t size);

/* Returns how many bytes were read; 0: none at the moment, or stream_is_over(). */
size_t stream_read(struct stream_end *end, uint8_t *space, size_t size);

/* Whether all that will ever come has been read. */
bool stream_is_over(const struct stream_end *end);
bool stream_has_bytes(const struct stream_end *end);
bool stream_has_room(const struct stream_end *end);

/* Closes one end: what it has written still arrives, what comes is lost. */
void stream_close(struct stream_end *end);

/* What this end writes does not arrive any more, until it is let through again. */
void stream_block(struct stream_end *end, bool is_blocked);

/* Both ends learn at once that it is over; what is on its way is lost. */
void stream_reset(struct stream *stream);

#endif
