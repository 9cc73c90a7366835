/* node_id.h - who a node is: 160 random bits that it keeps for its life, and the number of its start.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_NODE_ID_H
#define BASE_NODE_ID_H

#include <stdint.h>

#define NODE_ID_SIZE 20

/* A writer of versions: every start of a node is another one. */
struct actor_identity {
    uint8_t node_id[NODE_ID_SIZE];
    uint64_t incarnation; /* 1, 2, 3...; 0: none */
};

#endif
