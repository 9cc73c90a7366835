/* address.h - one end of a connection, in the words that people and logs use.
 *
 * May touch: the names and addresses of this machine's network interfaces. Must never know: descriptors.
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

/* Where a connection is to be made to, as the kernel wants it. */
struct endpoint {
    struct sockaddr_storage place;
    socklen_t size;
};

/* From an IPv4 or IPv6 address, a zone behind % included. False: it is neither (a name, say: resolver.h). */
bool address_parse(struct endpoint *endpoint, const char *text, uint16_t port);

/* Stands for all addresses of the machine (0.0.0.0, ::), as those who listen on all are found to be listening. */
bool address_is_wildcard(const struct address *address);

/* An address by which other machines may know this one: the first one that is neither of the loopback nor good on one
 * wire only, IPv4 before IPv6. False: it has none. */
bool address_of_machine(struct address *address);

/* Writes `ip:port`, `[ip]:port` for IPv6, or `path:0`, ends it with a zero byte and returns its length. */
size_t address_print(const struct address *address, char text[ADDRESS_PRINT_SIZE]);

#endif
