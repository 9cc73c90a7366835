/* reclaim.h - gives back the memory of databases that were flushed, a bounded step at a time.
 *
 * May touch: base, data. Must never know: commands.
 * Invariants: pending = records in the databases handed over and not yet freed.
 * Tests: tests/unit/store/reclaim_test.c, keyspace_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_RECLAIM_H
#define STORE_RECLAIM_H

#include "store/keyspace.h"

struct reclaim {
    struct mem *mem;
    struct database **queue; /* databases to empty, oldest first */
    uint32_t queued, capacity;
    uint32_t slot;          /* of the first database: where to go on */
    uint64_t pending, done; /* records */
};

void reclaim_init(struct reclaim *reclaim, struct mem *mem);
/* Frees everything that is still queued, at once. */
void reclaim_release(struct reclaim *reclaim);

/* Takes over a database (from the counted memory of the same handle). false: no memory to queue it. */
bool reclaim_take(struct reclaim *reclaim, struct database *database);

/* Spends `budget` units, or a few more: a bucket of records that is begun is finished. Returns the units spent; 0: all is
 * done. No more records are freed than units spent. */
uint32_t reclaim_step(struct reclaim *reclaim, uint32_t budget);

#endif
