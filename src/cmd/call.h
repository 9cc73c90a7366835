/* call.h - one command while it runs: what a handler of the data commands is given, and nothing else.
 *
 * A handler reads argv, works on the keyspace through store/keyspace.h and writes exactly one reply.
 * It sees no client and no peer. The rules that every handler keeps:
 *   1. check all arguments before anything is changed;
 *   2. what needs memory and can fail comes first: the reply that carries old values, then the change;
 *   3. a change that finds no memory: take the reply back (reply_rollback) and answer call_no_memory();
 *      then nothing has changed.
 * Small replies (up to CALL_REPLY_RESERVE bytes) never fail: the node reserves that much ahead.
 * Tests: tests/unit/cmd/, and the fail-every-allocation test of the simulator.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CMD_CALL_H
#define CMD_CALL_H

#include "base/argument.h"
#include "cmd/command.h"
#include "proto/reply.h"
#include "store/keyspace.h"

#define CALL_REPLY_RESERVE 1024

struct call {
    struct keyspace *keyspace;
    struct reply *reply;
    const struct command *command; /* the subcommand's row where there is one */
    struct argument *argv;         /* argv[0] is the name (a subcommand's name is argv[1]) */
    uint32_t argc;
    uint32_t database; /* 0..DATABASE_COUNT-1 */
    /* The slots that a command on the whole database is about (DBSIZE, KEYS, SCAN, RANDOMKEY, FLUSHALL, FLUSHDB), in
     * a node that shares them with others. NULL: all. */
    const struct slot_set *slots;
};

/* The texts that clients match. */
#define ERROR_SYNTAX           "ERR syntax error"
#define ERROR_NOT_INTEGER      "ERR value is not an integer or out of range"
#define ERROR_NOT_FLOAT        "ERR value is not a valid float"
#define ERROR_WRONG_TYPE       "WRONGTYPE Operation against a key holding the wrong kind of value"
#define ERROR_NO_SUCH_KEY      "ERR no such key"
#define ERROR_OUT_OF_RANGE     "ERR index out of range"
#define ERROR_NO_MEMORY        "OOM out of memory: the command was not executed"
#define ERROR_PATTERN_TOO_LONG "ERR pattern is too long"
#define ERROR_VALUE_TOO_LARGE  "ERR string exceeds maximum allowed size (proto-max-bulk-len)"

static inline void call_no_memory(struct call *call) {
    reply_error(call->reply, ERROR_NO_MEMORY);
}

/* Parses argv[index] as int64; false: the error is replied (`error`, or ERROR_NOT_INTEGER if NULL). */
bool call_integer(struct call *call, uint32_t index, int64_t *value, const char *error);

/* Whether argv[index] may be used as a pattern of data/glob.h; false: the error is replied. */
bool call_pattern(struct call *call, uint32_t index);

/* Looks a string up; false: the reply is written already (wrong type), nothing else to do. An absent key
 * gives true and entry->record == NULL. mode: enum lookup_mode. */
bool call_string(struct call *call, struct argument *key, unsigned mode, struct entry *entry);

/* Puts a string of the argument's bytes, described by its content; expiry_ms as in struct value. false: no memory,
 * nothing changed, nothing replied. */
static inline bool call_put_string(struct call *call, struct argument *key, const struct argument *bytes,
                                   int64_t expiry_ms) {
    const struct value value = {.data = bytes->data,
                                .size = bytes->size,
                                .expiry_ms = expiry_ms,
                                .type = RECORD_STRING,
                                .encoding = ENCODING_NATURAL};
    return keyspace_put(call->keyspace, call->database, key, &value);
}

#endif
