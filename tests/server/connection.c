/*
 * connection.c - exact bytes over sockets, and commands with hiredis; see connection.h.
 *
 * May touch: sockets.
 * Must never know: what is tested.
 * Invariants: see connection.h.
 * Tests: see connection.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { TEXT_BYTES = 4096 };

/* ---- Exact bytes ---- */

static int connect_to(const struct sockaddr *address, socklen_t size_bytes) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    struct timeval limit = {.tv_sec = HARNESS_DEADLINE_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (address->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(fd, address, size_bytes) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

int connection_try_to(const char *address, int port) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
        return connect_to((struct sockaddr *)&v4, sizeof(v4));
    if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1)
        return connect_to((struct sockaddr *)&v6, sizeof(v6));
    errno = EINVAL;
    return -1;
}

int connection_try(int port) {
    return connection_try_to("127.0.0.1", port);
}

int connection_open_to(struct test *test, const char *address, int port) {
    int fd = connection_try_to(address, port);
    if (fd < 0)
        FAIL(test, "cannot connect to %s port %d: %s", address, port, strerror(errno));
    return fd;
}

int connection_open(struct test *test, int port) {
    return connection_open_to(test, "127.0.0.1", port);
}

int connection_open_unix(struct test *test, const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CHECK(test, strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = connect_to((struct sockaddr *)&address, sizeof(address));
    if (fd < 0)
        FAIL(test, "cannot connect to %s: %s", path, strerror(errno));
    return fd;
}

void connection_send(struct test *test, int fd, const char *bytes, size_t size_bytes) {
    while (size_bytes > 0) {
        ssize_t sent = send(fd, bytes, size_bytes, MSG_NOSIGNAL);
        if (sent <= 0)
            FAIL(test, "cannot send %zu more bytes: %s", size_bytes, strerror(errno));
        bytes += sent;
        size_bytes -= (size_t)sent;
    }
}

void connection_send_text(struct test *test, int fd, const char *text) {
    connection_send(test, fd, text, strlen(text));
}

void connection_receive(struct test *test, int fd, char *bytes, size_t size_bytes) {
    size_t got_bytes = 0;
    while (got_bytes < size_bytes) {
        ssize_t got = recv(fd, bytes + got_bytes, size_bytes - got_bytes, 0);
        if (got <= 0)
            FAIL(test, "%s after %zu of %zu bytes", got == 0 ? "closed" : strerror(errno), got_bytes,
                 size_bytes);
        got_bytes += (size_t)got;
    }
}

void connection_expect(struct test *test, int fd, const char *text) {
    size_t size_bytes = strlen(text), got_bytes = 0;
    char got[TEXT_BYTES + 1];
    CHECK(test, size_bytes <= TEXT_BYTES);
    while (got_bytes < size_bytes) {
        ssize_t more = recv(fd, got + got_bytes, size_bytes - got_bytes, 0);
        int reason = errno;
        if (more > 0)
            got_bytes += (size_t)more;
        got[got_bytes] = '\0';
        if (more <= 0 || memcmp(got, text, got_bytes) != 0)
            FAIL(test, "wanted \"%s\", got \"%s\"%s%s", text, got, more <= 0 ? ", then " : "",
                 more > 0    ? ""
                 : more == 0 ? "the end"
                             : strerror(reason));
    }
}

const char *connection_line(struct test *test, int fd, char *line, size_t size_bytes) {
    size_t length = 0;
    for (;;) {
        CHECK(test, length + 1 < size_bytes);
        connection_receive(test, fd, line + length, 1);
        length++;
        if (length >= 2 && line[length - 2] == '\r' && line[length - 1] == '\n') {
            line[length - 2] = '\0';
            return line;
        }
    }
}

const char *connection_until_closed(struct test *test, int fd, char *text, size_t size_bytes) {
    char chunk[TEXT_BYTES];
    size_t kept = 0;
    long long end_ms = now_ms() + HARNESS_DEADLINE_MS;
    for (;;) {
        ssize_t got = recv(fd, chunk, sizeof(chunk), 0);
        if (got == 0 || (got < 0 && (errno == ECONNRESET || errno == EPIPE)))
            break;
        if (got < 0 || now_ms() > end_ms)
            FAIL(test, "the server does not close the connection");
        size_t room = size_bytes - 1 - kept;
        size_t take = (size_t)got < room ? (size_t)got : room;
        memcpy(text + kept, chunk, take);
        kept += take;
    }
    text[kept] = '\0';
    return text;
}

bool connection_is_silent(int fd) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, 0) == 0;
}

bool connection_is_closed(int fd) {
    char byte;
    ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

void connection_reset(int fd) {
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    close(fd);
}

/* ---- Commands ---- */

redisContext *client_open(struct test *test, int port) {
    struct timeval limit = {.tv_sec = HARNESS_DEADLINE_MS / 1000};
    redisContext *client = redisConnectWithTimeout("127.0.0.1", port, limit);
    if (!client || client->err)
        FAIL(test, "cannot connect to port %d: %s", port, client ? client->errstr : "no memory");
    redisSetTimeout(client, limit);
    return client;
}

const char *client_reply_text(const redisReply *reply, char *text, size_t size_bytes) {
    size_t used = 0;
    switch (reply->type) {
    case REDIS_REPLY_STATUS: snprintf(text, size_bytes, "+%s", reply->str); break;
    case REDIS_REPLY_ERROR: snprintf(text, size_bytes, "-%s", reply->str); break;
    case REDIS_REPLY_INTEGER: snprintf(text, size_bytes, ":%lld", reply->integer); break;
    case REDIS_REPLY_STRING: snprintf(text, size_bytes, "\"%s\"", reply->str); break;
    case REDIS_REPLY_NIL: snprintf(text, size_bytes, "nil"); break;
    case REDIS_REPLY_ARRAY:
        snprintf(text, size_bytes, "[");
        /* Lists in lists are as deep as what the tests ask for: two levels. */
        for (size_t i = 0; i < reply->elements && strlen(text) + 3 < size_bytes; i++) {
            used = strlen(text);
            if (i > 0)
                used += (size_t)snprintf(text + used, size_bytes - used, ", ");
            client_reply_text(reply->element[i], text + used, size_bytes - used);
        }
        used = strlen(text);
        snprintf(text + used, size_bytes - used, "]");
        break;
    default: snprintf(text, size_bytes, "?"); break;
    }
    return text;
}

static redisReply *client_ask(struct test *test, redisContext *client, const char *format,
                              va_list arguments) {
    redisReply *reply = redisvCommand(client, format, arguments);
    if (!reply)
        FAIL(test, "no reply to \"%s\": %s", format, client->errstr);
    return reply;
}

void client_expect(struct test *test, const char *file, int line, redisContext *client, const char *wanted,
                   const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = client_ask(test, client, format, arguments);
    va_end(arguments);
    char text[TEXT_BYTES];
    client_reply_text(reply, text, sizeof(text));
    if (strcmp(text, wanted) != 0)
        test_fail(test, file, line, "the reply to \"%s\" is %s, not %s", format, text, wanted);
    freeReplyObject(reply);
}

long long client_integer(struct test *test, redisContext *client, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = client_ask(test, client, format, arguments);
    va_end(arguments);
    char text[TEXT_BYTES];
    if (reply->type != REDIS_REPLY_INTEGER && reply->type != REDIS_REPLY_STRING)
        FAIL(test, "the reply to \"%s\" is %s", format, client_reply_text(reply, text, sizeof(text)));
    long long value = reply->type == REDIS_REPLY_INTEGER ? reply->integer : atoll(reply->str);
    freeReplyObject(reply);
    return value;
}

char *client_text(struct test *test, redisContext *client, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = client_ask(test, client, format, arguments);
    va_end(arguments);
    char *text = NULL;
    if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS ||
        reply->type == REDIS_REPLY_ERROR) {
        text = strdup(reply->str);
    } else {
        text = malloc(TEXT_BYTES);
        if (text)
            client_reply_text(reply, text, TEXT_BYTES);
    }
    CHECK(test, text != NULL);
    freeReplyObject(reply);
    return text;
}

long long client_info(struct test *test, redisContext *client, const char *field) {
    char *text = client_text(test, client, "INFO everything");
    char start[64];
    snprintf(start, sizeof(start), "\n%s:", field);
    const char *line = strstr(text, start);
    if (!line)
        FAIL(test, "no %s in INFO", field);
    long long value = atoll(line + strlen(start));
    free(text);
    return value;
}

void client_wait_alone(struct test *test, redisContext *client) {
    /* Connections are accepted in the order in which they came: after this one, none is left to come. */
    int last = connection_open(test, client->tcp.port);
    connection_send_text(test, last, "PING\r\n");
    char line[128];
    connection_line(test, last, line, sizeof(line));
    close(last);
    EVENTUALLY(test, HARNESS_DEADLINE_MS, client_info(test, client, "connected_clients") == 1);
}
