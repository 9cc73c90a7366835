/* workload.h - what clients say: random requests, well-formed and otherwise, that get into each other's way.
 *
 * A script is where one client stands: in a transaction, in the middle of a SCAN, not yet authenticated. The words of a
 * request follow from the seed and from the answers so far.
 * May touch: chance, swarm. Must never know: the model, the node, what is right.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_WORKLOAD_H
#define SIM_WORKLOAD_H

#include "base/argument.h"
#include "base/buffer.h"
#include "sim/conversation.h"
#include "sim/swarm.h"

/* Where a client stands on its connection. */
struct script {
    uint32_t queued_left; /* commands before EXEC */
    bool in_multi, is_watching;
    bool is_new;       /* nothing was said yet */
    bool listens_only; /* MONITOR was said */
    bool is_over;      /* nothing more is to be said: the connection will close, or is stuck */
    bool is_silent;    /* CLIENT REPLY OFF was said */
    bool scan_waits;   /* for an answer */
    bool scan_goes_on;
    struct buffer scan_cursor;
    uint64_t wave_next, wave_end; /* bulk keys that shall all expire at one moment */
    int64_t wave_ms;
    struct buffer payload; /* the last that DUMP gave */
};

/* A request before it is sent. */
struct draft {
    struct mem *mem;
    enum saying_kind kind;
    struct buffer bytes;   /* the words' */
    size_t *ends;          /* of each word in it */
    struct argument *argv; /* once it is complete */
    uint32_t argc, capacity;
    const char *error; /* malformed: what is answered */
    bool is_inline;
    struct buffer wire;
};

struct workload {
    struct world *world;
    const struct swarm *swarm;
    struct draft draft;
    uint32_t total_weight;
    uint64_t values; /* drawn so far: makes them different */
};

void workload_init(struct workload *workload, struct world *world, const struct swarm *swarm);
void workload_release(struct workload *workload);

void script_init(struct script *script, struct mem *mem);
void script_release(struct script *script);

/* The next request of a client, in workload->draft. id: some client's CLIENT ID, to be killed perhaps. */
void workload_next(struct workload *workload, struct script *script, uint64_t some_id);

/* A client was answered. */
void script_answered(struct script *script, const struct saying *request, const uint8_t *reply, size_t size);

/* ---- For the generators of workload_calls.c ---- */

void draft_word(struct draft *draft, const void *data, size_t size);
void draft_text(struct draft *draft, const char *text);
void draft_integer(struct draft *draft, int64_t number);

/* Appends one of the keys. */
void workload_key(struct workload *workload);

/* Draws an ordinary command. */
void workload_call(struct workload *workload, struct script *script);
/* The next key of a wave. */
void workload_wave(struct workload *workload, struct script *script);
void workload_introspection(struct workload *workload);

#endif
