/* floors.c - floors are raised, and what lies below is dropped in steps.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/floors.h"

#include "store/keyspace_inside.h"

static void begin_dropping(struct floors *floors, uint32_t slot) {
    if (!slot_set_has(&floors->dropping, slot))
        floors->dropping_count++;
    else if (slot == floors->drop_slot)
        floors->drop_hash = 0; /* what was passed over has to go, too */
    slot_set_add(&floors->dropping, slot);
}

static void end_dropping(struct floors *floors, uint32_t slot) {
    slot_set_remove(&floors->dropping, slot);
    floors->dropping_count--;
    floors->drop_hash = 0;
}

bool floors_raise(struct keyspace *keyspace, uint32_t first_slot, uint32_t last_slot, uint64_t counter) {
    struct ledger *ledger = keyspace->ledger;
    struct floors *floors = &ledger->floors;
    CHECK(first_slot <= last_slot && last_slot < SLOT_COUNT);
    if (ledger_is_solitary(keyspace))
        return false;
    if (!keyspace_is_possible(keyspace, counter)) {
        keyspace->counters.refused_future++;
        return false;
    }
    counter = floors_round(counter);
    bool is_raised = false;
    for (uint32_t slot = first_slot; slot <= last_slot; slot++) {
        if (floors->counters[slot] >= counter)
            continue;
        floors->counters[slot] = counter;
        ledger_count(ledger, slot);
        is_raised = true;
        if (ledger->tombstones[slot] != 0)
            begin_dropping(floors, slot);
    }
    if (counter > floors->highest)
        floors->highest = counter;
    if (counter > ledger->highest_flush)
        ledger->highest_flush = counter;
    return is_raised;
}

void floors_load(struct keyspace *keyspace, uint32_t first_slot, uint32_t last_slot, uint64_t flush_counter,
                 uint64_t floor) {
    struct ledger *ledger = keyspace->ledger;
    if (ledger_is_solitary(keyspace))
        return;
    for (uint32_t slot = first_slot; slot <= last_slot; slot++)
        if (ledger->flush_counters[slot] < flush_counter) {
            ledger->flush_counters[slot] = flush_counter;
            ledger_count(ledger, slot);
            ledger->flushes++;
        }
    if (flush_counter > ledger->highest_flush)
        ledger->highest_flush = flush_counter;
    (void)floors_raise(keyspace, first_slot, last_slot, floor);
}

struct burial_walk {
    struct ledger *ledger;
    uint32_t slot;
    uint64_t floor;
};

/* Those that stay tell how old the oldest of them is. */
static bool lies_below(void *context, const struct record *record) {
    const struct burial_walk *walk = context;
    if (!funnel_is_tombstone(record))
        return false;
    if (record->counter <= walk->floor)
        return true;
    if (record->counter < walk->ledger->oldest_tombstones[walk->slot])
        walk->ledger->oldest_tombstones[walk->slot] = record->counter;
    return false;
}

uint32_t floors_step(struct keyspace *keyspace, uint32_t budget) {
    struct ledger *ledger = keyspace->ledger;
    struct floors *floors = &ledger->floors;
    uint32_t spent = 0;
    if (floors->dropping_count == 0)
        return 0;
    ledger_forget_records(ledger);
    while (floors->dropping_count != 0 && spent < budget) {
        if (floors->drop_hash == 0) {
            uint32_t slot = slot_set_next(&floors->dropping, floors->drop_slot);
            floors->drop_slot = slot < SLOT_COUNT ? slot : slot_set_next(&floors->dropping, 0);
        }
        uint32_t slot = floors->drop_slot;
        uint32_t before = ledger->tombstones[slot];
        spent++;
        if (before != 0) {
            struct burial_walk walk = {ledger, slot, floors->counters[slot]};
            if (floors->drop_hash == 0)
                ledger->oldest_tombstones[slot] = UINT64_MAX;
            spent +=
                funnel_drop_judged(keyspace, slot, &floors->drop_hash, budget - spent + 1, lies_below, &walk);
            floors->dropped += before - ledger->tombstones[slot];
        } else {
            floors->drop_hash = 0;
        }
        if (floors->drop_hash == 0)
            end_dropping(floors, slot);
    }
    return spent;
}

void floors_clear(struct ledger *ledger) {
    uint64_t dropped = ledger->floors.dropped;
    memset(&ledger->floors, 0, sizeof ledger->floors);
    ledger->floors.dropped = dropped;
}
