/* hints_test.c - a node that was away gets what it has missed by hints alone, or by comparing alone; stand-ins keep copies meanwhile.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/holders.h"
#include "node/ring_faults.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define ALONE "anti-entropy no\n" /* hints have to do it by themselves */
#define KEYS  500

/* ---- Tools ---- */

/* How many keys a node has a note of for another. */
static uint32_t noted(struct ring_stage *stage, unsigned at, unsigned target) {
    return hints_count(&stage->nodes[at].node->cluster->hints, ring_member(stage, at, target));
}

/* For all others. */
static uint64_t noted_at(struct ring_stage *stage, unsigned at) {
    uint64_t count = 0;
    for (unsigned i = 0; i < stage->count; i++)
        if (i != at && stage->nodes[i].node != NULL)
            count += noted(stage, at, i);
    return count;
}

static uint64_t delivered(struct ring_stage *stage, unsigned at, unsigned target) {
    const struct hint_target *of =
        hints_target(&stage->nodes[at].node->cluster->hints, ring_member(stage, at, target));
    return of == NULL ? 0 : of->delivered;
}

static uint64_t dropped(struct ring_stage *stage, unsigned at, unsigned target) {
    const struct hint_target *of =
        hints_target(&stage->nodes[at].node->cluster->hints, ring_member(stage, at, target));
    return of == NULL ? 0 : of->dropped;
}

static uint64_t exchanged(const struct ring_stage *stage) {
    uint64_t count = 0;
    for (unsigned i = 0; i < stage->count; i++)
        if (stage->nodes[i].node != NULL)
            count += stage->nodes[i].node->cluster->compare_statistics.keys_sent;
    return count;
}

/* Time goes by until all copies are equal and nobody has a note left. */
static void expect_converged(struct ring_stage *stage, unsigned patience_ms) {
    for (unsigned ms = 0;; ms += 100) {
        uint64_t left = 0;
        for (unsigned i = 0; i < stage->count; i++)
            left += stage->nodes[i].node == NULL ? 0 : noted_at(stage, i);
        if (left == 0 && ring_copies_are_equal(stage))
            return;
        if (ms >= patience_ms) {
            for (unsigned i = 0; i < stage->count; i++)
                fprintf(stderr, "--- node %u:\n%s", i, stage->nodes[i].log);
            cr_assert_fail("after %u ms %llu hints are left, and the copies are %s", ms,
                           (unsigned long long)left, ring_copies_are_equal(stage) ? "equal" : "different");
        }
        ring_wait(stage, 100);
    }
}

static void write_first(struct ring_client *client) {
    for (unsigned i = 0; i < KEYS; i++)
        cr_assert_str_eq(ring_ask_format(client, "SET key:%u first", i), "+OK\r\n");
    for (unsigned i = 0; i < KEYS; i += 5)
        cr_assert_str_eq(ring_ask_format(client, "SET number:%u 100", i), "+OK\r\n");
}

/* What the absent node misses: new values, deletes, expiries, counters, changes of a part, new keys. */
static void write_second(struct ring_client *client) {
    for (unsigned i = 0; i < KEYS; i++) {
        if (i % 5 == 0)
            cr_assert_str_eq(ring_ask_format(client, "DEL key:%u", i), ":1\r\n");
        else if (i % 5 == 1)
            cr_assert_str_eq(ring_ask_format(client, "SET key:%u second:%u", i, i), "+OK\r\n");
        else if (i % 5 == 2)
            cr_assert_str_eq(ring_ask_format(client, "EXPIRE key:%u 5000", i), ":1\r\n");
        else if (i % 5 == 3)
            cr_assert_str_eq(ring_ask_format(client, "APPEND key:%u -and-more", i), ":14\r\n");
        else
            cr_assert_str_eq(ring_ask_format(client, "SET new:%u value", i), "+OK\r\n");
    }
    for (unsigned i = 0; i < KEYS; i += 5) {
        cr_assert_str_eq(ring_ask_format(client, "INCR number:%u", i), ":101\r\n");
        cr_assert_str_eq(ring_ask_format(client, "INCR number:%u", i), ":102\r\n");
    }
}

/* Node 2 is cut off, and the others know. */
static void lose_node_2(struct ring_stage *stage) {
    ring_isolate(stage, 2, true);
    ring_expect_down(stage, 0, 2);
    ring_expect_down(stage, 1, 2);
}

/* Three nodes, of which node 2 is cut off and misses what is written second, by the one client of node 0. */
static struct ring_stage *begin_missing(const char *settings) {
    struct ring_stage *stage = ring_stage_begin(3, settings);
    struct ring_client *client = ring_connect(stage, 0);
    write_first(client);
    ring_wait(stage, 100);
    lose_node_2(stage);
    write_second(client);
    return stage;
}

static uint64_t info_field(struct ring_client *client, const char *name) {
    const char *text = ring_ask(client, "INFO cluster"), *found = strstr(text, name);
    cr_assert_not_null(found, "%s in %s", name, text);
    return strtoull(found + strlen(name), NULL, 10);
}

/* ---- The word that nothing is left to do ---- */

/* Whether each node says that it agrees with all others. */
static bool all_say_that_they_agree(struct ring_client *clients[3]) {
    uint64_t count = 0;
    for (unsigned i = 0; i < 3; i++)
        count += info_field(clients[i], "cluster_agrees:");
    return count == 3;
}

static void expect_that_agreement_is_true(const char *settings) {
    struct ring_stage *stage = ring_stage_begin(3, settings);
    struct ring_client *clients[3];
    for (unsigned i = 0; i < 3; i++)
        clients[i] = ring_connect(stage, i);
    write_first(clients[0]);
    for (unsigned ms = 0; !all_say_that_they_agree(clients); ms += RING_STEP_MS) {
        cr_assert_lt(ms, 15000u);
        ring_wait(stage, RING_STEP_MS);
    }
    ring_isolate(stage, 2, true);
    ring_step(stage);
    cr_assert_eq(info_field(clients[0], "cluster_agrees:"), 0u, "a link is gone");
    ring_expect_down(stage, 0, 2);
    ring_expect_down(stage, 1, 2);
    write_second(clients[0]);
    ring_wait(stage, 12000);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(info_field(clients[i], "cluster_agrees:"), 0u, "node %u", i);
    ring_isolate(stage, 2, false);
    for (unsigned ms = 0; !all_say_that_they_agree(clients); ms += RING_STEP_MS) {
        cr_assert_lt(ms, 30000u);
        ring_wait(stage, RING_STEP_MS);
    }
    cr_assert(ring_copies_are_equal(stage));
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(noted_at(stage, i), 0u, "notes of node %u", i);
    ring_stage_end(stage);
}

Test(hints, all_nodes_say_that_they_agree_only_when_they_do) {
    expect_that_agreement_is_true(NULL);
}

Test(hints, all_nodes_say_that_they_agree_only_when_hints_are_done) {
    expect_that_agreement_is_true(ALONE);
}

Test(hints, all_nodes_say_that_they_agree_only_when_comparing_is_done) {
    expect_that_agreement_is_true("hinted-handoff no\n");
}

Test(hints, what_may_have_been_missed_since_an_agreement_is_compared_at_once) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    ring_wait(stage, 300);
    struct peer *peer = cluster_peer(stage->nodes[0].node->cluster, ring_member(stage, 0, 1));
    cr_assert(peer->is_agreed && !peer->must_compare);
    peer->must_compare = true;
    stage->nodes[0].node->cluster->must_work = true;
    ring_wait(stage, 200);
    cr_assert_not(peer->must_compare);
    ring_stage_end(stage);
}

/* ---- One who was away ---- */

Test(hints, what_an_absent_node_has_missed_is_handed_over_when_it_is_back) {
    struct ring_stage *stage = begin_missing(ALONE);
    struct ring_client *client = stage->clients;
    ring_wait(stage, 1000);
    cr_assert_gt(noted(stage, 0, 2), 100u);
    cr_assert_gt(noted(stage, 1, 2), 100u);
    uint64_t keys = noted_at(stage, 0);
    cr_assert_eq(info_field(client, "hints_keys:"), keys);
    cr_assert_gt(info_field(client, "hints_bytes:"), keys * 16);
    cr_assert_gt(info_field(client, "oldest_ms="), 900u);
    cr_assert(!ring_copies_are_equal(stage));
    ring_isolate(stage, 2, false);
    expect_converged(stage, 5000);
    cr_assert_eq(exchanged(stage), 0u, "nothing was compared");
    cr_assert_eq(delivered(stage, 0, 2), keys);
    cr_assert_eq(info_field(client, "hints_keys:"), 0u);
    cr_assert_eq(info_field(client, "hints_delivered:"), keys);
    cr_assert_eq(info_field(client, "hints_dropped:"), 0u);
    ring_settle(stage);
    struct ring_client *other = ring_connect(stage, 2);
    EXPECT_ASKED(other, "GET key:1", "$8\r\nsecond:1\r\n");
    EXPECT_ASKED(other, "GET key:5", "$-1\r\n");
    EXPECT_ASKED(other, "GET number:5", "$3\r\n102\r\n");
    ring_stage_end(stage);
}

Test(hints, without_hints_comparing_finds_the_same) {
    struct ring_stage *stage = begin_missing("hinted-handoff no\n");
    cr_assert_eq(noted_at(stage, 0) + noted_at(stage, 1), 0u);
    ring_isolate(stage, 2, false);
    expect_converged(stage, 15000);
    cr_assert_gt(exchanged(stage), 300u);
    ring_stage_end(stage);
}

Test(hints, with_hints_comparing_finds_nothing_that_is_left_to_do) {
    struct ring_stage *stage = begin_missing(NULL);
    ring_isolate(stage, 2, false);
    expect_converged(stage, 5000);
    ring_expect_equal_copies(stage);
    cr_assert_lt(exchanged(stage), 20u, "%llu keys", (unsigned long long)exchanged(stage));
    ring_stage_end(stage);
}

Test(hints, without_both_nothing_is_repaired) {
    struct ring_stage *stage = ring_stage_begin(3, "hinted-handoff no\nanti-entropy no\n");
    struct ring_client *client = ring_connect(stage, 0);
    lose_node_2(stage);
    EXPECT_ASKED(client, "SET key:1 value", "+OK\r\n");
    ring_isolate(stage, 2, false);
    ring_wait(stage, 15000);
    cr_assert(!ring_copies_are_equal(stage));
    EXPECT_ASKED(client, "CONFIG SET anti-entropy yes", "+OK\r\n");
    struct ring_client *other = ring_connect(stage, 1);
    EXPECT_ASKED(other, "CONFIG SET anti-entropy yes", "+OK\r\n");
    EXPECT_ASKED(ring_connect(stage, 2), "CONFIG SET anti-entropy yes", "+OK\r\n");
    expect_converged(stage, 15000);
    ring_stage_end(stage);
}

Test(hints, what_was_on_its_way_when_a_link_ended_is_handed_over) {
    struct ring_stage *stage = ring_stage_begin(3, ALONE);
    struct ring_client *client = ring_connect(stage, 0);
    ring_hold(stage, 0, 1, true);
    for (unsigned i = 0, written = 0; written < 100; i++) {
        struct ring_key key = ring_key_of(stage, 0, 0, i);
        cr_assert_str_eq(ring_ask_format(client, "SET %s value", key.text), "+OK\r\n");
        written++;
    }
    cr_assert_eq(noted(stage, 0, 1), 0u);
    cr_assert(!ring_copies_are_equal(stage));
    ring_cut(stage, 0, 1, true);
    ring_turn(stage);
    cr_assert_eq(noted(stage, 0, 1), 100u);
    cr_assert_eq(noted(stage, 0, 2), 0u);
    ring_hold(stage, 0, 1, false);
    expect_converged(stage, 5000);
    cr_assert_eq(delivered(stage, 0, 1), 100u);
    ring_stage_end(stage);
}

Test(hints, a_batch_whose_link_ends_is_sent_once_more) {
    struct ring_stage *stage = ring_stage_begin(3, ALONE);
    struct ring_client *client = ring_connect(stage, 0);
    ring_part(stage, 0, 1, true);
    for (unsigned i = 0; i < 100; i++)
        ring_ask_format(client, "SET %s value", ring_key_of(stage, 0, 0, i).text);
    uint32_t missed = noted(stage, 0, 1);
    cr_assert_geq(missed, 100u);
    ring_hold(stage, 0, 1, false);
    ring_hold(stage, 1, 0, false);
    const struct peer *peer = stage->nodes[0].node->cluster->peers[ring_member(stage, 0, 1)];
    for (unsigned i = 0; peer->hints_frame == 0; i++) {
        cr_assert_lt(i, 1000u);
        if (!ring_step(stage))
            stage->now_ns += RING_STEP_MS * 1000000;
    }
    ring_cut(stage, 0, 1, true);
    cr_assert_eq(peer->hints_frame, 0u);
    cr_assert_eq(noted(stage, 0, 1), missed);
    expect_converged(stage, 5000);
    ring_stage_end(stage);
}

Test(hints, a_flush_that_was_missed_is_handed_over) {
    struct ring_stage *stage = ring_stage_begin(3, ALONE);
    struct ring_client *client = ring_connect(stage, 0);
    write_first(client);
    ring_wait(stage, 100);
    lose_node_2(stage);
    EXPECT_ASKED(client, "FLUSHALL", "+OK\r\n");
    EXPECT_ASKED(client, "SET key:7 after", "+OK\r\n");
    cr_assert_eq(keyspace_size(stage->nodes[2].node->keyspace, 0), KEYS + KEYS / 5);
    ring_isolate(stage, 2, false);
    expect_converged(stage, 5000);
    cr_assert_eq(keyspace_size(stage->nodes[2].node->keyspace, 0), 1u);
    ring_stage_end(stage);
}

Test(hints, a_large_backlog_goes_in_batches) {
    struct ring_stage *stage = ring_stage_begin(3, ALONE);
    struct ring_client *client = ring_connect(stage, 0);
    lose_node_2(stage);
    for (unsigned i = 0; i < 60; i++)
        cr_assert_str_eq(ring_ask_format(client, "SETRANGE long:%u 99999 x", i), ":100000\r\n");
    ring_fill_many(client, "k", 5000);
    ring_isolate(stage, 2, false);
    expect_converged(stage, 5000);
    cr_assert_eq(exchanged(stage), 0u);
    ring_stage_end(stage);
}

/* ---- Bounds ---- */

Test(hints, what_does_not_fit_is_counted_and_found_by_comparing) {
    struct ring_stage *stage = begin_missing("hint-memory 4kb\n");
    struct ring_client *client = stage->clients;
    cr_assert_leq(stage->nodes[0].node->cluster->hints.used_bytes, 4096u);
    cr_assert_gt(dropped(stage, 0, 2), 50u);
    cr_assert_gt(noted(stage, 0, 2), 20u);
    cr_assert_eq(info_field(client, "hints_dropped:"), dropped(stage, 0, 2));
    ring_isolate(stage, 2, false);
    expect_converged(stage, 15000);
    cr_assert_gt(exchanged(stage), 50u);
    ring_stage_end(stage);
}

Test(hints, who_is_away_for_longer_than_the_window_is_compared_with) {
    struct ring_stage *stage = begin_missing("hint-window 10\n");
    struct ring_client *client = stage->clients;
    cr_assert_gt(noted(stage, 0, 2), 50u);
    ring_wait(stage, 12000);
    cr_assert_eq(noted(stage, 0, 2) + noted(stage, 1, 2), 0u);
    EXPECT_ASKED(client, "SET key:later value", "+OK\r\n");
    ring_wait(stage, 1000);
    cr_assert_eq(noted(stage, 0, 2) + noted(stage, 1, 2), 0u);
    cr_assert_eq(stage->nodes[0].node->cluster->hints.used_bytes, 0u);
    ring_isolate(stage, 2, false);
    expect_converged(stage, 15000);
    cr_assert_gt(exchanged(stage), 50u);
    ring_wait(stage, 100); /* all is acknowledged */
    ring_isolate(stage, 2, true);
    ring_expect_down(stage, 0, 2);
    EXPECT_ASKED(client, "SET key:later other", "+OK\r\n");
    ring_wait(stage, 200);
    cr_assert_eq(noted(stage, 0, 2) + noted(stage, 1, 2), 1u, "%u and %u: it was welcomed back meanwhile",
                 noted(stage, 0, 2), noted(stage, 1, 2));
    ring_stage_end(stage);
}

Test(hints, the_hints_of_a_removed_node_go) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    uint16_t member = ring_member(stage, 0, 2);
    char id[IDENTITY_ID_SIZE];
    identity_print_id(membership_member(stage->nodes[0].node->cluster->membership, member)->entry.id, id);
    write_first(client);
    lose_node_2(stage);
    write_second(client);
    const struct hints *hints = &stage->nodes[0].node->cluster->hints;
    cr_assert_gt(hints_count(hints, member), 50u);
    cr_assert_str_eq(ring_ask_format(client, "CLUSTER FORGET %s", id), "+OK\r\n");
    ring_wait(stage, 1000);
    cr_assert_eq(hints->count, 0u);
    cr_assert_eq(stage->nodes[1].node->cluster->hints.count, 0u);
    EXPECT_ASKED(client, "SET key:1 again", "+OK\r\n");
    cr_assert_eq(hints->count, 0u);
    ring_stage_end(stage);
}

/* ---- On disk ---- */

Test(hints, they_outlive_a_restart_of_who_has_them) {
    struct ring_stage *stage = begin_missing(ALONE);
    struct ring_client *client = stage->clients;
    ring_wait(stage, 1500); /* the members are on disk, too */
    uint32_t keys = noted(stage, 0, 2);
    cr_assert_gt(keys, 100u);
    EXPECT_ASKED(client, "SAVE", "+OK\r\n");
    ring_wait(stage, 100);
    ring_kill(stage, 0);
    ring_wait(stage, 5000);
    ring_start(stage, 0);
    cr_assert_eq(noted(stage, 0, 2), keys);
    cr_assert_gt(hints_age_ms(&stage->nodes[0].node->cluster->hints, ring_member(stage, 0, 2),
                              stage->nodes[0].node->monotonic_ms),
                 5000u);
    ring_part(stage, 0, 2, true);
    ring_wait(stage, 1000);
    ring_isolate(stage, 2, false);
    expect_converged(stage, 8000);
    cr_assert_eq(delivered(stage, 0, 2), keys);
    /* The next checkpoint says that there are none any more. */
    client = ring_connect(stage, 0);
    EXPECT_ASKED(client, "SAVE", "+OK\r\n");
    ring_wait(stage, 100);
    ring_kill(stage, 0);
    ring_start(stage, 0);
    cr_assert_eq(stage->nodes[0].node->cluster->hints.count, 0u);
    ring_stage_end(stage);
}

Test(hints, a_node_that_ends_in_peace_has_written_them_before) {
    struct ring_stage *stage = ring_stage_begin(3, "save 3600 1\n");
    struct ring_client *client = ring_connect(stage, 0);
    lose_node_2(stage);
    ring_fill_many(client, "a-key-that-takes-a-few-more-bytes", 20000);
    ring_wait(stage, 1500);
    uint32_t keys = noted(stage, 0, 2);
    cr_assert_gt(keys, 5000u);
    node_stop(stage->nodes[0].node, NODE_STOP_DEFAULT);
    for (unsigned i = 0; node_shutdown_wish(stage->nodes[0].node) == NODE_RUNNING; i++) {
        cr_assert_lt(i, 1000u);
        ring_wait(stage, RING_STEP_MS);
    }
    ring_kill(stage, 0);
    ring_start(stage, 0);
    cr_assert_eq(noted(stage, 0, 2), keys);
    ring_stage_end(stage);
}

Test(hints, a_damaged_file_is_set_aside_and_comparing_finds_what_was_in_it) {
    struct ring_stage *stage = begin_missing(NULL);
    struct ring_client *client = stage->clients;
    EXPECT_ASKED(client, "SAVE", "+OK\r\n");
    ring_wait(stage, 100);
    ring_kill(stage, 0);
    size_t size;
    cr_assert_not_null(simulated_disk_bytes(&stage->nodes[0].disk, "dump.rdb.hints", &size));
    simulated_disk_put(&stage->nodes[0].disk, "dump.rdb.hints", "nonsense", 8);
    ring_start(stage, 0);
    cr_assert_eq(noted(stage, 0, 2), 0u);
    cr_assert_not_null(strstr(stage->nodes[0].log, "set aside as 'dump.rdb.hints.damaged'"));
    ring_isolate(stage, 2, false);
    expect_converged(stage, 15000);
    ring_stage_end(stage);
}

Test(hints, a_disk_that_fails_costs_a_line_in_the_log) {
    struct ring_stage *stage = begin_missing(NULL);
    struct ring_client *client = stage->clients;
    EXPECT_ASKED(client, "SAVE", "+OK\r\n");
    ring_wait(stage, 100);
    uint64_t operations = stage->nodes[0].disk.operations;
    EXPECT_ASKED(client, "SAVE", "+OK\r\n");
    ring_wait(stage, 100);
    /* The last operations of a save are those of the hints: names, then the hints. */
    uint64_t cost = stage->nodes[0].disk.operations - operations;
    stage->nodes[0].disk.faults = (struct disk_faults){
        .fail_at = stage->nodes[0].disk.operations + cost - 2, .fail_for = 1, .fail_error = 5};
    EXPECT_ASKED(client, "SAVE", "+OK\r\n");
    ring_wait(stage, 100);
    cr_assert_not_null(strstr(stage->nodes[0].log, "Can't write what other nodes have missed"), "%s",
                       stage->nodes[0].log);
    ring_isolate(stage, 2, false);
    expect_converged(stage, 15000);
    ring_stage_end(stage);
}

/* ---- Stand-ins ---- */

/* A key of four nodes with two copies: who holds it, and who is to stand in for the second holder. */
struct triple {
    struct ring_key key;
    unsigned first, second, other;
};

static unsigned number_of(struct ring_stage *stage, unsigned at, uint16_t member) {
    return membership_member(stage->nodes[at].node->cluster->membership, member)->entry.peer_port - 17000u;
}

/* The nth key that node 0 coordinates. */
static struct triple find_triple(struct ring_stage *stage, unsigned nth) {
    struct triple triple = {.key = ring_key_of(stage, 0, 0, nth)};
    const struct cluster *cluster = stage->nodes[0].node->cluster;
    uint32_t slot = crc16_key_slot(triple.key.text, (uint32_t)strlen(triple.key.text));
    uint16_t holders[RING_COPIES_MAX], walk[4];
    cr_assert_eq(cluster_holders(cluster, slot, holders), 2u);
    cr_assert_eq(ring_walk(cluster->ring, slot, walk, 4), stage->count);
    triple.second = number_of(stage, 0, holders[1]);
    triple.other = number_of(stage, 0, cluster->ring_indexes[walk[2]]);
    return triple;
}

/* Four nodes, of which the second holder of the triple is cut off; node 0 has a client, and knows. */
static struct ring_stage *begin_without_second(const char *settings, struct triple *triple) {
    struct ring_stage *stage = ring_stage_begin(4, settings);
    ring_connect(stage, 0);
    *triple = find_triple(stage, 0);
    ring_isolate(stage, triple->second, true);
    ring_expect_down(stage, 0, triple->second);
    return stage;
}

Test(hints, a_stand_in_keeps_a_copy_hands_it_over_and_deletes_it) {
    struct triple triple;
    struct ring_stage *stage = begin_without_second("replication-factor 2\n" ALONE, &triple);
    struct ring_client *client = stage->clients;
    EXPECT_ASKED(client, "SET unrelated value", "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "SET %s value", triple.key.text), "+OK\r\n");
    ring_turn(stage);
    cr_assert_eq(ring_copy_size(stage, triple.other, triple.key.text), 5);
    cr_assert_eq(ring_copy_size(stage, triple.second, triple.key.text), -1);
    cr_assert_geq(noted(stage, triple.other, triple.second), 1u);
    cr_assert_geq(noted(stage, 0, triple.second), 1u);
    EXPECT_ASKED(client, "DBSIZE", ":2\r\n");
    ring_wait(stage, 30000);
    cr_assert_eq(ring_copy_size(stage, triple.other, triple.key.text), 5, "it keeps it as long as it takes");
    ring_isolate(stage, triple.second, false);
    expect_converged(stage, 5000);
    cr_assert_eq(ring_copy_size(stage, triple.second, triple.key.text), 5);
    cr_assert_eq(ring_copy_size(stage, triple.other, triple.key.text), -1);
    cr_assert_eq(ring_copy_size(stage, 0, triple.key.text), 5);
    EXPECT_ASKED(client, "DBSIZE", ":2\r\n");
    cr_assert_eq(exchanged(stage), 0u);
    ring_stage_end(stage);
}

Test(hints, a_copy_that_somebody_will_want_is_not_left_over) {
    struct triple triple;
    struct ring_stage *stage = begin_without_second("replication-factor 2\n", &triple);
    struct ring_client *client = stage->clients;
    cr_assert_str_eq(ring_ask_format(client, "SET %s value", triple.key.text), "+OK\r\n");
    ring_wait(stage, 60000); /* its coordinator has it, and has been compared often enough */
    cr_assert_eq(ring_copy_size(stage, triple.other, triple.key.text), 5);
    ring_isolate(stage, triple.second, false);
    expect_converged(stage, 5000);
    cr_assert_eq(ring_copy_size(stage, triple.other, triple.key.text), -1);
    ring_stage_end(stage);
}

Test(hints, a_write_outlives_its_coordinator_at_the_stand_in) {
    struct triple triple;
    struct ring_stage *stage = begin_without_second("replication-factor 2\n", &triple);
    struct ring_client *client = stage->clients;
    for (unsigned i = 0; i < 20; i++)
        cr_assert_str_eq(ring_ask_format(client, "SET %s value:%u", triple.key.text, i), "+OK\r\n");
    cr_assert_str_eq(ring_ask_format(client, "SETRANGE %s 2999 x", triple.key.text), ":3000\r\n");
    cr_assert_str_eq(ring_ask_format(client, "SETRANGE %s 2000 y", triple.key.text), ":3000\r\n");
    ring_turn(stage);
    ring_kill(stage, 0);
    for (unsigned i = 1; i < 4; i++)
        if (i != triple.second)
            ring_part(stage, i, triple.second, false);
    struct ring_client *other = ring_connect(stage, triple.other);
    for (unsigned ms = 0; ring_copy_size(stage, triple.second, triple.key.text) != 3000; ms += 100) {
        cr_assert_lt(ms, 5000u);
        ring_wait(stage, 100);
    }
    ring_wait(stage, 5000);
    cr_assert_str_eq(ring_ask_format(other, "STRLEN %s", triple.key.text), ":3000\r\n");
    cr_assert_str_eq(ring_ask_format(other, "GETRANGE %s 2000 2000", triple.key.text), "$1\r\ny\r\n");
    ring_stage_end(stage);
}

Test(hints, a_copy_that_was_written_again_while_it_was_handed_over_is_handed_over_again) {
    struct ring_stage *stage = ring_stage_begin(4, "replication-factor 2\n" ALONE);
    struct ring_client *client = ring_connect(stage, 0);
    struct triple triple = find_triple(stage, 0);
    ring_part(stage, 0, triple.second, true); /* the stand-in reaches both */
    ring_wait(stage, 200);
    ring_hold(stage, triple.second, triple.other, true); /* but acknowledgements do not come */
    cr_assert_str_eq(ring_ask_format(client, "SET %s one", triple.key.text), "+OK\r\n");
    ring_wait(stage, 100);
    cr_assert_eq(ring_copy_size(stage, triple.second, triple.key.text), 3);
    cr_assert_eq(noted(stage, triple.other, triple.second), 1u);
    cr_assert_str_eq(ring_ask_format(client, "SET %s second", triple.key.text), "+OK\r\n");
    ring_turn(stage);
    cr_assert_eq(noted(stage, triple.other, triple.second), 1u);
    cr_assert_eq(ring_copy_size(stage, triple.other, triple.key.text), 6);
    ring_hold(stage, triple.second, triple.other, false);
    ring_wait(stage, 300);
    cr_assert_eq(ring_copy_size(stage, triple.second, triple.key.text), 6);
    cr_assert_eq(noted(stage, triple.other, triple.second), 0u);
    cr_assert_eq(ring_copy_size(stage, triple.other, triple.key.text), -1);
    ring_stage_end(stage);
}

/* Both holders of a key are away from the third node, or are not. */
static void part_from_holders(struct ring_stage *stage, const struct triple *triple, bool is_parted) {
    ring_part(stage, triple->other, 0, is_parted);
    ring_part(stage, triple->other, triple->second, is_parted);
    if (is_parted) {
        ring_expect_down(stage, triple->other, 0);
        ring_expect_down(stage, triple->other, triple->second);
    } else {
        ring_settle(stage);
        expect_converged(stage, 30000);
        for (unsigned ms = 0; ring_copy_size(stage, triple->other, triple->key.text) >= 0; ms += 100) {
            cr_assert_lt(ms, 60000u, "it keeps what it has handed over");
            ring_wait(stage, 100);
        }
    }
}

Test(hints, what_a_stand_in_counts_adds_up_also_when_it_stands_in_again) {
    struct ring_stage *stage = ring_stage_begin(3, "replication-factor 2\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct triple triple = find_triple(stage, 0);
    const struct actor_identity *identity = &stage->nodes[triple.other].node->cluster->self_identity;
    uint64_t first = identity->incarnation;
    struct ring_client *apart = ring_connect(stage, triple.other);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_str_eq(ring_ask_format(client, "SET another:%u value", i), "+OK\r\n");
        part_from_holders(stage, &triple, true);
        for (unsigned k = 1; k <= 5; k++) {
            char expected[32];
            snprintf(expected, sizeof expected, ":%u\r\n", k);
            cr_assert_str_eq(ring_ask_format(apart, "INCR %s", triple.key.text), expected);
        }
        cr_assert_eq(identity->incarnation, first + i, "once where it has to count from nothing again");
        part_from_holders(stage, &triple, false);
    }
    cr_assert_str_eq(ring_ask_format(client, "GET %s", triple.key.text), "$2\r\n15\r\n");
    /* What it has only kept for others costs no incarnation. */
    for (unsigned i = 0; i < 3; i++) {
        ring_isolate(stage, triple.second, true);
        ring_expect_down(stage, 0, triple.second);
        ring_expect_down(stage, triple.other, triple.second);
        cr_assert_str_eq(ring_ask_format(client, "SET %s text", triple.key.text), "+OK\r\n");
        ring_turn(stage);
        cr_assert_eq(ring_copy_size(stage, triple.other, triple.key.text), 4);
        ring_isolate(stage, triple.second, false);
        part_from_holders(stage, &triple, false);
        part_from_holders(stage, &triple, true);
        part_from_holders(stage, &triple, false);
    }
    cr_assert_eq(identity->incarnation, first + 2);
    ring_stage_end(stage);
}

Test(hints, a_stand_in_gets_deletes_too_and_forgets_the_tombstone_behind_them) {
    struct ring_stage *stage = ring_stage_begin(4, "replication-factor 2\n" ALONE);
    struct ring_client *client = ring_connect(stage, 0);
    struct triple triple = find_triple(stage, 0);
    cr_assert_str_eq(ring_ask_format(client, "SET %s value", triple.key.text), "+OK\r\n");
    ring_wait(stage, 100);
    ring_isolate(stage, triple.second, true);
    ring_expect_down(stage, 0, triple.second);
    cr_assert_str_eq(ring_ask_format(client, "DEL %s", triple.key.text), ":1\r\n");
    ring_turn(stage);
    uint32_t slot = crc16_key_slot(triple.key.text, (uint32_t)strlen(triple.key.text));
    const struct ledger *ledger = stage->nodes[triple.other].node->keyspace->ledger;
    cr_assert_eq(ledger->tombstones[slot], 1u);
    cr_assert_eq(ring_copy_size(stage, triple.second, triple.key.text), 5);
    ring_isolate(stage, triple.second, false);
    expect_converged(stage, 5000);
    cr_assert_eq(ring_copy_size(stage, triple.second, triple.key.text), -1);
    cr_assert_eq(ledger->tombstones[slot], 0u);
    ring_stage_end(stage);
}

Test(hints, a_stand_in_hears_of_a_flush_before_what_was_counted_behind_it) {
    struct ring_stage *stage = ring_stage_begin(4, "replication-factor 2\n" ALONE);
    struct ring_client *client = ring_connect(stage, 0);
    struct triple triple = find_triple(stage, 0);
    ring_isolate(stage, triple.second, true);
    ring_expect_down(stage, 0, triple.second);
    cr_assert_str_eq(ring_ask_format(client, "INCRBY %s 10", triple.key.text), ":10\r\n");
    EXPECT_ASKED(client, "FLUSHALL", "+OK\r\n");
    ring_turn(stage);
    uint32_t slot = crc16_key_slot(triple.key.text, (uint32_t)strlen(triple.key.text));
    const struct ledger *ours = stage->nodes[0].node->keyspace->ledger,
                        *theirs = stage->nodes[triple.other].node->keyspace->ledger;
    cr_assert_neq(ours->flush_counters[slot], 0);
    cr_assert_str_eq(ring_ask_format(client, "INCR %s", triple.key.text), ":1\r\n");
    ring_turn(stage);
    cr_assert_eq(ring_copy_size(stage, triple.other, triple.key.text), 1);
    cr_assert_eq(theirs->flush_counters[slot], ours->flush_counters[slot]);
    ring_isolate(stage, triple.second, false);
    expect_converged(stage, 5000);
    cr_assert_str_eq(ring_ask_format(client, "GET %s", triple.key.text), "$1\r\n1\r\n");
    ring_stage_end(stage);
}

Test(hints, a_stand_in_is_not_counted_by_wait_and_does_not_answer_reads) {
    struct triple triple;
    struct ring_stage *stage = begin_without_second("replication-factor 2\nread-from nearest\n", &triple);
    struct ring_client *client = stage->clients;
    cr_assert_str_eq(ring_ask_format(client, "SET %s one", triple.key.text), "+OK\r\n");
    EXPECT_ASKED(client, "WAIT 1 300", ":0\r\n");
    cr_assert_eq(ring_copy_size(stage, triple.other, triple.key.text), 3);
    /* The stand-in is behind: it must not be asked. */
    struct ring_client *other = ring_connect(stage, triple.other);
    ring_hold(stage, 0, triple.other, true);
    cr_assert_str_eq(ring_ask_format(client, "SET %s second", triple.key.text), "+OK\r\n");
    ring_say_format(other, "GET %s", triple.key.text);
    ring_turn(stage);
    cr_assert_str_eq(ring_hear_now(other), "");
    ring_hold(stage, 0, triple.other, false);
    EXPECT_HEARD(other, "$6\r\nsecond\r\n");
    ring_stage_end(stage);
}

Test(hints, who_can_be_reached_again_and_its_stand_in_are_one_copy) {
    struct ring_stage *stage = ring_stage_begin(4, "replication-factor 2\n");
    ring_connect(stage, 0);
    struct triple triple = find_triple(stage, 0);
    struct node *node = stage->nodes[0].node;
    uint32_t slot = crc16_key_slot(triple.key.text, (uint32_t)strlen(triple.key.text));
    uint16_t members[RING_COPIES_MAX];
    struct peer *second = cluster_peer(node->cluster, ring_member(stage, 0, triple.second));
    second->reach.is_passed_over = true;
    holders_work(node);
    cr_assert_eq(holders_stand_ins(node, slot, members), 1u);
    cr_assert_eq(number_of(stage, 0, members[0]), triple.other);
    second->reach.is_passed_over = false; /* and in the same turn something is written */
    cr_assert_eq(holders_stand_ins(node, slot, members), 0u);
    ring_stage_end(stage);
}

Test(hints, with_sloppy_quorum_off_nobody_stands_in) {
    struct triple triple;
    struct ring_stage *stage =
        begin_without_second("replication-factor 2\nsloppy-quorum no\n" ALONE, &triple);
    struct ring_client *client = stage->clients;
    cr_assert_str_eq(ring_ask_format(client, "SET %s one", triple.key.text), "+OK\r\n");
    ring_turn(stage);
    for (unsigned i = 1; i < 4; i++)
        cr_assert_eq(ring_copy_size(stage, i, triple.key.text), -1, "node %u", i);
    ring_isolate(stage, triple.second, false);
    expect_converged(stage, 5000);
    cr_assert_eq(ring_copy_size(stage, triple.second, triple.key.text), 3);
    ring_stage_end(stage);
}

Test(hints, while_everybody_can_be_reached_nobody_stands_in) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    for (unsigned i = 0; i < 5; i++)
        for (uint32_t slot = 0; slot < SLOT_COUNT; slot += 7) {
            const struct node *node = stage->nodes[i].node;
            uint16_t members[RING_COPIES_MAX];
            cr_assert_eq(holders_stand_ins(node, slot, members), 0u);
            cr_assert_eq(holders_of(node->cluster, node->keyspace->ledger, slot)->count,
                         slot_set_has(&node->cluster->held, slot) ? 2u : 3u);
        }
    ring_stage_end(stage);
}

Test(hints, each_absent_holder_has_one_stand_in_while_there_are_enough_nodes) {
    struct ring_stage *stage = ring_stage_begin(5, NULL);
    ring_isolate(stage, 3, true);
    ring_isolate(stage, 4, true);
    ring_expect_down(stage, 0, 3);
    ring_expect_down(stage, 0, 4);
    const struct node *node = stage->nodes[0].node;
    const struct cluster *cluster = node->cluster;
    uint32_t most = 0;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        const struct holder_set *set = holders_of(cluster, node->keyspace->ledger, slot);
        uint16_t members[RING_COPIES_MAX];
        uint32_t count = holders_stand_ins(node, slot, members), absent = 0;
        for (uint32_t i = 0; i < set->count; i++) {
            unsigned number = number_of(stage, 0, set->members[i]);
            absent += number == 3 || number == 4;
        }
        bool is_held = slot_set_has(&cluster->held, slot);
        /* Three nodes are left for three copies. */
        cr_assert_eq(count, is_held ? absent : absent - (absent != 0), "slot %u", slot);
        for (uint32_t i = 0; i < count; i++) {
            cr_assert(!holders_has(cluster, slot, members[i]) && members[i] != ROUTE_SELF);
            unsigned owner = number_of(stage, 0, holders_stand_ins_of(cluster, set)[i].owner);
            cr_assert(owner == 3 || owner == 4);
        }
        most = count > most ? count : most;
    }
    cr_assert_eq(most, 2u);
    ring_stage_end(stage);
}

Test(hints, what_a_stand_in_has_no_hint_for_goes_to_the_coordinator_in_the_end) {
    struct triple triple;
    struct ring_stage *stage = begin_without_second("replication-factor 2\nhint-window 5\n", &triple);
    struct ring_client *client = stage->clients;
    cr_assert_str_eq(ring_ask_format(client, "SET %s one", triple.key.text), "+OK\r\n");
    ring_wait(stage, 8000);
    cr_assert_eq(noted(stage, triple.other, triple.second), 0u, "the window has passed");
    cr_assert_eq(ring_copy_size(stage, triple.other, triple.key.text), 3);
    ring_wait(stage, 60000);
    cr_assert_eq(ring_copy_size(stage, triple.other, triple.key.text), -1);
    cr_assert_eq(ring_copy_size(stage, 0, triple.key.text), 3);
    ring_isolate(stage, triple.second, false);
    expect_converged(stage, 15000);
    cr_assert_eq(ring_copy_size(stage, triple.second, triple.key.text), 3);
    ring_stage_end(stage);
}
