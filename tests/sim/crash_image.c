/* crash_image.c - a table of fingerprints.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/crash_image.h"

#include "sim/trace.h"

#include <stdio.h>

static void add(uint64_t hash[2], const void *data, size_t size) {
    XXH128_hash_t more = XXH3_128bits_withSeed(data, size, hash[0]);
    hash[0] = more.low64;
    hash[1] = hash[1] * UINT64_C(0x9e3779b97f4a7c15) + more.high64;
}

static void add_number(uint64_t hash[2], uint64_t number) {
    add(hash, &number, sizeof number);
}

static void add_dot(uint64_t hash[2], const struct actor_identity *identity, uint64_t counter) {
    add(hash, identity->node_id, sizeof identity->node_id);
    add_number(hash, identity->incarnation);
    add_number(hash, counter);
}

/* Dots stand in the order of short numbers, which differ from process to process. */
static void add_version(uint64_t hash[2], const struct keyspace *keyspace, const struct record_parts *parts) {
    const struct actor_identity *identities = keyspace->actors.identities;
    uint64_t sum[2] = {0, 0};
    add_dot(hash, &identities[parts->newest.actor], parts->newest.counter);
    for (uint32_t i = 0; i < parts->other_count; i++) {
        uint64_t one[2] = {1, 0};
        add_dot(one, &identities[parts->others[i].actor], parts->others[i].counter);
        sum[0] += one[0];
        sum[1] += one[1];
    }
    add(hash, sum, sizeof sum);
}

/* writer: who stands for every writer where the node is alone. */
static struct crash_record fingerprint(const struct keyspace *keyspace, const struct record *record,
                                       const struct actor_identity *writer) {
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    struct crash_record made = {.is_there = true};
    record_parts(record, &parts, others);
    made.expiry_ms = parts.expiry_ms;
    add_number(made.hash, parts.type | (uint64_t)parts.encoding << 8);
    add_number(made.hash, (uint64_t)parts.expiry_ms);
    add_number(made.hash, (uint64_t)parts.key_size << 32 | parts.value_size);
    add(made.hash, parts.key, parts.key_size);
    add(made.hash, parts.value, parts.value_size);
    if (writer != NULL)
        add_dot(made.hash, writer, parts.newest.counter);
    else
        add_version(made.hash, keyspace, &parts);
    return made;
}

static struct record *find(struct keyspace *keyspace, uint32_t database, const struct crash_keys *keys,
                           uint32_t number) {
    struct argument key = keys->keys[number];
    struct entry entry;
    return keyspace_lookup(keyspace, database, &key, LOOKUP_PEEK, &entry);
}

void crash_image_take(struct crash_image *image, struct mem *mem, struct keyspace *keyspace,
                      const struct crash_keys *keys) {
    image->writer = keyspace->actors.identities[ACTOR_SELF];
    image->records = mem_alloc_zeroed(mem, (size_t)keys->databases * keys->count * sizeof *image->records);
    CHECK(image->records != NULL);
    /* Looking reclaims nothing meanwhile: the moment stays as it is. */
    bool was_paused = keyspace->expiry_is_paused;
    keyspace->expiry_is_paused = true;
    for (uint32_t database = 0; database < keys->databases; database++)
        for (uint32_t i = 0; i < keys->count; i++) {
            const struct record *record = find(keyspace, database, keys, i);
            if (record != NULL)
                image->records[(size_t)database * keys->count + i] =
                    fingerprint(keyspace, record, keyspace->is_alone ? &image->writer : NULL);
        }
    keyspace->expiry_is_paused = was_paused;
}

void crash_image_release(struct crash_image *image, struct mem *mem, const struct crash_keys *keys) {
    if (image->records != NULL)
        mem_free(mem, image->records, (size_t)keys->databases * keys->count * sizeof *image->records);
    image->records = NULL;
}

/* Alone, all that was loaded counts as written by the file's writer. */
static bool has_right_writer(const struct crash_image *image, const struct keyspace *keyspace,
                             const struct record *record) {
    const struct actor_identity *writer = &keyspace->actors.identities[record->actor];
    return !keyspace->is_alone || (writer->incarnation == image->writer.incarnation &&
                                   memcmp(writer->node_id, image->writer.node_id, NODE_ID_SIZE) == 0);
}

static bool is_same(const struct crash_record *expected, const struct crash_record *found) {
    return expected->hash[0] == found->hash[0] && expected->hash[1] == found->hash[1];
}

static void describe(const struct crash_keys *keys, uint32_t database, uint32_t number, const char *what,
                     const struct record *record, char *difference, size_t difference_size) {
    char key[80];
    snprintf(difference, difference_size, "database %u, key %s: %s%s%lld%s%u", database,
             trace_readable(key, sizeof key, keys->keys[number].data, keys->keys[number].size), what,
             record == NULL ? " " : ", expiry ", record == NULL ? 0 : (long long)record_expiry_ms(record),
             record == NULL ? " " : ", bytes ", record == NULL ? 0 : record_value_size(record));
}

bool crash_image_is_held(const struct crash_image *image, struct keyspace *keyspace,
                         const struct crash_keys *keys, char *difference, size_t difference_size) {
    uint64_t expected = 0, held = 0;
    for (uint32_t database = 0; database < keys->databases; database++)
        for (uint32_t i = 0; i < keys->count; i++) {
            const struct crash_record *record = &image->records[(size_t)database * keys->count + i];
            bool is_there = record->is_there &&
                            !(record->expiry_ms != RECORD_NO_EXPIRY && keyspace->now_ms > record->expiry_ms);
            const struct record *found = find(keyspace, database, keys, i);
            const char *what = NULL;
            struct crash_record made = {.is_there = false};
            expected += is_there;
            if (found != NULL)
                made = fingerprint(keyspace, found, keyspace->is_alone ? &image->writer : NULL);
            if ((found != NULL) != is_there)
                what = is_there ? "it is missing" : "it should not be there";
            else if (is_there && !is_same(record, &made))
                what = "it is another one";
            else if (is_there && !has_right_writer(image, keyspace, found))
                what = "its writer is wrong";
            if (what == NULL)
                continue;
            describe(keys, database, i, what, found, difference, difference_size);
            return false;
        }
    for (uint32_t database = 0; database < DATABASE_COUNT; database++)
        held += keyspace_size(keyspace, database);
    if (held == expected)
        return true;
    snprintf(difference, difference_size, "%llu keys instead of %llu", (unsigned long long)held,
             (unsigned long long)expected);
    return false;
}
