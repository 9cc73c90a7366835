/* options.c - the command line and the config file.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "server/options.h"

#include "node/release.h"
#include "os/file.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_FILE_SIZE_MAX (16 * 1024 * 1024)

static void print_help(void) {
    puts(
        "Usage: redis-kv [/path/to/redis-kv.conf] [--directive value ...]\n"
        "       redis-kv - (the config comes from standard input)\n"
        "       redis-kv -v or --version\n"
        "       redis-kv -h or --help\n"
        "       redis-kv [/path/to/redis-kv.conf] [--directive value ...] --check-config\n"
        "       redis-kv [/path/to/redis-kv.conf] [--directive value ...] --start-empty\n"
        "\n"
        "Examples:\n"
        "       redis-kv                            serves on port 6379 with the defaults\n"
        "       redis-kv redis-kv.conf --port 7000  a directive on the command line wins over the file\n"
        "       redis-kv --maxmemory 100mb --save ''\n"
        "\n"
        "--check-config reads the config, says whether it is valid, and ends. --start-empty starts without data\n"
        "where there should be a checkpoint and none can be loaded; damaged files are set aside, not removed.\n"
        "\n"
        "Directives have the names of redis.conf. redis-cli is the client.");
}

static bool read_included(void *context, const char *pattern, struct buffer *text,
                          char error[CONFIG_ERROR_SIZE]) {
    (void)context;
    glob_t found;
    int result = glob(pattern, 0, NULL, &found);
    if (result == GLOB_NOMATCH && strpbrk(pattern, "*?[") != NULL)
        return true; /* as in Redis: a pattern may match nothing, a plain name must be there */
    if (result != 0) {
        snprintf(error, CONFIG_ERROR_SIZE, "can't open the included file '%s'", pattern);
        return false;
    }
    bool done = true;
    for (size_t i = 0; i < found.gl_pathc && done; i++) {
        done = file_read(found.gl_pathv[i], CONFIG_FILE_SIZE_MAX, text) == FILE_DONE &&
               buffer_append(text, "\n", 1);
        if (!done)
            snprintf(error, CONFIG_ERROR_SIZE, "can't read the included file '%s': %s", found.gl_pathv[i],
                     strerror(errno));
    }
    globfree(&found);
    return done;
}

static void print_problem(const struct config_problem *problem) {
    fprintf(stderr, "\n*** FATAL CONFIG FILE ERROR (redis-kv %s) ***\n", REDIS_KV_VERSION);
    fprintf(stderr, "Reading the configuration file, at line %u\n", problem->line);
    fprintf(stderr, ">>> '%s'\n%s\n", problem->text, problem->reason);
}

static bool apply(struct options *options, const struct buffer *text) {
    static const struct config_files files = {.read = read_included};
    struct config_problem problem;
    memset(&problem, 0, sizeof problem);
    if (config_apply_text(&options->config, (const char *)text->data, text->size, &files, &problem))
        return true;
    print_problem(&problem);
    return false;
}

/* Reads the file (or standard input) and applies it. */
static bool apply_file(struct options *options, const char *path) {
    struct buffer text;
    buffer_init(&text, &options->mem);
    bool done;
    if (strcmp(path, "-") == 0) {
        done = file_read("/dev/stdin", CONFIG_FILE_SIZE_MAX, &text) == FILE_DONE;
    } else {
        done = file_read(path, CONFIG_FILE_SIZE_MAX, &text) == FILE_DONE;
        if (done && realpath(path, options->config_path) == NULL)
            done = false;
    }
    if (!done)
        fprintf(stderr, "Fatal error, can't open config file '%s': %s\n", path, strerror(errno));
    done = done && apply(options, &text);
    buffer_release(&text);
    return done;
}

static bool apply_arguments(struct options *options, int argc, char **argv) {
    if (argc == 0)
        return true;
    struct buffer text;
    buffer_init(&text, &options->mem);
    bool done = config_arguments_to_text(argc, argv, &text);
    if (!done)
        fputs("Fatal error, out of memory\n", stderr);
    done = done && apply(options, &text);
    buffer_release(&text);
    return done;
}

/* Takes a word that is no directive out of the arguments. */
static bool take_flag(int *argc, char **argv, const char *flag) {
    bool found = false;
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], flag) == 0)
            found = true;
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
    return found;
}

enum options_result options_read(struct options *options, int argc, char **argv) {
    memset(options, 0, sizeof *options);
    argc--, argv++;
    bool check = take_flag(&argc, argv, "--check-config");
    options->start_empty = take_flag(&argc, argv, "--start-empty");
    if (argc >= 1 && (strcmp(argv[0], "-v") == 0 || strcmp(argv[0], "--version") == 0)) {
        printf("redis-kv server v=%s sha=00000000:0 malloc=%s bits=%zu redis=%s\n", REDIS_KV_VERSION,
               RELEASE_ALLOCATOR, sizeof(void *) * 8, REDIS_LEVEL_VERSION);
        return OPTIONS_EXIT_OK;
    }
    if (argc >= 1 && (strcmp(argv[0], "-h") == 0 || strcmp(argv[0], "--help") == 0)) {
        print_help();
        return OPTIONS_EXIT_OK;
    }
    if (!config_init(&options->config, &options->mem)) {
        fputs("Fatal error, out of memory\n", stderr);
        return OPTIONS_EXIT_ERROR;
    }
    bool has_file = argc >= 1 && (argv[0][0] != '-' || argv[0][1] == '\0');
    if ((has_file && !apply_file(options, argv[0])) ||
        !apply_arguments(options, argc - has_file, argv + has_file)) {
        options_release(options);
        return OPTIONS_EXIT_ERROR;
    }
    if (!check)
        return OPTIONS_RUN;
    printf("%.*sThe configuration is valid.\n", (int)options->config.warnings.size,
           (const char *)options->config.warnings.data);
    options_release(options);
    return OPTIONS_EXIT_OK;
}

void options_release(struct options *options) {
    config_release(&options->config);
}
