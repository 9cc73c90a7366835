/* server.c - the loop: accept, read, let the node work, write.
 *
 * A readable connection is read once, its requests are executed and their replies are written at once, before the next
 * connection is looked at: the bytes are still in the first caches, and nobody waits for others' requests.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "server/server.h"

#include "cluster/secret.h"
#include "node/persistence.h"
#include "node/release.h"
#include "os/allocator.h"
#include "os/clock.h"
#include "os/entropy.h"
#include "os/process.h"
#include "os/signals.h"
#include "os/stream.h"
#include "server/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* Connections taken per turn and listener: a storm of them must not hold up those that are there. */
#define ACCEPTS_PER_TURN 256
/* Out of descriptors: so long nobody is accepted, unless a connection is closed meanwhile. */
#define LISTEN_AGAIN_NS UINT64_C(100000000)
/* Keys are loaded before the first client is let in, unless it takes longer than this; then clients are told that they are
 * being loaded. */
#define LOAD_ALONE_NS UINT64_C(500000000)
/* What clients' commands ask of peers, and peers' answers raise for clients, goes back and forth so often in one turn. */
#define SETTLE_ROUNDS 4

static void connection_close(struct server *server, struct connection *connection) {
    int fd = connection->source.fd;
    if (connection->session != NULL)
        node_close(server->node, connection->session);
    loop_remove(server->loop, &connection->source);
    stream_finish(fd);
    mem_free(&server->options->mem, connection, sizeof *connection);
    if (!server->is_listening)
        server_resume_listening(server);
}

/* Sends what there is; false: the connection is gone and closed. */
static bool connection_flush(struct server *server, struct connection *connection) {
    struct node_span span = node_output(server->node, connection->session);
    if (span.size == 0)
        return true;
    size_t sent;
    enum stream_result result = stream_write(connection->source.fd, span.data, span.size, &sent);
    node_sent(server->node, connection->session, sent);
    if (LIKELY(result == STREAM_DONE || result == STREAM_AGAIN))
        return true;
    connection_close(server, connection);
    return false;
}

/* After anything happened to a session: sends, closes, or waits for what it needs. */
static void connection_settle(struct server *server, struct connection *connection) {
    if (!connection_flush(server, connection))
        return;
    struct session *session = connection->session;
    if (UNLIKELY(node_wants_close(session))) {
        connection_close(server, connection);
        return;
    }
    uint32_t wanted = node_wants_read(server->node, session) ? LOOP_READ : 0;
    if (UNLIKELY(node_wants_write(session)))
        wanted |= LOOP_WRITE;
    loop_change(server->loop, &connection->source, wanted);
}

static void connection_ready(struct server *server, struct connection *connection, uint32_t ready) {
    if (LIKELY(ready & LOOP_READ)) {
        struct node_span span = node_input_space(server->node, connection->session);
        if (LIKELY(span.size != 0)) {
            size_t size;
            enum stream_result result = stream_read(connection->source.fd, span.data, span.size, &size);
            if (LIKELY(result == STREAM_DONE)) {
                node_input(server->node, connection->session, size);
            } else if (result != STREAM_AGAIN) {
                connection_close(server, connection);
                return;
            }
        }
    } else if (ready & LOOP_HANGUP) {
        connection_close(server, connection);
        return;
    }
    connection_settle(server, connection);
}

static void connection_open(struct server *server, int fd, const struct address *peer, bool is_cluster_view) {
    struct connection *connection = mem_alloc_zeroed(&server->options->mem, sizeof *connection);
    if (connection == NULL ||
        !loop_add(server->loop, &connection->source, fd, SOURCE_CONNECTION, LOOP_READ)) {
        mem_free(&server->options->mem, connection, sizeof *connection);
        stream_close(fd);
        return;
    }
    struct address local;
    char peer_text[ADDRESS_PRINT_SIZE], local_text[ADDRESS_PRINT_SIZE] = "";
    address_print(peer, peer_text);
    if (stream_local(fd, &local))
        address_print(&local, local_text);
    bool is_unix = peer->kind == ADDRESS_UNIX;
    if (!is_unix) {
        stream_set_no_delay(fd);
        if (server->config->tcp_keepalive_s != 0)
            stream_set_keepalive(fd, server->config->tcp_keepalive_s);
    }
    struct node_client client = {.owner = connection,
                                 .descriptor = fd,
                                 .is_unix_socket = is_unix,
                                 .is_loopback = peer->loopback,
                                 .peer_address = is_unix ? local_text : peer_text,
                                 .local_address = local_text,
                                 .is_cluster_view = is_cluster_view};
    connection->session = node_accept(server->node, &client);
    if (connection->session == NULL)
        connection_close(server, connection);
}

static void accept_some(struct server *server, struct loop_source *listener) {
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd;
        struct address peer;
        switch (listener_accept(listener->fd, &fd, &peer)) {
        case LISTENER_ACCEPTED:
            if (listener->kind == SOURCE_PEER_LISTENER)
                links_accept(server, fd);
            else
                connection_open(server, fd, &peer, listener->kind == SOURCE_CLUSTER_LISTENER);
            break;
        case LISTENER_EMPTY: return;
        case LISTENER_EXHAUSTED:
            server_log(server, NODE_LOG_WARNING,
                       "Out of file descriptors: no new connections until some are closed");
            server_pause_listening(server, LISTEN_AGAIN_NS);
            return;
        case LISTENER_FAILED:
            server_log(server, NODE_LOG_WARNING, "Accepting connections failed: %s", strerror(errno));
            return;
        }
    }
}

static void signal_came(struct server *server) {
    for (;;) {
        switch (signals_read(server->signals.fd)) {
        case SIGNALS_NONE: return;
        case SIGNALS_INTERRUPT:
            if (server->interrupted) {
                server_log(server, NODE_LOG_WARNING, "Interrupted twice: exiting at once");
                exit(1);
            }
            server->interrupted = true;
            server_log(server, NODE_LOG_WARNING, "Received SIGINT, shutting down");
            node_stop(server->node, NODE_STOP_DEFAULT);
            break;
        case SIGNALS_TERMINATE:
            server_log(server, NODE_LOG_WARNING, "Received SIGTERM, shutting down");
            node_stop(server->node, NODE_STOP_DEFAULT);
            break;
        }
    }
}

static bool is_supervised(const struct config *config) {
    return strcmp(config->supervised, "systemd") == 0 || strcmp(config->supervised, "auto") == 0;
}

/* Returns whether there was any. */
static bool settle_attention(struct server *server) {
    struct session *session;
    bool is_any = false;
    while ((session = node_attention(server->node)) != NULL) {
        connection_settle(server, session->owner);
        is_any = true;
    }
    return is_any;
}

/* What clients have asked of peers leaves in this turn; what that raises for clients (a link that is closed, say) is
 * settled at once, and may ask peers again. Returns whether something is left. */
static bool settle_with_peers(struct server *server) {
    settle_attention(server);
    if (server->resolver == NULL)
        return false;
    for (unsigned round = 0; round < SETTLE_ROUNDS; round++) {
        links_settle(server);
        if (!settle_attention(server))
            return false;
    }
    return true;
}

/* Says that the keys are there and commands are served, once. */
static void announce_ready(struct server *server) {
    const struct config *config = server->config;
    struct persistence_report report;
    persistence_report(server->node, &report);
    if (report.loading || node_shutdown_wish(server->node) != NODE_RUNNING)
        return;
    server->is_ready = true;
    if (!server->is_listening)
        server_resume_listening(server);
    if (config->port != 0)
        server_log(server, NODE_LOG_NOTICE, "Ready to accept connections on port %u", config->port);
    if (server->unixsocket[0] != '\0')
        server_log(server, NODE_LOG_NOTICE, "Ready to accept connections at %s", server->unixsocket);
    if (config->cluster_enabled)
        server_log(server, NODE_LOG_NOTICE,
                   "Ready to accept cluster clients on port %u, and other nodes at %s port %u",
                   server->listening.ports[PORT_CLUSTER], server->host_name,
                   server->listening.ports[PORT_PEERS]);
    if (is_supervised(config))
        process_notify("STATUS=Ready to accept connections\nREADY=1\n");
}

static void event_came(struct server *server, const struct loop_event *event) {
    switch ((enum source_kind)event->source->kind) {
    case SOURCE_LISTENER:
    case SOURCE_CLUSTER_LISTENER:
    case SOURCE_PEER_LISTENER: accept_some(server, event->source); break;
    case SOURCE_SIGNALS: signal_came(server); break;
    case SOURCE_WORKER: worker_collect(server->worker); break;
    case SOURCE_CONNECTION:
        connection_ready(server, (struct connection *)(void *)event->source, event->ready);
        break;
    case SOURCE_PEER: links_ready(server, event->source, event->ready); break;
    case SOURCE_CALL: calls_ready(server, event->source, event->ready); break;
    case SOURCE_RESOLVER: calls_resolved(server); break;
    }
}

static void serve(struct server *server) {
    uint32_t wait_ms = 0;
    server_pause_listening(server, LOAD_ALONE_NS);
    while (node_shutdown_wish(server->node) == NODE_RUNNING) {
        loop_wait(server->loop, (int)wait_ms);
        server->now_ns = clock_monotonic_ns();
        node_turn(server->node, server->now_ns, clock_wall_us());
        struct loop_event event;
        while (loop_next(server->loop, &event)) {
            if (LIKELY(event.source->kind == SOURCE_CONNECTION))
                connection_ready(server, (struct connection *)(void *)event.source, event.ready);
            else
                event_came(server, &event);
        }
        settle_attention(server);
        wait_ms = node_work(server->node);
        if (server->resolver != NULL)
            wait_ms = calls_work(server, wait_ms);
        if (settle_with_peers(server))
            wait_ms = 0;
        if (!server->is_listening && server->now_ns >= server->listen_again_ns)
            server_resume_listening(server);
        if (UNLIKELY(!server->is_ready))
            announce_ready(server);
    }
}

/* The hash of keys is the same on all nodes of a cluster, and known to nobody else. */
static bool choose_seeds(const struct config *config, struct node_options *options) {
    if (config->cluster_enabled)
        secret_hash_seed(config->cluster_secret, options->hash_seed);
    else if (!entropy_fill(options->hash_seed, sizeof options->hash_seed))
        return false;
    return entropy_fill(&options->random_seed, sizeof options->random_seed) &&
           entropy_fill(options->run_id, sizeof options->run_id);
}

static bool make_node(struct server *server) {
    struct node_host host;
    host_fill(&host, server);
    struct node_options options = {.mem = &server->options->mem,
                                   .host = &host,
                                   .config = server->config,
                                   .identity = &server->identity,
                                   .start_empty = server->options->start_empty,
                                   .host_name = server->host_name,
                                   .monotonic_ns = clock_monotonic_ns(),
                                   .wall_us = clock_wall_us()};
    if (!choose_seeds(server->config, &options)) {
        server_log(server, NODE_LOG_WARNING, "The system gives no random bytes: %s", strerror(errno));
        return false;
    }
    server->node = node_new(&options);
    return server->node != NULL;
}

/* Syslog facilities by the names that redis.conf uses. */
static int syslog_facility(const char *name) {
    static const struct {
        const char *name;
        int facility;
    } facilities[] = {{"user", LOG_USER},     {"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1},
                      {"local2", LOG_LOCAL2}, {"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4},
                      {"local5", LOG_LOCAL5}, {"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7}};
    for (size_t i = 0; i < sizeof facilities / sizeof *facilities; i++)
        if (strcasecmp(name, facilities[i].name) == 0)
            return facilities[i].facility;
    return LOG_LOCAL0;
}

static bool open_log(struct server *server) {
    const struct config *config = server->config;
    snprintf(server->logfile, sizeof server->logfile, "%s", config->logfile);
    snprintf(server->syslog_ident, sizeof server->syslog_ident, "%s", config->syslog_ident);
    struct log_sink_options options = {.path = server->logfile,
                                       .system_log = config->syslog_enabled,
                                       .system_ident = server->syslog_ident,
                                       .system_facility = syslog_facility(config->syslog_facility)};
    if (log_sink_init(&server->log, &options))
        return true;
    fprintf(stderr, "Can't open the log file '%s': %s\n", config->logfile, strerror(errno));
    return false;
}

/* Everything that can fail at the start, in the order in which users expect its errors. */
static bool start(struct server *server) {
    struct config *config = server->config;
    char error[LISTENER_ERROR_SIZE] = "";
    uint64_t others = server_other_descriptors(config), wanted_files = config->maxclients + others;
    uint64_t files = process_raise_open_files(wanted_files);
    if (files < wanted_files && files > others) {
        config->maxclients = (uint32_t)(files - others);
        server_log(server, NODE_LOG_WARNING, "The system allows %llu open files: maxclients is %u now",
                   (unsigned long long)files, config->maxclients);
    }
    server->loop = loop_new(&server->options->mem);
    int signals = signals_open();
    if (server->loop == NULL || signals < 0 ||
        !loop_add(server->loop, &server->signals, signals, SOURCE_SIGNALS, LOOP_READ)) {
        server_log(server, NODE_LOG_WARNING, "Can't set up the event loop: %s", strerror(errno));
        return false;
    }
    disk_init(&server->disk);
    server->worker = worker_new(&server->options->mem);
    if (server->worker == NULL || !loop_add(server->loop, &server->worker_source, worker_fd(server->worker),
                                            SOURCE_WORKER, LOOP_READ)) {
        server_log(server, NODE_LOG_WARNING, "Can't set up the helper thread: %s", strerror(errno));
        return false;
    }
    if (!server_listen(server, error)) {
        server_log(server, NODE_LOG_WARNING, "Failed listening on port %u (tcp): %s, aborting.", config->port,
                   error);
        return false;
    }
    if (config->cluster_enabled) {
        server_find_host_name(server);
        if (!calls_begin(server)) {
            server_log(server, NODE_LOG_WARNING, "Can't set up calls to other nodes: %s", strerror(errno));
            return false;
        }
    }
    if (!server_take_identity(server))
        return false;
    if (!make_node(server)) {
        server_log(server, NODE_LOG_WARNING, "Out of memory at the start");
        return false;
    }
    return true;
}

/* What the config module had to say about accepted settings, a line each. */
static void log_warnings(struct server *server) {
    struct buffer *warnings = &server->config->warnings;
    for (size_t begin = 0; begin < warnings->size;) {
        const uint8_t *line = warnings->data + begin;
        const uint8_t *end = memchr(line, '\n', warnings->size - begin);
        size_t size = end == NULL ? warnings->size - begin : (size_t)(end - line);
        server_log(server, NODE_LOG_WARNING, "%.*s", (int)size, (const char *)line);
        begin += size + 1;
    }
    buffer_clear(warnings);
}

static void announce(struct server *server) {
    const struct config *config = server->config;
    server_log(server, NODE_LOG_NOTICE, "redis-kv %s started, pid %u", REDIS_KV_VERSION, process_id());
    if (server->options->config_path[0] == '\0')
        server_log(server, NODE_LOG_NOTICE, "No config file was given: the defaults hold");
    log_warnings(server);
    if (config->pidfile[0] != '\0' && !process_write_pid_file(config->pidfile))
        server_log(server, NODE_LOG_WARNING, "Can't write the pid file '%s': %s", config->pidfile,
                   strerror(errno));
}

static void close_connections(struct server *server) {
    struct session *session;
    while (server->node != NULL && (session = node_first_session(server->node)) != NULL)
        connection_close(server, session->owner);
}

static void stop(struct server *server) {
    if (server->node != NULL && is_supervised(server->config))
        process_notify("STOPPING=1\n");
    if (server->loop != NULL) {
        server_stop_listening(server);
        close_connections(server);
        if (server->node != NULL)
            links_close_all(server);
        calls_end(server);
        if (server->signals.fd > 0)
            signals_close(server->signals.fd);
    }
    while (server->node != NULL && !node_end(server->node))
        worker_finish(server->worker);
    if (server->config->pidfile[0] != '\0')
        process_remove_pid_file(server->config->pidfile);
    server_log(server, NODE_LOG_NOTICE, "redis-kv is now ready to exit, bye bye...");
#ifdef __SANITIZE_ADDRESS__
    /* So that a record that nobody holds any more is found out. */
    if (server->node != NULL)
        node_free(server->node);
    server->node = NULL;
#else
    /* The keyspace is not taken apart: the system takes the memory back at once. */
#endif
    worker_free(server->worker);
    identity_release(&server->identity, &server->disk);
    loop_free(server->loop);
    log_sink_release(&server->log);
}

/* Relative names start from `dir`; from here on it is told whole, as CONFIG GET shows it. */
static bool enter_folder(struct config *config) {
    if (config->dir[0] != '\0' && !process_enter_folder(config->dir)) {
        fprintf(stderr, "Can't change to the folder '%s': %s\n", config->dir, strerror(errno));
        return false;
    }
    char folder[4096];
    process_folder(folder, sizeof folder);
    if (folder[0] == '\0' || config_replace_text(config, &config->dir, folder))
        return true;
    fputs("Out of memory at the start\n", stderr);
    return false;
}

static bool run(struct server *server) {
    if (!open_log(server))
        return false;
    allocator_set_up();
    if (server->config->jemalloc_background_thread && !allocator_set_background(true))
        server_log(server, NODE_LOG_WARNING, "The allocator has no thread of its own: %s", strerror(errno));
    bool is_fine = start(server);
    if (is_fine) {
        announce(server);
        serve(server);
        is_fine = node_shutdown_wish(server->node) != NODE_SHUTDOWN_REFUSED;
    }
    stop(server);
    return is_fine;
}

int server_run(struct options *options) {
    if (!enter_folder(&options->config))
        return 1;
    if (options->config.daemonize && !process_daemonize()) {
        fprintf(stderr, "Can't go into the background: %s\n", strerror(errno));
        return 1;
    }
    struct server *server = mem_alloc_zeroed(&options->mem, sizeof *server);
    if (server == NULL) {
        fputs("Out of memory at the start\n", stderr);
        return 1;
    }
    server->options = options;
    server->config = &options->config;
    server->unix_listener = -1;
    for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
        server->listeners[i].fd = -1;
    list_init(&server->calls);
    bool is_fine = run(server);
    mem_free(&options->mem, server, sizeof *server);
    return is_fine ? 0 : 1;
}
