/*
 * load.h - integers from bytes at any address, the first byte lowest, on every machine.
 *
 * May touch: the bytes that it is told to read, without looking at a limit: for untrusted sizes take
 * cursor.h.
 * Tests: tests/unit/base/load_test.c
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_LOAD_H
#define BASE_LOAD_H

#include <stddef.h>
#include <stdint.h>

/* Compilers make one instruction of each of these. */
static inline uint16_t load_u16(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint32_t load_u32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static inline uint64_t load_u64(const uint8_t *bytes) {
    return (uint64_t)bytes[0] | (uint64_t)bytes[1] << 8 | (uint64_t)bytes[2] << 16 |
           (uint64_t)bytes[3] << 24 | (uint64_t)bytes[4] << 32 | (uint64_t)bytes[5] << 40 |
           (uint64_t)bytes[6] << 48 | (uint64_t)bytes[7] << 56;
}

/*
 * The first size bytes, 1 to 7, in the high bytes of the result, behind 8 - size zero bytes: what load_u64()
 * would give if zero bytes stood before them.
 */
static inline uint64_t load_short(const uint8_t *bytes, size_t size) {
    unsigned zeros = (unsigned)(8 * (8 - size));
    if (size >= 4)
        return (uint64_t)load_u32(bytes) << zeros | (uint64_t)load_u32(bytes + size - 4) << 32;
    /* With fewer than four bytes these three places cover all, some twice. */
    return (uint64_t)bytes[0] << zeros | (uint64_t)bytes[size / 2] << (zeros + 8 * (size / 2)) |
           (uint64_t)bytes[size - 1] << 56;
}

#endif
