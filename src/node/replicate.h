/* replicate.h - what this node's commands have changed goes to the other copies, and what others have changed comes in.
 *
 * After each command the effects that the keyspace has noted (store/ledger.h) become entries for every other holder of their slots
 * (cluster/entries.h); what has gathered for a peer leaves as one FRAME_RECORDS per turn of the loop. What cannot be told
 * (no link, a full queue, no memory) is not lost: the peer is compared with soon (cluster/antientropy.h).
 * May touch: cluster, store. Must never know: sessions, commands.
 * Tests: tests/sim/, tests/unit/node/replicate_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_REPLICATE_H
#define NODE_REPLICATE_H

#include "cmd/command.h"
#include "node/cluster.h"

/* A command, or a step of expiry, is done: takes the keyspace's effects. */
void replicate_effects(struct node *node);

/* Tells one peer a record as it is now. */
void replicate_record(struct node *node, struct peer *peer, const struct record *record);

/* The same for a command: one that has flushed the slots that this node coordinates tells so (has_failed: it has not). */
void replicate_command(struct node *node, const struct command *command, bool has_failed);

/* Tells the other holders of the slots about a flush. */
void replicate_flush(struct node *node, const struct slot_set *slots, uint64_t counter);

/* Sends what has gathered for a peer. Returns whether it left: else it is noted as missed (node/handoff.h). */
bool replicate_send(struct node *node, struct peer *peer);

/* FRAME_RECORDS from a link's peer. false: it made no sense. */
bool replicate_receive(struct node *node, struct peer_link *link, const uint8_t *payload, size_t size);

/* FRAME_COMPARE: a question on a link that the peer has called, an answer on one that this node has called. */
bool replicate_compare(struct node *node, struct peer_link *link, const uint8_t *payload, size_t size);

/* Begins comparisons that are due. Returns the milliseconds to the next. */
uint32_t replicate_work(struct node *node);

#endif
