/* hints_fuzz.c - files of hints that somebody made up: what is taken is what a file of it would say again, what is not takes nothing.
 *
 * Input: blocks, each with its size (2 bytes, lowest first) before it. They are read once as they are, and once as the blocks of a file whose head
 * and checksums are right. Checked: the bytes are taken as a whole or not at all; what was taken, written and read again is the same.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/hints_file.h"

#include "base/check.h"
#include "base/checksum.h"
#include "base/cursor.h"
#include "base/encode.h"

#define NOW_MS  UINT64_C(1000000)
#define WALL_MS INT64_C(1790000000000)
#define TARGETS 4
#define MEMORY  (64 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t self[NODE_ID_SIZE] = "self";

/* A node id is known by its first byte. */
static int32_t target_of(const void *context, const uint8_t id[NODE_ID_SIZE]) {
    (void)context;
    return id[0] < TARGETS ? id[0] : -1;
}

static const uint8_t *id_of(const void *context, uint16_t target) {
    static const uint8_t ids[TARGETS][NODE_ID_SIZE] = {{0}, {1}, {2}, {3}};
    (void)context;
    return target < TARGETS ? ids[target] : NULL;
}

static void append_block(struct buffer *file, const uint8_t *bytes, size_t size) {
    uint8_t head[12];
    encode_fixed(encode_fixed(head, size, 4), checksum_bytes(bytes, size) + size, 8);
    CHECK(buffer_append(file, head, sizeof head) && buffer_append(file, bytes, size));
}

static void begin(struct hints *hints, struct mem *mem, const struct hash_secret *secret) {
    hints_init(hints, mem, secret);
    hints_set_limits(hints, MEMORY, UINT64_MAX);
}

static void expect_same(const struct hints *one, const struct hints *other) {
    CHECK(one->count == other->count);
    for (uint16_t target = 0; target < TARGETS; target++) {
        CHECK(hints_count(one, target) == hints_count(other, target));
        CHECK(hints_has_any(one, target) == hints_has_any(other, target));
        CHECK(hints_age_ms(one, target, NOW_MS) == hints_age_ms(other, target, NOW_MS));
    }
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        CHECK(hints_of_slot(one, slot) == hints_of_slot(other, slot));
}

static void round_trip(const struct hints *hints, struct mem *mem, const struct hash_secret *secret) {
    struct hints_writer writer;
    struct buffer file;
    struct hints again;
    buffer_init(&file, mem);
    begin(&again, mem, secret);
    hints_writer_init(&writer, self);
    CHECK(hints_write_head(&writer, WALL_MS, &file));
    while (!writer.is_over)
        CHECK(hints_write_block(&writer, hints, id_of, NULL, NOW_MS, 3, &file));
    CHECK(hints_read(&again, self, file.data, file.size, target_of, NULL, NOW_MS, WALL_MS) == HINTS_READ);
    expect_same(hints, &again);
    hints_release(&again);
    buffer_release(&file);
}

static void read_file(const uint8_t *data, size_t size, struct mem *mem, const struct hash_secret *secret) {
    struct hints hints;
    begin(&hints, mem, secret);
    if (hints_read(&hints, self, data, size, target_of, NULL, NOW_MS, WALL_MS) == HINTS_READ)
        round_trip(&hints, mem, secret);
    else
        CHECK(hints.count == 0 && hints.target_capacity == 0);
    CHECK(hints.used_bytes <= MEMORY);
    hints_release(&hints);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t seed[HASH_SEED_SIZE] = {1};
    struct mem mem = {0};
    struct hash_secret secret;
    struct buffer file;
    struct hints_writer writer;
    hash_secret_init(&secret, seed);
    read_file(data, size, &mem, &secret);
    buffer_init(&file, &mem);
    hints_writer_init(&writer, self);
    CHECK(hints_write_head(&writer, WALL_MS - 5000, &file));
    struct cursor cursor = cursor_make(data, size);
    while (cursor_remaining(&cursor) != 0) {
        size_t wanted = cursor_u16(&cursor), left = cursor_remaining(&cursor);
        const uint8_t *bytes = cursor_bytes(&cursor, wanted < left ? wanted : left);
        if (bytes != NULL && wanted != 0)
            append_block(&file, bytes, wanted < left ? wanted : left);
    }
    append_block(&file, self, 0);
    read_file(file.data, file.size, &mem, &secret);
    buffer_release(&file);
    CHECK(mem.used_bytes == 0);
    return 0;
}
