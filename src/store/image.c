/* image.c - the walk of an image, and what writers hand to it on the way.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/image.h"

#include "store/ledger.h"

/* Empty slots cost next to nothing: so many are a unit. */
#define SLOTS_PER_UNIT 16
/* A visit of a table goes on for so many records, fewer where they are large: it is not to be interrupted. */
#define VISIT_RECORDS 64
#define VISIT_BYTES   (64 * 1024)
/* A part of a long record that is given out at once. */
#define PART_SIZE              (64 * 1024)
#define LONGS_FIRST_CAPACITY   8
#define FOREIGN_FIRST_CAPACITY 1024

static inline uint32_t content_size(const struct record *record) {
    bool has_value = record_type(record) != RECORD_TOMBSTONE;
    return record_key_size(record) + record_state_size(record) + (has_value ? record_value_size(record) : 0);
}

static inline bool is_long(const struct record *record) {
    return record->flags & (RECORD_LONG | RECORD_VECTOR) && content_size(record) > IMAGE_LONG_SIZE;
}

void image_begin(struct image *image, struct keyspace *keyspace, const struct image_sink *sink) {
    CHECK(keyspace->image == NULL);
    *image = (struct image){.keyspace = keyspace,
                            .sink = *sink,
                            .has_tombstones = !ledger_is_solitary(keyspace),
                            .begin_counter = keyspace->counter,
                            .begin_ms = keyspace->now_ms};
    for (uint32_t i = 0; i < DATABASE_COUNT; i++) {
        image->databases[i] = keyspace->databases[i];
        if (keyspace->databases[i] != NULL)
            image->total += keyspace->databases[i]->keys;
    }
    if (image->has_tombstones && keyspace->ledger != NULL)
        for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
            image->total += keyspace->ledger->tombstones[slot];
    keyspace->image = image;
}

/* ---- Keys that came from elsewhere since the begin ---- */

/* A key's mark: its hash, told apart by database. A mark of 0 stands for 1. */
static uint64_t mark_of(uint32_t database, uint64_t hash) {
    uint64_t mark = hash ^ (uint64_t)database * UINT64_C(0x9e3779b97f4a7c15);
    return mark == 0 ? 1 : mark;
}

static uint64_t *foreign_place(uint64_t *marks, uint32_t capacity, uint64_t mark) {
    uint32_t i = (uint32_t)(mark >> 32) & (capacity - 1);
    while (marks[i] != 0 && marks[i] != mark)
        i = (i + 1) & (capacity - 1);
    return &marks[i];
}

static bool is_foreign(const struct image *image, uint32_t database, uint64_t hash) {
    return image->foreign_count != 0 &&
           *foreign_place(image->foreign, image->foreign_capacity, mark_of(database, hash)) != 0;
}

static bool grow_foreign(struct image *image) {
    uint32_t capacity = image->foreign_capacity == 0 ? FOREIGN_FIRST_CAPACITY : image->foreign_capacity * 2;
    uint64_t *marks = mem_alloc_zeroed(image->keyspace->mem, capacity * sizeof *marks);
    if (marks == NULL)
        return false;
    for (uint32_t i = 0; i < image->foreign_capacity; i++)
        if (image->foreign[i] != 0)
            *foreign_place(marks, capacity, image->foreign[i]) = image->foreign[i];
    mem_free(image->keyspace->mem, image->foreign, image->foreign_capacity * sizeof *marks);
    image->foreign = marks;
    image->foreign_capacity = capacity;
    return true;
}

/* ---- What belongs to the image, and where ---- */

/* The number of a database at the begin; DATABASE_COUNT: it is younger, or the walk is through with it. */
static uint32_t number_of(const struct image *image, const struct database *database) {
    for (uint32_t i = image->database; i < DATABASE_COUNT; i++)
        if (image->databases[i] == database)
            return i;
    return DATABASE_COUNT;
}

static inline bool is_ahead(const struct image *image, uint32_t database, uint32_t slot, uint64_t hash) {
    if (database != image->database)
        return database > image->database;
    return slot > image->slot || (slot == image->slot && hash >= image->hash);
}

/* Whether a record that the walk meets, or that is ahead of it, was there at the begin, as it is. */
static inline bool is_of_image(const struct image *image, uint32_t database, uint64_t hash,
                               const struct record *record) {
    if (record->counter > image->begin_counter && record->actor == image->keyspace->actor)
        return false;
    if (UNLIKELY(record->flags & RECORD_EXPIRY) && image->begin_ms > record_expiry_ms(record))
        return false;
    if (UNLIKELY(record_type(record) == RECORD_TOMBSTONE) && !image->has_tombstones)
        return false;
    return LIKELY(image->foreign_count == 0) || !is_foreign(image, database, hash);
}

/* The place of a long record among those that wait; NULL: it is none of them. */
static struct image_long *waiting_long(const struct image *image, const struct record *record) {
    for (uint32_t i = 0; i < image->long_count; i++)
        if (image->longs[i].record == record)
            return &image->longs[i];
    return NULL;
}

static bool needs(const struct image *image, uint32_t database, uint32_t slot, uint64_t hash,
                  const struct record *record) {
    if (image->has_failed || database == DATABASE_COUNT)
        return false;
    if (is_long(record) && waiting_long(image, record) != NULL)
        return true;
    return is_ahead(image, database, slot, hash) && is_of_image(image, database, hash, record);
}

/* ---- Giving out ---- */

static void give(struct image *image, uint32_t database, const struct record *record) {
    image->records++;
    uint32_t size = content_size(record);
    image->step_bytes += size;
    image->average_size = (uint32_t)(((uint64_t)image->average_size * 7 + size) / 8);
    if (!image->sink.record(image->sink.context, database, record))
        image->has_failed = true;
}

/* Queues a long record. false: no memory, and the image has failed. */
static bool wait_long(struct image *image, uint32_t database, struct record *record, bool is_owned) {
    if (image->long_count == image->long_capacity) {
        uint32_t capacity = image->long_capacity == 0 ? LONGS_FIRST_CAPACITY : image->long_capacity * 2;
        struct image_long *longs = mem_resize(image->keyspace->mem, image->longs,
                                              image->long_capacity * sizeof *longs, capacity * sizeof *longs);
        if (longs == NULL) {
            image->has_failed = true;
            return false;
        }
        image->longs = longs;
        image->long_capacity = capacity;
    }
    image->longs[image->long_count++] =
        (struct image_long){.record = record, .database = database, .is_owned = is_owned};
    return true;
}

/* What follows the first `sent` bytes of a long record: of its key, its merge state and its value, in this order. */
static const uint8_t *bytes_behind(struct record *record, uint32_t sent, uint32_t *size) {
    uint32_t key_size = record_key_size(record), state_size;
    const uint8_t *state = record_state(record, &state_size);
    if (state_size == 0 || sent >= key_size + state_size) {
        /* The value stands behind the key. */
        *size = content_size(record) - sent;
        return record_key(record) + sent - state_size;
    }
    *size = sent < key_size ? key_size - sent : key_size + state_size - sent;
    return sent < key_size ? record_key(record) + sent : state + (sent - key_size);
}

/* The next part of the first long record that waits. */
static void give_part(struct image *image) {
    struct image_long *first = &image->longs[0];
    void *context = image->sink.context;
    if (!image->long_has_begun) {
        image->long_has_begun = true;
        image->long_sent = 0;
        image->records++;
        if (!image->sink.long_begin(context, first->database, first->record)) {
            image->has_failed = true;
            return;
        }
    }
    uint32_t left = content_size(first->record) - image->long_sent, size;
    const uint8_t *bytes = bytes_behind(first->record, image->long_sent, &size);
    size = size < PART_SIZE ? size : PART_SIZE;
    if (!image->sink.long_part(context, bytes, size)) {
        image->has_failed = true;
        return;
    }
    image->long_sent += size;
    image->step_bytes += size;
    if (size < left)
        return;
    if (first->is_owned)
        record_free(image->keyspace->mem, first->record);
    image->long_has_begun = false;
    image->long_count--;
    memmove(image->longs, image->longs + 1, image->long_count * sizeof *image->longs);
}

/* ---- The walk ---- */

static void visit(void *context, struct record *record, uint64_t hash) {
    struct image *image = context;
    image->looked_at++;
    if (image->has_failed || !is_of_image(image, image->database, hash, record))
        return;
    if (UNLIKELY(is_long(record)))
        (void)wait_long(image, image->database, record, false);
    else
        give(image, image->database, record);
}

static void leave_database(struct image *image) {
    struct database *database = image->databases[image->database];
    if (image->is_flushed[image->database])
        keyspace_discard(image->keyspace, database);
    image->databases[image->database] = NULL;
    image->is_flushed[image->database] = false;
    image->database++;
    image->slot = 0;
    image->hash = 0;
}

/* One visit of the slot at hand; returns the units that it took. */
static uint32_t walk_slot(struct image *image, struct dict *slot) {
    uint64_t looked_before = image->looked_at;
    uint32_t wanted = VISIT_BYTES / (image->average_size + 1) + 1;
    if (wanted > VISIT_RECORDS)
        wanted = VISIT_RECORDS;
    uint64_t next;
    if (dict_scan(slot, &image->keyspace->secret, image->hash, wanted, visit, image, &next)) {
        image->hash = next;
    } else {
        image->slot++;
        image->hash = 0;
    }
    return (uint32_t)(image->looked_at - looked_before) + 1;
}

enum image_status image_step(struct image *image, uint32_t budget) {
    uint32_t spent = 0, empty_slots = 0;
    image->step_bytes = 0;
    while (!image->has_failed && spent < budget && image->step_bytes < IMAGE_STEP_BYTES) {
        /* First, so that the walk never leaves a database whose records still wait. */
        if (image->long_count != 0) {
            give_part(image);
            continue;
        }
        if (image->database == DATABASE_COUNT)
            return IMAGE_COMPLETE;
        struct database *database = image->databases[image->database];
        if (database == NULL || image->slot == SLOT_COUNT) {
            leave_database(image);
        } else if (database->slots[image->slot].count == 0) {
            image->slot++;
            image->hash = 0;
            spent += ++empty_slots % SLOTS_PER_UNIT == 0;
        } else {
            spent += walk_slot(image, &database->slots[image->slot]);
        }
    }
    return image->has_failed ? IMAGE_FAILED : IMAGE_MORE;
}

void image_end(struct image *image) {
    struct keyspace *keyspace = image->keyspace;
    for (uint32_t i = 0; i < image->long_count; i++)
        if (image->longs[i].is_owned)
            record_free(keyspace->mem, image->longs[i].record);
    for (uint32_t i = 0; i < DATABASE_COUNT; i++)
        if (image->is_flushed[i])
            keyspace_discard(keyspace, image->databases[i]);
    mem_free(keyspace->mem, image->longs, image->long_capacity * sizeof *image->longs);
    mem_free(keyspace->mem, image->foreign, image->foreign_capacity * sizeof *image->foreign);
    keyspace->image = NULL;
    image->keyspace = NULL;
}

/* ---- For the funnel ---- */

bool image_forbids_change(const struct image *image, const struct database *database, uint32_t slot,
                          uint64_t hash, const struct record *record) {
    return is_long(record) && needs(image, number_of(image, database), slot, hash, record);
}

void image_before_change(struct image *image, const struct database *database, uint32_t slot, uint64_t hash,
                         const struct record *record) {
    uint32_t number = number_of(image, database);
    if (!needs(image, number, slot, hash, record))
        return;
    image->copied_bytes += record_size(record);
    give(image, number, record);
}

void image_dispose(struct image *image, const struct database *database, uint32_t slot, uint64_t hash,
                   struct record *record) {
    uint32_t number = number_of(image, database);
    if (!needs(image, number, slot, hash, record)) {
        record_free(image->keyspace->mem, record);
        return;
    }
    image->copied_bytes += record_size(record);
    if (is_long(record)) {
        struct image_long *waiting = waiting_long(image, record);
        if (waiting != NULL)
            waiting->is_owned = true;
        else if (!wait_long(image, number, record, true))
            record_free(image->keyspace->mem, record);
        return;
    }
    give(image, number, record);
    record_free(image->keyspace->mem, record);
}

void image_note_foreign(struct image *image, const struct database *database, uint64_t hash) {
    uint32_t number = number_of(image, database);
    if (image->has_failed || number == DATABASE_COUNT)
        return;
    if (image->foreign_count >= image->foreign_capacity / 2 && !grow_foreign(image)) {
        image->has_failed = true;
        return;
    }
    uint64_t *place = foreign_place(image->foreign, image->foreign_capacity, mark_of(number, hash));
    image->foreign_count += *place == 0;
    *place = mark_of(number, hash);
}

bool image_keeps_database(struct image *image, const struct database *database) {
    uint32_t number = number_of(image, database);
    if (image->has_failed || number == DATABASE_COUNT)
        return false;
    image->is_flushed[number] = true;
    return true;
}
