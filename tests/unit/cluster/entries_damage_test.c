/* entries_damage_test.c - payloads that make no sense, and payloads for which there is no memory.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "entries_stage.h"

#include <stdio.h>

/* ---- Damage ---- */

Test(entries_damage, what_came_before_a_bad_entry_is_applied) {
    struct pair *pair = pair_new();
    put(&pair->a, "key", "value");
    add(&pair->way, "key");
    size_t size = pair->way.payload.size;
    static const char *const bad[] = {
        "\x01\xff\xff", "\x02\x02", "\x03\xff", "\x07", "\x08", "\xff", "\x06\xff\xff\xff\xff\x0f"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        pair->way.payload.size = size;
        cr_assert(buffer_append_text(&pair->way.payload, bad[i]));
        cr_assert_eq(apply(&pair->way), ENTRIES_MALFORMED, "%u", i);
        expect_value(&pair->b, "key", "value");
        cr_assert_eq(pair->way.outcome.applied, i + 1);
    }
    pair_free(pair);
}

Test(entries_damage, a_record_of_an_actor_that_was_not_told_is_malformed) {
    struct pair *pair = pair_new();
    struct actor_identity identity = identity_of(9);
    append_actor(&pair->way.payload, 3, &identity);
    append_record(&pair->way.payload, (struct dot[]){{(uint64_t)NOW_MS << 16, 3}}, 1, "known");
    append_record(&pair->way.payload, (struct dot[]){{(uint64_t)NOW_MS << 16, 4}}, 1, "unknown");
    cr_assert_eq(apply(&pair->way), ENTRIES_MALFORMED);
    expect_value(&pair->b, "known", "value");
    cr_assert_null(find(&pair->b, "unknown"));
    cr_assert_not(pair->b.keyspace->ledger->has_lost);
    pair_free(pair);
}

struct bad_patch {
    uint64_t base_counter;
    uint8_t encoding, value_size, offset, size;
    enum entries_status status;
};

Test(entries_damage, a_patch_whose_numbers_contradict_each_other_is_malformed) {
    uint64_t counter = (uint64_t)NOW_MS << 16;
    const struct bad_patch patches[] = {
        {counter - 1, 2, 10, 5, 5, ENTRIES_APPLIED},   {counter, 2, 10, 5, 5, ENTRIES_MALFORMED},
        {0, 2, 10, 5, 5, ENTRIES_MALFORMED},           {counter - 1, 2, 10, 6, 5, ENTRIES_MALFORMED},
        {counter - 1, 3, 10, 5, 5, ENTRIES_MALFORMED}, {counter - 1, 2 | 8, 10, 5, 5, ENTRIES_MALFORMED},
    };
    struct pair *pair = pair_new();
    struct actor_identity identity = identity_of(9);
    append_actor(&pair->way.payload, 3, &identity);
    deliver(&pair->way);
    for (unsigned i = 0; i < sizeof patches / sizeof patches[0]; i++) {
        struct buffer *payload = &pair->way.payload;
        uint8_t base[8], sizes[] = {patches[i].value_size, patches[i].offset, patches[i].size};
        encode_u64(base, patches[i].base_counter);
        buffer_clear(payload);
        cr_assert(buffer_append_byte(payload, 3) && buffer_append_byte(payload, patches[i].encoding));
        append_version(payload, (struct dot[]){{counter, 3}}, 1);
        cr_assert(buffer_append(payload, base, 8) && buffer_append(payload, "\x03key", 4));
        cr_assert(buffer_append(payload, sizes, sizeof sizes) && buffer_append(payload, "01234", 5));
        cr_assert_eq(apply(&pair->way), patches[i].status, "%u", i);
    }
    pair_free(pair);
}

Test(entries_damage, numbers_of_actors_have_a_limit) {
    struct pair *pair = pair_new();
    struct actor_identity identity = identity_of(9);
    append_actor(&pair->way.payload, ACTORS_MAX - 1, &identity);
    deliver(&pair->way);
    append_actor(&pair->way.payload, ACTORS_MAX, &identity);
    cr_assert_eq(apply(&pair->way), ENTRIES_MALFORMED);
    pair_free(pair);
}

Test(entries_damage, a_payload_cut_anywhere_is_told_from_a_whole_one) {
    struct pair *pair = long_pair();
    write_range(&pair->a, "key", 100, "changed");
    add_effects(&pair->way);
    put_bytes(&pair->a, "short", "value", 5, NOW_MS + 5);
    add_effects(&pair->way);
    cr_assert(entries_add_flush(&pair->way.payload, 1, 2, 3));
    cr_assert(entries_add_fetch(&pair->way.payload, (const uint8_t *)"key", 3));
    cr_assert(entries_add_mark(&pair->way.payload, 1000));
    unsigned whole = 0;
    for (size_t size = 0; size <= pair->way.payload.size; size++) {
        enum entries_status status = apply_bytes(&pair->way, pair->way.payload.data, size);
        cr_assert(status == ENTRIES_APPLIED || status == ENTRIES_MALFORMED);
        whole += status == ENTRIES_APPLIED;
    }
    cr_assert_eq(whole, 1 + 5);
    pair_free(pair);
}

/* What a payload says that has not arrived. */
struct missed {
    char keys[64];
    unsigned flushes;
};

static void note_missed_key(void *context, struct argument *key) {
    struct missed *missed = context;
    strncat(missed->keys, (const char *)key->data, key->size);
    strcat(missed->keys, ",");
}

static void note_missed_flush(void *context) {
    ((struct missed *)context)->flushes++;
}

Test(entries_damage, what_a_payload_would_have_told_is_shown_a_few_at_a_time) {
    struct pair *pair = pair_new();
    struct buffer *payload = &pair->way.payload;
    static const uint8_t other[NODE_ID_SIZE] = "other";
    put(&pair->a, "a", "value");
    put(&pair->a, "b", "value");
    put(&pair->a, "c", "value");
    add(&pair->way, "a");
    cr_assert(entries_add_flush(payload, 62, 66, 3));
    cr_assert(entries_add_mark(payload, 1000));
    cr_assert(entries_add_fetch(payload, (const uint8_t *)"d", 1));
    cr_assert(entries_add_for(payload, other));
    add(&pair->way, "b");
    add(&pair->way, "c");
    size_t good = payload->size;
    cr_assert(buffer_append_byte(payload, 99));
    for (uint32_t limit = 1; limit < 12; limit++) {
        struct missed missed = {.flushes = 0};
        const struct entries_missed visit = {&missed, note_missed_key, note_missed_flush};
        size_t at = 0;
        uint32_t calls = 0;
        while (at < good) {
            size_t next = entries_each_missed(payload->data, payload->size, at, limit, &visit);
            cr_assert_gt(next, at);
            at = next;
            calls++;
        }
        cr_assert_str_eq(missed.keys, "a,c,", "%u at a time", limit);
        cr_assert_eq(missed.flushes, 1u);
        cr_assert_leq(calls, 7 / limit + 1);
    }
    pair_free(pair);
}

/* ---- For somebody else ---- */

struct kept {
    char text[128]; /* "owner:key," */
};

static void note_kept(void *context, const uint8_t node_id[NODE_ID_SIZE], const struct argument *key) {
    struct kept *kept = context;
    strcat(strcat(kept->text, (const char *)node_id), ":");
    strncat(kept->text, (const char *)key->data, key->size);
    strcat(kept->text, ",");
    cr_assert_eq(key->slot, crc16_key_slot(key->data, key->size));
}

Test(entries_damage, what_is_for_another_node_is_kept_and_told_of) {
    struct pair *pair = pair_new();
    struct buffer *payload = &pair->way.payload;
    static const uint8_t one[NODE_ID_SIZE] = "one", two[NODE_ID_SIZE] = "two";
    struct kept kept = {""};
    put(&pair->a, "a", "value");
    put(&pair->a, "b", "value");
    put(&pair->a, "c", "value");
    put(&pair->a, "d", "value");
    ledger_clear_effects(pair->a.keyspace->ledger);
    add(&pair->way, "a");
    cr_assert(entries_add_for(payload, one)); /* the actor is known: the record follows at once */
    add(&pair->way, "b");
    add(&pair->way, "c");
    cr_assert(entries_add_for(payload, two));
    add(&pair->way, "d");
    cr_assert(entries_add_for(payload, one));
    cr_assert(entries_add_mark(payload, 5)); /* which is for nobody in particular */
    add(&pair->way, "a");
    cr_assert(entries_add_for(payload, two)); /* and nothing behind it */
    struct entries_options options = {.keyspace = pair->b.keyspace,
                                      .answers_writer = &pair->way.back,
                                      .stands_in = note_kept,
                                      .context = &kept};
    cr_assert_eq(entries_apply(&pair->way.reader, &options, payload->data, payload->size, &pair->way.outcome),
                 ENTRIES_APPLIED);
    cr_assert_str_eq(kept.text, "one:b,two:d,");
    cr_assert_eq(pair->way.outcome.applied, 6u);
    cr_assert_eq(pair->way.outcome.mark, 5u);
    expect_equal(&pair->a, &pair->b);
    /* The word may stand before an actor that is told for the first time. */
    entries_writer_clear(&pair->way.writer);
    buffer_clear(payload);
    kept.text[0] = '\0';
    cr_assert(entries_add_for(payload, one));
    add(&pair->way, "a");
    cr_assert_eq(entries_apply(&pair->way.reader, &options, payload->data, payload->size, &pair->way.outcome),
                 ENTRIES_APPLIED);
    cr_assert_str_eq(kept.text, "one:a,");
    payload->size -= 3;
    cr_assert_eq(entries_apply(&pair->way.reader, &options, payload->data, 15, &pair->way.outcome),
                 ENTRIES_MALFORMED);
    pair_free(pair);
}

/* ---- No memory ---- */

Test(entries_damage, without_memory_a_payload_stays_as_it_was) {
    struct pair *pair = pair_new();
    struct way *way = &pair->way;
    struct dot dots[3];
    for (unsigned i = 0; i < 3; i++)
        dots[i] = (struct dot){.actor = intern(&pair->a, 30 + i), .counter = ((uint64_t)NOW_MS << 16) + i};
    merge(&pair->a, "key", "value", dots, 3);
    struct record *record = find(&pair->a, "key");
    bool has_failed = false, is_done = false;
    for (uint64_t fuse = 1; !is_done; fuse++) {
        buffer_release(&way->payload);
        entries_writer_release(&way->writer);
        way->mem.fuse = fuse;
        is_done = entries_add_record(&way->writer, &pair->a.keyspace->actors, &way->payload, record);
        way->mem.fuse = 0;
        has_failed |= !is_done;
        if (is_done)
            break;
        cr_assert_eq(way->payload.size, 0);
        buffer_clear(&way->payload);
        cr_assert(entries_add_record(&way->writer, &pair->a.keyspace->actors, &way->payload, record));
        cr_assert_eq(way->payload.data[0], 1, "the actors are still to be told");
    }
    cr_assert(has_failed);
    deliver(way);
    expect_equal(&pair->a, &pair->b);
    pair_free(pair);
}

/* A payload of everything for `to`; some of its keys are there already. */
static void fill(struct way *way) {
    char name[16];
    for (unsigned i = 0; i < 150; i++) {
        snprintf(name, sizeof name, "key:%u", i);
        put(way->from, name, "value");
        struct dot dot = {.actor = intern(way->from, 20 + i % 20), .counter = ((uint64_t)NOW_MS << 16) + i};
        if (i % 3 == 0)
            merge(way->from, name, "merged", &dot, 1);
    }
    put_long(way->from, "long");
    ledger_clear_effects(way->from->keyspace->ledger);
    for (unsigned i = 0; i < 150; i++) {
        snprintf(name, sizeof name, "key:%u", i);
        add(way, name);
    }
    /* A patch that does not fit, and an answer. */
    write_range(way->from, "long", 10, "changed");
    add_effects(way);
    cr_assert(entries_add_fetch(&way->payload, (const uint8_t *)"here", 4));
    cr_assert(entries_add_flush(&way->payload, 5, 6, 7));
}

/* Everything that is not as at the writer's is reported. */
static void expect_reported(struct way *way) {
    char name[16];
    for (unsigned i = 0; i < 150; i++) {
        snprintf(name, sizeof name, "key:%u", i);
        uint32_t slot = slot_of(name);
        bool is_equal = ledger_slot_digest(way->from->keyspace->ledger, slot) ==
                        ledger_slot_digest(way->to->keyspace->ledger, slot);
        cr_assert(is_equal || has_lost(way->to), "%s", name);
    }
    cr_assert(has_lost(way->to) || way->outcome.fetches.size != 0);
    cr_assert(has_lost(way->to) || way->outcome.answers.size != 0);
    cr_assert(has_lost(way->to) || way->to->keyspace->ledger->flush_counters[5] == 7);
}

static enum entries_status apply_with_fuse(uint64_t fuse, bool stays_blown, bool is_of_keyspace) {
    struct pair *pair = pair_new();
    struct way *way = &pair->way;
    put(&pair->b, "here", "value");
    fill(way);
    struct mem *mem = is_of_keyspace ? &pair->b.mem : &way->mem;
    mem->fuse = fuse;
    mem->fuse_stays_blown = stays_blown;
    enum entries_status status = apply(way);
    mem->fuse = 0;
    mem->fuse_stays_blown = false;
    cr_assert_neq(status, ENTRIES_MALFORMED);
    expect_reported(way);
    cr_assert_eq(pair->b.keyspace->ledger->has_lost, status == ENTRIES_NO_MEMORY);
    cr_assert(!way->reader.has_gaps || status == ENTRIES_NO_MEMORY);
    /* The same, later, on a new link. */
    entries_reader_clear(&way->reader);
    cr_assert_eq(apply(way), ENTRIES_APPLIED);
    for (unsigned i = 0; i < 150; i++) {
        char name[16];
        snprintf(name, sizeof name, "key:%u", i);
        expect_same_value(&pair->a, &pair->b, name);
    }
    pair_free(pair);
    return status;
}

Test(entries_damage, what_finds_no_memory_is_reported_as_lost) {
    for (unsigned of_keyspace = 0; of_keyspace < 2; of_keyspace++)
        for (unsigned stays_blown = 0; stays_blown < 2; stays_blown++) {
            unsigned failures = 0;
            for (uint64_t fuse = 1;; fuse++, failures++)
                if (apply_with_fuse(fuse, stays_blown, of_keyspace) == ENTRIES_APPLIED)
                    break;
            cr_assert_gt(failures, of_keyspace ? 150 : 2);
        }
}

Test(entries_damage, actors_behind_an_entry_without_memory_are_learned_all_the_same) {
    struct pair *pair = pair_new();
    struct actor_identity identity = identity_of(9), other = identity_of(5);
    uint64_t now = (uint64_t)NOW_MS << 16;
    intern(&pair->b, 9);
    intern(&pair->b, 5);
    put(&pair->b, "here", "value");
    append_actor(&pair->way.payload, 3, &identity);
    append_record(&pair->way.payload, (struct dot[]){{now, 3}}, 1, "first");
    for (unsigned i = 0; i < 100; i++)
        append_record(&pair->way.payload, (struct dot[]){{now, 3}}, 1, "more");
    append_actor(&pair->way.payload, 4, &other);
    append_record(&pair->way.payload, (struct dot[]){{now, 4}}, 1, "last");
    pair->b.mem.fuse = 1;
    cr_assert_eq(apply(&pair->way), ENTRIES_NO_MEMORY);
    cr_assert_eq(pair->way.outcome.applied, 0);
    cr_assert(has_lost(&pair->b));
    buffer_clear(&pair->way.payload);
    append_record(&pair->way.payload, (struct dot[]){{now, 4}}, 1, "last");
    deliver(&pair->way);
    expect_value(&pair->b, "last", "value");
    pair_free(pair);
}

Test(entries_damage, an_actor_that_finds_no_place_counts_as_no_memory) {
    struct pair *pair = pair_new();
    struct actor_identity identity = {.node_id = {1, 2, 3}};
    for (uint32_t i = pair->b.keyspace->actors.count; i < ACTORS_MAX; i++) {
        identity.incarnation = i;
        cr_assert_neq(actors_intern(&pair->b.keyspace->actors, &identity), ACTORS_NONE);
    }
    struct actor_identity one_too_many = identity_of(9);
    append_actor(&pair->way.payload, 2, &identity);
    append_actor(&pair->way.payload, 3, &one_too_many);
    cr_assert_eq(apply(&pair->way), ENTRIES_NO_MEMORY);
    cr_assert_not(pair->b.keyspace->ledger->has_lost);
    append_record(&pair->way.payload, (struct dot[]){{(uint64_t)NOW_MS << 16, 3}}, 1, "key");
    cr_assert_eq(apply(&pair->way), ENTRIES_NO_MEMORY);
    cr_assert(pair->way.reader.has_gaps && has_lost(&pair->b));
    /* Later payloads do not become malformed by it; what names others is taken. */
    pair->b.keyspace->ledger->has_lost = false;
    buffer_clear(&pair->way.payload);
    append_record(&pair->way.payload, (struct dot[]){{(uint64_t)NOW_MS << 16, 2}}, 1, "other");
    append_record(&pair->way.payload, (struct dot[]){{(uint64_t)NOW_MS << 16, 3}}, 1, "more");
    cr_assert_eq(apply(&pair->way), ENTRIES_NO_MEMORY);
    cr_assert(has_lost(&pair->b));
    expect_value(&pair->b, "other", "value");
    pair_free(pair);
}
