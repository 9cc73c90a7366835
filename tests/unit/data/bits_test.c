/* bits_test.c - data/bits against loops that look at one bit at a time.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "data/bits.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BYTES 80

/* A block of exactly `size` bytes, so that a sanitizer sees every byte read past its end. */
static uint8_t *block(size_t size) {
    uint8_t *bytes = malloc(size);
    cr_assert(bytes != NULL || size == 0);
    return bytes;
}

static uint8_t *random_block(struct rng *rng, size_t size) {
    uint8_t *bytes = block(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)rng_next64(rng);
    return bytes;
}

static uint64_t count_one_by_one(const uint8_t *data, uint64_t first, uint64_t last) {
    uint64_t count = 0;
    for (uint64_t bit = first; bit <= last; bit++)
        count += bits_get(data, bit);
    return count;
}

static int64_t find_one_by_one(const uint8_t *data, uint64_t first, uint64_t last, bool wanted) {
    for (uint64_t bit = first; bit <= last; bit++)
        if (bits_get(data, bit) == wanted)
            return (int64_t)bit;
    return -1;
}

Test(bits, bit_0_is_the_highest_of_the_first_byte) {
    uint8_t data[2] = {0x80, 0x01};
    cr_assert(bits_get(data, 0));
    cr_assert_not(bits_get(data, 1));
    cr_assert_not(bits_get(data, 14));
    cr_assert(bits_get(data, 15));
    bits_set(data, 1, true);
    bits_set(data, 15, false);
    cr_assert_eq(data[0], 0xc0);
    cr_assert_eq(data[1], 0x00);
    bits_set(data, 1, true);
    bits_set(data, 15, false);
    cr_assert_eq(data[0], 0xc0);
    cr_assert_eq(data[1], 0x00);
}

Test(bits, counting_agrees_with_one_bit_at_a_time_for_every_range) {
    struct rng rng;
    rng_init(&rng, 1);
    for (size_t size = 0; size <= MOST_BYTES; size++) {
        uint8_t *data = random_block(&rng, size);
        cr_assert_eq(bits_count(data, size), size == 0 ? 0 : count_one_by_one(data, 0, size * 8 - 1));
        for (uint64_t first = 0; first < size * 8; first += 1 + rng_below(&rng, 5))
            for (uint64_t last = first; last < size * 8; last += 1 + rng_below(&rng, 9))
                cr_assert_eq(bits_count_range(data, first, last), count_one_by_one(data, first, last),
                             "bits %zu to %zu of %zu bytes", (size_t)first, (size_t)last, size);
        free(data);
    }
}

/* Long runs of equal bits with few others: the searches have to pass whole words, and to stop within one. */
static uint8_t *sparse_block(struct rng *rng, size_t size, bool background) {
    uint8_t *data = block(size);
    memset(data, background ? 0xff : 0, size);
    for (uint64_t i = rng_below(rng, 3); i > 0 && size > 0; i--)
        bits_set(data, rng_below(rng, size * 8), !background);
    return data;
}

Test(bits, searching_agrees_with_one_bit_at_a_time_for_every_range) {
    struct rng rng;
    rng_init(&rng, 2);
    for (unsigned round = 0; round < 400; round++) {
        size_t size = 1 + round % MOST_BYTES;
        uint8_t *data = sparse_block(&rng, size, round & 1);
        for (uint64_t first = 0; first < size * 8; first += 1 + rng_below(&rng, 13))
            for (uint64_t last = first; last < size * 8; last += 1 + rng_below(&rng, 17))
                for (int wanted = 0; wanted <= 1; wanted++)
                    cr_assert_eq(
                        bits_find(data, first, last, wanted), find_one_by_one(data, first, last, wanted),
                        "%d from %zu to %zu of %zu bytes", wanted, (size_t)first, (size_t)last, size);
        free(data);
    }
}

Test(bits, searching_finds_a_single_bit_wherever_it_is) {
    uint8_t *data = block(MOST_BYTES);
    for (uint64_t bit = 0; bit < MOST_BYTES * 8; bit++) {
        memset(data, 0, MOST_BYTES);
        bits_set(data, bit, true);
        cr_assert_eq(bits_find(data, 0, MOST_BYTES * 8 - 1, true), (int64_t)bit);
        memset(data, 0xff, MOST_BYTES);
        bits_set(data, bit, false);
        cr_assert_eq(bits_find(data, 0, MOST_BYTES * 8 - 1, false), (int64_t)bit);
    }
    free(data);
}

static bool combined_bit(enum bits_operation operation, const struct bits_span *sources, size_t count,
                         uint64_t bit) {
    bool result = bit < sources[0].size * 8 && bits_get(sources[0].data, bit);
    if (operation == BITS_NOT)
        return !result;
    for (size_t i = 1; i < count; i++) {
        bool other = bit < sources[i].size * 8 && bits_get(sources[i].data, bit);
        if (operation == BITS_AND)
            result = result && other;
        else if (operation == BITS_OR)
            result = result || other;
        else
            result = result != other;
    }
    return result;
}

static void check_combination(enum bits_operation operation, size_t most, size_t count, struct rng *rng) {
    struct bits_span sources[5];
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        sources[i].size = rng_below(rng, most + 1);
        sources[i].data = random_block(rng, sources[i].size);
        size = sources[i].size > size ? sources[i].size : size;
    }
    uint8_t *result = random_block(rng, size); /* what was there before must not show */
    bits_combine(operation, sources, count, result, size);
    for (uint64_t bit = 0; bit < size * 8; bit++)
        cr_assert_eq(bits_get(result, bit), combined_bit(operation, sources, count, bit),
                     "operation %d, bit %zu of %zu bytes from %zu sources", operation, (size_t)bit, size,
                     count);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)sources[i].data);
    free(result);
}

Test(bits, combining_takes_shorter_sources_as_followed_by_zeros) {
    struct rng rng;
    rng_init(&rng, 3);
    for (unsigned round = 0; round < 300; round++) {
        check_combination(BITS_AND, 60, 1 + round % 5, &rng);
        check_combination(BITS_OR, 60, 1 + round % 5, &rng);
        check_combination(BITS_XOR, 60, 1 + round % 5, &rng);
        check_combination(BITS_NOT, 60, 1, &rng);
    }
}

Test(bits, combining_goes_on_across_its_pieces) {
    struct rng rng;
    rng_init(&rng, 4);
    for (unsigned round = 0; round < 12; round++)
        for (int operation = BITS_AND; operation <= BITS_NOT; operation++)
            check_combination((enum bits_operation)operation, 15000, operation == BITS_NOT ? 1 : 3, &rng);
}

Test(bits, a_field_written_is_read_back_and_its_surroundings_stay) {
    struct rng rng;
    rng_init(&rng, 5);
    for (unsigned width = 1; width <= 64; width++) {
        for (uint64_t offset = 0; offset < 24; offset++) {
            size_t size = (size_t)((offset + width + 7) / 8 + rng_below(&rng, 3));
            uint8_t *data = random_block(&rng, size);
            uint8_t *before = block(size);
            memcpy(before, data, size);
            uint64_t value = rng_next64(&rng);
            uint64_t kept = width == 64 ? value : value & ((UINT64_C(1) << width) - 1);
            bits_write_field(data, offset, width, value);
            cr_assert_eq(bits_read_field(data, size, offset, width), kept, "width %u at %zu", width,
                         (size_t)offset);
            for (uint64_t bit = 0; bit < size * 8; bit++) {
                if (bit < offset || bit >= offset + width)
                    cr_assert_eq(bits_get(data, bit), bits_get(before, bit));
                else
                    cr_assert_eq(bits_get(data, bit), kept >> (offset + width - 1 - bit) & 1);
            }
            free(data);
            free(before);
        }
    }
}

Test(bits, a_field_past_the_end_reads_zeros) {
    uint8_t *data = block(2);
    memset(data, 0xff, 2);
    cr_assert_eq(bits_read_field(data, 2, 8, 16), 0xff00);
    cr_assert_eq(bits_read_field(data, 2, 12, 64), UINT64_C(0xf000000000000000));
    cr_assert_eq(bits_read_field(data, 2, 15, 2), 2);
    cr_assert_eq(bits_read_field(data, 2, 16, 64), 0);
    cr_assert_eq(bits_read_field(data, 2, UINT64_C(1) << 33, 8), 0);
    cr_assert_eq(bits_read_field(data, 0, 0, 64), 0);
    free(data);
}
