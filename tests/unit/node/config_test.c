/* config_test.c - tests of the settings: defaults, CONFIG GET, CONFIG SET, kinds of values.
 *
 * What Redis 7.0 answers was taken from a running redis-server 7.0.15.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/config_fixture.h"
#include "node/config_settings_of_redis.h"
#include "node/host.h"

#include <stdlib.h>

/* ---- defaults ---- */

Test(config, has_the_documented_defaults) {
    struct fixture fixture;
    fixture_begin(&fixture);
    const struct config *config = &fixture.config;
    cr_assert_eq(config->port, 6379);
    cr_assert_eq(config->bind_count, 2);
    cr_assert_str_eq(config->bind[0], "127.0.0.1");
    cr_assert_str_eq(config->bind[1], "-::1");
    cr_assert(config->protected_mode);
    cr_assert_eq(config->maxclients, 10000);
    cr_assert_eq(config->timeout_s, 0);
    cr_assert_eq(config->tcp_keepalive_s, 300);
    cr_assert_eq(config->maxmemory, 0);
    cr_assert_eq(config->proto_max_bulk_len, 512u << 20);
    cr_assert_eq(config->client_query_buffer_limit, 1u << 30);
    cr_assert_eq(config->output_limits[CLIENT_CLASS_NORMAL].hard_bytes, 1u << 30);
    cr_assert_eq(config->output_limits[CLIENT_CLASS_NORMAL].soft_bytes, 256u << 20);
    cr_assert_eq(config->output_limits[CLIENT_CLASS_NORMAL].soft_s, 60);
    cr_assert_eq(config->slowlog_log_slower_than_us, 10000);
    cr_assert_eq(config->slowlog_max_len, 128);
    cr_assert_eq(config->latency_monitor_threshold_ms, 0);
    cr_assert(config->latency_tracking);
    cr_assert_eq(config->latency_tracking_percentile_count, 3);
    cr_assert_eq(config->latency_tracking_percentiles[2], 99.9);
    cr_assert_eq(config->hz, 10);
    cr_assert_eq(config->databases, 16);
    cr_assert_str_eq(config->dir, "./");
    cr_assert_str_eq(config->logfile, "");
    cr_assert_str_eq(config->requirepass, "");
    cr_assert_str_eq(config->supervised, "no");
    cr_assert_eq(config->loglevel, NODE_LOG_NOTICE);
    cr_assert_eq(config->save_count, 3);
    cr_assert_not(config->enable_debug_command);
    cr_assert_not(config->enable_debug_command_local);
    cr_assert_eq(config->warnings.size, 0);
    fixture_end(&fixture);
}

Test(config, reports_every_setting_of_redis_with_its_default) {
    struct fixture fixture;
    fixture_begin(&fixture);
    for (size_t i = 0; i < sizeof settings_of_redis / sizeof settings_of_redis[0]; i += 2) {
        const char *name = settings_of_redis[i], *value = settings_of_redis[i + 1];
        char wanted[256];
        fixture_get(&fixture, name);
        snprintf(wanted, sizeof wanted, "%s=", name);
        cr_expect_eq(strncmp(fixture.shown, wanted, strlen(wanted)), 0, "%s is not there", name);
        snprintf(wanted, sizeof wanted, "%s=%s\n", name, value != NULL ? value : "");
        cr_expect(value == NULL || strcmp(fixture.shown, wanted) == 0, "%s: %s", name, fixture.shown);
    }
    fixture_end(&fixture);
}

struct listing {
    char names[400][64];
    uint32_t count;
    struct fixture *fixture;
};

static void list(void *context, const char *name, const char *value) {
    struct listing *listing = context;
    (void)value;
    cr_assert_lt(listing->count, 400);
    snprintf(listing->names[listing->count++], sizeof listing->names[0], "%s", name);
}

static struct listing *list_all(struct fixture *fixture) {
    struct listing *listing = calloc(1, sizeof *listing);
    cr_assert_not_null(listing);
    struct argument everything = fixture_argument("*");
    config_get(&fixture->config, &everything, 1, list, listing);
    return listing;
}

Test(config, every_name_is_there_once) {
    struct fixture fixture;
    fixture_begin(&fixture);
    struct listing *listing = list_all(&fixture);
    cr_assert_gt(listing->count, 190);
    for (uint32_t i = 0; i < listing->count; i++) {
        for (uint32_t j = 0; j < i; j++)
            cr_assert_str_neq(listing->names[i], listing->names[j]);
    }
    free(listing);
    fixture_end(&fixture);
}

/* So that a program may write back what it has read, and CONFIG REWRITE may write what is shown. */
Test(config, every_shown_value_is_accepted_again) {
    struct fixture fixture;
    fixture_begin(&fixture);
    struct listing *listing = list_all(&fixture);
    for (uint32_t i = 0; i < listing->count; i++) {
        const char *name = listing->names[i];
        char value[512], text[1024];
        fixture_get(&fixture, name);
        snprintf(value, sizeof value, "%s", strchr(fixture.shown, '=') + 1);
        value[strlen(value) - 1] = '\0';
        if (strcmp(name, "replicaof") != 0 && strcmp(name, "slaveof") != 0) {
            snprintf(text, sizeof text, "%s \"%s\"\n", name, value);
            cr_expect(fixture_apply(&fixture, text), "%s: %s", name, fixture.problem.reason);
        }
        bool is_fixed = !SET(&fixture, name, value);
        cr_expect(!is_fixed || strstr(fixture.error, "can't set immutable config") != NULL ||
                      strstr(fixture.error, "can't set protected config") != NULL,
                  "%s: %s", name, fixture.error);
    }
    free(listing);
    fixture_end(&fixture);
}

/* ---- CONFIG GET ---- */

Test(config, get_takes_patterns_and_visits_each_setting_once) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert_str_eq(fixture_get(&fixture, "slowlog* slowlog-max-len slow*"),
                     "slowlog-log-slower-than=10000\nslowlog-max-len=128\n");
    cr_assert_str_eq(fixture_get(&fixture, "por[st]"), "port=6379\n");
    cr_assert_str_eq(fixture_get(&fixture, "nothing* no-such-setting"), "");
    fixture_end(&fixture);
}

Test(config, get_answers_a_plain_name_as_it_was_written_and_a_pattern_in_lower_case) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert_str_eq(fixture_get(&fixture, "LUA-time-limit"), "LUA-time-limit=5000\n");
    cr_assert_str_eq(fixture_get(&fixture, "MaxC* MAXCLIENTS"), "maxclients=10000\n");
    cr_assert_str_eq(fixture_get(&fixture, "MAXCLIENTS maxc*"), "MAXCLIENTS=10000\n");
    fixture_end(&fixture);
}

Test(config, an_alias_is_a_setting_of_its_own_with_the_same_value) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert_str_eq(fixture_get(&fixture, "*-priority"), "replica-priority=100\nslave-priority=100\n");
    cr_assert(SET(&fixture, "slave-priority", "7"));
    cr_assert_str_eq(fixture_get(&fixture, "*-priority"), "replica-priority=7\nslave-priority=7\n");
    cr_assert(fixture_apply(&fixture, "min-slaves-max-lag 5\n"));
    cr_assert_str_eq(fixture_get(&fixture, "min-replicas-max-lag"), "min-replicas-max-lag=5\n");
    fixture_end(&fixture);
}

Test(config, get_needs_no_memory) {
    struct fixture fixture;
    fixture_begin(&fixture);
    fixture.mem.fuse = 1;
    fixture.mem.fuse_stays_blown = true;
    struct listing *listing = list_all(&fixture);
    cr_assert_gt(listing->count, 190);
    free(listing);
    fixture.mem.fuse = 0;
    fixture_end(&fixture);
}

/* ---- CONFIG SET ---- */

Test(config, set_changes_the_field_and_what_is_reported) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(SET(&fixture, "maxmemory", "100mb", "TIMEOUT", "5", "loglevel", "DEBUG", "requirepass", "a b"));
    cr_assert_eq(fixture.config.maxmemory, 100u << 20);
    cr_assert_eq(fixture.config.timeout_s, 5);
    cr_assert_eq(fixture.config.loglevel, NODE_LOG_DEBUG);
    cr_assert_str_eq(fixture.config.requirepass, "a b");
    cr_assert_str_eq(fixture_get(&fixture, "maxmemory timeout loglevel requirepass"),
                     "timeout=5\nmaxmemory=104857600\nrequirepass=a b\nloglevel=debug\n");
    fixture_end(&fixture);
}

/* name, value, the whole error */
static const char *const refused_pairs[][3] = {
    {"nosuch", "1", "Unknown option or number of arguments for CONFIG SET - 'nosuch'"},
    {"NoSuch", "1", "Unknown option or number of arguments for CONFIG SET - 'NoSuch'"},
    {"include", "x", "Unknown option or number of arguments for CONFIG SET - 'include'"},
    {"", "x", "Unknown option or number of arguments for CONFIG SET - ''"},
    {"MAXmemory", "x",
     "CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"},
    {"maxmemory", "-1",
     "CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"},
    {"proto-max-bulk-len", "1kb",
     "CONFIG SET failed (possibly related to argument 'proto-max-bulk-len') - argument must be between 1048576 and "
     "9223372036854775807 inclusive"},
    {"daemonize", "maybe",
     "CONFIG SET failed (possibly related to argument 'daemonize') - can't set immutable config"},
    {"dir", "/tmp", "CONFIG SET failed (possibly related to argument 'dir') - can't set protected config"},
    {"slaveof", "no one",
     "CONFIG SET failed (possibly related to argument 'slaveof') - can't set immutable config"},
    {"lua-time-limit", "x",
     "CONFIG SET failed (possibly related to argument 'lua-time-limit') - argument couldn't be parsed into an integer"},
    {"timeout", "+1",
     "CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an integer"},
    {"port", "65536",
     "CONFIG SET failed (possibly related to argument 'port') - argument must be between 0 and 65535 inclusive"},
    {"slowlog-log-slower-than", "-2",
     "CONFIG SET failed (possibly related to argument 'slowlog-log-slower-than') - argument must be between -1 and "
     "9223372036854775807 inclusive"},
    {"maxclients", "0",
     "CONFIG SET failed (possibly related to argument 'maxclients') - argument must be between 1 and 4294967295 "
     "inclusive"},
    {"maxclients", "4294967296",
     "CONFIG SET failed (possibly related to argument 'maxclients') - argument must be between 1 and 4294967295 "
     "inclusive"},
    {"activedefrag", "1",
     "CONFIG SET failed (possibly related to argument 'activedefrag') - argument must be 'yes' or 'no'"},
    {"loglevel", "loud",
     "CONFIG SET failed (possibly related to argument 'loglevel') - argument(s) must be one of the following: debug, "
     "verbose, notice, warning"},
    {"save", "1", "CONFIG SET failed (possibly related to argument 'save') - Invalid save parameters"},
    {"save", "1 2  3 4", "CONFIG SET failed (possibly related to argument 'save') - Invalid save parameters"},
    {"save", "0 1", "CONFIG SET failed (possibly related to argument 'save') - Invalid save parameters"},
    {"client-output-buffer-limit", "normal 1 2",
     "CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Wrong number of arguments in "
     "buffer limit configuration."},
    {"client-output-buffer-limit", "master 1 2 3",
     "CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Invalid client class specified "
     "in buffer limit configuration."},
    {"client-output-buffer-limit", "normal 1 2 -3",
     "CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Error in hard, soft or "
     "soft_seconds setting in buffer limit configuration."},
    {"oom-score-adj-values", "1 2",
     "CONFIG SET failed (possibly related to argument 'oom-score-adj-values') - wrong number of arguments"},
    {"oom-score-adj-values", "1 2 2001",
     "CONFIG SET failed (possibly related to argument 'oom-score-adj-values') - Invalid oom-score-adj-values, elements "
     "must be between -2000 and 2000."},
    {"latency-tracking-info-percentiles", "50 100.5",
     "CONFIG SET failed (possibly related to argument 'latency-tracking-info-percentiles') - "
     "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"},
    {"latency-tracking-info-percentiles", "50 x",
     "CONFIG SET failed (possibly related to argument 'latency-tracking-info-percentiles') - Invalid "
     "latency-tracking-info-percentiles parameters"},
    {"maxmemory-clients", "101%",
     "CONFIG SET failed (possibly related to argument 'maxmemory-clients') - percentage argument must be less or equal "
     "to 100"},
    {"maxmemory-clients", "05%",
     "CONFIG SET failed (possibly related to argument 'maxmemory-clients') - argument must be a memory or percent "
     "value"},
    {"notify-keyspace-events", "Q",
     "CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class character. Use "
     "'Ag$lshzxeKEtmdn'."},
    {"proc-title-template", "{bad",
     "CONFIG SET failed (possibly related to argument 'proc-title-template') - template format is invalid or contains "
     "unknown variables"},
    {"shutdown-on-sigint", "",
     "CONFIG SET failed (possibly related to argument 'shutdown-on-sigint') - argument(s) must be one of the following: "
     "default, save, nosave, now, force"},
    {"proc-title-template", "",
     "CONFIG SET failed (possibly related to argument 'proc-title-template') - template format is invalid or contains "
     "unknown variables"},
    {"repl-backlog-size", "0",
     "CONFIG SET failed (possibly related to argument 'repl-backlog-size') - argument must be between 1 and "
     "9223372036854775807 inclusive"},
    {"shutdown-on-sigint", "save nosave",
     "CONFIG SET failed (possibly related to argument 'shutdown-on-sigint') - shutdown options SAVE and NOSAVE can't be "
     "used simultaneously"},
    {"cluster-announce-hostname", "a_b",
     "CONFIG SET failed (possibly related to argument 'cluster-announce-hostname') - Hostnames may only contain "
     "alphanumeric characters, hyphens or dots"},
};

Test(config, set_refuses_with_the_words_of_redis_and_changes_nothing) {
    struct fixture fixture;
    fixture_begin(&fixture);
    char before[sizeof fixture.shown];
    for (size_t i = 0; i < sizeof refused_pairs / sizeof refused_pairs[0]; i++) {
        const char *const *pair = refused_pairs[i];
        snprintf(before, sizeof before, "%s", fixture_get(&fixture, "[a-m]*"));
        cr_expect_not(SET(&fixture, pair[0], pair[1]), "%s %s", pair[0], pair[1]);
        cr_expect_str_eq(fixture.error, pair[2]);
        cr_expect_str_eq(fixture_get(&fixture, "[a-m]*"), before);
    }
    fixture_end(&fixture);
}

Test(config, set_refuses_what_would_promise_what_the_server_does_not_do) {
    static const char *const pairs[][2] = {
        {"appendonly", "yes"},
        {"min-replicas-to-write", "1"},
        {"min-slaves-to-write", "1"},
        {"tls-port", "6380"},
        {"tls-cluster", "yes"},
        {"tls-replication", "yes"},
        {"maxmemory-policy", "allkeys-lru"},
    };
    struct fixture fixture;
    fixture_begin(&fixture);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        cr_expect_not(SET(&fixture, pairs[i][0], pairs[i][1]), "%s", pairs[i][0]);
        cr_expect_neq(strstr(fixture.error, "this server"), NULL, "%s", fixture.error);
    }
    cr_expect(SET(&fixture, "appendonly", "no", "tls-port", "0", "maxmemory-policy", "NOeviction"));
    fixture_end(&fixture);
}

Test(config, set_of_several_is_all_or_nothing) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert_not(SET(&fixture, "timeout", "5", "maxmemory", "x", "hz", "y"));
    cr_assert_str_eq(
        fixture.error,
        "CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value");
    cr_assert_not(SET(&fixture, "timeout", "5", "nosuch", "y"));
    cr_assert_not(SET(&fixture, "timeout", "5", "daemonize", "yes"));
    cr_assert_eq(fixture.config.timeout_s, 0);
    fixture_end(&fixture);
}

Test(config, set_refuses_a_setting_named_twice_but_takes_its_two_names) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert_not(SET(&fixture, "maxmemory", "1", "MaxMemory", "2"));
    cr_assert_str_eq(fixture.error,
                     "CONFIG SET failed (possibly related to argument 'maxmemory') - duplicate parameter");
    cr_assert(SET(&fixture, "lua-time-limit", "5", "busy-reply-threshold", "6"));
    cr_assert_str_eq(fixture_get(&fixture, "lua-time-limit"), "lua-time-limit=6\n");
    fixture_end(&fixture);
}

Test(config, set_refuses_a_zero_byte_in_a_value) {
    struct fixture fixture;
    fixture_begin(&fixture);
    struct argument pair[2] = {fixture_argument("requirepass"),
                               {(const uint8_t *)"a\0b", 3, ARGUMENT_NOT_PLACED, 0}};
    cr_assert_not(config_set(&fixture.config, pair, 1, false, NULL, NULL, fixture.error));
    pair[0] = fixture_argument("save");
    pair[1] = (struct argument){(const uint8_t *)"1 1\0", 4, ARGUMENT_NOT_PLACED, 0};
    cr_assert_not(config_set(&fixture.config, pair, 1, false, NULL, NULL, fixture.error));
    cr_assert_str_eq(fixture.config.requirepass, "");
    fixture_end(&fixture);
}

/* The world: notes what it is told, and refuses one setting. */
struct world {
    struct fixture *fixture;
    const char *refused;
    char told[256];
};

static bool tell_world(void *context, const char *name, char error[CONFIG_ERROR_SIZE]) {
    struct world *world = context;
    size_t size = strlen(world->told);
    snprintf(world->told + size, sizeof world->told - size, "%s ", fixture_get(world->fixture, name));
    if (world->refused == NULL || strcmp(world->refused, name) != 0)
        return true;
    snprintf(error, CONFIG_ERROR_SIZE, "the world says no");
    return false;
}

Test(config, the_world_is_told_of_new_values_only_and_sees_them_all_in_place) {
    struct fixture fixture;
    fixture_begin(&fixture);
    struct world world = {.fixture = &fixture};
    cr_assert(fixture_set_with(&fixture, WORDS("port", "1", "timeout", "0", "slave-priority", "9"),
                               tell_world, &world));
    cr_assert_str_eq(world.told, "port=1\n replica-priority=9\n ");
    fixture_end(&fixture);
}

Test(config, a_refusal_of_the_world_takes_all_back_there_too) {
    struct fixture fixture;
    fixture_begin(&fixture);
    struct world world = {.fixture = &fixture, .refused = "maxclients"};
    cr_assert_not(fixture_set_with(
        &fixture, WORDS("port", "1", "requirepass", "x", "maxclients", "5", "hz", "20"), tell_world, &world));
    cr_assert_str_eq(fixture.error,
                     "CONFIG SET failed (possibly related to argument 'maxclients') - the world says no");
    cr_assert_str_eq(world.told, "port=1\n requirepass=x\n maxclients=5\n requirepass=\n port=6379\n ");
    cr_assert_eq(fixture.config.port, 6379);
    cr_assert_eq(fixture.config.hz, 10);
    cr_assert_str_eq(fixture.config.requirepass, "");
    fixture_end(&fixture);
}

/* ---- values with a form of their own ---- */

/* name, value, how it is shown */
static const char *const shown_values[][3] = {
    {"save", "", ""},
    {"save", "900 1 60 10000", "900 1 60 10000"},
    {"client-output-buffer-limit", "normal 1kb 2 3 replica 1mb 0 7",
     "normal 1024 2 3 slave 1048576 0 7 pubsub 33554432 8388608 60"},
    {"bind", "", ""},
    {"bind", "127.0.0.1 -::1", "127.0.0.1 -::1"},
    {"latency-tracking-info-percentiles", "10 0.5 99.99 1e1", "10 0.5 99.99 10"},
    {"latency-tracking-info-percentiles", "1e-3 33.123456789 100", "0.001 33.123457 100"},
    {"latency-tracking-info-percentiles", "", ""},
    {"notify-keyspace-events", "KEA", "AKE"},
    {"notify-keyspace-events", "g$lshzxeKEtmd", "AKEm"},
    {"notify-keyspace-events", "nKgx", "gxnK"},
    {"maxmemory-clients", "5%", "5%"},
    {"maxmemory-clients", "1kb", "1024"},
    {"maxmemory-clients", "0%", "0"},
    {"oom-score-adj-values", "-5 +6 7", "-5 6 7"},
    {"shutdown-on-sigint", "force save", "save force"},
    {"shutdown-on-sigterm", "default", "default"},
    {"hz", "0", "1"},
    {"hz", "1000", "500"},
    {"maxmemory", "1k", "1000"},
    {"maxmemory", "1GB", "1073741824"},
    {"maxmemory", "18446744073709551615", "18446744073709551615"},
    {"slowlog-log-slower-than", "-1", "-1"},
    {"hash-max-ziplist-value", "1kb", "1024"},
    {"appendfsync", "ALWAYS", "always"},
    {"proc-title-template", "{title} of {port}", "{title} of {port}"},
};

Test(config, values_are_shown_in_the_form_of_redis) {
    struct fixture fixture;
    fixture_begin(&fixture);
    for (size_t i = 0; i < sizeof shown_values / sizeof shown_values[0]; i++) {
        const char *const *row = shown_values[i];
        char wanted[256];
        cr_expect(SET(&fixture, row[0], row[1]), "%s", fixture.error);
        snprintf(wanted, sizeof wanted, "%s=%s\n", row[0], row[2]);
        cr_expect_str_eq(fixture_get(&fixture, row[0]), wanted);
    }
    fixture_end(&fixture);
}

Test(config, debug_commands_may_be_allowed_to_nobody_to_local_clients_or_to_all) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(fixture_apply(&fixture, "enable-debug-command local\n"));
    cr_assert(!fixture.config.enable_debug_command && fixture.config.enable_debug_command_local);
    cr_assert(fixture_apply(&fixture, "enable-debug-command YES\n"));
    cr_assert(fixture.config.enable_debug_command && fixture.config.enable_debug_command_local);
    cr_assert_str_eq(fixture_get(&fixture, "enable-debug-command"), "enable-debug-command=yes\n");
    cr_assert(fixture_apply(&fixture, "enable-debug-command no\n"));
    cr_assert(!fixture.config.enable_debug_command && !fixture.config.enable_debug_command_local);
    fixture_end(&fixture);
}

Test(config, lists_have_limits) {
    struct fixture fixture;
    fixture_begin(&fixture);
    char text[1024] = "bind";
    for (int i = 0; i < CONFIG_BIND_MAX; i++)
        strcat(text, " 127.0.0.1");
    cr_assert(fixture_apply(&fixture, text));
    cr_assert_eq(fixture.config.bind_count, CONFIG_BIND_MAX);
    strcat(text, " 127.0.0.1");
    cr_assert_not(fixture_apply(&fixture, text));
    cr_assert_str_eq(fixture.problem.reason, "Too many bind addresses specified.");
    strcpy(text, "save");
    for (int i = 0; i < CONFIG_SAVE_RULES_MAX; i++)
        strcat(text, " 900 1");
    cr_assert(fixture_apply(&fixture, text));
    cr_assert_not(fixture_apply(&fixture, "save 900 1"));
    cr_assert_eq(fixture.config.save_count, CONFIG_SAVE_RULES_MAX);
    cr_assert_not(SET(&fixture, "latency-tracking-info-percentiles", "1 2 3 4 5 6 7 8 9"));
    cr_assert(SET(&fixture, "latency-tracking-info-percentiles", "1 2 3 4 5 6 7 8"));
    fixture_end(&fixture);
}

/* The longest list of addresses fits into the room that a value has. */
Test(config, the_longest_addresses_are_shown_whole) {
    struct fixture fixture;
    fixture_begin(&fixture);
    char text[CONFIG_BIND_MAX * (CONFIG_ADDRESS_SIZE_MAX + 1) + 8] = "bind",
                                                                address[CONFIG_ADDRESS_SIZE_MAX + 3];
    memset(address, 'a', sizeof address);
    address[0] = ' ';
    address[sizeof address - 2] = '\0'; /* the space and CONFIG_ADDRESS_SIZE_MAX letters */
    for (int i = 0; i < CONFIG_BIND_MAX; i++)
        strcat(text, address);
    cr_assert(fixture_apply(&fixture, text));
    fixture_get(&fixture, "bind");
    cr_assert_eq(strlen(fixture.shown),
                 strlen("bind=\n") + CONFIG_BIND_MAX * (CONFIG_ADDRESS_SIZE_MAX + 1) - 1);
    address[sizeof address - 2] = 'a';
    address[sizeof address - 1] = '\0';
    strcpy(text, "bind");
    strcat(text, address);
    cr_assert_not(fixture_apply(&fixture, text));
    fixture_end(&fixture);
}

/* ---- failing memory ---- */

Test(config, the_defaults_survive_a_failure_of_any_allocation) {
    struct mem mem = {0};
    struct config config;
    uint64_t fuse = 1;
    for (;; fuse++) {
        cr_assert_lt(fuse, 10000);
        mem.fuse = fuse;
        if (config_init(&config, &mem))
            break;
        cr_assert_eq(mem.used_bytes, 0);
    }
    mem.fuse = 0;
    cr_assert_gt(fuse, 10);
    config_release(&config);
    cr_assert_eq(mem.used_bytes, 0);
}

Test(config, set_survives_a_failure_of_any_allocation_and_changes_nothing_then) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(SET(&fixture, "masterauth", "old", "bind", "1.1.1.1"));
    size_t used = fixture.mem.used_bytes;
    uint64_t fuse = 1;
    for (;; fuse++) {
        cr_assert_lt(fuse, 10000);
        fixture.mem.fuse = fuse;
        if (SET(&fixture, "bind", "2.2.2.2 3.3.3.3", "requirepass", "secret", "masterauth", "new", "save",
                "1 1"))
            break;
        fixture.mem.fuse = 0;
        cr_assert_neq(strstr(fixture.error, "out of memory"), NULL, "%s", fixture.error);
        cr_assert_str_eq(fixture_get(&fixture, "bind masterauth requirepass save"),
                         "bind=1.1.1.1\nrequirepass=\nsave=3600 1 300 100 60 10000\nmasterauth=old\n");
        cr_assert_eq(fixture.mem.used_bytes, used);
    }
    fixture.mem.fuse = 0;
    cr_assert_gt(fuse, 15);
    cr_assert_str_eq(fixture_get(&fixture, "bind masterauth requirepass save"),
                     "bind=2.2.2.2 3.3.3.3\nrequirepass=secret\nsave=1 1\nmasterauth=new\n");
    fixture_end(&fixture);
}

/* ---- description ---- */

static void check_described(void *context, const char *name, const char *default_value, const char *help,
                            bool is_mutable) {
    struct listing *listing = context;
    char wanted[512];
    list(context, name, default_value);
    cr_expect_gt(strlen(help), 5, "%s", name);
    snprintf(wanted, sizeof wanted, "%s=%s\n", name, default_value);
    cr_expect_str_eq(fixture_get(listing->fixture, name), wanted);
    cr_expect_eq(SET(listing->fixture, name, default_value), is_mutable, "%s: %s", name,
                 listing->fixture->error);
}

Test(config, what_acts_is_described) {
    struct fixture fixture;
    fixture_begin(&fixture);
    struct listing *listing = calloc(1, sizeof *listing);
    cr_assert_not_null(listing);
    listing->fixture = &fixture;
    config_describe(check_described, listing);
    cr_assert_gt(listing->count, 30);
    cr_assert_str_eq(listing->names[0], "bind");
    for (uint32_t i = 0; i < listing->count; i++)
        cr_assert_str_neq(listing->names[i], "activedefrag");
    free(listing);
    fixture_end(&fixture);
}

Test(config, an_owned_text_can_be_replaced) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(config_replace_text(&fixture.config, &fixture.config.dir, "/somewhere/else"));
    cr_assert_str_eq(fixture_get(&fixture, "dir"), "dir=/somewhere/else\n");
    fixture.mem.fuse = 1;
    cr_assert_not(config_replace_text(&fixture.config, &fixture.config.dir, "/"));
    cr_assert_str_eq(fixture.config.dir, "/somewhere/else");
    fixture_end(&fixture);
}
