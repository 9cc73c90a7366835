/* ring_stage.c - nodes, their pipes, their clients, turn by turn.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/ring_stage.h"

#include "base/number.h"
#include "sim/poor_host.h"

#include "cluster/secret.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* More steps than this without any time going by: somebody talks to himself. */
#define STEPS_MAX 100000

/* ---- What the node asks of the world ---- */

static uint64_t host_clock_ns(void *context) {
    return ((struct ring_node *)context)->stage->now_ns;
}

static uint64_t host_cpu_ns(void *context) {
    return ((struct ring_node *)context)->cpu_ns;
}

/* The end of the log is what a failing test is asked about. */
static void host_log(void *context, enum node_log_level level, const char *text) {
    struct ring_node *of = context;
    (void)level;
    size_t size = strlen(of->log), more = strlen(text) + 1;
    if (more >= sizeof of->log / 2)
        return;
    if (size + more >= sizeof of->log) {
        size_t kept = sizeof of->log / 2;
        memmove(of->log, of->log + size - kept, kept + 1);
        size = kept;
    }
    snprintf(of->log + size, sizeof of->log - size, "%s\n", text);
}

static void host_sleep_us(void *context, uint64_t us) {
    (void)context;
    (void)us;
}

static void host_random(void *context, void *bytes, size_t size) {
    struct ring_node *of = context;
    for (size_t i = 0; i < size; i++) {
        of->random = of->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        ((uint8_t *)bytes)[i] = (uint8_t)(of->random >> 56);
    }
}

static bool host_file_read(void *context, const char *path, struct buffer *text, char error[256]) {
    const struct ring_stage *stage = ((struct ring_node *)context)->stage;
    if (stage->seeds_file == NULL) {
        snprintf(error, 256, "no file %s", path);
        return false;
    }
    return buffer_append_text(text, stage->seeds_file);
}

/* ---- Pipes ---- */

static struct ring_pipe_end *other_end(struct ring_pipe_end *end) {
    return end == &end->pipe->ends[0] ? &end->pipe->ends[1] : &end->pipe->ends[0];
}

static struct ring_pipe *pipe_new(struct ring_stage *stage, struct ring_node *from, struct ring_node *to) {
    struct ring_pipe *pipe = mem_alloc_zeroed(&stage->mem, sizeof *pipe);
    pipe->stage = stage;
    for (unsigned i = 0; i < 2; i++) {
        pipe->ends[i].pipe = pipe;
        pipe->ends[i].owner = i == 0 ? from : to;
        buffer_init(&pipe->ends[i].incoming, &stage->mem);
    }
    struct ring_pipe **last = &stage->pipes;
    while (*last != NULL)
        last = &(*last)->next;
    *last = pipe;
    return pipe;
}

static void sweep_pipes(struct ring_stage *stage) {
    for (struct ring_pipe **at = &stage->pipes; *at != NULL;) {
        struct ring_pipe *pipe = *at;
        if (!pipe->ends[0].is_gone || !pipe->ends[1].is_gone) {
            at = &pipe->next;
            continue;
        }
        *at = pipe->next;
        buffer_release(&pipe->ends[0].incoming);
        buffer_release(&pipe->ends[1].incoming);
        mem_free(&stage->mem, pipe, sizeof *pipe);
    }
}

static struct node_client client_at(const struct ring_node *of, void *owner, char address[32]) {
    snprintf(address, 32, "10.0.0.%u:40000", of->number);
    return (struct node_client){
        .owner = owner, .descriptor = -1, .peer_address = address, .local_address = "10.0.0.9:17000"};
}

static void close_end(struct ring_pipe_end *end, bool was_reset) {
    struct peer_link *link = end->link;
    end->link = NULL;
    end->is_gone = true;
    buffer_clear(&end->incoming);
    if (link != NULL)
        node_peer_close(end->owner->node, link, was_reset);
}

/* A call has come to its end. */
static bool end_call(struct ring_node *of, struct ring_pipe *pipe) {
    struct ring_stage *stage = of->stage;
    struct ring_pipe_end *end = &pipe->ends[0];
    struct ring_node *to = pipe->ends[1].owner;
    uint64_t call_id = pipe->call_id;
    if (pipe->is_lost ||
        (to != NULL && (stage->is_held[of->number][to->number] || stage->is_held[to->number][of->number])))
        return false;
    pipe->call_id = 0;
    if (to == NULL || to->node == NULL || stage->is_unreachable[to->number]) {
        end->is_gone = pipe->ends[1].is_gone = true;
        node_call_failed(of->node, call_id,
                         to == NULL || stage->is_unreachable[to->number] ? NODE_CALL_UNREACHABLE
                                                                         : NODE_CALL_REFUSED);
        return true;
    }
    char address[32];
    struct node_client with = client_at(to, end, address);
    end->link = node_call_connected(of->node, call_id, &with);
    if (end->link == NULL)
        end->is_gone = true;
    return true;
}

static void write_end(struct ring_pipe_end *end) {
    struct node *node = end->owner->node;
    struct ring_pipe_end *to = other_end(end);
    struct node_span span;
    while ((span = node_peer_output(node, end->link)).size != 0) {
        if (!to->is_gone) {
            buffer_append(&to->incoming, span.data, span.size);
            end->owner->stage->bytes[end->owner->number][to->owner->number] += span.size;
        }
        node_peer_sent(node, end->link, span.size);
    }
    if (node_peer_wants_close(end->link))
        close_end(end, false);
}

/* A whole read at once, as a loop does with each of its connections in a turn. */
static bool read_end(struct ring_pipe_end *end) {
    struct node *node = end->owner->node;
    struct node_span space = node_peer_space(node, end->link);
    size_t size = space.size < end->incoming.size ? space.size : end->incoming.size;
    if (size == 0)
        return false;
    memcpy(space.data, end->incoming.data, size);
    buffer_consume(&end->incoming, size);
    node_peer_input(node, end->link, size);
    return true;
}

static bool serve_end(struct ring_pipe_end *end) {
    struct ring_stage *stage = end->owner->stage;
    struct ring_pipe *pipe = end->pipe;
    struct ring_pipe_end *other = other_end(end);
    if (end->is_gone || pipe->call_id != 0)
        return false;
    if (stage->is_held[other->owner->number][end->owner->number] && !pipe->was_reset)
        return false;
    if (end->link == NULL) {
        char address[32];
        struct node_client with = client_at(other->owner, end, address);
        end->link = other->is_gone ? NULL : node_peer_accept(end->owner->node, &with);
        if (end->link == NULL) {
            end->is_gone = true;
            return true;
        }
        write_end(end);
        return true;
    }
    bool did_read = read_end(end);
    if (!did_read && other->is_gone) {
        close_end(end, !node_peer_wants_close(end->link));
        return true;
    }
    return did_read;
}

static bool serve_pipes(struct ring_node *of) {
    bool is_busy = false;
    for (struct ring_pipe *pipe = of->stage->pipes; pipe != NULL; pipe = pipe->next) {
        if (pipe->call_id != 0 && pipe->ends[0].owner == of && !pipe->ends[0].is_gone)
            is_busy = end_call(of, pipe) || is_busy;
        for (unsigned i = 0; i < 2; i++)
            if (pipe->ends[i].owner == of)
                is_busy = serve_end(&pipe->ends[i]) || is_busy;
    }
    return is_busy;
}

static bool settle_peers(struct ring_node *of) {
    struct ring_stage *stage = of->stage;
    struct node_call wish;
    struct peer_link *link;
    bool is_busy = false;
    while (node_next_call(of->node, &wish)) {
        unsigned to = wish.port - 17000u;
        bool is_known = to < stage->count && strncmp(wish.host, "10.0.0.", 7) == 0;
        pipe_new(stage, of, is_known ? &stage->nodes[to] : NULL)->call_id = wish.id;
        is_busy = true;
    }
    while ((link = node_peer_attention(of->node)) != NULL) {
        if (!of->is_mute)
            write_end(node_peer_owner(link));
        of->is_mute = of->is_mute || of->links_left == 1;
        of->links_left -= of->links_left != 0;
        is_busy = true;
    }
    return is_busy;
}

void ring_hold(struct ring_stage *stage, unsigned from, unsigned to, bool is_held) {
    stage->is_held[from][to] = is_held;
}

void ring_lose_calls(struct ring_stage *stage, unsigned from) {
    for (struct ring_pipe *pipe = stage->pipes; pipe != NULL; pipe = pipe->next)
        pipe->is_lost = pipe->is_lost || (pipe->call_id != 0 && pipe->ends[0].owner->number == from);
}

void ring_cut(struct ring_stage *stage, unsigned one, unsigned other, bool was_reset) {
    for (struct ring_pipe *pipe = stage->pipes; pipe != NULL; pipe = pipe->next) {
        struct ring_node *from = pipe->ends[0].owner, *to = pipe->ends[1].owner;
        if (to == NULL || pipe->call_id != 0 || from->number + to->number != one + other ||
            (from->number != one && from->number != other))
            continue;
        for (unsigned i = 0; i < 2; i++)
            if (!pipe->ends[i].is_gone)
                close_end(&pipe->ends[i], was_reset);
    }
}

/* ---- Clients ---- */

static struct ring_client *connect_to(struct ring_stage *stage, unsigned number, bool is_cluster_view) {
    struct ring_client *client = mem_alloc_zeroed(&stage->mem, sizeof *client);
    struct node_client with = {.owner = client,
                               .descriptor = -1,
                               .is_loopback = true,
                               .is_cluster_view = is_cluster_view,
                               .peer_address = "127.0.0.1:40000",
                               .local_address = "127.0.0.1:7000"};
    client->at = &stage->nodes[number];
    client->session = node_accept(client->at->node, &with);
    cr_assert_not_null(client->session);
    buffer_init(&client->unsent, &stage->mem);
    buffer_init(&client->heard, &stage->mem);
    buffer_init(&client->reply, &stage->mem);
    client->next = stage->clients;
    stage->clients = client;
    return client;
}

struct ring_client *ring_connect(struct ring_stage *stage, unsigned number) {
    return connect_to(stage, number, false);
}

struct ring_client *ring_connect_to_cluster_port(struct ring_stage *stage, unsigned number) {
    return connect_to(stage, number, true);
}

static void close_session(struct ring_client *client) {
    if (client->session != NULL)
        node_close(client->at->node, client->session);
    client->session = NULL;
    buffer_clear(&client->unsent);
}

void ring_disconnect(struct ring_client *client) {
    struct ring_stage *stage = client->at->stage;
    close_session(client);
    struct ring_client **at = &stage->clients;
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    buffer_release(&client->unsent);
    buffer_release(&client->heard);
    buffer_release(&client->reply);
    mem_free(&stage->mem, client, sizeof *client);
}

static bool settle_client(struct ring_client *client) {
    struct node *node = client->at->node;
    bool is_busy = false;
    struct node_span span;
    while ((span = node_output(node, client->session)).size != 0) {
        buffer_append(&client->heard, span.data, span.size);
        node_sent(node, client->session, span.size);
        is_busy = true;
    }
    if (node_wants_close(client->session)) {
        close_session(client);
        is_busy = true;
    }
    return is_busy;
}

static bool serve_client(struct ring_client *client) {
    struct node *node = client->at->node;
    if (client->unsent.size == 0 || !node_wants_read(node, client->session))
        return false;
    struct node_span space = node_input_space(node, client->session);
    size_t size = space.size < client->unsent.size ? space.size : client->unsent.size;
    if (size == 0)
        return false;
    memcpy(space.data, client->unsent.data, size);
    buffer_consume(&client->unsent, size);
    node_input(node, client->session, size);
    settle_client(client);
    return true;
}

static bool serve_clients(struct ring_node *of) {
    bool is_busy = false;
    for (struct ring_client *client = of->stage->clients; client != NULL; client = client->next)
        if (client->at == of && client->session != NULL)
            is_busy = serve_client(client) || is_busy;
    return is_busy;
}

static bool settle_attention(struct ring_node *of) {
    struct session *session;
    bool is_busy = false;
    while ((session = node_attention(of->node)) != NULL) {
        settle_client(session->owner);
        is_busy = true;
    }
    return is_busy;
}

/* ---- Life ---- */

struct ring_stage *ring_stage_new(unsigned count, const char *settings) {
    struct ring_stage *stage = calloc(1, sizeof *stage);
    cr_assert_not_null(stage);
    stage->count = count;
    stage->now_ns = UINT64_C(5000000000);
    for (unsigned i = 0; i < count; i++) {
        struct ring_node *of = &stage->nodes[i];
        of->stage = stage;
        of->number = i;
        of->settings = settings;
        of->random = i + 1;
        simulated_disk_init(&of->disk, &stage->mem, i);
    }
    return stage;
}

static void start(struct ring_stage *stage, unsigned number, bool has_seeds) {
    struct ring_node *of = &stage->nodes[number];
    struct config_problem problem;
    uint8_t fresh_id[NODE_ID_SIZE];
    char text[2048];
    int error = 0;
    cr_assert_null(of->node);
    of->starts++;
    crash_queue_init(&of->helper);
    cr_assert(config_init(&of->config, &of->config_mem));
    snprintf(text, sizeof text, "cluster-enabled yes\nport %u\nsave \"\"\nprotected-mode no\n%s%s",
             7000 + number, has_seeds ? "cluster-seeds 10.0.0.0:7000\n" : "",
             of->settings == NULL ? "" : of->settings);
    cr_assert(config_apply_text(&of->config, text, strlen(text), NULL, &problem), "%s", problem.text);
    host_random(of, fresh_id, sizeof fresh_id);
    identity_take(&of->identity, &of->disk.disk, "dump.rdb", fresh_id, &error);
    cr_assert_eq(error, 0);
    struct node_host host = {.context = of,
                             .clock_ns = host_clock_ns,
                             .thread_cpu_ns = host_cpu_ns,
                             .log = host_log,
                             .sleep_us = host_sleep_us,
                             .random = host_random,
                             .file_read = host_file_read,
                             .work = of->helper.queue,
                             .disk = of->disk.disk};
    poor_host_fill(&host);
    char host_name[16];
    snprintf(host_name, sizeof host_name, "10.0.0.%u", number);
    struct node_options options = {.mem = &of->mem,
                                   .host = &host,
                                   .config = &of->config,
                                   .identity = &of->identity,
                                   .start_empty = true,
                                   .host_name = host_name,
                                   .random_seed = number + 1,
                                   .monotonic_ns = stage->now_ns,
                                   .wall_us =
                                       RING_WALL_US + (int64_t)(stage->now_ns / 1000) + of->wall_shift_us};
    secret_hash_seed("", options.hash_seed);
    of->node = node_new(&options);
    cr_assert_not_null(of->node);
    bool was_idle = false;
    while (of->node->persistence.is_loading) {
        bool is_idle = !crash_queue_run(&of->helper) && !crash_queue_finish(&of->helper) &&
                       node_work(of->node) != 0 && of->node->persistence.is_loading;
        cr_assert(!is_idle || !was_idle); /* once: what the helper was given is waited for */
        was_idle = is_idle;
        node_turn(of->node, stage->now_ns, options.wall_us);
    }
}

void ring_start(struct ring_stage *stage, unsigned number) {
    start(stage, number, number != 0);
}

void ring_start_alone(struct ring_stage *stage, unsigned number) {
    start(stage, number, false);
}

static void end_process(struct ring_node *of) {
    struct ring_stage *stage = of->stage;
    for (struct ring_client *client = stage->clients; client != NULL; client = client->next)
        if (client->at == of)
            close_session(client);
    for (struct ring_pipe *pipe = stage->pipes; pipe != NULL; pipe = pipe->next)
        for (unsigned i = 0; i < 2; i++) {
            struct ring_pipe_end *end = &pipe->ends[i], *other = &pipe->ends[1 - i];
            if (end->owner != of || end->is_gone)
                continue;
            if (other->owner != NULL && stage->is_held[of->number][other->owner->number])
                buffer_clear(&other->incoming); /* it will never come */
            pipe->was_reset = true;
            close_end(end, false);
            if (i == 0 && pipe->call_id != 0)
                other->is_gone = true; /* it has not been told */
            pipe->call_id = 0;
        }
    while (!node_end(of->node))
        cr_assert(crash_queue_run(&of->helper) || crash_queue_finish(&of->helper),
                  "the node waits for nothing");
    while (crash_queue_run(&of->helper) || crash_queue_finish(&of->helper))
        continue;
    node_free(of->node);
    of->node = NULL;
    identity_release(&of->identity, &of->disk.disk);
    config_release(&of->config);
    cr_assert_eq(of->mem.used_bytes, 0, "node %u has leaked %zu bytes in %llu allocations", of->number,
                 of->mem.used_bytes, (unsigned long long)of->mem.allocations);
    cr_assert_eq(of->config_mem.used_bytes, 0);
}

void ring_kill(struct ring_stage *stage, unsigned number) {
    end_process(&stage->nodes[number]);
}

void ring_stop(struct ring_stage *stage, unsigned number) {
    stage->nodes[number].stopped_ns = stage->now_ns;
}

void ring_go_on(struct ring_stage *stage, unsigned number, bool has_worked) {
    struct ring_node *of = &stage->nodes[number];
    of->cpu_ns += has_worked ? stage->now_ns - of->stopped_ns : 0;
    of->stopped_ns = 0;
}

struct ring_stage *ring_stage_begin(unsigned count, const char *settings) {
    struct ring_stage *stage = ring_stage_new(count, settings);
    for (unsigned i = 0; i < count; i++)
        ring_start(stage, i);
    ring_settle(stage);
    return stage;
}

void ring_stage_end(struct ring_stage *stage) {
    while (stage->clients != NULL)
        ring_disconnect(stage->clients);
    for (unsigned i = 0; i < stage->count; i++) {
        if (stage->nodes[i].node != NULL)
            end_process(&stage->nodes[i]);
        simulated_disk_release(&stage->nodes[i].disk);
    }
    for (struct ring_pipe *pipe = stage->pipes; pipe != NULL; pipe = pipe->next)
        pipe->ends[0].is_gone = pipe->ends[1].is_gone = true;
    sweep_pipes(stage);
    cr_assert_eq(stage->mem.used_bytes, 0);
    free(stage);
}

/* ---- Steps ---- */

static bool turn(struct ring_node *of) {
    struct ring_stage *stage = of->stage;
    bool is_busy = false;
    node_turn(of->node, stage->now_ns, RING_WALL_US + (int64_t)(stage->now_ns / 1000) + of->wall_shift_us);
    while (crash_queue_run(&of->helper))
        is_busy = true;
    while (crash_queue_finish(&of->helper))
        is_busy = true;
    is_busy = serve_pipes(of) || is_busy;
    is_busy = serve_clients(of) || is_busy;
    is_busy = settle_attention(of) || is_busy;
    is_busy = node_work(of->node) == 0 || is_busy;
    is_busy = settle_attention(of) || is_busy;
    is_busy = settle_peers(of) || is_busy;
    return settle_attention(of) || is_busy;
}

bool ring_step(struct ring_stage *stage) {
    bool is_busy = false;
    for (unsigned i = 0; i < stage->count; i++)
        if (stage->nodes[i].node != NULL && stage->nodes[i].stopped_ns == 0)
            is_busy = turn(&stage->nodes[i]) || is_busy;
    sweep_pipes(stage);
    return is_busy;
}

void ring_turn(struct ring_stage *stage) {
    unsigned steps = 0;
    while (ring_step(stage))
        cr_assert(++steps < STEPS_MAX, "the nodes do not come to rest:\n%s", stage->nodes[0].log);
}

void ring_wait(struct ring_stage *stage, uint64_t ms) {
    ring_turn(stage);
    while (ms != 0) {
        uint64_t step_ms = ms < RING_STEP_MS ? ms : RING_STEP_MS;
        stage->now_ns += step_ms * 1000000;
        ms -= step_ms;
        ring_turn(stage);
    }
}

/* ---- Looking ---- */

/* A member's node: the ports tell. */
static unsigned number_of(const struct ring_node *at, uint16_t member) {
    if (member == ROUTE_NOBODY)
        return RING_NODES_MAX;
    return membership_member(at->node->cluster->membership, member)->entry.peer_port - 17000u;
}

static unsigned route(const struct ring_node *at, uint32_t slot) {
    return at->node->routes == NULL ? at->number : number_of(at, at->node->routes[slot]);
}

unsigned ring_coordinator(struct ring_stage *stage, unsigned at, const char *key) {
    struct argument argument = {
        .data = (const uint8_t *)key, .size = (uint32_t)strlen(key), .slot = ARGUMENT_NOT_PLACED};
    keyspace_place(stage->nodes[at].node->keyspace, &argument);
    return route(&stage->nodes[at], argument.slot);
}

struct ring_key ring_key_of(struct ring_stage *stage, unsigned at, unsigned coordinator, unsigned nth) {
    struct ring_key key;
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(key.text, sizeof key.text, "key:%u", i);
        if (ring_coordinator(stage, at, key.text) == coordinator && nth-- == 0)
            return key;
    }
    cr_assert_fail("node %u coordinates too little", coordinator);
    return key;
}

uint16_t ring_member(struct ring_stage *stage, unsigned at, unsigned other) {
    const struct membership *membership = stage->nodes[at].node->cluster->membership;
    for (uint32_t i = 0; i < membership_count(membership); i++)
        if (number_of(&stage->nodes[at], (uint16_t)i) == other &&
            (i == 0 || membership_member(membership, (uint16_t)i)->state != MEMBER_REMOVED))
            return (uint16_t)i;
    return RING_NOBODY;
}

int64_t ring_copy_size(struct ring_stage *stage, unsigned number, const char *key) {
    struct argument argument = {
        .data = (const uint8_t *)key, .size = (uint32_t)strlen(key), .slot = ARGUMENT_NOT_PLACED};
    keyspace_place(stage->nodes[number].node->keyspace, &argument);
    const struct record *record = keyspace_find_record(stage->nodes[number].node->keyspace, &argument);
    return record == NULL || record_type(record) == RECORD_TOMBSTONE ? -1
                                                                     : (int64_t)record_value_size(record);
}

/* Whether what one node knows of another that runs is that all is well. */
static bool sees_well(struct ring_stage *stage, const struct ring_node *at, const struct ring_node *other) {
    uint16_t member = ring_member(stage, at->number, other->number);
    if (member == RING_NOBODY)
        return false;
    const struct member *known = membership_member(at->node->cluster->membership, member);
    const struct peer *peer = cluster_peer(at->node->cluster, member);
    return known->state == MEMBER_UP && known->entry.is_settled && peer != NULL && peer_is_linked(peer) &&
           (peer->asked_count == 0 || peer->is_agreed);
}

static bool is_settled(struct ring_stage *stage) {
    const struct ring_node *first = NULL;
    for (unsigned i = 0; i < stage->count; i++) {
        const struct ring_node *one = &stage->nodes[i];
        if (one->node == NULL)
            continue;
        first = first == NULL ? one : first;
        if (!one->node->cluster->is_settled || one->node->cluster->must_update)
            return false;
        for (unsigned j = 0; j < stage->count; j++)
            if (j != i && stage->nodes[j].node != NULL && !sees_well(stage, one, &stage->nodes[j]))
                return false;
    }
    for (unsigned i = 0; i < stage->count; i++)
        if (stage->nodes[i].node != NULL)
            for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
                if (route(&stage->nodes[i], slot) != route(first, slot))
                    return false;
    return true;
}

static void fail_with_logs(struct ring_stage *stage, const char *what) {
    for (unsigned i = 0; i < stage->count; i++)
        fprintf(stderr, "--- log of node %u:\n%s", i, stage->nodes[i].log);
    cr_assert_fail("%s", what);
}

void ring_settle(struct ring_stage *stage) {
    ring_turn(stage);
    for (unsigned ms = 0; !is_settled(stage); ms += RING_STEP_MS) {
        if (ms >= RING_PATIENCE_MS)
            fail_with_logs(stage, "the nodes do not settle");
        ring_wait(stage, RING_STEP_MS);
    }
}

struct comparison {
    struct ring_stage *stage;
    const struct ring_node *at; /* whose records are looked at */
    bool differs;
};

/* The first node that runs and holds the slot; only for holders: NULL for others. */
static struct ring_node *first_holder(struct ring_stage *stage, const struct ring_node *at, uint32_t slot) {
    uint16_t holders[RING_COPIES_MAX];
    uint32_t count = cluster_holders(at->node->cluster, slot, holders);
    struct ring_node *first = NULL;
    bool is_holder = false;
    for (uint32_t i = 0; i < count; i++) {
        unsigned number = number_of(at, holders[i]);
        is_holder = is_holder || number == at->number;
        if (first == NULL && stage->nodes[number].node != NULL)
            first = &stage->nodes[number];
    }
    return is_holder ? first : NULL;
}

static bool are_equal_records(const struct record *one, const struct record *other) {
    return record_type(one) == record_type(other) && record_encoding(one) == record_encoding(other) &&
           record_expiry_ms(one) == record_expiry_ms(other) &&
           record_state_size(one) == record_state_size(other) &&
           record_value_size(one) == record_value_size(other) &&
           memcmp(record_value_const(one), record_value_const(other), record_value_size(one)) == 0;
}

static void compare_record(void *context, struct record *record) {
    struct comparison *comparison = context;
    struct argument key = {
        .data = record_key(record), .size = record_key_size(record), .slot = ARGUMENT_NOT_PLACED};
    keyspace_place(comparison->at->node->keyspace, &key);
    const struct ring_node *first = first_holder(comparison->stage, comparison->at, key.slot);
    if (first == NULL)
        return;
    struct record *other = keyspace_find_record(first->node->keyspace, &key);
    if (other == NULL || !are_equal_records(record, other))
        comparison->differs = true;
}

bool ring_copies_are_equal(struct ring_stage *stage) {
    struct comparison comparison = {.stage = stage};
    for (unsigned i = 0; i < stage->count && !comparison.differs; i++) {
        const struct ring_node *at = comparison.at = &stage->nodes[i];
        if (at->node == NULL)
            continue;
        struct keyspace *keyspace = at->node->keyspace;
        for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
            const struct ring_node *first = first_holder(stage, at, slot);
            if (first == NULL)
                continue;
            struct keyspace *other = first->node->keyspace;
            if (keyspace->ledger->digests[slot] != other->ledger->digests[slot] ||
                keyspace->ledger->flush_counters[slot] != other->ledger->flush_counters[slot] ||
                keyspace->ledger->tombstones[slot] != other->ledger->tombstones[slot] ||
                keyspace_slot_size(keyspace, slot) != keyspace_slot_size(other, slot))
                return false;
        }
        uint64_t cursor = 0;
        do
            cursor = keyspace_scan(keyspace, 0, cursor, 1000, compare_record, &comparison);
        while (cursor != 0);
    }
    return !comparison.differs;
}

void ring_expect_equal_copies(struct ring_stage *stage) {
    ring_turn(stage);
    for (unsigned ms = 0; !ring_copies_are_equal(stage); ms += 50) {
        if (ms >= RING_PATIENCE_MS)
            fail_with_logs(stage, "the copies do not become equal");
        ring_wait(stage, 50);
    }
}

/* ---- Talk ---- */

void ring_say(struct ring_client *client, const char *line) {
    buffer_append_text(&client->unsent, line);
    buffer_append_text(&client->unsent, "\r\n");
}

void ring_say_format(struct ring_client *client, const char *format, ...) {
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    cr_assert(size > 0 && (size_t)size < sizeof line);
    ring_say(client, line);
}

void ring_say_words(struct ring_client *client, unsigned count, const void *const *words,
                    const size_t *sizes) {
    buffer_append_format(&client->unsent, "*%u\r\n", count);
    for (unsigned i = 0; i < count; i++) {
        buffer_append_format(&client->unsent, "$%zu\r\n", sizes[i]);
        buffer_append(&client->unsent, words[i], sizes[i]);
        buffer_append(&client->unsent, "\r\n", 2);
    }
}

/* The size of the reply that begins here; 0: it is not complete. */
static size_t reply_size(const uint8_t *data, size_t size) {
    size_t at = 0;
    uint64_t left = 1;
    while (left != 0) {
        const uint8_t *end = at < size ? memchr(data + at, '\n', size - at) : NULL;
        if (end == NULL)
            return 0;
        char type = (char)data[at];
        int64_t number = 0; /* of a line that is no number nobody asks */
        (void)number_parse_int64((const char *)data + at + 1, (size_t)(end - data) - at - 2, &number);
        at = (size_t)(end - data) + 1;
        left--;
        if ((type == '$' || type == '=') && number >= 0)
            at += (size_t)number + 2;
        else if ((type == '*' || type == '~' || type == '>') && number > 0)
            left += (uint64_t)number;
        else if (type == '%')
            left += 2 * (uint64_t)number;
    }
    return at <= size ? at : 0;
}

const char *ring_hear_now(struct ring_client *client) {
    size_t size = reply_size(client->heard.data, client->heard.size);
    buffer_clear(&client->reply);
    buffer_append(&client->reply, client->heard.data, size);
    buffer_append_byte(&client->reply, 0);
    if (size != 0)
        buffer_consume(&client->heard, size);
    return (const char *)client->reply.data;
}

size_t ring_heard_size(const struct ring_client *client) {
    return client->reply.size - 1;
}

const char *ring_hear(struct ring_client *client) {
    struct ring_stage *stage = client->at->stage;
    for (unsigned ms = 0;; ms += RING_STEP_MS) {
        if (ring_hear_now(client)[0] != '\0')
            return (const char *)client->reply.data;
        if (ms == 0)
            ring_turn(stage);
        else if (ms < RING_PATIENCE_MS)
            ring_wait(stage, RING_STEP_MS);
        else
            fail_with_logs(stage, "no reply has come");
        if (client->session == NULL && client->heard.size == 0)
            return "(closed)";
    }
}

const char *ring_ask(struct ring_client *client, const char *line) {
    ring_say(client, line);
    return ring_hear(client);
}

const char *ring_ask_format(struct ring_client *client, const char *format, ...) {
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    cr_assert(size > 0 && (size_t)size < sizeof line);
    return ring_ask(client, line);
}
