/* hints_file.c - hints as bytes of a file.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/hints_file.h"

#include "base/checksum.h"
#include "base/crc16.h"
#include "base/cursor.h"
#include "base/encode.h"

#define FILE_MAGIC      "rkvhints"
#define FILE_MAGIC_SIZE 8
#define FILE_FORMAT     1
#define HEAD_SIZE       (FILE_MAGIC_SIZE + 1 + NODE_ID_SIZE + 8 + 8)
#define BLOCK_HEAD_SIZE (4 + 8)

enum entry { ENTRY_TARGET = 1, ENTRY_KEY = 2 };

/* ---- Writing ---- */

void hints_writer_init(struct hints_writer *writer, const uint8_t self[NODE_ID_SIZE]) {
    *writer = (struct hints_writer){.self = self};
}

bool hints_write_head(const struct hints_writer *writer, int64_t wall_ms, struct buffer *file) {
    if (!buffer_reserve(file, HEAD_SIZE))
        return false;
    uint8_t *begin = file->data + file->size, *out = begin;
    memcpy(out, FILE_MAGIC, FILE_MAGIC_SIZE);
    out += FILE_MAGIC_SIZE;
    *out++ = FILE_FORMAT;
    memcpy(out, writer->self, NODE_ID_SIZE);
    out = encode_fixed(out + NODE_ID_SIZE, (uint64_t)wall_ms, 8);
    out = encode_fixed(out, checksum_bytes(begin, (size_t)(out - begin)), 8);
    file->size += HEAD_SIZE;
    return true;
}

static void append_target(struct buffer *file, const uint8_t id[NODE_ID_SIZE], uint64_t age_ms,
                          bool misses_flush) {
    uint8_t bytes[1 + NODE_ID_SIZE + ENCODE_VARINT_MAX + 1], *out = bytes;
    *out++ = ENTRY_TARGET;
    memcpy(out, id, NODE_ID_SIZE);
    out = encode_varint(out + NODE_ID_SIZE, age_ms);
    *out++ = misses_flush;
    buffer_append(file, bytes, (size_t)(out - bytes));
}

static void append_key(void *context, struct record *hint, uint64_t hash) {
    struct buffer *file = context;
    uint8_t head[1 + ENCODE_VARINT_MAX];
    uint32_t size = record_key_size(hint);
    (void)hash;
    head[0] = ENTRY_KEY;
    buffer_append(file, head, (size_t)(encode_varint(head + 1, size) - head));
    buffer_append(file, record_key(hint), size);
}

/* The next target that is worth it. NULL: there is none. */
static const struct hint_target *find_target(struct hints_writer *writer, const struct hints *hints,
                                             hints_id_of *id_of, const void *context, const uint8_t **id) {
    for (; writer->target < hints->target_capacity; writer->target++) {
        uint16_t number = (uint16_t)writer->target;
        *id = id_of(context, number);
        if (*id != NULL && hints_has_any(hints, number))
            return &hints->targets[number];
        writer->from = 0;
    }
    return NULL;
}

bool hints_write_block(struct hints_writer *writer, const struct hints *hints, hints_id_of *id_of,
                       const void *context, uint64_t now_ms, uint32_t units, struct buffer *file) {
    static const uint8_t room[BLOCK_HEAD_SIZE];
    struct hints_writer before = *writer;
    size_t begin = file->size;
    const uint8_t *id;
    const struct hint_target *target = find_target(writer, hints, id_of, context, &id);
    buffer_append(file, room, sizeof room);
    if (target == NULL) {
        writer->is_over = true;
    } else {
        struct dict keys = target->keys; /* a scan only reads it */
        append_target(file, id, hints_age_ms(hints, (uint16_t)writer->target, now_ms), target->misses_flush);
        if (!dict_scan(&keys, hints->secret, writer->from, units, append_key, file, &writer->from)) {
            writer->target++;
            writer->from = 0;
        }
    }
    if (file->failed) {
        *writer = before;
        file->size = begin;
        return false;
    }
    uint8_t *head = file->data + begin;
    size_t size = file->size - begin - BLOCK_HEAD_SIZE;
    encode_fixed(head, size, 4);
    encode_fixed(head + 4, checksum_bytes(head + BLOCK_HEAD_SIZE, size) + size, 8);
    return true;
}

/* ---- Reading ---- */

struct reading {
    struct hints *hints; /* NULL: the bytes are only checked */
    hints_target_of *target_of;
    const void *context;
    uint64_t now_ms;
    uint64_t file_age_ms;
    int32_t target; /* whose keys follow; -1: nobody's */
    bool is_new;    /* nothing was noted of it before: what it misses gets its age from the file */
    uint64_t age_ms;
};

/* The first thing of a target was noted, or not. */
static void note_age(struct reading *reading, bool is_noted) {
    if (!reading->is_new || !is_noted)
        return;
    hints_set_age(reading->hints, (uint16_t)reading->target, reading->age_ms, reading->now_ms);
    reading->is_new = false;
}

static void read_target(struct reading *reading, struct cursor *cursor) {
    const uint8_t *id = cursor_bytes(cursor, NODE_ID_SIZE);
    uint64_t age_ms = cursor_varint(cursor);
    uint8_t misses_flush = cursor_u8(cursor);
    if (misses_flush > 1)
        cursor_fail(cursor);
    if (cursor_failed(cursor) || reading->hints == NULL)
        return;
    reading->target = reading->target_of(reading->context, id);
    if (reading->target < 0)
        return;
    uint16_t number = (uint16_t)reading->target;
    reading->is_new = !hints_has_any(reading->hints, number);
    reading->age_ms = age_ms > UINT64_MAX - reading->file_age_ms ? UINT64_MAX : age_ms + reading->file_age_ms;
    if (misses_flush)
        note_age(reading, hints_add_flush(reading->hints, number, reading->now_ms));
}

static void read_key(struct reading *reading, struct cursor *cursor) {
    uint64_t size = cursor_varint(cursor);
    if (size > VALUE_SIZE_MAX)
        cursor_fail(cursor);
    const uint8_t *bytes = cursor_bytes(cursor, (size_t)size);
    if (bytes == NULL || reading->hints == NULL || reading->target < 0)
        return;
    struct argument key = {.data = bytes, .size = (uint32_t)size};
    key.slot = crc16_key_slot(bytes, key.size);
    key.hash = hash_bytes(reading->hints->secret, bytes, key.size);
    note_age(reading, hints_add(reading->hints, (uint16_t)reading->target, &key, reading->now_ms));
}

/* Returns false where the entries make no sense. */
static bool read_entries(struct reading *reading, const uint8_t *data, size_t size) {
    struct cursor cursor = cursor_make(data, size);
    bool is_first = true;
    while (cursor_remaining(&cursor) != 0) {
        uint8_t kind = cursor_u8(&cursor);
        if (kind == ENTRY_TARGET && is_first)
            read_target(reading, &cursor);
        else if (kind == ENTRY_KEY && !is_first)
            read_key(reading, &cursor);
        else
            cursor_fail(&cursor);
        is_first = false;
    }
    return cursor_is_done(&cursor);
}

/* All blocks; false: damaged. */
static bool read_blocks(struct reading *reading, struct cursor cursor) {
    for (;;) {
        uint32_t size = cursor_u32(&cursor);
        uint64_t checksum = cursor_u64(&cursor);
        const uint8_t *entries = cursor_bytes(&cursor, size);
        if (entries == NULL || checksum_bytes(entries, size) + size != checksum)
            return false;
        if (size == 0)
            return cursor_is_done(&cursor);
        if (!read_entries(reading, entries, size))
            return false;
    }
}

enum hints_read hints_read(struct hints *hints, const uint8_t self[NODE_ID_SIZE], const uint8_t *data,
                           size_t size, hints_target_of *target_of, const void *context, uint64_t now_ms,
                           int64_t wall_ms) {
    struct cursor cursor = cursor_make(data, size);
    const uint8_t *magic = cursor_bytes(&cursor, FILE_MAGIC_SIZE);
    uint8_t format = cursor_u8(&cursor);
    const uint8_t *owner = cursor_bytes(&cursor, NODE_ID_SIZE);
    int64_t written_ms = (int64_t)cursor_u64(&cursor);
    uint64_t checksum = cursor_u64(&cursor);
    if (cursor_failed(&cursor) || memcmp(magic, FILE_MAGIC, FILE_MAGIC_SIZE) != 0 || format != FILE_FORMAT ||
        checksum_bytes(data, HEAD_SIZE - 8) != checksum || memcmp(owner, self, NODE_ID_SIZE) != 0)
        return HINTS_READ_DAMAGED;
    struct reading reading = {.target_of = target_of, .context = context, .now_ms = now_ms, .target = -1};
    if (!read_blocks(&reading, cursor))
        return HINTS_READ_DAMAGED;
    /* Clocks may have gone back meanwhile: then the time that the node was away is not known. */
    reading.file_age_ms = wall_ms > written_ms && written_ms > 0 ? (uint64_t)(wall_ms - written_ms) : 0;
    reading.hints = hints;
    (void)read_blocks(&reading, cursor);
    return HINTS_READ;
}
