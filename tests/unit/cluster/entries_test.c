/* entries_test.c - changes told from keyspace to keyspace: whole records, patches, orders, repetitions, foreign numbers.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "entries_stage.h"

#include "base/rng.h"

#include <stdio.h>

#define NODES 3

/* ---- Records ---- */

Test(entries, a_record_arrives_with_value_expiry_and_version) {
    struct pair *pair = pair_new();
    put_bytes(&pair->a, "key", "value", 5, NOW_MS + 1000);
    add(&pair->way, "key");
    deliver(&pair->way);
    expect_value(&pair->b, "key", "value");
    expect_same_value(&pair->a, &pair->b, "key");
    const struct record *ours = find(&pair->a, "key"), *theirs = find(&pair->b, "key");
    cr_assert_eq(theirs->counter, ours->counter);
    cr_assert_neq(theirs->actor, ACTOR_SELF);
    struct actor_identity writer = identity_of(0);
    cr_assert_eq(
        memcmp(pair->b.keyspace->actors.identities[theirs->actor].node_id, writer.node_id, NODE_ID_SIZE), 0);
    cr_assert_eq(record_access_s(theirs), (uint32_t)(NOW_MS / 1000) & 0xffffff);
    cr_assert_eq(pair->way.outcome.applied, 1);
    cr_assert_eq(pair->way.outcome.changed, 1);
    cr_assert_eq(pair->way.outcome.stale, 0);
    expect_equal(&pair->a, &pair->b);
    pair_free(pair);
}

Test(entries, an_actor_is_told_once_on_a_link) {
    struct pair *pair = pair_new();
    struct way *way = &pair->way;
    put(&pair->a, "key", "value");
    size_t record_size = 1 + 2 + 10 + 1 + 1 + 3 + 1 + 5, actor_size = 1 + 2 + 20 + 1;
    add(way, "key");
    cr_assert_eq(way->payload.size, actor_size + record_size);
    add(way, "key");
    cr_assert_eq(way->payload.size, actor_size + 2 * record_size);
    buffer_clear(&way->payload);
    entries_writer_clear(&way->writer);
    add(way, "key");
    cr_assert_eq(way->payload.size, actor_size + record_size);
    pair_free(pair);
}

Test(entries, a_new_link_knows_no_actors) {
    struct pair *pair = pair_new();
    put(&pair->a, "key", "value");
    add(&pair->way, "key");
    deliver(&pair->way);
    entries_reader_clear(&pair->way.reader);
    add(&pair->way, "key");
    cr_assert_eq(apply(&pair->way), ENTRIES_MALFORMED);
    buffer_clear(&pair->way.payload);
    entries_writer_clear(&pair->way.writer);
    add(&pair->way, "key");
    deliver(&pair->way);
    pair_free(pair);
}

Test(entries, a_deleted_key_is_told_as_tombstone) {
    struct pair *pair = pair_new();
    put(&pair->a, "key", "value");
    add_effects(&pair->way);
    deliver(&pair->way);
    cr_assert_eq(keyspace_size(pair->b.keyspace, 0), 1);
    delete (&pair->a, "key");
    add_effects(&pair->way);
    deliver(&pair->way);
    cr_assert_eq(keyspace_size(pair->b.keyspace, 0), 0);
    cr_assert_eq(record_type(find(&pair->b, "key")), RECORD_TOMBSTONE);
    expect_equal(&pair->a, &pair->b);
    pair_free(pair);
}

Test(entries, a_write_of_a_key_that_is_gone_adds_nothing) {
    struct pair *pair = pair_new();
    struct effect effect = {.kind = EFFECT_WRITE, .key = key_of("key")};
    cr_assert(entries_add_effect(&pair->way.writer, pair->a.keyspace, &pair->way.payload, &effect, NULL));
    effect.kind = EFFECT_PATCH;
    cr_assert(entries_add_effect(&pair->way.writer, pair->a.keyspace, &pair->way.payload, &effect, NULL));
    cr_assert_eq(pair->way.payload.size, 0);
    pair_free(pair);
}

Test(entries, more_entries_than_a_batch_are_all_applied) {
    struct pair *pair = pair_new();
    char name[16];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "key:%u", i);
        put(&pair->a, name, name);
        add(&pair->way, name);
    }
    deliver(&pair->way);
    cr_assert_eq(pair->way.outcome.changed, 1000);
    cr_assert_eq(keyspace_size(pair->b.keyspace, 0), 1000);
    expect_value(&pair->b, "key:999", "key:999");
    expect_equal(&pair->a, &pair->b);
    pair_free(pair);
}

Test(entries, a_mark_is_noted) {
    struct pair *pair = pair_new();
    cr_assert(entries_add_mark(&pair->way.payload, 5));
    cr_assert(entries_add_mark(&pair->way.payload, UINT64_MAX - 1));
    deliver(&pair->way);
    cr_assert_eq(pair->way.outcome.mark, UINT64_MAX - 1);
    pair_free(pair);
}

/* ---- Versions ---- */

Test(entries, dots_are_sorted_by_the_numbers_of_the_reader) {
    struct pair *pair = pair_new();
    struct dot dots[20];
    uint64_t base = (uint64_t)NOW_MS << 16;
    for (unsigned i = 0; i < 20; i++)
        dots[i] = (struct dot){.actor = intern(&pair->a, 40 - i), .counter = base + (i * 7) % 20};
    for (unsigned i = 0; i < 20; i++)
        intern(&pair->b, 21 + i);
    merge(&pair->a, "key", "value", dots, 20);
    /* As many dots as versions of several batches have. */
    for (unsigned i = 0; i < 30; i++)
        add(&pair->way, "key");
    deliver(&pair->way);
    struct version version;
    record_version(find(&pair->b, "key"), &version);
    cr_assert_eq(version.count, 20);
    for (unsigned i = 0; i < 20; i++) {
        uint16_t actor = intern(&pair->b, 40 - i);
        uint64_t counter = 0;
        for (unsigned j = 0; j < 20; j++)
            if (version.dots[j].actor == actor)
                counter = version.dots[j].counter;
        cr_assert_eq(counter, dots[i].counter);
    }
    expect_equal(&pair->a, &pair->b);
    pair_free(pair);
}

Test(entries, equal_counters_end_in_the_same_value_whatever_the_numbers) {
    struct place places[2];
    struct way ways[2];
    for (unsigned i = 0; i < 2; i++)
        place_init(&places[i], i);
    way_init(&ways[0], &places[0], &places[1]);
    way_init(&ways[1], &places[1], &places[0]);
    /* In the same millisecond: each has number 0 at its own, 1 at the other's. */
    put(&places[0], "key", "of the first");
    put(&places[1], "key", "of the second");
    cr_assert_eq(find(&places[0], "key")->counter, find(&places[1], "key")->counter);
    add(&ways[0], "key");
    add(&ways[1], "key");
    deliver(&ways[0]);
    deliver(&ways[1]);
    cr_assert_eq(ways[0].outcome.conflicts, 1);
    expect_equal(&places[0], &places[1]);
    expect_same_value(&places[0], &places[1], "key");
    for (unsigned i = 0; i < 2; i++) {
        way_release(&ways[i]);
        place_release(&places[i]);
    }
}

Test(entries, two_numbers_for_one_writer_make_one_dot_of_a_version) {
    struct pair *pair = pair_new();
    struct actor_identity identity = identity_of(9), other = identity_of(5);
    uint64_t base = (uint64_t)NOW_MS << 16;
    append_actor(&pair->way.payload, 3, &identity);
    append_actor(&pair->way.payload, 4, &identity);
    append_actor(&pair->way.payload, 5, &other);
    append_record(&pair->way.payload, (struct dot[]){{base + 3, 4}, {base + 1, 3}, {base + 2, 5}}, 3, "key");
    append_record(&pair->way.payload, (struct dot[]){{base + 3, 4}, {base + 2, 3}}, 2, "single");
    deliver(&pair->way);
    struct version version;
    record_version(find(&pair->b, "key"), &version);
    cr_assert_eq(version.count, 2);
    cr_assert_eq(find(&pair->b, "key")->counter, base + 3);
    record_version(find(&pair->b, "single"), &version);
    cr_assert_eq(version.count, 1);
    cr_assert_eq(version.dots[0].counter, base + 3);
    pair_free(pair);
}

Test(entries, a_node_hears_of_its_own_later_starts_and_of_writes_that_it_has_not_made) {
    struct pair *pair = pair_new();
    struct actor_identity self = identity_of(1), later = self;
    uint64_t base = (uint64_t)NOW_MS << 16;
    later.incarnation = 12;
    append_actor(&pair->way.payload, 0, &self);
    append_actor(&pair->way.payload, 1, &later);
    append_record(&pair->way.payload, (struct dot[]){{base, 1}}, 1, "other");
    deliver(&pair->way);
    cr_assert_eq(pair->way.outcome.own_incarnation, 12);
    cr_assert_eq(pair->way.outcome.own_counter, 0);
    /* What it has written itself, it knows. */
    put(&pair->b, "own", "value");
    buffer_clear(&pair->way.payload);
    append_record(&pair->way.payload, (struct dot[]){{find(&pair->b, "own")->counter, 0}}, 1, "own");
    deliver(&pair->way);
    cr_assert_eq(pair->way.outcome.own_counter, 0);
    base = pair->b.keyspace->counter;
    append_record(&pair->way.payload, (struct dot[]){{base + 9, 1}, {base + 8, 0}}, 2, "key");
    deliver(&pair->way);
    cr_assert_eq(pair->way.outcome.own_counter, base + 8);
    /* Since then it writes as another start: what is known of the one before is no news, however often it comes. */
    later.incarnation = 13;
    keyspace_set_actor(pair->b.keyspace, actors_intern(&pair->b.keyspace->actors, &later));
    pair->way.outcome.own_counter = 0;
    base = pair->b.keyspace->counter + (CLOCK_DRIFT_MAX_MS * 10ull << 16);
    buffer_clear(&pair->way.payload);
    append_record(&pair->way.payload, (struct dot[]){{base + 8, 0}}, 1, "key");
    deliver(&pair->way);
    cr_assert_eq(pair->way.outcome.own_counter, 0);
    append_actor(&pair->way.payload, 2, &later);
    append_record(&pair->way.payload, (struct dot[]){{base + 9, 2}}, 1, "key");
    deliver(&pair->way);
    cr_assert_eq(pair->way.outcome.own_counter, base + 9);
    pair_free(pair);
}

/* Chosen so that some share slots. */
static const char *const NAMES[] = {"a", "b", "{a}1", "{a}2",
                                    "c", "d", "{b}1", "long name that needs some bytes"};
enum { NAME_COUNT = sizeof NAMES / sizeof NAMES[0] };

/* A write, a deletion or an expiry of any key. Counters are equal now and then: the clocks of all stand still. */
static void change_anything(struct place *place, struct rng *rng) {
    const char *name = NAMES[rng_below(rng, NAME_COUNT)];
    struct argument key = key_of(name);
    struct entry entry;
    char text[32];
    snprintf(text, sizeof text, "%u", (unsigned)rng_below(rng, 1000000));
    bool is_there = keyspace_lookup(place->keyspace, 0, &key, LOOKUP_PEEK, &entry) != NULL;
    if (is_there && rng_below(rng, 4) == 0)
        keyspace_remove(place->keyspace, 0, &key, &entry, REMOVE_DELETED);
    else if (is_there && rng_below(rng, 4) == 0)
        cr_assert(
            keyspace_set_expiry(place->keyspace, 0, &key, &entry, NOW_MS + 1 + (int64_t)rng_below(rng, 5)));
    else
        put(place, name, text);
}

/* Each tells the others the whole records of what it has changed; the payloads arrive late, in any order, some twice. */
static void exchange(struct place places[NODES], struct way ways[NODES][NODES], struct rng *rng) {
    for (unsigned from = 0; from < NODES; from++) {
        struct keyspace *keyspace = places[from].keyspace;
        for (unsigned to = 0; to < NODES; to++) {
            if (to == from)
                continue;
            for (uint32_t i = 0; i < keyspace->ledger->effect_count; i++) {
                struct effect *effect = &keyspace->ledger->effects[i];
                cr_assert(entries_add_effect(&ways[from][to].writer, keyspace, &ways[from][to].payload,
                                             effect, keyspace_find_record(keyspace, &effect->key)));
            }
            if (rng_below(rng, 3) == 0)
                continue;
            cr_assert_eq(apply(&ways[from][to]), ENTRIES_APPLIED);
            if (rng_below(rng, 2) == 0)
                buffer_clear(&ways[from][to].payload);
        }
        ledger_clear_effects(keyspace->ledger);
    }
}

static void expect_convergence(uint64_t seed) {
    struct rng rng;
    struct place places[NODES];
    struct way ways[NODES][NODES];
    rng_init(&rng, seed);
    for (unsigned i = 0; i < NODES; i++) {
        place_init(&places[i], i);
        /* Other numbers everywhere. */
        for (unsigned j = 0; j < 6; j++)
            intern(&places[i], (unsigned)rng_below(&rng, 10));
    }
    for (unsigned i = 0; i < NODES * NODES; i++)
        way_init(&ways[i / NODES][i % NODES], &places[i / NODES], &places[i % NODES]);
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < NODES; i++)
            for (uint64_t left = rng_below(&rng, 4); left > 0; left--)
                change_anything(&places[i], &rng);
        exchange(places, ways, &rng);
        if (rng_below(&rng, 8) == 0)
            for (unsigned i = 0; i < NODES; i++)
                keyspace_set_time(places[i].keyspace, places[i].keyspace->now_ms); /* no time passes */
    }
    /* What is still on its way. */
    for (unsigned i = 0; i < NODES * NODES; i++)
        if (i / NODES != i % NODES)
            deliver(&ways[i / NODES][i % NODES]);
    for (unsigned i = 1; i < NODES; i++) {
        expect_equal(&places[0], &places[i]);
        for (unsigned j = 0; j < NAME_COUNT; j++)
            expect_same_value(&places[0], &places[i], NAMES[j]);
    }
    for (unsigned i = 0; i < NODES * NODES; i++)
        way_release(&ways[i / NODES][i % NODES]);
    for (unsigned i = 0; i < NODES; i++)
        place_release(&places[i]);
}

Test(entries, concurrent_records_in_any_order_end_in_the_same_copies) {
    for (uint64_t seed = 1; seed <= 25; seed++)
        expect_convergence(seed);
}

Test(entries, a_payload_applied_twice_is_the_same_as_once) {
    struct pair *pair = pair_new();
    struct way *way = &pair->way;
    struct rng rng;
    rng_init(&rng, 4);
    for (unsigned i = 0; i < 200; i++)
        change_anything(&pair->a, &rng);
    add_effects(way);
    put(&pair->a, "flushed", "value");
    add_effects(way);
    cr_assert(entries_add_flush(&way->payload, slot_of("flushed"), slot_of("flushed"),
                                keyspace_stamp(pair->a.keyspace)));
    cr_assert_eq(apply(way), ENTRIES_APPLIED);
    cr_assert_null(find(&pair->b, "flushed"));
    uint64_t changed = way->outcome.changed, stale = way->outcome.stale, applied = way->outcome.applied;
    uint64_t digests[NAME_COUNT];
    for (unsigned i = 0; i < NAME_COUNT; i++)
        digests[i] = ledger_slot_digest(pair->b.keyspace->ledger, slot_of(NAMES[i]));
    cr_assert_eq(apply(way), ENTRIES_APPLIED);
    cr_assert_eq(way->outcome.changed, changed);
    cr_assert_eq(way->outcome.stale - stale, applied);
    for (unsigned i = 0; i < NAME_COUNT; i++)
        cr_assert_eq(ledger_slot_digest(pair->b.keyspace->ledger, slot_of(NAMES[i])), digests[i]);
    pair_free(pair);
}

/* ---- Patches ---- */

Test(entries, of_a_long_value_only_the_bytes_that_were_written_are_told) {
    struct pair *pair = long_pair();
    write_range(&pair->a, "key", 100, "changed");
    add_effects(&pair->way);
    cr_assert_lt(pair->way.payload.size, 60);
    deliver(&pair->way);
    expect_equal(&pair->a, &pair->b);
    expect_same_value(&pair->a, &pair->b, "key");
    cr_assert_eq(memcmp(record_value(find(&pair->b, "key")) + 100, "changed", 7), 0);
    /* A value that grows: new bytes between are zeros. */
    write_range(&pair->a, "key", LONG_VALUE + 50, "end");
    add_effects(&pair->way);
    cr_assert_lt(pair->way.payload.size, 60);
    deliver(&pair->way);
    expect_equal(&pair->a, &pair->b);
    expect_same_value(&pair->a, &pair->b, "key");
    cr_assert_eq(pair->way.outcome.changed, 3);
    cr_assert_eq(pair->way.outcome.fetches.size, 0);
    pair_free(pair);
}

Test(entries, of_a_long_value_whose_expiry_changed_only_that_is_told) {
    struct pair *pair = long_pair();
    struct argument key = key_of("key");
    struct entry entry;
    keyspace_lookup(pair->a.keyspace, 0, &key, LOOKUP_WRITE, &entry);
    cr_assert(keyspace_set_expiry(pair->a.keyspace, 0, &key, &entry, NOW_MS + 77));
    add_effects(&pair->way);
    cr_assert_lt(pair->way.payload.size, 60);
    deliver(&pair->way);
    expect_equal(&pair->a, &pair->b);
    cr_assert_eq(record_expiry_ms(find(&pair->b, "key")), NOW_MS + 77);
    expect_same_value(&pair->a, &pair->b, "key");
    pair_free(pair);
}

Test(entries, a_patch_that_came_already_is_stale) {
    struct pair *pair = long_pair();
    write_range(&pair->a, "key", 100, "changed");
    add_effects(&pair->way);
    cr_assert_eq(apply(&pair->way), ENTRIES_APPLIED);
    uint64_t stale = pair->way.outcome.stale;
    deliver(&pair->way);
    cr_assert_eq(pair->way.outcome.stale, stale + 1);
    cr_assert_eq(pair->way.outcome.fetches.size, 0);
    expect_same_value(&pair->a, &pair->b, "key");
    pair_free(pair);
}

Test(entries, of_several_patches_of_one_key_at_a_time_nothing_is_lost) {
    struct pair *pair = long_pair();
    write_range(&pair->a, "key", 100, "first");
    write_range(&pair->a, "key", 4000, "second");
    add_effects(&pair->way);
    deliver(&pair->way);
    expect_equal(&pair->a, &pair->b);
    expect_same_value(&pair->a, &pair->b, "key");
    pair_free(pair);
}

Test(entries, a_patch_that_does_not_fit_has_the_key_fetched_once) {
    struct pair *pair = long_pair();
    struct way back;
    way_init(&back, &pair->b, &pair->a);
    /* The first patch is lost on the way, two follow. */
    write_range(&pair->a, "key", 100, "first");
    ledger_clear_effects(pair->a.keyspace->ledger);
    write_range(&pair->a, "key", 200, "second");
    add_effects(&pair->way);
    write_range(&pair->a, "key", 300, "third");
    add_effects(&pair->way);
    deliver(&pair->way);
    cr_assert_eq(pair->way.outcome.fetches.size, 1 + 1 + 3);
    cr_assert_eq(memcmp(pair->way.outcome.fetches.data, "\x06\x03key", 5), 0);
    /* The question goes back; the answer comes through the writer of this way, which knows that the actor was told. */
    struct entries_options options = {.keyspace = pair->a.keyspace, .answers_writer = &pair->way.writer};
    cr_assert_eq(entries_apply(&back.reader, &options, pair->way.outcome.fetches.data,
                               pair->way.outcome.fetches.size, &back.outcome),
                 ENTRIES_APPLIED);
    cr_assert_gt(back.outcome.answers.size, LONG_VALUE);
    cr_assert_eq(apply_bytes(&pair->way, back.outcome.answers.data, back.outcome.answers.size),
                 ENTRIES_APPLIED);
    expect_equal(&pair->a, &pair->b);
    expect_same_value(&pair->a, &pair->b, "key");
    way_release(&back);
    pair_free(pair);
}

Test(entries, a_patch_as_long_as_the_value_is_told_as_record) {
    struct pair *pair = long_pair();
    struct record *record = find(&pair->a, "key");
    uint64_t counter = record->counter;
    struct effect effect = {.kind = EFFECT_PATCH,
                            .key = key_of("key"),
                            .record = record,
                            .base_counter = counter - 1,
                            .counter = counter,
                            .offset = 10,
                            .size = LONG_VALUE - 10};
    cr_assert(entries_add_effect(&pair->way.writer, pair->a.keyspace, &pair->way.payload, &effect, record));
    cr_assert_eq(pair->way.payload.data[0], 2);
    buffer_clear(&pair->way.payload);
    effect.size = 1;
    cr_assert(entries_add_effect(&pair->way.writer, pair->a.keyspace, &pair->way.payload, &effect, record));
    cr_assert_eq(pair->way.payload.data[0], 3);
    buffer_clear(&pair->way.payload);
    /* Written again since: the patch alone would not say all. */
    effect.counter--;
    effect.base_counter--;
    cr_assert(entries_add_effect(&pair->way.writer, pair->a.keyspace, &pair->way.payload, &effect, record));
    cr_assert_eq(pair->way.payload.data[0], 2);
    /* A base without any writer fits nowhere. */
    buffer_clear(&pair->way.payload);
    effect.counter = counter;
    effect.base_counter = 0;
    cr_assert(entries_add_effect(&pair->way.writer, pair->a.keyspace, &pair->way.payload, &effect, record));
    cr_assert_eq(pair->way.payload.data[0], 2);
    pair_free(pair);
}

/* ---- Fetches ---- */

Test(entries, a_key_that_is_asked_for_is_answered_and_an_absent_one_is_not) {
    struct pair *pair = pair_new();
    struct way answer;
    way_init(&answer, &pair->b, &pair->a);
    put(&pair->b, "there", "value");
    put(&pair->b, "deleted", "value");
    delete (&pair->b, "deleted");
    cr_assert(entries_add_fetch(&pair->way.payload, (const uint8_t *)"there", 5));
    cr_assert(entries_add_fetch(&pair->way.payload, (const uint8_t *)"absent", 6));
    cr_assert(entries_add_fetch(&pair->way.payload, (const uint8_t *)"deleted", 7));
    deliver(&pair->way);
    struct buffer *answers = &pair->way.outcome.answers;
    cr_assert_eq(apply_bytes(&answer, answers->data, answers->size), ENTRIES_APPLIED);
    cr_assert_eq(answer.outcome.applied, 2);
    expect_value(&pair->a, "there", "value");
    cr_assert_eq(record_type(find(&pair->a, "deleted")), RECORD_TOMBSTONE);
    expect_equal(&pair->a, &pair->b);
    way_release(&answer);
    pair_free(pair);
}

Test(entries, who_gives_no_answers_is_asked_in_vain) {
    struct pair *pair = pair_new();
    put(&pair->b, "key", "value");
    cr_assert(entries_add_fetch(&pair->way.payload, (const uint8_t *)"key", 3));
    struct entries_options options = {.keyspace = pair->b.keyspace};
    cr_assert_eq(entries_apply(&pair->way.reader, &options, pair->way.payload.data, pair->way.payload.size,
                               &pair->way.outcome),
                 ENTRIES_APPLIED);
    cr_assert_eq(pair->way.outcome.answers.size, 0);
    pair_free(pair);
}

Test(entries, answers_are_bounded_and_what_is_left_out_is_reported_as_lost) {
    struct pair *pair = pair_new();
    size_t size = 1024 * 1024;
    uint8_t *value = calloc(1, size);
    put_bytes(&pair->b, "key", value, size, EXPIRY_NONE);
    free(value);
    for (unsigned i = 0; i < 100; i++)
        cr_assert(entries_add_fetch(&pair->way.payload, (const uint8_t *)"key", 3));
    deliver(&pair->way);
    cr_assert_lt(pair->way.outcome.answers.size, ENTRIES_ANSWERS_MAX + size + 100);
    cr_assert_gt(pair->way.outcome.answers.size, ENTRIES_ANSWERS_MAX);
    cr_assert(has_lost(&pair->b));
    pair_free(pair);
}

/* ---- Expired keys, flushes ---- */

Test(entries, an_expired_key_goes_where_it_is_not_newer) {
    struct pair *pair = pair_new();
    struct way back;
    way_init(&back, &pair->b, &pair->a);
    pair->a.keyspace->ledger->notes[slot_of("one")] |= SLOT_COORDINATED;
    pair->a.keyspace->ledger->notes[slot_of("two")] |= SLOT_COORDINATED;
    put_bytes(&pair->a, "one", "value", 5, NOW_MS + 5);
    put_bytes(&pair->a, "two", "value", 5, NOW_MS + 5);
    add_effects(&pair->way);
    deliver(&pair->way);
    put(&pair->b, "two", "newer");
    keyspace_set_time(pair->a.keyspace, NOW_MS + 6);
    struct argument one = key_of("one"), two = key_of("two");
    struct entry entry;
    ledger_clear_effects(pair->a.keyspace->ledger);
    cr_assert_null(keyspace_lookup(pair->a.keyspace, 0, &one, LOOKUP_READ, &entry));
    cr_assert_null(keyspace_lookup(pair->a.keyspace, 0, &two, LOOKUP_READ, &entry));
    cr_assert_eq(pair->a.keyspace->ledger->effect_count, 2);
    cr_assert_eq(pair->a.keyspace->ledger->effects[0].kind, EFFECT_EXPIRED);
    add_effects(&pair->way);
    uint64_t changed = pair->way.outcome.changed;
    cr_assert_eq(apply(&pair->way), ENTRIES_APPLIED);
    cr_assert_eq(pair->way.outcome.changed, changed + 1);
    cr_assert_null(find(&pair->b, "one"));
    expect_value(&pair->b, "two", "newer");
    deliver(&pair->way);
    cr_assert_eq(pair->way.outcome.changed, changed + 1);
    way_release(&back);
    pair_free(pair);
}

Test(entries, a_flush_drops_what_is_not_newer_in_its_slots) {
    struct pair *pair = pair_new();
    put(&pair->a, "a", "old");
    put(&pair->a, "b", "old");
    add_effects(&pair->way);
    uint64_t counter = keyspace_stamp(pair->a.keyspace);
    uint32_t slot = slot_of("a");
    cr_assert_neq(slot, slot_of("b"));
    cr_assert(entries_add_flush(&pair->way.payload, slot, slot, counter));
    put(&pair->a, "{a}1", "new");
    add_effects(&pair->way);
    deliver(&pair->way);
    cr_assert_null(find(&pair->b, "a"));
    expect_value(&pair->b, "b", "old");
    expect_value(&pair->b, "{a}1", "new");
    cr_assert_eq(pair->b.keyspace->ledger->flush_counters[slot], counter);
    /* What comes in later from before is dropped, too. */
    add(&pair->way, "a");
    deliver(&pair->way);
    cr_assert_null(find(&pair->b, "a"));
    pair_free(pair);
}

Test(entries, a_flush_of_slots_that_do_not_exist_is_malformed) {
    const unsigned ranges[][2] = {{0, SLOT_COUNT}, {5, 4}, {SLOT_COUNT, SLOT_COUNT}, {65535, 65535}};
    for (unsigned i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        struct pair *pair = pair_new();
        append_flush(&pair->way.payload, ranges[i][0], ranges[i][1], (uint64_t)NOW_MS << 16);
        cr_assert_eq(apply(&pair->way), ENTRIES_MALFORMED);
        pair_free(pair);
    }
}

Test(entries, what_comes_from_an_impossible_future_is_ignored) {
    struct pair *pair = pair_new();
    struct actor_identity identity = identity_of(9);
    uint64_t far = (uint64_t)(NOW_MS + CLOCK_FUTURE_MAX_MS + 1) << 16, now = (uint64_t)NOW_MS << 16;
    struct dot dot = {far, 3};
    put(&pair->b, "key", "value");
    append_flush(&pair->way.payload, 0, SLOT_COUNT - 1, far);
    append_flush(&pair->way.payload, 0, SLOT_COUNT - 1, UINT64_MAX);
    append_actor(&pair->way.payload, 3, &identity);
    append_record(&pair->way.payload, &dot, 1, "key");
    /* EXPIRED, of a version that descends from all */
    struct actor_identity self = identity_of(1);
    append_actor(&pair->way.payload, 4, &self);
    cr_assert(buffer_append_byte(&pair->way.payload, 4));
    append_version(&pair->way.payload, (struct dot[]){{far, 4}}, 1);
    cr_assert(buffer_append(&pair->way.payload, "\x03key", 4));
    deliver(&pair->way);
    cr_assert_eq(pair->way.outcome.refused, 4);
    cr_assert_eq(pair->way.outcome.stale, 4);
    cr_assert_eq(pair->way.outcome.changed, 0);
    expect_value(&pair->b, "key", "value");
    cr_assert_lt(pair->b.keyspace->counter, far);
    cr_assert_leq(pair->b.keyspace->ledger->flush_counters[0], now);
    pair_free(pair);
}
