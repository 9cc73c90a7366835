/* content.h - what a record holds, apart from what its version has merely seen; and when the rest may be forgotten.
 *
 * A version vector says which writes a record has seen: one dot for each actor, and a new actor with each start of each node. What the record
 * *holds* is less: the dot of its value, and the dots in its merge state (parts of a counter, siblings). Two records of a key that hold
 * the same dots are the same to everybody who asks, so they are compared by that: a record that adds nothing to another gives way
 * to it whole, one that holds the same stays, and digests are made of the content alone.
 *
 * The dots that a record has seen and does not hold are there for one purpose: that no older copy which still holds such a write passes for
 * something new. When every home copy of a slot has, for good, what was stamped up to a counter (node/burial.h finds that out: the slot's
 * *fold point*, ledger->folds), there is no such copy of a record at or below it. The next write over it leaves out what it does not hold: the
 * version is *folded*. The others need not be told: they hold what the writer's new version covers. So a version has few
 * dots however often the nodes of a cluster start anew, and nothing in it goes by age or length.
 *
 * Counters. Each start of a node that adds to a counter has a part in it, and the parts of ended starts would stay for ever. So a node gathers
 * its own: the sums of its earlier starts become a part of its present one, at its next addition after a fold point that was found since
 * it began to write under its present name (then no copy has a later part of theirs: content_past says so). Nobody else does, for of two
 * nodes that gather at once one would lose. The dots of what was gathered are seen, not held, from then on; they are raised to just
 * below the addition, as their starts write no more: so it can be told, also of a key that is written all the time, when all home copies have
 * the addition, and they can go.
 *
 * May touch: base, data, store/actors. Must never know: tables, who else has copies.
 * Source: Almeida, Baquero, Gonçalves, Preguiça, Fonte, Scalable and Accurate Causality Tracking for Eventually Consistent Stores, 2014
 * (dotted version vectors: what is held and what has been seen, apart).
 * Tests: tests/unit/store/content_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_CONTENT_H
#define STORE_CONTENT_H

#include "data/record.h"
#include "store/actors.h"

/* The dot whose write the value is: of those with the highest counter the one whose actor has the highest identity, everywhere the
 * same. (A record's newest dot is the one with the highest number.) */
struct dot content_value_dot(const struct actors *actors, const struct record_parts *parts);

/* Calls for each dot that the record holds; one may come twice. Stops when false is returned, and returns that. */
typedef bool content_visit(void *context, struct dot dot);
bool content_each(const struct actors *actors, const struct record_parts *parts, content_visit *visit,
                  void *context);

/* Whether who has seen `version` has seen all that the record holds. */
bool content_is_covered(const struct actors *actors, const struct record_parts *parts,
                        const struct version *version);

/* Whether merging two records of a key gives exactly the second: it has seen all that the first holds, and holds nothing that the first has
 * seen and no longer holds. Each with its version. Both ways round at once: they hold the same. */
bool content_gives_way(const struct actors *actors, const struct record_parts *first,
                       const struct version *first_version, const struct record_parts *second,
                       const struct version *second_version);

/* Whether the record holds this dot. */
bool content_holds(const struct actors *actors, const struct record_parts *parts, struct dot dot);

/* What is known of earlier starts of the node that writes as `self`. */
struct content_past {
    const struct actors *actors;
    uint16_t self;
    uint64_t since; /* what they have stamped is at or below it */
    uint64_t fold;  /* the slot's fold point. The rest only matters if this is above `since` */
};

/* Whether the next addition to a counter has something to do about them. */
bool content_has_past(const struct content_past *past, const struct record_parts *parts);
/* What merge_state_add() asks. *past must stay where it is. */
struct merge_past content_merge_past(const struct content_past *past);
/* An addition has made *parts of `old`, its state included: their dots in `others` (the parts' own) are raised, or go. */
void content_settle_past(const struct content_past *past, const struct record_parts *old,
                         struct record_parts *parts, struct dot *others);

/* The least version that covers what the record holds. false: none does, it holds more than there are dots in one (nothing here makes such
 * a record, but one may come from elsewhere). */
bool content_version(const struct actors *actors, const struct record_parts *parts, struct version *version);

#endif
