/* address.h - one end of a connection, in the words that people and logs use.
 *
 * May touch: nothing but its arguments. Must never know: descriptors.
 * Tests: tests/unit/os/address_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef OS_ADDRESS_H
#define OS_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Holds every IPv6 address with its zone, and every path of a unix socket (108 bytes). */
#define ADDRESS_TEXT_SIZE 112
/* "[" text "]:65535" and the final zero byte. */
#define ADDRESS_PRINT_SIZE (ADDRESS_TEXT_SIZE + 8)

enum address_kind {
    ADDRESS_UNKNOWN,
    ADDRESS_IPV4,
    ADDRESS_IPV6,
    ADDRESS_UNIX,
};

struct address {
    enum address_kind kind;
    bool loopback;                /* comes from this machine: 127.0.0.0/8, ::1, or a unix socket */
    uint16_t port;                /* 0 for a unix socket */
    char text[ADDRESS_TEXT_SIZE]; /* IP address or path; "" where the other end has no name */
};

/* From what the kernel gave (size bytes of it). Anything that is not one of the kinds is ADDRESS_UNKNOWN. */
void address_from_socket(struct address *address, const struct sockaddr *socket_address, socklen_t size);

/* Writes `ip:port`, `[ip]:port` for IPv6, or `path:0`, ends it with a zero byte and returns its length. */
size_t address_print(const struct address *address, char text[ADDRESS_PRINT_SIZE]);

#endif
