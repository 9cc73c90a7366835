/* station.h - one machine of the simulated cluster: a node's process, its disk, its clock, its connections.
 *
 * Does what the server does with a loop, sockets and files. A process begins on what is on the disk, and ends: because it
 * was asked to, killed, or with the power of the machine. It may stand still for a while. Its users are connected without
 * a network in between: bytes that they have said are there, and replies reach them in the turn in which they are made.
 * Turns happen when something has happened, or when the node has asked for one: never otherwise.
 *
 * May touch: the node through node/node.h. Must never know: what the requests are, what is right.
 * Invariants: calls the node in the order that node/node.h asks for; a process that has ended has given back all memory.
 * Tests: it is one.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_RING_STATION_H
#define SIM_RING_STATION_H

#include "node/node.h"
#include "sim/crash_queue.h"
#include "sim/disk.h"
#include "sim/ring/network.h"
#include "sim/world.h"

#define STATION_NAME      "node-"
#define STATION_ADDRESS   "10.0.0."
#define STATION_PORT      6379
#define STATION_PEER_PORT 16379

struct station;

/* Who is connected as a client. */
struct station_client {
    void *owner;
    void (*received)(void *owner, const uint8_t *data, size_t size);
    void (*closed)(
        void *owner);        /* the connection is gone: the node has closed it, or its process has ended */
    struct station *station; /* NULL: not connected */
    struct session *session;
    struct buffer unsent;                   /* what it has said and the node has not read */
    struct station_client *next, *previous; /* all of the station */
    struct station_client *next_ready;
    bool is_ready;
};

struct station_observer {
    void *context;
    void (*turned)(void *context, struct station *station); /* a turn is over */
    void (*ending)(void *context,
                   struct station *station); /* the process is about to end: its memory is still there */
    void (*rerouted)(void *context);         /* a node has new routes */
};

enum disk_fate { DISK_KEPT, DISK_LOST, DISK_ROLLED_BACK };

/* The most that one call of the node did. */
struct station_steps {
    size_t work_bytes, input_bytes; /* by which memory grew in node_work(), node_peer_input() */
    uint64_t turns, idle_turns, clock_calls;
};

struct station {
    struct world *world;
    struct network *network;
    const struct conditions *conditions;
    struct station_observer observer;
    uint32_t number;
    char address[16];
    const char *seeds; /* the setting; outlives the station */
    const char *secret;
    struct mem mem; /* the process's */
    struct config config;
    struct node *node; /* NULL: there is no process */
    struct identity identity;
    uint32_t process; /* how many there were, this one included */
    bool is_off;      /* the machine has no power */
    bool is_removed;  /* taken out of the cluster for good: nobody asks what it holds */
    bool is_asked_to_end;
    struct simulated_disk disks[2]; /* the other one is for what is left after an end */
    unsigned disk;
    struct simulated_disk old_disk; /* as it once was */
    bool has_disk, has_old_disk;
    struct crash_queue helper;
    uint64_t help_ns;
    int64_t wall_shift_us; /* its clock against the world's */
    uint64_t wake_ns;      /* when the next turn is wanted; UINT64_MAX: not */
    uint64_t alarm_ns;     /* when an event for it is to come; UINT64_MAX: none is */
    uint64_t stands_still_until_ns;
    uint64_t busy_ns;   /* virtual time that this turn has taken so far */
    uint64_t worked_ns; /* in all turns before */
    struct wire_end *first_ready, **last_ready;
    struct dial *dials_ended;
    struct station_client *clients, *first_client, **last_client;
    uint64_t membership_epoch, route_epoch; /* as seen last; neither goes back */
    struct station_steps steps;
};

void station_init(struct station *station, struct world *world, struct network *network,
                  const struct conditions *conditions, uint32_t number);
void station_release(struct station *station);

/* Begins a process. */
void station_begin(struct station *station, enum disk_fate fate);
/* Ends it: it is killed, or its machine loses its power. */
void station_end(struct station *station, bool loses_power);
/* Asks it to end; it does so some time later. */
void station_ask_to_end(struct station *station, enum node_stop how);
/* Keeps a copy of the disk, for DISK_ROLLED_BACK. */
void station_keep_disk(struct station *station);
/* Nothing happens in the process for so long. */
void station_pause(struct station *station, uint64_t duration_ns);
void station_go_on(struct station *station);

static inline bool station_runs(const struct station *station) {
    return station->node != NULL;
}

static inline int64_t station_wall_us(const struct station *station) {
    return world_wall_us(station->world) + station->wall_shift_us;
}

/* A client connects. false: the node had no memory for it. */
bool station_connect(struct station *station, struct station_client *client);
void station_disconnect(struct station_client *client);
/* Something was added to client->unsent. */
void station_client_ready(struct station_client *client);

/* The network's side. */
void station_wire_ready(struct wire_end *end);
void station_dial_ended(struct station *station, struct dial *dial);

#endif
