/* slot_set.h - a set of slots: one bit each.
 *
 * A value; {{0}} is empty. May touch: base. Must never know: what the slots hold, what they were chosen for.
 * Tests: tests/unit/store/slot_set_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_SLOT_SET_H
#define STORE_SLOT_SET_H

#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct slot_set {
    uint64_t bits[SLOT_COUNT / 64];
};

static inline bool slot_set_has(const struct slot_set *set, uint32_t slot) {
    return set->bits[slot >> 6] >> (slot & 63) & 1;
}

static inline void slot_set_add(struct slot_set *set, uint32_t slot) {
    set->bits[slot >> 6] |= UINT64_C(1) << (slot & 63);
}

/* The slots from `first` up to the one before `end`. */
static inline void slot_set_add_range(struct slot_set *set, uint32_t first, uint32_t end) {
    while (first < end) {
        uint32_t count = 64 - (first & 63) < end - first ? 64 - (first & 63) : end - first;
        uint64_t bits = count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
        set->bits[first >> 6] |= bits << (first & 63);
        first += count;
    }
}

static inline void slot_set_remove(struct slot_set *set, uint32_t slot) {
    set->bits[slot >> 6] &= ~(UINT64_C(1) << (slot & 63));
}

/* The first slot of the set from `from` on; SLOT_COUNT: there is none. */
static inline uint32_t slot_set_next(const struct slot_set *set, uint32_t from) {
    for (uint32_t word = from >> 6; word < SLOT_COUNT / 64; word++) {
        uint64_t bits = set->bits[word];
        if (word == from >> 6)
            bits = bits >> (from & 63) << (from & 63);
        if (bits != 0)
            return word << 6 | (uint32_t)__builtin_ctzll(bits);
    }
    return SLOT_COUNT;
}

/* The first slot from `from` on that is not in the set; SLOT_COUNT: there is none. */
static inline uint32_t slot_set_next_absent(const struct slot_set *set, uint32_t from) {
    for (uint32_t word = from >> 6; word < SLOT_COUNT / 64; word++) {
        uint64_t bits = ~set->bits[word];
        if (word == from >> 6)
            bits = bits >> (from & 63) << (from & 63);
        if (bits != 0)
            return word << 6 | (uint32_t)__builtin_ctzll(bits);
    }
    return SLOT_COUNT;
}

static inline uint32_t slot_set_count(const struct slot_set *set) {
    uint32_t count = 0;
    for (uint32_t word = 0; word < SLOT_COUNT / 64; word++)
        count += (uint32_t)__builtin_popcountll(set->bits[word]);
    return count;
}

#endif
