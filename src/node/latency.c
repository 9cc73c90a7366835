/* latency.c - a ring of samples for each kind of event.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/latency.h"

struct latency_monitor *latency_new(struct mem *mem) {
    return mem_alloc_zeroed(mem, sizeof(struct latency_monitor));
}

void latency_free(struct mem *mem, struct latency_monitor *monitor) {
    mem_free(mem, monitor, sizeof *monitor);
}

static struct latency_event *find(struct latency_monitor *monitor, const uint8_t *name, size_t size) {
    for (uint32_t i = 0; i < monitor->event_count; i++) {
        struct latency_event *event = &monitor->events[i];
        if (strlen(event->name) == size && memcmp(event->name, name, size) == 0)
            return event;
    }
    return NULL;
}

const struct latency_event *latency_find(const struct latency_monitor *monitor, const uint8_t *name,
                                         size_t size) {
    return find((struct latency_monitor *)monitor, name, size);
}

/* The event of a name, made where it is new; NULL: there are too many. */
static struct latency_event *event_of(struct latency_monitor *monitor, const char *name) {
    struct latency_event *event = find(monitor, (const uint8_t *)name, strlen(name));
    if (event != NULL || monitor->event_count == LATENCY_EVENTS_MAX)
        return event;
    event = &monitor->events[monitor->event_count++];
    event->name = name;
    event->longest_ms = 0;
    event->noted = 0;
    return event;
}

void latency_note(struct node *node, const char *name, uint64_t duration_ns) {
    struct latency_event *event = event_of(node->latency, name);
    if (event == NULL)
        return;
    uint32_t now_s = (uint32_t)(node->wall_ms / 1000);
    uint64_t duration_ms = duration_ns / 1000000;
    uint32_t shown_ms = duration_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)duration_ms;
    if (shown_ms > event->longest_ms)
        event->longest_ms = shown_ms;
    if (event->noted != 0) {
        struct latency_sample *newest = &event->samples[(event->noted - 1) % LATENCY_SAMPLES];
        if (newest->time_s == now_s) {
            if (shown_ms > newest->duration_ms)
                newest->duration_ms = shown_ms;
            return;
        }
    }
    event->samples[event->noted % LATENCY_SAMPLES] = (struct latency_sample){now_s, shown_ms};
    /* Stays on the same place of the ring, and above LATENCY_SAMPLES, when it would run over. */
    event->noted = event->noted == LATENCY_SAMPLES * 2 ? LATENCY_SAMPLES + 1 : event->noted + 1;
}

uint32_t latency_sample_count(const struct latency_event *event) {
    return event->noted < LATENCY_SAMPLES ? event->noted : LATENCY_SAMPLES;
}

const struct latency_sample *latency_sample_at(const struct latency_event *event, uint32_t index) {
    uint32_t oldest = event->noted - latency_sample_count(event);
    return &event->samples[(oldest + index) % LATENCY_SAMPLES];
}

uint32_t latency_reset(struct latency_monitor *monitor, const uint8_t *name, size_t size) {
    struct latency_event *event = find(monitor, name, size);
    if (event == NULL)
        return 0;
    struct latency_event *last = &monitor->events[--monitor->event_count];
    if (event != last)
        *event = *last;
    return 1;
}

uint32_t latency_reset_all(struct latency_monitor *monitor) {
    uint32_t count = monitor->event_count;
    monitor->event_count = 0;
    return count;
}
