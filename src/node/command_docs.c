/* command_docs.c - writes what the command table says in the forms that clients read.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/command_docs.h"

#include "base/check.h"
#include "cmd/command_syntax.h"
#include "data/glob.h"

#include <stdio.h>

/* ---- Names of flags, in the order in which they are printed ----------------------------------------------------- */

static const char *const flag_names[] = {
    "write",
    "readonly",
    "denyoom",
    "module",
    "admin",
    "pubsub",
    "noscript",
    "blocking",
    "loading",
    "stale",
    "skip_monitor",
    "skip_slowlog",
    "asking",
    "fast",
    "no_auth",
    "may_replicate",
    "no_mandatory_keys",
    "protected",
    "no_async_loading",
    "no_multi",
    "movablekeys",
    "allow_busy",
};

static const char *const category_names[] = {
    "@keyspace", "@read",   "@write",       "@set",       "@sortedset",  "@list",        "@hash",
    "@string",   "@bitmap", "@hyperloglog", "@geo",       "@stream",     "@pubsub",      "@admin",
    "@fast",     "@slow",   "@blocking",    "@dangerous", "@connection", "@transaction", "@scripting",
};

static const char *const key_flag_names[] = {
    "RW", "RO", "OW", "RM", "access", "update", "insert", "delete", "not_key", "incomplete", "variable_flags",
};

static const char *const group_names[] = {
    [GROUP_STRING] = "string",         [GROUP_BITMAP] = "bitmap",
    [GROUP_GENERIC] = "generic",       [GROUP_TRANSACTIONS] = "transactions",
    [GROUP_CONNECTION] = "connection", [GROUP_SERVER] = "server",
    [GROUP_CLUSTER] = "cluster",
};

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* A name for every bit: bit i is called names[i]; bits past the names have none. */
static void reply_flags(struct reply *reply, uint32_t flags, const char *const *names, size_t count) {
    flags &= (uint32_t)((UINT64_C(1) << count) - 1);
    reply_set(reply, (size_t)__builtin_popcount(flags));
    for (size_t i = 0; i < count; i++)
        if (flags >> i & 1)
            reply_simple(reply, names[i]);
}

static void reply_key_flags(struct reply *reply, unsigned flags) {
    reply_flags(reply, flags, key_flag_names, COUNT_OF(key_flag_names));
}

/* ---- Walking the table ------------------------------------------------------------------------------------------ */

static bool is_top_level(const struct command *command) {
    return command->parent == command->id;
}

static unsigned top_level_count(void) {
    unsigned count = 0;
    for (unsigned id = 0; id < COMMAND_COUNT; id++)
        count += is_top_level(command_by_id(id));
    return count;
}

/* The first subcommand at `id` or behind it of the container; NULL: there are no more. */
static const struct command *subcommand_from(const struct command *container, unsigned id) {
    if (id >= COMMAND_COUNT || id == container->id)
        return NULL;
    const struct command *command = command_by_id(id);
    return command->parent == container->id ? command : NULL;
}

#define FOR_EACH_SUBCOMMAND(subcommand, container)                                            \
    for (const struct command *subcommand = subcommand_from(container, (container)->id + 1u); \
         subcommand != NULL; subcommand = subcommand_from(container, subcommand->id + 1u))

static unsigned subcommand_count(const struct command *container) {
    unsigned count = 0;
    FOR_EACH_SUBCOMMAND(subcommand, container)
    count++;
    return count;
}

/* The row of "get" or "client|list"; NULL: there is none. */
static const struct command *find_by_full_name(const struct command_index *index,
                                               const struct argument *name) {
    const uint8_t *bar = name->size == 0 ? NULL : memchr(name->data, '|', name->size);
    if (bar == NULL)
        return command_find(index, name->data, name->size);
    size_t prefix = (size_t)(bar - name->data);
    const struct command *container = command_find(index, name->data, prefix);
    return container == NULL ? NULL : command_find_subcommand(container, bar + 1, name->size - prefix - 1);
}

/* ---- COMMAND, COMMAND INFO, COMMAND COUNT ----------------------------------------------------------------------- */

static void reply_key_specification(struct reply *reply, const struct key_specification *keys) {
    reply_map(reply, keys->notes == NULL ? 3 : 4);
    if (keys->notes != NULL) {
        reply_bulk_text(reply, "notes");
        reply_bulk_text(reply, keys->notes);
    }
    reply_bulk_text(reply, "flags");
    reply_key_flags(reply, keys->flags);
    reply_bulk_text(reply, "begin_search");
    reply_map(reply, 2);
    reply_bulk_text(reply, "type");
    reply_bulk_text(reply, "index");
    reply_bulk_text(reply, "spec");
    reply_map(reply, 1);
    reply_bulk_text(reply, "index");
    reply_integer(reply, keys->index);
    reply_bulk_text(reply, "find_keys");
    reply_map(reply, 2);
    reply_bulk_text(reply, "type");
    reply_bulk_text(reply, "range");
    reply_bulk_text(reply, "spec");
    reply_map(reply, 3);
    reply_bulk_text(reply, "lastkey");
    reply_integer(reply, keys->last);
    reply_bulk_text(reply, "keystep");
    reply_integer(reply, keys->step);
    reply_bulk_text(reply, "limit");
    reply_integer(reply, 0);
}

static void reply_tips(struct reply *reply, const char *tips) {
    size_t count = 0;
    for (const char *at = tips; *at != '\0'; at += strspn(at, " "), count++)
        at += strcspn(at, " ");
    reply_set(reply, count);
    for (const char *at = tips; *at != '\0'; at += strspn(at, " ")) {
        size_t size = strcspn(at, " ");
        reply_bulk(reply, at, size);
        at += size;
    }
}

/* All but the last element of a row, in which a container's subcommands stand. */
static void reply_row_head(struct reply *reply, const struct command *command) {
    reply_array(reply, 10);
    reply_bulk_text(reply, command->name);
    reply_integer(reply, command->arity);
    reply_flags(reply, command->flags, flag_names, COUNT_OF(flag_names));
    reply_integer(reply, command->first_key);
    reply_integer(reply, command->last_key);
    reply_integer(reply, command->key_step);
    reply_flags(reply, command->categories, category_names, COUNT_OF(category_names));
    reply_tips(reply, command->tips);
    reply_set(reply, command->key_specification_count);
    for (unsigned i = 0; i < command->key_specification_count; i++)
        reply_key_specification(reply, &command->keys[i]);
}

static void reply_row(struct reply *reply, const struct command *command) {
    unsigned subcommands = subcommand_count(command);
    reply_row_head(reply, command);
    /* Where there are none, this is a set: clients of RESP3 know it so. */
    if (subcommands == 0)
        reply_set(reply, 0);
    else
        reply_array(reply, subcommands);
    FOR_EACH_SUBCOMMAND(subcommand, command) {
        reply_row_head(reply, subcommand);
        reply_set(reply, 0);
    }
}

void command_docs_all(struct reply *reply) {
    reply_array(reply, top_level_count());
    for (unsigned id = 0; id < COMMAND_COUNT; id++)
        if (is_top_level(command_by_id(id)))
            reply_row(reply, command_by_id(id));
}

void command_docs_count(struct reply *reply) {
    reply_integer(reply, top_level_count());
}

void command_docs_info(struct reply *reply, const struct command_index *index, const struct argument *argv,
                       uint32_t argc) {
    if (argc == 2) {
        command_docs_all(reply);
        return;
    }
    reply_array(reply, argc - 2);
    for (uint32_t i = 2; i < argc && reply_is_complete(reply); i++) {
        const struct command *command = find_by_full_name(index, &argv[i]);
        if (command == NULL)
            reply_null(reply);
        else
            reply_row(reply, command);
    }
}

/* ---- COMMAND DOCS ----------------------------------------------------------------------------------------------- */

#define ARGUMENT_NAME_SIZE 64

/* One tree of arguments while it is written. */
struct documentation {
    struct reply *reply;
    const struct command *command;
    struct command_syntax syntax;
    unsigned keys; /* key arguments so far */
};

/* Types of values by their names in the syntax; where a command differs it stands in front. Others are strings. */
static const struct {
    const char *name;
    const char *type;
    int command; /* -1: any */
} value_types[] = {
    {"increment", "double", COMMAND_ID_INCRBYFLOAT},
    {"key", "string", COMMAND_ID_CLUSTER_KEYSLOT}, /* only its name counts */
    {"value", "integer", COMMAND_ID_SETBIT},
    {"value", "integer", COMMAND_ID_BITFIELD},
    {"bit", "integer", -1},
    {"client-id", "integer", -1},
    {"cluster-bus-port", "integer", -1},
    {"config-epoch", "integer", -1},
    {"count", "integer", -1},
    {"cursor", "integer", -1},
    {"db", "integer", -1},
    {"decrement", "integer", -1},
    {"destination", "key", -1},
    {"destination-db", "integer", -1},
    {"destkey", "key", -1},
    {"end", "integer", -1},
    {"end-slot", "integer", -1},
    {"frequency", "integer", -1},
    {"increment", "integer", -1},
    {"index", "integer", -1},
    {"index1", "integer", -1},
    {"index2", "integer", -1},
    {"key", "key", -1},
    {"key1", "key", -1},
    {"key2", "key", -1},
    {"milliseconds", "integer", -1},
    {"min-match-len", "integer", -1},
    {"newkey", "key", -1},
    {"numreplicas", "integer", -1},
    {"offset", "integer", -1},
    {"pattern", "pattern", -1},
    {"port", "integer", -1},
    {"protover", "integer", -1},
    {"seconds", "integer", -1},
    {"slot", "integer", -1},
    {"source", "key", -1},
    {"start", "integer", -1},
    {"start-slot", "integer", -1},
    {"timeout", "integer", -1},
    {"ttl", "integer", -1},
    {"unix-time-milliseconds", "unix-time", -1},
    {"unix-time-seconds", "unix-time", -1},
    {"version", "integer", -1},
};

static const char *value_type(const struct command *command, const char *name, size_t size) {
    for (size_t i = 0; i < COUNT_OF(value_types); i++)
        if ((value_types[i].command == -1 || value_types[i].command == command->id) &&
            strlen(value_types[i].name) == size && memcmp(value_types[i].name, name, size) == 0)
            return value_types[i].type;
    return "string";
}

static const char *argument_type(const struct documentation *docs, const struct command_syntax_node *node) {
    switch ((enum command_syntax_kind)node->kind) {
    case SYNTAX_VALUE: return value_type(docs->command, node->name, node->name_size);
    case SYNTAX_TOKEN: return "pure-token";
    case SYNTAX_ONE_OF: return "oneof";
    case SYNTAX_BLOCK: return "block";
    }
    return "string";
}

/* Appends the name of an argument: a value's own, a token in small letters, or the names of the parts joined by
 * '_', as far as they fit. */
static size_t argument_name(const struct command_syntax *syntax, unsigned number, char *name, size_t size) {
    const struct command_syntax_node *node = &syntax->nodes[number];
    if (node->kind == SYNTAX_VALUE || node->kind == SYNTAX_TOKEN) {
        const char *word = node->kind == SYNTAX_VALUE ? node->name : node->token;
        size_t word_size = node->kind == SYNTAX_VALUE ? node->name_size : node->token_size;
        size_t gap = size != 0;
        if (size + gap + word_size > ARGUMENT_NAME_SIZE)
            return size;
        if (gap)
            name[size++] = '_';
        for (size_t i = 0; i < word_size; i++)
            name[size++] = word[i] >= 'A' && word[i] <= 'Z' ? (char)(word[i] + ('a' - 'A')) : word[i];
        return size;
    }
    for (unsigned part = node->first; part != 0; part = syntax->nodes[part].next)
        size = argument_name(syntax, part, name, size);
    return size;
}

static void reply_arguments(struct documentation *docs, unsigned parent);

static void reply_argument_flags(struct reply *reply, unsigned flags) {
    static const char *const names[] = {"optional", "multiple", "multiple_token"};
    reply_bulk_text(reply, "flags");
    reply_flags(reply, flags, names, COUNT_OF(names));
}

static void reply_argument(struct documentation *docs, unsigned number) {
    struct reply *reply = docs->reply;
    const struct command_syntax_node *node = &docs->syntax.nodes[number];
    const char *type = argument_type(docs, node);
    bool is_leaf = node->kind == SYNTAX_VALUE || node->kind == SYNTAX_TOKEN,
         is_key = strcmp(type, "key") == 0;
    char name[ARGUMENT_NAME_SIZE];
    size_t name_size = argument_name(&docs->syntax, number, name, 0);

    reply_map(reply, 3u + is_key + (node->token != NULL) + (node->flags != 0));
    reply_bulk_text(reply, "name");
    reply_bulk(reply, name, name_size);
    reply_bulk_text(reply, "type");
    reply_bulk_text(reply, type);
    if (is_leaf) {
        reply_bulk_text(reply, "display_text");
        reply_bulk(reply, name, name_size);
    }
    if (is_key) {
        /* Several keys share a specification where it is a range. */
        unsigned last = docs->command->key_specification_count - 1u;
        reply_bulk_text(reply, "key_spec_index");
        reply_integer(reply, docs->keys < last ? docs->keys : last);
        docs->keys++;
    }
    if (node->token != NULL) {
        reply_bulk_text(reply, "token");
        reply_bulk(reply, node->token, node->token_size);
    }
    if (node->flags != 0)
        reply_argument_flags(reply, node->flags);
    if (!is_leaf) {
        reply_bulk_text(reply, "arguments");
        reply_arguments(docs, number);
    }
}

/* As deep as our own texts are nested: COMMAND_SYNTAX_DEPTH_MAX. */
static void reply_arguments(struct documentation *docs, unsigned parent) {
    reply_array(docs->reply, command_syntax_parts(&docs->syntax, parent));
    for (unsigned part = docs->syntax.nodes[parent].first; part != 0; part = docs->syntax.nodes[part].next)
        reply_argument(docs, part);
}

static void reply_text_pair(struct reply *reply, const char *name, const char *text) {
    reply_bulk_text(reply, name);
    reply_bulk_text(reply, text);
}

/* The name and the documentation of a row, without subcommands; `more` says how many fields the caller adds. */
static void reply_docs_head(struct reply *reply, const struct command *command, unsigned more) {
    struct documentation docs = {.reply = reply, .command = command};
    bool parsed = command_syntax_parse(&docs.syntax, command->syntax);
    CHECK(parsed);
    bool has_arguments = docs.syntax.nodes[0].first != 0;
    reply_bulk_text(reply, command->name);
    reply_map(reply, 4u + has_arguments + more);
    reply_text_pair(reply, "summary", command->summary);
    reply_text_pair(reply, "since", command->since);
    reply_text_pair(reply, "group", group_names[command->group]);
    reply_text_pair(reply, "complexity", command->complexity);
    if (has_arguments) {
        reply_bulk_text(reply, "arguments");
        reply_arguments(&docs, 0);
    }
}

static void reply_docs(struct reply *reply, const struct command *command) {
    unsigned subcommands = subcommand_count(command);
    reply_docs_head(reply, command, subcommands != 0);
    if (subcommands == 0)
        return;
    reply_bulk_text(reply, "subcommands");
    reply_map(reply, subcommands);
    FOR_EACH_SUBCOMMAND(subcommand, command)
    reply_docs_head(reply, subcommand, 0);
}

void command_docs_docs(struct reply *reply, const struct command_index *index, const struct argument *argv,
                       uint32_t argc) {
    /* Marks keep the reply in bounds, however often a name is repeated. */
    bool wanted[COMMAND_COUNT] = {false};
    if (argc == 2) {
        reply_map(reply, top_level_count());
        for (unsigned id = 0; id < COMMAND_COUNT; id++)
            if (is_top_level(command_by_id(id)))
                reply_docs(reply, command_by_id(id));
        return;
    }
    size_t count = 0;
    for (uint32_t i = 2; i < argc; i++) {
        const struct command *command = find_by_full_name(index, &argv[i]);
        if (command == NULL || wanted[command->id])
            continue;
        wanted[command->id] = true;
        count++;
    }
    reply_map(reply, count);
    for (uint32_t i = 2; i < argc && count > 0; i++) {
        const struct command *command = find_by_full_name(index, &argv[i]);
        if (command == NULL || !wanted[command->id])
            continue;
        wanted[command->id] = false;
        count--;
        reply_docs(reply, command);
    }
}

/* ---- COMMAND LIST ----------------------------------------------------------------------------------------------- */

static uint32_t category_by_name(const struct argument *name) {
    for (size_t i = 0; i < COUNT_OF(category_names); i++)
        if (argument_is(name, category_names[i] + 1))
            return UINT32_C(1) << i;
    return 0;
}

void command_docs_list(struct reply *reply, const struct argument *argv, uint32_t argc) {
    bool by_module = false, by_category = false, by_pattern = false;
    if (argc == 5 && argument_is(&argv[2], "filterby")) {
        by_module = argument_is(&argv[3], "module");
        by_category = argument_is(&argv[3], "aclcat");
        by_pattern = argument_is(&argv[3], "pattern");
    }
    if (argc != 2 && !by_module && !by_category && !by_pattern) {
        reply_error(reply, "ERR syntax error");
        return;
    }
    uint32_t category = by_category ? category_by_name(&argv[4]) : 0;
    bool listed[COMMAND_COUNT];
    size_t count = 0;
    for (unsigned id = 0; id < COMMAND_COUNT; id++) {
        const struct command *command = command_by_id(id);
        listed[id] = by_category  ? (command->categories & category) != 0
                     : by_pattern ? glob_match((const char *)argv[4].data, argv[4].size, command->name,
                                               strlen(command->name), true)
                                  : !by_module; /* no command comes from a module */
        count += listed[id];
    }
    reply_array(reply, count);
    for (unsigned id = 0; id < COMMAND_COUNT; id++)
        if (listed[id])
            reply_bulk_text(reply, command_by_id(id)->name);
}

/* ---- COMMAND GETKEYS, COMMAND GETKEYSANDFLAGS ------------------------------------------------------------------- */

/* What a request does with its key, where that depends on its options. argv[0] is the command's name. */
static unsigned variable_key_flags(const struct command *command, const struct argument *argv,
                                   uint32_t argc) {
    bool reads = false, writes = true;
    if (command->id == COMMAND_ID_SET) {
        for (uint32_t i = 3; i < argc; i++)
            reads |= argument_is(&argv[i], "get");
    } else if (command->id == COMMAND_ID_BITFIELD) {
        reads = true;
        writes = false;
        for (uint32_t i = 2; i < argc && !writes;) {
            uint32_t left = argc - i - 1;
            if (left >= 2 && argument_is(&argv[i], "get"))
                i += 3;
            else if (left >= 1 && argument_is(&argv[i], "overflow"))
                i += 2;
            else
                writes = true; /* SET, INCRBY, or something that is not known */
        }
    } else {
        return command->keys[0].flags;
    }
    if (!writes)
        return KEY_RO | KEY_ACCESS;
    return reads ? KEY_RW | KEY_ACCESS | KEY_UPDATE : KEY_OW | KEY_UPDATE;
}

struct key_listing {
    struct reply *reply;
    const struct command *command;
    const struct argument *argv;
    uint32_t argc;
    bool with_flags;
};

/* Counting is done by command_each_key() itself. */
static void count_key(void *context, uint32_t argument, unsigned flags) {
    (void)context;
    (void)argument;
    (void)flags;
}

static void list_key(void *context, uint32_t argument, unsigned flags) {
    struct key_listing *listing = context;
    const struct argument *key = &listing->argv[argument];
    if (!listing->with_flags) {
        reply_bulk(listing->reply, key->data, key->size);
        return;
    }
    if (flags & KEY_VARIABLE_FLAGS)
        flags = variable_key_flags(listing->command, listing->argv, listing->argc);
    reply_array(listing->reply, 2);
    reply_bulk(listing->reply, key->data, key->size);
    reply_key_flags(listing->reply, flags);
}

void command_docs_getkeys(struct reply *reply, const struct command_index *index, const struct argument *argv,
                          uint32_t argc, bool with_flags) {
    struct key_listing listing = {reply, NULL, argv + 2, argc - 2, with_flags};
    const struct command *command = command_find(index, listing.argv[0].data, listing.argv[0].size);
    if (command != NULL && command->flags & COMMAND_CONTAINER && listing.argc >= 2)
        command = command_find_subcommand(command, listing.argv[1].data, listing.argv[1].size);
    listing.command = command;
    if (command == NULL) {
        reply_error(reply, "ERR Invalid command specified");
    } else if (command->key_specification_count == 0) {
        reply_error(reply, "ERR The command has no key arguments");
    } else if (!command_arity_fits(command, listing.argc)) {
        reply_error(reply, "ERR Invalid number of arguments specified for command");
    } else {
        unsigned count = command_each_key(command, listing.argc, count_key, NULL);
        if (count == 0 && !(command->flags & COMMAND_NO_MANDATORY_KEYS)) {
            reply_error(reply, "ERR Invalid arguments specified for command");
            return;
        }
        reply_array(reply, count);
        command_each_key(command, listing.argc, list_key, &listing);
    }
}

/* ---- HELP ------------------------------------------------------------------------------------------------------- */

static void upper_case(char *text) {
    for (; *text != '\0'; text++)
        if (*text >= 'a' && *text <= 'z')
            *text = (char)(*text - ('a' - 'A'));
}

void command_docs_help(struct reply *reply, const struct command *container) {
    /* Names are short (the table's test says how short) and no syntax fills a line of this size. */
    char name[32], line[512];
    bool runs_alone = container->arity == -1;
    reply_array(reply, 1u + (runs_alone ? 2u : 0u) + 2u * subcommand_count(container));
    snprintf(name, sizeof name, "%s", container->name);
    upper_case(name);
    snprintf(line, sizeof line, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
    reply_simple(reply, line);
    if (runs_alone) {
        snprintf(line, sizeof line, "    %s", container->summary);
        reply_simple(reply, "(no subcommand)");
        reply_simple(reply, line);
    }
    FOR_EACH_SUBCOMMAND(subcommand, container) {
        snprintf(name, sizeof name, "%s", subcommand->name + strlen(container->name) + 1);
        upper_case(name);
        snprintf(line, sizeof line, "%s%s%s", name, *subcommand->syntax == '\0' ? "" : " ",
                 subcommand->syntax);
        reply_simple(reply, line);
        snprintf(line, sizeof line, "    %s", subcommand->summary);
        reply_simple(reply, line);
    }
}
