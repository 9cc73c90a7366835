/* entries.h - what one node tells another about keys: the payload of FRAME_RECORDS, entry after entry.
 *
 *   ENTRY_ACTOR    number (2), node id (20), incarnation (varint)      from here on the number stands for this writer
 *   ENTRY_RECORD   a record with key, expiry, version and merge state (proto/record_codec.h); tombstones are records, too
 *   ENTRY_PATCH    a part of a value was written, or only the expiry: encoding, and 4 if it has an expiry (1); expiry (8);
 *                  version; counter that the version's newest dot had before (8; 0: there was none); key; size of the
 *                  value, offset (varints), the bytes that were written
 *   ENTRY_EXPIRED  version, key: this was reclaimed; drop what is not newer
 *   ENTRY_FLUSH    first slot, last slot (2 each), counter (8): drop what is not newer
 *   ENTRY_FETCH    key: please send me the record (or the tombstone; nothing where there is neither)
 *   ENTRY_MARK     number (varint): for those who wait until all before it was applied
 *   ENTRY_FLOOR    first slot, last slot (2 each), counter (8): the slots' floor is at least this (store/floors.h)
 *   ENTRY_FOR      node id (20): the next entry is for that node, which cannot be told: keep it, and a hint for that node
 *
 * An entry begins with a byte that says which of these it is, 1 to 9. Keys and bytes have their size (varint) before them;
 * versions are as in a record's encoding.
 * Candidates: a live record at or below its slot's floor, from a node that may have missed that its key was deleted, is not taken where this
 * node is sure of the slot and has no such key: its tombstone was dropped when all had it. The sender is told so (ENTRY_EXPIRED), and drops it. The
 * same goes for one that does not know what is here above the floor. Who is that node that has missed something, gives way.
 * Actor numbers are the writer's own: each direction of a link has its own table, which begins empty with the link.
 * A payload is applied as a whole or, where memory ends, up to an entry: the slots of the rest are reported as lost.
 * Nobody vouches for the bytes. What claims to be of an impossible future (CLOCK_FUTURE_MAX_MS) is ignored.
 *
 * May touch: base, data, proto, store. Must never know: links, sessions, commands, who is up.
 * Invariants: every record comes in through keyspace_merge() or the other doors of the keyspace; applying a payload twice is
 * the same as once.
 * Tests: tests/unit/cluster/entries_test.c, tests/fuzz/entries_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CLUSTER_ENTRIES_H
#define CLUSTER_ENTRIES_H

#include "base/buffer.h"
#include "store/keyspace.h"
#include "store/ledger.h"

#include <stdbool.h>
#include <stdint.h>

/* Answers to ENTRY_FETCH: from so many bytes on, no further ones are given at once. The slot is reported as lost instead. */
#define ENTRIES_ANSWERS_MAX (16 * 1024 * 1024)

/* ---- Writing ---- */

/* What the reader at the other end already knows of our actors, and of flushes. Begins empty with each link. */
struct entries_writer {
    struct mem *mem;
    uint64_t *told;     /* one bit for each actor number */
    uint32_t told_size; /* in words of 64 bits */
    uint64_t *flushed;  /* one bit for each slot whose last flush was told; NULL: none was */
    uint64_t flushes;   /* ledger->flushes when that was so */
};

void entries_writer_init(struct entries_writer *writer, struct mem *mem);
void entries_writer_clear(struct entries_writer *writer); /* a new link: nothing is known */
void entries_writer_release(struct entries_writer *writer);

/* Whether the other end knows this actor's number. */
static inline bool entries_writer_has_told(const struct entries_writer *writer, uint16_t actor) {
    return actor / 64u < writer->told_size && writer->told[actor / 64u] >> actor % 64u & 1;
}

/* All of these append one entry, and before it the actors that it names and that were not told yet. false: no memory, the
 * payload is as before. The key's bytes and the record are only read. */
bool entries_add_record(struct entries_writer *writer, const struct actors *actors, struct buffer *payload,
                        const struct record *record);
/* The same for a record of one dot (no RECORD_VECTOR) whose actor was told. */
bool entries_add_plain(struct buffer *payload, const struct record *record);
/* record: what the key has now, NULL: nothing (then only EFFECT_EXPIRED adds something). A patch that is no shorter than its record
 * is told as the record, and so is one over which the record has been written again, and one of a record with a merge state. */
bool entries_add_effect(struct entries_writer *writer, struct keyspace *keyspace, struct buffer *payload,
                        const struct effect *effect, const struct record *record);
/* first_slot <= last_slot < SLOT_COUNT */
bool entries_add_flush(struct buffer *payload, uint32_t first_slot, uint32_t last_slot, uint64_t counter);
/* Tells the last flush of a slot, if there was one, and if it was not told yet. To come before records and patches of the slot where the other
 * end may not have heard of the flush: what was written behind it says nothing of what it has done away with, and merged with that
 * it would become one thing here and another there, under the same version. false: no memory, the payload is as before. */
bool entries_tell_known_flush(struct entries_writer *writer, const struct ledger *ledger,
                              struct buffer *payload, uint32_t slot);
static inline bool entries_tell_flush(struct entries_writer *writer, const struct ledger *ledger,
                                      struct buffer *payload, uint32_t slot) {
    return LIKELY(ledger->highest_flush == 0) || entries_tell_known_flush(writer, ledger, payload, slot);
}
bool entries_add_floor(struct buffer *payload, uint32_t first_slot, uint32_t last_slot, uint64_t counter);
bool entries_add_fetch(struct buffer *payload, const uint8_t *key, uint32_t key_size);
bool entries_add_mark(struct buffer *payload, uint64_t number);
/* To be followed by the entry that it speaks of. */
bool entries_add_for(struct buffer *payload, const uint8_t node_id[NODE_ID_SIZE]);

/* ---- Reading ---- */

struct entries_reader {
    struct mem *mem;
    uint16_t *numbers; /* theirs -> ours; ACTORS_NONE: not told */
    uint32_t number_count;
    /* An actor found no place, and will not be told again on this link: its records cannot be taken until there is a new one. */
    bool has_gaps;
};

void entries_reader_init(struct entries_reader *reader, struct mem *mem);
void entries_reader_clear(struct entries_reader *reader);
void entries_reader_release(struct entries_reader *reader);

struct entries_outcome {
    uint64_t applied;   /* entries that were looked at; ENTRY_ACTORs do not count */
    uint64_t changed;   /* keys that are different now */
    uint64_t stale;     /* entries that were known already, or older, or refused */
    uint64_t refused;   /* entries that are too far ahead */
    uint64_t conflicts; /* concurrent versions that were merged */
    uint64_t buried;    /* candidates that were not taken */
    uint64_t mark;      /* the last ENTRY_MARK; 0: none */
    /* The highest incarnation of this node that the other end has named: above its own, it was not the last. 0: none. */
    uint64_t own_incarnation;
    /* A write is known under this start of this node that it has not made: its incarnation was there before. The counter; 0: none. */
    uint64_t own_counter;
    /* Keys whose patch did not fit what is here, to be fetched: entries of ENTRY_FETCH, ready to be sent back. The caller's. */
    struct buffer fetches;
    /* Keys that the other end has asked for: records, ready to be sent back through `answers_writer`. The caller's. */
    struct buffer answers;
};

struct entries_options {
    struct keyspace *keyspace;
    struct entries_writer *answers_writer; /* for the answers to ENTRY_FETCH; NULL: there are none */
    /* A key (placed) was applied that is meant for another node. NULL: nobody wants to know. */
    void (*stands_in)(void *context, const uint8_t node_id[NODE_ID_SIZE], const struct argument *key);
    /* Whether a live record of the sender's at or below the floor of the slot is a candidate, as this node is sure of the slot and the sender may
     * have missed deletions. Asked only where there is one. NULL: there are no candidates. */
    bool (*is_candidate)(void *context, uint32_t slot);
    bool gives_way; /* it is this node that may have missed deletions, and the sender has not */
    void *context;
};

enum entries_status {
    ENTRIES_APPLIED,
    ENTRIES_MALFORMED, /* what came before the bad entry was applied; the link should be closed */
    ENTRIES_NO_MEMORY  /* something was not applied: the keyspace's ledger->has_lost says so */
};

/* Applies a payload. A batch's keys are placed and their memory is asked for before the first is merged. Actors that find no place
 * (ACTORS_MAX) count as no memory. outcome is added to; its buffers are the caller's and may hold something already. A key whose
 * patch did not fit is asked for once, however many patches there are. The keyspace has a ledger. */
enum entries_status entries_apply(struct entries_reader *reader, const struct entries_options *options,
                                  const uint8_t *data, size_t size, struct entries_outcome *outcome);

/* Shows the keys of records and patches in a payload that has not arrived, from offset `from` on, and whether there is a flush in it; about
 * `limit` of them, not those that are for another node than the reader. The keys are not placed. Returns where to go on; size: that
 * was the end, or bytes that make no sense. */
struct entries_missed {
    void *context;
    void (*key)(void *context, struct argument *key);
    void (*flush)(void *context);
};
size_t entries_each_missed(const uint8_t *data, size_t size, size_t from, uint32_t limit,
                           const struct entries_missed *missed);

#endif
