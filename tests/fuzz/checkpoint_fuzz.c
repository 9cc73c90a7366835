/* checkpoint_fuzz.c - any bytes as a checkpoint, as the LZ4 frame of one, and as what is packed in it.
 *
 * Input: a byte of flags (bits 0-1: what the rest is), then
 *   FILE    the file
 *   SEALED  the file; its checksums are made right first, so that what they guard is reached
 *   STORED  4 bytes for the size said, then the LZ4 frame of the only block, under right checksums
 *   BLOCK   bits 2-5 of the flags: number of actors; the content of the only block, packed and written as checkpoints are
 * Checked: reading ends, with END only where all of the file was read and agrees with its footer; a good file with one bit
 * changed is not good; what is written is read again; an entry that is taken obeys data/record.h and is written again
 * as the very same bytes; what is broken is broken in every shorter part of it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/checkpoint_input.h"

#include "base/checksum.h"
#include "base/limits.h"
#include "store/checkpoint_output.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_BYTES, FILE_SEALED, STORED, BLOCK };

#define SERIAL     0x5a5a5a5a5a5a5a5au
#define ACTORS_MAX 15u

/* ---- A disk with one file ---- */

struct disk_file {
    uint8_t *bytes;
    size_t size, capacity, position;
    bool is_named; /* NAME, no longer NAME.temporary */
};

static int disk_create(void *context, const char *name, struct disk_file **file) {
    (void)name;
    *file = context;
    (*file)->size = 0;
    return 0;
}

static int disk_open(void *context, const char *name, struct disk_file **file, uint64_t *size) {
    *file = context;
    (*file)->position = 0;
    *size = (*file)->size;
    return (*file)->is_named && strcmp(name, "f") == 0 ? 0 : ENOENT;
}

static int disk_write(struct disk_file *file, const void *data, size_t size) {
    if (file->capacity - file->size < size) {
        file->capacity = 2 * file->capacity + size;
        file->bytes = realloc(file->bytes, file->capacity);
        CHECK(file->bytes != NULL);
    }
    memcpy(file->bytes + file->size, data, size);
    file->size += size;
    return 0;
}

static int disk_read(struct disk_file *file, void *data, size_t size, size_t *got) {
    size_t left = file->size - file->position;
    *got = size < left ? size : left;
    if (*got > 0)
        memcpy(data, file->bytes + file->position, *got);
    file->position += *got;
    return 0;
}

static void disk_begin_sync(struct disk_file *file) {
    (void)file;
}

static int disk_done(struct disk_file *file) {
    (void)file;
    return 0;
}

static int disk_rename(void *context, const char *from, const char *to) {
    struct disk_file *file = context;
    CHECK(strcmp(from, "f.temporary") == 0 && strcmp(to, "f") == 0);
    file->is_named = true;
    return 0;
}

static int disk_remove(void *context, const char *name) {
    (void)context;
    (void)name;
    return 0;
}

static int disk_sync_names(void *context) {
    (void)context;
    return 0;
}

static const char *disk_error_text(int error) {
    (void)error;
    return "";
}

static struct disk disk_of(struct disk_file *file) {
    return (struct disk){.context = file,
                         .create = disk_create,
                         .open = disk_open,
                         .write = disk_write,
                         .read = disk_read,
                         .begin_sync = disk_begin_sync,
                         .sync = disk_done,
                         .lock = disk_done,
                         .close = disk_done,
                         .rename = disk_rename,
                         .remove = disk_remove,
                         .sync_names = disk_sync_names,
                         .error_text = disk_error_text};
}

static void *take(size_t size) {
    void *memory = malloc(size);
    CHECK(memory != NULL || size == 0);
    return memory;
}

/* ---- Entries ---- */

static void check_record(const struct record_parts *parts, const struct dot *others, uint32_t actor_count) {
    bool is_tombstone = parts->type == RECORD_TOMBSTONE;
    CHECK(is_tombstone || parts->type == RECORD_STRING);
    CHECK(parts->key_size <= VALUE_SIZE_MAX && parts->value_size <= VALUE_SIZE_MAX);
    CHECK(!is_tombstone || (parts->value_size == 0 && parts->expiry_ms == RECORD_NO_EXPIRY));
    CHECK(parts->other_count < VERSION_DOTS_MAX);
    CHECK(parts->newest.counter != 0 && parts->newest.actor < actor_count);
    CHECK(parts->other_count == 0 || parts->others == others);
    for (unsigned i = 0; i < parts->other_count; i++) {
        CHECK(others[i].counter != 0 && others[i].actor < actor_count &&
              others[i].actor != parts->newest.actor);
        CHECK(i == 0 || others[i - 1].actor < others[i].actor);
    }
    CHECK(parts->state_size == 0 ||
          (record_codec_takes_state(parts, parts->state, parts->state_size) &&
           checkpoint_state_names_actors(parts->state, parts->state_size, actor_count)));
}

/* Writes an entry again; returns its size. A key that was divided at another place than ours is not written. */
static size_t write_again(uint8_t *out, enum checkpoint_entry_kind kind,
                          const struct checkpoint_entry *entry) {
    struct record_parts parts;
    size_t size;
    switch (kind) {
    case CHECKPOINT_DATABASE: return (size_t)(checkpoint_database_write(out, entry->database) - out);
    case CHECKPOINT_PART: return (size_t)(checkpoint_part_write(out, entry->bytes, entry->size) - out);
    case CHECKPOINT_SLOTS:
        CHECK(entry->first_slot <= entry->last_slot && entry->last_slot < SLOT_COUNT);
        return (size_t)(checkpoint_slots_write(out, entry->first_slot, entry->last_slot, entry->flush_counter,
                                               entry->floor) -
                        out);
    case CHECKPOINT_RECORD:
        size = record_codec_size(&entry->parts, RECORD_CODEC_ALL);
        CHECK(record_codec_write(out, &entry->parts, RECORD_CODEC_ALL) == out + size);
        return size;
    default:
        if (entry->key_left != 0 || entry->parts.key_size > CHECKPOINT_LONG_KEY_MAX)
            return 0;
        parts = entry->parts;
        parts.state_size = entry->state_size;
        size = checkpoint_long_size(&parts, entry->value_size);
        CHECK(checkpoint_long_write(out, &parts, entry->value_size) == out + size);
        return size;
    }
}

static void check_entry(enum checkpoint_entry_kind kind, const struct checkpoint_entry *entry,
                        uint32_t actor_count, const uint8_t *bytes, size_t size) {
    if (kind == CHECKPOINT_RECORD || kind == CHECKPOINT_LONG)
        check_record(&entry->parts, entry->others, actor_count);
    if (kind == CHECKPOINT_LONG) {
        CHECK(entry->parts.value_size == 0 && entry->parts.state_size == 0);
        CHECK(entry->parts.type == RECORD_STRING || entry->value_size == 0);
        CHECK((uint64_t)entry->parts.key_size + entry->key_left <= VALUE_SIZE_MAX);
        CHECK(entry->value_size <= VALUE_SIZE_MAX && entry->state_size <= VALUE_SIZE_MAX);
        CHECK(entry->key_left + entry->state_size + entry->value_size > 0);
    }
    CHECK(kind != CHECKPOINT_DATABASE || entry->database < DATABASE_COUNT);
    CHECK(kind != CHECKPOINT_PART ||
          (entry->size > 0 && entry->bytes >= bytes && entry->bytes + entry->size == bytes + size));
    uint8_t *again = take(size);
    size_t again_size = write_again(again, kind, entry);
    CHECK(again_size == 0 || (again_size == size && memcmp(again, bytes, size) == 0));
    free(again);
    struct checkpoint_entry shorter;
    struct cursor cursor = cursor_make(bytes, size - 1);
    CHECK(checkpoint_entry_read(&cursor, actor_count, &shorter) == CHECKPOINT_ENTRY_BROKEN);
}

/* Reads all entries of a block, from memory that ends where the block does. */
static void read_entries(const uint8_t *data, size_t size, uint32_t actor_count) {
    uint8_t *block = take(size);
    memcpy(block, data, size);
    struct cursor cursor = cursor_make(block, size);
    while (cursor_remaining(&cursor) > 0) {
        struct checkpoint_entry entry;
        const uint8_t *begin = cursor.position;
        enum checkpoint_entry_kind kind = checkpoint_entry_read(&cursor, actor_count, &entry);
        CHECK((kind == CHECKPOINT_ENTRY_BROKEN) == cursor_failed(&cursor));
        if (kind != CHECKPOINT_ENTRY_BROKEN)
            check_entry(kind, &entry, actor_count, begin, (size_t)(cursor.position - begin));
    }
    free(block);
}

/* ---- Files ---- */

/* Reads the file to its end, with its entries if asked. `expected`: what the first block must hold, or NULL. */
static enum checkpoint_input_status read_file(struct disk_file *file, bool with_entries,
                                              const uint8_t *expected, size_t expected_size) {
    struct disk disk = disk_of(file);
    struct checkpoint_input input = {.packed = take(CHECKPOINT_PACKED_SIZE),
                                     .header_bytes = take(CHECKPOINT_HEADER_SIZE_MAX)};
    uint8_t *data = take(CHECKPOINT_BLOCK_SIZE);
    uint64_t bytes = 0, blocks = 0;
    enum checkpoint_input_status status = checkpoint_input_open(&input, &disk, "f");
    while (status == CHECKPOINT_INPUT_GOOD) {
        uint32_t size, records;
        status = checkpoint_input_next(&input, data, &size, &records);
        if (status != CHECKPOINT_INPUT_GOOD)
            break;
        CHECK(size > 0 && size <= CHECKPOINT_BLOCK_SIZE);
        CHECK(blocks > 0 || expected == NULL || (size == expected_size && memcmp(data, expected, size) == 0));
        if (with_entries)
            read_entries(data, size, input.header.actor_count);
        bytes += size;
        blocks++;
    }
    CHECK(status != CHECKPOINT_INPUT_FAILED && status != CHECKPOINT_INPUT_MISSING);
    CHECK(status != CHECKPOINT_INPUT_DAMAGED || input.problem[0] != 0);
    if (status == CHECKPOINT_INPUT_END)
        CHECK(input.position == file->size && input.seen.bytes == bytes && input.seen.blocks == blocks);
    for (uint32_t i = 0; i < input.header.actor_count; i++)
        (void)checkpoint_header_actor(&input.header, i);
    checkpoint_input_close(&input);
    free(input.packed);
    free(input.header_bytes);
    free(data);
    return status;
}

static void expect_fragile(struct disk_file *file) {
    size_t bit = checksum_bytes(file->bytes, file->size) % (8 * file->size);
    file->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    CHECK(read_file(file, false, NULL, 0) != CHECKPOINT_INPUT_END);
    file->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    file->size--;
    CHECK(read_file(file, false, NULL, 0) != CHECKPOINT_INPUT_END);
    file->size++;
}

static void put_u64(uint8_t *out, uint64_t value) {
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

/* Makes the checksums of all frames right, and the chain, as far as the file has the form of one. */
static void seal(uint8_t *bytes, size_t size) {
    uint64_t chain = 0;
    for (size_t at = 0; size - at >= CHECKPOINT_FRAME_HEAD_SIZE;) {
        uint8_t *frame = bytes + at;
        size_t frame_size = checkpoint_frame_size(frame), stored_size = 0, left = size - at;
        if (frame_size == 0 || frame_size > left)
            return;
        if (frame_size == CHECKPOINT_BLOCK_HEAD_SIZE && frame[16] == 'B') {
            stored_size = load_u32(frame + 37);
            if (stored_size > left - frame_size)
                return;
            uint64_t checksum = checksum_bytes(frame + frame_size, stored_size);
            put_u64(frame + 45, checksum);
            chain = checkpoint_chain(chain, checksum);
        } else if (frame_size == CHECKPOINT_FOOTER_SIZE && frame[16] == 'F') {
            put_u64(frame + 49, chain);
        }
        put_u64(frame + frame_size - 8, checksum_bytes(frame + 8, frame_size - 16));
        at += frame_size + stored_size;
    }
}

static size_t make_header(uint8_t *out, uint16_t actor_count) {
    struct actor_identity actors[ACTORS_MAX] = {{.incarnation = 1}};
    struct checkpoint_header header = {.actor_count = actor_count, .serial = SERIAL, .records_expected = 1};
    for (uint16_t i = 0; i < actor_count; i++)
        actors[i] = (struct actor_identity){.node_id = {1}, .incarnation = i};
    return (size_t)(checkpoint_header_write(out, &header, actors) - out);
}

static void read_stored(struct disk_file *file, const uint8_t *data, size_t size) {
    uint8_t frame[CHECKPOINT_HEADER_SIZE(ACTORS_MAX)];
    if (size < 5 || size - 4 > CHECKPOINT_STORED_SIZE_MAX)
        return;
    struct checkpoint_block_head head = {.serial = SERIAL,
                                         .size = 1 + load_u32(data) % CHECKPOINT_BLOCK_SIZE,
                                         .stored_size = (uint32_t)size - 4,
                                         .checksum = checksum_bytes(data + 4, size - 4)};
    struct checkpoint_footer footer = {
        .serial = SERIAL, .blocks = 1, .bytes = head.size, .chain = checkpoint_chain(0, head.checksum)};
    disk_write(file, frame, make_header(frame, 2));
    disk_write(file, frame, (size_t)(checkpoint_block_head_write(frame, &head) - frame));
    disk_write(file, data + 4, size - 4);
    disk_write(file, frame, (size_t)(checkpoint_footer_write(frame, &footer) - frame));
    file->is_named = true;
    enum checkpoint_input_status status = read_file(file, true, NULL, 0);
    CHECK(status == CHECKPOINT_INPUT_END || status == CHECKPOINT_INPUT_DAMAGED);
}

static void write_block(struct disk_file *file, const uint8_t *data, size_t size, uint16_t actor_count) {
    uint8_t header[CHECKPOINT_HEADER_SIZE(ACTORS_MAX)];
    struct disk disk = disk_of(file);
    struct checkpoint_output output = {
        .disk = &disk, .packed = take(CHECKPOINT_PACKED_SIZE), .serial = SERIAL};
    if (size > CHECKPOINT_BLOCK_SIZE)
        size = CHECKPOINT_BLOCK_SIZE;
    CHECK(checkpoint_names_init(&output.names, "f"));
    CHECK(checkpoint_output_begin(&output, header, make_header(header, actor_count)));
    CHECK(checkpoint_output_block(&output, data, (uint32_t)size, 1));
    CHECK(checkpoint_output_finish(&output));
    free(output.packed);
    CHECK(read_file(file, true, data, size) == CHECKPOINT_INPUT_END);
    expect_fragile(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    struct disk_file file = {0};
    unsigned flags = data[0], what = flags & 3;
    data++;
    size--;
    if (what == STORED) {
        read_stored(&file, data, size);
    } else if (what == BLOCK) {
        write_block(&file, data, size, flags >> 2 & ACTORS_MAX);
    } else {
        disk_write(&file, data, size);
        file.is_named = true;
        if (what == FILE_SEALED)
            seal(file.bytes, file.size);
        if (read_file(&file, true, NULL, 0) == CHECKPOINT_INPUT_END)
            expect_fragile(&file);
    }
    free(file.bytes);
    return 0;
}
