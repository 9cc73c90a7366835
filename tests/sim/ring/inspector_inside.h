/* inspector_inside.h - what the files of the inspector share.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_RING_INSPECTOR_INSIDE_H
#define SIM_RING_INSPECTOR_INSIDE_H

#include "base/buffer.h"
#include "sim/ring/inspector.h"

/* Stands for the actor of a fact about a whole version. */
#define FACT_OF_VERSION UINT32_MAX

/* ---- inspector.c ---- */

/* The inspector's number of an actor. */
uint32_t inspector_find_actor(struct inspector *inspector, const struct actor_identity *identity);
/* Of those with the highest counter the one with the highest identity: so nodes decide ties. */
struct known_dot inspector_newest(const struct inspector *inspector, const struct known_dot *dots,
                                  uint32_t count);
/* The place among the dots that are kept. */
uint32_t inspector_keep_version(struct inspector *inspector, const struct known_version *version);
uint64_t inspector_flush_counter(const struct inspector *inspector, const struct station *station,
                                 uint32_t key);
uint64_t inspector_floor(const struct inspector *inspector, const struct station *station, uint32_t key);
bool inspector_descends(const struct known_dot *dots, uint32_t count, const struct known_dot *from,
                        uint32_t from_count);
/* Looks at a key in all nodes. */
void inspector_look_everywhere(struct inspector *inspector, uint32_t key);
/* What is known of a dot; its actor is 0: nothing. */
struct dot_fact *inspector_find_fact(const struct inspector *inspector, uint32_t actor, uint64_t counter);
/* For people: who has what of a key. */
void inspector_note_copies(struct inspector *inspector, uint32_t key);

static inline uint64_t inspector_counter_of(const struct known_dot *dots, uint32_t count, uint32_t actor) {
    for (uint32_t i = 0; i < count; i++)
        if (dots[i].actor == actor)
            return dots[i].counter;
    return 0;
}

static inline const struct sight *inspector_sight(const struct inspector *inspector,
                                                  const struct station *station, uint32_t key) {
    return &inspector->sights[(size_t)station->number * inspector->history->key_count + key];
}

/* ---- inspector_claims.c ---- */

/* Whether what is claimed of a key, looked at in all nodes just now, is held. */
void inspector_check_key(struct inspector *inspector, uint32_t key);

/* ---- inspector_merges.c ---- */

/* Appends the merge state of a record, its actors by the inspector's numbers; nothing where there is none. */
void inspector_append_state(struct inspector *inspector, const struct actors *actors,
                            const struct record *record, struct buffer *out);
/* A state by the inspector's numbers. The dots of its siblings are added to `visible`. */
void inspector_check_siblings(struct inspector *inspector, uint32_t key, const struct buffer *state,
                              const struct known_version *version, struct known_version *visible);
void inspector_check_parts(struct inspector *inspector, uint32_t key, const struct buffer *state);
/* Perhaps merges two records of a key, of nodes that were looked at just now. */
void inspector_sample_merge(struct inspector *inspector, uint32_t key);

#endif
