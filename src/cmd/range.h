/* range.h - ranges as clients write them: both ends included, negative numbers count from the end.
 *
 * Must never know: what the elements are.
 * Tests: tests/unit/cmd/string_test.c, bitmap_test.c (GETRANGE, BITCOUNT, BITPOS).
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CMD_RANGE_H
#define CMD_RANGE_H

#include <stdbool.h>
#include <stdint.h>

/* Brings first and last into 0..length-1. An end before the beginning counts as the beginning, as in Redis, so that
 * -100 of three elements is the first. false: nothing lies in the range. */
static inline bool range_clamp(int64_t *first, int64_t *last, int64_t length) {
    if (*first < 0)
        *first = *first + length < 0 ? 0 : *first + length;
    if (*last < 0)
        *last = *last + length < 0 ? 0 : *last + length;
    if (*last >= length)
        *last = length - 1;
    return *first <= *last;
}

/* Two negative ends in the wrong order: empty before they are brought into the string. */
static inline bool range_is_reversed(int64_t first, int64_t last) {
    return first < 0 && last < 0 && first > last;
}

#endif
