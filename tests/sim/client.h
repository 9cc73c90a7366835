/* client.h - a simulated client: connects, writes requests, reads answers, loses its connection, comes again.
 *
 * May touch: streams, conversations, the workload. Must never know: the model, the inside of the node.
 * Invariants: every answer that arrives is what the node produced, whole and in order; a connection that the node closed
 * in peace has delivered all of them.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "sim/machine.h"
#include "sim/workload.h"

/* One connection of a client, kept to the end of the world: events may still name its stream. */
struct client_connection {
    struct client_connection *next;
    struct client *client;
    struct stream *stream;
    struct conversation *conversation;
    struct buffer unsent; /* requests that the stream did not take yet */
    bool is_left;         /* the client has nothing to do with it any more */
};

struct client {
    struct world *world;
    struct machine *machine;
    const struct swarm *swarm;
    struct workload *workload;
    struct sightings *sightings;
    uint32_t number;
    uint64_t *requests_left; /* of all clients together */
    struct script script;
    struct client_connection *connections; /* newest first */
    struct client_connection *current;     /* NULL: not connected */
    uint64_t next_act_ns;
    bool is_waiting;  /* its next act is far off */
    uint64_t some_id; /* of a client that it knows of */
};

void client_init(struct client *client, struct machine *machine, struct workload *workload, uint32_t number,
                 uint64_t *requests_left, struct sightings *sightings);
void client_release(struct client *client);

/* To begin with: it connects some time soon. */
void client_start(struct client *client);

/* The conditions have changed: what could not be sent before perhaps can be now. */
void client_wake(struct client *client);

/* Whether it waits for answers that have to come. */
bool client_waits(const struct client *client);

/* Closes its connection. */
void client_leave(struct client *client);

#endif
