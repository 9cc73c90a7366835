/* ledger.h - what a keyspace keeps of each slot where other nodes hold copies of it, and what the command at hand has changed.
 *
 * For each slot: a digest of all its records, the counter of its last flush, its floor (store/floors.h), how many of its records are
 * tombstones, and whether this node coordinates it. And a list of effects: what changed since the list was last emptied, so that the node
 * can tell the other copies. Only database 0 is shared. A keyspace without a ledger (NULL), or with one while
 * keyspace->is_alone, pays a branch or two for it: then neither digests nor effects are kept, flush counters and tombstones are.
 *
 * The digest of a slot is the sum over its records of a mix of the key's hash and the dots that the record *holds* (by the identities
 * of their actors, not by the numbers that they have here): the dot of its value, and those of its merge state. Tombstones are
 * included, values are not, as a dot is one write; and what else the version has seen is not, as that may have been folded here
 * and not there (store/content.h). So it is updated in O(1) with each change, and two copies are equal if their digests are. While the keyspace is
 * alone digests are not kept; when it gets company they are made anew by a walk in steps (ledger_walk_step), which writes
 * need not wait for: the digests cover the places (slot, hash) that the walk has passed, and a change of one of them is a change of
 * the digest; a change ahead of the walk is found by it.
 *
 * May touch: base, data. Must never know: peers, commands, what is done with effects.
 * Invariants: digest(slot) of a walked place == sum over its records; tombstones(slot) == their number; a record whose newest
 * counter is at or below the slot's flush counter is not in the slot.
 * Tests: tests/unit/store/ledger_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_LEDGER_H
#define STORE_LEDGER_H

#include "base/argument.h"
#include "base/buffer.h"
#include "base/limits.h"
#include "data/record.h"
#include "store/actors.h"
#include "store/keyspace.h"

/* What is noted of a slot from outside (ledger->notes): the highest bit, and beside it a number that means nothing here. */
#define SLOT_NOTE_MASK 0x7fffu
#define SLOT_COORDINATED \
    0x8000u /* this node executes its commands: it reclaims what has expired, and says so */

/* How long an expired key of a slot that somebody else coordinates is merely hidden: then this copy reclaims it by itself. */
#define LEDGER_EXPIRY_GRACE_MS 60000

/* Only of longer values the changed part alone is told. */
#define LEDGER_PATCH_MIN 1024

enum effect_kind {
    EFFECT_WRITE,  /* the key has a new value, expiry or version: the whole record is to be told */
    EFFECT_PATCH,  /* of a long value a range was written, or only the expiry: see below */
    EFFECT_EXPIRED /* the key was reclaimed, because its time had come */
};

struct effect {
    enum effect_kind kind;
    struct argument
        key; /* placed. The bytes are the command's argument, or stand in ledger->kept (EFFECT_EXPIRED) */
    struct record *
        record; /* the key's record when this was noted: still so if this is the only effect on the list. NULL: it is
                               gone, or has to be looked up (keyspace_find_record) */
    uint64_t
        base_counter; /* EFFECT_PATCH: this node's own counter in the version before; 0: it had none. All else of the
                               version is as it is now */
    uint64_t
        counter; /* EFFECT_PATCH: what the write has stamped. The record may have a later one by now: then the whole of it is to be told */
    uint32_t offset,
        size; /* EFFECT_PATCH: bytes of the value that were written; the rest is as before, or new zeros */
    size_t kept_at; /* EFFECT_EXPIRED: where its key bytes and then its version stand in ledger->kept */
};

/* Below which counters the tombstones of each slot are gone for good: see store/floors.h. */
struct floors {
    uint64_t counters[SLOT_COUNT];
    uint64_t highest;
    struct slot_set dropping; /* slots that may have tombstones at or below their floors */
    uint32_t dropping_count;
    uint32_t drop_slot; /* of these, where the dropping goes on, from drop_hash on */
    uint64_t drop_hash;
    uint64_t dropped; /* tombstones, ever */
};

struct ledger {
    struct mem *mem;
    /* Of each slot. Apart, for a write touches the first two only, which are small enough to stay near. */
    uint64_t digests[SLOT_COUNT];
    uint16_t notes[SLOT_COUNT];
    uint64_t flush_counters[SLOT_COUNT];
    /* All slots whose digest, flush counter or floor is not 0, and maybe others; those of them whose flush counter or floor is not. Most
     * slots of a small cache have none of these, and a sum over many slots looks at nothing else of them. */
    struct slot_set touched, counted;
    uint64_t flushes; /* how often any of them was raised */
    uint32_t tombstones[SLOT_COUNT];
    uint64_t tombstone_count; /* of all slots */
    /* Fold points: what was stamped at or below has every home copy for good (store/content.h). Set from outside; never lowered. */
    uint64_t folds[SLOT_COUNT];
    uint64_t oldest_tombstones[SLOT_COUNT]; /* where there are any: none of them has a lower counter */
    uint64_t oldest_tombstone; /* lowered by each that comes; raised from outside (node/burial.c) */
    /* The highest counter of this node's own actor in what was dropped here as other nodes' (not reclaimed, nor flushed), or above it. */
    uint64_t forgotten[SLOT_COUNT];
    uint64_t
        highest_flush; /* of all flush counters and floors: what is stamped above it is above those of its slot */
    struct floors floors;
    struct effect *effects;
    uint32_t effect_count, effect_capacity;
    struct buffer kept; /* bytes that effects refer to */
    /* An effect found no memory to be noted, or an entry none to be applied: copies may differ now. The reader clears it. */
    bool has_lost;
    /* Slots with a home copy that may have missed something: a key that expires there leaves a *stub*, a tombstone of the very version that has
     * expired, so that no older one comes back. Set from outside. */
    struct slot_set stubs;
    uint64_t highest_counter; /* of any record that came in: a flush at or above it takes whole tables */
    uint32_t
        editing; /* the effect of the last keyspace_edit(), from 1: keyspace_note_range() may narrow it. 0: there is none */
    /* While alone: somebody who has older copies may be met soon. What was loaded of deletions and flushes is kept, and saved. */
    bool awaits_company;
    bool is_walked;     /* digests are complete */
    uint32_t walk_slot; /* else: slots below are, and of this one the hashes below walk_hash */
    uint64_t walk_hash;
    uint32_t
        drop_slot; /* while alone: where the dropping of tombstones goes on; SLOT_COUNT: there are none */
    uint64_t drop_hash;
};

/* Gives a keyspace a ledger (empty keyspace, not alone or alone). false: no memory. Freed with the keyspace. */
bool ledger_attach(struct keyspace *keyspace);
void ledger_free(struct ledger *ledger); /* NULL is allowed. The keyspace calls it */

/* Odd numbers without a pattern: the first digits of the fractions of pi, in base 16. */
#define LEDGER_MIX_VERSION UINT64_C(0x243f6a8885a308d3)
#define LEDGER_MIX_KEY     UINT64_C(0x13198a2e03707345)

/* All bits of the product of two numbers, folded into 64. */
static inline uint64_t ledger_fold(uint64_t one, uint64_t other) {
    unsigned __int128 product = (unsigned __int128)one * other;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t ledger_dot_digest(const struct actors *actors, uint16_t actor, uint64_t counter) {
    uint64_t hash = actors_hash(actors, actor);
    return ledger_fold(counter ^ hash, hash ^ LEDGER_MIX_VERSION);
}

/* The dots that a record with RECORD_VECTOR holds. */
uint64_t ledger_content_digest(const struct actors *actors, const struct record *record);

/* What one record adds to its slot's digest. */
static inline uint64_t ledger_record_digest(struct keyspace *keyspace, uint64_t hash,
                                            const struct record *record) {
    uint64_t content = LIKELY(!(record->flags & RECORD_VECTOR))
                           ? ledger_dot_digest(&keyspace->actors, record->actor, record->counter)
                           : ledger_content_digest(&keyspace->actors, record);
    return ledger_fold(content ^ LEDGER_MIX_KEY, hash ^ LEDGER_MIX_VERSION);
}

/* To be called by whoever changes the digest of a slot; and by whoever raises its flush counter or its floor. */
static inline void ledger_touch(struct ledger *ledger, uint32_t slot) {
    slot_set_add(&ledger->touched, slot);
}
static inline void ledger_count(struct ledger *ledger, uint32_t slot) {
    slot_set_add(&ledger->touched, slot);
    slot_set_add(&ledger->counted, slot);
}

/* Whether nobody has, or may have, older copies of the keys: then nothing is kept of what was deleted. */
static inline bool ledger_is_solitary(const struct keyspace *keyspace) {
    return keyspace->is_alone && (keyspace->ledger == NULL || !keyspace->ledger->awaits_company);
}

static inline bool ledger_keeps_stubs(const struct ledger *ledger, uint32_t slot) {
    return slot_set_has(&ledger->stubs, slot);
}

/* Called by the keyspace when it gets company (is_alone becomes false): digests are to be made. */
void ledger_begin_walk(struct keyspace *keyspace);
/* One bounded step of it; returns the units spent, 0: it is complete. Of a keyspace that is alone, tombstones that are left from
 * before are dropped. */
uint32_t ledger_walk_step(struct keyspace *keyspace, uint32_t budget);
static inline bool ledger_is_known(const struct ledger *ledger, uint32_t slot) {
    return ledger->is_walked || slot < ledger->walk_slot;
}

/* Whether the digest of a slot covers the keys of this hash. */
static inline bool ledger_covers(const struct ledger *ledger, uint32_t slot, uint64_t hash) {
    return LIKELY(ledger->is_walked) || slot < ledger->walk_slot ||
           (slot == ledger->walk_slot && hash < ledger->walk_hash);
}

/* Empties the list of effects. A list that was very long gives its memory back. */
void ledger_shrink_effects(struct ledger *ledger);
#define LEDGER_EFFECTS_KEPT 1024
static inline void ledger_clear_effects(struct ledger *ledger) {
    ledger->effect_count = ledger->editing = 0;
    buffer_clear(&ledger->kept);
    if (UNLIKELY(ledger->effect_capacity > LEDGER_EFFECTS_KEPT))
        ledger_shrink_effects(ledger);
}

/* The version that an EFFECT_EXPIRED reclaimed. */
void ledger_effect_version(const struct ledger *ledger, const struct effect *effect, struct version *version);

/* What digests of several slots are summed from: the slot's digest mixed with its number, its flush counter and its floor. 0 for a slot
 * that is empty, was never flushed and has no floor. */
uint64_t ledger_slot_digest(const struct ledger *ledger, uint32_t slot);

/* ---- For the funnel (keyspace.c, copies.c, walk.c) only: of a shared database ---- */

/* A key has a new record. record may be a tombstone. key->data must last as long as the list. */
void ledger_note_further_write(struct ledger *ledger, const struct argument *key, struct record *record);
static inline void ledger_note_write(struct ledger *ledger, const struct argument *key,
                                     struct record *record) {
    if (UNLIKELY(ledger->effect_count != 0 || ledger->effect_capacity == 0)) {
        ledger_note_further_write(ledger, key, record);
        return;
    }
    ledger->editing = 0;
    ledger->effect_count = 1;
    *ledger->effects =
        (struct effect){.kind = EFFECT_WRITE, .key = *key, .record = record, .counter = record->counter};
}
/* The same after a change of an old value in place or of its copy: base_counter as in struct effect; is_exact: the version differs from the
 * one before in nothing but our own dot. */
void ledger_note_edit(struct ledger *ledger, const struct argument *key, struct record *record,
                      uint64_t base_counter, bool is_exact);
/* The last ledger_note_edit() changed these bytes only (size 0: only the expiry). Several ranges may be named, one by one. */
void ledger_note_range(struct ledger *ledger, uint32_t offset, uint32_t size);
/* A key is about to be reclaimed. Copies the key. */
void ledger_note_expired(struct ledger *ledger, const struct argument *key, const struct record *record);
/* Records that effects point to may go without a note. */
void ledger_forget_records(struct ledger *ledger);
/* Database 0 was emptied as a whole. */
void ledger_note_emptied(struct keyspace *keyspace);
/* Drops all tombstones of database 0 at once. */
void ledger_drop_tombstones(struct keyspace *keyspace);

#endif
