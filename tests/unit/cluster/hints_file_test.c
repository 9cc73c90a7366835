/* hints_file_test.c - hints go to a file and come back; a damaged file gives none.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/crc16.h"
#include "cluster/hints_file.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define TARGETS 4

struct stage {
    struct mem mem;
    struct hash_secret secret;
    struct hints hints, loaded;
    struct buffer file;
    uint8_t self[NODE_ID_SIZE];
    uint8_t ids[TARGETS][NODE_ID_SIZE];
    bool is_gone[TARGETS]; /* is no member any more */
};

static void begin(struct stage *stage) {
    static const uint8_t seed[HASH_SEED_SIZE] = "hints";
    *stage = (struct stage){.self = "this node"};
    hash_secret_init(&stage->secret, seed);
    hints_init(&stage->hints, &stage->mem, &stage->secret);
    hints_init(&stage->loaded, &stage->mem, &stage->secret);
    buffer_init(&stage->file, &stage->mem);
    for (unsigned i = 0; i < TARGETS; i++)
        snprintf((char *)stage->ids[i], NODE_ID_SIZE, "node %u", i);
}

static void end(struct stage *stage) {
    hints_release(&stage->hints);
    hints_release(&stage->loaded);
    buffer_release(&stage->file);
    cr_assert_eq(stage->mem.used_bytes, 0u);
}

static struct argument key_of(const struct stage *stage, char room[32], unsigned number) {
    struct argument key = {.data = (uint8_t *)room};
    key.size = (uint32_t)snprintf(room, 32, "key:%u", number);
    key.slot = crc16_key_slot(key.data, key.size);
    key.hash = hash_bytes(&stage->secret, key.data, key.size);
    return key;
}

static void add(struct stage *stage, uint16_t target, unsigned number, uint64_t now_ms) {
    char room[32];
    struct argument key = key_of(stage, room, number);
    cr_assert(hints_add(&stage->hints, target, &key, now_ms));
}

static bool is_loaded(const struct stage *stage, unsigned number) {
    char room[32];
    struct argument key = key_of(stage, room, number);
    return hints_has_key(&stage->loaded, &key);
}

static const uint8_t *id_of(const void *context, uint16_t target) {
    const struct stage *stage = context;
    return target < TARGETS && !stage->is_gone[target] ? stage->ids[target] : NULL;
}

/* Under other numbers than before. */
static int32_t target_of(const void *context, const uint8_t id[NODE_ID_SIZE]) {
    const struct stage *stage = context;
    for (int32_t i = 0; i < TARGETS; i++)
        if (memcmp(id, stage->ids[i], NODE_ID_SIZE) == 0)
            return stage->is_gone[i] ? -1 : 10 + i;
    return -1;
}

static void save(struct stage *stage, uint64_t now_ms, int64_t wall_ms, uint32_t units) {
    struct hints_writer writer;
    hints_writer_init(&writer, stage->self);
    cr_assert(hints_write_head(&writer, wall_ms, &stage->file));
    while (!writer.is_over)
        cr_assert(hints_write_block(&writer, &stage->hints, id_of, stage, now_ms, units, &stage->file));
}

static enum hints_read load(struct stage *stage, uint64_t now_ms, int64_t wall_ms) {
    return hints_read(&stage->loaded, stage->self, stage->file.data, stage->file.size, target_of, stage,
                      now_ms, wall_ms);
}

Test(hints_file, what_was_noted_comes_back_with_its_age) {
    struct stage stage;
    begin(&stage);
    for (unsigned i = 0; i < 5000; i++)
        add(&stage, (uint16_t)(1 + i % 2), i, 1000);
    hints_add_flush(&stage.hints, 3, 4000);
    save(&stage, 5000, 1800000000000, 100);
    cr_assert_eq(load(&stage, 77, 1800000060000), HINTS_READ);
    cr_assert_eq(hints_count(&stage.loaded, 11), 2500u);
    cr_assert_eq(hints_count(&stage.loaded, 12), 2500u);
    cr_assert_eq(hints_count(&stage.loaded, 13), 0u);
    cr_assert(hints_has_any(&stage.loaded, 13));
    for (unsigned i = 0; i < 5000; i++)
        cr_assert(is_loaded(&stage, i), "key %u", i);
    cr_assert_eq(hints_age_ms(&stage.loaded, 11, 77), 64000u);
    cr_assert_eq(hints_age_ms(&stage.loaded, 13, 1077), 62000u);
    end(&stage);
}

Test(hints_file, a_clock_that_went_back_makes_no_hint_younger_than_it_was) {
    struct stage stage;
    begin(&stage);
    add(&stage, 1, 1, 1000);
    save(&stage, 5000, 1800000000000, 100);
    cr_assert_eq(load(&stage, 0, 1700000000000), HINTS_READ);
    cr_assert_eq(hints_age_ms(&stage.loaded, 11, 0), 4000u);
    end(&stage);
}

Test(hints_file, a_file_of_no_hints_is_a_good_one) {
    struct stage stage;
    begin(&stage);
    save(&stage, 0, 1800000000000, 100);
    cr_assert_eq(load(&stage, 0, 1800000000000), HINTS_READ);
    cr_assert_eq(stage.loaded.count, 0u);
    end(&stage);
}

Test(hints_file, who_is_no_member_any_more_is_left_out) {
    struct stage stage;
    begin(&stage);
    add(&stage, 1, 1, 0);
    add(&stage, 2, 2, 0);
    save(&stage, 0, 1800000000000, 100);
    stage.is_gone[1] = true;
    cr_assert_eq(load(&stage, 0, 1800000000000), HINTS_READ);
    cr_assert(!is_loaded(&stage, 1));
    cr_assert(is_loaded(&stage, 2));
    buffer_clear(&stage.file);
    save(&stage, 0, 1800000000000, 100);
    hints_release(&stage.loaded);
    stage.is_gone[1] = false;
    cr_assert_eq(load(&stage, 0, 1800000000000), HINTS_READ);
    cr_assert_eq(stage.loaded.count, 1u, "it was left out of the file, too");
    end(&stage);
}

Test(hints_file, hints_that_come_and_go_while_it_is_written_do_not_harm_the_others) {
    struct stage stage;
    begin(&stage);
    for (unsigned i = 0; i < 2000; i++)
        add(&stage, 1, i, 0);
    struct hints_writer writer;
    hints_writer_init(&writer, stage.self);
    hints_write_head(&writer, 1800000000000, &stage.file);
    for (unsigned round = 0; !writer.is_over; round++) {
        cr_assert(hints_write_block(&writer, &stage.hints, id_of, &stage, 0, 50, &stage.file));
        for (unsigned i = 0; round < 20 && i < 500; i++)
            add(&stage, (uint16_t)(i % 3 + 1), 10000 + round * 500 + i, 0); /* tables grow */
    }
    cr_assert_eq(load(&stage, 0, 1800000000000), HINTS_READ);
    for (unsigned i = 0; i < 2000; i++)
        cr_assert(is_loaded(&stage, i), "key %u", i);
    end(&stage);
}

Test(hints_file, a_damaged_file_gives_nothing) {
    struct stage stage;
    begin(&stage);
    for (unsigned i = 0; i < 40; i++)
        add(&stage, 1, i, 0);
    save(&stage, 0, 1800000000000, 10);
    size_t size = stage.file.size;
    for (size_t at = 0; at < size; at++) {
        stage.file.data[at] ^= 0x10;
        cr_assert_eq(load(&stage, 0, 1800000000000), HINTS_READ_DAMAGED, "byte %zu", at);
        stage.file.data[at] ^= 0x10;
        stage.file.size = at;
        cr_assert_eq(load(&stage, 0, 1800000000000), HINTS_READ_DAMAGED, "cut at %zu", at);
        stage.file.size = size;
    }
    cr_assert_eq(stage.loaded.count, 0u);
    buffer_append_byte(&stage.file, 0);
    cr_assert_eq(load(&stage, 0, 1800000000000), HINTS_READ_DAMAGED, "a byte more");
    stage.file.size = size;
    stage.self[3] ^= 1;
    cr_assert_eq(load(&stage, 0, 1800000000000), HINTS_READ_DAMAGED, "of another node");
    stage.self[3] ^= 1;
    cr_assert_eq(load(&stage, 0, 1800000000000), HINTS_READ);
    cr_assert_eq(stage.loaded.count, 40u);
    end(&stage);
}

Test(hints_file, what_finds_no_room_is_counted) {
    struct stage stage;
    begin(&stage);
    for (unsigned i = 0; i < 1000; i++)
        add(&stage, 1, i, 0);
    save(&stage, 0, 1800000000000, 100);
    hints_set_limits(&stage.loaded, 5000, UINT64_MAX);
    cr_assert_eq(load(&stage, 0, 1800000000000), HINTS_READ);
    cr_assert(stage.loaded.count > 0 && stage.loaded.count < 500);
    cr_assert_eq(stage.loaded.count + stage.loaded.targets[11].dropped, 1000u);
    end(&stage);
}

Test(hints_file, without_memory_a_block_is_not_written_and_comes_later) {
    struct stage stage;
    begin(&stage);
    for (unsigned i = 0; i < 300; i++)
        add(&stage, 1, i, 0);
    struct hints_writer writer;
    hints_writer_init(&writer, stage.self);
    hints_write_head(&writer, 1800000000000, &stage.file);
    unsigned failures = 0;
    for (unsigned round = 0; !writer.is_over; round++) {
        stage.mem.fuse = round % 2 == 0 ? 1 : 0;
        if (!hints_write_block(&writer, &stage.hints, id_of, &stage, 0, 50, &stage.file)) {
            failures++;
            stage.file.failed = false;
        }
        stage.mem.fuse = 0;
    }
    cr_assert_gt(failures, 0u);
    cr_assert_eq(load(&stage, 0, 1800000000000), HINTS_READ);
    cr_assert_eq(stage.loaded.count, 300u);
    end(&stage);
}
