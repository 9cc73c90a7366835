/* dump.c - DUMP and RESTORE: a value as bytes that another node, or a later day, can make a key of.
 *
 * The payload is proto/record_codec's. It carries no expiry and no version: a restored key is a new write.
 * May touch: base, data, proto, store. Must never know: clients, peers.
 * Tests: tests/unit/cmd/dump_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/call.h"
#include "cmd/handlers.h"
#include "proto/record_codec.h"

/* The longest idle time that the access time of a record can tell: 24 bits of seconds. */
#define IDLE_MAX_S 0xffffff

void dump_command(struct call *call) {
    struct entry entry;
    struct record *record =
        keyspace_lookup(call->keyspace, call->database, &call->argv[1], LOOKUP_READ, &entry);
    if (record == NULL) {
        reply_null(call->reply);
        return;
    }
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    uint8_t *space = reply_bulk_space(call->reply, record_dump_size(&parts));
    if (space != NULL)
        record_dump_write(space, &parts);
}

struct restore_options {
    bool replaces;
    bool ttl_is_absolute;
    int64_t idle_s;    /* -1: not given */
    int64_t frequency; /* -1: not given; of no use without an LFU policy */
};

/* Parses argv[4...]; false: the error is replied. */
static bool parse_options(struct call *call, struct restore_options *options) {
    *options = (struct restore_options){.idle_s = -1, .frequency = -1};
    for (uint32_t i = 4; i < call->argc; i++) {
        const struct argument *option = &call->argv[i];
        bool has_value = i + 1 < call->argc;
        if (argument_is(option, "replace")) {
            options->replaces = true;
        } else if (argument_is(option, "absttl")) {
            options->ttl_is_absolute = true;
        } else if (argument_is(option, "idletime") && has_value && options->frequency == -1) {
            if (!call_integer(call, ++i, &options->idle_s, NULL))
                return false;
            if (options->idle_s < 0) {
                reply_error(call->reply, "ERR Invalid IDLETIME value, must be >= 0");
                return false;
            }
        } else if (argument_is(option, "freq") && has_value && options->idle_s == -1) {
            if (!call_integer(call, ++i, &options->frequency, NULL))
                return false;
            if (options->frequency < 0 || options->frequency > 255) {
                reply_error(call->reply, "ERR Invalid FREQ value, must be >= 0 and <= 255");
                return false;
            }
        } else {
            reply_error(call->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* Parses argv[2]; false: the error is replied. */
static bool parse_expiry(struct call *call, const struct restore_options *options, int64_t *expiry_ms) {
    int64_t ttl_ms;
    if (!call_integer(call, 2, &ttl_ms, NULL))
        return false;
    if (ttl_ms < 0) {
        reply_error(call->reply, "ERR Invalid TTL value, must be >= 0");
        return false;
    }
    if (ttl_ms == 0)
        *expiry_ms = EXPIRY_NONE;
    else if (options->ttl_is_absolute)
        *expiry_ms = ttl_ms;
    else if (__builtin_add_overflow(ttl_ms, call->keyspace->now_ms, expiry_ms))
        *expiry_ms = 0; /* Redis comes out in the past, too */
    return true;
}

/* Reads argv[3]; false: the error is replied. */
static bool parse_payload(struct call *call, struct record_parts *parts) {
    switch (record_dump_read(call->argv[3].data, call->argv[3].size, parts)) {
    case RECORD_DUMP_GOOD: return true;
    case RECORD_DUMP_FOREIGN:
        reply_error(call->reply, "ERR DUMP payload version or checksum are wrong");
        return false;
    case RECORD_DUMP_MALFORMED: break;
    }
    reply_error(call->reply, "ERR Bad data format");
    return false;
}

void restore_command(struct call *call) {
    struct argument *key = &call->argv[1];
    struct restore_options options;
    struct record_parts parts;
    int64_t expiry_ms;
    if (!parse_options(call, &options))
        return;
    struct entry entry = {0};
    if (!options.replaces &&
        keyspace_lookup(call->keyspace, call->database, key, LOOKUP_WRITE, &entry) != NULL) {
        reply_error(call->reply, "BUSYKEY Target key name already exists.");
        return;
    }
    if (!parse_expiry(call, &options, &expiry_ms) || !parse_payload(call, &parts))
        return;
    if (expiry_ms != EXPIRY_NONE && expiry_ms <= call->keyspace->now_ms) {
        /* Born dead: all that is left to do is to make room for it. */
        if (keyspace_lookup(call->keyspace, call->database, key, LOOKUP_PEEK, &entry) != NULL)
            keyspace_remove(call->keyspace, call->database, key, &entry, REMOVE_DELETED);
        reply_ok(call->reply);
        return;
    }
    /* The encoding follows from the content again, whatever APPEND or SETRANGE once made of it. */
    struct value value = {.data = parts.value,
                          .size = parts.value_size,
                          .expiry_ms = expiry_ms,
                          .type = parts.type,
                          .encoding = ENCODING_NATURAL};
    if (!keyspace_put(call->keyspace, call->database, key, &value)) {
        call_no_memory(call);
        return;
    }
    if (options.idle_s >= 0) {
        uint32_t idle_s = options.idle_s > IDLE_MAX_S ? IDLE_MAX_S : (uint32_t)options.idle_s;
        CHECK(keyspace_lookup(call->keyspace, call->database, key, LOOKUP_PEEK, &entry) != NULL);
        record_set_access_s(entry.record, call->keyspace->now_s - idle_s);
    }
    reply_ok(call->reply);
}
