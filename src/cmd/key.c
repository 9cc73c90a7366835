/* key.c - commands on keys as a whole, whatever their values: DEL, RENAME, COPY, FLUSHALL, ...
 *
 * May touch: base, data, proto, store. Must never know: clients, peers.
 * Invariants: a key that changes its place is never lost: the new one stands before the old one goes.
 * Tests: tests/unit/cmd/key_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/key.h"

#include "cmd/call.h"
#include "cmd/handlers.h"

#define ERROR_DATABASE    "ERR DB index is out of range"
#define ERROR_SAME_OBJECT "ERR source and destination objects are the same"

const char *key_type_name(unsigned type) {
    CHECK(type == RECORD_STRING);
    return "string";
}

/* Parses argv[index] as a number of a database; false: the error is replied. */
static bool parse_database(struct call *call, uint32_t index, uint32_t *database) {
    int64_t number;
    if (!call_integer(call, index, &number, NULL))
        return false;
    if (number < INT32_MIN || number > INT32_MAX) {
        reply_error(call->reply, "ERR value is out of range, value must between -2147483648 and 2147483647");
        return false;
    }
    if (number < 0 || number >= DATABASE_COUNT) {
        reply_error(call->reply, ERROR_DATABASE);
        return false;
    }
    *database = (uint32_t)number;
    return true;
}

/* Whether other nodes may hold copies of these keys: then database 0 is all that there is. */
static bool is_in_cluster(const struct call *call) {
    return call->keyspace->ledger != NULL;
}

static bool same_key(const struct argument *a, const struct argument *b) {
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* ---- DEL UNLINK EXISTS TOUCH TYPE ---- */

void del_command(struct call *call) {
    int64_t removed = 0;
    for (uint32_t i = 1; i < call->argc; i++) {
        struct entry entry;
        if (keyspace_lookup(call->keyspace, call->database, &call->argv[i], LOOKUP_PEEK, &entry) == NULL)
            continue;
        keyspace_remove(call->keyspace, call->database, &call->argv[i], &entry, REMOVE_DELETED);
        removed++;
    }
    reply_integer(call->reply, removed);
}

/* A record is one allocation, so there is nothing that would be better freed later. */
void unlink_command(struct call *call) {
    del_command(call);
}

static void count_keys(struct call *call, enum lookup_mode mode) {
    int64_t found = 0;
    for (uint32_t i = 1; i < call->argc; i++) {
        struct entry entry;
        found += keyspace_lookup(call->keyspace, call->database, &call->argv[i], mode, &entry) != NULL;
    }
    reply_integer(call->reply, found);
}

void exists_command(struct call *call) {
    count_keys(call, LOOKUP_COUNT);
}

void touch_command(struct call *call) {
    count_keys(call, LOOKUP_READ);
}

void type_command(struct call *call) {
    struct entry entry;
    struct record *record =
        keyspace_lookup(call->keyspace, call->database, &call->argv[1], LOOKUP_COUNT, &entry);
    reply_simple(call->reply, record == NULL ? "none" : key_type_name(record_type(record)));
}

/* ---- RENAME RENAMENX COPY MOVE ---- */

/* Puts what the (live) key `from` holds at `to` as well, with its expiry; the access time is now.
 * false: no memory, nothing changed. */
static bool put_copy(struct call *call, struct argument *from, uint32_t database, struct argument *to) {
    struct entry entry;
    struct record *record = keyspace_lookup(call->keyspace, call->database, from, LOOKUP_PEEK, &entry);
    CHECK(record != NULL);
    struct value value = {.data = record_value_const(record),
                          .size = record_value_size(record),
                          .expiry_ms = record_expiry_ms(record),
                          .type = (uint8_t)record_type(record),
                          .encoding = (uint8_t)record_encoding(record)};
    return keyspace_put(call->keyspace, database, to, &value);
}

static bool put_and_remove(struct call *call, struct argument *from, uint32_t database, struct argument *to) {
    if (!put_copy(call, from, database, to))
        return false;
    struct entry entry;
    CHECK(keyspace_lookup(call->keyspace, call->database, from, LOOKUP_PEEK, &entry) != NULL);
    keyspace_remove(call->keyspace, call->database, from, &entry, REMOVE_MOVED);
    return true;
}

static void rename_key(struct call *call, bool only_if_absent) {
    struct argument *from = &call->argv[1], *to = &call->argv[2];
    struct entry entry;
    if (keyspace_lookup(call->keyspace, call->database, from, LOOKUP_WRITE, &entry) == NULL) {
        reply_error(call->reply, ERROR_NO_SUCH_KEY);
        return;
    }
    bool is_there = same_key(from, to) ||
                    keyspace_lookup(call->keyspace, call->database, to, LOOKUP_WRITE, &entry) != NULL;
    if (only_if_absent && is_there) {
        reply_integer(call->reply, 0);
        return;
    }
    if (!same_key(from, to) && !put_and_remove(call, from, call->database, to)) {
        call_no_memory(call);
        return;
    }
    if (only_if_absent)
        reply_integer(call->reply, 1);
    else
        reply_ok(call->reply);
}

void rename_command(struct call *call) {
    rename_key(call, false);
}

void renamenx_command(struct call *call) {
    rename_key(call, true);
}

void copy_command(struct call *call) {
    struct argument *from = &call->argv[1], *to = &call->argv[2];
    uint32_t database = call->database;
    bool replaces = false;
    for (uint32_t i = 3; i < call->argc; i++) {
        if (argument_is(&call->argv[i], "replace")) {
            replaces = true;
        } else if (argument_is(&call->argv[i], "db") && i + 1 < call->argc) {
            if (!parse_database(call, ++i, &database))
                return;
        } else {
            reply_error(call->reply, ERROR_SYNTAX);
            return;
        }
    }
    if (is_in_cluster(call) && database != 0) {
        reply_error(call->reply, "ERR Copying to another database is not allowed in cluster mode");
        return;
    }
    if (database == call->database && same_key(from, to)) {
        reply_error(call->reply, ERROR_SAME_OBJECT);
        return;
    }
    struct entry entry;
    if (keyspace_lookup(call->keyspace, call->database, from, LOOKUP_READ, &entry) == NULL ||
        (keyspace_lookup(call->keyspace, database, to, LOOKUP_WRITE, &entry) != NULL && !replaces)) {
        reply_integer(call->reply, 0);
        return;
    }
    if (put_copy(call, from, database, to))
        reply_integer(call->reply, 1);
    else
        call_no_memory(call);
}

void move_command(struct call *call) {
    struct argument *key = &call->argv[1];
    uint32_t database;
    if (is_in_cluster(call)) {
        reply_error(call->reply, "ERR MOVE is not allowed in cluster mode");
        return;
    }
    if (!parse_database(call, 2, &database))
        return;
    if (database == call->database) {
        reply_error(call->reply, ERROR_SAME_OBJECT);
        return;
    }
    struct entry entry;
    if (keyspace_lookup(call->keyspace, call->database, key, LOOKUP_WRITE, &entry) == NULL ||
        keyspace_lookup(call->keyspace, database, key, LOOKUP_WRITE, &entry) != NULL)
        reply_integer(call->reply, 0);
    else if (put_and_remove(call, key, database, key))
        reply_integer(call->reply, 1);
    else
        call_no_memory(call);
}

/* ---- Whole databases ---- */

void randomkey_command(struct call *call) {
    struct record *record = call->slots == NULL ? keyspace_random(call->keyspace, call->database)
                                                : keyspace_random_of_slots(call->keyspace, call->slots);
    if (record == NULL)
        reply_null(call->reply);
    else
        reply_bulk(call->reply, record_key(record), record_key_size(record));
}

/* Keys of the slots that the command is about. */
static uint64_t keys_of_slots(const struct call *call) {
    uint64_t keys = 0;
    for (uint32_t slot = slot_set_next(call->slots, 0); slot < SLOT_COUNT;
         slot = slot_set_next(call->slots, slot + 1))
        keys += keyspace_slot_size(call->keyspace, slot);
    return keys;
}

void dbsize_command(struct call *call) {
    if (call->slots != NULL) {
        reply_integer(call->reply, (int64_t)keys_of_slots(call));
        return;
    }
    reply_integer(call->reply, (int64_t)keyspace_size(call->keyspace, call->database));
}

/* ASYNC and SYNC are told apart by nobody: the keys are gone when the reply is written, and their memory comes back
 * in the background either way. false: the error is replied. */
static bool flush_options_are_good(struct call *call) {
    if (call->argc == 1 ||
        (call->argc == 2 && (argument_is(&call->argv[1], "async") || argument_is(&call->argv[1], "sync"))))
        return true;
    reply_error(call->reply, ERROR_SYNTAX);
    return false;
}

/* Shared slots are flushed by a stamp, which tells the other copies what is to go. */
static void flush(struct call *call, uint32_t database) {
    if (call->slots != NULL && database == 0)
        keyspace_flush_own(call->keyspace, call->slots);
    else
        keyspace_flush(call->keyspace, database);
}

void flushdb_command(struct call *call) {
    if (!flush_options_are_good(call))
        return;
    flush(call, call->database);
    reply_ok(call->reply);
}

void flushall_command(struct call *call) {
    if (!flush_options_are_good(call))
        return;
    for (uint32_t database = 0; database < DATABASE_COUNT; database++)
        flush(call, database);
    reply_ok(call->reply);
}

/* As parse_database(), with SWAPDB's own words for what is no number. */
static bool parse_swap_index(struct call *call, uint32_t index, const char *error, int64_t *number) {
    if (!call_integer(call, index, number, error))
        return false;
    if (*number < INT32_MIN || *number > INT32_MAX) {
        reply_error(call->reply, error);
        return false;
    }
    return true;
}

void swapdb_command(struct call *call) {
    int64_t first, second;
    if (is_in_cluster(call)) {
        reply_error(call->reply, "ERR SWAPDB is not allowed in cluster mode");
        return;
    }
    if (!parse_swap_index(call, 1, "ERR invalid first DB index", &first) ||
        !parse_swap_index(call, 2, "ERR invalid second DB index", &second))
        return;
    if (first < 0 || first >= DATABASE_COUNT || second < 0 || second >= DATABASE_COUNT) {
        reply_error(call->reply, ERROR_DATABASE);
        return;
    }
    keyspace_swap(call->keyspace, (uint32_t)first, (uint32_t)second);
    reply_ok(call->reply);
}
