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

#include "node/route.h"

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

/* ---- In a cluster: the keys of a transaction, watched ones included, are in one slot, and its coordinator runs it in one step.
 * What is watched is the version of a key (its digest, 0: absent), as the coordinator knew it. ---- */

/* WATCH and EXEC of a client. EXEC may be left to the handler (ROUTE_HERE). */
enum route transaction_watch(struct node *node, struct session *session, struct argument *argv,
                             uint32_t argc);
enum route transaction_exec(struct node *node, struct session *session, struct argument *argv, uint32_t argc);

/* The session closes while a WATCH or an EXEC of it is on its way. */
void transaction_forget_requests(struct session *session);

/* What another node sent on: [WATCH, slot, key...] or [EXEC, slot, number of watched, (key, digest)..., number of commands, (argc,
 * arguments...)...]. Writes the reply, or nothing where this node must not execute it. */
void transaction_run_forwarded(struct node *node, struct session *session, unsigned flags,
                               struct argument *argv, uint32_t argc);

/* Looks at such a request: the flags of its commands together (0 for WATCH); visit() is called with all its keys, placed, also
 * the watched ones. false: it is none. */
bool transaction_look(struct node *node, struct argument *argv, uint32_t argc, uint32_t *command_flags,
                      void (*visit)(void *context, struct argument *key), void *context);

/* The slot that such a request is about. */
uint32_t transaction_slot(const struct argument *argv, uint32_t argc);

/* Forgets the queue and the watched keys, and leaves MULTI. */
void transaction_reset(struct node *node, struct session *session);

#endif
