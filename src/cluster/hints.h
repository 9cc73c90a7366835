/* hints.h - which keys other nodes have missed: for each of them (a *target*) a set of keys, bounded, without values.
 *
 * A hint is the note "that node missed this key". When the target can be reached again its hints are taken in batches, the keys' values of that
 * moment are sent, and when the batch has been acknowledged its hints go. A key that is noted once more meanwhile stays. What does not
 * fit within the bound is refused and counted: the target has to be compared then (cluster/antientropy.h). So is a target that
 * stays away for longer than the window: all its hints go, and no more are taken until it is welcomed back.
 *
 * A hint is a record with a key and no value (data/record.h) in a table of its target's own (data/dict.h): 16 bytes and the key, and about 9
 * of the table. Its counter is 0 while it waits, and above that what the sender knows it by while it is in a batch.
 *
 * May touch: base, data. Must never know: keys' values, links, membership, clocks (time comes with the calls; monotonic milliseconds).
 * Invariants: a key is in a target's set once; used_bytes == the sum over all hints; slots[s] == hints whose key is of slot s, of all
 * targets; no call looks at more than a bounded number of hints.
 * Source: DeCandia et al., Dynamo, 2007, section 4.6.
 * Tests: tests/unit/cluster/hints_test.c, hints_file_test.c, tests/fuzz/hints_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CLUSTER_HINTS_H
#define CLUSTER_HINTS_H

#include "base/argument.h"
#include "base/buffer.h"
#include "base/limits.h"
#include "data/dict.h"

/* Hints of one batch, at most. */
#define HINTS_BATCH_MAX 1024

/* One node that has missed something. Read only, outside of hints.c and hints_file.c. */
struct hint_target {
    struct dict keys;
    struct record *
        *batch; /* hints that are on their way; room for HINTS_BATCH_MAX, NULL while there are none */
    uint32_t batch_count;
    uint64_t from;       /* hash from which on the next batch is looked for */
    uint64_t drop_from;  /* the same for those that are dropped */
    uint64_t used_bytes; /* by its hints */
    uint64_t since_ms;   /* when it missed the first thing of those that are noted, */
    uint64_t age_ms;     /* which had been missed for so long then, by a file */
    uint64_t delivered;  /* hints that were acknowledged, ever */
    uint64_t dropped;    /* that were refused or given up, ever */
    bool misses_flush, flush_is_sent;
    bool is_dropping;  /* all that is noted is to go, in steps */
    bool is_forgotten; /* away for too long, or gone for good: nothing is noted until it is welcomed */
};

struct hints {
    struct mem *mem;
    const struct hash_secret *secret; /* that the hashes of the keys are made with */
    struct hint_target *targets;      /* by number */
    uint32_t target_capacity;
    uint32_t *slots; /* hints of each slot; NULL: there was never one */
    uint64_t count, used_bytes;
    uint64_t used_max_bytes, window_ms;
};

/* The secret is the keyspace's, and lasts as long. */
void hints_init(struct hints *hints, struct mem *mem, const struct hash_secret *secret);
void hints_release(struct hints *hints);
/* What is there already stays, but for targets that are away for too long by now (hints_expire). */
void hints_set_limits(struct hints *hints, uint64_t used_max_bytes, uint64_t window_ms);

/* ---- What is missed ---- */

/* The target misses a key (placed). false: it could not be noted, and is counted as dropped. */
bool hints_add(struct hints *hints, uint16_t target, const struct argument *key, uint64_t now_ms);
/* The target misses a flush of some slots. */
bool hints_add_flush(struct hints *hints, uint16_t target, uint64_t now_ms);
/* What it misses has been missed for so long already (a file says so). */
void hints_set_age(struct hints *hints, uint16_t target, uint64_t age_ms, uint64_t now_ms);

/* ---- What is known ---- */

/* NULL: nothing was ever noted of it. */
static inline const struct hint_target *hints_target(const struct hints *hints, uint16_t target) {
    return target < hints->target_capacity ? &hints->targets[target] : NULL;
}

/* Keys that it misses, those on their way among them; of a target whose hints are being dropped none. */
uint32_t hints_count(const struct hints *hints, uint16_t target);
/* Whether it misses anything at all. */
bool hints_has_any(const struct hints *hints, uint16_t target);
/* How long ago the first of them was missed; 0: there are none. */
uint64_t hints_age_ms(const struct hints *hints, uint16_t target, uint64_t now_ms);
/* Whether any target misses a key, or one of a slot. */
bool hints_has_key(const struct hints *hints, const struct argument *key);
static inline uint32_t hints_of_slot(const struct hints *hints, uint32_t slot) {
    return hints->slots == NULL ? 0 : hints->slots[slot];
}

/* ---- Handing over: one batch at a time ---- */

enum hint_verdict {
    HINT_SENT,     /* it is part of the batch */
    HINT_NEEDLESS, /* there is nothing to be sent: the hint goes */
    HINT_STOP      /* the batch is full without it: it waits on */
};

/* Sends what the key has now. *version (0 when called): an even number that tells what was sent, for hints_acknowledge(). */
typedef enum hint_verdict hints_send(void *context, const struct argument *key, uint64_t *version);

/* Shows hints that wait to send() until it says HINT_STOP, there are no more, or `limit` (HINTS_BATCH_MAX at most) were shown. Returns how many
 * are on their way now. To be called while none are. 0 and hints that wait: there was no memory, or all that were shown were needless. */
uint32_t hints_take(struct hints *hints, uint16_t target, uint32_t limit, hints_send *send, void *context);
/* Whether a flush is to be told with the next batch; it counts as sent then. */
bool hints_take_flush(struct hints *hints, uint16_t target);

/* The batch has arrived: its hints go, and each of them is shown to `gone` (may be NULL) behind that, with the version it was sent with (its
 * lowest bit is not kept). Those that were noted again meanwhile stay. */
typedef void hints_gone(void *context, const struct argument *key, uint64_t version);
void hints_acknowledge(struct hints *hints, uint16_t target, hints_gone *gone, void *context);

/* The batch may not have arrived: its hints wait again. */
void hints_return(struct hints *hints, uint16_t target);

/* ---- Giving up ---- */

/* The target is back: what it misses from now on is noted again. */
void hints_welcome(struct hints *hints, uint16_t target);
/* All hints of a target go, and no more are taken until it is welcomed. */
void hints_forget(struct hints *hints, uint16_t target);
/* Forgets the target if it has been away for longer than the window. Returns whether it did. */
bool hints_expire(struct hints *hints, uint16_t target, uint64_t now_ms);
/* A step of dropping: at most about `units` hints. Returns how many went, 0: there is nothing to be dropped. */
uint32_t hints_drop_step(struct hints *hints, uint32_t units);

#endif
