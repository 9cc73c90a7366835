/* handlers.h - the functions that run the node's own commands: `handle_<id>` for the rows of commands.def
 * without a handler.
 *
 * Each writes exactly one reply through call->reply, except those that say so below. handlers.c binds them to
 * the rows.
 * Tests: tests/unit/node/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_HANDLERS_H
#define NODE_HANDLERS_H

#include "node/state.h"

/* connection_commands.c */
node_handler handle_ping, handle_echo, handle_quit, handle_reset, handle_hello, handle_auth, handle_select;
node_handler handle_client_setname, handle_client_getname, handle_client_setinfo, handle_client_id;
node_handler handle_client_no_evict, handle_client_no_touch;
node_handler handle_client_reply; /* OFF and SKIP write nothing */

/* client_commands.c */
node_handler handle_client_list, handle_client_info, handle_client_kill;
node_handler handle_client_pause, handle_client_unpause, handle_client_unblock;

/* transaction.c */
node_handler handle_multi, handle_exec, handle_discard, handle_watch, handle_unwatch;

/* info.c, slowlog.c, latency_commands.c, memory_commands.c, monitor.c */
node_handler handle_info;
node_handler handle_slowlog_get, handle_slowlog_len, handle_slowlog_reset;
node_handler handle_latency_doctor, handle_latency_histogram, handle_latency_history, handle_latency_latest,
    handle_latency_reset;
node_handler handle_memory_doctor, handle_memory_purge, handle_memory_stats, handle_memory_usage;
node_handler handle_monitor; /* writes nothing to a session that monitors already */

/* server_commands.c */
node_handler handle_time, handle_role, handle_wait, handle_lolwut;
node_handler handle_help; /* the HELP of every container */
node_handler handle_command, handle_command_count, handle_command_docs, handle_command_getkeys,
    handle_command_getkeysandflags, handle_command_info, handle_command_list;

/* persistence_commands.c; all but the first two may write nothing, and let the session wait */
node_handler handle_bgsave, handle_lastsave;
node_handler handle_save, handle_shutdown;
node_handler handle_debug_reload; /* a part of DEBUG */

/* cluster_commands.c, ring_commands.c */
node_handler handle_readonly, handle_readwrite, handle_asking;
node_handler handle_cluster_countkeysinslot, handle_cluster_forget, handle_cluster_getkeysinslot,
    handle_cluster_info, handle_cluster_keyslot, handle_cluster_links, handle_cluster_meet,
    handle_cluster_myid, handle_cluster_nodes, handle_cluster_replicas, handle_cluster_saveconfig,
    handle_cluster_shards, handle_cluster_slots;
node_handler handle_cluster_refused; /* what makes no sense where the ring assigns slots */
node_handler handle_kv_digest;
node_handler handle_kv_quorum;
node_handler handle_kv_repair;
node_handler handle_kv_ring;

/* config_commands.c, debug_commands.c */
node_handler handle_config_get, handle_config_resetstat, handle_config_rewrite, handle_config_set;
node_handler handle_debug;

#endif
