/* antientropy_pair.h - two copies that compare themselves, for tests: messages and records go from one to the other in order.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef TESTS_CLUSTER_ANTIENTROPY_PAIR_H
#define TESTS_CLUSTER_ANTIENTROPY_PAIR_H

#include "cluster/antientropy.h"

#define PAIR_NOW_MS INT64_C(1790000000000)

struct copy {
    struct mem mem;
    struct keyspace *keyspace;
    struct entries_writer writer; /* to the other */
    struct entries_reader reader; /* of what the other writes */
    struct compare_statistics statistics;
    struct buffer message, records; /* on the way to the other */
    uint64_t record_bytes;          /* that it has sent */
    uint64_t records_most;          /* in one step */
};

struct pair {
    struct copy asker, answerer;
    struct comparer comparer;
    struct slot_set set;            /* all slots at first */
    struct compare_finding finding; /* of the last question; is_equal of the last root */
    uint32_t questions;             /* of the last round */
    bool has_differed;              /* any finding of the last round */
    bool hands_over;                /* the asker gets nothing that it lacks */
    /* Called before a question is handed over; may be NULL. */
    void (*before_question)(struct pair *pair);
};

void pair_init(struct pair *pair);
/* Checks that nothing is left. */
void pair_release(struct pair *pair);

/* A write at one copy that the other does not hear of. expiry_ms: or EXPIRY_NONE. */
void copy_put(struct copy *copy, const char *key, const void *value, uint32_t size, int64_t expiry_ms);
void copy_put_text(struct copy *copy, const char *key, const char *value);
void copy_delete(struct copy *copy, const char *key);
/* NULL: none, or a tombstone. */
const struct record *copy_find(struct copy *copy, const char *key);
/* A write that both have. */
void pair_put(struct pair *pair, const char *key, const char *value);

/* Hands over the records that `from` has appended. */
void pair_deliver(struct pair *pair, struct copy *from);
/* Hands over the question that the asker has appended; its answer is appended at the answerer. */
void pair_ask(struct pair *pair);
/* Hands over the answer; the next question, if any, is appended at the asker. */
void pair_answer(struct pair *pair);
/* A whole round. */
enum compare_state pair_round(struct pair *pair);
/* Rounds until the copies are equal, at most so many. Returns how many there were; fails if they are too few. */
uint32_t pair_converge(struct pair *pair, uint32_t rounds_max);

/* Fails unless both hold the same records and digests. */
void pair_expect_same(struct pair *pair);

#endif
