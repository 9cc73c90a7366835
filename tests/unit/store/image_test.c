/* image_test.c - an image is the keyspace of one moment, whatever happens while it is read out.
 *
 * A gallery takes what the image gives out; at the begin a photo of all records is taken the plain way. At the end both
 * must be the same.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/image.h"
#include "store/reclaim.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define NOW_MS INT64_C(1790000000000)

/* ---- Photos and galleries: lists of records, sorted to be compared ---- */

struct picture {
    uint32_t database, key_size, value_size;
    int64_t expiry_ms;
    struct dot newest;
    uint8_t *bytes; /* key, value */
};

struct gallery {
    struct picture *pictures;
    size_t count, capacity;
    size_t open; /* the number of the long record that is being given out, from 1; 0: none */
    size_t open_size;
    size_t fails_at; /* a picture of this number finds no memory; 0: never */
};

static struct picture *hang(struct gallery *gallery, uint32_t database, const struct record *record) {
    if (gallery->count == gallery->capacity) {
        gallery->capacity = gallery->capacity * 2 + 16;
        gallery->pictures = realloc(gallery->pictures, gallery->capacity * sizeof *gallery->pictures);
    }
    struct picture *picture = &gallery->pictures[gallery->count++];
    struct record_parts parts;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &parts, others);
    *picture = (struct picture){.database = database,
                                .key_size = parts.key_size,
                                .value_size = parts.value_size,
                                .expiry_ms = parts.expiry_ms,
                                .newest = parts.newest,
                                .bytes = malloc((size_t)parts.key_size + parts.value_size + 1)};
    memcpy(picture->bytes, parts.key, parts.key_size);
    memcpy(picture->bytes + parts.key_size, parts.value, parts.value_size);
    return picture;
}

static bool take_record(void *context, uint32_t database, const struct record *record) {
    struct gallery *gallery = context;
    if (gallery->fails_at != 0 && gallery->count + 1 >= gallery->fails_at)
        return false;
    hang(gallery, database, record);
    return true;
}

static bool begin_long(void *context, uint32_t database, const struct record *record) {
    struct gallery *gallery = context;
    cr_assert_eq(gallery->open, 0, "two long records at once");
    if (gallery->fails_at != 0 && gallery->count + 1 >= gallery->fails_at)
        return false;
    struct picture *picture = hang(gallery, database, record);
    memset(picture->bytes, 0, (size_t)picture->key_size + picture->value_size);
    gallery->open = gallery->count;
    gallery->open_size = 0;
    return true;
}

static bool take_part(void *context, const uint8_t *bytes, uint32_t size) {
    struct gallery *gallery = context;
    cr_assert_neq(gallery->open, 0);
    cr_assert_gt(size, 0);
    struct picture *picture = &gallery->pictures[gallery->open - 1];
    size_t whole = (size_t)picture->key_size + picture->value_size;
    cr_assert_leq(gallery->open_size + size, whole);
    memcpy(picture->bytes + gallery->open_size, bytes, size);
    gallery->open_size += size;
    if (gallery->open_size == whole)
        gallery->open = 0;
    return true;
}

static int compare(const void *one, const void *other) {
    const struct picture *a = one, *b = other;
    if (a->database != b->database)
        return a->database < b->database ? -1 : 1;
    uint32_t size = a->key_size < b->key_size ? a->key_size : b->key_size;
    int order = memcmp(a->bytes, b->bytes, size);
    return order != 0 ? order : (a->key_size > b->key_size) - (a->key_size < b->key_size);
}

struct photographer {
    struct gallery *gallery;
    uint32_t database;
};

static void photograph_record(void *context, struct record *record) {
    struct photographer *photographer = context;
    hang(photographer->gallery, photographer->database, record);
}

/* All live records, the plain way. */
static void photograph(struct gallery *gallery, struct keyspace *keyspace) {
    for (uint32_t i = 0; i < DATABASE_COUNT; i++) {
        struct photographer photographer = {gallery, i};
        uint64_t cursor = 0;
        do
            cursor = keyspace_scan(keyspace, i, cursor, 1000, photograph_record, &photographer);
        while (cursor != 0);
    }
}

static void clear(struct gallery *gallery) {
    for (size_t i = 0; i < gallery->count; i++)
        free(gallery->pictures[i].bytes);
    free(gallery->pictures);
    *gallery = (struct gallery){.count = 0};
}

/* Compares and clears both. */
static void are_equal(struct gallery *photo, struct gallery *image) {
    cr_assert_eq(photo->count, image->count, "%zu records were there, %zu were given out", photo->count,
                 image->count);
    if (photo->count == 0)
        return;
    qsort(photo->pictures, photo->count, sizeof *photo->pictures, compare);
    qsort(image->pictures, image->count, sizeof *image->pictures, compare);
    for (size_t i = 0; i < photo->count; i++) {
        const struct picture *was = &photo->pictures[i], *is = &image->pictures[i];
        cr_assert_eq(compare(was, is), 0, "another key than was there");
        cr_assert_eq(was->value_size, is->value_size);
        cr_assert_eq(memcmp(was->bytes, is->bytes, (size_t)was->key_size + was->value_size), 0,
                     "%.*s: another value", (int)was->key_size, was->bytes);
        cr_assert_eq(was->expiry_ms, is->expiry_ms);
        cr_assert_eq(was->newest.counter, is->newest.counter);
    }
    clear(photo);
    clear(image);
}

/* ---- A keyspace, and what is done to it ---- */

static struct mem mem;
static struct keyspace *keyspace;
static struct image image;
static struct gallery photo, given;
static struct rng chance;

static void set_up(void) {
    mem = (struct mem){0};
    uint8_t seed[HASH_SEED_SIZE] = "sixteen bytes..";
    keyspace = keyspace_new(&mem, seed, 1);
    keyspace_set_time(keyspace, NOW_MS);
    rng_init(&chance, 42);
}

static void tear_down(void) {
    keyspace_free(keyspace);
    cr_assert_eq(mem.used_bytes, 0, "%zu bytes are left", mem.used_bytes);
}

TestSuite(image, .init = set_up, .fini = tear_down);

static void begin(void) {
    photograph(&photo, keyspace);
    struct image_sink sink = {
        .context = &given, .record = take_record, .long_begin = begin_long, .long_part = take_part};
    image_begin(&image, keyspace, &sink);
}

static void finish(void) {
    enum image_status status;
    while ((status = image_step(&image, 100)) == IMAGE_MORE)
        continue;
    cr_assert_eq(status, IMAGE_COMPLETE);
    cr_assert_eq(image.records, given.count);
    image_end(&image);
    are_equal(&photo, &given);
}

static struct argument key_of(const char *text) {
    return (struct argument){
        .data = (const uint8_t *)text, .size = (uint32_t)strlen(text), .slot = ARGUMENT_NOT_PLACED};
}

static void put(uint32_t database, const char *key, uint32_t size, char filler, int64_t expiry_ms) {
    struct argument argument = key_of(key);
    uint8_t *bytes = malloc(size + 1u);
    memset(bytes, filler, size);
    struct value value = {.data = bytes, .size = size, .expiry_ms = expiry_ms};
    cr_assert(keyspace_put(keyspace, database, &argument, &value));
    free(bytes);
}

static void delete (uint32_t database, const char *key) {
    struct argument argument = key_of(key);
    struct entry entry;
    if (keyspace_lookup(keyspace, database, &argument, LOOKUP_WRITE, &entry) != NULL)
        keyspace_remove(keyspace, database, &argument, &entry, REMOVE_DELETED);
}

/* Changes one byte of the value, or makes it longer, as SETRANGE and APPEND do. */
static void edit(uint32_t database, const char *key, uint32_t more) {
    struct argument argument = key_of(key);
    struct entry entry;
    struct record *record = keyspace_lookup(keyspace, database, &argument, LOOKUP_WRITE, &entry);
    if (record == NULL || record_value_size(record) == 0)
        return;
    uint32_t size = record_value_size(record) + more;
    uint8_t *bytes = keyspace_edit(keyspace, database, &argument, &entry, size, ENCODING_RAW);
    cr_assert_not_null(bytes);
    bytes[size / 2] = '!';
}

static void expire_at(uint32_t database, const char *key, int64_t expiry_ms) {
    struct argument argument = key_of(key);
    struct entry entry;
    if (keyspace_lookup(keyspace, database, &argument, LOOKUP_WRITE, &entry) != NULL)
        cr_assert(keyspace_set_expiry(keyspace, database, &argument, &entry, expiry_ms));
}

static void fill(uint32_t database, unsigned keys) {
    char key[32];
    for (unsigned i = 0; i < keys; i++) {
        snprintf(key, sizeof key, "key:%u", i);
        put(database, key, i % 200, 'a', i % 7 == 0 ? NOW_MS + 1000 + i : EXPIRY_NONE);
    }
}

/* ---- Tests ---- */

Test(image, of_an_empty_keyspace_is_complete_at_once) {
    begin();
    finish();
}

Test(image, gives_out_every_record_once) {
    fill(0, 5000);
    fill(3, 100);
    begin();
    finish();
}

Test(image, has_no_part_of_what_is_written_after_its_begin) {
    fill(0, 2000);
    begin();
    char key[32];
    for (unsigned i = 0; i < 2000; i += 3) {
        snprintf(key, sizeof key, "key:%u", i);
        put(0, key, 50, 'b', EXPIRY_NONE);
        put(0, key, 50, 'c', EXPIRY_NONE);
        snprintf(key, sizeof key, "new:%u", i);
        put(0, key, 10, 'n', EXPIRY_NONE);
        put(7, key, 10, 'n', EXPIRY_NONE);
    }
    cr_assert_gt(image.copied_bytes, 0);
    finish();
}

Test(image, has_keys_that_are_deleted_and_made_anew_meanwhile) {
    fill(0, 1000);
    begin();
    char key[32];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "key:%u", i);
        delete (0, key);
        if (i % 2 == 0)
            put(0, key, 5, 'z', EXPIRY_NONE);
        if (i % 4 == 0)
            delete (0, key);
    }
    finish();
}

Test(image, has_what_expires_meanwhile_and_not_what_had_expired) {
    fill(0, 700);
    keyspace_set_time(keyspace, NOW_MS + 1100);
    begin();
    keyspace_set_time(keyspace, NOW_MS + 1400);
    while (keyspace_expire_step(keyspace, 100) != 0)
        continue;
    finish();
}

Test(image, holds_a_long_value_that_its_writers_replace) {
    put(0, "long", 1000000, 'a', EXPIRY_NONE);
    put(0, "longer", 3000000, 'b', NOW_MS + 10000);
    put(0, "gone", 200000, 'c', EXPIRY_NONE);
    fill(0, 100);
    begin();
    /* Into the middle of one of them. */
    while (!image.long_has_begun || image.long_sent == 0)
        cr_assert_eq(image_step(&image, 1), IMAGE_MORE);
    edit(0, "long", 0);
    edit(0, "long", 17);
    edit(0, "longer", 0);
    expire_at(0, "longer", NOW_MS + 20000);
    delete (0, "gone");
    cr_assert_geq(image.copied_bytes, 4200000 - IMAGE_STEP_BYTES);
    finish();
}

Test(image, gives_out_a_long_key_too) {
    char *key = malloc(300001);
    memset(key, 'k', 300000);
    key[300000] = '\0';
    put(0, key, 3, 'v', EXPIRY_NONE);
    key[250000] = '\0';
    put(0, key, 0, 'v', EXPIRY_NONE);
    begin();
    delete (0, key);
    finish();
    free(key);
}

Test(image, keeps_a_database_that_is_flushed_until_it_is_read_out) {
    fill(0, 3000);
    fill(1, 3000);
    fill(2, 10);
    begin();
    cr_assert_eq(image_step(&image, 500), IMAGE_MORE);
    cr_assert_eq(keyspace_flush(keyspace, 0), 3000);
    cr_assert_eq(keyspace_flush(keyspace, 1), 3000);
    cr_assert_eq(keyspace_flush(keyspace, 2), 10);
    cr_assert_eq(keyspace_size(keyspace, 0), 0);
    fill(0, 50);
    fill(2, 5);
    keyspace_flush(keyspace, 2);
    cr_assert_eq(keyspace_reclaim_pending(keyspace), 0, "the reclaiming must not have it yet");
    finish();
    cr_assert_eq(keyspace_reclaim_pending(keyspace), 6010);
    cr_assert_eq(keyspace_size(keyspace, 0), 50);
}

Test(image, keeps_the_numbers_of_databases_that_are_swapped) {
    fill(0, 500);
    fill(1, 20);
    begin();
    cr_assert_eq(image_step(&image, 100), IMAGE_MORE);
    keyspace_swap(keyspace, 0, 1);
    keyspace_swap(keyspace, 1, 5);
    edit(5, "key:13", 0);
    put(5, "key:14", 3, 'x', EXPIRY_NONE);
    put(0, "key:15", 3, 'x', EXPIRY_NONE);
    keyspace_flush(keyspace, 5);
    finish();
}

Test(image, has_no_foreign_record_that_came_meanwhile) {
    fill(0, 300);
    begin();
    bool changed;
    char key[32];
    for (unsigned i = 0; i < 600; i += 2) {
        snprintf(key, sizeof key, "key:%u", i);
        struct argument argument = key_of(key);
        struct record_parts theirs = {.key = argument.data,
                                      .key_size = argument.size,
                                      .value = (const uint8_t *)"theirs",
                                      .value_size = 6,
                                      .expiry_ms = RECORD_NO_EXPIRY,
                                      .newest = {.actor = 9, .counter = ((uint64_t)NOW_MS << 16) + i}};
        cr_assert(keyspace_merge(keyspace, 0, &argument, &theirs, &changed));
    }
    finish();
}

Test(image, of_one_huge_slot_grows_and_shrinks_under_the_walk) {
    char key[32];
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "{tag}:%u", i);
        put(0, key, 8, 'a', EXPIRY_NONE);
    }
    begin();
    for (unsigned i = 0; i < 20000; i++) {
        if (i % 100 == 0)
            cr_assert_eq(image_step(&image, 30), IMAGE_MORE);
        snprintf(key, sizeof key, "{tag}:%u", (i * 7919u) % 20000);
        if (i < 10000)
            delete (0, key);
        snprintf(key, sizeof key, "{tag}:more:%u", i);
        if (i > 5000)
            put(0, key, 8, 'm', EXPIRY_NONE);
    }
    finish();
}

static void anything(void) {
    char key[32];
    uint32_t database = (uint32_t)rng_below(&chance, 3);
    snprintf(key, sizeof key, "key:%u", (unsigned)rng_below(&chance, 900));
    switch (rng_below(&chance, 12)) {
    case 0:
    case 1:
    case 2: put(database, key, (uint32_t)rng_below(&chance, 300), 'x', EXPIRY_NONE); break;
    case 3: put(database, key, 60000 + (uint32_t)rng_below(&chance, 60000), 'y', EXPIRY_NONE); break;
    case 4: put(database, key, 10, 'e', NOW_MS + (int64_t)rng_below(&chance, 5000)); break;
    case 5: delete (database, key); break;
    case 6: edit(database, key, 0); break;
    case 7: edit(database, key, (uint32_t)rng_below(&chance, 100)); break;
    case 8: expire_at(database, key, NOW_MS + (int64_t)rng_below(&chance, 9000)); break;
    case 9: keyspace_set_time(keyspace, keyspace->now_ms + (int64_t)rng_below(&chance, 3)); break;
    case 10: keyspace_expire_step(keyspace, 50); break;
    default:
        if (rng_below(&chance, 40) == 0)
            keyspace_flush(keyspace, database);
        else if (rng_below(&chance, 20) == 0)
            keyspace_swap(keyspace, database, (uint32_t)rng_below(&chance, 3));
        else
            keyspace_reclaim_step(keyspace, 200);
    }
}

Test(image, is_one_moment_in_any_course_of_events) {
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0; i < 400; i++)
            anything();
        begin();
        enum image_status status = IMAGE_MORE;
        for (unsigned i = 0; status == IMAGE_MORE; i++) {
            for (uint64_t n = rng_below(&chance, 8); n > 0; n--)
                anything();
            status = image_step(&image, 1 + (uint32_t)rng_below(&chance, 40));
        }
        cr_assert_eq(status, IMAGE_COMPLETE);
        finish();
    }
}

Test(image, that_fails_lets_go_of_everything) {
    fill(0, 1000);
    put(0, "long", 500000, 'a', EXPIRY_NONE);
    for (unsigned fails_at = 1; fails_at < 900; fails_at += 97) {
        begin();
        given.fails_at = fails_at;
        delete (0, "long");
        put(0, "key:9", 5, 'q', EXPIRY_NONE);
        enum image_status status;
        while ((status = image_step(&image, 50)) == IMAGE_MORE)
            keyspace_flush(keyspace, 1);
        cr_assert_eq(status, IMAGE_FAILED);
        delete (0, "key:11");
        put(0, "key:13", 5, 'q', EXPIRY_NONE);
        image_end(&image);
        clear(&photo);
        clear(&given);
        put(0, "long", 500000, 'a', EXPIRY_NONE);
        fill(1, 2000);
    }
}
