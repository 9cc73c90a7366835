/* handoff.h - what other nodes have missed is noted, and handed over when they can be reached again.
 *
 * The hints themselves are kept by cluster/hints.h. Here they are made: of a record that could not be told to a home copy, of frames that a link
 * had sent when it ended and that nobody has acknowledged, of records that this node keeps in the place of another (a stand-in's). And they are
 * worked off, by a timer that goes over all peers: a peer that is linked and has hints gets a batch of its keys as they are now; when that is
 * acknowledged, the next. A stand-in deletes its own copy then. Hints are kept on disk beside the checkpoint (handoff_file.c).
 * Comparing (node/replicate.h) stays behind all this: what was refused, forgotten or lost with this node is found by it.
 * May touch: cluster, store, links. Must never know: sessions, commands.
 * Invariants: one batch per peer is on its way; a hint goes only when its batch was acknowledged, or there is nothing to be told;
 * every step is bounded.
 * Tests: tests/unit/node/hints_test.c, tests/sim/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_HANDOFF_H
#define NODE_HANDOFF_H

#include "node/cluster.h"

void handoff_init(struct node *node);
void handoff_release(struct node *node);

/* The peer, a holder of its slot, cannot be told of this. */
void handoff_miss(struct node *node, struct peer *peer, const struct effect *effect);
void handoff_miss_flush(struct node *node, struct peer *peer);
/* These entries were not sent to it. */
void handoff_miss_entries(struct node *node, struct peer *peer, const uint8_t *data, size_t size);
/* The peer's link for what this node sends is over. Returns whether it is kept for what was not acknowledged (and freed here later). */
bool handoff_take_link(struct node *node, struct peer *peer, struct link *link);
/* It is not used any more: what has gathered for it is missed, the batch that was on its way waits again. */
void handoff_link_ended(struct node *node, struct peer *peer);
/* A new one is there. */
void handoff_link_ready(struct node *node, struct peer *peer);
/* For entries_options: `context` is the node. */
void handoff_stand_in(void *context, const uint8_t node_id[NODE_ID_SIZE], const struct argument *key);

/* Whether the peer's hints are to be worked off before it is compared with. */
bool handoff_comes_first(const struct node *node, const struct peer *peer);
/* Whether frames that the peer acknowledges are waited for here. */
static inline bool handoff_waits(const struct peer *peer) {
    return peer->hints_frame != 0;
}

/* A peer is gone: what is kept of its links is freed. */
void handoff_forget_peer(struct node *node, struct peer *peer);

/* Timers: batches, what is too old, what is to be dropped. Returns the milliseconds until it wants to be called again. */
uint32_t handoff_work(struct node *node);

/* ---- handoff_file.c: `<dbfilename>.hints` ---- */

/* At the start. false: no memory. A damaged file is set aside. */
bool handoff_file_load(struct node *node);
void handoff_file_release(struct node *node);
/* A checkpoint has been made: the hints are to be written, too. */
void handoff_file_want(struct node *node);
/* A step of writing. Returns whether there is more to do at once. */
bool handoff_file_work(struct node *node);
/* It is not all on disk yet, and nothing has failed. */
bool handoff_file_is_pending(const struct node *node);
/* The helper has work of it. */
bool handoff_file_is_busy(const struct node *node);

#endif
