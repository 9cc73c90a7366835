/* process.c - the process and its surroundings; the contract is in process.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Reads the beginning of a small file as text; false where there is none. */
static bool process_read_text(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, size - 1);
    close(fd);
    text[got > 0 ? got : 0] = 0;
    return got > 0;
}

size_t process_resident_bytes(void) {
    char text[128];
    unsigned long long total_pages, resident_pages;
    if (!process_read_text("/proc/self/statm", text, sizeof text) ||
        sscanf(text, "%llu %llu", &total_pages, &resident_pages) != 2)
        return 0;
    return (size_t)resident_pages * (size_t)sysconf(_SC_PAGESIZE);
}

size_t process_machine_memory_bytes(void) {
    return (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
}

static uint64_t process_microseconds(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_usec;
}

static struct process_times process_times(int whose) {
    struct rusage usage = {0};
    getrusage(whose, &usage);
    return (struct process_times){
        .user_us = process_microseconds(usage.ru_utime),
        .system_us = process_microseconds(usage.ru_stime),
    };
}

struct process_times process_times_self(void) {
    return process_times(RUSAGE_SELF);
}

struct process_times process_times_children(void) {
    return process_times(RUSAGE_CHILDREN);
}

struct process_times process_times_thread(void) {
    return process_times(RUSAGE_THREAD);
}

uint32_t process_id(void) {
    return (uint32_t)getpid();
}

void process_executable(char *path, size_t size) {
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    path[length > 0 ? length : 0] = 0;
}

void process_folder(char *path, size_t size) {
    if (getcwd(path, size) == NULL)
        path[0] = 0;
}

void process_system(char *text, size_t size) {
    struct utsname name;
    if (uname(&name) == 0)
        snprintf(text, size, "%s %s %s", name.sysname, name.release, name.machine);
    else
        text[0] = 0;
}

uint64_t process_raise_open_files(uint64_t wanted) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    if (limit.rlim_cur >= wanted)
        return limit.rlim_cur;
    struct rlimit more = {.rlim_cur = wanted, .rlim_max = limit.rlim_max > wanted ? limit.rlim_max : wanted};
    if (setrlimit(RLIMIT_NOFILE, &more) == 0)
        return more.rlim_cur;
    more = (struct rlimit){.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    return setrlimit(RLIMIT_NOFILE, &more) == 0 ? more.rlim_cur : limit.rlim_cur;
}

bool process_daemonize(void) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return false;
    pid_t child = fork();
    if (child > 0)
        _exit(0);
    if (child < 0) {
        int error = errno;
        close(null);
        errno = error;
        return false;
    }
    setsid();
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        dup2(null, stream);
    if (null > STDERR_FILENO)
        close(null);
    return true;
}

bool process_write_pid_file(const char *path) {
    char text[32];
    int length = snprintf(text, sizeof text, "%u\n", process_id());
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return false;
    ssize_t written = write(fd, text, (size_t)length);
    int error = errno;
    close(fd);
    errno = written >= 0 ? ENOSPC : error;
    return written == length;
}

void process_remove_pid_file(const char *path) {
    char text[32];
    if (process_read_text(path, text, sizeof text) && strtoul(text, NULL, 10) == process_id())
        unlink(path);
}

bool process_notify(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    if (path == NULL || *path == 0)
        return true;
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof place.sun_path)
        return false;
    memcpy(place.sun_path, path, length);
    if (place.sun_path[0] == '@') /* a name without a file, written with a zero byte in front */
        place.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&place, size);
    close(fd);
    return sent == (ssize_t)strlen(state);
}

bool process_enter_folder(const char *path) {
    return chdir(path) == 0;
}
