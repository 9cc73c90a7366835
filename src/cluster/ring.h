/* ring.h - who holds which slot: consistent hashing with virtual nodes, as a pure function of the members.
 *
 * The ring is the sorted list of all members' points: RING_POINTS_PER_WEIGHT for each unit of weight, hash(node id, i),
 * 64 bits each. A slot's place on it is `slot << 50`. Its preference list is what stands clockwise from there: the owners
 * of the points at or behind the place, each member once, in zones that are not on the list yet while there are such
 * zones, else in any. Every node that knows the same members computes the same lists; the digest tells whether it does.
 * May touch: base, store/slot_set.h. Must never know: who is up, addresses, time.
 * Invariants: lists hold distinct members; the order in which members are given does not matter (points that coincide are
 * ordered by node id). A list changes only if the member that came or went is on it. The order of the others stays, too, as
 * long as there are as many zones as copies, or one; between that, a newcomer can stand in for another of its zone.
 * Sources: Karger et al., Consistent Hashing, 1997; DeCandia et al., Dynamo, 2007 (preference lists).
 * Tests: tests/unit/cluster/ring_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CLUSTER_RING_H
#define CLUSTER_RING_H

#include "base/limits.h"
#include "base/mem.h"
#include "base/node_id.h"
#include "store/slot_set.h"

#include <stdbool.h>
#include <stdint.h>

#define RING_POINTS_PER_WEIGHT 200
#define RING_WEIGHT_MAX        100
#define RING_MEMBERS_MAX       1000
#define RING_COPIES_MAX        8 /* replication-factor at most */
#define RING_NOBODY            UINT16_MAX

struct ring_member {
    uint8_t id[NODE_ID_SIZE];
    uint32_t weight; /* 0: no points, it holds nothing */
    uint64_t zone;   /* a hash of the zone's name; all equal: zones do not matter */
};

struct ring_point {
    uint64_t place;
    uint16_t member; /* index in the members that the ring was made of */
};

struct ring {
    struct mem *mem;
    struct ring_point *points; /* sorted by place, then node id */
    uint32_t point_count;
    uint32_t member_count;
    uint32_t placed_count; /* members with points */
    uint32_t
        width; /* entries of a preference list: copies, or fewer where there are fewer members with weight */
    uint16_t *lists; /* SLOT_COUNT * width members */
    /* Slots before which there is a point: one bit each. The slots behind, up to the next such, have the same list and the same walk. */
    struct slot_set begins;
    uint64_t digest; /* of ids, weights, zones and copies */
};

/* Makes the ring of at most RING_MEMBERS_MAX members, `copies` (1..RING_COPIES_MAX) of each slot. Members may be 0, then width
 * is 0. NULL: no memory. Costs about 1 ms with 100 members. */
struct ring *ring_new(struct mem *mem, const struct ring_member *members, uint32_t member_count,
                      uint32_t copies);
void ring_free(struct ring *ring);

/* ring->digest of a ring of these: the order of the members does not matter. */
uint64_t ring_digest(const struct ring_member *members, uint32_t member_count, uint32_t copies);

/* The preference list of a slot: ring->width members, the primary first. */
static inline const uint16_t *ring_list(const struct ring *ring, uint32_t slot) {
    return ring->lists + (size_t)slot * ring->width;
}

/* Whether a slot has another place among the points than the slot before it. Where not, all that follows from the ring is the same. */
static inline bool ring_begins(const struct ring *ring, uint32_t slot) {
    return slot_set_has(&ring->begins, slot);
}

/* The first slot from `from` on that does; SLOT_COUNT: there is none. */
static inline uint32_t ring_next_begin(const struct ring *ring, uint32_t from) {
    return slot_set_next(&ring->begins, from);
}

static inline uint16_t ring_primary(const struct ring *ring, uint32_t slot) {
    return ring->width == 0 ? RING_NOBODY : *ring_list(ring, slot);
}

/* Whether a member is on the preference list of a slot. */
bool ring_holds(const struct ring *ring, uint32_t slot, uint16_t member);

/* All members with points in the order in which they come clockwise from a slot's place, each once: the preference list's
 * zones do not matter here. Writes at most `room` of them, returns how many. For stand-ins. */
uint32_t ring_walk(const struct ring *ring, uint32_t slot, uint16_t *members, uint32_t room);

/* Slots whose primary is `member`, and slots that it holds at all. */
void ring_share(const struct ring *ring, uint16_t member, uint32_t *primary_slots, uint32_t *held_slots);

#endif
