/* world.c - the heap of events, and the generators.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/world.h"

#include <stdio.h>
#include <string.h>

#define EVENTS_FIRST 256
/* 2025-06-01: runs begin about there, each seed a little elsewhere. */
#define WALL_START_US INT64_C(1748736000000000)

void world_init(struct world *world, uint64_t seed) {
    *world = (struct world){.seed = seed};
    for (unsigned i = 0; i < CHANCE_COUNT; i++)
        rng_init(&world->random[i], seed * CHANCE_COUNT + i);
    world->now_ns = 1000000000;
    world->wall_offset_us =
        WALL_START_US + (int64_t)rng_below(world_random(world, CHANCE_CLOCK), 86400000000);
    trace_init(&world->trace, &world->mem);
    trace_number(&world->trace, seed);
}

void world_release(struct world *world) {
    trace_release(&world->trace, &world->mem);
    mem_free(&world->mem, world->events, world->event_capacity * sizeof *world->events);
    mem_free(&world->mem, world->at_once, world->at_once_capacity * sizeof *world->at_once);
    CHECK(world->mem.used_bytes == 0);
}

void *world_alloc(struct world *world, size_t size) {
    void *pointer = mem_alloc_zeroed(&world->mem, size);
    CHECK(pointer != NULL);
    return pointer;
}

void world_free(struct world *world, void *pointer, size_t size) {
    mem_free(&world->mem, pointer, size);
}

/* As one number: there is nothing to be guessed about it, as there would be with a branch for the time and one for the sequence. */
static inline unsigned __int128 order_of(const struct event *event) {
    return (unsigned __int128)event->time_ns << 64 | event->sequence;
}

static inline bool is_before(const struct event *a, const struct event *b) {
    return order_of(a) < order_of(b);
}

/* Makes room for one event more. */
static struct event *grow(struct world *world, struct event *events, size_t *capacity) {
    size_t more = *capacity == 0 ? EVENTS_FIRST : *capacity * 2;
    events = mem_resize(&world->mem, events, *capacity * sizeof *events, more * sizeof *events);
    CHECK(events != NULL);
    *capacity = more;
    return events;
}

static void add_at_once(struct world *world, const struct event *event) {
    size_t capacity = world->at_once_capacity;
    if (world->at_once_count == capacity) {
        world->at_once = grow(world, world->at_once, &world->at_once_capacity);
        /* What had gone round the end of the ring follows on. */
        memcpy(world->at_once + capacity, world->at_once, world->at_once_first * sizeof *event);
    }
    world->at_once[(world->at_once_first + world->at_once_count++) & (world->at_once_capacity - 1)] = *event;
}

/* Puts an event into the heap at a place, or above it. */
static inline void put_at(struct world *world, size_t place, const struct event *event) {
    struct event *events = world->events;
    for (; place > 0 && is_before(event, &events[(place - 1) / 2]); place = (place - 1) / 2)
        events[place] = events[(place - 1) / 2];
    events[place] = *event;
}

void world_at(struct world *world, uint64_t time_ns, world_action *act, void *context) {
    CHECK(time_ns >= world->now_ns);
    struct event event = {
        .time_ns = time_ns, .sequence = world->next_sequence++, .act = act, .context = context};
    if (time_ns == world->now_ns) {
        add_at_once(world, &event);
        return;
    }
    if (world->event_count == world->event_capacity)
        world->events = grow(world, world->events, &world->event_capacity);
    put_at(world, world->event_count++, &event);
}

/* The gap that the first one leaves goes down to the end of a branch, and then up to where the last one belongs, which is nearly
 * always there: that is one comparison a level instead of two. */
static struct event take_first(struct world *world) {
    struct event *events = world->events;
    struct event first = events[0], last = events[--world->event_count];
    size_t place = 0, child, count = world->event_count;
    for (; (child = 2 * place + 2) < count; place = child) {
        child -= is_before(&events[child - 1], &events[child]);
        events[place] = events[child];
    }
    if (child == count) {
        events[place] = events[child - 1];
        place = child - 1;
    }
    put_at(world, place, &last);
    return first;
}

static struct event take_at_once(struct world *world) {
    struct event first = world->at_once[world->at_once_first];
    world->at_once_first = (world->at_once_first + 1) & (world->at_once_capacity - 1);
    world->at_once_count--;
    return first;
}

bool world_step(struct world *world) {
    if (world->event_count == 0 && world->at_once_count == 0)
        return false;
    /* What is in the heap for this very time was asked for before the time came. */
    bool is_at_once =
        world->at_once_count != 0 && (world->event_count == 0 || world->events[0].time_ns > world->now_ns);
    struct event event = is_at_once ? take_at_once(world) : take_first(world);
    world->now_ns = event.time_ns;
    world->steps++;
    event.act(event.context);
    return true;
}

void world_fail(struct world *world, const char *format, ...) {
    if (world_has_failed(world))
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(world->failure, sizeof world->failure, format, arguments);
    va_end(arguments);
    trace_note(&world->trace, world->now_ns, "FAILED %s", world->failure);
}

void world_comment(struct world *world, const char *format, ...) {
    struct trace *trace = &world->trace;
    uint64_t hash = trace->hash;
    va_list arguments;
    if (!trace->prints_all)
        return;
    va_start(arguments, format);
    trace_note_list(trace, world->now_ns, format, arguments);
    va_end(arguments);
    trace->hash = hash;
}

void world_note(struct world *world, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    trace_note_list(&world->trace, world->now_ns, format, arguments);
    va_end(arguments);
}
