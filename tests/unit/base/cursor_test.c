/*
 * cursor_test.c - the checked reader: values, ends, failures that stay.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/cursor.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(cursor, it_reads_numbers_lowest_byte_first) {
    static const uint8_t bytes[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
                                    0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0xff};
    struct cursor cursor = cursor_make(bytes, sizeof(bytes));
    cr_expect_eq(cursor_remaining(&cursor), 15);
    cr_expect_eq(cursor_u8(&cursor), 0x01);
    cr_expect_eq(cursor_u16(&cursor), 0x0302);
    cr_expect_eq(cursor_u32(&cursor), 0x07060504);
    cr_expect_eq(cursor_remaining(&cursor), 8);
    cr_expect_eq(cursor_u64(&cursor), 0xff0e0d0c0b0a0908ULL);
    cr_expect_eq(cursor_remaining(&cursor), 0);
    cr_expect(cursor_is_done(&cursor));
    cr_expect(!cursor_failed(&cursor));
}

Test(cursor, it_hands_out_bytes_in_place) {
    static const uint8_t bytes[] = "abcdef";
    struct cursor cursor = cursor_make(bytes, 6);
    cr_expect_eq(cursor_bytes(&cursor, 2), bytes);
    cr_expect_eq(cursor_bytes(&cursor, 4), bytes + 2);
    cr_expect_not_null(cursor_bytes(&cursor, 0));
    cr_expect(cursor_is_done(&cursor));
    cr_expect_null(cursor_bytes(&cursor, 1));
    cr_expect(cursor_failed(&cursor));
    cr_expect(!cursor_is_done(&cursor));
}

/* An exact allocation, so that a read past the end is a fault under the address sanitizer. Not inlined: a
 * compiler that sees the size warns of the reads that the cursor refuses. */
static __attribute__((noinline)) uint8_t *exact_bytes(size_t size) {
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    cr_assert_not_null(bytes);
    memset(bytes, 0x81, size);
    return bytes;
}

Test(cursor, every_read_fails_where_too_few_bytes_are_left) {
    for (size_t size = 0; size < 8; size++) {
        uint8_t *bytes = exact_bytes(size);
        struct cursor cursor;

        cursor = cursor_make(bytes, size);
        cr_expect_eq(cursor_u64(&cursor), 0);
        cr_expect(cursor_failed(&cursor));

        cursor = cursor_make(bytes, size);
        cr_expect_eq(cursor_u32(&cursor), size < 4 ? 0 : 0x81818181);
        cr_expect_eq(cursor_failed(&cursor), size < 4);

        cursor = cursor_make(bytes, size);
        cr_expect_eq(cursor_u16(&cursor), size < 2 ? 0 : 0x8181);
        cr_expect_eq(cursor_failed(&cursor), size < 2);

        cursor = cursor_make(bytes, size);
        cr_expect_eq(cursor_u8(&cursor), size < 1 ? 0 : 0x81);
        cr_expect_eq(cursor_failed(&cursor), size < 1);

        cursor = cursor_make(bytes, size);
        cr_expect_eq(cursor_varint(&cursor), 0);
        cr_expect(cursor_failed(&cursor));

        cursor = cursor_make(bytes, size);
        cr_expect_null(cursor_bytes(&cursor, size + 1));
        cr_expect(cursor_failed(&cursor));
        free(bytes);
    }
}

Test(cursor, sizes_that_would_overflow_an_address_fail) {
    uint8_t bytes[4] = {1, 2, 3, 4};
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 3, (size_t)1 << 63, 5};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct cursor cursor = cursor_make(bytes, sizeof(bytes));
        cr_expect_null(cursor_bytes(&cursor, sizes[i]));
        cr_expect(cursor_failed(&cursor));
    }
}

Test(cursor, after_a_failure_nothing_can_be_read) {
    static const uint8_t bytes[16] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct cursor cursor = cursor_make(bytes, sizeof(bytes));
    cr_expect_eq(cursor_u8(&cursor), 1);
    cr_expect_null(cursor_bytes(&cursor, 16));
    cr_expect(cursor_failed(&cursor));
    cr_expect_eq(cursor_u8(&cursor), 0);
    cr_expect_eq(cursor_u16(&cursor), 0);
    cr_expect_eq(cursor_u32(&cursor), 0);
    cr_expect_eq(cursor_u64(&cursor), 0);
    cr_expect_eq(cursor_varint(&cursor), 0);
    cr_expect_null(cursor_bytes(&cursor, 0));
    cr_expect_null(cursor_bytes(&cursor, 1));
    cr_expect_eq(cursor_remaining(&cursor), 0);
    cr_expect_eq(cursor.position, bytes + 1);
}

Test(cursor, a_reader_can_declare_a_failure) {
    static const uint8_t bytes[] = {1, 2};
    struct cursor cursor = cursor_make(bytes, sizeof(bytes));
    cursor_fail(&cursor);
    cr_expect(cursor_failed(&cursor));
    cr_expect_eq(cursor_u8(&cursor), 0);
}

Test(cursor, no_bytes_at_all_are_done_at_once) {
    struct cursor cursor = cursor_make(NULL, 0);
    cr_expect_eq(cursor_remaining(&cursor), 0);
    cr_expect(cursor_is_done(&cursor));
    cr_expect_eq(cursor_u8(&cursor), 0);
    cr_expect(cursor_failed(&cursor));
}

static size_t write_varint(uint8_t *out, uint64_t value) {
    size_t size = 0;
    for (; value >= 0x80; value >>= 7)
        out[size++] = (uint8_t)(value | 0x80);
    out[size++] = (uint8_t)value;
    return size;
}

Test(cursor, varints_come_back_at_every_length) {
    for (unsigned bits = 0; bits <= 64; bits++) {
        uint64_t power = bits == 64 ? 0 : 1ULL << bits;
        uint64_t values[] = {power - 1, power, power + 1};
        for (size_t i = 0; i < 3; i++) {
            uint8_t bytes[11];
            size_t size = write_varint(bytes, values[i]);
            bytes[size] = 0x55;
            struct cursor cursor = cursor_make(bytes, size + 1);
            cr_expect_eq(cursor_varint(&cursor), values[i]);
            cr_expect_eq(cursor_u8(&cursor), 0x55);
            cr_expect(cursor_is_done(&cursor));

            cursor = cursor_make(bytes, size - 1);
            cr_expect_eq(cursor_varint(&cursor), 0);
            cr_expect(cursor_failed(&cursor));
        }
    }
}

Test(cursor, varints_of_more_than_64_bits_fail) {
    static const uint8_t too_high[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    static const uint8_t too_long[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x00};
    struct cursor cursor = cursor_make(too_high, sizeof(too_high));
    cr_expect_eq(cursor_varint(&cursor), 0);
    cr_expect(cursor_failed(&cursor));
    cursor = cursor_make(too_long, sizeof(too_long));
    cr_expect_eq(cursor_varint(&cursor), 0);
    cr_expect(cursor_failed(&cursor));
}

Test(cursor, varints_with_needless_bytes_fail) {
    static const uint8_t zero[] = {0x80, 0x00};
    static const uint8_t one[] = {0x81, 0x80, 0x00};
    struct cursor cursor = cursor_make(zero, sizeof(zero));
    cr_expect_eq(cursor_varint(&cursor), 0);
    cr_expect(cursor_failed(&cursor));
    cursor = cursor_make(one, sizeof(one));
    cr_expect_eq(cursor_varint(&cursor), 0);
    cr_expect(cursor_failed(&cursor));
}
