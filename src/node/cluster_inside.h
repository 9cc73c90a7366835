/* cluster_inside.h - parts of node/cluster.h that only its own files share: the file of the members, and the seeds.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_CLUSTER_INSIDE_H
#define NODE_CLUSTER_INSIDE_H

#include "node/cluster.h"

/* The rings of all members, and of those who were settled once if these are fewer. false: no memory; an old ring of all members stays, one of
 * those settled before does not. */
bool cluster_make_rings(struct node *node);
/* Whether this node, where it is a newcomer, may take the places that are its own: so many of those who had them, or have them with
 * it, have met it that the rest of no slot is a quorum, which could go on without knowing of it. */
bool cluster_may_replace(const struct node *node);
/* Who executes what, and what is compared with whom, anew. There is a ring. */
void cluster_make_routes(struct node *node);

/* Slots that this node neither holds nor coordinates, but has records of, for which it keeps no hints. */
void cluster_find_leftovers(const struct node *node, struct slot_set *slots);

/* The members are kept beside the checkpoint, in `<dbfilename>.members`, and written by the helper whenever they change. */
void cluster_file_init(struct node *node);
void cluster_file_release(struct node *node);
/* At the start. false: no memory. A damaged file is set aside; the seeds will tell anew. */
bool cluster_file_load(struct node *node);
void cluster_file_work(struct node *node);
/* Reads a file whole, unless it is longer than size_max; 0 or an errno. */
int cluster_file_read(const struct disk *disk, const char *name, uint64_t size_max, struct buffer *bytes);
bool cluster_file_is_busy(const struct node *node);

/* Reads cluster-seeds and cluster-seeds-file. */
void cluster_seeds_read(struct node *node);
/* Reads them again now and then, and drops what CLUSTER MEET has brought when it is done. */
void cluster_seeds_work(struct node *node);

#endif
