/* gossip_network_test.c - memberships among each other: how fast news and deaths are known, what gossip costs, what pauses,
 * losses and cuts do.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "virtual_network.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct network network;

static void tear_down(void) {
    network_release(&network);
}

TestSuite(gossip_network, .fini = tear_down);

static bool has_equal_digest(struct network *net, uint32_t node) {
    return membership_digest(net->nodes[node].membership) == membership_digest(net->nodes[0].membership);
}

static bool knows_of_equals(struct network *net, uint32_t node) {
    return network_sees_all_up(net, node) && has_equal_digest(net, node);
}

/* ---- Cost and speed at 100 nodes ---- */

static void measure_bytes(uint64_t *most_out, uint64_t *most_sum, uint64_t duration_ms) {
    uint64_t out[NETWORK_NODES_MAX], in[NETWORK_NODES_MAX];
    for (uint32_t i = 0; i < network.count; i++) {
        out[i] = membership_bytes_out(network.nodes[i].membership);
        in[i] = membership_bytes_in(network.nodes[i].membership);
    }
    network_run(&network, duration_ms);
    *most_out = *most_sum = 0;
    for (uint32_t i = 0; i < network.count; i++) {
        uint64_t out_now = membership_bytes_out(network.nodes[i].membership) - out[i];
        uint64_t sum = out_now + membership_bytes_in(network.nodes[i].membership) - in[i];
        *most_out = out_now > *most_out ? out_now : *most_out;
        *most_sum = sum > *most_sum ? sum : *most_sum;
    }
}

Test(gossip_network, a_hundred_nodes_spend_less_than_20_kilobytes_per_second_each, .timeout = 60) {
    network_init(&network, 1);
    network_form(&network, 100);
    for (uint32_t i = 0; i < 100; i++)
        membership_set_load(network.nodes[i].membership, 1000000 + i, 50000, (uint64_t)1 << 33);
    network_run(&network, 20000);
    uint64_t most_out, most_sum;
    measure_bytes(&most_out, &most_sum, 20000);
    printf("100 nodes: at most %.1f KB/s out, %.1f KB/s in and out\n", (double)most_out / 20000,
           (double)most_sum / 20000);
    cr_assert_lt(most_sum, 20 * 20000);
    cr_assert_gt(most_sum, 0);
    cr_assert_eq(network.false_downs, 0);
    /* Loads have come everywhere. */
    for (uint32_t i = 1; i < 100; i++)
        cr_assert_eq(network_view(&network, 0, i)->keys, 1000000 + i);
}

Test(gossip_network, a_change_is_known_to_a_hundred_nodes_within_ten_intervals, .timeout = 60) {
    network_init(&network, 2);
    network_form(&network, 99);
    network_run(&network, 10000);
    cr_assert(has_equal_digest(&network, 1));

    uint64_t worst_ms = 0;
    for (uint32_t round = 0; round < 10; round++) {
        membership_set_settled(network.nodes[round].membership, true);
        uint64_t took_ms = network_run_until(&network, has_equal_digest, 60000);
        worst_ms = took_ms > worst_ms ? took_ms : worst_ms;
    }
    printf("settled known after at most %lu ms\n", (unsigned long)worst_ms);
    cr_assert_lt(worst_ms, 10 * network.interval_ms);

    network_start(&network, 99);
    network_meet(&network, 99, 17);
    uint64_t joined_ms = network_run_until(&network, knows_of_equals, 60000);
    printf("a new node known after %lu ms\n", (unsigned long)joined_ms);
    cr_assert_lt(joined_ms, 10 * network.interval_ms);

    network_run(&network, 3000);
    network_kill(&network, 99, false);
    cr_assert(membership_forget(network.nodes[42].membership, network.nodes[99].id));
    uint64_t removed_ms = network_run_until(&network, knows_of_equals, 60000);
    printf("a removal known after %lu ms\n", (unsigned long)removed_ms);
    cr_assert_lt(removed_ms, 10 * network.interval_ms);
    cr_assert_eq(network_view(&network, 7, 99)->state, MEMBER_REMOVED);
}

/* ---- Death ---- */

static int compare_times(const void *one, const void *other) {
    uint64_t left = *(const uint64_t *)one, right = *(const uint64_t *)other;
    return left < right ? -1 : left > right;
}

/* Kills and restarts nodes; how long until each of the others took the dead one for down. */
static void measure_detection(uint32_t nodes, bool is_refused, uint32_t rounds, uint64_t *median_ms,
                              uint64_t *p99_ms) {
    uint64_t *times = malloc(rounds * nodes * sizeof *times);
    uint32_t count = 0;
    cr_assert_not_null(times);
    network_form(&network, nodes);
    for (uint32_t round = 0; round < rounds; round++) {
        uint32_t victim = (uint32_t)rng_below(&network.rng, nodes), other = (victim + 1) % nodes;
        network_run(&network, 2000 + rng_below(&network.rng, 200));
        uint64_t killed_ms = network.now_ms;
        network_kill(&network, victim, is_refused);
        network_run(&network, 8000);
        for (uint32_t i = 0; i < nodes; i++)
            if (i != victim) {
                cr_assert_neq(network.nodes[i].down_ms[victim], NETWORK_NEVER,
                              "node %u believes in dead node %u", i, victim);
                times[count++] = network.nodes[i].down_ms[victim] - killed_ms;
            }
        network_start(&network, victim);
        network_meet(&network, victim, other);
        cr_assert_neq(network_run_until(&network, knows_of_equals, 10000), NETWORK_NEVER);
    }
    qsort(times, count, sizeof *times, compare_times);
    *median_ms = times[count / 2];
    *p99_ms = times[count - 1 - count / 100];
    printf("%u nodes, %s: down after %lu ms (median), %lu ms (p99), %lu ms (longest)\n", nodes,
           is_refused ? "refused" : "silent", (unsigned long)*median_ms, (unsigned long)*p99_ms,
           (unsigned long)times[count - 1]);
    free(times);
    cr_assert_eq(network.false_downs, 0);
}

Test(gossip_network, a_silent_death_among_five_is_known_soon, .timeout = 60) {
    uint64_t median_ms, p99_ms;
    network_init(&network, 3);
    network.loss_per_mille = 50;
    measure_detection(5, false, 200, &median_ms, &p99_ms);
    cr_assert_leq(median_ms, 1500);
    cr_assert_leq(p99_ms, 4000);
}

Test(gossip_network, a_death_that_breaks_links_is_known_sooner, .timeout = 60) {
    uint64_t median_ms, p99_ms;
    network_init(&network, 4);
    measure_detection(5, true, 200, &median_ms, &p99_ms);
    cr_assert_leq(median_ms, 350);
    cr_assert_leq(p99_ms, 500);
}

Test(gossip_network, the_survivor_of_two_decides_alone, .timeout = 60) {
    uint64_t median_ms, p99_ms;
    network_init(&network, 5);
    measure_detection(2, false, 50, &median_ms, &p99_ms);
    cr_assert_leq(p99_ms, 4000);
}

Test(gossip_network, one_of_three_survives_the_death_of_both_others, .timeout = 60) {
    network_init(&network, 6);
    network_form(&network, 3);
    network_run(&network, 2000);
    network_kill(&network, 1, false);
    network_kill(&network, 2, false);
    network_run(&network, 4000);
    cr_assert_eq(membership_live_count(network.nodes[0].membership), 1);
    cr_assert_eq(network.nodes[0].events[MEMBERSHIP_DOWN], 2);
}

Test(gossip_network, a_death_among_a_hundred_is_known, .timeout = 60) {
    uint64_t median_ms, p99_ms;
    network_init(&network, 7);
    measure_detection(100, false, 1, &median_ms, &p99_ms);
    cr_assert_leq(p99_ms, 5000);
}

/* ---- No false deaths ---- */

static void pause_and_lose(uint32_t nodes, uint32_t hours) {
    network.loss_per_mille = 50;
    network_form(&network, nodes);
    network_run(&network, 5000);
    uint64_t end_ms = network.now_ms + (uint64_t)hours * 3600000;
    network.false_downs = 0;
    while (network.now_ms < end_ms) {
        network_pause(&network, (uint32_t)rng_below(&network.rng, nodes), rng_below(&network.rng, 1001));
        network_run(&network, 2000 + rng_below(&network.rng, 20000));
    }
    printf("%u nodes, %u node-hours: %lu false deaths\n", nodes, nodes * hours,
           (unsigned long)network.false_downs);
}

Test(gossip_network, five_nodes_that_pause_and_lose_messages_stay_up, .timeout = 60) {
    network_init(&network, 8);
    pause_and_lose(5, 5);
    cr_assert_eq(network.false_downs, 0);
}

Test(gossip_network, three_nodes_that_pause_and_lose_messages_stay_up, .timeout = 60) {
    network_init(&network, 9);
    pause_and_lose(3, 5);
    cr_assert_eq(network.false_downs, 0);
}

Test(gossip_network, two_nodes_that_pause_and_lose_messages_stay_up, .timeout = 60) {
    network_init(&network, 10);
    pause_and_lose(2, 5);
    cr_assert_eq(network.false_downs, 0);
}

Test(gossip_network, a_hundred_nodes_that_pause_and_lose_messages_stay_up, .timeout = 60) {
    network_init(&network, 11);
    network.loss_per_mille = 50;
    network_form(&network, 100);
    for (uint32_t round = 0; round < 30; round++) {
        network_pause(&network, (uint32_t)rng_below(&network.rng, 100), 1000);
        network_run(&network, 1000 + rng_below(&network.rng, 500));
    }
    cr_assert_eq(network.false_downs, 0);
}

/* ---- Cuts ---- */

Test(gossip_network, two_halves_find_each_other_again, .timeout = 60) {
    network_init(&network, 12);
    network_form(&network, 6);
    network_run(&network, 2000);
    network_set_cut(&network, 3, true);
    network_run(&network, 6000);
    for (uint32_t i = 0; i < 6; i++)
        cr_assert_eq(membership_live_count(network.nodes[i].membership), 3, "node %u", i);
    network_run(&network, 60000);
    network_set_cut(&network, 3, false);
    uint64_t healed_ms = network_run_until(&network, knows_of_equals, 60000);
    printf("healed after %lu ms\n", (unsigned long)healed_ms);
    cr_assert_leq(healed_ms, 5000);
    network.false_downs = 0;
    network_run(&network, 10000);
    cr_assert_eq(network.false_downs, 0);
}

Test(gossip_network, a_one_way_link_kills_nobody_while_a_third_node_hears_both, .timeout = 60) {
    network_init(&network, 13);
    network_form(&network, 3);
    network_run(&network, 2000);
    network.is_cut[0][1] = true;
    network_run(&network, 600000);
    cr_assert_eq(network.false_downs, 0);
}

Test(gossip_network, a_node_whose_links_keep_breaking_to_two_others_stays_up_while_the_rest_hears_it,
     .timeout = 60) {
    network_init(&network, 14);
    network_form(&network, 5);
    network_run(&network, 2000);
    for (uint32_t one = 0; one < 2; one++)
        network.is_cut[one][4] = network.is_cut[4][one] = true;
    for (uint32_t round = 0; round < 600; round++) {
        for (uint32_t one = 0; one < 2; one++)
            membership_note_broken(network.nodes[one].membership,
                                   membership_find(network.nodes[one].membership, network.nodes[4].id),
                                   network.now_ms);
        network_run(&network, 500);
    }
    printf("false deaths by broken links: %lu\n", (unsigned long)network.false_downs);
    cr_assert_eq(network.false_downs, 0);
    network_kill(&network, 4, false);
    network_run(&network, 4000);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(network_view(&network, i, 4)->state, MEMBER_DOWN, "node %u", i);
}

Test(gossip_network, a_node_that_was_down_because_it_stood_still_comes_back_by_itself, .timeout = 60) {
    network_init(&network, 15);
    network_form(&network, 5);
    network_run(&network, 2000);
    network_pause(&network, 2, 30000);
    network_run(&network, 29000);
    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(network_view(&network, i, 2)->state, i == 2 ? MEMBER_UP : MEMBER_DOWN);
    network_run(&network, 1001);
    uint64_t back_ms = network_run_until(&network, knows_of_equals, 10000);
    cr_assert_leq(back_ms, 400, "%lu ms", (unsigned long)back_ms);
    /* And it has not taken the others for dead meanwhile. */
    cr_assert_eq(network.nodes[2].events[MEMBERSHIP_DOWN], 0);
}

/* ---- Becoming a cluster ---- */

Test(gossip_network, nodes_that_start_at_once_with_each_other_as_seeds_become_one_cluster, .timeout = 60) {
    for (uint64_t seed = 100; seed < 200; seed++) {
        network_init(&network, seed);
        uint32_t nodes = 3 + (uint32_t)rng_below(&network.rng, 6);
        for (uint32_t i = 0; i < nodes; i++)
            network_start(&network, i);
        /* Introductions cross: all that are written at first say that their node is alone. */
        for (uint32_t left = 2 * nodes * nodes; left > 0; left--) {
            uint32_t one = (uint32_t)rng_below(&network.rng, nodes),
                     other = (uint32_t)rng_below(&network.rng, nodes);
            if (one != other)
                network_meet(&network, one, other);
            if (left % 4 == 0)
                network_run(&network, rng_below(&network.rng, 20));
        }
        cr_assert_neq(network_run_until(&network, knows_of_equals, 5000), NETWORK_NEVER, "seed %lu",
                      (unsigned long)seed);
        for (uint32_t i = 1; i < nodes; i++)
            cr_assert_eq(memcmp(membership_cluster_id(network.nodes[i].membership),
                                membership_cluster_id(network.nodes[0].membership), CLUSTER_ID_SIZE),
                         0);
        if (seed < 199)
            network_release(&network);
    }
}
