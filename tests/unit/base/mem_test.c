/* mem_test.c - the counted memory: size classes, what is held, and failing on demand.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/mem.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <string.h>

#define LARGEST (1u << 20)

Test(mem, a_class_is_the_smallest_that_holds_the_size) {
    size_t last = 0;
    for (size_t size = 1; size <= LARGEST; size++) {
        size_t class = mem_class(size);
        cr_assert_geq(class, size);
        cr_assert_geq(class, last, "the class of %zu is below that of %zu", size, size - 1);
        cr_assert_eq(mem_class(class), class, "%zu: a class is its own class", size);
        cr_assert(class == last || last < size, "%zu would have fitted into the class below", size);
        last = class;
    }
}

Test(mem, a_class_wastes_at_most_a_fifth) {
    for (size_t size = 129; size <= LARGEST; size++)
        cr_assert_lt((mem_class(size) - size) * 5, mem_class(size), "%zu", size);
}

Test(mem, classes_are_those_of_the_allocator) {
    static const size_t of[][2] = {{1, 8},       {8, 8},         {9, 16},          {16, 16},
                                   {17, 32},     {100, 112},     {128, 128},       {129, 160},
                                   {160, 160},   {161, 192},     {1025, 1280},     {4096, 4096},
                                   {4097, 5120}, {16385, 20480}, {100000, 114688}, {1 << 20, 1 << 20}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        cr_assert_eq(mem_class(of[i][0]), of[i][1], "%zu -> %zu", of[i][0], mem_class(of[i][0]));
}

Test(mem, what_is_held_is_counted_by_classes_until_it_is_given_back) {
    struct mem mem = {0};
    void *first = mem_alloc(&mem, 100), *second = mem_alloc(&mem, 5000);
    cr_assert_eq(mem.used_bytes, mem_class(100) + mem_class(5000));
    cr_assert_eq(mem.allocations, 2);
    mem_free(&mem, first, 100);
    cr_assert_eq(mem.used_bytes, mem_class(5000));
    mem_free(&mem, second, 5000);
    cr_assert_eq(mem.used_bytes, 0);
    cr_assert_eq(mem.allocations, 0);
    mem_free(&mem, NULL, 77);
    cr_assert_eq(mem.used_bytes, 0, "nothing was given back for NULL");
}

Test(mem, a_block_may_be_used_and_given_back_as_any_size_of_its_class) {
    struct mem mem = {0};
    for (size_t size = 1; size < 3000; size += 7) {
        uint8_t *block = mem_alloc(&mem, size);
        memset(block, 0xa5, mem_class(size)); /* a sanitizer watches the end of it */
        mem_free(&mem, block, mem_class(size));
    }
    cr_assert_eq(mem.used_bytes, 0);
}

Test(mem, zeroed_means_every_byte) {
    struct mem mem = {0};
    for (size_t size = 1; size < 20000; size = size * 3 + 1) {
        uint8_t *dirty = mem_alloc(&mem, size);
        memset(dirty, 0xff, size);
        mem_free(&mem, dirty, size);
        uint8_t *block = mem_alloc_zeroed(&mem, size);
        for (size_t i = 0; i < size; i++)
            cr_assert_eq(block[i], 0, "byte %zu of %zu", i, size);
        mem_free(&mem, block, size);
    }
}

Test(mem, a_resized_block_keeps_its_bytes_up_to_the_smaller_size) {
    struct mem mem = {0};
    struct rng rng;
    rng_init(&rng, 7);
    uint8_t *block = NULL;
    size_t size = 0;
    for (unsigned round = 0; round < 2000; round++) {
        size_t wanted = 1 + rng_below(&rng, round % 10 == 0 ? 100000 : 300);
        block = mem_resize(&mem, block, size, wanted);
        cr_assert_not_null(block);
        for (size_t i = 0; i < size && i < wanted; i++)
            cr_assert_eq(block[i], (uint8_t)(size + i));
        for (size_t i = 0; i < wanted; i++)
            block[i] = (uint8_t)(wanted + i);
        size = wanted;
        cr_assert_eq(mem.used_bytes, mem_class(size));
        cr_assert_eq(mem.allocations, 1);
    }
    mem_free(&mem, block, size);
    cr_assert_eq(mem.used_bytes, 0);
}

Test(mem, the_fuse_makes_one_allocation_fail) {
    struct mem mem = {.fuse = 3};
    void *first = mem_alloc(&mem, 10), *second = mem_alloc_zeroed(&mem, 10);
    cr_assert(first != NULL && second != NULL);
    cr_assert_null(mem_alloc(&mem, 10));
    cr_assert_eq(mem.used_bytes, 2 * mem_class(10), "what failed is not counted");
    cr_assert_eq(mem.allocations, 2);
    void *third = mem_alloc(&mem, 10);
    cr_assert_not_null(third);
    mem_free(&mem, first, 10);
    mem_free(&mem, second, 10);
    mem_free(&mem, third, 10);
    cr_assert_eq(mem.used_bytes, 0);
}

Test(mem, a_fuse_that_stays_blown_fails_everything_behind_it) {
    struct mem mem = {.fuse = 2, .fuse_stays_blown = true};
    uint8_t *block = mem_alloc(&mem, 100);
    memset(block, 'x', 100);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_null(mem_alloc(&mem, 1));
        cr_assert_null(mem_alloc_zeroed(&mem, 1));
        cr_assert_null(mem_resize(&mem, block, 100, 1000));
    }
    cr_assert_eq(mem.used_bytes, mem_class(100));
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(block[i], 'x', "a failed resize leaves the block as it was");
    mem_free(&mem, block, 100);
    cr_assert_eq(mem.used_bytes, 0, "giving back never fails");
}

Test(mem, the_peak_is_the_most_that_was_noted) {
    struct mem mem = {0};
    void *block = mem_alloc(&mem, 1000);
    mem_note_peak(&mem);
    mem_free(&mem, block, 1000);
    mem_note_peak(&mem);
    cr_assert_eq(mem.peak_bytes, mem_class(1000));
}
