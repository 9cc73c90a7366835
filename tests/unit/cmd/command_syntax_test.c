/* command_syntax_test.c - the notation of the syntax texts becomes the tree that it means.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/command.h"
#include "cmd/command_syntax.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* The tree as a line: values as words, tokens in quotes before what they belong to, {} around blocks, () around
 * choices; behind an argument ? if it is optional, * if it is multiple, + if its token is so too. */
static size_t print(const struct command_syntax *syntax, unsigned node, char *line, size_t size, size_t at) {
    const struct command_syntax_node *n = &syntax->nodes[node];
    if (n->token != NULL)
        at += (size_t)snprintf(line + at, size - at, "'%.*s'", n->token_size, n->token);
    if (n->kind == SYNTAX_VALUE)
        at += (size_t)snprintf(line + at, size - at, "%.*s", n->name_size, n->name);
    if (n->kind == SYNTAX_BLOCK || n->kind == SYNTAX_ONE_OF) {
        bool choice = n->kind == SYNTAX_ONE_OF;
        at += (size_t)snprintf(line + at, size - at, choice ? "(" : "{");
        for (unsigned part = n->first; part != 0; part = syntax->nodes[part].next) {
            if (part != n->first)
                at += (size_t)snprintf(line + at, size - at, choice ? "|" : " ");
            at = print(syntax, part, line, size, at);
        }
        at += (size_t)snprintf(line + at, size - at, choice ? ")" : "}");
    }
    at +=
        (size_t)snprintf(line + at, size - at, "%s%s%s", n->flags & SYNTAX_OPTIONAL ? "?" : "",
                         n->flags & SYNTAX_MULTIPLE ? "*" : "", n->flags & SYNTAX_MULTIPLE_TOKEN ? "+" : "");
    return at;
}

static void assert_tree(const char *text, const char *expected) {
    struct command_syntax syntax;
    char line[512] = "";
    cr_assert(command_syntax_parse(&syntax, text), "%s", text);
    print(&syntax, 0, line, sizeof line, 0);
    cr_assert_str_eq(line, expected, "\"%s\" became %s, expected %s", text, line, expected);
}

Test(command_syntax, an_empty_text_has_no_arguments) {
    assert_tree("", "{}");
}

Test(command_syntax, values_follow_each_other) {
    assert_tree("key ip:port yes/no unix-time", "{key ip:port yes/no unix-time}");
}

Test(command_syntax, a_token_takes_the_values_behind_it) {
    assert_tree("KEEP", "{'KEEP'}");
    assert_tree("DB number", "{'DB'number}");
    assert_tree("AUTH user password", "{'AUTH'{user password}}");
    assert_tree("TYPE <A | B>", "{'TYPE'('A'|'B')}");
    assert_tree("A B c", "{'A' 'B'c}");
}

Test(command_syntax, brackets_make_arguments_optional) {
    assert_tree("key [GET]", "{key 'GET'?}");
    assert_tree("[NX | XX] [EX seconds | KEEP]", "{('NX'|'XX')? ('EX'seconds|'KEEP')?}");
    assert_tree("key [start end [BYTE | BIT]]", "{key {start end ('BYTE'|'BIT')?}?}");
}

Test(command_syntax, dots_repeat_the_argument_before_them) {
    assert_tree("key ...", "{key*}");
    assert_tree("a [key ...]", "{a key?*}");
    assert_tree("<A x | B y> ...", "{('A'x|'B'y)*}");
    assert_tree("[A x | B y] ...", "{('A'x|'B'y)?*}");
    assert_tree("A x ...", "{'A'x*+}");
}

Test(command_syntax, a_bracket_that_repeats_what_stands_before_it_makes_it_multiple) {
    assert_tree("key [key ...]", "{key*}");
    assert_tree("destkey key [key ...]", "{destkey key*}");
    assert_tree("key value [key value ...]", "{{key value}*}");
    assert_tree("a key value [key value ...] b", "{a {key value}* b}");
    assert_tree("[section [section ...]]", "{section?*}");
    assert_tree("[ID id [id ...]]", "{'ID'id?*}");
    assert_tree("[GET type offset [GET type offset ...]]", "{'GET'{type offset}?*+}");
    assert_tree("PREFIX p [PREFIX p ...]", "{'PREFIX'p*+}");
}

Test(command_syntax, a_bracket_that_only_ends_alike_is_an_argument_of_its_own) {
    assert_tree("newkey [key ...]", "{newkey key?*}");
    assert_tree("key value [value key ...]", "{key value {value key*}?}");
}

Test(command_syntax, refuses_what_is_not_in_the_notation) {
    static const char *const bad[] = {"[",       "]",    "<",    "a |", "a | b",    "<>",  "[]",
                                      "<a |>",   "...",  "a ..", "a #", "<a]",      "[a>", "TYPE <A",
                                      "A <B c>", "a [b", "| a",  "\n",  "<a | | b>"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct command_syntax syntax;
        cr_assert(!command_syntax_parse(&syntax, bad[i]), "\"%s\" was taken", bad[i]);
    }
}

Test(command_syntax, refuses_what_is_too_deep_or_too_long) {
    struct command_syntax syntax;
    char text[512] = "";
    for (unsigned depth = 1; depth <= COMMAND_SYNTAX_DEPTH_MAX + 1; depth++) {
        snprintf(text, sizeof text, "%.*sa%.*s", (int)depth, "[[[[[[[[[[[[", (int)depth, "]]]]]]]]]]]]");
        cr_assert_eq(command_syntax_parse(&syntax, text), depth <= COMMAND_SYNTAX_DEPTH_MAX, "%s", text);
    }
    for (unsigned words = 1; words <= COMMAND_SYNTAX_NODES_MAX; words++) {
        size_t size = 0;
        for (unsigned i = 0; i < words; i++)
            size += (size_t)snprintf(text + size, sizeof text - size, "a ");
        cr_assert_eq(command_syntax_parse(&syntax, text), words < COMMAND_SYNTAX_NODES_MAX, "%u words",
                     words);
    }
}

/* Running out of nodes in the middle of any construct must not damage the tree's links: all cuts of a long text. */
Test(command_syntax, survives_any_text_that_fills_the_tree) {
    static const char unit[] = "[A <B | c [d e ...]> | f g [f g ...]] ";
    char text[1024] = "";
    for (size_t size = 0; size + sizeof unit < sizeof text; size += sizeof unit - 1)
        memcpy(text + size, unit, sizeof unit);
    for (size_t cut = strlen(text); cut > 0; cut--) {
        struct command_syntax syntax;
        text[cut] = '\0';
        if (command_syntax_parse(&syntax, text))
            cr_assert_gt(command_syntax_parts(&syntax, 0), 0);
        cr_assert_leq(syntax.count, COMMAND_SYNTAX_NODES_MAX);
        for (unsigned i = 0; i < syntax.count; i++)
            cr_assert(syntax.nodes[i].first < COMMAND_SYNTAX_NODES_MAX &&
                      syntax.nodes[i].next < COMMAND_SYNTAX_NODES_MAX);
    }
}

Test(command_syntax, reads_every_row_of_the_table) {
    for (unsigned id = 0; id < COMMAND_COUNT; id++) {
        struct command_syntax syntax;
        const struct command *command = command_by_id(id);
        cr_assert(command_syntax_parse(&syntax, command->syntax), "%s: %s", command->name, command->syntax);
        cr_assert_eq(command_syntax_parts(&syntax, 0) == 0, *command->syntax == '\0', "%s", command->name);
    }
}
