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

static bool is_another(void *context, struct dot dot) {
    const struct dot *sought = context;
    return sought->actor != dot.actor || sought->counter != dot.counter;
}

bool content_holds(const struct actors *actors, const struct record_parts *parts, struct dot dot) {
    return !content_each(actors, parts, is_another, &dot);
}

struct crossing {
    const struct actors *actors;
    const struct record_parts *other;
    const struct version *seen; /* by the other */
};

/* Held by both, or unknown to the other. */
static bool stays(void *context, struct dot dot) {
    const struct crossing *crossing = context;
    return !version_covers(crossing->seen, dot) || content_holds(crossing->actors, crossing->other, dot);
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

bool content_version(const struct actors *actors, const struct record_parts *parts, struct version *version) {
    version->count = 0;
    return content_each(actors, parts, raise_dot, version);
}

/* ---- Earlier starts of the writer ---- */

static bool is_past(const void *context, uint16_t actor) {
    const struct content_past *past = context;
    return actors_is_past(past->actors, actor, past->self);
}

struct merge_past content_merge_past(const struct content_past *past) {
    return (struct merge_past){.is_past = is_past, .context = past, .is_final = past->fold > past->since};
}

static bool is_of_another(void *context, struct dot dot) {
    return dot.actor != *(const uint16_t *)context;
}

static bool holds_some_of(const struct content_past *past, const struct record_parts *parts, uint16_t actor) {
    return !content_each(past->actors, parts, is_of_another, &actor);
}

bool content_has_past(const struct content_past *past, const struct record_parts *parts) {
    if (past->fold <= past->since)
        return false;
    const struct merge_past merge_past = content_merge_past(past);
    for (uint32_t i = 0; i < parts->other_count; i++) {
        struct dot dot = parts->others[i];
        if (!is_past(past, dot.actor))
            continue;
        if (holds_some_of(past, parts, dot.actor)
                ? merge_state_has_past(parts->state, parts->state_size, &merge_past)
                : dot.counter < past->fold)
            return true;
    }
    return false;
}

void content_settle_past(const struct content_past *past, const struct record_parts *old,
                         struct record_parts *parts, struct dot *others) {
    uint32_t kept = 0;
    if (past->fold <= past->since)
        return;
    for (uint32_t i = 0; i < parts->other_count; i++) {
        struct dot dot = parts->others[i];
        if (is_past(past, dot.actor) && !holds_some_of(past, parts, dot.actor)) {
            bool was_held = old != NULL && holds_some_of(past, old, dot.actor);
            if (was_held || dot.counter <= past->since)
                dot.counter = parts->newest.counter - 1;
            else if (dot.counter < past->fold)
                continue;
        }
        others[kept++] = dot;
    }
    parts->others = others;
    parts->other_count = (uint16_t)kept;
}
