/* node_test.c - the life of a node and of its sessions: who is let in, who is sent away, and the work in between.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/conversation.h"
#include "store/reclaim.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define TICK_MS 100

static struct conversation world;

static void set_up(void) {
    conversation_begin(&world);
}

static void tear_down(void) {
    conversation_end(&world);
}

TestSuite(node, .init = set_up, .fini = tear_down);

/* A client from another machine. */
static struct session *stranger(void) {
    struct node_client client = {
        .descriptor = 8, .peer_address = "192.0.2.1:5", .local_address = "192.0.2.2:6379"};
    struct session *session = node_accept(world.node, &client);
    cr_assert_not_null(session);
    return session;
}

/* A later turn, with its background work. */
static uint32_t turn_later(uint64_t ms) {
    conversation_wait(&world, ms);
    return node_work(world.node);
}

static const struct histogram *job(enum job which) {
    return &world.node->statistics.jobs[which];
}

/* ---- Being let in ---- */

Test(node, one_client_too_many_is_told_so_and_closed_behind_it) {
    world.config.maxclients = 2;
    struct session *first = conversation_client(&world, 1), *second = conversation_client(&world, 2);
    struct session *third = conversation_client(&world, 3);
    cr_assert(!node_wants_close(third), "not before its error is sent");
    cr_assert_str_eq(hear(&world, third), "-ERR max number of clients reached\r\n");
    cr_assert(node_wants_close(third));
    cr_assert_eq(node_attention(world.node), third, "the world is told");
    cr_assert_str_eq(say(&world, first, "PING"), "+PONG\r\n");
    cr_assert_eq(world.node->statistics.rejected_connections, 1);
    node_close(world.node, third);
    node_close(world.node, second);
    cr_assert_str_eq(say(&world, conversation_client(&world, 4), "PING"), "+PONG\r\n", "there is room again");
}

Test(node, protected_mode_lets_only_this_machine_in) {
    struct session *client = stranger();
    cr_assert_eq(strncmp(hear(&world, client), "-DENIED ", 8), 0, "%s", world.reply);
    cr_assert(node_wants_close(client));
    cr_assert_str_eq(say(&world, conversation_client(&world, 0), "PING"), "+PONG\r\n", "by the unix socket");
    cr_assert_str_eq(say(&world, conversation_client(&world, 1), "PING"), "+PONG\r\n", "by 127.0.0.1");
    world.config.protected_mode = false;
    cr_assert_str_eq(say(&world, stranger(), "PING"), "+PONG\r\n");
    world.config.protected_mode = true;
    say(&world, conversation_client(&world, 1), "CONFIG SET requirepass secret");
    cr_assert_eq(strncmp(say(&world, stranger(), "PING"), "-NOAUTH", 7), 0, "a password protects enough");
}

Test(node, without_memory_nobody_is_let_in_and_nothing_is_lost) {
    world.mem.fuse = 1;
    struct node_client client = {.is_loopback = true, .peer_address = "127.0.0.1:1", .local_address = ""};
    cr_assert_null(node_accept(world.node, &client));
    cr_assert_eq(world.node->session_count, 0);
    cr_assert_null(node_first_session(world.node));
}

Test(node, a_node_that_finds_no_memory_leaves_none_behind) {
    struct node_options options = {.host = &world.node->host, .config = &world.config};
    unsigned failures = 0;
    for (uint64_t fuse = 1; fuse < 100; fuse++) {
        struct mem mem = {.fuse = fuse};
        options.mem = &mem;
        struct node *node = node_new(&options);
        bool has_failed = mem.fuse == 0;
        cr_assert_eq(node == NULL, has_failed, "allocation %llu", (unsigned long long)fuse);
        node_free(node);
        cr_assert_eq(mem.used_bytes, 0, "allocation %llu", (unsigned long long)fuse);
        failures += has_failed;
        if (!has_failed)
            break;
    }
    cr_assert_geq(failures, 5);
    cr_assert_lt(failures, 99);
}

/* ---- Being sent away ---- */

Test(node, who_says_nothing_for_too_long_is_closed) {
    world.config.timeout_s = 10;
    struct session *idle = conversation_client(&world, 1), *busy = conversation_client(&world, 2);
    struct session *watcher = conversation_client(&world, 3);
    say(&world, watcher, "MONITOR");
    for (unsigned i = 0; i < 101; i++) {
        cr_assert(!node_wants_close(idle), "too early: after %u ms", i * 100);
        say(&world, busy, "PING");
        turn_later(TICK_MS);
    }
    cr_assert(node_wants_close(idle));
    cr_assert(!node_wants_close(busy));
    cr_assert(!node_wants_close(watcher), "who monitors has nothing to say");
}

Test(node, a_wall_clock_that_jumps_closes_nobody) {
    world.config.timeout_s = 10;
    struct session *client = conversation_client(&world, 1);
    world.wall_us += INT64_C(86400) * 1000000;
    turn_later(TICK_MS);
    world.wall_us -= INT64_C(2 * 86400) * 1000000;
    turn_later(TICK_MS);
    cr_assert(!node_wants_close(client));
}

Test(node, who_does_not_log_in_is_closed_after_half_a_minute) {
    say(&world, conversation_client(&world, 1), "CONFIG SET requirepass secret");
    struct session *silent = conversation_client(&world, 2), *welcome = conversation_client(&world, 3);
    say(&world, welcome, "AUTH secret");
    for (unsigned i = 0; i < 300; i++) {
        turn_later(TICK_MS);
        say(&world, silent, "PING"); /* talking is no excuse */
        cr_assert(!node_wants_close(silent), "too early: after %u ms", i * 100);
    }
    turn_later(TICK_MS);
    cr_assert(node_wants_close(silent));
    cr_assert(!node_wants_close(welcome));
}

Test(node, every_session_has_its_turn_however_many_there_are) {
    world.config.timeout_s = 1;
    enum { CLIENTS = 2500 };
    for (unsigned i = 0; i < CLIENTS; i++)
        conversation_client(&world, 1 + i);
    conversation_wait(&world, 2000);
    unsigned closed = 0, ticks = 0;
    for (; closed < CLIENTS && ticks < 10; ticks++) {
        unsigned before = closed;
        turn_later(TICK_MS);
        for (struct session *session; (session = node_attention(world.node)) != NULL; closed++) {
            cr_assert(node_wants_close(session));
            node_close(world.node, session);
        }
        cr_assert_leq(closed - before, 1000, "a step is bounded");
    }
    cr_assert_eq(closed, CLIENTS);
    cr_assert_eq(ticks, 3);
}

Test(node, who_stays_above_the_soft_limit_too_long_is_closed) {
    world.config.output_limits[CLIENT_CLASS_NORMAL] = (struct output_limit){.soft_bytes = 1000, .soft_s = 2};
    struct session *reader = conversation_client(&world, 1), *deaf = conversation_client(&world, 2);
    static const char long_text[1500] = {[0 ... 1498] = 'x'};
    node_push(world.node, reader, long_text, sizeof long_text);
    node_push(world.node, deaf, long_text, sizeof long_text);
    for (unsigned i = 0; i < 20; i++)
        turn_later(TICK_MS);
    hear(&world, reader);
    unsigned ticks = 0;
    for (; !node_wants_close(deaf); ticks++) {
        cr_assert_lt(ticks, 10);
        turn_later(TICK_MS);
    }
    cr_assert_eq(ticks, 2, "closed %u ms after it was seen above the limit", 1900 + ticks * TICK_MS);
    node_close(world.node, deaf);
    cr_assert(!node_wants_close(reader));
    node_push(world.node, reader, long_text, sizeof long_text);
    turn_later(TICK_MS);
    cr_assert(!node_wants_close(reader), "it begins anew");
    cr_assert_eq(world.node->statistics.output_buffer_closed, 1);
}

Test(node, a_push_beyond_the_hard_limit_is_the_end) {
    world.config.output_limits[CLIENT_CLASS_NORMAL] = (struct output_limit){.hard_bytes = 1000};
    struct session *client = conversation_client(&world, 1);
    static const char text[600];
    node_push(world.node, client, text, sizeof text);
    cr_assert(!node_wants_close(client));
    node_push(world.node, client, text, sizeof text);
    cr_assert(node_wants_close(client));
    cr_assert_eq(node_output(world.node, client).size, 0, "nothing more is sent");
}

Test(node, a_session_may_go_at_any_time) {
    struct session *client = conversation_client(&world, 1), *other = conversation_client(&world, 2);
    say(&world, client, "MONITOR");
    say(&world, client, "WATCH a b c");
    say(&world, client, "MULTI");
    say(&world, client, "SET a 1");
    say(&world, other, "PING"); /* a line waits for the monitor: it is on the list */
    node_close(world.node, client);
    cr_assert_str_eq(say(&world, other, "SET a 2"), "+OK\r\n");
    cr_assert_eq(node_attention(world.node), NULL);
    cr_assert_eq(world.node->session_count, 1);
}

Test(node, the_output_of_one_session_never_goes_to_another) {
    struct session *client = conversation_client(&world, 1), *other = conversation_client(&world, 2);
    struct node_span space = node_input_space(world.node, client);
    memcpy(space.data, "ECHO secret\r\n", 13);
    node_input(world.node, client, 13);
    cr_assert_eq(node_output(world.node, client).size, 12);
    node_close(world.node, client); /* before it was sent */
    cr_assert_str_eq(say(&world, other, "PING"), "+PONG\r\n");
}

/* ---- Background work ---- */

Test(node, it_wants_to_be_called_again_at_the_next_tick) {
    cr_assert_eq(turn_later(TICK_MS), TICK_MS);
    cr_assert_eq(turn_later(30), TICK_MS - 30);
    cr_assert_eq(turn_later(69), 1);
    cr_assert_eq(turn_later(1), TICK_MS);
    conversation_client(&world, 1);
    node_push(world.node, node_first_session(world.node), "x", 1);
    cr_assert_eq(turn_later(10), 0, "somebody waits for the world");
}

Test(node, keys_go_when_their_time_has_come_without_being_asked_for) {
    struct session *client = conversation_client(&world, 1);
    for (unsigned i = 0; i < 5000; i++) {
        char line[64];
        snprintf(line, sizeof line, "SET key:%u x PX %u", i, i % 2 ? 1000 : 100000);
        say(&world, client, line);
    }
    for (unsigned i = 0; i < 9; i++)
        turn_later(TICK_MS);
    cr_assert_eq(keyspace_size(world.node->keyspace, 0), 5000);
    conversation_wait(&world, 600);
    /* A walk that was under way is ended first: the next one sees all. */
    for (unsigned walk = 0; walk < 2; walk++) {
        unsigned turns = 0;
        turn_later(TICK_MS);
        while (node_work(world.node) == 0)
            cr_assert_lt(++turns, 1000);
    }
    cr_assert_eq(keyspace_size(world.node->keyspace, 0), 2500);
}

Test(node, a_flushed_database_is_given_back_in_steps_until_nothing_is_left) {
    struct session *client = conversation_client(&world, 1);
    for (unsigned i = 0; i < 10000; i++) {
        char line[64];
        snprintf(line, sizeof line, "SET key:%u x", i);
        say(&world, client, line);
    }
    turn_later(TICK_MS);
    say(&world, client, "FLUSHALL");
    cr_assert_eq(keyspace_reclaim_pending(world.node->keyspace), 10000);
    unsigned steps = 0;
    while (node_work(world.node) == 0)
        cr_assert_lt(++steps, 100);
    cr_assert_geq(steps, 10000 / JOB_STEP_UNITS);
    cr_assert_eq(keyspace_reclaimed(world.node->keyspace), 10000);
    cr_assert_eq(world.node->keyspace->reclaim->queued, 0);
}

/* ---- What is told of it ---- */

Test(node, each_step_of_a_job_is_noted_with_the_processor_time_that_it_took) {
    struct session *client = conversation_client(&world, 1);
    world.cpu_step_ns = 12000;
    world.clock_step_ns = 999999; /* what the clock says is no matter */
    turn_later(TICK_MS);
    cr_assert_eq(job(JOB_CLIENTS)->count, 1);
    cr_assert_eq(job(JOB_CLIENTS)->maximum, 12000);
    cr_assert_eq(job(JOB_EXPIRE)->count, 1);
    cr_assert_eq(job(JOB_EXPIRE)->maximum, 12000);
    cr_assert_eq(job(JOB_RECLAIM)->count, 0, "there was nothing to do");
    world.clock_step_ns = 0;
    for (unsigned i = 0; i < 2000; i++) {
        char line[64];
        snprintf(line, sizeof line, "SET key:%u x", i);
        say(&world, client, line);
    }
    say(&world, client, "FLUSHALL");
    world.cpu_step_ns = 34000;
    turn_later(1); /* no tick */
    cr_assert_eq(job(JOB_RECLAIM)->count, 1);
    cr_assert_eq(job(JOB_RECLAIM)->maximum, 34000);
    cr_assert_eq(job(JOB_CLIENTS)->count, 1);
    turn_later(TICK_MS);
    cr_assert_eq(job(JOB_CLIENTS)->count, 2);
    cr_assert_eq(job(JOB_CLIENTS)->maximum, 34000);
    cr_assert_not_null(strstr(say(&world, client, "INFO jobs"), "job_clients:steps=2,"), "%s", world.reply);
}

Test(node, a_long_move_of_a_table_is_noted_with_the_processor_time_that_it_took) {
    struct session *client = conversation_client(&world, 1);
    world.cpu_step_ns = 7000;
    for (unsigned i = 0; i < 3000; i++) {
        char line[64];
        snprintf(line, sizeof line, "SET {one}:%u x", i);
        say(&world, client, line);
        if (i == 200)
            cr_assert_eq(job(JOB_RESIZE)->count, 0, "short moves are not looked at");
    }
    uint64_t grown = job(JOB_RESIZE)->count;
    cr_assert_geq(grown, 8);
    cr_assert_eq(job(JOB_RESIZE)->maximum, 7000);
    for (unsigned i = 0; i < 3000; i++) {
        char line[64];
        snprintf(line, sizeof line, "DEL {one}:%u", i);
        say(&world, client, line);
    }
    cr_assert_gt(job(JOB_RESIZE)->count, grown);
    cr_assert_not_null(strstr(say(&world, client, "INFO jobs"), "job_resize:steps="), "%s", world.reply);
}

Test(node, requests_cost_no_look_at_the_processor_time) {
    struct session *client = conversation_client(&world, 1);
    world.cpu_step_ns = 1;
    uint64_t before = world.cpu_ns;
    for (unsigned i = 0; i < 100; i++) {
        say(&world, client, "SET a 1");
        say(&world, client, "BITCOUNT a");
        node_work(world.node);
    }
    cr_assert_eq(world.cpu_ns, before, "%llu looks", (unsigned long long)(world.cpu_ns - before));
}

Test(node, the_latency_monitor_is_told_how_long_an_expiry_kept_the_clients_waiting) {
    struct session *client = conversation_client(&world, 1);
    world.cpu_step_ns = 1000;
    world.clock_step_ns = 5000000;
    turn_later(TICK_MS);
    say(&world, client, "CONFIG SET latency-monitor-threshold 4");
    turn_later(3 * TICK_MS);
    cr_assert_not_null(strstr(say(&world, client, "LATENCY LATEST"), "expire-cycle"), "%s", world.reply);
    cr_assert_eq(job(JOB_EXPIRE)->maximum, 1000);
}

Test(node, expired_keys_are_looked_for_when_more_of_them_may_be_due) {
    uint64_t before = job(JOB_EXPIRE)->count;
    for (unsigned i = 0; i < 100; i++)
        turn_later(TICK_MS);
    uint64_t looks = job(JOB_EXPIRE)->count - before;
    cr_assert(looks >= 39 && looks <= 41, "%llu looks in ten seconds, one in 256 ms is enough",
              (unsigned long long)looks);
    /* Before 2024 the ticks of expiries stand still. */
    world.wall_us = INT64_C(1000000000000000);
    turn_later(TICK_MS);
    before = job(JOB_EXPIRE)->count;
    for (unsigned i = 0; i < 100; i++)
        turn_later(TICK_MS);
    cr_assert_eq(job(JOB_EXPIRE)->count - before, 100);
}

Test(node, the_time_of_all_turns_is_summed_up) {
    struct session *client = conversation_client(&world, 1);
    uint64_t turns = world.node->statistics.turns;
    for (unsigned i = 0; i < 5; i++) {
        conversation_wait(&world, 10);
        world.clock_ns += 3000000; /* what the turn's events take */
        node_work(world.node);
        world.clock_ns += 7000000; /* waiting for the next is no part of it */
    }
    cr_assert_eq(world.node->statistics.turns - turns, 5);
    cr_assert_eq(world.node->statistics.turn_duration_ns, 15000000);
    cr_assert_not_null(strstr(say(&world, client, "INFO stats"), "\r\neventloop_duration_sum:15000\r\n"));
    say(&world, client, "CONFIG RESETSTAT");
    cr_assert_eq(world.node->statistics.turn_duration_ns, 0);
}

Test(node, rates_are_means_over_the_last_ticks) {
    struct session *client = conversation_client(&world, 1);
    for (unsigned tick = 0; tick < 20; tick++) {
        for (unsigned i = 0; i < 50; i++)
            say(&world, client, "PING");
        turn_later(TICK_MS);
    }
    cr_assert_not_null(strstr(say(&world, client, "INFO stats"), "\r\ninstantaneous_ops_per_sec:500\r\n"),
                       "%s", world.reply);
    for (unsigned tick = 0; tick < 20; tick++)
        turn_later(TICK_MS);
    cr_assert_not_null(strstr(say(&world, client, "INFO stats"), "\r\ninstantaneous_ops_per_sec:0\r\n"));
}
