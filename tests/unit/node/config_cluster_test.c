/* config_cluster_test.c - the settings of a cluster's node: their defaults, their forms, and the ports that follow.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/config_fixture.h"

Test(config_cluster, has_the_documented_defaults) {
    struct fixture fixture;
    fixture_begin(&fixture);
    const struct config *config = &fixture.config;
    cr_assert_not(config->cluster_enabled);
    cr_assert_str_eq(config->cluster_seeds, "");
    cr_assert_str_eq(config->cluster_seeds_file, "");
    cr_assert_str_eq(config->cluster_secret, "");
    cr_assert_str_eq(config->cluster_zone, "");
    cr_assert_str_eq(config->cluster_announce_ip, "");
    cr_assert_eq(config->cluster_weight, 1);
    cr_assert_eq(config->replication_factor, 3);
    cr_assert_eq(config->gossip_interval_ms, 200);
    cr_assert_eq(config->suspect_timeout_ms, 1000);
    cr_assert_eq(config->read_from, READ_FROM_PRIMARY);
    cr_assert_not(config->cluster_redirect_moved);
    cr_assert_not(config->cluster_replica_lists);
    cr_assert_eq(config->peer_output_limit, 64u << 20);
    fixture_end(&fixture);
}

Test(config_cluster, ports_follow_from_the_port_unless_they_are_set) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert_eq(config_cluster_port(&fixture.config), 11379);
    cr_assert_eq(config_peer_port(&fixture.config), 16379);
    cr_assert(fixture_apply(&fixture, "port 55535"));
    cr_assert_eq(config_cluster_port(&fixture.config), 60535);
    cr_assert_eq(config_peer_port(&fixture.config), 65535);
    cr_assert(fixture_apply(&fixture, "port 60536"));
    cr_assert_eq(config_cluster_port(&fixture.config), 0);
    cr_assert_eq(config_peer_port(&fixture.config), 0);
    cr_assert(fixture_apply(&fixture, "cluster-port 7\npeer-port 8"));
    cr_assert_eq(config_cluster_port(&fixture.config), 7);
    cr_assert_eq(config_peer_port(&fixture.config), 8);
    fixture_end(&fixture);
}

Test(config_cluster, without_a_port_none_follows) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(fixture_apply(&fixture, "port 0"));
    cr_assert_eq(config_cluster_port(&fixture.config), 0);
    cr_assert_eq(config_peer_port(&fixture.config), 0);
    fixture_end(&fixture);
}

Test(config_cluster, a_file_says_all_of_it) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(fixture_apply(&fixture,
                            "cluster-enabled yes\n"
                            "cluster-seeds 10.0.0.1:7000 node-2:7000@9000 [::1]:7000\n"
                            "cluster-seeds-file /etc/seeds\ncluster-secret \"s e c\"\ncluster-zone rack-7\n"
                            "cluster-weight 100\nreplication-factor 8\ngossip-interval 50\n"
                            "read-from Round-Robin\ncluster-redirect MOVED\ncluster-replica-lists yes\n"
                            "cluster-announce-ip kv.example.org\ncluster-announce-bus-port 9\n"
                            "cluster-announce-cluster-port 8\npeer-output-limit 1mb\n"),
              "%s", fixture.problem.reason);
    const struct config *config = &fixture.config;
    cr_assert(config->cluster_enabled && config->cluster_redirect_moved && config->cluster_replica_lists);
    cr_assert_str_eq(config->cluster_seeds, "10.0.0.1:7000 node-2:7000@9000 [::1]:7000");
    cr_assert_str_eq(config->cluster_secret, "s e c");
    cr_assert_eq(config->read_from, READ_FROM_ROUND_ROBIN);
    cr_assert_eq(config->cluster_announce_peer_port, 9);
    cr_assert_eq(config->cluster_announce_cluster_port, 8);
    cr_assert_str_eq(fixture_get(&fixture, "cluster-redirect"), "cluster-redirect=moved\n");
    cr_assert(fixture_apply(&fixture, "cluster-seeds \"\"\n"));
    cr_assert_str_eq(config->cluster_seeds, "");
    fixture_end(&fixture);
}

Test(config_cluster, what_makes_no_sense_is_refused) {
    static const char *const lines[] = {"cluster-seeds host",
                                        "cluster-seeds :7000",
                                        "cluster-seeds host:0",
                                        "cluster-seeds host:65536@1",
                                        "cluster-seeds host:55536",
                                        "cluster-seeds host:7000@",
                                        "cluster-seeds host:7000@x",
                                        "cluster-seeds \"a b:7000\"",
                                        "cluster-seeds ok:7000 host",
                                        "cluster-weight 0",
                                        "cluster-weight 101",
                                        "replication-factor 0",
                                        "replication-factor 9",
                                        "gossip-interval 49",
                                        "gossip-interval 10001",
                                        "suspect-timeout 0",
                                        "failover-timeout 9",
                                        "failover-timeout 60001",
                                        "read-from anywhere",
                                        "cluster-redirect ask",
                                        "cluster-zone a-name-that-is-longer-than-31-bytes",
                                        "cluster-zone \"a zone\"",
                                        "cluster-zone a,b",
                                        "cluster-announce-ip \"two words\"",
                                        "cluster-announce-port 65536",
                                        "peer-output-limit 1048575",
                                        "conflict-keep cart: \"a blank\"",
                                        "cluster-enabled perhaps"};
    struct fixture fixture;
    fixture_begin(&fixture);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        cr_expect_not(fixture_apply(&fixture, lines[i]), "%s", lines[i]);
    cr_assert_str_eq(fixture.config.cluster_seeds, "");
    fixture_end(&fixture);
}

Test(config_cluster, a_list_of_seeds_has_an_end) {
    struct fixture fixture;
    fixture_begin(&fixture);
    char line[8192] = "cluster-seeds";
    for (unsigned i = 0; i < 70; i++)
        strcat(line, " a-very-long-name-of-a-node-that-fills-up-the-room-of-a-value:55535");
    cr_assert_not(fixture_apply(&fixture, line));
    cr_assert_not_null(strstr(fixture.problem.reason, "cluster-seeds-file"), "%s", fixture.problem.reason);
    fixture_end(&fixture);
}

Test(config_cluster, a_running_node_changes_what_its_peers_can_follow) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(SET(&fixture, "cluster-seeds", "a:1 b:2", "cluster-zone", "z", "cluster-weight", "3",
                  "read-from", "fastest", "cluster-redirect", "moved", "cluster-announce-ip", "1.2.3.4"),
              "%s", fixture.error);
    cr_assert_str_eq(fixture.config.cluster_seeds, "a:1 b:2");
    static const char *const fixed[][2] = {{"cluster-enabled", "yes"},
                                           {"cluster-port", "1"},
                                           {"peer-port", "1"},
                                           {"cluster-secret", "x"},
                                           {"replication-factor", "2"}};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        cr_expect_not(SET(&fixture, fixed[i][0], fixed[i][1]));
        cr_expect_not_null(strstr(fixture.error, "can't set immutable config"), "%s", fixture.error);
    }
    fixture_end(&fixture);
}

Test(config_cluster, hints_do_not_outlive_tombstones) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(fixture_apply(&fixture, "hint-window 30000\ntombstone-grace 30001\n"), "in whatever order");
    cr_assert_not(fixture_apply(&fixture, "hint-window 30001\n"));
    cr_assert_str_eq(fixture.problem.reason, "hint-window must be below tombstone-grace");
    cr_assert_not(fixture_apply(&fixture, "tombstone-grace 100\n"));
    cr_assert_eq(fixture.config.hint_window_s, 30000u);
    cr_assert_eq(fixture.config.tombstone_grace_s, 30001u);
    cr_expect_not(SET(&fixture, "tombstone-grace", "30000"));
    cr_expect_not_null(strstr(fixture.error, "hint-window must be below tombstone-grace"), "%s",
                       fixture.error);
    cr_expect_not(SET(&fixture, "hint-window", "0"));
    cr_assert(SET(&fixture, "tombstone-grace", "100", "hint-window", "99"), "%s", fixture.error);
    cr_assert_eq(fixture.config.hint_window_s, 99u);
    fixture_end(&fixture);
}

Test(config_cluster, the_secret_does_not_show_up_in_problems) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert_not(fixture_apply(&fixture, "cluster-secret hidden-word and-more"));
    cr_assert_null(strstr(fixture.problem.text, "hidden-word"), "%s", fixture.problem.text);
    cr_assert_null(strstr(fixture.problem.reason, "hidden-word"), "%s", fixture.problem.reason);
    fixture_end(&fixture);
}

Test(config_cluster, seeds_are_written_anew_as_they_are_read) {
    struct fixture fixture;
    fixture_begin(&fixture);
    static const char old_text[] = "cluster-seeds a:1\nport 6379\n";
    cr_assert(fixture_apply(&fixture, old_text));
    cr_assert(SET(&fixture, "cluster-seeds", "a:1 b:2@3"));
    struct buffer text;
    buffer_init(&text, &fixture.mem);
    cr_assert(config_rewrite(&fixture.config, old_text, sizeof old_text - 1, &text));
    cr_assert(buffer_append_byte(&text, 0));
    cr_assert_not_null(strstr((const char *)text.data, "cluster-seeds a:1 b:2@3\n"), "%s",
                       (const char *)text.data);
    buffer_release(&text);
    fixture_end(&fixture);
}

static bool keeps(const struct fixture *fixture, const char *key) {
    return config_keeps_conflicts(&fixture->config, (const uint8_t *)key, (uint32_t)strlen(key));
}

Test(config_cluster, keys_whose_losers_are_kept_begin_with_one_of_some_words) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert_not(keeps(&fixture, "") || keeps(&fixture, "cart:1"));
    cr_assert(fixture_apply(&fixture, "conflict-keep cart: \"draft'\" x\n"), "%s", fixture.problem.reason);
    cr_assert(keeps(&fixture, "cart:1") && keeps(&fixture, "cart:") && keeps(&fixture, "x") &&
              keeps(&fixture, "draft'7"));
    cr_assert_not(keeps(&fixture, "cart") || keeps(&fixture, "Cart:1") || keeps(&fixture, "draft:") ||
                  keeps(&fixture, "acart:") || keeps(&fixture, ""));
    static const char old_text[] = "port 6379\n";
    struct buffer text;
    buffer_init(&text, &fixture.mem);
    cr_assert(config_rewrite(&fixture.config, old_text, sizeof old_text - 1, &text));
    cr_assert(buffer_append_byte(&text, 0));
    cr_assert_not_null(strstr((const char *)text.data, "conflict-keep cart: \"draft'\" x\n"), "%s",
                       (const char *)text.data);
    buffer_release(&text);
    cr_assert(SET(&fixture, "conflict-keep", "draft:"));
    cr_assert_str_eq(fixture_get(&fixture, "conflict-keep"), "conflict-keep=draft:\n");
    cr_assert(keeps(&fixture, "draft:") && !keeps(&fixture, "cart:1"));
    cr_assert(SET(&fixture, "conflict-keep", ""));
    cr_assert_not(keeps(&fixture, "draft:"));
    fixture_end(&fixture);
}

Test(config_cluster, there_are_at_most_64_of_these_words) {
    struct fixture fixture;
    fixture_begin(&fixture);
    char line[1024] = "conflict-keep";
    for (unsigned i = 0; i < 64; i++)
        strcat(line, " word:");
    cr_assert(fixture_apply(&fixture, line));
    strcat(line, " word:");
    cr_assert_not(fixture_apply(&fixture, line));
    cr_assert_not_null(strstr(fixture.problem.reason, "64"), "%s", fixture.problem.reason);
    fixture_end(&fixture);
}
