/* machine.h - the simulated process around one node: what the server does with sockets and a loop, done with streams
 * and events; and where the process itself goes wrong: it stands still, its clock jumps, its memory ends.
 *
 * An observer hears of every byte that the node takes in and of every byte that it produces, the moment it does.
 * May touch: the node through node/node.h (and the session's output, to see it before it is sent). Must never know:
 * what the requests are, what is right.
 * Invariants: calls the node in the order that node/node.h asks for.
 * Tests: it is one.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_MACHINE_H
#define SIM_MACHINE_H

#include "node/node.h"
#include "sim/sightings.h"
#include "sim/stream.h"
#include "sim/swarm.h"
#include "sim/world.h"

struct machine;

/* One accepted connection. */
struct connection {
    struct machine *machine;
    struct connection *next, *previous; /* all that are open */
    struct stream_end *end;
    struct session *session;
    void *watch;       /* the observer's */
    bool is_here;      /* from this machine */
    bool is_ready;     /* something happened to it since the last turn */
    uint64_t taken;    /* bytes that the node was given */
    uint64_t sent;     /* bytes that the stream took from it */
    uint64_t produced; /* bytes of replies, sent or not */
};

/* What the node did to a session in one call. */
struct production {
    const uint8_t *data; /* what it produced */
    size_t size;
    bool is_held;       /* it will go on by itself with what it was given */
    bool is_killed;     /* nothing more is sent */
    bool is_closing;    /* nothing more is executed */
    bool memory_failed; /* an allocation may have failed in this call */
    bool memory_failed_in_turn;
    size_t used_before, used_after; /* memory, bytes */
};

enum close_cause { CLOSED_BY_NODE, CLOSED_BY_PEER, CLOSED_BY_END, CLOSED_WITHOUT_MEMORY };

struct machine_observer {
    void *context;
    /* A turn begins; the wall clock may have been set back since the last one. */
    void (*turn)(void *context, bool clock_went_back);
    void (*produced)(void *context, struct connection *connection, const struct production *production);
    void (*closed)(void *context, struct connection *connection, enum close_cause cause);
};

struct machine {
    struct world *world;
    const struct swarm *swarm;
    struct machine_observer observer;
    struct mem mem; /* the node's */
    struct config config;
    struct node *node;
    struct connection *connections;
    uint32_t open_connections;
    uint64_t wake_ns; /* the turn that is asked for; UINT64_MAX: none */
    uint64_t busy_ns; /* virtual time spent in this turn so far */
    uint64_t stands_still_until_ns;
    int64_t last_wall_us;
    uint64_t next_jump_ns;
    bool memory_failed; /* an allocation may have failed in this turn */
    struct sightings *sightings;
    uint64_t turns, background_steps, failed_allocations;
};

/* Starts the process. swarm->maxmemory counts on top of what the node takes by itself. */
void machine_start(struct machine *machine, struct world *world, const struct swarm *swarm,
                   const struct machine_observer *observer, struct sightings *sightings);

/* Ends it: closes all connections, frees the node, looks for what was not given back. */
void machine_stop(struct machine *machine);

struct client_place {
    const char *address;
    bool is_here; /* on this machine */
};

/* A client has connected. NULL: the node had no memory for it, and the stream is closed. */
struct connection *machine_accept(struct machine *machine, struct stream_end *end,
                                  const struct client_place *place, void *watch);

/* The conditions have changed: all connections are looked at. */
void machine_wake(struct machine *machine);

/* Something happened at the connection's stream. */
void machine_ready(struct connection *connection);

#endif
