/* ring_faults.h - what tests of nodes that fail do with a ring_stage again and again: parting nodes, and looking at who notices.
 *
 * May touch: ring_stage.h and what it may. Must never know: sockets, clocks.
 * Tests: it is for them.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef TESTS_UNIT_NODE_RING_FAULTS_H
#define TESTS_UNIT_NODE_RING_FAULTS_H

#include "node/quorum.h"
#include "node/ring_stage.h"

/* ---- Paths ---- */

/* Holds, or lets go, what two nodes send each other. */
void ring_hold_pair(struct ring_stage *stage, unsigned one, unsigned other, bool is_held);
/* What a node sends to all others. */
void ring_hold_from(struct ring_stage *stage, unsigned from, bool is_held);
/* Nothing comes from one node to the other, nor back; the connections are gone. Or they may come together again. */
void ring_part(struct ring_stage *stage, unsigned one, unsigned other, bool is_parted);
/* The same for a node and all others. */
void ring_isolate(struct ring_stage *stage, unsigned number, bool is_isolated);
/* Time goes by until a node takes another for down, and serves its slots. */
void ring_expect_down(struct ring_stage *stage, unsigned at, unsigned other);

/* ---- Keys ---- */

/* Gives the keys key:0 and so on the value v, all in one pipeline. */
void ring_fill(struct ring_client *client, unsigned count);
/* Gives the keys <name>:0 and so on the value v, fifty with each MSET. */
void ring_fill_many(struct ring_client *client, const char *name, unsigned count);

/* ---- Looking ---- */

struct peer *ring_peer(struct ring_stage *stage, unsigned at, unsigned other);
struct quorum_facts ring_quorum_facts(struct ring_stage *stage, unsigned number);

#define EXPECT_BEGIN(answer, begin)                                                           \
    do {                                                                                      \
        const char *answer_of_it = answer;                                                    \
        cr_assert(strncmp(answer_of_it, begin, strlen(begin)) == 0, "%s came", answer_of_it); \
    } while (0)

#endif
