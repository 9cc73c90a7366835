/* inspector_merges.c - the inspector's look into merge states: counters, siblings, and what two records become.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/inspector_inside.h"

#include "base/cursor.h"
#include "data/merge_state.h"
#include "node/state.h"
#include "store/keyspace.h"
#include "store/ledger.h"

#include <stdio.h>

#define SAMPLE_EVERY 16 /* of differing pairs */
#define SAMPLES_MAX  400

/* ---- Merge states ---- */

struct translation {
    struct inspector *inspector;
    const struct actors *actors;
};

static bool translate(void *context, uint16_t *actor) {
    struct translation *translation = context;
    *actor = (uint16_t)inspector_find_actor(translation->inspector, &translation->actors->identities[*actor]);
    return true;
}

/* Appends the merge state of a record, its actors by the inspector's numbers; nothing where there is none. */
void inspector_append_state(struct inspector *inspector, const struct actors *actors,
                            const struct record *record, struct buffer *out) {
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    if (parts.state_size == 0)
        return;
    struct translation translation = {inspector, actors};
    CHECK(buffer_append(out, parts.state, parts.state_size));
    uint8_t *state = out->data + out->size - parts.state_size;
    CHECK(merge_state_renumber(state, parts.state_size, translate, &translation));
    if (!merge_state_sort(state, parts.state_size))
        world_fail(inspector->world, "I-MERGE: a counter has two parts of one actor");
}

bool inspector_same_state(struct inspector *inspector, uint32_t key, const struct keyspace *one,
                          const struct record *of_one, const struct keyspace *other,
                          const struct record *of_other) {
    struct buffer states[2];
    for (unsigned i = 0; i < 2; i++)
        buffer_init(&states[i], &inspector->world->mem);
    inspector_append_state(inspector, &one->actors, of_one, &states[0]);
    inspector_append_state(inspector, &other->actors, of_other, &states[1]);
    bool is_same = inspector->were_full[key] ||
                   (states[0].size == states[1].size &&
                    (states[0].size == 0 || memcmp(states[0].data, states[1].data, states[0].size) == 0));
    for (unsigned i = 0; i < 2; i++)
        buffer_release(&states[i]);
    return is_same;
}

/* ---- I-SIB ---- */

/* A sibling is the value that its dot has named, wherever it was the value. */
void inspector_check_siblings(struct inspector *inspector, uint32_t key, const struct buffer *state,
                              const struct known_version *version, struct known_version *visible) {
    struct sibling sibling;
    struct known_dot newest = inspector_newest(inspector, version->dots, version->count);
    for (size_t at = 0; merge_state_next_sibling(state->data, state->size, &at, &sibling);) {
        struct known_dot dot = {sibling.dot.counter, sibling.dot.actor};
        const struct dot_fact *fact = inspector_find_fact(inspector, dot.actor, dot.counter);
        inspector->statistics.siblings++;
        const char *wrong = NULL;
        if (inspector_counter_of(version->dots, version->count, dot.actor) < dot.counter)
            wrong = "that the version does not cover";
        else if (dot.actor == newest.actor && dot.counter == newest.counter)
            wrong = "that is the value";
        else if (visible->count == MERGE_SIBLINGS_MAX)
            wrong = "too many";
        else if (inspector_counter_of(visible->dots, visible->count, dot.actor) == dot.counter)
            wrong = "twice";
        else if (fact->actor != 0 &&
                 (fact->key != key || fact->value_hash != XXH3_64bits(sibling.value, sibling.size)))
            wrong = "with another value than its dot has elsewhere";
        if (wrong != NULL) {
            world_fail(inspector->world, "I-SIB: %s has a sibling %s", inspector->history->keys[key].name,
                       wrong);
            return;
        }
        visible->dots[visible->count++] = dot;
    }
    if (visible->count == MERGE_SIBLINGS_MAX)
        inspector->were_full[key] = true;
}

/* ---- I-PART ---- */

static struct known_dot read_dot(struct cursor *cursor) {
    uint32_t actor = cursor_u16(cursor);
    return (struct known_dot){cursor_u64(cursor), actor};
}

void inspector_check_parts(struct inspector *inspector, uint32_t key, const struct buffer *state) {
    static const size_t sizes[] = {0, 8, 11, 16}; /* of a sum, by its kind */
    if (merge_state_kind(state->data) != MERGE_STATE_COUNTER || inspector->history->keys[key].has_unknown)
        return;
    struct cursor cursor = cursor_make(state->data + 1, state->size - 1);
    bool has_text = cursor_u8(&cursor) == 1;
    struct known_dot base = read_dot(&cursor);
    if (has_text) {
        cursor_u8(&cursor);
        cursor_bytes(&cursor, cursor_u16(&cursor));
    }
    const struct dot_fact *fact = inspector_find_fact(inspector, base.actor, base.counter);
    if (base.actor == ACTOR_NUMBER_NONE || fact->actor == 0)
        return;
    const struct known_dot *seen = &inspector->dots[fact->version];
    for (uint32_t left = cursor_u8(&cursor); left > 0; left--) {
        struct known_dot part = read_dot(&cursor);
        unsigned kind = cursor_u8(&cursor);
        CHECK(kind >= 1 && kind <= 3 && cursor_bytes(&cursor, sizes[kind]) != NULL);
        if (inspector_counter_of(seen + 1, (uint32_t)seen->counter, part.actor) < part.counter)
            continue;
        world_fail(
            inspector->world,
            "I-PART: %s has the counts of %02x%02x.%llu up to %llx, which the write below them had seen and done away with",
            inspector->history->keys[key].name, inspector->actors[part.actor - 1].node_id[0],
            inspector->actors[part.actor - 1].node_id[1],
            (unsigned long long)inspector->actors[part.actor - 1].incarnation,
            (unsigned long long)part.counter);
        return;
    }
}

/* ---- I-KEPT ---- */

/* Whether a write of this key was made with the dot in its version, and it was not a sibling beside it. */
static bool was_seen(const struct inspector *inspector, uint32_t key, const struct known_dot *dot) {
    for (uint32_t i = 0; i < inspector->fact_capacity; i++) {
        const struct dot_fact *fact = &inspector->facts[i];
        if (fact->actor == 0 || fact->actor == FACT_OF_VERSION || fact->key != key ||
            (fact->actor == dot->actor && fact->counter == dot->counter))
            continue;
        const struct known_dot *version = &inspector->dots[fact->version],
                               *visible = &inspector->dots[fact->visible];
        if (inspector_counter_of(version + 1, (uint32_t)version->counter, dot->actor) >= dot->counter &&
            inspector_counter_of(visible + 1, (uint32_t)visible->counter, dot->actor) != dot->counter)
            return true;
    }
    return false;
}

void inspector_check_kept(struct inspector *inspector, uint32_t key, const struct station *holder) {
    struct record *record = inspector_record(inspector, holder, key);
    if (record == NULL || !history_keeps(inspector->history, key) || inspector->were_full[key] ||
        inspector->history->keys[key].has_unknown || inspector->actor_count > VERSION_DOTS_MAX)
        return;
    struct known_version version, visible = {0};
    struct buffer state;
    buffer_init(&state, &inspector->world->mem);
    inspector_version(inspector, holder, record, &version);
    inspector_append_state(inspector, &holder->node->keyspace->actors, record, &state);
    if (state.size != 0)
        inspector_check_siblings(inspector, key, &state, &version, &visible);
    buffer_release(&state);
    struct known_dot newest = inspector_newest(inspector, version.dots, version.count);
    uint64_t flushed = inspector_flush_counter(inspector, holder, key);
    for (uint32_t i = 0; i < version.count; i++) {
        struct known_dot dot = version.dots[i];
        const struct dot_fact *fact = inspector_find_fact(inspector, dot.actor, dot.counter);
        if (dot.actor == newest.actor || dot.counter <= flushed || fact->actor == 0 ||
            fact->operation == NULL || fact->operation->outcome != OUTCOME_DONE)
            continue;
        inspector->statistics.kept++;
        if (inspector_counter_of(visible.dots, visible.count, dot.actor) == dot.counter ||
            was_seen(inspector, key, &dot))
            continue;
        char text[300];
        inspector_note_copies(inspector, key);
        world_fail(
            inspector->world,
            "I-KEPT: %s: the value of operation %u of user %u, which no write has seen, is no sibling in node %u: [%s]",
            inspector->history->keys[key].name, fact->operation->sequence, fact->operation->user,
            holder->number, inspector_print_version(inspector, &version, text, sizeof text));
        return;
    }
}

/* ---- I-MERGE ---- */

/* As of the key that a sample is of. */
static bool sample_is_kept(const void *context, const uint8_t *key, uint32_t key_size) {
    (void)context, (void)key_size;
    return key[0] == 'k';
}

static bool prepare_merge(struct inspector *inspector) {
    if (inspector->samples++ == 0)
        for (unsigned i = 0; i < 2; i++) {
            static const uint8_t seed[HASH_SEED_SIZE] = {7};
            inspector->merged[i] = keyspace_new(&inspector->merge_mem, seed, 1);
            CHECK(inspector->merged[i] != NULL && ledger_attach(inspector->merged[i]));
            keyspace_set_alone(inspector->merged[i], false);
            inspector->merged[i]->keeps_siblings = sample_is_kept;
            inspector->merged[i]->keeps_siblings_context = inspector;
        }
    return inspector->samples <= SAMPLES_MAX;
}

/* A node's record for a keyspace that has other numbers for its actors, under another name. */
struct renumbering {
    struct actors *to;
    const struct actors *from;
};

static bool renumber(void *context, uint16_t *actor) {
    struct renumbering *renumbering = context;
    *actor = actors_intern(renumbering->to, &renumbering->from->identities[*actor]);
    return true;
}

static void take_parts(const struct station *station, const struct record *record, struct keyspace *keyspace,
                       const struct argument *name, struct record_parts *parts, struct dot *others,
                       struct buffer *state) {
    const struct actors *actors = &station->node->keyspace->actors;
    record_parts(record, parts, others);
    if (parts->state_size != 0) {
        CHECK(buffer_append(state, parts->state, parts->state_size));
        CHECK(merge_state_renumber(state->data, state->size, renumber,
                                   &(struct renumbering){&keyspace->actors, actors}));
        CHECK(merge_state_sort(state->data, state->size));
        parts->state = state->data;
    }
    parts->key = name->data;
    parts->key_size = name->size;
    parts->newest.actor = actors_intern(&keyspace->actors, &actors->identities[parts->newest.actor]);
    for (uint16_t i = 0; i < parts->other_count; i++) {
        struct dot dot = others[i];
        dot.actor = actors_intern(&keyspace->actors, &actors->identities[dot.actor]);
        uint16_t at = i;
        for (; at > 0 && others[at - 1].actor > dot.actor; at--)
            others[at] = others[at - 1];
        others[at] = dot;
    }
}

static void merge_into(struct keyspace *keyspace, const struct station *station, const struct record *record,
                       struct argument *name, bool *changed) {
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    struct buffer state;
    buffer_init(&state, &((struct inspector *)keyspace->keeps_siblings_context)->world->mem);
    take_parts(station, record, keyspace, name, &parts, others, &state);
    CHECK(keyspace_merge(keyspace, 0, name, &parts, changed));
    buffer_release(&state);
}

static void known_in(struct inspector *inspector, const struct keyspace *keyspace,
                     const struct record *record, struct known_version *known) {
    struct version version;
    record_version(record, &version);
    known->count = version.count;
    for (uint32_t i = 0; i < version.count; i++)
        known->dots[i] = (struct known_dot){
            version.dots[i].counter,
            inspector_find_actor(inspector, &keyspace->actors.identities[version.dots[i].actor])};
}

static void check_merge(struct inspector *inspector, const struct station *stations[2],
                        struct record *records[2], uint32_t key) {
    char name[32];
    bool changed, changed_again = false;
    int64_t now_ms = station_wall_us(stations[0]) / 1000;
    if (!prepare_merge(inspector))
        return;
    inspector->statistics.merges++;
    int size =
        snprintf(name, sizeof name, "%s-%llu", history_keeps(inspector->history, key) ? "kept" : "sample",
                 (unsigned long long)inspector->samples);
    struct record *results[2];
    struct known_version versions[2];
    for (unsigned order = 0; order < 2; order++) {
        struct keyspace *keyspace = inspector->merged[order];
        struct argument argument = {
            .data = (uint8_t *)name, .size = (uint32_t)size, .slot = ARGUMENT_NOT_PLACED};
        keyspace_set_time(keyspace, now_ms);
        keyspace_place(keyspace, &argument);
        merge_into(keyspace, stations[order], records[order], &argument, &changed);
        merge_into(keyspace, stations[1 - order], records[1 - order], &argument, &changed);
        merge_into(keyspace, stations[order], records[order], &argument, &changed_again);
        results[order] = keyspace_find_record(keyspace, &argument);
        ledger_clear_effects(keyspace->ledger);
        if (results[order] == NULL || changed_again) {
            world_fail(inspector->world, "I-MERGE: %s of nodes %u and %u: %s",
                       inspector->history->keys[key].name, stations[0]->number, stations[1]->number,
                       results[order] == NULL ? "nothing comes out"
                                              : "what was merged already changes something");
            return;
        }
        known_in(inspector, keyspace, results[order], &versions[order]);
    }
    if (!inspector_same_write(inspector, &versions[0], &versions[1]) ||
        record_value_size(results[0]) != record_value_size(results[1]) ||
        record_type(results[0]) != record_type(results[1]) ||
        record_expiry_ms(results[0]) != record_expiry_ms(results[1]) ||
        memcmp(record_value_const(results[0]), record_value_const(results[1]),
               record_value_size(results[0])) != 0 ||
        !inspector_same_state(inspector, key, inspector->merged[0], results[0], inspector->merged[1],
                              results[1])) {
        char text[2][200];
        world_fail(inspector->world, "I-MERGE: %s of nodes %u and %u gives [%s] or [%s], as it comes",
                   inspector->history->keys[key].name, stations[0]->number, stations[1]->number,
                   inspector_print_version(inspector, &versions[0], text[0], sizeof text[0]),
                   inspector_print_version(inspector, &versions[1], text[1], sizeof text[1]));
    }
}

/* Of nodes that were looked at just now. */
void inspector_sample_merge(struct inspector *inspector, uint32_t key) {
    const struct station *stations[2] = {NULL, NULL};
    uint64_t counter = 0;
    for (uint32_t i = 0; i < inspector->station_count && stations[1] == NULL; i++) {
        const struct station *station = &inspector->stations[i];
        const struct sight *sight = inspector_sight(inspector, station, key);
        if (!station_runs(station) || sight->version == 0 ||
            (stations[0] != NULL && sight->counter == counter))
            continue;
        stations[stations[0] != NULL] = station;
        counter = sight->counter;
    }
    if (stations[1] == NULL || rng_below(world_random(inspector->world, CHANCE_MEMORY), SAMPLE_EVERY) != 0)
        return;
    struct record *records[2] = {inspector_record(inspector, stations[0], key),
                                 inspector_record(inspector, stations[1], key)};
    check_merge(inspector, stations, records, key);
}
