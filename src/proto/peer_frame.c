/* peer_frame.c - how hiredis is held to four short bulk strings, and kept from moving bytes about.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "proto/peer_frame.h"

#include "base/number.h"

#include <hiredis/hiredis.h>
#include <hiredis/sds.h>

/* A reader that has nothing to read keeps so much of its buffer for what comes next. */
#define KEPT_BYTES (1024 * 1024)

#define ELEMENTS 4

/* The longest length of a bulk string that is taken: ten digits for PEER_FRAME_PAYLOAD_MAX. */
#define LENGTH_DIGITS_MAX 10

static const char array_line[] = "4\r\n"; /* behind the '*' */

/* ---- Writing ---- */

/* The formatter copies what it is given into memory of its own: so it gets the head alone, with an empty payload, whose length
 * is then put right. false: no memory. */
static bool make_form(struct peer_frame_form *form, const uint64_t values[ELEMENTS - 1]) {
    static const char empty_payload[] = "$0\r\n\r\n";
    char numbers[ELEMENTS - 1][NUMBER_INT64_SIZE];
    const char *words[ELEMENTS] = {numbers[0], numbers[1], numbers[2], ""};
    size_t sizes[ELEMENTS] = {0};
    for (unsigned i = 0; i < ELEMENTS - 1; i++)
        sizes[i] = number_format_uint64(numbers[i], values[i]);
    sds formatted; /* hiredis's other formatter calls sprintf for every length */
    int formatted_size = redisFormatSdsCommandArgv(&formatted, ELEMENTS, words, sizes);
    if (formatted_size < 0)
        return false;
    size_t size = (size_t)formatted_size - strlen(empty_payload);
    CHECK(size + 1 + NUMBER_INT64_SIZE + 2 <= PEER_FRAME_HEAD_MAX &&
          memcmp(formatted + size, empty_payload, strlen(empty_payload)) == 0);
    memcpy(form->bytes, formatted, size);
    redisFreeSdsCommand(formatted);
    form->size = (uint8_t)size;
    const uint8_t *at = memchr(form->bytes, '\n', size);
    for (unsigned i = 0; i < ELEMENTS - 1; i++) {
        at = (const uint8_t *)memchr(at + 1, '\n', (size_t)(form->bytes + size - at - 1)) + 1;
        form->places[i] = (uint8_t)(at - form->bytes);
        form->digits[i] = (uint8_t)sizes[i];
        form->values[i] = values[i];
        at += sizes[i] + 1; /* the line feed behind it */
    }
    return true;
}

/* Puts a number where the one before stands. false: it has not as many digits, or there is no form yet. */
static bool put_number(struct peer_frame_form *form, unsigned which, uint64_t value) {
    char number[NUMBER_INT64_SIZE];
    if (form->digits[which] != 0 && form->values[which] == value)
        return true;
    size_t digits = number_format_uint64(number, value);
    if (digits != form->digits[which])
        return false;
    memcpy(form->bytes + form->places[which], number, digits);
    form->values[which] = value;
    return true;
}

size_t peer_frame_head_by_form(struct peer_frame_form *form, uint8_t head[PEER_FRAME_HEAD_MAX],
                               const struct frame *frame) {
    const uint64_t values[ELEMENTS - 1] = {frame->kind, frame->number, frame->acknowledged};
    for (unsigned i = 0; i < ELEMENTS - 1; i++)
        if (!put_number(form, i, values[i])) {
            if (!make_form(form, values))
                return 0;
            break;
        }
    size_t size = form->size;
    memcpy(head, form->bytes, sizeof form->bytes); /* all of it: this is a few moves, and there is room */
    head[size++] = '$';
    size += number_format_uint64((char *)head + size, frame->size);
    head[size++] = '\r';
    head[size++] = '\n';
    return size;
}

size_t peer_frame_head(uint8_t head[PEER_FRAME_HEAD_MAX], const struct frame *frame) {
    struct peer_frame_form form;
    memset(form.digits, 0, sizeof form.digits);
    return peer_frame_head_by_form(&form, head, frame);
}

bool peer_frame_append(struct buffer *out, const struct frame *frame) {
    uint8_t head[PEER_FRAME_HEAD_MAX];
    size_t head_size = peer_frame_head(head, frame);
    if (head_size == 0)
        out->failed = true;
    if (head_size == 0 || !buffer_reserve(out, head_size + frame->size + strlen(PEER_FRAME_TAIL)))
        return false;
    return buffer_append(out, head, head_size) && buffer_append(out, frame->payload, frame->size) &&
           buffer_append_text(out, PEER_FRAME_TAIL);
}

/* ---- Reading ---- */

struct peer_frame_reader {
    struct mem *mem;
    redisReader *hiredis;
    redisReplyObjectFunctions functions;
    size_t payload_max;
    size_t counted_bytes; /* of hiredis's memory */
    size_t frame_end;     /* of the frame that was just completed, in hiredis's buffer */
    struct frame frame;   /* what has been read of it */
};

/* Stands for every object: hiredis wants one that is not NULL. NULL makes it give up, which is how bytes are refused. */
static void *taken(struct peer_frame_reader *reader) {
    return reader;
}

static void *take_array(const redisReadTask *task, int elements) {
    return task->parent == NULL && elements == ELEMENTS ? taken(task->privdata) : NULL;
}

static void *refuse_integer(const redisReadTask *task, long long value) {
    (void)task, (void)value;
    return NULL;
}

static void *refuse_nil(const redisReadTask *task) {
    (void)task;
    return NULL;
}

static void free_nothing(void *object) {
    (void)object;
}

/* The last bulk string. When a reply is complete and the reader has gone beyond 1 KiB, hiredis moves what follows to the front
 * of its buffer, over the payload, and again for every frame of a read. It does not while its position is low. So the
 * position is set such that it is 0 behind this string (which hiredis adds to it), and put right when hiredis has returned. */
static void *take_payload(struct peer_frame_reader *reader, const char *bytes, size_t size) {
    redisReader *hiredis = reader->hiredis;
    reader->frame.payload = (const uint8_t *)bytes;
    reader->frame.size = size;
    reader->frame_end = (size_t)(bytes - hiredis->buf) + size + strlen(PEER_FRAME_TAIL);
    hiredis->pos -= reader->frame_end;
    return taken(reader);
}

/* A bulk string is complete (or a line of another type). hiredis has not looked at the two bytes behind it. */
static void *take_string(const redisReadTask *task, char *bytes, size_t size) {
    struct peer_frame_reader *reader = task->privdata;
    if (task->type != REDIS_REPLY_STRING || task->parent == NULL || memcmp(bytes + size, "\r\n", 2) != 0)
        return NULL;
    uint64_t value;
    if (task->idx == ELEMENTS - 1)
        return size <= reader->payload_max ? take_payload(reader, bytes, size) : NULL;
    if (!number_parse_uint64(bytes, size, &value))
        return NULL;
    switch (task->idx) {
    case 0:
        reader->frame.kind = (unsigned)value;
        return value >= 1 && value <= PEER_FRAME_KIND_MAX ? taken(reader) : NULL;
    case 1: reader->frame.number = value; return taken(reader);
    default: reader->frame.acknowledged = value; return taken(reader);
    }
}

static void count_memory(struct peer_frame_reader *reader) {
    size_t now = mem_class(sizeof *reader->hiredis);
    if (reader->hiredis->buf != NULL)
        now += mem_class(sdsAllocSize(reader->hiredis->buf));
    reader->counted_bytes = mem_recount(reader->mem, reader->counted_bytes, now);
}

struct peer_frame_reader *peer_frame_reader_new(struct mem *mem, size_t payload_max) {
    struct peer_frame_reader *reader = mem_alloc_zeroed(mem, sizeof *reader);
    if (reader == NULL)
        return NULL;
    reader->mem = mem;
    reader->functions = (redisReplyObjectFunctions){.createString = take_string,
                                                    .createArray = take_array,
                                                    .createInteger = refuse_integer,
                                                    .createNil = refuse_nil,
                                                    .freeObject = free_nothing};
    reader->hiredis = redisReaderCreateWithFunctions(&reader->functions);
    if (reader->hiredis == NULL) {
        mem_free(mem, reader, sizeof *reader);
        return NULL;
    }
    reader->hiredis->privdata = reader;
    /* hiredis's own way to give back a large buffer asserts that there is memory for the next one; see rewind_buffer(). */
    reader->hiredis->maxbuf = 0;
    peer_frame_reader_set_max(reader, payload_max);
    count_memory(reader);
    return reader;
}

void peer_frame_reader_free(struct peer_frame_reader *reader) {
    if (reader == NULL)
        return;
    redisReaderFree(reader->hiredis);
    (void)mem_recount(reader->mem, reader->counted_bytes, 0);
    mem_free(reader->mem, reader, sizeof *reader);
}

void peer_frame_reader_set_max(struct peer_frame_reader *reader, size_t payload_max) {
    CHECK(payload_max <= PEER_FRAME_PAYLOAD_MAX);
    reader->payload_max = payload_max;
}

bool peer_frame_reader_feed(struct peer_frame_reader *reader, const uint8_t *data, size_t size) {
    if (reader->hiredis->err != 0)
        return true; /* peer_frame_reader_next() says so */
    bool fed = redisReaderFeed(reader->hiredis, (const char *)data, size) == REDIS_OK;
    count_memory(reader);
    return fed;
}

/* All has been read: the buffer is used from its beginning again, and one that had grown is exchanged for a small one. */
static void rewind_buffer(struct peer_frame_reader *reader) {
    redisReader *hiredis = reader->hiredis;
    sds small = sdsalloc(hiredis->buf) > KEPT_BYTES ? sdsempty() : NULL;
    if (small != NULL) {
        sdsfree(hiredis->buf);
        hiredis->buf = small;
        count_memory(reader);
    }
    sdsclear(hiredis->buf);
    hiredis->pos = hiredis->len = 0;
}

/* Whether the beginning of a bulk string's length can still become a length of at most `max`. */
static bool may_become_length(const char *line, size_t size, size_t max) {
    size_t digits = 0, value = 0;
    while (digits < size && line[digits] >= '0' && line[digits] <= '9') {
        if (digits == LENGTH_DIGITS_MAX || (digits == 1 && line[0] == '0'))
            return false;
        value = value * 10 + (size_t)(line[digits++] - '0');
    }
    if (value > max)
        return false;
    return digits == size ||
           (digits != 0 && line[digits] == '\r' && (digits + 1 == size || line[digits + 1] == '\n'));
}

/* hiredis waits for more bytes. It would wait for any number of them, so what is there is looked at: it must be the beginning
 * of what can come here. */
static bool may_become_frame(const struct peer_frame_reader *reader) {
    const redisReader *hiredis = reader->hiredis;
    if (hiredis->ridx < 0)
        return true; /* nothing has come yet */
    const redisReadTask *task = &hiredis->rstack[hiredis->ridx];
    const char *line =
        hiredis->buf + hiredis->pos; /* behind the byte that tells the type, where that has come */
    size_t size = hiredis->len - hiredis->pos;
    if (task->type < 0)
        return true;
    if (task->parent == NULL)
        return task->type == REDIS_REPLY_ARRAY && size < strlen(array_line) &&
               memcmp(line, array_line, size) == 0;
    return task->type == REDIS_REPLY_STRING &&
           may_become_length(line, size, task->idx == ELEMENTS - 1 ? reader->payload_max : NUMBER_INT64_SIZE);
}

/* As hiredis does by itself when bytes cannot be read: nothing is held any more. */
static enum frame_status give_up(struct peer_frame_reader *reader) {
    redisReader *hiredis = reader->hiredis;
    if (hiredis->err == 0)
        hiredis->err = REDIS_ERR_PROTOCOL;
    sdsfree(hiredis->buf);
    hiredis->buf = NULL;
    hiredis->pos = hiredis->len = 0;
    count_memory(reader);
    return FRAME_BROKEN;
}

enum frame_status peer_frame_reader_next(struct peer_frame_reader *reader, struct frame *frame) {
    redisReader *hiredis = reader->hiredis;
    void *reply = NULL;
    /* Most reads end with a frame: then hiredis, which is between two replies, need not be asked. */
    if (hiredis->ridx < 0 && hiredis->len != 0 && hiredis->pos == hiredis->len) {
        rewind_buffer(reader);
        return FRAME_INCOMPLETE;
    }
    if (redisReaderGetReply(hiredis, &reply) != REDIS_OK)
        return give_up(reader);
    if (reply != NULL) {
        hiredis->pos += reader->frame_end;
        *frame = reader->frame;
        return FRAME_COMPLETE;
    }
    if (!may_become_frame(reader))
        return give_up(reader);
    if (hiredis->pos == hiredis->len)
        rewind_buffer(reader);
    return FRAME_INCOMPLETE;
}

size_t peer_frame_reader_held(const struct peer_frame_reader *reader) {
    return reader->hiredis->len - reader->hiredis->pos;
}
