/* config_table.c - the settings: those that act first, then those that are kept and reported only.
 *
 * The ranges, default values and words of enumerations are Redis's where this server has no reason for others, so
 * that its config files are read and clients see what they expect.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/config_table.h"

#include "cluster/ring.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static const char *const loglevel_words[] = {"debug", "verbose", "notice", "warning", NULL};
static const char *const supervised_words[] = {"upstart", "systemd", "auto", "no", NULL};
static const char *const facility_words[] = {"user",   "local0", "local1", "local2", "local3",
                                             "local4", "local5", "local6", "local7", NULL};
static const char *const read_from_words[] = {
    [READ_FROM_PRIMARY] = "primary",         [READ_FROM_NEAREST] = "nearest", [READ_FROM_RANDOM] = "random",
    [READ_FROM_ROUND_ROBIN] = "round-robin", [READ_FROM_FASTEST] = "fastest", NULL,
};
static const char *const partition_words[] = {"available", "majority", NULL};
static const char *const access_words[] = {"no", "yes", "local", NULL};
static const char *const words_acl_pubsub_default[] = {"allchannels", "resetchannels", NULL};
static const char *const words_appendfsync[] = {"everysec", "always", "no", NULL};
static const char *const words_cluster_preferred_endpoint_type[] = {"ip", "hostname", "unknown-endpoint",
                                                                    NULL};
static const char *const words_oom_score_adj[] = {"no", "yes", "relative", "absolute", NULL};
static const char *const words_propagation_error_behavior[] = {"ignore", "panic", "panic-on-replicas", NULL};
static const char *const words_repl_diskless_load[] = {"disabled", "on-empty-db", "swapdb", NULL};
static const char *const words_sanitize_dump_payload[] = {"no", "yes", "clients", NULL};
static const char *const words_tls_auth_clients[] = {"no", "yes", "optional", NULL};

/* A field of struct config, and how wide it is. */
#define FIELD(member) \
    .field = _Generic(((struct config *)NULL)->member,                                                       \
                      bool : FIELD_BOOLEAN,                                                                  \
                      uint32_t : FIELD_UINT32,                                                               \
                      uint64_t : FIELD_UINT64,                                                               \
                      int64_t : FIELD_INT64,                                                                 \
                      int : FIELD_INT,                                                                       \
                      char * : FIELD_TEXT),                                                                  \
    .offset = offsetof(struct config, member)

#define ACTS_BOOLEAN(name_, member, flags_, default_, ...)                                                 \
    {                                                                                                      \
        .name = name_, .kind = SETTING_BOOLEAN, FIELD(member), .flags = flags_, .default_value = default_, \
        __VA_ARGS__                                                                                        \
    }
#define ACTS_INTEGER(name_, member, flags_, min_, max_, default_, ...)                                    \
    {                                                                                                     \
        .name = name_, .kind = SETTING_INTEGER, FIELD(member), .flags = flags_, .min = min_, .max = max_, \
        .default_value = default_, __VA_ARGS__                                                            \
    }
#define ACTS_MEMORY(name_, member, flags_, min_, max_, default_, ...)                                    \
    {                                                                                                    \
        .name = name_, .kind = SETTING_MEMORY, FIELD(member), .flags = flags_, .min = min_, .max = max_, \
        .default_value = default_, __VA_ARGS__                                                           \
    }
#define ACTS_WORD(name_, member, flags_, words_, default_, ...)                               \
    {                                                                                         \
        .name = name_, .kind = SETTING_WORD, FIELD(member), .flags = flags_, .words = words_, \
        .default_value = default_, __VA_ARGS__                                                \
    }
#define ACTS_TEXT(name_, member, flags_, default_, ...)                                                 \
    {                                                                                                   \
        .name = name_, .kind = SETTING_TEXT, FIELD(member), .flags = flags_, .default_value = default_, \
        __VA_ARGS__                                                                                     \
    }
#define ACTS_LIST(name_, member, flags_, default_, ...)                                                 \
    {                                                                                                   \
        .name = name_, .kind = SETTING_LIST, FIELD(member), .flags = flags_, .default_value = default_, \
        __VA_ARGS__                                                                                     \
    }
#define ACTS_SPECIAL(name_, kind_, flags_, default_, ...)                                                 \
    {                                                                                                     \
        .name = name_, .kind = kind_, .field = FIELD_SPECIAL, .flags = flags_, .default_value = default_, \
        __VA_ARGS__                                                                                       \
    }

/* Kept and reported, without effect. */
#define KEPT(name_, kind_, flags_, default_, ...)                                                      \
    {                                                                                                  \
        .name = name_, .kind = kind_, .field = FIELD_KEPT, .flags = flags_, .default_value = default_, \
        __VA_ARGS__                                                                                    \
    }
#define KEPT_BOOLEAN(name_, alias_, flags_, ...) \
    KEPT(name_, SETTING_BOOLEAN, flags_, __VA_ARGS__, .alias = alias_)
#define KEPT_INTEGER(name_, alias_, flags_, min_, max_, ...) \
    KEPT(name_, SETTING_INTEGER, flags_, __VA_ARGS__, .alias = alias_, .min = min_, .max = max_)
#define KEPT_MEMORY(name_, alias_, flags_, ...) \
    KEPT(name_, SETTING_MEMORY, flags_, __VA_ARGS__, .alias = alias_, .max = INT64_MAX)
#define KEPT_WORD(name_, flags_, words_, ...) KEPT(name_, SETTING_WORD, flags_, __VA_ARGS__, .words = words_)
#define KEPT_TEXT(name_, alias_, flags_, ...) KEPT(name_, SETTING_TEXT, flags_, __VA_ARGS__, .alias = alias_)
#define KEPT_LIKE_TEXT(name_, flags_, default_, ...) \
    KEPT(name_, SETTING_TEXT, flags_, default_, .check = __VA_ARGS__)
#define KEPT_LIST(name_, flags_, default_, ...) \
    KEPT(name_, SETTING_LIST, flags_, default_, .check = __VA_ARGS__)

static const struct setting settings[] = {
    /* network */
    ACTS_SPECIAL(
        "bind", SETTING_LIST, 0, "127.0.0.1 -::1", .parse = parse_bind, .format = format_bind,
        .help = "the addresses to listen on; * is all of IPv4, ::* all of IPv6; one that begins with - may "
                "be missing"),
    ACTS_INTEGER("port", port, 0, 0, 65535, "6379", .help = "the TCP port; 0: no TCP"),
    ACTS_TEXT("unixsocket", unixsocket, SETTING_IMMUTABLE, "", .help = "the path of a socket; empty: none"),
    ACTS_SPECIAL("unixsocketperm", SETTING_INTEGER, SETTING_IMMUTABLE, "0", .parse = parse_unixsocketperm,
                 .format = format_unixsocketperm,
                 .help = "the permissions of that socket, an octal number; 0: as the umask leaves them"),
    ACTS_INTEGER("tcp-backlog", tcp_backlog, SETTING_IMMUTABLE, 0, INT32_MAX, "511",
                 .help = "how many connections may wait to be accepted"),
    ACTS_INTEGER("tcp-keepalive", tcp_keepalive_s, 0, 0, INT32_MAX, "300",
                 .help =
                     "seconds of silence before the kernel probes whether a client is still there; 0: never"),
    ACTS_INTEGER("timeout", timeout_s, 0, 0, INT32_MAX, "0",
                 .help = "seconds after which an idle client is cut; 0: never"),
    ACTS_BOOLEAN("protected-mode", protected_mode, 0, "yes",
                 .help = "without a password, take only clients of this machine"),
    ACTS_INTEGER("maxclients", maxclients, 0, 1, UINT32_MAX, "10000",
                 .help = "how many clients may be connected"),

    /* cluster */
    ACTS_BOOLEAN("cluster-enabled", cluster_enabled, SETTING_IMMUTABLE, "no",
                 .help = "be a node of a cluster, and speak with other nodes"),
    ACTS_INTEGER("cluster-port", cluster_port, SETTING_IMMUTABLE, 0, 65535, "0",
                 .help = "the port on which the node looks like one of a Redis Cluster; 0: port + 5000"),
    ACTS_INTEGER("peer-port", peer_port, SETTING_IMMUTABLE, 0, 65535, "0",
                 .help = "the port for other nodes; 0: port + 10000"),
    ACTS_TEXT("cluster-secret", cluster_secret, SETTING_IMMUTABLE | SETTING_SECRET, "",
              .help = "what all nodes of the cluster know, and nobody else; empty: none"),
    ACTS_LIST("cluster-seeds", cluster_seeds, 0, "", .check = check_cluster_seeds,
              .help = "nodes to join, each host:port or host:port@peerport"),
    ACTS_TEXT("cluster-seeds-file", cluster_seeds_file, 0, "",
              .help = "a file of such words, read again now and then; empty: none"),
    ACTS_TEXT("cluster-zone", cluster_zone, 0, "", .check = check_cluster_zone,
              .help = "where the node stands: the copies of a key are kept in different zones"),
    ACTS_INTEGER("cluster-weight", cluster_weight, 0, 1, RING_WEIGHT_MAX, "1",
                 .help = "the node's share of the keys, compared with those of other nodes"),
    ACTS_INTEGER("replication-factor", replication_factor, SETTING_IMMUTABLE, 1, RING_COPIES_MAX, "3",
                 .help = "how many nodes keep a copy of each key; the same number on all nodes"),
    ACTS_INTEGER("gossip-interval", gossip_interval_ms, SETTING_IMMUTABLE, 50, 10000, "200",
                 .help = "milliseconds between two rounds of gossip"),
    ACTS_INTEGER("suspect-timeout", suspect_timeout_ms, SETTING_IMMUTABLE, 100, 600000, "1000",
                 .help = "milliseconds of silence after which a node is suspected to be down"),
    ACTS_INTEGER("failover-timeout", failover_timeout_ms, 0, 10, 60000, "100",
                 .help = "milliseconds of silence after which commands for a node go to the next one"),
    ACTS_WORD("read-from", read_from, 0, read_from_words, "primary",
              .help = "which copy answers reads: primary, nearest, random, round-robin or fastest"),
    ACTS_SPECIAL("read-quorum", SETTING_INTEGER, 0, "1", .parse = parse_read_quorum,
                 .format = format_read_quorum, .help = "how many copies of a key a read looks at"),
    ACTS_SPECIAL("write-quorum", SETTING_INTEGER, 0, "1", .parse = parse_write_quorum,
                 .format = format_write_quorum,
                 .help = "how many copies have a write before it is acknowledged"),
    ACTS_SPECIAL("consistency", SETTING_WORD, 0, "eventual", .parse = parse_consistency,
                 .format = format_consistency,
                 .help = "sets both: fast-read, fast-write, quorum, eventual; custom: as they are"),
    ACTS_INTEGER("quorum-timeout", quorum_timeout_ms, 0, 10, 60000, "1000",
                 .help = "milliseconds that a command waits for the answers of other copies"),
    ACTS_BOOLEAN("sloppy-quorum", sloppy_quorum, 0, "yes",
                 .help = "copies that other nodes keep for absent ones count for quorums"),
    ACTS_WORD(
        "partition-mode", partition_mode, 0, partition_words, "available",
        .help =
            "what a node does that sees half of the members or fewer: available (all), majority (no writes)"),
    ACTS_SPECIAL("cluster-redirect", SETTING_WORD, 0, "forward", .parse = parse_cluster_redirect,
                 .format = format_cluster_redirect,
                 .help = "what becomes of commands for other nodes on the cluster-port: forward, or moved"),
    ACTS_BOOLEAN("cluster-replica-lists", cluster_replica_lists, 0, "no",
                 .help = "name the other holders of a range in CLUSTER SLOTS"),
    ACTS_TEXT("cluster-announce-ip", cluster_announce_ip, 0, "", .check = check_cluster_announce_ip,
              .help = "the address or name under which others reach the node; empty: the one it listens on"),
    ACTS_INTEGER("cluster-announce-port", cluster_announce_port, 0, 0, 65535, "0",
                 .help = "the port under which others reach its port; 0: the same"),
    ACTS_INTEGER("cluster-announce-cluster-port", cluster_announce_cluster_port, 0, 0, 65535, "0",
                 .help = "the same for the cluster-port"),
    ACTS_INTEGER("cluster-announce-bus-port", cluster_announce_peer_port, 0, 0, 65535, "0",
                 .help = "the same for the peer-port"),
    ACTS_MEMORY("peer-output-limit", peer_output_limit, 0, 1048576, INT64_MAX, "67108864",
                .help = "bytes sent to another node that it has not acknowledged"),
    ACTS_BOOLEAN("hinted-handoff", hinted_handoff, 0, "yes",
                 .help = "note which keys absent nodes miss, and hand these over when they are back"),
    ACTS_MEMORY("hint-memory", hint_memory, 0, 0, INT64_MAX, "67108864",
                .help = "bytes of such notes; nodes that miss more are compared with"),
    ACTS_INTEGER("hint-window", hint_window_s, 0, 1, INT32_MAX, "10800",
                 .help =
                     "seconds of absence after which a node's notes are dropped; less than tombstone-grace"),
    ACTS_INTEGER("tombstone-grace", tombstone_grace_s, 0, 1, INT32_MAX, "21600",
                 .help = "seconds for which the note that a key was deleted is kept at least"),
    ACTS_BOOLEAN("anti-entropy", anti_entropy, 0, "yes",
                 .help = "exchange what differs when copies are compared; no: differences are only seen"),
    ACTS_MEMORY("repair-rate", repair_rate, 0, 0, INT64_MAX / 1000000, "10485760",
                .help = "bytes per second that this node spends on comparing and exchanging; 0: no limit"),
    ACTS_LIST("conflict-keep", conflict_keep, 0, "", .check = check_conflict_keep,
              .help =
                  "how keys begin whose losing values are kept after a conflict (KV.SIBLINGS); empty: none"),

    /* limits */
    ACTS_MEMORY("maxmemory", maxmemory, 0, 0, UINT64_MAX, "0",
                .help = "bytes of memory beyond which commands that need more are refused; 0: no limit"),
    ACTS_SPECIAL("maxmemory-policy", SETTING_WORD, 0, "noeviction", .parse = parse_maxmemory_policy,
                 .format = format_maxmemory_policy, .help = "what to do at maxmemory: only noeviction"),
    ACTS_MEMORY("proto-max-bulk-len", proto_max_bulk_len, 0, 1048576, INT64_MAX, "536870912",
                .help = "bytes of the longest argument of a command, and of the longest value"),
    ACTS_MEMORY("client-query-buffer-limit", client_query_buffer_limit, 0, 1048576, INT64_MAX, "1073741824",
                .help = "bytes of requests that a client may have waiting"),
    ACTS_SPECIAL(
        "client-output-buffer-limit", SETTING_LIST, SETTING_LINES,
        "normal 1073741824 268435456 60 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        .parse = parse_client_output_buffer_limit, .format = format_client_output_buffer_limit,
        .help = "class, hard limit, soft limit, seconds: a client with more unread replies is cut at once, "
                "or when it was beyond the soft limit for so long; 0: no limit"),

    /* security */
    ACTS_TEXT("requirepass", requirepass, SETTING_SECRET, "",
              .help = "the password that clients must give; empty: none"),
    ACTS_SPECIAL("enable-debug-command", SETTING_WORD, SETTING_IMMUTABLE, "no",
                 .parse = parse_enable_debug_command, .format = format_enable_debug_command,
                 .help = "who may use DEBUG: no, yes, or local for clients of this machine"),
    ACTS_SPECIAL("enable-protected-configs", SETTING_WORD, SETTING_IMMUTABLE, "no",
                 .parse = parse_enable_protected_configs, .format = format_enable_protected_configs,
                 .help = "who may change dir and dbfilename by CONFIG SET: no, yes, or local"),

    /* saving */
    ACTS_SPECIAL("save", SETTING_LIST, SETTING_LINES, "3600 1 300 100 60 10000", .parse = parse_save,
                 .format = format_save,
                 .help = "seconds and changes: all keys are saved when both have passed since the last time; "
                         "several pairs add up, empty: never"),
    ACTS_TEXT("dbfilename", dbfilename, SETTING_PROTECTED, "dump.rdb", .check = check_dbfilename,
              .help = "the file that keys are saved to, in dir"),
    ACTS_BOOLEAN("stop-writes-on-bgsave-error", stop_writes_on_bgsave_error, 0, "yes",
                 .help = "refuse writes while saving by the rules of save fails"),

    /* introspection */
    ACTS_INTEGER("slowlog-log-slower-than", slowlog_log_slower_than_us, 0, -1, INT64_MAX, "10000",
                 .help = "microseconds from which a command enters SLOWLOG; 0: all, -1: none"),
    ACTS_INTEGER("slowlog-max-len", slowlog_max_len, 0, 0, INT64_MAX, "128",
                 .help = "entries that SLOWLOG keeps"),
    ACTS_INTEGER("latency-monitor-threshold", latency_monitor_threshold_ms, 0, 0, INT64_MAX, "0",
                 .help = "milliseconds from which LATENCY notes an event; 0: never"),
    ACTS_BOOLEAN("latency-tracking", latency_tracking, 0, "yes",
                 .help = "count each command's duration in a histogram"),
    ACTS_SPECIAL("latency-tracking-info-percentiles", SETTING_LIST, 0, "50 99 99.9",
                 .parse = parse_percentiles, .format = format_percentiles,
                 .help = "the percentiles that INFO shows of these histograms"),

    /* process */
    ACTS_TEXT("dir", dir, SETTING_PROTECTED, "./", .help = "the folder to work in"),
    ACTS_BOOLEAN("daemonize", daemonize, SETTING_IMMUTABLE, "no", .help = "go into the background"),
    ACTS_WORD("supervised", supervised, SETTING_IMMUTABLE, supervised_words, "no",
              .help = "who started the server and is told when it is ready: no, upstart, systemd or auto"),
    ACTS_TEXT("pidfile", pidfile, SETTING_IMMUTABLE, "", .help = "where to write the process id"),
    ACTS_WORD("loglevel", loglevel, 0, loglevel_words, "notice", .help = "debug, verbose, notice or warning"),
    ACTS_TEXT("logfile", logfile, SETTING_IMMUTABLE, "", .help = "where to log; empty: standard output"),
    ACTS_BOOLEAN("syslog-enabled", syslog_enabled, SETTING_IMMUTABLE, "no", .help = "log to syslog too"),
    ACTS_TEXT("syslog-ident", syslog_ident, SETTING_IMMUTABLE, "redis", .help = "the name to use there"),
    ACTS_WORD("syslog-facility", syslog_facility, SETTING_IMMUTABLE, facility_words, "local0",
              .help = "user or local0 to local7"),
    ACTS_BOOLEAN("jemalloc-bg-thread", jemalloc_background_thread, 0, "yes",
                 .help = "a thread of the allocator gives freed memory back to the system"),
    ACTS_INTEGER("databases", databases, SETTING_IMMUTABLE, 1, INT32_MAX, "16",
                 .refusal = "this server has 16 databases, no other number",
                 .help = "the number of databases: 16"),

    /* with fields of their own, but nobody acts upon them yet */
    ACTS_BOOLEAN("always-show-logo", always_show_logo, SETTING_IMMUTABLE, "no"),
    ACTS_BOOLEAN("set-proc-title", set_proc_title, SETTING_IMMUTABLE, "yes"),
    ACTS_TEXT("proc-title-template", proc_title_template, 0, "{title} {listen-addr} {server-mode}",
              .check = check_proc_title_template),
    ACTS_SPECIAL("hz", SETTING_INTEGER, 0, "10", .parse = parse_hz, .format = format_hz),

    /* kept and reported only */
    KEPT_WORD("acl-pubsub-default", 0, words_acl_pubsub_default, "resetchannels"),
    KEPT_TEXT("aclfile", NULL, SETTING_IMMUTABLE, "",
              .refusal = "there are no ACL users in this server: 'requirepass' is its only access control"),
    KEPT_INTEGER("acllog-max-len", NULL, 0, 0, INT64_MAX, "128"),
    KEPT_INTEGER("active-defrag-cycle-max", NULL, 0, 1, 99, "25"),
    KEPT_INTEGER("active-defrag-cycle-min", NULL, 0, 1, 99, "1"),
    KEPT_MEMORY("active-defrag-ignore-bytes", NULL, 0, "104857600", .min = 1),
    KEPT_INTEGER("active-defrag-max-scan-fields", NULL, 0, 1, INT64_MAX, "1000"),
    KEPT_INTEGER("active-defrag-threshold-lower", NULL, 0, 0, 1000, "10"),
    KEPT_INTEGER("active-defrag-threshold-upper", NULL, 0, 0, 1000, "100"),
    KEPT_INTEGER("active-expire-effort", NULL, 0, 1, 10, "1"),
    KEPT_BOOLEAN("activedefrag", NULL, 0, "no"),
    KEPT_BOOLEAN("activerehashing", NULL, 0, "yes"),
    KEPT_BOOLEAN("aof-disable-auto-gc", NULL, 0, "no"),
    KEPT_BOOLEAN("aof-load-truncated", NULL, 0, "yes"),
    KEPT_BOOLEAN("aof-rewrite-incremental-fsync", NULL, 0, "yes"),
    KEPT_BOOLEAN("aof-timestamp-enabled", NULL, 0, "no"),
    KEPT_BOOLEAN("aof-use-rdb-preamble", NULL, 0, "yes"),
    KEPT_TEXT("aof_rewrite_cpulist", NULL, SETTING_IMMUTABLE, ""),
    KEPT_LIKE_TEXT("appenddirname", SETTING_IMMUTABLE, "appendonlydir", check_append_directory_name),
    KEPT_LIKE_TEXT("appendfilename", SETTING_IMMUTABLE, "appendonly.aof", check_append_file_name),
    KEPT_WORD("appendfsync", 0, words_appendfsync, "everysec"),
    KEPT_BOOLEAN(
        "appendonly", NULL, 0, "no",
        .refusal = "this server keeps no append-only file: writes would not be as durable as this promises"),
    KEPT_MEMORY("auto-aof-rewrite-min-size", NULL, 0, "67108864"),
    KEPT_INTEGER("auto-aof-rewrite-percentage", NULL, 0, 0, INT32_MAX, "100"),
    KEPT_TEXT("bgsave_cpulist", NULL, SETTING_IMMUTABLE, ""),
    KEPT_TEXT("bind-source-addr", NULL, 0, ""),
    KEPT_TEXT("bio_cpulist", NULL, SETTING_IMMUTABLE, ""),
    KEPT_INTEGER("busy-reply-threshold", "lua-time-limit", 0, 0, INT64_MAX, "5000"),
    KEPT_BOOLEAN("cluster-allow-pubsubshard-when-down", NULL, 0, "yes"),
    KEPT_BOOLEAN("cluster-allow-reads-when-down", NULL, 0, "no"),
    KEPT_BOOLEAN("cluster-allow-replica-migration", NULL, 0, "yes"),
    KEPT_LIKE_TEXT("cluster-announce-hostname", 0, "", check_cluster_announce_hostname),
    KEPT_TEXT("cluster-announce-human-nodename", NULL, 0, ""),
    KEPT_INTEGER("cluster-announce-tls-port", NULL, 0, 0, 65535, "0"),
    KEPT_TEXT("cluster-config-file", NULL, SETTING_IMMUTABLE, "nodes.conf"),
    KEPT("cluster-link-sendbuf-limit", SETTING_MEMORY, 0, "0", .max = UINT64_MAX),
    KEPT_INTEGER("cluster-migration-barrier", NULL, 0, 0, INT32_MAX, "1"),
    KEPT_INTEGER("cluster-node-timeout", NULL, 0, 0, INT64_MAX, "15000"),
    KEPT_WORD("cluster-preferred-endpoint-type", 0, words_cluster_preferred_endpoint_type, "ip"),
    KEPT_BOOLEAN("cluster-replica-no-failover", "cluster-slave-no-failover", 0, "no"),
    KEPT_INTEGER("cluster-replica-validity-factor", "cluster-slave-validity-factor", 0, 0, INT32_MAX, "10"),
    KEPT_BOOLEAN("cluster-require-full-coverage", NULL, 0, "yes"),
    KEPT_BOOLEAN("crash-log-enabled", NULL, 0, "yes"),
    KEPT_BOOLEAN("crash-memcheck-enabled", NULL, 0, "yes"),
    KEPT_BOOLEAN("disable-thp", NULL, SETTING_IMMUTABLE, "yes"),
    KEPT_BOOLEAN("dynamic-hz", NULL, 0, "yes"),
    KEPT_WORD("enable-module-command", SETTING_IMMUTABLE, access_words, "no"),
    KEPT_INTEGER("hash-max-listpack-entries", "hash-max-ziplist-entries", 0, 0, INT64_MAX, "512"),
    KEPT_MEMORY("hash-max-listpack-value", "hash-max-ziplist-value", 0, "64"),
    KEPT_MEMORY("hll-sparse-max-bytes", NULL, 0, "3000"),
    KEPT_TEXT("ignore-warnings", NULL, 0, ""),
    KEPT_INTEGER("io-threads", NULL, SETTING_IMMUTABLE, 1, 128, "1"),
    KEPT_BOOLEAN("io-threads-do-reads", NULL, SETTING_IMMUTABLE, "no"),
    KEPT_BOOLEAN("lazyfree-lazy-eviction", NULL, 0, "no"),
    KEPT_BOOLEAN("lazyfree-lazy-expire", NULL, 0, "no"),
    KEPT_BOOLEAN("lazyfree-lazy-server-del", NULL, 0, "no"),
    KEPT_BOOLEAN("lazyfree-lazy-user-del", NULL, 0, "no"),
    KEPT_BOOLEAN("lazyfree-lazy-user-flush", NULL, 0, "no"),
    KEPT_INTEGER("lfu-decay-time", NULL, 0, 0, INT32_MAX, "1"),
    KEPT_INTEGER("lfu-log-factor", NULL, 0, 0, INT32_MAX, "10"),
    KEPT_INTEGER("list-compress-depth", NULL, 0, 0, INT32_MAX, "0"),
    KEPT_INTEGER("list-max-listpack-size", "list-max-ziplist-size", 0, INT32_MIN, INT32_MAX, "-2"),
    KEPT_TEXT("locale-collate", NULL, 0, ""),
    KEPT_TEXT("masterauth", NULL, SETTING_SECRET, ""),
    KEPT_TEXT("masteruser", NULL, 0, ""),
    KEPT_LIKE_TEXT(
        "maxmemory-clients", 0, "0", check_maxmemory_clients,
        .warning =
            "maxmemory-clients has no effect: see client-output-buffer-limit and client-query-buffer-limit"),
    KEPT_INTEGER("maxmemory-eviction-tenacity", NULL, 0, 0, 100, "10"),
    KEPT_INTEGER("maxmemory-samples", NULL, 0, 1, INT32_MAX, "5"),
    KEPT_INTEGER("min-replicas-max-lag", "min-slaves-max-lag", 0, 0, INT32_MAX, "10"),
    KEPT_INTEGER("min-replicas-to-write", "min-slaves-to-write", 0, 0, INT32_MAX, "0",
                 .refusal = "this server has no replicas: no write could ever be accepted"),
    KEPT_BOOLEAN("no-appendfsync-on-rewrite", NULL, 0, "no"),
    KEPT_LIKE_TEXT("notify-keyspace-events", 0, "", check_notify_keyspace_events,
                   .warning = "notify-keyspace-events has no effect: this server sends no keyspace events"),
    KEPT_WORD("oom-score-adj", 0, words_oom_score_adj, "no"),
    KEPT_LIST("oom-score-adj-values", 0, "0 200 800", check_oom_score_adj_values),
    KEPT_WORD("propagation-error-behavior", 0, words_propagation_error_behavior, "ignore"),
    KEPT_BOOLEAN("rdb-del-sync-files", NULL, 0, "no"),
    KEPT_BOOLEAN("rdb-save-incremental-fsync", NULL, 0, "yes"),
    KEPT_BOOLEAN("rdbchecksum", NULL, SETTING_IMMUTABLE, "yes"),
    KEPT_BOOLEAN("rdbcompression", NULL, 0, "yes"),
    KEPT_MEMORY("repl-backlog-size", NULL, 0, "1048576", .min = 1),
    KEPT_INTEGER("repl-backlog-ttl", NULL, 0, 0, INT64_MAX, "3600"),
    KEPT_BOOLEAN("repl-disable-tcp-nodelay", NULL, 0, "no"),
    KEPT_WORD("repl-diskless-load", 0, words_repl_diskless_load, "disabled"),
    KEPT_BOOLEAN("repl-diskless-sync", NULL, 0, "yes"),
    KEPT_INTEGER("repl-diskless-sync-delay", NULL, 0, 0, INT32_MAX, "5"),
    KEPT_INTEGER("repl-diskless-sync-max-replicas", NULL, 0, 0, INT32_MAX, "0"),
    KEPT_INTEGER("repl-ping-replica-period", "repl-ping-slave-period", 0, 1, INT32_MAX, "10"),
    KEPT_INTEGER("repl-timeout", NULL, 0, 1, INT32_MAX, "60"),
    KEPT_TEXT("replica-announce-ip", "slave-announce-ip", 0, ""),
    KEPT_INTEGER("replica-announce-port", "slave-announce-port", 0, 0, 65535, "0"),
    KEPT_BOOLEAN("replica-announced", NULL, 0, "yes"),
    KEPT_BOOLEAN("replica-ignore-disk-write-errors", NULL, 0, "no"),
    KEPT_BOOLEAN("replica-ignore-maxmemory", "slave-ignore-maxmemory", 0, "yes"),
    KEPT_BOOLEAN("replica-lazy-flush", "slave-lazy-flush", 0, "no"),
    KEPT_INTEGER("replica-priority", "slave-priority", 0, 0, INT32_MAX, "100"),
    KEPT_BOOLEAN("replica-read-only", "slave-read-only", 0, "yes"),
    KEPT_BOOLEAN("replica-serve-stale-data", "slave-serve-stale-data", 0, "yes"),
    KEPT_LIST("replicaof", SETTING_IMMUTABLE, "", check_replicaof, .alias = "slaveof"),
    KEPT_WORD("sanitize-dump-payload", 0, words_sanitize_dump_payload, "no"),
    KEPT_TEXT("server_cpulist", NULL, SETTING_IMMUTABLE, ""),
    KEPT_INTEGER("set-max-intset-entries", NULL, 0, 0, INT64_MAX, "512"),
    KEPT_INTEGER("set-max-listpack-entries", NULL, 0, 0, INT64_MAX, "128"),
    KEPT_MEMORY("set-max-listpack-value", NULL, 0, "64"),
    KEPT_LIST("shutdown-on-sigint", 0, "default", check_shutdown_options),
    KEPT_LIST("shutdown-on-sigterm", 0, "default", check_shutdown_options),
    KEPT_INTEGER("shutdown-timeout", NULL, 0, 0, INT32_MAX, "10"),
    KEPT_INTEGER("socket-mark-id", NULL, SETTING_IMMUTABLE, 0, UINT32_MAX, "0"),
    KEPT_MEMORY("stream-node-max-bytes", NULL, 0, "4096"),
    KEPT_INTEGER("stream-node-max-entries", NULL, 0, 0, INT64_MAX, "100"),
    KEPT_WORD("tls-auth-clients", 0, words_tls_auth_clients, "yes"),
    KEPT_TEXT("tls-ca-cert-dir", NULL, 0, ""),
    KEPT_TEXT("tls-ca-cert-file", NULL, 0, ""),
    KEPT_TEXT("tls-cert-file", NULL, 0, ""),
    KEPT_TEXT("tls-ciphers", NULL, 0, ""),
    KEPT_TEXT("tls-ciphersuites", NULL, 0, ""),
    KEPT_TEXT("tls-client-cert-file", NULL, 0, ""),
    KEPT_TEXT("tls-client-key-file", NULL, 0, ""),
    KEPT_TEXT("tls-client-key-file-pass", NULL, SETTING_SECRET, ""),
    KEPT_BOOLEAN("tls-cluster", NULL, 0, "no", .refusal = "this server does not speak TLS"),
    KEPT_TEXT("tls-dh-params-file", NULL, 0, ""),
    KEPT_TEXT("tls-key-file", NULL, 0, ""),
    KEPT_TEXT("tls-key-file-pass", NULL, SETTING_SECRET, ""),
    KEPT_INTEGER("tls-port", NULL, 0, 0, 65535, "0", .refusal = "this server does not speak TLS"),
    KEPT_BOOLEAN("tls-prefer-server-ciphers", NULL, 0, "no"),
    KEPT_TEXT("tls-protocols", NULL, 0, ""),
    KEPT_BOOLEAN("tls-replication", NULL, 0, "no", .refusal = "this server does not speak TLS"),
    KEPT_INTEGER("tls-session-cache-size", NULL, 0, 0, INT32_MAX, "20480"),
    KEPT_INTEGER("tls-session-cache-timeout", NULL, 0, 0, INT32_MAX, "300"),
    KEPT_BOOLEAN("tls-session-caching", NULL, 0, "yes"),
    KEPT_INTEGER("tracking-table-max-keys", NULL, 0, 0, INT64_MAX, "1000000"),
    KEPT_INTEGER("zset-max-listpack-entries", "zset-max-ziplist-entries", 0, 0, INT64_MAX, "128"),
    KEPT_MEMORY("zset-max-listpack-value", "zset-max-ziplist-value", 0, "64"),
};

_Static_assert(sizeof(settings) / sizeof(settings[0]) <= CONFIG_SETTINGS_MAX, "a bit for each setting");

const struct setting *config_table(uint32_t *count) {
    *count = sizeof(settings) / sizeof(settings[0]);
    return settings;
}

uint32_t setting_index(const struct setting *setting) {
    return (uint32_t)(setting - settings);
}

const struct setting *config_table_find(const char *name, size_t size, bool *is_alias) {
    struct config_word word = {name, size};
    uint32_t count;
    const struct setting *table = config_table(&count);
    for (uint32_t i = 0; i < count; i++) {
        *is_alias = table[i].alias != NULL && config_word_is(&word, table[i].alias);
        if (*is_alias || config_word_is(&word, table[i].name))
            return &table[i];
    }
    return NULL;
}
