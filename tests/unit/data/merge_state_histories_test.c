/* merge_state_histories_test.c - merges of random histories, and of random bytes.
 *
 * A history is run on some copies of one key. It is checked against a list of all that was written: what of it must still count
 * follows from who had seen what. The same history is run with other numbers of the same actors. At the end the copies are merged in
 * many orders.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"
#include "base/rng.h"
#include "data/merge_state_stage.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#define EVENTS_MAX 128

enum event_kind { EVENT_SET, EVENT_DELETE, EVENT_EXPIRE, EVENT_ADD, EVENT_ADD_EXPIRED, EVENT_KINDS };

/* A write, by the identities of actors, and what it did away with: all that it had seen, or what one event before it was. */
struct event {
    enum event_kind kind;
    struct dot dot;
    const struct event *removes;
    bool removes_all;
    struct version seen;
    const char *text; /* of the base that it is: NULL is nothing */
    long double sum;  /* of the part that it is: exact, as sums of integers stay small here */
};

/* Two worlds with the same history, one of them with other numbers. */
struct history {
    struct rng rng;
    unsigned copy_count, event_count;
    bool has_floats, has_bases;
    uint64_t clock;
    struct world worlds[2];
    struct copy copies[2][ACTORS_MAX];
    struct event events[EVENTS_MAX];
};

static bool covers(const struct version *version, struct dot dot) {
    for (uint32_t i = 0; i < version->count; i++)
        if (version->dots[i].actor == dot.actor)
            return version->dots[i].counter >= dot.counter;
    return false;
}

static bool is_base(const struct event *event) {
    return event->kind != EVENT_ADD;
}

static bool is_part(const struct event *event) {
    return event->kind == EVENT_ADD || event->kind == EVENT_ADD_EXPIRED;
}

/* What of the history a copy with this version still has: all that no write in it has done away with. */
static bool counts(const struct history *history, const struct version *version, const struct event *event,
                   bool as_base) {
    if (!covers(version, event->dot))
        return false;
    for (unsigned i = 0; i < history->event_count; i++) {
        const struct event *other = &history->events[i];
        if (other == event || !covers(version, other->dot))
            continue;
        if (other->removes_all && covers(&other->seen, event->dot))
            return false;
        if (other->removes == event && is_base(other) == as_base)
            return false;
    }
    return true;
}

static const struct event *newest_base(const struct history *history, const struct version *version) {
    const struct event *newest = NULL;
    for (unsigned i = 0; i < history->event_count; i++) {
        const struct event *event = &history->events[i];
        if (is_base(event) && counts(history, version, event, true) &&
            (newest == NULL || compare_dots(&history->worlds[0], event->dot, newest->dot) > 0))
            newest = event;
    }
    return newest;
}

static const struct event *part_of(const struct history *history, const struct version *version,
                                   uint16_t actor) {
    for (unsigned i = 0; i < history->event_count; i++)
        if (is_part(&history->events[i]) && history->events[i].dot.actor == actor &&
            counts(history, version, &history->events[i], false))
            return &history->events[i];
    return NULL;
}

static bool is_number(const char *text, long double *value) {
    return number_parse_long_double(text, strlen(text), value) && isfinite(*value);
}

/* A copy of the first world, against all that was written. */
static void check_against_history(const struct history *history, const struct copy *copy) {
    const struct version *version = &copy->version;
    const struct event *base = newest_base(history, version);
    long double sum = 0, value;
    unsigned parts = 0, siblings = 0;
    for (uint16_t actor = 0; actor < ACTORS_MAX; actor++) {
        const struct event *part = part_of(history, version, actor);
        if (part != NULL) {
            sum += part->sum;
            parts++;
        }
    }
    bool has_text = base != NULL && base->text != NULL;
    if (!has_text && parts == 0) {
        cr_assert_eq(copy->type, RECORD_TOMBSTONE);
    } else if (has_text && (parts == 0 || !is_number(base->text, &value))) {
        expect_value(copy, base->text);
    } else {
        cr_assert_eq(copy->type, RECORD_STRING);
        sum += has_text ? value : 0;
        cr_assert(number_parse_long_double((const char *)copy->value, copy->value_size, &value));
        cr_assert(fabsl(value - sum) <= (history->has_floats ? 1e-12L : 0), "%Lg, not %Lg", value, sum);
    }
    for (unsigned i = 0; i < history->event_count; i++) {
        const struct event *event = &history->events[i];
        siblings +=
            event != base && is_base(event) && event->text != NULL && counts(history, version, event, true);
    }
    struct sibling sibling;
    size_t at = 0;
    struct dot above = {.counter = UINT64_MAX};
    if (!history->worlds[0].keeps_siblings)
        siblings = 0;
    cr_assert_leq(siblings, MERGE_SIBLINGS_MAX);
    while (copy->state_size != 0 && merge_state_next_sibling(copy->state, copy->state_size, &at, &sibling)) {
        const struct event *event = NULL;
        for (unsigned i = 0; i < history->event_count; i++)
            if (is_base(&history->events[i]) && history->events[i].dot.actor == sibling.dot.actor &&
                history->events[i].dot.counter == sibling.dot.counter)
                event = &history->events[i];
        cr_assert(event != NULL && event != base && counts(history, version, event, true));
        cr_assert(sibling.size == strlen(event->text) &&
                  memcmp(sibling.value, event->text, sibling.size) == 0);
        cr_assert(compare_dots(&history->worlds[0], above, sibling.dot) > 0);
        above = sibling.dot;
        siblings--;
    }
    cr_assert_eq(siblings, 0);
}

static void write_randomly(struct history *history, unsigned at) {
    static const char *const numbers[] = {"0", "5", "-3", "1000", "3.10", "0x10", "2.5"};
    static const char *const texts[] = {"text", "", "inf"};
    struct rng *rng = &history->rng;
    struct copy *first = &history->copies[0][at];
    struct event *event = &history->events[history->event_count];
    *event = (struct event){.seen = first->version};
    /* Above all that it has seen, and often what others use, too. */
    uint64_t counter = version_highest(&first->version).counter + 1 + rng_below(rng, 2);
    event->dot = dot_of((uint16_t)at, counter);
    event->kind = history->has_bases && rng_below(rng, 2) == 0 ? (enum event_kind)rng_below(rng, EVENT_KINDS)
                                                               : EVENT_ADD;
    if (!is_alive(first) && event->kind != EVENT_SET)
        event->kind = EVENT_ADD;
    bool is_float = history->has_floats && rng_below(rng, 3) == 0;
    struct amount amount = {.is_float = is_float, .integer = (int64_t)rng_below(rng, 100) - 30};
    if (is_float)
        amount.real = (long double)amount.integer / 7;
    const char *text = rng_below(rng, 5) == 0 ? texts[rng_below(rng, 3)]
                                              : numbers[rng_below(rng, history->has_floats ? 7 : 4)];
    const struct event *part = part_of(history, &first->version, (uint16_t)at);
    const struct event *base = newest_base(history, &first->version);
    bool done = true;
    for (unsigned i = 0; i < 2; i++) {
        struct world *world = &history->worlds[i];
        struct copy *copy = &history->copies[i][at];
        struct dot dot = dot_of(world->number[at], counter);
        switch (event->kind) {
        case EVENT_SET: set(copy, dot, text); break;
        case EVENT_DELETE: bury(copy, dot); break;
        case EVENT_EXPIRE: expire(copy, dot); break;
        default: done = add(world, copy, dot, &amount, event->kind == EVENT_ADD_EXPIRED); break;
        }
    }
    event->removes_all =
        event->kind == EVENT_SET || event->kind == EVENT_DELETE || event->kind == EVENT_ADD_EXPIRED;
    event->removes = event->kind == EVENT_ADD ? part : event->kind == EVENT_EXPIRE ? base : NULL;
    if (event->kind == EVENT_SET)
        event->text = text;
    else if (event->kind == EVENT_EXPIRE)
        event->text = base != NULL && base->text != NULL ? base->text : "0";
    event->sum = (is_float ? amount.real : amount.integer) +
                 (event->kind == EVENT_ADD && part != NULL ? part->sum : 0);
    history->event_count += done;
}

static bool to_first_numbers(void *context, uint16_t *actor) {
    *actor = ((const struct world *)context)->identity[*actor];
    return true;
}

static void expect_same(const struct copy *one, const struct copy *other) {
    cr_assert_eq(version_compare(&one->version, &other->version), VERSION_EQUAL);
    cr_assert(one->newest.actor == other->newest.actor && one->newest.counter == other->newest.counter);
    cr_assert_eq(one->type, other->type);
    cr_assert_eq(one->encoding, other->encoding);
    cr_assert_eq(one->expiry_ms, other->expiry_ms);
    cr_assert_eq(one->value_size, other->value_size);
    cr_assert_eq(memcmp(one->value, other->value, one->value_size), 0);
    cr_assert_eq(one->state_size, other->state_size);
    cr_assert_eq(memcmp(one->state, other->state, one->state_size), 0);
}

/* Gives a copy of the second world the numbers of the first one. */
static void renumber(struct world *other, struct copy *copy) {
    struct version version = {0};
    for (uint32_t i = 0; i < copy->version.count; i++)
        cr_assert(version_raise(
            &version, dot_of(other->identity[copy->version.dots[i].actor], copy->version.dots[i].counter)));
    copy->version = version;
    copy->newest.actor = other->identity[copy->newest.actor];
    if (copy->state_size != 0) {
        cr_assert(merge_state_renumber(copy->state, copy->state_size, to_first_numbers, other));
        cr_assert(merge_state_sort(copy->state, copy->state_size));
    }
    check_copy(copy);
}

/* Merges all copies of a world by twos, at random, until one is left. */
static void merge_all(struct history *history, unsigned which, struct copy *result) {
    static struct copy left[ACTORS_MAX];
    unsigned count = history->copy_count;
    memcpy(left, history->copies[which], sizeof left);
    while (count > 1) {
        unsigned one = (unsigned)rng_below(&history->rng, count),
                 other = (unsigned)rng_below(&history->rng, count);
        if (one == other)
            continue;
        take_in(&history->worlds[which], &left[one], &left[other]);
        /* Now and then it stays for another one, which must not change anything. */
        if (rng_below(&history->rng, 3) != 0)
            left[other] = left[--count];
    }
    *result = left[0];
}

static void run_history(struct history *history, uint64_t seed) {
    static struct copy results[5];
    rng_init(&history->rng, seed);
    struct rng *rng = &history->rng;
    history->copy_count = 3 + (unsigned)rng_below(rng, 3);
    history->event_count = 0;
    history->has_bases = rng_below(rng, 4) != 0;
    history->has_floats = rng_below(rng, 2) != 0;
    memset(history->copies, 0, sizeof history->copies);
    bool keeps_siblings = rng_below(rng, 2) != 0;
    for (unsigned i = 0; i < 2; i++)
        world_init(&history->worlds[i], keeps_siblings);
    struct world *other = &history->worlds[1];
    for (uint16_t i = ACTORS_MAX - 1; i > 0; i--) {
        uint16_t with = (uint16_t)rng_below(rng, i + 1u), number = other->number[i];
        other->number[i] = other->number[with];
        other->number[with] = number;
    }
    for (uint16_t i = 0; i < ACTORS_MAX; i++)
        other->identity[other->number[i]] = i;
    unsigned steps = 5 + (unsigned)rng_below(rng, 50);
    for (unsigned step = 0; step < steps; step++) {
        unsigned at = (unsigned)rng_below(rng, history->copy_count);
        unsigned from = (unsigned)rng_below(rng, history->copy_count);
        if (rng_below(rng, 3) != 0) {
            write_randomly(history, at);
        } else if (from != at) {
            for (unsigned i = 0; i < 2; i++)
                take_in(&history->worlds[i], &history->copies[i][at], &history->copies[i][from]);
        }
        if (history->copies[0][at].exists)
            check_against_history(history, &history->copies[0][at]);
    }
    for (unsigned i = 0; i < 5; i++)
        merge_all(history, i == 4, &results[i]);
    if (results[0].exists) {
        check_against_history(history, &results[0]);
        renumber(other, &results[4]);
        for (unsigned i = 1; i < 5; i++)
            expect_same(&results[0], &results[i]);
    }
    for (unsigned i = 0; i < 2; i++)
        world_release(&history->worlds[i]);
}

Test(merge_state_histories, all_orders_of_merging_give_what_was_written) {
    struct history *history = malloc(sizeof *history);
    for (uint64_t seed = 1; seed <= 4000; seed++)
        run_history(history, seed);
    free(history);
}

/* ---- Bytes of any origin ------------------------------------------------------------------------------------------------- */

static bool visit(void *context, struct dot dot) {
    *(uint64_t *)context += dot.counter + dot.actor;
    return true;
}

static bool add_one(void *context, uint16_t *actor) {
    (void)context;
    ++*actor;
    return *actor != ACTOR_NUMBER_NONE;
}

static int compare_numbers(const void *context, uint16_t one, uint16_t other) {
    (void)context;
    return (int)one - other;
}

/* What was found valid is safe with every function. */
static void use_state(const uint8_t *state, size_t size, unsigned type) {
    static uint8_t copy[COPY_STATE_MAX];
    uint64_t total = 0;
    struct sibling sibling;
    size_t at = 0;
    memcpy(copy, state, size);
    cr_assert(merge_state_each_dot(copy, size, visit, &total));
    while (merge_state_next_sibling(copy, size, &at, &sibling))
        cr_assert(sibling.value + sibling.size <= copy + size);
    cr_assert_eq(at, size);
    struct record_parts parts = {.value = (const uint8_t *)"8",
                                 .value_size = type == RECORD_STRING,
                                 .expiry_ms = RECORD_NO_EXPIRY,
                                 .type = (uint8_t)type,
                                 .newest = dot_of(3, 1000),
                                 .state = copy,
                                 .state_size = (uint32_t)size};
    struct record_parts plain = parts, merged;
    plain.state_size = 0;
    plain.newest = dot_of(4, 999);
    plain.type = RECORD_STRING;
    struct version ours = {.count = 1, .dots = {parts.newest}}, theirs = {.count = 1, .dots = {plain.newest}};
    struct merge_side side = {.parts = &parts, .version = &ours};
    struct merge_side other = {.parts = &plain, .version = &theirs};
    struct world any;
    world_init(&any, true);
    struct merge_context context = {
        .compare_actors = compare_numbers, .context = &any, .keeps_siblings = true};
    cr_assert(merge_state_merge(&context, &side, &other, &merged, &any.bytes));
    cr_assert(merged.state_size == 0 || merge_state_is_valid(merged.state, merged.state_size, merged.type));
    struct amount amount = {.integer = INT64_MAX};
    buffer_clear(&any.bytes);
    cr_assert(
        merge_state_add(&any.bytes, &parts, type != RECORD_STRING, dot_of(77, 1001), &amount, NULL, NULL));
    cr_assert(merge_state_is_valid(any.bytes.data, any.bytes.size, RECORD_STRING));
    (void)merge_state_add_in_place(copy, size, dot_of(1, 1001), &amount);
    merge_state_touch(copy, size, dot_of(1, 1001));
    if (merge_state_renumber(copy, size, add_one, NULL) && merge_state_sort(copy, size))
        cr_assert(merge_state_is_valid(copy, size, type));
    world_release(&any);
}

/* States of all kinds, as the copies of a history have them. */
static const struct copy *some_state(struct history *history, uint64_t seed) {
    do {
        run_history(history, seed);
        for (unsigned i = 0; i < history->copy_count; i++)
            if (history->copies[0][i].state_size != 0 && rng_below(&history->rng, 3) != 0)
                return &history->copies[0][i];
    } while ((seed += 10000));
    return NULL;
}

Test(merge_state_bytes, any_bytes_are_refused_or_safe) {
    struct history *history = malloc(sizeof *history);
    unsigned found_valid = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        const struct copy *copy = some_state(history, seed);
        for (unsigned round = 0; round < 300; round++) {
            size_t size = copy->state_size;
            /* A block of its own, so that reading behind it is noticed. */
            uint8_t *bytes = malloc(size + 3);
            memcpy(bytes, copy->state, size);
            memset(bytes + size, 0, 3);
            if (rng_below(&history->rng, 8) == 0)
                size = rng_below(&history->rng, size + 4);
            bytes = realloc(bytes, size + (size == 0));
            for (uint64_t changes = rng_below(&history->rng, 4); changes > 0 && size > 0; changes--)
                bytes[rng_below(&history->rng, size)] =
                    (uint8_t)(rng_below(&history->rng, 2) ? rng_below(&history->rng, 5)
                                                          : rng_next64(&history->rng));
            unsigned type = rng_below(&history->rng, 6) == 0 ? RECORD_TOMBSTONE : RECORD_STRING;
            if (merge_state_is_valid(bytes, size, type)) {
                use_state(bytes, size, type);
                found_valid++;
            }
            free(bytes);
        }
    }
    cr_assert_gt(found_valid, 5000);
    free(history);
}
