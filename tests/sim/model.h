/* model.h - what a right server answers: the keyspace as a plain table, every command written the obvious way.
 *
 * Follows the node command by command, in the order in which the node executed them, and says of each answer whether it
 * is right. Where several answers are (a random key, a transaction whose watched key may just have been reclaimed), the
 * answer given decides how the model goes on. Commands that it does not know may answer anything.
 * Shares no code with src/ besides base/buffer.h and struct argument. Slow on purpose.
 * May touch: base. Must never know: the node, streams.
 * Tests: the simulator; a bug planted in the server must show.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include "base/argument.h"
#include "base/buffer.h"

#define MODEL_DATABASES 16
#define MODEL_NO_EXPIRY INT64_MIN

struct model;
struct model_session;

struct model_options {
    struct mem *mem;       /* never fails */
    const char *password;  /* NULL: none is asked for */
    bool has_memory_limit; /* -OOM is right for commands that need memory */
};

struct model *model_new(const struct model_options *options);
void model_free(struct model *model);

/* The wall clock of what follows. */
void model_set_time(struct model *model, int64_t now_ms);

/* A connection; `id` is what CLIENT ID answers. */
struct model_session *model_open(struct model *model, uint64_t id);
void model_close(struct model *model, struct model_session *session);

/* What saving and loading mean for commands. Kept up to date by who watches the server; all zero: it has no disk. */
struct model_saving {
    bool has_disk;
    bool is_loading;      /* most commands are refused */
    bool is_saving;       /* another save cannot begin */
    bool is_noting;       /* it is over, and a note about it is not durable yet */
    bool stops_writes;    /* by the settings, while */
    bool has_failed;      /* the last save in the background has */
    bool has_ended_well;  /* the last one of all */
    bool may_be_given_up; /* SAVE, by somebody who calls the server's end off */
    int64_t saved_s;      /* LASTSAVE */
};

struct model_saving *model_saving(struct model *model);

struct model_request {
    const struct argument *argv;
    uint32_t argc;
    const uint8_t *answer; /* NULL: none was given, or it is not known */
    size_t answer_size;
    bool memory_may_fail; /* -OOM is right, and then nothing has changed */
    bool has_waited;      /* the answer did not come at once */
};

enum model_verdict {
    MODEL_RIGHT,
    MODEL_WRONG,   /* `expected` holds what would have been right, or words about it */
    MODEL_UNKNOWN, /* no command of the model; the answer may be anything, and nothing has changed */
    MODEL_LOST     /* a transaction found no memory, or may have: some of it may have been done */
};

/* The session executes a request. */
enum model_verdict model_run(struct model *model, struct model_session *session,
                             const struct model_request *request, struct buffer *expected);

/* Whether the session's next request is answered, as CLIENT REPLY has it. */
bool model_is_silent(const struct model_session *session, const struct argument *argv, uint32_t argc);

unsigned model_protocol(const struct model_session *session);
bool model_is_authenticated(const struct model_session *session);
bool model_is_closing(const struct model_session *session); /* after QUIT */
bool model_is_monitor(const struct model_session *session);
uint32_t model_session_database(const struct model_session *session);
bool model_in_transaction(const struct model_session *session);

/* ---- Looking and mending ---- */

/* How OBJECT ENCODING describes a string: by its content, or as the command left it that wrote it. */
enum model_shape { SHAPE_NATURAL, SHAPE_EMBEDDED, SHAPE_RAW };

struct model_record {
    uint32_t database;
    enum model_shape shape;
    const uint8_t *key, *value;
    size_t key_size, value_size;
    int64_t expiry_ms; /* or MODEL_NO_EXPIRY */
};

/* What can be seen of the shape: of a long value nothing, and the server need not note what makes no difference. */
#define MODEL_SHORT_VALUE 44
static inline enum model_shape model_visible_shape(const struct model_record *record) {
    return record->value_size > MODEL_SHORT_VALUE ? SHAPE_RAW : record->shape;
}

/* Visits all live keys. */
void model_each(struct model *model, void (*visit)(void *context, const struct model_record *record),
                void *context);
uint64_t model_count(struct model *model);
/* A live key; false: absent. */
bool model_find(struct model *model, uint32_t database, const uint8_t *key, size_t key_size,
                struct model_record *record);

/* Bytes of all keys and values, expired ones included. */
uint64_t model_bytes(const struct model *model);

/* Keys that have expired stay in mind as ghosts until the server has let them go, for a clock that is set back may bring
 * them to life again. Asks is_there(context, record) for each of them, whether the server still holds it; what is not
 * there is forgotten. To be called whenever the clock was set back, and now and then. */
void model_settle_ghosts(struct model *model,
                         bool (*is_there)(void *context, const struct model_record *record), void *context);

/* While set, looking at an expired key does not make the server let it go. */
void model_keep_ghosts(struct model *model, bool keep);

/* It is not known what was executed: forgets all keys, then takes what the server has. */
void model_forget_keys(struct model *model);
void model_put(struct model *model, const struct model_record *record);

#endif
