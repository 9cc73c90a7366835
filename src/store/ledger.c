/* ledger.c - digests, the walk that makes them, and the list of effects.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/ledger.h"

#include "store/content.h"
#include "store/keyspace_inside.h"

#define EFFECTS_FIRST_CAPACITY 16
/* Empty slots cost next to nothing: so many are a unit. */
#define SLOTS_PER_UNIT 16
/* Records that one visit of a table looks at. */
#define VISIT_RECORDS 64

/* As LEDGER_MIX_*. */
#define MIX_SLOT  UINT64_C(0xa4093822299f31d1)
#define MIX_FLUSH UINT64_C(0x082efa98ec4e6c89)

bool ledger_attach(struct keyspace *keyspace) {
    CHECK(keyspace->ledger == NULL);
    struct ledger *ledger = mem_alloc_zeroed(keyspace->mem, sizeof *ledger);
    if (ledger == NULL)
        return false;
    ledger->mem = keyspace->mem;
    ledger->is_walked = true;
    ledger->drop_slot = SLOT_COUNT;
    buffer_init(&ledger->kept, keyspace->mem);
    keyspace->ledger = ledger;
    return true;
}

void ledger_free(struct ledger *ledger) {
    if (ledger == NULL)
        return;
    mem_free(ledger->mem, ledger->effects, ledger->effect_capacity * sizeof *ledger->effects);
    buffer_release(&ledger->kept);
    mem_free(ledger->mem, ledger, sizeof *ledger);
}

/* ---- Digests ---- */

struct dot_sum {
    const struct actors *actors;
    uint64_t sum;
};

static bool add_dot(void *context, struct dot dot) {
    struct dot_sum *sum = context;
    sum->sum += ledger_dot_digest(sum->actors, dot.actor, dot.counter);
    return true;
}

/* A sum: the order of the dots is by numbers, which are other ones elsewhere. */
uint64_t ledger_content_digest(const struct actors *actors, const struct record *record) {
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    struct dot_sum sum = {.actors = actors};
    record_parts(record, &parts, others);
    (void)content_each(actors, &parts, add_dot, &sum);
    return sum.sum;
}

__attribute__((noinline)) void funnel_digest_add(struct keyspace *keyspace, const struct argument *key,
                                                 const struct record *record) {
    struct ledger *ledger = keyspace->ledger;
    if (ledger_covers(ledger, key->slot, key->hash)) {
        ledger->digests[key->slot] += ledger_record_digest(keyspace, key->hash, record);
        ledger_touch(ledger, key->slot);
    }
}

__attribute__((noinline)) void funnel_digest_remove(struct keyspace *keyspace, const struct argument *key,
                                                    const struct record *record) {
    struct ledger *ledger = keyspace->ledger;
    if (ledger_covers(ledger, key->slot, key->hash))
        ledger->digests[key->slot] -= ledger_record_digest(keyspace, key->hash, record);
}

__attribute__((noinline)) void funnel_count_tombstone(struct keyspace *keyspace,
                                                      const struct database *database, uint32_t slot,
                                                      int difference, uint64_t counter) {
    struct ledger *ledger = keyspace->ledger;
    if (ledger == NULL || database != keyspace->databases[0])
        return;
    if (difference > 0 && (ledger->tombstones[slot] == 0 || counter < ledger->oldest_tombstones[slot]))
        ledger->oldest_tombstones[slot] = counter;
    if (difference > 0 && counter < ledger->oldest_tombstone)
        ledger->oldest_tombstone = counter;
    ledger->tombstones[slot] += (uint32_t)difference;
    ledger->tombstone_count += (uint64_t)(int64_t)difference;
    /* Loaded before anybody was met: dropped if nobody is. */
    if (difference > 0 && UNLIKELY(keyspace->is_alone) && slot <= ledger->drop_slot) {
        ledger->drop_slot = slot;
        ledger->drop_hash = 0;
    }
}

uint64_t ledger_slot_digest(const struct ledger *ledger, uint32_t slot) {
    uint64_t digest = ledger->digests[slot], flush_counter = 0, floor = 0;
    if (slot_set_has(&ledger->counted, slot)) {
        flush_counter = ledger->flush_counters[slot];
        floor = ledger->floors.counters[slot];
    }
    if (digest == 0 && flush_counter == 0 && floor == 0)
        return 0;
    uint64_t place = ledger_fold(slot + MIX_SLOT, (flush_counter ^ MIX_FLUSH) + floor * LEDGER_MIX_KEY);
    return ledger_fold(digest ^ place, MIX_SLOT ^ slot) + place;
}

static void clear_digests(struct ledger *ledger) {
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        ledger->digests[slot] = 0;
    ledger->walk_slot = 0;
    ledger->walk_hash = 0;
}

void ledger_begin_walk(struct keyspace *keyspace) {
    clear_digests(keyspace->ledger);
    keyspace->ledger->is_walked = false;
}

void ledger_note_emptied(struct keyspace *keyspace) {
    struct ledger *ledger = keyspace->ledger;
    clear_digests(ledger);
    memset(ledger->tombstones, 0, sizeof ledger->tombstones);
    ledger->tombstone_count = 0;
    ledger->is_walked = true;
    ledger->drop_slot = SLOT_COUNT;
    ledger_forget_records(ledger);
}

struct walk {
    struct keyspace *keyspace;
    uint64_t digest;
    uint32_t looked_at;
};

static void walk_visit(void *context, struct record *record, uint64_t hash) {
    struct walk *walk = context;
    walk->digest += ledger_record_digest(walk->keyspace, hash, record);
    walk->looked_at++;
}

static bool is_tombstone(void *context, const struct record *record) {
    (void)context;
    return funnel_is_tombstone(record);
}

/* While the keyspace is alone: one step of dropping the tombstones that are left. */
static uint32_t drop_step(struct keyspace *keyspace, uint32_t budget) {
    struct ledger *ledger = keyspace->ledger;
    uint32_t spent = 0, passed_slots = 0;
    while (ledger->drop_slot < SLOT_COUNT && spent < budget) {
        if (ledger->tombstones[ledger->drop_slot] != 0)
            spent += 1 + funnel_drop_judged(keyspace, ledger->drop_slot, &ledger->drop_hash, budget - spent,
                                            is_tombstone, NULL);
        else
            ledger->drop_hash = 0;
        if (ledger->drop_hash == 0) {
            ledger->drop_slot++;
            spent += ++passed_slots % SLOTS_PER_UNIT == 0;
        }
    }
    return spent;
}

void ledger_drop_tombstones(struct keyspace *keyspace) {
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        uint64_t from = 0;
        if (keyspace->ledger->tombstones[slot] != 0)
            (void)funnel_drop_judged(keyspace, slot, &from, 0, is_tombstone, NULL);
    }
}

/* What a scan visits lies between the hash that it begins with and the one that it gives back: no record is added twice. */
uint32_t ledger_walk_step(struct keyspace *keyspace, uint32_t budget) {
    struct ledger *ledger = keyspace->ledger;
    if (keyspace->is_alone)
        return drop_step(keyspace, budget);
    if (ledger->is_walked)
        return 0;
    struct database *database = keyspace->databases[0];
    uint32_t spent = 0, empty_slots = 0;
    while (spent < budget) {
        if (database == NULL || ledger->walk_slot == SLOT_COUNT) {
            ledger->is_walked = true;
            break;
        }
        struct dict *slot = &database->slots[ledger->walk_slot];
        struct walk walk = {.keyspace = keyspace};
        uint64_t next;
        bool has_more =
            dict_scan(slot, &keyspace->secret, ledger->walk_hash, VISIT_RECORDS, walk_visit, &walk, &next);
        ledger->digests[ledger->walk_slot] += walk.digest;
        if (walk.digest != 0)
            ledger_touch(ledger, ledger->walk_slot);
        spent += slot->count != 0 ? walk.looked_at + 1 : ++empty_slots % SLOTS_PER_UNIT == 0;
        if (has_more) {
            ledger->walk_hash = next;
        } else {
            ledger->walk_slot++;
            ledger->walk_hash = 0;
        }
    }
    return spent;
}

/* ---- Effects ---- */

void ledger_shrink_effects(struct ledger *ledger) {
    mem_free(ledger->mem, ledger->effects, ledger->effect_capacity * sizeof *ledger->effects);
    ledger->effects = NULL;
    ledger->effect_count = ledger->effect_capacity = 0;
    buffer_release(&ledger->kept);
}

/* A new effect at the end of the list. NULL: no memory, which is noted. */
static struct effect *add_effect(struct ledger *ledger, enum effect_kind kind, const struct argument *key,
                                 struct record *record) {
    ledger->editing = 0;
    if (ledger->effect_count == ledger->effect_capacity) {
        uint32_t capacity =
            ledger->effect_capacity == 0 ? EFFECTS_FIRST_CAPACITY : ledger->effect_capacity * 2;
        struct effect *effects =
            mem_resize(ledger->mem, ledger->effects, ledger->effect_capacity * sizeof *effects,
                       capacity * sizeof *effects);
        if (effects == NULL) {
            ledger->has_lost = true;
            /* Who finds one effect on the list takes its record for the present one. */
            ledger_forget_records(ledger);
            return NULL;
        }
        ledger->effects = effects;
        ledger->effect_capacity = capacity;
    }
    struct effect *effect = &ledger->effects[ledger->effect_count++];
    *effect = (struct effect){.kind = kind, .key = *key, .record = record};
    return effect;
}

/* The effect that the list ends with, if it is a write of this key: what is noted now becomes a part of it. */
static struct effect *last_write_of(const struct ledger *ledger, const struct argument *key) {
    if (ledger->effect_count == 0)
        return NULL;
    struct effect *last = &ledger->effects[ledger->effect_count - 1];
    bool is_same = last->kind != EFFECT_EXPIRED && last->key.hash == key->hash &&
                   last->key.size == key->size &&
                   (key->size == 0 || memcmp(last->key.data, key->data, key->size) == 0);
    return is_same ? last : NULL;
}

void ledger_note_further_write(struct ledger *ledger, const struct argument *key, struct record *record) {
    struct effect *effect = last_write_of(ledger, key);
    if (effect == NULL && (effect = add_effect(ledger, EFFECT_WRITE, key, record)) == NULL)
        return;
    ledger->editing = 0;
    effect->kind = EFFECT_WRITE;
    effect->record = record;
    effect->counter = record->counter;
}

void ledger_note_edit(struct ledger *ledger, const struct argument *key, struct record *record,
                      uint64_t base_counter, bool is_exact) {
    struct effect *effect = last_write_of(ledger, key);
    bool may_narrow = is_exact && record_value_size(record) > LEDGER_PATCH_MIN;
    if (effect != NULL) {
        /* Two patches in a row are one, from the version before the first to the one after the second. */
        may_narrow = may_narrow && effect->kind == EFFECT_PATCH && effect->counter == base_counter;
    } else {
        effect = add_effect(ledger, EFFECT_WRITE, key, record);
        if (effect == NULL)
            return;
        effect->base_counter = base_counter;
    }
    effect->kind = EFFECT_WRITE;
    effect->record = record;
    effect->counter = record->counter;
    ledger->editing = may_narrow ? ledger->effect_count : 0;
}

void ledger_note_range(struct ledger *ledger, uint32_t offset, uint32_t size) {
    if (ledger->editing == 0)
        return;
    struct effect *effect = &ledger->effects[ledger->editing - 1];
    effect->kind = EFFECT_PATCH;
    if (effect->size == 0) {
        effect->offset = offset;
        effect->size = size;
    } else if (size != 0) {
        uint32_t end =
            effect->offset + effect->size > offset + size ? effect->offset + effect->size : offset + size;
        effect->offset = effect->offset < offset ? effect->offset : offset;
        effect->size = end - effect->offset;
    }
}

/* The bytes that effects refer to have moved, or were added to. */
static void point_into_kept(struct ledger *ledger) {
    for (uint32_t i = 0; i < ledger->effect_count; i++)
        if (ledger->effects[i].kind == EFFECT_EXPIRED)
            ledger->effects[i].key.data = ledger->kept.data + ledger->effects[i].kept_at;
}

void ledger_note_expired(struct ledger *ledger, const struct argument *key, const struct record *record) {
    struct version version;
    record_version(record, &version);
    size_t at = ledger->kept.size, dots_size = version.count * sizeof *version.dots;
    const uint8_t *before = ledger->kept.data;
    if (!buffer_reserve(&ledger->kept, key->size + sizeof version.count + dots_size)) {
        ledger->kept.failed = false;
        ledger->has_lost = true;
        ledger_forget_records(ledger);
        return;
    }
    if (ledger->kept.data != before)
        point_into_kept(ledger);
    struct effect *effect = add_effect(ledger, EFFECT_EXPIRED, key, NULL);
    if (effect == NULL)
        return;
    (void)buffer_append(&ledger->kept, key->data, key->size);
    (void)buffer_append(&ledger->kept, &version.count, sizeof version.count);
    (void)buffer_append(&ledger->kept, version.dots, dots_size);
    effect->kept_at = at;
    effect->key.data = ledger->kept.data + at;
}

void ledger_effect_version(const struct ledger *ledger, const struct effect *effect,
                           struct version *version) {
    const uint8_t *at = ledger->kept.data + effect->kept_at + effect->key.size;
    memcpy(&version->count, at, sizeof version->count);
    memcpy(version->dots, at + sizeof version->count, version->count * sizeof *version->dots);
}

void ledger_forget_records(struct ledger *ledger) {
    for (uint32_t i = 0; i < ledger->effect_count; i++)
        ledger->effects[i].record = NULL;
}
