/* floors.h - below which counter a slot's tombstones are gone for good, and how they go.
 *
 * A deleted key leaves a tombstone, so that no copy that has missed the deletion brings the key back. When all who may have missed it are
 * known to have it (node/burial.h finds that out), the slot's *floor* is raised to its counter or above, on all home copies, and tombstones
 * whose highest counter is at or below the floor go, in steps. From then on such a tombstone is not taken at any door. A live record at or below
 * the floor is a record like any other, where it is known to be one that all copies have; from somebody who may have missed the
 * deletion it is a candidate only (cluster/entries.h).
 *
 * Floors only rise, and are whole steps of FLOOR_STEP, so that many slots have the same one and differences are small numbers. They are compared
 * by anti-entropy as flush counters are, and kept in checkpoints. A keyspace that is alone, and expects nobody, has none.
 * May touch: base, data, store. Must never know: who else has copies, why a floor is raised.
 * Invariants: a slot that is not in `dropping` has no tombstone at or below its floor; a step looks at a bounded number of records.
 * Tests: tests/unit/store/floors_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_FLOORS_H
#define STORE_FLOORS_H

#include "store/ledger.h"

/* 1024 milliseconds of a counter. */
#define FLOOR_STEP_BITS 26
#define FLOOR_STEP      (UINT64_C(1) << FLOOR_STEP_BITS)

/* The highest floor at or below a counter. */
static inline uint64_t floors_round(uint64_t counter) {
    return counter & ~(FLOOR_STEP - 1);
}

/* Raises the floors of some slots (first <= last) where they are lower; the counter is rounded down. What is to be dropped for it is dropped by
 * floors_step(). A counter of an impossible future is refused (and counted), as is any while the keyspace is alone. Returns whether a
 * floor is higher now. */
bool floors_raise(struct keyspace *keyspace, uint32_t first_slot, uint32_t last_slot, uint64_t counter);

/* A checkpoint's word on some slots, before its records: raises flush counters and floors. */
void floors_load(struct keyspace *keyspace, uint32_t first_slot, uint32_t last_slot, uint64_t flush_counter,
                 uint64_t floor);

/* A step of dropping. Returns the units spent; 0: there is nothing to be dropped. */
uint32_t floors_step(struct keyspace *keyspace, uint32_t budget);

/* Whether tombstones at or below the floor of a slot may be there still: then its digest is not what it will be. */
static inline bool floors_are_dropping(const struct ledger *ledger) {
    return ledger->floors.dropping_count != 0;
}
static inline bool floors_is_dropping(const struct ledger *ledger, uint32_t slot) {
    return slot_set_has(&ledger->floors.dropping, slot);
}

/* The keyspace is alone: there are none any more. */
void floors_clear(struct ledger *ledger);

#endif
