/* keyspace_test.c - the funnel: values, expiry, versions, accounting, flush, scan, merge.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/keyspace.h"
#include "store/watch.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define NOW_MS INT64_C(1790000000000)

static struct mem mem;

static struct keyspace *make(void) {
    mem = (struct mem){0};
    uint8_t seed[HASH_SEED_SIZE] = "sixteen bytes..";
    struct keyspace *keyspace = keyspace_new(&mem, seed, 1);
    keyspace_set_time(keyspace, NOW_MS);
    return keyspace;
}

static void end(struct keyspace *keyspace) {
    keyspace_free(keyspace);
    cr_assert_eq(mem.used_bytes, 0, "%zu bytes are left", mem.used_bytes);
    cr_assert_eq(mem.allocations, 0);
}

static struct argument key_of(const char *text) {
    return (struct argument){
        .data = (const uint8_t *)text, .size = (uint32_t)strlen(text), .slot = ARGUMENT_NOT_PLACED};
}

static bool put(struct keyspace *keyspace, const char *key, const char *value, int64_t expiry_ms) {
    struct argument argument = key_of(key);
    struct value made = {
        .data = (const uint8_t *)value, .size = (uint32_t)strlen(value), .expiry_ms = expiry_ms};
    return keyspace_put(keyspace, 0, &argument, &made);
}

static struct record *get(struct keyspace *keyspace, const char *key, struct entry *entry) {
    struct argument argument = key_of(key);
    return keyspace_lookup(keyspace, 0, &argument, LOOKUP_READ, entry);
}

static void holds(struct keyspace *keyspace, const char *key, const char *value) {
    struct entry entry;
    struct record *record = get(keyspace, key, &entry);
    if (value == NULL) {
        cr_assert_null(record, "%s is there", key);
        return;
    }
    cr_assert_not_null(record, "%s is not there", key);
    cr_assert_eq(record_value_size(record), strlen(value));
    cr_assert_eq(memcmp(record_value(record), value, strlen(value)), 0);
}

Test(keyspace, keeps_replaces_and_removes) {
    struct keyspace *keyspace = make();
    holds(keyspace, "a", NULL);
    cr_assert(put(keyspace, "a", "1", EXPIRY_NONE));
    holds(keyspace, "a", "1");
    cr_assert(put(keyspace, "a", "a much longer value than the first one was", EXPIRY_NONE));
    holds(keyspace, "a", "a much longer value than the first one was");
    cr_assert_eq(keyspace_size(keyspace, 0), 1);
    struct entry entry;
    struct argument key = key_of("a");
    keyspace_lookup(keyspace, 0, &key, LOOKUP_WRITE, &entry);
    keyspace_remove(keyspace, 0, &key, &entry, REMOVE_DELETED);
    holds(keyspace, "a", NULL);
    cr_assert_eq(keyspace_size(keyspace, 0), 0);
    cr_assert_eq(keyspace->counters.changes, 3);
    cr_assert_eq(keyspace->counters.hits, 2);
    cr_assert_eq(keyspace->counters.misses, 2);
    end(keyspace);
}

Test(keyspace, every_write_gets_a_greater_counter_even_when_the_clock_goes_back) {
    struct keyspace *keyspace = make();
    uint64_t last = 0;
    struct entry entry;
    for (unsigned i = 0; i < 1000; i++) {
        keyspace_set_time(keyspace, NOW_MS + (i % 7 == 0 ? -100000 : (int64_t)i));
        put(keyspace, i % 3 ? "a" : "b", i % 2 ? "x" : "yy", EXPIRY_NONE);
        struct record *record = get(keyspace, i % 3 ? "a" : "b", &entry);
        cr_assert_gt(record->counter, last);
        last = record->counter;
    }
    end(keyspace);
}

Test(keyspace, an_expired_key_is_hidden_and_reclaimed) {
    struct keyspace *keyspace = make();
    put(keyspace, "a", "1", NOW_MS + 100);
    put(keyspace, "b", "1", EXPIRY_NONE);
    cr_assert_eq(keyspace->databases[0]->expiring, 1);
    keyspace_set_time(keyspace, NOW_MS + 100);
    holds(keyspace, "a", "1");
    keyspace_set_time(keyspace, NOW_MS + 101);
    cr_assert_eq(keyspace_size(keyspace, 0), 2);
    holds(keyspace, "a", NULL);
    cr_assert_eq(keyspace_size(keyspace, 0), 1);
    cr_assert_eq(keyspace->databases[0]->expiring, 0);
    cr_assert_eq(keyspace->counters.expired, 1);
    end(keyspace);
}

Test(keyspace, keep_keeps_the_expiry_of_a_live_key_only) {
    struct keyspace *keyspace = make();
    struct entry entry;
    put(keyspace, "a", "1", NOW_MS + 100);
    put(keyspace, "a", "2", EXPIRY_KEEP);
    cr_assert_eq(record_expiry_ms(get(keyspace, "a", &entry)), NOW_MS + 100);
    keyspace_set_time(keyspace, NOW_MS + 101);
    put(keyspace, "a", "3", EXPIRY_KEEP);
    cr_assert_eq(record_expiry_ms(get(keyspace, "a", &entry)), RECORD_NO_EXPIRY);
    cr_assert_eq(keyspace->databases[0]->expiring, 0);
    end(keyspace);
}

Test(keyspace, a_value_may_come_from_the_record_that_it_replaces) {
    struct keyspace *keyspace = make();
    put(keyspace, "a", "0123456789", EXPIRY_NONE);
    struct entry entry;
    struct record *record = get(keyspace, "a", &entry);
    struct value inside = {.data = record_value(record) + 3, .size = 5, .expiry_ms = EXPIRY_NONE};
    struct argument key = key_of("a");
    cr_assert(keyspace_put(keyspace, 0, &key, &inside));
    holds(keyspace, "a", "34567");
    end(keyspace);
}

Test(keyspace, edit_grows_with_zeros_and_shrinks) {
    struct keyspace *keyspace = make();
    put(keyspace, "a", "abc", NOW_MS + 1000);
    struct entry entry;
    struct argument key = key_of("a");
    uint32_t sizes[] = {5, 300, 100000, 70, 2, 3, 0, 1};
    for (unsigned i = 0; i < 8; i++) {
        struct record *record = keyspace_lookup(keyspace, 0, &key, LOOKUP_WRITE, &entry);
        uint32_t old_size = record_value_size(record);
        uint8_t first = old_size ? record_value(record)[0] : 0;
        uint8_t *bytes = keyspace_edit(keyspace, 0, &key, &entry, sizes[i], ENCODING_RAW);
        cr_assert_not_null(bytes);
        cr_assert_eq(record_value_size(entry.record), sizes[i]);
        cr_assert_eq(record_value(entry.record), bytes);
        if (sizes[i])
            cr_assert_eq(bytes[0], first);
        for (uint32_t b = old_size; b < sizes[i]; b++)
            cr_assert_eq(bytes[b], 0);
        cr_assert_eq(record_expiry_ms(entry.record), NOW_MS + 1000);
        cr_assert_eq(record_encoding(entry.record), ENCODING_RAW);
    }
    end(keyspace);
}

Test(keyspace, put_many_is_all_or_nothing_whatever_allocation_fails) {
    struct argument pairs[12];
    const char *texts[12] = {"a", "1",     "b", "a value that needs another size class than before",
                             "c", "3",     "d", "4",
                             "b", "twice", "e", "5"};
    for (uint64_t fuse = 1;; fuse++) {
        struct keyspace *keyspace = make();
        put(keyspace, "a", "old", EXPIRY_NONE);
        put(keyspace, "b", "old", EXPIRY_NONE);
        for (unsigned i = 0; i < 12; i++)
            pairs[i] = key_of(texts[i]);
        mem.fuse = fuse;
        mem.fuse_stays_blown = fuse % 2;
        bool done = keyspace_put_many(keyspace, 0, pairs, 6);
        bool blown = mem.fuse == 0 || (mem.fuse_stays_blown && mem.fuse == 1);
        mem.fuse = 0;
        holds(keyspace, "a", done ? "1" : "old");
        holds(keyspace, "b", done ? "twice" : "old");
        holds(keyspace, "c", done ? "3" : NULL);
        holds(keyspace, "e", done ? "5" : NULL);
        cr_assert_eq(keyspace_size(keyspace, 0), done ? 5 : 2);
        end(keyspace);
        if (done && !blown)
            break;
    }
}

Test(keyspace, active_expiry_reclaims_without_being_asked_within_its_budget) {
    struct keyspace *keyspace = make();
    char text[32];
    for (unsigned i = 0; i < 30000; i++) {
        snprintf(text, sizeof text, "key:%u", i);
        put(keyspace, text, "v", i % 3 == 0 ? EXPIRY_NONE : NOW_MS + (i % 3 == 1 ? 5000 : 3600000));
    }
    keyspace_set_time(keyspace, NOW_MS + 5600);
    unsigned passes = 0;
    uint32_t spent;
    do {
        spent = keyspace_expire_step(keyspace, 500);
        cr_assert_leq(spent, 500 + 4200);
        cr_assert_lt(++passes, 10000);
    } while (spent != 0);
    cr_assert_eq(keyspace_size(keyspace, 0), 20000);
    cr_assert_eq(keyspace->databases[0]->expiring, 10000);
    end(keyspace);
}

Test(keyspace, active_expiry_works_in_one_huge_slot) {
    struct keyspace *keyspace = make();
    char text[32];
    for (unsigned i = 0; i < 30000; i++) {
        snprintf(text, sizeof text, "{tag}:%u", i);
        put(keyspace, text, "v", i % 2 ? EXPIRY_NONE : NOW_MS + 1000);
    }
    keyspace_set_time(keyspace, NOW_MS + 2000);
    for (unsigned i = 0; i < 10000 && keyspace_expire_step(keyspace, 1000) != 0; i++)
        continue;
    for (unsigned i = 0; i < 10000 && keyspace_expire_step(keyspace, 1000) != 0; i++)
        continue;
    /* A leaf gives up a bounded number per visit: passes go on until all are gone. */
    for (unsigned pass = 0; pass < 100; pass++)
        while (keyspace_expire_step(keyspace, 1000) != 0)
            continue;
    cr_assert_eq(keyspace_size(keyspace, 0), 15000);
    end(keyspace);
}

Test(keyspace, a_flush_empties_at_once_and_gives_memory_back_in_steps) {
    struct keyspace *keyspace = make();
    char text[32];
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, i % 2 ? "{one}%u" : "key:%u", i);
        put(keyspace, text, "value", EXPIRY_NONE);
    }
    size_t before = mem.used_bytes;
    cr_assert_eq(keyspace_flush(keyspace, 0), 20000);
    cr_assert_eq(keyspace_size(keyspace, 0), 0);
    holds(keyspace, "key:0", NULL);
    cr_assert_eq(keyspace_reclaim_pending(keyspace), 20000);
    put(keyspace, "new", "1", EXPIRY_NONE);
    unsigned steps = 0;
    while (keyspace_reclaim_step(keyspace, 1000) != 0)
        cr_assert_lt(++steps, 1000);
    cr_assert_geq(steps, 15);
    cr_assert_lt(mem.used_bytes, before / 2);
    holds(keyspace, "new", "1");
    cr_assert_eq(keyspace_reclaimed(keyspace), 20000);
    end(keyspace);
}

static void count(void *context, struct record *record) {
    (void)record;
    ++*(unsigned *)context;
}

Test(keyspace, a_scan_has_small_cursors_and_ends) {
    struct keyspace *keyspace = make();
    char text[32];
    unsigned seen = 0, calls = 0;
    cr_assert_eq(keyspace_scan(keyspace, 0, 0, 10, count, &seen), 0);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, i % 2 ? "{one}%u" : "key:%u", i);
        put(keyspace, text, "value", EXPIRY_NONE);
    }
    uint64_t cursor = 0;
    do {
        unsigned before = seen;
        cursor = keyspace_scan(keyspace, 0, cursor, 10, count, &seen);
        cr_assert_lt(cursor, UINT64_C(1) << 53);
        cr_assert_leq(seen - before, 60);
        cr_assert_lt(++calls, 2000);
    } while (cursor != 0);
    cr_assert_eq(seen, 5000);
    end(keyspace);
}

static struct record_parts foreign(const char *value, uint16_t actor, uint64_t counter) {
    return (struct record_parts){.value = (const uint8_t *)value,
                                 .value_size = (uint32_t)strlen(value),
                                 .expiry_ms = RECORD_NO_EXPIRY,
                                 .newest = {.counter = counter, .actor = actor}};
}

Test(keyspace, merging_takes_what_descends_and_ignores_what_is_old) {
    struct keyspace *keyspace = make();
    struct argument key = key_of("k");
    bool changed;
    struct record_parts first = foreign("first", 9, 100), second = foreign("second", 9, 200);
    cr_assert(keyspace_merge(keyspace, 0, &key, &second, &changed) && changed);
    cr_assert(keyspace_merge(keyspace, 0, &key, &first, &changed) && !changed);
    holds(keyspace, "k", "second");
    put(keyspace, "k", "ours", EXPIRY_NONE);
    cr_assert(keyspace_merge(keyspace, 0, &key, &second, &changed) && !changed);
    holds(keyspace, "k", "ours");
    end(keyspace);
}

Test(keyspace, concurrent_writes_converge_whatever_the_order) {
    const uint64_t base = (uint64_t)NOW_MS << 16;
    struct record_parts a = foreign("from a", 7, base + 5), b = foreign("from b", 8, base + 9);
    for (unsigned order = 0; order < 2; order++) {
        struct keyspace *keyspace = make();
        struct argument key = key_of("k");
        bool changed;
        cr_assert(keyspace_merge(keyspace, 0, &key, order ? &a : &b, &changed));
        cr_assert(keyspace_merge(keyspace, 0, &key, order ? &b : &a, &changed));
        holds(keyspace, "k", "from b");
        struct entry entry;
        struct version version;
        record_version(get(keyspace, "k", &entry), &version);
        cr_assert_eq(version.count, 2);
        end(keyspace);
    }
}

/* Every place of a version is taken by somebody else; the dot in the middle is the oldest. */
static struct record_parts foreign_full(struct dot others[VERSION_DOTS_MAX - 1]) {
    const uint64_t base = (uint64_t)NOW_MS << 16;
    for (uint16_t i = 0; i < VERSION_DOTS_MAX - 1; i++)
        others[i] = (struct dot){.counter = base - (i == 17 ? 5000 : 100 + i), .actor = (uint16_t)(100 + i)};
    struct record_parts parts = foreign("theirs", 99, base);
    parts.others = others;
    parts.other_count = VERSION_DOTS_MAX - 1;
    return parts;
}

Test(keyspace, a_write_over_a_full_version_forgets_its_oldest_dot_only) {
    struct keyspace *keyspace = make();
    struct argument key = key_of("k");
    struct dot others[VERSION_DOTS_MAX - 1];
    struct record_parts theirs = foreign_full(others);
    bool changed;
    cr_assert(keyspace_merge(keyspace, 0, &key, &theirs, &changed) && changed);
    put(keyspace, "k", "ours", EXPIRY_NONE);
    struct entry entry;
    struct version version;
    record_version(get(keyspace, "k", &entry), &version);
    cr_assert_eq(version.count, VERSION_DOTS_MAX);
    cr_assert_eq(version_highest(&version).actor, keyspace->actor);
    for (uint32_t i = 1; i < version.count; i++) {
        cr_assert_gt(version.dots[i].actor, version.dots[i - 1].actor);
        cr_assert_neq(version.dots[i].actor, others[17].actor);
    }
    put(keyspace, "k", "ours again", EXPIRY_NONE);
    struct version after;
    record_version(get(keyspace, "k", &entry), &after);
    cr_assert_eq(version_compare(&after, &version), VERSION_DESCENDS, "there was a place of its own now");
    end(keyspace);
}

Test(keyspace, a_write_over_a_full_version_wins_wherever_the_two_meet) {
    struct keyspace *ours = make();
    struct mem other_mem = {0};
    uint8_t seed[HASH_SEED_SIZE] = "another node...";
    struct keyspace *other = keyspace_new(&other_mem, seed, 2);
    keyspace_set_time(other, NOW_MS);
    struct argument key = key_of("k"), key_there = key_of("k");
    struct dot others[VERSION_DOTS_MAX - 1], read[VERSION_DOTS_MAX];
    struct record_parts theirs = foreign_full(others), parts;
    bool changed;
    cr_assert(keyspace_merge(ours, 0, &key, &theirs, &changed));
    cr_assert(keyspace_merge(other, 0, &key_there, &theirs, &changed));
    put(ours, "k", "ours", EXPIRY_NONE);
    struct entry entry;
    record_parts(get(ours, "k", &entry), &parts, read);
    cr_assert(keyspace_merge(other, 0, &key_there, &parts, &changed) && changed,
              "there it replaces the old one");
    holds(other, "k", "ours");
    cr_assert(keyspace_merge(ours, 0, &key, &theirs, &changed) && !changed, "here the old one is ignored");
    /* What the forgotten dot wrote comes late. */
    struct record_parts late = foreign("late", others[17].actor, others[17].counter);
    cr_assert(keyspace_merge(ours, 0, &key, &late, &changed) && !changed);
    cr_assert(keyspace_merge(other, 0, &key_there, &late, &changed) && !changed);
    holds(ours, "k", "ours");
    holds(other, "k", "ours");
    keyspace_free(other);
    cr_assert_eq(other_mem.used_bytes, 0);
    end(ours);
}

Test(keyspace, a_tombstone_hides_the_key_and_is_not_counted) {
    struct keyspace *keyspace = make();
    struct argument key = key_of("k");
    bool changed;
    struct record_parts value = foreign("x", 7, 5), tombstone = foreign("", 7, 6);
    tombstone.type = RECORD_TOMBSTONE;
    cr_assert(keyspace_merge(keyspace, 0, &key, &value, &changed));
    cr_assert_eq(keyspace_size(keyspace, 0), 1);
    cr_assert(keyspace_merge(keyspace, 0, &key, &tombstone, &changed) && changed);
    cr_assert_eq(keyspace_size(keyspace, 0), 0);
    holds(keyspace, "k", NULL);
    cr_assert(keyspace_merge(keyspace, 0, &key, &value, &changed) && !changed);
    holds(keyspace, "k", NULL);
    put(keyspace, "k", "again", EXPIRY_NONE);
    holds(keyspace, "k", "again");
    cr_assert_eq(keyspace_size(keyspace, 0), 1);
    end(keyspace);
}

Test(keyspace, swapped_databases_trade_places) {
    struct keyspace *keyspace = make();
    put(keyspace, "a", "zero", EXPIRY_NONE);
    keyspace_swap(keyspace, 0, 5);
    holds(keyspace, "a", NULL);
    cr_assert_eq(keyspace_size(keyspace, 5), 1);
    keyspace_swap(keyspace, 5, 0);
    holds(keyspace, "a", "zero");
    end(keyspace);
}

Test(keyspace, a_random_key_is_a_live_one) {
    struct keyspace *keyspace = make();
    cr_assert_null(keyspace_random(keyspace, 0));
    put(keyspace, "dead", "1", NOW_MS - 1);
    cr_assert_null(keyspace_random(keyspace, 0));
    put(keyspace, "dead", "1", NOW_MS - 1);
    put(keyspace, "live", "1", EXPIRY_NONE);
    for (unsigned i = 0; i < 50; i++)
        cr_assert(record_key_is(keyspace_random(keyspace, 0), (const uint8_t *)"live", 4));
    end(keyspace);
}
