/* cluster_test.c - whole nodes find each other, agree, part, come back, and are removed.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/ring_faults.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* ---- Rings of different sizes ---- */

Test(cluster, one_node_serves_alone_and_has_no_routes) {
    struct ring_stage *stage = ring_stage_begin(1, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    cr_assert_null(stage->nodes[0].node->routes);
    EXPECT_ASKED(client, "SET k v", "+OK\r\n");
    EXPECT_ASKED(client, "MGET k other", "*2\r\n$1\r\nv\r\n$-1\r\n");
    EXPECT_ASKED(client, "WAIT 0 10", ":0\r\n");
    EXPECT_ASKED(client, "DBSIZE", ":1\r\n");
    EXPECT_ASKED(client, "DEL k", ":1\r\n");
    cr_assert_eq(keyspace_size(stage->nodes[0].node->keyspace, 0), 0);
    ring_stage_end(stage);
}

Test(cluster, a_node_that_has_seeds_serves_nobody_before_it_has_met_one_of_them) {
    struct ring_stage *stage = ring_stage_new(2, NULL);
    stage->is_unreachable[0] = true;
    ring_start(stage, 1);
    struct ring_client *client = ring_connect(stage, 1);
    EXPECT_ASKED(client, "SET k v", "-CLUSTERDOWN this node has not met any node of its cluster yet\r\n");
    EXPECT_ASKED(client, "MGET a b c", "-CLUSTERDOWN this node has not met any node of its cluster yet\r\n");
    EXPECT_ASKED(client, "DBSIZE", "-CLUSTERDOWN this node has not met any node of its cluster yet\r\n");
    EXPECT_ASKED(client, "PING", "+PONG\r\n");
    ring_stage_end(stage);
}

Test(cluster, a_node_whose_seeds_never_answer_serves_alone_in_the_end) {
    struct ring_stage *stage = ring_stage_new(2, NULL);
    stage->is_unreachable[0] = true;
    ring_start(stage, 1);
    ring_wait(stage, 16000);
    struct ring_client *client = ring_connect(stage, 1);
    EXPECT_ASKED(client, "SET k v", "+OK\r\n");
    EXPECT_ASKED(client, "GET k", "$1\r\nv\r\n");
    cr_assert_not_null(strstr(stage->nodes[1].log, "serves alone"));
    ring_stage_end(stage);
}

Test(cluster, two_nodes_hold_everything_both) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned i = 0; i < 50; i++)
        cr_assert_str_eq(ring_ask_format(client, "SET key:%u value:%u", i, i), "+OK\r\n");
    ring_turn(stage);
    for (unsigned i = 0; i < 50; i++) {
        char key[32];
        snprintf(key, sizeof key, "key:%u", i);
        cr_assert_geq(ring_copy_size(stage, 0, key), 7);
        cr_assert_geq(ring_copy_size(stage, 1, key), 7);
    }
    cr_assert(ring_copies_are_equal(stage));
    EXPECT_ASKED(client, "WAIT 1 100", ":1\r\n");
    ring_stage_end(stage);
}

Test(cluster, five_nodes_share_the_slots_and_every_node_answers_for_all_keys) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    struct ring_client *clients[5];
    for (unsigned i = 0; i < 5; i++)
        clients[i] = ring_connect(stage, i);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_str_eq(ring_ask_format(clients[i % 5], "SET key:%u %u", i, i), "+OK\r\n");
    for (unsigned i = 0; i < 100; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "$%d\r\n%u\r\n", i < 10 ? 1 : 2, i);
        cr_assert_str_eq(ring_ask_format(clients[(i + 2) % 5], "GET key:%u", i), expected);
    }
    unsigned coordinated[RING_NODES_MAX] = {0}, copies = 0;
    for (unsigned i = 0; i < 100; i++) {
        char key[32];
        snprintf(key, sizeof key, "key:%u", i);
        coordinated[ring_coordinator(stage, 3, key)]++;
        for (unsigned j = 0; j < 5; j++)
            copies += ring_copy_size(stage, j, key) > 0;
    }
    for (unsigned i = 0; i < 5; i++)
        cr_assert_gt(coordinated[i], 3, "node %u coordinates %u of 100", i, coordinated[i]);
    cr_assert_eq(copies, 300);
    cr_assert(ring_copies_are_equal(stage));
    ring_stage_end(stage);
}

/* ---- Who is not wanted ---- */

static unsigned count_of(const char *text, const char *part) {
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        count++;
    return count;
}

/* The refused one calls again and again; each end has one warning, and shows it. */
static void expect_told_once(struct ring_stage *stage, const char *reason) {
    ring_wait(stage, 8000);
    for (unsigned i = 0; i < 2; i++) {
        struct ring_client *client = ring_connect(stage, i);
        char shown[160];
        snprintf(shown, sizeof shown, "reason=%s\r\n", reason);
        const char *info = ring_ask(client, "INFO cluster");
        cr_assert_not_null(strstr(info, shown), "%s", info);
        cr_assert_not_null(
            strstr(info, i == 0 ? "addr=10.0.0.1,direction=from" : "addr=10.0.0.0:40000,direction=to"), "%s",
            info);
        const struct refusals *refusals = &stage->nodes[i].node->cluster->refusals;
        cr_assert_gt(refusals->count, 5);
        /* Which of the two ends is the first to see it may change from call to call. */
        unsigned warnings = count_of(stage->nodes[i].log, "does not want this one: ") +
                            count_of(stage->nodes[i].log, " refused: ");
        cr_assert(warnings >= 1 && warnings <= 2, "%u: %s", warnings, stage->nodes[i].log);
        cr_assert_not_null(strstr(stage->nodes[i].log, reason));
        info = ring_ask(client, "CLUSTER INFO");
        cr_assert_not_null(strstr(info, "cluster_refused_links:"));
    }
}

Test(cluster, another_secret_is_told_once_at_both_ends_with_address_and_reason) {
    struct ring_stage *stage = ring_stage_new(2, NULL);
    stage->nodes[1].settings = "cluster-secret another";
    ring_start(stage, 0);
    ring_start(stage, 1);
    expect_told_once(stage, "the cluster secrets differ");
    ring_stage_end(stage);
}

Test(cluster, another_cluster_is_told_once_at_both_ends) {
    struct ring_stage *stage = ring_stage_new(4, NULL);
    ring_start_alone(stage, 0);
    ring_start_alone(stage, 1);
    struct ring_client *clients[2];
    for (unsigned i = 0; i < 2; i++) {
        ring_start_alone(stage, 2 + i);
        clients[i] = ring_connect(stage, i);
        cr_assert_str_eq(ring_ask_format(clients[i], "CLUSTER MEET 10.0.0.%u 700%u", 2 + i, 2 + i),
                         "+OK\r\n");
    }
    ring_wait(stage, 20000); /* each two of them are a cluster that has formed */
    for (unsigned i = 0; i < 2; i++)
        ring_disconnect(clients[i]);
    clients[1] = ring_connect(stage, 1);
    EXPECT_ASKED(clients[1], "CLUSTER MEET 10.0.0.0 7000", "+OK\r\n");
    expect_told_once(stage, "that is another cluster");
    ring_stage_end(stage);
}

/* ---- Coming ---- */

static void fill(struct ring_client *client, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        ring_say_format(client, "SET key:%u value-of-%u", i, i);
    for (unsigned i = 0; i < count; i++)
        EXPECT_HEARD(client, "+OK\r\n");
}

static void expect_filled(struct ring_client *client, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        ring_say_format(client, "GET key:%u", i);
    for (unsigned i = 0; i < count; i++) {
        char value[32], expected[64];
        int size = snprintf(value, sizeof value, "value-of-%u", i);
        snprintf(expected, sizeof expected, "$%d\r\n%s\r\n", size, value);
        EXPECT_HEARD(client, expected);
    }
}

Test(cluster, a_fresh_node_joins_a_filled_ring_gets_its_slots_and_takes_over) {
    struct ring_stage *stage = ring_stage_new(4, NULL);
    for (unsigned i = 0; i < 3; i++)
        ring_start(stage, i);
    ring_settle(stage);
    struct ring_client *client = ring_connect(stage, 0);
    fill(client, 2000);
    EXPECT_ASKED(client, "DEL key:7", ":1\r\n");
    EXPECT_ASKED(client, "SET key:7 value-of-7", "+OK\r\n");
    ring_start(stage, 3);
    struct ring_client *at_new = ring_connect(stage, 3);
    ring_settle(stage);
    ring_key_of(stage, 0, 3, 20); /* it coordinates some */
    cr_assert_gt(keyspace_size(stage->nodes[3].node->keyspace, 0), 1000);
    ring_expect_equal_copies(stage);
    expect_filled(client, 2000);
    expect_filled(at_new, 2000);
    EXPECT_ASKED(at_new, "DBSIZE", ":2000\r\n");
    ring_stage_end(stage);
}

Test(cluster, a_ring_answers_rightly_at_every_moment_while_a_node_joins) {
    struct ring_stage *stage = ring_stage_new(3, NULL);
    ring_start(stage, 0);
    ring_start(stage, 1);
    ring_settle(stage);
    struct ring_client *client = ring_connect(stage, 0);
    fill(client, 300);
    ring_start(stage, 2);
    for (unsigned round = 0; round < 60; round++) {
        struct ring_key key = {""};
        snprintf(key.text, sizeof key.text, "key:%u", round * 5);
        char expected[64], value[32];
        int size = snprintf(value, sizeof value, "value-of-%u", round * 5);
        snprintf(expected, sizeof expected, "$%d\r\n%s\r\n", size, value);
        cr_assert_str_eq(ring_ask_format(client, "GET %s", key.text), expected);
        cr_assert_str_eq(ring_ask_format(client, "INCR counter:%u", round % 10), round / 10 == 0   ? ":1\r\n"
                                                                                 : round / 10 == 1 ? ":2\r\n"
                                                                                 : round / 10 == 2 ? ":3\r\n"
                                                                                 : round / 10 == 3 ? ":4\r\n"
                                                                                 : round / 10 == 4
                                                                                     ? ":5\r\n"
                                                                                     : ":6\r\n");
        ring_wait(stage, 20);
    }
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    ring_stage_end(stage);
}

Test(cluster, two_nodes_that_were_alone_and_have_keys_meet_and_hold_the_keys_of_both) {
    struct ring_stage *stage = ring_stage_new(2, NULL);
    ring_start_alone(stage, 0);
    ring_start_alone(stage, 1);
    struct ring_client *one = ring_connect(stage, 0), *other = ring_connect(stage, 1);
    EXPECT_ASKED(one, "MSET a 1 b 2", "+OK\r\n");
    ring_wait(stage, 1000);
    EXPECT_ASKED(other, "MSET b 3 c 4", "+OK\r\n");
    EXPECT_ASKED(one, "CLUSTER MEET 10.0.0.1 7001", "+OK\r\n");
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    EXPECT_ASKED(one, "MGET a b c", "*3\r\n$1\r\n1\r\n$1\r\n3\r\n$1\r\n4\r\n");
    EXPECT_ASKED(other, "MGET a b c", "*3\r\n$1\r\n1\r\n$1\r\n3\r\n$1\r\n4\r\n");
    EXPECT_ASKED(other, "DBSIZE", ":3\r\n");
    ring_stage_end(stage);
}

Test(cluster, nodes_that_all_start_at_once_find_each_other) {
    struct ring_stage *stage = ring_stage_new(5, NULL);
    for (unsigned i = 4; i < 5; i--)
        ring_start(stage, i);
    ring_settle(stage);
    struct ring_client *client = ring_connect(stage, 4);
    fill(client, 100);
    ring_turn(stage);
    cr_assert(ring_copies_are_equal(stage));
    ring_stage_end(stage);
}

Test(cluster, seeds_are_read_from_a_file_and_read_again) {
    struct ring_stage *stage = ring_stage_new(2, "cluster-seeds-file somewhere\n");
    stage->seeds_file = "# nobody yet\n";
    ring_start_alone(stage, 0);
    ring_start_alone(stage, 1);
    ring_wait(stage, 2000);
    cr_assert_null(stage->nodes[0].node->routes);
    stage->seeds_file = "10.0.0.0:7000@17000 # the first\n\t10.0.0.1:7001 nonsense\n";
    ring_wait(stage, 6000);
    ring_settle(stage);
    cr_assert_not_null(stage->nodes[0].node->routes);
    cr_assert_not_null(strstr(stage->nodes[0].log, "'nonsense' is no seed"));
    ring_stage_end(stage);
}

/* ---- Going and coming back ---- */

Test(cluster, a_node_that_was_killed_comes_back_and_gets_what_it_missed) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    fill(client, 200);
    ring_turn(stage);
    ring_kill(stage, 2);
    EXPECT_ASKED(client, "GET key:11", "$11\r\nvalue-of-11\r\n");
    ring_wait(stage, 3000);
    for (unsigned i = 0; i < 50; i++)
        cr_assert_str_eq(ring_ask_format(client, "SET key:%u new", i), "+OK\r\n");
    for (unsigned i = 100; i < 120; i++)
        cr_assert_str_eq(ring_ask_format(client, "DEL key:%u", i), ":1\r\n");
    ring_start(stage, 2);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    struct ring_client *at_new = ring_connect(stage, 2);
    EXPECT_ASKED(at_new, "DBSIZE", ":180\r\n");
    EXPECT_ASKED(at_new, "MGET key:3 key:100 key:150", "*3\r\n$3\r\nnew\r\n$-1\r\n$12\r\nvalue-of-150\r\n");
    ring_stage_end(stage);
}

Test(cluster, the_ring_of_all_members_is_made_anew_only_for_other_members) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    const struct cluster *cluster = stage->nodes[0].node->cluster;
    const struct ring *ring = cluster->ring;
    uint64_t route_epoch = cluster->route_epoch;
    cr_assert_null(cluster->settled_ring);
    ring_kill(stage, 2);
    ring_wait(stage, 3000);
    ring_start(stage, 2);
    ring_settle(stage);
    cr_assert_gt(cluster->route_epoch, route_epoch, "routes were");
    cr_assert_eq(cluster->ring, ring);
    cr_assert_null(cluster->settled_ring);
    ring_stage_end(stage);
}

Test(cluster, a_node_that_starts_again_knows_the_members_from_its_file) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    ring_wait(stage, 3000); /* the file is written */
    ring_kill(stage, 1);
    ring_start_alone(stage, 1); /* no seeds any more */
    ring_settle(stage);
    struct ring_client *client = ring_connect(stage, 1);
    fill(client, 30);
    ring_turn(stage);
    cr_assert(ring_copies_are_equal(stage));
    ring_stage_end(stage);
}

/* Those who come behind its slots' holders on the ring of the others have nothing of them. */
Test(cluster, who_starts_again_is_taken_for_a_holder_of_its_slots_before_it_is_settled) {
    struct ring_stage *stage = ring_stage_begin(4, NULL);
    const struct cluster *cluster = stage->nodes[0].node->cluster;
    unsigned seen = 0;
    ring_wait(stage, 3000);
    ring_kill(stage, 1);
    ring_start(stage, 1);
    for (unsigned i = 0; i < 1000 && (seen == 0 || !stage->nodes[1].node->cluster->is_settled); i++) {
        ring_wait(stage, RING_STEP_MS);
        const struct member_entry *entry =
            &membership_member(cluster->membership, ring_member(stage, 0, 1))->entry;
        seen += entry->incarnation == 2 && !entry->is_settled;
        cr_assert_null(cluster->settled_ring);
    }
    cr_assert_gt(seen, 0);
    ring_stage_end(stage);
}

Test(cluster, a_newcomer_that_starts_again_before_it_was_settled_is_still_one) {
    struct ring_stage *stage = ring_stage_new(4, NULL);
    for (unsigned i = 0; i < 3; i++)
        ring_start(stage, i);
    ring_settle(stage);
    const struct cluster *cluster = stage->nodes[0].node->cluster;
    ring_hold_pair(stage, 1, 3, true); /* one that it is to be compared with */
    ring_start(stage, 3);
    ring_wait(stage, 500);
    ring_kill(stage, 3);
    ring_start(stage, 3);
    ring_wait(stage, 500);
    uint16_t member = ring_member(stage, 0, 3);
    const struct member_entry *entry = &membership_member(cluster->membership, member)->entry;
    cr_assert_geq(entry->incarnation, 2);
    cr_assert_not(entry->is_settled);
    cr_assert(cluster_is_newcomer(cluster, member));
    cr_assert_not(cluster_is_newcomer(cluster, ring_member(stage, 0, 1)));
    ring_hold_pair(stage, 1, 3, false);
    ring_settle(stage);
    cr_assert_not(cluster_is_newcomer(cluster, member));
    ring_stage_end(stage);
}

Test(cluster, all_nodes_may_start_again_at_once_by_their_files) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    ring_wait(stage, 3000);
    for (unsigned i = 0; i < 3; i++)
        ring_kill(stage, i);
    for (unsigned i = 0; i < 3; i++)
        ring_start_alone(stage, i);
    ring_settle(stage);
    struct ring_client *client = ring_connect(stage, 1);
    fill(client, 30);
    ring_turn(stage);
    cr_assert(ring_copies_are_equal(stage));
    ring_stage_end(stage);
}

Test(cluster, a_damaged_file_of_members_is_set_aside) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    ring_wait(stage, 3000);
    size_t size;
    cr_assert_not_null(simulated_disk_bytes(&stage->nodes[1].disk, "dump.rdb.members", &size));
    ring_kill(stage, 1);
    simulated_disk_put(&stage->nodes[1].disk, "dump.rdb.members", "nonsense", 8);
    ring_start(stage, 1);
    cr_assert_not_null(strstr(stage->nodes[1].log, "set aside"));
    cr_assert_not_null(simulated_disk_bytes(&stage->nodes[1].disk, "dump.rdb.members.damaged", &size));
    ring_settle(stage);
    ring_stage_end(stage);
}

Test(cluster, a_file_of_members_that_cannot_be_written_is_written_later) {
    struct ring_stage *stage = ring_stage_new(2, NULL);
    ring_start(stage, 0);
    ring_start(stage, 1);
    stage->nodes[1].disk.faults = (struct disk_faults){.is_read_only = true};
    ring_settle(stage);
    ring_wait(stage, 3000);
    size_t size;
    cr_assert_null(simulated_disk_bytes(&stage->nodes[1].disk, "dump.rdb.members", &size));
    cr_assert_not_null(strstr(stage->nodes[1].log, "Can't write the members"));
    stage->nodes[1].disk.faults = (struct disk_faults){0};
    ring_wait(stage, 3000);
    cr_assert_not_null(simulated_disk_bytes(&stage->nodes[1].disk, "dump.rdb.members", &size));
    ring_stage_end(stage);
}

/* ---- Being removed ---- */

static void forget(struct ring_stage *stage, unsigned by, unsigned whom) {
    char id[IDENTITY_ID_SIZE];
    identity_print_id(stage->nodes[whom].identity.actor.node_id, id);
    struct ring_client *client = ring_connect(stage, by);
    cr_assert_str_eq(ring_ask_format(client, "CLUSTER FORGET %s", id), "+OK\r\n");
    ring_disconnect(client);
}

Test(cluster, a_node_that_is_forgotten_serves_nothing_any_more_and_the_others_serve_all) {
    struct ring_stage *stage = ring_stage_begin(4, NULL);
    struct ring_client *client = ring_connect(stage, 0), *at_removed = ring_connect(stage, 3);
    fill(client, 300);
    ring_turn(stage);
    forget(stage, 1, 3);
    ring_wait(stage, 2000);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(ring_member(stage, i, 3), RING_NOBODY, "node %u still knows it", i);
    cr_assert(stage->nodes[3].node->cluster->is_removed, "%s", stage->nodes[3].log);
    cr_assert(strncmp(ring_ask(at_removed, "GET key:1"), "-CLUSTERDOWN", 12) == 0);
    cr_assert(strncmp(ring_ask(at_removed, "SET key:1 x"), "-CLUSTERDOWN", 12) == 0);
    cr_assert(strncmp(ring_ask(at_removed, "MGET key:1 key:2 key:3"), "-CLUSTERDOWN", 12) == 0);
    ring_kill(stage, 3);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    expect_filled(client, 300);
    EXPECT_ASKED(client, "DBSIZE", ":300\r\n");
    ring_stage_end(stage);
}

Test(cluster, a_node_that_was_removed_stays_removed_when_all_start_again) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    ring_wait(stage, 3000);
    forget(stage, 0, 1);
    ring_wait(stage, 3000);
    ring_kill(stage, 0);
    ring_kill(stage, 1);
    ring_start(stage, 0);
    ring_start(stage, 1);
    ring_wait(stage, 5000);
    cr_assert_eq(ring_member(stage, 0, 1), RING_NOBODY);
    struct ring_client *client = ring_connect(stage, 0);
    EXPECT_ASKED(client, "SET k v", "+OK\r\n");
    ring_stage_end(stage);
}

/* ---- Incarnations ---- */

Test(cluster, a_node_that_others_know_by_a_later_start_takes_a_later_one_still) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    fill(client, 50);
    ring_turn(stage);
    struct simulated_disk old;
    simulated_disk_copy(&stage->nodes[2].disk, &old); /* knows of one start */
    for (unsigned i = 0; i < 3; i++) {
        ring_kill(stage, 2);
        ring_start(stage, 2);
        ring_settle(stage);
    }
    uint64_t last = stage->nodes[2].identity.actor.incarnation;
    ring_kill(stage, 2);
    simulated_disk_release(&stage->nodes[2].disk);
    simulated_disk_copy(&old, &stage->nodes[2].disk);
    simulated_disk_release(&old);
    ring_start(stage, 2);
    cr_assert_lt(stage->nodes[2].identity.actor.incarnation, last + 1);
    ring_settle(stage);
    cr_assert_gt(stage->nodes[2].identity.actor.incarnation, last);
    cr_assert_eq(stage->nodes[2].node->cluster->self_identity.incarnation,
                 stage->nodes[2].identity.actor.incarnation);
    fill(client, 50);
    ring_turn(stage);
    cr_assert(ring_copies_are_equal(stage));
    ring_stage_end(stage);
}

Test(cluster, an_incarnation_that_cannot_be_made_durable_is_taken_all_the_same) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct node *node = stage->nodes[1].node;
    stage->nodes[1].disk.faults = (struct disk_faults){.is_read_only = true};
    uint64_t now = node->cluster->self_identity.incarnation;
    uint16_t actor = node->keyspace->actor;
    cluster_take_incarnation(node, now - 1, "past"); /* that is past */
    cr_assert_eq(node->cluster->self_identity.incarnation, now);
    cluster_take_incarnation(node, now + 5, "known");
    cr_assert_eq(node->cluster->self_identity.incarnation, now + 6);
    cr_assert_neq(node->keyspace->actor, actor);
    stage->nodes[1].disk.faults = (struct disk_faults){0};
    ring_settle(stage);
    struct ring_client *client = ring_connect(stage, 1);
    fill(client, 20);
    ring_turn(stage);
    cr_assert(ring_copies_are_equal(stage));
    ring_stage_end(stage);
}

/* ---- Addresses ---- */

Test(cluster, a_seed_is_a_host_and_a_port_and_perhaps_a_peer_port) {
    char host[MEMBER_HOST_SIZE];
    uint16_t port;
    cr_assert(cluster_parse_seed("10.0.0.1:7000", 13, host, &port));
    cr_assert_str_eq(host, "10.0.0.1");
    cr_assert_eq(port, 17000);
    cr_assert(cluster_parse_seed("example.org:6379@7001", 21, host, &port));
    cr_assert_str_eq(host, "example.org");
    cr_assert_eq(port, 7001);
    cr_assert(cluster_parse_seed("[fe80::1]:6379", 14, host, &port));
    cr_assert_str_eq(host, "fe80::1");
    static const char *const wrong[] = {"",         "host",         ":1",         "host:", "host:0",
                                        "host:x",   "host:1@",      "host:65536", "[]:1@", "host:60000",
                                        "host:1@0", "host:1@99999", "host:-1",    "@1",    "h:1@2@3"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_not(cluster_parse_seed(wrong[i], strlen(wrong[i]), host, &port), "%s", wrong[i]);
}

/* It calls its seed twice, as a seed and as a member, and ends the second link: what it hears comes on the first. */
Test(cluster, a_node_that_nobody_can_call_hears_the_others_all_the_same) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    ring_kill(stage, 1);
    ring_wait(stage, 5000);
    stage->is_unreachable[1] = true;
    ring_start(stage, 1);
    for (unsigned waited_ms = 0; waited_ms < 10000; waited_ms += 100) {
        ring_wait(stage, 100);
        for (unsigned other = 0; other < 3; other += 2) {
            uint16_t member = ring_member(stage, 1, other);
            if (member == RING_NOBODY && waited_ms < 3000)
                continue; /* not heard of yet */
            cr_assert_leq(membership_member(stage->nodes[1].node->cluster->membership, member)->state,
                          MEMBER_SUSPECT, "node %u is called down after %u ms", other, waited_ms);
        }
    }
    stage->is_unreachable[1] = false;
    ring_settle(stage);
    ring_stage_end(stage);
}
