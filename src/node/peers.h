/* peers.h - the links to other nodes: made, introduced, filled with what has gathered, ended.
 *
 * Also the functions of node/node.h by which the world serves them.
 * May touch: cluster, node/link.h. Must never know: sockets.
 * Invariants: a link with a peer is ready; per peer and direction the newest ready link is the one that is used.
 * Tests: tests/sim/, tests/unit/node/cluster_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_PEERS_H
#define NODE_PEERS_H

#include "node/cluster.h"

/* Something has gathered for the peer: it is packed and sent at the end of the turn. */
void peers_mention(struct node *node, struct peer *peer);

/* Packs and sends what has gathered, but for what may wait for more. */
void peers_pack(struct node *node);

/* The link has something for the world to do. */
void peers_raise(struct node *node, struct peer_link *link);

/* Sends the answers that have gathered for the other end of a link. */
void peers_send_replies(struct node *node, struct peer_link *link);

/* The peer of a member index, made where there is none yet. NULL: this node itself, or no memory. */
struct peer *peers_of(struct node *node, uint16_t member);
void peers_release(struct node *node);

/* How many links with other nodes there are, made by either end, and what they hold. */
struct peers_memory {
    uint64_t links, bytes;
};
struct peers_memory peers_memory(const struct node *node);

/* Timers of the links; calls that are to be made (node_next_call). */
uint32_t peers_work(struct node *node);

#endif
