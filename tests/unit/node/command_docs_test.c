/* command_docs_test.c - COMMAND's replies have the shapes that clients read, in both protocols.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/mem.h"
#include "node/command_docs.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 16

static struct mem mem;
static struct command_index *command_names;
static struct buffer out;
static struct reply reply;

static void set_up(void) {
    mem = (struct mem){0};
    command_names = command_index_new(&mem);
    cr_assert_not_null(command_names);
    buffer_init(&out, &mem);
    reply = (struct reply){.out = &out, .protocol = 2};
}

static void tear_down(void) {
    buffer_release(&out);
    command_index_free(&mem, command_names);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(command_docs, .init = set_up, .fini = tear_down);

/* ---- Asking ---- */

static void dispatch(const struct argument *argv, uint32_t argc) {
    const struct command *container = command_by_id(COMMAND_ID_COMMAND);
    const struct command *row =
        argc == 1 ? container : command_find_subcommand(container, argv[1].data, argv[1].size);
    cr_assert_not_null(row);
    cr_assert(command_arity_fits(row, argc));
    switch (row->id) {
    case COMMAND_ID_COMMAND: command_docs_all(&reply); break;
    case COMMAND_ID_COMMAND_COUNT: command_docs_count(&reply); break;
    case COMMAND_ID_COMMAND_INFO: command_docs_info(&reply, command_names, argv, argc); break;
    case COMMAND_ID_COMMAND_DOCS: command_docs_docs(&reply, command_names, argv, argc); break;
    case COMMAND_ID_COMMAND_LIST: command_docs_list(&reply, argv, argc); break;
    case COMMAND_ID_COMMAND_GETKEYS: command_docs_getkeys(&reply, command_names, argv, argc, false); break;
    case COMMAND_ID_COMMAND_GETKEYSANDFLAGS:
        command_docs_getkeys(&reply, command_names, argv, argc, true);
        break;
    case COMMAND_ID_COMMAND_HELP: command_docs_help(&reply, container); break;
    default: cr_assert_fail("a subcommand of COMMAND that nobody answers");
    }
}

/* Runs a request of words between single spaces; the reply is in `out`, with a zero byte behind it. */
static const char *ask(int protocol, const char *request) {
    struct argument argv[WORDS_MAX];
    uint32_t argc = 0;
    for (const char *at = request; at != NULL; at = strchr(at, ' ')) {
        at += argc != 0;
        cr_assert_lt(argc, WORDS_MAX);
        argv[argc++] = (struct argument){.data = (const uint8_t *)at, .size = (uint32_t)strcspn(at, " ")};
    }
    buffer_clear(&out);
    reply.protocol = (uint8_t)protocol;
    dispatch(argv, argc);
    cr_assert(reply_is_complete(&reply));
    cr_assert(buffer_append_byte(&out, 0));
    out.size--;
    return (const char *)out.data;
}

static void assert_reply(int protocol, const char *request, const char *expected) {
    cr_assert_str_eq(ask(protocol, request), expected, "%s", request);
}

/* ---- Reading replies ---- */

/* Behind the value that begins at `at`, which is checked to be well-formed; maps and sets count in *typed. */
static const char *skip_value(const char *at, unsigned *typed) {
    char type = *at;
    char *end;
    long count = strtol(at + 1, &end, 10);
    if (type == '+' || type == '-')
        return strstr(at, "\r\n") + 2;
    if (type == '_') {
        cr_assert_eq(strncmp(at, "_\r\n", 3), 0);
        return at + 3;
    }
    cr_assert_eq(strncmp(end, "\r\n", 2), 0, "no header: %.20s", at);
    end += 2;
    if (type == ':' || count < 0)
        return end;
    if (type == '$') {
        cr_assert_eq(strncmp(end + count, "\r\n", 2), 0, "a bulk of another size: %.40s", at);
        return end + count + 2;
    }
    cr_assert(type == '*' || type == '%' || type == '~', "an unknown type: %.20s", at);
    *typed += type != '*';
    for (long i = 0; i < (type == '%' ? 2 * count : count); i++)
        end = (char *)skip_value(end, typed);
    return end;
}

static unsigned assert_well_formed(void) {
    unsigned typed = 0;
    cr_assert_eq(skip_value((const char *)out.data, &typed), (const char *)out.data + out.size,
                 "not exactly one reply");
    return typed;
}

static unsigned count_of(const char *text, const char *part) {
    unsigned count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part))
        count++;
    return count;
}

#define ASSERT_HAS(text, part) cr_assert_not_null(strstr(text, part), "\"%s\" is not in %.4000s", part, text)

#define ASSERT_BEGINS(text, part) \
    cr_assert_eq(strncmp(text, part, strlen(part)), 0, "\"%s\" does not begin %.400s", part, text)

/* ---- COMMAND, COUNT, INFO ---- */

#define GET_2                                                                                                        \
    "*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@read\r\n+@string\r\n+@fast\r\n" \
    "*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\n"     \
    "index\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\n" \
    "spec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n"
#define GET_3                                                                                                        \
    "*10\r\n$3\r\nget\r\n:2\r\n~2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n~3\r\n+@read\r\n+@string\r\n+@fast\r\n" \
    "~0\r\n~1\r\n%3\r\n$5\r\nflags\r\n~2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n%2\r\n$4\r\ntype\r\n$5\r\n"     \
    "index\r\n$4\r\nspec\r\n%1\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n%2\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\n" \
    "spec\r\n%3\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n~0\r\n"

Test(command_docs, info_describes_a_command_as_redis_does) {
    assert_reply(2, "COMMAND INFO get", "*1\r\n" GET_2);
    assert_reply(3, "COMMAND INFO GeT", "*1\r\n" GET_3);
}

Test(command_docs, info_answers_null_for_what_is_unknown) {
    assert_reply(2, "COMMAND INFO nosuch get client|nosuch", "*3\r\n$-1\r\n" GET_2 "$-1\r\n");
    assert_reply(3, "COMMAND INFO get| |get client||list nosuch", "*4\r\n_\r\n_\r\n_\r\n_\r\n");
}

Test(command_docs, info_shows_tips_and_notes) {
    ASSERT_HAS(ask(2, "COMMAND INFO mset"), "*2\r\n$26\r\nrequest_policy:multi_shard\r\n$29\r\n"
                                            "response_policy:all_succeeded\r\n");
    ASSERT_HAS(ask(3, "COMMAND INFO set"), "%4\r\n$5\r\nnotes\r\n$");
}

Test(command_docs, info_nests_subcommands_and_finds_them_by_full_name) {
    const char *text = ask(3, "COMMAND INFO object");
    cr_assert_eq(count_of(text, "\r\nobject"), 6);
    ASSERT_HAS(text, "~1\r\n+@slow\r\n~0\r\n~0\r\n*5\r\n*10\r\n$15\r\nobject|encoding\r\n:3\r\n");
    assert_well_formed();
    text = ask(2, "COMMAND INFO OBJECT|Encoding");
    ASSERT_BEGINS(text, "*1\r\n*10\r\n$15\r\nobject|encoding\r\n:3\r\n");
}

Test(command_docs, flags_come_in_the_order_that_redis_prints) {
    ASSERT_HAS(ask(2, "COMMAND INFO shutdown"),
               "*6\r\n+admin\r\n+noscript\r\n+loading\r\n+stale\r\n+no_multi\r\n+allow_busy\r\n");
    ASSERT_HAS(ask(2, "COMMAND INFO auth"),
               "*6\r\n+noscript\r\n+loading\r\n+stale\r\n+fast\r\n+no_auth\r\n+allow_busy\r\n");
    ASSERT_HAS(ask(2, "COMMAND INFO client|list"),
               "*4\r\n+@admin\r\n+@slow\r\n+@dangerous\r\n+@connection\r\n");
}

Test(command_docs, command_alone_and_info_without_names_describe_every_command) {
    unsigned top_level = 0;
    for (unsigned id = 0; id < COMMAND_COUNT; id++)
        top_level += command_by_id(id)->parent == id;
    for (int protocol = 2; protocol <= 3; protocol++) {
        const char *text = ask(protocol, "COMMAND");
        cr_assert_eq((unsigned)atoi(text + 1), top_level);
        cr_assert_eq(count_of(text, "*10\r\n"), COMMAND_COUNT);
        cr_assert_eq(assert_well_formed() != 0, protocol == 3);
        char *all = strdup(text);
        assert_reply(protocol, "COMMAND INFO", all);
        free(all);
    }
    char count[16];
    snprintf(count, sizeof count, ":%u\r\n", top_level);
    assert_reply(2, "COMMAND COUNT", count);
}

/* ---- DOCS ---- */

#define FIELD(name, value) name "\r\n" value "\r\n"

Test(command_docs, docs_describe_arguments) {
    const char *text = ask(3, "COMMAND DOCS getset");
    ASSERT_BEGINS(text, "%1\r\n$6\r\ngetset\r\n%5\r\n$7\r\nsummary\r\n");
    ASSERT_HAS(text, FIELD("$5\r\nsince", "$5\r\n1.0.0"));
    ASSERT_HAS(text, FIELD("$5\r\ngroup", "$6\r\nstring"));
    ASSERT_HAS(text, FIELD("$10\r\ncomplexity", "$4\r\nO(1)"));
    ASSERT_HAS(
        text,
        "$9\r\narguments\r\n*2\r\n"
        "%4\r\n$4\r\nname\r\n$3\r\nkey\r\n$4\r\ntype\r\n$3\r\nkey\r\n$12\r\ndisplay_text\r\n$3\r\nkey\r\n"
        "$14\r\nkey_spec_index\r\n:0\r\n"
        "%3\r\n$4\r\nname\r\n$5\r\nvalue\r\n$4\r\ntype\r\n$6\r\nstring\r\n$12\r\ndisplay_text\r\n$5\r\n"
        "value\r\n");
    assert_well_formed();
}

Test(command_docs, docs_describe_choices_tokens_and_flags) {
    const char *text = ask(3, "COMMAND DOCS expire");
    ASSERT_HAS(
        text,
        "%4\r\n$4\r\nname\r\n$11\r\nnx_xx_gt_lt\r\n$4\r\ntype\r\n$5\r\noneof\r\n$5\r\nflags\r\n~1\r\n+optional\r\n"
        "$9\r\narguments\r\n*4\r\n"
        "%4\r\n$4\r\nname\r\n$2\r\nnx\r\n$4\r\ntype\r\n$10\r\npure-token\r\n$12\r\ndisplay_text\r\n$2\r\nnx\r\n"
        "$5\r\ntoken\r\n$2\r\nNX\r\n");
    text = ask(2, "COMMAND DOCS bitfield_ro");
    ASSERT_HAS(
        text,
        "$15\r\nencoding_offset\r\n$4\r\ntype\r\n$5\r\nblock\r\n$5\r\ntoken\r\n$3\r\nGET\r\n$5\r\nflags\r\n*3\r\n"
        "+optional\r\n+multiple\r\n+multiple_token\r\n$9\r\narguments\r\n*2\r\n");
    text = ask(2, "COMMAND DOCS restore");
    ASSERT_HAS(
        text,
        "*10\r\n$4\r\nname\r\n$7\r\nseconds\r\n$4\r\ntype\r\n$7\r\ninteger\r\n$12\r\ndisplay_text\r\n$7\r\n"
        "seconds\r\n$5\r\ntoken\r\n$8\r\nIDLETIME\r\n$5\r\nflags\r\n*1\r\n+optional\r\n");
}

Test(command_docs, docs_know_types_that_depend_on_the_command) {
    ASSERT_HAS(ask(2, "COMMAND DOCS incrbyfloat"), FIELD("$4\r\ntype", "$6\r\ndouble"));
    ASSERT_HAS(ask(2, "COMMAND DOCS incrby"), FIELD("$4\r\ntype", "$7\r\ninteger"));
    ASSERT_HAS(ask(2, "COMMAND DOCS setbit"), "$5\r\nvalue\r\n$4\r\ntype\r\n$7\r\ninteger\r\n");
    ASSERT_HAS(ask(2, "COMMAND DOCS keys"), FIELD("$4\r\ntype", "$7\r\npattern"));
    ASSERT_HAS(ask(2, "COMMAND DOCS expireat"), FIELD("$4\r\ntype", "$9\r\nunix-time"));
}

Test(command_docs, docs_point_keys_to_their_specifications) {
    const char *text = ask(2, "COMMAND DOCS rename");
    cr_assert_eq(count_of(text, "key_spec_index\r\n:0\r\n"), 1);
    cr_assert_eq(count_of(text, "key_spec_index\r\n:1\r\n"), 1);
    text = ask(2, "COMMAND DOCS lcs"); /* two keys, one range */
    cr_assert_eq(count_of(text, "key_spec_index\r\n:0\r\n"), 2);
}

Test(command_docs, arguments_of_type_key_and_key_specifications_go_together) {
    for (unsigned id = 0; id < COMMAND_COUNT; id++) {
        char request[64];
        snprintf(request, sizeof request, "COMMAND DOCS %s", command_by_id(id)->name);
        const char *text = ask(2, request);
        unsigned keys = count_of(text, "$14\r\nkey_spec_index\r\n");
        if (!(command_by_id(id)->flags &
              COMMAND_CONTAINER)) /* whose subcommands' keys are in the text, too */
            cr_assert(command_by_id(id)->key_specification_count == 0
                          ? keys == 0
                          : keys >= command_by_id(id)->key_specification_count,
                      "%s", request);
        assert_well_formed();
    }
}

Test(command_docs, docs_nest_subcommands_and_find_them_by_full_name) {
    const char *text = ask(3, "COMMAND DOCS slowlog");
    ASSERT_BEGINS(text, "%1\r\n$7\r\nslowlog\r\n%5\r\n");
    ASSERT_HAS(text, "$11\r\nsubcommands\r\n%4\r\n$11\r\nslowlog|get\r\n%5\r\n");
    assert_well_formed();
    ASSERT_BEGINS(ask(3, "COMMAND DOCS slowlog|len"), "%1\r\n$11\r\nslowlog|len\r\n%4\r\n");
}

Test(command_docs, docs_leave_unknown_names_out_and_repeat_nothing) {
    assert_reply(2, "COMMAND DOCS nosuch", "*0\r\n");
    assert_reply(3, "COMMAND DOCS nosuch client|nosuch", "%0\r\n");
    const char *text = ask(3, "COMMAND DOCS strlen nosuch get STRLEN get");
    ASSERT_BEGINS(text, "%2\r\n$6\r\nstrlen\r\n");
    ASSERT_HAS(text, "\r\n$3\r\nget\r\n%5\r\n");
    assert_well_formed();
}

Test(command_docs, docs_without_names_describe_every_command) {
    for (int protocol = 2; protocol <= 3; protocol++) {
        const char *text = ask(protocol, "COMMAND DOCS");
        cr_assert_eq(count_of(text, "\r\n$10\r\ncomplexity\r\n"), COMMAND_COUNT);
        cr_assert_eq(assert_well_formed() != 0, protocol == 3);
    }
}

/* ---- LIST ---- */

Test(command_docs, list_names_all_commands_and_subcommands) {
    const char *text = ask(2, "COMMAND LIST");
    cr_assert_eq(atoi(text + 1), COMMAND_COUNT);
    ASSERT_HAS(text, "\r\n$11\r\nclient|list\r\n");
    assert_well_formed();
}

Test(command_docs, list_filters_by_category) {
    const char *text = ask(2, "COMMAND LIST filterby aclcat BITMAP");
    ASSERT_BEGINS(text, "*7\r\n");
    ASSERT_HAS(text, "\r\n$11\r\nbitfield_ro\r\n");
    assert_reply(2, "COMMAND LIST FILTERBY ACLCAT nosuch", "*0\r\n");
    assert_reply(2, "COMMAND LIST FILTERBY ACLCAT @bitmap", "*0\r\n");
    assert_reply(2, "COMMAND LIST FILTERBY ACLCAT scripting", "*0\r\n");
}

Test(command_docs, list_filters_by_pattern_in_any_case) {
    assert_reply(2, "COMMAND LIST FILTERBY PATTERN GET", "*1\r\n$3\r\nget\r\n");
    assert_reply(2, "COMMAND LIST FILTERBY PATTERN slowlog|[lr]e*",
                 "*2\r\n$11\r\nslowlog|len\r\n$13\r\nslowlog|reset\r\n");
    assert_reply(2, "COMMAND LIST FILTERBY PATTERN nosuch*", "*0\r\n");
}

Test(command_docs, list_knows_no_modules) {
    assert_reply(2, "COMMAND LIST FILTERBY MODULE get", "*0\r\n");
}

Test(command_docs, list_refuses_other_words) {
    static const char *const bad[] = {"COMMAND LIST x",
                                      "COMMAND LIST FILTERBY",
                                      "COMMAND LIST FILTERBY PATTERN",
                                      "COMMAND LIST FILTERBY NAME x",
                                      "COMMAND LIST BY PATTERN x",
                                      "COMMAND LIST FILTERBY PATTERN x y"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_reply(2, bad[i], "-ERR syntax error\r\n");
}

/* ---- GETKEYS ---- */

Test(command_docs, getkeys_returns_the_keys_of_a_request) {
    assert_reply(2, "COMMAND GETKEYS get k", "*1\r\n$1\r\nk\r\n");
    assert_reply(3, "COMMAND GETKEYS MSET a 1 b 2 c", "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
    assert_reply(2, "COMMAND GETKEYS object encoding k", "*1\r\n$1\r\nk\r\n");
    assert_reply(2, "COMMAND GETKEYS bitop and x y z", "*3\r\n$1\r\nx\r\n$1\r\ny\r\n$1\r\nz\r\n");
}

Test(command_docs, getkeys_says_why_there_are_none) {
    assert_reply(2, "COMMAND GETKEYS nosuch k", "-ERR Invalid command specified\r\n");
    assert_reply(2, "COMMAND GETKEYS object|encoding k", "-ERR Invalid command specified\r\n");
    assert_reply(2, "COMMAND GETKEYS object nosuch", "-ERR Invalid command specified\r\n");
    assert_reply(2, "COMMAND GETKEYS ping k", "-ERR The command has no key arguments\r\n");
    assert_reply(2, "COMMAND GETKEYS client list", "-ERR The command has no key arguments\r\n");
    assert_reply(2, "COMMAND GETKEYS get a b", "-ERR Invalid number of arguments specified for command\r\n");
    assert_reply(2, "COMMAND GETKEYS object encoding",
                 "-ERR Invalid number of arguments specified for command\r\n");
}

Test(command_docs, getkeysandflags_adds_what_is_done_with_each_key) {
    assert_reply(
        2, "COMMAND GETKEYSANDFLAGS rename a b",
        "*2\r\n*2\r\n$1\r\na\r\n*3\r\n+RW\r\n+access\r\n+delete\r\n*2\r\n$1\r\nb\r\n*2\r\n+OW\r\n+update\r\n");
    assert_reply(3, "COMMAND GETKEYSANDFLAGS get a", "*1\r\n*2\r\n$1\r\na\r\n~2\r\n+RO\r\n+access\r\n");
}

#define KEY_K            "*1\r\n*2\r\n$1\r\nk\r\n"
#define OVERWRITES       KEY_K "*2\r\n+OW\r\n+update\r\n"
#define READS_AND_WRITES KEY_K "*3\r\n+RW\r\n+access\r\n+update\r\n"
#define ONLY_READS       KEY_K "*2\r\n+RO\r\n+access\r\n"

Test(command_docs, key_flags_of_set_depend_on_get) {
    assert_reply(2, "COMMAND GETKEYSANDFLAGS set k v", OVERWRITES);
    assert_reply(2, "COMMAND GETKEYSANDFLAGS set k get", OVERWRITES); /* that is the value */
    assert_reply(2, "COMMAND GETKEYSANDFLAGS set k v xx GeT", READS_AND_WRITES);
    assert_reply(2, "COMMAND GETKEYSANDFLAGS set k v getx", OVERWRITES);
}

Test(command_docs, key_flags_of_bitfield_depend_on_its_operations) {
    assert_reply(2, "COMMAND GETKEYSANDFLAGS bitfield k", ONLY_READS);
    assert_reply(2, "COMMAND GETKEYSANDFLAGS bitfield k get u8 0", ONLY_READS);
    assert_reply(2, "COMMAND GETKEYSANDFLAGS bitfield k overflow wrap GET u8 0", ONLY_READS);
    assert_reply(2, "COMMAND GETKEYSANDFLAGS bitfield k get u8 0 set u8 0 1", READS_AND_WRITES);
    assert_reply(2, "COMMAND GETKEYSANDFLAGS bitfield k get u8", READS_AND_WRITES);
    assert_reply(2, "COMMAND GETKEYSANDFLAGS bitfield k overflow", READS_AND_WRITES);
    assert_reply(2, "COMMAND GETKEYSANDFLAGS bitfield k nosuch get u8 0", READS_AND_WRITES);
}

/* ---- HELP ---- */

Test(command_docs, help_lists_every_subcommand_with_its_syntax) {
    const char *text = ask(2, "COMMAND HELP");
    ASSERT_HAS(
        text,
        "\r\n+COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n+(no subcommand)\r\n");
    ASSERT_HAS(text, "\r\n+GETKEYS command argument [argument ...]\r\n+    ");
    ASSERT_HAS(text, "\r\n+COUNT\r\n");
    assert_well_formed();
    for (unsigned id = 0; id < COMMAND_COUNT; id++) {
        const struct command *container = command_by_id(id);
        if (!(container->flags & COMMAND_CONTAINER))
            continue;
        buffer_clear(&out);
        command_docs_help(&reply, container);
        cr_assert(buffer_append_byte(&out, 0));
        out.size--;
        assert_well_formed();
        ASSERT_HAS((const char *)out.data, "\r\n+HELP\r\n");
        cr_assert_eq(strstr((const char *)out.data, "(no subcommand)") != NULL, container->arity == -1, "%s",
                     container->name);
    }
}

/* ---- No memory ---- */

Test(command_docs, a_reply_without_memory_says_so_and_leaks_nothing) {
    static const char *const requests[] = {"COMMAND",
                                           "COMMAND DOCS",
                                           "COMMAND INFO get object",
                                           "COMMAND LIST",
                                           "COMMAND GETKEYSANDFLAGS mset a b c d",
                                           "COMMAND HELP"};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        bool completed = false;
        for (uint64_t nth = 1; !completed; nth++) {
            struct argument argv[WORDS_MAX];
            uint32_t argc = 0;
            for (const char *at = requests[i]; at != NULL; at = strchr(at, ' ')) {
                at += argc != 0;
                argv[argc++] =
                    (struct argument){.data = (const uint8_t *)at, .size = (uint32_t)strcspn(at, " ")};
            }
            buffer_release(&out);
            mem.fuse = nth;
            mem.fuse_stays_blown = true;
            dispatch(argv, argc);
            completed = reply_is_complete(&reply);
            mem.fuse = 0;
            cr_assert(completed || nth < 64, "%s", requests[i]);
            cr_assert(nth > 1 || !completed, "%s needed no memory", requests[i]);
        }
    }
}
