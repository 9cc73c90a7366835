/* address_test.c - tests of os/address.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/address.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static struct address from_ipv4(const char *ip, uint16_t port) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct address address;
    cr_assert_eq(inet_pton(AF_INET, ip, &place.sin_addr), 1);
    address_from_socket(&address, (const struct sockaddr *)&place, sizeof place);
    return address;
}

static struct address from_ipv6(const char *ip, uint16_t port, uint32_t zone) {
    struct sockaddr_in6 place = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = zone};
    struct address address;
    cr_assert_eq(inet_pton(AF_INET6, ip, &place.sin6_addr), 1);
    address_from_socket(&address, (const struct sockaddr *)&place, sizeof place);
    return address;
}

static void expect_print(const struct address *address, const char *expected) {
    char text[ADDRESS_PRINT_SIZE];
    cr_assert_eq(address_print(address, text), strlen(expected));
    cr_assert_str_eq(text, expected);
}

Test(address, ipv4_is_ip_and_port) {
    struct address address = from_ipv4("192.0.2.17", 6379);
    cr_assert_eq(address.kind, ADDRESS_IPV4);
    cr_assert_str_eq(address.text, "192.0.2.17");
    cr_assert_eq(address.port, 6379);
    cr_assert_not(address.loopback);
    expect_print(&address, "192.0.2.17:6379");
}

Test(address, all_of_127_is_loopback) {
    cr_assert(from_ipv4("127.0.0.1", 1).loopback);
    cr_assert(from_ipv4("127.200.3.4", 1).loopback);
    cr_assert_not(from_ipv4("128.0.0.1", 1).loopback);
    cr_assert(from_ipv6("::1", 1, 0).loopback);
    cr_assert_not(from_ipv6("::2", 1, 0).loopback);
}

Test(address, ipv6_is_printed_in_brackets) {
    struct address address = from_ipv6("2001:db8::1", 65535, 0);
    cr_assert_eq(address.kind, ADDRESS_IPV6);
    cr_assert_str_eq(address.text, "2001:db8::1");
    expect_print(&address, "[2001:db8::1]:65535");
}

Test(address, a_link_local_address_names_its_interface) {
    unsigned zone = if_nametoindex("lo");
    cr_assert_gt(zone, 0);
    struct address address = from_ipv6("fe80::7", 9, zone);
    cr_assert_str_eq(address.text, "fe80::7%lo");
}

Test(address, a_unix_socket_is_its_path_from_this_machine) {
    struct sockaddr_un place = {.sun_family = AF_UNIX, .sun_path = "/run/redis-kv.sock"};
    struct address address;
    address_from_socket(&address, (const struct sockaddr *)&place, sizeof place);
    cr_assert_eq(address.kind, ADDRESS_UNIX);
    cr_assert(address.loopback);
    expect_print(&address, "/run/redis-kv.sock:0");
}

Test(address, a_path_that_fills_its_field_is_kept_whole) {
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    memset(place.sun_path, 'p', sizeof place.sun_path);
    struct address address;
    address_from_socket(&address, (const struct sockaddr *)&place, sizeof place);
    cr_assert_eq(strlen(address.text), sizeof place.sun_path);
}

Test(address, a_unix_client_has_no_path) {
    sa_family_t family = AF_UNIX;
    struct address address;
    address_from_socket(&address, (const struct sockaddr *)&family, sizeof family);
    cr_assert_eq(address.kind, ADDRESS_UNIX);
    cr_assert_str_eq(address.text, "");
}

Test(address, too_few_bytes_and_strange_families_are_unknown) {
    struct sockaddr_in place = {.sin_family = AF_INET};
    struct address address;
    address_from_socket(&address, (const struct sockaddr *)&place, 0);
    cr_assert_eq(address.kind, ADDRESS_UNKNOWN);
    address_from_socket(&address, (const struct sockaddr *)&place, sizeof place - 1);
    cr_assert_eq(address.kind, ADDRESS_UNKNOWN);
    place.sin_family = AF_PACKET;
    address_from_socket(&address, (const struct sockaddr *)&place, sizeof place);
    cr_assert_eq(address.kind, ADDRESS_UNKNOWN);
}

/* What is parsed, told as the kernel would tell it. */
static void expect_parsed(const char *text, const char *expected) {
    struct endpoint endpoint;
    struct address address;
    cr_assert(address_parse(&endpoint, text, 7001), "%s", text);
    address_from_socket(&address, (const struct sockaddr *)&endpoint.place, endpoint.size);
    expect_print(&address, expected);
}

Test(address, addresses_are_parsed_with_their_port) {
    expect_parsed("192.0.2.17", "192.0.2.17:7001");
    expect_parsed("::1", "[::1]:7001");
    expect_parsed("2001:DB8:0::1", "[2001:db8::1]:7001");
    expect_parsed("fe80::7%lo", "[fe80::7%lo]:7001");
}

Test(address, names_are_no_addresses) {
    static const char *const texts[] = {
        "",          "localhost",
        "a.example", "1.2.3",
        "1.2.3.4.5", "256.0.0.1",
        "[::1]",     "::1%no-such-interface",
        "%lo",       "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001"};
    struct endpoint endpoint;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        cr_assert_not(address_parse(&endpoint, texts[i], 1), "%s", texts[i]);
}

Test(address, the_wildcards_are_known) {
    struct address ipv4 = from_ipv4("0.0.0.0", 1), ipv6 = from_ipv6("::", 1, 0),
                   other = from_ipv4("10.0.0.0", 1);
    cr_assert(address_is_wildcard(&ipv4));
    cr_assert(address_is_wildcard(&ipv6));
    cr_assert_not(address_is_wildcard(&other));
    cr_assert_not(ipv4.loopback);
}

Test(address, the_machines_own_address_is_one_that_others_can_use) {
    struct address address;
    if (!address_of_machine(&address)) {
        cr_assert_eq(address.kind, ADDRESS_UNKNOWN);
        return;
    }
    struct endpoint endpoint;
    cr_assert_not(address.loopback);
    cr_assert_not(address_is_wildcard(&address));
    cr_assert(address_parse(&endpoint, address.text, 0));
    int fd = socket(endpoint.place.ss_family, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (const struct sockaddr *)&endpoint.place, endpoint.size), 0);
    close(fd);
}
