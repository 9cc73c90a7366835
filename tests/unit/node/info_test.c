/* info_test.c - the sections and fields of INFO.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/conversation.h"
#include "node/info.h"
#include "node/release.h"
#include "node/ring_stage.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define WITH_CLIENT             \
    struct conversation world;  \
    conversation_begin(&world); \
    struct session *client = conversation_client(&world, 1)

#define EXPECT(line, expected) \
    cr_assert_str_eq(say(&world, client, line), expected, "%s -> %s", line, world.reply)

/* What Redis 7.0 prints for `INFO everything` on an idle server, in its order. */
static const char fields_of_redis[] =
    "redis_version redis_git_sha1 redis_git_dirty redis_build_id redis_mode os arch_bits "
    "monotonic_clock multiplexing_api atomicvar_api gcc_version process_id process_supervised run_id "
    "tcp_port server_time_usec uptime_in_seconds uptime_in_days hz configured_hz lru_clock executable "
    "config_file io_threads_active connected_clients cluster_connections maxclients "
    "client_recent_max_input_buffer client_recent_max_output_buffer blocked_clients tracking_clients "
    "clients_in_timeout_table used_memory used_memory_human used_memory_rss used_memory_rss_human "
    "used_memory_peak used_memory_peak_human used_memory_peak_perc used_memory_overhead "
    "used_memory_startup used_memory_dataset used_memory_dataset_perc allocator_allocated "
    "allocator_active allocator_resident total_system_memory total_system_memory_human "
    "used_memory_lua used_memory_vm_eval used_memory_lua_human used_memory_scripts_eval "
    "number_of_cached_scripts number_of_functions number_of_libraries used_memory_vm_functions "
    "used_memory_vm_total used_memory_vm_total_human used_memory_functions used_memory_scripts "
    "used_memory_scripts_human maxmemory maxmemory_human maxmemory_policy allocator_frag_ratio "
    "allocator_frag_bytes allocator_rss_ratio allocator_rss_bytes rss_overhead_ratio "
    "rss_overhead_bytes mem_fragmentation_ratio mem_fragmentation_bytes mem_not_counted_for_evict "
    "mem_replication_backlog mem_total_replication_buffers mem_clients_slaves mem_clients_normal "
    "mem_cluster_links mem_aof_buffer mem_allocator active_defrag_running lazyfree_pending_objects "
    "lazyfreed_objects loading async_loading current_cow_peak current_cow_size current_cow_size_age "
    "current_fork_perc current_save_keys_processed current_save_keys_total "
    "rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status "
    "rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec rdb_saves rdb_last_cow_size "
    "rdb_last_load_keys_expired rdb_last_load_keys_loaded aof_enabled aof_rewrite_in_progress "
    "aof_rewrite_scheduled aof_last_rewrite_time_sec aof_current_rewrite_time_sec "
    "aof_last_bgrewrite_status aof_rewrites aof_rewrites_consecutive_failures aof_last_write_status "
    "aof_last_cow_size module_fork_in_progress module_fork_last_cow_size total_connections_received "
    "total_commands_processed instantaneous_ops_per_sec total_net_input_bytes total_net_output_bytes "
    "total_net_repl_input_bytes total_net_repl_output_bytes instantaneous_input_kbps "
    "instantaneous_output_kbps instantaneous_input_repl_kbps instantaneous_output_repl_kbps "
    "rejected_connections sync_full sync_partial_ok sync_partial_err expired_keys expired_stale_perc "
    "expired_time_cap_reached_count expire_cycle_cpu_milliseconds evicted_keys evicted_clients "
    "total_eviction_exceeded_time current_eviction_exceeded_time keyspace_hits keyspace_misses "
    "pubsub_channels pubsub_patterns pubsubshard_channels latest_fork_usec total_forks "
    "migrate_cached_sockets slave_expires_tracked_keys active_defrag_hits active_defrag_misses "
    "active_defrag_key_hits active_defrag_key_misses total_active_defrag_time "
    "current_active_defrag_time tracking_total_keys tracking_total_items tracking_total_prefixes "
    "unexpected_error_replies total_error_replies dump_payload_sanitizations total_reads_processed "
    "total_writes_processed io_threaded_reads_processed io_threaded_writes_processed "
    "reply_buffer_shrinks reply_buffer_expands role connected_slaves master_failover_state "
    "master_replid master_replid2 master_repl_offset second_repl_offset repl_backlog_active "
    "repl_backlog_size repl_backlog_first_byte_offset repl_backlog_histlen used_cpu_sys used_cpu_user "
    "used_cpu_sys_children used_cpu_user_children used_cpu_sys_main_thread used_cpu_user_main_thread "
    "cluster_enabled";

/* The value of a field in a text of INFO, "" if the field is missing. */
static const char *value_of(const char *text, const char *name, char value[128]) {
    size_t size = strlen(name);
    value[0] = '\0';
    for (const char *line = text; line != NULL; line = strstr(line, "\r\n")) {
        line += line == text ? 0 : 2;
        if (strncmp(line, name, size) == 0 && line[size] == ':')
            snprintf(value, 128, "%.*s", (int)strcspn(line + size + 1, "\r"), line + size + 1);
    }
    return value;
}

static void expect_value(struct conversation *world, struct session *client, const char *line,
                         const char *name, const char *expected) {
    char value[128];
    cr_assert_str_eq(value_of(say(world, client, line), name, value), expected, "%s", name);
}
#define EXPECT_VALUE(line, name, expected) expect_value(&world, client, line, name, expected)

/* The titles of a text's sections, one behind the other. */
static const char *titles_of(const char *text, char titles[512]) {
    titles[0] = '\0';
    while ((text = strstr(text, "# ")) != NULL) {
        text += 2;
        snprintf(titles + strlen(titles), 512 - strlen(titles), "%.*s ", (int)strcspn(text, "\r"), text);
    }
    return titles;
}

#define DEFAULT_TITLES \
    "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace "
#define ALL_TITLES                                                                                                  \
    "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Latencystats Cluster " \
    "Keyspace "

Test(info, every_field_of_redis_is_there_in_its_order) {
    WITH_CLIENT;
    const char *at = say(&world, client, "INFO everything");
    char names[sizeof fields_of_redis];
    memcpy(names, fields_of_redis, sizeof names);
    char *rest = NULL;
    unsigned count = 0;
    for (char *name = strtok_r(names, " ", &rest); name != NULL; name = strtok_r(NULL, " ", &rest), count++) {
        char line_start[64];
        snprintf(line_start, sizeof line_start, "\r\n%s:", name);
        const char *found = strstr(at, line_start);
        cr_assert_not_null(found, "%s is missing, or not where it should be", name);
        at = found;
    }
    cr_assert_eq(count, 181);
    conversation_end(&world);
}

Test(info, words_choose_the_sections) {
    static const struct {
        const char *line, *titles;
    } cases[] = {
        {"INFO", DEFAULT_TITLES},
        {"INFO default", DEFAULT_TITLES},
        {"INFO ALL", ALL_TITLES},
        {"INFO everything", ALL_TITLES},
        {"INFO keyspace CPU cpu", "CPU Keyspace "},
        {"INFO default latencystats",
         "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats "
         "Latencystats Cluster Keyspace "},
        {"INFO nosuch modules", "Modules "},
        {"INFO jobs", "Jobs "},
    };
    WITH_CLIENT;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char titles[512];
        cr_assert_str_eq(titles_of(say(&world, client, cases[i].line), titles), cases[i].titles, "%s",
                         cases[i].line);
    }
    EXPECT("INFO nosuch", "$0\r\n\r\n");
    EXPECT("INFO \"\"", "$0\r\n\r\n");
    conversation_end(&world);
}

Test(info, sections_are_parted_by_an_empty_line) {
    WITH_CLIENT;
    EXPECT("INFO modules", "$11\r\n# Modules\r\n\r\n");
    EXPECT("INFO cluster", "$30\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n");
    EXPECT("INFO modules cluster", "$43\r\n# Modules\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n");
    say(&world, client, "HELLO 3");
    EXPECT("INFO cluster", "=34\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n\r\n");
    conversation_end(&world);
}

Test(info, the_server_section_tells_what_it_is) {
    WITH_CLIENT;
    conversation_wait(&world, 172800000);
    EXPECT_VALUE("INFO server", "redis_version", REDIS_LEVEL_VERSION);
    EXPECT_VALUE("INFO server", "redis_kv_version", REDIS_KV_VERSION);
    EXPECT_VALUE("INFO server", "os", "Test 1.0");
    EXPECT_VALUE("INFO server", "process_id", "77");
    EXPECT_VALUE("INFO server", "run_id", "0000000000000000000000000000000000000000");
    EXPECT_VALUE("INFO server", "tcp_port", "6379");
    EXPECT_VALUE("INFO server", "uptime_in_seconds", "172800");
    EXPECT_VALUE("INFO server", "uptime_in_days", "2");
    EXPECT_VALUE("INFO server", "server_time_usec", "1800172800123456");
    conversation_end(&world);
}

Test(info, clients_are_counted) {
    WITH_CLIENT;
    struct session *other = conversation_client(&world, 2);
    say(&world, other, "WATCH a b");
    say(&world, other, "MULTI");
    EXPECT_VALUE("INFO clients", "connected_clients", "2");
    EXPECT_VALUE("INFO clients", "total_watched_keys", "2");
    EXPECT_VALUE("INFO clients", "watching_clients", "1");
    EXPECT_VALUE("INFO clients", "clients_in_transaction", "1");
    EXPECT_VALUE("INFO clients", "maxclients", "10000");
    node_kill(world.node, other, false);
    EXPECT_VALUE("INFO clients", "connected_clients", "1");
    conversation_end(&world);
}

Test(info, memory_is_what_the_node_holds) {
    WITH_CLIENT;
    char expected[32];
    say(&world, client, "INFO memory");
    /* The text of INFO itself is memory, too: it is not yet there when the memory is looked at. */
    snprintf(expected, sizeof expected, "%zu", world.mem.used_bytes);
    char value[128];
    value_of(say(&world, client, "INFO memory"), "used_memory", value);
    cr_assert_lt(strtoul(value, NULL, 10) - strtoul(expected, NULL, 10), 4096);
    EXPECT_VALUE("INFO memory", "used_memory_rss", "3145728");
    EXPECT_VALUE("INFO memory", "used_memory_rss_human", "3.00M");
    EXPECT_VALUE("INFO memory", "total_system_memory_human", "1.00G");
    EXPECT_VALUE("INFO memory", "maxmemory_policy", "noeviction");
    EXPECT_VALUE("INFO memory", "maxmemory", "0");
    say(&world, client, "CONFIG SET maxmemory 1gb");
    EXPECT_VALUE("INFO memory", "maxmemory_human", "1.00G");
    conversation_end(&world);
}

Test(info, hits_misses_and_expired_keys_are_counted) {
    WITH_CLIENT;
    say(&world, client, "SET a 1 PX 10");
    say(&world, client, "GET a");
    say(&world, client, "GET nosuch");
    EXPECT_VALUE("INFO stats", "keyspace_hits", "1");
    EXPECT_VALUE("INFO stats", "keyspace_misses", "1");
    conversation_wait(&world, 20);
    say(&world, client, "GET a");
    EXPECT_VALUE("INFO stats", "expired_keys", "1");
    EXPECT_VALUE("INFO persistence", "rdb_changes_since_last_save", "1");
    conversation_end(&world);
}

Test(info, reads_writes_and_bytes_are_counted) {
    WITH_CLIENT;
    say(&world, client, "PING");
    EXPECT_VALUE("INFO stats", "total_reads_processed", "2");
    EXPECT_VALUE("INFO stats", "total_writes_processed", "2");
    cr_assert_eq(world.node->statistics.input_bytes, 6 + 2 * 12);
    EXPECT_VALUE("INFO stats", "total_connections_received", "1");
    conversation_end(&world);
}

Test(info, commands_are_counted_by_name) {
    WITH_CLIENT;
    world.clock_step_ns = 2000;
    say(&world, client, "GET a");
    say(&world, client, "GET a");
    say(&world, client, "GET");
    say(&world, client, "INCRBY a x");
    say(&world, client, "CLIENT ID");
    EXPECT_VALUE("INFO commandstats", "cmdstat_get",
                 "calls=2,usec=4,usec_per_call=2.00,rejected_calls=1,failed_calls=0");
    EXPECT_VALUE("INFO commandstats", "cmdstat_incrby",
                 "calls=1,usec=2,usec_per_call=2.00,rejected_calls=0,failed_calls=1");
    EXPECT_VALUE("INFO commandstats", "cmdstat_client|id",
                 "calls=1,usec=2,usec_per_call=2.00,rejected_calls=0,failed_calls=0");
    say(&world, client, "APPEND");
    EXPECT_VALUE("INFO commandstats", "cmdstat_append",
                 "calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0");
    EXPECT_VALUE("INFO commandstats", "cmdstat_set", "");
    conversation_end(&world);
}

Test(info, what_came_before_in_the_same_batch_is_counted_already) {
    WITH_CLIENT;
    world.clock_step_ns = 1000;
    const char *reply = say(&world, client, "GET a\r\nGET a\r\nINFO commandstats\r\nGET a");
    cr_assert_not_null(strstr(reply, "\r\ncmdstat_get:calls=2,"), "%s", reply);
    cr_assert_eq(world.node->statistics.of_command[COMMAND_ID_GET].calls, 3);
    cr_assert_eq(world.node->statistics.of_command[COMMAND_ID_INFO].calls, 1);
    conversation_end(&world);
}

Test(info, what_a_timed_command_takes_is_not_shared_out) {
    WITH_CLIENT;
    world.config.enable_debug_command = true;
    world.clock_step_ns = 1000;
    say(&world, client, "GET a\r\nDEBUG SLEEP 1\r\nGET a");
    cr_assert_lt(world.node->statistics.of_command[COMMAND_ID_GET].duration_ns, 100000);
    cr_assert_geq(world.node->statistics.of_command[COMMAND_ID_DEBUG].duration_ns, 1000000000);
    conversation_end(&world);
}

Test(info, errors_are_counted_by_their_first_word) {
    WITH_CLIENT;
    say(&world, client, "GET");
    say(&world, client, "NOSUCH");
    say(&world, client, "HELLO 9");
    EXPECT("INFO errorstats",
           "$64\r\n# Errorstats\r\nerrorstat_ERR:count=2\r\nerrorstat_NOPROTO:count=1\r\n\r\n");
    EXPECT_VALUE("INFO stats", "total_error_replies", "3");
    conversation_end(&world);
}

Test(info, latencies_are_told_as_percentiles) {
    WITH_CLIENT;
    node_book(world.node, client, command_by_id(COMMAND_ID_GET), 99, 1000, NULL, 0);
    node_book(world.node, client, command_by_id(COMMAND_ID_GET), 1, 2048000, NULL, 0);
    char value[128];
    value_of(say(&world, client, "INFO latencystats"), "latency_percentiles_usec_get", value);
    cr_assert_eq(strncmp(value, "p50=1.0", 7), 0, "%s", value);
    cr_assert_not_null(strstr(value, ",p99=1.0"), "%s", value);
    cr_assert_not_null(strstr(value, ",p99.9=2048.000"), "%s", value);
    conversation_end(&world);
}

Test(info, databases_with_keys_are_listed) {
    WITH_CLIENT;
    EXPECT("INFO keyspace", "$12\r\n# Keyspace\r\n\r\n");
    say(&world, client, "SELECT 3");
    say(&world, client, "SET a 1 PX 5000");
    say(&world, client, "SET b 1 PX 7000");
    say(&world, client, "SET c 1");
    EXPECT_VALUE("INFO keyspace", "db3", "keys=3,expires=2,avg_ttl=6000");
    EXPECT_VALUE("INFO keyspace", "db0", "");
    conversation_end(&world);
}

Test(info, links_with_other_nodes_are_counted) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 1);
    const char *info = ring_ask(client, "INFO clients");
    cr_assert_not_null(strstr(info, "cluster_connections:4\r\n"), "%s", info);
    info = ring_ask(client, "INFO memory");
    const char *at = strstr(info, "mem_cluster_links:");
    cr_assert_not_null(at);
    uint64_t bytes = strtoull(at + strlen("mem_cluster_links:"), NULL, 10);
    cr_assert_gt(bytes, 4 * sizeof(struct peer_link));
    char row[64];
    snprintf(row, sizeof row, "$13\r\ncluster.links\r\n:");
    const char *stats = strstr(ring_ask(client, "MEMORY STATS"), row);
    cr_assert_not_null(stats);
    cr_assert_gt(strtoull(stats + strlen(row), NULL, 10), 4 * sizeof(struct peer_link));
    ring_stage_end(stage);
}

Test(info, jobs_have_a_section_of_their_own) {
    WITH_CLIENT;
    histogram_record(&world.node->statistics.jobs[JOB_EXPIRE], 2000, 3);
    EXPECT_VALUE("INFO jobs", "job_expire", "steps=3,p50_usec=2.000,p99_usec=2.000,max_usec=2.000");
    EXPECT_VALUE("INFO jobs", "job_reclaim", "steps=0,p50_usec=0.000,p99_usec=0.000,max_usec=0.000");
    EXPECT_VALUE("INFO jobs", "lazyfree_pending_objects", "0");
    conversation_end(&world);
}
