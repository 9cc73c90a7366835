/* ring.c - the points of the ring sorted, and the preference list of every slot read from them.
 *
 * Points are hashes, so they lie evenly: they are dealt into as many drawers as there are points, by their highest bits,
 * and each drawer of one or two is put in order where it lies. That is several times faster than a comparison sort.
 * May touch: base. Must never know: who is up, addresses, time.
 * Tests: tests/unit/cluster/ring_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/ring.h"

#include "base/encode.h"
#include "base/hash.h"

#include <string.h>

#define SLOT_PLACE_SHIFT 50 /* a slot's place is its number in the 14 highest bits */
#define DRAWER_BITS_MIN  8
#define DRAWER_BITS_MAX  20 /* 4 MiB of counters; a ring with more points than that has some in each drawer */

/* ---- Points ---- */

static uint64_t point_place(const uint8_t id[NODE_ID_SIZE], uint32_t number) {
    uint8_t bytes[NODE_ID_SIZE + sizeof number];
    memcpy(bytes, id, NODE_ID_SIZE);
    encode_fixed(bytes + NODE_ID_SIZE, number, sizeof number);
    return XXH3_64bits(bytes, sizeof bytes);
}

static bool point_is_before(const struct ring_member *members, const struct ring_point *one,
                            const struct ring_point *other) {
    if (one->place != other->place)
        return one->place < other->place;
    return memcmp(members[one->member].id, members[other->member].id, NODE_ID_SIZE) < 0;
}

static uint32_t member_points(const struct ring_member *member) {
    uint32_t weight = member->weight < RING_WEIGHT_MAX ? member->weight : RING_WEIGHT_MAX;
    return weight * RING_POINTS_PER_WEIGHT;
}

static void sort_drawer(const struct ring_member *members, struct ring_point *points, uint32_t count) {
    for (uint32_t i = 1; i < count; i++) {
        struct ring_point point = points[i];
        uint32_t at = i;
        for (; at > 0 && point_is_before(members, &point, &points[at - 1]); at--)
            points[at] = points[at - 1];
        points[at] = point;
    }
}

static unsigned drawer_bits(uint32_t point_count) {
    unsigned bits = DRAWER_BITS_MIN;
    while (bits < DRAWER_BITS_MAX && (uint32_t)1 << bits < point_count)
        bits++;
    return bits;
}

/* Fills ring->points in order. The places are computed twice, which is cheaper than keeping them in between. */
static bool make_points(struct ring *ring, const struct ring_member *members) {
    unsigned bits = drawer_bits(ring->point_count), shift = 64 - bits;
    size_t drawers = (size_t)1 << bits, size = (drawers + 1) * sizeof(uint32_t);
    uint32_t *ends = mem_alloc_zeroed(ring->mem, size);
    if (ends == NULL)
        return false;
    for (uint32_t member = 0; member < ring->member_count; member++)
        for (uint32_t i = member_points(&members[member]); i-- > 0;)
            ends[(point_place(members[member].id, i) >> shift) + 1]++;
    for (size_t drawer = 0; drawer < drawers; drawer++)
        ends[drawer + 1] += ends[drawer];
    /* ends[d] is where drawer d begins; filling it moves the number to where it ends. */
    for (uint32_t member = 0; member < ring->member_count; member++)
        for (uint32_t i = member_points(&members[member]); i-- > 0;) {
            uint64_t place = point_place(members[member].id, i);
            ring->points[ends[place >> shift]++] = (struct ring_point){place, (uint16_t)member};
        }
    uint32_t begin = 0;
    for (size_t drawer = 0; drawer < drawers; begin = ends[drawer], drawer++)
        sort_drawer(members, ring->points + begin, ends[drawer] - begin);
    mem_free(ring->mem, ends, size);
    return true;
}

/* The first point at or behind a place; point_count where the circle begins anew. */
static uint32_t first_point(const struct ring *ring, uint64_t place) {
    uint32_t low = 0, high = ring->point_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ring->points[middle].place < place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- Lists ---- */

static bool is_listed(const uint16_t *list, uint32_t count, uint16_t member) {
    for (uint32_t i = 0; i < count; i++)
        if (list[i] == member)
            return true;
    return false;
}

static bool is_zone_listed(const struct ring_member *members, const uint16_t *list, uint32_t count,
                           uint64_t zone) {
    for (uint32_t i = 0; i < count; i++)
        if (members[list[i]].zone == zone)
            return true;
    return false;
}

/* How many zones hold members with weight; counting stops at `limit`. */
static uint32_t count_zones(const struct ring_member *members, uint32_t member_count, uint32_t limit) {
    uint64_t zones[RING_COPIES_MAX];
    uint32_t count = 0;
    for (uint32_t member = 0; member < member_count && count < limit; member++) {
        bool is_new = members[member].weight > 0;
        for (uint32_t i = 0; i < count && is_new; i++)
            is_new = zones[i] != members[member].zone;
        if (is_new)
            zones[count++] = members[member].zone;
    }
    return count;
}

/* Walks from `start` and lists members until there are `wanted`: of new zones only, or of any. */
static uint32_t extend_list(const struct ring *ring, const struct ring_member *members, uint32_t start,
                            uint16_t *list, uint32_t count, uint32_t wanted, bool of_new_zones) {
    uint32_t at = start;
    for (uint32_t left = ring->point_count; left > 0 && count < wanted; left--) {
        uint16_t member = ring->points[at].member;
        if (++at == ring->point_count)
            at = 0;
        if (of_new_zones ? !is_zone_listed(members, list, count, members[member].zone)
                         : !is_listed(list, count, member))
            list[count++] = member;
    }
    return count;
}

static void make_lists(struct ring *ring, const struct ring_member *members) {
    uint32_t zones = count_zones(members, ring->member_count, ring->width), start = 0;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        uint64_t place = (uint64_t)slot << SLOT_PLACE_SHIFT;
        uint32_t before = start;
        while (start < ring->point_count && ring->points[start].place < place)
            start++;
        uint16_t *list = ring->lists + (size_t)slot * ring->width;
        if (slot != 0 && start == before) {
            for (uint32_t i = 0; i < ring->width; i++)
                list[i] = list[i - (ptrdiff_t)ring->width];
            continue;
        }
        slot_set_add(&ring->begins, slot);
        uint32_t first = start == ring->point_count ? 0 : start;
        uint32_t count = extend_list(ring, members, first, list, 0, zones, true);
        extend_list(ring, members, first, list, count, ring->width, false);
    }
}

/* ---- The ring ---- */

/* A sum does not depend on the order of what is summed. */
uint64_t ring_digest(const struct ring_member *members, uint32_t member_count, uint32_t copies) {
    uint8_t bytes[NODE_ID_SIZE + 4 + 8];
    encode_fixed(bytes, copies, 4);
    uint64_t digest = XXH3_64bits(bytes, 4);
    for (uint32_t i = 0; i < member_count; i++) {
        memcpy(bytes, members[i].id, NODE_ID_SIZE);
        uint8_t *end = encode_fixed(bytes + NODE_ID_SIZE, members[i].weight, 4);
        encode_fixed(end, members[i].zone, 8);
        digest += XXH3_64bits(bytes, sizeof bytes);
    }
    return digest;
}

struct ring *ring_new(struct mem *mem, const struct ring_member *members, uint32_t member_count,
                      uint32_t copies) {
    CHECK(member_count <= RING_MEMBERS_MAX && copies >= 1 && copies <= RING_COPIES_MAX);
    struct ring *ring = mem_alloc_zeroed(mem, sizeof *ring);
    if (ring == NULL)
        return NULL;
    ring->mem = mem;
    ring->member_count = member_count;
    for (uint32_t i = 0; i < member_count; i++) {
        ring->point_count += member_points(&members[i]);
        ring->placed_count += members[i].weight > 0;
    }
    ring->width = ring->placed_count < copies ? ring->placed_count : copies;
    ring->digest = ring_digest(members, member_count, copies);
    if (ring->width == 0)
        return ring;
    ring->points = mem_alloc(mem, ring->point_count * sizeof *ring->points);
    ring->lists = mem_alloc(mem, (size_t)SLOT_COUNT * ring->width * sizeof *ring->lists);
    if (ring->points == NULL || ring->lists == NULL || !make_points(ring, members)) {
        ring_free(ring);
        return NULL;
    }
    make_lists(ring, members);
    return ring;
}

void ring_free(struct ring *ring) {
    if (ring == NULL)
        return;
    mem_free(ring->mem, ring->points, ring->point_count * sizeof *ring->points);
    mem_free(ring->mem, ring->lists, (size_t)SLOT_COUNT * ring->width * sizeof *ring->lists);
    mem_free(ring->mem, ring, sizeof *ring);
}

bool ring_holds(const struct ring *ring, uint32_t slot, uint16_t member) {
    return is_listed(ring_list(ring, slot), ring->width, member);
}

uint32_t ring_walk(const struct ring *ring, uint32_t slot, uint16_t *members, uint32_t room) {
    uint8_t seen[(RING_MEMBERS_MAX + 7) / 8] = {0};
    uint32_t count = 0, wanted = room < ring->placed_count ? room : ring->placed_count;
    uint32_t at = first_point(ring, (uint64_t)slot << SLOT_PLACE_SHIFT);
    while (count < wanted) {
        if (at == ring->point_count)
            at = 0;
        uint16_t member = ring->points[at++].member;
        uint8_t bit = (uint8_t)(1u << member % 8);
        if (seen[member / 8] & bit)
            continue;
        seen[member / 8] |= bit;
        members[count++] = member;
    }
    return count;
}

void ring_share(const struct ring *ring, uint16_t member, uint32_t *primary_slots, uint32_t *held_slots) {
    *primary_slots = *held_slots = 0;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        *primary_slots += ring_primary(ring, slot) == member;
        *held_slots += ring_holds(ring, slot, member);
    }
}
