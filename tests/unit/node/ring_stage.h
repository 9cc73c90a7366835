/* ring_stage.h - one to five whole nodes in one process, connected by pipes that lose nothing, in a time that tests move.
 *
 * Node i listens at 10.0.0.i, its ports are 7000 + i, 12000 + i and 17000 + i. Nothing happens unless a test takes a step: in a step
 * every node that runs has one turn of its loop, and what it has sent lies in pipes until the next. A path from one node to another
 * can be held: what is sent there stays in the pipes until it is let go. Time moves in steps of RING_STEP_MS, and only where
 * a function says so.
 *
 * May touch: the nodes through node/node.h; tests look inside. Must never know: sockets, clocks.
 * Invariants: calls the node in the order that node/node.h asks for; a node that has ended has given back all memory.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef TESTS_UNIT_NODE_RING_STAGE_H
#define TESTS_UNIT_NODE_RING_STAGE_H

#include "node/cluster.h"
#include "node/state.h"
#include "sim/crash_queue.h"
#include "sim/disk.h"

#define RING_NODES_MAX 5
#define RING_STEP_MS   10
#define RING_WALL_US   INT64_C(1800000000000000)
/* No test waits longer for something. */
#define RING_PATIENCE_MS 30000

struct ring_stage;
struct ring_node;

struct ring_pipe_end {
    struct ring_pipe *pipe;
    struct ring_node *owner;
    struct peer_link *link; /* NULL: the node has not been told of it yet, or it is gone for it */
    struct buffer incoming;
    bool is_gone; /* closed from this side */
};

/* A connection: ends[0] has called ends[1]. */
struct ring_pipe {
    struct ring_pipe *next;
    struct ring_stage *stage;
    struct ring_pipe_end ends[2];
    bool was_reset; /* a process at one end was killed */
    bool is_lost;   /* the call never ends */
    uint64_t call_id;
};

struct ring_node {
    struct ring_stage *stage;
    unsigned number, starts;
    struct mem mem, config_mem;
    struct config config;
    struct identity identity;
    struct simulated_disk disk;
    struct crash_queue helper;
    struct node *node; /* NULL: it does not run */
    uint64_t random;
    const char *settings; /* beside those that the stage gives */
    int64_t wall_shift_us;
    uint64_t cpu_ns;     /* processor time that it has taken */
    uint64_t stopped_ns; /* since when it has no turns; 0: it has */
    unsigned links_left; /* so many of its links still send something, and then none ever; 0: all do */
    bool is_mute;        /* that is over */
    char log[16 * 1024]; /* its end */
};

struct ring_stage {
    struct mem mem; /* of the stage itself */
    uint64_t now_ns;
    unsigned count;
    struct ring_node nodes[RING_NODES_MAX];
    struct ring_pipe *pipes;
    bool is_held[RING_NODES_MAX][RING_NODES_MAX];   /* from, to */
    bool is_unreachable[RING_NODES_MAX];            /* calls to it fail, though it runs */
    uint64_t bytes[RING_NODES_MAX][RING_NODES_MAX]; /* given to pipes so far, gossip among them */
    const char *seeds_file;                         /* what cluster-seeds-file holds; NULL: there is none */
    struct ring_client *clients;
};

/* A client of a node. */
struct ring_client {
    struct ring_node *at;
    struct session *session; /* NULL: it is closed */
    struct ring_client *next;
    struct buffer unsent; /* by the client, to the node */
    struct buffer heard;  /* and not looked at yet */
    struct buffer reply;  /* the last one that was looked at, with a zero byte behind it */
};

/* ---- Life ---- */

/* A stage with nodes that do not run yet; node i has the seed 0 unless it is 0, so 0 should be started first. `settings` are lines of a
 * config file for all of them, or NULL. Freed with ring_stage_end(). */
struct ring_stage *ring_stage_new(unsigned count, const char *settings);
/* The same, started, and all of them settled. */
struct ring_stage *ring_stage_begin(unsigned count, const char *settings);
/* Ends all nodes, and demands that all their memory is back. */
void ring_stage_end(struct ring_stage *stage);

/* Starts a node on the disk that it has left, if there is one. */
void ring_start(struct ring_stage *stage, unsigned number);
/* Without seeds. */
void ring_start_alone(struct ring_stage *stage, unsigned number);
/* Ends its process at once. Its connections are reset, and calls to it refused. Its clients are closed. */
void ring_kill(struct ring_stage *stage, unsigned number);

/* Its process stands still, and goes on: with work of its own meanwhile, or as a stopped one. What is sent to it waits in the pipes. */
void ring_stop(struct ring_stage *stage, unsigned number);
void ring_go_on(struct ring_stage *stage, unsigned number, bool has_worked);

/* ---- Steps ---- */

/* One turn of each node, no time goes by. Returns whether there was anything to do. */
bool ring_step(struct ring_stage *stage);
/* Turns until there is nothing more to do at this moment. */
void ring_turn(struct ring_stage *stage);
/* Time goes by. */
void ring_wait(struct ring_stage *stage, uint64_t ms);
/* Time goes by until all nodes that run see each other up, all of them are settled and agree on all routes. Fails after RING_PATIENCE_MS. */
void ring_settle(struct ring_stage *stage);
/* Time goes by until all nodes that run have found the copies equal; then looks at every byte of them. */
void ring_expect_equal_copies(struct ring_stage *stage);
/* Looks at once: whether all copies of all slots are equal in digests, values and expiry. */
bool ring_copies_are_equal(struct ring_stage *stage);

/* Holds, or lets go, what is sent from one node to another. */
void ring_hold(struct ring_stage *stage, unsigned from, unsigned to, bool is_held);
/* What is under way of a node's calls is lost: nobody hears of them again. */
void ring_lose_calls(struct ring_stage *stage, unsigned from);
/* All connections between two nodes end; they may be made again. */
void ring_cut(struct ring_stage *stage, unsigned one, unsigned other, bool was_reset);

/* ---- Clients ---- */

struct ring_client *ring_connect(struct ring_stage *stage, unsigned number);
struct ring_client *ring_connect_to_cluster_port(struct ring_stage *stage, unsigned number);
void ring_disconnect(struct ring_client *client);

/* Says a line (as typed into a terminal), and nothing happens yet. */
void ring_say(struct ring_client *client, const char *line);
void ring_say_format(struct ring_client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A request of so many words, each with its bytes. */
void ring_say_words(struct ring_client *client, unsigned count, const void *const *words,
                    const size_t *sizes);

/* The next reply, as it was sent; time goes by until it is there. Valid until the next call for the client. */
const char *ring_hear(struct ring_client *client);
size_t ring_heard_size(const struct ring_client *client); /* of that */
/* The next reply if it is there already, "" if not. */
const char *ring_hear_now(struct ring_client *client);
/* Both of the above. */
const char *ring_ask(struct ring_client *client, const char *line);
const char *ring_ask_format(struct ring_client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- Looking ---- */

/* Which node coordinates the slot of a key, as node `at` sees it; RING_NODES_MAX: nobody. */
unsigned ring_coordinator(struct ring_stage *stage, unsigned at, const char *key);
/* A key that node `coordinator` coordinates (as node `at` sees it), the nth of those: "key:<number>". */
struct ring_key {
    char text[32];
};
struct ring_key ring_key_of(struct ring_stage *stage, unsigned at, unsigned coordinator, unsigned nth);
/* The index that `other` has in the membership of `at`; RING_NOBODY: it is not known there. */
uint16_t ring_member(struct ring_stage *stage, unsigned at, unsigned other);
/* A node's own copy of a key: its size, -1 if it has none (or a tombstone). */
int64_t ring_copy_size(struct ring_stage *stage, unsigned number, const char *key);

#define EXPECT_ASKED(client, line, expected)                                                      \
    do {                                                                                          \
        const char *answer_of_it = ring_ask(client, line);                                        \
        cr_assert_str_eq(answer_of_it, expected, "%s -> %s", (const char *)(line), answer_of_it); \
    } while (0)
#define EXPECT_HEARD(client, expected)                                                       \
    do {                                                                                     \
        const char *answer_of_it = ring_hear(client);                                        \
        cr_assert_str_eq(answer_of_it, expected, "%s came, not %s", answer_of_it, expected); \
    } while (0)

#endif
