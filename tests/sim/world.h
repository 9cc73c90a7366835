/* world.h - the simulated world: its time, its events in order, its chance, its record of what happened.
 *
 * Time moves only from event to event. Events of the same time run in the order in which they were asked for. What
 * is drawn at random comes from one seed through a generator for each purpose, so that a fault more or less does not
 * change what the clients do.
 * May touch: base. Must never know: nodes, clients, streams.
 * Invariants: time never goes back; the wall clock may (it is the time and an offset).
 * Tests: it is one.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "base/mem.h"
#include "base/rng.h"
#include "sim/trace.h"

enum chance {
    CHANCE_SWARM,
    CHANCE_NETWORK,
    CHANCE_CLOCK,
    CHANCE_WORKLOAD,
    CHANCE_MEMORY,
    CHANCE_NODE,
    CHANCE_DISK,
    CHANCE_COUNT
};

#define WORLD_FAILURE_SIZE 1024

typedef void world_action(void *context);

struct event {
    uint64_t time_ns;
    uint64_t sequence;
    world_action *act;
    void *context;
};

struct world {
    uint64_t seed;
    uint64_t now_ns;
    int64_t wall_offset_us; /* wall clock - now */
    struct event *events;   /* a heap */
    size_t event_count, event_capacity;
    /* Asked for at the time at which they are to run: behind all of this time that are in the heap, in order. A ring. */
    struct event *at_once;
    size_t at_once_first, at_once_count, at_once_capacity;
    uint64_t next_sequence;
    uint64_t steps; /* events run */
    struct rng random[CHANCE_COUNT];
    struct mem mem; /* the simulator's own; never fails */
    struct trace trace;
    char failure[WORLD_FAILURE_SIZE]; /* "": all is well */
};

void world_init(struct world *world, uint64_t seed);
void world_release(struct world *world);

/* Asks for `act(context)` at a time (not before now). There is no taking back: who is called looks whether it still
 * applies, and a context lives as long as the world. */
void world_at(struct world *world, uint64_t time_ns, world_action *act, void *context);

/* Runs the next event; false: there is none. */
bool world_step(struct world *world);

/* The time of the next event; UINT64_MAX: there is none. */
static inline uint64_t world_next_ns(const struct world *world) {
    if (world->at_once_count != 0)
        return world->now_ns;
    return world->event_count == 0 ? UINT64_MAX : world->events[0].time_ns;
}

static inline struct rng *world_random(struct world *world, enum chance chance) {
    return &world->random[chance];
}

static inline int64_t world_wall_us(const struct world *world) {
    return world->wall_offset_us + (int64_t)(world->now_ns / 1000);
}

/* Something is wrong: the first failure stays, and the run ends. */
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline bool world_has_failed(const struct world *world) {
    return world->failure[0] != '\0';
}

/* Prints a line of a run that is shown while it goes on: no part of the trace, so that runs stay the same. */
void world_comment(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Notes a line in the trace at the present time. */
void world_note(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Memory of the simulator: never NULL. */
void *world_alloc(struct world *world, size_t size);
void world_free(struct world *world, void *pointer, size_t size);

#endif
