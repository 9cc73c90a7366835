/* hash.h - the keyed 64-bit hash of keys: tables and digests use this one function.
 *
 * XXH3 (64 bits) with a secret of 192 bytes that is derived from a random seed, so that nobody outside
 * can make keys collide. Nodes of one cluster share the seed: their digests are comparable.
 * Source: Yann Collet, xxHash, https://xxhash.com (library libxxhash, header-only).
 * Tests: tests/unit/base/hash_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#define XXH_INLINE_ALL
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include <stddef.h>
#include <stdint.h>

#define HASH_SEED_SIZE   16
#define HASH_SECRET_SIZE 192

struct hash_secret {
    uint8_t bytes[HASH_SECRET_SIZE];
};

/* Derives the secret from a seed of HASH_SEED_SIZE random bytes. */
static inline void hash_secret_init(struct hash_secret *secret, const uint8_t seed[HASH_SEED_SIZE]) {
    XXH3_generateSecret(secret->bytes, HASH_SECRET_SIZE, seed, HASH_SEED_SIZE);
}

/* The library marks its parts for inlining, but gcc leaves some of them as calls where this is called often. With the
 * sanitizer's checks inside, the whole would be too big, and gcc's warnings about bounds wrong. */
#ifdef __SANITIZE_ADDRESS__
#define HASH_FLAT
#else
#define HASH_FLAT __attribute__((flatten))
#endif

static inline HASH_FLAT uint64_t hash_bytes(const struct hash_secret *secret, const void *data, size_t size) {
    return XXH3_64bits_withSecret(data, size, secret->bytes, HASH_SECRET_SIZE);
}

#endif
