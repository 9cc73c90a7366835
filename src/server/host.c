/* host.c - what the node asks of its world, answered by the real one.
 *
 * Tests: tests/server/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/allocator.h"
#include "os/clock.h"
#include "os/entropy.h"
#include "os/file.h"
#include "os/process.h"
#include "server/state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CONFIG_FILE_SIZE_MAX (16 * 1024 * 1024)
#define SEEDS_FILE_SIZE_MAX  (1024 * 1024)
/* Listeners, log, epoll, files. */
#define OTHER_DESCRIPTORS 32
/* Two connections with each of the other nodes, and calls; a larger cluster takes more from those that clients may have. */
#define PEER_DESCRIPTORS 256

static uint64_t host_clock_ns(void *context) {
    (void)context;
    return clock_monotonic_ns();
}

static uint64_t host_thread_cpu_ns(void *context) {
    (void)context;
    return clock_thread_cpu_ns();
}

static void host_log(void *context, enum node_log_level level, const char *text) {
    struct server *server = context;
    if ((int)level < server->config->loglevel)
        return;
    log_sink_write(&server->log, (enum log_sink_level)level, clock_wall_us(), text, strlen(text));
}

void server_log(struct server *server, enum node_log_level level, const char *format, ...) {
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    host_log(server, level, line);
}

static double seconds(uint64_t us) {
    return (double)us / 1e6;
}

static void host_facts(void *context, struct host_facts *facts) {
    struct server *server = context;
    memset(facts, 0, sizeof *facts);
    struct process_times self = process_times_self(), children = process_times_children(),
                         thread = process_times_thread();
    facts->resident_bytes = process_resident_bytes();
    facts->total_system_bytes = process_machine_memory_bytes();
    struct allocator_figures figures;
    allocator_figures(&figures);
    facts->allocator_allocated_bytes = figures.allocated_bytes;
    facts->allocator_active_bytes = figures.active_bytes;
    facts->allocator_resident_bytes = figures.resident_bytes;
    facts->cpu_system_s = seconds(self.system_us);
    facts->cpu_user_s = seconds(self.user_us);
    facts->cpu_system_children_s = seconds(children.system_us);
    facts->cpu_user_children_s = seconds(children.user_us);
    facts->cpu_system_main_thread_s = seconds(thread.system_us);
    facts->cpu_user_main_thread_s = seconds(thread.user_us);
    facts->process_id = process_id();
    process_system(facts->os, sizeof facts->os);
    process_executable(facts->executable, sizeof facts->executable);
    snprintf(facts->config_file, sizeof facts->config_file, "%.*s", (int)sizeof facts->config_file - 1,
             server->options->config_path);
    snprintf(facts->supervised, sizeof facts->supervised, "%s", server->config->supervised);
    snprintf(facts->compiler, sizeof facts->compiler, "%d.%d.%d", __GNUC__, __GNUC_MINOR__,
             __GNUC_PATCHLEVEL__);
}

uint64_t server_other_descriptors(const struct config *config) {
    return config->cluster_enabled ? OTHER_DESCRIPTORS + 2 * CONFIG_BIND_MAX + PEER_DESCRIPTORS
                                   : OTHER_DESCRIPTORS;
}

static bool listen_anew(struct server *server, char error[256]) {
    if (!server_listen(server, error))
        return false;
    if (server->config->cluster_enabled) {
        server_find_host_name(server);
        node_set_host_name(server->node, server->host_name);
    }
    return true;
}

static bool host_setting_changed(void *context, const char *name, char error[256]) {
    struct server *server = context;
    if (strcmp(name, "port") == 0 || strcmp(name, "bind") == 0)
        return listen_anew(server, error);
    if (strcmp(name, "dir") == 0)
        return server_move(server, error);
    if (strcmp(name, "jemalloc-bg-thread") == 0) {
        if (allocator_set_background(server->config->jemalloc_background_thread))
            return true;
        snprintf(error, 256, "The allocator's thread: %s", strerror(errno));
        return false;
    }
    if (strcmp(name, "maxclients") == 0) {
        uint64_t wanted = server->config->maxclients + server_other_descriptors(server->config);
        if (process_raise_open_files(wanted) < wanted) {
            snprintf(error, 256,
                     "The operating system is not able to handle the specified number of clients");
            return false;
        }
    }
    return true;
}

static bool host_config_read(void *context, struct buffer *text, char error[256]) {
    struct server *server = context;
    if (server->options->config_path[0] == '\0') {
        snprintf(error, 256, "The server is running without a config file");
        return false;
    }
    if (file_read(server->options->config_path, CONFIG_FILE_SIZE_MAX, text) == FILE_DONE)
        return true;
    snprintf(error, 256, "Rewriting config file: %s", strerror(errno));
    return false;
}

static bool host_config_write(void *context, const void *text, size_t size, char error[256]) {
    struct server *server = context;
    if (file_replace(server->options->config_path, text, size))
        return true;
    snprintf(error, 256, "Rewriting config file: %s", strerror(errno));
    return false;
}

static void host_memory_purge(void *context) {
    (void)context;
    allocator_purge();
}

static void host_sleep_us(void *context, uint64_t us) {
    (void)context;
    clock_sleep_us(us);
}

/* The kernel's generator fails only where there is none, and the start would have failed then. */
static void host_random(void *context, void *bytes, size_t size) {
    (void)context;
    CHECK(entropy_fill(bytes, size));
}

static bool host_file_read(void *context, const char *path, struct buffer *text, char error[256]) {
    (void)context;
    switch (file_read(path, SEEDS_FILE_SIZE_MAX, text)) {
    case FILE_DONE: return true;
    case FILE_MISSING: snprintf(error, 256, "no such file"); break;
    case FILE_TOO_LARGE: snprintf(error, 256, "it is longer than %d bytes", SEEDS_FILE_SIZE_MAX); break;
    case FILE_NO_MEMORY: snprintf(error, 256, "out of memory"); break;
    case FILE_FAILED: snprintf(error, 256, "%s", strerror(errno)); break;
    }
    return false;
}

void host_fill(struct node_host *host, struct server *server) {
    *host = (struct node_host){
        .context = server,
        .clock_ns = host_clock_ns,
        .thread_cpu_ns = host_thread_cpu_ns,
        .log = host_log,
        .facts = host_facts,
        .setting_changed = host_setting_changed,
        .config_read = host_config_read,
        .config_write = host_config_write,
        .memory_purge = host_memory_purge,
        .sleep_us = host_sleep_us,
        .random = host_random,
        .file_read = host_file_read,
        .work = {.context = server->worker, .submit = worker_submit},
        .disk = server->disk,
    };
}
