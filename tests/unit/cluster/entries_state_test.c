/* entries_state_test.c - merge states on their way: counters and siblings, and who is named in them.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "entries_stage.h"

#include "base/number.h"
#include "data/merge_state.h"
#include "proto/record_codec.h"

#include <stdio.h>

/* INCRBY */
static void add_number(struct place *place, const char *name, int64_t by) {
    struct argument key = key_of(name);
    struct entry entry;
    struct amount amount = {.integer = by};
    int64_t number = 0;
    char digits[NUMBER_INT64_SIZE];
    if (keyspace_lookup(place->keyspace, 0, &key, LOOKUP_WRITE, &entry) != NULL)
        cr_assert(number_parse_int64((const char *)record_value(entry.record),
                                     record_value_size(entry.record), &number));
    size_t size = number_format_int64(digits, number + by);
    cr_assert(keyspace_add(place->keyspace, 0, &key, &entry, &amount, (const uint8_t *)digits, (uint32_t)size,
                           ENCODING_NATURAL));
}

static bool keeps_all(const void *context, const uint8_t *key, uint32_t key_size) {
    (void)context;
    return key_size != 0 && key[0] == 's';
}

static void keep_siblings(struct pair *pair) {
    pair->a.keyspace->keeps_siblings = pair->b.keyspace->keeps_siblings = keeps_all;
}

/* Two additions by others than the place itself; the version names the second alone. Appended: the state. */
static struct record_parts counter_of(struct buffer *state, uint16_t first, uint16_t second) {
    uint64_t now = (uint64_t)NOW_MS << 16;
    struct amount amount = {.integer = 4};
    struct record_parts parts = {.key = (const uint8_t *)"key",
                                 .key_size = 3,
                                 .value = (const uint8_t *)"4",
                                 .value_size = 1,
                                 .expiry_ms = RECORD_NO_EXPIRY,
                                 .newest = {.counter = now, .actor = first}};
    struct buffer before;
    buffer_init(&before, state->mem);
    cr_assert(merge_state_add(&before, NULL, true, parts.newest, &amount, NULL, NULL));
    parts.state = before.data;
    parts.state_size = (uint32_t)before.size;
    struct record_parts old = parts;
    parts.newest = (struct dot){.counter = now + 1, .actor = second};
    cr_assert(merge_state_add(state, &old, false, parts.newest, &amount, NULL, NULL));
    buffer_release(&before);
    parts.value = (const uint8_t *)"8";
    parts.state = state->data;
    parts.state_size = (uint32_t)state->size;
    return parts;
}

/* Such a counter under "key". */
static void put_counter(struct place *place, uint16_t first, uint16_t second) {
    struct buffer state;
    buffer_init(&state, &place->mem);
    struct record_parts parts = counter_of(&state, first, second);
    struct argument key = key_of("key");
    bool has_changed;
    cr_assert(keyspace_merge(place->keyspace, 0, &key, &parts, &has_changed) && has_changed);
    buffer_release(&state);
}

static const uint8_t *state_of(struct place *place, const char *name, uint32_t *size) {
    const uint8_t *state = record_state(find(place, name), size);
    cr_assert_not_null(state);
    cr_assert(merge_state_is_valid(state, *size, record_type(find(place, name))));
    return state;
}

struct named {
    struct place *place;
    unsigned numbers[4], count;
};

static bool note_named(void *context, struct dot dot) {
    struct named *named = context;
    cr_assert_lt(named->count, 4);
    cr_assert_lt(dot.actor, named->place->keyspace->actors.count);
    named->numbers[named->count++] = named->place->keyspace->actors.identities[dot.actor].node_id[1];
    return true;
}

/* Who is named in the state of "key" (by identity_of): just these two. */
static void expect_named(struct place *place, unsigned one, unsigned other) {
    struct named named = {.place = place};
    uint32_t size;
    const uint8_t *state = state_of(place, "key", &size);
    cr_assert(merge_state_each_dot(state, size, note_named, &named));
    cr_assert_eq(named.count, 2);
    cr_assert((named.numbers[0] == one && named.numbers[1] == other) ||
              (named.numbers[0] == other && named.numbers[1] == one));
}

Test(entries_state, who_is_named_in_a_merge_state_alone_is_told_too) {
    struct pair *pair = pair_new();
    uint16_t first = intern(&pair->a, 30), second = intern(&pair->a, 31);
    intern(&pair->b, 40);
    intern(&pair->b, 31); /* the order of the two is another one there */
    put_counter(&pair->a, first, second);
    expect_named(&pair->a, 30, 31);
    add(&pair->way, "key");
    size_t size = pair->way.payload.size;
    deliver(&pair->way);
    expect_named(&pair->b, 30, 31);
    expect_value(&pair->b, "key", "8");
    expect_equal(&pair->a, &pair->b);
    add(&pair->way, "key");
    cr_assert_eq(pair->way.payload.size, size - 2 * (1 + 2 + NODE_ID_SIZE + 1), "they are known now");
    deliver(&pair->way);
    cr_assert_eq(pair->way.outcome.stale, 1);
    pair_free(pair);
}

Test(entries_state, an_actor_of_a_merge_state_that_was_not_told_is_malformed) {
    struct pair *pair = pair_new();
    uint16_t first = intern(&pair->a, 30), second = intern(&pair->a, 31);
    put_counter(&pair->a, first, second);
    merge(&pair->a, "known", "value", (struct dot[]){{(uint64_t)NOW_MS << 16, second}}, 1);
    add(&pair->way, "known");
    pair->way.writer.told[first / 64u] |= UINT64_C(1) << first % 64u; /* which is not so */
    add(&pair->way, "key");
    cr_assert_eq(apply(&pair->way), ENTRIES_MALFORMED);
    expect_value(&pair->b, "known", "value");
    cr_assert_null(find(&pair->b, "key"));
    cr_assert_not(pair->b.keyspace->ledger->has_lost);
    pair_free(pair);
}

static void append_counter(struct way *way, uint16_t first, uint16_t second) {
    struct buffer state;
    buffer_init(&state, &way->mem);
    struct record_parts parts = counter_of(&state, first, second);
    cr_assert(buffer_append_byte(&way->payload, 2));
    cr_assert(record_codec_append(&way->payload, &parts, RECORD_CODEC_ALL));
    buffer_release(&state);
}

Test(entries_state, one_writer_under_two_numbers_of_a_merge_state_is_malformed) {
    struct pair *pair = pair_new();
    struct actor_identity identity = identity_of(9), other = identity_of(8);
    append_actor(&pair->way.payload, 3, &identity);
    append_actor(&pair->way.payload, 4, &identity);
    append_actor(&pair->way.payload, 5, &other);
    append_counter(&pair->way, 3, 5);
    deliver(&pair->way);
    expect_named(&pair->b, 9, 8);
    append_counter(&pair->way, 3, 4);
    cr_assert_eq(apply(&pair->way), ENTRIES_MALFORMED);
    pair_free(pair);
}

Test(entries_state, an_actor_of_a_merge_state_that_finds_no_place_counts_as_no_memory) {
    struct pair *pair = pair_new();
    struct actor_identity identity = {.node_id = {1, 2, 3}}, one_too_many = identity_of(9);
    for (uint32_t i = pair->b.keyspace->actors.count; i < ACTORS_MAX; i++) {
        identity.incarnation = i;
        cr_assert_neq(actors_intern(&pair->b.keyspace->actors, &identity), ACTORS_NONE);
    }
    append_actor(&pair->way.payload, 2, &identity);
    append_actor(&pair->way.payload, 3, &one_too_many);
    append_counter(&pair->way, 3, 2);
    append_record(&pair->way.payload, (struct dot[]){{(uint64_t)NOW_MS << 16, 2}}, 1, "other");
    cr_assert_eq(apply(&pair->way), ENTRIES_NO_MEMORY);
    cr_assert(pair->way.reader.has_gaps && has_lost(&pair->b));
    cr_assert_null(find(&pair->b, "key"));
    pair_free(pair);
}

Test(entries_state, of_a_long_value_with_a_merge_state_the_whole_record_is_told) {
    struct pair *pair = pair_new();
    keep_siblings(pair);
    put_long(&pair->a, "s");
    put_bytes(&pair->b, "s", "there", 5, EXPIRY_NONE);
    struct way back;
    way_init(&back, &pair->b, &pair->a);
    add(&back, "s");
    deliver(&back);
    uint32_t size;
    state_of(&pair->a, "s", &size);
    ledger_clear_effects(pair->a.keyspace->ledger);
    struct argument key = key_of("s");
    struct entry entry;
    put_long(&pair->a, "s");
    add(&pair->way, "s");
    deliver(&pair->way); /* both have the same plain value */
    keyspace_set_time(pair->b.keyspace, NOW_MS + 1);
    put_long(&pair->a, "s");
    put_long(&pair->b, "s"); /* and now again a sibling */
    add(&back, "s");
    deliver(&back);
    add(&pair->way, "s");
    deliver(&pair->way);
    ledger_clear_effects(pair->a.keyspace->ledger);
    cr_assert_not_null(keyspace_lookup(pair->a.keyspace, 0, &key, LOOKUP_WRITE, &entry));
    cr_assert(keyspace_set_expiry(pair->a.keyspace, 0, &key, &entry, NOW_MS + 1000));
    cr_assert_eq(pair->a.keyspace->ledger->effects[0].kind, EFFECT_PATCH);
    add_effects(&pair->way);
    cr_assert_gt(pair->way.payload.size, 2 * LONG_VALUE);
    deliver(&pair->way);
    state_of(&pair->b, "s", &size);
    expect_same_value(&pair->a, &pair->b, "s");
    expect_equal(&pair->a, &pair->b);
    /* A write has seen the sibling: told as a patch, it takes it away. */
    write_range(&pair->a, "s", 7, "!");
    add_effects(&pair->way);
    cr_assert_lt(pair->way.payload.size, 200);
    deliver(&pair->way);
    cr_assert_eq(record_state_size(find(&pair->b, "s")), 0);
    expect_same_value(&pair->a, &pair->b, "s");
    way_release(&back);
    pair_free(pair);
}

Test(entries_state, more_merge_states_than_a_batch_takes_all_arrive) {
    struct pair *pair = pair_new();
    keep_siblings(pair);
    static uint8_t bytes[100000];
    char name[16];
    struct way back;
    way_init(&back, &pair->b, &pair->a);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "s%u", i);
        memset(bytes, (int)i, sizeof bytes);
        put_bytes(&pair->a, name, bytes, i % 2 ? sizeof bytes : 10, EXPIRY_NONE);
        put(&pair->b, name, "there");
        add(&back, name);
    }
    deliver(&back);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "s%u", i);
        add(&pair->way, name);
        put(&pair->a, name, "plain");
        add(&pair->way, name); /* the same key twice in a batch */
        snprintf(name, sizeof name, "n%u", i);
        add_number(&pair->a, name, i);
        add(&pair->way, name);
    }
    deliver(&pair->way);
    expect_equal(&pair->a, &pair->b);
    cr_assert_eq(pair->way.outcome.applied, 120);
    way_release(&back);
    pair_free(pair);
}

/* ---- Concurrent additions, any order, no memory ---- */

enum { NODES = 3 };

Test(entries_state, additions_of_several_nodes_add_up_in_whatever_order_they_come) {
    struct rng rng;
    rng_init(&rng, 8);
    static struct place places[NODES];
    static struct way ways[NODES][NODES];
    int64_t sum = 0;
    for (unsigned i = 0; i < NODES; i++)
        place_init(&places[i], i);
    for (unsigned i = 0; i < NODES; i++)
        for (unsigned j = 0; j < NODES; j++)
            way_init(&ways[i][j], &places[i], &places[j]);
    for (unsigned round = 0; round < 500; round++) {
        unsigned from = (unsigned)rng_below(&rng, NODES), to = (from + 1 + (unsigned)rng_below(&rng, 2)) % 3;
        int64_t by = (int64_t)rng_below(&rng, 100) - 20;
        add_number(&places[from], "key", by);
        sum += by;
        if (rng_below(&rng, 3) == 0)
            add(&ways[from][to], "key");
        if (rng_below(&rng, 3) == 0)
            deliver(&ways[from][to]);
        ledger_clear_effects(places[from].keyspace->ledger);
    }
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < NODES; i++)
            for (unsigned j = 0; j < NODES; j++)
                if (i != j) {
                    add(&ways[i][j], "key");
                    deliver(&ways[i][j]);
                }
    char digits[32];
    snprintf(digits, sizeof digits, "%lld", (long long)sum);
    for (unsigned i = 0; i < NODES; i++) {
        expect_value(&places[i], "key", digits);
        expect_equal(&places[0], &places[i]);
    }
    for (unsigned i = 0; i < NODES; i++)
        for (unsigned j = 0; j < NODES; j++)
            way_release(&ways[i][j]);
    for (unsigned i = 0; i < NODES; i++)
        place_release(&places[i]);
}

Test(entries_state, without_memory_nothing_is_half_told_and_what_is_not_taken_is_lost) {
    unsigned untold = 0, lost = 0;
    for (unsigned of_keyspace = 0; of_keyspace < 2; of_keyspace++) {
        bool is_done = false;
        for (uint64_t fuse = 1; !is_done; fuse++) {
            struct pair *pair = pair_new();
            struct way *way = &pair->way;
            put_counter(&pair->a, intern(&pair->a, 30), intern(&pair->a, 31));
            add_number(&pair->b, "key", 100);
            way->mem.fuse = of_keyspace ? 0 : fuse;
            while (!entries_add_record(&way->writer, &pair->a.keyspace->actors, &way->payload,
                                       find(&pair->a, "key"))) {
                cr_assert_eq(way->payload.size, 0);
                buffer_clear(&way->payload);
                untold++;
            }
            cr_assert_eq(way->payload.data[0], 1, "an actor comes first");
            if (of_keyspace)
                pair->b.mem.fuse = fuse;
            enum entries_status status = apply(way);
            is_done = status == ENTRIES_APPLIED && (of_keyspace ? pair->b.mem.fuse : way->mem.fuse) != 0;
            pair->b.mem.fuse = way->mem.fuse = 0;
            if (status != ENTRIES_APPLIED) {
                cr_assert_eq(status, ENTRIES_NO_MEMORY);
                cr_assert(has_lost(&pair->b));
                expect_value(&pair->b, "key", "100");
                lost++;
                entries_reader_clear(&way->reader);
                cr_assert_eq(apply(way), ENTRIES_APPLIED);
            }
            expect_value(&pair->b, "key", "108");
            pair_free(pair);
        }
    }
    cr_assert(untold >= 2 && lost >= 4, "%u %u", untold, lost);
}
