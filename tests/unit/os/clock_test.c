/* clock_test.c - tests of os/clock.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/clock.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <time.h>

Test(clock, the_monotonic_clock_moves_with_real_time_and_never_back) {
    uint64_t before = clock_monotonic_ns();
    for (int i = 0; i < 100000; i++) {
        uint64_t now = clock_monotonic_ns();
        cr_assert_geq(now, before);
        before = now;
    }
    uint64_t begin = clock_monotonic_ns();
    poll(NULL, 0, 20);
    uint64_t passed = clock_monotonic_ns() - begin;
    cr_assert_geq(passed, 19u * 1000 * 1000);
    cr_assert_lt(passed, 10u * 1000 * 1000 * 1000);
}

Test(clock, the_wall_clock_counts_microseconds_since_1970) {
    int64_t seconds = (int64_t)time(NULL);
    int64_t now = clock_wall_us();
    cr_assert_geq(now, (seconds - 1) * 1000000);
    cr_assert_leq(now, (seconds + 10) * 1000000);
}

Test(clock, waiting_takes_no_processor_time) {
    uint64_t wall_begin = clock_monotonic_ns();
    uint64_t begin = clock_thread_cpu_ns();
    poll(NULL, 0, 50);
    uint64_t waited = clock_thread_cpu_ns() - begin;
    cr_assert_lt(waited, (clock_monotonic_ns() - wall_begin) / 2);
    volatile uint64_t work = 0;
    while (clock_thread_cpu_ns() - begin < waited + 1000000)
        work = work + 1;
    cr_assert_gt(work, 0);
}

Test(clock, a_sleep_is_as_long_as_asked_for) {
    uint64_t begin = clock_monotonic_ns();
    clock_sleep_us(30000);
    uint64_t passed = clock_monotonic_ns() - begin;
    cr_assert_geq(passed, 30u * 1000 * 1000);
    cr_assert_lt(passed, 10u * 1000 * 1000 * 1000);
}
