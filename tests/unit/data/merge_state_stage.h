/* merge_state_stage.h - copies of one key on several nodes, for tests of merges: each writes by itself or takes in what another
 * one holds, as stores do.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef TESTS_MERGE_STATE_STAGE_H
#define TESTS_MERGE_STATE_STAGE_H

#include "data/merge_state.h"

#define ACTORS_MAX     5
#define COPY_VALUE_MAX 6000
#define COPY_STATE_MAX 8000
#define COPY_EXPIRY_MS 1000

/* A copy of the key: what a record holds. */
struct copy {
    bool exists;
    uint8_t type, encoding;
    uint32_t value_size, state_size;
    int64_t expiry_ms;
    struct dot newest;
    struct version version;
    uint8_t value[COPY_VALUE_MAX], state[COPY_STATE_MAX];
};

/* Nodes that share an agreed order of actors, whatever numbers they give them. */
struct world {
    struct mem mem;
    struct buffer bytes;
    bool keeps_siblings;
    uint16_t number[ACTORS_MAX];   /* by identity */
    uint16_t identity[ACTORS_MAX]; /* by number */
};

static inline struct dot dot_of(uint16_t actor, uint64_t counter) {
    return (struct dot){.actor = actor, .counter = counter};
}

void world_init(struct world *world, bool keeps_siblings);
void world_release(struct world *world);

/* The order of actors and of dots that all agree upon; `context` is a world. */
int compare_actors(const void *context, uint16_t one, uint16_t other);
int compare_dots(const struct world *world, struct dot one, struct dot other);

struct record_parts parts_of(const struct copy *copy);
bool is_alive(const struct copy *copy);

/* That its state is valid. */
void check_copy(const struct copy *copy);

/* Takes in what another copy holds, as a store does. */
void take_in(struct world *world, struct copy *ours, const struct copy *theirs);

/* Writes under a new dot. An expiry is COPY_EXPIRY_MS and the dot's counter. */
void set(struct copy *copy, struct dot dot, const char *text);
void bury(struct copy *copy, struct dot dot);
void expire(struct copy *copy, struct dot dot);

/* INCR or INCRBYFLOAT; is_expired: its time has come. false: the command refuses the value. */
bool add(struct world *world, struct copy *copy, struct dot dot, const struct amount *amount,
         bool is_expired);
bool increment(struct world *world, struct copy *copy, uint16_t actor, uint64_t counter, int64_t by);
bool increment_float(struct world *world, struct copy *copy, uint16_t actor, uint64_t counter,
                     long double by);

void expect_value(const struct copy *copy, const char *text);

/* The values of the siblings, with blanks between them. */
void expect_siblings(const struct copy *copy, const char *texts);

#endif
