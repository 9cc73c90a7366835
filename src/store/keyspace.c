/* keyspace.c - the funnel: every change of a key, its version stamp, its watchers, its accounting.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/keyspace.h"

#include "store/expire.h"
#include "store/image.h"
#include "store/reclaim.h"
#include "store/watch.h"

/* A peer's clock further ahead than this does not pull ours along. */
#define CLOCK_DRIFT_MAX_MS 500
/* MSET of up to so many pairs needs no memory for its bookkeeping. */
#define PAIRS_ON_STACK 64

struct keyspace *keyspace_new(struct mem *mem, const uint8_t seed[HASH_SEED_SIZE], uint64_t random) {
    struct keyspace *keyspace = mem_alloc_zeroed(mem, sizeof *keyspace);
    struct watch_registry *watch = mem_alloc(mem, sizeof *watch);
    struct reclaim *reclaim = mem_alloc(mem, sizeof *reclaim);
    if (keyspace == NULL || watch == NULL || reclaim == NULL) {
        mem_free(mem, keyspace, sizeof *keyspace);
        mem_free(mem, watch, sizeof *watch);
        mem_free(mem, reclaim, sizeof *reclaim);
        return NULL;
    }
    if (!actors_init(&keyspace->actors, mem)) {
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
    reclaim_release(keyspace->reclaim);
    watch_release(keyspace->watch);
    actors_release(&keyspace->actors);
    mem_free(mem, keyspace->reclaim, sizeof *keyspace->reclaim);
    mem_free(mem, keyspace->watch, sizeof *keyspace->watch);
    mem_free(mem, keyspace, sizeof *keyspace);
}

void keyspace_set_time(struct keyspace *keyspace, int64_t now_ms) {
    keyspace->now_ms = now_ms;
    keyspace->now_s = (uint32_t)(now_ms / 1000);
}

/* The database, made on its first write; NULL: no memory. */
static struct database *database_for_write(struct keyspace *keyspace, uint32_t index) {
    struct database *database = keyspace->databases[index];
    if (LIKELY(database != NULL))
        return database;
    database = mem_alloc_zeroed(keyspace->mem, sizeof *database);
    if (database == NULL)
        return NULL;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        dict_init(&database->slots[slot],
                  slot * 7 >> 2); /* neighbours and the slots of one hash tag family differ */
    keyspace->databases[index] = database;
    return database;
}

static inline bool is_expired(const struct keyspace *keyspace, const struct record *record) {
    return UNLIKELY(record->flags & RECORD_EXPIRY) && keyspace->now_ms > record_expiry_ms(record);
}

static inline bool is_tombstone(const struct record *record) {
    return record_type(record) == RECORD_TOMBSTONE;
}

static void account_add(struct database *database, const struct record *record) {
    if (is_tombstone(record))
        return;
    database->keys++;
    if (record->flags & RECORD_EXPIRY) {
        database->expiring++;
        database->expiry_sum_ms += (double)record_expiry_ms(record);
    }
}

static void account_remove(struct database *database, const struct record *record) {
    if (is_tombstone(record))
        return;
    database->keys--;
    if (record->flags & RECORD_EXPIRY) {
        database->expiring--;
        database->expiry_sum_ms =
            database->expiring == 0 ? 0 : database->expiry_sum_ms - (double)record_expiry_ms(record);
    }
}

/* The next stamp: greater than all given before, and than what the key has. */
static inline uint64_t next_stamp(struct keyspace *keyspace, const struct record *old) {
    uint64_t last = keyspace->counter;
    if (old != NULL && old->counter > last)
        last = old->counter;
    return keyspace->counter = version_next_counter(last, (uint64_t)keyspace->now_ms);
}

/* Takes out the dot with the lowest counter (ties: the lowest actor). */
static void forget_oldest(struct version *version) {
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < version->count; i++)
        if (version->dots[i].counter < version->dots[oldest].counter)
            oldest = i;
    version->count--;
    memmove(version->dots + oldest, version->dots + oldest + 1,
            (version->count - oldest) * sizeof *version->dots);
}

/* Fills in the version of a write over `old`: our new dot on top of all that old's version has seen. Where that is as many
 * others as a version holds, the oldest dot makes room (keyspace.h says what that means). Alone, nobody will ever compare:
 * our dot is enough, and keys of an earlier start do not pay for two. */
static void stamp(struct keyspace *keyspace, const struct record *old, struct record_parts *parts,
                  struct dot others[VERSION_DOTS_MAX]) {
    parts->newest = (struct dot){.counter = next_stamp(keyspace, old), .actor = keyspace->actor};
    parts->others = NULL;
    parts->other_count = 0;
    if (LIKELY(old == NULL || keyspace->is_alone ||
               (old->actor == keyspace->actor && !(old->flags & RECORD_VECTOR))))
        return;
    struct version version;
    record_version(old, &version);
    bool fits = version_raise(&version, parts->newest);
    if (!fits)
        forget_oldest(&version);
    uint32_t count = 0;
    for (uint32_t i = 0; i < version.count; i++)
        if (version.dots[i].actor != keyspace->actor)
            others[count++] = version.dots[i];
    parts->others = others;
    parts->other_count = (uint16_t)count;
}

/* Finds whatever stands under a key: live, expired or tombstone. */
static inline struct record *find_any(struct keyspace *keyspace, uint32_t database, struct argument *key,
                                      struct dict_position *position) {
    keyspace_place(keyspace, key);
    struct database *of = keyspace->databases[database];
    if (UNLIKELY(of == NULL))
        return NULL;
    return dict_find(&of->slots[key->slot], key->hash, key->data, key->size, position);
}

static inline void touch_access(const struct keyspace *keyspace, struct record *record) {
    /* Written only when it differs: a hot key's cache line stays clean within a second. */
    if (record_access_s(record) != (keyspace->now_s & 0xffffff) && !keyspace->access_is_frozen)
        record_set_access_s(record, keyspace->now_s);
}

struct record *keyspace_lookup(struct keyspace *keyspace, uint32_t database, struct argument *key,
                               enum lookup_mode mode, struct entry *entry) {
    struct record *record = find_any(keyspace, database, key, &entry->position);
    if (UNLIKELY(record != NULL && is_expired(keyspace, record))) {
        entry->record = record;
        if (!keyspace->expiry_is_paused)
            keyspace_remove(keyspace, database, key, entry, REMOVE_EXPIRED);
        record = NULL;
    } else if (UNLIKELY(record != NULL && is_tombstone(record))) {
        record = NULL;
    }
    entry->record = record;
    if (mode & 1) {
        if (record != NULL)
            keyspace->counters.hits++;
        else
            keyspace->counters.misses++;
    }
    if (record != NULL && (mode == LOOKUP_READ || mode == LOOKUP_WRITE))
        touch_access(keyspace, record);
    return record;
}

/* Adds a record to its slot, takes one out: dict_insert() and dict_remove(), measured where they take long. */
static bool add_record(struct keyspace *keyspace, struct dict *slot, uint64_t hash, struct record *record) {
    if (LIKELY(!dict_insert_is_long(slot, hash)) || keyspace->observer.begins == NULL)
        return dict_insert(slot, keyspace->mem, &keyspace->secret, hash, record);
    keyspace->observer.begins(keyspace->observer.context);
    bool done = dict_insert(slot, keyspace->mem, &keyspace->secret, hash, record);
    keyspace->observer.ends(keyspace->observer.context);
    return done;
}

static void take_record(struct keyspace *keyspace, struct dict *slot, struct dict_position *position) {
    bool is_observed = UNLIKELY(dict_remove_is_long(slot, position)) && keyspace->observer.begins != NULL;
    if (is_observed)
        keyspace->observer.begins(keyspace->observer.context);
    dict_remove(slot, keyspace->mem, &keyspace->secret, position);
    if (is_observed)
        keyspace->observer.ends(keyspace->observer.context);
}

/* Lets the slot know when the record expires. */
static void note_expiry(struct database *database, const struct argument *key, const struct record *record) {
    if (!(record->flags & RECORD_EXPIRY))
        return;
    struct dict *slot = &database->slots[key->slot];
    struct dict *leaf = dict_leaf(slot, key->hash);
    uint32_t when = expire_tick(record_expiry_ms(record));
    if (when < leaf->earliest)
        leaf->earliest = when;
    if (when < slot->earliest)
        slot->earliest = when;
}

/* A write over a key whose time has come is also the end of that key. */
static inline void note_overwritten(struct keyspace *keyspace, const struct record *old) {
    if (UNLIKELY(old != NULL && is_expired(keyspace, old)))
        keyspace->counters.expired++;
}

/* A record that has left its table. */
static inline void dispose(struct keyspace *keyspace, const struct database *database,
                           const struct argument *key, struct record *record) {
    if (UNLIKELY(keyspace->image != NULL))
        image_dispose(keyspace->image, database, key->slot, key->hash, record);
    else
        record_free(keyspace->mem, record);
}

/* Puts a finished record in the place of `old` (or adds it); frees old. false: no memory, nothing changed. */
static bool install(struct keyspace *keyspace, struct database *database, const struct argument *key,
                    struct record *old, struct dict_position *position, struct record *fresh) {
    if (old != NULL) {
        note_overwritten(keyspace, old);
        account_remove(database, old);
        dict_replace(position, fresh);
        dispose(keyspace, database, key, old);
    } else if (!add_record(keyspace, &database->slots[key->slot], key->hash, fresh)) {
        return false;
    }
    account_add(database, fresh);
    note_expiry(database, key, fresh);
    return true;
}

static inline void changed(struct keyspace *keyspace, uint32_t database, const struct argument *key) {
    if (UNLIKELY(keyspace->is_silent))
        return;
    keyspace->counters.changes++;
    watch_touch(keyspace->watch, database, key);
}

static inline int64_t expiry_after(const struct keyspace *keyspace, const struct record *old,
                                   int64_t wanted) {
    if (wanted != EXPIRY_KEEP)
        return wanted;
    return old != NULL && !is_expired(keyspace, old) && !is_tombstone(old) ? record_expiry_ms(old)
                                                                           : RECORD_NO_EXPIRY;
}

/* Whether a value may be written over `record` without moving it: same layout, same size class. */
static inline bool fits_in_place(const struct keyspace *keyspace, const struct record *record,
                                 uint32_t key_size, const struct value *value, int64_t expiry_ms) {
    uint8_t layout = record->flags & (RECORD_EXPIRY | RECORD_LONG | RECORD_VECTOR | RECORD_TYPE_MASK);
    uint8_t wanted =
        (uint8_t)(value->type | (expiry_ms != RECORD_NO_EXPIRY ? RECORD_EXPIRY : 0) |
                  (key_size > RECORD_SMALL_MAX || value->size > RECORD_SMALL_MAX ? RECORD_LONG : 0));
    if (layout != wanted || (record->actor != keyspace->actor && !keyspace->is_alone))
        return false;
    size_t old_size = record_size(record);
    size_t new_size = old_size - record_value_size(record) + value->size;
    if (mem_class(old_size) != mem_class(new_size))
        return false;
    const uint8_t *begin = (const uint8_t *)record;
    /* As numbers: the data may be NULL, or of quite another object. */
    uintptr_t data = (uintptr_t)value->data, record_begin = (uintptr_t)begin;
    return data + value->size <= record_begin || data >= record_begin + old_size;
}

/* Whether an image stands in the way of a change in place. To be asked when nothing else speaks against it. */
static inline bool image_allows(const struct keyspace *keyspace, const struct database *database,
                                const struct argument *key, const struct record *record) {
    return LIKELY(keyspace->image == NULL) ||
           !image_forbids_change(keyspace->image, database, key->slot, key->hash, record);
}

/* Begins a change in place: what an image needs is given out, and the record has our stamp from now on. */
static inline void restamp(struct keyspace *keyspace, const struct database *database,
                           const struct argument *key, struct record *record) {
    if (UNLIKELY(keyspace->image != NULL))
        image_before_change(keyspace->image, database, key->slot, key->hash, record);
    record->counter = next_stamp(keyspace, record);
    record->actor = keyspace->actor;
}

static inline void set_value_size(struct record *record, uint32_t size) {
    if (record->flags & RECORD_LONG)
        memcpy(record->rest + record_long_offset(record) + 4, &size, sizeof size);
    else
        record->value_size = (uint8_t)size;
}

static inline void set_encoding(struct record *record, unsigned encoding) {
    record->flags =
        (uint8_t)((record->flags & ((1u << RECORD_ENCODING_SHIFT) - 1)) | encoding << RECORD_ENCODING_SHIFT);
}

static void write_in_place(struct keyspace *keyspace, struct database *database, const struct argument *key,
                           struct record *record, const struct value *value, int64_t expiry_ms) {
    restamp(keyspace, database, key, record);
    if (UNLIKELY(expiry_ms != RECORD_NO_EXPIRY)) {
        database->expiry_sum_ms += (double)expiry_ms - (double)record_expiry_ms(record);
        memcpy(record->rest, &expiry_ms, sizeof expiry_ms);
        note_expiry(database, key, record);
    }
    set_value_size(record, value->size);
    set_encoding(record, value->encoding);
    touch_access(keyspace, record);
    if (value->size != 0)
        memcpy(record_value(record), value->data, value->size);
}

static void parts_of_value(struct keyspace *keyspace, const struct argument *key, const struct record *old,
                           const struct value *value, int64_t expiry_ms, struct record_parts *parts,
                           struct dot others[VERSION_DOTS_MAX]) {
    *parts = (struct record_parts){
        .key = key->data,
        .value = value->data,
        .key_size = key->size,
        .value_size = value->size,
        .expiry_ms = expiry_ms,
        .type = value->type,
        .encoding = value->encoding,
        .access_s = keyspace->now_s,
    };
    stamp(keyspace, old, parts, others);
}

bool keyspace_put(struct keyspace *keyspace, uint32_t database_index, struct argument *key,
                  const struct value *value) {
    struct dict_position position;
    struct record *old = find_any(keyspace, database_index, key, &position);
    int64_t expiry_ms = expiry_after(keyspace, old, value->expiry_ms);
    struct database *database = keyspace->databases[database_index];
    if (LIKELY(old != NULL) && LIKELY(fits_in_place(keyspace, old, key->size, value, expiry_ms)) &&
        image_allows(keyspace, database, key, old)) {
        note_overwritten(keyspace, old);
        write_in_place(keyspace, database, key, old, value, expiry_ms);
        changed(keyspace, database_index, key);
        return true;
    }
    if (database == NULL && (database = database_for_write(keyspace, database_index)) == NULL)
        return false;
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    parts_of_value(keyspace, key, old, value, expiry_ms, &parts, others);
    struct record *fresh = record_new(keyspace->mem, &parts);
    if (fresh == NULL)
        return false;
    if (!install(keyspace, database, key, old, &position, fresh)) {
        record_free(keyspace->mem, fresh);
        return false;
    }
    changed(keyspace, database_index, key);
    return true;
}

static struct value pair_value(const struct argument *value) {
    return (struct value){.data = value->data, .size = value->size, .expiry_ms = EXPIRY_NONE};
}

/* The usual MSET: every key is there, and every value fits where the old one was. */
static bool put_many_in_place(struct keyspace *keyspace, uint32_t database, struct argument *pairs,
                              uint32_t pair_count, struct record **records) {
    for (uint32_t i = 0; i < pair_count; i++) {
        struct value value = pair_value(&pairs[2 * i + 1]);
        records[i] = find_any(keyspace, database, &pairs[2 * i], NULL);
        if (records[i] == NULL ||
            !fits_in_place(keyspace, records[i], pairs[2 * i].size, &value, RECORD_NO_EXPIRY) ||
            !image_allows(keyspace, keyspace->databases[database], &pairs[2 * i], records[i]))
            return false;
    }
    struct database *of = keyspace->databases[database];
    for (uint32_t i = 0; i < pair_count; i++) {
        struct value value = pair_value(&pairs[2 * i + 1]);
        note_overwritten(keyspace, records[i]);
        write_in_place(keyspace, of, &pairs[2 * i], records[i], &value, RECORD_NO_EXPIRY);
        changed(keyspace, database, &pairs[2 * i]);
    }
    return true;
}

/* Takes back the first `count` pairs of a put_many that found no memory: those that were added, and their records. */
static void put_many_undo(struct keyspace *keyspace, uint32_t database, struct argument *pairs,
                          uint32_t count, struct record **fresh, uint32_t fresh_count) {
    struct database *of = keyspace->databases[database];
    for (uint32_t i = count; i-- > 0;) {
        struct dict_position position;
        struct dict *slot = &of->slots[pairs[2 * i].slot];
        if (dict_find(slot, pairs[2 * i].hash, pairs[2 * i].data, pairs[2 * i].size, &position) == fresh[i])
            take_record(keyspace, slot, &position);
    }
    for (uint32_t i = 0; i < fresh_count; i++)
        record_free(keyspace->mem, fresh[i]);
}

/* All that can fail comes first: the records, and the places of absent keys; only then old values go. A key that is named
 * twice is absent the first time only. */
static bool put_many_fresh(struct keyspace *keyspace, uint32_t database, struct argument *pairs,
                           uint32_t pair_count, struct record **fresh) {
    struct database *of = database_for_write(keyspace, database);
    if (of == NULL)
        return false;
    for (uint32_t i = 0; i < pair_count; i++) {
        struct argument *key = &pairs[2 * i];
        struct value value = pair_value(&pairs[2 * i + 1]);
        struct record_parts parts;
        struct dot others[VERSION_DOTS_MAX];
        struct record *old = find_any(keyspace, database, key, NULL);
        parts_of_value(keyspace, key, old, &value, RECORD_NO_EXPIRY, &parts, others);
        fresh[i] = record_new(keyspace->mem, &parts);
        bool is_made = fresh[i] != NULL;
        if (!is_made || (old == NULL && !add_record(keyspace, &of->slots[key->slot], key->hash, fresh[i]))) {
            put_many_undo(keyspace, database, pairs, i, fresh, i + is_made);
            return false;
        }
    }
    for (uint32_t i = 0; i < pair_count; i++) {
        struct argument *key = &pairs[2 * i];
        struct dict_position position;
        struct record *present = find_any(keyspace, database, key, &position);
        if (present == fresh[i])
            account_add(of, present);
        else
            (void)install(keyspace, of, key, present, &position, fresh[i]);
        changed(keyspace, database, key);
    }
    return true;
}

bool keyspace_put_many(struct keyspace *keyspace, uint32_t database, struct argument *keys_and_values,
                       uint32_t pairs) {
    struct record *on_stack[PAIRS_ON_STACK];
    struct record **records = on_stack;
    if (pairs > PAIRS_ON_STACK) {
        records = mem_alloc(keyspace->mem, pairs * sizeof(struct record *));
        if (records == NULL)
            return false;
    }
    bool done = put_many_in_place(keyspace, database, keys_and_values, pairs, records) ||
                put_many_fresh(keyspace, database, keys_and_values, pairs, records);
    if (records != on_stack)
        mem_free(keyspace->mem, records, pairs * sizeof(struct record *));
    return done;
}

/* Replaces the record at entry by one with the parts' layout; its value begins with the old bytes. */
static bool rebuild(struct keyspace *keyspace, uint32_t database_index, struct argument *key,
                    struct entry *entry, struct record_parts *parts) {
    struct record *old = entry->record;
    struct dot others[VERSION_DOTS_MAX];
    const uint8_t *old_value = record_value(old);
    uint32_t kept = record_value_size(old) < parts->value_size ? record_value_size(old) : parts->value_size;
    stamp(keyspace, old, parts, others);
    parts->value = NULL;
    struct record *fresh = record_new(keyspace->mem, parts);
    if (fresh == NULL)
        return false;
    uint8_t *value = record_value(fresh);
    memcpy(value, old_value, kept);
    memset(value + kept, 0, parts->value_size - kept);
    (void)install(keyspace, keyspace->databases[database_index], key, old, &entry->position, fresh);
    entry->record = fresh;
    changed(keyspace, database_index, key);
    return true;
}

uint8_t *keyspace_edit(struct keyspace *keyspace, uint32_t database, struct argument *key,
                       struct entry *entry, uint32_t size, enum record_encoding encoding) {
    struct record *record = entry->record;
    struct value value = {.size = size, .type = (uint8_t)record_type(record), .encoding = (uint8_t)encoding};
    const struct database *of = keyspace->databases[database];
    if (LIKELY(fits_in_place(keyspace, record, record_key_size(record), &value, record_expiry_ms(record))) &&
        image_allows(keyspace, of, key, record)) {
        restamp(keyspace, of, key, record);
        uint32_t old_size = record_value_size(record);
        set_value_size(record, size);
        set_encoding(record, encoding);
        uint8_t *bytes = record_value(record);
        if (size > old_size)
            memset(bytes + old_size, 0, size - old_size);
        changed(keyspace, database, key);
        return bytes;
    }
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    parts.value_size = size;
    parts.encoding = (uint8_t)encoding;
    return rebuild(keyspace, database, key, entry, &parts) ? record_value(entry->record) : NULL;
}

uint8_t *keyspace_create(struct keyspace *keyspace, uint32_t database_index, struct argument *key,
                         uint32_t size, enum record_encoding encoding) {
    struct dict_position position;
    struct record *old = find_any(keyspace, database_index, key, &position);
    struct database *database = database_for_write(keyspace, database_index);
    if (database == NULL)
        return NULL;
    struct value value = {.size = size, .encoding = (uint8_t)encoding};
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    parts_of_value(keyspace, key, old, &value, RECORD_NO_EXPIRY, &parts, others);
    struct record *fresh = record_new(keyspace->mem, &parts);
    if (fresh == NULL)
        return NULL;
    uint8_t *bytes = record_value(fresh);
    memset(bytes, 0, size);
    if (!install(keyspace, database, key, old, &position, fresh)) {
        record_free(keyspace->mem, fresh);
        return NULL;
    }
    changed(keyspace, database_index, key);
    return bytes;
}

bool keyspace_set_expiry(struct keyspace *keyspace, uint32_t database_index, struct argument *key,
                         struct entry *entry, int64_t expiry_ms) {
    struct record *record = entry->record;
    struct database *database = keyspace->databases[database_index];
    keyspace_place(keyspace, key);
    if ((record->actor == keyspace->actor || keyspace->is_alone) && !(record->flags & RECORD_VECTOR) &&
        (record->flags & RECORD_EXPIRY) && expiry_ms != RECORD_NO_EXPIRY &&
        image_allows(keyspace, database, key, record)) {
        restamp(keyspace, database, key, record);
        database->expiry_sum_ms += (double)expiry_ms - (double)record_expiry_ms(record);
        memcpy(record->rest, &expiry_ms, sizeof expiry_ms);
        note_expiry(database, key, record);
        changed(keyspace, database_index, key);
        return true;
    }
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    parts.expiry_ms = expiry_ms;
    return rebuild(keyspace, database_index, key, entry, &parts);
}

void keyspace_describe(struct keyspace *keyspace, uint32_t database_index, struct argument *key,
                       struct entry *entry, enum record_encoding encoding) {
    const struct database *database = keyspace->databases[database_index];
    if (UNLIKELY(keyspace->image != NULL)) {
        if (!image_allows(keyspace, database, key, entry->record))
            return; /* so long a string is raw anyway */
        restamp(keyspace, database, key, entry->record);
    }
    record_set_encoding(entry->record, encoding);
}

void keyspace_remove(struct keyspace *keyspace, uint32_t database_index, struct argument *key,
                     struct entry *entry, enum remove_reason reason) {
    struct database *database = keyspace->databases[database_index];
    struct record *record = entry->record;
    account_remove(database, record);
    take_record(keyspace, &database->slots[key->slot], &entry->position);
    entry->record = NULL;
    if (reason == REMOVE_DELETED)
        keyspace->counters.changes++;
    else if (reason == REMOVE_EXPIRED)
        keyspace->counters.expired++;
    if (reason == REMOVE_EXPIRED)
        watch_touch_expired(keyspace->watch, database_index, key);
    else
        watch_touch(keyspace->watch, database_index, key);
    dispose(keyspace, database, key, record); /* last: the key may be the record's own */
}

static void observe_counter(struct keyspace *keyspace, uint64_t counter) {
    uint64_t limit = ((uint64_t)keyspace->now_ms + CLOCK_DRIFT_MAX_MS) << 16;
    if (counter > keyspace->counter && counter <= limit)
        keyspace->counter = counter;
}

static void version_of_parts(const struct record_parts *parts, struct version *version) {
    version->count = 0;
    for (uint32_t i = 0; i < parts->other_count; i++)
        (void)version_raise(version, parts->others[i]);
    (void)version_raise(version, parts->newest);
}

/* Takes the winning dot out of a joined version: it becomes the record's newest, the rest its others. */
static void parts_set_version(struct record_parts *parts, const struct version *version,
                              struct dot others[VERSION_DOTS_MAX]) {
    parts->newest = version_highest(version);
    parts->other_count = 0;
    for (uint32_t i = 0; i < version->count; i++)
        if (version->dots[i].actor != parts->newest.actor)
            others[parts->other_count++] = version->dots[i];
    parts->others = others;
}

bool keyspace_merge(struct keyspace *keyspace, uint32_t database_index, struct argument *key,
                    const struct record_parts *theirs, bool *has_changed) {
    *has_changed = false;
    observe_counter(keyspace, theirs->newest.counter);
    struct dict_position position;
    struct record *old = find_any(keyspace, database_index, key, &position);
    struct database *database = database_for_write(keyspace, database_index);
    if (database == NULL)
        return false;
    struct record_parts parts = *theirs;
    struct dot others[VERSION_DOTS_MAX], old_others[VERSION_DOTS_MAX];
    struct version version;
    version_of_parts(theirs, &version);
    if (old != NULL) {
        struct version ours, joined;
        bool theirs_wins = false;
        record_version(old, &ours);
        enum record_merge outcome = record_merge(&ours, &version, &theirs_wins, &joined);
        if (outcome == MERGE_KEEP)
            return true;
        if (outcome == MERGE_JOIN) {
            version = joined;
            if (!theirs_wins)
                record_parts(old, &parts, old_others);
        }
    }
    parts_set_version(&parts, &version, others);
    parts.key = key->data;
    parts.key_size = key->size;
    struct record *fresh = record_new(keyspace->mem, &parts);
    if (fresh == NULL)
        return false;
    if (!install(keyspace, database, key, old, &position, fresh)) {
        record_free(keyspace->mem, fresh);
        return false;
    }
    if (keyspace->image != NULL)
        image_note_foreign(keyspace->image, database, key->hash);
    *has_changed = true;
    changed(keyspace, database_index, key);
    return true;
}

enum keyspace_load keyspace_load(struct keyspace *keyspace, uint32_t database_index, struct argument *key,
                                 const struct record_parts *parts) {
    struct dict_position position;
    if (find_any(keyspace, database_index, key, &position) != NULL)
        return LOAD_PRESENT;
    struct database *database = database_for_write(keyspace, database_index);
    struct record *fresh = database == NULL ? NULL : record_new(keyspace->mem, parts);
    if (fresh == NULL)
        return LOAD_NO_MEMORY;
    if (!install(keyspace, database, key, NULL, &position, fresh)) {
        record_free(keyspace->mem, fresh);
        return LOAD_NO_MEMORY;
    }
    observe_counter(keyspace, parts->newest.counter);
    return LOAD_ADDED;
}
