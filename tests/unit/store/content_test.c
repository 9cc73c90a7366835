/* content_test.c - what records hold and what they have merely seen: digests, merges, and versions that are folded.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "company.h"
#include "data/merge_state.h"
#include "store/content.h"

#include <stdio.h>
#include <stdlib.h>

/* The first executes what is written, the others hold copies of it. */
static struct copy here, there, third;
static struct copy *const all[] = {&here, &there, &third};

static void open_all(void) {
    for (uint8_t i = 0; i < 3; i++)
        copy_open(all[i], (uint8_t)(1 + 3 * i));
}

static void close_all(void) {
    for (unsigned i = 0; i < 3; i++) {
        copy_check(all[i]);
        copy_close(all[i]);
    }
}

TestSuite(content, .init = open_all, .fini = close_all);

static void spread(struct copy *from, const char *name) {
    for (unsigned i = 0; i < 3; i++)
        if (all[i] != from)
            (void)bring(from, all[i], name);
}

static uint32_t dots_of(struct copy *copy, const char *name) {
    struct version version;
    record_version(copy_find(copy, name), &version);
    return version.count;
}

static uint64_t counter_of(struct copy *copy, const char *name) {
    return copy_find(copy, name)->counter;
}

static uint64_t digest_of(struct copy *copy, const char *name) {
    struct argument key = key_of(name);
    keyspace_place(copy->keyspace, &key);
    return copy->keyspace->ledger->digests[key.slot];
}

/* All home copies have what was stamped up to now: this copy knows it. */
static void fold(struct copy *copy, const char *name) {
    struct argument key = key_of(name);
    keyspace_place(copy->keyspace, &key);
    copy->keyspace->ledger->folds[key.slot] = counter_of(copy, name);
}

/* The key was written everywhere, one after the other. */
static void write_everywhere(const char *name) {
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(copy_put(all[2 - i], name, "old", EXPIRY_NONE));
        spread(all[2 - i], name);
    }
}

Test(content, a_write_keeps_what_the_version_has_seen_as_long_as_somebody_may_lack_it) {
    write_everywhere("a");
    cr_assert_eq(dots_of(&here, "a"), 3);
    fold(&here, "a");
    cr_assert(copy_put(&here, "b", "1", EXPIRY_NONE));
    struct argument key = key_of("a");
    keyspace_place(here.keyspace, &key);
    here.keyspace->ledger->folds[key.slot] = counter_of(&here, "a") - 1;
    cr_assert(copy_put(&here, "a", "new", EXPIRY_NONE));
    cr_assert_eq(dots_of(&here, "a"), 3);
}

Test(content, a_write_over_what_all_have_for_good_keeps_only_what_that_held) {
    write_everywhere("a");
    fold(&here, "a");
    cr_assert(copy_put(&here, "a", "new", EXPIRY_NONE));
    cr_assert_eq(dots_of(&here, "a"), 1);
    spread(&here, "a");
    cr_assert_eq(dots_of(&there, "a"), 1);
    copies_agree(&here, &there);
    copies_agree(&here, &third);
    /* Somebody else executes it now. */
    fold(&there, "a");
    cr_assert(copy_put(&there, "a", "newer", EXPIRY_NONE));
    cr_assert_eq(dots_of(&there, "a"), 2, "what it takes the place of has to be covered");
    spread(&there, "a");
    copies_agree(&here, &there);
    fold(&there, "a");
    cr_assert(copy_put(&there, "a", "newest", EXPIRY_NONE));
    cr_assert_eq(dots_of(&there, "a"), 1);
    spread(&there, "a");
    copies_agree(&there, &third);
    cr_assert_eq(here.keyspace->counters.merge_conflicts + third.keyspace->counters.merge_conflicts, 0);
}

Test(content, a_deletion_is_folded_like_any_write) {
    write_everywhere("a");
    fold(&here, "a");
    cr_assert(copy_delete(&here, "a"));
    cr_assert_eq(dots_of(&here, "a"), 1);
    spread(&here, "a");
    cr_assert_null(copy_get(&third, "a"));
    copies_agree(&here, &third);
}

Test(content, an_edit_of_a_long_value_that_folds_is_told_as_a_whole) {
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(copy_put_long(all[2 - i], "a", 5000, (uint8_t)i));
        spread(all[2 - i], "a");
    }
    for (unsigned i = 0; i < 3; i++)
        ledger_clear_effects(all[i]->keyspace->ledger);
    fold(&here, "a");
    struct argument key = key_of("a");
    struct entry entry;
    cr_assert_not_null(keyspace_lookup(here.keyspace, 0, &key, LOOKUP_WRITE, &entry));
    uint8_t *bytes = keyspace_edit(here.keyspace, 0, &key, &entry, 5000, ENCODING_RAW);
    bytes[17] = '!';
    keyspace_note_range(here.keyspace, 17, 1);
    cr_assert_eq(here.keyspace->ledger->effects[0].kind, EFFECT_WRITE);
    cr_assert_eq(dots_of(&here, "a"), 1);
    struct copy *others[] = {&there, &third};
    tell(&here, others, 2);
    copies_agree(&here, &there);
    copies_agree(&here, &third);
}

Test(content, what_was_merely_seen_is_in_no_digest) {
    write_everywhere("a");
    (void)bring(&here, &there, "a");
    fold(&here, "a");
    cr_assert(copy_put(&here, "a", "new", EXPIRY_NONE));
    /* As if the others had not folded. */
    struct record_parts parts;
    struct dot dots[VERSION_DOTS_MAX], others[VERSION_DOTS_MAX];
    record_parts(copy_find(&here, "a"), &parts, dots);
    translate(&here, &third, &parts, others);
    struct argument key = key_of("a");
    record_parts(copy_find(&third, "a"), &parts, dots);
    uint64_t before = digest_of(&third, "a");
    bool has_changed;
    parts.newest.counter = counter_of(&here, "a");
    cr_assert(keyspace_merge(third.keyspace, 0, &key, &parts, &has_changed));
    cr_assert(has_changed);
    cr_assert_eq(dots_of(&third, "a"), 3);
    cr_assert_eq(dots_of(&here, "a"), 1);
    cr_assert_neq(digest_of(&third, "a"), before);
    cr_assert_eq(digest_of(&third, "a"), digest_of(&here, "a"));
}

Test(content, of_two_records_that_hold_the_same_the_own_one_stays) {
    write_everywhere("a");
    struct argument key = key_of("a");
    struct record_parts parts;
    struct dot dots[VERSION_DOTS_MAX], others[VERSION_DOTS_MAX];
    record_parts(copy_find(&here, "a"), &parts, dots);
    translate(&here, &there, &parts, others);
    parts.other_count = 0; /* as if it had been folded there */
    bool has_changed;
    cr_assert(keyspace_merge(there.keyspace, 0, &key, &parts, &has_changed));
    cr_assert_not(has_changed);
    cr_assert_eq(dots_of(&there, "a"), 3);
    cr_assert_eq(there.keyspace->counters.merge_conflicts, 0);
}

static bool keeps_all(const void *context, const uint8_t *key, uint32_t key_size) {
    (void)context, (void)key, (void)key_size;
    return true;
}

Test(content, a_write_that_comes_again_with_what_it_has_met_takes_nothing_from_what_was_seen) {
    for (unsigned i = 0; i < 3; i++)
        all[i]->keyspace->keeps_siblings = keeps_all;
    cr_assert(copy_put(&third, "a", "old", EXPIRY_NONE));
    cr_assert(copy_delete(&third, "a"));
    cr_assert(copy_put(&there, "a", "loser", EXPIRY_NONE));
    keyspace_set_time(here.keyspace, NOW_MS + 10);
    cr_assert(copy_put(&here, "a", "winner", EXPIRY_NONE));
    (void)bring(&here, &third, "a");
    cr_assert_eq(dots_of(&third, "a"), 2); /* its deletion has lost, but is known */
    (void)bring(&there, &here, "a");
    cr_assert(bring(&here, &third, "a"));
    copy_holds(&third, "a", "winner");
    cr_assert_neq(record_state_size(copy_find(&third, "a")), 0);
    cr_assert_eq(dots_of(&third, "a"), 3);
    cr_assert_eq(digest_of(&third, "a"), digest_of(&here, "a"));
}

Test(content, an_older_copy_that_was_folded_away_loses_as_it_would_have_before) {
    cr_assert(copy_put(&third, "a", "old", EXPIRY_NONE));
    (void)bring(&third, &here, "a");
    cr_assert(copy_put(&here, "a", "new", EXPIRY_NONE));
    fold(&here, "a");
    cr_assert(copy_put(&here, "a", "newest", EXPIRY_NONE));
    cr_assert_eq(dots_of(&here, "a"), 1);
    (void)bring(&third, &here, "a");
    copy_holds(&here, "a", "newest");
    (void)bring(&here, &third, "a");
    copies_agree(&here, &third);
}

Test(content, a_counter_that_is_folded_counts_all_parts_once) {
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(copy_add(all[i], "a", 100));
        spread(all[i], "a");
    }
    cr_assert_eq(dots_of(&here, "a"), 3);
    fold(&there, "a");
    fold(&here, "a");
    /* Two that do not hear of each other: each part is still its actor's. */
    cr_assert(copy_add(&here, "a", 10));
    cr_assert(copy_add(&there, "a", 1));
    (void)bring(&here, &there, "a");
    (void)bring(&there, &here, "a");
    spread(&here, "a");
    copy_holds(&here, "a", "311");
    copies_agree(&here, &there);
    copies_agree(&here, &third);
    /* A plain write does away with the parts, wherever they are. */
    fold(&here, "a");
    cr_assert(copy_put(&here, "a", "7", EXPIRY_NONE));
    cr_assert_eq(dots_of(&here, "a"), 3, "what it held has to be covered, or it would count again");
    spread(&here, "a");
    copy_holds(&third, "a", "7");
    copies_agree(&here, &third);
    copies_agree(&here, &there);
    fold(&here, "a");
    cr_assert(copy_put(&here, "a", "8", EXPIRY_NONE));
    cr_assert_eq(dots_of(&here, "a"), 1);
    spread(&here, "a");
    copies_agree(&here, &there);
}

Test(content, an_expiry_of_a_counter_changes_the_digest_by_its_dot) {
    cr_assert(copy_add(&here, "a", 5));
    spread(&here, "a");
    cr_assert(copy_expire(&here, "a", NOW_MS + 100000));
    cr_assert_neq(digest_of(&here, "a"), digest_of(&there, "a"));
    spread(&here, "a");
    copies_agree(&here, &there);
    cr_assert(copy_add(&here, "a", 5));
    copy_check(&here);
    spread(&here, "a");
    copies_agree(&here, &third);
}

Test(content, versions_stay_short_however_many_starts_write) {
    struct rng rng;
    rng_init(&rng, 11);
    for (unsigned start = 0; start < 200; start++) {
        struct actor_identity identity = {.incarnation = 100 + start};
        memset(identity.node_id, 0x77, sizeof identity.node_id);
        uint16_t actor = actors_intern(&here.keyspace->actors, &identity);
        cr_assert_neq(actor, ACTORS_NONE);
        here.keyspace->actor = actor;
        if (start != 0)
            fold(&here, "a");
        if (rng_below(&rng, 2) == 0)
            cr_assert(copy_put(&here, "a", "1", EXPIRY_NONE));
        else
            cr_assert(copy_expire(&here, "a", NOW_MS + 100000 + start) || start == 0);
        if (start == 0)
            cr_assert(copy_put(&here, "a", "1", EXPIRY_NONE));
        spread(&here, "a");
        cr_assert_leq(dots_of(&here, "a"), 2);
        cr_assert_leq(dots_of(&third, "a"), 2);
        copies_agree(&here, &third);
    }
}

/* ---- Counters of nodes that start again and again ---- */

/* A later start of the node whose copy it is. */
static void start_again(struct copy *copy) {
    struct actors *actors = &copy->keyspace->actors;
    struct actor_identity identity = actors->identities[copy->keyspace->actor];
    identity.incarnation++;
    uint16_t actor = actors_intern(actors, &identity);
    cr_assert_neq(actor, ACTORS_NONE);
    keyspace_set_actor(copy->keyspace, actor);
}

/* How many dots the record holds: a base's and those of parts. */
static bool count_dot(void *context, struct dot dot) {
    (void)dot;
    ++*(uint32_t *)context;
    return true;
}

static uint32_t held_by(struct copy *copy, const char *name) {
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    uint32_t count = 0;
    record_parts(copy_find(copy, name), &parts, others);
    if (parts.state_size != 0)
        (void)merge_state_each_dot(parts.state, parts.state_size, count_dot, &count);
    return count;
}

static void all_hold(const char *name, int64_t number) {
    char digits[32];
    snprintf(digits, sizeof digits, "%lld", (long long)number);
    for (unsigned i = 0; i < 3; i++)
        copy_holds(all[i], name, digits);
    copies_agree(&here, &there);
    copies_agree(&here, &third);
}

/* What was stamped so far has every home copy, for good. */
static void fold_present(struct copy *copy, const char *name) {
    struct argument key = key_of(name);
    keyspace_place(copy->keyspace, &key);
    copy->keyspace->ledger->folds[key.slot] = copy->keyspace->counter;
}

Test(content, a_node_makes_the_counts_of_its_earlier_starts_its_own) {
    int64_t sum = 0;
    for (unsigned start = 0; start < 200; start++) {
        for (unsigned i = 0; i < 6;
             i++) { /* the key is written all the time, and never at or below a fold point */
            struct copy *copy = all[i % 3];
            cr_assert(copy_add(copy, "a", 1 + start));
            sum += 1 + start;
            spread(copy, "a");
            if (i >= 3)
                continue;
            for (unsigned k = 0; k < 3; k++)
                fold_present(all[k], "a");
            keyspace_set_time(here.keyspace, NOW_MS + start);
        }
        cr_assert_leq(held_by(&here, "a"), 3 + 3);
        cr_assert_leq(dots_of(&here, "a"), 9);
        all_hold("a", sum);
        start_again(all[start % 3]);
    }
    for (unsigned i = 0; i < 9; i++) {
        cr_assert(copy_add(all[i % 3], "a", 1));
        spread(all[i % 3], "a");
        for (unsigned k = 0; k < 3; k++)
            fold_present(all[k], "a");
    }
    all_hold("a", sum + 9);
    cr_assert_eq(held_by(&here, "a"), 3);
    cr_assert_leq(dots_of(&here, "a"), 3);
}

Test(content, counts_are_gathered_by_their_own_node_only) {
    cr_assert(copy_add(&there, "a", 5));
    spread(&there, "a");
    start_again(&there);
    cr_assert(copy_add(&there, "b", 1)); /* it writes under its present name */
    spread(&there, "b");
    cr_assert(copy_add(&here, "a", 10));
    spread(&here, "a");
    fold_present(&here, "a");
    cr_assert(copy_add(&here, "a", 10));
    cr_assert_eq(held_by(&here, "a"), 2, "it is not its own");
    spread(&here, "a");
    cr_assert(copy_add(&there, "a", 1));
    cr_assert_eq(held_by(&there, "a"), 3, "no fold point was found yet");
    fold_present(&there, "a");
    cr_assert(copy_add(&there, "a", 1));
    cr_assert_eq(held_by(&there, "a"), 2);
    /* Meanwhile on the other side of a cut: */
    cr_assert(copy_add(&here, "a", 100));
    cr_assert(copy_add(&third, "a", 1000));
    (void)bring(&there, &here, "a");
    (void)bring(&here, &third, "a");
    (void)bring(&third, &there, "a");
    (void)bring(&there, &here, "a");
    all_hold("a", 5 + 10 + 10 + 1 + 1 + 100 + 1000);
}

Test(content, without_fold_points_counts_of_too_many_starts_are_gathered_all_the_same) {
    int64_t sum = 0;
    for (unsigned start = 0; start < 300; start++) {
        struct copy *copy = all[start % 3];
        start_again(copy);
        cr_assert(copy_add(copy, "a", 1 + start % 7));
        sum += 1 + start % 7;
        spread(copy, "a");
        cr_assert_leq(held_by(&here, "a"), VERSION_DOTS_MAX);
        cr_assert_leq(dots_of(&here, "a"), VERSION_DOTS_MAX);
    }
    all_hold("a", sum);
}

/* What the copy writes from now on is another node's. */
static void become(struct copy *copy, unsigned node) {
    struct actor_identity identity = {.node_id = {0xee, (uint8_t)node}, .incarnation = 1};
    uint16_t actor = actors_intern(&copy->keyspace->actors, &identity);
    cr_assert_neq(actor, ACTORS_NONE);
    keyspace_set_actor(copy->keyspace, actor);
}

static void expect_covered(struct copy *copy, const char *name) {
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    struct version version;
    record_parts(copy_find(copy, name), &parts, others);
    record_version(copy_find(copy, name), &version);
    cr_assert(content_is_covered(&copy->keyspace->actors, &parts, &version));
}

/* Else it would be something new to itself, and could not be folded. */
Test(content, a_counter_holds_nothing_that_its_version_has_no_room_for) {
    char digits[32];
    int64_t sum = 7;
    cr_assert(copy_put(&here, "a", "7", EXPIRY_NONE));
    for (unsigned node = 0; node < 100; node++) {
        become(&here, node);
        if (node % 5 == 4) {
            cr_assert(copy_expire(&here, "a", 4000000000000 + node));
        } else {
            cr_assert(copy_add(&here, "a", 1 + node));
            sum += 1 + node;
        }
        expect_covered(&here, "a");
        snprintf(digits, sizeof digits, "%lld", (long long)sum);
        copy_holds(&here, "a", digits);
        cr_assert(bring(&here, &there, "a"));
        cr_assert_not(bring(&here, &there, "a"));
        copies_agree(&here, &there);
    }
    fold(&here, "a");
    cr_assert(copy_add(&here, "a", 1));
    expect_covered(&here, "a");
}

/* A plain write of one copy, which another one does not hear of yet. */
static void reset_count(struct copy *copy, const struct copy *deaf) {
    cr_assert(copy_put(copy, "a", "7", EXPIRY_NONE));
    for (unsigned i = 0; i < 3; i++)
        if (all[i] != copy && all[i] != deaf)
            (void)bring(copy, all[i], "a");
}

/* Starts, additions and meetings in any order; fold points where all copies have just been found equal. A copy that has missed
 * a plain write adds nothing before it has heard of it. */
static void count_in_disorder(uint64_t seed) {
    char names[1][16] = {"a"};
    struct copy *deaf = NULL;
    struct rng rng;
    rng_init(&rng, seed);
    int64_t sum = 0, now_ms = NOW_MS;
    unsigned starts = 0;
    for (unsigned i = 0; i < 600; i++) {
        struct copy *copy = all[rng_below(&rng, 3)], *other = all[rng_below(&rng, 3)];
        switch (rng_below(&rng, 12)) {
        case 0:
        case 1:
            if (copy != deaf)
                (void)bring(other, copy, "a");
            break;
        case 2: keyspace_set_time(copy->keyspace, now_ms += (int64_t)rng_below(&rng, 20)); break;
        case 3:
            if (starts++ < 4)
                start_again(copy);
            break;
        case 4:
            copies_meet(all, 3, names, 1);
            if (copy_find(&here, "a") == NULL)
                break;
            all_hold("a", sum);
            cr_assert_leq(dots_of(&here, "a"), 28);
            for (unsigned k = 0; k < 3; k++)
                if (rng_below(&rng, 4) != 0)
                    fold_present(all[k], "a");
            deaf = NULL;
            starts = 0;
            if (copy != other && rng_below(&rng, 3) == 0) {
                deaf = other;
                reset_count(copy, deaf);
                sum = 7;
            }
            break;
        default:
            if (copy == deaf)
                break;
            int64_t by = (int64_t)rng_below(&rng, 100) - 20;
            cr_assert(copy_add(copy, "a", by));
            sum += by;
        }
    }
    copies_meet(all, 3, names, 1);
    all_hold("a", sum);
}

Test(content, counts_are_exact_however_starts_and_meetings_and_fold_points_fall) {
    for (uint64_t seed = 0; seed < 12; seed++) {
        count_in_disorder(seed);
        close_all();
        open_all();
    }
}

Test(content, a_key_that_is_always_written_anew_has_a_bounded_version_and_loses_no_write) {
    char digits[32];
    for (unsigned start = 0; start < 200; start++) {
        struct copy *copy = all[start % 3];
        start_again(copy);
        snprintf(digits, sizeof digits, "value-%u", start);
        cr_assert(copy_put(copy, "a", digits, EXPIRY_NONE));
        if (start % 5 != 0) /* else the others miss it, and the next one writes without having seen it */
            spread(copy, "a");
        cr_assert_leq(dots_of(copy, "a"), VERSION_DOTS_MAX);
    }
    char names[1][16] = {"a"};
    copies_meet(all, 3, names, 1);
    for (unsigned i = 0; i < 3; i++)
        copy_holds(all[i], "a", digits);
    cr_assert_eq(dots_of(&here, "a"), VERSION_DOTS_MAX);
}
