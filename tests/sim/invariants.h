/* invariants.h - what must hold inside the node whatever clients do: counts, places, bounds of memory and of work.
 *
 * May touch: the inside of node and store, to look and never to change; the model. Must never know: streams, clients.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_INVARIANTS_H
#define SIM_INVARIANTS_H

#include "sim/machine.h"
#include "sim/model.h"
#include "sim/sightings.h"
#include "store/keyspace.h"

/* Around one piece of background work: I-STEP. */
struct step_watch {
    uint64_t expired, reclaimed, allocations;
};

void step_watch_begin(struct step_watch *watch, const struct machine *machine);
void step_watch_end(const struct step_watch *watch, struct machine *machine);

/* Whether the node still holds this key, expired or not. */
bool node_holds(const struct node *node, const struct model_record *record);

/* The structure of every table, every counter, and equality with the model; fails the world. */
void invariants_check(struct machine *machine, struct model *model, struct sightings *sightings);

/* Whether the live keys of the node are those of the model. */
bool node_equals_model(const struct machine *machine, struct model *model, char *difference, size_t size);

/* Visits all keys of a keyspace, expired ones included. */
void keyspace_each(struct keyspace *keyspace, void (*visit)(void *context, const struct model_record *record),
                   void *context);

/* One number for all keys that the node holds, with their values, expiry and encoding; stamps do not count. */
uint64_t node_fingerprint(const struct node *node);

/* Gives the model the node's keys. */
void model_follow_node(struct model *model, const struct node *node);

#endif
