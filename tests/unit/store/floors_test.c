/* floors_test.c - tombstones at or below a floor go and do not come back, at no door; what is newer or alive stays.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "company.h"
#include "store/floors.h"

#define SLOT_OF_A 15495u /* of the key "a", and of all with the tag {a} */

static struct copy here, there;

static void open_both(void) {
    copy_open(&here, 1);
    copy_open(&there, 2);
}

static void close_both(void) {
    copy_check(&here);
    copy_check(&there);
    copy_close(&here);
    copy_close(&there);
}

TestSuite(floors, .init = open_both, .fini = close_both);

static struct ledger *ledger(void) {
    return here.keyspace->ledger;
}

static const char *numbered(char text[32], unsigned number) {
    snprintf(text, 32, "{a}%u", number);
    return text;
}

/* Sets and deletes keys of one slot, each in a second of its own. */
static void bury_later(unsigned first, unsigned count) {
    char key[32];
    for (unsigned i = first; i < first + count; i++) {
        keyspace_set_time(here.keyspace, NOW_MS + i * 2000);
        copy_put(&here, numbered(key, i), "x", EXPIRY_NONE);
        cr_assert(copy_delete(&here, numbered(key, i)));
        ledger_clear_effects(ledger());
    }
}

/* The floor that lies between two of them. */
static uint64_t floor_behind(unsigned number) {
    return (uint64_t)(NOW_MS + number * 2000 + 1500) << 16;
}

static void drop_all(void) {
    while (floors_step(here.keyspace, 1000) != 0)
        continue;
    cr_assert_not(floors_are_dropping(ledger()));
}

Test(floors, are_whole_steps_and_never_go_back) {
    uint64_t counter = (uint64_t)NOW_MS << 16 | 77;
    cr_assert(floors_raise(here.keyspace, 3, 5, counter));
    uint64_t floor = ledger()->floors.counters[4];
    cr_assert_leq(floor, counter);
    cr_assert_gt(floor + FLOOR_STEP, counter);
    cr_assert_eq(floor % FLOOR_STEP, 0);
    cr_assert_not(floors_raise(here.keyspace, 3, 5, counter), "it is as high already");
    cr_assert_not(floors_raise(here.keyspace, 4, 4, counter - 10 * FLOOR_STEP));
    cr_assert_eq(ledger()->floors.counters[4], floor);
    cr_assert_eq(ledger()->floors.counters[6], 0);
    cr_assert_eq(ledger()->floors.highest, floor);
}

Test(floors, what_lies_below_goes_and_what_is_above_stays) {
    char key[32];
    bury_later(0, 10);
    cr_assert_eq(ledger()->tombstones[SLOT_OF_A], 10);
    cr_assert(floors_raise(here.keyspace, SLOT_OF_A, SLOT_OF_A, floor_behind(5)));
    drop_all();
    cr_assert_eq(ledger()->tombstones[SLOT_OF_A], 4);
    cr_assert_eq(ledger()->floors.dropped, 6);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(copy_find(&here, numbered(key, i)) != NULL, i > 5, "%s", key);
    cr_assert_eq(ledger()->oldest_tombstones[SLOT_OF_A], copy_find(&here, "{a}6")->counter);
}

Test(floors, a_live_record_below_stays) {
    copy_put(&here, "a", "x", EXPIRY_NONE);
    keyspace_set_time(here.keyspace, NOW_MS + 10000);
    cr_assert(floors_raise(here.keyspace, SLOT_OF_A, SLOT_OF_A, floor_behind(2)));
    drop_all();
    copy_holds(&here, "a", "x");
    ledger_clear_effects(ledger());
    cr_assert(bring(&here, &there, "a"));
    keyspace_set_time(there.keyspace, NOW_MS + 10000);
    cr_assert(floors_raise(there.keyspace, SLOT_OF_A, SLOT_OF_A, floor_behind(2)));
    copy_holds(&there, "a", "x");
}

Test(floors, a_step_is_bounded_and_the_next_goes_on) {
    bury_later(0, 3000);
    cr_assert(floors_raise(here.keyspace, SLOT_OF_A, SLOT_OF_A, floor_behind(2999)));
    unsigned steps = 0;
    cr_assert_eq(ledger()->tombstones[SLOT_OF_A], 3000);
    uint32_t before = ledger()->tombstones[SLOT_OF_A];
    for (; floors_are_dropping(ledger()); steps++) {
        cr_assert(floors_is_dropping(ledger(), SLOT_OF_A));
        uint32_t spent = floors_step(here.keyspace, 100);
        cr_assert_leq(spent, 600u, "%u units", spent);
        cr_assert_leq(before - ledger()->tombstones[SLOT_OF_A], 600u);
        before = ledger()->tombstones[SLOT_OF_A];
    }
    cr_assert_geq(steps, 5u, "%u steps", steps);
    cr_assert_eq(ledger()->tombstones[SLOT_OF_A], 0);
    cr_assert_eq(floors_step(here.keyspace, 100), 0);
}

Test(floors, one_that_rises_while_it_is_worked_off_takes_what_was_passed_over) {
    bury_later(0, 2000);
    cr_assert(floors_raise(here.keyspace, SLOT_OF_A, SLOT_OF_A, floor_behind(999)));
    (void)floors_step(here.keyspace, 700);
    cr_assert(floors_are_dropping(ledger()));
    cr_assert(floors_raise(here.keyspace, SLOT_OF_A, SLOT_OF_A, floor_behind(1499)));
    drop_all();
    cr_assert_eq(ledger()->tombstones[SLOT_OF_A], 500);
}

Test(floors, copies_with_the_same_floor_have_the_same_digest) {
    char key[32];
    bury_later(0, 10);
    for (unsigned i = 0; i < 10; i++)
        bring(&here, &there, numbered(key, i));
    keyspace_set_time(there.keyspace, here.keyspace->now_ms);
    cr_assert_eq(ledger_slot_digest(ledger(), SLOT_OF_A),
                 ledger_slot_digest(there.keyspace->ledger, SLOT_OF_A));
    floors_raise(here.keyspace, SLOT_OF_A, SLOT_OF_A, floor_behind(4));
    drop_all();
    cr_assert_neq(ledger_slot_digest(ledger(), SLOT_OF_A),
                  ledger_slot_digest(there.keyspace->ledger, SLOT_OF_A));
    floors_raise(there.keyspace, SLOT_OF_A, SLOT_OF_A, floor_behind(4));
    while (floors_step(there.keyspace, 1000) != 0)
        continue;
    cr_assert_eq(ledger_slot_digest(ledger(), SLOT_OF_A),
                 ledger_slot_digest(there.keyspace->ledger, SLOT_OF_A));
    /* A floor alone is a difference, too: who lacks it has to learn of it. */
    floors_raise(here.keyspace, 7, 7, floor_behind(4));
    cr_assert_neq(ledger_slot_digest(ledger(), 7), ledger_slot_digest(there.keyspace->ledger, 7));
}

Test(floors, a_tombstone_below_is_taken_at_no_door) {
    copy_put(&there, "a", "x", EXPIRY_NONE);
    copy_delete(&there, "a");
    ledger_clear_effects(there.keyspace->ledger);
    keyspace_set_time(here.keyspace, NOW_MS + 10000);
    floors_raise(here.keyspace, SLOT_OF_A, SLOT_OF_A, floor_behind(2));
    cr_assert_not(bring(&there, &here, "a"));
    cr_assert_null(copy_find(&here, "a"));
    struct argument key = key_of("a");
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(copy_find(&there, "a"), &parts, others);
    translate(&there, &here, &parts, others);
    cr_assert_eq(keyspace_load(here.keyspace, 0, &key, &parts), LOAD_ADDED);
    cr_assert_null(copy_find(&here, "a"));
}

Test(floors, a_tombstone_below_takes_what_it_covers_with_it) {
    copy_put(&there, "a", "x", EXPIRY_NONE);
    cr_assert(bring(&there, &here, "a"));
    copy_delete(&there, "a");
    ledger_clear_effects(there.keyspace->ledger);
    keyspace_set_time(here.keyspace, NOW_MS + 10000);
    floors_raise(here.keyspace, SLOT_OF_A, SLOT_OF_A, floor_behind(2));
    cr_assert(bring(&there, &here, "a"));
    cr_assert_null(copy_find(&here, "a"));
    cr_assert_eq(ledger()->tombstones[SLOT_OF_A], 0);
    /* But not what is newer, or was written beside it. */
    copy_put(&here, "a", "new", EXPIRY_NONE);
    ledger_clear_effects(ledger());
    cr_assert_not(bring(&there, &here, "a"));
    copy_holds(&here, "a", "new");
}

Test(floors, what_is_written_is_stamped_above_the_floor_of_its_slot) {
    uint64_t ahead = (uint64_t)(NOW_MS + 100000) << 16;
    cr_assert(floors_raise(here.keyspace, SLOT_OF_A, SLOT_OF_A, ahead));
    cr_assert_lt(here.keyspace->counter, ahead);
    copy_put(&here, "a", "x", EXPIRY_NONE);
    cr_assert_gt(copy_find(&here, "a")->counter, ledger()->floors.counters[SLOT_OF_A]);
    copy_delete(&here, "a");
    cr_assert_eq(ledger()->tombstones[SLOT_OF_A], 1, "a tombstone that is made here is above it");
    ledger_clear_effects(ledger());
}

Test(floors, one_of_an_impossible_future_is_refused) {
    cr_assert_not(floors_raise(here.keyspace, 0, SLOT_COUNT - 1, UINT64_MAX));
    cr_assert_eq(here.keyspace->counters.refused_future, 1);
    cr_assert_eq(ledger()->floors.highest, 0);
}

Test(floors, a_keyspace_that_is_alone_has_none) {
    floors_raise(here.keyspace, 1, 2, floor_behind(1));
    keyspace_set_alone(here.keyspace, true);
    cr_assert_eq(ledger()->floors.counters[1], 0);
    cr_assert_eq(ledger()->floors.highest, 0);
    cr_assert_not(floors_raise(here.keyspace, 1, 2, floor_behind(1)));
    floors_load(here.keyspace, 1, 2, 5, floor_behind(1));
    cr_assert_eq(ledger()->floors.counters[1], 0);
    cr_assert_eq(ledger()->flush_counters[1], 0);
    keyspace_set_alone(here.keyspace, false);
    while (ledger_walk_step(here.keyspace, 1000) != 0)
        continue;
}

Test(floors, what_a_checkpoint_says_of_slots_only_raises) {
    keyspace_set_time(here.keyspace, NOW_MS + 100000);
    floors_load(here.keyspace, 1, 2, 100, floor_behind(1));
    floors_load(here.keyspace, 2, 3, 50, floor_behind(9));
    cr_assert_eq(ledger()->flush_counters[2], 100);
    cr_assert_eq(ledger()->flush_counters[3], 50);
    cr_assert_eq(ledger()->floors.counters[1], floors_round(floor_behind(1)));
    cr_assert_eq(ledger()->floors.counters[2], floors_round(floor_behind(9)));
    cr_assert_eq(ledger()->highest_flush, floors_round(floor_behind(9)));
}

/* Dropping goes on while the image is made, which has what was there at its begin. */
static bool count_record(void *context, uint32_t database, const struct record *record) {
    (void)database;
    (void)record;
    ++*(unsigned *)context;
    return true;
}

static bool no_long(void *context, uint32_t database, const struct record *record) {
    return count_record(context, database, record);
}

static bool no_part(void *context, const uint8_t *bytes, uint32_t size) {
    (void)context;
    (void)bytes;
    return size != 0;
}

Test(floors, an_image_has_the_tombstones_that_go_meanwhile) {
    unsigned count = 0;
    struct image image;
    struct image_sink sink = {&count, count_record, no_long, no_part};
    bury_later(0, 100);
    image_begin(&image, here.keyspace, &sink);
    floors_raise(here.keyspace, SLOT_OF_A, SLOT_OF_A, floor_behind(99));
    drop_all();
    while (image_step(&image, 100) == IMAGE_MORE)
        continue;
    image_end(&image);
    cr_assert_eq(count, 100);
    cr_assert_eq(ledger()->tombstones[SLOT_OF_A], 0);
}
