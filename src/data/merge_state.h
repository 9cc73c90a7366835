/* merge_state.h - what a record carries besides its value so that concurrent versions of it can be merged: the parts of a
 * counter, or siblings.
 *
 * Most records carry none: of two concurrent strings the one with the highest counter wins. Two kinds do.
 *
 *   A counter (a key that INCR and its relatives have touched) is a base and one part for each actor that has added to it:
 *   the base is what the last plain write left (a number, a text, nothing), with that write's dot; a part has the sum
 *   of what its actor has added since, with the dot of the last addition. The value is base + parts. Of two bases the one with the
 *   higher dot wins; of two parts of one actor, too; a part that only one side has stays unless the other side's version
 *   covers its dot: that side has seen it, and a plain write has done away with it. A part of nobody is
 *   never made up, so no addition counts twice, and none is lost to a concurrent one. (What a plain write cannot do: take
 *   away the first half of a part whose second half it has not seen. Such a part stays whole.)
 *
 *   Siblings are the values that lost against concurrent ones, each with its dot: kept for who asks for them until a write that
 *   has seen them replaces all. The value itself is the one with the highest dot. At most MERGE_SIBLINGS_MAX, those with
 *   the highest dots, and at most MERGE_SIBLINGS_SIZE_MAX bytes of values; a deletion is no sibling. A counter may have
 *   siblings, too: bases that lost.
 *
 * What is merged is a set of dots with values under a version that tells which dots it has seen, so the order of merges does not
 * matter (only of siblings beyond their limit the order may decide which are dropped, as a dropped one may be missed when
 * another is done away with). The version itself is merged elsewhere (data/record.h); dots of parts and siblings are covered
 * by it, and its highest dot always belongs to the base or to a part. A base is kept as the text that it was written
 * as: one dot has the same bytes in whatever it stands.
 * The bytes: numbers with their lowest byte first; actors are the numbers of whoever holds the bytes (merge_state_renumber).
 *
 *   byte   kind, 1: counter
 *   byte   base: 0 nothing, 1 a number, 2 another text (the record's value is the text, and parts do not show), 3 the number 0
 *   2+8    dot of the base (actor ACTOR_NUMBER_NONE and counter 0 for nothing that was never there)
 *   [byte encoding, 2 size, bytes]  the text of a number (1)
 *   byte   number of parts (1 to VERSION_DOTS_MAX), sorted by actor
 *   each   2+8 dot, byte 1: an integer (8 bytes, signed), 2: a float (8 mantissa with its highest bit set, 2 exponent, signed,
 *          byte 1 if below 0; zero: all are 0), 3: an integer that does not fit into 8 bytes (16 bytes, signed)
 *   byte   number of siblings (0 to MERGE_SIBLINGS_MAX), then these as below
 *
 *   byte   kind, 2: siblings
 *   byte   number of siblings, at least 1, highest dot first
 *   each   2+8 dot, byte encoding, 4 size, bytes
 *
 * Source: Almeida, Shoker, Baquero, Delta State Replicated Data Types, 2018 (causal dot stores); Riak's and Dynamo's siblings.
 * May touch: base, data. Must never know: keys, tables, who holds it, where actors' identities are kept.
 * Invariants: every function that reads bytes takes only valid ones, but merge_state_is_valid(), which takes any.
 * Tests: tests/unit/data/merge_state_test.c, merge_state_histories_test.c, tests/fuzz/entries_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef DATA_MERGE_STATE_H
#define DATA_MERGE_STATE_H

#include "base/buffer.h"
#include "data/record.h"

#define MERGE_SIBLINGS_MAX      8
#define MERGE_SIBLINGS_SIZE_MAX (16u * 1024 * 1024)
#define ACTOR_NUMBER_NONE       UINT16_MAX

enum merge_state_kind { MERGE_STATE_COUNTER = 1, MERGE_STATE_SIBLINGS = 2 };

/* What INCR adds (an integer) or INCRBYFLOAT (a float). */
struct amount {
    bool is_float;
    int64_t integer;  /* unless is_float */
    long double real; /* if is_float */
};

static inline enum merge_state_kind merge_state_kind(const uint8_t *state) {
    return (enum merge_state_kind)state[0];
}

/* Whether the bytes, of whatever origin, are one merge state and nothing else: for values of this type (counters and siblings of
 * strings; a tombstone may have siblings). Floats are finite. */
bool merge_state_is_valid(const uint8_t *state, size_t size, unsigned record_type);

/* Calls for each dot's actor, in place: *actor may be changed. Stops when false is returned, and returns that. ACTOR_NUMBER_NONE is
 * not called for. After numbers were changed, merge_state_sort() gives parts their order back; false there: an actor comes twice. */
typedef bool merge_state_renumber_actor(void *context, uint16_t *actor);
bool merge_state_renumber(uint8_t *state, size_t size, merge_state_renumber_actor *renumber, void *context);
bool merge_state_sort(uint8_t *state, size_t size);

/* Calls for each dot but those of ACTOR_NUMBER_NONE. Stops when false is returned, and returns that. */
typedef bool merge_state_visit_dot(void *context, struct dot dot);
bool merge_state_each_dot(const uint8_t *state, size_t size, merge_state_visit_dot *visit, void *context);

/* Ended starts of the node that adds: nobody adds to their parts any more, so their sums may become a part of its own. */
struct merge_past {
    bool (*is_past)(const void *context, uint16_t actor);
    const void *context;
    /* No copy anywhere has a later part of theirs than what is at hand. Else they are gathered only where there are too many parts. */
    bool is_final;
};

/* Whether a state has a part of such a start. */
bool merge_state_has_past(const uint8_t *state, size_t size, const struct merge_past *past);

/* The state after `amount` was added by `dot` to what `old` holds (NULL: an absent key; a tombstone or an expired record: is_gone), where the
 * value is a number. Appended to `state`, into which `old` must not point; false: no memory. Siblings stay; of an expired record nothing
 * does. past: NULL: none. version: of the record that it is for; what that does not cover becomes what merge_state_cover() makes
 * of it. NULL: it covers all. */
bool merge_state_add(struct buffer *state, const struct record_parts *old, bool is_gone, struct dot dot,
                     const struct amount *amount, const struct merge_past *past,
                     const struct version *version);

/* The state where the record's version has become `version`, with `dot` as the newest, and had no room for all dots: parts that it does not
 * cover are added to the base, which is by `dot` then; siblings that it does not cover go. Appended to `out`, into which `state`
 * must not point. false: no memory. */
bool merge_state_cover(struct buffer *out, const uint8_t *state, size_t size, const struct version *version,
                       struct dot dot);

/* The same in place, if that needs no other size: the part of this actor is there, of the same kind. false: nothing was changed. */
bool merge_state_add_in_place(uint8_t *state, size_t size, struct dot dot, const struct amount *amount);

/* After a write that leaves the value as it is and yet has a dot (EXPIRE): the base has this dot now, as the value of a record
 * without a state has by itself; a base that is nothing is 0 from then on, so that there is something that has the expiry.
 * Nothing for siblings. Without it the highest dot of a version would belong to nothing. */
void merge_state_touch(uint8_t *state, size_t size, struct dot dot);

/* One side of a merge: a record (its state, too) and its whole version. */
struct merge_side {
    const struct record_parts *parts;
    const struct version *version;
};

struct merge_context {
    /* The order of two actors that all nodes agree upon, for dots with the same counter. */
    int (*compare_actors)(const void *context, uint16_t one, uint16_t other);
    const void *context;
    /* The base that loses becomes a sibling. Siblings that are there already are merged in any case. */
    bool keeps_siblings;
};

/* The value and the state of what two concurrent records become. `winner` is the one whose value would stay if there were no states
 * (record_join). Fills *merged with the winner's parts, but for: value, value_size, type, encoding (of another value), expiry_ms
 * (that of the base which stays: INCR changes none, so it takes none away), state, state_size. Value and state point into a side's
 * bytes, into constants or into `bytes` (which is cleared first, and holds nothing of the sides). newest and others are left for the
 * caller. false: no memory.
 * Outcome: where a part is left, a counter; else the base with the highest dot, by itself or with siblings: those that either side
 * had and, if they are kept, the base that lost, unless the other side has seen them and has them no more. A counter whose base is
 * gone and which has no parts left is a tombstone; with parts it is their sum, also where its base is a deletion. A value too
 * long to show as a number cannot come up: sums that overflow stop at the greatest number. Of types that have no states (neither
 * string nor tombstone) the winner stays as it is. */
bool merge_state_merge(const struct merge_context *context, const struct merge_side *winner,
                       const struct merge_side *loser, struct record_parts *merged, struct buffer *bytes);

/* Reads siblings one by one, highest dot first: from *at = 0 on. false: there are no more. */
struct sibling {
    struct dot dot;
    const uint8_t *value;
    uint32_t size;
    uint8_t encoding;
};
bool merge_state_next_sibling(const uint8_t *state, size_t size, size_t *at, struct sibling *sibling);

#endif
