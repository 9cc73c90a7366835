/* quorum_inside.h - parts of quorum.h that only its own files share: what waits, and for what.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_QUORUM_INSIDE_H
#define NODE_QUORUM_INSIDE_H

#include "node/quorum.h"

/* What a command is, seen from here. */
struct quorum_wish {
    unsigned reads, writes; /* R and W of the command; 1: as ever */
    bool must_look;         /* at other copies: R > 1, or the own one does not count */
    bool is_write;
    bool is_part;     /* it speaks for all slots */
    bool is_nonsense; /* a transaction that cannot be read: it is executed, and says so */
};

struct quorums {
    struct quorum_facts facts; /* settings and counters */
    bool is_sloppy, wants_majority;
    bool is_regular; /* without stand-ins, and whatever copies have a write and are read, one is the same */
    bool
        is_wanted; /* somebody wants more than one copy: a node that is alone, too, sends its commands here */
    bool is_wanted_by_session; /* KV.QUORUM was used */
    uint32_t timeout_ms;
    uint32_t sign_every_ms; /* nodes whose commands wait here hear from this one so often */
    uint64_t next_sign_ms;
    struct list groups;        /* replies that wait, by the turn of their commands, oldest first */
    struct quorum_group *open; /* of the present turn; NULL: there is none yet */
    struct list gathers;       /* struct gather_command: not executed yet, in the order in which they came */
    uint32_t *gathers_of_slot; /* how many of these are about a slot; NULL: there was never one */
    uint32_t barriers;         /* how many of these are about all slots */
    uint32_t runnable;         /* how many of these have all answers */
    bool must_run;             /* one of these may be executed, perhaps */
    struct buffer out;         /* of the command that is executed */
    bool out_is_used;
};

/* Whether the node's own copy of a slot is one of R. */
bool quorum_counts_own(const struct node *node, uint32_t slot);

/* Visits the places of a command's keys (for a part: one slot for each set of holders). */
typedef void quorum_visit(void *context, struct argument *key);
void quorum_each_key(struct node *node, const struct command *command, unsigned flags, struct argument *argv,
                     uint32_t argc, quorum_visit *visit, void *context);

/* Executes it now: checks for W, runs, and answers or lets the reply wait. */
void quorum_execute_now(struct node *node, const struct command *command, unsigned flags,
                        struct argument *argv, uint32_t argc, const struct quorum_wish *wish,
                        const struct quorum_target *target);

/* Answers. size 0 means to another node that this one does not execute it. */
void quorum_deliver(struct node *node, const struct quorum_target *target, const uint8_t *reply, size_t size);
void quorum_deliver_error(struct node *node, const struct quorum_target *target, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Says that nothing was executed, unless the flags say that it may have been before. */
void quorum_refuse(struct node *node, const struct quorum_target *target, unsigned flags, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));

/* The other end of a link hears that this one is there. */
void quorum_give_sign(struct node *node, struct peer_link *link);

/* ---- quorum_read.c ---- */

/* Whether the command must look at other copies, or wait for one that does. */
bool quorum_must_gather(const struct node *node, const struct command *command, unsigned flags,
                        struct argument *argv, uint32_t argc, const struct quorum_wish *wish);

/* Keeps the command until other copies have answered. */
void quorum_gather(struct node *node, const struct command *command, unsigned flags, struct argument *argv,
                   uint32_t argc, const struct quorum_wish *wish, const struct quorum_target *target);

/* Deadlines. Returns the milliseconds until the first. */
uint32_t quorum_gather_work(struct node *node);
/* Whoever has sent a command before then hears that it is not lost. */
void quorum_gather_give_sign(struct node *node, uint64_t before_ms);
void quorum_gather_forget_link(struct node *node, const struct peer_link *link);
void quorum_gather_release(struct node *node);

#endif
