/* keyspace_inside.h - the inside of the funnel: what keyspace.c (local writes) and copies.c (what other nodes have done) share.
 *
 * May touch: store. Must never know: commands, peers. Nobody but the files of the keyspace includes it.
 * Invariant: whatever puts a record into a table, takes one out or changes its version does so between funnel_account_remove() and
 * funnel_account_add(), or calls funnel_digest_remove() and funnel_digest_add() around it.
 * Tests: tests/unit/store/keyspace_test.c, ledger_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_KEYSPACE_INSIDE_H
#define STORE_KEYSPACE_INSIDE_H

#include "store/image.h"
#include "store/keyspace.h"
#include "store/ledger.h"
#include "store/watch.h"

/* The ledger, if this database is shared; NULL: nobody else has copies of it. */
static inline struct ledger *funnel_shared(const struct keyspace *keyspace, const struct database *database) {
    if (LIKELY(keyspace->is_alone || keyspace->ledger == NULL) || database != keyspace->databases[0])
        return NULL;
    return keyspace->ledger;
}

static inline bool funnel_is_expired(const struct keyspace *keyspace, const struct record *record) {
    return UNLIKELY(record->flags & RECORD_EXPIRY) && keyspace->now_ms > record_expiry_ms(record);
}

static inline bool funnel_is_tombstone(const struct record *record) {
    return record_type(record) == RECORD_TOMBSTONE;
}

/* The database, made on its first write; NULL: no memory. */
struct database *funnel_make_database(struct keyspace *keyspace, uint32_t index);
static inline struct database *funnel_database(struct keyspace *keyspace, uint32_t index) {
    struct database *database = keyspace->databases[index];
    return LIKELY(database != NULL) ? database : funnel_make_database(keyspace, index);
}

/* Finds whatever stands under a key: live, expired or tombstone. */
static inline struct record *funnel_find(struct keyspace *keyspace, uint32_t database, struct argument *key,
                                         struct dict_position *position) {
    keyspace_place(keyspace, key);
    struct database *of = keyspace->databases[database];
    if (UNLIKELY(of == NULL))
        return NULL;
    return dict_find(&of->slots[key->slot], key->hash, key->data, key->size, position);
}

/* ---- Accounts ---- */

/* For a shared database only. */
void funnel_digest_add(struct keyspace *keyspace, const struct argument *key, const struct record *record);
void funnel_digest_remove(struct keyspace *keyspace, const struct argument *key, const struct record *record);
void funnel_count_tombstone(struct keyspace *keyspace, const struct database *database, uint32_t slot,
                            int difference, uint64_t counter);

/* A record is in its table now; is about to leave it. */
static inline void funnel_account_add(struct keyspace *keyspace, struct database *database,
                                      const struct argument *key, const struct record *record) {
    if (UNLIKELY(funnel_shared(keyspace, database) != NULL))
        funnel_digest_add(keyspace, key, record);
    if (UNLIKELY(funnel_is_tombstone(record))) {
        funnel_count_tombstone(keyspace, database, key->slot, 1, record->counter);
        return;
    }
    database->keys++;
    if (record->flags & RECORD_EXPIRY) {
        database->expiring++;
        database->expiry_sum_ms += (double)record_expiry_ms(record);
    }
}

static inline void funnel_account_remove(struct keyspace *keyspace, struct database *database,
                                         const struct argument *key, const struct record *record) {
    if (UNLIKELY(funnel_shared(keyspace, database) != NULL))
        funnel_digest_remove(keyspace, key, record);
    if (UNLIKELY(funnel_is_tombstone(record))) {
        funnel_count_tombstone(keyspace, database, key->slot, -1, record->counter);
        return;
    }
    database->keys--;
    if (record->flags & RECORD_EXPIRY) {
        database->expiring--;
        database->expiry_sum_ms =
            database->expiring == 0 ? 0 : database->expiry_sum_ms - (double)record_expiry_ms(record);
    }
}

/* Lets the slot know when the record expires. */
void funnel_note_expiry(struct database *database, const struct argument *key, const struct record *record);

/* A write over a key whose time has come is also the end of that key. */
static inline void funnel_note_overwritten(struct keyspace *keyspace, const struct record *old) {
    if (UNLIKELY(old != NULL && funnel_is_expired(keyspace, old)))
        keyspace->counters.expired++;
}

/* Counts a change, and tells the watchers. */
static inline void funnel_touch(struct keyspace *keyspace, uint32_t database, const struct argument *key) {
    keyspace->counters.changes++;
    watch_touch(keyspace->watch, database, key);
}

/* This node's own counter in a record's version; 0: there is none. */
uint64_t funnel_own_counter(const struct keyspace *keyspace, const struct record *record);

/* ---- Tables ---- */

/* Takes a record out of its slot: dict_remove(), measured where it takes long. */
void funnel_take(struct keyspace *keyspace, struct dict *slot, struct dict_position *position);

/* A record that has left its table. */
static inline void funnel_dispose(struct keyspace *keyspace, const struct database *database,
                                  const struct argument *key, struct record *record) {
    if (UNLIKELY(keyspace->image != NULL))
        image_dispose(keyspace->image, database, key->slot, key->hash, record);
    else
        record_free(keyspace->mem, record);
}

/* Puts a finished record in the place of `old` (or, NULL, adds it); frees old. false: no memory, nothing changed. */
bool funnel_install(struct keyspace *keyspace, struct database *database, const struct argument *key,
                    struct record *old, struct dict_position *position, struct record *fresh);

/* Takes a record out and frees it, accounts and all; nobody is told. The key may be the record's own. */
static inline void funnel_drop(struct keyspace *keyspace, struct database *database,
                               const struct argument *key, struct dict_position *position,
                               struct record *record) {
    funnel_account_remove(keyspace, database, key, record);
    funnel_take(keyspace, &database->slots[key->slot], position);
    funnel_dispose(keyspace, database, key, record);
}

/* Drops all records of a slot of database 0 that the judge condemns. At most `limit` records are looked at, or a few more (0: all of the
 * slot), from hash *from on, which is moved on to where to go on (0: the slot is done). Returns the number looked at. */
typedef bool funnel_judge(void *context, const struct record *record);
uint32_t funnel_drop_judged(struct keyspace *keyspace, uint32_t slot, uint64_t *from, uint32_t limit,
                            funnel_judge *judge, void *context);

/* Whether an image stands in the way of a change in place. To be asked when nothing else speaks against it. */
static inline bool funnel_image_allows(const struct keyspace *keyspace, const struct database *database,
                                       const struct argument *key, const struct record *record) {
    return LIKELY(keyspace->image == NULL) ||
           !image_forbids_change(keyspace->image, database, key->slot, key->hash, record);
}

#endif
