/* disk.h - a simulated folder as a struct disk (base/disk.h), which forgets in a crash what was not made durable.
 *
 * What is written is volatile until sync() of its file; names (created, renamed, removed) are until sync_names(), also
 * that of a file whose bytes were synced. In a crash every piece of an unsynced write, cut at multiples of 512 bytes, is
 * lost, kept or torn on its own; a file is as long as it was or is, or anything between; and of the changes of names a
 * first part is kept, or, in half of the crashes, each or not each by itself. After a failed sync() the bytes are
 * gone though a reader may still see them: a later sync() succeeds and they are lost in the next crash.
 * A failed sync_names() proves nothing either way: the changes stay as volatile as they were.
 * Every call counts as an operation, and can be the one that fails, or the one before which the power goes.
 *
 * May touch: base, chance. Must never know: what the files are for.
 * Invariants: nothing that was synced under a synced name is ever lost or changed, but by simulated_disk_damage().
 * Tests: tests/sim/crash_selftest.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "base/disk.h"
#include "base/mem.h"
#include "sim/chance.h"

#define DISK_SECTOR_SIZE 512
/* The error of every operation once the power is gone. */
#define DISK_STOPPED 9999

enum disk_operation {
    DISK_CREATE,
    DISK_OPEN,
    DISK_WRITE,
    DISK_READ,
    DISK_BEGIN_SYNC,
    DISK_SYNC,
    DISK_LOCK,
    DISK_CLOSE,
    DISK_RENAME,
    DISK_REMOVE,
    DISK_SYNC_NAMES,
    DISK_OPERATION_COUNT
};

/* 0 always means: never. Operations are counted from 1. */
struct disk_faults {
    uint64_t stop_at;   /* the power goes before this operation */
    uint64_t fail_at;   /* this one fails, */
    uint64_t fail_for;  /* and so many in all from there on */
    int fail_error;     /* with this errno */
    bool has_room_left; /* so much fits: further writes stop short with ENOSPC */
    uint64_t room_bytes;
    bool is_read_only; /* EROFS for all that changes something */
    bool is_forbidden; /* EACCES for all that opens or changes something */
};

struct stored_file;
struct name_change;

struct stored_name {
    char name[DISK_NAME_SIZE];
    struct stored_file *file;
};

/* What a folder holds: as it is seen, and as a crash would leave it at least. */
struct name_list {
    struct stored_name *names;
    uint32_t count, capacity;
};

struct simulated_disk {
    struct disk disk; /* what its user gets */
    struct mem *mem;  /* the simulator's: never fails */
    struct rng random;
    struct stored_file *files;
    struct disk_file *open_files;
    struct name_list names, durable_names;
    struct name_change *changes; /* of names since sync_names(), in order */
    uint32_t change_count, change_capacity;
    struct disk_faults faults; /* may be set at any time */
    uint64_t operations;       /* begun so far */
    bool is_stopped;
    /* Called before each operation; may look at the disk, and make crashed copies of it. NULL: nobody. */
    void (*observe)(void *context, enum disk_operation operation, const char *name);
    void *observer;
};

/* The disk must stay in its place. */
void simulated_disk_init(struct simulated_disk *disk, struct mem *mem, uint64_t seed);

/* Files that are still open are closed. */
void simulated_disk_release(struct simulated_disk *disk);

/* Makes `after` what is found when the power comes back: all of it durable, nothing open, no faults. `disk` stays as it is. */
void simulated_disk_crash(const struct simulated_disk *disk, struct simulated_disk *after, struct rng *rng);

/* The same as it is seen now, without any loss: the process ends and the machine goes on. */
void simulated_disk_copy(const struct simulated_disk *disk, struct simulated_disk *after);

enum disk_damage {
    DAMAGE_BIT,    /* one bit is another one */
    DAMAGE_SECTOR, /* a sector of zeros */
    DAMAGE_OTHER,  /* a sector with what belongs to another place of the same file */
    DAMAGE_CUT,    /* the file is shorter */
    DAMAGE_LONGER, /* the file is longer by some bytes */
    DAMAGE_GONE,   /* somebody has removed it */
    DAMAGE_COUNT
};

/* Spoils a file at rest. false: there is no such file, or nothing in it, or it was like that before. */
bool simulated_disk_damage(struct simulated_disk *disk, const char *name, enum disk_damage damage,
                           struct rng *rng);

/* The bytes of a file as they are seen; NULL: there is none. */
const uint8_t *simulated_disk_bytes(const struct simulated_disk *disk, const char *name, size_t *size);

/* Puts a durable file there, from outside; one of that name is replaced. */
void simulated_disk_put(struct simulated_disk *disk, const char *name, const void *data, size_t size);

/* Makes the bytes of all files durable, without anybody having asked. */
void simulated_disk_flush(struct simulated_disk *disk);

const char *disk_operation_name(enum disk_operation operation);

#endif
