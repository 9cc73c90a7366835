/* antientropy_pair.c - two copies that compare themselves, for tests.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "antientropy_pair.h"

#include <criterion/criterion.h>

/* A check that is made so often that Criterion's own would take most of the time. */
#define EXPECT(condition)                     \
    do {                                      \
        if (!(condition))                     \
            cr_assert_fail("%s", #condition); \
    } while (0)

static void copy_init(struct copy *copy, uint8_t name) {
    *copy = (struct copy){0};
    uint8_t seed[HASH_SEED_SIZE] = "sixteen bytes..";
    copy->keyspace = keyspace_new(&copy->mem, seed, name);
    struct actor_identity self = {.node_id = {name}, .incarnation = 1};
    actors_set_self(&copy->keyspace->actors, &self);
    keyspace_set_time(copy->keyspace, PAIR_NOW_MS);
    cr_assert(ledger_attach(copy->keyspace));
    keyspace_set_alone(copy->keyspace, false);
    while (ledger_walk_step(copy->keyspace, 1000) != 0)
        continue;
    entries_writer_init(&copy->writer, &copy->mem);
    entries_reader_init(&copy->reader, &copy->mem);
    buffer_init(&copy->message, &copy->mem);
    buffer_init(&copy->records, &copy->mem);
}

static void copy_release(struct copy *copy) {
    buffer_release(&copy->message);
    buffer_release(&copy->records);
    entries_writer_release(&copy->writer);
    entries_reader_release(&copy->reader);
    keyspace_free(copy->keyspace);
    cr_assert_eq(copy->mem.used_bytes, 0, "%zu bytes are left", copy->mem.used_bytes);
    cr_assert_eq(copy->mem.allocations, 0);
}

void pair_init(struct pair *pair) {
    memset(pair, 0, sizeof *pair);
    copy_init(&pair->asker, 'a');
    copy_init(&pair->answerer, 'b');
    comparer_init(&pair->comparer, &pair->asker.mem);
    memset(&pair->set, 0xff, sizeof pair->set);
}

void pair_release(struct pair *pair) {
    comparer_release(&pair->comparer);
    copy_release(&pair->asker);
    copy_release(&pair->answerer);
}

static struct argument key_of(const char *text) {
    return (struct argument){
        .data = (const uint8_t *)text, .size = (uint32_t)strlen(text), .slot = ARGUMENT_NOT_PLACED};
}

void copy_put(struct copy *copy, const char *key, const void *value, uint32_t size, int64_t expiry_ms) {
    struct argument argument = key_of(key);
    struct value made = {.data = value, .size = size, .expiry_ms = expiry_ms};
    EXPECT(keyspace_put(copy->keyspace, 0, &argument, &made));
    ledger_clear_effects(copy->keyspace->ledger);
}

void copy_put_text(struct copy *copy, const char *key, const char *value) {
    copy_put(copy, key, value, (uint32_t)strlen(value), EXPIRY_NONE);
}

void copy_delete(struct copy *copy, const char *key) {
    struct argument argument = key_of(key);
    struct entry entry;
    EXPECT(keyspace_lookup(copy->keyspace, 0, &argument, LOOKUP_WRITE, &entry) != NULL);
    keyspace_remove(copy->keyspace, 0, &argument, &entry, REMOVE_DELETED);
    ledger_clear_effects(copy->keyspace->ledger);
}

const struct record *copy_find(struct copy *copy, const char *key) {
    struct argument argument = key_of(key);
    const struct record *record = keyspace_find_record(copy->keyspace, &argument);
    return record == NULL || record_type(record) == RECORD_TOMBSTONE ? NULL : record;
}

void pair_put(struct pair *pair, const char *key, const char *value) {
    copy_put_text(&pair->asker, key, value);
    struct argument argument = key_of(key);
    const struct record *record = keyspace_find_record(pair->asker.keyspace, &argument);
    EXPECT(
        entries_add_record(&pair->asker.writer, &pair->asker.keyspace->actors, &pair->asker.records, record));
    if (pair->asker.records.size > 10000)
        pair_deliver(pair, &pair->asker);
}

void pair_deliver(struct pair *pair, struct copy *from) {
    struct copy *to = from == &pair->asker ? &pair->answerer : &pair->asker;
    struct entries_options options = {.keyspace = to->keyspace};
    struct entries_outcome outcome = {0};
    buffer_init(&outcome.fetches, &to->mem);
    buffer_init(&outcome.answers, &to->mem);
    cr_assert_eq(entries_apply(&to->reader, &options, from->records.data, from->records.size, &outcome),
                 ENTRIES_APPLIED);
    cr_assert_eq(outcome.fetches.size, 0);
    ledger_clear_effects(to->keyspace->ledger);
    from->record_bytes += from->records.size;
    if (from->records.size > from->records_most)
        from->records_most = from->records.size;
    buffer_clear(&from->records);
}

void pair_ask(struct pair *pair) {
    struct copy *asker = &pair->asker, *answerer = &pair->answerer;
    if (pair->before_question != NULL)
        pair->before_question(pair);
    pair_deliver(pair, asker);
    pair->questions++;
    cr_assert(compare_answer(answerer->keyspace, &pair->set, !pair->hands_over, &answerer->writer,
                             asker->message.data, asker->message.size, &answerer->message, &answerer->records,
                             &pair->finding, &answerer->statistics));
    ledger_clear_effects(answerer->keyspace->ledger);
    pair->has_differed |= pair->finding.has_differed;
    buffer_clear(&asker->message);
    cr_assert_gt(answerer->message.size, 0);
}

void pair_answer(struct pair *pair) {
    struct copy *asker = &pair->asker, *answerer = &pair->answerer;
    pair_deliver(pair, answerer);
    cr_assert(comparer_receive(&pair->comparer, asker->keyspace, &asker->writer, answerer->message.data,
                               answerer->message.size, &asker->message, &asker->records, &asker->statistics));
    buffer_clear(&answerer->message);
}

enum compare_state pair_round(struct pair *pair) {
    pair->questions = 0;
    pair->has_differed = false;
    struct compare_finding root = {0};
    cr_assert(comparer_begin(&pair->comparer, pair->asker.keyspace, &pair->set, true, &pair->asker.message,
                             &pair->asker.statistics));
    while (pair->asker.message.size > 0) {
        cr_assert_eq(pair->comparer.state, COMPARE_RUNNING);
        pair_ask(pair);
        if (pair->questions == 1)
            root = pair->finding;
        pair_answer(pair);
        EXPECT(pair->questions < 100000);
    }
    pair_deliver(pair, &pair->asker);
    pair->finding = root;
    cr_assert_eq(root.is_equal, pair->comparer.state == COMPARE_EQUAL);
    return pair->comparer.state;
}

uint32_t pair_converge(struct pair *pair, uint32_t rounds_max) {
    for (uint32_t round = 1; round <= rounds_max; round++)
        if (pair_round(pair) == COMPARE_EQUAL)
            return round;
    cr_assert_fail("the copies still differ after %u rounds", rounds_max);
    return 0;
}

/* ---- What both hold ---- */

struct likening {
    struct keyspace *one, *other;
    uint32_t count;
};

static void expect_record(void *context, struct record *record, uint64_t hash) {
    struct likening *likening = context;
    uint32_t size = record_key_size(record);
    struct argument key = {.data = record_key(record), .size = size, .slot = ARGUMENT_NOT_PLACED};
    const struct record *other = keyspace_find_record(likening->other, &key);
    if (other == NULL)
        cr_assert_fail("%.*s is missing", (int)size, (const char *)record_key(record));
    EXPECT(record_type(record) == record_type(other) && record_expiry_ms(record) == record_expiry_ms(other));
    EXPECT(record_value_size(record) == record_value_size(other));
    EXPECT(memcmp(record_value_const(record), record_value_const(other), record_value_size(record)) == 0);
    EXPECT(ledger_record_digest(likening->one, hash, record) ==
           ledger_record_digest(likening->other, hash, other));
    likening->count++;
}

static struct dict *slot_of(struct keyspace *keyspace, uint32_t slot) {
    return keyspace->databases[0] == NULL ? NULL : &keyspace->databases[0]->slots[slot];
}

void pair_expect_same(struct pair *pair) {
    struct keyspace *one = pair->asker.keyspace, *other = pair->answerer.keyspace;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        struct likening likening = {.one = one, .other = other};
        struct dict *ours = slot_of(one, slot), *theirs = slot_of(other, slot);
        uint64_t next;
        if (ours != NULL)
            EXPECT(!dict_scan(ours, &one->secret, 0, UINT32_MAX / 16, expect_record, &likening, &next));
        if (likening.count != (theirs == NULL ? 0 : theirs->count))
            cr_assert_fail("slot %u has %u records at one, %u at the other", slot, likening.count,
                           theirs == NULL ? 0 : theirs->count);
        EXPECT(one->ledger->digests[slot] == other->ledger->digests[slot]);
        EXPECT(one->ledger->flush_counters[slot] == other->ledger->flush_counters[slot]);
    }
}
