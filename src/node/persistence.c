/* persistence.c - phases: loading, idle, saving; and the way to the node's end.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/persistence.h"

#include "node/cluster.h"
#include "node/handoff.h"

#include "node/state.h"

#include <stdio.h>

/* Behind a failed save the next one waits so long, twice as long each time. */
#define RETRY_FIRST_MS 5000u
#define RETRY_MAX_MS   60000u
/* Steps of one turn while no command has to be served: what a turn costs besides is then little. */
#define STEPS_PER_TURN_ALONE 8
#define LOAD_NOTE_MS         1000
/* Beside clients a step is followed by a pause of so many times its length. A loop that never rests costs them more than the
 * step itself: who wakes on its processor waits for the end of its time slice. */
#define REST_FACTOR 2
/* And a step is shorter then: requests that come meanwhile wait for its end. */
#define STEP_UNITS_BESIDE_CLIENTS (JOB_STEP_UNITS / 4)

/* ---- Words ---------------------------------------------------------------------------------------------------- */

static double mib(uint64_t bytes) {
    return (double)bytes / (1024 * 1024);
}

static double seconds_since(const struct node *node, uint64_t moment_ms) {
    return (double)(node->monotonic_ms - moment_ms) / 1000;
}

/* What went wrong with a save: where, and the system's word for it. */
static void describe_failure(const struct node *node, const struct checkpoint_progress *progress,
                             char text[PERSISTENCE_ERROR_SIZE]) {
    const char *where = progress->failed_at != NULL ? progress->failed_at : "saving";
    if (progress->error != 0)
        snprintf(text, PERSISTENCE_ERROR_SIZE, "%s: %s", where, node->host.disk.error_text(progress->error));
    else
        snprintf(text, PERSISTENCE_ERROR_SIZE, "%s", where);
}

static void answer_all(struct node *node, struct list *waiting, const char *error) {
    LIST_FOR_EACH(link, waiting) {
        node_unblock(node, LIST_ENTRY(link, struct session, waiting), error);
    }
}

/* Commands run again. */
static void let_go(struct node *node) {
    struct persistence *persistence = &node->persistence;
    persistence->holds_commands = persistence->is_stopping || persistence->is_reloading;
    node_release_held(node);
}

/* ---- Who the node is ---------------------------------------------------------------------------------------------- */

static void run_identity(struct work *work) {
    struct identity_task *task = LIST_ENTRY(work, struct identity_task, work);
    task->error = task->seen_incarnation != 0
                      ? identity_raise(task->identity, task->disk, task->seen_incarnation)
                      : identity_note_checkpoint(task->identity, task->disk);
}

static void identity_done(struct work *work) {
    struct identity_task *task = LIST_ENTRY(work, struct identity_task, work);
    task->is_in_flight = false;
    task->is_done = true;
}

static void submit_identity(struct node *node, uint64_t seen_incarnation) {
    struct identity_task *task = &node->persistence.identity;
    task->work = (struct work){.run = run_identity, .done = identity_done};
    task->seen_incarnation = seen_incarnation;
    task->is_in_flight = true;
    node->host.work.submit(node->host.work.context, &task->work);
}

/* From now on a start without a checkpoint is a mistake. Not so where dbfilename was changed since the start: the identity's
 * file goes with the name of before, under which there may be none. */
static void note_checkpoint(struct node *node) {
    const struct identity_task *task = &node->persistence.identity;
    if (task->identity == NULL || task->is_in_flight || task->is_done || task->identity->has_checkpoint)
        return;
    size_t size = strlen(node->config->dbfilename);
    if (strncmp(task->identity->name, node->config->dbfilename, size) == 0 &&
        strcmp(task->identity->name + size, ".node") == 0)
        submit_identity(node, 0);
}

/* ---- Loading -------------------------------------------------------------------------------------------------------- */

static void say(void *context, int level, const char *text) {
    node_log(context, level == 0 ? NODE_LOG_NOTICE : NODE_LOG_WARNING, "%s", text);
}

/* false: no memory. */
static bool begin_load(struct node *node, bool is_expected) {
    struct persistence *persistence = &node->persistence;
    const struct checkpoint_load_options options = {.keyspace = node->keyspace,
                                                    .disk = &node->host.disk,
                                                    .queue = &node->host.work,
                                                    .name = node->config->dbfilename,
                                                    .is_expected = is_expected,
                                                    .start_empty = persistence->start_empty,
                                                    .say = say,
                                                    .context = node};
    persistence->loader = checkpoint_loader_new(&options);
    if (persistence->loader == NULL)
        return false;
    persistence->phase = PERSISTENCE_LOADING;
    persistence->is_loading = true;
    persistence->load_started_ms = persistence->load_noted_ms = node->monotonic_ms;
    persistence->load_started_s = node->wall_ms / 1000;
    return true;
}

bool persistence_begin(struct node *node, const struct node_options *options) {
    struct persistence *persistence = &node->persistence;
    list_init(&persistence->savers);
    list_init(&persistence->stoppers);
    persistence->last_duration_s = -1;
    persistence->saved_ms = node->monotonic_ms;
    persistence->saved_s = node->wall_ms / 1000;
    persistence->start_empty = options->start_empty;
    persistence->identity.identity = options->identity;
    persistence->has_file = options->identity != NULL && options->identity->has_checkpoint;
    persistence->identity.disk = &node->host.disk;
    node->keyspace->is_alone = node->cluster == NULL || membership_is_alone(node->cluster->membership);
    if (options->identity != NULL)
        actors_set_self(&node->keyspace->actors, &options->identity->actor);
    if (node->host.disk.create == NULL || node->host.work.submit == NULL)
        return true; /* PERSISTENCE_OFF */
    return begin_load(node, options->identity != NULL && options->identity->has_checkpoint);
}

/* The keys are there: what is in memory now is what is on disk, but for `imported` keys that are in no checkpoint yet. */
static void begin_to_serve(struct node *node, uint64_t imported) {
    struct persistence *persistence = &node->persistence;
    persistence->phase = PERSISTENCE_IDLE;
    persistence->is_loading = false;
    persistence->saved_changes = node->keyspace->counters.changes - imported;
    persistence->saved_ms = node->monotonic_ms;
}

static void end_reload(struct node *node, const char *error) {
    struct persistence *persistence = &node->persistence;
    persistence->is_reloading = false;
    answer_all(node, &persistence->savers, error);
    let_go(node);
}

/* Whether the file was written by this node, under a number that this start is not yet past: somebody has put the identity's
 * file of an earlier day back. */
static bool must_raise(const struct node *node, const struct checkpoint_load_progress *progress) {
    const struct identity *identity = node->persistence.identity.identity;
    return identity != NULL && !node->persistence.is_reloading && progress->state == CHECKPOINT_LOADED &&
           memcmp(progress->writer.node_id, identity->actor.node_id, NODE_ID_SIZE) == 0 &&
           progress->writer.incarnation >= identity->actor.incarnation;
}

static void log_loaded(struct node *node, const struct checkpoint_load_progress *progress) {
    if (progress->state == CHECKPOINT_LOAD_NOTHING) {
        node_log(node, NODE_LOG_NOTICE, "There is no checkpoint to load: the node begins empty");
        return;
    }
    node_log(node, NODE_LOG_NOTICE, "Loaded %llu keys in %.2f s (%.1f MiB%s%s; %llu more had expired)",
             (unsigned long long)progress->records_loaded,
             seconds_since(node, node->persistence.load_started_ms), mib(progress->read_bytes),
             progress->from_rdb ? ", an RDB file of Redis" : "",
             progress->from_previous ? ", the previous checkpoint" : "",
             (unsigned long long)progress->records_expired);
}

static void loaded(struct node *node) {
    struct persistence *persistence = &node->persistence;
    const struct checkpoint_load_progress *progress = checkpoint_loader_progress(persistence->loader);
    bool raises = must_raise(node, progress);
    bool is_noteworthy = progress->state == CHECKPOINT_LOADED && !progress->from_rdb;
    persistence->has_file = persistence->has_file || progress->state == CHECKPOINT_LOADED;
    uint64_t seen = progress->writer.incarnation,
             imported = progress->from_rdb ? progress->records_loaded : 0;
    persistence->loaded_keys = progress->records_loaded;
    persistence->expired_keys = progress->records_expired;
    log_loaded(node, progress);
    checkpoint_loader_free(persistence->loader);
    persistence->loader = NULL;
    if (raises) {
        persistence->phase = PERSISTENCE_RAISING;
        submit_identity(node, seen);
        return;
    }
    begin_to_serve(node, imported);
    if (persistence->is_reloading)
        end_reload(node, NULL);
    if (is_noteworthy)
        note_checkpoint(node);
}

static void raised(struct node *node) {
    const struct identity_task *task = &node->persistence.identity;
    if (task->error != 0)
        node_log(
            node, NODE_LOG_WARNING,
            "The checkpoint was written by a later start of this node (incarnation %llu), and a higher number "
            "cannot be kept: %s. Versions of keys may be mistaken for those of that start.",
            (unsigned long long)task->seen_incarnation, node->host.disk.error_text(task->error));
    else
        node_log(node, NODE_LOG_NOTICE,
                 "The checkpoint was written by a later start of this node: the incarnation is %llu now",
                 (unsigned long long)task->identity->actor.incarnation);
    actors_set_self(&node->keyspace->actors, &task->identity->actor);
    begin_to_serve(node, 0);
    note_checkpoint(node);
}

static void not_loaded(struct node *node) {
    struct persistence *persistence = &node->persistence;
    const struct checkpoint_load_progress *progress = checkpoint_loader_progress(persistence->loader);
    persistence->loaded_keys = persistence->expired_keys = 0;
    bool is_cancelled = persistence->is_stopping;
    if (!is_cancelled)
        node_log(node, NODE_LOG_WARNING, "%s", progress->problem);
    checkpoint_loader_free(persistence->loader);
    persistence->loader = NULL;
    persistence->phase = PERSISTENCE_IDLE;
    if (is_cancelled)
        return; /* is_loading stays: the keys are not all there */
    if (persistence->is_reloading) {
        begin_to_serve(node, 0);
        end_reload(node, "ERR Error trying to load the RDB dump, check server logs.");
    } else {
        node->shutdown = NODE_SHUTDOWN_REFUSED;
    }
}

static uint32_t load_step(struct node *node) {
    struct persistence *persistence = &node->persistence;
    enum checkpoint_load_state state = CHECKPOINT_LOAD_WORKING;
    for (unsigned i = 0; i < STEPS_PER_TURN_ALONE && state == CHECKPOINT_LOAD_WORKING; i++) {
        uint64_t started_cpu_ns = node_thread_cpu_ns(node);
        state = checkpoint_loader_step(persistence->loader, JOB_STEP_UNITS);
        node_note_step(node, JOB_LOAD, started_cpu_ns);
    }
    switch (state) {
    case CHECKPOINT_LOAD_WORKING: return 0;
    case CHECKPOINT_LOAD_WAITING: return UINT32_MAX;
    case CHECKPOINT_LOAD_REFUSED: not_loaded(node); return 0;
    case CHECKPOINT_LOADED:
    case CHECKPOINT_LOAD_NOTHING: break;
    }
    loaded(node);
    return 0;
}

/* ---- Saving ----------------------------------------------------------------------------------------------------- */

static bool is_in_background(enum save_reason reason) {
    return reason == SAVE_FOR_RULE || reason == SAVE_FOR_BGSAVE;
}

static void note_failure(struct node *node, const char *failure) {
    struct persistence *persistence = &node->persistence;
    snprintf(persistence->last_error, sizeof persistence->last_error, "%s", failure);
    char outlook[64] = "";
    if (is_in_background(persistence->reason)) {
        persistence->has_failed = true;
        persistence->retry_delay_ms =
            persistence->retry_delay_ms == 0 ? RETRY_FIRST_MS : persistence->retry_delay_ms * 2;
        if (persistence->retry_delay_ms > RETRY_MAX_MS)
            persistence->retry_delay_ms = RETRY_MAX_MS;
        persistence->retry_ms = node->monotonic_ms + persistence->retry_delay_ms;
        if (node->config->save_count != 0)
            snprintf(outlook, sizeof outlook, "; the save rules try again in %u s",
                     persistence->retry_delay_ms / 1000);
    }
    node_log(node, NODE_LOG_WARNING, "Saving failed (%s): what was saved before is as it was%s", failure,
             outlook);
}

enum save_start persistence_save(struct node *node, enum save_reason reason) {
    struct persistence *persistence = &node->persistence;
    if (persistence->phase == PERSISTENCE_OFF)
        return SAVE_NO_DISK;
    if (persistence->phase != PERSISTENCE_IDLE || persistence->answers_with_note)
        return SAVE_RUNS_ALREADY;
    const struct checkpoint_options options = {.keyspace = node->keyspace,
                                               .disk = &node->host.disk,
                                               .queue = &node->host.work,
                                               .name = node->config->dbfilename,
                                               .serial = rng_next64(&node->keyspace->random)};
    persistence->reason = reason;
    persistence->writer = checkpoint_writer_new(&options);
    if (persistence->writer == NULL) {
        note_failure(node, "out of memory");
        return SAVE_NO_MEMORY;
    }
    persistence->phase = PERSISTENCE_SAVING;
    persistence->is_cancelled = false;
    persistence->is_scheduled = false;
    persistence->save_started_ms = node->monotonic_ms;
    persistence->step_due_ns = 0;
    persistence->last_begun++;
    persistence->saves += reason != SAVE_FOR_STOP && reason != SAVE_FOR_RELOAD;
    node_log(node, NODE_LOG_NOTICE, "Saving %llu keys to %s",
             (unsigned long long)checkpoint_writer_progress(persistence->writer).keys_total,
             node->config->dbfilename);
    return SAVE_STARTED;
}

static void cancel_save(struct node *node) {
    node->persistence.is_cancelled = true;
    checkpoint_writer_cancel(node->persistence.writer);
}

static void log_saved(struct node *node, const struct checkpoint_progress *progress) {
    double elapsed_s = seconds_since(node, node->persistence.save_started_ms);
    double stored_mib = mib(progress->stored_bytes);
    node_log(node, NODE_LOG_NOTICE,
             "Saved %llu keys, %.1f MiB, in %.2f s (%.1f MiB/s); %.1f MiB were copied for writers meanwhile",
             (unsigned long long)progress->records, stored_mib, elapsed_s,
             elapsed_s > 0 ? stored_mib / elapsed_s : stored_mib, mib(progress->copied_bytes));
}

/* The keys are on disk: they are taken from there. */
static void begin_reload(struct node *node) {
    if (!begin_load(node, true)) {
        end_reload(node, ERROR_NO_MEMORY);
        return;
    }
    for (uint32_t i = 0; i < DATABASE_COUNT; i++)
        keyspace_flush(node->keyspace, i);
}

static void saved(struct node *node, const struct checkpoint_progress *progress) {
    struct persistence *persistence = &node->persistence;
    log_saved(node, progress);
    persistence->last_done = persistence->last_begun;
    persistence->has_file = true;
    persistence->has_failed = false;
    persistence->retry_delay_ms = 0;
    persistence->retry_ms = 0;
    persistence->last_error[0] = '\0';
    persistence->saved_ms = node->monotonic_ms;
    persistence->saved_s = node->wall_ms / 1000;
    persistence->saved_changes = progress->changes_at_begin;
    note_checkpoint(node);
    if (node->cluster != NULL)
        handoff_file_want(node);
    if (persistence->is_cancelled)
        return; /* it was too late for that, and does not matter */
    if (persistence->reason == SAVE_FOR_STOP)
        persistence->stop_saves = false;
    if (persistence->reason == SAVE_FOR_RELOAD)
        begin_reload(node);
    else if (persistence->identity.is_in_flight)
        persistence->answers_with_note =
            true; /* an answer says that nothing of it can be lost any more, the note neither */
    else
        answer_all(node, &persistence->savers, NULL);
}

/* The node cannot end, or ends in spite of it. */
static void stop_failed(struct node *node) {
    struct persistence *persistence = &node->persistence;
    if (persistence->stop_is_forced) {
        node_log(node, NODE_LOG_WARNING, "The server ends all the same (SHUTDOWN FORCE)");
        persistence->stop_saves = false;
        return;
    }
    node_log(
        node, NODE_LOG_WARNING,
        "The server does not end, for what is not saved would be lost: it serves on. SHUTDOWN NOSAVE ends it "
        "without saving.");
    persistence->is_stopping = false;
    failover_stay(node);
    answer_all(node, &persistence->stoppers, "ERR Errors trying to SHUTDOWN. Check logs.");
    let_go(node);
}

static void not_saved(struct node *node, const struct checkpoint_progress *progress) {
    struct persistence *persistence = &node->persistence;
    char failure[PERSISTENCE_ERROR_SIZE], error[PERSISTENCE_ERROR_SIZE + 32];
    describe_failure(node, progress, failure);
    if (persistence->is_cancelled)
        node_log(node, NODE_LOG_NOTICE, "The save that was running is given up");
    else
        note_failure(node, failure);
    if (persistence->reason == SAVE_FOR_STOP && !persistence->is_cancelled)
        stop_failed(node);
    if (persistence->is_stopping && persistence->stop_saves)
        return; /* who waits gets the answer of the last save */
    snprintf(error, sizeof error, "ERR Saving failed (%s)", failure);
    if (persistence->is_reloading)
        end_reload(node, error);
    else
        answer_all(node, &persistence->savers, error);
}

/* When the next step may be made, where clients have been heard since the last one. */
static void rest(struct node *node, uint64_t started_ns) {
    struct persistence *persistence = &node->persistence;
    bool has_clients = node->statistics.reads != persistence->step_reads && !persistence->holds_commands;
    uint64_t now_ns = node_clock_ns(node);
    persistence->step_reads = node->statistics.reads;
    persistence->step_due_ns = has_clients ? now_ns + (now_ns - started_ns) * REST_FACTOR : 0;
}

static uint32_t save_step(struct node *node) {
    struct persistence *persistence = &node->persistence;
    if (node->monotonic_ns < persistence->step_due_ns)
        return 1;
    unsigned steps = persistence->holds_commands ? STEPS_PER_TURN_ALONE : 1;
    uint32_t budget = persistence->step_due_ns == 0 ? JOB_STEP_UNITS : STEP_UNITS_BESIDE_CLIENTS;
    enum checkpoint_state state = CHECKPOINT_WORKING;
    uint64_t started_ns = node_clock_ns(node);
    for (; steps > 0 && state == CHECKPOINT_WORKING; steps--) {
        uint64_t started_cpu_ns = node_thread_cpu_ns(node);
        state = checkpoint_writer_step(persistence->writer, budget);
        node_note_step(node, JOB_CHECKPOINT, started_cpu_ns);
    }
    rest(node, started_ns);
    if (state == CHECKPOINT_WAITING)
        return UINT32_MAX;
    if (state == CHECKPOINT_WORKING)
        return persistence->step_due_ns == 0 ? 0 : 1;
    struct checkpoint_progress progress = checkpoint_writer_progress(persistence->writer);
    checkpoint_writer_free(persistence->writer);
    persistence->writer = NULL;
    persistence->phase = PERSISTENCE_IDLE;
    persistence->last_copied_bytes = progress.copied_bytes;
    if (is_in_background(persistence->reason))
        persistence->last_duration_s = (int64_t)((node->monotonic_ms - persistence->save_started_ms) / 1000);
    if (state == CHECKPOINT_DONE)
        saved(node, &progress);
    else
        not_saved(node, &progress);
    return 0;
}

enum save_start persistence_reload(struct node *node) {
    struct persistence *persistence = &node->persistence;
    enum save_start start = persistence_save(node, SAVE_FOR_RELOAD);
    if (start == SAVE_STARTED)
        persistence->is_reloading = persistence->holds_commands = true;
    return start;
}

/* ---- The node's end ------------------------------------------------------------------------------------------------- */

/* Goes on towards the end as far as nothing is in the way. */
static void advance_stop(struct node *node) {
    struct persistence *persistence = &node->persistence;
    if (!persistence->is_stopping || node->shutdown != NODE_RUNNING || persistence->identity.is_in_flight)
        return;
    if (persistence->phase != PERSISTENCE_IDLE && persistence->phase != PERSISTENCE_OFF)
        return;
    if (!failover_is_drained(node))
        return;
    if (!persistence->stop_saves && persistence->stop != NODE_STOP_NOSAVE && handoff_file_is_pending(node))
        return;
    if (persistence->stop_saves) {
        if (persistence_save(node, SAVE_FOR_STOP) == SAVE_STARTED)
            return;
        stop_failed(node);
        if (!persistence->is_stopping)
            return;
    }
    node->shutdown = persistence->stop == NODE_STOP_NOSAVE ? NODE_SHUTDOWN_NOSAVE : NODE_SHUTDOWN;
}

/* A second wish for the end may only make it faster. */
static void hurry_up(struct node *node, enum node_stop how) {
    struct persistence *persistence = &node->persistence;
    if (how != NODE_STOP_NOSAVE || !persistence->stop_saves)
        return;
    persistence->stop = NODE_STOP_NOSAVE;
    persistence->stop_saves = false;
    if (persistence->phase == PERSISTENCE_SAVING)
        cancel_save(node);
}

static void stop(struct node *node, enum node_stop how, bool is_forced) {
    struct persistence *persistence = &node->persistence;
    persistence->stop_is_forced = is_forced || (persistence->is_stopping && persistence->stop_is_forced);
    if (persistence->is_stopping) {
        hurry_up(node, how);
    } else {
        /* What is not all in memory must not take the place of what is on disk. */
        bool is_whole = !persistence->is_loading;
        persistence->stop = how;
        persistence->stop_saves =
            is_whole && persistence->phase != PERSISTENCE_OFF &&
            (how == NODE_STOP_SAVE || (how == NODE_STOP_DEFAULT && node->config->save_count != 0));
        persistence->stop_is_final = !is_whole;
        persistence->is_stopping = persistence->holds_commands = true;
        persistence->is_scheduled = false;
        if (persistence->phase == PERSISTENCE_SAVING) {
            persistence->is_reloading = false;
            cancel_save(node);
        } else if (persistence->phase == PERSISTENCE_LOADING) {
            checkpoint_loader_cancel(persistence->loader);
        }
    }
    advance_stop(node);
}

/* The others have taken over, or one wish for the end has followed another. */
static void end_leaving(struct node *node) {
    struct persistence *persistence = &node->persistence;
    persistence->is_leaving = false;
    stop(node, persistence->stop, persistence->stop_is_forced);
}

void persistence_stop(struct node *node, enum node_stop how, bool is_forced, bool is_hasty) {
    struct persistence *persistence = &node->persistence;
    bool was_leaving = persistence->is_leaving;
    if (!persistence->is_stopping && !persistence->is_loading) {
        persistence->is_leaving = was_leaving || (!is_hasty && failover_leave(node));
        persistence->stop = how;
        persistence->stop_is_forced = is_forced || (was_leaving && persistence->stop_is_forced);
    }
    if (!persistence->is_leaving)
        stop(node, how, is_forced);
    else if (was_leaving)
        end_leaving(node);
}

bool persistence_abort_stop(struct node *node) {
    struct persistence *persistence = &node->persistence;
    if (!(persistence->is_stopping || persistence->is_leaving) || persistence->stop_is_final ||
        node->shutdown != NODE_RUNNING)
        return false;
    node_log(node, NODE_LOG_WARNING, "The server's end was called off (SHUTDOWN ABORT)");
    persistence->is_stopping = persistence->is_leaving = false;
    failover_stay(node);
    if (persistence->phase == PERSISTENCE_SAVING)
        cancel_save(node);
    answer_all(node, &persistence->stoppers, "ERR Errors trying to SHUTDOWN. Check logs.");
    answer_all(node, &persistence->savers, "ERR Saving failed (given up)");
    let_go(node);
    return true;
}

/* true: there is nothing more to be done with it. */
static bool end_writer(struct persistence *persistence) {
    enum checkpoint_state state;
    if (persistence->writer == NULL)
        return true;
    do {
        state = checkpoint_writer_step(persistence->writer, JOB_STEP_UNITS);
    } while (state == CHECKPOINT_WORKING);
    if (state == CHECKPOINT_WAITING)
        return false;
    checkpoint_writer_free(persistence->writer);
    persistence->writer = NULL;
    return true;
}

static bool end_loader(struct persistence *persistence) {
    enum checkpoint_load_state state;
    if (persistence->loader == NULL)
        return true;
    do {
        state = checkpoint_loader_step(persistence->loader, JOB_STEP_UNITS);
    } while (state == CHECKPOINT_LOAD_WORKING);
    if (state == CHECKPOINT_LOAD_WAITING)
        return false;
    checkpoint_loader_free(persistence->loader);
    persistence->loader = NULL;
    return true;
}

bool persistence_end(struct node *node) {
    struct persistence *persistence = &node->persistence;
    if (!persistence->is_ending && persistence->writer != NULL)
        checkpoint_writer_cancel(persistence->writer);
    if (!persistence->is_ending && persistence->loader != NULL)
        checkpoint_loader_cancel(persistence->loader);
    persistence->is_ending = true;
    bool is_over = end_writer(persistence);
    is_over = end_loader(persistence) && is_over;
    return is_over && !persistence->identity.is_in_flight;
}

void persistence_release(struct node *node) {
    const struct persistence *persistence = &node->persistence;
    CHECK(persistence->writer == NULL && persistence->loader == NULL && !persistence->identity.is_in_flight);
}

/* ---- Turns and ticks ------------------------------------------------------------------------------------------------- */

static void look_at_identity(struct node *node) {
    struct identity_task *task = &node->persistence.identity;
    task->is_done = false;
    if (task->seen_incarnation != 0)
        raised(node);
    else if (task->error != 0)
        node_log(node, NODE_LOG_WARNING, "That there is a checkpoint could not be noted: %s",
                 node->host.disk.error_text(task->error));
    if (node->persistence.answers_with_note) {
        node->persistence.answers_with_note = false;
        answer_all(node, &node->persistence.savers, NULL);
    }
}

uint32_t persistence_step(struct node *node) {
    struct persistence *persistence = &node->persistence;
    uint32_t wait_ms = UINT32_MAX;
    if (UNLIKELY(persistence->is_ending))
        return UINT32_MAX;
    if (UNLIKELY(persistence->identity.is_done))
        look_at_identity(node);
    if (UNLIKELY(persistence->phase == PERSISTENCE_LOADING))
        wait_ms = load_step(node);
    else if (UNLIKELY(persistence->phase == PERSISTENCE_SAVING))
        wait_ms = save_step(node);
    if (UNLIKELY(persistence->is_leaving) && failover_has_left(node))
        end_leaving(node);
    if (UNLIKELY(persistence->is_stopping))
        advance_stop(node);
    return wait_ms;
}

/* Whether a rule asks for a save now; the log is told which. */
static bool is_due(struct node *node) {
    const struct persistence *persistence = &node->persistence;
    const struct config *config = node->config;
    uint64_t elapsed_ms = node->monotonic_ms - persistence->saved_ms;
    uint64_t changes = node->keyspace->counters.changes - persistence->saved_changes;
    for (uint32_t i = 0; i < config->save_count && elapsed_ms != 0; i++) {
        const struct save_rule *rule = &config->save[i];
        if (changes < (uint64_t)rule->changes || (elapsed_ms - 1) / 1000 < (uint64_t)rule->seconds)
            continue;
        node_log(node, NODE_LOG_NOTICE, "%llu changes in %llu seconds: time to save",
                 (unsigned long long)changes, (unsigned long long)elapsed_ms / 1000);
        return true;
    }
    return false;
}

static void log_loading(struct node *node) {
    struct persistence *persistence = &node->persistence;
    if (node->monotonic_ms - persistence->load_noted_ms < LOAD_NOTE_MS)
        return;
    persistence->load_noted_ms = node->monotonic_ms;
    const struct checkpoint_load_progress *progress = checkpoint_loader_progress(persistence->loader);
    if (progress->file_bytes != 0)
        node_log(node, NODE_LOG_NOTICE, "Loading: %.0f %%, %llu keys",
                 100 * (double)progress->read_bytes / (double)progress->file_bytes,
                 (unsigned long long)progress->records_loaded);
}

void persistence_tick(struct node *node) {
    struct persistence *persistence = &node->persistence;
    if (persistence->loader != NULL)
        log_loading(node);
    if (persistence->phase != PERSISTENCE_IDLE || persistence->is_stopping || persistence->is_ending ||
        node->monotonic_ms < persistence->retry_ms)
        return;
    if (persistence->is_scheduled)
        persistence_save(node, SAVE_FOR_BGSAVE);
    else if (is_due(node))
        persistence_save(node, SAVE_FOR_RULE);
}

uint64_t persistence_oldest(const struct node *node) {
    const struct persistence *persistence = &node->persistence;
    if (persistence->phase == PERSISTENCE_OFF)
        return UINT64_MAX;
    if (persistence->has_file)
        return persistence->last_done;
    return persistence->phase == PERSISTENCE_SAVING ? persistence->last_begun : UINT64_MAX;
}

/* ---- INFO ------------------------------------------------------------------------------------------------------------ */

/* How long the rest will take if it goes on as it went; -1: nobody knows yet. */
static int64_t seconds_left(double elapsed_s, double percent) {
    return percent <= 0 ? -1 : (int64_t)(elapsed_s * (100 - percent) / percent + 0.5);
}

static void report_loading(const struct node *node, struct persistence_report *report) {
    const struct persistence *persistence = &node->persistence;
    report->loading = persistence->is_loading;
    report->loading_start_s = persistence->load_started_s;
    if (persistence->loader == NULL)
        return;
    const struct checkpoint_load_progress *progress = checkpoint_loader_progress(persistence->loader);
    report->loading_total_bytes = progress->file_bytes;
    report->loading_loaded_bytes = progress->read_bytes;
    report->loaded_keys = progress->records_loaded;
    report->expired_keys = progress->records_expired;
    if (progress->file_bytes != 0)
        report->loading_percent = 100 * (double)progress->read_bytes / (double)progress->file_bytes;
    int64_t left_s = seconds_left(seconds_since(node, persistence->load_started_ms), report->loading_percent);
    report->loading_seconds_left = left_s < 0 ? 1 : left_s;
}

static void report_saving(const struct node *node, struct persistence_report *report) {
    const struct persistence *persistence = &node->persistence;
    report->elapsed_s = report->seconds_left = -1;
    /* Also while its end is being noted: until then no other can begin. */
    report->saving = persistence->writer != NULL || persistence->answers_with_note;
    if (persistence->writer == NULL)
        return;
    struct checkpoint_progress progress = checkpoint_writer_progress(persistence->writer);
    double elapsed_s = seconds_since(node, persistence->save_started_ms);
    report->keys_total = progress.keys_total;
    report->keys_done = progress.keys_done < progress.keys_total ? progress.keys_done : progress.keys_total;
    report->records = progress.records;
    report->stored_bytes = progress.stored_bytes;
    report->copied_bytes = progress.copied_bytes;
    report->percent =
        progress.keys_total == 0 ? 100 : 100 * (double)report->keys_done / (double)progress.keys_total;
    report->elapsed_s = (int64_t)elapsed_s;
    report->seconds_left = seconds_left(elapsed_s, report->percent);
}

void persistence_report(const struct node *node, struct persistence_report *report) {
    const struct persistence *persistence = &node->persistence;
    *report = (struct persistence_report){.loaded_keys = persistence->loaded_keys,
                                          .expired_keys = persistence->expired_keys,
                                          .last_copied_bytes = persistence->last_copied_bytes,
                                          .saves = persistence->saves,
                                          .saved_s = persistence->saved_s,
                                          .last_duration_s = persistence->last_duration_s,
                                          .last_status = persistence->has_failed ? "err" : "ok",
                                          .last_error = persistence->last_error};
    /* While keys are loaded, those that were dropped for it are no changes. */
    if (!persistence->is_loading)
        report->changes = node->keyspace->counters.changes - persistence->saved_changes;
    report_loading(node, report);
    report_saving(node, report);
}
