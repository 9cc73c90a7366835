/* command.h - the command table: one row a command, and all that others derive from a row.
 *
 * Rows stand in commands.def. A row with a handler runs on the keyspace alone (struct call); a row
 * without one belongs to the node (connection, introspection, transactions), which binds its own
 * handlers by id. COMMAND, ACL categories, key positions, arity checks and the README's table come from here.
 * Must never know: clients, peers, sockets.
 * Invariants: ids are dense, 0..COMMAND_COUNT-1, in row order; a subcommand's row names its parent.
 * Tests: tests/unit/cmd/command_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CMD_COMMAND_H
#define CMD_COMMAND_H

#include "base/argument.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct mem;

/* Flags with a name that COMMAND prints (in this order), then our own. */
#define COMMAND_WRITE             (UINT32_C(1) << 0)
#define COMMAND_READONLY          (UINT32_C(1) << 1)
#define COMMAND_DENYOOM           (UINT32_C(1) << 2)
#define COMMAND_MODULE            (UINT32_C(1) << 3)
#define COMMAND_ADMIN             (UINT32_C(1) << 4)
#define COMMAND_PUBSUB            (UINT32_C(1) << 5)
#define COMMAND_NOSCRIPT          (UINT32_C(1) << 6)
#define COMMAND_BLOCKING          (UINT32_C(1) << 7)
#define COMMAND_LOADING           (UINT32_C(1) << 8)
#define COMMAND_STALE             (UINT32_C(1) << 9)
#define COMMAND_SKIP_MONITOR      (UINT32_C(1) << 10)
#define COMMAND_SKIP_SLOWLOG      (UINT32_C(1) << 11)
#define COMMAND_ASKING            (UINT32_C(1) << 12)
#define COMMAND_FAST              (UINT32_C(1) << 13)
#define COMMAND_NO_AUTH           (UINT32_C(1) << 14)
#define COMMAND_MAY_REPLICATE     (UINT32_C(1) << 15)
#define COMMAND_NO_MANDATORY_KEYS (UINT32_C(1) << 16)
#define COMMAND_PROTECTED         (UINT32_C(1) << 17)
#define COMMAND_NO_ASYNC_LOADING  (UINT32_C(1) << 18)
#define COMMAND_NO_MULTI          (UINT32_C(1) << 19)
#define COMMAND_MOVABLE_KEYS      (UINT32_C(1) << 20)
#define COMMAND_ALLOW_BUSY        (UINT32_C(1) << 21)
/* Not printed: */
#define COMMAND_SLOW \
    (UINT32_C(1) << 22) /* may take long: the node that runs it is not lost while it is silent */
#define COMMAND_TIMED     (UINT32_C(1) << 24) /* a short request may take long: its own duration is measured */
#define COMMAND_RESEND    (UINT32_C(1) << 25) /* may be sent again after it may have run (idempotent) */
#define COMMAND_CONTAINER (UINT32_C(1) << 26) /* has subcommands */
#define COMMAND_LOCAL     (UINT32_C(1) << 27) /* never forwarded: it is about this node */
#define COMMAND_SPREAD \
    (UINT32_C(1) << 28) /* on the plain port of a cluster's node it speaks for the whole cluster */
#define COMMAND_SPLIT (UINT32_C(1) << 29) /* its keys may be of several nodes: split by node, and gathered */

/* ACL categories, in the order in which COMMAND prints them. */
#define CATEGORY_KEYSPACE    (UINT32_C(1) << 0)
#define CATEGORY_READ        (UINT32_C(1) << 1)
#define CATEGORY_WRITE       (UINT32_C(1) << 2)
#define CATEGORY_SET         (UINT32_C(1) << 3)
#define CATEGORY_SORTEDSET   (UINT32_C(1) << 4)
#define CATEGORY_LIST        (UINT32_C(1) << 5)
#define CATEGORY_HASH        (UINT32_C(1) << 6)
#define CATEGORY_STRING      (UINT32_C(1) << 7)
#define CATEGORY_BITMAP      (UINT32_C(1) << 8)
#define CATEGORY_HYPERLOGLOG (UINT32_C(1) << 9)
#define CATEGORY_GEO         (UINT32_C(1) << 10)
#define CATEGORY_STREAM      (UINT32_C(1) << 11)
#define CATEGORY_PUBSUB      (UINT32_C(1) << 12)
#define CATEGORY_ADMIN       (UINT32_C(1) << 13)
#define CATEGORY_FAST        (UINT32_C(1) << 14)
#define CATEGORY_SLOW        (UINT32_C(1) << 15)
#define CATEGORY_BLOCKING    (UINT32_C(1) << 16)
#define CATEGORY_DANGEROUS   (UINT32_C(1) << 17)
#define CATEGORY_CONNECTION  (UINT32_C(1) << 18)
#define CATEGORY_TRANSACTION (UINT32_C(1) << 19)
#define CATEGORY_SCRIPTING   (UINT32_C(1) << 20)

enum command_group {
    GROUP_STRING,
    GROUP_BITMAP,
    GROUP_GENERIC,
    GROUP_TRANSACTIONS,
    GROUP_CONNECTION,
    GROUP_SERVER,
    GROUP_CLUSTER
};

/* What a command does with the keys of one specification; COMMAND prints the names in this order. */
#define KEY_RW             (1u << 0)
#define KEY_RO             (1u << 1)
#define KEY_OW             (1u << 2)
#define KEY_RM             (1u << 3)
#define KEY_ACCESS         (1u << 4)
#define KEY_UPDATE         (1u << 5)
#define KEY_INSERT         (1u << 6)
#define KEY_DELETE         (1u << 7)
#define KEY_NOT_KEY        (1u << 8)
#define KEY_INCOMPLETE     (1u << 9)
#define KEY_VARIABLE_FLAGS (1u << 10)

/* Where keys stand: from argument `index`, up to `last` (relative to index; negative counts from the
 * end, -1 the last argument), every `step` arguments. The range form is all that these commands need. */
struct key_specification {
    uint16_t flags;
    int8_t index, last, step;
    const char *notes; /* NULL or a remark that COMMAND INFO prints */
};

#define COMMAND_KEY_SPECIFICATIONS_MAX 3

struct command {
    const char *name;    /* lower case; a subcommand: "client|list" */
    const char *summary; /* one sentence, our own words */
    const char *complexity;
    const char *since;  /* the version of Redis that has it, as clients know it */
    const char *syntax; /* arguments as in the documentation: "key value [NX | XX] [GET]"; "" for none */
    const char *tips;   /* space-separated, as COMMAND prints them; "" for none */
    void (*handler)(struct call *); /* NULL: the node's */
    uint32_t flags;
    uint32_t categories;
    uint16_t id;
    uint16_t parent;                      /* id of the container, or its own id */
    int16_t arity;                        /* exact count with the name; negative: at least; */
    uint8_t group;                        /* enum command_group */
    int8_t first_key, last_key, key_step; /* 0,0,0: no keys; last may be negative */
    uint8_t key_specification_count;
    struct key_specification keys[COMMAND_KEY_SPECIFICATIONS_MAX];
};

/* Ids by name: COMMAND_ID_GET, COMMAND_ID_CLIENT_LIST, ... (made from commands.def). */
enum command_id {
#define COMMAND(id, ...)            COMMAND_ID_##id,
#define SUBCOMMAND(parent, id, ...) COMMAND_ID_##id,
#include "cmd/commands.def"
#undef COMMAND
#undef SUBCOMMAND
    COMMAND_COUNT
};

/* The row of an id. Rows are constant. */
const struct command *command_by_id(unsigned id);

/* Finds commands by name: a hash index over the top-level names (built once per node, read-only then). */
struct command_index;
struct command_index *command_index_new(struct mem *mem);
void command_index_free(struct mem *mem, struct command_index *index);

/* The row of a top-level command by its name, in any case; NULL = unknown. */
const struct command *command_find(const struct command_index *index, const uint8_t *name, size_t size);

/* The row of a subcommand ("LIST" of `client`), in any case; NULL = unknown. */
const struct command *command_find_subcommand(const struct command *container, const uint8_t *name,
                                              size_t size);

/* Whether argc (name included; for a subcommand: container's name and its own) fits the row. */
static inline bool command_arity_fits(const struct command *command, uint32_t argc) {
    return command->arity >= 0 ? argc == (uint32_t)command->arity : argc >= (uint32_t)-command->arity;
}

/* The last index at which a key of a call may stand (the first and the step are the row's); of calls without keys it says nothing. */
static inline int command_last_key(const struct command *command, uint32_t argc) {
    int last = command->last_key < 0 ? (int)argc + command->last_key : command->last_key;
    return last < (int)argc ? last : (int)argc - 1;
}

/* The row that a call is of: the subcommand's where `top` is a container and one is named. NULL: there is no such row. */
static inline const struct command *command_row(const struct command *top, const struct argument *argv,
                                                uint32_t argc) {
    if (top == NULL || !(top->flags & COMMAND_CONTAINER) || argc < 2)
        return top;
    return command_find_subcommand(top, argv[1].data, argv[1].size);
}

/* Calls visit(context, index of argument, key flags) for every key argument of a well-formed call.
 * Returns the number of keys, 0 where the command has none. */
unsigned command_each_key(const struct command *command, uint32_t argc,
                          void (*visit)(void *context, uint32_t argument, unsigned flags), void *context);

#endif
