/* expiry.c - commands that set, clear and show when a key expires.
 *
 * Times are kept as absolute milliseconds; a key expires when the clock is past its time. A time that is not in the
 * future deletes the key at once.
 * May touch: base, data, proto, store. Must never know: clients, peers, the clock (keyspace->now_ms is the time).
 * Tests: tests/unit/cmd/expiry_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/call.h"
#include "cmd/handlers.h"

/* ---- EXPIRE PEXPIRE EXPIREAT PEXPIREAT ---- */

struct conditions {
    bool if_none;    /* NX */
    bool if_any;     /* XX */
    bool if_greater; /* GT; no expiry counts as infinite */
    bool if_less;    /* LT */
};

/* Parses argv[3...]; false: the error is replied. */
static bool parse_conditions(struct call *call, struct conditions *conditions) {
    *conditions = (struct conditions){0};
    for (uint32_t i = 3; i < call->argc; i++) {
        const struct argument *option = &call->argv[i];
        if (argument_is(option, "nx")) {
            conditions->if_none = true;
        } else if (argument_is(option, "xx")) {
            conditions->if_any = true;
        } else if (argument_is(option, "gt")) {
            conditions->if_greater = true;
        } else if (argument_is(option, "lt")) {
            conditions->if_less = true;
        } else {
            reply_error_format(call->reply, "ERR Unsupported option %.*s", (int)option->size,
                               (const char *)option->data);
            return false;
        }
    }
    if (conditions->if_none && (conditions->if_any || conditions->if_greater || conditions->if_less)) {
        reply_error(call->reply, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (conditions->if_greater && conditions->if_less) {
        reply_error(call->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

static bool conditions_allow(const struct conditions *conditions, int64_t current_ms, int64_t new_ms) {
    if (current_ms == RECORD_NO_EXPIRY)
        return !conditions->if_any && !conditions->if_greater;
    return !conditions->if_none && !(conditions->if_greater && new_ms <= current_ms) &&
           !(conditions->if_less && new_ms >= current_ms);
}

/* Parses argv[2], in units of unit_ms from base_ms on, to absolute milliseconds; false: the error is replied. */
static bool parse_time(struct call *call, int64_t base_ms, int64_t unit_ms, int64_t *time_ms) {
    int64_t time;
    if (!call_integer(call, 2, &time, NULL))
        return false;
    if (__builtin_mul_overflow(time, unit_ms, &time) || __builtin_add_overflow(time, base_ms, time_ms)) {
        reply_error_format(call->reply, "ERR invalid expire time in '%s' command", call->command->name);
        return false;
    }
    return true;
}

static void set_expiry(struct call *call, int64_t base_ms, int64_t unit_ms) {
    struct argument *key = &call->argv[1];
    struct conditions conditions;
    int64_t time_ms;
    if (!parse_conditions(call, &conditions) || !parse_time(call, base_ms, unit_ms, &time_ms))
        return;
    struct entry entry;
    struct record *record = keyspace_lookup(call->keyspace, call->database, key, LOOKUP_WRITE, &entry);
    if (record == NULL || !conditions_allow(&conditions, record_expiry_ms(record), time_ms)) {
        reply_integer(call->reply, 0);
        return;
    }
    if (time_ms <= call->keyspace->now_ms) {
        keyspace_remove(call->keyspace, call->database, key, &entry, REMOVE_DELETED);
    } else if (!keyspace_set_expiry(call->keyspace, call->database, key, &entry, time_ms)) {
        call_no_memory(call);
        return;
    }
    reply_integer(call->reply, 1);
}

void expire_command(struct call *call) {
    set_expiry(call, call->keyspace->now_ms, 1000);
}

void pexpire_command(struct call *call) {
    set_expiry(call, call->keyspace->now_ms, 1);
}

void expireat_command(struct call *call) {
    set_expiry(call, 0, 1000);
}

void pexpireat_command(struct call *call) {
    set_expiry(call, 0, 1);
}

void persist_command(struct call *call) {
    struct argument *key = &call->argv[1];
    struct entry entry;
    struct record *record = keyspace_lookup(call->keyspace, call->database, key, LOOKUP_WRITE, &entry);
    if (record == NULL || record_expiry_ms(record) == RECORD_NO_EXPIRY)
        reply_integer(call->reply, 0);
    else if (keyspace_set_expiry(call->keyspace, call->database, key, &entry, EXPIRY_NONE))
        reply_integer(call->reply, 1);
    else
        call_no_memory(call);
}

/* ---- TTL PTTL EXPIRETIME PEXPIRETIME ---- */

/* Replies the expiry after base_ms, rounded to the nearest unit; -2 without the key, -1 without an expiry. */
static void reply_expiry(struct call *call, int64_t base_ms, uint64_t unit_ms) {
    struct entry entry;
    struct record *record =
        keyspace_lookup(call->keyspace, call->database, &call->argv[1], LOOKUP_COUNT, &entry);
    int64_t expiry_ms = record == NULL ? RECORD_NO_EXPIRY : record_expiry_ms(record);
    if (expiry_ms == RECORD_NO_EXPIRY) {
        reply_integer(call->reply, record == NULL ? -2 : -1);
        return;
    }
    /* A live key's time is not past. Unsigned, as the rounding may go beyond INT64_MAX. */
    uint64_t left_ms = (uint64_t)expiry_ms - (uint64_t)base_ms;
    reply_integer(call->reply, (int64_t)((left_ms + unit_ms / 2) / unit_ms));
}

void ttl_command(struct call *call) {
    reply_expiry(call, call->keyspace->now_ms, 1000);
}

void pttl_command(struct call *call) {
    reply_expiry(call, call->keyspace->now_ms, 1);
}

void expiretime_command(struct call *call) {
    reply_expiry(call, 0, 1000);
}

void pexpiretime_command(struct call *call) {
    reply_expiry(call, 0, 1);
}
