/* membership.h - who belongs to the cluster, who of them is up, and what each says about itself: gossip.
 *
 * Each member is described by an entry that only it changes (address, zone, weight, incarnation, settled), under a version that
 * it raises. Entries spread by exchange: a message carries digests first, what differs follows. Heartbeats are counters that
 * each member raises every interval and that all pass on. A counter that stands still makes its member *suspect* here; the
 * suspects of each node travel in its gossip, and when min(2, other live members) nodes suspect a member, it is *down*. A
 * refused or reset connection is evidence at once. A member that hears that it is suspected proves itself with a new
 * heartbeat to everybody. Removed ids stay removed. Who is suspected is also asked directly. Membership alone says who is up.
 *
 * Messages go to members, or to addresses of nodes that are not known yet (seeds, MEET); they may be lost, repeated and
 * overtaken. Nodes introduce themselves by their entry when a link is made (membership_introduce).
 *
 * May touch: base. Must never know: links, keys, clocks (time comes with every call; monotonic milliseconds).
 * Invariants: the entry of a member is the one with the highest (incarnation, version) that was seen; heartbeats never go back
 * within an incarnation; only events change who is up, and each change is one event.
 * Inside: membership_inside.h says which file does what.
 * Sources: van Renesse et al., A Gossip-Style Failure Detection Service, 1998; Das et al., SWIM, 2002 (suspicion, refutation).
 * Tests: tests/unit/cluster/membership_test.c, gossip_network_test.c (a network of 100 of them), tests/fuzz/gossip_fuzz.c,
 * tests/sim/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CLUSTER_MEMBERSHIP_H
#define CLUSTER_MEMBERSHIP_H

#include "base/buffer.h"
#include "base/mem.h"
#include "base/node_id.h"
#include "base/rng.h"
#include "cluster/ring.h"

#include <stdbool.h>
#include <stdint.h>

#define MEMBER_HOST_SIZE 64 /* an address or a name of at most 63 bytes */
#define MEMBER_ZONE_SIZE 32
#define CLUSTER_ID_SIZE  20

/* What a member says about itself. Strings end with a zero. */
struct member_entry {
    uint8_t id[NODE_ID_SIZE];
    uint64_t run; /* random for each start of the process: the same id under two runs is two processes */
    uint64_t incarnation;        /* never goes back */
    uint64_t version;            /* of the entry within the incarnation; raised with each change */
    char host[MEMBER_HOST_SIZE]; /* where clients and peers reach it */
    uint16_t port, cluster_port, peer_port;
    char zone[MEMBER_ZONE_SIZE];
    uint32_t weight;
    bool is_settled;  /* all slots that it holds are in agreement: it may coordinate */
    bool was_settled; /* once, in whichever start: it holds its slots, though it may lack something now */
    bool is_leaving;  /* its end is planned: it hands over what it coordinates */
};

enum member_state {
    MEMBER_UP,
    MEMBER_SUSPECT, /* still up for everybody's decisions, but its heartbeat stands still here */
    MEMBER_DOWN,
    MEMBER_REMOVED /* kept so that it does not come back; or a stranger, which is no member yet (membership_introduce) */
};

struct member {
    struct member_entry entry;
    enum member_state state;
    uint64_t heartbeat;
    uint64_t heard_ms; /* monotonic: when the heartbeat last moved here */
    uint64_t state_ms; /* since when it is in its state */
    uint64_t keys; /* load that it has gossiped: keys, and commands per second, and bytes of memory in use */
    uint64_t operations_per_s;
    uint64_t used_bytes;
    uint64_t hinted; /* for whom it keeps hints, as it has gossiped: membership_hint_bit() of each */
};

enum membership_event_kind {
    MEMBERSHIP_JOINED, /* a new member (it is up) */
    MEMBERSHIP_UP,     /* was suspect or down */
    MEMBERSHIP_SUSPECT,
    MEMBERSHIP_DOWN,
    MEMBERSHIP_RESTARTED, /* up, with a higher incarnation or another run */
    MEMBERSHIP_CHANGED,   /* its entry has changed otherwise: address, zone, weight, settled */
    MEMBERSHIP_REMOVED,
    MEMBERSHIP_SELF_REMOVED,  /* others have removed this node from the cluster */
    MEMBERSHIP_SELF_OUTDATED, /* a peer knows this node with a higher incarnation: `incarnation` says which */
    MEMBERSHIP_DUPLICATE,     /* another process claims a member's id, or this node's own */
    MEMBERSHIP_FOREIGN,       /* a node of another cluster was met; the two do not merge */
    MEMBERSHIP_ADOPTED /* this node, alone until now, has taken over the id of the cluster that it has met */
};

struct membership_event {
    enum membership_event_kind kind;
    uint16_t member; /* index; RING_NOBODY where there is none */
    uint64_t incarnation;
};

/* What stands for a member in a set of 64 bits: another member may have the same. */
static inline uint64_t membership_hint_bit(const struct member *member) {
    return UINT64_C(1) << (member->entry.id[0] & 63);
}

struct membership_options {
    struct mem *mem;
    struct member_entry self; /* id, run, incarnation, address, zone, weight; version is set here */
    uint8_t fresh_cluster_id[CLUSTER_ID_SIZE]; /* random: minted if nothing else is known */
    uint64_t random_seed;
    uint64_t interval_ms; /* cluster gossip-interval, 200 */
    uint64_t
        suspect_timeout_ms; /* a heartbeat that stands still for longer is suspicious: at 3 members; grows with log2 */
    uint32_t fan_out; /* members told per interval, 3 at most */
    uint64_t now_ms;
};

struct membership;

/* NULL: no memory. */
struct membership *membership_new(const struct membership_options *options);
void membership_free(struct membership *membership);

/* ---- What is known ---- */

/* All members, this node at index 0; removed ones among them. An index names the same member for the life of the object. */
uint32_t membership_count(const struct membership *membership);
const struct member *membership_member(const struct membership *membership, uint16_t index);
uint16_t membership_find(const struct membership *membership,
                         const uint8_t id[NODE_ID_SIZE]);            /* or RING_NOBODY */
uint32_t membership_live_count(const struct membership *membership); /* up or suspect, this node included */
/* Whether this node is, and has always been, the only one of its cluster. */
bool membership_is_alone(const struct membership *membership);
const uint8_t *membership_cluster_id(const struct membership *membership);
/* Raised by each change that a ring, a route or a view of the members depends on. */
uint64_t membership_epoch(const struct membership *membership);
/* A digest of who is a member under which entry (not of who is up): equal on all nodes that know the same. */
uint64_t membership_digest(const struct membership *membership);
/* Bytes of gossip made and taken so far. */
uint64_t membership_bytes_out(const struct membership *membership);
uint64_t membership_bytes_in(const struct membership *membership);

/* Takes the next thing that has happened; false: nothing. To be drained after every call below. */
bool membership_next_event(struct membership *membership, struct membership_event *event);

/* ---- What happens ---- */

/* Time has passed: call about every 20 ms, at least every interval_ms. */
void membership_tick(struct membership *membership, uint64_t now_ms);

/* Takes the next message to be sent: to a member (index) whose link carries it, unreliably. The bytes are appended to `message`
 * (which is cleared first). false: there is none. To be drained after every call. */
bool membership_next_message(struct membership *membership, uint16_t *member, struct buffer *message);

/* A message of a member has come. Nobody vouches for its bytes; false: they make no sense (the link should be closed). */
bool membership_receive(struct membership *membership, uint16_t from, const uint8_t *data, size_t size,
                        uint64_t now_ms);

/* What a node tells about itself when a link is made, appended; to be put into the link's handshake. false: no memory. */
bool membership_write_introduction(const struct membership *membership, struct buffer *introduction);

enum introduction {
    INTRODUCTION_WELCOME,
    INTRODUCTION_SELF,      /* it is this very process: the address was its own */
    INTRODUCTION_REMOVED,   /* its id was removed from the cluster */
    INTRODUCTION_DUPLICATE, /* another process with this id is alive */
    INTRODUCTION_FOREIGN, /* it belongs to another cluster, and does not take over this one's id, nor this node its */
    INTRODUCTION_MALFORMED,
    INTRODUCTION_NO_MEMORY
};

/* The other end of a new link has introduced itself; *member is its index when it is welcome. Two nodes of different clusters
 * become one cluster if at least one of them is alone: it takes over the other's id (both alone: the lower id stays).
 * Deterministic, so that both ends decide alike. As nodes that start together pair off before they all know each other, a
 * cluster whose first two nodes met less than five suspect timeouts ago is still forming: it takes over a settled cluster's
 * id, and of two that are forming the lower id stays. Members of each other that belong to different clusters all the same (one has
 * missed that an id was taken over, or came back with an old disk) become of one again: whoever has fewer others alive follows,
 * and of equally many the lower id stays.
 *
 * Where the other is to take over this cluster's id it is welcome as a stranger: it has an index, gossip goes to it and is
 * taken from it, but it is in no count, ring or digest, its state reads MEMBER_REMOVED, and MEMBERSHIP_JOINED comes with its
 * first message under this cluster's id. (It may have met a third cluster at the same moment, and never come.) */
enum introduction membership_introduce(struct membership *membership, const uint8_t *data, size_t size,
                                       uint64_t now_ms, uint16_t *member);

/* A connection to a member was refused or reset: it is suspected at once. */
void membership_note_broken(struct membership *membership, uint16_t member, uint64_t now_ms);

/* This node changes its own entry, or its load (which travels with heartbeats and raises no version). */
void membership_set_settled(struct membership *membership, bool is_settled);
/* It is not settled, and as if it had never been: it belongs to another cluster now. */
void membership_set_unsettled_ever(struct membership *membership);
void membership_set_address(struct membership *membership, const char *host, uint16_t port,
                            uint16_t cluster_port, uint16_t peer_port);
void membership_set_place(struct membership *membership, const char *zone, uint32_t weight);
void membership_set_incarnation(struct membership *membership, uint64_t incarnation);
void membership_set_leaving(struct membership *membership, bool is_leaving);
void membership_set_hinted(struct membership *membership, uint64_t hinted);
void membership_set_load(struct membership *membership, uint64_t keys, uint64_t operations_per_s,
                         uint64_t used_bytes);

/* What this node has just said about itself goes to many members now (all of a small cluster), not at the gossip's pace. */
void membership_announce(struct membership *membership);

/* Takes a member out of the cluster for good; the word spreads. false: there is no such member, it is this node, or there is no
 * memory. Drain the messages before the link to it is closed: one of them tells it. */
bool membership_forget(struct membership *membership, const uint8_t id[NODE_ID_SIZE]);

/* Members that gossip should reach and no link exists to: the node asks which ones to connect to. Every member that is not
 * removed is wanted; down ones are to be tried now and then (the caller's timer). */
bool membership_wants_link(const struct membership *membership, uint16_t member);

/* ---- What is kept on disk ---- */

/* The members and the cluster id as bytes for a file, appended; false: no memory. */
bool membership_save(const struct membership *membership, struct buffer *file);

/* Takes over what such a file holds (of this node's own id or nobody's); all of them count as not heard of yet: suspect after
 * the timeout unless they are heard. false: the bytes are damaged or of another version; nothing has changed. */
bool membership_load(struct membership *membership, const uint8_t *data, size_t size, uint64_t now_ms);

/* The members that take part in the ring: not removed, with their indexes. Both arrays have room for RING_MEMBERS_MAX. */
uint32_t membership_ring_members(const struct membership *membership, struct ring_member *members,
                                 uint16_t *indexes);

#endif
