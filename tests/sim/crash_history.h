/* crash_history.h - the inside of crash.h: a history, the lives in it, and what a start is judged by.
 *
 * Tests: crash_selftest.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_CRASH_HISTORY_H
#define SIM_CRASH_HISTORY_H

#include "node/identity.h"
#include "sim/crash.h"
#include "sim/crash_image.h"
#include "sim/crash_queue.h"
#include "sim/crash_writes.h"
#include "sim/disk.h"
#include "sim/trace.h"
#include "store/checkpoint_loader.h"

#define CRASH_NAME     "dump.rdb"
#define CRASH_PREVIOUS CRASH_NAME ".previous"
#define CRASH_NODE     CRASH_NAME ".node"
/* Images of one history. */
#define CRASH_IMAGES_MAX 64
#define NO_IMAGE         (-1)

/* Drawn from the seed. */
struct crash_conditions {
    struct crash_mix mix;
    uint32_t databases, keys, saves;
    uint32_t writes_max;       /* between two saves */
    uint32_t writes_permille;  /* of moments of a save: a write */
    uint32_t budget_max;       /* of a step */
    uint32_t quiet_saves_max;  /* before each save at whose every operation there are crash points */
    uint32_t draws;            /* crash points at an operation that follows a change of the disk */
    uint32_t damage_permille;  /* of crashes: something is spoilt, too */
    uint32_t disturb_permille; /* of crashes: the first start ends with the power, or meets errors */
    uint32_t kill_permille;    /* of crashes: only the process ends */
    uint32_t power_permille;   /* of saves: the power really goes */
    uint32_t fault_permille;   /* of saves: the disk makes errors */
    uint32_t cancel_permille;
    bool is_alone;
};

/* One attempt to save. */
struct crash_save {
    struct crash_image image;
    uint64_t file_hash[2]; /* of the whole file, once it was to get its name */
    bool is_written;
};

/* What a disk must keep, come what may. */
struct crash_promise {
    int32_t floor;                 /* the youngest image that is known to be complete and whole; NO_IMAGE */
    struct actor_identity past;    /* the identity of the last start; incarnation 0: there was none */
    bool has_checkpoint;           /* that was noted in the identity */
    bool is_spoilt, id_is_unknown; /* files may be damaged; the identity may be another one */
};

/* What a disk holds. */
struct crash_found {
    bool has_newest, has_previous;
    int32_t newest, previous; /* the image that the file is, byte by byte; NO_IMAGE: damaged or not there */
};

/* A process. */
struct crash_life {
    struct mem mem;
    struct simulated_disk *disk;
    struct disk view; /* the disk as it sees it */
    struct disk identity_view;
    struct crash_queue queue;
    struct keyspace *keyspace; /* NULL: nothing was loaded, the process has ended */
    struct identity identity;
    int32_t loaded; /* image */
};

struct crash_history {
    const struct crash_options *options;
    struct crash_result *result;
    struct mem mem; /* of the history itself; never fails */
    struct trace trace;
    struct rng random, chance_of_crashes;
    struct crash_conditions conditions;
    struct crash_keys keys;
    uint8_t *space; /* for values */
    struct simulated_disk disk;
    struct crash_promise promise;
    struct crash_life life;
    int64_t now_ms;
    uint64_t next_id;
    struct crash_save saves[CRASH_IMAGES_MAX];
    int32_t save_count;
    bool is_dirty; /* the disk has changed since the last crash point */
    bool is_saving;
    bool is_quiet; /* crash points are rare */
};

struct crash_start {
    struct crash_life *life;
    struct simulated_disk *disk;
    struct crash_promise *promise; /* brought up to date */
    struct rng *rng;
    bool start_empty;
    bool is_disturbed;    /* the disk makes errors, or the memory ends: little can be asked of this start */
    uint64_t memory_fuse; /* while it loads, this allocation fails; 0: none */
};

void crash_fail(struct crash_history *history, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline bool crash_has_failed(const struct crash_history *history) {
    return history->result->has_failed;
}

static inline void crash_see(struct crash_history *history, enum crash_sighting sighting) {
    history->result->seen[sighting]++;
}

/* Which images a disk holds under the two names. */
struct crash_found crash_look(const struct crash_history *history, const struct simulated_disk *disk);

/* The image that a start should load. */
int32_t crash_best(const struct crash_found *found);

void crash_hash_file(const struct simulated_disk *disk, const char *name, uint64_t hash[2]);

/* A process starts on a disk, and what it finds is judged. Afterwards life->keyspace is NULL where it did not come up. */
void crash_start(struct crash_history *history, const struct crash_start *start);

/* A process ends: nothing of it may be left. */
void crash_end(struct crash_history *history, struct crash_life *life);

/* Fills in the life's views of its disk, with what is wrong on purpose. */
void crash_sabotage_disk(struct crash_life *life, enum crash_sabotage sabotage);

#endif
