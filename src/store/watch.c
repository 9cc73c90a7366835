/* watch.c - pairs of watcher and key in hash chains, each also in the list of its watcher.
 *
 * May touch: base. Must never know: sessions, what a change was.
 * Tests: tests/unit/store/watch_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/watch.h"

#define CHAINS_FIRST 16
#define CHAINS_MAX   (1u << 24)

/* Whether a watcher has a key already is looked up among its own keys while they are as few as this: many watchers
 * may share one hot key, whose chain is long then. */
#define OWN_KEYS_SEARCHED 16

struct watched_key {
    struct watcher *watcher;
    struct watched_key *next_of_watcher;
    struct watched_key *next_in_chain;
    struct watched_key **link; /* what points here in the chain */
    uint64_t hash;
    uint32_t slot;
    uint32_t database;
    uint32_t key_size;
    bool was_expired;
    uint8_t key[];
};

void watch_init(struct watch_registry *registry, struct mem *mem) {
    *registry = (struct watch_registry){.mem = mem};
}

void watch_release(struct watch_registry *registry) {
    CHECK(registry->count == 0 && registry->chains == NULL);
}

static size_t pair_size(const struct watched_key *pair) {
    return sizeof *pair + pair->key_size;
}

static bool pair_is(const struct watched_key *pair, uint32_t database, const struct argument *key) {
    return pair->hash == key->hash && pair->database == database && pair->key_size == key->size &&
           (key->size == 0 || memcmp(pair->key, key->data, key->size) == 0);
}

static struct argument pair_argument(const struct watched_key *pair) {
    return (struct argument){
        .data = pair->key, .size = pair->key_size, .slot = pair->slot, .hash = pair->hash};
}

/* ---- Chains ---- */

static struct watched_key **chain_of(const struct watch_registry *registry, uint32_t database,
                                     uint64_t hash) {
    uint64_t mixed = hash + database * UINT64_C(0x9e3779b97f4a7c15);
    return &registry->chains[mixed & (registry->chain_count - 1)];
}

static void chain_link(const struct watch_registry *registry, struct watched_key *pair) {
    struct watched_key **chain = chain_of(registry, pair->database, pair->hash);
    pair->next_in_chain = *chain;
    pair->link = chain;
    if (*chain != NULL)
        (*chain)->link = &pair->next_in_chain;
    *chain = pair;
}

static void chain_unlink(struct watched_key *pair) {
    *pair->link = pair->next_in_chain;
    if (pair->next_in_chain != NULL)
        pair->next_in_chain->link = pair->link;
}

static void chains_free(struct watch_registry *registry) {
    mem_free(registry->mem, registry->chains, registry->chain_count * sizeof *registry->chains);
    registry->chains = NULL;
    registry->chain_count = 0;
}

/* Makes room for one more pair. Without memory for more chains the old ones serve on, if there are any. */
static bool chains_reserve(struct watch_registry *registry) {
    if (registry->count < registry->chain_count || registry->chain_count == CHAINS_MAX)
        return true;
    struct watch_registry grown = {.mem = registry->mem, .count = registry->count};
    grown.chain_count = registry->chain_count == 0 ? CHAINS_FIRST : registry->chain_count * 2;
    grown.chains = mem_alloc_zeroed(registry->mem, grown.chain_count * sizeof *grown.chains);
    if (grown.chains == NULL)
        return registry->chains != NULL;
    for (uint32_t i = 0; i < registry->chain_count; i++)
        for (struct watched_key *pair = registry->chains[i], *next; pair != NULL; pair = next) {
            next = pair->next_in_chain;
            chain_link(&grown, pair);
        }
    chains_free(registry);
    *registry = grown;
    return true;
}

/* ---- Watchers ---- */

static bool watcher_has(const struct watch_registry *registry, const struct watcher *watcher,
                        uint32_t database, const struct argument *key) {
    const struct watched_key *pair = watcher->keys;
    for (unsigned i = 0; i < OWN_KEYS_SEARCHED; i++, pair = pair->next_of_watcher) {
        if (pair == NULL)
            return false;
        if (pair_is(pair, database, key))
            return true;
    }
    for (pair = *chain_of(registry, database, key->hash); pair != NULL; pair = pair->next_in_chain)
        if (pair->watcher == watcher && pair_is(pair, database, key))
            return true;
    return false;
}

bool watch_add(struct watch_registry *registry, struct watcher *watcher, uint32_t database,
               const struct argument *key, bool was_expired) {
    CHECK(key->slot != ARGUMENT_NOT_PLACED);
    if (watcher_has(registry, watcher, database, key))
        return true;
    struct watched_key *pair = mem_alloc(registry->mem, sizeof *pair + key->size);
    if (pair == NULL)
        return false;
    if (!chains_reserve(registry)) {
        mem_free(registry->mem, pair, sizeof *pair + key->size);
        return false;
    }
    *pair = (struct watched_key){.watcher = watcher,
                                 .next_of_watcher = watcher->keys,
                                 .hash = key->hash,
                                 .slot = key->slot,
                                 .database = database,
                                 .key_size = key->size,
                                 .was_expired = was_expired};
    if (key->size != 0)
        memcpy(pair->key, key->data, key->size);
    watcher->keys = pair;
    chain_link(registry, pair);
    registry->count++;
    return true;
}

void watch_clear(struct watch_registry *registry, struct watcher *watcher) {
    for (struct watched_key *pair = watcher->keys, *next; pair != NULL; pair = next) {
        next = pair->next_of_watcher;
        chain_unlink(pair);
        mem_free(registry->mem, pair, pair_size(pair));
        registry->count--;
    }
    *watcher = (struct watcher){0};
    if (registry->count == 0)
        chains_free(registry);
}

void watch_touch_slow(struct watch_registry *registry, uint32_t database, const struct argument *key) {
    for (struct watched_key *pair = *chain_of(registry, database, key->hash); pair != NULL;
         pair = pair->next_in_chain)
        if (pair_is(pair, database, key))
            pair->watcher->is_broken = true;
}

void watch_touch_expired_slow(struct watch_registry *registry, uint32_t database,
                              const struct argument *key) {
    for (struct watched_key *pair = *chain_of(registry, database, key->hash); pair != NULL;
         pair = pair->next_in_chain) {
        if (!pair_is(pair, database, key))
            continue;
        if (pair->was_expired)
            pair->was_expired = false;
        else
            pair->watcher->is_broken = true;
    }
}

void watch_touch_database(struct watch_registry *registry, uint32_t database,
                          bool (*exists)(void *context, uint32_t database, struct argument *key),
                          void *context) {
    for (uint32_t i = 0; i < registry->chain_count; i++)
        for (struct watched_key *pair = registry->chains[i]; pair != NULL; pair = pair->next_in_chain) {
            if (pair->database != database || pair->watcher->is_broken)
                continue;
            struct argument key = pair_argument(pair);
            if (exists(context, database, &key))
                pair->watcher->is_broken = true;
        }
}

bool watch_each(const struct watcher *watcher,
                bool (*visit)(void *context, uint32_t database, struct argument *key, bool was_expired),
                void *context) {
    for (const struct watched_key *pair = watcher->keys; pair != NULL; pair = pair->next_of_watcher) {
        struct argument key = pair_argument(pair);
        if (visit(context, pair->database, &key, pair->was_expired))
            return true;
    }
    return false;
}
