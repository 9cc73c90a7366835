/* load.c - a small load generator: keeps every connection busy with pipelines of one command, and counts replies.
 *
 * May touch: sockets and the clock (it is a tool, no part of the server), base/histogram. Must never know: how the server
 * works. utils/bench builds and calls it, where redis-benchmark itself would be what is measured.
 *
 * Usage: load PORT COMMAND [NAME=NUMBER...]
 *   COMMAND     get, set, incr or mset (random keys), or fill (SET of every key once, in order), or drain (DEL, the same)
 *   clients     connections (50)           pipeline    requests sent together on a connection (1; fill and drain: 200)
 *   keys        number of keys (1000000)   value       bytes of a value (64)
 *   pairs       keys of one mset (10)      ttl         seconds, for fill; 0: none (0)
 *   requests    how many in all (200000)   slot        1: all keys in one slot (0)
 * Keys are key:000000000000 and so on, {key}:000000000000 in one slot.
 * Prints one line of NAME=NUMBER pairs. The latency of a request is the time from the
 * send of its pipeline to the last reply of it. Exits with 1 where the server answers with an error or hangs up.
 *
 * Invariant: a connection has either nothing sent, or a whole pipeline whose replies are awaited.
 * Tests: utils/bench checks that the server has executed as many commands as this program counts.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/histogram.h"
#include "base/rng.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE   (64 * 1024)
#define EVENTS      64
#define FILL_BATCH  200
#define CLIENTS_MAX 10000
#define NUMBER_MAX  (1 << 30)

enum command { COMMAND_GET, COMMAND_SET, COMMAND_INCR, COMMAND_MSET, COMMAND_FILL, COMMAND_DRAIN };

static const char *const command_names[] = {"get", "set", "incr", "mset", "fill", "drain"};

struct connection {
    int fd;
    uint32_t awaited; /* replies of the pipeline on its way */
    uint64_t sent_ns; /* when it was sent */
    uint64_t skip;    /* bytes of a bulk string still to come */
    char header[32];  /* the reply's first line as far as it has come */
    uint32_t header_size;
};

struct load {
    enum command command;
    uint32_t port, clients, pipeline, keys, value, pairs, ttl, slot;
    uint64_t requests, sent, answered;
    struct rng random;
    char *text; /* the pipeline that is being sent */
    size_t capacity;
    char *fill; /* `value` bytes */
    int epoll;
    struct connection *connections;
    struct histogram latency_ns;
};

static void fail(const char *what) {
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t put_bulk(char *to, const char *data, size_t size) {
    size_t head = (size_t)sprintf(to, "$%zu\r\n", size);
    memcpy(to + head, data, size);
    memcpy(to + head + size, "\r\n", 2);
    return head + size + 2;
}

static size_t put_key(const struct load *load, char *to, uint64_t number) {
    char key[32];
    const char *format = load->slot ? "{key}:%012llu" : "key:%012llu";
    return put_bulk(to, key, (size_t)sprintf(key, format, (unsigned long long)number));
}

static bool is_in_order(const struct load *load) {
    return load->command == COMMAND_FILL || load->command == COMMAND_DRAIN;
}

/* One request at `to`; returns its size. */
static size_t put_request(struct load *load, char *to) {
    size_t size = 0;
    uint64_t key = is_in_order(load) ? load->sent : rng_below(&load->random, load->keys);
    switch (load->command) {
    case COMMAND_GET:
        size = (size_t)sprintf(to, "*2\r\n$3\r\nGET\r\n");
        return size + put_key(load, to + size, key);
    case COMMAND_DRAIN:
        size = (size_t)sprintf(to, "*2\r\n$3\r\nDEL\r\n");
        return size + put_key(load, to + size, key);
    case COMMAND_INCR:
        size = (size_t)sprintf(to, "*2\r\n$4\r\nINCR\r\n");
        return size + put_key(load, to + size, key);
    case COMMAND_SET:
        size = (size_t)sprintf(to, "*3\r\n$3\r\nSET\r\n");
        size += put_key(load, to + size, key);
        return size + put_bulk(to + size, load->fill, load->value);
    case COMMAND_MSET:
        size = (size_t)sprintf(to, "*%u\r\n$4\r\nMSET\r\n", 1 + 2 * load->pairs);
        for (uint32_t i = 0; i < load->pairs; i++) {
            size += put_key(load, to + size, rng_below(&load->random, load->keys));
            size += put_bulk(to + size, load->fill, load->value);
        }
        return size;
    case COMMAND_FILL:
        size = (size_t)sprintf(to, "*%d\r\n$3\r\nSET\r\n", load->ttl == 0 ? 3 : 5);
        size += put_key(load, to + size, key);
        size += put_bulk(to + size, load->fill, load->value);
        if (load->ttl != 0) {
            char seconds[16];
            size += put_bulk(to + size, "EX", 2);
            size += put_bulk(to + size, seconds, (size_t)sprintf(seconds, "%u", load->ttl));
        }
        return size;
    }
    return size;
}

/* Sends the next pipeline, if there is still something to ask. The socket takes it whole: nothing else is on its way. */
static void send_pipeline(struct load *load, struct connection *connection) {
    size_t size = 0;
    for (; connection->awaited < load->pipeline && load->sent < load->requests; load->sent++) {
        size += put_request(load, load->text + size);
        connection->awaited++;
    }
    connection->sent_ns = now_ns();
    for (size_t done = 0; done < size;) {
        ssize_t sent = send(connection->fd, load->text + done, size - done, MSG_NOSIGNAL);
        if (sent <= 0)
            fail("the server hangs up");
        done += (size_t)sent;
    }
}

/* A reply's first line is complete: what it says. */
static void take_header(struct load *load, struct connection *connection) {
    connection->header[connection->header_size] = '\0';
    if (connection->header[0] == '-')
        fail(connection->header);
    if (connection->header[0] == '$' && connection->header[1] != '-')
        connection->skip = strtoull(connection->header + 1, NULL, 10) + 2;
    else if (connection->header[0] != '+' && connection->header[0] != ':' && connection->header[0] != '$')
        fail("a reply that no such command has");
    connection->header_size = 0;
    connection->awaited--;
    load->answered++;
}

static void take(struct load *load, struct connection *connection, const char *data, size_t size) {
    for (size_t i = 0; i < size;) {
        if (connection->skip != 0) {
            size_t step = size - i < connection->skip ? size - i : (size_t)connection->skip;
            connection->skip -= step;
            i += step;
        } else if (connection->awaited == 0) {
            fail("a reply that nobody has asked for");
        } else if (data[i] == '\n') {
            take_header(load, connection);
            i++;
        } else {
            if (connection->header_size + 1 < sizeof connection->header)
                connection->header[connection->header_size++] = data[i];
            i++;
        }
    }
}

static void receive(struct load *load, struct connection *connection) {
    char data[READ_SIZE / 4];
    ssize_t size = recv(connection->fd, data, sizeof data, 0);
    if (size <= 0)
        fail("the server hangs up");
    take(load, connection, data, (size_t)size);
    if (connection->awaited != 0 || connection->skip != 0)
        return;
    histogram_record(&load->latency_ns, now_ns() - connection->sent_ns, load->pipeline);
    send_pipeline(load, connection);
}

static void connect_one(struct load *load, struct connection *connection) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("cannot connect");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        fail("epoll_ctl");
}

static void run(struct load *load) {
    struct epoll_event events[EVENTS];
    uint64_t started_ns = now_ns();
    for (uint32_t i = 0; i < load->clients; i++)
        send_pipeline(load, &load->connections[i]);
    while (load->answered < load->requests) {
        int count = epoll_wait(load->epoll, events, EVENTS, 30000);
        if (count <= 0)
            fail("no reply for 30 seconds");
        for (int i = 0; i < count; i++)
            receive(load, events[i].data.ptr);
    }
    double seconds = (double)(now_ns() - started_ns) / 1e9;
    printf("requests=%llu seconds=%.6f p50_ms=%.4f p99_ms=%.4f longest_ms=%.4f\n",
           (unsigned long long)load->answered, seconds,
           (double)histogram_percentile(&load->latency_ns, 50) / 1e6,
           (double)histogram_percentile(&load->latency_ns, 99) / 1e6,
           (double)histogram_percentile(&load->latency_ns, 100) / 1e6);
}

static void read_options(struct load *load, int argc, char **argv) {
    struct {
        const char *name;
        uint32_t *value;
    } options[] = {{"clients", &load->clients}, {"pipeline", &load->pipeline}, {"keys", &load->keys},
                   {"value", &load->value},     {"pairs", &load->pairs},       {"ttl", &load->ttl},
                   {"slot", &load->slot}};
    for (int i = 3; i < argc; i++) {
        char *end = strchr(argv[i], '=');
        size_t name_size = end == NULL ? 0 : (size_t)(end - argv[i]);
        unsigned long long number = end == NULL ? 0 : strtoull(end + 1, &end, 10);
        bool is_known = end != NULL && *end == '\0' && number < NUMBER_MAX;
        if (is_known && name_size == 8 && memcmp(argv[i], "requests", 8) == 0) {
            load->requests = number;
            continue;
        }
        uint32_t *value = NULL;
        for (size_t o = 0; o < sizeof options / sizeof *options; o++)
            if (strlen(options[o].name) == name_size && memcmp(options[o].name, argv[i], name_size) == 0)
                value = options[o].value;
        if (!is_known || value == NULL)
            fail("an argument that is not NAME=NUMBER");
        *value = (uint32_t)number;
    }
    if (load->clients == 0 || load->clients > CLIENTS_MAX || load->keys == 0)
        fail("a number is out of range");
}

static void prepare(struct load *load) {
    if (is_in_order(load))
        load->requests = load->keys;
    if (load->pipeline == 0)
        load->pipeline = is_in_order(load) ? FILL_BATCH : 1;
    size_t request = 64 + (size_t)(load->command == COMMAND_MSET ? load->pairs : 1) * (64 + load->value);
    load->text = malloc(request * load->pipeline);
    load->fill = malloc((size_t)load->value + 1);
    load->connections = calloc(load->clients, sizeof *load->connections);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load->text == NULL || load->fill == NULL || load->connections == NULL || load->epoll < 0)
        fail("no memory");
    memset(load->fill, 'x', load->value);
    for (uint32_t i = 0; i < load->clients; i++)
        connect_one(load, &load->connections[i]);
}

int main(int argc, char **argv) {
    static struct load load = {.clients = 50, .keys = 1000000, .value = 64, .pairs = 10};
    load.requests = 200000;
    size_t command = 0, commands = sizeof command_names / sizeof *command_names;
    while (argc > 2 && command < commands && strcmp(argv[2], command_names[command]) != 0)
        command++;
    if (argc < 3 || command == commands) {
        fprintf(stderr, "usage: load PORT get|set|incr|mset|fill|drain [NAME=NUMBER...]\n");
        return 2;
    }
    load.port = (uint32_t)strtoul(argv[1], NULL, 10);
    load.command = (enum command)command;
    read_options(&load, argc, argv);
    rng_init(&load.random, now_ns());
    prepare(&load);
    run(&load);
    return 0;
}
