/* clock.h - the two clocks of the machine, and how much processor time this thread has taken.
 *
 * May touch: clock_gettime() (no system call: the kernel's vDSO answers; the thread's clock does cost one),
 * nanosleep().
 * Must never know: what the times are for. The node gets time from outside, read once per turn.
 * Tests: tests/unit/os/clock_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef OS_CLOCK_H
#define OS_CLOCK_H

#include <stdint.h>

/* Nanoseconds since some fixed moment; never goes back; stands still while the machine sleeps. */
uint64_t clock_monotonic_ns(void);

/* Microseconds since 1970-01-01 00:00 UTC; jumps when somebody sets the clock. */
int64_t clock_wall_us(void);

/* Processor time of the calling thread, in nanoseconds: the measure of background steps. */
uint64_t clock_thread_cpu_ns(void);

/* Stops the calling thread for that long, however many signals come. */
void clock_sleep_us(uint64_t duration_us);

#endif
