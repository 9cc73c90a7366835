/* hash_test.c - the keyed hash: what it depends on, and how evenly it spreads.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/hash.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct hash_secret secret_of(const char seed[HASH_SEED_SIZE]) {
    struct hash_secret secret;
    hash_secret_init(&secret, (const uint8_t *)seed);
    return secret;
}

Test(hash, the_same_seed_gives_the_same_hashes_on_every_node) {
    struct hash_secret one = secret_of("sixteen bytes.."), other = secret_of("sixteen bytes..");
    cr_assert_eq(memcmp(one.bytes, other.bytes, sizeof one.bytes), 0);
    cr_assert_eq(hash_bytes(&one, "key", 3), hash_bytes(&other, "key", 3));
    cr_assert_eq(hash_bytes(&one, "", 0), hash_bytes(&other, NULL, 0),
                 "an empty key has one hash, wherever it lies");
}

/* Digests of records are compared between nodes: the values themselves are part of how nodes talk. */
Test(hash, values_are_those_of_all_other_builds) {
    struct hash_secret secret = secret_of("0123456789abcdef");
    char long_key[1000];
    memset(long_key, 'k', sizeof long_key);
    char values[128];
    snprintf(values, sizeof values, "%016llx %016llx %016llx %016llx",
             (unsigned long long)hash_bytes(&secret, "", 0),
             (unsigned long long)hash_bytes(&secret, "key", 3),
             (unsigned long long)hash_bytes(&secret, long_key, 100),
             (unsigned long long)hash_bytes(&secret, long_key, 1000));
    cr_assert_str_eq(values, "66d266e735025fd0 0ec63f5779d35e0a c5a7a6c6db55a040 d989edd97b70453d");
}

Test(hash, every_bit_of_the_seed_counts) {
    char seed[HASH_SEED_SIZE] = "sixteen bytes..";
    struct hash_secret secret = secret_of(seed);
    for (unsigned bit = 0; bit < HASH_SEED_SIZE * 8; bit++) {
        seed[bit / 8] = (char)(seed[bit / 8] ^ 1 << bit % 8);
        struct hash_secret changed = secret_of(seed);
        for (size_t size = 0; size < 300; size += 7) {
            static const char key[300] = "some key";
            cr_assert_neq(hash_bytes(&secret, key, size), hash_bytes(&changed, key, size),
                          "bit %u, %zu bytes", bit, size);
        }
        seed[bit / 8] = (char)(seed[bit / 8] ^ 1 << bit % 8);
    }
}

Test(hash, every_bit_of_a_key_and_its_size_count) {
    struct hash_secret secret = secret_of("sixteen bytes..");
    static const size_t sizes[] = {1, 3, 4, 8, 9, 16, 17, 64, 128, 129, 240, 241, 500};
    uint8_t key[501] = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t hash = hash_bytes(&secret, key, sizes[i]);
        cr_assert_neq(hash, hash_bytes(&secret, key, sizes[i] + 1), "%zu zero bytes and one more", sizes[i]);
        for (size_t bit = 0; bit < sizes[i] * 8; bit++) {
            key[bit / 8] ^= (uint8_t)(1 << bit % 8);
            uint64_t changed = hash_bytes(&secret, key, sizes[i]);
            cr_assert_neq(hash, changed, "bit %zu of %zu bytes", bit, sizes[i]);
            key[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

/* Tables take the high bits as the place and others as the tag: each part must be even by itself. */
Test(hash, keys_that_differ_little_are_spread_evenly_by_high_and_by_low_bits) {
    enum { BINS = 256, KEYS = BINS * 400 };
    struct hash_secret secret = secret_of("sixteen bytes..");
    for (unsigned shift = 0; shift < 64; shift += 8) {
        static uint32_t bins[BINS];
        memset(bins, 0, sizeof bins);
        for (unsigned i = 0; i < KEYS; i++) {
            char key[16];
            int size = snprintf(key, sizeof key, "key:%u", i);
            bins[hash_bytes(&secret, key, (size_t)size) >> shift & (BINS - 1)]++;
        }
        for (unsigned i = 0; i < BINS; i++) /* 400 expected, a deviation of 20: six of them */
            cr_assert(bins[i] > 280 && bins[i] < 520, "bits from %u: %u keys in bin %u", shift, bins[i], i);
    }
}
