/* encode.h - integers into bytes, the first byte lowest, and in groups of seven bits: what cursor.h reads.
 *
 * May touch: the bytes that it is told to write, without looking at a limit: who calls has made room.
 * Tests: tests/unit/base/encode_test.c
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_ENCODE_H
#define BASE_ENCODE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes that a varint may take. */
#define ENCODE_VARINT_MAX 10

/* The lowest `size` bytes of the value. Each function returns the end of what it wrote. */
static inline uint8_t *encode_fixed(uint8_t *out, uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; i++)
        *out++ = (uint8_t)(value >> 8 * i);
    return out;
}

/* The same for the widths that are written most: one store each, which compilers do not make of the loop above. */
static inline uint8_t *encode_u16(uint8_t *out, uint16_t value) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap16(value);
#endif
    memcpy(out, &value, sizeof value);
    return out + sizeof value;
}

static inline uint8_t *encode_u64(uint8_t *out, uint64_t value) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    memcpy(out, &value, sizeof value);
    return out + sizeof value;
}

/* LEB128 in its shortest form. */
static inline uint8_t *encode_varint(uint8_t *out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        *out++ = (uint8_t)(value | 0x80);
    *out++ = (uint8_t)value;
    return out;
}

static inline size_t encode_varint_size(uint64_t value) {
    size_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

#endif
