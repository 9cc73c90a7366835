/*
 * harness.c - checks, servers and programs of the tests of the running server; see harness.h.
 *
 * May touch: processes, files, ports, /proc.
 * Must never know: what is tested.
 * Invariants: children get SIGKILL from the kernel when the process of their test ends.
 * Tests: see harness.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "harness.h"

#include "connection.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PORTS = 50,
    WORDS_MAX = 64,
    STATUS_SKIPPED = 77,
};

/* ---- Checks ---- */

void test_fail(struct test *test, const char *file, int line, const char *format, ...) {
    const char *name = strrchr(file, '/');
    printf("%s:%d: ", name ? name + 1 : file, line);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    char *text = malloc(4096);
    for (int i = 0; text && i < test->server_count; i++) {
        struct server *server = &test->servers[i];
        if (file_text(server->output, text, 4096)[0])
            printf("--- output of the server on port %d ---\n%s\n", server->port, text);
    }
    fflush(stdout);
    _exit(1);
}

void test_skip(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fflush(stdout);
    _exit(STATUS_SKIPPED);
}

long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

void breathe(void) {
    nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
}

bool text_matches(const char *text, const char *pattern) {
    regex_t compiled;
    if (regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB | REG_NEWLINE) != 0)
        return false;
    bool matches = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    return matches;
}

/* ---- Files ---- */

const char *test_file(struct test *test, char path[HARNESS_PATH_BYTES], const char *name,
                      const char *content) {
    int size_bytes = snprintf(path, HARNESS_PATH_BYTES, "%s/%s", test->directory, name);
    CHECK(test, size_bytes < HARNESS_PATH_BYTES);
    if (content) {
        FILE *file = fopen(path, "w");
        if (!file || fputs(content, file) < 0 || fclose(file) != 0)
            FAIL(test, "cannot write %s: %s", path, strerror(errno));
    }
    return path;
}

const char *file_text(const char *path, char *text, size_t size_bytes) {
    text[0] = '\0';
    FILE *file = fopen(path, "r");
    if (file) {
        text[fread(text, 1, size_bytes - 1, file)] = '\0';
        fclose(file);
    }
    return text;
}

/* ---- Ports ---- */

static bool port_is_free(int family, int port) {
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return family == AF_INET6; /* a machine without IPv6 has every port of it free */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v6.sin6_addr = in6addr_loopback;
    int result = family == AF_INET ? bind(fd, (struct sockaddr *)&v4, sizeof(v4))
                                   : bind(fd, (struct sockaddr *)&v6, sizeof(v6));
    bool is_free = result == 0 || errno == EADDRNOTAVAIL;
    close(fd);
    return is_free;
}

int free_port(struct test *test) {
    for (int port = test->first_port; port < test->first_port + PORTS; port++)
        if (port_is_free(AF_INET, port) && port_is_free(AF_INET6, port))
            return port;
    FAIL(test, "no free port from %d on", test->first_port);
}

/* ---- Processes ---- */

static pid_t binary_start(struct test *test, const char *const *words, const char *stdin_path,
                          const char *output_path) {
    char *arguments[WORDS_MAX] = {(char *)test->binary};
    int count = 1;
    for (; *words; words++) {
        CHECK(test, count < WORDS_MAX - 1);
        arguments[count++] = (char *)*words;
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        FAIL(test, "fork: %s", strerror(errno));
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL);
    int input = open(stdin_path ? stdin_path : "/dev/null", O_RDONLY);
    int output = open(output_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (input < 0 || output < 0 || chdir(test->directory) != 0)
        _exit(126);
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    for (int fd = 3; fd < 20; fd++)
        close(fd);
    execv(test->binary, arguments);
    _exit(127);
}

/* Waits for a child, at most until the deadline. */
static int child_wait(struct test *test, pid_t pid) {
    int status;
    long long end_ms = now_ms() + HARNESS_DEADLINE_MS;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_ms() > end_ms)
            FAIL(test, "process %d does not end", (int)pid);
        breathe();
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct server *server_spawn(struct test *test, const char *const *words, const char *stdin_path) {
    CHECK(test, test->server_count < HARNESS_SERVERS);
    int number = test->server_count++;
    struct server *server = &test->servers[number];
    char name[32];
    snprintf(name, sizeof(name), "server-%d", number);
    test_file(test, server->directory, name, NULL);
    snprintf(name, sizeof(name), "server-%d.output", number);
    test_file(test, server->output, name, NULL);
    if (mkdir(server->directory, 0700) != 0)
        FAIL(test, "mkdir %s: %s", server->directory, strerror(errno));
    server->pid = binary_start(test, words, stdin_path, server->output);
    return server;
}

struct server *server_start(struct test *test, const char *const *words) {
    int port = free_port(test);
    char port_text[16], directory[HARNESS_PATH_BYTES], name[32];
    snprintf(port_text, sizeof(port_text), "%d", port);
    snprintf(name, sizeof(name), "server-%d", test->server_count);
    test_file(test, directory, name, NULL);
    const char *all[WORDS_MAX] = {"--port", port_text, "--dir", directory, "--save", ""};
    int count = 6;
    for (; *words; words++) {
        CHECK(test, count < WORDS_MAX - 1);
        all[count++] = *words;
    }
    struct server *server = server_spawn(test, all, NULL);
    server->port = port;
    server_wait_ready(test, server);
    return server;
}

bool server_runs(struct server *server) {
    siginfo_t information = {0};
    return waitid(P_PID, (id_t)server->pid, &information, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           information.si_pid == 0;
}

static bool server_answers(struct test *test, struct server *server) {
    if (!server_runs(server))
        FAIL(test, "the server ended before it answered");
    int fd = connection_try(server->port);
    if (fd < 0)
        return false;
    char reply[16] = "";
    bool sent = write(fd, "PING\r\n", 6) == 6;
    ssize_t size_bytes = sent ? read(fd, reply, sizeof(reply) - 1) : -1;
    close(fd);
    return size_bytes > 0 && (strncmp(reply, "+PONG", 5) == 0 || strncmp(reply, "-NOAUTH", 7) == 0);
}

void server_wait_ready(struct test *test, struct server *server) {
    EVENTUALLY(test, HARNESS_DEADLINE_MS, server_answers(test, server));
}

int server_wait_end(struct test *test, struct server *server) {
    return child_wait(test, server->pid);
}

int server_stop(struct test *test, struct server *server) {
    kill(server->pid, SIGTERM);
    return server_wait_end(test, server);
}

struct outcome binary_run(struct test *test, const char *const *words, const char *stdin_path) {
    struct outcome outcome;
    char path[HARNESS_PATH_BYTES];
    test_file(test, path, "outcome", "");
    outcome.status = child_wait(test, binary_start(test, words, stdin_path, path));
    file_text(path, outcome.output, sizeof(outcome.output));
    return outcome;
}

/* ---- /proc ---- */

static const char *process_text(struct test *test, pid_t pid, const char *name, char *text,
                                size_t size_bytes) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    if (!file_text(path, text, size_bytes)[0])
        FAIL(test, "%s cannot be read: the server is gone", path);
    return text;
}

/* A size that /proc/PID/status gives in kB. */
static long long process_size_bytes(struct test *test, pid_t pid, const char *name) {
    char text[4096];
    const char *line = strstr(process_text(test, pid, "status", text, sizeof(text)), name);
    CHECK(test, line != NULL);
    return atoll(line + strlen(name)) * 1024;
}

long long process_rss_bytes(struct test *test, pid_t pid) {
    return process_size_bytes(test, pid, "VmRSS:");
}

bool process_grew_at_most(struct test *test, pid_t pid, long long before_bytes, long long most_bytes) {
    /* AddressSanitizer reserves an eighth of the address space. */
    const long long sanitizer_bytes = 1LL << 40;
    long long grown_bytes = process_rss_bytes(test, pid) - before_bytes;
    if (grown_bytes <= most_bytes || process_size_bytes(test, pid, "VmSize:") > sanitizer_bytes)
        return true;
    printf("grown by %lld bytes\n", grown_bytes);
    return false;
}

long long process_cpu_ms(struct test *test, pid_t pid) {
    char text[2048];
    /* The name in parentheses may hold anything; fields count from behind it: utime and stime are 14 and 15. */
    const char *field = strrchr(process_text(test, pid, "stat", text, sizeof(text)), ')');
    CHECK(test, field != NULL);
    long long user, system;
    int found = sscanf(field + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld", &user, &system);
    CHECK_EQUAL(test, found, 2);
    return (user + system) * 1000 / sysconf(_SC_CLK_TCK);
}

int process_descriptors(struct test *test, pid_t pid) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    CHECK(test, directory != NULL);
    int count = -2; /* . and .. */
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}
