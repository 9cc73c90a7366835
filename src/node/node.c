/* node.c - the life of a node and of its sessions; background work in bounded steps.
 *
 * Tests: tests/unit/node/node_test.c, tests/sim/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/node.h"

#include "node/cluster.h"
#include "node/latency.h"
#include "node/monitor.h"
#include "node/quorum.h"
#include "node/replicate.h"
#include "node/route.h"
#include "node/slowlog.h"
#include "node/state.h"
#include "node/transaction.h"
#include "store/expire.h"
#include "store/reclaim.h"

#include <stdarg.h>
#include <stdio.h>

#define TICK_MS           100
#define ARGUMENTS_FIRST   1024
#define OUTPUT_FIRST_SIZE (64 * 1024)
/* Records that active expiry may look at per tick: about 5 % of a core. */
#define EXPIRE_UNITS_PER_TICK 400000
/* Sessions whose timeouts are looked at per tick. */
#define SESSIONS_PER_TICK 1000
/* Without AUTH a connection is not kept longer. */
#define UNAUTHENTICATED_TIMEOUT_MS 30000
#define LOG_LINE_MAX               1024
/* A session that CLIENT PAUSE holds back is read on up to this. */
#define HELD_INPUT_MAX (1024 * 1024)

void node_apply_limits(struct node *node) {
    uint64_t size_max = node->config->proto_max_bulk_len;
    node->keyspace->value_size_max = size_max < VALUE_SIZE_MAX ? (uint32_t)size_max : VALUE_SIZE_MAX;
    quorum_apply_settings(node);
}

static void set_time(struct node *node, uint64_t monotonic_ns, int64_t wall_us) {
    node->monotonic_ns = monotonic_ns;
    node->monotonic_ms = monotonic_ns / 1000000;
    node->wall_us = wall_us;
    node->wall_ms = wall_us / 1000;
    keyspace_set_time(node->keyspace, node->wall_ms);
    node_apply_limits(node);
}

void node_note_step(struct node *node, enum job job, uint64_t started_cpu_ns) {
    histogram_record(&node->statistics.jobs[job], node_thread_cpu_ns(node) - started_cpu_ns, 1);
}

static void move_begins(void *context) {
    struct node *node = context;
    node->move_started_cpu_ns = node_thread_cpu_ns(node);
}

static void move_ends(void *context) {
    struct node *node = context;
    node_note_step(node, JOB_RESIZE, node->move_started_cpu_ns);
}

static bool keeps_siblings(const void *config, const uint8_t *key, uint32_t key_size) {
    return config_keeps_conflicts(config, key, key_size);
}

static bool make_parts(struct node *node, const struct node_options *options) {
    node->commands = command_index_new(node->mem);
    node->keyspace = keyspace_new(node->mem, options->hash_seed, options->random_seed);
    if (node->keyspace != NULL) {
        node->keyspace->observer = (struct move_observer){node, move_begins, move_ends};
        node->keyspace->keeps_siblings = keeps_siblings;
        node->keyspace->keeps_siblings_context = node->config;
    }
    node->input_chunk = mem_alloc(node->mem, INPUT_CHUNK_SIZE);
    node->arguments = mem_alloc(node->mem, ARGUMENTS_FIRST * sizeof(struct argument));
    node->slowlog = slowlog_new(node->mem);
    node->latency = latency_new(node->mem);
    if (node->arguments != NULL)
        node->argument_capacity = ARGUMENTS_FIRST;
    return node->commands && node->keyspace && node->input_chunk && node->arguments && node->slowlog &&
           node->latency && buffer_reserve(&node->output, OUTPUT_FIRST_SIZE);
}

static void free_parts(struct node *node) {
    for (unsigned i = 0; i < COMMAND_COUNT; i++)
        mem_free(node->mem, node->statistics.of_command[i].durations, sizeof(struct histogram));
    if (node->latency != NULL)
        latency_free(node->mem, node->latency);
    if (node->slowlog != NULL)
        slowlog_free(node->mem, node->slowlog);
    mem_free(node->mem, node->arguments, node->argument_capacity * sizeof(struct argument));
    mem_free(node->mem, node->input_chunk, INPUT_CHUNK_SIZE);
    if (node->keyspace != NULL)
        keyspace_free(node->keyspace);
    if (node->commands != NULL)
        command_index_free(node->mem, node->commands);
    buffer_release(&node->output);
    mem_free(node->mem, node, sizeof *node);
}

struct node *node_new(const struct node_options *options) {
    struct node *node = mem_alloc_zeroed(options->mem, sizeof *node);
    if (node == NULL)
        return NULL;
    node->mem = options->mem;
    node->host = *options->host;
    node->config = options->config;
    list_init(&node->sessions);
    list_init(&node->attention);
    list_init(&node->monitors);
    list_init(&node->paused);
    buffer_init(&node->output, node->mem);
    for (unsigned i = 0; i < JOB_COUNT; i++)
        histogram_reset(&node->statistics.jobs[i]);
    if (!make_parts(node, options)) {
        free_parts(node);
        return NULL;
    }
    for (unsigned i = 0; i < sizeof options->run_id; i++)
        snprintf(node->run_id + 2 * i, 3, "%02x", options->run_id[i]);
    set_time(node, options->monotonic_ns, options->wall_us);
    node->started_monotonic_ns = options->monotonic_ns;
    node->next_session_id = 1;
    node->startup_bytes = node->mem->used_bytes;
    node->next_tick_ms = node->monotonic_ms + TICK_MS;
    if (!cluster_begin(node, options) || !persistence_begin(node, options)) {
        cluster_release(node);
        free_parts(node);
        return NULL;
    }
    return node;
}

void node_free(struct node *node) {
    if (node == NULL)
        return;
    CHECK(list_is_empty(&node->sessions));
    cluster_release(node);
    persistence_release(node);
    free_parts(node);
}

void node_log(struct node *node, enum node_log_level level, const char *format, ...) {
    char line[LOG_LINE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    node->host.log(node->host.context, level, line);
}

void node_raise(struct node *node, struct session *session) {
    if (session->flags & (SESSION_LISTED | SESSION_PEER))
        return; /* the world knows nothing of the session of other nodes' commands */
    session->flags |= SESSION_LISTED;
    list_append(&node->attention, &session->attention);
}

void node_kill(struct node *node, struct session *session, bool after_reply) {
    session->flags |= after_reply ? SESSION_CLOSE_AFTER_REPLY : SESSION_CLOSE_NOW;
    node_raise(node, session);
}

bool node_kill_over_limit(struct node *node, struct session *session) {
    if (session->flags & SESSION_CLOSE_NOW)
        return false;
    node->statistics.output_buffer_closed++;
    node_kill(node, session, false);
    return true;
}

void node_push(struct node *node, struct session *session, const void *data, size_t size) {
    if (!buffer_append(session->outgoing, data, size)) {
        node_kill(node, session, false);
        return;
    }
    uint64_t hard = node->config->output_limits[CLIENT_CLASS_NORMAL].hard_bytes;
    if (hard != 0 && session->outgoing->size - session->pending_sent > hard)
        (void)node_kill_over_limit(node, session);
    node_raise(node, session);
}

/* A client that is not welcome gets its error and is closed behind it. */
static const char *refusal(const struct node *node, const struct node_client *client) {
    if (node->session_count > node->config->maxclients)
        return "ERR max number of clients reached";
    if (node->config->protected_mode && node->config->requirepass[0] == '\0' && !client->is_loopback &&
        !client->is_unix_socket)
        return "DENIED Protected mode is on and no password is set: only connections from this machine are taken. "
               "Set a password (requirepass), or turn the protection off (CONFIG SET protected-mode no, from this "
               "machine), to serve clients elsewhere.";
    return NULL;
}

struct session *node_accept(struct node *node, const struct node_client *client) {
    struct session *session = mem_alloc_zeroed(node->mem, sizeof *session);
    if (session == NULL)
        return NULL;
    session->owner = client->owner;
    session->id = node->next_session_id++;
    session->descriptor = client->descriptor;
    session->created_ms = session->active_ms = node->monotonic_ms;
    snprintf(session->peer_address, sizeof session->peer_address, "%s", client->peer_address);
    snprintf(session->local_address, sizeof session->local_address, "%s", client->local_address);
    if (client->is_unix_socket)
        session->flags |= SESSION_UNIX_SOCKET;
    if (node->config->requirepass[0] == '\0')
        session->flags |= SESSION_AUTHENTICATED;
    buffer_init(&session->input, node->mem);
    buffer_init(&session->pending, node->mem);
    buffer_init(&session->name, node->mem);
    buffer_init(&session->library_name, node->mem);
    buffer_init(&session->library_version, node->mem);
    buffer_init(&session->parked, node->mem);
    list_init(&session->places);
    session->outgoing = &session->pending;
    session->reply = (struct reply){.out = &session->pending, .protocol = 2};
    if (client->is_cluster_view)
        session->flags |= SESSION_CLUSTER_VIEW;
    list_append(&node->sessions, &session->all);
    node->session_count++;
    node->statistics.connections++;
    if (node->session_count > node->statistics.peak_sessions)
        node->statistics.peak_sessions = node->session_count;
    const char *error = refusal(node, client);
    if (error != NULL) {
        node->statistics.rejected_connections++;
        reply_error(&session->reply, error);
        node_kill(node, session, true);
    }
    return session;
}

void node_close(struct node *node, struct session *session) {
    transaction_reset(node, session);
    route_forget_session(node, session);
    if (node->output_owner == session) {
        node->output_owner = NULL;
        buffer_clear(&node->output);
    }
    list_remove(&session->all);
    if (session->flags & SESSION_LISTED)
        list_remove(&session->attention);
    if (session->flags & SESSION_MONITOR)
        list_remove(&session->monitor);
    if (session->flags & SESSION_PAUSED)
        list_remove(&session->paused);
    if (session->flags & SESSION_BLOCKED)
        list_remove(&session->waiting);
    buffer_release(&session->input);
    buffer_release(&session->pending);
    buffer_release(&session->parked);
    buffer_release(&session->name);
    buffer_release(&session->library_name);
    buffer_release(&session->library_version);
    node->session_count--;
    mem_free(node->mem, session, sizeof *session);
}

struct session *node_first_session(struct node *node) {
    struct list_node *link = list_first(&node->sessions);
    return link == NULL ? NULL : LIST_ENTRY(link, struct session, all);
}

void node_release_held(struct node *node) {
    if (node->pause_until_ms != 0 || node->persistence.holds_commands)
        return;
    LIST_FOR_EACH(link, &node->paused) {
        struct session *session = LIST_ENTRY(link, struct session, paused);
        list_remove(link);
        session->flags = (session->flags & ~SESSION_PAUSED) | SESSION_RESUME;
        node_raise(node, session);
    }
}

/* CLIENT PAUSE is over. */
static void unpause(struct node *node) {
    node->pause_until_ms = 0;
    node->keyspace->expiry_is_paused = false;
    node_release_held(node);
}

void node_turn(struct node *node, uint64_t monotonic_ns, int64_t wall_us) {
    node->statistics.turns++;
    node->reads_before_turn = node->statistics.reads;
    set_time(node, monotonic_ns, wall_us);
    if (UNLIKELY(node->routes != NULL))
        failover_note_turn(node);
    if (UNLIKELY(node->pause_until_ms != 0)) {
        if (node->monotonic_ms >= node->pause_until_ms)
            unpause(node);
        else
            node->keyspace->expiry_is_paused = true;
    } else if (UNLIKELY(!list_is_empty(&node->paused))) {
        unpause(node); /* CLIENT UNPAUSE */
    }
}

static void sample_rate(struct rate *rate, uint64_t value, uint64_t now_ms) {
    uint64_t elapsed_ms = now_ms - rate->last_ms;
    if (elapsed_ms == 0)
        return;
    rate->samples[rate->next++ % STATISTICS_SAMPLES] = (value - rate->last_value) * 1000 / elapsed_ms;
    rate->last_value = value;
    rate->last_ms = now_ms;
}

/* Since when the session's replies have been above the soft limit; closes it when that was too long. */
static void check_soft_limit(struct node *node, struct session *session) {
    const struct output_limit *limit = &node->config->output_limits[CLIENT_CLASS_NORMAL];
    size_t unsent = session->pending.size - session->pending_sent;
    if (limit->soft_bytes == 0 || unsent <= limit->soft_bytes) {
        session->soft_limit_since_ms = 0;
    } else if (session->soft_limit_since_ms == 0) {
        session->soft_limit_since_ms = node->monotonic_ms;
    } else if (node->monotonic_ms - session->soft_limit_since_ms > (uint64_t)limit->soft_s * 1000 &&
               node_kill_over_limit(node, session)) {
        node_log(node, NODE_LOG_WARNING, "Client %s closed: it has not read its replies for %u s",
                 session->peer_address, limit->soft_s);
    }
}

static void check_timeouts(struct node *node) {
    uint32_t looked_at = node->session_count < SESSIONS_PER_TICK ? node->session_count : SESSIONS_PER_TICK;
    for (; looked_at > 0; looked_at--) {
        struct list_node *link = list_first(&node->sessions);
        struct session *session = LIST_ENTRY(link, struct session, all);
        list_remove(link);
        list_append(&node->sessions, link);
        uint64_t idle_ms = node->monotonic_ms - session->active_ms;
        bool exempt = session->flags & (SESSION_MONITOR | SESSION_BLOCKED);
        if (node->config->timeout_s != 0 && !exempt && idle_ms > (uint64_t)node->config->timeout_s * 1000)
            node_kill(node, session, false);
        else if (!(session->flags & SESSION_AUTHENTICATED) &&
                 node->monotonic_ms - session->created_ms > UNAUTHENTICATED_TIMEOUT_MS)
            node_kill(node, session, false);
        else
            check_soft_limit(node, session);
    }
}

/* What is due changes with the tick of expiries only. A pass that came to the end of its allowance goes on, though, and the first
 * and the last tick last for ever. */
static void allow_expiry(struct node *node) {
    uint32_t tick = expire_tick(node->wall_ms), due = expire_due_tick(node->wall_ms);
    if (due == node->expire_due && due == tick && !node->expire_is_cut)
        return;
    node->expire_due = due;
    node->expire_is_cut = false;
    node->expire_units_left = EXPIRE_UNITS_PER_TICK;
}

static void tick(struct node *node) {
    struct statistics *statistics = &node->statistics;
    sample_rate(&statistics->commands_rate, statistics->commands, node->monotonic_ms);
    sample_rate(&statistics->input_rate, statistics->input_bytes, node->monotonic_ms);
    sample_rate(&statistics->output_rate, statistics->output_bytes, node->monotonic_ms);
    mem_note_peak(node->mem);
    uint64_t started_cpu_ns = node_thread_cpu_ns(node);
    check_timeouts(node);
    node_note_step(node, JOB_CLIENTS, started_cpu_ns);
    allow_expiry(node);
    node->next_tick_ms = node->monotonic_ms + TICK_MS;
    persistence_tick(node);
}

/* One bounded step of a job on the keyspace. Returns the units spent. */
static uint32_t step(struct node *node, enum job job, uint32_t (*work)(struct keyspace *, uint32_t)) {
    uint64_t started_cpu_ns = node_thread_cpu_ns(node);
    uint32_t spent = work(node->keyspace, JOB_STEP_UNITS);
    node_note_step(node, job, started_cpu_ns);
    return spent;
}

/* The latency monitor is told how long clients had to wait, whatever kept the processor. */
static uint32_t expire_step(struct node *node) {
    int64_t threshold_ms = node->config->latency_monitor_threshold_ms;
    if (threshold_ms == 0)
        return step(node, JOB_EXPIRE, keyspace_expire_step);
    uint64_t started_ns = node_clock_ns(node);
    uint32_t spent = step(node, JOB_EXPIRE, keyspace_expire_step);
    uint64_t duration_ns = node_clock_ns(node) - started_ns;
    if (duration_ns >= (uint64_t)threshold_ms * 1000000)
        latency_note(node, "expire-cycle", duration_ns);
    return spent;
}

static uint32_t work(struct node *node) {
    if (node->monotonic_ms >= node->next_tick_ms)
        tick(node);
    uint32_t wait_ms = persistence_step(node), cluster_ms = cluster_work(node);
    if (cluster_ms < wait_ms)
        wait_ms = cluster_ms;
    bool more = wait_ms == 0;
    if (node->expire_units_left != 0 && !node->active_expiry_is_off && !node->persistence.is_loading) {
        uint32_t spent = expire_step(node);
        if (node->routes != NULL)
            replicate_effects(node);
        node->expire_is_cut = spent >= node->expire_units_left;
        node->expire_units_left = spent == 0 || node->expire_is_cut ? 0 : node->expire_units_left - spent;
        more = more || node->expire_units_left != 0;
    }
    if (keyspace_reclaim_pending(node->keyspace) != 0 || node->keyspace->reclaim->queued != 0) {
        step(node, JOB_RECLAIM, keyspace_reclaim_step);
        more = more || node->keyspace->reclaim->queued != 0;
    }
    node->statistics.turn_duration_ns += node_clock_ns(node) - node->monotonic_ns;
    if (more || !list_is_empty(&node->attention))
        return 0;
    if (node->next_tick_ms <= node->monotonic_ms)
        return 0;
    uint32_t tick_ms = (uint32_t)(node->next_tick_ms - node->monotonic_ms);
    return tick_ms < wait_ms ? tick_ms : wait_ms;
}

uint32_t node_work(struct node *node) {
    uint32_t wait_ms = work(node);
    if (node->cluster != NULL)
        node->cluster->failover.asked_wait_ms = wait_ms;
    return wait_ms;
}

bool node_wants_write(const struct session *session) {
    return session->outgoing->size != (session->outgoing == &session->pending ? session->pending_sent : 0) &&
           !(session->flags & SESSION_CLOSE_NOW);
}

bool node_wants_read(const struct node *node, const struct session *session) {
    if (LIKELY(!(session->flags & SESSION_HELD)))
        return true;
    /* A session that waits is read on, a while: its end is noticed only so. */
    return !(session->flags & (SESSION_CLOGGED | SESSION_CLOSE_AFTER_REPLY | SESSION_CLOSE_NOW)) &&
           session->input.size < HELD_INPUT_MAX &&
           node->config->client_query_buffer_limit > session->input.size;
}

bool node_wants_close(const struct session *session) {
    return session->flags & SESSION_CLOSE_NOW || (session->flags & SESSION_CLOSE_AFTER_REPLY &&
                                                  session->place_count == 0 && !node_wants_write(session));
}

struct session *node_attention(struct node *node) {
    struct list_node *link = list_first(&node->attention);
    if (link == NULL)
        return NULL;
    struct session *session = LIST_ENTRY(link, struct session, attention);
    list_remove(link);
    session->flags &= ~SESSION_LISTED;
    if (session->flags & SESSION_RESUME) {
        session->flags &= ~SESSION_RESUME;
        if (!(session->flags & SESSION_HELD))
            node_process_input(node, session);
    }
    return session;
}

void node_stop(struct node *node, enum node_stop how) {
    persistence_stop(node, how, false, false);
}

enum node_shutdown node_shutdown_wish(const struct node *node) {
    return node->shutdown;
}

bool node_end(struct node *node) {
    bool is_over = cluster_end(node);
    return persistence_end(node) && is_over;
}
