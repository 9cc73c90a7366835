/* ring_test.c - the ring: how even it is, what moves when members come and go, zones, weights, the digest.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/ring.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct mem mem;
static struct ring_member members[RING_MEMBERS_MAX];
static struct rng rng;

static void fresh_members(uint64_t seed, uint32_t count) {
    rng_init(&rng, seed);
    for (uint32_t i = 0; i < count; i++) {
        for (size_t byte = 0; byte < NODE_ID_SIZE; byte++)
            members[i].id[byte] = (uint8_t)rng_next64(&rng);
        members[i].weight = 1;
        members[i].zone = 7;
    }
}

static struct ring *make(uint32_t count, uint32_t copies) {
    struct ring *ring = ring_new(&mem, members, count, copies);
    cr_assert_not_null(ring);
    return ring;
}

static void tear_down(void) {
    cr_assert_eq(mem.used_bytes, 0);
    cr_assert_eq(mem.allocations, 0);
}

TestSuite(ring, .fini = tear_down);

/* ---- The definition, computed in the plainest way ---- */

static uint32_t count_zones_with_weight(uint32_t count) {
    uint32_t zones = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool is_new = members[i].weight > 0;
        for (uint32_t other = 0; other < i; other++)
            is_new &= members[other].weight == 0 || members[other].zone != members[i].zone;
        zones += is_new;
    }
    return zones;
}

static void check_list_by_definition(const struct ring *ring, uint32_t count, uint32_t slot) {
    uint16_t expected[RING_COPIES_MAX];
    uint32_t width = 0, zones = count_zones_with_weight(count), listed_zones = 0, start = 0;
    while (start < ring->point_count && ring->points[start].place < (uint64_t)slot << 50)
        start++;
    while (width < ring->width) {
        bool was_added = false;
        for (uint32_t step = 0; step < ring->point_count && !was_added; step++) {
            uint16_t member = ring->points[(start + step) % ring->point_count].member;
            bool is_listed = false, is_zone_listed = false;
            for (uint32_t i = 0; i < width; i++) {
                is_listed |= expected[i] == member;
                is_zone_listed |= members[expected[i]].zone == members[member].zone;
            }
            if (is_listed || (is_zone_listed && listed_zones < zones))
                continue;
            listed_zones += !is_zone_listed;
            expected[width++] = member;
            was_added = true;
        }
        cr_assert(was_added);
    }
    cr_assert_eq(memcmp(expected, ring_list(ring, slot), width * sizeof *expected), 0, "slot %u", slot);
}

Test(ring, lists_are_what_the_definition_says) {
    for (uint32_t round = 0; round < 40; round++) {
        fresh_members(round, 12);
        uint32_t count = 1 + (uint32_t)rng_below(&rng, 12), zones = 1 + (uint32_t)rng_below(&rng, 4);
        for (uint32_t i = 0; i < count; i++) {
            members[i].zone = rng_below(&rng, zones);
            members[i].weight = (uint32_t)rng_below(&rng, 3);
        }
        struct ring *ring = make(count, 1 + (uint32_t)rng_below(&rng, RING_COPIES_MAX));
        for (uint32_t i = 1; i < ring->point_count; i++)
            cr_assert_leq(ring->points[i - 1].place, ring->points[i].place);
        for (uint32_t probe = 0; probe < 60 && ring->width > 0; probe++)
            check_list_by_definition(ring, count,
                                     probe == 0 ? SLOT_COUNT - 1 : (uint32_t)rng_below(&rng, SLOT_COUNT));
        ring_free(ring);
    }
}

/* ---- How even it is ---- */

static double primary_imbalance(const struct ring *ring, uint32_t count) {
    uint32_t most = 0, sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t primary, held;
        ring_share(ring, (uint16_t)i, &primary, &held);
        most = primary > most ? primary : most;
        sum += primary;
        cr_assert_geq(held, primary);
    }
    cr_assert_eq(sum, SLOT_COUNT);
    return (double)most * count / SLOT_COUNT;
}

Test(ring, shares_are_even) {
    static const uint32_t counts[] = {3, 10, 30, 100};
    static const double bounds[] = {1.20, 1.25, 1.30, 1.40};
    for (size_t i = 0; i < 4; i++) {
        double worst = 0, sum = 0;
        for (uint64_t seed = 0; seed < 20; seed++) {
            fresh_members(seed, counts[i]);
            struct ring *ring = make(counts[i], 3);
            double imbalance = primary_imbalance(ring, counts[i]);
            worst = imbalance > worst ? imbalance : worst;
            sum += imbalance;
            ring_free(ring);
        }
        printf("%u members: the largest share is %.3f of the mean (average of 20 rings), %.3f (worst)\n",
               counts[i], sum / 20, worst);
        cr_assert_lt(worst, bounds[i]);
    }
}

Test(ring, shares_follow_weights) {
    fresh_members(1, 4);
    for (uint32_t i = 0; i < 4; i++)
        members[i].weight = 1 + i;
    struct ring *ring = make(4, 1);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t primary, held;
        ring_share(ring, (uint16_t)i, &primary, &held);
        double expected = SLOT_COUNT * (1.0 + i) / 10;
        cr_assert_float_eq(primary, expected, expected * 0.15, "weight %u: %u slots", 1 + i, primary);
        cr_assert_eq(primary, held);
    }
    ring_free(ring);
}

Test(ring, a_member_without_weight_holds_nothing) {
    fresh_members(2, 4);
    members[1].weight = 0;
    struct ring *ring = make(4, 8);
    uint32_t primary, held;
    uint16_t walked[4];
    ring_share(ring, 1, &primary, &held);
    cr_assert_eq(held, 0);
    cr_assert_eq(ring->width, 3);
    cr_assert_eq(ring_walk(ring, 5, walked, 4), 3);
    ring_free(ring);
}

Test(ring, no_two_points_of_a_hundred_members_coincide) {
    fresh_members(3, 100);
    struct ring *ring = make(100, 1);
    cr_assert_eq(ring->point_count, 100 * RING_POINTS_PER_WEIGHT);
    for (uint32_t i = 1; i < ring->point_count; i++)
        cr_assert_lt(ring->points[i - 1].place, ring->points[i].place);
    ring_free(ring);
}

/* ---- What moves ---- */

/* The ring of all members but the one at `gone`, with members named as in the ring of all. */
static uint32_t moved_slots(uint32_t count, uint32_t gone, uint32_t copies, bool keeps_order) {
    struct ring *all = make(count, copies);
    struct ring_member kept = members[gone];
    memmove(members + gone, members + gone + 1, (count - gone - 1) * sizeof *members);
    struct ring *without = make(count - 1, copies);
    memmove(members + gone + 1, members + gone, (count - gone - 1) * sizeof *members);
    members[gone] = kept;
    uint32_t moved = 0;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        const uint16_t *before = ring_list(all, slot), *after = ring_list(without, slot);
        uint32_t at = 0;
        bool has_changed = all->width != without->width;
        for (uint32_t i = 0; i < without->width && i < all->width; i++)
            has_changed |= before[i] != after[i] + (after[i] >= gone);
        moved += has_changed;
        cr_assert_eq(has_changed, ring_holds(all, slot, (uint16_t)gone), "slot %u", slot);
        if (!keeps_order)
            continue;
        /* Those that stay stand in the same order, one new member behind them. */
        for (uint32_t i = 0; i < all->width; i++)
            if (before[i] != gone) {
                while (at < without->width && after[at] + (after[at] >= gone) != before[i])
                    at++;
                cr_assert_lt(at, without->width, "slot %u", slot);
            }
    }
    ring_free(all);
    ring_free(without);
    return moved;
}

Test(ring, adding_or_removing_a_member_moves_only_its_slots) {
    fresh_members(4, 30);
    for (uint32_t gone = 0; gone < 10; gone++) {
        uint32_t moved = moved_slots(30, gone, 3, true);
        cr_assert_float_eq(moved, SLOT_COUNT * 3.0 / 30, SLOT_COUNT * 3.0 / 30 * 0.3);
    }
    moved_slots(4, 2, 3, true);
    moved_slots(3, 2, 3, true);
}

Test(ring, zones_move_only_the_slots_of_the_member_too) {
    fresh_members(5, 12);
    for (uint32_t i = 0; i < 12; i++)
        members[i].zone = i % 4;
    for (uint32_t gone = 0; gone < 12; gone++)
        moved_slots(12, gone, 3, true);
    for (uint32_t i = 0; i < 12; i++)
        members[i].zone = i == 3 ? 2 : i % 2;
    for (uint32_t gone = 0; gone < 12; gone++)
        moved_slots(12, gone, 4, false);
}

Test(ring, more_weight_moves_slots_to_that_member_only) {
    fresh_members(6, 8);
    struct ring *before = make(8, 1);
    members[5].weight = 2;
    struct ring *after = make(8, 1);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        cr_assert(ring_primary(after, slot) == 5 || ring_primary(after, slot) == ring_primary(before, slot));
    ring_free(before);
    ring_free(after);
}

/* ---- Zones ---- */

Test(ring, three_copies_are_in_three_zones_where_there_are_three) {
    fresh_members(7, 20);
    for (uint32_t i = 0; i < 20; i++)
        members[i].zone = i < 15 ? 1 : i < 18 ? 2 : 3; /* uneven */
    struct ring *ring = make(20, 3);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        const uint16_t *list = ring_list(ring, slot);
        uint64_t zones = 0;
        for (uint32_t i = 0; i < 3; i++)
            zones |= (uint64_t)1 << members[list[i]].zone;
        cr_assert_eq(zones, 14, "slot %u", slot);
    }
    ring_free(ring);
}

Test(ring, with_fewer_zones_than_copies_each_zone_holds_one) {
    fresh_members(8, 10);
    for (uint32_t i = 0; i < 10; i++)
        members[i].zone = i == 4 ? 1 : 0;
    struct ring *ring = make(10, 3);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        cr_assert(ring_holds(ring, slot, 4));
    ring_free(ring);
}

/* ---- Order, digest, walk ---- */

Test(ring, the_order_of_members_does_not_matter) {
    fresh_members(9, 15);
    for (uint32_t i = 0; i < 15; i++)
        members[i].zone = i % 3;
    struct ring *one = make(15, 3);
    for (uint32_t i = 0; i < 7; i++) {
        struct ring_member swapped = members[i];
        members[i] = members[14 - i];
        members[14 - i] = swapped;
    }
    struct ring *other = make(15, 3);
    for (size_t i = 0; i < SLOT_COUNT * 3; i++)
        cr_assert_eq(one->lists[i], 14 - other->lists[i]);
    cr_assert_eq(one->digest, other->digest);
    ring_free(one);
    ring_free(other);
}

static uint64_t digest_of(uint32_t count, uint32_t copies) {
    struct ring *ring = make(count, copies);
    uint64_t digest = ring->digest;
    ring_free(ring);
    return digest;
}

Test(ring, digests_are_equal_for_equal_members_only) {
    fresh_members(10, 6);
    uint64_t digest = digest_of(5, 3);
    cr_assert_eq(digest_of(5, 3), digest);
    cr_assert_neq(digest_of(6, 3), digest);
    cr_assert_neq(digest_of(4, 3), digest);
    cr_assert_neq(digest_of(5, 2), digest);
    members[2].weight = 2;
    cr_assert_neq(digest_of(5, 3), digest);
    members[2].weight = 1;
    members[2].zone++;
    cr_assert_neq(digest_of(5, 3), digest);
    members[2].zone--;
    members[2].id[19] ^= 1;
    cr_assert_neq(digest_of(5, 3), digest);
    members[2].id[19] ^= 1;
    cr_assert_eq(digest_of(5, 3), digest);
}

Test(ring, a_walk_meets_everybody_once_and_begins_with_the_list) {
    fresh_members(11, 50);
    struct ring *ring = make(50, 3);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot += 97) {
        uint16_t walked[60];
        bool seen[50] = {false};
        cr_assert_eq(ring_walk(ring, slot, walked, 60), 50);
        for (uint32_t i = 0; i < 50; i++) {
            cr_assert(!seen[walked[i]]);
            seen[walked[i]] = true;
        }
        cr_assert_eq(memcmp(walked, ring_list(ring, slot), 3 * sizeof *walked), 0);
        cr_assert_eq(ring_walk(ring, slot, walked, 7), 7);
    }
    ring_free(ring);
}

Test(ring, nobody_holds_the_slots_of_an_empty_ring) {
    struct ring *ring = make(0, 3);
    uint16_t walked[1];
    cr_assert_eq(ring->width, 0);
    cr_assert_eq(ring_primary(ring, 1), RING_NOBODY);
    cr_assert(!ring_holds(ring, 1, 0));
    cr_assert_eq(ring_walk(ring, 1, walked, 1), 0);
    ring_free(ring);
    fresh_members(12, 1);
    ring = make(1, 3);
    cr_assert_eq(ring->width, 1);
    cr_assert_eq(ring_primary(ring, SLOT_COUNT - 1), 0);
    ring_free(ring);
}

/* ---- Cost ---- */

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

Test(ring, a_ring_of_a_hundred_members_is_made_in_milliseconds) {
    fresh_members(13, RING_MEMBERS_MAX);
    for (uint32_t i = 0; i < RING_MEMBERS_MAX; i++)
        members[i].zone = i % 3;
    double best = 1;
    for (uint32_t round = 0; round < 10; round++) {
        double start = seconds();
        struct ring *ring = make(100, 3);
        double took = seconds() - start;
        best = took < best ? took : best;
        ring_free(ring);
    }
    double start = seconds();
    ring_free(make(RING_MEMBERS_MAX, 3));
    printf("a ring of 100 members takes %.2f ms, one of %d %.1f ms\n", best * 1000, RING_MEMBERS_MAX,
           (seconds() - start) * 1000);
#ifndef __SANITIZE_ADDRESS__
    cr_assert_lt(best, 0.01);
#endif
}

Test(ring, a_large_and_uneven_ring_is_made_in_time) {
    fresh_members(14, 50);
    for (uint32_t i = 0; i < 50; i++) {
        members[i].weight = i == 0 ? 1 : RING_WEIGHT_MAX;
        members[i].zone = i == 0;
    }
    double start = seconds();
    struct ring *ring = make(50, 3);
    printf("a ring of %u points takes %.0f ms\n", ring->point_count, (seconds() - start) * 1000);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        cr_assert(ring_holds(ring, slot, 0));
    ring_free(ring);
}

Test(ring, missing_memory_is_no_ring_and_no_leak) {
    fresh_members(15, 10);
    for (uint64_t fuse = 1; fuse <= 4; fuse++) {
        mem.fuse = fuse;
        cr_assert_null(ring_new(&mem, members, 10, 3), "allocation %lu", (unsigned long)fuse);
        cr_assert_eq(mem.allocations, 0);
    }
    mem.fuse = 0;
}

Test(ring, slots_between_two_points_have_the_same_list_and_the_same_walk) {
    static const uint32_t counts[] = {1, 2, 5, 40};
    for (unsigned i = 0; i < 4; i++) {
        fresh_members(70 + i, counts[i]);
        struct ring *ring = make(counts[i], 3);
        uint32_t begins = 0;
        for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
            uint16_t walk[RING_MEMBERS_MAX], before[RING_MEMBERS_MAX];
            begins += ring_begins(ring, slot);
            uint32_t next = slot;
            while (next < SLOT_COUNT && !ring_begins(ring, next))
                next++;
            cr_assert_eq(ring_next_begin(ring, slot), next);
            if (slot == 0 || ring_begins(ring, slot))
                continue;
            cr_assert_eq(memcmp(ring_list(ring, slot), ring_list(ring, slot - 1), ring->width * 2), 0);
            uint32_t count = ring_walk(ring, slot, walk, RING_MEMBERS_MAX);
            cr_assert_eq(count, ring_walk(ring, slot - 1, before, RING_MEMBERS_MAX));
            cr_assert_eq(memcmp(walk, before, count * sizeof *walk), 0);
        }
        cr_assert(ring_begins(ring, 0));
        cr_assert_leq(begins, ring->point_count + 1);
        cr_assert_gt(begins, 1);
        ring_free(ring);
    }
}
