/* signals.h - requests to stop, as bytes of a file descriptor instead of interruptions.
 *
 * SIGTERM and SIGINT are read from a descriptor in the loop like any other input. After the first one has been read,
 * the next SIGINT ends the process at once, so that somebody at a terminal need not wait for an orderly end.
 * SIGHUP, SIGPIPE and SIGXFSZ are ignored: the end of a terminal does not stop the server, and a write to a closed
 * connection, or to a file that has grown to the limit for files, is an error value.
 *
 * May touch: the process's signal mask and dispositions. Must never know: what stopping means.
 * To be opened before any thread is made, as threads inherit the mask.
 * Tests: tests/unit/os/signals_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef OS_SIGNALS_H
#define OS_SIGNALS_H

enum signals_request {
    SIGNALS_NONE,
    SIGNALS_TERMINATE, /* SIGTERM */
    SIGNALS_INTERRUPT, /* SIGINT */
};

/* Returns a descriptor that is readable when a request has come, or -1 (errno). Released with
 * signals_close(). */
int signals_open(void);

/* The next request, or SIGNALS_NONE when there is none. Never waits. */
enum signals_request signals_read(int fd);

/* Closes the descriptor; the signals stay blocked or ignored, as the process is about to end. */
void signals_close(int fd);

#endif
