/* inspector.c - sights of records, facts about dots, what was deleted.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/inspector_inside.h"

#include "data/merge_state.h"
#include "node/cluster.h"
#include "node/state.h"
#include "store/keyspace.h"
#include "store/ledger.h"

#include <stdio.h>

void inspector_init(struct inspector *inspector, struct world *world, const struct conditions *conditions,
                    struct history *history, struct station *stations) {
    *inspector = (struct inspector){
        .world = world, .conditions = conditions, .history = history, .stations = stations};
    inspector->sights =
        world_alloc(world, STATIONS_MAX * (size_t)history->key_count * sizeof *inspector->sights);
    inspector->claims =
        world_alloc(world, (size_t)history->key_count * CLAIMS_MAX * sizeof *inspector->claims);
    inspector->dot_capacity = 64;
    inspector->dots = world_alloc(world, inspector->dot_capacity * sizeof *inspector->dots);
    inspector->dot_count = 1; /* place 0 means none */
    inspector->hashes = world_alloc(world, history->key_count * sizeof *inspector->hashes);
    inspector->were_full = world_alloc(world, history->key_count * sizeof *inspector->were_full);
    inspector->buried = world_alloc(world, history->key_count * sizeof *inspector->buried);
    inspector->may_return = world_alloc(world, history->key_count * sizeof *inspector->may_return);
    inspector->members_stay = conditions->late_nodes == 0 && conditions->weather.removal_at_ns == 0 &&
                              conditions->weather.disk_loss_permille == 0;
    inspector->fact_capacity = 1024;
    inspector->facts = world_alloc(world, inspector->fact_capacity * sizeof *inspector->facts);
}

void inspector_release(struct inspector *inspector) {
    struct world *world = inspector->world;
    struct mem *mem = &world->mem;
    size_t keys = inspector->history->key_count;
    for (unsigned i = 0; i < 2; i++)
        if (inspector->merged[i] != NULL)
            keyspace_free(inspector->merged[i]);
    CHECK(inspector->merge_mem.used_bytes == 0);
    for (unsigned i = 0; i < STATIONS_MAX; i++)
        mem_free(mem, inspector->numbers[i], inspector->number_capacity[i] * sizeof **inspector->numbers);
    mem_free(mem, inspector->actors, inspector->actor_capacity * sizeof *inspector->actors);
    mem_free(mem, inspector->dots, inspector->dot_capacity * sizeof *inspector->dots);
    world_free(world, inspector->facts, inspector->fact_capacity * sizeof *inspector->facts);
    world_free(world, inspector->sights, STATIONS_MAX * keys * sizeof *inspector->sights);
    world_free(world, inspector->claims, keys * CLAIMS_MAX * sizeof *inspector->claims);
    world_free(world, inspector->hashes, keys * sizeof *inspector->hashes);
    world_free(world, inspector->were_full, keys * sizeof *inspector->were_full);
    world_free(world, inspector->buried, keys * sizeof *inspector->buried);
    world_free(world, inspector->may_return, keys * sizeof *inspector->may_return);
}

/* Makes room for one element more. */
static void *grow(struct inspector *inspector, void *array, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity)
        return array;
    uint32_t more = *capacity == 0 ? 64 : *capacity * 2;
    array = mem_resize(&inspector->world->mem, array, *capacity * size, more * size);
    CHECK(array != NULL);
    *capacity = more;
    return array;
}

/* ---- Versions ---- */

uint32_t inspector_find_actor(struct inspector *inspector, const struct actor_identity *identity) {
    for (uint32_t i = 0; i < inspector->actor_count; i++)
        if (inspector->actors[i].incarnation == identity->incarnation &&
            memcmp(inspector->actors[i].node_id, identity->node_id, NODE_ID_SIZE) == 0)
            return i + 1;
    inspector->actors = grow(inspector, inspector->actors, inspector->actor_count, &inspector->actor_capacity,
                             sizeof *inspector->actors);
    inspector->actors[inspector->actor_count] = *identity;
    return ++inspector->actor_count;
}

static uint32_t number_of(struct inspector *inspector, const struct station *station, uint16_t actor) {
    uint32_t at = station->number;
    const struct actors *actors = &station->node->keyspace->actors;
    if (inspector->number_process[at] != station->process) {
        inspector->number_process[at] = station->process;
        inspector->number_count[at] = 0;
    }
    /* The node may take another incarnation while it runs. */
    if (actor == ACTOR_SELF)
        return inspector_find_actor(inspector, &actors->identities[ACTOR_SELF]);
    while (inspector->number_count[at] <= actor) {
        inspector->numbers[at] = grow(inspector, inspector->numbers[at], inspector->number_count[at],
                                      &inspector->number_capacity[at], sizeof **inspector->numbers);
        uint32_t next = inspector->number_count[at]++;
        inspector->numbers[at][next] = inspector_find_actor(inspector, &actors->identities[next]);
    }
    return inspector->numbers[at][actor];
}

void inspector_version(struct inspector *inspector, const struct station *station,
                       const struct record *record, struct known_version *known) {
    struct version version;
    record_version(record, &version);
    known->count = 0;
    for (uint32_t i = 0; i < version.count; i++) {
        struct known_dot dot = {version.dots[i].counter,
                                number_of(inspector, station, version.dots[i].actor)};
        uint32_t at = known->count++;
        for (; at > 0 && known->dots[at - 1].actor > dot.actor; at--)
            known->dots[at] = known->dots[at - 1];
        known->dots[at] = dot;
    }
}

bool inspector_descends(const struct known_dot *dots, uint32_t count, const struct known_dot *from,
                        uint32_t from_count) {
    for (uint32_t i = 0; i < from_count; i++)
        if (inspector_counter_of(dots, count, from[i].actor) < from[i].counter)
            return false;
    return true;
}

/* Of those with the highest counter the one with the highest identity: so nodes decide ties. */
struct known_dot inspector_newest(const struct inspector *inspector, const struct known_dot *dots,
                                  uint32_t count) {
    struct known_dot newest = dots[0];
    for (uint32_t i = 1; i < count; i++) {
        struct known_dot dot = dots[i];
        const struct actor_identity *a = &inspector->actors[dot.actor - 1],
                                    *b = &inspector->actors[newest.actor - 1];
        int order = memcmp(a->node_id, b->node_id, NODE_ID_SIZE);
        bool is_higher = order != 0 ? order > 0 : a->incarnation > b->incarnation;
        if (dot.counter > newest.counter || (dot.counter == newest.counter && is_higher))
            newest = dot;
    }
    return newest;
}

bool inspector_same_write(const struct inspector *inspector, const struct known_version *one,
                          const struct known_version *other) {
    if (one->count == 0 || other->count == 0)
        return one->count == other->count;
    struct known_dot first = inspector_newest(inspector, one->dots, one->count),
                     second = inspector_newest(inspector, other->dots, other->count);
    return first.actor == second.actor && first.counter == second.counter;
}

const char *inspector_print_version(const struct inspector *inspector, const struct known_version *version,
                                    char *text, size_t text_size) {
    size_t at = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < version->count && at + 40 < text_size; i++) {
        const struct actor_identity *actor = &inspector->actors[version->dots[i].actor - 1];
        at += (size_t)snprintf(text + at, text_size - at, "%s%02x%02x.%llu:%llx.%u", i == 0 ? "" : " ",
                               actor->node_id[0], actor->node_id[1], (unsigned long long)actor->incarnation,
                               (unsigned long long)(version->dots[i].counter >> 16),
                               (unsigned)(version->dots[i].counter & 0xffff));
    }
    return text;
}

uint32_t inspector_keep_version(struct inspector *inspector, const struct known_version *version) {
    uint32_t place = inspector->dot_count;
    for (uint32_t i = 0; i <= version->count; i++) {
        inspector->dots = grow(inspector, inspector->dots, inspector->dot_count, &inspector->dot_capacity,
                               sizeof *inspector->dots);
        inspector->dots[inspector->dot_count++] =
            i == 0 ? (struct known_dot){.counter = version->count} : version->dots[i - 1];
    }
    return place;
}

/* ---- Records ---- */

struct record *inspector_record(const struct inspector *inspector, const struct station *station,
                                uint32_t index) {
    const struct history_key *name = &inspector->history->keys[index];
    struct keyspace *keyspace = station->node->keyspace;
    struct argument key = {.data = (const uint8_t *)name->name, .size = name->name_size, .slot = name->slot};
    uint64_t *hash = &inspector->hashes[index];
    /* All nodes of a cluster hash alike. */
    if (*hash == 0)
        *hash = hash_bytes(&keyspace->secret, key.data, key.size);
    key.hash = *hash;
    return keyspace_find_record(keyspace, &key);
}

uint64_t inspector_flush_counter(const struct inspector *inspector, const struct station *station,
                                 uint32_t key) {
    const struct ledger *ledger = station->node->keyspace->ledger;
    return ledger == NULL ? 0 : ledger->flush_counters[inspector->history->keys[key].slot];
}

uint64_t inspector_floor(const struct inspector *inspector, const struct station *station, uint32_t key) {
    const struct ledger *ledger = station->node->keyspace->ledger;
    return ledger == NULL ? 0 : ledger->floors.counters[inspector->history->keys[key].slot];
}

/* Changes whenever the version does, by numbers or by what they mean. */
static uint64_t version_identity(const struct station *station, const struct record *record) {
    const struct actor_identity *self = &station->node->keyspace->actors.identities[ACTOR_SELF];
    uint64_t mixed = record->counter * UINT64_C(0x9e3779b97f4a7c15) ^ record->actor ^ self->incarnation << 32;
    if (record->flags & RECORD_VECTOR) {
        struct version version;
        record_version(record, &version);
        for (uint32_t i = 0; i < version.count; i++)
            mixed = (mixed ^ (mixed >> 29) ^ version.dots[i].counter ^ version.dots[i].actor) *
                    UINT64_C(0xbf58476d1ce4e5b9);
    }
    return mixed;
}

/* ---- I-DOT ---- */

static struct dot_fact *find_fact(struct dot_fact *facts, uint32_t capacity, uint32_t actor,
                                  uint64_t counter) {
    uint64_t at = (counter * UINT64_C(0x9e3779b97f4a7c15) ^ actor * UINT64_C(0xbf58476d1ce4e5b9)) >> 20;
    while (facts[at % capacity].actor != 0 &&
           (facts[at % capacity].actor != actor || facts[at % capacity].counter != counter))
        at++;
    return &facts[at % capacity];
}

struct dot_fact *inspector_find_fact(const struct inspector *inspector, uint32_t actor, uint64_t counter) {
    return find_fact(inspector->facts, inspector->fact_capacity, actor, counter);
}

static void grow_facts(struct inspector *inspector) {
    uint32_t capacity = inspector->fact_capacity * 2;
    struct dot_fact *facts = world_alloc(inspector->world, capacity * sizeof *facts);
    for (uint32_t i = 0; i < inspector->fact_capacity; i++)
        if (inspector->facts[i].actor != 0)
            *find_fact(facts, capacity, inspector->facts[i].actor, inspector->facts[i].counter) =
                inspector->facts[i];
    world_free(inspector->world, inspector->facts, inspector->fact_capacity * sizeof *facts);
    inspector->facts = facts;
    inspector->fact_capacity = capacity;
}

static void fail_fact(struct inspector *inspector, const struct dot_fact *fact, const struct dot_fact *fresh,
                      const struct known_version *version) {
    const struct history_key *keys = inspector->history->keys;
    const char *what = fresh->actor == FACT_OF_VERSION ? "version" : "dot";
    char text[300];
    inspector_print_version(inspector, version, text, sizeof text);
    if (fact->key != fresh->key)
        world_fail(inspector->world, "I-DOT: one %s for two keys: %s in node %u, %s in node %u: %s", what,
                   keys[fact->key].name, fact->station, keys[fresh->key].name, fresh->station, text);
    else
        world_fail(inspector->world, "I-DOT: one %s for two %s of %s, in nodes %u and %u: %s", what,
                   fact->type != fresh->type               ? "types"
                   : fact->value_hash != fresh->value_hash ? "values"
                                                           : "expiries",
                   keys[fresh->key].name, fact->station, fresh->station, text);
}

static uint64_t version_hash(const struct known_version *version) {
    uint64_t hash = 0;
    for (uint32_t i = 0; i < version->count; i++)
        hash = (hash ^ version->dots[i].counter ^ (uint64_t)version->dots[i].actor << 48) *
               UINT64_C(0x9e3779b97f4a7c15);
    return hash;
}

/* Whether one is what is left of the other when its time has come: a stub, a tombstone of the same version. By whose clock it has come
 * is not to be found out later: clocks differ here, and are set back. */
static bool is_stub_of(const struct dot_fact *one, const struct dot_fact *other) {
    const struct dot_fact *value = one->type == RECORD_TOMBSTONE ? other : one;
    return one->type != other->type && (one->type == RECORD_TOMBSTONE || other->type == RECORD_TOMBSTONE) &&
           one->key == other->key && value->expiry_ms != RECORD_NO_EXPIRY;
}

/* What a record says about its newest dot, or where it is merged about its version. kept: the place of this. */
static void check_dot(struct inspector *inspector, const struct station *station, uint32_t key,
                      const struct record *record, const struct known_version *version, uint32_t kept) {
    struct known_dot newest = inspector_newest(inspector, version->dots, version->count);
    struct known_version visible = {0};
    struct buffer state;
    buffer_init(&state, &inspector->world->mem);
    inspector_append_state(inspector, &station->node->keyspace->actors, record, &state);
    struct dot_fact fresh = {.actor = newest.actor,
                             .key = key,
                             .counter = newest.counter,
                             .value_hash = XXH3_64bits(record_value_const(record), record_value_size(record)),
                             .expiry_ms = record_expiry_ms(record),
                             .type = record_type(record),
                             .station = station->number,
                             .version = kept};
    if (state.size != 0) {
        inspector_check_siblings(inspector, key, &state, version, &visible);
        inspector_check_parts(inspector, key, &state);
    }
    if (state.size != 0 && merge_state_kind(state.data) == MERGE_STATE_COUNTER) {
        fresh.actor = FACT_OF_VERSION;
        fresh.counter = version_hash(version);
        if (!inspector->were_full[key])
            fresh.value_hash ^= XXH3_64bits(state.data, state.size) << 1;
    }
    buffer_release(&state);
    /* Versions of so many actors forget some. */
    if (world_has_failed(inspector->world) ||
        (fresh.actor == FACT_OF_VERSION && inspector->actor_count > VERSION_DOTS_MAX))
        return;
    struct dot_fact *fact = inspector_find_fact(inspector, fresh.actor, fresh.counter);
    if (fact->actor == 0) {
        fresh.visible = inspector_keep_version(inspector, &visible);
        *fact = fresh;
        if (++inspector->fact_count * 2 > inspector->fact_capacity)
            grow_facts(inspector);
    } else if (fact->key != key || fact->value_hash != fresh.value_hash ||
               fact->expiry_ms != fresh.expiry_ms || fact->type != fresh.type) {
        if (is_stub_of(fact, &fresh)) {
            fact->type = RECORD_STRING; /* the value's facts are those that others are held against */
            if (fresh.type == RECORD_STRING) {
                fact->value_hash = fresh.value_hash;
                fact->expiry_ms = fresh.expiry_ms;
            }
            return;
        }
        fail_fact(inspector, fact, &fresh, version);
    }
}

/* ---- I-DEL ---- */

/* What is deleted for good; of a counter, and where what loses a conflict is kept, that is another question. */
static bool is_buried(const struct inspector *inspector, uint32_t key) {
    enum key_kind kind = inspector->history->keys[key].kind;
    return kind != KEY_COUNTER && kind != KEY_VOLATILE && !history_keeps(inspector->history, key);
}

static void bury(struct inspector *inspector, uint32_t key, const struct known_version *version) {
    struct known_version *buried = &inspector->buried[key];
    for (uint32_t i = 0; i < version->count; i++) {
        uint32_t at = 0;
        while (at < buried->count && buried->dots[at].actor != version->dots[i].actor)
            at++;
        if (at == VERSION_DOTS_MAX)
            continue;
        if (at == buried->count)
            buried->dots[buried->count++] = version->dots[i];
        else if (buried->dots[at].counter < version->dots[i].counter)
            buried->dots[at] = version->dots[i];
    }
}

/* A tombstone has gone for good: nobody who takes part has what it deleted. */
static void check_grave(struct inspector *inspector, const struct station *station, uint32_t key,
                        const struct known_dot *grave, uint32_t count) {
    inspector->statistics.graves++;
    for (uint32_t i = 0; i < inspector->station_count && is_buried(inspector, key); i++) {
        const struct station *other = &inspector->stations[i];
        if (!station_runs(other) || other->is_removed || !other->node->cluster->is_settled ||
            !slot_set_has(&other->node->cluster->held, inspector->history->keys[key].slot))
            continue;
        struct record *record = inspector_record(inspector, other, key);
        struct known_version version;
        if (record == NULL || record_type(record) == RECORD_TOMBSTONE)
            continue;
        inspector_version(inspector, other, record, &version);
        if (inspector_descends(grave, count, version.dots, version.count))
            world_fail(inspector->world,
                       "I-DEL: node %u has given up the tombstone of %s, and node %u still has the value",
                       station->number, inspector->history->keys[key].name, other->number);
    }
}

void inspector_check_buried(struct inspector *inspector, uint32_t key, const struct station *holder) {
    struct record *record = inspector_record(inspector, holder, key);
    struct known_version version;
    char text[300];
    if (record == NULL || record_type(record) == RECORD_TOMBSTONE || !is_buried(inspector, key) ||
        inspector->may_return[key] || inspector->was_alone)
        return;
    inspector_version(inspector, holder, record, &version);
    struct known_dot newest = inspector_newest(inspector, version.dots, version.count);
    const struct known_version *buried = &inspector->buried[key];
    if (inspector_counter_of(buried->dots, buried->count, newest.actor) >= newest.counter)
        world_fail(inspector->world, "I-DEL: %s was deleted, and is there in the end: [%s]",
                   inspector->history->keys[key].name,
                   inspector_print_version(inspector, &version, text, sizeof text));
}

/* ---- I-VVMONO ---- */

static void check_progress(struct inspector *inspector, const struct station *station, uint32_t key,
                           const struct sight *before, const struct known_version *now) {
    const struct known_dot *kept = &inspector->dots[before->version];
    uint32_t count = (uint32_t)kept->counter;
    const struct history_key *name = &inspector->history->keys[key];
    if (name->kind == KEY_VOLATILE || before->has_expiry ||
        inspector_descends(now->dots, now->count, kept + 1, count))
        return;
    /* What a record has merely seen may be left out by whoever writes without having seen it, or when the version is folded: so may
     * a write that has lost. What wins never goes back. */
    if (now->count != 0 && inspector_newest(inspector, now->dots, now->count).counter >
                               inspector_newest(inspector, kept + 1, count).counter)
        return;
    /* A full version forgets its oldest dot; what was flushed is gone. */
    if (count == VERSION_DOTS_MAX || now->count == VERSION_DOTS_MAX)
        return;
    uint64_t flushed = inspector_flush_counter(inspector, station, key), highest = 0;
    for (uint32_t i = 1; i <= count; i++)
        highest = kept[i].counter > highest ? kept[i].counter : highest;
    if (highest <= flushed)
        return;
    /* The tombstone may have come and gone between two looks. */
    bool was_deleted = before->is_tombstone || name->last_delete_ns != 0 || name->open_deletes != 0;
    if (was_deleted && highest <= inspector_floor(inspector, station, key)) {
        if (before->is_tombstone)
            check_grave(inspector, station, key, kept + 1, count);
        return;
    }
    /* Who does not hold the slot (any more) may drop what the others have, and get another version to keep for them before it is
     * looked at again: see I-HOLD for whether they have it. Nor need it have been a holder when it did so, if it is one now. */
    if (!before->was_held || !slot_set_has(&station->node->cluster->held, name->slot))
        return;
    struct known_version old = {.count = count};
    memcpy(old.dots, kept + 1, count * sizeof *kept);
    char text[2][300];
    world_fail(inspector->world, "I-VVMONO: %s in node %u went from [%s] to [%s]", name->name,
               station->number, inspector_print_version(inspector, &old, text[0], sizeof text[0]),
               now->count == 0 ? "nothing"
                               : inspector_print_version(inspector, now, text[1], sizeof text[1]));
}

/* ---- Which write made a record ---- */

static void learn_dot(struct inspector *inspector, const struct record *record,
                      const struct known_version *version) {
    uint32_t size = record_value_size(record);
    const uint8_t *value = record_value_const(record);
    if (record_type(record) != RECORD_STRING || size < CELL_SIZE || size % CELL_SIZE != 0)
        return;
    struct operation *operation = history_find_cell(inspector->history, value);
    if (operation == NULL || !operation_sets(operation) || operation->key_count != 1 ||
        size != operation->cells * CELL_SIZE || memcmp(value, value + size - CELL_SIZE, CELL_SIZE) != 0)
        return;
    struct known_dot dot = inspector_newest(inspector, version->dots, version->count);
    if (dot.counter > operation->highest_counter) {
        operation->highest_counter = dot.counter;
        world_comment(inspector->world, "user %u, operation %u: stamped %llx", operation->user,
                      operation->sequence, (unsigned long long)dot.counter);
    }
    if (operation->dot_actor != 0) {
        if (operation->dot_actor != dot.actor || operation->dot_counter != dot.counter)
            operation->was_repeated = true;
        return;
    }
    operation->dot_actor = dot.actor;
    operation->dot_counter = dot.counter;
    struct dot_fact *fact = inspector_find_fact(inspector, dot.actor, dot.counter);
    if (fact->actor != 0)
        fact->operation = operation;
}

static void look(struct inspector *inspector, const struct station *station, uint32_t key) {
    struct sight *sight = &inspector->sights[(size_t)station->number * inspector->history->key_count + key];
    struct record *record = inspector_record(inspector, station, key);
    uint64_t identity = record == NULL ? 0 : version_identity(station, record);
    bool is_known = sight->process == station->process && !station->node->keyspace->is_alone;
    bool is_held = slot_set_has(&station->node->cluster->held, inspector->history->keys[key].slot);
    inspector->statistics.looks++;
    if (is_known && (record == NULL) == (sight->version == 0) && sight->identity == identity) {
        sight->was_held = is_held;
        return;
    }
    inspector->statistics.changes++;
    struct known_version version = {.count = 0};
    uint32_t kept = 0;
    if (record != NULL) {
        inspector_version(inspector, station, record, &version);
        kept = inspector_keep_version(inspector, &version);
        /* No more actors fit: of concurrent versions one is taken whole, without what the other has counted. */
        if (version.count == VERSION_DOTS_MAX)
            inspector->history->keys[key].counts_are_excused = true;
        check_dot(inspector, station, key, record, &version, kept);
        learn_dot(inspector, record, &version);
        if (record_type(record) == RECORD_TOMBSTONE && !station->node->keyspace->is_alone)
            bury(inspector, key, &version);
    }
    if (is_known && sight->version != 0)
        check_progress(inspector, station, key, sight, &version);
    *sight = (struct sight){
        .process = station->process, .version = kept, .identity = identity, .was_held = is_held};
    sight->counter = record == NULL ? 0 : record->counter;
    sight->is_tombstone = record != NULL && record_type(record) == RECORD_TOMBSTONE;
    sight->has_expiry = record != NULL && record_expiry_ms(record) != RECORD_NO_EXPIRY;
}

void inspector_look_everywhere(struct inspector *inspector, uint32_t key) {
    for (uint32_t i = 0; i < inspector->station_count; i++)
        if (station_runs(&inspector->stations[i]))
            look(inspector, &inspector->stations[i], key);
}

/* For people: who has what of a key. */
void inspector_note_copies(struct inspector *inspector, uint32_t key) {
    for (uint32_t i = 0; i < inspector->station_count; i++) {
        const struct station *station = &inspector->stations[i];
        if (!station_runs(station))
            continue;
        const struct record *record = inspector_record(inspector, station, key);
        const struct cluster *cluster = station->node->cluster;
        uint16_t route = cluster->routes[inspector->history->keys[key].slot];
        struct known_version version = {0};
        char text[130], value[40] = "";
        if (record != NULL) {
            inspector_version(inspector, station, record, &version);
            trace_readable(value, sizeof value, record_value_const(record),
                           record_value_size(record) > CELL_SIZE ? CELL_SIZE : record_value_size(record));
        }
        world_note(inspector->world, "node %u has [%s] %s of %s, flush %llx, %s, executed by %s", i,
                   inspector_print_version(inspector, &version, text, sizeof text), value,
                   inspector->history->keys[key].name,
                   (unsigned long long)inspector_flush_counter(inspector, station, key),
                   slot_set_has(&cluster->held, inspector->history->keys[key].slot) ? "held" : "not held",
                   route == ROUTE_NOBODY ? "nobody"
                                         : membership_member(cluster->membership, route)->entry.host);
    }
}

void inspector_turned(struct inspector *inspector, struct station *station) {
    uint64_t changes = station->node->keyspace->counters.changes;
    if (changes == inspector->changes[station->number])
        return;
    inspector->changes[station->number] = changes;
    for (const struct operation *operation = inspector->history->open; operation != NULL;
         operation = operation->next_open)
        for (uint32_t i = 0; i < operation->key_count && !world_has_failed(inspector->world); i++)
            look(inspector, station, operation->keys[i]);
}

/* Looking at a key is waiting for memory above all: what the next ones need is asked for ahead, further ahead what comes first. */
static void ask_ahead(const struct inspector *inspector, const struct station *station, uint32_t key) {
    const struct history *history = inspector->history;
    struct database *database = station_runs(station) ? station->node->keyspace->databases[0] : NULL;
    const struct record *record;
    if (database == NULL || key + 3 >= history->key_count)
        return;
    const struct history_key *keys = history->keys + key;
    const uint64_t *hashes = inspector->hashes + key;
    prefetch(&database->slots[keys[3].slot]);
    if (hashes[2] != 0)
        dict_prefetch_bucket(&database->slots[keys[2].slot], hashes[2]);
    if (hashes[1] != 0)
        (void)dict_prefetch_record(&database->slots[keys[1].slot], hashes[1], 0, &record);
}

void inspector_sweep(struct inspector *inspector) {
    for (uint32_t key = 0; key < inspector->history->key_count && !world_has_failed(inspector->world);
         key++) {
        for (uint32_t i = 0; i < inspector->station_count; i++)
            ask_ahead(inspector, &inspector->stations[i], key);
        inspector_look_everywhere(inspector, key);
        inspector_check_key(inspector, key);
        inspector_sample_merge(inspector, key);
    }
}
