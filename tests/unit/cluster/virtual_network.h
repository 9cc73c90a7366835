/* virtual_network.h - many memberships in one process, and a network between them that delays, loses and cuts.
 *
 * Virtual time; each node ticks every 20 ms at a phase of its own. A link is made when there is something to send: both ends
 * introduce themselves, as the node layer does. All that is random follows from one seed.
 * Only for tests of the cluster layer.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef TESTS_VIRTUAL_NETWORK_H
#define TESTS_VIRTUAL_NETWORK_H

#include "cluster/membership.h"

#define NETWORK_NODES_MAX 100
#define NETWORK_TICK_MS   20
#define NETWORK_NEVER     UINT64_MAX

struct network_item;

struct network_node {
    struct membership *membership; /* NULL: no process */
    uint8_t id[NODE_ID_SIZE];
    uint64_t incarnation;
    uint64_t phase_ms;
    uint64_t paused_until_ms;
    uint64_t life; /* counts starts: items of an earlier life are void */
    uint64_t events[MEMBERSHIP_ADOPTED + 1];
    struct membership_event last[MEMBERSHIP_ADOPTED + 1];
    uint64_t
        down_ms[NETWORK_NODES_MAX]; /* when this node last took that one for down; NETWORK_NEVER: it is not */
    uint64_t tried_ms[NETWORK_NODES_MAX]; /* when it last tried to make a link */
    uint16_t link[NETWORK_NODES_MAX];     /* the other's index here, or RING_NOBODY: no link */
};

struct network {
    struct mem mem;
    struct rng rng;
    struct network_node nodes[NETWORK_NODES_MAX];
    uint32_t count;
    uint64_t now_ms;
    uint64_t delay_min_ms, delay_max_ms;
    uint32_t loss_per_mille;
    bool is_cut[NETWORK_NODES_MAX][NETWORK_NODES_MAX]; /* from, to */
    uint64_t interval_ms, suspect_timeout_ms;
    uint32_t fan_out;
    uint64_t false_downs; /* a node that runs, or paused for no longer than allowed, was taken for down */
    struct network_item *items;
    uint32_t item_count, item_capacity;
    uint64_t sequence;
    uint64_t messages;
};

void network_init(struct network *network, uint64_t seed);
/* Frees all and checks that no memory is left. */
void network_release(struct network *network);

/* Starts a node (again, in a later incarnation). Its id is made of its number and the seed. */
void network_start(struct network *network, uint32_t node);
/* The process ends. Its peers notice nothing, or that their links break. */
void network_kill(struct network *network, uint32_t node, bool is_refused);
void network_pause(struct network *network, uint32_t node, uint64_t duration_ms);
/* Makes a link, as a seed does. */
enum introduction network_meet(struct network *network, uint32_t from, uint32_t to);
/* Cuts or heals both directions between two groups: those below `border` and the others. */
void network_set_cut(struct network *network, uint32_t border, bool is_cut);

void network_run(struct network *network, uint64_t duration_ms);
/* Runs until the condition holds for all running nodes; returns how long that took, or NETWORK_NEVER after `limit_ms`. */
uint64_t network_run_until(struct network *network, bool (*condition)(struct network *, uint32_t node),
                           uint64_t limit_ms);
/* Starts nodes 0..count-1, lets each meet node 0, runs until all see all. */
void network_form(struct network *network, uint32_t count);

/* Conditions. */
bool network_sees_all_up(struct network *network, uint32_t node);

/* What `observer` thinks of `subject`. NULL: it does not know it. */
const struct member *network_view(const struct network *network, uint32_t observer, uint32_t subject);

#endif
