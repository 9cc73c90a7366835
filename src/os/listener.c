/* listener.c - listening sockets; the contract is in listener.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Whether the kernel lacks the protocol that an address is of. */
static bool listener_unsupported(int error) {
    return error == EAFNOSUPPORT || error == EPFNOSUPPORT || error == EPROTONOSUPPORT ||
           error == ESOCKTNOSUPPORT || error == ENOPROTOOPT;
}

static bool listener_set(int fd, int level, int option) {
    int on = 1;
    return setsockopt(fd, level, option, &on, sizeof on) == 0;
}

/* Closes a descriptor on the way out of an error, whose errno stays. Returns -1. */
static int listener_give_up(int fd) {
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return -1;
}

/* Returns -1 and errno where the address cannot be listened on. */
static int listener_bind(const struct addrinfo *place, int backlog) {
    int fd = socket(place->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, place->ai_protocol);
    if (fd < 0)
        return -1;
    if (!listener_set(fd, SOL_SOCKET, SO_REUSEADDR) ||
        (place->ai_family == AF_INET6 && !listener_set(fd, IPPROTO_IPV6, IPV6_V6ONLY)) ||
        bind(fd, place->ai_addr, place->ai_addrlen) != 0 || listen(fd, backlog) != 0)
        return listener_give_up(fd);
    return fd;
}

/* Resolves one word of `bind`. Returns 0 or an error of getaddrinfo(); *places is then the caller's. */
static int listener_resolve(const char *address, uint16_t port, struct addrinfo **places) {
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    if (strcmp(address, "*") == 0) {
        hints.ai_family = AF_INET;
        address = NULL;
    } else if (strcmp(address, "::*") == 0) {
        hints.ai_family = AF_INET6;
        address = NULL;
    }
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    return getaddrinfo(address, service, &hints, places);
}

enum listener_open_result { LISTENER_OPEN, LISTENER_PASSED_OVER, LISTENER_REFUSED };

static enum listener_open_result listener_open_one(const char *address, uint16_t port, int backlog, int *fd,
                                                   char error[LISTENER_ERROR_SIZE]) {
    bool optional = *address == '-';
    if (optional)
        address++;
    struct addrinfo *places = NULL;
    int problem = listener_resolve(address, port, &places);
    if (problem != 0) {
        if (optional && (problem == EAI_NONAME || problem == EAI_NODATA || problem == EAI_ADDRFAMILY))
            return LISTENER_PASSED_OVER;
        snprintf(error, LISTENER_ERROR_SIZE, "Cannot listen on %s: %s", address,
                 problem == EAI_SYSTEM ? strerror(errno) : gai_strerror(problem));
        return LISTENER_REFUSED;
    }
    /* A name may stand for several addresses: the first that can be listened on. */
    *fd = -1;
    for (const struct addrinfo *place = places; place != NULL && *fd < 0; place = place->ai_next)
        *fd = listener_bind(place, backlog);
    int reason = errno;
    freeaddrinfo(places);
    if (*fd >= 0)
        return LISTENER_OPEN;
    if (listener_unsupported(reason) || (optional && reason == EADDRNOTAVAIL))
        return LISTENER_PASSED_OVER;
    snprintf(error, LISTENER_ERROR_SIZE, "Cannot listen on %s port %u: %s", address, (unsigned)port,
             strerror(reason));
    return LISTENER_REFUSED;
}

bool listener_open_tcp(const char *const addresses[], size_t count, uint16_t port, int backlog, int fds[],
                       size_t *opened, char error[LISTENER_ERROR_SIZE]) {
    *opened = 0;
    for (size_t i = 0; i < count; i++) {
        enum listener_open_result result =
            listener_open_one(addresses[i], port, backlog, &fds[*opened], error);
        if (result == LISTENER_OPEN) {
            ++*opened;
        } else if (result == LISTENER_REFUSED) {
            while (*opened > 0)
                close(fds[--*opened]);
            return false;
        }
    }
    if (*opened > 0)
        return true;
    snprintf(error, LISTENER_ERROR_SIZE, "This machine has none of the addresses to listen on");
    return false;
}

/* Whether somebody accepts connections at this path. */
static bool listener_is_alive(const struct sockaddr_un *place) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return true;
    /* A full backlog (EAGAIN) means somebody, too. */
    bool alive = connect(fd, (const struct sockaddr *)place, sizeof *place) == 0 || errno != ECONNREFUSED;
    close(fd);
    return alive;
}

static bool listener_clear_path(const struct sockaddr_un *place) {
    struct stat found;
    if (lstat(place->sun_path, &found) != 0)
        return errno == ENOENT;
    if (!S_ISSOCK(found.st_mode)) {
        errno = EEXIST;
        return false;
    }
    if (listener_is_alive(place)) {
        errno = EADDRINUSE;
        return false;
    }
    return unlink(place->sun_path) == 0;
}

static int listener_bind_unix(const struct sockaddr_un *place, unsigned permissions, int backlog) {
    if (!listener_clear_path(place))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* A chmod after bind() would leave a moment with other permissions. */
    mode_t previous = 0;
    if (permissions != 0)
        previous = umask((mode_t)(0777 & ~permissions));
    int result = bind(fd, (const struct sockaddr *)place, sizeof *place);
    int reason = errno;
    if (permissions != 0)
        umask(previous);
    errno = reason;
    if (result != 0)
        return listener_give_up(fd);
    if (listen(fd, backlog) != 0) {
        listener_give_up(fd);
        reason = errno;
        unlink(place->sun_path);
        errno = reason;
        return -1;
    }
    return fd;
}

int listener_open_unix(const char *path, unsigned permissions, int backlog, char error[LISTENER_ERROR_SIZE]) {
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    int fd = -1;
    if (length == 0 || length >= sizeof place.sun_path) {
        errno = ENAMETOOLONG;
    } else {
        memcpy(place.sun_path, path, length + 1);
        fd = listener_bind_unix(&place, permissions, backlog);
    }
    if (fd < 0)
        snprintf(error, LISTENER_ERROR_SIZE, "Cannot listen on %.120s: %s", path, strerror(errno));
    return fd;
}

void listener_remove_unix(const char *path) {
    unlink(path);
}

/* What accept4() may fail with although the listener is well: the connection that was there is gone again, or the
 * network reported an error of its own through it (accept(2)). */
static bool listener_lost_one(int error) {
    switch (error) {
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case ETIMEDOUT:
    case EPERM: return true;
    default: return false;
    }
}

enum listener_result listener_accept(int listener, int *connection, struct address *peer) {
    struct sockaddr_storage from;
    socklen_t size = sizeof from;
    *connection = accept4(listener, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (*connection >= 0) {
        address_from_socket(peer, (const struct sockaddr *)&from, size);
        return LISTENER_ACCEPTED;
    }
    switch (errno) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: return LISTENER_EXHAUSTED;
    default: return errno == EAGAIN || listener_lost_one(errno) ? LISTENER_EMPTY : LISTENER_FAILED;
    }
}
