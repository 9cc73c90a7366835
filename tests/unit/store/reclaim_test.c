/* reclaim_test.c - flushed databases, emptied a step at a time.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/reclaim.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct mem mem;
static struct hash_secret secret;
static struct reclaim reclaim;

static void set_up(void) {
    mem = (struct mem){0};
    hash_secret_init(&secret, (const uint8_t *)"sixteen bytes..");
    reclaim_init(&reclaim, &mem);
}

static void tear_down(void) {
    reclaim_release(&reclaim);
    cr_assert_eq(mem.used_bytes, 0, "%zu bytes are left", mem.used_bytes);
    cr_assert_eq(mem.allocations, 0);
}

TestSuite(reclaim, .init = set_up, .fini = tear_down);

/* A database of `count` records, each `step` slots behind the one before. */
static struct database *database_of(unsigned count, unsigned step) {
    struct database *database = mem_alloc_zeroed(&mem, sizeof *database);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        dict_init(&database->slots[slot], slot);
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        struct record_parts parts = {.key = (const uint8_t *)key,
                                     .key_size = (uint32_t)snprintf(key, sizeof key, "%u", i),
                                     .expiry_ms = RECORD_NO_EXPIRY,
                                     .newest = {.counter = 1, .actor = 1}};
        struct record *record = record_new(&mem, &parts);
        cr_assert(dict_insert(&database->slots[i * step % SLOT_COUNT], &mem, &secret,
                              hash_bytes(&secret, key, parts.key_size), record));
    }
    return database;
}

Test(reclaim, what_is_taken_is_counted_until_it_is_given_back) {
    cr_assert(reclaim_take(&reclaim, database_of(3000, 5)));
    cr_assert(reclaim_take(&reclaim, database_of(200, 1)));
    cr_assert_eq(reclaim.pending, 3200);
    uint64_t allocations = mem.allocations;
    while (reclaim_step(&reclaim, 100) != 0) {
        cr_assert_eq(reclaim.pending + reclaim.done, 3200);
        cr_assert_leq(mem.allocations, allocations, "memory only becomes less");
        allocations = mem.allocations;
    }
    cr_assert_eq(reclaim.pending, 0);
    cr_assert_eq(reclaim.done, 3200);
    cr_assert_eq(reclaim.queued, 0);
    cr_assert_leq(mem.allocations, 1, "nothing but the queue's own room");
}

Test(reclaim, a_step_ends_with_the_bucket_in_which_its_budget_does) {
    static const uint32_t budgets[] = {1, 7, 100, JOB_STEP_UNITS};
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        cr_assert(reclaim_take(&reclaim, database_of(4000, i % 2 == 0 ? 3 : 0))); /* spread, or in one slot */
        for (uint64_t done = reclaim.done, steps = 0;; done = reclaim.done) {
            uint32_t spent = reclaim_step(&reclaim, budgets[i]);
            cr_assert_leq(reclaim.done - done, spent);
            cr_assert_leq(spent, budgets[i] + 2 * DICT_BUCKET_RECORDS);
            if (spent == 0)
                break;
            cr_assert_lt(++steps, 100000, "it does not end");
        }
        cr_assert_eq(reclaim.pending, 0);
    }
}

Test(reclaim, empty_slots_cost_little_and_not_nothing) {
    cr_assert(reclaim_take(&reclaim, database_of(0, 1)));
    uint32_t units = 0, spent;
    unsigned steps = 0;
    while ((spent = reclaim_step(&reclaim, 100)) != 0)
        units += spent, steps++;
    cr_assert_eq(units, SLOT_COUNT / 16);
    cr_assert_geq(steps, units / 100, "16384 headers are not looked at in one step");
}

Test(reclaim, the_queue_takes_as_many_as_come_and_empties_them_in_order) {
    for (unsigned i = 1; i <= 40; i++)
        cr_assert(reclaim_take(&reclaim, database_of(i, 1)));
    cr_assert_eq(reclaim.queued, 40);
    uint64_t expected = 0;
    for (unsigned i = 1; i <= 40; i++) {
        uint32_t queued = reclaim.queued;
        for (unsigned steps = 0; reclaim.queued == queued; steps++) {
            cr_assert_lt(steps, 100000);
            reclaim_step(&reclaim, 1);
        }
        expected += i;
        /* The step that ends one begins the next. */
        cr_assert(reclaim.done == expected || reclaim.done == expected + (i < 40),
                  "the oldest goes first: %llu records for %u databases", (unsigned long long)reclaim.done,
                  i);
    }
}

Test(reclaim, without_memory_nothing_is_taken_over) {
    struct database *databases[5];
    for (unsigned i = 0; i < 5; i++)
        databases[i] = database_of(10, 1);
    for (unsigned i = 0; i < 5; i++) {
        mem.fuse = 1;
        bool taken = reclaim_take(&reclaim, databases[i]);
        bool needed_memory = mem.fuse == 0;
        mem.fuse = 0;
        cr_assert_eq(taken, !needed_memory);
        cr_assert_eq(reclaim.queued, i + taken);
        cr_assert_eq(reclaim.pending, 10 * (i + taken));
        if (!taken)
            cr_assert(reclaim_take(&reclaim, databases[i]), "it can be offered again");
    }
}

Test(reclaim, releasing_frees_what_still_waits) {
    cr_assert(reclaim_take(&reclaim, database_of(5000, 7)));
    cr_assert(reclaim_take(&reclaim, database_of(5000, 0)));
    reclaim_step(&reclaim, 500);
}
