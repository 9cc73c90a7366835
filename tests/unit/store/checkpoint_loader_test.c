/* checkpoint_loader_test.c - loading: which file is taken, what is said about the others, and when the answer is no.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/checksum.h"
#include "checkpoint_stage.h"
#include "store/checkpoint_format.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

static struct stage stage;

static void set_up(void) {
    stage_open(&stage);
}

static void tear_down(void) {
    stage_close(&stage);
}

TestSuite(checkpoint_loader, .init = set_up, .fini = tear_down);

static void flip(const char *name, size_t byte) {
    const struct memory_file *file = memory_disk_find(&stage.folder, name);
    cr_assert_not_null(file);
    uint8_t *copy = malloc(file->size);
    memcpy(copy, file->data, file->size);
    copy[byte % file->size] ^= 0x10;
    memory_disk_put(&stage.folder, name, copy, file->size);
    free(copy);
}

/* Two generations: 100 keys in the previous one, 200 in the newest one. */
static void save_twice(void) {
    stage_fill(&stage, 100);
    stage_save(&stage);
    stage_fill(&stage, 200);
    stage_save(&stage);
    stage_restart(&stage);
}

Test(checkpoint_loader, finds_nothing_where_there_need_be_nothing) {
    cr_assert_eq(stage_load(&stage, false, false).state, CHECKPOINT_LOAD_NOTHING);
    cr_assert_str_empty(stage.said);
}

Test(checkpoint_loader, brings_back_values_expiries_databases_and_long_records) {
    char *value = malloc(700000);
    for (size_t i = 0; i < 700000; i++)
        value[i] = (char)(i * 2654435761u >> 13);
    stage_put(&stage, 0, "long", value, 700000, STAGE_NOW_MS + 5000);
    stage_put(&stage, 0, "empty", "", 0, EXPIRY_NONE);
    stage_put(&stage, 9, "elsewhere", "9", 1, STAGE_NOW_MS + 1);
    stage_put(&stage, 9, "gone", "9", 1, STAGE_NOW_MS + 10);
    stage_put(&stage, 15, "last", value, 65536, EXPIRY_NONE);
    uint64_t counter = stage_find(&stage, 0, "empty")->counter;
    cr_assert_eq(stage_save(&stage).records, 5);
    stage_restart(&stage);
    keyspace_set_time(stage.keyspace, STAGE_NOW_MS + 5);
    struct checkpoint_load_progress progress = stage_load(&stage, true, false);
    cr_assert_eq(progress.state, CHECKPOINT_LOADED);
    cr_assert_eq(progress.records_loaded, 4);
    cr_assert_eq(progress.records_expired, 1);
    cr_assert_eq(progress.read_bytes, progress.file_bytes - CHECKPOINT_FOOTER_SIZE);
    const struct record *record = stage_find(&stage, 0, "long");
    cr_assert_eq(record_value_size(record), 700000);
    cr_assert_eq(memcmp(record_value_const(record), value, 700000), 0);
    cr_assert_eq(record_expiry_ms(record), STAGE_NOW_MS + 5000);
    cr_assert_eq(record_value_size(stage_find(&stage, 0, "empty")), 0);
    cr_assert_eq(stage_find(&stage, 0, "empty")->counter, counter);
    cr_assert_null(stage_find(&stage, 9, "elsewhere"));
    cr_assert_not_null(stage_find(&stage, 9, "gone"));
    cr_assert_eq(record_value_size(stage_find(&stage, 15, "last")), 65536);
    cr_assert_eq(stage.keyspace->counters.changes, 0, "loading is no change");
    free(value);
}

Test(checkpoint_loader, takes_the_newest) {
    save_twice();
    struct checkpoint_load_progress progress = stage_load(&stage, true, false);
    cr_assert_eq(progress.state, CHECKPOINT_LOADED);
    cr_assert_not(progress.from_previous);
    stage_is_filled(&stage, 200);
}

Test(checkpoint_loader, sets_a_damaged_file_aside_and_takes_the_previous_one) {
    save_twice();
    size_t size = memory_disk_find(&stage.folder, "dump")->size;
    flip("dump", size - CHECKPOINT_FOOTER_SIZE - 100);
    cr_assert_eq(stage_load(&stage, true, false).state, CHECKPOINT_LOADED);
    stage_is_filled(&stage, 100);
    cr_assert_not_null(memory_disk_find(&stage.folder, "dump.damaged"));
    cr_assert_null(memory_disk_find(&stage.folder, "dump"));
    cr_assert_not_null(strstr(stage.said, "dump is damaged: "), "%s", stage.said);
    cr_assert_not_null(strstr(stage.said, "dump is set aside as dump.damaged"), "%s", stage.said);
    cr_assert_not_null(strstr(stage.said, "dump.previous"), "%s", stage.said);
}

Test(checkpoint_loader, takes_the_previous_one_where_the_newest_cannot_be_read) {
    save_twice();
    stage.folder.fail_in = 3;
    stage.folder.fail_error = EIO;
    cr_assert_eq(stage_load(&stage, true, false).state, CHECKPOINT_LOADED);
    stage_is_filled(&stage, 100);
}

Test(checkpoint_loader, refuses_where_no_file_is_valid_and_leaves_them_where_they_are) {
    save_twice();
    flip("dump", 150);
    flip("dump.previous", 150);
    for (unsigned i = 0; i < 2; i++) {
        struct checkpoint_load_progress progress = stage_load(&stage, false, false);
        cr_assert_eq(progress.state, CHECKPOINT_LOAD_REFUSED);
        cr_assert_not_null(strstr(progress.problem, "--start-empty"), "%s", progress.problem);
        cr_assert_not_null(memory_disk_find(&stage.folder, "dump"));
    }
    cr_assert_eq(stage_load(&stage, true, true).state, CHECKPOINT_LOAD_NOTHING);
    cr_assert_not_null(memory_disk_find(&stage.folder, "dump.damaged"));
    cr_assert_not_null(memory_disk_find(&stage.folder, "dump.previous.damaged") != NULL
                           ? memory_disk_find(&stage.folder, "dump.previous.damaged")
                           : memory_disk_find(&stage.folder, "dump.damaged.2"));
    cr_assert_eq(keyspace_size(stage.keyspace, 0), 0);
}

Test(checkpoint_loader, refuses_where_the_files_of_an_old_node_are_gone) {
    struct checkpoint_load_progress progress = stage_load(&stage, true, false);
    cr_assert_eq(progress.state, CHECKPOINT_LOAD_REFUSED);
    cr_assert_not_null(strstr(progress.problem, "--start-empty"), "%s", progress.problem);
    cr_assert_eq(stage_load(&stage, true, true).state, CHECKPOINT_LOAD_NOTHING);
}

Test(checkpoint_loader, refuses_a_later_format_and_touches_nothing) {
    uint8_t header[CHECKPOINT_HEADER_SIZE(0)];
    struct checkpoint_header made = {.version = CHECKPOINT_VERSION};
    checkpoint_header_write(header, &made, NULL);
    header[17] = CHECKPOINT_VERSION + 1;
    /* The checksum of a later version is right, too. */
    uint64_t check = checksum_bytes(header + 8, sizeof header - 16);
    for (unsigned i = 0; i < 8; i++)
        header[sizeof header - 8 + i] = (uint8_t)(check >> 8 * i);
    memory_disk_put(&stage.folder, "dump", header, sizeof header);
    struct checkpoint_load_progress progress = stage_load(&stage, true, true);
    cr_assert_eq(progress.state, CHECKPOINT_LOAD_REFUSED);
    cr_assert_not_null(strstr(progress.problem, "later"), "%s", progress.problem);
    cr_assert_not_null(memory_disk_find(&stage.folder, "dump"));
}

Test(checkpoint_loader, takes_a_file_of_the_first_format) {
    stage_fill(&stage, 100);
    stage_save(&stage);
    const struct memory_file *file = memory_disk_find(&stage.folder, "dump");
    size_t file_size = file->size, size = checkpoint_frame_size(file->data);
    uint8_t *bytes = malloc(file_size);
    memcpy(bytes, file->data, file_size);
    cr_assert_eq(bytes[17], CHECKPOINT_VERSION);
    bytes[17] = 1;
    uint64_t check = checksum_bytes(bytes + 8, size - 16);
    for (unsigned i = 0; i < 8; i++)
        bytes[size - 8 + i] = (uint8_t)(check >> 8 * i);
    memory_disk_put(&stage.folder, "dump", bytes, file_size);
    free(bytes);
    stage_restart(&stage);
    cr_assert_eq(stage_load(&stage, true, false).state, CHECKPOINT_LOADED);
    stage_is_filled(&stage, 100);
}

Test(checkpoint_loader, refuses_a_file_that_may_not_be_read) {
    save_twice();
    stage.folder.fail_in = 1;
    stage.folder.fail_error = EACCES;
    cr_assert_eq(stage_load(&stage, true, false).state, CHECKPOINT_LOAD_REFUSED);
    cr_assert_not_null(memory_disk_find(&stage.folder, "dump"));
}

/* Version 9, one string key, no checksum. */
static const char rdb_file[] = "REDIS0009\xfe\x00\x00\x03one\x05value\xff\0\0\0\0\0\0\0\0";
static const char rdb_list[] =
    "REDIS0009\xfe\x00\x00\x03one\x05value\x01\x04list\x01\x01x\xff\0\0\0\0\0\0\0\0";

Test(checkpoint_loader, imports_an_rdb_file_and_the_first_checkpoint_keeps_it) {
    memory_disk_put(&stage.folder, "dump", rdb_file, sizeof rdb_file - 1);
    struct checkpoint_load_progress progress = stage_load(&stage, false, false);
    cr_assert_eq(progress.state, CHECKPOINT_LOADED, "%s", progress.problem);
    cr_assert(progress.from_rdb);
    cr_assert_eq(record_value_size(stage_find(&stage, 0, "one")), 5);
    cr_assert_eq(stage.keyspace->counters.changes, 1, "what is imported is still to be saved");
    cr_assert_eq(stage_save(&stage).state, CHECKPOINT_DONE);
    cr_assert_eq(memory_disk_find(&stage.folder, "dump.redis")->size, sizeof rdb_file - 1);
    stage_restart(&stage);
    cr_assert_not(stage_load(&stage, true, false).from_rdb);
    cr_assert_not_null(stage_find(&stage, 0, "one"));
}

Test(checkpoint_loader, imports_an_rdb_file_that_is_on_its_way_to_its_last_name) {
    memory_disk_put(&stage.folder, "dump.previous", rdb_file, sizeof rdb_file - 1);
    cr_assert_eq(stage_load(&stage, false, false).state, CHECKPOINT_LOADED);
    cr_assert_not_null(stage_find(&stage, 0, "one"));
}

Test(checkpoint_loader, refuses_an_rdb_file_with_values_that_it_cannot_hold) {
    memory_disk_put(&stage.folder, "dump", rdb_list, sizeof rdb_list - 1);
    struct checkpoint_load_progress progress = stage_load(&stage, false, false);
    cr_assert_eq(progress.state, CHECKPOINT_LOAD_REFUSED);
    cr_assert_not_null(strstr(progress.problem, "list"), "%s", progress.problem);
    memory_disk_put(&stage.folder, "dump", rdb_file, sizeof rdb_file - 12);
    cr_assert_eq(stage_load(&stage, false, false).state, CHECKPOINT_LOAD_REFUSED);
}

Test(checkpoint_loader, removes_what_was_never_finished) {
    memory_disk_put(&stage.folder, "dump.temporary", "half", 4);
    stage_load(&stage, false, false);
    cr_assert_null(memory_disk_find(&stage.folder, "dump.temporary"));
}

Test(checkpoint_loader, gives_up_when_it_is_cancelled) {
    save_twice();
    struct checkpoint_load_options options = {
        .keyspace = stage.keyspace, .disk = &stage.folder.disk, .queue = &stage.queue, .name = "dump"};
    for (unsigned steps = 0; steps < 12; steps++) {
        struct checkpoint_loader *loader = checkpoint_loader_new(&options);
        for (unsigned i = 0; i < steps; i++) {
            checkpoint_loader_step(loader, 10);
            stage_run_one(&stage);
        }
        checkpoint_loader_cancel(loader);
        enum checkpoint_load_state state;
        while ((state = checkpoint_loader_step(loader, 10)) == CHECKPOINT_LOAD_WORKING ||
               state == CHECKPOINT_LOAD_WAITING)
            stage_run_one(&stage);
        checkpoint_loader_free(loader);
        stage_restart(&stage);
        options.keyspace = stage.keyspace;
    }
}

Test(checkpoint_loader, fails_softly_at_every_allocation) {
    stage_fill(&stage, 300);
    static char value[100000];
    stage_put(&stage, 0, "long", value, sizeof value, EXPIRY_NONE);
    stage_save(&stage);
    stage_restart(&stage);
    struct checkpoint_load_options options = {
        .disk = &stage.folder.disk, .queue = &stage.queue, .name = "dump", .is_expected = true};
    enum checkpoint_load_state state = CHECKPOINT_LOAD_REFUSED;
    for (uint64_t n = 1; state != CHECKPOINT_LOADED; n++) {
        cr_assert_lt(n, 20000);
        stage.mem.fuse = n;
        options.keyspace = stage.keyspace;
        struct checkpoint_loader *loader = checkpoint_loader_new(&options);
        while (loader != NULL && ((state = checkpoint_loader_step(loader, 1000)) == CHECKPOINT_LOAD_WORKING ||
                                  state == CHECKPOINT_LOAD_WAITING))
            stage_run_one(&stage);
        stage.mem.fuse = 0;
        if (loader == NULL)
            continue;
        if (state == CHECKPOINT_LOADED) {
            cr_assert_eq(keyspace_size(stage.keyspace, 0), 301, "allocation %llu", (unsigned long long)n);
        } else {
            cr_assert_not_null(strstr(checkpoint_loader_progress(loader)->problem, "memory"));
            cr_assert_not_null(memory_disk_find(&stage.folder, "dump"), "what lacked memory is not damaged");
        }
        checkpoint_loader_free(loader);
        stage_restart(&stage);
    }
}
