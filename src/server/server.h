/* server.h - the real world around a node: sockets, signals, files, time.
 *
 * May touch: everything below, and the system. Must never know: commands.
 * Tests: tests/server/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/options.h"

/* Serves until it is told to stop. Returns the exit status of the process. */
int server_run(struct options *options);

#endif
