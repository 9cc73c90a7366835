/* image.h - the keyspace as it was at one moment, read out piece by piece while it goes on changing.
 *
 * The image walks databases, slots and hashes in order. What is about to change, and that the walk has not reached, is
 * given out first: keyspace.c tells before it changes or frees a record. What was written after the begin is known by its stamp:
 * a stamp of our own above the one of the begin. Foreign records that came in meanwhile are remembered by their hashes.
 * A long record (more than IMAGE_LONG_SIZE) is given out in parts over several steps, and is not copied for its writers: it
 * must not be changed in its place, and whoever replaces it hands it over.
 * A flushed database that was not yet walked is kept until it is; the walk gives it to the reclaiming.
 *
 * May touch: store. Must never know: files, blocks, who reads the image.
 * Invariants: every record that was live at the begin (and, where others hold copies, every tombstone) is given out exactly once,
 * as it was then; nothing else is. Between
 * image_begin() and image_end() keyspace->image points here. A failed image (no memory) needs nothing any more.
 * Tests: tests/unit/store/image_test.c; the simulator compares checkpoints with its model.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_IMAGE_H
#define STORE_IMAGE_H

#include "store/keyspace.h"

/* A record with more bytes of key, merge state and value is given out in parts. Smaller ones are copied at once: 64 KiB take a few microseconds. */
#define IMAGE_LONG_SIZE (64 * 1024)

/* Who takes what the image gives out. All return false where they found no memory: then the image has failed. */
struct image_sink {
    void *context;
    /* A whole record. `record` is valid during the call only. */
    bool (*record)(void *context, uint32_t database, const struct record *record);
    /* A long record begins; its key, its merge state and its value follow in parts, and whole records may come in between. One at a time. */
    bool (*long_begin)(void *context, uint32_t database, const struct record *record);
    bool (*long_part)(void *context, const uint8_t *bytes, uint32_t size);
};

struct image_long {
    struct record *record;
    uint32_t database;
    bool is_owned; /* handed over by who replaced it; ours to free */
};

struct image {
    struct keyspace *keyspace;
    struct image_sink sink;
    struct database *databases[DATABASE_COUNT]; /* as they were numbered at the begin */
    bool is_flushed[DATABASE_COUNT];            /* the keyspace has let go of it */
    uint32_t database, slot;                    /* the walk is at */
    uint64_t hash;                              /* all below it is given out */
    bool has_tombstones; /* they are given out as records are: others had copies of the keys at the begin */
    uint64_t begin_counter; /* last stamp given before the begin */
    int64_t begin_ms;
    struct image_long *
        longs; /* that wait to be given out; the first one is at `long_sent` bytes of its key, merge state and value */
    uint32_t long_count, long_capacity, long_sent;
    bool long_has_begun;
    uint64_t *
        foreign; /* hashes of keys that keyspace_merge() has changed since the begin; open addressing, 0: free */
    uint32_t foreign_count, foreign_capacity;
    bool has_failed;
    uint32_t step_bytes;   /* given out in this step */
    uint32_t average_size; /* of the last records: large ones make visits short */
    uint64_t total;        /* keys at the begin, expired ones and tombstones that are given out included */
    uint64_t records;      /* given out so far, */
    uint64_t looked_at;    /* and looked at by the walk: `looked_at / total` is the progress */
    uint64_t copied_bytes; /* of records that were given out, or handed over, because of a writer */
};

/* Begins an image of all databases as they are now. The image must stay in its place. One at a time. */
void image_begin(struct image *image, struct keyspace *keyspace, const struct image_sink *sink);

enum image_status { IMAGE_MORE, IMAGE_COMPLETE, IMAGE_FAILED };

/* Goes on: looks at up to about `budget` records, gives out up to about IMAGE_STEP_BYTES. */
#define IMAGE_STEP_BYTES (256 * 1024)
enum image_status image_step(struct image *image, uint32_t budget);

/* The end, complete or not: lets go of all that was held. */
void image_end(struct image *image);

/* ---- For the funnel (keyspace.c, walk.c) only ---- */

/* Whether a record must not change in its place: the image still needs it, and it is long. Another has to take its place. */
bool image_forbids_change(const struct image *image, const struct database *database, uint32_t slot,
                          uint64_t hash, const struct record *record);

/* A record that may change in its place is about to: gives it out where it is needed. What follows at once must stamp it. */
void image_before_change(struct image *image, const struct database *database, uint32_t slot, uint64_t hash,
                         const struct record *record);

/* Instead of record_free() for a record that has left its table: gives out or takes over what is needed, frees the rest. */
void image_dispose(struct image *image, const struct database *database, uint32_t slot, uint64_t hash,
                   struct record *record);

/* keyspace_merge() has put in a foreign record: it is none of the image's. */
void image_note_foreign(struct image *image, const struct database *database, uint64_t hash);

/* The keyspace lets go of a database. true: the image keeps it and will give it to reclaim; false: it needs nothing of it. */
bool image_keeps_database(struct image *image, const struct database *database);

#endif
