/* info.c - the sections of INFO, which of them are asked for, and the text.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/info.h"

#include "base/number.h"
#include "node/handlers.h"
#include "node/text_reply.h"

#include <stdio.h>

/* Which of the words `default`, `all` and `everything` take a section in. */
enum section_set { IN_NONE, IN_ALL, IN_DEFAULT_AND_ALL };

struct section {
    const char *name, *title;
    enum section_set set;
    enum info_table table;                                        /* without `append` */
    void (*append)(const struct node *node, struct buffer *text); /* NULL: the rows of a table */
};

/* ---- Rows ---- */

static void append_human(struct buffer *text, uint64_t bytes) {
    char human[NUMBER_HUMAN_SIZE];
    buffer_append(text, human, number_format_human_size(human, bytes));
}

static void append_row(struct buffer *text, const struct info_values *values, const struct info_row *row) {
    const void *at = (const char *)values + row->offset;
    buffer_append_format(text, "%s:", row->name);
    switch (row->kind) {
    case INFO_CONSTANT: buffer_append_text(text, row->text); break;
    case INFO_STATISTIC:
        at = (const char *)values->statistics + row->offset;
        /* fall through */
    case INFO_COUNT: buffer_append_format(text, "%llu", (unsigned long long)*(const uint64_t *)at); break;
    case INFO_SIGNED: buffer_append_format(text, "%lld", (long long)*(const int64_t *)at); break;
    case INFO_HUMAN: append_human(text, *(const uint64_t *)at); break;
    case INFO_RATIO: buffer_append_format(text, "%.2f", *(const double *)at); break;
    case INFO_PERCENT: buffer_append_format(text, "%.2f%%", *(const double *)at); break;
    case INFO_SECONDS: buffer_append_format(text, "%.6f", *(const double *)at); break;
    case INFO_TEXT: buffer_append_text(text, at); break;
    case INFO_POINTER: buffer_append_text(text, *(const char *const *)at); break;
    }
    buffer_append_text(text, "\r\n");
}

/* ---- Sections of one line for each thing ---- */

/* There are no modules: the section is its title. */
static void append_modules(const struct node *node, struct buffer *text) {
    (void)node;
    (void)text;
}

static void append_commands(const struct node *node, struct buffer *text) {
    for (unsigned id = 0; id < COMMAND_COUNT; id++) {
        const struct command_statistics *of = &node->statistics.of_command[id];
        if (of->calls == 0 && of->rejected == 0 && of->failed == 0)
            continue;
        double us = (double)of->duration_ns / 1000;
        buffer_append_format(
            text,
            "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,failed_calls=%llu\r\n",
            command_by_id(id)->name, (unsigned long long)of->calls,
            (unsigned long long)(of->duration_ns / 1000), of->calls == 0 ? 0 : us / (double)of->calls,
            (unsigned long long)of->rejected, (unsigned long long)of->failed);
    }
}

static void append_errors(const struct node *node, struct buffer *text) {
    for (uint32_t i = 0; i < node->statistics.error_count; i++)
        buffer_append_format(text, "errorstat_%s:count=%llu\r\n", node->statistics.errors[i].name,
                             (unsigned long long)node->statistics.errors[i].count);
}

/* "p50", "p99.9": as few decimals as say it. */
static void append_percentile_name(struct buffer *text, double percentile) {
    char digits[32];
    int size = snprintf(digits, sizeof digits, "%f", percentile);
    while (size > 0 && digits[size - 1] == '0')
        size--;
    if (size > 0 && digits[size - 1] == '.')
        size--;
    buffer_append_format(text, "p%.*s", size, digits);
}

static void append_latencies(const struct node *node, struct buffer *text) {
    const struct config *config = node->config;
    for (unsigned id = 0; id < COMMAND_COUNT; id++) {
        const struct histogram *durations = node->statistics.of_command[id].durations;
        if (durations == NULL || durations->count == 0)
            continue;
        buffer_append_format(text, "latency_percentiles_usec_%s:", command_by_id(id)->name);
        for (uint32_t i = 0; i < config->latency_tracking_percentile_count; i++) {
            double percentile = config->latency_tracking_percentiles[i];
            buffer_append_text(text, i == 0 ? "" : ",");
            append_percentile_name(text, percentile);
            buffer_append_format(text, "=%.3f", (double)histogram_percentile(durations, percentile) / 1000);
        }
        buffer_append_text(text, "\r\n");
    }
}

static void append_databases(const struct node *node, struct buffer *text) {
    for (uint32_t i = 0; i < DATABASE_COUNT; i++) {
        const struct database *database = node->keyspace->databases[i];
        if (database == NULL || database->keys == 0)
            continue;
        double mean_ms = database->expiring == 0
                             ? 0
                             : database->expiry_sum_ms / (double)database->expiring - (double)node->wall_ms;
        buffer_append_format(text, "db%u:keys=%llu,expires=%llu,avg_ttl=%lld\r\n", i,
                             (unsigned long long)database->keys, (unsigned long long)database->expiring,
                             mean_ms > 0 ? (long long)mean_ms : 0);
    }
}

static void append_jobs(const struct node *node, struct buffer *text) {
    static const char *const names[JOB_COUNT] = {
        [JOB_EXPIRE] = "expire",         [JOB_RECLAIM] = "reclaim", [JOB_CLIENTS] = "clients",
        [JOB_CHECKPOINT] = "checkpoint", [JOB_LOAD] = "load",       [JOB_RESIZE] = "resize",
        [JOB_COMPARE] = "compare",       [JOB_HINTS] = "hints"};
    for (unsigned i = 0; i < JOB_COUNT; i++) {
        const struct histogram *steps = &node->statistics.jobs[i];
        buffer_append_format(text, "job_%s:steps=%llu,p50_usec=%.3f,p99_usec=%.3f,max_usec=%.3f\r\n",
                             names[i], (unsigned long long)steps->count,
                             (double)histogram_percentile(steps, 50) / 1000,
                             (double)histogram_percentile(steps, 99) / 1000, (double)steps->maximum / 1000);
    }
    buffer_append_format(text, "lazyfree_pending_objects:%llu\r\nlazyfreed_objects:%llu\r\n",
                         (unsigned long long)keyspace_reclaim_pending(node->keyspace),
                         (unsigned long long)keyspace_reclaimed(node->keyspace));
}

/* ---- Sections ---- */

/* In the order in which they are written. `jobs` is ours: tools that read everything expect Redis's sections
 * only. */
static const struct section sections[] = {
    {"server", "Server", IN_DEFAULT_AND_ALL, INFO_SERVER, NULL},
    {"clients", "Clients", IN_DEFAULT_AND_ALL, INFO_CLIENTS, NULL},
    {"memory", "Memory", IN_DEFAULT_AND_ALL, INFO_MEMORY, NULL},
    {"persistence", "Persistence", IN_DEFAULT_AND_ALL, INFO_PERSISTENCE, NULL},
    {"stats", "Stats", IN_DEFAULT_AND_ALL, INFO_STATS, NULL},
    {"replication", "Replication", IN_DEFAULT_AND_ALL, INFO_REPLICATION, NULL},
    {"cpu", "CPU", IN_DEFAULT_AND_ALL, INFO_CPU, NULL},
    {"modules", "Modules", IN_DEFAULT_AND_ALL, 0, append_modules},
    {"commandstats", "Commandstats", IN_ALL, 0, append_commands},
    {"errorstats", "Errorstats", IN_DEFAULT_AND_ALL, 0, append_errors},
    {"latencystats", "Latencystats", IN_ALL, 0, append_latencies},
    {"cluster", "Cluster", IN_DEFAULT_AND_ALL, INFO_CLUSTER, NULL},
    {"keyspace", "Keyspace", IN_DEFAULT_AND_ALL, 0, append_databases},
    {"jobs", "Jobs", IN_NONE, 0, append_jobs},
};
#define SECTION_COUNT (sizeof sections / sizeof *sections)

static bool names_section(const struct argument *name, const struct section *section) {
    if (argument_is(name, "all") || argument_is(name, "everything"))
        return section->set != IN_NONE;
    if (argument_is(name, "default"))
        return section->set == IN_DEFAULT_AND_ALL;
    return argument_is(name, section->name);
}

static bool is_wanted(const struct section *section, const struct argument *names, uint32_t name_count) {
    for (uint32_t i = 0; i < name_count; i++)
        if (names_section(&names[i], section))
            return true;
    return name_count == 0 && section->set == IN_DEFAULT_AND_ALL;
}

static void append_rows(struct buffer *text, const struct info_values *values, enum info_table table) {
    struct info_rows rows = info_rows_of(table);
    for (size_t i = 0; i < rows.count; i++)
        append_row(text, values, &rows.rows[i]);
}

/* What a save, or the loading, has done so far: only while there is one. */
static void append_progress(struct buffer *text, const struct info_values *values) {
    if (values->persistence.saving)
        append_rows(text, values, INFO_SAVING);
    if (values->persistence.loading)
        append_rows(text, values, INFO_LOADING);
}

void info_append(struct node *node, bool is_cluster_view, const struct argument *names, uint32_t name_count,
                 struct buffer *text) {
    struct info_values values;
    bool is_collected = false, is_first = true;
    for (unsigned i = 0; i < SECTION_COUNT; i++) {
        const struct section *section = &sections[i];
        if (!is_wanted(section, names, name_count))
            continue;
        buffer_append_format(text, "%s# %s\r\n", is_first ? "" : "\r\n", section->title);
        is_first = false;
        if (section->append != NULL) {
            section->append(node, text);
            continue;
        }
        if (!is_collected)
            info_collect(node, is_cluster_view, &values);
        is_collected = true;
        append_rows(text, &values, section->table);
        if (section->table == INFO_PERSISTENCE)
            append_progress(text, &values);
        if (section->table == INFO_REPLICATION)
            info_append_peers(node, text);
        if (section->table == INFO_CLUSTER)
            info_append_cluster(node, text);
    }
}

void handle_info(struct node *node, struct session *session, struct call *call) {
    struct buffer text;
    buffer_init(&text, node->mem);
    info_append(node, session->flags & SESSION_CLUSTER_VIEW, call->argv + 1, call->argc - 1, &text);
    text_reply(call, &text);
}
