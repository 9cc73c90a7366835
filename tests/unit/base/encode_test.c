/* encode_test.c - what is written is what a cursor reads.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/encode.h"

#include "base/cursor.h"

#include <criterion/criterion.h>
#include <string.h>

Test(encode, fixed_numbers_have_their_lowest_byte_first) {
    uint8_t bytes[9] = {0};
    cr_assert_eq(encode_fixed(bytes, UINT64_C(0x1122334455667788), 3), bytes + 3);
    cr_assert_eq(memcmp(bytes, "\x88\x77\x66\0", 4), 0);
    cr_assert_eq(encode_fixed(bytes, UINT64_C(0x1122334455667788), 8), bytes + 8);
    cr_assert_eq(memcmp(bytes, "\x88\x77\x66\x55\x44\x33\x22\x11\0", 9), 0);
}

Test(encode, the_widths_with_functions_of_their_own_are_written_the_same) {
    uint8_t bytes[11] = {0};
    cr_assert_eq(encode_u64(encode_u16(bytes, 0x99aa), UINT64_C(0x1122334455667788)), bytes + 10);
    cr_assert_eq(memcmp(bytes, "\xaa\x99\x88\x77\x66\x55\x44\x33\x22\x11\0", 11), 0);
}

Test(encode, a_cursor_reads_every_varint_back) {
    for (unsigned shift = 0; shift < 64; shift++)
        for (int64_t near = -1; near <= 1; near++) {
            uint64_t value = (UINT64_C(1) << shift) + (uint64_t)near;
            uint8_t bytes[ENCODE_VARINT_MAX];
            size_t size = (size_t)(encode_varint(bytes, value) - bytes);
            cr_assert_eq(size, encode_varint_size(value));
            cr_assert_leq(size, ENCODE_VARINT_MAX);
            struct cursor cursor = cursor_make(bytes, size);
            cr_assert_eq(cursor_varint(&cursor), value);
            cr_assert(cursor_is_done(&cursor));
        }
}
