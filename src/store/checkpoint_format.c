/* checkpoint_format.c - writes and reads the frames and entries of a checkpoint file.
 *
 * May touch: base, data, proto. Must never know: files, LZ4, the keyspace.
 * Tests: tests/unit/store/checkpoint_format_test.c, tests/fuzz/checkpoint_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/checkpoint_format.h"

#include "base/checksum.h"
#include "base/encode.h"
#include "base/limits.h"
#include "data/merge_state.h"

#define FRAME_MAGIC      0x184D2A5Bu
#define NAME             "redis-kv"
#define NAME_SIZE        8u
#define CHECKSUM_SIZE    8u
#define FRAME_MIN        (CHECKPOINT_FRAME_HEAD_SIZE + NAME_SIZE + 1 + CHECKSUM_SIZE)
#define ACTOR_SIZE       (NODE_ID_SIZE + 8u)
#define SECTION_OPTIONAL 0x8000u

#define KIND_HEADER 'H'
#define KIND_BLOCK  'B'
#define KIND_FOOTER 'F'

#define ENTRY_RECORD       0x01 /* the record's own format byte, */
#define ENTRY_RECORD_STATE 0x02 /* and with a merge state */
#define ENTRY_DATABASE     0x80
#define ENTRY_LONG         0x81
#define ENTRY_PART         0x82
#define ENTRY_LONG_STATE   0x83
#define ENTRY_SLOTS        0x84

/* ---- Writing ---- */

static uint8_t *write_actor(uint8_t *out, const struct actor_identity *actor) {
    memcpy(out, actor->node_id, NODE_ID_SIZE);
    return encode_fixed(out + NODE_ID_SIZE, actor->incarnation, 8);
}

static uint8_t *frame_begin(uint8_t *out, char kind, size_t size) {
    out = encode_fixed(out, FRAME_MAGIC, 4);
    out = encode_fixed(out, size - CHECKPOINT_FRAME_HEAD_SIZE, 4);
    memcpy(out, NAME, NAME_SIZE);
    out += NAME_SIZE;
    *out++ = (uint8_t)kind;
    return out;
}

static uint8_t *frame_end(uint8_t *frame, uint8_t *out, size_t size) {
    CHECK((size_t)(out - frame) + CHECKSUM_SIZE == size);
    const uint8_t *body = frame + CHECKPOINT_FRAME_HEAD_SIZE;
    return encode_fixed(out, checksum_bytes(body, (size_t)(out - body)), CHECKSUM_SIZE);
}

uint8_t *checkpoint_header_write(uint8_t *out, const struct checkpoint_header *header,
                                 const struct actor_identity *actors) {
    CHECK(header->actor_count <= CHECKPOINT_ACTORS_MAX);
    uint8_t *frame = out;
    size_t size = CHECKPOINT_HEADER_SIZE(header->actor_count);
    out = frame_begin(frame, KIND_HEADER, size);
    out = encode_fixed(out, CHECKPOINT_VERSION, 2);
    out = encode_fixed(out, header->serial, 8);
    out = write_actor(out, &header->writer);
    out = encode_fixed(out, header->counter, 8);
    out = encode_fixed(out, (uint64_t)header->time_ms, 8);
    out = encode_fixed(out, header->records_expected, 8);
    out = encode_fixed(out, header->actor_count, 2);
    for (uint32_t i = 0; i < header->actor_count; i++)
        out = write_actor(out, &actors[i]);
    out = encode_fixed(out, 0, 2); /* sections */
    return frame_end(frame, out, size);
}

uint8_t *checkpoint_block_head_write(uint8_t *out, const struct checkpoint_block_head *head) {
    uint8_t *frame = out;
    out = frame_begin(frame, KIND_BLOCK, CHECKPOINT_BLOCK_HEAD_SIZE);
    out = encode_fixed(out, head->serial, 8);
    out = encode_fixed(out, head->index, 8);
    out = encode_fixed(out, head->size, 4);
    out = encode_fixed(out, head->stored_size, 4);
    out = encode_fixed(out, head->records, 4);
    out = encode_fixed(out, head->checksum, 8);
    return frame_end(frame, out, CHECKPOINT_BLOCK_HEAD_SIZE);
}

uint8_t *checkpoint_footer_write(uint8_t *out, const struct checkpoint_footer *footer) {
    uint8_t *frame = out;
    out = frame_begin(frame, KIND_FOOTER, CHECKPOINT_FOOTER_SIZE);
    out = encode_fixed(out, footer->serial, 8);
    out = encode_fixed(out, footer->blocks, 8);
    out = encode_fixed(out, footer->records, 8);
    out = encode_fixed(out, footer->bytes, 8);
    out = encode_fixed(out, footer->chain, 8);
    return frame_end(frame, out, CHECKPOINT_FOOTER_SIZE);
}

uint64_t checkpoint_chain(uint64_t chain, uint64_t checksum) {
    uint8_t bytes[16];
    encode_fixed(encode_fixed(bytes, chain, 8), checksum, 8);
    return checksum_bytes(bytes, sizeof bytes);
}

uint8_t *checkpoint_database_write(uint8_t *out, uint32_t database) {
    CHECK(database < DATABASE_COUNT);
    *out++ = ENTRY_DATABASE;
    *out++ = (uint8_t)database;
    return out;
}

uint8_t *checkpoint_slots_write(uint8_t *out, uint32_t first_slot, uint32_t last_slot, uint64_t flush_counter,
                                uint64_t floor) {
    CHECK(first_slot <= last_slot && last_slot < SLOT_COUNT);
    *out++ = ENTRY_SLOTS;
    out = encode_fixed(encode_fixed(out, first_slot, 2), last_slot, 2);
    return encode_fixed(encode_fixed(out, flush_counter, 8), floor, 8);
}

uint8_t *checkpoint_part_write(uint8_t *out, const uint8_t *bytes, uint32_t size) {
    CHECK(size > 0 && size <= CHECKPOINT_BLOCK_SIZE - CHECKPOINT_PART_HEAD_MAX);
    *out++ = ENTRY_PART;
    out = encode_varint(out, size);
    memcpy(out, bytes, size);
    return out + size;
}

/* The record as the entry of a long one has it. */
static struct record_parts long_first(const struct record_parts *parts) {
    struct record_parts first = *parts;
    if (first.key_size > CHECKPOINT_LONG_KEY_MAX)
        first.key_size = CHECKPOINT_LONG_KEY_MAX;
    first.value = first.state = NULL;
    first.value_size = first.state_size = 0;
    return first;
}

size_t checkpoint_long_size(const struct record_parts *parts, uint32_t value_size) {
    struct record_parts first = long_first(parts);
    return 1 + (parts->state_size != 0 ? encode_varint_size(parts->state_size) : 0) +
           encode_varint_size(parts->key_size - first.key_size) + encode_varint_size(value_size) +
           record_codec_size(&first, RECORD_CODEC_ALL);
}

uint8_t *checkpoint_long_write(uint8_t *out, const struct record_parts *parts, uint32_t value_size) {
    struct record_parts first = long_first(parts);
    uint32_t key_left = parts->key_size - first.key_size;
    CHECK(key_left > 0 || parts->state_size > 0 || value_size > 0);
    *out++ = parts->state_size != 0 ? ENTRY_LONG_STATE : ENTRY_LONG;
    if (parts->state_size != 0)
        out = encode_varint(out, parts->state_size);
    out = encode_varint(encode_varint(out, key_left), value_size);
    return record_codec_write(out, &first, RECORD_CODEC_ALL);
}

/* ---- Reading frames ---- */

size_t checkpoint_frame_size(const uint8_t *head) {
    size_t size = CHECKPOINT_FRAME_HEAD_SIZE + (size_t)load_u32(head + 4);
    return load_u32(head) == FRAME_MAGIC && size >= FRAME_MIN && size <= CHECKPOINT_HEADER_SIZE_MAX ? size
                                                                                                    : 0;
}

enum checkpoint_frame checkpoint_frame_kind(const uint8_t *frame, size_t size) {
    if (size < FRAME_MIN || checkpoint_frame_size(frame) != size)
        return CHECKPOINT_FRAME_BROKEN;
    const uint8_t *body = frame + CHECKPOINT_FRAME_HEAD_SIZE, *end = frame + size - CHECKSUM_SIZE;
    if (memcmp(body, NAME, NAME_SIZE) != 0 || load_u64(end) != checksum_bytes(body, (size_t)(end - body)))
        return CHECKPOINT_FRAME_BROKEN;
    switch (body[NAME_SIZE]) {
    case KIND_HEADER: return CHECKPOINT_FRAME_HEADER;
    case KIND_BLOCK: return CHECKPOINT_FRAME_BLOCK;
    case KIND_FOOTER: return CHECKPOINT_FRAME_FOOTER;
    default: return CHECKPOINT_FRAME_BROKEN;
    }
}

/* The fields of a frame; failed if it is not whole, or of another kind. */
static struct cursor frame_fields(const uint8_t *frame, size_t size, enum checkpoint_frame kind) {
    if (checkpoint_frame_kind(frame, size) != kind)
        return (struct cursor){.failed = true};
    return cursor_make(frame + CHECKPOINT_FRAME_HEAD_SIZE + NAME_SIZE + 1, size - FRAME_MIN);
}

static struct actor_identity read_actor(struct cursor *fields) {
    struct actor_identity actor = {.incarnation = 0};
    const uint8_t *node_id = cursor_bytes(fields, NODE_ID_SIZE);
    if (node_id != NULL)
        memcpy(actor.node_id, node_id, NODE_ID_SIZE);
    actor.incarnation = cursor_u64(fields);
    return actor;
}

/* Two numbers for one actor would make two dots of one. */
static bool actors_differ(const uint8_t *actors, uint32_t count) {
    for (uint32_t i = 1; i < count; i++) {
        const uint8_t *actor = actors + i * (size_t)ACTOR_SIZE;
        for (const uint8_t *other = actors; other != actor; other += ACTOR_SIZE)
            if (memcmp(other, actor, ACTOR_SIZE) == 0)
                return false;
    }
    return true;
}

/* Passes over the sections; false: there is one that must be known. */
static bool skip_sections(struct cursor *fields) {
    bool is_known = true;
    for (uint32_t left = cursor_u16(fields); left > 0 && !cursor_failed(fields); left--) {
        uint16_t tag = cursor_u16(fields);
        cursor_bytes(fields, cursor_u32(fields));
        if (!(tag & SECTION_OPTIONAL))
            is_known = false;
    }
    return is_known;
}

enum checkpoint_header_status checkpoint_header_read(const uint8_t *frame, size_t size,
                                                     struct checkpoint_header *header) {
    *header = (struct checkpoint_header){0};
    struct cursor fields = frame_fields(frame, size, CHECKPOINT_FRAME_HEADER);
    uint16_t version = cursor_u16(&fields);
    if (version == 0)
        return CHECKPOINT_HEADER_BROKEN;
    if (version > CHECKPOINT_VERSION) {
        header->version = version;
        return CHECKPOINT_HEADER_NEWER;
    }
    struct checkpoint_header read = {.version = version, .serial = cursor_u64(&fields)};
    read.writer = read_actor(&fields);
    read.counter = cursor_u64(&fields);
    read.time_ms = (int64_t)cursor_u64(&fields);
    read.records_expected = cursor_u64(&fields);
    read.actor_count = cursor_u16(&fields);
    read.actors = cursor_bytes(&fields, read.actor_count * (size_t)ACTOR_SIZE);
    bool is_known = skip_sections(&fields);
    if (!cursor_is_done(&fields) || read.actor_count > CHECKPOINT_ACTORS_MAX)
        return CHECKPOINT_HEADER_BROKEN;
    if (!is_known) {
        header->version = version;
        return CHECKPOINT_HEADER_NEWER;
    }
    if (!actors_differ(read.actors, read.actor_count))
        return CHECKPOINT_HEADER_BROKEN;
    *header = read;
    return CHECKPOINT_HEADER_GOOD;
}

struct actor_identity checkpoint_header_actor(const struct checkpoint_header *header, uint32_t index) {
    CHECK(index < header->actor_count);
    struct cursor fields = cursor_make(header->actors + index * (size_t)ACTOR_SIZE, ACTOR_SIZE);
    return read_actor(&fields);
}

bool checkpoint_block_head_read(const uint8_t *frame, size_t size, struct checkpoint_block_head *head) {
    struct cursor fields = frame_fields(frame, size, CHECKPOINT_FRAME_BLOCK);
    *head = (struct checkpoint_block_head){.serial = cursor_u64(&fields)};
    head->index = cursor_u64(&fields);
    head->size = cursor_u32(&fields);
    head->stored_size = cursor_u32(&fields);
    head->records = cursor_u32(&fields);
    head->checksum = cursor_u64(&fields);
    return cursor_is_done(&fields) && head->size > 0 && head->size <= CHECKPOINT_BLOCK_SIZE &&
           head->stored_size > 0 && head->stored_size <= CHECKPOINT_STORED_SIZE_MAX &&
           head->records <= head->size;
}

bool checkpoint_footer_read(const uint8_t *frame, size_t size, struct checkpoint_footer *footer) {
    struct cursor fields = frame_fields(frame, size, CHECKPOINT_FRAME_FOOTER);
    *footer = (struct checkpoint_footer){.serial = cursor_u64(&fields)};
    footer->blocks = cursor_u64(&fields);
    footer->records = cursor_u64(&fields);
    footer->bytes = cursor_u64(&fields);
    footer->chain = cursor_u64(&fields);
    return cursor_is_done(&fields);
}

/* ---- Reading entries ---- */

static bool is_below(void *context, struct dot dot) {
    const uint32_t *actor_count = context;
    return dot.actor < *actor_count;
}

bool checkpoint_state_names_actors(const uint8_t *state, size_t size, uint32_t actor_count) {
    return merge_state_each_dot(state, size, is_below, &actor_count);
}

static void read_record(struct cursor *cursor, uint32_t actor_count, struct checkpoint_entry *entry) {
    if (!record_codec_read(cursor, RECORD_CODEC_ALL, &entry->parts, entry->others))
        return;
    if (entry->parts.newest.actor >= actor_count)
        cursor_fail(cursor);
    /* Dots are sorted by actor. */
    if (entry->parts.other_count > 0 && entry->others[entry->parts.other_count - 1].actor >= actor_count)
        cursor_fail(cursor);
    if (entry->parts.state_size > 0 &&
        !checkpoint_state_names_actors(entry->parts.state, entry->parts.state_size, actor_count))
        cursor_fail(cursor);
}

static void read_long(struct cursor *cursor, uint32_t actor_count, bool has_state,
                      struct checkpoint_entry *entry) {
    uint64_t state_size = has_state ? cursor_varint(cursor) : 0;
    uint64_t key_left = cursor_varint(cursor), value_size = cursor_varint(cursor);
    read_record(cursor, actor_count, entry);
    bool is_tombstone = entry->parts.type == RECORD_TOMBSTONE;
    bool has_stray =
        (is_tombstone ? value_size : entry->parts.value_size) != 0 || entry->parts.state_size != 0;
    if (cursor_failed(cursor) || has_stray || (state_size != 0) != has_state || state_size > VALUE_SIZE_MAX ||
        key_left > VALUE_SIZE_MAX - entry->parts.key_size || value_size > VALUE_SIZE_MAX ||
        key_left + state_size + value_size == 0) {
        cursor_fail(cursor);
        return;
    }
    entry->state_size = (uint32_t)state_size;
    entry->key_left = (uint32_t)key_left;
    entry->value_size = (uint32_t)value_size;
}

static void read_slots(struct cursor *cursor, struct checkpoint_entry *entry) {
    entry->first_slot = cursor_u16(cursor);
    entry->last_slot = cursor_u16(cursor);
    entry->flush_counter = cursor_u64(cursor);
    entry->floor = cursor_u64(cursor);
    if (entry->first_slot > entry->last_slot || entry->last_slot >= SLOT_COUNT)
        cursor_fail(cursor);
}

static enum checkpoint_entry_kind read_marked(struct cursor *cursor, uint32_t actor_count,
                                              struct checkpoint_entry *entry) {
    uint64_t size;
    uint8_t mark = cursor_u8(cursor);
    switch (mark) {
    case ENTRY_DATABASE:
        entry->database = cursor_u8(cursor);
        if (entry->database >= DATABASE_COUNT)
            cursor_fail(cursor);
        return CHECKPOINT_DATABASE;
    case ENTRY_LONG:
    case ENTRY_LONG_STATE:
        read_long(cursor, actor_count, mark == ENTRY_LONG_STATE, entry);
        return CHECKPOINT_LONG;
    case ENTRY_PART:
        size = cursor_varint(cursor);
        entry->bytes = size == 0 || size > CHECKPOINT_BLOCK_SIZE ? NULL : cursor_bytes(cursor, size);
        if (entry->bytes == NULL)
            cursor_fail(cursor);
        entry->size = (uint32_t)size;
        return CHECKPOINT_PART;
    case ENTRY_SLOTS: read_slots(cursor, entry); return CHECKPOINT_SLOTS;
    default: cursor_fail(cursor); return CHECKPOINT_ENTRY_BROKEN;
    }
}

enum checkpoint_entry_kind checkpoint_entry_read(struct cursor *cursor, uint32_t actor_count,
                                                 struct checkpoint_entry *entry) {
    enum checkpoint_entry_kind kind = CHECKPOINT_RECORD;
    if (cursor_remaining(cursor) > 0 &&
        (*cursor->position == ENTRY_RECORD || *cursor->position == ENTRY_RECORD_STATE))
        read_record(cursor, actor_count, entry);
    else
        kind = read_marked(cursor, actor_count, entry);
    return cursor_failed(cursor) ? CHECKPOINT_ENTRY_BROKEN : kind;
}
