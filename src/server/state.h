/* state.h - the inside of the server, shared by the files of this layer only.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SERVER_STATE_H
#define SERVER_STATE_H

#include "node/node.h"
#include "os/disk.h"
#include "os/listener.h"
#include "os/log_sink.h"
#include "os/loop.h"
#include "os/worker.h"
#include "server/options.h"

#define SERVER_LISTENERS_MAX (CONFIG_BIND_MAX + 1)

enum source_kind { SOURCE_LISTENER, SOURCE_SIGNALS, SOURCE_WORKER, SOURCE_CONNECTION };

struct connection {
    struct loop_source source;
    struct session *session;
};

struct server {
    struct options *options;
    struct config *config;
    struct loop *loop;
    struct node *node;
    struct log_sink log;
    char logfile[4096]; /* the log's own copies: CONFIG SET makes new texts */
    char syslog_ident[128];
    struct loop_source listeners[SERVER_LISTENERS_MAX];
    size_t listener_count;
    bool is_listening;        /* false while out of descriptors */
    uint64_t listen_again_ns; /* then: when to try again */
    char unixsocket[108];     /* path of the unix listener, "" if there is none */
    int unix_listener;
    struct loop_source signals;
    struct worker *worker; /* runs what the node hands in as work */
    struct loop_source worker_source;
    struct disk disk;
    struct identity identity; /* while there is a node, its work items may change it, on the helper thread */
    char home[4096];          /* the folder that the identity is kept in */
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

/* Listens anew on what bind and port say now; false: the error says why, the old listeners stay. */
bool server_listen(struct server *server, char error[LISTENER_ERROR_SIZE]);
void server_stop_listening(struct server *server);

#endif
