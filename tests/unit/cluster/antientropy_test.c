/* antientropy_test.c - two copies find out what differs: little is sent, no step is long, and in the end they are the same.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "antientropy_pair.h"

#include "base/encode.h"
#include "base/number.h"
#include "base/rng.h"
#include "cluster/antientropy_scan.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* What a step may walk, and the last buckets of the walk. */
#define STEP_RECORDS_MAX (COMPARE_STEP_RECORDS + 64)

#define KEY_SIZE 64

static struct pair *make(void) {
    static struct pair pair;
    pair_init(&pair);
    return &pair;
}

static const char *name(char text[KEY_SIZE], const char *kind, unsigned number) {
    snprintf(text, KEY_SIZE, "%s:%u", kind, number);
    return text;
}

static void fill(struct pair *pair, const char *kind, unsigned count) {
    char key[KEY_SIZE];
    for (unsigned i = 0; i < count; i++)
        pair_put(pair, name(key, kind, i), "a value of usual size, that is some tens of bytes");
    pair_deliver(pair, &pair->asker);
    pair->asker.record_bytes = 0;
}

static void fill_one(struct copy *copy, const char *kind, unsigned count) {
    char key[KEY_SIZE];
    for (unsigned i = 0; i < count; i++)
        copy_put_text(copy, name(key, kind, i), "a value of usual size, that is some tens of bytes");
}

static uint64_t message_bytes(const struct pair *pair) {
    return pair->asker.statistics.bytes_out + pair->answerer.statistics.bytes_out;
}

static uint64_t keys_sent(const struct pair *pair) {
    return pair->asker.statistics.keys_sent + pair->answerer.statistics.keys_sent;
}

static void expect_short_steps(const struct pair *pair) {
    cr_assert_leq(pair->asker.statistics.most_records_walked, STEP_RECORDS_MAX);
    cr_assert_leq(pair->answerer.statistics.most_records_walked, STEP_RECORDS_MAX);
}

static void expect_value(struct copy *copy, const char *key, const char *value) {
    const struct record *record = copy_find(copy, key);
    cr_assert_eq(record == NULL, value == NULL, "%s", key);
    if (value != NULL) {
        cr_assert_eq(record_value_size(record), strlen(value));
        cr_assert_eq(memcmp(record_value_const(record), value, strlen(value)), 0);
    }
}

/* ---- Sets ---- */

Test(antientropy, other_slots_have_another_digest) {
    struct slot_set set = {{0}}, other;
    slot_set_add(&set, 63);
    slot_set_add(&set, 64);
    other = set;
    cr_assert_eq(slot_set_digest(&set), slot_set_digest(&other));
    slot_set_remove(&other, 64);
    cr_assert_neq(slot_set_digest(&set), slot_set_digest(&other));
    /* The same bits of another word are other slots. */
    struct slot_set low = {{0}}, high = {{0}};
    slot_set_add(&low, 5);
    slot_set_add(&high, 64 + 5);
    cr_assert_neq(slot_set_digest(&low), slot_set_digest(&high));
}

/* ---- Equal ---- */

Test(antientropy, equal_copies_cost_one_short_message_each_way) {
    struct pair *pair = make();
    fill(pair, "key", 3000);
    cr_assert_eq(pair_round(pair), COMPARE_EQUAL);
    cr_assert_eq(pair->questions, 1);
    cr_assert(pair->finding.is_equal && pair->finding.is_settled && !pair->has_differed);
    cr_assert_leq(pair->asker.statistics.bytes_out, 40);
    cr_assert_leq(pair->answerer.statistics.bytes_out, 10);
    cr_assert_eq(pair->answerer.statistics.bytes_in, pair->asker.statistics.bytes_out);
    cr_assert_eq(pair->asker.statistics.equal_rounds, 1);
    cr_assert_eq(pair->asker.record_bytes + pair->answerer.record_bytes, 0);
    pair_release(pair);
}

Test(antientropy, empty_copies_are_equal) {
    struct pair *pair = make();
    cr_assert_eq(pair_round(pair), COMPARE_EQUAL);
    pair_release(pair);
}

Test(antientropy, an_asker_that_is_not_settled_settles_nobody) {
    struct pair *pair = make();
    cr_assert(comparer_begin(&pair->comparer, pair->asker.keyspace, &pair->set, false, &pair->asker.message,
                             &pair->asker.statistics));
    pair_ask(pair);
    cr_assert(pair->finding.is_equal && !pair->finding.is_settled);
    pair_answer(pair);
    cr_assert_eq(pair->comparer.state, COMPARE_EQUAL);
    pair_release(pair);
}

Test(antientropy, slots_outside_of_the_set_are_not_compared) {
    struct pair *pair = make();
    fill(pair, "key", 500);
    copy_put_text(&pair->asker, "{outside}1", "x");
    copy_put_text(&pair->asker, "{inside}1", "x");
    pair->set.bits[crc16_key_slot((const uint8_t *)"outside", 7) / 64] = 0;
    cr_assert_eq(pair_converge(pair, 3), 2);
    expect_value(&pair->answerer, "{inside}1", "x");
    expect_value(&pair->answerer, "{outside}1", NULL);
    pair_release(pair);
}

/* ---- Differences ---- */

Test(antientropy, what_one_side_lacks_comes_from_the_other) {
    struct pair *pair = make();
    fill(pair, "key", 2000);
    copy_put_text(&pair->asker, "only here", "asker's");
    copy_put_text(&pair->answerer, "only there", "answerer's");
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    cr_assert(pair->has_differed);
    cr_assert_eq(pair->comparer.exchanged, 2);
    expect_value(&pair->answerer, "only here", "asker's");
    expect_value(&pair->asker, "only there", "answerer's");
    pair_expect_same(pair);
    cr_assert_eq(pair->asker.statistics.keys_sent, 1);
    cr_assert_eq(pair->answerer.statistics.keys_sent, 1);
    cr_assert_eq(pair->answerer.statistics.keys_asked_for, 1);
    cr_assert_eq(pair->asker.statistics.slots_differed, 2);
    cr_assert_eq(pair_round(pair), COMPARE_EQUAL);
    pair_release(pair);
}

/* Keys of one slot. */
static void put_tagged(struct copy *copy, unsigned first, unsigned last, const char *value) {
    for (unsigned i = first; i <= last; i++) {
        char name[32];
        snprintf(name, sizeof name, "{tag}%u", i);
        copy_put_text(copy, name, value);
    }
}

/* What it costs the asker that two of so many keys of a slot differ. */
static uint64_t cost_of_two(unsigned keys) {
    struct pair *pair = make();
    put_tagged(&pair->asker, 1, keys, "value");
    cr_assert_eq(pair_converge(pair, 3), 2);
    copy_put_text(&pair->asker, "{tag}7", "newer here");
    copy_put_text(&pair->answerer, "{tag}8", "newer there");
    uint64_t before = pair->asker.statistics.bytes_out;
    cr_assert_eq(pair_converge(pair, 3), 2);
    uint64_t cost = pair->asker.statistics.bytes_out - before;
    expect_value(&pair->answerer, "{tag}7", "newer here");
    expect_value(&pair->asker, "{tag}8", "newer there");
    pair_expect_same(pair);
    pair_release(pair);
    return cost;
}

Test(antientropy, of_a_small_slot_with_the_same_keys_no_hashes_are_sent) {
    cr_assert_eq(cost_of_two(20) - cost_of_two(10), 10 * 2);
}

Test(antientropy, a_small_slot_with_as_many_but_other_keys_is_compared_with_hashes) {
    struct pair *pair = make();
    put_tagged(&pair->asker, 1, 10, "value");
    cr_assert_eq(pair_converge(pair, 3), 2);
    put_tagged(&pair->asker, 11, 13, "asker's");
    put_tagged(&pair->answerer, 14, 16, "answerer's");
    copy_put_text(&pair->answerer, "{tag}3", "changed");
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    cr_assert_eq(pair->asker.statistics.slots_differed, 2); /* one of the round before */
    expect_value(&pair->answerer, "{tag}12", "asker's");
    expect_value(&pair->asker, "{tag}15", "answerer's");
    expect_value(&pair->asker, "{tag}3", "changed");
    pair_expect_same(pair);
    cr_assert_eq(pair->asker.statistics.keys_sent, 10 + 3);
    cr_assert_eq(pair->answerer.statistics.keys_sent, 3 + 1);
    cr_assert_eq(pair_round(pair), COMPARE_EQUAL);
    pair_release(pair);
}

/* INCRBY of a number that is there */
static void add_to(struct copy *copy, const char *name, int64_t by) {
    struct argument key = {
        .data = (const uint8_t *)name, .size = (uint32_t)strlen(name), .slot = ARGUMENT_NOT_PLACED};
    struct entry entry;
    struct amount amount = {.integer = by};
    int64_t number = 0;
    char digits[NUMBER_INT64_SIZE];
    cr_assert_not_null(keyspace_lookup(copy->keyspace, 0, &key, LOOKUP_WRITE, &entry));
    cr_assert(number_parse_int64((const char *)record_value(entry.record), record_value_size(entry.record),
                                 &number));
    size_t size = number_format_int64(digits, number + by);
    cr_assert(keyspace_add(copy->keyspace, 0, &key, &entry, &amount, (const uint8_t *)digits, (uint32_t)size,
                           ENCODING_NATURAL));
    ledger_clear_effects(copy->keyspace->ledger);
}

/* A comparison of what is left over at the asker. */
static struct pair *make_handover(void) {
    struct pair *pair = make();
    pair->hands_over = pair->comparer.hands_over = true;
    return pair;
}

Test(antientropy, who_hands_over_is_sent_nothing) {
    struct pair *pair = make_handover();
    char key[32];
    for (unsigned i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "{tag}%u", i);
        copy_put_text(&pair->answerer, key, "value");
    }
    pair_put(pair, "{tag}both", "old");
    copy_put_text(&pair->answerer, "{tag}both", "new");
    copy_put_text(&pair->asker, "{tag}mine", "value");
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    cr_assert_not(comparer_has_handed_over(&pair->comparer));
    cr_assert_not_null(copy_find(&pair->answerer, "{tag}mine"));
    cr_assert_null(copy_find(&pair->asker, "{tag}0"));
    cr_assert_eq(pair->answerer.statistics.keys_sent, 0);
    expect_value(&pair->answerer, "{tag}both", "new");
    expect_value(&pair->asker, "{tag}both", "old");
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    cr_assert(comparer_has_handed_over(&pair->comparer));
    pair_release(pair);
}

Test(antientropy, who_hands_over_knows_that_it_has_though_the_answerer_is_written_all_the_time) {
    struct pair *pair = make_handover();
    char key[KEY_SIZE];
    fill(pair, "key", 1000);
    copy_put_text(&pair->asker, "key:1", "asker's");
    for (unsigned round = 0; round < 5; round++) {
        keyspace_set_time(pair->answerer.keyspace, PAIR_NOW_MS + 100 * (round + 1));
        for (unsigned i = 0; i < 10; i++)
            copy_put_text(&pair->answerer, name(key, "key", i), "written");
        cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
        cr_assert_eq(comparer_has_handed_over(&pair->comparer), round > 0, "%u", round);
    }
    copy_put_text(&pair->asker, "key:500", "asker's");
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    cr_assert_not(comparer_has_handed_over(&pair->comparer));
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    cr_assert(comparer_has_handed_over(&pair->comparer));
    comparer_reset(&pair->comparer); /* what was sent is lost, perhaps */
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    cr_assert_not(comparer_has_handed_over(&pair->comparer));
    pair_release(pair);
}

Test(antientropy, what_is_handed_over_is_merged_with_what_the_answerer_has_newer) {
    struct pair *pair = make_handover();
    pair_put(pair, "counter", "1000");
    pair_deliver(pair, &pair->asker);
    add_to(&pair->asker, "counter", 5);
    keyspace_set_time(pair->answerer.keyspace, PAIR_NOW_MS + 100);
    add_to(&pair->answerer, "counter", 7);
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    expect_value(&pair->answerer, "counter", "1012");
    expect_value(&pair->asker, "counter", "1005");
    pair_release(pair);
}

Test(antientropy, deletions_travel_as_tombstones) {
    struct pair *pair = make();
    fill(pair, "key", 1000);
    copy_delete(&pair->asker, "key:1");
    copy_delete(&pair->answerer, "key:2");
    cr_assert_eq(pair_converge(pair, 3), 2);
    expect_value(&pair->answerer, "key:1", NULL);
    expect_value(&pair->asker, "key:2", NULL);
    pair_expect_same(pair);
    cr_assert_eq(keyspace_size(pair->asker.keyspace, 0), 998);
    pair_release(pair);
}

Test(antientropy, concurrent_versions_end_as_one) {
    struct pair *pair = make();
    fill(pair, "key", 1000);
    keyspace_set_time(pair->answerer.keyspace, PAIR_NOW_MS + 100);
    copy_put_text(&pair->asker, "key:1", "asker's, older");
    copy_put_text(&pair->answerer, "key:1", "answerer's, newer");
    keyspace_set_time(pair->asker.keyspace, PAIR_NOW_MS + 200);
    copy_put_text(&pair->answerer, "key:2", "answerer's, older");
    copy_put_text(&pair->asker, "key:2", "asker's, newer");
    cr_assert_leq(pair_converge(pair, 3), 3);
    expect_value(&pair->asker, "key:1", "answerer's, newer");
    expect_value(&pair->answerer, "key:2", "asker's, newer");
    pair_expect_same(pair);
    pair_release(pair);
}

Test(antientropy, of_a_key_that_both_have_only_the_newer_version_is_sent_whoever_has_it) {
    for (unsigned newer = 0; newer < 2; newer++) {
        struct pair *pair = make();
        char key[KEY_SIZE];
        fill(pair, "key", 20000);
        struct copy *copy = newer ? &pair->asker : &pair->answerer;
        struct copy *other = newer ? &pair->answerer : &pair->asker;
        keyspace_set_time(copy->keyspace, PAIR_NOW_MS + 100);
        for (unsigned i = 0; i < 200; i++)
            copy_put_text(copy, name(key, "key", i * 100),
                          "changed: a value of usual size, some tens of bytes");
        cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
        pair_expect_same(pair);
        cr_assert_eq(pair->comparer.exchanged, 200);
        cr_assert_eq(copy->statistics.keys_sent, 200);
        cr_assert_eq(other->record_bytes, 0, "%llu bytes", (unsigned long long)other->record_bytes);
        cr_assert_leq(copy->record_bytes, 200 * 100);
        cr_assert_leq(message_bytes(pair), 200 * 120, "%llu bytes", (unsigned long long)message_bytes(pair));
        cr_assert_eq(pair_round(pair), COMPARE_EQUAL);
        pair_release(pair);
    }
}

Test(antientropy, versions_of_one_counter_are_sent_both_ways) {
    struct pair *pair = make();
    fill(pair, "key", 100);
    copy_put_text(&pair->asker, "key:1", "asker's");
    keyspace_set_time(pair->asker.keyspace, PAIR_NOW_MS + 1);
    keyspace_set_time(pair->answerer.keyspace, PAIR_NOW_MS + 1);
    copy_put_text(&pair->asker, "key:2", "asker's");
    copy_put_text(&pair->answerer, "key:2", "answerer's");
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    cr_assert_eq(pair->asker.statistics.keys_sent, 2);
    cr_assert_eq(pair->answerer.statistics.keys_sent, 1);
    pair_expect_same(pair);
    pair_release(pair);
}

Test(antientropy, what_both_sides_have_counted_is_summed_whoever_has_counted_last) {
    for (unsigned last = 0; last < 2; last++) {
        struct pair *pair = make();
        fill(pair, "key", 100);
        pair_put(pair, "counter", "1000");
        pair_deliver(pair, &pair->asker);
        struct copy *first = last ? &pair->asker : &pair->answerer;
        struct copy *second = last ? &pair->answerer : &pair->asker;
        add_to(first, "counter", 5);
        keyspace_set_time(second->keyspace, PAIR_NOW_MS + 100);
        add_to(second, "counter", 7);
        cr_assert_leq(pair_converge(pair, 3), 3);
        expect_value(&pair->asker, "counter", "1012");
        pair_expect_same(pair);
        pair_release(pair);
    }
}

/* Some of everything at random; returns how many keys differ at most. */
static unsigned disturb(struct pair *pair, struct rng *random, unsigned count, unsigned keys) {
    char key[KEY_SIZE];
    for (unsigned i = 0; i < count; i++) {
        struct copy *copy = rng_below(random, 2) ? &pair->asker : &pair->answerer;
        name(key, "key", (unsigned)rng_below(random, keys));
        keyspace_set_time(copy->keyspace, PAIR_NOW_MS + (int64_t)rng_below(random, 1000));
        uint64_t what = rng_below(random, 4);
        if (what == 0 && copy_find(copy, key) != NULL)
            copy_delete(copy, key);
        else if (what == 1)
            copy_put_text(copy, name(key, "new", i), "a new key with a value of usual size");
        else
            copy_put_text(copy, key, "another value, which is of usual size, too, and a bit longer");
    }
    return count;
}

Test(antientropy, random_differences_vanish_and_little_more_than_them_is_sent) {
    struct rng random;
    rng_init(&random, 17);
    for (unsigned run = 0; run < 6; run++) {
        struct pair *pair = make();
        unsigned keys = run % 2 ? 20000 : 2000;
        fill(pair, "key", keys);
        unsigned differing = disturb(pair, &random, 300, keys);
        cr_assert_leq(pair_converge(pair, 3), 3);
        pair_expect_same(pair);
        cr_assert_leq(keys_sent(pair), 2 * differing);
        uint64_t records = pair->asker.record_bytes + pair->answerer.record_bytes;
        cr_assert_leq(message_bytes(pair), 3 * records, "%llu bytes for %llu of records",
                      (unsigned long long)message_bytes(pair), (unsigned long long)records);
        expect_short_steps(pair);
        pair_release(pair);
    }
}

Test(antientropy, slots_of_all_sizes_are_compared) {
    struct pair *pair = make();
    char kind[32], key[KEY_SIZE];
    unsigned sizes[] = {1, 8, 23, 24, 25, 63, 64, 65, 200, 511, 512, 1023, 1024, 1025, 3000};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        snprintf(kind, sizeof kind, "{%u}", i);
        fill(pair, kind, sizes[i]);
        snprintf(key, sizeof key, "%s:%u", kind, sizes[i] / 2);
        copy_put_text(&pair->asker, key, "asker's");
        snprintf(key, sizeof key, "%s more", kind);
        copy_put_text(&pair->answerer, key, "answerer's");
    }
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    pair_expect_same(pair);
    cr_assert_eq(pair_round(pair), COMPARE_EQUAL);
    /* What differs is an older version and a missing key in each. */
    cr_assert_eq(keys_sent(pair), 2 * sizeof sizes / sizeof *sizes);
    pair_release(pair);
}

Test(antientropy, a_copy_that_lost_everything_gets_it_back_whoever_asks) {
    for (unsigned lost = 0; lost < 2; lost++) {
        struct pair *pair = make();
        fill_one(lost ? &pair->asker : &pair->answerer, "key", 20000);
        cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
        pair_expect_same(pair);
        cr_assert_eq(keys_sent(pair), 20000);
        cr_assert_eq(pair->comparer.exchanged, 20000);
        cr_assert_eq(pair_round(pair), COMPARE_EQUAL);
        expect_short_steps(pair);
        pair_release(pair);
    }
}

Test(antientropy, a_huge_slot_is_compared_in_short_steps) {
    struct pair *pair = make();
    char key[KEY_SIZE];
    fill(pair, "{one slot}", 100000);
    for (unsigned i = 0; i < 50; i++)
        copy_put_text(&pair->asker, name(key, "{one slot}", i * 1999), "changed by the asker");
    for (unsigned i = 0; i < 50; i++)
        copy_put_text(&pair->answerer, name(key, "{one slot}", i * 1999 + 7), "changed by the answerer");
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    pair_expect_same(pair);
    cr_assert_eq(keys_sent(pair), 100);
    expect_short_steps(pair);
    cr_assert_geq(pair->asker.statistics.records_walked, 100000);
    cr_assert_leq(pair->asker.statistics.records_walked, 150000);
    /* A digest of 4 bytes for 4 to 8 records, and some leaves. */
    cr_assert_leq(message_bytes(pair), 150000, "%llu bytes", (unsigned long long)message_bytes(pair));
    cr_assert_eq(pair_round(pair), COMPARE_EQUAL);
    pair_release(pair);
}

Test(antientropy, one_key_of_a_huge_slot_costs_the_digests_of_its_leaves_and_little_more) {
    struct pair *pair = make();
    fill(pair, "{one slot}", 100000);
    copy_put_text(&pair->asker, "{one slot}:5", "changed by the asker");
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    cr_assert_eq(keys_sent(pair), 1);
    /* 16384 leaves: 4 bytes there and 1 bit back for each; 1 KiB for the heads of messages and all that is not leaves. */
    uint64_t leaves = 16384 * 4 + 16384 / 8;
    cr_assert_leq(message_bytes(pair), leaves + 2048 + 1024, "%llu bytes",
                  (unsigned long long)message_bytes(pair));
    pair_expect_same(pair);
    pair_release(pair);
}

Test(antientropy, a_huge_slot_of_one_side_alone_is_sent_in_short_steps) {
    for (unsigned lost = 0; lost < 2; lost++) {
        struct pair *pair = make();
        fill(pair, "{one slot} both", 50);
        fill_one(lost ? &pair->asker : &pair->answerer, "{one slot}", 60000);
        cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
        pair_expect_same(pair);
        cr_assert_eq(keys_sent(pair), 60000);
        expect_short_steps(pair);
        /* Digests of leaves would tell nothing, and are not made. */
        cr_assert_leq(pair->answerer.statistics.records_walked, 80000);
        cr_assert_leq(pair->asker.records_most, 200000);
        cr_assert_leq(pair->answerer.records_most, 200000);
        cr_assert_eq(pair_round(pair), COMPARE_EQUAL);
        pair_release(pair);
    }
}

Test(antientropy, large_values_go_a_few_at_a_time) {
    for (unsigned side = 0; side < 2; side++) {
        struct pair *pair = make();
        static char value[200000];
        char key[KEY_SIZE];
        struct copy *copy = side ? &pair->asker : &pair->answerer;
        for (unsigned i = 0; i < 60; i++) {
            copy_put(copy, name(key, "{large}", i), value, sizeof value, EXPIRY_NONE);
            copy_put(copy, name(key, "large", i), value, sizeof value, EXPIRY_NONE);
        }
        cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
        pair_expect_same(pair);
        cr_assert_eq(keys_sent(pair), 120);
        cr_assert_leq(copy->records_most, COMPARE_RECORDS_BYTES + sizeof value + 1000);
        pair_release(pair);
    }
}

/* ---- Flushes ---- */

static uint64_t flush(struct copy *copy, uint32_t first, uint32_t last) {
    struct slot_set slots = {{0}};
    for (uint32_t slot = first; slot <= last; slot++)
        slot_set_add(&slots, slot);
    uint64_t counter = keyspace_stamp(copy->keyspace);
    keyspace_flush_slots(copy->keyspace, &slots, counter);
    ledger_clear_effects(copy->keyspace->ledger);
    return counter;
}

Test(antientropy, a_flush_that_one_side_missed_is_applied_there) {
    for (unsigned side = 0; side < 2; side++) {
        struct pair *pair = make();
        fill(pair, "key", 5000);
        flush(side ? &pair->asker : &pair->answerer, 0, SLOT_COUNT - 1);
        copy_put_text(side ? &pair->asker : &pair->answerer, "after", "the flush");
        cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
        pair_expect_same(pair);
        cr_assert_eq(keyspace_size(pair->asker.keyspace, 0), 1);
        cr_assert_eq(keyspace_size(pair->answerer.keyspace, 0), 1);
        /* No key of before is sent. */
        cr_assert_leq(keys_sent(pair), 1);
        cr_assert_eq(pair_round(pair), COMPARE_EQUAL);
        pair_release(pair);
    }
}

Test(antientropy, flushes_of_both_sides_and_of_some_slots_meet) {
    struct pair *pair = make();
    fill(pair, "key", 5000);
    keyspace_set_time(pair->answerer.keyspace, PAIR_NOW_MS + 10);
    flush(&pair->asker, 100, 4000);
    uint64_t counter = flush(&pair->answerer, 3000, 9000);
    uint64_t late = flush(&pair->asker, 8000, 8000);
    cr_assert_leq(pair_converge(pair, 3), 3);
    pair_expect_same(pair);
    cr_assert_eq(keys_sent(pair), 0);
    cr_assert_eq(pair->asker.keyspace->ledger->flush_counters[3500], counter);
    cr_assert_eq(pair->answerer.keyspace->ledger->flush_counters[8000], late > counter ? late : counter);
    cr_assert_eq(pair->answerer.keyspace->ledger->flush_counters[9001], 0);
    cr_assert_neq(pair->answerer.keyspace->ledger->flush_counters[100], 0);
    pair_release(pair);
}

/* ---- Expiry ---- */

Test(antientropy, an_expired_key_that_the_other_lacks_is_not_exchanged_and_not_called_equal) {
    for (unsigned side = 0; side < 2; side++) {
        struct pair *pair = make();
        fill(pair, "key", 100);
        copy_put(side ? &pair->asker : &pair->answerer, "short", "x", 1, PAIR_NOW_MS + 100);
        keyspace_set_time(pair->asker.keyspace, PAIR_NOW_MS + 1000);
        keyspace_set_time(pair->answerer.keyspace, PAIR_NOW_MS + 1000);
        for (unsigned round = 0; round < 3; round++) {
            cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
            cr_assert_eq(pair->comparer.exchanged, 0);
        }
        cr_assert_eq(pair->asker.record_bytes + pair->answerer.record_bytes, 0);
        cr_assert_null(copy_find(side ? &pair->answerer : &pair->asker, "short"));
        pair_release(pair);
    }
}

Test(antientropy, an_expired_version_beats_an_older_one) {
    for (unsigned side = 0; side < 2; side++) {
        struct pair *pair = make();
        fill(pair, "key", 100);
        copy_put(side ? &pair->asker : &pair->answerer, "key:5", "x", 1, PAIR_NOW_MS + 100);
        keyspace_set_time(pair->asker.keyspace, PAIR_NOW_MS + 1000);
        keyspace_set_time(pair->answerer.keyspace, PAIR_NOW_MS + 1000);
        cr_assert_eq(pair_converge(pair, 2), 2);
        const struct record *record = copy_find(side ? &pair->answerer : &pair->asker, "key:5");
        cr_assert_eq(record_expiry_ms(record), PAIR_NOW_MS + 100);
        pair_release(pair);
    }
}

/* ---- In between ---- */

/* A write of the asker while a round is under way: it is told in order with the questions. */
static void write_before_question(struct pair *pair) {
    char key[KEY_SIZE];
    pair_put(pair, name(key, "key", pair->questions * 37 % 2000), "written meanwhile");
}

Test(antientropy, copies_that_are_merely_busy_do_not_differ) {
    struct pair *pair = make();
    fill(pair, "key", 2000);
    copy_put_text(&pair->asker, "only here", "x");
    pair->before_question = write_before_question;
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    cr_assert_gt(pair->questions, 3);
    cr_assert_eq(keys_sent(pair), 1);
    pair->before_question = NULL;
    cr_assert_eq(pair_round(pair), COMPARE_EQUAL);
    pair_expect_same(pair);
    pair_release(pair);
}

static void flush_before_question(struct pair *pair) {
    if (pair->questions == 5)
        keyspace_flush(pair->asker.keyspace, 0);
    if (pair->questions == 7)
        keyspace_flush(pair->answerer.keyspace, 0);
    ledger_clear_effects(pair->asker.keyspace->ledger);
    ledger_clear_effects(pair->answerer.keyspace->ledger);
}

Test(antientropy, keys_that_vanish_in_the_middle_of_a_round_do_no_harm) {
    struct pair *pair = make();
    fill_one(&pair->asker, "{here}", 20000);
    fill_one(&pair->answerer, "{there}", 20000);
    pair->before_question = flush_before_question;
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    pair->before_question = NULL;
    cr_assert_leq(pair_converge(pair, 4), 4);
    pair_expect_same(pair);
    pair_release(pair);
}

static void grow_before_question(struct pair *pair) {
    if (pair->questions != 3)
        return;
    fill_one(&pair->asker, "{grows} asker", 30000);
    fill_one(&pair->answerer, "{grows} answerer", 30000);
}

Test(antientropy, a_slot_that_grows_in_the_middle_of_a_round_is_still_compared_in_short_steps) {
    struct pair *pair = make();
    fill(pair, "{grows}", 40);
    copy_put_text(&pair->asker, "{grows}:1", "x");
    pair->before_question = grow_before_question;
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    pair->before_question = NULL;
    cr_assert_leq(pair_converge(pair, 4), 4);
    pair_expect_same(pair);
    expect_short_steps(pair);
    pair_release(pair);
}

/* ---- The other's ideas ---- */

Test(antientropy, who_expects_another_set_says_so) {
    struct pair *pair = make();
    fill(pair, "key", 100);
    cr_assert(comparer_begin(&pair->comparer, pair->asker.keyspace, &pair->set, true, &pair->asker.message,
                             &pair->asker.statistics));
    pair->set.bits[3] = 0;
    pair_ask(pair);
    cr_assert(!pair->finding.is_equal && !pair->finding.has_differed);
    pair_answer(pair);
    cr_assert_eq(pair->comparer.state, COMPARE_OTHER_SET);
    cr_assert_eq(pair->asker.message.size, 0);
    cr_assert_eq(pair_round(pair), COMPARE_EQUAL);
    pair_release(pair);
}

Test(antientropy, who_does_not_know_its_digests_finds_nothing_equal) {
    struct pair *pair = make();
    fill(pair, "key", 100);
    ledger_begin_walk(pair->answerer.keyspace);
    cr_assert_eq(pair_round(pair), COMPARE_OTHER_SET);
    while (ledger_walk_step(pair->answerer.keyspace, 1000) != 0)
        continue;
    cr_assert_eq(pair_round(pair), COMPARE_EQUAL);
    keyspace_set_alone(pair->answerer.keyspace, true);
    cr_assert_eq(pair_round(pair), COMPARE_OTHER_SET);
    pair_release(pair);
}

/* ---- Loss ---- */

Test(antientropy, a_round_that_lost_a_message_is_begun_anew) {
    struct rng random;
    rng_init(&random, 5);
    for (unsigned kept = 0; kept < 12; kept++) {
        struct pair *pair = make();
        fill(pair, "key", 2000);
        disturb(pair, &random, 100, 2000);
        cr_assert(comparer_begin(&pair->comparer, pair->asker.keyspace, &pair->set, true,
                                 &pair->asker.message, &pair->asker.statistics));
        for (unsigned i = 0; i < kept && pair->asker.message.size > 0; i++) {
            pair_ask(pair);
            if (i + 1 < kept || kept % 2)
                pair_answer(pair);
        }
        /* The link breaks: what was on the way is lost, and each end forgets whom it has told of. */
        comparer_reset(&pair->comparer);
        cr_assert_eq(pair->comparer.state, COMPARE_IDLE);
        buffer_clear(&pair->asker.message);
        buffer_clear(&pair->asker.records);
        buffer_clear(&pair->answerer.message);
        buffer_clear(&pair->answerer.records);
        entries_writer_clear(&pair->asker.writer);
        entries_writer_clear(&pair->answerer.writer);
        entries_reader_clear(&pair->asker.reader);
        entries_reader_clear(&pair->answerer.reader);
        cr_assert_leq(pair_converge(pair, 3), 3);
        pair_expect_same(pair);
        pair_release(pair);
    }
}

Test(antientropy, an_answer_of_another_round_is_ignored) {
    struct pair *pair = make();
    fill(pair, "key", 100);
    copy_put_text(&pair->asker, "only here", "x");
    struct copy *asker = &pair->asker;
    cr_assert(comparer_begin(&pair->comparer, asker->keyspace, &pair->set, true, &asker->message,
                             &asker->statistics));
    pair_ask(pair); /* its answer comes late */
    cr_assert(comparer_begin(&pair->comparer, asker->keyspace, &pair->set, true, &asker->message,
                             &asker->statistics));
    size_t asked = asker->message.size;
    pair_answer(pair);
    cr_assert_eq(pair->comparer.state, COMPARE_RUNNING);
    cr_assert_eq(asker->message.size, asked);
    pair_ask(pair);
    pair_answer(pair);
    cr_assert_gt(asker->message.size, 0);
    comparer_reset(&pair->comparer);
    buffer_clear(&asker->message);
    pair_release(pair);
}

/* ---- Damage ---- */

/* The bytes with one changed, or fewer of them: whatever they are taken for, it is no crash, and refused if they are too few. */
static void ask_damaged(struct pair *pair, struct rng *random, uint8_t *bytes, size_t size, bool is_cut) {
    struct copy *answerer = &pair->answerer;
    struct compare_finding finding;
    size_t place = rng_below(random, size);
    uint8_t before = bytes[place];
    uint64_t sent = answerer->statistics.keys_sent;
    bytes[place] ^= is_cut ? 0 : (uint8_t)(1 + rng_below(random, 255));
    bool done =
        compare_answer(answerer->keyspace, &pair->set, true, &answerer->writer, bytes, is_cut ? place : size,
                       &answerer->message, &answerer->records, &finding, &answerer->statistics);
    if (!done) {
        cr_assert_eq(answerer->message.size, 0);
        cr_assert_eq(answerer->records.size, 0);
        cr_assert_eq(sent, answerer->statistics.keys_sent);
    }
    cr_assert(!done || !is_cut || answerer->message.data[0] == 0x80);
    bytes[place] = before;
    ledger_clear_effects(answerer->keyspace->ledger);
    buffer_clear(&answerer->message);
    pair_deliver(pair, answerer);
}

static void answer_damaged(struct pair *pair, struct rng *random, bool is_cut) {
    struct copy *asker = &pair->asker, *answerer = &pair->answerer;
    size_t place = rng_below(random, answerer->message.size);
    answerer->message.data[place] ^= is_cut ? 0 : (uint8_t)(1 + rng_below(random, 255));
    pair_deliver(pair, answerer);
    bool done = comparer_receive(&pair->comparer, asker->keyspace, &asker->writer, answerer->message.data,
                                 is_cut ? place : answerer->message.size, &asker->message, &asker->records,
                                 &asker->statistics);
    cr_assert(!done || !is_cut);
    if (!done) {
        cr_assert_eq(pair->comparer.state, COMPARE_IDLE);
        cr_assert_eq(asker->message.size, 0);
    }
    buffer_clear(&answerer->message);
}

Test(antientropy, bytes_that_make_no_sense_are_refused) {
    struct rng random;
    rng_init(&random, 23);
    struct pair *pair = make();
    fill(pair, "key", 3000);
    fill(pair, "{large}", 300);
    uint8_t *bytes = malloc(100000);
    unsigned refused = 0;
    for (unsigned run = 0; run < 150; run++) {
        disturb(pair, &random, 20, 3000);
        copy_put_text(&pair->asker, "{large}:3", "x");
        cr_assert(comparer_begin(&pair->comparer, pair->asker.keyspace, &pair->set, true,
                                 &pair->asker.message, &pair->asker.statistics));
        for (unsigned step = 0; pair->asker.message.size > 0; step++) {
            cr_assert_lt(pair->asker.message.size, 100000);
            memcpy(bytes, pair->asker.message.data, pair->asker.message.size);
            for (unsigned i = 0; i < 8; i++)
                ask_damaged(pair, &random, bytes, pair->asker.message.size, i % 2);
            pair_ask(pair);
            if (step == run % 7) {
                answer_damaged(pair, &random, run % 2);
                refused += pair->comparer.state == COMPARE_IDLE;
                comparer_reset(&pair->comparer);
                buffer_clear(&pair->asker.message);
                break;
            }
            pair_answer(pair);
        }
        pair_deliver(pair, &pair->asker);
    }
    cr_assert_gt(refused, 50);
    cr_assert_leq(pair_converge(pair, 4), 4);
    pair_expect_same(pair);
    free(bytes);
    pair_release(pair);
}

/* A question of this kind and body, as if the asker had made it. Returns whether the answerer took it. */
static bool ask_made_up(struct pair *pair, uint8_t kind, const uint8_t *body, size_t size) {
    struct copy *asker = &pair->asker, *answerer = &pair->answerer;
    uint8_t head[16] = {kind, 1, 1};
    encode_fixed(head + 3, slot_set_digest(&pair->set), 8);
    buffer_clear(&asker->message);
    buffer_clear(&answerer->message);
    cr_assert(buffer_append(&asker->message, head, 3 + 8) && buffer_append(&asker->message, body, size));
    bool done = compare_answer(answerer->keyspace, &pair->set, true, &answerer->writer, asker->message.data,
                               asker->message.size, &answerer->message, &answerer->records, &pair->finding,
                               &answerer->statistics);
    cr_assert_eq(done, answerer->message.size > 0);
    buffer_clear(&asker->message);
    return done;
}

Test(antientropy, a_question_that_names_a_huge_slot_again_and_again_is_answered_in_a_short_step) {
    struct pair *pair = make();
    char key[KEY_SIZE];
    for (unsigned i = 0; i < 30000; i++)
        copy_put(&pair->answerer, name(key, "{one slot}", i), "x", 1, PAIR_NOW_MS + 1);
    /* Nothing of it is sent: only what is walked ends the step. */
    keyspace_set_time(pair->answerer.keyspace, PAIR_NOW_MS + 1000);
    uint32_t slot = crc16_key_slot((const uint8_t *)"one slot", 8);
    static uint8_t body[2 + COMPARE_SLOTS_MAX * 20];
    uint8_t *out = encode_fixed(body, COMPARE_SLOTS_MAX, 2);
    for (unsigned i = 0; i < COMPARE_SLOTS_MAX; i++) {
        out = encode_fixed(out, slot, 2);
        *out++ = 1;
        out = encode_fixed(encode_fixed(out, 0, 4), 2, 2);
        out = encode_fixed(out, 0, 8);
    }
    cr_assert(ask_made_up(pair, ASK_LEAVES, body, (size_t)(out - body)));
    expect_short_steps(pair);
    out = encode_fixed(body, COMPARE_SLOTS_MAX, 2);
    for (unsigned i = 0; i < COMPARE_SLOTS_MAX; i++) {
        out = encode_fixed(out, slot, 2);
        /* Some that take most of what may be walked, and many small ones. */
        uint32_t first = i << (i < 4 ? 27 : 24);
        out = encode_varint(out, FORM_RANGE);
        out = encode_fixed(encode_fixed(out, first, 4), first + (i < 4 ? (1 << 27) - 1 : 1), 4);
    }
    cr_assert(ask_made_up(pair, ASK_KEYS, body, (size_t)(out - body)));
    expect_short_steps(pair);
    cr_assert_eq(pair->answerer.records.size, 0);
    pair_release(pair);
}

Test(antientropy, places_that_make_no_sense_are_refused) {
    struct pair *pair = make();
    fill_one(&pair->answerer, "key", 100);
    struct {
        uint32_t count, slot, first, last, entries;
        uint64_t marks[2];
        bool is_good;
    } asked[] = {
        {1, 5, 0, UINT32_MAX, 2, {UINT64_C(1) << 32, UINT64_C(2) << 32}, true},
        {1, 5, 0, UINT32_MAX, 2, {UINT64_C(2) << 32, UINT64_C(1) << 32}, false},
        {1, 5, 2, UINT32_MAX, 2, {UINT64_C(1) << 32, UINT64_C(2) << 32}, false},
        {1, 5, 0, 1, 2, {UINT64_C(1) << 32, UINT64_C(2) << 32}, false},
        {1, 5, 3, 2, 0, {0}, false},
        {1, SLOT_COUNT, 0, 2, 0, {0}, false},
        {1, 6, 0, 2, 0, {0}, false}, /* not expected */
        {0, 5, 0, 2, 0, {0}, false},
        {2, 5, 0, 2, 0, {0}, false},
    };
    pair->set.bits[0] &= ~(UINT64_C(1) << 6);
    for (unsigned i = 0; i < sizeof asked / sizeof *asked; i++) {
        uint8_t body[64];
        uint8_t *out = encode_fixed(encode_fixed(body, asked[i].count, 2), asked[i].slot, 2);
        out = encode_varint(out, asked[i].entries * 4 + FORM_RANGE);
        out = encode_fixed(encode_fixed(out, asked[i].first, 4), asked[i].last, 4);
        for (unsigned k = 0; k < asked[i].entries; k++)
            out = encode_fixed(encode_fixed(out, asked[i].marks[k] >> 32, 4), asked[i].marks[k], 2);
        cr_assert_eq(ask_made_up(pair, ASK_KEYS, body, (size_t)(out - body)), asked[i].is_good, "%u", i);
    }
    struct argument key = {.data = (const uint8_t *)"key:7", .size = 5, .slot = ARGUMENT_NOT_PLACED};
    keyspace_place(pair->answerer.keyspace, &key);
    struct {
        uint32_t head, half_hash, more;
        bool is_good;
    } awaited[] = {{FORM_AWAITED, key.hash >> 32, 0, true},
                   {FORM_AWAITED, (uint32_t) ~(key.hash >> 32), 0, true},
                   {FORM_AWAITED, key.hash >> 32, 1, false},
                   {4 + FORM_AWAITED, key.hash >> 32, MARK_SIZE, false},
                   {4 * 2 + FORM_BRIEF, key.hash >> 32, 0, true},
                   {4 * 2 + FORM_BRIEF, key.hash >> 32, 1, false},
                   {4 * 3 + FORM_BRIEF, key.hash >> 32, 0, false},
                   {4 * (COMPARE_KEYS_MAX + 1) + FORM_BRIEF, key.hash >> 32, 0, false},
                   {4 * (COMPARE_KEYS_MAX + 1) + FORM_ALL, key.hash >> 32, 0, false}};
    for (unsigned i = 0; i < sizeof awaited / sizeof *awaited; i++) {
        uint8_t body[64] = {0};
        uint8_t *out = encode_fixed(encode_fixed(body, 1, 2), key.slot, 2);
        out = encode_fixed(encode_varint(out, awaited[i].head), awaited[i].half_hash, 4);
        buffer_clear(&pair->answerer.records);
        cr_assert_eq(ask_made_up(pair, ASK_KEYS, body, (size_t)(out - body) + awaited[i].more),
                     awaited[i].is_good, "%u", i);
        cr_assert_eq(pair->answerer.records.size > 0, i == 0, "%u", i);
    }
    struct {
        uint32_t slot, bits, first, count;
        bool is_good;
    } leaves[] = {{5, 1, 0, 2, true},  {5, 0, 0, 1, false}, {5, 25, 0, 1, false},        {5, 1, 1, 2, false},
                  {5, 1, 0, 0, false}, {6, 1, 0, 2, false}, {SLOT_COUNT, 1, 0, 2, false}};
    for (unsigned i = 0; i < sizeof leaves / sizeof *leaves; i++) {
        uint8_t body[64] = {1};
        uint8_t *out = encode_fixed(body + 2, leaves[i].slot, 2);
        *out++ = (uint8_t)leaves[i].bits;
        out = encode_fixed(encode_fixed(out, leaves[i].first, 4), leaves[i].count, 2);
        out = encode_fixed(out, 0, leaves[i].count * 4);
        cr_assert_eq(ask_made_up(pair, ASK_LEAVES, body, (size_t)(out - body)), leaves[i].is_good, "%u", i);
    }
    pair_release(pair);
}

Test(antientropy, a_flush_from_an_impossible_clock_is_refused) {
    struct pair *pair = make();
    fill(pair, "key", 100);
    pair->asker.keyspace->ledger->flush_counters[7] = UINT64_MAX - 1;
    ledger_count(pair->asker.keyspace->ledger, 7);
    cr_assert_eq(pair_round(pair), COMPARE_EXCHANGED);
    cr_assert_eq(pair->comparer.exchanged, 0);
    cr_assert_eq(pair->answerer.keyspace->ledger->flush_counters[7], 0);
    cr_assert_eq(keyspace_size(pair->answerer.keyspace, 0), 100);
    pair_release(pair);
}

/* ---- Memory ---- */

/* A step with less and less little memory, until it is enough. */
static void ask_without_memory(struct pair *pair) {
    struct copy *asker = &pair->asker, *answerer = &pair->answerer;
    for (uint64_t fuse = 1;; fuse++) {
        buffer_release(&answerer->message);
        answerer->mem.fuse = fuse;
        bool done = compare_answer(answerer->keyspace, &pair->set, true, &answerer->writer,
                                   asker->message.data, asker->message.size, &answerer->message,
                                   &answerer->records, &pair->finding, &answerer->statistics);
        answerer->mem.fuse = 0;
        ledger_clear_effects(answerer->keyspace->ledger);
        if (done)
            break;
        cr_assert_eq(answerer->message.size, 0);
        pair_deliver(pair, answerer);
    }
    buffer_clear(&asker->message);
}

Test(antientropy, without_memory_a_round_is_given_up_and_nothing_is_lost) {
    struct rng random;
    rng_init(&random, 3);
    struct pair *pair = make();
    struct copy *asker = &pair->asker, *answerer = &pair->answerer;
    fill(pair, "key", 3000);
    fill(pair, "{large}", 300);
    unsigned given_up = 0;
    for (unsigned run = 0; run < 60; run++) {
        disturb(pair, &random, 30, 3000);
        copy_put_text(asker, "{large}:3", "x");
        buffer_release(&asker->message);
        buffer_release(&asker->records);
        bool done = comparer_begin(&pair->comparer, asker->keyspace, &pair->set, true, &asker->message,
                                   &asker->statistics);
        cr_assert(done);
        for (unsigned step = 0; asker->message.size > 0 && done; step++) {
            pair_deliver(pair, asker);
            ask_without_memory(pair);
            pair_deliver(pair, answerer);
            buffer_release(&asker->message);
            asker->mem.fuse = step == run / 8 ? run % 8 + 1 : 0;
            done = comparer_receive(&pair->comparer, asker->keyspace, &asker->writer, answerer->message.data,
                                    answerer->message.size, &asker->message, &asker->records,
                                    &asker->statistics);
            asker->mem.fuse = 0;
            buffer_clear(&answerer->message);
        }
        if (!done) {
            given_up++;
            cr_assert_eq(pair->comparer.state, COMPARE_IDLE);
            cr_assert_eq(asker->message.size, 0);
        }
        pair_deliver(pair, asker);
    }
    cr_assert_gt(given_up, 5);
    asker->mem.fuse = 1;
    buffer_release(&asker->message);
    cr_assert_not(comparer_begin(&pair->comparer, asker->keyspace, &pair->set, true, &asker->message,
                                 &asker->statistics));
    cr_assert_eq(pair->comparer.state, COMPARE_IDLE);
    asker->mem.fuse = 0;
    cr_assert_leq(pair_converge(pair, 3), 3);
    pair_expect_same(pair);
    pair_release(pair);
}
