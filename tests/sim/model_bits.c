/* model_bits.c - the commands on bits, one bit at a time.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/model_inside.h"

#include <stdlib.h>

static bool get_bit(const uint8_t *bytes, size_t size, uint64_t offset) {
    return offset / 8 < size && (bytes[offset / 8] >> (7 - offset % 8) & 1);
}

static void set_bit(uint8_t *bytes, uint64_t offset, bool bit) {
    uint8_t mask = (uint8_t)(0x80 >> offset % 8);
    bytes[offset / 8] = (uint8_t)(bit ? bytes[offset / 8] | mask : bytes[offset / 8] & ~mask);
}

static struct model_entry *find(struct model_call *call, uint32_t index) {
    return entry_find(call->model, call->session->database, &call->argv[index]);
}

/* "17", or "#3" as the third field of a width. */
static bool read_offset(struct model_call *call, uint32_t index, unsigned width, uint64_t *offset) {
    const struct argument *word = &call->argv[index];
    bool in_fields = width != 0 && word->size != 0 && word->data[0] == '#';
    int64_t number;
    __int128 place = -1;
    if (text_integer(word->data + in_fields, word->size - in_fields, &number))
        place = (__int128)number * (in_fields ? width : 1);
    if (place < 0 || place / 8 >= STRING_SIZE_MAX) {
        answer_error(call, "ERR bit offset is not an integer or out of range");
        return false;
    }
    *offset = (uint64_t)place;
    return true;
}

/* The value's bytes, made at least `size` long. */
static uint8_t *writable(struct model_call *call, struct model_entry *entry, size_t size, size_t *new_size) {
    if (entry == NULL)
        entry = entry_put(call->model, call->session->database, &call->argv[1], NULL, 0, MODEL_NO_EXPIRY,
                          SHAPE_RAW);
    *new_size = size < entry->value_size ? entry->value_size : size;
    return entry_resize(call->model, call->session->database, entry, *new_size, SHAPE_RAW);
}

static void run_setbit(struct model_call *call) {
    uint64_t offset;
    int64_t bit;
    if (!read_offset(call, 2, 0, &offset))
        return;
    if (!word_integer(&call->argv[3], &bit) || (bit != 0 && bit != 1)) {
        answer_error(call, "ERR bit is not an integer or out of range");
        return;
    }
    struct model_entry *entry = find(call, 1);
    if (entry != NULL && offset / 8 < entry->value_size &&
        get_bit(entry->value, entry->value_size, offset) == bit) {
        entry->shape = SHAPE_RAW; /* no change, and nobody is told */
        answer_integer(call, bit);
        return;
    }
    answer_integer(call, entry != NULL && get_bit(entry->value, entry->value_size, offset));
    size_t size;
    set_bit(writable(call, entry, offset / 8 + 1, &size), offset, bit);
}

static void run_getbit(struct model_call *call) {
    uint64_t offset;
    if (!read_offset(call, 2, 0, &offset))
        return;
    const struct model_entry *entry = find(call, 1);
    answer_integer(call, entry != NULL && get_bit(entry->value, entry->value_size, offset));
}

/* Brings a range, negative ends counted from behind, into 0..length-1. false: it is empty. */
static bool clamp(int64_t *first, int64_t *last, int64_t length) {
    *first = *first < 0 ? *first + length : *first;
    *last = *last < 0 ? *last + length : *last;
    *first = *first < 0 ? 0 : *first;
    *last = *last < 0 ? 0 : *last;
    *last = *last >= length ? length - 1 : *last;
    return *first <= *last;
}

static void run_bitcount(struct model_call *call) {
    const struct model_entry *entry = find(call, 1);
    int64_t first = 0, last = -1, count = 0;
    if (entry == NULL) {
        answer_integer(call, 0);
        return;
    }
    if (call->argc == 3 || call->argc > 5) {
        answer_error(call, WORDS_SYNTAX);
        return;
    }
    if (call->argc > 2 && (!word_integer(&call->argv[2], &first) || !word_integer(&call->argv[3], &last))) {
        answer_error(call, WORDS_NOT_INTEGER);
        return;
    }
    if (first < 0 && last < 0 && first > last) {
        answer_integer(call, 0);
        return;
    }
    bool in_bits = call->argc == 5 && word_is(&call->argv[4], "bit");
    if (call->argc == 5 && !in_bits && !word_is(&call->argv[4], "byte")) {
        answer_error(call, WORDS_SYNTAX);
        return;
    }
    int64_t unit = in_bits ? 1 : 8;
    if (clamp(&first, &last, (int64_t)entry->value_size * 8 / unit))
        for (int64_t i = first * unit; i < (last + 1) * unit; i++)
            count += get_bit(entry->value, entry->value_size, (uint64_t)i);
    answer_integer(call, count);
}

static void run_bitpos(struct model_call *call) {
    int64_t bit, first = 0, last = -1;
    if (!word_integer(&call->argv[2], &bit)) {
        answer_error(call, WORDS_NOT_INTEGER);
        return;
    }
    if (bit != 0 && bit != 1) {
        answer_error(call, "ERR The bit argument must be 1 or 0.");
        return;
    }
    const struct model_entry *entry = find(call, 1);
    if (entry == NULL) {
        answer_integer(call, bit == 1 ? -1 : 0);
        return;
    }
    bool has_end = call->argc > 4, in_bits = call->argc == 6 && word_is(&call->argv[5], "bit");
    if (call->argc > 6) {
        answer_error(call, WORDS_SYNTAX);
        return;
    }
    if (call->argc > 3 && !word_integer(&call->argv[3], &first)) {
        answer_error(call, WORDS_NOT_INTEGER);
        return;
    }
    if (call->argc == 6 && !in_bits && !word_is(&call->argv[5], "byte")) {
        answer_error(call, WORDS_SYNTAX);
        return;
    }
    if (has_end && !word_integer(&call->argv[4], &last)) {
        answer_error(call, WORDS_NOT_INTEGER);
        return;
    }
    int64_t unit = in_bits ? 1 : 8;
    if (!clamp(&first, &last, (int64_t)entry->value_size * 8 / unit)) {
        answer_integer(call, -1);
        return;
    }
    for (int64_t i = first * unit; i < (last + 1) * unit; i++)
        if (get_bit(entry->value, entry->value_size, (uint64_t)i) == bit) {
            answer_integer(call, i);
            return;
        }
    answer_integer(call, bit == 0 && !has_end ? (int64_t)entry->value_size * 8 : -1);
}

/* ---- BITOP ---- */

static uint8_t combine(char operation, uint8_t a, uint8_t b) {
    return operation == 'a' ? a & b : operation == 'o' ? a | b : a ^ b;
}

static void run_bitop(struct model_call *call) {
    const struct argument *word = &call->argv[1];
    char operation = word_is(word, "and")   ? 'a'
                     : word_is(word, "or")  ? 'o'
                     : word_is(word, "xor") ? 'x'
                     : word_is(word, "not") ? 'n'
                                            : '\0';
    if (operation == '\0') {
        answer_error(call, WORDS_SYNTAX);
        return;
    }
    if (operation == 'n' && call->argc != 4) {
        answer_error(call, "ERR BITOP NOT must be called with a single source key.");
        return;
    }
    size_t size = 0;
    for (uint32_t i = 3; i < call->argc; i++) {
        const struct model_entry *entry = find(call, i);
        if (entry != NULL && entry->value_size > size)
            size = entry->value_size;
    }
    answer_integer(call, (int64_t)size);
    if (size == 0) {
        struct model_entry *old = find(call, 2);
        if (old != NULL)
            entry_remove(call->model, call->session->database, old);
        return;
    }
    uint8_t *result = malloc(size);
    CHECK(result != NULL);
    for (size_t at = 0; at < size; at++)
        for (uint32_t i = 3; i < call->argc; i++) {
            const struct model_entry *entry = find(call, i);
            uint8_t byte = entry != NULL && at < entry->value_size ? entry->value[at] : 0;
            if (i == 3)
                result[at] = operation == 'n' ? (uint8_t)~byte : byte;
            else
                result[at] = combine(operation, result[at], byte);
        }
    entry_put(call->model, call->session->database, &call->argv[2], result, size, MODEL_NO_EXPIRY, SHAPE_RAW);
    free(result);
}

/* ---- BITFIELD ---- */

enum overflow { WRAP, SATURATE, FAIL };

struct field {
    char action; /* 'g', 's', 'i' */
    enum overflow overflow;
    bool is_signed;
    unsigned width;
    uint64_t offset;
    int64_t number;
};

static bool read_type(struct model_call *call, uint32_t index, struct field *field) {
    const struct argument *word = &call->argv[index];
    int64_t width;
    if (word->size > 1 && (word->data[0] == 'i' || word->data[0] == 'u') &&
        text_integer(word->data + 1, word->size - 1, &width)) {
        field->is_signed = word->data[0] == 'i';
        if (width >= 1 && width <= (field->is_signed ? 64 : 63)) {
            field->width = (unsigned)width;
            return true;
        }
    }
    answer_error(
        call,
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
    return false;
}

/* Reads all operations; returns how many there are, -1: the error is answered. fields has room for argc. */
static int read_fields(struct model_call *call, struct field *fields) {
    enum overflow overflow = WRAP;
    int count = 0;
    for (uint32_t i = 2; i < call->argc;) {
        const struct argument *word = &call->argv[i];
        uint32_t left = call->argc - i - 1;
        struct field *field = &fields[count];
        *field = (struct field){.overflow = overflow};
        if (left >= 1 && word_is(word, "overflow")) {
            const struct argument *kind = &call->argv[i + 1];
            if (!word_is(kind, "wrap") && !word_is(kind, "sat") && !word_is(kind, "fail")) {
                answer_error(call, "ERR Invalid OVERFLOW type specified");
                return -1;
            }
            overflow = word_is(kind, "wrap") ? WRAP : word_is(kind, "sat") ? SATURATE : FAIL;
            i += 2;
            continue;
        }
        field->action = left >= 2 && word_is(word, "get")      ? 'g'
                        : left >= 3 && word_is(word, "set")    ? 's'
                        : left >= 3 && word_is(word, "incrby") ? 'i'
                                                               : '\0';
        if (field->action == '\0') {
            answer_error(call, WORDS_SYNTAX);
            return -1;
        }
        if (!read_type(call, i + 1, field) || !read_offset(call, i + 2, field->width, &field->offset))
            return -1;
        if (field->action != 'g' && !word_integer(&call->argv[i + 3], &field->number)) {
            answer_error(call, WORDS_NOT_INTEGER);
            return -1;
        }
        i += field->action == 'g' ? 3 : 4;
        count++;
    }
    return count;
}

static __int128 field_read(const struct field *field, const uint8_t *bytes, size_t size) {
    __int128 number = 0;
    for (unsigned i = 0; i < field->width; i++)
        number = number * 2 + get_bit(bytes, size, field->offset + i);
    if (field->is_signed && number >> (field->width - 1))
        number -= (__int128)1 << field->width;
    return number;
}

/* What the field holds afterwards; false: it overflows and is to fail. */
static bool field_result(const struct field *field, __int128 old, __int128 *result) {
    __int128 range = (__int128)1 << field->width;
    __int128 least = field->is_signed ? -(range / 2) : 0, most = least + range - 1;
    __int128 number = field->action == 'i' ? old + field->number : field->number;
    if (field->action == 's' && !field->is_signed)
        number = (uint64_t)field->number;
    *result = number;
    if (number >= least && number <= most)
        return true;
    if (field->overflow == FAIL)
        return false;
    if (field->overflow == SATURATE) {
        /* Redis takes what is far below a signed type for too large when it is SET. */
        bool is_far_below = field->action == 's' && number < most - INT64_MAX;
        *result = number > most || is_far_below ? most : least;
        return true;
    }
    number = (number % range + range) % range;
    *result = field->is_signed && number >= range / 2 ? number - range : number;
    return true;
}

static void field_write(const struct field *field, uint8_t *bytes, __int128 number) {
    for (unsigned i = 0; i < field->width; i++)
        set_bit(bytes, field->offset + i, (number >> (field->width - 1 - i)) & 1);
}

struct field_changes {
    bool has_written; /* an operation that writes did not fail */
    bool has_changed; /* and another number was there before */
};

static struct field_changes run_fields(struct model_call *call, const struct field *fields, int count,
                                       uint8_t *bytes, size_t size) {
    struct field_changes changes = {0};
    answer_array(call, (size_t)count);
    for (int i = 0; i < count; i++) {
        const struct field *field = &fields[i];
        __int128 old = field_read(field, bytes, size), result = old;
        if (field->action != 'g' && !field_result(field, old, &result)) {
            answer_null(call);
            continue;
        }
        if (result != old)
            field_write(field, bytes, result);
        changes.has_written = changes.has_written || field->action != 'g';
        changes.has_changed = changes.has_changed || result != old;
        answer_integer(call, (int64_t)(field->action == 'i' ? result : old));
    }
    return changes;
}

/* Writes that all fail only make room; that, or the same numbers once more, is no change to anybody. */
static void change_fields(struct model_call *call, const struct field *fields, int count, size_t needed) {
    struct model *model = call->model;
    struct model_entry *entry = find(call, 1);
    size_t old_size = entry == NULL ? 0 : entry->value_size, size = needed > old_size ? needed : old_size;
    uint8_t *copy = calloc(1, size + 1);
    CHECK(copy != NULL);
    if (old_size != 0)
        memcpy(copy, entry->value, old_size);
    struct field_changes changes = run_fields(call, fields, count, copy, size);
    if (needed > old_size) {
        model->tells_nobody = !changes.has_written;
        memcpy(writable(call, entry, needed, &size), copy, size);
        model->tells_nobody = false;
    } else if (changes.has_changed) {
        memcpy(entry_resize(model, call->session->database, entry, size, SHAPE_RAW), copy, size);
    } else if (needed != 0) {
        entry->shape = SHAPE_RAW;
    }
    free(copy);
}

static void bitfield(struct model_call *call, bool reads_only) {
    struct field *fields = calloc(call->argc, sizeof *fields);
    CHECK(fields != NULL);
    int count = read_fields(call, fields);
    size_t needed = 0;
    for (int i = 0; i < count; i++)
        if (fields[i].action != 'g' && (fields[i].offset + fields[i].width + 7) / 8 > needed)
            needed = (fields[i].offset + fields[i].width + 7) / 8;
    if (count >= 0 && reads_only && needed != 0)
        answer_error(call, "ERR BITFIELD_RO only supports the GET subcommand");
    else if (count >= 0 && needed > STRING_SIZE_MAX)
        answer_error(call, WORDS_TOO_LARGE);
    else if (count >= 0)
        change_fields(call, fields, count, needed);
    free(fields);
}

static void run_bitfield(struct model_call *call) {
    bitfield(call, false);
}

static void run_bitfield_ro(struct model_call *call) {
    bitfield(call, true);
}

static const struct model_command rows[] = {
    {"bitcount", -2, 0, run_bitcount},
    {"bitfield", -2, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_bitfield},
    {"bitfield_ro", -2, 0, run_bitfield_ro},
    {"bitop", -4, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_bitop},
    {"bitpos", -3, 0, run_bitpos},
    {"getbit", 3, 0, run_getbit},
    {"setbit", 4, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_setbit},
    {0},
};

const struct model_command *model_bit_commands(void) {
    return rows;
}
