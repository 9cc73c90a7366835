/* transaction_test.c - MULTI, EXEC, DISCARD, WATCH, UNWATCH, and the queue between them.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/conversation.h"
#include "node/transaction.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define ABORTED "-EXECABORT Transaction discarded because of previous errors.\r\n"

/* Says the lines one after the other; returns the reply to the last one. */
static const char *say_all(struct conversation *world, struct session *client, const char *const lines[]) {
    const char *reply = "";
    for (; *lines != NULL; lines++)
        reply = say(world, client, *lines);
    return reply;
}
#define SAY(...) say_all(&world, client, (const char *const[]){__VA_ARGS__, NULL})

#define WITH_CLIENTS                                         \
    struct conversation world;                               \
    conversation_begin(&world);                              \
    struct session *client = conversation_client(&world, 1); \
    struct session *other = conversation_client(&world, 2);  \
    (void)other

Test(transaction, exec_answers_with_all_replies_in_order) {
    WITH_CLIENTS;
    cr_assert_str_eq(say(&world, client, "MULTI"), "+OK\r\n");
    cr_assert_str_eq(say(&world, client, "SET a 1"), "+QUEUED\r\n");
    cr_assert_str_eq(say(&world, client, "INCR a"), "+QUEUED\r\n");
    cr_assert_str_eq(say(&world, other, "GET a"), "$-1\r\n");
    cr_assert_str_eq(say(&world, client, "CLIENT GETNAME"), "+QUEUED\r\n");
    cr_assert_str_eq(say(&world, client, "EXEC"), "*3\r\n+OK\r\n:2\r\n$-1\r\n");
    cr_assert_str_eq(say(&world, client, "EXEC"), "-ERR EXEC without MULTI\r\n");
    conversation_end(&world);
}

Test(transaction, an_empty_one_is_an_empty_array) {
    WITH_CLIENTS;
    cr_assert_str_eq(SAY("MULTI", "EXEC"), "*0\r\n");
    conversation_end(&world);
}

Test(transaction, an_error_while_running_stops_nothing) {
    WITH_CLIENTS;
    cr_assert_str_eq(SAY("MULTI", "SET a x", "INCR a", "GET a", "EXEC"),
                     "*3\r\n+OK\r\n-ERR value is not an integer or out of range\r\n$1\r\nx\r\n");
    cr_assert_eq(world.node->statistics.error_replies, 1, "counted once, not again for EXEC");
    cr_assert_eq(world.node->statistics.of_command[COMMAND_ID_INCR].failed, 1);
    cr_assert_eq(world.node->statistics.of_command[COMMAND_ID_EXEC].failed, 0);
    conversation_end(&world);
}

Test(transaction, an_error_while_queueing_makes_exec_refuse_everything) {
    static const char *const wrong[] = {"NOSUCH a",  "GET",     "OBJECT NOSUCH a",
                                        "DISCARD x", "MULTI x", "SHUTDOWN"};
    WITH_CLIENTS;
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cr_assert_str_eq(SAY("MULTI", "SET a 1", wrong[i], "EXEC"), ABORTED, "%s", wrong[i]);
        cr_assert_str_eq(SAY("EXEC"), "-ERR EXEC without MULTI\r\n");
    }
    cr_assert_str_eq(SAY("GET a"), "$-1\r\n");
    conversation_end(&world);
}

Test(transaction, exec_with_words_too_many_ends_it) {
    WITH_CLIENTS;
    cr_assert_str_eq(SAY("MULTI", "EXEC x"),
                     "-EXECABORT Transaction discarded because of: wrong number of arguments "
                     "for 'exec' command\r\n");
    cr_assert_str_eq(SAY("EXEC"), "-ERR EXEC without MULTI\r\n");
    conversation_end(&world);
}

Test(transaction, multi_and_watch_inside_are_errors_that_break_nothing) {
    WITH_CLIENTS;
    cr_assert_str_eq(SAY("MULTI", "MULTI"), "-ERR MULTI calls can not be nested\r\n");
    cr_assert_str_eq(SAY("WATCH a"), "-ERR WATCH inside MULTI is not allowed\r\n");
    cr_assert_str_eq(SAY("EXEC"), "*0\r\n");
    conversation_end(&world);
}

Test(transaction, discard_forgets_the_queue) {
    WITH_CLIENTS;
    cr_assert_str_eq(SAY("DISCARD"), "-ERR DISCARD without MULTI\r\n");
    cr_assert_str_eq(SAY("MULTI", "SET a 1", "DISCARD"), "+OK\r\n");
    cr_assert_str_eq(SAY("GET a"), "$-1\r\n");
    cr_assert_eq(client->queued_bytes, 0);
    cr_assert_null(client->queue);
    conversation_end(&world);
}

Test(transaction, many_long_commands_are_kept_whole) {
    WITH_CLIENTS;
    say(&world, client, "MULTI");
    char line[300];
    for (int i = 0; i < 100; i++) {
        snprintf(line, sizeof line, "SET key:%d %0200d", i, i);
        cr_assert_str_eq(say(&world, client, line), "+QUEUED\r\n");
    }
    cr_assert_eq(client->queued, 100);
    cr_assert_gt(client->queued_bytes, 20000);
    say(&world, client, "EXEC");
    snprintf(line, sizeof line, "$200\r\n%0200d\r\n", 99);
    cr_assert_str_eq(say(&world, client, "GET key:99"), line);
    conversation_end(&world);
}

Test(transaction, what_it_selects_and_negotiates_counts_for_the_rest_of_it) {
    WITH_CLIENTS;
    cr_assert_str_eq(SAY("MULTI", "SELECT 3", "SET a 1", "EXEC"), "*2\r\n+OK\r\n+OK\r\n");
    cr_assert_str_eq(SAY("GET a"), "$1\r\n1\r\n");
    cr_assert_str_eq(SAY("SELECT 0", "GET a"), "$-1\r\n");
    cr_assert_not_null(strstr(SAY("MULTI", "HELLO 3", "GET nosuch", "EXEC"), "*0\r\n_\r\n"));
    conversation_end(&world);
}

Test(transaction, a_client_is_seen_in_its_transaction) {
    WITH_CLIENTS;
    SAY("MULTI", "GET a", "SET a 1");
    const char *list = say(&world, other, "CLIENT LIST");
    cr_assert_not_null(strstr(list, "flags=x db=0 sub=0 psub=0 ssub=0 multi=2 "));
    cr_assert_not_null(strstr(list, "cmd=set "));
    list = SAY("CLIENT LIST", "EXEC");
    cr_assert_not_null(strstr(list, "flags=x db=0 sub=0 psub=0 ssub=0 multi=3 "));
    cr_assert_not_null(strstr(list, "cmd=exec "));
    cr_assert_not_null(strstr(SAY("CLIENT INFO"), "flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 "));
    conversation_end(&world);
}

/* ---- WATCH ---- */

Test(transaction, a_watched_key_that_another_changes_makes_exec_null) {
    WITH_CLIENTS;
    SAY("WATCH a b", "MULTI", "SET c 1");
    say(&world, other, "SET b x");
    cr_assert_str_eq(SAY("EXEC"), "*-1\r\n");
    cr_assert_str_eq(SAY("GET c"), "$-1\r\n");
    cr_assert_str_eq(SAY("MULTI", "PING", "EXEC"), "*1\r\n+PONG\r\n");
    SAY("HELLO 3", "WATCH a", "MULTI");
    say(&world, other, "SET a x");
    cr_assert_str_eq(SAY("EXEC"), "_\r\n");
    conversation_end(&world);
}

Test(transaction, a_watched_key_that_only_it_changes_is_no_news) {
    WITH_CLIENTS;
    say(&world, other, "SET z 1");
    cr_assert_str_eq(SAY("WATCH a", "MULTI", "SET a 1", "INCR a", "EXEC"), "*2\r\n+OK\r\n:2\r\n");
    conversation_end(&world);
}

Test(transaction, what_it_changes_itself_does_not_show_as_a_broken_watch) {
    WITH_CLIENTS;
    const char *reply = SAY("WATCH a", "MULTI", "SET a 1", "CLIENT INFO", "EXEC");
    cr_assert_not_null(strstr(reply, " flags=x "), "%s", reply);
    say(&world, client, "WATCH a");
    say(&world, other, "SET a 2");
    cr_assert_not_null(strstr(SAY("CLIENT INFO"), " flags=d "));
    conversation_end(&world);
}

Test(transaction, errors_go_before_broken_watches) {
    WITH_CLIENTS;
    cr_assert_str_eq(SAY("WATCH a", "SET a 1", "MULTI", "GET", "EXEC"), ABORTED);
    conversation_end(&world);
}

Test(transaction, unwatch_discard_and_reset_drop_the_watches) {
    WITH_CLIENTS;
    cr_assert_str_eq(SAY("WATCH a", "SET a 1", "UNWATCH", "MULTI", "EXEC"), "*0\r\n");
    cr_assert_str_eq(SAY("WATCH a", "SET a 1", "MULTI", "DISCARD", "MULTI", "EXEC"), "*0\r\n");
    cr_assert_str_eq(SAY("WATCH a", "SET a 1", "RESET", "MULTI", "EXEC"), "*0\r\n");
    cr_assert_eq(world.node->keyspace->watch->count, 0);
    conversation_end(&world);
}

Test(transaction, a_watch_belongs_to_its_database) {
    WITH_CLIENTS;
    SAY("SELECT 1", "WATCH a", "SELECT 0");
    say(&world, other, "SET a 1");
    cr_assert_str_eq(SAY("MULTI", "EXEC"), "*0\r\n");
    SAY("SELECT 1", "WATCH a", "SELECT 0");
    say(&world, other, "SELECT 1");
    say(&world, other, "SET a 1");
    cr_assert_str_eq(SAY("MULTI", "EXEC"), "*-1\r\n");
    conversation_end(&world);
}

Test(transaction, a_watched_key_whose_time_comes_has_changed) {
    WITH_CLIENTS;
    SAY("SET a 1 PX 100", "WATCH a", "MULTI", "PING");
    conversation_wait(&world, 50);
    cr_assert_str_eq(SAY("EXEC"), "*1\r\n+PONG\r\n");
    SAY("WATCH a", "MULTI");
    conversation_wait(&world, 51);
    cr_assert_str_eq(SAY("EXEC"), "*-1\r\n");
    conversation_end(&world);
}

Test(transaction, a_key_that_had_expired_before_the_watch_may_go) {
    WITH_CLIENTS;
    SAY("SET a 1 PX 100");
    conversation_wait(&world, 101);
    SAY("WATCH a", "MULTI");
    cr_assert_str_eq(SAY("EXEC"), "*0\r\n");
    SAY("WATCH a", "MULTI");
    say(&world, other, "GET a");
    cr_assert_str_eq(SAY("EXEC"), "*0\r\n");
    conversation_end(&world);
}

/* ---- Limits ---- */

Test(transaction, a_queue_above_the_limit_closes_the_connection) {
    WITH_CLIENTS;
    world.config.client_query_buffer_limit = 2000;
    char line[700];
    snprintf(line, sizeof line, "SET a %0600d", 1);
    SAY("MULTI", line, line);
    cr_assert_not(conversation_is_closing(client));
    SAY(line);
    cr_assert(client->flags & SESSION_CLOSE_NOW);
    cr_assert_not_null(strstr(world.logged, "client-query-buffer-limit"));
    conversation_end(&world);
}

Test(transaction, a_command_without_memory_is_not_queued_and_breaks_it) {
    for (uint64_t fuse = 1; fuse <= 2; fuse++) {
        WITH_CLIENTS;
        SAY("MULTI");
        world.mem.fuse = fuse;
        cr_assert_str_eq(SAY("SET a 1"), "-" ERROR_NO_MEMORY "\r\n");
        cr_assert_eq(client->queued, 0);
        cr_assert_str_eq(SAY("EXEC"), ABORTED);
        conversation_end(&world);
    }
}

Test(transaction, a_watch_without_memory_is_none) {
    for (uint64_t fuse = 1; fuse <= 3; fuse++) {
        WITH_CLIENTS;
        world.mem.fuse = fuse;
        cr_assert_str_eq(SAY("WATCH a b c"), "-" ERROR_NO_MEMORY "\r\n");
        cr_assert_eq(world.node->keyspace->watch->count, 0);
        conversation_end(&world);
    }
}

Test(transaction, when_memory_is_short_nothing_is_queued) {
    WITH_CLIENTS;
    SAY("MULTI", "SET a 1");
    world.config.maxmemory = 1;
    cr_assert_str_eq(SAY("EXEC"),
                     "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory "
                     "> 'maxmemory'.\r\n");
    cr_assert_str_eq(SAY("MULTI", "PING"), "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    cr_assert_str_eq(SAY("EXEC"), ABORTED);
    cr_assert_str_eq(SAY("MULTI", "EXEC"), "*0\r\n");
    cr_assert_str_eq(SAY("MULTI", "DISCARD"), "+OK\r\n");
    conversation_end(&world);
}

/* ---- Closing and silence inside ---- */

Test(transaction, who_kills_itself_hears_nothing_of_what_follows) {
    WITH_CLIENTS;
    cr_assert_str_eq(SAY("MULTI", "PING", "CLIENT KILL 127.0.0.1:1", "SET a 1", "EXEC"),
                     "*3\r\n+PONG\r\n+OK\r\n");
    cr_assert(conversation_is_closing(client));
    cr_assert_str_eq(say(&world, other, "GET a"), "$1\r\n1\r\n");
    conversation_end(&world);
}

Test(transaction, replies_that_are_turned_off_inside_are_missing_from_there) {
    WITH_CLIENTS;
    cr_assert_str_eq(SAY("MULTI", "PING", "CLIENT REPLY OFF", "PING", "EXEC"), "*3\r\n+PONG\r\n");
    cr_assert_str_eq(SAY("PING"), "");
    cr_assert_str_eq(SAY("CLIENT REPLY ON"), "+OK\r\n");
    cr_assert_str_eq(SAY("MULTI", "PING", "CLIENT REPLY SKIP", "PING", "EXEC"), "*3\r\n+PONG\r\n+PONG\r\n");
    cr_assert_str_eq(SAY("PING"), "");
    cr_assert_str_eq(SAY("PING"), "+PONG\r\n");
    cr_assert_str_eq(SAY("MULTI", "CLIENT REPLY OFF", "CLIENT REPLY SKIP", "CLIENT REPLY ON", "EXEC"),
                     "*3\r\n+OK\r\n");
    cr_assert_str_eq(SAY("PING"), "+PONG\r\n");
    SAY("CLIENT REPLY OFF", "MULTI", "PING", "CLIENT REPLY ON", "PING");
    cr_assert_str_eq(SAY("EXEC"), "+OK\r\n+PONG\r\n");
    conversation_end(&world);
}

Test(transaction, the_flags_of_the_queue_are_those_of_its_commands) {
    WITH_CLIENTS;
    SAY("MULTI", "GET a");
    cr_assert_not(transaction_has_writes(client));
    SAY("DEL a");
    cr_assert(transaction_has_writes(client));
    cr_assert_not(transaction_command_flags(client) & COMMAND_DENYOOM);
    conversation_end(&world);
}
