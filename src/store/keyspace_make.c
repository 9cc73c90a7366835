/* keyspace_make.c - a keyspace and its databases are made, and given back.
 *
 * Tests: tests/unit/store/keyspace_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/keyspace_inside.h"
#include "store/reclaim.h"

struct keyspace *keyspace_new(struct mem *mem, const uint8_t seed[HASH_SEED_SIZE], uint64_t random) {
    struct keyspace *keyspace = mem_alloc_zeroed(mem, sizeof *keyspace);
    struct watch_registry *watch = mem_alloc(mem, sizeof *watch);
    struct reclaim *reclaim = mem_alloc(mem, sizeof *reclaim);
    if (keyspace == NULL || watch == NULL || reclaim == NULL || !actors_init(&keyspace->actors, mem)) {
        mem_free(mem, keyspace, sizeof *keyspace);
        mem_free(mem, watch, sizeof *watch);
        mem_free(mem, reclaim, sizeof *reclaim);
        return NULL;
    }
    keyspace->mem = mem;
    keyspace->actor = ACTOR_SELF;
    keyspace->value_size_max = VALUE_SIZE_MAX;
    keyspace->watch = watch;
    keyspace->reclaim = reclaim;
    hash_secret_init(&keyspace->secret, seed);
    rng_init(&keyspace->random, random);
    watch_init(watch, mem);
    reclaim_init(reclaim, mem);
    return keyspace;
}

void keyspace_free(struct keyspace *keyspace) {
    struct mem *mem = keyspace->mem;
    CHECK(keyspace->image == NULL);
    for (uint32_t i = 0; i < DATABASE_COUNT; i++) {
        struct database *database = keyspace->databases[i];
        if (database == NULL)
            continue;
        for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
            while (dict_drain(&database->slots[slot], mem, UINT32_MAX / 2) != 0)
                continue;
        mem_free(mem, database, sizeof *database);
    }
    ledger_free(keyspace->ledger);
    reclaim_release(keyspace->reclaim);
    watch_release(keyspace->watch);
    actors_release(&keyspace->actors);
    mem_free(mem, keyspace->reclaim, sizeof *keyspace->reclaim);
    mem_free(mem, keyspace->watch, sizeof *keyspace->watch);
    mem_free(mem, keyspace, sizeof *keyspace);
}

struct database *funnel_make_database(struct keyspace *keyspace, uint32_t index) {
    struct database *database = mem_alloc_zeroed(keyspace->mem, sizeof *database);
    if (database == NULL)
        return NULL;
    memset(database->group_earliest, 0xff, sizeof database->group_earliest); /* UINT32_MAX */
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        dict_init(&database->slots[slot],
                  slot * 7 >> 2); /* neighbours and the slots of one hash tag family differ */
    keyspace->databases[index] = database;
    return database;
}
