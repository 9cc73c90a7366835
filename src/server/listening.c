/* listening.c - the sockets that clients and other nodes come in by.
 *
 * One port for clients; where the node is part of a cluster, also the cluster-port and the peer-port. All are opened on each address
 * of bind. CONFIG SET closes what is not wanted any more before it opens what is (an address cannot be listened on twice,
 * and `*` takes all of them); where that fails, what was there before is opened again.
 *
 * Tests: tests/server/ (listening, cluster ports).
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/clock.h"
#include "os/stream.h"
#include "server/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *setting;
    enum source_kind kind;
} purposes[PORT_PURPOSES] = {{"port", SOURCE_LISTENER},
                             {"cluster-port", SOURCE_CLUSTER_LISTENER},
                             {"peer-port", SOURCE_PEER_LISTENER}};

void server_resume_listening(struct server *server) {
    server->is_listening = true;
    for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
        if (server->listeners[i].fd >= 0)
            loop_change(server->loop, &server->listeners[i], LOOP_READ);
}

void server_pause_listening(struct server *server, uint64_t pause_ns) {
    server->is_listening = false;
    server->listen_again_ns = clock_monotonic_ns() + pause_ns;
    for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
        if (server->listeners[i].fd >= 0)
            loop_change(server->loop, &server->listeners[i], 0);
}

static void close_listener(struct server *server, struct loop_source *listener) {
    int fd = listener->fd;
    loop_remove(server->loop, listener);
    if (fd == server->unix_listener) {
        listener_remove_unix(server->unixsocket);
        server->unix_listener = -1;
    }
    stream_close(fd);
}

void server_stop_listening(struct server *server) {
    for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
        if (server->listeners[i].fd >= 0)
            close_listener(server, &server->listeners[i]);
}

/* Takes the descriptor, in any case. */
static bool add_listener(struct server *server, int fd, enum source_kind kind,
                         char error[LISTENER_ERROR_SIZE]) {
    size_t i = 0;
    while (i < SERVER_LISTENERS_MAX && server->listeners[i].fd >= 0)
        i++;
    if (i < SERVER_LISTENERS_MAX && loop_add(server->loop, &server->listeners[i], fd, kind, LOOP_READ))
        return true;
    if (i < SERVER_LISTENERS_MAX)
        server->listeners[i].fd = -1;
    snprintf(error, LISTENER_ERROR_SIZE, "can't watch a listening socket: %s", strerror(errno));
    stream_close(fd);
    return false;
}

/* Opens one port on all addresses: all of it or nothing. */
static bool open_port(struct server *server, const struct listening *listening, enum port_purpose purpose,
                      char error[LISTENER_ERROR_SIZE]) {
    const char *addresses[CONFIG_BIND_MAX];
    int fds[CONFIG_BIND_MAX];
    size_t count = 0;
    for (uint32_t i = 0; i < listening->bind_count; i++)
        addresses[i] = listening->bind[i];
    if (listening->ports[purpose] == 0)
        return true;
    if (!listener_open_tcp(addresses, listening->bind_count, (uint16_t)listening->ports[purpose],
                           (int)server->config->tcp_backlog, fds, &count, error))
        return false;
    bool is_fine = true;
    for (size_t i = 0; i < count; i++) {
        if (is_fine)
            is_fine = add_listener(server, fds[i], purposes[purpose].kind, error);
        else
            stream_close(fds[i]);
    }
    return is_fine;
}

static void close_port(struct server *server, enum port_purpose purpose) {
    for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++) {
        struct loop_source *listener = &server->listeners[i];
        if (listener->fd >= 0 && listener->fd != server->unix_listener &&
            listener->kind == purposes[purpose].kind)
            close_listener(server, listener);
    }
}

/* Opens those of the ports that are marked. */
static bool open_ports(struct server *server, const struct listening *listening,
                       const bool wanted[PORT_PURPOSES], char error[LISTENER_ERROR_SIZE]) {
    for (unsigned purpose = 0; purpose < PORT_PURPOSES; purpose++)
        if (wanted[purpose] && !open_port(server, listening, purpose, error))
            return false;
    return true;
}

static void close_ports(struct server *server, const bool unwanted[PORT_PURPOSES]) {
    for (unsigned purpose = 0; purpose < PORT_PURPOSES; purpose++)
        if (unwanted[purpose])
            close_port(server, purpose);
}

/* The ports of a cluster's node, where they fit. */
static bool read_cluster_ports(const struct config *config, uint32_t ports[PORT_PURPOSES],
                               char error[LISTENER_ERROR_SIZE]) {
    ports[PORT_CLUSTER] = config_cluster_port(config);
    ports[PORT_PEERS] = config_peer_port(config);
    for (unsigned i = PORT_CLUSTER; i < PORT_PURPOSES; i++) {
        if (ports[i] == 0) {
            snprintf(error, LISTENER_ERROR_SIZE,
                     "cluster-enabled needs a %s, and %u (port) + %u is none: set %s", purposes[i].setting,
                     config->port, i == PORT_CLUSTER ? 5000 : 10000, purposes[i].setting);
            return false;
        }
        for (unsigned k = 0; k < i; k++) {
            if (ports[k] != ports[i])
                continue;
            snprintf(error, LISTENER_ERROR_SIZE, "%s and %s are the same port, %u", purposes[k].setting,
                     purposes[i].setting, ports[i]);
            return false;
        }
    }
    return true;
}

static bool read_settings(const struct config *config, struct listening *listening,
                          char error[LISTENER_ERROR_SIZE]) {
    memset(listening, 0, sizeof *listening);
    listening->bind_count = config->bind_count;
    for (uint32_t i = 0; i < config->bind_count; i++)
        snprintf(listening->bind[i], sizeof listening->bind[i], "%s", config->bind[i]);
    listening->ports[PORT_CLIENTS] = config->port;
    return !config->cluster_enabled || read_cluster_ports(config, listening->ports, error);
}

/* Whoever reaches the peer port and needs no secret can read and write everything. */
static bool peers_are_safe(const struct server *server, char error[LISTENER_ERROR_SIZE]) {
    if (server->config->cluster_secret[0] != '\0')
        return true;
    for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++) {
        const struct loop_source *listener = &server->listeners[i];
        struct address address;
        if (listener->fd < 0 || listener->kind != SOURCE_PEER_LISTENER ||
            (stream_local(listener->fd, &address) && address.loopback))
            continue;
        snprintf(error, LISTENER_ERROR_SIZE,
                 "peer-port %u is open to other machines (bind %.60s) and there is no cluster-secret: set "
                 "cluster-secret, or bind to the loopback alone",
                 server->listening.ports[PORT_PEERS], address.text);
        return false;
    }
    return true;
}

static bool open_unix_listener(struct server *server, char error[LISTENER_ERROR_SIZE]) {
    const struct config *config = server->config;
    if (config->unixsocket[0] == '\0' || server->unix_listener >= 0)
        return true;
    snprintf(server->unixsocket, sizeof server->unixsocket, "%.*s", (int)sizeof server->unixsocket - 1,
             config->unixsocket);
    int fd = listener_open_unix(server->unixsocket, config->unixsocketperm, (int)config->tcp_backlog, error);
    if (fd < 0)
        return false;
    if (!add_listener(server, fd, SOURCE_LISTENER, error)) {
        listener_remove_unix(server->unixsocket);
        return false;
    }
    server->unix_listener = fd;
    return true;
}

static bool binds_are_equal(const struct listening *first, const struct listening *second) {
    if (first->bind_count != second->bind_count)
        return false;
    for (uint32_t i = 0; i < first->bind_count; i++)
        if (strcmp(first->bind[i], second->bind[i]) != 0)
            return false;
    return true;
}

bool server_listen(struct server *server, char error[LISTENER_ERROR_SIZE]) {
    struct listening wanted, before = server->listening;
    bool changes[PORT_PURPOSES];
    if (!read_settings(server->config, &wanted, error))
        return false;
    bool is_rebound = !binds_are_equal(&wanted, &before);
    for (unsigned purpose = 0; purpose < PORT_PURPOSES; purpose++)
        changes[purpose] = is_rebound || wanted.ports[purpose] != before.ports[purpose];
    close_ports(server, changes);
    server->listening = wanted;
    if (open_ports(server, &wanted, changes, error) && peers_are_safe(server, error) &&
        open_unix_listener(server, error)) {
        server_resume_listening(server);
        return true;
    }
    char ignored[LISTENER_ERROR_SIZE];
    close_ports(server, changes);
    server->listening = before;
    if (!open_ports(server, &before, changes, ignored))
        server_log(server, NODE_LOG_WARNING, "What was listened on before cannot be opened again: %s",
                   ignored);
    return false;
}

void server_find_host_name(struct server *server) {
    bool is_found = false;
    snprintf(server->host_name, sizeof server->host_name, "127.0.0.1");
    for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++) {
        const struct loop_source *listener = &server->listeners[i];
        struct address address;
        if (listener->fd < 0 || listener->kind != SOURCE_PEER_LISTENER ||
            !stream_local(listener->fd, &address) ||
            (address_is_wildcard(&address) && !address_of_machine(&address)) ||
            (address.loopback && is_found))
            continue;
        snprintf(server->host_name, sizeof server->host_name, "%s", address.text);
        is_found = true;
        if (!address.loopback)
            return;
    }
}
