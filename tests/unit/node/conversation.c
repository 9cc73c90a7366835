/* conversation.c - the made-up world: answers from fields, output into a text.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/conversation.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* ---- Host ---- */

static uint64_t host_clock_ns(void *context) {
    struct conversation *conversation = context;
    return conversation->clock_ns += conversation->clock_step_ns;
}

static uint64_t host_thread_cpu_ns(void *context) {
    struct conversation *conversation = context;
    return conversation->cpu_ns += conversation->cpu_step_ns;
}

static void host_log(void *context, enum node_log_level level, const char *text) {
    (void)level;
    struct conversation *conversation = context;
    snprintf(conversation->logged, sizeof conversation->logged, "%s", text);
    size_t size = strlen(conversation->log);
    snprintf(conversation->log + size, sizeof conversation->log - size, "%s\n", text);
}

static void host_facts(void *context, struct host_facts *facts) {
    const struct conversation *conversation = context;
    *facts = (struct host_facts){.resident_bytes = 3 * 1024 * 1024,
                                 .total_system_bytes = 1 << 30,
                                 .process_id = 77,
                                 .cpu_user_s = 1.5};
    snprintf(facts->os, sizeof facts->os, "Test 1.0");
    if (conversation->file != NULL)
        snprintf(facts->config_file, sizeof facts->config_file, "/test/redis-kv.conf");
}

static bool host_setting_changed(void *context, const char *name, char error[256]) {
    struct conversation *conversation = context;
    if (conversation->refuses != NULL && strcmp(name, conversation->refuses) == 0) {
        snprintf(error, 256, "the world says no");
        return false;
    }
    snprintf(conversation->changed, sizeof conversation->changed, "%s", name);
    return true;
}

static bool host_config_read(void *context, struct buffer *text, char error[256]) {
    const struct conversation *conversation = context;
    if (conversation->file == NULL) {
        snprintf(error, 256, "no file");
        return false;
    }
    buffer_append_text(text, conversation->file);
    return true;
}

static bool host_config_write(void *context, const void *text, size_t size, char error[256]) {
    struct conversation *conversation = context;
    if (size >= sizeof conversation->written) {
        snprintf(error, 256, "disk full");
        return false;
    }
    memcpy(conversation->written, text, size);
    conversation->written[size] = '\0';
    return true;
}

static void host_memory_purge(void *context) {
    ((struct conversation *)context)->purges++;
}

static void host_sleep_us(void *context, uint64_t us) {
    struct conversation *conversation = context;
    conversation->slept_us += us;
    conversation->clock_ns += us * 1000;
}

/* Bytes that differ from call to call. */
static void host_random(void *context, void *bytes, size_t size) {
    struct conversation *conversation = context;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)bytes)[i] =
            (uint8_t)((conversation->random_seed = conversation->random_seed * 69069 + 1) >> 16);
}

/* ---- Life ---- */

void conversation_begin(struct conversation *conversation) {
    conversation_begin_at(conversation, &(struct conversation_place){0});
}

void conversation_begin_at(struct conversation *conversation, const struct conversation_place *place) {
    *conversation = (struct conversation){.wall_us = CONVERSATION_WALL_US, .clock_ns = 5000000000};
    struct node_host host = {.context = conversation,
                             .clock_ns = host_clock_ns,
                             .thread_cpu_ns = host_thread_cpu_ns,
                             .log = host_log,
                             .facts = host_facts,
                             .setting_changed = host_setting_changed,
                             .config_read = host_config_read,
                             .config_write = host_config_write,
                             .memory_purge = host_memory_purge,
                             .sleep_us = host_sleep_us,
                             .random = host_random};
    if (place->disk != NULL) {
        host.disk = *place->disk;
        host.work = *place->work;
    }
    cr_assert(config_init(&conversation->config, &conversation->config_mem));
    struct config_problem problem;
    if (place->settings != NULL)
        cr_assert(config_apply_text(&conversation->config, place->settings, strlen(place->settings), NULL,
                                    &problem));
    struct node_options options = {.mem = &conversation->mem,
                                   .host = &host,
                                   .config = &conversation->config,
                                   .identity = place->identity,
                                   .start_empty = place->start_empty,
                                   .random_seed = 1,
                                   .monotonic_ns = conversation->clock_ns,
                                   .wall_us = conversation->wall_us};
    conversation->node = node_new(&options);
    cr_assert_not_null(conversation->node);
    node_turn(conversation->node, conversation->clock_ns, conversation->wall_us);
}

void conversation_end(struct conversation *conversation) {
    struct list_node *link;
    while ((link = list_first(&conversation->node->sessions)) != NULL)
        node_close(conversation->node, LIST_ENTRY(link, struct session, all));
    node_free(conversation->node);
    config_release(&conversation->config);
    cr_assert_eq(conversation->mem.used_bytes, 0, "%zu bytes leaked", conversation->mem.used_bytes);
    cr_assert_eq(conversation->config_mem.used_bytes, 0);
}

struct session *conversation_client(struct conversation *conversation, unsigned port) {
    char address[32];
    snprintf(address, sizeof address, port == 0 ? "/test/socket:%u" : "127.0.0.1:%u", port);
    struct node_client client = {.descriptor = 9,
                                 .is_unix_socket = port == 0,
                                 .is_loopback = port != 0,
                                 .peer_address = address,
                                 .local_address = port == 0 ? address : "127.0.0.1:6379"};
    struct session *session = node_accept(conversation->node, &client);
    cr_assert_not_null(session);
    return session;
}

void conversation_wait(struct conversation *conversation, uint64_t ms) {
    conversation->clock_ns += ms * 1000000;
    conversation->wall_us += (int64_t)ms * 1000;
    node_turn(conversation->node, conversation->clock_ns, conversation->wall_us);
}

/* ---- Talk ---- */

const char *hear(struct conversation *conversation, struct session *session) {
    size_t size = 0;
    for (;;) {
        struct node_span span = node_output(conversation->node, session);
        if (span.size == 0)
            break;
        cr_assert(size + span.size < sizeof conversation->reply, "a reply longer than the test has room for");
        memcpy(conversation->reply + size, span.data, span.size);
        size += span.size;
        node_sent(conversation->node, session, span.size);
    }
    conversation->reply[size] = '\0';
    return conversation->reply;
}

const char *say(struct conversation *conversation, struct session *session, const char *line) {
    size_t size = strlen(line);
    struct node_span space = node_input_space(conversation->node, session);
    cr_assert(space.size >= size + 2);
    memcpy(space.data, line, size);
    memcpy(space.data + size, "\r\n", 2);
    node_input(conversation->node, session, size + 2);
    return hear(conversation, session);
}

bool conversation_is_closing(const struct session *session) {
    return session->flags & (SESSION_CLOSE_NOW | SESSION_CLOSE_AFTER_REPLY);
}
