/* gossip_codec.h - the bytes of entries and of gossip messages; nobody vouches for what is read.
 *
 * An entry that is removed:   u8 flags, 20 bytes id
 * any other:                  u8 flags, 20 bytes id, u64 run, varint incarnation, version, heartbeat, weight,
 *                             u16 port, cluster_port, peer_port, u8 length and bytes of host, the same of zone
 * A message:
 *   u8 format, u8 stage + 8 * rank + 32 * how heartbeats are written
 *   20 bytes cluster id; varint incarnation, heartbeat of the sender; u64 roster digest, u64 digest of entries
 *   varint count, entries
 *   heartbeats by position: varint count; u24 each, in the order of ids of all present members
 *              by tag:      varint count; u32 first bytes of the id, u8 lowest byte of the incarnation, u24
 *   load (where there are heartbeats): varint keys, operations, bytes of the sender; u8 count; of others, by position:
 *              varint position, u24 the heartbeat at which it was so, three varints
 *   in a summary:    varint count; 20 bytes id, u8 removed, varint incarnation, version, u32 of the entry's hash
 *   in a difference: varint count; 20 bytes id: entries that are wanted
 * A u24 is the lowest 23 bits of a heartbeat, and above them whether the sender suspects the member.
 *
 * May touch: base. Must never know: what follows from a message.
 * Invariants: a reader takes what the writer wrote and nothing that breaks membership.h's limits; what was read is written
 * as the same bytes.
 * Tests: tests/unit/cluster/membership_test.c, tests/fuzz/gossip_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CLUSTER_GOSSIP_CODEC_H
#define CLUSTER_GOSSIP_CODEC_H

#include "base/cursor.h"
#include "cluster/membership_inside.h"

#define GOSSIP_FORMAT 1

/* Numbers of peers stay below this, so that there is always a higher one. */
#define GOSSIP_NUMBER_MAX ((uint64_t)1 << 62)

#define GOSSIP_HEARTBEAT_BITS 23
#define GOSSIP_HEARTBEAT_MASK (((uint32_t)1 << GOSSIP_HEARTBEAT_BITS) - 1)
#define GOSSIP_SUSPECT_BIT    ((uint32_t)1 << GOSSIP_HEARTBEAT_BITS)

/* An entry without its zeros: flags, id, numbers, texts. */
#define GOSSIP_ENTRY_SIZE_MAX 256
#define GOSSIP_ENTRY_SIZE_MIN (1 + NODE_ID_SIZE)
#define GOSSIP_TAG_SIZE       (4 + 1 + 3)

enum gossip_heartbeats { HEARTBEATS_NONE, HEARTBEATS_BY_POSITION, HEARTBEATS_BY_TAG };

struct gossip_header {
    enum gossip_stage stage;
    enum cluster_rank rank;
    enum gossip_heartbeats heartbeats;
    uint8_t cluster_id[CLUSTER_ID_SIZE];
    uint64_t incarnation;
    uint64_t heartbeat;
    uint64_t roster_digest;
    uint64_t digest;
};

/* A part of a message that was checked: reading it again cannot fail. */
struct gossip_part {
    struct cursor cursor;
    uint32_t count;
};

struct gossip_load {
    uint64_t keys, operations_per_s, used_bytes, hinted;
};

struct gossip_message {
    struct gossip_header header;
    struct gossip_part entries, heartbeats, loads, summary, wanted;
    struct gossip_load load; /* the sender's, where there are heartbeats */
};

struct gossip_summary_line {
    const uint8_t *id;
    bool is_removed;
    uint64_t incarnation, version;
    uint32_t hash;
};

/* Returns the end; `out` has room for GOSSIP_ENTRY_SIZE_MAX. */
uint8_t *gossip_write_entry(uint8_t *out, const struct rumour *rumour);
/* Fails the cursor if it is no entry. */
void gossip_read_entry(struct cursor *cursor, struct rumour *rumour);

bool gossip_append_header(struct buffer *out, const struct gossip_header *header);
bool gossip_append_varint(struct buffer *out, uint64_t value);
bool gossip_append_fixed(struct buffer *out, uint64_t value, unsigned size);

/* Checks a whole message. false: it is none. */
bool gossip_parse(const uint8_t *data, size_t size, struct gossip_message *message);

uint32_t gossip_read_u24(struct cursor *cursor);
uint64_t gossip_read_number(struct cursor *cursor);
void gossip_read_load(struct cursor *cursor, struct gossip_load *load);
void gossip_read_summary_line(struct cursor *cursor, struct gossip_summary_line *line);

/* The heartbeat whose lowest bits these are, next to one that is known. */
uint64_t gossip_extend_heartbeat(uint32_t low, uint64_t known);

#endif
