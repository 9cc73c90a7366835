/* gossip_codec.c - entries and gossip messages as bytes and back.
 *
 * A message is checked as a whole before anything is made of it; its parts are then read a second time where they lie.
 * May touch: base. Must never know: what follows from a message.
 * Tests: tests/unit/cluster/membership_test.c, tests/fuzz/gossip_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/gossip_codec.h"

#include "base/encode.h"

#include <string.h>

enum {
    ENTRY_SETTLED = 1,
    ENTRY_LEAVING = 2,
    ENTRY_REMOVED = 4,
    ENTRY_DOWN = 8,
    ENTRY_WAS_SETTLED = 16,
    ENTRY_FLAGS = 31
};

/* ---- Entries ---- */

static uint8_t *write_text(uint8_t *out, const char *text) {
    size_t size = strlen(text);
    *out++ = (uint8_t)size;
    memcpy(out, text, size);
    return out + size;
}

uint8_t *gossip_write_entry(uint8_t *out, const struct rumour *rumour) {
    const struct member_entry *entry = &rumour->entry;
    if (rumour->is_removed) {
        *out++ = ENTRY_REMOVED;
        memcpy(out, entry->id, NODE_ID_SIZE);
        return out + NODE_ID_SIZE;
    }
    *out++ = (uint8_t)((entry->is_settled ? ENTRY_SETTLED : 0) | (entry->is_leaving ? ENTRY_LEAVING : 0) |
                       (entry->was_settled ? ENTRY_WAS_SETTLED : 0) | (rumour->is_down ? ENTRY_DOWN : 0));
    memcpy(out, entry->id, NODE_ID_SIZE);
    out = encode_fixed(out + NODE_ID_SIZE, entry->run, 8);
    out = encode_varint(out, entry->incarnation);
    out = encode_varint(out, entry->version);
    out = encode_varint(out, rumour->heartbeat);
    out = encode_varint(out, entry->weight);
    out = encode_fixed(out, entry->port, 2);
    out = encode_fixed(out, entry->cluster_port, 2);
    out = encode_fixed(out, entry->peer_port, 2);
    out = write_text(out, entry->host);
    return write_text(out, entry->zone);
}

/* Addresses and zones stand in lines of text that others parse: no spaces, nothing invisible. */
static void read_text(struct cursor *cursor, char *text, size_t room) {
    size_t size = cursor_u8(cursor);
    if (size >= room) {
        cursor_fail(cursor);
        return;
    }
    const uint8_t *bytes = cursor_bytes(cursor, size);
    for (size_t i = 0; bytes != NULL && i < size; i++) {
        if (bytes[i] <= ' ' || bytes[i] == 0x7f) {
            cursor_fail(cursor);
            return;
        }
        text[i] = (char)bytes[i];
    }
}

uint64_t gossip_read_number(struct cursor *cursor) {
    uint64_t value = cursor_varint(cursor);
    if (value > GOSSIP_NUMBER_MAX)
        cursor_fail(cursor);
    return cursor_failed(cursor) ? 0 : value;
}

void gossip_read_entry(struct cursor *cursor, struct rumour *rumour) {
    struct member_entry *entry = &rumour->entry;
    *rumour = (struct rumour){.heartbeat = 0};
    uint8_t flags = cursor_u8(cursor);
    for (size_t i = 0; i < NODE_ID_SIZE; i++)
        entry->id[i] = cursor_u8(cursor);
    if (flags & ~ENTRY_FLAGS || (flags & ENTRY_REMOVED && flags != ENTRY_REMOVED))
        cursor_fail(cursor);
    rumour->is_removed = flags & ENTRY_REMOVED;
    if (rumour->is_removed || cursor_failed(cursor))
        return;
    entry->is_settled = flags & ENTRY_SETTLED;
    entry->was_settled = flags & ENTRY_WAS_SETTLED;
    entry->is_leaving = flags & ENTRY_LEAVING;
    rumour->is_down = flags & ENTRY_DOWN;
    entry->run = cursor_u64(cursor);
    entry->incarnation = gossip_read_number(cursor);
    entry->version = gossip_read_number(cursor);
    rumour->heartbeat = gossip_read_number(cursor);
    uint64_t weight = cursor_varint(cursor);
    if (weight > RING_WEIGHT_MAX)
        cursor_fail(cursor);
    entry->weight = (uint32_t)weight;
    entry->port = cursor_u16(cursor);
    entry->cluster_port = cursor_u16(cursor);
    entry->peer_port = cursor_u16(cursor);
    read_text(cursor, entry->host, sizeof entry->host);
    read_text(cursor, entry->zone, sizeof entry->zone);
}

/* ---- Messages ---- */

bool gossip_append_varint(struct buffer *out, uint64_t value) {
    uint8_t bytes[ENCODE_VARINT_MAX];
    return buffer_append(out, bytes, (size_t)(encode_varint(bytes, value) - bytes));
}

bool gossip_append_fixed(struct buffer *out, uint64_t value, unsigned size) {
    uint8_t bytes[8];
    return buffer_append(out, bytes, (size_t)(encode_fixed(bytes, value, size) - bytes));
}

bool gossip_append_header(struct buffer *out, const struct gossip_header *header) {
    uint8_t bytes[2 + CLUSTER_ID_SIZE + 2 * ENCODE_VARINT_MAX + 2 * 8], *end = bytes;
    *end++ = GOSSIP_FORMAT;
    *end++ =
        (uint8_t)((unsigned)header->stage | (unsigned)header->rank << 3 | (unsigned)header->heartbeats << 5);
    memcpy(end, header->cluster_id, CLUSTER_ID_SIZE);
    end = encode_varint(end + CLUSTER_ID_SIZE, header->incarnation);
    end = encode_varint(end, header->heartbeat);
    end = encode_fixed(end, header->roster_digest, 8);
    end = encode_fixed(end, header->digest, 8);
    return buffer_append(out, bytes, (size_t)(end - bytes));
}

static void read_header(struct cursor *cursor, struct gossip_header *header) {
    uint8_t format = cursor_u8(cursor), kinds = cursor_u8(cursor);
    header->stage = kinds & 7;
    header->rank = kinds >> 3 & 3;
    header->heartbeats = kinds >> 5;
    const uint8_t *cluster_id = cursor_bytes(cursor, CLUSTER_ID_SIZE);
    if (format != GOSSIP_FORMAT || header->stage >= GOSSIP_STAGES || header->rank >= CLUSTER_RANKS ||
        header->heartbeats > HEARTBEATS_BY_TAG || cluster_id == NULL) {
        cursor_fail(cursor);
        return;
    }
    memcpy(header->cluster_id, cluster_id, CLUSTER_ID_SIZE);
    header->incarnation = gossip_read_number(cursor);
    header->heartbeat = gossip_read_number(cursor);
    header->roster_digest = cursor_u64(cursor);
    header->digest = cursor_u64(cursor);
}

/* The count of a part whose items take at least so many bytes each: it cannot promise more than there is. */
static struct gossip_part begin_part(struct cursor *cursor, size_t least_size) {
    uint64_t count = cursor_varint(cursor);
    if (count > cursor_remaining(cursor) / least_size)
        cursor_fail(cursor);
    return (struct gossip_part){.cursor = *cursor, .count = cursor_failed(cursor) ? 0 : (uint32_t)count};
}

uint32_t gossip_read_u24(struct cursor *cursor) {
    const uint8_t *bytes = cursor_bytes(cursor, 3);
    return bytes == NULL ? 0 : (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16;
}

void gossip_read_load(struct cursor *cursor, struct gossip_load *load) {
    load->keys = cursor_varint(cursor);
    load->operations_per_s = cursor_varint(cursor);
    load->used_bytes = cursor_varint(cursor);
    load->hinted = cursor_varint(cursor);
}

static void parse_heartbeats(struct cursor *cursor, struct gossip_message *message) {
    if (message->header.heartbeats == HEARTBEATS_NONE)
        return;
    size_t item_size = message->header.heartbeats == HEARTBEATS_BY_TAG ? GOSSIP_TAG_SIZE : 3;
    message->heartbeats = begin_part(cursor, item_size);
    cursor_bytes(cursor, message->heartbeats.count * item_size);
    gossip_read_load(cursor, &message->load);
    uint8_t count = cursor_u8(cursor);
    message->loads = (struct gossip_part){.cursor = *cursor, .count = count};
    for (; count > 0 && !cursor_failed(cursor); count--) {
        struct gossip_load load;
        if (cursor_varint(cursor) >= RING_MEMBERS_MAX)
            cursor_fail(cursor);
        gossip_read_u24(cursor);
        gossip_read_load(cursor, &load);
    }
}

void gossip_read_summary_line(struct cursor *cursor, struct gossip_summary_line *line) {
    line->id = cursor_bytes(cursor, NODE_ID_SIZE);
    uint8_t is_removed = cursor_u8(cursor);
    if (is_removed > 1)
        cursor_fail(cursor);
    line->is_removed = is_removed != 0;
    line->incarnation = gossip_read_number(cursor);
    line->version = gossip_read_number(cursor);
    line->hash = cursor_u32(cursor);
}

bool gossip_parse(const uint8_t *data, size_t size, struct gossip_message *message) {
    struct cursor cursor = cursor_make(data, size);
    *message = (struct gossip_message){.entries = {.count = 0}};
    read_header(&cursor, &message->header);
    message->entries = begin_part(&cursor, GOSSIP_ENTRY_SIZE_MIN);
    for (uint32_t left = message->entries.count; left > 0 && !cursor_failed(&cursor); left--) {
        struct rumour rumour;
        gossip_read_entry(&cursor, &rumour);
    }
    parse_heartbeats(&cursor, message);
    if (message->header.stage == GOSSIP_SUMMARY) {
        message->summary = begin_part(&cursor, NODE_ID_SIZE + 1 + 1 + 1 + 4);
        for (uint32_t left = message->summary.count; left > 0 && !cursor_failed(&cursor); left--) {
            struct gossip_summary_line line;
            gossip_read_summary_line(&cursor, &line);
        }
    } else if (message->header.stage == GOSSIP_DIFFERENCE) {
        message->wanted = begin_part(&cursor, NODE_ID_SIZE);
        cursor_bytes(&cursor, (size_t)message->wanted.count * NODE_ID_SIZE);
    }
    return cursor_is_done(&cursor);
}

uint64_t gossip_extend_heartbeat(uint32_t low, uint64_t known) {
    uint64_t range = (uint64_t)1 << GOSSIP_HEARTBEAT_BITS;
    uint64_t heartbeat = (known & ~(uint64_t)GOSSIP_HEARTBEAT_MASK) | low;
    if (heartbeat > known + range / 2 && heartbeat >= range)
        return heartbeat - range;
    return heartbeat + range / 2 < known ? heartbeat + range : heartbeat;
}
