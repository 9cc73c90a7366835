/* string_number.c - strings that hold a number: INCR and its relatives, INCRBYFLOAT.
 * Tests: tests/unit/cmd/string_number_test.c, string_effects_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/call.h"
#include "cmd/handlers.h"

#include "base/number.h"
#include "data/merge_state.h"

#include <math.h>

static void increment(struct call *call, int64_t by) {
    struct entry entry;
    int64_t number = 0;
    if (!call_string(call, &call->argv[1], LOOKUP_WRITE, &entry))
        return;
    if (LIKELY(entry.record != NULL) && !number_parse_int64((const char *)record_value_const(entry.record),
                                                            record_value_size(entry.record), &number)) {
        reply_error(call->reply, ERROR_NOT_INTEGER);
        return;
    }
    if (__builtin_add_overflow(number, by, &number)) {
        reply_error(call->reply, "ERR increment or decrement would overflow");
        return;
    }
    char digits[NUMBER_INT64_SIZE];
    size_t size = number_format_int64(digits, number);
    struct amount amount = {.integer = by};
    if (UNLIKELY(!keyspace_add(call->keyspace, call->database, &call->argv[1], &entry, &amount,
                               (const uint8_t *)digits, (uint32_t)size, ENCODING_NATURAL))) {
        call_no_memory(call);
        return;
    }
    reply_integer(call->reply, number);
}

void incr_command(struct call *call) {
    increment(call, 1);
}

void decr_command(struct call *call) {
    increment(call, -1);
}

void incrby_command(struct call *call) {
    int64_t by;
    if (call_integer(call, 2, &by, NULL))
        increment(call, by);
}

void decrby_command(struct call *call) {
    int64_t by;
    if (!call_integer(call, 2, &by, NULL))
        return;
    if (by == INT64_MIN)
        reply_error(call->reply, "ERR decrement would overflow");
    else
        increment(call, -by);
}

static bool parse_float(struct call *call, const uint8_t *data, uint32_t size, long double *value) {
    if (number_parse_long_double((const char *)data, size, value))
        return true;
    reply_error(call->reply, ERROR_NOT_FLOAT);
    return false;
}

void incrbyfloat_command(struct call *call) {
    struct entry entry;
    long double number = 0, by;
    if (!call_string(call, &call->argv[1], LOOKUP_WRITE, &entry))
        return;
    if (entry.record != NULL &&
        !parse_float(call, record_value_const(entry.record), record_value_size(entry.record), &number))
        return;
    if (!parse_float(call, call->argv[2].data, call->argv[2].size, &by))
        return;
    number += by;
    if (!isfinite(number)) {
        reply_error(call->reply, "ERR increment would produce NaN or Infinity");
        return;
    }
    char digits[NUMBER_LONG_DOUBLE_SIZE];
    size_t size = number_format_long_double(digits, sizeof digits, number);
    /* A text of up to 5,000 digits may find no memory in the reply: it goes ahead of the change. */
    size_t mark = reply_mark(call->reply);
    reply_bulk(call->reply, digits, size);
    struct amount amount = {.is_float = true, .real = by};
    if (!reply_is_complete(call->reply) ||
        !keyspace_add(call->keyspace, call->database, &call->argv[1], &entry, &amount,
                      (const uint8_t *)digits, (uint32_t)size, ENCODING_EMBEDDED)) {
        reply_rollback(call->reply, mark);
        call_no_memory(call);
    }
}
