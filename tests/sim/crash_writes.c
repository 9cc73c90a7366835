/* crash_writes.c - puts, changes in place, removals, expiries, whole databases, and writes of others.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/crash_writes.h"

#include <stdio.h>

/* Only these keys have long values: an image of a few is enough. */
#define LONG_KEYS     2
#define FOREIGN_NODES 3
#define PAIRS_MAX     4
/* Keys of which the first one is so long that a checkpoint writes it in parts. */
#define LONG_KEY_SIZE (90u * 1024)
#define KEY_SIZE_MAX  600u

/* ---- Keys ---- */

struct crash_keys crash_keys_make(struct mem *mem, struct rng *rng, uint32_t databases, uint32_t count) {
    struct crash_keys keys = {.databases = databases, .count = count};
    bool has_long_key = chance_permille(rng, 150);
    keys.keys = mem_alloc_zeroed(mem, count * sizeof *keys.keys);
    CHECK(keys.keys != NULL);
    for (uint32_t i = 0; i < count; i++) {
        char name[32];
        size_t name_size = (size_t)snprintf(name, sizeof name, "key:%u", i);
        uint32_t size = (uint32_t)name_size;
        if (has_long_key && i == count - 1)
            size = LONG_KEY_SIZE;
        else if (chance_permille(rng, 200))
            size += (uint32_t)chance_magnitude(rng, 1, KEY_SIZE_MAX);
        uint8_t *bytes = mem_alloc(mem, size);
        CHECK(bytes != NULL);
        memset(bytes, 'k', size);
        memcpy(bytes, name, name_size);
        bytes[size - 1] = bytes[size - 1] == 'k' ? '.' : bytes[size - 1];
        keys.keys[i] = (struct argument){.data = bytes, .size = size, .slot = ARGUMENT_NOT_PLACED};
    }
    return keys;
}

void crash_keys_release(struct crash_keys *keys, struct mem *mem) {
    for (uint32_t i = 0; i < keys->count; i++)
        mem_free(mem, (void *)(uintptr_t)keys->keys[i].data, keys->keys[i].size);
    mem_free(mem, keys->keys, keys->count * sizeof *keys->keys);
}

/* ---- Values ---- */

static void fill(struct rng *rng, uint8_t *bytes, size_t size) {
    bool repeats = chance_permille(rng, 500);
    uint64_t word = rng_next64(rng);
    for (size_t i = 0; i < size; i += sizeof word) {
        memcpy(bytes + i, &word, size - i < sizeof word ? size - i : sizeof word);
        if (!repeats)
            word = rng_next64(rng);
    }
}

static uint32_t draw_size(const struct crash_mix *mix, struct rng *rng, uint32_t number) {
    if (number < LONG_KEYS && chance_permille(rng, mix->long_permille))
        return (uint32_t)chance_between(rng, 60000, CRASH_VALUE_MAX);
    return chance_permille(rng, 60) ? 0 : (uint32_t)chance_magnitude(rng, 1, mix->value_max);
}

static int64_t draw_expiry(const struct keyspace *keyspace, const struct crash_mix *mix, struct rng *rng) {
    if (!chance_permille(rng, mix->expiry_permille))
        return chance_permille(rng, 200) ? EXPIRY_KEEP : EXPIRY_NONE;
    return keyspace->now_ms + (int64_t)chance_magnitude(rng, 1, mix->expiry_max_ms) - 2;
}

/* ---- Writes ---- */

static const char *put(struct keyspace *keyspace, uint32_t database, struct argument *key, uint32_t number,
                       const struct crash_mix *mix, struct rng *rng, uint8_t *space) {
    struct value value = {.data = space,
                          .size = draw_size(mix, rng, number),
                          .expiry_ms = draw_expiry(keyspace, mix, rng),
                          .encoding = chance_permille(rng, 100) ? ENCODING_RAW : ENCODING_NATURAL};
    fill(rng, space, value.size);
    CHECK(keyspace_put(keyspace, database, key, &value));
    return "put";
}

static const char *put_many(struct keyspace *keyspace, uint32_t database, const struct crash_keys *keys,
                            const struct crash_mix *mix, struct rng *rng, uint8_t *space) {
    struct argument pairs[2 * PAIRS_MAX];
    uint32_t count = (uint32_t)chance_between(rng, 1, PAIRS_MAX), offset = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t size = (uint32_t)chance_magnitude(rng, 1, mix->value_max < 1000 ? mix->value_max : 1000);
        fill(rng, space + offset, size);
        pairs[2 * i] = keys->keys[rng_below(rng, keys->count)];
        pairs[2 * i + 1] =
            (struct argument){.data = space + offset, .size = size, .slot = ARGUMENT_NOT_PLACED};
        offset += size;
    }
    CHECK(keyspace_put_many(keyspace, database, pairs, count));
    return "put many";
}

/* Appends, shortens, or changes a few bytes in the middle. */
static const char *edit(struct keyspace *keyspace, uint32_t database, struct argument *key, struct rng *rng) {
    struct entry entry;
    struct record *record = keyspace_lookup(keyspace, database, key, LOOKUP_WRITE, &entry);
    uint32_t size = record == NULL ? 0 : record_value_size(record), from = 0;
    if (record == NULL) {
        uint8_t *made = keyspace_create(keyspace, database, key, 5, ENCODING_RAW);
        CHECK(made != NULL);
        memcpy(made, "hello", 5);
        return "create";
    }
    uint32_t wanted = size;
    if (size == 0 || chance_permille(rng, 400)) {
        from = size;
        wanted = size + (uint32_t)chance_magnitude(rng, 1, 200);
    } else if (chance_permille(rng, 200)) {
        wanted = (uint32_t)rng_below(rng, size + 1);
    } else {
        from = (uint32_t)rng_below(rng, size);
    }
    if (wanted > CRASH_VALUE_MAX)
        wanted = CRASH_VALUE_MAX;
    uint8_t *bytes = keyspace_edit(keyspace, database, key, &entry, wanted, ENCODING_RAW);
    CHECK(bytes != NULL);
    if (from < wanted)
        fill(rng, bytes + from, wanted - from < 100 ? wanted - from : 100);
    return "edit";
}

static const char *change_expiry(struct keyspace *keyspace, uint32_t database, struct argument *key,
                                 const struct crash_mix *mix, struct rng *rng) {
    struct entry entry;
    if (keyspace_lookup(keyspace, database, key, LOOKUP_WRITE, &entry) == NULL)
        return "nothing";
    int64_t expiry_ms = chance_permille(rng, 300)
                            ? EXPIRY_NONE
                            : keyspace->now_ms + (int64_t)chance_magnitude(rng, 1, mix->expiry_max_ms);
    CHECK(keyspace_set_expiry(keyspace, database, key, &entry, expiry_ms));
    return "expiry";
}

static const char *take_out(struct keyspace *keyspace, uint32_t database, struct argument *key) {
    struct entry entry;
    if (keyspace_lookup(keyspace, database, key, LOOKUP_WRITE, &entry) == NULL)
        return "nothing";
    keyspace_remove(keyspace, database, key, &entry, REMOVE_DELETED);
    return "remove";
}

/* What another node wrote: newer than all, older, or concurrent with what is here. */
static const char *merge(struct keyspace *keyspace, uint32_t database, struct argument *key,
                         const struct crash_mix *mix, struct rng *rng, uint8_t *space) {
    struct actor_identity foreign = {.incarnation = chance_between(rng, 1, 2)};
    memset(foreign.node_id, 0xf0 + (int)rng_below(rng, FOREIGN_NODES), sizeof foreign.node_id);
    uint16_t actor = actors_intern(&keyspace->actors, &foreign);
    CHECK(actor != ACTORS_NONE);
    uint64_t now = version_next_counter(keyspace->counter, (uint64_t)keyspace->now_ms);
    struct record_parts parts = {.key = key->data,
                                 .key_size = key->size,
                                 .value = space,
                                 .expiry_ms = RECORD_NO_EXPIRY,
                                 .newest = {.counter = now - rng_below(rng, 1 << 20) + 1000, .actor = actor},
                                 .type = RECORD_STRING};
    if (chance_permille(rng, 200))
        parts.type = RECORD_TOMBSTONE;
    else
        parts.value_size = (uint32_t)chance_magnitude(rng, 1, mix->value_max);
    fill(rng, space, parts.value_size);
    bool has_changed;
    CHECK(keyspace_merge(keyspace, database, key, &parts, &has_changed));
    return has_changed ? "merge" : "merge of nothing new";
}

static const char *write_key(struct keyspace *keyspace, uint32_t database, const struct crash_keys *keys,
                             const struct crash_mix *mix, struct rng *rng, uint8_t *space) {
    uint32_t number = (uint32_t)rng_below(rng, keys->count);
    if (mix->long_permille != 0 && keys->count > LONG_KEYS && chance_permille(rng, 200))
        number = (uint32_t)rng_below(rng, LONG_KEYS);
    struct argument key = keys->keys[number];
    uint64_t draw = rng_below(rng, 100);
    if (draw < 40)
        return put(keyspace, database, &key, number, mix, rng, space);
    if (draw < 60)
        return edit(keyspace, database, &key, rng);
    if (draw < 72)
        return take_out(keyspace, database, &key);
    if (draw < 80)
        return change_expiry(keyspace, database, &key, mix, rng);
    if (draw < 84)
        return put_many(keyspace, database, keys, mix, rng, space);
    if (draw < 92 && !keyspace->is_alone)
        return merge(keyspace, database, &key, mix, rng, space);
    if (draw < 94)
        return keyspace_reclaim_step(keyspace, 64) != 0 ? "reclaim" : "nothing";
    return keyspace_expire_step(keyspace, 64) != 0 ? "expire" : "nothing";
}

const char *crash_write(struct keyspace *keyspace, const struct crash_keys *keys, const struct crash_mix *mix,
                        struct rng *rng, uint8_t *space) {
    uint32_t database = (uint32_t)rng_below(rng, keys->databases);
    if (chance_permille(rng, 200))
        keyspace_set_time(keyspace, keyspace->now_ms + (int64_t)chance_magnitude(rng, 1, 2000) - 3);
    if (chance_permille(rng, mix->flush_permille)) {
        keyspace_flush(keyspace, database);
        return "flush";
    }
    if (chance_permille(rng, mix->swap_permille)) {
        keyspace_swap(keyspace, database, (uint32_t)rng_below(rng, keys->databases));
        return "swap";
    }
    return write_key(keyspace, database, keys, mix, rng, space);
}
