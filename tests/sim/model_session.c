/* model_session.c - what belongs to one connection: who it is, its database, its transaction, its promises.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/model_inside.h"

/* What HELLO says: clients choose by it what they send. */
#define REDIS_VERSION "7.2.4"

static void *take(struct model *model, size_t size) {
    void *pointer = mem_alloc_zeroed(model->options.mem, size);
    CHECK(pointer != NULL);
    return pointer;
}

struct model_session *model_open(struct model *model, uint64_t id) {
    struct model_session *session = take(model, sizeof *session);
    session->id = id;
    session->protocol = 2;
    session->is_authenticated = model->options.password == NULL;
    session->queue_end = &session->queue;
    buffer_init(&session->name, model->options.mem);
    session->next = model->sessions;
    if (session->next != NULL)
        session->next->previous = session;
    model->sessions = session;
    return session;
}

void model_close(struct model *model, struct model_session *session) {
    session_reset_transaction(model, session);
    scan_forget(model, session);
    buffer_release(&session->name);
    if (session->next != NULL)
        session->next->previous = session->previous;
    if (session->previous != NULL)
        session->previous->next = session->next;
    else
        model->sessions = session->next;
    mem_free(model->options.mem, session, sizeof *session);
}

unsigned model_protocol(const struct model_session *session) {
    return session->protocol;
}

bool model_is_authenticated(const struct model_session *session) {
    return session->is_authenticated;
}

bool model_is_closing(const struct model_session *session) {
    return session->is_closing;
}

bool model_is_monitor(const struct model_session *session) {
    return session->is_monitor;
}

uint32_t model_session_database(const struct model_session *session) {
    return session->database;
}

bool model_in_transaction(const struct model_session *session) {
    return session->in_multi;
}

bool model_is_silent(const struct model_session *session, const struct argument *argv, uint32_t argc) {
    if (session->is_authenticated && !session->in_multi && argc == 3 && word_is(&argv[0], "client") &&
        word_is(&argv[1], "reply")) {
        if (word_is(&argv[2], "on"))
            return false;
        if (word_is(&argv[2], "off") || word_is(&argv[2], "skip"))
            return true;
    }
    if (argc == 1 && word_is(&argv[0], "reset"))
        return session->skips_this; /* it turns the replies on again before it answers */
    return session->replies_off || session->skips_this;
}

/* ---- Who and where ---- */

static void run_ping(struct model_call *call) {
    if (call->argc > 2)
        answer_error(call, "ERR wrong number of arguments for 'ping' command");
    else if (call->argc == 2)
        answer_bulk(call, call->argv[1].data, call->argv[1].size);
    else
        answer_text(call, "+PONG");
}

static void run_echo(struct model_call *call) {
    answer_bulk(call, call->argv[1].data, call->argv[1].size);
}

static void run_quit(struct model_call *call) {
    call->session->is_closing = true;
    answer_text(call, "+OK");
}

static void run_select(struct model_call *call) {
    int64_t number;
    if (!word_integer(&call->argv[1], &number)) {
        answer_error(call, WORDS_NOT_INTEGER);
    } else if (number < INT32_MIN || number > INT32_MAX) {
        answer_error(call, "ERR value is out of range, value must between -2147483648 and 2147483647");
    } else if (number < 0 || number >= MODEL_DATABASES) {
        answer_error(call, WORDS_DATABASE);
    } else {
        call->session->database = (uint32_t)number;
        answer_text(call, "+OK");
    }
}

static bool log_in(struct model_call *call, const struct argument *user, const struct argument *password) {
    const char *right = call->model->options.password;
    if (user != NULL && !bytes_equal(user->data, user->size, (const uint8_t *)"default", 7))
        return false;
    if (right != NULL && !bytes_equal(password->data, password->size, (const uint8_t *)right, strlen(right)))
        return false;
    call->session->is_authenticated = true;
    return true;
}

#define WORDS_WRONG_PASSWORD "WRONGPASS invalid username-password pair or user is disabled."

static void run_auth(struct model_call *call) {
    if (call->argc > 3)
        answer_error(call, WORDS_SYNTAX);
    else if (call->argc == 2 && call->model->options.password == NULL)
        answer_error(call, "ERR AUTH <password> called without any password configured for the default user. "
                           "Are you sure your configuration is correct?");
    else if (log_in(call, call->argc == 3 ? &call->argv[1] : NULL, &call->argv[call->argc - 1]))
        answer_text(call, "+OK");
    else
        answer_error(call, WORDS_WRONG_PASSWORD);
}

static bool is_good_name(const struct argument *name) {
    for (uint32_t i = 0; i < name->size; i++)
        if (name->data[i] <= ' ' || name->data[i] > '~')
            return false;
    return true;
}

static bool set_name(struct model_call *call, const struct argument *name) {
    if (!is_good_name(name)) {
        answer_error(call, "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
    }
    if (call->is_without_memory)
        return true; /* that is what there was no memory for */
    buffer_clear(&call->session->name);
    CHECK(buffer_append(&call->session->name, name->data, name->size));
    return true;
}

static void hello_answer(struct model_call *call) {
    answer_map(call, 7);
    answer_bulk_text(call, "server");
    answer_bulk_text(call, "redis");
    answer_bulk_text(call, "version");
    answer_bulk_text(call, REDIS_VERSION);
    answer_bulk_text(call, "proto");
    answer_integer(call, call->session->protocol);
    answer_bulk_text(call, "id");
    answer_integer(call, (int64_t)call->session->id);
    answer_bulk_text(call, "mode");
    answer_bulk_text(call, "standalone");
    answer_bulk_text(call, "role");
    answer_bulk_text(call, "master");
    answer_bulk_text(call, "modules");
    answer_array(call, 0);
}

/* false: the error is answered. Options take effect one by one. */
static bool hello_options(struct model_call *call) {
    for (uint32_t i = 2; i < call->argc;) {
        const struct argument *word = &call->argv[i];
        uint32_t left = call->argc - i - 1;
        if (left >= 2 && word_is(word, "auth")) {
            if (!log_in(call, word + 1, word + 2)) {
                answer_error(call, WORDS_WRONG_PASSWORD);
                return false;
            }
            i += 3;
        } else if (left >= 1 && word_is(word, "setname")) {
            if (!set_name(call, word + 1))
                return false;
            i += 2;
        } else {
            answer_error(call, "ERR Syntax error in HELLO option '%.*s'", (int)word->size,
                         word->size == 0 ? "" : (const char *)word->data);
            return false;
        }
    }
    return true;
}

static void run_hello(struct model_call *call) {
    int64_t protocol = 0;
    if (call->argc > 1) {
        if (!word_integer(&call->argv[1], &protocol)) {
            answer_error(call, "ERR Protocol version is not an integer or out of range");
            return;
        }
        if (protocol != 2 && protocol != 3) {
            answer_error(call, "NOPROTO unsupported protocol version");
            return;
        }
        if (!hello_options(call))
            return;
    }
    if (!call->session->is_authenticated) {
        answer_error(call,
                     "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
                     "AUTH <user> <pass> option can be used to authenticate the client and select the RESP "
                     "protocol version at the same time");
        return;
    }
    if (protocol != 0 && !call->is_without_memory)
        call->session->protocol = (unsigned)protocol;
    hello_answer(call);
}

static void run_reset(struct model_call *call) {
    struct model_session *session = call->session;
    session_reset_transaction(call->model, session);
    buffer_clear(&session->name);
    session->database = 0;
    session->protocol = 2;
    session->is_monitor = session->replies_off = false;
    session->is_authenticated = call->model->options.password == NULL;
    answer_text(call, "+RESET");
}

/* ---- CLIENT, MONITOR ---- */

static void run_client_id(struct model_call *call) {
    answer_integer(call, (int64_t)call->session->id);
}

static void run_client_getname(struct model_call *call) {
    if (call->session->name.size == 0)
        answer_null(call);
    else
        answer_bulk(call, call->session->name.data, call->session->name.size);
}

static void run_client_setname(struct model_call *call) {
    if (set_name(call, &call->argv[2]))
        answer_text(call, "+OK");
}

/* Of the forms that are answered only; the others were silent. */
static void run_client_reply(struct model_call *call) {
    const struct argument *word = &call->argv[2];
    if (word_is(word, "on"))
        call->session->replies_off = false;
    else if (word_is(word, "off"))
        call->session->replies_off = true;
    else if (word_is(word, "skip"))
        call->session->skips_this = !call->session->replies_off;
    else {
        answer_error(call, WORDS_SYNTAX);
        return;
    }
    answer_text(call, "+OK");
}

static void run_monitor(struct model_call *call) {
    if (call->from_queue) {
        answer_error(call, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    call->session->is_monitor = true;
    answer_text(call, "+OK");
}

/* ---- Saving ---- */

#define WORDS_NO_DISK     "ERR There is no disk to save to"
#define WORDS_SAVES_NOW   "ERR Background save already in progress"
#define WORDS_SAVE_FAILED "-ERR Saving failed ("

/* Begins one, or answers why not. */
static bool begin_save(struct model_call *call) {
    struct model_saving *saving = &call->model->saving;
    if (!saving->has_disk)
        answer_error(call, WORDS_NO_DISK);
    else if (saving->is_saving || saving->is_noting)
        answer_error(call, WORDS_SAVES_NOW);
    else
        return saving->is_saving = true;
    return false;
}

/* The answer comes when the keys are saved, or not. */
static void run_save(struct model_call *call) {
    const struct model_saving *saving = &call->model->saving;
    if (!call->has_waited) {
        if (begin_save(call) && call->answer != NULL)
            judge(call, false, "no answer before the keys are saved");
    } else if (saving->may_be_given_up && reply_begins(call, WORDS_SAVE_FAILED "given up)")) {
        judge(call, true, "");
    } else if (saving->has_ended_well) {
        answer_text(call, "+OK");
    } else {
        judge(call, reply_begins(call, WORDS_SAVE_FAILED), WORDS_SAVE_FAILED);
    }
}

static void run_bgsave(struct model_call *call) {
    const struct model_saving *saving = &call->model->saving;
    if (call->argc > 2 || (call->argc == 2 && !word_is(&call->argv[1], "schedule")))
        answer_error(call, WORDS_SYNTAX);
    else if (call->from_queue && saving->has_disk && !saving->is_saving)
        answer_text(call, "+Background saving scheduled");
    else if (begin_save(call))
        answer_text(call, "+Background saving started");
}

static void run_lastsave(struct model_call *call) {
    answer_integer(call, call->model->saving.saved_s);
    if (!call->model->saving.has_disk) {
        call->is_judged = true;
        call->verdict = MODEL_UNKNOWN;
    }
}

/* ---- Transactions ---- */

void session_queue(struct model_call *call) {
    size_t bytes = sizeof(struct queued_call) + call->argc * sizeof(struct argument);
    for (uint32_t i = 0; i < call->argc; i++)
        bytes += call->argv[i].size;
    struct queued_call *queued = take(call->model, bytes);
    queued->bytes = bytes;
    queued->argc = call->argc;
    queued->argv = (struct argument *)(queued + 1);
    uint8_t *at = (uint8_t *)(queued->argv + call->argc);
    for (uint32_t i = 0; i < call->argc; i++) {
        queued->argv[i] = (struct argument){.data = at, .size = call->argv[i].size};
        if (call->argv[i].size != 0)
            memcpy(at, call->argv[i].data, call->argv[i].size);
        at += call->argv[i].size;
    }
    *call->session->queue_end = queued;
    call->session->queue_end = &queued->next;
    call->session->queued++;
}

static void empty_queue(struct model *model, struct model_session *session) {
    while (session->queue != NULL) {
        struct queued_call *queued = session->queue;
        session->queue = queued->next;
        mem_free(model->options.mem, queued, queued->bytes);
    }
    session->queue_end = &session->queue;
    session->queued = 0;
}

void session_reset_transaction(struct model *model, struct model_session *session) {
    empty_queue(model, session);
    watch_forget(model, session);
    session->in_multi = session->is_broken = false;
}

static void run_multi(struct model_call *call) {
    if (call->session->in_multi) {
        answer_error(call, "ERR MULTI calls can not be nested");
        return;
    }
    call->session->in_multi = true;
    answer_text(call, "+OK");
}

static void run_discard(struct model_call *call) {
    if (!call->session->in_multi) {
        answer_error(call, "ERR DISCARD without MULTI");
        return;
    }
    session_reset_transaction(call->model, call->session);
    answer_text(call, "+OK");
}

/* A watched key has expired meanwhile, though nobody may have noticed. */
static void look_for_expired(struct model_call *call) {
    struct model_session *session = call->session;
    for (const struct watched_name *name = session->watched; name != NULL; name = name->next) {
        const struct model_entry *entry = entry_any(call->model, name->database, name->key, name->key_size);
        if (entry == NULL || entry_is_live(call->model, entry) || name->was_ghost)
            continue;
        if (name->is_unsure)
            session->watch_unsure = true;
        else
            session->watch_broken = true;
    }
}

/* CLIENT KILL ID n SKIPME no, with the client's own number. */
static bool kills_itself(const struct model_session *session, const struct queued_call *queued) {
    const struct argument *argv = queued->argv;
    int64_t id;
    return queued->argc == 6 && word_is(&argv[0], "client") && word_is(&argv[1], "kill") &&
           word_is(&argv[2], "id") && word_integer(&argv[3], &id) && (uint64_t)id == session->id &&
           word_is(&argv[4], "skipme") && word_is(&argv[5], "no");
}

/* Runs one queued command against its part of the answer; a client that has ended itself hears of it no more. */
static enum model_verdict run_queued(struct model_call *call, const struct queued_call *queued, size_t *at) {
    struct model_call part = {.model = call->model,
                              .session = call->session,
                              .argv = queued->argv,
                              .argc = queued->argc,
                              .memory_may_fail = call->memory_may_fail,
                              .from_queue = true,
                              .out = call->out};
    bool is_heard = call->answer != NULL && !call->session->is_closing;
    if (is_heard) {
        part.answer = call->answer + *at;
        part.answer_size = reply_measure(part.answer, call->answer_size - *at, 0);
        *at += part.answer_size;
    }
    buffer_clear(call->out);
    if (is_heard && part.answer_size == 0)
        return MODEL_WRONG;
    /* Nobody says whether what is not heard of found memory. */
    if (call->session->is_closing && call->memory_may_fail)
        return MODEL_LOST;
    enum model_verdict verdict = model_run_call(&part);
    if (is_heard && kills_itself(call->session, queued) && !reply_begins(&part, "-"))
        call->session->is_closing = true;
    return verdict;
}

static void run_queue(struct model_call *call) {
    struct model_session *session = call->session;
    struct queued_call *queue = session->queue;
    uint64_t count = 0;
    size_t at = 0;
    session->queue = NULL;
    session->queue_end = &session->queue;
    session->in_multi = false;
    enum model_verdict verdict = MODEL_RIGHT;
    if (call->answer != NULL &&
        (!reply_elements(call->answer, call->answer_size, &count, &at) || count != session->queued))
        verdict = MODEL_WRONG;
    for (struct queued_call *queued = queue; queued != NULL && verdict != MODEL_WRONG;
         queued = queued->next) {
        enum model_verdict of_part = run_queued(call, queued, &at);
        if (of_part == MODEL_WRONG || of_part == MODEL_LOST)
            verdict = of_part;
    }
    if (call->answer != NULL && verdict != MODEL_WRONG && at != call->answer_size)
        verdict = MODEL_WRONG;
    while (queue != NULL) {
        struct queued_call *queued = queue;
        queue = queued->next;
        mem_free(call->model->options.mem, queued, queued->bytes);
    }
    call->is_judged = true;
    call->verdict = verdict;
}

bool session_queue_has(const struct model_session *session, unsigned flags) {
    for (const struct queued_call *queued = session->queue; queued != NULL; queued = queued->next) {
        const struct model_command *row = model_row(queued->argv, queued->argc);
        if (row != NULL && row->flags & flags)
            return true;
    }
    return false;
}

static void run_exec(struct model_call *call) {
    struct model_session *session = call->session;
    if (!session->in_multi) {
        answer_error(call, "ERR EXEC without MULTI");
        return;
    }
    look_for_expired(call);
    /* What is loaded changes the key that it is loaded into. */
    if (model_saving(call->model)->is_loading && session->watched != NULL)
        session->watch_unsure = true;
    bool was_left = call->answer != NULL && reply_is_nil(call->answer, call->answer_size);
    bool is_stale = session->watch_broken || (session->watch_unsure && was_left);
    if (reply_begins(call, "-EXECABORT Transaction discarded because of: OOM"))
        judge(call, call->model->options.has_memory_limit && session_queue_has(session, MODEL_NEEDS_MEMORY),
              "there is no limit");
    else if (session->is_broken)
        answer_error(call, "EXECABORT Transaction discarded because of previous errors.");
    else if (is_stale)
        answer_text(call, session->protocol == 3 ? "_" : "*-1");
    else if (session->watch_unsure && call->answer == NULL) {
        call->is_judged = true;
        call->verdict = MODEL_LOST;
    } else {
        watch_forget(call->model, session);
        run_queue(call);
    }
    session_reset_transaction(call->model, session);
}

static bool watches(const struct model_session *session, uint32_t database, const struct argument *key) {
    for (const struct watched_name *name = session->watched; name != NULL; name = name->next)
        if (name->database == database && bytes_equal(name->key, name->key_size, key->data, key->size))
            return true;
    return false;
}

static void run_watch(struct model_call *call) {
    struct model_session *session = call->session;
    if (session->in_multi) {
        answer_error(call, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    for (uint32_t i = 1; i < call->argc; i++) {
        const struct argument *key = &call->argv[i];
        if (watches(session, session->database, key))
            continue;
        const struct model_entry *entry = entry_any(call->model, session->database, key->data, key->size);
        struct watched_name *name = take(call->model, sizeof *name);
        *name = (struct watched_name){.next = session->watched,
                                      .database = session->database,
                                      .key_size = key->size,
                                      .was_ghost = entry != NULL && !entry_is_live(call->model, entry),
                                      .is_unsure = call->is_without_memory};
        name->key = take(call->model, key->size == 0 ? 1 : key->size);
        if (key->size != 0)
            memcpy(name->key, key->data, key->size);
        session->watched = name;
    }
    answer_text(call, "+OK");
}

static void run_unwatch(struct model_call *call) {
    watch_forget(call->model, call->session);
    answer_text(call, "+OK");
}

static const struct model_command rows[] = {
    {"auth", -2, MODEL_WITHOUT_AUTH | MODEL_LOADING, run_auth},
    {"bgsave", -1, 0, run_bgsave},
    {"client", -2, MODEL_ANYTHING, NULL},
    {"client|getname", 2, MODEL_LOADING, run_client_getname},
    {"client|id", 2, MODEL_LOADING, run_client_id},
    {"client|reply", 3, MODEL_LOADING, run_client_reply},
    {"client|setname", 3, MODEL_LOADING, run_client_setname},
    {"command", -1, MODEL_ANYTHING, NULL},
    {"config", -2, MODEL_ANYTHING, NULL},
    {"debug", -2, MODEL_ANYTHING, NULL},
    {"discard", 1, MODEL_CONTROL | MODEL_LOADING, run_discard},
    {"echo", 2, MODEL_LOADING, run_echo},
    {"exec", 1, MODEL_CONTROL | MODEL_LOADING, run_exec},
    {"hello", -1, MODEL_WITHOUT_AUTH | MODEL_LOADING, run_hello},
    {"info", -1, MODEL_ANYTHING, NULL},
    {"lastsave", 1, MODEL_LOADING, run_lastsave},
    {"latency", -2, MODEL_ANYTHING, NULL},
    {"lolwut", -1, MODEL_ANYTHING, NULL},
    {"memory", -2, MODEL_ANYTHING, NULL},
    {"monitor", 1, MODEL_LOADING, run_monitor},
    {"multi", 1, MODEL_CONTROL | MODEL_LOADING, run_multi},
    {"ping", -1, 0, run_ping},
    {"quit", -1, MODEL_WITHOUT_AUTH | MODEL_CONTROL | MODEL_LOADING, run_quit},
    {"reset", 1, MODEL_WITHOUT_AUTH | MODEL_CONTROL | MODEL_LOADING, run_reset},
    {"role", 1, MODEL_ANYTHING, NULL},
    {"save", 1, MODEL_NOT_IN_MULTI, run_save},
    {"select", 2, MODEL_LOADING, run_select},
    {"shutdown", -1, MODEL_ANYTHING | MODEL_NOT_IN_MULTI, NULL},
    {"slowlog", -2, MODEL_ANYTHING, NULL},
    {"time", 1, MODEL_ANYTHING, NULL},
    {"unwatch", 1, MODEL_LOADING, run_unwatch},
    {"wait", 3, MODEL_ANYTHING, NULL},
    {"watch", -2, MODEL_CONTROL | MODEL_LOADING, run_watch},
    {0},
};

const struct model_command *model_session_commands(void) {
    return rows;
}
