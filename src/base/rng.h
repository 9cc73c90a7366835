/*
 * rng.h - a small fast generator of numbers that look random and follow from a seed alone.
 *
 * May touch: the generator that it is given. Must never know a clock or the system's entropy: the seed comes
 * from outside, and the same seed gives the same numbers on every machine. Not for secrets: who sees some
 * numbers can compute the rest.
 * Sources: xoshiro256** and splitmix64 by D. Blackman and S. Vigna (public domain, prng.di.unimi.it);
 * rng_below() is D. Lemire, "Fast random integer generation in an interval", 2019.
 * Tests: tests/unit/base/rng_test.c
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state[4]; /* never all zero */
};

/* Any seed will do; seeds that differ in one bit give unrelated numbers. */
static inline void rng_init(struct rng *rng, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15ULL;
        uint64_t mixed = seed;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
        rng->state[i] = mixed ^ (mixed >> 31);
    }
}

static inline uint64_t rng_rotate(uint64_t value, unsigned bits) {
    return value << bits | value >> (64 - bits);
}

/* 64 bits, all values equally likely. */
static inline uint64_t rng_next64(struct rng *rng) {
    uint64_t *state = rng->state;
    uint64_t result = rng_rotate(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rng_rotate(state[3], 45);
    return result;
}

/* A number from 0 to limit - 1, all equally likely. limit must not be 0. */
static inline uint64_t rng_below(struct rng *rng, uint64_t limit) {
    unsigned __int128 product = (unsigned __int128)rng_next64(rng) * limit;
    if ((uint64_t)product < limit) {
        /* 2^64 mod limit of the low halves would make some results more likely: draw again. */
        uint64_t excess = (0 - limit) % limit;
        while ((uint64_t)product < excess)
            product = (unsigned __int128)rng_next64(rng) * limit;
    }
    return (uint64_t)(product >> 64);
}

/* At least 0 and less than 1, in steps of 2^-53. */
static inline double rng_double(struct rng *rng) {
    return (double)(rng_next64(rng) >> 11) * 0x1p-53;
}

#endif
