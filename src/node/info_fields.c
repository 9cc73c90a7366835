/* info_fields.c - the rows of INFO's plain sections, and the values they show.
 *
 * Tests: tests/unit/node/info_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/info.h"

#include "base/checksum.h"
#include "node/release.h"
#include "store/watch.h"

#include <stdio.h>

#define VALUE(name, kind, field) \
    { name, kind, offsetof(struct info_values, field), NULL }
#define COUNT(name, field) VALUE(name, INFO_COUNT, field)
#define STATISTIC(name, field) \
    { name, INFO_STATISTIC, offsetof(struct statistics, field), NULL }
#define CONSTANT(name, text) \
    { name, INFO_CONSTANT, 0, text }
#define ZERO(name) CONSTANT(name, "0")

static const struct info_row server_rows[] = {
    CONSTANT("redis_version", REDIS_LEVEL_VERSION),
    CONSTANT("redis_kv_version", REDIS_KV_VERSION),
    CONSTANT("redis_git_sha1", "00000000"),
    ZERO("redis_git_dirty"),
    VALUE("redis_build_id", INFO_TEXT, build_id),
    VALUE("redis_mode", INFO_POINTER, mode),
    VALUE("os", INFO_TEXT, memory.facts.os),
    COUNT("arch_bits", arch_bits),
    CONSTANT("monotonic_clock", "POSIX clock_gettime"),
    CONSTANT("multiplexing_api", "epoll"),
    CONSTANT("atomicvar_api", "c11-builtin"),
    VALUE("gcc_version", INFO_TEXT, memory.facts.compiler),
    VALUE("process_id", INFO_SIGNED, memory.facts.process_id),
    VALUE("process_supervised", INFO_TEXT, memory.facts.supervised),
    VALUE("run_id", INFO_POINTER, run_id),
    COUNT("tcp_port", tcp_port),
    COUNT("server_time_usec", wall_us),
    COUNT("uptime_in_seconds", uptime_s),
    COUNT("uptime_in_days", uptime_days),
    COUNT("hz", hz),
    COUNT("configured_hz", hz),
    COUNT("lru_clock", lru_clock),
    VALUE("executable", INFO_TEXT, memory.facts.executable),
    VALUE("config_file", INFO_TEXT, memory.facts.config_file),
    ZERO("io_threads_active"),
};

static const struct info_row client_rows[] = {
    COUNT("connected_clients", connected_clients),
    COUNT("cluster_connections", memory.links),
    COUNT("maxclients", maxclients),
    COUNT("client_recent_max_input_buffer", memory.clients.longest_input_bytes),
    COUNT("client_recent_max_output_buffer", memory.clients.longest_output_bytes),
    COUNT("blocked_clients", blocked_clients),
    ZERO("tracking_clients"),
    ZERO("clients_in_timeout_table"),
    COUNT("watching_clients", clients_watching),
    COUNT("total_watched_keys", watched_pairs),
    COUNT("clients_in_transaction", clients_in_transaction),
    ZERO("total_blocking_keys"),
    ZERO("total_blocking_keys_on_nokey"),
};

static const struct info_row memory_rows[] = {
    COUNT("used_memory", memory.used),
    VALUE("used_memory_human", INFO_HUMAN, memory.used),
    COUNT("used_memory_rss", memory.facts.resident_bytes),
    VALUE("used_memory_rss_human", INFO_HUMAN, memory.facts.resident_bytes),
    COUNT("used_memory_peak", memory.peak),
    VALUE("used_memory_peak_human", INFO_HUMAN, memory.peak),
    VALUE("used_memory_peak_perc", INFO_PERCENT, memory.peak_percent),
    COUNT("used_memory_overhead", memory.overhead),
    COUNT("used_memory_startup", memory.startup),
    COUNT("used_memory_dataset", memory.dataset),
    VALUE("used_memory_dataset_perc", INFO_PERCENT, memory.dataset_percent),
    COUNT("allocator_allocated", memory.facts.allocator_allocated_bytes),
    COUNT("allocator_active", memory.facts.allocator_active_bytes),
    COUNT("allocator_resident", memory.facts.allocator_resident_bytes),
    COUNT("total_system_memory", memory.facts.total_system_bytes),
    VALUE("total_system_memory_human", INFO_HUMAN, memory.facts.total_system_bytes),
    ZERO("used_memory_lua"),
    ZERO("used_memory_vm_eval"),
    CONSTANT("used_memory_lua_human", "0B"),
    ZERO("used_memory_scripts_eval"),
    ZERO("number_of_cached_scripts"),
    ZERO("number_of_functions"),
    ZERO("number_of_libraries"),
    ZERO("used_memory_vm_functions"),
    ZERO("used_memory_vm_total"),
    CONSTANT("used_memory_vm_total_human", "0B"),
    ZERO("used_memory_functions"),
    ZERO("used_memory_scripts"),
    CONSTANT("used_memory_scripts_human", "0B"),
    COUNT("maxmemory", maxmemory),
    VALUE("maxmemory_human", INFO_HUMAN, maxmemory),
    VALUE("maxmemory_policy", INFO_TEXT, maxmemory_policy),
    VALUE("allocator_frag_ratio", INFO_RATIO, memory.allocator_fragmentation),
    VALUE("allocator_frag_bytes", INFO_SIGNED, memory.allocator_fragmentation_bytes),
    VALUE("allocator_rss_ratio", INFO_RATIO, memory.allocator_rss),
    VALUE("allocator_rss_bytes", INFO_SIGNED, memory.allocator_rss_bytes),
    VALUE("rss_overhead_ratio", INFO_RATIO, memory.rss_overhead),
    VALUE("rss_overhead_bytes", INFO_SIGNED, memory.rss_overhead_bytes),
    VALUE("mem_fragmentation_ratio", INFO_RATIO, memory.fragmentation),
    VALUE("mem_fragmentation_bytes", INFO_SIGNED, memory.fragmentation_bytes),
    ZERO("mem_not_counted_for_evict"),
    ZERO("mem_replication_backlog"),
    ZERO("mem_total_replication_buffers"),
    ZERO("mem_clients_slaves"),
    COUNT("mem_clients_normal", memory.clients.memory_bytes),
    COUNT("mem_cluster_links", memory.link_bytes),
    ZERO("mem_aof_buffer"),
    CONSTANT("mem_allocator", RELEASE_ALLOCATOR),
    ZERO("active_defrag_running"),
    COUNT("lazyfree_pending_objects", reclaim_pending),
    COUNT("lazyfreed_objects", reclaimed),
};

static const struct info_row persistence_rows[] = {
    COUNT("loading", persistence.loading),
    ZERO("async_loading"),
    COUNT("current_cow_peak", persistence.copied_bytes),
    COUNT("current_cow_size", persistence.copied_bytes),
    ZERO("current_cow_size_age"),
    VALUE("current_fork_perc", INFO_RATIO, persistence.percent),
    COUNT("current_save_keys_processed", persistence.keys_done),
    COUNT("current_save_keys_total", persistence.keys_total),
    COUNT("rdb_changes_since_last_save", persistence.changes),
    COUNT("rdb_bgsave_in_progress", persistence.saving),
    VALUE("rdb_last_save_time", INFO_SIGNED, persistence.saved_s),
    VALUE("rdb_last_bgsave_status", INFO_POINTER, persistence.last_status),
    VALUE("rdb_last_bgsave_time_sec", INFO_SIGNED, persistence.last_duration_s),
    VALUE("rdb_current_bgsave_time_sec", INFO_SIGNED, persistence.elapsed_s),
    COUNT("rdb_saves", persistence.saves),
    COUNT("rdb_last_cow_size", persistence.last_copied_bytes),
    COUNT("rdb_last_load_keys_expired", persistence.expired_keys),
    COUNT("rdb_last_load_keys_loaded", persistence.loaded_keys),
    ZERO("aof_enabled"),
    ZERO("aof_rewrite_in_progress"),
    ZERO("aof_rewrite_scheduled"),
    CONSTANT("aof_last_rewrite_time_sec", "-1"),
    CONSTANT("aof_current_rewrite_time_sec", "-1"),
    CONSTANT("aof_last_bgrewrite_status", "ok"),
    ZERO("aof_rewrites"),
    ZERO("aof_rewrites_consecutive_failures"),
    CONSTANT("aof_last_write_status", "ok"),
    ZERO("aof_last_cow_size"),
    ZERO("module_fork_in_progress"),
    ZERO("module_fork_last_cow_size"),
    VALUE("checkpoint_last_error", INFO_POINTER, persistence.last_error),
};

static const struct info_row saving_rows[] = {
    VALUE("checkpoint_percent", INFO_RATIO, persistence.percent),
    COUNT("checkpoint_keys", persistence.records),
    COUNT("checkpoint_bytes", persistence.stored_bytes),
    VALUE("checkpoint_seconds_left", INFO_SIGNED, persistence.seconds_left),
};

static const struct info_row loading_rows[] = {
    VALUE("loading_start_time", INFO_SIGNED, persistence.loading_start_s),
    COUNT("loading_total_bytes", persistence.loading_total_bytes),
    ZERO("loading_rdb_used_mem"),
    COUNT("loading_loaded_bytes", persistence.loading_loaded_bytes),
    VALUE("loading_loaded_perc", INFO_RATIO, persistence.loading_percent),
    VALUE("loading_eta_seconds", INFO_SIGNED, persistence.loading_seconds_left),
};

static const struct info_row stats_rows[] = {
    STATISTIC("total_connections_received", connections),
    STATISTIC("total_commands_processed", commands),
    COUNT("instantaneous_ops_per_sec", operations_per_s),
    STATISTIC("total_net_input_bytes", input_bytes),
    STATISTIC("total_net_output_bytes", output_bytes),
    ZERO("total_net_repl_input_bytes"),
    ZERO("total_net_repl_output_bytes"),
    VALUE("instantaneous_input_kbps", INFO_RATIO, input_kib_per_s),
    VALUE("instantaneous_output_kbps", INFO_RATIO, output_kib_per_s),
    CONSTANT("instantaneous_input_repl_kbps", "0.00"),
    CONSTANT("instantaneous_output_repl_kbps", "0.00"),
    STATISTIC("rejected_connections", rejected_connections),
    ZERO("sync_full"),
    ZERO("sync_partial_ok"),
    ZERO("sync_partial_err"),
    COUNT("expired_keys", expired),
    CONSTANT("expired_stale_perc", "0.00"),
    ZERO("expired_time_cap_reached_count"),
    COUNT("expire_cycle_cpu_milliseconds", expire_ms),
    ZERO("evicted_keys"),
    ZERO("evicted_clients"),
    ZERO("total_eviction_exceeded_time"),
    ZERO("current_eviction_exceeded_time"),
    COUNT("keyspace_hits", hits),
    COUNT("keyspace_misses", misses),
    ZERO("pubsub_channels"),
    ZERO("pubsub_patterns"),
    ZERO("pubsubshard_channels"),
    ZERO("latest_fork_usec"),
    ZERO("total_forks"),
    ZERO("migrate_cached_sockets"),
    ZERO("slave_expires_tracked_keys"),
    ZERO("active_defrag_hits"),
    ZERO("active_defrag_misses"),
    ZERO("active_defrag_key_hits"),
    ZERO("active_defrag_key_misses"),
    ZERO("total_active_defrag_time"),
    ZERO("current_active_defrag_time"),
    ZERO("tracking_total_keys"),
    ZERO("tracking_total_items"),
    ZERO("tracking_total_prefixes"),
    STATISTIC("unexpected_error_replies", unexpected_errors),
    STATISTIC("total_error_replies", error_replies),
    ZERO("dump_payload_sanitizations"),
    STATISTIC("total_reads_processed", reads),
    STATISTIC("total_writes_processed", writes),
    ZERO("io_threaded_reads_processed"),
    ZERO("io_threaded_writes_processed"),
    ZERO("reply_buffer_shrinks"),
    ZERO("reply_buffer_expands"),
    COUNT("eventloop_cycles", turns),
    COUNT("eventloop_duration_sum", turn_us),
    STATISTIC("client_query_buffer_limit_disconnections", input_buffer_closed),
    STATISTIC("client_output_buffer_limit_disconnections", output_buffer_closed),
    STATISTIC("protocol_errors", protocol_errors),
    STATISTIC("acl_access_denied_auth", auth_failures),
    ZERO("acl_access_denied_cmd"),
    ZERO("acl_access_denied_key"),
    ZERO("acl_access_denied_channel"),
};

static const struct info_row replication_rows[] = {
    CONSTANT("role", "master"),
    ZERO("connected_slaves"),
    CONSTANT("master_failover_state", "no-failover"),
    VALUE("master_replid", INFO_POINTER, run_id),
    CONSTANT("master_replid2", "0000000000000000000000000000000000000000"),
    ZERO("master_repl_offset"),
    CONSTANT("second_repl_offset", "-1"),
    ZERO("repl_backlog_active"),
    ZERO("repl_backlog_size"),
    ZERO("repl_backlog_first_byte_offset"),
    ZERO("repl_backlog_histlen"),
};

static const struct info_row cpu_rows[] = {
    VALUE("used_cpu_sys", INFO_SECONDS, memory.facts.cpu_system_s),
    VALUE("used_cpu_user", INFO_SECONDS, memory.facts.cpu_user_s),
    VALUE("used_cpu_sys_children", INFO_SECONDS, memory.facts.cpu_system_children_s),
    VALUE("used_cpu_user_children", INFO_SECONDS, memory.facts.cpu_user_children_s),
    VALUE("used_cpu_sys_main_thread", INFO_SECONDS, memory.facts.cpu_system_main_thread_s),
    VALUE("used_cpu_user_main_thread", INFO_SECONDS, memory.facts.cpu_user_main_thread_s),
};

static const struct info_row cluster_rows[] = {
    COUNT("cluster_enabled", cluster_enabled),
};

struct info_rows info_rows_of(enum info_table table) {
#define ROWS(rows) \
    { rows, sizeof rows / sizeof *rows }
    static const struct info_rows tables[INFO_TABLE_COUNT] = {
        [INFO_SERVER] = ROWS(server_rows), [INFO_CLIENTS] = ROWS(client_rows),
        [INFO_MEMORY] = ROWS(memory_rows), [INFO_PERSISTENCE] = ROWS(persistence_rows),
        [INFO_STATS] = ROWS(stats_rows),   [INFO_REPLICATION] = ROWS(replication_rows),
        [INFO_CPU] = ROWS(cpu_rows),       [INFO_CLUSTER] = ROWS(cluster_rows),
        [INFO_SAVING] = ROWS(saving_rows), [INFO_LOADING] = ROWS(loading_rows),
    };
#undef ROWS
    return tables[table];
}

/* ---- Values ---- */

static uint64_t mean_rate(const struct rate *rate) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < STATISTICS_SAMPLES; i++)
        sum += rate->samples[i];
    return sum / STATISTICS_SAMPLES;
}

static void collect_statistics(const struct node *node, struct info_values *values) {
    const struct statistics *statistics = &node->statistics;
    const struct keyspace_counters *counters = &node->keyspace->counters;
    values->statistics = (struct statistics *)statistics;
    values->operations_per_s = mean_rate(&statistics->commands_rate);
    values->input_kib_per_s = (double)mean_rate(&statistics->input_rate) / 1024;
    values->output_kib_per_s = (double)mean_rate(&statistics->output_rate) / 1024;
    values->turns = statistics->turns;
    values->turn_us = statistics->turn_duration_ns / 1000;
    values->expire_ms = statistics->jobs[JOB_EXPIRE].sum / 1000000;
    values->expired = counters->expired;
    values->hits = counters->hits;
    values->misses = counters->misses;
}

static void take_policy(void *context, const char *name, const char *value) {
    (void)name;
    struct info_values *values = context;
    snprintf(values->maxmemory_policy, sizeof values->maxmemory_policy, "%s", value);
}

static void collect_settings(const struct node *node, struct info_values *values) {
    static const struct argument policy = {.data = (const uint8_t *)"maxmemory-policy", .size = 16};
    const struct config *config = node->config;
    values->tcp_port = config->port;
    values->hz = config->hz;
    values->maxclients = config->maxclients;
    values->maxmemory = config->maxmemory;
    config_get(config, &policy, 1, take_policy, values);
}

void info_collect(struct node *node, bool is_cluster_view, struct info_values *values) {
    *values = (struct info_values){.run_id = node->run_id,
                                   .mode = is_cluster_view ? RELEASE_CLUSTER_MODE : RELEASE_MODE,
                                   .cluster_enabled = node->cluster != NULL && is_cluster_view,
                                   .arch_bits = 8 * sizeof(void *)};
    memory_report_collect(node, &values->memory);
    collect_settings(node, values);
    collect_statistics(node, values);
    persistence_report(node, &values->persistence);
    snprintf(values->build_id, sizeof values->build_id, "%016llx",
             (unsigned long long)checksum_bytes(REDIS_KV_VERSION, sizeof REDIS_KV_VERSION - 1));
    values->wall_us = (uint64_t)node->wall_us;
    values->uptime_s = (node->monotonic_ns - node->started_monotonic_ns) / 1000000000;
    values->uptime_days = values->uptime_s / 86400;
    values->lru_clock = (uint64_t)(node->wall_ms / 1000) & 0xffffff;
    values->connected_clients = values->memory.clients.connected;
    values->blocked_clients = values->memory.clients.blocked;
    values->clients_in_transaction = values->memory.clients.in_transaction;
    values->clients_watching = values->memory.clients.watching;
    values->watched_pairs = node->keyspace->watch->count;
    values->reclaim_pending = keyspace_reclaim_pending(node->keyspace);
    values->reclaimed = keyspace_reclaimed(node->keyspace);
}
