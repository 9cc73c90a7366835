/* listener.h - where clients come in: TCP addresses and unix sockets that listen, and the connections that they yield.
 *
 * May touch: sockets, the name resolver, the file system entry of a unix socket, the umask (while it makes one).
 * Must never know: who the clients are, how many there may be.
 * All descriptors are non-blocking and are closed on exec.
 * Tests: tests/unit/os/listener_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef OS_LISTENER_H
#define OS_LISTENER_H

#include "os/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message for people, whole sentences without a final dot. */
#define LISTENER_ERROR_SIZE 256

/* Listens on each address at `port`; fds gets at most `count` descriptors, *opened how many. An address is an IPv4 or
 * IPv6 address or a name, `*` for all of IPv4, `::*` (or `::`) for all of IPv6; IPv6 never takes IPv4 along. As in
 * redis.conf, an address after `-` may be one that this machine does not have, and a protocol that the kernel does not
 * speak is passed over; that nothing at all listens is an error. Port 0 takes any free port.
 * False: nothing stays open, and `error` says which address and why. */
bool listener_open_tcp(const char *const addresses[], size_t count, uint16_t port, int backlog, int fds[],
                       size_t *opened, char error[LISTENER_ERROR_SIZE]) __attribute__((warn_unused_result));

/* Listens on a unix socket at `path` that from its first moment has the given permissions (0: as the umask leaves
 * them). A socket there that nobody listens on any more is replaced; anything else there is left alone and is an
 * error. Returns -1 then, and `error` says why. To be called before there are threads, as the umask is everybody's.
 * The path stays when the descriptor is closed: listener_remove_unix(). */
int listener_open_unix(const char *path, unsigned permissions, int backlog, char error[LISTENER_ERROR_SIZE])
    __attribute__((warn_unused_result));

/* Removes the path of a unix socket. To be called before its descriptor is closed: as long as somebody listens, no
 * other server takes the path over, so what is removed is ours. */
void listener_remove_unix(const char *path);

enum listener_result {
    LISTENER_ACCEPTED, /* *connection is the caller's to close */
    LISTENER_EMPTY,    /* nobody waits, or who waited has gone; the loop tells of others */
    LISTENER_EXHAUSTED, /* somebody waits, but there are no descriptors or no memory: not to be asked again at once,
                           or the loop spins, as the listener stays ready */
    LISTENER_FAILED, /* errno: this listener is broken */
};

/* Takes the next connection: non-blocking, closed on exec, its peer in *peer. */
enum listener_result listener_accept(int listener, int *connection, struct address *peer);

#endif
