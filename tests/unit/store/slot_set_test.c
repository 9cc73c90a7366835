/* slot_set_test.c - sets of slots: what is in them, and what comes next.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/slot_set.h"

#include <criterion/criterion.h>

Test(slot_set, knows_what_is_in_it) {
    struct slot_set set = {{0}};
    cr_assert_eq(slot_set_count(&set), 0);
    slot_set_add(&set, 63);
    slot_set_add(&set, 64);
    cr_assert(slot_set_has(&set, 63) && slot_set_has(&set, 64) && !slot_set_has(&set, 62));
    slot_set_remove(&set, 64);
    cr_assert(!slot_set_has(&set, 64) && slot_set_has(&set, 63));
    cr_assert_eq(slot_set_count(&set), 1);
}

Test(slot_set, shows_its_slots_in_order) {
    struct slot_set set = {{0}};
    cr_assert_eq(slot_set_next(&set, 0), SLOT_COUNT);
    slot_set_add(&set, 0);
    slot_set_add(&set, 63);
    slot_set_add(&set, 64);
    slot_set_add(&set, SLOT_COUNT - 1);
    cr_assert_eq(slot_set_count(&set), 4);
    cr_assert_eq(slot_set_next(&set, 0), 0);
    cr_assert_eq(slot_set_next(&set, 1), 63);
    cr_assert_eq(slot_set_next(&set, 64), 64);
    cr_assert_eq(slot_set_next(&set, 65), SLOT_COUNT - 1);
    cr_assert_eq(slot_set_next(&set, SLOT_COUNT), SLOT_COUNT);
}

Test(slot_set, shows_what_is_not_in_it_in_order) {
    struct slot_set set = {{0}};
    slot_set_add(&set, 0);
    slot_set_add(&set, 64);
    cr_assert_eq(slot_set_next_absent(&set, 0), 1);
    cr_assert_eq(slot_set_next_absent(&set, 64), 65);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        slot_set_add(&set, slot);
    cr_assert_eq(slot_set_next_absent(&set, 0), SLOT_COUNT);
    slot_set_remove(&set, SLOT_COUNT - 1);
    cr_assert_eq(slot_set_next_absent(&set, 1), SLOT_COUNT - 1);
}

Test(slot_set, takes_slots_that_follow_each_other) {
    static const uint32_t ranges[][2] = {{0, 0},
                                         {0, 1},
                                         {5, 63},
                                         {5, 64},
                                         {63, 65},
                                         {64, 128},
                                         {1, 200},
                                         {130, 130},
                                         {100, 700},
                                         {0, SLOT_COUNT},
                                         {SLOT_COUNT - 1, SLOT_COUNT}};
    for (unsigned i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        struct slot_set set = {{0}};
        slot_set_add_range(&set, ranges[i][0], ranges[i][1]);
        for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
            cr_assert_eq(slot_set_has(&set, slot), slot >= ranges[i][0] && slot < ranges[i][1], "%u, %u", i,
                         slot);
    }
}
