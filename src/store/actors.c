/* actors.c - a plain list: it has one entry a start of a node whose keys are still there, and is asked when files are loaded.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/actors.h"

#include <string.h>

#define FIRST_CAPACITY 4

bool actors_init(struct actors *actors, struct mem *mem) {
    *actors = (struct actors){.mem = mem};
    actors->identities = mem_alloc_zeroed(mem, FIRST_CAPACITY * sizeof *actors->identities);
    if (actors->identities == NULL)
        return false;
    actors->capacity = FIRST_CAPACITY;
    actors->count = 1;
    return true;
}

void actors_release(struct actors *actors) {
    mem_free(actors->mem, actors->identities, actors->capacity * sizeof *actors->identities);
    *actors = (struct actors){.mem = actors->mem};
}

void actors_set_self(struct actors *actors, const struct actor_identity *self) {
    actors->identities[ACTOR_SELF] = *self;
}

static bool is_same(const struct actor_identity *one, const struct actor_identity *other) {
    return one->incarnation == other->incarnation && memcmp(one->node_id, other->node_id, NODE_ID_SIZE) == 0;
}

uint16_t actors_intern(struct actors *actors, const struct actor_identity *identity) {
    for (uint32_t i = 0; i < actors->count; i++)
        if (is_same(&actors->identities[i], identity))
            return (uint16_t)i;
    if (actors->count == ACTORS_MAX)
        return ACTORS_NONE;
    if (actors->count == actors->capacity) {
        uint32_t capacity = actors->capacity * 2;
        struct actor_identity *identities =
            mem_resize(actors->mem, actors->identities, actors->capacity * sizeof *identities,
                       capacity * sizeof *identities);
        if (identities == NULL)
            return ACTORS_NONE;
        actors->identities = identities;
        actors->capacity = capacity;
    }
    actors->identities[actors->count] = *identity;
    return (uint16_t)actors->count++;
}
