/* address.c - addresses as text; the contract is in address.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static void address_from_ipv4(struct address *address, const struct sockaddr *socket_address) {
    struct sockaddr_in from;
    memcpy(&from, socket_address, sizeof from);
    address->kind = ADDRESS_IPV4;
    address->port = ntohs(from.sin_port);
    address->loopback = ntohl(from.sin_addr.s_addr) >> 24 == 127;
    inet_ntop(AF_INET, &from.sin_addr, address->text, sizeof address->text);
}

static void address_from_ipv6(struct address *address, const struct sockaddr *socket_address) {
    struct sockaddr_in6 from;
    memcpy(&from, socket_address, sizeof from);
    address->kind = ADDRESS_IPV6;
    address->port = ntohs(from.sin6_port);
    address->loopback = IN6_IS_ADDR_LOOPBACK(&from.sin6_addr);
    inet_ntop(AF_INET6, &from.sin6_addr, address->text, sizeof address->text);
    /* A link-local address means nothing without the interface that it belongs to. */
    char zone[IF_NAMESIZE];
    if (IN6_IS_ADDR_LINKLOCAL(&from.sin6_addr) && if_indextoname(from.sin6_scope_id, zone) != NULL) {
        size_t length = strlen(address->text);
        snprintf(address->text + length, sizeof address->text - length, "%%%s", zone);
    }
}

static void address_from_unix(struct address *address, const struct sockaddr *socket_address,
                              socklen_t size) {
    const struct sockaddr_un *from = (const struct sockaddr_un *)socket_address;
    size_t path_size = size - offsetof(struct sockaddr_un, sun_path);
    address->kind = ADDRESS_UNIX;
    address->loopback = true;
    /* The kernel's path need not end with a zero byte. A client has no path; a name that begins with one is abstract
     * and is left out. */
    snprintf(address->text, sizeof address->text, "%.*s", (int)path_size,
             path_size > 0 ? from->sun_path : "");
}

void address_from_socket(struct address *address, const struct sockaddr *socket_address, socklen_t size) {
    *address = (struct address){.kind = ADDRESS_UNKNOWN};
    if (size < sizeof(sa_family_t))
        return;
    if (socket_address->sa_family == AF_INET && size >= sizeof(struct sockaddr_in))
        address_from_ipv4(address, socket_address);
    else if (socket_address->sa_family == AF_INET6 && size >= sizeof(struct sockaddr_in6))
        address_from_ipv6(address, socket_address);
    else if (socket_address->sa_family == AF_UNIX)
        address_from_unix(address, socket_address, size);
}

size_t address_print(const struct address *address, char text[ADDRESS_PRINT_SIZE]) {
    const char *format = address->kind == ADDRESS_IPV6 ? "[%s]:%u" : "%s:%u";
    return (size_t)snprintf(text, ADDRESS_PRINT_SIZE, format, address->text, (unsigned)address->port);
}
