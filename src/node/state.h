/* state.h - the inside of struct node, shared by the files of this layer only.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_STATE_H
#define NODE_STATE_H

#include "base/limits.h"
#include "cmd/call.h"
#include "node/node.h"
#include "node/persistence.h"
#include "node/statistics.h"
#include "proto/request.h"

struct slowlog;
struct latency_monitor;
struct cluster;

struct batched_request {
    const struct command
        *command;   /* NULL: unknown; a subcommand's row where there is one, after its execution */
    uint32_t first; /* its arguments in node->arguments */
    uint32_t argc;
    bool is_counted; /* it ran and its share of the batch's duration is to be booked */
    uint8_t
        lines_ahead; /* the last line of its first key's record that is to be asked for while the request before runs */
    uint16_t first_key; /* in node->batch_keys; behind the last if it has none */
};

struct node {
    struct mem *mem;
    struct node_host host;
    struct config *config;
    struct command_index *commands;
    struct keyspace *keyspace;
    struct list sessions; /* all, oldest first */
    struct list attention;
    struct list monitors;
    struct list paused; /* sessions that CLIENT PAUSE, or persistence.holds_commands, holds back */
    uint32_t session_count;
    uint64_t next_session_id;
    uint64_t monotonic_ns, monotonic_ms;
    uint64_t started_monotonic_ns;
    int64_t wall_us, wall_ms;
    char run_id[41];
    size_t startup_bytes;    /* held when node_new() was done */
    uint64_t pause_until_ms; /* monotonic; 0: no pause */
    bool pause_writes_only;
    enum node_shutdown shutdown;
    struct buffer output; /* replies of the session that is served right now */
    struct session *output_owner;
    uint8_t *input_chunk;       /* INPUT_CHUNK_SIZE bytes that sessions without a rest read into */
    struct argument *arguments; /* of the batch */
    size_t argument_capacity;
    struct batched_request batch[BATCH_COMMANDS];
    struct statistics statistics;
    uint64_t reads_before_turn; /* statistics.reads: whether clients have sent anything in this turn */
    struct slowlog *slowlog;
    struct latency_monitor *latency;
    uint64_t next_tick_ms;      /* monotonic: the next 100 ms tick */
    bool active_expiry_is_off;  /* DEBUG SET-ACTIVE-EXPIRE 0 */
    uint32_t expire_units_left; /* of this tick's allowance */
    uint32_t expire_due;        /* the tick of expiries (store/expire.h) of the last pass that was allowed */
    bool expire_is_cut;         /* it has used up its allowance */
    uint64_t move_started_cpu_ns; /* of the table that is being moved */
    struct argument *batch_keys[BATCH_KEYS];
    const struct record
        *batch_records[BATCH_KEYS];      /* likely theirs, or NULL; once requests run, mere addresses */
    uint8_t batch_displaced[BATCH_KEYS]; /* keys that fetch_keys() looks for once more */
    uint32_t batch_key_count;
    struct persistence persistence;
    struct cluster *cluster; /* node/cluster.h; NULL: not a member of one */
    /* Who executes a slot's commands (indexes of members, 0 is this node); NULL: this node does, for there is nobody else. */
    const uint16_t *routes;
    bool has_quorum; /* all commands on keys go through node/quorum.h */
};

/* The host's clock, for durations. */
static inline uint64_t node_clock_ns(const struct node *node) {
    return node->host.clock_ns(node->host.context);
}

/* Processor time that the thread has taken, for the steps of jobs. */
static inline uint64_t node_thread_cpu_ns(const struct node *node) {
    return node->host.thread_cpu_ns(node->host.context);
}

/* Notes a step of a job that began when the thread had taken so much processor time. */
void node_note_step(struct node *node, enum job job, uint64_t started_cpu_ns);

/* A command of the node: connection, introspection, transactions. Writes exactly one reply through call->reply. */
typedef void node_handler(struct node *node, struct session *session, struct call *call);

/* The node's handler for a row without one; NULL cannot be for rows of the table. */
node_handler *node_handler_of(const struct command *command);

/* DEL, MGET, MSET and the like take long by the number of their keys: from so many arguments on it is worth a look at the
 * clock. */
#define MANY_ARGUMENTS 64

/* Whether a request's own duration is measured: the others of a batch share what is left. */
static inline bool node_is_timed(const struct command *command, uint32_t argc) {
    return command->flags & COMMAND_TIMED || argc >= MANY_ARGUMENTS;
}

/* The stages of a batch that requests of other nodes go through, too (pipeline.c): more room for arguments; a request's keys are
 * placed; the memory of all keys is asked for; durations are booked. */
bool node_arguments_grow(struct node *node, size_t wanted);
void node_place_keys(struct node *node, const struct session *session, const struct command *command,
                     struct argument *argv, uint32_t argc);
void node_fetch_keys(struct node *node, const struct session *session);
void node_book_batch(struct node *node, struct session *session, uint32_t first, uint32_t end,
                     uint64_t duration_ns);
/* The row of a request's name, given the request before it (NULL: none). */
const struct command *node_find_command(const struct node *node, const struct argument *name,
                                        const struct argument *name_before,
                                        const struct command *command_before);

/* What has clogged a session's output has drained, perhaps: then its held input goes on. */
void node_unclog(struct node *node, struct session *session);

/* Cuts a session whose unread replies pass a limit, and clogs one that should read first. */
void node_check_output(struct node *node, struct session *session);

/* Lets the replies of a session that is not served right now go to its own buffer. */
void node_leave_shared_output(struct node *node, struct session *session);

/* Executes one command (from the wire, or from EXEC): all checks, the handler, monitors, statistics. Returns the row that
 * ran (a subcommand's where there is one) if its duration is still to be booked by the caller, NULL if nothing is. */
const struct command *node_dispatch(struct node *node, struct session *session, const struct command *command,
                                    struct argument *argv, uint32_t argc);

/* What speaks against a transaction of another node whose commands have these flags together, as is_allowed() would say it of
 * EXEC; NULL: nothing. */
const char *node_refuses_transaction(const struct node *node, uint32_t command_flags);

/* Books `count` calls of a command with their average duration; notes them in the slow log where argv is given. */
void node_book(struct node *node, struct session *session, const struct command *command, uint32_t count,
               uint64_t duration_ns, struct argument *argv, uint32_t argc);

/* Whether the client is on this machine: what settings mean that allow something "local" clients only. */
bool node_is_local(const struct session *session);

/* Lets the session wait inside the command that it runs, which has written no reply: nothing more of its input is looked
 * at. It is put on the list `waiting`, until node_unblock(), or until it is closed. */
void node_block(struct session *session, struct list *waiting);

/* The end of the wait: takes it off its list, writes the reply of its command (NULL: OK, else an error) and goes on. Not to be
 * called while a command of this session runs. */
void node_unblock(struct node *node, struct session *session, const char *error);

/* The same, with a reply that answer() writes. */
void node_unblock_with(struct node *node, struct session *session,
                       void (*answer)(struct node *node, struct session *session, void *context),
                       void *context);

/* What CLIENT PAUSE, or persistence.holds_commands, has held back goes on, unless the other one still holds it. */
void node_release_held(struct node *node);

/* Looks for complete requests in the session's input and executes them (after a hold, an unpause). */
void node_process_input(struct node *node, struct session *session);

/* Hands the settings that the keyspace needs down to it: every turn, and after commands that may change settings. */
void node_apply_limits(struct node *node);

/* Puts a session on the attention list (once). */
void node_raise(struct node *node, struct session *session);

/* Marks a session to be closed: now (nothing more is sent), or after its replies. */
void node_kill(struct node *node, struct session *session, bool after_reply);
/* Closes one whose unread replies are more than its limit: now, and counted. false: it is being closed already. */
bool node_kill_over_limit(struct node *node, struct session *session);

/* Appends bytes to a session's output that do not belong to its own command (MONITOR lines, pushes). */
void node_push(struct node *node, struct session *session, const void *data, size_t size);

/* Formats and hands a line to the world's log. */
void node_log(struct node *node, enum node_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
