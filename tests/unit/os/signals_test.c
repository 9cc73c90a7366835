/* signals_test.c - tests of os/signals.h. Each test runs in a process of its own.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/signals.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_readable(int fd) {
    struct pollfd wish = {.fd = fd, .events = POLLIN};
    return poll(&wish, 1, 0) == 1;
}

Test(signals, requests_to_stop_are_read_from_the_descriptor) {
    int fd = signals_open();
    cr_assert_geq(fd, 0);
    cr_assert_eq(signals_read(fd), SIGNALS_NONE);
    cr_assert_not(is_readable(fd));
    raise(SIGTERM);
    cr_assert(is_readable(fd));
    cr_assert_eq(signals_read(fd), SIGNALS_TERMINATE);
    cr_assert_eq(signals_read(fd), SIGNALS_NONE);
    signals_close(fd);
}

Test(signals, the_first_interrupt_is_a_request) {
    int fd = signals_open();
    raise(SIGINT);
    cr_assert_eq(signals_read(fd), SIGNALS_INTERRUPT);
    signals_close(fd);
}

Test(signals, the_second_interrupt_ends_the_process_at_once) {
    pid_t child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_DFL);
        int fd = signals_open();
        raise(SIGINT);
        if (signals_read(fd) != SIGNALS_INTERRUPT)
            _exit(1);
        raise(SIGINT);
        _exit(2);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status), "exit status %d", WEXITSTATUS(status));
    cr_assert_eq(WTERMSIG(status), SIGINT);
}

Test(signals, a_second_request_to_terminate_is_one_more_request) {
    int fd = signals_open();
    raise(SIGTERM);
    cr_assert_eq(signals_read(fd), SIGNALS_TERMINATE);
    raise(SIGTERM);
    cr_assert_eq(signals_read(fd), SIGNALS_TERMINATE);
    signals_close(fd);
}

Test(signals, a_lost_terminal_a_closed_connection_and_a_limit_of_files_are_ignored) {
    int fd = signals_open();
    raise(SIGHUP);
    raise(SIGPIPE);
    raise(SIGXFSZ);
    cr_assert_eq(signals_read(fd), SIGNALS_NONE);
    signals_close(fd);
}
