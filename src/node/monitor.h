/* monitor.h - MONITOR: sessions that are shown every command as it runs.
 *
 * May touch: base, node. Must never know: what a command does.
 * Invariants: a session is in node->monitors exactly while it has SESSION_MONITOR.
 * Tests: tests/unit/node/monitor_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_MONITOR_H
#define NODE_MONITOR_H

#include "node/state.h"

/* Shows a command that has run to all monitoring sessions, one line each: the time, the database that the
 * session has now, its address, the arguments in quotes. Secrets are hidden, long arguments cut. Without
 * memory the line is left out. */
void monitor_feed(struct node *node, struct session *session, const struct argument *argv, uint32_t argc);

/* Ends the monitoring of a session, if it does. */
void monitor_stop(struct session *session);

/* Writes bytes in double quotes, with escapes for what cannot be printed. */
void monitor_append_quoted(struct buffer *line, const uint8_t *bytes, size_t size);

#endif
