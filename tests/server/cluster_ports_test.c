/*
 * cluster_ports_test.c - a node of a cluster among sockets: the ports it listens on, and those whom it calls.
 *
 * May touch: the server through harness.h and connection.h, sockets of the loopback in the place of other nodes.
 * Must never know: the server's code, what nodes say to each other.
 * Invariants: see harness.h.
 * Tests: it is one.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "connection.h"
#include "groups.h"
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLUSTER_OFFSET = 5000, PEER_OFFSET = 10000 };

static void expect_pong(struct test *test, int fd) {
    connection_send_text(test, fd, "PING\r\n");
    connection_expect(test, fd, "+PONG\r\n");
    close(fd);
}

/* Whether all three ports of a node accept connections at this address. */
static bool listens(const char *address, int port) {
    static const int offsets[] = {0, CLUSTER_OFFSET, PEER_OFFSET};
    for (size_t i = 0; i < 3; i++) {
        int fd = connection_try_to(address, port + offsets[i]);
        if (fd < 0)
            return false;
        close(fd);
    }
    return true;
}

static bool listens_nowhere(const char *address, int port) {
    static const int offsets[] = {0, CLUSTER_OFFSET, PEER_OFFSET};
    for (size_t i = 0; i < 3; i++) {
        int fd = connection_try_to(address, port + offsets[i]);
        if (fd >= 0) {
            close(fd);
            return false;
        }
    }
    return true;
}

/* ---- Ports ---- */

static void a_node_of_a_cluster_listens_on_three_ports(struct test *test) {
    struct server *server = server_start(test, WORDS("--cluster-enabled", "yes"));
    CHECK(test, listens("127.0.0.1", server->port));
    CHECK(test, listens_nowhere("127.0.0.2", server->port));
    expect_pong(test, connection_open(test, server->port + CLUSTER_OFFSET));
}

static void its_two_client_ports_have_two_views(struct test *test) {
    struct server *server = server_start(test, WORDS("--cluster-enabled", "yes"));
    redisContext *plain = client_open(test, server->port);
    redisContext *cluster = client_open(test, server->port + CLUSTER_OFFSET);
    CHECK_EQUAL(test, client_info(test, plain, "cluster_enabled"), 0);
    CHECK_EQUAL(test, client_info(test, cluster, "cluster_enabled"), 1);
    redisFree(plain);
    redisFree(cluster);
}

static void a_server_without_a_cluster_listens_on_one_port(struct test *test) {
    struct server *server = server_start(test, WORDS());
    CHECK(test, connection_try(server->port + CLUSTER_OFFSET) < 0);
    CHECK(test, connection_try(server->port + PEER_OFFSET) < 0);
}

static void a_port_that_does_not_fit_is_named_with_its_setting(struct test *test) {
    struct outcome outcome = binary_run(test, WORDS("--cluster-enabled", "yes", "--port", "61000"), NULL);
    CHECK_EQUAL(test, outcome.status, 1);
    CHECK_CONTAINS(test, outcome.output, "61000 (port) + 5000");
    CHECK_CONTAINS(test, outcome.output, "set cluster-port");
    outcome = binary_run(test, WORDS("--cluster-enabled", "yes", "--port", "56000"), NULL);
    CHECK_EQUAL(test, outcome.status, 1);
    CHECK_CONTAINS(test, outcome.output, "56000 (port) + 10000");
    CHECK_CONTAINS(test, outcome.output, "set peer-port");
    outcome = binary_run(test, WORDS("--cluster-enabled", "yes", "--port", "0"), NULL);
    CHECK_EQUAL(test, outcome.status, 1);
    CHECK_CONTAINS(test, outcome.output, "set cluster-port");
}

static void one_port_for_two_purposes_is_an_error(struct test *test) {
    char port[16];
    snprintf(port, sizeof(port), "%d", free_port(test));
    struct outcome outcome =
        binary_run(test, WORDS("--cluster-enabled", "yes", "--port", port, "--peer-port", port), NULL);
    CHECK_EQUAL(test, outcome.status, 1);
    CHECK_CONTAINS(test, outcome.output, "port and peer-port are the same port");
}

static void ports_that_are_set_are_taken(struct test *test) {
    char cluster_port[16], peer_port[16];
    int first = free_port(test);
    snprintf(cluster_port, sizeof(cluster_port), "%d", first + 4321);
    snprintf(peer_port, sizeof(peer_port), "%d", first + 5432);
    struct server *server = server_start(
        test, WORDS("--cluster-enabled", "yes", "--cluster-port", cluster_port, "--peer-port", peer_port));
    expect_pong(test, connection_open(test, first + 4321));
    close(connection_open(test, first + 5432));
    CHECK(test, connection_try(server->port + CLUSTER_OFFSET) < 0);
    CHECK(test, connection_try(server->port + PEER_OFFSET) < 0);
}

static void a_peer_port_open_to_other_machines_needs_a_secret(struct test *test) {
    char port[16];
    snprintf(port, sizeof(port), "%d", free_port(test));
    struct outcome outcome =
        binary_run(test, WORDS("--cluster-enabled", "yes", "--port", port, "--bind", "*"), NULL);
    CHECK_EQUAL(test, outcome.status, 1);
    CHECK_CONTAINS(test, outcome.output, "set cluster-secret, or bind to the loopback alone");
    struct server *server =
        server_start(test, WORDS("--cluster-enabled", "yes", "--bind", "*", "--cluster-secret", "secret"));
    CHECK(test, listens("127.0.0.77", server->port));
    server = server_start(test, WORDS("--cluster-enabled", "yes", "--bind", "127.0.0.1", "127.0.0.9"));
    CHECK(test, listens("127.0.0.9", server->port));
}

/* ---- CONFIG SET ---- */

static void a_new_bind_holds_for_all_ports(struct test *test) {
    struct server *server = server_start(test, WORDS("--cluster-enabled", "yes", "--bind", "127.0.0.1"));
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "+OK", "CONFIG SET bind %s", "127.0.0.1 127.0.0.2");
    CHECK(test, listens("127.0.0.1", server->port));
    CHECK(test, listens("127.0.0.2", server->port));
    EXPECT(test, client, "+OK", "CONFIG SET bind 127.0.0.2");
    CHECK(test, listens_nowhere("127.0.0.1", server->port));
    CHECK(test, listens("127.0.0.2", server->port));
    EXPECT(test, client, "+PONG", "PING");
    redisFree(client);
}

static void the_others_are_told_a_new_bind(struct test *test) {
    struct server *server = server_start(test, WORDS("--cluster-enabled", "yes", "--bind", "127.0.0.1"));
    redisContext *client = client_open(test, server->port);
    char *nodes = client_text(test, client, "CLUSTER NODES");
    CHECK_CONTAINS(test, nodes, " 127.0.0.1:");
    free(nodes);
    EXPECT(test, client, "+OK", "CONFIG SET bind 127.0.0.2");
    nodes = client_text(test, client, "CLUSTER NODES");
    CHECK_CONTAINS(test, nodes, " 127.0.0.2:");
    free(nodes);
    EXPECT(test, client, "+OK", "CONFIG SET cluster-announce-ip 10.1.2.3");
    EXPECT(test, client, "+OK", "CONFIG SET bind 127.0.0.1");
    nodes = client_text(test, client, "CLUSTER NODES");
    CHECK_CONTAINS(test, nodes, " 10.1.2.3:");
    free(nodes);
    redisFree(client);
}

static void a_bind_that_fails_leaves_everything_as_it_was(struct test *test) {
    char text[512];
    struct server *server = server_start(test, WORDS("--cluster-enabled", "yes", "--bind", "127.0.0.1"));
    redisContext *client = client_open(test, server->port);
    static const char *const binds[] = {"127.0.0.1 203.0.113.77", "127.0.0.1 *", "*"};
    static const char *const reasons[] = {"203.0.113.77", "Address already in use", "cluster-secret"};
    for (size_t i = 0; i < 3; i++) {
        redisReply *reply = redisCommand(client, "CONFIG SET bind %s", binds[i]);
        CHECK(test, reply && reply->type == REDIS_REPLY_ERROR);
        CHECK_CONTAINS(test, client_reply_text(reply, text, sizeof(text)), reasons[i]);
        freeReplyObject(reply);
        EXPECT(test, client, "[\"bind\", \"127.0.0.1\"]", "CONFIG GET bind");
        CHECK(test, listens("127.0.0.1", server->port));
        CHECK(test, listens_nowhere("127.0.0.2", server->port));
    }
    redisFree(client);
}

static void the_port_of_plain_clients_changes_alone_where_the_others_are_set(struct test *test) {
    char cluster_port[16], peer_port[16];
    int first = free_port(test), other = first + 4400;
    snprintf(cluster_port, sizeof(cluster_port), "%d", first + 4321);
    snprintf(peer_port, sizeof(peer_port), "%d", first + 5432);
    struct server *server = server_start(
        test, WORDS("--cluster-enabled", "yes", "--cluster-port", cluster_port, "--peer-port", peer_port));
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "+OK", "CONFIG SET port %d", other);
    expect_pong(test, connection_open(test, other));
    expect_pong(test, connection_open(test, first + 4321));
    close(connection_open(test, first + 5432));
    CHECK(test, connection_try(server->port) < 0);
    redisFree(client);
}

/* ---- Calls: a socket of the test's takes the place of another node. ---- */

static int listen_at(struct test *test, int port, int *chosen) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size_bytes = sizeof(place);
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    CHECK(test, bind(fd, (struct sockaddr *)&place, sizeof(place)) == 0 && listen(fd, 8) == 0);
    CHECK(test, getsockname(fd, (struct sockaddr *)&place, &size_bytes) == 0);
    *chosen = ntohs(place.sin_port);
    return fd;
}

/* The next caller, whose first bytes have come. */
static int take_call(struct test *test, int listener) {
    int fd = -1;
    char byte;
    EVENTUALLY(test, HARNESS_DEADLINE_MS, (fd = accept(listener, NULL, NULL)) >= 0);
    EVENTUALLY(test, HARNESS_DEADLINE_MS, recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
    return fd;
}

static struct server *start_with_seed(struct test *test, const char *host, int peer_port) {
    char seed[64];
    snprintf(seed, sizeof(seed), "%s:1@%d", host, peer_port);
    return server_start(test, WORDS("--cluster-enabled", "yes", "--cluster-seeds", seed));
}

static void seeds_are_called_by_address_and_by_name(struct test *test) {
    static const char *const hosts[] = {"127.0.0.1", "localhost"};
    for (size_t i = 0; i < 2; i++) {
        int port, listener = listen_at(test, 0, &port);
        struct server *server = start_with_seed(test, hosts[i], port);
        close(take_call(test, listener));
        CHECK_EQUAL(test, server_stop(test, server), 0);
        close(listener);
    }
}

static void a_seed_that_hangs_up_or_was_away_is_called_again(struct test *test) {
    int port, listener = listen_at(test, 0, &port);
    struct server *server = start_with_seed(test, "127.0.0.1", port);
    connection_reset(take_call(test, listener));
    close(take_call(test, listener));
    close(listener);
    /* Nobody listens there for a while. */
    redisContext *client = client_open(test, server->port);
    for (int i = 0; i < 50; i++) {
        EXPECT(test, client, "+PONG", "PING");
        breathe();
    }
    listener = listen_at(test, port, &port);
    close(take_call(test, listener));
    close(listener);
    redisFree(client);
}

static void a_name_that_does_not_exist_holds_nobody_up(struct test *test) {
    char seeds[128];
    int port, listener = listen_at(test, 0, &port);
    snprintf(seeds, sizeof(seeds), "no-such-host.invalid:7001 127.0.0.1:1@%d", port);
    struct server *server = server_start(test, WORDS("--cluster-enabled", "yes", "--cluster-seeds", seeds));
    redisContext *client = client_open(test, server->port);
    long long begun_ms = now_ms();
    int fd = take_call(test, listener);
    EXPECT(test, client, "+PONG", "PING");
    CHECK_RANGE(test, now_ms() - begun_ms, 0, 3000);
    close(fd);
    close(listener);
    redisFree(client);
}

/* The local port of a connection to this port that has been begun and not been answered; 0: there is none. */
static int unanswered_from(struct test *test, int port) {
    enum { SYN_SENT = 2 };
    char text[512];
    int found = 0;
    FILE *file = fopen("/proc/net/tcp", "r");
    CHECK(test, file != NULL);
    while (found == 0 && fgets(text, sizeof(text), file)) {
        unsigned local, remote, state;
        if (sscanf(text, " %*d: %*x:%x %*x:%x %x", &local, &remote, &state) == 3 && (int)remote == port &&
            state == SYN_SENT)
            found = (int)local;
    }
    fclose(file);
    return found;
}

static void a_call_that_nobody_answers_is_given_up_and_made_again(struct test *test) {
    int port, listener = listen_at(test, 0, &port), first, taken[4];
    /* The kernel answers nobody whom a full backlog has no room for. */
    CHECK(test, listen(listener, 0) == 0);
    for (size_t i = 0; i < 4; i++) {
        struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        taken[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(taken[i], (struct sockaddr *)&place, sizeof(place));
    }
    long long begun_ms = now_ms();
    struct server *server = start_with_seed(test, "127.0.0.1", port);
    for (size_t i = 1; i < 4; i++)
        close(taken[i]); /* those that wait, too: the one left is in the backlog */
    EVENTUALLY(test, HARNESS_DEADLINE_MS, (first = unanswered_from(test, port)) != 0);
    EVENTUALLY(test, HARNESS_DEADLINE_MS, unanswered_from(test, port) != first);
    CHECK_RANGE(test, now_ms() - begun_ms, 2500, 6000);
    EVENTUALLY(test, HARNESS_DEADLINE_MS, unanswered_from(test, port) != 0);
    redisContext *client = client_open(test, server->port);
    EXPECT(test, client, "+PONG", "PING");
    redisFree(client);
    close(listener);
}

/* The peer port is no way around anything. */
static void strangers_at_the_peer_port_get_nowhere(struct test *test) {
    struct server *server =
        server_start(test, WORDS("--cluster-enabled", "yes", "--cluster-secret", "secret"));
    redisContext *client = client_open(test, server->port);
    char text[4096];
    int fd = connection_open(test, server->port + PEER_OFFSET);
    connection_send_text(test, fd, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n");
    connection_until_closed(test, fd, text, sizeof(text));
    CHECK(test, strstr(text, "+OK") == NULL);
    EXPECT(test, client, "nil", "GET k");
    connection_reset(connection_open(test, server->port + PEER_OFFSET));
    EXPECT(test, client, "+PONG", "PING");
    redisFree(client);
}

static const struct test_case cases[] = {
    TEST_CASE(a_node_of_a_cluster_listens_on_three_ports),
    TEST_CASE(its_two_client_ports_have_two_views),
    TEST_CASE(a_server_without_a_cluster_listens_on_one_port),
    TEST_CASE(a_port_that_does_not_fit_is_named_with_its_setting),
    TEST_CASE(one_port_for_two_purposes_is_an_error),
    TEST_CASE(ports_that_are_set_are_taken),
    TEST_CASE(a_peer_port_open_to_other_machines_needs_a_secret),
    TEST_CASE(a_new_bind_holds_for_all_ports),
    TEST_CASE(the_others_are_told_a_new_bind),
    TEST_CASE(a_bind_that_fails_leaves_everything_as_it_was),
    TEST_CASE(the_port_of_plain_clients_changes_alone_where_the_others_are_set),
    TEST_CASE(seeds_are_called_by_address_and_by_name),
    TEST_CASE(a_seed_that_hangs_up_or_was_away_is_called_again),
    TEST_CASE(a_name_that_does_not_exist_holds_nobody_up),
    TEST_CASE(a_call_that_nobody_answers_is_given_up_and_made_again),
    TEST_CASE(strangers_at_the_peer_port_get_nowhere),
    TEST_CASES_END,
};

const struct test_case *cluster_ports_tests(void) {
    return cases;
}
