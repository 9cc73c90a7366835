/* inspector.c - sights of records, facts about dots, claims of acknowledged writes.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/inspector.h"

#include "node/cluster.h"
#include "node/state.h"
#include "store/keyspace.h"
#include "store/ledger.h"

#include <stdio.h>

#define SAMPLE_EVERY 64 /* of differing pairs */
#define SAMPLES_MAX  400

void inspector_init(struct inspector *inspector, struct world *world, const struct conditions *conditions,
                    struct history *history, struct station *stations) {
    *inspector = (struct inspector){
        .world = world, .conditions = conditions, .history = history, .stations = stations};
    inspector->sights =
        world_alloc(world, STATIONS_MAX * (size_t)history->key_count * sizeof *inspector->sights);
    inspector->claims =
        world_alloc(world, (size_t)history->key_count * CLAIMS_MAX * sizeof *inspector->claims);
    inspector->fact_capacity = 1024;
    inspector->facts = world_alloc(world, inspector->fact_capacity * sizeof *inspector->facts);
    inspector->dot_count = 1; /* place 0 means none */
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

static uint32_t find_actor(struct inspector *inspector, const struct actor_identity *identity) {
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
        return find_actor(inspector, &actors->identities[ACTOR_SELF]);
    while (inspector->number_count[at] <= actor) {
        inspector->numbers[at] = grow(inspector, inspector->numbers[at], inspector->number_count[at],
                                      &inspector->number_capacity[at], sizeof **inspector->numbers);
        uint32_t next = inspector->number_count[at]++;
        inspector->numbers[at][next] = find_actor(inspector, &actors->identities[next]);
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

static uint64_t counter_of(const struct known_dot *dots, uint32_t count, uint32_t actor) {
    for (uint32_t i = 0; i < count; i++)
        if (dots[i].actor == actor)
            return dots[i].counter;
    return 0;
}

static bool descends(const struct known_dot *dots, uint32_t count, const struct known_dot *from,
                     uint32_t from_count) {
    for (uint32_t i = 0; i < from_count; i++)
        if (counter_of(dots, count, from[i].actor) < from[i].counter)
            return false;
    return true;
}

bool inspector_same_version(const struct known_version *one, const struct known_version *other) {
    return one->count == other->count && descends(one->dots, one->count, other->dots, other->count) &&
           descends(other->dots, other->count, one->dots, one->count);
}

/* Of those with the highest counter the one with the highest identity: so nodes decide ties. */
static struct known_dot newest_of(const struct inspector *inspector, const struct known_version *version) {
    struct known_dot newest = version->dots[0];
    for (uint32_t i = 1; i < version->count; i++) {
        struct known_dot dot = version->dots[i];
        const struct actor_identity *a = &inspector->actors[dot.actor - 1],
                                    *b = &inspector->actors[newest.actor - 1];
        int order = memcmp(a->node_id, b->node_id, NODE_ID_SIZE);
        bool is_higher = order != 0 ? order > 0 : a->incarnation > b->incarnation;
        if (dot.counter > newest.counter || (dot.counter == newest.counter && is_higher))
            newest = dot;
    }
    return newest;
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

static uint32_t keep_version(struct inspector *inspector, const struct known_version *version) {
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
    struct argument key = {
        .data = (const uint8_t *)name->name, .size = name->name_size, .slot = ARGUMENT_NOT_PLACED};
    keyspace_place(station->node->keyspace, &key);
    return keyspace_find_record(station->node->keyspace, &key);
}

static uint64_t flush_counter(const struct inspector *inspector, const struct station *station,
                              uint32_t key) {
    const struct ledger *ledger = station->node->keyspace->ledger;
    return ledger == NULL ? 0 : ledger->slots[inspector->history->keys[key].slot].flush_counter;
}

/* Changes whenever the version does. */
static uint64_t version_identity(const struct record *record) {
    uint64_t mixed = record->counter * UINT64_C(0x9e3779b97f4a7c15) ^ record->actor;
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

static void check_dot(struct inspector *inspector, const struct station *station, uint32_t key,
                      const struct record *record, const struct known_version *version) {
    struct known_dot newest = newest_of(inspector, version);
    struct dot_fact fresh = {.actor = newest.actor,
                             .key = key,
                             .counter = newest.counter,
                             .value_hash = XXH3_64bits(record_value_const(record), record_value_size(record)),
                             .expiry_ms = record_expiry_ms(record),
                             .type = record_type(record),
                             .station = station->number};
    struct dot_fact *fact = find_fact(inspector->facts, inspector->fact_capacity, fresh.actor, fresh.counter);
    if (fact->actor == 0) {
        *fact = fresh;
        if (++inspector->fact_count * 2 > inspector->fact_capacity)
            grow_facts(inspector);
        return;
    }
    const struct history_key *keys = inspector->history->keys;
    char text[300];
    if (fact->key != key)
        world_fail(inspector->world, "I-DOT: one dot for two keys: %s in node %u, %s in node %u: %s",
                   keys[fact->key].name, fact->station, keys[key].name, station->number,
                   inspector_print_version(inspector, version, text, sizeof text));
    else if (fact->value_hash != fresh.value_hash || fact->expiry_ms != fresh.expiry_ms ||
             fact->type != fresh.type)
        world_fail(inspector->world, "I-DOT: one dot for two %s of %s, in nodes %u and %u: %s",
                   fact->type != fresh.type               ? "types"
                   : fact->value_hash != fresh.value_hash ? "values"
                                                          : "expiries",
                   keys[key].name, fact->station, station->number,
                   inspector_print_version(inspector, version, text, sizeof text));
}

/* ---- I-VVMONO ---- */

static void check_progress(struct inspector *inspector, const struct station *station, uint32_t key,
                           const struct sight *before, const struct known_version *now) {
    const struct known_dot *kept = &inspector->dots[before->version];
    uint32_t count = (uint32_t)kept->counter;
    const struct history_key *name = &inspector->history->keys[key];
    if (name->kind == KEY_VOLATILE || before->has_expiry || descends(now->dots, now->count, kept + 1, count))
        return;
    /* A full version forgets its oldest dot; what was flushed is gone. */
    if (count == VERSION_DOTS_MAX || now->count == VERSION_DOTS_MAX)
        return;
    uint64_t flushed = flush_counter(inspector, station, key), highest = 0;
    for (uint32_t i = 1; i <= count; i++)
        highest = kept[i].counter > highest ? kept[i].counter : highest;
    if (highest <= flushed)
        return;
    /* Who does not hold the slot any more may drop what the others have: see I-HOLD for whether they do. */
    if (now->count == 0 && !slot_set_has(&station->node->cluster->held, name->slot))
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
    if (operation == NULL || operation->dot_actor != 0 || !operation_sets(operation) ||
        operation->key_count != 1 || size != operation->cells * CELL_SIZE ||
        memcmp(value, value + size - CELL_SIZE, CELL_SIZE) != 0)
        return;
    struct known_dot dot = newest_of(inspector, version);
    operation->dot_actor = dot.actor;
    operation->dot_counter = dot.counter;
}

static void look(struct inspector *inspector, const struct station *station, uint32_t key) {
    struct sight *sight = &inspector->sights[(size_t)station->number * inspector->history->key_count + key];
    struct record *record = inspector_record(inspector, station, key);
    uint64_t identity = record == NULL ? 0 : version_identity(record);
    bool is_known = sight->process == station->process && !station->node->keyspace->is_alone;
    inspector->statistics.looks++;
    if (is_known && (record == NULL) == (sight->version == 0) && sight->identity == identity)
        return;
    inspector->statistics.changes++;
    struct known_version version = {.count = 0};
    if (record != NULL) {
        inspector_version(inspector, station, record, &version);
        check_dot(inspector, station, key, record, &version);
        learn_dot(inspector, record, &version);
    }
    if (is_known && sight->version != 0)
        check_progress(inspector, station, key, sight, &version);
    *sight = (struct sight){.process = station->process, .identity = identity};
    sight->version = record == NULL ? 0 : keep_version(inspector, &version);
    sight->has_expiry = record != NULL && record_expiry_ms(record) != RECORD_NO_EXPIRY;
}

/* ---- I-HOLD ---- */

static bool covers(struct inspector *inspector, const struct station *station, uint32_t key,
                   const struct claim *claim) {
    if (flush_counter(inspector, station, key) >= claim->counter)
        return true;
    const struct record *record = inspector_record(inspector, station, key);
    if (record == NULL)
        return false;
    struct known_version version;
    inspector_version(inspector, station, record, &version);
    if (counter_of(version.dots, version.count, claim->actor) >= claim->counter)
        return true;
    /* Versions of so many actors forget some. */
    return inspector->actor_count > VERSION_DOTS_MAX &&
           newest_of(inspector, &version).counter >= claim->counter;
}

static uint32_t holders_of(struct inspector *inspector, uint32_t key, const struct claim *claim) {
    uint32_t holders = 0;
    for (uint32_t i = 0; i < inspector->station_count; i++) {
        const struct station *station = &inspector->stations[i];
        if (station_runs(station) && covers(inspector, station, key, claim))
            holders |= 1u << i;
    }
    return holders;
}

/* For people: who has what of a key. */
static void note_copies(struct inspector *inspector, uint32_t key) {
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
        world_note(
            inspector->world, "node %u has [%s] %s of %s, flush %llx, %s, executed by %s", i,
            inspector_print_version(inspector, &version, text, sizeof text), value,
            inspector->history->keys[key].name, (unsigned long long)flush_counter(inspector, station, key),
            slot_set_has(&cluster->held, inspector->history->keys[key].slot) ? "held" : "not held",
            route == ROUTE_NOBODY ? "nobody" : membership_member(cluster->membership, route)->entry.host);
    }
}

static void fail_claim(struct inspector *inspector, uint32_t key, const struct claim *claim,
                       const char *what) {
    const struct actor_identity *actor = &inspector->actors[claim->actor - 1];
    if (!world_has_failed(inspector->world))
        note_copies(inspector, key);
    world_fail(
        inspector->world,
        "I-HOLD: %s: operation %u of user %u, told at %.6f s, made it %02x%02x.%llu:%llx.%u: %s (holders were %x)",
        inspector->history->keys[key].name, claim->operation->sequence, claim->operation->user,
        (double)claim->operation->done_ns / 1e9, actor->node_id[0], actor->node_id[1],
        (unsigned long long)actor->incarnation, (unsigned long long)(claim->counter >> 16),
        (unsigned)(claim->counter & 0xffff), what, claim->holders);
}

static void check_key(struct inspector *inspector, uint32_t key) {
    for (uint32_t i = 0; i < CLAIMS_MAX; i++) {
        struct claim *claim = &inspector->claims[key * CLAIMS_MAX + i];
        if (claim->actor == 0)
            continue;
        uint32_t holders = holders_of(inspector, key, claim);
        if (holders == 0) {
            fail_claim(inspector, key, claim, "nobody has it or what descends from it");
            return;
        }
        claim->holders = holders;
    }
}

/* A node that has never met another one leaves no tombstones, and forgets what a write replaces. */
static bool somebody_is_alone(const struct inspector *inspector) {
    for (uint32_t i = 0; i < inspector->station_count; i++)
        if (station_runs(&inspector->stations[i]) && inspector->stations[i].node->keyspace->is_alone)
            return true;
    return false;
}

void inspector_told(struct inspector *inspector, struct operation *operation) {
    if (!operation_sets(operation) || operation->key_count != 1 || somebody_is_alone(inspector))
        return;
    uint32_t key = operation->keys[0];
    if (inspector->history->keys[key].kind == KEY_VOLATILE)
        return;
    /* Executed where its user is connected, it is acknowledged before the turn is over. */
    for (uint32_t i = 0; i < inspector->station_count && operation->dot_actor == 0; i++)
        if (station_runs(&inspector->stations[i]))
            look(inspector, &inspector->stations[i], key);
    if (operation->dot_actor == 0) {
        inspector->statistics.unseen++;
        return;
    }
    struct claim *claims = &inspector->claims[key * CLAIMS_MAX];
    struct claim fresh = {
        .actor = operation->dot_actor, .counter = operation->dot_counter, .operation = operation};
    fresh.holders = holders_of(inspector, key, &fresh);
    inspector->statistics.claims++;
    if (fresh.holders == 0) {
        /* Its coordinator has died since it answered. */
        if (inspector->last_loss_ns < operation->invoked_ns)
            fail_claim(inspector, key, &fresh, "nobody has it when it is acknowledged");
        return;
    }
    /* In place of one that it descends from; else of the oldest. */
    uint32_t chosen = 0;
    for (uint32_t i = 0; i < CLAIMS_MAX; i++) {
        if (claims[i].actor == fresh.actor || claims[i].actor == 0) {
            if (claims[i].actor != 0 && claims[i].counter > fresh.counter)
                return;
            chosen = i;
            break;
        }
        if (claims[i].operation->invoked_ns < claims[chosen].operation->invoked_ns)
            chosen = i;
    }
    claims[chosen] = fresh;
}

void inspector_waited(struct inspector *inspector, const struct operation *write, int64_t copies) {
    /* Where routes have changed meanwhile, another coordinator is asked than the one that executed it. */
    if (write->dot_actor == 0 || inspector->last_loss_ns >= write->invoked_ns ||
        somebody_is_alone(inspector) || inspector->history->disturbed_ns >= write->invoked_ns ||
        inspector->history->keys[write->keys[0]].kind == KEY_VOLATILE)
        return;
    struct claim claim = {.actor = write->dot_actor, .counter = write->dot_counter, .operation = write};
    claim.holders = holders_of(inspector, write->keys[0], &claim);
    inspector->statistics.waits++;
    if (__builtin_popcount(claim.holders) < copies + 1) {
        char text[100];
        snprintf(text, sizeof text, "WAIT says that %lld others have it", (long long)copies);
        fail_claim(inspector, write->keys[0], &claim, text);
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

/* Where others do not have what this one has, nobody can be blamed for it later. */
void inspector_losing(struct inspector *inspector, struct station *station) {
    uint32_t bit = 1u << station->number;
    inspector->last_loss_ns = inspector->world->now_ns;
    history_disturb(inspector->history);
    for (uint32_t key = 0; key < inspector->history->key_count && !world_has_failed(inspector->world);
         key++) {
        struct record *record = inspector_record(inspector, station, key);
        look(inspector, station, key);
        bool is_alike = record == NULL;
        struct known_version ours = {0}, theirs;
        if (record != NULL)
            inspector_version(inspector, station, record, &ours);
        for (uint32_t i = 0; i < inspector->station_count && record != NULL; i++) {
            struct station *other = &inspector->stations[i];
            struct record *there =
                other != station && station_runs(other) ? inspector_record(inspector, other, key) : NULL;
            if (there == NULL)
                continue;
            inspector_version(inspector, other, there, &theirs);
            is_alike = descends(theirs.dots, theirs.count, ours.dots, ours.count);
            if (!is_alike)
                break;
        }
        if (!is_alike)
            history_excuse(inspector->history, key);
        for (uint32_t i = 0; i < CLAIMS_MAX; i++) {
            struct claim *claim = &inspector->claims[key * CLAIMS_MAX + i];
            if (claim->actor == 0)
                continue;
            uint32_t holders = holders_of(inspector, key, claim);
            if (holders == 0)
                fail_claim(inspector, key, claim, "nobody has it or what descends from it");
            claim->holders = holders & ~bit;
            if (claim->holders == 0) {
                claim->actor = 0;
                inspector->statistics.excused++;
            }
        }
    }
    inspector->changes[station->number] = 0;
}

void inspector_check_claims(struct inspector *inspector, uint32_t key, uint32_t holders) {
    for (uint32_t i = 0; i < CLAIMS_MAX; i++) {
        struct claim *claim = &inspector->claims[key * CLAIMS_MAX + i];
        if (claim->actor == 0)
            continue;
        claim->holders = holders_of(inspector, key, claim);
        uint64_t flushed = 0;
        for (uint32_t at = 0; at < inspector->station_count; at++)
            if (station_runs(&inspector->stations[at]) &&
                flush_counter(inspector, &inspector->stations[at], key) > flushed)
                flushed = flush_counter(inspector, &inspector->stations[at], key);
        if ((claim->holders & holders) != holders && flushed < claim->counter)
            fail_claim(inspector, key, claim, "at the end not all who should hold it do");
    }
}

/* ---- I-MERGE ---- */

static bool prepare_merge(struct inspector *inspector) {
    if (inspector->samples++ == 0)
        for (unsigned i = 0; i < 2; i++) {
            static const uint8_t seed[HASH_SEED_SIZE] = {7};
            inspector->merged[i] = keyspace_new(&inspector->merge_mem, seed, 1);
            CHECK(inspector->merged[i] != NULL && ledger_attach(inspector->merged[i]));
            keyspace_set_alone(inspector->merged[i], false);
        }
    return inspector->samples <= SAMPLES_MAX;
}

/* A node's record for a keyspace that has other numbers for its actors, under another name. */
static void take_parts(const struct station *station, const struct record *record, struct keyspace *keyspace,
                       const struct argument *name, struct record_parts *parts, struct dot *others) {
    const struct actors *actors = &station->node->keyspace->actors;
    record_parts(record, parts, others);
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
    take_parts(station, record, keyspace, name, &parts, others);
    CHECK(keyspace_merge(keyspace, 0, name, &parts, changed));
}

static void known_in(struct inspector *inspector, const struct keyspace *keyspace,
                     const struct record *record, struct known_version *known) {
    struct version version;
    record_version(record, &version);
    known->count = version.count;
    for (uint32_t i = 0; i < version.count; i++)
        known->dots[i] =
            (struct known_dot){version.dots[i].counter,
                               find_actor(inspector, &keyspace->actors.identities[version.dots[i].actor])};
}

static void check_merge(struct inspector *inspector, const struct station *stations[2],
                        struct record *records[2], uint32_t key) {
    char name[32];
    bool changed, changed_again = false;
    int64_t now_ms = station_wall_us(stations[0]) / 1000;
    if (!prepare_merge(inspector))
        return;
    inspector->statistics.merges++;
    int size = snprintf(name, sizeof name, "sample-%llu", (unsigned long long)inspector->samples);
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
    if (!inspector_same_version(&versions[0], &versions[1]) ||
        record_value_size(results[0]) != record_value_size(results[1]) ||
        record_type(results[0]) != record_type(results[1]) ||
        record_expiry_ms(results[0]) != record_expiry_ms(results[1]) ||
        memcmp(record_value_const(results[0]), record_value_const(results[1]),
               record_value_size(results[0])) != 0) {
        char text[2][200];
        world_fail(inspector->world, "I-MERGE: %s of nodes %u and %u gives [%s] or [%s], as it comes",
                   inspector->history->keys[key].name, stations[0]->number, stations[1]->number,
                   inspector_print_version(inspector, &versions[0], text[0], sizeof text[0]),
                   inspector_print_version(inspector, &versions[1], text[1], sizeof text[1]));
    }
}

static void sample_merge(struct inspector *inspector, uint32_t key) {
    const struct station *stations[2] = {NULL, NULL};
    struct record *records[2] = {NULL, NULL};
    for (uint32_t i = 0; i < inspector->station_count && records[1] == NULL; i++) {
        const struct station *station = &inspector->stations[i];
        struct record *record = station_runs(station) ? inspector_record(inspector, station, key) : NULL;
        if (record == NULL)
            continue;
        unsigned at = records[0] != NULL;
        if (at == 1 && record->counter == records[0]->counter)
            continue;
        stations[at] = station;
        records[at] = record;
    }
    if (records[1] != NULL && rng_below(world_random(inspector->world, CHANCE_MEMORY), SAMPLE_EVERY) == 0)
        check_merge(inspector, stations, records, key);
}

void inspector_sweep(struct inspector *inspector) {
    for (uint32_t key = 0; key < inspector->history->key_count && !world_has_failed(inspector->world);
         key++) {
        for (uint32_t i = 0; i < inspector->station_count; i++)
            if (station_runs(&inspector->stations[i]))
                look(inspector, &inspector->stations[i], key);
        check_key(inspector, key);
        sample_merge(inspector, key);
    }
}
