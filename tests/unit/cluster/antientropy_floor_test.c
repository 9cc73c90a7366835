/* antientropy_floor_test.c - floors are compared as flush counters are: the higher one wins, and what is buried stays so.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "antientropy_pair.h"

#include "base/crc16.h"
#include "store/floors.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void raise_floor(struct copy *copy, const char *key, int64_t ms) {
    uint32_t slot = crc16_key_slot((const uint8_t *)key, (uint32_t)strlen(key));
    cr_assert(floors_raise(copy->keyspace, slot, slot, (uint64_t)(PAIR_NOW_MS + ms) << 16));
}

static void pass_time(struct pair *pair, int64_t ms) {
    keyspace_set_time(pair->asker.keyspace, PAIR_NOW_MS + ms);
    keyspace_set_time(pair->answerer.keyspace, PAIR_NOW_MS + ms);
}

Test(antientropy_floor, the_higher_floor_goes_to_who_has_the_lower_one) {
    static struct pair pair;
    pair_init(&pair);
    for (unsigned i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        pair_put(&pair, key, "x");
    }
    pass_time(&pair, 1000000);
    for (unsigned i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        raise_floor(i % 2 == 0 ? &pair.asker : &pair.answerer, key, (i * 7919 % 100) * 5000 + 2000);
    }
    pair_converge(&pair, 2);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        cr_assert_eq(pair.asker.keyspace->ledger->floors.counters[slot],
                     pair.answerer.keyspace->ledger->floors.counters[slot]);
    cr_assert_eq(pair.asker.statistics.keys_sent + pair.answerer.statistics.keys_sent, 0);
    pair_expect_same(&pair);
    pair_release(&pair);
}

Test(antientropy_floor, tombstones_that_are_buried_on_one_side_go_on_the_other_and_do_not_come_back) {
    for (unsigned side = 0; side < 2; side++) {
        static struct pair pair;
        pair_init(&pair);
        struct copy *knows = side == 0 ? &pair.asker : &pair.answerer;
        pair_put(&pair, "stays", "x");
        pair_put(&pair, "{stays}2", "x");
        copy_delete(&pair.asker, "{stays}2");
        pair_converge(&pair, 2);
        pass_time(&pair, 100000);
        raise_floor(knows, "stays", 50000);
        while (floors_step(knows->keyspace, 100) != 0)
            continue;
        pair_converge(&pair, 3);
        struct argument key = {.data = (const uint8_t *)"{stays}2", .size = 8, .slot = ARGUMENT_NOT_PLACED};
        cr_assert_null(keyspace_find_record(pair.asker.keyspace, &key));
        cr_assert_null(keyspace_find_record(pair.answerer.keyspace, &key));
        cr_assert_not_null(copy_find(&pair.answerer, "stays"));
        pair_release(&pair);
    }
}

Test(antientropy_floor, while_something_is_being_dropped_nothing_is_compared) {
    static struct pair pair;
    pair_init(&pair);
    pair_put(&pair, "k", "x");
    pair_deliver(&pair, &pair.asker);
    copy_delete(&pair.answerer, "k");
    pass_time(&pair, 100000);
    raise_floor(&pair.answerer, "k", 50000);
    cr_assert(floors_are_dropping(pair.answerer.keyspace->ledger));
    cr_assert_eq(pair_round(&pair), COMPARE_OTHER_SET);
    while (floors_step(pair.answerer.keyspace, 100) != 0)
        continue;
    cr_assert_neq(pair_round(&pair), COMPARE_OTHER_SET);
    pair_release(&pair);
}
