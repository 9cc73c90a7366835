/* company.h - nodes that hold copies of the same slots, as far as the store knows of them: keyspaces with ledgers, and the way of
 * effects from one to another.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef UNIT_STORE_COMPANY_H
#define UNIT_STORE_COMPANY_H

#include "base/rng.h"
#include "store/image.h"
#include "store/ledger.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define NOW_MS INT64_C(1790000000000)

struct copy {
    struct mem mem;
    struct keyspace *keyspace;
    uint8_t *state; /* the merge state of what was translated for it last */
};

/* A shared keyspace of node `number`, which coordinates all slots. Other actors are known before it by numbers of their own. */
void copy_open(struct copy *copy, uint8_t number);
/* Frees it, and looks for leaks. */
void copy_close(struct copy *copy);

struct argument key_of(const char *text);
bool copy_put(struct copy *copy, const char *key, const char *value, int64_t expiry_ms);
/* A string of `size` bytes that depend on `fill`. */
bool copy_put_long(struct copy *copy, const char *key, uint32_t size, uint8_t fill);
bool copy_delete(struct copy *copy, const char *key);
/* INCRBY and INCRBYFLOAT; false: no memory. The key is absent or holds a number. */
bool copy_add(struct copy *copy, const char *key, int64_t by);
bool copy_add_real(struct copy *copy, const char *key, long double by);
/* PEXPIREAT. The key is there. */
bool copy_expire(struct copy *copy, const char *key, int64_t expiry_ms);
struct record *copy_get(struct copy *copy, const char *key);
struct record *copy_find(struct copy *copy, const char *key); /* also what is hidden */
void copy_holds(struct copy *copy, const char *key, const char *value);

/* Everything that is counted is counted anew, and compared. */
void copy_check(struct copy *copy);

/* Takes the list of effects of `from` to the others and empties it. */
void tell(struct copy *from, struct copy *const *others, unsigned count);
/* What a record of one copy looks like to another: until the next is translated for it. */
void translate(struct copy *from, struct copy *to, struct record_parts *parts,
               struct dot others[VERSION_DOTS_MAX]);
/* One record from one to the other, as a fetch would bring it. Returns whether that has changed anything there. */
bool fetch(struct copy *from, struct copy *to, struct argument *key);
bool bring(struct copy *from, struct copy *to, const char *name);

/* Whether two copies have the same keys with the same values, versions and merge states, and the same digests. */
void copies_agree(struct copy *one, struct copy *other);
/* All tell each other these keys, twice, and agree afterwards. Their effects are forgotten. */
void copies_meet(struct copy *const *copies, unsigned count, char names[][16], unsigned name_count);

#endif
