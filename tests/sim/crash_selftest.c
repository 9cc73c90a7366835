/* crash_selftest.c - disks that do less than they say, loads that go wrong, and the simulated disk itself.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/crash_history.h"

#include <errno.h>
#include <stdio.h>

/* What is wrong must be found out in one of so many histories. */
#define SEEDS_TRIED 12
#define CRASHES     400

/* ---- Disks that are wrong ---- */

static int sync_nothing(struct disk_file *file) {
    (void)file;
    return 0;
}

static int sync_no_names(void *context) {
    (void)context;
    return 0;
}

static int sync_names_then_bytes(void *context) {
    struct simulated_disk *disk = context;
    int error = disk->disk.sync_names(context);
    simulated_disk_flush(disk);
    return error;
}

/* As programs do that know of no rename, or rename over file systems. */
static int copy_in_place(void *context, const char *from, const char *to) {
    struct simulated_disk *disk = context;
    struct disk_file *file;
    size_t size;
    const uint8_t *bytes = simulated_disk_bytes(disk, from, &size);
    if (bytes == NULL)
        return ENOENT;
    int error = disk->disk.create(context, to, &file);
    if (error != 0)
        return error;
    if ((error = disk->disk.write(file, bytes, size)) == 0)
        error = disk->disk.sync(file);
    disk->disk.close(file);
    return error != 0 ? error : disk->disk.remove(context, from);
}

void crash_sabotage_disk(struct crash_life *life, enum crash_sabotage sabotage) {
    life->view = life->identity_view = life->disk->disk;
    switch (sabotage) {
    case SABOTAGE_NO_SYNC: life->view.sync = sync_nothing; break;
    case SABOTAGE_NO_SYNC_NAMES: life->view.sync_names = sync_no_names; break;
    case SABOTAGE_LATE_SYNC:
        life->view.sync = sync_nothing;
        life->view.sync_names = sync_names_then_bytes;
        break;
    case SABOTAGE_COPY_IN_PLACE: life->view.rename = copy_in_place; break;
    case SABOTAGE_FORGETFUL_IDENTITY: life->identity_view.sync_names = sync_no_names; break;
    default: break;
    }
}

static const char *const sabotages[SABOTAGE_COUNT] = {
    [SABOTAGE_NO_SYNC] = "bytes that are never synced",
    [SABOTAGE_NO_SYNC_NAMES] = "names that are never synced",
    [SABOTAGE_LATE_SYNC] = "bytes that are synced behind their names",
    [SABOTAGE_COPY_IN_PLACE] = "files that are written where the last good one was",
    [SABOTAGE_LATE_IMAGE] = "an image with later writes in it",
    [SABOTAGE_FORGOTTEN_KEY] = "a key that was not loaded",
    [SABOTAGE_OTHER_VERSION] = "a key that was loaded with another version",
    [SABOTAGE_FORGETFUL_IDENTITY] = "incarnations that are not durable",
};

static bool is_found_out(enum crash_sabotage sabotage) {
    for (uint64_t seed = 1; seed <= SEEDS_TRIED; seed++) {
        struct crash_options options = {.seed = seed, .sabotage = sabotage};
        struct crash_result result = {.points = 0};
        crash_history_run(&options, &result);
        if (result.has_failed)
            return true;
    }
    return false;
}

/* Of the same histories without anything wrong none fails. */
static bool is_quiet_else(void) {
    for (uint64_t seed = 1; seed <= SEEDS_TRIED; seed++) {
        struct crash_options options = {.seed = seed};
        struct crash_result result = {.points = 0};
        crash_history_run(&options, &result);
        if (result.has_failed)
            return false;
    }
    return true;
}

/* ---- The simulated disk ---- */

struct stage {
    struct mem mem;
    struct simulated_disk disk;
    struct rng rng;
    uint8_t bytes[4 * DISK_SECTOR_SIZE];
};

static void begin(struct stage *stage) {
    stage->mem = (struct mem){.used_bytes = 0};
    rng_init(&stage->rng, 7);
    simulated_disk_init(&stage->disk, &stage->mem, 7);
    memset(stage->bytes, 'x', sizeof stage->bytes);
}

static bool end(struct stage *stage, bool is_fine) {
    simulated_disk_release(&stage->disk);
    return is_fine && stage->mem.used_bytes == 0;
}

static struct disk_file *write_file(struct stage *stage, const char *name, uint8_t letter) {
    const struct disk *disk = &stage->disk.disk;
    struct disk_file *file;
    memset(stage->bytes, letter, sizeof stage->bytes);
    CHECK(disk->create(disk->context, name, &file) == 0);
    CHECK(disk->write(file, stage->bytes, sizeof stage->bytes) == 0);
    return file;
}

/* How often, in many crashes, something is left of a file, and how often all of it. */
struct fate {
    unsigned gone, whole, shorter, holed;
};

static struct fate crash_often(struct stage *stage, const char *name, uint8_t letter) {
    struct fate fate = {.gone = 0};
    for (unsigned i = 0; i < CRASHES; i++) {
        struct simulated_disk after;
        size_t size;
        simulated_disk_crash(&stage->disk, &after, &stage->rng);
        const uint8_t *bytes = simulated_disk_bytes(&after, name, &size);
        if (bytes == NULL) {
            fate.gone++;
        } else {
            size_t same = 0;
            while (same < size && bytes[same] == letter)
                same++;
            fate.shorter += size < sizeof stage->bytes;
            fate.holed += same < size;
            fate.whole += same == size && size == sizeof stage->bytes;
        }
        simulated_disk_release(&after);
    }
    return fate;
}

static bool keeps_what_is_synced(void) {
    struct stage stage;
    begin(&stage);
    const struct disk *disk = &stage.disk.disk;
    struct disk_file *file = write_file(&stage, "a", 'a');
    CHECK(disk->sync(file) == 0 && disk->sync_names(disk->context) == 0);
    bool is_fine = crash_often(&stage, "a", 'a').whole == CRASHES;
    return end(&stage, is_fine);
}

static bool loses_what_is_not_synced(void) {
    struct stage stage;
    begin(&stage);
    const struct disk *disk = &stage.disk.disk;
    struct disk_file *file = write_file(&stage, "a", 'a');
    CHECK(disk->sync_names(disk->context) == 0);
    struct fate bytes = crash_often(&stage, "a", 'a');
    bool is_fine = bytes.gone == 0 && bytes.whole > 0 && bytes.shorter > 0 && bytes.holed > 0;
    file = write_file(&stage, "b", 'b');
    CHECK(disk->sync(file) == 0);
    struct fate name = crash_often(&stage, "b", 'b');
    is_fine = is_fine && name.gone > 0 && name.whole > 0 && name.gone + name.whole == CRASHES;
    return end(&stage, is_fine);
}

/* After a rename there is one of the two, whole. */
static bool renames_in_one_step(void) {
    struct stage stage;
    begin(&stage);
    const struct disk *disk = &stage.disk.disk;
    CHECK(disk->sync(write_file(&stage, "a", 'a')) == 0 && disk->sync_names(disk->context) == 0);
    CHECK(disk->sync(write_file(&stage, "b", 'b')) == 0);
    CHECK(disk->rename(disk->context, "b", "a") == 0);
    struct fate old = crash_often(&stage, "a", 'a'), new = crash_often(&stage, "a", 'b');
    bool is_fine = old.gone == 0 && new.gone == 0 && old.whole > 0 && new.whole > 0 && old.shorter == 0 &&
                   old.whole + old.holed == CRASHES;
    return end(&stage, is_fine);
}

/* A second sync() after one that failed says nothing about the bytes before. */
static bool drops_after_a_failed_sync(void) {
    struct stage stage;
    begin(&stage);
    const struct disk *disk = &stage.disk.disk;
    struct disk_file *file = write_file(&stage, "a", 'a');
    size_t size;
    stage.disk.faults = (struct disk_faults){.fail_at = stage.disk.operations + 1, .fail_error = EIO};
    bool is_fine = disk->sync(file) == EIO && disk->sync(file) == 0 && disk->sync_names(disk->context) == 0;
    const uint8_t *seen = simulated_disk_bytes(&stage.disk, "a", &size);
    is_fine = is_fine && seen[0] == 'a' && size == sizeof stage.bytes;
    is_fine = is_fine && crash_often(&stage, "a", 'a').holed == CRASHES;
    return end(&stage, is_fine);
}

/* Each operation can be the last, or the one that fails; and then a disk is full, or takes nothing. */
static bool makes_errors(void) {
    struct stage stage;
    struct disk_file *file;
    begin(&stage);
    const struct disk *disk = &stage.disk.disk;
    size_t size;
    stage.disk.faults = (struct disk_faults){.has_room_left = true, .room_bytes = 700};
    bool is_fine = disk->create(disk->context, "a", &file) == 0 && disk->write(file, stage.bytes, 500) == 0 &&
                   disk->write(file, stage.bytes, 500) == ENOSPC;
    is_fine = is_fine && simulated_disk_bytes(&stage.disk, "a", &size) != NULL && size == 700;
    stage.disk.faults = (struct disk_faults){.is_read_only = true};
    is_fine = is_fine && disk->create(disk->context, "b", &file) == EROFS &&
              disk->rename(disk->context, "a", "b") == EROFS && disk->remove(disk->context, "a") == EROFS;
    stage.disk.faults = (struct disk_faults){.stop_at = stage.disk.operations + 2};
    is_fine = is_fine && disk->remove(disk->context, "a") == 0 &&
              disk->remove(disk->context, "a") == DISK_STOPPED &&
              disk->create(disk->context, "a", &file) == DISK_STOPPED && stage.disk.is_stopped;
    return end(&stage, is_fine);
}

static void count(bool is_fine, const char *words, uint64_t *passed, uint64_t *failed) {
    if (is_fine) {
        ++*passed;
        return;
    }
    ++*failed;
    printf("FAILED in the crash tests: %s\n", words);
}

void crash_selftest(uint64_t *passed, uint64_t *failed) {
    char words[128];
    count(keeps_what_is_synced(), "the simulated disk loses what was synced", passed, failed);
    count(loses_what_is_not_synced(), "the simulated disk does not lose what was not synced", passed, failed);
    count(renames_in_one_step(), "the simulated disk tears a rename", passed, failed);
    count(drops_after_a_failed_sync(), "the simulated disk believes in a second sync", passed, failed);
    count(makes_errors(), "the simulated disk makes other errors than it is told to", passed, failed);
    count(is_quiet_else(), "histories fail in which nothing is wrong", passed, failed);
    for (unsigned i = SABOTAGE_NONE + 1; i < SABOTAGE_COUNT; i++) {
        snprintf(words, sizeof words, "nobody sees %s", sabotages[i]);
        count(is_found_out((enum crash_sabotage)i), words, passed, failed);
    }
}
