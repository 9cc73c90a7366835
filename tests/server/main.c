/*
 * main.c - runs the tests of the running server one after the other, each in a process of its own, and counts them.
 *
 * Usage: server-tests [--server BINARY] [--only TEXT] [--verbose] [--list] [--first-port N]
 * BINARY is otherwise what REDIS_KV says, or build/redis-kv.
 *
 * May touch: processes, the temporary directory.
 * Must never know: what a test does.
 * Invariants: the last line is `N passed, N failed`; exit 1 after a failure; when a test is over, no process that it
 * started is left, were it a daemon.
 * Tests: it is one.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "groups.h"
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TEST_DEADLINE_MS = 60000,
    FIRST_PORT = 21250,
    STATUS_SKIPPED = 77,
    SENTENCE_BYTES = 256,
};

struct options {
    const char *binary;
    const char *only;
    bool is_verbose, lists_only;
    int first_port;
};

struct counts {
    int passed, failed, skipped;
};

static bool parse_options(struct options *options, int count, char **words) {
    for (int i = 1; i < count; i++) {
        bool has_value = i + 1 < count;
        if (strcmp(words[i], "--verbose") == 0)
            options->is_verbose = true;
        else if (strcmp(words[i], "--list") == 0)
            options->lists_only = true;
        else if (strcmp(words[i], "--server") == 0 && has_value)
            options->binary = words[++i];
        else if (strcmp(words[i], "--only") == 0 && has_value)
            options->only = words[++i];
        else if (strcmp(words[i], "--first-port") == 0 && has_value)
            options->first_port = atoi(words[++i]);
        else
            return false;
    }
    return true;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk) {
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

/* Kills what the test has left: orphans have become children of this process. */
static void kill_orphans(void) {
    long long end_ms = now_ms() + HARNESS_DEADLINE_MS;
    while (waitpid(-1, NULL, WNOHANG) >= 0 && now_ms() < end_ms) {
        DIR *processes = opendir("/proc");
        struct dirent *entry;
        while (processes && (entry = readdir(processes))) {
            char path[300], text[512];
            snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
            int pid = atoi(entry->d_name), parent = 0;
            const char *field = pid > 0 ? strrchr(file_text(path, text, sizeof(text)), ')') : NULL;
            if (field && sscanf(field + 1, " %*c %d", &parent) == 1 && parent == (int)getpid())
                kill(pid, SIGKILL);
        }
        if (processes)
            closedir(processes);
        breathe();
    }
}

static pid_t start_test(const struct test_case *which, struct test *test, FILE *output) {
    fflush(stdout);
    pid_t parent = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    setpgid(0, 0);
    dup2(fileno(output), STDOUT_FILENO);
    dup2(fileno(output), STDERR_FILENO);
    which->run(test);
    fflush(stdout);
    _exit(0);
}

static int wait_for_test(pid_t pid) {
    int status;
    long long end_ms = now_ms() + TEST_DEADLINE_MS;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_ms() > end_ms) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            break;
        }
        breathe();
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void print_indented(FILE *output) {
    char line[1024];
    rewind(output);
    while (fgets(line, sizeof(line), output))
        printf("      %s%s", line, strchr(line, '\n') ? "" : "\n");
}

static void run_case(const struct options *options, const struct test_case *which, const char *sentence,
                     struct counts *counts) {
    struct test test = {.binary = options->binary, .first_port = options->first_port};
    snprintf(test.directory, sizeof(test.directory), "/tmp/redis-kv-server-XXXXXX");
    FILE *output = tmpfile();
    if (!mkdtemp(test.directory) || !output) {
        printf("FAIL  %s\n      no temporary directory: %s\n", sentence, strerror(errno));
        counts->failed++;
        return;
    }
    long long begin_ms = now_ms();
    pid_t pid = start_test(which, &test, output);
    int status = pid < 0 ? 1 : wait_for_test(pid);
    if (pid > 0)
        kill(-pid, SIGKILL);
    kill_orphans();
    nftw(test.directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (status == 0) {
        counts->passed++;
        if (options->is_verbose)
            printf("pass  %s  (%.2f s)\n", sentence, (double)(now_ms() - begin_ms) / 1000);
    } else if (status == STATUS_SKIPPED) {
        counts->skipped++;
        printf("skip  %s\n", sentence);
        print_indented(output);
    } else {
        counts->failed++;
        printf("FAIL  %s\n", sentence);
        print_indented(output);
        if (status == 128 + SIGKILL)
            printf("      not done within %d s\n", TEST_DEADLINE_MS / 1000);
        else if (status > 1)
            printf("      the test ended with status %d\n", status);
    }
    fflush(stdout);
    fclose(output);
}

static void run_group(const struct options *options, const struct test_case *cases, struct counts *counts) {
    for (; cases->run; cases++) {
        char sentence[SENTENCE_BYTES];
        snprintf(sentence, sizeof(sentence), "%s", cases->sentence);
        for (char *letter = sentence; *letter; letter++)
            if (*letter == '_')
                *letter = ' ';
        if (options->only && !strstr(sentence, options->only))
            continue;
        if (options->lists_only)
            printf("%s\n", sentence);
        else
            run_case(options, cases, sentence, counts);
    }
}

int main(int count, char **words) {
    const char *environment = getenv("REDIS_KV");
    struct options options = {.binary = environment ? environment : "build/redis-kv",
                              .first_port = FIRST_PORT};
    if (!parse_options(&options, count, words)) {
        fprintf(stderr, "usage: %s [--server BINARY] [--only TEXT] [--verbose] [--list] [--first-port N]\n",
                words[0]);
        return 2;
    }
    char *binary = realpath(options.binary, NULL);
    if (!options.lists_only && (!binary || access(binary, X_OK) != 0)) {
        printf("%s: no such program\n0 passed, 1 failed\n", options.binary);
        free(binary);
        return 1;
    }
    /* A name that tells programs apart by how they are called must stay: no realpath of a symbolic link. */
    char absolute[PATH_MAX];
    if (options.binary[0] != '/' && getcwd(absolute, sizeof(absolute))) {
        size_t used = strlen(absolute);
        snprintf(absolute + used, sizeof(absolute) - used, "/%s", options.binary);
        options.binary = absolute;
    }
    free(binary);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGPIPE, SIG_IGN);
    /* Thousands of connections need descriptors: as many as this user may have. */
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    struct counts counts = {0};
    const struct test_case *const groups[] = {
        startup_tests(), folder_tests(),  configuration_tests(),  listening_tests(), cluster_ports_tests(),
        access_tests(),  request_tests(), client_command_tests(), limit_tests(),     keyspace_tests(),
    };
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        run_group(&options, groups[i], &counts);
    if (options.lists_only)
        return 0;
    if (counts.skipped)
        printf("%d skipped\n", counts.skipped);
    printf("%d passed, %d failed\n", counts.passed, counts.failed);
    return counts.failed || !counts.passed ? 1 : 0;
}
