/* checkpoint_output.h - the half of saving that the helper does: packs finished blocks, writes them, makes the file durable.
 *
 * The loop's half (store/checkpoint_writer.h) hands in blocks one by one; each call below runs inside a struct work. It
 * allocates nothing from counted memory: the room to pack in is given.
 * May touch: a struct disk, LZ4. Must never know: the keyspace, the node.
 * Invariant: after the first failure nothing more is written, and checkpoint_output_abort() removes the temporary file.
 * Tests: tests/unit/store/checkpoint_input_test.c, tests/unit/store/checkpoint_writer_test.c, the simulator's crash points.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_CHECKPOINT_OUTPUT_H
#define STORE_CHECKPOINT_OUTPUT_H

#include "base/disk.h"
#include "store/checkpoint_format.h"
#include "store/checkpoint_names.h"

#include <lz4frame.h>

/* Room that a packed block needs at most, its frame of ours included. */
#define CHECKPOINT_PACKED_SIZE (CHECKPOINT_BLOCK_HEAD_SIZE + CHECKPOINT_STORED_SIZE_MAX)
/* So often the system is asked to write out what it has. */
#define CHECKPOINT_SYNC_BYTES (8u * 1024 * 1024)

/* The caller sets disk, names, packed and serial (the header's); all else is zero before checkpoint_output_begin(). */
struct checkpoint_output {
    const struct disk *disk;
    struct checkpoint_names names;
    struct disk_file *file; /* NULL: not open */
    LZ4F_cctx *packer;
    uint8_t *packed; /* CHECKPOINT_PACKED_SIZE bytes, the loop's */
    uint64_t serial;
    struct checkpoint_footer footer; /* so far */
    uint64_t stored_bytes;           /* of the file so far */
    uint64_t unsynced_bytes;
    int error;             /* 0 or the errno of the first failure */
    const char *failed_at; /* "writing", ... for the log */
};

/* Creates the temporary file and writes the header's frame. false: output->error. All functions do nothing after a failure. */
bool checkpoint_output_begin(struct checkpoint_output *output, const uint8_t *header, size_t header_size);

/* Packs and writes one block of `size` bytes with `records` records. */
bool checkpoint_output_block(struct checkpoint_output *output, const uint8_t *data, uint32_t size,
                             uint32_t records);

/* Footer, sync, close, and the change of generations: when it returns true the checkpoint is durable under its name. */
bool checkpoint_output_finish(struct checkpoint_output *output);

/* Closes and removes what there is. To be called after a failure, and instead of finish. */
void checkpoint_output_abort(struct checkpoint_output *output);

#endif
