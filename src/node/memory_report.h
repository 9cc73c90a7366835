/* memory_report.h - where a node's memory is: INFO memory, MEMORY STATS and MEMORY DOCTOR say it in their
 * ways.
 *
 * May touch: base, data, store, node. Must never know: replies.
 * Invariants: overhead + dataset = used.
 * Tests: tests/unit/node/memory_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_MEMORY_REPORT_H
#define NODE_MEMORY_REPORT_H

#include "node/client_text.h"
#include "node/state.h"

struct memory_report {
    struct host_facts facts;
    struct client_totals clients;
    uint64_t used, peak, startup;
    uint64_t tables[DATABASE_COUNT]; /* slot tables of each database, without the records */
    uint64_t links, link_bytes;      /* with other nodes */
    uint64_t overhead, dataset;
    uint64_t keys, bytes_per_key;
    double dataset_percent, peak_percent;
    /* What the allocator and the system hold; a ratio is 0 where its parts are unknown. */
    double allocator_fragmentation, allocator_rss, rss_overhead, fragmentation;
    int64_t allocator_fragmentation_bytes, allocator_rss_bytes, rss_overhead_bytes, fragmentation_bytes;
};

void memory_report_collect(struct node *node, struct memory_report *report);

/* Bytes of one database's tables. */
uint64_t memory_report_tables(const struct database *database);

#endif
