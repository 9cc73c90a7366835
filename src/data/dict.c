/* dict.c - buckets, growth in quarter steps, and the split of large dicts into leaves.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "data/dict.h"

#define PASSED_SATURATED 255

static inline struct dict_directory *directory_of(const struct dict *dict) {
    return (struct dict_directory *)(uintptr_t)(dict->word & DICT_POINTER_MASK);
}

static inline bool is_directory(const struct dict *dict) {
    return (dict->word & DICT_IS_DIRECTORY) != 0;
}

static inline void set_buckets(struct dict *leaf, struct dict_bucket *buckets, uint32_t size_index) {
    uint64_t keep = leaf->word & ~(DICT_POINTER_MASK | UINT64_C(63) << 48);
    leaf->word = keep | (uint64_t)(uintptr_t)buckets | (uint64_t)size_index << 48;
}

static inline void set_depth(struct dict *leaf, unsigned depth) {
    leaf->word = (leaf->word & ~(UINT64_C(31) << 54)) | (uint64_t)depth << 54;
}

static inline void bucket_set(struct dict_bucket *bucket, unsigned index, const struct record *record,
                              uint8_t tag) {
    uint64_t word = (uint64_t)(uintptr_t)record;
    memcpy(bucket->pointers + (size_t)index * 6, &word, 6);
    bucket->tags[index] = tag;
}

static inline size_t buckets_bytes(uint32_t size_index) {
    return (size_t)dict_bucket_count_of(size_index) * sizeof(struct dict_bucket);
}

/* Records above which a leaf of this size grows: 82 % to 90 % of its places, by stagger. One bucket is filled whole. */
static uint32_t threshold(const struct dict *leaf, uint32_t size_index) {
    uint32_t places = dict_bucket_count_of(size_index) * DICT_BUCKET_RECORDS;
    if (size_index == 0)
        return places;
    uint32_t stagger = (uint32_t)(leaf->word >> 60);
    return (uint32_t)((uint64_t)places * (420 + stagger * 3) / 512);
}

static uint32_t size_index_for(const struct dict *leaf, uint32_t count) {
    uint32_t index = 0;
    while (index < DICT_SIZE_INDEX_MAX && threshold(leaf, index) < count)
        index++;
    return index;
}

/* Puts a record into buckets that have room for it. */
static void place(struct dict_bucket *buckets, uint32_t bucket_count, uint32_t home, struct record *record,
                  uint8_t tag) {
    for (uint32_t i = home;;) {
        struct dict_bucket *bucket = &buckets[i];
        unsigned free_places = dict_bucket_match(bucket, 0);
        if (LIKELY(free_places != 0)) {
            bucket_set(bucket, (unsigned)__builtin_ctz(free_places), record, tag);
            return;
        }
        if (bucket->passed != PASSED_SATURATED)
            bucket->passed++;
        if (++i == bucket_count)
            i = 0;
    }
}

struct record *dict_find(struct dict *dict, uint64_t hash, const uint8_t *key, uint32_t key_size,
                         struct dict_position *position) {
    struct dict *leaf = dict_leaf(dict, hash);
    struct dict_bucket *buckets = dict_buckets(leaf);
    if (UNLIKELY(buckets == NULL))
        return NULL;
    uint32_t bucket_count = dict_bucket_count_of(dict_size_index(leaf));
    uint32_t i = dict_home(leaf, hash, bucket_count);
    uint8_t tag = dict_tag(hash);
    for (uint32_t looked_at = 0; looked_at < bucket_count; looked_at++) {
        struct dict_bucket *bucket = &buckets[i];
        for (unsigned mask = dict_bucket_match(bucket, tag); mask != 0; mask &= mask - 1) {
            unsigned index = (unsigned)__builtin_ctz(mask);
            struct record *record = dict_bucket_record(bucket, index);
            if (LIKELY(record_key_is(record, key, key_size))) {
                if (position != NULL)
                    *position = (struct dict_position){leaf, bucket, index, i};
                return record;
            }
        }
        if (LIKELY(bucket->passed == 0))
            return NULL;
        if (++i == bucket_count)
            i = 0;
    }
    return NULL;
}

void dict_replace(struct dict_position *position, struct record *record) {
    bucket_set(position->bucket, position->index, record, position->bucket->tags[position->index]);
}

/* Asks for the records of a bucket that is worked on soon. */
static inline void prefetch_records(const struct dict_bucket *buckets, uint32_t bucket_count, uint32_t i) {
    if (i >= bucket_count)
        return;
    for (unsigned p = 0; p < DICT_BUCKET_RECORDS; p++)
        prefetch(dict_bucket_record(&buckets[i], p));
}

static inline uint64_t hash_of(const struct hash_secret *secret, const struct record *record) {
    return hash_bytes(secret, record_key(record), record_key_size(record));
}

/* Moves all records of `from` whose hash has bit `bit` (1 << 63 is the first) equal to `wanted`, or all if bit is 0, into `into`. */
static void move_records(const struct dict_bucket *from, uint32_t from_count,
                         const struct hash_secret *secret, struct dict *low, struct dict *high,
                         uint64_t bit) {
    struct dict_bucket *low_buckets = dict_buckets(low), *high_buckets = high ? dict_buckets(high) : NULL;
    uint32_t low_count = dict_bucket_count_of(dict_size_index(low));
    uint32_t high_count = high ? dict_bucket_count_of(dict_size_index(high)) : 0;
    /* Tables are small: without this, most of a move would be the wait for the records of the first two buckets. */
    prefetch_records(from, from_count, 0);
    prefetch_records(from, from_count, 1);
    for (uint32_t i = 0; i < from_count; i++) {
        prefetch_records(from, from_count, i + 2);
        for (unsigned p = 0; p < DICT_BUCKET_RECORDS; p++) {
            if (from[i].tags[p] == 0)
                continue;
            struct record *record = dict_bucket_record(&from[i], p);
            uint64_t hash = hash_of(secret, record);
            if (hash & bit) {
                place(high_buckets, high_count, dict_home(high, hash, high_count), record, dict_tag(hash));
                high->count++;
            } else {
                place(low_buckets, low_count, dict_home(low, hash, low_count), record, dict_tag(hash));
                low->count++;
            }
        }
    }
}

static bool leaf_resize(struct dict *leaf, struct mem *mem, const struct hash_secret *secret,
                        uint32_t size_index) {
    struct dict_bucket *old = dict_buckets(leaf);
    uint32_t old_index = dict_size_index(leaf);
    struct dict_bucket *fresh = mem_alloc_zeroed(mem, buckets_bytes(size_index));
    if (fresh == NULL)
        return false;
    set_buckets(leaf, fresh, size_index);
    if (old != NULL) {
        leaf->count = 0;
        move_records(old, dict_bucket_count_of(old_index), secret, leaf, NULL, 0);
        mem_free(mem, old, buckets_bytes(old_index));
    }
    return true;
}

/* Turns a small dict into a directory whose only leaf holds its buckets. */
static bool become_directory(struct dict *dict, struct mem *mem) {
    struct dict_directory *directory = mem_alloc(mem, sizeof *directory + sizeof(struct dict *));
    struct dict *leaf = mem_alloc(mem, sizeof *leaf);
    if (directory == NULL || leaf == NULL) {
        if (directory != NULL)
            mem_free(mem, directory, sizeof *directory + sizeof(struct dict *));
        if (leaf != NULL)
            mem_free(mem, leaf, sizeof *leaf);
        return false;
    }
    *leaf = *dict;
    *directory = (struct dict_directory){.leaves = 1, .depth = 0};
    directory->leaf[0] = leaf;
    dict->word = (dict->word & UINT64_C(15) << 60) | DICT_IS_DIRECTORY | (uint64_t)(uintptr_t)directory;
    return true;
}

static size_t directory_bytes(unsigned depth) {
    return sizeof(struct dict_directory) + (sizeof(struct dict *) << depth);
}

/* Where a hash goes; a directory of depth 0 has one leaf. */
static inline size_t directory_index(const struct dict_directory *directory, uint64_t hash) {
    return hash >> 1 >> (63 - directory->depth);
}

static bool directory_double(struct dict *dict, struct mem *mem) {
    struct dict_directory *old = directory_of(dict);
    struct dict_directory *fresh = mem_alloc(mem, directory_bytes(old->depth + 1));
    if (fresh == NULL)
        return false;
    *fresh = (struct dict_directory){.leaves = old->leaves, .depth = old->depth + 1};
    for (size_t i = 0; i < (size_t)1 << old->depth; i++)
        fresh->leaf[2 * i] = fresh->leaf[2 * i + 1] = old->leaf[i];
    dict->word = (dict->word & ~DICT_POINTER_MASK) | (uint64_t)(uintptr_t)fresh;
    mem_free(mem, old, directory_bytes(old->depth));
    return true;
}

/* Records that stand in buckets first..end-1; their tags tell, the records are not touched. */
static uint32_t records_in(const struct dict_bucket *buckets, uint32_t first, uint32_t end) {
    uint32_t count = 0;
    for (uint32_t i = first; i < end; i++)
        count += DICT_BUCKET_RECORDS - (uint32_t)__builtin_popcount(dict_bucket_match(&buckets[i], 0));
    return count;
}

/* Records that stand at or behind `boundary` though their home is before it, at most. */
static uint32_t passed_on(const struct dict_bucket *buckets, uint32_t boundary, uint32_t all) {
    uint8_t passed = buckets[boundary - 1].passed;
    return passed == PASSED_SATURATED ? all : passed;
}

/* Splits the leaf of a hash by its next bit; false: no memory, nothing changed (the directory may have doubled). */
static bool leaf_split(struct dict *dict, struct mem *mem, const struct hash_secret *secret, uint64_t hash) {
    if (!is_directory(dict) && !become_directory(dict, mem))
        return false;
    struct dict_directory *directory = directory_of(dict);
    struct dict *leaf = directory->leaf[directory_index(directory, hash)];
    unsigned depth = dict_depth(leaf);
    if (depth == directory->depth) {
        if (!directory_double(dict, mem))
            return false;
        directory = directory_of(dict);
    }
    struct dict *high = mem_alloc(mem, sizeof *high);
    if (high == NULL)
        return false;
    struct dict low;
    /* Leaves of one dict stagger as well, or they would all grow together. */
    uint64_t mixed = (hash >> (63 - depth)) * UINT64_C(0x9e3779b97f4a7c15);
    dict_init(&low, (unsigned)(mixed >> 60));
    dict_init(high, (unsigned)(mixed >> 56));
    low.earliest = high->earliest = leaf->earliest;
    set_depth(&low, depth + 1);
    set_depth(high, depth + 1);
    uint64_t bit = UINT64_C(1) << (63 - depth);
    struct dict_bucket *buckets = dict_buckets(leaf);
    uint32_t bucket_count = dict_bucket_count_of(dict_size_index(leaf));
    uint32_t low_most =
        records_in(buckets, 0, bucket_count / 2) + passed_on(buckets, bucket_count / 2, leaf->count);
    uint32_t high_most =
        records_in(buckets, bucket_count / 2, bucket_count) + passed_on(buckets, bucket_count, leaf->count);
    uint32_t low_index = size_index_for(&low, low_most + 1);
    uint32_t high_index = size_index_for(high, high_most + 1);
    struct dict_bucket *low_buckets = mem_alloc_zeroed(mem, buckets_bytes(low_index));
    struct dict_bucket *high_buckets = mem_alloc_zeroed(mem, buckets_bytes(high_index));
    if (low_buckets == NULL || high_buckets == NULL) {
        if (low_buckets != NULL)
            mem_free(mem, low_buckets, buckets_bytes(low_index));
        if (high_buckets != NULL)
            mem_free(mem, high_buckets, buckets_bytes(high_index));
        mem_free(mem, high, sizeof *high);
        return false;
    }
    set_buckets(&low, low_buckets, low_index);
    set_buckets(high, high_buckets, high_index);
    move_records(buckets, bucket_count, secret, &low, high, bit);
    mem_free(mem, buckets, buckets_bytes(dict_size_index(leaf)));
    *leaf = low;
    /* The upper half of the pointers that led to the leaf leads to its new sibling. */
    size_t span = (size_t)1 << (directory->depth - depth);
    size_t first = directory_index(directory, hash) & ~(span - 1);
    for (size_t i = span / 2; i < span; i++)
        directory->leaf[first + i] = high;
    directory->leaves++;
    return true;
}

bool dict_insert_grows(struct dict *dict, uint64_t hash) {
    const struct dict *leaf = dict_leaf(dict, hash);
    return leaf->count >= threshold(leaf, dict_size_index(leaf));
}

bool dict_insert(struct dict *dict, struct mem *mem, const struct hash_secret *secret, uint64_t hash,
                 struct record *record) {
    struct dict *leaf = dict_leaf(dict, hash);
    struct dict_bucket *buckets = dict_buckets(leaf);
    if (UNLIKELY(buckets == NULL)) {
        if (!leaf_resize(leaf, mem, secret, 0))
            return false;
    } else {
        uint32_t index = dict_size_index(leaf);
        if (UNLIKELY(leaf->count >= threshold(leaf, index))) {
            bool can_split = dict_depth(leaf) < DICT_DEPTH_MAX;
            bool grown = index >= DICT_LEAF_SIZE_INDEX && can_split
                             ? leaf_split(dict, mem, secret, hash)
                             : index < DICT_SIZE_INDEX_MAX && leaf_resize(leaf, mem, secret, index + 1);
            leaf = dict_leaf(dict, hash);
            /* Without memory for growth the places that are left still serve. */
            if (!grown && leaf->count >= dict_bucket_count_of(dict_size_index(leaf)) * DICT_BUCKET_RECORDS)
                return false;
        }
    }
    uint32_t bucket_count = dict_bucket_count_of(dict_size_index(leaf));
    if (UNLIKELY(leaf->count >= bucket_count * DICT_BUCKET_RECORDS))
        return false; /* a split that put all on one side: the next insert splits again */
    place(dict_buckets(leaf), bucket_count, dict_home(leaf, hash, bucket_count), record, dict_tag(hash));
    leaf->count++;
    if (leaf != dict)
        dict->count++;
    return true;
}

/* Back to one leaf when few records are left. */
static void directory_collapse(struct dict *dict, struct mem *mem, const struct hash_secret *secret) {
    struct dict_directory *directory = directory_of(dict);
    struct dict small;
    dict_init(&small, (unsigned)(dict->word >> 60));
    small.earliest = dict->earliest;
    uint32_t index = size_index_for(&small, dict->count + dict->count / 4 + 1);
    struct dict_bucket *buckets = mem_alloc_zeroed(mem, buckets_bytes(index));
    if (buckets == NULL)
        return; /* it is only sparse; the next removal tries again */
    set_buckets(&small, buckets, index);
    struct dict *previous = NULL;
    for (size_t i = 0; i < (size_t)1 << directory->depth; i++) {
        struct dict *leaf = directory->leaf[i];
        if (leaf == previous)
            continue;
        previous = leaf;
        if (dict_buckets(leaf) != NULL) {
            move_records(dict_buckets(leaf), dict_bucket_count_of(dict_size_index(leaf)), secret, &small,
                         NULL, 0);
            mem_free(mem, dict_buckets(leaf), buckets_bytes(dict_size_index(leaf)));
        }
    }
    /* The leaves are freed behind the walk, which compares their addresses. */
    for (size_t i = 0; i < (size_t)1 << directory->depth;) {
        struct dict *leaf = directory->leaf[i];
        i += (size_t)1 << (directory->depth - dict_depth(leaf));
        mem_free(mem, leaf, sizeof *leaf);
    }
    mem_free(mem, directory, directory_bytes(directory->depth));
    *dict = small;
}

#define COLLAPSE_RECORDS 512

/* Whether a leaf that has come down to `count` records is too big for them. */
static bool is_sparse(const struct dict *leaf, uint32_t count) {
    uint32_t size_index = dict_size_index(leaf);
    return size_index > 0 && count < threshold(leaf, size_index) * 2 / 5;
}

bool dict_remove_shrinks(const struct dict *dict, const struct dict_position *position) {
    const struct dict *leaf = position->leaf;
    if (leaf != dict && dict->count - 1 < COLLAPSE_RECORDS)
        return true;
    return leaf->count > DICT_LONG_MOVE && is_sparse(leaf, leaf->count - 1);
}

void dict_remove(struct dict *dict, struct mem *mem, const struct hash_secret *secret,
                 struct dict_position *position) {
    struct dict *leaf = position->leaf;
    struct dict_bucket *buckets = dict_buckets(leaf);
    uint32_t size_index = dict_size_index(leaf);
    uint32_t bucket_count = dict_bucket_count_of(size_index);
    struct record *record = dict_bucket_record(position->bucket, position->index);
    if (bucket_count > 1) {
        uint32_t home = dict_home(leaf, hash_of(secret, record), bucket_count);
        for (uint32_t i = home; i != position->bucket_index; i = i + 1 == bucket_count ? 0 : i + 1)
            if (buckets[i].passed != PASSED_SATURATED)
                buckets[i].passed--;
    }
    bucket_set(position->bucket, position->index, NULL, 0);
    leaf->count--;
    if (leaf != dict) {
        dict->count--;
        if (dict->count < COLLAPSE_RECORDS) {
            directory_collapse(dict, mem, secret);
            return;
        }
    }
    if (leaf->count == 0) {
        mem_free(mem, buckets, buckets_bytes(size_index));
        set_buckets(leaf, NULL, 0);
        leaf->earliest = leaf == dict ? UINT32_MAX : leaf->earliest;
    } else if (is_sparse(leaf, leaf->count)) {
        /* Shrinking is a favour: without memory the leaf stays as it is. */
        (void)leaf_resize(leaf, mem, secret, size_index_for(leaf, leaf->count + leaf->count / 4 + 1));
    }
}

/* Visits the records of one home bucket from hash `from` on. */
static uint32_t scan_bucket(const struct dict *leaf, const struct hash_secret *secret, uint32_t home,
                            uint64_t from, dict_visitor *visit, void *context) {
    const struct dict_bucket *buckets = dict_buckets(leaf);
    uint32_t bucket_count = dict_bucket_count_of(dict_size_index(leaf));
    uint32_t visited = 0;
    uint32_t i = home;
    for (uint32_t looked_at = 0; looked_at < bucket_count; looked_at++) {
        const struct dict_bucket *bucket = &buckets[i];
        for (unsigned p = 0; p < DICT_BUCKET_RECORDS; p++) {
            if (bucket->tags[p] == 0)
                continue;
            struct record *record = dict_bucket_record(bucket, p);
            uint64_t hash = hash_of(secret, record);
            if (hash >= from && dict_home(leaf, hash, bucket_count) == home) {
                visit(context, record, hash);
                visited++;
            }
        }
        if (bucket->passed == 0)
            break;
        if (++i == bucket_count)
            i = 0;
    }
    return visited;
}

/* The least hash (of those that begin as `from` does, for `depth` bits) whose home is `bucket`; bucket may be one past
 * the last: then *over tells that the leaf ends before it. */
static uint64_t bucket_first_hash(uint64_t prefix, unsigned depth, uint32_t bucket, uint32_t bucket_count) {
    /* home = ((x >> 32) * count) >> 32 with x = hash << depth: the least 32-bit x>>32 is ceil(bucket * 2^32 / count). */
    uint64_t high = (((uint64_t)bucket << 32) + bucket_count - 1) / bucket_count;
    uint64_t x = high << 32;
    return depth == 0 ? x : prefix | x >> depth;
}

bool dict_scan(struct dict *dict, const struct hash_secret *secret, uint64_t from, uint32_t wanted,
               dict_visitor *visit, void *context, uint64_t *next) {
    if (dict->count == 0)
        return false;
    uint32_t visited = 0;
    /* Sparse leaves must not make one call long. */
    uint32_t buckets_left = wanted * 10 + 10;
    for (;;) {
        struct dict *leaf = dict_leaf(dict, from);
        unsigned depth = dict_depth(leaf);
        uint64_t prefix = depth == 0 ? 0 : from >> (64 - depth) << (64 - depth);
        if (dict_buckets(leaf) != NULL) {
            uint32_t bucket_count = dict_bucket_count_of(dict_size_index(leaf));
            uint32_t first = dict_home(leaf, from, bucket_count);
            prefetch_records(dict_buckets(leaf), bucket_count, first);
            prefetch_records(dict_buckets(leaf), bucket_count, first + 1);
            for (uint32_t i = first; i < bucket_count; i++) {
                prefetch_records(dict_buckets(leaf), bucket_count, i + 2);
                visited += scan_bucket(leaf, secret, i, from, visit, context);
                if ((visited >= wanted || --buckets_left == 0) && i + 1 < bucket_count) {
                    *next = bucket_first_hash(prefix, depth, i + 1, bucket_count);
                    return true;
                }
            }
        }
        /* The first hash behind this leaf; it wraps to 0 behind the last. */
        from = dict_next_leaf(dict, from);
        if (from == 0)
            return false;
        if (visited >= wanted || buckets_left == 0) {
            *next = from;
            return true;
        }
    }
}

void dict_each_of_leaf(struct dict *leaf, void (*visit)(void *context, struct record *record),
                       void *context) {
    struct dict_bucket *buckets = dict_buckets(leaf);
    if (buckets == NULL)
        return;
    uint32_t bucket_count = dict_bucket_count_of(dict_size_index(leaf));
    for (uint32_t i = 0; i < bucket_count; i++) {
        prefetch_records(buckets, bucket_count, i + 2);
        for (unsigned p = 0; p < DICT_BUCKET_RECORDS; p++)
            if (buckets[i].tags[p] != 0)
                visit(context, dict_bucket_record(&buckets[i], p));
    }
}

struct record *dict_random(struct dict *dict, uint64_t random) {
    if (dict->count == 0)
        return NULL;
    struct dict *leaf = dict_leaf(dict, random);
    if (leaf->count == 0 && is_directory(dict)) {
        /* The next leaf that has records; there is one. */
        struct dict_directory *directory = directory_of(dict);
        size_t mask = ((size_t)1 << directory->depth) - 1;
        for (size_t i = directory_index(directory, random); leaf->count == 0; i = (i + 1) & mask)
            leaf = directory->leaf[i];
    }
    struct dict_bucket *buckets = dict_buckets(leaf);
    uint32_t bucket_count = dict_bucket_count_of(dict_size_index(leaf));
    uint64_t state = random * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (;;) {
        /* Places are drawn until a full one is hit: at usual loads that takes one or two draws. */
        state ^= state >> 29;
        state *= UINT64_C(0xbf58476d1ce4e5b9);
        uint32_t place_count = bucket_count * DICT_BUCKET_RECORDS;
        uint32_t drawn = (uint32_t)(((state >> 32) * place_count) >> 32);
        const struct dict_bucket *bucket = &buckets[drawn / DICT_BUCKET_RECORDS];
        if (bucket->tags[drawn % DICT_BUCKET_RECORDS] != 0)
            return dict_bucket_record(bucket, drawn % DICT_BUCKET_RECORDS);
        state += UINT64_C(0x9e3779b97f4a7c15);
    }
}

/* Frees records from the last bucket on; a bucket that is done is marked by an all-zero tag line. Returns units spent. */
static uint32_t leaf_drain(struct dict *leaf, struct mem *mem, uint32_t budget) {
    struct dict_bucket *buckets = dict_buckets(leaf);
    if (buckets == NULL)
        return 0;
    uint32_t size_index = dict_size_index(leaf);
    uint32_t bucket_count = dict_bucket_count_of(size_index);
    uint32_t spent = 0;
    /* While draining, earliest has no other use: it says how many buckets are done. */
    uint32_t done = leaf->earliest;
    for (; done < bucket_count && spent < budget; done++) {
        struct dict_bucket *bucket = &buckets[done];
        prefetch_records(buckets, bucket_count, done + 2);
        for (unsigned p = 0; p < DICT_BUCKET_RECORDS; p++) {
            if (bucket->tags[p] == 0)
                continue;
            record_free(mem, dict_bucket_record(bucket, p));
            bucket->tags[p] = 0;
            leaf->count--;
        }
        spent += DICT_BUCKET_RECORDS;
    }
    leaf->earliest = done;
    if (done == bucket_count) {
        mem_free(mem, buckets, buckets_bytes(size_index));
        set_buckets(leaf, NULL, 0);
    }
    return spent;
}

/* Markers in a dict's own word, where a directory has no use for the bits, and nothing else is so deep: draining has begun;
 * the leaf at hand has been begun. Leaves are begun one by one: to touch all of them in one step would take too long. */
#define DRAINING   (UINT64_C(1) << 58)
#define LEAF_BEGUN (UINT64_C(1) << 57)

uint32_t dict_drain(struct dict *dict, struct mem *mem, uint32_t budget) {
    if (dict->count == 0 && dict_buckets(dict) == NULL)
        return 0;
    if (!(dict->word & DRAINING)) {
        dict->word |= DRAINING;
        dict->earliest = 0;
    }
    if (!is_directory(dict)) {
        uint32_t spent = leaf_drain(dict, mem, budget);
        if (dict_buckets(dict) == NULL)
            dict_init(dict, (unsigned)(dict->word >> 60));
        return spent + 1;
    }
    struct dict_directory *directory = directory_of(dict);
    uint32_t spent = 0;
    size_t size = (size_t)1 << directory->depth;
    while (spent < budget && dict->earliest < size) {
        struct dict *leaf = directory->leaf[dict->earliest];
        if (!(dict->word & LEAF_BEGUN)) {
            dict->word |= LEAF_BEGUN;
            leaf->earliest = 0;
        }
        uint32_t before = leaf->count;
        spent += leaf_drain(leaf, mem, budget - spent) + 1;
        dict->count -= before - leaf->count;
        if (dict_buckets(leaf) != NULL)
            return spent;
        dict->word &= ~LEAF_BEGUN;
        dict->earliest += (uint32_t)1 << (directory->depth - dict_depth(leaf));
        mem_free(mem, leaf, sizeof *leaf);
    }
    if (dict->earliest >= size) {
        mem_free(mem, directory, directory_bytes(directory->depth));
        dict_init(dict, (unsigned)(dict->word >> 60));
    }
    return spent;
}

size_t dict_overhead_bytes(const struct dict *dict) {
    if (!is_directory(dict))
        return dict_buckets(dict) == NULL ? 0 : mem_class(buckets_bytes(dict_size_index(dict)));
    const struct dict_directory *directory = directory_of(dict);
    size_t bytes = mem_class(directory_bytes(directory->depth));
    for (size_t i = 0; i < (size_t)1 << directory->depth;) {
        const struct dict *leaf = directory->leaf[i];
        i += (size_t)1 << (directory->depth - dict_depth(leaf));
        bytes += mem_class(sizeof *leaf);
        if (dict_buckets(leaf) != NULL)
            bytes += mem_class(buckets_bytes(dict_size_index(leaf)));
    }
    return bytes;
}
