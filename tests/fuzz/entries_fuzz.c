/* entries_fuzz.c - any bytes as what a node tells another about keys.
 *
 * Input: a byte of flags (bits 0-3: with 0 all memory is there, else the allocation of that number fails, bit 4: and all after
 * it; bit 5: times 16), then a payload.
 * Checked: reading ends; two nodes that number writers otherwise end with equal copies; where nothing but whole records, flushes
 * and the like came, a second time changes nothing; what a node has taken it can tell a third one, which then has the same; where
 * there was no memory, each slot that is not as with it is reported as lost; no memory is lost.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/entries.h"

#include <stdlib.h>

#define NOW_MS INT64_C(1700000000000)
#define SEED \
    { 3 }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A node with one peer: what it takes, and what it tells. */
struct place {
    struct mem mem;
    struct keyspace *keyspace;
    struct entries_reader reader;
    struct entries_writer writer;
    struct entries_outcome outcome;
};

static bool keeps_siblings(const void *context, const uint8_t *key, uint32_t key_size) {
    (void)context;
    return key_size != 0 && key[0] == 's';
}

static void open_place(struct place *place, uint8_t number) {
    static const uint8_t seed[HASH_SEED_SIZE] = SEED;
    struct actor_identity self = {.node_id = {number}, .incarnation = 1};
    *place = (struct place){0};
    place->keyspace = keyspace_new(&place->mem, seed, 1);
    CHECK(place->keyspace != NULL && ledger_attach(place->keyspace));
    keyspace_set_time(place->keyspace, NOW_MS);
    keyspace_set_alone(place->keyspace, false);
    while (ledger_walk_step(place->keyspace, JOB_STEP_UNITS) != 0)
        continue;
    actors_set_self(&place->keyspace->actors, &self);
    /* Some keys keep the values that lose, others do not. */
    place->keyspace->keeps_siblings = keeps_siblings;
    for (uint8_t i = 0; i < number; i++) {
        struct actor_identity other = {.node_id = {(uint8_t)(number - i)}, .incarnation = 1};
        CHECK(actors_intern(&place->keyspace->actors, &other) != ACTORS_NONE);
    }
    entries_reader_init(&place->reader, &place->mem);
    entries_writer_init(&place->writer, &place->mem);
    buffer_init(&place->outcome.fetches, &place->mem);
    buffer_init(&place->outcome.answers, &place->mem);
}

static void close_place(struct place *place) {
    entries_reader_release(&place->reader);
    entries_writer_release(&place->writer);
    buffer_release(&place->outcome.fetches);
    buffer_release(&place->outcome.answers);
    keyspace_free(place->keyspace);
    CHECK(place->mem.used_bytes == 0 && place->mem.allocations == 0);
}

static enum entries_status apply(struct place *place, const uint8_t *data, size_t size) {
    struct entries_options options = {.keyspace = place->keyspace, .answers_writer = &place->writer};
    return entries_apply(&place->reader, &options, data, size, &place->outcome);
}

static bool is_equal(const struct place *one, const struct place *other, uint32_t slot) {
    return ledger_slot_digest(one->keyspace->ledger, slot) ==
           ledger_slot_digest(other->keyspace->ledger, slot);
}

static void check_equal(const struct place *one, const struct place *other) {
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        CHECK(is_equal(one, other, slot));
    CHECK(keyspace_size(one->keyspace, 0) == keyspace_size(other->keyspace, 0));
}

/* ---- What a node has, told to another ---- */

struct telling {
    struct place *from, *to;
    struct buffer payload;
};

static void check_state(const struct record *record) {
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    CHECK(parts.state_size == 0 || merge_state_is_valid(parts.state, parts.state_size, parts.type));
}

static void compare_record(struct telling *telling, const struct record *record) {
    struct argument key = {
        .data = record_key(record), .size = record_key_size(record), .slot = ARGUMENT_NOT_PLACED};
    const struct record *other = keyspace_find_record(telling->to->keyspace, &key);
    CHECK(other != NULL && record_type(other) == record_type(record));
    CHECK(record_expiry_ms(other) == record_expiry_ms(record) &&
          record_encoding(other) == record_encoding(record));
    CHECK(record_value_size(other) == record_value_size(record));
    CHECK(memcmp(record_value_const(other), record_value_const(record), record_value_size(record)) == 0);
    CHECK(record_state_size(other) == record_state_size(record)); /* its actors have other numbers */
    check_state(record);
}

static void compare_visited(void *context, struct record *record, uint64_t hash) {
    (void)hash;
    compare_record(context, record);
}

static void tell_visited(void *context, struct record *record, uint64_t hash) {
    struct telling *telling = context;
    (void)hash;
    CHECK(entries_add_record(&telling->from->writer, &telling->from->keyspace->actors, &telling->payload,
                             record));
}

static void visit_all(struct telling *telling, dict_visitor *visit) {
    struct keyspace *keyspace = telling->from->keyspace;
    struct database *database = keyspace->databases[0];
    for (uint32_t slot = 0; database != NULL && slot < SLOT_COUNT; slot++) {
        uint64_t next = 0;
        while (database->slots[slot].count != 0 &&
               dict_scan(&database->slots[slot], &keyspace->secret, next, 100, visit, telling, &next))
            continue;
    }
}

static void check_same_values(struct place *one, struct place *other) {
    struct telling telling = {.from = one, .to = other};
    visit_all(&telling, compare_visited);
}

typedef bool add_slots(struct buffer *payload, uint32_t first_slot, uint32_t last_slot, uint64_t counter);

/* One entry for each run of slots that have the same counter. */
static void tell_counters(struct telling *telling, const uint64_t *counters, add_slots *add) {
    for (uint32_t first = 0, last; first < SLOT_COUNT; first = last + 1) {
        for (last = first; last + 1 < SLOT_COUNT && counters[last + 1] == counters[first];)
            last++;
        if (counters[first] != 0)
            CHECK(add(&telling->payload, first, last, counters[first]));
    }
}

static void check_retold(struct place *from) {
    struct place third;
    open_place(&third, 9);
    struct telling telling = {.from = from, .to = &third};
    buffer_init(&telling.payload, &from->mem);
    entries_writer_clear(&from->writer);
    tell_counters(&telling, from->keyspace->ledger->flush_counters, entries_add_flush);
    tell_counters(&telling, from->keyspace->ledger->floors.counters, entries_add_floor);
    visit_all(&telling, tell_visited);
    CHECK(apply(&third, telling.payload.data, telling.payload.size) == ENTRIES_APPLIED);
    CHECK(third.outcome.stale == 0 && third.outcome.conflicts == 0);
    check_equal(from, &third);
    check_same_values(from, &third);
    buffer_release(&telling.payload);
    close_place(&third);
}

/* ---- Without memory ---- */

static void check_without_memory(const struct place *whole, enum entries_status expected, const uint8_t *data,
                                 size_t size, uint64_t fuse, bool stays_blown) {
    struct place place;
    open_place(&place, 1);
    place.mem.fuse = fuse;
    place.mem.fuse_stays_blown = stays_blown;
    enum entries_status status = apply(&place, data, size);
    place.mem.fuse = 0;
    place.mem.fuse_stays_blown = false;
    const struct ledger *ledger = place.keyspace->ledger;
    CHECK(status == expected || status == ENTRIES_NO_MEMORY || ledger->has_lost || place.reader.has_gaps);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        CHECK(is_equal(whole, &place, slot) || ledger->has_lost);
    close_place(&place);
}

/* Whether no entry can be one that may do something else the second time: EXPIRED takes knowledge away, and a patch may fit then.
 * And all writers together fit into a version. */
static bool is_repeatable(const struct place *place, const uint8_t *data, size_t size) {
    return memchr(data, 3, size) == NULL && memchr(data, 4, size) == NULL &&
           place->keyspace->actors.count <= VERSION_DOTS_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    unsigned flags = *data++;
    size--;
    struct place one, other;
    open_place(&one, 1);
    open_place(&other, 5);
    enum entries_status status = apply(&one, data, size);
    CHECK(status != ENTRIES_NO_MEMORY || one.reader.has_gaps);
    CHECK(apply(&other, data, size) == status);
    check_equal(&one, &other);
    check_same_values(&one, &other);
    CHECK(one.outcome.applied == other.outcome.applied && one.outcome.changed == other.outcome.changed &&
          one.outcome.conflicts == other.outcome.conflicts && one.outcome.mark == other.outcome.mark);
    check_retold(&one);
    if (flags & 15)
        check_without_memory(&one, status, data, size, (flags & 15) * (flags & 32 ? 16u : 1u), flags & 16);
    if (is_repeatable(&one, data, size)) {
        entries_reader_clear(&one.reader);
        CHECK(apply(&one, data, size) == status);
        check_equal(&one, &other);
        check_same_values(&one, &other);
    }
    close_place(&one);
    close_place(&other);
    return 0;
}
