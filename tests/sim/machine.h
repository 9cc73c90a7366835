/* machine.h - the simulated process around one node: what the server does with sockets, files and a loop, done with streams,
 * a simulated disk and events; and where the process itself goes wrong: it stands still, its clock jumps, its memory or
 * its disk ends, it is killed, the power fails. After its end the next one begins at once, on what is left on the disk.
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
#include "sim/crash_queue.h"
#include "sim/disk.h"
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
    bool is_waiting;    /* because it is in the middle of a command */
    bool is_killed;     /* nothing more is sent */
    bool is_closing;    /* nothing more is executed */
    bool memory_failed; /* an allocation may have failed in this call */
    bool memory_failed_in_turn;
    size_t used_before, used_after; /* memory, bytes */
};

enum close_cause { CLOSED_BY_NODE, CLOSED_BY_PEER, CLOSED_BY_END, CLOSED_WITHOUT_MEMORY };

/* How a process comes to its end. */
enum process_end {
    PROCESS_ENDED,     /* by itself: it was asked to, or could not load */
    PROCESS_KILLED,    /* what it has written is there */
    PROCESS_LOST_POWER /* what it had made durable is there */
};

struct machine_observer {
    void *context;
    /* A turn begins; the wall clock may have been set back since the last one. */
    void (*turn)(void *context, bool clock_went_back);
    void (*produced)(void *context, struct connection *connection, const struct production *production);
    void (*closed)(void *context, struct connection *connection, enum close_cause cause);
    /* The node has said something while it did its background work. */
    void (*logged)(void *context, const char *text);
    /* Background work has been done; no session has gone on because of it yet. */
    void (*worked)(void *context);
    /* The process is about to end: the node is there, its connections are closed. */
    void (*ends)(void *context, enum process_end end);
    /* A process has begun, and its node begins to load. */
    void (*begun)(void *context);
};

struct machine {
    struct world *world;
    const struct swarm *swarm;
    struct machine_observer observer;
    struct mem mem; /* the node's */
    struct config config;
    struct node *node;
    struct identity identity;
    struct simulated_disk disks[2]; /* the other one is for what is left after an end */
    unsigned disk;                  /* which of them it is */
    struct crash_queue helper;
    uint64_t help_ns; /* when the helper is done with its next piece of work; UINT64_MAX: it has none */
    uint64_t trouble_until_ns; /* of the disk */
    uint64_t troubles;         /* so often the disk made errors, and memory was lacking in background work */
    bool has_trouble;          /* of the disk, now */
    bool is_working;           /* in the background */
    bool is_calm;              /* nothing goes wrong until the keys are loaded */
    uint32_t processes;        /* begun so far */
    uint64_t limit_on_top;     /* of maxmemory, until it is known on top of what */
    struct connection *connections;
    uint32_t open_connections;
    uint64_t wake_ns; /* the turn that is asked for; UINT64_MAX: none */
    uint64_t busy_ns; /* virtual time spent in this turn so far */
    uint64_t stands_still_until_ns;
    int64_t last_wall_us;
    uint64_t next_jump_ns;
    bool memory_failed; /* an allocation may have failed in this turn */
    bool has_fuse;      /* one is to fail in this turn */
    struct sightings *sightings;
    uint64_t turns, background_steps, failed_allocations;
};

/* Starts the process. swarm->maxmemory counts on top of what the node takes by itself. */
void machine_start(struct machine *machine, struct world *world, const struct swarm *swarm,
                   const struct machine_observer *observer, struct sightings *sightings);

/* The process is killed, or the power fails; the next one begins. */
void machine_end(struct machine *machine, enum process_end end);

/* It is asked to end. */
void machine_ask_to_end(struct machine *machine, enum node_stop how);

/* Whether an allocation may have failed in this turn, up to now. */
static inline bool machine_lacks_memory(const struct machine *machine) {
    return machine->has_fuse && (machine->mem.fuse == 0 || machine->mem.fuse_stays_blown);
}

/* The name of the newest checkpoint, and the disk that it is on. */
#define MACHINE_CHECKPOINT "dump.rdb"
static inline const struct simulated_disk *machine_disk(const struct machine *machine) {
    return &machine->disks[machine->disk];
}

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
