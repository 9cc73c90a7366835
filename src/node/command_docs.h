/* command_docs.h - the replies of COMMAND and its subcommands, and the HELP of all containers, from the command table.
 *
 * Each function writes exactly one reply. argv is the whole request ("COMMAND", "INFO", "get", ...) whose arity
 * has been checked against its row.
 * May touch: cmd, proto. Must never know: sessions, the keyspace.
 * Invariant: the shapes are those of Redis 7.0 in RESP2 and RESP3; texts are our own.
 * Tests: tests/unit/node/command_docs_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_COMMAND_DOCS_H
#define NODE_COMMAND_DOCS_H

#include "base/argument.h"
#include "cmd/command.h"
#include "proto/reply.h"

/* COMMAND without more. */
void command_docs_all(struct reply *reply);

void command_docs_count(struct reply *reply);

/* COMMAND INFO [name ...]: null for an unknown name; without names as COMMAND alone. */
void command_docs_info(struct reply *reply, const struct command_index *index, const struct argument *argv,
                       uint32_t argc);

/* COMMAND DOCS [name ...]: unknown names are left out, each command is written once. */
void command_docs_docs(struct reply *reply, const struct command_index *index, const struct argument *argv,
                       uint32_t argc);

/* COMMAND LIST [FILTERBY <MODULE name | ACLCAT category | PATTERN pattern>]: subcommands, too. */
void command_docs_list(struct reply *reply, const struct argument *argv, uint32_t argc);

/* COMMAND GETKEYS and, with flags, COMMAND GETKEYSANDFLAGS: the keys of the request in argv[2] and behind. */
void command_docs_getkeys(struct reply *reply, const struct command_index *index, const struct argument *argv,
                          uint32_t argc, bool with_flags);

/* HELP of any container. */
void command_docs_help(struct reply *reply, const struct command *container);

#endif
