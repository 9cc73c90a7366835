/* walk.c - what looks at whole databases: size, flush, swap, scan, random key.
 *
 * Tests: tests/unit/store/keyspace_test.c, tests/unit/cmd/scan_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/keyspace_inside.h"
#include "store/reclaim.h"

/* A cursor: 14 bits of slot, 39 bits of hash. */
#define CURSOR_HASH_BITS  39
#define CURSOR_HASH_SHIFT (64 - CURSOR_HASH_BITS)
#define CURSOR_HASH_MASK  ((UINT64_C(1) << CURSOR_HASH_BITS) - 1)

uint64_t keyspace_size(const struct keyspace *keyspace, uint32_t database) {
    return keyspace->databases[database] == NULL ? 0 : keyspace->databases[database]->keys;
}

/* Whether a key (placed or not) is there, expired or not: what FLUSHALL and SWAPDB change for a watcher. */
static bool exists(void *context, uint32_t database, struct argument *key) {
    const struct record *record = funnel_find(context, database, key, NULL);
    return record != NULL && !funnel_is_tombstone(record);
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
    if (index == 0 && keyspace->ledger != NULL)
        ledger_note_emptied(keyspace);
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
    struct ledger *ledger = first == 0 || second == 0 ? keyspace->ledger : NULL;
    if (ledger != NULL)
        ledger_drop_tombstones(keyspace);
    struct database *database = keyspace->databases[first];
    /* A watched key that is in either database is another one afterwards: both must be asked, for both. */
    watch_touch_database(keyspace->watch, first, exists, keyspace);
    watch_touch_database(keyspace->watch, second, exists, keyspace);
    keyspace->databases[first] = keyspace->databases[second];
    keyspace->databases[second] = database;
    watch_touch_database(keyspace->watch, first, exists, keyspace);
    watch_touch_database(keyspace->watch, second, exists, keyspace);
    if (ledger != NULL) {
        ledger_forget_records(ledger);
        ledger_begin_walk(keyspace);
    }
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
    if (funnel_is_tombstone(record) || funnel_is_expired(live->keyspace, record))
        return;
    live->visit(live->context, record);
}

/* slots: NULL: all. */
static inline bool is_wanted(const struct slot_set *slots, uint32_t slot) {
    return slots == NULL || slot_set_has(slots, slot);
}

/* The next wanted slot from `slot` on that has records; SLOT_COUNT: there is none. */
static uint64_t next_slot(const struct database *database, const struct slot_set *slots, uint64_t slot) {
    while (slot < SLOT_COUNT && (database->slots[slot].count == 0 || !is_wanted(slots, slot)))
        slot++;
    return slot;
}

static uint64_t scan(struct keyspace *keyspace, struct database *database, const struct slot_set *slots,
                     uint64_t cursor, uint32_t wanted, keyspace_visitor *visit, void *context) {
    uint64_t first = cursor >> CURSOR_HASH_BITS;
    if (database == NULL || first >= SLOT_COUNT)
        return 0;
    struct live_visitor live = {.keyspace = keyspace, .visit = visit, .context = context};
    uint64_t slot = next_slot(database, slots, first);
    uint64_t from = slot == first ? (cursor & CURSOR_HASH_MASK) << CURSOR_HASH_SHIFT : 0;
    while (slot < SLOT_COUNT) {
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
        slot = next_slot(database, slots, slot + 1);
        from = 0;
        if (live.looked_at >= wanted && slot < SLOT_COUNT)
            return slot << CURSOR_HASH_BITS;
    }
    return 0;
}

uint64_t keyspace_scan(struct keyspace *keyspace, uint32_t database, uint64_t cursor, uint32_t wanted,
                       keyspace_visitor *visit, void *context) {
    return scan(keyspace, keyspace->databases[database], NULL, cursor, wanted, visit, context);
}

uint64_t keyspace_scan_slots(struct keyspace *keyspace, const struct slot_set *slots, uint64_t cursor,
                             uint32_t wanted, keyspace_visitor *visit, void *context) {
    return scan(keyspace, keyspace->databases[0], slots, cursor, wanted, visit, context);
}

uint64_t keyspace_scan_place(const struct keyspace *keyspace, struct argument *key) {
    keyspace_place(keyspace, key);
    return (uint64_t)key->slot << CURSOR_HASH_BITS | key->hash >> CURSOR_HASH_SHIFT;
}

uint64_t keyspace_slot_size(const struct keyspace *keyspace, uint32_t slot) {
    if (keyspace->databases[0] == NULL)
        return 0;
    uint64_t tombstones = keyspace->ledger == NULL ? 0 : keyspace->ledger->tombstones[slot];
    return keyspace->databases[0]->slots[slot].count - tombstones;
}

/* ---- A key at random ---- */

/* What is drawn from: slots of one database. Tombstones do not weigh. */
struct lottery {
    struct keyspace *keyspace;
    uint32_t index; /* of the database */
    const struct slot_set *slots;
    uint64_t total;
};

static uint64_t weight(const struct lottery *lottery, uint32_t slot) {
    if (!is_wanted(lottery->slots, slot))
        return 0;
    return lottery->index == 0 ? keyspace_slot_size(lottery->keyspace, slot)
                               : lottery->keyspace->databases[lottery->index]->slots[slot].count;
}

/* The record number `index` in slot order's slot, then a random one in it. */
static struct record *draw(const struct lottery *lottery) {
    struct keyspace *keyspace = lottery->keyspace;
    uint64_t index = rng_below(&keyspace->random, lottery->total);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        uint64_t of_slot = weight(lottery, slot);
        if (index < of_slot)
            return dict_random(&keyspace->databases[lottery->index]->slots[slot],
                               rng_next64(&keyspace->random));
        index -= of_slot;
    }
    return NULL;
}

static void take_first(void *context, struct record *record) {
    struct record **first = context;
    if (*first == NULL)
        *first = record;
}

/* Where nearly all records are dead or hidden: the first live one behind a random place, or before it. */
static struct record *search(const struct lottery *lottery) {
    struct keyspace *keyspace = lottery->keyspace;
    struct database *database = keyspace->databases[lottery->index];
    struct record *found = NULL;
    uint64_t cursor = rng_below(&keyspace->random, (uint64_t)SLOT_COUNT << CURSOR_HASH_BITS);
    for (unsigned part = 0; part < 2 && found == NULL; part++) {
        do
            cursor = scan(keyspace, database, lottery->slots, cursor, 1, take_first, &found);
        while (cursor != 0 && found == NULL);
    }
    return found;
}

#define RANDOM_TRIES 100

static struct record *random_record(struct keyspace *keyspace, uint32_t database_index,
                                    const struct slot_set *slots) {
    struct lottery lottery = {.keyspace = keyspace, .index = database_index, .slots = slots};
    for (unsigned i = 0; i < RANDOM_TRIES; i++) {
        const struct database *database = keyspace->databases[database_index];
        lottery.total = 0;
        for (uint32_t slot = 0; database != NULL && slot < SLOT_COUNT; slot++)
            lottery.total += weight(&lottery, slot);
        if (lottery.total == 0)
            return NULL;
        struct record *record = draw(&lottery);
        struct argument key = {
            .data = record_key(record), .size = record_key_size(record), .slot = ARGUMENT_NOT_PLACED};
        struct entry entry;
        if (keyspace_lookup(keyspace, database_index, &key, LOOKUP_PEEK, &entry) != NULL)
            return entry.record;
        if (keyspace->expiry_is_paused && database->expiring == database->keys)
            return NULL; /* all may be expired and none can be reclaimed: do not draw for ever */
    }
    return search(&lottery);
}

struct record *keyspace_random(struct keyspace *keyspace, uint32_t database) {
    return random_record(keyspace, database, NULL);
}

struct record *keyspace_random_of_slots(struct keyspace *keyspace, const struct slot_set *slots) {
    return random_record(keyspace, 0, slots);
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
