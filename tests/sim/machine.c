/* machine.c - the loop of the simulated process, turn by turn.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/machine.h"

#include "sim/poor_host.h"

#include "node/state.h"
#include "sim/invariants.h"

#include <errno.h>
#include <stdio.h>

#define PASSWORD_LINE "requirepass secret\n"

/* ---- What the node asks of the world ---- */

static uint64_t host_clock_ns(void *context) {
    struct machine *machine = context;
    machine->busy_ns += machine->swarm->slow_call_ns;
    return machine->world->now_ns + machine->busy_ns;
}

static void host_log(void *context, enum node_log_level level, const char *text) {
    struct machine *machine = context;
    char readable[TRACE_LINE_SIZE];
    world_note(machine->world, "log %d %s", level,
               trace_readable(readable, sizeof readable, text, strlen(text)));
    if (machine->is_working)
        machine->observer.logged(machine->observer.context, text);
}

static void host_sleep_us(void *context, uint64_t us) {
    struct machine *machine = context;
    machine->busy_ns += us * 1000;
}

static void wake_at(struct machine *machine, uint64_t time_ns);

/* ---- The helper and its disk ---- */

/* The disk makes errors, or is full, for a while. */
static void begin_trouble(struct machine *machine, struct simulated_disk *disk, bool is_full) {
    struct world *world = machine->world;
    struct rng *rng = world_random(world, CHANCE_DISK);
    if (is_full)
        disk->faults = (struct disk_faults){.has_room_left = true, .room_bytes = rng_below(rng, 20000)};
    else
        disk->faults =
            (struct disk_faults){.fail_at = disk->operations + chance_between(rng, 1, 12),
                                 .fail_for = chance_permille(rng, 500) ? 1 : chance_magnitude(rng, 1, 1000),
                                 .fail_error = chance_permille(rng, 700) ? EIO : ENOSPC};
    machine->has_trouble = true;
    machine->troubles++;
    machine->trouble_until_ns =
        world->now_ns + chance_magnitude(rng, 1000000, machine->swarm->disk.trouble_max_ns);
    world_note(world, "the disk %s", is_full ? "is full" : "makes errors");
}

static void change_disk(struct machine *machine) {
    const struct disk_conditions *conditions = &machine->swarm->disk;
    struct simulated_disk *disk = &machine->disks[machine->disk];
    struct rng *rng = world_random(machine->world, CHANCE_DISK);
    bool has_errors = conditions->error_permille != 0, has_end = conditions->full_permille != 0;
    if (machine->has_trouble &&
        (machine->world->now_ns >= machine->trouble_until_ns || (!has_errors && !has_end))) {
        disk->faults = (struct disk_faults){0};
        machine->has_trouble = false;
        world_note(machine->world, "the disk is well again");
    }
    if (machine->has_trouble || machine->node->persistence.is_loading)
        return;
    if (has_errors && chance_permille(rng, conditions->error_permille))
        begin_trouble(machine, disk, false);
    else if (has_end && chance_permille(rng, conditions->full_permille))
        begin_trouble(machine, disk, true);
}

static void help_later(struct machine *machine);

/* A piece of work is done; the node hears of it in its next turn. */
static void help(void *context) {
    struct machine *machine = context;
    if (machine->node == NULL || machine->world->now_ns != machine->help_ns)
        return; /* that was another process */
    machine->help_ns = UINT64_MAX;
    change_disk(machine);
    CHECK(crash_queue_run(&machine->helper));
    wake_at(machine, machine->world->now_ns);
    help_later(machine);
}

static void help_later(struct machine *machine) {
    const struct disk_conditions *conditions = &machine->swarm->disk;
    if (machine->help_ns != UINT64_MAX || machine->helper.waiting.first == NULL)
        return;
    machine->help_ns =
        machine->world->now_ns + chance_between(world_random(machine->world, CHANCE_DISK),
                                                conditions->help_min_ns, conditions->help_max_ns);
    world_at(machine->world, machine->help_ns, help, machine);
}

static void submit(void *context, struct work *work) {
    struct machine *machine = context;
    crash_queue_submit(&machine->helper, work);
    help_later(machine);
}

/* ---- Start ---- */

static void configure(struct machine *machine) {
    const struct swarm *swarm = machine->swarm;
    CHECK(config_init(&machine->config, &machine->mem));
    char text[512], rule[64] = "save \"\"";
    if (swarm->disk.rule_changes != 0)
        snprintf(rule, sizeof rule, "save %u %u", swarm->disk.rule_s, swarm->disk.rule_changes);
    int size = snprintf(text, sizeof text,
                        "%smaxclients %u\ntimeout %u\nslowlog-log-slower-than 1000\n"
                        "latency-monitor-threshold 1\nstop-writes-on-bgsave-error %s\n%s\n",
                        swarm->has_password ? PASSWORD_LINE : "", swarm->maxclients, swarm->timeout_s,
                        swarm->disk.stops_writes ? "yes" : "no", rule);
    struct config_problem problem;
    CHECK(config_apply_text(&machine->config, text, (size_t)size, NULL, &problem));
}

static struct node *make_node(struct machine *machine) {
    struct world *world = machine->world;
    struct node_host host = {.context = machine,
                             .clock_ns = host_clock_ns,
                             .thread_cpu_ns = host_clock_ns,
                             .log = host_log,
                             .sleep_us = host_sleep_us,
                             .work = {.context = machine, .submit = submit},
                             .disk = machine->disks[machine->disk].disk};
    poor_host_fill(&host);
    struct node_options options = {.mem = &machine->mem,
                                   .host = &host,
                                   .config = &machine->config,
                                   .identity = &machine->identity,
                                   .monotonic_ns = world->now_ns,
                                   .wall_us = world_wall_us(world)};
    struct rng *rng = world_random(world, CHANCE_NODE);
    for (unsigned i = 0; i < HASH_SEED_SIZE; i++)
        options.hash_seed[i] = (uint8_t)rng_next64(rng);
    for (unsigned i = 0; i < sizeof options.run_id; i++)
        options.run_id[i] = (uint8_t)rng_next64(rng);
    options.random_seed = rng_next64(rng);
    return node_new(&options);
}

/* The next process, on what there is. Who it is, it knows before anything can go wrong. */
static void begin_process(struct machine *machine) {
    struct world *world = machine->world;
    struct simulated_disk *disk = &machine->disks[machine->disk];
    uint8_t fresh_id[NODE_ID_SIZE];
    int error;
    for (unsigned i = 0; i < sizeof fresh_id; i++)
        fresh_id[i] = (uint8_t)rng_next64(world_random(world, CHANCE_DISK));
    disk->faults = (struct disk_faults){0};
    machine->has_trouble = false;
    machine->help_ns = UINT64_MAX;
    crash_queue_init(&machine->helper);
    enum identity_status status =
        identity_take(&machine->identity, &disk->disk, MACHINE_CHECKPOINT, fresh_id, &error);
    if (status != (machine->processes == 0 ? IDENTITY_NEW : IDENTITY_TAKEN))
        world_fail(world, "process %u does not know who it is (status %d, error %d)", machine->processes,
                   status, error);
    machine->processes++;
    machine->node = make_node(machine);
    CHECK(machine->node != NULL);
    machine->last_wall_us = world_wall_us(world);
    machine->observer.begun(machine->observer.context);
    wake_at(machine, world->now_ns);
}

void machine_start(struct machine *machine, struct world *world, const struct swarm *swarm,
                   const struct machine_observer *observer, struct sightings *sightings) {
    *machine = (struct machine){
        .world = world, .swarm = swarm, .observer = *observer, .wake_ns = UINT64_MAX, .sightings = sightings};
    configure(machine);
    machine->limit_on_top = swarm->maxmemory;
    machine->next_jump_ns = world->now_ns + swarm->jump_every_ns;
    simulated_disk_init(&machine->disks[0], &world->mem, rng_next64(world_random(world, CHANCE_DISK)));
    begin_process(machine);
}

/* ---- Connections ---- */

/* All that a session has produced and not sent. The node itself hides it once the session is killed. */
static struct node_span unsent(const struct session *session) {
    const struct buffer *out = session->reply.out;
    size_t done = out == &session->pending ? session->pending_sent : 0;
    return (struct node_span){out->data + done, out->size - done};
}

/* Whether an allocation may have failed since the fuse was looked at. */
static bool fuse_may_have_blown(const struct machine *machine, uint64_t before) {
    return before != 0 && (machine->mem.fuse == 0 || machine->mem.fuse_stays_blown);
}

static bool note_memory(struct machine *machine, uint64_t fuse_before) {
    bool failed = fuse_may_have_blown(machine, fuse_before);
    machine->memory_failed = machine->memory_failed || failed;
    machine->failed_allocations += failed;
    machine->troubles += failed;
    return failed;
}

/* Tells the observer what the node has produced for the connection since the last time. */
static void observe(struct machine *machine, struct connection *connection, uint64_t fuse_before,
                    size_t used_before) {
    struct session *session = connection->session;
    struct node_span span = unsent(session);
    uint64_t total = connection->sent + span.size;
    size_t fresh = (size_t)(total - connection->produced);
    bool memory_failed = note_memory(machine, fuse_before);
    struct production production = {
        .data = fresh == 0 ? NULL : span.data + (span.size - fresh),
        .size = fresh,
        .is_held = session->flags & (SESSION_CLOGGED | SESSION_PAUSED | SESSION_RESUME | SESSION_BLOCKED),
        .is_waiting = session->flags & SESSION_BLOCKED,
        .is_killed = session->flags & SESSION_CLOSE_NOW,
        .is_closing = session->flags & SESSION_CLOSE_AFTER_REPLY,
        .memory_failed = memory_failed,
        .memory_failed_in_turn = machine->memory_failed,
        .used_before = used_before,
        .used_after = machine->mem.used_bytes};
    connection->produced = total;
    machine->observer.produced(machine->observer.context, connection, &production);
}

static void close_connection(struct machine *machine, struct connection *connection, enum close_cause cause) {
    machine->observer.closed(machine->observer.context, connection, cause);
    node_close(machine->node, connection->session);
    stream_close(connection->end);
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        machine->connections = connection->next;
    machine->open_connections--;
    connection->end->context = NULL;
    connection->end->ready = NULL;
    world_free(machine->world, connection, sizeof *connection);
}

/* Sends what there is, closes where that is asked for. */
static void settle(struct machine *machine, struct connection *connection) {
    struct session *session = connection->session;
    uint64_t fuse_before = machine->mem.fuse;
    struct node_span span = node_output(machine->node, session);
    if (span.size != 0) {
        size_t sent = stream_write(connection->end, span.data, span.size);
        node_sent(machine->node, session, sent);
        connection->sent += sent;
        machine->sightings->seen[SIGHTING_PARTIAL_WRITE] += sent < span.size;
    }
    note_memory(machine, fuse_before);
    if (node_wants_close(session))
        close_connection(machine, connection,
                         machine->memory_failed ? CLOSED_WITHOUT_MEMORY : CLOSED_BY_NODE);
    else if (node_wants_write(session) && stream_has_room(connection->end))
        machine_ready(connection);
}

static void stream_ready(void *context) {
    machine_ready(context);
}

struct connection *machine_accept(struct machine *machine, struct stream_end *end,
                                  const struct client_place *place, void *watch) {
    struct node_client client = {.descriptor = -1,
                                 .is_loopback = place->is_here,
                                 .peer_address = place->address,
                                 .local_address = "127.0.0.1:6379"};
    struct connection *connection = world_alloc(machine->world, sizeof *connection);
    client.owner = connection;
    connection->machine = machine;
    connection->end = end;
    connection->watch = watch;
    connection->is_here = place->is_here;
    end->context = connection;
    end->ready = stream_ready;
    uint64_t fuse_before = machine->mem.fuse;
    size_t used_before = machine->mem.used_bytes;
    connection->session = node_accept(machine->node, &client);
    if (connection->session == NULL) {
        if (!note_memory(machine, fuse_before))
            world_fail(machine->world, "a connection was refused without a lack of memory");
        world_free(machine->world, connection, sizeof *connection);
        end->context = NULL;
        end->ready = NULL;
        stream_close(end);
        return NULL;
    }
    connection->next = machine->connections;
    if (connection->next != NULL)
        connection->next->previous = connection;
    machine->connections = connection;
    machine->open_connections++;
    observe(machine, connection, fuse_before, used_before);
    machine_ready(connection);
    return connection;
}

void machine_ready(struct connection *connection) {
    connection->is_ready = true;
    wake_at(connection->machine, connection->machine->world->now_ns);
}

void machine_wake(struct machine *machine) {
    for (struct connection *connection = machine->connections; connection != NULL;
         connection = connection->next)
        machine_ready(connection);
}

/* ---- Turns ---- */

/* What is left to read is read in the next turn; while the session is held back, when it no longer is. */
static void ready_again(struct machine *machine, struct connection *connection) {
    if (stream_is_over(connection->end) ||
        (stream_has_bytes(connection->end) && node_wants_read(machine->node, connection->session)))
        machine_ready(connection);
}

static void serve(struct machine *machine, struct connection *connection) {
    connection->is_ready = false;
    struct session *session = connection->session;
    uint64_t fuse_before = machine->mem.fuse;
    size_t used_before = machine->mem.used_bytes;
    if (stream_has_bytes(connection->end) && node_wants_read(machine->node, session)) {
        struct node_span span = node_input_space(machine->node, session);
        size_t size = span.size == 0 ? 0 : stream_read(connection->end, span.data, span.size);
        if (size != 0) {
            connection->taken += size;
            node_input(machine->node, session, size);
        }
    } else if (stream_is_over(connection->end)) {
        close_connection(machine, connection, CLOSED_BY_PEER);
        return;
    }
    observe(machine, connection, fuse_before, used_before);
    ready_again(machine, connection);
    settle(machine, connection);
}

/* A session that the node names may have executed what was held back. */
static void settle_attention(struct machine *machine) {
    for (;;) {
        uint64_t fuse_before = machine->mem.fuse;
        size_t used_before = machine->mem.used_bytes;
        struct session *session = node_attention(machine->node);
        if (session == NULL)
            return;
        struct connection *connection = session->owner;
        observe(machine, connection, fuse_before, used_before);
        ready_again(machine, connection);
        settle(machine, connection);
    }
}

/* All that are ready, in the order of their numbers or in any. */
static void serve_all(struct machine *machine) {
    struct world *world = machine->world;
    size_t bytes = (machine->open_connections + 1) * sizeof(struct connection *);
    struct connection **ready = world_alloc(world, bytes);
    size_t count = 0;
    for (struct connection *connection = machine->connections; connection != NULL;
         connection = connection->next)
        if (connection->is_ready)
            ready[count++] = connection;
    if (machine->swarm->shuffles_sessions)
        for (size_t i = count; i > 1; i--) {
            size_t other = rng_below(world_random(world, CHANCE_NETWORK), i);
            struct connection *kept = ready[i - 1];
            ready[i - 1] = ready[other];
            ready[other] = kept;
        }
    for (size_t i = 0; i < count; i++)
        serve(machine, ready[i]);
    world_free(world, ready, bytes);
}

static void maybe_jump(struct machine *machine) {
    const struct swarm *swarm = machine->swarm;
    struct world *world = machine->world;
    if (swarm->jump_every_ns == 0 || world->now_ns < machine->next_jump_ns)
        return;
    struct rng *rng = world_random(world, CHANCE_CLOCK);
    int64_t jump_us = (int64_t)chance_magnitude(rng, 1, swarm->jump_max_ms * 1000);
    if (chance_permille(rng, 500))
        jump_us = -jump_us;
    world->wall_offset_us += jump_us;
    machine->next_jump_ns = world->now_ns + chance_between(rng, 1, 2 * swarm->jump_every_ns);
    world_note(world, "wall clock jumps by %lld us", (long long)jump_us);
}

static void maybe_fail_allocations(struct machine *machine) {
    const struct swarm *swarm = machine->swarm;
    struct rng *rng = world_random(machine->world, CHANCE_MEMORY);
    if (machine->is_calm || swarm->no_memory_permille == 0 ||
        !chance_permille(rng, swarm->no_memory_permille))
        return;
    machine->mem.fuse = chance_between(rng, 1, swarm->no_memory_depth);
    machine->mem.fuse_stays_blown = chance_permille(rng, 300);
    machine->has_fuse = true;
    world_note(machine->world, "allocation %llu%s fails", (unsigned long long)machine->mem.fuse,
               machine->mem.fuse_stays_blown ? " and all later ones" : "");
}

/* Background work, with an eye on how much it does at once. */
static uint32_t work(struct machine *machine) {
    struct step_watch watch;
    uint64_t fuse_before = machine->mem.fuse;
    step_watch_begin(&watch, machine);
    machine->is_working = true;
    uint32_t wait_ms = node_work(machine->node);
    machine->is_working = false;
    step_watch_end(&watch, machine);
    note_memory(machine, fuse_before);
    machine->observer.worked(machine->observer.context);
    if (!machine->node->persistence.is_loading) {
        machine->is_calm = false;
        /* On top of what the node takes by itself. */
        if (machine->limit_on_top != 0)
            machine->config.maxmemory = machine->mem.used_bytes + machine->limit_on_top;
        machine->limit_on_top = 0;
    }
    machine->background_steps++;
    return wait_ms;
}

static void turn(struct machine *machine) {
    struct world *world = machine->world;
    machine->turns++;
    machine->busy_ns = 0;
    machine->memory_failed = false;
    maybe_jump(machine);
    int64_t wall_us = world_wall_us(world);
    node_turn(machine->node, world->now_ns, wall_us);
    machine->observer.turn(machine->observer.context, wall_us < machine->last_wall_us);
    machine->last_wall_us = wall_us;
    while (crash_queue_finish(&machine->helper))
        continue;
    maybe_fail_allocations(machine);
    serve_all(machine);
    settle_attention(machine);
    uint32_t wait_ms = work(machine);
    settle_attention(machine);
    machine->mem.fuse = 0;
    machine->mem.fuse_stays_blown = machine->has_fuse = false;
    if (node_shutdown_wish(machine->node) != NODE_RUNNING) {
        machine_end(machine, PROCESS_ENDED);
        return;
    }
    uint64_t again_ns = world->now_ns + machine->busy_ns + (uint64_t)wait_ms * 1000000;
    /* 0: at once. A turn takes time, though, or the world would stand still. */
    if (again_ns <= world->now_ns)
        again_ns = world->now_ns + 1000;
    if (machine->busy_ns > 1000)
        machine->stands_still_until_ns = world->now_ns + machine->busy_ns;
    wake_at(machine, again_ns);
}

static void wake(void *context) {
    struct machine *machine = context;
    struct world *world = machine->world;
    if (world->now_ns != machine->wake_ns || machine->node == NULL)
        return; /* an earlier turn took its place */
    machine->wake_ns = UINT64_MAX;
    if (world->now_ns < machine->stands_still_until_ns) {
        wake_at(machine, machine->stands_still_until_ns);
        return;
    }
    struct rng *rng = world_random(world, CHANCE_CLOCK);
    if (machine->swarm->pause_permille != 0 && chance_permille(rng, machine->swarm->pause_permille)) {
        machine->stands_still_until_ns =
            world->now_ns + chance_magnitude(rng, 1000, machine->swarm->pause_max_ns);
        world_note(world, "the process stands still for %llu us",
                   (unsigned long long)(machine->stands_still_until_ns - world->now_ns) / 1000);
        wake_at(machine, machine->stands_still_until_ns);
        return;
    }
    turn(machine);
}

static void wake_at(struct machine *machine, uint64_t time_ns) {
    if (time_ns < machine->stands_still_until_ns)
        time_ns = machine->stands_still_until_ns;
    if (time_ns < machine->world->now_ns)
        time_ns = machine->world->now_ns;
    if (time_ns >= machine->wake_ns)
        return;
    machine->wake_ns = time_ns;
    world_at(machine->world, time_ns, wake, machine);
}

/* ---- Ends ---- */

/* Closes all, and frees what the process had in memory. What its helper still does, it does to a disk that nobody will see. */
static void end_process(struct machine *machine) {
    struct simulated_disk *disk = &machine->disks[machine->disk];
    disk->faults = (struct disk_faults){0};
    while (!node_end(machine->node)) {
        if (!crash_queue_run(&machine->helper) && !crash_queue_finish(&machine->helper)) {
            world_fail(machine->world, "the node does not come to its end, and the helper has nothing to do");
            break;
        }
    }
    while (crash_queue_run(&machine->helper) || crash_queue_finish(&machine->helper))
        continue;
    node_free(machine->node);
    machine->node = NULL;
    identity_release(&machine->identity, &disk->disk);
    if (disk->open_files != NULL)
        world_fail(machine->world, "I-LEAK: a file is still open");
}

void machine_ask_to_end(struct machine *machine, enum node_stop how) {
    world_note(machine->world, "the process is asked to end (%d)", how);
    node_stop(machine->node, how);
    machine->observer.worked(machine->observer.context);
    wake_at(machine, machine->world->now_ns);
}

void machine_end(struct machine *machine, enum process_end end) {
    struct simulated_disk *disk = &machine->disks[machine->disk], *left = &machine->disks[1 - machine->disk];
    world_note(machine->world, "the process %s",
               end == PROCESS_ENDED    ? "ends"
               : end == PROCESS_KILLED ? "is killed"
                                       : "ends with the power");
    while (machine->connections != NULL)
        close_connection(machine, machine->connections, CLOSED_BY_END);
    machine->observer.ends(machine->observer.context, end);
    machine->is_calm = node_shutdown_wish(machine->node) == NODE_SHUTDOWN_REFUSED;
    if (end == PROCESS_KILLED)
        simulated_disk_copy(disk, left);
    else if (end == PROCESS_LOST_POWER)
        simulated_disk_crash(disk, left, world_random(machine->world, CHANCE_DISK));
    end_process(machine);
    if (end != PROCESS_ENDED) {
        simulated_disk_release(disk);
        machine->disk = 1 - machine->disk;
    }
    begin_process(machine);
}

void machine_stop(struct machine *machine) {
    while (machine->connections != NULL)
        close_connection(machine, machine->connections, CLOSED_BY_END);
    end_process(machine);
    simulated_disk_release(&machine->disks[machine->disk]);
    config_release(&machine->config);
    if (machine->mem.used_bytes != 0 || machine->mem.allocations != 0)
        world_fail(machine->world, "I-LEAK: %zu bytes in %llu allocations were never given back",
                   machine->mem.used_bytes, (unsigned long long)machine->mem.allocations);
}
