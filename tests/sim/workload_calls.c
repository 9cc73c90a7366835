/* workload_calls.c - ordinary commands with random words, right and wrong ones.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/workload.h"

#include <stdio.h>

#define BULK_KEYS 1000
/* About where a record becomes long for a checkpoint, and beyond. */
#define LONG_FIRST 65000
#define LONG_LAST  200000
/* More than a background step takes. */
#define WAVE_KEYS 500

static struct rng *dice(struct workload *workload) {
    return world_random(workload->world, CHANCE_WORKLOAD);
}

static bool sometimes(struct workload *workload, uint32_t permille) {
    return chance_permille(dice(workload), permille);
}

static void text(struct workload *workload, const char *word) {
    draft_text(&workload->draft, word);
}

static void number(struct workload *workload, int64_t value) {
    draft_integer(&workload->draft, value);
}

static const char *one_of(struct workload *workload, const char *const *words, size_t count) {
    return words[rng_below(dice(workload), count)];
}

#define ONE_OF(workload, words) one_of(workload, words, sizeof(words) / sizeof *(words))

/* ---- Keys and values ---- */

void workload_key(struct workload *workload) {
    const struct workload_mix *mix = &workload->swarm->mix;
    uint32_t index = (uint32_t)chance_skewed(dice(workload), mix->keys);
    char key[400];
    int size;
    if (index == 7)
        size = 0;
    else if (index % 64 == 5)
        size = snprintf(key, sizeof key, "k\r\n%c%u", '\0', index);
    else if (index % 32 == 3)
        size = snprintf(key, sizeof key, "%0300u", index);
    else if (mix->one_slot || index % 16 == 1)
        size = snprintf(key, sizeof key, "{tag}k%u", index);
    else
        size = snprintf(key, sizeof key, "k%u", index);
    draft_word(&workload->draft, key, (size_t)size);
}

static void long_value(struct workload *workload) {
    struct rng *rng = dice(workload);
    size_t size = chance_magnitude(rng, 1, workload->swarm->mix.value_max);
    if (sometimes(workload, workload->swarm->mix.long_values))
        size = chance_between(rng, LONG_FIRST, LONG_LAST);
    uint8_t bytes[2048];
    uint64_t seed = rng_next64(rng);
    struct buffer value;
    buffer_init(&value, &workload->world->mem);
    for (size_t at = 0; at < size; at += sizeof bytes) {
        size_t part = size - at < sizeof bytes ? size - at : sizeof bytes;
        for (size_t i = 0; i < part; i++)
            bytes[i] = (uint8_t)((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 56);
        CHECK(buffer_append(&value, bytes, part));
    }
    draft_word(&workload->draft, value.data, value.size);
    buffer_release(&value);
}

static void value(struct workload *workload) {
    struct rng *rng = dice(workload);
    char word[64];
    uint64_t kind = rng_below(rng, 100);
    workload->values++;
    if (kind < 30) {
        number(workload, (int64_t)chance_magnitude(rng, 1, 1000000) * (sometimes(workload, 100) ? -1 : 1));
    } else if (kind < 70) {
        snprintf(word, sizeof word, "v%llu", (unsigned long long)workload->values);
        text(workload, word);
    } else if (kind < 75) {
        snprintf(word, sizeof word, "%lld.%02llu", (long long)rng_below(rng, 1000),
                 (unsigned long long)rng_below(rng, 100));
        text(workload, word);
    } else if (kind < 77) {
        static const char *const odd[] = {"",
                                          "9223372036854775807",
                                          "-9223372036854775808",
                                          "9223372036854775808",
                                          "0",
                                          "-0",
                                          "007",
                                          " 1",
                                          "1e5",
                                          "inf",
                                          "nan",
                                          "3.0"};
        text(workload, ONE_OF(workload, odd));
    } else {
        long_value(workload);
    }
}

/* An integer argument: mostly a good one. */
static void integer(struct workload *workload, int64_t least, int64_t most) {
    static const char *const odd[] = {"9223372036854775807",
                                      "-9223372036854775808",
                                      "9223372036854775808",
                                      "x",
                                      "",
                                      "1.5",
                                      "-1",
                                      "0",
                                      "+1",
                                      "1 "};
    if (sometimes(workload, 30))
        text(workload, ONE_OF(workload, odd));
    else
        number(workload, least + (int64_t)rng_below(dice(workload), (uint64_t)(most - least) + 1));
}

/* A time to live in ms or s, or the moment in ms or s. */
static void ttl(struct workload *workload, bool in_seconds, bool is_absolute) {
    uint32_t most_ms = workload->swarm->mix.expiry_max_ms;
    int64_t time_ms = (int64_t)chance_magnitude(dice(workload), 1, most_ms);
    if (is_absolute)
        time_ms += world_wall_us(workload->world) / 1000;
    if (sometimes(workload, 30))
        integer(workload, -10, 10);
    else
        number(workload, in_seconds ? (time_ms + 999) / 1000 : time_ms);
}

/* EX n, PX n, EXAT n or PXAT n. */
static void expiry_option(struct workload *workload) {
    static const char *const words[] = {"EX", "PX", "EXAT", "PXAT"};
    uint64_t chosen = rng_below(dice(workload), 4);
    text(workload, words[chosen]);
    if (!sometimes(workload, 10))
        ttl(workload, chosen % 2 == 0, chosen >= 2);
}

/* ---- Commands ---- */

static void keys_of(struct workload *workload, uint64_t most) {
    if (sometimes(workload, workload->swarm->mix.long_calls))
        most *= 40;
    for (uint64_t i = chance_magnitude(dice(workload), 1, most); i > 0; i--)
        workload_key(workload);
}

static void call_set(struct workload *workload) {
    static const char *const words[] = {"NX", "XX", "GET", "KEEPTTL", "nx", "BAD"};
    text(workload, "SET");
    workload_key(workload);
    value(workload);
    if (sometimes(workload, 200))
        expiry_option(workload);
    while (sometimes(workload, 200))
        text(workload, ONE_OF(workload, words));
    if (sometimes(workload, workload->swarm->mix.expiry_heavy))
        expiry_option(workload);
}

static void call_setex(struct workload *workload) {
    bool in_seconds = sometimes(workload, 500);
    text(workload, in_seconds ? "SETEX" : "PSETEX");
    workload_key(workload);
    ttl(workload, in_seconds, false);
    value(workload);
}

static void call_key_value(struct workload *workload) {
    static const char *const words[] = {"SETNX", "GETSET", "APPEND", "APPEND"};
    text(workload, ONE_OF(workload, words));
    workload_key(workload);
    value(workload);
}

static void call_read(struct workload *workload) {
    static const char *const words[] = {"GET",  "GET",  "GET",        "GET",         "STRLEN", "TTL",
                                        "PTTL", "TYPE", "EXPIRETIME", "PEXPIRETIME", "DUMP"};
    text(workload, ONE_OF(workload, words));
    workload_key(workload);
}

static void call_object(struct workload *workload) {
    static const char *const words[] = {"ENCODING", "REFCOUNT", "IDLETIME", "FREQ"};
    text(workload, "OBJECT");
    text(workload, ONE_OF(workload, words));
    workload_key(workload);
}

static void call_getex(struct workload *workload) {
    text(workload, "GETEX");
    workload_key(workload);
    if (sometimes(workload, 300))
        text(workload, "PERSIST");
    else if (sometimes(workload, 700))
        expiry_option(workload);
}

static void call_one_key(struct workload *workload) {
    static const char *const words[] = {"INCR", "DECR", "INCR", "DECR", "GETDEL", "PERSIST"};
    text(workload, ONE_OF(workload, words));
    workload_key(workload);
}

static void call_increment(struct workload *workload) {
    static const char *const words[] = {"INCRBY", "DECRBY"};
    text(workload, ONE_OF(workload, words));
    workload_key(workload);
    integer(workload, -100000, 100000);
}

static void call_incrbyfloat(struct workload *workload) {
    static const char *const words[] = {"1",     "0.5", "-1.25", "3.14159",      "1e3",
                                        "1e-10", "inf", "x",     "100000000000", "-0.1"};
    text(workload, "INCRBYFLOAT");
    workload_key(workload);
    text(workload, ONE_OF(workload, words));
}

static void call_range(struct workload *workload) {
    text(workload, sometimes(workload, 900) ? "GETRANGE" : "SUBSTR");
    workload_key(workload);
    integer(workload, -20, 40);
    integer(workload, -20, 40);
}

static void call_setrange(struct workload *workload) {
    text(workload, "SETRANGE");
    workload_key(workload);
    integer(workload, 0, (int64_t)chance_magnitude(dice(workload), 1, workload->swarm->mix.value_max));
    value(workload);
}

static void call_pairs(struct workload *workload) {
    text(workload, sometimes(workload, 700) ? "MSET" : "MSETNX");
    uint64_t most = sometimes(workload, workload->swarm->mix.long_calls) ? 200 : 6;
    for (uint64_t i = chance_magnitude(dice(workload), 1, most); i > 0; i--) {
        workload_key(workload);
        value(workload);
    }
    if (sometimes(workload, 20))
        workload_key(workload);
}

static void call_keys(struct workload *workload) {
    static const char *const words[] = {"MGET", "DEL", "UNLINK", "EXISTS", "TOUCH"};
    text(workload, ONE_OF(workload, words));
    keys_of(workload, 8);
}

static void call_two_keys(struct workload *workload) {
    static const char *const words[] = {"RENAME", "RENAMENX", "COPY", "LCS"};
    const char *word = ONE_OF(workload, words);
    if (strcmp(word, "LCS") == 0 &&
        (workload->swarm->mix.value_max > 200 || workload->swarm->mix.long_values != 0))
        word = "COPY"; /* the model's table would be too large */
    text(workload, word);
    workload_key(workload);
    workload_key(workload);
    if (strcmp(word, "COPY") == 0 && sometimes(workload, 400))
        text(workload, "REPLACE");
    if (strcmp(word, "COPY") == 0 && sometimes(workload, 200)) {
        text(workload, "DB");
        integer(workload, 0, workload->swarm->mix.databases - 1);
    }
    if (strcmp(word, "LCS") == 0 && sometimes(workload, 300))
        text(workload, sometimes(workload, 500) ? "LEN" : "IDX");
    if (strcmp(word, "LCS") == 0 && sometimes(workload, 200)) {
        text(workload, "WITHMATCHLEN");
        text(workload, "MINMATCHLEN");
        integer(workload, 0, 4);
    }
}

static void call_expire(struct workload *workload) {
    static const char *const words[] = {"EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"};
    static const char *const options[] = {"NX", "XX", "GT", "LT", "WHAT"};
    uint64_t chosen = rng_below(dice(workload), 4);
    text(workload, words[chosen]);
    workload_key(workload);
    ttl(workload, chosen % 2 == 0, chosen >= 2);
    while (sometimes(workload, 150))
        text(workload, ONE_OF(workload, options));
}

static void call_bit(struct workload *workload) {
    bool sets = sometimes(workload, 500);
    text(workload, sets ? "SETBIT" : "GETBIT");
    workload_key(workload);
    integer(workload, 0,
            (int64_t)chance_magnitude(dice(workload), 1, 8 * (uint64_t)workload->swarm->mix.value_max));
    if (sets)
        integer(workload, 0, 1);
}

static void call_bit_range(struct workload *workload) {
    bool counts = sometimes(workload, 500);
    text(workload, counts ? "BITCOUNT" : "BITPOS");
    workload_key(workload);
    if (!counts)
        integer(workload, 0, 1);
    if (sometimes(workload, 600)) {
        integer(workload, -20, 40);
        if (counts || sometimes(workload, 700))
            integer(workload, -20, 80);
        if (sometimes(workload, 300))
            text(workload, sometimes(workload, 500) ? "BIT" : "BYTE");
    }
}

static void call_bitop(struct workload *workload) {
    static const char *const words[] = {"AND", "OR", "XOR", "NOT"};
    text(workload, "BITOP");
    text(workload, ONE_OF(workload, words));
    workload_key(workload);
    keys_of(workload, 4);
}

static void call_bitfield(struct workload *workload) {
    static const char *const overflow[] = {"WRAP", "SAT", "FAIL", "NONE"};
    static const char *const actions[] = {"GET", "SET", "INCRBY"};
    bool reads_only = sometimes(workload, 200);
    text(workload, reads_only ? "BITFIELD_RO" : "BITFIELD");
    workload_key(workload);
    for (uint64_t i = chance_between(dice(workload), 1, 4); i > 0; i--) {
        char type[16];
        uint64_t action = reads_only && !sometimes(workload, 50) ? 0 : rng_below(dice(workload), 3);
        if (!reads_only && sometimes(workload, 300)) {
            text(workload, "OVERFLOW");
            text(workload, ONE_OF(workload, overflow));
        }
        bool is_signed = sometimes(workload, 500);
        snprintf(type, sizeof type, "%c%u", is_signed ? 'i' : 'u',
                 (unsigned)chance_between(dice(workload), 1, sometimes(workload, 20) ? 66 : 63));
        text(workload, actions[action]);
        text(workload, type);
        if (sometimes(workload, 200))
            text(workload, "#2");
        else
            integer(workload, 0, 200);
        if (action != 0)
            integer(workload, -1000, 1000);
    }
}

static void call_whole(struct workload *workload) {
    static const char *const words[] = {"DBSIZE", "RANDOMKEY", "PING", "PING", "DBSIZE"};
    text(workload, ONE_OF(workload, words));
}

static void call_echo(struct workload *workload) {
    text(workload, sometimes(workload, 500) ? "ECHO" : "PING");
    value(workload);
}

static void call_list(struct workload *workload) {
    static const char *const patterns[] = {"*", "k*", "*1*", "k?", "nothing", "", "{tag}*", "k[1-3]"};
    text(workload, "KEYS");
    text(workload, ONE_OF(workload, patterns));
}

static void call_move(struct workload *workload) {
    text(workload, "MOVE");
    workload_key(workload);
    integer(workload, 0, workload->swarm->mix.databases - 1);
}

static void call_restore(struct workload *workload, const struct script *script) {
    text(workload, "RESTORE");
    workload_key(workload);
    bool is_absolute = sometimes(workload, 200);
    if (sometimes(workload, 600))
        text(workload, "0");
    else
        ttl(workload, false, is_absolute);
    if (script->payload.size != 0 && sometimes(workload, 900))
        draft_word(&workload->draft, script->payload.data, script->payload.size);
    else
        value(workload);
    if (sometimes(workload, 600))
        text(workload, "REPLACE");
    if (is_absolute)
        text(workload, "ABSTTL");
    if (sometimes(workload, 50)) {
        text(workload, "IDLETIME");
        integer(workload, 0, 100000);
    }
}

static void call_flush(struct workload *workload) {
    switch (rng_below(dice(workload), 4)) {
    case 0: text(workload, "FLUSHALL"); break;
    case 1:
        text(workload, "SWAPDB");
        integer(workload, 0, workload->swarm->mix.databases - 1);
        integer(workload, 0, workload->swarm->mix.databases - 1);
        return;
    default: text(workload, "FLUSHDB"); break;
    }
    if (sometimes(workload, 300))
        text(workload, sometimes(workload, 700) ? "ASYNC" : "SYNC");
}

static void call_unknown(struct workload *workload) {
    static const char *const words[] = {"NOSUCHCOMMAND", "LPUSH", "", "get\r\n", "SETT", "HGETALL"};
    text(workload, ONE_OF(workload, words));
    for (uint64_t i = rng_below(dice(workload), 4); i > 0; i--)
        value(workload);
}

/* MULTI at any time, too; but not where replies may be turned off, which in a transaction makes a hole in its answer. */
static void call_too_few(struct workload *workload) {
    static const char *const words[] = {"MULTI", "GET",   "SET",  "MGET",    "EXPIRE", "APPEND",
                                        "SCAN",  "WATCH", "EXEC", "DISCARD", "UNWATCH"};
    uint64_t first = workload->swarm->mix.silences != 0;
    text(workload, words[chance_between(dice(workload), first, sizeof words / sizeof *words - 1)]);
}

static void bulk_key(struct workload *workload, uint64_t index) {
    char key[48];
    snprintf(key, sizeof key, "%s%llu", workload->swarm->mix.one_slot ? "{tag}bulk" : "bulk",
             (unsigned long long)index);
    text(workload, key);
}

/* Thousands of small keys at once: tables grow, expiry and emptying have work to do. */
static void call_bulk_load(struct workload *workload, struct script *script) {
    uint64_t first = rng_below(dice(workload), 8) * BULK_KEYS;
    bool removes = sometimes(workload, 300);
    text(workload, removes ? "UNLINK" : "MSET");
    for (unsigned i = 0; i < BULK_KEYS; i++) {
        bulk_key(workload, first + i);
        if (!removes)
            text(workload, "x");
    }
    if (removes || !sometimes(workload, 800))
        return;
    script->wave_next = first;
    script->wave_end = first + WAVE_KEYS;
    script->wave_ms =
        world_wall_us(workload->world) / 1000 + (int64_t)chance_magnitude(dice(workload), 50, 5000);
}

void workload_wave(struct workload *workload, struct script *script) {
    text(workload, "PEXPIREAT");
    bulk_key(workload, script->wave_next++);
    number(workload, script->wave_ms);
}

static const struct {
    uint32_t weight;
    void (*draw)(struct workload *workload);
} calls[] = {
    {150, call_set},        {40, call_setex},    {60, call_key_value}, {200, call_read},
    {15, call_object},      {25, call_getex},    {80, call_one_key},   {30, call_increment},
    {15, call_incrbyfloat}, {25, call_range},    {25, call_setrange},  {50, call_pairs},
    {70, call_keys},        {40, call_two_keys}, {50, call_expire},    {40, call_bit},
    {20, call_bit_range},   {15, call_bitop},    {20, call_bitfield},  {15, call_whole},
    {10, call_echo},        {4, call_list},      {10, call_move},      {5, call_too_few},
};
#define CALLS (sizeof calls / sizeof *calls)

void workload_call(struct workload *workload, struct script *script) {
    const struct workload_mix *mix = &workload->swarm->mix;
    if (sometimes(workload, mix->flushes)) {
        call_flush(workload);
    } else if (sometimes(workload, mix->unknown_words)) {
        call_unknown(workload);
    } else if (sometimes(workload, mix->bulk_loads)) {
        call_bulk_load(workload, script);
    } else if (sometimes(workload, mix->expiry_heavy)) {
        call_expire(workload);
    } else if (sometimes(workload, 15)) {
        call_restore(workload, script);
    } else {
        if (workload->total_weight == 0)
            for (unsigned i = 0; i < CALLS; i++)
                workload->total_weight += calls[i].weight;
        uint64_t place = rng_below(dice(workload), workload->total_weight);
        unsigned chosen = 0;
        while (place >= calls[chosen].weight)
            place -= calls[chosen++].weight;
        calls[chosen].draw(workload);
    }
}

/* Commands that only look. What they answer is nobody's business here, as long as it is an answer. */
void workload_introspection(struct workload *workload) {
    static const char *const lines[][4] = {
        {"INFO"},
        {"INFO", "everything"},
        {"INFO", "commandstats"},
        {"COMMAND", "COUNT"},
        {"COMMAND", "INFO", "get", "nosuch"},
        {"COMMAND", "DOCS", "set"},
        {"COMMAND", "LIST"},
        {"COMMAND", "GETKEYS", "GET", "a"},
        {"CONFIG", "GET", "max*"},
        {"CLIENT", "LIST"},
        {"CLIENT", "INFO"},
        {"CLIENT", "NO-TOUCH", "on"},
        {"CLIENT", "SETINFO", "lib-name", "sim"},
        {"SLOWLOG", "GET"},
        {"SLOWLOG", "LEN"},
        {"SLOWLOG", "RESET"},
        {"LATENCY", "LATEST"},
        {"LATENCY", "HISTOGRAM", "get"},
        {"LATENCY", "HISTORY", "command"},
        {"LATENCY", "RESET"},
        {"LATENCY", "DOCTOR"},
        {"MEMORY", "USAGE", "k1"},
        {"MEMORY", "STATS"},
        {"MEMORY", "DOCTOR"},
        {"TIME"},
        {"ROLE"},
        {"LOLWUT"},
        {"WAIT", "0", "0"},
        {"OBJECT", "HELP"},
        {"DEBUG", "SLEEP", "0"},
        {"CONFIG", "RESETSTAT"},
    };
    const char *const *line = lines[rng_below(dice(workload), sizeof lines / sizeof *lines)];
    for (unsigned i = 0; i < 4 && line[i] != NULL; i++)
        text(workload, line[i]);
}
