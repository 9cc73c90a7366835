/* command_syntax.c - reads the notation of command_syntax.h by descent, one function a rule.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/command_syntax.h"

#include <string.h>

/* Node numbers: 0 is the root and can be nobody's part, so it also says "none" and "failed". What is linked to
 * the root by mistake after a failure is a node that nothing else links to; nobody reads the tree then. */
#define NONE 0

struct parser {
    struct command_syntax *out;
    const char *text;
    size_t at;
    unsigned depth;
    bool failed;
};

static unsigned parse_choice(struct parser *parser, char closing);

static unsigned fail(struct parser *parser) {
    parser->failed = true;
    return NONE;
}

static bool is_small(char c) {
    return c >= 'a' && c <= 'z';
}

static bool is_capital(char c) {
    return c >= 'A' && c <= 'Z';
}

static bool is_word(char c) {
    return is_small(c) || is_capital(c) || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == ':' ||
           c == '/';
}

static char peek(struct parser *parser) {
    while (parser->text[parser->at] == ' ')
        parser->at++;
    return parser->text[parser->at];
}

static bool take(struct parser *parser, char c) {
    if (peek(parser) != c)
        return false;
    parser->at++;
    return true;
}

static bool take_dots(struct parser *parser) {
    if (peek(parser) != '.' || strncmp(parser->text + parser->at, "...", 3) != 0)
        return false;
    parser->at += 3;
    return true;
}

static struct command_syntax_node *node_at(struct parser *parser, unsigned node) {
    return &parser->out->nodes[node];
}

static unsigned add_node(struct parser *parser, enum command_syntax_kind kind, size_t start) {
    struct command_syntax *out = parser->out;
    if (out->count == COMMAND_SYNTAX_NODES_MAX)
        return fail(parser);
    out->nodes[out->count] = (struct command_syntax_node){.kind = kind, .start = (uint16_t)start};
    return out->count++;
}

static unsigned last_part(struct parser *parser, unsigned parent) {
    unsigned last = node_at(parser, parent)->first;
    while (last != NONE && node_at(parser, last)->next != NONE)
        last = node_at(parser, last)->next;
    return last;
}

static void append_part(struct parser *parser, unsigned parent, unsigned part) {
    unsigned last = last_part(parser, parent);
    if (last == NONE)
        node_at(parser, parent)->first = (uint8_t)part;
    else
        node_at(parser, last)->next = (uint8_t)part;
}

static size_t take_word(struct parser *parser) {
    size_t start = parser->at;
    while (is_word(parser->text[parser->at]))
        parser->at++;
    return parser->at - start;
}

static unsigned parse_value(struct parser *parser) {
    size_t start = parser->at;
    unsigned value = add_node(parser, SYNTAX_VALUE, start);
    node_at(parser, value)->name = parser->text + start;
    node_at(parser, value)->name_size = (uint8_t)take_word(parser);
    return value;
}

/* A token and what belongs to it: nothing, one value, several, or a choice. */
static unsigned parse_token(struct parser *parser) {
    size_t start = parser->at, size = take_word(parser);
    unsigned node = NONE;
    if (peek(parser) == '<') {
        parser->at++;
        node = parse_choice(parser, '>');
    } else if (is_small(peek(parser))) {
        node = parse_value(parser);
        if (is_small(peek(parser))) {
            unsigned block = add_node(parser, SYNTAX_BLOCK, start);
            append_part(parser, block, node);
            while (!parser->failed && is_small(peek(parser)))
                append_part(parser, block, parse_value(parser));
            node = block;
        }
    } else {
        node = add_node(parser, SYNTAX_TOKEN, start);
    }
    /* What has a token of its own cannot take a second one. */
    if (parser->failed || node_at(parser, node)->token != NULL)
        return fail(parser);
    node_at(parser, node)->start = (uint16_t)start;
    node_at(parser, node)->token = parser->text + start;
    node_at(parser, node)->token_size = (uint8_t)size;
    return node;
}

static void mark_multiple(struct command_syntax_node *node, bool with_token) {
    node->flags |= SYNTAX_MULTIPLE;
    if (with_token && node->token != NULL)
        node->flags |= SYNTAX_MULTIPLE_TOKEN;
}

/* Makes the parts of `sequence` that begin at `start` one block that may be repeated. */
static void repeat_from(struct parser *parser, unsigned sequence, unsigned part) {
    if (node_at(parser, part)->next == NONE) {
        mark_multiple(node_at(parser, part), true);
        return;
    }
    unsigned block = add_node(parser, SYNTAX_BLOCK, node_at(parser, part)->start);
    if (block == NONE)
        return;
    struct command_syntax_node *parent = node_at(parser, sequence);
    unsigned before = parent->first;
    if (before == part) {
        parent->first = (uint8_t)block;
    } else {
        while (node_at(parser, before)->next != part)
            before = node_at(parser, before)->next;
        node_at(parser, before)->next = (uint8_t)block;
    }
    node_at(parser, block)->first = (uint8_t)part;
    node_at(parser, block)->flags = SYNTAX_MULTIPLE;
}

/* Behind the arguments of `sequence`, at a '[': whether the bracket says that the last of them may come again.
 * Then it is read and they are marked; else nothing is. */
static bool parse_repetition(struct parser *parser, unsigned sequence) {
    const char *inner = parser->text + parser->at + 1, *end = strpbrk(inner, "[]<>|");
    if (end == NULL || *end != ']' || end - inner < 4 || strncmp(end - 4, " ...", 4) != 0)
        return false;
    size_t size = (size_t)(end - 4 - inner), before = parser->at;
    while (before > 0 && parser->text[before - 1] == ' ')
        before--;
    if (size == 0 || size > before || memcmp(parser->text + before - size, inner, size) != 0)
        return false;
    size_t start = before - size;
    unsigned part = node_at(parser, sequence)->first;
    while (part != NONE && node_at(parser, part)->start != start)
        part = node_at(parser, part)->next;
    if (part != NONE) {
        repeat_from(parser, sequence, part);
    } else {
        /* Not a whole argument: the one value of a token, which stays alone in front. */
        struct command_syntax_node *last = node_at(parser, last_part(parser, sequence));
        if (last->kind != SYNTAX_VALUE || last->name != parser->text + start)
            return false;
        mark_multiple(last, false);
    }
    parser->at = (size_t)(end + 1 - parser->text);
    return true;
}

/* The next argument of a sequence, without what may repeat it. */
static unsigned parse_argument(struct parser *parser) {
    char c = peek(parser);
    if (is_small(c))
        return parse_value(parser);
    if (is_capital(c))
        return parse_token(parser);
    if (c != '[' && c != '<')
        return fail(parser);
    parser->at++;
    unsigned node = parse_choice(parser, c == '[' ? ']' : '>');
    if (!parser->failed && c == '[')
        node_at(parser, node)->flags |= SYNTAX_OPTIONAL;
    return node;
}

/* Arguments up to the end of the text, a '|' or a closing bracket, as parts of `sequence`. */
static void parse_arguments(struct parser *parser, unsigned sequence) {
    for (;;) {
        char c = peek(parser);
        if (parser->failed || c == '\0' || c == '|' || c == ']' || c == '>')
            return;
        if (c == '[' && parse_repetition(parser, sequence))
            continue;
        unsigned argument = parse_argument(parser);
        if (parser->failed)
            return;
        if (take_dots(parser))
            mark_multiple(node_at(parser, argument), true);
        append_part(parser, sequence, argument);
    }
}

/* One alternative: a block, or its only argument. */
static unsigned parse_alternative(struct parser *parser) {
    peek(parser);
    unsigned block = add_node(parser, SYNTAX_BLOCK, parser->at);
    if (block == NONE)
        return NONE;
    parse_arguments(parser, block);
    unsigned first = node_at(parser, block)->first;
    if (parser->failed || first == NONE)
        return fail(parser);
    return node_at(parser, first)->next == NONE ? first : block;
}

/* What stands in brackets, the closing one included: one alternative or a choice between several. */
static unsigned parse_choice(struct parser *parser, char closing) {
    if (++parser->depth > COMMAND_SYNTAX_DEPTH_MAX)
        return fail(parser);
    unsigned node = parse_alternative(parser);
    if (!parser->failed && peek(parser) == '|') {
        unsigned choice = add_node(parser, SYNTAX_ONE_OF, node_at(parser, node)->start);
        append_part(parser, choice, node);
        while (!parser->failed && take(parser, '|')) {
            unsigned other = parse_alternative(parser);
            if (!parser->failed)
                append_part(parser, choice, other);
        }
        node = choice;
    }
    parser->depth--;
    return parser->failed || !take(parser, closing) ? fail(parser) : node;
}

bool command_syntax_parse(struct command_syntax *syntax, const char *text) {
    struct parser parser = {.out = syntax, .text = text};
    syntax->count = 0;
    add_node(&parser, SYNTAX_BLOCK, 0);
    parse_arguments(&parser, 0);
    return !parser.failed && peek(&parser) == '\0';
}

unsigned command_syntax_parts(const struct command_syntax *syntax, unsigned node) {
    unsigned count = 0;
    for (unsigned part = syntax->nodes[node].first; part != NONE; part = syntax->nodes[part].next)
        count++;
    return count;
}
