/* workload.c - scripts, and what requests look like on the wire.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/workload.h"

#include <ctype.h>
#include <stdio.h>

#define WORDS_FIRST 64
#define INLINE_MAX  4000

/* ---- Drafts ---- */

void draft_word(struct draft *draft, const void *data, size_t size) {
    if (draft->argc == draft->capacity) {
        uint32_t capacity = draft->capacity == 0 ? WORDS_FIRST : draft->capacity * 2;
        draft->ends = mem_resize(draft->mem, draft->ends, draft->capacity * sizeof *draft->ends,
                                 capacity * sizeof *draft->ends);
        draft->argv = mem_resize(draft->mem, draft->argv, draft->capacity * sizeof *draft->argv,
                                 capacity * sizeof *draft->argv);
        CHECK(draft->ends != NULL && draft->argv != NULL);
        draft->capacity = capacity;
    }
    CHECK(buffer_append(&draft->bytes, data, size));
    draft->ends[draft->argc++] = draft->bytes.size;
}

void draft_text(struct draft *draft, const char *text) {
    draft_word(draft, text, strlen(text));
}

void draft_integer(struct draft *draft, int64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)number);
    draft_text(draft, text);
}

static void draft_begin(struct draft *draft) {
    buffer_clear(&draft->bytes);
    buffer_clear(&draft->wire);
    draft->argc = 0;
    draft->kind = SAYING_PLAIN;
    draft->error = NULL;
    draft->is_inline = false;
}

static void draft_point(struct draft *draft) {
    for (uint32_t i = 0; i < draft->argc; i++) {
        size_t begin = i == 0 ? 0 : draft->ends[i - 1];
        draft->argv[i] = (struct argument){.data = draft->bytes.data + begin,
                                           .size = (uint32_t)(draft->ends[i] - begin),
                                           .slot = ARGUMENT_NOT_PLACED};
    }
}

static void wire_plain(struct draft *draft) {
    CHECK(buffer_append_format(&draft->wire, "*%u\r\n", draft->argc));
    for (uint32_t i = 0; i < draft->argc; i++) {
        CHECK(buffer_append_format(&draft->wire, "$%u\r\n", draft->argv[i].size));
        CHECK(buffer_append(&draft->wire, draft->argv[i].data, draft->argv[i].size));
        CHECK(buffer_append(&draft->wire, "\r\n", 2));
    }
}

static bool is_bare_word(const struct argument *word) {
    for (uint32_t i = 0; i < word->size; i++)
        if (!isalnum(word->data[i]) && word->data[i] != ':' && word->data[i] != '-' && word->data[i] != '.')
            return false;
    return word->size != 0;
}

static void wire_quoted(struct draft *draft, const struct argument *word) {
    CHECK(buffer_append_text(&draft->wire, "\""));
    for (uint32_t i = 0; i < word->size; i++) {
        uint8_t byte = word->data[i];
        if (byte == '"' || byte == '\\')
            CHECK(buffer_append_format(&draft->wire, "\\%c", byte));
        else if (byte == '\n')
            CHECK(buffer_append_text(&draft->wire, "\\n"));
        else if (isprint(byte))
            CHECK(buffer_append_byte(&draft->wire, byte));
        else
            CHECK(buffer_append_format(&draft->wire, "\\x%02X", byte));
    }
    CHECK(buffer_append_text(&draft->wire, "\""));
}

static void wire_inline(struct draft *draft, struct rng *rng) {
    draft->is_inline = true;
    for (uint32_t i = 0; i < draft->argc; i++) {
        if (i != 0)
            CHECK(buffer_append_text(&draft->wire, chance_permille(rng, 900) ? " " : "  \t"));
        if (is_bare_word(&draft->argv[i]))
            CHECK(buffer_append(&draft->wire, draft->argv[i].data, draft->argv[i].size));
        else
            wire_quoted(draft, &draft->argv[i]);
    }
    CHECK(buffer_append_text(&draft->wire, chance_permille(rng, 500) ? "\r\n" : "\n"));
}

/* ---- What is no request ---- */

struct bad_bytes {
    const char *bytes, *error;
};

static const struct bad_bytes bad_bytes[] = {
    {"*abc\r\n", "invalid multibulk length"},
    {"*1048577\r\n", "invalid multibulk length"},
    {"*99999999999999999999\r\n", "invalid multibulk length"},
    {"*1\r\n+PING\r\n", "expected '$', got '+'"},
    {"*2\r\n$4\r\nPING\r\nxyz\r\n", "expected '$', got 'x'"},
    {"*1\r\n$-1\r\n", "invalid bulk length"},
    {"*1\r\n$536870913\r\n", "invalid bulk length"},
    {"*2\r\n$3\r\nGET\r\n$4x\r\nabcd\r\n", "invalid bulk length"},
    {"*1\r\n$4\r\nPINGxx", "expected CRLF after an argument"},
    {"SET \"abc\r\n", "unbalanced quotes in request"},
    {"GET 'a'b\r\n", "unbalanced quotes in request"},
};

static void draft_malformed(struct draft *draft, struct rng *rng) {
    draft->kind = SAYING_MALFORMED;
    uint64_t chosen = rng_below(rng, sizeof bad_bytes / sizeof *bad_bytes + 1);
    if (chosen == sizeof bad_bytes / sizeof *bad_bytes) {
        for (unsigned i = 0; i < 65536; i++)
            CHECK(buffer_append_byte(&draft->wire, 'a'));
        draft->error = "too big inline request";
        return;
    }
    CHECK(buffer_append_text(&draft->wire, bad_bytes[chosen].bytes));
    draft->error = bad_bytes[chosen].error;
}

/* Headers that promise much, and then nothing. */
static void draft_partial(struct draft *draft, struct rng *rng) {
    static const char *const bytes[] = {"*1\r\n$536870912\r\n",
                                        "*1000000\r\n",
                                        "*3\r\n$3\r\nSET\r\n$400000000\r\nx",
                                        "*2\r\n$4\r\nPING\r\n$",
                                        "GET a",
                                        "*1000000\r\n$500000000\r\n",
                                        "*"};
    draft->kind = SAYING_PARTIAL;
    CHECK(buffer_append_text(&draft->wire, bytes[rng_below(rng, sizeof bytes / sizeof *bytes)]));
}

static void draft_empty(struct draft *draft, struct rng *rng) {
    static const char *const bytes[] = {"\r\n", "\n", "*0\r\n", "*-1\r\n", "   \r\n"};
    draft->kind = SAYING_EMPTY;
    CHECK(buffer_append_text(&draft->wire, bytes[rng_below(rng, sizeof bytes / sizeof *bytes)]));
}

/* ---- Scripts ---- */

void script_init(struct script *script, struct mem *mem) {
    *script = (struct script){.is_new = true};
    buffer_init(&script->scan_cursor, mem);
    buffer_init(&script->payload, mem);
}

void script_release(struct script *script) {
    buffer_release(&script->scan_cursor);
    buffer_release(&script->payload);
}

static bool is_named(const struct saying *request, const char *name) {
    return request->kind == SAYING_PLAIN && request->argc != 0 && argument_is(&request->argv[0], name);
}

void script_answered(struct script *script, const struct saying *request, const uint8_t *reply, size_t size) {
    const uint8_t *data;
    size_t data_size, first;
    uint64_t count;
    if (is_named(request, "dump") && reply_bulk_value(reply, size, &data, &data_size)) {
        buffer_clear(&script->payload);
        CHECK(buffer_append(&script->payload, data, data_size));
    } else if (is_named(request, "scan") && script->scan_waits) {
        script->scan_waits = script->scan_goes_on = false;
        if (!reply_elements(reply, size, &count, &first) || count != 2)
            return;
        size_t taken = reply_measure(reply + first, size - first, 0);
        if (!reply_bulk_value(reply + first, taken, &data, &data_size))
            return;
        script->scan_goes_on = data_size != 1 || data[0] != '0';
        buffer_clear(&script->scan_cursor);
        CHECK(buffer_append(&script->scan_cursor, data, data_size));
    }
}

/* The first words on a connection. */
static void draft_greeting(struct workload *workload, struct script *script) {
    struct draft *draft = &workload->draft;
    struct rng *rng = world_random(workload->world, CHANCE_WORKLOAD);
    bool needs_password = workload->swarm->has_password;
    const char *password = chance_permille(rng, 900) ? "secret" : "wrong";
    script->is_new = false;
    if (needs_password && chance_permille(rng, 300)) {
        const char *const words[] = {"HELLO", chance_permille(rng, 800) ? "3" : "2", "AUTH", "default",
                                     password};
        for (unsigned i = 0; i < 5; i++)
            draft_text(draft, words[i]);
        if (chance_permille(rng, 500)) {
            draft_text(draft, "SETNAME");
            draft_text(draft, chance_permille(rng, 900) ? "simulated" : "bad name");
        }
        return;
    }
    if (needs_password && chance_permille(rng, 900)) {
        draft_text(draft, "AUTH");
        if (chance_permille(rng, 200))
            draft_text(draft, "default");
        draft_text(draft, password);
        return;
    }
    if (workload->swarm->mix.introspection != 0 && chance_permille(rng, 30)) {
        draft_text(draft, "MONITOR");
        script->listens_only = true;
        return;
    }
    draft_text(draft, "HELLO");
    draft_integer(draft, chance_permille(rng, 500) ? 3 : 2);
}

static void draft_watch(struct workload *workload) {
    struct rng *rng = world_random(workload->world, CHANCE_WORKLOAD);
    draft_text(&workload->draft, "WATCH");
    for (uint64_t i = chance_between(rng, 1, 3); i > 0; i--)
        workload_key(workload);
}

static void draft_scan(struct workload *workload, struct script *script, bool goes_on) {
    struct draft *draft = &workload->draft;
    struct rng *rng = world_random(workload->world, CHANCE_WORKLOAD);
    draft_text(draft, "SCAN");
    if (goes_on)
        draft_word(draft, script->scan_cursor.data, script->scan_cursor.size);
    else
        draft_text(draft, "0");
    if (chance_permille(rng, 500)) {
        draft_text(draft, "COUNT");
        draft_integer(draft, (int64_t)chance_magnitude(rng, 1, 1000));
    }
    if (chance_permille(rng, 50)) {
        draft_text(draft, "MATCH");
        draft_text(draft, chance_permille(rng, 500) ? "*1*" : "k?");
    }
    if (chance_permille(rng, 50)) {
        draft_text(draft, "TYPE");
        draft_text(draft, chance_permille(rng, 800) ? "string" : "list");
    }
    script->scan_waits = true;
    script->scan_goes_on = false;
}

static void draft_kill(struct draft *draft, struct rng *rng, uint64_t some_id) {
    draft_text(draft, "CLIENT");
    draft_text(draft, "KILL");
    draft_text(draft, "ID");
    draft_integer(draft, (int64_t)some_id);
    if (chance_permille(rng, 500)) {
        draft_text(draft, "SKIPME");
        draft_text(draft, "no");
    }
}

static void draft_save(struct workload *workload) {
    struct draft *draft = &workload->draft;
    struct rng *rng = world_random(workload->world, CHANCE_WORKLOAD);
    if (chance_permille(rng, 200)) {
        draft_text(draft, "LASTSAVE");
    } else if (workload->swarm->mix.waits_for_saves && chance_permille(rng, 400)) {
        draft_text(draft, "SAVE");
    } else {
        draft_text(draft, "BGSAVE");
        if (chance_permille(rng, 300))
            draft_text(draft, chance_permille(rng, 900) ? "SCHEDULE" : "NOW");
    }
}

/* Steps of a transaction, a SCAN or a silence that goes on. false: there is none to take now. */
static bool draft_continuation(struct workload *workload, struct script *script, uint64_t some_id) {
    struct draft *draft = &workload->draft;
    struct rng *rng = world_random(workload->world, CHANCE_WORKLOAD);
    if (script->in_multi) {
        if (script->queued_left-- > 0) {
            if (chance_permille(rng, 40 * workload->swarm->mix.kills))
                draft_kill(draft, rng, some_id);
            else if (workload->swarm->mix.saves != 0 && chance_permille(rng, 20))
                draft_save(workload);
            else
                workload_call(workload, script);
            return true;
        }
        draft_text(draft, chance_permille(rng, 900) ? "EXEC" : "DISCARD");
        script->in_multi = script->is_watching = false;
        return true;
    }
    if (script->is_watching && chance_permille(rng, 700)) {
        draft_text(draft, "MULTI");
        script->in_multi = true;
        script->queued_left = (uint32_t)chance_between(rng, 0, 8);
        return true;
    }
    if (script->is_silent && chance_permille(rng, 200)) {
        draft_text(draft, "CLIENT");
        draft_text(draft, "REPLY");
        draft_text(draft, "ON");
        script->is_silent = false;
        return true;
    }
    if (script->wave_next < script->wave_end && chance_permille(rng, 950)) {
        workload_wave(workload, script);
        return true;
    }
    if (script->scan_goes_on && !script->scan_waits && chance_permille(rng, 500)) {
        draft_scan(workload, script, true);
        return true;
    }
    return false;
}

static void draft_silence(struct draft *draft, struct script *script, struct rng *rng) {
    draft_text(draft, "CLIENT");
    draft_text(draft, "REPLY");
    script->is_silent = chance_permille(rng, 300);
    draft_text(draft, script->is_silent ? "OFF" : "SKIP");
}

static void draft_pause(struct draft *draft, struct rng *rng) {
    draft_text(draft, "CLIENT");
    if (chance_permille(rng, 300)) {
        draft_text(draft, "UNPAUSE");
        return;
    }
    draft_text(draft, "PAUSE");
    draft_integer(draft, (int64_t)chance_magnitude(rng, 1, 2000));
    if (chance_permille(rng, 500))
        draft_text(draft, chance_permille(rng, 700) ? "WRITE" : "ALL");
}

/* The connection's state changes: another database, another protocol, another password. */
static void draft_switch(struct workload *workload) {
    struct draft *draft = &workload->draft;
    struct rng *rng = world_random(workload->world, CHANCE_WORKLOAD);
    switch (rng_below(rng, 8)) {
    case 0:
        draft_text(draft, "HELLO");
        draft_integer(draft, (int64_t)chance_between(rng, 2, 4));
        break;
    case 1: draft_text(draft, "RESET"); break;
    case 2:
        draft_text(draft, "AUTH");
        draft_text(draft, chance_permille(rng, 500) ? "secret" : "wrong");
        break;
    case 3:
        draft_text(draft, "CLIENT");
        draft_text(draft, "SETNAME");
        draft_text(draft, chance_permille(rng, 800) ? "worker" : "a b");
        break;
    case 4:
        draft_text(draft, "CLIENT");
        draft_text(draft, chance_permille(rng, 500) ? "GETNAME" : "ID");
        break;
    default:
        draft_text(draft, "SELECT");
        draft_integer(
            draft, (int64_t)rng_below(rng, workload->swarm->mix.databases + chance_permille(rng, 50) * 20));
        break;
    }
}

/* Mostly the end of the process; who says so is answered only where it does not come. */
static void draft_shutdown(struct draft *draft, struct rng *rng) {
    static const char *const words[] = {NULL, "NOSAVE", "SAVE", "ABORT", "NOW", "WHENEVER"};
    const char *word = words[rng_below(rng, sizeof words / sizeof *words)];
    draft_text(draft, "SHUTDOWN");
    if (word != NULL)
        draft_text(draft, word);
}

/* Something besides ordinary commands; false: an ordinary one is to come. */
static bool draft_unusual(struct workload *workload, struct script *script, uint64_t some_id) {
    struct draft *draft = &workload->draft;
    const struct workload_mix *mix = &workload->swarm->mix;
    struct rng *rng = world_random(workload->world, CHANCE_WORKLOAD);
    uint64_t place = rng_below(rng, 2000);
    uint64_t shares[] = {mix->malformed, mix->partial,  mix->transactions, mix->scans,    mix->introspection,
                         mix->switches,  mix->kills,    mix->pauses,       mix->silences, 2,
                         mix->saves,     mix->shutdowns};
    unsigned chosen = 0;
    while (chosen < sizeof shares / sizeof *shares && place >= shares[chosen])
        place -= shares[chosen++];
    switch (chosen) {
    case 0:
        draft_malformed(draft, rng);
        script->is_over = true;
        return true;
    case 1:
        draft_partial(draft, rng);
        script->is_over = true;
        return true;
    case 2:
        script->is_watching = true;
        draft_watch(workload);
        return true;
    case 3:
        if (script->scan_waits || script->is_silent)
            return false;
        draft_scan(workload, script, false);
        return true;
    case 4: workload_introspection(workload); return true;
    case 5: draft_switch(workload); return true;
    case 6: draft_kill(draft, rng, some_id); return true;
    case 7: draft_pause(draft, rng); return true;
    case 8:
        if (script->scan_waits)
            return false; /* its answer must come */
        draft_silence(draft, script, rng);
        return true;
    case 9:
        if (chance_permille(rng, 50)) {
            draft_text(draft, "QUIT");
            script->is_over = true;
        } else {
            draft_empty(draft, rng);
        }
        return true;
    case 10: draft_save(workload); return true;
    case 11: draft_shutdown(draft, rng); return true;
    default: return false;
    }
}

/* Names are told apart by nobody's case. */
static void mix_case(struct draft *draft, struct rng *rng) {
    if (draft->argc == 0 || !chance_permille(rng, 200))
        return;
    for (size_t i = 0; i < draft->ends[0]; i++)
        if (chance_permille(rng, 500))
            draft->bytes.data[i] = (uint8_t)tolower(draft->bytes.data[i]);
}

void workload_next(struct workload *workload, struct script *script, uint64_t some_id) {
    struct draft *draft = &workload->draft;
    struct rng *rng = world_random(workload->world, CHANCE_WORKLOAD);
    draft_begin(draft);
    if (script->is_new && (workload->swarm->has_password || chance_permille(rng, 400)))
        draft_greeting(workload, script);
    else if (!draft_continuation(workload, script, some_id) && !draft_unusual(workload, script, some_id))
        workload_call(workload, script);
    script->is_new = false;
    mix_case(draft, rng);
    draft_point(draft);
    if (draft->kind != SAYING_PLAIN)
        return;
    if (draft->bytes.size + draft->argc < INLINE_MAX &&
        chance_permille(rng, workload->swarm->mix.inline_form))
        wire_inline(draft, rng);
    else
        wire_plain(draft);
}

void workload_release(struct workload *workload) {
    struct draft *draft = &workload->draft;
    buffer_release(&draft->bytes);
    buffer_release(&draft->wire);
    mem_free(draft->mem, draft->ends, draft->capacity * sizeof *draft->ends);
    mem_free(draft->mem, draft->argv, draft->capacity * sizeof *draft->argv);
}

void workload_init(struct workload *workload, struct world *world, const struct swarm *swarm) {
    *workload = (struct workload){.world = world, .swarm = swarm, .draft = {.mem = &world->mem}};
    buffer_init(&workload->draft.bytes, &world->mem);
    buffer_init(&workload->draft.wire, &world->mem);
}
