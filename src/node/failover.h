/* failover.h - commands go around a node that does not answer, long before it is known to be down; and what comes of that.
 *
 * Reach. A peer is *passed over* by this node while it does not answer: its link has broken and a new one is refused, or is not
 * there within failover-timeout; or it is down; or it is silent: a request that should be answered at once has waited for failover-timeout, and
 * nothing was heard on the link for as long. Commands whose coordinator it is go to the next member that can be reached
 * (node/cluster.h says which), at once; what was awaited there is sent again, or -INDETERMINATE, by the rules of node/route.h.
 * Silence is no sign while the peer runs a command for us that may take long (COMMAND_SLOW), or while this node itself was not
 * there to listen.
 *
 * Handback. Whoever was passed over is told so, on the link that is still there or the next one. It becomes unsettled then: it
 * coordinates nothing until it has been compared anew, and it says from which version of its entry on it knows. For who passed it
 * over it counts as settled from a later version on. A node that has begun anew meanwhile was compared anyway. Nothing is told, and
 * nothing has to be proved, where the node lacks nothing that those have who would coordinate in its place: who passed it over has asked nobody
 * else for anything since, and has written nothing itself; or nobody else was told what it has written, and it is
 * unsettled itself. So a node that was cut off from all others, and was passed over by them, does not unsettle them in its turn.
 *
 * Pauses. A node that finds that its loop stood still for failover-timeout (not with work of its own: by the processor time)
 * may have been passed over, and becomes unsettled before it looks at anything else.
 *
 * Lateness. No write is executed at one node when it may have been executed at another one, and followed by others there: what was
 * sent more than failover-timeout / 2 ago is refused as late, wherever it has waited; and what may have run is not sent elsewhere
 * before failover-timeout is over, unless the process is gone that could execute it. Requests tell the time of their sender for
 * this; the least difference seen between the two clocks is that of a request which did not wait. So that commands stay in their order, a
 * link on which one was late refuses all that follow, until its caller, who has sent nothing more by then, says that it knows.
 * What was late once is patient: both times are ten times as long for it, or a node with too much to do would never do anything.
 *
 * A planned end. A node that is asked to end says so to all (entry.is_leaving), they route around it, and each tells it behind
 * its last request that this was the last. Then its clients are held, what it awaits is answered, what it has written is
 * acknowledged; then it ends. All of this takes two seconds at most.
 *
 * FRAME_REACH: a byte that says which of these, and what follows it.
 *   PASSED_OVER  on a link that the sender has called: nothing follows
 *   HEARD        back on the same link: incarnation, version of the entry (varints): what is later counts
 *   LEAVING      on a link that the sender has called: nothing follows
 *   AROUND       on a link that the sender has called: no request follows, unless the other end stays after all
 *   CLOCK        on a link that the sender has called: its monotonic milliseconds (varint)
 *   RESUME       on a link that the sender has called: what follows is in order again
 *
 * May touch: cluster, forward, route, peers. Must never know: sockets.
 * Invariants: what a peer is counted in is in failover->passed_count; routes are made anew with every change of who is passed over.
 * Tests: tests/unit/node/failover_test.c, tests/sim/, tests/cluster/failover.py.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_FAILOVER_H
#define NODE_FAILOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;
struct peer;
struct peer_link;

enum leave_phase {
    LEAVE_NOT,
    LEAVE_ANNOUNCED, /* the others go around this node; it still serves its clients */
    LEAVE_DRAINING   /* clients are held; what was asked and written is brought to its end */
};

/* What a node has done so far: if it is the same as before, nothing was executed here, or elsewhere because of this node. */
struct deeds {
    uint64_t requests; /* asked of others */
    uint64_t records;  /* told to others that were not passed over */
    uint64_t stamp;    /* the last one given to a write */
};

/* Of a peer. */
struct reach {
    bool is_passed_over;
    bool was_told;   /* of it, on the present link */
    bool must_prove; /* its entry counts as settled only when it is later than this: */
    uint64_t incarnation, version;
    uint64_t lost_ms;   /* since when there is no link where there was one; 0: there is one, or never was */
    uint64_t linked_ms; /* since when there is the present link */
    uint64_t passed_ms; /* since when it is passed over */
    struct deeds deeds; /* of this node, until then */
    uint64_t records_then;    /* peer->records_out then */
    uint64_t records_ignored; /* so many of these were told while it was passed over, now or before */
    uint64_t told_clock_ms;   /* when it was last told the time */
    bool owes_around;         /* it leaves, and was not yet told that no request follows */
    bool goes_around;         /* it has told us so, who leave */
    bool
        was_late; /* it has refused requests as late: nothing is sent before all up to this one are answered */
    uint64_t resume_number;
};

/* Of a node. */
struct failover {
    uint32_t passed_count;   /* peers that are passed over */
    uint32_t unproved_count; /* peers that must prove themselves */
    uint64_t next_ms;        /* when reach is to be looked at again */
    uint64_t timeout_ms;     /* failover-timeout then */
    uint64_t attentive_ms; /* since when the loop has turned in time: silence before it is this node's own */
    uint64_t turn_ns, cpu_ns;   /* the last turn; processor time then, or some milliseconds before */
    uint32_t asked_wait_ms;     /* what the node has asked the world to wait */
    struct deeds settled_deeds; /* of an unsettled node: when it was settled the last time */
    enum leave_phase leave_phase;
    uint64_t leave_until_ms;
    /* Statistics */
    uint64_t passes, pauses, resends, refused_late;
};

/* Of a link that the other end has called: the least difference between the two clocks in the present and the last window. */
struct link_clock {
    int64_t least_ms[2];
    uint64_t since_ms; /* the present window; 0: there is none */
    bool has_last;
    bool refuses, resumes; /* requests, until the caller resumes; it has, behind some that are held */
};

/* What a patient request may take, and how long it is waited for: so many times as much as another one. */
#define FAILOVER_PATIENCE 10

/* ---- Reach ---- */

/* The link that this node has called is gone. */
void failover_note_lost(struct node *node, struct peer *peer);
/* Nobody listens there. */
void failover_note_refused(struct node *node, struct peer *peer);
/* The link is there, perhaps for the first time: what it is to be told first. */
void failover_note_linked(struct node *node, struct peer *peer);
/* Entries of members have changed: who has proved itself, who leaves. Called before routes are made. */
void failover_note_entries(struct node *node);

/* Silent peers, links that are not made again, what there is to tell. Returns the milliseconds until it wants to be called again. */
uint32_t failover_work(struct node *node);

/* FRAME_REACH; false: it makes no sense. */
bool failover_receive(struct node *node, struct peer_link *link, const uint8_t *payload, size_t size);

/* FORWARD_* that a command for a slot is to carry because not all nodes may see its coordinator as this one does. */
unsigned failover_flags(const struct node *node, uint32_t slot, uint16_t member);

/* ---- Pauses ---- */

/* A turn begins: was there a gap before it? */
void failover_note_turn(struct node *node);
/* Something was sent at sent_ms by the clock of the other end, and has come now: notes the difference. */
void failover_note_clock(const struct node *node, struct peer_link *link, uint64_t sent_ms);
/* How long it has been on its way, and waited. */
uint64_t failover_age(const struct node *node, const struct peer_link *link, uint64_t sent_ms);
/* Whether a request of this age is to be refused (flags: FORWARD_*). Then all that follow on the link are, too. */
bool failover_is_late(struct node *node, struct peer_link *link, unsigned flags, uint64_t age_ms);
/* The peer has refused a request as late. */
void failover_note_late(struct node *node, struct peer *peer);
/* Answers have come: perhaps requests can be sent again. */
void failover_note_answers(struct node *node, struct peer *peer);
/* This node may lack what others have written meanwhile: it coordinates nothing until it has been compared. */
void failover_unsettle(struct node *node, const char *reason);

/* ---- A planned end ---- */

/* The node is to end. false: there is nobody to hand anything over to. */
bool failover_leave(struct node *node);
/* It stays after all. */
void failover_stay(struct node *node);
/* Whether the others have gone around it, or the time is over: its clients may be held from now on. */
bool failover_has_left(struct node *node);
/* Then: whether all that was asked is answered, and all that was written acknowledged, or the time is over. */
bool failover_is_drained(struct node *node);

#endif
