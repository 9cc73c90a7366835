/* checkpoint_names.c - the generations of a checkpoint change places.
 *
 * May touch: a struct disk. Must never know: what is in the files, but for the first bytes that tell an RDB file.
 * Tests: tests/unit/store/checkpoint_names_test.c, the simulator's crash points.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/checkpoint_names.h"

#include "base/check.h"
#include "proto/rdb.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* So many files of one ending, and nobody who looks at them: enough. */
#define NUMBERED_MAX 1000u

static void name_with(char out[DISK_NAME_SIZE], const char *name, const char *ending) {
    int size = snprintf(out, DISK_NAME_SIZE, "%s%s", name, ending);
    CHECK(size > 0 && size < DISK_NAME_SIZE);
}

bool checkpoint_names_init(struct checkpoint_names *names, const char *newest) {
    if (strlen(newest) > CHECKPOINT_NAME_MAX)
        return false;
    name_with(names->newest, newest, "");
    name_with(names->previous, newest, ".previous");
    name_with(names->temporary, newest, ".temporary");
    return true;
}

/* Whether there is a file, and whether it begins as an RDB file does. One that cannot be read is there all the same. */
static int look_at(const struct disk *disk, const char *name, bool *is_rdb) {
    struct disk_file *file;
    uint64_t file_size;
    uint8_t begin[RDB_MAGIC_SIZE];
    size_t got = 0;
    *is_rdb = false;
    int error = disk->open(disk->context, name, &file, &file_size);
    if (error != 0)
        return error;
    if (disk->read(file, begin, sizeof begin, &got) == 0)
        *is_rdb = got == sizeof begin && memcmp(begin, RDB_MAGIC, sizeof begin) == 0;
    disk->close(file);
    return 0;
}

/* Renames a file to the first of NAMEending, NAMEending.2, ... that is not there. */
static int rename_numbered(const struct checkpoint_names *names, const struct disk *disk, const char *from,
                           const char *ending, char to[DISK_NAME_SIZE]) {
    for (unsigned number = 1; number <= NUMBERED_MAX; number++) {
        char numbered[32];
        bool is_rdb;
        if (number == 1)
            snprintf(numbered, sizeof numbered, "%s", ending);
        else
            snprintf(numbered, sizeof numbered, "%s.%u", ending, number);
        name_with(to, names->newest, numbered);
        /* Any answer but ENOENT: something may be there. */
        if (look_at(disk, to, &is_rdb) == ENOENT)
            return disk->rename(disk->context, from, to);
    }
    return EEXIST;
}

/* An RDB file of the name of the previous generation moves on to a name where no checkpoint replaces it. */
static int keep_rdb(const struct checkpoint_names *names, const struct disk *disk, bool *was_kept) {
    char kept[DISK_NAME_SIZE];
    bool is_rdb;
    *was_kept = false;
    int error = look_at(disk, names->previous, &is_rdb);
    if (error != 0 || !is_rdb)
        return error == ENOENT ? 0 : error;
    error = rename_numbered(names, disk, names->previous, ".redis", kept);
    *was_kept = error == 0;
    return error;
}

/* An RDB file, too, is a previous generation for as long as the change lasts: there is no moment without anything to load. */
int checkpoint_names_commit(const struct checkpoint_names *names, const struct disk *disk) {
    bool is_rdb, was_kept = false;
    int error = look_at(disk, names->newest, &is_rdb);
    if (error == 0) {
        /* One that an interrupted change has left. */
        error = keep_rdb(names, disk, &was_kept);
        if (error == 0)
            error = disk->rename(disk->context, names->newest, names->previous);
    } else if (error == ENOENT) {
        error = 0;
    }
    if (error == 0)
        error = disk->rename(disk->context, names->temporary, names->newest);
    if (error == 0)
        error = disk->sync_names(disk->context);
    if (error != 0)
        return error;
    /* The checkpoint is complete. What goes wrong from here on is done, or reported, by the next commit. */
    if (keep_rdb(names, disk, &was_kept) == 0 && was_kept)
        (void)disk->sync_names(disk->context);
    return 0;
}

int checkpoint_names_set_aside(const struct checkpoint_names *names, const struct disk *disk,
                               const char *damaged, char set_aside[DISK_NAME_SIZE]) {
    int error = rename_numbered(names, disk, damaged, ".damaged", set_aside);
    return error != 0 ? error : disk->sync_names(disk->context);
}
