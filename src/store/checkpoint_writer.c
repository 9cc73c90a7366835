/* checkpoint_writer.c - blocks between the image and the helper.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/checkpoint_writer.h"

#include "base/list.h"
#include "store/checkpoint_output.h"
#include "store/image.h"
#include "store/ledger.h"

/* The walk goes on only with so many blocks at hand: what one step gives out fits in. */
#define BLOCKS_FOR_A_STEP 2
_Static_assert(IMAGE_STEP_BYTES <= CHECKPOINT_BLOCK_SIZE, "a step fills one block, and begins another");

struct block {
    struct work work;
    struct checkpoint_writer *writer;
    struct block *next; /* of the free ones */
    uint32_t size, records;
    int32_t database;      /* that its last entry is of; -1: none yet */
    uint64_t stored_bytes; /* of the file, when it was written */
    bool is_written;
    uint8_t data[CHECKPOINT_BLOCK_SIZE];
};

enum phase { PHASE_WALK, PHASE_FINISH, PHASE_ABORT, PHASE_END };

struct checkpoint_writer {
    struct mem *mem;
    const struct work_queue *queue;
    struct image image;
    bool has_image;
    struct checkpoint_output output; /* the helper's while anything is in flight */
    size_t header_size;
    struct work begin_work, finish_work, abort_work;
    bool is_durable;
    struct block *current, *free;
    uint32_t long_database,
        long_skip; /* of the long record at hand; bytes of its key that are written already */
    uint32_t free_count, block_count, blocks_max, in_flight;
    enum phase phase;
    bool must_abort; /* the helper has failed, or it is cancelled */
    struct checkpoint_progress progress;
};

/* ---- On the helper ---- */

static void run_begin(struct work *work) {
    struct checkpoint_writer *writer = LIST_ENTRY(work, struct checkpoint_writer, begin_work);
    /* The header was written where blocks will be packed. */
    (void)checkpoint_output_begin(&writer->output, writer->output.packed, writer->header_size);
}

static void run_block(struct work *work) {
    struct block *block = LIST_ENTRY(work, struct block, work);
    struct checkpoint_output *output = &block->writer->output;
    block->is_written = checkpoint_output_block(output, block->data, block->size, block->records);
    block->stored_bytes = output->stored_bytes;
}

static void run_finish(struct work *work) {
    struct checkpoint_writer *writer = LIST_ENTRY(work, struct checkpoint_writer, finish_work);
    writer->is_durable = checkpoint_output_finish(&writer->output);
}

static void run_abort(struct work *work) {
    struct checkpoint_writer *writer = LIST_ENTRY(work, struct checkpoint_writer, abort_work);
    checkpoint_output_abort(&writer->output);
}

/* ---- Back on the loop ---- */

static void submit(struct checkpoint_writer *writer, struct work *work) {
    writer->in_flight++;
    writer->queue->submit(writer->queue->context, work);
}

static void release_block(struct checkpoint_writer *writer, struct block *block) {
    if (writer->block_count > CHECKPOINT_POOL_BLOCKS) {
        mem_free(writer->mem, block, sizeof *block);
        writer->block_count--;
        return;
    }
    block->next = writer->free;
    writer->free = block;
    writer->free_count++;
}

static void block_done(struct work *work) {
    struct block *block = LIST_ENTRY(work, struct block, work);
    struct checkpoint_writer *writer = block->writer;
    writer->in_flight--;
    writer->progress.stored_bytes = block->stored_bytes;
    if (!block->is_written)
        writer->must_abort = true;
    release_block(writer, block);
}

static void begin_done(struct work *work) {
    LIST_ENTRY(work, struct checkpoint_writer, begin_work)->in_flight--;
}

static void finish_done(struct work *work) {
    struct checkpoint_writer *writer = LIST_ENTRY(work, struct checkpoint_writer, finish_work);
    writer->in_flight--;
    writer->progress.stored_bytes = writer->output.stored_bytes;
    if (writer->is_durable)
        writer->phase = PHASE_END;
    else
        writer->must_abort = true;
}

static void abort_done(struct work *work) {
    struct checkpoint_writer *writer = LIST_ENTRY(work, struct checkpoint_writer, abort_work);
    writer->in_flight--;
    if (writer->output.error != 0) {
        writer->progress.error = writer->output.error;
        writer->progress.failed_at = writer->output.failed_at;
    }
    writer->phase = PHASE_END;
}

/* ---- Filling blocks ---- */

static void give_up(struct checkpoint_writer *writer, const char *why) {
    if (writer->progress.failed_at == NULL)
        writer->progress.failed_at = why;
    writer->must_abort = true;
}

static struct block *take_block(struct checkpoint_writer *writer) {
    struct block *block = writer->free;
    if (block != NULL) {
        writer->free = block->next;
        writer->free_count--;
    } else if (writer->block_count >= writer->blocks_max) {
        give_up(writer, "keys change faster than the disk takes them");
        return NULL;
    } else {
        block = mem_alloc(writer->mem, sizeof *block);
        if (block == NULL) {
            give_up(writer, "out of memory");
            return NULL;
        }
        block->writer = writer;
        block->work = (struct work){.run = run_block, .done = block_done};
        writer->block_count++;
    }
    block->size = block->records = 0;
    block->database = -1;
    return block;
}

static void send_current(struct checkpoint_writer *writer) {
    struct block *block = writer->current;
    writer->current = NULL;
    if (block == NULL)
        return;
    writer->progress.bytes += block->size;
    submit(writer, &block->work);
}

/* Room for an entry of a database; NULL: there is none to be had. The caller adds what it writes to the block's size. */
static struct block *make_room(struct checkpoint_writer *writer, uint32_t database, size_t size) {
    struct block *block = writer->current;
    if (block != NULL && block->size + CHECKPOINT_DATABASE_SIZE + size > CHECKPOINT_BLOCK_SIZE) {
        send_current(writer);
        block = NULL;
    }
    if (block == NULL && (block = writer->current = take_block(writer)) == NULL)
        return NULL;
    if (block->database != (int32_t)database) {
        block->size =
            (uint32_t)(checkpoint_database_write(block->data + block->size, database) - block->data);
        block->database = (int32_t)database;
    }
    return block;
}

static bool take_record(void *context, uint32_t database, const struct record *record) {
    struct checkpoint_writer *writer = context;
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    struct block *block = make_room(writer, database, record_codec_size(&parts, RECORD_CODEC_ALL));
    if (block == NULL)
        return false;
    uint8_t *end = record_codec_write(block->data + block->size, &parts, RECORD_CODEC_ALL);
    block->size = (uint32_t)(end - block->data);
    block->records++;
    return true;
}

static bool begin_long(void *context, uint32_t database, const struct record *record) {
    struct checkpoint_writer *writer = context;
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    struct block *block = make_room(writer, database, checkpoint_long_size(&parts, parts.value_size));
    if (block == NULL)
        return false;
    uint8_t *end = checkpoint_long_write(block->data + block->size, &parts, parts.value_size);
    block->size = (uint32_t)(end - block->data);
    block->records++;
    writer->long_database = database;
    /* The begin of the key is in that entry. */
    writer->long_skip = parts.key_size < CHECKPOINT_LONG_KEY_MAX ? parts.key_size : CHECKPOINT_LONG_KEY_MAX;
    return true;
}

static bool take_part(void *context, const uint8_t *bytes, uint32_t size) {
    struct checkpoint_writer *writer = context;
    uint32_t skipped = writer->long_skip < size ? writer->long_skip : size;
    writer->long_skip -= skipped;
    size -= skipped;
    if (size == 0)
        return true;
    struct block *block = make_room(writer, writer->long_database, CHECKPOINT_PART_HEAD_MAX + size);
    if (block == NULL)
        return false;
    uint8_t *end = checkpoint_part_write(block->data + block->size, bytes + skipped, size);
    block->size = (uint32_t)(end - block->data);
    return true;
}

/* Whether slots side by side are said in one entry. */
static bool are_alike(const struct ledger *ledger, uint32_t slot, uint32_t other) {
    return ledger->flush_counters[slot] == ledger->flush_counters[other] &&
           ledger->floors.counters[slot] == ledger->floors.counters[other];
}

/* What is kept of slots, not of keys: where others hold copies. It comes before the first record. */
static void write_slots(struct checkpoint_writer *writer, const struct keyspace *keyspace) {
    const struct ledger *ledger = keyspace->ledger;
    if (ledger == NULL || ledger_is_solitary(keyspace))
        return;
    for (uint32_t slot = 0, first; slot < SLOT_COUNT; slot++) {
        first = slot;
        while (slot + 1 < SLOT_COUNT && are_alike(ledger, first, slot + 1))
            slot++;
        uint64_t flush_counter = ledger->flush_counters[first], floor = ledger->floors.counters[first];
        if (flush_counter == 0 && floor == 0)
            continue;
        struct block *block = make_room(writer, 0, CHECKPOINT_SLOTS_SIZE);
        if (block == NULL)
            return;
        uint8_t *end = checkpoint_slots_write(block->data + block->size, first, slot, flush_counter, floor);
        block->size = (uint32_t)(end - block->data);
    }
}

/* ---- The life of a writer ---- */

static void write_header(struct checkpoint_writer *writer, const struct checkpoint_options *options) {
    const struct actors *actors = &options->keyspace->actors;
    struct checkpoint_header header = {.version = CHECKPOINT_VERSION,
                                       .actor_count = (uint16_t)actors->count,
                                       .serial = options->serial,
                                       .writer = actors->identities[ACTOR_SELF],
                                       .counter = options->keyspace->counter,
                                       .time_ms = options->keyspace->now_ms,
                                       .records_expected = writer->image.total};
    uint8_t *packed = writer->output.packed;
    writer->header_size = (size_t)(checkpoint_header_write(packed, &header, actors->identities) - packed);
}

struct checkpoint_writer *checkpoint_writer_new(const struct checkpoint_options *options) {
    struct mem *mem = options->keyspace->mem;
    struct checkpoint_writer *writer = mem_alloc_zeroed(mem, sizeof *writer);
    if (writer == NULL)
        return NULL;
    size_t share = mem->used_bytes / CHECKPOINT_BLOCKS_DIVISOR / sizeof(struct block);
    writer->mem = mem;
    writer->queue = options->queue;
    writer->blocks_max = share > CHECKPOINT_BLOCKS_MAX ? (uint32_t)share : CHECKPOINT_BLOCKS_MAX;
    writer->output = (struct checkpoint_output){
        .disk = options->disk, .serial = options->serial, .packed = mem_alloc(mem, CHECKPOINT_PACKED_SIZE)};
    if (writer->output.packed == NULL || !checkpoint_names_init(&writer->output.names, options->name)) {
        mem_free(mem, writer->output.packed, CHECKPOINT_PACKED_SIZE);
        mem_free(mem, writer, sizeof *writer);
        return NULL;
    }
    writer->begin_work = (struct work){.run = run_begin, .done = begin_done};
    writer->finish_work = (struct work){.run = run_finish, .done = finish_done};
    writer->abort_work = (struct work){.run = run_abort, .done = abort_done};
    struct image_sink sink = {
        .context = writer, .record = take_record, .long_begin = begin_long, .long_part = take_part};
    image_begin(&writer->image, options->keyspace, &sink);
    writer->has_image = true;
    writer->progress.keys_total = writer->image.total;
    writer->progress.changes_at_begin = options->keyspace->counters.changes;
    write_header(writer, options);
    submit(writer, &writer->begin_work);
    write_slots(writer, options->keyspace);
    return writer;
}

/* How far the image is. */
static void note_image(const struct checkpoint_writer *writer, struct checkpoint_progress *progress) {
    progress->keys_done = writer->image.looked_at;
    progress->records = writer->image.records;
    progress->copied_bytes = writer->image.copied_bytes;
}

static void end_image(struct checkpoint_writer *writer) {
    if (!writer->has_image)
        return;
    note_image(writer, &writer->progress);
    image_end(&writer->image);
    writer->has_image = false;
}

static enum checkpoint_state begin_abort(struct checkpoint_writer *writer) {
    end_image(writer);
    if (writer->current != NULL) {
        release_block(writer, writer->current);
        writer->current = NULL;
    }
    writer->phase = PHASE_ABORT;
    submit(writer, &writer->abort_work);
    return CHECKPOINT_WAITING;
}

static bool has_blocks_for_a_step(const struct checkpoint_writer *writer) {
    uint32_t at_hand = writer->free_count;
    if (writer->block_count < CHECKPOINT_POOL_BLOCKS)
        at_hand += CHECKPOINT_POOL_BLOCKS - writer->block_count;
    return at_hand >= BLOCKS_FOR_A_STEP;
}

static enum checkpoint_state walk(struct checkpoint_writer *writer, uint32_t budget) {
    if (!has_blocks_for_a_step(writer))
        return CHECKPOINT_WAITING;
    switch (image_step(&writer->image, budget)) {
    case IMAGE_MORE: return CHECKPOINT_WORKING;
    case IMAGE_FAILED: give_up(writer, "out of memory"); return CHECKPOINT_WORKING;
    case IMAGE_COMPLETE: break;
    }
    end_image(writer);
    send_current(writer);
    writer->phase = PHASE_FINISH;
    submit(writer, &writer->finish_work);
    return CHECKPOINT_WAITING;
}

static enum checkpoint_state state_of(const struct checkpoint_writer *writer) {
    switch (writer->phase) {
    case PHASE_WALK:
        return writer->must_abort || has_blocks_for_a_step(writer) ? CHECKPOINT_WORKING : CHECKPOINT_WAITING;
    case PHASE_FINISH:
        /* What is being made durable is not to be stopped: either it is done, or it has failed. */
        return writer->must_abort && writer->in_flight == 0 ? CHECKPOINT_WORKING : CHECKPOINT_WAITING;
    case PHASE_ABORT: return CHECKPOINT_WAITING;
    case PHASE_END: break;
    }
    return writer->is_durable ? CHECKPOINT_DONE : CHECKPOINT_FAILED;
}

enum checkpoint_state checkpoint_writer_step(struct checkpoint_writer *writer, uint32_t budget) {
    if (state_of(writer) != CHECKPOINT_WORKING)
        return state_of(writer);
    return writer->must_abort ? begin_abort(writer) : walk(writer, budget);
}

void checkpoint_writer_cancel(struct checkpoint_writer *writer) {
    give_up(writer, "cancelled");
}

struct checkpoint_progress checkpoint_writer_progress(const struct checkpoint_writer *writer) {
    struct checkpoint_progress progress = writer->progress;
    progress.state = state_of(writer);
    if (writer->has_image)
        note_image(writer, &progress);
    return progress;
}

void checkpoint_writer_free(struct checkpoint_writer *writer) {
    CHECK(writer->phase == PHASE_END && writer->in_flight == 0);
    while (writer->free != NULL) {
        struct block *block = writer->free;
        writer->free = block->next;
        mem_free(writer->mem, block, sizeof *block);
    }
    mem_free(writer->mem, writer->output.packed, CHECKPOINT_PACKED_SIZE);
    mem_free(writer->mem, writer, sizeof *writer);
}
