/* network.h - the network between the simulated nodes: names, calls, connections, and paths that are cut in one direction or both.
 *
 * A connection is a *wire* with two ends. It carries either a stream (sim/stream.h: bytes, late, in pieces, cut off anywhere)
 * or, for all connections of a run, frames: what an end writes is cut up with the protocol's own reader, and each frame may
 * be lost, repeated, or overtaken by later ones. The frames that open a connection arrive, and in their order: who builds on
 * a network that loses them has to call anew, and does so here when a call is lost.
 * A path is what leads from one node to another. Over a path that is cut nothing arrives: streams stand still, frames are
 * lost, calls find nobody.
 *
 * May touch: world, stream, proto/peer_frame.h. Must never know: what nodes do with the bytes.
 * Invariants: a wire's end belongs to one process of one station; after wire_close() it hears nothing more.
 * Tests: it is one; fleet_selftest.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_RING_NETWORK_H
#define SIM_RING_NETWORK_H

#include "node/node.h"
#include "proto/peer_frame.h"
#include "sim/ring/conditions.h"
#include "sim/stream.h"

struct station;
struct wire;

struct wire_end {
    struct wire *wire;
    struct station *station;
    struct peer_link *link; /* NULL: the node has not been told of it, or it is gone */
    uint64_t call_id;       /* of who has called */
    uint32_t process;       /* number of the station's process that it belongs to */
    bool is_caller;
    bool is_gone;  /* closed from this side */
    bool is_over;  /* frames: nothing more comes */
    bool is_ready; /* on the station's list of those that something happened to */
    struct wire_end *next_ready;
    /* frames */
    struct peer_frame_reader *cutter; /* of what this end writes */
    struct buffer inbox;              /* of what has come */
    size_t inbox_taken;
    uint64_t last_arrival_ns; /* of frames to this end that are in order */
};

struct parcel;

struct wire {
    struct network *network;
    struct wire *next;
    struct stream *stream;   /* NULL: this wire carries frames */
    struct wire_end ends[2]; /* who called, who was called */
    bool is_silent;          /* frames: nothing arrives any more, and nobody knows */
    uint64_t silent_ns;      /* since when it was seen to be silent; 0: it is not */
    bool has_timed_out; /* it is over because nothing was acknowledged for too long: nobody has reset it */
};

/* A node calls another one; and how that ended. */
struct dial {
    struct network *network;
    struct dial *next, *previous; /* all that are under way, or of the station that is to hear of it */
    struct station *from;
    uint32_t process;
    uint64_t id;
    uint32_t to;
    struct wire *wire; /* NULL: it failed */
    enum node_call_failure failure;
};

struct network_statistics {
    uint64_t calls, wires, frames, lost, repeated, overtaken, bytes;
    uint64_t kinds[FRAME_KIND_COUNT];
    size_t longest_frame;
};

struct network {
    struct world *world;
    const struct conditions *conditions;
    struct station *stations;
    uint32_t station_count;
    bool is_cut[STATIONS_MAX][STATIONS_MAX];     /* from, to */
    uint64_t cut_ns[STATIONS_MAX][STATIONS_MAX]; /* since when; 0: it is not */
    struct wire *wires;                          /* those that are in use, and some that are over */
    struct wire *over;                           /* all others there ever were: events refer to them */
    struct parcel *parcels;                      /* frames on their way */
    struct dial *dials;
    struct network_statistics statistics;
};

void network_init(struct network *network, struct world *world, const struct conditions *conditions,
                  struct station *stations);
void network_release(struct network *network);

/* "node-3" and the station's address both mean its number; STATIONS_MAX: nobody has that name. */
uint32_t network_find(const struct network *network, const char *host);

/* A node calls somebody. station_call_ended() will say how it went. */
void network_call(struct network *network, struct station *from, const struct node_call *wish);

/* Cuts a path, or mends it. resets: the connections between the two break, and both learn of it. */
void network_cut(struct network *network, uint32_t from, uint32_t to, bool is_cut, bool resets);
void network_mend_all(struct network *network);

/* One of the connections that are open breaks. */
void network_break_some_wire(struct network *network);

/* The process of a station has ended; silently: the machine is gone, nobody hears of it. */
void network_process_ended(struct network *network, struct station *station, bool is_silent);
/* The machine is there again: who still has connections with the processes before learns better. */
void network_process_began(struct network *network, struct station *station);

/* As the calls of sockets. */
size_t wire_write(struct wire_end *end, const uint8_t *data, size_t size);
size_t wire_read(struct wire_end *end, uint8_t *space, size_t size);
bool wire_has_bytes(const struct wire_end *end);
bool wire_has_room(const struct wire_end *end);
bool wire_is_over(const struct wire_end *end);
bool wire_has_timed_out(const struct wire_end *end);
void wire_close(struct wire_end *end);

static inline struct wire_end *wire_other(struct wire_end *end) {
    return &end->wire->ends[end->is_caller ? 1 : 0];
}

#endif
