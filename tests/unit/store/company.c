/* company.c - the helpers of ledger_test.c, copies_test.c and merge_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "company.h"

#include "base/number.h"
#include "store/content.h"

#include <stdlib.h>

static struct actor_identity identity_of(uint8_t number) {
    struct actor_identity identity = {.incarnation = 1};
    memset(identity.node_id, number, NODE_ID_SIZE);
    return identity;
}

void copy_open(struct copy *copy, uint8_t number) {
    copy->mem = (struct mem){0};
    copy->state = NULL;
    uint8_t seed[HASH_SEED_SIZE] = "of the cluster.";
    copy->keyspace = keyspace_new(&copy->mem, seed, number);
    keyspace_set_time(copy->keyspace, NOW_MS);
    struct actor_identity self = identity_of(number);
    actors_set_self(&copy->keyspace->actors, &self);
    cr_assert(ledger_attach(copy->keyspace));
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        copy->keyspace->ledger->notes[slot] = SLOT_COORDINATED;
    for (uint8_t i = 0; i < number; i++) { /* numbers differ between the copies */
        struct actor_identity stranger = identity_of((uint8_t)(200 + i));
        actors_intern(&copy->keyspace->actors, &stranger);
    }
}

void copy_close(struct copy *copy) {
    free(copy->state);
    keyspace_free(copy->keyspace);
    cr_assert_eq(copy->mem.used_bytes, 0, "%zu bytes are left", copy->mem.used_bytes);
    cr_assert_eq(copy->mem.allocations, 0);
}

struct argument key_of(const char *text) {
    return (struct argument){
        .data = (const uint8_t *)text, .size = (uint32_t)strlen(text), .slot = ARGUMENT_NOT_PLACED};
}

bool copy_put(struct copy *copy, const char *key, const char *value, int64_t expiry_ms) {
    struct argument argument = key_of(key);
    struct value made = {
        .data = (const uint8_t *)value, .size = (uint32_t)strlen(value), .expiry_ms = expiry_ms};
    return keyspace_put(copy->keyspace, 0, &argument, &made);
}

bool copy_put_long(struct copy *copy, const char *key, uint32_t size, uint8_t fill) {
    static uint8_t bytes[1 << 20];
    memset(bytes, fill, size);
    struct argument argument = key_of(key);
    struct value made = {.data = bytes, .size = size, .expiry_ms = EXPIRY_NONE};
    return keyspace_put(copy->keyspace, 0, &argument, &made);
}

bool copy_delete(struct copy *copy, const char *key) {
    struct argument argument = key_of(key);
    struct entry entry;
    if (keyspace_lookup(copy->keyspace, 0, &argument, LOOKUP_PEEK, &entry) == NULL)
        return false;
    keyspace_remove(copy->keyspace, 0, &argument, &entry, REMOVE_DELETED);
    cr_assert_null(entry.record);
    return true;
}

static bool add(struct copy *copy, struct argument *key, struct entry *entry, const struct amount *amount,
                const char *digits, size_t size) {
    enum record_encoding encoding = amount->is_float ? ENCODING_EMBEDDED : ENCODING_NATURAL;
    return keyspace_add(copy->keyspace, 0, key, entry, amount, (const uint8_t *)digits, (uint32_t)size,
                        encoding);
}

bool copy_add(struct copy *copy, const char *key, int64_t by) {
    struct argument argument = key_of(key);
    struct entry entry;
    struct amount amount = {.integer = by};
    int64_t number = 0;
    char digits[NUMBER_INT64_SIZE];
    if (keyspace_lookup(copy->keyspace, 0, &argument, LOOKUP_WRITE, &entry) != NULL)
        cr_assert(number_parse_int64((const char *)record_value(entry.record),
                                     record_value_size(entry.record), &number));
    size_t size = number_format_int64(digits, number + by);
    return add(copy, &argument, &entry, &amount, digits, size);
}

bool copy_add_real(struct copy *copy, const char *key, long double by) {
    struct argument argument = key_of(key);
    struct entry entry;
    struct amount amount = {.is_float = true, .real = by};
    long double number = 0;
    char digits[NUMBER_LONG_DOUBLE_SIZE];
    if (keyspace_lookup(copy->keyspace, 0, &argument, LOOKUP_WRITE, &entry) != NULL)
        cr_assert(number_parse_long_double((const char *)record_value(entry.record),
                                           record_value_size(entry.record), &number));
    size_t size = number_format_long_double(digits, sizeof digits, number + by);
    return add(copy, &argument, &entry, &amount, digits, size);
}

bool copy_expire(struct copy *copy, const char *key, int64_t expiry_ms) {
    struct argument argument = key_of(key);
    struct entry entry;
    cr_assert_not_null(keyspace_lookup(copy->keyspace, 0, &argument, LOOKUP_WRITE, &entry));
    return keyspace_set_expiry(copy->keyspace, 0, &argument, &entry, expiry_ms);
}

struct record *copy_get(struct copy *copy, const char *key) {
    struct argument argument = key_of(key);
    struct entry entry;
    return keyspace_lookup(copy->keyspace, 0, &argument, LOOKUP_PEEK, &entry);
}

struct record *copy_find(struct copy *copy, const char *key) {
    struct argument argument = key_of(key);
    return keyspace_find_record(copy->keyspace, &argument);
}

void copy_holds(struct copy *copy, const char *key, const char *value) {
    struct record *record = copy_get(copy, key);
    if (value == NULL) {
        cr_assert_null(record, "%s is there", key);
        return;
    }
    cr_assert_not_null(record, "%s is not there", key);
    cr_assert_eq(record_value_size(record), strlen(value));
    cr_assert_eq(memcmp(record_value(record), value, strlen(value)), 0);
}

struct census {
    struct copy *copy;
    uint32_t slot;
    uint64_t keys, expiring, digest;
    uint32_t tombstones;
};

static void count(void *context, struct record *record, uint64_t hash) {
    struct census *census = context;
    const struct ledger *ledger = census->copy->keyspace->ledger;
    if (ledger_covers(ledger, census->slot, hash))
        census->digest += ledger_record_digest(census->copy->keyspace, hash, record);
    cr_assert_gt(record->counter, ledger->flush_counters[census->slot]);
    if (record_type(record) == RECORD_TOMBSTONE) {
        struct record_parts parts;
        struct dot others[VERSION_DOTS_MAX];
        record_parts(record, &parts, others);
        cr_assert_eq(parts.value_size, 0);
        cr_assert_eq(parts.expiry_ms, RECORD_NO_EXPIRY);
        census->tombstones++;
        return;
    }
    census->keys++;
    census->expiring += record_expiry_ms(record) != RECORD_NO_EXPIRY;
}

void copy_check(struct copy *copy) {
    struct keyspace *keyspace = copy->keyspace;
    struct database *database = keyspace->databases[0];
    uint64_t keys = 0, expiring = 0, tombstones = 0;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        struct census census = {.copy = copy, .slot = slot};
        uint64_t from = 0, next;
        if (database != NULL && database->slots[slot].count != 0)
            while (dict_scan(&database->slots[slot], &keyspace->secret, from, 1000, count, &census, &next))
                from = next;
        if (!keyspace->is_alone)
            cr_assert_eq(keyspace->ledger->digests[slot], census.digest, "the digest of slot %u", slot);
        bool is_counted =
            keyspace->ledger->flush_counters[slot] != 0 || keyspace->ledger->floors.counters[slot] != 0;
        if (is_counted)
            cr_assert(slot_set_has(&keyspace->ledger->counted, slot), "slot %u", slot);
        if (is_counted || keyspace->ledger->digests[slot] != 0)
            cr_assert(slot_set_has(&keyspace->ledger->touched, slot), "slot %u", slot);
        cr_assert_eq(keyspace->ledger->tombstones[slot], census.tombstones);
        cr_assert_eq(keyspace_slot_size(keyspace, slot), census.keys);
        keys += census.keys;
        tombstones += census.tombstones;
        expiring += census.expiring;
    }
    cr_assert_eq(keyspace_size(keyspace, 0), keys);
    cr_assert_eq(keyspace->ledger->tombstone_count, tombstones);
    if (database != NULL) {
        cr_assert_eq(database->expiring, expiring);
        cr_assert(expiring != 0 || database->expiry_sum_ms == 0);
    }
}

static uint16_t number_at(struct copy *from, struct copy *to, uint16_t actor) {
    uint16_t number = actors_intern(&to->keyspace->actors, &from->keyspace->actors.identities[actor]);
    cr_assert_neq(number, ACTORS_NONE);
    return number;
}

static void translate_version(struct copy *from, struct copy *to, struct version *version) {
    struct version theirs = {.count = 0};
    for (uint32_t i = 0; i < version->count; i++)
        version_raise(&theirs, (struct dot){.counter = version->dots[i].counter,
                                            .actor = number_at(from, to, version->dots[i].actor)});
    *version = theirs;
}

struct renumbering {
    struct copy *from, *to;
};

static bool renumber(void *context, uint16_t *actor) {
    struct renumbering *renumbering = context;
    *actor = number_at(renumbering->from, renumbering->to, *actor);
    return true;
}

static void translate_state(struct copy *from, struct copy *to, struct record_parts *parts) {
    free(to->state);
    to->state = NULL;
    if (parts->state_size == 0)
        return;
    struct renumbering renumbering = {from, to};
    cr_assert(merge_state_is_valid(parts->state, parts->state_size, parts->type));
    to->state = malloc(parts->state_size);
    memcpy(to->state, parts->state, parts->state_size);
    cr_assert(merge_state_renumber(to->state, parts->state_size, renumber, &renumbering));
    cr_assert(merge_state_sort(to->state, parts->state_size));
    parts->state = to->state;
}

void translate(struct copy *from, struct copy *to, struct record_parts *parts,
               struct dot others[VERSION_DOTS_MAX]) {
    struct version version = {.count = 0};
    for (uint32_t i = 0; i < parts->other_count; i++)
        version_raise(&version, parts->others[i]);
    translate_version(from, to, &version);
    memcpy(others, version.dots, version.count * sizeof *others);
    parts->others = others;
    parts->newest.actor = number_at(from, to, parts->newest.actor);
    translate_state(from, to, parts);
}

bool fetch(struct copy *from, struct copy *to, struct argument *key) {
    struct record *record = keyspace_find_record(from->keyspace, key);
    if (record == NULL)
        return false;
    struct record_parts parts;
    struct dot dots[VERSION_DOTS_MAX], others[VERSION_DOTS_MAX];
    record_parts(record, &parts, dots);
    translate(from, to, &parts, others);
    bool has_changed;
    cr_assert(keyspace_merge(to->keyspace, 0, key, &parts, &has_changed));
    return has_changed;
}

bool bring(struct copy *from, struct copy *to, const char *name) {
    struct argument key = key_of(name);
    return fetch(from, to, &key);
}

static void tell_patch(struct copy *from, struct copy *to, struct effect *effect, struct record *record) {
    struct keyspace_patch_parts patch = {.value_size = record_value_size(record),
                                         .offset = effect->offset,
                                         .size = effect->size,
                                         .bytes = record_value(record) + effect->offset,
                                         .expiry_ms = record_expiry_ms(record),
                                         .encoding = (uint8_t)record_encoding(record)};
    record_version(record, &patch.version);
    patch.base = patch.version;
    for (uint32_t i = 0; i < patch.base.count; i++)
        if (patch.base.dots[i].actor == from->keyspace->actor) {
            patch.base.dots[i].counter = effect->base_counter;
            if (effect->base_counter == 0) {
                patch.base.count--;
                memmove(&patch.base.dots[i], &patch.base.dots[i + 1],
                        (patch.base.count - i) * sizeof(struct dot));
            }
        }
    translate_version(from, to, &patch.base);
    translate_version(from, to, &patch.version);
    if (keyspace_apply_patch(to->keyspace, &effect->key, &patch) == PATCH_UNFIT)
        fetch(from, to, &effect->key);
}

void tell(struct copy *from, struct copy *const *others, unsigned count_of_others) {
    struct ledger *ledger = from->keyspace->ledger;
    cr_assert(!ledger->has_lost);
    for (uint32_t i = 0; i < ledger->effect_count; i++) {
        struct effect *effect = &ledger->effects[i];
        struct record *record = keyspace_find_record(from->keyspace, &effect->key);
        if (ledger->effect_count == 1 && effect->record != NULL)
            cr_assert_eq(effect->record, record);
        for (unsigned to = 0; to < count_of_others; to++) {
            struct version version;
            if (effect->kind == EFFECT_EXPIRED) {
                ledger_effect_version(ledger, effect, &version);
                translate_version(from, others[to], &version);
                keyspace_apply_expired(others[to]->keyspace, &effect->key, &version);
            } else if (record != NULL && effect->kind == EFFECT_PATCH && effect->counter == record->counter &&
                       record_state_size(record) == 0) {
                tell_patch(from, others[to], effect, record);
            } else {
                fetch(from, others[to], &effect->key);
            }
        }
    }
    ledger_clear_effects(ledger);
}

struct comparison {
    struct copy *one, *other;
};

static void compare(void *context, struct record *record, uint64_t hash) {
    (void)hash;
    struct comparison *comparison = context;
    struct argument key = {
        .data = record_key(record), .size = record_key_size(record), .slot = ARGUMENT_NOT_PLACED};
    struct record *other = keyspace_find_record(comparison->other->keyspace, &key);
    cr_assert_not_null(other, "%.*s is missing", (int)key.size, key.data);
    struct record_parts ours, theirs;
    struct dot our_dots[VERSION_DOTS_MAX], their_dots[VERSION_DOTS_MAX];
    record_parts(record, &ours, our_dots);
    record_parts(other, &theirs, their_dots);
    cr_assert_eq(ours.type, theirs.type);
    cr_assert_eq(ours.encoding, theirs.encoding);
    cr_assert_eq(ours.expiry_ms, theirs.expiry_ms);
    cr_assert_eq(ours.value_size, theirs.value_size);
    cr_assert(ours.value_size == 0 || memcmp(ours.value, theirs.value, ours.value_size) == 0,
              "%.*s has another value", (int)key.size, key.data);
    /* What else they have seen may differ. */
    struct dot our_dot = content_value_dot(&comparison->one->keyspace->actors, &ours),
               their_dot = content_value_dot(&comparison->other->keyspace->actors, &theirs);
    cr_assert_eq(our_dot.counter, their_dot.counter);
    cr_assert_eq(our_dot.actor, number_at(comparison->other, comparison->one, their_dot.actor));
    cr_assert_eq(ours.state_size, theirs.state_size, "%.*s", (int)key.size, key.data);
    translate_state(comparison->other, comparison->one, &theirs);
    cr_assert(ours.state_size == 0 || memcmp(ours.state, theirs.state, ours.state_size) == 0,
              "%.*s has another merge state", (int)key.size, key.data);
}

void copies_agree(struct copy *one, struct copy *other) {
    struct comparison comparison = {one, other};
    cr_assert_eq(keyspace_size(one->keyspace, 0), keyspace_size(other->keyspace, 0));
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        struct database *database = one->keyspace->databases[0];
        uint64_t from = 0, next;
        if (database != NULL)
            while (dict_scan(&database->slots[slot], &one->keyspace->secret, from, 1000, compare, &comparison,
                             &next))
                from = next;
        cr_assert_eq(ledger_slot_digest(one->keyspace->ledger, slot),
                     ledger_slot_digest(other->keyspace->ledger, slot), "slot %u", slot);
    }
}

void copies_meet(struct copy *const *copies, unsigned count, char names[][16], unsigned name_count) {
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < name_count; i++)
            for (unsigned from = 0; from < count; from++)
                for (unsigned to = 0; to < count; to++)
                    if (from != to)
                        bring(copies[from], copies[to], names[i]);
    for (unsigned i = 0; i < count; i++) {
        if (i != 0)
            copies_agree(copies[0], copies[i]);
        ledger_clear_effects(copies[i]->keyspace->ledger);
    }
}
