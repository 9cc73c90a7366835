/* debug_test.c - DEBUG, and who may use it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/conversation.h"

#include <criterion/criterion.h>

#define REFUSED                                                                                                      \
    "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a " \
    "local connection, otherwise you need to set this option in the configuration file, and then restart the "       \
    "server.\r\n"

#define WITH_CLIENT                           \
    struct conversation world;                \
    conversation_begin(&world);               \
    world.config.enable_debug_command = true; \
    struct session *client = conversation_client(&world, 1)

#define EXPECT(line, expected) \
    cr_assert_str_eq(say(&world, client, line), expected, "%s -> %s", line, world.reply)

Test(debug, is_refused_unless_it_is_allowed) {
    WITH_CLIENT;
    world.config.enable_debug_command = false;
    EXPECT("DEBUG SLEEP 0", REFUSED);
    EXPECT("DEBUG", "-ERR wrong number of arguments for 'debug' command\r\n");
    world.config.enable_debug_command_local = true;
    EXPECT("DEBUG SLEEP 0", "+OK\r\n");
    struct node_client stranger = {.peer_address = "192.0.2.1:5", .local_address = "192.0.2.2:6379"};
    world.config.protected_mode = false;
    struct session *from_afar = node_accept(world.node, &stranger);
    cr_assert_str_eq(say(&world, from_afar, "DEBUG SLEEP 0"), REFUSED);
    cr_assert_str_eq(say(&world, conversation_client(&world, 0), "DEBUG SLEEP 0"), "+OK\r\n");
    conversation_end(&world);
}

Test(debug, sleep_is_the_hosts) {
    WITH_CLIENT;
    EXPECT("DEBUG SLEEP 0.25", "+OK\r\n");
    cr_assert_eq(world.slept_us, 250000);
    EXPECT("DEBUG SLEEP abc", "+OK\r\n");
    EXPECT("DEBUG SLEEP -1", "+OK\r\n");
    cr_assert_eq(world.slept_us, 250000);
    EXPECT("DEBUG SLEEP inf", "+OK\r\n");
    cr_assert_eq(world.slept_us, 250000 + UINT64_C(3600000000));
    conversation_end(&world);
}

Test(debug, active_expiry_can_be_stopped) {
    WITH_CLIENT;
    EXPECT("DEBUG SET-ACTIVE-EXPIRE 0", "+OK\r\n");
    say(&world, client, "SET a 1 PX 10");
    for (int i = 0; i < 20; i++) {
        conversation_wait(&world, 200);
        node_work(world.node);
    }
    EXPECT("DBSIZE", ":1\r\n");
    EXPECT("DEBUG SET-ACTIVE-EXPIRE 1", "+OK\r\n");
    for (int i = 0; i < 2000 && world.node->keyspace->counters.expired == 0; i++) {
        conversation_wait(&world, 100);
        node_work(world.node);
    }
    EXPECT("DBSIZE", ":0\r\n");
    conversation_end(&world);
}

Test(debug, object_shows_how_a_value_is_kept) {
    WITH_CLIENT;
    EXPECT("DEBUG OBJECT nosuch", "-ERR no such key\r\n");
    say(&world, client, "SET a hello");
    conversation_wait(&world, 3000);
    const char *reply = say(&world, client, "DEBUG OBJECT a");
    cr_assert_eq(strncmp(reply, "+Value at:", 10), 0);
    cr_assert_not_null(strstr(reply, " serializedlength:5 "));
    cr_assert_not_null(strstr(reply, " lru_seconds_idle:3 "));
    conversation_end(&world);
}

Test(debug, htstats_describes_a_databases_tables) {
    WITH_CLIENT;
    cr_assert_not_null(strstr(say(&world, client, "DEBUG HTSTATS 3"), "never been written"));
    say(&world, client, "SET a 1");
    say(&world, client, "SET {a}b 1 EX 100");
    const char *reply = say(&world, client, "DEBUG HTSTATS 0");
    cr_assert_not_null(strstr(reply, "keys: 2, with an expiry: 1, records: 2\n"));
    cr_assert_not_null(strstr(reply, "slots in use: 1 of 16384"));
    cr_assert_not_null(strstr(reply, "fullest slot: 15495 with 2 records"));
    EXPECT("DEBUG HTSTATS 16", "-ERR Out of range database\r\n");
    EXPECT("DEBUG HTSTATS x", "-ERR value is not an integer or out of range\r\n");
    conversation_end(&world);
}

Test(debug, the_small_ones_do_what_they_say) {
    WITH_CLIENT;
    EXPECT("DEBUG ERROR \"MY error\"", "-MY error\r\n");
    EXPECT("DEBUG LOG hello", "+OK\r\n");
    cr_assert_str_eq(world.logged, "DEBUG LOG: hello");
    cr_assert_not_null(strstr(say(&world, client, "DEBUG HELP"), "+SLEEP <seconds>\r\n"));
    const char *wrong_form =
        "-ERR unknown subcommand or wrong number of arguments for 'SLEEP'. Try DEBUG HELP.\r\n";
    EXPECT("DEBUG SLEEP", wrong_form);
    EXPECT("DEBUG SLEEP 0 1", wrong_form);
    EXPECT("DEBUG NOSUCH",
           "-ERR unknown subcommand or wrong number of arguments for 'NOSUCH'. Try DEBUG HELP.\r\n");
    conversation_end(&world);
}
