/* entries_inside.h - what the two halves of entries.h share: entries_write.c writes, entries.c reads and applies.
 *
 * May touch: what entries.h may. Must never know: links, sessions, commands, who is up. Nobody but the two includes it.
 * Tests: tests/unit/cluster/entries_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CLUSTER_ENTRIES_INSIDE_H
#define CLUSTER_ENTRIES_INSIDE_H

#include "cluster/entries.h"

/* The byte with which an entry begins. */
enum entry_kind {
    ENTRY_ACTOR = 1,
    ENTRY_RECORD,
    ENTRY_PATCH,
    ENTRY_EXPIRED,
    ENTRY_FLUSH,
    ENTRY_FETCH,
    ENTRY_MARK,
    ENTRY_FOR,
    ENTRY_FLOOR
};

/* Of a patch's byte for the encoding. */
#define PATCH_ENCODING 3u
#define PATCH_EXPIRY   4u

/* Appends ENTRY_EXPIRED: what is not newer than this version of a key is gone. As the functions of entries.h that append. */
bool entries_add_gone(struct entries_writer *writer, const struct actors *actors, struct buffer *payload,
                      const struct argument *key, const struct version *version);

#endif
