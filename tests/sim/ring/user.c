/* user.c - connections, expectations, and the order of replies.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/user.h"

#include <stdio.h>

/* Who has no answer for so long goes elsewhere, in some cases. */
#define PATIENCE_MIN_NS UINT64_C(5000000000)
#define PATIENCE_MAX_NS UINT64_C(60000000000)

static struct rng *dice(const struct user *user) {
    return world_random(user->world, CHANCE_WORKLOAD);
}

static void act(void *context);
static void received(void *context, const uint8_t *data, size_t size);

/* Nobody will answer any more. */
static void give_up(struct user *user) {
    while (user->expected_count != 0) {
        struct expectation *expected = &user->expected[user->expected_first];
        user->expected_first = (user->expected_first + 1) % USER_EXPECTED_MAX;
        user->expected_count--;
        struct operation **all = user->history->operations[user->number];
        for (uint32_t i = 0; i < expected->count; i++) {
            struct operation *operation = all[expected->operation->sequence + i];
            if (operation->outcome == OUTCOME_OPEN)
                history_told(user->history, operation, OUTCOME_UNKNOWN);
        }
    }
    user->scan = NULL;
    user->choice = NULL;
    user->has_failed_choice = false;
    user->writes = 0;
    user->last_write = NULL;
    buffer_clear(&user->heard);
    reply_reader_init(&user->reader, 2);
}

static void closed(void *context) {
    struct user *user = context;
    if (user->conditions->is_calm && user_waits(user))
        world_fail(user->world,
                   "I-REPLY: user %u: the node closes the connection, and %u commands have no reply",
                   user->number, user->expected_count);
    give_up(user);
}

void user_init(struct user *user, struct world *world, const struct conditions *conditions,
               struct history *history, struct station *stations, const uint32_t *station_count,
               uint32_t number) {
    *user = (struct user){.world = world,
                          .conditions = conditions,
                          .history = history,
                          .stations = stations,
                          .station_count = station_count,
                          .number = number,
                          .is_asleep = true};
    user->client = (struct station_client){.owner = user, .received = received, .closed = closed};
    buffer_init(&user->client.unsent, &world->mem);
    buffer_init(&user->heard, &world->mem);
    reply_reader_init(&user->reader, 2);
    user->scan_seen = world_alloc(world, (history->key_count + 63) / 64 * sizeof *user->scan_seen);
    user->patience_ns = chance_between(dice(user), PATIENCE_MIN_NS, PATIENCE_MAX_NS);
}

void user_release(struct user *user) {
    user_leave(user);
    buffer_release(&user->client.unsent);
    buffer_release(&user->heard);
    world_free(user->world, user->scan_seen, (user->history->key_count + 63) / 64 * sizeof *user->scan_seen);
}

bool user_connect(struct user *user, struct station *station) {
    user_leave(user);
    return station_runs(station) && station_connect(station, &user->client);
}

void user_leave(struct user *user) {
    if (user->client.station == NULL)
        return;
    station_disconnect(&user->client);
    give_up(user);
}

struct expectation *user_expect(struct user *user, enum expectation_kind kind, struct operation *operation) {
    CHECK(user->expected_count < USER_EXPECTED_MAX);
    struct expectation *expected =
        &user->expected[(user->expected_first + user->expected_count++) % USER_EXPECTED_MAX];
    *expected = (struct expectation){.kind = kind, .operation = operation, .asked_ns = user->world->now_ns};
    expected->count = kind == EXPECT_ANSWER ? 1 : 0;
    return expected;
}

uint64_t user_waits_since_ns(const struct user *user) {
    return user->expected_count == 0 ? user->world->now_ns : user->expected[user->expected_first].asked_ns;
}

/* ---- Replies ---- */

static void fail_reply(struct user *user, const char *what, const uint8_t *reply, size_t size) {
    char readable[160];
    world_fail(user->world, "I-REPLY: user %u, node %u: %s: %s", user->number, user->client.station->number,
               what, trace_readable(readable, sizeof readable, reply, size));
}

static void take_exec(struct user *user, const struct expectation *expected, const uint8_t *reply,
                      size_t size) {
    struct operation **all = user->history->operations[user->number];
    uint64_t count;
    size_t at;
    if (reply[0] == '-') {
        bool is_aborted = reply_is_error(reply, size, "EXECABORT");
        if (is_aborted && !user->is_broken)
            fail_reply(user, "EXEC is refused, and no command of it was", reply, size);
        for (uint32_t i = 0; i < expected->count && !world_has_failed(user->world); i++) {
            struct operation *operation = all[expected->operation->sequence + i];
            user_told(user, operation,
                      is_aborted ? OUTCOME_FAILED : user_judge_error(user, operation, reply, size));
        }
        return;
    }
    if (user->is_broken || !reply_elements(reply, size, &count, &at) || count != expected->count) {
        fail_reply(user, "EXEC", reply, size);
        return;
    }
    for (uint32_t i = 0; i < expected->count; i++) {
        size_t length = reply_measure(reply + at, size - at, 2);
        if (!user_judge(user, all[expected->operation->sequence + i], reply + at, length))
            return;
        at += length;
    }
}

static void take_reply(struct user *user, const uint8_t *reply, size_t size) {
    if (user->expected_count == 0) {
        fail_reply(user, "a reply that nobody has asked for", reply, size);
        return;
    }
    struct expectation expected = user->expected[user->expected_first];
    user->expected_first = (user->expected_first + 1) % USER_EXPECTED_MAX;
    user->expected_count--;
    trace_bytes(&user->world->trace, reply, size < 32 ? size : 32);
    switch (expected.kind) {
    case EXPECT_ANSWER: user_judge(user, expected.operation, reply, size); break;
    case EXPECT_BEGIN:
        user->is_broken = false;
        if (!reply_is_text(reply, size, "+OK\r\n"))
            fail_reply(user, "MULTI", reply, size);
        break;
    case EXPECT_QUEUED:
        if (reply[0] == '-') {
            user->is_broken = true;
            user_judge_error(user, expected.operation, reply, size);
        } else if (!reply_is_text(reply, size, "+QUEUED\r\n")) {
            fail_reply(user, "a command of a transaction", reply, size);
        }
        break;
    default: take_exec(user, &expected, reply, size); break;
    }
}

static void received(void *context, const uint8_t *data, size_t size) {
    struct user *user = context;
    while (size != 0 && !world_has_failed(user->world)) {
        bool is_complete;
        size_t taken = reply_reader_take(&user->reader, data, size, &is_complete);
        if (user->reader.is_broken) {
            fail_reply(user, "not well-formed", data, size);
            return;
        }
        if (!is_complete || user->heard.size != 0)
            CHECK(buffer_append(&user->heard, data, taken));
        if (is_complete && user->heard.size != 0) {
            take_reply(user, user->heard.data, user->heard.size);
            buffer_clear(&user->heard);
        } else if (is_complete) {
            take_reply(user, data, taken);
        }
        data += taken;
        size -= taken;
    }
}

/* ---- Acting ---- */

static void connect_somewhere(struct user *user) {
    uint64_t first = rng_below(dice(user), *user->station_count);
    for (uint32_t i = 0; i < *user->station_count; i++) {
        struct station *station = &user->stations[(first + i) % *user->station_count];
        if (!station->is_removed && user_connect(user, station)) {
            user_choose_quorum(user);
            return;
        }
    }
}

static void act_later(struct user *user) {
    user->is_asleep = false;
    uint64_t think_ns = chance_between(dice(user), 1, user->conditions->mix.think_max_ns);
    world_at(user->world, user->world->now_ns + think_ns, act, user);
}

static void act(void *context) {
    struct user *user = context;
    user->is_asleep = true;
    if (*user->requests_left == 0 || world_has_failed(user->world))
        return;
    const struct ring_mix *mix = &user->conditions->mix;
    if (user->client.station != NULL && user_waits(user) &&
        user->world->now_ns - user_waits_since_ns(user) > user->patience_ns)
        user_leave(user);
    if (user->client.station != NULL && !user_waits(user) && chance_permille(dice(user), mix->hops_permille))
        user_leave(user);
    if (user->client.station == NULL)
        connect_somewhere(user);
    uint32_t room = user->expected_count < mix->pipeline_max ? mix->pipeline_max - user->expected_count : 0;
    if (user->client.station != NULL && room != 0) {
        for (uint64_t count = chance_between(dice(user), 1, room); count != 0 && *user->requests_left != 0;
             count--) {
            --*user->requests_left;
            user_request(user);
        }
        station_client_ready(&user->client);
    }
    act_later(user);
}

void user_start(struct user *user) {
    if (user->is_asleep)
        act_later(user);
}
