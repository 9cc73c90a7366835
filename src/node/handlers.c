/* handlers.c - which function of the node runs which row of the command table.
 *
 * A container that is nothing without a subcommand has no line here: such a call does not fit its arity.
 * Tests: tests/unit/node/handlers_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/handlers.h"

static node_handler *const handlers[COMMAND_COUNT] = {
    [COMMAND_ID_AUTH] = handle_auth,
    [COMMAND_ID_CLIENT_GETNAME] = handle_client_getname,
    [COMMAND_ID_CLIENT_HELP] = handle_help,
    [COMMAND_ID_CLIENT_ID] = handle_client_id,
    [COMMAND_ID_CLIENT_INFO] = handle_client_info,
    [COMMAND_ID_CLIENT_KILL] = handle_client_kill,
    [COMMAND_ID_CLIENT_LIST] = handle_client_list,
    [COMMAND_ID_CLIENT_NO_EVICT] = handle_client_no_evict,
    [COMMAND_ID_CLIENT_NO_TOUCH] = handle_client_no_touch,
    [COMMAND_ID_CLIENT_PAUSE] = handle_client_pause,
    [COMMAND_ID_CLIENT_REPLY] = handle_client_reply,
    [COMMAND_ID_CLIENT_SETINFO] = handle_client_setinfo,
    [COMMAND_ID_CLIENT_SETNAME] = handle_client_setname,
    [COMMAND_ID_CLIENT_UNBLOCK] = handle_client_unblock,
    [COMMAND_ID_CLIENT_UNPAUSE] = handle_client_unpause,
    [COMMAND_ID_COMMAND] = handle_command,
    [COMMAND_ID_COMMAND_COUNT] = handle_command_count,
    [COMMAND_ID_COMMAND_DOCS] = handle_command_docs,
    [COMMAND_ID_COMMAND_GETKEYS] = handle_command_getkeys,
    [COMMAND_ID_COMMAND_GETKEYSANDFLAGS] = handle_command_getkeysandflags,
    [COMMAND_ID_COMMAND_HELP] = handle_help,
    [COMMAND_ID_COMMAND_INFO] = handle_command_info,
    [COMMAND_ID_COMMAND_LIST] = handle_command_list,
    [COMMAND_ID_CONFIG_GET] = handle_config_get,
    [COMMAND_ID_CONFIG_HELP] = handle_help,
    [COMMAND_ID_CONFIG_RESETSTAT] = handle_config_resetstat,
    [COMMAND_ID_CONFIG_REWRITE] = handle_config_rewrite,
    [COMMAND_ID_CONFIG_SET] = handle_config_set,
    [COMMAND_ID_DEBUG] = handle_debug,
    [COMMAND_ID_DISCARD] = handle_discard,
    [COMMAND_ID_ECHO] = handle_echo,
    [COMMAND_ID_EXEC] = handle_exec,
    [COMMAND_ID_HELLO] = handle_hello,
    [COMMAND_ID_INFO] = handle_info,
    [COMMAND_ID_LASTSAVE] = handle_lastsave,
    [COMMAND_ID_LATENCY_DOCTOR] = handle_latency_doctor,
    [COMMAND_ID_LATENCY_HELP] = handle_help,
    [COMMAND_ID_LATENCY_HISTOGRAM] = handle_latency_histogram,
    [COMMAND_ID_LATENCY_HISTORY] = handle_latency_history,
    [COMMAND_ID_LATENCY_LATEST] = handle_latency_latest,
    [COMMAND_ID_LATENCY_RESET] = handle_latency_reset,
    [COMMAND_ID_LOLWUT] = handle_lolwut,
    [COMMAND_ID_MEMORY_DOCTOR] = handle_memory_doctor,
    [COMMAND_ID_MEMORY_HELP] = handle_help,
    [COMMAND_ID_MEMORY_PURGE] = handle_memory_purge,
    [COMMAND_ID_MEMORY_STATS] = handle_memory_stats,
    [COMMAND_ID_MEMORY_USAGE] = handle_memory_usage,
    [COMMAND_ID_MONITOR] = handle_monitor,
    [COMMAND_ID_MULTI] = handle_multi,
    [COMMAND_ID_PING] = handle_ping,
    [COMMAND_ID_QUIT] = handle_quit,
    [COMMAND_ID_RESET] = handle_reset,
    [COMMAND_ID_ROLE] = handle_role,
    [COMMAND_ID_SELECT] = handle_select,
    [COMMAND_ID_SHUTDOWN] = handle_shutdown,
    [COMMAND_ID_SLOWLOG_GET] = handle_slowlog_get,
    [COMMAND_ID_SLOWLOG_HELP] = handle_help,
    [COMMAND_ID_SLOWLOG_LEN] = handle_slowlog_len,
    [COMMAND_ID_SLOWLOG_RESET] = handle_slowlog_reset,
    [COMMAND_ID_TIME] = handle_time,
    [COMMAND_ID_UNWATCH] = handle_unwatch,
    [COMMAND_ID_WAIT] = handle_wait,
    [COMMAND_ID_WATCH] = handle_watch,
};

node_handler *node_handler_of(const struct command *command) {
    return handlers[command->id];
}
