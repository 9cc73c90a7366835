/* wait.h - WAIT: until enough copies have what this connection has written.
 *
 * A connection remembers the slots that it has written (some; beyond, all count). Each of their coordinators waits until every one
 * of them has so many copies, besides its own, that have acknowledged all that was sent before; the smallest count is the
 * answer. Nodes that merely keep something for others do not count. It begins when all commands of the connection before it are answered.
 *
 * Who coordinates a slot now cannot vouch for what another one has executed before. So where the way of a slot has changed since the
 * connection wrote, nothing counts until all its holders were found equal by a comparison that began with the WAIT: the answer is then
 * 0 or all. Told once, what was written before is forgotten: the next WAIT counts what the present coordinators have sent.
 * May touch: cluster, forward, sessions.
 * Tests: tests/sim/, tests/cluster/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_WAIT_H
#define NODE_WAIT_H

#include "node/route.h"

/* A client's WAIT in a cluster: keeps a place for its reply, or has replied. */
void wait_for_client(struct node *node, struct session *session, struct argument *argv, uint32_t argc);

/* Another node's: [WAIT, copies, timeout in ms, slot...]; no slots: all that this node coordinates. Answered now or later. */
void wait_for_peer(struct node *node, struct peer_link *link, uint64_t number, const struct argument *argv,
                   uint32_t argc);

/* Acknowledgements have come, or time has passed. Returns the milliseconds until the first deadline. */
uint32_t wait_work(struct node *node);

/* A link is about to be freed: nobody is to be answered there any more. */
void wait_forget_link(struct node *node, const struct peer_link *link);
void wait_release(struct node *node);

#endif
