/* checkpoint_format_test.c - the exact bytes of frames and entries, round trips, and bytes that nobody should trust.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/checkpoint_format.h"

#include "data/merge_state.h"

#include "base/checksum.h"
#include "base/limits.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define SERIAL 0x1122334455667788u

static struct actor_identity actor(unsigned number) {
    struct actor_identity identity = {.incarnation = 1000 + number};
    for (unsigned i = 0; i < NODE_ID_SIZE; i++)
        identity.node_id[i] = (uint8_t)(number * 7 + i);
    return identity;
}

static bool is_same_actor(struct actor_identity one, struct actor_identity other) {
    return memcmp(one.node_id, other.node_id, NODE_ID_SIZE) == 0 && one.incarnation == other.incarnation;
}

static struct checkpoint_header header_of(uint16_t actor_count) {
    return (struct checkpoint_header){.actor_count = actor_count,
                                      .serial = SERIAL,
                                      .writer = actor(1),
                                      .counter = 0x0102030405060708,
                                      .time_ms = -2,
                                      .records_expected = 5000000};
}

/* A header of so many actors in memory of its exact size; freed by the caller. */
static uint8_t *new_header(uint16_t actor_count, size_t *size) {
    struct checkpoint_header header = header_of(actor_count);
    struct actor_identity *actors = calloc(actor_count + 1u, sizeof *actors);
    *size = CHECKPOINT_HEADER_SIZE(actor_count);
    uint8_t *frame = malloc(*size);
    cr_assert(actors != NULL && frame != NULL);
    for (unsigned i = 0; i < actor_count; i++)
        actors[i] = actor(i);
    cr_assert_eq(checkpoint_header_write(frame, &header, actors), frame + *size);
    free(actors);
    return frame;
}

/* Makes the sums right again after a change; the frame's size may have changed, too. */
static void seal(uint8_t *frame, size_t size) {
    for (unsigned i = 0; i < 4; i++)
        frame[4 + i] = (uint8_t)((size - 8) >> 8 * i);
    uint64_t checksum = checksum_bytes(frame + 8, size - 16);
    for (unsigned i = 0; i < 8; i++)
        frame[size - 8 + i] = (uint8_t)(checksum >> 8 * i);
}

Test(checkpoint_format, a_header_comes_back_with_its_actors) {
    static const uint16_t counts[] = {0, 1, 2, 77, CHECKPOINT_ACTORS_MAX};
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct checkpoint_header wanted = header_of(counts[i]), header;
        size_t size;
        uint8_t *frame = new_header(counts[i], &size);
        cr_assert_leq(size, CHECKPOINT_HEADER_SIZE_MAX);
        cr_assert_eq(checkpoint_frame_size(frame), size);
        cr_assert_eq(checkpoint_frame_kind(frame, size), CHECKPOINT_FRAME_HEADER);
        cr_assert_eq(checkpoint_header_read(frame, size, &header), CHECKPOINT_HEADER_GOOD);
        cr_assert_eq(header.version, CHECKPOINT_VERSION);
        cr_assert_eq(header.serial, SERIAL);
        cr_assert(is_same_actor(header.writer, wanted.writer));
        cr_assert_eq(header.counter, wanted.counter);
        cr_assert_eq(header.time_ms, -2);
        cr_assert_eq(header.records_expected, 5000000);
        cr_assert_eq(header.actor_count, counts[i]);
        for (unsigned j = 0; j < counts[i]; j++)
            cr_assert(is_same_actor(checkpoint_header_actor(&header, j), actor(j)));
        free(frame);
    }
}

Test(checkpoint_format, frames_are_laid_out_as_the_format_says) {
    size_t size;
    uint8_t *frame = new_header(1, &size);
    static const uint8_t begin[] = {0x5b, 0x2a, 0x4d, 0x18, 8 + 1 + 64 + 28 + 2 + 8,
                                    0,    0,    0,    'r',  'e',
                                    'd',  'i',  's',  '-',  'k',
                                    'v',  'H',  2,    0,    0x88,
                                    0x77, 0x66, 0x55, 0x44, 0x33,
                                    0x22, 0x11};
    cr_assert_eq(size, 8 + 8 + 1 + 64 + 28 + 2 + 8);
    cr_assert_arr_eq(frame, begin, sizeof begin);
    cr_assert_arr_eq(frame + 27, actor(1).node_id, NODE_ID_SIZE);
    cr_assert_eq(load_u64(frame + 47), 1001);
    cr_assert_eq(load_u64(frame + 55), 0x0102030405060708);
    cr_assert_eq((int64_t)load_u64(frame + 63), -2);
    cr_assert_eq(load_u64(frame + 71), 5000000);
    cr_assert_eq(load_u16(frame + 79), 1);
    cr_assert_arr_eq(frame + 81, actor(0).node_id, NODE_ID_SIZE);
    cr_assert_eq(load_u64(frame + 101), 1000);
    cr_assert_eq(load_u16(frame + 109), 0);
    cr_assert_eq(load_u64(frame + 111), checksum_bytes(frame + 8, 103));
    free(frame);

    struct checkpoint_block_head head = {SERIAL, 17, 100000, 50000, 1234, 0xfedcba9876543210};
    uint8_t block[CHECKPOINT_BLOCK_HEAD_SIZE];
    cr_assert_eq(checkpoint_block_head_write(block, &head), block + sizeof block);
    cr_assert_eq(load_u32(block + 4), sizeof block - 8);
    cr_assert_eq(block[16], 'B');
    cr_assert_eq(load_u64(block + 17), SERIAL);
    cr_assert_eq(load_u64(block + 25), 17);
    cr_assert_eq(load_u32(block + 33), 100000);
    cr_assert_eq(load_u32(block + 37), 50000);
    cr_assert_eq(load_u32(block + 41), 1234);
    cr_assert_eq(load_u64(block + 45), 0xfedcba9876543210);

    struct checkpoint_footer footer = {SERIAL, 18, 5000000, 475000000, 0xabcdef};
    uint8_t end[CHECKPOINT_FOOTER_SIZE];
    cr_assert_eq(checkpoint_footer_write(end, &footer), end + sizeof end);
    cr_assert_eq(load_u32(end + 4), sizeof end - 8);
    cr_assert_eq(end[16], 'F');
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(load_u64(end + 17 + 8 * i), ((uint64_t[]){SERIAL, 18, 5000000, 475000000, 0xabcdef})[i]);
}

Test(checkpoint_format, block_heads_and_footers_come_back) {
    struct checkpoint_block_head wanted = {SERIAL, 17, CHECKPOINT_BLOCK_SIZE, CHECKPOINT_STORED_SIZE_MAX,
                                           1,      99},
                                 head;
    uint8_t block[CHECKPOINT_BLOCK_HEAD_SIZE];
    checkpoint_block_head_write(block, &wanted);
    cr_assert_eq(checkpoint_frame_size(block), sizeof block);
    cr_assert_eq(checkpoint_frame_kind(block, sizeof block), CHECKPOINT_FRAME_BLOCK);
    cr_assert(checkpoint_block_head_read(block, sizeof block, &head));
    cr_assert(head.serial == SERIAL && head.index == 17 && head.size == wanted.size &&
              head.stored_size == wanted.stored_size && head.records == 1 && head.checksum == 99);
    struct checkpoint_footer wanted_footer = {SERIAL, 1, 2, 3, 4}, footer;
    uint8_t end[CHECKPOINT_FOOTER_SIZE];
    checkpoint_footer_write(end, &wanted_footer);
    cr_assert_eq(checkpoint_frame_kind(end, sizeof end), CHECKPOINT_FRAME_FOOTER);
    cr_assert(checkpoint_footer_read(end, sizeof end, &footer));
    cr_assert(footer.serial == SERIAL && footer.blocks == 1 && footer.records == 2 && footer.bytes == 3 &&
              footer.chain == 4);
    cr_assert_not(checkpoint_footer_read(block, sizeof block, &footer), "a frame of another kind");
    cr_assert_not(checkpoint_block_head_read(end, sizeof end, &head), "a frame of another kind");
}

Test(checkpoint_format, sizes_of_blocks_outside_their_limits_are_refused) {
    static const struct {
        uint32_t size, stored_size, records;
    } refused[] = {{0, 1, 0},          {CHECKPOINT_BLOCK_SIZE + 1, 1, 0},
                   {1, 0, 0},          {1, CHECKPOINT_STORED_SIZE_MAX + 1, 0},
                   {1, UINT32_MAX, 0}, {100, 50, 101}};
    for (unsigned i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct checkpoint_block_head head = {
            .size = refused[i].size, .stored_size = refused[i].stored_size, .records = refused[i].records};
        uint8_t block[CHECKPOINT_BLOCK_HEAD_SIZE];
        checkpoint_block_head_write(block, &head);
        cr_assert_eq(checkpoint_frame_kind(block, sizeof block), CHECKPOINT_FRAME_BLOCK);
        cr_assert_not(checkpoint_block_head_read(block, sizeof block, &head));
    }
}

Test(checkpoint_format, every_changed_bit_and_every_cut_of_a_frame_is_seen) {
    uint8_t frames[3][CHECKPOINT_HEADER_SIZE(2)];
    size_t sizes[3] = {CHECKPOINT_HEADER_SIZE(2), CHECKPOINT_BLOCK_HEAD_SIZE, CHECKPOINT_FOOTER_SIZE};
    struct checkpoint_header header = header_of(2);
    struct actor_identity actors[2] = {actor(1), actor(2)};
    checkpoint_header_write(frames[0], &header, actors);
    checkpoint_block_head_write(frames[1], &(struct checkpoint_block_head){SERIAL, 1, 2, 3, 1, 5});
    checkpoint_footer_write(frames[2], &(struct checkpoint_footer){SERIAL, 1, 2, 3, 4});
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_neq(checkpoint_frame_kind(frames[i], sizes[i]), CHECKPOINT_FRAME_BROKEN);
        for (size_t bit = 0; bit < 8 * sizes[i]; bit++) {
            frames[i][bit / 8] ^= (uint8_t)(1u << bit % 8);
            cr_assert_eq(checkpoint_frame_kind(frames[i], sizes[i]), CHECKPOINT_FRAME_BROKEN,
                         "frame %u, bit %zu", i, bit);
            frames[i][bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t size = 0; size < sizes[i]; size++)
            cr_assert_eq(checkpoint_frame_kind(frames[i], size), CHECKPOINT_FRAME_BROKEN);
    }
}

Test(checkpoint_format, frames_that_are_not_ours_have_no_size) {
    size_t size;
    uint8_t *frame = new_header(0, &size), head[8];
    memcpy(head, frame, sizeof head);
    head[0] ^= 1; /* another skippable frame */
    cr_assert_eq(checkpoint_frame_size(head), 0);
    memcpy(head, frame, sizeof head);
    head[6] = 4; /* 256 KiB and more */
    cr_assert_eq(checkpoint_frame_size(head), 0);
    memset(head + 4, 0xff, 4);
    cr_assert_eq(checkpoint_frame_size(head), 0);
    memset(head + 4, 0, 4);
    cr_assert_eq(checkpoint_frame_size(head), 0);
    frame[16] = 'X';
    seal(frame, size);
    cr_assert_eq(checkpoint_frame_kind(frame, size), CHECKPOINT_FRAME_BROKEN, "a kind that there is not");
    free(frame);
}

Test(checkpoint_format, later_versions_are_told_from_damage) {
    struct checkpoint_header header;
    size_t size;
    uint8_t *frame = new_header(3, &size);
    frame[17] = CHECKPOINT_VERSION + 1;
    frame[70] ^= 0x55; /* whatever its fields are then */
    cr_assert_eq(checkpoint_header_read(frame, size, &header), CHECKPOINT_HEADER_BROKEN);
    seal(frame, size);
    cr_assert_eq(checkpoint_header_read(frame, size, &header), CHECKPOINT_HEADER_NEWER);
    cr_assert_eq(header.version, CHECKPOINT_VERSION + 1);
    frame[17] = 0;
    seal(frame, size);
    cr_assert_eq(checkpoint_header_read(frame, size, &header), CHECKPOINT_HEADER_BROKEN);
    free(frame);
}

/* A header of two actors with so many sections said, and these bytes for them. */
static enum checkpoint_header_status read_sections(unsigned count, const char *sections,
                                                   size_t sections_size) {
    struct checkpoint_header header = header_of(2);
    struct actor_identity actors[2] = {actor(1), actor(2)};
    uint8_t frame[CHECKPOINT_HEADER_SIZE(2) + 64];
    uint8_t *end = checkpoint_header_write(frame, &header, actors) - 8;
    end[-2] = (uint8_t)count;
    memcpy(end, sections, sections_size);
    size_t size = CHECKPOINT_HEADER_SIZE(2) + sections_size;
    seal(frame, size);
    enum checkpoint_header_status status = checkpoint_header_read(frame, size, &header);
    if (status == CHECKPOINT_HEADER_GOOD)
        cr_assert(is_same_actor(checkpoint_header_actor(&header, 1), actor(2)));
    return status;
}

Test(checkpoint_format, unknown_sections_are_skipped_only_if_they_may_be) {
    cr_assert_eq(read_sections(0, "", 0), CHECKPOINT_HEADER_GOOD);
    cr_assert_eq(read_sections(1, "\x01\x80\3\0\0\0abc", 9), CHECKPOINT_HEADER_GOOD);
    cr_assert_eq(read_sections(2, "\x01\x80\3\0\0\0abc\x02\xff\0\0\0\0", 15), CHECKPOINT_HEADER_GOOD);
    cr_assert_eq(read_sections(1, "\x01\x00\3\0\0\0abc", 9), CHECKPOINT_HEADER_NEWER);
    cr_assert_eq(read_sections(2, "\x01\x80\3\0\0\0abc\x02\x00\0\0\0\0", 15), CHECKPOINT_HEADER_NEWER);
    cr_assert_eq(read_sections(1, "\x01\x80\4\0\0\0abc", 9), CHECKPOINT_HEADER_BROKEN,
                 "longer than the frame");
    cr_assert_eq(read_sections(1, "\x01\x80\2\0\0\0abc", 9), CHECKPOINT_HEADER_BROKEN, "something behind it");
    cr_assert_eq(read_sections(2, "\x01\x80\3\0\0\0abc", 9), CHECKPOINT_HEADER_BROKEN, "one is missing");
    cr_assert_eq(read_sections(1, "\x01\x80\xff\xff\xff\xff", 6), CHECKPOINT_HEADER_BROKEN);
}

Test(checkpoint_format, headers_with_impossible_actors_are_refused) {
    struct checkpoint_header header = header_of(3);
    struct actor_identity actors[3] = {actor(1), actor(2), actor(1)};
    uint8_t frame[CHECKPOINT_HEADER_SIZE(3)];
    checkpoint_header_write(frame, &header, actors);
    cr_assert_eq(checkpoint_header_read(frame, sizeof frame, &header), CHECKPOINT_HEADER_BROKEN,
                 "one comes twice");
    actors[2].incarnation++;
    header = header_of(3);
    checkpoint_header_write(frame, &header, actors);
    cr_assert_eq(checkpoint_header_read(frame, sizeof frame, &header), CHECKPOINT_HEADER_GOOD);
    frame[79] = 4; /* one more than there are */
    seal(frame, sizeof frame);
    cr_assert_eq(checkpoint_header_read(frame, sizeof frame, &header), CHECKPOINT_HEADER_BROKEN);
    frame[79] = 2;
    seal(frame, sizeof frame);
    cr_assert_neq(checkpoint_header_read(frame, sizeof frame, &header), CHECKPOINT_HEADER_GOOD);
}

Test(checkpoint_format, too_many_actors_are_refused) {
    size_t size;
    struct checkpoint_header header;
    uint8_t *full = new_header(CHECKPOINT_ACTORS_MAX, &size), *frame = calloc(1, size + 28);
    cr_assert_not_null(frame);
    memcpy(frame, full, size - 10); /* all but sections and checksum */
    frame[79]++;                    /* 8193 */
    memset(frame + size - 10, 0xee, 28);
    size += 28;
    seal(frame, size);
    cr_assert_eq(checkpoint_frame_kind(frame, size), CHECKPOINT_FRAME_HEADER);
    cr_assert_eq(checkpoint_header_read(frame, size, &header), CHECKPOINT_HEADER_BROKEN);
    free(full);
    free(frame);
}

Test(checkpoint_format, the_chain_depends_on_every_sum_and_their_order) {
    uint64_t one = checkpoint_chain(checkpoint_chain(0, 1), 2),
             other = checkpoint_chain(checkpoint_chain(0, 2), 1);
    cr_assert_neq(one, other);
    cr_assert_neq(one, checkpoint_chain(0, 2));
    cr_assert_neq(checkpoint_chain(0, 0), 0);
}

/* ---- Entries ---- */

static struct record_parts parts_of(const char *key, const char *value) {
    return (struct record_parts){.key = (const uint8_t *)key,
                                 .value = (const uint8_t *)value,
                                 .key_size = (uint32_t)strlen(key),
                                 .value_size = (uint32_t)strlen(value),
                                 .expiry_ms = RECORD_NO_EXPIRY,
                                 .newest = {.counter = 7777, .actor = 1}};
}

static enum checkpoint_entry_kind read_entry(const void *bytes, size_t size, uint32_t actor_count,
                                             struct checkpoint_entry *entry) {
    /* Ends where its memory ends, so that the sanitizer sees a read beyond it. */
    uint8_t *copy = malloc(size);
    cr_assert(copy != NULL || size == 0);
    if (size > 0)
        memcpy(copy, bytes, size);
    struct cursor cursor = cursor_make(copy, size);
    enum checkpoint_entry_kind kind = checkpoint_entry_read(&cursor, actor_count, entry);
    cr_assert_eq(kind == CHECKPOINT_ENTRY_BROKEN, cursor_failed(&cursor));
    if (kind != CHECKPOINT_ENTRY_BROKEN && !cursor_is_done(&cursor))
        kind = CHECKPOINT_ENTRY_BROKEN; /* for these tests */
    free(copy);
    return kind;
}

Test(checkpoint_format, entries_come_back_in_their_order) {
    struct dot others[] = {{.counter = 5, .actor = 0}, {.counter = 6, .actor = 2}};
    struct record_parts first = parts_of("key", "value"), second = parts_of("long", "");
    first.expiry_ms = 123456789;
    first.others = others;
    first.other_count = 2;
    uint8_t block[512], *end = block;
    end = checkpoint_database_write(end, 15);
    cr_assert_eq(end - block, CHECKPOINT_DATABASE_SIZE);
    end = record_codec_write(end, &first, RECORD_CODEC_ALL);
    uint8_t *before = end;
    end = checkpoint_long_write(end, &second, 300000);
    cr_assert_eq(end - before, checkpoint_long_size(&second, 300000));
    before = end;
    end = checkpoint_part_write(end, (const uint8_t *)"some of it", 10);
    cr_assert_eq(end - before, 12);

    struct checkpoint_entry entry;
    struct cursor cursor = cursor_make(block, (size_t)(end - block));
    cr_assert_eq(checkpoint_entry_read(&cursor, 3, &entry), CHECKPOINT_DATABASE);
    cr_assert_eq(entry.database, 15);
    cr_assert_eq(checkpoint_entry_read(&cursor, 3, &entry), CHECKPOINT_RECORD);
    cr_assert(entry.parts.key_size == 3 && memcmp(entry.parts.key, "key", 3) == 0);
    cr_assert(entry.parts.value_size == 5 && memcmp(entry.parts.value, "value", 5) == 0);
    cr_assert_eq(entry.parts.expiry_ms, 123456789);
    cr_assert(entry.parts.newest.counter == 7777 && entry.parts.newest.actor == 1);
    cr_assert(entry.parts.other_count == 2 && entry.parts.others[1].actor == 2);
    cr_assert_eq(checkpoint_entry_read(&cursor, 3, &entry), CHECKPOINT_LONG);
    cr_assert(entry.parts.key_size == 4 && memcmp(entry.parts.key, "long", 4) == 0);
    cr_assert(entry.parts.value_size == 0 && entry.value_size == 300000 && entry.key_left == 0);
    cr_assert_eq(checkpoint_entry_read(&cursor, 3, &entry), CHECKPOINT_PART);
    cr_assert(entry.size == 10 && memcmp(entry.bytes, "some of it", 10) == 0);
    cr_assert(cursor_is_done(&cursor));
}

Test(checkpoint_format, entries_are_laid_out_as_the_format_says) {
    struct record_parts parts = parts_of("k", "");
    uint8_t bytes[64];
    static const uint8_t long_entry[] = {0x81, 0, 0xac, 0x02, 1, 0x30, 1, 0, 0x61, 0x1e,
                                         0,    0, 0,    0,    0, 0,    0, 1, 'k',  0};
    cr_assert_eq(checkpoint_long_write(bytes, &parts, 300), bytes + sizeof long_entry);
    cr_assert_arr_eq(bytes, long_entry, sizeof long_entry);
    checkpoint_database_write(bytes, 3);
    cr_assert_arr_eq(bytes, "\x80\x03", 2);
    checkpoint_part_write(bytes, (const uint8_t *)"abc", 3);
    cr_assert_arr_eq(bytes,
                     "\x82\x03"
                     "abc",
                     5);
}

Test(checkpoint_format, a_key_larger_than_a_block_goes_into_parts) {
    uint32_t key_size = 3 * CHECKPOINT_BLOCK_SIZE;
    uint8_t *key = malloc(key_size), *block = malloc(CHECKPOINT_BLOCK_SIZE);
    struct dot others[VERSION_DOTS_MAX - 1];
    cr_assert(key != NULL && block != NULL);
    for (uint32_t i = 0; i < key_size; i++)
        key[i] = (uint8_t)(i * 31 + (i >> 8));
    struct record_parts parts = parts_of("", "");
    parts.key = key;
    parts.key_size = key_size;
    parts.expiry_ms = 1;
    parts.newest.actor = 100;
    parts.others = others;
    parts.other_count = VERSION_DOTS_MAX - 1;
    for (unsigned i = 0; i < VERSION_DOTS_MAX - 1; i++)
        others[i] = (struct dot){.counter = 1, .actor = (uint16_t)i};
    size_t size = checkpoint_long_size(&parts, VALUE_SIZE_MAX);
    cr_assert_leq(size + CHECKPOINT_DATABASE_SIZE, CHECKPOINT_BLOCK_SIZE);
    cr_assert_eq(checkpoint_long_write(block, &parts, VALUE_SIZE_MAX), block + size);
    struct checkpoint_entry entry;
    struct cursor cursor = cursor_make(block, size);
    cr_assert_eq(checkpoint_entry_read(&cursor, 101, &entry), CHECKPOINT_LONG);
    cr_assert_eq(entry.parts.key_size, CHECKPOINT_LONG_KEY_MAX);
    cr_assert_eq(entry.key_left, key_size - CHECKPOINT_LONG_KEY_MAX);
    cr_assert_eq(entry.value_size, VALUE_SIZE_MAX);
    cr_assert_arr_eq(entry.parts.key, key, CHECKPOINT_LONG_KEY_MAX);
    /* A key of just the size that is not divided. */
    parts.key_size = CHECKPOINT_LONG_KEY_MAX;
    size = checkpoint_long_size(&parts, 1);
    cr_assert_eq(checkpoint_long_write(block, &parts, 1), block + size);
    cursor = cursor_make(block, size);
    cr_assert_eq(checkpoint_entry_read(&cursor, 101, &entry), CHECKPOINT_LONG);
    cr_assert_eq(entry.key_left, 0);
    free(key);
    free(block);
}

Test(checkpoint_format, a_part_fills_a_block_to_its_end) {
    uint32_t size = CHECKPOINT_BLOCK_SIZE - CHECKPOINT_PART_HEAD_MAX;
    uint8_t *bytes = calloc(size, 1), *block = malloc(CHECKPOINT_BLOCK_SIZE);
    cr_assert(bytes != NULL && block != NULL);
    uint8_t *end = checkpoint_part_write(block, bytes, size);
    cr_assert_leq(end - block, CHECKPOINT_BLOCK_SIZE);
    struct checkpoint_entry entry;
    cr_assert_eq(read_entry(block, (size_t)(end - block), 1, &entry), CHECKPOINT_PART);
    cr_assert_eq(entry.size, size);
    free(bytes);
    free(block);
}

Test(checkpoint_format, actors_that_the_header_does_not_name_are_refused) {
    struct dot others[] = {{.counter = 5, .actor = 0}, {.counter = 6, .actor = 4}};
    struct record_parts parts = parts_of("key", "value");
    struct checkpoint_entry entry;
    uint8_t bytes[128];
    size_t size = (size_t)(record_codec_write(bytes, &parts, RECORD_CODEC_ALL) - bytes);
    cr_assert_eq(read_entry(bytes, size, 2, &entry), CHECKPOINT_RECORD);
    cr_assert_eq(read_entry(bytes, size, 1, &entry), CHECKPOINT_ENTRY_BROKEN);
    cr_assert_eq(read_entry(bytes, size, 0, &entry), CHECKPOINT_ENTRY_BROKEN);
    parts.others = others;
    parts.other_count = 2;
    size = (size_t)(record_codec_write(bytes, &parts, RECORD_CODEC_ALL) - bytes);
    cr_assert_eq(read_entry(bytes, size, 5, &entry), CHECKPOINT_RECORD);
    cr_assert_eq(read_entry(bytes, size, 4, &entry), CHECKPOINT_ENTRY_BROKEN);
    size = (size_t)(checkpoint_long_write(bytes, &parts, 9) - bytes);
    cr_assert_eq(read_entry(bytes, size, 5, &entry), CHECKPOINT_LONG);
    cr_assert_eq(read_entry(bytes, size, 4, &entry), CHECKPOINT_ENTRY_BROKEN);
}

Test(checkpoint_format, a_merge_state_stands_in_a_short_record_and_beside_a_long_one) {
    struct mem mem = {0};
    struct buffer state;
    struct amount amount = {.integer = 5};
    buffer_init(&state, &mem);
    cr_assert(
        merge_state_add(&state, NULL, true, (struct dot){.counter = 7000, .actor = 2}, &amount, NULL, NULL));
    struct record_parts parts = parts_of("key", "5");
    parts.state = state.data;
    parts.state_size = (uint32_t)state.size;
    struct checkpoint_entry entry;
    uint8_t bytes[256];
    uint8_t *end = record_codec_write(bytes, &parts, RECORD_CODEC_ALL);
    struct cursor cursor = cursor_make(bytes, (size_t)(end - bytes));
    cr_assert_eq(checkpoint_entry_read(&cursor, 3, &entry), CHECKPOINT_RECORD);
    cr_assert_eq(entry.parts.state_size, state.size);
    cr_assert_arr_eq(entry.parts.state, state.data, state.size);
    cr_assert_eq(read_entry(bytes, (size_t)(end - bytes), 2, &entry), CHECKPOINT_ENTRY_BROKEN,
                 "actor 2 is not named");
    size_t size = checkpoint_long_size(&parts, 70000);
    cr_assert_eq(checkpoint_long_write(bytes, &parts, 70000), bytes + size);
    cr_assert_eq(bytes[0], 0x83);
    cr_assert_eq(bytes[1], state.size);
    cr_assert_eq(read_entry(bytes, size, 3, &entry), CHECKPOINT_LONG);
    cr_assert(entry.state_size == state.size && entry.value_size == 70000 && entry.key_left == 0);
    cr_assert_eq(entry.parts.state_size, 0, "it comes in parts");
    for (size_t cut = 0; cut < size; cut++)
        cr_assert_eq(read_entry(bytes, cut, 3, &entry), CHECKPOINT_ENTRY_BROKEN);
    buffer_release(&state);
}

Test(checkpoint_format, broken_entries_are_refused) {
    static const struct {
        const char *why, *bytes;
        size_t size;
    } broken[] = {
        {"nothing", "", 0},
        {"an unknown mark", "\x03", 1},
        {"an unknown mark",
         "\x84\x01"
         "a",
         3},
        {"no number of the database", "\x80", 1},
        {"a database that there is not", "\x80\x10", 2},
        {"an empty part", "\x82\x00", 2},
        {"a part without its size", "\x82", 1},
        {"a part longer than the block",
         "\x82\x05"
         "abcd",
         6},
        {"a part of 4 GiB and a byte",
         "\x82\x81\x80\x80\x80\x10"
         "a",
         7},
        {"a size in a longer form",
         "\x82\x81\x00"
         "a",
         4},
        {"a record of another format", "\x81\0\1\x02\x30\0\0\1\0\0\0\0\0\0\0\0\1k\0", 19},
        {"a long record with a value", "\x81\0\1\x01\x30\0\0\1\0\0\0\0\0\0\0\0\1k\1v", 20},
        {"a long record of nothing", "\x81\0\0\x01\x30\0\0\1\0\0\0\0\0\0\0\0\1k\0", 19},
        {"a long tombstone", "\x81\0\1\x01\x37\0\0\1\0\0\0\0\0\0\0\0\1k", 18},
        {"a value beyond the limit", "\x81\0\x81\x80\x80\x80\x02\x01\x30\0\0\1\0\0\0\0\0\0\0\0\1k\0", 23},
        {"a key beyond the limit", "\x81\x80\x80\x80\x80\x02\1\x01\x30\0\0\1\0\0\0\0\0\0\0\0\1k\0", 23},
        {"a value of 4 GiB and a byte", "\x81\0\x81\x80\x80\x80\x10\x01\x30\0\0\1\0\0\0\0\0\0\0\0\1k\0", 23},
        {"a long record with a state of no bytes", "\x83\0\0\1\x01\x30\0\0\1\0\0\0\0\0\0\0\0\1k\0", 20},
        {"a state beyond the limit", "\x83\x81\x80\x80\x80\x02\0\1\x01\x30\0\0\1\0\0\0\0\0\0\0\0\1k\0", 24},
        {"a long state of no record", "\x83\1\0\0\x01\x30\0\0\0\0\0\0\0\0\0\0\0\1k\0", 20},
        {"a record without a version", "\x01\x10\1k\1v", 6},
        {"a counter of 0", "\x01\x30\0\0\0\0\0\0\0\0\0\0\0\1k\1v", 17},
    };
    struct checkpoint_entry entry;
    for (unsigned i = 0; i < sizeof broken / sizeof broken[0]; i++)
        cr_assert_eq(read_entry(broken[i].bytes, broken[i].size, 1, &entry), CHECKPOINT_ENTRY_BROKEN, "%s",
                     broken[i].why);
    /* What those are the broken forms of. */
    cr_assert_eq(read_entry("\x81\0\1\x01\x30\0\0\1\0\0\0\0\0\0\0\0\1k\0", 19, 1, &entry), CHECKPOINT_LONG);
    cr_assert_eq(read_entry("\x81\xff\xff\xff\xff\x01\1\x01\x30\0\0\1\0\0\0\0\0\0\0\0\1k\0", 23, 1, &entry),
                 CHECKPOINT_LONG);
    cr_assert_eq(read_entry("\x81\0\x80\x80\x80\x80\x02\x01\x30\0\0\1\0\0\0\0\0\0\0\0\1k\0", 23, 1, &entry),
                 CHECKPOINT_LONG);
    cr_assert_eq(read_entry("\x83\1\0\0\x01\x30\0\0\1\0\0\0\0\0\0\0\0\1k\0", 20, 1, &entry), CHECKPOINT_LONG);
    cr_assert_eq(read_entry("\x83\1\0\0\x01\x37\0\0\1\0\0\0\0\0\0\0\0\1k", 19, 1, &entry), CHECKPOINT_LONG);
    cr_assert_eq(read_entry("\x01\x30\0\0\1\0\0\0\0\0\0\0\0\1k\1v", 17, 1, &entry), CHECKPOINT_RECORD);
    cr_assert_eq(read_entry("\x01\x37\0\0\1\0\0\0\0\0\0\0\0\1k", 15, 1, &entry), CHECKPOINT_RECORD);
}

Test(checkpoint_format, an_entry_cut_anywhere_is_refused) {
    struct record_parts parts = parts_of("a key", "a value");
    struct checkpoint_entry entry;
    uint8_t bytes[128];
    uint8_t *ends[] = {record_codec_write(bytes, &parts, RECORD_CODEC_ALL), NULL, NULL};
    for (size_t size = 0; size < (size_t)(ends[0] - bytes); size++)
        cr_assert_eq(read_entry(bytes, size, 2, &entry), CHECKPOINT_ENTRY_BROKEN);
    ends[1] = checkpoint_long_write(bytes, &parts, 70000);
    for (size_t size = 0; size < (size_t)(ends[1] - bytes); size++)
        cr_assert_eq(read_entry(bytes, size, 2, &entry), CHECKPOINT_ENTRY_BROKEN);
    ends[2] = checkpoint_part_write(bytes, (const uint8_t *)"part", 4);
    for (size_t size = 0; size < (size_t)(ends[2] - bytes); size++)
        cr_assert_eq(read_entry(bytes, size, 2, &entry), CHECKPOINT_ENTRY_BROKEN);
}
