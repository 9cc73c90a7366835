/* actors.h - the writers whose dots stand in versions, by the short numbers that records keep of them.
 *
 * Number 0 is this start of this node. Numbers are this process's own; a file or a peer has others, and names each writer by its identity.
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
    uint32_t count, capacity;
};

/* Without an identity, number 0 is nobody's: { {0}, 0 }. false: no memory. */
bool actors_init(struct actors *actors, struct mem *mem);
void actors_release(struct actors *actors);

void actors_set_self(struct actors *actors, const struct actor_identity *self);

/* The number of a writer, a new one if it has none. ACTORS_NONE: there are ACTORS_MAX of them, or there is no memory. */
uint16_t actors_intern(struct actors *actors, const struct actor_identity *identity);

#endif
