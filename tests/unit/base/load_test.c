/*
 * load_test.c - integers from bytes.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/load.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t bytes[9] = {0xf1, 0xe2, 0xd3, 0xc4, 0xb5, 0xa6, 0x97, 0x88, 0x79};

Test(load, the_first_byte_is_the_lowest) {
    cr_expect_eq(load_u16(bytes), 0xe2f1);
    cr_expect_eq(load_u32(bytes), 0xc4d3e2f1);
    cr_expect_eq(load_u64(bytes), 0x8897a6b5c4d3e2f1ULL);
    cr_expect_eq(load_u64(bytes + 1), 0x798897a6b5c4d3e2ULL);
}

Test(load, short_texts_stand_behind_zero_bytes) {
    for (size_t size = 1; size < 8; size++) {
        uint8_t padded[8] = {0};
        memcpy(padded + 8 - size, bytes, size);
        uint8_t *exact = malloc(size);
        cr_assert_not_null(exact);
        memcpy(exact, bytes, size);
        cr_expect_eq(load_short(exact, size), load_u64(padded), "size %zu", size);
        free(exact);
    }
}
