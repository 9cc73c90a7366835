/* server_test.c - TIME, ROLE, WAIT, LOLWUT, SHUTDOWN, HELP; every row has its handler; no command minds
 * missing memory.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/conversation.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define WITH_CLIENT             \
    struct conversation world;  \
    conversation_begin(&world); \
    struct session *client = conversation_client(&world, 1)

#define EXPECT(line, expected) \
    cr_assert_str_eq(say(&world, client, line), expected, "%s -> %s", line, world.reply)

Test(server, the_time_is_the_worlds) {
    WITH_CLIENT;
    EXPECT("TIME", "*2\r\n$10\r\n1800000000\r\n$6\r\n123456\r\n");
    conversation_wait(&world, 2000);
    EXPECT("TIME", "*2\r\n$10\r\n1800000002\r\n$6\r\n123456\r\n");
    EXPECT("LASTSAVE", ":1800000000\r\n");
    conversation_end(&world);
}

Test(server, it_is_a_master_without_replicas) {
    WITH_CLIENT;
    EXPECT("ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    EXPECT("WAIT 0 0", ":0\r\n");
    EXPECT("WAIT 3 1000", ":0\r\n");
    EXPECT("WAIT x x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("WAIT 0 x", "-ERR timeout is not an integer or out of range\r\n");
    EXPECT("WAIT 0 -1", "-ERR timeout is negative\r\n");
    conversation_end(&world);
}

Test(server, shutdown_is_a_wish_to_the_world) {
    static const struct {
        const char *line;
        enum node_shutdown wish;
    } cases[] = {{"SHUTDOWN", NODE_SHUTDOWN},
                 {"SHUTDOWN save", NODE_SHUTDOWN},
                 {"SHUTDOWN NOSAVE NOW FORCE", NODE_SHUTDOWN_NOSAVE}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        WITH_CLIENT;
        cr_assert_eq(node_shutdown_wish(world.node), NODE_RUNNING);
        EXPECT(cases[i].line, "");
        cr_assert_eq(node_shutdown_wish(world.node), cases[i].wish);
        cr_assert(node_wants_close(client));
        conversation_end(&world);
    }
}

Test(server, shutdown_refuses_words_that_contradict_each_other) {
    static const char *const wrong[] = {"SHUTDOWN NOSUCH", "SHUTDOWN SAVE NOSAVE", "SHUTDOWN ABORT NOW",
                                        "SHUTDOWN NOW NOW NOSUCH"};
    WITH_CLIENT;
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
        EXPECT(wrong[i], "-ERR syntax error\r\n");
    EXPECT("SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n");
    cr_assert_eq(node_shutdown_wish(world.node), NODE_RUNNING);
    conversation_end(&world);
}

Test(server, lolwut_draws_and_names_the_version) {
    WITH_CLIENT;
    cr_assert_not_null(strstr(say(&world, client, "LOLWUT"), "Redis ver. 7.2.4"));
    cr_assert_eq(strncmp(say(&world, client, "LOLWUT VERSION 5 1 2"), "$", 1), 0);
    EXPECT("LOLWUT VERSION x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("LOLWUT VERSION 6 x", "-ERR value is not an integer or out of range\r\n");
    cr_assert_eq(say(&world, client, "LOLWUT x y")[0], '$');
    cr_assert_eq(say(&world, client, "LOLWUT 999999999 -5")[0], '$');
    conversation_end(&world);
}

Test(server, every_container_helps) {
    WITH_CLIENT;
    for (unsigned id = 0; id < COMMAND_COUNT; id++) {
        const struct command *command = command_by_id(id);
        const char *bar = strstr(command->name, "|help");
        if (bar == NULL)
            continue;
        char line[64];
        snprintf(line, sizeof line, "%.*s HELP", (int)(bar - command->name), command->name);
        const char *reply = say(&world, client, line);
        cr_assert_eq(reply[0], '*', "%s -> %s", line, reply);
        cr_assert_not_null(strstr(reply, " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n"),
                           "%s", line);
    }
    conversation_end(&world);
}

/* ---- Without memory ---- */

static bool is_ordinary(const char *reply) {
    return reply[0] != '\0' && strchr("+-:$*%=_", reply[0]) != NULL;
}

/* Makes each allocation of a line fail, one run each: the session lives with an answer, or is closed. */
static void expect_no_harm(const char *line, bool stays_blown) {
    for (uint64_t fuse = 1; fuse < 300; fuse++) {
        struct conversation world;
        conversation_begin(&world);
        struct session *client = conversation_client(&world, 1), *monitor = conversation_client(&world, 2);
        say(&world, monitor, "MONITOR");
        say(&world, client, "SET a 1");
        say(&world, client, "WATCH a");
        say(&world, client, "CLIENT SETNAME me");
        say(&world, client, "CONFIG SET slowlog-log-slower-than 0 latency-monitor-threshold 1");
        world.clock_step_ns = 2000000;
        world.mem.fuse = fuse;
        world.mem.fuse_stays_blown = stays_blown;
        const char *reply = say(&world, client, line);
        bool was_blown = world.mem.fuse == 0 || stays_blown;
        world.mem.fuse = 0;
        cr_assert(conversation_is_closing(client) || is_ordinary(reply), "%s, allocation %llu: %s", line,
                  (unsigned long long)fuse, reply);
        if (!conversation_is_closing(client))
            cr_assert_eq(say(&world, client, "PING")[0], '+', "%s, allocation %llu: PING -> %s", line,
                         (unsigned long long)fuse, world.reply);
        conversation_end(&world);
        if (!was_blown || (stays_blown && fuse > 40))
            return;
    }
}

Test(server, missing_memory_harms_nothing) {
    static const char *const lines[] = {"PING x",
                                        "HELLO 3 SETNAME you",
                                        "CLIENT SETNAME you",
                                        "CLIENT SETINFO lib-name x",
                                        "CLIENT LIST",
                                        "CLIENT INFO",
                                        "CLIENT LIST ID 1 2",
                                        "INFO everything",
                                        "INFO jobs",
                                        "SLOWLOG GET",
                                        "LATENCY DOCTOR",
                                        "LATENCY LATEST",
                                        "LATENCY HISTOGRAM",
                                        "MEMORY STATS",
                                        "MEMORY DOCTOR",
                                        "MEMORY USAGE a",
                                        "LOLWUT",
                                        "CONFIG GET *",
                                        "CONFIG RESETSTAT",
                                        "COMMAND",
                                        "COMMAND DOCS get",
                                        "CLIENT HELP",
                                        "MULTI",
                                        "EXEC",
                                        "WATCH b c d",
                                        "UNWATCH",
                                        "RESET",
                                        "TIME",
                                        "ROLE",
                                        "AUTH x",
                                        "NOSUCH x",
                                        "CLIENT KILL ID 99"};
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        expect_no_harm(lines[i], false);
        expect_no_harm(lines[i], true);
    }
}
