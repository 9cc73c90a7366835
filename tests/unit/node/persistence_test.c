/* persistence_test.c - rules, SAVE, BGSAVE, SHUTDOWN, loading, INFO persistence: on a simulated disk, with a helper that works when the
 * test says so.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/conversation.h"

#include "base/number.h"
#include "sim/disk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

/* ---- A place for a node's life, or several ---- */

struct helper {
    struct work *first, **last;
    unsigned count;
};

static void helper_submit(void *context, struct work *work) {
    struct helper *helper = context;
    work->next = NULL;
    *helper->last = work;
    helper->last = &work->next;
    helper->count++;
}

/* Runs the next item. false: there is none. */
static bool helper_run(struct helper *helper) {
    struct work *work = helper->first;
    if (work == NULL)
        return false;
    helper->first = work->next;
    if (helper->first == NULL)
        helper->last = &helper->first;
    helper->count--;
    work->run(work);
    work->done(work);
    return true;
}

struct place {
    struct mem mem;
    struct simulated_disk disk;
    struct helper helper;
    struct work_queue queue;
    struct identity identity;
    const char *settings;
    bool has_identity, start_empty;
    uint8_t lives; /* begun here so far */
    struct conversation world;
};

static void place_init(struct place *place) {
    *place = (struct place){.settings = "save \"\"\n", .has_identity = true};
    place->helper.last = &place->helper.first;
    place->queue = (struct work_queue){&place->helper, helper_submit};
    simulated_disk_init(&place->disk, &place->mem, 1);
}

static void place_release(struct place *place) {
    simulated_disk_release(&place->disk);
    cr_assert_eq(place->mem.used_bytes, 0);
}

static void begin(struct place *place) {
    uint8_t fresh_id[NODE_ID_SIZE] = {1, 2, ++place->lives};
    int error = 0;
    if (place->has_identity)
        identity_take(&place->identity, &place->disk.disk, "dump.rdb", fresh_id, &error);
    cr_assert_eq(error, 0);
    struct conversation_place at = {.disk = &place->disk.disk,
                                    .work = &place->queue,
                                    .identity = place->has_identity ? &place->identity : NULL,
                                    .settings = place->settings,
                                    .start_empty = place->start_empty};
    conversation_begin_at(&place->world, &at);
}

/* Lets the node and the helper go on until neither has anything to do, without any time going by. */
static void settle(struct place *place) {
    struct session *session;
    do {
        do {
            conversation_wait(&place->world, 0);
        } while (node_work(place->world.node) == 0 && list_is_empty(&place->world.node->attention));
        while ((session = node_attention(place->world.node)) != NULL)
            ;
    } while (helper_run(&place->helper));
    conversation_wait(&place->world, 0);
    node_work(place->world.node);
}

/* Lets the helper do so many items, and the node what it can do before each and behind the last. */
static void go_on(struct place *place, unsigned items) {
    for (unsigned i = 0; i <= items; i++) {
        for (unsigned turn = 0; turn < 64; turn++) {
            conversation_wait(&place->world, 0);
            node_work(place->world.node);
        }
        if (i < items)
            helper_run(&place->helper);
    }
}

static void end(struct place *place) {
    while (!node_end(place->world.node))
        cr_assert(helper_run(&place->helper), "the node waits for nothing");
    conversation_end(&place->world);
    if (place->has_identity)
        identity_release(&place->identity, &place->disk.disk);
}

/* A node that is up and has loaded what there is. */
static struct session *begin_and_load(struct place *place) {
    begin(place);
    settle(place);
    return conversation_client(&place->world, 1);
}

/* Time goes by, in ticks. */
static void wait_ms(struct place *place, uint64_t ms) {
    for (; ms >= 100; ms -= 100) {
        conversation_wait(&place->world, 100);
        node_work(place->world.node);
    }
    conversation_wait(&place->world, ms);
    node_work(place->world.node);
}

#define WITH_PLACE      \
    struct place place; \
    place_init(&place)

#define EXPECT_OF(client, line, expected) \
    cr_assert_str_eq(say(&place.world, client, line), expected, "%s -> %s", line, place.world.reply)
#define EXPECT(line, expected) EXPECT_OF(client, line, expected)
#define EXPECT_HEARD(client, expected) \
    cr_assert_str_eq(hear(&place.world, client), expected, "heard %s", place.world.reply)

static bool has_field(struct place *place, struct session *client, const char *field) {
    char line[160];
    snprintf(line, sizeof line, "\r\n%s\r\n", field);
    return strstr(say(&place->world, client, "INFO persistence"), line) != NULL;
}
#define EXPECT_FIELD(field) \
    cr_assert(has_field(&place, client, field), "no %s in %s", field, place.world.reply)

static bool has_file(const struct place *place, const char *name) {
    size_t size;
    return simulated_disk_bytes(&place->disk, name, &size) != NULL;
}

static bool was_logged(const struct place *place, const char *words) {
    return strstr(place->world.log, words) != NULL;
}

/* From now on the disk is full, or is not any more. */
static void fill_disk(struct place *place, bool is_full) {
    place->disk.faults = (struct disk_faults){.has_room_left = is_full};
}

/* So many keys of 64 KiB: more blocks than the pool has, so that a save has to wait for the helper. */
static void write_much(struct place *place, struct session *client) {
    char line[64];
    for (unsigned i = 0; i < 64; i++) {
        snprintf(line, sizeof line, "SETRANGE big:%u 65535 x", i);
        say(&place->world, client, line);
    }
}

#define MISCONF                                                                                                 \
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. "         \
    "Commands that may modify the data set are disabled, because this instance is configured to report errors " \
    "during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis "     \
    "logs for details about the RDB error.\r\n"

/* ---- Saving and loading ---- */

Test(persistence, what_is_saved_is_there_after_a_restart) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place);
    say(&place.world, client, "SET a 1");
    say(&place.world, client, "SET b 2 EX 100");
    say(&place.world, client, "SELECT 3");
    say(&place.world, client, "SET c 3");
    EXPECT("BGSAVE", "+Background saving started\r\n");
    settle(&place);
    say(&place.world, client, "SET d 4");
    end(&place);
    client = begin_and_load(&place);
    EXPECT("GET a", "$1\r\n1\r\n");
    EXPECT("TTL b", ":100\r\n");
    EXPECT("DBSIZE", ":2\r\n");
    say(&place.world, client, "SELECT 3");
    EXPECT("DBSIZE", ":1\r\n");
    EXPECT_FIELD("rdb_last_load_keys_loaded:3");
    EXPECT_FIELD("rdb_changes_since_last_save:0");
    cr_assert(was_logged(&place, "Loaded 3 keys in "));
    end(&place);
    place_release(&place);
}

Test(persistence, a_save_holds_what_was_there_when_it_began) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place);
    say(&place.world, client, "MSET a 1 b 2");
    say(&place.world, client, "BGSAVE");
    say(&place.world, client, "SET a changed");
    say(&place.world, client, "SET new 1");
    say(&place.world, client, "DEL b");
    settle(&place);
    EXPECT_FIELD("rdb_changes_since_last_save:3");
    end(&place);
    client = begin_and_load(&place);
    EXPECT("MGET a b new", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, what_is_imported_from_redis_is_still_to_be_saved) {
    static const char file[] =
        "REDIS0009\xfe\x00\x00\x03one\x05value\x00\x03two\x05value\xff\0\0\0\0\0\0\0\0";
    WITH_PLACE;
    simulated_disk_put(&place.disk, "dump.rdb", file, sizeof file - 1);
    struct session *client = begin_and_load(&place);
    EXPECT("GET two", "$5\r\nvalue\r\n");
    EXPECT_FIELD("rdb_last_load_keys_loaded:2");
    EXPECT_FIELD("rdb_changes_since_last_save:2");
    say(&place.world, client, "SET three 3");
    EXPECT_FIELD("rdb_changes_since_last_save:3");
    say(&place.world, client, "BGSAVE");
    settle(&place);
    EXPECT_FIELD("rdb_changes_since_last_save:0");
    cr_assert(has_file(&place, "dump.rdb.redis"));
    end(&place);
    client = begin_and_load(&place);
    EXPECT("DBSIZE", ":3\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, without_a_disk_nothing_is_saved) {
    WITH_PLACE;
    conversation_begin(&place.world);
    struct session *client = conversation_client(&place.world, 1);
    EXPECT("SAVE", "-ERR There is no disk to save to\r\n");
    EXPECT("BGSAVE", "-ERR There is no disk to save to\r\n");
    say(&place.world, client, "CONFIG SET enable-debug-command yes");
    place.world.config.enable_debug_command = true;
    EXPECT("DEBUG RELOAD", "-ERR There is no disk to save to\r\n");
    EXPECT_FIELD("loading:0");
    cr_assert(node_end(place.world.node));
    conversation_end(&place.world);
    place_release(&place);
}

/* ---- SAVE ---- */

Test(persistence, save_lets_its_client_wait_and_nobody_else) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place);
    struct session *other = conversation_client(&place.world, 2);
    say(&place.world, client, "SET a 1");
    EXPECT("SAVE", "");
    EXPECT("GET a", "");
    EXPECT("PING", "");
    EXPECT_OF(other, "SET b 2", "+OK\r\n");
    EXPECT_OF(other, "SAVE", "-ERR Background save already in progress\r\n");
    cr_assert_not_null(strstr(say(&place.world, other, "CLIENT LIST"), " flags=b "));
    cr_assert_not_null(strstr(say(&place.world, other, "INFO clients"), "\r\nblocked_clients:1\r\n"));
    cr_assert_not(has_file(&place, "dump.rdb"));
    settle(&place);
    cr_assert(has_file(&place, "dump.rdb"));
    EXPECT_HEARD(client, "+OK\r\n$1\r\n1\r\n+PONG\r\n");
    EXPECT("SAVE", "");
    settle(&place);
    EXPECT_HEARD(client, "+OK\r\n");
    end(&place);
    place_release(&place);
}

/* Sends several lines at once. */
static const char *say_at_once(struct place *place, struct session *client, const char *lines) {
    return say(&place->world, client, lines);
}

Test(persistence, what_stands_behind_a_save_in_a_pipeline_waits_for_it) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place);
    cr_assert_str_eq(
        say_at_once(&place, client, "SET a 1\r\nSAVE\r\nSET a \"2 3\"\r\nGET a\r\nSAVE\r\nGET a"), "+OK\r\n");
    EXPECT("DEL a", "");
    settle(&place);
    EXPECT_HEARD(client, "+OK\r\n+OK\r\n$3\r\n2 3\r\n+OK\r\n$3\r\n2 3\r\n:1\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, bytes_that_make_no_sense_behind_a_save_are_answered_behind_it) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place);
    cr_assert_str_eq(say_at_once(&place, client, "SET a 1\r\nSAVE\r\n*1\r\nnonsense"), "+OK\r\n");
    cr_assert_not(node_wants_close(client));
    settle(&place);
    EXPECT_HEARD(client, "+OK\r\n-ERR Protocol error: expected '$', got 'n'\r\n");
    cr_assert(node_wants_close(client));
    end(&place);
    place_release(&place);
}

Test(persistence, a_client_that_leaves_while_it_waits_is_forgotten) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place), *other = conversation_client(&place.world, 2);
    EXPECT("SAVE", "");
    node_close(place.world.node, client);
    settle(&place);
    cr_assert(has_file(&place, "dump.rdb"));
    EXPECT_OF(other, "SAVE", "");
    settle(&place);
    EXPECT_HEARD(other, "+OK\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, a_save_whose_reply_is_not_wanted_is_not_answered) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place);
    EXPECT("CLIENT REPLY SKIP", "");
    EXPECT("SAVE", "");
    EXPECT("PING", "");
    settle(&place);
    EXPECT_HEARD(client, "+PONG\r\n");
    EXPECT("CLIENT REPLY OFF", "");
    EXPECT("SAVE", "");
    EXPECT("CLIENT REPLY ON", "");
    settle(&place);
    EXPECT_HEARD(client, "+OK\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, a_save_that_fails_says_why_and_stops_no_writes) {
    WITH_PLACE;
    place.settings = "save 3600 1\n";
    struct session *client = begin_and_load(&place);
    fill_disk(&place, true);
    EXPECT("SAVE", "");
    settle(&place);
    cr_assert_eq(strncmp(hear(&place.world, client), "-ERR Saving failed (", 20), 0, "%s", place.world.reply);
    EXPECT("SET a 1", "+OK\r\n");
    cr_assert_not_null(strstr(say(&place.world, client, "INFO commandstats"), "cmdstat_save:calls=1,"));
    cr_assert_not_null(strstr(place.world.reply, "failed_calls=1"));
    end(&place);
    place_release(&place);
}

/* ---- BGSAVE ---- */

Test(persistence, bgsave_answers_as_redis_does) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place);
    EXPECT("BGSAVE x", "-ERR syntax error\r\n");
    EXPECT("BGSAVE SCHEDULE x", "-ERR syntax error\r\n");
    EXPECT("BGSAVE schedule", "+Background saving started\r\n");
    EXPECT("BGSAVE", "-ERR Background save already in progress\r\n");
    EXPECT("BGSAVE SCHEDULE", "-ERR Background save already in progress\r\n");
    EXPECT("SAVE", "-ERR Background save already in progress\r\n");
    settle(&place);
    EXPECT_FIELD("rdb_saves:1");
    say(&place.world, client, "MULTI");
    EXPECT("SAVE", "-ERR Command not allowed inside a transaction\r\n");
    EXPECT("DISCARD", "+OK\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, a_bgsave_in_a_transaction_begins_behind_it) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place);
    say(&place.world, client, "MULTI");
    say(&place.world, client, "SET a 1");
    say(&place.world, client, "BGSAVE");
    say(&place.world, client, "SET a 2");
    EXPECT("EXEC", "*3\r\n+OK\r\n+Background saving scheduled\r\n+OK\r\n");
    EXPECT_FIELD("rdb_bgsave_in_progress:0");
    wait_ms(&place, 100);
    EXPECT_FIELD("rdb_bgsave_in_progress:1");
    settle(&place);
    wait_ms(&place, 200);
    EXPECT_FIELD("rdb_saves:1");
    EXPECT_FIELD("rdb_changes_since_last_save:0");
    end(&place);
    place_release(&place);
}

Test(persistence, info_and_lastsave_tell_of_the_last_save) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place);
    EXPECT("LASTSAVE", ":1800000000\r\n");
    EXPECT_FIELD("rdb_last_bgsave_time_sec:-1");
    EXPECT_FIELD("rdb_current_bgsave_time_sec:-1");
    write_much(&place, client);
    EXPECT_FIELD("rdb_changes_since_last_save:64");
    wait_ms(&place, 10000);
    say(&place.world, client, "BGSAVE");
    wait_ms(&place, 3000);
    EXPECT_FIELD("rdb_current_bgsave_time_sec:3");
    EXPECT_FIELD("rdb_bgsave_in_progress:1");
    EXPECT_FIELD("current_save_keys_total:64");
    EXPECT_FIELD("checkpoint_bytes:0");
    cr_assert_not_null(strstr(place.world.reply, "\r\ncheckpoint_percent:"));
    cr_assert_not_null(strstr(place.world.reply, "\r\ncheckpoint_seconds_left:"));
    settle(&place);
    EXPECT("LASTSAVE", ":1800000013\r\n");
    EXPECT_FIELD("rdb_last_save_time:1800000013");
    EXPECT_FIELD("rdb_last_bgsave_time_sec:3");
    EXPECT_FIELD("rdb_last_bgsave_status:ok");
    EXPECT_FIELD("rdb_changes_since_last_save:0");
    EXPECT_FIELD("checkpoint_last_error:");
    cr_assert_null(strstr(place.world.reply, "checkpoint_percent"));
    cr_assert(was_logged(&place, "Saving 64 keys to dump.rdb\n"));
    cr_assert(was_logged(&place, "Saved 64 keys, "));
    end(&place);
    place_release(&place);
}

/* ---- Rules, failures ---- */

Test(persistence, a_rule_saves_when_its_changes_and_its_seconds_have_passed) {
    WITH_PLACE;
    place.settings = "save 10 3\nsave 60 1\n";
    struct session *client = begin_and_load(&place);
    say(&place.world, client, "MSET a 1 b 1");
    wait_ms(&place, 20000);
    EXPECT_FIELD("rdb_bgsave_in_progress:0");
    say(&place.world, client, "SET c 1");
    wait_ms(&place, 200);
    EXPECT_FIELD("rdb_bgsave_in_progress:1");
    cr_assert(was_logged(&place, "3 changes in 20 seconds: time to save\n"));
    settle(&place);
    EXPECT_FIELD("rdb_saves:1");
    say(&place.world, client, "MSET a 2 b 2 c 2");
    wait_ms(&place, 9900);
    EXPECT_FIELD("rdb_saves:1");
    wait_ms(&place, 200);
    EXPECT_FIELD("rdb_saves:2");
    settle(&place);
    say(&place.world, client, "SET a 3");
    wait_ms(&place, 59000);
    EXPECT_FIELD("rdb_saves:2");
    say(&place.world, client, "CONFIG SET save \"\"");
    wait_ms(&place, 100000);
    EXPECT_FIELD("rdb_saves:2");
    say(&place.world, client, "CONFIG SET save \"1 1\"");
    wait_ms(&place, 200);
    EXPECT_FIELD("rdb_saves:3");
    end(&place);
    place_release(&place);
}

Test(persistence, a_failure_is_tried_again_at_growing_distances) {
    WITH_PLACE;
    place.settings = "save 1 1\n";
    struct session *client = begin_and_load(&place);
    say(&place.world, client, "SET a 1");
    fill_disk(&place, true);
    wait_ms(&place, 1200);
    settle(&place);
    EXPECT_FIELD("rdb_saves:1");
    EXPECT_FIELD("rdb_last_bgsave_status:err");
    EXPECT_FIELD("rdb_changes_since_last_save:1");
    cr_assert_null(strstr(place.world.reply, "checkpoint_last_error:\r\n"));
    cr_assert(was_logged(&place, "Saving failed ("));
    cr_assert(was_logged(&place, "; the save rules try again in 5 s\n"));
    cr_assert_not(has_file(&place, "dump.rdb.temporary"));
    unsigned delays_s[] = {5, 10, 20, 40, 60, 60};
    for (unsigned i = 0; i < sizeof delays_s / sizeof *delays_s; i++) {
        char before[32], after[32];
        snprintf(before, sizeof before, "rdb_saves:%u", i + 1);
        snprintf(after, sizeof after, "rdb_saves:%u", i + 2);
        wait_ms(&place, delays_s[i] * 1000 - 300);
        EXPECT_FIELD(before);
        wait_ms(&place, 500);
        EXPECT_FIELD(after);
        settle(&place);
    }
    fill_disk(&place, false);
    wait_ms(&place, 61000);
    settle(&place);
    EXPECT_FIELD("rdb_last_bgsave_status:ok");
    EXPECT_FIELD("checkpoint_last_error:");
    EXPECT_FIELD("rdb_changes_since_last_save:0");
    end(&place);
    place_release(&place);
}

Test(persistence, writes_are_refused_while_saving_fails) {
    WITH_PLACE;
    place.settings = "save 3600 1\n";
    struct session *client = begin_and_load(&place);
    say(&place.world, client, "SET a 1");
    fill_disk(&place, true);
    say(&place.world, client, "BGSAVE");
    settle(&place);
    EXPECT("SET a 2", "-" MISCONF);
    EXPECT("PING", "-" MISCONF);
    EXPECT("DEL nosuch", "-" MISCONF);
    EXPECT("GET a", "$1\r\n1\r\n");
    say(&place.world, client, "MULTI");
    EXPECT("GET a", "+QUEUED\r\n");
    EXPECT("EXEC", "*1\r\n$1\r\n1\r\n");
    say(&place.world, client, "MULTI");
    EXPECT("SET a 2", "-" MISCONF);
    EXPECT("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    EXPECT("CONFIG SET save \"\"", "+OK\r\n");
    EXPECT("SET a 2", "+OK\r\n");
    say(&place.world, client, "MULTI");
    EXPECT("SET a 3", "+QUEUED\r\n");
    EXPECT("CONFIG SET stop-writes-on-bgsave-error no save \"3600 1\"", "+QUEUED\r\n");
    EXPECT("EXEC", "*2\r\n+OK\r\n+OK\r\n");
    EXPECT("PING", "+PONG\r\n");
    say(&place.world, client, "MULTI");
    say(&place.world, client, "SET a 4");
    struct session *other = conversation_client(&place.world, 2);
    EXPECT_OF(other, "CONFIG SET stop-writes-on-bgsave-error yes", "+OK\r\n");
    EXPECT("EXEC", "-EXECABORT Transaction discarded because of: " MISCONF);
    fill_disk(&place, false);
    EXPECT("SAVE", "");
    settle(&place);
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT("SET a 5", "+OK\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, missing_memory_is_an_error_and_no_harm) {
    WITH_PLACE;
    place.settings = "save 3600 1\n";
    struct session *client = begin_and_load(&place);
    say(&place.world, client, "SET a 1");
    for (uint64_t fuse = 1; fuse < 64; fuse++) {
        place.world.mem.fuse = fuse;
        say(&place.world, client, "BGSAVE");
        settle(&place);
        place.world.mem.fuse = 0;
        settle(&place);
        if (has_field(&place, client, "rdb_last_bgsave_status:err"))
            EXPECT("SET a 2", "-" MISCONF);
    }
    EXPECT("BGSAVE", "+Background saving started\r\n");
    settle(&place);
    EXPECT("SET a 2", "+OK\r\n");
    cr_assert(was_logged(&place, "Saving failed (out of memory)"));
    end(&place);
    place_release(&place);
}

/* ---- The end ---- */

Test(persistence, shutdown_saves_and_nobody_writes_meanwhile) {
    WITH_PLACE;
    place.settings = "save 3600 1\n";
    struct session *client = begin_and_load(&place), *other = conversation_client(&place.world, 2);
    say(&place.world, client, "SET a 1");
    EXPECT("SHUTDOWN", "");
    EXPECT("SET a 2", "");
    EXPECT_OF(other, "CLIENT ID", "");
    EXPECT_OF(other, "SET a 3", "");
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_RUNNING);
    settle(&place);
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_SHUTDOWN);
    EXPECT_HEARD(other, "");
    end(&place);
    client = begin_and_load(&place);
    EXPECT("GET a", "$1\r\n1\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, shutdown_gives_up_the_save_that_runs_and_takes_a_fresh_image) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place), *saver = conversation_client(&place.world, 2);
    write_much(&place, client);
    EXPECT_OF(saver, "SAVE", "");
    say(&place.world, client, "SET late 1");
    EXPECT("SHUTDOWN SAVE", "");
    settle(&place);
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_SHUTDOWN);
    EXPECT_HEARD(saver, "+OK\r\n");
    end(&place);
    client = begin_and_load(&place);
    EXPECT("GET late", "$1\r\n1\r\n");
    EXPECT("DBSIZE", ":65\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, without_rules_shutdown_ends_at_once) {
    static const struct {
        const char *settings, *line;
        enum node_shutdown wish;
    } cases[] = {{"save \"\"\n", "SHUTDOWN", NODE_SHUTDOWN},
                 {"save 1 1\n", "SHUTDOWN NOSAVE", NODE_SHUTDOWN_NOSAVE}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        WITH_PLACE;
        place.settings = cases[i].settings;
        struct session *client = begin_and_load(&place);
        say(&place.world, client, "SET a 1");
        EXPECT(cases[i].line, "");
        cr_assert_eq(node_shutdown_wish(place.world.node), cases[i].wish);
        cr_assert(conversation_is_closing(client));
        cr_assert_not(has_file(&place, "dump.rdb"));
        end(&place);
        place_release(&place);
    }
}

Test(persistence, shutdown_nosave_removes_what_a_save_has_begun) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place);
    write_much(&place, client);
    say(&place.world, client, "BGSAVE");
    conversation_wait(&place.world, 0);
    node_work(place.world.node);
    cr_assert(helper_run(&place.helper));
    cr_assert(has_file(&place, "dump.rdb.temporary"));
    EXPECT("SHUTDOWN NOSAVE", "");
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_RUNNING);
    settle(&place);
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_SHUTDOWN_NOSAVE);
    cr_assert_not(has_file(&place, "dump.rdb.temporary"));
    cr_assert_not(has_file(&place, "dump.rdb"));
    end(&place);
    place_release(&place);
}

Test(persistence, a_shutdown_that_cannot_save_is_none) {
    WITH_PLACE;
    place.settings = "save 3600 1\n";
    struct session *client = begin_and_load(&place), *other = conversation_client(&place.world, 2);
    fill_disk(&place, true);
    EXPECT("SHUTDOWN", "");
    EXPECT_OF(other, "SET a 1", "");
    EXPECT("GET b", "");
    settle(&place);
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_RUNNING);
    EXPECT_HEARD(other, "+OK\r\n");
    EXPECT_HEARD(client, "-ERR Errors trying to SHUTDOWN. Check logs.\r\n$-1\r\n");
    cr_assert(was_logged(&place, "The server does not end"));
    EXPECT("SHUTDOWN FORCE", "");
    settle(&place);
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_SHUTDOWN);
    end(&place);
    place_release(&place);
}

Test(persistence, a_signal_ends_as_shutdown_does) {
    WITH_PLACE;
    place.settings = "save 3600 1\n";
    struct session *client = begin_and_load(&place);
    fill_disk(&place, true);
    node_stop(place.world.node, NODE_STOP_DEFAULT);
    EXPECT("SET a 1", "");
    settle(&place);
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_RUNNING);
    EXPECT_HEARD(client, "+OK\r\n");
    fill_disk(&place, false);
    node_stop(place.world.node, NODE_STOP_DEFAULT);
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_RUNNING);
    settle(&place);
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_SHUTDOWN);
    cr_assert(has_file(&place, "dump.rdb"));
    end(&place);
    place_release(&place);
}

Test(persistence, a_second_wish_without_saving_hurries_the_end_up) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place);
    write_much(&place, client);
    node_stop(place.world.node, NODE_STOP_SAVE);
    node_stop(place.world.node, NODE_STOP_NOSAVE);
    settle(&place);
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_SHUTDOWN_NOSAVE);
    cr_assert_not(has_file(&place, "dump.rdb"));
    end(&place);
    place_release(&place);
}

Test(persistence, shutdown_can_be_called_off) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place), *other = conversation_client(&place.world, 2);
    write_much(&place, client);
    EXPECT("SHUTDOWN SAVE", "");
    EXPECT_OF(other, "SHUTDOWN ABORT", "+OK\r\n");
    EXPECT_OF(other, "SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n");
    EXPECT_HEARD(client, "-ERR Errors trying to SHUTDOWN. Check logs.\r\n");
    EXPECT_OF(other, "DBSIZE", ":64\r\n");
    settle(&place);
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_RUNNING);
    cr_assert_not(has_file(&place, "dump.rdb"));
    EXPECT("SAVE", "");
    settle(&place);
    EXPECT_HEARD(client, "+OK\r\n");
    end(&place);
    place_release(&place);
}

/* However far the first save was, also where it was too late to give it up. */
Test(persistence, a_shutdown_behind_one_that_was_called_off_saves_what_was_written_between) {
    for (unsigned items = 0; items < 24; items++) {
        WITH_PLACE;
        struct session *client = begin_and_load(&place), *other = conversation_client(&place.world, 2);
        write_much(&place, client);
        EXPECT("SHUTDOWN SAVE", "");
        go_on(&place, items);
        bool is_too_late = node_shutdown_wish(place.world.node) != NODE_RUNNING;
        say(&place.world, other, "SHUTDOWN ABORT");
        say(&place.world, other, "SET late 1");
        EXPECT_OF(other, "SHUTDOWN SAVE", "");
        settle(&place);
        cr_assert_eq(node_shutdown_wish(place.world.node), NODE_SHUTDOWN);
        end(&place);
        client = begin_and_load(&place);
        EXPECT("DBSIZE", is_too_late ? ":64\r\n" : ":65\r\n");
        end(&place);
        place_release(&place);
    }
}

Test(persistence, a_pause_that_ends_does_not_let_commands_into_the_end) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place), *other = conversation_client(&place.world, 2);
    say(&place.world, client, "CLIENT PAUSE 100");
    EXPECT_OF(other, "SET a 1", "");
    EXPECT("SHUTDOWN SAVE", "");
    wait_ms(&place, 500);
    EXPECT_HEARD(other, "");
    settle(&place);
    EXPECT_HEARD(other, "");
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_SHUTDOWN);
    end(&place);
    place_release(&place);
}

Test(persistence, the_world_may_end_a_node_in_the_middle_of_anything) {
    for (unsigned items = 0; items < 24; items++) {
        WITH_PLACE;
        struct session *client = begin_and_load(&place);
        write_much(&place, client);
        say(&place.world, client, "SAVE");
        go_on(&place, items);
        end(&place);
        cr_assert_not(has_file(&place, "dump.rdb.temporary"), "after %u items", items);
        place_release(&place);
    }
}

/* ---- Loading ---- */

/* A disk with a checkpoint of 65 keys. */
static void leave_a_checkpoint(struct place *place) {
    struct session *client = begin_and_load(place);
    write_much(place, client);
    say(&place->world, client, "SET a 1");
    say(&place->world, client, "SAVE");
    settle(place);
    say(&place->world, client, "SAVE");
    settle(place);
    end(place);
}

Test(persistence, commands_are_refused_while_keys_are_loaded) {
    WITH_PLACE;
    leave_a_checkpoint(&place);
    begin(&place);
    struct session *client = conversation_client(&place.world, 1),
                   *other = conversation_client(&place.world, 2);
    static const char loading[] = "-LOADING Redis is loading the dataset in memory\r\n";
    EXPECT("PING", loading);
    EXPECT("GET a", loading);
    EXPECT("SET a", "-ERR wrong number of arguments for 'set' command\r\n");
    EXPECT("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: \r\n");
    EXPECT("SAVE", loading);
    EXPECT("BGSAVE", loading);
    EXPECT("DBSIZE", loading);
    EXPECT("SELECT 1", "+OK\r\n");
    EXPECT("SELECT 0", "+OK\r\n");
    EXPECT("LASTSAVE", ":1800000000\r\n");
    EXPECT("SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n");
    say(&place.world, client, "MULTI");
    EXPECT("ECHO x", "+QUEUED\r\n");
    EXPECT("EXEC", "*1\r\n$1\r\nx\r\n");
    say(&place.world, client, "MULTI");
    EXPECT("GET a", loading);
    EXPECT("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    EXPECT_FIELD("loading:1");
    EXPECT_FIELD("loading_start_time:1800000000");
    EXPECT_FIELD("loading_loaded_bytes:0");
    EXPECT_FIELD("loading_eta_seconds:1");
    settle(&place);
    EXPECT_FIELD("loading:0");
    cr_assert_null(strstr(place.world.reply, "loading_start_time"));
    EXPECT("GET a", "$1\r\n1\r\n");
    EXPECT_OF(other, "DBSIZE", ":65\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, a_transaction_from_before_a_reload_is_refused_while_it_loads) {
    WITH_PLACE;
    leave_a_checkpoint(&place);
    begin(&place);
    struct session *client = conversation_client(&place.world, 1);
    say(&place.world, client, "MULTI");
    place.world.node->persistence.is_loading = false; /* as if it had not begun */
    EXPECT("SET a 2", "+QUEUED\r\n");
    place.world.node->persistence.is_loading = true;
    EXPECT("EXEC",
           "-EXECABORT Transaction discarded because of: LOADING Redis is loading the dataset in memory\r\n");
    settle(&place);
    EXPECT("GET a", "$1\r\n1\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, the_log_tells_how_far_the_loading_is) {
    WITH_PLACE;
    leave_a_checkpoint(&place);
    begin(&place);
    for (unsigned i = 0; i < 4; i++) {
        helper_run(&place.helper);
        conversation_wait(&place.world, 0);
        node_work(place.world.node);
    }
    wait_ms(&place, 1200);
    cr_assert(was_logged(&place, "Loading: "), "%s", place.world.log);
    cr_assert_eq(place.world.node->statistics.jobs[JOB_EXPIRE].count, 0, "only the loader may touch keys");
    settle(&place);
    cr_assert(was_logged(&place, "Loaded 65 keys in 1.20 s ("), "%s", place.world.log);
    end(&place);
    place_release(&place);
}

Test(persistence, a_node_that_is_to_end_while_it_loads_saves_nothing) {
    WITH_PLACE;
    leave_a_checkpoint(&place);
    place.settings = "save 3600 1\n";
    begin(&place);
    struct session *client = conversation_client(&place.world, 1);
    helper_run(&place.helper);
    EXPECT("SHUTDOWN SAVE", "");
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_RUNNING);
    struct session *other = conversation_client(&place.world, 2);
    EXPECT_OF(other, "SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n");
    settle(&place);
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_SHUTDOWN);
    end(&place);
    client = begin_and_load(&place);
    EXPECT("DBSIZE", ":65\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, a_node_whose_checkpoint_is_gone_refuses_to_start) {
    WITH_PLACE;
    leave_a_checkpoint(&place);
    place.disk.disk.remove(place.disk.disk.context, "dump.rdb");
    place.disk.disk.remove(place.disk.disk.context, "dump.rdb.previous");
    struct session *client = begin_and_load(&place);
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_SHUTDOWN_REFUSED);
    cr_assert_gt(strlen(place.world.logged), 20);
    EXPECT("SET a 1", "-LOADING Redis is loading the dataset in memory\r\n");
    end(&place);
    place.start_empty = true;
    client = begin_and_load(&place);
    cr_assert_eq(node_shutdown_wish(place.world.node), NODE_RUNNING);
    EXPECT("DBSIZE", ":0\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, a_damaged_checkpoint_is_passed_over_for_the_one_before) {
    WITH_PLACE;
    leave_a_checkpoint(&place);
    struct rng random;
    rng_init(&random, 5);
    cr_assert(simulated_disk_damage(&place.disk, "dump.rdb", DAMAGE_SECTOR, &random));
    struct session *client = begin_and_load(&place);
    EXPECT("DBSIZE", ":65\r\n");
    cr_assert(was_logged(&place, "the previous checkpoint"));
    end(&place);
    place_release(&place);
}

Test(persistence, a_node_remembers_that_there_was_a_checkpoint) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place);
    cr_assert_not(place.identity.has_checkpoint);
    say(&place.world, client, "SAVE");
    settle(&place);
    cr_assert(place.identity.has_checkpoint);
    end(&place);
    begin(&place);
    cr_assert(place.identity.has_checkpoint);
    settle(&place);
    end(&place);
    place_release(&place);
}

Test(persistence, save_is_answered_when_the_note_is_durable_too) {
    WITH_PLACE;
    struct session *client = begin_and_load(&place);
    struct session *other = conversation_client(&place.world, 2);
    EXPECT("SAVE", "");
    bool has_waited_for_note = false;
    for (unsigned i = 0; i < 100 && !place.identity.has_checkpoint; i++) {
        if (has_file(&place, "dump.rdb")) {
            has_waited_for_note = true;
            EXPECT_HEARD(client, "");
            EXPECT_OF(other, "SAVE", "-ERR Background save already in progress\r\n");
        }
        go_on(&place, 1);
    }
    cr_assert(has_waited_for_note);
    EXPECT_HEARD(client, "+OK\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, a_node_remembers_the_checkpoint_that_it_found) {
    WITH_PLACE;
    leave_a_checkpoint(&place);
    place.disk.disk.remove(place.disk.disk.context, "dump.rdb.node");
    begin(&place);
    cr_assert_not(place.identity.has_checkpoint);
    settle(&place);
    cr_assert(place.identity.has_checkpoint);
    end(&place);
    place_release(&place);
}

Test(persistence, a_checkpoint_of_a_later_start_raises_the_incarnation_before_anything_is_written) {
    WITH_PLACE;
    size_t size;
    struct session *client = begin_and_load(&place);
    uint8_t early[1024];
    const uint8_t *bytes = simulated_disk_bytes(&place.disk, "dump.rdb.node", &size);
    cr_assert(bytes != NULL && size <= sizeof early);
    memcpy(early, bytes, size);
    end(&place);
    for (unsigned i = 0; i < 4; i++) {
        client = begin_and_load(&place);
        say(&place.world, client, "SET a 1");
        say(&place.world, client, "SAVE");
        settle(&place);
        end(&place);
    }
    cr_assert_eq(place.identity.actor.incarnation, 5);
    simulated_disk_put(&place.disk, "dump.rdb.node", early, size);
    begin(&place);
    cr_assert_eq(place.identity.actor.incarnation, 2);
    settle(&place);
    cr_assert_eq(place.identity.actor.incarnation, 6);
    cr_assert_eq(place.world.node->keyspace->actors.identities[ACTOR_SELF].incarnation, 6);
    cr_assert(was_logged(&place, "the incarnation is 6 now"));
    client = conversation_client(&place.world, 1);
    EXPECT("SET a 2", "+OK\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, a_node_that_is_nobody_saves_and_loads_too) {
    WITH_PLACE;
    place.has_identity = false;
    leave_a_checkpoint(&place);
    struct session *client = begin_and_load(&place);
    EXPECT("DBSIZE", ":65\r\n");
    cr_assert_not(has_file(&place, "dump.rdb.node"));
    end(&place);
    place_release(&place);
}

/* ---- DEBUG RELOAD ---- */

Test(persistence, debug_reload_loses_nothing_and_lets_everybody_wait) {
    WITH_PLACE;
    place.settings = "save \"\"\nenable-debug-command yes\n";
    struct session *client = begin_and_load(&place), *other = conversation_client(&place.world, 2);
    write_much(&place, client);
    say(&place.world, client, "SET a 1 EX 50");
    EXPECT("DEBUG RELOAD", "");
    EXPECT_OF(other, "SET a 2", "");
    settle(&place);
    EXPECT_HEARD(client, "+OK\r\n");
    EXPECT_HEARD(other, "+OK\r\n");
    EXPECT("GET a", "$1\r\n2\r\n");
    EXPECT("DBSIZE", ":65\r\n");
    EXPECT_FIELD("rdb_changes_since_last_save:1");
    EXPECT_FIELD("rdb_last_load_keys_loaded:65");
    say(&place.world, client, "MULTI");
    say(&place.world, client, "DEBUG RELOAD");
    EXPECT("EXEC", "*1\r\n-ERR DEBUG RELOAD inside a transaction is not allowed\r\n");
    end(&place);
    place_release(&place);
}

Test(persistence, a_reload_that_cannot_save_changes_nothing) {
    WITH_PLACE;
    place.settings = "save \"\"\nenable-debug-command yes\n";
    struct session *client = begin_and_load(&place), *other = conversation_client(&place.world, 2);
    say(&place.world, client, "SET a 1");
    fill_disk(&place, true);
    EXPECT("DEBUG RELOAD", "");
    EXPECT_OF(other, "GET a", "");
    settle(&place);
    cr_assert_eq(strncmp(hear(&place.world, client), "-ERR Saving failed (", 20), 0);
    EXPECT_HEARD(other, "$1\r\n1\r\n");
    end(&place);
    place_release(&place);
}
