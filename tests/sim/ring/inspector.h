/* inspector.h - looks into the memory of all nodes: which versions they hold of each key, and what follows from that.
 *
 *   I-DOT     one (node, incarnation, counter) names one write of one key: the same value, type and expiry wherever it is, also
 *             among siblings; of a counter, which is merged, one version names one value and one merge state
 *   I-VVMONO  in one process the version of a key never goes back: it covers what it covered before, or its value is that of a write
 *             with a higher counter; a record goes away only by expiry, a flush,
 *             or with its slot
 *   I-HOLD    what was acknowledged is held by somebody, under its version or one that descends from it, until all who
 *             held it have lost their memory
 *             in the meantime: one that W >= 2 copies had when it was told may lose W - 1 of them before it has been
 *             brought to W again, and no more go but by losing their memory
 *   I-ACK     when a write is told that W copies have it, or "n of W", so many have it; where stand-ins do not count, of those that hold its slot; where
 *             they do, the others keep it for one of these
 *             when WAIT says that so many have a write, they have it
 *   I-SIB     siblings are covered by the version, none twice, none is the value itself, and they are 8 at most
 *   I-PART    what a counter's base, a plain write, had seen of others' counts is not counted beside it
 *   I-KEPT    where conflicts are kept: an acknowledged value that no write has seen is the value or a sibling in the end
 *   I-DEL     a value whose deletion was seen does not come back: where it goes with its tombstone nobody has it any more, and it is not
 *             there in the end
 *   I-MERGE   (a sample) two records that two nodes hold of a key give the same, whichever comes first, and again
 * Versions are compared by the identities of their actors, never by the numbers that a node has for them.
 *
 * May touch: stations (their keyspaces, to read), the history. Must never know: the network, connections.
 * Tests: fleet_selftest.c, the planted bugs in mutants/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_RING_INSPECTOR_H
#define SIM_RING_INSPECTOR_H

#include "data/version.h"
#include "sim/ring/history.h"
#include "sim/ring/station.h"
#include "store/actors.h"

struct keyspace;
struct record;

#define CLAIMS_MAX 4 /* acknowledged writes of one key that are watched at a time */

/* A version with actors as this inspector numbers them, from 1; sorted by them. */
struct known_dot {
    uint64_t counter;
    uint32_t actor;
};
struct known_version {
    uint32_t count;
    struct known_dot dots[VERSION_DOTS_MAX];
};

/* What was seen last of a key in a node. */
struct sight {
    uint32_t process;  /* 0: never looked */
    uint32_t version;  /* place among the dots that are kept; 0: no record */
    uint64_t identity; /* of the record's version in that process: unchanged if this is */
    uint64_t counter;  /* the record's newest */
    bool has_expiry, is_tombstone;
    bool was_held; /* the node was a holder of the key's slot at the last look */
};

/* An acknowledged write that somebody must hold. */
struct claim {
    uint32_t actor; /* 0: none */
    uint64_t counter;
    uint32_t holders; /* one bit for each station */
    uint32_t losses;  /* of those who had it, since W had it */
    bool had_all;     /* W > 1, and so many had it when it was told */
    const struct operation *operation;
};

struct dot_fact {
    uint32_t actor; /* 0: an empty place; FACT_OF_VERSION: `counter` is the hash of a whole version */
    uint32_t key;
    uint64_t counter, value_hash;
    int64_t expiry_ms;
    uint32_t type, station;
    uint32_t version,
        visible; /* places among the dots that are kept: of the version that it was first seen with, and of the
                                  siblings beside it. What of the version is not among these, this write or one before has seen */
    const struct operation *operation; /* NULL: not known */
};

struct inspector_statistics {
    uint64_t looks, changes, facts, claims, excused, merges, unseen;
    uint64_t acknowledged, graves; /* by more than one copy; tombstones that were given up */
    uint64_t waits, kinds_of_conflict, siblings, kept;
};

struct inspector {
    struct world *world;
    const struct conditions *conditions;
    struct history *history;
    struct station *stations;
    uint32_t station_count;
    struct actor_identity *actors; /* by number - 1 */
    uint32_t actor_count, actor_capacity;
    uint32_t *numbers[STATIONS_MAX]; /* a process's numbers -> ours */
    uint32_t number_count[STATIONS_MAX], number_capacity[STATIONS_MAX], number_process[STATIONS_MAX];
    struct sight *sights;   /* station * key_count + key */
    struct known_dot *dots; /* all versions that were seen, each behind a dot that has their count */
    uint32_t dot_count, dot_capacity;
    struct dot_fact *facts; /* open addressing */
    uint32_t fact_count, fact_capacity;
    struct claim *claims; /* CLAIMS_MAX for each key */
    struct known_version
        *buried;       /* by key: what tombstones have covered; nothing where one may have been lost */
    bool *may_return;  /* by key */
    bool members_stay; /* for the whole run */
    bool was_alone;    /* somebody, when something was written */
    uint64_t *hashes;  /* of the keys, as all nodes hash them; 0: not yet known */
    bool *were_full;   /* the key has had as many siblings as there may be: some may have been dropped */
    uint64_t changes[STATIONS_MAX]; /* keyspace->counters.changes, as seen last */
    struct keyspace *merged[2];     /* where samples are merged; made when they are needed */
    struct mem merge_mem;
    uint64_t samples;
    uint64_t last_loss_ns; /* when a process last ended */
    struct inspector_statistics statistics;
};

void inspector_init(struct inspector *inspector, struct world *world, const struct conditions *conditions,
                    struct history *history, struct station *stations);
void inspector_release(struct inspector *inspector);

/* A turn of a station is over. */
void inspector_turned(struct inspector *inspector, struct station *station);
/* A write was acknowledged: from now on it must be held. */
void inspector_told(struct inspector *inspector, struct operation *operation);
/* A write was told that so many copies have it, and not whether more will. */
void inspector_undecided(struct inspector *inspector, const struct operation *operation, uint32_t copies);
/* WAIT said that so many others have the write. */
void inspector_waited(struct inspector *inspector, const struct operation *write, int64_t copies);
/* A station's memory is about to be lost. */
void inspector_losing(struct inspector *inspector, struct station *station);
/* Looks at every key of every node. */
void inspector_sweep(struct inspector *inspector);
/* At the end: all that is claimed is covered by all of those who hold the key (one bit each). */
void inspector_check_claims(struct inspector *inspector, uint32_t key, uint32_t holders);

/* At the end: no value is there that was deleted. */
void inspector_check_buried(struct inspector *inspector, uint32_t key, const struct station *holder);

/* At the end: what conflicts have left is there, as a holder of the key has it. */
void inspector_check_kept(struct inspector *inspector, uint32_t key, const struct station *holder);

/* The record of a key in a node, NULL if there is none. */
struct record *inspector_record(const struct inspector *inspector, const struct station *station,
                                uint32_t key);
/* Its version by the inspector's numbers. */
void inspector_version(struct inspector *inspector, const struct station *station,
                       const struct record *record, struct known_version *version);
/* Whether two nodes' records have the same merge state, or may have different ones: siblings beyond their limit may be others. */
bool inspector_same_state(struct inspector *inspector, uint32_t key, const struct keyspace *one,
                          const struct record *of_one, const struct keyspace *other,
                          const struct record *of_other);
/* Whether the value is that of the same write. What else two versions have seen may differ. */
bool inspector_same_write(const struct inspector *inspector, const struct known_version *one,
                          const struct known_version *other);
/* "3.1:174ab.2 7.1:174ab.1": for people. */
const char *inspector_print_version(const struct inspector *inspector, const struct known_version *version,
                                    char *text, size_t text_size);

#endif
