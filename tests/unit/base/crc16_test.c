/*
 * crc16_test.c - CRC16 against its definition, slots against those that Redis Cluster computes.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/crc16.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* The definition, one bit at a time. */
static uint16_t crc16_by_bits(const uint8_t *bytes, size_t size) {
    unsigned check = 0;
    for (size_t i = 0; i < size; i++) {
        check ^= (unsigned)bytes[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            check = check & 0x8000 ? (check << 1 ^ 0x1021) & 0xffff : check << 1;
    }
    return (uint16_t)check;
}

/* The rule, one byte at a time. */
static uint16_t slot_by_bytes(const uint8_t *key, size_t size) {
    size_t open = 0, close;
    while (open < size && key[open] != '{')
        open++;
    for (close = open + 1; close < size && key[close] != '}';)
        close++;
    if (close < size && close > open + 1)
        return crc16_by_bits(key + open + 1, close - open - 1) % 16384;
    return crc16_by_bits(key, size) % 16384;
}

Test(crc16, it_gives_the_published_value) {
    cr_expect_eq(crc16("123456789", 9), 0x31c3);
    cr_expect_eq(crc16("", 0), 0);
    cr_expect_eq(crc16(NULL, 0), 0);
}

/* Exact allocations: a read past either end is a fault under the address sanitizer. */
Test(crc16, it_agrees_with_its_definition_at_every_length) {
    struct rng rng;
    rng_init(&rng, 1);
    for (size_t size = 1; size < 200; size++) {
        uint8_t *bytes = malloc(size);
        cr_assert_not_null(bytes);
        for (int round = 0; round < 20; round++) {
            for (size_t i = 0; i < size; i++)
                bytes[i] = (uint8_t)rng_next64(&rng);
            cr_assert_eq(crc16(bytes, size), crc16_by_bits(bytes, size), "size %zu", size);
        }
        free(bytes);
    }
}

Test(crc16, slots_are_those_of_cluster_keyslot) {
#define KEY(text) text, sizeof(text) - 1
    /* clang-format off */
    static const struct {
        const char *key;
        size_t size;
        uint16_t slot;
    } cases[] = {
        {KEY(""), 0},
        {KEY("a"), 15495},
        {KEY("ab"), 13567},
        {KEY("foo"), 12182},
        {KEY("bar"), 5061},
        {KEY("hello"), 866},
        {KEY("123456"), 8420},
        {KEY("1234567"), 1750},
        {KEY("12345678"), 4117},
        {KEY("123456789"), 12739},
        {KEY("key:000000000001"), 8924},
        {KEY("key:0000000000012"), 6013},
        {KEY("user:1000:profile:settings"), 8290},
        {KEY("somekey-that-is-a-little-longer-than-32-bytes"), 1259},
        {KEY("{user1000}.following"), 3443},
        {KEY("{user1000}.followers"), 3443},
        {KEY("user1000"), 3443},
        {KEY("foo{}{bar}"), 8363},
        {KEY("foo{{bar}}zap"), 4015},
        {KEY("{bar"), 4015},
        {KEY("foo{bar}{zap}"), 5061},
        {KEY("bar"), 5061},
        {KEY("{}"), 15257},
        {KEY("{"), 4092},
        {KEY("}"), 12090},
        {KEY("}{"), 12793},
        {KEY("}a{b}c"), 3300},
        {KEY("{a}"), 15495},
        {KEY("x{a}"), 15495},
        {KEY("{a}x"), 15495},
        {KEY("{a"), 10276},
        {KEY("a}"), 5921},
        {KEY("{}a"), 10875},
        {KEY("{{}}"), 4092},
        {KEY("{ }"), 9314},
        {KEY(" "), 9314},
        {KEY("\000"), 0},
        {KEY("\000\000\000"), 0},
        {KEY("{\000}x"), 0},
        {KEY("\377"), 7920},
        {KEY("\373\373\373{t}"), 15891},
        {KEY("\303\251t\303\251{x}"), 16287},
        {KEY("zzzzzzz{"), 5008},
        {KEY("zzzzzzzz{t}"), 15891},
        {KEY("12345678901234567890123456789012{t}"), 15891},
        {KEY("123456789012345678901234567890123456{t}"), 15891},
        {KEY("{0123456789abcdefghijklmnopqrstuvwxyz}"), 5400},
    };
    /* clang-format on */
#undef KEY
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(crc16_key_slot(cases[i].key, cases[i].size), cases[i].slot, "key %s", cases[i].key);
}

Test(crc16, the_brace_is_found_wherever_it_stands) {
    uint8_t key[100];
    for (size_t size = 3; size < sizeof(key); size++) {
        for (size_t open = 0; open + 2 < size; open++) {
            memset(key, 'k', size);
            key[open] = '{';
            key[size - 1] = '}';
            cr_assert_eq(crc16_key_slot(key, size), slot_by_bytes(key, size), "size %zu, open %zu", size,
                         open);
        }
    }
}

Test(crc16, random_keys_of_braces_follow_the_rule) {
    static const uint8_t alphabet[] = {'{', '}', 'a', 'z', '|', 0xfb, 0x80, 0};
    struct rng rng;
    rng_init(&rng, 2);
    for (int round = 0; round < 100000; round++) {
        uint8_t key[40];
        size_t size = rng_below(&rng, sizeof(key) + 1);
        for (size_t i = 0; i < size; i++)
            key[i] = alphabet[rng_below(&rng, sizeof(alphabet))];
        cr_assert_eq(crc16_key_slot(key, size), slot_by_bytes(key, size));
    }
}
