/* checkpoint_fill.h - the entries of a checkpoint's blocks become records of a keyspace.
 *
 * May touch: store. Must never know: files, who reads them.
 * Invariant: nothing is taken in that store/checkpoint_format.h does not allow; a key comes once.
 * Tests: tests/unit/store/checkpoint_loader_test.c, tests/fuzz/checkpoint_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_CHECKPOINT_FILL_H
#define STORE_CHECKPOINT_FILL_H

#include "store/checkpoint_format.h"
#include "store/keyspace.h"

struct checkpoint_fill {
    struct keyspace *keyspace;
    struct checkpoint_header header; /* of the file; its actors stay where they are until the end */
    uint16_t *actors; /* of the file's: the keyspace's numbers, ACTORS_NONE where not asked for yet */
    uint32_t database;
    uint32_t block_records;        /* begun in the block at hand */
    uint64_t loaded, expired;      /* records */
    struct checkpoint_entry entry; /* of the long record at hand */
    uint32_t long_database;
    uint64_t long_left; /* bytes of it that are to come; 0: none is at hand */
    struct buffer long_bytes;
    struct buffer state; /* the merge state of the record at hand, with the keyspace's numbers */
    const char *problem; /* of DAMAGED */
};

/* false: no memory. */
bool checkpoint_fill_begin(struct checkpoint_fill *fill, struct keyspace *keyspace,
                           const struct checkpoint_header *header);
void checkpoint_fill_release(struct checkpoint_fill *fill);

enum checkpoint_fill_status { FILL_MORE, FILL_BLOCK_DONE, FILL_DAMAGED, FILL_NO_MEMORY };

/* A block begins. */
void checkpoint_fill_block(struct checkpoint_fill *fill);

/* Takes in up to `budget` entries of a block; `records` is how many its head promises. */
enum checkpoint_fill_status checkpoint_fill_step(struct checkpoint_fill *fill, struct cursor *block,
                                                 uint32_t records, uint32_t budget);

/* Whether the file may end here. */
bool checkpoint_fill_is_whole(const struct checkpoint_fill *fill);

#endif
