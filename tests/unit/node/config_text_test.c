/* config_text_test.c - tests of the settings' texts: config files, what they include, the command line.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/config_fixture.h"

/* ---- lines and words ---- */

Test(config_text, lines_comments_case_and_white_space_are_as_in_redis) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(fixture_apply(&fixture, "# a comment\n"
                                      "\n"
                                      "   \t \r\n"
                                      "  # another one\n"
                                      "\tport\t7000  \r\n"
                                      "MaxClients 20\n"
                                      "timeout 10\n"
                                      "timeout 20\n"
                                      "\"hz\" '30'\n"
                                      "slowlog-max-len 64"));
    cr_assert_str_eq(fixture_get(&fixture, "port maxclients timeout hz slowlog-max-len"),
                     "port=7000\ntimeout=20\nmaxclients=20\nslowlog-max-len=64\nhz=30\n");
    cr_assert_eq(fixture.config.warnings.size, 0);
    fixture_end(&fixture);
}

Test(config_text, quotes_hold_spaces_and_escapes) {
    static const char *const pairs[][2] = {
        {"requirepass \"two words\"", "two words"},
        {"requirepass \"\\x41\\x7A\\n\\r\\t\\a\\b\\\"\\\\\\q\"", "Az\n\r\t\a\b\"\\q"},
        {"requirepass 'it''s'", NULL},
        {"requirepass 'it\\'s \\n \"x\"'", "it's \\n \"x\""},
        {"requirepass a\"b c\"", "ab c"},
        {"requirepass \"\"", ""},
        {"requirepass ''", ""},
        {"requirepass a\\nb", "a\\nb"},
        {"requirepass \"\\x4\"", "x4"},
        {"requirepass \"\\xzz\"", "xzz"},
        {"requirepass #no-comment", "#no-comment"},
        {"requirepass \"a\"b", NULL},
        {"requirepass \"a", NULL},
        {"requirepass 'a", NULL},
        {"requirepass \"a\\", NULL},
        {"requirepass \"a\\\"", NULL},
    };
    struct fixture fixture;
    fixture_begin(&fixture);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (pairs[i][1] != NULL) {
            cr_expect(fixture_apply(&fixture, pairs[i][0]), "%s", pairs[i][0]);
            cr_expect_str_eq(fixture.config.requirepass, pairs[i][1]);
        } else {
            cr_expect_not(fixture_apply(&fixture, pairs[i][0]), "%s", pairs[i][0]);
            cr_expect_str_eq(fixture.problem.reason, "Unbalanced quotes in configuration line");
        }
    }
    fixture_end(&fixture);
}

/* line, reason: the words of redis-server 7.0.15 */
static const char *const bad_lines[][2] = {
    {"no-such-directive yes please", "Bad directive or wrong number of arguments"},
    {"include", "Bad directive or wrong number of arguments"},
    {"include a b", "Bad directive or wrong number of arguments"},
    {"\"\" x", "Bad directive or wrong number of arguments"},
    {"maxmemory", "wrong number of arguments"},
    {"maxmemory 1 2", "wrong number of arguments"},
    {"dir", "wrong number of arguments"},
    {"notify-keyspace-events", "wrong number of arguments"},
    {"maxmemory \"1", "Unbalanced quotes in configuration line"},
    {"maxmemory 10xb", "argument must be a memory value"},
    {"save 1", "Invalid save parameters"},
    {"save 1 2 3", "Invalid save parameters"},
    {"save a b", "Invalid save parameters"},
    {"save \"\" 1", "Invalid save parameters"},
    {"client-output-buffer-limit normal 0 0", "Wrong number of arguments in buffer limit configuration."},
    {"client-output-buffer-limit foo 0 0 0", "Invalid client class specified in buffer limit configuration."},
    {"client-output-buffer-limit normal a 0 0",
     "Error in hard, soft or soft_seconds setting in buffer limit configuration."},
    {"unixsocketperm 9999", "argument couldn't be parsed as an octal number"},
    {"unixsocketperm 888", "argument couldn't be parsed as an octal number"},
    {"unixsocketperm 1000", "argument couldn't be parsed as an octal number"},
    {"unixsocketperm 777777777777777777777777", "argument couldn't be parsed as an octal number"},
    {"unixsocketperm 40000000700", "argument couldn't be parsed as an octal number"},
    {"unixsocketperm \"\"", "argument couldn't be parsed as an octal number"},
    {"port seven", "argument couldn't be parsed into an integer"},
    {"port 70000", "argument must be between 0 and 65535 inclusive"},
    {"tcp-keepalive 0300", "argument couldn't be parsed into an integer"},
    {"timeout 1.5", "argument couldn't be parsed into an integer"},
    {"timeout -1", "argument must be between 0 and 2147483647 inclusive"},
    {"databases 0", "argument must be between 1 and 2147483647 inclusive"},
    {"appendonly perhaps", "argument must be 'yes' or 'no'"},
    {"loglevel loud", "argument(s) must be one of the following: debug, verbose, notice, warning"},
    {"supervised me", "argument(s) must be one of the following: upstart, systemd, auto, no"},
    {"enable-debug-command maybe", "argument(s) must be one of the following: no, yes, local"},
    {"maxmemory-policy none",
     "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, "
     "allkeys-lfu, allkeys-random, noeviction"},
    {"maxmemory-clients x", "argument must be a memory or percent value"},
    {"oom-score-adj-values 1 2", "wrong number of arguments"},
    {"oom-score-adj-values 1 2 x", "Invalid oom-score-adj-values, elements must be between -2000 and 2000."},
    {"dbfilename a/b", "dbfilename can't be a path, just a filename"},
    {"appendfilename a/b", "appendfilename can't be a path, just a filename"},
    {"appenddirname a/b", "appenddirname can't be a path, just a dirname"},
    {"replicaof localhost", "wrong number of arguments"},
};

Test(config_text, bad_lines_are_named_with_number_text_and_the_reason_of_redis) {
    struct fixture fixture;
    fixture_begin(&fixture);
    for (size_t i = 0; i < sizeof bad_lines / sizeof bad_lines[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "# first\n\ntimeout 5\n  %s \r\nport 1\n", bad_lines[i][0]);
        cr_expect_not(fixture_apply(&fixture, text), "%s", bad_lines[i][0]);
        cr_expect_eq(fixture.problem.line, 4);
        cr_expect_str_eq(fixture.problem.text, bad_lines[i][0]);
        cr_expect_str_eq(fixture.problem.reason, bad_lines[i][1]);
        cr_expect_eq(fixture.config.timeout_s, 0, "a text is applied as a whole or not at all");
    }
    fixture_end(&fixture);
}

Test(config_text, secrets_do_not_show_up_in_problems) {
    static const char *const lines[] = {
        "requirepass secret more",    "requirepass \"secret",     "  REQUIREPASS 'secret",
        "\"requirepass\" \"secret",   "'requirepass' secret x",   "masterauth secret x",
        "tls-key-file-pass secret x", "user me on >secret +@all", "tls-client-key-file-pass \"secret",
    };
    struct fixture fixture;
    fixture_begin(&fixture);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        cr_expect_not(fixture_apply(&fixture, lines[i]), "%s", lines[i]);
        cr_expect_null(strstr(fixture.problem.text, "secret"), "%s", fixture.problem.text);
        cr_expect_null(strstr(fixture.problem.reason, "secret"), "%s", fixture.problem.reason);
        cr_expect_not_null(strstr(fixture.problem.text, "(redacted)"), "%s", fixture.problem.text);
    }
    fixture_end(&fixture);
}

Test(config_text, a_problem_shows_no_control_characters_and_not_too_much) {
    struct fixture fixture;
    fixture_begin(&fixture);
    char text[1000];
    memset(text, 'x', sizeof text);
    cr_assert_not(config_apply_text(&fixture.config, text, sizeof text, NULL, &fixture.problem));
    cr_assert_eq(strlen(fixture.problem.text), CONFIG_ERROR_SIZE - 1);
    cr_assert_not(fixture_apply(&fixture, "port a\x1b[0m"));
    cr_assert_str_eq(fixture.problem.text, "port a?[0m");
    fixture_end(&fixture);
}

Test(config_text, zero_bytes_are_refused_wherever_they_are) {
    static const struct {
        const char *text;
        size_t size;
    } texts[] = {
#define TEXT(text) {text, sizeof text - 1}
        TEXT("requirepass \"a\\x00b\""),
        TEXT("requirepass a\0b"),
        TEXT("requirepass a\0"),
        TEXT("\0"),
        TEXT("port\0 5"),
        TEXT("save \"1 1\\x00\""),
        TEXT("include \"a\\x00b\""),
#undef TEXT
    };
    struct fixture fixture;
    fixture_begin(&fixture);
    struct config_files files = {NULL, fixture_read_file};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_expect_not(
            config_apply_text(&fixture.config, texts[i].text, texts[i].size, &files, &fixture.problem), "%zu",
            i);
    fixture_end(&fixture);
}

Test(config_text, more_words_than_any_directive_has_are_refused) {
    struct fixture fixture;
    fixture_begin(&fixture);
    char text[512] = "bind";
    for (int i = 0; i < 90; i++)
        strcat(text, " a");
    cr_assert_not(fixture_apply(&fixture, text));
    cr_assert_str_eq(fixture.problem.reason, "too many words");
    fixture_end(&fixture);
}

/* ---- directives ---- */

Test(config_text, lists_may_be_several_words_or_one) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(fixture_apply(&fixture, "bind 127.0.0.1 -::1 *\nlatency-tracking-info-percentiles 1 2\n"));
    cr_assert_str_eq(fixture_get(&fixture, "bind *percentiles"),
                     "bind=127.0.0.1 -::1 *\nlatency-tracking-info-percentiles=1 2\n");
    cr_assert(fixture_apply(&fixture, "bind \"::1 10.0.0.1\"\nlatency-tracking-info-percentiles \"\"\n"));
    cr_assert_str_eq(fixture_get(&fixture, "bind *percentiles"),
                     "bind=::1 10.0.0.1\nlatency-tracking-info-percentiles=\n");
    cr_assert(fixture_apply(&fixture, "bind\n"));
    cr_assert_eq(fixture.config.bind_count, 0);
    cr_assert(fixture_apply(&fixture, "shutdown-on-sigterm nosave now\n"));
    cr_assert_str_eq(fixture_get(&fixture, "shutdown-on-sigterm"), "shutdown-on-sigterm=nosave now\n");
    fixture_end(&fixture);
}

Test(config_text, save_lines_add_up_and_an_empty_one_drops_all) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(fixture_apply(&fixture, "save 900 1\nsave 60 10000\n"));
    cr_assert_str_eq(fixture_get(&fixture, "save"), "save=900 1 60 10000\n");
    cr_assert(fixture_apply(&fixture, "save \"5 6 7 8\"\n"));
    cr_assert_str_eq(fixture_get(&fixture, "save"), "save=900 1 60 10000 5 6 7 8\n");
    cr_assert(fixture_apply(&fixture, "save 1 1\nsave ''\n"));
    cr_assert_str_eq(fixture_get(&fixture, "save"), "save=\n");
    cr_assert(fixture_apply(&fixture, "save 3 0\n"));
    cr_assert_str_eq(fixture_get(&fixture, "save"), "save=3 0\n");
    cr_assert(SET(&fixture, "save", "4 4"));
    cr_assert_str_eq(fixture_get(&fixture, "save"), "save=4 4\n");
    fixture_end(&fixture);
}

Test(config_text, output_limits_are_set_for_each_class_of_clients) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(fixture_apply(&fixture, "client-output-buffer-limit normal 0 0 0\n"
                                      "client-output-buffer-limit REPLICA 256mb 64mb 10 pubsub 1k 2kb 3\n"));
    cr_assert_str_eq(
        fixture_get(&fixture, "client-output*"),
        "client-output-buffer-limit=normal 0 0 0 slave 268435456 67108864 10 pubsub 1000 2048 3\n");
    fixture_end(&fixture);
}

Test(config_text, permissions_of_the_socket_are_octal) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(fixture_apply(&fixture, "unixsocket /tmp/a\nunixsocketperm 770\n"));
    cr_assert_eq(fixture.config.unixsocketperm, 0770);
    cr_assert_str_eq(fixture_get(&fixture, "unixsocket*"), "unixsocket=/tmp/a\nunixsocketperm=770\n");
    fixture_end(&fixture);
}

Test(config_text, what_would_promise_what_the_server_does_not_do_is_fatal) {
    static const char *const lines[] = {
        "appendonly yes",          "replicaof 127.0.0.1 6379",
        "slaveof 127.0.0.1 6379",  "min-slaves-to-write 2",
        "tls-port 6380",           "tls-cluster yes",
        "tls-replication yes",     "aclfile /etc/users.acl",
        "user me on nopass +@all", "rename-command CONFIG \"\"",
        "loadmodule /lib/a.so",    "databases 4",
        "min-replicas-to-write 1",
    };
    struct fixture fixture;
    fixture_begin(&fixture);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        cr_expect_not(fixture_apply(&fixture, lines[i]), "%s", lines[i]);
        cr_expect_not_null(strstr(fixture.problem.reason, "this server"), "%s", fixture.problem.reason);
    }
    cr_expect(fixture_apply(&fixture, "appendonly no\nreplicaof no one\ntls-port 0\ntls-cluster no\n"
                                      "aclfile \"\"\ndatabases 16\nmin-replicas-to-write 0\n"));
    fixture_end(&fixture);
}

static const char *warnings(struct fixture *fixture) {
    cr_assert(buffer_append_byte(&fixture->config.warnings, 0));
    fixture->config.warnings.size--;
    return (const char *)fixture->config.warnings.data;
}

Test(config_text, what_has_no_effect_is_warned_of_once) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(fixture_apply(&fixture, "maxmemory-policy allkeys-lru\nsave 900 1\nsave 300 10\n"
                                      "notify-keyspace-events Ex\nmaxmemory-clients 5%\n"));
    cr_assert_str_eq(
        warnings(&fixture),
        "maxmemory-policy allkeys-lru has no effect: this server does not evict keys, its policy stays noeviction\n"
        "notify-keyspace-events has no effect: this server sends no keyspace events\n"
        "maxmemory-clients has no effect: see client-output-buffer-limit and client-query-buffer-limit\n");
    cr_assert_str_eq(fixture_get(&fixture, "maxmemory-policy"), "maxmemory-policy=noeviction\n");
    /* Warnings of an earlier text stay, those of a text that is refused are not added. */
    cr_assert_not(fixture_apply(&fixture, "maxmemory-policy volatile-ttl\nport x\n"));
    cr_assert_null(strstr(warnings(&fixture), "volatile-ttl"));
    cr_assert_not_null(strstr(warnings(&fixture), "allkeys-lru"));
    buffer_clear(&fixture.config.warnings);
    cr_assert(
        fixture_apply(&fixture, "save \"\"\nnotify-keyspace-events \"\"\nmaxmemory-policy noeviction\n"));
    cr_assert_eq(fixture.config.warnings.size, 0);
    fixture_end(&fixture);
}

/* ---- include ---- */

Test(config_text, include_reads_a_file_in_its_place) {
    static const struct file files[] = {{"a.conf", "timeout 1\nhz 60\ninclude b.conf\nport 3"},
                                        {"b.conf", "port 2\nmaxclients 9\n"},
                                        {NULL, NULL}};
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(fixture_apply_with(&fixture, "hz 50\ninclude a.conf\ntimeout 2\n", files));
    cr_assert_str_eq(fixture_get(&fixture, "timeout hz port maxclients"),
                     "port=3\ntimeout=2\nmaxclients=9\nhz=60\n");
    fixture_end(&fixture);
}

Test(config_text, a_problem_in_an_included_file_names_it_and_its_line) {
    static const struct file files[] = {{"a.conf", "timeout 1\n\nhz x\n"}, {NULL, NULL}};
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert_not(fixture_apply_with(&fixture, "hz 50\ninclude a.conf\n", files));
    cr_assert_eq(fixture.problem.line, 3);
    cr_assert_str_eq(fixture.problem.text, "hz x");
    cr_assert_str_eq(fixture.problem.reason,
                     "argument couldn't be parsed into an integer (in the included file 'a.conf')");
    cr_assert_eq(fixture.config.hz, 10);
    fixture_end(&fixture);
}

Test(config_text, an_include_that_cannot_be_read_is_a_problem) {
    static const struct file files[] = {{"b.conf", "include a.conf\n"}, {NULL, NULL}};
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert_not(fixture_apply_with(&fixture, "port 1\ninclude a.conf\n", files));
    cr_assert_eq(fixture.problem.line, 2);
    cr_assert_str_eq(fixture.problem.reason, "there is no file 'a.conf'");
    cr_assert_not(fixture_apply_with(&fixture, "include b.conf\n", files));
    cr_assert_str_eq(fixture.problem.reason, "there is no file 'a.conf' (in the included file 'b.conf')");
    cr_assert_not(config_apply_text(&fixture.config, "include a.conf", 14, NULL, &fixture.problem));
    fixture_end(&fixture);
}

Test(config_text, a_file_that_includes_itself_is_a_problem) {
    static const struct file files[] = {{"a.conf", "timeout 1\ninclude a.conf\n"}, {NULL, NULL}};
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert_not(fixture_apply_with(&fixture, "include a.conf\n", files));
    cr_assert_str_eq(fixture.problem.text, "include a.conf");
    cr_assert_eq(fixture.config.timeout_s, 0);
    fixture_end(&fixture);
}

/* ---- failing memory ---- */

Test(config_text, a_text_survives_a_failure_of_any_allocation_and_changes_nothing_then) {
    static const struct file files[] = {
        {"a.conf", "logfile /var/log/x\nbind ::1\nnotify-keyspace-events KEA\n"}, {NULL, NULL}};
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(fixture_apply(&fixture, "bind 1.1.1.1 2.2.2.2\nmasterauth x\nsave 1 1\n"));
    size_t used = fixture.mem.used_bytes, warned = fixture.config.warnings.size;
    uint64_t fuse = 1;
    for (;; fuse++) {
        cr_assert_lt(fuse, 10000);
        fixture.mem.fuse = fuse;
        bool done = fixture_apply_with(&fixture,
                                       "bind 3.3.3.3\ninclude a.conf\nmaxmemory-policy allkeys-lru\n"
                                       "masterauth \"\"\nsave \"2 2\"\n",
                                       files);
        fixture.mem.fuse = 0;
        if (done)
            break;
        /* An include whose text finds no room says so in its own words. */
        cr_assert(strstr(fixture.problem.reason, "out of memory") != NULL ||
                      strstr(fixture.problem.reason, "can't read the included file") != NULL,
                  "%s", fixture.problem.reason);
        cr_assert_str_eq(fixture_get(&fixture, "bind masterauth save logfile"),
                         "bind=1.1.1.1 2.2.2.2\nsave=1 1\nlogfile=\nmasterauth=x\n");
        cr_assert_eq(fixture.config.warnings.size, warned);
        /* The buffer of warnings may have grown; nothing else may. */
        cr_assert_leq(fixture.mem.used_bytes, used + 1024);
    }
    cr_assert_gt(fuse, 20);
    cr_assert_str_eq(fixture_get(&fixture, "bind masterauth save logfile"),
                     "bind=::1\nsave=1 1 2 2\nlogfile=/var/log/x\nmasterauth=\n");
    fixture_end(&fixture);
}

/* ---- the command line ---- */

static const char *arguments_to_text(struct fixture *fixture, struct buffer *text, const char *const *words) {
    char *arguments[16];
    int count = 0;
    for (; words[count] != NULL; count++)
        arguments[count] = (char *)(uintptr_t)words[count];
    buffer_init(text, &fixture->mem);
    cr_assert(config_arguments_to_text(count, arguments, text));
    cr_assert(buffer_append_byte(text, 0));
    return (const char *)text->data;
}

#define EXPECT_TEXT(wanted, ...)                                                           \
    do {                                                                                   \
        struct buffer text_;                                                               \
        cr_expect_str_eq(arguments_to_text(&fixture, &text_, WORDS(__VA_ARGS__)), wanted); \
        buffer_release(&text_);                                                            \
    } while (0)

Test(config_text, the_command_line_becomes_lines) {
    struct fixture fixture;
    fixture_begin(&fixture);
    EXPECT_TEXT("port 7000", "--port", "7000");
    EXPECT_TEXT("port 7000\nmaxmemory 100mb\nhz 5", "--port", "7000", "--maxmemory", "100mb", "--hz", "5");
    EXPECT_TEXT("bind 1.1.1.1 -::1\nport 0", "--bind", "1.1.1.1", "-::1", "--port", "0");
    EXPECT_TEXT("save 900 1 300 10\nsave \"\"\nsave \"3600 1\"", "--save", "900", "1", "300", "10", "--save",
                "", "--save", "3600 1");
    EXPECT_TEXT("requirepass \"two words \\\"\\\\\\n\\x01#\"", "--requirepass", "two words \"\\\n\x01#");
    EXPECT_TEXT("port 6380\nhz 5", "--port 6380", "--hz 5");
    EXPECT_TEXT("extra\nport 1", "extra", "--port", "1");
    EXPECT_TEXT("-port 1", "---port", "1");
    fixture_end(&fixture);
}

Test(config_text, the_word_behind_a_name_is_its_value_but_save_may_go_without) {
    struct fixture fixture;
    fixture_begin(&fixture);
    EXPECT_TEXT("requirepass --foo\nport 1", "--requirepass", "--foo", "--port", "1");
    EXPECT_TEXT("port --save", "--port", "--save");
    EXPECT_TEXT("loglevel", "--loglevel");
    EXPECT_TEXT("save \"\"\nport 0", "--save", "--port", "0");
    EXPECT_TEXT("port 0\nsave \"\"", "--port", "0", "--save");
    fixture_end(&fixture);
}

Test(config_text, the_command_line_wins_over_the_file) {
    struct fixture fixture;
    struct buffer text;
    fixture_begin(&fixture);
    cr_assert(fixture_apply(&fixture, "port 1\nsave 900 1\nrequirepass x\n"));
    const char *lines = arguments_to_text(
        &fixture, &text, WORDS("--port", "2", "--save", "", "--requirepass", "\xc3\xa9 '\""));
    cr_assert(fixture_apply(&fixture, lines), "%s", fixture.problem.reason);
    buffer_release(&text);
    cr_assert_str_eq(fixture_get(&fixture, "port save requirepass"),
                     "port=2\nrequirepass=\xc3\xa9 '\"\nsave=\n");
    fixture_end(&fixture);
}

Test(config_text, the_command_line_without_memory_is_refused) {
    struct mem mem = {.fuse = 1, .fuse_stays_blown = true};
    struct buffer text;
    char *arguments[] = {(char[]){"--port"}, (char[]){"1"}};
    buffer_init(&text, &mem);
    cr_assert_not(config_arguments_to_text(2, arguments, &text));
    buffer_release(&text);
}
