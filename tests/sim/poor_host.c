/* poor_host.c - answers that need no world.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/poor_host.h"

#include <stdio.h>

static void host_facts(void *context, struct host_facts *facts) {
    (void)context;
    *facts =
        (struct host_facts){.resident_bytes = 50000000, .total_system_bytes = 8000000000, .process_id = 4711};
    snprintf(facts->os, sizeof facts->os, "Simulated 1.0");
    snprintf(facts->supervised, sizeof facts->supervised, "no");
}

static bool host_setting_changed(void *context, const char *name, char error[256]) {
    (void)context;
    (void)name;
    error[0] = '\0';
    return true;
}

static bool host_config_read(void *context, struct buffer *text, char error[256]) {
    (void)context;
    (void)text;
    snprintf(error, 256, "The server is running without a config file");
    return false;
}

static bool host_config_write(void *context, const void *text, size_t size, char error[256]) {
    (void)context;
    (void)text;
    (void)size;
    snprintf(error, 256, "no disk");
    return false;
}

static void host_memory_purge(void *context) {
    (void)context;
}

void poor_host_fill(struct node_host *host) {
    host->facts = host_facts;
    host->setting_changed = host_setting_changed;
    host->config_read = host_config_read;
    host->config_write = host_config_write;
    host->memory_purge = host_memory_purge;
}
