/*
 * rng_test.c - the generator: known numbers, no bias, replay.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/rng.h"

#include <criterion/criterion.h>

/* The first numbers of the published xoshiro256** from the state 1, 2, 3, 4. */
Test(rng, it_gives_the_published_numbers) {
    struct rng rng = {.state = {1, 2, 3, 4}};
    static const uint64_t expected[] = {11520ULL,
                                        0ULL,
                                        1509978240ULL,
                                        1215971899390074240ULL,
                                        1216172134540287360ULL,
                                        607988272756665600ULL,
                                        16172922978634559625ULL,
                                        8476171486693032832ULL,
                                        10595114339597558777ULL,
                                        2904607092377533576ULL};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        cr_expect_eq(rng_next64(&rng), expected[i], "number %zu", i);
}

/* The published splitmix64 from the seed 1234567. */
Test(rng, a_seed_is_spread_over_the_whole_state) {
    struct rng rng;
    rng_init(&rng, 1234567);
    cr_expect_eq(rng.state[0], 6457827717110365317ULL);
    cr_expect_eq(rng.state[1], 3203168211198807973ULL);
    cr_expect_eq(rng.state[2], 9817491932198370423ULL);
    cr_expect_eq(rng.state[3], 4593380528125082431ULL);
}

Test(rng, the_same_seed_gives_the_same_numbers_and_another_gives_others) {
    struct rng a, b, c;
    rng_init(&a, 42);
    rng_init(&b, 42);
    rng_init(&c, 43);
    int same = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t number = rng_next64(&a);
        cr_expect_eq(number, rng_next64(&b));
        same += number == rng_next64(&c);
    }
    cr_expect_eq(same, 0);
}

Test(rng, seed_zero_works) {
    struct rng rng;
    rng_init(&rng, 0);
    cr_expect_neq(rng.state[0] | rng.state[1] | rng.state[2] | rng.state[3], 0);
    cr_expect_neq(rng_next64(&rng), rng_next64(&rng));
}

Test(rng, below_reaches_every_number_equally_often) {
    struct rng rng;
    rng_init(&rng, 3);
    unsigned counts[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint64_t number = rng_below(&rng, 7);
        cr_assert_lt(number, 7);
        counts[number]++;
    }
    for (int i = 0; i < 7; i++)
        cr_expect(counts[i] > 9600 && counts[i] < 10400, "%d came %u times", i, counts[i]);
}

/* Of four numbers drawn two fall on the first of three results: without drawing again it would come twice as
 * often as the others. */
Test(rng, below_has_no_bias_for_a_limit_near_the_top) {
    struct rng rng;
    rng_init(&rng, 4);
    uint64_t limit = 3ULL << 62;
    unsigned rests[3] = {0};
    for (int i = 0; i < 30000; i++) {
        uint64_t number = rng_below(&rng, limit);
        cr_assert_lt(number, limit);
        rests[number % 3]++;
    }
    for (int i = 0; i < 3; i++)
        cr_expect(rests[i] > 9600 && rests[i] < 10400, "rest %d came %u times", i, rests[i]);
}

Test(rng, below_one_is_zero_and_the_largest_limit_works) {
    struct rng rng;
    rng_init(&rng, 5);
    for (int i = 0; i < 100; i++) {
        cr_expect_eq(rng_below(&rng, 1), 0);
        cr_expect_lt(rng_below(&rng, UINT64_MAX), UINT64_MAX);
    }
}

Test(rng, doubles_fill_the_range_from_zero_to_one) {
    struct rng rng;
    rng_init(&rng, 6);
    double sum = 0, least = 1, most = 0;
    for (int i = 0; i < 100000; i++) {
        double number = rng_double(&rng);
        cr_assert(number >= 0 && number < 1);
        sum += number;
        least = number < least ? number : least;
        most = number > most ? number : most;
    }
    cr_expect(sum > 49500 && sum < 50500, "sum %g", sum);
    cr_expect_lt(least, 0.001);
    cr_expect_gt(most, 0.999);
}
