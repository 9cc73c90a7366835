/* clock.c - reads the clocks; the contract is in clock.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/clock.h"

#include "base/check.h"

#include <errno.h>
#include <time.h>

static struct timespec clock_read(clockid_t clock) {
    struct timespec now;
    /* Fails only for a clock that the kernel does not have, and Linux has these three. */
    CHECK(clock_gettime(clock, &now) == 0);
    return now;
}

uint64_t clock_monotonic_ns(void) {
    struct timespec now = clock_read(CLOCK_MONOTONIC);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int64_t clock_wall_us(void) {
    struct timespec now = clock_read(CLOCK_REALTIME);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

uint64_t clock_thread_cpu_ns(void) {
    struct timespec now = clock_read(CLOCK_THREAD_CPUTIME_ID);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void clock_sleep_us(uint64_t duration_us) {
    struct timespec left = {
        .tv_sec = (time_t)(duration_us / 1000000),
        .tv_nsec = (long)(duration_us % 1000000) * 1000,
    };
    while (nanosleep(&left, &left) != 0)
        CHECK(errno == EINTR);
}
