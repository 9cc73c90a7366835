/* copies_test.c - the doors for what other nodes have done: merges, patches, reclaimed keys, flushes; and scans of some slots.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "company.h"
#include "store/floors.h"
#include "store/watch.h"

static struct copy here, there;

static void open_both(void) {
    copy_open(&here, 1);
    copy_open(&there, 4);
}

static void close_both(void) {
    copy_check(&here);
    copy_check(&there);
    copy_close(&here);
    copy_close(&there);
}

TestSuite(copies, .init = open_both, .fini = close_both);

static struct ledger *ledger(void) {
    return here.keyspace->ledger;
}

static void both_at(int64_t now_ms) {
    keyspace_set_time(here.keyspace, now_ms);
    keyspace_set_time(there.keyspace, now_ms);
}

static void blow(bool is_blown) {
    here.mem.fuse = is_blown;
    here.mem.fuse_stays_blown = is_blown;
}

/* ---- Merges ---- */

Test(copies, a_newer_value_of_the_same_size_is_merged_in_place) {
    copy_put(&there, "a", "first!", EXPIRY_NONE);
    cr_assert(bring(&there, &here, "a"));
    struct record *record = copy_find(&here, "a");
    copy_put(&there, "a", "second", EXPIRY_NONE);
    blow(true);
    cr_assert(bring(&there, &here, "a"));
    cr_assert_eq(copy_find(&here, "a"), record);
    copy_holds(&here, "a", "second");
    copies_agree(&here, &there);
    copy_put(&there, "a", "9 bytes..", NOW_MS + 1000); /* another layout in the same size class */
    cr_assert(!bring(&there, &here, "none"));
    blow(false);
    cr_assert(bring(&there, &here, "a"));
    cr_assert_eq(here.keyspace->databases[0]->expiring, 1);
    copies_agree(&here, &there);
    copy_delete(&there, "a");
    cr_assert(bring(&there, &here, "a"));
    copy_holds(&here, "a", NULL);
    copies_agree(&here, &there);
    cr_assert(!bring(&there, &here, "a"), "it is the same");
    cr_assert_eq(here.keyspace->counters.merge_conflicts, 0);
}

Test(copies, a_merge_that_finds_no_memory_changes_nothing) {
    copy_put(&there, "a", "a value that needs a record of its own", EXPIRY_NONE);
    struct argument key = key_of("a");
    struct record_parts parts;
    struct dot dots[VERSION_DOTS_MAX], others[VERSION_DOTS_MAX];
    record_parts(copy_find(&there, "a"), &parts, dots);
    translate(&there, &here, &parts, others);
    bool has_changed;
    for (unsigned i = 0; i < 2; i++) {
        blow(true);
        cr_assert(!keyspace_merge(here.keyspace, 0, &key, &parts, &has_changed) && !has_changed);
        blow(false);
        copy_check(&here);
        copy_holds(&here, "a", i == 0 ? NULL : "b");
        copy_put(&here, "a", "b", EXPIRY_NONE);
    }
}

/* Two writes of the same millisecond. Which one stays must not depend on how a process numbers the actors. */
Test(copies, a_tie_is_decided_alike_everywhere) {
    struct copy third;
    copy_open(&third, 9);
    copy_put(&here, "a", "here", EXPIRY_NONE);
    copy_put(&there, "a", "there", EXPIRY_NONE);
    copy_put(&third, "a", "third", EXPIRY_NONE);
    cr_assert_eq(copy_find(&here, "a")->counter, copy_find(&there, "a")->counter);
    bring(&there, &here, "a");
    bring(&here, &third, "a");
    bring(&third, &there, "a");
    bring(&third, &here, "a");
    copies_agree(&here, &there);
    copies_agree(&here, &third);
    copy_holds(&here, "a", "third"); /* its identity is the highest */
    cr_assert_gt(here.keyspace->counters.merge_conflicts, 0);
    copy_check(&third);
    copy_close(&third);
}

Test(copies, concurrent_writes_and_deletions_converge) {
    struct rng rng;
    rng_init(&rng, 3);
    struct copy third, *everybody[] = {&here, &there, &third};
    copy_open(&third, 7);
    for (unsigned round = 0; round < 300; round++) {
        static char names[20][16];
        for (unsigned i = 0; i < 60; i++) {
            struct copy *copy = everybody[rng_below(&rng, 3)];
            unsigned number = (unsigned)rng_below(&rng, 20);
            snprintf(names[number], sizeof *names, "k%u", number);
            if (rng_below(&rng, 3) == 0)
                copy_delete(copy, names[number]);
            else
                copy_put(copy, names[number], rng_below(&rng, 2) ? "x" : "a longer value than x",
                         EXPIRY_NONE);
            if (rng_below(&rng, 2)) /* some are told, late and in any order */
                bring(copy, everybody[rng_below(&rng, 3)], names[number]);
        }
        copies_meet(everybody, 3, names, 20);
        for (unsigned i = 0; i < 3; i++)
            keyspace_set_time(everybody[i]->keyspace, NOW_MS + round);
    }
    copy_check(&third);
    copy_close(&third);
}

static struct record_parts foreign(uint64_t counter) {
    return (struct record_parts){.value = (const uint8_t *)"v",
                                 .value_size = 1,
                                 .expiry_ms = RECORD_NO_EXPIRY,
                                 .newest = {.counter = counter, .actor = 1}};
}

Test(copies, clocks_that_are_ahead_are_counted_and_impossible_ones_refused) {
    struct argument key = key_of("a");
    struct record_parts ahead = foreign((uint64_t)(NOW_MS + CLOCK_DRIFT_MAX_MS + 1) << 16);
    struct record_parts impossible = foreign(((uint64_t)(NOW_MS + CLOCK_FUTURE_MAX_MS) << 16) + 1);
    bool has_changed;
    uint64_t counter = here.keyspace->counter;
    cr_assert(keyspace_merge(here.keyspace, 0, &key, &impossible, &has_changed) && !has_changed);
    cr_assert(here.keyspace->counters.refused_future == 1 && here.keyspace->counters.far_ahead == 0);
    cr_assert_null(copy_find(&here, "a"));
    cr_assert(keyspace_merge(here.keyspace, 0, &key, &ahead, &has_changed) && has_changed);
    cr_assert(here.keyspace->counters.refused_future == 1 && here.keyspace->counters.far_ahead == 1);
    cr_assert_eq(here.keyspace->counter, counter);
    cr_assert_gt(keyspace_stamp(here.keyspace), ahead.newest.counter);
}

/* ---- Patches ---- */

static struct keyspace_patch_parts patch_of(struct copy *from, const char *name, uint64_t base_counter) {
    struct record *record = copy_find(from, name);
    struct keyspace_patch_parts patch = {.value_size = record_value_size(record),
                                         .bytes = record_value(record),
                                         .expiry_ms = record_expiry_ms(record),
                                         .encoding = (uint8_t)record_encoding(record)};
    struct actor_identity *writer = &from->keyspace->actors.identities[ACTOR_SELF];
    uint16_t actor = actors_intern(&here.keyspace->actors, writer);
    version_raise(&patch.version, (struct dot){.counter = record->counter, .actor = actor});
    version_raise(&patch.base, (struct dot){.counter = base_counter, .actor = actor});
    return patch;
}

static uint64_t write_at(struct copy *copy, const char *name, uint32_t size, uint32_t offset,
                         const char *bytes) {
    struct argument key = {
        .data = (const uint8_t *)name, .size = (uint32_t)strlen(name), .slot = ARGUMENT_NOT_PLACED};
    struct entry entry;
    uint64_t base = keyspace_lookup(copy->keyspace, 0, &key, LOOKUP_WRITE, &entry)->counter;
    uint8_t *value = keyspace_edit(copy->keyspace, 0, &key, &entry, size, ENCODING_RAW);
    cr_assert_not_null(value);
    memcpy(value + offset, bytes, strlen(bytes));
    return base;
}

static enum keyspace_patch apply(const char *name, struct keyspace_patch_parts *patch, uint32_t offset,
                                 uint32_t size) {
    struct argument key = key_of(name);
    patch->offset = offset;
    patch->bytes += offset;
    patch->size = size;
    return keyspace_apply_patch(here.keyspace, &key, patch);
}

Test(copies, a_patch_is_applied_to_the_version_that_it_was_made_of_and_to_no_other) {
    copy_put_long(&there, "a", 2000, 1);
    cr_assert(bring(&there, &here, "a"));
    uint64_t base = write_at(&there, "a", 2000, 500, "in place");
    struct keyspace_patch_parts first = patch_of(&there, "a", base), again = first;
    struct record *record = copy_find(&here, "a");
    cr_assert_eq(apply("a", &first, 500, 8), PATCH_APPLIED);
    cr_assert_eq(copy_find(&here, "a"), record, "it needs no other place");
    copies_agree(&here, &there);
    cr_assert_eq(apply("a", &again, 500, 8), PATCH_STALE);
    /* Longer, with zeros between; then with an expiry. */
    base = write_at(&there, "a", 9000, 8000, "behind");
    struct keyspace_patch_parts second = patch_of(&there, "a", base);
    struct argument key = key_of("a");
    struct entry entry;
    keyspace_lookup(there.keyspace, 0, &key, LOOKUP_WRITE, &entry);
    cr_assert(keyspace_set_expiry(there.keyspace, 0, &key, &entry, NOW_MS + 500));
    struct keyspace_patch_parts third = patch_of(&there, "a", second.version.dots[0].counter), early = third;
    second.bytes = third.bytes;
    cr_assert_eq(apply("a", &early, 0, 0), PATCH_UNFIT);
    blow(true);
    struct keyspace_patch_parts copy = second;
    cr_assert_eq(apply("a", &copy, 8000, 6), PATCH_NO_MEMORY);
    blow(false);
    copy_check(&here);
    cr_assert_eq(apply("a", &second, 8000, 6), PATCH_APPLIED);
    cr_assert_eq(apply("a", &third, 0, 0), PATCH_APPLIED);
    copies_agree(&here, &there);
    cr_assert_eq(here.keyspace->databases[0]->expiring, 1);
    cr_assert_eq(ledger()->effect_count, 0);
}

Test(copies, a_patch_that_makes_a_value_longer_in_its_place_fills_it_with_zeros) {
    copy_put_long(&there, "a", 2030, 1);
    bring(&there, &here, "a");
    copy_put_long(&there, "a", 1950, 1); /* what was behind lies there still */
    bring(&there, &here, "a");
    struct record *record = copy_find(&here, "a");
    uint64_t base = write_at(&there, "a", 2020, 2019, "x");
    struct keyspace_patch_parts patch = patch_of(&there, "a", base);
    cr_assert_eq(apply("a", &patch, 2019, 1), PATCH_APPLIED);
    cr_assert_eq(copy_find(&here, "a"), record);
    for (uint32_t i = 1950; i < 2019; i++)
        cr_assert_eq(record_value(record)[i], 0);
    copies_agree(&here, &there);
}

Test(copies, a_patch_without_its_value_is_unfit) {
    copy_put_long(&there, "a", 2000, 1);
    uint64_t base = write_at(&there, "a", 2000, 500, "x");
    struct keyspace_patch_parts patch = patch_of(&there, "a", base), copy = patch;
    cr_assert_eq(apply("a", &copy, 500, 1), PATCH_UNFIT);
    cr_assert(bring(&there, &here, "a"));
    copy_delete(&here, "a");
    copy = patch;
    cr_assert_eq(apply("a", &copy, 500, 1), PATCH_STALE, "the deletion has seen it");
    copy_put(&here, "b", "other", EXPIRY_NONE);
    copy = patch;
    cr_assert_eq(apply("b", &copy, 500, 1), PATCH_UNFIT);
    /* A tombstone has no value to be patched, whatever its version. */
    copy_put_long(&there, "c", 2000, 1);
    copy_delete(&there, "c");
    cr_assert(bring(&there, &here, "c"));
    base = copy_find(&there, "c")->counter;
    copy_put_long(&there, "c", 2000, 2);
    patch = patch_of(&there, "c", base);
    cr_assert_eq(apply("c", &patch, 500, 1), PATCH_UNFIT);
}

Test(copies, a_patch_that_contradicts_itself_is_unfit) {
    copy_put_long(&there, "a", 2000, 1);
    cr_assert(bring(&there, &here, "a"));
    uint64_t base = write_at(&there, "a", 2000, 500, "x");
    const struct keyspace_patch_parts good = patch_of(&there, "a", base);
    struct argument key = key_of("a");
    struct keyspace_patch_parts bad[6] = {good, good, good, good, good, good};
    bad[0].offset = 2001;
    bad[1].offset = 1999, bad[1].size = 2;
    bad[2].offset = 5, bad[2].size = UINT32_MAX;
    bad[3].value_size = VALUE_SIZE_MAX + 1;
    bad[4].encoding = 3;
    bad[5].version = bad[5].base;
    bad[5].version.dots[0].counter--;
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(keyspace_apply_patch(here.keyspace, &key, &bad[i]), PATCH_UNFIT, "%u", i);
    cr_assert_neq(keyspace_apply_patch(here.keyspace, &key, &bad[5]), PATCH_APPLIED);
    bad[5].version.count = 0;
    cr_assert_neq(keyspace_apply_patch(here.keyspace, &key, &bad[5]), PATCH_APPLIED);
    copy_check(&here);
}

static bool count_record(void *context, uint32_t database, const struct record *record) {
    (void)database;
    const uint8_t *value = record_value_const(record);
    *(unsigned *)context += record_value_size(record) == 2000 && value[500] == 1;
    return true;
}

static bool no_long(void *context, uint32_t database, const struct record *record) {
    (void)context, (void)database, (void)record;
    return false;
}

static bool no_part(void *context, const uint8_t *bytes, uint32_t size) {
    (void)context, (void)bytes, (void)size;
    return false;
}

Test(copies, an_image_has_what_was_there_before_a_patch_or_a_merge) {
    copy_put_long(&there, "a", 2000, 1);
    copy_put_long(&there, "b", 2000, 1);
    bring(&there, &here, "a");
    bring(&there, &here, "b");
    unsigned old_ones = 0;
    struct image image;
    struct image_sink sink = {&old_ones, count_record, no_long, no_part};
    image_begin(&image, here.keyspace, &sink);
    uint64_t base = write_at(&there, "a", 2000, 500, "x");
    struct keyspace_patch_parts patch = patch_of(&there, "a", base);
    cr_assert_eq(apply("a", &patch, 500, 1), PATCH_APPLIED);
    copy_put_long(&there, "b", 2000, 2);
    struct record *record = copy_find(&here, "b");
    cr_assert(bring(&there, &here, "b"));
    cr_assert_eq(copy_find(&here, "b"), record, "in place");
    while (image_step(&image, 1000) == IMAGE_MORE)
        continue;
    cr_assert_eq(image.records, 2);
    cr_assert_eq(old_ones, 2);
    image_end(&image);
    copies_agree(&here, &there);
}

/* ---- Reclaimed elsewhere ---- */

Test(copies, a_key_is_reclaimed_at_the_coordinators_word_unless_it_is_newer_here) {
    copy_put(&there, "a", "x", NOW_MS + 10);
    bring(&there, &here, "a");
    struct argument key = key_of("a");
    struct version version, newer;
    record_version(copy_find(&here, "a"), &version);
    newer = version;
    version.dots[0].counter--;
    cr_assert(!keyspace_apply_expired(here.keyspace, &key, &version), "ours is newer");
    version.dots[0].actor++;
    version.dots[0].counter += 10;
    cr_assert(!keyspace_apply_expired(here.keyspace, &key, &version), "ours is concurrent");
    cr_assert_not_null(copy_find(&here, "a"));
    struct watcher watcher = {0};
    cr_assert(watch_add(here.keyspace->watch, &watcher, 0, &key, false));
    cr_assert(keyspace_apply_expired(here.keyspace, &key, &newer));
    cr_assert(watcher.is_broken);
    watch_clear(here.keyspace->watch, &watcher);
    cr_assert_null(copy_find(&here, "a"));
    cr_assert_eq(here.keyspace->counters.expired, 1);
    cr_assert(!keyspace_apply_expired(here.keyspace, &key, &newer), "it is gone");
    cr_assert_eq(ledger()->effect_count, 0);
}

/* ---- Flushes ---- */

static uint64_t fill(struct copy *copy, unsigned keys, unsigned expiring_of_ten) {
    static char names[4000][16];
    for (unsigned i = 0; i < keys; i++) {
        snprintf(names[i], sizeof *names, "k%u", i);
        copy_put(copy, names[i], "value", i % 10 < expiring_of_ten ? NOW_MS + 100000 + i : EXPIRY_NONE);
        if (i % 17 == 0)
            copy_delete(copy, names[i]);
    }
    ledger_clear_effects(copy->keyspace->ledger);
    return keyspace_size(copy->keyspace, 0);
}

static void slots_below(struct slot_set *slots, uint32_t end) {
    for (uint32_t i = 0; i < SLOT_COUNT / 64; i++)
        slots->bits[i] = i < end / 64 ? UINT64_MAX : 0;
}

static void reclaim_all(struct copy *copy) {
    while (keyspace_reclaim_step(copy->keyspace, 1000) != 0)
        continue;
}

Test(copies, a_flush_of_some_slots_leaves_the_others) {
    static const unsigned sizes[] = {300, 4000, 4000, 4000};
    for (unsigned run = 0; run < 4; run++) {
        uint64_t keys = fill(&here, sizes[run], run == 2 ? 0 : 3), inside = 0;
        struct slot_set slots;
        slots_below(&slots, SLOT_COUNT / 2);
        for (uint32_t slot = 0; slot < SLOT_COUNT / 2; slot++)
            inside += keyspace_slot_size(here.keyspace, slot);
        uint64_t changes = here.keyspace->counters.changes;
        if (run == 3) { /* without memory for the tables */
            blow(true);
        }
        cr_assert_eq(keyspace_flush_slots(here.keyspace, &slots, keyspace_stamp(here.keyspace)), inside);
        blow(false);
        cr_assert_eq(keyspace_size(here.keyspace, 0), keys - inside);
        cr_assert_eq(here.keyspace->counters.changes - changes, inside);
        copy_check(&here);
        cr_assert_eq(ledger_slot_digest(ledger(), 0) == 0, false, "a flush is part of it");
        reclaim_all(&here);
        copy_check(&here);
    }
}

Test(copies, a_flush_of_all_slots_empties_the_database) {
    for (unsigned run = 0; run < 2; run++) {
        uint64_t keys = fill(&here, run ? 4000 : 300, 5);
        struct slot_set slots;
        slots_below(&slots, SLOT_COUNT);
        cr_assert_eq(keyspace_flush_slots(here.keyspace, &slots, keyspace_stamp(here.keyspace)), keys);
        cr_assert_eq(keyspace_size(here.keyspace, 0), 0);
        copy_check(&here);
        reclaim_all(&here);
        cr_assert_eq(keyspace_flush_slots(here.keyspace, &slots, keyspace_stamp(here.keyspace)), 0);
    }
}

Test(copies, a_flush_spares_what_is_newer_and_keeps_out_what_is_older) {
    fill(&there, 500, 3);
    static char names[500][16];
    for (unsigned i = 0; i < 500; i++) {
        snprintf(names[i], sizeof *names, "k%u", i);
        if (i % 2)
            bring(&there, &here, names[i]);
    }
    both_at(NOW_MS + 50);
    uint64_t flush = keyspace_stamp(there.keyspace);
    struct slot_set slots;
    slots_below(&slots, SLOT_COUNT);
    both_at(NOW_MS + 60);
    copy_put(&here, "k2", "newer", EXPIRY_NONE);
    copy_put(&here, "k3", "newer", EXPIRY_NONE);
    struct watcher broken = {0}, whole = {0};
    struct argument k3 = key_of("k3"), k5 = key_of("k5");
    keyspace_place(here.keyspace, &k3);
    keyspace_place(here.keyspace, &k5);
    watch_add(here.keyspace->watch, &whole, 0, &k3, false);
    watch_add(here.keyspace->watch, &broken, 0, &k5, false);
    uint64_t keys = keyspace_size(here.keyspace, 0);
    cr_assert_eq(keyspace_flush_slots(here.keyspace, &slots, flush), keys - 2);
    cr_assert(broken.is_broken && !whole.is_broken);
    watch_clear(here.keyspace->watch, &whole);
    watch_clear(here.keyspace->watch, &broken);
    copy_holds(&here, "k2", "newer");
    copy_holds(&here, "k3", "newer");
    cr_assert_eq(keyspace_size(here.keyspace, 0), 2);
    copy_check(&here);
    for (unsigned i = 0; i < 500; i++)
        cr_assert(!bring(&there, &here, names[i]), "%s came too late", names[i]);
    struct argument late = key_of("k9");
    struct record_parts parts = foreign(flush);
    parts.key = late.data, parts.key_size = late.size;
    cr_assert_eq(keyspace_load(here.keyspace, 0, &late, &parts), LOAD_ADDED);
    cr_assert_null(copy_find(&here, "k9"));
    /* An older flush takes nothing, and lowers nothing. */
    cr_assert_eq(keyspace_flush_slots(here.keyspace, &slots, flush - 1), 0);
    cr_assert_eq(ledger()->flush_counters[5], flush);
    keyspace_flush_slots(there.keyspace, &slots, flush);
    bring(&here, &there, "k2");
    bring(&here, &there, "k3");
    copies_agree(&here, &there);
}

Test(copies, a_flush_that_spares_one_key_takes_all_others_of_a_large_slot) {
    char name[16];
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "{t}%u", i);
        copy_put(&here, name, "x", EXPIRY_NONE);
        ledger_clear_effects(ledger());
    }
    uint64_t counter = keyspace_stamp(here.keyspace);
    struct slot_set slots;
    slots_below(&slots, SLOT_COUNT);
    copy_put(&here, "{t}77", "newer", EXPIRY_NONE);
    cr_assert_eq(keyspace_flush_slots(here.keyspace, &slots, counter), 2999);
    copy_holds(&here, "{t}77", "newer");
    cr_assert_eq(keyspace_size(here.keyspace, 0), 1);
}

Test(copies, a_flush_takes_what_is_stamped_ahead_of_the_clock_however_it_came) {
    struct slot_set slots;
    slots_below(&slots, SLOT_COUNT);
    uint64_t ahead = (uint64_t)(NOW_MS + 3600 * 1000) << 16;
    struct argument merged = key_of("merged"), loaded = key_of("loaded"), flushed = key_of("flushed");
    struct record_parts parts = foreign(ahead);
    bool has_changed;
    cr_assert(keyspace_merge(here.keyspace, 0, &merged, &parts, &has_changed) && has_changed);
    copy_put(&here, "written", "x", EXPIRY_NONE);
    cr_assert_eq(keyspace_flush_slots(here.keyspace, &slots, keyspace_stamp(here.keyspace)), 2);
    parts = foreign(ahead + 5);
    parts.key = loaded.data, parts.key_size = loaded.size;
    cr_assert_eq(keyspace_load(here.keyspace, 0, &loaded, &parts), LOAD_ADDED);
    copy_put(&here, "loaded", "over it", EXPIRY_NONE);
    keyspace_set_time(here.keyspace, NOW_MS - 5000);
    copy_put(&here, "later", "x", EXPIRY_NONE);
    cr_assert_eq(keyspace_flush_slots(here.keyspace, &slots, keyspace_stamp(here.keyspace)), 2);
    cr_assert_eq(keyspace_size(here.keyspace, 0), 0);
    parts = foreign(ahead + 5);
    cr_assert(keyspace_merge(here.keyspace, 0, &flushed, &parts, &has_changed) && !has_changed);
    copy_check(&here);
}

Test(copies, writes_are_stamped_above_the_flush_of_their_slot) {
    struct slot_set slots;
    slots_below(&slots, SLOT_COUNT);
    uint64_t ahead = (uint64_t)(NOW_MS + 100000) << 16; /* our clock does not follow so far */
    cr_assert_eq(keyspace_flush_slots(here.keyspace, &slots, ahead), 0);
    cr_assert_lt(here.keyspace->counter, ahead);
    copy_put(&here, "a", "x", EXPIRY_NONE);
    cr_assert_gt(copy_find(&here, "a")->counter, ahead);
    keyspace_set_alone(here.keyspace, true);
    keyspace_set_alone(here.keyspace, false);
    copy_put(&here, "b", "x", EXPIRY_NONE);
    while (ledger_walk_step(here.keyspace, 100) != 0)
        continue;
    cr_assert_eq(keyspace_flush_slots(here.keyspace, &slots, UINT64_MAX), 0, "an impossible one");
    cr_assert_eq(keyspace_size(here.keyspace, 0), 2);
}

static uint32_t slot_of(const char *name) {
    return crc16_key_slot((const uint8_t *)name, (uint32_t)strlen(name));
}

#define DAY_MS (24 * 3600 * INT64_C(1000))

Test(copies, a_clock_that_was_set_back_by_days_refuses_neither_its_own_flush_nor_the_stamps_of_others) {
    struct slot_set slots;
    slots_below(&slots, SLOT_COUNT);
    int64_t then_ms = NOW_MS + 3 * DAY_MS;
    keyspace_set_time(here.keyspace, then_ms);
    copy_put(&here, "a", "x", EXPIRY_NONE);
    keyspace_set_time(here.keyspace, NOW_MS);
    cr_assert_eq(keyspace_flush_own(here.keyspace, &slots), 1);
    cr_assert_null(copy_find(&here, "a"));
    cr_assert_eq(ledger()->flush_counters[slot_of("a")], here.keyspace->counter);
    bool has_changed;
    struct argument key = key_of("a");
    struct record_parts parts = foreign((uint64_t)(then_ms + 1000) << 16);
    cr_assert(keyspace_merge(here.keyspace, 0, &key, &parts, &has_changed) && has_changed);
    cr_assert_eq(keyspace_flush_slots(here.keyspace, &slots, (uint64_t)(then_ms + 2000) << 16), 1);
    cr_assert_eq(here.keyspace->counters.refused_future, 0);
    parts = foreign((uint64_t)(then_ms + DAY_MS + 1) << 16);
    cr_assert(keyspace_merge(here.keyspace, 0, &key, &parts, &has_changed) && !has_changed);
    cr_assert_eq(here.keyspace->counters.refused_future, 1);
    copy_check(&here);
}

Test(copies, a_flush_takes_what_was_loaded_whatever_the_clock_says) {
    struct slot_set slots;
    slots_below(&slots, SLOT_COUNT);
    struct argument key = key_of("a");
    struct record_parts parts = foreign((uint64_t)(NOW_MS + 3 * DAY_MS) << 16);
    parts.key = key.data;
    parts.key_size = key.size;
    cr_assert_eq(keyspace_load(here.keyspace, 0, &key, &parts), LOAD_ADDED);
    cr_assert_eq(keyspace_flush_own(here.keyspace, &slots), 1);
    cr_assert_eq(keyspace_size(here.keyspace, 0), 0);
    copy_put(&here, "a", "x", EXPIRY_NONE);
    cr_assert_gt(copy_find(&here, "a")->counter, ledger()->flush_counters[slot_of("a")]);
    copy_check(&here);
}

Test(copies, who_awaits_company_keeps_floors_and_flushes_until_nobody_has_come) {
    struct slot_set slots;
    slots_below(&slots, SLOT_COUNT);
    uint64_t counter = floors_round((uint64_t)NOW_MS << 16);
    keyspace_set_alone(here.keyspace, true);
    floors_load(here.keyspace, 0, 9, counter, counter);
    cr_assert_eq(ledger()->floors.highest, 0, "alone there are none");
    cr_assert_eq(ledger()->flush_counters[9], 0);
    keyspace_set_awaiting(here.keyspace, true);
    floors_load(here.keyspace, 0, 9, counter + 5, counter);
    cr_assert_eq(ledger()->floors.counters[9], counter);
    cr_assert_eq(ledger()->flush_counters[9], counter + 5);
    keyspace_set_awaiting(here.keyspace, true);
    keyspace_set_alone(here.keyspace, false);
    cr_assert(ledger()->floors.counters[9] == counter && !ledger()->awaits_company);
    keyspace_set_alone(here.keyspace, true);
    keyspace_set_awaiting(here.keyspace, true);
    uint64_t ahead = counter + ((uint64_t)1000 << 16);
    floors_load(here.keyspace, 0, 9, ahead, counter);
    keyspace_set_awaiting(here.keyspace, false);
    cr_assert_eq(ledger()->floors.counters[9], 0);
    cr_assert_geq(here.keyspace->counter, ahead, "stamps do not look at flushes while alone");
}

Test(copies, a_flush_leaves_no_record_in_an_effect) {
    struct slot_set slots;
    slots_below(&slots, SLOT_COUNT);
    copy_put(&here, "a", "x", EXPIRY_NONE);
    keyspace_flush_slots(here.keyspace, &slots, keyspace_stamp(here.keyspace));
    cr_assert_eq(ledger()->effect_count, 1);
    cr_assert_null(ledger()->effects[0].record);
}

Test(copies, an_image_has_what_a_flush_took) {
    for (unsigned run = 0; run < 3; run++) {
        keyspace_set_time(here.keyspace, NOW_MS + run);
        uint64_t keys = fill(&here, 3000, 2);
        struct slot_set slots;
        slots_below(&slots, run == 0 ? SLOT_COUNT : SLOT_COUNT / 4 * 3);
        unsigned ignored = 0;
        struct image image;
        struct image_sink sink = {&ignored, count_record, no_long, no_part};
        image_begin(&image, here.keyspace, &sink);
        cr_assert_eq(image_step(&image, 500), IMAGE_MORE);
        uint64_t records = image.total;
        cr_assert_geq(records, keys);
        uint64_t counter = keyspace_stamp(here.keyspace);
        if (run == 2)
            copy_put(&here, "k1", "newer", EXPIRY_NONE);
        keyspace_flush_slots(here.keyspace, &slots, counter);
        copy_check(&here);
        while (image_step(&image, 1000) == IMAGE_MORE)
            continue;
        cr_assert_eq(image.records, records);
        image_end(&image);
        reclaim_all(&here);
    }
}

/* ---- Some slots only ---- */

static void mark_key(void *context, struct record *record) {
    unsigned *seen = context;
    char text[16] = "";
    memcpy(text, record_key(record) + 1, record_key_size(record) - 1);
    seen[atoi(text)]++;
}

Test(copies, a_scan_of_some_slots_visits_their_keys_and_no_others) {
    fill(&here, 3000, 0);
    struct slot_set slots;
    struct rng rng;
    rng_init(&rng, 4);
    for (unsigned i = 0; i < SLOT_COUNT / 64; i++)
        slots.bits[i] = rng_next64(&rng) & rng_next64(&rng);
    static unsigned seen[3000];
    memset(seen, 0, sizeof seen);
    uint64_t cursor = 0, calls = 0;
    do {
        cursor = keyspace_scan_slots(here.keyspace, &slots, cursor, 20, mark_key, seen);
        cr_assert_lt(cursor, UINT64_C(1) << 53);
        cr_assert_lt(++calls, 1000);
    } while (cursor != 0);
    for (unsigned i = 0; i < 3000; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%u", i);
        struct argument key = key_of(name);
        keyspace_place(here.keyspace, &key);
        bool is_wanted = slot_set_has(&slots, key.slot);
        cr_assert_eq(seen[i], is_wanted && i % 17 != 0, "%s was seen %u times", name, seen[i]);
        if (i % 17 == 0)
            continue;
        /* From its place on a scan meets it. */
        uint64_t place = keyspace_scan_place(here.keyspace, &key);
        static unsigned met[3000];
        memset(met, 0, sizeof met);
        keyspace_scan(here.keyspace, 0, place, 1, mark_key, met);
        cr_assert_eq(met[i], 1, "%s is not at its place", name);
    }
}

/* ---- Memory ---- */

/* Whatever allocation fails, all accounts are right, and nothing is half done. */
Test(copies, nothing_is_half_done_whichever_allocation_fails) {
    static const char *const names[] = {"a", "b", "{a}c", "{a}d"};
    struct rng rng;
    rng_init(&rng, 12);
    for (unsigned i = 0; i < 6000; i++) {
        const char *name = names[rng_below(&rng, 4)];
        struct argument key = key_of(name);
        struct entry entry;
        both_at(NOW_MS + i);
        copy_put_long(&there, name, 1 + (uint32_t)rng_below(&rng, 3000), (uint8_t)i);
        struct record_parts parts;
        struct dot dots[VERSION_DOTS_MAX], others[VERSION_DOTS_MAX];
        record_parts(copy_find(&there, name), &parts, dots);
        translate(&there, &here, &parts, others);
        bool was_there = keyspace_lookup(here.keyspace, 0, &key, LOOKUP_PEEK, &entry) != NULL;
        uint64_t counter = was_there ? entry.record->counter : 0;
        bool has_changed, is_done = true;
        here.mem.fuse = 1 + rng_below(&rng, 3);
        here.mem.fuse_stays_blown = rng_below(&rng, 2);
        switch (rng_below(&rng, 5)) {
        case 0: is_done = keyspace_merge(here.keyspace, 0, &key, &parts, &has_changed); break;
        case 1: is_done = copy_put_long(&here, name, (uint32_t)rng_below(&rng, 3000), 3); break;
        case 2: copy_delete(&here, name); break;
        case 3:
            if (was_there)
                is_done = keyspace_set_expiry(here.keyspace, 0, &key, &entry,
                                              rng_below(&rng, 2) ? EXPIRY_NONE : NOW_MS + i + 1);
            break;
        case 4:
            if (was_there)
                is_done = keyspace_edit(here.keyspace, 0, &key, &entry, (uint32_t)rng_below(&rng, 3000),
                                        ENCODING_RAW);
            break;
        }
        here.mem.fuse = 0;
        here.mem.fuse_stays_blown = false;
        if (!is_done) {
            struct record *after = copy_get(&here, name);
            cr_assert(after == NULL ? !was_there : after->counter == counter);
        }
        if (i % 16 == 0)
            copy_check(&here);
        ledger_clear_effects(ledger());
        ledger_clear_effects(there.keyspace->ledger);
        ledger()->has_lost = false;
    }
}
