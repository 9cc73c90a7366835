/* config_value.c - reading, checking, storing and showing the value of a setting, by its kind.
 *
 * Tests: tests/unit/node/config_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"
#include "node/config_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A value on its way from words to its place: the one that the setting's kind has. */
struct value {
    bool yes;
    int64_t integer;
    uint64_t bytes;
    int word;
    const char *text;
};

static bool refuse(char error[CONFIG_ERROR_SIZE], const char *reason) {
    snprintf(error, CONFIG_ERROR_SIZE, "%s", reason);
    return false;
}

void setting_refuse_word(const char *const *words, char error[CONFIG_ERROR_SIZE]) {
    int size = snprintf(error, CONFIG_ERROR_SIZE, "argument(s) must be one of the following: ");
    for (; *words != NULL && size < CONFIG_ERROR_SIZE; words++)
        size += snprintf(error + size, CONFIG_ERROR_SIZE - (size_t)size, "%s%s", *words,
                         words[1] != NULL ? ", " : "");
}

static bool parse_boolean(const struct config_word *word, struct value *value,
                          char error[CONFIG_ERROR_SIZE]) {
    value->yes = config_word_is(word, "yes");
    return value->yes || config_word_is(word, "no") || refuse(error, "argument must be 'yes' or 'no'");
}

static bool parse_integer(const struct setting *setting, const struct config_word *word, struct value *value,
                          char error[CONFIG_ERROR_SIZE]) {
    if (!number_parse_int64(word->text, word->size, &value->integer))
        return refuse(error, "argument couldn't be parsed into an integer");
    if (value->integer >= setting->min && (value->integer < 0 || (uint64_t)value->integer <= setting->max))
        return true;
    snprintf(error, CONFIG_ERROR_SIZE, "argument must be between %" PRId64 " and %" PRIu64 " inclusive",
             setting->min, setting->max);
    return false;
}

static bool parse_memory(const struct setting *setting, const struct config_word *word, struct value *value,
                         char error[CONFIG_ERROR_SIZE]) {
    if (!number_parse_memory(word->text, word->size, &value->bytes))
        return refuse(error, "argument must be a memory value");
    if (value->bytes >= (uint64_t)setting->min && value->bytes <= setting->max)
        return true;
    snprintf(error, CONFIG_ERROR_SIZE, "argument must be between %" PRId64 " and %" PRIu64 " inclusive",
             setting->min, setting->max);
    return false;
}

static bool parse_word(const struct setting *setting, const struct config_word *word, struct value *value,
                       char error[CONFIG_ERROR_SIZE]) {
    for (value->word = 0; setting->words[value->word] != NULL; value->word++) {
        if (config_word_is(word, setting->words[value->word]))
            return true;
    }
    setting_refuse_word(setting->words, error);
    return false;
}

static bool parse_value(const struct setting *setting, const struct setting_input *input, struct value *value,
                        char room[SETTING_VALUE_SIZE], char error[CONFIG_ERROR_SIZE]) {
    if (setting->check != NULL) {
        value->text = room;
        return setting->check(input, room, error);
    }
    switch (setting->kind) {
    case SETTING_BOOLEAN: return parse_boolean(&input->words[0], value, error);
    case SETTING_INTEGER: return parse_integer(setting, &input->words[0], value, error);
    case SETTING_MEMORY: return parse_memory(setting, &input->words[0], value, error);
    case SETTING_WORD: return parse_word(setting, &input->words[0], value, error);
    default: value->text = input->words[0].text; return true;
    }
}

/* The text of a value, in room or elsewhere. */
static const char *show_value(const struct setting *setting, const struct value *value,
                              char room[SETTING_VALUE_SIZE]) {
    if (setting->check != NULL)
        return value->text;
    switch (setting->kind) {
    case SETTING_BOOLEAN: return value->yes ? "yes" : "no";
    case SETTING_INTEGER: snprintf(room, SETTING_VALUE_SIZE, "%" PRId64, value->integer); return room;
    case SETTING_MEMORY: snprintf(room, SETTING_VALUE_SIZE, "%" PRIu64, value->bytes); return room;
    case SETTING_WORD: return setting->words[value->word];
    default: return value->text;
    }
}

static void *field_of(struct config *config, const struct setting *setting) {
    return (char *)config + setting->offset;
}

static bool store_kept(struct config *config, const struct setting *setting, const char *text) {
    char **place = &config->texts[setting_index(setting)].value;
    if (strcmp(text, setting->default_value) != 0)
        return config_replace_text(config, place, text);
    if (*place != NULL)
        mem_free(config->mem, *place, strlen(*place) + 1);
    *place = NULL;
    return true;
}

static bool store_value(struct config *config, const struct setting *setting, const struct value *value,
                        const char *text) {
    void *field = field_of(config, setting);
    switch (setting->field) {
    case FIELD_BOOLEAN: *(bool *)field = value->yes; return true;
    case FIELD_UINT32: *(uint32_t *)field = (uint32_t)value->integer; return true;
    case FIELD_UINT64:
        *(uint64_t *)field = setting->kind == SETTING_MEMORY ? value->bytes : (uint64_t)value->integer;
        return true;
    case FIELD_INT64: *(int64_t *)field = value->integer; return true;
    case FIELD_INT: *(int *)field = value->word; return true;
    case FIELD_TEXT: return config_replace_text(config, field, text);
    default: return store_kept(config, setting, text);
    }
}

bool setting_store(struct config *config, const struct setting *setting, const struct setting_input *input,
                   char error[CONFIG_ERROR_SIZE]) {
    if (setting->kind != SETTING_LIST && input->count != 1)
        return refuse(error, "wrong number of arguments");
    for (uint32_t i = 0; i < input->count; i++) {
        if (strlen(input->words[i].text) != input->words[i].size)
            return refuse(error, "argument must not contain a zero byte");
    }
    if (setting->parse != NULL)
        return setting->parse(config, input, error);
    char room[SETTING_VALUE_SIZE];
    struct value value = {0};
    if (!parse_value(setting, input, &value, room, error))
        return false;
    const char *text = show_value(setting, &value, room);
    if (setting->refusal != NULL && strcmp(text, setting->default_value) != 0)
        return refuse(error, setting->refusal);
    error[0] = '\0'; /* lack of memory has no text */
    return store_value(config, setting, &value, text);
}

const char *setting_value(const struct config *config, const struct setting *setting,
                          char room[SETTING_VALUE_SIZE]) {
    if (setting->format != NULL) {
        setting->format(config, room);
        return room;
    }
    if (setting->field == FIELD_KEPT) {
        const char *kept = config->texts[setting_index(setting)].value;
        return kept != NULL ? kept : setting->default_value;
    }
    const void *field = (const char *)config + setting->offset;
    struct value value = {0};
    switch (setting->field) {
    case FIELD_BOOLEAN: value.yes = *(const bool *)field; break;
    case FIELD_UINT32: value.integer = *(const uint32_t *)field; break;
    case FIELD_UINT64:
        value.bytes = *(const uint64_t *)field;
        value.integer = (int64_t)value.bytes;
        break;
    case FIELD_INT64: value.integer = *(const int64_t *)field; break;
    case FIELD_INT: value.word = *(const int *)field; break;
    default: return *(char *const *)field;
    }
    return show_value(setting, &value, room);
}
