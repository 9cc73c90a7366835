/* allocator_test.c - freed memory goes back to the system: at once when told to, and by itself after a while.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/allocator.h"
#include "os/clock.h"
#include "os/process.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef REDIS_KV_JEMALLOC
#include <jemalloc/jemalloc.h>

#define SMALL_SIZE ((size_t)1000)
#define LARGE_SIZE ((size_t)64 * 1024)
#define ALL_BYTES  ((size_t)256 * 1024 * 1024)
#define WAIT_MS    20
#define WAITS_MAX  500

static void **take_blocks(size_t size) {
    void **blocks = malloc(ALL_BYTES / size * sizeof *blocks);
    for (size_t i = 0; i < ALL_BYTES / size; i++) {
        blocks[i] = malloc(size);
        memset(blocks[i], 1, size);
    }
    return blocks;
}

static void free_blocks(void **blocks, size_t size) {
    for (size_t i = 0; i < ALL_BYTES / size; i++)
        free(blocks[i]);
    free(blocks);
}

/* Reads and sets what the arena of this thread goes by; either may be NULL. */
static void own_arena(const char *what, void *read, void *written, size_t size) {
    unsigned arena;
    size_t arena_size = sizeof arena;
    char name[64];
    cr_assert_eq(mallctl("thread.arena", &arena, &arena_size, NULL, 0), 0);
    snprintf(name, sizeof name, "arena.%u.%s", arena, what);
    cr_assert_eq(mallctl(name, read, read != NULL ? &size : NULL, written, written != NULL ? size : 0), 0);
}

Test(allocator, the_figures_follow_what_is_allocated) {
    struct allocator_figures before, with, after;
    allocator_figures(&before);
    void **blocks = take_blocks(SMALL_SIZE);
    allocator_figures(&with);
    free_blocks(blocks, SMALL_SIZE);
    allocator_figures(&after);
    cr_assert_geq(with.allocated_bytes, before.allocated_bytes + ALL_BYTES);
    cr_assert_geq(with.active_bytes, with.allocated_bytes);
    cr_assert_geq(with.resident_bytes, with.active_bytes);
    cr_assert_lt(after.allocated_bytes, before.allocated_bytes + ALL_BYTES / 2);
}

Test(allocator, purging_hands_freed_memory_back_at_once) {
    uint64_t before = process_resident_bytes();
    void **blocks = take_blocks(SMALL_SIZE);
    cr_assert_geq(process_resident_bytes(), before + ALL_BYTES / 2);
    free_blocks(blocks, SMALL_SIZE);
    allocator_purge();
    cr_assert_lt(process_resident_bytes(), before + ALL_BYTES / 2);
}

/* Large blocks, whose neighbours make one row as they are freed, in the first arena, the only one that knows long rows by
 * itself. Decay takes a day, so that what goes back is what was handed back for its length. */
Test(allocator, freeing_does_not_hand_back_what_lies_in_a_long_row) {
    unsigned first = 0;
    ssize_t decay_ms = (ssize_t)24 * 3600 * 1000;
    cr_assert_eq(mallctl("thread.arena", NULL, NULL, &first, sizeof first), 0);
    allocator_set_up();
    own_arena("dirty_decay_ms", NULL, &decay_ms, sizeof decay_ms);
    void **blocks = take_blocks(LARGE_SIZE);
    uint64_t before = process_resident_bytes();
    free_blocks(blocks, LARGE_SIZE);
    cr_assert_geq(process_resident_bytes(), before - ALL_BYTES / 8,
                  "the thread that frees has no time for this");
}

Test(allocator, the_arena_of_the_thread_knows_no_long_rows) {
    size_t row_bytes = 0;
    allocator_set_up();
    own_arena("oversize_threshold", &row_bytes, NULL, sizeof row_bytes);
    cr_assert_eq(row_bytes, SIZE_MAX);
}

Test(allocator, in_the_background_freed_memory_goes_back_though_nobody_allocates) {
    cr_assert(allocator_set_background(true));
    uint64_t before = process_resident_bytes();
    free_blocks(take_blocks(SMALL_SIZE), SMALL_SIZE);
    unsigned waits = 0;
    while (process_resident_bytes() >= before + ALL_BYTES / 2 && waits++ < WAITS_MAX)
        clock_sleep_us(WAIT_MS * 1000);
    cr_assert_lt(waits, WAITS_MAX);
    cr_assert(allocator_set_background(false));
}

#else

Test(allocator, without_jemalloc_the_figures_are_nothing_and_all_is_accepted) {
    struct allocator_figures figures = {1, 1, 1};
    cr_assert(allocator_set_background(true));
    allocator_figures(&figures);
    allocator_purge();
    cr_assert_eq(figures.allocated_bytes + figures.active_bytes + figures.resident_bytes, 0);
    cr_assert(allocator_set_background(false));
}

#endif
