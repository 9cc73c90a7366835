/* merge_state_test.c - counters that add up and siblings that stay, by example. merge_state_histories_test.c has random ones.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"
#include "data/merge_state_stage.h"

#include <criterion/criterion.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>

static struct world nodes;
static struct copy a, b, c;

static void set_up(void) {
    world_init(&nodes, false);
    memset(&a, 0, sizeof a);
    b = c = a;
}

static void tear_down(void) {
    world_release(&nodes);
}

static void exchange(struct copy *one, struct copy *other) {
    static struct copy before;
    before = *one;
    take_in(&nodes, one, other);
    take_in(&nodes, other, &before);
}

TestSuite(merge_state, .init = set_up, .fini = tear_down);

Test(merge_state, additions_on_both_sides_of_a_partition_add_up) {
    set(&a, dot_of(0, 1), "10");
    b = a;
    increment(&nodes, &a, 0, 2, 5);
    increment(&nodes, &a, 0, 3, 5);
    increment(&nodes, &b, 1, 2, -3);
    exchange(&a, &b);
    expect_value(&a, "17");
    expect_value(&b, "17");
    increment(&nodes, &b, 1, 9, 1);
    expect_value(&b, "18");
    exchange(&a, &b);
    expect_value(&a, "18");
}

Test(merge_state, an_absent_key_counts_from_zero_on_both_sides) {
    increment(&nodes, &a, 0, 7, 5);
    increment(&nodes, &b, 1, 7, 6);
    exchange(&a, &b);
    expect_value(&a, "11");
}

Test(merge_state, a_write_that_has_seen_an_addition_does_away_with_it) {
    increment(&nodes, &a, 0, 1, 5);
    b = a;
    set(&b, dot_of(1, 2), "100");
    exchange(&a, &b);
    expect_value(&a, "100");
    cr_assert_eq(a.state_size, 0);
}

Test(merge_state, an_addition_that_a_write_has_not_seen_counts_on_top_of_it) {
    increment(&nodes, &a, 0, 1, 5);
    set(&b, dot_of(1, 2), "100");
    exchange(&a, &b);
    expect_value(&a, "105");
    cr_assert_eq(merge_state_kind(a.state), MERGE_STATE_COUNTER);
}

Test(merge_state, an_addition_survives_a_concurrent_deletion) {
    set(&a, dot_of(0, 1), "40");
    b = a;
    bury(&b, dot_of(1, 9));
    increment(&nodes, &a, 0, 2, 2);
    exchange(&a, &b);
    expect_value(&a, "2");
    expect_value(&b, "2");
}

Test(merge_state, a_counter_that_is_deleted_where_all_was_seen_is_gone) {
    increment(&nodes, &a, 0, 1, 5);
    b = c = a;
    set(&b, dot_of(1, 2), "1");
    bury(&c, dot_of(2, 3));
    exchange(&a, &b);
    exchange(&b, &c);
    cr_assert_eq(b.type, RECORD_TOMBSTONE);
    cr_assert_eq(b.state_size, 0);
}

Test(merge_state, an_expiry_outlives_what_was_added_elsewhere) {
    set(&a, dot_of(0, 1), "1");
    b = a;
    expire(&a, dot_of(0, 2));
    increment(&nodes, &b, 1, 3, 1);
    exchange(&a, &b);
    expect_value(&a, "2");
    cr_assert_eq(a.expiry_ms, COPY_EXPIRY_MS + 2);
    cr_assert_eq(b.expiry_ms, COPY_EXPIRY_MS + 2);
}

Test(merge_state, an_expiry_that_wins_over_a_deletion_is_that_of_zero) {
    increment(&nodes, &a, 0, 1, 5);
    b = a;
    bury(&a, dot_of(0, 2));
    expire(&b, dot_of(1, 3));
    expect_value(&b, "5");
    exchange(&a, &b);
    expect_value(&a, "0");
    cr_assert_eq(a.expiry_ms, COPY_EXPIRY_MS + 3);
    cr_assert_eq(a.state_size, 0);
    increment(&nodes, &a, 0, 4, 1);
    increment(&nodes, &b, 1, 4, 1);
    exchange(&a, &b);
    expect_value(&b, "2");
}

Test(merge_state, additions_behind_a_deletion_begin_at_zero) {
    increment(&nodes, &a, 0, 1, 5);
    bury(&a, dot_of(0, 2));
    b = a;
    increment(&nodes, &a, 0, 3, 1);
    increment(&nodes, &b, 1, 3, 1);
    exchange(&a, &b);
    expect_value(&a, "2");
}

Test(merge_state, an_expired_counter_begins_at_zero) {
    increment(&nodes, &a, 0, 1, 5);
    b = a;
    cr_assert(add(&nodes, &a, dot_of(0, 2), &(struct amount){.integer = 1}, true));
    expect_value(&a, "1");
    increment(&nodes, &b, 1, 3, 10); /* its clock has not come so far */
    exchange(&a, &b);
    expect_value(&a, "11");
}

Test(merge_state, a_text_hides_additions_and_a_number_shows_them) {
    increment(&nodes, &a, 0, 1, 5);
    set(&b, dot_of(1, 2), "text");
    c = b;
    exchange(&a, &b);
    expect_value(&a, "text");
    set(&c, dot_of(2, 3), "1");
    exchange(&a, &c);
    expect_value(&a, "6");
}

Test(merge_state, one_float_part_makes_a_float_of_all) {
    set(&a, dot_of(0, 1), "3.10");
    b = a;
    increment_float(&nodes, &a, 0, 2, 0.25L);
    expect_value(&a, "3.35");
    increment_float(&nodes, &b, 1, 2, 1);
    exchange(&a, &b);
    expect_value(&a, "4.35");
    cr_assert_eq(a.encoding, ENCODING_EMBEDDED);
    increment_float(&nodes, &c, 2, 1, 1e30L);
    increment(&nodes, &b, 1, 4, 1); /* 4.35 is no integer */
    expect_value(&b, "4.35");
    exchange(&a, &c);
    cr_assert_gt(a.value_size, 25);
}

Test(merge_state, floats_of_any_size_come_back_as_they_were) {
    const long double reals[] = {0,
                                 -0.0L,
                                 1,
                                 -1,
                                 0.1L,
                                 1e4000L,
                                 -1e-4900L,
                                 LDBL_MAX,
                                 LDBL_MIN,
                                 -LDBL_MAX,
                                 3.5e-4951L,
                                 1.0L / 3,
                                 18446744073709551615.0L};
    for (unsigned i = 0; i < sizeof reals / sizeof *reals; i++) {
        struct amount amount = {.is_float = true, .real = reals[i]}, none = {.is_float = true};
        struct buffer one, two;
        buffer_init(&one, &nodes.mem);
        buffer_init(&two, &nodes.mem);
        cr_assert(merge_state_add(&one, NULL, true, dot_of(1, 1), &amount, NULL, NULL));
        cr_assert(merge_state_is_valid(one.data, one.size, RECORD_STRING));
        cr_assert(buffer_append(&two, one.data, one.size));
        cr_assert(merge_state_add_in_place(two.data, two.size, dot_of(1, 1), &none));
        cr_assert_eq(memcmp(one.data, two.data, one.size), 0);
        amount.real = -reals[i];
        cr_assert(merge_state_add_in_place(two.data, two.size, dot_of(1, 1), &amount));
        buffer_clear(&one);
        cr_assert(merge_state_add(&one, NULL, true, dot_of(1, 1), &none, NULL, NULL));
        cr_assert_eq(memcmp(one.data, two.data, one.size), 0, "%Lg", reals[i]);
        buffer_release(&one);
        buffer_release(&two);
    }
}

Test(merge_state, sums_stop_at_the_greatest_numbers) {
    increment(&nodes, &a, 0, 1, INT64_MAX);
    increment(&nodes, &b, 1, 1, INT64_MAX);
    exchange(&a, &b);
    expect_value(&a, "9223372036854775807");
    set(&a, dot_of(0, 2), "0");
    increment(&nodes, &a, 0, 3, INT64_MIN);
    increment(&nodes, &c, 2, 1, -1);
    exchange(&a, &c);
    expect_value(&a, "-9223372036854775808");
}

Test(merge_state, a_part_may_leave_the_range_that_the_value_keeps_to) {
    set(&a, dot_of(0, 1), "9223372036854775807");
    b = a;
    increment(&nodes, &a, 0, 2, -INT64_MAX);
    increment(&nodes, &a, 0, 3, -INT64_MAX);
    expect_value(&a, "-9223372036854775807");
    increment(&nodes, &b, 1, 2, -2);
    exchange(&a, &b);
    expect_value(&a, "-9223372036854775808"); /* one less than it says, and that does not show */
    increment(&nodes, &b, 1, 4, 10);
    exchange(&a, &b);
    increment(&nodes, &c, 2, 1, 5);
    exchange(&a, &c);
    expect_value(&a, "-9223372036854775794");
    increment(&nodes, &a, 0, 10, INT64_MAX); /* back to where eight bytes suffice */
    set(&c, dot_of(2, 2), "1");
    exchange(&a, &c);
}

Test(merge_state, floats_stop_at_the_greatest_numbers) {
    increment_float(&nodes, &a, 0, 1, LDBL_MAX);
    increment_float(&nodes, &b, 1, 1, LDBL_MAX);
    exchange(&a, &b);
    long double value;
    cr_assert(number_parse_long_double((char *)a.value, a.value_size, &value));
    cr_assert(value == LDBL_MAX);
}

Test(merge_state, the_part_that_the_version_has_no_room_for_goes_into_the_base) {
    uint8_t value[] = "7";
    struct buffer one, two;
    struct version version = {.count = 0};
    cr_assert(version_raise(&version, dot_of(99, 5)));
    struct amount amount = {.integer = 1};
    buffer_init(&one, &nodes.mem);
    buffer_init(&two, &nodes.mem);
    struct record_parts old = {.value = value, .value_size = 1, .newest = dot_of(99, 5)};
    for (uint16_t i = 0; i <= VERSION_DOTS_MAX; i++, amount.integer++) {
        struct dot dot = dot_of((uint16_t)(50 - i), 100 + i);
        buffer_clear(&two);
        if (!version_raise(&version, dot)) {
            /* The base's dot goes first, as the oldest; then that of the first part, which is the last in the order of actors. */
            version.count--;
            cr_assert(version_raise(&version, dot));
        }
        cr_assert(merge_state_add(&two, &old, false, dot, &amount, NULL, &version));
        cr_assert(merge_state_is_valid(two.data, two.size, RECORD_STRING));
        struct buffer swap = one;
        one = two;
        two = swap;
        old.state = one.data;
        old.state_size = (uint32_t)one.size;
    }
    /* The base: kind, 8 = 7 + 1 (the first), under the last dot. */
    cr_assert_eq(one.data[1], 1);
    cr_assert_eq(one.data[2], 50 - VERSION_DOTS_MAX);
    cr_assert_eq(one.data[12], ENCODING_NATURAL);
    cr_assert(one.data[13] == 1 && one.data[14] == 0 && one.data[15] == '8');
    cr_assert_eq(one.data[16], VERSION_DOTS_MAX);
    buffer_release(&one);
    buffer_release(&two);
}

Test(merge_state, a_loser_is_kept_where_it_is_asked_for) {
    set(&a, dot_of(0, 1), "one");
    set(&b, dot_of(1, 2), "two");
    c = b;
    take_in(&nodes, &c, &a);
    expect_value(&c, "two");
    expect_siblings(&c, "");
    nodes.keeps_siblings = true;
    exchange(&a, &b);
    expect_value(&a, "two");
    expect_siblings(&a, "one");
    expect_siblings(&b, "one");
    b = a;
    set(&a, dot_of(0, 3), "three"); /* has seen both */
    expire(&b, dot_of(1, 4));
    expect_siblings(&b, "one");
    exchange(&a, &b);
    expect_value(&a, "two");
    expect_siblings(&a, "three");
}

Test(merge_state, a_deletion_keeps_siblings_and_is_none) {
    nodes.keeps_siblings = true;
    set(&a, dot_of(0, 1), "one");
    bury(&b, dot_of(1, 2));
    exchange(&a, &b);
    cr_assert_eq(a.type, RECORD_TOMBSTONE);
    expect_siblings(&a, "one");
    set(&c, dot_of(2, 3), "three");
    exchange(&a, &c);
    expect_value(&a, "three");
    expect_siblings(&a, "one");
}

Test(merge_state, a_counter_has_the_bases_that_lost_as_siblings) {
    nodes.keeps_siblings = true;
    set(&a, dot_of(0, 1), "10");
    set(&b, dot_of(1, 2), "20");
    increment(&nodes, &a, 0, 3, 1);
    exchange(&a, &b);
    expect_value(&a, "21");
    expect_siblings(&a, "10");
    increment(&nodes, &a, 0, 4, 1);
    expect_value(&a, "22");
    expect_siblings(&a, "10");
}

Test(merge_state, siblings_are_at_most_eight_the_newest_ones) {
    nodes.keeps_siblings = true;
    struct copy copies[12];
    for (uint16_t i = 0; i < 12; i++) {
        char text[8];
        snprintf(text, sizeof text, "%u", i);
        copies[i] = (struct copy){0};
        set(&copies[i], dot_of((uint16_t)(20 + (i * 5) % 12), 1 + i), text);
    }
    for (unsigned i = 0; i < 12; i++)
        take_in(&nodes, &a, &copies[(i * 7) % 12]);
    expect_value(&a, "11");
    expect_siblings(&a, "10 9 8 7 6 5 4 3");
}

Test(merge_state, siblings_keep_to_their_limit_in_bytes) {
    uint32_t size = MERGE_SIBLINGS_SIZE_MAX / 2;
    uint8_t *value = malloc((size_t)size + 1);
    memset(value, 'x', (size_t)size + 1);
    struct buffer bytes[4];
    struct record_parts merged = {0};
    struct version version = {0};
    struct merge_context context = {
        .compare_actors = compare_actors, .context = &nodes, .keeps_siblings = true};
    /* The second one has a byte too much for both of the newest to go with it. */
    for (uint16_t i = 0; i < 4; i++) {
        buffer_init(&bytes[i], &nodes.mem);
        struct record_parts parts = {.value = value,
                                     .value_size = size + (i == 1),
                                     .expiry_ms = RECORD_NO_EXPIRY,
                                     .newest = dot_of(i, 1 + i)};
        struct version own = {.count = 1, .dots = {parts.newest}};
        struct merge_side winner = {.parts = &parts, .version = &own};
        struct record_parts before = merged;
        struct merge_side loser = {.parts = &before, .version = &version};
        if (i == 0)
            merged = parts;
        else
            cr_assert(merge_state_merge(&context, &winner, &loser, &merged, &bytes[i]));
        cr_assert(version_raise(&version, parts.newest));
        cr_assert(merged.state_size == 0 ||
                  merge_state_is_valid(merged.state, merged.state_size, RECORD_STRING));
    }
    struct sibling sibling;
    size_t at = 0;
    cr_assert(merge_state_next_sibling(merged.state, merged.state_size, &at, &sibling));
    cr_assert_eq(sibling.dot.counter, 3);
    cr_assert_eq(sibling.size, size);
    cr_assert_not(merge_state_next_sibling(merged.state, merged.state_size, &at, &sibling));
    for (unsigned i = 0; i < 4; i++)
        buffer_release(&bytes[i]);
    free(value);
}

Test(merge_state, without_memory_nothing_is_made) {
    increment(&nodes, &a, 0, 1, 5);
    increment(&nodes, &b, 1, 2, 5);
    struct mem mem = {.fuse = 1};
    struct buffer none;
    buffer_init(&none, &mem);
    struct record_parts ours = parts_of(&a), theirs = parts_of(&b), merged;
    struct amount amount = {.integer = 1};
    cr_assert_not(merge_state_add(&none, &ours, false, dot_of(2, 3), &amount, NULL, NULL));
    cr_assert_eq(none.size, 0);
    struct merge_context context = {.compare_actors = compare_actors, .context = &nodes};
    struct merge_side winner = {.parts = &theirs, .version = &b.version};
    struct merge_side loser = {.parts = &ours, .version = &a.version};
    mem.fuse = 1;
    cr_assert_not(merge_state_merge(&context, &winner, &loser, &merged, &none));
    cr_assert_eq(mem.used_bytes, 0);
}

Test(merge_state_bytes, what_no_writer_makes_is_refused, .init = set_up, .fini = tear_down) {
    increment(&nodes, &a, 1, 2, 5);
    struct change {
        unsigned at;
        uint8_t byte;
    } changes[] = {
        {0, 0},    /* no kind */
        {0, 2},    /* siblings */
        {1, 1},    /* a number, but there is none */
        {1, 3},    /* no kind of base */
        {1, 2},    /* a text that nobody wrote */
        {2, 0},    /* an actor, but counter 0 */
        {12, 0},   /* no parts */
        {12, 2},   /* more than there are */
        {13, 255}, /* with the next byte: nobody's */
        {23, 2},   /* a float, which is longer */
        {32, 1},   /* more siblings than there are */
    };
    cr_assert_eq(a.state_size, 33);
    cr_assert(merge_state_is_valid(a.state, 33, RECORD_STRING));
    cr_assert_not(merge_state_is_valid(a.state, 33, RECORD_TOMBSTONE));
    cr_assert_not(merge_state_is_valid(a.state, 33, 1));
    cr_assert_not(merge_state_is_valid(a.state, 32, RECORD_STRING));
    cr_assert_not(merge_state_is_valid(a.state, 34, RECORD_STRING));
    cr_assert_not(merge_state_is_valid(a.state, 0, RECORD_STRING));
    for (unsigned i = 0; i < sizeof changes / sizeof *changes; i++) {
        uint8_t bytes[33];
        memcpy(bytes, a.state, 33);
        bytes[changes[i].at] = changes[i].byte;
        if (changes[i].at == 13)
            bytes[14] = 255;
        cr_assert_not(merge_state_is_valid(bytes, 33, RECORD_STRING), "change %u", i);
    }
}

Test(merge_state_bytes, of_one_actor_with_two_parts_are_refused, .init = set_up, .fini = tear_down) {
    increment(&nodes, &a, 0, 1, 5);
    increment(&nodes, &b, 1, 2, 5);
    exchange(&a, &b);
    cr_assert_eq(a.state_size, 33 + 19);
    cr_assert(a.state[13] == 0 && a.state[32] == 1);
    a.state[32] = 0;
    cr_assert_not(merge_state_is_valid(a.state, a.state_size, RECORD_STRING));
    cr_assert_not(merge_state_sort(a.state, a.state_size));
    a.state[13] = 1;
    cr_assert_not(merge_state_is_valid(a.state, a.state_size, RECORD_STRING));
    cr_assert(merge_state_sort(a.state, a.state_size));
    cr_assert(merge_state_is_valid(a.state, a.state_size, RECORD_STRING));
}

Test(merge_state_bytes, of_too_many_siblings_are_refused) {
    size_t size = 2 + 15 + (size_t)MERGE_SIBLINGS_SIZE_MAX;
    uint8_t *bytes = calloc(1, size + 1);
    bytes[0] = MERGE_STATE_SIBLINGS;
    bytes[1] = 1;
    bytes[4] = 7;      /* the counter */
    bytes[13 + 3] = 1; /* the size: 16 MiB */
    cr_assert(merge_state_is_valid(bytes, size, RECORD_STRING));
    cr_assert(merge_state_is_valid(bytes, size, RECORD_TOMBSTONE));
    bytes[13]++;
    cr_assert_not(merge_state_is_valid(bytes, size + 1, RECORD_STRING));
    free(bytes);
}

Test(merge_state_bytes, of_the_greatest_sum_take_no_more) {
    /* Nothing there, one part of 16 bytes. */
    uint8_t bytes[41] = {MERGE_STATE_COUNTER, 0, 255, 255, [12] = 1, 1, 0, 7, [23] = 3};
    struct amount more = {.integer = 1}, less = {.integer = -1};
    memset(bytes + 24, 255, 15);
    bytes[39] = 127;
    cr_assert(merge_state_is_valid(bytes, sizeof bytes, RECORD_STRING));
    cr_assert(merge_state_add_in_place(bytes, sizeof bytes, dot_of(1, 8), &more));
    cr_assert(bytes[24] == 255 && bytes[39] == 127);
    memset(bytes + 24, 0, 15);
    bytes[39] = 128;
    cr_assert(merge_state_add_in_place(bytes, sizeof bytes, dot_of(1, 9), &less));
    cr_assert(bytes[24] == 0 && bytes[39] == 128);
    cr_assert(merge_state_is_valid(bytes, sizeof bytes, RECORD_STRING));
}
