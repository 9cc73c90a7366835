/* holders.h - who is told of a slot's changes: its home copies, and those who stand in for home copies that cannot be reached.
 *
 * For each slot the other holders are worked out ahead, as a number of a set (ledger->notes, cluster->holder_sets): a write looks at
 * one set, whatever the ring. Where a holder cannot be reached from here, the next healthy nodes past the preference list stand in for it
 * (sloppy-quorum), so that there are as many copies as there should be; cluster->stand_ins names them beside the set.
 * May touch: cluster, ring, membership, links. Must never know: records, hints.
 * Invariants: a set's members are distinct, and none of them stands in; each absent holder has one stand-in at most.
 * Tests: tests/unit/node/hints_test.c, cluster_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_HOLDERS_H
#define NODE_HOLDERS_H

#include "node/cluster.h"

/* Works out the sets of all slots anew, if the ring is another one, or others can be reached, than when it was last done. */
void holders_work(struct node *node);

void holders_release(struct node *node);

/* The others that hold a slot, reachable or not. */
static inline const struct holder_set *holders_of(const struct cluster *cluster, const struct ledger *ledger,
                                                  uint32_t slot) {
    return &cluster->holder_sets[ledger->notes[slot] & SLOT_NOTE_MASK];
}

/* Those who stand in for others of a set. */
static inline const struct stand_in *holders_stand_ins_of(const struct cluster *cluster,
                                                          const struct holder_set *set) {
    return cluster->stand_ins[set - cluster->holder_sets].places;
}

/* The linked members that are told of a slot's changes in the place of holders that cannot be reached. Whose holder has just come within
 * reach again is told, too, until the places are worked out anew, but is none of them: its copy goes to that holder, and the two are one.
 * Returns their number. */
uint32_t holders_stand_ins(const struct node *node, uint32_t slot, uint16_t members[RING_COPIES_MAX]);

/* Whether a member holds a slot (is on its preference list). */
bool holders_has(const struct cluster *cluster, uint32_t slot, uint16_t member);

#endif
