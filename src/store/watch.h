/* watch.h - who watches which key: WATCH's optimistic locks.
 *
 * A watcher (one per client session) names keys; the keyspace's funnel touches keys as they change, and every watcher of
 * a touched key is marked broken. While nobody watches, a touch costs one load and compare.
 * May touch: base. Must never know: sessions, what a change was.
 * Invariants: a watcher is in the registry exactly while it has keys; count = number of (watcher, key) pairs.
 * Tests: tests/unit/store/watch_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_WATCH_H
#define STORE_WATCH_H

#include "base/argument.h"
#include "base/mem.h"

struct watched_key; /* one (watcher, key) pair */

struct watcher {
    struct watched_key *keys; /* all that it watches */
    bool is_broken;           /* one of them changed since it was added */
};

struct watch_registry {
    struct mem *mem;
    uint64_t count;
    struct watched_key **chains; /* hash chains by (database, hash); NULL while count == 0 */
    uint32_t chain_count;
};

void watch_init(struct watch_registry *registry, struct mem *mem);
void watch_release(struct watch_registry *registry); /* all watchers must be cleared */

/* Adds a (placed) key; a key that is watched already is left. was_expired: the key existed but its time had come
 * when it was watched (its later reclaiming is then no change). false: no memory. */
bool watch_add(struct watch_registry *registry, struct watcher *watcher, uint32_t database,
               const struct argument *key, bool was_expired);

/* Forgets all keys of a watcher and mends it. */
void watch_clear(struct watch_registry *registry, struct watcher *watcher);

/* Marks the watchers of a key as broken; the inline part is what the funnel pays. */
void watch_touch_slow(struct watch_registry *registry, uint32_t database, const struct argument *key);
static inline void watch_touch(struct watch_registry *registry, uint32_t database,
                               const struct argument *key) {
    if (UNLIKELY(registry->count != 0))
        watch_touch_slow(registry, database, key);
}

/* As watch_touch(), for a key that is only reclaimed because its time had come: no change for a watcher that found it
 * expired already (from then on the key is simply absent for it). */
void watch_touch_expired_slow(struct watch_registry *registry, uint32_t database, const struct argument *key);
static inline void watch_touch_expired(struct watch_registry *registry, uint32_t database,
                                       const struct argument *key) {
    if (UNLIKELY(registry->count != 0))
        watch_touch_expired_slow(registry, database, key);
}

/* A whole database is emptied or exchanged: breaks the watchers of those keys for which
 * `exists` (asked per watched key) says true. */
void watch_touch_database(struct watch_registry *registry, uint32_t database,
                          bool (*exists)(void *context, uint32_t database, struct argument *key),
                          void *context);

/* Visits the keys of one watcher (EXEC asks whether one has expired meanwhile). Stops when visit returns true, and returns that. */
bool watch_each(const struct watcher *watcher,
                bool (*visit)(void *context, uint32_t database, struct argument *key, bool was_expired),
                void *context);

#endif
