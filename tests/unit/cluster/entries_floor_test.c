/* entries_floor_test.c - floors on their way, and records at or below them: who is to be believed.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "entries_stage.h"
#include "store/floors.h"

static struct place here, there;
static struct way way; /* from here to there */
static bool is_candidate, gives_way;
static uint32_t asked_slot;

static void open_both(void) {
    place_init(&here, 1);
    place_init(&there, 2);
    way_init(&way, &here, &there);
    is_candidate = gives_way = false;
    asked_slot = SLOT_COUNT;
}

static void close_both(void) {
    way_release(&way);
    place_release(&here);
    place_release(&there);
}

TestSuite(entries_floor, .init = open_both, .fini = close_both);

static bool judge(void *context, uint32_t slot) {
    (void)context;
    asked_slot = slot;
    return is_candidate;
}

static enum entries_status take(void) {
    struct entries_options options = {.keyspace = there.keyspace,
                                      .answers_writer = &way.back,
                                      .is_candidate = judge,
                                      .gives_way = gives_way};
    enum entries_status status =
        entries_apply(&way.reader, &options, way.payload.data, way.payload.size, &way.outcome);
    buffer_clear(&way.payload);
    return status;
}

/* What `there` has answered comes to `here`. */
static void deliver_answers(void) {
    struct entries_reader reader;
    struct entries_outcome outcome = {0};
    struct entries_options options = {.keyspace = here.keyspace};
    entries_reader_init(&reader, &way.mem);
    buffer_init(&outcome.fetches, &way.mem);
    buffer_init(&outcome.answers, &way.mem);
    cr_assert_eq(
        entries_apply(&reader, &options, way.outcome.answers.data, way.outcome.answers.size, &outcome),
        ENTRIES_APPLIED);
    buffer_clear(&way.outcome.answers);
    entries_reader_release(&reader);
    buffer_release(&outcome.fetches);
    buffer_release(&outcome.answers);
}

static uint64_t floor_of(const struct place *place, const char *name) {
    return place->keyspace->ledger->floors.counters[slot_of(name)];
}

/* Time goes by, and `there` has a floor above all that was written until now. */
static void raise_there(const char *name) {
    keyspace_set_time(here.keyspace, NOW_MS + 10000);
    keyspace_set_time(there.keyspace, NOW_MS + 10000);
    cr_assert(floors_raise(there.keyspace, slot_of(name), slot_of(name), (uint64_t)(NOW_MS + 5000) << 16));
}

Test(entries_floor, a_floor_is_raised_and_its_tombstones_go) {
    put(&here, "k", "x");
    delete (&here, "k");
    add_effects(&way);
    cr_assert_eq(take(), ENTRIES_APPLIED);
    cr_assert_not_null(find(&there, "k"));
    uint32_t slot = slot_of("k");
    cr_assert(entries_add_floor(&way.payload, slot - 1, slot + 1, (uint64_t)(NOW_MS + 5000) << 16));
    cr_assert_eq(take(), ENTRIES_APPLIED);
    cr_assert_null(find(&there, "k"));
    cr_assert_eq(floor_of(&there, "k"), floors_round((uint64_t)(NOW_MS + 5000) << 16));
    cr_assert_eq(there.keyspace->ledger->floors.counters[slot - 2], 0);
    cr_assert_eq(there.keyspace->ledger->floors.counters[slot + 1], floor_of(&there, "k"));
    cr_assert(entries_add_floor(&way.payload, slot, slot, 5 * FLOOR_STEP));
    cr_assert_eq(take(), ENTRIES_APPLIED);
    cr_assert_eq(floor_of(&there, "k"), floors_round((uint64_t)(NOW_MS + 5000) << 16), "never lower");
}

Test(entries_floor, slots_that_make_no_sense_end_the_payload) {
    cr_assert(entries_add_floor(&way.payload, 1, 2, 5));
    way.payload.data[1] = 3; /* the first is behind the last */
    cr_assert_eq(take(), ENTRIES_MALFORMED);
    cr_assert(entries_add_floor(&way.payload, 1, 2, 5));
    way.payload.size--;
    cr_assert_eq(take(), ENTRIES_MALFORMED);
}

Test(entries_floor, a_candidate_that_is_not_here_is_refused_and_goes_where_it_came_from) {
    put(&here, "k", "old");
    ledger_clear_effects(here.keyspace->ledger);
    add(&way, "k");
    raise_there("k");
    is_candidate = true;
    cr_assert_eq(take(), ENTRIES_APPLIED);
    cr_assert_eq(asked_slot, slot_of("k"));
    cr_assert_null(find(&there, "k"));
    cr_assert_eq(way.outcome.buried, 1);
    deliver_answers();
    cr_assert_null(find(&here, "k"));
}

Test(entries_floor, who_is_believed_brings_old_records_too) {
    put(&here, "k", "old");
    add_effects(&way);
    raise_there("k");
    cr_assert_eq(take(), ENTRIES_APPLIED);
    cr_assert_eq(asked_slot, slot_of("k"));
    expect_value(&there, "k", "old");
    cr_assert_eq(way.outcome.buried, 0);
}

Test(entries_floor, a_record_above_is_no_candidate) {
    raise_there("k");
    put(&here, "k", "new");
    add_effects(&way);
    is_candidate = true;
    cr_assert_eq(take(), ENTRIES_APPLIED);
    cr_assert_eq(asked_slot, SLOT_COUNT, "nobody was asked");
    expect_value(&there, "k", "new");
}

Test(entries_floor, a_candidate_that_is_here_is_merged_as_ever) {
    put(&here, "k", "old");
    add_effects(&way);
    cr_assert_eq(take(), ENTRIES_APPLIED);
    put(&here, "k", "newer");
    add_effects(&way);
    raise_there("k");
    is_candidate = true;
    cr_assert_eq(take(), ENTRIES_APPLIED);
    expect_value(&there, "k", "newer");
    cr_assert_eq(way.outcome.buried, 0);
}

Test(entries_floor, a_candidate_gives_way_to_what_was_made_anew) {
    put(&here, "k", "old");
    ledger_clear_effects(here.keyspace->ledger);
    add(&way, "k");
    raise_there("k");
    put(&there, "k", "new");
    ledger_clear_effects(there.keyspace->ledger);
    is_candidate = true;
    cr_assert_eq(take(), ENTRIES_APPLIED);
    expect_value(&there, "k", "new");
    cr_assert_not(find(&there, "k")->flags & RECORD_VECTOR, "nothing of the old one is in it");
    deliver_answers();
    expect_value(&here, "k", "new");
    cr_assert_not(find(&here, "k")->flags & RECORD_VECTOR);
}

Test(entries_floor, an_own_candidate_gives_way_to_what_was_made_anew) {
    put(&there, "k", "old");
    ledger_clear_effects(there.keyspace->ledger);
    raise_there("k");
    put(&here, "k", "new");
    add_effects(&way);
    gives_way = true;
    cr_assert_eq(take(), ENTRIES_APPLIED);
    expect_value(&there, "k", "new");
    cr_assert_not(find(&there, "k")->flags & RECORD_VECTOR);
    /* What was written behind the floor is merged, whoever it is from. */
    put(&there, "l", "ours");
    ledger_clear_effects(there.keyspace->ledger);
    put(&here, "l", "theirs");
    add_effects(&way);
    cr_assert_eq(take(), ENTRIES_APPLIED);
    cr_assert(find(&there, "l")->flags & RECORD_VECTOR);
}

Test(entries_floor, a_tombstone_below_is_no_candidate_and_does_its_work) {
    put(&here, "k", "x");
    add_effects(&way);
    cr_assert_eq(take(), ENTRIES_APPLIED);
    delete (&here, "k");
    add_effects(&way);
    raise_there("k");
    is_candidate = true;
    cr_assert_eq(take(), ENTRIES_APPLIED);
    cr_assert_null(find(&there, "k"));
    cr_assert_eq(way.outcome.answers.size, 0);
}

/* ---- Flushes that come before what was written behind them ---- */

static void flush_here(uint32_t slot, uint64_t ms) {
    struct slot_set slots = {{0}};
    slot_set_add(&slots, slot);
    keyspace_flush_slots(here.keyspace, &slots, ((uint64_t)NOW_MS + ms) << 16);
}

static size_t told_size(uint32_t slot) {
    size_t before = way.payload.size;
    cr_assert(entries_tell_flush(&way.writer, here.keyspace->ledger, &way.payload, slot));
    return way.payload.size - before;
}

Test(entries_floor, the_flush_of_a_slot_is_told_once_to_each_link_before_what_was_written_behind_it) {
    cr_assert_eq(told_size(5), 0, "there was none");
    flush_here(5, 1);
    size_t size = told_size(5);
    cr_assert_gt(size, 0);
    cr_assert_eq(told_size(5), 0);
    cr_assert_eq(told_size(6), 0);
    flush_here(5, 2);
    cr_assert_eq(told_size(5), size);
    cr_assert_eq(told_size(5), 0);
    entries_writer_clear(&way.writer);
    cr_assert_eq(told_size(5), size);
    flush_here(6, 3);
    cr_assert_eq(told_size(6), size);
    cr_assert_eq(take(), ENTRIES_APPLIED);
    for (uint32_t slot = 5; slot < 7; slot++)
        cr_assert_eq(there.keyspace->ledger->flush_counters[slot],
                     here.keyspace->ledger->flush_counters[slot]);
}

Test(entries_floor, a_flush_that_finds_no_memory_to_be_told_is_told_later) {
    flush_here(5, 1);
    way.mem.fuse = true;
    way.mem.fuse_stays_blown = true;
    cr_assert_not(entries_tell_flush(&way.writer, here.keyspace->ledger, &way.payload, 5));
    cr_assert_eq(way.payload.size, 0);
    way.mem.fuse = way.mem.fuse_stays_blown = false;
    buffer_clear(&way.payload);
    cr_assert_gt(told_size(5), 0);
}
