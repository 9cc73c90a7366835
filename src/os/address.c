/* address.c - addresses as text; the contract is in address.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
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

static void endpoint_set(struct endpoint *endpoint, const void *socket_address, size_t size) {
    memset(endpoint, 0, sizeof *endpoint);
    memcpy(&endpoint->place, socket_address, size);
    endpoint->size = (socklen_t)size;
}

bool address_parse(struct endpoint *endpoint, const char *text, uint16_t port) {
    struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, text, &ipv4.sin_addr) == 1) {
        endpoint_set(endpoint, &ipv4, sizeof ipv4);
        return true;
    }
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    char number[INET6_ADDRSTRLEN];
    size_t length = strcspn(text, "%");
    if (length >= sizeof number)
        return false;
    memcpy(number, text, length);
    number[length] = '\0';
    if (inet_pton(AF_INET6, number, &ipv6.sin6_addr) != 1)
        return false;
    if (text[length] == '%' && (ipv6.sin6_scope_id = if_nametoindex(text + length + 1)) == 0)
        return false;
    endpoint_set(endpoint, &ipv6, sizeof ipv6);
    return true;
}

bool address_is_wildcard(const struct address *address) {
    return (address->kind == ADDRESS_IPV4 && strcmp(address->text, "0.0.0.0") == 0) ||
           (address->kind == ADDRESS_IPV6 && strcmp(address->text, "::") == 0);
}

/* Whether an interface's address means something on other machines. */
static bool address_is_known_outside(const struct ifaddrs *entry) {
    if (entry->ifa_addr == NULL || !(entry->ifa_flags & IFF_UP) || (entry->ifa_flags & IFF_LOOPBACK))
        return false;
    if (entry->ifa_addr->sa_family == AF_INET6) {
        struct sockaddr_in6 ipv6;
        memcpy(&ipv6, entry->ifa_addr, sizeof ipv6);
        return !IN6_IS_ADDR_LINKLOCAL(&ipv6.sin6_addr);
    }
    return entry->ifa_addr->sa_family == AF_INET;
}

bool address_of_machine(struct address *address) {
    struct ifaddrs *list;
    *address = (struct address){.kind = ADDRESS_UNKNOWN};
    if (getifaddrs(&list) != 0)
        return false;
    for (const struct ifaddrs *entry = list; entry != NULL && address->kind != ADDRESS_IPV4;
         entry = entry->ifa_next) {
        if (!address_is_known_outside(entry))
            continue;
        if (entry->ifa_addr->sa_family == AF_INET)
            address_from_ipv4(address, entry->ifa_addr);
        else if (address->kind == ADDRESS_UNKNOWN)
            address_from_ipv6(address, entry->ifa_addr);
    }
    freeifaddrs(list);
    return address->kind != ADDRESS_UNKNOWN;
}

size_t address_print(const struct address *address, char text[ADDRESS_PRINT_SIZE]) {
    const char *format = address->kind == ADDRESS_IPV6 ? "[%s]:%u" : "%s:%u";
    return (size_t)snprintf(text, ADDRESS_PRINT_SIZE, format, address->text, (unsigned)address->port);
}
