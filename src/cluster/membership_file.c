/* membership_file.c - the members and the cluster's id as bytes for a file, and back.
 *
 *   8 bytes  "rkvnodes"
 *   u8       format
 *   u8       1 if the node is not, or was not always, alone
 *   20       id of the node whose file it is
 *   20       cluster id
 *   varint   count, entries as in gossip (gossip_codec.h), this node's own among them
 *   u64      XXH3 of all before
 *
 * May touch: base. Must never know: files; who is up (that is found out anew).
 * Tests: tests/unit/cluster/membership_test.c, tests/fuzz/gossip_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/gossip_codec.h"

#include "base/checksum.h"

#include <string.h>

#define FILE_MAGIC      "rkvnodes"
#define FILE_MAGIC_SIZE 8
#define FILE_FORMAT     1
#define CHECKSUM_SIZE   8

bool membership_save(const struct membership *membership, struct buffer *file) {
    struct buffer out;
    buffer_init(&out, membership->mem);
    uint32_t count = 0;
    for (uint32_t i = 0; i < membership->count; i++)
        count += !roster_at(membership, (uint16_t)i)->is_stranger;
    buffer_append(&out, FILE_MAGIC, FILE_MAGIC_SIZE);
    buffer_append_byte(&out, FILE_FORMAT);
    buffer_append_byte(&out, membership->had_company);
    buffer_append(&out, roster_self(membership)->entry.id, NODE_ID_SIZE);
    buffer_append(&out, membership->cluster_id, CLUSTER_ID_SIZE);
    gossip_append_varint(&out, count);
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct roster_member *one = roster_at(membership, (uint16_t)i);
        struct rumour rumour = {.entry = one->member.entry,
                                .is_removed = one->member.state == MEMBER_REMOVED};
        uint8_t bytes[GOSSIP_ENTRY_SIZE_MAX];
        if (!one->is_stranger)
            buffer_append(&out, bytes, (size_t)(gossip_write_entry(bytes, &rumour) - bytes));
    }
    bool is_written = !out.failed &&
                      gossip_append_fixed(&out, checksum_bytes(out.data, out.size), CHECKSUM_SIZE) &&
                      buffer_append(file, out.data, out.size);
    buffer_release(&out);
    return is_written;
}

struct file_fields {
    bool had_company;
    const uint8_t *cluster_id;
    struct gossip_part entries;
};

static bool is_nobody(const uint8_t id[NODE_ID_SIZE]) {
    for (size_t i = 0; i < NODE_ID_SIZE; i++)
        if (id[i] != 0)
            return false;
    return true;
}

/* Checks the whole file, without a look at what is known already. */
static bool parse(const struct membership *membership, const uint8_t *data, size_t size,
                  struct file_fields *fields) {
    if (size < FILE_MAGIC_SIZE + CHECKSUM_SIZE || memcmp(data, FILE_MAGIC, FILE_MAGIC_SIZE) != 0 ||
        checksum_bytes(data, size - CHECKSUM_SIZE) != load_u64(data + size - CHECKSUM_SIZE))
        return false;
    struct cursor cursor = cursor_make(data + FILE_MAGIC_SIZE, size - FILE_MAGIC_SIZE - CHECKSUM_SIZE);
    uint8_t format = cursor_u8(&cursor), had_company = cursor_u8(&cursor);
    const uint8_t *owner = cursor_bytes(&cursor, NODE_ID_SIZE);
    fields->cluster_id = cursor_bytes(&cursor, CLUSTER_ID_SIZE);
    uint64_t count = cursor_varint(&cursor);
    if (cursor_failed(&cursor) || format != FILE_FORMAT || had_company > 1 ||
        count > cursor_remaining(&cursor) / GOSSIP_ENTRY_SIZE_MIN)
        return false;
    if (memcmp(owner, roster_self(membership)->entry.id, NODE_ID_SIZE) != 0 && !is_nobody(owner))
        return false;
    fields->had_company = had_company != 0;
    fields->entries = (struct gossip_part){.cursor = cursor, .count = (uint32_t)count};
    for (; count > 0 && !cursor_failed(&cursor); count--) {
        struct rumour rumour;
        gossip_read_entry(&cursor, &rumour);
        /* Who is down, and how far its heart had come, is not for files. */
        if (rumour.is_down || rumour.heartbeat != 0)
            cursor_fail(&cursor);
    }
    return cursor_is_done(&cursor);
}

bool membership_load(struct membership *membership, const uint8_t *data, size_t size, uint64_t now_ms) {
    struct file_fields fields;
    membership_note_time(membership, now_ms);
    if (!parse(membership, data, size, &fields))
        return false;
    /* All the memory that could be needed comes first, so that nothing is done by half. An entry causes two events at most. */
    uint32_t count = fields.entries.count;
    if (count > ROSTER_SIZE_MAX || !roster_reserve_members(membership, count) ||
        !roster_reserve_events(membership, 2 * count + 2)) {
        roster_free_spares(membership);
        return false;
    }
    memcpy(membership->cluster_id, fields.cluster_id, CLUSTER_ID_SIZE);
    membership->had_company |= fields.had_company;
    for (; fields.entries.count > 0; fields.entries.count--) {
        struct rumour rumour;
        gossip_read_entry(&fields.entries.cursor, &rumour);
        roster_hear(membership, &rumour, 0);
        if (membership_find(membership, rumour.entry.id) == 0)
            roster_self(membership)->entry.was_settled |= rumour.entry.was_settled;
    }
    roster_free_spares(membership);
    membership->forming_until_ms = 0;
    membership->epoch++;
    return true;
}
