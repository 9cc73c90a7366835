/* judge.c - requests and answers, side by side.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/judge.h"

#include "node/state.h"
#include "sim/invariants.h"

#include <stdio.h>

#define CHECK_EVERY 2000
/* What may come between the sight of memory and its check in the node: buffers that grow meanwhile. */
#define MEMORY_SLACK (512u << 10)
/* Before AUTH. */
#define STRANGER_ARGUMENTS_MAX 10
#define STRANGER_BULK_MAX      16384
#define STRANGER_OUTPUT_MAX    16384
#define STRANGER_TIME_NS       UINT64_C(30000000000)

struct view {
    struct judge *judge;
    struct connection *connection;
    struct conversation *conversation;
    const struct production *production;
    const uint8_t *data; /* not yet judged */
    size_t size;
};

static void see(struct judge *judge, enum sighting sighting) {
    judge->sightings->seen[sighting]++;
}

/* ---- Lines for people ---- */

static void describe(char *text, size_t size, const struct saying *request) {
    size_t at = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < request->argc && at + 24 < size; i++) {
        char word[40];
        trace_readable(word, sizeof word, request->argv[i].data, request->argv[i].size);
        at +=
            (size_t)snprintf(text + at, size - at, "%s%s", i == 0 ? "" : " ", word[0] == '\0' ? "''" : word);
    }
}

static void note(const struct view *view, const struct saying *request, const uint8_t *answer, size_t size) {
    char words[140], said[60];
    describe(words, sizeof words, request);
    world_note(view->judge->world, "c%u db%u %s -> %s", view->conversation->client,
               model_session_database(view->conversation->session), words,
               answer == NULL ? "(silence)" : trace_readable(said, sizeof said, answer, size));
    trace_bytes(&view->judge->world->trace, answer, size);
}

static void fail_answer(const struct view *view, const struct saying *request, const uint8_t *answer,
                        size_t size, const char *expected, size_t expected_size) {
    char words[200], said[200], wanted[200];
    describe(words, sizeof words, request);
    world_fail(view->judge->world, "client %u: %s\n   answered %s\n   expected %s",
               view->conversation->client, words,
               answer == NULL ? "nothing" : trace_readable(said, sizeof said, answer, size),
               trace_readable(wanted, sizeof wanted, expected, expected_size));
}

/* ---- Sessions ---- */

static const char *refusal(const struct judge *judge, const struct connection *connection) {
    if (judge->machine->open_connections > judge->machine->config.maxclients)
        return "-ERR max number of clients reached\r\n";
    if (!connection->is_here && !judge->swarm->has_password)
        return "-DENIED ";
    return NULL;
}

static void open_session(struct judge *judge, struct connection *connection,
                         struct conversation *conversation) {
    conversation->id = connection->session->id;
    conversation->session = model_open(judge->model, conversation->id);
    /* By the node's clock, which stands between turns: a client may come while the process stands still. */
    conversation->started_ns = conversation->active_ns = connection->session->created_ms * UINT64_C(1000000);
    conversation->refusal = refusal(judge, connection);
    if (conversation->refusal != NULL)
        see(judge, SIGHTING_REFUSED_CLIENT);
}

/* A connection that is not welcome gets one error, and is closed. */
static void judge_refused(struct view *view) {
    struct conversation *conversation = view->conversation;
    const char *refusal = conversation->refusal;
    if (view->size != 0 && (conversation->is_ended || view->size < strlen(refusal) ||
                            memcmp(view->data, refusal, strlen(refusal)) != 0 ||
                            reply_measure(view->data, view->size, 2) != view->size))
        world_fail(view->judge->world, "client %u, which is not welcome, was answered something else than so",
                   conversation->client);
    conversation->is_ended = conversation->is_ended || view->size != 0;
}

/* ---- Keys, when it is not known what became of them ---- */

static void judge_lost(const struct view *view) {
    char difference[256];
    struct judge *judge = view->judge;
    const struct production *production = view->production;
    if (production->is_killed || (production->is_closing && production->memory_failed))
        model_follow_node(judge->model, judge->machine->node);
    else if (!node_equals_model(judge->machine, judge->model, difference, sizeof difference))
        world_fail(judge->world, "a transaction answered that it was not executed, yet %s", difference);
}

/* ---- Answers ---- */

static void sight_answer(const struct view *view, const struct saying *request, const uint8_t *answer,
                         size_t size) {
    struct judge *judge = view->judge;
    if (reply_is_error(answer, size, "OOM out of memory"))
        see(judge, SIGHTING_NO_MEMORY_ANSWER);
    else if (reply_is_error(answer, size, "OOM command"))
        see(judge, SIGHTING_MEMORY_LIMIT);
    else if (reply_is_error(answer, size, "NOAUTH"))
        see(judge, SIGHTING_NOT_AUTHENTICATED);
    else if (reply_is_error(answer, size, "EXECABORT"))
        see(judge, SIGHTING_BROKEN_TRANSACTION);
    else if (argument_is(&request->argv[0], "exec") && reply_is_nil(answer, size))
        see(judge, SIGHTING_STALE_TRANSACTION);
    else if (reply_is_error(answer, size, "LOADING"))
        see(judge, SIGHTING_LOADING);
    else if (reply_is_error(answer, size, "MISCONF"))
        see(judge, SIGHTING_NOT_SAVED);
    else if (argument_is(&request->argv[0], "save") && request->is_waiting)
        see(judge, SIGHTING_SAVE_ANSWERED);
    else if (argument_is(&request->argv[0], "exec") && size > 4 && answer[0] == '*' && answer[1] != '0')
        see(judge, SIGHTING_TRANSACTION);
    else if (argument_is(&request->argv[0], "scan") && request->argc > 1 && request->argv[1].size > 1 &&
             size > 11 && memcmp(answer, "*2\r\n$1\r\n0\r\n", 11) == 0)
        see(judge, SIGHTING_SCAN_TO_THE_END);
}

/* Whether the memory limit was applied where it had to be. Only where one request ran alone: the others change what the
 * next one finds. */
static void judge_memory_limit(const struct view *view, const struct saying *request, const uint8_t *answer,
                               size_t size) {
    uint64_t limit = view->judge->machine->config.maxmemory;
    const struct production *production = view->production;
    if (limit == 0 || model_in_transaction(view->conversation->session))
        return;
    bool is_refused = reply_is_error(answer, size, "OOM command not allowed");
    size_t most =
        production->used_before > production->used_after ? production->used_before : production->used_after;
    size_t least =
        production->used_before < production->used_after ? production->used_before : production->used_after;
    if (is_refused && most + MEMORY_SLACK < limit)
        world_fail(view->judge->world, "refused for want of memory, with %zu of %llu bytes used", most,
                   (unsigned long long)limit);
    if (!is_refused && argument_is(&request->argv[0], "set") && size == 5 && least > limit + MEMORY_SLACK)
        world_fail(view->judge->world, "done in spite of maxmemory, with %zu of %llu bytes used", least,
                   (unsigned long long)limit);
}

/* CLIENT KILL ID n, done or queued: whoever that is may be closed from now on. */
static void note_kill(const struct view *view, const struct saying *request, const uint8_t *answer) {
    int64_t id = 0;
    if (request->argc < 4 || !argument_is(&request->argv[0], "client") ||
        !argument_is(&request->argv[1], "kill"))
        return;
    for (uint32_t i = 0; i < request->argv[3].size; i++)
        id = id * 10 + (request->argv[3].data[i] - '0');
    /* Nothing behind it is executed; where it is answered, nothing more is answered either. */
    if (answer == NULL && view->production->is_closing && view->conversation->id == (uint64_t)id &&
        !model_in_transaction(view->conversation->session))
        view->conversation->has_killed_itself = true;
    for (struct connection *connection = view->judge->machine->connections; connection != NULL;
         connection = connection->next) {
        struct conversation *conversation = connection->watch;
        if (conversation->id == (uint64_t)id)
            conversation->was_killed = true;
    }
}

static void judge_answer(struct view *view, struct saying *request, const uint8_t *answer, size_t size) {
    struct judge *judge = view->judge;
    struct conversation *conversation = view->conversation;
    struct model_request asked = {.argv = request->argv,
                                  .argc = request->argc,
                                  .answer = answer,
                                  .answer_size = size,
                                  .memory_may_fail = view->production->memory_failed,
                                  .has_waited = request->is_waiting};
    note(view, request, answer, size);
    note_kill(view, request, answer);
    switch (model_run(judge->model, conversation->session, &asked, &judge->expected)) {
    case MODEL_RIGHT: break;
    case MODEL_UNKNOWN: judge->unknown++; break;
    case MODEL_LOST: judge_lost(view); break;
    case MODEL_WRONG:
        fail_answer(view, request, answer, size, (const char *)judge->expected.data, judge->expected.size);
        break;
    }
    judge->judged++;
    keeper_judged(&judge->keeper);
    if (answer == NULL)
        see(judge, SIGHTING_SILENT_COMMAND);
    else
        sight_answer(view, request, answer, size);
}

/* ---- Requests ---- */

/* Without a password only small requests are taken; the others are an error of the protocol. */
static bool is_too_large_for_stranger(const struct view *view, const struct saying *request) {
    if (model_is_authenticated(view->conversation->session) || request->is_inline)
        return false;
    if (request->kind == SAYING_PARTIAL)
        return true; /* some of them; then an answer comes */
    /* What lay there when the client made itself a stranger (RESET) was read before. */
    if (view->conversation->was_known && view->size != 0 &&
        !reply_is_error(view->data, view->size, "ERR Protocol"))
        return false;
    if (request->argc > STRANGER_ARGUMENTS_MAX)
        return true;
    for (uint32_t i = 0; i < request->argc; i++)
        if (request->argv[i].size > STRANGER_BULK_MAX)
            return true;
    return false;
}

/* The answer to bytes that are no request: the connection ends with it. */
static void judge_malformed(struct view *view, struct saying *request, bool is_complete) {
    static const char prefix[] = "-ERR Protocol error: ";
    struct conversation *conversation = view->conversation;
    char expected[120];
    bool is_known = request->kind == SAYING_MALFORMED && model_is_authenticated(conversation->session);
    int size = snprintf(expected, sizeof expected, "%s%s\r\n", prefix, is_known ? request->error : "");
    size_t compared = is_known ? (size_t)size : sizeof prefix - 1;
    if (view->size < compared || memcmp(view->data, expected, compared) != 0 ||
        reply_measure(view->data, view->size, 2) != view->size)
        fail_answer(view, request, view->data, view->size, expected, (size_t)size);
    if (!view->production->is_closing && !view->production->is_killed)
        world_fail(view->judge->world, "client %u said what is no request, and is not to be closed",
                   conversation->client);
    see(view->judge, is_complete ? SIGHTING_MALFORMED : SIGHTING_EARLY_ERROR);
    request->has_run = request->is_answered = true;
    conversation->to_run = NULL;
    conversation->is_ended = true;
    view->data += view->size;
    view->size = 0;
}

/* The session is in the middle of a request: SAVE has begun, or the end of the process. */
static void judge_wait(const struct view *view, struct saying *request) {
    struct judge *judge = view->judge;
    struct model_saving *saving = model_saving(judge->model);
    if (!view->production->is_waiting || request->is_waiting)
        return;
    request->is_waiting = true;
    if (argument_is(&request->argv[0], "save")) {
        if (saving->is_saving)
            world_fail(judge->world, "SAVE waits while another save runs");
        saving->is_saving = true;
        keeper_judged(&judge->keeper);
    } else if (!argument_is(&request->argv[0], "shutdown")) {
        char words[140];
        describe(words, sizeof words, request);
        world_fail(judge->world, "client %u waits in %s", view->conversation->client, words);
    }
}

/* The oldest request that has not run, if the node has all of its bytes. true: it was dealt with, go on. */
static bool judge_next(struct view *view) {
    struct conversation *conversation = view->conversation;
    struct saying *request = conversation->to_run;
    if (request == NULL || conversation->is_ended || conversation->is_monitor)
        return false;
    bool is_complete = request->end <= view->connection->taken;
    if (request->kind == SAYING_MALFORMED || is_too_large_for_stranger(view, request)) {
        if (view->size == 0)
            return false;
        judge_malformed(view, request, is_complete);
        return false;
    }
    if (!is_complete)
        return false;
    bool is_silent =
        request->kind == SAYING_EMPTY || model_is_silent(conversation->session, request->argv, request->argc);
    if (!is_silent) {
        size_t size = view->size == 0
                          ? 0
                          : reply_measure(view->data, view->size, model_protocol(conversation->session));
        /* HELLO answers in the protocol that it switches to, and may stand in a transaction. */
        if (size == 0 && view->size != 0 &&
            (argument_is(&request->argv[0], "hello") || argument_is(&request->argv[0], "exec")))
            size = reply_measure(view->data, view->size, 0);
        /* A transaction that ends its own connection: the model sees whether that explains what is missing. */
        if (size == 0 && view->size != 0 && view->production->is_closing &&
            argument_is(&request->argv[0], "exec")) {
            size = view->size;
            see(view->judge, SIGHTING_CUT_TRANSACTION);
        }
        if (size == 0 && view->size != 0)
            fail_answer(view, request, view->data, view->size, "one whole reply", 15);
        if (size == 0) {
            judge_wait(view, request);
            return false;
        }
        bool is_alone = size == view->size;
        judge_answer(view, request, view->data, size);
        if (is_alone && !request->next)
            judge_memory_limit(view, request, view->data, size);
        view->data += size;
        view->size -= size;
        request->is_answered = true;
    } else if (request->kind == SAYING_PLAIN) {
        judge_answer(view, request, NULL, 0);
        conversation->unanswered--;
    }
    request->has_run = true;
    conversation->was_known = conversation->was_known || model_is_authenticated(conversation->session);
    conversation->to_run = request->next;
    conversation->is_ended = model_is_closing(conversation->session) || conversation->has_killed_itself;
    conversation->is_monitor = model_is_monitor(conversation->session);
    return !world_has_failed(view->judge->world);
}

static void judge_monitor(struct view *view) {
    while (view->size != 0) {
        size_t size = reply_measure(view->data, view->size, 2);
        if (size == 0 || view->data[0] != '+') {
            world_fail(view->judge->world, "MONITOR was shown what is no line");
            return;
        }
        view->data += size;
        view->size -= size;
        see(view->judge, SIGHTING_MONITOR_LINE);
    }
}

/* Nothing may be left over: answers without requests, or requests without answers. */
static void judge_rest(struct view *view) {
    struct conversation *conversation = view->conversation;
    const struct production *production = view->production;
    const struct saying *request = conversation->to_run;
    if (view->size != 0) {
        char said[200];
        world_fail(view->judge->world, "I-REPLY: client %u was answered without having asked: %s",
                   conversation->client, trace_readable(said, sizeof said, view->data, view->size));
    }
    if (production->is_closing || production->is_killed)
        conversation->is_ended = true;
    bool waits = request != NULL && request->kind != SAYING_PARTIAL &&
                 request->end <= view->connection->taken && !conversation->is_ended &&
                 !conversation->is_monitor;
    if (waits && !production->is_held)
        world_fail(view->judge->world, "I-REPLY: a whole request of client %u was not answered",
                   conversation->client);
    if (waits)
        see(view->judge, SIGHTING_HELD_BACK);
}

static void produced(void *context, struct connection *connection, const struct production *production) {
    struct judge *judge = context;
    struct conversation *conversation = connection->watch;
    struct view view = {.judge = judge,
                        .connection = connection,
                        .conversation = conversation,
                        .production = production,
                        .data = production->data,
                        .size = production->size};
    if (conversation->session == NULL)
        open_session(judge, connection, conversation);
    if (conversation->taken != connection->taken)
        conversation->active_ns = judge->world->now_ns;
    conversation->taken = connection->taken;
    CHECK(buffer_append(&conversation->replies, production->data, production->size));
    model_keep_ghosts(judge->model, judge->machine->node->keyspace->expiry_is_paused);
    if (production->is_killed && production->memory_failed_in_turn)
        conversation->lacked_memory = true;
    if (conversation->refusal != NULL) {
        judge_refused(&view);
        return;
    }
    while (judge_next(&view))
        continue;
    if (conversation->is_monitor)
        judge_monitor(&view);
    if (!world_has_failed(judge->world))
        judge_rest(&view);
    if (!world_has_failed(judge->world))
        keeper_produced(&judge->keeper);
    if (judge->judged >= judge->next_check && !world_has_failed(judge->world)) {
        judge->next_check = judge->judged + CHECK_EVERY;
        judge_check(judge);
    }
}

/* ---- Ends ---- */

/* Why the node may have closed a connection; NULL: there is no reason. */
static const char *reason_to_close(const struct judge *judge, const struct connection *connection,
                                   const struct conversation *conversation) {
    uint64_t now_ns = judge->world->now_ns;
    uint64_t timeout_ns = judge->machine->config.timeout_s * UINT64_C(1000000000);
    uint64_t waiting = connection->produced - connection->sent;
    if (conversation->lacked_memory)
        return "memory";
    if (node_shutdown_wish(judge->machine->node) != NODE_RUNNING)
        return "the process ends";
    if (conversation->was_killed)
        return "killed";
    if (conversation->refusal != NULL || (conversation->is_ended && waiting == 0))
        return "end";
    if (timeout_ns != 0 && now_ns - conversation->active_ns >= timeout_ns)
        return "idle";
    if (!model_is_authenticated(conversation->session) &&
        (waiting > STRANGER_OUTPUT_MAX || now_ns - conversation->started_ns >= STRANGER_TIME_NS))
        return "stranger";
    return NULL;
}

static void closed(void *context, struct connection *connection, enum close_cause cause) {
    struct judge *judge = context;
    struct conversation *conversation = connection->watch;
    if (conversation->session == NULL)
        return;
    const char *reason = cause == CLOSED_BY_NODE ? reason_to_close(judge, connection, conversation) : "";
    if (reason == NULL)
        world_fail(judge->world, "client %u was closed for no reason (idle for %llu ms)",
                   conversation->client,
                   (unsigned long long)(judge->world->now_ns - conversation->active_ns) / 1000000);
    else if (strcmp(reason, "idle") == 0)
        see(judge, SIGHTING_IDLE_CLIENT);
    else if (strcmp(reason, "the process ends") == 0)
        see(judge, SIGHTING_SHUTDOWN);
    else if (strcmp(reason, "killed") == 0)
        see(judge, SIGHTING_KILLED_CLIENT);
    if (cause == CLOSED_WITHOUT_MEMORY || conversation->lacked_memory)
        see(judge, SIGHTING_NO_MEMORY_CLOSE);
    const struct saying *request = conversation->to_run;
    if (cause == CLOSED_BY_PEER && request != NULL && request->end > connection->taken)
        see(judge, SIGHTING_CUT_IN_REQUEST);
    world_note(judge->world, "c%u is closed%s%s", conversation->client,
               cause == CLOSED_BY_NODE ? " by the node, " : "", reason == NULL ? "?" : reason);
    if (connection->produced != connection->sent)
        conversation->lost_replies = true;
    conversation->is_ended = conversation->is_known_closed = true;
    model_close(judge->model, conversation->session);
    conversation->session = NULL;
}

/* ---- Time ---- */

static bool is_there(void *context, const struct model_record *record) {
    struct judge *judge = context;
    bool holds = node_holds(judge->machine->node, record);
    if (holds && record->expiry_ms != MODEL_NO_EXPIRY &&
        judge->machine->node->keyspace->now_ms <= record->expiry_ms)
        see(judge, SIGHTING_GHOST_ALIVE);
    return holds;
}

static void turn(void *context, bool clock_went_back) {
    struct judge *judge = context;
    int64_t now_ms = world_wall_us(judge->world) / 1000;
    if (judge->machine->node->keyspace->now_ms != now_ms)
        world_fail(judge->world, "I-CLOCK: it is %lld ms, and %lld ms for the keys", (long long)now_ms,
                   (long long)judge->machine->node->keyspace->now_ms);
    model_set_time(judge->model, now_ms);
    keeper_turn(&judge->keeper);
    if (clock_went_back)
        model_settle_ghosts(judge->model, is_there, judge);
}

static void logged(void *context, const char *text) {
    struct judge *judge = context;
    keeper_logged(&judge->keeper, text);
}

static void worked(void *context) {
    struct judge *judge = context;
    keeper_worked(&judge->keeper);
}

static void ends(void *context, enum process_end end) {
    struct judge *judge = context;
    keeper_ends(&judge->keeper, end);
}

static void begun(void *context) {
    struct judge *judge = context;
    keeper_begun(&judge->keeper);
}

void judge_check(struct judge *judge) {
    model_settle_ghosts(judge->model, is_there, judge);
    invariants_check(judge->machine, judge->model, judge->sightings);
}

void judge_init(struct judge *judge, struct world *world, const struct swarm *swarm, struct machine *machine,
                struct sightings *sightings) {
    *judge = (struct judge){.world = world,
                            .swarm = swarm,
                            .machine = machine,
                            .sightings = sightings,
                            .next_check = CHECK_EVERY};
    struct model_options options = {.mem = &world->mem,
                                    .password = swarm->has_password ? "secret" : NULL,
                                    .has_memory_limit = swarm->maxmemory != 0};
    judge->model = model_new(&options);
    model_set_time(judge->model, world_wall_us(world) / 1000);
    *model_saving(judge->model) =
        (struct model_saving){.has_disk = true,
                              .stops_writes = swarm->disk.stops_writes && swarm->disk.rule_changes != 0,
                              .may_be_given_up = swarm->mix.shutdowns != 0};
    keeper_init(&judge->keeper, machine, judge->model, sightings);
    buffer_init(&judge->expected, &world->mem);
}

void judge_release(struct judge *judge) {
    keeper_release(&judge->keeper);
    model_free(judge->model);
    buffer_release(&judge->expected);
}

struct machine_observer judge_observer(struct judge *judge) {
    return (struct machine_observer){.context = judge,
                                     .turn = turn,
                                     .produced = produced,
                                     .closed = closed,
                                     .logged = logged,
                                     .worked = worked,
                                     .ends = ends,
                                     .begun = begun};
}
