/* membership_test.c - one membership and its neighbours: introductions, clusters' ids, incarnations, removal, files, damage,
 * missing memory. How many of them get on together: gossip_network_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "virtual_network.h"

#include "base/checksum.h"
#include "base/encode.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct network network;

static void set_up(void) {
    network_init(&network, 1);
}

static void tear_down(void) {
    network_release(&network);
}

TestSuite(membership, .init = set_up, .fini = tear_down, .timeout = 60);

static struct membership *at(uint32_t node) {
    return network.nodes[node].membership;
}

static uint64_t events(uint32_t node, enum membership_event_kind kind) {
    return network.nodes[node].events[kind];
}

static bool has_same_cluster(uint32_t one, uint32_t other) {
    return memcmp(membership_cluster_id(at(one)), membership_cluster_id(at(other)), CLUSTER_ID_SIZE) == 0;
}

static uint64_t digest_of(struct network *net, uint32_t node) {
    return membership_digest(net->nodes[node].membership);
}

static bool agrees(struct network *net, uint32_t node) {
    for (uint32_t i = 0; i < net->count; i++)
        if (net->nodes[i].membership != NULL && digest_of(net, i) != digest_of(net, node))
            return false;
    return true;
}

static void settle(void) {
    cr_assert_neq(network_run_until(&network, agrees, 10000), NETWORK_NEVER);
}

/* ---- Alone ---- */

Test(membership, a_lone_node_is_its_own_cluster) {
    network_start(&network, 0);
    network_run(&network, 10000);
    cr_assert_eq(membership_count(at(0)), 1);
    cr_assert_eq(membership_live_count(at(0)), 1);
    cr_assert(membership_is_alone(at(0)));
    cr_assert_eq(membership_find(at(0), network.nodes[0].id), 0);
    cr_assert_eq(network.messages, 0);
    struct ring_member members[1];
    uint16_t indexes[1];
    cr_assert_eq(membership_ring_members(at(0), members, indexes), 1);
    cr_assert_eq(members[0].weight, 1);
}

/* ---- Introductions ---- */

static enum introduction introduce(uint32_t to, const struct buffer *introduction) {
    uint16_t index;
    return membership_introduce(at(to), introduction->data, introduction->size, network.now_ms, &index);
}

static struct buffer introduction_of(uint32_t node) {
    struct buffer introduction;
    buffer_init(&introduction, &network.mem);
    cr_assert(membership_write_introduction(at(node), &introduction));
    return introduction;
}

Test(membership, a_node_knows_its_own_address) {
    network_start(&network, 0);
    struct buffer introduction = introduction_of(0);
    cr_assert_eq(introduce(0, &introduction), INTRODUCTION_SELF);
    cr_assert(membership_is_alone(at(0)));
    buffer_release(&introduction);
}

Test(membership, of_two_lone_nodes_the_lower_cluster_id_stays) {
    for (uint32_t pair = 0; pair < 20; pair += 2) {
        network_start(&network, pair);
        network_start(&network, pair + 1);
        bool is_first_lower =
            memcmp(membership_cluster_id(at(pair)), membership_cluster_id(at(pair + 1)), CLUSTER_ID_SIZE) < 0;
        uint8_t lower[CLUSTER_ID_SIZE];
        memcpy(lower, membership_cluster_id(at(is_first_lower ? pair : pair + 1)), CLUSTER_ID_SIZE);
        cr_assert_eq(network_meet(&network, pair, pair + 1), INTRODUCTION_WELCOME);
        network_run(&network, 300);
        cr_assert(has_same_cluster(pair, pair + 1));
        cr_assert_eq(memcmp(membership_cluster_id(at(pair)), lower, CLUSTER_ID_SIZE), 0);
        cr_assert_eq(events(pair, MEMBERSHIP_ADOPTED), !is_first_lower);
        cr_assert_eq(events(pair + 1, MEMBERSHIP_ADOPTED), is_first_lower);
        cr_assert_eq(events(pair, MEMBERSHIP_JOINED), 1);
        cr_assert_eq(events(pair + 1, MEMBERSHIP_JOINED), 1);
    }
}

Test(membership, a_lone_node_takes_over_the_id_of_a_cluster_whatever_it_is) {
    for (uint32_t first = 0; first < 30; first += 3) {
        network_start(&network, first);
        network_start(&network, first + 1);
        network_meet(&network, first, first + 1);
        network_run(&network, 20000);
        uint8_t id[CLUSTER_ID_SIZE];
        memcpy(id, membership_cluster_id(at(first)), CLUSTER_ID_SIZE);
        network_start(&network, first + 2);
        network_meet(&network, first + 2, first);
        network_run(&network, 50);
        cr_assert_eq(memcmp(membership_cluster_id(at(first + 2)), id, CLUSTER_ID_SIZE), 0);
        cr_assert_eq(memcmp(membership_cluster_id(at(first)), id, CLUSTER_ID_SIZE), 0);
        cr_assert_eq(events(first + 2, MEMBERSHIP_ADOPTED), 1);
    }
}

Test(membership, two_clusters_do_not_merge) {
    for (uint32_t i = 0; i < 4; i++)
        network_start(&network, i);
    network_meet(&network, 0, 1);
    network_meet(&network, 2, 3);
    network_run(&network, 10000);
    cr_assert_eq(network_meet(&network, 0, 2), INTRODUCTION_FOREIGN);
    cr_assert_eq(network_meet(&network, 2, 0), INTRODUCTION_FOREIGN);
    network_run(&network, 10000);
    cr_assert(!has_same_cluster(0, 2));
    cr_assert_eq(membership_count(at(0)), 2);
    cr_assert_eq(membership_count(at(2)), 2);
    /* Twice in a moment is one event. */
    cr_assert_eq(events(0, MEMBERSHIP_FOREIGN), 1);
    cr_assert_eq(events(2, MEMBERSHIP_FOREIGN), 1);
}

Test(membership, a_node_that_is_expected_to_take_over_the_id_is_no_member_before_it_has_done_so) {
    network_start(&network, 0);
    network_start(&network, 1);
    network_start(&network, 2);
    network_meet(&network, 0, 1);
    network_run(&network, 10000);
    struct buffer introduction = introduction_of(2);
    uint64_t digest = membership_digest(at(0));
    cr_assert_eq(introduce(0, &introduction), INTRODUCTION_WELCOME);
    uint16_t index = membership_find(at(0), network.nodes[2].id);
    cr_assert_neq(index, RING_NOBODY);
    struct ring_member members[RING_MEMBERS_MAX];
    uint16_t indexes[RING_MEMBERS_MAX];
    cr_assert_eq(membership_ring_members(at(0), members, indexes), 2);
    cr_assert_eq(membership_live_count(at(0)), 2);
    cr_assert_eq(membership_digest(at(0)), digest);
    cr_assert(!membership_wants_link(at(0), index));
    network_kill(&network, 2, false);
    network_run(&network, 20000);
    cr_assert_eq(membership_live_count(at(0)), 2);
    cr_assert_eq(membership_count(at(1)), 2);
    network_start(&network, 2);
    /* Now it comes in earnest. */
    cr_assert_eq(network_meet(&network, 2, 0), INTRODUCTION_WELCOME);
    network_run(&network, 1000);
    cr_assert_eq(membership_live_count(at(0)), 3);
    cr_assert(membership_wants_link(at(0), index));
    buffer_release(&introduction);
}

Test(membership, another_process_with_the_id_of_a_living_member_is_refused) {
    network_form(&network, 3);
    /* A copy of node 1: same id and incarnation, another run. */
    network_start(&network, 50);
    struct membership_options options = {.mem = &network.mem,
                                         .self = membership_member(at(1), 0)->entry,
                                         .interval_ms = 200,
                                         .suspect_timeout_ms = 1000,
                                         .fan_out = 3,
                                         .now_ms = network.now_ms};
    options.self.run++;
    memcpy(options.fresh_cluster_id, membership_cluster_id(at(0)), CLUSTER_ID_SIZE);
    struct membership *copy = membership_new(&options);
    struct buffer introduction;
    buffer_init(&introduction, &network.mem);
    cr_assert(membership_write_introduction(copy, &introduction));
    cr_assert_eq(introduce(0, &introduction), INTRODUCTION_DUPLICATE);
    cr_assert_eq(introduce(1, &introduction), INTRODUCTION_DUPLICATE);
    network_run(&network, 100);
    cr_assert_eq(events(0, MEMBERSHIP_DUPLICATE), 1);
    cr_assert_eq(events(1, MEMBERSHIP_DUPLICATE), 1);
    cr_assert_eq(network.nodes[1].last[MEMBERSHIP_DUPLICATE].member, 0);
    /* Once the member is silent, the process is welcome (and told that it needs a later incarnation). */
    network_kill(&network, 1, false);
    network_run(&network, 5000);
    cr_assert_eq(introduce(0, &introduction), INTRODUCTION_WELCOME);
    uint16_t index;
    bool was_told = false;
    struct buffer message;
    buffer_init(&message, &network.mem);
    uint16_t from = RING_NOBODY;
    struct buffer back = introduction_of(0);
    cr_assert_eq(membership_introduce(copy, back.data, back.size, network.now_ms, &from),
                 INTRODUCTION_WELCOME);
    while (membership_next_message(at(0), &index, &message))
        if (index == membership_find(at(0), network.nodes[1].id))
            cr_assert(membership_receive(copy, from, message.data, message.size, network.now_ms));
    struct membership_event event;
    while (membership_next_event(copy, &event))
        was_told |= event.kind == MEMBERSHIP_SELF_OUTDATED && event.incarnation == 1;
    cr_assert(was_told);
    buffer_release(&back);
    buffer_release(&message);
    buffer_release(&introduction);
    membership_free(copy);
}

/* ---- Restarts, incarnations, changes ---- */

Test(membership, a_restart_is_one_event_everywhere) {
    network_form(&network, 4);
    network_run(&network, 5000);
    network_kill(&network, 2, true);
    network_start(&network, 2);
    network_meet(&network, 2, 0);
    settle();
    for (uint32_t i = 0; i < 4; i++)
        if (i != 2) {
            cr_assert_eq(events(i, MEMBERSHIP_RESTARTED), 1);
            cr_assert_eq(events(i, MEMBERSHIP_DOWN), 0);
            cr_assert_eq(network_view(&network, i, 2)->entry.incarnation, 2);
            cr_assert_eq(network_view(&network, i, 2)->state, MEMBER_UP);
        }
}

Test(membership, a_node_that_lost_its_incarnation_is_told_the_one_that_others_know) {
    network_form(&network, 4);
    network_kill(&network, 2, true);
    network_run(&network, 3000);
    network.nodes[2].incarnation = 6;
    network_start(&network, 2); /* 7 */
    network_meet(&network, 2, 0);
    settle();
    network_kill(&network, 2, true);
    network_run(&network, 3000);
    network.nodes[2].incarnation = 0;
    network_start(&network, 2); /* 1, as if its disk were empty */
    cr_assert_eq(network_meet(&network, 2, 0), INTRODUCTION_WELCOME);
    network_run(&network, 1000);
    cr_assert_eq(events(2, MEMBERSHIP_SELF_OUTDATED), 1);
    cr_assert_eq(network.nodes[2].last[MEMBERSHIP_SELF_OUTDATED].incarnation, 7);
    cr_assert_eq(network_view(&network, 0, 2)->state, MEMBER_DOWN);
    membership_set_incarnation(at(2), 8);
    settle();
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(network_view(&network, i, 2)->entry.incarnation, 8);
        cr_assert_eq(network_view(&network, i, 2)->state, MEMBER_UP);
        cr_assert_eq(events(i, MEMBERSHIP_DUPLICATE), 0);
    }
}

Test(membership, what_a_member_says_about_itself_is_known_everywhere) {
    network_form(&network, 4);
    uint64_t changed = events(3, MEMBERSHIP_CHANGED), epoch = membership_epoch(at(3));
    membership_set_address(at(1), "cache-1.example.org", 1, 2, 3);
    settle();
    membership_set_place(at(1), "west", 7);
    settle();
    membership_set_settled(at(1), true);
    membership_set_settled(at(1), true);
    settle();
    membership_set_leaving(at(1), true);
    settle();
    membership_set_load(at(1), 11, 22, 33);
    network_run(&network, 2000);
    const struct member *member = network_view(&network, 3, 1);
    cr_assert_str_eq(member->entry.host, "cache-1.example.org");
    cr_assert_str_eq(member->entry.zone, "west");
    cr_assert_eq(member->entry.weight, 7);
    cr_assert_eq(member->entry.port, 1);
    cr_assert_eq(member->entry.cluster_port, 2);
    cr_assert_eq(member->entry.peer_port, 3);
    cr_assert(member->entry.is_settled && member->entry.is_leaving);
    cr_assert_eq(member->keys, 11);
    cr_assert_eq(member->operations_per_s, 22);
    cr_assert_eq(member->used_bytes, 33);
    cr_assert_eq(events(3, MEMBERSHIP_CHANGED), changed + 4);
    cr_assert_geq(membership_epoch(at(3)), epoch + 4);
    struct ring_member members[2][RING_MEMBERS_MAX];
    uint16_t indexes[RING_MEMBERS_MAX];
    struct ring *rings[2];
    for (uint32_t i = 0; i < 2; i++)
        rings[i] = ring_new(&network.mem, members[i], membership_ring_members(at(i), members[i], indexes), 3);
    cr_assert_eq(rings[0]->digest, rings[1]->digest);
    ring_free(rings[0]);
    ring_free(rings[1]);
}

/* ---- Removal ---- */

Test(membership, a_removed_member_stays_removed) {
    network_form(&network, 4);
    network_run(&network, 5000);
    cr_assert(!membership_forget(at(0), network.nodes[0].id));
    cr_assert(!membership_forget(at(0), network.nodes[77].id));
    cr_assert(membership_forget(at(0), network.nodes[3].id));
    cr_assert(!membership_forget(at(0), network.nodes[3].id));
    network_run(&network, 2000);
    cr_assert_eq(events(3, MEMBERSHIP_SELF_REMOVED), 1);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(events(i, MEMBERSHIP_REMOVED), 1);
        cr_assert_eq(network_view(&network, i, 3)->state, MEMBER_REMOVED);
        cr_assert_eq(membership_live_count(at(i)), 3);
        cr_assert(!membership_wants_link(at(i), membership_find(at(i), network.nodes[3].id)));
    }
    network_kill(&network, 3, false);
    network_start(&network, 3);
    cr_assert_eq(network_meet(&network, 3, 1), INTRODUCTION_WELCOME, "it is alone and does not know yet");
    struct buffer introduction = introduction_of(3);
    cr_assert_eq(introduce(1, &introduction), INTRODUCTION_REMOVED);
    buffer_release(&introduction);
    network_run(&network, 10000);
    cr_assert_eq(membership_live_count(at(1)), 3);
    /* A node that comes later learns of the removal, too. */
    network_start(&network, 4);
    network_meet(&network, 4, 2);
    network_run(&network, 1000);
    cr_assert_eq(network_view(&network, 4, 3)->state, MEMBER_REMOVED);
    cr_assert_eq(membership_digest(at(4)), membership_digest(at(0)));
}

Test(membership, a_removal_reaches_those_that_were_cut_off) {
    network_form(&network, 4);
    network_run(&network, 1000);
    network_set_cut(&network, 1, true);
    network_run(&network, 5000);
    cr_assert(membership_forget(at(1), network.nodes[3].id));
    network_kill(&network, 3, false);
    network_run(&network, 60000);
    network_set_cut(&network, 1, false);
    settle();
    cr_assert_eq(network_view(&network, 0, 3)->state, MEMBER_REMOVED);
    cr_assert_eq(network_view(&network, 1, 3)->state, MEMBER_REMOVED);
}

/* ---- On disk ---- */

static struct buffer saved(uint32_t node) {
    struct buffer file;
    buffer_init(&file, &network.mem);
    cr_assert(membership_save(at(node), &file));
    return file;
}

static bool load(uint32_t node, const uint8_t *data, size_t size) {
    return membership_load(at(node), data, size, network.now_ms);
}

Test(membership, what_is_saved_is_known_after_a_restart) {
    network_form(&network, 4);
    network_run(&network, 3000);
    membership_forget(at(0), network.nodes[3].id);
    network_run(&network, 1000);
    struct buffer file = saved(1);
    uint8_t cluster_id[CLUSTER_ID_SIZE];
    memcpy(cluster_id, membership_cluster_id(at(1)), CLUSTER_ID_SIZE);
    network_kill(&network, 1, true);
    network_start(&network, 1);
    cr_assert(load(1, file.data, file.size));
    cr_assert(!membership_is_alone(at(1)));
    cr_assert_eq(membership_live_count(at(1)), 3);
    cr_assert_eq(network_view(&network, 1, 3)->state, MEMBER_REMOVED);
    cr_assert_eq(memcmp(membership_cluster_id(at(1)), cluster_id, CLUSTER_ID_SIZE), 0);
    cr_assert_str_eq(network_view(&network, 1, 0)->entry.host, "10.20.30.40");
    /* It finds the others by itself, and is heard by them at once. */
    network_kill(&network, 3, false);
    network_run(&network, 1000);
    cr_assert(network_sees_all_up(&network, 0));
    cr_assert_eq(events(1, MEMBERSHIP_SUSPECT), 0);
    struct buffer again = saved(1);
    cr_assert(load(1, again.data, again.size));
    struct buffer same = saved(1);
    cr_assert_eq(again.size, same.size);
    cr_assert_eq(memcmp(again.data, same.data, same.size), 0);
    buffer_release(&same);
    buffer_release(&again);
    buffer_release(&file);
}

Test(membership, loaded_members_that_are_not_heard_are_suspected_and_down) {
    network_form(&network, 3);
    struct buffer file = saved(0);
    for (uint32_t i = 0; i < 3; i++)
        network_kill(&network, i, true);
    network_start(&network, 0);
    cr_assert(load(0, file.data, file.size));
    network_run(&network, 900);
    cr_assert_eq(membership_live_count(at(0)), 3);
    cr_assert_eq(events(0, MEMBERSHIP_SUSPECT), 0);
    network_run(&network, 4000);
    cr_assert_eq(events(0, MEMBERSHIP_SUSPECT), 2);
    cr_assert_eq(membership_live_count(at(0)), 1);
    buffer_release(&file);
}

/* A node comes back with such a file as it would have kept in a cluster whose id has only such bytes. Releases the file. */
static void come_back_with(uint32_t node, struct buffer *file, uint8_t id_byte) {
    memset(file->data + 8 + 2 + NODE_ID_SIZE, id_byte, CLUSTER_ID_SIZE);
    encode_fixed(file->data + file->size - 8, checksum_bytes(file->data, file->size - 8), 8);
    network_start(&network, node);
    cr_assert(load(node, file->data, file->size));
    buffer_release(file);
}

/* ... at once, with a file that is from before it had taken over the cluster's id. */
static void come_back_from_another_cluster(uint32_t node, uint8_t id_byte) {
    struct buffer file = saved(node);
    network_kill(&network, node, true);
    network_run(&network, 100);
    come_back_with(node, &file, id_byte);
}

static bool is_of(uint32_t node, const uint8_t id[CLUSTER_ID_SIZE]) {
    return memcmp(membership_cluster_id(at(node)), id, CLUSTER_ID_SIZE) == 0;
}

Test(membership, a_node_that_the_others_have_left_behind_follows_them) {
    uint8_t id[CLUSTER_ID_SIZE];
    network_form(&network, 4);
    network_run(&network, 10000);
    memcpy(id, membership_cluster_id(at(0)), CLUSTER_ID_SIZE);
    come_back_from_another_cluster(3, 0); /* the lower one, which does not count against three */
    cr_assert_eq(network_meet(&network, 3, 0), INTRODUCTION_FOREIGN, "two might have stayed");
    cr_assert_eq(events(3, MEMBERSHIP_ADOPTED), 1, "when it joined");
    cr_assert_eq(network_meet(&network, 3, 1), INTRODUCTION_WELCOME);
    cr_assert_eq(events(3, MEMBERSHIP_ADOPTED), 2);
    cr_assert_neq(network_run_until(&network, network_sees_all_up, 10000), NETWORK_NEVER);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert(is_of(i, id), "node %u", i);
}

/* It cannot hear that one is gone for good, for that it is not of their cluster; nor of one who has come instead. */
Test(membership, a_node_that_was_left_behind_does_not_wait_for_one_that_was_removed_meanwhile) {
    uint8_t id[CLUSTER_ID_SIZE];
    network_form(&network, 3);
    network_run(&network, 10000);
    memcpy(id, membership_cluster_id(at(1)), CLUSTER_ID_SIZE);
    struct buffer file = saved(2);
    network_kill(&network, 2, true);
    network_kill(&network, 0, true);
    network_run(&network, 5000);
    cr_assert(membership_forget(at(1), network.nodes[0].id));
    network_start(&network, 3);
    network_meet(&network, 3, 1);
    network_run(&network, 5000);
    come_back_with(2, &file, 0);
    network_run(&network, 20000);
    for (uint32_t i = 1; i < 4; i++) {
        cr_assert(is_of(i, id), "node %u", i);
        cr_assert_eq(membership_live_count(at(i)), 3, "node %u", i);
        cr_assert_eq(network_view(&network, i, 0)->state, MEMBER_REMOVED, "node %u", i);
    }
}

static void come_back_apart(uint32_t count, uint32_t border) {
    network_form(&network, count);
    network_run(&network, 10000);
    network_set_cut(&network, border, true);
    for (uint32_t i = 0; i < border; i++)
        come_back_from_another_cluster(i, 0x80);
    network_run(&network, 10000);
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(membership_live_count(at(i)), i < border ? border : count - border, "node %u", i);
    network_set_cut(&network, border, false);
}

static void expect_one_cluster(uint32_t count, const uint8_t id[CLUSTER_ID_SIZE]) {
    network_run(&network, 20000);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(is_of(i, id), "node %u", i);
        cr_assert(network_sees_all_up(&network, i), "node %u", i);
    }
}

Test(membership, of_two_parts_of_a_cluster_that_differ_about_its_id_the_smaller_follows) {
    uint8_t id[CLUSTER_ID_SIZE];
    come_back_apart(5, 2);
    memcpy(id, membership_cluster_id(at(4)), CLUSTER_ID_SIZE);
    expect_one_cluster(5, id);
}

Test(membership, of_two_equal_parts_of_a_cluster_that_differ_about_its_id_the_lower_one_stays) {
    uint8_t id[CLUSTER_ID_SIZE];
    come_back_apart(4, 2);
    bool is_first_lower = memcmp(membership_cluster_id(at(0)), membership_cluster_id(at(3)), sizeof id) < 0;
    memcpy(id, membership_cluster_id(at(is_first_lower ? 0 : 3)), sizeof id);
    expect_one_cluster(4, id);
}

Test(membership, whom_a_file_names_draws_nobody_to_a_clusters_id_before_it_was_heard) {
    uint8_t id[CLUSTER_ID_SIZE];
    network_form(&network, 3);
    network_run(&network, 10000);
    memcpy(id, membership_cluster_id(at(0)), CLUSTER_ID_SIZE);
    network_kill(&network, 1, true);
    network_run(&network, 5000);
    come_back_from_another_cluster(2, 0xff);
    cr_assert_eq(network_meet(&network, 2, 0), INTRODUCTION_FOREIGN, "node 1 may be there, and is not");
    cr_assert(is_of(0, id));
    network_run(&network, 10000);
    cr_assert(is_of(0, id) && is_of(2, id));
    cr_assert_eq(membership_live_count(at(0)), 2);
    cr_assert_eq(events(0, MEMBERSHIP_ADOPTED) + events(2, MEMBERSHIP_ADOPTED), 2,
                 "0 and 2 when they joined, 2 again");
}

Test(membership, of_two_that_are_apart_the_lower_id_stays) {
    network_form(&network, 2);
    network_run(&network, 10000);
    for (uint32_t run = 0; run < 2; run++) {
        uint8_t lower[CLUSTER_ID_SIZE] = {0};
        if (run == 0)
            memcpy(lower, membership_cluster_id(at(0)), CLUSTER_ID_SIZE);
        come_back_from_another_cluster(1, run == 0 ? 0xff : 0);
        network_meet(&network, 1, 0);
        network_meet(&network, 1, 0);
        cr_assert_eq(memcmp(membership_cluster_id(at(0)), lower, CLUSTER_ID_SIZE), 0);
        cr_assert(has_same_cluster(0, 1));
        cr_assert_neq(network_run_until(&network, network_sees_all_up, 10000), NETWORK_NEVER);
    }
}

/* Node 0 does not know yet that the other one has ended, and boasts of it, to itself. */
Test(membership, two_that_have_followed_each_other_at_the_same_moment_agree_later) {
    network_form(&network, 2);
    network_run(&network, 10000);
    struct buffer file = saved(1);
    network_kill(&network, 1, false);
    come_back_with(1, &file, 0);
    network_meet(&network, 1, 0);
    cr_assert(!has_same_cluster(0, 1), "each has taken over the other's");
    network_run(&network, 5000);
    cr_assert(membership_live_count(at(0)) == 1 && membership_live_count(at(1)) == 1, "no gossip is taken");
    network_meet(&network, 1, 0); /* links with who is down end */
    network_run(&network, 1000);
    cr_assert(has_same_cluster(0, 1));
    cr_assert(network_sees_all_up(&network, 0) && network_sees_all_up(&network, 1));
}

Test(membership, a_damaged_file_changes_nothing) {
    network_form(&network, 3);
    struct buffer file = saved(0);
    network_start(&network, 9);
    uint64_t digest = membership_digest(at(9));
    cr_assert(!load(9, file.data, file.size), "it is another node's");
    network_kill(&network, 0, true);
    network_start(&network, 0);
    digest = membership_digest(at(0));
    for (size_t size = 0; size < file.size; size++)
        cr_assert(!load(0, file.data, size));
    for (size_t place = 0; place < file.size; place++) {
        file.data[place] ^= 0x20;
        cr_assert(!load(0, file.data, file.size), "byte %zu", place);
        file.data[place] ^= 0x20;
    }
    cr_assert_eq(membership_digest(at(0)), digest);
    cr_assert(membership_is_alone(at(0)));
    cr_assert(load(0, file.data, file.size));
    buffer_release(&file);
}

Test(membership, a_file_is_loaded_whole_or_not_at_all) {
    network_form(&network, 6);
    struct buffer file = saved(0);
    network_kill(&network, 0, true);
    network_start(&network, 0);
    uint64_t digest = membership_digest(at(0));
    uint64_t fuse = 1;
    for (;; fuse++) {
        network.mem.fuse = fuse;
        bool is_loaded = load(0, file.data, file.size);
        network.mem.fuse = 0;
        if (is_loaded)
            break;
        cr_assert_eq(membership_digest(at(0)), digest);
        cr_assert_eq(membership_count(at(0)), 1);
    }
    cr_assert_gt(fuse, 5);
    cr_assert_eq(membership_live_count(at(0)), 6);
    buffer_release(&file);
}

/* ---- What nobody vouches for ---- */

Test(membership, messages_cut_short_make_no_sense) {
    network_form(&network, 3);
    membership_set_settled(at(0), true);
    network_run(&network, 50);
    uint64_t messages = 0;
    for (uint32_t round = 0; round < 8; round++) {
        struct buffer message;
        uint16_t index;
        buffer_init(&message, &network.mem);
        network.now_ms += 200;
        membership_tick(at(0), network.now_ms);
        while (membership_next_message(at(0), &index, &message)) {
            uint32_t to =
                memcmp(membership_member(at(0), index)->entry.id, network.nodes[1].id, NODE_ID_SIZE) == 0 ? 1
                                                                                                          : 2;
            uint16_t from = membership_find(at(to), network.nodes[0].id);
            for (size_t size = 0; size < message.size; size++)
                cr_assert(!membership_receive(at(to), from, message.data, size, network.now_ms));
            cr_assert(membership_receive(at(to), from, message.data, message.size, network.now_ms));
            messages++;
        }
        buffer_release(&message);
    }
    cr_assert_geq(messages, 10);
    struct buffer introduction = introduction_of(0);
    for (size_t size = 0; size < introduction.size; size++) {
        struct buffer part = introduction;
        part.size = size;
        cr_assert_eq(introduce(1, &part), INTRODUCTION_MALFORMED);
    }
    buffer_release(&introduction);
}

Test(membership, a_message_of_nobody_makes_no_sense) {
    network_form(&network, 2);
    cr_assert(!membership_receive(at(0), 0, NULL, 0, network.now_ms));
    cr_assert(!membership_receive(at(0), 2, NULL, 0, network.now_ms));
    cr_assert(!membership_receive(at(0), RING_NOBODY, NULL, 0, network.now_ms));
}

/* ---- Missing memory ---- */

Test(membership, nodes_survive_missing_memory_and_agree_afterwards) {
    struct rng rng;
    rng_init(&rng, 5);
    network_form(&network, 5);
    /* The network's own memory must not fail: faults are put into calls that need none of it. */
    for (uint32_t round = 0; round < 3000; round++) {
        uint32_t node = (uint32_t)rng_below(&rng, 5), other = (node + 1 + (uint32_t)rng_below(&rng, 4)) % 5;
        struct buffer message, introduction = introduction_of(other);
        uint16_t index;
        buffer_init(&message, &network.mem);
        if (round % 16 == 0)
            membership_set_place(at(other), round % 32 == 0 ? "a" : "b", 1);
        if (round % 64 == 0)
            membership_set_incarnation(at(other), membership_member(at(other), 0)->entry.incarnation + 1);
        cr_assert(buffer_reserve(&message, 16384));
        network.mem.fuse = 1 + rng_below(&rng, 4);
        network.mem.fuse_stays_blown = true;
        membership_note_broken(at(node), (uint16_t)(1 + rng_below(&rng, 4)), network.now_ms);
        membership_introduce(at(node), introduction.data, introduction.size, network.now_ms, &index);
        membership_tick(at(other), network.now_ms + 200);
        while (membership_next_message(at(other), &index, &message))
            if (memcmp(membership_member(at(other), index)->entry.id, network.nodes[node].id, NODE_ID_SIZE) ==
                0)
                membership_receive(at(node), membership_find(at(node), network.nodes[other].id), message.data,
                                   message.size, network.now_ms);
        network.mem.fuse = 0;
        network.mem.fuse_stays_blown = false;
        buffer_release(&message);
        buffer_release(&introduction);
        network_run(&network, rng_below(&rng, 100));
    }
    network_run(&network, 10000);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert(network_sees_all_up(&network, i));
        cr_assert(agrees(&network, i));
    }
}

Test(membership, a_membership_without_memory_is_none) {
    struct membership_options options = {
        .mem = &network.mem, .interval_ms = 200, .suspect_timeout_ms = 1000, .fan_out = 3};
    uint64_t fuse = 1;
    for (;; fuse++) {
        network.mem.fuse = fuse;
        struct membership *membership = membership_new(&options);
        network.mem.fuse = 0;
        if (membership != NULL) {
            membership_free(membership);
            break;
        }
        cr_assert_eq(network.mem.allocations, 0);
    }
    cr_assert_gt(fuse, 4);
}

/* ---- Limits and cost ---- */

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

Test(membership, a_cluster_has_at_most_a_thousand_members) {
    network_start(&network, 0);
    struct membership_options options = {.mem = &network.mem,
                                         .interval_ms = 200,
                                         .suspect_timeout_ms = 1000,
                                         .fan_out = 3,
                                         .self = {.incarnation = 1, .weight = 1}};
    memcpy(options.fresh_cluster_id, membership_cluster_id(at(0)), CLUSTER_ID_SIZE);
    uint32_t welcome = 0;
    for (uint32_t i = 0; i < RING_MEMBERS_MAX + 10; i++) {
        for (size_t byte = 0; byte < NODE_ID_SIZE; byte++)
            options.self.id[byte] = (uint8_t)rng_next64(&network.rng);
        struct membership *other = membership_new(&options);
        struct buffer introduction;
        buffer_init(&introduction, &network.mem);
        cr_assert(membership_write_introduction(other, &introduction));
        welcome += introduce(0, &introduction) == INTRODUCTION_WELCOME;
        buffer_release(&introduction);
        membership_free(other);
    }
    cr_assert_eq(welcome, RING_MEMBERS_MAX - 1);
    struct ring_member members[RING_MEMBERS_MAX];
    uint16_t indexes[RING_MEMBERS_MAX];
    cr_assert_eq(membership_ring_members(at(0), members, indexes), RING_MEMBERS_MAX);
}

Test(membership, a_tick_among_a_hundred_costs_microseconds) {
    network_form(&network, 100);
    network_run(&network, 5000);
    struct buffer message;
    struct membership_event event;
    uint16_t index;
    buffer_init(&message, &network.mem);
    double start = seconds();
    enum { TICKS = 50 };
    for (uint32_t tick = 0; tick < TICKS; tick++) {
        membership_tick(at(0), network.now_ms + tick * 20);
        while (membership_next_message(at(0), &index, &message))
            ;
        while (membership_next_event(at(0), &event))
            ;
    }
    double took = (seconds() - start) / TICKS;
    printf("a tick with its messages costs %.1f microseconds\n", took * 1e6);
#ifndef __SANITIZE_ADDRESS__
    cr_assert_lt(took, 100e-6);
#endif
    buffer_release(&message);
}
