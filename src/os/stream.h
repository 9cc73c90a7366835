/* stream.h - connections: bytes in, bytes out, never waiting, and what can be set on them.
 *
 * May touch: socket calls on one descriptor. Must never know: what the bytes mean.
 * Every descriptor here is a connected, non-blocking stream socket (TCP or unix). Options of TCP are set on unix
 * sockets without effect and without error.
 * Tests: tests/unit/os/stream_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef OS_STREAM_H
#define OS_STREAM_H

#include "os/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

enum stream_result {
    STREAM_DONE,   /* one byte or more was moved */
    STREAM_AGAIN,  /* nothing can be moved now; the loop tells when */
    STREAM_CLOSED, /* the other end has closed: orderly (reading only) or by a reset */
    STREAM_FAILED, /* errno says why; the connection is of no use any more */
};

/* Reads up to `size` (> 0) bytes; *moved is how many, 0 unless STREAM_DONE. A short read is usual. */
enum stream_result stream_read(int fd, void *data, size_t size, size_t *moved);

/* Writes up to `size` (> 0) bytes; *moved is how many, 0 unless STREAM_DONE. Raises no SIGPIPE. */
enum stream_result stream_write(int fd, const void *data, size_t size, size_t *moved);

/* As stream_write(), from several places at once (1 to IOV_MAX parts, not all of them empty). */
enum stream_result stream_write_parts(int fd, const struct iovec *parts, size_t count, size_t *moved);

/* Small replies leave at once instead of waiting for the acknowledgement of earlier ones. */
bool stream_set_no_delay(int fd);

/* Probes a silent connection after `seconds`, and gives up on one that does not answer after about as long again;
 * 0 turns probing off. */
bool stream_set_keepalive(int fd, unsigned seconds);

/* Gives up on a connection whose written bytes are not acknowledged for timeout_ms; 0: the system's default. */
bool stream_set_user_timeout(int fd, unsigned timeout_ms);

/* Who is at the other end, and where we are reached. False: errno (the connection may be gone already);
 * *address is then ADDRESS_UNKNOWN. */
bool stream_peer(int fd, struct address *address);
bool stream_local(int fd, struct address *address);

/* Sends the end of our side; the other end may go on sending. A close with unread input lying in the socket destroys
 * what was sent last, an error reply for example: then end our side first, and close when theirs is read out. */
void stream_end(int fd);

/* Closes the descriptor of a connection or of a listener. */
void stream_close(int fd);

#endif
