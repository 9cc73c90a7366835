/* cluster_slots.h - what clients are told of the cluster's slots and nodes: CLUSTER SLOTS, SHARDS and NODES.
 *
 * A range is a run of slots with one coordinator. The ring has many points, so there are many ranges: CLUSTER SLOTS, which
 * every client of a cluster asks for, is rendered once and kept until the routes change.
 * All addresses name the cluster-port. Slots that nobody coordinates are left out.
 * May touch: node, cluster, proto. Must never know: who asks.
 * Invariants: a reply that is kept is one of the route epoch that stands beside it.
 * Tests: tests/unit/node/cluster_slots_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_CLUSTER_SLOTS_H
#define NODE_CLUSTER_SLOTS_H

#include "node/cluster.h"
#include "node/state.h"

/* 40 hex digits in either case -> an id. false: it is none. */
bool cluster_read_id(const struct argument *text, uint8_t id[NODE_ID_SIZE]);

/* Who executes the commands of a slot, by membership index, or ROUTE_NOBODY. */
static inline uint16_t cluster_route(const struct node *node, uint32_t slot) {
    return node->routes == NULL ? ROUTE_SELF : node->routes[slot];
}

/* CLUSTER SLOTS as it is now, appended to `out` as a reply. false: no memory. */
bool cluster_slots_render(const struct node *node, bool with_replicas, uint8_t protocol, struct buffer *out);

/* The same from what is kept, which is made where it is none of this epoch. */
void cluster_slots_reply(struct node *node, struct reply *reply);

/* CLUSTER SHARDS: each node with all of its ranges. */
void cluster_shards_reply(struct node *node, struct reply *reply);

/* CLUSTER NODES: a line for each node. text->failed: no memory. */
void cluster_nodes_append(struct node *node, struct buffer *text);

/* What CLUSTER INFO and INFO count. */
struct cluster_counts {
    uint32_t members, up, suspect, down,
        settled;           /* without those that were removed; up: not suspect either */
    uint32_t coordinators; /* members that coordinate at least one slot */
    uint32_t slots_up, slots_suspect, slots_lost; /* by the state of their coordinator; lost: there is none */
    uint32_t slots_own, slots_held;               /* that this node coordinates, that it holds a copy of */
    uint64_t records_out, records_in, requests_out, requests_in; /* to and from all peers */
};
void cluster_count(const struct node *node, struct cluster_counts *counts);

#endif
