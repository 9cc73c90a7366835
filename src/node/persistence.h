/* persistence.h - when the node saves and loads its keys, and what it tells about that.
 *
 * Begins checkpoints (by the save rules, for SAVE, BGSAVE, SHUTDOWN) and drives them and the loading at the start, one bounded
 * step at a time; the work itself is done by store/checkpoint_writer.h and checkpoint_loader.h. Knows what a failure
 * means: when it is tried again, which clients get an error, whether the node may end.
 * May touch: node, store, the host's disk and work queue (through those two). Must never know: sockets, the file's bytes.
 * Invariants: at most one of loader, writer and the identity's work item that changes the incarnation exists at a time; while
 * is_loading nobody but the loader writes keys; a waiting session is in exactly one of the two lists.
 * Tests: tests/unit/node/persistence_test.c, tests/sim/, tests/server/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_PERSISTENCE_H
#define NODE_PERSISTENCE_H

#include "base/list.h"
#include "node/node.h"
#include "store/checkpoint_loader.h"
#include "store/checkpoint_writer.h"

#define PERSISTENCE_ERROR_SIZE 192

enum persistence_phase {
    PERSISTENCE_OFF, /* the host has no disk */
    PERSISTENCE_LOADING,
    PERSISTENCE_RAISING, /* loaded; a higher incarnation is being made durable */
    PERSISTENCE_IDLE,
    PERSISTENCE_SAVING
};

enum save_reason { SAVE_FOR_RULE, SAVE_FOR_BGSAVE, SAVE_FOR_SAVE, SAVE_FOR_STOP, SAVE_FOR_RELOAD };

/* A change of the identity's file, on the helper. */
struct identity_task {
    struct work work;
    struct identity *identity; /* NULL: the node has none */
    const struct disk *disk;
    uint64_t seen_incarnation; /* 0: a checkpoint is to be noted; else the incarnation becomes a higher one */
    int error;
    bool is_in_flight;
    bool is_done; /* and its end was not yet looked at */
};

struct persistence {
    /* Looked at before every command: */
    bool is_loading;
    bool has_failed;     /* the last save in the background */
    bool is_leaving;     /* before the end is begun: other nodes take over what this one coordinates */
    bool holds_commands; /* of everybody but for SHUTDOWN: the node is to end, or to load anew */

    enum persistence_phase phase;
    struct checkpoint_loader *loader;
    struct checkpoint_writer *writer;
    struct identity_task identity;
    bool start_empty;

    uint64_t load_started_ms, load_noted_ms; /* monotonic */
    int64_t load_started_s;                  /* wall clock */
    uint64_t loaded_keys, expired_keys;      /* of the last load */

    enum save_reason reason;  /* of the save that runs */
    bool is_cancelled;        /* and whether its end is no news */
    uint64_t save_started_ms; /* monotonic */
    uint64_t step_due_ns;     /* monotonic: no step before this; 0: at once */
    uint64_t step_reads;      /* statistics.reads at the last step */
    uint64_t saved_ms;        /* monotonic, when the last one succeeded or, before that, the node began */
    int64_t saved_s;          /* the same by the wall clock */
    uint64_t saved_changes;   /* the keyspace's count of changes that is durable */
    int64_t last_duration_s;  /* of the last save in the background; -1: there was none */
    uint64_t last_copied_bytes;
    uint64_t saves; /* begun */
    uint64_t last_begun,
        last_done;     /* numbers of checkpoints of this start, whatever they were for; from 1, 0: none */
    bool has_file;     /* there is a checkpoint that the next start would load */
    bool is_scheduled; /* BGSAVE within a transaction */
    uint32_t retry_delay_ms; /* behind a failure; 0: the last one was none */
    uint64_t retry_ms;       /* monotonic: not before */
    char last_error[PERSISTENCE_ERROR_SIZE];
    struct list savers;     /* sessions in SAVE or DEBUG RELOAD */
    bool answers_with_note; /* they are answered when it is noted that there is a checkpoint */

    bool is_stopping;
    enum node_stop stop;  /* as it was asked for */
    bool stop_saves;      /* there is still a save to be made before the end */
    bool stop_is_forced;  /* ends also where that fails */
    bool stop_is_final;   /* the keys are not all in memory: no way back */
    struct list stoppers; /* sessions in SHUTDOWN */
    bool is_reloading;    /* DEBUG RELOAD */
    bool is_ending;       /* node_end() was called */
};

/* For node_new(), its last part: begins to load. false: no memory, nothing was begun. */
bool persistence_begin(struct node *node, const struct node_options *options);

/* A bounded step of what runs. Every turn. Returns after how many milliseconds the next one is to follow if nothing else happens:
 * 0, 1, or UINT32_MAX for "nothing is to be done". */
uint32_t persistence_step(struct node *node);

/* Every tick: save rules, news for the log. */
void persistence_tick(struct node *node);

/* As node_end(). */
bool persistence_end(struct node *node);
/* For node_free(). */
void persistence_release(struct node *node);

enum save_start { SAVE_STARTED, SAVE_RUNS_ALREADY, SAVE_NO_MEMORY, SAVE_NO_DISK };
enum save_start persistence_save(struct node *node, enum save_reason reason);

/* Saves all, empties the keyspace and loads it again (DEBUG RELOAD). */
enum save_start persistence_reload(struct node *node);

/* As node_stop(). is_forced: a save that fails is no reason to stay. is_hasty: without handing over to other nodes before. A second
 * call does not wait for them any longer either. */
void persistence_stop(struct node *node, enum node_stop how, bool is_forced, bool is_hasty);

/* false: nothing is stopping, or there is no way back. */
bool persistence_abort_stop(struct node *node);

/* Whether writes are refused because saving does not work. */
static inline bool persistence_refuses_writes(const struct persistence *persistence,
                                              const struct config *config) {
    return persistence->has_failed && config->stop_writes_on_bgsave_error && config->save_count != 0;
}

/* The number (last_begun) of the oldest checkpoint that a later start of this node might load, as things are; 0: one of before this start;
 * UINT64_MAX: there is none, and none is being made. */
uint64_t persistence_oldest(const struct node *node);

/* For INFO. */
struct persistence_report {
    uint64_t loading;
    int64_t loading_start_s;
    uint64_t loading_total_bytes, loading_loaded_bytes;
    double loading_percent;
    int64_t loading_seconds_left;
    uint64_t saving;
    uint64_t keys_done, keys_total, records, stored_bytes;
    double percent;
    int64_t seconds_left, elapsed_s; /* -1: unknown, or nothing runs */
    uint64_t copied_bytes, last_copied_bytes;
    uint64_t changes, saves;
    int64_t saved_s, last_duration_s;
    const char *last_status, *last_error;
    uint64_t loaded_keys, expired_keys;
};

void persistence_report(const struct node *node, struct persistence_report *report);

#endif
