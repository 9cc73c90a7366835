/* client_text.h - sessions described: the line of CLIENT LIST, and what all of them together hold.
 *
 * May touch: base, node. Must never know: who asks.
 * Tests: tests/unit/node/client_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_CLIENT_TEXT_H
#define NODE_CLIENT_TEXT_H

#include "node/state.h"

/* Appends one line with all fields of Redis 7.2, its line feed included. */
void client_text_append(const struct node *node, const struct session *session, struct buffer *text);

/* Bytes that a session takes. */
size_t client_memory_bytes(const struct session *session);

struct client_totals {
    uint32_t connected, blocked, in_transaction, watching;
    uint64_t memory_bytes;
    uint64_t longest_input_bytes, longest_output_bytes;
};

/* Sessions that are about to be closed do not count. */
void client_totals_collect(const struct node *node, struct client_totals *totals);

#endif
