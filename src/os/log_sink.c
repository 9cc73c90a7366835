/* log_sink.c - log lines; the contract is in log_sink.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* pid, role, date, time and level take less than 64 bytes; a byte of the message at most 4. */
#define LOG_SINK_HEAD_MAX 64
#define LOG_SINK_LINE_MAX (LOG_SINK_HEAD_MAX + 4 * LOG_SINK_MESSAGE_MAX + 1)

static bool log_sink_to_file(const struct log_sink *sink) {
    return sink->options.path != NULL && sink->options.path[0] != 0;
}

static bool log_sink_open_file(struct log_sink *sink) {
    int fd = open(sink->options.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
    struct stat opened;
    if (fd < 0)
        return false;
    if (sink->fd >= 0)
        close(sink->fd);
    sink->fd = fd;
    if (fstat(fd, &opened) == 0) {
        sink->file_device = opened.st_dev;
        sink->file_inode = opened.st_ino;
    }
    return true;
}

bool log_sink_init(struct log_sink *sink, const struct log_sink_options *options) {
    *sink = (struct log_sink){.options = *options, .fd = -1};
    if (sink->options.role == 0)
        sink->options.role = 'M';
    if (log_sink_to_file(sink)) {
        if (!log_sink_open_file(sink))
            return false;
    } else {
        sink->fd = STDOUT_FILENO;
    }
    if (sink->options.system_log)
        openlog(sink->options.system_ident, LOG_PID | LOG_NDELAY | LOG_NOWAIT, sink->options.system_facility);
    tzset();
    return true;
}

void log_sink_release(struct log_sink *sink) {
    if (log_sink_to_file(sink) && sink->fd >= 0)
        close(sink->fd);
    if (sink->options.system_log)
        closelog();
    sink->fd = -1;
}

/* After a rotation the name stands for another file or for none. Where the new one cannot be opened (no descriptor is
 * left, say), the old one is still better than nothing. */
static void log_sink_follow_name(struct log_sink *sink) {
    struct stat named;
    if (stat(sink->options.path, &named) != 0 || named.st_dev != sink->file_device ||
        named.st_ino != sink->file_inode)
        log_sink_open_file(sink);
}

/* Copies the message so that it stays one line; returns how many bytes that took (at most 4 * size). */
static size_t log_sink_escape(char *line, const char *message, size_t size) {
    static const char digits[] = "0123456789abcdef";
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)message[i];
        if (byte >= 0x20 && byte != 0x7f) {
            line[length++] = (char)byte;
            continue;
        }
        line[length++] = '\\';
        line[length++] = 'x';
        line[length++] = digits[byte >> 4];
        line[length++] = digits[byte & 15];
    }
    return length;
}

static size_t log_sink_head(const struct log_sink *sink, enum log_sink_level level, int64_t wall_us,
                            char *line) {
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm local = {0};
    localtime_r(&seconds, &local);
    char date[32];
    date[strftime(date, sizeof date, "%d %b %Y %H:%M:%S", &local)] = 0;
    int length = snprintf(line, LOG_SINK_HEAD_MAX, "%ld:%c %s.%03d %c ", (long)getpid(), sink->options.role,
                          date, (int)(wall_us / 1000 % 1000), ".-*#"[level]);
    return (size_t)length < LOG_SINK_HEAD_MAX ? (size_t)length : LOG_SINK_HEAD_MAX - 1;
}

void log_sink_write(struct log_sink *sink, enum log_sink_level level, int64_t wall_us, const char *message,
                    size_t size) {
    static const int priorities[] = {LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARNING};
    char line[LOG_SINK_LINE_MAX];
    if (size > LOG_SINK_MESSAGE_MAX)
        size = LOG_SINK_MESSAGE_MAX;
    size_t head = log_sink_head(sink, level, wall_us, line);
    size_t length = head + log_sink_escape(line + head, message, size);
    line[length++] = '\n';

    if (log_sink_to_file(sink))
        log_sink_follow_name(sink);
    ssize_t written;
    do
        written = write(sink->fd, line, length);
    while (written < 0 && errno == EINTR);
    if (sink->options.system_log)
        syslog(priorities[level], "%.*s", (int)(length - head - 1), line + head);
}
