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

#define BLOCK_SIZE  ((size_t)1000)
#define BLOCK_COUNT ((size_t)256 * 1024)
#define ALL_BYTES   (BLOCK_SIZE * BLOCK_COUNT)
#define WAIT_MS     20
#define WAITS_MAX   500

static void **take_blocks(void) {
    void **blocks = malloc(BLOCK_COUNT * sizeof *blocks);
    for (size_t i = 0; i < BLOCK_COUNT; i++) {
        blocks[i] = malloc(BLOCK_SIZE);
        memset(blocks[i], 1, BLOCK_SIZE);
    }
    return blocks;
}

static void free_blocks(void **blocks) {
    for (size_t i = 0; i < BLOCK_COUNT; i++)
        free(blocks[i]);
    free(blocks);
}

Test(allocator, the_figures_follow_what_is_allocated) {
    struct allocator_figures before, with, after;
    allocator_figures(&before);
    void **blocks = take_blocks();
    allocator_figures(&with);
    free_blocks(blocks);
    allocator_figures(&after);
    cr_assert_geq(with.allocated_bytes, before.allocated_bytes + ALL_BYTES);
    cr_assert_geq(with.active_bytes, with.allocated_bytes);
    cr_assert_geq(with.resident_bytes, with.active_bytes);
    cr_assert_lt(after.allocated_bytes, before.allocated_bytes + ALL_BYTES / 2);
}

Test(allocator, purging_hands_freed_memory_back_at_once) {
    uint64_t before = process_resident_bytes();
    void **blocks = take_blocks();
    cr_assert_geq(process_resident_bytes(), before + ALL_BYTES / 2);
    free_blocks(blocks);
    allocator_purge();
    cr_assert_lt(process_resident_bytes(), before + ALL_BYTES / 2);
}

Test(allocator, freeing_does_not_hand_back_what_lies_in_a_long_row) {
    allocator_set_up();
    cr_assert(allocator_set_background(true));
    void **blocks = take_blocks();
    uint64_t before = process_resident_bytes();
    free_blocks(blocks);
    cr_assert_geq(process_resident_bytes(), before - ALL_BYTES / 8,
                  "the thread that frees has no time for this");
    cr_assert(allocator_set_background(false));
}

/* Which arena a test runs in is not known, and another than the first passes the test above without being told. */
Test(allocator, the_arena_of_the_thread_knows_no_long_rows) {
    unsigned arena;
    size_t size = sizeof arena, row_bytes = 0, row_size = sizeof row_bytes;
    char name[64];
    cr_assert_eq(mallctl("thread.arena", &arena, &size, NULL, 0), 0);
    snprintf(name, sizeof name, "arena.%u.oversize_threshold", arena);
    allocator_set_up();
    cr_assert_eq(mallctl(name, &row_bytes, &row_size, NULL, 0), 0);
    cr_assert_eq(row_bytes, SIZE_MAX);
}

Test(allocator, in_the_background_freed_memory_goes_back_though_nobody_allocates) {
    cr_assert(allocator_set_background(true));
    uint64_t before = process_resident_bytes();
    free_blocks(take_blocks());
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
