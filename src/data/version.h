/* version.h - version vectors: who wrote a key, and how far each writer had come.
 *
 * A version is a set of dots (actor, counter), at most one per actor. The counter is a hybrid logical
 * clock (48-bit milliseconds, 16-bit logical), so it gives order, last-write-wins and age in one
 * number. An actor is a (node id, incarnation), interned to 16 bits by each node.
 * Pure values, no memory of their own. Must never know: keys, nodes.
 * Invariants: dots are sorted by actor; counters are not 0.
 * Sources: Fidge/Mattern vector clocks; Kulkarni et al., Logical Physical Clocks (HLC), 2014.
 * Tests: tests/unit/data/version_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef DATA_VERSION_H
#define DATA_VERSION_H

#include <stdbool.h>
#include <stdint.h>

#define VERSION_DOTS_MAX 32

struct dot {
    uint64_t counter;
    uint16_t actor;
};

struct version {
    uint32_t count;
    struct dot dots[VERSION_DOTS_MAX];
};

enum version_order { VERSION_EQUAL, VERSION_DESCENDS, VERSION_PRECEDES, VERSION_CONCURRENT };

/* Whether who has this version has seen a write. */
static inline bool version_covers(const struct version *version, struct dot dot) {
    for (uint32_t i = 0; i < version->count; i++)
        if (version->dots[i].actor == dot.actor)
            return version->dots[i].counter >= dot.counter;
    return false;
}

/* How a stands to b: a descends from b (has seen all of b and more), precedes it, equals it, or neither. */
enum version_order version_compare(const struct version *a, const struct version *b);

/* The highest counter, 0 for an empty version. The dot that has it (ties: the higher actor). */
struct dot version_highest(const struct version *version);

/* Adds a dot, or raises the actor's counter; false: no room for another actor (nothing changed). */
bool version_raise(struct version *version, struct dot dot);

/* The least version that descends from both (per actor the higher counter); false: it does not fit. */
bool version_join(struct version *into, const struct version *other);

/* HLC: the next counter after `last` at wall-clock time now_ms. Strictly greater than last. */
static inline uint64_t version_next_counter(uint64_t last, uint64_t now_ms) {
    uint64_t now = now_ms << 16;
    return now > last ? now : last + 1;
}

#endif
