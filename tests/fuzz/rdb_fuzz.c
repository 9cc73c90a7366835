/* rdb_fuzz.c - any bytes as an RDB file: read to an end or refused, the same however they come, in little memory.
 *
 * Input: a byte that chooses the pieces, a byte that chooses the allocation that fails, then the file.
 * Checked: in one piece, byte by byte, in pieces of one size and with an allocation that fails the reader finds the same
 * keys and the same end, with the same words; its memory is bounded by the bytes there are; a file that is cut before its
 * end ends early; where only the checksum is wrong, the right one makes it whole; nothing is left allocated.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "proto/rdb.h"

#include "base/limits.h"
#include "data/record.h"

#include <stdlib.h>

#define CHECKSUM_SIZE 8
#define FLAGS_SIZE    2
#define CUTS          16u

/* A byte of LZF may stand for 88; key, value and what grows them may be there at once. */
#define MEMORY_MAX(size) (16384 + 400 * (size))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    struct buffer events; /* of each: what it is, and all that belongs to it */
    enum rdb_event end;
    char problem[RDB_PROBLEM_SIZE];
    uint64_t position, checksum;
};

static void note(struct buffer *events, const void *data, size_t size) {
    CHECK(buffer_append(events, &size, sizeof size) && buffer_append(events, data, size));
}

static void note_event(struct reading *reading, const struct rdb_reader *reader, enum rdb_event event) {
    note(&reading->events, &event, sizeof event);
    note(&reading->events, reader->key.data, reader->key.size);
    note(&reading->events, &reader->database, sizeof reader->database);
    note(&reading->events, &reader->expiry_ms, sizeof reader->expiry_ms);
    CHECK(reader->key.size <= VALUE_SIZE_MAX && reader->value.size <= VALUE_SIZE_MAX);
    CHECK(reader->expiry_ms >= 0 || reader->expiry_ms == RECORD_NO_EXPIRY);
    if (event == RDB_STRING)
        note(&reading->events, reader->value.data, reader->value.size);
    else
        note(&reading->events, reader->type_name, strlen(reader->type_name));
}

static struct reading read_file(struct mem *notes, const uint8_t *data, size_t size, size_t piece,
                                uint64_t fuse) {
    struct mem mem = {.fuse = fuse};
    struct rdb_reader reader;
    struct reading reading = {.end = RDB_NEED_INPUT};
    size_t fed = 0;
    buffer_init(&reading.events, notes);
    rdb_reader_init(&reader, &mem);
    while (reading.end != RDB_END && reading.end != RDB_MALFORMED) {
        reading.end = rdb_reader_next(&reader);
        CHECK(mem.used_bytes <= MEMORY_MAX(size));
        if (reading.end == RDB_STRING || reading.end == RDB_OTHER_TYPE)
            note_event(&reading, &reader, reading.end);
        CHECK(reading.end != RDB_NO_MEMORY || fuse != 0);
        if (reading.end != RDB_NEED_INPUT)
            continue;
        size_t part = size - fed < piece ? size - fed : piece;
        if (part == 0)
            rdb_reader_finish(&reader);
        else
            while (!rdb_reader_feed(&reader, data + fed, part))
                CHECK(fuse != 0);
        fed += part;
    }
    CHECK(rdb_reader_next(&reader) == reading.end);
    memcpy(reading.problem, reader.problem, sizeof reading.problem);
    reading.position = rdb_reader_position(&reader);
    reading.checksum = reader.checksum;
    CHECK(reading.position <= fed);
    rdb_reader_release(&reader);
    CHECK(mem.used_bytes == 0 && mem.allocations == 0);
    return reading;
}

static void expect_same(struct mem *notes, const struct reading *wanted, const uint8_t *data, size_t size,
                        size_t piece, uint64_t fuse) {
    struct reading reading = read_file(notes, data, size, piece, fuse);
    CHECK(reading.end == wanted->end && reading.position == wanted->position);
    CHECK(strcmp(reading.problem, wanted->problem) == 0);
    CHECK(reading.events.size == wanted->events.size);
    CHECK(reading.events.size == 0 ||
          memcmp(reading.events.data, wanted->events.data, reading.events.size) == 0);
    buffer_release(&reading.events);
}

/* A file that ends at `end` is too short wherever it is cut. */
static void cut(struct mem *notes, const uint8_t *data, size_t end) {
    for (size_t i = 0; i < CUTS && i < end; i++) {
        struct reading reading = read_file(notes, data, end <= CUTS ? i : end * i / CUTS, SIZE_MAX, 0);
        CHECK(reading.end == RDB_MALFORMED && strstr(reading.problem, "ends early") != NULL);
        buffer_release(&reading.events);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < FLAGS_SIZE)
        return 0;
    size_t piece = data[0] + 1u;
    uint64_t fuse = data[1] + 1u;
    struct mem notes = {0};
    size -= FLAGS_SIZE;
    uint8_t *file = malloc(size + 1);
    CHECK(file != NULL);
    memcpy(file, data + FLAGS_SIZE, size);
    struct reading whole = read_file(&notes, file, size, SIZE_MAX, 0);
    if (strstr(whole.problem, "checksum is wrong") != NULL) {
        CHECK(whole.end == RDB_MALFORMED && size - whole.position >= CHECKSUM_SIZE);
        for (unsigned i = 0; i < CHECKSUM_SIZE; i++)
            file[whole.position + i] = (uint8_t)(whole.checksum >> 8 * i);
        buffer_release(&whole.events);
        whole = read_file(&notes, file, size, SIZE_MAX, 0);
        CHECK(whole.end == RDB_END);
    }
    expect_same(&notes, &whole, file, size, 1, 0);
    expect_same(&notes, &whole, file, size, piece, 0);
    expect_same(&notes, &whole, file, size, piece, fuse);
    if (whole.end == RDB_END)
        cut(&notes, file, (size_t)whole.position);
    buffer_release(&whole.events);
    free(file);
    CHECK(notes.used_bytes == 0 && notes.allocations == 0);
    return 0;
}
