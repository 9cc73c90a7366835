/* dict.h - a hash table of records: 16 bytes while empty, cache-line buckets, every step bounded.
 *
 * A small dict is one array of 64-byte buckets: nine 48-bit pointers, nine one-byte tags, and a count of
 * the records that wanted this bucket and went on to the next. The bucket of a hash is its place in
 * order, (hash * buckets) / 2^64, so the order of hashes survives every change of size: a scan can go on
 * by hash whatever happened meanwhile. Sizes go in quarter steps (5, 6, 7, 8, 10, 12...), which are also the
 * allocator's size classes, and the threshold is staggered by slot, so that equal slots do not grow at once.
 * A dict that outgrows DICT_LEAF_BUCKETS becomes a directory of leaves, addressed by the hash's first
 * bits; from then on a leaf splits alone, so no step touches more than one leaf's records.
 *
 * May touch: base, data/record. Must never know: time, expiry rules, versions.
 * Invariants: tags are never 0 where a record is; a record stands in its home bucket or behind full
 * buckets whose `passed` counts it.
 * Sources: extendible hashing (Fagin et al. 1979); the passed-count of Bronson and Shi's F14 tables.
 * Tests: tests/unit/data/dict_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef DATA_DICT_H
#define DATA_DICT_H

#include "base/hash.h"
#include "base/mem.h"
#include "base/prefetch.h"
#include "data/record.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define DICT_BUCKET_RECORDS  9
#define DICT_LEAF_SIZE_INDEX 27 /* 256 buckets, about 2,000 records: a split stays far below 1 ms */
#define DICT_DEPTH_MAX       24
#define DICT_SIZE_INDEX_MAX  63
#define DICT_LONG_MOVE       256 /* an insert or removal that moves so many records is worth to be measured */

struct dict_bucket {
    uint8_t pointers[DICT_BUCKET_RECORDS * 6];
    uint8_t passed; /* records whose home is here or before and who stand behind; 255 = at least 255 */
    uint8_t tags[DICT_BUCKET_RECORDS];
};
_Static_assert(sizeof(struct dict_bucket) == 64, "a bucket is a cache line");

struct dict {
    /* bits 0-47 the buckets (or the directory); 48-53 size index; 54-58 depth; 59 is a directory; 60-63 stagger */
    uint64_t word;
    uint32_t count; /* records */
    uint32_t
        earliest; /* the owner's: when the first record expires; a leaf's own, and the least of all in the root */
};
_Static_assert(sizeof(struct dict) == 16, "an unused slot costs 16 bytes");

struct dict_directory {
    uint32_t leaves; /* distinct ones */
    uint32_t depth;
    struct dict *leaf[]; /* 2^depth */
};

/* Where a record stands; valid until the next insert or remove. */
struct dict_position {
    struct dict *leaf;
    struct dict_bucket *bucket;
    uint32_t index; /* in the bucket */
    uint32_t bucket_index;
};

#define DICT_POINTER_MASK ((UINT64_C(1) << 48) - 1)
#define DICT_IS_DIRECTORY (UINT64_C(1) << 59)

/* stagger: 0..15, e.g. some bits of the slot number. */
static inline void dict_init(struct dict *dict, unsigned stagger) {
    *dict = (struct dict){.word = (uint64_t)(stagger & 15) << 60, .earliest = UINT32_MAX};
}

static inline struct dict_bucket *dict_buckets(const struct dict *leaf) {
    return (struct dict_bucket *)(uintptr_t)(leaf->word & DICT_POINTER_MASK);
}

static inline uint32_t dict_size_index(const struct dict *leaf) {
    return (uint32_t)(leaf->word >> 48) & 63;
}

static inline unsigned dict_depth(const struct dict *leaf) {
    return (unsigned)(leaf->word >> 54) & 31;
}

static inline uint32_t dict_bucket_count_of(uint32_t size_index) {
    return size_index < 4 ? size_index + 1 : (5 + ((size_index - 4) & 3)) << ((size_index - 4) >> 2);
}

static inline uint8_t dict_tag(uint64_t hash) {
    return (uint8_t)((hash & 0xff) ? hash : 1);
}

/* The leaf that a hash belongs to (the dict itself while it is small). */
static inline struct dict *dict_leaf(struct dict *dict, uint64_t hash) {
    if (LIKELY(!(dict->word & DICT_IS_DIRECTORY)))
        return dict;
    const struct dict_directory *directory =
        (const struct dict_directory *)(uintptr_t)(dict->word & DICT_POINTER_MASK);
    return directory->leaf[hash >> 1 >> (63 - directory->depth)]; /* in two steps: the depth may be 0 */
}

static inline uint32_t dict_home(const struct dict *leaf, uint64_t hash, uint32_t buckets) {
    return (uint32_t)((((hash << dict_depth(leaf)) >> 32) * buckets) >> 32);
}

static inline struct record *dict_bucket_record(const struct dict_bucket *bucket, unsigned index) {
    uint64_t word;
    memcpy(&word, bucket->pointers + (size_t)index * 6, sizeof word);
    return (struct record *)(uintptr_t)(word & DICT_POINTER_MASK);
}

/* Bits 0..8: the places of the bucket whose tag is `tag`. */
static inline unsigned dict_bucket_match(const struct dict_bucket *bucket, uint8_t tag) {
#ifdef __SSE2__
    __m128i bytes = _mm_loadu_si128((const __m128i *)((const char *)bucket + 48));
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8((char)tag))) >> 7;
#else
    unsigned mask = 0;
    for (unsigned i = 0; i < DICT_BUCKET_RECORDS; i++)
        mask |= (unsigned)(bucket->tags[i] == tag) << i;
    return mask;
#endif
}

/* Asks the processor for the bucket of a hash. */
static inline void dict_prefetch_bucket(struct dict *dict, uint64_t hash) {
    struct dict *leaf = dict_leaf(dict, hash);
    size_t home = dict_home(leaf, hash, dict_bucket_count_of(dict_size_index(leaf)));
    /* As numbers: an empty table has no buckets, and nothing may be added to a null pointer. */
    prefetch((const void *)((uintptr_t)dict_buckets(leaf) + home * sizeof(struct dict_bucket)));
}

/* What dict_prefetch_record has done. */
enum dict_prefetched {
    DICT_FETCHED,  /* the record's first lines are asked for, or there is none */
    DICT_DISPLACED /* it may stand in the next bucket, which is asked for */
};

/* Asks for the record that a hash likely means, in its home bucket or `further` buckets behind it. To be called when the
 * bucket has had the time to come. *likely is the record asked for, or NULL. */
static inline enum dict_prefetched dict_prefetch_record(struct dict *dict, uint64_t hash, uint32_t further,
                                                        const struct record **likely) {
    struct dict *leaf = dict_leaf(dict, hash);
    struct dict_bucket *buckets = dict_buckets(leaf);
    *likely = NULL;
    if (UNLIKELY(buckets == NULL))
        return DICT_FETCHED;
    uint32_t bucket_count = dict_bucket_count_of(dict_size_index(leaf));
    uint32_t i = dict_home(leaf, hash, bucket_count) + further;
    const struct dict_bucket *bucket = &buckets[i < bucket_count ? i : 0];
    unsigned mask = dict_bucket_match(bucket, dict_tag(hash));
    if (LIKELY(mask != 0)) {
        *likely = dict_bucket_record(bucket, (unsigned)__builtin_ctz(mask));
        prefetch(*likely);
        prefetch((const char *)*likely + CACHE_LINE_SIZE);
        return DICT_FETCHED;
    }
    if (bucket->passed == 0)
        return DICT_FETCHED;
    prefetch(&buckets[i + 1 < bucket_count ? i + 1 : 0]);
    return DICT_DISPLACED;
}

/* Finds a key; NULL = absent. position (may be NULL) is filled in when found. */
struct record *dict_find(struct dict *dict, uint64_t hash, const uint8_t *key, uint32_t key_size,
                         struct dict_position *position);

/* Puts another record (same key) in the place of the one at position. */
void dict_replace(struct dict_position *position, struct record *record);

/* Adds a record whose key is absent. false: no memory, nothing changed. The dict owns the pointer, not the record's life. */
bool dict_insert(struct dict *dict, struct mem *mem, const struct hash_secret *secret, uint64_t hash,
                 struct record *record);

/* Whether the next insert of this hash, or the removal at this position, moves DICT_LONG_MOVE records or more. */
bool dict_insert_grows(struct dict *dict, uint64_t hash);
bool dict_remove_shrinks(const struct dict *dict, const struct dict_position *position);

static inline bool dict_insert_is_long(struct dict *dict, uint64_t hash) {
    return UNLIKELY(dict_leaf(dict, hash)->count >= DICT_LONG_MOVE) && dict_insert_grows(dict, hash);
}

static inline bool dict_remove_is_long(const struct dict *dict, const struct dict_position *position) {
    return UNLIKELY(dict->count >= DICT_LONG_MOVE) && dict_remove_shrinks(dict, position);
}

/* Takes the record at position out (the caller frees it) and shrinks the leaf where it became sparse. */
void dict_remove(struct dict *dict, struct mem *mem, const struct hash_secret *secret,
                 struct dict_position *position);

/* Visits records in the order of their hashes, from `from` on, until at least `wanted` were visited and a bucket is
 * complete. Returns true and *next when there is more, false at the end. A record that is there during a
 * whole series of calls is visited at least once, whatever is inserted, removed or resized between calls. The visitor must
 * not change the dict. */
typedef void dict_visitor(void *context, struct record *record, uint64_t hash);
bool dict_scan(struct dict *dict, const struct hash_secret *secret, uint64_t from, uint32_t wanted,
               dict_visitor *visit, void *context, uint64_t *next);

/* Visits all records of one leaf, in no order. The visitor must not change the dict. */
void dict_each_of_leaf(struct dict *leaf, void (*visit)(void *context, struct record *record), void *context);

/* The first hash behind the leaf that `hash` belongs to; 0 behind the last leaf. */
static inline uint64_t dict_next_leaf(struct dict *dict, uint64_t hash) {
    unsigned depth = dict_depth(dict_leaf(dict, hash));
    return depth == 0 ? 0 : ((hash >> (64 - depth)) + 1) << (64 - depth);
}

/* A record chosen by the random number, nearly uniformly within the dict; NULL if it is empty. */
struct record *dict_random(struct dict *dict, uint64_t random);

/* Frees up to `budget` records with their leaves; returns the units spent. The dict is empty (and reusable)
 * when dict->count == 0. While emptying, only dict_drain may be called on it. */
uint32_t dict_drain(struct dict *dict, struct mem *mem, uint32_t budget);

/* Bytes of the dict's own structures (not the records). */
size_t dict_overhead_bytes(const struct dict *dict);

#endif
