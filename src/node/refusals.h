/* refusals.h - which links with other nodes came to nothing because one of the two ends does not want the other, and why.
 *
 * Another secret, another cluster, another protocol, an id that was removed: whoever runs the node has to see it, once and with the
 * address, though the other end calls again and again. A fixed number of pairs of address and reason is remembered; each is a
 * warning when it is new, and again after REFUSALS_WARN_MS if it goes on. Where all places are taken by what goes on still, further ones are
 * only counted: nobody can fill the log by calling.
 * The address of a caller is told without its port, which is another one with each call.
 *
 * May touch: base. Must never know: links, logs, clocks (time comes with every call; monotonic milliseconds).
 * Invariants: warnings in a time are bounded by the number of places, whatever comes.
 * Tests: tests/unit/node/refusals_test.c, cluster_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_REFUSALS_H
#define NODE_REFUSALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REFUSALS_MAX 16
/* What was not repeated for so long is over: it is shown no longer, and its place may be taken. */
#define REFUSALS_OVER_MS 60000
/* What goes on is a warning again after this. */
#define REFUSALS_WARN_MS      (600 * UINT64_C(1000))
#define REFUSAL_ADDRESS_SIZE  128
#define REFUSAL_REASON_SIZE   96
#define REFUSALS_PRINTED_SIZE (REFUSAL_ADDRESS_SIZE + REFUSAL_REASON_SIZE + 128)

struct refusal {
    char address[REFUSAL_ADDRESS_SIZE]; /* "" where the place is free */
    char reason[REFUSAL_REASON_SIZE];   /* one line of plain text */
    bool is_caller, is_theirs; /* this node has called; it is the other end that does not want this one */
    uint64_t times, last_ms, warned_ms;
};

/* All zero: there were none. */
struct refusals {
    struct refusal places[REFUSALS_MAX];
    uint64_t count; /* of all that ever were */
};

/* A link has ended so: of `what`, the address, the reason and the two truths are looked at. Returns what a warning is to be made of; NULL:
 * there was one already. */
const struct refusal *refusals_note(struct refusals *refusals, const struct refusal *what, uint64_t now_ms);
/* Address and reason of a refusal, cut to what is kept. */
void refusal_describe(struct refusal *refusal, const char *address, const char *reason);

/* The first at or behind place `from` that goes on; REFUSALS_MAX: there is none. */
uint32_t refusals_next(const struct refusals *refusals, uint32_t from, uint64_t now_ms);

/* "addr=...,direction=to,refused_by=peer,times=...,ms_ago=...,reason=..." with a zero behind it. */
void refusals_print(const struct refusal *refusal, uint64_t now_ms, char text[REFUSALS_PRINTED_SIZE]);

#endif
