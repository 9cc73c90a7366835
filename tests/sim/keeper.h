/* keeper.h - remembers what the model held when a save began, and looks whether that is what the disk holds in the end.
 *
 * Whenever the node begins to save, the keeper takes an image of the model's keys: a list of hashes. When the node says that
 * the save is complete, the file on the simulated disk is loaded into an empty keyspace and compared with it. After each
 * start of a process the keys that were loaded must be those of the last image that was reported complete, or of a later one.
 * It also says whether a save may fail, and keeps the model informed of what saving means for commands.
 *
 * May touch: the model, the node's persistence and the simulated disk, to look; store/checkpoint_loader.h. Must never know: clients.
 * Invariants: images are ordered by their begin; the first one was reported complete, if has_floor.
 * Tests: selftest.c plants faults that must show.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_KEEPER_H
#define SIM_KEEPER_H

#include "sim/machine.h"
#include "sim/model.h"
#include "sim/sightings.h"

#define KEEPER_IMAGES   64
#define KEEPER_KEY_SIZE 32

/* One key of an image. */
struct kept_key {
    uint64_t place, value; /* hashes of database and key, and of the value */
    int64_t expiry_ms;
    uint32_t database;
    enum model_shape shape;
    char key[KEEPER_KEY_SIZE]; /* for people */
};

struct kept_image {
    struct kept_key *keys; /* by place */
    size_t count, capacity;
    uint64_t number;
    int64_t taken_ms; /* wall clock */
    bool has_long;
};

struct keeper {
    struct world *world;
    struct machine *machine;
    struct model *model;
    struct sightings *sightings;
    struct kept_image running; /* of the save that runs */
    bool is_running;
    uint64_t troubles; /* the machine's count when it began */
    bool had_trouble;
    struct kept_image images[KEEPER_IMAGES]; /* that the next process may find */
    unsigned image_count;
    bool has_floor;
    uint64_t file_hash;        /* of the newest checkpoint, when it was looked at last; 0: there was none */
    bool must_look;            /* a save was reported complete, and its file not yet looked at */
    bool is_loading, is_found; /* found: a process has begun to load on a disk that was not empty */
    int64_t latest_ms;         /* wall clock while keys are loaded, and since a save has begun */
    uint64_t images_taken, files_checked;
    struct mem mem; /* of the keyspaces that files are loaded into */
};

void keeper_init(struct keeper *keeper, struct machine *machine, struct model *model,
                 struct sightings *sightings);
void keeper_release(struct keeper *keeper);

/* A command has been judged. The model may have begun a save with it: the image is taken at that command. */
void keeper_judged(struct keeper *keeper);

/* All that the node has done to a session has been judged. */
void keeper_produced(struct keeper *keeper);

static inline bool keeper_is_loading(const struct keeper *keeper) {
    return keeper->is_loading;
}

/* As the machine's observer hears of it. */
void keeper_turn(struct keeper *keeper);
void keeper_logged(struct keeper *keeper, const char *text);
void keeper_worked(struct keeper *keeper);
void keeper_ends(struct keeper *keeper, enum process_end end);
void keeper_begun(struct keeper *keeper);

#endif
