/* checkpoint_input.h - the half of loading that the helper does: reads a checkpoint, checks it and unpacks its blocks.
 *
 * Every byte is hostile: lengths and counts are checked before they are believed, and nothing is allocated by them.
 * May touch: a struct disk, LZ4. Must never know: the keyspace, the node.
 * Tests: tests/unit/store/checkpoint_input_test.c, tests/fuzz/checkpoint_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_CHECKPOINT_INPUT_H
#define STORE_CHECKPOINT_INPUT_H

#include "base/disk.h"
#include "store/checkpoint_format.h"

#include <lz4frame.h>

enum checkpoint_input_status {
    CHECKPOINT_INPUT_GOOD,
    CHECKPOINT_INPUT_END,     /* the footer was read, and all agrees with it */
    CHECKPOINT_INPUT_MISSING, /* there is no such file */
    CHECKPOINT_INPUT_FOREIGN, /* no checkpoint at all; is_rdb says whether it is one of Redis */
    CHECKPOINT_INPUT_NEWER,   /* of a later format version: header.version */
    CHECKPOINT_INPUT_DAMAGED, /* input->problem says what and where. An empty file, and one that begins with zeros, is damaged, too */
    CHECKPOINT_INPUT_FAILED /* the disk or memory: input->error is an errno; problem says where, without the errno's text */
};

struct checkpoint_input {
    const struct disk *disk;
    struct disk_file *file;
    LZ4F_dctx *unpacker;
    uint8_t *packed; /* CHECKPOINT_PACKED_SIZE bytes, the caller's */
    uint8_t *
        header_bytes; /* CHECKPOINT_HEADER_SIZE_MAX bytes, the caller's: the header's actors point into them */
    uint64_t file_size, position;
    struct checkpoint_header header;
    struct checkpoint_footer seen; /* what the footer should say */
    bool is_rdb;
    int error;
    char problem[160];
};

/* Opens a file and reads its header. input->packed and input->header_bytes are set by the caller and live as long; all else is
 * initialised here. GOOD, MISSING, FOREIGN, NEWER, DAMAGED or FAILED. To be closed after any of them. */
enum checkpoint_input_status checkpoint_input_open(struct checkpoint_input *input, const struct disk *disk,
                                                   const char *name);

/* The next block, unpacked into data (CHECKPOINT_BLOCK_SIZE bytes). GOOD, END, DAMAGED or FAILED; not to be called again after
 * one that is not GOOD. */
enum checkpoint_input_status checkpoint_input_next(struct checkpoint_input *input, uint8_t *data,
                                                   uint32_t *size, uint32_t *records);

void checkpoint_input_close(struct checkpoint_input *input);

#endif
