/* record_codec.h - the one encoding of a record outside of memory: on the wire, in hints, on disk, and in DUMP.
 *
 *   byte     format, 1, or 2: a merge state follows the version; another number is another layout of all that follows
 *   byte     bits 0-2 type, 3 has expiry, 4 has key, 5 has version, 6-7 encoding (as data/record.h numbers them)
 *   8 bytes  expiry, milliseconds since 1970                       if it has an expiry
 *   2+8      actor and counter of the newest dot                   if it has a version
 *   varint   number of further dots, then 2+8 bytes each, sorted by actor
 *   varint   size of the merge state, above 0, and its bytes       in format 2: exactly if there is one, and a version
 *   varint   size of the key, and its bytes                        if it has a key
 *   varint   size of the value, and its bytes                      unless it is a tombstone
 *
 * Fixed numbers have their lowest byte first; varints are LEB128 in its shortest form. A record has exactly one
 * encoding. Actors are the writer's numbers: who sends or stores records says elsewhere whom they stand for.
 *
 * What DUMP gives out is a byte of its own (so that the payloads of others are told apart), a record without key,
 * expiry and version, and a checksum of 8 bytes over both.
 *
 * May touch: base, data. Must never know: who reads or writes the bytes.
 * Invariants: whatever is read fits data/record.h's rules: known type and encoding, sizes within limits, dots sorted
 * with one each actor and counters above 0, the newest dot the highest; a tombstone has no expiry and no value; a merge state
 * is one (merge_state_is_valid) and has no dot above the newest.
 * Tests: tests/unit/proto/record_codec_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef PROTO_RECORD_CODEC_H
#define PROTO_RECORD_CODEC_H

#include "base/buffer.h"
#include "base/cursor.h"
#include "data/record.h"

/* What of a record is written beside type, encoding and value. An expiry is written where the record has one. */
#define RECORD_CODEC_KEY     1u
#define RECORD_CODEC_EXPIRY  2u
#define RECORD_CODEC_VERSION 4u
#define RECORD_CODEC_ALL     7u

/* Bytes that record_codec_write() writes. */
size_t record_codec_size(const struct record_parts *parts, unsigned with);

/* Writes the parts at `out` and returns the end. Parts are as a record has them (a valid one): parts->value is not
 * NULL where value_size is not 0. */
uint8_t *record_codec_write(uint8_t *out, const struct record_parts *parts, unsigned with);

/* The same with RECORD_CODEC_ALL for a record that has one dot and nothing else (no RECORD_VECTOR), straight from where it stands: at
 * most RECORD_CODEC_PLAIN_HEAD bytes more than its key and value. */
#define RECORD_CODEC_PLAIN_HEAD 32
uint8_t *record_codec_write_plain(uint8_t *out, const struct record *record);

/* The same at the end of a buffer; false: no memory (and the buffer's `failed` is set). */
bool record_codec_append(struct buffer *buffer, const struct record_parts *parts, unsigned with);

/* Reads the next record. Key and version are there exactly if `with` asks for them, an expiry only then. Key, value and
 * state point into the cursor's bytes; `others` has room for VERSION_DOTS_MAX dots. What is not there reads as an
 * empty key, RECORD_NO_EXPIRY and a dot of 0; access_s is 0. false: no valid encoding; the cursor has failed. */
bool record_codec_read(struct cursor *cursor, unsigned with, struct record_parts *parts, struct dot *others);

/* Whether the bytes may be the merge state of a record of these parts (type and newest): as an invariant above says. */
bool record_codec_takes_state(const struct record_parts *parts, const uint8_t *state, size_t size);

/* The version alone, as it stands within a record: newest, others and other_count of the parts. */
size_t record_codec_version_size(const struct record_parts *parts);
uint8_t *record_codec_write_version(uint8_t *out, const struct record_parts *parts);
bool record_codec_read_version(struct cursor *cursor, struct record_parts *parts, struct dot *others);

/* DUMP's payload of a value. */
size_t record_dump_size(const struct record_parts *parts);
uint8_t *record_dump_write(uint8_t *out, const struct record_parts *parts);

enum record_dump_status {
    RECORD_DUMP_GOOD,
    RECORD_DUMP_FOREIGN,  /* not written by this format, or damaged since */
    RECORD_DUMP_MALFORMED /* whoever made it knows the checksum, but not what a value looks like */
};

/* Reads a payload of unknown origin; on RECORD_DUMP_GOOD, parts has type, encoding and value (in place). */
enum record_dump_status record_dump_read(const uint8_t *data, size_t size, struct record_parts *parts);

#endif
