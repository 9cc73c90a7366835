/* record.h - one key with all that belongs to it, in a single allocation, and the merge rule.
 *
 *   byte 0       flags: type (3 bits), has expiry, is long, has a vector, encoding (2 bits)
 *   bytes 1-3    time of the last access, seconds modulo 2^24, little-endian
 *   bytes 4, 5   size of the key and of the value (0 in a long record)
 *   bytes 6-7    actor     of the newest dot
 *   bytes 8-15   counter   of the newest dot
 *   [8 bytes]    expiry, milliseconds since 1970 (int64)              if RECORD_EXPIRY
 *   [4+4 bytes]  size of the key and of the value (uint32)            if RECORD_LONG
 *   [2 + n*10]   n further dots: actor, counter each, sorted by actor if RECORD_VECTOR. The highest bit of n: a merge state follows
 *   [4 + size]   its size (uint32, above 0) and its bytes (data/merge_state.h)
 *   key bytes, value bytes
 *
 * A key of at most 255 bytes with a value of at most 255 bytes thus pays 16 bytes, 10 of them for its version.
 * A tombstone is a record without a value: where it was made of a record in its place, bytes of the dead value may still belong to
 * its allocation; they count for record_size() only. Numbers are in host order: a record never leaves the process
 * in this form (proto/record_codec does that).
 * May touch: base, data/version. Must never know: tables, time, who holds it.
 * Tests: tests/unit/data/record_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef DATA_RECORD_H
#define DATA_RECORD_H

#include "base/mem.h"
#include "data/version.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Value types; the numbers are part of every stored form. Room for 1-5: list, set, sorted set, hash, stream. */
enum record_type { RECORD_STRING = 0, RECORD_TOMBSTONE = 7 };

/* How OBJECT ENCODING describes a string: by its content, or as the command that wrote it left it. */
enum record_encoding { ENCODING_NATURAL = 0, ENCODING_EMBEDDED = 1, ENCODING_RAW = 2 };

#define RECORD_TYPE_MASK      0x07u
#define RECORD_EXPIRY         0x08u
#define RECORD_LONG           0x10u
#define RECORD_VECTOR         0x20u
#define RECORD_ENCODING_SHIFT 6
/* Of the number of further dots. */
#define RECORD_COUNT_STATE 0x8000u
#define RECORD_DOT_SIZE    10

#define RECORD_NO_EXPIRY   INT64_MIN
#define RECORD_SMALL_MAX   255u
#define RECORD_HEADER_SIZE 16

struct record {
    uint8_t flags;
    uint8_t access[3];
    uint8_t key_size;
    uint8_t value_size;
    uint16_t actor;
    uint64_t counter;
    uint8_t rest[];
};
_Static_assert(sizeof(struct record) == RECORD_HEADER_SIZE, "a small key pays 16 bytes");

/* What a record is to be made of. */
struct record_parts {
    const uint8_t *key;
    const uint8_t *value; /* NULL: the value's bytes are left undefined, for the caller to fill in */
    uint32_t key_size;
    uint32_t value_size;
    int64_t expiry_ms; /* or RECORD_NO_EXPIRY */
    struct dot newest;
    const struct dot *others; /* further dots, sorted by actor, without the newest */
    const uint8_t *state;     /* the merge state (data/merge_state.h), */
    uint32_t state_size;      /* 0: none */
    uint16_t other_count;
    uint8_t type;      /* enum record_type */
    uint8_t encoding;  /* enum record_encoding */
    uint32_t access_s; /* seconds; the low 24 bits are kept */
};

static inline unsigned record_type(const struct record *record) {
    return record->flags & RECORD_TYPE_MASK;
}

static inline unsigned record_encoding(const struct record *record) {
    return record->flags >> RECORD_ENCODING_SHIFT;
}

/* Changes how the string is described, and nothing that counts as a change of it. */
static inline void record_set_encoding(struct record *record, enum record_encoding encoding) {
    record->flags =
        (uint8_t)((record->flags & ~(3u << RECORD_ENCODING_SHIFT)) | encoding << RECORD_ENCODING_SHIFT);
}

static inline int64_t record_expiry_ms(const struct record *record) {
    int64_t expiry_ms = RECORD_NO_EXPIRY;
    if (record->flags & RECORD_EXPIRY)
        memcpy(&expiry_ms, record->rest, sizeof expiry_ms);
    return expiry_ms;
}

/* Bytes between the fixed header and the key; the long form's sizes are not counted in `long_at`. */
static inline size_t record_long_offset(const struct record *record) {
    return record->flags & RECORD_EXPIRY ? 8 : 0;
}

static inline const uint8_t *record_sizes_at(const struct record *record) {
    return record->rest + record_long_offset(record);
}

static inline uint32_t record_key_size(const struct record *record) {
    uint32_t size = record->key_size;
    if (UNLIKELY(record->flags & RECORD_LONG))
        memcpy(&size, record_sizes_at(record), sizeof size);
    return size;
}

static inline uint32_t record_value_size(const struct record *record) {
    uint32_t size = record->value_size;
    if (record->flags & RECORD_LONG)
        memcpy(&size, record_sizes_at(record) + 4, sizeof size);
    return size;
}

/* Where the block of RECORD_VECTOR begins, from the start of rest; and the key, if there is none. */
static inline size_t record_vector_offset(const struct record *record) {
    return record_long_offset(record) + (record->flags & RECORD_LONG ? 8 : 0);
}

/* Whether the version has further dots beside the newest. */
static inline bool record_has_others(const struct record *record) {
    if (LIKELY(!(record->flags & RECORD_VECTOR)))
        return false;
    uint16_t count;
    memcpy(&count, record->rest + record_vector_offset(record), sizeof count);
    return (count & ~RECORD_COUNT_STATE) != 0;
}

/* Where the merge state begins, from the start of rest; *size: 0 if there is none. Of a record with RECORD_VECTOR. */
static inline size_t record_state_offset(const struct record *record, uint32_t *size) {
    size_t offset = record_vector_offset(record);
    uint16_t count;
    memcpy(&count, record->rest + offset, sizeof count);
    offset += sizeof count + (size_t)(count & ~RECORD_COUNT_STATE) * RECORD_DOT_SIZE;
    *size = 0;
    if (count & RECORD_COUNT_STATE) {
        memcpy(size, record->rest + offset, sizeof *size);
        offset += sizeof *size;
    }
    return offset;
}

/* Where the key begins, from the start of rest. */
static inline size_t record_key_offset(const struct record *record) {
    size_t offset = record_vector_offset(record);
    if (UNLIKELY(record->flags & RECORD_VECTOR)) {
        uint32_t state_size;
        offset = record_state_offset(record, &state_size) + state_size;
    }
    return offset;
}

/* The merge state; NULL and 0: there is none. */
static inline uint8_t *record_state(struct record *record, uint32_t *size) {
    *size = 0;
    if (LIKELY(!(record->flags & RECORD_VECTOR)))
        return NULL;
    size_t offset = record_state_offset(record, size);
    return *size == 0 ? NULL : record->rest + offset;
}

static inline uint32_t record_state_size(const struct record *record) {
    uint32_t size = 0;
    if (UNLIKELY(record->flags & RECORD_VECTOR))
        (void)record_state_offset(record, &size);
    return size;
}

static inline const uint8_t *record_key(const struct record *record) {
    return record->rest + record_key_offset(record);
}

static inline uint8_t *record_value(struct record *record) {
    return record->rest + record_key_offset(record) + record_key_size(record);
}

static inline const uint8_t *record_value_const(const struct record *record) {
    return record->rest + record_key_offset(record) + record_key_size(record);
}

/* Bytes of the allocation as it was asked for. */
static inline size_t record_size(const struct record *record) {
    return sizeof *record + record_key_offset(record) + record_key_size(record) + record_value_size(record);
}

static inline bool record_key_is(const struct record *record, const uint8_t *key, uint32_t size) {
    return record_key_size(record) == size && memcmp(record_key(record), key, size) == 0;
}

static inline uint32_t record_access_s(const struct record *record) {
    return record->access[0] | (uint32_t)record->access[1] << 8 | (uint32_t)record->access[2] << 16;
}

static inline void record_set_access_s(struct record *record, uint32_t seconds) {
    record->access[0] = (uint8_t)seconds;
    record->access[1] = (uint8_t)(seconds >> 8);
    record->access[2] = (uint8_t)(seconds >> 16);
}

/* Bytes that a record of these parts takes. */
size_t record_parts_size(const struct record_parts *parts);

/* Makes a record; NULL: no memory. Freed with record_free(). */
struct record *record_new(struct mem *mem, const struct record_parts *parts);
void record_free(struct mem *mem, struct record *record);

/* Writes the parts over `record`, whose allocation has the size class that the parts need
 * (mem_class(record_size) == mem_class(record_parts_size)). parts->key may be the record's own key;
 * parts->value must not overlap the record, or be NULL (then the bytes where the value stands are left as they are);
 * parts->state must not overlap it either. */
void record_write(struct record *record, const struct record_parts *parts);

/* Takes a record apart (key, value and state point into it; a tombstone's value is empty). `others` has room for VERSION_DOTS_MAX dots. */
void record_parts(const struct record *record, struct record_parts *parts, struct dot *others);

/* The whole version of a record. */
void record_version(const struct record *record, struct version *version);

/* The version that parts have: their newest dot and the others, at most VERSION_DOTS_MAX together, in any order. */
void record_parts_version(const struct record_parts *parts, struct version *version);

/* Its inverse: of the version's dots the highest (version_highest) becomes the parts' newest, the rest, in `others`, their others. The
 * version has at least one dot. What the parts had as version does not matter. */
void record_parts_set_version(struct record_parts *parts, const struct version *version,
                              struct dot others[VERSION_DOTS_MAX]);

/* Brings dots whose actors were given other numbers into the order of a record: which of two with the same counter is the newest depends
 * on the numbers, too. */
void record_parts_order(struct record_parts *parts, struct dot others[VERSION_DOTS_MAX]);

/* What is to be done with a foreign record that meets ours. */
enum record_merge {
    MERGE_KEEP,    /* ignore the other */
    MERGE_REPLACE, /* take it whole */
    MERGE_JOIN     /* the winner's value under the joined version */
};

/* *The* merge rule, of two records of which neither has seen all of the other (whoever asks knows; store/content.h says what that is). Concurrent
 * strings and tombstones: the highest counter wins; where both have the same one, theirs wins if theirs_win_ties (the caller
 * compares the identities of the actors: their numbers are other ones elsewhere). The joined version covers both. On MERGE_JOIN,
 * *theirs_wins says whose value stays and *joined is filled.
 * Commutative and idempotent in its outcome; associative while all versions together name at most VERSION_DOTS_MAX actors.
 * Beyond, nothing is joined: the winner stays whole under its own version (MERGE_REPLACE or MERGE_KEEP). */
enum record_merge record_join(const struct version *ours, const struct version *theirs, bool theirs_win_ties,
                              bool *theirs_wins, struct version *joined);

#endif
