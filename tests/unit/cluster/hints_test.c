/* hints_test.c - sets of missed keys: noted once, bounded, taken in batches, gone when acknowledged, given up as a whole.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/crc16.h"
#include "cluster/hints.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define KEY_SIZE 24

struct stage {
    struct mem mem;
    struct hash_secret secret;
    struct hints hints;
};

/* What a send() is to do, and what it was shown. */
struct sending {
    uint32_t shown, sent;
    uint32_t stop_at;        /* HINT_STOP before this one; 0: never */
    uint32_t needless_below; /* keys with lower numbers have nothing to be sent */
    uint64_t version;
    unsigned char seen[4096]; /* by number of the key */
};

struct going {
    uint32_t count;
    uint64_t version; /* of the last one */
    unsigned char seen[4096];
};

static void begin(struct stage *stage) {
    static const uint8_t seed[HASH_SEED_SIZE] = "hints";
    stage->mem = (struct mem){0};
    hash_secret_init(&stage->secret, seed);
    hints_init(&stage->hints, &stage->mem, &stage->secret);
}

static void end(struct stage *stage) {
    hints_release(&stage->hints);
    cr_assert_eq(stage->mem.used_bytes, 0u);
}

/* Key `number`, in `room`. */
static struct argument key_of(const struct stage *stage, char room[KEY_SIZE], unsigned number) {
    struct argument key = {.data = (uint8_t *)room};
    key.size = (uint32_t)snprintf(room, KEY_SIZE, "key:%u", number);
    key.slot = crc16_key_slot(key.data, key.size);
    key.hash = hash_bytes(&stage->secret, key.data, key.size);
    return key;
}

static bool add(struct stage *stage, uint16_t target, unsigned number, uint64_t now_ms) {
    char room[KEY_SIZE];
    struct argument key = key_of(stage, room, number);
    return hints_add(&stage->hints, target, &key, now_ms);
}

static unsigned number_of(const struct argument *key) {
    char text[KEY_SIZE] = "";
    memcpy(text, key->data, key->size);
    unsigned number = 0;
    cr_assert_eq(sscanf(text, "key:%u", &number), 1);
    cr_assert_eq(key->slot, crc16_key_slot(key->data, key->size));
    return number;
}

static enum hint_verdict send_key(void *context, const struct argument *key, uint64_t *version) {
    struct sending *sending = context;
    unsigned number = number_of(key);
    if (sending->stop_at != 0 && sending->sent + 1 == sending->stop_at)
        return HINT_STOP;
    sending->shown++;
    if (number < sending->needless_below)
        return HINT_NEEDLESS;
    sending->seen[number % 4096]++;
    sending->sent++;
    *version = sending->version;
    return HINT_SENT;
}

static void note_gone(void *context, const struct argument *key, uint64_t version) {
    struct going *going = context;
    going->seen[number_of(key) % 4096]++;
    going->count++;
    going->version = version;
}

Test(hints, a_key_is_noted_once_for_each_target) {
    struct stage stage;
    begin(&stage);
    cr_assert(!hints_has_any(&stage.hints, 3));
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < 100; i++)
            cr_assert(add(&stage, 3, i, 1000 + round));
    cr_assert(add(&stage, 40, 7, 2000));
    cr_assert_eq(hints_count(&stage.hints, 3), 100u);
    cr_assert_eq(hints_count(&stage.hints, 40), 1u);
    cr_assert_eq(hints_count(&stage.hints, 5), 0u);
    cr_assert_eq(hints_count(&stage.hints, 999), 0u);
    cr_assert_eq(stage.hints.count, 101u);
    cr_assert_eq(hints_age_ms(&stage.hints, 3, 1500), 500u);
    cr_assert_eq(hints_age_ms(&stage.hints, 40, 1500), 0u);
    char room[KEY_SIZE];
    struct argument key = key_of(&stage, room, 7);
    cr_assert(hints_has_key(&stage.hints, &key));
    cr_assert_eq(hints_of_slot(&stage.hints, key.slot), 2u);
    key = key_of(&stage, room, 100);
    cr_assert(!hints_has_key(&stage.hints, &key));
    end(&stage);
}

Test(hints, batches_show_every_key_once_and_acknowledged_ones_are_gone) {
    struct stage stage;
    begin(&stage);
    for (unsigned i = 0; i < 4000; i++)
        add(&stage, 1, i, 0);
    struct sending sending = {.version = 0x1234560};
    static struct going going;
    uint32_t batches = 0;
    while (hints_count(&stage.hints, 1) != 0) {
        uint32_t count = hints_take(&stage.hints, 1, HINTS_BATCH_MAX, send_key, &sending);
        cr_assert(count > 0 && count <= HINTS_BATCH_MAX);
        cr_assert_eq(hints_count(&stage.hints, 1), 4000 - going.count, "they stay until then");
        hints_acknowledge(&stage.hints, 1, note_gone, &going);
        batches++;
    }
    cr_assert_leq(batches, 8u);
    cr_assert_eq(going.count, 4000u);
    cr_assert_eq(going.version | 1, 0x1234561u);
    for (unsigned i = 0; i < 4000; i++)
        cr_assert(sending.seen[i] == 1 && going.seen[i] == 1, "key %u", i);
    cr_assert_eq(stage.hints.targets[1].delivered, 4000u);
    cr_assert_eq(stage.hints.used_bytes, 0u);
    cr_assert_eq(stage.hints.targets[1].used_bytes, 0u);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        cr_assert_eq(hints_of_slot(&stage.hints, slot), 0u);
    end(&stage);
}

Test(hints, what_is_noted_again_while_its_batch_is_on_its_way_stays) {
    struct stage stage;
    begin(&stage);
    for (unsigned i = 0; i < 50; i++)
        add(&stage, 1, i, 0);
    struct sending sending = {.version = 2};
    struct going going = {0};
    cr_assert_eq(hints_take(&stage.hints, 1, 100, send_key, &sending), 50u);
    add(&stage, 1, 17, 5);
    add(&stage, 1, 60, 5);
    hints_acknowledge(&stage.hints, 1, note_gone, &going);
    cr_assert_eq(going.count, 49u);
    cr_assert_eq(hints_count(&stage.hints, 1), 2u);
    memset(&sending, 0, sizeof sending);
    cr_assert_eq(hints_take(&stage.hints, 1, 100, send_key, &sending), 2u);
    cr_assert(sending.seen[17] == 1 && sending.seen[60] == 1);
    hints_acknowledge(&stage.hints, 1, NULL, NULL);
    cr_assert_eq(hints_count(&stage.hints, 1), 0u);
    end(&stage);
}

Test(hints, a_batch_that_may_not_have_arrived_waits_again) {
    struct stage stage;
    begin(&stage);
    for (unsigned i = 0; i < 50; i++)
        add(&stage, 1, i, 0);
    struct sending sending = {0};
    cr_assert_eq(hints_take(&stage.hints, 1, 100, send_key, &sending), 50u);
    hints_return(&stage.hints, 1);
    hints_acknowledge(&stage.hints, 1, NULL, NULL);
    cr_assert_eq(hints_count(&stage.hints, 1), 50u);
    cr_assert_eq(hints_take(&stage.hints, 1, 100, send_key, &sending), 50u);
    cr_assert_eq(sending.seen[49], 2);
    end(&stage);
}

Test(hints, a_full_batch_goes_on_with_the_others_later) {
    struct stage stage;
    begin(&stage);
    for (unsigned i = 0; i < 300; i++)
        add(&stage, 1, i, 0);
    static struct sending sending;
    for (unsigned i = 0; i < 60; i++) {
        sending.stop_at = sending.sent + 6;
        cr_assert_eq(hints_take(&stage.hints, 1, HINTS_BATCH_MAX, send_key, &sending), 5u, "batch %u", i);
        hints_acknowledge(&stage.hints, 1, NULL, NULL);
    }
    cr_assert_eq(hints_count(&stage.hints, 1), 0u);
    for (unsigned i = 0; i < 300; i++)
        cr_assert_eq(sending.seen[i], 1);
    end(&stage);
}

Test(hints, no_more_are_shown_than_the_limit_says) {
    struct stage stage;
    begin(&stage);
    for (unsigned i = 0; i < 4000; i++)
        add(&stage, 1, i, 0);
    struct sending sending = {.needless_below = 4000};
    cr_assert_eq(hints_take(&stage.hints, 1, 100, send_key, &sending), 0u);
    cr_assert(sending.shown >= 100 && sending.shown < 200, "%u", sending.shown);
    cr_assert_eq(hints_count(&stage.hints, 1), 4000 - sending.shown);
    end(&stage);
}

Test(hints, what_has_nothing_to_be_sent_goes_at_once) {
    struct stage stage;
    begin(&stage);
    for (unsigned i = 0; i < 100; i++)
        add(&stage, 1, i, 0);
    struct sending sending = {.needless_below = 30};
    cr_assert_eq(hints_take(&stage.hints, 1, HINTS_BATCH_MAX, send_key, &sending), 70u);
    cr_assert_eq(hints_count(&stage.hints, 1), 70u);
    hints_acknowledge(&stage.hints, 1, NULL, NULL);
    cr_assert_eq(stage.hints.targets[1].delivered, 70u);
    cr_assert_eq(stage.hints.count, 0u);
    end(&stage);
}

Test(hints, beyond_the_bound_a_hint_is_refused_and_counted) {
    struct stage stage;
    begin(&stage);
    hints_set_limits(&stage.hints, 4000, UINT64_MAX);
    unsigned taken = 0;
    for (unsigned i = 0; i < 1000; i++)
        taken += add(&stage, (uint16_t)(i % 2 + 1), i, 0);
    cr_assert(taken > 50 && taken < 200, "%u", taken);
    cr_assert_leq(stage.hints.used_bytes, 4000u);
    cr_assert_eq(stage.hints.targets[1].dropped + stage.hints.targets[2].dropped, 1000u - taken);
    cr_assert(add(&stage, 1, 0, 0), "what is noted already is no new one");
    struct sending sending = {0};
    hints_take(&stage.hints, 1, HINTS_BATCH_MAX, send_key, &sending);
    hints_acknowledge(&stage.hints, 1, NULL, NULL);
    cr_assert(add(&stage, 2, 999, 0), "there is room again");
    end(&stage);
}

Test(hints, a_target_that_stays_away_for_too_long_is_forgotten_until_it_is_back) {
    struct stage stage;
    begin(&stage);
    hints_set_limits(&stage.hints, UINT64_MAX, 10000);
    for (unsigned i = 0; i < 500; i++)
        add(&stage, 1, i, 1000 + i);
    add(&stage, 2, 1, 9000);
    cr_assert(!hints_expire(&stage.hints, 1, 10999));
    cr_assert(hints_expire(&stage.hints, 1, 11000));
    cr_assert(!hints_expire(&stage.hints, 1, 11000));
    cr_assert(!hints_expire(&stage.hints, 2, 11000));
    cr_assert(!hints_has_any(&stage.hints, 1));
    cr_assert(!add(&stage, 1, 2, 11000));
    uint32_t gone = 0, step;
    while ((step = hints_drop_step(&stage.hints, 100)) != 0) {
        cr_assert_leq(step, 130u);
        gone += step;
    }
    cr_assert_eq(gone, 500u);
    cr_assert_eq(stage.hints.targets[1].dropped, 501u);
    cr_assert(!add(&stage, 1, 2, 11000), "it is still away");
    cr_assert_eq(stage.hints.count, 1u);
    hints_welcome(&stage.hints, 1);
    cr_assert(add(&stage, 1, 2, 12000));
    cr_assert_eq(hints_age_ms(&stage.hints, 1, 12500), 500u);
    end(&stage);
}

Test(hints, a_target_that_is_forgotten_with_a_batch_on_its_way_loses_all) {
    struct stage stage;
    begin(&stage);
    for (unsigned i = 0; i < 200; i++)
        add(&stage, 1, i, 0);
    struct sending sending = {0};
    cr_assert_eq(hints_take(&stage.hints, 1, 1000, send_key, &sending), 200u);
    hints_forget(&stage.hints, 1);
    struct going going = {0};
    hints_acknowledge(&stage.hints, 1, note_gone, &going);
    cr_assert_eq(going.count, 0u);
    char room[KEY_SIZE];
    struct argument key = key_of(&stage, room, 3);
    cr_assert(!hints_has_key(&stage.hints, &key));
    while (hints_drop_step(&stage.hints, 64) != 0)
        continue;
    cr_assert_eq(stage.hints.count, 0u);
    cr_assert_eq(hints_of_slot(&stage.hints, key.slot), 0u);
    end(&stage);
}

Test(hints, a_flush_is_missed_until_it_is_acknowledged) {
    struct stage stage;
    begin(&stage);
    cr_assert(!hints_take_flush(&stage.hints, 1));
    cr_assert(hints_add_flush(&stage.hints, 1, 100));
    cr_assert(hints_has_any(&stage.hints, 1));
    cr_assert_eq(hints_count(&stage.hints, 1), 0u);
    cr_assert_eq(hints_age_ms(&stage.hints, 1, 150), 50u);
    cr_assert(hints_take_flush(&stage.hints, 1));
    hints_return(&stage.hints, 1);
    cr_assert(hints_take_flush(&stage.hints, 1));
    hints_add_flush(&stage.hints, 1, 200);
    hints_acknowledge(&stage.hints, 1, NULL, NULL);
    cr_assert(hints_has_any(&stage.hints, 1), "there was another one meanwhile");
    cr_assert(hints_take_flush(&stage.hints, 1));
    hints_acknowledge(&stage.hints, 1, NULL, NULL);
    cr_assert(!hints_has_any(&stage.hints, 1));
    end(&stage);
}

Test(hints, without_memory_a_hint_is_refused_and_nothing_is_half_done) {
    struct stage stage;
    begin(&stage);
    for (uint64_t fuse = 1; fuse < 200; fuse++) {
        stage.mem.fuse = fuse;
        uint32_t before = hints_count(&stage.hints, 9);
        bool done = true;
        for (unsigned i = 0; i < 40; i++)
            done = add(&stage, 9, (unsigned)fuse * 40 + i, 0) && done;
        bool has_failed = stage.mem.fuse == 0;
        stage.mem.fuse = 0;
        cr_assert_eq(done, !has_failed);
        cr_assert(hints_count(&stage.hints, 9) - before >= 39 || fuse < 3);
    }
    struct sending sending = {0};
    stage.mem.fuse = 1;
    cr_assert_eq(hints_take(&stage.hints, 9, 100, send_key, &sending), 0u);
    cr_assert_eq(sending.shown, 0u);
    stage.mem.fuse = 0;
    cr_assert_gt(hints_take(&stage.hints, 9, 100, send_key, &sending), 0u);
    end(&stage);
}
