/* memory_report.c - adds up what is held and for what.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/memory_report.h"

#include "node/peers.h"

uint64_t memory_report_tables(const struct database *database) {
    uint64_t bytes = sizeof *database;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        bytes += dict_overhead_bytes(&database->slots[slot]);
    return bytes;
}

static double ratio(uint64_t part, uint64_t whole) {
    return whole == 0 ? 0 : (double)part / (double)whole;
}

static int64_t difference(uint64_t larger, uint64_t smaller) {
    return (int64_t)(larger - smaller);
}

static void collect_process(struct memory_report *report) {
    struct host_facts *facts = &report->facts;
    if (facts->allocator_allocated_bytes == 0)
        facts->allocator_allocated_bytes = report->used;
    if (facts->allocator_active_bytes == 0)
        facts->allocator_active_bytes = facts->allocator_allocated_bytes;
    if (facts->allocator_resident_bytes == 0)
        facts->allocator_resident_bytes = facts->allocator_active_bytes;
    uint64_t allocated = facts->allocator_allocated_bytes, active = facts->allocator_active_bytes,
             resident = facts->allocator_resident_bytes, process = facts->resident_bytes;
    report->allocator_fragmentation = ratio(active, allocated);
    report->allocator_fragmentation_bytes = difference(active, allocated);
    report->allocator_rss = ratio(resident, active);
    report->allocator_rss_bytes = difference(resident, active);
    report->rss_overhead = ratio(process, resident);
    report->rss_overhead_bytes = difference(process, resident);
    report->fragmentation = ratio(process, report->used);
    report->fragmentation_bytes = difference(process, report->used);
}

void memory_report_collect(struct node *node, struct memory_report *report) {
    *report = (struct memory_report){0};
    node->host.facts(node->host.context, &report->facts);
    client_totals_collect(node, &report->clients);
    mem_note_peak(node->mem);
    report->used = node->mem->used_bytes;
    report->peak = node->mem->peak_bytes;
    report->startup = node->startup_bytes;
    const struct peers_memory peers = peers_memory(node);
    report->links = peers.links;
    report->link_bytes = peers.bytes;
    report->overhead = report->startup + report->clients.memory_bytes + report->link_bytes;
    for (uint32_t i = 0; i < DATABASE_COUNT; i++) {
        if (node->keyspace->databases[i] == NULL)
            continue;
        report->tables[i] = memory_report_tables(node->keyspace->databases[i]);
        report->overhead += report->tables[i];
        report->keys += node->keyspace->databases[i]->keys;
    }
    if (report->overhead > report->used)
        report->overhead = report->used;
    report->dataset = report->used - report->overhead;
    uint64_t grown = report->used > report->startup ? report->used - report->startup : 0;
    report->bytes_per_key = report->keys == 0 ? 0 : grown / report->keys;
    report->dataset_percent = 100 * ratio(report->dataset, grown);
    report->peak_percent = 100 * ratio(report->used, report->peak);
    collect_process(report);
}
