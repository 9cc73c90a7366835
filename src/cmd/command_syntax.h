/* command_syntax.h - the `syntax` texts of the command table as trees of arguments.
 *
 * The notation is that of the documentation:
 *   word             a value; small letters, digits and the signs - _ : /
 *   WORD             a token, to be sent as it stands
 *   WORD word ...    a token and the values that belong to it; also WORD <...>
 *   a b              one after the other
 *   <a | b>          one of them
 *   [a]              may be left out; [a | b] also stands for [<a | b>]
 *   a ...            any number of times, at least once
 *   a b [a b ...]    the same for one or more arguments: the bracket repeats the text before it
 * COMMAND DOCS is written from the tree, and the tests compare it with the row's arity.
 * May touch: its argument. Must never know: requests; it reads texts of this program only.
 * Invariant: node 0 is the whole, a block; it is nobody's part.
 * Tests: tests/unit/cmd/command_syntax_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CMD_COMMAND_SYNTAX_H
#define CMD_COMMAND_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest syntax of the table has about half of this; a tree is deeper than any text of ours is. */
#define COMMAND_SYNTAX_NODES_MAX 64
#define COMMAND_SYNTAX_DEPTH_MAX 8

enum command_syntax_kind {
    SYNTAX_VALUE,  /* a value, after its token if it has one */
    SYNTAX_TOKEN,  /* a token alone */
    SYNTAX_ONE_OF, /* one of its parts, after its token if it has one */
    SYNTAX_BLOCK,  /* all of its parts, after its token if it has one */
};

#define SYNTAX_OPTIONAL       (1u << 0)
#define SYNTAX_MULTIPLE       (1u << 1)
#define SYNTAX_MULTIPLE_TOKEN (1u << 2) /* the token is repeated together with the values */

struct command_syntax_node {
    const char *name;  /* of a value; points into the text, name_size bytes */
    const char *token; /* NULL: none; points into the text, token_size bytes */
    uint16_t start;    /* where the argument begins in the text */
    uint8_t name_size, token_size;
    uint8_t kind; /* enum command_syntax_kind */
    uint8_t flags;
    uint8_t first; /* part of a block or of a choice; 0: none */
    uint8_t next;  /* behind this one in the same parent; 0: none */
};

struct command_syntax {
    struct command_syntax_node nodes[COMMAND_SYNTAX_NODES_MAX];
    unsigned count;
};

/* Reads `text`, which must outlive the tree. False: it is not in the notation, or too long or deep. */
bool command_syntax_parse(struct command_syntax *syntax, const char *text);

/* How many parts a node has. */
unsigned command_syntax_parts(const struct command_syntax *syntax, unsigned node);

#endif
