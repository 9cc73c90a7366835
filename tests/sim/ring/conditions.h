/* conditions.h - the conditions of one run of a cluster: how many nodes, what their users do, which faults there are and how bad.
 *
 * Drawn from the seed: each class of faults is there in half of the runs, its size over all magnitudes. Every eighth run is
 * calm (no fault at all), every eighth has a network and clocks without faults in which processes die and come:
 * there more is demanded of the answers. In every eighth the network is divided for long.
 * May touch: chance. Must never know: who acts upon it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_RING_CONDITIONS_H
#define SIM_RING_CONDITIONS_H

#include "sim/swarm.h"

#include <stdbool.h>

#define STATIONS_MAX 9

/* Keys of which what loses is kept where conflicts are kept: all of two kinds (history.h). */
#define KEPT_PREFIXES "s: {t"

/* What happens to single frames where the network carries frames. Per thousand of them. */
struct frame_faults {
    uint32_t lost, repeated, overtaken;
    uint64_t overtaken_max_ns; /* by so much at most */
};

/* How the network falls apart; the number of each is its bit in conditions->shapes. */
enum partition_shape {
    PARTITION_ONE,    /* one node is cut off */
    PARTITION_HALVES, /* no node of one part reaches one of the other */
    PARTITION_ONE_WAY,
    PARTITION_BRIDGE, /* two parts that have one node in common */
    PARTITION_CHAIN,  /* each node reaches only those beside it in a circle */
    PARTITION_SHAPE_COUNT
};

/* By which of its ways a cluster brings copies together again. */
enum repair_ways {
    REPAIR_ALL,      /* as it is set up by default */
    REPAIR_HINTS,    /* hinted handoff alone: nobody loses his memory there */
    REPAIR_READS,    /* read repair alone: connections break, and that is all that goes wrong there */
    REPAIR_COMPARING /* anti-entropy alone */
};

/* What is asked of how many copies. */
struct quorum_conditions {
    uint32_t reads, writes; /* read-quorum, write-quorum; 0: as they are */
    bool is_strict;         /* no stand-ins */
    bool wants_majority;    /* partition-mode majority */
    bool users_choose;      /* most of them say KV.QUORUM */
    bool
        is_register; /* reads and writes overlap, nobody loses his memory, members stay: each read has to be fresh */
    uint32_t timeout_ms; /* 0: as it is */
};

/* 0 always means: never. Times between two faults are drawn around these. */
struct weather {
    uint64_t partition_every_ns, partition_max_ns;
    uint32_t shapes;
    uint32_t resets_permille; /* of links that are cut: their connections are reset at once */
    uint64_t end_every_ns, down_max_ns;
    bool may_stop_in_peace;                         /* some ends are asked for */
    bool loses_power;                               /* some machines go silently */
    uint32_t disk_loss_permille, rollback_permille; /* of ends */
    uint64_t pause_every_ns, pause_max_ns;
    uint64_t skew_max_us; /* of the wall clocks among each other */
    uint64_t jump_every_ns, jump_max_us;
    uint64_t cut_every_ns;  /* a connection between two nodes breaks */
    uint64_t join_every_ns; /* those nodes come that are not there at the start */
    uint64_t removal_at_ns; /* a node is taken out of the cluster for good, while it is down */
};

/* Weights per thousand requests. */
struct ring_mix {
    uint32_t keys, users, pipeline_max, requests;
    uint64_t think_max_ns;
    uint32_t reads, sets, deletes, appends, ranges, counts, expiries, conditional, many, transactions, scans,
        sizes, flushes, waits, introspection;
    uint32_t cells_max;     /* of a value */
    uint32_t hot_permille;  /* of requests go to a few keys */
    uint32_t hops_permille; /* after a request its user goes to another node */
};

struct conditions {
    uint32_t nodes;                                  /* at the start */
    uint32_t late_nodes;                             /* that come later */
    uint32_t copies;                                 /* replication-factor */
    uint32_t save_s, save_changes;                   /* a save rule; save_changes 0: none */
    uint32_t gossip_interval_ms, suspect_timeout_ms; /* 0: as they are */
    bool is_framed; /* the network carries frames that may be lost, not streams of bytes */
    bool is_calm;   /* no fault at all */
    bool
        is_clear; /* neither network nor clocks have faults, nobody stands still; one process is down at a time */
    bool begins_in_storm; /* faults begin before the nodes have met */
    enum repair_ways repair;
    struct quorum_conditions quorum;
    uint32_t hint_window_s, tombstone_grace_s; /* 0: as they are */
    bool has_no_expiries;                      /* no key has a time to live */
    bool keeps_conflicts;                      /* of some keys the values that lose are kept: conflict-keep */
    uint64_t duration_ns;                      /* about so long the users ask; 0: as long as they like */
    uint64_t help_max_ns;                      /* of the disk, for a piece of work */
    struct network_faults network;
    struct frame_faults frames;
    struct weather weather;
    struct ring_mix mix;
};

void conditions_draw(struct conditions *conditions, struct rng *rng);

/* What a run is left with when peace comes. */
void conditions_heal(struct conditions *conditions);

/* How many copies a quorum may be about. */
uint32_t conditions_copies(const struct conditions *conditions);

void conditions_print(const struct conditions *conditions);

#endif
