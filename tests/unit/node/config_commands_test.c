/* config_commands_test.c - CONFIG as clients see it; what the settings mean is tested in config_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/conversation.h"
#include "store/reclaim.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define WITH_CLIENT             \
    struct conversation world;  \
    conversation_begin(&world); \
    struct session *client = conversation_client(&world, 1)

#define EXPECT(line, expected) \
    cr_assert_str_eq(say(&world, client, line), expected, "%s -> %s", line, world.reply)

Test(config_commands, get_is_a_map) {
    WITH_CLIENT;
    EXPECT("CONFIG GET timeout", "*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n");
    EXPECT("CONFIG GET nosuch", "*0\r\n");
    say(&world, client, "HELLO 3");
    EXPECT("CONFIG GET timeout nosuch timeout", "%1\r\n$7\r\ntimeout\r\n$1\r\n0\r\n");
    conversation_end(&world);
}

Test(config_commands, a_pattern_far_longer_than_any_name_is_refused) {
    WITH_CLIENT;
    static char line[PATTERN_SIZE_MAX + 100];
    size_t size = (size_t)snprintf(line, sizeof line, "CONFIG GET timeout ");
    memset(line + size, '*', PATTERN_SIZE_MAX);
    cr_assert_eq(strncmp(say(&world, client, line), "*", 1), 0, "as long as may be");
    line[size + PATTERN_SIZE_MAX] = '*';
    EXPECT(line, "-ERR pattern is too long\r\n");
    size = (size_t)snprintf(line, sizeof line, "COMMAND LIST FILTERBY PATTERN ");
    memset(line + size, '*', PATTERN_SIZE_MAX);
    cr_assert_eq(strncmp(say(&world, client, line), "*", 1), 0, "as long as may be");
    line[size + PATTERN_SIZE_MAX] = '*';
    EXPECT(line, "-ERR pattern is too long\r\n");
    conversation_end(&world);
}

Test(config_commands, set_tells_the_host) {
    WITH_CLIENT;
    EXPECT("CONFIG SET timeout 5", "+OK\r\n");
    cr_assert_eq(world.config.timeout_s, 5);
    cr_assert_str_eq(world.changed, "timeout");
    EXPECT("CONFIG SET timeout 6 maxclients", "-ERR syntax error\r\n");
    EXPECT("CONFIG SET nosuch 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'\r\n");
    cr_assert_eq(world.config.timeout_s, 5);
    conversation_end(&world);
}

Test(config_commands, what_the_host_refuses_is_taken_back) {
    WITH_CLIENT;
    world.refuses = "timeout";
    EXPECT("CONFIG SET timeout 5",
           "-ERR CONFIG SET failed (possibly related to argument 'timeout') - the world says no\r\n");
    cr_assert_eq(world.config.timeout_s, 0);
    conversation_end(&world);
}

Test(config_commands, dir_and_dbfilename_may_change_where_that_is_allowed) {
    static const char refusal[] =
        "-ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config\r\n";
    WITH_CLIENT;
    struct session *local = conversation_client(&world, 0);
    EXPECT("CONFIG SET dir /data", refusal);
    EXPECT("CONFIG SET enable-protected-configs yes",
           "-ERR CONFIG SET failed (possibly related to argument 'enable-protected-configs') - can't set "
           "immutable config\r\n");
    world.config.enable_protected_configs_local = true;
    snprintf(client->peer_address, sizeof client->peer_address, "10.0.0.1:5");
    EXPECT("CONFIG SET dir /data", refusal);
    cr_assert_str_eq(say(&world, local, "CONFIG SET dir /data"), "+OK\r\n");
    cr_assert_str_eq(world.changed, "dir");
    world.config.enable_protected_configs = true;
    EXPECT("CONFIG SET dbfilename other.rdb", "+OK\r\n");
    EXPECT("CONFIG SET dbfilename a/b",
           "-ERR CONFIG SET failed (possibly related to argument 'dbfilename') - dbfilename can't be a path, "
           "just a filename\r\n");
    cr_assert_eq(strncmp(say(&world, client, "CONFIG SET dbfilename \"\""), "-ERR", 4), 0);
    EXPECT("CONFIG GET dbfilename", "*2\r\n$10\r\ndbfilename\r\n$9\r\nother.rdb\r\n");
    conversation_end(&world);
}

Test(config_commands, rewrite_needs_a_file) {
    WITH_CLIENT;
    EXPECT("CONFIG REWRITE", "-ERR The server is running without a config file\r\n");
    world.file = "# a remark\ntimeout 1\n";
    EXPECT("CONFIG SET timeout 5", "+OK\r\n");
    EXPECT("CONFIG REWRITE", "+OK\r\n");
    cr_assert_eq(strncmp(world.written, "# a remark\ntimeout 5\n", 21), 0, "%s", world.written);
    conversation_end(&world);
}

Test(config_commands, a_rewrite_that_fails_says_why) {
    WITH_CLIENT;
    char text[5000];
    memset(text, '#', sizeof text);
    text[sizeof text - 1] = '\0';
    world.file = text;
    EXPECT("CONFIG REWRITE", "-ERR Rewriting config file: disk full\r\n");
    cr_assert_not_null(strstr(world.logged, "disk full"));
    conversation_end(&world);
}

Test(config_commands, resetstat_empties_the_counters) {
    WITH_CLIENT;
    world.clock_step_ns = 1000;
    say(&world, client, "SET a 1 PX 5");
    say(&world, client, "GET a");
    say(&world, client, "GET nosuch");
    say(&world, client, "NOSUCH");
    say(&world, client, "AUTH x y");
    conversation_wait(&world, 10);
    say(&world, client, "GET a");
    world.node->keyspace->reclaim->done = 3;
    EXPECT("CONFIG RESETSTAT", "+OK\r\n");
    const struct statistics *statistics = &world.node->statistics;
    cr_assert_eq(statistics->of_command[COMMAND_ID_GET].calls, 0);
    cr_assert_eq(statistics->of_command[COMMAND_ID_GET].durations->count, 0);
    cr_assert_eq(statistics->of_command[COMMAND_ID_CONFIG_RESETSTAT].calls, 1);
    cr_assert_eq(statistics->error_count + statistics->error_replies + statistics->auth_failures, 0);
    cr_assert_eq(statistics->connections + statistics->reads, 0);
    cr_assert_eq(world.node->keyspace->counters.hits + world.node->keyspace->counters.misses, 0);
    cr_assert_eq(world.node->keyspace->counters.expired, 0);
    cr_assert_gt(world.node->keyspace->counters.changes, 0);
    cr_assert_eq(keyspace_reclaimed(world.node->keyspace), 0);
    EXPECT("INFO errorstats", "$14\r\n# Errorstats\r\n\r\n");
    conversation_end(&world);
}

Test(config_commands, rates_do_not_run_wild_after_resetstat) {
    WITH_CLIENT;
    for (int i = 0; i < 100; i++)
        say(&world, client, "PING");
    conversation_wait(&world, 200);
    node_work(world.node);
    EXPECT("CONFIG RESETSTAT", "+OK\r\n");
    conversation_wait(&world, 200);
    node_work(world.node);
    for (unsigned i = 0; i < STATISTICS_SAMPLES; i++)
        cr_assert_lt(world.node->statistics.commands_rate.samples[i], 1000);
    conversation_end(&world);
}
