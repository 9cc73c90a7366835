/* report.h - what is found in a checkpoint, and how it is told.
 *
 * May touch: standard output. Must never know: how a file is read.
 * Tests: tests/checkpoint/run.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef INSPECT_REPORT_H
#define INSPECT_REPORT_H

#include "base/limits.h"
#include "store/checkpoint_format.h"

#define SHOWN_KEY_SIZE 128 /* of a big key so many bytes are shown */
/* Sizes are counted up to 16 bytes, 64, 256, ... 1 GiB: more than any can be. */
#define SIZE_STEPS   14u
#define SIZE_STEP(i) (UINT64_C(16) << 2 * (i))
#define RECORD_TYPES (RECORD_TYPE_MASK + 1)

struct size_tally {
    uint64_t count, sum, min, max, steps[SIZE_STEPS];
};

/* What was seen of the keys of one database, or of all. Records of deleted keys are no keys. */
struct key_tally {
    uint64_t keys, expiring, expired; /* of the keys: with an expiry; of these: in the past */
};

struct big_key {
    uint32_t key_size, value_size, database, shown_size;
    int64_t expiry_ms;
    uint8_t shown[SHOWN_KEY_SIZE];
};

/* Of a whole file, or of the part of it before the damage. */
struct findings {
    const char *path;
    bool is_valid;
    char problem[256];               /* where it is not */
    struct checkpoint_header header; /* version 0: it could not be read */
    struct checkpoint_footer seen;
    uint64_t file_bytes;
    uint64_t stored_bytes; /* of the packed blocks */
    struct key_tally all, databases[DATABASE_COUNT];
    uint64_t types[RECORD_TYPES];     /* records of each */
    uint64_t counters, with_siblings; /* records with a merge state */
    struct size_tally key_sizes, value_sizes;
    uint64_t slots[SLOT_COUNT]; /* keys of all databases in each */
    struct big_key *biggest;
    uint32_t biggest_count;
};

/* Bytes of key and value. */
static inline uint64_t report_big_key_size(const struct big_key *big) {
    return (uint64_t)big->key_size + big->value_size;
}

/* Brings the biggest keys into their order: the biggest one first. */
void report_sort(struct findings *findings);

void report_print(const struct findings *findings);
void report_print_json(const struct findings *findings);

#endif
