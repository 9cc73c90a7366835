/* client.c - what a client does when it is its turn, and when bytes come.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/client.h"

#include <stdio.h>

#define READ_SIZE 8192
/* A client that can do nothing looks again after so long at most. */
#define PATIENCE_NS UINT64_C(20000000)

static struct rng *dice(struct client *client) {
    return world_random(client->world, CHANCE_WORKLOAD);
}

void client_leave(struct client *client) {
    struct client_connection *connection = client->current;
    if (connection == NULL)
        return;
    connection->is_left = true;
    client->current = NULL;
    stream_close(&connection->stream->ends[0]);
    buffer_release(&connection->unsent);
}

static void flush(struct client_connection *connection) {
    struct buffer *unsent = &connection->unsent;
    size_t size = unsent->size;
    while (unsent->size != 0 && size != 0) {
        size = stream_write(&connection->stream->ends[0], unsent->data, unsent->size);
        buffer_consume(unsent, size);
    }
}

/* The connection is over, for the client. */
static void end(struct client *client, struct client_connection *connection) {
    const struct conversation *conversation = connection->conversation;
    const struct stream *stream = connection->stream;
    bool in_reply = conversation->received != conversation->answer_begin;
    if (in_reply)
        client->sightings->seen[SIGHTING_CUT_IN_REPLY]++;
    if (!stream->is_reset && !stream->is_silent && !conversation->lost_replies &&
        conversation->received != conversation->replies.size)
        world_fail(client->world, "client %u: the node closed the connection before all answers had arrived",
                   client->number);
    client_leave(client);
}

static void answered(void *context, const struct saying *request, const uint8_t *reply, size_t size) {
    struct client *client = context;
    script_answered(&client->script, request, reply, size);
}

static void act_again(struct client *client);

static void ready(void *context) {
    struct client_connection *connection = context;
    struct client *client = connection->client;
    struct stream_end *end_of_client = &connection->stream->ends[0];
    if (connection->is_left)
        return;
    uint8_t bytes[READ_SIZE];
    size_t size;
    while ((size = stream_read(end_of_client, bytes, sizeof bytes)) != 0 &&
           !world_has_failed(client->world)) {
        conversation_receive(connection->conversation, bytes, size, answered, client);
        if (connection->is_left)
            return;
    }
    flush(connection);
    if (client->is_waiting && !client->script.is_over && !client->script.listens_only)
        act_again(client);
    if (stream_is_over(end_of_client) || connection->stream->is_silent)
        end(client, connection);
}

static void connect_to_node(struct client *client) {
    struct world *world = client->world;
    struct client_connection *connection = world_alloc(world, sizeof *connection);
    char address[48];
    bool is_here = !chance_permille(world_random(world, CHANCE_NETWORK), client->swarm->foreign_permille);
    snprintf(address, sizeof address, "%s:%u", is_here ? "127.0.0.1" : "10.0.0.9", 20000 + client->number);
    connection->client = client;
    connection->next = client->connections;
    client->connections = connection;
    buffer_init(&connection->unsent, &world->mem);
    connection->conversation = conversation_new(world, client->number);
    connection->stream = stream_open(world, &client->swarm->network);
    connection->stream->ends[0].context = connection;
    connection->stream->ends[0].ready = ready;
    client->current = connection;
    script_release(&client->script);
    script_init(&client->script, &world->mem);
    world_note(world, "c%u connects", client->number);
    struct client_place place = {.address = address, .is_here = is_here};
    struct connection *accepted =
        machine_accept(client->machine, &connection->stream->ends[1], &place, connection->conversation);
    if (accepted == NULL)
        client_leave(client);
    else if (chance_permille(dice(client), 200))
        client->some_id = accepted->session->id;
}

/* One request onto the connection. */
static void say(struct client *client) {
    struct client_connection *connection = client->current;
    struct workload *workload = client->workload;
    workload_next(workload, &client->script, client->some_id);
    const struct draft *draft = &workload->draft;
    struct saying *request =
        conversation_add(connection->conversation, draft->kind, draft->argv, draft->argc, draft->wire.size);
    request->error = draft->error;
    request->is_inline = draft->is_inline;
    CHECK(buffer_append(&connection->unsent, draft->wire.data, draft->wire.size));
    if (*client->requests_left > 0)
        --*client->requests_left;
}

static void act(void *context);

static void act_at(struct client *client, uint64_t time_ns) {
    client->next_act_ns = time_ns;
    world_at(client->world, time_ns, act, client);
}

static void act_again(struct client *client) {
    act_at(client, client->world->now_ns + chance_between(dice(client), 500, client->swarm->think_max_ns));
}

/* It has nothing to do before something comes, or a while has passed. */
static void wait_long(struct client *client) {
    act_at(client, client->world->now_ns + chance_between(dice(client), PATIENCE_NS / 10, PATIENCE_NS));
    client->is_waiting = true;
}

static uint32_t room(const struct client *client) {
    uint32_t waiting = client->current->conversation->unanswered;
    return waiting < client->swarm->pipeline_max ? client->swarm->pipeline_max - waiting : 0;
}

static void say_some(struct client *client) {
    struct script *script = &client->script;
    for (uint64_t i = chance_between(dice(client), 1, room(client)); i > 0; i--) {
        if (script->is_over || script->listens_only)
            break;
        say(client);
    }
    if (chance_permille(dice(client), 2))
        script->is_over = true;
    flush(client->current);
}

static void act(void *context) {
    struct client *client = context;
    struct script *script = &client->script;
    if (world_has_failed(client->world) || *client->requests_left == 0 ||
        client->world->now_ns != client->next_act_ns)
        return;
    client->is_waiting = false;
    if (client->current == NULL) {
        connect_to_node(client);
    } else if (script->is_over || script->listens_only) {
        /* Waits for the end that must come, or makes one. */
        if (chance_permille(dice(client), 300))
            client_leave(client);
        --*client->requests_left;
        wait_long(client);
        return;
    } else if (room(client) == 0) {
        wait_long(client);
        return;
    } else {
        say_some(client);
    }
    act_again(client);
}

void client_start(struct client *client) {
    act_again(client);
}

void client_wake(struct client *client) {
    if (client->current != NULL)
        flush(client->current);
}

bool client_waits(const struct client *client) {
    const struct client_connection *connection = client->current;
    return connection != NULL && !client->script.listens_only && connection->conversation->refusal == NULL &&
           connection->conversation->unanswered != 0;
}

void client_init(struct client *client, struct machine *machine, struct workload *workload, uint32_t number,
                 uint64_t *requests_left, struct sightings *sightings) {
    *client = (struct client){.world = machine->world,
                              .machine = machine,
                              .swarm = machine->swarm,
                              .workload = workload,
                              .sightings = sightings,
                              .number = number,
                              .requests_left = requests_left,
                              .some_id = 1};
    script_init(&client->script, &machine->world->mem);
}

void client_release(struct client *client) {
    while (client->connections != NULL) {
        struct client_connection *connection = client->connections;
        client->connections = connection->next;
        buffer_release(&connection->unsent);
        conversation_free(connection->conversation);
        stream_free(connection->stream);
        world_free(client->world, connection, sizeof *connection);
    }
    script_release(&client->script);
}
