/* signals.c - signalfd; the contract is in signals.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/signals.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

int signals_open(void) {
    sigset_t requests;
    sigemptyset(&requests);
    sigaddset(&requests, SIGTERM);
    sigaddset(&requests, SIGINT);
    if (sigprocmask(SIG_BLOCK, &requests, NULL) != 0)
        return -1;
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    return signalfd(-1, &requests, SFD_NONBLOCK | SFD_CLOEXEC);
}

enum signals_request signals_read(int fd) {
    struct signalfd_siginfo information;
    ssize_t got;
    do
        got = read(fd, &information, sizeof information);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof information)
        return SIGNALS_NONE;

    /* From now on SIGINT does what it did when we were started: it kills, or, for a background job of a shell, is
     * ignored as it was all along. */
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_UNBLOCK, &interrupt, NULL);
    return information.ssi_signo == SIGINT ? SIGNALS_INTERRUPT : SIGNALS_TERMINATE;
}

void signals_close(int fd) {
    close(fd);
}
