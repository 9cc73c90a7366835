/* replies.c - whether a reply is one that the command may give, and what it says about keys.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/user.h"

#include <string.h>

#define SCAN_CALLS_MAX 20000

static bool fail(struct user *user, const struct operation *operation, const uint8_t *reply, size_t size) {
    static const char *const names[] = {"GET",      "SET",   "GETSET", "SETNX",  "DEL",  "APPEND",
                                        "SETRANGE", "INCR",  "EXPIRE", "MSET",   "SET",  "MGET",
                                        "EXISTS",   "FLUSH", "SCAN",   "DBSIZE", "WAIT", "a look"};
    char readable[160];
    world_fail(user->world, "I-REPLY: user %u, node %u: %s%s%s: %s", user->number,
               user->client.station == NULL ? 99 : user->client.station->number, names[operation->kind],
               operation->key_count == 0 ? "" : " ",
               operation->key_count == 0 ? "" : user->history->keys[operation->keys[0]].name,
               trace_readable(readable, sizeof readable, reply, size));
    return false;
}

void user_told(struct user *user, struct operation *operation, enum outcome outcome) {
    /* What has not been chosen after all is not known to be asked of so many. */
    if (operation == user->choice && outcome != OUTCOME_DONE)
        user->has_failed_choice = true;
    if (user->has_failed_choice)
        operation->writes = 1;
    history_told(user->history, operation, outcome);
    if (outcome == OUTCOME_DONE && operation_writes(operation)) {
        user->last_write = operation->kind == OPERATION_SET ? operation : user->last_write;
        user->observer.told(user->observer.context, operation);
    }
}

/* Parts of it may have been done when others were not. */
static bool has_parts(const struct operation *operation) {
    return operation->key_count > 1 || operation->kind == OPERATION_FLUSH;
}

/* "-INDETERMINATE 1 of 2 copies have ..." says how many at least. */
static void take_undecided(struct user *user, const struct operation *operation, const uint8_t *reply,
                           size_t size) {
    static const char head[] = "-INDETERMINATE ";
    size_t at = sizeof head - 1;
    if (size < at + 6 || memcmp(reply + at + 1, " of ", 4) != 0)
        return;
    uint32_t copies = (uint32_t)(reply[at] - '0'), wanted = (uint32_t)(reply[at + 5] - '0');
    if (copies > 9 || wanted > 9 || copies >= wanted ||
        (operation->writes > 1 && wanted != operation->writes))
        fail(user, operation, reply, size);
    else if (user->observer.undecided != NULL && !has_parts(operation))
        user->observer.undecided(user->observer.context, operation, copies);
}

enum outcome user_judge_error(struct user *user, const struct operation *operation, const uint8_t *reply,
                              size_t size) {
    static const char *const not_done[] = {"CLUSTERDOWN ", "NOQUORUM ", "LOADING "};
    char readable[100];
    user->errors++;
    world_note(user->world, "user %u, node %u: %s", user->number,
               user->client.station == NULL ? 99 : user->client.station->number,
               trace_readable(readable, sizeof readable, reply, size));
    if (user->conditions->is_calm && user->history->is_strict) {
        fail(user, operation, reply, size);
        return OUTCOME_UNKNOWN;
    }
    if (reply_is_error(reply, size, "INDETERMINATE ")) {
        take_undecided(user, operation, reply, size);
        return OUTCOME_UNKNOWN;
    }
    for (unsigned i = 0; i < sizeof not_done / sizeof *not_done; i++)
        if (reply_is_error(reply, size, not_done[i]))
            return OUTCOME_FAILED;
    if (operation->kind == OPERATION_LOOK)
        return OUTCOME_FAILED;
    fail(user, operation, reply, size);
    return OUTCOME_UNKNOWN;
}

/* ---- Reads ---- */

static bool judge_value(struct user *user, struct operation *operation, uint32_t key, const uint8_t *reply,
                        size_t size) {
    const uint8_t *value = NULL;
    size_t value_size = 0;
    if (!reply_is_nil(reply, size) && !reply_bulk_value(reply, size, &value, &value_size))
        return fail(user, operation, reply, size);
    if (user->observer.read != NULL)
        user->observer.read(user->observer.context, key, value, value_size);
    return history_judge(user->history, operation, key, value, value_size);
}

static bool judge_values(struct user *user, struct operation *operation, const uint8_t *reply, size_t size) {
    uint64_t count;
    size_t at, first_length = 0, first_at = 0;
    if (!reply_elements(reply, size, &count, &at) || count != operation->key_count)
        return fail(user, operation, reply, size);
    first_at = at;
    for (uint32_t i = 0; i < operation->key_count; i++) {
        size_t length = reply_measure(reply + at, size - at, 2);
        first_length = i == 0 ? length : first_length;
        if (!judge_value(user, operation, operation->keys[i], reply + at, length))
            return false;
        at += length;
    }
    const struct history *history = user->history;
    bool is_pair = history->keys[operation->keys[0]].kind == KEY_PAIR;
    if (is_pair && user->conditions->is_calm && history->is_strict &&
        (at - first_at != 2 * first_length ||
         memcmp(reply + first_at, reply + first_at + first_length, first_length) != 0)) {
        char readable[100];
        world_fail(user->world, "I-ATOMIC: the pair of %s was written together, and is read as %s",
                   history->keys[operation->keys[0]].name,
                   trace_readable(readable, sizeof readable, reply + first_at, at - first_at));
    }
    return !world_has_failed(user->world);
}

/* ---- SCAN ---- */

static void end_scan(struct user *user, struct operation *scan) {
    const struct history *history = user->history;
    user->scan = NULL;
    user_told(user, scan, OUTCOME_DONE);
    if (!user->conditions->is_calm || !history->is_strict)
        return;
    for (uint32_t key = 0; key < history->key_count; key++)
        if (history_is_there(history, key, scan->invoked_ns) &&
            !(user->scan_seen[key / 64] >> key % 64 & 1)) {
            world_fail(user->world,
                       "I-SCAN: %s was there all the time from %.6f s, and SCAN has not named it",
                       history->keys[key].name, (double)scan->invoked_ns / 1e9);
            return;
        }
}

static bool judge_scan(struct user *user, struct operation *scan, const uint8_t *reply, size_t size) {
    uint64_t count, keys;
    size_t at, first, cursor_size, name_size;
    const uint8_t *cursor, *name;
    if (!reply_elements(reply, size, &count, &at) || count != 2)
        return fail(user, scan, reply, size);
    size_t length = reply_measure(reply + at, size - at, 2);
    if (!reply_bulk_value(reply + at, length, &cursor, &cursor_size))
        return fail(user, scan, reply, size);
    at += length;
    if (!reply_elements(reply + at, size - at, &keys, &first))
        return fail(user, scan, reply, size);
    at += first;
    for (; keys != 0; keys--) {
        length = reply_measure(reply + at, size - at, 2);
        if (!reply_bulk_value(reply + at, length, &name, &name_size))
            return fail(user, scan, reply, size);
        uint32_t key = history_find_key(user->history, name, name_size);
        if (key == user->history->key_count)
            return fail(user, scan, reply, size);
        user->scan_seen[key / 64] |= UINT64_C(1) << key % 64;
        at += length;
    }
    if (++user->scan_calls > SCAN_CALLS_MAX) {
        world_fail(user->world, "I-SCAN: a scan does not come to its end in %d calls", SCAN_CALLS_MAX);
        return false;
    }
    if (cursor_size == 1 && cursor[0] == '0')
        end_scan(user, scan);
    else
        user_say_scan(user, cursor, cursor_size);
    return !world_has_failed(user->world);
}

/* ---- All ---- */

static bool judge_number(struct user *user, struct operation *operation, const uint8_t *reply, size_t size,
                         int64_t least, int64_t most) {
    int64_t number;
    if (!reply_integer_value(reply, size, &number) || number < least || number > most)
        return fail(user, operation, reply, size);
    if (user->observer.number != NULL)
        user->observer.number(user->observer.context, number);
    bool is_nothing = operation->kind == OPERATION_SETNX && number == 0;
    user_told(user, operation, is_nothing ? OUTCOME_NOTHING : OUTCOME_DONE);
    if (operation->kind == OPERATION_WAIT && user->last_write != NULL)
        user->observer.waited(user->observer.context, user->last_write, number);
    return true;
}

static bool judge_count(struct user *user, struct operation *operation, const uint8_t *reply, size_t size) {
    int64_t number;
    if (!reply_integer_value(reply, size, &number) || number < 1)
        return fail(user, operation, reply, size);
    if (history_counts(user->history, operation->keys[0], number) == 0)
        return fail(user, operation, reply, size);
    user_told(user, operation, OUTCOME_DONE);
    return !world_has_failed(user->world);
}

/* Told behind the judgement, so that what is read is judged by what was known when it was asked for. */
static bool told(struct user *user, struct operation *operation, bool is_good) {
    if (is_good)
        user_told(user, operation, OUTCOME_DONE);
    return is_good;
}

bool user_judge(struct user *user, struct operation *operation, const uint8_t *reply, size_t size) {
    if (reply[0] == '-') {
        enum outcome outcome = user_judge_error(user, operation, reply, size);
        if (operation->kind == OPERATION_SCAN)
            user->scan = NULL;
        user_told(user, operation, outcome);
        return !world_has_failed(user->world);
    }
    switch (operation->kind) {
    case OPERATION_GET:
        return told(user, operation, judge_value(user, operation, operation->keys[0], reply, size));
    case OPERATION_GETSET:
        return told(user, operation, judge_value(user, operation, operation->keys[0], reply, size));
    case OPERATION_MGET: return told(user, operation, judge_values(user, operation, reply, size));
    case OPERATION_SET:
    case OPERATION_RESET:
    case OPERATION_MSET:
    case OPERATION_FLUSH:
        if (!reply_is_text(reply, size, "+OK\r\n"))
            return fail(user, operation, reply, size);
        user_told(user, operation, OUTCOME_DONE);
        return true;
    case OPERATION_SETNX:
    case OPERATION_EXPIRE: return judge_number(user, operation, reply, size, 0, 1);
    case OPERATION_DEL: {
        int64_t found;
        operation->missed_some = !reply_integer_value(reply, size, &found) || found < operation->key_count;
        return judge_number(user, operation, reply, size, 0, operation->key_count);
    }
    case OPERATION_EXISTS: return judge_number(user, operation, reply, size, 0, operation->key_count);
    case OPERATION_APPEND:
    case OPERATION_SETRANGE: return judge_number(user, operation, reply, size, CELL_SIZE, INT64_MAX);
    case OPERATION_SIZE:
        return judge_number(user, operation, reply, size, 0,
                            (int64_t)user->history->key_count *
                                (user->conditions->is_calm ? 1 : STATIONS_MAX));
    case OPERATION_WAIT: return judge_number(user, operation, reply, size, 0, STATIONS_MAX);
    case OPERATION_INCR: return judge_count(user, operation, reply, size);
    case OPERATION_SCAN: return judge_scan(user, operation, reply, size);
    default: user_told(user, operation, OUTCOME_DONE); return true;
    }
}
