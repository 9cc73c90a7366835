/* handlers_test.c - the node's own commands as a whole: each row has its function, and each call its one reply.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/handlers.h"

#include "node/conversation.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static bool is_bare_container(const struct command *command) {
    return command->flags & COMMAND_CONTAINER && command->arity < -1;
}

Test(handlers, every_row_is_run_by_a_handler_of_its_own_or_of_the_node) {
    for (unsigned id = 0; id < COMMAND_COUNT; id++) {
        const struct command *command = command_by_id(id);
        cr_assert_eq(node_handler_of(command) != NULL,
                     command->handler == NULL && !is_bare_container(command), "%s", command->name);
    }
}

/* ---- One reply each ---- */

/* The line's end behind `at`; NULL: there is none. */
static const char *behind_line(const char *at) {
    const char *end = strstr(at, "\r\n");
    return end == NULL ? NULL : end + 2;
}

/* Behind the reply that begins here; NULL: it is none, or not whole. */
static const char *behind_reply(const char *at) {
    uint64_t left = 1; /* replies that still have to come */
    for (; left > 0 && at != NULL; left--) {
        char type = *at;
        if (type == '\0' || strchr("+-:$*%~=_,#(>", type) == NULL)
            return NULL;
        long long count = strtoll(at + 1, NULL, 10);
        at = behind_line(at);
        if (at == NULL || count < 0)
            continue;
        if (type == '$' || type == '=') {
            if (strlen(at) < (size_t)count + 2 || memcmp(at + count, "\r\n", 2) != 0)
                return NULL;
            at += count + 2;
        } else if (type == '*' || type == '~' || type == '>') {
            left += (uint64_t)count;
        } else if (type == '%') {
            left += 2 * (uint64_t)count;
        }
    }
    return at;
}

/* A line that calls this row with as many words as it wants at least, and `more` besides. */
static void compose(const struct command *command, unsigned more, char line[256]) {
    unsigned words = (unsigned)abs(command->arity) + more, said = 0;
    size_t size = 0;
    for (const char *at = command->name; *at != '\0'; at++)
        line[size++] = *at == '|' ? ' ' : *at;
    said = strchr(command->name, '|') != NULL ? 2 : 1;
    for (; said < words; said++)
        size += (size_t)snprintf(line + size, 256 - size, " %u", said);
    line[size] = '\0';
}

/* Of these there may be no reply, or not exactly one to the request behind them. */
static bool replies_in_its_own_way(const struct command *command) {
    switch (command->id) {
    case COMMAND_ID_CLIENT_REPLY: /* OFF and SKIP answer nothing */
    case COMMAND_ID_CLIENT_PAUSE: /* holds the next request back */
    case COMMAND_ID_MONITOR:      /* is shown the next request, too */
    case COMMAND_ID_SHUTDOWN:
    case COMMAND_ID_QUIT: return true;
    default: return false;
    }
}

static void expect_one_reply(const struct command *command, unsigned more, unsigned protocol) {
    struct conversation world;
    conversation_begin(&world);
    world.config.enable_debug_command = true;
    struct session *client = conversation_client(&world, 1);
    if (protocol == 3)
        say(&world, client, "HELLO 3");
    char line[256], both[300];
    compose(command, more, line);
    snprintf(both, sizeof both, "%s\r\nECHO the-next", line);
    const char *reply = say(&world, client, both);
    const char *behind = behind_reply(reply);
    cr_assert_not_null(behind, "%s -> %s", line, reply);
    /* In a transaction that MULTI has begun the next is queued. */
    cr_assert(strcmp(behind, "$8\r\nthe-next\r\n") == 0 || strcmp(behind, "+QUEUED\r\n") == 0,
              "%s in RESP%u: behind its reply comes '%s'", line, protocol, behind);
    conversation_end(&world);
}

Test(handlers, every_call_is_answered_by_exactly_one_reply) {
    unsigned seen = 0;
    for (unsigned id = 0; id < COMMAND_COUNT; id++) {
        const struct command *command = command_by_id(id);
        if (replies_in_its_own_way(command))
            continue;
        for (unsigned protocol = 2; protocol <= 3; protocol++) {
            expect_one_reply(command, 0, protocol);
            expect_one_reply(command, 1, protocol);
            expect_one_reply(command, 2, protocol);
        }
        seen++;
    }
    cr_assert_geq(seen, COMMAND_COUNT - 5);
}

Test(handlers, a_wrong_number_of_words_is_noticed_before_a_handler_runs) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    for (unsigned id = 0; id < COMMAND_COUNT; id++) {
        const struct command *command = command_by_id(id);
        bool is_subcommand = strchr(command->name, '|') != NULL;
        if (command->flags & COMMAND_CONTAINER || abs(command->arity) < (is_subcommand ? 3 : 2))
            continue;
        char line[256], expected[300];
        compose(command, 0, line);
        *strrchr(line, ' ') = '\0';
        snprintf(expected, sizeof expected, "-ERR wrong number of arguments for '%s' command\r\n",
                 command->name);
        cr_assert_str_eq(say(&world, client, line), expected, "%s", line);
        cr_assert_eq(world.node->statistics.of_command[id].rejected, 1);
        cr_assert_eq(world.node->statistics.of_command[id].calls, 0);
    }
    conversation_end(&world);
}
