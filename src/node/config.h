/* config.h - the settings: one row of a table each, with name, type, default, range, and whether it may change while running.
 *
 * Parses redis.conf syntax (`directive value ...`, # comments, quotes, include), the command line's `--directive value`, CONFIG
 * GET/SET/REWRITE. Settings of Redis that mean nothing here are accepted, kept and reported ("ignored" rows).
 * May touch: base, data (glob). Must never know: sockets, files (text comes and goes through the caller), sessions.
 * Invariants: the struct always holds valid values; a failed change leaves it as it was.
 * Tests: tests/unit/node/config_test.c (values, GET, SET), config_text_test.c (files, command line), config_rewrite_test.c,
 * config_file_test.c (redis-kv.conf), tests/fuzz/config_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_CONFIG_H
#define NODE_CONFIG_H

#include "base/argument.h"
#include "base/buffer.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_ERROR_SIZE        256
#define CONFIG_BIND_MAX          16
#define CONFIG_SAVE_RULES_MAX    16
#define CONFIG_PERCENTILES_MAX   8
#define CONFIG_ADDRESS_SIZE_MAX  255 /* the longest address of bind, in bytes */
#define CONFIG_COPIES_MAX        8   /* replication-factor at most */
#define CONFIG_SETTINGS_MAX      256
#define CONFIG_INCLUDE_DEPTH_MAX 16 /* files that include files ...; the end of a file that includes itself */

enum client_class { CLIENT_CLASS_NORMAL, CLIENT_CLASS_REPLICA, CLIENT_CLASS_PUBSUB, CLIENT_CLASS_COUNT };

struct output_limit {
    uint64_t hard_bytes; /* 0: none */
    uint64_t soft_bytes; /* 0: none */
    uint32_t soft_s;
};

/* Usual pairs of read-quorum and write-quorum; CUSTOM: those that were given. */
enum consistency {
    CONSISTENCY_CUSTOM,
    CONSISTENCY_FAST_READ,  /* 1 and all */
    CONSISTENCY_FAST_WRITE, /* all and 1 */
    CONSISTENCY_QUORUM,     /* more than half, both */
    CONSISTENCY_EVENTUAL    /* 1 and 1 */
};

/* What a node does that sees half of the members or fewer. */
enum partition_mode { PARTITION_AVAILABLE, PARTITION_MAJORITY /* it refuses writes */ };

/* Which copy answers reads. All but the first may give values that the coordinator has replaced already. */
enum read_from {
    READ_FROM_PRIMARY,
    READ_FROM_NEAREST,
    READ_FROM_RANDOM,
    READ_FROM_ROUND_ROBIN,
    READ_FROM_FASTEST
};

struct save_rule {
    int64_t seconds, changes;
};

struct config_text; /* one value of a setting that is a plain text */

/* What the server acts upon. Texts are owned by the config, never NULL, "" where unset. */
struct config {
    struct mem *mem;
    /* network */
    char *bind[CONFIG_BIND_MAX];
    uint32_t bind_count;
    uint32_t port; /* 0: no TCP */
    char *unixsocket;
    uint32_t unixsocketperm; /* octal; 0: as the umask leaves it */
    uint32_t tcp_backlog, tcp_keepalive_s, timeout_s;
    bool protected_mode;
    uint32_t maxclients;
    /* cluster */
    bool cluster_enabled;
    uint32_t cluster_port,
        peer_port;            /* 0: port + 5000, port + 10000 (config_cluster_port, config_peer_port) */
    char *cluster_seeds;      /* host:port words with blanks between */
    char *cluster_seeds_file; /* a file of such words, read again now and then */
    char *cluster_secret, *cluster_zone;
    uint32_t cluster_weight;
    uint32_t replication_factor;
    uint32_t gossip_interval_ms, suspect_timeout_ms, failover_timeout_ms;
    int read_from;   /* enum read_from */
    int consistency; /* enum consistency */
    uint32_t read_quorum,
        write_quorum; /* CONSISTENCY_CUSTOM only: ask config_read_quorum(), config_write_quorum() */
    uint32_t quorum_timeout_ms;
    bool sloppy_quorum; /* stand-ins count as copies */
    int partition_mode; /* enum partition_mode */
    bool
        cluster_redirect_moved; /* cluster-redirect moved: clients of the cluster-port are sent to the coordinator */
    bool cluster_replica_lists;
    char *cluster_announce_ip; /* "": what others see */
    uint32_t cluster_announce_port, cluster_announce_cluster_port,
        cluster_announce_peer_port; /* 0: the port itself */
    uint64_t peer_output_limit;     /* bytes sent to a peer and not acknowledged */
    bool hinted_handoff;            /* what others have missed is noted, and handed over */
    bool anti_entropy;              /* what copies differ in is exchanged when they are compared */
    uint64_t repair_rate;           /* bytes per second of that; 0: no limit */
    uint64_t hint_memory;           /* bytes of hints */
    uint32_t hint_window_s;         /* how long an absent node's hints are kept */
    uint32_t tombstone_grace_s;     /* how long a tombstone is kept at least */
    char *conflict_keep;            /* prefixes of keys with blanks between (config_keeps_conflicts) */
    /* limits */
    uint64_t maxmemory, proto_max_bulk_len, client_query_buffer_limit;
    struct output_limit output_limits[CLIENT_CLASS_COUNT];
    /* security */
    char *requirepass;
    bool enable_debug_command;           /* for every client ("yes") */
    bool enable_debug_command_local;     /* for clients of this machine ("local", "yes") */
    bool enable_protected_configs;       /* CONFIG SET of dir and dbfilename, likewise */
    bool enable_protected_configs_local; /* */
    /* introspection */
    int64_t slowlog_log_slower_than_us;
    uint64_t slowlog_max_len;
    int64_t latency_monitor_threshold_ms;
    bool latency_tracking;
    double latency_tracking_percentiles[CONFIG_PERCENTILES_MAX];
    uint32_t latency_tracking_percentile_count;
    /* process */
    char *dir, *pidfile, *logfile, *supervised, *syslog_ident, *syslog_facility, *dbfilename,
        *proc_title_template;
    bool daemonize, syslog_enabled, always_show_logo, set_proc_title;
    bool jemalloc_background_thread;
    int loglevel; /* enum node_log_level */
    uint32_t hz;
    uint32_t databases; /* 16: another number is refused with its reason */
    struct save_rule save[CONFIG_SAVE_RULES_MAX];
    uint32_t save_count;
    bool stop_writes_on_bgsave_error;
    bool save_is_default; /* the next save line of a file replaces the rules, later ones add to them */
    /* what the log should say of directives that were accepted and have no effect: one line each, without secrets.
     * config_apply_text() appends; the caller logs them and empties the buffer. */
    struct buffer warnings;
    /* the texts of settings that are kept and reported only; one for each row of the table, NULL: its default */
    struct config_text *texts;
    uint32_t text_count;
    /* one bit for each row of the table, for config_rewrite() */
    uint64_t in_include[CONFIG_SETTINGS_MAX / 64];         /* an included file speaks of it */
    uint64_t settled_by_include[CONFIG_SETTINGS_MAX / 64]; /* and nobody after it */
};

/* Defaults. false: no memory. */
bool config_init(struct config *config, struct mem *mem);
void config_release(struct config *config);

/* The ports of a cluster's node as the settings mean them: those that are set, or derived from `port`; 0: it does not fit
 * below 65536 (a start with cluster-enabled is refused then). */
uint32_t config_cluster_port(const struct config *config);
uint32_t config_peer_port(const struct config *config);

/* What two settings say against each other, and in *name one of them; NULL: nothing. */
const char *config_contradiction(const struct config *config, const char **name);

/* conflict-keep: whether a key begins with one of its words. */
bool config_keeps_conflicts(const struct config *config, const uint8_t *key, uint32_t key_size);

/* How many copies a read looks at, and have a write before it is acknowledged. More than replication-factor: a node does not start. */
uint32_t config_read_quorum(const struct config *config);
uint32_t config_write_quorum(const struct config *config);

/* How include directives get their text: fills `text` for a path (globs are expanded by the callee, which appends
 * several files' texts, each ended with a newline). false: `error`. */
struct config_files {
    void *context;
    bool (*read)(void *context, const char *path, struct buffer *text, char error[CONFIG_ERROR_SIZE]);
};

struct config_problem {
    uint32_t line;                  /* 1..; 0 where there is no line */
    char text[CONFIG_ERROR_SIZE];   /* the offending line, cut if too long; a secret's value is replaced */
    char reason[CONFIG_ERROR_SIZE]; /* names the included file, if it is not the text itself that is wrong */
};

/* Applies a text in redis.conf syntax (a file's content, or the command line turned into lines): all of it or, with
 * *problem, nothing. Later texts win over earlier ones. files may be NULL: then include is refused. */
bool config_apply_text(struct config *config, const char *text, size_t size, const struct config_files *files,
                       struct config_problem *problem);

/* The command line `--port 7000 --save '' --bind 127.0.0.1 ::1` as lines for config_apply_text(), appended to
 * `text`: "--name" begins a line, what follows up to the next "--" are its values. As in Redis, the word right
 * behind a name is its value even if it begins with "--", except behind --save, which then has the empty value.
 * false: no memory. */
bool config_arguments_to_text(int argc, char **argv, struct buffer *text);

/* CONFIG GET: calls visit for every setting that matches one of the patterns, once, in table order; aliases are
 * settings of their own. A pattern without wildcards is answered as it was written. No memory is needed. */
void config_get(const struct config *config, const struct argument *patterns, uint32_t pattern_count,
                void (*visit)(void *context, const char *name, const char *value), void *context);

/* CONFIG SET name value ...: all or nothing; pairs holds 2 * pair_count arguments. may_protected: settings that are protected
 * (dir, dbfilename) may be among them. Each setting that has a new value
 * is handed to `changed` (may be NULL) when all values are in place; it may refuse. Then all is taken back, and
 * `changed` is called again, in reverse, for those it had accepted, so that the world takes them back too.
 * false: error holds Redis's words without "ERR " ("Unknown option or number of arguments for CONFIG SET - 'x'",
 * "CONFIG SET failed (possibly related to argument 'x') - ..."). */
bool config_set(struct config *config, const struct argument *pairs, uint32_t pair_count, bool may_protected,
                bool (*changed)(void *context, const char *name, char error[CONFIG_ERROR_SIZE]),
                void *context, char error[CONFIG_ERROR_SIZE]);

/* Replaces one of the owned texts, as in config_replace_text(config, &config->dir, "/var/lib"). false: no memory. */
bool config_replace_text(struct config *config, char **text, const char *new_text);

/* CONFIG REWRITE: the new text of the file, appended to new_text: comments, order and includes are kept, lines whose
 * value changed are replaced, repeated ones dropped, settings that differ from their default and are not in the
 * text appended. old_text is the text of the file alone, without what it includes. false: no memory. */
bool config_rewrite(const struct config *config, const char *old_text, size_t old_size,
                    struct buffer *new_text);

/* One row of --help / documentation: calls visit for each setting that is not an ignored one. */
void config_describe(void (*visit)(void *context, const char *name, const char *default_value,
                                   const char *help, bool is_mutable),
                     void *context);

#endif
