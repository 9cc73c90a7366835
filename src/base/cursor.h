/*
 * cursor.h - reads numbers and byte ranges from bytes that nobody vouches for.
 *
 * May touch: the bytes between position and end, which it borrows from the caller. Must never know what the
 * bytes mean.
 * Invariants: position never passes end; after the first failure every further read fails too, answers zero
 * or null, and moves nothing. So a reader of a record reads all fields and asks cursor_failed() once, before
 * it uses any.
 * Tests: tests/unit/base/cursor_test.c
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include "base/load.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
    const uint8_t *position;
    const uint8_t *end;
    bool failed;
};

/* bytes may be null if size is 0. */
static inline struct cursor cursor_make(const void *bytes, size_t size) {
    const uint8_t *position = bytes;
    return (struct cursor){
        .position = position, .end = size == 0 ? position : position + size, .failed = false};
}

/* How many bytes can still be read: 0 after a failure. */
static inline size_t cursor_remaining(const struct cursor *cursor) {
    return cursor->failed ? 0 : (size_t)(cursor->end - cursor->position);
}

static inline bool cursor_failed(const struct cursor *cursor) {
    return cursor->failed;
}

/* Everything was read, and nothing failed. */
static inline bool cursor_is_done(const struct cursor *cursor) {
    return !cursor->failed && cursor->position == cursor->end;
}

/* For readers that find a value which cannot be right: fails this and all further reads. */
static inline void cursor_fail(struct cursor *cursor) {
    cursor->failed = true;
}

/*
 * The next size bytes, in place: they live as long as the bytes that the cursor was made of. Null on failure;
 * for size 0 a pointer that must not be read.
 */
static inline const uint8_t *cursor_bytes(struct cursor *cursor, size_t size) {
    if (cursor->failed || size > (size_t)(cursor->end - cursor->position)) {
        cursor->failed = true;
        return NULL;
    }
    const uint8_t *bytes = cursor->position;
    if (size != 0)
        cursor->position += size;
    return bytes;
}

/* Unsigned numbers of fixed width, lowest byte first. */
static inline uint8_t cursor_u8(struct cursor *cursor) {
    const uint8_t *bytes = cursor_bytes(cursor, 1);
    return bytes == NULL ? 0 : bytes[0];
}

static inline uint16_t cursor_u16(struct cursor *cursor) {
    const uint8_t *bytes = cursor_bytes(cursor, 2);
    return bytes == NULL ? 0 : load_u16(bytes);
}

static inline uint32_t cursor_u32(struct cursor *cursor) {
    const uint8_t *bytes = cursor_bytes(cursor, 4);
    return bytes == NULL ? 0 : load_u32(bytes);
}

static inline uint64_t cursor_u64(struct cursor *cursor) {
    const uint8_t *bytes = cursor_bytes(cursor, 8);
    return bytes == NULL ? 0 : load_u64(bytes);
}

/*
 * An unsigned number in groups of seven bits, lowest group first, the high bit set on all bytes but the last
 * (LEB128). Only the shortest form is taken, so one number has one encoding; more than 64 bits fail.
 */
static inline uint64_t cursor_varint(struct cursor *cursor) {
    if (cursor->failed)
        return 0;
    uint64_t value = 0;
    const uint8_t *position = cursor->position;
    for (unsigned shift = 0; position < cursor->end && shift < 64; shift += 7) {
        uint8_t byte = *position++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            if (byte == 0 && shift != 0)
                break;
            cursor->position = position;
            return value;
        }
    }
    cursor->failed = true;
    return 0;
}

#endif
