/* expire_test.c - the active expiry: ticks, what is walked and what is left alone, pauses, odd clocks.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/expire.h"
#include "store/keyspace.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define NOW_MS   INT64_C(1790000000000)
#define BASE_MS  (EXPIRE_TICK_BASE << 8) /* 2024-01-01 */
#define LAST_MS  (BASE_MS + ((int64_t)EXPIRE_TICK_MAX << 8))
#define PASS_MAX 100000

static struct mem mem;
static struct keyspace *keyspace;

static void set_up(void) {
    mem = (struct mem){0};
    uint8_t seed[HASH_SEED_SIZE] = "sixteen bytes..";
    keyspace = keyspace_new(&mem, seed, 1);
    keyspace_set_time(keyspace, NOW_MS);
}

static void tear_down(void) {
    keyspace_free(keyspace);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(expire, .init = set_up, .fini = tear_down);

static struct argument key_of(const char *text) {
    return (struct argument){
        .data = (const uint8_t *)text, .size = (uint32_t)strlen(text), .slot = ARGUMENT_NOT_PLACED};
}

static void put(uint32_t database, const char *key, int64_t expiry_ms) {
    struct argument argument = key_of(key);
    struct value value = {.data = (const uint8_t *)"v", .size = 1, .expiry_ms = expiry_ms};
    cr_assert(keyspace_put(keyspace, database, &argument, &value));
}

/* Keys `format` filled in with 0, 1, 2... */
static void put_many(uint32_t database, const char *format, unsigned count, int64_t expiry_ms) {
    char key[64];
    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof key, format, i);
        put(database, key, expiry_ms);
    }
}

/* One walk over everything, in steps of this budget; the units that it took. */
static uint64_t pass(uint32_t budget) {
    uint64_t units = 0;
    for (unsigned steps = 0;; steps++) {
        uint32_t spent = keyspace_expire_step(keyspace, budget);
        if (spent == 0)
            return units;
        units += spent;
        cr_assert_lt(steps, PASS_MAX, "it does not end");
    }
}

static uint64_t expired_by_a_pass(void) {
    uint64_t before = keyspace->counters.expired;
    pass(JOB_STEP_UNITS);
    return keyspace->counters.expired - before;
}

Test(expire, ticks_grow_with_time_and_stay_between_their_ends) {
    static const int64_t times[] = {
        INT64_MIN,     -1,     0,           BASE_MS - 1, BASE_MS,       BASE_MS + 255,
        BASE_MS + 256, NOW_MS, LAST_MS - 1, LAST_MS,     LAST_MS + 256, INT64_MAX};
    uint32_t last = 0;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        cr_assert_geq(expire_tick(times[i]), last);
        last = expire_tick(times[i]);
        cr_assert_lt(last, UINT32_MAX, "UINT32_MAX means never");
    }
    cr_assert_eq(expire_tick(BASE_MS + 255), 0);
    cr_assert_eq(expire_tick(BASE_MS + 256), 1);
    cr_assert_eq(expire_tick(INT64_MAX), EXPIRE_TICK_MAX);
}

Test(expire, what_is_due_has_expired_wherever_ticks_can_tell) {
    for (int64_t now_ms = NOW_MS; now_ms < NOW_MS + 600; now_ms++)
        for (int64_t expiry_ms = now_ms - 600; expiry_ms <= now_ms + 600; expiry_ms++)
            if (expire_tick(expiry_ms) < expire_due_tick(now_ms))
                cr_assert_lt(expiry_ms, now_ms);
}

Test(expire, a_key_is_reclaimed_within_two_ticks_and_never_before_its_time) {
    for (int64_t offset_ms = 0; offset_ms < 300; offset_ms += 13) {
        put(0, "k", NOW_MS + 1000 + offset_ms);
        for (int64_t now_ms = NOW_MS; now_ms <= NOW_MS + 1000 + offset_ms; now_ms += 31) {
            keyspace_set_time(keyspace, now_ms);
            cr_assert_eq(expired_by_a_pass(), 0, "%d ms too early",
                         (int)(NOW_MS + 1000 + offset_ms - now_ms));
        }
        keyspace_set_time(keyspace, NOW_MS + 1000 + offset_ms + 512);
        cr_assert_eq(expired_by_a_pass(), 1);
        cr_assert_eq(keyspace_size(keyspace, 0), 0);
    }
}

Test(expire, a_neighbour_of_an_expired_key_lives_to_its_last_millisecond) {
    int64_t now_ms = NOW_MS + 1000;
    put(0, "{slot}gone", NOW_MS + 100);
    put(0, "{slot}last", now_ms);
    put(0, "{slot}next", now_ms + 1);
    keyspace_set_time(keyspace, now_ms);
    cr_assert_eq(expired_by_a_pass(), 1);
    cr_assert_eq(keyspace_size(keyspace, 0), 2);
    keyspace_set_time(keyspace, now_ms + 512);
    cr_assert_eq(expired_by_a_pass(), 2);
}

Test(expire, keys_that_live_on_are_left_alone) {
    put_many(0, "stays:%u", 1000, EXPIRY_NONE);
    put_many(0, "later:%u", 1000, NOW_MS + 3600000);
    put_many(0, "goes:%u", 1000, NOW_MS + 100);
    keyspace_set_time(keyspace, NOW_MS + 1000);
    cr_assert_eq(expired_by_a_pass(), 1000);
    cr_assert_eq(keyspace_size(keyspace, 0), 2000);
    cr_assert_eq(keyspace->databases[0]->expiring, 1000);
    keyspace_set_time(keyspace, NOW_MS + 3600000 + 512);
    cr_assert_eq(expired_by_a_pass(), 1000);
    cr_assert_eq(keyspace_size(keyspace, 0), 1000);
}

Test(expire, every_database_has_its_turn) {
    for (uint32_t database = 0; database < DATABASE_COUNT; database += 3)
        put_many(database, "k%u", 50, NOW_MS + 10);
    keyspace_set_time(keyspace, NOW_MS + 1000);
    cr_assert_eq(expired_by_a_pass(), 6 * 50);
    for (uint32_t database = 0; database < DATABASE_COUNT; database++)
        cr_assert_eq(keyspace_size(keyspace, database), 0);
}

Test(expire, where_nothing_is_due_no_record_is_looked_at) {
    put_many(0, "later:%u", 40000, NOW_MS + 3600000);
    cr_assert_leq(pass(JOB_STEP_UNITS), SLOT_COUNT / 16 + 1, "a unit for 16 slots");
    cr_assert_eq(expired_by_a_pass(), 0);
}

Test(expire, a_walked_slot_is_not_walked_again_before_the_next_of_it_is_due) {
    put_many(0, "{slot}first:%u", 100, NOW_MS + 100);
    put_many(0, "{slot}second:%u", 5000, NOW_MS + 10000);
    keyspace_set_time(keyspace, NOW_MS + 1000);
    cr_assert_gt(pass(JOB_STEP_UNITS), 5000, "all of them were looked at");
    cr_assert_eq(keyspace->counters.expired, 100);
    cr_assert_leq(pass(JOB_STEP_UNITS), SLOT_COUNT / 16 + 20);
    keyspace_set_time(keyspace, NOW_MS + 11000);
    for (unsigned i = 0; i < 100 && keyspace_size(keyspace, 0) != 0; i++)
        pass(JOB_STEP_UNITS);
    cr_assert_eq(keyspace->counters.expired, 5100);
}

Test(expire, a_step_stays_within_its_budget_and_the_next_goes_on_behind_it) {
    put_many(0, "goes:%u", 30000, NOW_MS + 100);
    keyspace_set_time(keyspace, NOW_MS + 1000);
    uint64_t steps = 0, before = 0;
    while (keyspace_expire_step(keyspace, 100) != 0) {
        /* The last leaf that is begun is finished: here a slot of a few keys. */
        cr_assert_leq(keyspace->counters.expired - before, 100 + 30);
        before = keyspace->counters.expired;
        steps++;
    }
    cr_assert_geq(steps, 30000 / 130);
    cr_assert_eq(keyspace_size(keyspace, 0), 0, "one pass saw them all");
}

Test(expire, a_change_of_the_expiry_counts_whichever_way_it_goes) {
    put(0, "sooner", NOW_MS + 3600000);
    put(0, "never", NOW_MS + 100);
    put(0, "later", NOW_MS + 100);
    static const struct {
        const char *key;
        int64_t expiry_ms;
    } changes[] = {{"sooner", NOW_MS + 100}, {"never", EXPIRY_NONE}, {"later", NOW_MS + 3600000}};
    for (size_t i = 0; i < 3; i++) {
        struct argument key = key_of(changes[i].key);
        struct entry entry;
        cr_assert_not_null(keyspace_lookup(keyspace, 0, &key, LOOKUP_WRITE, &entry));
        cr_assert(keyspace_set_expiry(keyspace, 0, &key, &entry, changes[i].expiry_ms));
    }
    keyspace_set_time(keyspace, NOW_MS + 1000);
    cr_assert_eq(expired_by_a_pass(), 1);
    struct argument key = key_of("sooner");
    struct entry entry;
    keyspace_set_time(keyspace, NOW_MS);
    cr_assert_null(keyspace_lookup(keyspace, 0, &key, LOOKUP_PEEK, &entry), "that one");
}

Test(expire, while_it_is_paused_nothing_is_reclaimed) {
    put_many(0, "k%u", 100, NOW_MS + 100);
    keyspace_set_time(keyspace, NOW_MS + 1000);
    keyspace->expiry_is_paused = true;
    cr_assert_eq(keyspace_expire_step(keyspace, JOB_STEP_UNITS), 0);
    cr_assert_eq(keyspace_size(keyspace, 0), 100);
    keyspace->expiry_is_paused = false;
    cr_assert_eq(expired_by_a_pass(), 100);
}

Test(expire, a_clock_that_stands_before_all_ticks_hinders_nothing) {
    static const int64_t odd_ms[] = {1000, BASE_MS - 3600000};
    for (size_t i = 0; i < 2; i++) {
        keyspace_set_time(keyspace, odd_ms[i]);
        put_many(0, "goes:%u", 500, odd_ms[i] + 100);
        put_many(0, "stays:%u", 500, odd_ms[i] + 60000);
        put_many(0, "far:%u", 500, NOW_MS + 60000);
        keyspace_set_time(keyspace, odd_ms[i] + 101);
        cr_assert_eq(expired_by_a_pass(), 500);
        /* Somebody sets the clock. */
        keyspace_set_time(keyspace, NOW_MS);
        cr_assert_eq(expired_by_a_pass(), 500);
        cr_assert_eq(keyspace_size(keyspace, 0), 500);
        keyspace_set_time(keyspace, NOW_MS + 61000);
        cr_assert_eq(expired_by_a_pass(), 500);
    }
}

Test(expire, a_clock_behind_all_ticks_hinders_nothing) {
    int64_t now_ms = LAST_MS + 3600000;
    keyspace_set_time(keyspace, now_ms);
    put_many(0, "goes:%u", 500, now_ms + 100);
    put_many(0, "stays:%u", 500, now_ms + 60000);
    keyspace_set_time(keyspace, now_ms + 101);
    cr_assert_eq(expired_by_a_pass(), 500);
    cr_assert_eq(keyspace_size(keyspace, 0), 500);
    put_many(0, "never:%u", 10000, EXPIRY_NONE);
    cr_assert_leq(pass(JOB_STEP_UNITS), 4000, "slots where nothing expires are not walked");
}
