/* cluster_stage.h - a node that is a member of a cluster whose other members have introduced themselves, and said no more: no
 * links, no time.
 *
 * Member i > 0 has the id that begins with the byte i, the host 10.0.0.i and the ports 7000 + i and so on; member 0 is the node.
 * May touch: node and all below it. Must never know: sockets.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef TESTS_UNIT_NODE_CLUSTER_STAGE_H
#define TESTS_UNIT_NODE_CLUSTER_STAGE_H

#include "node/cluster.h"
#include "node/conversation.h"

struct cluster_stage {
    struct conversation world;
    struct session *client;  /* of the port */
    struct cluster *cluster; /* the node's */
    struct identity identity;
};

/* A cluster of `members` with three copies; every slot is coordinated by its primary. A test may change the routes. */
void cluster_stage_begin(struct cluster_stage *stage, uint32_t members);
/* Demands that all memory is back. */
void cluster_stage_end(struct cluster_stage *stage);

/* As if it had been found out: no ring or route changes. */
void cluster_stage_set_state(struct cluster_stage *stage, uint16_t member, enum member_state state);

const struct member *cluster_stage_member(const struct cluster_stage *stage, uint16_t member);
/* The id of a member in hex, in a text that the next call overwrites. */
const char *cluster_stage_id(struct cluster_stage *stage, uint16_t member, char text[41]);

#endif
