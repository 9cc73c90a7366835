/* fleet.h - a whole simulated cluster: nodes, the network between them, their users, what is watched; and the course of a run.
 *
 * A run has two phases. First faults, as the conditions have them: nothing may be wrong. Then peace: all nodes are there, the
 * network and the clocks are good, nobody asks for anything new; and within a bounded time all are of one opinion:
 *   I-LIVE  every request has its answer
 *   I-RING  equal rings and routes, all members settled
 *   I-PLACE (told as I-CONV) nobody else has copies any more
 *   I-CONV  all holders of a key have the same version and the same bytes of it, digests are what the records give
 * and then every key is read once more through every node.
 *
 * May touch: all of this folder. Must never know: the clock of the machine.
 * Tests: fleet_selftest.c, the planted bugs in mutants/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_RING_FLEET_H
#define SIM_RING_FLEET_H

#include "sim/ring/inspector.h"
#include "sim/ring/user.h"

#define FLEET_OPERATOR (HISTORY_USERS - 2) /* who gives the commands of the run itself */
#define FLEET_READER   (HISTORY_USERS - 1) /* who reads all at the end */
#define LOST_IDS_MAX   64

#define MS_NS UINT64_C(1000000)
#define S_NS  UINT64_C(1000000000)

struct fleet {
    struct world world;
    struct conditions conditions;
    struct rng faults;
    struct network network;
    struct station stations[STATIONS_MAX];
    uint32_t station_count; /* that there are at most in this run */
    uint32_t begun_count;   /* of them were begun once */
    struct history history;
    struct inspector inspector;
    struct user users[HISTORY_USERS];
    uint32_t user_count; /* those that ask at random */
    uint64_t requests_left;
    char seeds[STATIONS_MAX][160];
    char secret[40];
    bool is_stormy; /* faults happen */
    bool is_parted; /* the network is cut somewhere, for a while */
    uint8_t lost_ids[LOST_IDS_MAX]
                    [NODE_ID_SIZE]; /* of nodes whose disks were lost: somebody has to take them out */
    uint32_t lost_id_count;
    uint64_t last_end_ns;
    struct operation *last_read;     /* whose value the operator or the reader has read last; NULL: none */
    bool last_read_is_nil, was_read; /* was_read: it was no error */
    int64_t last_number;
    uint64_t final_reads;
};

/* Conditions without any fault, for scenarios. */
void fleet_calm_conditions(struct conditions *conditions, uint32_t nodes, uint32_t copies);

/* Makes the world; no node is begun yet. */
void fleet_init(struct fleet *fleet, uint64_t seed, const struct conditions *conditions);
void fleet_release(struct fleet *fleet);

/* Begins the first conditions->nodes nodes, together. */
void fleet_begin_nodes(struct fleet *fleet);
void fleet_begin_node(struct fleet *fleet, uint32_t number, enum disk_fate fate);

/* Lets so much time go by. false: the run has failed. */
bool fleet_pass(struct fleet *fleet, uint64_t ns);
/* Lets time go by until all nodes are of one opinion; false: not within limit_ns, `why` says who is not. */
bool fleet_settle(struct fleet *fleet, uint64_t limit_ns, char why[256]);

/* Whether all that run are of one opinion about members, routes and records now (without_records: leaves these out). */
bool fleet_is_settled(struct fleet *fleet, bool without_records, char why[256]);
/* Whether all that run know each other. */
bool fleet_has_met(const struct fleet *fleet, char why[256]);
/* Reads every key, with a question to all of its copies, through one node. false: there is no answer, or the run has failed. */
bool fleet_read_all_copies(struct fleet *fleet);
/* At the end: digests against records, claims, and every key through every node. */
void fleet_check_all(struct fleet *fleet);

/* No faults any more. */
void fleet_heal(struct fleet *fleet);
/* Heals, and demands everything. */
void fleet_make_peace(struct fleet *fleet);

/* The operator's commands, through a node; each waits for its answer. false: there is none, or the run has failed. */
bool fleet_command(struct fleet *fleet, uint32_t node, const char *const *words);
struct operation *fleet_write(struct fleet *fleet, uint32_t node, uint32_t key);
struct operation *fleet_delete(struct fleet *fleet, uint32_t node, uint32_t key);
struct operation *fleet_append(struct fleet *fleet, uint32_t node, uint32_t key);
struct operation *fleet_count(struct fleet *fleet, uint32_t node, uint32_t key);
struct operation *fleet_reset(struct fleet *fleet, uint32_t node, uint32_t key);
bool fleet_read(struct fleet *fleet, uint32_t node, uint32_t key); /* sets fleet->last_read */
/* Takes the member out of the cluster that a station is, or was. */
bool fleet_remove(struct fleet *fleet, uint32_t through, const uint8_t id[NODE_ID_SIZE]);

/* The station that has an id now; STATIONS_MAX: none. */
uint32_t fleet_find_id(const struct fleet *fleet, const uint8_t id[NODE_ID_SIZE]);
/* The stations that hold a slot, as all agree: one bit each. */
uint32_t fleet_holders(const struct fleet *fleet, uint32_t slot);

/* ---- weather.c ---- */

void weather_begin(struct fleet *fleet);
/* Cuts the network in a shape. */
void weather_part(struct fleet *fleet, enum partition_shape shape, bool resets);

/* ---- Runs ---- */

struct fleet_options {
    uint64_t seed;
    bool is_verbose;
    unsigned last_lines;
    const char *scenario; /* NULL: what the seed says */
    /* Does something to the cluster that must not be; true: it is done. NULL: it is left in peace. */
    bool (*spoil)(struct fleet *fleet);
};

struct fleet_result {
    bool has_failed;
    char failure[WORLD_FAILURE_SIZE];
    uint64_t hash, events, turns, virtual_ms, requests, unknown, final_reads, claims, excused, unseen,
        fresh_demands, acknowledged, graves, merges, count_demands, siblings, kept;
    uint64_t clock_calls, gossip_frames, frames, bytes;
};

void fleet_run(const struct fleet_options *options, struct fleet_result *result);

/* Scenarios by name. */
const char *scenario_name(unsigned index);                               /* NULL: there are no more */
bool scenario_run(const char *name, struct fleet *fleet, uint64_t seed); /* false: nobody has that name */

/* A quiet cluster of 5 nodes and 50 requests a second, for so many virtual seconds: how fast it is simulated. */
void fleet_measure(uint64_t seconds, struct fleet_result *result);

/* Whether the simulator sees what is wrong. */
void fleet_selftest(uint64_t *passed, uint64_t *failed);

#endif
