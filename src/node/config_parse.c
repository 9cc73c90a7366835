/* config_parse.c - the text of config files and of the command line, line by line, with what they include.
 *
 * Tests: tests/unit/node/config_text_test.c, config_file_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/config.h"

#include "node/config_copy.h"
#include "node/config_line.h"
#include "node/config_table.h"
#include "node/redaction.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* One text that is being read: the given one, or one that a line of the text before it includes. */
struct source {
    struct buffer included; /* the included text; empty at the bottom */
    char name[128];         /* as include has it, cut if too long; "" at the bottom */
    const char *text;
    size_t size, at;
    uint32_t line;
};

struct reader {
    struct config *config;
    const struct config_files *files;
    struct source sources[CONFIG_INCLUDE_DEPTH_MAX];
    uint32_t depth; /* of sources in use */
    struct config_words words;
    char reason[CONFIG_ERROR_SIZE];
};

/* Directives of Redis without a value to report, which would promise what this server does not do. */
static const struct {
    const char *name, *reason;
} refused[] = {
    {"user", "there are no ACL users in this server: 'requirepass' is its only access control"},
    {"rename-command", "this server cannot rename or hide commands"},
    {"loadmodule", "this server does not load modules"},
};

static bool is_blank(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

bool config_line_next(const char *text, size_t size, size_t *at, struct config_line *line) {
    if (*at >= size)
        return false;
    const char *begin = text + *at, *end = memchr(begin, '\n', size - *at);
    line->whole = begin;
    line->whole_size = end != NULL ? (size_t)(end - begin) + 1 : size - *at;
    *at += line->whole_size;
    line->text = begin;
    line->size = line->whole_size;
    while (line->size != 0 && is_blank(line->text[line->size - 1]))
        line->size--;
    while (line->size != 0 && is_blank(*line->text))
        line->text++, line->size--;
    line->is_directive = line->size != 0 && *line->text != '#';
    return true;
}

enum config_line_result config_line_apply(struct config *config, struct config_words *words,
                                          const struct setting **setting, char reason[CONFIG_ERROR_SIZE]) {
    bool is_alias;
    struct config_word name = words->at[0];
    struct setting_input input = {words->at + 1, words->count - 1, SOURCE_TEXT};
    *setting = config_table_find(name.text, name.size, &is_alias);
    if (*setting == NULL)
        return CONFIG_LINE_UNKNOWN;
    struct config_words value;
    config_words_init(&value, config->mem);
    enum config_words_result result = CONFIG_WORDS_DONE;
    if ((*setting)->kind == SETTING_LIST && input.count == 1) {
        /* A list may be written as one word: save "3600 1 300 100". */
        result = config_words_split_value(&value, input.words[0].text, input.words[0].size);
        input.words = value.at;
        input.count = value.count;
    }
    reason[0] = '\0';
    if (result == CONFIG_WORDS_TOO_MANY)
        snprintf(reason, CONFIG_ERROR_SIZE, "too many words");
    bool done = result == CONFIG_WORDS_DONE && setting_store(config, *setting, &input, reason);
    config_words_release(&value);
    if (done)
        return CONFIG_LINE_DONE;
    return reason[0] != '\0' ? CONFIG_LINE_REFUSED : CONFIG_LINE_NO_MEMORY;
}

/* Takes the word behind include, reads the text that it names and makes it the next to be read. */
static bool begin_include(struct reader *reader) {
    const struct config_word *path = &reader->words.at[1];
    if (reader->depth == CONFIG_INCLUDE_DEPTH_MAX) {
        snprintf(reader->reason, sizeof reader->reason,
                 "include goes deeper than %d files: does a file include itself?", CONFIG_INCLUDE_DEPTH_MAX);
        return false;
    }
    if (reader->files == NULL || strlen(path->text) != path->size) {
        snprintf(reader->reason, sizeof reader->reason, "include is not possible here");
        return false;
    }
    struct source *source = &reader->sources[reader->depth];
    *source = (struct source){.text = NULL};
    buffer_init(&source->included, reader->config->mem);
    snprintf(source->name, sizeof source->name, "%s", path->text);
    snprintf(reader->reason, sizeof reader->reason, "can't read the included file '%s'", source->name);
    if (!reader->files->read(reader->files->context, path->text, &source->included, reader->reason)) {
        buffer_release(&source->included);
        return false;
    }
    source->text = (const char *)source->included.data;
    source->size = source->included.size;
    reader->depth++;
    return true;
}

static bool warn_of(struct config *config, const struct setting *setting) {
    char room[SETTING_VALUE_SIZE];
    return setting->warning == NULL ||
           strcmp(setting_value(config, setting, room), setting->default_value) == 0 ||
           config_warn(config, setting->warning);
}

static bool apply_words(struct reader *reader) {
    struct config *config = reader->config;
    const struct config_word *name = &reader->words.at[0];
    if (config_word_is(name, "include") && reader->words.count == 2)
        return begin_include(reader);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (config_word_is(name, refused[i].name)) {
            snprintf(reader->reason, sizeof reader->reason, "%s", refused[i].reason);
            return false;
        }
    }
    const struct setting *setting;
    enum config_line_result result = config_line_apply(config, &reader->words, &setting, reader->reason);
    if (result == CONFIG_LINE_UNKNOWN)
        snprintf(reader->reason, sizeof reader->reason, "Bad directive or wrong number of arguments");
    else if (result == CONFIG_LINE_NO_MEMORY)
        snprintf(reader->reason, sizeof reader->reason, "out of memory");
    if (result != CONFIG_LINE_DONE)
        return false;
    if (reader->depth > 1) {
        setting_set_bit(config->in_include, setting);
        setting_set_bit(config->settled_by_include, setting);
    } else {
        setting_clear_bit(config->settled_by_include, setting);
    }
    snprintf(reader->reason, sizeof reader->reason, "out of memory");
    snprintf(reader->reason, sizeof reader->reason, "out of memory");
    return warn_of(config, setting);
}

static bool apply_line(struct reader *reader, const struct config_line *line) {
    const char *reason;
    switch (config_words_split(&reader->words, line->text, line->size)) {
    case CONFIG_WORDS_DONE: return reader->words.count == 0 || apply_words(reader);
    case CONFIG_WORDS_UNBALANCED: reason = "Unbalanced quotes in configuration line"; break;
    case CONFIG_WORDS_TOO_MANY: reason = "too many words"; break;
    default: reason = "out of memory";
    }
    snprintf(reader->reason, sizeof reader->reason, "%s", reason);
    return false;
}

/* Whether what a line says may be a secret: judged by its first word alone, as the rest may be malformed. */
static bool is_secret(const struct config_line *line, size_t *name_size) {
    size_t begin = 0, end;
    while (begin < line->size && strchr("\"'", line->text[begin]) != NULL && line->text[begin] != '\0')
        begin++;
    for (end = begin; end < line->size && strchr(" \t\v\f\r\"'", line->text[end]) == NULL;)
        end++;
    struct config_word name = {line->text + begin, end - begin};
    bool is_alias;
    const struct setting *setting = config_table_find(name.text, name.size, &is_alias);
    *name_size = end;
    return config_word_is(&name, "user") || (setting != NULL && setting->flags & SETTING_SECRET);
}

static void describe_problem(const struct reader *reader, const struct source *source,
                             const struct config_line *line, struct config_problem *problem) {
    size_t name_size;
    *problem = (struct config_problem){.line = source->line};
    if (is_secret(line, &name_size))
        snprintf(problem->text, sizeof problem->text, "%.*s %s", (int)(name_size < 64 ? name_size : 64),
                 line->text, REDACTION_TEXT);
    else
        snprintf(problem->text, sizeof problem->text, "%.*s",
                 (int)(line->size < sizeof problem->text ? line->size : sizeof problem->text), line->text);
    for (char *byte = problem->text; *byte != '\0'; byte++) {
        if ((unsigned char)*byte < ' ' && *byte != '\t')
            *byte = '?';
    }
    size_t size = (size_t)snprintf(problem->reason, sizeof problem->reason, "%s", reader->reason);
    if (source->name[0] != '\0' && size < sizeof problem->reason)
        snprintf(problem->reason + size, sizeof problem->reason - size, " (in the included file '%s')",
                 source->name);
}

static bool read_all(struct reader *reader, struct config_problem *problem) {
    while (reader->depth != 0) {
        struct source *source = &reader->sources[reader->depth - 1];
        struct config_line line;
        if (!config_line_next(source->text, source->size, &source->at, &line)) {
            buffer_release(&source->included);
            reader->depth--;
            continue;
        }
        source->line++;
        if (line.is_directive && !apply_line(reader, &line)) {
            describe_problem(reader, source, &line, problem);
            return false;
        }
    }
    return true;
}

/* Whether the settings as a whole make sense. */
static bool agrees(const struct config *config, struct config_problem *problem) {
    const char *name, *reason = config_contradiction(config, &name);
    if (reason == NULL)
        return true;
    *problem = (struct config_problem){0};
    snprintf(problem->text, sizeof problem->text, "%s", name);
    snprintf(problem->reason, sizeof problem->reason, "%s", reason);
    return false;
}

bool config_apply_text(struct config *config, const char *text, size_t size, const struct config_files *files,
                       struct config_problem *problem) {
    struct config copy;
    if (!config_copy(&copy, config)) {
        *problem = (struct config_problem){.reason = "out of memory"};
        return false;
    }
    size_t warnings_size = config->warnings.size;
    copy.warnings = config->warnings;
    struct reader reader = {.config = &copy, .files = files, .depth = 1};
    reader.sources[0] = (struct source){.text = text, .size = size};
    buffer_init(&reader.sources[0].included, config->mem);
    config_words_init(&reader.words, config->mem);
    bool done = read_all(&reader, problem) && agrees(&copy, problem);
    while (reader.depth != 0)
        buffer_release(&reader.sources[--reader.depth].included);
    config_words_release(&reader.words);
    config->warnings = copy.warnings;
    buffer_init(&copy.warnings, config->mem);
    if (done)
        config_swap(config, &copy);
    else
        config->warnings.size = warnings_size;
    config_release(&copy);
    return done;
}

bool config_arguments_to_text(int argc, char **argv, struct buffer *text) {
    bool takes_any = false; /* the word before is a name: the next one is its value, whatever it looks like */
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        bool is_name = !takes_any && strncmp(word, "--", 2) == 0;
        if (!is_name) {
            if ((text->size != 0 && !buffer_append_byte(text, ' ')) ||
                !config_words_append_quoted(text, word, strlen(word)))
                return false;
            takes_any = false;
            continue;
        }
        word += 2;
        if ((text->size != 0 && !buffer_append_byte(text, '\n')) || !buffer_append_text(text, word))
            return false;
        takes_any = strcasecmp(word, "save") != 0 && strpbrk(word, " \t\n") == NULL && word[0] != '\0';
        bool is_bare = i + 1 == argc || strncmp(argv[i + 1], "--", 2) == 0;
        if (strcasecmp(word, "save") == 0 && is_bare && !buffer_append_text(text, " \"\""))
            return false;
    }
    return true;
}
