/* wrong_clock.c - a wall clock that goes wrong: preloaded into a process, it adds to the time of day what a file says, at any moment.
 *
 * The file is named by WRONG_CLOCK_FILE and holds a signed number of seconds as eight bytes; it is mapped, so what is written there
 * counts at once. All other clocks stay as they are: timers and timeouts must not notice. (Debian's libfaketime cannot be used: it
 * allocates before it is ready, and the allocator that the server is linked with asks for the time.)
 * May touch: that file. Must never know: who asks for the time.
 * Tests: tests/cluster/machines.py looks whether it works before it relies on it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "mapped_file.h"

static const volatile int64_t *offset_s; /* NULL until the constructor has run, and where there is no file */

__attribute__((constructor)) static void map_offset(void) {
    offset_s = map_named_file("WRONG_CLOCK_FILE", sizeof *offset_s);
}

/* In the place of the C library's: nothing is called that could ask for the time itself. */
int clock_gettime(clockid_t clock, struct timespec *now) {
    long result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && offset_s != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *offset_s;
    return (int)result;
}
