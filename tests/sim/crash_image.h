/* crash_image.h - what a keyspace held at one moment, as fingerprints of its keys one by one; and whether another holds just that.
 *
 * It asks for every key by name, and never walks a table: what reads out tables for checkpoints is on trial here.
 * May touch: store. Must never know: files.
 * Invariant: a fingerprint covers value, type, encoding, expiry and version, the writers by their identities; what the
 * version of a loaded key should be is decided by keyspace->is_alone.
 * Tests: tests/sim/crash_selftest.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_CRASH_IMAGE_H
#define SIM_CRASH_IMAGE_H

#include "store/keyspace.h"

/* All keys that there can be: the same in each database. */
struct crash_keys {
    uint32_t databases, count;
    struct argument *keys; /* not placed */
};

struct crash_record {
    uint64_t hash[2];
    int64_t expiry_ms;
    bool is_there;
};

struct crash_image {
    struct crash_record *records; /* databases x count; NULL: none was taken */
    struct actor_identity writer;
};

void crash_image_take(struct crash_image *image, struct mem *mem, struct keyspace *keyspace,
                      const struct crash_keys *keys);
void crash_image_release(struct crash_image *image, struct mem *mem, const struct crash_keys *keys);

/* Whether the keyspace holds what was there, but for what has expired by its time, and nothing else; if not,
 * `difference` says what. */
bool crash_image_is_held(const struct crash_image *image, struct keyspace *keyspace,
                         const struct crash_keys *keys, char *difference, size_t difference_size);

#endif
