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

static bool is_before(const struct event *a, const struct event *b) {
    return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->sequence < b->sequence;
}

static void swap(struct event *a, struct event *b) {
    struct event kept = *a;
    *a = *b;
    *b = kept;
}

void world_at(struct world *world, uint64_t time_ns, world_action *act, void *context) {
    CHECK(time_ns >= world->now_ns);
    if (world->event_count == world->event_capacity) {
        size_t capacity = world->event_capacity == 0 ? EVENTS_FIRST : world->event_capacity * 2;
        world->events = mem_resize(&world->mem, world->events, world->event_capacity * sizeof *world->events,
                                   capacity * sizeof *world->events);
        CHECK(world->events != NULL);
        world->event_capacity = capacity;
    }
    size_t place = world->event_count++;
    world->events[place] = (struct event){
        .time_ns = time_ns, .sequence = world->next_sequence++, .act = act, .context = context};
    while (place > 0 && is_before(&world->events[place], &world->events[(place - 1) / 2])) {
        swap(&world->events[place], &world->events[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
}

static struct event take_first(struct world *world) {
    struct event first = world->events[0];
    world->events[0] = world->events[--world->event_count];
    size_t place = 0;
    for (;;) {
        size_t least = place;
        for (size_t child = 2 * place + 1; child <= 2 * place + 2 && child < world->event_count; child++)
            if (is_before(&world->events[child], &world->events[least]))
                least = child;
        if (least == place)
            return first;
        swap(&world->events[place], &world->events[least]);
        place = least;
    }
}

bool world_step(struct world *world) {
    if (world->event_count == 0)
        return false;
    struct event event = take_first(world);
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

void world_note(struct world *world, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    trace_note_list(&world->trace, world->now_ns, format, arguments);
    va_end(arguments);
}
