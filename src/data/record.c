/* record.c - making records and taking them apart; the merge rule.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "data/record.h"

/* Whether there is a block of RECORD_VECTOR. */
static inline bool parts_have_vector(const struct record_parts *parts) {
    return UNLIKELY((parts->other_count | parts->state_size) != 0);
}

static inline size_t vector_size(const struct record_parts *parts) {
    return 2 + (size_t)parts->other_count * RECORD_DOT_SIZE +
           (parts->state_size != 0 ? 4 + (size_t)parts->state_size : 0);
}

static inline bool parts_are_long(const struct record_parts *parts) {
    return parts->key_size > RECORD_SMALL_MAX || parts->value_size > RECORD_SMALL_MAX;
}

size_t record_parts_size(const struct record_parts *parts) {
    size_t size = sizeof(struct record) + (size_t)parts->key_size + parts->value_size;
    if (parts->expiry_ms != RECORD_NO_EXPIRY)
        size += 8;
    if (parts_are_long(parts))
        size += 8;
    if (parts_have_vector(parts))
        size += vector_size(parts);
    return size;
}

static void write_vector(uint8_t *at, const struct record_parts *parts) {
    uint16_t count = (uint16_t)(parts->other_count | (parts->state_size != 0 ? RECORD_COUNT_STATE : 0));
    memcpy(at, &count, sizeof count);
    at += sizeof count;
    for (uint32_t i = 0; i < parts->other_count; i++, at += RECORD_DOT_SIZE) {
        memcpy(at, &parts->others[i].actor, 2);
        memcpy(at + 2, &parts->others[i].counter, 8);
    }
    if (parts->state_size != 0) {
        memcpy(at, &parts->state_size, 4);
        memcpy(at + 4, parts->state, parts->state_size);
    }
}

void record_write(struct record *record, const struct record_parts *parts) {
    bool is_long = parts_are_long(parts);
    bool has_expiry = parts->expiry_ms != RECORD_NO_EXPIRY;
    uint8_t *at = record->rest + (has_expiry ? 8 : 0) + (is_long ? 8 : 0);
    if (parts_have_vector(parts))
        at += vector_size(parts);
    /* The key may be this record's own, at another place: it moves before anything is written over it. */
    if (parts->key_size != 0 && at != parts->key)
        memmove(at, parts->key, parts->key_size);
    at += parts->key_size;
    if (parts->value != NULL && parts->value_size != 0)
        memcpy(at, parts->value, parts->value_size);
    record->flags =
        (uint8_t)(parts->type | (has_expiry ? RECORD_EXPIRY : 0) | (is_long ? RECORD_LONG : 0) |
                  (parts_have_vector(parts) ? RECORD_VECTOR : 0) | parts->encoding << RECORD_ENCODING_SHIFT);
    record_set_access_s(record, parts->access_s);
    record->key_size = is_long ? 0 : (uint8_t)parts->key_size;
    record->value_size = is_long ? 0 : (uint8_t)parts->value_size;
    record->actor = parts->newest.actor;
    record->counter = parts->newest.counter;
    uint8_t *rest = record->rest;
    if (has_expiry) {
        memcpy(rest, &parts->expiry_ms, 8);
        rest += 8;
    }
    if (is_long) {
        memcpy(rest, &parts->key_size, 4);
        memcpy(rest + 4, &parts->value_size, 4);
        rest += 8;
    }
    if (parts_have_vector(parts))
        write_vector(rest, parts);
}

struct record *record_new(struct mem *mem, const struct record_parts *parts) {
    struct record *record = mem_alloc(mem, record_parts_size(parts));
    if (record != NULL)
        record_write(record, parts);
    return record;
}

void record_free(struct mem *mem, struct record *record) {
    mem_free(mem, record, record_size(record));
}

void record_parts(const struct record *record, struct record_parts *parts, struct dot *others) {
    *parts = (struct record_parts){
        .key = record_key(record),
        .value = record_value_const(record),
        .key_size = record_key_size(record),
        .value_size = record_type(record) == RECORD_TOMBSTONE ? 0 : record_value_size(record),
        .expiry_ms = record_expiry_ms(record),
        .newest = {.counter = record->counter, .actor = record->actor},
        .type = (uint8_t)record_type(record),
        .encoding = (uint8_t)record_encoding(record),
        .access_s = record_access_s(record),
    };
    if (LIKELY(!(record->flags & RECORD_VECTOR)))
        return;
    const uint8_t *at = record->rest + record_vector_offset(record);
    uint16_t count;
    memcpy(&count, at, sizeof count);
    at += sizeof count;
    parts->other_count = (uint16_t)(count & ~RECORD_COUNT_STATE);
    parts->others = others;
    for (uint32_t i = 0; i < parts->other_count; i++, at += RECORD_DOT_SIZE) {
        memcpy(&others[i].actor, at, 2);
        memcpy(&others[i].counter, at + 2, 8);
    }
    if (count & RECORD_COUNT_STATE)
        parts->state = record->rest + record_state_offset(record, &parts->state_size);
}

void record_version(const struct record *record, struct version *version) {
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    record_parts_version(&parts, version);
}

void record_parts_version(const struct record_parts *parts, struct version *version) {
    bool fits = true;
    version->count = 0;
    for (uint32_t i = 0; i < parts->other_count; i++)
        fits &= version_raise(version, parts->others[i]);
    fits &= version_raise(version, parts->newest);
    CHECK(fits);
}

void record_parts_set_version(struct record_parts *parts, const struct version *version,
                              struct dot others[VERSION_DOTS_MAX]) {
    parts->newest = version_highest(version);
    parts->others = others;
    parts->other_count = 0;
    for (uint32_t i = 0; i < version->count; i++)
        if (version->dots[i].actor != parts->newest.actor)
            others[parts->other_count++] = version->dots[i];
}

void record_parts_order(struct record_parts *parts, struct dot others[VERSION_DOTS_MAX]) {
    struct version version;
    record_parts_version(parts, &version);
    record_parts_set_version(parts, &version, others);
}

enum record_merge record_join(const struct version *ours, const struct version *theirs, bool theirs_win_ties,
                              bool *theirs_wins, struct version *joined) {
    uint64_t our_highest = version_highest(ours).counter, their_highest = version_highest(theirs).counter;
    *theirs_wins = their_highest != our_highest ? their_highest > our_highest : theirs_win_ties;
    *joined = *ours;
    if (version_join(joined, theirs))
        return MERGE_JOIN;
    /* More actors than a version holds: the winner stays whole, so that the outcome is the same everywhere. */
    return *theirs_wins ? MERGE_REPLACE : MERGE_KEEP;
}
