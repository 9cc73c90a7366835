/* bits.c - bit arrays a machine word at a time.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "data/bits.h"

#include "base/load.h"

#include <string.h>

/* Results are made in pieces that stay in the first-level cache while all sources are combined into them. */
#define BITS_PIECE_SIZE ((size_t)4096)

uint64_t bits_count(const uint8_t *data, size_t size) {
    uint64_t counts[4] = {0}; /* four sums that do not wait for each other */
    const uint8_t *end = data + size;
    for (; end - data >= 32; data += 32) {
        counts[0] += (uint64_t)__builtin_popcountll(load_u64(data));
        counts[1] += (uint64_t)__builtin_popcountll(load_u64(data + 8));
        counts[2] += (uint64_t)__builtin_popcountll(load_u64(data + 16));
        counts[3] += (uint64_t)__builtin_popcountll(load_u64(data + 24));
    }
    for (; end - data >= 8; data += 8)
        counts[0] += (uint64_t)__builtin_popcountll(load_u64(data));
    if (data != end)
        counts[1] += (uint64_t)__builtin_popcountll(load_short(data, (size_t)(end - data)));
    return counts[0] + counts[1] + counts[2] + counts[3];
}

/* The bits of a byte from `bit` on, and those up to `bit`. */
static inline uint8_t mask_from(uint64_t bit) {
    return (uint8_t)(0xff >> (bit & 7));
}

static inline uint8_t mask_to(uint64_t bit) {
    return (uint8_t)(0xff80 >> (bit & 7));
}

uint64_t bits_count_range(const uint8_t *data, uint64_t first, uint64_t last) {
    const uint8_t *from = data + (first >> 3);
    const uint8_t *to = data + (last >> 3);
    uint8_t head = mask_from(first), tail = mask_to(last);
    if (from == to)
        return (uint64_t)__builtin_popcount(*from & head & tail);
    return (uint64_t)__builtin_popcount(*from & head) + bits_count(from + 1, (size_t)(to - from - 1)) +
           (uint64_t)__builtin_popcount(*to & tail);
}

/* The first set bit of a word whose first byte is the lowest, or of a byte; neither may be 0. */
static inline unsigned first_of_word(uint64_t word) {
    return (unsigned)__builtin_clzll(__builtin_bswap64(word));
}

static inline unsigned first_of_byte(unsigned byte) {
    return (unsigned)__builtin_clz(byte) - 24;
}

/* The first bit in whole bytes that differs from those of `skip` (all zeros or all ones); -1: none. */
static int64_t find_other_than(const uint8_t *data, size_t size, uint64_t skip) {
    const uint8_t *at = data, *end = data + size;
    for (; end - at >= 32; at += 32) {
        if (((load_u64(at) ^ skip) | (load_u64(at + 8) ^ skip) | (load_u64(at + 16) ^ skip) |
             (load_u64(at + 24) ^ skip)) != 0)
            break;
    }
    for (; end - at >= 8; at += 8) {
        uint64_t word = load_u64(at) ^ skip;
        if (word != 0)
            return (at - data) * 8 + (int64_t)first_of_word(word);
    }
    for (; at != end; at++) {
        unsigned byte = *at ^ (uint8_t)skip;
        if (byte != 0)
            return (at - data) * 8 + (int64_t)first_of_byte(byte);
    }
    return -1;
}

int64_t bits_find(const uint8_t *data, uint64_t first, uint64_t last, bool wanted) {
    uint64_t from = first >> 3, to = last >> 3;
    uint64_t skip = wanted ? 0 : ~UINT64_C(0);
    unsigned byte = (data[from] ^ (uint8_t)skip) & mask_from(first);
    if (from == to)
        byte &= mask_to(last);
    if (byte != 0)
        return (int64_t)(from * 8 + first_of_byte(byte));
    if (from == to)
        return -1;
    int64_t found = find_other_than(data + from + 1, to - from - 1, skip);
    if (found >= 0)
        return (int64_t)((from + 1) * 8) + found;
    byte = (data[to] ^ (uint8_t)skip) & mask_to(last);
    return byte == 0 ? -1 : (int64_t)(to * 8 + first_of_byte(byte));
}

/* Each of these loops is plain enough for the compiler to take whole vectors. */
static void combine_into(enum bits_operation operation, uint8_t *restrict result,
                         const uint8_t *restrict source, size_t size) {
    switch (operation) {
    case BITS_AND:
        for (size_t i = 0; i < size; i++)
            result[i] &= source[i];
        break;
    case BITS_OR:
        for (size_t i = 0; i < size; i++)
            result[i] |= source[i];
        break;
    case BITS_XOR:
        for (size_t i = 0; i < size; i++)
            result[i] ^= source[i];
        break;
    case BITS_NOT:
        for (size_t i = 0; i < size; i++)
            result[i] = (uint8_t)~source[i];
        break;
    }
}

/* Bytes that a source has within the piece [at, at + size). */
static inline size_t span_within(const struct bits_span *source, size_t at, size_t size) {
    if (source->size <= at)
        return 0;
    return source->size - at < size ? source->size - at : size;
}

static void combine_piece(enum bits_operation operation, const struct bits_span *sources, size_t count,
                          uint8_t *result, size_t at, size_t size) {
    size_t first = span_within(&sources[0], at, size);
    if (first != 0)
        memcpy(result, sources[0].data + at, first);
    memset(result + first, 0, size - first);
    for (size_t i = 1; i < count; i++) {
        size_t within = span_within(&sources[i], at, size);
        if (within != 0)
            combine_into(operation, result, sources[i].data + at, within);
        if (operation == BITS_AND)
            memset(result + within, 0, size - within);
    }
}

void bits_combine(enum bits_operation operation, const struct bits_span *sources, size_t count,
                  uint8_t *result, size_t size) {
    if (operation == BITS_NOT) {
        combine_into(BITS_NOT, result, sources[0].data, size);
        return;
    }
    for (size_t at = 0; at < size; at += BITS_PIECE_SIZE) {
        size_t piece = size - at < BITS_PIECE_SIZE ? size - at : BITS_PIECE_SIZE;
        combine_piece(operation, sources, count, result + at, at, piece);
    }
}

/* A field of up to 64 bits that begins anywhere in a byte touches up to nine bytes. */
#define BITS_FIELD_BYTES 9

uint64_t bits_read_field(const uint8_t *data, size_t size, uint64_t offset, unsigned width) {
    uint8_t window[BITS_FIELD_BYTES] = {0};
    uint64_t byte = offset >> 3;
    unsigned shift = offset & 7;
    if (byte < size)
        memcpy(window, data + byte, size - byte < sizeof window ? size - byte : sizeof window);
    uint64_t bits = __builtin_bswap64(load_u64(window)) << shift | window[8] >> (8 - shift);
    return bits >> (64 - width);
}

void bits_write_field(uint8_t *data, uint64_t offset, unsigned width, uint64_t value) {
    uint64_t end = offset + width; /* the bit behind the field */
    value <<= 64 - width;
    while (offset < end) {
        unsigned start = offset & 7;
        unsigned taken = end - offset < 8 - start ? (unsigned)(end - offset) : 8 - start;
        uint8_t mask = (uint8_t)(mask_from(start) & mask_to(start + taken - 1));
        uint8_t *byte = data + (offset >> 3);
        *byte = (uint8_t)((*byte & ~mask) | ((uint8_t)(value >> 56) >> start & mask));
        value <<= taken;
        offset += taken;
    }
}
