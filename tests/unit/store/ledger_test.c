/* ledger_test.c - digests, the walk that makes them, effects, and what tombstones are and are not.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "checkpoint_stage.h"
#include "company.h"
#include "store/expire.h"
#include "store/floors.h"
#include "store/watch.h"

static struct copy here, there;

static void open_here(void) {
    copy_open(&here, 1);
}

static void close_here(void) {
    copy_check(&here);
    copy_close(&here);
}

TestSuite(ledger, .init = open_here, .fini = close_here);

static struct ledger *ledger(void) {
    return here.keyspace->ledger;
}

static void set_time(int64_t now_ms) {
    keyspace_set_time(here.keyspace, now_ms);
}

static uint32_t slot_of(const char *key) {
    struct argument argument = key_of(key);
    keyspace_place(here.keyspace, &argument);
    return argument.slot;
}

/* ---- Tombstones ---- */

static void count_visit(void *context, struct record *record) {
    (void)record;
    ++*(unsigned *)context;
}

Test(ledger, a_deleted_key_leaves_a_tombstone_that_nobody_sees) {
    copy_put(&here, "a", "1", NOW_MS + 5000);
    uint64_t before = copy_find(&here, "a")->counter;
    cr_assert(copy_delete(&here, "a"));
    struct record *tombstone = copy_find(&here, "a");
    cr_assert_eq(record_type(tombstone), RECORD_TOMBSTONE);
    cr_assert_gt(tombstone->counter, before);
    copy_holds(&here, "a", NULL);
    cr_assert_eq(keyspace_size(here.keyspace, 0), 0);
    cr_assert_eq(keyspace_slot_size(here.keyspace, slot_of("a")), 0);
    cr_assert_eq(ledger()->tombstones[slot_of("a")], 1);
    unsigned seen = 0;
    cr_assert_eq(keyspace_scan(here.keyspace, 0, 0, 100, count_visit, &seen), 0);
    cr_assert_eq(seen, 0);
    cr_assert_null(keyspace_random(here.keyspace, 0));
    cr_assert(!copy_delete(&here, "a"), "it is gone already");
    cr_assert_eq(here.keyspace->counters.changes, 2);
    copy_check(&here);
    uint64_t buried = tombstone->counter;
    set_time(NOW_MS - 100000);
    copy_put(&here, "a", "2", EXPIRY_KEEP);
    copy_holds(&here, "a", "2");
    cr_assert_gt(copy_get(&here, "a")->counter, buried);
    cr_assert_eq(record_expiry_ms(copy_get(&here, "a")), RECORD_NO_EXPIRY);
    cr_assert_eq(ledger()->tombstones[slot_of("a")], 0);
}

Test(ledger, watchers_of_a_key_hear_of_its_deletion_and_not_of_the_flush_of_its_tombstone) {
    struct watcher watcher = {0}, late = {0};
    struct argument key = key_of("a");
    copy_put(&here, "a", "1", EXPIRY_NONE);
    keyspace_place(here.keyspace, &key);
    cr_assert(watch_add(here.keyspace->watch, &watcher, 0, &key, false));
    copy_delete(&here, "a");
    cr_assert(watcher.is_broken);
    cr_assert(watch_add(here.keyspace->watch, &late, 0, &key, false));
    keyspace_flush(here.keyspace, 0);
    cr_assert(!late.is_broken, "there was no key");
    watch_clear(here.keyspace->watch, &watcher);
    watch_clear(here.keyspace->watch, &late);
}

Test(ledger, a_live_key_is_drawn_from_among_many_tombstones) {
    char key[32];
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "{t}%u", i);
        copy_put(&here, key, "x", EXPIRY_NONE);
        if (i != 777)
            copy_delete(&here, key);
    }
    for (unsigned i = 0; i < 20; i++)
        cr_assert(record_key_is(keyspace_random(here.keyspace, 0), (const uint8_t *)"{t}777", 6));
    struct slot_set slots = {{0}};
    cr_assert_null(keyspace_random_of_slots(here.keyspace, &slots));
    slot_set_add(&slots, slot_of("{t}"));
    cr_assert(record_key_is(keyspace_random_of_slots(here.keyspace, &slots), (const uint8_t *)"{t}777", 6));
}

/* A record of every shape is buried in its place when there is no memory for another one. */
Test(ledger, a_tombstone_needs_no_memory_whatever_the_record_was) {
    static uint8_t bytes[5000];
    const uint64_t base = (uint64_t)NOW_MS << 16;
    static const uint32_t key_sizes[] = {0, 1, 10, 100, 255, 256, 300, 4000};
    copy_put(&here, "a", "x", EXPIRY_NONE);
    keyspace_flush(here.keyspace, 0);
    const size_t held_before = here.mem.used_bytes;
    for (unsigned k = 0; k < sizeof key_sizes / sizeof *key_sizes; k++)
        for (uint32_t size = 0; size < 5000; size += size < 600 ? 1 : 331)
            for (unsigned shape = 0; shape < 4; shape++) {
                struct argument key = {.data = bytes, .size = key_sizes[k], .slot = ARGUMENT_NOT_PLACED};
                struct dot other = {.counter = base - 10, .actor = 5};
                struct record_parts parts = {.value = bytes,
                                             .value_size = size,
                                             .expiry_ms = shape & 1 ? NOW_MS + 1000 : RECORD_NO_EXPIRY,
                                             .newest = {.counter = here.keyspace->counter + 1, .actor = 3},
                                             .others = &other,
                                             .other_count = shape >> 1};
                bool has_changed;
                cr_assert(keyspace_merge(here.keyspace, 0, &key, &parts, &has_changed) && has_changed);
                struct entry entry;
                keyspace_lookup(here.keyspace, 0, &key, LOOKUP_PEEK, &entry);
                here.mem.fuse = 1;
                here.mem.fuse_stays_blown = true;
                const size_t held = here.mem.used_bytes;
                keyspace_remove(here.keyspace, 0, &key, &entry, REMOVE_DELETED);
                cr_assert_eq(here.mem.used_bytes, held);
                here.mem.fuse = 0;
                here.mem.fuse_stays_blown = false;
                struct record *tombstone = keyspace_find_record(here.keyspace, &key);
                cr_assert_eq(record_type(tombstone), RECORD_TOMBSTONE);
                cr_assert(record_key_is(tombstone, bytes, key.size));
                cr_assert_eq(keyspace_size(here.keyspace, 0), 0);
                /* As it leaves, the accounts of memory must come out even. */
                keyspace_flush(here.keyspace, 0);
                cr_assert_eq(here.mem.used_bytes, held_before);
                ledger_clear_effects(ledger());
            }
}

static bool give_record(void *context, uint32_t database, const struct record *record) {
    (void)database;
    ((unsigned *)context)[record_type(record) == RECORD_TOMBSTONE]++;
    return true;
}

static bool give_long(void *context, uint32_t database, const struct record *record) {
    return give_record(context, database, record);
}

static bool give_part(void *context, const uint8_t *bytes, uint32_t size) {
    (void)context, (void)bytes, (void)size;
    return true;
}

static void take_image(unsigned given[2], struct image *image) {
    given[0] = given[1] = 0;
    struct image_sink sink = {given, give_record, give_long, give_part};
    image_begin(image, here.keyspace, &sink);
}

Test(ledger, an_image_has_the_tombstones_while_others_hold_copies) {
    char key[32];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%u", i);
        copy_put(&here, key, "x", EXPIRY_NONE);
        if (i < 30)
            copy_delete(&here, key);
    }
    unsigned given[2];
    struct image image;
    take_image(given, &image);
    cr_assert_eq(image.total, 100);
    /* Deletions after the begin are none of its business. */
    for (unsigned i = 50; i < 60; i++) {
        snprintf(key, sizeof key, "k%u", i);
        copy_delete(&here, key);
    }
    copy_put(&here, "k3", "again", EXPIRY_NONE);
    while (image_step(&image, 10) == IMAGE_MORE)
        continue;
    image_end(&image);
    cr_assert(given[0] == 70 && given[1] == 30, "%u records, %u tombstones", given[0], given[1]);
    keyspace_set_alone(here.keyspace, true);
    take_image(given, &image);
    while (image_step(&image, 10) == IMAGE_MORE)
        continue;
    image_end(&image);
    cr_assert(given[0] == 61 && given[1] == 0, "%u records, %u tombstones", given[0], given[1]);
}

Test(ledger, a_long_record_that_an_image_waits_for_is_buried_even_without_memory) {
    copy_put_long(&here, "long", 200000, 7);
    copy_put(&here, "a", "x", EXPIRY_NONE);
    ledger_clear_effects(ledger());
    unsigned given[2];
    struct image image;
    take_image(given, &image);
    here.mem.fuse = 1;
    here.mem.fuse_stays_blown = true;
    cr_assert(copy_delete(&here, "long"));
    here.mem.fuse_stays_blown = false;
    here.mem.fuse = 0;
    copy_holds(&here, "long", NULL);
    cr_assert_eq(image_step(&image, 1000), IMAGE_FAILED);
    image_end(&image);
}

Test(ledger, a_long_record_goes_into_an_image_though_it_is_deleted_meanwhile) {
    copy_put_long(&here, "long", 200000, 7);
    unsigned given[2];
    struct image image;
    take_image(given, &image);
    cr_assert(copy_delete(&here, "long"));
    while (image_step(&image, 1000) == IMAGE_MORE)
        continue;
    cr_assert(!image.has_failed);
    image_end(&image);
    cr_assert(given[0] == 1 && given[1] == 0);
}

Test(ledger, who_is_left_alone_drops_the_tombstones_in_steps) {
    char key[32];
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, i % 2 ? "{same}%u" : "k%u", i);
        copy_put(&here, key, "x", EXPIRY_NONE);
        if (i % 5 != 0)
            copy_delete(&here, key);
    }
    keyspace_set_alone(here.keyspace, true);
    copy_put(&here, "k1", "alone", EXPIRY_NONE);
    unsigned steps = 0;
    for (uint32_t spent; (spent = ledger_walk_step(here.keyspace, 200)) != 0; steps++)
        cr_assert_leq(spent, 400);
    cr_assert_gt(steps, 10);
    copy_check(&here);
    uint64_t records = 0;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        records += here.keyspace->databases[0]->slots[slot].count;
    cr_assert_eq(records, keyspace_size(here.keyspace, 0));
    cr_assert_eq(records, 1001);
    copy_delete(&here, "k1");
    cr_assert_null(copy_find(&here, "k1"), "alone nobody needs a tombstone");
}

/* ---- Digests ---- */

Test(ledger, digests_are_equal_whatever_the_order_and_the_numbers_of_actors) {
    copy_open(&there, 6);
    struct copy source;
    copy_open(&source, 3);
    char key[32];
    struct argument keys[60];
    static char names[60][16];
    for (unsigned i = 0; i < 60; i++) {
        snprintf(names[i], sizeof names[i], "%s%u", i % 2 ? "{x}" : "k", i);
        keys[i] = key_of(names[i]);
        copy_put(&source, names[i], "value", i % 7 == 0 ? NOW_MS + 10000 : EXPIRY_NONE);
        if (i % 5 == 0)
            copy_delete(&source, names[i]);
    }
    for (unsigned i = 0; i < 60; i++) {
        fetch(&source, &here, &keys[i]);
        fetch(&source, &there, &keys[59 - i]);
    }
    copies_agree(&here, &there);
    copies_agree(&source, &there);
    snprintf(key, sizeof key, "k0");
    copy_put(&source, key, "value", EXPIRY_NONE);
    cr_assert_neq(ledger_slot_digest(source.keyspace->ledger, slot_of(key)),
                  ledger_slot_digest(ledger(), slot_of(key)));
    cr_assert_eq(ledger_slot_digest(ledger(), slot_of("nothing here")), 0);
    copy_check(&there);
    copy_close(&source);
    copy_close(&there);
}

/* A command of any kind at one of `keys` keys. Its arguments last for some more. */
static void do_anything(struct copy *copy, struct rng *rng, unsigned keys) {
    struct keyspace *keyspace = copy->keyspace;
    static char names[16][32];
    static unsigned turn;
    char *name = names[turn++ % 16];
    unsigned number = (unsigned)rng_below(rng, keys);
    snprintf(name, sizeof *names, number % 3 ? "{tag}%u" : "k%u", number);
    struct argument key = key_of(name);
    struct entry entry;
    static const uint32_t sizes[] = {0, 1, 5, 40, 300, 1100, 2000, 5000};
    uint32_t size = sizes[rng_below(rng, 8)];
    static uint8_t bytes[5000];
    int64_t expiry_ms = keyspace->now_ms + 1 + (int64_t)rng_below(rng, 5000);
    struct value value = {
        .data = bytes, .size = size, .expiry_ms = rng_below(rng, 3) ? EXPIRY_NONE : expiry_ms};
    bytes[0] = (uint8_t)rng_next64(rng);
    switch (rng_below(rng, 9)) {
    case 0: cr_assert(keyspace_put(keyspace, 0, &key, &value)); break;
    case 1:
        if (keyspace_lookup(keyspace, 0, &key, LOOKUP_PEEK, &entry) != NULL)
            keyspace_remove(keyspace, 0, &key, &entry, rng_below(rng, 2) ? REMOVE_DELETED : REMOVE_MOVED);
        break;
    case 2: {
        struct argument pairs[6] = {key,          {.data = bytes, .size = size},
                                    key_of("k0"), {.data = bytes, .size = 3},
                                    key_of("k3"), {.data = bytes, .size = size}};
        cr_assert(keyspace_put_many(keyspace, 0, pairs, 3));
        break;
    }
    case 3:
        if (keyspace_lookup(keyspace, 0, &key, LOOKUP_WRITE, &entry) != NULL)
            cr_assert(
                keyspace_set_expiry(keyspace, 0, &key, &entry, rng_below(rng, 2) ? expiry_ms : EXPIRY_NONE));
        break;
    case 4:
    case 5:
    case 6: {
        bool is_there = keyspace_lookup(keyspace, 0, &key, LOOKUP_WRITE, &entry) != NULL;
        uint32_t old_size = is_there ? record_value_size(entry.record) : 0, end = old_size + 10;
        if (rng_below(rng, 2) && old_size > 100)
            end = 90;
        uint32_t whole = end > old_size ? end : old_size;
        uint8_t *made = is_there ? keyspace_edit(keyspace, 0, &key, &entry, whole, ENCODING_RAW)
                                 : keyspace_create(keyspace, 0, &key, whole, ENCODING_RAW);
        cr_assert_not_null(made);
        memset(made + end - 10, bytes[0], 10);
        keyspace_note_range(keyspace, end - 10, 10);
        break;
    }
    case 7: (void)keyspace_lookup(keyspace, 0, &key, LOOKUP_READ, &entry); break;
    case 8:
        if (rng_below(rng, 10) == 0)
            while (keyspace_expire_step(keyspace, 1000) != 0)
                continue;
        break;
    }
}

Test(ledger, digests_are_right_whatever_is_written) {
    struct rng rng;
    rng_init(&rng, 5);
    for (unsigned i = 0; i < 3000; i++) {
        set_time(NOW_MS + i * 10);
        do_anything(&here, &rng, 300);
        ledger_clear_effects(ledger());
        if (i % 100 == 0)
            copy_check(&here);
    }
}

Test(ledger, the_walk_and_writes_make_the_digests_together) {
    struct rng rng;
    rng_init(&rng, 6);
    for (unsigned run = 0; run < 6; run++) {
        keyspace_set_alone(here.keyspace, true);
        for (unsigned i = 0; i < 8000; i++) {
            do_anything(&here, &rng, 6000);
            set_time(here.keyspace->now_ms + 1);
        }
        keyspace_set_alone(here.keyspace, false);
        cr_assert(!ledger()->is_walked);
        unsigned steps = 0;
        while (ledger_walk_step(here.keyspace, 1 + (uint32_t)rng_below(&rng, 300)) != 0) {
            for (unsigned i = 0; i < 5; i++)
                do_anything(&here, &rng, 6000);
            set_time(here.keyspace->now_ms + 1);
            if (++steps % 16 == 0)
                copy_check(&here);
            ledger_clear_effects(ledger());
        }
        cr_assert_gt(steps, 10);
        cr_assert(ledger()->is_walked);
        copy_check(&here);
    }
}

Test(ledger, a_walk_that_a_flush_or_a_swap_interrupts_comes_to_the_right_end) {
    struct rng rng;
    rng_init(&rng, 7);
    for (unsigned i = 0; i < 4000; i++)
        do_anything(&here, &rng, 4000);
    ledger_begin_walk(here.keyspace);
    cr_assert_neq(ledger_walk_step(here.keyspace, 300), 0);
    keyspace_swap(here.keyspace, 0, 1);
    copy_check(&here);
    do_anything(&here, &rng, 4000);
    keyspace_swap(here.keyspace, 1, 0);
    cr_assert_neq(ledger_walk_step(here.keyspace, 300), 0);
    copy_check(&here);
    keyspace_flush(here.keyspace, 0);
    copy_check(&here);
    do_anything(&here, &rng, 4000);
    while (ledger_walk_step(here.keyspace, 300) != 0)
        continue;
    copy_check(&here);
}

/* ---- Effects ---- */

static struct effect *only_effect(enum effect_kind kind, const char *key) {
    cr_assert_eq(ledger()->effect_count, 1, "%u effects", ledger()->effect_count);
    struct effect *effect = &ledger()->effects[0];
    cr_assert_eq(effect->kind, kind);
    cr_assert(effect->key.size == strlen(key) && memcmp(effect->key.data, key, effect->key.size) == 0);
    cr_assert_eq(effect->key.slot, slot_of(key));
    if (kind != EFFECT_EXPIRED) {
        cr_assert_eq(effect->record, copy_find(&here, key));
        cr_assert_eq(effect->counter, effect->record->counter);
    }
    return effect;
}

Test(ledger, every_write_is_noted) {
    copy_put(&here, "a", "1", EXPIRY_NONE);
    only_effect(EFFECT_WRITE, "a");
    ledger_clear_effects(ledger());
    copy_put(&here, "a", "2", EXPIRY_NONE); /* in place */
    only_effect(EFFECT_WRITE, "a");
    ledger_clear_effects(ledger());
    copy_delete(&here, "a");
    cr_assert_eq(record_type(only_effect(EFFECT_WRITE, "a")->record), RECORD_TOMBSTONE);
    ledger_clear_effects(ledger());
    struct argument key = key_of("a");
    struct entry entry;
    cr_assert_not_null(keyspace_create(here.keyspace, 0, &key, 5, ENCODING_RAW));
    only_effect(EFFECT_WRITE, "a");
    ledger_clear_effects(ledger());
    keyspace_lookup(here.keyspace, 0, &key, LOOKUP_WRITE, &entry);
    cr_assert_eq(ledger()->effect_count, 0, "a look-up changes nothing");
    cr_assert_not_null(keyspace_edit(here.keyspace, 0, &key, &entry, 50, ENCODING_RAW));
    keyspace_note_range(here.keyspace, 40, 10);
    only_effect(EFFECT_WRITE, "a"); /* too short for a patch */
    ledger_clear_effects(ledger());
    keyspace_lookup(here.keyspace, 0, &key, LOOKUP_WRITE, &entry);
    cr_assert(keyspace_set_expiry(here.keyspace, 0, &key, &entry, NOW_MS + 1));
    only_effect(EFFECT_WRITE, "a");
    ledger_clear_effects(ledger());
    here.keyspace->is_silent = true;
    cr_assert_not_null(keyspace_edit(here.keyspace, 0, &key, &entry, 90, ENCODING_RAW));
    here.keyspace->is_silent = false;
    only_effect(EFFECT_WRITE, "a"); /* to watchers it is none, but the copies need the room, too */
    ledger_clear_effects(ledger());
    struct argument pairs[] = {key_of("a"), key_of("x"), key_of("b"), key_of("y")};
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(keyspace_put_many(here.keyspace, 0, pairs, 2));
        cr_assert_eq(ledger()->effect_count, 2);
        ledger_clear_effects(ledger());
    }
    copy_put(&here, "a", "1", EXPIRY_NONE);
    copy_put(&here, "a", "a longer one than that", EXPIRY_NONE);
    only_effect(EFFECT_WRITE, "a"); /* two writes in a row are told at once */
    struct value value = {.data = (const uint8_t *)"v", .size = 1, .expiry_ms = EXPIRY_NONE};
    ledger_clear_effects(ledger());
    cr_assert(keyspace_put(here.keyspace, 1, &key, &value));
    cr_assert_eq(ledger()->effect_count, 0, "only database 0 is shared");
}

Test(ledger, what_comes_from_others_is_not_noted) {
    copy_open(&there, 2);
    copy_put(&there, "a", "1", EXPIRY_NONE);
    struct argument key = key_of("a");
    cr_assert(fetch(&there, &here, &key));
    cr_assert_eq(ledger()->effect_count, 0);
    struct record_parts parts = {
        .key_size = 1, .expiry_ms = RECORD_NO_EXPIRY, .newest = {.counter = 9, .actor = 1}};
    struct argument other = key_of("b");
    parts.key = other.data;
    cr_assert_eq(keyspace_load(here.keyspace, 0, &other, &parts), LOAD_ADDED);
    cr_assert_eq(ledger()->effect_count, 0);
    copy_close(&there);
}

static uint8_t *edit(const char *name, uint32_t size) {
    struct argument key = {
        .data = (const uint8_t *)name, .size = (uint32_t)strlen(name), .slot = ARGUMENT_NOT_PLACED};
    struct entry entry;
    keyspace_lookup(here.keyspace, 0, &key, LOOKUP_WRITE, &entry);
    return keyspace_edit(here.keyspace, 0, &key, &entry, size, ENCODING_RAW);
}

Test(ledger, a_part_of_a_long_value_is_noted_as_a_patch) {
    copy_put_long(&here, "a", 2000, 1);
    uint64_t base = copy_find(&here, "a")->counter;
    ledger_clear_effects(ledger());
    cr_assert_not_null(edit("a", 2000));
    only_effect(EFFECT_WRITE, "a"); /* until a range is named */
    keyspace_note_range(here.keyspace, 100, 5);
    struct effect *effect = only_effect(EFFECT_PATCH, "a");
    cr_assert(effect->offset == 100 && effect->size == 5 && effect->base_counter == base);
    /* A second range of the same command, and a second command. */
    keyspace_note_range(here.keyspace, 90, 3);
    cr_assert(effect->offset == 90 && effect->size == 15);
    cr_assert_not_null(edit("a", 2100));
    keyspace_note_range(here.keyspace, 2000, 100);
    effect = only_effect(EFFECT_PATCH, "a");
    cr_assert(effect->offset == 90 && effect->size == 2010 && effect->base_counter == base);
    cr_assert_not_null(edit("a", 2100));
    only_effect(EFFECT_WRITE, "a"); /* that one named none */
    ledger_clear_effects(ledger());
    struct argument key = key_of("a");
    struct entry entry;
    for (unsigned i = 0; i < 2; i++) { /* copied, and in place */
        keyspace_lookup(here.keyspace, 0, &key, LOOKUP_WRITE, &entry);
        base = entry.record->counter;
        cr_assert(keyspace_set_expiry(here.keyspace, 0, &key, &entry, NOW_MS + 1000 + i));
        effect = only_effect(EFFECT_PATCH, "a");
        cr_assert(effect->size == 0 && effect->base_counter == base);
        ledger_clear_effects(ledger());
    }
    copy_put_long(&here, "a", 2000, 3);
    keyspace_note_range(here.keyspace, 1, 1);
    only_effect(EFFECT_WRITE, "a"); /* that was no edit */
    cr_assert_not_null(edit("a", 2000));
    keyspace_note_range(here.keyspace, 1, 1);
    only_effect(EFFECT_WRITE, "a"); /* a part of a value that is to be told anyway */
}

Test(ledger, a_patch_over_another_nodes_version_has_no_base_of_ours) {
    copy_open(&there, 2);
    copy_put_long(&there, "a", 2000, 1);
    struct argument key = key_of("a");
    cr_assert(fetch(&there, &here, &key));
    cr_assert_not_null(edit("a", 2000));
    keyspace_note_range(here.keyspace, 0, 1);
    cr_assert_eq(only_effect(EFFECT_PATCH, "a")->base_counter, 0);
    ledger_clear_effects(ledger());
    uint64_t base = copy_find(&here, "a")->counter;
    cr_assert_not_null(edit("a", 2000));
    keyspace_note_range(here.keyspace, 0, 1);
    cr_assert_eq(only_effect(EFFECT_PATCH, "a")->base_counter, base);
    copy_close(&there);
}

Test(ledger, a_reclaimed_key_is_noted_with_its_version) {
    char key[32];
    for (unsigned i = 0; i < 400; i++) {
        snprintf(key, sizeof key, "key number %u", i);
        copy_put(&here, key, "x", NOW_MS + 10);
    }
    uint64_t counter = copy_find(&here, "key number 0")->counter;
    ledger_clear_effects(ledger());
    set_time(NOW_MS + 11);
    copy_holds(&here, "key number 0", NULL);
    struct effect *effect = only_effect(EFFECT_EXPIRED, "key number 0");
    struct version version;
    ledger_effect_version(ledger(), effect, &version);
    cr_assert(version.count == 1 && version.dots[0].counter == counter);
    set_time(NOW_MS + 2000);
    while (keyspace_expire_step(here.keyspace, 1000) != 0)
        continue;
    cr_assert_eq(ledger()->effect_count, 400);
    for (unsigned i = 0; i < 400; i++) {
        effect = &ledger()->effects[i];
        cr_assert_eq(effect->kind, EFFECT_EXPIRED);
        cr_assert_eq(memcmp(effect->key.data, "key number ", 11), 0);
        struct argument again = {
            .data = effect->key.data, .size = effect->key.size, .slot = ARGUMENT_NOT_PLACED};
        keyspace_place(here.keyspace, &again);
        cr_assert(again.hash == effect->key.hash && again.slot == effect->key.slot);
        ledger_effect_version(ledger(), effect, &version);
        cr_assert(version.count == 1 && version.dots[0].actor == ACTOR_SELF);
    }
    cr_assert_eq(keyspace_size(here.keyspace, 0), 0);
}

Test(ledger, what_another_node_coordinates_is_hidden_first_and_reclaimed_later) {
    copy_put(&here, "a", "x", NOW_MS + 10);
    ledger()->notes[slot_of("a")] = 0;
    ledger_clear_effects(ledger());
    set_time(NOW_MS + 1000);
    copy_holds(&here, "a", NULL);
    cr_assert_not_null(copy_find(&here, "a"));
    cr_assert_null(keyspace_random(here.keyspace, 0));
    for (unsigned i = 0; i < 3; i++) {
        uint64_t units = 0;
        for (uint32_t spent; (spent = keyspace_expire_step(here.keyspace, 100)) != 0;)
            units += spent;
        cr_assert_leq(units, SLOT_COUNT / 16, "nothing is walked that may not be reclaimed yet");
        if (i > 0)
            cr_assert_leq(units, SLOT_COUNT / EXPIRE_GROUP / 16,
                          "nor are the slots beside it looked at again");
    }
    set_time(NOW_MS + 10 + LEDGER_EXPIRY_GRACE_MS);
    while (keyspace_expire_step(here.keyspace, 100) != 0)
        continue;
    cr_assert_not_null(copy_find(&here, "a"));
    set_time(NOW_MS + 1000 + LEDGER_EXPIRY_GRACE_MS);
    while (keyspace_expire_step(here.keyspace, 100) != 0)
        continue;
    cr_assert_null(copy_find(&here, "a"));
    cr_assert_eq(ledger()->effect_count, 0, "this copy does it in silence");
    /* A write over it is a write like any other. */
    copy_put(&here, "a", "x", here.keyspace->now_ms - 5);
    ledger_clear_effects(ledger());
    copy_put(&here, "a", "y", EXPIRY_KEEP);
    only_effect(EFFECT_WRITE, "a");
    copy_holds(&here, "a", "y");
}

Test(ledger, an_expired_key_is_reclaimed_as_soon_as_this_node_coordinates_its_slot) {
    copy_put(&here, "a", "x", NOW_MS + 10);
    ledger()->notes[slot_of("a")] = 0;
    set_time(NOW_MS + 3000);
    while (keyspace_expire_step(here.keyspace, 100) != 0)
        continue;
    cr_assert_not_null(copy_find(&here, "a"));
    ledger()->notes[slot_of("a")] = SLOT_COORDINATED;
    keyspace_expire_anew(here.keyspace);
    while (keyspace_expire_step(here.keyspace, 100) != 0)
        continue;
    cr_assert_null(copy_find(&here, "a"));
}

Test(ledger, effects_bring_another_copy_to_the_same_state) {
    struct copy third, *everybody[] = {&here, &there, &third};
    copy_open(&there, 2);
    copy_open(&third, 3);
    struct rng rng;
    rng_init(&rng, 8);
    unsigned patches = 0;
    for (unsigned i = 0; i < 6000; i++) {
        unsigned who = (unsigned)rng_below(&rng, 3); /* whoever: they take turns, so nothing is concurrent */
        for (unsigned node = 0; node < 3; node++)
            keyspace_set_time(everybody[node]->keyspace, NOW_MS + i * 10);
        struct copy *others[] = {everybody[(who + 1) % 3], everybody[(who + 2) % 3]};
        unsigned commands = rng_below(&rng, 8) == 0 ? 6 : 1;
        for (unsigned command = 0; command < commands; command++)
            do_anything(everybody[who], &rng, 60);
        const struct ledger *of = everybody[who]->keyspace->ledger;
        for (uint32_t e = 0; e < of->effect_count; e++)
            patches += of->effects[e].kind == EFFECT_PATCH;
        tell(everybody[who], others, 2);
        if (i % 500 == 0)
            copies_agree(&here, &there);
    }
    cr_assert_gt(patches, 100);
    copies_agree(&here, &there);
    copies_agree(&here, &third);
    copy_check(&there);
    copy_close(&there);
    copy_close(&third);
}

Test(ledger, an_effect_that_finds_no_memory_is_told) {
    static char names[200][16];
    for (unsigned i = 0; i < 16; i++) { /* as many as the first list holds */
        snprintf(names[i], sizeof names[i], "k%u", i);
        copy_put(&here, names[i], "x", EXPIRY_NONE);
    }
    cr_assert_not(ledger()->has_lost);
    here.mem.fuse = 1;
    here.mem.fuse_stays_blown = true;
    copy_put(&here, "k3", "y", EXPIRY_NONE); /* in place */
    here.mem.fuse = 0;
    here.mem.fuse_stays_blown = false;
    cr_assert(ledger()->has_lost);
    cr_assert_eq(ledger()->effect_count, 16);
    copy_holds(&here, "k3", "y");
}

Test(ledger, a_very_long_list_gives_its_memory_back) {
    static char names[5000][16];
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(names[i], sizeof names[i], "k%u", i);
        copy_put(&here, names[i], "x", EXPIRY_NONE);
    }
    cr_assert_eq(ledger()->effect_count, 5000);
    ledger_clear_effects(ledger());
    cr_assert_eq(ledger()->effect_capacity, 0);
    copy_put(&here, "a", "x", EXPIRY_NONE);
    only_effect(EFFECT_WRITE, "a");
}

Test(ledger, nothing_is_noted_while_alone) {
    keyspace_set_alone(here.keyspace, true);
    copy_put_long(&here, "a", 2000, 1);
    cr_assert_not_null(edit("a", 2000));
    keyspace_note_range(here.keyspace, 1, 1);
    copy_delete(&here, "a");
    cr_assert_null(copy_find(&here, "a"));
    cr_assert_eq(ledger()->effect_count, 0);
    cr_assert_eq(ledger()->digests[slot_of("a")], 0);
}

/* ---- Checkpoints ---- */

static void in_company(struct stage *stage) {
    cr_assert(ledger_attach(stage->keyspace));
    stage->keyspace->is_alone = false;
}

static void delete_from(struct stage *stage, const char *name) {
    struct argument key = key_of(name);
    struct entry entry;
    cr_assert_not_null(keyspace_lookup(stage->keyspace, 0, &key, LOOKUP_PEEK, &entry));
    keyspace_remove(stage->keyspace, 0, &key, &entry, REMOVE_DELETED);
}

Test(ledger_checkpoint, tombstones_are_saved_and_come_back) {
    static char long_name[100001];
    static uint8_t bytes[300000];
    struct stage stage;
    stage_open(&stage);
    in_company(&stage);
    memset(long_name, 'n', sizeof long_name - 1);
    stage_put(&stage, 0, "kept", "x", 1, EXPIRY_NONE);
    stage_put(&stage, 0, "short", "x", 1, EXPIRY_NONE);
    stage_put(&stage, 0, "long", bytes, sizeof bytes, EXPIRY_NONE);
    stage_put(&stage, 0, long_name, "x", 1, EXPIRY_NONE);
    delete_from(&stage, "short");
    delete_from(&stage, long_name);
    stage.mem.fuse = 1; /* its tombstone goes on to hold the value's memory */
    delete_from(&stage, "long");
    struct argument key = key_of("long");
    const uint64_t counter = keyspace_find_record(stage.keyspace, &key)->counter;
    cr_assert_gt(record_size(keyspace_find_record(stage.keyspace, &key)), 200000);
    cr_assert_eq(stage_save(&stage).keys_total, 4);
    stage_restart(&stage);
    in_company(&stage);
    stage_load(&stage, true, false);
    cr_assert_eq(keyspace_size(stage.keyspace, 0), 1);
    const char *const names[] = {"short", "long", long_name};
    for (unsigned i = 0; i < 3; i++) {
        key = key_of(names[i]);
        const struct record *record = keyspace_find_record(stage.keyspace, &key);
        cr_assert_not_null(record);
        cr_assert_eq(record_type(record), RECORD_TOMBSTONE);
        cr_assert_lt(record_size(record), 100100);
        cr_assert_eq(stage.keyspace->ledger->tombstones[key.slot], 1);
    }
    key = key_of("long");
    cr_assert_eq(keyspace_find_record(stage.keyspace, &key)->counter, counter);
    /* Without a ledger there will never be anybody who needs them. */
    stage_restart(&stage);
    stage_load(&stage, true, false);
    cr_assert_null(keyspace_find_record(stage.keyspace, &key));
    cr_assert_eq(keyspace_size(stage.keyspace, 0), 1);
    stage_close(&stage);
}

Test(ledger_checkpoint, tombstones_that_are_loaded_before_anybody_is_met_are_there_when_somebody_is) {
    for (int is_met = 0; is_met < 2; is_met++) {
        struct stage stage;
        stage_open(&stage);
        in_company(&stage);
        stage_put(&stage, 0, "kept", "x", 1, EXPIRY_NONE);
        stage_put(&stage, 0, "gone", "x", 1, EXPIRY_NONE);
        delete_from(&stage, "gone");
        cr_assert_eq(stage_save(&stage).keys_total, 2);
        stage_restart(&stage);
        cr_assert(ledger_attach(stage.keyspace)); /* and still alone */
        stage_load(&stage, true, false);
        struct argument key = key_of("gone");
        cr_assert_eq(record_type(keyspace_find_record(stage.keyspace, &key)), RECORD_TOMBSTONE);
        cr_assert_eq(keyspace_size(stage.keyspace, 0), 1);
        if (is_met)
            keyspace_set_alone(stage.keyspace, false);
        while (ledger_walk_step(stage.keyspace, 100) != 0)
            continue;
        cr_assert_eq(keyspace_find_record(stage.keyspace, &key) != NULL, is_met);
        cr_assert_eq(stage.keyspace->ledger->tombstones[key.slot], (uint32_t)is_met);
        cr_assert_eq(keyspace_size(stage.keyspace, 0), 1);
        stage_close(&stage);
    }
}

Test(ledger, a_stub_of_the_very_version_takes_the_place_of_the_value_that_is_still_there) {
    struct keyspace *keyspace = here.keyspace;
    struct argument key = {.data = (const uint8_t *)"a", .size = 1, .slot = ARGUMENT_NOT_PLACED};
    struct actor_identity peer = {.node_id = {9}, .incarnation = 1};
    uint16_t actor = actors_intern(&keyspace->actors, &peer);
    struct record_parts parts = {.key = key.data,
                                 .key_size = 1,
                                 .value = (const uint8_t *)"v",
                                 .value_size = 1,
                                 .expiry_ms = keyspace->now_ms + 5000,
                                 .newest = {.counter = (uint64_t)keyspace->now_ms << 16, .actor = actor},
                                 .type = RECORD_STRING};
    bool has_changed;
    cr_assert(keyspace_merge(keyspace, 0, &key, &parts, &has_changed) && has_changed);
    parts.value = NULL;
    parts.value_size = 0;
    parts.expiry_ms = RECORD_NO_EXPIRY;
    parts.type = RECORD_TOMBSTONE;
    cr_assert(keyspace_merge(keyspace, 0, &key, &parts, &has_changed) && has_changed);
    struct record *record = keyspace_find_record(keyspace, &key);
    cr_assert(record != NULL && record_type(record) == RECORD_TOMBSTONE);
    cr_assert(keyspace_merge(keyspace, 0, &key, &parts, &has_changed) && !has_changed);
}

/* Another node's, which a copy that had missed its stub takes for expired in the end, long after the others. */
Test(ledger, a_key_that_expires_below_its_floor_leaves_no_stub) {
    struct keyspace *keyspace = here.keyspace;
    for (unsigned is_below = 0; is_below < 2; is_below++) {
        struct argument key = {
            .data = (const uint8_t *)(is_below ? "b" : "a"), .size = 1, .slot = ARGUMENT_NOT_PLACED};
        struct value value = {.data = (const uint8_t *)"v", .size = 1, .expiry_ms = keyspace->now_ms + 10};
        struct entry entry;
        cr_assert(keyspace_put(keyspace, 0, &key, &value));
        uint64_t digest = keyspace->ledger->digests[key.slot];
        slot_set_add(&keyspace->ledger->stubs, key.slot);
        if (is_below)
            cr_assert(floors_raise(keyspace, key.slot, key.slot, keyspace->counter + FLOOR_STEP));
        keyspace_set_time(keyspace, keyspace->now_ms + 20);
        (void)keyspace_lookup(keyspace, 0, &key, LOOKUP_PEEK, &entry);
        const struct record *record = keyspace_find_record(keyspace, &key);
        cr_assert_eq(record != NULL && record_type(record) == RECORD_TOMBSTONE, !is_below);
        cr_assert_eq(keyspace->ledger->digests[key.slot] == digest, !is_below);
    }
}
