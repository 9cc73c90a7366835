/*
 * connection.h - how tests of the running server talk to it: exact bytes over a socket, or commands with hiredis.
 *
 * May touch: sockets.
 * Must never know: what is tested; how the server was started.
 * Invariants: no call waits longer than HARNESS_DEADLINE_MS; a call that cannot do its work fails the test.
 * Tests: it is one.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef TESTS_SERVER_CONNECTION_H
#define TESTS_SERVER_CONNECTION_H

#include "harness.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

/* ---- Exact bytes. A connection is a descriptor that blocks; sends and receives have a deadline. ---- */

int connection_open(struct test *test, int port);
int connection_open_to(struct test *test, const char *address, int port);
int connection_open_unix(struct test *test, const char *path);
/* To 127.0.0.1; -1 where it cannot be made. */
int connection_try(int port);
int connection_try_to(const char *address, int port);

void connection_send(struct test *test, int fd, const char *bytes, size_t size_bytes);
void connection_send_text(struct test *test, int fd, const char *text);
/* Reads as many bytes as the text has, which must be these. */
void connection_expect(struct test *test, int fd, const char *text);
/* Reads exactly so many bytes. */
void connection_receive(struct test *test, int fd, char *bytes, size_t size_bytes);
/* Reads a line, without its CRLF. */
const char *connection_line(struct test *test, int fd, char *line, size_t size_bytes);
/* Reads until the server has closed the connection. What came before is in `text`, as far as it fits. */
const char *connection_until_closed(struct test *test, int fd, char *text, size_t size_bytes);
/* Nothing to read at this moment, and not closed. */
bool connection_is_silent(int fd);
/* The server has closed it, or has sent something. */
bool connection_is_closed(int fd);
/* Resets instead of an orderly end. */
void connection_reset(int fd);

/* ---- Commands. Replies are compared as text: +status -error :integer "bulk" nil [list, of, them]
 * Formats are hiredis's: %s, %b with a size_t, and integers. ---- */

redisContext *client_open(struct test *test, int port);
const char *client_reply_text(const redisReply *reply, char *text, size_t size_bytes);

void client_expect(struct test *test, const char *file, int line, redisContext *client, const char *wanted,
                   const char *format, ...);
/* EXPECT(test, client, "+OK", "SET %s %d", key, number) */
#define EXPECT(test, client, wanted, ...) client_expect(test, __FILE__, __LINE__, client, wanted, __VA_ARGS__)

/* The reply to a command that must be an integer, or a bulk that is one. */
long long client_integer(struct test *test, redisContext *client, const char *format, ...);
/* The reply as text; it is the caller's to free. */
char *client_text(struct test *test, redisContext *client, const char *format, ...);
/* A number of INFO. */
long long client_info(struct test *test, redisContext *client, const char *field);
/* Waits until this client is the only one left, those included that the server has not even accepted yet. */
void client_wait_alone(struct test *test, redisContext *client);

#endif
