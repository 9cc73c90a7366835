/* scan.c - SCAN and KEYS: the names of keys, some at a time or all at once.
 *
 * May touch: base, data, proto, store. Must never know: clients, peers.
 * Invariants: one SCAN looks at about COUNT keys, expired ones included. As long as there are fewer keys than COUNT,
 * one call answers them all, which many a program relies on.
 * Tests: tests/unit/cmd/scan_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"
#include "cmd/call.h"
#include "cmd/handlers.h"
#include "cmd/key.h"
#include "data/glob.h"

#define COUNT_DEFAULT 10
/* More than a node holds. */
#define COUNT_MAX INT32_MAX

/* What is asked for, and how much was found. */
struct scan {
    struct reply *reply;
    const struct argument *pattern; /* NULL: any key */
    const struct argument *type;    /* NULL: any type */
    uint64_t typed;                 /* keys whose type was looked at */
    size_t found;
};

static void scan_visit(void *context, struct record *record) {
    struct scan *scan = context;
    const uint8_t *key = record_key(record);
    uint32_t size = record_key_size(record);
    if (scan->pattern != NULL &&
        !glob_match((const char *)scan->pattern->data, scan->pattern->size, (const char *)key, size, false))
        return;
    if (scan->type != NULL) {
        scan->typed++;
        if (!argument_is(scan->type, key_type_name(record_type(record))))
            return;
    }
    reply_bulk(scan->reply, key, size);
    scan->found++;
}

static const struct argument *pattern_or_null(const struct argument *pattern) {
    return glob_is_everything((const char *)pattern->data, pattern->size) ? NULL : pattern;
}

/* A cursor is read as generously as clients know it: a sign, leading zeros, nothing at all (0), and it ends at a zero
 * byte. -1 is 2^64 - 1. */
static bool parse_cursor(const struct argument *argument, uint64_t *cursor) {
    const uint8_t *at = argument->data, *end = at + argument->size;
    if (at == end || *at == '\0') {
        *cursor = 0;
        return true;
    }
    bool is_negative = *at == '-';
    if (*at == '-' || *at == '+')
        at++;
    const uint8_t *digits = at;
    uint64_t value = 0;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return false;
    if (at == digits || (at < end && *at != '\0'))
        return false;
    *cursor = is_negative ? 0 - value : value;
    return true;
}

/* Parses argv[2...]; false: the error is replied. */
static bool parse_options(struct call *call, struct scan *scan, uint32_t *count) {
    for (uint32_t i = 2; i < call->argc; i += 2) {
        const struct argument *option = &call->argv[i], *value = &call->argv[i + 1];
        if (i + 1 == call->argc) {
            reply_error(call->reply, ERROR_SYNTAX);
            return false;
        }
        if (argument_is(option, "count")) {
            int64_t number;
            if (!call_integer(call, i + 1, &number, NULL))
                return false;
            if (number < 1) {
                reply_error(call->reply, ERROR_SYNTAX);
                return false;
            }
            *count = number > COUNT_MAX ? COUNT_MAX : (uint32_t)number;
        } else if (argument_is(option, "match")) {
            if (!call_pattern(call, i + 1))
                return false;
            scan->pattern = pattern_or_null(value);
        } else if (argument_is(option, "type")) {
            scan->type = value;
        } else {
            reply_error(call->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* The cursor is known only behind the keys, but stands before them: brings what was written from `middle` on to the
 * place `begin`. At most 64 bytes. */
static void bring_forward(struct buffer *out, size_t begin, size_t middle) {
    uint8_t moved[64];
    size_t size = out->size - middle;
    CHECK(size <= sizeof moved);
    memcpy(moved, out->data + middle, size);
    memmove(out->data + begin + size, out->data + begin, middle - begin);
    memcpy(out->data + begin, moved, size);
}

static uint64_t scan_some(struct call *call, uint64_t cursor, uint32_t count, struct scan *scan) {
    if (call->slots != NULL)
        return keyspace_scan_slots(call->keyspace, call->slots, cursor, count, scan_visit, scan);
    return keyspace_scan(call->keyspace, call->database, cursor, count, scan_visit, scan);
}

void scan_command(struct call *call) {
    struct scan scan = {.reply = call->reply};
    uint64_t cursor;
    uint32_t count = COUNT_DEFAULT;
    if (!parse_cursor(&call->argv[1], &cursor)) {
        reply_error(call->reply, "ERR invalid cursor");
        return;
    }
    if (!parse_options(call, &scan, &count))
        return;
    reply_array(call->reply, 2);
    size_t begin = reply_mark(call->reply);
    size_t place = reply_deferred(call->reply);
    cursor = scan_some(call, cursor, count, &scan);
    call->keyspace->counters.hits += scan.typed; /* Redis looks each of them up */
    if (!reply_is_complete(call->reply))
        return;
    reply_deferred_set(call->reply, place, '*', scan.found);
    size_t middle = reply_mark(call->reply);
    char text[NUMBER_INT64_SIZE];
    reply_bulk(call->reply, text, number_format_uint64(text, cursor));
    if (reply_is_complete(call->reply))
        bring_forward(call->reply->out, begin, middle);
}

void keys_command(struct call *call) {
    if (!call_pattern(call, 1))
        return;
    struct scan scan = {.reply = call->reply, .pattern = pattern_or_null(&call->argv[1])};
    size_t place = reply_deferred(call->reply);
    uint64_t cursor = 0;
    do {
        cursor = scan_some(call, cursor, COUNT_MAX, &scan);
    } while (cursor != 0 && reply_is_complete(call->reply));
    if (reply_is_complete(call->reply))
        reply_deferred_set(call->reply, place, '*', scan.found);
}
