/* config_fuzz.c - any text as a config file: what is accepted survives CONFIG GET, CONFIG SET and CONFIG REWRITE.
 *
 * The input is the file's text up to the first byte 0xff; what follows it is the text of every file that it includes.
 * Checked: a text that is refused changes nothing; a rewritten text means the same as the settings it was written
 * from, also after each line was tried as CONFIG SET; rewriting it again changes nothing; no memory is lost.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/config.h"

#include "node/config_words.h"

#include <stdio.h>
#include <string.h>

#define INPUT_SIZE_MAX 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct included {
    const char *text;
    size_t size;
};

static bool read_included(void *context, const char *path, struct buffer *text,
                          char error[CONFIG_ERROR_SIZE]) {
    const struct included *included = context;
    (void)error; /* without a reason of its own: it must get one */
    return strcmp(path, "none") != 0 && buffer_append(text, included->text, included->size);
}

static bool apply(struct config *config, const char *text, size_t size, const struct included *included,
                  struct config_problem *problem) {
    struct config_files files = {(void *)(uintptr_t)included, read_included};
    return config_apply_text(config, text, size, &files, problem);
}

static void append_setting(void *context, const char *name, const char *value) {
    struct buffer *shown = context;
    CHECK(buffer_append_text(shown, name) && buffer_append_byte(shown, '=') &&
          buffer_append_text(shown, value) && buffer_append_byte(shown, '\n'));
}

/* All settings as one text. */
static void show(const struct config *config, struct buffer *shown) {
    struct argument everything = {(const uint8_t *)"*", 1, ARGUMENT_NOT_PLACED, 0};
    buffer_clear(shown);
    config_get(config, &everything, 1, append_setting, shown);
}

static bool is_equal(const struct buffer *one, const struct buffer *other) {
    return one->size == other->size && (one->size == 0 || memcmp(one->data, other->data, one->size) == 0);
}

/* Tries each line of two words as CONFIG SET. */
static void set_lines(struct config *config, const char *text, size_t size) {
    struct config_words words;
    struct buffer before, after;
    config_words_init(&words, config->mem);
    buffer_init(&before, config->mem);
    buffer_init(&after, config->mem);
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end != NULL ? (size_t)(end - (text + at)) : size - at;
        if (config_words_split(&words, text + at, length) == CONFIG_WORDS_DONE && words.count == 2) {
            struct argument pair[2];
            char error[CONFIG_ERROR_SIZE] = "";
            for (int i = 0; i < 2; i++)
                pair[i] = (struct argument){(const uint8_t *)words.at[i].text, (uint32_t)words.at[i].size,
                                            ARGUMENT_NOT_PLACED, 0};
            show(config, &before);
            if (!config_set(config, pair, 1, true, NULL, NULL, error)) {
                show(config, &after);
                CHECK(error[0] != '\0' && is_equal(&before, &after));
            }
        }
        at += length + 1;
    }
    config_words_release(&words);
    buffer_release(&before);
    buffer_release(&after);
}

/* Writes the text anew and sees whether it means the same. */
static void check_rewrite(const struct config *config, const char *text, size_t size,
                          const struct included *included) {
    struct config fresh;
    struct config_problem problem;
    struct buffer written, again, shown, fresh_shown;
    struct mem *mem = config->mem;
    buffer_init(&written, mem);
    buffer_init(&again, mem);
    buffer_init(&shown, mem);
    buffer_init(&fresh_shown, mem);
    CHECK(config_rewrite(config, text, size, &written));
    CHECK(config_init(&fresh, mem));
    CHECK(apply(&fresh, (const char *)written.data, written.size, included, &problem));
    show(config, &shown);
    show(&fresh, &fresh_shown);
    CHECK(is_equal(&shown, &fresh_shown));
    CHECK(config_rewrite(&fresh, (const char *)written.data, written.size, &again));
    CHECK(is_equal(&written, &again));
    config_release(&fresh);
    buffer_release(&written);
    buffer_release(&again);
    buffer_release(&shown);
    buffer_release(&fresh_shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > INPUT_SIZE_MAX)
        return 0;
    const uint8_t *split = size != 0 ? memchr(data, 0xff, size) : NULL;
    struct included included = {"", 0};
    const char *text = (const char *)data;
    if (split != NULL) {
        included = (struct included){(const char *)split + 1, size - (size_t)(split - data) - 1};
        size = (size_t)(split - data);
    }
    struct mem mem = {0};
    struct config config;
    struct config_problem problem = {0};
    struct buffer before, after;
    buffer_init(&before, &mem);
    buffer_init(&after, &mem);
    CHECK(config_init(&config, &mem));
    show(&config, &before);
    if (apply(&config, text, size, &included, &problem)) {
        check_rewrite(&config, text, size, &included);
        set_lines(&config, text, size);
        check_rewrite(&config, text, size, &included);
    } else {
        show(&config, &after);
        CHECK(is_equal(&before, &after) && problem.line != 0 && problem.reason[0] != '\0');
        CHECK(memchr(problem.text, 0, sizeof problem.text) != NULL);
        set_lines(&config, text, size);
    }
    config_release(&config);
    buffer_release(&before);
    buffer_release(&after);
    CHECK(mem.used_bytes == 0 && mem.allocations == 0);
    return 0;
}
