/* model.c - from a request to its verdict: what stands before a command's own work.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/model_inside.h"

#include <ctype.h>
#include <stdio.h>

#define NAME_SIZE      40
#define SHOWN_SIZE_MAX 128

struct model *model_new(const struct model_options *options) {
    struct model *model = mem_alloc_zeroed(options->mem, sizeof *model);
    CHECK(model != NULL);
    model->options = *options;
    return model;
}

void model_free(struct model *model) {
    CHECK(model->sessions == NULL);
    for (uint32_t database = 0; database < MODEL_DATABASES; database++)
        database_empty(model, database);
    model_dumps_trim(model, 0);
    mem_free(model->options.mem, model, sizeof *model);
}

void model_set_time(struct model *model, int64_t now_ms) {
    model->now_ms = now_ms;
    if (now_ms > model->latest_ms)
        model->latest_ms = now_ms;
}

struct model_saving *model_saving(struct model *model) {
    return &model->saving;
}

void model_keep_ghosts(struct model *model, bool keep) {
    model->reclaims_nothing = keep;
}

/* ---- Rows ---- */

static const struct model_command *row_named(const char *name) {
    const struct model_command *const tables[] = {model_string_commands(), model_key_commands(),
                                                  model_bit_commands(), model_scan_commands(),
                                                  model_session_commands()};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct model_command *row = tables[i]; row->name != NULL; row++)
            if (strcmp(row->name, name) == 0)
                return row;
    return NULL;
}

/* Appends a word in lower case; false: it is too long to be a name. */
static bool append_name(char name[NAME_SIZE], const struct argument *word) {
    size_t size = strlen(name);
    if (size + word->size + 2 > NAME_SIZE)
        return false;
    for (uint32_t i = 0; i < word->size; i++) {
        if (word->data[i] == '\0' || word->data[i] == '|')
            return false;
        name[size++] = (char)tolower(word->data[i]);
    }
    name[size] = '\0';
    return true;
}

const struct model_command *model_row(const struct argument *argv, uint32_t argc) {
    char name[NAME_SIZE] = "";
    if (!append_name(name, &argv[0]))
        return NULL;
    const struct model_command *row = row_named(name);
    if (row == NULL || argc < 2 || !(row->flags & MODEL_ANYTHING))
        return row;
    strcat(name, "|");
    const struct model_command *sub = append_name(name, &argv[1]) ? row_named(name) : NULL;
    return sub == NULL ? row : sub;
}

/* ---- Refusals ---- */

static void refuse_unknown(struct model_call *call) {
    char shown[SHOWN_SIZE_MAX * 2 + 64] = "", *at = shown;
    for (uint32_t i = 1; i < call->argc && at - shown < SHOWN_SIZE_MAX; i++) {
        size_t left = (size_t)(SHOWN_SIZE_MAX - (at - shown));
        const struct argument *word = &call->argv[i];
        at += sprintf(at, "'%.*s' ", (int)(word->size < left ? word->size : left),
                      word->size == 0 ? "" : (const char *)word->data);
    }
    const struct argument *name = &call->argv[0];
    answer_error(call, "ERR unknown command '%.*s', with args beginning with: %s",
                 (int)(name->size < SHOWN_SIZE_MAX ? name->size : SHOWN_SIZE_MAX),
                 name->size == 0 ? "" : (const char *)name->data, shown);
}

static bool arity_fits(const struct model_command *row, uint32_t argc) {
    return row->arity >= 0 ? argc == (uint32_t)row->arity : argc >= (uint32_t)-row->arity;
}

/* A refused EXEC is the end of its transaction. */
static void refuse(struct model_call *call, const struct model_command *row, const char *code,
                   const char *words) {
    char text[600];
    snprintf(text, sizeof text, words, row->name);
    if (strcmp(row->name, "exec") == 0) {
        answer_error(call, "EXECABORT Transaction discarded because of: %s%s", code, text);
        session_reset_transaction(call->model, call->session);
    } else {
        answer_error(call, "%s%s", code[0] == '\0' ? "ERR " : code, text);
    }
}

/* Whether the command is refused before it is looked at more closely; the error is answered then. */
static bool is_refused(struct model_call *call, const struct model_command *row) {
    const struct model_session *session = call->session;
    if (row == NULL)
        refuse_unknown(call);
    else if (call->from_queue)
        return false; /* it was looked at when it was queued */
    else if (!arity_fits(row, call->argc))
        refuse(call, row, "", "wrong number of arguments for '%s' command");
    else if (!session->is_authenticated && !(row->flags & MODEL_WITHOUT_AUTH))
        refuse(call, row, "NOAUTH ", "Authentication required.");
    else if (session->in_multi && row->flags & MODEL_NOT_IN_MULTI)
        refuse(call, row, "", "Command not allowed inside a transaction");
    else
        return false;
    return true;
}

#define WORDS_NOT_SAVED                                                                                       \
    "Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that " \
    "may modify the data set are disabled, because this instance is configured to report errors during "      \
    "writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for " \
    "details about the RDB error."

/* What is not done while keys are loaded, or cannot be saved; the error is answered then. */
static bool is_refused_by_disk(struct model_call *call, const struct model_command *row) {
    const struct model_saving *saving = &call->model->saving;
    bool is_exec = strcmp(row->name, "exec") == 0;
    /* This comes first. */
    if (call->from_queue ||
        (is_exec && reply_begins(call, "-EXECABORT Transaction discarded because of: OOM")))
        return false;
    bool writes = is_exec ? session_queue_has(call->session, MODEL_WRITES) : row->flags & MODEL_WRITES;
    if (saving->has_failed && saving->stops_writes && (writes || strcmp(row->name, "ping") == 0))
        refuse(call, row, "MISCONF ", WORDS_NOT_SAVED);
    else if (saving->is_loading && !(row->flags & (MODEL_LOADING | MODEL_ANYTHING)))
        refuse(call, row, "LOADING ", "Redis is loading the dataset in memory");
    else
        return false;
    return true;
}

/* ---- Verdicts ---- */

static enum model_verdict compare(struct model_call *call) {
    if (call->answer == NULL)
        return MODEL_RIGHT;
    return bytes_equal(call->answer, call->answer_size, call->out->data, call->out->size) ? MODEL_RIGHT
                                                                                          : MODEL_WRONG;
}

static void mark_broken(struct model_call *call) {
    if (call->session->in_multi)
        call->session->is_broken = true;
}

/* Of commands that the model does not know: whether they run, are queued or refused. */
static enum model_verdict run_anything(struct model_call *call) {
    struct model_session *session = call->session;
    bool is_error = reply_begins(call, "-");
    if (call->answer == NULL)
        return MODEL_UNKNOWN;
    if (!session->is_authenticated) {
        judge(call, is_error, "a refusal: the client has not said who it is");
        mark_broken(call);
        return call->verdict;
    }
    if (session->in_multi && !call->from_queue) {
        if (is_error) {
            session->is_broken = true;
            return MODEL_UNKNOWN;
        }
        session_queue(call);
        answer_text(call, "+QUEUED");
        return compare(call);
    }
    return MODEL_UNKNOWN;
}

/* There was no memory for the command: nothing has changed, except as each of these says. */
static enum model_verdict run_without_memory(struct model_call *call, const struct model_command *row) {
    struct model_session *session = call->session;
    if (session->in_multi && !call->from_queue && !(row->flags & MODEL_CONTROL)) {
        session->is_broken = true;
        return MODEL_RIGHT;
    }
    if (strcmp(row->name, "exec") == 0) {
        session_reset_transaction(call->model, session);
        return MODEL_LOST;
    }
    if (strcmp(row->name, "bgsave") == 0)
        call->model->saving.has_failed = true;
    if (strcmp(row->name, "watch") == 0 || strcmp(row->name, "hello") == 0) {
        /* They may have done a part of their work: see there. */
        row->run(call);
        return MODEL_RIGHT;
    }
    return MODEL_RIGHT;
}

/* Above maxmemory no command is done that takes memory, and none is queued. */
static bool memory_limit_may_refuse(const struct model_call *call, const struct model_command *row) {
    if (!call->model->options.has_memory_limit || call->from_queue)
        return false;
    if (call->session->in_multi)
        return strcmp(row->name, "exec") != 0 && strcmp(row->name, "discard") != 0 &&
               strcmp(row->name, "quit") != 0 && strcmp(row->name, "reset") != 0;
    return row->flags & MODEL_NEEDS_MEMORY;
}

enum model_verdict model_run_call(struct model_call *call) {
    struct model_session *session = call->session;
    const struct model_command *row = model_row(call->argv, call->argc);
    if (is_refused(call, row) &&
        !(row != NULL && row->flags & MODEL_ANYTHING && !session->is_authenticated)) {
        mark_broken(call);
        return compare(call);
    }
    if (row->flags & MODEL_ANYTHING)
        return run_anything(call);
    call->name = row->name;
    if (reply_begins(call, "-OOM command not allowed") && memory_limit_may_refuse(call, row)) {
        mark_broken(call);
        return MODEL_RIGHT;
    }
    if (is_refused_by_disk(call, row)) {
        mark_broken(call);
        return compare(call);
    }
    call->is_without_memory = call->memory_may_fail && reply_begins(call, "-OOM out of memory");
    if (call->is_without_memory)
        return run_without_memory(call, row);
    if (session->in_multi && !call->from_queue && !(row->flags & MODEL_CONTROL)) {
        session_queue(call);
        answer_text(call, "+QUEUED");
        return compare(call);
    }
    row->run(call);
    return call->is_judged ? call->verdict : compare(call);
}

enum model_verdict model_run(struct model *model, struct model_session *session,
                             const struct model_request *request, struct buffer *expected) {
    buffer_clear(expected);
    struct model_call call = {.model = model,
                              .session = session,
                              .argv = request->argv,
                              .argc = request->argc,
                              .answer = request->answer,
                              .answer_size = request->answer_size,
                              .memory_may_fail = request->memory_may_fail,
                              .has_waited = request->has_waited,
                              .out = expected};
    session->skips_this = false;
    return model_run_call(&call);
}
