/* allocations.c - one small node for each allocation that is to fail.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/allocations.h"

#include "node/state.h"
#include "proto/record_codec.h"
#include "sim/invariants.h"
#include "sim/poor_host.h"
#include "sim/reply_reader.h"
#include "sim/trace.h"

#include <stdio.h>
#include <stdlib.h>

/* A call that never comes to its end would be a loop. */
#define FAILING_MAX  2000
#define FAILURES_MAX 20
#define PIECE_SIZE   7
/* Each look at the clock: long enough that every command counts as slow. */
#define CLOCK_STEP_NS UINT64_C(2000000)

enum surroundings {
    ALONE,
    IN_RESP3,
    IN_MULTI,      /* queued, and run by EXEC */
    BEHIND_OUTPUT, /* earlier replies wait to be sent */
    IN_PIECES,     /* the request comes in two reads */
    OBSERVED,      /* somebody watches the keys, somebody monitors */
    SURROUNDINGS_COUNT
};

static const char *const surroundings_names[] = {"alone",         "in RESP3",  "in MULTI",
                                                 "behind output", "in pieces", "observed"};

/* One node with the client that makes the call. */
struct stage {
    struct mem mem;
    struct config config;
    struct node *node;
    struct session *session, *other;
    uint64_t clock_ns;
    struct buffer payload; /* what $DUMP stands for */
    struct mem own_mem;
};

/* What a call did. */
struct outcome {
    struct buffer replies;
    uint64_t keys, session, config; /* fingerprints afterwards */
    bool is_closed, is_killed;
    bool failed; /* an allocation did */
};

/* What is done behind everybody's back after an allocation has failed, to see that it is found out. */
typedef void saboteur(struct stage *stage, struct outcome *outcome);

/* ---- The host ---- */

static uint64_t host_clock_ns(void *context) {
    struct stage *stage = context;
    return stage->clock_ns += CLOCK_STEP_NS;
}

static void host_log(void *context, enum node_log_level level, const char *text) {
    (void)context;
    (void)level;
    (void)text;
}

static bool host_config_read(void *context, struct buffer *text, char error[256]) {
    (void)context;
    error[0] = '\0';
    return buffer_append_text(text, "# a file\nport 7000\ntimeout 3\n");
}

static bool host_config_write(void *context, const void *text, size_t size, char error[256]) {
    (void)context;
    (void)text;
    (void)size;
    error[0] = '\0';
    return true;
}

static void host_sleep_us(void *context, uint64_t us) {
    (void)context;
    (void)us;
}

static struct node_options options_of(struct stage *stage, struct node_host *host) {
    *host = (struct node_host){.context = stage,
                               .clock_ns = host_clock_ns,
                               .thread_cpu_ns = host_clock_ns,
                               .log = host_log,
                               .sleep_us = host_sleep_us};
    poor_host_fill(host);
    host->config_read = host_config_read;
    host->config_write = host_config_write;
    return (struct node_options){.mem = &stage->mem,
                                 .host = host,
                                 .config = &stage->config,
                                 .hash_seed = "allocations",
                                 .random_seed = 1,
                                 .monotonic_ns = stage->clock_ns,
                                 .wall_us = 1748736000000000};
}

/* ---- Requests ---- */

static void append_word(struct buffer *words, const uint8_t *data, size_t size) {
    CHECK(buffer_append_format(words, "$%zu\r\n", size) && buffer_append(words, data, size) &&
          buffer_append(words, "\r\n", 2));
}

/* The next word of a line, unquoted. false: there is none. */
static bool next_word(const char **at, char *word, size_t room, size_t *size) {
    while (**at == ' ')
        ++*at;
    if (**at == '\0' || **at == '\n')
        return false;
    bool is_quoted = **at == '"';
    *at += is_quoted;
    *size = 0;
    while (**at != '\0' && **at != '\n' && **at != (is_quoted ? '"' : ' ')) {
        CHECK(*size < room);
        word[(*size)++] = *(*at)++;
    }
    *at += is_quoted;
    return true;
}

/* Appends one line as a request; returns where the next line begins, NULL at the end. */
static const char *append_line(const struct stage *stage, struct buffer *out, const char *line) {
    char word[2048];
    size_t size;
    unsigned count = 0;
    struct buffer words;
    buffer_init(&words, out->mem);
    while (next_word(&line, word, sizeof word, &size)) {
        if (size == 5 && memcmp(word, "$DUMP", 5) == 0)
            append_word(&words, stage->payload.data, stage->payload.size);
        else
            append_word(&words, (const uint8_t *)word, size);
        count++;
    }
    CHECK(buffer_append_format(out, "*%u\r\n", count) && buffer_append(out, words.data, words.size));
    buffer_release(&words);
    return *line == '\n' ? line + 1 : NULL;
}

static void append_lines(const struct stage *stage, struct buffer *out, const char *lines) {
    while (lines != NULL)
        lines = append_line(stage, out, lines);
}

/* ---- The stage ---- */

/* The session receives bytes, as far as it takes them. */
static void give(struct stage *stage, struct session *session, const uint8_t *data, size_t size) {
    while (size != 0) {
        struct node_span span = node_input_space(stage->node, session);
        size_t part = span.size < size ? span.size : size;
        if (part == 0)
            return;
        memcpy(span.data, data, part);
        node_input(stage->node, session, part);
        data += part;
        size -= part;
    }
}

/* All that the session has produced and that was not taken. */
static struct node_span unsent(const struct session *session) {
    const struct buffer *out = session->reply.out;
    size_t done = out == &session->pending ? session->pending_sent : 0;
    return (struct node_span){out->data + done, out->size - done};
}

/* Takes what there is; the bytes are appended to `taken`, if it is not NULL. */
static void take(struct stage *stage, struct session *session, struct buffer *taken) {
    struct node_span span = unsent(session);
    if (taken != NULL)
        CHECK(buffer_append(taken, span.data, span.size));
    span = node_output(stage->node, session);
    if (span.size != 0)
        node_sent(stage->node, session, span.size);
}

static void say(struct stage *stage, struct session *session, const char *lines, struct buffer *taken) {
    struct buffer bytes;
    buffer_init(&bytes, &stage->own_mem);
    append_lines(stage, &bytes, lines);
    give(stage, session, bytes.data, bytes.size);
    take(stage, session, taken);
    buffer_release(&bytes);
}

static struct session *connect_client(struct stage *stage) {
    struct node_client client = {
        .descriptor = -1, .is_loopback = true, .peer_address = "127.0.0.1:1", .local_address = "127.0.0.1:2"};
    return node_accept(stage->node, &client);
}

static void make_payload(struct stage *stage) {
    struct record_parts parts = {
        .value = (const uint8_t *)"restored", .value_size = 8, .expiry_ms = RECORD_NO_EXPIRY};
    size_t size = record_dump_size(&parts);
    CHECK(buffer_reserve(&stage->payload, size));
    record_dump_write(stage->payload.data, &parts);
    stage->payload.size = size;
}

static const char config_text[] =
    "enable-debug-command yes\nslowlog-log-slower-than 0\nlatency-monitor-threshold 1\n"
    "slowlog-max-len 4\nclient-query-buffer-limit 2mb\n";

static const char keys[] =
    "SET s some-text\nSET n 10\nSET f 1.5\nSET e \"expires some day\" EX 1000\n"
    "SETRANGE long 299 z\nSETRANGE huge 99999 z\nSETBIT b 77 1\nMSET {t}0 a {t}1 b {t}2 c {t}3 d {t}4 e {t}5 f\n"
    "MSET {t}6 g {t}7 h {t}8 i";

static void stage_open(struct stage *stage) {
    struct node_host host;
    struct config_problem problem;
    *stage = (struct stage){.clock_ns = 1000000000000};
    buffer_init(&stage->payload, &stage->own_mem);
    make_payload(stage);
    CHECK(config_init(&stage->config, &stage->mem));
    CHECK(config_apply_text(&stage->config, config_text, sizeof config_text - 1, NULL, &problem));
    struct node_options options = options_of(stage, &host);
    stage->node = node_new(&options);
    CHECK(stage->node != NULL);
    stage->session = connect_client(stage);
    stage->other = connect_client(stage);
    CHECK(stage->session != NULL && stage->other != NULL);
    say(stage, stage->session, keys, NULL);
}

/* Frees everything; false: something is left. */
static bool stage_close(struct stage *stage) {
    for (struct session *session; stage->node != NULL && (session = node_first_session(stage->node)) != NULL;)
        node_close(stage->node, session);
    node_free(stage->node);
    config_release(&stage->config);
    buffer_release(&stage->payload);
    return stage->mem.used_bytes == 0 && stage->mem.allocations == 0;
}

/* ---- Fingerprints ---- */

static uint64_t session_fingerprint(const struct session *session) {
    struct trace trace = {0};
    const uint32_t lasting = SESSION_MULTI | SESSION_MULTI_BROKEN | SESSION_MONITOR | SESSION_REPLY_OFF |
                             SESSION_REPLY_SKIP | SESSION_NO_EVICT | SESSION_NO_TOUCH | SESSION_AUTHENTICATED;
    trace_number(&trace, session->flags & lasting);
    trace_number(&trace, session->database);
    trace_number(&trace, session->reply.protocol);
    trace_number(&trace, session->queued);
    trace_number(&trace, session->watcher.keys != NULL);
    trace_number(&trace, session->watcher.is_broken);
    trace_bytes(&trace, session->name.data, session->name.size);
    trace_bytes(&trace, session->library_name.data, session->library_name.size);
    trace_bytes(&trace, session->library_version.data, session->library_version.size);
    return trace.hash;
}

static void see_setting(void *context, const char *name, const char *value) {
    struct trace *trace = context;
    trace_bytes(trace, name, strlen(name));
    trace_bytes(trace, value, strlen(value));
}

static uint64_t config_fingerprint(const struct config *config) {
    struct trace trace = {0};
    struct argument everything = {.data = (const uint8_t *)"*", .size = 1};
    config_get(config, &everything, 1, see_setting, &trace);
    return trace.hash;
}

static void measure(const struct stage *stage, struct outcome *outcome) {
    outcome->keys = node_fingerprint(stage->node);
    outcome->session = session_fingerprint(stage->session);
    outcome->config = config_fingerprint(&stage->config);
    outcome->is_killed = stage->session->flags & SESSION_CLOSE_NOW;
    outcome->is_closed = outcome->is_killed || stage->session->flags & SESSION_CLOSE_AFTER_REPLY;
}

/* ---- One run ---- */

static void prepare(struct stage *stage, const struct allocation_call *call, enum surroundings surroundings) {
    if (surroundings == IN_RESP3)
        say(stage, stage->session, "HELLO 3", NULL);
    if (surroundings == OBSERVED) {
        say(stage, stage->other, "WATCH s n e long new {t}new {t}1", NULL);
        say(stage, stage->other, "MONITOR", NULL);
    }
    if (call->before != NULL)
        say(stage, stage->session, call->before, NULL);
    if (surroundings == IN_MULTI)
        say(stage, stage->session, "MULTI", NULL);
}

/* The call itself, in the way that the surroundings ask for. */
static void perform(struct stage *stage, const struct buffer *bytes, enum surroundings surroundings) {
    if (surroundings == IN_PIECES && bytes->size > PIECE_SIZE) {
        give(stage, stage->session, bytes->data, PIECE_SIZE);
        give(stage, stage->session, bytes->data + PIECE_SIZE, bytes->size - PIECE_SIZE);
    } else {
        give(stage, stage->session, bytes->data, bytes->size);
    }
}

static void end_turn(struct stage *stage, struct buffer *replies) {
    struct session *session;
    take(stage, stage->session, replies);
    while ((session = node_attention(stage->node)) != NULL)
        take(stage, session, session == stage->session ? replies : NULL);
    node_work(stage->node);
    while ((session = node_attention(stage->node)) != NULL)
        take(stage, session, session == stage->session ? replies : NULL);
}

/* Which allocation fails, and what else does. */
struct fault {
    uint64_t i; /* 0: none fails */
    bool and_later;
    saboteur *sabotage; /* NULL: nothing else */
};

static void run_call(struct stage *stage, const struct allocation_call *call, enum surroundings surroundings,
                     const struct fault *fault, struct outcome *outcome) {
    struct buffer bytes;
    size_t earlier = 0;
    buffer_init(&bytes, &stage->own_mem);
    append_lines(stage, &bytes, call->call);
    if (surroundings == IN_MULTI)
        append_lines(stage, &bytes, "EXEC");
    if (surroundings == BEHIND_OUTPUT) {
        give(stage, stage->session, (const uint8_t *)"PING\r\n", 6);
        earlier = node_output(stage->node, stage->session).size - 3;
        node_sent(stage->node, stage->session, 3);
    }
    node_turn(stage->node, stage->clock_ns, 1748736000000000);
    stage->mem.fuse = fault->i;
    stage->mem.fuse_stays_blown = fault->and_later;
    perform(stage, &bytes, surroundings);
    end_turn(stage, &outcome->replies);
    outcome->failed = fault->i != 0 && (stage->mem.fuse == 0 || (fault->and_later && stage->mem.fuse == 1));
    stage->mem.fuse = 0;
    stage->mem.fuse_stays_blown = false;
    if (outcome->failed && fault->sabotage != NULL)
        fault->sabotage(stage, outcome);
    measure(stage, outcome);
    if (!outcome->is_killed)
        buffer_consume(&outcome->replies, earlier);
    buffer_release(&bytes);
}

/* ---- What must be true afterwards ---- */

static bool contains(const struct buffer *replies, const char *text) {
    return replies->size != 0 && memmem(replies->data, replies->size, text, strlen(text)) != NULL;
}

static bool is_without_memory(const struct buffer *replies) {
    return contains(replies, "out of memory") || contains(replies, "-EXECABORT");
}

static unsigned count_replies(const struct buffer *replies) {
    unsigned count = 0;
    for (size_t at = 0; at < replies->size; count++) {
        size_t size = reply_measure(replies->data + at, replies->size - at, 0);
        if (size == 0)
            return UINT32_MAX;
        at += size;
    }
    return count;
}

static bool same_replies(const struct outcome *a, const struct outcome *b, unsigned flags) {
    if (flags & CALL_ANSWERS_VARY)
        return count_replies(&a->replies) == count_replies(&b->replies) &&
               (a->replies.size == 0 || a->replies.data[0] == b->replies.data[0]);
    return a->replies.size == b->replies.size &&
           (a->replies.size == 0 || memcmp(a->replies.data, b->replies.data, a->replies.size) == 0);
}

static bool same_state(const struct outcome *a, const struct outcome *b, unsigned flags) {
    return a->keys == b->keys && a->config == b->config &&
           (flags & CALL_PARTLY_DONE || a->session == b->session);
}

/* NULL: all is well. */
static const char *judge(const struct outcome *before, const struct outcome *done,
                         const struct outcome *outcome, unsigned flags) {
    if (outcome->is_killed && flags & CALL_IS_MANY)
        return NULL;
    if (outcome->is_killed)
        return outcome->keys != before->keys && outcome->keys != done->keys ? "keys are half-done"
               : outcome->config != before->config && outcome->config != done->config
                   ? "settings are half-done"
                   : NULL;
    unsigned count = count_replies(&outcome->replies);
    if (count == UINT32_MAX)
        return "what was answered is no reply";
    bool lacked_memory = is_without_memory(&outcome->replies) && !is_without_memory(&done->replies);
    if (same_replies(outcome, done, flags) && !lacked_memory)
        return same_state(outcome, done, flags) ? NULL : "answered as if done, and is not";
    if (!lacked_memory)
        return "answered something else";
    if (count != count_replies(&done->replies))
        return "answered another number of replies";
    if (flags & CALL_IS_MANY)
        return NULL;
    return same_state(outcome, before, flags) ? NULL
                                              : "answered that there is no memory, and something has changed";
}

/* The connection goes on where it was. */
static bool is_in_step(struct stage *stage) {
    struct buffer replies;
    bool is_fine;
    buffer_init(&replies, &stage->own_mem);
    /* Past any pause. */
    stage->clock_ns += UINT64_C(10000000000);
    node_turn(stage->node, stage->clock_ns, 1748736010000000);
    say(stage, stage->session, "CLIENT REPLY ON\nECHO in-step", &replies);
    end_turn(stage, &replies);
    is_fine = contains(&replies, "$7\r\nin-step\r\n") || contains(&replies, "+QUEUED\r\n") ||
              contains(&replies, "-NOAUTH");
    buffer_release(&replies);
    return is_fine;
}

/* ---- One call ---- */

struct trial {
    const struct allocation_call *call;
    enum surroundings surroundings;
    struct outcome before, done;
    struct mem mem; /* of the outcomes */
    struct allocation_tally *tally;
    saboteur *sabotage; /* NULL: none; what one does is found out in silence */
};

static void complain(struct trial *trial, uint64_t i, bool and_later, const char *words,
                     const struct outcome *outcome) {
    char said[200] = "";
    if (trial->sabotage != NULL)
        return;
    if (outcome != NULL)
        trace_readable(said, sizeof said, outcome->replies.data, outcome->replies.size);
    printf("FAILED allocation %llu%s of '%.60s' (%s, after '%.40s'): %s\n   answered %s\n",
           (unsigned long long)i, and_later ? " and later ones" : "", trial->call->call,
           surroundings_names[trial->surroundings], trial->call->before == NULL ? "" : trial->call->before,
           words, said);
}

/* How things are if the call does nothing. Of a transaction that is refused nothing is left, no watching either. */
static void measure_before(struct trial *trial) {
    struct stage stage;
    stage_open(&stage);
    prepare(&stage, trial->call, trial->surroundings);
    if (trial->surroundings == IN_MULTI)
        say(&stage, stage.session, "DISCARD", NULL);
    measure(&stage, &trial->before);
    stage_close(&stage);
}

/* The call with nothing failing: what it does when it is done. */
static bool run_reference(struct trial *trial) {
    struct stage stage;
    stage_open(&stage);
    prepare(&stage, trial->call, trial->surroundings);
    run_call(&stage, trial->call, trial->surroundings, &(struct fault){0}, &trial->done);
    bool is_fine = (trial->call->flags & CALL_SILENT) || count_replies(&trial->done.replies) != UINT32_MAX;
    if (!is_fine)
        complain(trial, 0, false, "the call is not answered with replies", &trial->done);
    if (!stage_close(&stage)) {
        complain(trial, 0, false, "memory is lost", NULL);
        is_fine = false;
    }
    return is_fine;
}

/* false: it is wrong, and was said. *blew: an allocation failed. */
static bool run_failing(struct trial *trial, uint64_t i, bool and_later, bool *blew) {
    struct stage stage;
    struct outcome outcome = {0};
    buffer_init(&outcome.replies, &trial->mem);
    stage_open(&stage);
    prepare(&stage, trial->call, trial->surroundings);
    struct fault fault = {.i = i, .and_later = and_later, .sabotage = trial->sabotage};
    run_call(&stage, trial->call, trial->surroundings, &fault, &outcome);
    *blew = outcome.failed;
    trial->tally->nodes++;
    trial->tally->failures += outcome.failed;
    const char *words = judge(&trial->before, &trial->done, &outcome, trial->call->flags);
    if (words == NULL && !outcome.is_closed && !is_in_step(&stage))
        words = "the connection is out of step";
    if (!stage_close(&stage) && words == NULL)
        words = "memory is lost";
    if (words != NULL)
        complain(trial, i, and_later, words, &outcome);
    buffer_release(&outcome.replies);
    return words == NULL;
}

static bool run_trial(const struct allocation_call *call, enum surroundings surroundings, saboteur *sabotage,
                      struct allocation_tally *tally) {
    struct trial trial = {.call = call, .surroundings = surroundings, .tally = tally, .sabotage = sabotage};
    buffer_init(&trial.before.replies, &trial.mem);
    buffer_init(&trial.done.replies, &trial.mem);
    measure_before(&trial);
    bool is_fine = run_reference(&trial);
    for (unsigned mode = 0; mode < 2 && is_fine; mode++) {
        bool blew = true;
        for (uint64_t i = 1; blew && is_fine; i++) {
            is_fine = run_failing(&trial, i, mode == 1, &blew);
            if (i == FAILING_MAX) {
                complain(&trial, i, mode == 1, "it never comes to an end", NULL);
                is_fine = false;
            }
        }
    }
    buffer_release(&trial.before.replies);
    buffer_release(&trial.done.replies);
    return is_fine;
}

/* ---- Starting and connecting ---- */

static bool start_failing(uint64_t i, bool and_later, bool *blew) {
    struct stage stage = {.clock_ns = 1000000000000};
    struct node_host host;
    buffer_init(&stage.payload, &stage.own_mem);
    stage.mem.fuse = i;
    stage.mem.fuse_stays_blown = and_later;
    if (config_init(&stage.config, &stage.mem)) {
        struct config_problem problem;
        struct node_options options = options_of(&stage, &host);
        config_apply_text(&stage.config, config_text, sizeof config_text - 1, NULL, &problem);
        stage.node = node_new(&options);
    }
    if (stage.node != NULL && (stage.session = connect_client(&stage)) != NULL) {
        give(&stage, stage.session, (const uint8_t *)"SET a b\r\n", 9);
        take(&stage, stage.session, NULL);
    }
    *blew = stage.mem.fuse == 0 || (and_later && stage.mem.fuse == 1);
    stage.mem.fuse = 0;
    if (stage_close(&stage))
        return true;
    printf("FAILED allocation %llu%s of a start: memory is lost\n", (unsigned long long)i,
           and_later ? " and later ones" : "");
    return false;
}

static bool run_start(struct allocation_tally *tally) {
    bool is_fine = true;
    for (unsigned mode = 0; mode < 2; mode++) {
        bool blew = true;
        for (uint64_t i = 1; blew && is_fine && i < FAILING_MAX; i++) {
            is_fine = start_failing(i, mode == 1, &blew);
            tally->nodes++;
        }
    }
    return is_fine;
}

/* ---- Whether anything would be seen ---- */

static void lose_memory(struct stage *stage, struct outcome *outcome) {
    (void)outcome;
    stage->mem.used_bytes += 16;
}

static void change_a_key(struct stage *stage, struct outcome *outcome) {
    (void)outcome;
    say(stage, stage->other, "SET half done", NULL);
}

static void change_the_session(struct stage *stage, struct outcome *outcome) {
    (void)outcome;
    stage->session->database ^= 1;
}

static void change_a_setting(struct stage *stage, struct outcome *outcome) {
    (void)outcome;
    stage->config.timeout_s++;
}

static void say_nothing(struct stage *stage, struct outcome *outcome) {
    (void)stage;
    buffer_clear(&outcome->replies);
}

static void answer_twice(struct stage *stage, struct outcome *outcome) {
    (void)stage;
    CHECK(buffer_append_text(&outcome->replies, "+OK\r\n"));
}

static void claim_success(struct stage *stage, struct outcome *outcome) {
    (void)stage;
    buffer_clear(&outcome->replies);
    CHECK(buffer_append_text(&outcome->replies, "+OK\r\n"));
}

static void swallow_a_byte(struct stage *stage, struct outcome *outcome) {
    (void)outcome;
    give(stage, stage->session, (const uint8_t *)"*", 1);
}

static void run_sabotage(struct allocation_tally *tally) {
    static const struct {
        const char *name;
        saboteur *sabotage;
    } saboteurs[] = {
        {"memory that is lost", lose_memory},
        {"a key that is half-done", change_a_key},
        {"a session that is half-done", change_the_session},
        {"a setting that is half-done", change_a_setting},
        {"an answer that does not come", say_nothing},
        {"an answer that comes twice", answer_twice},
        {"a success that is none", claim_success},
        {"a connection out of step", swallow_a_byte},
    };
    static const struct allocation_call call = {.call = "SET {t}new "
                                                        "some-text-that-is-longer-than-what-was-there"};
    for (size_t i = 0; i < sizeof saboteurs / sizeof *saboteurs; i++) {
        struct allocation_tally unused = {0};
        if (!run_trial(&call, ALONE, saboteurs[i].sabotage, &unused)) {
            tally->passed++;
            continue;
        }
        printf("FAILED nobody sees %s when an allocation fails\n", saboteurs[i].name);
        tally->failed++;
    }
}

/* ---- All calls ---- */

/* The row that a call means. */
static const struct command *row_of(const struct command_index *index, const char *line) {
    char word[2048];
    size_t size;
    if (!next_word(&line, word, sizeof word, &size))
        return NULL;
    const struct command *row = command_find(index, (const uint8_t *)word, size);
    if (row == NULL || !(row->flags & COMMAND_CONTAINER) || !next_word(&line, word, sizeof word, &size))
        return row;
    const struct command *sub = command_find_subcommand(row, (const uint8_t *)word, size);
    return sub == NULL ? row : sub;
}

/* Every command that can be called must have been. */
static void look_for_uncovered(const bool covered[COMMAND_COUNT], struct allocation_tally *tally) {
    for (unsigned id = 0; id < COMMAND_COUNT; id++) {
        const struct command *row = command_by_id(id);
        /* A container without a subcommand is nothing. */
        if (row->flags & COMMAND_CONTAINER && row->arity < -1)
            continue;
        if (covered[id]) {
            tally->passed++;
        } else {
            printf("FAILED '%s' has no call in allocation_calls.c\n", row->name);
            tally->failed++;
        }
    }
}

void allocations_fail(const char *word, struct allocation_tally *tally) {
    bool covered[COMMAND_COUNT] = {false};
    size_t count;
    const struct allocation_call *calls = allocation_calls(&count);
    struct mem mem = {0};
    struct command_index *index = command_index_new(&mem);
    CHECK(index != NULL);
    if (run_start(tally))
        tally->passed++;
    else
        tally->failed++;
    for (size_t i = 0; i < count && tally->failed < FAILURES_MAX; i++) {
        const struct command *row = row_of(index, calls[i].call);
        if (strncasecmp(calls[i].call, word, strlen(word)) != 0)
            continue;
        if (row != NULL)
            covered[row->id] = true;
        for (unsigned s = 0; s < SURROUNDINGS_COUNT; s++) {
            if (s == IN_MULTI && calls[i].flags & CALL_NOT_IN_MULTI)
                continue;
            if (run_trial(&calls[i], (enum surroundings)s, NULL, tally))
                tally->passed++;
            else
                tally->failed++;
        }
    }
    if (word[0] == '\0' && tally->failed < FAILURES_MAX) {
        look_for_uncovered(covered, tally);
        run_sabotage(tally);
    }
    command_index_free(&mem, index);
    printf("%zu calls, %llu nodes, %llu allocations failed\n", count, (unsigned long long)tally->nodes,
           (unsigned long long)tally->failures);
}
