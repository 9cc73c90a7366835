/* memory_disk.h - a folder in memory for the tests of what keeps files: a struct disk that can be told to fail.
 *
 * It knows nothing of power cuts: what is written is there. (What is lost in one, the simulator's disk knows.)
 * May touch: the C allocator. Must never know: what the files hold.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef UNIT_STORE_MEMORY_DISK_H
#define UNIT_STORE_MEMORY_DISK_H

#include "base/disk.h"

#include <stdbool.h>

#define MEMORY_DISK_FILES    32
#define MEMORY_DISK_LOG_SIZE 4096

struct memory_file {
    char name[DISK_NAME_SIZE];
    uint8_t *data;
    size_t size, capacity;
    unsigned holders; /* its name and who has it open */
};

struct memory_disk {
    struct disk disk; /* what the tested code is given */
    struct memory_file *files[MEMORY_DISK_FILES];
    /* The operation that fails: 1 is the next one; 0: none. A write that fails has written half, a close that fails has closed. */
    unsigned fail_in;
    int fail_error;       /* with this errno */
    bool failure_stays;   /* and all later ones do */
    unsigned operations;  /* so far, failed ones included */
    unsigned begun_syncs; /* calls of begin_sync(): no operation, as it cannot fail */
    unsigned open_files;  /* 0 at the end of a test that closes what it opens */
    char log
        [MEMORY_DISK_LOG_SIZE]; /* what was done to names and for durability: "create a; sync a; rename a b; sync_names; " */
};

/* In its place: disk->disk.context is disk. */
void memory_disk_init(struct memory_disk *disk);
void memory_disk_release(struct memory_disk *disk);

/* The file of that name, or NULL. */
const struct memory_file *memory_disk_find(const struct memory_disk *disk, const char *name);
/* Makes or replaces a file. */
void memory_disk_put(struct memory_disk *disk, const char *name, const void *data, size_t size);
/* Makes `to` the same as `from` is: files, and no failure to come. `to` is initialised here. */
void memory_disk_copy(struct memory_disk *to, const struct memory_disk *from);

#endif
