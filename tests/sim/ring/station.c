/* station.c - processes, and their loop turn by turn.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/station.h"

#include "sim/poor_host.h"

#include "cluster/secret.h"
#include "node/cluster.h"
#include "node/state.h"

#include <stdio.h>

#define CHECKPOINT "dump.rdb"
/* What one call of the node may take of memory beside what it was given: a frame, and the table that a slot may need. */
#define STEP_BYTES_MAX ((size_t)48 << 20)

static void wake_at(struct station *station, uint64_t time_ns);

/* ---- What the node asks of the world ---- */

static uint64_t host_clock_ns(void *context) {
    struct station *station = context;
    station->steps.clock_calls++;
    station->busy_ns += 50;
    return station->world->now_ns + station->busy_ns;
}

/* A process that stands still does not work meanwhile. */
static uint64_t host_cpu_ns(void *context) {
    struct station *station = context;
    return station->worked_ns + station->busy_ns;
}

static void host_log(void *context, enum node_log_level level, const char *text) {
    struct station *station = context;
    char readable[TRACE_LINE_SIZE];
    world_note(station->world, "%u log %d %s", station->number, level,
               trace_readable(readable, sizeof readable, text, strlen(text)));
}

static void host_sleep_us(void *context, uint64_t us) {
    struct station *station = context;
    station->busy_ns += us * 1000;
}

static void host_random(void *context, void *bytes, size_t size) {
    struct station *station = context;
    uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)rng_next64(world_random(station->world, CHANCE_NODE));
}

static bool host_file_read(void *context, const char *path, struct buffer *text, char error[256]) {
    (void)context;
    (void)text;
    snprintf(error, 256, "no file %s", path);
    return false;
}

/* ---- The helper ---- */

static void help_later(struct station *station);

static void help(void *context) {
    struct station *station = context;
    if (station->node == NULL || station->world->now_ns != station->help_ns)
        return; /* that was another process */
    station->help_ns = UINT64_MAX;
    CHECK(crash_queue_run(&station->helper));
    wake_at(station, station->world->now_ns);
    help_later(station);
}

static void help_later(struct station *station) {
    if (station->help_ns != UINT64_MAX || station->helper.waiting.first == NULL)
        return;
    station->help_ns = station->world->now_ns + chance_between(world_random(station->world, CHANCE_DISK),
                                                               10000, station->conditions->help_max_ns);
    world_at(station->world, station->help_ns, help, station);
}

static void submit(void *context, struct work *work) {
    struct station *station = context;
    crash_queue_submit(&station->helper, work);
    help_later(station);
}

/* ---- Processes ---- */

void station_init(struct station *station, struct world *world, struct network *network,
                  const struct conditions *conditions, uint32_t number) {
    *station = (struct station){.world = world,
                                .network = network,
                                .conditions = conditions,
                                .number = number,
                                .wake_ns = UINT64_MAX,
                                .alarm_ns = UINT64_MAX,
                                .help_ns = UINT64_MAX};
    snprintf(station->address, sizeof station->address, STATION_ADDRESS "%u", number);
    station->last_ready = &station->first_ready;
    station->last_client = &station->first_client;
}

void station_release(struct station *station) {
    CHECK(station->node == NULL);
    while (station->dials_ended != NULL) {
        struct dial *dial = station->dials_ended;
        station->dials_ended = dial->next;
        world_free(station->world, dial, sizeof *dial);
    }
    if (station->has_disk)
        simulated_disk_release(&station->disks[station->disk]);
    if (station->has_old_disk)
        simulated_disk_release(&station->old_disk);
}

static void configure(struct station *station) {
    const struct conditions *conditions = station->conditions;
    struct config *config = &station->config;
    CHECK(config_init(config, &station->mem));
    config->port = STATION_PORT;
    config->cluster_enabled = true;
    config->replication_factor = conditions->copies;
    config->protected_mode = false;
    if (conditions->gossip_interval_ms != 0) {
        config->gossip_interval_ms = conditions->gossip_interval_ms;
        config->suspect_timeout_ms = conditions->suspect_timeout_ms;
    }
    config->save_count = conditions->save_changes != 0;
    config->save[0] = (struct save_rule){conditions->save_s, conditions->save_changes};
    const struct quorum_conditions *quorum = &conditions->quorum;
    if (quorum->reads != 0) {
        config->consistency = CONSISTENCY_CUSTOM;
        config->read_quorum = quorum->reads;
        config->write_quorum = quorum->writes;
    }
    config->quorum_timeout_ms = quorum->timeout_ms != 0 ? quorum->timeout_ms : config->quorum_timeout_ms;
    config->sloppy_quorum = !quorum->is_strict;
    config->partition_mode = quorum->wants_majority ? PARTITION_MAJORITY : PARTITION_AVAILABLE;
    config->hinted_handoff = conditions->repair == REPAIR_ALL || conditions->repair == REPAIR_HINTS;
    config->anti_entropy = conditions->repair == REPAIR_ALL || conditions->repair == REPAIR_COMPARING;
    if (conditions->tombstone_grace_s != 0) {
        config->hint_window_s = conditions->hint_window_s;
        config->tombstone_grace_s = conditions->tombstone_grace_s;
    }
    if (conditions->keeps_conflicts)
        CHECK(config_replace_text(config, &config->conflict_keep, KEPT_PREFIXES));
    CHECK(config_replace_text(config, &config->cluster_seeds, station->seeds));
    CHECK(config_replace_text(config, &config->cluster_secret, station->secret));
}

static struct node *make_node(struct station *station) {
    struct world *world = station->world;
    struct node_host host = {.context = station,
                             .clock_ns = host_clock_ns,
                             .thread_cpu_ns = host_cpu_ns,
                             .log = host_log,
                             .sleep_us = host_sleep_us,
                             .random = host_random,
                             .file_read = host_file_read,
                             .work = {.context = station, .submit = submit},
                             .disk = station->disks[station->disk].disk};
    poor_host_fill(&host);
    struct node_options options = {.mem = &station->mem,
                                   .host = &host,
                                   .config = &station->config,
                                   .identity = &station->identity,
                                   .start_empty = true,
                                   .host_name = station->address,
                                   .monotonic_ns = world->now_ns,
                                   .wall_us = station_wall_us(station)};
    secret_hash_seed(station->secret, options.hash_seed);
    host_random(station, options.run_id, sizeof options.run_id);
    host_random(station, &options.random_seed, sizeof options.random_seed);
    return node_new(&options);
}

static void prepare_disk(struct station *station, enum disk_fate fate) {
    struct world *world = station->world;
    struct simulated_disk *disk = &station->disks[station->disk];
    if (station->has_disk && fate == DISK_KEPT)
        return;
    if (station->has_disk)
        simulated_disk_release(disk);
    if (fate == DISK_ROLLED_BACK && station->has_old_disk)
        simulated_disk_copy(&station->old_disk, disk);
    else
        simulated_disk_init(disk, &world->mem, rng_next64(world_random(world, CHANCE_DISK)));
    station->has_disk = true;
}

void station_begin(struct station *station, enum disk_fate fate) {
    struct world *world = station->world;
    uint8_t fresh_id[NODE_ID_SIZE];
    int error;
    CHECK(station->node == NULL);
    prepare_disk(station, fate);
    struct simulated_disk *disk = &station->disks[station->disk];
    host_random(station, fresh_id, sizeof fresh_id);
    station->is_off = station->is_asked_to_end = false;
    station->process++;
    station->help_ns = UINT64_MAX;
    station->membership_epoch = station->route_epoch = 0;
    station->stands_still_until_ns = 0;
    crash_queue_init(&station->helper);
    configure(station);
    enum identity_status status =
        identity_take(&station->identity, &disk->disk, CHECKPOINT, fresh_id, &error);
    if (status != IDENTITY_NEW && status != IDENTITY_TAKEN)
        world_fail(world, "node %u does not know who it is (status %d, error %d)", station->number, status,
                   error);
    char id[IDENTITY_ID_SIZE];
    identity_print_id(station->identity.actor.node_id, id);
    world_note(world, "node %u begins, process %u, as %.8s... incarnation %llu%s", station->number,
               station->process, id, (unsigned long long)station->identity.actor.incarnation,
               fate == DISK_LOST          ? ", its disk is new"
               : fate == DISK_ROLLED_BACK ? ", its disk is an old one"
                                          : "");
    station->node = make_node(station);
    CHECK(station->node != NULL);
    network_process_began(station->network, station);
    wake_at(station, world->now_ns);
}

static void take_client(struct station_client *client) {
    struct station *station = client->station;
    if (client->next != NULL)
        client->next->previous = client->previous;
    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        station->clients = client->next;
    if (client->is_ready) {
        struct station_client **at = &station->first_client;
        while (*at != client)
            at = &(*at)->next_ready;
        *at = client->next_ready;
        if (station->last_client == &client->next_ready)
            station->last_client = at;
        client->is_ready = false;
    }
    node_close(station->node, client->session);
    buffer_clear(&client->unsent);
    client->station = NULL;
    client->session = NULL;
}

static void drop_client(struct station_client *client) {
    take_client(client);
    client->closed(client->owner);
}

static void forget_dials(struct station *station) {
    while (station->dials_ended != NULL) {
        struct dial *dial = station->dials_ended;
        station->dials_ended = dial->next;
        if (dial->wire != NULL)
            wire_close(&dial->wire->ends[0]);
        world_free(station->world, dial, sizeof *dial);
    }
}

/* What the helper still does, it does to a disk that nobody will see. */
static void end_node(struct station *station, struct simulated_disk *disk) {
    for (struct station_client *client = station->clients; client != NULL; client = station->clients)
        drop_client(client);
    for (struct peer_link *link; (link = node_first_peer(station->node)) != NULL;) {
        struct wire_end *end = node_peer_owner(link);
        end->link = NULL;
        node_peer_close(station->node, link, false);
    }
    forget_dials(station);
    while (!node_end(station->node)) {
        if (!crash_queue_run(&station->helper) && !crash_queue_finish(&station->helper)) {
            world_fail(station->world, "node %u does not come to its end, and the helper has nothing to do",
                       station->number);
            return;
        }
    }
    while (crash_queue_run(&station->helper) || crash_queue_finish(&station->helper))
        continue;
    node_free(station->node);
    station->node = NULL;
    identity_release(&station->identity, &disk->disk);
    config_release(&station->config);
    if (disk->open_files != NULL)
        world_fail(station->world, "I-LEAK: node %u leaves a file open", station->number);
    if (station->mem.used_bytes != 0 || station->mem.allocations != 0)
        world_fail(station->world, "I-LEAK: node %u: %zu bytes in %llu allocations were never given back",
                   station->number, station->mem.used_bytes, (unsigned long long)station->mem.allocations);
}

static void end_process(struct station *station, bool is_silent, bool loses_power) {
    struct simulated_disk *disk = &station->disks[station->disk], *left = &station->disks[1 - station->disk];
    station->observer.ending(station->observer.context, station);
    if (loses_power)
        simulated_disk_crash(disk, left, world_random(station->world, CHANCE_DISK));
    else
        simulated_disk_copy(disk, left);
    network_process_ended(station->network, station, is_silent);
    end_node(station, disk);
    simulated_disk_release(disk);
    station->disk = 1 - station->disk;
    for (struct wire_end *end = station->first_ready; end != NULL; end = end->next_ready)
        end->is_ready = false;
    station->first_ready = NULL;
    station->last_ready = &station->first_ready;
}

void station_end(struct station *station, bool loses_power) {
    world_note(station->world, "node %u %s", station->number,
               loses_power ? "ends with its machine's power" : "is killed");
    station->is_off = loses_power;
    end_process(station, loses_power, loses_power);
}

void station_ask_to_end(struct station *station, enum node_stop how) {
    world_note(station->world, "node %u is asked to end (%d)", station->number, how);
    station->is_asked_to_end = true;
    node_stop(station->node, how);
    wake_at(station, station->world->now_ns);
}

void station_keep_disk(struct station *station) {
    if (station->has_old_disk)
        simulated_disk_release(&station->old_disk);
    simulated_disk_copy(&station->disks[station->disk], &station->old_disk);
    station->has_old_disk = true;
}

void station_pause(struct station *station, uint64_t duration_ns) {
    world_note(station->world, "node %u stands still for %llu ms", station->number,
               (unsigned long long)duration_ns / 1000000);
    station->stands_still_until_ns = station->world->now_ns + duration_ns;
}

void station_go_on(struct station *station) {
    station->stands_still_until_ns = 0;
    if (station->node != NULL)
        wake_at(station, station->world->now_ns);
}

/* ---- Clients ---- */

void station_client_ready(struct station_client *client) {
    struct station *station = client->station;
    if (!client->is_ready) {
        client->is_ready = true;
        client->next_ready = NULL;
        *station->last_client = client;
        station->last_client = &client->next_ready;
    }
    wake_at(station, station->world->now_ns);
}

bool station_connect(struct station *station, struct station_client *client) {
    struct node_client with = {.owner = client,
                               .descriptor = -1,
                               .is_loopback = true,
                               .peer_address = "127.0.0.1:40000",
                               .local_address = "127.0.0.1:6379"};
    client->session = node_accept(station->node, &with);
    if (client->session == NULL)
        return false;
    client->station = station;
    client->next = station->clients;
    client->previous = NULL;
    if (client->next != NULL)
        client->next->previous = client;
    station->clients = client;
    return true;
}

void station_disconnect(struct station_client *client) {
    if (client->station != NULL)
        take_client(client);
}

static void settle_client(struct station *station, struct station_client *client) {
    struct session *session = client->session;
    struct node_span span = node_output(station->node, session);
    if (span.size != 0) {
        client->received(client->owner, span.data, span.size);
        node_sent(station->node, session, span.size);
    }
    if (node_wants_close(session))
        drop_client(client);
}

static void serve_client(struct station *station, struct station_client *client) {
    if (client->unsent.size != 0 && node_wants_read(station->node, client->session)) {
        struct node_span span = node_input_space(station->node, client->session);
        size_t size = span.size < client->unsent.size ? span.size : client->unsent.size;
        if (size != 0) {
            memcpy(span.data, client->unsent.data, size);
            buffer_consume(&client->unsent, size);
            node_input(station->node, client->session, size);
            if (client->unsent.size != 0)
                station_client_ready(client);
        }
    }
    settle_client(station, client);
}

static void serve_clients(struct station *station) {
    struct station_client *marker = NULL, *client;
    while ((client = station->first_client) != NULL && client != marker) {
        station->first_client = client->next_ready;
        if (station->first_client == NULL)
            station->last_client = &station->first_client;
        client->is_ready = false;
        serve_client(station, client);
        if (marker == NULL && client->is_ready)
            marker = client; /* the next turn goes on with it */
    }
}

static void settle_attention(struct station *station) {
    struct session *session;
    while ((session = node_attention(station->node)) != NULL) {
        struct station_client *client = session->owner;
        if (client->unsent.size != 0 && node_wants_read(station->node, session))
            station_client_ready(client);
        settle_client(station, client);
    }
}

/* ---- Wires ---- */

void station_wire_ready(struct wire_end *end) {
    struct station *station = end->station;
    if (end->is_gone || end->is_ready || station->node == NULL || end->process != station->process)
        return;
    end->is_ready = true;
    end->next_ready = NULL;
    *station->last_ready = end;
    station->last_ready = &end->next_ready;
    wake_at(station, station->world->now_ns);
}

void station_dial_ended(struct station *station, struct dial *dial) {
    if (station->node == NULL || dial->process != station->process) {
        if (dial->wire != NULL)
            wire_close(&dial->wire->ends[0]);
        world_free(station->world, dial, sizeof *dial);
        return;
    }
    struct dial **at = &station->dials_ended;
    while (*at != NULL)
        at = &(*at)->next;
    dial->next = NULL;
    *at = dial;
    wake_at(station, station->world->now_ns);
}

static struct node_client other_end(struct wire_end *end, char address[32]) {
    snprintf(address, 32, "%s:%u", wire_other(end)->station->address,
             end->is_caller ? STATION_PEER_PORT : 40000);
    return (struct node_client){
        .owner = end, .descriptor = -1, .peer_address = address, .local_address = "10.0.0.0:16379"};
}

static void take_dials(struct station *station) {
    while (station->dials_ended != NULL) {
        struct dial *dial = station->dials_ended;
        station->dials_ended = dial->next;
        if (dial->wire == NULL) {
            node_call_failed(station->node, dial->id, dial->failure);
        } else {
            char address[32];
            struct wire_end *end = &dial->wire->ends[0];
            struct node_client with = other_end(end, address);
            end->link = node_call_connected(station->node, dial->id, &with);
            if (end->link == NULL)
                wire_close(end);
            else
                station_wire_ready(end);
        }
        world_free(station->world, dial, sizeof *dial);
    }
}

static void note_growth(struct station *station, size_t before, size_t *most, const char *where) {
    size_t now = station->mem.used_bytes;
    if (now <= before || now - before <= *most)
        return;
    *most = now - before;
    if (*most > STEP_BYTES_MAX)
        world_fail(station->world, "I-STEP: node %u: one call of %s took %zu bytes of memory",
                   station->number, where, *most);
}

static void close_wire(struct station *station, struct wire_end *end, bool was_reset) {
    struct peer_link *link = end->link;
    end->link = NULL;
    if (link != NULL)
        node_peer_close(station->node, link, was_reset);
    wire_close(end);
}

static void send_to_peer(struct station *station, struct wire_end *end) {
    while (node_peer_wants_write(end->link)) {
        struct node_span span = node_peer_output(station->node, end->link);
        size_t sent = span.size == 0 ? 0 : wire_write(end, span.data, span.size);
        if (span.size != 0)
            node_peer_sent(station->node, end->link, sent);
        if (span.size == 0 || sent < span.size)
            break;
    }
    if (node_peer_wants_close(end->link))
        close_wire(station, end, false);
    else if (node_peer_wants_write(end->link) && wire_has_room(end))
        station_wire_ready(end);
}

static void read_from_peer(struct station *station, struct wire_end *end) {
    struct node_span span = node_peer_space(station->node, end->link);
    size_t size = span.size == 0 ? 0 : wire_read(end, span.data, span.size);
    if (size == 0)
        return;
    size_t before = station->mem.used_bytes;
    node_peer_input(station->node, end->link, size);
    note_growth(station, before, &station->steps.input_bytes, "node_peer_input");
}

static void serve_wire(struct station *station, struct wire_end *end) {
    if (end->is_gone)
        return;
    if (end->link == NULL) {
        if (end->is_caller)
            return; /* the node hears of its call later */
        char address[32];
        struct node_client with = other_end(end, address);
        end->link = node_peer_accept(station->node, &with);
        if (end->link == NULL) {
            wire_close(end);
            return;
        }
    }
    if (wire_has_bytes(end))
        read_from_peer(station, end);
    else if (wire_is_over(end)) {
        close_wire(station, end, !wire_has_timed_out(end) && !node_peer_wants_close(end->link));
        return;
    }
    if (wire_has_bytes(end) || wire_is_over(end))
        station_wire_ready(end);
    if (node_peer_wants_write(end->link) || node_peer_wants_close(end->link))
        send_to_peer(station, end);
}

static void serve_wires(struct station *station) {
    struct wire_end *list = station->first_ready;
    station->first_ready = NULL;
    station->last_ready = &station->first_ready;
    while (list != NULL) {
        struct wire_end *end = list;
        list = end->next_ready;
        end->is_ready = false;
        serve_wire(station, end);
    }
}

static void settle_peers(struct station *station) {
    struct node_call wish;
    struct peer_link *link;
    while (node_next_call(station->node, &wish))
        network_call(station->network, station, &wish);
    while ((link = node_peer_attention(station->node)) != NULL)
        send_to_peer(station, node_peer_owner(link));
}

/* ---- Turns ---- */

static void look_at_epochs(struct station *station) {
    const struct cluster *cluster = station->node->cluster;
    uint64_t epoch = membership_epoch(cluster->membership);
    if (epoch < station->membership_epoch || cluster->route_epoch < station->route_epoch)
        world_fail(station->world,
                   "I-RING: an epoch of node %u has gone back: %llu to %llu, of routes %llu to %llu",
                   station->number, (unsigned long long)station->membership_epoch, (unsigned long long)epoch,
                   (unsigned long long)station->route_epoch, (unsigned long long)cluster->route_epoch);
    if (cluster->route_epoch != station->route_epoch)
        station->observer.rerouted(station->observer.context);
    station->membership_epoch = epoch;
    station->route_epoch = cluster->route_epoch;
}

static void turn(struct station *station) {
    struct world *world = station->world;
    station->steps.turns++;
    station->worked_ns += station->busy_ns;
    station->busy_ns = 0;
    trace_number(&world->trace, world->now_ns + station->number);
    node_turn(station->node, world->now_ns, station_wall_us(station));
    while (crash_queue_finish(&station->helper))
        continue;
    take_dials(station);
    serve_wires(station);
    serve_clients(station);
    settle_attention(station);
    size_t before = station->mem.used_bytes;
    uint32_t wait_ms = node_work(station->node);
    note_growth(station, before, &station->steps.work_bytes, "node_work");
    settle_attention(station);
    settle_peers(station);
    settle_attention(station);
    look_at_epochs(station);
    station->observer.turned(station->observer.context, station);
    if (node_shutdown_wish(station->node) != NODE_RUNNING) {
        world_note(world, "node %u ends", station->number);
        end_process(station, false, false);
        return;
    }
    /* 0: at once. A turn takes time, though, or the world would stand still. */
    uint64_t again_ns = world->now_ns + (wait_ms == 0 ? 100000 : (uint64_t)wait_ms * 1000000);
    wake_at(station, again_ns);
    if (station->first_ready != NULL || station->first_client != NULL)
        wake_at(station, world->now_ns + 1000);
}

static void set_alarm(struct station *station);

static void wake(void *context) {
    struct station *station = context;
    if (station->world->now_ns == station->alarm_ns)
        station->alarm_ns = UINT64_MAX;
    if (station->world->now_ns != station->wake_ns) {
        set_alarm(station); /* an earlier turn took its place, and wants another one later */
        return;
    }
    station->wake_ns = UINT64_MAX;
    if (station->node == NULL || world_has_failed(station->world))
        return;
    if (station->world->now_ns < station->stands_still_until_ns)
        wake_at(station, station->stands_still_until_ns);
    else
        turn(station);
}

/* Most turns come before the time that the one before has asked for: the event of that time is left to come, and goes on from
 * there. */
static void set_alarm(struct station *station) {
    if (station->wake_ns >= station->alarm_ns)
        return;
    if (station->wake_ns > station->world->now_ns)
        station->alarm_ns = station->wake_ns;
    world_at(station->world, station->wake_ns, wake, station);
}

static void wake_at(struct station *station, uint64_t time_ns) {
    if (time_ns < station->stands_still_until_ns)
        time_ns = station->stands_still_until_ns;
    if (time_ns < station->world->now_ns)
        time_ns = station->world->now_ns;
    if (time_ns >= station->wake_ns)
        return;
    station->wake_ns = time_ns;
    set_alarm(station);
}
