/* checkpoint_output.c - packs blocks into LZ4 frames and appends them to the temporary file.
 *
 * May touch: a struct disk, LZ4. Must never know: the keyspace, the node.
 * Tests: tests/unit/store/checkpoint_input_test.c, tests/unit/store/checkpoint_writer_test.c, the simulator's crash points.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/checkpoint_output.h"

#include "base/check.h"
#include "base/checksum.h"

#include <errno.h>

static bool note_failure(struct checkpoint_output *output, int error, const char *failed_at) {
    output->error = error;
    output->failed_at = failed_at;
    return false;
}

static bool write_bytes(struct checkpoint_output *output, const void *bytes, size_t size) {
    int error = output->disk->write(output->file, bytes, size);
    if (error != 0)
        return note_failure(output, error, "writing");
    output->stored_bytes += size;
    output->unsynced_bytes += size;
    if (output->unsynced_bytes >= CHECKPOINT_SYNC_BYTES) {
        output->disk->begin_sync(output->file);
        output->unsynced_bytes = 0;
    }
    return true;
}

static void free_packer(struct checkpoint_output *output) {
    if (output->packer != NULL)
        LZ4F_freeCompressionContext(output->packer);
    output->packer = NULL;
}

bool checkpoint_output_begin(struct checkpoint_output *output, const uint8_t *header, size_t header_size) {
    if (output->error != 0)
        return false;
    output->footer = (struct checkpoint_footer){.serial = output->serial};
    if (LZ4F_isError(LZ4F_createCompressionContext(&output->packer, LZ4F_VERSION))) {
        output->packer = NULL;
        return note_failure(output, ENOMEM, "finding memory to pack");
    }
    struct disk_file *file;
    int error = output->disk->create(output->disk->context, output->names.temporary, &file);
    if (error != 0)
        return note_failure(output, error, "creating the temporary file");
    output->file = file;
    return write_bytes(output, header, header_size);
}

/* One LZ4 frame of one block, which is packed straight from where it lies. 0: no memory. */
static size_t pack(struct checkpoint_output *output, uint8_t *out, const uint8_t *data, uint32_t size) {
    LZ4F_preferences_t preferences = {
        .frameInfo = {.blockSizeID = LZ4F_max256KB, .blockMode = LZ4F_blockIndependent, .contentSize = size},
        .autoFlush = 1};
    CHECK(LZ4F_HEADER_SIZE_MAX + LZ4F_compressBound(size, &preferences) <= CHECKPOINT_STORED_SIZE_MAX);
    size_t written = LZ4F_compressBegin(output->packer, out, CHECKPOINT_STORED_SIZE_MAX, &preferences);
    if (LZ4F_isError(written))
        return 0;
    size_t total = written;
    written = LZ4F_compressUpdate(output->packer, out + total, CHECKPOINT_STORED_SIZE_MAX - total, data, size,
                                  NULL);
    if (LZ4F_isError(written))
        return 0;
    total += written;
    written = LZ4F_compressEnd(output->packer, out + total, CHECKPOINT_STORED_SIZE_MAX - total, NULL);
    return LZ4F_isError(written) ? 0 : total + written;
}

bool checkpoint_output_block(struct checkpoint_output *output, const uint8_t *data, uint32_t size,
                             uint32_t records) {
    if (output->error != 0)
        return false;
    CHECK(size > 0 && size <= CHECKPOINT_BLOCK_SIZE && records <= size);
    uint8_t *stored = output->packed + CHECKPOINT_BLOCK_HEAD_SIZE;
    size_t stored_size = pack(output, stored, data, size);
    if (stored_size == 0)
        return note_failure(output, ENOMEM, "packing");
    struct checkpoint_footer *footer = &output->footer;
    struct checkpoint_block_head head = {.serial = output->serial,
                                         .index = footer->blocks,
                                         .size = size,
                                         .stored_size = (uint32_t)stored_size,
                                         .records = records,
                                         .checksum = checksum_bytes(stored, stored_size)};
    checkpoint_block_head_write(output->packed, &head);
    if (!write_bytes(output, output->packed, CHECKPOINT_BLOCK_HEAD_SIZE + stored_size))
        return false;
    footer->blocks++;
    footer->records += records;
    footer->bytes += size;
    footer->chain = checkpoint_chain(footer->chain, head.checksum);
    return true;
}

bool checkpoint_output_finish(struct checkpoint_output *output) {
    if (output->error != 0)
        return false;
    const struct disk *disk = output->disk;
    uint8_t footer[CHECKPOINT_FOOTER_SIZE];
    checkpoint_footer_write(footer, &output->footer);
    if (!write_bytes(output, footer, sizeof footer))
        return false;
    int error = disk->sync(output->file);
    if (error != 0)
        return note_failure(output, error, "syncing");
    struct disk_file *file = output->file;
    output->file = NULL;
    error = disk->close(file);
    if (error != 0)
        return note_failure(output, error, "closing");
    error = checkpoint_names_commit(&output->names, disk);
    if (error != 0)
        return note_failure(output, error, "renaming");
    free_packer(output);
    return true;
}

void checkpoint_output_abort(struct checkpoint_output *output) {
    const struct disk *disk = output->disk;
    if (output->file != NULL)
        (void)disk->close(output->file);
    output->file = NULL;
    /* If it is not there, or stays: the next checkpoint empties it first. */
    (void)disk->remove(disk->context, output->names.temporary);
    free_packer(output);
}
