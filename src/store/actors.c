/* actors.c - a plain list: it has one entry a start of a node whose keys are still there, and is asked when files are loaded.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/actors.h"

#include "base/hash.h"

#include <string.h>

#define FIRST_CAPACITY 4

/* Of the bytes in one order on every machine, and not keyed: all processes must come to the same. */
static uint64_t hash_of(const struct actor_identity *identity) {
    uint8_t bytes[NODE_ID_SIZE + 8];
    memcpy(bytes, identity->node_id, NODE_ID_SIZE);
    for (unsigned i = 0; i < 8; i++)
        bytes[NODE_ID_SIZE + i] = (uint8_t)(identity->incarnation >> 8 * i);
    return XXH3_64bits(bytes, sizeof bytes);
}

static void set(struct actors *actors, uint32_t number, const struct actor_identity *identity) {
    actors->identities[number] = *identity;
    actors->hashes[number] = hash_of(identity);
}

bool actors_init(struct actors *actors, struct mem *mem) {
    *actors = (struct actors){.mem = mem};
    actors->identities = mem_alloc_zeroed(mem, FIRST_CAPACITY * sizeof *actors->identities);
    actors->hashes = mem_alloc_zeroed(mem, FIRST_CAPACITY * sizeof *actors->hashes);
    actors->capacity = FIRST_CAPACITY;
    if (actors->identities == NULL || actors->hashes == NULL) {
        actors_release(actors);
        return false;
    }
    actors->count = 1;
    set(actors, ACTOR_SELF, &(struct actor_identity){.incarnation = 0});
    return true;
}

void actors_release(struct actors *actors) {
    mem_free(actors->mem, actors->identities, actors->capacity * sizeof *actors->identities);
    mem_free(actors->mem, actors->hashes, actors->capacity * sizeof *actors->hashes);
    *actors = (struct actors){.mem = actors->mem};
}

void actors_set_self(struct actors *actors, const struct actor_identity *self) {
    set(actors, ACTOR_SELF, self);
}

int actors_compare(const struct actors *actors, uint16_t one, uint16_t other) {
    if (one >= actors->count || other >= actors->count)
        return (int)one - (int)other;
    const struct actor_identity *a = &actors->identities[one], *b = &actors->identities[other];
    int order = memcmp(a->node_id, b->node_id, NODE_ID_SIZE);
    return order != 0 ? order : (a->incarnation > b->incarnation) - (a->incarnation < b->incarnation);
}

bool actors_is_past(const struct actors *actors, uint16_t one, uint16_t other) {
    if (one >= actors->count || other >= actors->count)
        return false;
    const struct actor_identity *a = &actors->identities[one], *b = &actors->identities[other];
    return a->incarnation < b->incarnation && memcmp(a->node_id, b->node_id, NODE_ID_SIZE) == 0;
}

static bool is_same(const struct actor_identity *one, const struct actor_identity *other) {
    return one->incarnation == other->incarnation && memcmp(one->node_id, other->node_id, NODE_ID_SIZE) == 0;
}

static bool grow(struct actors *actors) {
    uint32_t capacity = actors->capacity * 2;
    struct actor_identity *identities = mem_alloc(actors->mem, capacity * sizeof *identities);
    uint64_t *hashes = mem_alloc(actors->mem, capacity * sizeof *hashes);
    if (identities == NULL || hashes == NULL) {
        mem_free(actors->mem, identities, capacity * sizeof *identities);
        mem_free(actors->mem, hashes, capacity * sizeof *hashes);
        return false;
    }
    memcpy(identities, actors->identities, actors->count * sizeof *identities);
    memcpy(hashes, actors->hashes, actors->count * sizeof *hashes);
    mem_free(actors->mem, actors->identities, actors->capacity * sizeof *identities);
    mem_free(actors->mem, actors->hashes, actors->capacity * sizeof *hashes);
    actors->identities = identities;
    actors->hashes = hashes;
    actors->capacity = capacity;
    return true;
}

uint16_t actors_intern(struct actors *actors, const struct actor_identity *identity) {
    uint64_t hash = hash_of(identity);
    for (uint32_t i = 0; i < actors->count; i++)
        if (actors->hashes[i] == hash && is_same(&actors->identities[i], identity))
            return (uint16_t)i;
    if (actors->count == ACTORS_MAX || (actors->count == actors->capacity && !grow(actors)))
        return ACTORS_NONE;
    set(actors, actors->count, identity);
    return (uint16_t)actors->count++;
}
