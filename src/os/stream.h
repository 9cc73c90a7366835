/* stream.h - connections: bytes in, bytes out, never waiting, and what can be set on them.
 *
 * May touch: socket calls on one descriptor. Must never know: what the bytes mean.
 * Every descriptor here is a non-blocking stream socket (TCP or unix), connected unless said otherwise. Options of TCP are set on unix
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

/* Begins a TCP connection, without waiting. When the descriptor is reported writable, or broken, stream_connect_outcome()
 * tells what became of it; closed with stream_close() in any case. -1: it cannot even be begun (errno). */
int stream_connect(const struct endpoint *endpoint) __attribute__((warn_unused_result));

/* 0: connected. EINPROGRESS: not yet. Else why not, as an errno: ECONNREFUSED where nobody listens, which includes the case that
 * the connection has met itself (where the system chose the wanted port for our own end). */
int stream_connect_outcome(int fd);

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

/* Closes the descriptor of a connection or of a listener. Unread input that lies in a socket destroys what was sent last, an error
 * reply for example: stream_finish() spares it. */
void stream_close(int fd);

/* Ends a connection after what was sent last: sends the end of our side, throws away input that has come (up to a bound: who
 * keeps sending has not earned a reply), and closes. */
void stream_finish(int fd);

#endif
