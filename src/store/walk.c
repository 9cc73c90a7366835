/* walk.c - what looks at whole databases: size, flush, swap, scan, random key.
 *
 * Tests: tests/unit/store/keyspace_test.c, tests/unit/cmd/scan_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/image.h"
#include "store/keyspace.h"
#include "store/reclaim.h"
#include "store/watch.h"

/* A cursor: 14 bits of slot, 39 bits of hash. */
#define CURSOR_HASH_BITS  39
#define CURSOR_HASH_SHIFT (64 - CURSOR_HASH_BITS)
#define CURSOR_HASH_MASK  ((UINT64_C(1) << CURSOR_HASH_BITS) - 1)

uint64_t keyspace_size(const struct keyspace *keyspace, uint32_t database) {
    return keyspace->databases[database] == NULL ? 0 : keyspace->databases[database]->keys;
}

/* Whether a key (placed or not) is there, expired or not: what FLUSHALL and SWAPDB change for a watcher. */
static bool exists(void *context, uint32_t database, struct argument *key) {
    struct keyspace *keyspace = context;
    struct database *of = keyspace->databases[database];
    keyspace_place(keyspace, key);
    return of != NULL && dict_find(&of->slots[key->slot], key->hash, key->data, key->size, NULL) != NULL;
}

/* Without memory to queue it, a database is emptied on the spot: late is better than never. */
static void drain_now(struct keyspace *keyspace, struct database *database) {
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        while (dict_drain(&database->slots[slot], keyspace->mem, UINT32_MAX / 2) != 0)
            continue;
    mem_free(keyspace->mem, database, sizeof *database);
}

/* A database of few records is emptied in place: its 256 KiB of slot headers need not be given back and made again. */
#define FLUSH_IN_PLACE_MAX 1000

static bool flush_in_place(struct keyspace *keyspace, struct database *database) {
    uint64_t records = 0;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        records += database->slots[slot].count;
    if (records > FLUSH_IN_PLACE_MAX)
        return false;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        while (dict_drain(&database->slots[slot], keyspace->mem, UINT32_MAX / 2) != 0)
            continue;
    database->keys = database->expiring = 0;
    database->expiry_sum_ms = 0;
    return true;
}

uint64_t keyspace_flush(struct keyspace *keyspace, uint32_t index) {
    struct database *database = keyspace->databases[index];
    if (database == NULL)
        return 0;
    watch_touch_database(keyspace->watch, index, exists, keyspace);
    uint64_t keys = database->keys;
    bool is_kept = keyspace->image != NULL && image_keeps_database(keyspace->image, database);
    if (!is_kept && flush_in_place(keyspace, database)) {
        keyspace->counters.changes += keys;
        return keys;
    }
    keyspace->databases[index] = NULL;
    if (keyspace->expire_database == index)
        keyspace->expire_slot = 0, keyspace->expire_hash = 0;
    if (!is_kept)
        keyspace_discard(keyspace, database);
    keyspace->counters.changes += keys;
    return keys;
}

void keyspace_discard(struct keyspace *keyspace, struct database *database) {
    if (!reclaim_take(keyspace->reclaim, database))
        drain_now(keyspace, database);
}

void keyspace_swap(struct keyspace *keyspace, uint32_t first, uint32_t second) {
    keyspace->counters.changes++; /* also for a database and itself, as in Redis */
    if (first == second)
        return;
    struct database *database = keyspace->databases[first];
    /* A watched key that is in either database is another one afterwards: both must be asked, for both. */
    watch_touch_database(keyspace->watch, first, exists, keyspace);
    watch_touch_database(keyspace->watch, second, exists, keyspace);
    keyspace->databases[first] = keyspace->databases[second];
    keyspace->databases[second] = database;
    watch_touch_database(keyspace->watch, first, exists, keyspace);
    watch_touch_database(keyspace->watch, second, exists, keyspace);
}

struct live_visitor {
    const struct keyspace *keyspace;
    keyspace_visitor *visit;
    void *context;
    uint32_t looked_at; /* records, also those that are not visited */
};

static void visit_live(void *context, struct record *record, uint64_t hash) {
    (void)hash;
    struct live_visitor *live = context;
    live->looked_at++;
    if (record_type(record) == RECORD_TOMBSTONE)
        return;
    if ((record->flags & RECORD_EXPIRY) && live->keyspace->now_ms > record_expiry_ms(record))
        return;
    live->visit(live->context, record);
}

uint64_t keyspace_scan(struct keyspace *keyspace, uint32_t database_index, uint64_t cursor, uint32_t wanted,
                       keyspace_visitor *visit, void *context) {
    struct database *database = keyspace->databases[database_index];
    uint64_t slot = cursor >> CURSOR_HASH_BITS;
    if (database == NULL || slot >= SLOT_COUNT)
        return 0;
    struct live_visitor live = {.keyspace = keyspace, .visit = visit, .context = context};
    uint64_t from = (cursor & CURSOR_HASH_MASK) << CURSOR_HASH_SHIFT;
    for (; slot < SLOT_COUNT; slot++, from = 0) {
        struct dict *dict = &database->slots[slot];
        uint64_t next;
        /* A cursor has fewer bits than a hash: it must not point back to where this call began. */
        while (dict_scan(dict, &keyspace->secret, from, live.looked_at < wanted ? wanted - live.looked_at : 1,
                         visit_live, &live, &next)) {
            uint64_t next_cursor = slot << CURSOR_HASH_BITS | next >> CURSOR_HASH_SHIFT;
            if (next_cursor > cursor)
                return next_cursor;
            from = next;
        }
        if (live.looked_at >= wanted && slot + 1 < SLOT_COUNT)
            return (slot + 1) << CURSOR_HASH_BITS;
    }
    return 0;
}

/* The record number `index` in slot order's slot, then a random one in it. */
static struct record *random_record(struct keyspace *keyspace, struct database *database, uint64_t total) {
    uint64_t index = rng_below(&keyspace->random, total);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        struct dict *dict = &database->slots[slot];
        if (index < dict->count)
            return dict_random(dict, rng_next64(&keyspace->random));
        index -= dict->count;
    }
    return NULL;
}

#define RANDOM_TRIES 100

struct record *keyspace_random(struct keyspace *keyspace, uint32_t database_index) {
    for (unsigned i = 0; i < RANDOM_TRIES; i++) {
        struct database *database = keyspace->databases[database_index];
        uint64_t total = 0;
        for (uint32_t slot = 0; database != NULL && slot < SLOT_COUNT; slot++)
            total += database->slots[slot].count;
        if (total == 0)
            return NULL;
        struct record *record = random_record(keyspace, database, total);
        struct argument key = {
            .data = record_key(record), .size = record_key_size(record), .slot = ARGUMENT_NOT_PLACED};
        struct entry entry;
        if (keyspace_lookup(keyspace, database_index, &key, LOOKUP_PEEK, &entry) != NULL)
            return entry.record;
        if (keyspace->expiry_is_paused && database->expiring == database->keys)
            return NULL; /* all may be expired and none can be reclaimed: do not draw for ever */
    }
    return NULL;
}

uint32_t keyspace_reclaim_step(struct keyspace *keyspace, uint32_t budget) {
    return reclaim_step(keyspace->reclaim, budget);
}

uint64_t keyspace_reclaim_pending(const struct keyspace *keyspace) {
    return keyspace->reclaim->pending;
}

uint64_t keyspace_reclaimed(const struct keyspace *keyspace) {
    return keyspace->reclaim->done;
}
