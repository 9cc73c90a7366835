/* log_sink.h - where log lines go: standard output, a file, or the system's log.
 *
 * A line is `pid:role day month year hour:minute:second.ms level message`, as tools that read Redis's log expect:
 * `812:M 07 Mar 2026 10:15:30.123 * Ready to accept connections`. Levels are `.` debug, `-` verbose, `*` notice,
 * `#` warning. Times are local.
 *
 * May touch: one descriptor, syslog(). Must never know: who writes what, or why.
 * Invariants: one message is one line, whatever bytes it has (control characters are shown as \xHH);
 * a line is written by one call; a log that cannot be written never stops the server. A log file that was moved away is
 * opened anew under its name.
 * Tests: tests/unit/os/log_sink_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef OS_LOG_SINK_H
#define OS_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longer messages are cut. */
#define LOG_SINK_MESSAGE_MAX 1024

enum log_sink_level {
    LOG_SINK_DEBUG,
    LOG_SINK_VERBOSE,
    LOG_SINK_NOTICE,
    LOG_SINK_WARNING,
};

struct log_sink_options {
    const char *path;         /* NULL or "": standard output. The text must live as long as the sink */
    char role;                /* 0: 'M' */
    bool system_log;          /* to syslog as well */
    const char *system_ident; /* the name there; must live as long as the sink */
    int system_facility;      /* LOG_USER, LOG_LOCAL0, ... (syslog.h) */
};

struct log_sink {
    struct log_sink_options options;
    int fd;
    uint64_t file_device, file_inode; /* of the open file, to see that the name now stands for another */
};

/* Opens it. False: the file cannot be opened (errno); the sink must not be used then. */
bool log_sink_init(struct log_sink *sink, const struct log_sink_options *options)
    __attribute__((warn_unused_result));

void log_sink_release(struct log_sink *sink);

/* Writes one line; wall_us is when it happened (clock_wall_us()). */
void log_sink_write(struct log_sink *sink, enum log_sink_level level, int64_t wall_us, const char *message,
                    size_t size);

#endif
