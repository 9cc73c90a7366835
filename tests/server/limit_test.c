/*
 * limit_test.c - what the server does when there is too much of something: clients, output, open files.
 *
 * May touch: the server through harness.h and connection.h; the server's resource limits.
 * Must never know: the server's code.
 * Invariants: see harness.h.
 * Tests: it is one.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "connection.h"
#include "groups.h"
#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { VALUE_BYTES = 100000 };

static void set_value(struct test *test, redisContext *control) {
    EXPECT(test, control, ":100000", "SETRANGE value %d x", VALUE_BYTES - 1);
}

static void expect_pong(struct test *test, int fd) {
    connection_send_text(test, fd, "PING\r\n");
    connection_expect(test, fd, "+PONG\r\n");
}

/* Sends requests without reading until the server has had enough. The other client is served all the while. */
static void send_until_cut(struct test *test, int fd, redisContext *other, const char *request, long most) {
    size_t size_bytes = strlen(request);
    long long end_ms = now_ms() + HARNESS_DEADLINE_MS;
    for (long i = 0; i < most; i++) {
        ssize_t sent = send(fd, request, size_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            return;
        if (sent >= 0 && (size_t)sent < size_bytes)
            return; /* half a request: no more can follow */
        EXPECT(test, other, "+PONG", "PING");
        if (now_ms() > end_ms)
            break;
        if (sent < 0)
            breathe();
    }
}

static void a_client_that_never_reads_is_cut_at_its_output_limit_and_others_are_served(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *control = client_open(test, server->port);
    set_value(test, control);
    EXPECT(test, control, "+OK", "CONFIG SET client-output-buffer-limit %s", "normal 1mb 0 0");
    long long before_bytes = process_rss_bytes(test, server->pid);
    int fd = connection_open(test, server->port);
    expect_pong(test, fd);
    send_until_cut(test, fd, control, "GET value\r\n", 1000);
    client_wait_alone(test, control);
    CHECK(test, process_grew_at_most(test, server->pid, before_bytes, 32 << 20));
    /* What it had sent was read or not; the end is seen. */
    char text[16];
    connection_until_closed(test, fd, text, sizeof(text));
    expect_pong(test, connection_open(test, server->port));
    redisFree(control);
}

static void one_reply_beyond_the_output_limit_cuts_the_client(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *control = client_open(test, server->port);
    set_value(test, control);
    EXPECT(test, control, "+OK", "CONFIG SET client-output-buffer-limit %s", "normal 1mb 0 0");
    int fd = connection_open(test, server->port);
    connection_send_text(test, fd, "*401\r\n$4\r\nMGET\r\n");
    for (int i = 0; i < 400; i++)
        connection_send_text(test, fd, "$5\r\nvalue\r\n");
    char text[16];
    connection_until_closed(test, fd, text, sizeof(text));
    EXPECT(test, control, "+PONG", "PING");
    client_wait_alone(test, control);
    redisFree(control);
}

static void the_soft_output_limit_cuts_a_client_after_its_seconds(struct test *test) {
    struct server *server = server_start(test, WORDS());
    redisContext *control = client_open(test, server->port);
    set_value(test, control);
    EXPECT(test, control, "+OK", "CONFIG SET client-output-buffer-limit %s", "normal 0 100kb 1");
    int fd = connection_open(test, server->port);
    expect_pong(test, fd);
    /* More than the kernel keeps for it: the rest waits in the server. */
    for (int i = 0; i < 200; i++)
        connection_send_text(test, fd, "GET value\r\n");
    long long begin_ms = now_ms();
    client_wait_alone(test, control);
    CHECK_RANGE(test, now_ms() - begin_ms, 500, 6000);
    redisFree(control);
}

static void a_slow_reader_below_the_limit_gets_everything(struct test *test) {
    enum { GETS = 200 };
    struct server *server = server_start(test, WORDS());
    redisContext *control = client_open(test, server->port);
    set_value(test, control);
    int fd = connection_open(test, server->port);
    for (int i = 0; i < GETS; i++)
        connection_send_text(test, fd, "GET value\r\n");
    char *reply = malloc(VALUE_BYTES + 16);
    CHECK(test, reply != NULL);
    for (int i = 0; i < GETS; i++) {
        connection_receive(test, fd, reply, 9 + VALUE_BYTES + 2);
        CHECK(test, memcmp(reply, "$100000\r\n", 9) == 0 && reply[9 + VALUE_BYTES - 1] == 'x');
        EXPECT(test, control, "+PONG", "PING");
    }
    CHECK(test, connection_is_silent(fd));
    free(reply);
    redisFree(control);
}

static void limit_descriptors(struct test *test, struct server *server, rlim_t count) {
    struct rlimit limit = {.rlim_cur = count, .rlim_max = count};
    if (prlimit(server->pid, RLIMIT_NOFILE, &limit, NULL) != 0)
        FAIL(test, "prlimit: %s", strerror(errno));
}

/* Whether a PING over this connection is answered within 200 ms. */
static bool is_served(int fd) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    char reply[16];
    return send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && poll(&wait, 1, 200) == 1 &&
           recv(fd, reply, sizeof(reply), MSG_DONTWAIT) == 7;
}

static void the_server_does_not_spin_when_it_is_out_of_descriptors(struct test *test) {
    enum { CLIENTS = 40, WAITING = 10 };
    struct server *server = server_start(test, WORDS());
    redisContext *control = client_open(test, server->port);
    EXPECT(test, control, "+PONG", "PING");
    client_wait_alone(test, control);
    limit_descriptors(test, server, (rlim_t)process_descriptors(test, server->pid) + CLIENTS);
    int fds[CLIENTS], waiting[WAITING], served = 0;
    for (; served < CLIENTS; served++) {
        fds[served] = connection_open(test, server->port);
        if (!is_served(fds[served]))
            break;
    }
    CHECK_RANGE(test, served, 10, CLIENTS);
    for (int i = 0; i < WAITING; i++)
        waiting[i] = connection_open(test, server->port);

    /* One second of the server's life in which nothing comes that it could do. */
    long long begin_cpu_ms = process_cpu_ms(test, server->pid), begin_ms = now_ms();
    poll(NULL, 0, 1000);
    long long used_ms = process_cpu_ms(test, server->pid) - begin_cpu_ms, passed_ms = now_ms() - begin_ms;
    if (used_ms * 20 > passed_ms)
        FAIL(test, "%lld ms of CPU time in %lld ms", used_ms, passed_ms);

    for (int i = 0; i < served; i++)
        expect_pong(test, fds[i]);
    EXPECT(test, control, "+OK", "SET still served");
    for (int i = 0; i < served; i++)
        close(fds[i]);
    /* Those that waited are served, or were turned away; new ones are welcome in any case. */
    for (int i = 0; i < WAITING; i++)
        if (!connection_is_closed(waiting[i]))
            expect_pong(test, waiting[i]);
    expect_pong(test, connection_open(test, server->port));
    redisFree(control);
}

static void ten_thousand_idle_connections_do_not_hinder_one_that_works(struct test *test) {
    enum { CLIENTS = 10000, SPARE = 200 };
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    int clients = limit.rlim_cur > CLIENTS + SPARE ? CLIENTS : (int)limit.rlim_cur - SPARE;
    CHECK_RANGE(test, clients, 500, CLIENTS);
    char maxclients[16];
    snprintf(maxclients, sizeof(maxclients), "%d", clients + 100);
    struct server *server = server_start(test, WORDS("--maxclients", maxclients));
    redisContext *control = client_open(test, server->port);
    client_wait_alone(test, control);
    long long before_bytes = process_rss_bytes(test, server->pid);
    int *fds = malloc((size_t)clients * sizeof(int));
    CHECK(test, fds != NULL);
    for (int i = 0; i < clients; i++)
        fds[i] = connection_open(test, server->port);
    for (int i = 0; i < clients; i++)
        connection_send_text(test, fds[i], "PING\r\n");
    for (int i = 0; i < clients; i++)
        connection_expect(test, fds[i], "+PONG\r\n");
    CHECK_EQUAL(test, client_info(test, control, "connected_clients"), clients + 1);
    CHECK(test, process_grew_at_most(test, server->pid, before_bytes, clients * 32768LL));
    long long begin_cpu_ms = process_cpu_ms(test, server->pid), begin_ms = now_ms();
    for (int i = 0; i < 1000; i++)
        EXPECT(test, control, "+PONG", "PING");
    CHECK_RANGE(test, now_ms() - begin_ms, 0, 5000);
    CHECK_RANGE(test, process_cpu_ms(test, server->pid) - begin_cpu_ms, 0, 1000);
    for (int i = 0; i < clients; i++)
        close(fds[i]);
    client_wait_alone(test, control);
    free(fds);
    redisFree(control);
}

static void a_storm_of_5000_short_connections_leaves_nothing_behind(struct test *test) {
    enum { CONNECTIONS = 5000 };
    struct server *server = server_start(test, WORDS());
    redisContext *control = client_open(test, server->port);
    client_wait_alone(test, control);
    int descriptors = process_descriptors(test, server->pid);
    long long before_bytes = process_rss_bytes(test, server->pid);
    for (int i = 0; i < CONNECTIONS; i++) {
        int fd = connection_open(test, server->port);
        switch (i % 5) {
        case 0: close(fd); break;
        case 1: connection_reset(fd); break;
        case 2:
            connection_send_text(test, fd, "PING\r\n");
            connection_reset(fd);
            break;
        case 3:
            connection_send_text(test, fd, "*2\r\n$3\r\nGET\r\n$1000\r\n");
            close(fd);
            break;
        default: expect_pong(test, fd); close(fd);
        }
    }
    client_wait_alone(test, control);
    EVENTUALLY(test, HARNESS_DEADLINE_MS, process_descriptors(test, server->pid) == descriptors);
    CHECK(test, process_grew_at_most(test, server->pid, before_bytes, 16 << 20));
    redisFree(control);
}

static void fifty_clients_with_long_pipelines_are_all_served(struct test *test) {
    enum { CLIENTS = 50, ROUNDS = 20, BATCH = 500 };
    struct server *server = server_start(test, WORDS());
    int fds[CLIENTS];
    char request[64], *batch = malloc(BATCH * 64), *replies = malloc(BATCH * 16),
                      *wanted = malloc(BATCH * 16);
    CHECK(test, batch && replies && wanted);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = connection_open(test, server->port);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            size_t size_bytes = 0;
            snprintf(request, sizeof(request), "INCR counter:%d\r\n", i);
            for (int j = 0; j < BATCH; j++)
                size_bytes += (size_t)sprintf(batch + size_bytes, "%s", request);
            connection_send(test, fds[i], batch, size_bytes);
        }
        size_t size_bytes = 0;
        for (int j = 0; j < BATCH; j++)
            size_bytes += (size_t)sprintf(wanted + size_bytes, ":%d\r\n", round * BATCH + j + 1);
        for (int i = 0; i < CLIENTS; i++) {
            connection_receive(test, fds[i], replies, size_bytes);
            CHECK(test, memcmp(replies, wanted, size_bytes) == 0);
        }
    }
    free(batch), free(replies), free(wanted);
}

static const struct test_case cases[] = {
    TEST_CASE(a_client_that_never_reads_is_cut_at_its_output_limit_and_others_are_served),
    TEST_CASE(one_reply_beyond_the_output_limit_cuts_the_client),
    TEST_CASE(the_soft_output_limit_cuts_a_client_after_its_seconds),
    TEST_CASE(a_slow_reader_below_the_limit_gets_everything),
    TEST_CASE(the_server_does_not_spin_when_it_is_out_of_descriptors),
    TEST_CASE(ten_thousand_idle_connections_do_not_hinder_one_that_works),
    TEST_CASE(a_storm_of_5000_short_connections_leaves_nothing_behind),
    TEST_CASE(fifty_clients_with_long_pipelines_are_all_served),
    TEST_CASES_END,
};

const struct test_case *limit_tests(void) {
    return cases;
}
