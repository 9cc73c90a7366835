/* identity.h - who this node is, kept in a small file of its own: node id, incarnation, whether there is a checkpoint.
 *
 * Every start takes the next incarnation and makes it durable before the node writes anything: versions of two starts are
 * never mistaken for one another. The file is text, for people to read and no one to edit:
 *
 *     redis-kv node 1
 *     id <40 hex digits>
 *     incarnation <number>
 *     checkpoint <yes|no>
 *     check <16 hex digits: XXH3 of all lines above>
 *
 * May touch: a struct disk. Must never know: the keyspace.
 * Invariants: the file is replaced whole (temporary file, sync, rename, sync of the folder); it is locked while the node lives, so
 * that two processes do not become one node.
 * Tests: tests/unit/node/identity_test.c, the simulator's crash points.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_IDENTITY_H
#define NODE_IDENTITY_H

#include "base/disk.h"
#include "base/node_id.h"

#include <stdbool.h>

struct identity {
    struct actor_identity actor;
    bool has_checkpoint; /* one was completed once */
    bool is_kept;        /* on disk; else this start is a node of its own, with a new id */
    char name[DISK_NAME_SIZE];
    struct disk_file *lock; /* holds the file's lock */
};

enum identity_status {
    IDENTITY_TAKEN,    /* the next incarnation is durable */
    IDENTITY_NEW,      /* there was no file: a new node */
    IDENTITY_REPLACED, /* the file was damaged, it is set aside (NAME.node.damaged): a new node */
    IDENTITY_BUSY,     /* another process is this node: not kept, a new id */
    IDENTITY_NOT_KEPT  /* *error is an errno: cannot be written; not kept, a new id */
};

/* fresh_id: random, for a new node. Always gives an identity to work with. */
enum identity_status identity_take(struct identity *identity, const struct disk *disk, const char *dbfilename,
                                   const uint8_t fresh_id[NODE_ID_SIZE], int *error);

/* Makes a higher incarnation (seen in a checkpoint or at a peer) one's past: takes the next one after it. 0 or an errno. */
int identity_raise(struct identity *identity, const struct disk *disk, uint64_t seen);

/* A checkpoint is complete: from now on there should be one. 0 or an errno. Does nothing the second time. */
int identity_note_checkpoint(struct identity *identity, const struct disk *disk);

/* The node id as people and the file have it: 40 hex digits. */
#define IDENTITY_ID_SIZE (2 * NODE_ID_SIZE + 1)
void identity_print_id(const uint8_t id[NODE_ID_SIZE], char text[IDENTITY_ID_SIZE]);

void identity_release(struct identity *identity, const struct disk *disk);

#endif
