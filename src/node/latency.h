/* latency.h - when things took longer than latency-monitor-threshold: LATENCY LATEST, HISTORY, RESET, DOCTOR.
 *
 * An event is a kind of thing by its name: "command", "fast-command" (of commands that should never take
 * long), "expire-cycle". Each keeps its last LATENCY_SAMPLES samples, one for a second: the longest.
 * May touch: base, node. Must never know: what an event does, clocks (the caller measures and compares).
 * Invariants: an event in the list has at least one sample.
 * Tests: tests/unit/node/latency_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_LATENCY_H
#define NODE_LATENCY_H

#include "node/state.h"

/* More kinds than there are; a further one would not be noted. */
#define LATENCY_EVENTS_MAX 8
/* As many as clients of Redis know. */
#define LATENCY_SAMPLES 160

struct latency_sample {
    uint32_t time_s;
    uint32_t duration_ms;
};

struct latency_event {
    const char *name;
    uint32_t longest_ms; /* since the last reset */
    uint32_t noted; /* samples since the last reset; the newest is samples[(noted - 1) % LATENCY_SAMPLES] */
    struct latency_sample samples[LATENCY_SAMPLES];
};

struct latency_monitor {
    uint32_t event_count;
    struct latency_event events[LATENCY_EVENTS_MAX];
};

/* NULL: no memory. */
struct latency_monitor *latency_new(struct mem *mem);
void latency_free(struct mem *mem, struct latency_monitor *monitor);

/* Notes that an event took so long. `event` is a constant text: it is kept as a pointer. */
void latency_note(struct node *node, const char *event, uint64_t duration_ns);

/* NULL: nothing noted under that name since the last reset. */
const struct latency_event *latency_find(const struct latency_monitor *monitor, const uint8_t *name,
                                         size_t size);

/* How many samples are kept, and the index-th of them, oldest first. */
uint32_t latency_sample_count(const struct latency_event *event);
const struct latency_sample *latency_sample_at(const struct latency_event *event, uint32_t index);

/* Forgets an event, or all. Returns how many there were. */
uint32_t latency_reset(struct latency_monitor *monitor, const uint8_t *name, size_t size);
uint32_t latency_reset_all(struct latency_monitor *monitor);

#endif
