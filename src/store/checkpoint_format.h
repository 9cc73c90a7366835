/* checkpoint_format.h - the bytes of a checkpoint file. This is the one place that says what they mean.
 *
 * A checkpoint is a sequence of LZ4 frames (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md): what is ours lies in
 * skippable frames, the blocks of records are LZ4 frames, so that `lz4 -d` unpacks the blocks of any checkpoint.
 *
 *     header frame                                    one
 *     block frame, LZ4 frame of that block            any number of times
 *     footer frame                                    one; the file ends behind it
 *
 * Numbers have their lowest byte first. A frame of ours:
 *
 *     u32      0x184D2A5B
 *     u32      size of what follows
 *     8 bytes  "redis-kv"
 *     u8       kind: 'H', 'B' or 'F'
 *     ...      fields
 *     u64      XXH3 of all since "redis-kv"
 *
 * Fields of the header:
 *     u16      format version: CHECKPOINT_VERSION. A reader refuses higher ones. Files of version 1 have no merge states.
 *     u64      serial: a random number that every frame of this file repeats; bytes of another file betray themselves
 *     20       node id of the writer
 *     u64      incarnation of the writer
 *     u64      the last counter (hybrid logical clock) that it had given: the moment of the image
 *     i64      the same moment on its wall clock, milliseconds since 1970
 *     u64      records in memory at that moment: for progress only
 *     u16      number of actors, then for each: node id (20), incarnation (u64); none comes twice. Records name actors by
 *              their place, from 0.
 *     u16      number of further sections, then for each: tag (u16), size (u32), bytes. Tags with the highest bit set may
 *              be skipped by who does not know them; others must be known. This version knows none.
 * Fields of a block:
 *     u64      serial
 *     u64      number of the block, from 0
 *     u32      its bytes unpacked, 1..CHECKPOINT_BLOCK_SIZE
 *     u32      bytes of the LZ4 frame behind this frame
 *     u32      records that begin in it
 *     u64      XXH3 of the LZ4 frame's bytes
 * The LZ4 frame is an independent one: no dictionary, blocks of at most 256 KiB.
 * Fields of the footer:
 *     u64      serial
 *     u64      number of blocks
 *     u64      number of records
 *     u64      bytes of all blocks unpacked
 *     u64      chain: 0, and for each block in order the XXH3 of 16 bytes, the chain so far and the block's checksum
 *
 * Unpacked, a block is a sequence of entries, each whole in one block. The first one of a block is a database:
 *
 *     0x01     a record: proto/record_codec.h with key, expiry and version (0x01 is its format byte)
 *     0x02     the same with a merge state (0x02 is its format byte)
 *     0x80     u8: records from here on are of this database
 *     0x81     a long record begins: varint bytes of its key that are left for parts, varint size of its value, then the
 *              record as above with the first bytes of its key (all of a key of up to CHECKPOINT_LONG_KEY_MAX bytes) and an
 *              empty value (none if it is a tombstone: then only its key is long)
 *     0x82     varint size, bytes: the next part of the long record that has begun, first of what is left of its key, then of
 *              its merge state, then of its value (a part may hold the end of one and the begin of the next); other records may
 *              come in between, another long one only when all parts are there. A part has at least one byte.
 *     0x84     u16, u16: slots from the first to the last; u64: what was not newer than this counter has been flushed from them; u64: their
 *              floor (store/floors.h). At the begin of the first blocks, of what is not 0; higher numbers count
 *     0x83     as 0x81 for a record with a merge state: varint size of the state, above 0, then as there. The record in it is one
 *              without a state
 *
 * Every key comes once. Expiry is absolute; what has expired is in the file if it had not when the image was made.
 *
 * May touch: base, data, proto. Must never know: files, LZ4, the keyspace.
 * Tests: tests/unit/store/checkpoint_format_test.c, tests/fuzz/checkpoint_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_CHECKPOINT_FORMAT_H
#define STORE_CHECKPOINT_FORMAT_H

#include "base/cursor.h"
#include "base/node_id.h"
#include "proto/record_codec.h"

#define CHECKPOINT_VERSION    2
#define CHECKPOINT_BLOCK_SIZE (256u * 1024)
#define CHECKPOINT_ACTORS_MAX 8192u /* a header with so many fits into CHECKPOINT_HEADER_SIZE_MAX */
/* Of a long record's key so much is in its first entry: keys may be larger than a block. */
#define CHECKPOINT_LONG_KEY_MAX (64u * 1024)
/* What the LZ4 frame of a block may take at most: more than LZ4 needs for what it cannot pack. */
#define CHECKPOINT_STORED_SIZE_MAX (CHECKPOINT_BLOCK_SIZE + CHECKPOINT_BLOCK_SIZE / 64 + 1024)

/* A frame's first 8 bytes, and the whole of the two that have a fixed size. */
#define CHECKPOINT_FRAME_HEAD_SIZE 8u
#define CHECKPOINT_BLOCK_HEAD_SIZE (8u + 9 + 36 + 8)
#define CHECKPOINT_FOOTER_SIZE     (8u + 9 + 40 + 8)
/* Of a header with so many actors and no sections; and what a reader takes at most. */
#define CHECKPOINT_HEADER_SIZE(actors) (8u + 9 + 64 + 28 * (size_t)(actors) + 2 + 8)
#define CHECKPOINT_HEADER_SIZE_MAX     (256u * 1024)

struct checkpoint_header {
    uint16_t version;
    uint16_t actor_count;
    uint64_t serial;
    struct actor_identity writer;
    uint64_t counter;
    int64_t time_ms;
    uint64_t records_expected;
    const uint8_t *actors; /* read: in the frame's bytes; checkpoint_header_actor() */
};

struct checkpoint_block_head {
    uint64_t serial, index;
    uint32_t size;        /* unpacked */
    uint32_t stored_size; /* of the LZ4 frame */
    uint32_t records;
    uint64_t checksum;
};

struct checkpoint_footer {
    uint64_t serial, blocks, records, bytes, chain;
};

/* ---- Writing. Each returns the end of what it wrote. ---- */

/* `out` has CHECKPOINT_HEADER_SIZE(actor_count) bytes. */
uint8_t *checkpoint_header_write(uint8_t *out, const struct checkpoint_header *header,
                                 const struct actor_identity *actors);
uint8_t *checkpoint_block_head_write(uint8_t *out, const struct checkpoint_block_head *head);
uint8_t *checkpoint_footer_write(uint8_t *out, const struct checkpoint_footer *footer);

/* Goes on with the footer's chain; begin with 0. */
uint64_t checkpoint_chain(uint64_t chain, uint64_t checksum);

/* Entries. The sizes are exact. A part's bytes are at most CHECKPOINT_BLOCK_SIZE - CHECKPOINT_PART_HEAD_MAX. */
#define CHECKPOINT_DATABASE_SIZE 2u
#define CHECKPOINT_PART_HEAD_MAX 6u
#define CHECKPOINT_SLOTS_SIZE    (1u + 2 + 2 + 8 + 8)
uint8_t *checkpoint_database_write(uint8_t *out, uint32_t database);
uint8_t *checkpoint_slots_write(uint8_t *out, uint32_t first_slot, uint32_t last_slot, uint64_t flush_counter,
                                uint64_t floor);
uint8_t *checkpoint_part_write(uint8_t *out, const uint8_t *bytes, uint32_t size);
/* parts: of the record with its whole key, whose value has `value_size` bytes (value and value_size in parts are ignored).
 * Bytes of the key from CHECKPOINT_LONG_KEY_MAX on, then the merge state, then the value, are to follow in parts: at least one byte
 * in all.
 * The entry always fits into a block behind a database. */
size_t checkpoint_long_size(const struct record_parts *parts, uint32_t value_size);
uint8_t *checkpoint_long_write(uint8_t *out, const struct record_parts *parts, uint32_t value_size);

/* ---- Reading. All bytes are hostile. ---- */

enum checkpoint_frame {
    CHECKPOINT_FRAME_HEADER,
    CHECKPOINT_FRAME_BLOCK,
    CHECKPOINT_FRAME_FOOTER,
    CHECKPOINT_FRAME_BROKEN /* none of ours, or damaged */
};

/* Size of the frame that begins with these CHECKPOINT_FRAME_HEAD_SIZE bytes, them included; 0: none of ours, or larger than any of ours. */
size_t checkpoint_frame_size(const uint8_t *head);

/* What a whole frame is; its checksum is right unless BROKEN. */
enum checkpoint_frame checkpoint_frame_kind(const uint8_t *frame, size_t size);

enum checkpoint_header_status {
    CHECKPOINT_HEADER_GOOD,
    CHECKPOINT_HEADER_NEWER, /* a later version, or a section that must be known: undamaged, but not for us; only
                                header->version is set */
    CHECKPOINT_HEADER_BROKEN
};
enum checkpoint_header_status checkpoint_header_read(const uint8_t *frame, size_t size,
                                                     struct checkpoint_header *header);
struct actor_identity checkpoint_header_actor(const struct checkpoint_header *header, uint32_t index);

/* false: broken. Sizes are within their limits. */
bool checkpoint_block_head_read(const uint8_t *frame, size_t size, struct checkpoint_block_head *head);
bool checkpoint_footer_read(const uint8_t *frame, size_t size, struct checkpoint_footer *footer);

enum checkpoint_entry_kind {
    CHECKPOINT_RECORD,
    CHECKPOINT_DATABASE,
    CHECKPOINT_LONG, /* parts.value is empty; key_left, state_size and value_size say what follows in parts, 1 byte at least */
    CHECKPOINT_PART,  /* bytes, size */
    CHECKPOINT_SLOTS, /* first_slot <= last_slot, flush_counter, floor */
    CHECKPOINT_ENTRY_BROKEN
};

struct checkpoint_entry {
    struct record_parts parts; /* key and value point into the block */
    struct dot others[VERSION_DOTS_MAX];
    uint32_t database;
    uint32_t key_left; /* parts.key_size + key_left <= VALUE_SIZE_MAX */
    uint32_t state_size;
    uint32_t value_size;
    const uint8_t *bytes;
    uint32_t size;
    uint32_t first_slot, last_slot;
    uint64_t flush_counter, floor;
};

/* Whether all actors of a merge state are below actor_count. */
bool checkpoint_state_names_actors(const uint8_t *state, size_t size, uint32_t actor_count);

/* Reads the next entry of an unpacked block (one that has bytes left). Actors are as the file numbers them, below
 * actor_count; databases are below DATABASE_COUNT. BROKEN: the cursor has failed. */
enum checkpoint_entry_kind checkpoint_entry_read(struct cursor *cursor, uint32_t actor_count,
                                                 struct checkpoint_entry *entry);

#endif
