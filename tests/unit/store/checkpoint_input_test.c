/* checkpoint_input_test.c - what was written is read again; what was changed since, in whatever way, is not.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/checkpoint_input.h"

#include "base/checksum.h"
#include "base/rng.h"
#include "store/checkpoint_output.h"
#include "store/memory_disk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SERIAL 0x1122334455667788u

static struct memory_disk world;
static struct checkpoint_names names;
static uint8_t *packed, *header_bytes, *data;

static void set_up(void) {
    memory_disk_init(&world);
    cr_assert(checkpoint_names_init(&names, "dump.rdb"));
    packed = malloc(CHECKPOINT_PACKED_SIZE);
    header_bytes = malloc(CHECKPOINT_HEADER_SIZE_MAX);
    data = malloc(CHECKPOINT_BLOCK_SIZE);
    cr_assert(packed != NULL && header_bytes != NULL && data != NULL);
}

static void tear_down(void) {
    cr_assert_eq(world.open_files, 0);
    memory_disk_release(&world);
    free(packed);
    free(header_bytes);
    free(data);
}

TestSuite(checkpoint_input, .init = set_up, .fini = tear_down);

/* ---- Writing ---- */

static size_t make_header(uint8_t *frame, uint64_t serial, uint16_t actor_count) {
    struct checkpoint_header header = {.actor_count = actor_count, .serial = serial, .counter = 77};
    struct actor_identity actors[4] = {{{1}, 1}, {{2}, 1}, {{3}, 1}, {{4}, 1}};
    header.writer = actors[0];
    return (size_t)(checkpoint_header_write(frame, &header, actors) - frame);
}

static bool begin(struct checkpoint_output *output, uint64_t serial) {
    uint8_t header[CHECKPOINT_HEADER_SIZE(2)];
    *output =
        (struct checkpoint_output){.disk = &world.disk, .names = names, .packed = packed, .serial = serial};
    return checkpoint_output_begin(output, header, make_header(header, serial, 2));
}

/* Fills `block` with `size` bytes that belong to its number. kind 0: text that packs well, 1: noise, 2: one byte. */
static void fill(uint8_t *block, uint32_t size, unsigned number, unsigned kind) {
    struct rng rng;
    rng_init(&rng, number);
    for (uint32_t i = 0; i < size; i++)
        block[i] = kind == 1   ? (uint8_t)rng_next64(&rng)
                   : kind == 2 ? (uint8_t)number
                               : (uint8_t)(i / 7 + number);
}

struct shape {
    uint32_t size, records;
    unsigned kind;
};

/* Writes a checkpoint of these blocks under its name. */
static void save(uint64_t serial, const struct shape *blocks, unsigned count) {
    struct checkpoint_output output;
    uint8_t *block = malloc(CHECKPOINT_BLOCK_SIZE);
    cr_assert(block != NULL && begin(&output, serial));
    for (unsigned i = 0; i < count; i++) {
        fill(block, blocks[i].size, i, blocks[i].kind);
        cr_assert(checkpoint_output_block(&output, block, blocks[i].size, blocks[i].records));
    }
    uint64_t stored = output.stored_bytes + CHECKPOINT_FOOTER_SIZE;
    cr_assert(checkpoint_output_finish(&output));
    cr_assert_eq(output.stored_bytes, stored);
    cr_assert_eq(memory_disk_find(&world, names.newest)->size, stored);
    cr_assert_null(output.packer);
    free(block);
}

/* ---- Reading ---- */

/* Reads NAME and demands that its first blocks are these, however it ends: that is returned, and input.problem stays. */
static enum checkpoint_input_status load(struct checkpoint_input *input, const struct shape *blocks,
                                         unsigned count) {
    uint8_t *block = malloc(CHECKPOINT_BLOCK_SIZE);
    uint32_t size, records;
    unsigned read = 0;
    cr_assert_not_null(block);
    input->packed = packed;
    input->header_bytes = header_bytes;
    enum checkpoint_input_status status = checkpoint_input_open(input, &world.disk, names.newest);
    while (status == CHECKPOINT_INPUT_GOOD) {
        status = checkpoint_input_next(input, data, &size, &records);
        if (status == CHECKPOINT_INPUT_END)
            cr_assert_eq(read, count, "the end after %u of %u blocks", read, count);
        if (status != CHECKPOINT_INPUT_GOOD)
            break;
        cr_assert_lt(read, count, "more blocks than were written");
        fill(block, blocks[read].size, read, blocks[read].kind);
        cr_assert_eq(size, blocks[read].size);
        cr_assert_eq(records, blocks[read].records);
        cr_assert_arr_eq(data, block, size);
        read++;
    }
    cr_assert_eq(status == CHECKPOINT_INPUT_DAMAGED || status == CHECKPOINT_INPUT_FAILED,
                 input->problem[0] != 0);
    checkpoint_input_close(input);
    cr_assert_eq(world.open_files, 0);
    free(block);
    return status;
}

static void expect_problem(const char *problem, const struct shape *blocks, unsigned count) {
    struct checkpoint_input input;
    cr_assert_eq(load(&input, blocks, count), CHECKPOINT_INPUT_DAMAGED);
    cr_assert_str_eq(input.problem, problem);
}

static uint8_t *copy_of(const char *name, size_t *size) {
    const struct memory_file *file = memory_disk_find(&world, name);
    cr_assert_not_null(file);
    uint8_t *copy = malloc(file->size + 1);
    cr_assert_not_null(copy);
    memcpy(copy, file->data, file->size);
    *size = file->size;
    return copy;
}

Test(checkpoint_input, what_was_written_is_read_again) {
    static const struct shape blocks[] = {{CHECKPOINT_BLOCK_SIZE, 3000, 0},
                                          {CHECKPOINT_BLOCK_SIZE, 1, 1},
                                          {1, 1, 0},
                                          {100000, 0, 2},
                                          {65536, 77, 1},
                                          {CHECKPOINT_BLOCK_SIZE - 1, 9, 1}};
    for (unsigned count = 0; count <= 6; count++) {
        struct checkpoint_input input;
        save(SERIAL + count, blocks, count);
        cr_assert_eq(load(&input, blocks, count), CHECKPOINT_INPUT_END);
        cr_assert_eq(input.header.serial, SERIAL + count);
        cr_assert_eq(input.header.actor_count, 2);
        cr_assert_eq(checkpoint_header_actor(&input.header, 1).node_id[0], 2);
        cr_assert_eq(input.position, input.file_size);
        cr_assert_eq(input.seen.blocks, count);
    }
    cr_assert_not_null(memory_disk_find(&world, names.previous));
    cr_assert_null(memory_disk_find(&world, names.temporary));
}

Test(checkpoint_input, a_file_is_synced_and_closed_before_it_takes_its_name) {
    save(SERIAL, NULL, 0);
    save(SERIAL, NULL, 0);
    cr_assert_str_eq(
        world.log, "create dump.rdb.temporary; sync dump.rdb.temporary; rename dump.rdb.temporary dump.rdb; "
                   "sync_names; create dump.rdb.temporary; sync dump.rdb.temporary; rename dump.rdb "
                   "dump.rdb.previous; rename dump.rdb.temporary dump.rdb; sync_names; ");
    cr_assert_eq(world.begun_syncs, 0);
}

Test(checkpoint_input, large_files_are_written_out_little_by_little) {
    struct shape blocks[70];
    for (unsigned i = 0; i < 70; i++)
        blocks[i] = (struct shape){CHECKPOINT_BLOCK_SIZE, 1, 1};
    save(SERIAL, blocks, 70);
    cr_assert_eq(world.begun_syncs, 2);
}

Test(checkpoint_input, noise_fits_into_the_room_that_is_given) {
    static const struct shape noise = {CHECKPOINT_BLOCK_SIZE, 1, 1};
    save(SERIAL, &noise, 1);
    cr_assert_leq(memory_disk_find(&world, names.newest)->size,
                  CHECKPOINT_HEADER_SIZE(2) + CHECKPOINT_PACKED_SIZE + CHECKPOINT_FOOTER_SIZE);
}

/* ---- Failures while writing ---- */

static const struct shape some[] = {{200, 4, 0}, {300, 1, 1}, {50, 2, 2}};
#define SOME 3

Test(checkpoint_input, a_failure_of_any_operation_leaves_what_there_was) {
    unsigned failures = 0;
    for (unsigned n = 1;; n++) {
        save(SERIAL, some, SOME);
        struct checkpoint_output output;
        uint8_t block[100] = {0};
        world.fail_in = n;
        world.operations = 0;
        world.log[0] = 0;
        bool is_done = begin(&output, SERIAL + 1);
        bool is_written = checkpoint_output_block(&output, block, sizeof block, 1);
        cr_assert_leq(is_written, is_done);
        is_done = checkpoint_output_finish(&output);
        cr_assert_leq(is_done, is_written);
        bool was_reached = world.operations >= n;
        if (!is_done) {
            failures++;
            cr_assert_eq(output.error, EIO);
            cr_assert_not_null(output.failed_at);
            unsigned operations = world.operations;
            cr_assert_not(checkpoint_output_block(&output, block, sizeof block, 1));
            cr_assert_not(checkpoint_output_finish(&output));
            cr_assert_eq(world.operations, operations, "something was done after the failure");
            checkpoint_output_abort(&output);
            cr_assert_null(memory_disk_find(&world, names.temporary));
            cr_assert_null(output.packer);
            cr_assert(memory_disk_find(&world, names.newest) != NULL ||
                      memory_disk_find(&world, names.previous) != NULL);
        }
        cr_assert_eq(world.open_files, 0);
        world.fail_in = 0;
        if (!was_reached)
            break;
    }
    cr_assert_geq(failures, 8, "creating, three times writing, syncing, closing, renaming, syncing names");
}

Test(checkpoint_input, failures_say_where_they_happened) {
    static const struct {
        unsigned operation;
        const char *failed_at;
    } steps[] = {
        {1, "creating the temporary file"}, {2, "writing"}, {4, "syncing"}, {5, "closing"}, {7, "renaming"}};
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct checkpoint_output output;
        world.fail_in = steps[i].operation;
        world.fail_error = ENOSPC;
        begin(&output, SERIAL);
        cr_assert_not(checkpoint_output_finish(&output));
        cr_assert_eq(output.error, ENOSPC);
        cr_assert_str_eq(output.failed_at, steps[i].failed_at);
        checkpoint_output_abort(&output);
    }
}

Test(checkpoint_input, giving_up_leaves_nothing_behind) {
    struct checkpoint_output output;
    cr_assert(begin(&output, SERIAL));
    checkpoint_output_abort(&output);
    cr_assert_null(memory_disk_find(&world, names.temporary));
    cr_assert_null(memory_disk_find(&world, names.newest));
}

/* ---- Failures while reading ---- */

Test(checkpoint_input, a_failure_of_the_disk_is_no_damage) {
    save(SERIAL, some, SOME);
    unsigned n = 1;
    for (;; n++) {
        struct checkpoint_input input;
        world.fail_in = n;
        world.operations = 0;
        enum checkpoint_input_status status = load(&input, some, SOME);
        if (status == CHECKPOINT_INPUT_END)
            break;
        cr_assert_eq(status, CHECKPOINT_INPUT_FAILED);
        cr_assert_eq(input.error, EIO);
    }
    world.fail_in = 0;
    cr_assert_geq(n, 14, "opening, the header twice, three blocks and the footer, and what is behind it");
}

Test(checkpoint_input, files_that_are_no_checkpoints_are_told_apart) {
    static const struct {
        const char *content;
        size_t size;
        enum checkpoint_input_status status;
        bool is_rdb;
    } files[] = {
        {"REDIS0010", 9, CHECKPOINT_INPUT_FOREIGN, true},
        {"REDIS0010 and a lot of what Redis writes", 40, CHECKPOINT_INPUT_FOREIGN, true},
        {"REDIS", 5, CHECKPOINT_INPUT_FOREIGN, true},
        {"REDI", 4, CHECKPOINT_INPUT_FOREIGN, false},
        {"my diary, which nobody is to rename", 35, CHECKPOINT_INPUT_FOREIGN, false},
        {"x", 1, CHECKPOINT_INPUT_FOREIGN, false},
        {"", 0, CHECKPOINT_INPUT_DAMAGED, false},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, CHECKPOINT_INPUT_DAMAGED, false},
        {"\0\0", 2, CHECKPOINT_INPUT_DAMAGED, false},
        {"\x5b\x2a\x4d\x18", 4, CHECKPOINT_INPUT_DAMAGED, false},
        {"\x5b\x2a\x4d\x18\x60\0\0\0another's frame", 23, CHECKPOINT_INPUT_DAMAGED, false},
        {"\x04\x22\x4d\x18 an LZ4 frame", 17, CHECKPOINT_INPUT_FOREIGN, false},
        {"????????redis-kv, its first bytes lost", 38, CHECKPOINT_INPUT_DAMAGED, false},
    };
    struct checkpoint_input input;
    cr_assert_eq(load(&input, NULL, 0), CHECKPOINT_INPUT_MISSING);
    for (unsigned i = 0; i < sizeof files / sizeof files[0]; i++) {
        memory_disk_put(&world, names.newest, files[i].content, files[i].size);
        cr_assert_eq(load(&input, NULL, 0), files[i].status, "file %u", i);
        cr_assert_eq(input.is_rdb, files[i].is_rdb, "file %u", i);
    }
}

/* Makes the sum of a frame of ours right again. */
static void seal(uint8_t *frame) {
    size_t size = 8 + (size_t)load_u32(frame + 4);
    uint64_t checksum = checksum_bytes(frame + 8, size - 16);
    for (unsigned i = 0; i < 8; i++)
        frame[size - 8 + i] = (uint8_t)(checksum >> 8 * i);
}

Test(checkpoint_input, a_later_version_is_no_damage) {
    struct checkpoint_input input;
    size_t size;
    save(SERIAL, some, SOME);
    uint8_t *file = copy_of(names.newest, &size);
    file[17] = 9;
    seal(file);
    memory_disk_put(&world, names.newest, file, size);
    cr_assert_eq(load(&input, some, SOME), CHECKPOINT_INPUT_NEWER);
    cr_assert_eq(input.header.version, 9);
    free(file);
}

/* ---- Damage ---- */

Test(checkpoint_input, a_file_cut_anywhere_is_damaged) {
    struct checkpoint_input input;
    size_t size;
    save(SERIAL, some, SOME);
    uint8_t *file = copy_of(names.newest, &size);
    for (size_t cut = 0; cut < size; cut++) {
        memory_disk_put(&world, names.newest, file, cut);
        cr_assert_eq(load(&input, some, SOME), CHECKPOINT_INPUT_DAMAGED, "cut at %zu", cut);
    }
    memory_disk_put(&world, names.newest, file, size);
    cr_assert_eq(load(&input, some, SOME), CHECKPOINT_INPUT_END);
    free(file);
}

Test(checkpoint_input, every_changed_bit_of_a_file_is_seen) {
    struct checkpoint_input input;
    size_t size;
    save(SERIAL, some, SOME);
    uint8_t *file = copy_of(names.newest, &size);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memory_disk_put(&world, names.newest, file, size);
        cr_assert_eq(load(&input, some, SOME), CHECKPOINT_INPUT_DAMAGED, "bit %zu", bit);
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(file);
}

Test(checkpoint_input, bytes_behind_the_footer_are_damage) {
    size_t size;
    save(SERIAL, some, SOME);
    uint8_t *file = copy_of(names.newest, &size);
    file[size] = 0;
    memory_disk_put(&world, names.newest, file, size + 1);
    char problem[100];
    snprintf(problem, sizeof problem, "there is something behind the footer at byte %zu",
             size - CHECKPOINT_FOOTER_SIZE);
    expect_problem(problem, some, SOME);
    free(file);
}

/* The places of the frames of blocks in a file; returns that of the footer. */
static size_t find_blocks(const uint8_t *file, size_t *places) {
    size_t place = 8 + (size_t)load_u32(file + 4);
    for (unsigned i = 0; file[place + 16] == 'B'; i++) {
        places[i] = place;
        place += CHECKPOINT_BLOCK_HEAD_SIZE + load_u32(file + place + 37);
    }
    return place;
}

Test(checkpoint_input, problems_say_what_and_where) {
    size_t size, places[SOME];
    save(SERIAL, some, SOME);
    uint8_t *file = copy_of(names.newest, &size);
    size_t footer = find_blocks(file, places);
    char problem[120];

    file[places[1] + CHECKPOINT_BLOCK_HEAD_SIZE + 9] ^= 1;
    memory_disk_put(&world, names.newest, file, size);
    snprintf(problem, sizeof problem, "block 1 at byte %zu: checksum does not match", places[1]);
    expect_problem(problem, some, SOME);
    file[places[1] + CHECKPOINT_BLOCK_HEAD_SIZE + 9] ^= 1;

    file[places[2] + 30] ^= 1;
    memory_disk_put(&world, names.newest, file, size);
    snprintf(problem, sizeof problem, "head of block 2 at byte %zu: checksum does not match", places[2]);
    expect_problem(problem, some, SOME);
    file[places[2] + 30] ^= 1;

    file[40] ^= 1;
    memory_disk_put(&world, names.newest, file, size);
    expect_problem("header at byte 0: checksum does not match", some, SOME);
    file[40] ^= 1;

    memory_disk_put(&world, names.newest, file, footer - 1);
    snprintf(problem, sizeof problem, "the file ends at byte %zu, within or before block 2", footer - 1);
    expect_problem(problem, some, SOME);
    free(file);
}

/* Writes a file anew of other pieces of it. */
static void put_pieces(const uint8_t *header, const uint8_t *file, const size_t (*pieces)[2],
                       unsigned count) {
    uint8_t *joined = malloc(CHECKPOINT_BLOCK_SIZE);
    cr_assert_not_null(joined);
    size_t size = CHECKPOINT_HEADER_SIZE(2);
    memcpy(joined, header, size);
    for (unsigned i = 0; i < count; i++) {
        memcpy(joined + size, file + pieces[i][0], pieces[i][1] - pieces[i][0]);
        size += pieces[i][1] - pieces[i][0];
    }
    memory_disk_put(&world, names.newest, joined, size);
    free(joined);
}

Test(checkpoint_input, whole_blocks_in_the_wrong_place_are_seen) {
    static const struct shape same[] = {{200, 4, 0}, {200, 4, 2}, {200, 4, 2}};
    size_t size, other_size, b[SOME];
    save(SERIAL, same, SOME);
    save(SERIAL + 1, same, SOME);
    uint8_t *file = copy_of(names.newest, &size), *other = copy_of(names.previous, &other_size);
    cr_assert_eq(size, other_size);
    size_t footer = find_blocks(file, b);

    put_pieces(file, file, (size_t[][2]){{b[0], b[1]}, {b[2], footer}, {b[1], b[2]}, {footer, size}}, 4);
    char problem[120];
    snprintf(problem, sizeof problem, "block 1 at byte %zu: is another block of this file", b[1]);
    expect_problem(problem, same, SOME);
    put_pieces(file, file, (size_t[][2]){{b[0], b[2]}, {footer, size}}, 2);
    snprintf(problem, sizeof problem, "footer at byte %zu: another number of blocks than there are", b[2]);
    expect_problem(problem, same, SOME);
    put_pieces(file, file, (size_t[][2]){{b[0], footer}, {b[2], size}}, 2);
    snprintf(problem, sizeof problem, "block 3 at byte %zu: is another block of this file", footer);
    expect_problem(problem, same, SOME);
    put_pieces(other, file, (size_t[][2]){{b[0], size}}, 1);
    snprintf(problem, sizeof problem, "block 0 at byte %zu: belongs to another file", b[0]);
    expect_problem(problem, same, SOME);
    memcpy(other + b[0], file + b[0], footer - b[0]); /* the other's footer behind our blocks */
    put_pieces(file, other, (size_t[][2]){{b[0], size}}, 1);
    snprintf(problem, sizeof problem, "footer at byte %zu: belongs to another file", footer);
    expect_problem(problem, same, SOME);
    put_pieces(file, file, (size_t[][2]){{b[0], footer}, {0, b[0]}, {footer, size}}, 3);
    snprintf(problem, sizeof problem, "block 3 at byte %zu: does not begin as one", footer);
    expect_problem(problem, same, SOME);
    free(file);
    free(other);
}

Test(checkpoint_input, a_footer_of_other_sums_is_refused) {
    size_t size, places[SOME];
    save(SERIAL, some, SOME);
    uint8_t *file = copy_of(names.newest, &size);
    size_t footer = find_blocks(file, places);
    for (unsigned field = 0; field < 5; field++) {
        struct checkpoint_input input;
        file[footer + 17 + 8 * field] ^= 1;
        seal(file + footer);
        memory_disk_put(&world, names.newest, file, size);
        cr_assert_eq(load(&input, some, SOME), CHECKPOINT_INPUT_DAMAGED, "field %u", field);
        file[footer + 17 + 8 * field] ^= 1;
    }
    seal(file + footer);
    memory_disk_put(&world, names.newest, file, size);
    struct checkpoint_input input;
    cr_assert_eq(load(&input, some, SOME), CHECKPOINT_INPUT_END);
    free(file);
}

/* ---- LZ4 frames that somebody made up, under right checksums ---- */

/* A file of one block whose LZ4 frame is `stored`, said to unpack to `size` bytes. */
static enum checkpoint_input_status load_stored(const uint8_t *stored, size_t stored_size, uint32_t size) {
    uint8_t *file = malloc(CHECKPOINT_HEADER_SIZE(2) + CHECKPOINT_PACKED_SIZE + CHECKPOINT_FOOTER_SIZE);
    struct checkpoint_block_head head = {.serial = SERIAL,
                                         .size = size,
                                         .stored_size = (uint32_t)stored_size,
                                         .checksum = checksum_bytes(stored, stored_size)};
    struct checkpoint_footer footer = {
        .serial = SERIAL, .blocks = 1, .bytes = size, .chain = checkpoint_chain(0, head.checksum)};
    cr_assert_not_null(file);
    uint8_t *end = checkpoint_block_head_write(file + make_header(file, SERIAL, 2), &head);
    memcpy(end, stored, stored_size);
    end = checkpoint_footer_write(end + stored_size, &footer);
    memory_disk_put(&world, names.newest, file, (size_t)(end - file));
    free(file);
    struct checkpoint_input input = {.packed = packed, .header_bytes = header_bytes};
    uint32_t got_size, records;
    enum checkpoint_input_status status = checkpoint_input_open(&input, &world.disk, names.newest);
    cr_assert_eq(status, CHECKPOINT_INPUT_GOOD);
    memset(data, 0xee, CHECKPOINT_BLOCK_SIZE);
    status = checkpoint_input_next(&input, data, &got_size, &records);
    if (status == CHECKPOINT_INPUT_GOOD) {
        cr_assert_eq(got_size, size);
        cr_assert_eq(checkpoint_input_next(&input, data, &got_size, &records), CHECKPOINT_INPUT_END);
    } else {
        cr_assert_eq(status, CHECKPOINT_INPUT_DAMAGED);
    }
    checkpoint_input_close(&input);
    return status;
}

/* A frame of `size` zero bytes. */
static size_t pack(uint8_t *out, size_t room, uint32_t size, LZ4F_preferences_t preferences) {
    size_t bound = LZ4F_compressFrameBound(size, &preferences);
    uint8_t *block = calloc(1, size), *frame = malloc(bound);
    cr_assert(block != NULL && frame != NULL);
    size_t packed_size = LZ4F_compressFrame(frame, bound, block, size, &preferences);
    cr_assert_not(LZ4F_isError(packed_size), "%s", LZ4F_getErrorName(packed_size));
    cr_assert_leq(packed_size, room);
    memcpy(out, frame, packed_size);
    free(block);
    free(frame);
    return packed_size;
}

Test(checkpoint_input, a_frame_that_unpacks_to_another_size_is_refused) {
    static uint8_t stored[16384];
    size_t size = pack(stored, sizeof stored, 1000, (LZ4F_preferences_t){0});
    cr_assert_eq(load_stored(stored, size, 1000), CHECKPOINT_INPUT_GOOD);
    cr_assert_eq(load_stored(stored, size, 999), CHECKPOINT_INPUT_DAMAGED);
    cr_assert_eq(load_stored(stored, size, 1001), CHECKPOINT_INPUT_DAMAGED);
    for (size_t cut = 1; cut < size; cut++)
        cr_assert_eq(load_stored(stored, cut, 1000), CHECKPOINT_INPUT_DAMAGED, "cut at %zu", cut);
    stored[size] = 0;
    cr_assert_eq(load_stored(stored, size + 1, 1000), CHECKPOINT_INPUT_DAMAGED, "a byte behind the frame");
    memcpy(stored + size, stored, size);
    cr_assert_eq(load_stored(stored, 2 * size, 2000), CHECKPOINT_INPUT_DAMAGED, "two frames");
}

Test(checkpoint_input, a_bomb_does_not_go_off) {
    LZ4F_preferences_t preferences = {.frameInfo = {.blockSizeID = LZ4F_max256KB}};
    size_t room = 128 * 1024;
    uint8_t *stored = malloc(room);
    cr_assert_not_null(stored);
    size_t size = pack(stored, room, 16 * 1024 * 1024, preferences);
    cr_assert_eq(load_stored(stored, size, CHECKPOINT_BLOCK_SIZE), CHECKPOINT_INPUT_DAMAGED);
    free(stored);
}

Test(checkpoint_input, a_frame_that_asks_for_much_memory_is_refused) {
    static const LZ4F_blockSizeID_t sizes[] = {LZ4F_max64KB, LZ4F_max256KB, LZ4F_max1MB, LZ4F_max4MB};
    for (unsigned i = 0; i < 4; i++) {
        uint8_t stored[1000], block[100] = {0};
        LZ4F_preferences_t preferences = {.frameInfo = {.blockSizeID = sizes[i]}, .autoFlush = 1};
        LZ4F_cctx *packer;
        cr_assert_not(LZ4F_isError(LZ4F_createCompressionContext(&packer, LZ4F_VERSION)));
        size_t size = LZ4F_compressBegin(packer, stored, sizeof stored, &preferences);
        size += LZ4F_compressUpdate(packer, stored + size, sizeof stored - size, block, sizeof block, NULL);
        size += LZ4F_compressEnd(packer, stored + size, sizeof stored - size, NULL);
        LZ4F_freeCompressionContext(packer);
        cr_assert_lt(size, sizeof stored);
        cr_assert_eq(load_stored(stored, size, sizeof block),
                     i < 2 ? CHECKPOINT_INPUT_GOOD : CHECKPOINT_INPUT_DAMAGED);
    }
}

Test(checkpoint_input, other_frames_of_lz4_are_read_or_refused_but_never_trusted) {
    static uint8_t stored[16384];
    LZ4F_preferences_t preferences = {.frameInfo = {.blockMode = LZ4F_blockLinked,
                                                    .contentChecksumFlag = LZ4F_contentChecksumEnabled,
                                                    .blockChecksumFlag = LZ4F_blockChecksumEnabled}};
    size_t size = pack(stored, sizeof stored, 200000, preferences);
    cr_assert_eq(load_stored(stored, size, 200000), CHECKPOINT_INPUT_GOOD);
    stored[size - 1] ^= 1;
    cr_assert_eq(load_stored(stored, size, 200000), CHECKPOINT_INPUT_DAMAGED);
    preferences.frameInfo.dictID = 7;
    size = pack(stored, sizeof stored, 200, preferences);
    cr_assert_eq(load_stored(stored, size, 200), CHECKPOINT_INPUT_DAMAGED, "nobody has the dictionary");
    static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
    cr_assert_eq(load_stored(skippable, sizeof skippable, 4), CHECKPOINT_INPUT_DAMAGED);
    static const uint8_t noise[] = "no frame at all, whatever its checksum says";
    cr_assert_eq(load_stored(noise, sizeof noise, 100), CHECKPOINT_INPUT_DAMAGED);
    cr_assert_eq(load_stored(noise, 1, 100), CHECKPOINT_INPUT_DAMAGED);
}

Test(checkpoint_input, changed_frames_under_right_checksums_harm_nobody) {
    static uint8_t stored[16384];
    uint8_t block[2000];
    fill(block, sizeof block, 3, 0);
    struct rng rng;
    rng_init(&rng, 1);
    LZ4F_preferences_t preferences = {.frameInfo = {.blockMode = LZ4F_blockIndependent}};
    size_t size = LZ4F_compressFrame(stored, sizeof stored, block, sizeof block, &preferences);
    cr_assert_not(LZ4F_isError(size));
    unsigned refused = 0;
    for (unsigned i = 0; i < 20000; i++) {
        size_t place = (size_t)rng_below(&rng, size);
        uint8_t before = stored[place];
        stored[place] = (uint8_t)rng_next64(&rng);
        refused += load_stored(stored, size, sizeof block) == CHECKPOINT_INPUT_DAMAGED;
        stored[place] = before;
    }
    cr_assert_gt(refused, 5000);
}
