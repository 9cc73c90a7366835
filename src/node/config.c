/* config.c - the settings as a whole: defaults, copies, CONFIG GET and CONFIG SET.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/config.h"

#include "data/glob.h"
#include "node/config_copy.h"
#include "node/config_table.h"

#include <stdio.h>
#include <string.h>

static char *duplicate(struct mem *mem, const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = mem_alloc(mem, size);
    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

static void release_text(struct mem *mem, char *text) {
    if (text != NULL)
        mem_free(mem, text, strlen(text) + 1);
}

bool config_replace_text(struct config *config, char **text, const char *new_text) {
    char *copy = duplicate(config->mem, new_text);
    if (copy == NULL)
        return false;
    release_text(config->mem, *text);
    *text = copy;
    return true;
}

/* The place of a row's owned text. */
static char **text_field(struct config *config, const struct setting *setting) {
    return (char **)((char *)config + setting->offset);
}

bool config_init(struct config *config, struct mem *mem) {
    memset(config, 0, sizeof *config);
    config->mem = mem;
    buffer_init(&config->warnings, mem);
    uint32_t count;
    const struct setting *table = config_table(&count);
    config->texts = mem_alloc_zeroed(mem, count * sizeof(config->texts[0]));
    config->text_count = count;
    bool done = config->texts != NULL;
    struct config_words words;
    config_words_init(&words, mem);
    for (uint32_t i = 0; i < count && done; i++) {
        const char *value = table[i].default_value;
        if (table[i].field == FIELD_KEPT)
            continue;
        struct config_word word = {value, strlen(value)};
        struct setting_input input = {&word, 1, SOURCE_DEFAULT};
        if (table[i].kind == SETTING_LIST) {
            done = config_words_split_value(&words, word.text, word.size) == CONFIG_WORDS_DONE;
            input = (struct setting_input){words.at, words.count, SOURCE_DEFAULT};
        }
        char error[CONFIG_ERROR_SIZE];
        done = done && setting_store(config, &table[i], &input, error);
    }
    config_words_release(&words);
    if (!done)
        config_release(config);
    return done;
}

void config_release(struct config *config) {
    uint32_t count;
    const struct setting *table = config_table(&count);
    for (uint32_t i = 0; i < count; i++) {
        if (table[i].field == FIELD_TEXT)
            release_text(config->mem, *text_field(config, &table[i]));
        if (config->texts != NULL)
            release_text(config->mem, config->texts[i].value);
    }
    for (uint32_t i = 0; i < config->bind_count; i++)
        release_text(config->mem, config->bind[i]);
    mem_free(config->mem, config->texts, count * sizeof(config->texts[0]));
    buffer_release(&config->warnings);
    memset(config, 0, sizeof *config);
}

bool config_copy(struct config *copy, const struct config *config) {
    uint32_t count;
    const struct setting *table = config_table(&count);
    struct mem *mem = config->mem;
    *copy = *config;
    buffer_init(&copy->warnings, mem);
    /* No pointer of the original may stay in the copy: it may have to be released half-way. */
    memset(copy->bind, 0, sizeof copy->bind);
    copy->bind_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (table[i].field == FIELD_TEXT)
            *text_field(copy, &table[i]) = NULL;
    }
    copy->texts = mem_alloc_zeroed(mem, count * sizeof(copy->texts[0]));
    bool done = copy->texts != NULL;
    for (uint32_t i = 0; i < count && done; i++) {
        if (table[i].field == FIELD_TEXT) {
            const char *text = *(char *const *)((const char *)config + table[i].offset);
            done = config_replace_text(copy, text_field(copy, &table[i]), text);
        } else if (config->texts[i].value != NULL) {
            done = config_replace_text(copy, &copy->texts[i].value, config->texts[i].value);
        }
    }
    for (uint32_t i = 0; i < config->bind_count && done; i++) {
        copy->bind[i] = duplicate(mem, config->bind[i]);
        done = copy->bind[i] != NULL;
        copy->bind_count += done;
    }
    if (!done)
        config_release(copy);
    return done;
}

void config_swap(struct config *one, struct config *other) {
    struct config values = *one;
    struct buffer one_warnings = one->warnings, other_warnings = other->warnings;
    *one = *other;
    *other = values;
    one->warnings = one_warnings;
    other->warnings = other_warnings;
}

bool config_warn(struct config *config, const char *line) {
    struct buffer *warnings = &config->warnings;
    size_t size = strlen(line), before = warnings->size;
    for (size_t at = 0; at < before;) {
        const uint8_t *end = memchr(warnings->data + at, '\n', before - at);
        size_t length = (size_t)(end - (warnings->data + at));
        if (length == size && memcmp(warnings->data + at, line, size) == 0)
            return true;
        at += length + 1;
    }
    if (buffer_append(warnings, line, size) && buffer_append_byte(warnings, '\n'))
        return true;
    warnings->size = before;
    return false;
}

/* ---- CONFIG GET ---- */

/* The first pattern that matches a name, or NULL. Case does not matter. */
static const struct argument *find_pattern(const struct argument *patterns, uint32_t count,
                                           const char *name) {
    for (uint32_t i = 0; i < count; i++) {
        if (glob_match((const char *)patterns[i].data, patterns[i].size, name, strlen(name), true))
            return &patterns[i];
    }
    return NULL;
}

static void visit_name(const struct config *config, const struct setting *setting, const char *name,
                       const struct argument *pattern,
                       void (*visit)(void *context, const char *name, const char *value), void *context) {
    char room[SETTING_VALUE_SIZE], written[64];
    const char *value = setting_value(config, setting, room);
    /* A pattern that equals the name but for the case of letters is answered as it was written. */
    if (argument_is(pattern, name) && pattern->size < sizeof written) {
        memcpy(written, pattern->data, pattern->size);
        written[pattern->size] = '\0';
        name = written;
    }
    visit(context, name, value);
}

void config_get(const struct config *config, const struct argument *patterns, uint32_t pattern_count,
                void (*visit)(void *context, const char *name, const char *value), void *context) {
    uint32_t count;
    const struct setting *table = config_table(&count);
    for (uint32_t i = 0; i < count; i++) {
        const struct argument *pattern = find_pattern(patterns, pattern_count, table[i].name);
        if (pattern != NULL)
            visit_name(config, &table[i], table[i].name, pattern, visit, context);
        pattern = table[i].alias != NULL ? find_pattern(patterns, pattern_count, table[i].alias) : NULL;
        if (pattern != NULL)
            visit_name(config, &table[i], table[i].alias, pattern, visit, context);
    }
}

/* ---- CONFIG SET ---- */

static bool set_failed(char error[CONFIG_ERROR_SIZE], const char *name, const char *reason) {
    char text[CONFIG_ERROR_SIZE];
    snprintf(text, sizeof text, "%s", reason);
    snprintf(error, CONFIG_ERROR_SIZE, "CONFIG SET failed (possibly related to argument '%s') - %.160s", name,
             text);
    return false;
}

/* Finds the rows, and sees to it that each may be set and is named once. */
static bool find_settings(const struct argument *pairs, uint32_t pair_count, bool may_protected,
                          char error[CONFIG_ERROR_SIZE]) {
    for (uint32_t i = 0; i < pair_count; i++) {
        const struct argument *name = &pairs[2 * i];
        bool is_alias;
        const struct setting *setting = config_table_find((const char *)name->data, name->size, &is_alias);
        if (setting == NULL) {
            snprintf(error, CONFIG_ERROR_SIZE,
                     "Unknown option or number of arguments for CONFIG SET - '%.*s'",
                     name->size < 128 ? (int)name->size : 128, (const char *)name->data);
            return false;
        }
        const char *canonical = is_alias ? setting->alias : setting->name;
        if (setting->flags & SETTING_IMMUTABLE)
            return set_failed(error, canonical, "can't set immutable config");
        if (setting->flags & SETTING_PROTECTED && !may_protected)
            return set_failed(error, canonical, "can't set protected config");
        for (uint32_t j = 0; j < i; j++) {
            if (argument_is(&pairs[2 * j], canonical))
                return set_failed(error, canonical, "duplicate parameter");
        }
    }
    return true;
}

static const struct setting *named_setting(const struct argument *name, const char **canonical) {
    bool is_alias;
    const struct setting *setting = config_table_find((const char *)name->data, name->size, &is_alias);
    *canonical = is_alias ? setting->alias : setting->name;
    return setting;
}

/* Stores one pair's value. */
static bool store_pair(struct config *config, const struct argument *pair, char error[CONFIG_ERROR_SIZE]) {
    const char *name;
    const struct setting *setting = named_setting(&pair[0], &name);
    struct config_words words;
    config_words_init(&words, config->mem);
    enum config_words_result result = CONFIG_WORDS_DONE;
    if (setting->kind == SETTING_LIST) {
        result = config_words_split_value(&words, (const char *)pair[1].data, pair[1].size);
    } else {
        /* Copied, for a zero byte behind it. */
        result =
            buffer_append(&words.bytes, pair[1].data, pair[1].size) && buffer_append_byte(&words.bytes, 0)
                ? CONFIG_WORDS_DONE
                : CONFIG_WORDS_NO_MEMORY;
        words.at[0] = (struct config_word){(const char *)words.bytes.data, pair[1].size};
        words.count = 1;
    }
    char reason[CONFIG_ERROR_SIZE] = "";
    struct setting_input input = {words.at, words.count, SOURCE_CLIENT};
    if (result == CONFIG_WORDS_TOO_MANY)
        snprintf(reason, sizeof reason, "too many words");
    bool done = result == CONFIG_WORDS_DONE && setting_store(config, setting, &input, reason);
    config_words_release(&words);
    return done || set_failed(error, name, reason[0] != '\0' ? reason : "out of memory");
}

static bool has_changed(const struct config *before, const struct config *after,
                        const struct setting *setting) {
    char old_room[SETTING_VALUE_SIZE], new_room[SETTING_VALUE_SIZE];
    return strcmp(setting_value(before, setting, old_room), setting_value(after, setting, new_room)) != 0;
}

/* Tells the world of the values that are new; `before` holds the old ones and gets the new ones back on refusal. */
static bool announce(struct config *config, struct config *before, const struct argument *pairs,
                     uint32_t pair_count,
                     bool (*changed)(void *context, const char *name, char error[CONFIG_ERROR_SIZE]),
                     void *context, char error[CONFIG_ERROR_SIZE]) {
    char reason[CONFIG_ERROR_SIZE];
    for (uint32_t i = 0; i < pair_count; i++) {
        const char *name;
        const struct setting *setting = named_setting(&pairs[2 * i], &name);
        reason[0] = '\0';
        if (!has_changed(before, config, setting) || changed(context, setting->name, reason))
            continue;
        reason[sizeof reason - 1] = '\0';
        set_failed(error, name, reason);
        config_swap(config, before);
        while (i-- > 0) {
            setting = named_setting(&pairs[2 * i], &name);
            if (has_changed(before, config, setting))
                changed(context, setting->name, reason);
        }
        return false;
    }
    return true;
}

bool config_set(struct config *config, const struct argument *pairs, uint32_t pair_count, bool may_protected,
                bool (*changed)(void *context, const char *name, char error[CONFIG_ERROR_SIZE]),
                void *context, char error[CONFIG_ERROR_SIZE]) {
    if (!find_settings(pairs, pair_count, may_protected, error))
        return false;
    struct config other;
    if (!config_copy(&other, config)) {
        snprintf(error, CONFIG_ERROR_SIZE, "CONFIG SET failed - out of memory");
        return false;
    }
    bool done = true;
    for (uint32_t i = 0; i < pair_count && done; i++)
        done = store_pair(&other, &pairs[2 * i], error);
    const char *contradicting, *reason = config_contradiction(&other, &contradicting);
    if (done && reason != NULL)
        done = set_failed(error, contradicting, reason);
    for (uint32_t i = 0; i < pair_count && done; i++) {
        const char *name;
        const struct setting *setting = named_setting(&pairs[2 * i], &name);
        if (has_changed(config, &other, setting))
            setting_clear_bit(other.settled_by_include, setting);
    }
    if (done) {
        config_swap(config, &other);
        done = changed == NULL || announce(config, &other, pairs, pair_count, changed, context, error);
    }
    config_release(&other);
    return done;
}

void config_describe(void (*visit)(void *context, const char *name, const char *default_value,
                                   const char *help, bool is_mutable),
                     void *context) {
    uint32_t count;
    const struct setting *table = config_table(&count);
    for (uint32_t i = 0; i < count; i++) {
        if (table[i].help != NULL)
            visit(context, table[i].name, table[i].default_value, table[i].help,
                  (table[i].flags & (SETTING_IMMUTABLE | SETTING_PROTECTED)) == 0);
    }
}
