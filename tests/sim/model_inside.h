/* model_inside.h - the inside of the model, shared by its files only.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_MODEL_INSIDE_H
#define SIM_MODEL_INSIDE_H

#include "sim/model.h"
#include "sim/reply_reader.h"

#define MODEL_CHAINS 4096

/* A key; one that has expired stays as a ghost, for a clock that is set back may bring it to life again. */
struct model_entry {
    struct model_entry *next;
    uint8_t *key, *value;
    size_t key_size, value_size;
    int64_t expiry_ms;
    enum model_shape shape;
    uint64_t born;     /* when it came to be, in births: a later one is another key of the same name */
    bool is_reclaimed; /* a ghost that the server has surely let go */
    uint64_t scans;    /* one bit for each SCAN under way that has returned it */
    uint64_t listed;   /* the last KEYS or SCAN answer that named it, in model.listings */
};

struct model_database {
    struct model_entry **chains; /* NULL until it is used */
};

struct watched_name {
    struct watched_name *next;
    uint32_t database;
    uint8_t *key;
    size_t key_size;
    bool was_ghost; /* had expired when it was watched */
    bool is_unsure; /* WATCH found no memory: it may be watched or not */
};

struct queued_call {
    struct queued_call *next;
    struct argument *argv;
    uint32_t argc;
    size_t bytes; /* of this allocation */
};

/* A SCAN that goes on. */
struct scan_progress {
    bool is_running;
    uint32_t database;
    uint64_t cursor;  /* the next call's */
    uint64_t begun;   /* keys born before must be returned */
    unsigned bit;     /* its own in the entries' scans; 64: none is free, and nothing is checked */
    bool is_filtered; /* MATCH or TYPE: no promise about all keys is checked */
};

struct model_session {
    struct model_session *next, *previous;
    uint64_t id;
    uint32_t database;
    unsigned protocol;
    bool is_authenticated, is_closing, is_monitor;
    bool in_multi, is_broken;        /* between MULTI and EXEC; a command was refused there */
    bool watch_broken, watch_unsure; /* surely, perhaps */
    bool replies_off, skips_this;
    struct watched_name *watched;
    struct queued_call *queue, **queue_end;
    uint32_t queued;
    struct buffer name;
    struct scan_progress scan;
};

/* What DUMP gave out: RESTORE makes the value of it again. */
struct model_dump {
    struct model_dump *next;
    uint8_t *payload, *value;
    size_t payload_size, value_size;
};

struct model {
    struct model_options options;
    int64_t now_ms, latest_ms; /* latest_ms: the latest time since ghosts were settled */
    bool tells_nobody;         /* for now, changes are none to those who watch */
    bool reclaims_nothing;     /* for now, the server keeps what has expired */
    struct model_saving saving;
    struct model_database databases[MODEL_DATABASES];
    uint64_t births, listings;
    uint64_t scan_bits; /* in use */
    struct model_session *sessions;
    struct model_dump *dumps;
    unsigned dump_count;
};

struct model_call {
    struct model *model;
    struct model_session *session;
    const struct argument *argv;
    uint32_t argc;
    const char *name;      /* of the command, lower case */
    const uint8_t *answer; /* what the server said, NULL: nothing or not known */
    size_t answer_size;
    bool memory_may_fail, has_waited;
    bool is_without_memory; /* it did: what is run on is told so */
    bool from_queue;        /* of a transaction */
    struct buffer *out;     /* what it should have said */
    bool is_judged;         /* the command has looked at the answer itself, and put its verdict here: */
    enum model_verdict verdict;
};

typedef void model_command_run(struct model_call *call);

#define MODEL_NEEDS_MEMORY 1u /* refused above maxmemory */
#define MODEL_WITHOUT_AUTH 2u
#define MODEL_CONTROL      4u /* runs inside MULTI */
#define MODEL_NOT_IN_MULTI 8u
#define MODEL_ANYTHING     16u /* exists, but the model does not know it */
#define MODEL_WRITES       32u /* refused while saving does not work */
#define MODEL_LOADING      64u /* done also while keys are loaded */

struct model_command {
    const char *name;
    int arity; /* negative: at least */
    unsigned flags;
    model_command_run *run;
};

/* One table for each file of commands, ended by a row without a name. */
const struct model_command *model_string_commands(void);
const struct model_command *model_bit_commands(void);
const struct model_command *model_key_commands(void);
const struct model_command *model_scan_commands(void);
const struct model_command *model_session_commands(void);

/* ---- Keys (model_store.c) ---- */

struct model_entry *entry_any(struct model *model, uint32_t database, const uint8_t *key, size_t key_size);
bool entry_is_live(const struct model *model, const struct model_entry *entry);
/* The live key that a command looks up. */
struct model_entry *entry_find(struct model *model, uint32_t database, const struct argument *key);
/* Makes the key hold these bytes, whatever was there; an expiry comes with it. */
struct model_entry *entry_put(struct model *model, uint32_t database, const struct argument *key,
                              const uint8_t *data, size_t size, int64_t expiry_ms, enum model_shape shape);
/* Changes a live key's bytes in its place: its size, what is new being zero. The bytes are then the caller's to change. */
uint8_t *entry_resize(struct model *model, uint32_t database, struct model_entry *entry, size_t size,
                      enum model_shape shape);
void entry_set_expiry(struct model *model, uint32_t database, struct model_entry *entry, int64_t expiry_ms);
void entry_remove(struct model *model, uint32_t database, struct model_entry *entry);
void database_empty(struct model *model, uint32_t database);
void database_each(struct model *model, uint32_t database,
                   void (*visit)(struct model_entry *entry, void *context), void *context);
/* Live keys; *ghosts: expired ones that the server may still have. */
uint64_t database_count(const struct model *model, uint32_t database, uint64_t *ghosts);
/* Who watches keys knows of every change. A whole database is emptied or exchanged. */
void watch_tell_database(struct model *model, uint32_t database, uint32_t other);
void watch_forget(struct model *model, struct model_session *session);

void model_dumps_trim(struct model *model, unsigned kept);

/* ---- Sessions (model_session.c) ---- */

void session_reset_transaction(struct model *model, struct model_session *session);
void scan_forget(struct model *model, struct model_session *session);
void session_queue(struct model_call *call);
/* Whether a row of a queued command has one of the flags. */
bool session_queue_has(const struct model_session *session, unsigned flags);
/* Finds the row that a call means; NULL: there is no such command. */
const struct model_command *model_row(const struct argument *argv, uint32_t argc);
/* Runs one command with all that stands before it. */
enum model_verdict model_run_call(struct model_call *call);

/* ---- Words and answers (model_words.c) ---- */

bool word_is(const struct argument *argument, const char *word); /* in any case */
bool word_integer(const struct argument *argument, int64_t *value);
bool text_integer(const uint8_t *text, size_t size, int64_t *value);
bool reply_begins(const struct model_call *call, const char *words); /* the answer given */
bool bytes_equal(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size);

void answer_text(struct model_call *call, const char *line); /* the whole line without its end: "+OK" */
void answer_error(struct model_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
void answer_integer(struct model_call *call, int64_t value);
void answer_bulk(struct model_call *call, const void *data, size_t size);
void answer_bulk_text(struct model_call *call, const char *text);
void answer_null(struct model_call *call);
void answer_array(struct model_call *call, size_t count);
void answer_map(struct model_call *call, size_t pairs);
/* The verdict of a command that looks at the answer itself. */
void judge(struct model_call *call, bool is_right, const char *words);

#define WORDS_SYNTAX      "ERR syntax error"
#define WORDS_NOT_INTEGER "ERR value is not an integer or out of range"
#define WORDS_NOT_FLOAT   "ERR value is not a valid float"
#define WORDS_TOO_LARGE   "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
#define WORDS_DATABASE    "ERR DB index is out of range"
#define STRING_SIZE_MAX   (512u * 1024 * 1024)

#endif
