/* config_file_test.c - redis-kv.conf at the top of the repository says what the table of settings says.
 *
 * Reads that file; tests run at the top.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/config_fixture.h"

#include <ctype.h>

static char file_text[65536];

static const char *read_file(void) {
    FILE *file = fopen("redis-kv.conf", "r");
    cr_assert_not_null(file, "redis-kv.conf is not in the working directory");
    size_t size = fread(file_text, 1, sizeof file_text - 1, file);
    fclose(file);
    cr_assert_gt(size, 1000);
    cr_assert_lt(size, sizeof file_text - 1);
    file_text[size] = '\0';
    return file_text;
}

/* Whether the name stands in the text as a word of its own. */
static bool has_word(const char *text, const char *name) {
    size_t size = strlen(name);
    for (const char *at = text; (at = strstr(at, name)) != NULL; at += size) {
        char before = at == text ? ' ' : at[-1], after = at[size];
        if (!isalnum((unsigned char)before) && !strchr("-_", before) && !isalnum((unsigned char)after) &&
            !(strchr("-_", after) && after != '\0'))
            return true;
    }
    return false;
}

/* Whether a line begins with the directive, perhaps behind a #. */
static bool has_line(const char *text, const char *name) {
    char line[128];
    snprintf(line, sizeof line, "\n%s ", name);
    if (strstr(text, line) != NULL)
        return true;
    snprintf(line, sizeof line, "\n#%s ", name);
    return strstr(text, line) != NULL;
}

Test(config_file, shows_the_defaults_and_warns_of_nothing) {
    struct fixture fixture, fresh;
    fixture_begin(&fixture);
    fixture_begin(&fresh);
    cr_assert(fixture_apply(&fixture, read_file()), "%u: %s", fixture.problem.line, fixture.problem.reason);
    cr_assert_eq(fixture.config.warnings.size, 0);
    cr_assert_str_eq(fixture_get(&fixture, "*"), fixture_get(&fresh, "*"));
    fixture_end(&fixture);
    fixture_end(&fresh);
}

/* Whether the file says "name (run)": of the whole name, not of one that ends like it. */
static bool says_run(const char *text, const char *name) {
    char words[128];
    snprintf(words, sizeof words, "%s (run)", name);
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++)
        if (at == text || (at[-1] != '-' && !isalnum((unsigned char)at[-1])))
            return true;
    return false;
}

static void check_line(void *context, const char *name, const char *default_value, const char *help,
                       bool is_mutable) {
    const char *text = context;
    (void)default_value;
    (void)help;
    cr_expect(has_line(text, name), "%s has no line", name);
    cr_expect_eq(says_run(text, name), is_mutable, "%s: (run) is wrong", name);
}

Test(config_file, has_a_line_for_each_directive_that_acts_and_says_which_may_change) {
    config_describe(check_line, (void *)(uintptr_t)read_file());
}

static void check_name(void *context, const char *name, const char *value) {
    (void)value;
    cr_expect(has_word(context, name), "%s is not mentioned", name);
}

Test(config_file, names_every_setting) {
    struct fixture fixture;
    struct argument everything = fixture_argument("*");
    fixture_begin(&fixture);
    config_get(&fixture.config, &everything, 1, check_name, (void *)(uintptr_t)read_file());
    fixture_end(&fixture);
}

Test(config_file, what_begins_with_a_hash_is_accepted_without_it) {
    static const struct file files[] = {
        {"/etc/redis-kv/local.conf", ""}, {"/etc/redis-kv/conf.d/*.conf", ""}, {NULL, NULL}};
    struct fixture fixture;
    unsigned count = 0;
    fixture_begin(&fixture);
    for (char *line = strtok((char *)(uintptr_t)read_file(), "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (line[0] != '#' || !isalpha((unsigned char)line[1]))
            continue;
        count++;
        cr_expect(fixture_apply_with(&fixture, line + 1, files), "%s: %s", line, fixture.problem.reason);
    }
    cr_assert_geq(count, 5);
    fixture_end(&fixture);
}
