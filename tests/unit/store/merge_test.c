/* merge_test.c - counters and siblings in keyspaces that hold copies of each other: what writes make of them, and merges.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "checkpoint_stage.h"
#include "company.h"

#include <stdio.h>
#include <stdlib.h>

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

TestSuite(merge, .init = open_both, .fini = close_both);

/* Both have heard of each other, and agree. */
static void heal(const char *name) {
    (void)bring(&here, &there, name);
    (void)bring(&there, &here, name);
    copies_agree(&here, &there);
}

static void both_at(int64_t now_ms) {
    keyspace_set_time(here.keyspace, now_ms);
    keyspace_set_time(there.keyspace, now_ms);
}

static void blow(bool is_blown) {
    here.mem.fuse = is_blown;
    here.mem.fuse_stays_blown = is_blown;
}

static uint32_t state_size(struct copy *copy, const char *name) {
    return record_state_size(copy_find(copy, name));
}

static bool keeps_all(const void *context, const uint8_t *key, uint32_t key_size) {
    (void)context;
    return key_size != 0 && key[0] == 's';
}

static void keep_siblings(void) {
    here.keyspace->keeps_siblings = there.keyspace->keeps_siblings = keeps_all;
}

static unsigned siblings(struct copy *copy, const char *name, const char *first) {
    uint32_t size;
    const uint8_t *state = record_state(copy_find(copy, name), &size);
    unsigned count = 0;
    size_t at = 0;
    struct sibling sibling;
    while (state != NULL && merge_state_next_sibling(state, size, &at, &sibling))
        if (count++ == 0 && first != NULL)
            cr_assert(sibling.size == strlen(first) && memcmp(sibling.value, first, sibling.size) == 0);
    return count;
}

/* ---- Counters ---- */

Test(merge, concurrent_additions_add_up) {
    copy_put(&here, "a", "10", EXPIRY_NONE);
    heal("a");
    copy_add(&here, "a", 5);
    copy_add(&here, "a", 5);
    copy_add(&there, "a", -7);
    copy_add_real(&there, "a", 0.25L);
    copy_holds(&here, "a", "20");
    copy_holds(&there, "a", "3.25");
    heal("a");
    copy_holds(&here, "a", "13.25");
    copy_add_real(&here, "a", 0.75L);
    copy_add_real(&there, "a", 1);
    heal("a");
    copy_holds(&here, "a", "15");
    cr_assert_not(bring(&there, &here, "a"), "it is the same");
}

Test(merge, concurrent_additions_to_an_absent_key_add_up) {
    copy_add(&here, "a", 1);
    copy_add(&there, "a", 1);
    heal("a");
    copy_holds(&here, "a", "2");
    copy_put(&here, "gone", "100", EXPIRY_NONE);
    heal("gone");
    copy_delete(&here, "gone");
    heal("gone");
    copy_add(&here, "gone", 3);
    copy_add(&there, "gone", 4);
    heal("gone");
    copy_holds(&here, "gone", "7");
}

Test(merge, of_a_plain_write_and_a_concurrent_addition_both_count) {
    copy_put(&here, "a", "10", EXPIRY_NONE);
    heal("a");
    both_at(NOW_MS + 1);
    copy_add(&there, "a", 5);
    both_at(NOW_MS + 2);
    copy_put(&here, "a", "100", EXPIRY_NONE);
    heal("a");
    copy_holds(&here, "a", "105");
    copy_add(&there, "a", 1);
    both_at(NOW_MS + 3);
    copy_delete(&here, "a");
    heal("a");
    copy_holds(&here, "a", "6"); /* the part whose end was not seen stays whole */
    copy_put(&here, "a", "7", EXPIRY_NONE);
    heal("a");
    copy_holds(&there, "a", "7");
    cr_assert_eq(state_size(&there, "a"), 0);
}

Test(merge, a_repeated_addition_changes_the_counter_in_its_place) {
    copy_put(&here, "a", "10", NOW_MS + 1000);
    copy_add(&here, "a", 1);
    struct record *record = copy_find(&here, "a");
    ledger_clear_effects(here.keyspace->ledger);
    uint64_t changes = here.keyspace->counters.changes, counter = record->counter;
    uint32_t size = state_size(&here, "a");
    for (unsigned i = 0; i < 80; i++) {
        cr_assert(copy_add(&here, "a", 1));
        blow(true); /* but for the list of effects, that has room now */
    }
    blow(false);
    cr_assert_eq(copy_find(&here, "a"), record);
    cr_assert_gt(record->counter, counter);
    cr_assert_eq(state_size(&here, "a"), size);
    cr_assert_eq(here.keyspace->counters.changes, changes + 80);
    cr_assert_eq(record_expiry_ms(record), NOW_MS + 1000);
    copy_holds(&here, "a", "91");
    copy_check(&here);
    const struct ledger *ledger = here.keyspace->ledger;
    cr_assert(ledger->effect_count == 1 && ledger->effects[0].kind == EFFECT_WRITE && !ledger->has_lost);
    copy_add(&here, "a", 1000000);
    copy_add(&there, "a", 9);
    heal("a");
    copy_holds(&there, "a", "1000100");
}

Test(merge, a_counter_longer_than_a_short_value_is_one_still) {
    char digits[301];
    memset(digits, '9', 300);
    digits[300] = '\0';
    copy_put(&here, "a", "1", EXPIRY_NONE);
    copy_add_real(&here, "a", 1e300L);
    cr_assert_gt(record_value_size(copy_find(&here, "a")), RECORD_SMALL_MAX);
    copy_add_real(&there, "a", -1e300L);
    cr_assert_gt(record_value_size(copy_find(&there, "a")), RECORD_SMALL_MAX);
    heal("a");
    cr_assert_leq(record_value_size(copy_find(&here, "a")), 2);
    copy_add(&here, "a", 4);
    heal("a");
}

Test(merge, a_plain_write_ends_a_counter) {
    static const char *const names[] = {"put", "edit", "delete", "many"};
    for (unsigned i = 0; i < 4; i++) {
        struct argument key = key_of(names[i]), pair[2] = {key, key_of("1")};
        struct entry entry;
        copy_add(&here, names[i], 1);
        cr_assert_gt(state_size(&here, names[i]), 0);
        if (i == 0)
            copy_put(&here, names[i], "1", EXPIRY_KEEP);
        else if (i == 1 && keyspace_lookup(here.keyspace, 0, &key, LOOKUP_WRITE, &entry) != NULL)
            cr_assert_not_null(keyspace_edit(here.keyspace, 0, &key, &entry, 1, ENCODING_RAW));
        else if (i == 2)
            copy_delete(&here, names[i]);
        else if (i == 3)
            cr_assert(keyspace_put_many(here.keyspace, 0, pair, 1));
        cr_assert_eq(state_size(&here, names[i]), 0, "%s", names[i]);
        cr_assert_not(record_has_others(copy_find(&here, names[i])));
    }
}

Test(merge, an_expiry_leaves_a_counter_what_it_is) {
    copy_put(&here, "a", "10", EXPIRY_NONE);
    heal("a");
    copy_add(&here, "a", 1);
    copy_add(&there, "a", 2);
    cr_assert(copy_expire(&here, "a", NOW_MS + 1000));
    cr_assert_gt(state_size(&here, "a"), 0);
    copy_add(&here, "a", 10);
    cr_assert_eq(record_expiry_ms(copy_find(&here, "a")), NOW_MS + 1000);
    heal("a");
    copy_holds(&here, "a", "23");
    cr_assert(copy_expire(&here, "a", NOW_MS + 2000));
    cr_assert(copy_expire(&here, "a", EXPIRY_NONE));
    copy_add(&there, "a", 100);
    heal("a");
    copy_holds(&there, "a", "123");
    cr_assert_eq(here.keyspace->databases[0]->expiring,
                 record_expiry_ms(copy_find(&here, "a")) != RECORD_NO_EXPIRY);
}

Test(merge, a_counter_whose_time_has_come_counts_for_nothing) {
    copy_put(&here, "a", "10", NOW_MS + 1000);
    copy_add(&here, "a", 1);
    heal("a");
    here.keyspace->expiry_is_paused = true;
    both_at(NOW_MS + 2000);
    copy_add(&here, "a", 3);
    copy_holds(&here, "a", "3");
    cr_assert_eq(record_expiry_ms(copy_find(&here, "a")), RECORD_NO_EXPIRY);
    heal("a");
    copy_holds(&there, "a", "3");
}

Test(merge, who_is_alone_makes_no_counters_and_ends_those_that_are_there) {
    static const char *const names[] = {"put", "edit", "expire", "add"};
    for (unsigned i = 0; i < 4; i++)
        copy_add(&here, names[i], 41);
    keyspace_set_alone(here.keyspace, true);
    struct argument key = key_of("edit");
    struct entry entry;
    copy_put(&here, "put", "42", EXPIRY_NONE);
    cr_assert_not_null(keyspace_lookup(here.keyspace, 0, &key, LOOKUP_WRITE, &entry));
    memcpy(keyspace_edit(here.keyspace, 0, &key, &entry, 2, ENCODING_RAW), "42", 2);
    copy_expire(&here, "expire", NOW_MS + 5);
    copy_add(&here, "add", 1);
    copy_add(&here, "new", 1);
    copy_holds(&here, "put", "42");
    copy_holds(&here, "edit", "42");
    copy_holds(&here, "expire", "41");
    copy_holds(&here, "add", "42");
    copy_holds(&here, "new", "1");
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(state_size(&here, names[i]), 0, "%s", names[i]);
    cr_assert_eq(state_size(&here, "new"), 0);
}

Test(merge, only_the_shared_database_has_counters) {
    for (unsigned i = 0; i < 2; i++) {
        struct argument key = key_of("a");
        struct amount amount = {.integer = 1};
        struct entry entry;
        (void)keyspace_lookup(here.keyspace, 3, &key, LOOKUP_WRITE, &entry);
        cr_assert(keyspace_add(here.keyspace, 3, &key, &entry, &amount, (const uint8_t *)(i == 0 ? "1" : "2"),
                               1, ENCODING_NATURAL));
        cr_assert_eq(record_state_size(entry.record), 0);
        cr_assert_eq(*record_value(entry.record), '1' + i);
    }
}

/* ---- Siblings ---- */

Test(merge, a_concurrent_value_that_loses_stays_as_sibling_until_a_write_has_seen_it) {
    keep_siblings();
    copy_put(&here, "s", "here", EXPIRY_NONE);
    both_at(NOW_MS + 1);
    copy_put(&there, "s", "there", EXPIRY_NONE);
    heal("s");
    copy_holds(&here, "s", "there");
    cr_assert_eq(siblings(&here, "s", "here"), 1);
    cr_assert_eq(siblings(&there, "s", "here"), 1);
    cr_assert(copy_expire(&there, "s", NOW_MS + 5000));
    heal("s");
    cr_assert_eq(siblings(&here, "s", "here"), 1);
    copy_put(&here, "s", "both", EXPIRY_NONE);
    heal("s");
    cr_assert_eq(siblings(&there, "s", NULL), 0);
    cr_assert_eq(state_size(&there, "s"), 0);
    copy_put(&here, "other", "here", EXPIRY_NONE);
    copy_put(&there, "other", "there", EXPIRY_NONE);
    heal("other");
    cr_assert_eq(state_size(&here, "other"), 0, "not every key keeps them");
}

Test(merge, a_deletion_that_wins_has_siblings) {
    keep_siblings();
    copy_put(&here, "s", "1", EXPIRY_NONE);
    heal("s");
    copy_put(&here, "s", "2", EXPIRY_NONE);
    both_at(NOW_MS + 1);
    copy_delete(&there, "s");
    heal("s");
    copy_holds(&here, "s", NULL);
    cr_assert_eq(siblings(&here, "s", "2"), 1);
    cr_assert_eq(keyspace_size(here.keyspace, 0), 0);
    copy_check(&here);
    copy_put(&here, "s", "3", EXPIRY_NONE);
    cr_assert_eq(state_size(&here, "s"), 0);
    heal("s");
}

Test(merge, a_patch_does_away_with_siblings) {
    keep_siblings();
    struct copy *other = &there;
    copy_put_long(&here, "s", 5000, 'x');
    copy_put_long(&there, "s", 5000, 'y');
    heal("s");
    cr_assert_eq(siblings(&here, "s", NULL), 1);
    ledger_clear_effects(here.keyspace->ledger);
    struct argument key = key_of("s");
    struct entry entry;
    cr_assert_not_null(keyspace_lookup(here.keyspace, 0, &key, LOOKUP_WRITE, &entry));
    memcpy(keyspace_edit(here.keyspace, 0, &key, &entry, 5000, ENCODING_RAW) + 7, "z", 1);
    keyspace_note_range(here.keyspace, 7, 1);
    cr_assert_eq(here.keyspace->ledger->effects[0].kind, EFFECT_PATCH);
    tell(&here, &other, 1);
    copies_agree(&here, &there);
    cr_assert_eq(state_size(&there, "s"), 0);
    cr_assert_eq(record_value(copy_find(&there, "s"))[7], 'z');
}

/* ---- Any order, no memory, images ---- */

static void do_anything(struct copy *copy, const char *name, struct rng *rng) {
    switch (rng_below(rng, 8)) {
    case 0: copy_put(copy, name, rng_below(rng, 2) ? "7" : "-12345678901", EXPIRY_NONE); break;
    case 1: copy_delete(copy, name); break;
    case 2:
        if (copy_get(copy, name) != NULL)
            copy_expire(copy, name, rng_below(rng, 2) ? EXPIRY_NONE : NOW_MS * 2);
        break;
    default: copy_add(copy, name, (int64_t)rng_below(rng, 2000) - 1000);
    }
}

Test(merge, whatever_the_order_all_copies_become_the_same) {
    struct rng rng;
    rng_init(&rng, 5);
    keep_siblings();
    struct copy third, *everybody[] = {&here, &there, &third};
    copy_open(&third, 7);
    third.keyspace->keeps_siblings = keeps_all;
    for (unsigned round = 0; round < 300; round++) {
        static char names[12][16];
        for (unsigned i = 0; i < 60; i++) {
            struct copy *copy = everybody[rng_below(&rng, 3)];
            unsigned number = (unsigned)rng_below(&rng, 12);
            snprintf(names[number], sizeof *names, number % 3 == 0 ? "s%u" : "k%u", number);
            do_anything(copy, names[number], &rng);
            if (rng_below(&rng, 2))
                bring(copy, everybody[rng_below(&rng, 3)], names[number]);
        }
        copies_meet(everybody, 3, names, 12);
        for (unsigned i = 0; i < 3; i++)
            keyspace_set_time(everybody[i]->keyspace, NOW_MS + round);
    }
    copy_check(&third);
    copy_close(&third);
}

Test(merge, no_addition_is_lost_and_none_counts_twice) {
    struct rng rng;
    rng_init(&rng, 6);
    struct copy third, *everybody[] = {&here, &there, &third};
    copy_open(&third, 7);
    int64_t sum = 0;
    for (unsigned i = 0; i < 3000; i++) {
        struct copy *copy = everybody[rng_below(&rng, 3)];
        int64_t by = (int64_t)rng_below(&rng, 100000) - 50000;
        cr_assert(copy_add(copy, "a", by));
        sum += by;
        if (rng_below(&rng, 3) == 0)
            bring(copy, everybody[rng_below(&rng, 3)], "a");
        ledger_clear_effects(copy->keyspace->ledger);
    }
    bring(&there, &here, "a");
    bring(&third, &here, "a");
    char digits[32];
    snprintf(digits, sizeof digits, "%lld", (long long)sum);
    copy_holds(&here, "a", digits);
    copy_check(&third);
    copy_close(&third);
}

Test(merge, nothing_is_half_done_whichever_allocation_fails) {
    struct rng rng;
    rng_init(&rng, 12);
    keep_siblings();
    unsigned failed = 0;
    for (unsigned i = 0; i < 6000; i++) {
        const char *name = i % 2 ? "k" : "s";
        struct argument key = key_of(name);
        do_anything(&there, name, &rng);
        struct record *record = copy_find(&there, name), *before = copy_find(&here, name);
        if (record == NULL)
            continue;
        struct record_parts parts;
        struct dot dots[VERSION_DOTS_MAX], others[VERSION_DOTS_MAX];
        record_parts(record, &parts, dots);
        translate(&there, &here, &parts, others);
        uint8_t *image = before == NULL ? NULL : malloc(record_size(before));
        size_t size = before == NULL ? 0 : record_size(before);
        if (size != 0)
            memcpy(image, before, size);
        bool has_changed, is_done;
        here.mem.fuse = 1 + rng_below(&rng, 4);
        here.mem.fuse_stays_blown = rng_below(&rng, 2);
        if (rng_below(&rng, 2))
            is_done = keyspace_merge(here.keyspace, 0, &key, &parts, &has_changed);
        else
            is_done = copy_add(&here, name, (int64_t)rng_below(&rng, 5000));
        here.mem.fuse = 0;
        here.mem.fuse_stays_blown = false;
        if (!is_done) {
            failed++;
            cr_assert_eq(copy_find(&here, name), before);
            /* but for the time of the last access, which is that of the attempt */
            if (size != 0)
                cr_assert_arr_eq((uint8_t *)before + 4, image + 4, size - 4);
        }
        free(image);
        if (i % 16 == 0)
            copy_check(&here);
        if (i % 64 < 2) {
            (void)bring(&here, &there, name);
            (void)bring(&there, &here, name);
        }
        if (i % 64 == 1)
            copies_agree(&here, &there);
        ledger_clear_effects(here.keyspace->ledger);
        ledger_clear_effects(there.keyspace->ledger);
        here.keyspace->ledger->has_lost = false;
    }
    cr_assert_gt(failed, 500);
}

struct given {
    char value[16];
    uint8_t bytes[200000]; /* of a long record: key, state, value */
    uint32_t size, records, state_size;
};

static bool give_record(void *context, uint32_t database, const struct record *record) {
    struct given *given = context;
    (void)database;
    snprintf(given->value, sizeof given->value, "%.*s", (int)record_value_size(record),
             (const char *)record_value_const(record));
    given->records++;
    given->state_size = record_state_size(record);
    return true;
}

static bool give_long(void *context, uint32_t database, const struct record *record) {
    struct given *given = context;
    (void)database;
    given->size = 0;
    given->state_size = record_state_size(record);
    return true;
}

static bool give_part(void *context, const uint8_t *bytes, uint32_t size) {
    struct given *given = context;
    memcpy(given->bytes + given->size, bytes, size);
    given->size += size;
    return true;
}

Test(merge, an_image_has_a_counter_as_it_was) {
    static struct given given;
    struct image image;
    struct image_sink sink = {
        .context = &given, .record = give_record, .long_begin = give_long, .long_part = give_part};
    copy_add(&here, "a", 1);
    copy_add(&here, "a", 1);
    image_begin(&image, here.keyspace, &sink);
    copy_add(&here, "a", 1);
    copy_add(&here, "a", 1);
    copy_expire(&here, "a", NOW_MS + 1);
    while (image_step(&image, 100) == IMAGE_MORE)
        continue;
    image_end(&image);
    cr_assert_eq(given.records, 1);
    cr_assert_str_eq(given.value, "2");
    cr_assert_gt(given.state_size, 0);
    copy_holds(&here, "a", "4");
}

Test(merge, a_record_with_a_long_state_is_given_out_in_parts) {
    static struct given given;
    struct image image;
    struct image_sink sink = {
        .context = &given, .record = give_record, .long_begin = give_long, .long_part = give_part};
    keep_siblings();
    copy_put_long(&here, "s", 150000, 'x');
    both_at(NOW_MS + 1);
    copy_put(&there, "s", "small", EXPIRY_NONE);
    heal("s");
    cr_assert_not(copy_find(&here, "s")->flags & RECORD_LONG);
    image_begin(&image, here.keyspace, &sink);
    image_step(&image, 1);
    copy_put(&here, "s", "another", EXPIRY_NONE);
    while (image_step(&image, 100) == IMAGE_MORE)
        continue;
    image_end(&image);
    cr_assert_eq(given.records, 0);
    cr_assert_gt(given.state_size, 150000);
    cr_assert_eq(given.size, 1 + given.state_size + 5);
    cr_assert_eq(given.bytes[0], 's');
    cr_assert(merge_state_is_valid(given.bytes + 1, given.state_size, RECORD_STRING));
    cr_assert_eq(memcmp(given.bytes + 1 + given.state_size, "small", 5), 0);
}

/* ---- Checkpoints ---- */

static void in_company(struct stage *stage, uint8_t strangers) {
    cr_assert(ledger_attach(stage->keyspace));
    stage->keyspace->is_alone = false;
    stage->keyspace->keeps_siblings = keeps_all;
    for (uint8_t i = 0; i < strangers; i++) {
        struct actor_identity stranger = {.node_id = {9, i}, .incarnation = 1};
        cr_assert_neq(actors_intern(&stage->keyspace->actors, &stranger), ACTORS_NONE);
    }
}

/* A value of another node, later than all that is there. */
static void merge_foreign(struct stage *stage, const char *name, uint8_t fill, uint32_t size) {
    static uint8_t bytes[1 << 20];
    memset(bytes, fill, sizeof bytes);
    struct actor_identity foreign = {.node_id = {7, fill}, .incarnation = 3};
    struct argument key = key_of(name);
    struct record_parts parts = {.value = bytes,
                                 .value_size = size,
                                 .expiry_ms = RECORD_NO_EXPIRY,
                                 .type = size == 0 ? RECORD_TOMBSTONE : RECORD_STRING,
                                 .newest = {.counter = stage->keyspace->counter + 1,
                                            .actor = actors_intern(&stage->keyspace->actors, &foreign)}};
    bool has_changed;
    cr_assert(keyspace_merge(stage->keyspace, 0, &key, &parts, &has_changed) && has_changed);
}

static char long_name[100001];

/* Fills the stage with counters and siblings, short and long. */
static void fill_with_states(struct stage *stage, uint8_t *bytes) {
    static const char digits[] = "41";
    for (unsigned i = 0; i < 2; i++) {
        struct argument key = key_of("counter");
        struct entry entry;
        struct amount amount = {.integer = 1};
        (void)keyspace_lookup(stage->keyspace, 0, &key, LOOKUP_WRITE, &entry);
        if (i == 0)
            stage_put(stage, 0, "counter", "40", 2, EXPIRY_NONE);
        else
            cr_assert(keyspace_add(stage->keyspace, 0, &key, &entry, &amount, (const uint8_t *)digits, 2,
                                   ENCODING_NATURAL));
    }
    stage_put(stage, 0, "s1", "short", 5, EXPIRY_NONE);
    merge_foreign(stage, "s1", 'b', 9);
    stage_put(stage, 0, "s2", bytes, 300000, EXPIRY_NONE);
    merge_foreign(stage, "s2", 'b', 9);
    stage_put(stage, 0, "s3", bytes, 300000, EXPIRY_NONE);
    merge_foreign(stage, "s3", 'c', 0);
    stage_put(stage, 0, long_name, bytes, 200000, EXPIRY_NONE);
    merge_foreign(stage, long_name, 'd', 400000);
}

static void expect_sibling(struct stage *stage, const char *name, const void *bytes, uint32_t size) {
    struct argument key = key_of(name);
    struct record *record = keyspace_find_record(stage->keyspace, &key);
    cr_assert_not_null(record, "%.20s", name);
    uint32_t state_bytes;
    const uint8_t *state = record_state(record, &state_bytes);
    size_t at = 0;
    struct sibling sibling;
    cr_assert_not_null(state, "%.20s", name);
    cr_assert(merge_state_is_valid(state, state_bytes, record_type(record)));
    cr_assert(merge_state_next_sibling(state, state_bytes, &at, &sibling));
    cr_assert(sibling.size == size && memcmp(sibling.value, bytes, size) == 0);
    const struct actor_identity *self = &stage->keyspace->actors.identities[sibling.dot.actor];
    cr_assert_eq(self->node_id[0], stage->keyspace->actors.identities[ACTOR_SELF].node_id[0]);
    cr_assert_not(merge_state_next_sibling(state, state_bytes, &at, &sibling));
}

Test(merge_checkpoint, merge_states_are_saved_and_come_back) {
    static uint8_t bytes[300000];
    struct stage stage;
    memset(long_name, 's', sizeof long_name - 1);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 9));
    stage_open(&stage);
    in_company(&stage, 3);
    fill_with_states(&stage, bytes);
    cr_assert_eq(stage_save(&stage).state, CHECKPOINT_DONE);
    stage_restart(&stage);
    in_company(&stage, 11); /* the file's actors have other numbers now */
    struct checkpoint_load_progress progress = stage_load(&stage, true, false);
    cr_assert_eq(progress.state, CHECKPOINT_LOADED, "%s %s", progress.problem, stage.said);
    expect_sibling(&stage, "s1", "short", 5);
    expect_sibling(&stage, "s2", bytes, 300000);
    expect_sibling(&stage, "s3", bytes, 300000);
    expect_sibling(&stage, long_name, bytes, 200000);
    struct record *record = (struct record *)(uintptr_t)stage_find(&stage, 0, long_name);
    cr_assert_eq(record_value_size(record), 400000);
    cr_assert(record_value(record)[0] == 'd' && record_value(record)[399999] == 'd');
    record = (struct record *)(uintptr_t)stage_find(&stage, 0, "counter");
    cr_assert(record_state_size(record) != 0 && memcmp(record_value(record), "41", 2) == 0);
    /* Alone, nobody has anything to merge. */
    stage_restart(&stage);
    cr_assert_eq(stage_load(&stage, true, false).state, CHECKPOINT_LOADED);
    const char *const names[] = {"counter", "s1", "s2", long_name};
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(record_state_size(stage_find(&stage, 0, names[i])), 0);
    cr_assert_eq(keyspace_size(stage.keyspace, 0), 4);
    stage_close(&stage);
}

Test(merge_checkpoint, loading_merge_states_fails_softly_at_every_allocation) {
    static uint8_t bytes[300000];
    struct stage stage;
    memset(long_name, 's', sizeof long_name - 1);
    stage_open(&stage);
    in_company(&stage, 3);
    fill_with_states(&stage, bytes);
    stage_save(&stage);
    struct checkpoint_load_options options = {
        .disk = &stage.folder.disk, .queue = &stage.queue, .name = "dump", .is_expected = true};
    enum checkpoint_load_state state = CHECKPOINT_LOAD_REFUSED;
    unsigned refused = 0;
    for (uint64_t n = 1; state != CHECKPOINT_LOADED; n++) {
        cr_assert_lt(n, 2000);
        stage_restart(&stage);
        in_company(&stage, 5);
        stage.mem.fuse = n;
        options.keyspace = stage.keyspace;
        struct checkpoint_loader *loader = checkpoint_loader_new(&options);
        while (loader != NULL && ((state = checkpoint_loader_step(loader, 1000)) == CHECKPOINT_LOAD_WORKING ||
                                  state == CHECKPOINT_LOAD_WAITING))
            stage_run_one(&stage);
        stage.mem.fuse = 0;
        if (loader == NULL)
            continue;
        if (state != CHECKPOINT_LOADED) {
            cr_assert_not_null(strstr(checkpoint_loader_progress(loader)->problem, "memory"));
            refused++;
        }
        checkpoint_loader_free(loader);
    }
    cr_assert_gt(refused, 10);
    expect_sibling(&stage, "s2", bytes, 300000);
    stage_close(&stage);
}

/* ---- Writes that were forgotten ---- */

static bool has_forgotten(const char *name) {
    struct argument key = key_of(name);
    return keyspace_has_forgotten(here.keyspace, &key);
}

static void drop_slot_of(struct copy *copy, const char *name) {
    struct argument key = key_of(name);
    struct slot_set slots = {{0}};
    keyspace_place(copy->keyspace, &key);
    slot_set_add(&slots, key.slot);
    (void)keyspace_drop_slots(copy->keyspace, &slots);
}

Test(merge, a_copy_with_own_writes_that_is_dropped_is_remembered_for_its_slot) {
    struct argument key = key_of("{a}1");
    copy_add(&here, "{a}1", 5);
    heal("{a}1");
    cr_assert_not(has_forgotten("{a}1"));
    keyspace_drop_copy(here.keyspace, &key);
    cr_assert(has_forgotten("{a}1") && has_forgotten("{a}2"));
    cr_assert_not(has_forgotten("b"));
    cr_assert(bring(&there, &here, "{a}1"));
    cr_assert_not(has_forgotten("{a}1"), "it is there again");
    cr_assert(has_forgotten("{a}2"));
    const struct actor_identity later = {.node_id = {1}, .incarnation = 1000};
    keyspace_set_actor(here.keyspace, actors_intern(&here.keyspace->actors, &later));
    cr_assert_not(has_forgotten("{a}2"));
    copy_add(&here, "{a}1", 1);
    drop_slot_of(&here, "{a}1");
    cr_assert(has_forgotten("{a}1") && has_forgotten("{a}2"));
    drop_slot_of(&there, "{a}1");
}

Test(merge, a_dropped_copy_of_what_others_have_written_is_nothing_to_remember) {
    struct argument key = key_of("{a}1");
    copy_add(&there, "{a}1", 5);
    heal("{a}1");
    copy_put(&there, "{a}2", "text", EXPIRY_NONE);
    heal("{a}2");
    keyspace_drop_copy(here.keyspace, &key);
    drop_slot_of(&here, "{a}2");
    cr_assert_not(here.keyspace->has_dropped_own);
    cr_assert_not(has_forgotten("{a}1"));
    drop_slot_of(&there, "{a}1");
}

Test(merge, where_many_copies_are_dropped_at_once_each_may_have_had_own_writes) {
    char name[32];
    for (unsigned i = 0; i < 1200; i++) {
        snprintf(name, sizeof name, "{a}%u", i);
        copy_add(i == 0 ? &here : &there, name, 1);
        (void)bring(&there, &here, name);
    }
    drop_slot_of(&here, "{a}");
    cr_assert(has_forgotten("{a}0") && has_forgotten("{a}absent"));
    cr_assert_not(has_forgotten("b"));
    drop_slot_of(&there, "{a}");
}
