/*
 * histogram_test.c - buckets, percentiles and cumulative counts.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/histogram.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(histogram, an_empty_one_answers_zero) {
    struct histogram histogram;
    memset(&histogram, 0xff, sizeof(histogram));
    histogram_reset(&histogram);
    cr_expect_eq(histogram.count, 0);
    cr_expect_eq(histogram.sum, 0);
    cr_expect_eq(histogram.maximum, 0);
    cr_expect_eq(histogram_percentile(&histogram, 50), 0);
    cr_expect_eq(histogram_percentile(&histogram, 100), 0);
    uint64_t below[HISTOGRAM_POWERS];
    histogram_cumulative(&histogram, below);
    for (size_t i = 0; i < HISTOGRAM_POWERS; i++)
        cr_expect_eq(below[i], 0);
}

Test(histogram, it_keeps_count_sum_and_exact_maximum) {
    struct histogram histogram = {0};
    histogram_record(&histogram, 1000003, 1);
    histogram_record(&histogram, 5, 10);
    histogram_record(&histogram, 77777, 0);
    cr_expect_eq(histogram.count, 11);
    cr_expect_eq(histogram.sum, 1000053);
    cr_expect_eq(histogram.maximum, 1000003);
    cr_expect_eq(histogram_percentile(&histogram, 100), 1000003);
}

Test(histogram, small_values_are_exact) {
    struct histogram histogram = {0};
    for (uint64_t value = 1; value <= 10; value++)
        histogram_record(&histogram, value, 1);
    cr_expect_eq(histogram_percentile(&histogram, 0), 1);
    cr_expect_eq(histogram_percentile(&histogram, 10), 1);
    cr_expect_eq(histogram_percentile(&histogram, 10.1), 2);
    cr_expect_eq(histogram_percentile(&histogram, 50), 5);
    cr_expect_eq(histogram_percentile(&histogram, 90), 9);
    cr_expect_eq(histogram_percentile(&histogram, 99), 10);
}

/* One value and a much larger one: the median shows the bound of the first one's bucket. */
static uint64_t bound_of(uint64_t value) {
    struct histogram histogram = {0};
    histogram_record(&histogram, value, 2);
    histogram_record(&histogram, UINT64_MAX, 1);
    return histogram_percentile(&histogram, 50);
}

Test(histogram, a_bucket_is_at_most_a_sixteenth_wide) {
    struct rng rng;
    rng_init(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        uint64_t value = rng_next64(&rng) >> (24 + rng_below(&rng, 40));
        uint64_t bound = bound_of(value);
        cr_assert_geq(bound, value);
        cr_assert_leq(bound - value, value / 16, "value %lu, bound %lu", (unsigned long)value,
                      (unsigned long)bound);
        /* The bound lies in the bucket that it bounds, the next value does not. */
        cr_assert_eq(bound_of(bound), bound);
        cr_assert_gt(bound_of(bound + 1), bound);
    }
}

Test(histogram, values_past_the_range_share_the_last_bucket_and_show_the_maximum) {
    struct histogram histogram = {0};
    uint64_t limit = 1ULL << HISTOGRAM_BITS;
    histogram_record(&histogram, limit, 1);
    histogram_record(&histogram, limit * 2 - 1, 1);
    histogram_record(&histogram, limit * 1000, 1);
    cr_expect_eq(histogram_percentile(&histogram, 1), limit * 1000);
    uint64_t below[HISTOGRAM_POWERS];
    histogram_cumulative(&histogram, below);
    cr_expect_eq(below[HISTOGRAM_BITS], 0);
    histogram_record(&histogram, limit - 1, 1);
    histogram_cumulative(&histogram, below);
    cr_expect_eq(below[HISTOGRAM_BITS], 1);
    cr_expect_eq(below[HISTOGRAM_BITS - 1], 0);
}

Test(histogram, the_sum_stays_at_its_limit_instead_of_wrapping) {
    struct histogram histogram = {0};
    histogram_record(&histogram, UINT64_MAX, 1);
    histogram_record(&histogram, 1, 1);
    cr_expect_eq(histogram.sum, UINT64_MAX);
    histogram_reset(&histogram);
    histogram_record(&histogram, UINT64_MAX / 2, 3);
    cr_expect_eq(histogram.sum, UINT64_MAX);
}

Test(histogram, cumulative_counts_are_exact_at_powers_of_two) {
    struct histogram histogram = {0};
    static const uint64_t values[] = {0, 1, 1, 2, 3, 4, 15, 16, 17, 31, 32, 1023, 1024, 1025, 1ULL << 39};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        histogram_record(&histogram, values[i], 1);
    uint64_t below[HISTOGRAM_POWERS];
    histogram_cumulative(&histogram, below);
    for (size_t power = 0; power < HISTOGRAM_POWERS; power++) {
        uint64_t expected = 0;
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
            expected += values[i] < 1ULL << power;
        cr_expect_eq(below[power], expected, "below 2^%zu: %lu", power, (unsigned long)below[power]);
    }
}

static int compare_values(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

Test(histogram, percentiles_of_random_durations_are_near_the_true_ones) {
    static uint64_t values[10000];
    size_t count = sizeof(values) / sizeof(values[0]);
    struct histogram histogram = {0};
    struct rng rng;
    rng_init(&rng, 2);
    for (size_t i = 0; i < count; i++) {
        values[i] = rng_next64(&rng) >> (30 + rng_below(&rng, 30));
        histogram_record(&histogram, values[i], 1);
    }
    qsort(values, count, sizeof(values[0]), compare_values);
    static const struct {
        double percent;
        size_t rank;
    } cases[] = {{0, 1}, {1, 100}, {50, 5000}, {90, 9000}, {99, 9900}, {99.9, 9990}, {100, 10000}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t exact = values[cases[i].rank - 1];
        uint64_t shown = histogram_percentile(&histogram, cases[i].percent);
        cr_expect_geq(shown, exact);
        cr_expect_leq(shown - exact, exact / 16, "p%g: %lu for %lu", cases[i].percent, (unsigned long)shown,
                      (unsigned long)exact);
    }
}

Test(histogram, its_size_is_a_few_kilobytes) {
    cr_expect_leq(sizeof(struct histogram), 5 * 1024);
}
