/* harness.h - runs command lines on a keyspace of its own, as a node would, for the tests of cmd/.
 *
 * A line is written as in redis-cli: words apart by spaces, "..." with \n \r \t \\ \" \xHH, '...' verbatim.
 * Every argument lies in a block of exactly its size, so that a sanitizer sees a read past its end.
 * The wall clock stands at HARNESS_NOW_MS until harness_set_time() moves it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef TESTS_UNIT_CMD_HARNESS_H
#define TESTS_UNIT_CMD_HARNESS_H

#include "base/mem.h"
#include "cmd/call.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 2023-11-14 22:13:20 UTC */
#define HARNESS_NOW_MS INT64_C(1700000000000)

struct harness {
    struct mem mem;       /* the keyspace and the replies: what a test may make fail */
    struct mem table_mem; /* the command table's index */
    struct command_index *commands;
    struct keyspace *keyspace;
    struct buffer out;
    struct reply reply; /* set reply.protocol to 3 for RESP3 */
    uint32_t database;
};

struct harness_answer {
    const uint8_t *data; /* the reply's bytes, until the next command */
    size_t size;
};

void harness_init(struct harness *harness);

/* Gives all back and checks that nothing leaked. */
void harness_release(struct harness *harness);

void harness_set_time(struct harness *harness, int64_t now_ms);

/* Runs one command: finds its row (or its subcommand's), checks the number of arguments, calls the handler, and
 * answers "out of memory" in place of a reply for which there was none. Fails the test if the handler wrote no
 * reply, or if the line names no command that has a handler. */
struct harness_answer harness_run(struct harness *harness, const char *line);

/* The same from ready arguments; they are copied. */
struct harness_answer harness_run_arguments(struct harness *harness, const struct argument *argv,
                                            uint32_t argc);

/* Runs a line and checks the reply, byte for byte; `reply` is a string literal and may hold zero bytes. */
#define EXPECT(harness, line, reply) \
    harness_expect(__FILE__, __LINE__, harness, line, reply, sizeof(reply) - 1)
void harness_expect(const char *file, int at, struct harness *harness, const char *line, const char *reply,
                    size_t reply_size);

/* Makes a key hold a value that is no string. */
void harness_put_list(struct harness *harness, const char *key);

/* All of the keyspace as text: each key with database, type, encoding, expiry, version and value, and the number of
 * changes. Equal contents give equal texts. From malloc(); the caller frees it. */
char *harness_snapshot(struct harness *harness);

/* Runs the lines of setup (up to a NULL) in a new harness and then `line`, with the first allocation that it makes
 * failing, then anew with the second failing, and so on until it needs no more; each once with only that one
 * failing, and once with all that follow failing too. Checks that each time the line either answers what it answers
 * with enough memory and leaves the keyspace as it then does, or answers "out of memory" and changed nothing; and
 * that nothing leaks. Returns how many allocations the line makes. */
unsigned harness_fail_each_allocation(const char *const *setup, const char *line);

#endif
