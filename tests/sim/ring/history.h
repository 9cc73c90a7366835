/* history.h - what the users of a cluster have asked and were told, key by key, and what they may be told therefore.
 *
 * Values are made of *cells* of CELL_SIZE bytes, each the mark of the operation that wrote it ("u003.00001f;") or zeros
 * that SETRANGE left: so every byte that is read names its writer. A value that was set whole has the mark of one
 * operation only, however much was appended or written into it later.
 *   I-PHANTOM  what is read was written to that key, by somebody who had asked for it before, and in a place where he wrote
 *   I-HONEST   and not by somebody who was told that it was certainly not done
 *   I-FRESH    where no fault excuses it (calm and clear runs): a value is not read once another one, asked for after it was
 *              acknowledged, has been acknowledged itself
 *              Where reads and writes are about copies that overlap and nobody loses his memory, whatever the network does, all of it
 *              from the moment when it was acknowledged (a regular register); and there the write that is read is no older, by its
 *              stamp, than any that was acknowledged before
 *   I-COUNT    a counter is never above the number of those who counted and were not told that it was not done; in calm runs never
 *              below those who were told (and that no plain write can have done away with); and in the end, in no run, unless a node that had counts which nobody else had lost its
 *              memory, or was alone, or there was a flush, or so many actors have written the key that its version is full
 *
 * May touch: world, conditions. Must never know: nodes, connections.
 * Tests: fleet_selftest.c, the planted bugs in mutants/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_RING_HISTORY_H
#define SIM_RING_HISTORY_H

#include "sim/ring/conditions.h"
#include "sim/world.h"

#define CELL_SIZE 12
#define RESET_STEP \
    1000000 /* a counter is a multiple of this, by its last reset, and what has been counted since */
#define OPERATION_KEYS 6
#define KEY_NAME_SIZE  24
#define HISTORY_USERS  20 /* the last ones are the run's own */
#define NO_TIME        UINT64_MAX
/* In clear runs a write must be so old that it has reached all copies for sure. */
#define RIPE_NS UINT64_C(5000000000)
/* And no node may have had new routes so long before it. */
#define UNDISTURBED_NS UINT64_C(3000000000)

enum key_kind {
    KEY_PLAIN,
    KEY_VOLATILE, /* may have a time to live */
    KEY_COUNTER,  /* INCR and GET only, and of every other one RESET and DEL */
    KEY_TAGGED,   /* as plain, in few slots: for transactions */
    KEY_PAIR      /* two keys in a slot that are always written together */
};

enum operation_kind {
    OPERATION_GET,
    OPERATION_SET,
    OPERATION_GETSET,
    OPERATION_SETNX,
    OPERATION_DEL, /* of one key or several */
    OPERATION_APPEND,
    OPERATION_SETRANGE,
    OPERATION_INCR,
    OPERATION_EXPIRE,
    OPERATION_MSET,
    OPERATION_RESET, /* of a counter: a plain number in its place, from which history_find_reset() finds the operation */
    OPERATION_MGET,
    OPERATION_EXISTS,
    OPERATION_FLUSH,
    OPERATION_SCAN,
    OPERATION_SIZE,
    OPERATION_WAIT,
    OPERATION_LOOK, /* any other question */
    OPERATION_KIND_COUNT
};

enum outcome {
    OUTCOME_OPEN,
    OUTCOME_DONE,
    OUTCOME_NOTHING, /* done, and it changed nothing (SETNX of a key that is there) */
    OUTCOME_FAILED,  /* certainly not done */
    OUTCOME_UNKNOWN
};

struct operation {
    enum operation_kind kind;
    enum outcome outcome;
    uint32_t user, sequence;
    uint32_t key_count, keys[OPERATION_KEYS];
    uint32_t first_cell, cells; /* that it writes */
    uint64_t invoked_ns, done_ns;
    uint64_t newest_set_ns,
        newest_overwrite_ns; /* reads: of the first key, what had to be seen when it was asked */
    uint64_t counted;        /* reads of counters: those that had been told then */
    uint32_t writes;         /* W: copies that have it when it is acknowledged */
    uint64_t
        acknowledged_counter; /* reads: the highest stamp of what had been acknowledged when it was asked */
    uint64_t highest_counter; /* with which it was seen, where it was executed twice */
    uint32_t dot_actor;       /* of the record that it made, as it was found in a node; 0: not found */
    uint64_t dot_counter;
    uint64_t mark,
        mark_cells; /* of the value that is looked at: how many of its cells are this operation's */
    struct operation *next_open, *previous_open;
    bool is_open;
    bool was_repeated; /* it was seen with two stamps: executed in two places */
    bool missed_some;  /* a DEL that found nothing where some of its keys should be: there it is a read */
};

/* The newest write that is old enough, and one that will be. */
struct ripening {
    uint64_t ripe_ns;             /* when it was asked for; 0: none */
    uint64_t invoked_ns, done_ns; /* of the candidate; invoked_ns 0: none */
};

struct history_key {
    char name[KEY_NAME_SIZE];
    uint32_t name_size;
    enum key_kind kind;
    bool is_large;
    uint32_t slot;
    struct ripening sets, overwrites;
    uint32_t open_deletes;
    uint64_t last_delete_ns; /* when the last one was done; NO_TIME: nobody knows */
    uint64_t counts_asked, counts_refused;
    uint64_t counts_told; /* of those that no reset, nor DEL, can have done away with */
    uint32_t open_resets;
    uint64_t last_reset_asked_ns, last_reset_ns; /* the latter: when one was done */
    bool counts_are_excused;                     /* some may be lost */
    bool has_unknown; /* whoever wrote a value does not know whether he did: it may have been done late */
    uint64_t acknowledged_counter; /* the highest stamp of an acknowledged write of the whole value */
    uint64_t told_ns;              /* when a write of it was first acknowledged; 0: never */
};

struct history {
    struct world *world;
    const struct conditions *conditions;
    struct history_key *keys;
    uint32_t key_count;
    struct operation **operations[HISTORY_USERS];
    uint32_t operation_count[HISTORY_USERS], operation_capacity[HISTORY_USERS];
    struct operation *open;      /* writes without an answer */
    uint64_t disturbed_ns;       /* when a node last had new routes, or ended */
    bool was_flushed, is_strict; /* strict: I-FRESH and I-COUNT are demanded */
    bool is_register;            /* I-FRESH is demanded of all writes at once */
    bool is_final;               /* all writes are over, and all nodes agree */
    uint64_t marks;
    uint64_t outcomes[OPERATION_KIND_COUNT][OUTCOME_UNKNOWN + 1];
    uint64_t values_read, fresh_demands, count_demands;
};

void history_init(struct history *history, struct world *world, const struct conditions *conditions);
void history_release(struct history *history);

/* A new operation of a user, not yet asked for. */
struct operation *history_operation(struct history *history, uint32_t user, enum operation_kind kind);
/* Its keys and cells are known: it is asked for now. */
void history_ask(struct history *history, struct operation *operation);
void history_told(struct history *history, struct operation *operation, enum outcome outcome);

/* The cells that an operation writes. */
void history_write_cells(const struct operation *operation, uint8_t *cells);
/* The number that a reset writes, and the reset of a number; NULL: there is none. */
uint64_t history_reset_number(const struct operation *operation);
struct operation *history_find_reset(const struct history *history, uint64_t number);

/* The operation of a cell; NULL: it has none. */
struct operation *history_find_cell(const struct history *history, const uint8_t *cell);

/* A value of a key was read; data NULL: there was none. false: the run has failed. */
bool history_judge(struct history *history, const struct operation *reader, uint32_t key, const uint8_t *data,
                   size_t size);

/* Whether a key must be there for all who look from `from_ns` to now. */
bool history_is_there(const struct history *history, uint32_t key, uint64_t from_ns);

/* A node has other routes, or a process has ended: writes of this moment may be in danger. */
void history_disturb(struct history *history);
/* What has been counted where a counter is this number. The run fails where it cannot be. */
uint64_t history_counts(struct history *history, uint32_t key, int64_t number);

/* What was written to a key so far may be lost. */
void history_excuse(struct history *history, uint32_t key);

uint32_t history_find_key(const struct history *history, const uint8_t *name, size_t size); /* or key_count */

/* Whether the values of it that lose are kept. */
static inline bool history_keeps(const struct history *history, uint32_t key) {
    const char *name = history->keys[key].name;
    return history->conditions->keeps_conflicts &&
           ((name[0] == 's' && name[1] == ':') || (name[0] == '{' && name[1] == 't'));
}

static inline bool operation_writes(const struct operation *operation) {
    return operation->kind != OPERATION_GET && operation->kind != OPERATION_MGET &&
           operation->kind != OPERATION_EXISTS && operation->kind < OPERATION_SCAN;
}

/* Leaves nothing of what was there. */
static inline bool operation_sets(const struct operation *operation) {
    return operation->kind == OPERATION_SET || operation->kind == OPERATION_GETSET ||
           operation->kind == OPERATION_SETNX || operation->kind == OPERATION_MSET;
}

#endif
