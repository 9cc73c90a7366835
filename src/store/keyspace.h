/* keyspace.h - all keys of one node: databases of 16384 slot tables, and the one funnel for every change.
 *
 * Whatever changes a key goes through keyspace_put, keyspace_edit, keyspace_set_expiry, keyspace_remove or
 * keyspace_merge: there the version is stamped, watchers are told, counters are kept. An expired key is
 * hidden from every look-up and reclaimed on the way.
 * Where other nodes hold copies (a ledger, and not is_alone), database 0 is *shared*: a deleted key leaves a tombstone, changes
 * are noted in the ledger for them, and expired keys are reclaimed on the way only in slots that this node coordinates.
 * May touch: base, data, proto. Must never know: commands, clients, peers, clocks (now_ms is set from outside).
 * Invariants: keys/expiring of a database equal what its slots hold; every stamped counter is greater than
 * all this node stamped before and than the one the key had.
 * A write descends from the version that it replaces, with one exception: over a version of VERSION_DOTS_MAX other actors
 * it forgets one of their dots: one that the record does not hold, else one of an earlier start of this node, else any; the lowest of
 * these. What the record held under it becomes the write's own (merge_state_cover). The two then compare as concurrent, and the
 * write wins by its counter wherever they meet: no write is lost, but who keeps concurrent values would see one that was overwritten.
 * Tests: tests/unit/store/keyspace_test.c, expire_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_KEYSPACE_H
#define STORE_KEYSPACE_H

#include "base/argument.h"
#include "base/crc16.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/dict.h"
#include "data/merge_state.h"
#include "data/record.h"
#include "store/actors.h"
#include "store/slot_set.h"

/* A peer's clock further ahead than this does not pull ours along; and further than that nobody's clock is: such a record is
 * taken for damage. */
#define CLOCK_DRIFT_MAX_MS  500
#define CLOCK_FUTURE_MAX_MS (24 * 3600 * INT64_C(1000))

struct watch_registry;
struct reclaim;
struct image;
struct ledger;

#define EXPIRE_GROUP 128 /* slots */

struct database {
    uint64_t keys;        /* records that are not tombstones; expired ones count until reclaimed */
    uint64_t expiring;    /* of them, with an expiry */
    double expiry_sum_ms; /* of the expiring ones: gives the average TTL */
    /* No slot of a group has an `earliest` below this, so that the active expiry can pass over groups. */
    uint32_t group_earliest[SLOT_COUNT / EXPIRE_GROUP];
    struct dict slots[SLOT_COUNT];
};

struct keyspace_counters {
    uint64_t hits, misses; /* of LOOKUP_READ */
    uint64_t expired;      /* keys reclaimed because their time had come */
    uint64_t changes;      /* since the start: what Redis counts as `dirty` */
    /* Of what came in through keyspace_merge() and keyspace_apply_patch(): */
    uint64_t merge_conflicts; /* met a concurrent version */
    uint64_t
        far_ahead; /* their clock is further ahead than CLOCK_DRIFT_MAX_MS: taken, but ours does not follow */
    uint64_t refused_future; /* their clock is impossibly far ahead (CLOCK_FUTURE_MAX_MS): refused */
};

/* Measures the long moves of tables that commands bring about. Tables of other sizes move in a few microseconds. */
struct move_observer {
    void *context;
    void (*begins)(void *context);
    void (*ends)(void *context);
};

struct keyspace {
    struct mem *mem;
    struct hash_secret secret;
    int64_t now_ms; /* wall clock, set once per turn */
    uint32_t now_s;
    uint16_t actor;        /* this node's own, interned: ACTOR_SELF */
    bool is_alone;         /* no other copy of any key exists: a write needs no memory of those before it */
    uint64_t counter;      /* HLC: the last stamp given */
    bool expiry_is_paused; /* CLIENT PAUSE: expired keys are hidden, not reclaimed */
    bool is_silent; /* the change at hand is none to watchers and counters (BITFIELD that only makes room) */
    uint32_t
        value_size_max; /* proto-max-bulk-len, VALUE_SIZE_MAX at most: what APPEND and the like may make */
    /* Records with writes of `actor` were dropped here while others keep them (ledger->forgotten): see keyspace_has_forgotten(). */
    bool has_dropped_own;
    bool access_is_frozen; /* CLIENT NO-TOUCH: look-ups leave the access times */
    /* Which keys keep the losers of concurrent writes as siblings (conflict-keep): set from outside. NULL: none. */
    bool (*keeps_siblings)(const void *context, const uint8_t *key, uint32_t key_size);
    const void *keeps_siblings_context;
    int64_t latest_ms;    /* the latest that now_ms ever was: clocks are set back, too */
    uint64_t actor_since; /* earlier starts of this node have stamped nothing above it; 0: not known yet */
    struct keyspace_counters counters;
    struct move_observer observer; /* of long moves; begins = NULL: nobody */
    struct rng random;
    struct watch_registry *watch;
    struct actors actors;
    struct image *image;                        /* that is being taken; NULL: none */
    struct ledger *ledger;                      /* store/ledger.h; NULL: nobody else ever holds copies */
    struct reclaim *reclaim;                    /* databases that are being emptied in the background */
    uint32_t expire_database, expire_slot;      /* where the active expiry goes on */
    uint64_t expire_hash;                       /* and, in a slot of several leaves, with which */
    struct database *databases[DATABASE_COUNT]; /* NULL until first written */
};

/* seed: HASH_SEED_SIZE random bytes (the table's hash), random: seeds RANDOMKEY and the like. NULL: no memory. */
struct keyspace *keyspace_new(struct mem *mem, const uint8_t seed[HASH_SEED_SIZE], uint64_t random);
void keyspace_free(struct keyspace *keyspace);

/* Sets the time for what follows. Wall-clock milliseconds since 1970. */
void keyspace_set_time(struct keyspace *keyspace, int64_t now_ms);

/* Computes slot and hash of a key once. */
static inline void keyspace_place(const struct keyspace *keyspace, struct argument *key) {
    if (key->slot == ARGUMENT_NOT_PLACED) {
        key->slot = crc16_key_slot(key->data, key->size);
        key->hash = hash_bytes(&keyspace->secret, key->data, key->size);
    }
}

/* A key that was looked up. The position is valid until the next change of the keyspace (a look-up that reclaims an
 * expired key is one), the record until its own key changes. */
struct entry {
    struct record *record; /* NULL: absent */
    struct dict_position position;
};

enum lookup_mode {
    LOOKUP_READ = 1,  /* counts hit or miss, marks the access */
    LOOKUP_WRITE = 2, /* marks the access */
    LOOKUP_COUNT = 3, /* counts hit or miss, leaves the access time (EXISTS, TYPE, TTL, OBJECT) */
    LOOKUP_PEEK = 0   /* leaves no trace */
};

/* Finds a live key: not expired, no tombstone. Returns entry->record. An expired key is reclaimed, unless paused or, in a shared
 * database, coordinated by another node. */
struct record *keyspace_lookup(struct keyspace *keyspace, uint32_t database, struct argument *key,
                               enum lookup_mode mode, struct entry *entry);

/* Expiry arguments besides a time in ms. */
#define EXPIRY_NONE RECORD_NO_EXPIRY
#define EXPIRY_KEEP (INT64_MIN + 1)

struct value {
    const uint8_t *data;
    uint32_t size;
    int64_t expiry_ms; /* absolute, or EXPIRY_NONE, or EXPIRY_KEEP (what the live key has) */
    uint8_t type;      /* enum record_type */
    uint8_t encoding;  /* enum record_encoding */
};

/* Creates the key or replaces its value. value->data may point anywhere, also into a record.
 * false: no memory, nothing changed. Adds 1 to changes. An expiry in the past is stored as it is. */
bool keyspace_put(struct keyspace *keyspace, uint32_t database, struct argument *key,
                  const struct value *value);

/* Puts `pairs` strings, all or none: keys_and_values has key, value, key, value...; no expiry, encoding natural. Of a key
 * that comes twice the last value stays. false: no memory, nothing changed. Adds `pairs` to changes. */
bool keyspace_put_many(struct keyspace *keyspace, uint32_t database, struct argument *keys_and_values,
                       uint32_t pairs);

/* Makes the existing string at entry `size` bytes long (<= VALUE_SIZE_MAX): the first bytes stay, new ones are 0. Returns the
 * value's bytes for the caller to change at once, NULL: no memory, nothing changed. Keeps the expiry, updates entry,
 * sets the encoding, adds 1 to changes. */
uint8_t *keyspace_edit(struct keyspace *keyspace, uint32_t database, struct argument *key,
                       struct entry *entry, uint32_t size, enum record_encoding encoding);

/* As keyspace_edit for an absent key: a new string of `size` zero bytes. */
uint8_t *keyspace_create(struct keyspace *keyspace, uint32_t database, struct argument *key, uint32_t size,
                         enum record_encoding encoding);

/* INCR and its relatives: the string at entry (entry->record NULL: an absent key) becomes `digits`, which is what it was plus the
 * amount. Keeps the expiry, updates entry, adds 1 to changes. In a shared database the record becomes a counter, whose parts merge
 * with those of concurrent versions (data/merge_state.h). false: no memory, nothing changed. */
bool keyspace_add(struct keyspace *keyspace, uint32_t database, struct argument *key, struct entry *entry,
                  const struct amount *amount, const uint8_t *digits, uint32_t size,
                  enum record_encoding encoding);

/* Sets or (EXPIRY_NONE) clears the expiry; false: no memory, nothing changed. Updates entry, adds 1 to changes. */
bool keyspace_set_expiry(struct keyspace *keyspace, uint32_t database, struct argument *key,
                         struct entry *entry, int64_t expiry_ms);

/* Changes only how the string at entry is described (record_set_encoding). It is no change for watchers and counters; while an
 * image is taken the record gets a new stamp, as the image knows later states by it. */
void keyspace_describe(struct keyspace *keyspace, uint32_t database, struct argument *key,
                       struct entry *entry, enum record_encoding encoding);

enum remove_reason { REMOVE_DELETED, REMOVE_EXPIRED, REMOVE_MOVED };

/* Takes a key out; entry->record is NULL afterwards. REMOVE_DELETED adds 1 to changes;
 * REMOVE_MOVED does not, for the put at the new place has counted. In a shared database both leave a tombstone. Never fails. */
void keyspace_remove(struct keyspace *keyspace, uint32_t database, struct argument *key, struct entry *entry,
                     enum remove_reason reason);

/* Tells what of the value was written since keyspace_edit() (which takes it for all of it): for the effects, see
 * store/ledger.h. To be called right after the bytes were changed, if only a part was. */
void keyspace_note_range(struct keyspace *keyspace, uint32_t offset, uint32_t size);

/* false: others begin to hold copies of this keyspace's slots. From then on a deleted key leaves a tombstone, versions keep
 * all their dots, effects are noted and digests are kept (made by ledger_walk_step). true: there is nobody any more; tombstones go
 * in the steps of ledger_walk_step. Needs a ledger. */
void keyspace_set_alone(struct keyspace *keyspace, bool is_alone);

/* Whether a counter is none of an impossible future. A clock that was set back says nothing about those of others. */
static inline bool keyspace_is_possible(const struct keyspace *keyspace, uint64_t counter) {
    return counter <= ((uint64_t)keyspace->latest_ms + CLOCK_FUTURE_MAX_MS) << 16;
}

/* Whether others are expected who may have older copies (see ledger->awaits_company). Without meaning in company. When nobody has come,
 * floors go, and tombstones in the steps of ledger_walk_step. Needs a ledger. */
void keyspace_set_awaiting(struct keyspace *keyspace, bool awaits_company);

/* Drops of all slots in the set what is not newer than `counter`, and remembers the counter as their flush counter where it is
 * higher. What comes in later with lower counters is dropped at the door. Returns the number of keys that are gone (which is added to
 * changes); their memory is given back in steps. Watchers are told. Effects that were noted before lose their records. A counter
 * that is impossibly far ahead is refused (counted; 0). Database 0; needs a ledger. */
uint64_t keyspace_flush_slots(struct keyspace *keyspace, const struct slot_set *slots, uint64_t counter);

/* The same for all that is there, by this node's own word: under a new stamp (keyspace->counter then), whatever clock says what. */
uint64_t keyspace_flush_own(struct keyspace *keyspace, const struct slot_set *slots);

/* Drops all records of the slots, tombstones too, as if they had never been here: this node holds them no longer. No effects, no flush
 * counters, and no change to watchers but that the keys are gone. Returns how many records there were. */
uint64_t keyspace_drop_slots(struct keyspace *keyspace, const struct slot_set *slots);

/* Drops one record, whatever it is, in the same way: the node that holds it has it. */
void keyspace_drop_copy(struct keyspace *keyspace, struct argument *key);

/* Whether this node may have made writes of a key, under its present actor, that its record does not know: they were dropped here with
 * another copy of it, which somebody else keeps. A new write under the same actor would claim to have seen them, and do away with what
 * they have counted: before it, the owner of the keyspace gives it an actor that has written nothing yet. Key placed or not; database 0. */
bool keyspace_has_forgotten(struct keyspace *keyspace, struct argument *key);
void keyspace_set_actor(struct keyspace *keyspace, uint16_t actor);

/* A stamp for something that is no write of a key (a flush): greater than all that this node has given or seen. */
uint64_t keyspace_stamp(struct keyspace *keyspace);

/* The other doors for what other copies have done (database 0). A patch: the value's range was written. Applied only if the key's
 * version equals `base`; PATCH_STALE if ours equals or descends from `version` already, or if it is refused as keyspace_merge
 * refuses; else, and if its numbers contradict each other, PATCH_UNFIT: the record has to be fetched. PATCH_NO_MEMORY: nothing changed. */
enum keyspace_patch { PATCH_APPLIED, PATCH_STALE, PATCH_UNFIT, PATCH_NO_MEMORY };
struct keyspace_patch_parts {
    struct version base, version;
    uint32_t value_size, offset, size;
    const uint8_t *bytes;
    int64_t expiry_ms;
    uint8_t encoding;
};
enum keyspace_patch keyspace_apply_patch(struct keyspace *keyspace, struct argument *key,
                                         const struct keyspace_patch_parts *patch);
/* The coordinator has reclaimed a key of this version: so does this copy, unless its own is newer or concurrent. Returns whether
 * it had one to reclaim. */
bool keyspace_apply_expired(struct keyspace *keyspace, struct argument *key, const struct version *version);

/* The record of a key, whatever it is: also a tombstone, or one whose time has come. NULL: none. Leaves no trace. Database 0. */
struct record *keyspace_find_record(struct keyspace *keyspace, struct argument *key);

/* Live keys of one slot of database 0 (expired ones count until reclaimed). */
uint64_t keyspace_slot_size(const struct keyspace *keyspace, uint32_t slot);

/* The door for a record that was not written here: merges it by data/record.h's rule; where concurrent versions have the same
 * highest counter, the identities of the actors decide, for their numbers are another node's otherwise. What is not newer than its
 * slot's flush, or comes from an impossible clock, is dropped: *changed is false. Of a tombstone at or below its slot's floor nothing is
 * kept, but what it covers goes.
 * Returns false: no memory, nothing changed. *changed tells whether ours is different now. theirs->value must not point into a record. */
bool keyspace_merge(struct keyspace *keyspace, uint32_t database, struct argument *key,
                    const struct record_parts *theirs, bool *changed);

enum keyspace_load {
    LOAD_ADDED,
    LOAD_PRESENT,  /* the key is there already: nothing changed */
    LOAD_NO_MEMORY /* nothing changed */
};

/* The door for a record of a checkpoint, while nobody else writes. It counts as no change, and nobody watches. What is not newer
 * than its slot's flush counts as added, and is dropped; so does a tombstone at or below its slot's floor. */
enum keyspace_load keyspace_load(struct keyspace *keyspace, uint32_t database, struct argument *key,
                                 const struct record_parts *parts);

/* Number of keys of a database, as DBSIZE says it. */
uint64_t keyspace_size(const struct keyspace *keyspace, uint32_t database);

/* Empties a database (all: every one). The keys are gone at once, their memory is given back in steps by reclaim.
 * Adds the number of keys to changes, and returns it. false in *done: no memory for the hand-over, then it is emptied at once. */
uint64_t keyspace_flush(struct keyspace *keyspace, uint32_t database);

/* Has a database that is no longer one of the keyspace's emptied and freed: soon, or at once where there is no memory to queue it. */
void keyspace_discard(struct keyspace *keyspace, struct database *database);

/* Exchanges two databases. Watchers of keys in either are told. */
void keyspace_swap(struct keyspace *keyspace, uint32_t first, uint32_t second);

/* Scans a database from a cursor on, in slot order; 0 starts, and a result of 0 ends. Cursors are below 2^53; one that is
 * none of ours ends. Visits live records; looks at about `wanted` records (expired ones are looked at, not visited), or at
 * all that there are. Guarantee: a key that is there from start to end is visited. */
typedef void keyspace_visitor(void *context, struct record *record);
uint64_t keyspace_scan(struct keyspace *keyspace, uint32_t database, uint64_t cursor, uint32_t wanted,
                       keyspace_visitor *visit, void *context);

/* The same over some slots of database 0 only. */
uint64_t keyspace_scan_slots(struct keyspace *keyspace, const struct slot_set *slots, uint64_t cursor,
                             uint32_t wanted, keyspace_visitor *visit, void *context);

/* The cursor with which a scan visits this key next: for merging the scans of several nodes in order. */
uint64_t keyspace_scan_place(const struct keyspace *keyspace, struct argument *key);

/* A live key chosen at random, NULL if there is none. */
struct record *keyspace_random(struct keyspace *keyspace, uint32_t database);

/* The same over some slots of database 0 only. */
struct record *keyspace_random_of_slots(struct keyspace *keyspace, const struct slot_set *slots);

/* Background jobs. Each step spends at most `budget` units (see base/limits.h) and returns those spent; 0: nothing to do now. */
uint32_t keyspace_expire_step(struct keyspace *keyspace, uint32_t budget);
uint32_t keyspace_reclaim_step(struct keyspace *keyspace, uint32_t budget);
/* Keys whose memory is still to be given back (INFO lazyfree_pending_objects), and the total so far. */
uint64_t keyspace_reclaim_pending(const struct keyspace *keyspace);
uint64_t keyspace_reclaimed(const struct keyspace *keyspace);

#endif
