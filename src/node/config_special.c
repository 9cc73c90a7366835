/* config_special.c - settings whose values have a form of their own: lists of addresses, limits, rules, flags.
 *
 * Tests: tests/unit/node/config_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"
#include "node/config_table.h"
#include "store/checkpoint_names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool refuse(char error[CONFIG_ERROR_SIZE], const char *reason) {
    snprintf(error, CONFIG_ERROR_SIZE, "%s", reason);
    return false;
}

/* No text: the caller says what it is. */
static bool no_memory(char error[CONFIG_ERROR_SIZE]) {
    error[0] = '\0';
    return false;
}

/* Copies a word to the room of a value. */
static bool take_text(const struct config_word *word, char out[SETTING_VALUE_SIZE],
                      char error[CONFIG_ERROR_SIZE]) {
    if (word->size >= SETTING_VALUE_SIZE)
        return refuse(error, "argument is too long");
    memcpy(out, word->text, word->size + 1);
    return true;
}

/* ---- bind ---- */

static void release_addresses(struct config *config, char **addresses, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        mem_free(config->mem, addresses[i], strlen(addresses[i]) + 1);
}

bool parse_bind(struct config *config, const struct setting_input *input, char error[CONFIG_ERROR_SIZE]) {
    if (input->count > CONFIG_BIND_MAX)
        return refuse(error, "Too many bind addresses specified.");
    for (uint32_t i = 0; i < input->count; i++) {
        const struct config_word *word = &input->words[i];
        if (word->size == 0 || word->size > CONFIG_ADDRESS_SIZE_MAX ||
            strpbrk(word->text, " \t\r\n\v\f") != NULL)
            return refuse(error, "argument is not an address to bind to");
    }
    char *addresses[CONFIG_BIND_MAX];
    for (uint32_t i = 0; i < input->count; i++) {
        addresses[i] = mem_alloc(config->mem, input->words[i].size + 1);
        if (addresses[i] == NULL) {
            release_addresses(config, addresses, i);
            return no_memory(error);
        }
        memcpy(addresses[i], input->words[i].text, input->words[i].size + 1);
    }
    release_addresses(config, config->bind, config->bind_count);
    memcpy(config->bind, addresses, input->count * sizeof(addresses[0]));
    config->bind_count = input->count;
    return true;
}

void format_bind(const struct config *config, char out[SETTING_VALUE_SIZE]) {
    size_t size = 0;
    for (uint32_t i = 0; i < config->bind_count; i++)
        size += (size_t)snprintf(out + size, SETTING_VALUE_SIZE - size, "%s%s", i == 0 ? "" : " ",
                                 config->bind[i]);
    out[size] = '\0';
}

/* ---- numbers ---- */

bool parse_unixsocketperm(struct config *config, const struct setting_input *input,
                          char error[CONFIG_ERROR_SIZE]) {
    const struct config_word *word = &input->words[0];
    uint32_t permissions = 0;
    for (size_t i = 0; i < word->size; i++) {
        if (word->text[i] < '0' || word->text[i] > '7' || permissions > 0777)
            return refuse(error, "argument couldn't be parsed as an octal number");
        permissions = permissions * 8 + (uint32_t)(word->text[i] - '0');
    }
    if (word->size == 0 || permissions > 0777)
        return refuse(error, "argument couldn't be parsed as an octal number");
    config->unixsocketperm = permissions;
    return true;
}

void format_unixsocketperm(const struct config *config, char out[SETTING_VALUE_SIZE]) {
    snprintf(out, SETTING_VALUE_SIZE, "%" PRIo32, config->unixsocketperm);
}

/* Takes what Redis takes, and brings it into the range that makes sense, as Redis does. */
bool parse_hz(struct config *config, const struct setting_input *input, char error[CONFIG_ERROR_SIZE]) {
    int64_t value;
    if (!number_parse_int64(input->words[0].text, input->words[0].size, &value))
        return refuse(error, "argument couldn't be parsed into an integer");
    if (value < 0 || value > INT32_MAX)
        return refuse(error, "argument must be between 0 and 2147483647 inclusive");
    config->hz = value < 1 ? 1 : value > 500 ? 500 : (uint32_t)value;
    return true;
}

void format_hz(const struct config *config, char out[SETTING_VALUE_SIZE]) {
    snprintf(out, SETTING_VALUE_SIZE, "%" PRIu32, config->hz);
}

/* Writes a percentile with at most six decimals and no zeros at the end. */
static size_t format_percentile(char *out, size_t size, double value) {
    size_t length = (size_t)snprintf(out, size, "%.6f", value);
    while (out[length - 1] == '0')
        length--;
    if (out[length - 1] == '.')
        length--;
    out[length] = '\0';
    return length;
}

bool parse_percentiles(struct config *config, const struct setting_input *input,
                       char error[CONFIG_ERROR_SIZE]) {
    double values[CONFIG_PERCENTILES_MAX];
    if (input->count > CONFIG_PERCENTILES_MAX) {
        snprintf(error, CONFIG_ERROR_SIZE, "no more than %d percentiles are possible",
                 CONFIG_PERCENTILES_MAX);
        return false;
    }
    for (uint32_t i = 0; i < input->count; i++) {
        if (!number_parse_double(input->words[i].text, input->words[i].size, &values[i]))
            return refuse(error, "Invalid latency-tracking-info-percentiles parameters");
        if (!(values[i] >= 0 && values[i] <= 100))
            return refuse(error,
                          "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
        /* What is kept is what is shown: so that a rewritten file means the same. */
        char shown[32];
        size_t size = format_percentile(shown, sizeof(shown), values[i]);
        CHECK(number_parse_double(shown, size, &values[i]));
    }
    memcpy(config->latency_tracking_percentiles, values, input->count * sizeof(values[0]));
    config->latency_tracking_percentile_count = input->count;
    return true;
}

void format_percentiles(const struct config *config, char out[SETTING_VALUE_SIZE]) {
    size_t size = 0;
    for (uint32_t i = 0; i < config->latency_tracking_percentile_count; i++) {
        if (i != 0)
            out[size++] = ' ';
        size +=
            format_percentile(out + size, SETTING_VALUE_SIZE - size, config->latency_tracking_percentiles[i]);
    }
    out[size] = '\0';
}

/* ---- limits and rules ---- */

static bool find_client_class(const struct config_word *word, uint32_t *class) {
    static const char *const names[][2] = {[CLIENT_CLASS_NORMAL] = {"normal", "normal"},
                                           [CLIENT_CLASS_REPLICA] = {"slave", "replica"},
                                           [CLIENT_CLASS_PUBSUB] = {"pubsub", "pubsub"}};
    for (*class = 0; *class < CLIENT_CLASS_COUNT; (*class)++) {
        if (config_word_is(word, names[*class][0]) || config_word_is(word, names[*class][1]))
            return true;
    }
    return false;
}

bool parse_client_output_buffer_limit(struct config *config, const struct setting_input *input,
                                      char error[CONFIG_ERROR_SIZE]) {
    struct output_limit limits[CLIENT_CLASS_COUNT];
    memcpy(limits, config->output_limits, sizeof(limits));
    if (input->count % 4 != 0)
        return refuse(error, "Wrong number of arguments in buffer limit configuration.");
    for (uint32_t i = 0; i < input->count; i += 4) {
        const struct config_word *words = &input->words[i];
        uint32_t class;
        int64_t soft_s;
        if (!find_client_class(&words[0], &class))
            return refuse(error, "Invalid client class specified in buffer limit configuration.");
        if (!number_parse_memory(words[1].text, words[1].size, &limits[class].hard_bytes) ||
            !number_parse_memory(words[2].text, words[2].size, &limits[class].soft_bytes) ||
            !number_parse_int64(words[3].text, words[3].size, &soft_s) || soft_s < 0 || soft_s > UINT32_MAX)
            return refuse(error,
                          "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
        limits[class].soft_s = (uint32_t)soft_s;
    }
    memcpy(config->output_limits, limits, sizeof(limits));
    return true;
}

void format_client_output_buffer_limit(const struct config *config, char out[SETTING_VALUE_SIZE]) {
    static const char *const names[] = {
        [CLIENT_CLASS_NORMAL] = "normal", [CLIENT_CLASS_REPLICA] = "slave", [CLIENT_CLASS_PUBSUB] = "pubsub"};
    size_t size = 0;
    for (uint32_t i = 0; i < CLIENT_CLASS_COUNT; i++) {
        const struct output_limit *limit = &config->output_limits[i];
        size += (size_t)snprintf(out + size, SETTING_VALUE_SIZE - size,
                                 "%s%s %" PRIu64 " %" PRIu64 " %" PRIu32, i == 0 ? "" : " ", names[i],
                                 limit->hard_bytes, limit->soft_bytes, limit->soft_s);
    }
}

/* In a file the first line replaces the default, later lines add rules, and an empty one drops all. */
bool parse_save(struct config *config, const struct setting_input *input, char error[CONFIG_ERROR_SIZE]) {
    struct save_rule rules[CONFIG_SAVE_RULES_MAX];
    bool is_empty = input->count == 0 || (input->count == 1 && input->words[0].size == 0);
    bool adds = input->source == SOURCE_TEXT && !config->save_is_default && !is_empty;
    uint32_t count = adds ? config->save_count : 0;
    memcpy(rules, config->save, count * sizeof(rules[0]));
    if (!is_empty && input->count % 2 != 0)
        return refuse(error, "Invalid save parameters");
    for (uint32_t i = 0; i + 1 < input->count; i += 2) {
        const struct config_word *words = &input->words[i];
        if (count == CONFIG_SAVE_RULES_MAX)
            return refuse(error, "Too many save parameters");
        struct save_rule *rule = &rules[count++];
        if (!number_parse_int64(words[0].text, words[0].size, &rule->seconds) || rule->seconds < 1 ||
            !number_parse_int64(words[1].text, words[1].size, &rule->changes) || rule->changes < 0)
            return refuse(error, "Invalid save parameters");
    }
    memcpy(config->save, rules, count * sizeof(rules[0]));
    config->save_count = count;
    config->save_is_default = input->source == SOURCE_DEFAULT;
    return true;
}

void format_save(const struct config *config, char out[SETTING_VALUE_SIZE]) {
    size_t size = 0;
    for (uint32_t i = 0; i < config->save_count; i++)
        size += (size_t)snprintf(out + size, SETTING_VALUE_SIZE - size, "%s%" PRId64 " %" PRId64,
                                 i == 0 ? "" : " ", config->save[i].seconds, config->save[i].changes);
    out[size] = '\0';
}

/* ---- words ---- */

static bool parse_access(const struct setting_input *input, bool *everybody, bool *local,
                         char error[CONFIG_ERROR_SIZE]) {
    static const char *const words[] = {"no", "yes", "local", NULL};
    bool is_yes = config_word_is(&input->words[0], "yes"),
         is_local = config_word_is(&input->words[0], "local");
    if (!is_yes && !is_local && !config_word_is(&input->words[0], "no")) {
        setting_refuse_word(words, error);
        return false;
    }
    *everybody = is_yes;
    *local = is_yes || is_local;
    return true;
}

static void format_access(bool everybody, bool local, char out[SETTING_VALUE_SIZE]) {
    snprintf(out, SETTING_VALUE_SIZE, "%s", everybody ? "yes" : local ? "local" : "no");
}

bool parse_enable_debug_command(struct config *config, const struct setting_input *input,
                                char error[CONFIG_ERROR_SIZE]) {
    return parse_access(input, &config->enable_debug_command, &config->enable_debug_command_local, error);
}

void format_enable_debug_command(const struct config *config, char out[SETTING_VALUE_SIZE]) {
    format_access(config->enable_debug_command, config->enable_debug_command_local, out);
}

bool parse_enable_protected_configs(struct config *config, const struct setting_input *input,
                                    char error[CONFIG_ERROR_SIZE]) {
    return parse_access(input, &config->enable_protected_configs, &config->enable_protected_configs_local,
                        error);
}

void format_enable_protected_configs(const struct config *config, char out[SETTING_VALUE_SIZE]) {
    format_access(config->enable_protected_configs, config->enable_protected_configs_local, out);
}

/* A file of Redis that names another policy still starts the server, with a warning; a client that asks for
 * one learns that it does not get it. */
bool parse_maxmemory_policy(struct config *config, const struct setting_input *input,
                            char error[CONFIG_ERROR_SIZE]) {
    static const char *const words[] = {"volatile-lru",   "volatile-lfu", "volatile-random",
                                        "volatile-ttl",   "allkeys-lru",  "allkeys-lfu",
                                        "allkeys-random", "noeviction",   NULL};
    uint32_t index = 0;
    while (words[index] != NULL && !config_word_is(&input->words[0], words[index]))
        index++;
    if (words[index] == NULL) {
        setting_refuse_word(words, error);
        return false;
    }
    if (strcmp(words[index], "noeviction") == 0)
        return true;
    if (input->source == SOURCE_CLIENT)
        return refuse(error, "this server does not evict keys: its only policy is noeviction");
    char warning[CONFIG_ERROR_SIZE];
    snprintf(
        warning, sizeof(warning),
        "maxmemory-policy %s has no effect: this server does not evict keys, its policy stays noeviction",
        words[index]);
    return config_warn(config, warning) || no_memory(error);
}

void format_maxmemory_policy(const struct config *config, char out[SETTING_VALUE_SIZE]) {
    (void)config;
    snprintf(out, SETTING_VALUE_SIZE, "noeviction");
}

bool check_maxmemory_clients(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                             char error[CONFIG_ERROR_SIZE]) {
    const struct config_word *word = &input->words[0];
    uint64_t value;
    if (word->size != 0 && word->text[word->size - 1] == '%') {
        if (!number_parse_uint64(word->text, word->size - 1, &value))
            return refuse(error, "argument must be a memory or percent value");
        if (value > 100)
            return refuse(error, "percentage argument must be less or equal to 100");
        snprintf(out, SETTING_VALUE_SIZE, "%" PRIu64 "%s", value, value == 0 ? "" : "%");
        return true;
    }
    if (!number_parse_memory(word->text, word->size, &value))
        return refuse(error, "argument must be a memory or percent value");
    snprintf(out, SETTING_VALUE_SIZE, "%" PRIu64, value);
    return true;
}

/* The flags in a fixed order; A stands for all kinds of events that have a key. */
bool check_notify_keyspace_events(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                                  char error[CONFIG_ERROR_SIZE]) {
    static const char flags[] = "g$lshzxetdnKEm", all[] = "g$lshzxetd";
    const struct config_word *word = &input->words[0];
    if (strspn(word->text, "Ag$lshzxeKEtmdn") != word->size)
        return refuse(error, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    bool has_all = strchr(word->text, 'A') != NULL;
    if (!has_all) {
        has_all = true;
        for (const char *flag = all; *flag != '\0'; flag++)
            has_all = has_all && strchr(word->text, *flag) != NULL;
    }
    size_t size = 0;
    if (has_all)
        out[size++] = 'A';
    for (const char *flag = flags; *flag != '\0'; flag++) {
        if (strchr(word->text, *flag) != NULL && !(has_all && strchr(all, *flag) != NULL))
            out[size++] = *flag;
    }
    out[size] = '\0';
    return true;
}

bool check_oom_score_adj_values(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                                char error[CONFIG_ERROR_SIZE]) {
    if (input->count != 3)
        return refuse(error, "wrong number of arguments");
    size_t size = 0;
    for (uint32_t i = 0; i < input->count; i++) {
        const char *text = input->words[i].text + (input->words[i].text[0] == '+');
        int64_t value;
        if (!number_parse_int64(text, strlen(text), &value) || value < -2000 || value > 2000)
            return refuse(error, "Invalid oom-score-adj-values, elements must be between -2000 and 2000.");
        size +=
            (size_t)snprintf(out + size, SETTING_VALUE_SIZE - size, "%s%" PRId64, i == 0 ? "" : " ", value);
    }
    return true;
}

bool check_shutdown_options(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                            char error[CONFIG_ERROR_SIZE]) {
    static const char *const words[] = {"default", "save", "nosave", "now", "force", NULL};
    bool seen[5] = {false};
    if (input->count == 0) {
        setting_refuse_word(words, error);
        return false;
    }
    for (uint32_t i = 0; i < input->count; i++) {
        uint32_t index = 0;
        while (words[index] != NULL && !config_word_is(&input->words[i], words[index]))
            index++;
        if (words[index] == NULL) {
            setting_refuse_word(words, error);
            return false;
        }
        seen[index] = true;
    }
    if (seen[1] && seen[2])
        return refuse(error, "shutdown options SAVE and NOSAVE can't be used simultaneously");
    size_t size = 0;
    for (uint32_t i = 1; words[i] != NULL; i++) {
        if (seen[i])
            size += (size_t)snprintf(out + size, SETTING_VALUE_SIZE - size, "%s%s", size == 0 ? "" : " ",
                                     words[i]);
    }
    if (size == 0)
        snprintf(out, SETTING_VALUE_SIZE, "%s", words[0]);
    return true;
}

bool check_replicaof(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                     char error[CONFIG_ERROR_SIZE]) {
    out[0] = '\0';
    if (input->count != 2)
        return refuse(error, "wrong number of arguments");
    if (config_word_is(&input->words[0], "no") && config_word_is(&input->words[1], "one"))
        return true;
    return refuse(error, "this server cannot be a replica of another one");
}

/* ---- texts ---- */

bool check_proc_title_template(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                               char error[CONFIG_ERROR_SIZE]) {
    static const char *const variables[] = {"{title}",    "{listen-addr}", "{server-mode}", "{port}",
                                            "{tls-port}", "{unixsocket}",  "{config-file}"};
    if (input->words[0].size == 0)
        return refuse(error, "template format is invalid or contains unknown variables");
    for (const char *at = input->words[0].text; (at = strpbrk(at, "{}")) != NULL; at++) {
        size_t known = 0;
        for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
            if (strncmp(at, variables[i], strlen(variables[i])) == 0)
                known = strlen(variables[i]);
        }
        if (known == 0)
            return refuse(error, "template format is invalid or contains unknown variables");
        at += known - 1;
    }
    return take_text(&input->words[0], out, error);
}

/* Names of files within dir. */
static bool take_name(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                      char error[CONFIG_ERROR_SIZE], const char *reason) {
    if (strchr(input->words[0].text, '/') != NULL)
        return refuse(error, reason);
    return take_text(&input->words[0], out, error);
}

bool check_dbfilename(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                      char error[CONFIG_ERROR_SIZE]) {
    size_t size = input->words[0].size;
    if (size == 0 || size > CHECKPOINT_NAME_MAX || strcmp(input->words[0].text, ".") == 0 ||
        strcmp(input->words[0].text, "..") == 0)
        return refuse(error, "dbfilename must be a file's name, of 224 bytes at most");
    return take_name(input, out, error, "dbfilename can't be a path, just a filename");
}

bool check_append_file_name(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                            char error[CONFIG_ERROR_SIZE]) {
    return take_name(input, out, error, "appendfilename can't be a path, just a filename");
}

bool check_append_directory_name(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                                 char error[CONFIG_ERROR_SIZE]) {
    return take_name(input, out, error, "appenddirname can't be a path, just a dirname");
}

bool check_cluster_announce_hostname(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                                     char error[CONFIG_ERROR_SIZE]) {
    const struct config_word *word = &input->words[0];
    if (word->size >= 256)
        return refuse(error, "Hostnames must be less than 256 characters");
    if (strspn(word->text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") != word->size)
        return refuse(error, "Hostnames may only contain alphanumeric characters, hyphens or dots");
    return take_text(word, out, error);
}
