/* links.c - connections with other nodes: whoever called, their bytes go to and from a link of the node's.
 *
 * Links are read as they become readable, and written once per turn, when everything that the turn has to tell is together.
 * An end that this node has not asked for is told to it as a reset: a process that is killed leaves nothing else behind.
 *
 * Tests: tests/server/, tests/cluster/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/stream.h"
#include "server/state.h"

#include <string.h>

/* A busy link is read so often before others are looked at. */
#define READS_PER_EVENT 4
/* So long bytes may stay unacknowledged, and so long after its last word a silent peer is asked for a sign of life. */
#define UNACKNOWLEDGED_MS 10000
#define KEEPALIVE_S       10

struct peer_connection {
    struct loop_source source; /* first: a connection is found by it */
    struct peer_link *link;
};

static void forget(struct server *server, struct peer_connection *connection) {
    int fd = connection->source.fd;
    loop_remove(server->loop, &connection->source);
    stream_finish(fd);
    mem_free(&server->options->mem, connection, sizeof *connection);
    if (!server->is_listening)
        server_resume_listening(server);
}

static void close_link(struct server *server, struct peer_connection *connection, bool was_reset) {
    node_peer_close(server->node, connection->link, was_reset);
    forget(server, connection);
}

/* The other end, or the way to it, has failed. What the node wanted to end anyway is no news. */
static void link_failed(struct server *server, struct peer_connection *connection,
                        enum stream_result result) {
    close_link(server, connection, result == STREAM_CLOSED && !node_peer_wants_close(connection->link));
}

/* Takes the descriptor. NULL: it is closed. */
static struct peer_connection *connection_new(struct server *server, int fd) {
    struct peer_connection *connection = mem_alloc_zeroed(&server->options->mem, sizeof *connection);
    if (connection == NULL || !loop_add(server->loop, &connection->source, fd, SOURCE_PEER, LOOP_READ)) {
        mem_free(&server->options->mem, connection, sizeof *connection);
        stream_close(fd);
        return NULL;
    }
    stream_set_no_delay(fd);
    stream_set_keepalive(fd, KEEPALIVE_S);
    stream_set_user_timeout(fd, UNACKNOWLEDGED_MS);
    return connection;
}

/* Who is at the other end, as the node wants to know it. The texts are kept in `texts`. */
static struct node_client introduce(struct peer_connection *connection, char texts[2][ADDRESS_PRINT_SIZE]) {
    struct address peer, local;
    stream_peer(connection->source.fd, &peer);
    stream_local(connection->source.fd, &local);
    address_print(&peer, texts[0]);
    address_print(&local, texts[1]);
    return (struct node_client){.owner = connection,
                                .descriptor = connection->source.fd,
                                .is_loopback = peer.loopback,
                                .peer_address = texts[0],
                                .local_address = texts[1]};
}

void links_accept(struct server *server, int fd) {
    char texts[2][ADDRESS_PRINT_SIZE];
    struct peer_connection *connection = connection_new(server, fd);
    if (connection == NULL)
        return;
    struct node_client client = introduce(connection, texts);
    connection->link = node_peer_accept(server->node, &client);
    if (connection->link == NULL)
        forget(server, connection);
}

void links_connected(struct server *server, int fd, uint64_t call_id) {
    char texts[2][ADDRESS_PRINT_SIZE];
    struct peer_connection *connection = connection_new(server, fd);
    if (connection == NULL) {
        node_call_failed(server->node, call_id, NODE_CALL_UNREACHABLE);
        return;
    }
    struct node_client client = introduce(connection, texts);
    connection->link = node_call_connected(server->node, call_id, &client);
    if (connection->link == NULL)
        forget(server, connection);
}

/* Waits for what the link needs. */
static void listen_to(struct server *server, struct peer_connection *connection) {
    uint32_t wanted = node_peer_space(server->node, connection->link).size != 0 ? LOOP_READ : 0;
    if (node_peer_wants_write(connection->link))
        wanted |= LOOP_WRITE;
    loop_change(server->loop, &connection->source, wanted);
}

/* Sends what there is, and closes where the node wants that. What the connection does not take now waits for it. */
static void settle(struct server *server, struct peer_connection *connection) {
    struct node_span span;
    while ((span = node_peer_output(server->node, connection->link)).size != 0) {
        size_t sent;
        enum stream_result result = stream_write(connection->source.fd, span.data, span.size, &sent);
        node_peer_sent(server->node, connection->link, sent);
        if (result != STREAM_DONE && result != STREAM_AGAIN) {
            link_failed(server, connection, result);
            return;
        }
        if (sent < span.size)
            break;
    }
    if (node_peer_wants_close(connection->link))
        close_link(server, connection, false);
    else
        listen_to(server, connection);
}

/* false: the connection is gone and closed. */
static bool read_some(struct server *server, struct peer_connection *connection) {
    for (unsigned i = 0; i < READS_PER_EVENT; i++) {
        struct node_span span = node_peer_space(server->node, connection->link);
        size_t size;
        if (span.size == 0)
            break;
        enum stream_result result = stream_read(connection->source.fd, span.data, span.size, &size);
        if (result == STREAM_AGAIN)
            break;
        if (result != STREAM_DONE) {
            link_failed(server, connection, result);
            return false;
        }
        node_peer_input(server->node, connection->link, size);
        if (size < span.size)
            break;
    }
    return true;
}

void links_ready(struct server *server, struct loop_source *source, uint32_t ready) {
    struct peer_connection *connection = (struct peer_connection *)(void *)source;
    if (ready & LOOP_READ) {
        if (!read_some(server, connection))
            return;
    } else if (ready & LOOP_HANGUP) {
        link_failed(server, connection, STREAM_CLOSED);
        return;
    }
    /* The answers wait for the end of the turn, unless earlier ones have been waiting for this moment. */
    if (ready & LOOP_WRITE)
        settle(server, connection);
    else
        listen_to(server, connection);
}

void links_settle(struct server *server) {
    struct peer_link *link;
    while ((link = node_peer_attention(server->node)) != NULL)
        settle(server, node_peer_owner(link));
}

void links_close_all(struct server *server) {
    struct peer_link *link;
    while ((link = node_first_peer(server->node)) != NULL)
        close_link(server, node_peer_owner(link), false);
}
