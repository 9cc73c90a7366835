/* entries_stage.h - two keyspaces and the way between them, for the tests of cluster/entries.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef TESTS_UNIT_CLUSTER_ENTRIES_STAGE_H
#define TESTS_UNIT_CLUSTER_ENTRIES_STAGE_H

#include "cluster/entries.h"

#include "base/encode.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define NOW_MS     INT64_C(1700000000000)
#define LONG_VALUE 5000u

/* ---- A node's keyspace, and the way of one direction ---- */

struct place {
    struct mem mem;
    struct keyspace *keyspace;
};

struct way {
    struct place *from, *to;
    struct mem mem;
    struct entries_writer writer, back; /* back: for what `to` answers */
    struct entries_reader reader;
    struct buffer payload;
    struct entries_outcome outcome;
};

static inline struct actor_identity identity_of(unsigned number) {
    return (struct actor_identity){.node_id = {(uint8_t)(number * 77 + 1), (uint8_t)number},
                                   .incarnation = 1 + number % 3};
}

static inline void place_init(struct place *place, unsigned number) {
    static const uint8_t seed[HASH_SEED_SIZE] = {7};
    struct actor_identity identity = identity_of(number);
    *place = (struct place){0};
    place->keyspace = keyspace_new(&place->mem, seed, number + 1);
    cr_assert_not_null(place->keyspace);
    keyspace_set_time(place->keyspace, NOW_MS);
    actors_set_self(&place->keyspace->actors, &identity);
    cr_assert(ledger_attach(place->keyspace));
    keyspace_set_alone(place->keyspace, false);
    while (ledger_walk_step(place->keyspace, 1000) != 0)
        continue;
}

static inline void place_release(struct place *place) {
    keyspace_free(place->keyspace);
    cr_assert_eq(place->mem.used_bytes, 0);
}

static inline void way_init(struct way *way, struct place *from, struct place *to) {
    *way = (struct way){.from = from, .to = to};
    entries_writer_init(&way->writer, &way->mem);
    entries_writer_init(&way->back, &way->mem);
    entries_reader_init(&way->reader, &way->mem);
    buffer_init(&way->payload, &way->mem);
    buffer_init(&way->outcome.fetches, &way->mem);
    buffer_init(&way->outcome.answers, &way->mem);
}

static inline void way_release(struct way *way) {
    entries_writer_release(&way->writer);
    entries_writer_release(&way->back);
    entries_reader_release(&way->reader);
    buffer_release(&way->payload);
    buffer_release(&way->outcome.fetches);
    buffer_release(&way->outcome.answers);
    cr_assert_eq(way->mem.used_bytes, 0);
}

static inline struct argument key_of(const char *text) {
    return (struct argument){
        .data = (const uint8_t *)text, .size = (uint32_t)strlen(text), .slot = ARGUMENT_NOT_PLACED};
}

static inline void put_bytes(struct place *place, const char *name, const void *data, size_t size,
                             int64_t expiry_ms) {
    struct argument key = key_of(name);
    struct value value = {.data = data, .size = (uint32_t)size, .expiry_ms = expiry_ms};
    cr_assert(keyspace_put(place->keyspace, 0, &key, &value));
}

static inline void put(struct place *place, const char *name, const char *text) {
    put_bytes(place, name, text, strlen(text), EXPIRY_NONE);
}

static inline void delete (struct place *place, const char *name) {
    struct argument key = key_of(name);
    struct entry entry;
    cr_assert_not_null(keyspace_lookup(place->keyspace, 0, &key, LOOKUP_PEEK, &entry));
    keyspace_remove(place->keyspace, 0, &key, &entry, REMOVE_DELETED);
}

static inline struct record *find(struct place *place, const char *name) {
    struct argument key = key_of(name);
    return keyspace_find_record(place->keyspace, &key);
}

static inline void expect_value(struct place *place, const char *name, const char *text) {
    struct record *record = find(place, name);
    cr_assert_not_null(record, "%s", name);
    cr_assert_eq(record_type(record), RECORD_STRING);
    cr_assert_eq(record_value_size(record), strlen(text));
    cr_assert_eq(memcmp(record_value(record), text, strlen(text)), 0, "%s", name);
}

static inline uint32_t slot_of(const char *name) {
    return crc16_key_slot((const uint8_t *)name, (uint32_t)strlen(name));
}

/* Whether it says that something was lost. */
static inline bool has_lost(const struct place *place) {
    return place->keyspace->ledger->has_lost;
}

/* Adds the whole record of a key. */
static inline void add(struct way *way, const char *name) {
    cr_assert(
        entries_add_record(&way->writer, &way->from->keyspace->actors, &way->payload, find(way->from, name)));
}

/* Adds what the ledger has noted, and empties it. */
static inline void add_effects(struct way *way) {
    struct keyspace *keyspace = way->from->keyspace;
    struct ledger *ledger = keyspace->ledger;
    for (uint32_t i = 0; i < ledger->effect_count; i++) {
        struct effect *effect = &ledger->effects[i];
        cr_assert(entries_add_effect(&way->writer, keyspace, &way->payload, effect,
                                     keyspace_find_record(keyspace, &effect->key)));
    }
    ledger_clear_effects(ledger);
}

static inline enum entries_status apply_bytes(struct way *way, const uint8_t *data, size_t size) {
    /* A copy that ends where its memory ends. */
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    cr_assert_not_null(copy);
    if (size != 0)
        memcpy(copy, data, size);
    struct entries_options options = {.keyspace = way->to->keyspace, .answers_writer = &way->back};
    enum entries_status status = entries_apply(&way->reader, &options, copy, size, &way->outcome);
    free(copy);
    return status;
}

static inline enum entries_status apply(struct way *way) {
    return apply_bytes(way, way->payload.data, way->payload.size);
}

static inline void deliver(struct way *way) {
    cr_assert_eq(apply(way), ENTRIES_APPLIED);
    buffer_clear(&way->payload);
}

static inline void expect_equal(const struct place *one, const struct place *other) {
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        cr_assert_eq(ledger_slot_digest(one->keyspace->ledger, slot),
                     ledger_slot_digest(other->keyspace->ledger, slot), "slot %u", slot);
}

static inline void expect_same_value(struct place *one, struct place *other, const char *name) {
    const struct record *ours = find(one, name), *theirs = find(other, name);
    cr_assert_eq(ours == NULL, theirs == NULL, "%s", name);
    if (ours == NULL)
        return;
    cr_assert_eq(record_type(ours), record_type(theirs));
    cr_assert_eq(record_expiry_ms(ours), record_expiry_ms(theirs));
    cr_assert_eq(record_value_size(ours), record_value_size(theirs));
    cr_assert_eq(memcmp(record_value_const(ours), record_value_const(theirs), record_value_size(ours)), 0,
                 "%s", name);
}

/* Two keyspaces and the way from one to the other. */
struct pair {
    struct place a, b;
    struct way way;
};

static inline struct pair *pair_new(void) {
    struct pair *pair = calloc(1, sizeof *pair);
    cr_assert_not_null(pair);
    place_init(&pair->a, 0);
    place_init(&pair->b, 1);
    way_init(&pair->way, &pair->a, &pair->b);
    return pair;
}

static inline void pair_free(struct pair *pair) {
    way_release(&pair->way);
    place_release(&pair->a);
    place_release(&pair->b);
    free(pair);
}

/* ---- Chosen versions ---- */

/* Merges a version of chosen dots, by the numbers of the place, into it. */
static inline void merge(struct place *place, const char *name, const char *value, const struct dot *dots,
                         unsigned count) {
    struct version version = {.count = 0};
    struct dot others[VERSION_DOTS_MAX];
    for (unsigned i = 0; i < count; i++)
        cr_assert(version_raise(&version, dots[i]));
    struct record_parts parts = {.value = (const uint8_t *)value,
                                 .value_size = value == NULL ? 0 : (uint32_t)strlen(value),
                                 .type = value == NULL ? RECORD_TOMBSTONE : RECORD_STRING,
                                 .expiry_ms = RECORD_NO_EXPIRY,
                                 .newest = version_highest(&version),
                                 .others = others};
    for (uint32_t i = 0; i < version.count; i++)
        if (version.dots[i].actor != parts.newest.actor)
            others[parts.other_count++] = version.dots[i];
    struct argument key = key_of(name);
    bool has_changed;
    cr_assert(keyspace_merge(place->keyspace, 0, &key, &parts, &has_changed));
}

static inline uint16_t intern(struct place *place, unsigned number) {
    struct actor_identity identity = identity_of(number);
    uint16_t actor = actors_intern(&place->keyspace->actors, &identity);
    cr_assert_neq(actor, ACTORS_NONE);
    return actor;
}

/* ---- Long values ---- */

static inline void put_long(struct place *place, const char *name) {
    uint8_t value[LONG_VALUE];
    for (unsigned i = 0; i < LONG_VALUE; i++)
        value[i] = (uint8_t)i;
    put_bytes(place, name, value, sizeof value, EXPIRY_NONE);
}

static inline void write_range(struct place *place, const char *name, uint32_t offset, const char *text) {
    struct argument key = key_of(name);
    struct entry entry;
    uint32_t size = (uint32_t)strlen(text);
    struct record *record = keyspace_lookup(place->keyspace, 0, &key, LOOKUP_WRITE, &entry);
    cr_assert_not_null(record);
    uint32_t new_size = offset + size > record_value_size(record) ? offset + size : record_value_size(record);
    uint8_t *value = keyspace_edit(place->keyspace, 0, &key, &entry, new_size, ENCODING_RAW);
    cr_assert_not_null(value);
    memcpy(value + offset, text, size);
    keyspace_note_range(place->keyspace, offset, size);
}

/* Both have the same long value. */
static inline struct pair *long_pair(void) {
    struct pair *pair = pair_new();
    put_long(&pair->a, "key");
    add_effects(&pair->way);
    deliver(&pair->way);
    expect_equal(&pair->a, &pair->b);
    return pair;
}

/* ---- Bytes that no writer of ours would make ---- */

static inline void append_actor(struct buffer *payload, uint16_t number,
                                const struct actor_identity *identity) {
    uint8_t entry[40], *out = entry;
    *out++ = 1;
    out = encode_fixed(out, number, 2);
    memcpy(out, identity->node_id, NODE_ID_SIZE);
    out = encode_varint(out + NODE_ID_SIZE, identity->incarnation);
    cr_assert(buffer_append(payload, entry, (size_t)(out - entry)));
}

static inline void append_version(struct buffer *payload, const struct dot *dots, unsigned count) {
    uint8_t bytes[400], *out = encode_fixed(encode_fixed(bytes, dots[0].actor, 2), dots[0].counter, 8);
    out = encode_varint(out, count - 1);
    for (unsigned i = 1; i < count; i++)
        out = encode_fixed(encode_fixed(out, dots[i].actor, 2), dots[i].counter, 8);
    cr_assert(buffer_append(payload, bytes, (size_t)(out - bytes)));
}

static inline void append_record(struct buffer *payload, const struct dot *dots, unsigned count,
                                 const char *name) {
    cr_assert(buffer_append(payload, "\x02\x01\x30", 3));
    append_version(payload, dots, count);
    cr_assert(buffer_append_byte(payload, (uint8_t)strlen(name)));
    cr_assert(buffer_append_text(payload, name));
    cr_assert(buffer_append(payload, "\x05value", 6));
}

static inline void append_flush(struct buffer *payload, unsigned first, unsigned last, uint64_t counter) {
    uint8_t entry[13] = {5};
    encode_fixed(encode_fixed(encode_fixed(entry + 1, first, 2), last, 2), counter, 8);
    cr_assert(buffer_append(payload, entry, sizeof entry));
}

#endif
