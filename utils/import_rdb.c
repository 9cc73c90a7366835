/* import_rdb.c - sends the strings of an RDB file, a snapshot of Redis, to a running server; utils/import-rdb calls it.
 *
 * A file is read twice: the first pass finds out whether it is whole and has other values than strings, the second
 * sends. So a file that is damaged, or has what would be lost, changes nothing. Standard input is read once.
 * May touch: files, sockets (through hiredis), the clock, proto/rdb. Must never know: how the server works.
 * Invariants: every reply is looked at; the first that is an error ends the import; at most two batches are on their way;
 * with exit 0 every string that was not reported as skipped has been acknowledged.
 * Tests: tests/rdb/run.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/cursor.h"
#include "base/limits.h"
#include "data/record.h"
#include "proto/rdb.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_SIZE        (256 * 1024)
#define SENT_COMMANDS     1000
#define SENT_BYTES        (1024 * 1024)
#define CONNECT_TIMEOUT_S 10
#define PROGRESS_MS       250   /* on a terminal */
#define PROGRESS_LINE_MS  10000 /* elsewhere */
#define DATABASES_MAX     1024  /* that are counted; a server has 16 */
#define END_MARK_SIZE \
    40 /* what redis-cli --rdb leaves behind a snapshot in a pipe: so many hexadecimal digits */
#define ALL_DATABASES (-1)

static const char usage_text[] =
    "usage: utils/import-rdb [option...] FILE\n"
    "Sends the strings of an RDB file (Redis 1 to 7.0) to a running server: keys, values, expiries, databases.\n"
    "  -h HOST             (127.0.0.1)\n"
    "  -p PORT             (6379)\n"
    "  -s SOCKET           a unix socket, in place of host and port\n"
    "  -a PASSWORD         better in the environment variable REDISCLI_AUTH: others may see options\n"
    "  --databases N       only this database (all)\n"
    "  --keep-existing     leaves keys alone that the server has; otherwise they are overwritten\n"
    "  --skip-other-types  leaves out values that are no strings; otherwise a file that has any is refused as a whole\n"
    "  --dry-run           only reads and counts; no server is needed\n"
    "FILE `-` is standard input, which is read once: it needs --skip-other-types or --dry-run.\n"
    "Keys that have expired are left out. The exit status is 0 if all else was imported.\n";

struct options {
    const char *host, *socket, *password, *path;
    long port;
    int64_t database; /* or ALL_DATABASES */
    bool keeps_existing, skips_other_types, is_dry_run;
};

static const char *const other_types[] = {"list", "set", "zset", "hash", "stream", "module"};
#define OTHER_TYPES (sizeof other_types / sizeof *other_types)

/* What was seen in one database, or in all. */
struct tally {
    uint32_t database;
    uint64_t strings, expiring, expired; /* of the strings: with an expiry; of these: in the past */
    uint64_t others, other[OTHER_TYPES];
};

/* Commands whose replies are awaited together. */
struct batch {
    struct buffer names; /* of each: the size of its key in 32 bits, and the key */
    unsigned commands;
    size_t bytes;
};

struct import {
    struct options options;
    struct mem mem;
    int fd;
    uint64_t size_bytes; /* of the file; 0 where that cannot be known */
    uint8_t *chunk;
    struct rdb_reader reader;
    uint64_t libraries;
    /* of the pass at hand */
    struct tally all, databases[DATABASES_MAX];
    unsigned database_count, database_at;
    bool sends;
    int64_t began_ms, progress_ms;
    /* the server */
    redisContext *server;
    struct batch filling, sent;
    bool has_selected;
    uint32_t selected;
    uint64_t imported, existing;
    bool is_refused, is_cut; /* a reply was an error; the connection is lost */
};

static bool complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Answers false, so that a caller can hand it up. */
static bool complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("import-rdb: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return false;
}

static bool no_memory(void) {
    return complain("there is not enough memory");
}

static int64_t clock_ms(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Progress ------------------------------------------------------------------------------------------------------ */

static void show_progress(struct import *import) {
    bool is_terminal = isatty(STDERR_FILENO);
    int64_t now_ms = clock_ms(CLOCK_MONOTONIC);
    if (now_ms - import->progress_ms < (is_terminal ? PROGRESS_MS : PROGRESS_LINE_MS))
        return;
    import->progress_ms = now_ms;
    char part[32] = "";
    if (import->size_bytes != 0)
        snprintf(part, sizeof part, "%3u %%, ",
                 (unsigned)(100 * rdb_reader_position(&import->reader) / import->size_bytes));
    fprintf(stderr, "%s%s: %s%llu keys, %.1f s%s", is_terminal ? "\r" : "",
            import->sends ? "importing" : "reading", part,
            (unsigned long long)(import->all.strings + import->all.others),
            (double)(now_ms - import->began_ms) / 1000, is_terminal ? "" : "\n");
}

static void end_progress(void) {
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

/* ---- The server ---------------------------------------------------------------------------------------------------- */

/* Sends one command and waits for its status. The password is told to nobody. */
static bool ask(struct import *import, const char *what, const char *argument) {
    const char *words[] = {what, argument};
    redisReply *reply = redisCommandArgv(import->server, argument == NULL ? 1 : 2, words, NULL);
    if (reply == NULL) {
        import->is_cut = true;
        return complain("%s: %s", what, import->server->errstr);
    }
    bool is_good = reply->type == REDIS_REPLY_STATUS;
    if (!is_good)
        complain("%s: %s", what, reply->type == REDIS_REPLY_ERROR ? reply->str : "a strange reply");
    freeReplyObject(reply);
    return is_good;
}

static bool connect_to_server(struct import *import) {
    const struct options *options = &import->options;
    struct timeval timeout = {.tv_sec = CONNECT_TIMEOUT_S};
    import->server = options->socket != NULL
                         ? redisConnectUnixWithTimeout(options->socket, timeout)
                         : redisConnectWithTimeout(options->host, (int)options->port, timeout);
    if (import->server == NULL)
        return no_memory();
    if (import->server->err != 0) {
        if (options->socket != NULL)
            return complain("no connection to %s: %s", options->socket, import->server->errstr);
        return complain("no connection to %s:%ld: %s", options->host, options->port, import->server->errstr);
    }
    /* What is waited for after that may take its time: a server that stops for a moment does not end an import. */
    redisSetTimeout(import->server, (struct timeval){0});
    if (options->password != NULL && !ask(import, "AUTH", options->password))
        return false;
    return ask(import, "PING", NULL);
}

/* The name of a key for a person: the beginning of it, without what would disturb a terminal. */
static void print_key(FILE *out, const uint8_t *key, size_t size) {
    fputc('"', out);
    for (size_t i = 0; i < size && i < 200; i++)
        if (isprint(key[i]) && key[i] != '"' && key[i] != '\\')
            fputc(key[i], out);
        else
            fprintf(out, "\\x%02x", key[i]);
    fputs(size > 200 ? "\"..." : "\"", out);
}

/* Counts a reply. The first that is an error is shown. */
static void take_reply(struct import *import, const redisReply *reply, struct cursor *names) {
    uint32_t size = cursor_u32(names);
    const uint8_t *key = cursor_bytes(names, size);
    CHECK(!cursor_failed(names));
    if (reply->type == REDIS_REPLY_STATUS) {
        import->imported++;
        return;
    }
    if (reply->type == REDIS_REPLY_NIL && import->options.keeps_existing) {
        import->existing++;
        return;
    }
    if (import->is_refused)
        return;
    import->is_refused = true;
    end_progress();
    fputs("import-rdb: ", stderr);
    print_key(stderr, key, size);
    fprintf(stderr, ": %s\n", reply->type == REDIS_REPLY_ERROR ? reply->str : "a strange reply");
}

static bool lose_connection(struct import *import) {
    import->is_cut = true;
    end_progress();
    return complain("the connection is lost: %s", import->server->errstr);
}

/* Reads the replies of the batch that was sent, all of them also after an error: so the count is right. */
static bool read_replies(struct import *import) {
    struct batch *batch = &import->sent;
    struct cursor names = cursor_make(batch->names.data, batch->names.size);
    for (; batch->commands > 0; batch->commands--) {
        void *reply;
        if (redisGetReply(import->server, &reply) != REDIS_OK)
            return lose_connection(import);
        take_reply(import, reply, &names);
        freeReplyObject(reply);
    }
    buffer_clear(&batch->names);
    batch->bytes = 0;
    return !import->is_refused;
}

/* Sends the batch that was filled, then reads the replies to the one before: meanwhile the server works. */
static bool send_batch(struct import *import) {
    int is_done = 0;
    while (!is_done)
        if (redisBufferWrite(import->server, &is_done) != REDIS_OK)
            return lose_connection(import);
    bool is_good = read_replies(import);
    if (import->is_cut)
        return false;
    struct batch empty = import->sent;
    import->sent = import->filling;
    import->filling = empty;
    return is_good;
}

/* Ends what is on its way; after an error nothing more is sent. */
static bool settle(struct import *import) {
    bool is_good = import->is_refused || import->is_cut ? false : send_batch(import);
    return import->is_cut ? false : read_replies(import) && is_good;
}

/* Nothing may be on its way meanwhile: what is sent behind a SELECT that is refused would go to a wrong database. */
static bool select_database(struct import *import, uint32_t database) {
    char number[16];
    if (import->has_selected && import->selected == database)
        return true;
    if (!settle(import))
        return false;
    end_progress();
    snprintf(number, sizeof number, "%u", database);
    import->has_selected = ask(import, "SELECT", number);
    import->selected = database;
    return import->has_selected;
}

/* Adds a command about the key at hand to the batch. */
static bool add_command(struct import *import, int count, const char **words, const size_t *sizes) {
    struct batch *batch = &import->filling;
    const struct buffer *key = &import->reader.key;
    uint32_t size = (uint32_t)key->size;
    uint8_t head[] = {(uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16), (uint8_t)(size >> 24)};
    if (!buffer_append(&batch->names, head, sizeof head) ||
        !buffer_append(&batch->names, key->data, key->size) ||
        redisAppendCommandArgv(import->server, count, words, sizes) != REDIS_OK)
        return no_memory();
    batch->commands++;
    for (int i = 0; i < count; i++)
        batch->bytes += sizes[i];
    return true;
}

static bool send_string(struct import *import) {
    const struct rdb_reader *reader = &import->reader;
    const char *words[6] = {"SET", (const char *)reader->key.data, (const char *)reader->value.data};
    size_t sizes[6] = {3, reader->key.size, reader->value.size};
    char expiry[32];
    int count = 3;
    if (reader->expiry_ms != RECORD_NO_EXPIRY) {
        words[count] = "PXAT", sizes[count++] = 4;
        words[count] = expiry;
        sizes[count++] = (size_t)snprintf(expiry, sizeof expiry, "%lld", (long long)reader->expiry_ms);
    }
    if (import->options.keeps_existing)
        words[count] = "NX", sizes[count++] = 2;
    if (!select_database(import, reader->database) || !add_command(import, count, words, sizes))
        return false;
    if (import->filling.commands < SENT_COMMANDS && import->filling.bytes < SENT_BYTES)
        return true;
    return send_batch(import);
}

/* ---- A pass over the file ------------------------------------------------------------------------------------------ */

/* The tally of the database at hand, or NULL. */
static struct tally *database_tally(struct import *import, uint32_t database) {
    if (import->database_at < import->database_count &&
        import->databases[import->database_at].database == database)
        return &import->databases[import->database_at];
    unsigned at = 0;
    while (at < import->database_count && import->databases[at].database != database)
        at++;
    if (at == DATABASES_MAX) {
        complain("there are more than %u databases", DATABASES_MAX);
        return NULL;
    }
    if (at == import->database_count)
        import->databases[import->database_count++] = (struct tally){.database = database};
    import->database_at = at;
    return &import->databases[at];
}

static void count_string(struct tally *tally, bool expires, bool has_expired) {
    tally->strings++;
    tally->expiring += expires;
    tally->expired += has_expired;
}

static void count_other(struct tally *tally, const char *type_name) {
    tally->others++;
    for (unsigned i = 0; i < OTHER_TYPES; i++)
        tally->other[i] += strcmp(other_types[i], type_name) == 0;
}

static bool take_key(struct import *import, enum rdb_event event) {
    const struct rdb_reader *reader = &import->reader;
    if (import->options.database != ALL_DATABASES && import->options.database != reader->database)
        return true;
    struct tally *tally = database_tally(import, reader->database);
    if (tally == NULL)
        return false;
    if (event == RDB_OTHER_TYPE) {
        count_other(tally, reader->type_name);
        count_other(&import->all, reader->type_name);
        return true;
    }
    bool expires = reader->expiry_ms != RECORD_NO_EXPIRY;
    bool has_expired = expires && reader->expiry_ms <= clock_ms(CLOCK_REALTIME);
    count_string(tally, expires, has_expired);
    count_string(&import->all, expires, has_expired);
    return !import->sends || has_expired || send_string(import);
}

/* Reads a chunk and feeds it; *is_end: there was none. */
static bool feed(struct import *import, bool *is_end) {
    ssize_t size;
    do
        size = read(import->fd, import->chunk, CHUNK_SIZE);
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return complain("%s: %s", import->options.path, strerror(errno));
    *is_end = size == 0;
    return rdb_reader_feed(&import->reader, import->chunk, (size_t)size) ? true : no_memory();
}

/* An append-only file may begin with a snapshot; what follows it are changes, which must not be lost in silence. */
static bool check_rest(struct import *import) {
    const struct rdb_reader *reader = &import->reader;
    bool is_end = false;
    while (!is_end && reader->input.size - reader->consumed <= END_MARK_SIZE)
        if (!feed(import, &is_end))
            return false;
    size_t size = reader->input.size - reader->consumed;
    bool is_mark = size == END_MARK_SIZE;
    for (size_t i = 0; i < size && is_mark; i++)
        is_mark = isxdigit(reader->input.data[reader->consumed + i]);
    if (size == 0 || is_mark)
        return true;
    return complain("%s: more follows the snapshot, which ends at byte %llu: an append-only file?",
                    import->options.path, (unsigned long long)rdb_reader_position(reader));
}

static bool read_events(struct import *import) {
    for (;;) {
        enum rdb_event event = rdb_reader_next(&import->reader);
        bool is_end = false;
        switch (event) {
        case RDB_STRING:
        case RDB_OTHER_TYPE:
            if (!take_key(import, event))
                return false;
            break;
        case RDB_NEED_INPUT:
            show_progress(import);
            if (!feed(import, &is_end))
                return false;
            if (is_end)
                rdb_reader_finish(&import->reader);
            break;
        case RDB_END: return check_rest(import);
        case RDB_MALFORMED:
            end_progress();
            return complain("%s: %s", import->options.path, import->reader.problem);
        case RDB_NO_MEMORY: return no_memory();
        }
    }
}

/* Reads the file once, and sends its strings if told so. */
static bool pass(struct import *import, bool sends) {
    import->sends = sends;
    import->all = (struct tally){0};
    import->database_count = import->database_at = 0;
    import->began_ms = import->progress_ms = clock_ms(CLOCK_MONOTONIC);
    rdb_reader_init(&import->reader, &import->mem);
    bool is_good = read_events(import);
    /* Also where the file turned out to be damaged: then what was read of it until there is imported. */
    if (sends)
        is_good &= settle(import);
    end_progress();
    import->libraries = import->reader.libraries;
    rdb_reader_release(&import->reader);
    return is_good;
}

/* ---- What people are told ------------------------------------------------------------------------------------------ */

static void print_others(FILE *out, const struct tally *tally, const char *before, const char *after) {
    for (unsigned i = 0; i < OTHER_TYPES; i++)
        if (tally->other[i] != 0)
            fprintf(out, "%s%llu %s%s", before, (unsigned long long)tally->other[i], other_types[i], after);
}

static void print_counts(const struct import *import) {
    for (unsigned i = 0; i < import->database_count; i++) {
        const struct tally *tally = &import->databases[i];
        printf("database %u: %llu strings (%llu with an expiry, %llu of them in the past)", tally->database,
               (unsigned long long)tally->strings, (unsigned long long)tally->expiring,
               (unsigned long long)tally->expired);
        print_others(stdout, tally, ", ", "");
        puts("");
    }
    printf("%llu strings and %llu other values were counted; nothing was sent\n",
           (unsigned long long)import->all.strings, (unsigned long long)import->all.others);
}

static bool refuse_others(const struct import *import) {
    complain("%s has values that are no strings, which cannot be imported:", import->options.path);
    print_others(stderr, &import->all, "  ", "\n");
    return complain("nothing was sent; --skip-other-types leaves them out");
}

static void print_summary(const struct import *import, bool is_good) {
    const struct tally *all = &import->all;
    const char *how = is_good ? "" : import->is_cut ? "not complete: at least " : "not complete: ";
    printf("%s%llu keys imported in %.1f s; skipped: %llu expired, %llu of other types", how,
           (unsigned long long)import->imported,
           (double)(clock_ms(CLOCK_MONOTONIC) - import->began_ms) / 1000, (unsigned long long)all->expired,
           (unsigned long long)all->others);
    if (import->options.keeps_existing)
        printf(", %llu that existed", (unsigned long long)import->existing);
    puts("");
}

/* ---- The whole ----------------------------------------------------------------------------------------------------- */

static bool open_file(struct import *import) {
    const char *path = import->options.path;
    struct stat status;
    if (strcmp(path, "-") == 0) {
        import->fd = STDIN_FILENO;
        return true;
    }
    import->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (import->fd < 0 || fstat(import->fd, &status) != 0)
        return complain("%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return complain("%s: not a file; `-` reads standard input", path);
    import->size_bytes = (uint64_t)status.st_size;
    return true;
}

static bool run(struct import *import) {
    const struct options *options = &import->options;
    bool is_read_twice = import->fd != STDIN_FILENO && !options->is_dry_run;
    if (options->is_dry_run || is_read_twice) {
        if (!pass(import, false))
            return complain("nothing was sent");
        if (import->libraries != 0)
            complain("functions cannot be imported; libraries: %llu", (unsigned long long)import->libraries);
    }
    if (options->is_dry_run) {
        print_counts(import);
        return true;
    }
    if (import->all.others != 0 && !options->skips_other_types)
        return refuse_others(import);
    if (is_read_twice && lseek(import->fd, 0, SEEK_SET) != 0)
        return complain("%s: %s", options->path, strerror(errno));
    if (!connect_to_server(import))
        return complain("nothing was sent");
    bool is_good = pass(import, true);
    if (!is_read_twice && import->libraries != 0)
        complain("functions cannot be imported; libraries: %llu", (unsigned long long)import->libraries);
    print_summary(import, is_good);
    return is_good;
}

static int run_and_release(struct import *import) {
    buffer_init(&import->filling.names, &import->mem);
    buffer_init(&import->sent.names, &import->mem);
    import->chunk = mem_alloc(&import->mem, CHUNK_SIZE);
    bool is_good = import->chunk == NULL ? no_memory() : open_file(import) && run(import);
    if (import->server != NULL)
        redisFree(import->server);
    if (import->fd > STDIN_FILENO)
        close(import->fd);
    mem_free(&import->mem, import->chunk, CHUNK_SIZE);
    buffer_release(&import->filling.names);
    buffer_release(&import->sent.names);
    return is_good ? 0 : 1;
}

static bool read_number(const char *text, long long max, long long *number) {
    char *end;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return isdigit((unsigned char)*text) && *end == '\0' && errno == 0 && *number <= max;
}

static bool read_options(struct options *options, int count, char **words) {
    enum { LONG_HELP = 256, LONG_DATABASES, LONG_KEEP, LONG_SKIP, LONG_DRY };
    static const struct option long_options[] = {
        {"help", no_argument, NULL, LONG_HELP},
        {"databases", required_argument, NULL, LONG_DATABASES},
        {"keep-existing", no_argument, NULL, LONG_KEEP},
        {"skip-other-types", no_argument, NULL, LONG_SKIP},
        {"dry-run", no_argument, NULL, LONG_DRY},
        {NULL, 0, NULL, 0},
    };
    long long number;
    int option;
    while ((option = getopt_long(count, words, "h:p:s:a:", long_options, NULL)) != -1)
        switch (option) {
        case 'h': options->host = optarg; break;
        case 's': options->socket = optarg; break;
        case 'a': options->password = optarg; break;
        case 'p':
            if (!read_number(optarg, 65535, &number) || number == 0)
                return complain("no port: %s", optarg);
            options->port = (long)number;
            break;
        case LONG_DATABASES:
            number = ALL_DATABASES;
            if (strcmp(optarg, "all") != 0 && !read_number(optarg, UINT32_MAX, &number))
                return complain("no database: %s", optarg);
            options->database = number;
            break;
        case LONG_KEEP: options->keeps_existing = true; break;
        case LONG_SKIP: options->skips_other_types = true; break;
        case LONG_DRY: options->is_dry_run = true; break;
        default: return false;
        }
    if (optind != count - 1)
        return false;
    options->path = words[optind];
    if (strcmp(options->path, "-") == 0 && !options->skips_other_types && !options->is_dry_run)
        return complain("standard input cannot be read twice: it needs --skip-other-types or --dry-run");
    return true;
}

int main(int count, char **words) {
    if (count == 2 && strcmp(words[1], "--help") == 0) {
        fputs(usage_text, stdout);
        return 0;
    }
    struct import *import = calloc(1, sizeof *import);
    if (import == NULL)
        return no_memory() ? 0 : 1;
    import->options = (struct options){.host = "127.0.0.1", .port = 6379, .database = ALL_DATABASES};
    import->options.password = getenv("REDISCLI_AUTH");
    if (!read_options(&import->options, count, words)) {
        fputs(usage_text, stderr);
        free(import);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int status = run_and_release(import);
    free(import);
    return status;
}
