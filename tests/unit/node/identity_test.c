/* identity_test.c - who a node is, over starts, damage, broken disks, lost power, and others who want to be it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/identity.h"

#include "base/checksum.h"
#include "sim/disk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME      "dump.rdb"
#define FILE_NAME NAME ".node"
#define ASIDE     NAME ".node.damaged"

static struct mem mem;
static struct simulated_disk disk;

static void begin(void) {
    mem = (struct mem){0};
    simulated_disk_init(&disk, &mem, 1);
}

static void end(void) {
    cr_expect_null(disk.open_files, "a file is still open");
    simulated_disk_release(&disk);
    cr_expect_eq(mem.used_bytes, 0);
}

/* Ids that are all different. */
static void fresh_id(uint8_t id[NODE_ID_SIZE], uint64_t number) {
    memset(id, 0xa5, NODE_ID_SIZE);
    memcpy(id, &number, sizeof number);
}

static enum identity_status take_on(struct simulated_disk *where, struct identity *identity, uint64_t number,
                                    int *error) {
    uint8_t id[NODE_ID_SIZE];
    fresh_id(id, number);
    return identity_take(identity, &where->disk, NAME, id, error);
}

static enum identity_status take(struct identity *identity, uint64_t number) {
    int error;
    return take_on(&disk, identity, number, &error);
}

static bool has_id(const struct identity *identity, uint64_t number) {
    uint8_t id[NODE_ID_SIZE];
    fresh_id(id, number);
    return memcmp(identity->actor.node_id, id, NODE_ID_SIZE) == 0;
}

static bool is_same_writer(const struct identity *a, const struct identity *b) {
    return memcmp(a->actor.node_id, b->actor.node_id, NODE_ID_SIZE) == 0 &&
           a->actor.incarnation == b->actor.incarnation;
}

Test(identity, a_new_node_keeps_its_id_in_a_text_that_people_can_read) {
    static const char words[] = "redis-kv node 1\n"
                                "id 0700000000000000a5a5a5a5a5a5a5a5a5a5a5a5\n"
                                "incarnation 1\n"
                                "checkpoint no\n";
    struct identity identity;
    char text[256];
    size_t size;
    begin();
    cr_assert_eq(take(&identity, 7), IDENTITY_NEW);
    cr_expect(has_id(&identity, 7));
    cr_expect_eq(identity.actor.incarnation, 1);
    cr_expect(identity.is_kept && !identity.has_checkpoint);
    cr_expect_str_eq(identity.name, FILE_NAME);
    snprintf(text, sizeof text, "%scheck %016" PRIx64 "\n", words, checksum_bytes(words, sizeof words - 1));
    const uint8_t *bytes = simulated_disk_bytes(&disk, FILE_NAME, &size);
    cr_expect_eq(size, strlen(text));
    cr_expect_eq(memcmp(bytes, text, size), 0, "%.*s", (int)size, (const char *)bytes);
    cr_expect_null(simulated_disk_bytes(&disk, FILE_NAME ".temporary", &size));
    identity_release(&identity, &disk.disk);
    end();
}

Test(identity, every_start_is_the_next_incarnation_of_the_same_node) {
    struct identity identity;
    begin();
    for (uint64_t start = 1; start <= 12; start++) {
        cr_expect_eq(take(&identity, start), start == 1 ? IDENTITY_NEW : IDENTITY_TAKEN);
        cr_expect(has_id(&identity, 1));
        cr_expect_eq(identity.actor.incarnation, start);
        identity_release(&identity, &disk.disk);
    }
    end();
}

Test(identity, a_second_process_is_busy_for_as_long_as_the_first_one_lives) {
    struct identity first, second;
    begin();
    take(&first, 1);
    for (unsigned round = 0; round < 3; round++) {
        cr_expect_eq(take(&second, 2), IDENTITY_BUSY);
        cr_expect(has_id(&second, 2));
        cr_expect_eq(second.actor.incarnation, 1);
        cr_expect(!second.is_kept);
        cr_expect_eq(second.has_checkpoint, round == 2);
        cr_expect_eq(identity_raise(&second, &disk.disk, 5), 0);
        cr_expect_eq(second.actor.incarnation, 6);
        identity_release(&second, &disk.disk);
        /* Both put another file in the place of the locked one. */
        if (round == 0)
            cr_expect_eq(identity_raise(&first, &disk.disk, 10), 0);
        else
            cr_expect_eq(identity_note_checkpoint(&first, &disk.disk), 0);
    }
    identity_release(&first, &disk.disk);
    cr_expect_eq(take(&second, 2), IDENTITY_TAKEN);
    cr_expect(has_id(&second, 1));
    cr_expect_eq(second.actor.incarnation, 12);
    identity_release(&second, &disk.disk);
    end();
}

/* Puts `bytes` there and looks whether they are set aside and a new node begins. */
static void must_be_replaced(const uint8_t *bytes, size_t size) {
    struct identity identity;
    size_t aside_size, kept_size;
    begin();
    simulated_disk_put(&disk, FILE_NAME, bytes, size);
    cr_assert_eq(take(&identity, 99), IDENTITY_REPLACED);
    cr_expect(has_id(&identity, 99));
    cr_expect_eq(identity.actor.incarnation, 1);
    cr_expect(identity.is_kept);
    const uint8_t *aside = simulated_disk_bytes(&disk, ASIDE, &aside_size);
    cr_assert_not_null(aside);
    cr_expect(aside_size == size && memcmp(aside, bytes, size) == 0);
    identity_release(&identity, &disk.disk);
    cr_expect_eq(take(&identity, 100), IDENTITY_TAKEN);
    cr_expect(has_id(&identity, 99));
    identity_release(&identity, &disk.disk);
    cr_expect_not_null(simulated_disk_bytes(&disk, FILE_NAME, &kept_size));
    end();
}

/* The bytes of a good file, with a checkpoint noted. */
static size_t good_file(uint8_t bytes[512]) {
    struct identity identity;
    size_t size;
    begin();
    take(&identity, 1);
    identity_raise(&identity, &disk.disk, 41);
    identity_note_checkpoint(&identity, &disk.disk);
    identity_release(&identity, &disk.disk);
    const uint8_t *data = simulated_disk_bytes(&disk, FILE_NAME, &size);
    cr_assert(size > 0 && size < 512);
    memcpy(bytes, data, size);
    end();
    return size;
}

Test(identity, a_file_cut_anywhere_is_set_aside_and_another_node_begins) {
    uint8_t bytes[512];
    size_t size = good_file(bytes);
    for (size_t cut = 0; cut < size; cut++)
        must_be_replaced(bytes, cut);
}

Test(identity, a_file_with_any_bit_changed_is_set_aside_and_another_node_begins) {
    uint8_t bytes[512];
    size_t size = good_file(bytes);
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        must_be_replaced(bytes, size);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

Test(identity, bytes_behind_the_end_and_other_files_are_no_identity) {
    uint8_t bytes[4096] = {0};
    size_t size = good_file(bytes);
    bytes[size] = '\n';
    must_be_replaced(bytes, size + 1);
    must_be_replaced(bytes, sizeof bytes);
    must_be_replaced((const uint8_t *)"REDIS0010", 9);
}

static void with_check(char *text, size_t capacity) {
    size_t size = strlen(text);
    snprintf(text + size, capacity - size, "check %016" PRIx64 "\n", checksum_bytes(text, size));
}

Test(identity, a_right_check_does_not_make_wrong_lines_right) {
    static const char *const wrong[] = {
        "redis-kv node 1\nid 0102030405060708090a0b0c0d0e0f1011121314\nincarnation 0\ncheckpoint no\n",
        "redis-kv node 1\nid 0102030405060708090a0b0c0d0e0f1011121314\nincarnation 01\ncheckpoint no\n",
        "redis-kv node 1\nid 0102030405060708090a0b0c0d0e0f1011121314\nincarnation 18446744073709551615\ncheckpoint no\n",
        "redis-kv node 1\nid 0102030405060708090a0b0c0d0e0f1011121314\nincarnation 18446744073709551617\ncheckpoint no\n",
        "redis-kv node 1\nid 0102030405060708090a0b0c0d0e0f1011121314\nincarnation 1\ncheckpoint perhaps\n",
        "redis-kv node 1\nid 0102030405060708090A0b0c0d0e0f1011121314\nincarnation 1\ncheckpoint no\n",
        "redis-kv node 1\nid 0102030405060708090a0b0c0d0e0f10111213\nincarnation 1\ncheckpoint no\n",
        "redis-kv node 1\nid 0102030405060708090a0b0c0d0e0f1011121314\nincarnation 1",
        "redis-kv node 1\n",
        "",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s", wrong[i]);
        with_check(text, sizeof text);
        must_be_replaced((const uint8_t *)text, strlen(text));
    }
}

Test(identity, a_file_of_a_later_version_stays_and_this_start_is_nobody) {
    char text[512] = "redis-kv node 2\nid and other things\n";
    struct identity identity;
    size_t size;
    int error;
    with_check(text, sizeof text);
    begin();
    simulated_disk_put(&disk, FILE_NAME, text, strlen(text));
    cr_expect_eq(take_on(&disk, &identity, 5, &error), IDENTITY_NOT_KEPT);
    cr_expect_eq(error, ENOTSUP);
    cr_expect(has_id(&identity, 5) && !identity.is_kept);
    const uint8_t *bytes = simulated_disk_bytes(&disk, FILE_NAME, &size);
    cr_assert(bytes != NULL && size == strlen(text));
    cr_expect_eq(memcmp(bytes, text, size), 0);
    identity_release(&identity, &disk.disk);
    end();
}

/* A disk that takes nothing; has_file: there is an identity of node 1, with a checkpoint. */
static void must_not_be_kept(struct disk_faults faults, bool has_file, int expected) {
    struct identity identity;
    uint8_t before[512];
    size_t size = has_file ? good_file(before) : 0, size_after;
    int error = 0;
    begin();
    if (has_file)
        simulated_disk_put(&disk, FILE_NAME, before, size);
    disk.faults = faults;
    cr_expect_eq(take_on(&disk, &identity, 5, &error), IDENTITY_NOT_KEPT);
    cr_expect_eq(error, expected, "%s", strerror(error));
    cr_expect(has_id(&identity, 5) && !identity.is_kept);
    cr_expect_eq(identity.actor.incarnation, 1);
    cr_expect_eq(identity.has_checkpoint, has_file && !faults.is_forbidden);
    cr_expect_eq(identity_raise(&identity, &disk.disk, 3), 0);
    cr_expect_eq(identity.actor.incarnation, 4);
    cr_expect_eq(identity_note_checkpoint(&identity, &disk.disk), 0);
    const uint8_t *after = simulated_disk_bytes(&disk, FILE_NAME, &size_after);
    cr_expect_eq(after != NULL, has_file);
    cr_expect(size_after == size && (size == 0 || memcmp(before, after, size) == 0));
    identity_release(&identity, &disk.disk);
    end();
}

Test(identity, on_a_disk_that_takes_nothing_each_start_is_a_node_of_its_own) {
    for (unsigned has_file = 0; has_file < 2; has_file++) {
        must_not_be_kept((struct disk_faults){.is_read_only = true}, has_file, EROFS);
        must_not_be_kept((struct disk_faults){.is_forbidden = true}, has_file, EACCES);
        must_not_be_kept((struct disk_faults){.has_room_left = true, .room_bytes = 20}, has_file, ENOSPC);
        must_not_be_kept((struct disk_faults){.has_room_left = true}, has_file, ENOSPC);
    }
}

Test(identity, a_name_that_leaves_no_room_for_endings_is_refused) {
    char name[300];
    uint8_t id[NODE_ID_SIZE] = {1};
    struct identity identity;
    int error = 0;
    begin();
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    cr_expect_eq(identity_take(&identity, &disk.disk, name, id, &error), IDENTITY_NOT_KEPT);
    cr_expect_eq(error, ENAMETOOLONG);
    identity_release(&identity, &disk.disk);
    name[224] = '\0';
    cr_expect_eq(identity_take(&identity, &disk.disk, name, id, &error), IDENTITY_NEW);
    identity_release(&identity, &disk.disk);
    cr_expect_eq(identity_take(&identity, &disk.disk, name, id, &error), IDENTITY_TAKEN);
    identity_release(&identity, &disk.disk);
    end();
}

Test(identity, what_was_seen_of_it_elsewhere_is_its_past) {
    struct identity identity;
    begin();
    take(&identity, 1);
    uint64_t operations = disk.operations;
    cr_expect_eq(identity_raise(&identity, &disk.disk, 0), 0);
    cr_expect_eq(identity.actor.incarnation, 1);
    cr_expect_eq(disk.operations, operations);
    cr_expect_eq(identity_raise(&identity, &disk.disk, 1), 0);
    cr_expect_eq(identity.actor.incarnation, 2);
    cr_expect_eq(identity_raise(&identity, &disk.disk, 70), 0);
    cr_expect_eq(identity.actor.incarnation, 71);
    cr_expect_eq(identity_raise(&identity, &disk.disk, UINT64_MAX), ERANGE);
    cr_expect_eq(identity_raise(&identity, &disk.disk, UINT64_MAX - 1), ERANGE);
    cr_expect_eq(identity.actor.incarnation, 71);
    identity_release(&identity, &disk.disk);
    take(&identity, 2);
    cr_expect(has_id(&identity, 1));
    cr_expect_eq(identity.actor.incarnation, 72);
    identity_release(&identity, &disk.disk);
    end();
}

Test(identity, a_complete_checkpoint_is_noted_once_and_for_all_starts) {
    struct identity identity;
    begin();
    take(&identity, 1);
    cr_expect_eq(identity_note_checkpoint(&identity, &disk.disk), 0);
    uint64_t operations = disk.operations;
    cr_expect_eq(identity_note_checkpoint(&identity, &disk.disk), 0);
    cr_expect_eq(disk.operations, operations);
    for (uint64_t start = 2; start < 5; start++) {
        identity_release(&identity, &disk.disk);
        take(&identity, 9);
        cr_expect(identity.has_checkpoint);
        cr_expect_eq(identity.actor.incarnation, start);
    }
    identity_release(&identity, &disk.disk);
    end();
}

/* A life: the highest incarnation that it could have written with. */
struct life {
    uint64_t taken;
    bool has_checkpoint;
};

static void note_life(struct life *life, const struct identity *identity) {
    if (identity->is_kept && has_id(identity, 1) && identity->actor.incarnation > life->taken)
        life->taken = identity->actor.incarnation;
    life->has_checkpoint |= identity->is_kept && identity->has_checkpoint;
}

static void live(struct simulated_disk *where, struct life *life) {
    struct identity identity;
    int error;
    for (unsigned start = 0; start < 2; start++) {
        take_on(where, &identity, 1, &error);
        note_life(life, &identity);
        identity_raise(&identity, &where->disk, life->taken + 3);
        note_life(life, &identity);
        identity_note_checkpoint(&identity, &where->disk);
        note_life(life, &identity);
        identity_release(&identity, &where->disk);
    }
}

/* The next start without faults. */
static void must_go_on(struct simulated_disk *where, const struct life *life, uint64_t operation) {
    struct identity identity;
    int error;
    where->faults = (struct disk_faults){0};
    enum identity_status status = take_on(where, &identity, 1, &error);
    cr_expect(status == IDENTITY_TAKEN || (status == IDENTITY_NEW && life->taken == 0),
              "operation %" PRIu64 ": status %d", operation, status);
    cr_expect(has_id(&identity, 1));
    cr_expect_gt(identity.actor.incarnation, life->taken, "operation %" PRIu64, operation);
    cr_expect(identity.has_checkpoint || !life->has_checkpoint, "operation %" PRIu64, operation);
    identity_release(&identity, &where->disk);
}

struct watch {
    struct rng rng;
    const struct life *life;
    uint64_t crashes;
};

static void crash_here(void *context, enum disk_operation operation, const char *name) {
    struct watch *watch = context;
    (void)operation, (void)name;
    for (unsigned draw = 0; draw < 40; draw++) {
        struct simulated_disk after;
        simulated_disk_crash(&disk, &after, &watch->rng);
        must_go_on(&after, watch->life, disk.operations);
        /* And the power goes once more in that start. */
        after.faults.stop_at = after.operations + chance_between(&watch->rng, 1, 12);
        struct life life = *watch->life;
        live(&after, &life);
        struct simulated_disk later;
        simulated_disk_crash(&after, &later, &watch->rng);
        must_go_on(&later, &life, disk.operations);
        simulated_disk_release(&later);
        simulated_disk_release(&after);
        watch->crashes++;
    }
}

Test(identity, lost_power_between_any_two_operations_never_brings_an_incarnation_back) {
    struct life life = {0};
    struct watch watch = {.life = &life};
    begin();
    rng_init(&watch.rng, 5);
    disk.observe = crash_here;
    disk.observer = &watch;
    live(&disk, &life);
    cr_expect_gt(watch.crashes, 1000);
    cr_expect_gt(life.taken, 5);
    disk.observe = NULL;
    end();
}

Test(identity, an_operation_that_fails_never_brings_an_incarnation_back) {
    static const int errors[] = {EIO, ENOSPC, EACCES};
    uint64_t failed = 0, operations;
    begin();
    struct life whole = {0};
    live(&disk, &whole);
    operations = disk.operations;
    end();
    for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++)
        for (uint64_t fail_for = 1; fail_for < 4; fail_for++)
            for (uint64_t seed = 0; seed < 8; seed++)
                for (uint64_t at = 1; at <= operations; at++, failed++) {
                    struct life life = {0};
                    struct rng rng;
                    rng_init(&rng, seed);
                    mem = (struct mem){0};
                    simulated_disk_init(&disk, &mem, seed);
                    disk.faults =
                        (struct disk_faults){.fail_at = at, .fail_for = fail_for, .fail_error = errors[i]};
                    live(&disk, &life);
                    cr_expect_null(disk.open_files, "operation %" PRIu64 " leaves a file open", at);
                    struct simulated_disk after;
                    simulated_disk_crash(&disk, &after, &rng);
                    must_go_on(&after, &life, at);
                    must_go_on(&disk, &life, at);
                    simulated_disk_release(&after);
                    end();
                }
    cr_expect_gt(failed, 1000);
}

/* A second process that comes in at one operation of the first, and stays. */
struct intruder {
    uint64_t at;
    bool is_done;
    struct identity identity;
    enum identity_status status;
};

static void intrude(void *context, enum disk_operation operation, const char *name) {
    struct intruder *intruder = context;
    int error;
    (void)operation, (void)name;
    if (intruder->is_done || disk.operations + 1 != intruder->at)
        return;
    intruder->is_done = true;
    disk.observe = NULL;
    intruder->status = take_on(&disk, &intruder->identity, 2, &error);
    disk.observe = intrude;
}

/* Returns whether the intruder came in time. `kept_starts`: starts before the two. */
static bool race(uint64_t at, unsigned earlier_starts, bool is_damaged) {
    struct identity first, third;
    struct intruder intruder = {.at = 0};
    struct rng rng;
    int error;
    rng_init(&rng, at);
    begin();
    for (unsigned i = 0; i < earlier_starts; i++) {
        take(&first, 1);
        identity_release(&first, &disk.disk);
    }
    if (is_damaged)
        simulated_disk_damage(&disk, FILE_NAME, DAMAGE_BIT, &rng);
    disk.observe = intrude;
    disk.observer = &intruder;
    intruder.at = disk.operations + at;
    enum identity_status status = take_on(&disk, &first, 1, &error);
    disk.observe = NULL;
    if (!intruder.is_done) {
        identity_release(&first, &disk.disk);
        end();
        return false;
    }
    cr_expect(!is_same_writer(&first, &intruder.identity), "at %" PRIu64, at);
    cr_expect(first.is_kept || status == IDENTITY_BUSY, "at %" PRIu64 ": status %d", at, status);
    cr_expect(intruder.identity.is_kept || intruder.status == IDENTITY_BUSY, "at %" PRIu64, at);
    cr_expect(first.is_kept + intruder.identity.is_kept == 1, "at %" PRIu64 ": %d and %d are kept", at,
              first.is_kept, intruder.identity.is_kept);
    /* Both live: a third one is nobody. */
    cr_expect_eq(take(&third, 3), IDENTITY_BUSY, "at %" PRIu64, at);
    identity_release(&third, &disk.disk);
    identity_release(&first, &disk.disk);
    identity_release(&intruder.identity, &disk.disk);
    const struct identity *kept = first.is_kept ? &first : &intruder.identity;
    cr_expect_eq(take(&third, 3), IDENTITY_TAKEN, "at %" PRIu64, at);
    cr_expect_eq(memcmp(third.actor.node_id, kept->actor.node_id, NODE_ID_SIZE), 0);
    cr_expect_eq(third.actor.incarnation, kept->actor.incarnation + 1);
    identity_release(&third, &disk.disk);
    end();
    return true;
}

Test(identity, of_two_processes_that_start_together_one_is_the_node_and_one_is_busy) {
    uint64_t races = 0;
    for (unsigned earlier_starts = 0; earlier_starts < 3; earlier_starts++)
        for (unsigned is_damaged = 0; is_damaged <= (earlier_starts != 0); is_damaged++)
            for (uint64_t at = 1; race(at, earlier_starts, is_damaged); at++)
                races++;
    cr_expect_gt(races, 40);
}

/* Somebody who starts while another process changes its own file. */
Test(identity, a_process_that_changes_its_file_stays_the_only_one) {
    for (uint64_t at = 1;; at++) {
        struct identity first;
        struct intruder intruder = {.at = 0};
        begin();
        take(&first, 1);
        disk.observe = intrude;
        disk.observer = &intruder;
        intruder.at = disk.operations + at;
        int raised = identity_raise(&first, &disk.disk, 5),
            noted = identity_note_checkpoint(&first, &disk.disk);
        disk.observe = NULL;
        if (intruder.is_done) {
            cr_expect_eq(intruder.status, IDENTITY_BUSY, "at %" PRIu64, at);
            identity_release(&intruder.identity, &disk.disk);
        }
        cr_expect_eq(raised, 0);
        cr_expect_eq(noted, 0);
        identity_release(&first, &disk.disk);
        end();
        if (!intruder.is_done)
            break;
    }
}

/* The first process, which tries once more what failed at its very end while somebody else starts. */
struct retry {
    uint64_t at;
    bool is_done;
    struct identity identity;
};

static void try_again(void *context, enum disk_operation operation, const char *name) {
    struct retry *retry = context;
    (void)operation, (void)name;
    if (retry->is_done || disk.operations + 1 != retry->at)
        return;
    retry->is_done = true;
    disk.observe = NULL;
    cr_expect_eq(identity_note_checkpoint(&retry->identity, &disk.disk), 0);
    disk.observe = try_again;
}

Test(identity, a_change_that_is_tried_again_lets_nobody_in) {
    for (uint64_t at = 1;; at++) {
        struct retry retry = {.at = 0};
        struct identity second;
        begin();
        take(&retry.identity, 1);
        /* The last operation of it: the names are not durable. */
        uint64_t operations = disk.operations;
        cr_expect_eq(identity_raise(&retry.identity, &disk.disk, 1), 0);
        uint64_t needed = disk.operations - operations;
        disk.faults = (struct disk_faults){.fail_at = disk.operations + needed, .fail_error = EIO};
        cr_expect_eq(identity_note_checkpoint(&retry.identity, &disk.disk), EIO);
        cr_expect(!retry.identity.has_checkpoint);
        disk.observe = try_again;
        disk.observer = &retry;
        retry.at = disk.operations + at;
        cr_expect_eq(take(&second, 2), IDENTITY_BUSY, "at %" PRIu64, at);
        disk.observe = NULL;
        identity_release(&second, &disk.disk);
        identity_release(&retry.identity, &disk.disk);
        end();
        if (!retry.is_done)
            break;
    }
}
