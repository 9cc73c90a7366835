/* checkpoint_names_test.c - how generations change places, and what is left when that stops halfway.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/checkpoint_names.h"

#include "store/memory_disk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define RDB "REDIS0010 what Redis wrote"

static struct memory_disk world;
static struct checkpoint_names names;

static void set_up(void) {
    memory_disk_init(&world);
    cr_assert(checkpoint_names_init(&names, "dump.rdb"));
}

static void tear_down(void) {
    cr_assert_eq(world.open_files, 0);
    memory_disk_release(&world);
}

TestSuite(checkpoint_names, .init = set_up, .fini = tear_down);

static void put(struct memory_disk *disk, const char *name, const char *content) {
    memory_disk_put(disk, name, content, strlen(content));
}

static bool holds(const struct memory_disk *disk, const char *name, const char *content) {
    const struct memory_file *file = memory_disk_find(disk, name);
    return content == NULL ? file == NULL
                           : file != NULL && file->size == strlen(content) &&
                                 memcmp(file->data, content, file->size) == 0;
}

static int commit(struct memory_disk *disk) {
    return checkpoint_names_commit(&names, &disk->disk);
}

Test(checkpoint_names, a_name_has_its_endings_or_is_too_long) {
    cr_assert_str_eq(names.newest, "dump.rdb");
    cr_assert_str_eq(names.previous, "dump.rdb.previous");
    cr_assert_str_eq(names.temporary, "dump.rdb.temporary");
    char name[CHECKPOINT_NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    name[CHECKPOINT_NAME_MAX + 1] = 0;
    cr_assert_not(checkpoint_names_init(&names, name));
    name[CHECKPOINT_NAME_MAX] = 0;
    cr_assert(checkpoint_names_init(&names, name));
    cr_assert_eq(strlen(names.temporary), CHECKPOINT_NAME_MAX + strlen(".temporary"));
}

Test(checkpoint_names, the_longest_name_can_be_set_aside_many_times) {
    char name[CHECKPOINT_NAME_MAX + 1], set_aside[DISK_NAME_SIZE];
    memset(name, 'n', sizeof name);
    name[CHECKPOINT_NAME_MAX] = 0;
    cr_assert(checkpoint_names_init(&names, name));
    for (unsigned i = 1; i <= 12; i++) {
        put(&world, names.newest, "damaged");
        world.log[0] = 0;
        cr_assert_eq(checkpoint_names_set_aside(&names, &world.disk, names.newest, set_aside), 0);
        cr_assert(holds(&world, set_aside, "damaged"));
    }
    cr_assert_str_eq(set_aside + CHECKPOINT_NAME_MAX, ".damaged.12");
}

Test(checkpoint_names, the_first_checkpoint_takes_its_name) {
    put(&world, names.temporary, "first");
    cr_assert_eq(commit(&world), 0);
    cr_assert_str_eq(world.log, "rename dump.rdb.temporary dump.rdb; sync_names; ");
    cr_assert(holds(&world, names.newest, "first"));
    cr_assert(holds(&world, names.previous, NULL));
    cr_assert(holds(&world, names.temporary, NULL));
}

Test(checkpoint_names, the_newest_becomes_the_previous_before_another_takes_its_name) {
    put(&world, names.newest, "second");
    put(&world, names.previous, "first");
    put(&world, names.temporary, "third");
    cr_assert_eq(commit(&world), 0);
    cr_assert_str_eq(world.log,
                     "rename dump.rdb dump.rdb.previous; rename dump.rdb.temporary dump.rdb; sync_names; ");
    cr_assert(holds(&world, names.newest, "third"));
    cr_assert(holds(&world, names.previous, "second"));
    cr_assert(holds(&world, names.temporary, NULL));
}

Test(checkpoint_names, a_missing_newest_leaves_the_previous_where_it_is) {
    put(&world, names.previous, "first");
    put(&world, names.temporary, "third");
    cr_assert_eq(commit(&world), 0);
    cr_assert(holds(&world, names.newest, "third"));
    cr_assert(holds(&world, names.previous, "first"));
}

Test(checkpoint_names, an_rdb_file_is_kept_under_a_name_of_its_own) {
    put(&world, names.newest, RDB);
    put(&world, names.temporary, "first");
    cr_assert_eq(commit(&world), 0);
    cr_assert(holds(&world, names.newest, "first"));
    cr_assert(holds(&world, names.previous, NULL));
    cr_assert(holds(&world, "dump.rdb.redis", RDB));
    cr_assert_str_eq(world.log,
                     "rename dump.rdb dump.rdb.previous; rename dump.rdb.temporary dump.rdb; sync_names; "
                     "rename dump.rdb.previous dump.rdb.redis; sync_names; ");
}

Test(checkpoint_names, a_second_rdb_file_does_not_replace_the_first) {
    put(&world, "dump.rdb.redis", "REDIS0009 older");
    put(&world, names.newest, RDB);
    put(&world, names.temporary, "first");
    cr_assert_eq(commit(&world), 0);
    cr_assert(holds(&world, "dump.rdb.redis", "REDIS0009 older"));
    cr_assert(holds(&world, "dump.rdb.redis.2", RDB));
}

Test(checkpoint_names, an_rdb_file_that_an_interrupted_change_has_left_is_kept_too) {
    put(&world, names.previous, RDB);
    put(&world, names.newest, "first");
    put(&world, names.temporary, "second");
    cr_assert_eq(commit(&world), 0);
    cr_assert(holds(&world, "dump.rdb.redis", RDB));
    cr_assert(holds(&world, names.previous, "first"));
    cr_assert(holds(&world, names.newest, "second"));
}

Test(checkpoint_names, an_unreadable_begin_is_no_rdb_file) {
    put(&world, names.newest, "REDI");
    put(&world, names.temporary, "second");
    cr_assert_eq(commit(&world), 0);
    cr_assert(holds(&world, names.previous, "REDI"));
    memory_disk_release(&world);
    put(&world, names.newest, "first");
    put(&world, names.temporary, "second");
    world.fail_in = 2; /* reading it */
    cr_assert_eq(commit(&world), 0);
    cr_assert(holds(&world, names.previous, "first"));
    cr_assert(holds(&world, names.newest, "second"));
}

/* What people would find to load: a complete file under one of the two names. */
static bool has_generation(const struct memory_disk *disk, const char *newest_before, const char *new) {
    return holds(disk, names.newest, newest_before) || holds(disk, names.newest, new) ||
           holds(disk, names.previous, newest_before);
}

/* Lets the n-th operation and all behind it fail, for every n, as a crash does; then saves again without failures. */
static void expect_survival(const char *newest, const char *previous) {
    unsigned crashes = 0, failures = 0;
    for (unsigned n = 1;; n++) {
        struct memory_disk disk;
        memory_disk_init(&disk);
        put(&disk, names.newest, newest);
        if (previous != NULL)
            put(&disk, names.previous, previous);
        put(&disk, names.temporary, "new");
        disk.fail_in = n;
        disk.failure_stays = true;
        int error = commit(&disk);
        bool has_crashed = disk.operations >= n;
        crashes += has_crashed;
        failures += error != 0;
        cr_assert(error == 0 || error == EIO);
        cr_assert(has_generation(&disk, newest, "new"), "nothing to load after operation %u", n - 1);
        if (error == 0)
            cr_assert(holds(&disk, names.newest, "new"));
        disk.fail_in = 0;
        put(&disk, names.temporary, "newer");
        cr_assert_eq(commit(&disk), 0);
        cr_assert(holds(&disk, names.newest, "newer"));
        if (strcmp(newest, RDB) != 0)
            cr_assert(holds(&disk, names.previous, newest) || holds(&disk, names.previous, "new"));
        else
            cr_assert(holds(&disk, "dump.rdb.redis", RDB), "the RDB file is lost after operation %u", n - 1);
        cr_assert_eq(disk.open_files, 0);
        memory_disk_release(&disk);
        if (!has_crashed)
            break;
    }
    cr_assert_geq(crashes, 3);
    cr_assert_geq(failures, 3);
}

Test(checkpoint_names, a_crash_after_any_operation_leaves_a_complete_generation) {
    expect_survival("old", "older");
    expect_survival("old", NULL);
}

Test(checkpoint_names, a_crash_after_any_operation_leaves_an_imported_rdb_file_or_its_checkpoint) {
    expect_survival(RDB, NULL);
    expect_survival(RDB, "older");
}

Test(checkpoint_names, a_failure_of_any_operation_is_told_or_makes_no_difference) {
    for (unsigned n = 1; n <= 20; n++) {
        struct memory_disk disk;
        memory_disk_init(&disk);
        put(&disk, names.newest, "old");
        put(&disk, names.temporary, "new");
        disk.fail_in = n;
        if (commit(&disk) == 0) {
            cr_assert(holds(&disk, names.newest, "new"));
            cr_assert(holds(&disk, names.previous, "old"));
        } else {
            cr_assert(has_generation(&disk, "old", "new"));
        }
        cr_assert_eq(disk.open_files, 0);
        memory_disk_release(&disk);
    }
}

Test(checkpoint_names, damaged_files_are_set_aside_under_names_that_are_free) {
    char set_aside[DISK_NAME_SIZE];
    put(&world, names.newest, "damaged");
    cr_assert_eq(checkpoint_names_set_aside(&names, &world.disk, names.newest, set_aside), 0);
    cr_assert_str_eq(set_aside, "dump.rdb.damaged");
    put(&world, names.previous, "damaged too");
    cr_assert_eq(checkpoint_names_set_aside(&names, &world.disk, names.previous, set_aside), 0);
    cr_assert_str_eq(set_aside, "dump.rdb.damaged.2");
    cr_assert_str_eq(world.log, "rename dump.rdb dump.rdb.damaged; sync_names; "
                                "rename dump.rdb.previous dump.rdb.damaged.2; sync_names; ");
    cr_assert(holds(&world, "dump.rdb.damaged", "damaged"));
    cr_assert(holds(&world, "dump.rdb.damaged.2", "damaged too"));
}

Test(checkpoint_names, a_file_that_cannot_be_set_aside_stays) {
    char set_aside[DISK_NAME_SIZE];
    put(&world, names.newest, "damaged");
    world.fail_in = 2; /* after looking for the name: the rename */
    cr_assert_eq(checkpoint_names_set_aside(&names, &world.disk, names.newest, set_aside), EIO);
    cr_assert(holds(&world, names.newest, "damaged"));
    world.fail_in = 3;
    cr_assert_eq(checkpoint_names_set_aside(&names, &world.disk, names.newest, set_aside), EIO);
}
