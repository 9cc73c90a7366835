/* listener_test.c - tests of os/listener.h over the loopback.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/listener.h"

#include "os/stream.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FDS_MAX 8

static int fds[FDS_MAX];
static size_t opened;
static char error[LISTENER_ERROR_SIZE];

#define OPEN(port, ...)                                                                               \
    listener_open_tcp((const char *const[]){__VA_ARGS__},                                             \
                      sizeof(const char *const[]){__VA_ARGS__} / sizeof(const char *), port, 16, fds, \
                      &opened, error)

static uint16_t port_of(int fd) {
    struct address address;
    cr_assert(stream_local(fd, &address));
    return address.port;
}

static int connect_ipv4(uint16_t port) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port)};
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)&place, sizeof place) == 0)
        return fd;
    close(fd);
    return -1;
}

static int connect_unix(const char *path) {
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    strcpy(place.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)&place, sizeof place) == 0)
        return fd;
    close(fd);
    return -1;
}

static void wait_readable(int fd) {
    struct pollfd wish = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&wish, 1, 10000), 1);
}

static bool has_ipv6(void) {
    struct sockaddr_in6 place = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&place, sizeof place) == 0;
    close(fd);
    return has;
}

Test(listener, a_client_that_connects_is_accepted_with_its_address) {
    cr_assert(OPEN(0, "127.0.0.1"), "%s", error);
    cr_assert_eq(opened, 1);
    int connection;
    struct address peer, seen;
    cr_assert_eq(listener_accept(fds[0], &connection, &peer), LISTENER_EMPTY);
    int client = connect_ipv4(port_of(fds[0]));
    wait_readable(fds[0]);
    cr_assert_eq(listener_accept(fds[0], &connection, &peer), LISTENER_ACCEPTED);
    cr_assert(stream_local(client, &seen));
    cr_assert_eq(peer.kind, ADDRESS_IPV4);
    cr_assert_str_eq(peer.text, "127.0.0.1");
    cr_assert_eq(peer.port, seen.port);
    cr_assert(fcntl(connection, F_GETFL) & O_NONBLOCK);
    cr_assert(fcntl(connection, F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(listener_accept(fds[0], &connection, &peer), LISTENER_EMPTY);
}

Test(listener, several_addresses_share_a_port) {
    if (!has_ipv6())
        cr_skip_test("no IPv6 here");
    cr_assert(OPEN(0, "127.0.0.1"));
    uint16_t port = port_of(fds[0]);
    close(fds[0]);
    cr_assert(OPEN(port, "127.0.0.1", "127.0.0.2", "::1"), "%s", error);
    cr_assert_eq(opened, 3);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(port_of(fds[i]), port);
}

Test(listener, the_stars_are_all_of_ipv4_and_all_of_ipv6_apart) {
    if (!has_ipv6())
        cr_skip_test("no IPv6 here");
    cr_assert(OPEN(0, "*"));
    uint16_t port = port_of(fds[0]);
    close(fds[0]);
    /* Possible only if the IPv6 socket takes no IPv4. */
    cr_assert(OPEN(port, "::*", "*"), "%s", error);
    struct address address;
    cr_assert(stream_local(fds[0], &address));
    cr_assert_str_eq(address.text, "::");
    cr_assert(stream_local(fds[1], &address));
    cr_assert_str_eq(address.text, "0.0.0.0");
    int client = connect_ipv4(port), connection;
    wait_readable(fds[1]);
    cr_assert_eq(listener_accept(fds[1], &connection, &address), LISTENER_ACCEPTED);
    cr_assert_str_eq(address.text, "127.0.0.1");
    close(client);
}

Test(listener, an_optional_address_that_the_machine_lacks_is_passed_over) {
    cr_assert(OPEN(0, "-192.0.2.99", "127.0.0.1"), "%s", error);
    cr_assert_eq(opened, 1);
}

Test(listener, an_address_that_the_machine_lacks_is_named_and_nothing_stays_open) {
    cr_assert(OPEN(0, "127.0.0.1"));
    uint16_t port = port_of(fds[0]);
    close(fds[0]);
    cr_assert_not(OPEN(port, "127.0.0.1", "192.0.2.99"));
    cr_assert_not_null(strstr(error, "192.0.2.99"), "%s", error);
    cr_assert_eq(opened, 0);
    cr_assert_lt(connect_ipv4(port), 0);
}

Test(listener, an_optional_address_in_use_is_still_an_error) {
    cr_assert(OPEN(0, "127.0.0.1"));
    cr_assert_not(OPEN(port_of(fds[0]), "-127.0.0.1"));
    cr_assert_not_null(strstr(error, strerror(EADDRINUSE)), "%s", error);
}

Test(listener, nothing_to_listen_on_is_an_error) {
    cr_assert_not(OPEN(0, "-192.0.2.99"));
    cr_assert_neq(error[0], 0);
}

Test(listener, a_word_that_is_no_address_is_an_error) {
    cr_assert_not(OPEN(0, "256.1.1.1.1:7"));
    cr_assert_not_null(strstr(error, "256.1.1.1.1:7"), "%s", error);
}

Test(listener, out_of_descriptors_is_told_apart_and_passes) {
    cr_assert(OPEN(0, "127.0.0.1"));
    int client = connect_ipv4(port_of(fds[0]));
    cr_assert_geq(client, 0);
    wait_readable(fds[0]);
    struct rlimit before, none;
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 1; /* no number below it is free */
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    int connection;
    struct address peer;
    cr_assert_eq(listener_accept(fds[0], &connection, &peer), LISTENER_EXHAUSTED);
    setrlimit(RLIMIT_NOFILE, &before);
    cr_assert_eq(listener_accept(fds[0], &connection, &peer), LISTENER_ACCEPTED);
}

Test(listener, what_does_not_listen_has_failed) {
    int connection;
    struct address peer;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(listener_accept(fd, &connection, &peer), LISTENER_FAILED);
}

static char folder[] = "/tmp/redis-kv-listener-XXXXXX";
static char path[64];

static void make_folder(void) {
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
}

static void remove_folder(void) {
    unlink(path);
    rmdir(folder);
}

TestSuite(unix_listener, .init = make_folder, .fini = remove_folder);

Test(unix_listener, a_client_of_the_path_is_accepted) {
    int fd = listener_open_unix(path, 0, 16, error);
    cr_assert_geq(fd, 0, "%s", error);
    int client = connect_unix(path), connection;
    cr_assert_geq(client, 0);
    struct address peer, local;
    cr_assert_eq(listener_accept(fd, &connection, &peer), LISTENER_ACCEPTED);
    cr_assert_eq(peer.kind, ADDRESS_UNIX);
    cr_assert(stream_local(connection, &local));
    cr_assert_str_eq(local.text, path);
}

Test(unix_listener, the_path_has_the_permissions_asked_for_and_the_umask_is_as_before) {
    umask(022);
    int fd = listener_open_unix(path, 0760, 16, error);
    cr_assert_geq(fd, 0, "%s", error);
    struct stat found;
    cr_assert_eq(stat(path, &found), 0);
    cr_assert_eq(found.st_mode & 0777, 0760);
    cr_assert_eq(umask(022), 022);
}

Test(unix_listener, a_socket_that_a_dead_server_left_is_replaced) {
    int fd = listener_open_unix(path, 0, 16, error);
    close(fd);
    cr_assert_eq(access(path, F_OK), 0);
    cr_assert_lt(connect_unix(path), 0);
    fd = listener_open_unix(path, 0, 16, error);
    cr_assert_geq(fd, 0, "%s", error);
    cr_assert_geq(connect_unix(path), 0);
}

Test(unix_listener, a_living_server_keeps_its_socket) {
    int fd = listener_open_unix(path, 0, 16, error);
    cr_assert_geq(fd, 0);
    cr_assert_lt(listener_open_unix(path, 0, 16, error), 0);
    cr_assert_not_null(strstr(error, strerror(EADDRINUSE)), "%s", error);
    cr_assert_geq(connect_unix(path), 0);
}

Test(unix_listener, a_file_that_is_no_socket_is_left_alone) {
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    cr_assert_eq(write(file, "precious", 8), 8);
    cr_assert_lt(listener_open_unix(path, 0, 16, error), 0);
    struct stat found;
    cr_assert_eq(stat(path, &found), 0);
    cr_assert_eq(found.st_size, 8);
}

Test(unix_listener, a_path_that_is_too_long_is_an_error) {
    char text[300];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    cr_assert_lt(listener_open_unix(text, 0, 16, error), 0);
    cr_assert_not_null(strstr(error, strerror(ENAMETOOLONG)), "%s", error);
    cr_assert_lt(listener_open_unix("", 0, 16, error), 0);
}

Test(unix_listener, the_path_can_be_removed) {
    int fd = listener_open_unix(path, 0, 16, error);
    cr_assert_geq(fd, 0);
    listener_remove_unix(path);
    cr_assert_neq(access(path, F_OK), 0);
}
