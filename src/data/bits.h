/* bits.h - strings as arrays of bits: counting, searching, combining, and fields of 1 to 64 bits.
 *
 * Bit 0 is the highest bit of the first byte, as Redis counts. Ranges are given by their first and last bit or
 * byte, both within the data.
 * May touch: base, the caller's bytes. Must never know: keys, commands, replies.
 * Invariants: nothing is read or written outside the spans that are given.
 * Tests: tests/unit/data/bits_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef DATA_BITS_H
#define DATA_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bits_span {
    const uint8_t *data;
    size_t size;
};

enum bits_operation { BITS_AND, BITS_OR, BITS_XOR, BITS_NOT };

static inline bool bits_get(const uint8_t *data, uint64_t bit) {
    return data[bit >> 3] >> (7 - (bit & 7)) & 1;
}

static inline void bits_set(uint8_t *data, uint64_t bit, bool value) {
    uint8_t mask = (uint8_t)(0x80 >> (bit & 7));
    data[bit >> 3] = (uint8_t)(value ? data[bit >> 3] | mask : data[bit >> 3] & ~mask);
}

/* How many bits are set in `size` bytes. */
uint64_t bits_count(const uint8_t *data, size_t size);

/* How many bits are set from bit `first` to bit `last`; first <= last. */
uint64_t bits_count_range(const uint8_t *data, uint64_t first, uint64_t last);

/* The first bit from `first` to `last` that has the wanted value; -1: there is none. first <= last. */
int64_t bits_find(const uint8_t *data, uint64_t first, uint64_t last, bool wanted);

/* Combines the sources bit by bit into result, which is as long as the longest of them (size bytes) and overlaps
 * none; shorter ones count as followed by zero bits. count >= 1; BITS_NOT takes the first source alone. */
void bits_combine(enum bits_operation operation, const struct bits_span *sources, size_t count,
                  uint8_t *result, size_t size);

/* The field of `width` bits (1 to 64) that begins at bit `offset`, as an unsigned number whose highest bit comes
 * first. Bits past the end of the data are 0. */
uint64_t bits_read_field(const uint8_t *data, size_t size, uint64_t offset, unsigned width);

/* Writes the low `width` bits of value there; the field lies within the data. */
void bits_write_field(uint8_t *data, uint64_t offset, unsigned width, uint64_t value);

#endif
