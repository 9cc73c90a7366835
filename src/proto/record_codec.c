/* record_codec.c - writes records that are known to be valid, and reads bytes that may be anything.
 *
 * May touch: base, data. Must never know: who reads or writes the bytes.
 * Tests: tests/unit/proto/record_codec_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "proto/record_codec.h"

#include "base/checksum.h"
#include "base/encode.h"
#include "base/limits.h"
#include "data/merge_state.h"

#define CODEC_FORMAT        1
#define CODEC_FORMAT_STATE  2
#define FLAG_EXPIRY         0x08u
#define FLAG_KEY            0x10u
#define FLAG_VERSION        0x20u
#define FLAG_ENCODING_SHIFT 6

#define DOT_SIZE 10

/* No payload of Redis begins so: there, the first byte is a value type, all of them far below. */
#define DUMP_MARK          0xd1
#define DUMP_CHECKSUM_SIZE 8

/* ---- Writing ---- */

static uint8_t *write_bytes(uint8_t *out, const uint8_t *data, uint32_t size) {
    out = encode_varint(out, size);
    if (size != 0)
        memcpy(out, data, size);
    return out + size;
}

static uint8_t *write_dot(uint8_t *out, struct dot dot) {
    return encode_u64(encode_u16(out, dot.actor), dot.counter);
}

size_t record_codec_version_size(const struct record_parts *parts) {
    return DOT_SIZE + encode_varint_size(parts->other_count) + (size_t)parts->other_count * DOT_SIZE;
}

uint8_t *record_codec_write_version(uint8_t *out, const struct record_parts *parts) {
    out = encode_varint(write_dot(out, parts->newest), parts->other_count);
    for (unsigned i = 0; i < parts->other_count; i++)
        out = write_dot(out, parts->others[i]);
    return out;
}

static bool writes_expiry(const struct record_parts *parts, unsigned with) {
    return (with & RECORD_CODEC_EXPIRY) && parts->expiry_ms != RECORD_NO_EXPIRY;
}

static bool writes_state(const struct record_parts *parts, unsigned with) {
    return (with & RECORD_CODEC_VERSION) && UNLIKELY(parts->state_size != 0);
}

size_t record_codec_size(const struct record_parts *parts, unsigned with) {
    size_t size = 2;
    if (writes_expiry(parts, with))
        size += 8;
    if (with & RECORD_CODEC_VERSION)
        size += record_codec_version_size(parts);
    if (writes_state(parts, with))
        size += encode_varint_size(parts->state_size) + parts->state_size;
    if (with & RECORD_CODEC_KEY)
        size += encode_varint_size(parts->key_size) + parts->key_size;
    if (parts->type != RECORD_TOMBSTONE)
        size += encode_varint_size(parts->value_size) + parts->value_size;
    return size;
}

uint8_t *record_codec_write(uint8_t *out, const struct record_parts *parts, unsigned with) {
    unsigned flags = parts->type | (unsigned)parts->encoding << FLAG_ENCODING_SHIFT;
    flags |= writes_expiry(parts, with) ? FLAG_EXPIRY : 0;
    flags |= with & RECORD_CODEC_KEY ? FLAG_KEY : 0;
    flags |= with & RECORD_CODEC_VERSION ? FLAG_VERSION : 0;
    bool has_state = writes_state(parts, with);
    *out++ = has_state ? CODEC_FORMAT_STATE : CODEC_FORMAT;
    *out++ = (uint8_t)flags;
    if (flags & FLAG_EXPIRY)
        out = encode_fixed(out, (uint64_t)parts->expiry_ms, 8);
    if (flags & FLAG_VERSION)
        out = record_codec_write_version(out, parts);
    if (has_state)
        out = write_bytes(out, parts->state, parts->state_size);
    if (flags & FLAG_KEY)
        out = write_bytes(out, parts->key, parts->key_size);
    if (parts->type != RECORD_TOMBSTONE)
        out = write_bytes(out, parts->value, parts->value_size);
    return out;
}

uint8_t *record_codec_write_plain(uint8_t *out, const struct record *record) {
    uint32_t key_size = record_key_size(record), value_size = record_value_size(record);
    const uint8_t *key = record_key(record);
    unsigned type = record_type(record), encoding = record_encoding(record);
    out[0] = CODEC_FORMAT;
    out[1] = (uint8_t)(type | encoding << FLAG_ENCODING_SHIFT | FLAG_KEY | FLAG_VERSION |
                       (record->flags & RECORD_EXPIRY ? FLAG_EXPIRY : 0));
    out += 2;
    if (record->flags & RECORD_EXPIRY)
        out = encode_fixed(out, (uint64_t)record_expiry_ms(record), 8);
    out = encode_u64(encode_u16(out, record->actor), record->counter);
    *out++ = 0; /* further dots */
    out = write_bytes(out, key, key_size);
    return type == RECORD_TOMBSTONE ? out : write_bytes(out, key + key_size, value_size);
}

bool record_codec_append(struct buffer *buffer, const struct record_parts *parts, unsigned with) {
    size_t size = record_codec_size(parts, with);
    if (!buffer_reserve(buffer, size))
        return false;
    record_codec_write(buffer->data + buffer->size, parts, with);
    buffer->size += size;
    return true;
}

/* ---- Reading ---- */

static struct dot read_dot(struct cursor *cursor) {
    struct dot dot = {.actor = cursor_u16(cursor)};
    dot.counter = cursor_u64(cursor);
    return dot;
}

bool record_codec_read_version(struct cursor *cursor, struct record_parts *parts, struct dot *others) {
    parts->newest = read_dot(cursor);
    uint64_t count = cursor_varint(cursor);
    if (parts->newest.counter == 0 || count >= VERSION_DOTS_MAX) {
        cursor_fail(cursor);
        return false;
    }
    parts->other_count = (uint16_t)count;
    parts->others = others;
    for (unsigned i = 0; i < count; i++) {
        struct dot dot = others[i] = read_dot(cursor);
        bool is_sorted = i == 0 || others[i - 1].actor < dot.actor;
        bool is_older = dot.counter < parts->newest.counter ||
                        (dot.counter == parts->newest.counter && dot.actor < parts->newest.actor);
        if (dot.counter == 0 || dot.actor == parts->newest.actor || !is_sorted || !is_older)
            cursor_fail(cursor);
    }
    return !cursor_failed(cursor);
}

static const uint8_t *read_bytes(struct cursor *cursor, uint32_t *size) {
    uint64_t claimed = cursor_varint(cursor);
    if (claimed > VALUE_SIZE_MAX)
        cursor_fail(cursor);
    const uint8_t *bytes = cursor_bytes(cursor, claimed);
    *size = bytes == NULL ? 0 : (uint32_t)claimed;
    return bytes;
}

static bool is_not_newer(void *context, struct dot dot) {
    const uint64_t *newest = context;
    return dot.counter <= *newest;
}

bool record_codec_takes_state(const struct record_parts *parts, const uint8_t *state, size_t size) {
    uint64_t newest = parts->newest.counter;
    return merge_state_is_valid(state, size, parts->type) &&
           merge_state_each_dot(state, size, is_not_newer, &newest);
}

static void read_state(struct cursor *cursor, struct record_parts *parts) {
    parts->state = read_bytes(cursor, &parts->state_size);
    if (cursor_failed(cursor) || parts->state_size == 0 ||
        !record_codec_takes_state(parts, parts->state, parts->state_size))
        cursor_fail(cursor);
}

bool record_codec_read(struct cursor *cursor, unsigned with, struct record_parts *parts, struct dot *others) {
    *parts = (struct record_parts){.expiry_ms = RECORD_NO_EXPIRY};
    uint8_t format = cursor_u8(cursor), flags = cursor_u8(cursor);
    parts->type = flags & RECORD_TYPE_MASK;
    parts->encoding = flags >> FLAG_ENCODING_SHIFT;
    bool is_tombstone = parts->type == RECORD_TOMBSTONE;
    bool has_expiry = flags & FLAG_EXPIRY, has_key = flags & FLAG_KEY, has_version = flags & FLAG_VERSION;
    bool has_state = format == CODEC_FORMAT_STATE;
    if ((format != CODEC_FORMAT && !has_state) || (has_state && !has_version) ||
        (parts->type != RECORD_STRING && !is_tombstone) ||
        parts->encoding > (is_tombstone ? ENCODING_NATURAL : ENCODING_RAW) ||
        has_key != !!(with & RECORD_CODEC_KEY) || has_version != !!(with & RECORD_CODEC_VERSION) ||
        (has_expiry && (is_tombstone || !(with & RECORD_CODEC_EXPIRY))))
        cursor_fail(cursor);
    if (has_expiry) {
        parts->expiry_ms = (int64_t)cursor_u64(cursor);
        if (parts->expiry_ms == RECORD_NO_EXPIRY) /* that is said by the flag */
            cursor_fail(cursor);
    }
    if (has_version)
        record_codec_read_version(cursor, parts, others);
    if (has_state)
        read_state(cursor, parts);
    if (has_key)
        parts->key = read_bytes(cursor, &parts->key_size);
    if (!is_tombstone)
        parts->value = read_bytes(cursor, &parts->value_size);
    return !cursor_failed(cursor);
}

/* ---- DUMP ---- */

size_t record_dump_size(const struct record_parts *parts) {
    return 1 + record_codec_size(parts, 0) + DUMP_CHECKSUM_SIZE;
}

uint8_t *record_dump_write(uint8_t *out, const struct record_parts *parts) {
    uint8_t *begin = out;
    *out++ = DUMP_MARK;
    out = record_codec_write(out, parts, 0);
    return encode_fixed(out, checksum_bytes(begin, (size_t)(out - begin)), DUMP_CHECKSUM_SIZE);
}

enum record_dump_status record_dump_read(const uint8_t *data, size_t size, struct record_parts *parts) {
    if (size < 2 + DUMP_CHECKSUM_SIZE)
        return RECORD_DUMP_FOREIGN;
    size_t body_size = size - DUMP_CHECKSUM_SIZE;
    struct cursor trailer = cursor_make(data + body_size, DUMP_CHECKSUM_SIZE);
    if (data[0] != DUMP_MARK || data[1] != CODEC_FORMAT ||
        cursor_u64(&trailer) != checksum_bytes(data, body_size))
        return RECORD_DUMP_FOREIGN;
    struct cursor body = cursor_make(data + 1, body_size - 1);
    if (!record_codec_read(&body, 0, parts, NULL) || !cursor_is_done(&body) ||
        parts->type == RECORD_TOMBSTONE)
        return RECORD_DUMP_MALFORMED;
    return RECORD_DUMP_GOOD;
}
