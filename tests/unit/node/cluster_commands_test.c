/* cluster_commands_test.c - CLUSTER, KV.RING, READONLY and the like, INFO and settings of a cluster's node; and of one that is none.
 *
 * Texts of errors are those that a redis-server 7.0.15 gave, with and without cluster mode.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/cluster_stage.h"

#include "node/cluster_settings.h"
#include "node/cluster_slots.h"
#include "store/ledger.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define WITH_CLIENT             \
    struct conversation world;  \
    conversation_begin(&world); \
    struct session *client = conversation_client(&world, 1)

#define WITH_STAGE(members)                              \
    struct cluster_stage *stage = malloc(sizeof *stage); \
    cr_assert_not_null(stage);                           \
    cluster_stage_begin(stage, members);                 \
    struct session *client = stage->client;              \
    (void)client
#define END_STAGE             \
    cluster_stage_end(stage); \
    free(stage)

#define EXPECT_IN(world, line, expected) \
    cr_assert_str_eq(say(world, client, line), expected, "%s -> %s", line, (world)->reply)
#define EXPECT(line, expected) EXPECT_IN(&stage->world, line, expected)

#define DISABLED "-ERR This instance has cluster support disabled\r\n"

/* ---- Without a cluster ---- */

Test(cluster_commands, a_node_of_no_cluster_says_so) {
    static const char *const lines[] = {"CLUSTER SLOTS",
                                        "CLUSTER INFO",
                                        "CLUSTER KEYSLOT a",
                                        "CLUSTER MEET 127.0.0.1 1",
                                        "CLUSTER COUNTKEYSINSLOT x",
                                        "CLUSTER FORGET x",
                                        "CLUSTER ADDSLOTS 1",
                                        "CLUSTER RESET",
                                        "READONLY",
                                        "READWRITE",
                                        "ASKING",
                                        "KV.RING",
                                        "KV.RING 5"};
    WITH_CLIENT;
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++)
        EXPECT_IN(&world, lines[i], DISABLED);
    EXPECT_IN(&world, "CLUSTER NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try CLUSTER HELP.\r\n");
    EXPECT_IN(&world, "CLUSTER", "-ERR wrong number of arguments for 'cluster' command\r\n");
    EXPECT_IN(&world, "CLUSTER KEYSLOT a b",
              "-ERR wrong number of arguments for 'cluster|keyslot' command\r\n");
    cr_assert_eq(say(&world, client, "CLUSTER HELP")[0], '*');
    EXPECT_IN(&world, "SELECT 1", "+OK\r\n");
    conversation_end(&world);
}

/* ---- Slots and keys ---- */

Test(cluster_commands, slots_of_keys_are_those_of_redis_cluster) {
    WITH_STAGE(3);
    EXPECT("CLUSTER KEYSLOT a", ":15495\r\n");
    EXPECT("CLUSTER KEYSLOT foo{a}bar", ":15495\r\n");
    EXPECT("CLUSTER KEYSLOT \"\"", ":0\r\n");
    END_STAGE;
}

/* The keys stand in this node's copy, whoever coordinates the slot. */
static void put(struct cluster_stage *stage, const char *name) {
    struct argument key = {(const uint8_t *)name, (uint32_t)strlen(name), ARGUMENT_NOT_PLACED, 0};
    struct value value = {
        .data = (const uint8_t *)"v", .size = 1, .expiry_ms = EXPIRY_NONE, .type = RECORD_STRING};
    cr_assert(keyspace_put(stage->world.node->keyspace, 0, &key, &value));
    ledger_clear_effects(stage->world.node->keyspace->ledger); /* nobody is told: they point to the name */
}

Test(cluster_commands, keys_of_a_slot_are_counted_and_named) {
    WITH_STAGE(3);
    EXPECT("CLUSTER COUNTKEYSINSLOT 15495", ":0\r\n");
    EXPECT("CLUSTER GETKEYSINSLOT 15495 10", "*0\r\n");
    put(stage, "{a}1");
    put(stage, "{a}2");
    put(stage, "{a}3");
    put(stage, "b");
    EXPECT("CLUSTER COUNTKEYSINSLOT 15495", ":3\r\n");
    EXPECT("CLUSTER COUNTKEYSINSLOT 3300", ":1\r\n");
    EXPECT("CLUSTER GETKEYSINSLOT 3300 5", "*1\r\n$1\r\nb\r\n");
    EXPECT("CLUSTER GETKEYSINSLOT 15495 0", "*0\r\n");
    cr_assert_eq(strncmp(say(&stage->world, client, "CLUSTER GETKEYSINSLOT 15495 2"), "*2\r\n$4\r\n{a}", 11),
                 0);
    const char *all = say(&stage->world, client, "CLUSTER GETKEYSINSLOT 15495 9223372036854775807");
    cr_assert(strncmp(all, "*3\r\n", 4) == 0 && strstr(all, "{a}1") && strstr(all, "{a}2") &&
              strstr(all, "{a}3"));
    END_STAGE;
}

Test(cluster_commands, many_keys_of_a_slot_are_all_named_once) {
    WITH_STAGE(2);
    for (unsigned i = 0; i < 2000; i++) {
        char name[32];
        snprintf(name, sizeof name, "{a}%u", i);
        put(stage, name);
    }
    EXPECT("CLUSTER COUNTKEYSINSLOT 15495", ":2000\r\n");
    const char *reply = say(&stage->world, client, "CLUSTER GETKEYSINSLOT 15495 1999");
    cr_assert_eq(strncmp(reply, "*1999\r\n", 7), 0, "%.20s", reply);
    unsigned count = 0;
    for (const char *at = reply; (at = strstr(at, "{a}")) != NULL; at++)
        count++;
    cr_assert_eq(count, 1999);
    END_STAGE;
}

Test(cluster_commands, slots_and_numbers_that_there_are_not_are_errors) {
    WITH_STAGE(2);
    EXPECT("CLUSTER COUNTKEYSINSLOT 16384", "-ERR Invalid slot\r\n");
    EXPECT("CLUSTER COUNTKEYSINSLOT -1", "-ERR Invalid slot\r\n");
    EXPECT("CLUSTER COUNTKEYSINSLOT x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("CLUSTER GETKEYSINSLOT 0 -1", "-ERR Invalid slot or number of keys\r\n");
    EXPECT("CLUSTER GETKEYSINSLOT 16384 1", "-ERR Invalid slot or number of keys\r\n");
    EXPECT("CLUSTER GETKEYSINSLOT 1 x", "-ERR value is not an integer or out of range\r\n");
    END_STAGE;
}

/* ---- Views ---- */

Test(cluster_commands, info_has_the_fields_of_redis_and_ours) {
    WITH_STAGE(4);
    cluster_stage_set_state(stage, 1, MEMBER_SUSPECT);
    uint32_t suspect = 0, lost = 0;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        if (slot % 100 == 0)
            stage->cluster->routes[slot] = ROUTE_NOBODY;
        suspect += stage->cluster->routes[slot] == 1;
        lost += stage->cluster->routes[slot] == ROUTE_NOBODY;
    }
    char expected[1024], id[41];
    identity_print_id(membership_cluster_id(stage->cluster->membership), id);
    int size = snprintf(
        expected, sizeof expected,
        "cluster_state:fail\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:%u\r\n"
        "cluster_slots_pfail:%u\r\ncluster_slots_fail:%u\r\ncluster_known_nodes:4\r\ncluster_size:4\r\n"
        "cluster_current_epoch:%llu\r\ncluster_my_epoch:1\r\ncluster_stats_messages_sent:0\r\n"
        "cluster_stats_messages_received:0\r\ncluster_id:%s\r\ncluster_nodes_settled:4\r\n"
        "cluster_is_settled:1\r\ncluster_joining:0\r\ncluster_refused_links:0\r\n",
        SLOT_COUNT - suspect - lost, suspect, lost, (unsigned long long)stage->cluster->route_epoch, id);
    const char *reply = say(&stage->world, client, "CLUSTER INFO");
    cr_assert_eq(atoi(reply + 1), size, "%s", reply);
    cr_assert_not_null(strstr(reply, expected), "%s", reply);
    memset(stage->cluster->routes, 0, sizeof stage->cluster->routes);
    cr_assert_not_null(strstr(say(&stage->world, client, "CLUSTER INFO"), "cluster_state:ok\r\n"));
    END_STAGE;
}

Test(cluster_commands, a_node_knows_its_id_and_has_no_links_before_it_has_called) {
    WITH_STAGE(2);
    char expected[64], id[41];
    snprintf(expected, sizeof expected, "$40\r\n%s\r\n", cluster_stage_id(stage, 0, id));
    EXPECT("CLUSTER MYID", expected);
    EXPECT("CLUSTER LINKS", "*0\r\n");
    END_STAGE;
}

Test(cluster_commands, nobody_has_replicas_as_a_whole) {
    WITH_STAGE(2);
    char line[128], id[41];
    for (uint16_t member = 0; member < 2; member++) {
        snprintf(line, sizeof line, "CLUSTER REPLICAS %s", cluster_stage_id(stage, member, id));
        EXPECT(line, "*0\r\n");
        snprintf(line, sizeof line, "CLUSTER SLAVES %s", id);
        EXPECT(line, "*0\r\n");
    }
    EXPECT("CLUSTER REPLICAS abc", "-ERR Unknown node abc\r\n");
    EXPECT("CLUSTER SLAVES abc", "-ERR Unknown node abc\r\n");
    END_STAGE;
}

Test(cluster_commands, slots_and_nodes_answer_on_both_ports) {
    WITH_STAGE(2);
    const char *reply = say(&stage->world, client, "CLUSTER SLOTS");
    char *slots = strdup(reply);
    client->flags |= SESSION_CLUSTER_VIEW;
    EXPECT("CLUSTER SLOTS", slots);
    free(slots);
    cr_assert_not_null(strstr(say(&stage->world, client, "CLUSTER NODES"), " myself,master - 0 0 "));
    say(&stage->world, client, "HELLO 3");
    cr_assert_eq(strncmp(say(&stage->world, client, "CLUSTER NODES"), "=", 1), 0);
    cr_assert_not_null(strstr(stage->world.reply, "txt:"));
    cr_assert_not_null(strstr(say(&stage->world, client, "CLUSTER SLOTS"), "\r\n%0\r\n"));
    END_STAGE;
}

/* ---- Members ---- */

Test(cluster_commands, meet_refuses_what_is_no_address) {
    WITH_STAGE(1);
    EXPECT("CLUSTER MEET 127.0.0.1 y", "-ERR Invalid TCP base port specified: y\r\n");
    EXPECT("CLUSTER MEET 127.0.0.1 1 y", "-ERR Invalid TCP bus port specified: y\r\n");
    EXPECT("CLUSTER MEET 127.0.0.1 99999999", "-ERR Invalid node address specified: 127.0.0.1:99999999\r\n");
    EXPECT("CLUSTER MEET 127.0.0.1 0", "-ERR Invalid node address specified: 127.0.0.1:0\r\n");
    EXPECT("CLUSTER MEET 127.0.0.1 55536", "-ERR Invalid node address specified: 127.0.0.1:55536\r\n");
    EXPECT("CLUSTER MEET 127.0.0.1 1 65536", "-ERR Invalid node address specified: 127.0.0.1:1\r\n");
    EXPECT("CLUSTER MEET \"\" 1", "-ERR Invalid node address specified: :1\r\n");
    EXPECT("CLUSTER MEET 1 2 3 4", "-ERR wrong number of arguments for 'cluster|meet' command\r\n");
    char line[128], name[80];
    memset(name, 'n', 64);
    name[64] = '\0';
    snprintf(line, sizeof line, "CLUSTER MEET %s 1", name);
    cr_assert_eq(strncmp(say(&stage->world, client, line), "-ERR Invalid node address", 25), 0);
    END_STAGE;
}

Test(cluster_commands, forget_knows_whom_it_cannot_forget) {
    WITH_STAGE(3);
    char line[128], id[41];
    EXPECT("CLUSTER FORGET abc", "-ERR Unknown node abc\r\n");
    EXPECT("CLUSTER FORGET ffffffffffffffffffffffffffffffffffffffff",
           "-ERR Unknown node ffffffffffffffffffffffffffffffffffffffff\r\n");
    snprintf(line, sizeof line, "CLUSTER FORGET %s", cluster_stage_id(stage, 0, id));
    EXPECT(line, "-ERR I tried hard but I can't forget myself...\r\n");
    cr_assert_eq(cluster_stage_member(stage, 2)->state, MEMBER_UP);
    END_STAGE;
}

Test(cluster_commands, a_node_that_is_forgotten_is_told_of_no_more) {
    WITH_STAGE(3);
    char line[128], id[41];
    snprintf(line, sizeof line, "CLUSTER FORGET %s", cluster_stage_id(stage, 2, id));
    cr_assert_not_null(strstr(say(&stage->world, client, "CLUSTER SLOTS"), id));
    EXPECT(line, "+OK\r\n");
    cr_assert_eq(cluster_stage_member(stage, 2)->state, MEMBER_REMOVED);
    cr_assert_null(strstr(say(&stage->world, client, "CLUSTER NODES"), id));
    cr_assert_null(strstr(say(&stage->world, client, "CLUSTER SLOTS"), id));
    cr_assert_null(strstr(say(&stage->world, client, "CLUSTER SHARDS"), id));
    cr_assert_null(strstr(say(&stage->world, client, "KV.RING"), id));
    char unknown[128];
    snprintf(unknown, sizeof unknown, "-ERR Unknown node %s\r\n", id);
    EXPECT(line, unknown);
    END_STAGE;
}

Test(cluster_commands, meet_calls_the_peer_port) {
    WITH_STAGE(1);
    struct node_call call;
    EXPECT("CLUSTER MEET 10.9.9.9 7000", "+OK\r\n");
    EXPECT("CLUSTER MEET node-8 7000 8", "+OK\r\n");
    node_work(stage->world.node);
    unsigned seen = 0;
    while (node_next_call(stage->world.node, &call)) {
        seen |= strcmp(call.host, "10.9.9.9") == 0 && call.port == 17000 ? 1 : 0;
        seen |= strcmp(call.host, "node-8") == 0 && call.port == 8 ? 2 : 0;
        node_call_failed(stage->world.node, call.id, NODE_CALL_UNREACHABLE);
    }
    cr_assert_eq(seen, 3);
    END_STAGE;
}

Test(cluster_commands, what_the_ring_decides_is_refused_with_a_reason) {
    static const char *const lines[] = {"CLUSTER ADDSLOTS 1",         "CLUSTER ADDSLOTSRANGE 1 2",
                                        "CLUSTER DELSLOTS 1",         "CLUSTER DELSLOTSRANGE 1 2",
                                        "CLUSTER FLUSHSLOTS",         "CLUSTER SETSLOT 1 STABLE",
                                        "CLUSTER FAILOVER",           "CLUSTER FAILOVER TAKEOVER",
                                        "CLUSTER REPLICATE abc",      "CLUSTER RESET",
                                        "CLUSTER RESET HARD",         "CLUSTER BUMPEPOCH",
                                        "CLUSTER SET-CONFIG-EPOCH 1", "CLUSTER COUNT-FAILURE-REPORTS abc"};
    WITH_STAGE(2);
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *reply = say(&stage->world, client, lines[i]);
        cr_assert(strncmp(reply, "-ERR ", 5) == 0 && strstr(reply, "unknown") == NULL, "%s -> %s", lines[i],
                  reply);
    }
    cr_assert_not_null(
        strstr(say(&stage->world, client, "CLUSTER ADDSLOTS 1"), "this cluster assigns slots by itself"));
    EXPECT("CLUSTER SAVECONFIG", "+OK\r\n");
    cr_assert(stage->cluster->wants_file);
    END_STAGE;
}

/* ---- Connections ---- */

Test(cluster_commands, readonly_is_a_property_of_the_connection) {
    WITH_STAGE(2);
    EXPECT("READONLY", "+OK\r\n");
    cr_assert(client->flags & SESSION_READONLY);
    EXPECT("ASKING", "+OK\r\n");
    cr_assert(client->flags & SESSION_READONLY);
    EXPECT("READWRITE", "+OK\r\n");
    cr_assert_not(client->flags & SESSION_READONLY);
    END_STAGE;
}

Test(cluster_commands, every_node_is_a_master_in_both_views) {
    WITH_STAGE(2);
    EXPECT("ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    client->flags |= SESSION_CLUSTER_VIEW;
    EXPECT("ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    END_STAGE;
}

Test(cluster_commands, there_is_database_0_only) {
    WITH_STAGE(2);
    EXPECT("SELECT 0", "+OK\r\n");
    EXPECT("SELECT 1", "-ERR SELECT is not allowed in cluster mode\r\n");
    EXPECT("SELECT 99", "-ERR SELECT is not allowed in cluster mode\r\n");
    EXPECT("SELECT -1", "-ERR SELECT is not allowed in cluster mode\r\n");
    EXPECT("SELECT x", "-ERR value is not an integer or out of range\r\n");
    cr_assert_eq(client->database, 0);
    END_STAGE;
}

/* ---- INFO ---- */

static bool has(struct cluster_stage *stage, const char *line, const char *text) {
    return strstr(say(&stage->world, stage->client, line), text) != NULL;
}

Test(cluster_commands, info_looks_like_one_redis_on_the_port_and_like_a_cluster_on_the_other) {
    WITH_STAGE(3);
    cr_assert(has(stage, "INFO server", "\r\nredis_mode:standalone\r\n"));
    cr_assert(has(stage, "INFO cluster", "\r\ncluster_enabled:0\r\n"));
    cr_assert(has(stage, "HELLO 2", "$4\r\nmode\r\n$10\r\nstandalone\r\n"));
    client->flags |= SESSION_CLUSTER_VIEW;
    cr_assert(has(stage, "INFO server", "\r\nredis_mode:cluster\r\n"));
    cr_assert(has(stage, "INFO cluster", "\r\ncluster_enabled:1\r\n"));
    cr_assert(has(stage, "HELLO 2", "$4\r\nmode\r\n$7\r\ncluster\r\n"));
    END_STAGE;
}

Test(cluster_commands, the_cluster_section_tells_what_this_node_sees) {
    WITH_STAGE(4);
    cluster_stage_set_state(stage, 3, MEMBER_DOWN);
    stage->cluster->forwarded = 11;
    stage->cluster->compare_statistics.keys_sent = 12;
    uint32_t own = slot_set_count(&stage->cluster->coordinated), held = slot_set_count(&stage->cluster->held);
    cr_assert(own > 0 && held > own);
    char expected[256];
    snprintf(expected, sizeof expected,
             "cluster_ring_digest:%016llx\r\ncluster_copies:3\r\ncluster_slots_coordinated:%u\r\n"
             "cluster_slots_held:%u\r\ncluster_slots_lost:0\r\ncluster_is_settled:1\r\n",
             (unsigned long long)stage->cluster->ring->digest, own, held);
    const char *reply = say(&stage->world, client, "INFO cluster");
    cr_assert_not_null(strstr(reply, expected), "%s\n%s", reply, expected);
    cr_assert_not_null(strstr(reply,
                              "cluster_members:4\r\ncluster_members_up:3\r\ncluster_members_suspect:0\r\n"
                              "cluster_members_down:1\r\ncluster_members_settled:4\r\n"));
    cr_assert_not_null(strstr(reply, "\r\nforwarded_commands:11\r\n"));
    cr_assert_not_null(strstr(reply, "\r\nantientropy_keys_sent:12\r\n"));
    cr_assert_not_null(strstr(reply, "\r\ngossip_output_bytes:"));
    END_STAGE;
}

Test(cluster_commands, the_replication_section_has_a_line_for_each_other_node) {
    WITH_STAGE(3);
    struct peer *peer = cluster_peer(stage->cluster, 2);
    cr_assert_not_null(peer);
    peer->records_out = 5;
    peer->records_in = 6;
    peer->is_agreed = true;
    cluster_stage_set_state(stage, 1, MEMBER_SUSPECT);
    char expected[1024], ids[2][41];
    snprintf(
        expected, sizeof expected,
        "peer0:id=%s,addr=10.0.0.1:7001,state=suspect,link=down,lag_bytes=0,lag_ms=0,round_trip_us=0,records_out=0,"
        "records_in=0,agreed=no,agreed_ms_ago=-1,hints=0\r\n"
        "peer1:id=%s,addr=10.0.0.2:7002,state=up,link=down,lag_bytes=0,lag_ms=0,round_trip_us=0,records_out=5,"
        "records_in=6,agreed=yes,agreed_ms_ago=-1,hints=0\r\n"
        "peers:2\r\npeers_linked:0\r\npeers_lag_bytes:0\r\npeers_records_out:5\r\npeers_records_in:6\r\n",
        cluster_stage_id(stage, 1, ids[0]), cluster_stage_id(stage, 2, ids[1]));
    const char *reply = say(&stage->world, client, "INFO replication");
    cr_assert_not_null(strstr(reply, expected), "%s", reply);
    cr_assert_not_null(strstr(reply, "role:master\r\nconnected_slaves:0\r\n"));
    END_STAGE;
}

/* ---- KV.RING ---- */

Test(cluster_commands, kv_ring_shows_the_shares_of_all_nodes) {
    WITH_STAGE(5);
    const char *reply = say(&stage->world, client, "KV.RING");
    cr_assert_eq(strncmp(reply, "*5\r\n*20\r\n", 9), 0, "%.30s", reply);
    uint32_t primary_sum = 0, held_sum = 0, coordinated_sum = 0;
    for (uint16_t member = 0; member < 5; member++) {
        uint32_t primary, held, expected_primary, expected_held, coordinated;
        char id[41];
        const char *of = strstr(reply, cluster_stage_id(stage, member, id));
        cr_assert_not_null(of);
        cr_assert_eq(sscanf(strstr(of, "primary-slots"), "primary-slots\r\n:%u", &primary), 1);
        cr_assert_eq(sscanf(strstr(of, "held-slots"), "held-slots\r\n:%u", &held), 1);
        cr_assert_eq(sscanf(strstr(of, "coordinated-slots"), "coordinated-slots\r\n:%u", &coordinated), 1);
        ring_share(stage->cluster->ring, member, &expected_primary, &expected_held);
        cr_assert_eq(primary, expected_primary);
        cr_assert_eq(held, expected_held);
        primary_sum += primary;
        held_sum += held;
        coordinated_sum += coordinated;
    }
    cr_assert_eq(primary_sum, SLOT_COUNT);
    cr_assert_eq(coordinated_sum, SLOT_COUNT);
    cr_assert_eq(held_sum, 3 * SLOT_COUNT);
    END_STAGE;
}

Test(cluster_commands, kv_ring_tells_who_holds_a_slot_or_a_key) {
    WITH_STAGE(5);
    const uint16_t *list = ring_list(stage->cluster->ring, 3300);
    char expected[2048], ids[3][41];
    uint16_t members[3];
    for (unsigned i = 0; i < 3; i++) {
        members[i] = stage->cluster->ring_indexes[list[i]];
        cluster_stage_id(stage, members[i], ids[i]);
    }
    cluster_stage_set_state(stage, members[0], MEMBER_DOWN);
    stage->cluster->routes[3300] = members[1];
    int size = snprintf(
        expected, sizeof expected,
        "%%3\r\n$4\r\nslot\r\n:3300\r\n$5\r\nplace\r\n$16\r\n3390000000000000\r\n$5\r\nnodes\r\n*3\r\n");
    for (unsigned i = 0; i < 3; i++)
        size += snprintf(
            expected + size, sizeof expected - (size_t)size,
            "%%6\r\n$2\r\nid\r\n$40\r\n%s\r\n$7\r\naddress\r\n$13\r\n10.0.0.%u:700%u\r\n$5\r\nstate\r\n%s"
            "\r\n$7\r\nsettled\r\n#t\r\n$4\r\npart\r\n$7\r\n%s\r\n$11\r\ncoordinates\r\n#%c\r\n",
            ids[i], members[i], members[i], i == 0 ? "$4\r\ndown" : "$2\r\nup",
            i == 0 ? "primary" : "replica", i == 1 ? 't' : 'f');
    say(&stage->world, client, "HELLO 3");
    EXPECT("KV.RING 3300", expected);
    EXPECT("KV.RING b", expected);
    EXPECT("KV.RING x{b}y", expected);
    EXPECT("KV.RING b b", "-ERR syntax error\r\n");
    END_STAGE;
}

Test(cluster_commands, kv_ring_names_a_coordinator_that_is_none_of_the_list) {
    WITH_STAGE(5);
    uint16_t outside = 0;
    while (ring_holds(stage->cluster->ring, 9, outside))
        outside++;
    stage->cluster->routes[9] = outside;
    const char *reply = say(&stage->world, client, "KV.RING 9");
    cr_assert_not_null(strstr(reply, "$5\r\nnodes\r\n*4\r\n"), "%s", reply);
    cr_assert_not_null(strstr(reply, "$8\r\nstand-in\r\n$11\r\ncoordinates\r\n:1\r\n"), "%s", reply);
    stage->cluster->routes[9] = ROUTE_NOBODY;
    reply = say(&stage->world, client, "KV.RING 9");
    cr_assert_not_null(strstr(reply, "$5\r\nnodes\r\n*3\r\n"), "%s", reply);
    cr_assert_null(strstr(reply, "coordinates\r\n:1\r\n"), "%s", reply);
    END_STAGE;
}

/* ---- Settings ---- */

Test(cluster_commands, the_address_is_the_nodes_own_unless_another_is_announced) {
    WITH_STAGE(1);
    struct member_entry entry = {0};
    struct config *config = &stage->world.config;
    config->port = 7000;
    cluster_own_address(stage->world.node, &entry);
    cr_assert_str_eq(entry.host, "10.0.0.0");
    cr_assert(entry.port == 7000 && entry.cluster_port == 12000 && entry.peer_port == 17000);
    cr_assert(config_replace_text(config, &config->cluster_announce_ip, "kv.example.org"));
    config->cluster_announce_port = 1;
    config->cluster_announce_cluster_port = 2;
    config->cluster_announce_peer_port = 3;
    cluster_own_address(stage->world.node, &entry);
    cr_assert_str_eq(entry.host, "kv.example.org");
    cr_assert(entry.port == 1 && entry.cluster_port == 2 && entry.peer_port == 3);
    config->cluster_announce_ip[0] = '\0'; /* as long as it was, for the one who frees it */
    stage->cluster->host_name[0] = '\0';
    cluster_own_address(stage->world.node, &entry);
    cr_assert_str_eq(entry.host, "kv.example.org", "nobody says another one");
    strcpy(config->cluster_announce_ip, "kv.example.org");
    END_STAGE;
}

Test(cluster_commands, place_weight_and_address_reach_the_nodes_own_entry) {
    WITH_STAGE(2);
    const struct member_entry *own = &cluster_stage_member(stage, 0)->entry;
    uint64_t version = own->version;
    EXPECT("CONFIG SET slowlog-max-len 7", "+OK\r\n");
    cr_assert_eq(own->version, version, "nothing that others know has changed");
    EXPECT("CONFIG SET cluster-weight 5 cluster-zone attic", "+OK\r\n");
    cr_assert(own->weight == 5 && strcmp(own->zone, "attic") == 0 && own->version > version);
    cr_assert_eq(stage->cluster->ring->point_count, 6 * RING_POINTS_PER_WEIGHT);
    EXPECT("CONFIG SET cluster-announce-ip kv.example.org cluster-announce-cluster-port 99", "+OK\r\n");
    cr_assert(strcmp(own->host, "kv.example.org") == 0 && own->cluster_port == 99 && own->port == 7000);
    const char *reply = say(&stage->world, client, "CLUSTER SLOTS");
    cr_assert_not_null(strstr(reply, "$14\r\nkv.example.org\r\n:99\r\n"), "%.200s", reply);
    EXPECT("CONFIG SET cluster-announce-ip \"\"", "+OK\r\n");
    cr_assert_str_eq(own->host, "127.0.0.1");
    END_STAGE;
}

Test(cluster_commands, replica_lists_are_there_as_soon_as_they_are_wanted) {
    WITH_STAGE(2);
    cr_assert_not_null(strstr(say(&stage->world, client, "CLUSTER SLOTS"), "\r\n*3\r\n:0\r\n"));
    EXPECT("CONFIG SET cluster-replica-lists yes", "+OK\r\n");
    cr_assert_not_null(strstr(say(&stage->world, client, "CLUSTER SLOTS"), "\r\n*4\r\n:0\r\n"));
    EXPECT("CONFIG SET cluster-replica-lists no", "+OK\r\n");
    cr_assert_not_null(strstr(say(&stage->world, client, "CLUSTER SLOTS"), "\r\n*3\r\n:0\r\n"));
    END_STAGE;
}

Test(cluster_commands, a_port_that_others_follow_from_stays) {
    WITH_STAGE(1);
    EXPECT(
        "CONFIG SET port 7001",
        "-ERR CONFIG SET failed (possibly related to argument 'port') - cluster-port and peer-port follow from it: they "
        "must be set to change the port of a cluster's node\r\n");
    cr_assert_eq(stage->world.config.port, 7000);
    stage->world.config.cluster_port = 5;
    stage->world.config.peer_port = 6;
    const char *reason;
    cr_assert_not(cluster_keeps_setting(stage->world.node, "port", &reason));
    cr_assert_not(cluster_keeps_setting(stage->world.node, "timeout", &reason));
    END_STAGE;
}
