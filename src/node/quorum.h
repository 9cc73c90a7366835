/* quorum.h - commands that are about more than one copy: writes that wait for W of them, reads that look at R of them.
 *
 * R and W are the node's settings (read-quorum, write-quorum, consistency), or a connection's own (KV.QUORUM), which travel with its
 * commands. They are looked after by the node that executes the command, its slots' coordinator. Where both are 1, and all writes are
 * taken, a command does not come here at all (quorum_concerns()).
 *
 * A write (W > 1) is executed, stamped and told to the other copies as always; its reply waits until W - 1 of them have acknowledged
 * the frame that tells it. Acknowledged means: that copy has the write, or a version that beats it. (An acknowledgement
 * does not say which: who wrote at the same time elsewhere may have won.) All replies of one turn of the loop wait together; later
 * commands go on. What has changed nothing waits for nobody. In time there are not enough: -INDETERMINATE, for it was executed.
 * If it is known before that too few copies can be reached: -NOQUORUM, and nothing was executed.
 *
 * A read (R > 1), and a write that depends on what was there, first asks R - 1 other home copies that are in agreement for what they
 * have of the command's keys. Who has the same says just that. What is newer is merged here, then the command is executed here, and
 * whoever was seen to be behind is told (read repair). The copies that answer soonest are asked first, all others when these do not
 * answer soon. In time there are not enough: -NOQUORUM. SET, SETEX, PSETEX and MSET without conditions do not look before they write,
 * as long as this node is their slot's coordinator for all members, and in agreement with the copies that it can reach: it has seen all
 * that their stamps have to be above.
 * While a command gathers, those that come later for a slot of its own wait behind it.
 *
 * The own copy counts as one of W where this node is a holder of the slot, and as one of R where it is also in agreement (where R is 1, too:
 * else one that is in agreement is asked). If
 * sloppy-quorum is set, a stand-in's counts in the place of the absent home copy's.
 * A node whose command waits here hears a sign of life now and then, lest it takes this one for lost.
 *
 * May touch: route, forward, replicate, cluster, store. Must never know: sockets, what commands do.
 * Invariants: every target is answered exactly once, unless its link ends; -NOQUORUM is said only of what was not executed;
 * commands of one connection on one slot are executed in their order.
 * Tests: tests/unit/node/quorum_test.c, quorum_read_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_QUORUM_H
#define NODE_QUORUM_H

#include "node/route.h"

/* Who gets the reply: a sink, or the request `number` that came on a link. */
struct quorum_target {
    struct sink sink;
    struct peer_link *to; /* NULL: the sink */
    uint64_t number;
};

/* For INFO. */
struct quorum_facts {
    unsigned copies, read, write; /* N, R, W by the settings */
    uint64_t waits;               /* replies that have waited for other copies */
    uint64_t timeouts;            /* of these, and of reads, in vain */
    uint64_t refused;             /* NOQUORUM at once */
    uint64_t gathers;             /* commands that have asked other copies first */
    uint64_t repairs;             /* records told to copies that were seen to be behind */
};

/* Whether a command of this session, or of another node with these flags, is to be given to quorum_execute(). */
static inline bool quorum_concerns(const struct node *node, const struct session *session) {
    return node->has_quorum || session->flags & SESSION_QUORUM;
}
static inline bool quorum_concerns_request(const struct node *node, unsigned flags) {
    return node->has_quorum || flags & FORWARD_QUORUM;
}

/* How many copies a read with these FORWARD_* flags is about. */
unsigned quorum_reads(const struct node *node, unsigned flags);

/* Executes a command whose keys this node coordinates or holds, a transaction's request (FORWARD_EXEC), or a part of one that
 * speaks for all slots (FORWARD_PART); flags: FORWARD_*. The target is answered now or later. */
void quorum_execute(struct node *node, const struct command *command, unsigned flags, struct argument *argv,
                    uint32_t argc, const struct quorum_target *target);

/* Another node's question [FETCH, digests (8 bytes for each key), key...] (FORWARD_FETCH): answered at once. */
void quorum_answer_fetch(struct node *node, struct peer_link *link, uint64_t number, struct argument *argv,
                         uint32_t argc);

/* ---- What the node calls ---- */

/* false: no memory. */
bool quorum_begin(struct node *node);
void quorum_release(struct node *node);

/* Settings, or KV.QUORUM, may be others now; the routes follow where a node that is alone needs other copies. */
void quorum_apply_settings(struct node *node);

/* Whether anybody wants more than one copy. */
bool quorum_is_wanted(const struct node *node);
/* How many copies of a slot that others do not know of would be a quorum of their own; 0: the settings promise nothing about it. */
unsigned quorum_least(const struct node *node);

/* The turn ends: asks the copies to acknowledge what the turn's replies wait for. */
void quorum_end_turn(struct node *node);

/* Runs what other copies have answered. Cheap if there is nothing. */
void quorum_run(struct node *node);

/* Whether acknowledgements are waited for; or anything. */
bool quorum_waits(const struct node *node);
bool quorum_is_busy(const struct node *node);

/* Acknowledgements have come, or time has passed. Returns the milliseconds until the first deadline. */
uint32_t quorum_work(struct node *node);

/* A link is about to be freed: nobody is to be answered there any more. */
void quorum_forget_link(struct node *node, const struct peer_link *link);

void quorum_read_facts(const struct node *node, struct quorum_facts *facts);

#endif
