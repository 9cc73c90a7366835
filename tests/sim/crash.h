/* crash.h - checkpoints and identities on a disk that forgets: the power goes at every operation, and what comes after is judged.
 *
 * A history is a node's life over several starts, drawn from its seed: writes, saves with further writes in between,
 * faults of the disk, lost power. At each operation of the disk, while a checkpoint is saved, the identity is taken, or a
 * damaged file is set aside, copies of the disk are made as different crashes leave it, some are spoilt, and on each
 * the node starts: once, or again after another crash in the middle of that. Each such start is a crash point. What must hold:
 * - it loads exactly one of the complete images, never an older one than the last that was reported complete;
 * - names are never given to incomplete files; what was loaded was whole, byte by byte;
 * - with a damaged file it loads the other generation, and where none is whole it refuses, or there never was one;
 * - no incarnation of a node id is taken twice, also if the one before was never seen to be complete.
 *
 * May touch: store, node/identity, the simulated disk. Must never know: clients, sessions.
 * Tests: crash_selftest.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_CRASH_H
#define SIM_CRASH_H

#include "base/disk.h"

#include <stdbool.h>
#include <stdint.h>

#define CRASH_FAILURE_SIZE 1024

#define CRASH_SIGHTINGS(X)                                                                 \
    X(NEWEST, "the newest checkpoint loaded")                                              \
    X(PREVIOUS, "the previous one loaded because the newest is damaged")                   \
    X(BETWEEN, "the previous one loaded because the newest was on its way to that name")   \
    X(EARLY, "an image loaded before it was reported complete")                            \
    X(NOTHING, "nothing to load")                                                          \
    X(MISSING, "a start refused because both files are gone")                              \
    X(REFUSED, "a start refused because no file is whole")                                 \
    X(EMPTY, "a start without data because somebody said so")                              \
    X(SET_ASIDE, "a damaged file set aside")                                               \
    X(POWER_IN_START, "power lost in the middle of a start")                               \
    X(ERROR_IN_START, "a start on a disk with errors that loaded nothing")                 \
    X(NO_MEMORY_IN_START, "a start that found no memory")                                  \
    X(KILLED, "a process killed on a machine that goes on")                                \
    X(OTHER_NODE, "an identity that was damaged and replaced")                             \
    X(EXPIRED, "keys left out because they had expired")                                   \
    X(POWER_IN_SAVE, "a save that ended with the power")                                   \
    X(FAILED_SAVE, "a save that failed because of the disk")                               \
    X(COMPLETE_FAULTY_SAVE, "a save that was completed though the disk had made an error") \
    X(NO_MEMORY_IN_SAVE, "a save that found no memory")                                    \
    X(CANCELLED_SAVE, "a save that was cancelled")                                         \
    X(COPIED, "records given out because of writers")                                      \
    X(FLUSH, "a database flushed during a save")                                           \
    X(SWAP, "databases swapped during a save")                                             \
    X(LONG_RECORD, "a long record in an image")                                            \
    X(LONG_REPLACED, "a long record replaced before it was written")                       \
    X(MERGE, "a foreign record during a save")                                             \
    X(TORN, "a temporary file that a crash has torn")

enum crash_sighting {
#define X(name, words) SAW_##name,
    CRASH_SIGHTINGS(X)
#undef X
        SAW_COUNT
};

/* What is wrong on purpose, to see that it is found out. */
enum crash_sabotage {
    SABOTAGE_NONE,
    SABOTAGE_NO_SYNC,            /* sync() does nothing */
    SABOTAGE_NO_SYNC_NAMES,      /* sync_names() does nothing */
    SABOTAGE_LATE_SYNC,          /* bytes are synced when their new names are */
    SABOTAGE_COPY_IN_PLACE,      /* instead of a rename the bytes are written to the name's file */
    SABOTAGE_LATE_IMAGE,         /* the image has a write too much */
    SABOTAGE_FORGOTTEN_KEY,      /* a key is lost when it is loaded */
    SABOTAGE_OTHER_VERSION,      /* a key comes with another version */
    SABOTAGE_FORGETFUL_IDENTITY, /* the incarnation is not made durable */
    SABOTAGE_COUNT
};

struct crash_options {
    uint64_t seed;
    enum crash_sabotage sabotage;
    unsigned last_lines; /* of its events are printed where it fails */
    bool is_verbose;
};

struct crash_result {
    uint64_t points; /* starts after a crash */
    uint64_t hash;   /* of all that happened: the same seed, the same hash */
    uint64_t saves, operations;
    bool has_failed;
    char failure[CRASH_FAILURE_SIZE];
    uint64_t seen[SAW_COUNT]; /* added to */
};

/* Runs one history to its end, or to its first failure. */
void crash_history_run(const struct crash_options *options, struct crash_result *result);

struct crash_plan {
    uint64_t first, points; /* histories from seed `first` on, until there were so many crash points */
    unsigned last_lines;
    bool is_verbose;
};

/* Runs histories and prints what fails. */
void crash_histories(const struct crash_plan *plan, uint64_t *passed, uint64_t *failed);

/* Whether all that is wrong on purpose is found out, and whether the disk itself forgets what it should and no more. */
void crash_selftest(uint64_t *passed, uint64_t *failed);

#endif
