/* memory_commands.c - MEMORY USAGE, STATS, DOCTOR, PURGE.
 *
 * May touch: node, store, data. Must never know: the allocator (the host speaks for it).
 * Tests: tests/unit/node/memory_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/handlers.h"
#include "node/memory_report.h"
#include "node/text_reply.h"

#include <stdio.h>

/* ---- USAGE ---- */

/* Options are checked though a string has nothing to sample. false: the error is replied. */
static bool usage_options(struct call *call) {
    for (uint32_t i = 3; i < call->argc; i += 2) {
        int64_t samples;
        if (i + 1 == call->argc || !argument_is(&call->argv[i], "samples")) {
            reply_error(call->reply, ERROR_SYNTAX);
            return false;
        }
        if (!call_integer(call, i + 1, &samples, NULL))
            return false;
        if (samples < 0) {
            reply_error(call->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* The record's own allocation and its share of the slot's table. */
static uint64_t usage_of(const struct call *call, const struct argument *key, const struct record *record) {
    const struct dict *slot = &call->keyspace->databases[call->database]->slots[key->slot];
    uint64_t share = (dict_overhead_bytes(slot) + slot->count - 1) / slot->count;
    return mem_class(record_size(record)) + share;
}

void handle_memory_usage(struct node *node, struct session *session, struct call *call) {
    (void)node;
    (void)session;
    if (!usage_options(call))
        return;
    struct entry entry;
    struct argument *key = &call->argv[2];
    const struct record *record = keyspace_lookup(call->keyspace, call->database, key, LOOKUP_PEEK, &entry);
    if (record == NULL)
        reply_null(call->reply);
    else
        reply_integer(call->reply, (int64_t)usage_of(call, key, record));
}

/* ---- STATS ---- */

enum stat_kind { STAT_COUNT, STAT_DIFFERENCE, STAT_RATIO, STAT_ZERO };

/* The statistics of Redis, in its order; those about parts that are not here are 0. Databases come behind
 * FIRST_ROWS. */
static const struct {
    const char *name;
    enum stat_kind kind;
    size_t offset; /* in struct memory_report */
} stats[] = {
#define REPORTED(field) offsetof(struct memory_report, field)
    {"peak.allocated", STAT_COUNT, REPORTED(peak)},
    {"total.allocated", STAT_COUNT, REPORTED(used)},
    {"startup.allocated", STAT_COUNT, REPORTED(startup)},
    {"replication.backlog", STAT_ZERO, 0},
    {"clients.slaves", STAT_ZERO, 0},
    {"clients.normal", STAT_COUNT, REPORTED(clients.memory_bytes)},
    {"cluster.links", STAT_COUNT, REPORTED(link_bytes)},
    {"aof.buffer", STAT_ZERO, 0},
    {"lua.caches", STAT_ZERO, 0},
    {"functions.caches", STAT_ZERO, 0},
    {"overhead.total", STAT_COUNT, REPORTED(overhead)},
    {"keys.count", STAT_COUNT, REPORTED(keys)},
    {"keys.bytes-per-key", STAT_COUNT, REPORTED(bytes_per_key)},
    {"dataset.bytes", STAT_COUNT, REPORTED(dataset)},
    {"dataset.percentage", STAT_RATIO, REPORTED(dataset_percent)},
    {"peak.percentage", STAT_RATIO, REPORTED(peak_percent)},
    {"allocator.allocated", STAT_COUNT, REPORTED(facts.allocator_allocated_bytes)},
    {"allocator.active", STAT_COUNT, REPORTED(facts.allocator_active_bytes)},
    {"allocator.resident", STAT_COUNT, REPORTED(facts.allocator_resident_bytes)},
    {"allocator-fragmentation.ratio", STAT_RATIO, REPORTED(allocator_fragmentation)},
    {"allocator-fragmentation.bytes", STAT_DIFFERENCE, REPORTED(allocator_fragmentation_bytes)},
    {"allocator-rss.ratio", STAT_RATIO, REPORTED(allocator_rss)},
    {"allocator-rss.bytes", STAT_DIFFERENCE, REPORTED(allocator_rss_bytes)},
    {"rss-overhead.ratio", STAT_RATIO, REPORTED(rss_overhead)},
    {"rss-overhead.bytes", STAT_DIFFERENCE, REPORTED(rss_overhead_bytes)},
    {"fragmentation", STAT_RATIO, REPORTED(fragmentation)},
    {"fragmentation.bytes", STAT_DIFFERENCE, REPORTED(fragmentation_bytes)},
#undef REPORTED
};
#define STAT_ROWS  (sizeof stats / sizeof *stats)
#define FIRST_ROWS 10

static void reply_stat(struct reply *reply, const struct memory_report *report, unsigned row) {
    const char *at = (const char *)report + stats[row].offset;
    reply_bulk_text(reply, stats[row].name);
    switch (stats[row].kind) {
    case STAT_COUNT: reply_integer(reply, (int64_t) * (const uint64_t *)(const void *)at); break;
    case STAT_DIFFERENCE: reply_integer(reply, *(const int64_t *)(const void *)at); break;
    case STAT_RATIO: reply_double(reply, *(const double *)(const void *)at); break;
    case STAT_ZERO: reply_integer(reply, 0); break;
    }
}

static void reply_database(struct reply *reply, uint32_t index, uint64_t table_bytes) {
    reply_bulk_format(reply, "db.%u", index);
    reply_map(reply, 3);
    reply_bulk_text(reply, "overhead.hashtable.main");
    reply_integer(reply, (int64_t)table_bytes);
    reply_bulk_text(reply, "overhead.hashtable.expires");
    reply_integer(reply, 0);
    reply_bulk_text(reply, "overhead.hashtable.slot-to-keys");
    reply_integer(reply, 0);
}

void handle_memory_stats(struct node *node, struct session *session, struct call *call) {
    (void)session;
    struct reply *reply = call->reply;
    struct memory_report report;
    memory_report_collect(node, &report);
    uint32_t databases = 0;
    for (uint32_t i = 0; i < DATABASE_COUNT; i++)
        databases += keyspace_size(node->keyspace, i) != 0;
    reply_map(reply, STAT_ROWS + databases);
    for (unsigned row = 0; row < STAT_ROWS; row++) {
        if (row == FIRST_ROWS)
            for (uint32_t i = 0; i < DATABASE_COUNT; i++)
                if (keyspace_size(node->keyspace, i) != 0)
                    reply_database(reply, i, report.tables[i]);
        reply_stat(reply, &report, row);
    }
}

/* ---- DOCTOR, PURGE ---- */

#define SMALL_BYTES              (5u * 1024 * 1024)
#define NOTABLE_BYTES            (10 * 1024 * 1024)
#define NOTABLE_RATIO            1.4
#define PEAK_PERCENT_LOW         66
#define NOTABLE_BYTES_PER_CLIENT (200u * 1024)

static bool is_wasteful(double ratio, int64_t bytes) {
    return ratio > NOTABLE_RATIO && bytes > NOTABLE_BYTES;
}

static void diagnose(struct buffer *text, const struct memory_report *report) {
    if (report->peak_percent < PEAK_PERCENT_LOW)
        buffer_append_format(
            text,
            "- At its peak %.1f times as much was in use as now. Memory that was given back may "
            "still be held for reuse; MEMORY PURGE returns what it can to the system.\n",
            (double)report->peak / (double)report->used);
    if (is_wasteful(report->allocator_fragmentation, report->allocator_fragmentation_bytes))
        buffer_append_format(
            text,
            "- The allocator's pages are only partly in use (ratio %.2f): values of many sizes came "
            "and went. New values will fill the gaps.\n",
            report->allocator_fragmentation);
    if (is_wasteful(report->allocator_rss, report->allocator_rss_bytes))
        buffer_append_format(
            text,
            "- The allocator holds pages that nothing is in (ratio %.2f). MEMORY PURGE gives them "
            "back.\n",
            report->allocator_rss);
    if (is_wasteful(report->rss_overhead, report->rss_overhead_bytes))
        buffer_append_format(text, "- The process takes %.2f times what its allocator holds.\n",
                             report->rss_overhead);
    if (report->clients.connected != 0 &&
        report->clients.memory_bytes / report->clients.connected > NOTABLE_BYTES_PER_CLIENT)
        buffer_append_format(
            text,
            "- Connections take %llu bytes each on average: clients send long requests, or do not "
            "read their replies. CLIENT LIST shows which (qbuf, omem).\n",
            (unsigned long long)(report->clients.memory_bytes / report->clients.connected));
}

void handle_memory_doctor(struct node *node, struct session *session, struct call *call) {
    (void)session;
    struct memory_report report;
    struct buffer text;
    memory_report_collect(node, &report);
    buffer_init(&text, node->mem);
    if (report.peak < report.startup + SMALL_BYTES)
        buffer_append_text(&text, "Hardly any memory is in use: there is nothing to judge by yet.\n");
    else
        diagnose(&text, &report);
    if (text.size == 0 && !text.failed)
        buffer_append_text(&text, "Nothing is wrong with the memory of this server.\n");
    text_reply(call, &text);
}

void handle_memory_purge(struct node *node, struct session *session, struct call *call) {
    (void)session;
    node->host.memory_purge(node->host.context);
    reply_ok(call->reply);
}
