/* version_test.c - the order and the join of version vectors, by example and by their laws.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "data/version.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <string.h>

/* A version of the given dots, written {counter, actor}. */
#define VERSION(...)                              \
    version_of((const struct dot[]){__VA_ARGS__}, \
               sizeof((const struct dot[]){__VA_ARGS__}) / sizeof(struct dot))

static struct version version_of(const struct dot *dots, size_t count) {
    struct version version = {0};
    for (size_t i = 0; i < count; i++)
        cr_assert(version_raise(&version, dots[i]));
    return version;
}

static void expect_same(const struct version *a, const struct version *b) {
    cr_assert_eq(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        cr_assert_eq(a->dots[i].actor, b->dots[i].actor);
        cr_assert_eq(a->dots[i].counter, b->dots[i].counter);
    }
}

static void expect_valid(const struct version *version) {
    cr_assert_leq(version->count, VERSION_DOTS_MAX);
    for (uint32_t i = 0; i < version->count; i++) {
        cr_assert_neq(version->dots[i].counter, 0);
        if (i > 0)
            cr_assert_lt(version->dots[i - 1].actor, version->dots[i].actor);
    }
}

/* Few actors and few counters, so that equal ones meet often. */
static struct version random_version(struct rng *rng, uint32_t dots_max, uint16_t actors) {
    struct version version = {0};
    uint32_t dots = (uint32_t)rng_below(rng, dots_max + 1);
    for (uint32_t i = 0; i < dots; i++)
        version_raise(&version, (struct dot){1 + rng_below(rng, 4), (uint16_t)rng_below(rng, actors)});
    return version;
}

/* The counter of an actor, 0 if it has none. */
static uint64_t counter_of(const struct version *version, uint16_t actor) {
    for (uint32_t i = 0; i < version->count; i++)
        if (version->dots[i].actor == actor)
            return version->dots[i].counter;
    return 0;
}

Test(version, equal_versions_are_equal) {
    struct version empty = {0}, one = VERSION({5, 1}), two = VERSION({5, 1}, {7, 2});
    cr_assert_eq(version_compare(&empty, &empty), VERSION_EQUAL);
    cr_assert_eq(version_compare(&one, &one), VERSION_EQUAL);
    cr_assert_eq(version_compare(&two, &two), VERSION_EQUAL);
}

Test(version, anything_descends_from_the_empty_version) {
    struct version empty = {0}, one = VERSION({1, 9});
    cr_assert_eq(version_compare(&one, &empty), VERSION_DESCENDS);
    cr_assert_eq(version_compare(&empty, &one), VERSION_PRECEDES);
}

Test(version, a_higher_counter_of_the_same_actor_descends) {
    struct version old = VERSION({5, 1}, {7, 2}), new = VERSION({5, 1}, {8, 2});
    cr_assert_eq(version_compare(&new, &old), VERSION_DESCENDS);
    cr_assert_eq(version_compare(&old, &new), VERSION_PRECEDES);
}

Test(version, one_more_actor_descends_wherever_it_stands) {
    struct version base = VERSION({5, 10}, {7, 20});
    for (uint16_t actor = 0; actor < 30; actor++) {
        if (counter_of(&base, actor) != 0)
            continue;
        struct version more = base;
        cr_assert(version_raise(&more, (struct dot){1, actor}));
        cr_assert_eq(version_compare(&more, &base), VERSION_DESCENDS);
        cr_assert_eq(version_compare(&base, &more), VERSION_PRECEDES);
    }
}

Test(version, versions_that_each_know_something_alone_are_concurrent) {
    struct version a = VERSION({5, 1}), b = VERSION({9, 2}), c = VERSION({4, 1}, {9, 2});
    cr_assert_eq(version_compare(&a, &b), VERSION_CONCURRENT);
    cr_assert_eq(version_compare(&b, &a), VERSION_CONCURRENT);
    cr_assert_eq(version_compare(&a, &c), VERSION_CONCURRENT);
    cr_assert_eq(version_compare(&c, &b), VERSION_DESCENDS);
}

Test(version, the_highest_dot_has_the_highest_counter_and_then_the_highest_actor) {
    struct version empty = {0}, ties = VERSION({7, 1}, {9, 3}, {9, 8}, {2, 40});
    cr_assert_eq(version_highest(&empty).counter, 0);
    cr_assert_eq(version_highest(&ties).counter, 9);
    cr_assert_eq(version_highest(&ties).actor, 8);
}

Test(version, raising_never_lowers_a_counter) {
    struct version version = VERSION({5, 1});
    cr_assert(version_raise(&version, (struct dot){3, 1}));
    cr_assert_eq(version.count, 1);
    cr_assert_eq(version.dots[0].counter, 5);
    cr_assert(version_raise(&version, (struct dot){6, 1}));
    cr_assert_eq(version.dots[0].counter, 6);
}

Test(version, raising_keeps_the_dots_sorted_by_actor) {
    struct version version = VERSION({1, 50}, {2, 10}, {3, 65535}, {4, 0}, {5, 30});
    expect_valid(&version);
    cr_assert_eq(version.count, 5);
    cr_assert_eq(version.dots[0].actor, 0);
    cr_assert_eq(version.dots[0].counter, 4);
    cr_assert_eq(version.dots[4].actor, 65535);
}

Test(version, a_full_version_refuses_a_new_actor_but_raises_a_known_one) {
    struct version version = {0};
    for (uint16_t actor = 0; actor < VERSION_DOTS_MAX; actor++)
        cr_assert(version_raise(&version, (struct dot){1, (uint16_t)(actor * 2)}));
    struct version before = version;
    for (uint16_t actor = 1; actor < VERSION_DOTS_MAX * 2; actor += 2)
        cr_assert_not(version_raise(&version, (struct dot){9, actor}));
    expect_same(&version, &before);
    cr_assert(version_raise(&version, (struct dot){9, 62}));
    cr_assert_eq(counter_of(&version, 62), 9);
}

Test(version, a_join_that_does_not_fit_changes_nothing) {
    struct version a = {0}, b = {0};
    for (uint16_t actor = 0; actor < VERSION_DOTS_MAX; actor++) {
        cr_assert(version_raise(&a, (struct dot){1, actor}));
        cr_assert(version_raise(&b, (struct dot){2, (uint16_t)(actor + 1)}));
    }
    struct version before = a;
    cr_assert_not(version_join(&a, &b));
    expect_same(&a, &before);
    b.count--; /* now the two know 32 actors together */
    cr_assert(version_join(&a, &b));
    cr_assert_eq(a.count, VERSION_DOTS_MAX);
    cr_assert_eq(counter_of(&a, 0), 1);
    cr_assert_eq(counter_of(&a, 31), 2);
}

Test(version, a_join_is_the_least_version_above_both) {
    struct rng rng;
    rng_init(&rng, 1);
    for (int round = 0; round < 20000; round++) {
        struct version a = random_version(&rng, 6, 12), b = random_version(&rng, 6, 12), joined = a;
        cr_assert(version_join(&joined, &b));
        expect_valid(&joined);
        for (uint16_t actor = 0; actor < 12; actor++) {
            uint64_t ours = counter_of(&a, actor), theirs = counter_of(&b, actor);
            cr_assert_eq(counter_of(&joined, actor), ours > theirs ? ours : theirs);
        }
    }
}

Test(version, joins_commute_associate_and_are_idempotent) {
    struct rng rng;
    rng_init(&rng, 2);
    for (int round = 0; round < 20000; round++) {
        struct version a = random_version(&rng, 6, 9), b = random_version(&rng, 6, 9);
        struct version c = random_version(&rng, 6, 9);
        struct version ab = a, ba = b, bc = b, left, right = a;
        cr_assert(version_join(&ab, &b) && version_join(&ba, &a) && version_join(&bc, &c));
        expect_same(&ab, &ba);
        left = ab;
        cr_assert(version_join(&left, &c) && version_join(&right, &bc));
        expect_same(&left, &right);
        cr_assert(version_join(&left, &right) && version_join(&left, &a));
        expect_same(&left, &right);
    }
}

Test(version, the_order_is_that_of_the_counters_actor_by_actor) {
    struct rng rng;
    rng_init(&rng, 3);
    unsigned seen[4] = {0};
    for (int round = 0; round < 20000; round++) {
        struct version a = random_version(&rng, 4, 4), b = random_version(&rng, 4, 4);
        bool a_ahead = false, b_ahead = false;
        for (uint16_t actor = 0; actor < 4; actor++) {
            a_ahead |= counter_of(&a, actor) > counter_of(&b, actor);
            b_ahead |= counter_of(&a, actor) < counter_of(&b, actor);
        }
        enum version_order expected = a_ahead && b_ahead ? VERSION_CONCURRENT
                                      : a_ahead          ? VERSION_DESCENDS
                                      : b_ahead          ? VERSION_PRECEDES
                                                         : VERSION_EQUAL;
        cr_assert_eq(version_compare(&a, &b), expected);
        seen[expected]++;
    }
    for (int order = 0; order < 4; order++)
        cr_assert_gt(seen[order], 100, "the examples hardly met order %d", order);
}

Test(version, the_next_counter_follows_the_clock_and_never_stands_still) {
    cr_assert_eq(version_next_counter(0, 1000), UINT64_C(1000) << 16);
    cr_assert_eq(version_next_counter(UINT64_C(1000) << 16, 1000), (UINT64_C(1000) << 16) + 1);
    cr_assert_eq(version_next_counter(UINT64_C(2000) << 16, 1000), (UINT64_C(2000) << 16) + 1,
                 "the clock went back");
}
