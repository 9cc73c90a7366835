/* config_commands.c - CONFIG GET, SET, REWRITE, RESETSTAT over node/config.h.
 *
 * May touch: node, store (its counters). Must never know: what a setting means, files (the host reads and
 * writes).
 * Tests: tests/unit/node/config_commands_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/cluster_settings.h"
#include "node/handlers.h"
#include "store/reclaim.h"

#include <stdio.h>

/* ---- GET ---- */

struct pairs {
    struct reply *reply;
    size_t count;
};

static void reply_pair(void *context, const char *name, const char *value) {
    struct pairs *pairs = context;
    reply_bulk_text(pairs->reply, name);
    reply_bulk_text(pairs->reply, value);
    pairs->count++;
}

void handle_config_get(struct node *node, struct session *session, struct call *call) {
    (void)session;
    for (uint32_t i = 2; i < call->argc; i++)
        if (!call_pattern(call, i))
            return;
    struct pairs pairs = {.reply = call->reply};
    size_t place = reply_deferred(call->reply);
    config_get(node->config, call->argv + 2, call->argc - 2, reply_pair, &pairs);
    reply_deferred_set(call->reply, place, '%', pairs.count);
}

/* ---- SET ---- */

static bool tell_host(void *context, const char *name, char error[CONFIG_ERROR_SIZE]) {
    struct node *node = context;
    const char *reason;
    if (cluster_keeps_setting(node, name, &reason)) {
        snprintf(error, CONFIG_ERROR_SIZE, "%s", reason);
        return false;
    }
    return node->host.setting_changed(node->host.context, name, error);
}

void handle_config_set(struct node *node, struct session *session, struct call *call) {
    char error[CONFIG_ERROR_SIZE];
    bool may_protected = node->config->enable_protected_configs ||
                         (node->config->enable_protected_configs_local && node_is_local(session));
    if (call->argc % 2 != 0) {
        reply_error(call->reply, ERROR_SYNTAX);
    } else if (config_set(node->config, call->argv + 2, (call->argc - 2) / 2, may_protected, tell_host, node,
                          error)) {
        cluster_settings_changed(node);
        reply_ok(call->reply);
    } else {
        reply_error_format(call->reply, "ERR %s", error);
    }
}

/* ---- REWRITE ---- */

/* Why it could not be done is left in `error`. */
static bool rewrite(struct node *node, struct buffer *old_text, struct buffer *new_text,
                    char error[CONFIG_ERROR_SIZE]) {
    if (!node->host.config_read(node->host.context, old_text, error))
        return false;
    if (old_text->failed ||
        !config_rewrite(node->config, (const char *)old_text->data, old_text->size, new_text)) {
        memcpy(error, "out of memory", sizeof "out of memory");
        return false;
    }
    return node->host.config_write(node->host.context, new_text->data, new_text->size, error);
}

void handle_config_rewrite(struct node *node, struct session *session, struct call *call) {
    (void)session;
    struct host_facts facts = {0};
    node->host.facts(node->host.context, &facts);
    if (facts.config_file[0] == '\0') {
        reply_error(call->reply, "ERR The server is running without a config file");
        return;
    }
    char error[CONFIG_ERROR_SIZE] = "";
    struct buffer old_text, new_text;
    buffer_init(&old_text, node->mem);
    buffer_init(&new_text, node->mem);
    if (rewrite(node, &old_text, &new_text, error)) {
        node_log(node, NODE_LOG_NOTICE, "The configuration file was written anew (CONFIG REWRITE)");
        reply_ok(call->reply);
    } else {
        node_log(node, NODE_LOG_WARNING, "The configuration file could not be written (CONFIG REWRITE): %s",
                 error);
        reply_error_format(call->reply, "ERR Rewriting config file: %s", error);
    }
    buffer_release(&old_text);
    buffer_release(&new_text);
}

/* ---- RESETSTAT ---- */

static void reset_rate(struct rate *rate) {
    *rate = (struct rate){.last_ms = rate->last_ms};
}

static void reset_commands(struct statistics *statistics) {
    for (unsigned id = 0; id < COMMAND_COUNT; id++) {
        struct command_statistics *of = &statistics->of_command[id];
        of->calls = of->duration_ns = of->rejected = of->failed = 0;
        if (of->durations != NULL)
            histogram_reset(of->durations);
    }
}

void handle_config_resetstat(struct node *node, struct session *session, struct call *call) {
    (void)session;
    struct statistics *statistics = &node->statistics;
    statistics->commands = statistics->connections = statistics->rejected_connections = 0;
    statistics->input_bytes = statistics->output_bytes = statistics->reads = statistics->writes = 0;
    statistics->input_buffer_closed = statistics->output_buffer_closed = 0;
    statistics->protocol_errors = statistics->auth_failures = 0;
    statistics->error_replies = statistics->unexpected_errors = 0;
    statistics->turns = statistics->turn_duration_ns = 0;
    statistics->error_count = 0;
    reset_rate(&statistics->commands_rate);
    reset_rate(&statistics->input_rate);
    reset_rate(&statistics->output_rate);
    reset_commands(statistics);
    for (unsigned i = 0; i < JOB_COUNT; i++)
        histogram_reset(&statistics->jobs[i]);
    node->keyspace->counters.hits = node->keyspace->counters.misses = node->keyspace->counters.expired = 0;
    node->keyspace->reclaim->done = 0;
    reply_ok(call->reply);
}
