/* slowlog.h - the latest slow calls: SLOWLOG.
 *
 * Entries hold copies, shortened where a request is long: at most SLOWLOG_ARGUMENTS_MAX arguments of at most
 * SLOWLOG_ARGUMENT_SIZE_MAX bytes each, the rest told by number. Secrets are not kept (redaction.h).
 * May touch: base, proto, node. Must never know: what makes a call slow (the caller measures and compares).
 * Invariants: at most slowlog-max-len entries after every note; ids grow by one from entry to entry.
 * Tests: tests/unit/node/slowlog_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_SLOWLOG_H
#define NODE_SLOWLOG_H

#include "node/state.h"

#define SLOWLOG_ARGUMENTS_MAX     32
#define SLOWLOG_ARGUMENT_SIZE_MAX 128

struct slowlog;

/* NULL: no memory. */
struct slowlog *slowlog_new(struct mem *mem);
void slowlog_free(struct mem *mem, struct slowlog *slowlog);

/* Notes a call. Without memory for it the entry is left out. */
void slowlog_note(struct node *node, struct session *session, const struct argument *argv, uint32_t argc,
                  uint64_t duration_ns);

uint32_t slowlog_size(const struct slowlog *slowlog);

#endif
