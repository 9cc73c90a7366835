/* hints.c - sets of keys by target: noting, taking in batches, dropping in steps.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/hints.h"

#include "base/crc16.h"

/* Hints looked at together: a scan must not change its table. */
#define GROUP_SIZE 64
/* What a hint costs of its target's table. */
#define TABLE_BYTES    10
#define TARGETS_FIRST  8
#define SENT_MARK      1u /* a hint in a batch has a counter above 0 */
#define SLOTS_BYTES    (SLOT_COUNT * sizeof(uint32_t))
#define STAGGER_OF_ALL 0

/* ---- Life ---- */

void hints_init(struct hints *hints, struct mem *mem, const struct hash_secret *secret) {
    *hints =
        (struct hints){.mem = mem, .secret = secret, .used_max_bytes = UINT64_MAX, .window_ms = UINT64_MAX};
}

static void free_batch(struct hints *hints, struct hint_target *target) {
    mem_free(hints->mem, target->batch, HINTS_BATCH_MAX * sizeof(struct record *));
    target->batch = NULL;
    target->batch_count = 0;
}

void hints_release(struct hints *hints) {
    for (uint32_t i = 0; i < hints->target_capacity; i++) {
        struct hint_target *target = &hints->targets[i];
        free_batch(hints, target);
        while (target->keys.count != 0)
            (void)dict_drain(&target->keys, hints->mem, UINT32_MAX);
        (void)dict_drain(&target->keys, hints->mem, UINT32_MAX);
    }
    mem_free(hints->mem, hints->targets, hints->target_capacity * sizeof *hints->targets);
    if (hints->slots != NULL)
        mem_free(hints->mem, hints->slots, SLOTS_BYTES);
    hints_init(hints, hints->mem, hints->secret);
}

void hints_set_limits(struct hints *hints, uint64_t used_max_bytes, uint64_t window_ms) {
    hints->used_max_bytes = used_max_bytes;
    hints->window_ms = window_ms;
}

static struct hint_target *target_of(struct hints *hints, uint16_t target) {
    return target < hints->target_capacity ? &hints->targets[target] : NULL;
}

/* The target, made on its first hint; NULL: no memory. */
static struct hint_target *make_target(struct hints *hints, uint16_t target) {
    if (target < hints->target_capacity)
        return &hints->targets[target];
    uint32_t capacity = hints->target_capacity == 0 ? TARGETS_FIRST : hints->target_capacity;
    while (capacity <= target)
        capacity *= 2;
    struct hint_target *targets = mem_resize(
        hints->mem, hints->targets, hints->target_capacity * sizeof *targets, capacity * sizeof *targets);
    if (targets == NULL)
        return NULL;
    for (uint32_t i = hints->target_capacity; i < capacity; i++) {
        targets[i] = (struct hint_target){0};
        dict_init(&targets[i].keys, STAGGER_OF_ALL);
    }
    hints->targets = targets;
    hints->target_capacity = capacity;
    return &targets[target];
}

/* ---- Noting ---- */

static struct record_parts parts_of(const struct argument *key) {
    return (struct record_parts){
        .key = key->data, .key_size = key->size, .expiry_ms = RECORD_NO_EXPIRY, .type = RECORD_TOMBSTONE};
}

static uint64_t cost_of(size_t record_bytes) {
    return mem_class(record_bytes) + TABLE_BYTES;
}

static void begin_if_first(struct hint_target *target, uint64_t now_ms) {
    if (target->keys.count != 0 || target->misses_flush)
        return;
    target->since_ms = now_ms;
    target->age_ms = 0;
}

static bool insert(struct hints *hints, struct hint_target *target, const struct argument *key) {
    struct record_parts parts = parts_of(key);
    uint64_t cost = cost_of(record_parts_size(&parts));
    if (cost > hints->used_max_bytes || hints->used_bytes > hints->used_max_bytes - cost)
        return false;
    if (hints->slots == NULL && (hints->slots = mem_alloc_zeroed(hints->mem, SLOTS_BYTES)) == NULL)
        return false;
    struct record *hint = record_new(hints->mem, &parts);
    if (hint == NULL)
        return false;
    if (!dict_insert(&target->keys, hints->mem, hints->secret, key->hash, hint)) {
        record_free(hints->mem, hint);
        return false;
    }
    hints->used_bytes += cost;
    target->used_bytes += cost;
    hints->count++;
    hints->slots[key->slot]++;
    return true;
}

bool hints_add(struct hints *hints, uint16_t number, const struct argument *key, uint64_t now_ms) {
    CHECK(key->slot < SLOT_COUNT);
    struct hint_target *target = make_target(hints, number);
    if (target == NULL)
        return false;
    if (!target->is_dropping && !target->is_forgotten) {
        struct record *hint = dict_find(&target->keys, key->hash, key->data, key->size, NULL);
        if (hint != NULL) {
            hint->counter = 0; /* it waits again */
            return true;
        }
        begin_if_first(target, now_ms);
        if (insert(hints, target, key))
            return true;
    }
    target->dropped++;
    return false;
}

bool hints_add_flush(struct hints *hints, uint16_t number, uint64_t now_ms) {
    struct hint_target *target = make_target(hints, number);
    if (target == NULL || target->is_forgotten || target->is_dropping)
        return false;
    begin_if_first(target, now_ms);
    target->misses_flush = true;
    target->flush_is_sent = false;
    return true;
}

void hints_set_age(struct hints *hints, uint16_t number, uint64_t age_ms, uint64_t now_ms) {
    struct hint_target *target = make_target(hints, number);
    if (target == NULL)
        return;
    target->since_ms = now_ms;
    target->age_ms = age_ms;
}

/* ---- Looking ---- */

uint32_t hints_count(const struct hints *hints, uint16_t number) {
    const struct hint_target *target = hints_target(hints, number);
    return target == NULL || target->is_dropping ? 0 : target->keys.count;
}

bool hints_has_any(const struct hints *hints, uint16_t number) {
    const struct hint_target *target = hints_target(hints, number);
    return target != NULL && !target->is_dropping && (target->keys.count != 0 || target->misses_flush);
}

uint64_t hints_age_ms(const struct hints *hints, uint16_t number, uint64_t now_ms) {
    if (!hints_has_any(hints, number))
        return 0;
    const struct hint_target *target = &hints->targets[number];
    uint64_t passed_ms = now_ms > target->since_ms ? now_ms - target->since_ms : 0;
    return target->age_ms > UINT64_MAX - passed_ms ? UINT64_MAX : target->age_ms + passed_ms;
}

bool hints_has_key(const struct hints *hints, const struct argument *key) {
    if (hints_of_slot(hints, key->slot) == 0)
        return false;
    for (uint32_t i = 0; i < hints->target_capacity; i++) {
        struct hint_target *target = &hints->targets[i];
        if (!target->is_dropping && target->keys.count != 0 &&
            dict_find(&target->keys, key->hash, key->data, key->size, NULL) != NULL)
            return true;
    }
    return false;
}

/* ---- Going over a table ---- */

struct group {
    uint32_t count;
    uint32_t wanted;
    bool has_overflown;
    struct record *hints[GROUP_SIZE];
    uint64_t hashes[GROUP_SIZE];
};

static void take_into_group(void *context, struct record *hint, uint64_t hash) {
    struct group *group = context;
    if (group->count == GROUP_SIZE) {
        group->has_overflown = true;
        return;
    }
    group->hints[group->count] = hint;
    group->hashes[group->count++] = hash;
}

/* Fills a group with hints from hash *from on, and moves that on; 0: the end was reached. What finds no room (many hints with one bucket)
 * is met when the table is gone over once more. */
static void next_group(const struct hints *hints, struct hint_target *target, uint64_t *from, uint32_t wanted,
                       struct group *group) {
    group->count = 0;
    group->has_overflown = false;
    uint64_t next = 0;
    uint32_t most = GROUP_SIZE - 2 * DICT_BUCKET_RECORDS;
    if (!dict_scan(&target->keys, hints->secret, *from, wanted < most ? wanted : most, take_into_group, group,
                   &next))
        next = 0;
    *from = next;
}

static struct argument key_of(const struct record *hint, uint64_t hash) {
    struct argument key = {.data = record_key(hint), .size = record_key_size(hint), .hash = hash};
    key.slot = crc16_key_slot(key.data, key.size);
    return key;
}

/* Takes a hint out; its memory is the caller's then. */
static void take_out(struct hints *hints, struct hint_target *target, const struct argument *key,
                     const struct record *hint) {
    struct dict_position position;
    const struct record *found = dict_find(&target->keys, key->hash, key->data, key->size, &position);
    CHECK(found == hint);
    dict_remove(&target->keys, hints->mem, hints->secret, &position);
    uint64_t cost = cost_of(record_size(hint));
    hints->used_bytes -= cost;
    target->used_bytes -= cost;
    hints->count--;
    hints->slots[key->slot]--;
}

static void drop(struct hints *hints, struct hint_target *target, const struct argument *key,
                 struct record *hint) {
    take_out(hints, target, key, hint);
    record_free(hints->mem, hint);
}

/* ---- Handing over ---- */

/* Shows the waiting hints of a group. Returns false when that was enough. */
static bool show_group(struct hints *hints, struct hint_target *target, const struct group *group,
                       hints_send *send, void *context) {
    for (uint32_t i = 0; i < group->count; i++) {
        struct record *hint = group->hints[i];
        if (hint->counter != 0)
            continue; /* of this batch already */
        if (target->batch_count == HINTS_BATCH_MAX)
            return false;
        struct argument key = key_of(hint, group->hashes[i]);
        uint64_t version = 0;
        enum hint_verdict verdict = send(context, &key, &version);
        if (verdict == HINT_STOP)
            return false;
        if (verdict == HINT_NEEDLESS) {
            drop(hints, target, &key, hint);
            continue;
        }
        hint->counter = version | SENT_MARK;
        target->batch[target->batch_count++] = hint;
    }
    return !group->has_overflown;
}

uint32_t hints_take(struct hints *hints, uint16_t number, uint32_t limit, hints_send *send, void *context) {
    struct hint_target *target = target_of(hints, number);
    if (target == NULL || target->is_dropping || target->keys.count == 0)
        return 0;
    CHECK(target->batch_count == 0);
    if (target->batch == NULL &&
        (target->batch = mem_alloc(hints->mem, HINTS_BATCH_MAX * sizeof(struct record *))) == NULL)
        return 0;
    bool goes_on = true;
    uint32_t left = limit < HINTS_BATCH_MAX ? limit : HINTS_BATCH_MAX;
    uint64_t begin = target->from;
    bool is_round = false; /* it has been at the table's end */
    while (goes_on && left != 0 && target->keys.count > target->batch_count) {
        struct group group;
        uint64_t from = target->from;
        next_group(hints, target, &target->from, left, &group);
        goes_on = show_group(hints, target, &group, send, context);
        left -= group.count < left ? group.count : left;
        if (!goes_on)
            target->from = from; /* the rest of the group is still to be shown */
        if (is_round && target->from >= begin)
            break;
        if (target->from == 0) {
            if (is_round)
                break;
            is_round = true;
        }
    }
    if (target->batch_count == 0)
        free_batch(hints, target);
    return target->batch_count;
}

bool hints_take_flush(struct hints *hints, uint16_t number) {
    struct hint_target *target = target_of(hints, number);
    if (target == NULL || !target->misses_flush || target->is_dropping)
        return false;
    target->flush_is_sent = true;
    return true;
}

void hints_acknowledge(struct hints *hints, uint16_t number, hints_gone *gone, void *context) {
    struct hint_target *target = target_of(hints, number);
    if (target == NULL)
        return;
    if (target->flush_is_sent)
        target->misses_flush = target->flush_is_sent = false;
    for (uint32_t i = 0; i < target->batch_count; i++) {
        struct record *hint = target->batch[i];
        if (hint->counter == 0)
            continue; /* noted again since */
        struct argument key = {.data = record_key(hint), .size = record_key_size(hint)};
        key.hash = hash_bytes(hints->secret, key.data, key.size);
        key.slot = crc16_key_slot(key.data, key.size);
        take_out(hints, target, &key, hint);
        target->delivered++;
        if (gone != NULL)
            gone(context, &key, hint->counter);
        record_free(hints->mem, hint);
    }
    free_batch(hints, target);
}

void hints_return(struct hints *hints, uint16_t number) {
    struct hint_target *target = target_of(hints, number);
    if (target == NULL)
        return;
    target->flush_is_sent = false;
    for (uint32_t i = 0; i < target->batch_count; i++)
        target->batch[i]->counter = 0;
    free_batch(hints, target);
}

/* ---- Giving up ---- */

void hints_welcome(struct hints *hints, uint16_t number) {
    struct hint_target *target = target_of(hints, number);
    if (target != NULL)
        target->is_forgotten = false;
}

void hints_forget(struct hints *hints, uint16_t number) {
    struct hint_target *target = target_of(hints, number);
    if (target == NULL)
        return;
    hints_return(hints, number);
    target->is_forgotten = true;
    target->misses_flush = false;
    target->drop_from = 0;
    target->is_dropping = target->keys.count != 0;
}

bool hints_expire(struct hints *hints, uint16_t number, uint64_t now_ms) {
    if (!hints_has_any(hints, number) || hints_age_ms(hints, number, now_ms) < hints->window_ms)
        return false;
    hints_forget(hints, number);
    return true;
}

uint32_t hints_drop_step(struct hints *hints, uint32_t units) {
    uint32_t gone = 0;
    for (uint32_t i = 0; i < hints->target_capacity && gone < units; i++) {
        struct hint_target *target = &hints->targets[i];
        while (target->is_dropping && gone < units) {
            struct group group;
            next_group(hints, target, &target->drop_from, units - gone, &group);
            for (uint32_t k = 0; k < group.count; k++) {
                struct argument key = key_of(group.hints[k], group.hashes[k]);
                drop(hints, target, &key, group.hints[k]);
            }
            gone += group.count;
            target->dropped += group.count;
            target->is_dropping = target->keys.count != 0;
        }
    }
    return gone;
}
