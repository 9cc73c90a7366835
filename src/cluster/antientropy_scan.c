/* antientropy_scan.c - walks over parts of a slot in the order of hashes, each ended by a budget.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/antientropy_scan.h"

/* Records asked for at a time: a bucket or two, as most places are small. */
#define SCAN_CHUNK 8

struct compare_scan *compare_scan_new(struct mem *mem, struct keyspace *keyspace, uint64_t round,
                                      uint32_t budget) {
    struct compare_scan *scan = mem_alloc(mem, sizeof *scan);
    if (scan == NULL)
        return NULL;
    scan->keyspace = keyspace;
    scan->salt = compare_salt(round);
    scan->walked = 0;
    scan->budget = budget;
    scan->item_count = 0;
    return scan;
}

void compare_scan_free(struct compare_scan *scan, struct mem *mem, struct compare_statistics *statistics) {
    statistics->records_walked += scan->walked;
    if (scan->walked > statistics->most_records_walked)
        statistics->most_records_walked = scan->walked;
    mem_free(mem, scan, sizeof *scan);
}

static struct dict *slot_dict(const struct keyspace *keyspace, uint32_t slot) {
    struct database *database = keyspace->databases[0];
    return database == NULL ? NULL : &database->slots[slot];
}

uint32_t compare_slot_records(const struct keyspace *keyspace, uint32_t slot) {
    const struct dict *dict = slot_dict(keyspace, slot);
    return dict == NULL ? 0 : dict->count;
}

static void collect(void *context, struct record *record, uint64_t hash) {
    struct compare_scan *scan = context;
    scan->walked++;
    if (compare_half_hash(hash) > scan->last || scan->item_count == SCAN_ITEMS_MAX)
        return;
    uint64_t digest = ledger_record_digest(scan->keyspace, hash, record);
    scan->items[scan->item_count++] = (struct compare_item){
        .mark = hash >> 32 << 32 | compare_cut_short(digest, scan->salt),
        .record = record,
    };
}

/* Buckets come in order, so what is out of order is so by a few places only. */
static void sort_items(struct compare_item *items, uint32_t count) {
    for (uint32_t i = 1; i < count; i++) {
        struct compare_item item = items[i];
        uint32_t at = i;
        for (; at > 0 && items[at - 1].mark > item.mark; at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

uint64_t compare_collect(struct compare_scan *scan, uint32_t slot, uint32_t first, uint32_t last,
                         uint32_t item_max) {
    struct dict *dict = slot_dict(scan->keyspace, slot);
    uint64_t end = (uint64_t)last + 1;
    scan->item_count = 0;
    scan->last = last;
    if (dict == NULL)
        return end;
    for (uint64_t from = (uint64_t)first << 32, next;; from = next) {
        if (!dict_scan(dict, &scan->keyspace->secret, from, SCAN_CHUNK, collect, scan, &next) ||
            next >> 32 > last)
            break;
        bool is_enough = scan->item_count >= item_max || scan->walked >= scan->budget;
        if (is_enough && next >> 32 > first) {
            end = next >> 32;
            break;
        }
    }
    sort_items(scan->items, scan->item_count);
    if (scan->item_count > item_max) {
        /* So many of one half hash do not come about by themselves; what is left out then looks as if it were absent. */
        uint32_t half_hash = compare_half_hash(scan->items[item_max].mark);
        end = half_hash < end ? half_hash : end;
        end = end > first ? end : (uint64_t)first + 1;
        scan->item_count = item_max;
    }
    while (scan->item_count > 0 && compare_half_hash(scan->items[scan->item_count - 1].mark) >= end)
        scan->item_count--;
    return end;
}

static void add_up(void *context, struct record *record, uint64_t hash) {
    struct compare_scan *scan = context;
    scan->walked++;
    uint64_t leaf = hash >> scan->shift;
    if (leaf <= scan->last)
        scan->sums[leaf - scan->first] += ledger_record_digest(scan->keyspace, hash, record);
}

uint32_t compare_sum_leaves(struct compare_scan *scan, uint32_t slot, unsigned bits, uint32_t first,
                            uint32_t count) {
    struct dict *dict = slot_dict(scan->keyspace, slot);
    scan->shift = 64 - bits;
    scan->first = first;
    scan->last = first + count - 1;
    memset(scan->sums, 0, count * sizeof scan->sums[0]);
    if (dict == NULL)
        return count;
    for (uint64_t from = (uint64_t)first << scan->shift, next;; from = next) {
        if (!dict_scan(dict, &scan->keyspace->secret, from, SCAN_CHUNK, add_up, scan, &next) ||
            next >> scan->shift > scan->last)
            return count;
        if (scan->walked >= scan->budget)
            return (uint32_t)(next >> scan->shift) - first;
    }
}
