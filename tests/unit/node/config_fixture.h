/* config_fixture.h - what the tests of the settings share: settings with a counted memory, and short ways to use them.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef TEST_CONFIG_FIXTURE_H
#define TEST_CONFIG_FIXTURE_H

#include "node/config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct fixture {
    struct mem mem;
    struct config config;
    struct config_problem problem;
    char error[CONFIG_ERROR_SIZE];
    char shown[8192]; /* what config_get() visited: name=value, one a line */
};

static inline void fixture_begin(struct fixture *fixture) {
    memset(fixture, 0, sizeof *fixture);
    cr_assert(config_init(&fixture->config, &fixture->mem));
}

/* Also checks that nothing is left behind. */
static inline void fixture_end(struct fixture *fixture) {
    config_release(&fixture->config);
    cr_assert_eq(fixture->mem.used_bytes, 0);
    cr_assert_eq(fixture->mem.allocations, 0);
}

/* The files that include may name: a.conf and so on are found here. */
struct file {
    const char *path, *text;
};

static inline bool fixture_read_file(void *context, const char *path, struct buffer *text,
                                     char error[CONFIG_ERROR_SIZE]) {
    for (const struct file *file = context; file != NULL && file->path != NULL; file++) {
        if (strcmp(file->path, path) == 0)
            return buffer_append_text(text, file->text);
    }
    snprintf(error, CONFIG_ERROR_SIZE, "there is no file '%s'", path);
    return false;
}

static inline bool fixture_apply_with(struct fixture *fixture, const char *text, const struct file *files) {
    struct config_files reader = {(void *)(uintptr_t)files, fixture_read_file};
    return config_apply_text(&fixture->config, text, strlen(text), &reader, &fixture->problem);
}

static inline bool fixture_apply(struct fixture *fixture, const char *text) {
    return fixture_apply_with(fixture, text, NULL);
}

static inline void fixture_append(void *context, const char *name, const char *value) {
    struct fixture *fixture = context;
    size_t size = strlen(fixture->shown);
    cr_assert_lt(
        (size_t)snprintf(fixture->shown + size, sizeof fixture->shown - size, "%s=%s\n", name, value),
        sizeof fixture->shown - size);
}

static inline struct argument fixture_argument(const char *text) {
    return (struct argument){(const uint8_t *)text, (uint32_t)strlen(text), ARGUMENT_NOT_PLACED, 0};
}

/* CONFIG GET with patterns separated by spaces. */
static inline const char *fixture_get(struct fixture *fixture, const char *patterns) {
    struct argument arguments[8];
    uint32_t count = 0;
    for (const char *at = patterns; *at != '\0'; at += strspn(at, " ")) {
        arguments[count] = fixture_argument(at);
        arguments[count].size = (uint32_t)strcspn(at, " ");
        at += arguments[count++].size;
    }
    fixture->shown[0] = '\0';
    config_get(&fixture->config, arguments, count, fixture_append, fixture);
    return fixture->shown;
}

static inline bool fixture_set_with(struct fixture *fixture, const char *const *words,
                                    bool (*changed)(void *context, const char *name,
                                                    char error[CONFIG_ERROR_SIZE]),
                                    void *context) {
    struct argument arguments[16];
    uint32_t count = 0;
    for (; words[count] != NULL; count++)
        arguments[count] = fixture_argument(words[count]);
    memset(fixture->error, 0, sizeof fixture->error);
    return config_set(&fixture->config, arguments, count / 2, false, changed, context, fixture->error);
}

#define WORDS(...)        ((const char *const[]){__VA_ARGS__, NULL})
#define SET(fixture, ...) fixture_set_with(fixture, WORDS(__VA_ARGS__), NULL, NULL)

#endif
