/* copies.c - the doors for what was not written here: merges, patches, words of other copies, loaded records; flushes of slots; and the
 * change between being alone and having company.
 *
 * Contracts: keyspace.h. Tests: tests/unit/store/ledger_test.c, keyspace_test.c, image_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/content.h"
#include "store/floors.h"
#include "store/keyspace_inside.h"
#include "store/reclaim.h"

/* Records that funnel_drop_judged() can condemn at a time; it asks for fewer, as the last bucket may bring some along. */
#define TRIAL_RECORDS 64
#define TRIAL_VISITS  48
/* Slots with so few records are emptied at once: tables need not be given away and made again. */
#define FLUSH_AT_ONCE_MAX 1000

/* ---- Clocks ---- */

/* The counter of somebody else: our clock follows it, unless it is too far ahead. false: no clock is that far ahead. */
static bool observe(struct keyspace *keyspace, uint64_t counter) {
    uint64_t now_ms = (uint64_t)keyspace->now_ms;
    if (counter <= (now_ms + CLOCK_DRIFT_MAX_MS) << 16) {
        if (counter > keyspace->counter)
            keyspace->counter = counter;
        return true;
    }
    bool is_possible = keyspace_is_possible(keyspace, counter);
    if (is_possible)
        keyspace->counters.far_ahead++;
    else
        keyspace->counters.refused_future++;
    return is_possible;
}

static void note_incoming(struct keyspace *keyspace, uint64_t counter) {
    if (keyspace->ledger != NULL && counter > keyspace->ledger->highest_counter)
        keyspace->ledger->highest_counter = counter;
}

/* Whether a record is older than the last flush of its slot. */
static bool is_flushed(const struct keyspace *keyspace, uint32_t database, uint32_t slot, uint64_t counter) {
    return keyspace->ledger != NULL && database == 0 && counter <= keyspace->ledger->flush_counters[slot];
}

/* Whether a tombstone of this counter has been dropped everywhere. */
static bool is_buried(const struct keyspace *keyspace, uint32_t database, uint32_t slot,
                      const struct record_parts *parts) {
    return parts->type == RECORD_TOMBSTONE && keyspace->ledger != NULL && database == 0 &&
           parts->newest.counter <= keyspace->ledger->floors.counters[slot];
}

uint64_t keyspace_stamp(struct keyspace *keyspace) {
    uint64_t last = keyspace->counter;
    const struct ledger *ledger = keyspace->ledger;
    if (ledger != NULL) {
        if (ledger->highest_counter > last)
            last = ledger->highest_counter;
        if (ledger->highest_flush > last)
            last = ledger->highest_flush;
    }
    return keyspace->counter = version_next_counter(last, (uint64_t)keyspace->now_ms);
}

/* ---- Versions ---- */

/* Whether who has seen a version has seen all that a record holds. */
static bool covers_record(const struct keyspace *keyspace, const struct version *version,
                          const struct record *record) {
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    return content_is_covered(&keyspace->actors, &parts, version);
}

/* The dot of the value of a record with this version: content_value_dot(). */
static struct dot value_dot_of(const struct keyspace *keyspace, const struct version *version) {
    struct record_parts parts = {0};
    struct dot others[VERSION_DOTS_MAX];
    record_parts_set_version(&parts, version, others);
    return content_value_dot(&keyspace->actors, &parts);
}

/* What is installed in the place of a record that gives way to theirs: where theirs is the same write, which has merely met others since,
 * what ours had seen besides stays seen. (A later write may have left it out on purpose: store/content.h.) */
static const struct version *version_over(const struct keyspace *keyspace, const struct version *ours,
                                          const struct version *theirs, struct version *both) {
    struct dot our_dot = value_dot_of(keyspace, ours), their_dot = value_dot_of(keyspace, theirs);
    if (our_dot.counter != their_dot.counter || our_dot.actor != their_dot.actor)
        return theirs;
    *both = *theirs;
    return version_join(both, ours) ? both : theirs;
}

/* Whether theirs wins where both have the same highest counter: everywhere the same. */
static bool theirs_win_ties(const struct keyspace *keyspace, const struct version *ours,
                            const struct version *theirs) {
    struct dot our_dot = value_dot_of(keyspace, ours), their_dot = value_dot_of(keyspace, theirs);
    return our_dot.counter == their_dot.counter &&
           actors_compare(&keyspace->actors, their_dot.actor, our_dot.actor) > 0;
}

/* ---- Records ---- */

static bool overlaps(const struct record *record, const uint8_t *bytes, uint32_t size) {
    /* As numbers: the bytes may be of quite another object. */
    uintptr_t begin = (uintptr_t)record, data = (uintptr_t)bytes;
    return size != 0 && data < begin + record_size(record) && data + size > begin;
}

/* Puts what the parts say in the place of `old` (NULL: it is absent): in its allocation where that has the right size. false: no
 * memory, nothing changed. */
static bool replace(struct keyspace *keyspace, uint32_t database_index, const struct argument *key,
                    struct record *old, struct dict_position *position, struct record_parts *parts) {
    struct database *database = funnel_database(keyspace, database_index);
    if (database == NULL)
        return false;
    parts->key = key->data;
    parts->key_size = key->size;
    if (old != NULL && mem_class(record_size(old)) == mem_class(record_parts_size(parts)) &&
        !overlaps(old, parts->value, parts->value_size) && !overlaps(old, key->data, key->size) &&
        !overlaps(old, parts->state, parts->state_size) &&
        funnel_image_allows(keyspace, database, key, old)) {
        if (UNLIKELY(keyspace->image != NULL))
            image_before_change(keyspace->image, database, key->slot, key->hash, old);
        funnel_note_overwritten(keyspace, old);
        funnel_account_remove(keyspace, database, key, old);
        record_write(old, parts);
        funnel_account_add(keyspace, database, key, old);
        funnel_note_expiry(database, key, old);
    } else {
        struct record *fresh = record_new(keyspace->mem, parts);
        if (fresh == NULL)
            return false;
        if (!funnel_install(keyspace, database, key, old, position, fresh)) {
            record_free(keyspace->mem, fresh);
            return false;
        }
    }
    if (UNLIKELY(keyspace->image != NULL))
        image_note_foreign(keyspace->image, database, key->hash);
    funnel_touch(keyspace, database_index, key);
    return true;
}

static int compare_actors(const void *context, uint16_t one, uint16_t other) {
    return actors_compare(context, one, other);
}

static bool keeps_siblings(const struct keyspace *keyspace, const struct argument *key) {
    return keyspace->keeps_siblings != NULL &&
           keyspace->keeps_siblings(keyspace->keeps_siblings_context, key->data, key->size);
}

/* Fills *parts (theirs so far) with what two concurrent records become, but for the version. What it points to stands in one of both, or in
 * `bytes`. false: no memory. */
static bool join(struct keyspace *keyspace, const struct argument *key, const struct merge_side *ours,
                 const struct merge_side *theirs, bool theirs_wins, struct record_parts *parts,
                 struct buffer *bytes) {
    const struct merge_side *winner = theirs_wins ? theirs : ours, *loser = theirs_wins ? ours : theirs;
    struct merge_context context = {.compare_actors = compare_actors,
                                    .context = &keyspace->actors,
                                    .keeps_siblings = keeps_siblings(keyspace, key)};
    *parts = *winner->parts;
    if (winner->parts->state_size == 0 && loser->parts->state_size == 0 && !context.keeps_siblings)
        return true;
    return merge_state_merge(&context, winner, loser, parts, bytes);
}

/* The general merge: versions of several dots, or of different actors. Not inlined: its large frame would lie on the stack beside a batch. */
static __attribute__((noinline)) bool merge_versions(struct keyspace *keyspace, uint32_t database,
                                                     struct argument *key, struct record *old,
                                                     struct dict_position *position,
                                                     struct record_parts *parts, bool *has_changed) {
    struct record_parts old_parts, new_parts = *parts;
    struct dot others[VERSION_DOTS_MAX], old_others[VERSION_DOTS_MAX];
    struct version ours, theirs, joined;
    bool theirs_wins = false;
    record_parts_version(parts, &theirs);
    record_version(old, &ours);
    record_parts(old, &old_parts, old_others);
    if (content_gives_way(&keyspace->actors, parts, &theirs, &old_parts, &ours))
        return true;
    bool is_conflict = !content_gives_way(&keyspace->actors, &old_parts, &ours, parts, &theirs);
    enum record_merge outcome = MERGE_REPLACE;
    if (is_conflict) {
        bool ties = theirs_win_ties(keyspace, &ours, &theirs);
        outcome = record_join(&ours, &theirs, ties, &theirs_wins, &joined);
        if (outcome == MERGE_KEEP) {
            keyspace->counters.merge_conflicts++;
            return true;
        }
    }
    struct buffer bytes;
    buffer_init(&bytes, keyspace->mem);
    bool done = true;
    if (outcome == MERGE_JOIN) {
        old_parts.newest = content_value_dot(&keyspace->actors, &old_parts);
        new_parts.newest = content_value_dot(&keyspace->actors, &new_parts);
        struct merge_side our_side = {.parts = &old_parts, .version = &ours};
        struct merge_side their_side = {.parts = &new_parts, .version = &theirs};
        done = join(keyspace, key, &our_side, &their_side, theirs_wins, parts, &bytes);
    }
    const struct version *version = outcome == MERGE_JOIN ? &joined
                                    : is_conflict         ? &theirs
                                                          : version_over(keyspace, &ours, &theirs, &joined);
    record_parts_set_version(parts, version, others);
    done = done && replace(keyspace, database, key, old, position, parts);
    buffer_release(&bytes);
    if (!done)
        return false;
    keyspace->counters.merge_conflicts += is_conflict;
    *has_changed = true;
    return true;
}

/* A tombstone that is buried already: what it covers goes with it, and nothing is left of either. */
static __attribute__((noinline)) bool bury(struct keyspace *keyspace, struct argument *key,
                                           const struct record_parts *theirs, struct record *old,
                                           struct dict_position *position) {
    if (old == NULL)
        return false;
    struct version version;
    record_parts_version(theirs, &version);
    if (!covers_record(keyspace, &version, old))
        return false;
    if (!funnel_is_tombstone(old))
        funnel_touch(keyspace, 0, key);
    ledger_forget_records(keyspace->ledger);
    funnel_drop(keyspace, keyspace->databases[0], key, position, old);
    return true;
}

/* Whether theirs is the stub of ours: its coordinator says that the time of this very version has come. */
static __attribute__((noinline)) bool is_stub_of(const struct keyspace *keyspace, const struct record *ours,
                                                 const struct record_parts *theirs) {
    if (ours == NULL || !(ours->flags & RECORD_EXPIRY))
        return false;
    struct version version, stub;
    record_version(ours, &version);
    record_parts_version(theirs, &stub);
    return covers_record(keyspace, &stub, ours) && content_is_covered(&keyspace->actors, theirs, &version);
}

bool keyspace_merge(struct keyspace *keyspace, uint32_t database, struct argument *key,
                    const struct record_parts *theirs, bool *has_changed) {
    *has_changed = false;
    if (UNLIKELY(!observe(keyspace, theirs->newest.counter)))
        return true;
    struct dict_position position;
    struct record *old = funnel_find(keyspace, database, key, &position);
    if (UNLIKELY(is_flushed(keyspace, database, key->slot, theirs->newest.counter)))
        return true;
    if (UNLIKELY(is_buried(keyspace, database, key->slot, theirs))) {
        *has_changed = bury(keyspace, key, theirs, old, &position);
        return true;
    }
    note_incoming(keyspace, theirs->newest.counter);
    struct record_parts parts = *theirs;
    parts.access_s = keyspace->now_s;
    if (UNLIKELY(parts.type == RECORD_TOMBSTONE) && is_stub_of(keyspace, old, &parts)) {
        struct dot others[VERSION_DOTS_MAX];
        record_parts_order(&parts, others);
        return *has_changed = replace(keyspace, database, key, old, &position, &parts);
    }
    if (LIKELY(parts.other_count == 0)) {
        bool is_plain = old != NULL && !record_has_others(old) && old->actor == parts.newest.actor;
        if (is_plain && old->counter >= parts.newest.counter)
            return true;
        if (is_plain || old == NULL)
            return *has_changed = replace(keyspace, database, key, old, &position, &parts);
    } else if (old == NULL) {
        struct dot others[VERSION_DOTS_MAX];
        record_parts_order(&parts, others);
        return *has_changed = replace(keyspace, database, key, NULL, &position, &parts);
    }
    return merge_versions(keyspace, database, key, old, &position, &parts, has_changed);
}

enum keyspace_load keyspace_load(struct keyspace *keyspace, uint32_t database_index, struct argument *key,
                                 const struct record_parts *given) {
    struct dict_position position;
    if (funnel_find(keyspace, database_index, key, &position) != NULL)
        return LOAD_PRESENT;
    if (is_flushed(keyspace, database_index, key->slot, given->newest.counter) ||
        is_buried(keyspace, database_index, key->slot, given))
        return LOAD_ADDED;
    struct database *database = funnel_database(keyspace, database_index);
    struct record_parts parts = *given;
    struct dot others[VERSION_DOTS_MAX];
    if (UNLIKELY(parts.other_count != 0))
        record_parts_order(&parts, others);
    struct record *fresh = database == NULL ? NULL : record_new(keyspace->mem, &parts);
    if (fresh == NULL)
        return LOAD_NO_MEMORY;
    if (!funnel_install(keyspace, database, key, NULL, &position, fresh)) {
        record_free(keyspace->mem, fresh);
        return LOAD_NO_MEMORY;
    }
    note_incoming(keyspace, parts.newest.counter);
    if (parts.newest.counter > keyspace->counter &&
        parts.newest.counter <= ((uint64_t)keyspace->now_ms + CLOCK_DRIFT_MAX_MS) << 16)
        keyspace->counter = parts.newest.counter;
    return LOAD_ADDED;
}

/* ---- Patches and expiry ---- */

static bool makes_sense(const struct keyspace_patch_parts *patch) {
    return patch->value_size <= VALUE_SIZE_MAX && patch->offset <= patch->value_size &&
           patch->size <= patch->value_size - patch->offset && patch->encoding <= ENCODING_RAW &&
           version_compare(&patch->version, &patch->base) == VERSION_DESCENDS;
}

/* A copy of the record with the patch in it; NULL: no memory. */
static struct record *patched_copy(struct keyspace *keyspace, const struct record *old,
                                   const struct record_parts *parts) {
    struct record *fresh = record_new(keyspace->mem, parts);
    if (fresh == NULL)
        return NULL;
    uint32_t old_size = record_value_size(old);
    uint32_t kept = old_size < parts->value_size ? old_size : parts->value_size;
    memcpy(record_value(fresh), record_value_const(old), kept);
    memset(record_value(fresh) + kept, 0, parts->value_size - kept);
    return fresh;
}

/* Where a record of these parts has its value, from its begin. */
static size_t value_offset(const struct record_parts *parts) {
    return record_parts_size(parts) - parts->value_size;
}

/* Gives the record at position the parts' version, expiry and size, and the value its old bytes, zeros behind them. */
static struct record *reshape(struct keyspace *keyspace, struct database *database,
                              const struct argument *key, struct record *record,
                              struct dict_position *position, const struct record_parts *parts) {
    bool is_same_place =
        (size_t)(record_value_const(record) - (const uint8_t *)record) == value_offset(parts);
    if (!is_same_place || mem_class(record_size(record)) != mem_class(record_parts_size(parts)) ||
        !funnel_image_allows(keyspace, database, key, record)) {
        struct record *fresh = patched_copy(keyspace, record, parts);
        if (fresh != NULL)
            (void)funnel_install(keyspace, database, key, record, position, fresh);
        return fresh;
    }
    if (UNLIKELY(keyspace->image != NULL))
        image_before_change(keyspace->image, database, key->slot, key->hash, record);
    uint32_t old_size = record_value_size(record);
    funnel_account_remove(keyspace, database, key, record);
    record_write(record, parts);
    if (parts->value_size > old_size)
        memset(record_value(record) + old_size, 0, parts->value_size - old_size);
    funnel_account_add(keyspace, database, key, record);
    funnel_note_expiry(database, key, record);
    return record;
}

/* Whether a record is the one that a patch was made of. */
static bool is_base(const struct keyspace *keyspace, const struct record_parts *ours,
                    const struct version *version, const struct version *base) {
    if (ours->state_size != 0)
        return version_compare(version, base) == VERSION_EQUAL;
    return version_covers(version, value_dot_of(keyspace, base)) &&
           content_is_covered(&keyspace->actors, ours, base);
}

enum keyspace_patch keyspace_apply_patch(struct keyspace *keyspace, struct argument *key,
                                         const struct keyspace_patch_parts *patch) {
    uint64_t counter = version_highest(&patch->version).counter;
    if (!observe(keyspace, counter))
        return PATCH_STALE;
    struct dict_position position;
    struct record *record = funnel_find(keyspace, 0, key, &position);
    if (is_flushed(keyspace, 0, key->slot, counter))
        return PATCH_STALE;
    if (record == NULL || !makes_sense(patch))
        return PATCH_UNFIT;
    struct version ours;
    record_version(record, &ours);
    if (version_covers(&ours, value_dot_of(keyspace, &patch->version)))
        return PATCH_STALE;
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    if (funnel_is_tombstone(record) || !is_base(keyspace, &parts, &ours, &patch->base))
        return PATCH_UNFIT;
    record_parts_set_version(&parts, &patch->version, others);
    parts.state_size = 0; /* a write of a part of the value, too, does away with what was merged */
    parts.value = NULL;
    parts.value_size = patch->value_size;
    parts.expiry_ms = patch->expiry_ms;
    parts.encoding = patch->encoding;
    parts.access_s = keyspace->now_s;
    struct database *database = keyspace->databases[0];
    record = reshape(keyspace, database, key, record, &position, &parts);
    if (record == NULL)
        return PATCH_NO_MEMORY;
    if (patch->size != 0)
        memcpy(record_value(record) + patch->offset, patch->bytes, patch->size);
    note_incoming(keyspace, counter);
    if (UNLIKELY(keyspace->image != NULL))
        image_note_foreign(keyspace->image, database, key->hash);
    funnel_touch(keyspace, 0, key);
    return PATCH_APPLIED;
}

bool keyspace_apply_expired(struct keyspace *keyspace, struct argument *key, const struct version *version) {
    struct dict_position position;
    struct record *record = funnel_find(keyspace, 0, key, &position);
    if (record == NULL)
        return false;
    if (!covers_record(keyspace, version, record))
        return false;
    if (!funnel_is_tombstone(record)) {
        keyspace->counters.expired++;
        watch_touch_expired(keyspace->watch, 0, key);
    }
    funnel_drop(keyspace, keyspace->databases[0], key, &position, record);
    return true;
}

struct record *keyspace_find_record(struct keyspace *keyspace, struct argument *key) {
    return funnel_find(keyspace, 0, key, NULL);
}

/* ---- Many at once ---- */

struct trial {
    funnel_judge *judge;
    void *context;
    uint32_t looked_at, condemned_count;
    bool is_full;
    struct record *condemned[TRIAL_RECORDS];
};

static void try_record(void *context, struct record *record, uint64_t hash) {
    (void)hash;
    struct trial *trial = context;
    trial->looked_at++;
    if (!trial->judge(trial->context, record))
        return;
    if (trial->condemned_count == TRIAL_RECORDS)
        trial->is_full = true;
    else
        trial->condemned[trial->condemned_count++] = record;
}

uint32_t funnel_drop_judged(struct keyspace *keyspace, uint32_t slot, uint64_t *from, uint32_t limit,
                            funnel_judge *judge, void *context) {
    struct database *database = keyspace->databases[0];
    struct trial trial = {.judge = judge, .context = context};
    bool has_more = true;
    /* A stretch that was not taken as a whole is gone over again in any case: its begin may be the slot's, which would read as "done". */
    while (has_more && (limit == 0 || trial.looked_at < limit || trial.is_full)) {
        uint64_t next;
        trial.condemned_count = 0;
        trial.is_full = false;
        has_more = dict_scan(&database->slots[slot], &keyspace->secret, *from, TRIAL_VISITS, try_record,
                             &trial, &next);
        for (uint32_t i = 0; i < trial.condemned_count; i++) {
            struct record *record = trial.condemned[i];
            struct argument key = {.data = record_key(record), .size = record_key_size(record), .slot = slot};
            key.hash = hash_bytes(&keyspace->secret, key.data, key.size);
            struct dict_position position;
            if (dict_find(&database->slots[slot], key.hash, key.data, key.size, &position) == record)
                funnel_drop(keyspace, database, &key, &position, record);
        }
        if (trial.is_full)
            has_more = true; /* the same stretch again: there are more in it than were taken */
        else
            *from = has_more ? next : 0;
    }
    return trial.looked_at;
}

/* Which records a flush takes. */
struct flush {
    struct keyspace *keyspace;
    const struct slot_set *slots;
    uint64_t counter;
};

/* Own writes up to this counter are known to others only from now on. */
static void forget(struct keyspace *keyspace, uint32_t slot, uint64_t counter) {
    if (counter <= keyspace->ledger->forgotten[slot])
        return;
    keyspace->ledger->forgotten[slot] = counter;
    keyspace->has_dropped_own = true;
}

bool keyspace_has_forgotten(struct keyspace *keyspace, struct argument *key) {
    if (!keyspace->has_dropped_own)
        return false;
    keyspace_place(keyspace, key);
    uint64_t forgotten = keyspace->ledger->forgotten[key->slot];
    const struct record *record = forgotten == 0 ? NULL : funnel_find(keyspace, 0, key, NULL);
    return forgotten > (record == NULL ? 0 : funnel_own_counter(keyspace, record));
}

void keyspace_set_actor(struct keyspace *keyspace, uint16_t actor) {
    keyspace->actor = actor;
    keyspace->actor_since = 0;
    if (keyspace->has_dropped_own)
        memset(keyspace->ledger->forgotten, 0, sizeof keyspace->ledger->forgotten);
    keyspace->has_dropped_own = false;
}

static bool takes_record(void *context, const struct record *record) {
    const struct flush *flush = context;
    return record->counter <= flush->counter;
}

/* All of them: others keep them. */
static bool forgets_record(void *context, const struct record *record) {
    const struct flush *flush = context;
    forget(flush->keyspace, crc16_key_slot(record_key(record), record_key_size(record)),
           funnel_own_counter(flush->keyspace, record));
    return true;
}

static bool takes_key(void *context, uint32_t database, struct argument *key) {
    const struct flush *flush = context;
    const struct record *record = funnel_find(flush->keyspace, database, key, NULL);
    return record != NULL && !funnel_is_tombstone(record) && slot_set_has(flush->slots, key->slot) &&
           takes_record(context, record);
}

static void drop_records(struct flush *flush, funnel_judge *judge) {
    struct database *database = flush->keyspace->databases[0];
    for (uint32_t slot = slot_set_next(flush->slots, 0); slot < SLOT_COUNT;
         slot = slot_set_next(flush->slots, slot + 1)) {
        uint64_t from = 0;
        if (database->slots[slot].count != 0)
            (void)funnel_drop_judged(flush->keyspace, slot, &from, 0, judge, flush);
    }
}

/* A record leaves with its table: the accounts of the database. */
static void sign_off(void *context, struct record *record) {
    struct database *database = context;
    if (funnel_is_tombstone(record) || !(record->flags & RECORD_EXPIRY))
        return;
    database->expiring--;
    database->expiry_sum_ms -= (double)record_expiry_ms(record);
}

/* Takes whole tables away; they are emptied in the background. Only tables in which something may expire are walked. */
static void take_tables(struct flush *flush) {
    struct keyspace *keyspace = flush->keyspace;
    struct database *database = keyspace->databases[0];
    struct ledger *ledger = keyspace->ledger;
    struct database *doomed = mem_alloc_zeroed(keyspace->mem, sizeof *doomed);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        struct dict *table = &database->slots[slot];
        if (!slot_set_has(flush->slots, slot) || table->count == 0)
            continue;
        if (database->expiring != 0 && table->earliest != UINT32_MAX) {
            uint64_t hash = 0;
            do
                dict_each_of_leaf(dict_leaf(table, hash), sign_off, database);
            while ((hash = dict_next_leaf(table, hash)) != 0);
        }
        database->keys -= table->count - ledger->tombstones[slot];
        ledger->tombstone_count -= ledger->tombstones[slot];
        ledger->tombstones[slot] = 0;
        ledger->digests[slot] = 0;
        struct dict gone = *table;
        dict_init(table, (unsigned)(gone.word >> 60));
        if (doomed != NULL)
            doomed->slots[slot] = gone;
        else /* no memory to hand it over: late is better than never */
            while (dict_drain(&gone, keyspace->mem, UINT32_MAX / 2) != 0)
                continue;
    }
    if (database->expiring == 0)
        database->expiry_sum_ms = 0;
    if (doomed != NULL)
        keyspace_discard(keyspace, doomed);
}

/* Raises the flush counters of the slots. Returns how many records they have. One flush of all comes as one of many small runs of
 * slots where others coordinate them: each must cost what it holds. */
static uint64_t begin_flush(const struct flush *flush) {
    const struct database *database = flush->keyspace->databases[0];
    struct ledger *ledger = flush->keyspace->ledger;
    uint64_t records = 0;
    for (uint32_t slot = slot_set_next(flush->slots, 0); slot < SLOT_COUNT;
         slot = slot_set_next(flush->slots, slot + 1)) {
        records += database == NULL ? 0 : database->slots[slot].count;
        if (flush->counter > ledger->flush_counters[slot]) {
            ledger->flush_counters[slot] = flush->counter;
            ledger_count(ledger, slot);
            ledger->flushes++;
        }
        if (flush->counter > ledger->highest_flush)
            ledger->highest_flush = flush->counter;
    }
    return records;
}

static bool others_are_empty(const struct flush *flush) {
    const struct database *database = flush->keyspace->databases[0];
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        if (!slot_set_has(flush->slots, slot) && database->slots[slot].count != 0)
            return false;
    return true;
}

static uint64_t flush_slots(struct keyspace *keyspace, const struct slot_set *slots, uint64_t counter) {
    if (keyspace->is_alone && counter > keyspace->counter)
        keyspace->counter = counter; /* while alone, stamps do not look at the flush counters */
    struct flush flush = {.keyspace = keyspace, .slots = slots, .counter = counter};
    uint64_t records = begin_flush(&flush);
    ledger_forget_records(keyspace->ledger);
    if (records == 0)
        return 0;
    bool takes_all = counter >= keyspace->counter && counter >= keyspace->ledger->highest_counter;
    if (takes_all && others_are_empty(&flush))
        return keyspace_flush(keyspace, 0);
    watch_touch_database(keyspace->watch, 0, takes_key, &flush);
    uint64_t keys_before = keyspace->databases[0]->keys;
    if (!takes_all || keyspace->image != NULL || records <= FLUSH_AT_ONCE_MAX)
        drop_records(&flush, takes_record);
    else
        take_tables(&flush);
    uint64_t gone = keys_before - keyspace->databases[0]->keys;
    keyspace->counters.changes += gone;
    return gone;
}

uint64_t keyspace_flush_slots(struct keyspace *keyspace, const struct slot_set *slots, uint64_t counter) {
    return observe(keyspace, counter) ? flush_slots(keyspace, slots, counter) : 0;
}

uint64_t keyspace_flush_own(struct keyspace *keyspace, const struct slot_set *slots) {
    return flush_slots(keyspace, slots, keyspace_stamp(keyspace));
}

uint64_t keyspace_drop_slots(struct keyspace *keyspace, const struct slot_set *slots) {
    struct flush flush = {.keyspace = keyspace, .slots = slots, .counter = UINT64_MAX};
    struct database *database = keyspace->databases[0];
    uint64_t records = 0;
    for (uint32_t slot = 0; database != NULL && slot < SLOT_COUNT; slot++)
        if (slot_set_has(slots, slot))
            records += database->slots[slot].count;
    if (records == 0)
        return 0;
    ledger_forget_records(keyspace->ledger);
    watch_touch_database(keyspace->watch, 0, takes_key, &flush);
    if (keyspace->image != NULL || records <= FLUSH_AT_ONCE_MAX) {
        drop_records(&flush, forgets_record);
        return records;
    }
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        if (slot_set_has(slots, slot) && database->slots[slot].count != 0)
            forget(keyspace, slot, keyspace->counter); /* perhaps: nobody looks at the records */
    take_tables(&flush);
    return records;
}

void keyspace_drop_copy(struct keyspace *keyspace, struct argument *key) {
    struct dict_position position;
    struct record *record = funnel_find(keyspace, 0, key, &position);
    if (record == NULL)
        return;
    forget(keyspace, key->slot, funnel_own_counter(keyspace, record));
    ledger_forget_records(keyspace->ledger);
    watch_touch(keyspace->watch, 0, key);
    funnel_drop(keyspace, keyspace->databases[0], key, &position, record);
}

/* ---- Alone, or not ---- */

/* Nobody needs floors, and stamps do not look at the flush counters any more. */
static void begin_solitude(struct keyspace *keyspace) {
    const struct ledger *ledger = keyspace->ledger;
    floors_clear(keyspace->ledger);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        if (ledger->flush_counters[slot] > keyspace->counter)
            keyspace->counter = ledger->flush_counters[slot];
}

void keyspace_set_alone(struct keyspace *keyspace, bool is_alone) {
    struct ledger *ledger = keyspace->ledger;
    if (keyspace->is_alone == is_alone)
        return;
    keyspace->is_alone = is_alone;
    ledger->awaits_company = false;
    ledger_clear_effects(ledger);
    ledger->has_lost = false;
    if (!is_alone) {
        ledger_begin_walk(keyspace);
        return;
    }
    ledger->drop_slot = 0;
    ledger->drop_hash = 0;
    begin_solitude(keyspace);
}

void keyspace_set_awaiting(struct keyspace *keyspace, bool awaits_company) {
    struct ledger *ledger = keyspace->ledger;
    bool did_await = ledger->awaits_company;
    ledger->awaits_company = awaits_company;
    if (keyspace->is_alone && did_await && !awaits_company)
        begin_solitude(keyspace);
}
