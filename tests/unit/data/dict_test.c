/* dict_test.c - the table of records: growth, splits, removal, scans, draining.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/rng.h"
#include "data/dict.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct table {
    struct mem mem;
    struct hash_secret secret;
    struct dict dict;
};

static void table_init(struct table *table) {
    uint8_t seed[HASH_SEED_SIZE] = "a seed of 16 b.";
    *table = (struct table){0};
    hash_secret_init(&table->secret, seed);
    dict_init(&table->dict, 5);
}

static uint64_t hash_of(struct table *table, const char *key) {
    return hash_bytes(&table->secret, key, strlen(key));
}

static struct record *record_for(struct table *table, const char *key) {
    struct record_parts parts = {.key = (const uint8_t *)key,
                                 .key_size = (uint32_t)strlen(key),
                                 .value = (const uint8_t *)"v",
                                 .value_size = 1,
                                 .expiry_ms = RECORD_NO_EXPIRY,
                                 .newest = {.counter = 1, .actor = 1}};
    return record_new(&table->mem, &parts);
}

static bool add(struct table *table, const char *key) {
    struct record *record = record_for(table, key);
    if (record == NULL)
        return false;
    if (dict_insert(&table->dict, &table->mem, &table->secret, hash_of(table, key), record))
        return true;
    record_free(&table->mem, record);
    return false;
}

static bool has(struct table *table, const char *key) {
    return dict_find(&table->dict, hash_of(table, key), (const uint8_t *)key, (uint32_t)strlen(key), NULL) !=
           NULL;
}

static bool drop(struct table *table, const char *key) {
    struct dict_position position;
    struct record *record =
        dict_find(&table->dict, hash_of(table, key), (const uint8_t *)key, (uint32_t)strlen(key), &position);
    if (record == NULL)
        return false;
    dict_remove(&table->dict, &table->mem, &table->secret, &position);
    record_free(&table->mem, record);
    return true;
}

static const char *key_text(char text[24], uint32_t number) {
    snprintf(text, 24, "key:%u", number);
    return text;
}

static void drain(struct table *table) {
    while (dict_drain(&table->dict, &table->mem, 100) != 0)
        continue;
    cr_assert_eq(table->mem.used_bytes, 0, "%zu bytes are left", table->mem.used_bytes);
    cr_assert_eq(table->mem.allocations, 0);
}

static void fill_and_empty(uint32_t count) {
    struct table table;
    char text[24];
    table_init(&table);
    for (uint32_t i = 0; i < count; i++)
        cr_assert(add(&table, key_text(text, i)));
    cr_assert_eq(table.dict.count, count);
    for (uint32_t i = 0; i < count; i++)
        cr_assert(has(&table, key_text(text, i)), "%s is lost", text);
    cr_assert_not(has(&table, "absent"));
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(drop(&table, key_text(text, i)));
        cr_assert_not(has(&table, text));
    }
    cr_assert_eq(table.dict.count, 0);
    drain(&table);
}

Test(dict, an_empty_one_finds_nothing) {
    struct table table;
    table_init(&table);
    cr_assert_not(has(&table, "key"));
    drain(&table);
}

Test(dict, keeps_what_fits_in_one_bucket) {
    fill_and_empty(9);
}
Test(dict, keeps_a_slot_full) {
    fill_and_empty(3000);
}
Test(dict, keeps_a_slot_that_became_a_directory) {
    fill_and_empty(100000);
}

Test(dict, sizes_are_size_classes_of_the_allocator) {
    for (uint32_t i = 0; i <= DICT_SIZE_INDEX_MAX; i++) {
        size_t bytes = (size_t)dict_bucket_count_of(i) * sizeof(struct dict_bucket);
        cr_assert_eq(mem_class(bytes), bytes, "size %u wastes memory", i);
        if (i > 0)
            cr_assert_gt(dict_bucket_count_of(i), dict_bucket_count_of(i - 1));
    }
}

Test(dict, random_changes_agree_with_a_model) {
    enum { KEYS = 6000 };
    static bool model[KEYS];
    struct table table;
    struct rng rng;
    char text[24];
    memset(model, 0, sizeof model);
    table_init(&table);
    rng_init(&rng, 42);
    uint32_t count = 0;
    for (uint32_t step = 0; step < 400000; step++) {
        /* The share of insertions swings, so that the table grows and shrinks again and again. */
        bool wants = rng_below(&rng, 100) < (step / 20000 % 2 ? 20 : 80);
        uint32_t i = (uint32_t)rng_below(&rng, KEYS);
        key_text(text, i);
        cr_assert_eq(has(&table, text), model[i]);
        if (wants && !model[i]) {
            cr_assert(add(&table, text));
            count++;
        } else if (!wants && model[i]) {
            cr_assert(drop(&table, text));
            count--;
        }
        model[i] = has(&table, text);
        cr_assert_eq(model[i], wants);
        cr_assert_eq(table.dict.count, count);
    }
    drain(&table);
}

/* The buckets that a hash is looked for in: others after a move. */
static const void *buckets_of(struct table *table, uint64_t hash) {
    return dict_buckets(dict_leaf(&table->dict, hash));
}

Test(dict, whether_an_insert_or_a_removal_moves_a_long_table_is_foretold) {
    struct table table;
    char text[24];
    table_init(&table);
    unsigned long_moves = 0;
    for (uint32_t i = 0; i < 30000; i++) {
        uint64_t hash = hash_of(&table, key_text(text, i));
        const void *before = buckets_of(&table, hash);
        uint32_t count = dict_leaf(&table.dict, hash)->count;
        bool is_long = dict_insert_is_long(&table.dict, hash);
        add(&table, text);
        cr_assert_eq(is_long, count >= DICT_LONG_MOVE && before != buckets_of(&table, hash), "insert %u", i);
        long_moves += is_long;
    }
    cr_assert_geq(long_moves, 20);
    long_moves = 0;
    for (uint32_t i = 0; i < 30000; i++) {
        struct dict_position position;
        uint64_t hash = hash_of(&table, key_text(text, i));
        dict_find(&table.dict, hash, (const uint8_t *)text, (uint32_t)strlen(text), &position);
        const void *before = buckets_of(&table, hash);
        uint32_t count = position.leaf->count;
        bool was_directory = position.leaf != &table.dict;
        bool is_long = dict_remove_is_long(&table.dict, &position);
        drop(&table, text);
        bool has_collapsed = was_directory && dict_leaf(&table.dict, hash) == &table.dict;
        bool has_moved = count > DICT_LONG_MOVE && before != buckets_of(&table, hash);
        cr_assert_eq(is_long, has_collapsed || has_moved, "removal %u", i);
        long_moves += is_long;
    }
    cr_assert_geq(long_moves, 5);
    drain(&table);
}

Test(dict, an_insert_without_memory_changes_nothing) {
    for (uint64_t fuse = 1; fuse < 60; fuse++) {
        struct table table;
        char text[24];
        table_init(&table);
        table.mem.fuse = fuse * 7;
        table.mem.fuse_stays_blown = fuse % 2;
        uint32_t kept = 0;
        static bool in[9000];
        for (uint32_t i = 0; i < 9000; i++)
            kept += in[i] = add(&table, key_text(text, i));
        table.mem.fuse = 0;
        cr_assert_lt(kept, 9000);
        cr_assert_eq(table.dict.count, kept);
        for (uint32_t i = 0; i < 9000; i++)
            cr_assert_eq(has(&table, key_text(text, i)), in[i]);
        drain(&table);
    }
}

struct seen {
    uint8_t *times;
    uint32_t visits;
    uint64_t last_hash;
    bool in_order;
};

static void see(void *context, struct record *record, uint64_t hash) {
    struct seen *seen = context;
    unsigned number;
    char text[24] = "";
    memcpy(text, record_key(record), record_key_size(record));
    cr_assert_eq(sscanf(text, "key:%u", &number), 1);
    seen->times[number]++;
    seen->visits++;
    (void)hash;
}

static void scan_all(uint32_t count) {
    struct table table;
    char text[24];
    table_init(&table);
    for (uint32_t i = 0; i < count; i++)
        add(&table, key_text(text, i));
    uint8_t *times = calloc(count, 1);
    struct seen seen = {.times = times};
    uint64_t from = 0;
    while (dict_scan(&table.dict, &table.secret, from, 10, see, &seen, &from))
        continue;
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(times[i], 1, "key %u was visited %u times", i, times[i]);
    free(times);
    drain(&table);
}

Test(dict, a_scan_visits_each_record_once_while_nothing_changes) {
    scan_all(1);
    scan_all(10);
    scan_all(777);
    scan_all(60000);
}

Test(dict, a_scan_visits_what_stays_whatever_else_changes) {
    enum { STAYING = 500, PASSING = 40000 };
    struct table table;
    char text[24];
    table_init(&table);
    struct rng rng;
    rng_init(&rng, 7);
    for (uint32_t i = 0; i < STAYING; i++)
        add(&table, key_text(text, i));
    static uint8_t times[STAYING + PASSING];
    memset(times, 0, sizeof times);
    struct seen seen = {.times = times};
    uint64_t from = 0;
    uint32_t next = STAYING, oldest = STAYING;
    bool grows = true;
    while (dict_scan(&table.dict, &table.secret, from, 3, see, &seen, &from)) {
        for (uint32_t i = 0; i < 200; i++) {
            if (grows && next < STAYING + PASSING)
                add(&table, key_text(text, next++));
            else if (oldest < next)
                drop(&table, key_text(text, oldest++));
        }
        grows = next < STAYING + PASSING && rng_below(&rng, 20) != 0 ? grows : !grows;
    }
    for (uint32_t i = 0; i < STAYING; i++)
        cr_assert_geq(times[i], 1, "key %u was there all the time and not visited", i);
    drain(&table);
}

Test(dict, a_random_record_comes_from_everywhere) {
    struct table table;
    char text[24];
    table_init(&table);
    struct rng rng;
    rng_init(&rng, 3);
    for (uint32_t i = 0; i < 50; i++)
        add(&table, key_text(text, i));
    static uint8_t times[50];
    memset(times, 0, sizeof times);
    struct seen seen = {.times = times};
    for (uint32_t i = 0; i < 3000; i++)
        see(&seen, dict_random(&table.dict, rng_next64(&rng)), 0);
    for (uint32_t i = 0; i < 50; i++)
        cr_assert_geq(times[i], 1);
    drain(&table);
}

Test(dict, a_drain_step_keeps_to_its_budget) {
    struct table table;
    char text[24];
    table_init(&table);
    for (uint32_t i = 0; i < 50000; i++)
        add(&table, key_text(text, i));
    uint32_t steps = 0, before = table.dict.count;
    while (dict_drain(&table.dict, &table.mem, 500) != 0) {
        cr_assert_leq(before - table.dict.count, 600);
        before = table.dict.count;
        steps++;
    }
    cr_assert_geq(steps, 80);
    cr_assert_eq(table.mem.used_bytes, 0);
}
