/* conversation.h - a node with a made-up world around it, and clients that talk to it line by line.
 *
 * Time stands still unless a test moves it; the host's answers are fields that a test may change.
 * May touch: node and all below it. Must never know: sockets, clocks.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef TESTS_UNIT_NODE_CONVERSATION_H
#define TESTS_UNIT_NODE_CONVERSATION_H

#include "node/state.h"

#define CONVERSATION_WALL_US INT64_C(1800000000123456)

struct conversation {
    struct mem mem; /* the node's */
    struct mem config_mem;
    struct config config;
    struct node *node;
    uint64_t clock_ns;      /* what the host's clock says */
    uint64_t clock_step_ns; /* by how much it goes on at each look */
    uint64_t cpu_ns;        /* the processor time that the thread has taken */
    uint64_t cpu_step_ns;   /* what each look finds it to have grown by */
    int64_t wall_us;
    char logged[512];    /* the last line of the log */
    char log[8192];      /* all lines, each ended by a newline; later ones than fit in are lost */
    char changed[64];    /* the last setting that the host was told of */
    const char *refuses; /* a setting that the host does not let change, or NULL */
    const char *file;    /* the config file's text, NULL: none */
    char written[4096];  /* what CONFIG REWRITE wrote */
    uint64_t slept_us;
    uint32_t random_seed; /* of the host's random bytes */
    unsigned purges;
    char reply[64 * 1024]; /* of the last say() */
};

void conversation_begin(struct conversation *conversation);

/* The same with a disk and somebody who does the work; identity may be NULL. Settings are lines of a config file. */
struct conversation_place {
    const struct disk *disk;
    const struct work_queue *work;
    struct identity *identity;
    const char *settings;
    bool start_empty;
};
void conversation_begin_at(struct conversation *conversation, const struct conversation_place *place);

/* Closes what is open, and demands that all memory is back. */
void conversation_end(struct conversation *conversation);

/* A client that connects from 127.0.0.1:<port>; 0: over the unix socket. */
struct session *conversation_client(struct conversation *conversation, unsigned port);

/* Sends one line (as typed into a terminal: words, quotes, \x00 in double quotes) and returns all that came
 * back, ended by a zero byte. A session that is to be closed afterwards is left open: see
 * conversation_is_closing(). */
const char *say(struct conversation *conversation, struct session *session, const char *line);

/* What has come for the session without asking. */
const char *hear(struct conversation *conversation, struct session *session);

bool conversation_is_closing(const struct session *session);

/* Begins a new turn so much later. */
void conversation_wait(struct conversation *conversation, uint64_t ms);

#endif
