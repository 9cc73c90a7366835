/*
 * harness.h - what tests of the running server share: named tests in processes of their own, checks, servers,
 * programs, and what the kernel says about them.
 *
 * May touch: processes, files below one temporary directory per test, ports of the loopback, /proc.
 * Must never know: the server's code; it is a binary that takes the arguments of redis-server.
 * Invariants: a failed check ends its test; when a test ends, all that it started is killed and its directory is
 * removed; every wait has a condition and a deadline.
 * Tests: it is one; `--server /bin/true` must fail every test.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef TESTS_SERVER_HARNESS_H
#define TESTS_SERVER_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
    HARNESS_DEADLINE_MS = 10000, /* for any one wait */
    HARNESS_SERVERS = 8,         /* in one test */
    HARNESS_PATH_BYTES = 256,
};

struct server {
    pid_t pid;
    int port;
    char directory[HARNESS_PATH_BYTES]; /* its working directory */
    char output[HARNESS_PATH_BYTES];    /* the file that has its stdout and stderr */
};

/* One running test. */
struct test {
    const char *binary;                 /* the server's, an absolute path */
    char directory[HARNESS_PATH_BYTES]; /* exists while the test runs */
    int first_port;                     /* ports are sought from here */
    struct server servers[HARNESS_SERVERS];
    int server_count;
};

/* The name of a test function is its sentence, with underscores for spaces. */
struct test_case {
    const char *sentence;
    void (*run)(struct test *);
};
#define TEST_CASE(function) \
    { #function, function }
#define TEST_CASES_END \
    { NULL, NULL }

/* A NULL-terminated list of words, as the functions below take it. */
#define WORDS(...) ((const char *const[]){NULL, ##__VA_ARGS__, NULL} + 1)

/* ---- Checks. All of them end the test when they do not hold. ---- */

void test_fail(struct test *test, const char *file, int line, const char *format, ...)
    __attribute__((noreturn, format(printf, 4, 5)));
/* This machine cannot run the test; says why. */
void test_skip(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#define FAIL(test, ...) test_fail(test, __FILE__, __LINE__, __VA_ARGS__)
#define CHECK(test, condition)                                                    \
    do {                                                                          \
        if (!(condition))                                                         \
            test_fail(test, __FILE__, __LINE__, "does not hold: %s", #condition); \
    } while (0)
/* An integer that must lie in a range; says what it is when it does not. */
#define CHECK_RANGE(test, value, low, high)                                                                \
    do {                                                                                                   \
        long long value_ = (value), low_ = (low), high_ = (high);                                          \
        if (value_ < low_ || value_ > high_)                                                               \
            test_fail(test, __FILE__, __LINE__, "%s is %lld, not from %lld to %lld", #value, value_, low_, \
                      high_);                                                                              \
    } while (0)
#define CHECK_EQUAL(test, value, wanted) CHECK_RANGE(test, value, wanted, wanted)
/* A text that must contain another one. */
#define CHECK_CONTAINS(test, text, part)                                          \
    do {                                                                          \
        if (!strstr(text, part))                                                  \
            test_fail(test, __FILE__, __LINE__, "no \"%s\" in:\n%s", part, text); \
    } while (0)
/* A text that must match an extended regular expression; line by line, as grep does. */
#define CHECK_MATCHES(test, text, pattern)                                                    \
    do {                                                                                      \
        if (!text_matches(text, pattern))                                                     \
            test_fail(test, __FILE__, __LINE__, "no match of \"%s\" in:\n%s", pattern, text); \
    } while (0)
/* Asks until the condition holds; not longer than deadline_ms. */
#define EVENTUALLY(test, deadline_ms, condition)                                                        \
    do {                                                                                                \
        long long end_ms_ = now_ms() + (deadline_ms);                                                   \
        while (!(condition)) {                                                                          \
            if (now_ms() > end_ms_)                                                                     \
                test_fail(test, __FILE__, __LINE__, "not within %lld ms: %s", (long long)(deadline_ms), \
                          #condition);                                                                  \
            breathe();                                                                                  \
        }                                                                                               \
    } while (0)

long long now_ms(void);
void breathe(void); /* lets others run for some milliseconds between two looks at a condition */
bool text_matches(const char *text, const char *pattern);

/* ---- Files ---- */

/* Writes a file in the test's directory; with NULL only its path is made. The path is valid as long as `path` is. */
const char *test_file(struct test *test, char path[HARNESS_PATH_BYTES], const char *name,
                      const char *content);
/* The beginning of a file as text, at most size_bytes - 1 of it; an empty text when there is no such file. */
const char *file_text(const char *path, char *text, size_t size_bytes);

/* ---- Servers and programs ---- */

/* A port nobody listens on, at 127.0.0.1 and ::1. */
int free_port(struct test *test);
/* Starts a server with a port, a directory and no save points, then these words, and waits until it answers. */
struct server *server_start(struct test *test, const char *const *words);
/* Starts one with these words alone, and does not wait. The caller sets the port if it asks for one. */
struct server *server_spawn(struct test *test, const char *const *words, const char *stdin_path);
/* Waits until it answers PING, or NOAUTH, on its port of 127.0.0.1. */
void server_wait_ready(struct test *test, struct server *server);
/* Waits until the process has ended; its exit status, or 128 and its signal. */
int server_wait_end(struct test *test, struct server *server);
/* SIGTERM, and the exit status. */
int server_stop(struct test *test, struct server *server);
bool server_runs(struct server *server);

struct outcome {
    int status;        /* exit status, or 128 and the signal */
    char output[4096]; /* the beginning of stdout and stderr */
};
/* Runs the server's binary with these words to its end. */
struct outcome binary_run(struct test *test, const char *const *words, const char *stdin_path);

/* ---- What the kernel says about a process ---- */

long long process_rss_bytes(struct test *test, pid_t pid);
long long process_cpu_ms(struct test *test, pid_t pid);
/* Whether its resident memory has grown by no more than this since it was `before_bytes`. A server that was built with
 * AddressSanitizer keeps what it frees and more; its growth says nothing, and the answer is true. */
bool process_grew_at_most(struct test *test, pid_t pid, long long before_bytes, long long most_bytes);
int process_descriptors(struct test *test, pid_t pid);

#endif
