/* cluster_inside.h - parts of node/cluster.h that only its own files share: the file of the members, and the seeds.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_CLUSTER_INSIDE_H
#define NODE_CLUSTER_INSIDE_H

#include "node/cluster.h"

/* The members are kept beside the checkpoint, in `<dbfilename>.members`, and written by the helper whenever they change. */
void cluster_file_init(struct node *node);
void cluster_file_release(struct node *node);
/* At the start. false: no memory. A damaged file is set aside; the seeds will tell anew. */
bool cluster_file_load(struct node *node);
void cluster_file_work(struct node *node);
bool cluster_file_is_busy(const struct node *node);

/* Reads cluster-seeds and cluster-seeds-file. */
void cluster_seeds_read(struct node *node);
/* Reads them again now and then, and drops what CLUSTER MEET has brought when it is done. */
void cluster_seeds_work(struct node *node);

#endif
