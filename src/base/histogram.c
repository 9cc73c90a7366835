/*
 * histogram.c - the buckets behind histogram.h.
 *
 * May touch: the histogram that it is given. Knows nothing of clocks or of what is measured.
 * Invariants: bucket_of() never decreases; bucket_bound() is the greatest value that bucket_of() puts there.
 * Tests: tests/unit/base/histogram_test.c
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/histogram.h"

#include <string.h>

/* Values from HISTOGRAM_STEPS on: the exponent picks a row of 16 buckets, the four bits below the highest the
 * step. */
static size_t bucket_of(uint64_t value) {
    if (value < HISTOGRAM_STEPS)
        return (size_t)value;
    if (value >> HISTOGRAM_BITS != 0)
        return HISTOGRAM_BUCKETS - 1;
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
    return ((size_t)shift << HISTOGRAM_STEP_BITS) + (size_t)(value >> shift);
}

/* The greatest value of a bucket. */
static uint64_t bucket_bound(size_t bucket) {
    if (bucket < HISTOGRAM_STEPS)
        return bucket;
    if (bucket == HISTOGRAM_BUCKETS - 1)
        return UINT64_MAX;
    size_t shift = (bucket >> HISTOGRAM_STEP_BITS) - 1;
    uint64_t step = bucket - (shift << HISTOGRAM_STEP_BITS);
    return ((step + 1) << shift) - 1;
}

void histogram_reset(struct histogram *histogram) {
    memset(histogram, 0, sizeof(*histogram));
}

void histogram_record(struct histogram *histogram, uint64_t value, uint64_t count) {
    if (count == 0)
        return;
    histogram->buckets[bucket_of(value)] += count;
    histogram->count += count;
    uint64_t product;
    if (__builtin_mul_overflow(value, count, &product) ||
        __builtin_add_overflow(histogram->sum, product, &histogram->sum))
        histogram->sum = UINT64_MAX;
    if (value > histogram->maximum)
        histogram->maximum = value;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent) {
    if (histogram->count == 0)
        return 0;
    if (!(percent < 100))
        return histogram->maximum;

    /* The rank of the wanted value among the sorted ones, counted from 1, rounded up. */
    double exact = percent > 0 ? percent / 100 * (double)histogram->count : 0;
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact || rank == 0)
        rank++;

    uint64_t seen = 0;
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->buckets[bucket];
        if (seen >= rank) {
            uint64_t bound = bucket_bound(bucket);
            return bound < histogram->maximum ? bound : histogram->maximum;
        }
    }
    return histogram->maximum;
}

void histogram_cumulative(const struct histogram *histogram, uint64_t below[HISTOGRAM_POWERS]) {
    size_t bucket = 0;
    uint64_t seen = 0;
    for (unsigned exponent = 0; exponent < HISTOGRAM_POWERS; exponent++) {
        /* Every power of two begins a bucket. */
        size_t end = bucket_of(1ULL << exponent);
        for (; bucket < end; bucket++)
            seen += histogram->buckets[bucket];
        below[exponent] = seen;
    }
}
