/* request_fuzz.c - any bytes as a stream of requests: what they mean does not depend on how they are cut into pieces.
 *
 * Input: a byte of flags (bit 0: the client has not said who it is; bits 1-3: room for arguments to begin with), a byte
 * that chooses the pieces, then the stream. In it, 0x1b n c stands for n * 1024 bytes c (n = 0: for 0x1b itself, and c
 * is not there), so that the limits are near.
 * Checked: request_parse() finds the requests that a slow parser of its own kind finds here, in one piece and in any
 * pieces, with the same words of error; it changes no byte of what is not complete; `needed` is never more than what
 * it takes; room is asked for only as far as bytes have come; a request written anew as an array is read as the same;
 * what a stranger may say means what it means to all.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "proto/request.h"

#include "base/buffer.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>

#define STREAM_SIZE_MAX (80u << 10) /* beyond the limit of a line */
#define RUN_MARK        0x1b        /* not a byte that fuzzing engines are fond of: runs take long */
#define RUN_UNIT        1024u
#define SMALL_SIZE_MAX  2048u /* streams up to this one come byte by byte, too */
#define PIECES_MAX      32u   /* others in about as many */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- What was read, as bytes that can be compared ---- */

struct transcript {
    struct buffer requests; /* of each: number of words, then size and bytes of each */
    enum request_status end;
    char error[REQUEST_ERROR_SIZE];
};

static void note_number(struct transcript *transcript, uint32_t number) {
    CHECK(buffer_append(&transcript->requests, &number, sizeof number));
}

static void note_word(struct transcript *transcript, const void *data, uint32_t size) {
    note_number(transcript, size);
    CHECK(buffer_append(&transcript->requests, data, size));
}

static void transcript_init(struct transcript *transcript, struct mem *mem) {
    *transcript = (struct transcript){.end = REQUEST_INCOMPLETE};
    buffer_init(&transcript->requests, mem);
}

static bool is_same(const struct transcript *one, const struct transcript *other) {
    size_t size = one->requests.size;
    return one->end == other->end && size == other->requests.size &&
           (size == 0 || memcmp(one->requests.data, other->requests.data, size) == 0);
}

/* ---- The slow parser ---- */

struct slow {
    const uint8_t *at, *end;
    const struct request_limits *limits;
    struct transcript *transcript;
};

/* Where the line at hand ends, which nobody makes too long. */
static enum request_status slow_line(const struct slow *slow, char last, const uint8_t **end) {
    size_t left = (size_t)(slow->end - slow->at);
    *end = memchr(slow->at, last, left < REQUEST_INLINE_MAX ? left : REQUEST_INLINE_MAX);
    if (*end != NULL)
        return REQUEST_COMPLETE;
    return left < REQUEST_INLINE_MAX ? REQUEST_INCOMPLETE : REQUEST_BROKEN;
}

/* The number on the line at hand. REQUEST_COMPLETE: it was read. */
static enum request_status slow_number(struct slow *slow, int64_t *value) {
    const uint8_t *cr;
    enum request_status status = slow_line(slow, '\r', &cr);
    if (status != REQUEST_COMPLETE)
        return status;
    if (slow->end - cr < 2)
        return REQUEST_INCOMPLETE;
    const uint8_t *first = slow->at + (*slow->at == '-');
    bool is_negative = first != slow->at;
    if (cr[1] != '\n' || first == cr || cr - first > 19 || (*first == '0' && (cr - first > 1 || is_negative)))
        return REQUEST_BROKEN;
    __int128 number = 0;
    for (; first < cr; first++) {
        if (*first < '0' || *first > '9')
            return REQUEST_BROKEN;
        number = number * 10 + (*first - '0');
    }
    number = is_negative ? -number : number;
    if (number < INT64_MIN || number > INT64_MAX)
        return REQUEST_BROKEN;
    *value = (int64_t)number;
    slow->at = cr + 2;
    return REQUEST_COMPLETE;
}

static enum request_status slow_array(struct slow *slow) {
    int64_t count, size;
    slow->at++;
    enum request_status status = slow_number(slow, &count);
    if (status != REQUEST_COMPLETE)
        return status;
    if (count > slow->limits->arguments_max)
        return REQUEST_BROKEN;
    note_number(slow->transcript, count < 0 ? 0 : (uint32_t)count);
    for (int64_t i = 0; i < count; i++) {
        if (slow->at == slow->end)
            return REQUEST_INCOMPLETE;
        if (*slow->at++ != '$')
            return REQUEST_BROKEN;
        status = slow_number(slow, &size);
        if (status != REQUEST_COMPLETE)
            return status;
        if (size < 0 || size > slow->limits->bulk_max)
            return REQUEST_BROKEN;
        if (slow->end - slow->at < size + 2)
            return REQUEST_INCOMPLETE;
        note_word(slow->transcript, slow->at, (uint32_t)size);
        slow->at += size;
        if (slow->at[0] != '\r' || slow->at[1] != '\n')
            return REQUEST_BROKEN;
        slow->at += 2;
    }
    return REQUEST_COMPLETE;
}

static bool is_among(uint8_t byte, const char *bytes, size_t count) {
    return memchr(bytes, byte, count) != NULL;
}

static unsigned hex_value(uint8_t byte) {
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *found = memchr(digits, byte, 32);
    return found == NULL ? 99 : (unsigned)(found - digits) % 16;
}

/* What a backslash and the bytes behind it stand for within quotes; answers how many bytes that took. */
static size_t slow_escape(const uint8_t *at, const uint8_t *end, uint8_t quote, uint8_t *byte) {
    static const char names[] = "nrtba", meanings[] = "\n\r\t\b\a";
    *byte = '\\';
    if (quote == '\'') {
        if (end - at < 2 || at[1] != '\'')
            return 1;
        *byte = '\'';
        return 2;
    }
    if (end - at >= 4 && at[1] == 'x' && hex_value(at[2]) < 16 && hex_value(at[3]) < 16) {
        *byte = (uint8_t)(hex_value(at[2]) * 16 + hex_value(at[3]));
        return 4;
    }
    if (end - at < 2)
        return 1;
    const char *name = memchr(names, at[1], 5);
    *byte = name == NULL ? at[1] : (uint8_t)meanings[name - names];
    return 2;
}

/* One word of a line into `word`; false: quotes that are not in balance. */
static bool slow_word(const uint8_t **at, const uint8_t *end, struct buffer *word) {
    buffer_clear(word);
    while (*at < end && !is_among(**at, " \n\r\t\0", 5)) {
        uint8_t byte = *(*at)++;
        if (byte != '"' && byte != '\'') {
            CHECK(buffer_append_byte(word, byte));
            continue;
        }
        uint8_t quote = byte;
        for (;;) {
            if (*at == end)
                return false;
            byte = **at;
            if (byte == quote)
                break;
            *at += byte == '\\' ? slow_escape(*at, end, quote, &byte) : 1;
            CHECK(buffer_append_byte(word, byte));
        }
        ++*at;
        return *at == end || is_among(**at, " \t\n\v\f\r", 6); /* a closing quote ends the word */
    }
    return true;
}

static enum request_status slow_inline(struct slow *slow) {
    const uint8_t *end;
    enum request_status status = slow_line(slow, '\n', &end);
    if (status != REQUEST_COMPLETE)
        return status;
    const uint8_t *at = slow->at, *next = end + 1;
    if (end > at && end[-1] == '\r')
        end--;
    struct buffer word;
    buffer_init(&word, slow->transcript->requests.mem);
    size_t count_at = slow->transcript->requests.size;
    uint32_t count = 0;
    bool is_balanced = true;
    note_number(slow->transcript, 0);
    while (is_balanced) {
        while (at < end && is_among(*at, " \t\n\v\f\r", 6))
            at++;
        if (at == end || *at == '\0')
            break;
        is_balanced = slow_word(&at, end, &word);
        note_word(slow->transcript, word.data, (uint32_t)word.size);
        count++;
    }
    memcpy(slow->transcript->requests.data + count_at, &count, sizeof count);
    buffer_release(&word);
    slow->at = next;
    return is_balanced ? REQUEST_COMPLETE : REQUEST_BROKEN;
}

static void read_slowly(const uint8_t *stream, size_t size, const struct request_limits *limits,
                        struct transcript *transcript) {
    struct slow slow = {.at = stream, .end = stream + size, .limits = limits, .transcript = transcript};
    while (slow.at < slow.end) {
        size_t mark = transcript->requests.size;
        transcript->end = *slow.at == '*' ? slow_array(&slow) : slow_inline(&slow);
        if (transcript->end != REQUEST_COMPLETE) {
            transcript->requests.size = mark;
            return;
        }
    }
    transcript->end = REQUEST_INCOMPLETE;
}

/* ---- The parser under test ---- */

struct reader {
    const struct request_limits *limits;
    struct argument *arguments;
    size_t capacity;
    struct transcript *transcript;
};

/* Parses the front; room for arguments is made as it is asked for. */
static enum request_status parse(struct reader *reader, uint8_t *data, size_t size, struct request *request) {
    for (;;) {
        *request = (struct request){0};
        enum request_status status =
            request_parse(data, size, reader->limits, reader->arguments, reader->capacity, request);
        if (status != REQUEST_NO_ROOM)
            return status;
        CHECK(request->argc > reader->capacity && request->argc <= size / 2 + 1);
        size_t doubled = reader->capacity * 2;
        reader->capacity = doubled > request->argc ? doubled : request->argc;
        free(reader->arguments);
        reader->arguments = malloc(reader->capacity * sizeof *reader->arguments);
        CHECK(reader->arguments != NULL);
    }
}

/* Written anew as an array, the request is the same. */
static void check_array_form(const struct reader *reader, uint32_t argc) {
    static const struct request_limits all = {.arguments_max = REQUEST_ARGUMENTS_MAX,
                                              .bulk_max = VALUE_SIZE_MAX};
    struct buffer wire;
    buffer_init(&wire, reader->transcript->requests.mem);
    CHECK(buffer_append_format(&wire, "*%u\r\n", argc));
    for (uint32_t i = 0; i < argc; i++)
        CHECK(buffer_append_format(&wire, "$%u\r\n", reader->arguments[i].size) &&
              buffer_append(&wire, reader->arguments[i].data, reader->arguments[i].size) &&
              buffer_append(&wire, "\r\n", 2));
    struct argument *again = malloc(argc * sizeof *again + 1);
    struct request request = {0};
    CHECK(again != NULL);
    CHECK(request_parse(wire.data, wire.size, &all, again, argc, &request) == REQUEST_COMPLETE);
    CHECK(request.argc == argc && request.consumed == wire.size);
    for (uint32_t i = 0; i < argc; i++)
        CHECK(again[i].size == reader->arguments[i].size && again[i].slot == ARGUMENT_NOT_PLACED &&
              memcmp(again[i].data, reader->arguments[i].data, again[i].size) == 0);
    free(again);
    buffer_release(&wire);
}

static void note_request(struct reader *reader, const uint8_t *data, const struct request *request) {
    note_number(reader->transcript, request->argc);
    for (uint32_t i = 0; i < request->argc; i++) {
        const struct argument *argument = &reader->arguments[i];
        CHECK(argument->data >= data && argument->data + argument->size <= data + request->consumed);
        note_word(reader->transcript, argument->data, argument->size);
    }
}

/* Reads the stream as it comes in pieces. choice 0: the whole at once; below 128: pieces of many sizes; else as small as
 * the stream's size allows. */
static void read_in_pieces(struct reader *reader, const uint8_t *stream, size_t size, unsigned choice) {
    struct transcript *transcript = reader->transcript;
    size_t least = choice == 0 ? size : size <= SMALL_SIZE_MAX ? 1 : size / PIECES_MAX;
    uint32_t state = choice;
    size_t done = 0, come = 0, needed = 0;
    transcript->end = REQUEST_INCOMPLETE;
    while (come < size) {
        state = state * 1664525 + 1013904223;
        size_t piece = least + (choice > 0 && choice < 128 ? (state >> 16) % choice : 0);
        come = size - come < piece ? size : come + piece;
        /* A copy that ends where its memory ends, so that the sanitizer sees a read beyond it. */
        size_t held = come - done;
        uint8_t *copy = malloc(held);
        CHECK(copy != NULL);
        memcpy(copy, stream + done, held);
        for (size_t at = 0; at < held;) {
            struct request request;
            transcript->end = parse(reader, copy + at, held - at, &request);
            if (transcript->end != REQUEST_COMPLETE) {
                CHECK(memcmp(copy + at, stream + done, held - at) == 0);
                needed = request.needed;
                CHECK(transcript->end == REQUEST_BROKEN || needed > held - at);
                memcpy(transcript->error, request.error, sizeof request.error);
                break;
            }
            CHECK(request.consumed != 0 && request.consumed <= held - at && held - at >= needed);
            needed = 0;
            note_request(reader, copy + at, &request);
            if (choice == 0 && request.argc != 0 && request.consumed < 4096)
                check_array_form(reader, request.argc);
            at += request.consumed;
            done += request.consumed;
        }
        free(copy);
        if (transcript->end == REQUEST_BROKEN) {
            CHECK(memcmp(transcript->error, "ERR Protocol error: ", 20) == 0);
            CHECK(memchr(transcript->error, '\0', sizeof transcript->error) != NULL);
            CHECK(strpbrk(transcript->error, "\r\n") == NULL);
            return;
        }
    }
    transcript->end = REQUEST_INCOMPLETE;
}

/* ---- Input ---- */

static void expand(const uint8_t *data, size_t size, struct buffer *stream) {
    for (size_t i = 0; i < size && stream->size < STREAM_SIZE_MAX; i++) {
        if (data[i] != RUN_MARK || i + 1 == size || data[i + 1] == 0) {
            CHECK(buffer_append_byte(stream, data[i]));
            i += data[i] == RUN_MARK && i + 1 < size;
            continue;
        }
        size_t run = data[i + 1] * RUN_UNIT, room = STREAM_SIZE_MAX - stream->size;
        run = run < room ? run : room;
        CHECK(buffer_reserve(stream, run));
        memset(stream->data + stream->size, i + 2 < size ? data[i + 2] : 'x', run);
        stream->size += run;
        i += 2;
    }
}

static const struct request_limits usual = {.arguments_max = REQUEST_ARGUMENTS_MAX,
                                            .bulk_max = VALUE_SIZE_MAX};
static const struct request_limits strangers = {.arguments_max = UNAUTHENTICATED_ARGUMENTS_MAX,
                                                .bulk_max = UNAUTHENTICATED_BULK_MAX,
                                                .unauthenticated = true};

static void read_with(const struct request_limits *limits, const struct buffer *stream, size_t capacity,
                      unsigned choice, struct transcript *transcript) {
    struct reader reader = {.limits = limits,
                            .arguments = malloc(capacity * sizeof *reader.arguments),
                            .capacity = capacity,
                            .transcript = transcript};
    CHECK(capacity == 0 || reader.arguments != NULL);
    read_in_pieces(&reader, stream->data, stream->size, choice);
    free(reader.arguments);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3)
        return 0;
    const struct request_limits *limits = data[0] & 1 ? &strangers : &usual;
    size_t capacity = data[0] >> 1 & 7;
    unsigned choice = data[1] == 0 ? 1 : data[1];
    struct mem mem = {0};
    struct buffer stream;
    struct transcript slow, whole, pieces, known;
    buffer_init(&stream, &mem);
    expand(data + 2, size - 2, &stream);
    struct transcript *all[] = {&slow, &whole, &pieces, &known};
    for (unsigned i = 0; i < 4; i++)
        transcript_init(all[i], &mem);
    read_slowly(stream.data, stream.size, limits, &slow);
    read_with(limits, &stream, capacity, 0, &whole);
    read_with(limits, &stream, capacity, choice, &pieces);
    CHECK(is_same(&slow, &whole));
    CHECK(is_same(&whole, &pieces) && strcmp(whole.error, pieces.error) == 0);
    if (limits == &strangers) {
        read_with(&usual, &stream, capacity, 0, &known);
        size_t said = whole.requests.size;
        CHECK(known.requests.size >= said);
        CHECK(said == 0 || memcmp(whole.requests.data, known.requests.data, said) == 0);
    }
    for (unsigned i = 0; i < 4; i++)
        buffer_release(&all[i]->requests);
    buffer_release(&stream);
    CHECK(mem.used_bytes == 0 && mem.allocations == 0);
    return 0;
}
