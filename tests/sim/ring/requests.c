/* requests.c - what users ask for: draws of operations, and their bytes.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/user.h"

#include "base/number.h"

#include <stdio.h>
#include <string.h>

#define WORDS_MAX       16
#define LARGE_CELLS     90 /* long enough to be told in parts */
#define TRANSACTION_MAX 4
#define HOT_KEYS        4  /* values, and one counter */
#define BUSY_KEYS       32 /* four counters among them */

struct words {
    const uint8_t *data[WORDS_MAX];
    size_t size[WORDS_MAX];
    uint32_t count;
    char numbers[WORDS_MAX][24];
    struct buffer cells;
};

static struct rng *dice(const struct user *user) {
    return world_random(user->world, CHANCE_WORKLOAD);
}

static void add_bytes(struct words *words, const void *data, size_t size) {
    words->data[words->count] = data;
    words->size[words->count++] = size;
}

static void add(struct words *words, const char *text) {
    add_bytes(words, text, strlen(text));
}

static void add_number(struct words *words, uint64_t number) {
    char *text = words->numbers[words->count];
    add_bytes(words, text,
              (size_t)snprintf(text, sizeof words->numbers[0], "%llu", (unsigned long long)number));
}

static void add_key(struct words *words, const struct user *user, uint32_t key) {
    add_bytes(words, user->history->keys[key].name, user->history->keys[key].name_size);
}

static void say_header(struct buffer *out, char type, uint64_t number) {
    char line[NUMBER_INT64_SIZE + 4];
    line[0] = type;
    size_t size = 1 + number_format_int64(line + 1, (int64_t)number);
    memcpy(line + size, "\r\n", 2);
    CHECK(buffer_append(out, line, size + 2));
}

static void say(struct user *user, struct words *words) {
    struct buffer *out = &user->client.unsent;
    say_header(out, '*', words->count);
    for (uint32_t i = 0; i < words->count; i++) {
        say_header(out, '$', words->size[i]);
        CHECK(buffer_append(out, words->data[i], words->size[i]) && buffer_append(out, "\r\n", 2));
    }
    buffer_release(&words->cells);
}

static void begin_words(struct words *words, struct user *user, const char *command) {
    words->count = 0;
    buffer_init(&words->cells, &user->world->mem);
    add(words, command);
}

/* ---- Draws ---- */

static bool is_of(const struct history *history, uint32_t key, unsigned kinds) {
    return kinds >> history->keys[key].kind & 1;
}

#define KIND(kind)  (1u << (kind))
#define VALUE_KINDS (KIND(KEY_PLAIN) | KIND(KEY_VOLATILE) | KIND(KEY_TAGGED))

/* A key of one of the kinds; key_count: there is none. */
static uint32_t some_key(const struct user *user, unsigned kinds) {
    const struct history *history = user->history;
    struct rng *rng = dice(user);
    uint32_t count = history->key_count;
    bool is_hot = chance_permille(rng, user->conditions->mix.hot_permille);
    uint64_t first = rng_below(rng, is_hot && count > HOT_KEYS ? HOT_KEYS : count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = (uint32_t)((first + i) % count);
        if (is_of(history, key, kinds))
            return key;
    }
    return count;
}

static uint32_t some_cells(const struct user *user, uint32_t key) {
    struct rng *rng = dice(user);
    uint32_t most = user->conditions->mix.cells_max;
    if (user->history->keys[key].is_large && most > LARGE_CELLS)
        return (uint32_t)chance_between(rng, LARGE_CELLS, most);
    return chance_permille(rng, 800) ? 1 : (uint32_t)chance_between(rng, 1, most < 8 ? most : 8);
}

static struct operation *new_operation(struct user *user, enum operation_kind kind, uint32_t key) {
    struct operation *operation = history_operation(user->history, user->number, kind);
    operation->keys[operation->key_count++] = key;
    return operation;
}

static void add_cells(struct words *words, const struct operation *operation) {
    size_t size = (size_t)operation->cells * CELL_SIZE, begin = words->cells.size;
    CHECK(buffer_reserve(&words->cells, size));
    history_write_cells(operation, words->cells.data + begin);
    words->cells.size += size;
    add_bytes(words, words->cells.data + begin, size);
}

/* ---- One key ---- */

static struct operation *say_set(struct user *user, struct words *words, enum operation_kind kind,
                                 uint32_t key) {
    struct operation *operation = new_operation(user, kind, key);
    operation->cells = some_cells(user, key);
    bool has_time = !user->conditions->has_no_expiries && kind == OPERATION_SET &&
                    is_of(user->history, key, KIND(KEY_VOLATILE)) && chance_permille(dice(user), 500);
    begin_words(words, user, kind == OPERATION_GETSET ? "GETSET" : kind == OPERATION_SETNX ? "SETNX" : "SET");
    add_key(words, user, key);
    add_cells(words, operation);
    if (has_time) {
        add(words, "PX");
        add_number(words, chance_magnitude(dice(user), 10, 30000));
    }
    return operation;
}

static struct operation *say_get(struct user *user, struct words *words, uint32_t key) {
    begin_words(words, user, "GET");
    add_key(words, user, key);
    return new_operation(user, OPERATION_GET, key);
}

static struct operation *say_delete(struct user *user, struct words *words, uint32_t key) {
    begin_words(words, user, chance_permille(dice(user), 500) ? "DEL" : "UNLINK");
    add_key(words, user, key);
    return new_operation(user, OPERATION_DEL, key);
}

static struct operation *say_append(struct user *user, struct words *words, uint32_t key) {
    struct operation *operation = new_operation(user, OPERATION_APPEND, key);
    operation->cells = 1;
    begin_words(words, user, "APPEND");
    add_key(words, user, key);
    add_cells(words, operation);
    return operation;
}

static struct operation *say_range(struct user *user, struct words *words, uint32_t key) {
    struct operation *operation = new_operation(user, OPERATION_SETRANGE, key);
    operation->cells = (uint32_t)chance_between(dice(user), 1, 3);
    operation->first_cell =
        (uint32_t)rng_below(dice(user), user->history->keys[key].is_large ? LARGE_CELLS : 4);
    begin_words(words, user, "SETRANGE");
    add_key(words, user, key);
    add_number(words, (uint64_t)operation->first_cell * CELL_SIZE);
    add_cells(words, operation);
    return operation;
}

/* Of few, so that several nodes count at a time. key_count: there is none. */
static uint32_t some_busy_counter(const struct user *user) {
    uint32_t count = user->history->key_count < BUSY_KEYS ? user->history->key_count : BUSY_KEYS;
    uint64_t first = rng_below(dice(user), count);
    for (uint32_t i = 0; i < count; i++)
        if (is_of(user->history, (uint32_t)((first + i) % count), KIND(KEY_COUNTER)))
            return (uint32_t)((first + i) % count);
    return user->history->key_count;
}

static struct operation *say_reset(struct user *user, struct words *words, uint32_t key) {
    struct operation *operation = new_operation(user, OPERATION_RESET, key);
    begin_words(words, user, "SET");
    add_key(words, user, key);
    add_number(words, history_reset_number(operation));
    return operation;
}

static struct operation *say_count(struct user *user, struct words *words, uint32_t key) {
    bool may_reset = user->conditions->mix.deletes != 0 && key / 8 % 2 == 0;
    if (may_reset && chance_permille(dice(user), 120))
        return chance_permille(dice(user), 300) ? say_delete(user, words, key) : say_reset(user, words, key);
    begin_words(words, user, "INCR");
    add_key(words, user, key);
    return new_operation(user, OPERATION_INCR, key);
}

static struct operation *say_expiry(struct user *user, struct words *words, uint32_t key) {
    static const char *const commands[] = {"PEXPIRE", "EXPIRE", "PERSIST"};
    uint64_t which = rng_below(dice(user), 3);
    begin_words(words, user, commands[which]);
    add_key(words, user, key);
    if (which != 2)
        add_number(words,
                   which == 0 ? chance_magnitude(dice(user), 10, 30000) : chance_between(dice(user), 1, 30));
    return new_operation(user, OPERATION_EXPIRE, key);
}

/* A command of one key; NULL: there is no such key. */
static struct operation *say_one(struct user *user, struct words *words, unsigned kinds) {
    const struct ring_mix *mix = &user->conditions->mix;
    uint32_t key = some_key(user, kinds & (VALUE_KINDS | KIND(KEY_COUNTER)));
    if (key == user->history->key_count)
        return NULL;
    uint64_t draw = rng_below(dice(user), mix->reads + mix->sets + mix->deletes + mix->appends + mix->ranges +
                                              mix->conditional + mix->counts + mix->expiries);
    if (is_of(user->history, key, KIND(KEY_COUNTER)))
        return mix->counts != 0 && draw % 2 == 0 ? say_count(user, words, key) : say_get(user, words, key);
    if (draw < mix->sets)
        return say_set(user, words, OPERATION_SET, key);
    if ((draw -= mix->sets) < mix->deletes)
        return say_delete(user, words, key);
    if ((draw -= mix->deletes) < mix->appends)
        return say_append(user, words, key);
    if ((draw -= mix->appends) < mix->ranges)
        return say_range(user, words, key);
    if ((draw -= mix->ranges) < mix->conditional)
        return say_set(user, words, draw % 2 == 0 ? OPERATION_GETSET : OPERATION_SETNX, key);
    if ((draw -= mix->conditional) < mix->expiries)
        return is_of(user->history, key, KIND(KEY_VOLATILE)) && !user->conditions->has_no_expiries
                   ? say_expiry(user, words, key)
                   : say_get(user, words, key);
    uint32_t counter =
        (draw -= mix->expiries) < mix->counts ? some_busy_counter(user) : user->history->key_count;
    return counter != user->history->key_count ? say_count(user, words, counter) : say_get(user, words, key);
}

/* ---- Several keys ---- */

static struct operation *say_many(struct user *user, struct words *words) {
    static const struct {
        enum operation_kind kind;
        const char *command;
    } forms[] = {{OPERATION_MGET, "MGET"},
                 {OPERATION_MSET, "MSET"},
                 {OPERATION_DEL, "DEL"},
                 {OPERATION_EXISTS, "EXISTS"}};
    uint64_t form = rng_below(dice(user), 4);
    if (form == 2 && user->conditions->mix.deletes == 0)
        form = 0;
    struct operation *operation = history_operation(user->history, user->number, forms[form].kind);
    operation->cells = form == 1;
    begin_words(words, user, forms[form].command);
    uint64_t count = chance_between(dice(user), 2, OPERATION_KEYS);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t key = some_key(user, VALUE_KINDS);
        for (uint32_t j = 0; j < operation->key_count && key != user->history->key_count; j++)
            if (operation->keys[j] == key)
                key = user->history->key_count;
        if (key == user->history->key_count)
            continue;
        operation->keys[operation->key_count++] = key;
        add_key(words, user, key);
        if (form == 1) {
            words->cells.size = 0; /* the same for all */
            add_cells(words, operation);
        }
    }
    return operation;
}

/* Two keys that are only ever written together. */
static struct operation *say_pair(struct user *user, struct words *words) {
    uint32_t key = some_key(user, KIND(KEY_PAIR));
    if (key == user->history->key_count)
        return NULL;
    key -= key % 8 == 7;
    bool is_write = chance_permille(dice(user), 500);
    struct operation *operation = new_operation(user, is_write ? OPERATION_MSET : OPERATION_MGET, key);
    operation->keys[operation->key_count++] = key + 1;
    operation->cells = is_write;
    begin_words(words, user, is_write ? "MSET" : "MGET");
    for (uint32_t i = 0; i < 2; i++) {
        add_key(words, user, key + i);
        if (is_write) {
            words->cells.size = 0;
            add_cells(words, operation);
        }
    }
    return operation;
}

static struct operation *ask_for(struct user *user, struct words *words, struct operation *operation,
                                 enum expectation_kind kind) {
    if (operation->key_count == 0 && operation->kind <= OPERATION_EXISTS) {
        /* Only a draw without keys: nothing is said. */
        operation->outcome = OUTCOME_FAILED;
        buffer_release(&words->cells);
        return NULL;
    }
    say(user, words);
    const struct quorum_conditions *quorum = &user->conditions->quorum;
    operation->writes = user->writes != 0 ? user->writes : quorum->writes != 0 ? quorum->writes : 1;
    history_ask(user->history, operation);
    user_expect(user, kind, operation);
    return operation;
}

static bool keys_share_tag(const struct history *history, uint32_t one, uint32_t other) {
    return history->keys[one].kind == KEY_TAGGED && history->keys[other].kind == KEY_TAGGED &&
           history->keys[one].slot == history->keys[other].slot;
}

/* Commands on keys of one slot, within MULTI and EXEC. */
static void request_transaction(struct user *user) {
    struct words words;
    struct operation *first = NULL;
    uint32_t count = 0, tries = 0;
    uint64_t wanted = chance_between(dice(user), 1, TRANSACTION_MAX);
    uint32_t first_key = some_key(user, KIND(KEY_TAGGED));
    if (first_key == user->history->key_count)
        return;
    begin_words(&words, user, "MULTI");
    say(user, &words);
    user_expect(user, EXPECT_BEGIN, NULL)->count = 0;
    while (count < wanted && tries++ < 4 * TRANSACTION_MAX) {
        uint32_t key = count == 0 ? first_key : some_key(user, KIND(KEY_TAGGED));
        if (!keys_share_tag(user->history, first_key, key))
            continue;
        struct operation *operation;
        switch (rng_below(dice(user), 5)) {
        case 0: operation = say_get(user, &words, key); break;
        case 1:
            operation = user->conditions->mix.deletes == 0 ? say_get(user, &words, key)
                                                           : say_delete(user, &words, key);
            break;
        case 2: operation = say_append(user, &words, key); break;
        default: operation = say_set(user, &words, OPERATION_SET, key); break;
        }
        ask_for(user, &words, operation, EXPECT_QUEUED);
        first = count++ == 0 ? operation : first;
    }
    begin_words(&words, user, "EXEC");
    say(user, &words);
    struct expectation *expected = user_expect(user, EXPECT_EXEC, first);
    expected->count = count;
}

/* ---- The whole ---- */

void user_say_scan(struct user *user, const uint8_t *cursor, size_t size) {
    struct words words;
    begin_words(&words, user, "SCAN");
    add_bytes(&words, cursor, size);
    if (user->scan->sequence % 2 == 0) {
        add(&words, "COUNT");
        add_number(&words, 1 + user->scan->sequence % 50);
    }
    say(user, &words);
    user_expect(user, EXPECT_ANSWER, user->scan);
    station_client_ready(&user->client);
}

static void request_scan(struct user *user) {
    if (user->scan != NULL)
        return;
    memset(user->scan_seen, 0, (user->history->key_count + 63) / 64 * sizeof *user->scan_seen);
    user->scan = history_operation(user->history, user->number, OPERATION_SCAN);
    user->scan_calls = 0;
    history_ask(user->history, user->scan);
    user_say_scan(user, (const uint8_t *)"0", 1);
}

void user_look(struct user *user, const char *const *looked) {
    struct words words;
    begin_words(&words, user, looked[0]);
    for (uint32_t i = 1; looked[i] != NULL; i++)
        add(&words, looked[i]);
    ask_for(user, &words, history_operation(user->history, user->number, OPERATION_LOOK), EXPECT_ANSWER);
    station_client_ready(&user->client);
}

void user_choose_quorum(struct user *user) {
    struct words words;
    uint32_t copies = conditions_copies(user->conditions);
    if (!user->conditions->quorum.users_choose || chance_permille(dice(user), 300))
        return;
    uint64_t reads = chance_between(dice(user), 1, copies), writes = chance_between(dice(user), 1, copies);
    begin_words(&words, user, "KV.QUORUM");
    add_number(&words, reads);
    add_number(&words, writes);
    user->choice = history_operation(user->history, user->number, OPERATION_LOOK);
    ask_for(user, &words, user->choice, EXPECT_ANSWER);
    user->writes = (uint32_t)writes;
    station_client_ready(&user->client);
}

void user_ask_value(struct user *user, uint32_t key) {
    struct words words;
    struct operation *operation = say_get(user, &words, key);
    ask_for(user, &words, operation, EXPECT_ANSWER);
    station_client_ready(&user->client);
}

static struct operation *ask_now(struct user *user, struct words *words, struct operation *operation) {
    ask_for(user, words, operation, EXPECT_ANSWER);
    station_client_ready(&user->client);
    return operation;
}

struct operation *user_set_value(struct user *user, uint32_t key) {
    struct words words;
    struct operation *operation = new_operation(user, OPERATION_SET, key);
    bool is_large = user->history->keys[key].is_large && user->conditions->mix.cells_max > LARGE_CELLS;
    operation->cells = is_large ? LARGE_CELLS : 1;
    begin_words(&words, user, "SET");
    add_key(&words, user, key);
    add_cells(&words, operation);
    return ask_now(user, &words, operation);
}

struct operation *user_delete_value(struct user *user, uint32_t key) {
    struct words words;
    return ask_now(user, &words, say_delete(user, &words, key));
}

struct operation *user_append_value(struct user *user, uint32_t key) {
    struct words words;
    return ask_now(user, &words, say_append(user, &words, key));
}

struct operation *user_count(struct user *user, uint32_t key) {
    struct words words;
    begin_words(&words, user, "INCR");
    add_key(&words, user, key);
    return ask_now(user, &words, new_operation(user, OPERATION_INCR, key));
}

struct operation *user_reset_count(struct user *user, uint32_t key) {
    struct words words;
    return ask_now(user, &words, say_reset(user, &words, key));
}

void user_ask_size(struct user *user) {
    struct words words;
    begin_words(&words, user, "DBSIZE");
    ask_for(user, &words, history_operation(user->history, user->number, OPERATION_SIZE), EXPECT_ANSWER);
    station_client_ready(&user->client);
}

static void request_look(struct user *user) {
    static const char *const looks[][4] = {{"CLUSTER", "SLOTS"},
                                           {"CLUSTER", "SHARDS"},
                                           {"CLUSTER", "NODES"},
                                           {"CLUSTER", "INFO"},
                                           {"CLUSTER", "MYID"},
                                           {"CLUSTER", "LINKS"},
                                           {"INFO"},
                                           {"PING"},
                                           {"RANDOMKEY"},
                                           {"KV.RING", "7"},
                                           {"KV.SIBLINGS", "s:0"},
                                           {"KV.VERSION", "s:0"},
                                           {"KEYS", "*1*"},
                                           {"COMMAND", "COUNT"}};
    user_look(user, looks[rng_below(dice(user), sizeof looks / sizeof *looks)]);
}

static void request_flush(struct user *user) {
    struct words words;
    begin_words(&words, user, "FLUSHALL");
    ask_for(user, &words, history_operation(user->history, user->number, OPERATION_FLUSH), EXPECT_ANSWER);
}

static void request_wait(struct user *user) {
    struct words words;
    begin_words(&words, user, "WAIT");
    add_number(&words, chance_between(dice(user), 1, 3));
    add_number(&words, chance_magnitude(dice(user), 10, 1000));
    ask_for(user, &words, history_operation(user->history, user->number, OPERATION_WAIT), EXPECT_ANSWER);
}

void user_request(struct user *user) {
    const struct ring_mix *mix = &user->conditions->mix;
    struct words words;
    uint32_t one = mix->reads + mix->sets + mix->deletes + mix->appends + mix->ranges + mix->counts +
                   mix->expiries + mix->conditional;
    uint64_t draw = rng_below(dice(user), one + mix->many + mix->transactions + mix->scans + mix->sizes +
                                              mix->flushes + mix->waits + mix->introspection);
    if (draw < one) {
        struct operation *operation = say_one(user, &words, VALUE_KINDS | KIND(KEY_COUNTER));
        if (operation != NULL)
            ask_for(user, &words, operation, EXPECT_ANSWER);
    } else if ((draw -= one) < mix->many) {
        struct operation *operation = draw % 2 == 0 ? say_pair(user, &words) : NULL;
        ask_for(user, &words, operation != NULL ? operation : say_many(user, &words), EXPECT_ANSWER);
    } else if ((draw -= mix->many) < mix->transactions) {
        request_transaction(user);
    } else if ((draw -= mix->transactions) < mix->scans) {
        request_scan(user);
    } else if ((draw -= mix->scans) < mix->sizes) {
        user_ask_size(user);
    } else if ((draw -= mix->sizes) < mix->flushes) {
        request_flush(user);
    } else if ((draw - mix->flushes) < mix->waits) {
        request_wait(user);
    } else {
        request_look(user);
    }
}
