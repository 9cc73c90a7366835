/* transaction.h - MULTI: a session's queue of commands, and WATCH's promise that nothing changed meanwhile.
 *
 * The dispatcher queues while SESSION_MULTI is set; EXEC runs the queue through it with SESSION_IN_EXEC set
 * instead.
 * May touch: base, cmd, store (watch, keyspace), node. Must never know: what the queued commands do.
 * Invariants: without SESSION_MULTI and SESSION_IN_EXEC the queue is empty; queued_bytes is what the queue
 * holds.
 * Tests: tests/unit/node/transaction_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_TRANSACTION_H
#define NODE_TRANSACTION_H

#include "node/state.h"

/* Copies a command to the end of the queue. false: no memory, or the queue would hold more than
 * client-query-buffer-limit (then the session is closed, too); the caller replies and breaks the transaction. */
bool transaction_queue(struct node *node, struct session *session, const struct command *command,
                       const struct argument *argv, uint32_t argc);

/* Whether EXEC would run a command that writes. */
bool transaction_has_writes(const struct session *session);

/* The flags of all queued commands together: what EXEC has to be allowed. */
uint32_t transaction_command_flags(const struct session *session);

/* The flags that all queued commands have; all flags if there is none. */
uint32_t transaction_common_flags(const struct session *session);

/* An EXEC that is refused as a whole (`reason`: an error text, its ERR left out) ends the transaction and
 * replies so. */
void transaction_refuse(struct node *node, struct session *session, const char *reason);

/* Forgets the queue and the watched keys, and leaves MULTI. */
void transaction_reset(struct node *node, struct session *session);

#endif
