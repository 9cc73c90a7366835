/* content.c - walking the dots that a record holds.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/content.h"

#include "data/merge_state.h"

struct dot content_value_dot(const struct actors *actors, const struct record_parts *parts) {
    struct dot dot = parts->newest;
    for (uint32_t i = 0; i < parts->other_count; i++)
        if (parts->others[i].counter == dot.counter &&
            actors_compare(actors, parts->others[i].actor, dot.actor) > 0)
            dot.actor = parts->others[i].actor;
    return dot;
}

bool content_each(const struct actors *actors, const struct record_parts *parts, content_visit *visit,
                  void *context) {
    return visit(context, content_value_dot(actors, parts)) &&
           (parts->state_size == 0 || merge_state_each_dot(parts->state, parts->state_size, visit, context));
}

static bool covers_dot(void *context, struct dot dot) {
    return version_covers(context, dot);
}

bool content_is_covered(const struct actors *actors, const struct record_parts *parts,
                        const struct version *version) {
    /* It is only read. */
    return content_each(actors, parts, covers_dot, (void *)(uintptr_t)version);
}

struct crossing {
    const struct actors *actors;
    const struct record_parts *other;
    const struct version *seen; /* by the other */
};

static bool is_another(void *context, struct dot dot) {
    const struct dot *sought = context;
    return sought->actor != dot.actor || sought->counter != dot.counter;
}

/* Held by both, or unknown to the other. */
static bool stays(void *context, struct dot dot) {
    const struct crossing *crossing = context;
    return !version_covers(crossing->seen, dot) ||
           !content_each(crossing->actors, crossing->other, is_another, &dot);
}

bool content_gives_way(const struct actors *actors, const struct record_parts *first,
                       const struct version *first_version, const struct record_parts *second,
                       const struct version *second_version) {
    struct crossing crossing = {.actors = actors, .other = first, .seen = first_version};
    return content_is_covered(actors, first, second_version) &&
           content_each(actors, second, stays, &crossing);
}

static bool raise_dot(void *context, struct dot dot) {
    return version_raise(context, dot);
}

void content_version(const struct actors *actors, const struct record_parts *parts, struct version *version) {
    version->count = 0;
    /* All its actors are those of the record's own version, which fits. */
    bool fits = content_each(actors, parts, raise_dot, version);
    CHECK(fits);
}
