/*
 * listening_test.c - where the server listens, and whom it keeps: addresses, the unix socket, idle and dead clients.
 *
 * May touch: the server through harness.h and connection.h, /proc/net/tcp.
 * Must never know: the server's code.
 * Invariants: see harness.h.
 * Tests: it is one.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "connection.h"
#include "groups.h"
#include "harness.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void expect_pong(struct test *test, int fd) {
    connection_send_text(test, fd, "PING\r\n");
    connection_expect(test, fd, "+PONG\r\n");
}

static void the_server_listens_on_each_address_of_bind_and_on_no_other(struct test *test) {
    struct server *server = server_start(test, WORDS("--bind", "127.0.0.1", "127.0.0.2"));
    expect_pong(test, connection_open_to(test, "127.0.0.1", server->port));
    expect_pong(test, connection_open_to(test, "127.0.0.2", server->port));
    CHECK(test, connection_try_to("127.0.0.3", server->port) < 0);
    CHECK(test, connection_try_to("::1", server->port) < 0);
}

static void the_server_listens_on_the_loopback_alone_without_bind(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *client = client_open(test, server->port);
    char *bind = client_text(test, client, "CONFIG GET bind");
    CHECK_CONTAINS(test, bind, "127.0.0.1");
    CHECK(test, connection_try_to("127.0.0.3", server->port) < 0);
    free(bind);
    redisFree(client);
}

static void skip_without_ipv6(void) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        test_skip("this machine has no IPv6 loopback");
    close(fd);
}

static void the_server_listens_on_ipv6_beside_ipv4(struct test *test) {
    skip_without_ipv6();
    struct server *server = server_start(test, WORDS("--bind", "127.0.0.1", "::1"));
    expect_pong(test, connection_open_to(test, "127.0.0.1", server->port));
    int fd = connection_open_to(test, "::1", server->port);
    char line[2048], wanted[64];
    connection_send_text(test, fd, "CLIENT INFO\r\n");
    connection_line(test, fd, line, sizeof(line));
    connection_line(test, fd, line, sizeof(line) - 2);
    snprintf(wanted, sizeof(wanted), " laddr=[::1]:%d ", server->port);
    CHECK_CONTAINS(test, line, wanted);
    CHECK_CONTAINS(test, line, " addr=[::1]:");
}

static void an_address_with_a_minus_may_be_missing(struct test *test) {
    struct server *server = server_start(test, WORDS("--bind", "127.0.0.1", "-203.0.113.77", "-::1"));
    expect_pong(test, connection_open(test, server->port));
}

static void a_star_listens_everywhere(struct test *test) {
    struct server *server = server_start(test, WORDS("--bind", "*"));
    expect_pong(test, connection_open_to(test, "127.0.0.1", server->port));
    expect_pong(test, connection_open_to(test, "127.0.0.77", server->port));
}

static void bind_can_be_changed_and_changed_back_on_the_same_port(struct test *test) {
    struct server *server = server_start(test, WORDS("--bind", "127.0.0.1"));
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "+OK", "CONFIG SET bind %s", "127.0.0.1 127.0.0.2");
    expect_pong(test, connection_open_to(test, "127.0.0.1", server->port));
    expect_pong(test, connection_open_to(test, "127.0.0.2", server->port));
    EXPECT(test, client, "+OK", "CONFIG SET bind *");
    expect_pong(test, connection_open_to(test, "127.0.0.3", server->port));
    EXPECT(test, client, "+OK", "CONFIG SET bind 127.0.0.1");
    expect_pong(test, connection_open_to(test, "127.0.0.1", server->port));
    CHECK(test, connection_try_to("127.0.0.2", server->port) < 0);
    redisFree(client);
}

static void the_unix_socket_has_its_permissions_and_goes_with_the_server(struct test *test) {
    static const struct {
        const char *text;
        int mode;
    } permissions[] = {{"700", 0700}, {"770", 0770}, {"777", 0777}};
    for (size_t i = 0; i < 3; i++) {
        char path[HARNESS_PATH_BYTES];
        struct stat status;
        test_file(test, path, "socket", NULL);
        struct server *server =
            server_start(test, WORDS("--unixsocket", path, "--unixsocketperm", permissions[i].text));
        expect_pong(test, connection_open_unix(test, path));
        CHECK(test, stat(path, &status) == 0 && S_ISSOCK(status.st_mode));
        CHECK_EQUAL(test, status.st_mode & 0777, permissions[i].mode);
        CHECK_EQUAL(test, server_stop(test, server), 0);
        CHECK(test, access(path, F_OK) != 0);
    }
}

static void a_unix_socket_left_by_a_killed_server_is_replaced(struct test *test) {
    char path[HARNESS_PATH_BYTES];
    test_file(test, path, "socket", NULL);
    struct server *server = server_start(test, WORDS("--unixsocket", path));
    kill(server->pid, SIGKILL);
    server_wait_end(test, server);
    CHECK(test, access(path, F_OK) == 0);
    server = server_start(test, WORDS("--unixsocket", path));
    expect_pong(test, connection_open_unix(test, path));
}

static void port_0_leaves_the_unix_socket_alone(struct test *test) {
    char path[HARNESS_PATH_BYTES];
    test_file(test, path, "socket", NULL);
    server_spawn(test, WORDS("--port", "0", "--save", "", "--unixsocket", path, "--dir", test->directory),
                 NULL);
    EVENTUALLY(test, HARNESS_DEADLINE_MS, access(path, F_OK) == 0);
    expect_pong(test, connection_open_unix(test, path));
}

static void one_client_more_than_maxclients_is_refused(struct test *test) {
    struct server *server = server_start(test, WORDS("--maxclients", "5"));
    int fds[5];
    /* The client that looked whether the server is ready may still be counted. */
    redisContext *control = client_open(test, server->port);
    client_wait_alone(test, control);
    for (int i = 0; i < 4; i++) {
        fds[i] = connection_open(test, server->port);
        expect_pong(test, fds[i]);
    }
    char text[256];
    connection_until_closed(test, connection_open(test, server->port), text, sizeof(text));
    CHECK(test, strcmp(text, "-ERR max number of clients reached\r\n") == 0);
    CHECK_EQUAL(test, client_info(test, control, "rejected_connections"), 1);
    expect_pong(test, fds[0]);
    close(fds[0]);
    EVENTUALLY(test, HARNESS_DEADLINE_MS, client_info(test, control, "connected_clients") == 4);
    expect_pong(test, connection_open(test, server->port));
    EXPECT(test, control, "+OK", "CONFIG SET maxclients 6");
    expect_pong(test, connection_open(test, server->port));
    connection_until_closed(test, connection_open(test, server->port), text, sizeof(text));
    CHECK_CONTAINS(test, text, "max number of clients reached");
    redisFree(control);
}

static bool pong_is_got(struct test *test, int fd) {
    expect_pong(test, fd);
    return true;
}

static void idle_clients_are_closed_after_timeout_and_busy_ones_are_not(struct test *test) {
    struct server *server = server_start(test, WORDS("--timeout", "1"));
    int busy = connection_open(test, server->port), idle = connection_open(test, server->port);
    int silent = connection_open(test, server->port);
    expect_pong(test, idle);
    long long begin_ms = now_ms();
    EVENTUALLY(test, HARNESS_DEADLINE_MS, pong_is_got(test, busy) && connection_is_closed(idle));
    CHECK_RANGE(test, now_ms() - begin_ms, 900, 5000);
    EVENTUALLY(test, HARNESS_DEADLINE_MS, pong_is_got(test, busy) && connection_is_closed(silent));
    expect_pong(test, busy);
}

static void idle_clients_stay_without_timeout_until_one_is_set(struct test *test) {
    struct server *server = server_start(test, WORDS());
    int idle = connection_open(test, server->port);
    redisContext *control = client_open(test, server->port);
    expect_pong(test, idle);
    EVENTUALLY(test, HARNESS_DEADLINE_MS,
               connection_is_silent(idle) && strstr(client_text(test, control, "CLIENT LIST"), " idle=1 "));
    CHECK(test, connection_is_silent(idle));
    EXPECT(test, control, "+OK", "CONFIG SET timeout 1");
    EVENTUALLY(test, HARNESS_DEADLINE_MS,
               client_integer(test, control, "CLIENT ID") > 0 && connection_is_closed(idle));
    redisFree(control);
}

/* What the kernel's table of sockets says of the server's end of this connection: its timer and the time left. */
static bool socket_timer(struct test *test, int port, int peer_port, int *kind, long *left_ms) {
    char text[512];
    FILE *file = fopen("/proc/net/tcp", "r");
    CHECK(test, file != NULL);
    bool is_found = false;
    while (!is_found && fgets(text, sizeof(text), file)) {
        unsigned local, remote, timer;
        unsigned long left;
        if (sscanf(text, " %*d: %*x:%x %*x:%x %*x %*x:%*x %x:%lx", &local, &remote, &timer, &left) == 4 &&
            (int)local == port && (int)remote == peer_port) {
            *kind = (int)timer;
            *left_ms = (long)(left * 1000 / (unsigned long)sysconf(_SC_CLK_TCK));
            is_found = true;
        }
    }
    fclose(file);
    return is_found;
}

static int own_port(int fd) {
    struct sockaddr_in address;
    socklen_t size_bytes = sizeof(address);
    return getsockname(fd, (struct sockaddr *)&address, &size_bytes) == 0 ? ntohs(address.sin_port) : -1;
}

static void connections_have_tcp_keepalive_of_the_set_interval(struct test *test) {
    enum { NO_TIMER = 0, KEEPALIVE_TIMER = 2 };
    int kind = -1;
    long left_ms = 0;
    struct server *server = server_start(test, WORDS("--tcp-keepalive", "100"));
    int fd = connection_open(test, server->port);
    expect_pong(test, fd);
    EVENTUALLY(test, HARNESS_DEADLINE_MS,
               socket_timer(test, server->port, own_port(fd), &kind, &left_ms) && kind == KEEPALIVE_TIMER);
    CHECK_RANGE(test, left_ms, 80000, 100000);
    redisContext *control = client_open(test, server->port);
    EXPECT(test, control, "+OK", "CONFIG SET tcp-keepalive 0");
    fd = connection_open(test, server->port);
    expect_pong(test, fd);
    EVENTUALLY(test, HARNESS_DEADLINE_MS,
               socket_timer(test, server->port, own_port(fd), &kind, &left_ms) && kind == NO_TIMER);
    redisFree(control);
}

/* An IPv4 address of this machine that is not of the loopback; packets to it do not leave the machine. */
static const char *outer_address(char text[INET_ADDRSTRLEN]) {
    struct ifaddrs *list = NULL;
    const char *found = NULL;
    if (getifaddrs(&list) != 0)
        return NULL;
    for (struct ifaddrs *entry = list; entry && !found; entry = entry->ifa_next)
        if (entry->ifa_addr && entry->ifa_addr->sa_family == AF_INET && !(entry->ifa_flags & IFF_LOOPBACK))
            found =
                inet_ntop(AF_INET, &((struct sockaddr_in *)entry->ifa_addr)->sin_addr, text, INET_ADDRSTRLEN);
    freeifaddrs(list);
    return found;
}

static void protected_mode_is_no_matter_for_clients_of_the_loopback(struct test *test) {
    struct server *server = server_start(test, WORDS("--protected-mode", "yes", "--bind", "*"));
    expect_pong(test, connection_open_to(test, "127.0.0.1", server->port));
    expect_pong(test, connection_open_to(test, "127.0.0.2", server->port));
}

static void protected_mode_denies_others_until_there_is_a_password(struct test *test) {
    char address[INET_ADDRSTRLEN], text[2048];
    if (!outer_address(address))
        test_skip("this machine has no address but the loopback");
    struct server *server =
        server_start(test, WORDS("--protected-mode", "yes", "--bind", "127.0.0.1", address));
    connection_until_closed(test, connection_open_to(test, address, server->port), text, sizeof(text));
    CHECK(test, strncmp(text, "-DENIED ", 8) == 0);
    redisContext *control = client_open(test, server->port);
    EXPECT(test, control, "+OK", "CONFIG SET requirepass secret");
    int fd = connection_open_to(test, address, server->port);
    connection_send_text(test, fd, "AUTH secret\r\n");
    connection_expect(test, fd, "+OK\r\n");
    EXPECT(test, control, "+OK", "AUTH secret");
    EXPECT(test, control, "+OK", "CONFIG SET requirepass %s", "");
    EXPECT(test, control, "+OK", "CONFIG SET protected-mode no");
    expect_pong(test, connection_open_to(test, address, server->port));
    redisFree(control);
}

static const struct test_case cases[] = {
    TEST_CASE(the_server_listens_on_each_address_of_bind_and_on_no_other),
    TEST_CASE(the_server_listens_on_the_loopback_alone_without_bind),
    TEST_CASE(the_server_listens_on_ipv6_beside_ipv4),
    TEST_CASE(an_address_with_a_minus_may_be_missing),
    TEST_CASE(a_star_listens_everywhere),
    TEST_CASE(bind_can_be_changed_and_changed_back_on_the_same_port),
    TEST_CASE(the_unix_socket_has_its_permissions_and_goes_with_the_server),
    TEST_CASE(a_unix_socket_left_by_a_killed_server_is_replaced),
    TEST_CASE(port_0_leaves_the_unix_socket_alone),
    TEST_CASE(one_client_more_than_maxclients_is_refused),
    TEST_CASE(idle_clients_are_closed_after_timeout_and_busy_ones_are_not),
    TEST_CASE(idle_clients_stay_without_timeout_until_one_is_set),
    TEST_CASE(connections_have_tcp_keepalive_of_the_set_interval),
    TEST_CASE(protected_mode_is_no_matter_for_clients_of_the_loopback),
    TEST_CASE(protected_mode_denies_others_until_there_is_a_password),
    TEST_CASES_END,
};

const struct test_case *listening_tests(void) {
    return cases;
}
