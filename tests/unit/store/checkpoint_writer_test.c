/* checkpoint_writer_test.c - saving: what is in the file, in which order things are made durable, and what a failure leaves.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "checkpoint_stage.h"
#include "store/checkpoint_format.h"
#include "store/floors.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct stage stage;

static void set_up(void) {
    stage_open(&stage);
}

static void tear_down(void) {
    stage_close(&stage);
}

TestSuite(checkpoint_writer, .init = set_up, .fini = tear_down);

Test(checkpoint_writer, saves_what_a_loader_finds) {
    stage_fill(&stage, 5000);
    struct checkpoint_progress progress = stage_save(&stage);
    cr_assert_eq(progress.state, CHECKPOINT_DONE);
    cr_assert_eq(progress.records, 5000);
    cr_assert_eq(progress.keys_total, 5000);
    cr_assert_eq(progress.keys_done, 5000);
    cr_assert_eq(progress.stored_bytes, memory_disk_find(&stage.folder, "dump")->size);
    stage_restart(&stage);
    cr_assert_eq(stage_load(&stage, true, false).state, CHECKPOINT_LOADED);
    stage_is_filled(&stage, 5000);
}

Test(checkpoint_writer, makes_the_file_durable_before_it_gets_its_name) {
    stage_fill(&stage, 10);
    stage_save(&stage);
    const char *log = stage.folder.log;
    const char *sync = strstr(log, "sync dump.temporary"),
               *rename = strstr(log, "rename dump.temporary dump");
    const char *names = strstr(log, "sync_names");
    cr_assert(sync != NULL && rename != NULL && names != NULL && sync < rename && rename < names, "%s", log);
}

Test(checkpoint_writer, keeps_the_checkpoint_before) {
    stage_fill(&stage, 10);
    stage_save(&stage);
    stage_put(&stage, 0, "later", "x", 1, EXPIRY_NONE);
    stage_save(&stage);
    memory_disk_put(&stage.folder, "dump", "", 0);
    stage_restart(&stage);
    struct checkpoint_load_progress progress = stage_load(&stage, true, false);
    cr_assert_eq(progress.state, CHECKPOINT_LOADED);
    cr_assert(progress.from_previous);
    stage_is_filled(&stage, 10);
}

Test(checkpoint_writer, takes_the_image_at_its_begin) {
    stage_fill(&stage, 3000);
    struct checkpoint_writer *writer = stage_begin_save(&stage);
    checkpoint_writer_step(writer, 50);
    for (unsigned i = 0; i < 3000; i += 2) {
        char key[32];
        snprintf(key, sizeof key, "key:%u", i);
        stage_put(&stage, 0, key, "overwritten meanwhile", 21, EXPIRY_NONE);
        stage_put(&stage, 0, key + 1, "new", 3, EXPIRY_NONE);
    }
    struct checkpoint_progress progress = stage_finish_save(&stage, writer);
    cr_assert_eq(progress.state, CHECKPOINT_DONE);
    cr_assert_gt(progress.copied_bytes, 0);
    stage_restart(&stage);
    cr_assert_eq(stage_load(&stage, true, false).state, CHECKPOINT_LOADED);
    stage_is_filled(&stage, 3000);
}

Test(checkpoint_writer, waits_for_the_helper_while_all_blocks_are_out) {
    static char value[4000];
    char key[32];
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "key:%u", i);
        stage_put(&stage, 0, key, value, sizeof value, EXPIRY_NONE);
    }
    size_t before = stage.mem.used_bytes;
    struct checkpoint_writer *writer = stage_begin_save(&stage);
    unsigned steps = 0;
    while (checkpoint_writer_step(writer, 100) == CHECKPOINT_WORKING && steps < 1000)
        steps++;
    cr_assert_eq(checkpoint_writer_progress(writer).state, CHECKPOINT_WAITING);
    cr_assert_lt(stage.mem.used_bytes - before,
                 (CHECKPOINT_POOL_BLOCKS + 2) * (CHECKPOINT_BLOCK_SIZE + CHECKPOINT_BLOCK_SIZE / 4));
    cr_assert_eq(stage_finish_save(&stage, writer).state, CHECKPOINT_DONE);
}

Test(checkpoint_writer, gives_up_where_writers_outrun_the_disk) {
    char *value = calloc(1, 60000);
    char key[32];
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "key:%u", i);
        stage_put(&stage, 0, key, value, 60000, EXPIRY_NONE);
    }
    struct checkpoint_writer *writer = stage_begin_save(&stage);
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "key:%u", i);
        stage_put(&stage, 0, key, value, 59000, EXPIRY_NONE);
    }
    struct checkpoint_progress progress = stage_finish_save(&stage, writer);
    cr_assert_eq(progress.state, CHECKPOINT_FAILED);
    cr_assert_str_eq(progress.failed_at, "keys change faster than the disk takes them");
    cr_assert_null(memory_disk_find(&stage.folder, "dump.temporary"));
    free(value);
}

Test(checkpoint_writer, leaves_nothing_behind_when_it_is_cancelled) {
    stage_fill(&stage, 3000);
    for (unsigned steps = 0; steps < 60; steps += 7) {
        struct checkpoint_writer *writer = stage_begin_save(&stage);
        for (unsigned i = 0; i < steps; i++)
            checkpoint_writer_step(writer, 50);
        stage_run_one(&stage);
        checkpoint_writer_cancel(writer);
        enum checkpoint_state state = stage_finish_save(&stage, writer).state;
        bool is_there = memory_disk_find(&stage.folder, "dump") != NULL;
        cr_assert_eq(state == CHECKPOINT_DONE, is_there);
        cr_assert_null(memory_disk_find(&stage.folder, "dump.temporary"));
    }
}

Test(checkpoint_writer, keeps_the_old_file_whatever_operation_fails) {
    stage_fill(&stage, 2000);
    stage_save(&stage);
    stage_put(&stage, 0, "later", "x", 1, EXPIRY_NONE);
    unsigned before = stage.folder.operations;
    struct memory_disk kept;
    memory_disk_copy(&kept, &stage.folder);
    stage_save(&stage);
    unsigned operations = stage.folder.operations - before;
    for (unsigned n = 1; n <= operations; n++) {
        memory_disk_release(&stage.folder);
        memory_disk_copy(&stage.folder, &kept);
        stage.folder.fail_in = n;
        stage.folder.fail_error = n % 2 == 0 ? ENOSPC : EIO;
        struct checkpoint_progress progress = stage_save(&stage);
        if (progress.state == CHECKPOINT_FAILED) {
            cr_assert_eq(progress.error, stage.folder.fail_error, "operation %u", n);
            cr_assert_not_null(progress.failed_at);
        }
        struct stage after;
        stage_open(&after);
        memory_disk_release(&after.folder);
        memory_disk_copy(&after.folder, &stage.folder);
        cr_assert_eq(stage_load(&after, true, false).state, CHECKPOINT_LOADED, "operation %u", n);
        uint64_t keys = keyspace_size(after.keyspace, 0);
        cr_assert(keys == 2000 || keys == 2001, "operation %u left %llu keys", n, (unsigned long long)keys);
        if (progress.state == CHECKPOINT_DONE)
            cr_assert_eq(keys, 2001);
        stage_close(&after);
    }
    memory_disk_release(&kept);
}

Test(checkpoint_writer, fails_softly_at_every_allocation) {
    stage_fill(&stage, 500);
    static char value[100000];
    stage_put(&stage, 0, "long", value, sizeof value, EXPIRY_NONE);
    bool has_succeeded = false;
    for (uint64_t n = 1; !has_succeeded; n++) {
        cr_assert_lt(n, 1000);
        stage.mem.fuse = n;
        struct checkpoint_writer *writer = stage_begin_save(&stage);
        if (writer != NULL) {
            enum checkpoint_state state = stage_finish_save(&stage, writer).state;
            has_succeeded = state == CHECKPOINT_DONE && stage.mem.fuse != 0;
        }
        stage.mem.fuse = 0;
    }
}

/* Floors and flush counters are of slots where others have copies. */
static void in_company(void) {
    cr_assert(ledger_attach(stage.keyspace));
    stage.keyspace->is_alone = false;
}

Test(checkpoint_writer, keeps_what_is_known_of_slots) {
    in_company();
    struct slot_set slots = {{0}};
    slots.bits[1] = 0xf0; /* 68 to 71 */
    keyspace_flush_slots(stage.keyspace, &slots, (uint64_t)STAGE_NOW_MS << 16);
    uint64_t floor = (uint64_t)(STAGE_NOW_MS - 100000) << 16;
    cr_assert(floors_raise(stage.keyspace, 70, 100, floor));
    cr_assert(floors_raise(stage.keyspace, SLOT_COUNT - 1, SLOT_COUNT - 1, floor - 5 * FLOOR_STEP));
    stage_fill(&stage, 50);
    cr_assert_eq(stage_save(&stage).state, CHECKPOINT_DONE);
    stage_restart(&stage);
    in_company();
    cr_assert_eq(stage_load(&stage, true, false).state, CHECKPOINT_LOADED);
    const struct ledger *ledger = stage.keyspace->ledger;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        cr_assert_eq(ledger->flush_counters[slot],
                     slot >= 68 && slot <= 71 ? (uint64_t)STAGE_NOW_MS << 16 : 0, "slot %u", slot);
        uint64_t expected = slot >= 70 && slot <= 100 ? floor
                            : slot == SLOT_COUNT - 1  ? floor - 5 * FLOOR_STEP
                                                      : 0;
        cr_assert_eq(ledger->floors.counters[slot], floors_round(expected), "slot %u", slot);
    }
    stage_is_filled(&stage, 50);
    /* Alone, they mean nothing. */
    stage_restart(&stage);
    cr_assert_eq(stage_load(&stage, true, false).state, CHECKPOINT_LOADED);
    stage_is_filled(&stage, 50);
}

Test(checkpoint_writer, keeps_something_else_of_each_slot) {
    in_company();
    uint64_t floor = (uint64_t)(STAGE_NOW_MS - 100000000) << 16;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        cr_assert(floors_raise(stage.keyspace, slot, slot, floor + slot * FLOOR_STEP));
    cr_assert_eq(stage_save(&stage).state, CHECKPOINT_DONE);
    stage_restart(&stage);
    in_company();
    cr_assert_eq(stage_load(&stage, true, false).state, CHECKPOINT_LOADED);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        cr_assert_eq(stage.keyspace->ledger->floors.counters[slot], floors_round(floor + slot * FLOOR_STEP));
}
