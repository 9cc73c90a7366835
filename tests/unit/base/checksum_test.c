/*
 * checksum_test.c - CRC-64 against its definition, XXH3 against published values.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/checksum.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <string.h>

/* The definition, one bit at a time. */
static uint64_t crc64_by_bits(uint64_t check, const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        check ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            check =
                check & 1 ? check >> 1 ^ 0x95ac9329ac4bc9b5ULL : check >> 1; /* 0xad93d23594c935a9 mirrored */
    }
    return check;
}

Test(checksum, crc64_gives_the_published_value) {
    cr_expect_eq(checksum_crc64(0, "123456789", 9), 0xe9c6d914c4b8d9caULL);
    cr_expect_eq(checksum_crc64(0, "", 0), 0);
}

/* DUMP of the string "hello" by redis-server 7.0.15. */
Test(checksum, crc64_is_the_one_at_the_end_of_a_dump) {
    static const uint8_t dump[] = {0x00, 0x05, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x0a, 0x00,
                                   0x63, 0x72, 0xdf, 0x76, 0x65, 0x34, 0x20, 0x0a};
    uint64_t expected = 0;
    for (size_t i = 0; i < 8; i++)
        expected |= (uint64_t)dump[sizeof(dump) - 8 + i] << 8 * i;
    cr_expect_eq(checksum_crc64(0, dump, sizeof(dump) - 8), expected);
}

Test(checksum, crc64_agrees_with_its_definition_at_every_length_and_place) {
    uint8_t bytes[256];
    struct rng rng;
    rng_init(&rng, 1);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)rng_next64(&rng);
    for (size_t start = 0; start < 9; start++) {
        for (size_t size = 0; size < 200; size++)
            cr_assert_eq(checksum_crc64(0, bytes + start, size), crc64_by_bits(0, bytes + start, size));
    }
}

Test(checksum, crc64_goes_on_from_the_bytes_before) {
    static const char text[] = "The quick brown fox jumps over the lazy dog";
    size_t size = sizeof(text) - 1;
    uint64_t whole = checksum_crc64(0, text, size);
    for (size_t cut = 0; cut <= size; cut++)
        cr_expect_eq(checksum_crc64(checksum_crc64(0, text, cut), text + cut, size - cut), whole);
}

Test(checksum, bytes_gives_the_published_values_of_xxh3) {
    cr_expect_eq(checksum_bytes("", 0), 0x2d06800538d394c2ULL);
    cr_expect_eq(checksum_bytes("123456789", 9), 0x72dcb18b67a17dffULL);
}

Test(checksum, both_see_every_single_bit) {
    uint8_t bytes[300];
    memset(bytes, 0x5a, sizeof(bytes));
    uint64_t sum = checksum_bytes(bytes, sizeof(bytes));
    uint64_t crc = checksum_crc64(0, bytes, sizeof(bytes));
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_expect_neq(checksum_bytes(bytes, sizeof(bytes)), sum);
        cr_expect_neq(checksum_crc64(0, bytes, sizeof(bytes)), crc);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
