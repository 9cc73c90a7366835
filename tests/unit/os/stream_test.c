/* stream_test.c - tests of os/stream.h over the loopback.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/stream.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* Two ends of one TCP connection. */
static int ours, theirs;

static void open_connection(void) {
    struct sockaddr_in place = {.sin_family = AF_INET};
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof place;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, (const struct sockaddr *)&place, sizeof place), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&place, &size), 0);
    theirs = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(theirs, (const struct sockaddr *)&place, sizeof place), 0);
    ours = accept(listener, NULL, NULL);
    cr_assert_geq(ours, 0);
    close(listener);
}

static void close_connection(void) {
    stream_close(ours);
    stream_close(theirs);
}

TestSuite(stream, .init = open_connection, .fini = close_connection);

/* Bound, and listening if wanted; a free port of the loopback. */
static int bind_somewhere(struct endpoint *endpoint, bool listens) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(address_parse(endpoint, "127.0.0.1", 0));
    cr_assert_eq(bind(fd, (const struct sockaddr *)&endpoint->place, endpoint->size), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&endpoint->place, &endpoint->size), 0);
    if (listens)
        cr_assert_eq(listen(fd, 1), 0);
    return fd;
}

/* Begins a connection and waits until it is known what becomes of it. */
static int connect_to(const struct endpoint *endpoint, int *outcome) {
    int fd = stream_connect(endpoint);
    if (fd < 0) {
        *outcome = errno;
        return -1;
    }
    struct pollfd wish = {.fd = fd, .events = POLLOUT};
    cr_assert_eq(poll(&wish, 1, 10000), 1);
    *outcome = stream_connect_outcome(fd);
    return fd;
}

static void wait_readable(int fd) {
    struct pollfd wish = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&wish, 1, 10000), 1);
}

static int option_of(int fd, int level, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    cr_assert_eq(getsockopt(fd, level, option, &value, &size), 0);
    return value;
}

Test(stream, bytes_written_at_one_end_are_read_at_the_other) {
    char text[16];
    size_t moved;
    cr_assert_eq(stream_write(theirs, "hello", 5, &moved), STREAM_DONE);
    cr_assert_eq(moved, 5);
    wait_readable(ours);
    cr_assert_eq(stream_read(ours, text, sizeof text, &moved), STREAM_DONE);
    cr_assert_eq(moved, 5);
    cr_assert_arr_eq(text, "hello", 5);
}

Test(stream, several_parts_arrive_in_their_order) {
    char one[] = "one ", two[] = "two ", three[] = "three";
    struct iovec parts[] = {{one, 4}, {one, 0}, {two, 4}, {three, 5}};
    char text[16];
    size_t moved;
    cr_assert_eq(stream_write_parts(theirs, parts, 4, &moved), STREAM_DONE);
    cr_assert_eq(moved, 13);
    wait_readable(ours);
    cr_assert_eq(stream_read(ours, text, sizeof text, &moved), STREAM_DONE);
    cr_assert_eq(moved, 13);
    cr_assert_arr_eq(text, "one two three", 13);
}

Test(stream, reading_from_a_silent_end_does_not_wait) {
    char byte;
    size_t moved = 7;
    cr_assert_eq(stream_read(ours, &byte, 1, &moved), STREAM_AGAIN);
    cr_assert_eq(moved, 0);
}

Test(stream, writing_to_an_end_that_never_reads_does_not_wait) {
    static char block[256 * 1024];
    size_t moved, total = 0;
    enum stream_result result;
    while ((result = stream_write(ours, block, sizeof block, &moved)) == STREAM_DONE)
        total += moved;
    cr_assert_eq(result, STREAM_AGAIN);
    cr_assert_eq(moved, 0);
    cr_assert_gt(total, 0);
    struct iovec part = {block, sizeof block};
    cr_assert_eq(stream_write_parts(ours, &part, 1, &moved), STREAM_AGAIN);
}

Test(stream, an_orderly_end_is_closed_after_the_last_byte) {
    char text[4];
    size_t moved;
    cr_assert_eq(stream_write(theirs, "x", 1, &moved), STREAM_DONE);
    shutdown(theirs, SHUT_WR);
    wait_readable(ours);
    cr_assert_eq(stream_read(ours, text, sizeof text, &moved), STREAM_DONE);
    wait_readable(ours);
    cr_assert_eq(stream_read(ours, text, sizeof text, &moved), STREAM_CLOSED);
    /* The other direction is still open. */
    cr_assert_eq(stream_write(ours, "y", 1, &moved), STREAM_DONE);
    wait_readable(theirs);
    cr_assert_eq(stream_read(theirs, text, sizeof text, &moved), STREAM_DONE);
    cr_assert_eq(text[0], 'y');
}

Test(stream, a_reset_is_closed_without_a_signal) {
    struct linger at_once = {.l_onoff = 1};
    setsockopt(theirs, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(theirs);
    theirs = -1;
    wait_readable(ours);
    char byte;
    size_t moved;
    cr_assert_eq(stream_read(ours, &byte, 1, &moved), STREAM_CLOSED);
    cr_assert_eq(stream_write(ours, "x", 1, &moved), STREAM_CLOSED);
    cr_assert_eq(moved, 0);
}

Test(stream, what_is_no_connection_has_failed) {
    char byte;
    size_t moved;
    cr_assert_eq(stream_read(99999, &byte, 1, &moved), STREAM_FAILED);
    cr_assert_eq(errno, EBADF);
    cr_assert_eq(stream_write(99999, &byte, 1, &moved), STREAM_FAILED);
}

Test(stream, options_of_tcp_are_set) {
    cr_assert(stream_set_no_delay(ours));
    cr_assert_neq(option_of(ours, IPPROTO_TCP, TCP_NODELAY), 0);
    cr_assert(stream_set_keepalive(ours, 300));
    cr_assert_neq(option_of(ours, SOL_SOCKET, SO_KEEPALIVE), 0);
    cr_assert_eq(option_of(ours, IPPROTO_TCP, TCP_KEEPIDLE), 300);
    cr_assert_eq(option_of(ours, IPPROTO_TCP, TCP_KEEPINTVL), 100);
    cr_assert_eq(option_of(ours, IPPROTO_TCP, TCP_KEEPCNT), 3);
    cr_assert(stream_set_keepalive(ours, 1));
    cr_assert_eq(option_of(ours, IPPROTO_TCP, TCP_KEEPINTVL), 1);
    cr_assert(stream_set_keepalive(ours, 0));
    cr_assert_eq(option_of(ours, SOL_SOCKET, SO_KEEPALIVE), 0);
    cr_assert(stream_set_user_timeout(ours, 30000));
    cr_assert_eq(option_of(ours, IPPROTO_TCP, TCP_USER_TIMEOUT), 30000);
}

Test(stream, keepalive_takes_any_number_of_seconds) {
    cr_assert(stream_set_keepalive(ours, 4000000000u));
    cr_assert_eq(option_of(ours, IPPROTO_TCP, TCP_KEEPIDLE), 32767);
}

Test(stream, options_of_tcp_are_no_error_on_a_unix_socket) {
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    cr_assert(stream_set_no_delay(ends[0]));
    cr_assert(stream_set_keepalive(ends[0], 300));
    cr_assert(stream_set_user_timeout(ends[0], 1000));
}

Test(stream, each_end_knows_the_other) {
    struct address peer, local;
    cr_assert(stream_peer(ours, &peer));
    cr_assert(stream_local(theirs, &local));
    cr_assert_eq(peer.kind, ADDRESS_IPV4);
    cr_assert_str_eq(peer.text, "127.0.0.1");
    cr_assert_eq(peer.port, local.port);
    cr_assert_neq(peer.port, 0);
    cr_assert_not(stream_peer(99999, &peer));
    cr_assert_eq(peer.kind, ADDRESS_UNKNOWN);
}

Test(stream, a_connection_is_begun_without_waiting_and_is_found_to_be_there) {
    struct endpoint endpoint;
    int outcome, listener = bind_somewhere(&endpoint, true), fd = connect_to(&endpoint, &outcome);
    cr_assert_eq(outcome, 0);
    cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    size_t moved;
    cr_assert_eq(stream_write(fd, "x", 1, &moved), STREAM_DONE);
    stream_close(fd);
    close(listener);
}

Test(stream, a_place_where_nobody_listens_refuses) {
    struct endpoint endpoint;
    int outcome, other = bind_somewhere(&endpoint, false), fd = connect_to(&endpoint, &outcome);
    cr_assert_eq(outcome, ECONNREFUSED);
    if (fd >= 0)
        stream_close(fd);
    close(other);
}

Test(stream, a_place_that_cannot_be_reached_is_an_error_at_once) {
    struct endpoint endpoint;
    cr_assert(address_parse(&endpoint, "255.255.255.255", 80));
    errno = 0;
    cr_assert_eq(stream_connect(&endpoint), -1);
    cr_assert_neq(errno, 0);
}

Test(stream, a_connection_that_is_not_there_yet_is_in_progress) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    cr_assert_eq(stream_connect_outcome(fd), EINPROGRESS);
    close(fd);
}

/* Where the wanted port is free, the system may choose it for our own end: TCP then connects the socket with itself. */
Test(stream, a_connection_with_itself_is_refused) {
    struct endpoint endpoint;
    int fd = bind_somewhere(&endpoint, false);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&endpoint.place, endpoint.size), 0);
    cr_assert_eq(stream_connect_outcome(fd), ECONNREFUSED);
    close(fd);
}

Test(stream, what_was_sent_last_survives_an_end_with_unread_input) {
    static char block[32 * 1024];
    char text[8];
    size_t moved;
    cr_assert_eq(stream_write(theirs, block, sizeof block, &moved), STREAM_DONE);
    wait_readable(ours);
    cr_assert_eq(stream_write(ours, "last", 4, &moved), STREAM_DONE);
    stream_finish(ours);
    wait_readable(theirs);
    cr_assert_eq(stream_read(theirs, text, sizeof text, &moved), STREAM_DONE);
    cr_assert_eq(moved, 4);
    wait_readable(theirs);
    /* An orderly end, no reset: on a network, that could overtake the bytes. */
    cr_assert_eq(recv(theirs, text, sizeof text, 0), 0);
    ours = -1;
}
