/* string.c - whole strings: SET and its relatives, GET and its relatives, several keys at once.
 * Tests: tests/unit/cmd/string_test.c, string_effects_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/call.h"
#include "cmd/handlers.h"

/* ---- Expiry options ---- */

enum expiry_unit { EXPIRY_UNIT_NONE, EXPIRY_UNIT_EX, EXPIRY_UNIT_PX, EXPIRY_UNIT_EXAT, EXPIRY_UNIT_PXAT };

struct set_options {
    bool if_absent, if_present, get, keep_expiry, persist;
    enum expiry_unit unit;
    uint32_t expiry_index; /* the argument that holds the number */
};

static bool unit_is_seconds(enum expiry_unit unit) {
    return unit == EXPIRY_UNIT_EX || unit == EXPIRY_UNIT_EXAT;
}

static bool unit_is_absolute(enum expiry_unit unit) {
    return unit == EXPIRY_UNIT_EXAT || unit == EXPIRY_UNIT_PXAT;
}

static enum expiry_unit unit_named(const struct argument *word) {
    static const char *const names[] = {[EXPIRY_UNIT_EX] = "ex",
                                        [EXPIRY_UNIT_PX] = "px",
                                        [EXPIRY_UNIT_EXAT] = "exat",
                                        [EXPIRY_UNIT_PXAT] = "pxat"};
    for (int unit = EXPIRY_UNIT_EX; unit <= EXPIRY_UNIT_PXAT; unit++)
        if (argument_is(word, names[unit]))
            return (enum expiry_unit)unit;
    return EXPIRY_UNIT_NONE;
}

/* An expiry option may come again in the same unit (the last one counts), not beside another one. */
static bool take_expiry_option(const struct call *call, uint32_t *index, struct set_options *options) {
    enum expiry_unit unit = unit_named(&call->argv[*index]);
    if (unit == EXPIRY_UNIT_NONE || (options->unit != EXPIRY_UNIT_NONE && options->unit != unit))
        return false;
    if (options->keep_expiry || options->persist || *index + 1 == call->argc)
        return false;
    options->unit = unit;
    options->expiry_index = ++*index;
    return true;
}

static bool take_set_option(const struct call *call, uint32_t *index, struct set_options *options) {
    const struct argument *word = &call->argv[*index];
    if (argument_is(word, "nx") && !options->if_present)
        return options->if_absent = true;
    if (argument_is(word, "xx") && !options->if_absent)
        return options->if_present = true;
    if (argument_is(word, "get"))
        return options->get = true;
    if (argument_is(word, "keepttl") && options->unit == EXPIRY_UNIT_NONE)
        return options->keep_expiry = true;
    return take_expiry_option(call, index, options);
}

static bool take_getex_option(const struct call *call, uint32_t *index, struct set_options *options) {
    if (argument_is(&call->argv[*index], "persist") && options->unit == EXPIRY_UNIT_NONE)
        return options->persist = true;
    return take_expiry_option(call, index, options);
}

/* The moment that argv[index] means, in ms since 1970. false: the error is replied. */
static bool read_expiry(struct call *call, uint32_t index, enum expiry_unit unit, int64_t *expiry_ms) {
    int64_t number;
    if (!call_integer(call, index, &number, NULL))
        return false;
    bool fits = number > 0;
    if (unit_is_seconds(unit))
        fits = fits && !__builtin_mul_overflow(number, 1000, &number);
    if (!unit_is_absolute(unit))
        fits = fits && !__builtin_add_overflow(number, call->keyspace->now_ms, &number);
    if (!fits) {
        reply_error_format(call->reply, "ERR invalid expire time in '%s' command", call->command->name);
        return false;
    }
    *expiry_ms = number;
    return true;
}

/* ---- Writing ---- */

static void put_and_reply_ok(struct call *call, const struct argument *bytes, int64_t expiry_ms) {
    if (LIKELY(call_put_string(call, &call->argv[1], bytes, expiry_ms)))
        reply_ok(call->reply);
    else
        call_no_memory(call);
}

static void reply_value(struct call *call, const struct record *record) {
    if (record == NULL)
        reply_null(call->reply);
    else
        reply_bulk(call->reply, record_value_const(record), record_value_size(record));
}

/* Writes the old value, ahead of a change. false: there is no memory for it; the error is replied, and the
 * change must not be made. */
static bool reply_old_value(struct call *call, const struct record *record, size_t *mark) {
    *mark = reply_mark(call->reply);
    reply_value(call, record);
    if (LIKELY(reply_is_complete(call->reply)))
        return true;
    reply_rollback(call->reply, *mark);
    call_no_memory(call);
    return false;
}

/* Takes the old value back when the change found no memory. */
static void withdraw_old_value(struct call *call, size_t mark) {
    reply_rollback(call->reply, mark);
    call_no_memory(call);
}

/* Answers the old value and puts the new one, as far as the options allow it. */
static void set_and_reply_old(struct call *call, const struct set_options *options, int64_t expiry_ms) {
    struct entry entry;
    size_t mark;
    if (!call_string(call, &call->argv[1], LOOKUP_READ, &entry))
        return;
    bool exists = entry.record != NULL;
    if (!reply_old_value(call, entry.record, &mark))
        return;
    if ((options->if_absent && exists) || (options->if_present && !exists))
        return;
    if (!call_put_string(call, &call->argv[1], &call->argv[2], expiry_ms))
        withdraw_old_value(call, mark);
}

static bool exists(struct call *call, struct argument *key) {
    struct entry entry;
    return keyspace_lookup(call->keyspace, call->database, key, LOOKUP_WRITE, &entry) != NULL;
}

static void set_with_options(struct call *call) {
    struct set_options options = {0};
    for (uint32_t i = 3; i < call->argc; i++) {
        if (!take_set_option(call, &i, &options)) {
            reply_error(call->reply, ERROR_SYNTAX);
            return;
        }
    }
    int64_t expiry_ms = options.keep_expiry ? EXPIRY_KEEP : EXPIRY_NONE;
    if (options.unit != EXPIRY_UNIT_NONE &&
        !read_expiry(call, options.expiry_index, options.unit, &expiry_ms))
        return;
    if (options.get) {
        set_and_reply_old(call, &options, expiry_ms);
        return;
    }
    if ((options.if_absent || options.if_present) && exists(call, &call->argv[1]) != options.if_present) {
        reply_null(call->reply);
        return;
    }
    put_and_reply_ok(call, &call->argv[2], expiry_ms);
}

void set_command(struct call *call) {
    if (LIKELY(call->argc == 3))
        put_and_reply_ok(call, &call->argv[2], EXPIRY_NONE);
    else
        set_with_options(call);
}

void setnx_command(struct call *call) {
    if (exists(call, &call->argv[1]))
        reply_integer(call->reply, 0);
    else if (call_put_string(call, &call->argv[1], &call->argv[2], EXPIRY_NONE))
        reply_integer(call->reply, 1);
    else
        call_no_memory(call);
}

static void set_expiring(struct call *call, enum expiry_unit unit) {
    int64_t expiry_ms;
    if (read_expiry(call, 2, unit, &expiry_ms))
        put_and_reply_ok(call, &call->argv[3], expiry_ms);
}

void setex_command(struct call *call) {
    set_expiring(call, EXPIRY_UNIT_EX);
}

void psetex_command(struct call *call) {
    set_expiring(call, EXPIRY_UNIT_PX);
}

void getset_command(struct call *call) {
    set_and_reply_old(call, &(struct set_options){0}, EXPIRY_NONE);
}

/* ---- Reading ---- */

void get_command(struct call *call) {
    struct entry entry;
    if (LIKELY(call_string(call, &call->argv[1], LOOKUP_READ, &entry)))
        reply_value(call, entry.record);
}

void getdel_command(struct call *call) {
    struct entry entry;
    size_t mark;
    if (!call_string(call, &call->argv[1], LOOKUP_READ, &entry))
        return;
    if (reply_old_value(call, entry.record, &mark) && entry.record != NULL)
        keyspace_remove(call->keyspace, call->database, &call->argv[1], &entry, REMOVE_DELETED);
}

/* Changes the expiry of a key whose value is replied already, as GETEX's options say. false: no memory. */
static bool change_expiry(struct call *call, struct entry *entry, const struct set_options *options,
                          int64_t expiry_ms) {
    struct argument *key = &call->argv[1];
    if (options->persist) {
        if (record_expiry_ms(entry->record) == RECORD_NO_EXPIRY)
            return true;
        return keyspace_set_expiry(call->keyspace, call->database, key, entry, EXPIRY_NONE);
    }
    if (unit_is_absolute(options->unit) && expiry_ms <= call->keyspace->now_ms) {
        keyspace_remove(call->keyspace, call->database, key, entry, REMOVE_DELETED);
        return true;
    }
    return keyspace_set_expiry(call->keyspace, call->database, key, entry, expiry_ms);
}

void getex_command(struct call *call) {
    struct set_options options = {0};
    struct entry entry;
    int64_t expiry_ms = EXPIRY_NONE;
    size_t mark;
    for (uint32_t i = 2; i < call->argc; i++) {
        if (!take_getex_option(call, &i, &options)) {
            reply_error(call->reply, ERROR_SYNTAX);
            return;
        }
    }
    if (!call_string(call, &call->argv[1], LOOKUP_READ, &entry))
        return;
    if (entry.record == NULL) {
        reply_null(call->reply);
        return;
    }
    if (options.unit != EXPIRY_UNIT_NONE &&
        !read_expiry(call, options.expiry_index, options.unit, &expiry_ms))
        return;
    if (!reply_old_value(call, entry.record, &mark))
        return;
    if (options.unit == EXPIRY_UNIT_NONE && !options.persist)
        return;
    if (!change_expiry(call, &entry, &options, expiry_ms))
        withdraw_old_value(call, mark);
}

/* ---- Several keys ---- */

void mget_command(struct call *call) {
    reply_array(call->reply, call->argc - 1);
    for (uint32_t i = 1; i < call->argc; i++) {
        struct entry entry;
        const struct record *record =
            keyspace_lookup(call->keyspace, call->database, &call->argv[i], LOOKUP_READ, &entry);
        reply_value(call, record != NULL && record_type(record) == RECORD_STRING ? record : NULL);
    }
}

/* Keys and values have to come in pairs, which the command's arity cannot say. */
static bool check_pairs(struct call *call) {
    if (LIKELY(call->argc % 2 == 1))
        return true;
    reply_error_format(call->reply, "ERR wrong number of arguments for '%s' command", call->command->name);
    return false;
}

static bool put_pairs(struct call *call) {
    return keyspace_put_many(call->keyspace, call->database, call->argv + 1, (call->argc - 1) / 2);
}

void mset_command(struct call *call) {
    if (!check_pairs(call))
        return;
    if (LIKELY(put_pairs(call)))
        reply_ok(call->reply);
    else
        call_no_memory(call);
}

void msetnx_command(struct call *call) {
    if (!check_pairs(call))
        return;
    for (uint32_t i = 1; i < call->argc; i += 2) {
        if (exists(call, &call->argv[i])) {
            reply_integer(call->reply, 0);
            return;
        }
    }
    if (put_pairs(call))
        reply_integer(call->reply, 1);
    else
        call_no_memory(call);
}
