/* crash_writes.h - writes of all kinds to a keyspace, drawn at random, for checkpoints to be taken in the middle of.
 *
 * May touch: store, chance. Must never know: checkpoints.
 * Tests: the simulator's crash points.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_CRASH_WRITES_H
#define SIM_CRASH_WRITES_H

#include "sim/chance.h"
#include "sim/crash_image.h"

/* The largest value that is written. */
#define CRASH_VALUE_MAX (600u * 1024)

struct crash_mix {
    uint32_t value_max;      /* of most values */
    uint32_t long_permille;  /* of values: up to CRASH_VALUE_MAX, of the first few keys only */
    uint32_t flush_permille; /* of writes */
    uint32_t swap_permille;
    uint32_t expiry_permille; /* of values */
    uint32_t expiry_max_ms;
};

struct crash_keys crash_keys_make(struct mem *mem, struct rng *rng, uint32_t databases, uint32_t count);
void crash_keys_release(struct crash_keys *keys, struct mem *mem);

/* One write, or something else that changes a keyspace. space: CRASH_VALUE_MAX bytes. Returns a word for it. */
const char *crash_write(struct keyspace *keyspace, const struct crash_keys *keys, const struct crash_mix *mix,
                        struct rng *rng, uint8_t *space);

#endif
