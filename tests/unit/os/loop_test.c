/* loop_test.c - tests of os/loop.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/loop.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct mem mem;
static struct loop *loop;

static void open_loop(void) {
    loop = loop_new(&mem);
    cr_assert_not_null(loop);
}

static void close_loop(void) {
    loop_free(loop);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(loop, .init = open_loop, .fini = close_loop);

/* Two connected ends. */
struct pair {
    int ours, theirs;
};

static struct pair pair_open(void) {
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    return (struct pair){.ours = ends[0], .theirs = ends[1]};
}

static void pair_close(struct pair *pair) {
    close(pair->ours);
    close(pair->theirs);
}

static void make_readable(struct pair *pair) {
    cr_assert_eq(write(pair->theirs, "x", 1), 1);
}

Test(loop, a_source_that_is_not_ready_is_not_reported) {
    struct pair pair = pair_open();
    struct loop_source source;
    struct loop_event event;
    cr_assert(loop_add(loop, &source, pair.ours, 7, LOOP_READ));
    cr_assert_eq(loop_wait(loop, 0), 0);
    cr_assert_not(loop_next(loop, &event));
    pair_close(&pair);
}

Test(loop, readiness_comes_with_the_source_and_its_kind) {
    struct pair pair = pair_open();
    struct loop_source source;
    struct loop_event event;
    cr_assert(loop_add(loop, &source, pair.ours, 7, LOOP_READ));
    make_readable(&pair);
    cr_assert_eq(loop_wait(loop, -1), 1);
    cr_assert(loop_next(loop, &event));
    cr_assert_eq(event.source, &source);
    cr_assert_eq(event.source->kind, 7);
    cr_assert_eq(event.ready, LOOP_READ);
    cr_assert_not(loop_next(loop, &event));
    pair_close(&pair);
}

Test(loop, what_was_not_read_is_reported_again) {
    struct pair pair = pair_open();
    struct loop_source source;
    struct loop_event event;
    cr_assert(loop_add(loop, &source, pair.ours, 0, LOOP_READ));
    make_readable(&pair);
    for (int turn = 0; turn < 3; turn++) {
        loop_wait(loop, 0);
        cr_assert(loop_next(loop, &event));
        cr_assert_eq(event.ready, LOOP_READ);
    }
    pair_close(&pair);
}

Test(loop, only_what_is_wanted_is_reported) {
    struct pair pair = pair_open();
    struct loop_source source;
    struct loop_event event;
    make_readable(&pair);
    cr_assert(loop_add(loop, &source, pair.ours, 0, 0));
    cr_assert_eq(loop_wait(loop, 0), 0);
    cr_assert(loop_change(loop, &source, LOOP_WRITE));
    loop_wait(loop, 0);
    cr_assert(loop_next(loop, &event));
    cr_assert_eq(event.ready, LOOP_WRITE);
    cr_assert(loop_change(loop, &source, LOOP_READ | LOOP_WRITE));
    loop_wait(loop, 0);
    cr_assert(loop_next(loop, &event));
    cr_assert_eq(event.ready, LOOP_READ | LOOP_WRITE);
    pair_close(&pair);
}

Test(loop, a_change_within_the_turn_cuts_events_that_are_still_to_come) {
    struct pair pairs[2] = {pair_open(), pair_open()};
    struct loop_source sources[2];
    struct loop_event event;
    for (int i = 0; i < 2; i++) {
        make_readable(&pairs[i]);
        cr_assert(loop_add(loop, &sources[i], pairs[i].ours, 0, LOOP_READ));
    }
    cr_assert_eq(loop_wait(loop, 0), 2);
    cr_assert(loop_next(loop, &event));
    struct loop_source *other = event.source == &sources[0] ? &sources[1] : &sources[0];
    cr_assert(loop_change(loop, other, 0));
    cr_assert_not(loop_next(loop, &event));
    for (int i = 0; i < 2; i++)
        pair_close(&pairs[i]);
}

Test(loop, a_closed_peer_is_a_hangup_with_its_last_bytes_still_readable) {
    struct pair pair = pair_open();
    struct loop_source source;
    struct loop_event event;
    cr_assert(loop_add(loop, &source, pair.ours, 0, LOOP_READ));
    make_readable(&pair);
    close(pair.theirs);
    loop_wait(loop, 0);
    cr_assert(loop_next(loop, &event));
    cr_assert_eq(event.ready, LOOP_READ | LOOP_HANGUP);
    char byte;
    cr_assert_eq(read(pair.ours, &byte, 1), 1);
    cr_assert_eq(read(pair.ours, &byte, 1), 0);
    close(pair.ours);
}

Test(loop, a_hangup_is_reported_even_if_nothing_is_wanted) {
    struct pair pair = pair_open();
    struct loop_source source;
    struct loop_event event;
    cr_assert(loop_add(loop, &source, pair.ours, 0, 0));
    close(pair.theirs);
    loop_wait(loop, 0);
    cr_assert(loop_next(loop, &event));
    cr_assert_eq(event.ready, LOOP_HANGUP);
    close(pair.ours);
}

Test(loop, who_waits_to_write_wakes_up_when_nobody_will_ever_read) {
    static const char block[65536];
    int ends[2];
    cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
    while (write(ends[1], block, sizeof block) > 0)
        ;
    struct loop_source source;
    struct loop_event event;
    cr_assert(loop_add(loop, &source, ends[1], 0, LOOP_WRITE));
    cr_assert_eq(loop_wait(loop, 0), 0);
    close(ends[0]);
    loop_wait(loop, 0);
    cr_assert(loop_next(loop, &event));
    cr_assert_eq(event.ready, LOOP_WRITE | LOOP_HANGUP);
    close(ends[1]);
}

Test(loop, a_source_that_was_never_ready_can_be_removed) {
    struct pair pair = pair_open();
    struct loop_source source;
    cr_assert(loop_add(loop, &source, pair.ours, 0, LOOP_READ));
    loop_remove(loop, &source);
    make_readable(&pair);
    cr_assert_eq(loop_wait(loop, 0), 0);
    pair_close(&pair);
}

/* An object with a source in it, as a connection is; its memory is gone when it is closed. */
struct connection {
    struct loop_source source;
    struct pair pair;
};

static struct connection *connection_open(void) {
    struct connection *connection = malloc(sizeof *connection);
    connection->pair = pair_open();
    make_readable(&connection->pair);
    cr_assert(loop_add(loop, &connection->source, connection->pair.ours, 0, LOOP_READ));
    return connection;
}

static void connection_close(struct connection *connection) {
    loop_remove(loop, &connection->source);
    pair_close(&connection->pair);
    free(connection);
}

Test(loop, a_source_closed_in_mid_turn_is_not_reported_even_if_another_takes_its_number) {
    enum { CONNECTIONS = 50 };
    struct connection *connections[CONNECTIONS];
    struct loop_event event;
    for (int i = 0; i < CONNECTIONS; i++)
        connections[i] = connection_open();
    cr_assert_eq(loop_wait(loop, 0), CONNECTIONS);
    cr_assert(loop_next(loop, &event));
    struct loop_source *first = event.source;
    for (int i = 0; i < CONNECTIONS; i++)
        if (&connections[i]->source != first)
            connection_close(connections[i]);
    /* Takes the numbers, and probably the memory, of those just closed; it is ready, but not in this turn. */
    struct connection *successor = connection_open();
    cr_assert_not(loop_next(loop, &event));
    cr_assert_eq(loop_wait(loop, 0), 2);
    connection_close(successor);
    cr_assert(loop_next(loop, &event));
    cr_assert_eq(event.source, first);
    cr_assert_not(loop_next(loop, &event));
    connection_close((struct connection *)first);
}

Test(loop, a_source_may_close_itself_when_its_event_has_come) {
    struct connection *connection = connection_open();
    struct loop_event event;
    loop_wait(loop, 0);
    cr_assert(loop_next(loop, &event));
    connection_close(connection);
    cr_assert_not(loop_next(loop, &event));
    cr_assert_eq(loop_wait(loop, 0), 0);
}

Test(loop, more_ready_sources_than_one_turn_holds_all_get_theirs) {
    enum { SOURCES = LOOP_EVENTS_MAX + 300 };
    struct rlimit limit = {.rlim_cur = 2 * SOURCES + 100, .rlim_max = 2 * SOURCES + 100};
    struct rlimit allowed;
    getrlimit(RLIMIT_NOFILE, &allowed);
    if (allowed.rlim_cur < limit.rlim_cur)
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    static struct loop_source sources[SOURCES];
    static struct pair pairs[SOURCES];
    for (int i = 0; i < SOURCES; i++) {
        pairs[i] = pair_open();
        make_readable(&pairs[i]);
        cr_assert(loop_add(loop, &sources[i], pairs[i].ours, 0, LOOP_READ));
    }
    static unsigned seen[SOURCES];
    for (int turn = 0; turn < 2; turn++) {
        struct loop_event event;
        cr_assert_leq(loop_wait(loop, 0), LOOP_EVENTS_MAX);
        while (loop_next(loop, &event))
            seen[event.source - sources]++;
    }
    for (int i = 0; i < SOURCES; i++)
        cr_assert_geq(seen[i], 1, "source %d was never reported", i);
}

Test(loop, adding_what_cannot_be_watched_is_an_error) {
    struct loop_source source;
    cr_assert_not(loop_add(loop, &source, 99999, 0, LOOP_READ));
    cr_assert_eq(errno, EBADF);
}

Test(loop, no_memory_is_no_loop) {
    struct mem empty = {.fuse = 1};
    cr_assert_null(loop_new(&empty));
    cr_assert_eq(errno, ENOMEM);
    cr_assert_eq(empty.used_bytes, 0);
}
