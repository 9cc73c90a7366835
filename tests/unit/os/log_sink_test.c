/* log_sink_test.c - tests of os/log_sink.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/log_sink.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WHEN INT64_C(1772878530123456) /* 2026-03-07 10:15:30.123456 UTC */

static char folder[] = "/tmp/redis-kv-log-XXXXXX";
static char text[16384];
static struct log_sink sink;

static void make_folder(void) {
    setenv("TZ", "UTC", 1);
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void remove_folder(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(log_sink, .init = make_folder, .fini = remove_folder);

static const char *content_of(const char *path) {
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = 0;
    fclose(file);
    return text;
}

static void open_sink(void) {
    cr_assert(log_sink_init(&sink, &(struct log_sink_options){.path = "log"}));
}

static void say(const char *message) {
    log_sink_write(&sink, LOG_SINK_NOTICE, WHEN, message, strlen(message));
}

Test(log_sink, a_line_has_process_role_time_level_and_message) {
    char expected[128];
    open_sink();
    say("Ready to accept connections");
    snprintf(expected, sizeof expected, "%d:M 07 Mar 2026 10:15:30.123 * Ready to accept connections\n",
             (int)getpid());
    cr_assert_str_eq(content_of("log"), expected);
    log_sink_release(&sink);
}

Test(log_sink, each_level_has_its_sign) {
    open_sink();
    for (int level = LOG_SINK_DEBUG; level <= LOG_SINK_WARNING; level++)
        log_sink_write(&sink, (enum log_sink_level)level, WHEN, "m", 1);
    const char *lines = content_of("log");
    for (const char *sign = ".-*#"; *sign != 0; sign++) {
        char end[] = {' ', *sign, ' ', 'm', '\n', 0};
        lines = strstr(lines, end);
        cr_assert_not_null(lines, "no line with %c", *sign);
    }
    log_sink_release(&sink);
}

Test(log_sink, times_are_local) {
    setenv("TZ", "XYZ-3", 1);
    open_sink();
    say("m");
    cr_assert_not_null(strstr(content_of("log"), " 13:15:30.123 "), "%s", text);
    log_sink_release(&sink);
}

Test(log_sink, a_message_is_one_line_whatever_its_bytes) {
    open_sink();
    log_sink_write(&sink, LOG_SINK_NOTICE, WHEN, "a\nb\r\0c\x1b[1m\x7f\xc3\xa4", 13);
    const char *line = content_of("log");
    cr_assert_not_null(strstr(line, "* a\\x0ab\\x0d\\x00c\\x1b[1m\\x7f\xc3\xa4\n"), "%s", line);
    cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1);
    log_sink_release(&sink);
}

Test(log_sink, long_messages_are_cut_even_if_every_byte_grows) {
    char message[3000];
    memset(message, 1, sizeof message);
    open_sink();
    log_sink_write(&sink, LOG_SINK_NOTICE, WHEN, message, sizeof message);
    const char *line = content_of("log");
    cr_assert_eq(strlen(strstr(line, "* ") + 2), 4 * LOG_SINK_MESSAGE_MAX + 1);
    log_sink_release(&sink);
}

Test(log_sink, lines_are_appended_to_what_is_there) {
    open_sink();
    say("one");
    log_sink_release(&sink);
    open_sink();
    say("two");
    content_of("log");
    cr_assert_not_null(strstr(text, "* one\n"));
    cr_assert_not_null(strstr(text, "* two\n"));
    log_sink_release(&sink);
}

Test(log_sink, a_file_that_was_moved_away_is_opened_anew) {
    open_sink();
    say("one");
    cr_assert_eq(rename("log", "log.1"), 0);
    say("two");
    cr_assert_null(strstr(content_of("log.1"), "two"));
    cr_assert_not_null(strstr(content_of("log"), "* two\n"));
    log_sink_release(&sink);
}

Test(log_sink, where_the_new_file_cannot_be_opened_the_old_one_goes_on) {
    open_sink();
    cr_assert_eq(rename("log", "log.1"), 0);
    cr_assert_eq(symlink("missing/log", "log"), 0);
    say("two");
    cr_assert_not_null(strstr(content_of("log.1"), "* two\n"));
    log_sink_release(&sink);
}

Test(log_sink, a_file_that_cannot_be_opened_is_an_error) {
    cr_assert_not(log_sink_init(&sink, &(struct log_sink_options){.path = "missing/log"}));
}

Test(log_sink, without_a_path_lines_go_to_standard_output) {
    cr_assert_not_null(freopen("out", "w", stdout));
    cr_assert(log_sink_init(&sink, &(struct log_sink_options){.path = "", .role = 'S'}));
    say("hello");
    log_sink_release(&sink);
    cr_assert_not_null(strstr(content_of("out"), ":S 07 Mar 2026 10:15:30.123 * hello\n"), "%s", text);
}
