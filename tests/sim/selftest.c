/* selftest.c - ways to spoil a node, and bytes that are replies or are not.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/selftest.h"

#include "node/state.h"
#include "sim/machine.h"
#include "sim/reply_reader.h"
#include "sim/run.h"
#include "store/image.h"

#include <stdio.h>
#include <string.h>

/* A spoilt node must be found out in one of so many runs: in some there is nothing to spoil. */
#define SEEDS_TRIED 12
/* Of values that no run of requests makes long for an image. */
#define SHORT_VALUES 1000

/* ---- Spoiling ---- */

static struct record *some_key(struct machine *machine, uint32_t *database) {
    for (*database = 0; *database < DATABASE_COUNT; ++*database)
        if (keyspace_size(machine->node->keyspace, *database) != 0)
            return keyspace_random(machine->node->keyspace, *database);
    return NULL;
}

static bool lose_a_key(struct machine *machine) {
    struct keyspace *keyspace = machine->node->keyspace;
    uint32_t database;
    struct record *record = some_key(machine, &database);
    if (record == NULL)
        return false;
    struct argument key = {
        .data = record_key(record), .size = record_key_size(record), .slot = ARGUMENT_NOT_PLACED};
    struct entry entry;
    if (keyspace_lookup(keyspace, database, &key, LOOKUP_PEEK, &entry) == NULL)
        return false;
    keyspace_remove(keyspace, database, &key, &entry, REMOVE_MOVED);
    return true;
}

static bool change_a_byte(struct machine *machine) {
    uint32_t database;
    struct record *record = some_key(machine, &database);
    if (record == NULL || record_value_size(record) == 0)
        return false;
    record_value(record)[0] ^= 1;
    return true;
}

static bool change_an_encoding(struct machine *machine) {
    uint32_t database;
    struct record *record = some_key(machine, &database);
    if (record == NULL || record_encoding(record) == ENCODING_RAW)
        return false;
    record_set_encoding(record, ENCODING_RAW);
    return true;
}

/* Again and again: what is late once is soon gone, or set anew. */
static bool shift_expiries(struct machine *machine) {
    uint32_t database;
    struct record *record = some_key(machine, &database);
    if (record != NULL && record->flags & RECORD_EXPIRY) {
        int64_t expiry_ms = record_expiry_ms(record) + 1;
        memcpy(record->rest, &expiry_ms, sizeof expiry_ms);
    }
    return false;
}

static bool count_one_more(struct machine *machine) {
    for (unsigned i = 0; i < DATABASE_COUNT; i++)
        if (machine->node->keyspace->databases[i] != NULL) {
            machine->node->keyspace->databases[i]->keys++;
            return true;
        }
    return false;
}

static bool forget_an_expiry(struct machine *machine) {
    for (unsigned i = 0; i < DATABASE_COUNT; i++)
        if (machine->node->keyspace->databases[i] != NULL &&
            machine->node->keyspace->databases[i]->expiring != 0) {
            machine->node->keyspace->databases[i]->expiring--;
            return true;
        }
    return false;
}

/* Lost to the node's count; the process itself gets it back. */
static bool leak(struct machine *machine) {
    machine->mem.allocations++;
    machine->mem.used_bytes += 16;
    return true;
}

static bool answer_too_much(struct machine *machine) {
    for (struct connection *connection = machine->connections; connection != NULL;
         connection = connection->next)
        node_push(machine->node, connection->session, "+OK\r\n", 5);
    return machine->connections != NULL;
}

static bool change_an_answer(struct machine *machine) {
    for (struct connection *connection = machine->connections; connection != NULL;
         connection = connection->next) {
        struct buffer *pending = &connection->session->pending;
        if (pending->size > connection->session->pending_sent) {
            pending->data[connection->session->pending_sent] ^= 1;
            return true;
        }
    }
    return false;
}

/* Again and again: a stamp given anew is that of another write only within the same millisecond. */
static bool give_a_stamp_twice(struct machine *machine) {
    machine->node->keyspace->counter = 1;
    return false;
}

/* From now on nobody knows that a watched key has changed. */
static bool forget_changes(struct machine *machine) {
    for (struct connection *connection = machine->connections; connection != NULL;
         connection = connection->next)
        connection->session->watcher.is_broken = false;
    return false;
}

static bool change_database(struct machine *machine) {
    struct connection *connection = machine->connections;
    if (connection == NULL || machine->swarm->mix.databases < 2)
        return false;
    connection->session->database ^= 1;
    return true;
}

static bool close_somebody(struct machine *machine) {
    struct connection *connection = machine->connections;
    if (connection == NULL)
        return false;
    node_kill(machine->node, connection->session, false);
    return true;
}

/* The image that is being taken, of short records and no flushed databases: what is done to it stays without other consequences. */
static struct image *some_image(struct machine *machine) {
    const struct workload_mix *mix = &machine->swarm->mix;
    return mix->long_values != 0 || mix->flushes != 0 || mix->value_max > SHORT_VALUES
               ? NULL
               : machine->node->keyspace->image;
}

/* Nobody tells the image before a key changes or goes. */
static bool hide_the_image(struct machine *machine) {
    if (some_image(machine) != NULL)
        machine->node->keyspace->image = NULL;
    return false;
}

/* Writes behind the begin are taken for those before it. */
static bool take_later_writes(struct machine *machine) {
    struct image *image = some_image(machine);
    if (image != NULL)
        image->begin_counter = UINT64_MAX;
    return false;
}

static bool skip_a_slot(struct machine *machine) {
    struct image *image = some_image(machine);
    if (image != NULL && image->database < DATABASE_COUNT && image->slot + 1 < SLOT_COUNT) {
        image->slot++;
        image->hash = 0;
    }
    return false;
}

static bool forget_the_failure(struct machine *machine) {
    machine->node->persistence.has_failed = false;
    return false;
}

static int sync_nothing(struct disk_file *file) {
    (void)file;
    return 0;
}

static bool keep_nothing(struct machine *machine) {
    machine->node->host.disk.sync = sync_nothing;
    return false;
}

/* The newest checkpoint is an earlier one again. */
static bool lose_a_checkpoint(struct machine *machine) {
    static const char previous[] = MACHINE_CHECKPOINT ".previous";
    struct simulated_disk *disk = &machine->disks[machine->disk];
    size_t size;
    const uint8_t *bytes = simulated_disk_bytes(disk, previous, &size);
    if (bytes != NULL && machine->node->persistence.writer == NULL)
        simulated_disk_damage(disk, MACHINE_CHECKPOINT, DAMAGE_GONE,
                              world_random(machine->world, CHANCE_DISK));
    return false;
}

static bool claim_to_load(struct machine *machine) {
    machine->node->persistence.is_loading = true;
    return true;
}

static bool has_databases(const struct swarm *swarm) {
    return swarm->mix.databases > 1;
}

/* No client is closed for another reason. */
static bool is_peaceful(const struct swarm *swarm) {
    return swarm->mix.kills == 0 && swarm->no_memory_permille == 0 && swarm->network.cut_permille == 0 &&
           !swarm->has_password;
}

static bool saves(const struct swarm *swarm) {
    return swarm->mix.saves > 4 && swarm->requests > 1000;
}

static bool fails_to_save(const struct swarm *swarm) {
    return swarm->disk.stops_writes && swarm->disk.rule_changes != 0 && swarm->mix.saves != 0 &&
           swarm->disk.full_permille + swarm->disk.error_permille > 50;
}

static bool ends(const struct swarm *swarm) {
    return swarm->disk.ends > 1 && (swarm->mix.saves != 0 || swarm->disk.rule_changes != 0);
}

static const struct {
    const char *name;
    run_spoiler *spoil;
    bool (*suits)(const struct swarm *swarm); /* which conditions there must be; NULL: any */
} spoilers[] = {
    {"a key that vanishes", lose_a_key, NULL},
    {"a byte that changes in a value", change_a_byte, NULL},
    {"another encoding of a value", change_an_encoding, NULL},
    {"expiries that are late by a millisecond", shift_expiries, NULL},
    {"a wrong number of keys", count_one_more, NULL},
    {"a wrong number of expiring keys", forget_an_expiry, NULL},
    {"memory that is lost", leak, NULL},
    {"an answer that nobody asked for", answer_too_much, NULL},
    {"an answer that changes on its way out", change_an_answer, NULL},
    {"stamps that begin anew", give_a_stamp_twice, NULL},
    {"transactions that run though a watched key has changed", forget_changes, NULL},
    {"a client that finds itself in another database", change_database, has_databases},
    {"a client that is closed for no reason", close_somebody, is_peaceful},
    {"a save that is not told of changes", hide_the_image, saves},
    {"a save that takes later writes", take_later_writes, saves},
    {"a save that leaves slots out", skip_a_slot, saves},
    {"writes that are done though saving has failed", forget_the_failure, fails_to_save},
    {"a disk that makes nothing durable", keep_nothing, ends},
    {"a checkpoint that was complete and is gone", lose_a_checkpoint, ends},
    {"commands refused as if keys were loaded", claim_to_load, NULL},
};

static bool suits(uint64_t seed, bool (*suits_swarm)(const struct swarm *swarm)) {
    struct world world;
    struct swarm swarm;
    world_init(&world, seed);
    swarm_draw(&swarm, world_random(&world, CHANCE_SWARM));
    world_release(&world);
    return suits_swarm == NULL || suits_swarm(&swarm);
}

static bool is_found_out(run_spoiler *spoil, bool (*suits_swarm)(const struct swarm *swarm)) {
    uint64_t seed = 0;
    for (unsigned tried = 0; tried < SEEDS_TRIED; tried++) {
        do {
            seed++;
        } while (!suits(seed, suits_swarm));
        struct run_options options = {.seed = seed, .spoil = spoil};
        struct run_result result;
        struct sightings unused = {{0}};
        run_world(&options, &result, &unused);
        if (result.has_failed)
            return true;
    }
    return false;
}

/* Chance that does not come from the seed: nothing is wrong with such a run, but it is not the same once more. */
static bool draw_one_more(struct machine *machine) {
    rng_next64(&machine->node->keyspace->random);
    return true;
}

static bool sees_other_chance(void) {
    for (uint64_t seed = 1; seed <= SEEDS_TRIED; seed++) {
        struct run_options options = {.seed = seed};
        struct run_result first, second;
        struct sightings unused = {{0}};
        run_world(&options, &first, &unused);
        options.spoil = draw_one_more;
        run_world(&options, &second, &unused);
        if (!first.has_failed && !second.has_failed && first.hash != second.hash)
            return true;
    }
    return false;
}

/* ---- Replies ---- */

static const char *const good_replies[] = {
    "+OK\r\n",
    "-ERR x\r\n",
    ":12\r\n",
    ":-1\r\n",
    "$0\r\n\r\n",
    "$3\r\na\r\n\r\n",
    "*0\r\n",
    "*2\r\n:1\r\n*1\r\n+a\r\n",
    "_\r\n",
    "#t\r\n",
    ",1.5\r\n",
    "(123\r\n",
    "%1\r\n+a\r\n:1\r\n",
    "~1\r\n:1\r\n",
    "=5\r\ntxt:a\r\n",
    ">1\r\n+a\r\n",
    "$-1\r\n",
    "*-1\r\n",
};

static const char *const bad_replies[] = {
    "OK\r\n",  "+OK\n",  "+O\rK\r\n", ":\r\n",   ":1x\r\n",  "$1\r\nab\r\n", "$-2\r\n",
    "*1x\r\n", "#x\r\n", "_x\r\n",    "*-2\r\n", ":--1\r\n", "%-1\r\n",      "$1\r\na\r+",
};

/* Fed in pieces of `piece` bytes; returns the bytes taken when it was complete, 0: it never was. */
static size_t read_in_pieces(const char *bytes, size_t piece, bool *is_broken) {
    struct reply_reader reader;
    bool is_complete = false;
    size_t taken = 0, size = strlen(bytes);
    reply_reader_init(&reader, 0);
    while (taken < size && !is_complete && !reader.is_broken)
        taken += reply_reader_take(&reader, (const uint8_t *)bytes + taken,
                                   size - taken < piece ? size - taken : piece, &is_complete);
    *is_broken = reader.is_broken;
    return is_complete ? taken : 0;
}

static bool reads_replies(void) {
    bool is_broken;
    for (size_t i = 0; i < sizeof good_replies / sizeof *good_replies; i++)
        for (size_t piece = 1; piece < 8; piece++)
            if (read_in_pieces(good_replies[i], piece, &is_broken) != strlen(good_replies[i]) || is_broken)
                return false;
    for (size_t i = 0; i < sizeof bad_replies / sizeof *bad_replies; i++)
        for (size_t piece = 1; piece < 8; piece++) {
            read_in_pieces(bad_replies[i], piece, &is_broken);
            if (!is_broken)
                return false;
        }
    /* Each protocol has words that the other one has not. */
    return reply_measure((const uint8_t *)"_\r\n", 3, 2) == 0 &&
           reply_measure((const uint8_t *)"$-1\r\n", 5, 3) == 0 &&
           reply_measure((const uint8_t *)"$-1\r\n", 5, 2) == 5 &&
           reply_measure((const uint8_t *)"+a\r\n:1\r\n", 8, 2) == 4;
}

static void count(bool is_fine, const char *words, uint64_t *passed, uint64_t *failed) {
    if (is_fine) {
        ++*passed;
        return;
    }
    ++*failed;
    printf("FAILED the simulator does not see %s\n", words);
}

void selftest(uint64_t *passed, uint64_t *failed) {
    for (size_t i = 0; i < sizeof spoilers / sizeof *spoilers; i++)
        count(is_found_out(spoilers[i].spoil, spoilers[i].suits), spoilers[i].name, passed, failed);
    count(sees_other_chance(), "chance that does not come from the seed", passed, failed);
    count(reads_replies(), "what is a reply and what is none", passed, failed);
}
