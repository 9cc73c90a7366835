/* state.h - the inside of the server, shared by the files of this layer only.
 *
 * server.c has the loop and the clients' connections, listening.c the sockets that they come in by, links.c the connections
 * with other nodes, calls.c how they are made, host.c and identity.c what the node asks for.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SERVER_STATE_H
#define SERVER_STATE_H

#include "base/list.h"
#include "node/node.h"
#include "os/disk.h"
#include "os/listener.h"
#include "os/log_sink.h"
#include "os/loop.h"
#include "os/resolver.h"
#include "os/worker.h"
#include "server/options.h"

/* What connections that come to a TCP port are. */
enum port_purpose {
    PORT_CLIENTS, /* `port` */
    PORT_CLUSTER, /* cluster-port: clients that see a Redis Cluster */
    PORT_PEERS,   /* peer-port: other nodes */
    PORT_PURPOSES
};

/* Each address of bind on each port, and the unix socket. */
#define SERVER_LISTENERS_MAX (PORT_PURPOSES * CONFIG_BIND_MAX + 1)

/* The kinds of listeners are in the order of enum port_purpose. */
enum source_kind {
    SOURCE_LISTENER,
    SOURCE_CLUSTER_LISTENER,
    SOURCE_PEER_LISTENER,
    SOURCE_SIGNALS,
    SOURCE_WORKER,
    SOURCE_CONNECTION,
    SOURCE_PEER,
    SOURCE_CALL,
    SOURCE_RESOLVER
};

struct connection {
    struct loop_source source;
    struct session *session;
};

/* What is listened on over TCP, as it was asked for. */
struct listening {
    char bind[CONFIG_BIND_MAX][CONFIG_ADDRESS_SIZE_MAX + 1];
    uint32_t bind_count;
    uint32_t ports[PORT_PURPOSES]; /* 0: none */
};

struct server {
    struct options *options;
    struct config *config;
    struct loop *loop;
    struct node *node;
    uint64_t now_ns; /* when the turn began */
    struct log_sink log;
    char logfile[4096]; /* the log's own copies: CONFIG SET makes new texts */
    char syslog_ident[128];
    struct loop_source listeners[SERVER_LISTENERS_MAX]; /* fd -1: a free place */
    struct listening listening;
    bool is_listening;        /* false while out of descriptors */
    uint64_t listen_again_ns; /* then: when to try again */
    char unixsocket[108];     /* path of the unix listener, "" if there is none */
    int unix_listener;
    char host_name[ADDRESS_TEXT_SIZE]; /* the address by which other nodes reach this one */
    struct loop_source signals;
    struct worker *worker; /* runs what the node hands in as work */
    struct loop_source worker_source;
    struct disk disk;
    struct resolver *resolver; /* NULL where there is no cluster */
    struct loop_source resolver_source;
    struct list calls;         /* of struct call: connections that are being made */
    uint64_t next_call_due_ns; /* none of them is to be given up before */
    struct identity identity;  /* while there is a node, its work items may change it, on the helper thread */
    char home[4096];           /* the folder that the identity is kept in */
    bool keeps_identity;
    bool is_ready;    /* keys are loaded, and the world was told so */
    bool interrupted; /* SIGINT came once */
};

/* Fills in what a node asks of its world. */
void host_fill(struct node_host *host, struct server *server);

/* Finds out who this node is and says so in the log. false: it must not start, the log says why. */
bool server_take_identity(struct server *server);

/* CONFIG SET dir. false: the error says why not. */
bool server_move(struct server *server, char error[256]);

/* A log line of the server itself. */
void server_log(struct server *server, enum node_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Descriptors that are needed besides those of clients. */
uint64_t server_other_descriptors(const struct config *config);

/* ---- listening.c ---- */

/* Listens on what bind and the ports say now, and on the unix socket where it did not yet; false: the error says why, what was
 * listened on before still is. */
bool server_listen(struct server *server, char error[LISTENER_ERROR_SIZE]);
void server_stop_listening(struct server *server);
/* Nobody is accepted for a while, or until server_resume_listening(). */
void server_pause_listening(struct server *server, uint64_t pause_ns);
void server_resume_listening(struct server *server);
/* Finds out host_name: the first address that is listened on for other nodes and that other machines can use (where it listens on
 * all: the machine's own), else the first one. */
void server_find_host_name(struct server *server);

/* ---- links.c: connections with other nodes ---- */

/* A connection to the peer port. */
void links_accept(struct server *server, int fd);
/* A call of the node's that has been answered. */
void links_connected(struct server *server, int fd, uint64_t call_id);
void links_ready(struct server *server, struct loop_source *source, uint32_t ready);
/* Sends what the node has for its peers, and closes the links that it wants closed. */
void links_settle(struct server *server);
void links_close_all(struct server *server);

/* ---- calls.c: connections that are being made ---- */

bool calls_begin(struct server *server);
void calls_end(struct server *server);
/* Makes the calls that the node wants, gives up those that take too long. Returns wait_ms, or what is left until the next one is
 * to be given up, if that is less. */
uint32_t calls_work(struct server *server, uint32_t wait_ms);
/* A connection is there, or has failed. */
void calls_ready(struct server *server, struct loop_source *source, uint32_t ready);
/* Names have been resolved. */
void calls_resolved(struct server *server);

#endif
