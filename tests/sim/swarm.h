/* swarm.h - the conditions of one run: how many clients, what they do, which faults there are and how bad.
 *
 * Drawn from the seed: each fault is there in half of the runs, its size over all magnitudes, so that runs differ from
 * each other instead of all being the same mixture.
 * May touch: chance. Must never know: who acts upon it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_SWARM_H
#define SIM_SWARM_H

#include "sim/chance.h"

#include <stdint.h>

/* What happens to the bytes of a connection. 0 always means: never, or no limit. */
struct network_faults {
    uint64_t delay_min_ns, delay_max_ns;
    uint32_t arrive_max;     /* bytes that arrive at once */
    uint32_t read_max;       /* bytes that one read takes */
    uint32_t write_max;      /* bytes that one write takes */
    uint32_t window;         /* bytes on their way before a write takes none */
    uint32_t stall_permille; /* of arrivals */
    uint64_t stall_max_ns;
    uint32_t cut_permille; /* of connections, somewhere in their first cut_bytes_max bytes */
    uint64_t cut_bytes_max;
    uint32_t vanish_permille; /* of cuts: nobody tells the other end */
};

/* What clients do; weights are per thousand requests, or connections. */
struct workload_mix {
    uint32_t keys; /* different keys */
    uint32_t value_max;
    uint32_t databases;
    uint32_t expiry_max_ms; /* times to live */
    uint32_t malformed, partial, inline_form, unknown_words, long_calls, introspection, transactions, scans,
        flushes, expiry_heavy, bulk_loads, switches, kills, pauses, silences;
    uint32_t long_values; /* of values: longer than a checkpoint writes at once */
    uint32_t saves, shutdowns;
    bool waits_for_saves; /* SAVE, too */
    bool one_slot;        /* all keys share a hash tag */
};

/* Saving, and what goes wrong with it. 0 always means: never. */
struct disk_conditions {
    uint32_t rule_s, rule_changes;     /* one save rule; rule_changes 0: there is none */
    bool stops_writes;                 /* while saving does not work */
    uint64_t help_min_ns, help_max_ns; /* what the helper takes for a piece of work */
    uint32_t error_permille;           /* of pieces of work: from there on operations fail for a while */
    uint32_t full_permille;            /* of pieces of work: from there on there is no room for a while */
    uint64_t trouble_max_ns;
    uint32_t ends; /* of the process, in the middle of the run */
    bool may_stop; /* some of them because it was asked to; else it is killed, or the power fails */
    bool ends_at_last;
};

struct swarm {
    uint32_t clients;
    uint32_t pipeline_max; /* unanswered requests of a client */
    uint64_t think_max_ns;
    uint32_t requests; /* in all, after which the run comes to its end */
    struct network_faults network;
    struct workload_mix mix;
    struct disk_conditions disk;
    uint32_t pause_permille; /* of turns: the whole process stands still */
    uint64_t pause_max_ns;
    uint64_t jump_every_ns; /* the wall clock jumps about so often */
    uint64_t jump_max_ms;
    uint64_t slow_call_ns;       /* what each look at the clock costs */
    uint32_t no_memory_permille; /* of turns: an allocation fails */
    uint32_t no_memory_depth;    /* one of so many */
    uint64_t maxmemory;          /* above what the node takes by itself */
    bool has_password;
    uint32_t maxclients, timeout_s;
    uint32_t foreign_permille; /* of connections: not from this machine */
    bool shuffles_sessions;    /* ready connections are served in any order */
};

void swarm_draw(struct swarm *swarm, struct rng *rng);

/* What a run is left with when it comes to its end: no faults, so that all must be answered. */
void swarm_heal(struct swarm *swarm);

#endif
