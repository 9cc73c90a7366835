/* checkpoint_stage.h - a keyspace, a disk in memory and a work queue that runs when the test says so.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef UNIT_STORE_CHECKPOINT_STAGE_H
#define UNIT_STORE_CHECKPOINT_STAGE_H

#include "memory_disk.h"
#include "store/checkpoint_loader.h"
#include "store/checkpoint_writer.h"

#define STAGE_NOW_MS INT64_C(1790000000000)

struct stage {
    struct mem mem;
    struct keyspace *keyspace;
    struct memory_disk folder;
    struct work_queue queue;
    struct work *first, *last;
    unsigned queued;
    char said[4096]; /* by the loader, a line each */
};

void stage_open(struct stage *stage);
/* Frees all, and looks for leaks. */
void stage_close(struct stage *stage);

/* A new keyspace in the place of the old one, as after a restart. */
void stage_restart(struct stage *stage);

/* Runs the oldest item of the queue; false: there is none. */
bool stage_run_one(struct stage *stage);

/* Begins to save; to be stepped and freed by the test, or to be brought to its end. */
struct checkpoint_writer *stage_begin_save(struct stage *stage);
struct checkpoint_progress stage_finish_save(struct stage *stage, struct checkpoint_writer *writer);
struct checkpoint_progress stage_save(struct stage *stage);

/* Loads into the keyspace. */
struct checkpoint_load_progress stage_load(struct stage *stage, bool is_expected, bool start_empty);

void stage_put(struct stage *stage, uint32_t database, const char *key, const void *value, uint32_t size,
               int64_t expiry_ms);
/* keys "key:0".. with values that tell their number. */
void stage_fill(struct stage *stage, unsigned keys);
/* Whether exactly these keys are there. */
void stage_is_filled(struct stage *stage, unsigned keys);
const struct record *stage_find(struct stage *stage, uint32_t database, const char *key);

#endif
