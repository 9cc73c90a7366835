/* rdb.c - the reader of RDB files: a small machine that stops wherever bytes are missing, and goes on from there.
 *
 * What is not a string is described by a layout, a word of letters, and stepped over letter by letter; so a list of
 * millions of elements takes no more memory than its longest header. Headers (at most a few dozen bytes) are read
 * whole or not at all; the bytes of strings are taken as they come.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "proto/rdb.h"

#include "base/checksum.h"
#include "base/cursor.h"
#include "base/limits.h"
#include "base/number.h"
#include "data/record.h"

#include <liblzf/lzf.h>
#include <stdio.h>

enum state {
    STATE_MAGIC,
    STATE_CODE,
    STATE_DATABASE,
    STATE_EXPIRY_S,
    STATE_EXPIRY_MS,
    STATE_KEY,
    STATE_VALUE,
    STATE_LAYOUT, /* stepping over something */
    STATE_REPORTED,
    STATE_CHECKSUM,
    STATE_ENDED /* with reader->event */
};

enum string_form {
    STRING_NONE, /* its header is still to be read */
    STRING_PLAIN,
    STRING_PACKED
};

/* What a byte between two keys may say. The types of values have the low numbers. */
enum code {
    CODE_STRING = 0,
    CODE_MODULE_OLD = 6,
    CODE_FUNCTION = 245,
    CODE_FUNCTION_OLD = 246,
    CODE_MODULE_AUX = 247,
    CODE_IDLE = 248,
    CODE_FREQUENCY = 249,
    CODE_AUX = 250,
    CODE_RESIZE = 251,
    CODE_EXPIRY_MS = 252,
    CODE_EXPIRY_S = 253,
    CODE_DATABASE = 254,
    CODE_END = 255
};

/*
 * Layouts:  l  a length                      1 4 8  so many bytes       i  the 16 bytes of a stream entry's id
 *           s  a string                      d      a number as text, its size in one byte before it
 *           (  a length, and what follows until the bracket is closed is there so many times
 *           ?  a length; where it is 0, the string behind it is not there
 *           m  what a module has written, each part with its kind before it
 * Whatever is repeated takes at least one byte each time, so no count makes more work than there are bytes.
 */
struct shape {
    uint8_t code;
    const char *type_name; /* NULL: no value of a key */
    const char *layout;
};

static const struct shape shapes[] = {
    {1, "list", "(s)"},
    {2, "set", "(s)"},
    {3, "zset", "(sd)"},
    {4, "hash", "(ss)"},
    {5, "zset", "(s8)"},
    {7, "module", "lm"},
    {9, "hash", "s"},                           /* zipmap */
    {10, "list", "s"},                          /* ziplist */
    {11, "set", "s"},                           /* intset */
    {12, "zset", "s"},                          /* ziplist */
    {13, "hash", "s"},                          /* ziplist */
    {14, "list", "(s)"},                        /* quicklist of ziplists */
    {15, "stream", "(ss)lll(sll(i8l)(s8(i)))"}, /* nodes, size, last id, groups: pending, consumers */
    {16, "hash", "s"},                          /* listpack */
    {17, "zset", "s"},                          /* listpack */
    {18, "list", "(ls)"},                       /* quicklist of listpacks or plain elements */
    {19, "stream",
     "(ss)llllllll(slll(i8l)(s8(i)))"}, /* + first id, greatest deleted, entries added; entries read */
    {CODE_FUNCTION, NULL, "s"},
    {CODE_FUNCTION_OLD, NULL, "ss?ss"}, /* name, engine, perhaps a description, code */
    {CODE_MODULE_AUX, NULL, "lllm"},
    {CODE_IDLE, NULL, "l"},
    {CODE_FREQUENCY, NULL, "1"},
    {CODE_AUX, NULL, "ss"},
    {CODE_RESIZE, NULL, "ll"},
};

/* A string's or key's memory is kept for the next one up to this size. */
#define KEPT_BYTES_MAX (1024u * 1024)

/* The most that LZF makes of a byte: three bytes may stand for 264. */
#define LZF_RATIO_MAX 88

#define VERSION_SIZE          4
#define VERSION_WITH_CHECKSUM 5
#define DECIMAL_NAN           253 /* of the sizes of letter d, those from here on are numbers themselves */

void rdb_reader_init(struct rdb_reader *reader, struct mem *mem) {
    *reader = (struct rdb_reader){.expiry_ms = RECORD_NO_EXPIRY};
    buffer_init(&reader->input, mem);
    buffer_init(&reader->key, mem);
    buffer_init(&reader->value, mem);
    buffer_init(&reader->packed, mem);
}

void rdb_reader_release(struct rdb_reader *reader) {
    buffer_release(&reader->input);
    buffer_release(&reader->key);
    buffer_release(&reader->value);
    buffer_release(&reader->packed);
}

/* ---- Stopping: each of these answers false, which is handed up to rdb_reader_next() ------------------------------ */

static bool stop(struct rdb_reader *reader, enum rdb_event event) {
    reader->event = (uint8_t)event;
    return false;
}

static bool end_with(struct rdb_reader *reader, enum rdb_event event) {
    reader->state = STATE_ENDED;
    return stop(reader, event);
}

static bool malformed(struct rdb_reader *reader, const char *what) {
    snprintf(reader->problem, sizeof reader->problem, "%s at byte %llu", what,
             (unsigned long long)rdb_reader_position(reader));
    return end_with(reader, RDB_MALFORMED);
}

static bool need_input(struct rdb_reader *reader) {
    return reader->is_whole ? malformed(reader, "ends early") : stop(reader, RDB_NEED_INPUT);
}

/* ---- Bytes --------------------------------------------------------------------------------------------------------- */

static size_t available(const struct rdb_reader *reader) {
    return reader->input.size - reader->consumed;
}

static struct cursor input_cursor(const struct rdb_reader *reader) {
    size_t left = available(reader);
    return cursor_make(left == 0 ? NULL : reader->input.data + reader->consumed, left);
}

/* Takes what a cursor has read. */
static void consume_to(struct rdb_reader *reader, const struct cursor *cursor) {
    reader->consumed = reader->input.size - cursor_remaining(cursor);
}

static void add_to_checksum(struct rdb_reader *reader) {
    if (reader->consumed > reader->checked)
        reader->checksum = checksum_crc64(reader->checksum, reader->input.data + reader->checked,
                                          reader->consumed - reader->checked);
    reader->checked = reader->consumed;
}

bool rdb_reader_feed(struct rdb_reader *reader, const void *data, size_t size) {
    /* Only if no more is moved than dropped: so a byte is moved once on the average. */
    if (reader->consumed != 0 && reader->consumed >= available(reader)) {
        add_to_checksum(reader);
        buffer_consume(&reader->input, reader->consumed);
        reader->offset += reader->consumed;
        reader->consumed = reader->checked = 0;
    }
    reader->input.failed = false;
    return buffer_append(&reader->input, data, size);
}

void rdb_reader_finish(struct rdb_reader *reader) {
    reader->is_whole = true;
}

static void forget_content(struct buffer *buffer) {
    if (buffer->capacity > KEPT_BYTES_MAX)
        buffer_release(buffer);
    else
        buffer_clear(buffer);
}

/* ---- Lengths and headers of strings -------------------------------------------------------------------------------- */

/* The forms of a length that say: this is a string written in another way. */
enum special { SPECIAL_INT8, SPECIAL_INT16, SPECIAL_INT32, SPECIAL_LZF, SPECIAL_NONE };

static uint64_t big_endian(struct cursor *cursor, unsigned size) {
    uint64_t number = 0;
    while (size-- > 0)
        number = number << 8 | cursor_u8(cursor);
    return number;
}

enum reading { READ, TOO_FEW, WRONG };

/* Reads a length, or, where special is not null, one of its special forms. */
static enum reading read_length(struct cursor *cursor, uint64_t *length, enum special *special) {
    uint8_t first = cursor_u8(cursor);
    if (special != NULL)
        *special = SPECIAL_NONE;
    switch (first >> 6) {
    case 0: *length = first; break;
    case 1: *length = (uint64_t)(first & 0x3f) << 8 | cursor_u8(cursor); break;
    case 2:
        if (first != 0x80 && first != 0x81)
            return WRONG;
        *length = big_endian(cursor, first == 0x80 ? 4 : 8);
        break;
    default:
        if (special == NULL || (first & 0x3f) > SPECIAL_LZF)
            return WRONG;
        *special = first & 0x3f;
        *length = 0;
    }
    return cursor_failed(cursor) ? TOO_FEW : READ;
}

/* Either a number is the string's text, or `size` bytes follow, which are `unpacked` bytes where that is not 0. */
struct string_header {
    bool is_number;
    int32_t number;
    uint64_t size, unpacked;
};

static enum reading read_string_header(struct cursor *cursor, struct string_header *header) {
    enum special special;
    *header = (struct string_header){0};
    enum reading reading = read_length(cursor, &header->size, &special);
    if (reading != READ || special == SPECIAL_NONE)
        return reading;
    header->is_number = special != SPECIAL_LZF;
    switch (special) {
    case SPECIAL_INT8: header->number = (int8_t)cursor_u8(cursor); break;
    case SPECIAL_INT16: header->number = (int16_t)cursor_u16(cursor); break;
    case SPECIAL_INT32: header->number = (int32_t)cursor_u32(cursor); break;
    default:
        if (read_length(cursor, &header->size, NULL) == WRONG ||
            (!cursor_failed(cursor) && read_length(cursor, &header->unpacked, NULL) == WRONG))
            return WRONG;
        /* LZF does not look whether there is a first byte. */
        if (!cursor_failed(cursor) &&
            (header->size == 0 || header->unpacked == 0 || header->unpacked / LZF_RATIO_MAX > header->size))
            return WRONG;
    }
    return cursor_failed(cursor) ? TOO_FEW : READ;
}

/* ---- Strings that are kept ------------------------------------------------------------------------------------------ */

/* Reads the header of a string. A number is a whole string; else string_form says that there is more. */
static bool begin_string(struct rdb_reader *reader, struct buffer *string) {
    struct cursor cursor = input_cursor(reader);
    struct string_header header;
    enum reading reading = read_string_header(&cursor, &header);
    if (reading != READ)
        return reading == TOO_FEW ? need_input(reader) : malformed(reader, "no length of a string");
    if (header.size > VALUE_SIZE_MAX || header.unpacked > VALUE_SIZE_MAX)
        return malformed(reader, "a string of more than 512 MiB");
    buffer_clear(string);
    /* Also for the empty string, which then has an address like any other. */
    if (!buffer_reserve(string, NUMBER_INT64_SIZE))
        return stop(reader, RDB_NO_MEMORY);
    if (header.is_number) {
        string->size = number_format_int64((char *)string->data, header.number);
    } else {
        reader->string_form = header.unpacked != 0 ? STRING_PACKED : STRING_PLAIN;
        reader->string_left = header.size;
        reader->unpacked = header.unpacked;
    }
    consume_to(reader, &cursor);
    return true;
}

/* Moves what has come of the string at hand to a buffer; false: it is not all of it. */
static bool gather(struct rdb_reader *reader, struct buffer *to) {
    size_t size = available(reader);
    if (size > reader->string_left)
        size = (size_t)reader->string_left;
    if (size != 0 && !buffer_append(to, reader->input.data + reader->consumed, size)) {
        to->failed = false;
        return stop(reader, RDB_NO_MEMORY);
    }
    reader->consumed += size;
    reader->string_left -= size;
    return reader->string_left == 0 ? true : need_input(reader);
}

static bool unpack(struct rdb_reader *reader, struct buffer *string) {
    size_t size = (size_t)reader->string_left;
    const uint8_t *source;
    if (reader->packed.size == 0 && size <= available(reader)) {
        source = reader->input.data + reader->consumed;
    } else {
        if (!gather(reader, &reader->packed))
            return false;
        source = reader->packed.data;
        size = reader->packed.size;
    }
    if (!buffer_reserve(string, (size_t)reader->unpacked)) {
        string->failed = false;
        return stop(reader, RDB_NO_MEMORY);
    }
    reader->consumed += (size_t)reader->string_left;
    reader->string_left = 0;
    if (lzf_decompress(source, (unsigned)size, string->data, (unsigned)reader->unpacked) != reader->unpacked)
        return malformed(reader, "a compressed string that cannot be unpacked");
    string->size = (size_t)reader->unpacked;
    forget_content(&reader->packed);
    return true;
}

/* Reads a string, or goes on reading one. */
static bool read_string(struct rdb_reader *reader, struct buffer *string) {
    if (reader->string_form == STRING_NONE && !begin_string(reader, string))
        return false;
    if (reader->string_form == STRING_PLAIN && !gather(reader, string))
        return false;
    if (reader->string_form == STRING_PACKED && !unpack(reader, string))
        return false;
    reader->string_form = STRING_NONE;
    return true;
}

/* ---- What is stepped over ------------------------------------------------------------------------------------------- */

/* Reads a string's header; its bytes are to be stepped over. */
static enum reading skip_string(struct rdb_reader *reader, struct cursor *cursor) {
    struct string_header header;
    enum reading reading = read_string_header(cursor, &header);
    if (reading == READ)
        reader->skipped_left = header.size;
    return reading;
}

static enum reading skip_decimal(struct rdb_reader *reader, struct cursor *cursor) {
    uint8_t size = cursor_u8(cursor);
    reader->skipped_left = size < DECIMAL_NAN ? size : 0;
    return cursor_failed(cursor) ? TOO_FEW : READ;
}

/* One part of what a module has written. */
static enum reading skip_module_part(struct rdb_reader *reader, struct cursor *cursor, bool *is_last) {
    enum { PART_END, PART_SIGNED, PART_UNSIGNED, PART_FLOAT, PART_DOUBLE, PART_STRING };
    uint64_t part, number;
    enum reading reading = read_length(cursor, &part, NULL);
    if (reading != READ)
        return reading;
    *is_last = part == PART_END;
    switch (part) {
    case PART_END: return READ;
    case PART_SIGNED:
    case PART_UNSIGNED: return read_length(cursor, &number, NULL);
    case PART_FLOAT: reader->skipped_left = 4; return READ;
    case PART_DOUBLE: reader->skipped_left = 8; return READ;
    case PART_STRING: return skip_string(reader, cursor);
    default: return WRONG;
    }
}

/* The bracket that closes the one at `open`. */
static const char *closing_bracket(const char *open) {
    unsigned depth = 0;
    for (const char *at = open;; at++) {
        CHECK(*at != '\0');
        depth += *at == '(';
        depth -= *at == ')';
        if (depth == 0)
            return at;
    }
}

/* Begins a repetition; answers where the layout goes on. */
static const char *begin_repetition(struct rdb_reader *reader, uint64_t count) {
    if (count == 0)
        return closing_bracket(reader->layout) + 1;
    CHECK(reader->level_count < RDB_LEVELS_MAX);
    reader->levels[reader->level_count].begin = reader->layout + 1;
    reader->levels[reader->level_count].left = count;
    reader->level_count++;
    return reader->layout + 1;
}

static const char *end_repetition(struct rdb_reader *reader) {
    CHECK(reader->level_count > 0);
    if (--reader->levels[reader->level_count - 1].left > 0)
        return reader->levels[reader->level_count - 1].begin;
    reader->level_count--;
    return reader->layout + 1;
}

/* Steps over what one letter stands for, its bytes excepted, which skipped_left counts. */
static bool skip_letter(struct rdb_reader *reader) {
    struct cursor cursor = input_cursor(reader);
    const char *next = reader->layout + 1;
    enum reading reading = READ;
    uint64_t length = 0;
    bool is_last = true;
    switch (*reader->layout) {
    case 'l':
    case '(':
    case '?': reading = read_length(&cursor, &length, NULL); break;
    case 's': reading = skip_string(reader, &cursor); break;
    case 'd': reading = skip_decimal(reader, &cursor); break;
    case 'm': reading = skip_module_part(reader, &cursor, &is_last); break;
    case 'i': reader->skipped_left = 16; break;
    case ')': next = end_repetition(reader); break;
    default: reader->skipped_left = (uint64_t)(*reader->layout - '0');
    }
    if (reading != READ) {
        reader->skipped_left = 0;
        return reading == TOO_FEW ? need_input(reader)
                                  : malformed(reader, "a value that cannot be stepped over");
    }
    if (*reader->layout == '(')
        next = begin_repetition(reader, length);
    else if (*reader->layout == '?')
        next += length == 0;
    reader->layout = is_last ? next : reader->layout;
    consume_to(reader, &cursor);
    return true;
}

/* Steps over all of a layout, or goes on with that. */
static bool skip_layout(struct rdb_reader *reader) {
    for (;;) {
        if (reader->skipped_left > 0) {
            size_t size = available(reader);
            if (size > reader->skipped_left)
                size = (size_t)reader->skipped_left;
            reader->consumed += size;
            reader->skipped_left -= size;
            if (reader->skipped_left > 0)
                return need_input(reader);
        }
        if (*reader->layout == '\0')
            return true;
        if (!skip_letter(reader))
            return false;
    }
}

/* ---- The file ------------------------------------------------------------------------------------------------------- */

static bool read_magic(struct rdb_reader *reader) {
    size_t size = available(reader) < RDB_MAGIC_SIZE ? available(reader) : RDB_MAGIC_SIZE;
    if (size != 0 && memcmp(reader->input.data, RDB_MAGIC, size) != 0)
        return malformed(reader, "no RDB file: it does not begin with " RDB_MAGIC);
    if (available(reader) < RDB_MAGIC_SIZE + VERSION_SIZE)
        return need_input(reader);
    int version = 0;
    for (unsigned i = 0; i < VERSION_SIZE; i++) {
        uint8_t digit = reader->input.data[RDB_MAGIC_SIZE + i];
        if (digit < '0' || digit > '9')
            return malformed(reader, "no RDB file: its version is no number");
        version = version * 10 + digit - '0';
    }
    if (version < 1 || version > RDB_VERSION_MAX) {
        snprintf(reader->problem, sizeof reader->problem, "RDB version %d: only 1 to %d are known", version,
                 RDB_VERSION_MAX);
        return end_with(reader, RDB_MALFORMED);
    }
    reader->version = version;
    reader->consumed += RDB_MAGIC_SIZE + VERSION_SIZE;
    reader->state = STATE_CODE;
    return true;
}

/* What follows a code that is neither a string nor one of the reader's own states. */
static bool begin_shape(struct rdb_reader *reader, uint8_t code) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (shapes[i].code != code)
            continue;
        reader->layout = shapes[i].layout;
        reader->has_key = shapes[i].type_name != NULL;
        reader->type_name = shapes[i].type_name;
        reader->state = reader->has_key ? STATE_KEY : STATE_LAYOUT;
        reader->libraries += code == CODE_FUNCTION || code == CODE_FUNCTION_OLD;
        return true;
    }
    reader->consumed--;
    if (code == CODE_MODULE_OLD)
        return malformed(reader, "a module's value of an old form, which nobody else can step over,");
    char what[32];
    snprintf(what, sizeof what, "unknown type %u", code);
    return malformed(reader, what);
}

static bool read_code(struct rdb_reader *reader) {
    if (available(reader) == 0)
        return need_input(reader);
    uint8_t code = reader->input.data[reader->consumed++];
    switch (code) {
    case CODE_STRING:
        reader->type_name = NULL;
        reader->state = STATE_KEY;
        return true;
    case CODE_DATABASE: reader->state = STATE_DATABASE; return true;
    case CODE_EXPIRY_S: reader->state = STATE_EXPIRY_S; return true;
    case CODE_EXPIRY_MS: reader->state = STATE_EXPIRY_MS; return true;
    case CODE_END: reader->state = STATE_CHECKSUM; return true;
    default: return begin_shape(reader, code);
    }
}

static bool read_database(struct rdb_reader *reader) {
    struct cursor cursor = input_cursor(reader);
    uint64_t database;
    enum reading reading = read_length(&cursor, &database, NULL);
    if (reading == TOO_FEW)
        return need_input(reader);
    if (reading == WRONG || database > UINT32_MAX)
        return malformed(reader, "no number of a database");
    reader->database = (uint32_t)database;
    consume_to(reader, &cursor);
    reader->state = STATE_CODE;
    return true;
}

static bool read_expiry(struct rdb_reader *reader) {
    struct cursor cursor = input_cursor(reader);
    int64_t expiry_ms = reader->state == STATE_EXPIRY_MS ? (int64_t)cursor_u64(&cursor)
                                                         : (int64_t)(int32_t)cursor_u32(&cursor) * 1000;
    if (cursor_failed(&cursor))
        return need_input(reader);
    /* Before 1970 is long ago. A time must not look like the sign for none. */
    reader->expiry_ms = expiry_ms < 0 ? 0 : expiry_ms;
    consume_to(reader, &cursor);
    reader->state = STATE_CODE;
    return true;
}

static bool read_checksum(struct rdb_reader *reader) {
    add_to_checksum(reader);
    if (reader->version < VERSION_WITH_CHECKSUM)
        return end_with(reader, RDB_END);
    struct cursor cursor = input_cursor(reader);
    uint64_t checksum = cursor_u64(&cursor);
    if (cursor_failed(&cursor))
        return need_input(reader);
    /* Zero: written without one (rdbchecksum no). */
    if (checksum != 0 && checksum != reader->checksum)
        return malformed(reader, "the checksum is wrong: the file is damaged;");
    consume_to(reader, &cursor);
    return end_with(reader, RDB_END);
}

static bool report(struct rdb_reader *reader, enum rdb_event event) {
    reader->state = STATE_REPORTED;
    return stop(reader, event);
}

/* One step; false: reader->event says why it goes no further. */
static bool advance(struct rdb_reader *reader) {
    switch ((enum state)reader->state) {
    case STATE_MAGIC: return read_magic(reader);
    case STATE_CODE: return read_code(reader);
    case STATE_DATABASE: return read_database(reader);
    case STATE_EXPIRY_S:
    case STATE_EXPIRY_MS: return read_expiry(reader);
    case STATE_KEY:
        if (!read_string(reader, &reader->key))
            return false;
        reader->state = reader->type_name == NULL ? STATE_VALUE : STATE_LAYOUT;
        return true;
    case STATE_VALUE: return read_string(reader, &reader->value) ? report(reader, RDB_STRING) : false;
    case STATE_LAYOUT:
        if (!skip_layout(reader))
            return false;
        if (reader->has_key)
            return report(reader, RDB_OTHER_TYPE);
        reader->state = STATE_CODE;
        return true;
    case STATE_REPORTED:
        forget_content(&reader->key);
        forget_content(&reader->value);
        reader->expiry_ms = RECORD_NO_EXPIRY;
        reader->state = STATE_CODE;
        return true;
    case STATE_CHECKSUM: return read_checksum(reader);
    case STATE_ENDED: break;
    }
    return false;
}

enum rdb_event rdb_reader_next(struct rdb_reader *reader) {
    while (advance(reader)) {}
    return (enum rdb_event)reader->event;
}
