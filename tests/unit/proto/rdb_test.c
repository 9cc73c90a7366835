/* rdb_test.c - files made by hand: every encoding, cut and bent at every place.
 *
 * May touch: proto/rdb. Must never know: a real file (tests/rdb/run has those).
 * A file is read into a transcript, a line for each event, so that whole readings can be compared.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "proto/rdb.h"

#include "base/checksum.h"
#include "base/limits.h"
#include "data/record.h"

#include <criterion/criterion.h>
#include <liblzf/lzf.h>
#include <stdio.h>
#include <stdlib.h>

#define WHOLE SIZE_MAX

/* ---- Files ----------------------------------------------------------------------------------------------------------- */

struct file {
    struct mem mem;
    struct buffer bytes;
};

static void file_put(struct file *file, const void *bytes, size_t size) {
    cr_assert(buffer_append(&file->bytes, bytes, size));
}

/* Bytes written as a literal, the zero byte at its end left out. */
#define PUT(file, literal) file_put(file, literal, sizeof(literal) - 1)

static void file_begin(struct file *file, const char *version) {
    *file = (struct file){0};
    buffer_init(&file->bytes, &file->mem);
    PUT(file, "REDIS");
    file_put(file, version, 4);
}

static void file_end_with(struct file *file, uint64_t checksum) {
    for (unsigned i = 0; i < 8; i++)
        cr_assert(buffer_append_byte(&file->bytes, (uint8_t)(checksum >> 8 * i)));
}

static void file_end(struct file *file) {
    PUT(file, "\xff");
    file_end_with(file, checksum_crc64(0, file->bytes.data, file->bytes.size));
}

static void file_release(struct file *file) {
    buffer_release(&file->bytes);
    cr_assert_eq(file->mem.used_bytes, 0);
}

/* All that a file may have, with values of a few bytes. */
static void make_file_of_everything(struct file *file) {
    file_begin(file, "0010");
    PUT(file, "\xfa\x09redis-ver\x06"
              "7.0.15\xfa\x0aredis-bits\xc0\x40");
    PUT(file, "\xf5\x07library\xf6\x01n\x03lua\x01\x04"
              "text\x04"
              "code\xf6\x01n\x03lua\x00\x04"
              "code");
    PUT(file, "\xf7\x81\x01\x02\x03\x04\x05\x06\x07\x08\x02\x01\x05\x03one\x02\x09\x00");
    PUT(file, "\xfe\x00\xfb\x05\x01");
    PUT(file, "\x00\x05plain\x05value");
    PUT(file, "\xfc\x00\x10\x00\x00\x00\x00\x00\x00\x00\x04"
              "late\xc0\xff");
    PUT(file, "\xfd\x10\x00\x00\x00\xf8\x07\x00\x05later\xc1\x00\x80");
    PUT(file, "\xf9\xff\x00\xc2\x00\x00\x00\x80\x00");
    PUT(file, "\x00\x06packed\xc3\x05\x0a\x00"
              "a\xe0\x00\x00");
    PUT(file, "\xfe\x40\xc8\x01\x03one\x02\x01"
              "a\xc3\x05\x0a\x00"
              "a\xe0\x00\x00");
    PUT(file, "\x03\x03two\x02\x01m\xfe\x01n\x03"
              "1.5");
    PUT(file, "\xfc\x01\x00\x00\x00\x00\x00\x00\x00\x07\x05three\x81\x01\x02\x03\x04\x05\x06\x07\x08"
              "\x01\x80\x00\x00\x00\x07\x02\x41\x00\x03"
              "aaaa\x04"
              "bbbbbbbb\x05\x02hi\x00");
    PUT(file, "\x13\x04"
              "four\x01\x10"
              "0123456789abcdef\x02lp\x01\x02\x03\x04\x05\x06\x07\x08"
              "\x01\x05group\x01\x02\x03\x01"
              "0123456789abcdefTTTTTTTT\x01"
              "\x02\x03one"
              "SSSSSSSS\x01"
              "0123456789abcdef\x03two"
              "SSSSSSSS\x00");
    PUT(file, "\x00\x04last\x00");
    file_end(file);
}

static const char transcript_of_everything[] = "0 plain = value\n"
                                               "0 late = -1, expires 4096\n"
                                               "0 later = -32768, expires 16000\n"
                                               "0 -2147483648 = \n"
                                               "0 packed = aaaaaaaaaa\n"
                                               "200 one: list\n"
                                               "200 two: zset\n"
                                               "200 three: module, expires 1\n"
                                               "200 four: stream\n"
                                               "200 last = \n"
                                               "end\n";

/* ---- Readings -------------------------------------------------------------------------------------------------------- */

struct reading {
    char *text; /* a line for each event */
    uint64_t position, libraries;
    size_t peak_bytes;
    unsigned failures; /* of allocations */
};

/* Keys and values of damaged files may have any bytes. */
static void note_bytes(struct buffer *text, const struct buffer *bytes) {
    for (size_t i = 0; i < bytes->size; i++) {
        bool is_plain = bytes->data[i] >= ' ' && bytes->data[i] < 0x7f;
        cr_assert(buffer_append_format(text, is_plain ? "%c" : "\\x%02x", bytes->data[i]));
    }
}

static void note(struct buffer *text, const struct rdb_reader *reader, enum rdb_event event) {
    if (event == RDB_END)
        cr_assert(buffer_append_text(text, "end\n"));
    else if (event == RDB_MALFORMED)
        cr_assert(buffer_append_format(text, "malformed: %s\n", reader->problem));
    if (event != RDB_STRING && event != RDB_OTHER_TYPE)
        return;
    cr_assert(reader->key.data != NULL && (event == RDB_OTHER_TYPE || reader->value.data != NULL));
    cr_assert(buffer_append_format(text, "%u ", (unsigned)reader->database));
    note_bytes(text, &reader->key);
    if (event == RDB_OTHER_TYPE) {
        cr_assert(buffer_append_format(text, ": %s", reader->type_name));
    } else {
        cr_assert(buffer_append_text(text, " = "));
        note_bytes(text, &reader->value);
    }
    if (reader->expiry_ms != RECORD_NO_EXPIRY)
        cr_assert(buffer_append_format(text, ", expires %lld", (long long)reader->expiry_ms));
    cr_assert(buffer_append_text(text, "\n"));
}

/* Reads bytes in pieces, each in memory of its own size. fuse: the allocation that fails, once; 0: none does. */
static struct reading read_bytes(const uint8_t *bytes, size_t size, size_t piece, uint64_t fuse) {
    struct mem mem = {.fuse = fuse}, text_mem = {0};
    struct buffer text;
    struct rdb_reader reader;
    struct reading reading = {0};
    enum rdb_event event;
    size_t fed = 0;
    buffer_init(&text, &text_mem);
    rdb_reader_init(&reader, &mem);
    do {
        event = rdb_reader_next(&reader);
        reading.peak_bytes = mem.used_bytes > reading.peak_bytes ? mem.used_bytes : reading.peak_bytes;
        reading.failures += event == RDB_NO_MEMORY;
        note(&text, &reader, event);
        if (event != RDB_NEED_INPUT)
            continue;
        size_t part = size - fed < piece ? size - fed : piece;
        if (part == 0) {
            rdb_reader_finish(&reader);
            continue;
        }
        uint8_t *copy = malloc(part);
        cr_assert_not_null(copy);
        memcpy(copy, bytes + fed, part);
        while (!rdb_reader_feed(&reader, copy, part))
            reading.failures++;
        free(copy);
        fed += part;
    } while (event != RDB_END && event != RDB_MALFORMED);
    cr_assert_eq(rdb_reader_next(&reader), event, "what has ended stays so");
    reading.position = rdb_reader_position(&reader);
    reading.libraries = reader.libraries;
    rdb_reader_release(&reader);
    cr_assert_eq(mem.used_bytes, 0);
    reading.text = malloc(text.size + 1);
    cr_assert_not_null(reading.text);
    memcpy(reading.text, text.data, text.size);
    reading.text[text.size] = '\0';
    buffer_release(&text);
    return reading;
}

static bool ends_with(const char *text, const char *line) {
    size_t size = strlen(text), line_size = strlen(line);
    return size >= line_size && strcmp(text + size - line_size, line) == 0;
}

/* Whether the last line says that the file is malformed. */
static bool is_malformed(const char *text) {
    size_t at = strlen(text);
    while (at > 1 && text[at - 2] != '\n')
        at--;
    return strncmp(at == 0 ? text : text + at - 1, "malformed: ", 11) == 0;
}

static void expect_bytes(const uint8_t *bytes, size_t size, const char *transcript) {
    static const size_t pieces[] = {WHOLE, 1, 2, 3, 7, 16};
    for (unsigned i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct reading reading = read_bytes(bytes, size, pieces[i], 0);
        cr_assert_str_eq(reading.text, transcript, "in pieces of %zu: %s", pieces[i], reading.text);
        free(reading.text);
    }
}

/* Reads a file that is not ended yet, in pieces of several sizes, and releases it. */
static void expect(struct file *file, const char *transcript) {
    file_end(file);
    expect_bytes(file->bytes.data, file->bytes.size, transcript);
    file_release(file);
}

/* What is wrong with it is told with these words, which the place follows. */
static void expect_problem(struct file *file, const char *problem) {
    file_end(file);
    struct reading reading = read_bytes(file->bytes.data, file->bytes.size, WHOLE, 0);
    cr_assert(is_malformed(reading.text) && strstr(reading.text, problem), "%s", reading.text);
    struct reading slow = read_bytes(file->bytes.data, file->bytes.size, 1, 0);
    cr_assert_str_eq(slow.text, reading.text);
    free(slow.text);
    free(reading.text);
    file_release(file);
}

/* ---- Strings --------------------------------------------------------------------------------------------------------- */

Test(rdb, an_empty_file_has_an_end_and_no_keys) {
    struct file file;
    file_begin(&file, "0009");
    expect(&file, "end\n");
}

Test(rdb, a_file_with_everything_is_read_whole_and_in_pieces) {
    struct file file;
    make_file_of_everything(&file);
    expect_bytes(file.bytes.data, file.bytes.size, transcript_of_everything);
    struct reading reading = read_bytes(file.bytes.data, file.bytes.size, 5, 0);
    cr_assert_eq(reading.libraries, 3);
    cr_assert_eq(reading.position, file.bytes.size);
    free(reading.text);
    file_release(&file);
}

Test(rdb, a_key_and_a_value_may_be_empty) {
    struct file file;
    file_begin(&file, "0010");
    PUT(&file, "\x00\x00\x00\x01\x00\x00");
    expect(&file, "0  = \n0 : list\nend\n");
}

Test(rdb, lengths_have_four_forms) {
    static const char *const forms[] = {"\x05", "\x40\x05", "\x80\x00\x00\x00\x05",
                                        "\x81\x00\x00\x00\x00\x00\x00\x00\x05"};
    static const size_t sizes[] = {1, 2, 5, 9};
    for (unsigned i = 0; i < 4; i++) {
        struct file file;
        file_begin(&file, "0010");
        PUT(&file, "\x00");
        file_put(&file, forms[i], sizes[i]);
        PUT(&file, "first");
        file_put(&file, forms[3 - i], sizes[3 - i]);
        PUT(&file, "value");
        expect(&file, "0 first = value\nend\n");
    }
}

Test(rdb, a_length_of_14_or_32_bits_has_its_highest_byte_first) {
    char value[0x10203];
    memset(value, 'v', sizeof value);
    struct file file;
    file_begin(&file, "0010");
    PUT(&file, "\x00\x01k\x80\x00\x01\x02\x03");
    file_put(&file, value, 0x10203);
    PUT(&file, "\x00\x01l\x41\x02");
    file_put(&file, value, 0x102);
    file_end(&file);
    struct reading reading = read_bytes(file.bytes.data, file.bytes.size, 1000, 0);
    cr_assert_eq(strlen(reading.text), 0x10203 + 0x102 + 2 * strlen("0 k = \n") + strlen("end\n"));
    cr_assert(ends_with(reading.text, "v\nend\n"));
    free(reading.text);
    file_release(&file);
}

Test(rdb, numbers_of_8_16_and_32_bits_become_text) {
    struct file file;
    file_begin(&file, "0010");
    PUT(&file, "\x00\xc0\x7f\xc0\x80");
    PUT(&file, "\x00\xc1\x34\x12\xc1\xff\xff");
    PUT(&file, "\x00\xc2\x78\x56\x34\x12\xc2\xff\xff\xff\x7f");
    expect(&file, "0 127 = -128\n0 4660 = -1\n0 305419896 = 2147483647\nend\n");
}

/* A compressible text as Redis writes it. */
static const char *packed_text(char text[4001]) {
    for (unsigned i = 0; i < 4000; i++)
        text[i] = "a text that comes again and again. "[i % 35];
    text[4000] = '\0';
    return text;
}

static void put_packed_text(struct file *file) {
    char text[4001], packed[4000];
    unsigned size = lzf_compress(packed_text(text), 4000, packed, sizeof packed);
    cr_assert(size > 64 && size < 16384);
    uint8_t header[] = {0xc3, (uint8_t)(0x40 | size >> 8), (uint8_t)size, 0x40 | 4000 >> 8, 4000 & 0xff};
    file_put(file, header, sizeof header);
    file_put(file, packed, size);
}

Test(rdb, a_compressed_key_and_value_are_unpacked) {
    char text[4001], wanted[9000];
    struct file file;
    file_begin(&file, "0010");
    PUT(&file, "\x00");
    put_packed_text(&file);
    put_packed_text(&file);
    packed_text(text);
    snprintf(wanted, sizeof wanted, "0 %s = %s\nend\n", text, text);
    expect(&file, wanted);
}

Test(rdb, a_compressed_string_that_lies_about_its_size_is_refused) {
    struct file file;
    file_begin(&file, "0010");
    PUT(&file, "\x00\x01k\xc3\x05\x0b\x00"
               "a\xe0\x00\x00"); /* 10 bytes, not 11 */
    expect_problem(&file, "cannot be unpacked");
    file_begin(&file, "0010");
    PUT(&file, "\x00\x01k\xc3\x05\x09\x00"
               "a\xe0\x00\x00");
    expect_problem(&file, "cannot be unpacked");
    file_begin(&file, "0010");
    PUT(&file, "\x00\x01k\xc3\x05\x0a\x00"
               "a\xe0\x00\x01"); /* refers to what is before the first byte */
    expect_problem(&file, "cannot be unpacked");
    file_begin(&file, "0010");
    PUT(&file, "\x00\x01k\xc3\x05\x0a\x20"
               "a\xe0\x00\x00"); /* its literal goes on beyond its end */
    expect_problem(&file, "cannot be unpacked");
}

Test(rdb, a_compressed_string_of_no_bytes_or_of_far_too_many_is_refused_by_its_header) {
    static const char *const headers[] = {
        "\xc3\x00\x01",             /* nothing that becomes something */
        "\xc3\x01\x00",             /* something that becomes nothing */
        "\xc3\x01\x40\xb0",         /* 176 bytes of one */
        "\xc3\x05\x80\x1f\xff\xff", /* 512 MiB of five */
    };
    static const size_t sizes[] = {3, 3, 4, 7};
    for (unsigned i = 0; i < 4; i++) {
        struct file file;
        file_begin(&file, "0010");
        PUT(&file, "\x00\x01k");
        file_put(&file, headers[i], sizes[i]);
        PUT(&file, "\x00"
                   "aaaaaaaaaa");
        expect_problem(&file, "no length of a string");
        /* The same where it is stepped over. */
        file_begin(&file, "0010");
        PUT(&file, "\x01\x01k\x01");
        file_put(&file, headers[i], sizes[i]);
        PUT(&file, "\x00"
                   "aaaaaaaaaa");
        expect_problem(&file, "cannot be stepped over");
    }
}

/* ---- What belongs to keys -------------------------------------------------------------------------------------------- */

Test(rdb, an_expiry_belongs_to_the_next_key_only) {
    struct file file;
    file_begin(&file, "0010");
    PUT(&file, "\xfc\x15\xcd\x5b\x07\x00\x00\x00\x00\x00\x01"
               "a\x01x");
    PUT(&file, "\x00\x01"
               "b\x01x");
    PUT(&file, "\xfd\xff\xff\xff\x7f\x01\x01"
               "c\x00");
    PUT(&file, "\x01\x01"
               "d\x00");
    expect(&file, "0 a = x, expires 123456789\n0 b = x\n0 c: list, expires 2147483647000\n0 d: list\nend\n");
}

Test(rdb, an_expiry_before_1970_is_long_ago_and_not_none) {
    struct file file;
    file_begin(&file, "0010");
    PUT(&file, "\xfc\x00\x00\x00\x00\x00\x00\x00\x80\x00\x01"
               "a\x01x"); /* INT64_MIN is RECORD_NO_EXPIRY */
    PUT(&file, "\xfd\xff\xff\xff\xff\x00\x01"
               "b\x01x");
    expect(&file, "0 a = x, expires 0\n0 b = x, expires 0\nend\n");
}

Test(rdb, a_database_holds_until_the_next_one) {
    struct file file;
    file_begin(&file, "0010");
    PUT(&file, "\x00\x01"
               "a\x01x\xfe\x0f\x00\x01"
               "b\x01x\x00\x01"
               "c\x01x");
    PUT(&file, "\xfe\x80\xff\xff\xff\xff\x00\x01"
               "d\x01x\xfe\x00\x00\x01"
               "e\x01x");
    expect(&file, "0 a = x\n15 b = x\n15 c = x\n4294967295 d = x\n0 e = x\nend\n");
    file_begin(&file, "0010");
    PUT(&file, "\xfe\x81\x00\x00\x00\x01\x00\x00\x00\x00");
    expect_problem(&file, "no number of a database");
    file_begin(&file, "0010");
    PUT(&file, "\xfe\xc0\x01");
    expect_problem(&file, "no number of a database");
}

/* ---- Values of other types ------------------------------------------------------------------------------------------- */

struct other {
    const char *bytes;
    size_t size;
    uint8_t code;
    const char *type_name;
};

#define OTHER(code, type_name, literal) \
    { literal, sizeof(literal) - 1, code, type_name }

static const struct other others[] = {
    OTHER(1, "list",
          "\x03\x01"
          "a\xc0\x05\xc3\x05\x0a\x00"
          "a\xe0\x00\x00"),
    OTHER(2, "set",
          "\x40\x01\x01"
          "a"),
    OTHER(3, "zset",
          "\x05\x01"
          "a\x03"
          "1.5\x01"
          "b\xfd\x01"
          "c\xfe\x01"
          "d\xff\x01"
          "e\x01"
          "7"),
    OTHER(3, "zset", "\x00"),
    OTHER(4, "hash",
          "\x02\x01"
          "f\x01v\x01g\xc1\x01\x02"),
    OTHER(5, "zset",
          "\x02\x01"
          "a\xff\xff\xff\xff\xff\xff\xff\xff\x01"
          "b\x00\x00\x00\x00\x00\x00\xf8\x3f"),
    OTHER(7, "module",
          "\x81\x01\x02\x03\x04\x05\x06\x07\x08\x01\x05\x02\x40\x05\x03"
          "ffff\x04"
          "dddddddd\x05\x01s\x00"),
    OTHER(7, "module", "\x05\x00"),
    OTHER(9, "hash", "\x02zm"),
    OTHER(10, "list", "\x02zl"),
    OTHER(11, "set", "\x08\x02\x00\x00\x00\x00\x00\x00\x00"),
    OTHER(12, "zset", "\x02zl"),
    OTHER(13, "hash", "\x02zl"),
    OTHER(14, "list",
          "\x02\x02zl\xc3\x05\x0a\x00"
          "a\xe0\x00\x00"),
    OTHER(15, "stream", "\x00\x00\x00\x00\x00"),
    OTHER(15, "stream",
          "\x02\x02id\x02lp\x02id\x02lp\x07\x01\x02"
          "\x02\x01g\x01\x02\x00\x00"
          "\x01h\x01\x02\x02"
          "0123456789abcdefTTTTTTTT\x01"
          "0123456789abcdefTTTTTTTT\x01"
          "\x02\x01"
          "c"
          "SSSSSSSS\x02"
          "0123456789abcdef"
          "0123456789abcdef\x01"
          "d"
          "SSSSSSSS\x00"),
    OTHER(16, "hash", "\x02lp"),
    OTHER(17, "zset", "\x02lp"),
    OTHER(18, "list", "\x02\x01\x05plain\x02\x02lp"),
    OTHER(19, "stream", "\x01\x02id\x02lp\x01\x02\x03\x04\x05\x06\x07\x08\x01\x01g\x01\x02\x03\x00\x00"),
};

Test(rdb, values_of_other_types_are_stepped_over_and_named) {
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char wanted[64];
        struct file file;
        file_begin(&file, "0010");
        file_put(&file, &others[i].code, 1);
        PUT(&file, "\x03key");
        file_put(&file, others[i].bytes, others[i].size);
        PUT(&file, "\x00\x01k\x01v");
        snprintf(wanted, sizeof wanted, "0 key: %s\n0 k = v\nend\n", others[i].type_name);
        expect(&file, wanted);
    }
}

Test(rdb, a_list_of_many_elements_takes_no_more_memory_than_a_piece) {
    struct file file;
    file_begin(&file, "0010");
    PUT(&file, "\x01\x04list\x80\x00\x01\x86\xa0");
    for (unsigned i = 0; i < 100000; i++)
        PUT(&file, "\x0c"
                   "element-4711");
    PUT(&file, "\x01\x04long\x01\x80\x00\x10\x00\x00");
    for (unsigned i = 0; i < 0x100000 / 64; i++)
        PUT(&file, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    file_end(&file);
    struct reading reading = read_bytes(file.bytes.data, file.bytes.size, 100, 0);
    cr_assert_str_eq(reading.text, "0 list: list\n0 long: list\nend\n");
    cr_assert_leq(reading.peak_bytes, 1024);
    free(reading.text);
    file_release(&file);
}

Test(rdb, an_unknown_type_is_refused_by_its_number) {
    for (unsigned code = 0; code < 256; code++) {
        uint8_t byte = (uint8_t)code;
        bool is_known = code <= 5 || code == 7 || (code >= 9 && code <= 19) || code >= 245;
        if (is_known || code == 6)
            continue;
        char wanted[64];
        struct file file;
        file_begin(&file, "0010");
        file_put(&file, &byte, 1);
        PUT(&file, "\x01k\x01v");
        snprintf(wanted, sizeof wanted, "malformed: unknown type %u at byte 9\n", code);
        expect(&file, wanted);
    }
    struct file file;
    file_begin(&file, "0010");
    PUT(&file, "\x06\x01k\x01v");
    expect_problem(&file, "a module's value of an old form");
}

Test(rdb, an_unknown_part_of_a_module_is_refused) {
    struct file file;
    file_begin(&file, "0010");
    PUT(&file, "\x07\x01k\x05\x06\x00");
    expect_problem(&file, "cannot be stepped over");
}

/* ---- Damage ---------------------------------------------------------------------------------------------------------- */

Test(rdb, a_file_cut_anywhere_ends_early) {
    struct file file;
    make_file_of_everything(&file);
    for (size_t size = 0; size < file.bytes.size; size++) {
        struct reading whole = read_bytes(file.bytes.data, size, WHOLE, 0);
        struct reading pieces = read_bytes(file.bytes.data, size, 1, 0);
        cr_assert(is_malformed(whole.text) && strstr(whole.text, "ends early at byte "), "%zu: %s", size,
                  whole.text);
        cr_assert(is_malformed(pieces.text) && strstr(pieces.text, "ends early at byte "), "%zu", size);
        free(whole.text);
        free(pieces.text);
    }
    file_release(&file);
}

Test(rdb, no_flipped_bit_goes_unnoticed) {
    struct file file;
    make_file_of_everything(&file);
    for (size_t bit = 0; bit < 8 * file.bytes.size; bit++) {
        file.bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct reading whole = read_bytes(file.bytes.data, file.bytes.size, WHOLE, 0);
        struct reading pieces = read_bytes(file.bytes.data, file.bytes.size, 3, 0);
        cr_assert(is_malformed(whole.text), "bit %zu: %s", bit, whole.text);
        cr_assert_str_eq(pieces.text, whole.text);
        free(whole.text);
        free(pieces.text);
        file.bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    expect_bytes(file.bytes.data, file.bytes.size, transcript_of_everything);
    file_release(&file);
}

Test(rdb, a_wrong_checksum_is_found_and_one_of_zero_is_none) {
    struct file file;
    file_begin(&file, "0010");
    PUT(&file, "\x00\x01k\x01v\xff");
    size_t size = file.bytes.size;
    file_end_with(&file, checksum_crc64(0, file.bytes.data, file.bytes.size) + 1);
    struct reading reading = read_bytes(file.bytes.data, file.bytes.size, WHOLE, 0);
    cr_assert(strstr(reading.text, "0 k = v\nmalformed: the checksum is wrong"), "%s", reading.text);
    free(reading.text);
    file.bytes.size = size;
    file_end_with(&file, 0);
    expect_bytes(file.bytes.data, file.bytes.size, "0 k = v\nend\n");
    file_release(&file);
}

Test(rdb, before_version_5_there_is_no_checksum) {
    struct file file;
    file_begin(&file, "0004");
    PUT(&file, "\x00\x01k\x01v\xff");
    expect_bytes(file.bytes.data, file.bytes.size, "0 k = v\nend\n");
    file_release(&file);
}

Test(rdb, versions_1_to_10_are_read_and_no_others) {
    for (int version = 0; version <= 12; version++) {
        char text[16], wanted[64] = "end\n";
        struct file file;
        snprintf(text, sizeof text, "%04d", version);
        file_begin(&file, text);
        if (version < 1 || version > 10)
            snprintf(wanted, sizeof wanted, "malformed: RDB version %d: only 1 to 10 are known\n", version);
        expect(&file, wanted);
    }
    struct file file;
    file_begin(&file, "00:0");
    expect_problem(&file, "its version is no number");
}

Test(rdb, what_begins_otherwise_is_no_rdb_file) {
    static const char *const files[] = {"*3\r\n$3\r\nSET\r\n", "R", "REDIT0010", "redis0010", ""};
    for (unsigned i = 0; i < 5; i++) {
        const char *wanted = strncmp("REDIS", files[i], strlen(files[i])) == 0
                                 ? "malformed: ends early at byte 0\n"
                                 : "malformed: no RDB file: it does not begin with REDIS at byte 0\n";
        expect_bytes((const uint8_t *)files[i], strlen(files[i]), wanted);
    }
}

Test(rdb, what_follows_the_end_is_not_read) {
    struct file file;
    file_begin(&file, "0010");
    PUT(&file, "\x00\x01k\x01v");
    file_end(&file);
    size_t size = file.bytes.size;
    PUT(&file, "*1\r\n$4\r\nPING\r\n");
    expect_bytes(file.bytes.data, file.bytes.size, "0 k = v\nend\n");
    struct reading reading = read_bytes(file.bytes.data, file.bytes.size, 3, 0);
    cr_assert_eq(reading.position, size);
    free(reading.text);
    file_release(&file);
}

Test(rdb, a_claimed_length_takes_no_memory) {
    static const char *const headers[] = {
        "\x00\x80\x20\x00\x00\x00", /* a key of 512 MiB */
        "\x00\x01k\x80\x20\x00\x00\x00",
        "\x00\x01k\xc3\x80\x20\x00\x00\x00\x80\x20\x00\x00\x00",
        "\x01\x01k\x81\xff\xff\xff\xff\xff\xff\xff\xff", /* a list of as many as there can be */
        "\x01\x01k\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff",
        "\xfa\x81\xff\xff\xff\xff\xff\xff\xff\xff",
    };
    static const size_t sizes[] = {6, 8, 14, 12, 13, 10};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct file file;
        file_begin(&file, "0010");
        file_put(&file, headers[i], sizes[i]);
        PUT(&file, "\x05 some\x05 more");
        struct reading reading = read_bytes(file.bytes.data, file.bytes.size, WHOLE, 0);
        cr_assert(strncmp(reading.text, "malformed: ends early", 21) == 0, "%u: %s", i, reading.text);
        cr_assert_leq(reading.peak_bytes, 2048);
        free(reading.text);
        file_release(&file);
    }
}

Test(rdb, a_key_or_value_above_the_limit_is_refused_before_it_comes) {
    static const char *const headers[] = {"\x00\x80\x20\x00\x00\x01", "\x00\x01k\x80\x20\x00\x00\x01",
                                          "\x00\x01k\xc3\x80\x1f\x00\x00\x00\x80\x20\x00\x00\x01",
                                          "\x00\x01k\x81\x00\x00\x00\x01\x00\x00\x00\x00"};
    static const size_t sizes[] = {6, 8, 14, 12};
    for (unsigned i = 0; i < 4; i++) {
        struct file file;
        file_begin(&file, "0010");
        file_put(&file, headers[i], sizes[i]);
        expect_problem(&file, "a string of more than 512 MiB");
    }
}

/* ---- Memory and work ------------------------------------------------------------------------------------------------- */

Test(rdb, a_long_value_is_never_gathered_in_the_input) {
    struct mem mem = {0};
    struct rdb_reader reader;
    uint8_t piece[64];
    memset(piece, 'v', sizeof piece);
    rdb_reader_init(&reader, &mem);
    cr_assert(rdb_reader_feed(&reader, "REDIS0010\x00\x01k\x80\x00\x40\x00\x00", 17));
    for (unsigned i = 0; i < 0x400000 / sizeof piece; i++) {
        cr_assert_eq(rdb_reader_next(&reader), RDB_NEED_INPUT);
        cr_assert(rdb_reader_feed(&reader, piece, sizeof piece));
        cr_assert_leq(reader.input.size, 2 * sizeof piece);
    }
    cr_assert_eq(rdb_reader_next(&reader), RDB_STRING);
    cr_assert_eq(reader.value.size, 0x400000);
    /* A short key behind it does not keep its memory. */
    cr_assert(rdb_reader_feed(&reader, "\x00\x01k\x01v", 5));
    cr_assert_eq(rdb_reader_next(&reader), RDB_STRING);
    cr_assert_leq(mem.used_bytes, 4096);
    rdb_reader_release(&reader);
    cr_assert_eq(mem.used_bytes, 0);
}

Test(rdb, after_an_allocation_that_failed_it_goes_on) {
    static const size_t pieces[] = {WHOLE, 20, 1};
    struct file file;
    make_file_of_everything(&file);
    file.bytes.size -= 9; /* its end */
    PUT(&file, "\x00");
    put_packed_text(&file);
    PUT(&file, "\x05value");
    file_end(&file);
    for (unsigned i = 0; i < 3; i++) {
        struct reading wanted = read_bytes(file.bytes.data, file.bytes.size, pieces[i], 0);
        cr_assert(ends_with(wanted.text, " = value\nend\n"), "%s", wanted.text);
        unsigned failures = 1, count = 0;
        for (uint64_t fuse = 1; failures != 0; fuse++) {
            struct reading reading = read_bytes(file.bytes.data, file.bytes.size, pieces[i], fuse);
            failures = reading.failures;
            count += failures;
            cr_assert_str_eq(reading.text, wanted.text);
            free(reading.text);
        }
        cr_assert_eq(count, i == 0 ? 4 : 5,
                     "input, key, value, the longer key; in pieces, what is to be unpacked: %u", count);
        free(wanted.text);
    }
    file_release(&file);
}
