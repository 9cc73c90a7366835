/* actors_test.c - the short numbers of writers, and what is the same of them in every process.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/actors.h"

#include <criterion/criterion.h>
#include <string.h>

static struct mem mem;
static struct actors actors;

static void set_up(void) {
    mem = (struct mem){0};
    cr_assert(actors_init(&actors, &mem));
}

static void tear_down(void) {
    actors_release(&actors);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(actors, .init = set_up, .fini = tear_down);

static struct actor_identity identity(uint8_t node, uint64_t incarnation) {
    struct actor_identity made = {.incarnation = incarnation};
    memset(made.node_id, node, NODE_ID_SIZE);
    return made;
}

Test(actors, a_writer_keeps_its_number_and_every_start_is_another_writer) {
    struct actor_identity self = identity(1, 1);
    actors_set_self(&actors, &self);
    cr_assert_eq(actors_intern(&actors, &self), ACTOR_SELF);
    uint16_t numbers[300];
    for (unsigned i = 0; i < 300; i++) {
        struct actor_identity other = identity((uint8_t)(2 + i / 100), i);
        numbers[i] = actors_intern(&actors, &other);
        cr_assert_eq(numbers[i], i + 1);
    }
    for (unsigned i = 0; i < 300; i++) {
        struct actor_identity other = identity((uint8_t)(2 + i / 100), i);
        cr_assert_eq(actors_intern(&actors, &other), numbers[i]);
    }
}

Test(actors, hashes_and_order_depend_on_the_identity_alone) {
    struct actors others;
    cr_assert(actors_init(&others, &mem));
    struct actor_identity a = identity(7, 1), b = identity(7, 256), c = identity(8, 1);
    uint16_t a_here = actors_intern(&actors, &a), b_here = actors_intern(&actors, &b),
             c_here = actors_intern(&actors, &c);
    uint16_t c_there = actors_intern(&others, &c), b_there = actors_intern(&others, &b);
    cr_assert_neq(b_here, c_here);
    cr_assert_neq(c_here, c_there);
    cr_assert_eq(actors_hash(&actors, b_here), actors_hash(&others, b_there));
    cr_assert_eq(actors_hash(&actors, c_here), actors_hash(&others, c_there));
    cr_assert_neq(actors_hash(&actors, a_here), actors_hash(&actors, b_here));
    cr_assert_neq(actors_hash(&actors, a_here), actors_hash(&actors, c_here));
    cr_assert_lt(actors_compare(&actors, a_here, b_here), 0);
    cr_assert_lt(actors_compare(&actors, b_here, c_here), 0);
    cr_assert_gt(actors_compare(&others, c_there, b_there), 0);
    cr_assert_eq(actors_compare(&actors, c_here, c_here), 0);
    actors_set_self(&others, &a);
    cr_assert_eq(actors_hash(&others, ACTOR_SELF), actors_hash(&actors, a_here));
    actors_release(&others);
}

Test(actors, there_is_an_end_of_numbers_and_of_memory) {
    struct actor_identity first = identity(1, 1);
    for (unsigned i = 1; i < ACTORS_MAX; i++) {
        struct actor_identity other = identity(2, i);
        if (i % 64 == 4) { /* now and then more room is needed */
            mem.fuse = 1;
            mem.fuse_stays_blown = true;
            uint16_t number = actors_intern(&actors, &other);
            mem.fuse = 0;
            mem.fuse_stays_blown = false;
            cr_assert(number == ACTORS_NONE || number == i);
        }
        cr_assert_eq(actors_intern(&actors, &other), i);
    }
    cr_assert_eq(actors_intern(&actors, &first), ACTORS_NONE);
    first = identity(2, 5);
    cr_assert_eq(actors_intern(&actors, &first), 5);
}
