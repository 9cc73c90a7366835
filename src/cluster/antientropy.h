/* antientropy.h - two copies of the same slots find out what differs, and exchange only that.
 *
 * The node that coordinates slots (the *asker*) compares them with one other home copy (the *answerer*), in questions that
 * travel in order with the records that it sends to it. So the answerer has taken everything that the asker had written
 * when it asked, and copies that are merely busy do not differ: every question holds the asker's digests of that moment, and it
 * is the answerer that compares. It is a Merkle tree with fixed fan-out, cut down to the places that differ:
 *
 *   root    one digest over all slots of the set; equal: one message each way, a few bytes
 *   groups  digests over the slots of the set in each of COMPARE_GROUPS equal ranges of slots; then over the slots in each of the
 *           smaller ranges, COMPARE_SMALL_GROUP slots, of those that differ
 *   slots   slot, flush counter, floor (store/floors.h) and digest of the slots of small groups that differ
 *   leaves  of a slot that differs and has COMPARE_LARGE_SLOT records or more on both sides: digests of so many equal ranges of
 *           hashes that each has at most COMPARE_LEAF_RECORDS on average
 *   keys    of a smaller slot, or of leaves that differ: of every record, half of its hash and 16 bits of a digest of its version;
 *           back, of what differs, the counter of the newest dot. Of a small slot with as many records on both sides first the digests
 *           alone, in the order of hashes: where the keys turn out not to be the same, it is asked for once more with its hashes
 *
 * At the slots the higher flush counter is applied by who has the lower one, and so is the higher floor. While what lies below floors is being
 * dropped, a node compares as little as while its digests are being made. At the keys the answerer asks for what it lacks, and
 * sends what the asker lacks; both as records that are merged. Of a key that both have, it tells the counter of its version; then only
 * the one with the higher counter is sent, by the asker or, if the asker says so in its next question about keys, by the answerer. It is the newer one
 * in nearly all cases. Where they are concurrent and more than the newer value is to stay, the merged record has the same counter as
 * the one that was sent, and what is of one counter and differs is sent both ways: in the next round. A round in which the roots were
 * equal is an agreement; a round that found differences never is, however few.
 *
 * Slots have digests that are kept; those of leaves and keys are made by a walk of the records. So a step stops where it
 * has walked COMPARE_STEP_RECORDS of them, and the next goes on from there: a slot of ten million keys takes thousands of short
 * messages. Digests below the root are cut to 32 or 16 bits and mixed with the number of the round: should two that differ look
 * alike, the round ends with the roots different, and the next one sees them with other eyes.
 *
 * "You lack it, and mine has expired" counts as equal: such a record is neither sent nor asked for, as the coordinator is about
 * to reclaim it everywhere, or the copy will by itself. It still is in the digests, which know no time. So a round that
 * finds nothing else ends in COMPARE_EXCHANGED with `exchanged` 0: nothing is on its way, and there is no use in asking again at once. An expired
 * record that meets another version of the key is exchanged like any other, for it beats older ones.
 *
 * May touch: base, data, store, cluster/entries.h. Must never know: links, timers, who is up.
 * Invariants: a message names at most COMPARE_SLOTS_MAX places and COMPARE_KEYS_MAX keys, and a step appends records only until they are
 * COMPARE_RECORDS_BYTES (one may be larger), so that no step is long; one question is under way at a time; the answerer keeps nothing
 * between messages; bytes are not trusted.
 * Source: Merkle, 1987; DeCandia et al., Dynamo, 2007, section 4.7.
 * Tests: tests/unit/cluster/antientropy_test.c, tests/fuzz/compare_fuzz.c, tests/sim/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CLUSTER_ANTIENTROPY_H
#define CLUSTER_ANTIENTROPY_H

#include "cluster/entries.h"
#include "store/slot_set.h"

#define COMPARE_GROUPS        128
#define COMPARE_SMALL_GROUP   4
#define COMPARE_SLOTS_MAX     256
#define COMPARE_LEAVES_MAX    1024 /* in one message */
#define COMPARE_KEYS_MAX      1024
#define COMPARE_LARGE_SLOT    24 /* below it the keys cost little more than leaves and keys */
#define COMPARE_LEAF_RECORDS  8
#define COMPARE_STEP_RECORDS  4096
#define COMPARE_RECORDS_BYTES (1024 * 1024)

/* Sets with other slots have other digests. */
uint64_t slot_set_digest(const struct slot_set *set);

struct compare_statistics {
    uint64_t rounds, equal_rounds; /* asked by this node */
    uint64_t slots_differed;
    uint64_t keys_sent, keys_asked_for; /* in either role */
    uint64_t bytes_out, bytes_in;       /* of FRAME_COMPARE */
    uint64_t records_walked;            /* for digests of leaves and keys */
    uint64_t most_records_walked;       /* of them, in one step */
};

/* ---- The asker: one for each peer ---- */

enum compare_state {
    COMPARE_IDLE,
    COMPARE_RUNNING,
    COMPARE_EQUAL, /* all slots of the set were equal when the answerer looked */
    COMPARE_EXCHANGED, /* there were differences, and what could be done about them is on its way: ask again to be sure */
    COMPARE_OTHER_SET /* the answerer has another idea of which slots are meant: its ring, or its view of who is up, differs.
                          Or it cannot say yet: its digests are still being made */
};

/* Where records are still to be looked at. */
struct compare_place {
    uint32_t first, last; /* the higher halves of hashes; of leaves (bits != 0) their numbers */
    uint16_t slot;
    uint8_t bits;    /* so many bits of the hash are the number of the leaf; 0: keys */
    bool is_awaited; /* of keys: what the answerer has there is newer, and to be sent */
    bool is_brief;   /* of keys: a whole slot, whose keys seem to be the same on both sides */
};

struct compare_places {
    struct compare_place *items;
    uint32_t count, capacity;
};

struct comparer {
    struct mem *mem;
    enum compare_state state;
    uint64_t round;     /* number of the round; answers of another one are ignored */
    uint64_t exchanged; /* flushes and records that were sent in this round, either way */
    uint64_t step;      /* of the round: number and kind of the question that is under way */
    uint8_t question;
    bool only_looks; /* set from outside: a round ends behind its root, and nothing is exchanged */
    bool hands_over; /* set from outside: of what differs all that is here is sent, and nothing asked for */
    bool has_handed_over;
    uint64_t lacked; /* records of the round that the answerer had not, or older ones */
    uint64_t begun_root,
        told_root; /* what was here at the round's begin; when the last whole round of the link began, or 0 */
    uint8_t group_shift; /* of a question about groups: the slots of one have the same number >> this */
    struct slot_set set; /* what is compared */
    struct slot_set to_compare;         /* slots of groups that differ, still to be looked at */
    struct compare_places leaves, keys; /* below slots that differ, still to be looked at */
    struct compare_places asked;        /* that the question under way names */
};

void comparer_init(struct comparer *comparer, struct mem *mem);
void comparer_release(struct comparer *comparer);
/* The link is gone, or the set is another: back to COMPARE_IDLE. */
void comparer_reset(struct comparer *comparer);

/* Begins a round over `set` and appends the first message to `message`; a round that is under way is given up. is_settled: this
 * node itself is in agreement about all slots of the set with every other copy that can be reached, so that the answerer, where
 * it finds all equal, is too. Digests of all slots of the set must be known (ledger_is_known). false: no memory; the state is COMPARE_IDLE. */
bool comparer_begin(struct comparer *comparer, struct keyspace *keyspace, const struct slot_set *set,
                    bool is_settled, struct buffer *message, struct compare_statistics *statistics);

/* An answer has come, and the records that were sent before it have been applied. Appends what is to be sent on: to `message` the next
 * question (empty: nothing), to `records` entries for the answerer (through `writer`, that of the records which go to it: they must be
 * sent before the message). comparer->state says how it goes on. false: the bytes make no sense, or there is no memory: the round
 * is given up (COMPARE_IDLE), nothing was appended to `message`, and what was appended to `records` is good to be sent. */
bool comparer_receive(struct comparer *comparer, struct keyspace *keyspace, struct entries_writer *writer,
                      const uint8_t *data, size_t size, struct buffer *message, struct buffer *records,
                      struct compare_statistics *statistics);

/* Of one that hands over, when a round has ended: whether the answerer has everything that is here, and perhaps more. Either all was equal; or a
 * whole round of the same link has sent all that differed, nothing has changed here since, and the answerer, which has heard
 * later questions, lacks nothing. So it is found out while the answerer's copy is written all the time. */
bool comparer_has_handed_over(const struct comparer *comparer);

/* ---- The answerer ---- */

struct compare_finding {
    bool is_equal;     /* the whole set was equal */
    bool is_settled;   /* and the asker is in agreement with all the others */
    bool has_differed; /* something differed; what this node could add was appended to `records` */
};

/* A question has come from the coordinator of `expected`: the slots that, as this node sees it, the asker coordinates and this node
 * holds. gives: keys that the asker lacks are sent to it; else it is one that hands over what it has, and only of keys that it has the records
 * here are sent. Appends the answer to `answer`, and entries for the asker to `records` (to be sent before it), through the writer of the
 * records that this node sends to it. false: no sense, or no memory; nothing was appended to `answer`, and what was appended to
 * `records` is good to be sent. Bytes that make no sense change and append nothing. */
bool compare_answer(struct keyspace *keyspace, const struct slot_set *expected, bool gives,
                    struct entries_writer *writer, const uint8_t *data, size_t size, struct buffer *answer,
                    struct buffer *records, struct compare_finding *finding,
                    struct compare_statistics *statistics);

#endif
