/* invariants.c - a walk over all tables of the node, as they lie in memory.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/invariants.h"

#include "node/state.h"
#include "store/expire.h"
#include "store/image.h"
#include "store/reclaim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What one visit of a leaf takes out beyond the budget of a step, at most. */
#define STEP_EXCESS 256
/* Memory that a node takes beside keys and connections: tables, statistics, buffers that it shares. */
#define NODE_BYTES       (12u << 20)
#define DATABASE_BYTES   (400u << 10)
#define CONNECTION_BYTES (64u << 10)
/* While keys are saved: a pool of blocks, and what packs them. */
#define SAVE_BYTES (6u << 20)

/* ---- Background work ---- */

void step_watch_begin(struct step_watch *watch, const struct machine *machine) {
    const struct keyspace *keyspace = machine->node->keyspace;
    *watch = (struct step_watch){.expired = keyspace->counters.expired,
                                 .reclaimed = keyspace_reclaimed(keyspace),
                                 .allocations = machine->mem.allocations};
}

void step_watch_end(const struct step_watch *watch, struct machine *machine) {
    const struct keyspace *keyspace = machine->node->keyspace;
    uint64_t expired = keyspace->counters.expired - watch->expired;
    uint64_t reclaimed = keyspace_reclaimed(keyspace) - watch->reclaimed;
    uint64_t freed =
        watch->allocations > machine->mem.allocations ? watch->allocations - machine->mem.allocations : 0;
    machine->sightings->seen[SIGHTING_EXPIRED] += expired != 0;
    machine->sightings->seen[SIGHTING_LONG_EXPIRY] += expired >= STEP_EXCESS;
    machine->sightings->seen[SIGHTING_LONG_RECLAIM] +=
        reclaimed != 0 && keyspace_reclaim_pending(keyspace) != 0;
    if (expired > JOB_STEP_UNITS + STEP_EXCESS || reclaimed > JOB_STEP_UNITS + STEP_EXCESS ||
        freed > 2 * (JOB_STEP_UNITS + STEP_EXCESS))
        world_fail(machine->world,
                   "I-STEP: one background step expired %llu keys, reclaimed %llu, freed %llu blocks",
                   (unsigned long long)expired, (unsigned long long)reclaimed, (unsigned long long)freed);
}

/* ---- All records ---- */

struct walk {
    struct keyspace *keyspace;
    uint32_t database, slot;
    void (*visit)(struct walk *walk, struct record *record);
    void *context;
    struct machine *machine;                /* what is wrong is said there; NULL: nothing is looked for */
    uint64_t records, tombstones, expiring; /* of the database */
    double expiry_sum_ms;
    const struct dict *leaf;
    uint64_t in_leaf, in_slot;
    struct sightings *sightings;
};

static void complain(struct walk *walk, const char *words) {
    if (walk->machine != NULL)
        world_fail(walk->machine->world, "database %u, slot %u: %s", walk->database, walk->slot, words);
}

static void see_record(void *context, struct record *record) {
    struct walk *walk = context;
    const struct keyspace *keyspace = walk->keyspace;
    walk->in_leaf++;
    walk->records++;
    walk->tombstones += record_type(record) == RECORD_TOMBSTONE;
    if (record->flags & RECORD_EXPIRY) {
        walk->expiring++;
        walk->expiry_sum_ms += (double)record_expiry_ms(record);
        if (expire_tick(record_expiry_ms(record)) < walk->leaf->earliest)
            complain(walk, "a record expires before its leaf's earliest");
    }
    /* Those of processes before this one may be greater than its own: their clocks may have been ahead. */
    if (record->actor >= keyspace->actors.count || record->counter == 0 ||
        (record->actor == keyspace->actor && record->counter > keyspace->counter))
        complain(walk, "a record has a stamp that was never given");
    if (crc16_key_slot(record_key(record), record_key_size(record)) != walk->slot)
        complain(walk, "a record is in another slot than its own");
    walk->visit(walk, record);
}

static void walk_slot(struct walk *walk, struct dict *slot) {
    uint64_t hash = 0, leaves = 0;
    walk->in_slot = 0;
    do {
        struct dict *leaf = dict_leaf(slot, hash);
        walk->leaf = leaf;
        walk->in_leaf = 0;
        dict_each_of_leaf(leaf, see_record, walk);
        walk->in_slot += walk->in_leaf;
        leaves++;
        if (walk->in_leaf != leaf->count)
            complain(walk, "a leaf's count is not what it holds");
        if (leaf->earliest < slot->earliest)
            complain(walk, "a leaf expires before its slot's earliest");
    } while ((hash = dict_next_leaf(slot, hash)) != 0);
    if (walk->in_slot != slot->count)
        complain(walk, "a slot's count is not what it holds");
    if (walk->sightings != NULL)
        walk->sightings->seen[SIGHTING_SPLIT_SLOT] += leaves > 1;
}

static void walk_all(struct walk *walk) {
    struct keyspace *keyspace = walk->keyspace;
    for (walk->database = 0; walk->database < DATABASE_COUNT; walk->database++) {
        struct database *database = keyspace->databases[walk->database];
        if (database == NULL)
            continue;
        walk->records = walk->tombstones = walk->expiring = 0;
        walk->expiry_sum_ms = 0;
        for (walk->slot = 0; walk->slot < SLOT_COUNT; walk->slot++)
            if (database->slots[walk->slot].count != 0)
                walk_slot(walk, &database->slots[walk->slot]);
        if (database->keys != walk->records - walk->tombstones)
            complain(walk, "the number of keys is not what the slots hold");
        if (database->expiring != walk->expiring)
            complain(walk, "the number of expiring keys is not what the slots hold");
        if (fabs(database->expiry_sum_ms - walk->expiry_sum_ms) > 1e-6 * fabs(walk->expiry_sum_ms) + 1)
            complain(walk, "the sum of expiry times is wrong");
    }
}

static struct model_record record_seen(const struct walk *walk, struct record *record) {
    return (struct model_record){.database = walk->database,
                                 .shape = (enum model_shape)record_encoding(record),
                                 .key = record_key(record),
                                 .key_size = record_key_size(record),
                                 .value = record_value(record),
                                 .value_size = record_value_size(record),
                                 .expiry_ms = record_expiry_ms(record)};
}

static bool is_live(const struct walk *walk, const struct record *record) {
    return record_type(record) != RECORD_TOMBSTONE &&
           !((record->flags & RECORD_EXPIRY) && walk->keyspace->now_ms > record_expiry_ms(record));
}

/* ---- The model ---- */

bool node_holds(const struct node *node, const struct model_record *record) {
    struct keyspace *keyspace = node->keyspace;
    struct argument key = {
        .data = record->key, .size = (uint32_t)record->key_size, .slot = ARGUMENT_NOT_PLACED};
    struct database *database = keyspace->databases[record->database];
    keyspace_place(keyspace, &key);
    return database != NULL &&
           dict_find(&database->slots[key.slot], key.hash, key.data, key.size, NULL) != NULL;
}

struct comparison {
    struct model *model;
    uint64_t live;
    char *difference;
    size_t size;
    uint64_t records;
    uint64_t *stamps; /* that this process has given */
    size_t stamp_count, stamp_capacity;
};

static void differ(struct comparison *comparison, const struct model_record *record, const char *words) {
    char key[80];
    if (comparison->difference[0] == '\0')
        snprintf(comparison->difference, comparison->size, "database %u, key '%s': %s", record->database,
                 trace_readable(key, sizeof key, record->key, record->key_size), words);
}

static void compare_record(struct walk *walk, struct record *record) {
    struct comparison *comparison = walk->context;
    struct model_record ours = record_seen(walk, record), theirs;
    comparison->records++;
    if (record->actor == walk->keyspace->actor && comparison->stamp_count < comparison->stamp_capacity)
        comparison->stamps[comparison->stamp_count++] = record->counter;
    if (!is_live(walk, record))
        return;
    comparison->live++;
    if (!model_find(comparison->model, ours.database, ours.key, ours.key_size, &theirs))
        differ(comparison, &ours, "the model has no such key");
    else if (ours.value_size != theirs.value_size ||
             (ours.value_size != 0 && memcmp(ours.value, theirs.value, ours.value_size) != 0))
        differ(comparison, &ours, "the model has another value");
    else if (ours.expiry_ms != theirs.expiry_ms)
        differ(comparison, &ours, "the model has another expiry");
    else if (model_visible_shape(&ours) != model_visible_shape(&theirs))
        differ(comparison, &ours, "the model has another encoding");
}

bool node_equals_model(const struct machine *machine, struct model *model, char *difference, size_t size) {
    struct comparison comparison = {.model = model, .difference = difference, .size = size};
    if (machine->node->persistence.is_loading)
        return true; /* nobody but the loader has anything to do with keys */
    struct walk walk = {.keyspace = machine->node->keyspace, .visit = compare_record, .context = &comparison};
    difference[0] = '\0';
    walk_all(&walk);
    uint64_t expected = model_count(model);
    if (difference[0] == '\0' && comparison.live != expected)
        snprintf(difference, size, "%llu live keys, the model has %llu", (unsigned long long)comparison.live,
                 (unsigned long long)expected);
    return difference[0] == '\0';
}

static void follow_record(struct walk *walk, struct record *record) {
    struct model_record seen = record_seen(walk, record);
    model_put(walk->context, &seen);
}

void model_follow_node(struct model *model, const struct node *node) {
    model_forget_keys(model);
    struct walk walk = {.keyspace = node->keyspace, .visit = follow_record, .context = model};
    walk_all(&walk);
}

struct passing_on {
    void (*visit)(void *context, const struct model_record *record);
    void *context;
};

static void pass_on(struct walk *walk, struct record *record) {
    const struct passing_on *to = walk->context;
    struct model_record seen = record_seen(walk, record);
    if (record_type(record) != RECORD_TOMBSTONE)
        to->visit(to->context, &seen);
}

void keyspace_each(struct keyspace *keyspace, void (*visit)(void *context, const struct model_record *record),
                   void *context) {
    struct passing_on to = {.visit = visit, .context = context};
    struct walk walk = {.keyspace = keyspace, .visit = pass_on, .context = &to};
    walk_all(&walk);
}

static void add_record(struct walk *walk, struct record *record) {
    uint64_t *sum = walk->context;
    struct model_record seen = record_seen(walk, record);
    struct trace trace = {.hash = seen.database};
    trace_number(&trace, seen.shape);
    trace_number(&trace, (uint64_t)seen.expiry_ms);
    trace_bytes(&trace, seen.key, seen.key_size);
    trace_bytes(&trace, seen.value, seen.value_size);
    *sum += trace.hash;
}

uint64_t node_fingerprint(const struct node *node) {
    uint64_t sum = 0;
    struct walk walk = {.keyspace = node->keyspace, .visit = add_record, .context = &sum};
    walk_all(&walk);
    return sum;
}

/* ---- Everything ---- */

static int by_stamp(const void *first, const void *second) {
    uint64_t a = *(const uint64_t *)first, b = *(const uint64_t *)second;
    return a < b ? -1 : a > b;
}

/* I-DOT: no two writes have the same stamp. Those of earlier processes share one name while the node is alone. */
static void check_stamps(struct machine *machine, struct comparison *comparison) {
    qsort(comparison->stamps, comparison->stamp_count, sizeof *comparison->stamps, by_stamp);
    for (size_t i = 1; i < comparison->stamp_count; i++)
        if (comparison->stamps[i] == comparison->stamps[i - 1])
            world_fail(machine->world, "I-DOT: two records have the same stamp");
}

/* Whether there are flushed databases that a save still needs. */
static bool keeps_databases(const struct keyspace *keyspace) {
    for (uint32_t i = 0; keyspace->image != NULL && i < DATABASE_COUNT; i++)
        if (keyspace->image->is_flushed[i])
            return true;
    return false;
}

/* I-MEM: what the node takes follows from what it holds. */
static void check_memory(struct machine *machine, const struct model *model, uint64_t records) {
    const struct node *node = machine->node;
    uint64_t bound =
        NODE_BYTES + 3 * model_bytes(model) + 200 * (records + keyspace_reclaim_pending(node->keyspace));
    for (uint32_t i = 0; i < DATABASE_COUNT; i++)
        bound += node->keyspace->databases[i] == NULL ? 0 : DATABASE_BYTES;
    bound += (uint64_t)node->keyspace->reclaim->queued * DATABASE_BYTES;
    const struct persistence *persistence = &node->persistence;
    if (persistence->writer != NULL)
        bound += SAVE_BYTES + 3 * checkpoint_writer_progress(persistence->writer).copied_bytes;
    for (const struct connection *connection = machine->connections; connection != NULL;
         connection = connection->next) {
        const struct session *session = connection->session;
        bound += CONNECTION_BYTES + 4 * (session->input.size + session->pending.size + session->queued_bytes);
    }
    /* What was flushed is not the model's any more: its values are not counted, so nothing is said meanwhile. */
    if (machine->mem.used_bytes > bound && node->keyspace->reclaim->queued == 0 &&
        !keeps_databases(node->keyspace))
        world_fail(machine->world, "I-MEM: %zu bytes are used, %llu would do", machine->mem.used_bytes,
                   (unsigned long long)bound);
}

void invariants_check(struct machine *machine, struct model *model, struct sightings *sightings) {
    if (machine->node->persistence.is_loading)
        return; /* the keys are not all there */
    char difference[256] = "";
    struct comparison comparison = {.model = model, .difference = difference, .size = sizeof difference};
    struct walk walk = {.keyspace = machine->node->keyspace,
                        .visit = compare_record,
                        .context = &comparison,
                        .machine = machine,
                        .sightings = sightings};
    for (uint32_t i = 0; i < DATABASE_COUNT; i++)
        comparison.stamp_capacity += keyspace_size(machine->node->keyspace, i);
    comparison.stamps = malloc((comparison.stamp_capacity + 1) * sizeof *comparison.stamps);
    CHECK(comparison.stamps != NULL);
    walk_all(&walk);
    uint64_t expected = model_count(model);
    if (difference[0] != '\0')
        world_fail(machine->world, "%s", difference);
    else if (comparison.live != expected)
        world_fail(machine->world, "the node has %llu live keys, the model %llu",
                   (unsigned long long)comparison.live, (unsigned long long)expected);
    check_stamps(machine, &comparison);
    check_memory(machine, model, comparison.records);
    free(comparison.stamps);
    trace_number(&machine->world->trace, machine->mem.used_bytes);
}
