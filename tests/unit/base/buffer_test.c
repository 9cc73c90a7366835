/* buffer_test.c - the growing run of bytes: appending, consuming, growth, and missing memory.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/buffer.h"
#include "base/rng.h"

#include <criterion/criterion.h>

static struct mem mem;
static struct buffer buffer;

static void set_up(void) {
    mem = (struct mem){0};
    buffer_init(&buffer, &mem);
}

static void tear_down(void) {
    buffer_release(&buffer);
    cr_assert_eq(mem.used_bytes, 0);
    cr_assert_eq(mem.allocations, 0);
}

TestSuite(buffer, .init = set_up, .fini = tear_down);

static void holds(const char *text) {
    cr_assert_eq(buffer.size, strlen(text), "%zu bytes in place of '%s'", buffer.size, text);
    cr_assert_eq(memcmp(buffer.data, text, buffer.size), 0, "'%.*s' in place of '%s'", (int)buffer.size,
                 (const char *)buffer.data, text);
}

Test(buffer, an_empty_one_holds_no_memory) {
    cr_assert_eq(mem.allocations, 0);
    cr_assert(buffer_append(&buffer, NULL, 0));
    cr_assert_eq(mem.allocations, 0);
    cr_assert_eq(buffer.size, 0);
}

Test(buffer, what_is_appended_stands_in_order) {
    buffer_append_text(&buffer, "ab");
    buffer_append_byte(&buffer, '-');
    buffer_append(&buffer, "cd\0e", 4);
    cr_assert(buffer_append_format(&buffer, "%d %s", 42, "f"));
    cr_assert_eq(buffer.size, 11);
    cr_assert_eq(memcmp(buffer.data, "ab-cd\0e42 f", 11), 0);
}

Test(buffer, it_agrees_with_a_plain_array_over_random_histories) {
    static uint8_t model[1 << 20];
    size_t size = 0;
    struct rng rng;
    rng_init(&rng, 11);
    for (unsigned round = 0; round < 4000; round++) {
        uint8_t piece[1500];
        size_t piece_size = rng_below(&rng, round % 50 == 0 ? sizeof piece : 40);
        for (size_t i = 0; i < piece_size; i++)
            piece[i] = (uint8_t)rng_next64(&rng);
        switch (rng_below(&rng, 8)) {
        case 0: {
            size_t gone = rng_below(&rng, size + 1);
            buffer_consume(&buffer, gone);
            memmove(model, model + gone, size - gone);
            size -= gone;
            break;
        }
        case 1:
            if (round % 16 == 0) {
                buffer_clear(&buffer);
                size = 0;
            }
            break;
        default:
            cr_assert(buffer_append(&buffer, piece, piece_size));
            memcpy(model + size, piece, piece_size);
            size += piece_size;
        }
        cr_assert_eq(buffer.size, size);
        cr_assert_leq(buffer.size, buffer.capacity);
        cr_assert(size == 0 || memcmp(buffer.data, model, size) == 0, "round %u", round);
        cr_assert_eq(mem.used_bytes, mem_class(buffer.capacity) * (buffer.capacity != 0));
    }
}

Test(buffer, many_small_appends_cost_few_allocations) {
    size_t growths = 0, capacity = 0;
    static const uint8_t piece[512];
    for (unsigned i = 0; i < 64 * 1024; i++) { /* 32 MiB */
        cr_assert(buffer_append(&buffer, piece, sizeof piece));
        growths += buffer.capacity != capacity;
        capacity = buffer.capacity;
    }
    /* 256 bytes doubled up to 1 MiB, then quarters up to 32 MiB. */
    cr_assert_leq(growths, 1 + 12 + 17);
    cr_assert_leq(buffer.capacity, buffer.size + buffer.size / 4 + buffer.size / 8,
                  "a quarter too much at most");
}

Test(buffer, all_of_the_capacity_is_there_to_be_used) {
    cr_assert(buffer_reserve(&buffer, 1000));
    cr_assert_geq(buffer.capacity, 1000);
    memset(buffer.data, 'x', buffer.capacity); /* a sanitizer watches the end of it */
    uint8_t *data = buffer.data;
    while (buffer.size < buffer.capacity)
        cr_assert(buffer_append_byte(&buffer, 'y'));
    cr_assert_eq(buffer.data, data, "what is reserved does not move");
}

Test(buffer, without_memory_it_stays_as_it_was_and_says_so) {
    buffer_append_text(&buffer, "kept");
    static const uint8_t large[10000];
    mem.fuse = 1;
    mem.fuse_stays_blown = true;
    cr_assert(!buffer_append(&buffer, large, sizeof large));
    cr_assert(buffer.failed);
    holds("kept");
    cr_assert(!buffer_append_format(&buffer, "%5000d", 1));
    holds("kept");
    cr_assert(buffer_append_byte(&buffer, '!'), "what fits needs no memory");
    holds("kept!");
    cr_assert(buffer.failed, "a later success hides nothing");
    buffer_clear(&buffer);
    cr_assert(!buffer.failed);
    cr_assert_eq(buffer.size, 0);
}

Test(buffer, a_size_that_no_machine_has_is_refused_without_asking) {
    buffer_append_text(&buffer, "kept");
    uint64_t allocations = mem.allocations;
    cr_assert(!buffer_reserve(&buffer, SIZE_MAX));
    cr_assert(!buffer_reserve(&buffer, SIZE_MAX - 3));
    cr_assert(!buffer_reserve(&buffer, SIZE_MAX / 2));
    cr_assert(buffer.failed);
    cr_assert_eq(mem.allocations, allocations);
    holds("kept");
}

Test(buffer, clearing_keeps_the_memory_and_releasing_gives_it_back) {
    buffer_append_text(&buffer, "abc");
    size_t capacity = buffer.capacity;
    buffer_clear(&buffer);
    cr_assert_eq(buffer.capacity, capacity);
    cr_assert_eq(mem.allocations, 1);
    buffer_release(&buffer);
    cr_assert_eq(mem.used_bytes, 0);
    cr_assert(buffer_append_text(&buffer, "again"));
    holds("again");
}
