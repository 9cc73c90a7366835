/* handlers.h - the functions that run the data commands: `<id>_command` for every row of commands.def that has one.
 *
 * Made from the table, so that a handler without a row does not compile. What a handler may do: call.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CMD_HANDLERS_H
#define CMD_HANDLERS_H

struct call;

#define HANDLER(function) void function(struct call *call);
#define NODE
#define COMMAND(id, name, arity, flags, categories, group, first, last, step, keys, tips, since, complexity, \
                syntax, summary, handler)                                                                    \
    handler
#define SUBCOMMAND(parent, ...) COMMAND(__VA_ARGS__)
#include "cmd/commands.def"
#undef SUBCOMMAND
#undef COMMAND
#undef NODE
#undef HANDLER

#endif
