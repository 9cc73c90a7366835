/* config_quorum.c - how many copies reads and writes are about, as settings: two numbers, and the names of usual pairs of them.
 *
 * A pair with a name follows replication-factor, wherever in a file that stands; numbers that are given stay.
 * May touch: struct config. Must never know: nodes, commands.
 * Tests: tests/unit/node/config_quorum_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"
#include "node/config_table.h"

#include <stdio.h>
#include <string.h>

static const char *const consistency_words[] = {
    [CONSISTENCY_CUSTOM] = "custom",         [CONSISTENCY_FAST_READ] = "fast-read",
    [CONSISTENCY_FAST_WRITE] = "fast-write", [CONSISTENCY_QUORUM] = "quorum",
    [CONSISTENCY_EVENTUAL] = "eventual",     NULL,
};

/* How many copies a pair's reads and writes are about. */
static uint32_t reads_of(int consistency, uint32_t copies) {
    switch (consistency) {
    case CONSISTENCY_FAST_WRITE: return copies;
    case CONSISTENCY_QUORUM: return copies / 2 + 1;
    default: return 1;
    }
}

static uint32_t writes_of(int consistency, uint32_t copies) {
    switch (consistency) {
    case CONSISTENCY_FAST_READ: return copies;
    case CONSISTENCY_QUORUM: return copies / 2 + 1;
    default: return 1;
    }
}

uint32_t config_read_quorum(const struct config *config) {
    if (config->consistency != CONSISTENCY_CUSTOM)
        return reads_of(config->consistency, config->replication_factor);
    return config->read_quorum;
}

uint32_t config_write_quorum(const struct config *config) {
    if (config->consistency != CONSISTENCY_CUSTOM)
        return writes_of(config->consistency, config->replication_factor);
    return config->write_quorum;
}

/* A number of copies. Whether it is more than there are is known when all of a file was read (config_contradiction). */
static bool parse_copies(const struct setting_input *input, uint32_t *copies, char error[CONFIG_ERROR_SIZE]) {
    int64_t value;
    if (!number_parse_int64(input->words[0].text, input->words[0].size, &value)) {
        snprintf(error, CONFIG_ERROR_SIZE, "argument couldn't be parsed into an integer");
        return false;
    }
    if (value < 1 || value > CONFIG_COPIES_MAX) {
        snprintf(error, CONFIG_ERROR_SIZE, "argument must be between 1 and %d inclusive", CONFIG_COPIES_MAX);
        return false;
    }
    *copies = (uint32_t)value;
    return true;
}

/* A number that is not what the pair's name says ends the name; the other number stays. */
static void set_numbers(struct config *config, uint32_t reads, uint32_t writes) {
    if (reads == config_read_quorum(config) && writes == config_write_quorum(config))
        return;
    config->consistency = CONSISTENCY_CUSTOM;
    config->read_quorum = reads;
    config->write_quorum = writes;
}

bool parse_read_quorum(struct config *config, const struct setting_input *input,
                       char error[CONFIG_ERROR_SIZE]) {
    uint32_t copies;
    if (!parse_copies(input, &copies, error))
        return false;
    set_numbers(config, copies, config_write_quorum(config));
    return true;
}

bool parse_write_quorum(struct config *config, const struct setting_input *input,
                        char error[CONFIG_ERROR_SIZE]) {
    uint32_t copies;
    if (!parse_copies(input, &copies, error))
        return false;
    set_numbers(config, config_read_quorum(config), copies);
    return true;
}

void format_read_quorum(const struct config *config, char out[SETTING_VALUE_SIZE]) {
    snprintf(out, SETTING_VALUE_SIZE, "%u", config_read_quorum(config));
}

void format_write_quorum(const struct config *config, char out[SETTING_VALUE_SIZE]) {
    snprintf(out, SETTING_VALUE_SIZE, "%u", config_write_quorum(config));
}

bool parse_consistency(struct config *config, const struct setting_input *input,
                       char error[CONFIG_ERROR_SIZE]) {
    for (int i = 0; consistency_words[i] != NULL; i++) {
        if (!config_word_is(&input->words[0], consistency_words[i]))
            continue;
        uint32_t reads = config_read_quorum(config), writes = config_write_quorum(config);
        config->consistency = i;
        if (i == CONSISTENCY_CUSTOM) { /* the numbers stay as they are */
            config->read_quorum = reads;
            config->write_quorum = writes;
        }
        return true;
    }
    setting_refuse_word(consistency_words, error);
    return false;
}

/* Numbers that a name would give, too, are shown by it. */
void format_consistency(const struct config *config, char out[SETTING_VALUE_SIZE]) {
    int shown = config->consistency;
    uint32_t copies = config->replication_factor;
    for (int i = CONSISTENCY_EVENTUAL; shown == CONSISTENCY_CUSTOM && i > CONSISTENCY_CUSTOM; i--)
        if (config->read_quorum == reads_of(i, copies) && config->write_quorum == writes_of(i, copies))
            shown = i;
    snprintf(out, SETTING_VALUE_SIZE, "%s", consistency_words[shown]);
}
