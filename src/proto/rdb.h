/* rdb.h - reads RDB files, the snapshots of Redis, so that their keys can be taken over.
 *
 * A streaming parser: bytes in, events out. Knows versions 1 to 10 (Redis 1 to 7.0), strings in all their encodings
 * (integers, LZF), databases, expiries and the trailing CRC64. Values of other types are stepped over by their
 * structure, and reported, so that the caller can count or refuse them. Every byte is hostile.
 * May touch: base, data/record's word for "no expiry", liblzf. Must never know: files, the clock, the keyspace.
 * Invariants: memory grows with the bytes that have come, never with a length that they claim; the work is linear in
 * the bytes, however they are cut into pieces; what is stepped over is not kept, however long it is.
 * Source: the format as https://rdb.fnordig.de/file_format.html and redis/src/rdb.h describe it.
 * Tests: tests/unit/proto/rdb_test.c, tests/fuzz/rdb_fuzz.c, files of a real redis-server in tests/rdb/run.
 *
 *     while ((event = rdb_reader_next(&reader)) != RDB_END)
 *         switch (event) { RDB_STRING: take it; RDB_NEED_INPUT: feed, or finish where the file ends; ... }
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef PROTO_RDB_H
#define PROTO_RDB_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

#define RDB_MAGIC       "REDIS"
#define RDB_MAGIC_SIZE  5
#define RDB_VERSION_MAX 10

/* How deep the structures of values nest: groups of a stream, their consumers, the entries that those were given. */
#define RDB_LEVELS_MAX 3

#define RDB_PROBLEM_SIZE 128

enum rdb_event {
    RDB_STRING,     /* key, value, expiry_ms, database; valid until the next call */
    RDB_OTHER_TYPE, /* key, type_name, expiry_ms, database: a value that is no string, stepped over; as long */
    RDB_NEED_INPUT, /* feed more, or finish */
    RDB_END, /* the end was reached and the checksum (if there is one) is right; from now on always this */
    RDB_MALFORMED, /* problem says what, and where; from now on always this */
    RDB_NO_MEMORY  /* nothing is lost: the next call tries again */
};

struct rdb_reader {
    /* For the caller to read. */
    struct buffer key, value; /* at RDB_STRING data is never null; of other types there is only the key */
    int64_t expiry_ms;        /* of the key at hand, since 1970, never negative; or RECORD_NO_EXPIRY */
    uint32_t database;
    int version;                    /* 0 until it is known */
    const char *type_name;          /* as TYPE says it: "list", "set", "zset", "hash", "stream"; "module" */
    uint64_t libraries;             /* libraries of functions that were stepped over: these are no keys */
    char problem[RDB_PROBLEM_SIZE]; /* a text with a zero byte behind it */

    /* The reader's own. */
    struct buffer input;   /* begins with what is consumed already */
    size_t consumed;       /* of input */
    size_t checked;        /* of these: added to the checksum */
    uint64_t offset;       /* in the file, of input's begin */
    uint64_t checksum;     /* of all that is checked */
    struct buffer packed;  /* a compressed string, as far as it has come */
    uint64_t string_left;  /* bytes of the string at hand that are not consumed, of those in the file */
    uint64_t unpacked;     /* the size of the compressed string at hand */
    uint64_t skipped_left; /* bytes to be stepped over */
    const char *layout;    /* what is still to be stepped over, in the letters of rdb.c */
    struct {
        const char *begin;
        uint64_t left;
    } levels[RDB_LEVELS_MAX]; /* repetitions inside of it */
    unsigned level_count;
    uint8_t state, string_form;
    bool has_key;  /* what is stepped over is a key's value */
    bool is_whole; /* nothing follows input */
    uint8_t event; /* what made the reader stop */
};

void rdb_reader_init(struct rdb_reader *reader, struct mem *mem);
void rdb_reader_release(struct rdb_reader *reader);

/* Appends bytes of the file; false: no memory, and nothing is appended. Best called after RDB_NEED_INPUT: then at most
 * some dozen bytes wait, and input stays as small as the pieces. */
bool rdb_reader_feed(struct rdb_reader *reader, const void *data, size_t size);

/* Says that no bytes follow: RDB_NEED_INPUT becomes RDB_MALFORMED ("ends early"). */
void rdb_reader_finish(struct rdb_reader *reader);

/* The next event. */
enum rdb_event rdb_reader_next(struct rdb_reader *reader);

/* How many bytes of the file are read; after RDB_END the size of the snapshot. What was fed beyond it, was not looked
 * at: an append-only file may begin with a snapshot. */
static inline uint64_t rdb_reader_position(const struct rdb_reader *reader) {
    return reader->offset + reader->consumed;
}

#endif
