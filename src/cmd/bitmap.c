/* bitmap.c - strings as arrays of bits: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP.
 * Tests: tests/unit/cmd/bitmap_test.c, string_effects_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/bitmap.h"

#include "base/number.h"
#include "cmd/handlers.h"
#include "cmd/range.h"
#include "data/bits.h"

#define ERROR_BIT        "ERR bit is not an integer or out of range"
#define ERROR_BIT_OFFSET "ERR bit offset is not an integer or out of range"

bool bitmap_offset(struct call *call, uint32_t index, unsigned field_width, uint64_t *offset) {
    const char *text = (const char *)call->argv[index].data;
    size_t size = call->argv[index].size;
    bool in_fields = field_width != 0 && size != 0 && text[0] == '#';
    int64_t number;
    if (number_parse_int64(text + in_fields, size - in_fields, &number) &&
        !(in_fields && __builtin_mul_overflow(number, (int64_t)field_width, &number)) && number >= 0 &&
        number >> 3 < call->keyspace->value_size_max) {
        *offset = (uint64_t)number;
        return true;
    }
    reply_error(call->reply, ERROR_BIT_OFFSET);
    return false;
}

/* ---- One bit ---- */

void setbit_command(struct call *call) {
    struct argument *key = &call->argv[1];
    struct entry entry;
    uint64_t offset;
    int64_t bit;
    if (!bitmap_offset(call, 2, 0, &offset) || !call_integer(call, 3, &bit, ERROR_BIT))
        return;
    if (bit != 0 && bit != 1) {
        reply_error(call->reply, ERROR_BIT);
        return;
    }
    if (!call_string(call, key, LOOKUP_WRITE, &entry))
        return;
    uint32_t old_size = entry.record == NULL ? 0 : record_value_size(entry.record);
    uint32_t size = (uint32_t)(offset >> 3) + 1;
    if (size <= old_size && bits_get(record_value_const(entry.record), offset) == (bit == 1)) {
        /* No change, but OBJECT ENCODING tells. */
        keyspace_describe(call->keyspace, call->database, key, &entry, ENCODING_RAW);
        reply_integer(call->reply, bit);
        return;
    }
    uint8_t *bytes = entry.record == NULL
                         ? keyspace_create(call->keyspace, call->database, key, size, ENCODING_RAW)
                         : keyspace_edit(call->keyspace, call->database, key, &entry,
                                         size < old_size ? old_size : size, ENCODING_RAW);
    if (bytes == NULL) {
        call_no_memory(call);
        return;
    }
    bool old = bits_get(bytes, offset);
    bits_set(bytes, offset, bit == 1);
    keyspace_note_range(call->keyspace, (uint32_t)(offset >> 3), 1);
    reply_integer(call->reply, old);
}

void getbit_command(struct call *call) {
    struct entry entry;
    uint64_t offset;
    if (!bitmap_offset(call, 2, 0, &offset) || !call_string(call, &call->argv[1], LOOKUP_READ, &entry))
        return;
    bool within = entry.record != NULL && offset >> 3 < record_value_size(entry.record);
    reply_integer(call->reply, within && bits_get(record_value_const(entry.record), offset));
}

/* ---- Ranges ---- */

/* Reads "BYTE" or "BIT". false: the error is replied. */
static bool read_unit(struct call *call, uint32_t index, bool *in_bits) {
    *in_bits = argument_is(&call->argv[index], "bit");
    if (*in_bits || argument_is(&call->argv[index], "byte"))
        return true;
    reply_error(call->reply, ERROR_SYNTAX);
    return false;
}

void bitcount_command(struct call *call) {
    struct entry entry;
    int64_t first = 0, last = -1;
    bool in_bits = false;
    if (!call_string(call, &call->argv[1], LOOKUP_READ, &entry))
        return;
    if (entry.record == NULL) { /* whatever else the arguments say, as in Redis 7.0 */
        reply_integer(call->reply, 0);
        return;
    }
    if (call->argc == 3 || call->argc > 5) {
        reply_error(call->reply, ERROR_SYNTAX);
        return;
    }
    if (call->argc > 2 && (!call_integer(call, 2, &first, NULL) || !call_integer(call, 3, &last, NULL)))
        return;
    if (range_is_reversed(first, last)) { /* before the unit is looked at */
        reply_integer(call->reply, 0);
        return;
    }
    if (call->argc == 5 && !read_unit(call, 4, &in_bits))
        return;
    const uint8_t *bytes = record_value_const(entry.record);
    int64_t size = record_value_size(entry.record);
    uint64_t count = 0;
    if (range_clamp(&first, &last, in_bits ? size * 8 : size))
        count = in_bits ? bits_count_range(bytes, (uint64_t)first, (uint64_t)last)
                        : bits_count(bytes + first, (size_t)(last - first + 1));
    reply_integer(call->reply, (int64_t)count);
}

/* Reads the range of BITPOS from its third argument on. false: the error is replied. */
static bool read_position_range(struct call *call, int64_t *first, int64_t *last, bool *in_bits) {
    if (call->argc > 6) {
        reply_error(call->reply, ERROR_SYNTAX);
        return false;
    }
    if (call->argc > 3 && !call_integer(call, 3, first, NULL))
        return false;
    if (call->argc == 6 && !read_unit(call, 5, in_bits))
        return false;
    return call->argc <= 4 || call_integer(call, 4, last, NULL);
}

void bitpos_command(struct call *call) {
    struct entry entry;
    int64_t bit, first = 0, last = -1;
    bool in_bits = false;
    if (!call_integer(call, 2, &bit, NULL))
        return;
    if (bit != 0 && bit != 1) {
        reply_error(call->reply, "ERR The bit argument must be 1 or 0.");
        return;
    }
    if (!call_string(call, &call->argv[1], LOOKUP_READ, &entry))
        return;
    if (entry.record == NULL) { /* endless zeros */
        reply_integer(call->reply, bit == 1 ? -1 : 0);
        return;
    }
    if (!read_position_range(call, &first, &last, &in_bits))
        return;
    int64_t size = record_value_size(entry.record);
    if (!range_clamp(&first, &last, in_bits ? size * 8 : size)) {
        reply_integer(call->reply, -1);
        return;
    }
    if (!in_bits) {
        first *= 8;
        last = last * 8 + 7;
    }
    int64_t found = bits_find(record_value_const(entry.record), (uint64_t)first, (uint64_t)last, bit == 1);
    if (found < 0 && bit == 0 && call->argc <= 4)
        found = size * 8; /* without an end, zeros follow the string */
    reply_integer(call->reply, found);
}

/* ---- BITOP ---- */

static bool read_operation(struct call *call, enum bits_operation *operation) {
    static const char *const names[] = {
        [BITS_AND] = "and", [BITS_OR] = "or", [BITS_XOR] = "xor", [BITS_NOT] = "not"};
    for (int i = BITS_AND; i <= BITS_NOT; i++) {
        *operation = (enum bits_operation)i;
        if (argument_is(&call->argv[1], names[i]))
            return true;
    }
    reply_error(call->reply, ERROR_SYNTAX);
    return false;
}

/* Looks the sources up (an absent one is empty); their bytes stay where they are until their own keys change.
 * false: the error is replied. */
static bool find_sources(struct call *call, struct bits_span *sources, size_t count, size_t *longest) {
    *longest = 0;
    for (size_t i = 0; i < count; i++) {
        struct entry entry;
        if (!call_string(call, &call->argv[3 + i], LOOKUP_READ, &entry))
            return false;
        sources[i] = (struct bits_span){0};
        if (entry.record != NULL)
            sources[i] =
                (struct bits_span){record_value_const(entry.record), record_value_size(entry.record)};
        if (sources[i].size > *longest)
            *longest = sources[i].size;
    }
    return true;
}

/* Nothing but empty sources: the destination vanishes. */
static void remove_destination(struct call *call) {
    struct argument *key = &call->argv[2];
    struct entry entry;
    if (keyspace_lookup(call->keyspace, call->database, key, LOOKUP_PEEK, &entry) != NULL)
        keyspace_remove(call->keyspace, call->database, key, &entry, REMOVE_DELETED);
    reply_integer(call->reply, 0);
}

/* Whether the result may be made in the destination itself, without a look at what it holds: no source lies there,
 * and it is absent (entry->record is NULL then) or a string without an expiry to be taken away. */
static bool is_free_for_result(struct call *call, const struct bits_span *sources, size_t count,
                               struct entry *entry) {
    const struct record *record =
        keyspace_lookup(call->keyspace, call->database, &call->argv[2], LOOKUP_PEEK, entry);
    if (record == NULL)
        return true;
    if (record_type(record) != RECORD_STRING || record_expiry_ms(record) != RECORD_NO_EXPIRY)
        return false;
    for (size_t i = 0; i < count; i++)
        if (sources[i].data == record_value_const(record))
            return false;
    return true;
}

/* Makes the result apart, then puts it. false: no memory. */
static bool combine_apart(struct call *call, enum bits_operation operation, const struct bits_span *sources,
                          size_t count, size_t size) {
    struct mem *mem = call->keyspace->mem;
    uint8_t *result = mem_alloc(mem, size);
    if (result == NULL)
        return false;
    bits_combine(operation, sources, count, result, size);
    const struct value value = {.data = result,
                                .size = (uint32_t)size,
                                .expiry_ms = EXPIRY_NONE,
                                .type = RECORD_STRING,
                                .encoding = ENCODING_RAW};
    bool is_put = keyspace_put(call->keyspace, call->database, &call->argv[2], &value);
    mem_free(mem, result, size);
    return is_put;
}

/* Makes the result where it is to lie. false: no memory. */
static bool combine_in_place(struct call *call, enum bits_operation operation,
                             const struct bits_span *sources, size_t count, size_t size,
                             struct entry *entry) {
    struct argument *key = &call->argv[2];
    uint8_t *space =
        entry->record == NULL
            ? keyspace_create(call->keyspace, call->database, key, (uint32_t)size, ENCODING_RAW)
            : keyspace_edit(call->keyspace, call->database, key, entry, (uint32_t)size, ENCODING_RAW);
    if (space == NULL)
        return false;
    bits_combine(operation, sources, count, space, size);
    return true;
}

static void combine_and_put(struct call *call, enum bits_operation operation, const struct bits_span *sources,
                            size_t count, size_t size) {
    struct entry entry;
    bool is_put = is_free_for_result(call, sources, count, &entry)
                      ? combine_in_place(call, operation, sources, count, size, &entry)
                      : combine_apart(call, operation, sources, count, size);
    if (is_put)
        reply_integer(call->reply, (int64_t)size);
    else
        call_no_memory(call);
}

void bitop_command(struct call *call) {
    enum bits_operation operation;
    if (!read_operation(call, &operation))
        return;
    size_t count = call->argc - 3, size;
    if (operation == BITS_NOT && count != 1) {
        reply_error(call->reply, "ERR BITOP NOT must be called with a single source key.");
        return;
    }
    struct mem *mem = call->keyspace->mem;
    struct bits_span *sources = mem_alloc(mem, count * sizeof *sources);
    if (sources == NULL) {
        call_no_memory(call);
        return;
    }
    if (find_sources(call, sources, count, &size)) {
        if (size == 0)
            remove_destination(call);
        else
            combine_and_put(call, operation, sources, count, size);
    }
    mem_free(mem, sources, count * sizeof *sources);
}
