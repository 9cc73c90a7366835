/* entries_write.c - the writing half of entries.h: entry after entry into a payload, the actors that an entry names before it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/entries_inside.h"

#include "base/encode.h"
#include "data/merge_state.h"
#include "proto/record_codec.h"

#define ACTOR_ENTRY_SIZE_MAX (1 + 2 + NODE_ID_SIZE + ENCODE_VARINT_MAX)
#define FLUSH_ENTRY_SIZE     (1 + 2 + 2 + 8)
#define FLUSHED_SIZE         (SLOT_COUNT / 8)

void entries_writer_init(struct entries_writer *writer, struct mem *mem) {
    *writer = (struct entries_writer){.mem = mem};
}

void entries_writer_clear(struct entries_writer *writer) {
    if (writer->told_size != 0)
        memset(writer->told, 0, writer->told_size * sizeof *writer->told);
    writer->flushes = 0;
}

void entries_writer_release(struct entries_writer *writer) {
    mem_free(writer->mem, writer->told, writer->told_size * sizeof *writer->told);
    mem_free(writer->mem, writer->flushed, writer->flushed == NULL ? 0 : FLUSHED_SIZE);
    entries_writer_init(writer, writer->mem);
}

static bool make_room_for_actor(struct entries_writer *writer, uint16_t actor) {
    uint32_t size = writer->told_size == 0 ? 1 : writer->told_size;
    while (size <= actor / 64u)
        size *= 2;
    if (size == writer->told_size)
        return true;
    uint64_t *told =
        mem_resize(writer->mem, writer->told, writer->told_size * sizeof *told, size * sizeof *told);
    if (told == NULL)
        return false;
    memset(told + writer->told_size, 0, (size - writer->told_size) * sizeof *told);
    writer->told = told;
    writer->told_size = size;
    return true;
}

/* Writes an actor that was not told yet, where there is room. */
static uint8_t *tell_actor(struct entries_writer *writer, const struct actors *actors, uint8_t *out,
                           uint16_t actor) {
    if (entries_writer_has_told(writer, actor))
        return out;
    const struct actor_identity *identity = &actors->identities[actor];
    *out++ = ENTRY_ACTOR;
    out = encode_fixed(out, actor, 2);
    memcpy(out, identity->node_id, NODE_ID_SIZE);
    out = encode_varint(out + NODE_ID_SIZE, identity->incarnation);
    writer->told[actor / 64u] |= UINT64_C(1) << actor % 64u;
    return out;
}

/* What of a version and a merge state is to be told. */
struct telling {
    struct entries_writer *writer;
    const struct actors *actors;
    uint8_t *out;
    uint32_t unknown; /* dots, at least as many as actors */
    uint16_t highest;
};

static bool count_unknown(void *context, struct dot dot) {
    struct telling *telling = context;
    telling->unknown += !entries_writer_has_told(telling->writer, dot.actor);
    if (dot.actor > telling->highest)
        telling->highest = dot.actor;
    return true;
}

static bool tell_actor_of(void *context, struct dot dot) {
    struct telling *telling = context;
    telling->out = tell_actor(telling->writer, telling->actors, telling->out, dot.actor);
    return true;
}

/* Shows all dots of the parts. */
static void each_dot(const struct record_parts *parts, merge_state_visit_dot *visit,
                     struct telling *telling) {
    (void)visit(telling, parts->newest);
    for (uint32_t i = 0; i < parts->other_count; i++)
        (void)visit(telling, parts->others[i]);
    if (parts->state_size != 0)
        (void)merge_state_each_dot(parts->state, parts->state_size, visit, telling);
}

/* The rare case: room for an entry and the actors before it, and these are told. */
static bool tell_actors(struct entries_writer *writer, const struct actors *actors, struct buffer *payload,
                        const struct record_parts *parts, size_t size) {
    struct telling telling = {.writer = writer, .actors = actors};
    each_dot(parts, count_unknown, &telling);
    CHECK(telling.highest < actors->count);
    if (!make_room_for_actor(writer, telling.highest) ||
        !buffer_reserve(payload, size + (size_t)telling.unknown * ACTOR_ENTRY_SIZE_MAX))
        return false;
    if (telling.unknown == 0)
        return true;
    telling.out = payload->data + payload->size;
    each_dot(parts, tell_actor_of, &telling);
    payload->size = (size_t)(telling.out - payload->data);
    return true;
}

/* Tells the actors of a version (and of a merge state) and makes room for the entry behind them. Nothing fails after that. Returns where the entry
 * is to be written, NULL: no memory, and nothing was told. */
static inline uint8_t *begin_entry(struct entries_writer *writer, const struct actors *actors,
                                   struct buffer *payload, const struct record_parts *parts, size_t size) {
    bool is_simple = parts->other_count == 0 && parts->state_size == 0;
    bool done = LIKELY(is_simple && entries_writer_has_told(writer, parts->newest.actor))
                    ? buffer_reserve(payload, size)
                    : tell_actors(writer, actors, payload, parts, size);
    return done ? payload->data + payload->size : NULL;
}

static inline size_t sized_bytes_size(uint32_t size) {
    return encode_varint_size(size) + size;
}

static uint8_t *write_sized_bytes(uint8_t *out, const uint8_t *bytes, uint32_t size) {
    out = encode_varint(out, size);
    if (size != 0)
        memcpy(out, bytes, size);
    return out + size;
}

static bool add_parts(struct entries_writer *writer, const struct actors *actors, struct buffer *payload,
                      const struct record_parts *parts) {
    size_t size = 1 + record_codec_size(parts, RECORD_CODEC_ALL);
    uint8_t *out = begin_entry(writer, actors, payload, parts, size);
    if (out == NULL)
        return false;
    *out = ENTRY_RECORD;
    record_codec_write(out + 1, parts, RECORD_CODEC_ALL);
    payload->size += size;
    return true;
}

bool entries_add_record(struct entries_writer *writer, const struct actors *actors, struct buffer *payload,
                        const struct record *record) {
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    return add_parts(writer, actors, payload, &parts);
}

bool entries_add_plain(struct buffer *payload, const struct record *record) {
    if (!buffer_reserve(payload, 1 + RECORD_CODEC_PLAIN_HEAD + (size_t)record_key_size(record) +
                                     record_value_size(record)))
        return false;
    uint8_t *out = payload->data + payload->size;
    *out = ENTRY_RECORD;
    payload->size = (size_t)(record_codec_write_plain(out + 1, record) - payload->data);
    return true;
}

/* Without the bytes. */
static size_t patch_head_size(const struct record_parts *parts, const struct effect *effect) {
    return 2 + (parts->expiry_ms != RECORD_NO_EXPIRY ? 8 : 0) + record_codec_version_size(parts) + 8 +
           sized_bytes_size(parts->key_size) + encode_varint_size(parts->value_size) +
           encode_varint_size(effect->offset) + encode_varint_size(effect->size);
}

/* Whether the effect says all that there is to say about how the record came to be what it is. */
static bool is_patch_of(const struct keyspace *keyspace, const struct effect *effect,
                        const struct record_parts *parts) {
    if (parts->type != RECORD_STRING || parts->state_size != 0 || parts->newest.actor != keyspace->actor ||
        parts->newest.counter != effect->counter || effect->base_counter >= effect->counter)
        return false;
    bool has_base = effect->base_counter != 0 || parts->other_count != 0;
    return has_base && (uint64_t)effect->offset + effect->size <= parts->value_size;
}

static bool add_patch(struct entries_writer *writer, const struct keyspace *keyspace, struct buffer *payload,
                      const struct effect *effect, const struct record *record) {
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    if (!is_patch_of(keyspace, effect, &parts))
        return add_parts(writer, &keyspace->actors, payload, &parts);
    size_t size = patch_head_size(&parts, effect) + effect->size;
    if (size > record_codec_size(&parts, RECORD_CODEC_ALL))
        return add_parts(writer, &keyspace->actors, payload, &parts);
    uint8_t *out = begin_entry(writer, &keyspace->actors, payload, &parts, size);
    if (out == NULL)
        return false;
    bool has_expiry = parts.expiry_ms != RECORD_NO_EXPIRY;
    *out++ = ENTRY_PATCH;
    *out++ = (uint8_t)(parts.encoding | (has_expiry ? PATCH_EXPIRY : 0));
    if (has_expiry)
        out = encode_fixed(out, (uint64_t)parts.expiry_ms, 8);
    out = encode_fixed(record_codec_write_version(out, &parts), effect->base_counter, 8);
    out = write_sized_bytes(out, parts.key, parts.key_size);
    out = encode_varint(encode_varint(out, parts.value_size), effect->offset);
    write_sized_bytes(out, parts.value + effect->offset, effect->size);
    payload->size += size;
    return true;
}

bool entries_add_gone(struct entries_writer *writer, const struct actors *actors, struct buffer *payload,
                      const struct argument *key, const struct version *version) {
    struct record_parts parts = {.expiry_ms = RECORD_NO_EXPIRY};
    struct dot others[VERSION_DOTS_MAX];
    record_parts_set_version(&parts, version, others);
    size_t size = 1 + record_codec_version_size(&parts) + sized_bytes_size(key->size);
    uint8_t *out = begin_entry(writer, actors, payload, &parts, size);
    if (out == NULL)
        return false;
    *out++ = ENTRY_EXPIRED;
    out = record_codec_write_version(out, &parts);
    write_sized_bytes(out, key->data, key->size);
    payload->size += size;
    return true;
}

static bool add_expired(struct entries_writer *writer, const struct keyspace *keyspace,
                        struct buffer *payload, const struct effect *effect) {
    struct version version;
    ledger_effect_version(keyspace->ledger, effect, &version);
    return entries_add_gone(writer, &keyspace->actors, payload, &effect->key, &version);
}

bool entries_add_effect(struct entries_writer *writer, struct keyspace *keyspace, struct buffer *payload,
                        const struct effect *effect, const struct record *record) {
    if (UNLIKELY(effect->kind == EFFECT_EXPIRED))
        return add_expired(writer, keyspace, payload, effect);
    if (record == NULL)
        return true;
    if (effect->kind == EFFECT_PATCH)
        return add_patch(writer, keyspace, payload, effect, record);
    return entries_add_record(writer, &keyspace->actors, payload, record);
}

static bool add_slots(struct buffer *payload, enum entry_kind kind, uint32_t first_slot, uint32_t last_slot,
                      uint64_t counter) {
    CHECK(first_slot <= last_slot && last_slot < SLOT_COUNT);
    if (!buffer_reserve(payload, FLUSH_ENTRY_SIZE))
        return false;
    uint8_t *out = payload->data + payload->size;
    *out++ = (uint8_t)kind;
    encode_fixed(encode_fixed(encode_fixed(out, first_slot, 2), last_slot, 2), counter, 8);
    payload->size += FLUSH_ENTRY_SIZE;
    return true;
}

bool entries_add_flush(struct buffer *payload, uint32_t first_slot, uint32_t last_slot, uint64_t counter) {
    return add_slots(payload, ENTRY_FLUSH, first_slot, last_slot, counter);
}

bool entries_tell_known_flush(struct entries_writer *writer, const struct ledger *ledger,
                              struct buffer *payload, uint32_t slot) {
    uint64_t counter = ledger->flush_counters[slot], bit = UINT64_C(1) << slot % 64;
    if (LIKELY(counter == 0))
        return true;
    if (writer->flushed == NULL && (writer->flushed = mem_alloc_zeroed(writer->mem, FLUSHED_SIZE)) == NULL)
        return false;
    if (writer->flushes != ledger->flushes)
        memset(writer->flushed, 0, FLUSHED_SIZE);
    writer->flushes = ledger->flushes;
    if (writer->flushed[slot / 64] & bit)
        return true;
    if (!entries_add_flush(payload, slot, slot, counter))
        return false;
    writer->flushed[slot / 64] |= bit;
    return true;
}

bool entries_add_floor(struct buffer *payload, uint32_t first_slot, uint32_t last_slot, uint64_t counter) {
    return add_slots(payload, ENTRY_FLOOR, first_slot, last_slot, counter);
}

bool entries_add_fetch(struct buffer *payload, const uint8_t *key, uint32_t key_size) {
    size_t size = 1 + sized_bytes_size(key_size);
    if (!buffer_reserve(payload, size))
        return false;
    uint8_t *out = payload->data + payload->size;
    *out++ = ENTRY_FETCH;
    write_sized_bytes(out, key, key_size);
    payload->size += size;
    return true;
}

bool entries_add_mark(struct buffer *payload, uint64_t number) {
    if (!buffer_reserve(payload, 1 + ENCODE_VARINT_MAX))
        return false;
    uint8_t *out = payload->data + payload->size;
    *out++ = ENTRY_MARK;
    payload->size = (size_t)(encode_varint(out, number) - payload->data);
    return true;
}

bool entries_add_for(struct buffer *payload, const uint8_t node_id[NODE_ID_SIZE]) {
    if (!buffer_reserve(payload, 1 + NODE_ID_SIZE))
        return false;
    payload->data[payload->size] = ENTRY_FOR;
    memcpy(payload->data + payload->size + 1, node_id, NODE_ID_SIZE);
    payload->size += 1 + NODE_ID_SIZE;
    return true;
}
