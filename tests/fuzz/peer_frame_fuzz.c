/* peer_frame_fuzz.c - any bytes as a stream of frames: proto/peer_frame.c against a reader that goes byte by byte.
 *
 * Input: a byte that chooses the limit of payloads (before the proof, or after it, where a frame at a time moves from the first
 * to the second), a byte that chooses the pieces in which the stream comes, the stream. A byte RUN_MARK and a byte n stand for
 * n * RUN_UNIT bytes of the one that follows.
 * Checked: the frames and the end are those that the slow reader finds, in one piece, in pieces and byte by byte; each frame,
 * written again, is the bytes that it came from; what is held stays below the limit while no frame is complete; nothing leaks.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "proto/peer_frame.h"

#include <stdlib.h>

#define RUN_MARK        0x1b
#define RUN_UNIT        64
#define STREAM_SIZE_MAX (256 * 1024)
#define UNPROVED_MAX    1024
#define PROVED_MAX      (64 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct limits {
    size_t first, others; /* of the first frame's payload, and of those after it */
};

/* ---- The slow reader: what a frame is, in the order of its bytes ---- */

struct slow {
    const uint8_t *data;
    size_t size, at;
    enum frame_status status; /* FRAME_COMPLETE: goes on */
};

/* The next byte, which must be `wanted`. */
static void expect_byte(struct slow *slow, uint8_t wanted) {
    if (slow->status != FRAME_COMPLETE)
        return;
    if (slow->at == slow->size)
        slow->status = FRAME_INCOMPLETE;
    else if (slow->data[slow->at++] != wanted)
        slow->status = FRAME_BROKEN;
}

/* The length of a bulk string with its line's end. */
static size_t read_length(struct slow *slow, size_t max) {
    size_t length = 0, digits = 0;
    expect_byte(slow, '$');
    while (slow->status == FRAME_COMPLETE && slow->at < slow->size && slow->data[slow->at] != '\r') {
        uint8_t byte = slow->data[slow->at++];
        length = length * 10 + (size_t)(byte - '0');
        if (byte < '0' || byte > '9' || length > max || (digits++ == 1 && length < 10))
            slow->status = FRAME_BROKEN;
    }
    if (slow->status == FRAME_COMPLETE && digits == 0)
        slow->status = slow->at == slow->size ? FRAME_INCOMPLETE : FRAME_BROKEN;
    expect_byte(slow, '\r');
    expect_byte(slow, '\n');
    return length;
}

static const uint8_t *read_bulk(struct slow *slow, size_t max, size_t *size) {
    *size = read_length(slow, max);
    if (slow->status != FRAME_COMPLETE)
        return NULL;
    if (slow->size - slow->at < *size + 2) {
        slow->status = FRAME_INCOMPLETE;
        return NULL;
    }
    const uint8_t *bytes = slow->data + slow->at;
    slow->at += *size;
    expect_byte(slow, '\r');
    expect_byte(slow, '\n');
    return slow->status == FRAME_COMPLETE ? bytes : NULL;
}

static uint64_t read_number(struct slow *slow, uint64_t least, uint64_t most) {
    size_t size;
    const uint8_t *digits = read_bulk(slow, 20, &size);
    uint64_t value = 0;
    if (digits == NULL)
        return 0;
    bool is_number = size != 0 && (size == 1 || digits[0] != '0');
    for (size_t i = 0; i < size && is_number; i++)
        is_number = digits[i] >= '0' && digits[i] <= '9' && !__builtin_mul_overflow(value, 10, &value) &&
                    !__builtin_add_overflow(value, (uint64_t)(digits[i] - '0'), &value);
    if (!is_number || value < least || value > most)
        slow->status = FRAME_BROKEN;
    return value;
}

static enum frame_status read_slowly(struct slow *slow, size_t payload_max, struct frame *frame) {
    slow->status = FRAME_COMPLETE;
    for (const char *line = "*4\r\n"; *line != '\0'; line++)
        expect_byte(slow, (uint8_t)*line);
    frame->kind = (unsigned)read_number(slow, 1, PEER_FRAME_KIND_MAX);
    frame->number = read_number(slow, 0, UINT64_MAX);
    frame->acknowledged = read_number(slow, 0, UINT64_MAX);
    frame->payload = read_bulk(slow, payload_max, &frame->size);
    return slow->status;
}

/* ---- The reader that is tested ---- */

/* Feeds the stream in pieces whose sizes follow from `choice`: 0 is one piece, 1 single bytes. */
static void read_in_pieces(const struct buffer *stream, const struct limits *limits, unsigned choice,
                           struct mem *mem) {
    struct peer_frame_reader *reader = peer_frame_reader_new(mem, limits->first);
    struct slow slow = {.data = stream->data, .size = stream->size};
    struct frame frame, expected;
    enum frame_status status = FRAME_INCOMPLETE, slow_status;
    size_t payload_max = limits->first;
    uint32_t state = choice;
    CHECK(reader != NULL);
    for (size_t come = 0; come < stream->size && status != FRAME_BROKEN;) {
        state = state * 1664525 + 1013904223;
        size_t piece = choice == 0 ? stream->size : 1 + (state >> 16) % choice;
        piece = piece < stream->size - come ? piece : stream->size - come;
        uint8_t *copy = malloc(piece);
        CHECK(copy != NULL);
        memcpy(copy, stream->data + come, piece);
        come += piece;
        CHECK(peer_frame_reader_feed(reader, copy, piece));
        free(copy);
        while ((status = peer_frame_reader_next(reader, &frame)) == FRAME_COMPLETE) {
            struct buffer again;
            size_t start = slow.at;
            CHECK(read_slowly(&slow, payload_max, &expected) == FRAME_COMPLETE && slow.at <= come);
            CHECK(frame.kind == expected.kind && frame.number == expected.number &&
                  frame.acknowledged == expected.acknowledged && frame.size == expected.size &&
                  memcmp(frame.payload, expected.payload, frame.size) == 0);
            buffer_init(&again, mem);
            CHECK(peer_frame_append(&again, &frame));
            CHECK(again.size == slow.at - start && memcmp(again.data, stream->data + start, again.size) == 0);
            buffer_release(&again);
            CHECK(peer_frame_reader_held(reader) == come - slow.at);
            payload_max = limits->others;
            peer_frame_reader_set_max(reader, payload_max);
        }
        CHECK(peer_frame_reader_held(reader) < payload_max + PEER_FRAME_HEAD_MAX + 2);
        struct slow rest = {.data = stream->data, .size = come, .at = slow.at};
        slow_status = read_slowly(&rest, payload_max, &expected);
        CHECK(slow_status == status);
    }
    peer_frame_reader_free(reader);
}

static void expand(const uint8_t *data, size_t size, struct buffer *stream) {
    for (size_t i = 0; i < size && stream->size < STREAM_SIZE_MAX; i++) {
        if (data[i] != RUN_MARK || i + 2 >= size) {
            CHECK(buffer_append_byte(stream, data[i]));
            continue;
        }
        size_t run = data[i + 1] * RUN_UNIT, room = STREAM_SIZE_MAX - stream->size;
        run = run < room ? run : room;
        CHECK(buffer_reserve(stream, run + 1));
        memset(stream->data + stream->size, data[i + 2], run);
        stream->size += run;
        i += 2;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3)
        return 0;
    static const struct limits choices[] = {
        {UNPROVED_MAX, UNPROVED_MAX}, {UNPROVED_MAX, PROVED_MAX}, {PROVED_MAX, PROVED_MAX}, {PROVED_MAX, 0}};
    const struct limits *limits = &choices[data[0] & 3];
    struct mem mem = {0};
    struct buffer stream;
    buffer_init(&stream, &mem);
    expand(data + 2, size - 2, &stream);
    read_in_pieces(&stream, limits, 0, &mem);
    read_in_pieces(&stream, limits, 2 + data[1] * 16u, &mem);
    if (stream.size < 4096)
        read_in_pieces(&stream, limits, 1, &mem);
    buffer_release(&stream);
    CHECK(mem.used_bytes == 0 && mem.allocations == 0);
    return 0;
}
