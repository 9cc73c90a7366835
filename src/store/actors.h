/* actors.h - the writers whose dots stand in versions, by the short numbers that records keep of them.
 *
 * Number 0 is this start of this node. Numbers are this process's own; a file or a peer has others, and names each writer by its identity.
 * Of each identity a hash is kept, which is the same in every process: digests of versions are made of it.
 * May touch: base. Must never know: records, files.
 * Tests: tests/unit/store/actors_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_ACTORS_H
#define STORE_ACTORS_H

#include "base/mem.h"
#include "base/node_id.h"

/* Writers that one node can know at a time. */
#define ACTORS_MAX  8192u
#define ACTORS_NONE UINT16_MAX
#define ACTOR_SELF  0

struct actors {
    struct mem *mem;
    struct actor_identity *identities; /* by number */
    uint64_t *hashes;                  /* of the identities */
    uint32_t count, capacity;
};

/* Without an identity, number 0 is nobody's: { {0}, 0 }. false: no memory. */
bool actors_init(struct actors *actors, struct mem *mem);
void actors_release(struct actors *actors);

/* Before the first write that others see: digests are not made anew. */
void actors_set_self(struct actors *actors, const struct actor_identity *self);

/* The hash of a writer. A number that nobody has (there is no such record) has one, too. */
static inline uint64_t actors_hash(const struct actors *actors, uint16_t number) {
    return LIKELY(number < actors->count) ? actors->hashes[number] : number;
}

/* The order of two writers that all nodes agree upon: by node id, then by incarnation; numbers that nobody has: by number.
 * Less than, equal to or greater than 0. */
int actors_compare(const struct actors *actors, uint16_t one, uint16_t other);

/* Whether one is an earlier start of the other's node. */
bool actors_is_past(const struct actors *actors, uint16_t one, uint16_t other);

/* The number of a writer, a new one if it has none. ACTORS_NONE: there are ACTORS_MAX of them, or there is no memory. */
uint16_t actors_intern(struct actors *actors, const struct actor_identity *identity);

#endif
