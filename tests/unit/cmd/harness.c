/* harness.c - command lines in, reply bytes out, and the loop that makes every allocation fail once.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/harness.h"

#include "store/ledger.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define HARNESS_ARGUMENTS_MAX 256
#define HARNESS_KEYS_MAX      1000
#define HARNESS_NO_MEMORY     "-" ERROR_NO_MEMORY "\r\n"

void harness_init(struct harness *harness) {
    static const uint8_t seed[HASH_SEED_SIZE] = "a fixed seed";
    *harness = (struct harness){0};
    harness->commands = command_index_new(&harness->table_mem);
    cr_assert_not_null(harness->commands);
    harness->keyspace = keyspace_new(&harness->mem, seed, 1);
    cr_assert_not_null(harness->keyspace);
    buffer_init(&harness->out, &harness->mem);
    harness->reply = (struct reply){.out = &harness->out, .protocol = 2};
    harness_set_time(harness, HARNESS_NOW_MS);
}

void harness_release(struct harness *harness) {
    keyspace_free(harness->keyspace);
    buffer_release(&harness->out);
    command_index_free(&harness->table_mem, harness->commands);
    cr_assert_eq(harness->mem.used_bytes, 0, "%zu bytes leaked", harness->mem.used_bytes);
    cr_assert_eq(harness->mem.allocations, 0);
    cr_assert_eq(harness->table_mem.used_bytes, 0);
}

void harness_set_time(struct harness *harness, int64_t now_ms) {
    keyspace_set_time(harness->keyspace, now_ms);
}

/* ---- Command lines ---- */

static int hex_digit(char letter) {
    const char *digits = "0123456789abcdef";
    const char *found = letter == '\0' ? NULL : strchr(digits, letter | 0x20);
    return found == NULL ? -1 : (int)(found - digits);
}

/* Reads one escape sequence behind its backslash. */
static const char *read_escape(const char *at, uint8_t *byte) {
    switch (*at) {
    case 'n': *byte = '\n'; return at + 1;
    case 'r': *byte = '\r'; return at + 1;
    case 't': *byte = '\t'; return at + 1;
    case 'x':
        cr_assert(hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0, "\\x needs two hex digits");
        *byte = (uint8_t)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
        return at + 3;
    default: *byte = (uint8_t)*at; return at + 1;
    }
}

/* Reads one word into out (as large as the rest of the line); answers where the next one begins. */
static const char *read_word(const char *at, uint8_t *out, uint32_t *size) {
    *size = 0;
    if (*at != '"' && *at != '\'') {
        while (*at != '\0' && *at != ' ')
            out[(*size)++] = (uint8_t)*at++;
        return at;
    }
    char quote = *at++;
    while (*at != quote) {
        cr_assert_neq(*at, '\0', "a quote without its end");
        if (quote == '"' && *at == '\\')
            at = read_escape(at + 1, &out[(*size)++]);
        else
            out[(*size)++] = (uint8_t)*at++;
    }
    return at + 1;
}

static uint8_t *exact_copy(const uint8_t *data, uint32_t size) {
    uint8_t *copy = malloc(size);
    cr_assert(copy != NULL || size == 0);
    if (size != 0)
        memcpy(copy, data, size);
    return copy;
}

struct harness_answer harness_run(struct harness *harness, const char *line) {
    uint8_t *words = malloc(strlen(line) + 1);
    struct argument argv[HARNESS_ARGUMENTS_MAX];
    uint32_t argc = 0;
    uint8_t *end = words;
    cr_assert_not_null(words);
    for (const char *at = line + strspn(line, " "); *at != '\0'; at += strspn(at, " ")) {
        cr_assert_lt(argc, HARNESS_ARGUMENTS_MAX);
        argv[argc] = (struct argument){.data = end};
        at = read_word(at, end, &argv[argc].size);
        end += argv[argc++].size;
    }
    struct harness_answer answer = harness_run_arguments(harness, argv, argc);
    free(words);
    return answer;
}

/* ---- Running ---- */

static const struct command *find_command(struct harness *harness, const struct argument *argv,
                                          uint32_t argc) {
    const struct command *command = command_find(harness->commands, argv[0].data, argv[0].size);
    cr_assert_not_null(command, "no command %.*s", (int)argv[0].size, argv[0].data);
    if ((command->flags & COMMAND_CONTAINER) && argc > 1) {
        command = command_find_subcommand(command, argv[1].data, argv[1].size);
        cr_assert_not_null(command, "no subcommand %.*s", (int)argv[1].size, argv[1].data);
    }
    return command;
}

struct harness_answer harness_run_arguments(struct harness *harness, const struct argument *argv,
                                            uint32_t argc) {
    cr_assert_gt(argc, 0);
    struct argument *copies = malloc(argc * sizeof *copies);
    cr_assert_not_null(copies);
    for (uint32_t i = 0; i < argc; i++)
        copies[i] = (struct argument){.data = exact_copy(argv[i].data, argv[i].size),
                                      .size = argv[i].size,
                                      .slot = ARGUMENT_NOT_PLACED};
    uint64_t fuse = harness->mem.fuse;
    harness->mem.fuse = 0;
    buffer_release(&harness->out); /* so that each reply beyond the reserve has to find memory */
    cr_assert(buffer_reserve(&harness->out, CALL_REPLY_RESERVE));
    harness->mem.fuse = fuse;

    struct call call = {.keyspace = harness->keyspace,
                        .reply = &harness->reply,
                        .command = find_command(harness, copies, argc),
                        .argv = copies,
                        .argc = argc,
                        .database = harness->database};
    if (!command_arity_fits(call.command, argc)) {
        reply_error_format(&harness->reply, "ERR wrong number of arguments for '%s' command",
                           call.command->name);
    } else {
        cr_assert_not_null(call.command->handler, "%s has no handler", call.command->name);
        call.command->handler(&call);
    }
    if (!reply_is_complete(&harness->reply)) {
        reply_rollback(&harness->reply, 0);
        call_no_memory(&call);
    }
    cr_assert_gt(harness->out.size, 0, "%s wrote no reply", call.command->name);
    if (harness->keyspace->ledger != NULL)
        ledger_clear_effects(harness->keyspace->ledger); /* they point to the arguments */
    for (uint32_t i = 0; i < argc; i++)
        free((void *)(uintptr_t)copies[i].data);
    free(copies);
    /* A zero byte behind the answer, for tests that read it as text. */
    fuse = harness->mem.fuse;
    harness->mem.fuse = 0;
    cr_assert(buffer_reserve(&harness->out, 1));
    harness->out.data[harness->out.size] = '\0';
    harness->mem.fuse = fuse;
    return (struct harness_answer){harness->out.data, harness->out.size};
}

/* Long runs of one byte are shortened: "\x00(2000 times)". */
static void print_escaped(FILE *file, const void *data, size_t size) {
    const uint8_t *bytes = data;
    for (size_t i = 0, run; i < size; i += run) {
        run = 1;
        while (i + run < size && bytes[i + run] == bytes[i])
            run++;
        bool shorten = run > 16;
        for (size_t j = 0; j < (shorten ? 1 : run); j++) {
            if (bytes[i] == '\r')
                fputs("\\r", file);
            else if (bytes[i] == '\n')
                fputs("\\n", file);
            else if (bytes[i] < ' ' || bytes[i] > '~')
                fprintf(file, "\\x%02x", bytes[i]);
            else
                fputc(bytes[i], file);
        }
        if (shorten)
            fprintf(file, "(%zu times)", run);
    }
}

static char *escaped(const void *data, size_t size) {
    char *text = NULL;
    size_t text_size = 0;
    FILE *file = open_memstream(&text, &text_size);
    cr_assert_not_null(file);
    print_escaped(file, data, size);
    fclose(file);
    return text;
}

void harness_expect(const char *file, int at, struct harness *harness, const char *line, const char *reply,
                    size_t reply_size) {
    struct harness_answer answer = harness_run(harness, line);
    if (answer.size == reply_size && memcmp(answer.data, reply, reply_size) == 0)
        return;
    char *got = escaped(answer.data, answer.size);
    char *wanted = escaped(reply, reply_size);
    cr_assert_fail("%s:%d: %s\n    answers %s\n    not     %s", file, at, line, got, wanted);
}

void harness_put_list(struct harness *harness, const char *key) {
    struct argument place = {
        .data = (const uint8_t *)key, .size = (uint32_t)strlen(key), .slot = ARGUMENT_NOT_PLACED};
    struct value list = {
        .data = (const uint8_t *)"a", .size = 1, .expiry_ms = EXPIRY_NONE, .type = RECORD_STRING + 1};
    cr_assert(keyspace_put(harness->keyspace, harness->database, &place, &list));
}

/* ---- Failing allocations ---- */

/* The keys of a database, each as a line. A failed growth of a table changes the order in which a scan meets them:
 * they are sorted. */
struct key_lines {
    char *line[HARNESS_KEYS_MAX];
    size_t count;
};

static void add_key_line(void *context, struct record *record) {
    struct key_lines *lines = context;
    struct version version;
    size_t size = 0;
    cr_assert_lt(lines->count, HARNESS_KEYS_MAX);
    FILE *file = open_memstream(&lines->line[lines->count++], &size);
    cr_assert_not_null(file);
    record_version(record, &version);
    print_escaped(file, record_key(record), record_key_size(record));
    fprintf(file, " type %u encoding %u expiry %lld version", record_type(record), record_encoding(record),
            (long long)record_expiry_ms(record));
    for (uint32_t i = 0; i < version.count; i++)
        fprintf(file, " %u:%llu", version.dots[i].actor, (unsigned long long)version.dots[i].counter);
    fputs(" value ", file);
    print_escaped(file, record_value_const(record), record_value_size(record));
    fclose(file);
}

static int compare_lines(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_database(struct harness *harness, uint32_t database, FILE *file) {
    struct key_lines lines = {0};
    uint64_t cursor = 0;
    do {
        cursor = keyspace_scan(harness->keyspace, database, cursor, 1000, add_key_line, &lines);
    } while (cursor != 0);
    qsort(lines.line, lines.count, sizeof lines.line[0], compare_lines);
    for (size_t i = 0; i < lines.count; i++) {
        fprintf(file, "%u: %s\n", database, lines.line[i]);
        free(lines.line[i]);
    }
}

char *harness_snapshot(struct harness *harness) {
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    cr_assert_not_null(file);
    fprintf(file, "changes %llu\n", (unsigned long long)harness->keyspace->counters.changes);
    for (uint32_t database = 0; database < DATABASE_COUNT; database++) {
        uint64_t keys = keyspace_size(harness->keyspace, database);
        if (keys != 0)
            fprintf(file, "database %u: %llu keys\n", database, (unsigned long long)keys);
        print_database(harness, database, file);
    }
    fclose(file);
    return text;
}

struct outcome {
    uint8_t *reply;
    size_t reply_size;
    char *before, *after;
    bool failed; /* an allocation was made to fail */
};

/* fuse: the number of the allocation that fails, 0: none does. */
static struct outcome run_with_fuse(const char *const *setup, const char *line, uint64_t fuse, bool stays) {
    struct harness harness;
    struct outcome outcome = {0};
    harness_init(&harness);
    for (; *setup != NULL; setup++) {
        struct harness_answer answer = harness_run(&harness, *setup);
        cr_assert_neq(answer.data[0], '-', "%s answers %.*s", *setup, (int)answer.size, answer.data);
    }
    outcome.before = harness_snapshot(&harness);
    harness.mem.fuse_stays_blown = stays;
    harness.mem.fuse = fuse;
    struct harness_answer answer = harness_run(&harness, line);
    outcome.failed = harness.mem.fuse == 0;
    harness.mem.fuse = 0;
    outcome.reply = exact_copy(answer.data, (uint32_t)answer.size);
    outcome.reply_size = answer.size;
    outcome.after = harness_snapshot(&harness);
    harness_release(&harness);
    return outcome;
}

static void outcome_release(struct outcome *outcome) {
    free(outcome->reply);
    free(outcome->before);
    free(outcome->after);
}

static void check_outcome(const struct outcome *got, const struct outcome *good, const char *line,
                          uint64_t fuse) {
    cr_assert_str_eq(got->before, good->before);
    if (got->reply_size == good->reply_size && memcmp(got->reply, good->reply, good->reply_size) == 0) {
        cr_assert_str_eq(got->after, good->after,
                         "%s: answers well without allocation %llu, but leaves\n%s\nnot\n%s", line,
                         (unsigned long long)fuse, got->after, good->after);
        return;
    }
    cr_assert(got->reply_size == strlen(HARNESS_NO_MEMORY) &&
                  memcmp(got->reply, HARNESS_NO_MEMORY, got->reply_size) == 0,
              "%s: answers %s without allocation %llu", line, escaped(got->reply, got->reply_size),
              (unsigned long long)fuse);
    cr_assert_str_eq(got->after, got->before, "%s: a change half done without allocation %llu:\n%s\nwas\n%s",
                     line, (unsigned long long)fuse, got->after, got->before);
}

unsigned harness_fail_each_allocation(const char *const *setup, const char *line) {
    struct outcome good = run_with_fuse(setup, line, 0, false);
    for (uint64_t fuse = 1;; fuse++) {
        struct outcome once = run_with_fuse(setup, line, fuse, false);
        bool failed = once.failed;
        check_outcome(&once, &good, line, fuse);
        outcome_release(&once);
        if (!failed) {
            outcome_release(&good);
            return (unsigned)(fuse - 1);
        }
        struct outcome onwards = run_with_fuse(setup, line, fuse, true);
        check_outcome(&onwards, &good, line, fuse);
        outcome_release(&onwards);
    }
}
