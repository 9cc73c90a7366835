/* info.h - INFO: the node's facts as text, in sections of `name:value` lines.
 *
 * Sections of plain facts are tables of rows (info_fields.c); those with one line for each command, error,
 * database or job are written by a function.
 * May touch: all of node. Must never know: who reads it.
 * Invariants: the names and the order of the fields are those of Redis; a field about a part that this server
 * does not have says what an idle one says.
 * Tests: tests/unit/node/info_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_INFO_H
#define NODE_INFO_H

#include "node/memory_report.h"
#include "node/state.h"

/* Everything that rows show, gathered once for an INFO. */
struct info_values {
    struct memory_report memory;
    struct persistence_report persistence;
    uint64_t cluster_enabled;
    uint64_t arch_bits, tcp_port, wall_us, uptime_s, uptime_days, hz, lru_clock, maxclients;
    uint64_t connected_clients, blocked_clients, clients_in_transaction, clients_watching, watched_pairs;
    uint64_t maxmemory, reclaim_pending, reclaimed;
    uint64_t operations_per_s;
    double input_kib_per_s, output_kib_per_s;
    uint64_t expired, hits, misses, expire_ms, turns, turn_us;
    struct statistics *statistics;
    const char *run_id, *mode;
    char build_id[17], maxmemory_policy[32];
};

enum info_kind {
    INFO_CONSTANT, /* the row's own text */
    INFO_COUNT,    /* uint64_t */
    INFO_SIGNED,   /* int64_t */
    INFO_HUMAN,    /* uint64_t, as "1.50M" */
    INFO_RATIO,    /* double, two decimals */
    INFO_PERCENT,  /* the same with a percent sign */
    INFO_SECONDS,  /* double, six decimals */
    INFO_TEXT,     /* char array */
    INFO_POINTER,  /* const char * */
    INFO_STATISTIC /* uint64_t in struct statistics */
};

struct info_row {
    const char *name;
    enum info_kind kind;
    size_t offset; /* in struct info_values, or in struct statistics */
    const char *text;
};

struct info_rows {
    const struct info_row *rows;
    size_t count;
};

enum info_table {
    INFO_SERVER,
    INFO_CLIENTS,
    INFO_MEMORY,
    INFO_PERSISTENCE,
    INFO_SAVING,  /* behind it while a save runs */
    INFO_LOADING, /* and while keys are loaded */
    INFO_STATS,
    INFO_REPLICATION,
    INFO_CPU,
    INFO_CLUSTER,
    INFO_TABLE_COUNT
};

struct info_rows info_rows_of(enum info_table table);

/* is_cluster_view: for a client of the cluster-port. */
void info_collect(struct node *node, bool is_cluster_view, struct info_values *values);

/* The text of the sections that are named (none: the default ones) is appended. */
void info_append(struct node *node, bool is_cluster_view, const struct argument *names, uint32_t name_count,
                 struct buffer *text);

/* info_cluster.c: what is told of the cluster behind the rows of `cluster`, and of other nodes behind those of `replication`.
 * Nothing where there is none. */
void info_append_cluster(const struct node *node, struct buffer *text);
void info_append_peers(const struct node *node, struct buffer *text);

#endif
