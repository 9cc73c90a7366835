/* checkpoint_loader.c - from candidate to candidate, block by block.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/checkpoint_loader.h"

#include "base/list.h"
#include "proto/rdb.h"
#include "store/checkpoint_fill.h"
#include "store/checkpoint_input.h"
#include "store/checkpoint_output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* Blocks that are read ahead while one is taken in. */
#define BLOCKS 4

enum candidate { CANDIDATE_NEWEST, CANDIDATE_PREVIOUS, CANDIDATE_COUNT };

enum phase {
    PHASE_OPEN,   /* the helper opens the candidate */
    PHASE_BLOCKS, /* of a checkpoint */
    PHASE_RDB,    /* pieces of an RDB file */
    PHASE_DRAIN,  /* the helper still has blocks; then `after` */
    PHASE_EMPTY,  /* the records of a damaged file are dropped; then the next candidate */
    PHASE_TIDY,   /* the helper sets damaged files aside; then the end */
    PHASE_END
};

struct load_block {
    struct work work;
    struct checkpoint_loader *loader;
    bool is_out, is_full; /* with the helper; filled by it */
    enum checkpoint_input_status status;
    uint32_t size, records;
    uint64_t position; /* of the file, behind it */
    int error;         /* of FAILED */
    char problem[160]; /* of DAMAGED */
    struct cursor cursor;
    uint8_t data[CHECKPOINT_BLOCK_SIZE];
};

struct checkpoint_loader {
    struct mem *mem;
    struct checkpoint_load_options options;
    struct checkpoint_names names;
    struct checkpoint_load_progress progress;
    enum phase phase, after;
    enum candidate candidate;
    bool is_damaged[CANDIDATE_COUNT];
    bool is_cancelled;
    struct checkpoint_input input; /* the helper's while anything is in flight */
    bool helper_has_ended;         /* likewise: nothing is read any more */
    struct disk_file *rdb_file;
    enum checkpoint_input_status open_status;
    struct work open_work, tidy_work;
    uint32_t in_flight;
    struct load_block *blocks; /* BLOCKS, in a circle */
    uint32_t next_out, next_in;
    bool has_begun_block, has_ended; /* the helper has seen the end, or damage: no more blocks go out */
    struct checkpoint_fill fill;
    bool has_fill;
    struct rdb_reader rdb;
    bool has_rdb;
    uint64_t other_types;
    char other_type[16];
    uint64_t changes_before;
    int tidy_error;
    char set_aside[CANDIDATE_COUNT][DISK_NAME_SIZE];
};

/* ---- On the helper ---- */

static const char *candidate_name(const struct checkpoint_loader *loader, enum candidate candidate) {
    return candidate == CANDIDATE_NEWEST ? loader->names.newest : loader->names.previous;
}

static void run_open(struct work *work) {
    struct checkpoint_loader *loader = LIST_ENTRY(work, struct checkpoint_loader, open_work);
    const struct disk *disk = loader->options.disk;
    const char *name = candidate_name(loader, loader->candidate);
    loader->open_status = checkpoint_input_open(&loader->input, disk, name);
    if (loader->open_status != CHECKPOINT_INPUT_FOREIGN || !loader->input.is_rdb)
        return;
    /* Once more from the begin, for the reader of RDB files. */
    checkpoint_input_close(&loader->input);
    loader->input.position = 0;
    loader->input.error = disk->open(disk->context, name, &loader->rdb_file, &loader->input.file_size);
    if (loader->input.error != 0) {
        loader->rdb_file = NULL;
        loader->open_status = CHECKPOINT_INPUT_FAILED;
    }
}

/* Behind the end, or what is as good as that, the blocks that are out already come back untouched. */
static bool is_behind_end(struct load_block *block) {
    if (!block->loader->helper_has_ended)
        return false;
    block->status = CHECKPOINT_INPUT_END;
    block->size = block->records = 0;
    return true;
}

static void run_block(struct work *work) {
    struct load_block *block = LIST_ENTRY(work, struct load_block, work);
    struct checkpoint_input *input = &block->loader->input;
    if (is_behind_end(block))
        return;
    block->status = checkpoint_input_next(input, block->data, &block->size, &block->records);
    block->position = input->position;
    block->error = input->error;
    memcpy(block->problem, input->problem, sizeof block->problem);
    block->loader->helper_has_ended = block->status != CHECKPOINT_INPUT_GOOD;
}

static void run_piece(struct work *work) {
    struct load_block *block = LIST_ENTRY(work, struct load_block, work);
    struct checkpoint_loader *loader = block->loader;
    if (is_behind_end(block))
        return;
    size_t got = 0;
    block->error = loader->options.disk->read(loader->rdb_file, block->data, sizeof block->data, &got);
    block->size = (uint32_t)got;
    loader->input.position += got;
    block->position = loader->input.position;
    block->status = block->error != 0          ? CHECKPOINT_INPUT_FAILED
                    : got < sizeof block->data ? CHECKPOINT_INPUT_END
                                               : CHECKPOINT_INPUT_GOOD;
    loader->helper_has_ended = block->status != CHECKPOINT_INPUT_GOOD;
}

/* Names of damaged files go where no later checkpoint will overwrite them, and what was never finished goes. */
static void run_tidy(struct work *work) {
    struct checkpoint_loader *loader = LIST_ENTRY(work, struct checkpoint_loader, tidy_work);
    const struct disk *disk = loader->options.disk;
    for (unsigned i = 0; i < CANDIDATE_COUNT; i++) {
        loader->set_aside[i][0] = '\0';
        if (!loader->is_damaged[i])
            continue;
        int error =
            checkpoint_names_set_aside(&loader->names, disk, candidate_name(loader, i), loader->set_aside[i]);
        if (error != 0) {
            loader->set_aside[i][0] = '\0';
            loader->tidy_error = error;
        }
    }
    (void)disk->remove(disk->context, loader->names.temporary);
    (void)disk->sync_names(disk->context);
}

/* ---- Words ---- */

static void say(struct checkpoint_loader *loader, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct checkpoint_loader *loader, int level, const char *format, ...) {
    char text[CHECKPOINT_PROBLEM_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (loader->options.say != NULL)
        loader->options.say(loader->options.context, level, text);
}

static void refuse(struct checkpoint_loader *loader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void refuse(struct checkpoint_loader *loader, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(loader->progress.problem, sizeof loader->progress.problem, format, arguments);
    va_end(arguments);
    loader->progress.state = CHECKPOINT_LOAD_REFUSED;
    loader->phase = PHASE_DRAIN;
    loader->after = PHASE_END;
}

/* ---- Back on the loop ---- */

static void submit(struct checkpoint_loader *loader, struct work *work) {
    loader->in_flight++;
    loader->options.queue->submit(loader->options.queue->context, work);
}

static void open_candidate(struct checkpoint_loader *loader, enum candidate candidate) {
    loader->candidate = candidate;
    loader->phase = PHASE_OPEN;
    loader->has_ended = loader->helper_has_ended = loader->has_begun_block = false;
    loader->next_out = loader->next_in = 0;
    submit(loader, &loader->open_work);
}

static void tidy(struct checkpoint_loader *loader, enum checkpoint_load_state state) {
    loader->progress.state = state;
    loader->phase = PHASE_TIDY;
    submit(loader, &loader->tidy_work);
}

/* No candidate is left. */
static void nothing_left(struct checkpoint_loader *loader) {
    bool is_damaged = loader->is_damaged[CANDIDATE_NEWEST] || loader->is_damaged[CANDIDATE_PREVIOUS];
    if (!is_damaged && !loader->options.is_expected) {
        tidy(loader, CHECKPOINT_LOAD_NOTHING);
    } else if (loader->options.start_empty) {
        say(loader, 1, "There is no valid checkpoint; beginning without data, as --start-empty asks for");
        tidy(loader, CHECKPOINT_LOAD_NOTHING);
    } else if (is_damaged) {
        refuse(
            loader,
            "No valid checkpoint: neither %s nor %s can be used. Put a good copy in place of %s, or start with "
            "--start-empty to begin without data (the damaged files are then set aside, not deleted)",
            loader->names.newest, loader->names.previous, loader->names.newest);
    } else {
        refuse(
            loader,
            "This node has saved checkpoints before, but neither %s nor %s is there. Check `dir` and `dbfilename`, "
            "put a copy in place, or start with --start-empty to begin without data",
            loader->names.newest, loader->names.previous);
    }
}

static void next_candidate(struct checkpoint_loader *loader) {
    if (loader->candidate == CANDIDATE_NEWEST)
        open_candidate(loader, CANDIDATE_PREVIOUS);
    else
        nothing_left(loader);
}

/* What has come of this candidate is dropped, and the next one is tried. */
static void give_up_candidate(struct checkpoint_loader *loader, const char *problem) {
    loader->is_damaged[loader->candidate] = true;
    say(loader, 1, "%s is damaged: %s", candidate_name(loader, loader->candidate), problem);
    loader->phase = PHASE_DRAIN;
    loader->after = PHASE_EMPTY;
}

static const char *error_text(const struct checkpoint_loader *loader, int error) {
    return loader->options.disk->error_text(error);
}

static void begin_blocks(struct checkpoint_loader *loader) {
    if (!checkpoint_fill_begin(&loader->fill, loader->options.keyspace, &loader->input.header)) {
        refuse(loader, "Out of memory at the begin of loading");
        return;
    }
    loader->has_fill = true;
    loader->progress.file_bytes = loader->input.file_size;
    loader->progress.records_expected = loader->input.header.records_expected;
    loader->progress.writer = loader->input.header.writer;
    loader->progress.time_ms = loader->input.header.time_ms;
    loader->progress.from_previous = loader->candidate == CANDIDATE_PREVIOUS;
    loader->progress.records_loaded = loader->progress.records_expired = 0;
    if (loader->candidate == CANDIDATE_PREVIOUS)
        say(loader, 1, "Falling back to %s, the checkpoint before", loader->names.previous);
    loader->phase = PHASE_BLOCKS;
    for (unsigned i = 0; i < BLOCKS; i++)
        loader->blocks[i].work.run = run_block;
}

/* Under either name: the change of names may have been cut short. */
static void begin_rdb(struct checkpoint_loader *loader) {
    say(loader, 0, "%s is an RDB file of Redis: importing it", candidate_name(loader, loader->candidate));
    rdb_reader_init(&loader->rdb, loader->mem);
    loader->has_rdb = true;
    loader->progress.from_rdb = true;
    loader->phase = PHASE_RDB;
    loader->progress.file_bytes = loader->input.file_size;
    for (unsigned i = 0; i < BLOCKS; i++)
        loader->blocks[i].work.run = run_piece;
}

/* What could not be read: a bad place of the disk is damage like any other, the rest is for people to mend. */
static void could_not_read(struct checkpoint_loader *loader, int error) {
    if (error == EIO)
        give_up_candidate(loader, error_text(loader, error));
    else
        refuse(loader, "%s cannot be read: %s", candidate_name(loader, loader->candidate),
               error_text(loader, error));
}

static void opened(struct checkpoint_loader *loader) {
    const char *name = candidate_name(loader, loader->candidate);
    switch (loader->open_status) {
    case CHECKPOINT_INPUT_GOOD: begin_blocks(loader); return;
    case CHECKPOINT_INPUT_MISSING: next_candidate(loader); return;
    case CHECKPOINT_INPUT_FOREIGN:
        if (loader->input.is_rdb)
            begin_rdb(loader);
        else
            give_up_candidate(loader, "it does not begin as a checkpoint");
        return;
    case CHECKPOINT_INPUT_NEWER:
        refuse(
            loader,
            "%s has format version %u, which is later than what this version of the server knows (%u): use a later "
            "version of the server",
            name, loader->input.header.version, CHECKPOINT_VERSION);
        return;
    case CHECKPOINT_INPUT_FAILED: could_not_read(loader, loader->input.error); return;
    case CHECKPOINT_INPUT_DAMAGED:
    case CHECKPOINT_INPUT_END: give_up_candidate(loader, loader->input.problem); return;
    }
}

static void open_done(struct work *work) {
    struct checkpoint_loader *loader = LIST_ENTRY(work, struct checkpoint_loader, open_work);
    loader->in_flight--;
    if (loader->phase == PHASE_OPEN)
        opened(loader);
}

static void block_done(struct work *work) {
    struct load_block *block = LIST_ENTRY(work, struct load_block, work);
    block->loader->in_flight--;
    block->is_out = false;
    block->is_full = true;
    if (block->status != CHECKPOINT_INPUT_GOOD)
        block->loader->has_ended = true;
}

static void tidy_done(struct work *work) {
    struct checkpoint_loader *loader = LIST_ENTRY(work, struct checkpoint_loader, tidy_work);
    loader->in_flight--;
    for (unsigned i = 0; i < CANDIDATE_COUNT; i++)
        if (loader->set_aside[i][0] != '\0')
            say(loader, 1, "%s is set aside as %s", candidate_name(loader, i), loader->set_aside[i]);
        else if (loader->is_damaged[i])
            say(loader, 1, "%s could not be set aside: %s", candidate_name(loader, i),
                error_text(loader, loader->tidy_error));
    loader->phase = PHASE_END;
}

/* ---- Blocks ---- */

static void send_blocks(struct checkpoint_loader *loader) {
    while (!loader->has_ended) {
        struct load_block *block = &loader->blocks[loader->next_out];
        if (block->is_out || block->is_full)
            return;
        block->is_out = true;
        loader->next_out = (loader->next_out + 1) % BLOCKS;
        submit(loader, &block->work);
    }
}

/* The block that is next; NULL: the helper still has it. */
static struct load_block *full_block(struct checkpoint_loader *loader) {
    struct load_block *block = &loader->blocks[loader->next_in];
    return block->is_full ? block : NULL;
}

static void release_block(struct checkpoint_loader *loader, struct load_block *block) {
    block->is_full = false;
    loader->has_begun_block = false;
    loader->next_in = (loader->next_in + 1) % BLOCKS;
    loader->progress.read_bytes = block->position;
}

static void damaged_content(struct checkpoint_loader *loader, const struct load_block *block,
                            const char *problem) {
    char text[CHECKPOINT_PROBLEM_SIZE / 2];
    snprintf(text, sizeof text, "%s, in the block that ends at byte %llu", problem,
             (unsigned long long)block->position);
    give_up_candidate(loader, text);
}

static void end_of_file(struct checkpoint_loader *loader, const struct load_block *block) {
    if (!checkpoint_fill_is_whole(&loader->fill)) {
        damaged_content(loader, block, "a long record has no end");
        return;
    }
    tidy(loader, CHECKPOINT_LOADED);
}

static void fill_from(struct checkpoint_loader *loader, struct load_block *block, uint32_t budget) {
    if (!loader->has_begun_block) {
        loader->has_begun_block = true;
        block->cursor = cursor_make(block->data, block->size);
        checkpoint_fill_block(&loader->fill);
    }
    switch (checkpoint_fill_step(&loader->fill, &block->cursor, block->records, budget)) {
    case FILL_MORE: break;
    case FILL_BLOCK_DONE: release_block(loader, block); break;
    case FILL_DAMAGED: damaged_content(loader, block, loader->fill.problem); break;
    case FILL_NO_MEMORY:
        refuse(loader, "Out of memory after %llu keys: this checkpoint needs more than the machine gives",
               (unsigned long long)loader->fill.loaded);
        break;
    }
    loader->progress.records_loaded = loader->fill.loaded;
    loader->progress.records_expired = loader->fill.expired;
}

static void step_blocks(struct checkpoint_loader *loader, uint32_t budget) {
    send_blocks(loader);
    struct load_block *block = full_block(loader);
    if (block == NULL)
        return;
    switch (block->status) {
    case CHECKPOINT_INPUT_GOOD: fill_from(loader, block, budget); return;
    case CHECKPOINT_INPUT_END: end_of_file(loader, block); return;
    case CHECKPOINT_INPUT_FAILED: could_not_read(loader, block->error); return;
    default: give_up_candidate(loader, block->problem); return;
    }
}

/* ---- RDB ---- */

static bool import_string(struct checkpoint_loader *loader) {
    struct rdb_reader *rdb = &loader->rdb;
    struct keyspace *keyspace = loader->options.keyspace;
    if (rdb->expiry_ms != RECORD_NO_EXPIRY && keyspace->now_ms > rdb->expiry_ms) {
        loader->progress.records_expired++;
        return true;
    }
    struct argument key = {
        .data = rdb->key.data, .size = (uint32_t)rdb->key.size, .slot = ARGUMENT_NOT_PLACED};
    struct value value = {.data = rdb->value.data,
                          .size = (uint32_t)rdb->value.size,
                          .expiry_ms = rdb->expiry_ms == RECORD_NO_EXPIRY ? EXPIRY_NONE : rdb->expiry_ms};
    if (rdb->database >= DATABASE_COUNT) {
        refuse(loader, "%s has keys in database %u; this server has %u databases",
               candidate_name(loader, loader->candidate), rdb->database, DATABASE_COUNT);
        return false;
    }
    if (!keyspace_put(keyspace, rdb->database, &key, &value)) {
        refuse(loader, "Out of memory after %llu keys of the RDB file",
               (unsigned long long)loader->progress.records_loaded);
        return false;
    }
    loader->progress.records_loaded++;
    return true;
}

static void end_of_rdb(struct checkpoint_loader *loader) {
    if (loader->other_types == 0)
        tidy(loader, CHECKPOINT_LOADED);
    else
        refuse(
            loader,
            "%s is an RDB file of Redis with %llu keys that are no strings (the first one: %s), which this server cannot "
            "hold. Nothing was imported, the file is unchanged. Move it away, start, and import the strings alone with "
            "utils/import-rdb --skip-other-types",
            candidate_name(loader, loader->candidate), (unsigned long long)loader->other_types,
            loader->other_type);
}

/* Takes events out of what was fed; false: the step is over. */
static bool take_event(struct checkpoint_loader *loader, struct load_block *block) {
    switch (rdb_reader_next(&loader->rdb)) {
    case RDB_STRING: return import_string(loader);
    case RDB_OTHER_TYPE:
        if (loader->other_types++ == 0)
            snprintf(loader->other_type, sizeof loader->other_type, "%s", loader->rdb.type_name);
        return true;
    case RDB_NEED_INPUT: release_block(loader, block); return false;
    case RDB_END: end_of_rdb(loader); return false;
    case RDB_MALFORMED:
        refuse(loader, "%s is an RDB file that cannot be read: %s. The file is unchanged",
               candidate_name(loader, loader->candidate), loader->rdb.problem);
        return false;
    case RDB_NO_MEMORY: break;
    }
    refuse(loader, "Out of memory after %llu keys of the RDB file",
           (unsigned long long)loader->progress.records_loaded);
    return false;
}

static void step_rdb(struct checkpoint_loader *loader, uint32_t budget) {
    send_blocks(loader);
    struct load_block *block = full_block(loader);
    if (block == NULL)
        return;
    if (block->status == CHECKPOINT_INPUT_FAILED) {
        could_not_read(loader, block->error);
        return;
    }
    if (!loader->has_begun_block) {
        loader->has_begun_block = true;
        if (!rdb_reader_feed(&loader->rdb, block->data, block->size)) {
            refuse(loader, "Out of memory at the import of an RDB file");
            return;
        }
        if (block->status == CHECKPOINT_INPUT_END)
            rdb_reader_finish(&loader->rdb);
    }
    while (budget-- != 0 && take_event(loader, block))
        continue;
}

/* ---- The way through ---- */

/* All that came of a file goes, in steps; it was no change of the data. */
static void step_empty(struct checkpoint_loader *loader, uint32_t budget) {
    struct keyspace *keyspace = loader->options.keyspace;
    for (uint32_t i = 0; i < DATABASE_COUNT; i++)
        (void)keyspace_flush(keyspace, i);
    keyspace->counters.changes = loader->changes_before;
    if (keyspace_reclaim_step(keyspace, budget) == 0)
        next_candidate(loader);
}

static void close_candidate(struct checkpoint_loader *loader) {
    if (loader->has_fill)
        checkpoint_fill_release(&loader->fill);
    loader->has_fill = false;
    if (loader->has_rdb)
        rdb_reader_release(&loader->rdb);
    loader->has_rdb = false;
    checkpoint_input_close(&loader->input);
    if (loader->rdb_file != NULL)
        (void)loader->options.disk->close(loader->rdb_file);
    loader->rdb_file = NULL;
    for (unsigned i = 0; i < BLOCKS; i++)
        loader->blocks[i].is_full = false;
}

static enum checkpoint_load_state state_of(struct checkpoint_loader *loader) {
    switch (loader->phase) {
    case PHASE_BLOCKS:
    case PHASE_RDB:
        /* To send out blocks is something to do, too. */
        return full_block(loader) != NULL || (!loader->has_ended && loader->in_flight < BLOCKS)
                   ? CHECKPOINT_LOAD_WORKING
                   : CHECKPOINT_LOAD_WAITING;
    case PHASE_OPEN:
    case PHASE_TIDY: return CHECKPOINT_LOAD_WAITING;
    case PHASE_DRAIN: return loader->in_flight == 0 ? CHECKPOINT_LOAD_WORKING : CHECKPOINT_LOAD_WAITING;
    case PHASE_EMPTY: return CHECKPOINT_LOAD_WORKING;
    case PHASE_END: break;
    }
    return loader->progress.state;
}

enum checkpoint_load_state checkpoint_loader_step(struct checkpoint_loader *loader, uint32_t budget) {
    if (loader->is_cancelled && loader->phase != PHASE_END && loader->phase != PHASE_DRAIN &&
        loader->phase != PHASE_TIDY)
        refuse(loader, "cancelled");
    switch (loader->phase) {
    case PHASE_BLOCKS: step_blocks(loader, budget); break;
    case PHASE_RDB: step_rdb(loader, budget); break;
    case PHASE_DRAIN:
        if (loader->in_flight == 0) {
            close_candidate(loader);
            loader->phase = loader->after;
        }
        break;
    case PHASE_EMPTY: step_empty(loader, budget); break;
    case PHASE_OPEN:
    case PHASE_TIDY:
    case PHASE_END: break;
    }
    return state_of(loader);
}

const struct checkpoint_load_progress *checkpoint_loader_progress(const struct checkpoint_loader *loader) {
    return &loader->progress;
}

void checkpoint_loader_cancel(struct checkpoint_loader *loader) {
    loader->is_cancelled = true;
}

static bool make_parts(struct checkpoint_loader *loader) {
    loader->input.packed = mem_alloc(loader->mem, CHECKPOINT_PACKED_SIZE);
    loader->input.header_bytes = mem_alloc(loader->mem, CHECKPOINT_HEADER_SIZE_MAX);
    loader->blocks = mem_alloc(loader->mem, BLOCKS * sizeof *loader->blocks);
    if (loader->input.packed == NULL || loader->input.header_bytes == NULL || loader->blocks == NULL)
        return false;
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct load_block *block = &loader->blocks[i];
        block->work = (struct work){.run = run_block, .done = block_done};
        block->loader = loader;
        block->is_out = block->is_full = false;
    }
    return true;
}

static void free_parts(struct checkpoint_loader *loader) {
    struct mem *mem = loader->mem;
    mem_free(mem, loader->blocks, BLOCKS * sizeof *loader->blocks);
    mem_free(mem, loader->input.header_bytes, CHECKPOINT_HEADER_SIZE_MAX);
    mem_free(mem, loader->input.packed, CHECKPOINT_PACKED_SIZE);
    mem_free(mem, loader, sizeof *loader);
}

struct checkpoint_loader *checkpoint_loader_new(const struct checkpoint_load_options *options) {
    struct mem *mem = options->keyspace->mem;
    struct checkpoint_loader *loader = mem_alloc_zeroed(mem, sizeof *loader);
    if (loader == NULL)
        return NULL;
    loader->mem = mem;
    loader->options = *options;
    loader->changes_before = options->keyspace->counters.changes;
    loader->open_work = (struct work){.run = run_open, .done = open_done};
    loader->tidy_work = (struct work){.run = run_tidy, .done = tidy_done};
    if (!make_parts(loader) || !checkpoint_names_init(&loader->names, options->name)) {
        free_parts(loader);
        return NULL;
    }
    open_candidate(loader, CANDIDATE_NEWEST);
    return loader;
}

void checkpoint_loader_free(struct checkpoint_loader *loader) {
    CHECK(loader->phase == PHASE_END && loader->in_flight == 0);
    close_candidate(loader);
    free_parts(loader);
}
