/* memory_test.c - MEMORY, and the report behind it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/conversation.h"
#include "node/memory_report.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define WITH_CLIENT             \
    struct conversation world;  \
    conversation_begin(&world); \
    struct session *client = conversation_client(&world, 1)

#define EXPECT(line, expected) \
    cr_assert_str_eq(say(&world, client, line), expected, "%s -> %s", line, world.reply)

Test(memory, usage_is_the_record_and_its_share_of_the_table) {
    WITH_CLIENT;
    EXPECT("MEMORY USAGE a", "$-1\r\n");
    say(&world, client, "SET a 1");
    /* 16 bytes of header, one of key, one of value: the class of 32; alone in a bucket of 64. */
    EXPECT("MEMORY USAGE a", ":96\r\n");
    say(&world, client, "SET {a}b 1");
    EXPECT("MEMORY USAGE a", ":64\r\n");
    EXPECT("MEMORY USAGE a SAMPLES 5 samples 0", ":64\r\n");
    conversation_end(&world);
}

Test(memory, usage_leaves_no_trace) {
    WITH_CLIENT;
    say(&world, client, "SET a 1");
    conversation_wait(&world, 7000);
    say(&world, client, "MEMORY USAGE a");
    say(&world, client, "MEMORY USAGE nosuch");
    EXPECT("OBJECT IDLETIME a", ":7\r\n");
    cr_assert_eq(world.node->keyspace->counters.misses, 0);
    conversation_end(&world);
}

Test(memory, usage_checks_its_options_before_the_key) {
    WITH_CLIENT;
    EXPECT("MEMORY USAGE nosuch SAMPLES x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("MEMORY USAGE nosuch SAMPLES -1", "-ERR syntax error\r\n");
    EXPECT("MEMORY USAGE nosuch SAMPLES", "-ERR syntax error\r\n");
    EXPECT("MEMORY USAGE nosuch NOSUCH 1", "-ERR syntax error\r\n");
    conversation_end(&world);
}

Test(memory, the_report_adds_up) {
    WITH_CLIENT;
    struct memory_report before, after;
    memory_report_collect(world.node, &before);
    cr_assert_gt(before.startup, 0);
    char line[160];
    for (int i = 0; i < 500; i++) {
        snprintf(line, sizeof line, "SET key:%d %0100d", i, i);
        say(&world, client, line);
    }
    memory_report_collect(world.node, &after);
    cr_assert_eq(after.overhead + after.dataset, after.used);
    cr_assert_eq(after.keys, 500);
    cr_assert_eq(after.used, world.mem.used_bytes);
    cr_assert_geq(after.peak, after.used);
    cr_assert_gt(after.dataset - before.dataset, 500 * 100);
    cr_assert_gt(after.tables[0], sizeof(struct database));
    cr_assert_geq(after.overhead, after.startup + after.tables[0] + after.clients.memory_bytes);
    conversation_end(&world);
}

Test(memory, stats_is_a_map_with_the_databases_in_use) {
    WITH_CLIENT;
    cr_assert_eq(strncmp(say(&world, client, "MEMORY STATS"), "*54\r\n$14\r\npeak.allocated\r\n:", 26), 0);
    cr_assert_null(strstr(world.reply, "db."));
    say(&world, client, "SET a 1");
    say(&world, client, "HELLO 3");
    const char *reply = say(&world, client, "MEMORY STATS");
    cr_assert_eq(strncmp(reply, "%28\r\n$14\r\npeak.allocated\r\n:", 26), 0);
    cr_assert_not_null(strstr(reply, "$4\r\ndb.0\r\n%3\r\n$23\r\noverhead.hashtable.main\r\n:"));
    cr_assert_not_null(strstr(reply, "$10\r\nkeys.count\r\n:1\r\n"));
    cr_assert_not_null(strstr(reply, "$13\r\nfragmentation\r\n,"));
    conversation_end(&world);
}

Test(memory, the_doctor_finds_nothing_in_little_memory) {
    WITH_CLIENT;
    cr_assert_not_null(strstr(say(&world, client, "MEMORY DOCTOR"), "Hardly any memory"));
    /* As if it had been much more once. */
    world.mem.peak_bytes = 100 << 20;
    cr_assert_not_null(strstr(say(&world, client, "MEMORY DOCTOR"), "At its peak"));
    conversation_end(&world);
}

Test(memory, purge_asks_the_host) {
    WITH_CLIENT;
    EXPECT("MEMORY PURGE", "+OK\r\n");
    cr_assert_eq(world.purges, 1);
    conversation_end(&world);
}
