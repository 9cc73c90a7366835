/* checkpoint_input.c - reads a checkpoint frame by frame and believes nothing before it is checked.
 *
 * May touch: a struct disk, LZ4. Must never know: the keyspace, the node.
 * Tests: tests/unit/store/checkpoint_input_test.c, tests/fuzz/checkpoint_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/checkpoint_input.h"

#include "base/checksum.h"
#include "proto/rdb.h"
#include "store/checkpoint_output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* How a file begins: what of a frame does not depend on its size, up to the end of "redis-kv". */
#define BEGIN_SIZE 16u

__attribute__((format(printf, 2, 3))) static enum checkpoint_input_status damaged(
    struct checkpoint_input *input, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(input->problem, sizeof input->problem, format, arguments);
    va_end(arguments);
    return CHECKPOINT_INPUT_DAMAGED;
}

static enum checkpoint_input_status failed(struct checkpoint_input *input, int error, const char *what) {
    input->error = error;
    snprintf(input->problem, sizeof input->problem, "%s at byte %" PRIu64, what, input->position);
    return CHECKPOINT_INPUT_FAILED;
}

/* Reads on; false: input->error. *got is less than size at the end of the file only. */
static bool read_on(struct checkpoint_input *input, uint8_t *bytes, size_t size, size_t *got) {
    *got = 0;
    int error = input->disk->read(input->file, bytes, size, got);
    if (error != 0) {
        failed(input, error, "reading");
        return false;
    }
    input->position += *got;
    return true;
}

/* ---- The header ---- */

static bool is_zeros(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* Judges the first bytes of a file: GOOD if its header can be read on. A checkpoint that has lost some of them is told from
 * what never was one, as the former may be set aside, and the latter is somebody's. */
static enum checkpoint_input_status judge_begin(struct checkpoint_input *input, const uint8_t *begin,
                                                size_t size) {
    static const uint8_t ours[BEGIN_SIZE] = {0x5b, 0x2a, 0x4d, 0x18, 0,   0,   0,   0,
                                             'r',  'e',  'd',  'i',  's', '-', 'k', 'v'};
    size_t magic_size = size < 4 ? size : 4;
    bool has_magic = memcmp(begin, ours, magic_size) == 0;
    bool has_name = size == BEGIN_SIZE && memcmp(begin + 8, ours + 8, 8) == 0;
    if (size == 0)
        return damaged(input, "the file is empty");
    if (has_magic && size < BEGIN_SIZE)
        return damaged(input, "the file ends at byte %zu, within its header", size);
    if (has_magic && has_name && checkpoint_frame_size(begin) != 0)
        return CHECKPOINT_INPUT_GOOD;
    if (has_magic || has_name)
        return damaged(input, "header at byte 0: does not begin as one");
    if (is_zeros(begin, size))
        return damaged(input, "the file begins with zeros");
    input->is_rdb = size >= RDB_MAGIC_SIZE && memcmp(begin, RDB_MAGIC, RDB_MAGIC_SIZE) == 0;
    return CHECKPOINT_INPUT_FOREIGN;
}

static enum checkpoint_input_status read_header(struct checkpoint_input *input) {
    uint8_t *frame = input->header_bytes;
    size_t got;
    if (!read_on(input, frame, BEGIN_SIZE, &got))
        return CHECKPOINT_INPUT_FAILED;
    enum checkpoint_input_status status = judge_begin(input, frame, got);
    if (status != CHECKPOINT_INPUT_GOOD)
        return status;
    size_t size = checkpoint_frame_size(frame), left = size - BEGIN_SIZE;
    if (!read_on(input, frame + BEGIN_SIZE, left, &got))
        return CHECKPOINT_INPUT_FAILED;
    if (got < left)
        return damaged(input, "the file ends at byte %" PRIu64 ", within its header", input->position);
    if (checkpoint_frame_kind(frame, size) != CHECKPOINT_FRAME_HEADER)
        return damaged(input, "header at byte 0: checksum does not match");
    switch (checkpoint_header_read(frame, size, &input->header)) {
    case CHECKPOINT_HEADER_GOOD: return CHECKPOINT_INPUT_GOOD;
    case CHECKPOINT_HEADER_NEWER: return CHECKPOINT_INPUT_NEWER;
    default: return damaged(input, "header at byte 0: its fields make no sense");
    }
}

enum checkpoint_input_status checkpoint_input_open(struct checkpoint_input *input, const struct disk *disk,
                                                   const char *name) {
    *input =
        (struct checkpoint_input){.disk = disk, .packed = input->packed, .header_bytes = input->header_bytes};
    struct disk_file *file;
    int error = disk->open(disk->context, name, &file, &input->file_size);
    if (error == ENOENT)
        return CHECKPOINT_INPUT_MISSING;
    if (error != 0)
        return failed(input, error, "opening");
    input->file = file;
    enum checkpoint_input_status status = read_header(input);
    if (status != CHECKPOINT_INPUT_GOOD)
        return status;
    input->seen.serial = input->header.serial;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&input->unpacker, LZ4F_VERSION))) {
        input->unpacker = NULL;
        return failed(input, ENOMEM, "finding memory to unpack");
    }
    return CHECKPOINT_INPUT_GOOD;
}

/* ---- Blocks ---- */

/* The library numbers its errors for those only who link it into themselves; their names are for all. */
static bool is_no_memory(size_t result) {
    return LZ4F_isError(result) && strcmp(LZ4F_getErrorName(result), "ERROR_allocation_failed") == 0;
}

/* Unpacks exactly one LZ4 frame of `stored_size` bytes to exactly `size`. false: it is none; or there is no memory, which is
 * no fault of the file's. */
static bool unpack(LZ4F_dctx *unpacker, const uint8_t *stored, size_t stored_size, uint8_t *data,
                   uint32_t size, bool *no_memory) {
    LZ4F_frameInfo_t frame = {0};
    LZ4F_decompressOptions_t options = {.stableDst = 1};
    size_t taken = stored_size;
    size_t wanted = LZ4F_getFrameInfo(unpacker, &frame, stored, &taken);
    /* Larger blocks would make LZ4 take more memory than ours need. */
    if (LZ4F_isError(wanted) || wanted == 0 || frame.blockSizeID > LZ4F_max256KB || frame.dictID != 0)
        return false;
    size_t position = taken, written = 0;
    while (wanted != 0) {
        size_t room = CHECKPOINT_BLOCK_SIZE - written;
        taken = stored_size - position;
        wanted = LZ4F_decompress(unpacker, data + written, &room, stored + position, &taken, &options);
        if (LZ4F_isError(wanted)) {
            *no_memory = is_no_memory(wanted);
            return false;
        }
        position += taken;
        written += room;
        if (wanted != 0 && taken == 0 && room == 0) /* it asks for more than there is */
            return false;
    }
    return position == stored_size && written == size;
}

static enum checkpoint_input_status ends_early(struct checkpoint_input *input) {
    return damaged(input, "the file ends at byte %" PRIu64 ", within or before block %" PRIu64,
                   input->position, input->seen.blocks);
}

static enum checkpoint_input_status read_block(struct checkpoint_input *input, uint64_t at, size_t frame_size,
                                               uint8_t *data, uint32_t *size, uint32_t *records) {
    struct checkpoint_footer *seen = &input->seen;
    struct checkpoint_block_head head;
    const char *problem = NULL;
    if (!checkpoint_block_head_read(input->packed, frame_size, &head))
        problem = "its fields make no sense";
    else if (head.serial != seen->serial)
        problem = "belongs to another file";
    else if (head.index != seen->blocks)
        problem = "is another block of this file";
    if (problem == NULL) {
        size_t got;
        bool no_memory = false;
        if (!read_on(input, input->packed, head.stored_size, &got))
            return CHECKPOINT_INPUT_FAILED;
        if (got < head.stored_size)
            return ends_early(input);
        if (checksum_bytes(input->packed, head.stored_size) != head.checksum)
            problem = "checksum does not match";
        else if (!unpack(input->unpacker, input->packed, head.stored_size, data, head.size, &no_memory))
            problem = "cannot be unpacked";
        if (no_memory)
            return failed(input, ENOMEM, "unpacking");
    }
    if (problem != NULL)
        return damaged(input, "block %" PRIu64 " at byte %" PRIu64 ": %s", seen->blocks, at, problem);
    seen->blocks++;
    seen->records += head.records;
    seen->bytes += head.size;
    seen->chain = checkpoint_chain(seen->chain, head.checksum);
    *size = head.size;
    *records = head.records;
    return CHECKPOINT_INPUT_GOOD;
}

static enum checkpoint_input_status read_footer(struct checkpoint_input *input, uint64_t at,
                                                size_t frame_size) {
    const struct checkpoint_footer *seen = &input->seen;
    struct checkpoint_footer footer;
    const char *problem = NULL;
    if (!checkpoint_footer_read(input->packed, frame_size, &footer))
        problem = "its fields make no sense";
    else if (footer.serial != seen->serial)
        problem = "belongs to another file";
    else if (footer.blocks != seen->blocks)
        problem = "another number of blocks than there are";
    else if (footer.records != seen->records || footer.bytes != seen->bytes || footer.chain != seen->chain)
        problem = "other blocks than there are";
    if (problem != NULL)
        return damaged(input, "footer at byte %" PRIu64 ": %s", at, problem);
    uint8_t beyond;
    size_t got;
    if (!read_on(input, &beyond, 1, &got))
        return CHECKPOINT_INPUT_FAILED;
    if (got != 0)
        return damaged(input, "there is something behind the footer at byte %" PRIu64, at);
    return CHECKPOINT_INPUT_END;
}

enum checkpoint_input_status checkpoint_input_next(struct checkpoint_input *input, uint8_t *data,
                                                   uint32_t *size, uint32_t *records) {
    uint64_t at = input->position;
    uint8_t *frame = input->packed;
    size_t got;
    if (!read_on(input, frame, CHECKPOINT_FRAME_HEAD_SIZE, &got))
        return CHECKPOINT_INPUT_FAILED;
    if (got < CHECKPOINT_FRAME_HEAD_SIZE)
        return ends_early(input);
    size_t frame_size = checkpoint_frame_size(frame);
    if (frame_size != CHECKPOINT_BLOCK_HEAD_SIZE && frame_size != CHECKPOINT_FOOTER_SIZE)
        return damaged(input, "block %" PRIu64 " at byte %" PRIu64 ": does not begin as one",
                       input->seen.blocks, at);
    size_t left = frame_size - CHECKPOINT_FRAME_HEAD_SIZE;
    if (!read_on(input, frame + CHECKPOINT_FRAME_HEAD_SIZE, left, &got))
        return CHECKPOINT_INPUT_FAILED;
    if (got < left)
        return ends_early(input);
    switch (checkpoint_frame_kind(frame, frame_size)) {
    case CHECKPOINT_FRAME_BLOCK: return read_block(input, at, frame_size, data, size, records);
    case CHECKPOINT_FRAME_FOOTER: return read_footer(input, at, frame_size);
    default:
        return damaged(input, "head of block %" PRIu64 " at byte %" PRIu64 ": checksum does not match",
                       input->seen.blocks, at);
    }
}

void checkpoint_input_close(struct checkpoint_input *input) {
    if (input->unpacker != NULL)
        LZ4F_freeDecompressionContext(input->unpacker);
    input->unpacker = NULL;
    if (input->file != NULL)
        (void)input->disk->close(input->file);
    input->file = NULL;
}
