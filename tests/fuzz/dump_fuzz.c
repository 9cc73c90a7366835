/* dump_fuzz.c - any bytes as a payload for RESTORE, and as a record of the codec: what is taken has one form only.
 *
 * Input: a byte of flags (bits 0-1: what is read; bit 2: the checksum is made right first; bits 3-5: what of a record is
 * asked for), then the bytes; or, for what is written, the fields of a record.
 * Checked: what is refused changes nothing; what is taken obeys data/record.h, and is written again as the very same
 * bytes; a record comes back from its bytes as it was, whole and in no shorter part of them; RESTORE makes a key whose
 * DUMP is restored to the same again.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "proto/record_codec.h"

#include "base/checksum.h"
#include "base/limits.h"
#include "cmd/call.h"
#include "cmd/handlers.h"
#include "store/watch.h"

#include <stdlib.h>

#define CHECKSUM_SIZE 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { READ_DUMP, READ_RECORD, WRITE_RECORD, RESTORE };

/* ---- Records ---- */

static bool is_same_bytes(const uint8_t *one, const uint8_t *other, size_t size) {
    return size == 0 || memcmp(one, other, size) == 0;
}

static bool is_same_dot(struct dot one, struct dot other) {
    return one.actor == other.actor && one.counter == other.counter;
}

static bool is_same_record(const struct record_parts *one, const struct record_parts *other) {
    if (one->type != other->type || one->encoding != other->encoding || one->expiry_ms != other->expiry_ms ||
        one->key_size != other->key_size || one->value_size != other->value_size ||
        one->other_count != other->other_count || one->state_size != other->state_size ||
        !is_same_dot(one->newest, other->newest))
        return false;
    for (unsigned i = 0; i < one->other_count; i++)
        if (!is_same_dot(one->others[i], other->others[i]))
            return false;
    return is_same_bytes(one->key, other->key, one->key_size) &&
           is_same_bytes(one->state, other->state, one->state_size) &&
           is_same_bytes(one->value, other->value, one->value_size);
}

/* The rules for a record that came from outside. */
static void check_rules(const struct record_parts *parts, unsigned with) {
    bool is_tombstone = parts->type == RECORD_TOMBSTONE;
    CHECK(is_tombstone || parts->type == RECORD_STRING);
    CHECK(parts->encoding <= ENCODING_RAW && (!is_tombstone || parts->encoding == ENCODING_NATURAL));
    CHECK(parts->key_size <= VALUE_SIZE_MAX && parts->value_size <= VALUE_SIZE_MAX);
    CHECK(!is_tombstone || (parts->value_size == 0 && parts->expiry_ms == RECORD_NO_EXPIRY));
    CHECK((with & RECORD_CODEC_KEY) || parts->key_size == 0);
    CHECK((with & RECORD_CODEC_EXPIRY) || parts->expiry_ms == RECORD_NO_EXPIRY);
    CHECK(parts->other_count < VERSION_DOTS_MAX);
    if (!(with & RECORD_CODEC_VERSION)) {
        CHECK(parts->newest.counter == 0 && parts->newest.actor == 0 && parts->other_count == 0);
        CHECK(parts->state_size == 0);
        return;
    }
    CHECK(parts->newest.counter != 0);
    CHECK(parts->state_size == 0 || record_codec_takes_state(parts, parts->state, parts->state_size));
    for (unsigned i = 0; i < parts->other_count; i++) {
        struct dot dot = parts->others[i];
        CHECK(dot.counter != 0 && dot.actor != parts->newest.actor);
        CHECK(i == 0 || parts->others[i - 1].actor < dot.actor);
        CHECK(dot.counter < parts->newest.counter ||
              (dot.counter == parts->newest.counter && dot.actor < parts->newest.actor));
    }
}

/* In memory, too, the record is what it was. */
static void check_in_memory(struct mem *mem, const struct record_parts *parts) {
    struct record_parts kept;
    struct dot others[VERSION_DOTS_MAX];
    struct record *record = record_new(mem, parts);
    CHECK(record != NULL && record_size(record) == record_parts_size(parts));
    record_parts(record, &kept, others);
    CHECK(is_same_record(parts, &kept));
    record_free(mem, record);
}

static void check_written(struct mem *mem, const struct record_parts *parts, unsigned with,
                          const uint8_t *expected, size_t size) {
    struct buffer written;
    buffer_init(&written, mem);
    CHECK(record_codec_size(parts, with) == size && record_codec_append(&written, parts, with));
    CHECK(written.size == size && memcmp(written.data, expected, size) == 0);
    buffer_release(&written);
}

static void read_record(struct mem *mem, const uint8_t *bytes, size_t size, unsigned with) {
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    struct cursor cursor = cursor_make(bytes, size);
    if (!record_codec_read(&cursor, with, &parts, others)) {
        CHECK(cursor_failed(&cursor));
        return;
    }
    check_rules(&parts, with);
    check_in_memory(mem, &parts);
    check_written(mem, &parts, with, bytes, size - cursor_remaining(&cursor));
}

/* ---- Written, then read ---- */

static struct dot take_dot(struct cursor *fields, uint64_t counter_max) {
    struct dot dot = {.actor = cursor_u8(fields)};
    dot.actor = (uint16_t)(dot.actor * 257u);
    dot.counter = 1 + cursor_u64(fields) % counter_max;
    return dot;
}

static void take_version(struct cursor *fields, struct record_parts *parts, struct version *version) {
    version->count = 0;
    for (unsigned left = 1 + cursor_u8(fields) % VERSION_DOTS_MAX; left > 0; left--)
        version_raise(version, take_dot(fields, left % 2 == 0 ? UINT64_MAX : 3));
    parts->newest = version_highest(version);
    for (unsigned i = 0; i < version->count; i++)
        if (version->dots[i].actor != parts->newest.actor)
            version->dots[parts->other_count++] = version->dots[i];
    parts->others = version->dots;
}

static void write_record(struct mem *mem, const uint8_t *data, size_t size, unsigned with) {
    struct cursor fields = cursor_make(data, size);
    struct record_parts parts = {.expiry_ms = RECORD_NO_EXPIRY}, read;
    struct version version;
    struct dot others[VERSION_DOTS_MAX];
    parts.type = cursor_u8(&fields) % 4 == 3 ? RECORD_TOMBSTONE : RECORD_STRING;
    if (parts.type == RECORD_STRING) {
        parts.encoding = cursor_u8(&fields) % (ENCODING_RAW + 1);
        if (with & RECORD_CODEC_EXPIRY)
            parts.expiry_ms = (int64_t)cursor_u64(&fields);
    }
    if (with & RECORD_CODEC_VERSION)
        take_version(&fields, &parts, &version);
    if (with & RECORD_CODEC_KEY) {
        parts.key_size = (uint32_t)(cursor_remaining(&fields) / 2);
        parts.key = cursor_bytes(&fields, parts.key_size);
    }
    if (parts.type == RECORD_STRING) {
        parts.value_size = (uint32_t)cursor_remaining(&fields);
        parts.value = cursor_bytes(&fields, parts.value_size);
    }
    size_t written_size = record_codec_size(&parts, with);
    uint8_t *written = malloc(written_size);
    CHECK(written != NULL && record_codec_write(written, &parts, with) == written + written_size);
    struct cursor cursor = cursor_make(written, written_size);
    CHECK(record_codec_read(&cursor, with, &read, others) && cursor_is_done(&cursor));
    CHECK(is_same_record(&parts, &read));
    check_rules(&read, with);
    for (size_t shorter = 0; shorter < written_size; shorter += 1 + shorter / 64) {
        cursor = cursor_make(written, shorter);
        CHECK(!record_codec_read(&cursor, with, &read, others));
    }
    free(written);
    check_in_memory(mem, &parts);
}

/* ---- Payloads ---- */

static void set_checksum(uint8_t *payload, size_t size) {
    uint64_t check = checksum_bytes(payload, size - CHECKSUM_SIZE);
    for (unsigned i = 0; i < CHECKSUM_SIZE; i++)
        payload[size - CHECKSUM_SIZE + i] = (uint8_t)(check >> 8 * i);
}

static enum record_dump_status read_dump(uint8_t *payload, size_t size) {
    struct record_parts parts;
    enum record_dump_status status = record_dump_read(payload, size, &parts);
    if (status != RECORD_DUMP_GOOD)
        return status;
    check_rules(&parts, 0);
    CHECK(parts.type == RECORD_STRING && record_dump_size(&parts) == size);
    uint8_t *written = malloc(size);
    CHECK(written != NULL && record_dump_write(written, &parts) == written + size);
    CHECK(memcmp(written, payload, size) == 0);
    free(written);
    /* One wrong bit is seen. */
    size_t at = size / 2;
    payload[at] ^= 0x10;
    CHECK(record_dump_read(payload, size, &parts) == RECORD_DUMP_FOREIGN);
    payload[at] ^= 0x10;
    return status;
}

struct place {
    struct keyspace *keyspace;
    struct buffer out;
};

static const struct buffer *run(struct place *place, void (*handler)(struct call *), struct argument *argv,
                                uint32_t argc) {
    struct reply reply = {.out = &place->out, .protocol = 2};
    struct call call = {.keyspace = place->keyspace, .reply = &reply, .argv = argv, .argc = argc};
    for (uint32_t i = 0; i < argc; i++)
        argv[i].slot = ARGUMENT_NOT_PLACED;
    buffer_clear(&place->out);
    handler(&call);
    CHECK(!place->out.failed && place->out.size >= 5);
    return &place->out;
}

static struct argument word(const void *data, size_t size) {
    return (struct argument){.data = data, .size = (uint32_t)size};
}

static bool restores(struct place *place, const char *key, const void *payload, size_t size) {
    struct argument argv[] = {word("RESTORE", 7), word(key, 1), word("0", 1), word(payload, size),
                              word("REPLACE", 7)};
    const struct buffer *reply = run(place, restore_command, argv, 5);
    CHECK(reply->data[0] == '-' || (reply->size == 5 && memcmp(reply->data, "+OK\r\n", 5) == 0));
    return reply->data[0] == '+';
}

/* The bytes that DUMP gives for a key, in memory of the caller. */
static struct buffer dump(struct place *place, const char *key) {
    struct argument argv[] = {word("DUMP", 4), word(key, 1)};
    const struct buffer *reply = run(place, dump_command, argv, 2);
    struct buffer payload;
    buffer_init(&payload, place->out.mem);
    CHECK(reply->data[0] == '$');
    const uint8_t *begin = memchr(reply->data, '\n', reply->size);
    size_t size = (size_t)atoi((const char *)reply->data + 1);
    CHECK(begin != NULL && begin + 1 + size + 2 == reply->data + reply->size);
    CHECK(buffer_append(&payload, begin + 1, size));
    return payload;
}

static void restore(struct mem *mem, const uint8_t *payload, size_t size, bool is_good) {
    static const uint8_t seed[HASH_SEED_SIZE] = {1};
    struct place place = {.keyspace = keyspace_new(mem, seed, 1)};
    CHECK(place.keyspace != NULL);
    place.keyspace->value_size_max = VALUE_SIZE_MAX;
    keyspace_set_time(place.keyspace, 1700000000000);
    buffer_init(&place.out, mem);
    CHECK(restores(&place, "a", payload, size) == is_good);
    CHECK(keyspace_size(place.keyspace, 0) == is_good);
    if (is_good) {
        /* The encoding is not kept; what is left is a form that stays. */
        struct buffer first = dump(&place, "a");
        CHECK(restores(&place, "b", first.data, first.size));
        struct buffer second = dump(&place, "b");
        CHECK(first.size == size && second.size == size && memcmp(first.data, second.data, size) == 0);
        CHECK(memcmp(first.data + 3, payload + 3, size - 3 - CHECKSUM_SIZE) == 0);
        CHECK(!restores(&place, "b", first.data, first.size - 1));
        CHECK(keyspace_size(place.keyspace, 0) == 2);
        buffer_release(&first);
        buffer_release(&second);
    }
    buffer_release(&place.out);
    keyspace_free(place.keyspace);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    unsigned flags = data[0], what = flags & 3, with = flags >> 3 & RECORD_CODEC_ALL;
    struct mem mem = {0};
    uint8_t *bytes = malloc(size - 1);
    CHECK(bytes != NULL);
    size--;
    memcpy(bytes, data + 1, size);
    if (what == READ_RECORD) {
        read_record(&mem, bytes, size, with);
    } else if (what == WRITE_RECORD) {
        write_record(&mem, bytes, size, with);
    } else {
        if (flags & 4 && size >= CHECKSUM_SIZE)
            set_checksum(bytes, size);
        enum record_dump_status status = read_dump(bytes, size);
        /* A keyspace takes its time: it is made for payloads that RESTORE looks into. */
        if (what == RESTORE && (status != RECORD_DUMP_FOREIGN || size < CHECKSUM_SIZE))
            restore(&mem, bytes, size, status == RECORD_DUMP_GOOD);
    }
    free(bytes);
    CHECK(mem.used_bytes == 0 && mem.allocations == 0);
    return 0;
}
