/* hints_file.h - hints as bytes for a file, written block by block while they change, and back.
 *
 *   8 bytes  "rkvhints"
 *   u8       format
 *   20       id of the node whose file it is
 *   u64      wall clock when it was begun, milliseconds
 *   u64      XXH3 of all before
 *   blocks   u32 size of the entries; u64 XXH3 of size and entries; entries
 *   the last block has no entries; nothing is behind it
 *
 * A block's first entry is a target: byte 1, node id (20), age of what it misses in milliseconds (varint), 1 if it misses a flush (1). The others are
 * keys that this target misses: byte 2, size (varint), bytes.
 * May touch: base, data, hints.h. Must never know: files, membership.
 * Invariants: a file is checked to its end before the first hint is taken from it; nobody vouches for its bytes.
 * Tests: tests/unit/cluster/hints_file_test.c, tests/fuzz/hints_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CLUSTER_HINTS_FILE_H
#define CLUSTER_HINTS_FILE_H

#include "base/buffer.h"
#include "base/node_id.h"
#include "cluster/hints.h"

/* ---- Writing ---- */

/* How far the writing of a file has come. Hints that come or go meanwhile may be in the file or not; all others are, once or twice. */
struct hints_writer {
    uint32_t target;
    uint64_t from;       /* hash, in the target's table */
    bool is_begun;       /* the target at hand is in the file already */
    bool is_over;        /* the last block is written */
    const uint8_t *self; /* node id */
};

void hints_writer_init(struct hints_writer *writer, const uint8_t self[NODE_ID_SIZE]);

/* Whose hints a target's number means; NULL: nobody's whose hints are worth keeping. */
typedef const uint8_t *hints_id_of(const void *context, uint16_t target);

/* Appends the file's head, to be done first. false: no memory. */
bool hints_write_head(const struct hints_writer *writer, int64_t wall_ms, struct buffer *file);

/* Appends one block with about `units` hints, or the last one: then is_over. false: no memory, nothing was appended. */
bool hints_write_block(struct hints_writer *writer, const struct hints *hints, hints_id_of *id_of,
                       const void *context, uint64_t now_ms, uint32_t units, struct buffer *file);

/* ---- Reading ---- */

enum hints_read { HINTS_READ, HINTS_READ_DAMAGED };

/* The number of the target with this id; -1: it is nobody any more. */
typedef int32_t hints_target_of(const void *context, const uint8_t id[NODE_ID_SIZE]);

/* Takes what a file's bytes say into the store. What is beyond its bound, or finds no memory, is counted there as dropped.
 * Damaged: nothing was taken. */
enum hints_read hints_read(struct hints *hints, const uint8_t self[NODE_ID_SIZE], const uint8_t *data,
                           size_t size, hints_target_of *target_of, const void *context, uint64_t now_ms,
                           int64_t wall_ms);

#endif
