/* cluster.h - this node as a member: who the others are, who executes what, and the links to them.
 *
 * Brings together what cluster/ knows (membership, ring, entries, comparisons) with the node's sessions and keys. The others of
 * this layer ask it where a command belongs, and hand it what has changed.
 *
 * Routes: the coordinator of a slot is the first member of its preference list that is up and settled (and does not leave).
 * Where there is none, it is the first that is up on the list of the ring of those members only that were settled once (those
 * who held the slot before members came that are not settled yet), else the first of the list that is up at all; else, where the whole list is
 * down, a *stand-in*: the next member on the ring that is up. A member is *settled* when all slots that it holds are in
 * agreement. So a new member, and one that has just started, gets its slots by anti-entropy while those who have them go on
 * serving; then it takes over.
 *
 * There are two views of this. That of membership is the same on all nodes that have heard the same: what is compared with whom
 * follows from it (cluster_coordinator). The routes by which commands go are this node's own view: members that it passes
 * over (node/failover.h) are left out as long as there is anybody else on the list. A node that is not settled itself
 * rather waits for one who is: it does not stand in for others.
 *
 * May touch: all pure layers. Must never know: sockets.
 * Invariants: node->routes is NULL while the node is alone or has no cluster: then nothing here costs a command anything;
 * routes follow from membership and reach alone, and change only in cluster_update() and cluster_reroute(). cluster->routes,
 * the detours and the notes SLOT_COORDINATED (cluster_is_open) always tell the same.
 * Inside: cluster_routes.c makes rings, routes and sets; cluster_inside.h says what it offers.
 * Tests: tests/unit/node/cluster_test.c, tests/sim/, tests/cluster/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_CLUSTER_H
#define NODE_CLUSTER_H

#include "cluster/antientropy.h"
#include "cluster/entries.h"
#include "cluster/hints.h"
#include "cluster/membership.h"
#include "cluster/ring.h"
#include "node/failover.h"
#include "node/link.h"
#include "node/node.h"
#include "node/refusals.h"
#include "store/ledger.h"

#define ROUTE_SELF   0 /* this node's index in the membership */
#define ROUTE_NOBODY RING_NOBODY

struct awaited;

/* One connection with another node. */
struct peer_link {
    struct list_node all;       /* cluster->links */
    struct list_node attention; /* cluster->attention, if is_listed */
    struct link *link;
    void *owner; /* the world's */
    struct node *node;
    struct peer *peer;  /* NULL until the other end is known */
    int64_t created_ms; /* wall clock */
    bool is_caller;     /* this node has called */
    bool is_listed;
    bool was_ready;               /* when it was last looked at */
    bool has_spoken;              /* frames have come on it */
    uint64_t call_id;             /* that led to it, if is_caller */
    struct entries_reader reader; /* of the records that come on it */
    struct buffer replies;        /* of commands of the other end, since the last frame */
    struct buffer
        held;       /* FRAME_REQUESTS that wait until replies have left, each with its size (4) before it */
    size_t held_at; /* of these, executed already */
    struct link_clock clock; /* of the other end, which has called */
    char address[SESSION_ADDRESS_SIZE];
};

/* What is known of a peer for the sake of tombstones: see node/burial.h. Counters are of the hybrid logical clock. */
struct burial_facts {
    uint64_t
        round_counter; /* all that this node had when the comparison at hand began was stamped at or below it */
    uint64_t
        agreed_counter; /* the same of the one that was found equal, while checkpoints behind it are waited for; 0: none */
    uint64_t agreed_linked_ms;
    uint64_t own_checkpoint, their_checkpoint; /* the last ones that had begun by then */
    uint64_t kept_counter;                     /* what both have, and no file from before it */
};

/* Another member, for the life of the node. */
struct peer {
    uint16_t member; /* index in the membership */
    struct peer_link *out,
        *in;               /* called by this node, called by it; NULL: there is none (ready links only) */
    uint64_t call_id;      /* of the call that is under way; 0: none */
    uint64_t called_ms;    /* since when */
    uint64_t next_call_ms; /* not before */
    uint32_t failed_calls;
    struct reach reach;
    bool was_settled;           /* by its entry, when routes were last made */
    uint64_t end_ms;            /* it was removed: its links end then, when it has been told; 0: it was not */
    struct list_node mentioned; /* cluster->mentioned, if is_mentioned */
    uint64_t mentioned_ns;      /* since when */
    bool is_mentioned;
    /* What it is to be told, since the last frame: */
    struct buffer records;            /* entries */
    struct request_frame *open_frame; /* commands, see node/forward.h; NULL: none */
    struct entries_writer writer;
    uint64_t marks; /* ENTRY_MARKs that it was sent */
    /* Commands that it executes for this node's clients, by number. */
    struct awaited **awaited; /* a ring: number & (capacity - 1) */
    uint32_t awaited_capacity;
    uint64_t awaited_first, awaited_next;
    /* Comparison of the slots that this node coordinates and the peer holds. */
    struct comparer comparer;
    uint64_t next_compare_ms;
    bool must_compare;        /* something may have been lost: as soon as possible */
    bool wants_compare;       /* somebody has asked for it (KV.REPAIR) */
    uint64_t losses;          /* how often that was so */
    struct slot_set asked;    /* slots that this node coordinates and the peer holds */
    struct slot_set answered; /* slots that the peer coordinates and this node holds */
    uint32_t asked_count, answered_count;
    uint64_t asked_digest, answered_digest;
    bool is_agreed;  /* on all of `asked`, and nothing was lost since */
    bool settles_us; /* on all of `answered`, by the word of the peer, which is settled there */
    /* Slots that this node holds no longer, of which it has records all the same, and that the peer coordinates: they are
     * compared with it, too, until it has all of them; then they are dropped here. */
    struct slot_set leftover;
    uint32_t leftover_count;
    struct comparer handover;
    uint64_t next_handover_ms, covered_ms; /* covered_ms: since when it has all of them; 0: perhaps not */
    bool was_settled_asked;                /* the last comparison told it that we are settled */
    uint32_t compare_pause_ms;
    uint64_t agreed_ms;
    /* Its hints (node/handoff.h): the frame that ends the batch which is on its way, 0: none is; no further one before; since when it is
     * linked; links that have ended before all was acknowledged, struct lost_link. */
    uint64_t hints_frame, next_hints_ms, linked_ms;
    struct list lost_links;
    uint64_t begun,
        agreed_begun; /* cluster->moments: when the last comparison began, and that which found them equal */
    struct burial_facts burial;
    struct buffer next_question[2]; /* of the two comparisons: waits for repair-rate; empty: none does */
    /* Statistics */
    uint64_t records_out, records_in, requests_out, requests_in;
};

/* An address that is called because of a seed, or CLUSTER MEET. */
struct seed {
    char host[MEMBER_HOST_SIZE];
    uint16_t port; /* the peer port */
    uint64_t call_id, next_call_ms;
    uint32_t failed_calls;
    uint16_t member; /* that has answered there, if is_answered */
    bool is_answered, is_self;
    bool is_met;       /* by CLUSTER MEET: dropped when it has answered, or after a while */
    uint64_t until_ms; /* then */
};

/* Commands of one slot are executed in their order, whoever executes it: as long as some wait, or are on their way to one node, none
 * goes to another. */
struct slot_way {
    uint32_t waiting;   /* in cluster->retries */
    uint32_t in_flight; /* sent to one node, and not answered */
    uint16_t member;    /* that one */
};

/* Distinct members, in ascending order; and how many stand in for some of them (cluster->stand_ins says who). */
struct holder_set {
    uint8_t count, stand_in_count;
    uint16_t members[RING_COPIES_MAX];
};

/* A member past the preference list that keeps copies for a holder which cannot be reached. */
struct stand_in {
    uint16_t member, owner;
};

struct stand_in_set {
    struct stand_in places[RING_COPIES_MAX];
};

struct cluster {
    struct node *node;
    struct membership *membership;
    struct ring *ring;         /* of all members */
    struct ring *settled_ring; /* of those that were settled once (in any start); NULL: all were, or none */
    uint16_t ring_indexes[RING_MEMBERS_MAX],
        settled_indexes[RING_MEMBERS_MAX]; /* ring member -> index in the membership */
    uint32_t ring_count;
    uint64_t ring_changes; /* how often one of the two was made, or went */
    /* Of what coordinators and routes follow from, when they were last made. 0: they were not. */
    uint64_t coordinators_digest, ways_digest;
    uint16_t routes
        [SLOT_COUNT]; /* who executes the commands of each slot, as this node can reach them: index in the membership,
                                    or ROUTE_NOBODY */
    uint16_t coordinators[SLOT_COUNT]; /* the same as membership alone tells it */
    bool has_detours;                  /* some of them are not as membership alone would have them */
    uint64_t rerouted_ms;              /* when they last changed */
    struct failover failover;
    /* The other nodes that hold a slot: ledger->notes of the slot says which of these sets. */
    struct holder_set holder_sets[SLOT_COUNT];
    uint32_t holder_set_count;
    struct stand_in_set *stand_ins; /* by number of the set; NULL: there was never one */
    uint64_t placed_digest;         /* of what the sets follow from, when they were made */
    struct hints hints;             /* which keys others have missed, by member */
    struct handoff_file *hints_file;
    struct slot_set coordinated; /* by this node, as membership tells it */
    const struct slot_set
        *spoken; /* what a command on the whole database is about while it runs; NULL: `coordinated` */
    struct slot_set held; /* this node is on the preference list */
    struct slot_set
        sure; /* held since it was found equal with all others that could be reached: what it lacks, and is old, was deleted */
    const struct peer *records_from; /* while its records are applied */
    struct burial_facts own_burial;  /* of slots that nobody else holds */
    uint64_t next_burial_ms, lagging_digest;
    uint32_t burial_slot; /* where it goes on */
    uint64_t
        burial_epoch; /* the route_epoch with which it last came to its end: since then ledger->oldest_tombstone is of the
                              slots that this node coordinates */
    int64_t repair_bytes;            /* that may still be spent on comparing; less than 0: it has to wait */
    uint64_t repair_ms;              /* when that was last raised */
    uint64_t next_fold_ms;           /* burial: when fold points are worked out again */
    uint64_t way_epochs[SLOT_COUNT]; /* the route_epoch with which a slot got the route that it has */
    uint64_t way_epoch;              /* the highest of these */
    uint64_t route_epoch; /* raised by each change of routes, and of what clients are told about members */
    uint64_t membership_epoch; /* that the ring was made of */
    struct peer **peers;       /* by member index; NULL for this node and for removed ones */
    uint32_t peer_capacity;
    struct list links, attention;
    struct refusals refusals;
    struct seed *seeds;
    uint32_t seed_count, seed_capacity;
    uint64_t next_seed_ms, seeds_read_ms;
    uint64_t next_call_id;
    uint64_t next_tick_ms;
    uint64_t round_robin;
    char host_name
        [MEMBER_HOST_SIZE]; /* where the node listens, as the world said; cluster-announce-ip takes its place */
    struct actor_identity self_identity;
    bool must_update, must_work, must_wait_work; /* soon: cluster_update(), cluster_work(), wait_work() */
    bool must_route;                             /* routes are to be made anew, whatever membership says */
    bool is_removed;                             /* from the cluster: nothing is served any more */
    uint64_t join_until_ms, next_work_ms, next_leftovers_ms;
    bool was_loading; /* when it was last looked at */
    struct cluster_file *file;
    bool has_calls; /* somebody is perhaps to be called */
    bool is_settled;
    bool is_joining; /* has seeds, was never a member of anything, and has not met any of them yet */
    bool wants_file; /* membership has changed since it was last written */
    struct compare_statistics compare_statistics;
    struct entries_outcome outcome; /* of all payloads taken */
    uint64_t forwarded, forwarded_here, redirected, retried, indeterminate;
    struct session *self; /* runs here what was to run elsewhere, or for other nodes */
    struct list retries;  /* commands that found nobody to execute them, struct forwarded (node/route.c) */
    struct slot_way ways[SLOT_COUNT];
    uint64_t
        split_order; /* while a command that has waited is split: its place among others, which its parts have, too; 0: none is */
    struct list gathers;                 /* those that are to be begun anew, struct gather (node/gather.c) */
    struct quorums *quorums;             /* commands that are about several copies (node/quorum.h) */
    uint64_t effects_told, patches_told; /* to other copies; of these, parts of values */
    struct list waiters;                 /* WAIT, struct waiter (node/wait.c) */
    struct list deferred_waits;          /* of clients whose commands before it are still under way */
    uint64_t moments;      /* counts the beginnings of waits and comparisons, to tell which was first */
    struct list watching;  /* sessions whose WATCH another node is to answer */
    struct list mentioned; /* peers for which something has gathered in this turn: see peer->mentioned */
    struct buffer
        slots_reply[2]; /* CLUSTER SLOTS as it was rendered for RESP2 and RESP3, of the epoch below */
    uint64_t slots_epoch[2];
};

/* Where the settings want it and there is an identity: makes the node a member. Called at the end of node_new(). false: no memory. */
bool cluster_begin(struct node *node, const struct node_options *options);
void cluster_release(struct node *node);

/* Timers, gossip, calls, comparisons, seeds. Returns the milliseconds until it wants to be called again. */
uint32_t cluster_work(struct node *node);

/* Membership has changed: ring, routes and what depends on them are made anew, where they are different now. */
void cluster_update(struct node *node);

/* An agreement was found: perhaps this node is settled now. */
void cluster_settle(struct node *node);

/* Whether all members that hold slots which this node coordinates, but for `other`, were found equal: the word that a comparison
 * with `other` carries. */
bool cluster_has_agreed(const struct node *node, const struct peer *other);

/* The others have removed this node from the cluster: it serves no keys any more. */
void cluster_note_removed(struct node *node);

/* This node takes a later incarnation than `seen`, if it has none: somebody knows it with that one, say. The reason is for the log. false: there
 * is no memory for a new actor, and writes go on under the old one. */
bool cluster_take_incarnation(struct node *node, uint64_t seen, const char *reason);

/* Entries were applied (cluster->outcome): should they tell that this node had been further before, it takes a later incarnation. */
void cluster_heed_outcome(struct node *node);

/* A command is about to be executed here that writes: where it would do away with earlier writes of this node that only others know
 * (keyspace_has_forgotten), it is done under a later incarnation. false: there is no memory for that. To be asked if
 * keyspace->has_dropped_own. */
bool cluster_prepare_write(struct node *node, const struct command *command, struct argument *argv,
                           uint32_t argc);

/* Nothing of the cluster's is at work on the helper any more. */
bool cluster_end(struct node *node);

/* The peer of a member index; NULL: this node itself, or nobody. */
static inline struct peer *cluster_peer(const struct cluster *cluster, uint16_t member) {
    return member < cluster->peer_capacity ? cluster->peers[member] : NULL;
}

/* Whether frames can be sent to it. */
static inline bool peer_is_linked(const struct peer *peer) {
    return peer->out != NULL && link_state(peer->out->link) == LINK_READY;
}

/* Whether requests may be sent to it. */
static inline bool peer_is_reached(const struct peer *peer) {
    return peer_is_linked(peer) && !peer->reach.is_passed_over;
}

/* Whether the members' word is that a member may coordinate: settled, and not about to leave. */
bool cluster_is_able(const struct cluster *cluster, uint16_t member);
/* Whether a command on the whole database is to ask it: it is up, and does not leave. */
bool cluster_is_asked(const struct cluster *cluster, uint16_t member);
/* Up or suspected, as far as membership knows. */
bool cluster_is_up(const struct cluster *cluster, uint16_t member);
/* Whether it has never been settled, in no start. */
bool cluster_is_newcomer(const struct cluster *cluster, uint16_t member);
/* Whether a member's copies may answer reads: it is up, able, can be reached, and has been compared since it was passed over. */
bool cluster_may_read(const struct cluster *cluster, uint16_t member);

/* The slots from a first one (0, or the end of the run before) up to the one before this end have the same preference list,
 * coordinator and route, and the same set of holders: a run. */
static inline uint32_t cluster_run_end(const struct cluster *cluster, uint32_t first) {
    uint32_t end = ring_next_begin(cluster->ring, first + 1);
    if (cluster->settled_ring == NULL)
        return end;
    uint32_t settled_end = ring_next_begin(cluster->settled_ring, first + 1);
    return settled_end < end ? settled_end : end;
}

/* The coordinator of a slot as membership alone tells it. */
uint16_t cluster_coordinator(const struct cluster *cluster, uint32_t slot);

/* Whether a client's command for a slot may be executed here at once: this node executes it, and none came before that is not done. */
static inline bool cluster_is_open(const struct cluster *cluster, uint32_t slot) {
    return cluster->routes[slot] == ROUTE_SELF && cluster->ways[slot].waiting == 0 &&
           cluster->ways[slot].in_flight == 0;
}

/* Who can be reached has changed: the routes are made anew. */
void cluster_reroute(struct node *node);

/* What this node says about itself, and whatever else gossip has to tell, leaves now. */
void cluster_announce(struct node *node);

/* The slots that a command on the whole database is about. */
static inline const struct slot_set *cluster_spoken(const struct cluster *cluster) {
    return cluster->spoken != NULL ? cluster->spoken : &cluster->coordinated;
}

/* The members that hold a slot, by membership index: the preference list. Returns their number. */
uint32_t cluster_holders(const struct cluster *cluster, uint32_t slot, uint16_t holders[RING_COPIES_MAX]);

/* Asks the processor for what is needed of a slot when something in it is written, or sent to its coordinator. */
static inline void cluster_prefetch(const struct cluster *cluster, const struct ledger *ledger,
                                    uint32_t slot) {
    prefetch(&ledger->digests[slot]);
    prefetch(&ledger->notes[slot]);
    prefetch(&cluster->routes[slot]);
}

/* "host:port" or "host:port@peerport" as in seeds and CLUSTER MEET -> a seed's host and peer port. false: no such form. */
bool cluster_parse_seed(const char *text, size_t size, char host[MEMBER_HOST_SIZE], uint16_t *peer_port);
/* CLUSTER MEET. false: no memory. */
bool cluster_meet(struct node *node, const char *host, uint16_t peer_port);

#endif
