/* bitfield.c - strings as arrays of integers of 1 to 64 bits: BITFIELD, BITFIELD_RO.
 *
 * The operations are read from the arguments each time they are gone through, so that they need no memory of their
 * own: once to check them all, once to see whether anything changes, and once to do it.
 * Tests: tests/unit/cmd/bitfield_test.c, string_effects_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"
#include "cmd/bitmap.h"
#include "cmd/handlers.h"
#include "data/bits.h"

enum field_action { FIELD_GET, FIELD_SET, FIELD_INCREMENT };
enum field_overflow { OVERFLOW_WRAP, OVERFLOW_SATURATE, OVERFLOW_FAIL };

struct field_operation {
    enum field_action action;
    enum field_overflow overflow;
    bool is_signed;
    unsigned width;  /* 1..64, at most 63 if unsigned */
    uint64_t offset; /* of the first bit */
    int64_t number;  /* to set or to add */
};

/* Where the reader stands among the arguments, and the OVERFLOW in force there. */
struct field_reader {
    uint32_t index;
    enum field_overflow overflow;
};

enum field_read { FIELD_READ, FIELD_END, FIELD_ERROR };

#define FIELD_READER_START ((struct field_reader){.index = 2, .overflow = OVERFLOW_WRAP})

/* More than any one number takes in a reply. */
#define FIELD_REPLY_MAX 32

/* ---- Reading the operations ---- */

static bool read_overflow(struct call *call, uint32_t index, enum field_overflow *overflow) {
    const struct argument *word = &call->argv[index];
    if (argument_is(word, "wrap"))
        *overflow = OVERFLOW_WRAP;
    else if (argument_is(word, "sat"))
        *overflow = OVERFLOW_SATURATE;
    else if (argument_is(word, "fail"))
        *overflow = OVERFLOW_FAIL;
    else {
        reply_error(call->reply, "ERR Invalid OVERFLOW type specified");
        return false;
    }
    return true;
}

/* Reads a type: i1 to i64, u1 to u63, in lower case. */
static bool read_type(struct call *call, uint32_t index, struct field_operation *operation) {
    const char *text = (const char *)call->argv[index].data;
    size_t size = call->argv[index].size;
    int64_t width;
    if (size != 0 && (text[0] == 'i' || text[0] == 'u') && number_parse_int64(text + 1, size - 1, &width)) {
        operation->is_signed = text[0] == 'i';
        if (width >= 1 && width <= (operation->is_signed ? 64 : 63)) {
            operation->width = (unsigned)width;
            return true;
        }
    }
    reply_error(call->reply,
                "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported "
                "but i64 is.");
    return false;
}

/* Reads the next operation. FIELD_ERROR: the error is replied; that cannot happen once all have been read. */
static enum field_read read_operation(struct call *call, struct field_reader *reader,
                                      struct field_operation *operation) {
    uint32_t left; /* arguments behind the word */
    for (;; reader->index += 2) {
        if (reader->index == call->argc)
            return FIELD_END;
        left = call->argc - reader->index - 1;
        if (left < 1 || !argument_is(&call->argv[reader->index], "overflow"))
            break;
        if (!read_overflow(call, reader->index + 1, &reader->overflow))
            return FIELD_ERROR;
    }
    const struct argument *word = &call->argv[reader->index];
    if (left >= 2 && argument_is(word, "get"))
        operation->action = FIELD_GET;
    else if (left >= 3 && argument_is(word, "set"))
        operation->action = FIELD_SET;
    else if (left >= 3 && argument_is(word, "incrby"))
        operation->action = FIELD_INCREMENT;
    else {
        reply_error(call->reply, ERROR_SYNTAX);
        return FIELD_ERROR;
    }
    operation->overflow = reader->overflow;
    operation->number = 0;
    if (!read_type(call, reader->index + 1, operation) ||
        !bitmap_offset(call, reader->index + 2, operation->width, &operation->offset))
        return FIELD_ERROR;
    if (operation->action != FIELD_GET && !call_integer(call, reader->index + 3, &operation->number, NULL))
        return FIELD_ERROR;
    reader->index += operation->action == FIELD_GET ? 3 : 4;
    return FIELD_READ;
}

/* ---- Arithmetic ---- */

static __int128 field_least(const struct field_operation *operation) {
    return operation->is_signed ? -((__int128)1 << (operation->width - 1)) : 0;
}

static __int128 field_most(const struct field_operation *operation) {
    return ((__int128)1 << (operation->is_signed ? operation->width - 1 : operation->width)) - 1;
}

/* The low bits of a field as the number that its type makes of them. */
static int64_t field_number(const struct field_operation *operation, uint64_t bits) {
    unsigned unused = 64 - operation->width;
    return operation->is_signed ? (int64_t)(bits << unused) >> unused : (int64_t)(bits << unused >> unused);
}

/* Where a number that does not fit is cut off. In Redis the distance from a signed type's most to a number that is to
 * be SET is taken modulo 2^64, so that numbers below most - (2^63 - 1) count as too large. */
static __int128 field_saturated(const struct field_operation *operation, __int128 number) {
    __int128 most = field_most(operation), least = field_least(operation);
    if (number > most)
        return most;
    if (operation->action == FIELD_SET && number < most - INT64_MAX)
        return most;
    return least;
}

/* What the operation makes of a field that holds `old`. false: it overflows, and is to fail then. */
static bool field_result(const struct field_operation *operation, int64_t old, int64_t *result) {
    __int128 number = operation->number;
    if (operation->action == FIELD_INCREMENT)
        number += old;
    else if (!operation->is_signed)
        number = (uint64_t)operation->number; /* negative numbers are too large for an unsigned type */
    if (number >= field_least(operation) && number <= field_most(operation)) {
        *result = (int64_t)number;
        return true;
    }
    if (operation->overflow == OVERFLOW_FAIL)
        return false;
    if (operation->overflow == OVERFLOW_SATURATE)
        *result = (int64_t)field_saturated(operation, number);
    else
        *result = field_number(operation, (uint64_t)number);
    return true;
}

/* ---- Running ---- */

/* Checks all operations before any is run. size: bytes that the string must have for those that write, 0 if none
 * does. false: the error is replied. */
static bool check_operations(struct call *call, uint32_t *count, uint64_t *size) {
    struct field_reader reader = FIELD_READER_START;
    struct field_operation operation;
    enum field_read outcome;
    *count = 0;
    *size = 0;
    while ((outcome = read_operation(call, &reader, &operation)) == FIELD_READ) {
        ++*count;
        uint64_t bytes = (operation.offset + operation.width + 7) / 8;
        if (operation.action != FIELD_GET && bytes > *size)
            *size = bytes;
    }
    return outcome == FIELD_END;
}

/* Whether an operation would write anything new into the string. Up to the first that does, all see it as it is. */
static bool operations_change(struct call *call, const uint8_t *bytes, size_t size) {
    struct field_reader reader = FIELD_READER_START;
    struct field_operation operation;
    while (read_operation(call, &reader, &operation) == FIELD_READ) {
        if (operation.action == FIELD_GET)
            continue;
        int64_t result,
            old = field_number(&operation, bits_read_field(bytes, size, operation.offset, operation.width));
        if (field_result(&operation, old, &result) && result != old)
            return true;
    }
    return false;
}

/* Whether any write is carried out: if all fail, the string only gets its room, which is no change to anybody. */
static bool operations_write(struct call *call, const uint8_t *bytes, size_t size) {
    struct field_reader reader = FIELD_READER_START;
    struct field_operation operation;
    while (read_operation(call, &reader, &operation) == FIELD_READ) {
        int64_t result,
            old = field_number(&operation, bits_read_field(bytes, size, operation.offset, operation.width));
        if (operation.action != FIELD_GET && field_result(&operation, old, &result))
            return true;
    }
    return false;
}

/* Runs all operations. target: the string's bytes, where those that write may write, or NULL if nothing changes. */
static void run_operations(struct call *call, const uint8_t *bytes, size_t size, uint8_t *target) {
    struct field_reader reader = FIELD_READER_START;
    struct field_operation operation;
    while (read_operation(call, &reader, &operation) == FIELD_READ) {
        int64_t result,
            old = field_number(&operation, bits_read_field(bytes, size, operation.offset, operation.width));
        if (operation.action == FIELD_GET) {
            reply_integer(call->reply, old);
            continue;
        }
        if (!field_result(&operation, old, &result)) {
            reply_null(call->reply);
            continue;
        }
        reply_integer(call->reply, operation.action == FIELD_SET ? old : result);
        if (target == NULL)
            continue;
        bits_write_field(target, operation.offset, operation.width, (uint64_t)result);
        uint32_t first = (uint32_t)(operation.offset / 8);
        uint32_t end = (uint32_t)((operation.offset + operation.width + 7) / 8);
        keyspace_note_range(call->keyspace, first, end - first);
    }
}

static void read_fields(struct call *call, uint32_t count) {
    struct entry entry;
    if (!call_string(call, &call->argv[1], LOOKUP_READ, &entry))
        return;
    reply_array(call->reply, count);
    if (entry.record == NULL)
        run_operations(call, (const uint8_t *)"", 0, NULL);
    else
        run_operations(call, record_value_const(entry.record), record_value_size(entry.record), NULL);
}

static void change_fields(struct call *call, uint32_t count, uint32_t size) {
    struct argument *key = &call->argv[1];
    struct entry entry;
    if (!call_string(call, key, LOOKUP_WRITE, &entry))
        return;
    /* Results are known only while they are written: memory for the reply comes first. */
    size_t mark = reply_mark(call->reply);
    if (!buffer_reserve(call->reply->out, (size_t)count * FIELD_REPLY_MAX + CALL_REPLY_RESERVE)) {
        reply_rollback(call->reply, mark);
        call_no_memory(call);
        return;
    }
    uint8_t *target = NULL;
    const uint8_t *bytes;
    uint32_t old_size = entry.record == NULL ? 0 : record_value_size(entry.record);
    if (size <= old_size && !operations_change(call, record_value_const(entry.record), old_size)) {
        /* As SETBIT of a bit that is set. */
        keyspace_describe(call->keyspace, call->database, key, &entry, ENCODING_RAW);
        bytes = record_value_const(entry.record);
        size = old_size;
    } else {
        bytes = entry.record == NULL ? (const uint8_t *)"" : record_value_const(entry.record);
        call->keyspace->is_silent = !operations_write(call, bytes, old_size);
        size = size < old_size ? old_size : size;
        target = entry.record == NULL
                     ? keyspace_create(call->keyspace, call->database, key, size, ENCODING_RAW)
                     : keyspace_edit(call->keyspace, call->database, key, &entry, size, ENCODING_RAW);
        call->keyspace->is_silent = false;
        if (target == NULL) {
            call_no_memory(call);
            return;
        }
        bytes = target;
    }
    reply_array(call->reply, count);
    run_operations(call, bytes, size, target);
}

void bitfield_command(struct call *call) {
    uint32_t count;
    uint64_t size;
    if (!check_operations(call, &count, &size))
        return;
    if (size > call->keyspace->value_size_max)
        reply_error(call->reply, ERROR_VALUE_TOO_LARGE);
    else if (size != 0)
        change_fields(call, count, (uint32_t)size);
    else
        read_fields(call, count);
}

void bitfield_ro_command(struct call *call) {
    uint32_t count;
    uint64_t size;
    if (!check_operations(call, &count, &size))
        return;
    if (size != 0)
        reply_error(call->reply, "ERR BITFIELD_RO only supports the GET subcommand");
    else
        read_fields(call, count);
}
