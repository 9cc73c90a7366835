/* merge_state_stage.c - copies of one key on several nodes: their writes, and what they take in.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "data/merge_state_stage.h"

#include "base/number.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

int compare_actors(const void *context, uint16_t one, uint16_t other) {
    const struct world *world = context;
    return (int)world->identity[one] - world->identity[other];
}

void world_init(struct world *world, bool keeps_siblings) {
    *world = (struct world){.keeps_siblings = keeps_siblings};
    buffer_init(&world->bytes, &world->mem);
    for (uint16_t i = 0; i < ACTORS_MAX; i++)
        world->number[i] = world->identity[i] = i;
}

void world_release(struct world *world) {
    buffer_release(&world->bytes);
    cr_assert_eq(world->mem.used_bytes, 0);
}

struct record_parts parts_of(const struct copy *copy) {
    return (struct record_parts){.key = (const uint8_t *)"k",
                                 .key_size = 1,
                                 .value = copy->value,
                                 .value_size = copy->value_size,
                                 .expiry_ms = copy->expiry_ms,
                                 .newest = copy->newest,
                                 .state = copy->state_size != 0 ? copy->state : NULL,
                                 .state_size = copy->state_size,
                                 .type = copy->type,
                                 .encoding = copy->encoding};
}

void check_copy(const struct copy *copy) {
    cr_assert(copy->state_size == 0 || merge_state_is_valid(copy->state, copy->state_size, copy->type));
}

static void copy_assign(struct copy *copy, const struct record_parts *parts, const struct version *version,
                        struct dot newest) {
    cr_assert(parts->value_size <= COPY_VALUE_MAX && parts->state_size <= COPY_STATE_MAX);
    copy->exists = true;
    copy->type = parts->type;
    copy->encoding = parts->encoding;
    copy->expiry_ms = parts->expiry_ms;
    copy->newest = newest;
    copy->version = *version;
    copy->value_size = parts->value_size;
    copy->state_size = parts->state_size;
    if (parts->value_size != 0)
        memmove(copy->value, parts->value, parts->value_size);
    if (parts->state_size != 0)
        memmove(copy->state, parts->state, parts->state_size);
    check_copy(copy);
}

int compare_dots(const struct world *world, struct dot one, struct dot other) {
    if (one.counter != other.counter)
        return one.counter < other.counter ? -1 : 1;
    return compare_actors(world, one.actor, other.actor);
}

/* Takes in what another copy holds, as a store does. */
void take_in(struct world *world, struct copy *ours, const struct copy *theirs) {
    bool theirs_wins;
    struct version joined;
    if (!theirs->exists)
        return;
    if (!ours->exists) {
        *ours = *theirs;
        return;
    }
    switch (version_compare(&ours->version, &theirs->version)) {
    case VERSION_EQUAL:
    case VERSION_DESCENDS: return;
    case VERSION_PRECEDES: *ours = *theirs; return;
    default: break;
    }
    switch (record_join(&ours->version, &theirs->version,
                        compare_dots(world, ours->newest, theirs->newest) < 0, &theirs_wins, &joined)) {
    case MERGE_KEEP: return;
    case MERGE_REPLACE: *ours = *theirs; return;
    default: break;
    }
    struct merge_context context = {
        .compare_actors = compare_actors, .context = world, .keeps_siblings = world->keeps_siblings};
    struct record_parts our_parts = parts_of(ours), their_parts = parts_of(theirs), merged;
    struct merge_side our_side = {.parts = &our_parts, .version = &ours->version};
    struct merge_side their_side = {.parts = &their_parts, .version = &theirs->version};
    cr_assert(merge_state_merge(&context, theirs_wins ? &their_side : &our_side,
                                theirs_wins ? &our_side : &their_side, &merged, &world->bytes));
    copy_assign(ours, &merged, &joined, theirs_wins ? theirs->newest : ours->newest);
}

/* ---- Writes of one copy -------------------------------------------------------------------------------------------------- */

bool is_alive(const struct copy *copy) {
    return copy->exists && copy->type == RECORD_STRING;
}

static void stamp(struct copy *copy, struct dot dot) {
    cr_assert(version_raise(&copy->version, dot));
    copy->newest = dot;
    copy->exists = true;
    check_copy(copy);
}

void set(struct copy *copy, struct dot dot, const char *text) {
    copy->type = RECORD_STRING;
    copy->encoding = ENCODING_NATURAL;
    copy->value_size = (uint32_t)strlen(text);
    memcpy(copy->value, text, copy->value_size);
    copy->state_size = 0;
    copy->expiry_ms = RECORD_NO_EXPIRY;
    stamp(copy, dot);
}

void bury(struct copy *copy, struct dot dot) {
    copy->type = RECORD_TOMBSTONE;
    copy->encoding = ENCODING_NATURAL;
    copy->value_size = copy->state_size = 0;
    copy->expiry_ms = RECORD_NO_EXPIRY;
    stamp(copy, dot);
}

void expire(struct copy *copy, struct dot dot) {
    copy->expiry_ms = COPY_EXPIRY_MS + (int64_t)dot.counter;
    if (copy->state_size != 0)
        merge_state_touch(copy->state, copy->state_size, dot);
    stamp(copy, dot);
}

/* What INCR or INCRBYFLOAT makes of the value. false: they refuse it. */
static bool add_to_value(struct copy *copy, bool is_gone, const struct amount *amount) {
    int64_t integer = 0;
    long double real = 0;
    if (!amount->is_float) {
        if (!is_gone && !number_parse_int64((const char *)copy->value, copy->value_size, &integer))
            return false;
        if (__builtin_add_overflow(integer, amount->integer, &integer))
            return false;
        copy->value_size = (uint32_t)number_format_int64((char *)copy->value, integer);
        copy->encoding = ENCODING_NATURAL;
        return true;
    }
    if (!is_gone && !number_parse_long_double((const char *)copy->value, copy->value_size, &real))
        return false;
    if (!isfinite(real + amount->real))
        return false;
    copy->value_size =
        (uint32_t)number_format_long_double((char *)copy->value, COPY_VALUE_MAX, real + amount->real);
    copy->encoding = ENCODING_EMBEDDED;
    return true;
}

/* is_expired: its time has come. */
bool add(struct world *world, struct copy *copy, struct dot dot, const struct amount *amount,
         bool is_expired) {
    static struct copy before; /* only its bytes are used */
    before = *copy;
    bool is_gone = !is_alive(copy) || is_expired;
    struct record_parts old = parts_of(&before);
    if (!add_to_value(copy, is_gone, amount))
        return false;
    if (is_gone)
        copy->expiry_ms = RECORD_NO_EXPIRY;
    copy->type = RECORD_STRING;
    buffer_clear(&world->bytes);
    cr_assert(merge_state_add(&world->bytes, copy->exists ? &old : NULL, is_gone, dot, amount, NULL, NULL));
    cr_assert_leq(world->bytes.size, COPY_STATE_MAX);
    if (!is_gone && copy->state_size != 0 &&
        merge_state_add_in_place(copy->state, copy->state_size, dot, amount)) {
        cr_assert_eq(world->bytes.size, copy->state_size);
        cr_assert_eq(memcmp(world->bytes.data, copy->state, copy->state_size), 0);
    } else {
        cr_assert_eq(memcmp(copy->state, before.state, before.state_size), 0);
    }
    copy->state_size = (uint32_t)world->bytes.size;
    memcpy(copy->state, world->bytes.data, world->bytes.size);
    stamp(copy, dot);
    return true;
}

bool increment(struct world *world, struct copy *copy, uint16_t actor, uint64_t counter, int64_t by) {
    return add(world, copy, (struct dot){.actor = actor, .counter = counter}, &(struct amount){.integer = by},
               false);
}

bool increment_float(struct world *world, struct copy *copy, uint16_t actor, uint64_t counter,
                     long double by) {
    return add(world, copy, (struct dot){.actor = actor, .counter = counter},
               &(struct amount){.is_float = true, .real = by}, false);
}

void expect_value(const struct copy *copy, const char *text) {
    cr_assert(is_alive(copy));
    cr_assert(copy->value_size == strlen(text) && memcmp(copy->value, text, copy->value_size) == 0,
              "%.*s, not %s", (int)copy->value_size, (const char *)copy->value, text);
}

/* The values of the siblings, one behind the other with blanks between them. */
void expect_siblings(const struct copy *copy, const char *texts) {
    char seen[512] = "";
    struct sibling sibling;
    size_t at = 0;
    while (copy->state_size != 0 && merge_state_next_sibling(copy->state, copy->state_size, &at, &sibling))
        snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s%.*s", seen[0] ? " " : "",
                 (int)sibling.size, (const char *)sibling.value);
    cr_assert_str_eq(seen, texts);
}
