/* config_cluster.c - settings of a cluster's node: the forms of its texts, and the ports that follow from others.
 *
 * What is checked here goes to other nodes in fields of fixed size (MEMBER_HOST_SIZE, MEMBER_ZONE_SIZE), and to clients as
 * words within a line.
 * Tests: tests/unit/node/config_cluster_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"
#include "cluster/membership.h"
#include "node/config_table.h"

#include <stdio.h>
#include <string.h>

#define PORT_MAX            65535u
#define CLUSTER_PORT_OFFSET 5000u
#define PEER_PORT_OFFSET    10000u

#define CONFLICT_PREFIXES_MAX 64

static bool refuse(char error[CONFIG_ERROR_SIZE], const char *reason) {
    snprintf(error, CONFIG_ERROR_SIZE, "%s", reason);
    return false;
}

/* ---- Ports ---- */

static uint32_t derived_port(uint32_t set, uint32_t port, uint32_t offset) {
    if (set != 0)
        return set;
    return port == 0 || port + offset > PORT_MAX ? 0 : port + offset;
}

uint32_t config_cluster_port(const struct config *config) {
    return derived_port(config->cluster_port, config->port, CLUSTER_PORT_OFFSET);
}

uint32_t config_peer_port(const struct config *config) {
    return derived_port(config->peer_port, config->port, PEER_PORT_OFFSET);
}

/* ---- Settings that depend on each other ---- */

const char *config_contradiction(const struct config *config, const char **name) {
    *name = "read-quorum";
    if (config_read_quorum(config) > config->replication_factor)
        return "read-quorum must not be above replication-factor";
    *name = "write-quorum";
    if (config_write_quorum(config) > config->replication_factor)
        return "write-quorum must not be above replication-factor";
    /* A hint that outlives the tombstone of its key would bring back what was deleted. */
    *name = "hint-window";
    return config->hint_window_s < config->tombstone_grace_s ? NULL
                                                             : "hint-window must be below tombstone-grace";
}

/* ---- Texts ---- */

/* Whether all is visible ASCII, without the signs that part the fields of CLUSTER NODES and of INFO. */
static bool is_plain(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~' || strchr(",=@\"'", text[i]) != NULL)
            return false;
    return true;
}

static bool parse_port(const char *text, size_t size, uint64_t *port) {
    return number_parse_uint64(text, size, port) && *port > 0 && *port <= PORT_MAX;
}

/* host:port or host:port@peerport. */
static bool is_seed(const struct config_word *word) {
    const char *end = word->text + word->size, *at = memchr(word->text, '@', word->size);
    const char *ports = at == NULL ? end : at;
    const char *colon = memrchr(word->text, ':', (size_t)(ports - word->text));
    uint64_t port, peer_port;
    if (colon == NULL || colon == word->text || colon - word->text >= MEMBER_HOST_SIZE ||
        !is_plain(word->text, (size_t)(colon - word->text)))
        return false;
    if (!parse_port(colon + 1, (size_t)(ports - colon - 1), &port))
        return false;
    return at == NULL ? port + PEER_PORT_OFFSET <= PORT_MAX
                      : parse_port(at + 1, (size_t)(end - at - 1), &peer_port);
}

/* Adds a word to a list of `size` bytes: parted by blanks, with a zero behind the last. false: there is no room. */
static bool append_word(char list[SETTING_VALUE_SIZE], size_t *size, const struct config_word *word) {
    if (*size + 1 + word->size >= SETTING_VALUE_SIZE)
        return false;
    if (*size != 0)
        list[(*size)++] = ' ';
    memcpy(list + *size, word->text, word->size);
    *size += word->size;
    list[*size] = '\0';
    return true;
}

bool check_cluster_seeds(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                         char error[CONFIG_ERROR_SIZE]) {
    size_t size = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < input->count; i++) {
        const struct config_word *word = &input->words[i];
        if (word->size == 0)
            continue;
        if (!is_seed(word))
            return refuse(error, "argument must be a list of host:port or host:port@peerport");
        if (!append_word(out, &size, word))
            return refuse(error, "the list is too long: use cluster-seeds-file");
    }
    return true;
}

/* A word that goes into a field of `room` bytes, with the zero behind it. */
static bool take_word(const struct setting_input *input, size_t room, char out[SETTING_VALUE_SIZE],
                      char error[CONFIG_ERROR_SIZE], const char *reason) {
    const struct config_word *word = &input->words[0];
    if (word->size >= room || !is_plain(word->text, word->size))
        return refuse(error, reason);
    memcpy(out, word->text, word->size + 1);
    return true;
}

bool check_cluster_zone(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                        char error[CONFIG_ERROR_SIZE]) {
    return take_word(
        input, MEMBER_ZONE_SIZE, out, error,
        "argument must be a word of at most 31 letters, digits or signs other than , = @ and quotes");
}

bool check_cluster_announce_ip(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                               char error[CONFIG_ERROR_SIZE]) {
    return take_word(input, MEMBER_HOST_SIZE, out, error,
                     "argument must be an address or a name of at most 63 bytes");
}

/* ---- conflict-keep: how keys begin ---- */

bool check_conflict_keep(const struct setting_input *input, char out[SETTING_VALUE_SIZE],
                         char error[CONFIG_ERROR_SIZE]) {
    size_t size = 0;
    uint32_t count = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < input->count; i++) {
        const struct config_word *word = &input->words[i];
        if (word->size == 0)
            continue;
        if (memchr(word->text, ' ', word->size) != NULL || memchr(word->text, 0, word->size) != NULL)
            return refuse(error,
                          "argument must be a list of words that keys begin with, without blanks in them");
        if (++count > CONFLICT_PREFIXES_MAX || !append_word(out, &size, word))
            return refuse(error, "argument must be a list of at most 64 words, 4 KiB in all");
    }
    return true;
}

bool config_keeps_conflicts(const struct config *config, const uint8_t *key, uint32_t key_size) {
    for (const char *word = config->conflict_keep; *word != '\0';) {
        const char *end = strchrnul(word, ' ');
        size_t size = (size_t)(end - word);
        if (size <= key_size && memcmp(word, key, size) == 0)
            return true;
        word = *end == '\0' ? end : end + 1;
    }
    return false;
}

/* ---- cluster-redirect: a word that is kept as yes or no ---- */

static const char *const redirect_words[] = {"forward", "moved", NULL};

bool parse_cluster_redirect(struct config *config, const struct setting_input *input,
                            char error[CONFIG_ERROR_SIZE]) {
    bool is_moved = config_word_is(&input->words[0], redirect_words[1]);
    if (!is_moved && !config_word_is(&input->words[0], redirect_words[0])) {
        setting_refuse_word(redirect_words, error);
        return false;
    }
    config->cluster_redirect_moved = is_moved;
    return true;
}

void format_cluster_redirect(const struct config *config, char out[SETTING_VALUE_SIZE]) {
    snprintf(out, SETTING_VALUE_SIZE, "%s", redirect_words[config->cluster_redirect_moved]);
}
