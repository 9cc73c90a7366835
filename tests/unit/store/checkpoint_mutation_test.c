/* checkpoint_mutation_test.c - ten thousand damaged files: what is loaded is the whole image of one generation, or nothing.
 *
 * Two generations and a third checkpoint of the same keys are made once. Each mutation then damages the newest file
 * (or both) and loads. What must come of it is known in each case: the newest image if not one byte differs, else the
 * previous one if that is untouched, else a refusal. Mutation `n` is always the same one; a failure names it.
 * May touch: store, the stage. Must never know: where a file keeps what.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/rng.h"
#include "checkpoint_stage.h"
#include "store/checkpoint_format.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* Of each of the five kinds. */
#ifdef __SANITIZE_ADDRESS__
#define MUTATIONS 250u
#else
#define MUTATIONS 2000u
#endif

#define SMALL_KEYS      150u
#define LONG_KEY_SIZE   70000u
#define LONG_VALUE_SIZE 560000u
#define BLOCKS_MAX      32u
#define RUN_MAX         4096u

enum generation { NEWEST, PREVIOUS, OTHER, GENERATIONS };

struct bytes {
    uint8_t *data;
    size_t size;
};

/* One frame of ours, with the LZ4 frame behind it if it is a block. */
struct piece {
    size_t at, size;
};

static struct stage stage;
static struct bytes files[GENERATIONS];
static uint8_t *long_key, *long_value;
static struct rng rng;
static unsigned mutation;

/* ---- What is saved --------------------------------------------------------------------------------------------- */

/* Differs from generation to generation in every value. */
static uint32_t small_value(enum generation generation, unsigned i, char value[64]) {
    return (uint32_t)snprintf(value, 64, "value %u of generation %u%.*s", i, generation, (int)(i % 20),
                              "....................");
}

static int64_t small_expiry(unsigned i) {
    return i % 3 == 0 ? STAGE_NOW_MS + 1000 + i : EXPIRY_NONE;
}

static uint32_t small_database(unsigned i) {
    return i % 5 == 0 ? 15 : i % 5 == 1 ? 7 : 0;
}

static const uint8_t *long_value_of(enum generation generation) {
    long_value[0] = (uint8_t)('0' + generation);
    long_value[LONG_VALUE_SIZE - 1] = (uint8_t)('a' + generation);
    return long_value;
}

static struct argument long_argument(void) {
    return (struct argument){.data = long_key, .size = LONG_KEY_SIZE, .slot = ARGUMENT_NOT_PLACED};
}

static void put_all(enum generation generation) {
    char key[32], value[64];
    for (unsigned i = 0; i < SMALL_KEYS; i++) {
        snprintf(key, sizeof key, "key:%u", i);
        uint32_t size = small_value(generation, i, value);
        stage_put(&stage, small_database(i), key, value, size, small_expiry(i));
    }
    stage_put(&stage, 0, "empty", "", 0, EXPIRY_NONE);
    stage_put(&stage, 7, "long", long_value_of(generation), LONG_VALUE_SIZE, EXPIRY_NONE);
    struct argument argument = long_argument();
    struct value made = {.data = (const uint8_t *)"newest previous other" + 7 * generation,
                         .size = 7,
                         .expiry_ms = EXPIRY_NONE};
    cr_assert(keyspace_put(stage.keyspace, 0, &argument, &made));
}

static void expect_value(const struct record *record, const void *value, uint32_t size, int64_t expiry_ms) {
    int64_t wanted = expiry_ms == EXPIRY_NONE ? RECORD_NO_EXPIRY : expiry_ms;
    cr_assert_not_null(record, "mutation %u: a key is lost", mutation);
    cr_assert_eq(record_value_size(record), size, "mutation %u: a value has another size", mutation);
    cr_assert_eq(memcmp(record_value_const(record), value, size), 0, "mutation %u: a wrong value", mutation);
    cr_assert_eq(record_expiry_ms(record), wanted, "mutation %u: a wrong expiry", mutation);
}

static uint64_t all_keys(void) {
    uint64_t keys = 0;
    for (uint32_t database = 0; database < DATABASE_COUNT; database++)
        keys += keyspace_size(stage.keyspace, database);
    return keys;
}

/* The keyspace is this image, and nothing more. */
static void expect_image(enum generation generation) {
    char key[32], value[64];
    cr_assert_eq(all_keys(), SMALL_KEYS + 3, "mutation %u: %llu keys", mutation,
                 (unsigned long long)all_keys());
    for (unsigned i = 0; i < SMALL_KEYS; i++) {
        snprintf(key, sizeof key, "key:%u", i);
        uint32_t size = small_value(generation, i, value);
        expect_value(stage_find(&stage, small_database(i), key), value, size, small_expiry(i));
    }
    expect_value(stage_find(&stage, 0, "empty"), "", 0, EXPIRY_NONE);
    expect_value(stage_find(&stage, 7, "long"), long_value_of(generation), LONG_VALUE_SIZE, EXPIRY_NONE);
    struct argument argument = long_argument();
    struct entry entry;
    expect_value(keyspace_lookup(stage.keyspace, 0, &argument, LOOKUP_PEEK, &entry),
                 "newest previous other" + 7 * generation, 7, EXPIRY_NONE);
}

/* ---- Files --------------------------------------------------------------------------------------------------------- */

static struct bytes copy_of(struct bytes bytes) {
    struct bytes copy = {.data = malloc(bytes.size + 1), .size = bytes.size};
    cr_assert_not_null(copy.data);
    memcpy(copy.data, bytes.data, bytes.size);
    return copy;
}

static void save(enum generation generation, uint64_t serial) {
    put_all(generation);
    struct checkpoint_options options = {.keyspace = stage.keyspace,
                                         .disk = &stage.folder.disk,
                                         .queue = &stage.queue,
                                         .name = "dump",
                                         .serial = serial};
    struct checkpoint_writer *writer = checkpoint_writer_new(&options);
    cr_assert_not_null(writer);
    cr_assert_eq(stage_finish_save(&stage, writer).state, CHECKPOINT_DONE);
    const struct memory_file *file = memory_disk_find(&stage.folder, "dump");
    files[generation] = copy_of((struct bytes){.data = file->data, .size = file->size});
}

static void set_up(void) {
    stage_open(&stage);
    rng_init(&rng, 7);
    long_key = malloc(LONG_KEY_SIZE);
    long_value = malloc(LONG_VALUE_SIZE);
    cr_assert(long_key != NULL && long_value != NULL);
    /* Such that it packs well, and every part of a block depends on the one before. */
    for (size_t i = 0; i < LONG_VALUE_SIZE; i++)
        long_value[i] = i < 1000 || i % 5000 == 0 ? (uint8_t)rng_next64(&rng) : long_value[i - 1000];
    for (size_t i = 0; i < LONG_KEY_SIZE; i++)
        long_key[i] = i < 500 ? (uint8_t)rng_next64(&rng) : long_key[i - 500];
    /* The serial tells the previous one's blocks from the newest one's; of the other's only their content does. */
    save(PREVIOUS, 1);
    save(OTHER, 2);
    save(NEWEST, 2);
}

static void tear_down(void) {
    for (unsigned i = 0; i < GENERATIONS; i++)
        free(files[i].data);
    free(long_key);
    free(long_value);
    stage_close(&stage);
}

TestSuite(checkpoint_mutation, .init = set_up, .fini = tear_down);

/* Takes a file apart; the number of pieces. */
static unsigned take_apart(struct bytes file, struct piece pieces[BLOCKS_MAX]) {
    unsigned count = 0;
    for (size_t at = 0; at < file.size; at += pieces[count++].size) {
        struct checkpoint_block_head head;
        cr_assert_lt(count, BLOCKS_MAX);
        size_t size = checkpoint_frame_size(file.data + at);
        cr_assert_neq(size, 0);
        if (checkpoint_block_head_read(file.data + at, size, &head))
            size += head.stored_size;
        pieces[count] = (struct piece){.at = at, .size = size};
    }
    return count;
}

/* ---- Mutations: each takes a file, which it may make larger, and gives the damaged one ---- */

static void replace(struct bytes *file, size_t at, size_t old_size, const void *bytes, size_t size) {
    struct bytes made = {.size = file->size - old_size + size};
    made.data = malloc(made.size + 1);
    cr_assert_not_null(made.data);
    memcpy(made.data, file->data, at);
    if (size != 0)
        memcpy(made.data + at, bytes, size);
    memcpy(made.data + at + size, file->data + at + old_size, file->size - at - old_size);
    free(file->data);
    *file = made;
}

static size_t below(size_t limit) {
    return (size_t)rng_below(&rng, limit);
}

/* Mostly short, sometimes all that there is room for. */
static size_t run_size(size_t room) {
    size_t limit = below(4) == 0 ? RUN_MAX : 32;
    return 1 + below(room < limit ? room : limit);
}

static void cut(struct bytes *file) {
    struct piece pieces[BLOCKS_MAX];
    unsigned count = take_apart(*file, pieces);
    const struct piece *piece = &pieces[below(count)];
    size_t size = below(file->size);
    switch (below(4)) {
    case 0: size = piece->at + below(20); break;
    case 1: size = piece->at; break;
    case 2: size = file->size - 1 - below(CHECKPOINT_FOOTER_SIZE + 20); break;
    default: break;
    }
    if (size < file->size)
        file->size = size;
}

static void flip_bits(struct bytes *file) {
    struct piece pieces[BLOCKS_MAX];
    unsigned count = take_apart(*file, pieces);
    for (size_t flips = below(2) == 0 ? 1 : 1 + below(16); flips > 0; flips--) {
        const struct piece *piece = &pieces[below(count)];
        size_t head = piece->size < CHECKPOINT_BLOCK_HEAD_SIZE ? piece->size : CHECKPOINT_BLOCK_HEAD_SIZE;
        size_t at = below(2) == 0 ? below(file->size) : piece->at + below(head);
        file->data[at] ^= (uint8_t)(1u << below(8));
    }
}

/* A run of bytes becomes another one, comes in, goes, or changes its place. */
static void change_run(struct bytes *file) {
    size_t at = below(file->size), size = run_size(file->size - at), from = below(file->size - size + 1);
    uint8_t kept[RUN_MAX], fill = below(2) == 0 ? 0 : 0xff;
    cr_assert_leq(size, RUN_MAX);
    memcpy(kept, file->data + from, size);
    switch (below(6)) {
    case 0: memset(file->data + at, fill, size); break;
    case 1:
        for (size_t i = 0; i < size; i++)
            file->data[at + i] = (uint8_t)rng_next64(&rng);
        break;
    case 2: replace(file, at, size, NULL, 0); break;
    case 3: replace(file, at, 0, kept, size); break;
    case 4: memcpy(file->data + at, kept, size); break;
    default: /* two that may overlap change places: then one of them is whole */
        memmove(file->data + from, file->data + at, size);
        memcpy(file->data + at, kept, size);
        break;
    }
}

/* The same run or one from elsewhere, as another checkpoint has it. */
static void take_run_of_another(struct bytes *file) {
    const struct bytes *other = &files[below(2) == 0 ? PREVIOUS : OTHER];
    size_t from = below(other->size), size = 1 + below(other->size - from);
    if (below(3) != 0)
        size = run_size(other->size - from);
    size_t at = below(2) == 0 && from < file->size ? from : below(file->size);
    size_t old_size = size < file->size - at ? size : file->size - at;
    replace(file, at, old_size, other->data + from, size);
}

/* Header, blocks and footer, each undamaged, of this file and of others: in another order, twice, not at all. */
static void change_pieces(struct bytes *file) {
    enum generation from = below(GENERATIONS);
    const struct bytes *other = &files[from];
    struct piece pieces[BLOCKS_MAX], others[BLOCKS_MAX];
    unsigned count = take_apart(*file, pieces), other_count = take_apart(*other, others);
    /* The header of one that has the same serial would do: random numbers of 64 bits are not the same. */
    size_t first = from == OTHER ? 1 : 0, same = first + below(count - first);
    struct piece one = pieces[below(count)], two = pieces[below(count)];
    struct piece foreign = others[first + below(other_count - first)];
    switch (below(5)) {
    case 0: replace(file, one.at, one.size, NULL, 0); break;
    case 1: replace(file, two.at, 0, files[NEWEST].data + one.at, one.size); break;
    case 2: replace(file, one.at, one.size, other->data + foreign.at, foreign.size); break;
    case 3:
        if (same < other_count)
            replace(file, pieces[same].at, pieces[same].size, other->data + others[same].at,
                    others[same].size);
        break;
    default: /* the later one first: places before it stay */
        if (one.at > two.at) {
            struct piece kept = one;
            one = two;
            two = kept;
        }
        replace(file, two.at, two.size, files[NEWEST].data + one.at, one.size);
        replace(file, one.at, one.size, files[NEWEST].data + two.at, two.size);
        break;
    }
}

typedef void mutate(struct bytes *file);

/* ---- What comes of them -------------------------------------------------------------------------------------------- */

static bool is_same(struct bytes one, struct bytes other) {
    return one.size == other.size && (one.size == 0 || memcmp(one.data, other.data, one.size) == 0);
}

static void begin_folder(struct bytes newest, struct bytes previous) {
    memory_disk_release(&stage.folder);
    memory_disk_put(&stage.folder, "dump", newest.data, newest.size);
    memory_disk_put(&stage.folder, "dump.previous", previous.data, previous.size);
}

static void empty_keyspace(void) {
    for (uint32_t database = 0; database < DATABASE_COUNT; database++)
        keyspace_flush(stage.keyspace, database);
    while (keyspace_reclaim_step(stage.keyspace, JOB_STEP_UNITS) != 0)
        continue;
}

static void load_and_judge(struct bytes newest, struct bytes previous) {
    bool has_newest = is_same(newest, files[NEWEST]), has_previous = is_same(previous, files[PREVIOUS]);
    begin_folder(newest, previous);
    struct checkpoint_load_progress progress = stage_load(&stage, true, false);
    const struct memory_file *aside = memory_disk_find(&stage.folder, "dump.damaged");
    if (!has_newest && !has_previous) {
        cr_assert_eq(progress.state, CHECKPOINT_LOAD_REFUSED, "mutation %u: it goes on", mutation);
        cr_assert_null(aside, "mutation %u: a file is moved", mutation);
        return;
    }
    cr_assert_eq(progress.state, CHECKPOINT_LOADED, "mutation %u: %s", mutation, progress.problem);
    cr_assert_eq(progress.from_previous, !has_newest, "mutation %u: of the wrong generation", mutation);
    expect_image(has_newest ? NEWEST : PREVIOUS);
    cr_assert_eq(aside != NULL, !has_newest, "mutation %u", mutation);
    if (aside != NULL)
        cr_assert(is_same(newest, (struct bytes){.data = aside->data, .size = aside->size}),
                  "mutation %u: what was set aside is another file", mutation);
    empty_keyspace();
}

/* A file that no mutation has touched. */
static void expect_newest(void) {
    load_and_judge(files[NEWEST], files[PREVIOUS]);
}

static void run(mutate *mutate_file, uint64_t seed) {
    unsigned changed = 0;
    stage_restart(&stage);
    expect_newest();
    for (mutation = 1; mutation <= MUTATIONS; mutation++) {
        rng_init(&rng, seed << 32 | mutation);
        struct bytes newest = copy_of(files[NEWEST]);
        mutate_file(&newest);
        changed += !is_same(newest, files[NEWEST]);
        load_and_judge(newest, files[PREVIOUS]);
        free(newest.data);
    }
    cr_assert_gt(changed, MUTATIONS / 2, "most mutations change something");
}

Test(checkpoint_mutation, a_file_that_was_cut_gives_way_to_the_previous_one) {
    run(cut, 1);
}

Test(checkpoint_mutation, a_file_with_flipped_bits_gives_way_to_the_previous_one) {
    run(flip_bits, 2);
}

Test(checkpoint_mutation, a_file_with_bytes_lost_doubled_or_overwritten_gives_way_to_the_previous_one) {
    run(change_run, 3);
}

Test(checkpoint_mutation, a_file_with_parts_of_another_checkpoint_gives_way_to_the_previous_one) {
    run(take_run_of_another, 4);
}

Test(checkpoint_mutation, whole_blocks_out_of_place_are_noticed) {
    run(change_pieces, 5);
}

Test(checkpoint_mutation, where_both_files_are_damaged_nothing_is_loaded_and_nothing_moved) {
    static mutate *const all[] = {cut, flip_bits, change_run, change_pieces};
    stage_restart(&stage);
    for (mutation = 1; mutation <= MUTATIONS / 4; mutation++) {
        rng_init(&rng, UINT64_C(6) << 32 | mutation);
        struct bytes newest = copy_of(files[NEWEST]), previous = copy_of(files[PREVIOUS]);
        all[below(4)](&newest);
        flip_bits(&previous);
        load_and_judge(newest, previous);
        free(newest.data);
        free(previous.data);
    }
}
