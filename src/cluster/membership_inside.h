/* membership_inside.h - the parts of membership among themselves: what is kept of each member, and who calls whom.
 *
 *   membership.c           the object, what is asked of it, what this node says about itself
 *   membership_roster.c    who is a member under which entry: entries come in, digests and events come out
 *   membership_detector.c  who is up: heartbeats, suspicions, witnesses, the tick
 *   membership_meeting.c   introductions on new links; which of two clusters' ids stays
 *   membership_file.c      what is kept on disk
 *   gossip.c               what is sent to whom, and what is made of a message
 *   gossip_codec.h         the bytes of entries and messages
 *
 * Only for these files. Must never know: links, keys, clocks.
 * Invariants: `sorted` names every member once, in the order of ids; `digest` is the sum of all members' entry_hash and
 * `roster_digest` that of their roster_hash; `events` has room for an event before a member changes.
 * Tests: tests/unit/cluster/membership_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CLUSTER_MEMBERSHIP_INSIDE_H
#define CLUSTER_MEMBERSHIP_INSIDE_H

#include "cluster/membership.h"

/* Removed members stay on the roster: a cluster may replace every member a few times. */
#define ROSTER_SIZE_MAX (4 * RING_MEMBERS_MAX)

/* A member asks for two witnesses; the others are there for those that turn out to be down themselves. */
#define WITNESSES_KEPT 4

/* A member that refutes a suspicion leaps by so many heartbeats, so that nobody takes it for an old one. */
#define REFUTATION_STEP 32

struct witness {
    uint16_t member;
    uint64_t told_ms;
};

struct roster_member {
    struct member member;
    uint64_t entry_hash;  /* its part of the digest */
    uint64_t roster_hash; /* its part of the roster's digest: 0 if it is removed or a stranger */
    uint64_t changed_ms;  /* when the entry last changed here */
    uint64_t load_heartbeat;

    /* The detector's. A suspicion is about the heartbeat at which the member stands still. */
    uint64_t accused_ms;        /* since when somebody suspects it at this heartbeat */
    uint64_t doubted_heartbeat; /* if it is broken or down: below this, hearsay may be from before that */
    struct witness witnesses[WITNESSES_KEPT];

    /* What is known of it as a partner in gossip. */
    uint64_t their_roster_digest;        /* 0: not heard of yet */
    uint64_t summary_ms;                 /* when a summary last went there */
    uint64_t notice_ms;                  /* when it was last told what is known of itself */
    uint8_t foreign_id[CLUSTER_ID_SIZE]; /* the cluster that it has named as its own, if is_foreign */
    uint64_t rival_run;                  /* the run of another process with its id, reported already */
    struct roster_member *next_spare;

    uint8_t tells_left; /* messages that shall still carry its entry */
    uint8_t queued;     /* a bit for each stage that waits in the queue for it */
    uint8_t witness_count;
    bool
        is_stranger; /* it is to take over this cluster's id, and has not shown yet that it did: no member so far */
    bool is_foreign; /* a member of this cluster, as far as is known here, that says it belongs to another */
    bool is_heartbeat_known;
    bool is_heard_here; /* since it has begun, and since this node has its cluster's present id */
    bool is_accused;
    bool is_broken;         /* a connection to it broke */
    bool is_broken_refuted; /* others heard it although no connection from here succeeds */
};

/* A conversation: a greeting goes out by itself. If digests differ it is answered with news or with a summary of all entries;
 * a summary with the entries that it lacks and the ids of those that it has newer; those ids with their entries. */
enum gossip_stage {
    GOSSIP_GREETING,
    GOSSIP_NEWS,
    GOSSIP_SUMMARY,
    GOSSIP_DIFFERENCE,
    GOSSIP_WANTED,
    GOSSIP_STAGES
};

struct outgoing {
    uint16_t member;
    uint8_t stage;
    uint8_t *data; /* owned; NULL: written when it is taken */
    size_t size;
};

/* How firmly a cluster's id is settled: a lower rank takes over the id of a higher one. */
enum cluster_rank {
    CLUSTER_ALONE,   /* one node, with nobody since ever */
    CLUSTER_FORMING, /* nodes that were alone moments ago: who starts many at once gets one cluster */
    CLUSTER_SETTLED,
    CLUSTER_RANKS
};

struct membership {
    struct mem *mem;
    struct rng rng;
    struct roster_member **members;
    uint16_t *sorted; /* all indexes, in the order of ids */
    uint16_t *turns;  /* all indexes but 0, shuffled: whose turn it is to be greeted */
    uint32_t count;
    uint32_t capacity; /* of the three arrays above */
    uint32_t turn;
    uint32_t present_count; /* neither removed nor strangers */
    uint32_t live_count;    /* of these, not down */
    struct roster_member *spares;

    uint8_t cluster_id[CLUSTER_ID_SIZE];
    uint64_t forming_until_ms;
    bool had_company;
    uint64_t digest;
    uint64_t roster_digest;
    uint64_t epoch;
    uint64_t bytes_out;
    uint64_t bytes_in;

    uint64_t interval_ms;
    uint64_t suspect_timeout_ms;
    uint32_t fan_out;
    uint64_t now_ms;
    uint64_t next_beat_ms;
    uint64_t next_probe_ms;
    uint64_t next_burst_ms;
    uint64_t next_refutation_ms;
    uint64_t next_foreign_ms;
    bool wants_burst;              /* everybody shall be told at once */
    bool wants_refutation;         /* somebody suspects this node */
    uint64_t outdated_incarnation; /* reported already */
    uint32_t outdated_times;

    struct membership_event *events;
    uint32_t event_begin, event_end, event_capacity;
    struct outgoing *queue;
    uint32_t queue_begin, queue_end, queue_capacity;
    uint32_t queued_bytes_count; /* messages in the queue that own their bytes */
};

static inline struct roster_member *roster_at(const struct membership *membership, uint16_t index) {
    return membership->members[index];
}

static inline struct member *roster_self(const struct membership *membership) {
    return &membership->members[0]->member;
}

static inline bool roster_is_present(const struct roster_member *one) {
    return one->member.state != MEMBER_REMOVED && !one->is_stranger;
}

static inline bool roster_is_live(const struct roster_member *one) {
    return roster_is_present(one) && one->member.state != MEMBER_DOWN;
}

/* Every call from outside brings the time. A gap means that this process stood still: nobody else did anything wrong. */
void membership_note_time(struct membership *membership, uint64_t now_ms);

/* ---- membership_roster.c ---- */

/* Room for `more` events; false: no memory, and nothing may change now. */
bool roster_reserve_events(struct membership *membership, uint32_t more);
void roster_add_event(struct membership *membership, enum membership_event_kind kind, uint16_t member,
                      uint64_t incarnation);
/* Room for `more` members in the arrays, and as many spare members. */
bool roster_reserve_members(struct membership *membership, uint32_t more);
void roster_free_spares(struct membership *membership);

/* What somebody says about a member. */
struct rumour {
    struct member_entry entry;
    uint64_t heartbeat;
    bool is_removed;
    bool is_down; /* who says so takes it for down or suspects it */
};

/* Below 0: one is older than other, above: newer; 0: they are the same. */
int roster_compare_entries(const struct member_entry *one, const struct member_entry *other);
uint64_t roster_hash_entry(const struct member_entry *entry);

/* A new member that is not on the roster; RING_NOBODY: no room or no memory. */
uint16_t roster_add(struct membership *membership, const struct rumour *rumour, bool is_stranger);
/* A stranger has become a member. false: no memory. */
bool roster_confirm(struct membership *membership, uint16_t index);
/* What a node says about any member; from: who says so. */
void roster_hear(struct membership *membership, const struct rumour *rumour, uint16_t from);
/* Takes a newer entry of a member. false: no memory. */
bool roster_update(struct membership *membership, uint16_t index, const struct rumour *rumour);
bool roster_remove(struct membership *membership, uint16_t index);
/* The entry of a member has been changed in place: digests follow, and the word spreads. */
void roster_entry_changed(struct membership *membership, uint16_t index);
/* A member's state changes, with all that is counted by states; no event. */
void roster_set_state(struct membership *membership, uint16_t index, enum member_state state);
/* Another process with this member's id was seen: an event, once for each. */
void roster_report_rival(struct membership *membership, uint16_t index, uint64_t run);
/* Where the entry would stand in `sorted`, and whether it does. */
uint32_t roster_search(const struct membership *membership, const uint8_t id[NODE_ID_SIZE], bool *is_found);

/* ---- membership_detector.c ---- */

enum hearing {
    HEARD_DIRECTLY,
    HEARD_OF, /* from another member, which does not suspect it */
    HEARD_OF_SUSPECTED
};

/* A heartbeat of a member has come, this way or that. */
void detector_hear(struct membership *membership, uint16_t index, uint64_t heartbeat, enum hearing how);
/* Proof of life. */
void detector_revive(struct membership *membership, uint16_t index);
/* `reporter` suspects, or does not suspect, a member that stands at this heartbeat there. */
void detector_note_report(struct membership *membership, uint16_t index, uint16_t reporter,
                          uint64_t heartbeat, bool is_suspected);
/* Hearsay of heartbeats that are little above the known one proves nothing from here on. */
void detector_doubt(const struct membership *membership, struct roster_member *one);
/* Nothing is held against a member any more. */
void detector_acquit(struct roster_member *one);
/* How long a heartbeat may stand still. */
uint64_t detector_timeout(const struct membership *membership);

/* ---- membership_meeting.c ---- */

enum meeting {
    MEETING_SAME,
    MEETING_ADOPT, /* this node shall take over the other's id */
    MEETING_KEEP,  /* the other shall */
    MEETING_FOREIGN
};

enum cluster_rank meeting_rank(const struct membership *membership);
enum meeting meeting_judge(const struct membership *membership, const uint8_t their_id[CLUSTER_ID_SIZE],
                           enum cluster_rank their_rank);
/* One event of room must be there. */
void meeting_adopt(struct membership *membership, const uint8_t their_id[CLUSTER_ID_SIZE],
                   enum cluster_rank their_rank);
void meeting_report_foreign(struct membership *membership, uint16_t member);
/* This node has met its first other member. */
void meeting_note_company(struct membership *membership);

/* ---- gossip.c ---- */

/* A message of this stage shall go to a member; for lack of memory it does not. */
void gossip_enqueue(struct membership *membership, uint16_t member, enum gossip_stage stage);
/* The members whose turn it is, `count` of them. */
void gossip_greet(struct membership *membership, uint32_t count);
/* All live members; in a large cluster a part of them, who pass it on. */
void gossip_greet_everybody(struct membership *membership);
/* A member is told what is known here of itself; now and then only. */
void gossip_send_notice(struct membership *membership, uint16_t member);
void gossip_drop_queue(struct membership *membership);
/* log2 of the present members, rounded up: how many intervals a rumour takes, more or less. */
uint32_t gossip_depth(const struct membership *membership);

#endif
