/* disk.h - one folder of a disk, as those who keep files there see it.
 *
 * The real world (os/disk) and the simulated one (tests/sim) each fill in this table. Names are names in that folder, without a
 * slash. Every function returns 0, or the errno that says what went wrong; after an error of write() or sync() the file
 * is dead: what it holds is unknown, and a second sync() that succeeds proves nothing.
 * May be called by the helper thread (see base/work.h), and by one thread at a time for each file.
 * Tests: tests/unit/os/disk_test.c; the simulator's disk is tests/sim/disk.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_DISK_H
#define BASE_DISK_H

#include <stddef.h>
#include <stdint.h>

/* The longest name with its final zero: what Linux's file systems take. */
#define DISK_NAME_SIZE 256

struct disk_file; /* the world's */

struct disk {
    void *context;
    /* A new file to write to, readable by its owner only; one of that name is emptied. Links are not followed. */
    int (*create)(void *context, const char *name, struct disk_file **file);
    /* A file to read from its begin; *size is its size in bytes. ENOENT: there is none. */
    int (*open)(void *context, const char *name, struct disk_file **file, uint64_t *size);
    /* Appends all of it. */
    int (*write)(struct disk_file *file, const void *data, size_t size);
    /* The next bytes; *got is less than size at the end of the file only. */
    int (*read)(struct disk_file *file, void *data, size_t size, size_t *got);
    /* Asks the system to begin writing out what it has, so that sync() will have less to do; waits for nothing. */
    void (*begin_sync)(struct disk_file *file);
    /* Returns when all that was written is durable. Before that nothing is. */
    int (*sync)(struct disk_file *file);
    /* Marks the file as this process's for as long as it is open, also when it is renamed. EWOULDBLOCK: another process has done so. */
    int (*lock)(struct disk_file *file);
    /* The file is gone for the caller, whatever is returned. */
    int (*close)(struct disk_file *file);
    /* Takes the place of what has that name. Durable after sync_names(), as is remove(); a power cut before may undo both. */
    int (*rename)(void *context, const char *from, const char *to);
    int (*remove)(void *context, const char *name);
    int (*sync_names)(void *context);
    /* What an errno means, for people. */
    const char *(*error_text)(int error);
};

#endif
