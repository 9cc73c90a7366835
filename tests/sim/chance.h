/* chance.h - draws that the simulator is made of: shares, spans, magnitudes; whole numbers only, so that a seed means
 * the same on every machine.
 *
 * May touch: base/rng. Must never know: what is drawn for.
 * Tests: the simulator runs some seeds twice and compares.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_CHANCE_H
#define SIM_CHANCE_H

#include "base/rng.h"

#include <stdbool.h>

/* least..most, both included, all equally likely. */
static inline uint64_t chance_between(struct rng *rng, uint64_t least, uint64_t most) {
    return least + rng_below(rng, most - least + 1);
}

/* True in so many of a thousand cases. */
static inline bool chance_permille(struct rng *rng, uint32_t permille) {
    return rng_below(rng, 1000) < permille;
}

/* least..most, all magnitudes (powers of two) equally likely. least > 0. */
static inline uint64_t chance_magnitude(struct rng *rng, uint64_t least, uint64_t most) {
    unsigned least_bits = 63u - (unsigned)__builtin_clzll(least),
             most_bits = 63u - (unsigned)__builtin_clzll(most);
    unsigned bits = (unsigned)chance_between(rng, least_bits, most_bits);
    uint64_t low = UINT64_C(1) << bits, high = low + (low - 1);
    return chance_between(rng, low < least ? least : low, high > most ? most : high);
}

/* One of the first `count` numbers; small ones are much more likely. */
static inline uint64_t chance_skewed(struct rng *rng, uint64_t count) {
    uint64_t limit = rng_below(rng, count) + 1;
    return rng_below(rng, limit);
}

#endif
