/* version.c - comparing, raising and joining version vectors: merges of two lists sorted by actor.
 *
 * May touch: the caller's versions. Must never know: keys, nodes.
 * Tests: tests/unit/data/version_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "data/version.h"

#include <stddef.h>
#include <string.h>

enum version_order version_compare(const struct version *a, const struct version *b) {
    bool a_is_ahead = false, b_is_ahead = false;
    uint32_t i = 0, j = 0;
    while (i < a->count && j < b->count) {
        const struct dot *ours = &a->dots[i], *theirs = &b->dots[j];
        if (ours->actor < theirs->actor) {
            a_is_ahead = true;
            i++;
        } else if (ours->actor > theirs->actor) {
            b_is_ahead = true;
            j++;
        } else {
            a_is_ahead |= ours->counter > theirs->counter;
            b_is_ahead |= ours->counter < theirs->counter;
            i++;
            j++;
        }
    }
    a_is_ahead |= i < a->count;
    b_is_ahead |= j < b->count;
    if (a_is_ahead)
        return b_is_ahead ? VERSION_CONCURRENT : VERSION_DESCENDS;
    return b_is_ahead ? VERSION_PRECEDES : VERSION_EQUAL;
}

struct dot version_highest(const struct version *version) {
    struct dot highest = {0};
    for (uint32_t i = 0; i < version->count; i++)
        if (version->dots[i].counter >=
            highest.counter) /* actors ascend: on a tie the later one is the higher */
            highest = version->dots[i];
    return highest;
}

bool version_raise(struct version *version, struct dot dot) {
    uint32_t at = version->count; /* from the end: dots mostly come in order */
    while (at > 0 && version->dots[at - 1].actor >= dot.actor)
        at--;
    if (at < version->count && version->dots[at].actor == dot.actor) {
        if (version->dots[at].counter < dot.counter)
            version->dots[at].counter = dot.counter;
        return true;
    }
    if (version->count >= VERSION_DOTS_MAX)
        return false;
    memmove(version->dots + at + 1, version->dots + at, (version->count - at) * sizeof *version->dots);
    version->dots[at] = dot;
    version->count++;
    return true;
}

/* How many actors the two know together. */
static uint32_t count_actors(const struct version *a, const struct version *b) {
    uint32_t count = 0;
    for (uint32_t i = 0, j = 0; i < a->count || j < b->count; count++) {
        bool takes_a = j == b->count || (i < a->count && a->dots[i].actor <= b->dots[j].actor);
        bool takes_b = i == a->count || (j < b->count && b->dots[j].actor <= a->dots[i].actor);
        i += takes_a;
        j += takes_b;
    }
    return count;
}

bool version_join(struct version *into, const struct version *other) {
    uint32_t count = count_actors(into, other);
    if (count > VERSION_DOTS_MAX)
        return false;
    /* From the end, so that the dots of `into` are read before their places are written. */
    uint32_t i = into->count, j = other->count;
    into->count = count;
    while (count > 0) {
        struct dot *place = &into->dots[--count];
        if (j == 0 || (i > 0 && into->dots[i - 1].actor > other->dots[j - 1].actor)) {
            *place = into->dots[--i];
        } else if (i == 0 || into->dots[i - 1].actor < other->dots[j - 1].actor) {
            *place = other->dots[--j];
        } else {
            i--;
            j--;
            *place = into->dots[i].counter >= other->dots[j].counter ? into->dots[i] : other->dots[j];
        }
    }
    return true;
}
