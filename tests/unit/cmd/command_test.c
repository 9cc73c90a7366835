/* command_test.c - the command table is consistent in itself, and commands are found by name.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/mem.h"
#include "cmd/command.h"
#include "cmd/command_syntax.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static bool is_subcommand(const struct command *command) {
    return command->parent != command->id;
}

#define FOR_EACH_COMMAND(command)                                                                         \
    for (const struct command *command = command_by_id(0), *end = command + COMMAND_COUNT; command < end; \
         command++)

/* ---- The table ---- */

Test(command, rows_stand_at_their_ids) {
    for (unsigned id = 0; id < COMMAND_COUNT; id++)
        cr_assert_eq(command_by_id(id)->id, id, "%s", command_by_id(id)->name);
}

Test(command, names_are_unique_and_written_in_small_letters) {
    FOR_EACH_COMMAND(command) {
        size_t size = strlen(command->name);
        cr_assert(size > 0 && size < 32, "%s", command->name);
        cr_assert_eq(strspn(command->name, "abcdefghijklmnopqrstuvwxyz0123456789_-|."), size, "%s",
                     command->name);
        for (unsigned id = 0; id < command->id; id++)
            cr_assert_str_neq(command_by_id(id)->name, command->name);
    }
}

Test(command, subcommands_follow_their_container_and_carry_its_name) {
    FOR_EACH_COMMAND(command) {
        cr_assert_eq(is_subcommand(command), strchr(command->name, '|') != NULL, "%s", command->name);
        if (!is_subcommand(command))
            continue;
        const struct command *container = command_by_id(command->parent), *before = command - 1;
        size_t size = strlen(container->name);
        cr_assert(container->flags & COMMAND_CONTAINER, "%s", command->name);
        cr_assert_eq(strncmp(command->name, container->name, size), 0, "%s", command->name);
        cr_assert_eq(command->name[size], '|', "%s", command->name);
        cr_assert_eq(before->parent, container->id, "%s stands apart from its container", command->name);
        cr_assert_eq(command->group, container->group, "%s", command->name);
    }
}

Test(command, containers_and_only_they_have_subcommands_and_all_have_help) {
    FOR_EACH_COMMAND(command) {
        bool has_subcommands =
            command->id + 1 < COMMAND_COUNT && command_by_id(command->id + 1u)->parent == command->id;
        cr_assert_eq(has_subcommands, (command->flags & COMMAND_CONTAINER) != 0, "%s", command->name);
        if (has_subcommands)
            cr_assert_not_null(command_find_subcommand(command, (const uint8_t *)"help", 4), "%s",
                               command->name);
    }
}

Test(command, every_row_has_its_texts) {
    FOR_EACH_COMMAND(command) {
        size_t size = strlen(command->summary);
        cr_assert(size > 2 && isupper(command->summary[0]) && command->summary[size - 1] == '.', "%s",
                  command->name);
        cr_assert_null(strchr(command->summary, '\n'), "%s", command->name);
        cr_assert(strncmp(command->complexity, "O(", 2) == 0 ||
                      strncmp(command->complexity, "Depends ", 8) == 0,
                  "%s", command->name);
        unsigned major, minor, patch;
        int read = 0;
        cr_assert_eq(sscanf(command->since, "%u.%u.%u%n", &major, &minor, &patch, &read), 3, "%s",
                     command->name);
        cr_assert_eq(command->since[read], '\0', "%s", command->name);
        cr_assert_null(strstr(command->tips, "  "), "%s", command->name);
        cr_assert(command->group <= GROUP_CLUSTER, "%s", command->name);
    }
}

Test(command, flags_and_categories_agree) {
    FOR_EACH_COMMAND(command) {
        uint32_t access = command->flags & (COMMAND_WRITE | COMMAND_READONLY);
        cr_assert_neq(access, COMMAND_WRITE | COMMAND_READONLY, "%s", command->name);
        cr_assert_eq((command->flags & COMMAND_WRITE) != 0, (command->categories & CATEGORY_WRITE) != 0, "%s",
                     command->name);
        cr_assert_eq((command->flags & COMMAND_READONLY) != 0, (command->categories & CATEGORY_READ) != 0,
                     "%s", command->name);
        cr_assert_eq((command->flags & COMMAND_FAST) != 0, (command->categories & CATEGORY_FAST) != 0, "%s",
                     command->name);
        cr_assert_neq((command->categories & CATEGORY_FAST) != 0, (command->categories & CATEGORY_SLOW) != 0,
                      "%s", command->name);
        if (command->flags & COMMAND_ADMIN)
            cr_assert(command->categories & CATEGORY_ADMIN, "%s", command->name);
        if (command->flags & COMMAND_DENYOOM)
            cr_assert(command->flags & COMMAND_WRITE, "%s", command->name);
    }
}

Test(command, only_reads_and_blind_writes_may_be_sent_again) {
    FOR_EACH_COMMAND(command) {
        bool blind = command->id == COMMAND_ID_SET || command->id == COMMAND_ID_SETEX ||
                     command->id == COMMAND_ID_PSETEX || command->id == COMMAND_ID_MSET;
        if (command->flags & COMMAND_RESEND)
            cr_assert(blind || command->flags & COMMAND_READONLY, "%s", command->name);
        if (blind || (command->flags & COMMAND_READONLY && command->first_key != 0))
            cr_assert(command->flags & COMMAND_RESEND, "%s", command->name);
    }
}

Test(command, what_speaks_for_a_whole_cluster_has_no_keys_and_what_is_split_has_many) {
    FOR_EACH_COMMAND(command) {
        if (command->flags & COMMAND_SPREAD)
            cr_assert_eq(command->first_key, 0, "%s", command->name);
        if (command->flags & COMMAND_SPLIT)
            cr_assert(command->first_key == 1 && command->last_key == -1, "%s", command->name);
        cr_assert_leq(__builtin_popcount(command->flags & (COMMAND_SPREAD | COMMAND_SPLIT | COMMAND_LOCAL)),
                      1, "%s", command->name);
    }
    cr_assert(command_by_id(COMMAND_ID_DBSIZE)->flags & COMMAND_SPREAD);
    cr_assert(command_by_id(COMMAND_ID_MGET)->flags & COMMAND_SPLIT);
    cr_assert(command_by_id(COMMAND_ID_KV_PEEK)->flags & COMMAND_LOCAL);
}

Test(command, commands_on_keys_run_on_the_keyspace_and_commands_about_the_connection_do_not) {
    FOR_EACH_COMMAND(command) {
        bool has_keys = command->first_key != 0;
        if (has_keys && command->id != COMMAND_ID_WATCH && command->id != COMMAND_ID_MEMORY_USAGE)
            cr_assert_not_null(command->handler, "%s", command->name);
        if (command->group == GROUP_CONNECTION || command->group == GROUP_TRANSACTIONS ||
            command->flags & COMMAND_CONTAINER)
            cr_assert_null(command->handler, "%s", command->name);
    }
}

static unsigned fewest_of(const struct command_syntax *syntax, unsigned node, bool *fixed);

/* How many arguments a node takes at least; *fixed becomes false where there may be another number. */
static unsigned fewest_of_parts(const struct command_syntax *syntax, unsigned node, bool *fixed) {
    const struct command_syntax_node *at = &syntax->nodes[node];
    unsigned sum = 0, least = UINT32_MAX, most = 0;
    for (unsigned part = at->first; part != 0; part = syntax->nodes[part].next) {
        unsigned fewest = fewest_of(syntax, part, fixed);
        sum += fewest;
        least = fewest < least ? fewest : least;
        most = fewest > most ? fewest : most;
    }
    if (at->kind != SYNTAX_ONE_OF)
        return sum;
    *fixed = *fixed && least == most;
    return least;
}

static unsigned fewest_of(const struct command_syntax *syntax, unsigned node, bool *fixed) {
    const struct command_syntax_node *at = &syntax->nodes[node];
    if (at->flags != 0)
        *fixed = false;
    if (at->flags & SYNTAX_OPTIONAL)
        return 0;
    unsigned token = at->token != NULL;
    if (at->kind == SYNTAX_VALUE)
        return token + 1;
    return token + fewest_of_parts(syntax, node, fixed);
}

Test(command, arity_agrees_with_syntax) {
    FOR_EACH_COMMAND(command) {
        if (command->flags & COMMAND_CONTAINER) {
            cr_assert_str_eq(command->syntax, "", "%s", command->name);
            cr_assert_eq(command->arity, command->id == COMMAND_ID_COMMAND ? -1 : -2, "%s", command->name);
            continue;
        }
        struct command_syntax syntax;
        cr_assert(command_syntax_parse(&syntax, command->syntax), "%s: %s", command->name, command->syntax);
        bool fixed = true;
        int fewest = (int)fewest_of(&syntax, 0, &fixed) + (is_subcommand(command) ? 2 : 1);
        if (command->id == COMMAND_ID_QUIT) /* ignores what comes with it */
            fixed = false;
        cr_assert_eq(command->arity, fixed ? fewest : -fewest, "%s: %d, but its syntax says %d",
                     command->name, command->arity, fixed ? fewest : -fewest);
    }
}

Test(command, arity_fits_exactly_or_at_least) {
    const struct command *get = command_by_id(COMMAND_ID_GET), *set = command_by_id(COMMAND_ID_SET);
    cr_assert(!command_arity_fits(get, 1) && command_arity_fits(get, 2) && !command_arity_fits(get, 3));
    cr_assert(!command_arity_fits(set, 2) && command_arity_fits(set, 3) && command_arity_fits(set, 30));
}

/* ---- Keys ---- */

#define ARGUMENTS_MAX 64

struct visited {
    unsigned count;
    uint64_t arguments; /* a bit each */
    unsigned flags[ARGUMENTS_MAX];
};

static void note(void *context, uint32_t argument, unsigned flags) {
    struct visited *visited = context;
    cr_assert_lt(argument, ARGUMENTS_MAX);
    cr_assert_eq(visited->arguments >> argument & 1, 0, "argument %u came twice", argument);
    visited->arguments |= UINT64_C(1) << argument;
    visited->flags[argument] = flags;
    visited->count++;
}

static struct visited keys_of(unsigned id, uint32_t argc) {
    struct visited visited = {0};
    unsigned count = command_each_key(command_by_id(id), argc, note, &visited);
    cr_assert_eq(count, visited.count);
    return visited;
}

Test(command, key_specifications_agree_with_first_last_and_step) {
    FOR_EACH_COMMAND(command) {
        uint32_t fewest = (uint32_t)abs(command->arity);
        cr_assert_eq(command->first_key != 0, command->key_specification_count != 0, "%s", command->name);
        cr_assert_leq(command->key_specification_count, COMMAND_KEY_SPECIFICATIONS_MAX, "%s", command->name);
        for (uint32_t argc = fewest; argc < fewest + (command->arity < 0 ? 7 : 1); argc++) {
            uint64_t expected = 0;
            int64_t last = command->last_key < 0 ? (int64_t)argc + command->last_key : command->last_key;
            cr_assert(command->first_key == 0 || command->key_step > 0, "%s", command->name);
            for (int64_t at = command->first_key; command->first_key != 0 && at <= last;
                 at += command->key_step)
                expected |= UINT64_C(1) << at;
            struct visited visited = keys_of(command->id, argc);
            cr_assert_eq(visited.arguments, expected, "%s with %u arguments: %lx, expected %lx",
                         command->name, argc, (unsigned long)visited.arguments, (unsigned long)expected);
        }
    }
}

Test(command, key_flags_say_what_the_command_does) {
    FOR_EACH_COMMAND(command) {
        bool writes = false;
        for (unsigned i = 0; i < command->key_specification_count; i++) {
            unsigned flags = command->keys[i].flags, kind = flags & (KEY_RW | KEY_RO | KEY_OW | KEY_RM);
            cr_assert_eq(__builtin_popcount(kind), 1, "%s", command->name);
            cr_assert_gt(command->keys[i].step, 0, "%s", command->name);
            cr_assert_gt(command->keys[i].index, is_subcommand(command) ? 1 : 0, "%s", command->name);
            writes |= kind != KEY_RO;
        }
        if (command->key_specification_count != 0)
            cr_assert_eq(writes, (command->flags & COMMAND_WRITE) != 0, "%s", command->name);
    }
}

Test(command, keys_are_every_second_argument_of_mset) {
    struct visited visited = keys_of(COMMAND_ID_MSET, 7);
    cr_assert_eq(visited.arguments, 1u << 1 | 1u << 3 | 1u << 5);
    cr_assert_eq(visited.flags[3], KEY_OW | KEY_UPDATE);
}

Test(command, keys_of_bitop_have_flags_of_their_own) {
    struct visited visited = keys_of(COMMAND_ID_BITOP, 5);
    cr_assert_eq(visited.arguments, 1u << 2 | 1u << 3 | 1u << 4);
    cr_assert_eq(visited.flags[2], KEY_OW | KEY_UPDATE);
    cr_assert_eq(visited.flags[3], KEY_RO | KEY_ACCESS);
    cr_assert_eq(visited.flags[4], KEY_RO | KEY_ACCESS);
}

Test(command, a_subcommands_key_stands_behind_both_names) {
    cr_assert_eq(keys_of(COMMAND_ID_OBJECT_ENCODING, 3).arguments, 1u << 2);
    cr_assert_eq(keys_of(COMMAND_ID_MEMORY_USAGE, 5).arguments, 1u << 2);
}

Test(command, keys_past_the_end_of_a_request_are_not_visited) {
    cr_assert_eq(keys_of(COMMAND_ID_GET, 1).count, 0);
    cr_assert_eq(keys_of(COMMAND_ID_MSET, 1).count, 0);
    cr_assert_eq(keys_of(COMMAND_ID_RENAME, 2).arguments, 1u << 1);
    cr_assert_eq(keys_of(COMMAND_ID_LCS, 2).arguments, 1u << 1);
    cr_assert_eq(keys_of(COMMAND_ID_BITOP, 3).arguments, 1u << 2);
    cr_assert_eq(keys_of(COMMAND_ID_PING, 9).count, 0);
}

/* ---- Finding ---- */

static struct mem mem;
static struct command_index *command_names;

static void set_up(void) {
    mem = (struct mem){0};
    command_names = command_index_new(&mem);
    cr_assert_not_null(command_names);
}

static void tear_down(void) {
    command_index_free(&mem, command_names);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(command_find, .init = set_up, .fini = tear_down);

static const struct command *find(const void *name, size_t size) {
    return command_find(command_names, name, size);
}

/* What the search should find, the slow way. */
static const struct command *find_slowly(const uint8_t *name, size_t size) {
    FOR_EACH_COMMAND(command) {
        bool equal = !is_subcommand(command) && strlen(command->name) == size;
        for (size_t i = 0; equal && i < size; i++)
            equal = (name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]) == (uint8_t)command->name[i];
        if (equal)
            return command;
    }
    return NULL;
}

Test(command_find, finds_every_command_in_any_case) {
    FOR_EACH_COMMAND(command) {
        char name[32];
        size_t size = strlen(command->name);
        for (unsigned form = 0; form < 4; form++) {
            for (size_t i = 0; i < size; i++)
                name[i] = form == 1 || (form > 1 && i % 2 == form - 2) ? (char)toupper(command->name[i])
                                                                       : command->name[i];
            cr_assert_eq(find(name, size), is_subcommand(command) ? NULL : command, "%.*s", (int)size, name);
        }
    }
}

Test(command_find, knows_nothing_but_the_table) {
    static const char *const unknown[] = {"",
                                          "x",
                                          "ge",
                                          "gett",
                                          "hget",
                                          "list",
                                          "client|list",
                                          "nosuch",
                                          "incrbyfloatx",
                                          "incrbyfloa",
                                          "a very long name that nobody has"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        cr_assert_null(find(unknown[i], strlen(unknown[i])), "%s", unknown[i]);
}

Test(command_find, takes_zero_bytes_as_part_of_a_name) {
    cr_assert_not_null(find("get", 3));
    cr_assert_null(find("get\0", 4));
    cr_assert_null(find("\0get", 4));
    cr_assert_null(find("ge\0", 3));
    cr_assert_null(find("\0\0\0", 3));
    cr_assert_null(find("incrbyfloat\0", 12));
    cr_assert_null(find("\0", 1));
}

Test(command_find, tells_every_name_from_those_that_differ_in_one_byte) {
    FOR_EACH_COMMAND(command) {
        uint8_t name[32];
        size_t size = strlen(command->name);
        memcpy(name, command->name, size);
        for (size_t at = 0; at < size; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                name[at] = (uint8_t)byte;
                cr_assert_eq(find(name, size), find_slowly(name, size), "%s with byte %u at %zu",
                             command->name, byte, at);
            }
            name[at] = (uint8_t)command->name[at];
        }
    }
}

Test(command_find, tells_every_name_from_its_beginnings_and_ends) {
    FOR_EACH_COMMAND(command) {
        const uint8_t *name = (const uint8_t *)command->name;
        size_t size = strlen(command->name);
        for (size_t cut = 1; cut <= size; cut++) {
            cr_assert_eq(find(name, size - cut), find_slowly(name, size - cut), "%s less %zu", command->name,
                         cut);
            cr_assert_eq(find(name + cut, size - cut), find_slowly(name + cut, size - cut), "%s from %zu",
                         command->name, cut);
        }
    }
}

/* The search loads a name as words that may overlap: "get" as "ge" and "et", which "geet" consists of, too. */
Test(command_find, tells_names_from_longer_ones_of_the_same_parts) {
    FOR_EACH_COMMAND(command) {
        uint8_t name[32];
        size_t size = strlen(command->name), part = size >= 8 ? 8 : size >= 4 ? 4 : 2;
        if (is_subcommand(command) || size == part)
            continue;
        memcpy(name, command->name, part);
        memcpy(name + part, command->name + size - part, part);
        cr_assert_null(find(name, 2 * part), "%.*s", (int)(2 * part), (char *)name);
    }
}

Test(command_find, reads_no_byte_before_or_behind_the_name) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *pages = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(pages, MAP_FAILED);
    uint8_t *middle = pages + page;
    cr_assert_eq(mprotect(middle, page, PROT_READ | PROT_WRITE), 0);
    FOR_EACH_COMMAND(command) {
        size_t size = strlen(command->name);
        const struct command *expected = is_subcommand(command) ? NULL : command;
        memcpy(middle, command->name, size);
        cr_assert_eq(find(middle, size), expected);
        memcpy(middle + page - size, command->name, size);
        cr_assert_eq(find(middle + page - size, size), expected);
    }
    cr_assert_null(find(middle + page, 0));
    cr_assert_null(find(NULL, 0));
    munmap(pages, 3 * page);
}

Test(command_find, finds_subcommands_of_their_container_in_any_case) {
    FOR_EACH_COMMAND(command) {
        if (!is_subcommand(command))
            continue;
        const struct command *container = command_by_id(command->parent);
        const char *own = strchr(command->name, '|') + 1;
        uint8_t name[32];
        size_t size = strlen(own);
        for (size_t i = 0; i < size; i++)
            name[i] = (uint8_t)toupper(own[i]);
        cr_assert_eq(command_find_subcommand(container, (const uint8_t *)own, size), command, "%s",
                     command->name);
        cr_assert_eq(command_find_subcommand(container, name, size), command, "%s", command->name);
        cr_assert_null(command_find_subcommand(container, name, size - 1), "%s", command->name);
    }
}

Test(command_find, knows_no_subcommand_of_another_container) {
    const struct command *client = command_by_id(COMMAND_ID_CLIENT), *get = command_by_id(COMMAND_ID_GET);
    cr_assert_null(command_find_subcommand(client, (const uint8_t *)"encoding", 8));
    cr_assert_null(command_find_subcommand(client, (const uint8_t *)"", 0));
    cr_assert_null(command_find_subcommand(client, (const uint8_t *)"list\0", 5));
    cr_assert_null(command_find_subcommand(client, (const uint8_t *)"client|list", 11));
    cr_assert_null(command_find_subcommand(get, (const uint8_t *)"list", 4));
    cr_assert_null(command_find_subcommand(command_by_id(COMMAND_COUNT - 1), (const uint8_t *)"list", 4));
}

Test(command_find, an_index_without_memory_is_none) {
    struct mem empty = {.fuse = 1};
    cr_assert_null(command_index_new(&empty));
    cr_assert_eq(empty.used_bytes, 0);
    command_index_free(&empty, NULL);
}
