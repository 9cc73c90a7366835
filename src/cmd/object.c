/* object.c - OBJECT: how a value is kept, as far as a client of Redis can tell.
 *
 * A string is bytes in its record here, and shared by nobody. The answers are those of the encodings that Redis
 * would choose, because libraries and tests look at them.
 * May touch: base, data, proto, store. Must never know: clients, peers.
 * Tests: tests/unit/cmd/object_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"
#include "cmd/call.h"
#include "cmd/handlers.h"

/* Strings of at most this size lie beside their header in Redis. */
#define EMBEDDED_SIZE_MAX 44
/* Integers from 0 below this exist once in Redis, and count as referred to INT32_MAX times. */
#define SHARED_INTEGERS 10000
#define ACCESS_MASK     0xffffffu

/* The live key argv[2]; NULL: the reply is written. */
static struct record *find(struct call *call) {
    struct entry entry;
    struct record *record =
        keyspace_lookup(call->keyspace, call->database, &call->argv[2], LOOKUP_COUNT, &entry);
    if (record == NULL)
        reply_null(call->reply);
    return record;
}

static bool is_integer(const struct record *record, int64_t *number) {
    uint32_t size = record_value_size(record);
    return record_encoding(record) == ENCODING_NATURAL && size <= NUMBER_INT64_SIZE &&
           number_parse_int64((const char *)record_value_const(record), size, number);
}

void object_encoding_command(struct call *call) {
    struct record *record = find(call);
    int64_t number;
    if (record == NULL)
        return;
    if (is_integer(record, &number))
        reply_bulk_text(call->reply, "int");
    else if (record_encoding(record) != ENCODING_RAW && record_value_size(record) <= EMBEDDED_SIZE_MAX)
        reply_bulk_text(call->reply, "embstr");
    else
        reply_bulk_text(call->reply, "raw");
}

void object_refcount_command(struct call *call) {
    struct record *record = find(call);
    int64_t number;
    if (record == NULL)
        return;
    bool would_be_shared = is_integer(record, &number) && number >= 0 && number < SHARED_INTEGERS;
    reply_integer(call->reply, would_be_shared ? INT32_MAX : 1);
}

void object_idletime_command(struct call *call) {
    struct record *record = find(call);
    if (record != NULL)
        reply_integer(call->reply, (call->keyspace->now_s - record_access_s(record)) & ACCESS_MASK);
}

void object_freq_command(struct call *call) {
    if (find(call) != NULL)
        reply_error(
            call->reply,
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that "
            "when switching between policies at runtime LRU and LFU data will take some time to adjust.");
}

void object_help_command(struct call *call) {
    static const char *const lines[] = {
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    How the value of <key> is kept: int, embstr or raw.",
        "FREQ <key>",
        "    How often <key> is used, on a logarithmic scale. Needs an LFU maxmemory policy.",
        "IDLETIME <key>",
        "    Seconds since <key> was last read or written.",
        "REFCOUNT <key>",
        "    How many keys share the value of <key>.",
        "HELP",
        "    This text.",
    };
    size_t count = sizeof lines / sizeof *lines;
    reply_array(call->reply, count);
    for (size_t i = 0; i < count; i++)
        reply_simple(call->reply, lines[i]);
}
