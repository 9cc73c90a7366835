/* node.h - one whole node as a machine: bytes, ticks and facts in; bytes and requests to the world out.
 *
 * The world (server/ with sockets, tests/sim/ without) calls, per turn:
 *   node_turn(now)                 once, before anything else of the turn
 *   per readable session:          node_input_space -> the world reads into it -> node_input -> node_output -> the world writes -> node_sent
 *   per writable session:          node_output -> write -> node_sent
 *   node_attention                 until NULL: sessions that have output or are to be closed for other reasons
 * The bytes of node_output are valid until the next call with another session.
 * May touch: all pure layers. Must never know: sockets, files, clocks, threads.
 * Invariants: no mutable globals, all state hangs off struct node; a session is freed by node_close only.
 * Tests: tests/unit/node/, tests/sim/, tests/server/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "base/hash.h"
#include "base/mem.h"
#include "node/config.h"
#include "node/host.h"
#include "node/identity.h"
#include "node/session.h"

struct node;

struct node_options {
    struct mem *mem;
    const struct node_host *host; /* copied */
    struct config
        *config; /* the world's; the node reads it and changes it by CONFIG SET; outlives the node */
    uint8_t hash_seed[HASH_SEED_SIZE];
    uint64_t random_seed;
    uint8_t run_id[20]; /* random, new at every start */
    /* Who the node is: taken before, and released after node_free(), by the world; a work item of the node's may change it.
     * NULL: nobody in particular, nothing is noted on disk. */
    struct identity *identity;
    bool start_empty; /* go on without data where no checkpoint can be loaded */
    /* Where config->cluster_enabled is set and there is an identity: the node is a member of a cluster, and has peers. The address
     * under which it listens, for others; the settings cluster-announce-* take its place. */
    const char *host_name; /* NULL: 127.0.0.1 */
    uint64_t monotonic_ns;
    int64_t wall_us;
};

/* NULL: no memory. Where the host has a disk, loading begins at once: work items are submitted, clients may come meanwhile. */
struct node *node_new(const struct node_options *options);
/* The world listens elsewhere now, as CONFIG SET wanted it: the address for others, as host_name above. They hear of it when the command is
 * done. Within host.setting_changed() only. */
void node_set_host_name(struct node *node, const char *host_name);
/* All sessions must be closed, and node_end() must have returned true, unless the host has no disk. */
void node_free(struct node *node);

/* Begins a turn of the loop: sets the time of all that follows. */
void node_turn(struct node *node, uint64_t monotonic_ns, int64_t wall_us);

/* Background work: expiry, reclaiming, timeouts, rates. To be called after the turn's events, every turn; does what is due, in
 * bounded steps. Returns the milliseconds until it wants to be called again (0: at once, there is work left). */
uint32_t node_work(struct node *node);

struct node_client {
    void *owner;
    int descriptor;
    bool is_unix_socket, is_loopback;
    const char *peer_address, *local_address; /* copied */
    bool is_cluster_view;                     /* it came to the cluster-port */
};

/* A new connection. Always gives a session, except NULL: no memory (then the world just closes). A client that is not welcome
 * (maxclients, protected mode) gets a session that has its error to send and is to be closed after it. */
struct session *node_accept(struct node *node, const struct node_client *client);

/* The connection is gone (or will be closed by the world right after this). Frees the session. */
void node_close(struct node *node, struct session *session);

/* Any one session, NULL if there is none (for closing them all). */
struct session *node_first_session(struct node *node);

struct node_span {
    uint8_t *data;
    size_t size;
};

/* Where to read the next bytes of this session into. size 0: do not read now (it is held back); node_attention will name the session. */
struct node_span node_input_space(struct node *node, struct session *session);

/* `size` bytes have been read into that space: parses and executes what is complete. */
void node_input(struct node *node, struct session *session, size_t size);

/* What is to be sent now; size 0: nothing. */
struct node_span node_output(struct node *node, struct session *session);

/* `size` bytes of it were taken by the connection; what is left is kept for later. Must be called after every node_output
 * that had bytes (with 0 if none were taken). */
void node_sent(struct node *node, struct session *session, size_t size);

/* Whether the world shall wait for writability, read on, or close now (after what node_output gave is sent). */
bool node_wants_write(const struct session *session);
bool node_wants_read(const struct node *node, const struct session *session);
bool node_wants_close(const struct session *session);

/* The next session that needs the world's hand (output from elsewhere, to be closed, to be read again); NULL: none. */
struct session *node_attention(struct node *node);

/* ---- Other nodes (only where the node is a member of a cluster) ----
 *
 * Per turn, after node_work(): node_next_call() until false, then node_peer_attention() until NULL; for each of its links, as for
 * one that became writable: close it if node_peer_wants_close(), else write what node_peer_output() gives and say node_peer_sent().
 * A readable link: read into node_peer_space(), then node_peer_input(). */

struct peer_link; /* a connection with another node, made by either of the two */

/* A connection has come to the peer port. NULL: no memory (the world just closes it). */
struct peer_link *node_peer_accept(struct node *node, const struct node_client *peer);

/* Somebody whom the node wants to call. */
struct node_call {
    uint64_t id;
    const char *host; /* an address, or a name to be resolved; valid until the next call of any function */
    uint16_t port;    /* its peer port */
};

/* The next node that is to be called; false: none. Each call ends with exactly one of the two below, later, in any order. */
bool node_next_call(struct node *node, struct node_call *call);

/* NULL: no memory, or nobody wants it any more: the world closes the connection. */
struct peer_link *node_call_connected(struct node *node, uint64_t id, const struct node_client *peer);

enum node_call_failure {
    NODE_CALL_REFUSED,    /* nobody listens there: the process is not there */
    NODE_CALL_UNREACHABLE /* no answer in time, no route, no such name */
};
void node_call_failed(struct node *node, uint64_t id, enum node_call_failure failure);

/* Where to read to; size 0: do not read now. Valid until the next call of any function. */
struct node_span node_peer_space(struct node *node, struct peer_link *link);
void node_peer_input(struct node *node, struct peer_link *link, size_t size);
struct node_span node_peer_output(struct node *node, struct peer_link *link);
void node_peer_sent(struct node *node, struct peer_link *link, size_t size);
/* More output waits than the connection has taken. */
bool node_peer_wants_write(const struct peer_link *link);
bool node_peer_wants_close(const struct peer_link *link);
/* The connection is gone, or will be closed right after this. was_reset: by the other end's process, not in peace. Frees the link. */
void node_peer_close(struct node *node, struct peer_link *link, bool was_reset);

/* The next link that has output, or is to be closed; NULL: none. What the turn's commands have to tell is packed here. */
struct peer_link *node_peer_attention(struct node *node);
/* Any one link, NULL if there is none (for closing them all). */
struct peer_link *node_first_peer(struct node *node);
void *node_peer_owner(const struct peer_link *link);

enum node_stop {
    NODE_STOP_DEFAULT, /* saves if there are save rules */
    NODE_STOP_SAVE,
    NODE_STOP_NOSAVE
};

/* Asks the node to come to its end, as SHUTDOWN does; for signals. A member of a cluster hands over to the others first, which takes
 * two seconds at most; from then on no command is executed. The world goes on as before until node_shutdown_wish() says that the end has come. If the save fails, the log says why, and the node serves
 * on. May be repeated: NODE_STOP_NOSAVE gives up a save that runs. */
void node_stop(struct node *node, enum node_stop how);

enum node_shutdown {
    NODE_RUNNING,
    NODE_SHUTDOWN, /* all that was to be saved is durable */
    NODE_SHUTDOWN_NOSAVE,
    NODE_SHUTDOWN_REFUSED /* the data could not be loaded, the log says why: the process has failed */
};
enum node_shutdown node_shutdown_wish(const struct node *node);

/* Gives up what runs (a half-written checkpoint is removed). true: the helper has nothing of the node's any more. Until then
 * the world has the helper run what it has, and asks again. To be called before node_free(), at any time. */
bool node_end(struct node *node);

#endif
