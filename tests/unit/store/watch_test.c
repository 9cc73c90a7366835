/* watch_test.c - whose lock breaks when a key changes, and that nothing stays behind.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/watch.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct mem mem;
static struct watch_registry registry;

static void set_up(void) {
    mem = (struct mem){0};
    watch_init(&registry, &mem);
}

/* Whatever a test does, all memory must be back when its watchers are cleared. */
static void tear_down(void) {
    watch_release(&registry);
    cr_assert_eq(mem.used_bytes, 0);
    cr_assert_eq(mem.allocations, 0);
}

TestSuite(watch, .init = set_up, .fini = tear_down);

/* A placed key. The hash is no good one: keys of equal length collide. */
static struct argument key_of(const char *text) {
    return (struct argument){
        .data = (const uint8_t *)text, .size = (uint32_t)strlen(text), .slot = 7, .hash = strlen(text)};
}

static void watch(struct watcher *watcher, uint32_t database, const char *text) {
    struct argument key = key_of(text);
    cr_assert(watch_add(&registry, watcher, database, &key, false));
}

static void touch(uint32_t database, const char *text) {
    struct argument key = key_of(text);
    watch_touch(&registry, database, &key);
}

static void touch_expired(uint32_t database, const char *text) {
    struct argument key = key_of(text);
    watch_touch_expired(&registry, database, &key);
}

Test(watch, a_touch_breaks_all_watchers_of_that_key_and_nobody_else) {
    struct watcher a = {0}, b = {0}, c = {0};
    watch(&a, 0, "one");
    watch(&b, 0, "two");
    watch(&b, 0, "one");
    watch(&c, 0, "six"); /* same hash as "one" */
    touch(0, "one");
    cr_assert(a.is_broken);
    cr_assert(b.is_broken);
    cr_assert_not(c.is_broken);
    watch_clear(&registry, &a);
    watch_clear(&registry, &b);
    watch_clear(&registry, &c);
}

Test(watch, a_key_of_another_database_is_another_key) {
    struct watcher watcher = {0};
    watch(&watcher, 3, "key");
    touch(0, "key");
    touch(4, "key");
    cr_assert_not(watcher.is_broken);
    touch(3, "key");
    cr_assert(watcher.is_broken);
    watch_clear(&registry, &watcher);
}

Test(watch, keys_are_compared_byte_for_byte_and_may_be_empty) {
    struct watcher empty = {0}, zero = {0};
    struct argument none = {.data = NULL, .size = 0, .slot = 0, .hash = 1};
    struct argument with_zero = {.data = (const uint8_t *)"a\0b", .size = 3, .slot = 0, .hash = 1};
    struct argument other = {.data = (const uint8_t *)"a\0c", .size = 3, .slot = 0, .hash = 1};
    cr_assert(watch_add(&registry, &empty, 0, &none, false));
    cr_assert(watch_add(&registry, &zero, 0, &with_zero, false));
    watch_touch(&registry, 0, &other);
    cr_assert_not(zero.is_broken);
    watch_touch(&registry, 0, &with_zero);
    cr_assert(zero.is_broken);
    cr_assert_not(empty.is_broken);
    watch_touch(&registry, 0, &none);
    cr_assert(empty.is_broken);
    watch_clear(&registry, &empty);
    watch_clear(&registry, &zero);
}

Test(watch, a_key_is_counted_once_however_often_it_is_watched) {
    struct watcher watcher = {0};
    for (int i = 0; i < 3; i++)
        watch(&watcher, 0, "key");
    cr_assert_eq(registry.count, 1);
    /* Also when there are more keys than the ones that are compared first. */
    char name[16];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "%d", i);
        watch(&watcher, 0, name);
    }
    cr_assert_eq(registry.count, 101);
    watch(&watcher, 0, "key");
    watch(&watcher, 0, "0");
    watch(&watcher, 0, "99");
    cr_assert_eq(registry.count, 101);
    watch(&watcher, 1, "99");
    cr_assert_eq(registry.count, 102);
    watch_clear(&registry, &watcher);
    cr_assert_eq(registry.count, 0);
}

Test(watch, clearing_mends_and_forgets) {
    struct watcher a = {0}, b = {0};
    watch(&a, 0, "key");
    watch(&b, 0, "key");
    touch(0, "key");
    watch_clear(&registry, &a);
    cr_assert_not(a.is_broken);
    cr_assert_null(a.keys);
    touch(0, "key");
    cr_assert_not(a.is_broken);
    cr_assert(b.is_broken);
    watch_clear(&registry, &b);
    watch_clear(&registry, &b); /* without keys: nothing to do */
    cr_assert_null(registry.chains);
}

Test(watch, the_key_is_a_copy) {
    char bytes[] = "key";
    struct watcher watcher = {0};
    watch(&watcher, 0, bytes);
    memset(bytes, 'x', 3);
    touch(0, "key");
    cr_assert(watcher.is_broken);
    watch_clear(&registry, &watcher);
}

Test(watch, reclaiming_an_expired_key_breaks_who_saw_it_alive) {
    struct watcher saw_alive = {0}, saw_expired = {0};
    struct argument key = key_of("key");
    cr_assert(watch_add(&registry, &saw_alive, 0, &key, false));
    cr_assert(watch_add(&registry, &saw_expired, 0, &key, true));
    touch_expired(0, "key");
    cr_assert(saw_alive.is_broken);
    cr_assert_not(saw_expired.is_broken);
    /* From now on it is an absent key for the second, too. */
    touch_expired(0, "key");
    cr_assert(saw_expired.is_broken);
    watch_clear(&registry, &saw_alive);
    watch_clear(&registry, &saw_expired);
}

Test(watch, a_write_breaks_even_who_saw_the_key_expired) {
    struct watcher watcher = {0};
    struct argument key = key_of("key");
    cr_assert(watch_add(&registry, &watcher, 0, &key, true));
    touch(0, "key");
    cr_assert(watcher.is_broken);
    watch_clear(&registry, &watcher);
}

static bool begins_with_a(void *context, uint32_t database, struct argument *key) {
    cr_assert_eq(database, 2);
    cr_assert_eq(key->slot, 7);
    cr_assert_eq(key->hash, key->size);
    ++*(unsigned *)context;
    return key->size != 0 && key->data[0] == 'a';
}

Test(watch, emptying_a_database_breaks_the_watchers_of_keys_that_exist_there) {
    struct watcher existing = {0}, absent = {0}, both = {0}, elsewhere = {0};
    watch(&existing, 2, "a1");
    watch(&absent, 2, "b1");
    watch(&both, 2, "b1");
    watch(&both, 2, "a2");
    watch(&elsewhere, 3, "a1");
    unsigned asked = 0;
    watch_touch_database(&registry, 2, begins_with_a, &asked);
    cr_assert(existing.is_broken);
    cr_assert(both.is_broken);
    cr_assert_not(absent.is_broken);
    cr_assert_not(elsewhere.is_broken);
    cr_assert(asked >= 3 && asked <= 4, "asked %u times", asked);
    watch_clear(&registry, &existing);
    watch_clear(&registry, &absent);
    watch_clear(&registry, &both);
    watch_clear(&registry, &elsewhere);
    watch_touch_database(&registry, 2, begins_with_a, &asked); /* nobody watches: nobody is asked */
    cr_assert_leq(asked, 4);
}

struct visit {
    unsigned calls, expired, stop_after;
};

static bool count_visits(void *context, uint32_t database, struct argument *key, bool was_expired) {
    struct visit *visit = context;
    cr_assert_eq(database, key->size); /* as the test below watches them */
    cr_assert_eq(key->slot, 7);
    visit->calls++;
    visit->expired += was_expired;
    return visit->calls == visit->stop_after;
}

Test(watch, each_key_of_a_watcher_is_visited_until_the_visitor_stops) {
    struct watcher watcher = {0}, other = {0};
    const char *texts[] = {"", "a", "bb", "ccc"};
    for (uint32_t i = 0; i < 4; i++) {
        struct argument key = key_of(texts[i]);
        cr_assert(watch_add(&registry, &watcher, i, &key, i == 2));
        cr_assert(watch_add(&registry, &other, i, &key, false));
    }
    struct visit all = {0}, some = {.stop_after = 3};
    cr_assert_not(watch_each(&watcher, count_visits, &all));
    cr_assert_eq(all.calls, 4);
    cr_assert_eq(all.expired, 1);
    cr_assert(watch_each(&watcher, count_visits, &some));
    cr_assert_eq(some.calls, 3);
    watch_clear(&registry, &watcher);
    watch_clear(&registry, &other);
    cr_assert_not(watch_each(&watcher, count_visits, &all));
    cr_assert_eq(all.calls, 4);
}

Test(watch, a_failed_allocation_adds_nothing_and_later_growth_is_not_needed) {
    struct watcher watcher = {0};
    struct argument key = key_of("key");
    for (uint64_t fuse = 1; fuse <= 2; fuse++) {
        mem.fuse = fuse;
        cr_assert_not(watch_add(&registry, &watcher, 0, &key, false), "with allocation %d failing",
                      (int)fuse);
        cr_assert_eq(registry.count, 0);
        cr_assert_null(watcher.keys);
        cr_assert_eq(mem.used_bytes, 0);
    }
    mem.fuse = 3;
    cr_assert(watch_add(&registry, &watcher, 0, &key, false));
    mem.fuse = 0;

    /* When only the growth of the chains fails, the key is watched in the old ones. */
    char name[16];
    uint32_t chains = registry.chain_count;
    for (uint32_t i = 1; i < chains; i++) {
        snprintf(name, sizeof name, "%u", i);
        watch(&watcher, 0, name);
    }
    mem.fuse = 2;
    watch(&watcher, 0, "one too many");
    cr_assert_eq(mem.fuse, 0, "the chains did not try to grow");
    cr_assert_eq(registry.chain_count, chains);
    watch(&watcher, 0, "another");
    cr_assert_eq(registry.chain_count, 2 * chains);
    touch(0, "one too many");
    cr_assert(watcher.is_broken);
    watch_clear(&registry, &watcher);
}

/* Against the plainest model: a table of who watches what. */
Test(watch, agrees_with_a_plain_table_over_random_histories) {
    enum { WATCHERS = 12, KEYS = 40, DATABASES = 3 };
    static bool watches[WATCHERS][DATABASES][KEYS], broken[WATCHERS];
    struct watcher watchers[WATCHERS] = {0};
    char names[KEYS][8];
    struct rng rng;
    rng_init(&rng, 4);
    for (int i = 0; i < KEYS; i++)
        snprintf(names[i], sizeof names[i], "%d", i * 7);
    unsigned breaks = 0;
    for (int step = 0; step < 50000; step++) {
        uint32_t who = (uint32_t)rng_below(&rng, WATCHERS), what = (uint32_t)rng_below(&rng, KEYS);
        uint32_t where = (uint32_t)rng_below(&rng, DATABASES);
        switch (rng_below(&rng, 8)) {
        case 0:
            watch_clear(&registry, &watchers[who]);
            memset(watches[who], 0, sizeof watches[who]);
            broken[who] = false;
            break;
        case 1:
            touch(where, names[what]);
            for (int i = 0; i < WATCHERS; i++)
                broken[i] |= watches[i][where][what];
            break;
        default: watch(&watchers[who], where, names[what]); watches[who][where][what] = true;
        }
        uint64_t count = 0;
        for (int i = 0; i < WATCHERS; i++) {
            cr_assert_eq(watchers[i].is_broken, broken[i]);
            breaks += broken[i];
            for (int j = 0; j < DATABASES * KEYS; j++)
                count += watches[i][j / KEYS][j % KEYS];
        }
        cr_assert_eq(registry.count, count);
    }
    cr_assert_gt(breaks, 1000);
    for (int i = 0; i < WATCHERS; i++)
        watch_clear(&registry, &watchers[i]);
}
