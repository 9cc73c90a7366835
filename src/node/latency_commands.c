/* latency_commands.c - LATENCY: the monitor's events, and how long each command takes as a histogram.
 *
 * May touch: node, base. Must never know: how durations are measured.
 * Tests: tests/unit/node/latency_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/histogram.h"
#include "node/handlers.h"
#include "node/latency.h"
#include "node/text_reply.h"

/* Clients read bounds in microseconds; ours are powers of two in nanoseconds. This one is the first: "1". */
#define FIRST_BOUND_POWER 10

void handle_latency_latest(struct node *node, struct session *session, struct call *call) {
    (void)session;
    const struct latency_monitor *monitor = node->latency;
    reply_array(call->reply, monitor->event_count);
    for (uint32_t i = 0; i < monitor->event_count; i++) {
        const struct latency_event *event = &monitor->events[i];
        const struct latency_sample *newest = latency_sample_at(event, latency_sample_count(event) - 1);
        reply_array(call->reply, 4);
        reply_bulk_text(call->reply, event->name);
        reply_integer(call->reply, newest->time_s);
        reply_integer(call->reply, newest->duration_ms);
        reply_integer(call->reply, event->longest_ms);
    }
}

void handle_latency_history(struct node *node, struct session *session, struct call *call) {
    (void)session;
    const struct argument *name = &call->argv[2];
    const struct latency_event *event = latency_find(node->latency, name->data, name->size);
    uint32_t count = event == NULL ? 0 : latency_sample_count(event);
    reply_array(call->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct latency_sample *sample = latency_sample_at(event, i);
        reply_array(call->reply, 2);
        reply_integer(call->reply, sample->time_s);
        reply_integer(call->reply, sample->duration_ms);
    }
}

void handle_latency_reset(struct node *node, struct session *session, struct call *call) {
    (void)session;
    uint32_t forgotten = call->argc == 2 ? latency_reset_all(node->latency) : 0;
    for (uint32_t i = 2; i < call->argc; i++)
        forgotten += latency_reset(node->latency, call->argv[i].data, call->argv[i].size);
    reply_integer(call->reply, forgotten);
}

/* ---- DOCTOR ---- */

static void describe_event(struct buffer *text, const struct latency_event *event, int64_t now_s) {
    uint32_t count = latency_sample_count(event);
    const struct latency_sample *newest = latency_sample_at(event, count - 1);
    uint64_t sum_ms = 0;
    for (uint32_t i = 0; i < count; i++)
        sum_ms += latency_sample_at(event, i)->duration_ms;
    buffer_append_format(
        text,
        "- %s: %u seconds with slow ones are on record, %.1f ms each on average, %u ms at most; the "
        "last was %lld s ago and took %u ms.\n",
        event->name, count, (double)sum_ms / count, event->longest_ms, (long long)(now_s - newest->time_s),
        newest->duration_ms);
}

static void advise(struct buffer *text, const struct latency_monitor *monitor) {
    static const struct {
        const char *event, *advice;
    } advice[] = {
        {"command",
         "SLOWLOG GET names slow commands. KEYS, big MGET or DEL, and long scripts of requests are better "
         "cut into pieces (SCAN, UNLINK)."},
        {"fast-command",
         "Commands that never take long were slow: the machine itself may be short of processor time "
         "or memory, or the system swaps."},
        {"expire-cycle", "Many keys expire at the same moment: spread their times to live."},
    };
    for (unsigned i = 0; i < sizeof advice / sizeof *advice; i++)
        if (latency_find(monitor, (const uint8_t *)advice[i].event, strlen(advice[i].event)) != NULL)
            buffer_append_format(text, "Advice: %s\n", advice[i].advice);
}

void handle_latency_doctor(struct node *node, struct session *session, struct call *call) {
    (void)session;
    const struct latency_monitor *monitor = node->latency;
    int64_t threshold_ms = node->config->latency_monitor_threshold_ms;
    struct buffer text;
    buffer_init(&text, node->mem);
    if (monitor->event_count == 0 && threshold_ms == 0)
        buffer_append_text(&text, "Nothing is watched: latency-monitor-threshold is 0. With CONFIG SET "
                                  "latency-monitor-threshold 100 everything above 100 ms is noted.\n");
    else if (monitor->event_count == 0)
        buffer_append_format(&text, "Nothing has taken %lld ms or longer.\n", (long long)threshold_ms);
    for (uint32_t i = 0; i < monitor->event_count; i++)
        describe_event(&text, &monitor->events[i], node->wall_ms / 1000);
    advise(&text, monitor);
    text_reply(call, &text);
}

/* ---- HISTOGRAM ---- */

/* The bound of a power of two as clients know it: the end of that bucket, which is 1/128 wide, in
 * microseconds. */
static int64_t bound_us(unsigned power) {
    uint64_t bound_ns = (UINT64_C(1) << power) + (UINT64_C(1) << (power - 7)) - 1;
    return (int64_t)(bound_ns / 1000);
}

static void reply_histogram(struct reply *reply, const char *name, const struct histogram *histogram) {
    uint64_t below[HISTOGRAM_POWERS];
    histogram_cumulative(histogram, below);
    reply_bulk_text(reply, name);
    reply_map(reply, 2);
    reply_bulk_text(reply, "calls");
    reply_integer(reply, (int64_t)histogram->count);
    reply_bulk_text(reply, "histogram_usec");
    size_t place = reply_deferred(reply), steps = 0;
    uint64_t before = 0;
    for (unsigned power = FIRST_BOUND_POWER; power <= HISTOGRAM_BITS && before < histogram->count; power++) {
        /* What is longer than the longest bound is told at the longest bound. */
        uint64_t count = power == HISTOGRAM_BITS ? histogram->count : below[power];
        if (count == before)
            continue;
        reply_integer(reply, bound_us(power));
        reply_integer(reply, (int64_t)count);
        before = count;
        steps++;
    }
    reply_deferred_set(reply, place, '%', steps);
}

/* Writes the histogram of a row that has been called; returns how many were written. */
static size_t reply_row(struct node *node, struct reply *reply, const struct command *command) {
    const struct histogram *histogram = node->statistics.of_command[command->id].durations;
    if (histogram == NULL || histogram->count == 0)
        return 0;
    reply_histogram(reply, command->name, histogram);
    return 1;
}

/* A command by its full name, "client|list" for a subcommand; NULL: unknown. */
static const struct command *find_by_full_name(const struct node *node, const struct argument *name) {
    const uint8_t *bar = memchr(name->data, '|', name->size);
    if (bar == NULL)
        return command_find(node->commands, name->data, name->size);
    size_t size = (size_t)(bar - name->data);
    const struct command *container = command_find(node->commands, name->data, size);
    if (container == NULL || !(container->flags & COMMAND_CONTAINER))
        return NULL;
    return command_find_subcommand(container, bar + 1, name->size - size - 1);
}

void handle_latency_histogram(struct node *node, struct session *session, struct call *call) {
    (void)session;
    struct reply *reply = call->reply;
    size_t place = reply_deferred(reply), count = 0;
    if (call->argc == 2)
        for (unsigned id = 0; id < COMMAND_COUNT; id++)
            count += reply_row(node, reply, command_by_id(id));
    for (uint32_t i = 2; i < call->argc; i++) {
        const struct command *command = find_by_full_name(node, &call->argv[i]);
        if (command == NULL)
            continue;
        count += reply_row(node, reply, command);
        if (command->flags & COMMAND_CONTAINER)
            for (unsigned id = 0; id < COMMAND_COUNT; id++)
                if (command_by_id(id)->parent == command->id && id != command->id)
                    count += reply_row(node, reply, command_by_id(id));
    }
    reply_deferred_set(reply, place, '%', count);
}
