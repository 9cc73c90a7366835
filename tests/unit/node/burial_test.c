/* burial_test.c - deleted keys stay deleted, whoever comes back with what, and yet their tombstones go; KV.DIGEST and KV.REPAIR.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/crc16.h"
#include "node/ring_faults.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* Seconds. */
#define SHORT    "hint-window 4\ntombstone-grace 10\n"
#define GRACE_MS 10000
#define KEYS     40
#define LONG_MS  (GRACE_MS + 40000)
#define NO_KEY   "$-1\r\n"

/* ---- Tools ---- */

static uint64_t tombstones(struct ring_stage *stage, unsigned number) {
    const struct ledger *ledger = stage->nodes[number].node->keyspace->ledger;
    uint64_t count = 0;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        count += ledger->tombstones[slot];
    return count;
}

static uint64_t all_tombstones(struct ring_stage *stage) {
    uint64_t count = 0;
    for (unsigned i = 0; i < stage->count; i++)
        if (stage->nodes[i].node != NULL)
            count += tombstones(stage, i);
    return count;
}

static uint64_t keys_of(struct ring_stage *stage, unsigned number) {
    return keyspace_size(stage->nodes[number].node->keyspace, 0);
}

static void wait_until_buried(struct ring_stage *stage) {
    for (unsigned ms = 0; all_tombstones(stage) != 0; ms += 500) {
        for (unsigned i = 0; ms >= LONG_MS && i < stage->count; i++)
            fprintf(stderr, "--- node %u has %llu:\n%s", i,
                    stage->nodes[i].node == NULL ? 0 : (unsigned long long)tombstones(stage, i),
                    stage->nodes[i].log);
        cr_assert_lt(ms, (unsigned)LONG_MS, "tombstones are left");
        ring_wait(stage, 500);
    }
}

/* Keys "key:0" and so on have a value; every second one of them is deleted. */
static void set_all(struct ring_client *client) {
    for (unsigned i = 0; i < KEYS; i++)
        cr_assert_str_eq(ring_ask_format(client, "SET key:%u value", i), "+OK\r\n");
}

static void delete_half(struct ring_client *client) {
    for (unsigned i = 0; i < KEYS; i += 2)
        cr_assert_str_eq(ring_ask_format(client, "DEL key:%u", i), ":1\r\n");
}

static void expect_half(struct ring_client *client) {
    for (unsigned i = 0; i < KEYS; i++)
        cr_assert_str_eq(ring_ask_format(client, "GET key:%u", i), i % 2 == 0 ? NO_KEY : "$5\r\nvalue\r\n",
                         "key:%u", i);
}

static void save(struct ring_stage *stage, unsigned number) {
    struct ring_client *client = ring_connect(stage, number);
    EXPECT_ASKED(client, "SAVE", "+OK\r\n");
    ring_disconnect(client);
}

static void save_all(struct ring_stage *stage) {
    for (unsigned i = 0; i < stage->count; i++)
        if (stage->nodes[i].node != NULL)
            save(stage, i);
}

/* What a node's folder holds at a moment, to be found by a later start. */
static void keep_disk(struct ring_stage *stage, unsigned number, struct simulated_disk *kept) {
    simulated_disk_init(kept, &stage->mem, 77);
    simulated_disk_copy(&stage->nodes[number].disk, kept);
}

static void put_disk_back(struct ring_stage *stage, unsigned number, struct simulated_disk *kept) {
    struct simulated_disk *disk = &stage->nodes[number].disk;
    simulated_disk_release(disk);
    simulated_disk_init(disk, &stage->mem, 78);
    simulated_disk_copy(kept, disk);
    simulated_disk_release(kept);
}

/* Two nodes save that half of the keys are deleted, and end. */
static void end_both_with_tombstones(struct ring_stage *stage, struct ring_client *client) {
    set_all(client);
    delete_half(client);
    ring_turn(stage);
    save_all(stage);
    ring_kill(stage, 0);
    ring_kill(stage, 1);
}

/* The second one, whose list of members cannot be read and whose seed does not answer. */
static void start_without_members(struct ring_stage *stage) {
    simulated_disk_put(&stage->nodes[1].disk, "dump.rdb.members", "nonsense", 8);
    ring_start(stage, 1);
}

/* ---- Tombstones go ---- */

Test(burial, who_starts_without_knowing_its_members_keeps_tombstones_until_it_is_sure_to_be_alone) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    end_both_with_tombstones(stage, client);
    start_without_members(stage);
    ring_wait(stage, 5000);
    cr_assert(stage->nodes[1].node->cluster->is_joining);
    cr_assert_eq(tombstones(stage, 1), KEYS / 2);
    ring_wait(stage, 15000);
    cr_assert_not(stage->nodes[1].node->cluster->is_joining);
    cr_assert_eq(tombstones(stage, 1), 0);
    cr_assert_eq(keys_of(stage, 1), KEYS / 2);
    ring_stage_end(stage);
}

static uint64_t flushed_slots(struct ring_stage *stage, unsigned number) {
    const struct ledger *ledger = stage->nodes[number].node->keyspace->ledger;
    uint64_t count = 0;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        count += ledger->flush_counters[slot] != 0;
    return count;
}

Test(burial, a_checkpoint_of_who_is_still_joining_has_all_that_is_known_of_deleted_keys) {
    struct ring_stage *stage = ring_stage_begin(2, SHORT);
    struct ring_client *client = ring_connect(stage, 0);
    EXPECT_ASKED(client, "FLUSHALL", "+OK\r\n");
    set_all(client);
    delete_half(client);
    wait_until_buried(stage); /* there are floors now */
    end_both_with_tombstones(stage, client);
    uint64_t floor = 0;
    for (unsigned i = 0; i < 3; i++) {
        start_without_members(stage);
        ring_wait(stage, 1000);
        cr_assert(stage->nodes[1].node->cluster->is_joining);
        cr_assert_eq(tombstones(stage, 1), KEYS / 2);
        cr_assert_eq(flushed_slots(stage, 1), SLOT_COUNT);
        uint64_t highest = stage->nodes[1].node->keyspace->ledger->floors.highest;
        cr_assert(highest != 0 && (i == 0 || highest == floor));
        floor = highest;
        save(stage, 1);
        ring_kill(stage, 1);
    }
    ring_stage_end(stage);
}

Test(burial, tombstones_go_from_all_copies_when_they_are_old_and_nobody_needs_them) {
    struct ring_stage *stage = ring_stage_begin(3, SHORT);
    struct ring_client *client = ring_connect(stage, 0);
    set_all(client);
    delete_half(client);
    ring_wait(stage, GRACE_MS - 2000);
    cr_assert_eq(all_tombstones(stage), 3 * KEYS / 2, "they are too young");
    wait_until_buried(stage);
    ring_expect_equal_copies(stage);
    expect_half(client);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        const uint64_t floor = stage->nodes[0].node->keyspace->ledger->floors.counters[slot];
        for (unsigned i = 1; i < 3; i++)
            cr_assert_eq(stage->nodes[i].node->keyspace->ledger->floors.counters[slot], floor);
    }
    cr_assert_gt(stage->nodes[0].node->keyspace->ledger->floors.highest, 0);
    cr_assert_eq(stage->nodes[1].node->keyspace->ledger->floors.dropped, KEYS / 2);
    ring_stage_end(stage);
}

Test(burial, a_slot_with_one_holder_needs_nobody_else) {
    struct ring_stage *stage = ring_stage_begin(2, SHORT "replication-factor 1\n");
    struct ring_client *client = ring_connect(stage, 0);
    set_all(client);
    delete_half(client);
    wait_until_buried(stage);
    expect_half(client);
    ring_stage_end(stage);
}

Test(burial, a_node_that_is_down_keeps_the_tombstones_of_its_slots) {
    struct ring_stage *stage = ring_stage_begin(3, SHORT);
    struct ring_client *client = ring_connect(stage, 0);
    set_all(client);
    ring_kill(stage, 2);
    ring_wait(stage, 5000);
    delete_half(client);
    ring_wait(stage, LONG_MS);
    cr_assert_eq(all_tombstones(stage), 2 * KEYS / 2);
    ring_start(stage, 2);
    ring_settle(stage);
    wait_until_buried(stage);
    expect_half(ring_connect(stage, 2));
    ring_stage_end(stage);
}

/* A key that nodes 0 to 2 hold, and node 3 does not. */
static struct ring_key key_without_node_3(struct ring_stage *stage) {
    for (unsigned number = 0;; number++) {
        struct ring_key key;
        uint16_t holders[RING_COPIES_MAX];
        bool is_held = false;
        snprintf(key.text, sizeof key.text, "key:%u", number);
        uint32_t slot = crc16_key_slot((const uint8_t *)key.text, (uint32_t)strlen(key.text));
        uint32_t count = cluster_holders(stage->nodes[0].node->cluster, slot, holders);
        for (uint32_t i = 0; i < count; i++)
            is_held = is_held || holders[i] == ring_member(stage, 0, 3);
        if (!is_held)
            return key;
    }
}

Test(burial, a_hint_anywhere_keeps_the_tombstones_of_whom_it_is_for) {
    for (unsigned has_hint = 0; has_hint < 2; has_hint++) {
        struct ring_stage *stage = ring_stage_begin(4, "hint-window 40\ntombstone-grace 41\n");
        struct ring_client *client = ring_connect(stage, 0);
        struct ring_key text = key_without_node_3(stage);
        cr_assert_str_eq(ring_ask_format(client, "SET %s x", text.text), "+OK\r\n");
        cr_assert_str_eq(ring_ask_format(client, "DEL %s", text.text), ":1\r\n");
        ring_wait(stage, 35000);
        /* Node 3 cannot reach node 2, and has a note for it; all others can. */
        ring_part(stage, 3, 2, true);
        struct cluster *at = stage->nodes[3].node->cluster;
        struct argument key = {.data = (const uint8_t *)text.text,
                               .size = (uint32_t)strlen(text.text),
                               .slot = ARGUMENT_NOT_PLACED};
        keyspace_place(stage->nodes[3].node->keyspace, &key);
        if (has_hint)
            cr_assert(
                hints_add(&at->hints, ring_member(stage, 3, 2), &key, stage->nodes[3].node->monotonic_ms));
        ring_wait(stage, 35000);
        cr_assert_eq(all_tombstones(stage), has_hint ? 3 : 0);
        wait_until_buried(stage); /* the hint is given up in the end */
        ring_stage_end(stage);
    }
}

Test(burial, a_file_from_before_keeps_them_until_there_is_a_new_one) {
    struct ring_stage *stage = ring_stage_begin(3, SHORT "save \"\"\n");
    struct ring_client *client = ring_connect(stage, 0);
    set_all(client);
    ring_expect_equal_copies(stage);
    save_all(stage);
    delete_half(client);
    ring_wait(stage, LONG_MS);
    cr_assert_eq(all_tombstones(stage), 3 * KEYS / 2);
    save(stage, 0);
    save(stage, 1);
    ring_wait(stage, LONG_MS);
    cr_assert_eq(all_tombstones(stage), 3 * KEYS / 2, "node 2 has an old one still");
    save(stage, 2);
    wait_until_buried(stage);
    expect_half(client);
    ring_stage_end(stage);
}

/* ---- Nothing comes back ---- */

/* F3: the tombstone is gone, and a copy of before the deletion comes. */
Test(burial, a_node_that_loads_an_old_file_does_not_bring_back_what_was_deleted) {
    struct ring_stage *stage = ring_stage_begin(3, SHORT "save \"\"\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct simulated_disk old;
    set_all(client);
    ring_expect_equal_copies(stage);
    save_all(stage);
    keep_disk(stage, 2, &old);
    delete_half(client);
    ring_wait(stage, LONG_MS);
    save_all(stage);
    wait_until_buried(stage);
    ring_kill(stage, 2);
    ring_wait(stage, 1000);
    put_disk_back(stage, 2, &old);
    ring_start(stage, 2);
    cr_assert_eq(keys_of(stage, 2), KEYS, "it has what was deleted");
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(keys_of(stage, i), KEYS / 2, "node %u has %llu keys", i,
                     (unsigned long long)keys_of(stage, i));
        expect_half(ring_connect(stage, i));
    }
    ring_stage_end(stage);
}

/* The same, but the key has been made anew: what was counted before the deletion is not added to it. */
Test(burial, what_was_counted_before_a_deletion_is_not_added_to_what_was_counted_behind_it) {
    struct ring_stage *stage = ring_stage_begin(3, SHORT "save \"\"\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct ring_key key = ring_key_of(stage, 0, 2, 0); /* another node counts it behind that */
    struct simulated_disk old;
    cr_assert_str_eq(ring_ask_format(client, "INCRBY %s 100", key.text), ":100\r\n");
    ring_expect_equal_copies(stage);
    save_all(stage);
    keep_disk(stage, 2, &old);
    cr_assert_str_eq(ring_ask_format(client, "DEL %s", key.text), ":1\r\n");
    ring_wait(stage, LONG_MS);
    save_all(stage);
    wait_until_buried(stage);
    ring_kill(stage, 2);
    ring_wait(stage, 5000);
    cr_assert_str_eq(ring_ask_format(client, "INCRBY %s 5", key.text), ":5\r\n");
    put_disk_back(stage, 2, &old);
    ring_start(stage, 2);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_str_eq(ring_ask_format(ring_connect(stage, i), "GET %s", key.text), "$1\r\n5\r\n");
    ring_stage_end(stage);
}

/* An expired key beats older versions of it, though nothing is seen of it any more. */
Test(burial, a_key_that_has_expired_does_not_come_back_as_what_it_was_before) {
    struct ring_stage *stage = ring_stage_begin(3, SHORT "hinted-handoff no\n");
    struct ring_client *client = ring_connect(stage, 0);
    set_all(client);
    ring_expect_equal_copies(stage);
    ring_kill(stage, 2);
    ring_wait(stage, 5000);
    for (unsigned i = 0; i < KEYS; i += 2)
        cr_assert_str_eq(ring_ask_format(client, "SET key:%u other PX 2000", i), "+OK\r\n");
    stage->nodes[2].settings = SHORT "hinted-handoff no\n";
    ring_wait(stage, 70000);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(keys_of(stage, i), KEYS / 2, "node %u", i);
    cr_assert(ring_copies_are_equal(stage), "both have the stubs");
    ring_start(stage, 2);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    for (unsigned i = 0; i < 3; i++)
        expect_half(ring_connect(stage, i));
    wait_until_buried(stage);
    expect_half(client);
    ring_stage_end(stage);
}

Test(burial, a_key_that_expires_while_all_copies_agree_leaves_nothing) {
    struct ring_stage *stage = ring_stage_begin(3, SHORT);
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned i = 0; i < KEYS; i++)
        cr_assert_str_eq(ring_ask_format(client, "SET key:%u value PX 500", i), "+OK\r\n");
    ring_wait(stage, 5000);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(keys_of(stage, i), 0);
    cr_assert_eq(all_tombstones(stage), 0);
    ring_stage_end(stage);
}

/* F4: what a node has missed comes to it late. */
Test(burial, a_hint_of_a_key_that_is_deleted_brings_the_deletion) {
    struct ring_stage *stage = ring_stage_begin(3, "hint-window 100\ntombstone-grace 101\n");
    struct ring_client *client = ring_connect(stage, 0);
    set_all(client);
    ring_kill(stage, 2);
    ring_wait(stage, 5000);
    for (unsigned i = 0; i < KEYS; i++)
        cr_assert_str_eq(ring_ask_format(client, "SET key:%u value", i), "+OK\r\n");
    delete_half(client);
    ring_wait(stage, 20000);
    ring_start(stage, 2);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    expect_half(ring_connect(stage, 2));
    ring_stage_end(stage);
}

/* No age empties a node: where nobody else is there, an old file is all that is left. */
Test(burial, a_node_that_is_left_alone_keeps_what_its_old_file_holds) {
    struct ring_stage *stage = ring_stage_begin(3, SHORT "save \"\"\n");
    struct ring_client *client = ring_connect(stage, 0);
    set_all(client);
    delete_half(client);
    wait_until_buried(stage);
    save(stage, 2);
    for (unsigned i = 0; i < 3; i++)
        ring_kill(stage, i);
    ring_wait(stage, 1000000);
    ring_start(stage, 2);
    ring_wait(stage, 20000);
    cr_assert_eq(keys_of(stage, 2), KEYS / 2);
    cr_assert_gt(stage->nodes[2].node->keyspace->ledger->floors.highest, 0, "floors are in the file");
    expect_half(ring_connect(stage, 2));
    ring_stage_end(stage);
}

Test(burial, a_flush_is_remembered_by_the_file) {
    struct ring_stage *stage = ring_stage_begin(3, "save \"\"\n");
    struct ring_client *client = ring_connect(stage, 0);
    struct simulated_disk old;
    set_all(client);
    ring_expect_equal_copies(stage);
    save(stage, 2);
    keep_disk(stage, 2, &old);
    EXPECT_ASKED(client, "FLUSHALL", "+OK\r\n");
    ring_expect_equal_copies(stage);
    save(stage, 0);
    save(stage, 1);
    for (unsigned i = 0; i < 3; i++)
        ring_kill(stage, i);
    put_disk_back(stage, 2, &old);
    for (unsigned i = 0; i < 3; i++)
        ring_start(stage, i);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(keys_of(stage, i), 0, "node %u", i);
    ring_stage_end(stage);
}

/* ---- Who has lost something gets it back ---- */

Test(burial, a_live_node_that_has_lost_its_keys_is_refilled) {
    struct ring_stage *stage = ring_stage_begin(3, SHORT);
    struct ring_client *client = ring_connect(stage, 0);
    set_all(client);
    delete_half(client);
    wait_until_buried(stage);
    struct slot_set all;
    memset(&all, 0xff, sizeof all);
    for (unsigned i = 0; i < 2; i++) {
        keyspace_drop_slots(stage->nodes[i].node->keyspace, &all);
        cr_assert_eq(keys_of(stage, i), 0);
        ring_wait(stage, 20000);
        cr_assert_eq(keys_of(stage, i), KEYS / 2, "node %u", i);
    }
    ring_expect_equal_copies(stage);
    expect_half(client);
    ring_stage_end(stage);
}

Test(burial, a_node_that_has_its_name_and_no_keys_is_refilled) {
    struct ring_stage *stage = ring_stage_begin(3, SHORT "save \"\"\n");
    struct ring_client *client = ring_connect(stage, 0);
    set_all(client);
    delete_half(client);
    wait_until_buried(stage);
    ring_kill(stage, 1);
    ring_wait(stage, 1000);
    ring_start(stage, 1);
    cr_assert_eq(keys_of(stage, 1), 0);
    ring_settle(stage);
    ring_expect_equal_copies(stage);
    cr_assert_eq(keys_of(stage, 1), KEYS / 2);
    ring_stage_end(stage);
}

/* ---- What people see and call ---- */

Test(burial, copies_that_agree_show_the_same_digest) {
    struct ring_stage *stage = ring_stage_begin(3, NULL);
    char first[64];
    set_all(ring_connect(stage, 0));
    ring_expect_equal_copies(stage);
    snprintf(first, sizeof first, "%s", ring_ask(ring_connect(stage, 0), "KV.DIGEST"));
    cr_assert_eq(strlen(first), strlen("$16\r\n0123456789abcdef\r\n"), "%s", first);
    EXPECT_ASKED(ring_connect(stage, 1), "KV.DIGEST", first);
    cr_assert_str_eq(ring_ask(ring_connect(stage, 2), "SET key:0 other"), "+OK\r\n");
    ring_wait(stage, 100);
    cr_assert_str_neq(ring_ask(ring_connect(stage, 1), "KV.DIGEST"), first);
    ring_stage_end(stage);
}

Test(burial, a_slot_shows_its_keys_and_tombstones) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct ring_client *client = ring_connect(stage, 1);
    EXPECT_ASKED(client, "SET {a}1 x", "+OK\r\n");
    EXPECT_ASKED(client, "SET {a}2 x", "+OK\r\n");
    EXPECT_ASKED(client, "DEL {a}1", ":1\r\n");
    const char *reply = ring_ask(client, "KV.DIGEST 15495");
    cr_assert_not_null(strstr(reply, "$4\r\nslot\r\n:15495\r\n"), "%s", reply);
    cr_assert_not_null(strstr(reply,
                              "$4\r\nkeys\r\n:1\r\n$10\r\ntombstones\r\n:1\r\n$13\r\nflush-counter\r\n:0\r\n"
                              "$5\r\nfloor\r\n:0\r\n"),
                       "%s", reply);
    EXPECT_ASKED(client, "KV.DIGEST 16384", "-ERR Invalid or out of range slot\r\n");
    EXPECT_ASKED(client, "KV.DIGEST a", "-ERR Invalid or out of range slot\r\n");
    EXPECT_ASKED(client, "KV.DIGEST 1 2", "-ERR syntax error\r\n");
    ring_stage_end(stage);
}

Test(burial, repair_compares_at_once) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    struct ring_client *client = ring_connect(stage, 0);
    ring_wait(stage, 1000);
    const struct compare_statistics *statistics = &stage->nodes[0].node->cluster->compare_statistics;
    const char *const lines[] = {"KV.REPAIR", "KV.REPAIR ALL"};
    for (unsigned i = 0; i < 2; i++) {
        uint64_t rounds = statistics->rounds;
        EXPECT_ASKED(client, lines[i], "+OK\r\n");
        ring_wait(stage, 100);
        cr_assert_eq(statistics->rounds, rounds + 1, "%s", lines[i]);
    }
    char id[IDENTITY_ID_SIZE];
    const struct cluster *cluster = stage->nodes[0].node->cluster;
    identity_print_id(membership_member(cluster->membership, 1)->entry.id, id);
    uint64_t rounds = statistics->rounds;
    cr_assert_str_eq(ring_ask_format(client, "KV.REPAIR NODE %s", id), "+OK\r\n");
    uint32_t slot = slot_set_next(&cluster->coordinated, 0);
    ring_wait(stage, 100);
    cr_assert_str_eq(ring_ask_format(client, "KV.REPAIR SLOT %u", slot), "+OK\r\n");
    ring_wait(stage, 100);
    cr_assert_eq(statistics->rounds, rounds + 2);
    slot = slot_set_next_absent(&cluster->coordinated, 0);
    cr_assert_str_eq(ring_ask_format(client, "KV.REPAIR SLOT %u", slot),
                     "-ERR Another node coordinates this slot, and compares it: ask that one (KV.RING)\r\n");
    EXPECT_ASKED(client, "KV.REPAIR NODE 00", "-ERR Unknown node\r\n");
    EXPECT_ASKED(client, "KV.REPAIR ALL 1", "-ERR syntax error\r\n");
    ring_stage_end(stage);
}

Test(burial, copies_that_agree_spend_two_kilobytes_on_a_check) {
    struct ring_stage *stage = ring_stage_begin(2, NULL);
    set_all(ring_connect(stage, 0));
    ring_expect_equal_copies(stage);
    const struct compare_statistics *statistics = &stage->nodes[0].node->cluster->compare_statistics;
    uint64_t rounds = statistics->rounds, bytes = statistics->bytes_in + statistics->bytes_out;
    ring_wait(stage, 40000);
    cr_assert_geq(statistics->rounds, rounds + 3);
    cr_assert_leq((statistics->bytes_in + statistics->bytes_out - bytes) / (statistics->rounds - rounds),
                  2048u);
    ring_stage_end(stage);
}

Test(burial, comparing_keeps_to_its_rate) {
    /* 2000 keys of 1 KB for a node that has none, at 200 KB a second: 10 seconds at least. */
    struct ring_stage *stage = ring_stage_begin(2, "hinted-handoff no\n");
    struct ring_client *client = ring_connect(stage, 0);
    ring_kill(stage, 1);
    ring_wait(stage, 5000);
    static char line[1200];
    for (unsigned i = 0; i < 2000; i++) {
        int size = snprintf(line, sizeof line, "SET key:%u ", i);
        memset(line + size, 'x', 1000);
        line[size + 1000] = '\0';
        EXPECT_ASKED(client, line, "+OK\r\n");
    }
    EXPECT_ASKED(client, "CONFIG SET repair-rate 204800", "+OK\r\n");
    stage->nodes[1].settings = "repair-rate 204800\n";
    ring_start(stage, 1);
    ring_wait(stage, 6000);
    cr_assert_lt(keys_of(stage, 1), 1990u, "%llu keys are there", (unsigned long long)keys_of(stage, 1));
    cr_assert_gt(keys_of(stage, 1), 200u, "%llu keys are there", (unsigned long long)keys_of(stage, 1));
    EXPECT_ASKED(client, "CONFIG SET repair-rate 0", "+OK\r\n");
    ring_expect_equal_copies(stage);
    cr_assert_eq(keys_of(stage, 1), 2000);
    ring_stage_end(stage);
}

/* ---- What it costs ---- */

#define MANY_KEYS  30000
#define VALUE_SIZE 200

static void set_sized(struct ring_client *client, unsigned number, char fill) {
    char line[64 + VALUE_SIZE];
    int size = snprintf(line, sizeof line, "SET many:%u ", number);
    memset(line + size, fill, VALUE_SIZE);
    line[size + VALUE_SIZE] = '\0';
    ring_say(client, line);
}

static void hear_all(struct ring_client *client, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        EXPECT_HEARD(client, "+OK\r\n");
}

/* Bytes between all nodes, gossip among them. */
static uint64_t bytes_between(const struct ring_stage *stage) {
    uint64_t bytes = 0;
    for (unsigned i = 0; i < stage->count; i++)
        for (unsigned k = 0; k < stage->count; k++)
            bytes += stage->bytes[i][k];
    return bytes;
}

Test(burial, comparing_alone_finds_one_key_in_a_hundred_soon_and_moves_little_more_than_these) {
    struct ring_stage *stage = ring_stage_begin(5, "hinted-handoff no\nsloppy-quorum no\nsave \"\"\n");
    struct ring_client *client = ring_connect(stage, 0);
    for (unsigned i = 0; i < MANY_KEYS; i++)
        set_sized(client, i, 'a');
    hear_all(client, MANY_KEYS);
    ring_expect_equal_copies(stage);
    save(stage, 4);
    ring_kill(stage, 4);
    ring_wait(stage, 5000);
    uint64_t differing_bytes = 0;
    for (unsigned i = 0; i < MANY_KEYS; i += 60) { /* the lost node holds three fifths of them */
        char name[32];
        uint16_t holders[RING_COPIES_MAX];
        snprintf(name, sizeof name, "many:%u", i);
        uint32_t slot = crc16_key_slot((const uint8_t *)name, (uint32_t)strlen(name));
        uint32_t count = cluster_holders(stage->nodes[0].node->cluster, slot, holders);
        for (uint32_t k = 0; k < count; k++)
            if (holders[k] == ring_member(stage, 0, 4))
                differing_bytes += strlen(name) + VALUE_SIZE;
        set_sized(client, i, 'b');
    }
    hear_all(client, (MANY_KEYS + 59) / 60);
    ring_wait(stage, 2000);
    uint64_t quiet = bytes_between(stage);
    ring_wait(stage, 1000);
    quiet = bytes_between(stage) - quiet; /* of a second in which nothing is compared */
    uint64_t before = bytes_between(stage), ms = 0;
    ring_start(stage, 4);
    for (; !ring_copies_are_equal(stage); ms += 100) {
        cr_assert_lt(ms, 15000u);
        ring_wait(stage, 100);
    }
    uint64_t spent = bytes_between(stage) - before - quiet * ms / 1000;
    cr_assert_leq(spent, 3 * differing_bytes, "%llu bytes for %llu, after %llu ms", (unsigned long long)spent,
                  (unsigned long long)differing_bytes, (unsigned long long)ms);
    cr_assert_lt(spent, (uint64_t)MANY_KEYS * VALUE_SIZE / 20, "less than a twentieth of all keys");
    ring_stage_end(stage);
}
