/* checkpoint_loader.h - fills a keyspace from the newest valid checkpoint, a step at a time.
 *
 * The loop's half: takes unpacked blocks from the helper (store/checkpoint_input.h) and puts their records in through
 * keyspace_load(). A damaged file is set aside, what came from it is dropped, and the previous one is taken. A file of a
 * later version ends the search: whoever writes it may know better what to do with the others.
 *
 * May touch: store, a work queue. Must never know: clocks, clients.
 * Invariants: at LOADED the keyspace holds exactly one complete image, without what has expired; nothing is freed while an item is with the helper.
 * Tests: tests/unit/store/checkpoint_loader_test.c, tests/sim/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_CHECKPOINT_LOADER_H
#define STORE_CHECKPOINT_LOADER_H

#include "base/disk.h"
#include "base/node_id.h"
#include "base/work.h"
#include "store/checkpoint_names.h"
#include "store/keyspace.h"

struct checkpoint_loader;

struct checkpoint_load_options {
    struct keyspace *keyspace; /* empty, but for a file's records nobody writes to it until the end */
    const struct disk *disk;
    const struct work_queue *queue;
    const char *name; /* dbfilename; copied */
    bool is_expected; /* there was a checkpoint once: none now is an error */
    bool start_empty; /* go on without data where there is no valid file (damaged ones are set aside) */
    /* What people should read, in order: `level` is 0 for a note, 1 for a warning. */
    void (*say)(void *context, int level, const char *text);
    void *context;
};

enum checkpoint_load_state {
    CHECKPOINT_LOAD_WORKING, /* step() has something to do */
    CHECKPOINT_LOAD_WAITING, /* for the helper */
    CHECKPOINT_LOADED,       /* or imported from an RDB file: progress says which */
    CHECKPOINT_LOAD_NOTHING, /* there is no file, and need not be; or start_empty */
    CHECKPOINT_LOAD_REFUSED  /* progress.problem says why and what to do */
};

#define CHECKPOINT_PROBLEM_SIZE 512

struct checkpoint_load_progress {
    enum checkpoint_load_state state;
    uint64_t file_bytes, read_bytes;
    uint64_t records_expected, records_loaded, records_expired;
    bool from_rdb, from_previous;
    struct actor_identity writer; /* of the loaded file */
    int64_t time_ms;
    char problem[CHECKPOINT_PROBLEM_SIZE];
};

/* NULL: no memory. */
struct checkpoint_loader *checkpoint_loader_new(const struct checkpoint_load_options *options);
enum checkpoint_load_state checkpoint_loader_step(struct checkpoint_loader *loader, uint32_t budget);
const struct checkpoint_load_progress *checkpoint_loader_progress(const struct checkpoint_loader *loader);

/* Gives it up (the server is to end): soon the state is REFUSED. */
void checkpoint_loader_cancel(struct checkpoint_loader *loader);

/* Only when the state is none of WORKING and WAITING. */
void checkpoint_loader_free(struct checkpoint_loader *loader);

#endif
