/* user.h - a user of the cluster: connected with one node at a time, asks for anything, many things at once, and reads the replies.
 *
 *   I-REPLY  exactly one reply to each command, in the order of the commands, well-formed, of the kind that the command gives;
 *            errors only of those kinds that a cluster may have to give (none in calm runs)
 *   I-LIVE   an answer comes, unless something is in the way
 *   I-ATOMIC in calm runs, what is written together is read together
 *
 * May touch: stations (as a client), the history. Must never know: the inside of nodes.
 * Tests: fleet_selftest.c, the planted bugs in mutants/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_RING_USER_H
#define SIM_RING_USER_H

#include "sim/reply_reader.h"
#include "sim/ring/history.h"
#include "sim/ring/station.h"

#define USER_EXPECTED_MAX 128

enum expectation_kind {
    EXPECT_ANSWER,
    EXPECT_BEGIN,  /* MULTI: OK */
    EXPECT_QUEUED, /* a command of a transaction */
    EXPECT_EXEC    /* the answers of all of them */
};

struct expectation {
    enum expectation_kind kind;
    struct operation *operation; /* the first one of a transaction, for EXPECT_EXEC */
    uint32_t count;              /* of operations of the transaction */
    uint64_t asked_ns;
};

struct user_observer {
    void *context;
    void (*told)(void *context, struct operation *operation); /* a write was acknowledged */
    /* May be NULL: of a write that waits for other copies so many have acknowledged it. */
    void (*undecided)(void *context, const struct operation *operation, uint32_t copies);
    void (*waited)(void *context, struct operation *last_write, int64_t copies);
    /* May be NULL: a value was read (data NULL: there is none); DBSIZE or the like has said a number. */
    void (*read)(void *context, uint32_t key, const uint8_t *data, size_t size);
    void (*number)(void *context, int64_t number);
};

struct user {
    struct world *world;
    const struct conditions *conditions;
    struct history *history;
    struct station *stations;
    const uint32_t *station_count;
    struct user_observer observer;
    uint64_t *requests_left;
    uint32_t number;
    struct station_client client;
    struct reply_reader reader;
    struct buffer heard; /* of the reply that is not complete */
    struct expectation expected[USER_EXPECTED_MAX];
    uint32_t expected_first, expected_count;
    struct operation *last_write; /* on this connection, acknowledged */
    struct operation *choice;     /* KV.QUORUM on this connection; NULL: none */
    bool has_failed_choice;
    uint32_t writes;        /* what it has chosen; 0: nothing */
    struct operation *scan; /* that is under way */
    uint64_t *scan_seen;    /* one bit for each key */
    uint32_t scan_calls;
    bool is_broken; /* EXEC will be refused */
    bool is_asleep; /* no event of its own is to come */
    uint64_t patience_ns;
    uint64_t errors;
};

void user_init(struct user *user, struct world *world, const struct conditions *conditions,
               struct history *history, struct station *stations, const uint32_t *station_count,
               uint32_t number);
void user_release(struct user *user);

/* From now on it asks, as long as *requests_left allows it. */
void user_start(struct user *user);

/* Connects with a certain node, for what the run itself asks. false: there is no process. */
bool user_connect(struct user *user, struct station *station);
void user_leave(struct user *user);

/* Asks for the value of a key; writes one, of one cell where long values are not asked for; asks how many keys there are. */
void user_ask_value(struct user *user, uint32_t key);
struct operation *user_set_value(struct user *user, uint32_t key);
struct operation *user_delete_value(struct user *user, uint32_t key);
struct operation *user_append_value(struct user *user, uint32_t key);
struct operation *user_count(struct user *user, uint32_t key);
struct operation *user_reset_count(struct user *user, uint32_t key);
void user_ask_size(struct user *user);
/* Sends a command that is only looked at; its words end with NULL. */
void user_look(struct user *user, const char *const *words);

static inline bool user_waits(const struct user *user) {
    return user->expected_count != 0;
}

/* Since when its oldest request waits. */
uint64_t user_waits_since_ns(const struct user *user);

/* ---- For requests.c ---- */

struct expectation *user_expect(struct user *user, enum expectation_kind kind, struct operation *operation);
void user_say_scan(struct user *user, const uint8_t *cursor, size_t size);

/* Draws the next request, or transaction, and says it. */
void user_request(struct user *user);
/* Perhaps chooses how many copies the connection's commands are about. */
void user_choose_quorum(struct user *user);

/* ---- For replies.c ---- */

/* The reply to an operation. false: the run has failed. */
bool user_judge(struct user *user, struct operation *operation, const uint8_t *reply, size_t size);
/* What an error means for what was asked. */
enum outcome user_judge_error(struct user *user, const struct operation *operation, const uint8_t *reply,
                              size_t size);
void user_told(struct user *user, struct operation *operation, enum outcome outcome);

#endif
