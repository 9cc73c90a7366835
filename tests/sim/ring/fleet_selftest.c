/* fleet_selftest.c - clusters that are spoilt on purpose: whether the simulator sees it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/fleet.h"

#include "node/state.h"
#include "store/keyspace.h"
#include "store/ledger.h"

#include <stdio.h>

/* A spoilt cluster must be found out in one of so many runs: in some there is nothing to spoil. */
#define SEEDS_TRIED 16

/* A string in a node that is not alone. */
static struct record *some_record(struct fleet *fleet, struct station **station) {
    for (uint32_t i = 0; i < fleet->station_count; i++) {
        *station = &fleet->stations[i];
        if (!station_runs(*station) || (*station)->is_removed || (*station)->node->keyspace->is_alone)
            continue;
        for (uint32_t key = 0; key < fleet->history.key_count; key++) {
            struct record *record = inspector_record(&fleet->inspector, *station, key);
            if (record != NULL && record_type(record) == RECORD_STRING &&
                record_value_size(record) >= CELL_SIZE && fleet->history.keys[key].kind != KEY_VOLATILE)
                return record;
        }
    }
    return NULL;
}

/* One copy of a value is another one, under the same version. */
static bool change_a_byte(struct fleet *fleet) {
    struct station *station;
    struct record *record = some_record(fleet, &station);
    if (record == NULL)
        return false;
    record_value(record)[record_value_size(record) - 2] ^= 1;
    return true;
}

/* A version goes back. */
static bool lower_a_counter(struct fleet *fleet) {
    struct station *station;
    struct record *record = some_record(fleet, &station);
    if (record == NULL)
        return false;
    record->counter -= 1u << 20;
    return true;
}

/* A digest is not what the records give. */
static bool change_a_digest(struct fleet *fleet) {
    struct station *station;
    if (some_record(fleet, &station) == NULL)
        return false;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        station->node->keyspace->ledger->digests[slot] ^= 4;
    return true;
}

/* A reply gets lost on its way to the user. */
static bool lose_a_reply(struct fleet *fleet) {
    for (uint32_t i = 0; i < fleet->user_count; i++) {
        struct user *user = &fleet->users[i];
        if (user->expected_count > 1) {
            user->expected_first = (user->expected_first + 1) % USER_EXPECTED_MAX;
            user->expected_count--;
            return true;
        }
    }
    return false;
}

/* An acknowledged write is nowhere. */
static bool forget_a_key(struct fleet *fleet) {
    for (uint32_t key = 0; key < fleet->history.key_count; key++) {
        if (fleet->inspector.claims[key * CLAIMS_MAX].actor == 0)
            continue;
        for (uint32_t i = 0; i < fleet->station_count; i++) {
            struct station *station = &fleet->stations[i];
            struct record *record =
                station_runs(station) ? inspector_record(&fleet->inspector, station, key) : NULL;
            if (record == NULL)
                continue;
            struct keyspace *keyspace = station->node->keyspace;
            struct argument argument = {
                .data = record_key(record), .size = record_key_size(record), .slot = ARGUMENT_NOT_PLACED};
            struct entry entry;
            if (keyspace_lookup(keyspace, 0, &argument, LOOKUP_PEEK, &entry) != NULL)
                keyspace_remove(keyspace, 0, &argument, &entry, REMOVE_EXPIRED);
            ledger_clear_effects(keyspace->ledger);
        }
        return true;
    }
    return false;
}

static void try_spoiler(const char *name, bool (*spoil)(struct fleet *fleet), uint64_t *passed,
                        uint64_t *failed) {
    for (uint64_t seed = 1; seed <= SEEDS_TRIED; seed++) {
        struct fleet_result result;
        fleet_run(&(struct fleet_options){.seed = UINT64_C(0x5e1f7e57) + seed, .spoil = spoil}, &result);
        if (result.has_failed) {
            ++*passed;
            return;
        }
    }
    printf("FAILED the simulator of clusters does not see: %s\n", name);
    ++*failed;
}

void fleet_selftest(uint64_t *passed, uint64_t *failed) {
    try_spoiler("a byte of one copy is another one", change_a_byte, passed, failed);
    try_spoiler("a version goes back", lower_a_counter, passed, failed);
    try_spoiler("a digest is wrong", change_a_digest, passed, failed);
    try_spoiler("a reply is lost", lose_a_reply, passed, failed);
    try_spoiler("an acknowledged key is nowhere", forget_a_key, passed, failed);
}
