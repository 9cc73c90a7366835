/* record_codec_test.c - round trips, the exact layout, and bytes that nobody should trust.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "proto/record_codec.h"

#include "base/checksum.h"
#include "base/limits.h"
#include "base/rng.h"
#include "data/merge_state.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const uint8_t *bytes_of(const char *text) {
    return (const uint8_t *)text;
}

static struct record_parts string_parts(const char *key, const char *value) {
    return (struct record_parts){.key = bytes_of(key),
                                 .value = bytes_of(value),
                                 .key_size = (uint32_t)strlen(key),
                                 .value_size = (uint32_t)strlen(value),
                                 .expiry_ms = RECORD_NO_EXPIRY,
                                 .newest = {.counter = 0x0102030405060708, .actor = 0x0a0b}};
}

static void expect_same(const struct record_parts *got, const struct record_parts *wanted, unsigned with) {
    cr_assert_eq(got->type, wanted->type);
    cr_assert_eq(got->encoding, wanted->encoding);
    cr_assert_eq(got->access_s, 0);
    cr_assert_eq(got->value_size, wanted->value_size);
    cr_assert(wanted->value_size == 0 || memcmp(got->value, wanted->value, wanted->value_size) == 0);
    cr_assert_eq(got->expiry_ms, with & RECORD_CODEC_EXPIRY ? wanted->expiry_ms : RECORD_NO_EXPIRY);
    if (with & RECORD_CODEC_KEY) {
        cr_assert_eq(got->key_size, wanted->key_size);
        cr_assert(wanted->key_size == 0 || memcmp(got->key, wanted->key, wanted->key_size) == 0);
    } else {
        cr_assert_eq(got->key_size, 0);
        cr_assert_null(got->key);
    }
    if (with & RECORD_CODEC_VERSION) {
        cr_assert_eq(got->newest.actor, wanted->newest.actor);
        cr_assert_eq(got->newest.counter, wanted->newest.counter);
        cr_assert_eq(got->other_count, wanted->other_count);
        for (unsigned i = 0; i < wanted->other_count; i++) {
            cr_assert_eq(got->others[i].actor, wanted->others[i].actor);
            cr_assert_eq(got->others[i].counter, wanted->others[i].counter);
        }
        cr_assert_eq(got->state_size, wanted->state_size);
        cr_assert(wanted->state_size == 0 || memcmp(got->state, wanted->state, wanted->state_size) == 0);
    } else {
        cr_assert_eq(got->state_size, 0);
        cr_assert_null(got->state);
        cr_assert_eq(got->newest.counter, 0);
        cr_assert_eq(got->other_count, 0);
    }
}

/* Writes into a block of exactly the announced size, reads back, and returns the block. */
static uint8_t *round_trip(const struct record_parts *parts, unsigned with, size_t *size) {
    *size = record_codec_size(parts, with);
    uint8_t *bytes = malloc(*size);
    cr_assert_not_null(bytes);
    cr_assert_eq(record_codec_write(bytes, parts, with), bytes + *size, "the size was announced wrongly");
    struct cursor cursor = cursor_make(bytes, *size);
    struct record_parts got;
    struct dot others[VERSION_DOTS_MAX];
    cr_assert(record_codec_read(&cursor, with, &got, others));
    cr_assert(cursor_is_done(&cursor));
    expect_same(&got, parts, with);
    return bytes;
}

static bool reads(const uint8_t *bytes, size_t size) {
    struct record_parts got;
    struct dot others[VERSION_DOTS_MAX];
    struct cursor cursor = cursor_make(bytes, size);
    return record_codec_read(&cursor, RECORD_CODEC_ALL, &got, others);
}

/* Writes parts that no record has, and expects that they are not read. */
static void expect_refused(const struct record_parts *parts, const char *rule) {
    size_t size = record_codec_size(parts, RECORD_CODEC_ALL);
    uint8_t *bytes = malloc(size);
    cr_assert_eq(record_codec_write(bytes, parts, RECORD_CODEC_ALL), bytes + size);
    cr_assert_not(reads(bytes, size), "%s", rule);
    free(bytes);
}

/* A valid record of any kind, all its bytes in `storage`. */
static struct record_parts random_parts(struct rng *rng, uint8_t storage[2000], struct dot *others) {
    for (size_t i = 0; i < 2000; i++)
        storage[i] = (uint8_t)rng_next64(rng);
    struct record_parts parts = {.key = storage,
                                 .key_size = (uint32_t)rng_below(rng, 300),
                                 .value = storage + 300,
                                 .value_size = (uint32_t)rng_below(rng, 1700),
                                 .expiry_ms = RECORD_NO_EXPIRY,
                                 .encoding = (uint8_t)rng_below(rng, 3)};
    if (rng_below(rng, 2))
        parts.expiry_ms = (int64_t)(rng_next64(rng) >> rng_below(rng, 63) >> 1);
    if (rng_below(rng, 5) == 0)
        parts = (struct record_parts){.key = parts.key,
                                      .key_size = parts.key_size,
                                      .expiry_ms = RECORD_NO_EXPIRY,
                                      .type = RECORD_TOMBSTONE};
    struct version version = {0};
    uint64_t dots = rng_below(rng, 2) ? 1 : 1 + rng_below(rng, VERSION_DOTS_MAX);
    while (version.count < dots)
        version_raise(&version, (struct dot){1 + rng_below(rng, 50), (uint16_t)rng_next64(rng)});
    parts.newest = version_highest(&version);
    parts.others = others;
    for (uint32_t i = 0; i < version.count; i++)
        if (version.dots[i].actor != parts.newest.actor)
            others[parts.other_count++] = version.dots[i];
    return parts;
}

Test(record_codec, the_layout_is_the_documented_one) {
    struct dot others[] = {{.counter = 3, .actor = 1}, {.counter = 0x1122, .actor = 0x0304}};
    struct record_parts parts = string_parts("key", "value");
    parts.expiry_ms = 0x1112131415161718;
    parts.encoding = ENCODING_RAW;
    parts.others = others;
    parts.other_count = 2;
    static const uint8_t expected[] = {1,    0xb8, /* format; string, raw, with all three */
                                       0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,        /* expiry */
                                       0x0b, 0x0a, 8,    7,    6,    5,    4,    3,    2,  1, /* newest dot */
                                       2,    1,    0,    3,    0,    0,    0,    0,    0,  0, 0,
                                       4,    3,    0x22, 0x11, 0,    0,    0,    0,    0,  0, 3,
                                       'k',  'e',  'y',  5,    'v',  'a',  'l',  'u',  'e'};
    size_t size;
    uint8_t *bytes = round_trip(&parts, RECORD_CODEC_ALL, &size);
    cr_assert_eq(size, sizeof expected);
    cr_assert_arr_eq(bytes, expected, sizeof expected);
    free(bytes);

    struct record_parts tombstone = {.key = bytes_of("k"),
                                     .key_size = 1,
                                     .expiry_ms = RECORD_NO_EXPIRY,
                                     .newest = {1, 2},
                                     .type = RECORD_TOMBSTONE};
    static const uint8_t expected_tombstone[] = {1, 0x37, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'k'};
    bytes = round_trip(&tombstone, RECORD_CODEC_ALL, &size);
    cr_assert_eq(size, sizeof expected_tombstone);
    cr_assert_arr_eq(bytes, expected_tombstone, sizeof expected_tombstone);
    free(bytes);
}

/* ---- Merge states ---- */

/* A counter: 5 was added by actor 3, with counter 7, to what was not there. */
static void make_counter(struct buffer *state) {
    struct amount amount = {.integer = 5};
    cr_assert(
        merge_state_add(state, NULL, true, (struct dot){.counter = 7, .actor = 3}, &amount, NULL, NULL));
}

static struct record_parts counter_parts(const struct buffer *state) {
    struct record_parts parts = string_parts("key", "5");
    parts.newest = (struct dot){.counter = 7, .actor = 3};
    parts.state = state->data;
    parts.state_size = (uint32_t)state->size;
    return parts;
}

Test(record_codec, a_merge_state_stands_behind_the_version) {
    struct mem mem = {0};
    struct buffer state;
    buffer_init(&state, &mem);
    make_counter(&state);
    struct record_parts parts = counter_parts(&state);
    size_t size, plain_size;
    uint8_t *bytes = round_trip(&parts, RECORD_CODEC_ALL, &size);
    cr_assert_eq(bytes[0], 2, "the format");
    cr_assert_eq(bytes[13], state.size);
    cr_assert_arr_eq(bytes + 14, state.data, state.size);
    cr_assert_arr_eq(bytes + 14 + state.size,
                     "\3key\1"
                     "5",
                     6);
    struct record_parts plain = parts;
    plain.state_size = 0;
    free(round_trip(&plain, RECORD_CODEC_ALL, &plain_size));
    cr_assert_eq(size, plain_size + 1 + state.size);
    free(bytes);
    for (unsigned with = 0; with < RECORD_CODEC_VERSION; with++) {
        bytes = round_trip(&parts, with, &size);
        cr_assert_eq(bytes[0], 1, "without a version there is no state");
        free(bytes);
    }
    buffer_release(&state);
}

Test(record_codec, a_merge_state_that_breaks_a_rule_is_refused) {
    struct mem mem = {0};
    struct buffer state;
    buffer_init(&state, &mem);
    make_counter(&state);
    struct record_parts parts = counter_parts(&state);
    size_t size;
    uint8_t *good = round_trip(&parts, RECORD_CODEC_ALL, &size), *bad = malloc(size + 1);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *part = malloc(cut + 1);
        memcpy(part, good, cut);
        cr_assert_not(reads(part, cut), "%zu of %zu bytes", cut, size);
        free(part);
    }
    memcpy(bad, good, size);
    bad[14] = 9;
    cr_assert_not(reads(bad, size), "there is no kind 9");
    memcpy(bad, good, size);
    bad[13]--;
    cr_assert_not(reads(bad, size), "a byte of the state would belong to the key");
    memcpy(bad, good, 13);
    bad[13] = 0;
    memcpy(bad + 14, good + 14 + state.size, size - 14 - state.size);
    cr_assert_not(reads(bad, size - state.size), "a state is not empty");
    memcpy(bad, good, size);
    bad[1] &= (uint8_t)~0x20u; /* without version */
    memmove(bad + 2, bad + 13, size - 13);
    cr_assert_not(reads(bad, size - 11), "no state without a version");
    parts.newest.counter = 6;
    expect_refused(&parts, "no dot is above the newest");
    parts.newest.counter = 8;
    free(round_trip(&parts, RECORD_CODEC_ALL, &size));
    parts.type = RECORD_TOMBSTONE;
    parts.value_size = 0;
    expect_refused(&parts, "a tombstone is no counter");
    free(good);
    free(bad);
    buffer_release(&state);
}

Test(record_codec, any_record_comes_back_whatever_is_left_out) {
    struct rng rng;
    rng_init(&rng, 1);
    static uint8_t storage[2000];
    struct dot others[VERSION_DOTS_MAX];
    for (int round = 0; round < 3000; round++) {
        struct record_parts parts = random_parts(&rng, storage, others);
        for (unsigned with = 0; with <= RECORD_CODEC_ALL; with++) {
            size_t size;
            free(round_trip(&parts, with, &size));
        }
    }
}

Test(record_codec, sizes_at_the_steps_of_their_varints_come_back) {
    static const uint32_t sizes[] = {0, 1, 127, 128, 255, 256, 16383, 16384, 2097151, 2097152};
    uint8_t *value = calloc(1, 2097152);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct record_parts parts = string_parts("k", "");
        parts.value = value;
        parts.value_size = sizes[i];
        size_t size;
        free(round_trip(&parts, RECORD_CODEC_ALL, &size));
        parts.key = value;
        parts.key_size = sizes[i];
        free(round_trip(&parts, RECORD_CODEC_KEY, &size));
    }
    free(value);
}

Test(record_codec, records_follow_each_other_in_a_buffer) {
    struct mem mem = {0};
    struct buffer buffer;
    buffer_init(&buffer, &mem);
    struct record_parts one = string_parts("one", "first"), two = string_parts("two", ""), got;
    two.expiry_ms = 5;
    cr_assert(record_codec_append(&buffer, &one, RECORD_CODEC_ALL));
    cr_assert(record_codec_append(&buffer, &two, RECORD_CODEC_ALL));
    struct cursor cursor = cursor_make(buffer.data, buffer.size);
    struct dot others[VERSION_DOTS_MAX];
    cr_assert(record_codec_read(&cursor, RECORD_CODEC_ALL, &got, others));
    expect_same(&got, &one, RECORD_CODEC_ALL);
    cr_assert_not(cursor_is_done(&cursor));
    cr_assert(record_codec_read(&cursor, RECORD_CODEC_ALL, &got, others));
    expect_same(&got, &two, RECORD_CODEC_ALL);
    cr_assert(cursor_is_done(&cursor));
    cr_assert_not(record_codec_read(&cursor, RECORD_CODEC_ALL, &got, others));
    buffer_release(&buffer);
    cr_assert_eq(mem.used_bytes, 0);
}

Test(record_codec, an_append_without_memory_leaves_the_buffer_as_it_was) {
    struct mem mem = {0};
    struct buffer buffer;
    buffer_init(&buffer, &mem);
    char value[1000];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    struct record_parts parts = string_parts("key", value);
    cr_assert(buffer_append_text(&buffer, "before"));
    mem.fuse = 1;
    cr_assert_not(record_codec_append(&buffer, &parts, RECORD_CODEC_ALL));
    cr_assert(buffer.failed);
    cr_assert_eq(buffer.size, 6);
    cr_assert_arr_eq(buffer.data, "before", 6);
    buffer_release(&buffer);
}

Test(record_codec, a_cut_record_is_refused_at_every_byte) {
    struct rng rng;
    rng_init(&rng, 2);
    static uint8_t storage[2000];
    struct dot others[VERSION_DOTS_MAX];
    for (int round = 0; round < 50; round++) {
        struct record_parts parts = random_parts(&rng, storage, others), got;
        size_t size;
        uint8_t *bytes = round_trip(&parts, RECORD_CODEC_ALL, &size);
        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *exact = malloc(cut + 1); /* so that a sanitizer sees a read past the cut */
            memcpy(exact + 1, bytes, cut);
            struct cursor cursor = cursor_make(exact + 1, cut);
            struct dot got_others[VERSION_DOTS_MAX];
            cr_assert_not(record_codec_read(&cursor, RECORD_CODEC_ALL, &got, got_others), "%zu of %zu bytes",
                          cut, size);
            free(exact);
        }
        free(bytes);
    }
}

Test(record_codec, what_is_asked_for_must_be_there_and_nothing_else) {
    struct record_parts parts = string_parts("key", "value"), got;
    struct dot others[VERSION_DOTS_MAX];
    parts.expiry_ms = 12345;
    for (unsigned written = 0; written <= RECORD_CODEC_ALL; written++) {
        size_t size;
        uint8_t *bytes = round_trip(&parts, written, &size);
        for (unsigned asked = 0; asked <= RECORD_CODEC_ALL; asked++) {
            struct cursor cursor = cursor_make(bytes, size);
            bool fits = asked == written || asked == (written | RECORD_CODEC_EXPIRY);
            cr_assert_eq(record_codec_read(&cursor, asked, &got, others), fits, "wrote %u, asked for %u",
                         written, asked);
        }
        free(bytes);
    }
}

/* Reads `size` bytes with everything in them. */
Test(record_codec, a_record_that_breaks_a_rule_is_refused) {
    struct dot others[] = {{.counter = 5, .actor = 2}, {.counter = 6, .actor = 4}};
    struct record_parts parts = string_parts("key", "value");
    parts.newest = (struct dot){.counter = 9, .actor = 3};
    parts.others = others;
    parts.other_count = 2;
    parts.expiry_ms = 7;
    size_t size;
    uint8_t *good = round_trip(&parts, RECORD_CODEC_ALL, &size);
    /* Format and flags 0-1, expiry 2-9, newest 10-19, count 20, others 21-30 and 31-40, key 41-44, value 45-50. */
    cr_assert_eq(size, 51);
    static const struct {
        const char *rule;
        size_t at, count;
        uint8_t bytes[10];
    } cases[] = {
        {"the format is 1", 0, 1, {3}},
        {"in format 2 there is a merge state", 0, 1, {2}},
        {"the format is not 0", 0, 1, {0}},
        {"there is no type 1 yet", 1, 1, {0x39}},
        {"there is no type 6", 1, 1, {0x3e}},
        {"there is no encoding 3", 1, 1, {0xf8}},
        {"a tombstone has no expiry", 1, 1, {0x3f}},
        {"no expiry is said by the flag", 2, 8, {0, 0, 0, 0, 0, 0, 0, 0x80}},
        {"the newest counter is not 0", 12, 1, {0}},
        {"no other counter is higher", 33, 1, {10}},
        {"a tie is won by the higher actor", 33, 1, {9}},
        {"other counters are not 0", 33, 1, {0}},
        {"the others are sorted", 21, 1, {5}},
        {"each actor has one dot", 21, 1, {4}},
        {"the newest is not among the others", 21, 1, {3}},
        {"32 others are too many", 20, 1, {32}},
        {"more others than bytes", 20, 1, {31}},
        {"a number has one spelling", 41, 2, {0x83, 0}},
        {"a key is in the bytes", 41, 1, {120}},
        {"a value is in the bytes", 45, 1, {6}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bad[51];
        memcpy(bad, good, size);
        cr_assert(memcmp(bad + cases[i].at, cases[i].bytes, cases[i].count) != 0, "%s: no change",
                  cases[i].rule);
        memcpy(bad + cases[i].at, cases[i].bytes, cases[i].count);
        cr_assert_not(reads(bad, size), "%s", cases[i].rule);
    }
    cr_assert(reads(good, size));
    free(good);
}

Test(record_codec, a_tie_of_counters_stands_if_the_higher_actor_is_the_newest) {
    struct dot others[] = {{.counter = 9, .actor = 2}};
    struct record_parts parts = string_parts("key", "value");
    parts.newest = (struct dot){.counter = 9, .actor = 3};
    parts.others = others;
    parts.other_count = 1;
    size_t size;
    free(round_trip(&parts, RECORD_CODEC_ALL, &size));
}

Test(record_codec, a_record_that_is_whole_but_impossible_is_refused) {
    struct record_parts parts = string_parts("key", "value");
    parts.newest.counter = 0;
    expect_refused(&parts, "the newest counter is not 0");

    struct record_parts tombstone = {.key = bytes_of("k"),
                                     .key_size = 1,
                                     .expiry_ms = RECORD_NO_EXPIRY,
                                     .newest = {1, 2},
                                     .type = RECORD_TOMBSTONE};
    tombstone.encoding = ENCODING_EMBEDDED;
    expect_refused(&tombstone, "a tombstone has no encoding");
    tombstone.encoding = ENCODING_NATURAL;
    tombstone.expiry_ms = 5;
    expect_refused(&tombstone, "a tombstone has no expiry");

    struct dot others[VERSION_DOTS_MAX];
    for (unsigned i = 0; i < VERSION_DOTS_MAX; i++)
        others[i] = (struct dot){.counter = 1, .actor = (uint16_t)i};
    parts = string_parts("key", "value");
    parts.newest = (struct dot){.counter = 9, .actor = 99};
    parts.others = others;
    parts.other_count = VERSION_DOTS_MAX;
    expect_refused(&parts, "33 dots are too many");
    parts.other_count--;
    size_t size;
    free(round_trip(&parts, RECORD_CODEC_ALL, &size));
}

Test(record_codec, a_value_beyond_the_limit_is_refused_even_if_it_is_there) {
    size_t room = (size_t)VALUE_SIZE_MAX + 64;
    uint8_t *bytes = calloc(1, room); /* pages that nobody touches */
    cr_assert_not_null(bytes);
    struct record_parts got;
    for (uint32_t excess = 0; excess < 2; excess++) {
        uint64_t size = (uint64_t)VALUE_SIZE_MAX + excess;
        bytes[0] = 1;
        for (int i = 0; i < 5; i++)
            bytes[2 + i] = (uint8_t)(size >> 7 * i | (i < 4 ? 0x80 : 0));
        struct cursor cursor = cursor_make(bytes, room);
        cr_assert_eq(record_codec_read(&cursor, 0, &got, NULL), excess == 0);
    }
    free(bytes);
}

Test(record_codec, sizes_beyond_the_limit_are_refused_before_anything_is_read) {
    static const uint8_t huge_value[] = {1, 0, 0x81, 0x80, 0x80, 0x80, 0x02}; /* 512 MiB and 1 */
    static const uint8_t wrapping[] = {1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
    static const uint8_t beyond_32_bits[] = {1, 0, 0x80, 0x80, 0x80, 0x80, 0x10}; /* 2^32: 0 if cut */
    struct record_parts got;
    struct cursor cursor = cursor_make(huge_value, sizeof huge_value);
    cr_assert_not(record_codec_read(&cursor, 0, &got, NULL));
    cursor = cursor_make(wrapping, sizeof wrapping);
    cr_assert_not(record_codec_read(&cursor, 0, &got, NULL));
    cursor = cursor_make(beyond_32_bits, sizeof beyond_32_bits);
    cr_assert_not(record_codec_read(&cursor, 0, &got, NULL));
}

/* Changes some bytes, cuts or lengthens. Returns the new size; the block has room for 8 more. */
static size_t mutate(struct rng *rng, uint8_t *bytes, size_t size) {
    for (uint64_t changes = 1 + rng_below(rng, 4); changes > 0; changes--) {
        size_t at = (size_t)rng_below(rng, size);
        switch (rng_below(rng, 6)) {
        case 0: bytes[at] ^= (uint8_t)(1u << rng_below(rng, 8)); break;
        case 1: bytes[at] = (uint8_t)rng_next64(rng); break;
        case 2: bytes[at] = 0xff; break;
        case 3: bytes[at] = 0; break;
        case 4: memmove(bytes + at, bytes + at + 1, size - at - 1); break;
        default: bytes[at] = (uint8_t)(bytes[at] + 1); break;
        }
    }
    uint64_t cut = rng_below(rng, 8);
    return cut == 0   ? (size_t)rng_below(rng, size) + 1
           : cut == 1 ? size + 1 + (size_t)rng_below(rng, 8)
                      : size;
}

/* Whatever is accepted must be a record again: writing it gives the very bytes that were read. */
Test(record_codec, mutated_records_are_refused_or_are_other_valid_records) {
    struct rng rng;
    rng_init(&rng, 3);
    static uint8_t storage[2000];
    struct dot others[VERSION_DOTS_MAX], got_others[VERSION_DOTS_MAX];
    unsigned accepted = 0, refused = 0;
    struct mem mem = {0};
    struct buffer state;
    buffer_init(&state, &mem);
    make_counter(&state);
    for (int round = 0; round < 10000; round++) {
        struct record_parts parts = random_parts(&rng, storage, others), got;
        if (parts.value_size > 20)
            parts.value_size %= 20; /* or most mutations hit nothing but the value */
        if (parts.key_size > 20)
            parts.key_size %= 20;
        if (parts.type == RECORD_STRING && parts.newest.counter >= 7 && round % 2 == 0) {
            parts.state = state.data;
            parts.state_size = (uint32_t)state.size;
        }
        size_t size = record_codec_size(&parts, RECORD_CODEC_ALL);
        uint8_t *bytes = calloc(1, size + 8);
        record_codec_write(bytes, &parts, RECORD_CODEC_ALL);
        size = mutate(&rng, bytes, size);
        uint8_t *exact = malloc(size);
        memcpy(exact, bytes, size);
        struct cursor cursor = cursor_make(exact, size);
        if (record_codec_read(&cursor, RECORD_CODEC_ALL, &got, got_others)) {
            size_t used = size - cursor_remaining(&cursor);
            cr_assert_eq(record_codec_size(&got, RECORD_CODEC_ALL), used);
            uint8_t *again = malloc(used);
            cr_assert_eq(record_codec_write(again, &got, RECORD_CODEC_ALL), again + used);
            cr_assert_arr_eq(again, exact, used);
            free(again);
            accepted++;
        } else {
            refused++;
        }
        free(exact);
        free(bytes);
    }
    buffer_release(&state);
    cr_assert_gt(accepted, 500);
    cr_assert_gt(refused, 500);
}

/* ---- DUMP ---- */

static uint8_t *dump_of(const struct record_parts *parts, size_t *size) {
    *size = record_dump_size(parts);
    uint8_t *bytes = malloc(*size + 16);
    cr_assert_eq(record_dump_write(bytes, parts), bytes + *size);
    return bytes;
}

/* Puts the right checksum behind a body that was tampered with. */
static void sign(uint8_t *bytes, size_t size) {
    uint64_t checksum = checksum_bytes(bytes, size - 8);
    for (int i = 0; i < 8; i++)
        bytes[size - 8 + i] = (uint8_t)(checksum >> 8 * i);
}

Test(record_codec, a_dump_carries_type_encoding_and_value_only) {
    struct record_parts parts = string_parts("key", "value"), got;
    parts.expiry_ms = 99;
    parts.encoding = ENCODING_EMBEDDED;
    size_t size;
    uint8_t *bytes = dump_of(&parts, &size);
    cr_assert_eq(size, 1 + 2 + 1 + 5 + 8);
    cr_assert_eq(record_dump_read(bytes, size, &got), RECORD_DUMP_GOOD);
    expect_same(&got, &parts, 0);
    free(bytes);
}

Test(record_codec, a_dump_that_was_damaged_anywhere_is_foreign) {
    struct record_parts parts = string_parts("", "a value of some length"), got;
    size_t size;
    uint8_t *bytes = dump_of(&parts, &size);
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(record_dump_read(bytes, size, &got), RECORD_DUMP_FOREIGN, "bit %zu", bit);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t cut = 0; cut < size; cut++)
        cr_assert_eq(record_dump_read(bytes, cut, &got), RECORD_DUMP_FOREIGN, "cut at %zu", cut);
    bytes[size] = 0;
    cr_assert_eq(record_dump_read(bytes, size + 1, &got), RECORD_DUMP_FOREIGN);
    cr_assert_eq(record_dump_read(bytes, size, &got), RECORD_DUMP_GOOD);
    free(bytes);
}

Test(record_codec, a_dump_of_redis_is_foreign) {
    /* What redis-server 7.0 answers to DUMP of the value "hello". */
    static const uint8_t theirs[] = {0x00, 0x05, 'h',  'e', 'l', 'l', 'o', 0x0a, 0x00,
                                     'c',  'r',  0xdf, 'v', 'e', '4', ' ', '\n'};
    struct record_parts got;
    cr_assert_eq(record_dump_read(theirs, sizeof theirs, &got), RECORD_DUMP_FOREIGN);
    cr_assert_eq(record_dump_read(NULL, 0, &got), RECORD_DUMP_FOREIGN);
}

Test(record_codec, a_dump_of_another_format_is_foreign_even_if_its_checksum_is_right) {
    struct record_parts parts = string_parts("", "value"), got;
    size_t size;
    uint8_t *bytes = dump_of(&parts, &size);
    bytes[1] = 2;
    sign(bytes, size);
    cr_assert_eq(record_dump_read(bytes, size, &got), RECORD_DUMP_FOREIGN);
    bytes[1] = 1;
    bytes[0] = 0;
    sign(bytes, size);
    cr_assert_eq(record_dump_read(bytes, size, &got), RECORD_DUMP_FOREIGN);
    free(bytes);
}

Test(record_codec, a_forged_dump_is_malformed) {
    struct record_parts parts = string_parts("", "value"), got;
    size_t size;
    uint8_t *bytes = dump_of(&parts, &size);
    static const struct {
        const char *what;
        size_t at;
        uint8_t byte;
    } cases[] = {{"a tombstone", 2, 0x07},    {"type 3", 2, 0x03},          {"encoding 3", 2, 0xc0},
                 {"a key", 2, 0x10},          {"an expiry", 2, 0x08},       {"a version", 2, 0x20},
                 {"too short a value", 3, 4}, {"more than there is", 3, 6}, {"an endless number", 3, 0xff}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t before = bytes[cases[i].at];
        bytes[cases[i].at] = cases[i].byte;
        sign(bytes, size);
        cr_assert_eq(record_dump_read(bytes, size, &got), RECORD_DUMP_MALFORMED, "%s", cases[i].what);
        bytes[cases[i].at] = before;
    }
    sign(bytes, size);
    cr_assert_eq(record_dump_read(bytes, size, &got), RECORD_DUMP_GOOD);
    free(bytes);
}

Test(record_codec, a_tombstone_is_no_dump) {
    struct record_parts tombstone = {.expiry_ms = RECORD_NO_EXPIRY, .type = RECORD_TOMBSTONE}, got;
    size_t size;
    uint8_t *bytes = dump_of(&tombstone, &size);
    cr_assert_eq(record_dump_read(bytes, size, &got), RECORD_DUMP_MALFORMED);
    free(bytes);
}

Test(record_codec, mutated_and_signed_dumps_are_refused_or_give_a_value) {
    struct rng rng;
    rng_init(&rng, 5);
    unsigned good = 0, malformed = 0;
    for (int round = 0; round < 10000; round++) {
        struct record_parts parts = string_parts("", "some value"), got;
        size_t size;
        uint8_t *bytes = dump_of(&parts, &size);
        size = mutate(&rng, bytes, size);
        uint8_t *exact = malloc(size);
        memcpy(exact, bytes, size);
        if (size >= 10) {
            exact[0] = 0xd1;
            exact[1] = 1;
            sign(exact, size);
        }
        enum record_dump_status status = record_dump_read(exact, size, &got);
        if (status == RECORD_DUMP_GOOD) {
            cr_assert_eq(record_dump_size(&got), size);
            cr_assert(got.value >= exact && got.value + got.value_size <= exact + size);
            cr_assert_eq(got.type, RECORD_STRING);
            good++;
        }
        malformed += status == RECORD_DUMP_MALFORMED;
        free(exact);
        free(bytes);
    }
    cr_assert_gt(good, 500);
    cr_assert_gt(malformed, 500);
}
