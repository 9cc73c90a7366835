/* latency_test.c - LATENCY: the rings of slow events, and the histograms of commands.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/conversation.h"
#include "node/latency.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define MS UINT64_C(1000000)

Test(latency, an_event_shows_its_last_and_its_longest) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    latency_note(world.node, "command", 250 * MS);
    conversation_wait(&world, 1000);
    latency_note(world.node, "command", 120 * MS);
    cr_assert_str_eq(say(&world, client, "LATENCY LATEST"),
                     "*1\r\n*4\r\n$7\r\ncommand\r\n:1800000001\r\n:120\r\n:250\r\n");
    cr_assert_str_eq(say(&world, client, "LATENCY HISTORY command"),
                     "*2\r\n*2\r\n:1800000000\r\n:250\r\n*2\r\n:1800000001\r\n:120\r\n");
    cr_assert_str_eq(say(&world, client, "LATENCY HISTORY COMMAND"), "*0\r\n");
    conversation_end(&world);
}

Test(latency, within_a_second_only_the_longest_is_kept) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    latency_note(world.node, "expire-cycle", 10 * MS);
    latency_note(world.node, "expire-cycle", 30 * MS);
    latency_note(world.node, "expire-cycle", 20 * MS);
    cr_assert_str_eq(say(&world, client, "LATENCY HISTORY expire-cycle"),
                     "*1\r\n*2\r\n:1800000000\r\n:30\r\n");
    conversation_end(&world);
}

Test(latency, a_ring_keeps_the_last_160_in_order_however_often_it_turns) {
    struct conversation world;
    conversation_begin(&world);
    for (unsigned i = 0; i < 1000; i++) {
        latency_note(world.node, "command", (i + 1) * MS);
        conversation_wait(&world, 1000);
        const struct latency_event *event = latency_find(world.node->latency, (const uint8_t *)"command", 7);
        uint32_t count = latency_sample_count(event);
        cr_assert_eq(count, i < 159 ? i + 1 : 160);
        for (uint32_t k = 0; k < count; k++)
            cr_assert_eq(latency_sample_at(event, k)->duration_ms, i + 1 - (count - 1 - k));
    }
    conversation_end(&world);
}

Test(latency, reset_forgets_what_is_named_or_all) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    latency_note(world.node, "command", MS);
    latency_note(world.node, "fast-command", 2 * MS);
    latency_note(world.node, "expire-cycle", 3 * MS);
    cr_assert_str_eq(say(&world, client, "LATENCY RESET command nosuch"), ":1\r\n");
    cr_assert_str_eq(say(&world, client, "LATENCY HISTORY command"), "*0\r\n");
    cr_assert_str_eq(say(&world, client, "LATENCY HISTORY expire-cycle"),
                     "*1\r\n*2\r\n:1800000000\r\n:3\r\n");
    cr_assert_str_eq(say(&world, client, "LATENCY RESET"), ":2\r\n");
    cr_assert_str_eq(say(&world, client, "LATENCY LATEST"), "*0\r\n");
    latency_note(world.node, "command", 4 * MS);
    cr_assert_str_eq(say(&world, client, "LATENCY LATEST"),
                     "*1\r\n*4\r\n$7\r\ncommand\r\n:1800000000\r\n:4\r\n:4\r\n");
    conversation_end(&world);
}

Test(latency, more_kinds_of_events_than_there_is_room_for_are_not_noted) {
    struct conversation world;
    conversation_begin(&world);
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    for (unsigned i = 0; i < 9; i++)
        latency_note(world.node, names[i], MS);
    cr_assert_eq(world.node->latency->event_count, LATENCY_EVENTS_MAX);
    conversation_end(&world);
}

Test(latency, slow_commands_are_noted_by_their_kind) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    say(&world, client, "CONFIG SET latency-monitor-threshold 5");
    world.clock_step_ns = 4 * MS;
    say(&world, client, "GET a");
    world.clock_step_ns = 6 * MS;
    say(&world, client, "GET a");
    world.clock_step_ns = 7 * MS;
    say(&world, client, "KEYS *");
    world.clock_step_ns = 0;
    const char *reply = say(&world, client, "LATENCY LATEST");
    cr_assert_not_null(strstr(reply, "$12\r\nfast-command\r\n:1800000000\r\n:6\r\n:6\r\n"), "%s", reply);
    cr_assert_not_null(strstr(reply, "$7\r\ncommand\r\n:1800000000\r\n:7\r\n:7\r\n"), "%s", reply);
    conversation_end(&world);
}

Test(latency, the_doctor_tells_what_is_known) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    cr_assert_not_null(strstr(say(&world, client, "LATENCY DOCTOR"), "latency-monitor-threshold is 0"));
    say(&world, client, "CONFIG SET latency-monitor-threshold 50");
    cr_assert_not_null(strstr(say(&world, client, "LATENCY DOCTOR"), "50 ms"));
    latency_note(world.node, "expire-cycle", 60 * MS);
    conversation_wait(&world, 3000);
    const char *reply = say(&world, client, "LATENCY DOCTOR");
    cr_assert_not_null(strstr(reply, "expire-cycle: 1 "));
    cr_assert_not_null(strstr(reply, "60 ms at most; the last was 3 s ago"));
    cr_assert_not_null(strstr(reply, "times to live"));
    conversation_end(&world);
}

Test(latency, a_histogram_counts_calls_up_to_powers_of_two) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    const struct command *get = command_by_id(COMMAND_ID_GET);
    node_book(world.node, client, get, 3, 500, NULL, 0);
    node_book(world.node, client, get, 2, 20000, NULL, 0);
    node_book(world.node, client, get, 1, 2000000, NULL, 0);
    cr_assert_str_eq(say(&world, client, "LATENCY HISTOGRAM GET nosuch a|b get|x"),
                     "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:6\r\n$14\r\nhistogram_usec\r\n"
                     "*6\r\n:1\r\n:3\r\n:33\r\n:5\r\n:2113\r\n:6\r\n");
    cr_assert_str_eq(say(&world, client, "LATENCY HISTOGRAM append"), "*0\r\n");
    conversation_end(&world);
}

Test(latency, what_takes_longer_than_any_bound_is_counted_too) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    node_book(world.node, client, command_by_id(COMMAND_ID_GET), 1, UINT64_C(1) << 50, NULL, 0);
    cr_assert_str_eq(
        say(&world, client, "LATENCY HISTOGRAM get"),
        "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:1108101562\r\n:1\r\n");
    conversation_end(&world);
}

Test(latency, a_container_shows_the_histograms_of_its_subcommands) {
    struct conversation world;
    conversation_begin(&world);
    struct session *client = conversation_client(&world, 1);
    say(&world, client, "HELLO 3");
    say(&world, client, "CLIENT GETNAME");
    say(&world, client, "CLIENT ID");
    const char *expected =
        "%2\r\n$14\r\nclient|getname\r\n%2\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n%1\r\n:1\r\n:1\r\n"
        "$9\r\nclient|id\r\n%2\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n%1\r\n:1\r\n:1\r\n";
    cr_assert_str_eq(say(&world, client, "LATENCY HISTOGRAM client"), expected);
    cr_assert_eq(strncmp(say(&world, client, "LATENCY HISTOGRAM CLIENT|ID"), "%1\r\n$9\r\nclient|id\r\n", 19),
                 0);
    conversation_end(&world);
}
