/* burial.h - when the tombstones of a slot are no longer needed: its coordinator finds out, and raises the slot's floor.
 *
 * A tombstone goes when nobody can bring back what it has deleted:
 *   1. All home copies were found equal in comparisons that began after it was there (node/replicate.h).
 *   2. Nobody keeps a hint for one of them (each node gossips for whom it keeps any), nor for a key of the slot.
 *   3. Each of them has completed a checkpoint that began after that comparison, or has none that it could load. Checkpoints are told apart by
 *      their numbers since the start of their node, which it tells with the answer to a comparison: no clock is asked.
 *   4. It is older than tombstone-grace.
 * So a home copy that cannot be reached keeps the tombstones of its slots where they are. The coordinator raises its own floor and tells the
 * others; whom it does not reach learns of it by comparing.
 *
 * A key that expires while a home copy may lag behind leaves a stub, which is buried like a tombstone (ledger->stubs).
 *
 * A node is *sure* of a slot that it has held ever since it was found equal with all who could be reached. Records at or below the floor of such
 * a slot are candidates (cluster/entries.h) where they come from a node that is not settled (it has loaded an old file) or does not hold
 * the slot (it stood in, or held it once).
 * May touch: cluster, store, links. Must never know: sessions, commands, files.
 * Invariants: no floor is raised above what all home copies have; while this node is not settled, none is.
 * Tests: tests/unit/node/burial_test.c, tests/sim/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_BURIAL_H
#define NODE_BURIAL_H

#include "node/cluster.h"

/* A link with the peer is new: one that is not settled is told all floors before any record comes to it. */
void burial_greet(struct node *node, struct peer *peer);

/* A comparison with the peer begins. */
void burial_note_round(struct node *node, struct peer *peer);

/* It found all equal. The peer says which checkpoint was the last that had begun by then, and which is the oldest that it might load. */
void burial_note_equal(struct node *node, struct peer *peer, uint64_t begun, uint64_t oldest);

/* The peer, coordinator of `answered` and in agreement with all others, found this node equal. */
void burial_note_word(struct node *node, const struct peer *peer);

/* For entries_options: `context` is the node. */
bool burial_is_candidate(void *context, uint32_t slot);

/* Timer: raises floors. Returns the milliseconds until it wants to be called again. */
uint32_t burial_work(struct node *node);

#endif
