/* checkpoint_writer.h - saves an image of the keyspace, a step at a time, while commands run.
 *
 * The loop's half: walks the image (store/image.h), fills blocks from a fixed pool, and hands finished ones to the helper
 * (base/work.h, store/checkpoint_output.h). While all blocks are with the helper the walk waits; what writers bring about
 * in the meantime goes into further blocks, which are freed when they come back.
 *
 * May touch: store, a work queue. Must never know: clocks, rules of saving, who asked for it.
 * Invariants: nothing is freed while an item is with the helper; the file has the image, whole, or is removed.
 * Tests: tests/unit/store/checkpoint_writer_test.c, tests/sim/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_CHECKPOINT_WRITER_H
#define STORE_CHECKPOINT_WRITER_H

#include "base/disk.h"
#include "base/work.h"
#include "store/checkpoint_names.h"
#include "store/keyspace.h"

#define CHECKPOINT_POOL_BLOCKS 8
/* Further blocks hold what writers bring about while the disk is slow: up to so many, or up to this share of the memory in use at
 * the begin if that is more. Beyond, the image is given up: memory is not the price of any disk. */
#define CHECKPOINT_BLOCKS_MAX     256
#define CHECKPOINT_BLOCKS_DIVISOR 2

struct checkpoint_writer;

struct checkpoint_options {
    struct keyspace *keyspace;
    const struct disk *disk;
    const struct work_queue *queue;
    const char *name; /* dbfilename; copied */
    uint64_t serial;  /* a random number */
};

enum checkpoint_state {
    CHECKPOINT_WORKING, /* step() has something to do */
    CHECKPOINT_WAITING, /* for the helper */
    CHECKPOINT_DONE,    /* durable */
    CHECKPOINT_FAILED   /* nothing is left behind; progress says why */
};

struct checkpoint_progress {
    enum checkpoint_state state;
    uint64_t keys_total, keys_done; /* looked at */
    uint64_t records;               /* written */
    uint64_t bytes, stored_bytes;   /* unpacked, in the file */
    uint64_t copied_bytes;          /* because of writers */
    uint64_t changes_at_begin;      /* keyspace->counters.changes */
    int error;                      /* errno; 0 with FAILED: no memory, or cancelled */
    const char *failed_at;          /* what failed, for people: "writing" */
};

/* Takes the image now. NULL: no memory, nothing begun. */
struct checkpoint_writer *checkpoint_writer_new(const struct checkpoint_options *options);

/* One bounded step of up to about `budget` records. */
enum checkpoint_state checkpoint_writer_step(struct checkpoint_writer *writer, uint32_t budget);

/* Gives it up: soon the state is CHECKPOINT_FAILED (unless it is being made durable right now: then it may become DONE). */
void checkpoint_writer_cancel(struct checkpoint_writer *writer);

struct checkpoint_progress checkpoint_writer_progress(const struct checkpoint_writer *writer);

/* Only when the state is DONE or FAILED. */
void checkpoint_writer_free(struct checkpoint_writer *writer);

#endif
