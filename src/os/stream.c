/* stream.c - socket calls; the contract is in stream.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What stream_finish() throws away at most. */
#define WASTE_MAX (64 * 1024)

int stream_connect(const struct endpoint *endpoint) {
    int fd = socket(endpoint->place.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&endpoint->place, endpoint->size) == 0 || errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int stream_connect_outcome(int fd) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        return errno;
    if (error != 0)
        return error;
    struct address peer, local;
    if (!stream_peer(fd, &peer))
        return errno == ENOTCONN ? EINPROGRESS : errno;
    if (stream_local(fd, &local) && local.port == peer.port && strcmp(local.text, peer.text) == 0)
        return ECONNREFUSED;
    return 0;
}

static enum stream_result stream_error(int error) {
    switch (error) {
    case EAGAIN:
    case EINTR: /* the loop reports the descriptor again */
    case ENOBUFS: /* the machine is short of memory for a moment */ return STREAM_AGAIN;
    case ECONNRESET:
    case EPIPE: return STREAM_CLOSED;
    default: return STREAM_FAILED;
    }
}

enum stream_result stream_read(int fd, void *data, size_t size, size_t *moved) {
    ssize_t got = recv(fd, data, size, MSG_DONTWAIT);
    *moved = got > 0 ? (size_t)got : 0;
    if (got > 0)
        return STREAM_DONE;
    return got == 0 ? STREAM_CLOSED : stream_error(errno);
}

enum stream_result stream_write(int fd, const void *data, size_t size, size_t *moved) {
    ssize_t sent = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    *moved = sent > 0 ? (size_t)sent : 0;
    return sent >= 0 ? STREAM_DONE : stream_error(errno);
}

enum stream_result stream_write_parts(int fd, const struct iovec *parts, size_t count, size_t *moved) {
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
    ssize_t sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    *moved = sent > 0 ? (size_t)sent : 0;
    return sent >= 0 ? STREAM_DONE : stream_error(errno);
}

/* Sets an option of TCP; a socket of another kind has none and needs none. */
static bool stream_set(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) == 0 || errno == EOPNOTSUPP;
}

bool stream_set_no_delay(int fd) {
    return stream_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

bool stream_set_keepalive(int fd, unsigned seconds) {
    if (seconds == 0)
        return stream_set(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
    /* The kernel takes 1 to 32767 seconds. Three probes, so one lost packet kills nobody. */
    int idle = seconds < 32767 ? (int)seconds : 32767;
    int interval = idle < 3 ? 1 : idle / 3;
    return stream_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) && stream_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle) &&
           stream_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval) &&
           stream_set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

bool stream_set_user_timeout(int fd, unsigned timeout_ms) {
    return stream_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
                      timeout_ms < INT32_MAX ? (int)timeout_ms : INT32_MAX);
}

static bool stream_address(struct address *address, int result, const struct sockaddr_storage *from,
                           socklen_t size) {
    address_from_socket(address, (const struct sockaddr *)from, result == 0 ? size : 0);
    return result == 0;
}

bool stream_peer(int fd, struct address *address) {
    struct sockaddr_storage from;
    socklen_t size = sizeof from;
    int result = getpeername(fd, (struct sockaddr *)&from, &size);
    return stream_address(address, result, &from, size);
}

bool stream_local(int fd, struct address *address) {
    struct sockaddr_storage from;
    socklen_t size = sizeof from;
    int result = getsockname(fd, (struct sockaddr *)&from, &size);
    return stream_address(address, result, &from, size);
}

void stream_close(int fd) {
    close(fd);
}

void stream_finish(int fd) {
    shutdown(fd, SHUT_WR);
    char waste[4096];
    size_t size, wasted = 0;
    while (wasted < WASTE_MAX && stream_read(fd, waste, sizeof waste, &size) == STREAM_DONE)
        wasted += size;
    close(fd);
}
