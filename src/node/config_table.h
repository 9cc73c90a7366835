/* config_table.h - the rows of the settings, and how one value of a row is read, checked, stored and shown.
 *
 * For the config module only: everybody else includes config.h.
 * May touch: base, the fields of struct config. Must never know: files, lines, clients.
 * Invariants: a value that is refused leaves the config as it was; what setting_value() shows can be read again.
 * Tests: tests/unit/node/config_test.c, tests/fuzz/config_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_CONFIG_TABLE_H
#define NODE_CONFIG_TABLE_H

#include "node/config.h"
#include "node/config_words.h"

/* Room for the text of any value that is not one of the owned texts: 16 addresses with their separators. */
#define SETTING_VALUE_SIZE (CONFIG_BIND_MAX * (CONFIG_ADDRESS_SIZE_MAX + 1) + 1)

enum setting_kind {
    SETTING_BOOLEAN,
    SETTING_INTEGER,
    SETTING_MEMORY,
    SETTING_WORD, /* one of setting.words */
    SETTING_TEXT,
    SETTING_LIST, /* several words; read by setting.parse or setting.check */
};

enum setting_flag {
    SETTING_IMMUTABLE = 1, /* CONFIG SET refuses it */
    SETTING_PROTECTED = 2, /* CONFIG SET refuses it where enable-protected-configs does not allow it */
    SETTING_SECRET = 4,    /* its value never shows up in a problem or a warning */
    SETTING_LINES = 8,     /* several lines of a file add up to its value */
};

/* Where the value lives. */
enum setting_field {
    FIELD_KEPT,    /* a text in config.texts: kept and reported, without effect */
    FIELD_SPECIAL, /* setting.parse and setting.format know */
    FIELD_BOOLEAN,
    FIELD_UINT32,
    FIELD_UINT64,
    FIELD_INT64,
    FIELD_INT,
    FIELD_TEXT,
};

enum setting_source {
    SOURCE_DEFAULT,
    SOURCE_TEXT,  /* a file or the command line */
    SOURCE_CLIENT /* CONFIG SET */
};

struct setting_input {
    const struct config_word *words;
    uint32_t count;
    enum setting_source source;
};

struct setting {
    const char *name;
    const char *alias; /* a second name, or NULL */
    enum setting_kind kind;
    enum setting_field field;
    uint32_t flags;
    uint32_t offset; /* of the field in struct config */
    int64_t min;     /* of SETTING_INTEGER and SETTING_MEMORY */
    uint64_t max;
    const char *const *words;  /* of SETTING_WORD, ended by NULL */
    const char *default_value; /* as CONFIG GET shows it */
    const char *refusal;       /* any value but the default is refused: why */
    const char *warning;       /* any value but the default is accepted with this warning */
    const char *help;          /* what it does; NULL for those that are kept only */

    /* Instead of the generic way; each may be NULL. */
    bool (*parse)(struct config *config, const struct setting_input *input, char error[CONFIG_ERROR_SIZE]);
    void (*format)(const struct config *config, char out[SETTING_VALUE_SIZE]);
    /* For texts: whether this is one, and the text to store. */
    bool (*check)(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                  char error[CONFIG_ERROR_SIZE]);
};

/* A text that is kept for a row without a field. */
struct config_text {
    char *value; /* NULL: the default */
};

/* All rows. */
const struct setting *config_table(uint32_t *count);

/* The row with this name or alias, in any case of letters; NULL: there is none. */
const struct setting *config_table_find(const char *name, size_t size, bool *is_alias);

/* The number of a row, for config.texts and the bits of struct config. */
uint32_t setting_index(const struct setting *setting);

/* The bits of struct config, one for each row. */
static inline bool setting_bit(const uint64_t *bits, const struct setting *setting) {
    uint32_t index = setting_index(setting);
    return (bits[index / 64] >> index % 64 & 1) != 0;
}

static inline void setting_set_bit(uint64_t *bits, const struct setting *setting) {
    uint32_t index = setting_index(setting);
    bits[index / 64] |= UINT64_C(1) << index % 64;
}

static inline void setting_clear_bit(uint64_t *bits, const struct setting *setting) {
    uint32_t index = setting_index(setting);
    bits[index / 64] &= ~(UINT64_C(1) << index % 64);
}

/* Reads, checks and stores a value. false: error says why in Redis's words, or
 * is empty where memory lacked; nothing has changed. */
bool setting_store(struct config *config, const struct setting *setting, const struct setting_input *input,
                   char error[CONFIG_ERROR_SIZE]);

/* Adds a line to config.warnings unless it is there already. false: no memory. */
bool config_warn(struct config *config, const char *line);

/* Says which of some words a value must be, as Redis does. */
void setting_refuse_word(const char *const *words, char error[CONFIG_ERROR_SIZE]);

/* The value as CONFIG GET shows it: one of the owned texts, or written to room. */
const char *setting_value(const struct config *config, const struct setting *setting,
                          char room[SETTING_VALUE_SIZE]);

/* Values with a form of their own (config_special.c, config_cluster.c, config_quorum.c), named by the rows. */
#define SETTING_PARSER(name) \
    bool parse_##name(struct config *config, const struct setting_input *input, char error[CONFIG_ERROR_SIZE])
#define SETTING_FORMATTER(name) void format_##name(const struct config *config, char out[SETTING_VALUE_SIZE])
#define SETTING_CHECKER(name)                                                          \
    bool check_##name(const struct setting_input *input, char out[SETTING_VALUE_SIZE], \
                      char error[CONFIG_ERROR_SIZE])

SETTING_PARSER(bind);
SETTING_FORMATTER(bind);
SETTING_PARSER(unixsocketperm);
SETTING_FORMATTER(unixsocketperm);
SETTING_PARSER(client_output_buffer_limit);
SETTING_FORMATTER(client_output_buffer_limit);
SETTING_PARSER(percentiles);
SETTING_FORMATTER(percentiles);
SETTING_PARSER(save);
SETTING_FORMATTER(save);
SETTING_PARSER(hz);
SETTING_FORMATTER(hz);
SETTING_PARSER(enable_debug_command);
SETTING_FORMATTER(enable_debug_command);
SETTING_PARSER(enable_protected_configs);
SETTING_FORMATTER(enable_protected_configs);
SETTING_PARSER(maxmemory_policy);
SETTING_FORMATTER(maxmemory_policy);
SETTING_PARSER(cluster_redirect);
SETTING_FORMATTER(cluster_redirect);
SETTING_PARSER(read_quorum);
SETTING_FORMATTER(read_quorum);
SETTING_PARSER(write_quorum);
SETTING_FORMATTER(write_quorum);
SETTING_PARSER(consistency);
SETTING_FORMATTER(consistency);
SETTING_CHECKER(maxmemory_clients);
SETTING_CHECKER(notify_keyspace_events);
SETTING_CHECKER(oom_score_adj_values);
SETTING_CHECKER(shutdown_options);
SETTING_CHECKER(replicaof);
SETTING_CHECKER(cluster_announce_hostname);
SETTING_CHECKER(cluster_announce_ip);
SETTING_CHECKER(cluster_seeds);
SETTING_CHECKER(cluster_zone);
SETTING_CHECKER(conflict_keep);
SETTING_CHECKER(proc_title_template);
SETTING_CHECKER(dbfilename);
SETTING_CHECKER(append_file_name);
SETTING_CHECKER(append_directory_name);

#endif
