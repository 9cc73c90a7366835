/* keyspace.c - the funnel: every change of a key, its version stamp, its watchers, its accounting.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/keyspace_inside.h"

#include "data/merge_state.h"
#include "store/content.h"
#include "store/expire.h"

/* What is called in a shared database only stays out of the way of the others: its large frames are not theirs. */
#define RARELY __attribute__((noinline))
/* MSET of up to so many pairs needs no memory for its bookkeeping. */
#define PAIRS_ON_STACK 64
/* Counters whose state is longer (with a base of many digits, or siblings) are made anew with each addition. */
#define STATE_IN_PLACE_MAX 512

void keyspace_set_time(struct keyspace *keyspace, int64_t now_ms) {
    keyspace->now_ms = now_ms;
    if (now_ms > keyspace->latest_ms)
        keyspace->latest_ms = now_ms;
    keyspace->now_s = (uint32_t)(now_ms / 1000);
}

/* The next stamp: greater than all given before, than what the key has, and than its slot's flush and floor. */
static inline uint64_t next_stamp(struct keyspace *keyspace, const struct ledger *shared, uint32_t slot,
                                  const struct record *old) {
    uint64_t last = keyspace->counter;
    if (old != NULL && old->counter > last)
        last = old->counter;
    if (UNLIKELY(shared != NULL) && UNLIKELY(shared->highest_flush > last)) {
        if (shared->flush_counters[slot] > last)
            last = shared->flush_counters[slot];
        if (shared->floors.counters[slot] > last)
            last = shared->floors.counters[slot];
    }
    return keyspace->counter = version_next_counter(last, (uint64_t)keyspace->now_ms);
}

/* What a dot is worth where not all can be kept: least if the old record does not hold it, most if it is somebody else's. */
static unsigned worth_of(const struct keyspace *keyspace, const struct record_parts *old, struct dot dot) {
    if (!content_holds(&keyspace->actors, old, dot))
        return 0;
    return actors_is_past(&keyspace->actors, dot.actor, keyspace->actor) ? 1 : 2;
}

/* Takes out the dot with the lowest counter (ties: the lowest actor) of those that are worth least. */
static void forget_one(const struct keyspace *keyspace, const struct record_parts *old,
                       struct version *version) {
    uint32_t chosen = 0;
    unsigned least = worth_of(keyspace, old, version->dots[0]);
    for (uint32_t i = 1; i < version->count; i++) {
        unsigned worth = worth_of(keyspace, old, version->dots[i]);
        bool is_older = version->dots[i].counter < version->dots[chosen].counter;
        if (worth > least || (worth == least && !is_older))
            continue;
        chosen = i;
        least = worth;
    }
    version->count--;
    memmove(version->dots + chosen, version->dots + chosen + 1,
            (version->count - chosen) * sizeof *version->dots);
}

/* The other dots of a write over `old`, which others have written, too. false: some that old had are left out. */
static RARELY bool keep_others(const struct keyspace *keyspace, uint32_t slot, const struct record *old,
                               struct record_parts *parts, struct dot others[VERSION_DOTS_MAX]) {
    struct record_parts old_parts;
    struct version version;
    record_parts(old, &old_parts, others);
    bool is_folded = keyspace->ledger != NULL && old->counter <= keyspace->ledger->folds[slot] &&
                     content_version(&keyspace->actors, &old_parts, &version);
    if (!is_folded)
        record_parts_version(&old_parts, &version);
    bool fits = version_raise(&version, parts->newest);
    if (!fits)
        forget_one(keyspace, &old_parts, &version);
    uint32_t count = 0;
    for (uint32_t i = 0; i < version.count; i++)
        if (version.dots[i].actor != keyspace->actor)
            others[count++] = version.dots[i];
    parts->others = others;
    parts->other_count = (uint16_t)count;
    return fits && !is_folded;
}

/* Fills in the version of a write over `old`: our new dot on top of all that old's version has seen. Where that is as many
 * others as a version holds, one dot makes room (keyspace.h says what that means; then false is returned). Alone, nobody
 * will ever compare: our dot is enough, and keys of an earlier start do not pay for two. */
static inline bool stamp(struct keyspace *keyspace, const struct database *database, uint32_t slot,
                         const struct record *old, struct record_parts *parts,
                         struct dot others[VERSION_DOTS_MAX]) {
    uint64_t counter = next_stamp(keyspace, funnel_shared(keyspace, database), slot, old);
    parts->newest = (struct dot){.counter = counter, .actor = keyspace->actor};
    parts->others = NULL;
    parts->other_count = 0;
    return LIKELY(old == NULL || keyspace->is_alone ||
                  (old->actor == keyspace->actor && !record_has_others(old))) ||
           keep_others(keyspace, slot, old, parts, others);
}

static inline void touch_access(const struct keyspace *keyspace, struct record *record) {
    /* Written only when it differs: a hot key's cache line stays clean within a second. */
    if (record_access_s(record) != (keyspace->now_s & 0xffffff) && !keyspace->access_is_frozen)
        record_set_access_s(record, keyspace->now_s);
}

/* Whether who meets an expired key takes it out: not where another node does that and says so. */
static inline bool may_reclaim(const struct keyspace *keyspace, uint32_t database, uint32_t slot) {
    const struct ledger *shared = funnel_shared(keyspace, keyspace->databases[database]);
    return !keyspace->expiry_is_paused && (LIKELY(shared == NULL) || shared->notes[slot] & SLOT_COORDINATED);
}

struct record *keyspace_lookup(struct keyspace *keyspace, uint32_t database, struct argument *key,
                               enum lookup_mode mode, struct entry *entry) {
    struct record *record = funnel_find(keyspace, database, key, &entry->position);
    if (UNLIKELY(record != NULL && funnel_is_expired(keyspace, record))) {
        entry->record = record;
        if (may_reclaim(keyspace, database, key->slot))
            keyspace_remove(keyspace, database, key, entry, REMOVE_EXPIRED);
        record = NULL;
    } else if (UNLIKELY(record != NULL && funnel_is_tombstone(record))) {
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

/* Adds a record to its slot: dict_insert(), measured where it takes long. */
static bool add_record(struct keyspace *keyspace, struct dict *slot, uint64_t hash, struct record *record) {
    if (LIKELY(!dict_insert_is_long(slot, hash)) || keyspace->observer.begins == NULL)
        return dict_insert(slot, keyspace->mem, &keyspace->secret, hash, record);
    keyspace->observer.begins(keyspace->observer.context);
    bool done = dict_insert(slot, keyspace->mem, &keyspace->secret, hash, record);
    keyspace->observer.ends(keyspace->observer.context);
    return done;
}

void funnel_take(struct keyspace *keyspace, struct dict *slot, struct dict_position *position) {
    bool is_observed = UNLIKELY(dict_remove_is_long(slot, position)) && keyspace->observer.begins != NULL;
    if (is_observed)
        keyspace->observer.begins(keyspace->observer.context);
    dict_remove(slot, keyspace->mem, &keyspace->secret, position);
    if (is_observed)
        keyspace->observer.ends(keyspace->observer.context);
}

void funnel_note_expiry(struct database *database, const struct argument *key, const struct record *record) {
    if (!(record->flags & RECORD_EXPIRY))
        return;
    struct dict *slot = &database->slots[key->slot];
    struct dict *leaf = dict_leaf(slot, key->hash);
    uint32_t when = expire_tick(record_expiry_ms(record));
    if (when < leaf->earliest)
        leaf->earliest = when;
    if (when < slot->earliest)
        slot->earliest = when;
    uint32_t *group = &database->group_earliest[key->slot / EXPIRE_GROUP];
    if (when < *group)
        *group = when;
}

bool funnel_install(struct keyspace *keyspace, struct database *database, const struct argument *key,
                    struct record *old, struct dict_position *position, struct record *fresh) {
    if (old != NULL) {
        funnel_note_overwritten(keyspace, old);
        funnel_account_remove(keyspace, database, key, old);
        dict_replace(position, fresh);
        funnel_dispose(keyspace, database, key, old);
    } else if (!add_record(keyspace, &database->slots[key->slot], key->hash, fresh)) {
        return false;
    }
    funnel_account_add(keyspace, database, key, fresh);
    funnel_note_expiry(database, key, fresh);
    return true;
}

/* A change of our own is done: watchers are told, and who has copies. Even a silent one changes the bytes. */
static inline void changed(struct keyspace *keyspace, uint32_t database, const struct argument *key,
                           struct record *record) {
    if (UNLIKELY(!keyspace->is_alone && keyspace->ledger != NULL) && database == 0)
        ledger_note_write(keyspace->ledger, key, record);
    if (LIKELY(!keyspace->is_silent))
        funnel_touch(keyspace, database, key);
}

/* The same after a change of an old value whose version had base_counter of our own. */
static inline void changed_by_edit(struct keyspace *keyspace, uint32_t database, const struct argument *key,
                                   struct record *record, uint64_t base_counter, bool is_exact) {
    if (UNLIKELY(!keyspace->is_alone && keyspace->ledger != NULL)) {
        keyspace->ledger->editing = 0;
        if (database == 0)
            ledger_note_edit(keyspace->ledger, key, record, base_counter, is_exact);
    }
    if (LIKELY(!keyspace->is_silent))
        funnel_touch(keyspace, database, key);
}

static inline int64_t expiry_after(const struct keyspace *keyspace, const struct record *old,
                                   int64_t wanted) {
    if (wanted != EXPIRY_KEEP)
        return wanted;
    return old != NULL && !funnel_is_expired(keyspace, old) && !funnel_is_tombstone(old)
               ? record_expiry_ms(old)
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

/* `state`: what the merge state becomes, of the same size; NULL: it stays, or there is none. */
static RARELY void restamp_shared(struct keyspace *keyspace, const struct argument *key,
                                  struct record *record, uint64_t counter, const uint8_t *state) {
    struct ledger *ledger = keyspace->ledger;
    bool is_covered = ledger_covers(ledger, key->slot, key->hash);
    uint64_t before = is_covered ? ledger_record_digest(keyspace, key->hash, record) : 0;
    record->counter = counter;
    record->actor = keyspace->actor;
    if (state != NULL) {
        uint32_t size;
        uint8_t *place = record_state(record, &size);
        memcpy(place, state, size);
    }
    if (LIKELY(is_covered))
        ledger->digests[key->slot] += ledger_record_digest(keyspace, key->hash, record) - before;
}

/* Begins a change in place: what an image needs is given out, and the record has our stamp from now on. */
static inline void restamp(struct keyspace *keyspace, const struct database *database,
                           const struct argument *key, struct record *record) {
    if (UNLIKELY(keyspace->image != NULL))
        image_before_change(keyspace->image, database, key->slot, key->hash, record);
    struct ledger *shared = funnel_shared(keyspace, database);
    if (UNLIKELY(shared != NULL)) {
        restamp_shared(keyspace, key, record, next_stamp(keyspace, shared, key->slot, record), NULL);
        return;
    }
    record->counter = next_stamp(keyspace, NULL, 0, record);
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
        funnel_note_expiry(database, key, record);
    }
    set_value_size(record, value->size);
    set_encoding(record, value->encoding);
    touch_access(keyspace, record);
    if (value->size != 0)
        memcpy(record_value(record), value->data, value->size);
}

static void parts_of_value(struct keyspace *keyspace, const struct database *database,
                           const struct argument *key, const struct record *old, const struct value *value,
                           int64_t expiry_ms, struct record_parts *parts,
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
    (void)stamp(keyspace, database, key->slot, old, parts, others);
}

bool keyspace_put(struct keyspace *keyspace, uint32_t database_index, struct argument *key,
                  const struct value *value) {
    struct dict_position position;
    struct record *old = funnel_find(keyspace, database_index, key, &position);
    int64_t expiry_ms = expiry_after(keyspace, old, value->expiry_ms);
    struct database *database = keyspace->databases[database_index];
    if (LIKELY(old != NULL) && LIKELY(fits_in_place(keyspace, old, key->size, value, expiry_ms)) &&
        funnel_image_allows(keyspace, database, key, old)) {
        funnel_note_overwritten(keyspace, old);
        write_in_place(keyspace, database, key, old, value, expiry_ms);
        changed(keyspace, database_index, key, old);
        return true;
    }
    if (database == NULL && (database = funnel_make_database(keyspace, database_index)) == NULL)
        return false;
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    parts_of_value(keyspace, database, key, old, value, expiry_ms, &parts, others);
    struct record *fresh = record_new(keyspace->mem, &parts);
    if (fresh == NULL)
        return false;
    if (!funnel_install(keyspace, database, key, old, &position, fresh)) {
        record_free(keyspace->mem, fresh);
        return false;
    }
    changed(keyspace, database_index, key, fresh);
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
        records[i] = funnel_find(keyspace, database, &pairs[2 * i], NULL);
        if (records[i] == NULL ||
            !fits_in_place(keyspace, records[i], pairs[2 * i].size, &value, RECORD_NO_EXPIRY) ||
            !funnel_image_allows(keyspace, keyspace->databases[database], &pairs[2 * i], records[i]))
            return false;
    }
    struct database *of = keyspace->databases[database];
    for (uint32_t i = 0; i < pair_count; i++) {
        struct value value = pair_value(&pairs[2 * i + 1]);
        funnel_note_overwritten(keyspace, records[i]);
        write_in_place(keyspace, of, &pairs[2 * i], records[i], &value, RECORD_NO_EXPIRY);
        changed(keyspace, database, &pairs[2 * i], records[i]);
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
            funnel_take(keyspace, slot, &position);
    }
    for (uint32_t i = 0; i < fresh_count; i++)
        record_free(keyspace->mem, fresh[i]);
}

/* All that can fail comes first: the records, and the places of absent keys; only then old values go. A key that is named
 * twice is absent the first time only. */
static bool put_many_fresh(struct keyspace *keyspace, uint32_t database, struct argument *pairs,
                           uint32_t pair_count, struct record **fresh) {
    struct database *of = funnel_database(keyspace, database);
    if (of == NULL)
        return false;
    for (uint32_t i = 0; i < pair_count; i++) {
        struct argument *key = &pairs[2 * i];
        struct value value = pair_value(&pairs[2 * i + 1]);
        struct record_parts parts;
        struct dot others[VERSION_DOTS_MAX];
        struct record *old = funnel_find(keyspace, database, key, NULL);
        parts_of_value(keyspace, of, key, old, &value, RECORD_NO_EXPIRY, &parts, others);
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
        struct record *present = funnel_find(keyspace, database, key, &position);
        if (present == fresh[i])
            funnel_account_add(keyspace, of, key, present);
        else
            (void)funnel_install(keyspace, of, key, present, &position, fresh[i]);
        changed(keyspace, database, key, fresh[i]);
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

RARELY uint64_t funnel_own_counter(const struct keyspace *keyspace, const struct record *record) {
    if (LIKELY(record->actor == keyspace->actor))
        return record->counter;
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    for (uint32_t i = 0; i < parts.other_count; i++)
        if (others[i].actor == keyspace->actor)
            return others[i].counter;
    return 0;
}

/* The merge state of parts whose version had no room for all dots, in `state`. false: no memory. */
static bool fit_state(struct record_parts *parts, struct buffer *state) {
    struct version version;
    record_parts_version(parts, &version);
    if (!merge_state_cover(state, parts->state, parts->state_size, &version, parts->newest))
        return false;
    parts->state = state->data;
    parts->state_size = (uint32_t)state->size;
    return true;
}

/* Replaces the record at entry by one with the parts' layout and merge state; its value begins with the old bytes. */
static bool rebuild(struct keyspace *keyspace, uint32_t database_index, struct argument *key,
                    struct entry *entry, struct record_parts *parts) {
    struct record *old = entry->record;
    struct database *database = keyspace->databases[database_index];
    struct dot others[VERSION_DOTS_MAX];
    const uint8_t *old_value = record_value(old);
    uint32_t kept = record_value_size(old) < parts->value_size ? record_value_size(old) : parts->value_size;
    uint64_t base_counter = funnel_shared(keyspace, database) == NULL ? 0 : funnel_own_counter(keyspace, old);
    bool is_exact = stamp(keyspace, database, key->slot, old, parts, others);
    parts->value = NULL;
    struct buffer state;
    buffer_init(&state, keyspace->mem);
    bool fits = LIKELY(is_exact || parts->state_size == 0) || fit_state(parts, &state);
    struct record *fresh = fits ? record_new(keyspace->mem, parts) : NULL;
    buffer_release(&state);
    if (fresh == NULL)
        return false;
    uint8_t *value = record_value(fresh);
    memcpy(value, old_value, kept);
    memset(value + kept, 0, parts->value_size - kept);
    (void)funnel_install(keyspace, database, key, old, &entry->position, fresh);
    entry->record = fresh;
    changed_by_edit(keyspace, database_index, key, fresh, base_counter, is_exact);
    return true;
}

static inline uint8_t *edit(struct keyspace *keyspace, uint32_t database, struct argument *key,
                            struct entry *entry, uint32_t size, enum record_encoding encoding) {
    struct record *record = entry->record;
    struct value value = {.size = size, .type = (uint8_t)record_type(record), .encoding = (uint8_t)encoding};
    const struct database *of = keyspace->databases[database];
    if (LIKELY(fits_in_place(keyspace, record, record_key_size(record), &value, record_expiry_ms(record))) &&
        funnel_image_allows(keyspace, of, key, record)) {
        uint64_t base_counter = record->counter;
        restamp(keyspace, of, key, record);
        uint32_t old_size = record_value_size(record);
        set_value_size(record, size);
        set_encoding(record, encoding);
        uint8_t *bytes = record_value(record);
        if (size > old_size)
            memset(bytes + old_size, 0, size - old_size);
        changed_by_edit(keyspace, database, key, record, base_counter, true);
        return bytes;
    }
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    parts.value_size = size;
    parts.encoding = (uint8_t)encoding;
    parts.state_size = 0;
    return rebuild(keyspace, database, key, entry, &parts) ? record_value(entry->record) : NULL;
}

uint8_t *keyspace_edit(struct keyspace *keyspace, uint32_t database, struct argument *key,
                       struct entry *entry, uint32_t size, enum record_encoding encoding) {
    return edit(keyspace, database, key, entry, size, encoding);
}

/* A new string of bytes that are still to be set to something; NULL: no memory. */
static struct record *create(struct keyspace *keyspace, uint32_t database_index, struct argument *key,
                             uint32_t size, enum record_encoding encoding) {
    struct dict_position position;
    struct record *old = funnel_find(keyspace, database_index, key, &position);
    struct database *database = funnel_database(keyspace, database_index);
    if (database == NULL)
        return NULL;
    struct value value = {.size = size, .encoding = (uint8_t)encoding};
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    parts_of_value(keyspace, database, key, old, &value, RECORD_NO_EXPIRY, &parts, others);
    struct record *fresh = record_new(keyspace->mem, &parts);
    if (fresh == NULL)
        return NULL;
    if (!funnel_install(keyspace, database, key, old, &position, fresh)) {
        record_free(keyspace->mem, fresh);
        return NULL;
    }
    changed(keyspace, database_index, key, fresh);
    return fresh;
}

uint8_t *keyspace_create(struct keyspace *keyspace, uint32_t database, struct argument *key, uint32_t size,
                         enum record_encoding encoding) {
    struct record *fresh = create(keyspace, database, key, size, encoding);
    return fresh == NULL ? NULL : memset(record_value(fresh), 0, size);
}

/* What is known here of earlier starts of this node, for the counters of a slot. */
static struct content_past past_of(const struct keyspace *keyspace, uint32_t slot) {
    return (struct content_past){.actors = &keyspace->actors,
                                 .self = keyspace->actor,
                                 .since = keyspace->actor_since,
                                 .fold = keyspace->ledger->folds[slot]};
}

static bool has_past(const struct keyspace *keyspace, uint32_t slot, const struct record *record) {
    struct content_past past = past_of(keyspace, slot);
    if (past.fold <= past.since || !record_has_others(record))
        return false;
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    return content_has_past(&past, &parts);
}

/* Adds to a counter in its place: this node has a part in it, and the digits fit. */
static bool add_in_place(struct keyspace *keyspace, const struct argument *key, struct record *record,
                         const struct amount *amount, const struct value *value) {
    struct database *database = keyspace->databases[0];
    uint32_t state_size;
    uint8_t *state = record_state(record, &state_size), added[STATE_IN_PLACE_MAX];
    size_t old_size = record_size(record);
    bool must_be_long = record_key_size(record) > RECORD_SMALL_MAX || value->size > RECORD_SMALL_MAX;
    if (state == NULL || state_size > sizeof added || merge_state_kind(state) != MERGE_STATE_COUNTER ||
        record->actor != keyspace->actor || must_be_long != !!(record->flags & RECORD_LONG) ||
        mem_class(old_size) != mem_class(old_size - record_value_size(record) + value->size) ||
        !funnel_image_allows(keyspace, database, key, record) || has_past(keyspace, key->slot, record))
        return false;
    uint64_t counter = next_stamp(keyspace, keyspace->ledger, key->slot, record);
    memcpy(added, state, state_size);
    if (!merge_state_add_in_place(added, state_size,
                                  (struct dot){.counter = counter, .actor = keyspace->actor}, amount))
        return false;
    if (UNLIKELY(keyspace->image != NULL))
        image_before_change(keyspace->image, database, key->slot, key->hash, record);
    restamp_shared(keyspace, key, record, counter, added);
    set_value_size(record, value->size);
    set_encoding(record, value->encoding);
    memcpy(record_value(record), value->data, value->size);
    changed(keyspace, 0, key, record);
    return true;
}

/* Makes the counter that takes the place of what is there: of nothing, a number or another counter. */
static bool add_anew(struct keyspace *keyspace, struct argument *key, struct entry *entry,
                     const struct amount *amount, const struct value *value) {
    struct dict_position position;
    struct record *old = funnel_find(keyspace, 0, key, &position);
    struct database *database = funnel_database(keyspace, 0);
    if (database == NULL)
        return false;
    struct record_parts parts, old_parts;
    struct dot others[VERSION_DOTS_MAX], old_others[VERSION_DOTS_MAX];
    int64_t expiry_ms = expiry_after(keyspace, old, EXPIRY_KEEP);
    parts_of_value(keyspace, database, key, old, value, expiry_ms, &parts, others);
    if (old != NULL) {
        record_parts(old, &old_parts, old_others);
        old_parts.newest = content_value_dot(&keyspace->actors, &old_parts);
    }
    struct buffer state;
    struct record *fresh = NULL;
    struct content_past past = past_of(keyspace, key->slot);
    struct merge_past merge_past = content_merge_past(&past);
    struct version version;
    record_parts_version(&parts, &version);
    buffer_init(&state, keyspace->mem);
    if (merge_state_add(&state, old == NULL ? NULL : &old_parts, entry->record == NULL, parts.newest, amount,
                        &merge_past, &version)) {
        parts.state = state.data;
        parts.state_size = (uint32_t)state.size;
        content_settle_past(&past, old == NULL ? NULL : &old_parts, &parts, others);
        fresh = record_new(keyspace->mem, &parts);
    }
    buffer_release(&state);
    if (fresh == NULL)
        return false;
    if (!funnel_install(keyspace, database, key, old, &position, fresh)) {
        record_free(keyspace->mem, fresh);
        return false;
    }
    entry->record = fresh;
    changed(keyspace, 0, key, fresh);
    return true;
}

/* No stamp of an earlier start is above what is known now. */
static uint64_t present_counter(const struct keyspace *keyspace) {
    uint64_t counter = (uint64_t)keyspace->now_ms << 16;
    if (keyspace->counter > counter)
        counter = keyspace->counter;
    return keyspace->ledger->highest_counter > counter ? keyspace->ledger->highest_counter : counter;
}

static RARELY bool add_shared(struct keyspace *keyspace, struct argument *key, struct entry *entry,
                              const struct amount *amount, const struct value *value) {
    if (UNLIKELY(keyspace->actor_since == 0))
        keyspace->actor_since = present_counter(keyspace);
    return (entry->record != NULL && add_in_place(keyspace, key, entry->record, amount, value)) ||
           add_anew(keyspace, key, entry, amount, value);
}

bool keyspace_add(struct keyspace *keyspace, uint32_t database, struct argument *key, struct entry *entry,
                  const struct amount *amount, const uint8_t *digits, uint32_t size,
                  enum record_encoding encoding) {
    if (UNLIKELY(!keyspace->is_alone && keyspace->ledger != NULL) && database == 0) {
        struct value value = {.data = digits, .size = size, .encoding = (uint8_t)encoding};
        return add_shared(keyspace, key, entry, amount, &value);
    }
    uint8_t *bytes = NULL;
    if (LIKELY(entry->record != NULL)) {
        bytes = edit(keyspace, database, key, entry, size, encoding);
    } else if ((entry->record = create(keyspace, database, key, size, encoding)) != NULL) {
        bytes = record_value(entry->record);
    }
    if (UNLIKELY(bytes == NULL))
        return false;
    memcpy(bytes, digits, size);
    return true;
}

/* The base of a counter has the record's new dot: of a shared database. */
static RARELY void touch_state(struct keyspace *keyspace, const struct argument *key, struct record *record) {
    uint32_t size;
    uint8_t *state = record_state(record, &size);
    funnel_digest_remove(keyspace, key, record);
    merge_state_touch(state, size, (struct dot){.counter = record->counter, .actor = record->actor});
    funnel_digest_add(keyspace, key, record);
}

bool keyspace_set_expiry(struct keyspace *keyspace, uint32_t database_index, struct argument *key,
                         struct entry *entry, int64_t expiry_ms) {
    struct record *record = entry->record;
    struct database *database = keyspace->databases[database_index];
    keyspace_place(keyspace, key);
    if ((record->actor == keyspace->actor || keyspace->is_alone) && !(record->flags & RECORD_VECTOR) &&
        (record->flags & RECORD_EXPIRY) && expiry_ms != RECORD_NO_EXPIRY &&
        funnel_image_allows(keyspace, database, key, record)) {
        uint64_t base_counter = record->counter;
        restamp(keyspace, database, key, record);
        database->expiry_sum_ms += (double)expiry_ms - (double)record_expiry_ms(record);
        memcpy(record->rest, &expiry_ms, sizeof expiry_ms);
        funnel_note_expiry(database, key, record);
        changed_by_edit(keyspace, database_index, key, record, base_counter, true);
        keyspace_note_range(keyspace, 0, 0);
        return true;
    }
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    parts.expiry_ms = expiry_ms;
    if (funnel_shared(keyspace, database) == NULL)
        parts.state_size = 0; /* the version that covers it is forgotten, too */
    if (!rebuild(keyspace, database_index, key, entry, &parts))
        return false;
    if (UNLIKELY(record_state_size(entry->record) != 0))
        touch_state(keyspace, key, entry->record);
    keyspace_note_range(keyspace, 0, 0);
    return true;
}

void keyspace_note_range(struct keyspace *keyspace, uint32_t offset, uint32_t size) {
    if (UNLIKELY(keyspace->ledger != NULL && !keyspace->is_alone))
        ledger_note_range(keyspace->ledger, offset, size);
}

/* Whether a record's version may be ours alone from now on. Elsewhere a dot of another actor has to be kept. */
static inline bool may_restamp(const struct keyspace *keyspace, const struct database *database,
                               const struct record *record) {
    return !(record->flags & RECORD_VECTOR) &&
           (funnel_shared(keyspace, database) == NULL || record->actor == keyspace->actor);
}

void keyspace_describe(struct keyspace *keyspace, uint32_t database_index, struct argument *key,
                       struct entry *entry, enum record_encoding encoding) {
    const struct database *database = keyspace->databases[database_index];
    struct record *record = entry->record;
    if (UNLIKELY(keyspace->image != NULL)) {
        if (record_encoding(record) == encoding || !may_restamp(keyspace, database, record) ||
            !funnel_image_allows(keyspace, database, key, record))
            return; /* so long a string is raw anyway */
        restamp(keyspace, database, key, record);
        struct ledger *shared = funnel_shared(keyspace, database);
        if (shared != NULL)
            ledger_note_write(shared, key, record);
    }
    record_set_encoding(record, encoding);
}

/* The parts of a tombstone change so that it takes the place of `old` in its allocation, whatever was asked for there: bytes of the dead
 * value go on to count, and where the other dots of the version do not fit, they go. */
static void fit_into(struct record_parts *parts, const struct record *old) {
    size_t room = mem_class(record_size(old));
    if (record_parts_size(parts) > room)
        parts->other_count = 0;
    size_t dead = room - record_parts_size(parts);
    bool is_long = parts->key_size > RECORD_SMALL_MAX;
    if (!is_long && dead > RECORD_SMALL_MAX)
        /* A long record's sizes take 8 bytes. What is just too short for that leaves a few bytes: still of the same class. */
        dead = dead > RECORD_SMALL_MAX + 8 ? dead - 8 : RECORD_SMALL_MAX;
    parts->value_size = (uint32_t)dead;
}

static RARELY void bury_in_place(struct keyspace *keyspace, struct database *database,
                                 const struct argument *key, struct record *record,
                                 const struct record_parts *parts) {
    if (keyspace->image != NULL)
        image_before_change(keyspace->image, database, key->slot, key->hash, record);
    funnel_account_remove(keyspace, database, key, record);
    record_write(record, parts);
    funnel_account_add(keyspace, database, key, record);
}

/* Puts a tombstone in the place of a record, in any case: of a new version or, if the time of the key has come, of the one that it has. */
static RARELY void bury(struct keyspace *keyspace, struct database *database, const struct argument *key,
                        struct entry *entry, bool has_expired) {
    struct record *record = entry->record;
    struct dot others[VERSION_DOTS_MAX];
    struct record_parts old;
    struct record_parts parts = {.key = key->data,
                                 .key_size = key->size,
                                 .expiry_ms = RECORD_NO_EXPIRY,
                                 .type = RECORD_TOMBSTONE,
                                 .access_s = keyspace->now_s};
    if (has_expired) {
        record_parts(record, &old, others);
        parts.newest = old.newest;
        parts.others = old.others;
        parts.other_count = old.other_count;
    } else {
        (void)stamp(keyspace, database, key->slot, record, &parts, others);
    }
    bool is_allowed = funnel_image_allows(keyspace, database, key, record);
    if (is_allowed && mem_class(record_parts_size(&parts)) == mem_class(record_size(record))) {
        bury_in_place(keyspace, database, key, record, &parts);
        return;
    }
    struct record *fresh = record_new(keyspace->mem, &parts);
    if (fresh != NULL) {
        (void)funnel_install(keyspace, database, key, record, &entry->position, fresh);
        entry->record = fresh;
        return;
    }
    if (!is_allowed)
        keyspace->image->has_failed = true; /* for want of memory, as if it had found none itself */
    fit_into(&parts, record);
    bury_in_place(keyspace, database, key, record, &parts);
}

void keyspace_remove(struct keyspace *keyspace, uint32_t database_index, struct argument *key,
                     struct entry *entry, enum remove_reason reason) {
    struct database *database = keyspace->databases[database_index];
    struct ledger *shared = funnel_shared(keyspace, database);
    struct record *record = entry->record;
    if (reason == REMOVE_DELETED)
        keyspace->counters.changes++;
    else if (reason == REMOVE_EXPIRED)
        keyspace->counters.expired++;
    if (reason == REMOVE_EXPIRED)
        watch_touch_expired(keyspace->watch, database_index, key);
    else
        watch_touch(keyspace->watch, database_index, key);
    /* At or below the floor everybody else has dropped it: a stub would be left alone for ever. */
    bool is_stub = UNLIKELY(shared != NULL) && reason == REMOVE_EXPIRED &&
                   ledger_keeps_stubs(shared, key->slot) &&
                   record->counter > shared->floors.counters[key->slot];
    if (UNLIKELY(shared != NULL) && (reason != REMOVE_EXPIRED || is_stub)) {
        bool is_own_key =
            key->data == record_key(record); /* of the active expiry: the bytes go with the record */
        bury(keyspace, database, key, entry, is_stub);
        if (is_own_key)
            key->data = record_key(entry->record);
        if (!is_stub || shared->notes[key->slot] & SLOT_COORDINATED)
            ledger_note_write(shared, key, entry->record);
    } else {
        if (UNLIKELY(shared != NULL) && shared->notes[key->slot] & SLOT_COORDINATED)
            ledger_note_expired(shared, key, record);
        funnel_drop(keyspace, database, key, &entry->position,
                    record); /* last: the key may be the record's own */
    }
    entry->record = NULL;
}
