/* inspect_checkpoint.c - verifies a checkpoint file, tells what is in it, and writes its keys out as commands;
 * utils/inspect-checkpoint calls it.
 *
 * All that the server checks when it loads is checked here, by the same code as far as bytes are concerned
 * (store/checkpoint_input.h, checkpoint_format.h), but for one thing: that no key comes twice, for keys are not kept. Only
 * counters are, the biggest keys, and the one long record that is being put together.
 * A dump is made in a second pass: where the first one finds damage, nothing is written (unless that is asked for).
 * May touch: files, the clock, store's and proto's readers. Must never know: a server, sockets.
 * Invariants: every byte of the file is hostile; with --dump nothing but commands goes to standard output; what was
 * written is complete where the exit status is 0.
 * Tests: tests/checkpoint/run.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/buffer.h"
#include "base/crc16.h"
#include "data/merge_state.h"
#include "inspect/report.h"
#include "os/disk.h"
#include "store/checkpoint_input.h"
#include "store/checkpoint_output.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BIGGEST_DEFAULT 10
#define BIGGEST_MAX     100000
#define OUTPUT_SIZE     (1024 * 1024)
#define LONG_KEPT_SIZE  (1024 * 1024) /* what the room for long records may keep from one to the next */
#define EXIT_DAMAGED    1
#define EXIT_NOT_READ   2

static const char usage_text[] =
    "usage: utils/inspect-checkpoint [option...] FILE\n"
    "Verifies a checkpoint file (dump.rdb, dump.rdb.previous, ...) and tells what is in it.\n"
    "  --biggest N  tell the N biggest keys (10)\n"
    "  --json       tell it as JSON; bytes of keys are code points: what is no ASCII is \\u0080 to \\u00ff\n"
    "  --dump       instead, write all keys that have not expired as commands, for `redis-cli --pipe`. A damaged\n"
    "               file gives none\n"
    "  --salvage    with --dump: of a damaged file the keys before the damage are written\n"
    "The exit status is 0 if the file is valid, 1 if it is damaged, 2 if it is no checkpoint that can be read.\n";

struct options {
    const char *path;
    uint32_t biggest;
    bool dumps, is_json, salvages, chose_biggest;
};

struct long_record {
    struct checkpoint_entry entry;
    uint32_t database;
    uint64_t left;      /* bytes that are to come; 0: none is at hand */
    uint64_t kept_left; /* of these so many are needed */
    struct buffer bytes;
};

struct inspection {
    struct options options;
    struct mem mem;
    struct disk disk;
    struct checkpoint_input input;
    uint8_t *data;           /* a block unpacked */
    struct big_key *biggest; /* room for as many as are wanted */
    int64_t now_ms;
    int write_error; /* errno of standard output */
    /* of the pass at hand */
    bool is_dumping;
    uint32_t database, block_records;
    struct long_record long_record;
    struct findings found; /* its biggest keys are a heap, the smallest one on top */
    /* of a dump */
    uint64_t dumped;
    uint32_t selected;
};

static int complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Answers the exit status, so that a caller can hand it up. */
static int complain(int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("inspect-checkpoint: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return status;
}

/* ---- Counting ------------------------------------------------------------------------------------------------------ */

static void count_size(struct size_tally *tally, uint64_t size) {
    unsigned step = 0;
    while (SIZE_STEP(step) < size)
        step++;
    tally->steps[step]++;
    tally->sum += size;
    if (tally->count++ == 0 || size < tally->min)
        tally->min = size;
    if (size > tally->max)
        tally->max = size;
}

static void swap_big_keys(struct big_key *one, struct big_key *other) {
    struct big_key kept = *one;
    *one = *other;
    *other = kept;
}

/* The top of the heap has changed. */
static void sift_down(struct big_key *heap, uint32_t count) {
    for (uint32_t at = 0, child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && report_big_key_size(&heap[child + 1]) < report_big_key_size(&heap[child]))
            child++;
        if (report_big_key_size(&heap[at]) <= report_big_key_size(&heap[child]))
            return;
        swap_big_keys(&heap[at], &heap[child]);
    }
}

/* The last of the heap is new. */
static void sift_up(struct big_key *heap, uint32_t at) {
    for (uint32_t parent; at > 0; at = parent) {
        parent = (at - 1) / 2;
        if (report_big_key_size(&heap[parent]) <= report_big_key_size(&heap[at]))
            return;
        swap_big_keys(&heap[parent], &heap[at]);
    }
}

static void note_big_key(struct inspection *inspection, uint32_t database, const struct record_parts *parts) {
    struct big_key *heap = inspection->biggest;
    uint32_t count = inspection->found.biggest_count, limit = inspection->options.biggest;
    uint64_t size = (uint64_t)parts->key_size + parts->value_size;
    if (limit == 0 || (count == limit && size <= report_big_key_size(&heap[0])))
        return;
    struct big_key *big = &heap[count == limit ? 0 : count];
    *big = (struct big_key){.key_size = parts->key_size,
                            .value_size = parts->value_size,
                            .database = database,
                            .shown_size = parts->key_size < SHOWN_KEY_SIZE ? parts->key_size : SHOWN_KEY_SIZE,
                            .expiry_ms = parts->expiry_ms};
    if (big->shown_size != 0)
        memcpy(big->shown, parts->key, big->shown_size);
    if (count == limit) {
        sift_down(heap, count);
    } else {
        inspection->found.biggest_count++;
        sift_up(heap, count);
    }
}

static bool has_expired(const struct inspection *inspection, const struct record_parts *parts) {
    return parts->expiry_ms != RECORD_NO_EXPIRY && inspection->now_ms > parts->expiry_ms;
}

static void count_key(struct key_tally *tally, bool expires, bool expired) {
    tally->keys++;
    tally->expiring += expires;
    tally->expired += expired;
}

/* A whole record, but that a long one's value is only there in a dump. */
static void count_record(struct inspection *inspection, uint32_t database, const struct record_parts *parts) {
    inspection->found.types[parts->type]++;
    if (parts->state_size != 0) {
        size_t at = 0;
        struct sibling sibling;
        inspection->found.counters += merge_state_kind(parts->state) == MERGE_STATE_COUNTER;
        inspection->found.with_siblings +=
            merge_state_next_sibling(parts->state, parts->state_size, &at, &sibling);
    }
    if (parts->type == RECORD_TOMBSTONE)
        return;
    bool expires = parts->expiry_ms != RECORD_NO_EXPIRY, expired = has_expired(inspection, parts);
    count_key(&inspection->found.all, expires, expired);
    count_key(&inspection->found.databases[database], expires, expired);
    count_size(&inspection->found.key_sizes, parts->key_size);
    count_size(&inspection->found.value_sizes, parts->value_size);
    inspection->found.slots[crc16_key_slot(parts->key, parts->key_size)]++;
    note_big_key(inspection, database, parts);
}

/* ---- Dump ---------------------------------------------------------------------------------------------------------- */

static void write_argument(const void *bytes, size_t size) {
    printf("$%zu\r\n", size);
    fwrite(bytes, 1, size, stdout);
    fputs("\r\n", stdout);
}

static void write_number(const char *format, int64_t number) {
    char text[32];
    write_argument(text, (size_t)snprintf(text, sizeof text, format, number));
}

static void dump_record(struct inspection *inspection, uint32_t database, const struct record_parts *parts) {
    bool expires = parts->expiry_ms != RECORD_NO_EXPIRY;
    if (parts->type == RECORD_TOMBSTONE || has_expired(inspection, parts))
        return;
    if (inspection->selected != database) {
        fputs("*2\r\n$6\r\nSELECT\r\n", stdout);
        write_number("%" PRId64, database);
        inspection->selected = database;
    }
    fputs(expires ? "*5\r\n$3\r\nSET\r\n" : "*3\r\n$3\r\nSET\r\n", stdout);
    write_argument(parts->key, parts->key_size);
    write_argument(parts->value, parts->value_size);
    if (expires) {
        fputs("$4\r\nPXAT\r\n", stdout);
        write_number("%" PRId64, parts->expiry_ms);
    }
    inspection->dumped++;
}

/* ---- Reading ------------------------------------------------------------------------------------------------------- */

static enum checkpoint_input_status damaged(struct inspection *inspection, const char *problem) {
    snprintf(inspection->found.problem, sizeof inspection->found.problem,
             "%s, in the block that ends at byte %" PRIu64, problem, inspection->input.position);
    return CHECKPOINT_INPUT_DAMAGED;
}

static enum checkpoint_input_status no_memory(struct inspection *inspection) {
    inspection->input.error = ENOMEM;
    snprintf(inspection->found.problem, sizeof inspection->found.problem,
             "a long record before byte %" PRIu64, inspection->input.position);
    return CHECKPOINT_INPUT_FAILED;
}

static void take_record(struct inspection *inspection, uint32_t database, const struct record_parts *parts) {
    count_record(inspection, database, parts);
    if (inspection->is_dumping)
        dump_record(inspection, database, parts);
}

static enum checkpoint_input_status begin_long(struct inspection *inspection,
                                               const struct checkpoint_entry *entry) {
    struct long_record *record = &inspection->long_record;
    if (record->left != 0)
        return damaged(inspection, "a long record begins within another");
    record->entry = *entry;
    record->database = inspection->database;
    record->left = (uint64_t)entry->key_left + entry->state_size + entry->value_size;
    record->kept_left = inspection->is_dumping ? record->left : entry->key_left + (uint64_t)entry->state_size;
    buffer_clear(&record->bytes);
    return buffer_append(&record->bytes, entry->parts.key, entry->parts.key_size) ? CHECKPOINT_INPUT_GOOD
                                                                                  : no_memory(inspection);
}

static enum checkpoint_input_status end_long(struct inspection *inspection) {
    struct long_record *record = &inspection->long_record;
    struct record_parts parts = record->entry.parts;
    parts.key = record->bytes.data;
    parts.key_size += record->entry.key_left;
    parts.state = record->bytes.data + parts.key_size;
    parts.state_size = record->entry.state_size;
    parts.value = parts.state + parts.state_size;
    parts.value_size = record->entry.value_size;
    if (parts.state_size != 0 &&
        (!record_codec_takes_state(&parts, parts.state, parts.state_size) ||
         !checkpoint_state_names_actors(parts.state, parts.state_size, inspection->input.header.actor_count)))
        return damaged(inspection, "a merge state that cannot be read");
    take_record(inspection, record->database, &parts);
    if (record->bytes.capacity > LONG_KEPT_SIZE)
        buffer_release(&record->bytes);
    return CHECKPOINT_INPUT_GOOD;
}

/* The bytes grow as they come: what an entry promises reserves nothing. */
static enum checkpoint_input_status take_part(struct inspection *inspection,
                                              const struct checkpoint_entry *part) {
    struct long_record *record = &inspection->long_record;
    if (part->size > record->left)
        return damaged(inspection, "a part of no long record");
    uint64_t kept = part->size < record->kept_left ? part->size : record->kept_left;
    if (!buffer_append(&record->bytes, part->bytes, kept))
        return no_memory(inspection);
    record->kept_left -= kept;
    record->left -= part->size;
    return record->left == 0 ? end_long(inspection) : CHECKPOINT_INPUT_GOOD;
}

static enum checkpoint_input_status take_entry(struct inspection *inspection, struct cursor *block) {
    struct checkpoint_entry entry;
    enum checkpoint_entry_kind kind =
        checkpoint_entry_read(block, inspection->input.header.actor_count, &entry);
    if (inspection->database == DATABASE_COUNT && kind != CHECKPOINT_DATABASE &&
        kind != CHECKPOINT_ENTRY_BROKEN)
        return damaged(inspection, "a block that begins without a database");
    switch (kind) {
    case CHECKPOINT_RECORD:
        inspection->block_records++;
        take_record(inspection, inspection->database, &entry.parts);
        return CHECKPOINT_INPUT_GOOD;
    case CHECKPOINT_DATABASE: inspection->database = entry.database; return CHECKPOINT_INPUT_GOOD;
    case CHECKPOINT_LONG: inspection->block_records++; return begin_long(inspection, &entry);
    case CHECKPOINT_PART: return take_part(inspection, &entry);
    case CHECKPOINT_SLOTS: return CHECKPOINT_INPUT_GOOD;
    case CHECKPOINT_ENTRY_BROKEN: break;
    }
    return damaged(inspection, "an entry that cannot be read");
}

static enum checkpoint_input_status take_block(struct inspection *inspection, uint32_t size,
                                               uint32_t records) {
    struct cursor block = cursor_make(inspection->data, size);
    inspection->database = DATABASE_COUNT;
    inspection->block_records = 0;
    while (cursor_remaining(&block) != 0) {
        enum checkpoint_input_status status = take_entry(inspection, &block);
        if (status != CHECKPOINT_INPUT_GOOD)
            return status;
    }
    return inspection->block_records == records
               ? CHECKPOINT_INPUT_GOOD
               : damaged(inspection, "a block with another number of records than it says");
}

/* The next block. END: the footer came, and all is as it says. */
static enum checkpoint_input_status read_block(struct inspection *inspection) {
    struct checkpoint_input *input = &inspection->input;
    uint64_t begin = input->position;
    uint32_t size, records;
    enum checkpoint_input_status status = checkpoint_input_next(input, inspection->data, &size, &records);
    if (status == CHECKPOINT_INPUT_END && inspection->long_record.left != 0)
        return damaged(inspection, "a long record has no end");
    if (status != CHECKPOINT_INPUT_GOOD)
        return status;
    inspection->found.stored_bytes += input->position - begin - CHECKPOINT_BLOCK_HEAD_SIZE;
    return take_block(inspection, size, records);
}

static void begin(struct inspection *inspection, bool dumps) {
    inspection->is_dumping = dumps;
    inspection->long_record.left = 0;
    inspection->found = (struct findings){.path = inspection->options.path, .biggest = inspection->biggest};
    inspection->dumped = 0;
    inspection->selected = DATABASE_COUNT; /* so that the first key names its own */
}

/* Reads the file once, to its end or to what ends it. Anything but END has left a problem, or a write_error. */
static enum checkpoint_input_status pass(struct inspection *inspection, const char *name, bool dumps) {
    struct checkpoint_input *input = &inspection->input;
    struct findings *found = &inspection->found;
    begin(inspection, dumps);
    enum checkpoint_input_status status = checkpoint_input_open(input, &inspection->disk, name);
    while (status == CHECKPOINT_INPUT_GOOD && inspection->write_error == 0) {
        status = read_block(inspection);
        if (dumps && ferror(stdout))
            inspection->write_error = errno;
    }
    if (found->problem[0] == '\0')
        snprintf(found->problem, sizeof found->problem, "%s", input->problem);
    found->is_valid = status == CHECKPOINT_INPUT_END;
    found->header = input->header;
    found->seen = input->seen;
    found->file_bytes = input->file_size;
    checkpoint_input_close(input);
    return status;
}

/* ---- The whole ----------------------------------------------------------------------------------------------------- */

/* What a pass that did not come to its end means; 0: it came there. */
static int judge(const struct inspection *inspection, enum checkpoint_input_status status) {
    const char *path = inspection->options.path;
    const struct checkpoint_input *input = &inspection->input;
    if (inspection->write_error != 0)
        return complain(EXIT_NOT_READ, "standard output: %s", strerror(inspection->write_error));
    switch (status) {
    case CHECKPOINT_INPUT_GOOD:
    case CHECKPOINT_INPUT_END: return 0;
    case CHECKPOINT_INPUT_DAMAGED:
        return complain(EXIT_DAMAGED, "%s is damaged: %s", path, inspection->found.problem);
    case CHECKPOINT_INPUT_MISSING: return complain(EXIT_NOT_READ, "%s: %s", path, strerror(ENOENT));
    case CHECKPOINT_INPUT_NEWER:
        return complain(
            EXIT_NOT_READ,
            "%s is a checkpoint of format version %u with parts that this program does not know (it knows "
            "version %u): use that of a later version of the server",
            path, input->header.version, CHECKPOINT_VERSION);
    case CHECKPOINT_INPUT_FOREIGN:
        if (input->is_rdb)
            return complain(EXIT_NOT_READ,
                            "%s is an RDB file of Redis, no checkpoint; utils/import-rdb --dry-run reads it",
                            path);
        return complain(EXIT_NOT_READ, "%s does not begin as a checkpoint", path);
    case CHECKPOINT_INPUT_FAILED: break;
    }
    return complain(EXIT_NOT_READ, "%s: %s: %s", path, inspection->found.problem, strerror(input->error));
}

static int report(struct inspection *inspection, const char *name) {
    enum checkpoint_input_status status = pass(inspection, name, false);
    int code = judge(inspection, status);
    if (status != CHECKPOINT_INPUT_END && status != CHECKPOINT_INPUT_DAMAGED)
        return code;
    report_sort(&inspection->found);
    (inspection->options.is_json ? report_print_json : report_print)(&inspection->found);
    return code;
}

static int dump(struct inspection *inspection, const char *name) {
    int code = 0;
    if (!inspection->options.salvages)
        code = judge(inspection, pass(inspection, name, false));
    if (code != 0)
        return complain(code, "nothing was written%s",
                        code == EXIT_DAMAGED ? "; with --salvage it is what comes before the damage" : "");
    code = judge(inspection, pass(inspection, name, true));
    if (code == 0 || code == EXIT_DAMAGED)
        complain(0, "%" PRIu64 " keys were written; %" PRIu64 " that have expired were not",
                 inspection->dumped, inspection->found.all.expired);
    return code;
}

/* The folder of a file becomes the working folder, for that is where a struct disk has its files; the name within it, or
 * NULL. To be freed. */
static char *go_there(const char *path) {
    char *real = realpath(path, NULL);
    char *slash = real == NULL ? NULL : strrchr(real, '/');
    if (slash == NULL) {
        free(real);
        return NULL;
    }
    char *name = strdup(slash + 1);
    slash[slash == real] = '\0';
    if (name != NULL && chdir(real) != 0) {
        free(name);
        name = NULL;
    }
    free(real);
    return name;
}

static int run(struct inspection *inspection) {
    const struct options *options = &inspection->options;
    char *name = go_there(options->path);
    if (name == NULL)
        return complain(EXIT_NOT_READ, "%s: %s", options->path, strerror(errno));
    int code = options->dumps ? dump(inspection, name) : report(inspection, name);
    free(name);
    if (fflush(stdout) != 0 && inspection->write_error == 0)
        return complain(EXIT_NOT_READ, "standard output: %s", strerror(errno));
    return code;
}

static int run_and_release(struct inspection *inspection) {
    struct mem *mem = &inspection->mem;
    size_t biggest_bytes = inspection->options.biggest * sizeof *inspection->biggest;
    struct timespec now;
    int code = EXIT_NOT_READ;
    clock_gettime(CLOCK_REALTIME, &now);
    inspection->now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    disk_init(&inspection->disk);
    buffer_init(&inspection->long_record.bytes, mem);
    inspection->input.packed = mem_alloc(mem, CHECKPOINT_PACKED_SIZE);
    inspection->input.header_bytes = mem_alloc(mem, CHECKPOINT_HEADER_SIZE_MAX);
    inspection->data = mem_alloc(mem, CHECKPOINT_BLOCK_SIZE);
    if (biggest_bytes != 0)
        inspection->biggest = mem_alloc(mem, biggest_bytes);
    if (inspection->input.packed != NULL && inspection->input.header_bytes != NULL &&
        inspection->data != NULL && (biggest_bytes == 0 || inspection->biggest != NULL))
        code = run(inspection);
    else
        complain(0, "there is not enough memory");
    buffer_release(&inspection->long_record.bytes);
    mem_free(mem, inspection->biggest, biggest_bytes);
    mem_free(mem, inspection->data, CHECKPOINT_BLOCK_SIZE);
    mem_free(mem, inspection->input.header_bytes, CHECKPOINT_HEADER_SIZE_MAX);
    mem_free(mem, inspection->input.packed, CHECKPOINT_PACKED_SIZE);
    return code;
}

static bool read_options(struct options *options, int count, char **words) {
    enum { LONG_HELP = 256, LONG_BIGGEST, LONG_JSON, LONG_DUMP, LONG_SALVAGE };
    static const struct option long_options[] = {
        {"help", no_argument, NULL, LONG_HELP},       {"biggest", required_argument, NULL, LONG_BIGGEST},
        {"json", no_argument, NULL, LONG_JSON},       {"dump", no_argument, NULL, LONG_DUMP},
        {"salvage", no_argument, NULL, LONG_SALVAGE}, {NULL, 0, NULL, 0},
    };
    char *end;
    long number;
    int option;
    while ((option = getopt_long(count, words, "", long_options, NULL)) != -1)
        switch (option) {
        case LONG_BIGGEST:
            number = strtol(optarg, &end, 10);
            if (!isdigit((unsigned char)*optarg) || *end != '\0' || number > BIGGEST_MAX)
                return complain(0, "no number from 0 to %d: %s", BIGGEST_MAX, optarg);
            options->biggest = (uint32_t)number;
            options->chose_biggest = true;
            break;
        case LONG_JSON: options->is_json = true; break;
        case LONG_DUMP: options->dumps = true; break;
        case LONG_SALVAGE: options->salvages = true; break;
        default: return false;
        }
    if (optind != count - 1)
        return false;
    options->path = words[optind];
    if (options->dumps && (options->is_json || options->chose_biggest))
        return complain(0, "--dump tells nothing about a file: --json and --biggest do not go with it");
    if (options->salvages && !options->dumps)
        return complain(0, "--salvage goes with --dump only");
    return true;
}

int main(int count, char **words) {
    if (count == 2 && strcmp(words[1], "--help") == 0) {
        fputs(usage_text, stdout);
        return 0;
    }
    struct inspection *inspection = calloc(1, sizeof *inspection);
    if (inspection == NULL)
        return complain(EXIT_NOT_READ, "there is not enough memory");
    inspection->options.biggest = BIGGEST_DEFAULT;
    int code = EXIT_NOT_READ;
    if (read_options(&inspection->options, count, words)) {
        signal(SIGPIPE, SIG_IGN);
        setvbuf(stdout, NULL, _IOFBF, OUTPUT_SIZE);
        code = run_and_release(inspection);
    } else {
        fputs(usage_text, stderr);
    }
    free(inspection);
    return code;
}
