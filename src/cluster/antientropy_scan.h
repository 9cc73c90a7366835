/* antientropy_scan.h - what asker and answerer of a comparison share: the walks of records, and how messages begin.
 *
 * Question: kind (1), round, step (varints), digest of the set (8), and then
 *   root    flags (1: the asker is settled), digest (8)
 *   groups  the shift from a slot's number to its group's (1), one bit for each of the COMPARE_GROUPS: it is looked at (16), then
 *           the digests (4 each; 2 of small groups) of the groups in them that have slots of the set, in order
 *   slots   count (varint), then of each: (slots skipped) * 2 + whether a flush counter follows (varint), the counter (8; else it is
 *           that of the slot before, 0 at first), by how many steps the floor differs from that of the slot before, 0 at first (varint: twice
 *           as many, and 1 less if it is lower), digest (2)
 *   leaves  count (2), then of each place: slot (2), bits (1), first leaf (4), number of leaves (2), their digests (4 each)
 *   keys    count (2), then of each place: slot (2), number of records * 4 + enum compare_form (varint); by the form the first and the
 *           last half hash (4, 4), or only one (4), or none; the records' marks, in order: half hash (4; not of FORM_BRIEF), digest (2)
 * Answer: kind + 128 (1), round, step (varints), and then
 *   root    1: equal, 0: not
 *   groups  one bit for each digest of the question: it differs
 *   slots   whether a flush or a floor was applied or sent (1), count (2), then of each slot that differs: slots skipped, records here (varints)
 *   leaves  one bit for each leaf of the question: it differs
 *   keys    places that were looked at to their end (2); the half hash before which all of the next place was looked at (4; 0 if there is none);
 *           records sent (2); of each place that was looked at, also in part: twice the count, and 1 more if a place in brief is to be asked
 *           for with its hashes (varint), then of each half hash that the asker is to see to: half hash (4), what is here
 *           (1: enum compare_here), behind HERE_ONE the counter of its newest dot (8)
 * Or, to any question: kind 128: another set is expected here.
 *
 * May touch: base, data, store. Must never know: who asks.
 * Invariants: a walk stops behind the bucket in which its budget ended.
 * Tests: tests/unit/cluster/antientropy_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CLUSTER_ANTIENTROPY_SCAN_H
#define CLUSTER_ANTIENTROPY_SCAN_H

#include "cluster/antientropy.h"

#include "base/cursor.h"
#include "base/encode.h"
#include "store/floors.h"

enum compare_question { ASK_ROOT = 1, ASK_GROUPS, ASK_SLOTS, ASK_LEAVES, ASK_KEYS };

#define ANSWER_BIT       0x80u
#define ANSWER_OTHER_SET ANSWER_BIT

#define ASK_IS_SETTLED 1u

/* Which half hashes a place of a question about keys has. */
enum compare_form {
    FORM_ALL,
    FORM_RANGE,
    FORM_AWAITED, /* one, and no marks: what is there is to be sent */
    FORM_BRIEF    /* all, of which only the digests follow */
};
#define COMPARE_FORMS 4

/* What the answerer has of a half hash that the asker is to see to. */
enum compare_here {
    HERE_NOTHING,
    HERE_SENT, /* something, which was sent: two records or more, at the asker or here */
    HERE_ONE   /* one record, and one at the asker: it is not sent yet, as only the newer one is needed */
};

struct compare_want {
    uint32_t half_hash;
    enum compare_here here;
    uint64_t counter; /* HERE_ONE */
};

/* The cursor has failed where there is none that makes sense. */
static inline struct compare_want compare_read_want(struct cursor *cursor) {
    struct compare_want want = {.half_hash = cursor_u32(cursor)};
    uint8_t here = cursor_u8(cursor);
    if (here > HERE_ONE)
        cursor_fail(cursor);
    want.here = (enum compare_here)here;
    if (here == HERE_ONE)
        want.counter = cursor_u64(cursor);
    return want;
}

#define QUESTION_HEAD_MAX (1 + 2 * ENCODE_VARINT_MAX + 8)
#define ANSWER_HEAD_MAX   (1 + 2 * ENCODE_VARINT_MAX)
#define GROUPS_HEAD_SIZE  (1 + COMPARE_GROUPS / 8)
#define SLOT_ENTRY_MAX    (2 * ENCODE_VARINT_MAX + 8 + 2)
#define LEAVES_HEAD_SIZE  (2 + 1 + 4 + 2)
#define KEYS_HEAD_MAX     (2 + ENCODE_VARINT_MAX + 4 + 4)
#define MARK_SIZE         (4 + 2)
#define BRIEF_SIZE        2
#define WANT_SIZE_MAX     (4 + 1 + 8)
#define WANT_COUNT_MAX    2 /* a varint up to twice COMPARE_KEYS_MAX, and 1 */
_Static_assert(COMPARE_KEYS_MAX < 1 << 13, "14 bits in two bytes");

#define LEAF_BITS_MAX 24
#define HASHES_LAST   UINT32_MAX

/* Of a walk's items: those wanted, and what the last buckets bring along. */
#define SCAN_ITEMS_MAX (2 * COMPARE_KEYS_MAX + 64)

static inline uint64_t compare_mix(uint64_t value) {
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

/* What digests of a round are mixed with. */
static inline uint64_t compare_salt(uint64_t round) {
    return compare_mix(round + UINT64_C(0x9e3779b97f4a7c15));
}

/* A digest below the root as it is sent. */
static inline uint32_t compare_cut(uint64_t digest, uint64_t salt) {
    return (uint32_t)(compare_mix(digest + salt) >> 32);
}

/* Of what there is much of: two that differ look alike in one of 65536 cases, which costs another round. */
static inline uint32_t compare_cut_short(uint64_t digest, uint64_t salt) {
    return compare_cut(digest, salt) & 0xffff;
}

/* By how many steps a floor differs from another: small numbers for small differences, whatever the direction. */
static inline uint64_t compare_floor_step(uint64_t floor, uint64_t before) {
    int64_t steps = (int64_t)(floor >> FLOOR_STEP_BITS) - (int64_t)(before >> FLOOR_STEP_BITS);
    return steps < 0 ? (uint64_t)-steps * 2 - 1 : (uint64_t)steps * 2;
}

static inline uint64_t compare_floor_after(uint64_t step, uint64_t before) {
    uint64_t steps = step / 2 + step % 2;
    return before + (step & 1 ? -(steps << FLOOR_STEP_BITS) : steps << FLOOR_STEP_BITS);
}

/* Shifts from a slot's number to the number of its group, of both sizes. */
#define GROUP_SHIFT       7
#define SMALL_GROUP_SHIFT 2
_Static_assert(SLOT_COUNT >> GROUP_SHIFT == COMPARE_GROUPS, "the first groups are all slots");
_Static_assert(1 << SMALL_GROUP_SHIFT == COMPARE_SMALL_GROUP, "a small group is so many slots");

/* The digest of the slots of the set that are in the group of *slot, which is one of them; *slot is the next one behind it. */
static inline uint64_t compare_group_digest(const struct ledger *ledger, const struct slot_set *set,
                                            unsigned shift, uint32_t *slot) {
    uint32_t group = *slot >> shift;
    uint64_t digest = 0;
    for (; *slot < SLOT_COUNT && *slot >> shift == group; *slot = slot_set_next(set, *slot + 1))
        digest += ledger_slot_digest(ledger, *slot);
    return digest;
}

static inline uint64_t compare_root(const struct ledger *ledger, const struct slot_set *set) {
    uint64_t digest = 0;
    const uint64_t *touched = ledger->touched.bits;
    for (uint32_t word = 0; word < SLOT_COUNT / 64; word++) {
        /* The slots of a set are far from each other: they are asked for early. */
        for (uint64_t bits = word + 1 < SLOT_COUNT / 64 ? set->bits[word + 1] & touched[word + 1] : 0;
             bits != 0; bits &= bits - 1)
            prefetch(&ledger->digests[(word + 1) << 6 | (uint32_t)__builtin_ctzll(bits)]);
        for (uint64_t bits = set->bits[word] & touched[word]; bits != 0; bits &= bits - 1)
            digest += ledger_slot_digest(ledger, word << 6 | (uint32_t)__builtin_ctzll(bits));
    }
    return digest;
}

struct compare_item {
    uint64_t mark; /* the higher half of the hash, then 16 bits of a digest of hash, version and round */
    struct record *record;
};

static inline uint32_t compare_half_hash(uint64_t mark) {
    return (uint32_t)(mark >> 32);
}

/* One step's walks. On the heap: it is large. */
struct compare_scan {
    struct keyspace *keyspace;
    uint64_t salt;   /* of the round */
    uint32_t walked; /* records so far */
    uint32_t budget; /* where that many were walked a walk ends early, but not before it has come forward */
    uint32_t last;   /* of the walk at hand: half hash or number of leaf */
    uint32_t first;
    unsigned shift; /* of a hash to a leaf's number */
    uint32_t item_count;
    uint64_t sums[COMPARE_LEAVES_MAX];
    struct compare_item items[SCAN_ITEMS_MAX];
    struct compare_want wants[COMPARE_KEYS_MAX]; /* the asker's: of one place */
};

/* NULL: no memory. `round` salts all digests of the scan. */
struct compare_scan *compare_scan_new(struct mem *mem, struct keyspace *keyspace, uint64_t round,
                                      uint32_t budget);
/* Counts what was walked. */
void compare_scan_free(struct compare_scan *scan, struct mem *mem, struct compare_statistics *statistics);

/* Puts the records of a slot whose half hashes are in [first, last] into scan->items, sorted by their marks, at most item_max (1 to
 * 2 * COMPARE_KEYS_MAX). Returns the half hash before which all are there: last + 1 if that is the whole range, else more than
 * `first`. They are valid until the keyspace changes. */
uint64_t compare_collect(struct compare_scan *scan, uint32_t slot, uint32_t first, uint32_t last,
                         uint32_t item_max);

/* Makes the digests of `count` leaves from `first` on, in scan->sums. Returns how many are complete: all, or those before the budget
 * ended, which may be none. */
uint32_t compare_sum_leaves(struct compare_scan *scan, uint32_t slot, unsigned bits, uint32_t first,
                            uint32_t count);

/* The digest of leaf i of the last compare_sum_leaves() as it is sent. */
static inline uint32_t compare_leaf_digest(const struct compare_scan *scan, uint32_t i) {
    return compare_cut(scan->sums[i], scan->salt);
}

/* Records of a slot, whatever they are. */
uint32_t compare_slot_records(const struct keyspace *keyspace, uint32_t slot);

/* Hidden by time, but not reclaimed yet. */
static inline bool compare_is_expired(const struct keyspace *keyspace, const struct record *record) {
    int64_t expiry_ms = record_expiry_ms(record);
    return expiry_ms != RECORD_NO_EXPIRY && expiry_ms < keyspace->now_ms;
}

#endif
