/*
 * histogram.h - counts of durations (or any unsigned numbers) in buckets that grow with the number.
 *
 * May touch: the histogram that it is given; it allocates nothing. Knows nothing of clocks or of what is
 * measured.
 * Numbers below 16 have a bucket each; above, every doubling is cut into 16 equal steps, so a bucket is never
 * wider than 1/16 of the numbers in it (6.25 %). From 2^HISTOGRAM_BITS on all numbers share one bucket: as
 * nanoseconds this is 18 minutes, as microseconds 12 days.
 * Invariants: count is the sum of all buckets; all-zero memory is an empty histogram.
 * Tests: tests/unit/base/histogram_test.c
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BITS      40
#define HISTOGRAM_STEP_BITS 4
#define HISTOGRAM_STEPS     (1 << HISTOGRAM_STEP_BITS)
#define HISTOGRAM_BUCKETS   ((HISTOGRAM_BITS - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS + 1)

/* The powers of two from 2^0 to 2^HISTOGRAM_BITS. */
#define HISTOGRAM_POWERS (HISTOGRAM_BITS + 1)

/* About 4.8 KiB. Reading count, sum and maximum is fine; they change through the functions only. */
struct histogram {
    uint64_t count;   /* recorded values */
    uint64_t sum;     /* of all values; stays at UINT64_MAX when it gets there */
    uint64_t maximum; /* exact, 0 if there is no value */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Empties the histogram. */
void histogram_reset(struct histogram *histogram);

/* Records count times the same value. */
void histogram_record(struct histogram *histogram, uint64_t value, uint64_t count);

/*
 * The smallest bucket bound that percent (0 to 100) of the values do not exceed: at most 6.25 % above the
 * true value and never above the maximum. 0 if there is no value.
 */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

/* Fills below[e] with the number of values that are less than 2^e: exact, not rounded to buckets. */
void histogram_cumulative(const struct histogram *histogram, uint64_t below[HISTOGRAM_POWERS]);

#endif
