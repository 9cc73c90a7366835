/* expire.c - the walk of the active expiry over databases, slots and leaves.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/expire.h"

#include "store/keyspace_inside.h"

/* What one visit of a leaf takes out at most; a leaf with more stays due and is visited again. */
#define EXPIRE_BATCH 256
/* Slots that are not due cost next to nothing: so many are a unit. */
#define SLOTS_PER_UNIT 16

struct sweep {
    int64_t now_ms; /* what has expired before is reclaimed */
    uint32_t earliest;
    uint32_t count;
    struct record *expired[EXPIRE_BATCH];
};

static void sweep_record(void *context, struct record *record) {
    struct sweep *sweep = context;
    if (!(record->flags & RECORD_EXPIRY))
        return;
    int64_t expiry_ms = record_expiry_ms(record);
    if (sweep->now_ms > expiry_ms && sweep->count < EXPIRE_BATCH) {
        sweep->expired[sweep->count++] = record;
        return;
    }
    uint32_t tick = expire_tick(expiry_ms);
    if (tick < sweep->earliest)
        sweep->earliest = tick;
}

/* Reclaims the expired records of one leaf; returns the units spent. */
static uint32_t sweep_leaf(struct keyspace *keyspace, uint32_t database, uint32_t slot, struct dict *leaf,
                           int64_t now_ms) {
    struct sweep sweep = {.now_ms = now_ms, .earliest = UINT32_MAX};
    uint32_t units = leaf->count + 1;
    dict_each_of_leaf(leaf, sweep_record, &sweep);
    leaf->earliest = sweep.earliest;
    for (uint32_t i = 0; i < sweep.count; i++) {
        struct record *record = sweep.expired[i];
        struct argument key = {.data = record_key(record), .size = record_key_size(record), .slot = slot};
        key.hash = hash_bytes(&keyspace->secret, key.data, key.size);
        struct entry entry = {.record = record};
        struct dict *dict = &keyspace->databases[database]->slots[slot];
        if (dict_find(dict, key.hash, key.data, key.size, &entry.position) == record)
            keyspace_remove(keyspace, database, &key, &entry, REMOVE_EXPIRED);
    }
    return units;
}

/* The least of all leaves becomes the slot's. Units: the leaves. */
static uint32_t settle_slot(struct dict *slot) {
    uint32_t earliest = UINT32_MAX, leaves = 0;
    uint64_t hash = 0;
    do {
        uint32_t of_leaf = dict_leaf(slot, hash)->earliest;
        earliest = of_leaf < earliest ? of_leaf : earliest;
        leaves++;
    } while ((hash = dict_next_leaf(slot, hash)) != 0);
    slot->earliest = earliest;
    return leaves;
}

/* How far behind the clock the reclaiming of a slot is. */
static inline int64_t grace_ms(const struct keyspace *keyspace, const struct database *database,
                               uint32_t slot) {
    const struct ledger *shared = funnel_shared(keyspace, database);
    return LIKELY(shared == NULL) || shared->notes[slot] & SLOT_COORDINATED ? 0 : LEDGER_EXPIRY_GRACE_MS;
}

/* What is not reclaimed here before a while makes no group due before: else each pass would walk it. */
static inline void note_group(uint32_t *group, const struct dict *slot, int64_t grace) {
    if (slot->count == 0 || slot->earliest == UINT32_MAX)
        return;
    uint32_t grace_ticks = (uint32_t)(grace >> EXPIRE_TICK_SHIFT);
    uint32_t due =
        slot->earliest > EXPIRE_TICK_MAX - grace_ticks ? EXPIRE_TICK_MAX : slot->earliest + grace_ticks;
    if (due < *group)
        *group = due;
}

void keyspace_expire_anew(struct keyspace *keyspace) {
    struct database *database = keyspace->databases[0];
    if (database != NULL)
        memset(database->group_earliest, 0, sizeof database->group_earliest);
}

/* How many groups from the first on, one after the other, have nothing that is due. */
static uint32_t groups_not_due(const struct database *database, uint32_t first, uint32_t now) {
    uint32_t group = first;
    while (group < SLOT_COUNT / EXPIRE_GROUP && database->group_earliest[group] >= now)
        group++;
    return group - first;
}

uint32_t keyspace_expire_step(struct keyspace *keyspace, uint32_t budget) {
    if (keyspace->expiry_is_paused)
        return 0;
    uint32_t spent = 0, slots_looked_at = 0;
    while (spent < budget) {
        struct database *database = keyspace->databases[keyspace->expire_database];
        if (database == NULL || database->expiring == 0 || keyspace->expire_slot == SLOT_COUNT) {
            keyspace->expire_slot = 0;
            keyspace->expire_hash = 0;
            if (++keyspace->expire_database < DATABASE_COUNT)
                continue;
            keyspace->expire_database = 0;
            return 0; /* one pass is complete */
        }
        if (keyspace->expire_slot % EXPIRE_GROUP == 0 && keyspace->expire_hash == 0) {
            uint32_t passed = groups_not_due(database, keyspace->expire_slot / EXPIRE_GROUP,
                                             expire_due_tick(keyspace->now_ms));
            if (passed != 0) {
                keyspace->expire_slot += passed * EXPIRE_GROUP;
                spent += (slots_looked_at % SLOTS_PER_UNIT + passed) / SLOTS_PER_UNIT;
                slots_looked_at += passed;
                continue;
            }
            database->group_earliest[keyspace->expire_slot / EXPIRE_GROUP] =
                UINT32_MAX; /* made anew on the way */
        }
        uint32_t *group = &database->group_earliest[keyspace->expire_slot / EXPIRE_GROUP];
        struct dict *slot = &database->slots[keyspace->expire_slot];
        int64_t grace = grace_ms(keyspace, database, keyspace->expire_slot);
        int64_t now_ms = keyspace->now_ms - grace;
        uint32_t now = expire_due_tick(now_ms);
        if (slot->earliest >= now || slot->count == 0) {
            note_group(group, slot, grace);
            keyspace->expire_slot++;
            keyspace->expire_hash = 0;
            spent += ++slots_looked_at % SLOTS_PER_UNIT == 0;
            continue;
        }
        uint64_t next = dict_next_leaf(slot, keyspace->expire_hash);
        struct dict *leaf = dict_leaf(slot, keyspace->expire_hash);
        if (leaf->earliest < now)
            spent += sweep_leaf(keyspace, keyspace->expire_database, keyspace->expire_slot, leaf, now_ms);
        else
            spent++;
        keyspace->expire_hash = next;
        if (next == 0) {
            if (slot->count != 0)
                spent += settle_slot(slot) / SLOTS_PER_UNIT;
            note_group(group, slot, grace);
            keyspace->expire_slot++;
        }
    }
    return spent;
}
