/* entries.c - the reading half of entries.h: in batches whose memory is asked for ahead; what was read is applied.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/entries_inside.h"

#include "base/cursor.h"
#include "base/prefetch.h"
#include "data/merge_state.h"
#include "proto/record_codec.h"
#include "store/content.h"
#include "store/floors.h"

#define NUMBERS_FIRST 8
/* Records that may be looked at at once when floors are raised; what is left takes further steps. */
#define FLOOR_STEP_UNITS 256

/* ---- Reading: one entry ---- */

/* An entry as it was read. Bytes stand in the payload. */
struct item {
    struct argument key; /* of RECORD, PATCH, EXPIRED, FETCH */
    struct record_parts
        parts;       /* of RECORD, PATCH (value: the bytes that were written), EXPIRED (the version);
                                  FOR (value: the node id) */
    uint64_t number; /* FLUSH, FLOOR: the counter; MARK: the number; PATCH: the newest dot's counter before */
    uint32_t first, last; /* FLUSH, FLOOR: slots; PATCH: offset and number of bytes */
    size_t state_at; /* RECORD with a merge state: where it stands in application->states, with our numbers */
    uint16_t actor;  /* ACTOR: theirs; PATCH: the newest dot's, ours */
    uint8_t kind;
    bool is_unplaced; /* names an actor for which there was no memory */
};

static const uint8_t *read_sized_bytes(struct cursor *cursor, uint32_t *size) {
    uint64_t claimed = cursor_varint(cursor);
    if (claimed > VALUE_SIZE_MAX)
        cursor_fail(cursor);
    const uint8_t *bytes = cursor_bytes(cursor, (size_t)claimed);
    *size = bytes == NULL ? 0 : (uint32_t)claimed;
    return bytes;
}

static uint32_t read_size(struct cursor *cursor) {
    uint64_t size = cursor_varint(cursor);
    if (size > VALUE_SIZE_MAX)
        cursor_fail(cursor);
    return (uint32_t)size;
}

static void read_patch(struct cursor *cursor, struct item *item, struct dot *dots) {
    struct record_parts *parts = &item->parts;
    *parts = (struct record_parts){.type = RECORD_STRING, .expiry_ms = RECORD_NO_EXPIRY};
    uint8_t flags = cursor_u8(cursor);
    parts->encoding = flags & PATCH_ENCODING;
    if (flags & ~(PATCH_ENCODING | PATCH_EXPIRY) || parts->encoding > ENCODING_RAW)
        cursor_fail(cursor);
    if (flags & PATCH_EXPIRY) {
        parts->expiry_ms = (int64_t)cursor_u64(cursor);
        if (parts->expiry_ms == RECORD_NO_EXPIRY)
            cursor_fail(cursor);
    }
    record_codec_read_version(cursor, parts, dots);
    item->number = cursor_u64(cursor);
    parts->key = read_sized_bytes(cursor, &parts->key_size);
    parts->value_size = read_size(cursor);
    item->first = read_size(cursor);
    parts->value = read_sized_bytes(cursor, &item->last);
    bool has_base = item->number != 0 || parts->other_count != 0;
    if (!has_base || item->number >= parts->newest.counter ||
        (uint64_t)item->first + item->last > parts->value_size)
        cursor_fail(cursor);
}

static void read_flush(struct cursor *cursor, struct item *item) {
    item->first = cursor_u16(cursor);
    item->last = cursor_u16(cursor);
    item->number = cursor_u64(cursor);
    if (item->first > item->last || item->last >= SLOT_COUNT)
        cursor_fail(cursor);
}

static void read_actor(struct cursor *cursor, struct item *item, struct actor_identity *actor) {
    item->actor = cursor_u16(cursor);
    const uint8_t *node_id = cursor_bytes(cursor, NODE_ID_SIZE);
    actor->incarnation = cursor_varint(cursor);
    if (item->actor >= ACTORS_MAX)
        cursor_fail(cursor);
    if (node_id != NULL)
        memcpy(actor->node_id, node_id, NODE_ID_SIZE);
}

/* Reads an entry, with the writer's numbers. `dots` has room for VERSION_DOTS_MAX. false: it makes no sense. */
static bool read_entry(struct cursor *cursor, struct item *item, struct dot *dots,
                       struct actor_identity *actor) {
    item->kind = cursor_u8(cursor);
    item->is_unplaced = false;
    switch (item->kind) {
    case ENTRY_RECORD: record_codec_read(cursor, RECORD_CODEC_ALL, &item->parts, dots); break;
    case ENTRY_PATCH: read_patch(cursor, item, dots); break;
    case ENTRY_EXPIRED:
        item->parts = (struct record_parts){.expiry_ms = RECORD_NO_EXPIRY};
        record_codec_read_version(cursor, &item->parts, dots);
        item->parts.key = read_sized_bytes(cursor, &item->parts.key_size);
        break;
    case ENTRY_FETCH:
        item->parts = (struct record_parts){.expiry_ms = RECORD_NO_EXPIRY};
        item->parts.key = read_sized_bytes(cursor, &item->parts.key_size);
        break;
    case ENTRY_FLUSH:
    case ENTRY_FLOOR: read_flush(cursor, item); break;
    case ENTRY_MARK: item->number = cursor_varint(cursor); break;
    case ENTRY_ACTOR: read_actor(cursor, item, actor); break;
    case ENTRY_FOR: item->parts.value = cursor_bytes(cursor, NODE_ID_SIZE); break;
    default: cursor_fail(cursor);
    }
    return !cursor_failed(cursor);
}

static inline bool names_key(const struct item *item) {
    return item->kind != ENTRY_FLUSH && item->kind != ENTRY_MARK && item->kind != ENTRY_ACTOR &&
           item->kind != ENTRY_FOR && item->kind != ENTRY_FLOOR;
}

static inline bool names_version(const struct item *item) {
    return item->kind == ENTRY_RECORD || item->kind == ENTRY_PATCH || item->kind == ENTRY_EXPIRED;
}

static inline struct argument key_of(const struct item *item) {
    return (struct argument){
        .data = item->parts.key, .size = item->parts.key_size, .slot = ARGUMENT_NOT_PLACED};
}

/* ---- Reading: actors ---- */

void entries_reader_init(struct entries_reader *reader, struct mem *mem) {
    *reader = (struct entries_reader){.mem = mem};
}

void entries_reader_clear(struct entries_reader *reader) {
    for (uint32_t i = 0; i < reader->number_count; i++)
        reader->numbers[i] = ACTORS_NONE;
    reader->has_gaps = false;
}

void entries_reader_release(struct entries_reader *reader) {
    mem_free(reader->mem, reader->numbers, reader->number_count * sizeof *reader->numbers);
    entries_reader_init(reader, reader->mem);
}

static bool make_room_for_number(struct entries_reader *reader, uint16_t number) {
    uint32_t count = reader->number_count == 0 ? NUMBERS_FIRST : reader->number_count;
    while (count <= number)
        count *= 2;
    if (count == reader->number_count)
        return true;
    uint16_t *numbers = mem_resize(reader->mem, reader->numbers, reader->number_count * sizeof *numbers,
                                   count * sizeof *numbers);
    if (numbers == NULL)
        return false;
    for (uint32_t i = reader->number_count; i < count; i++)
        numbers[i] = ACTORS_NONE;
    reader->numbers = numbers;
    reader->number_count = count;
    return true;
}

/* false: no memory, or no place. */
static bool learn_actor(struct entries_reader *reader, struct keyspace *keyspace, uint16_t number,
                        const struct actor_identity *actor, struct entries_outcome *outcome) {
    const struct actor_identity *self = &keyspace->actors.identities[ACTOR_SELF];
    if (memcmp(actor->node_id, self->node_id, NODE_ID_SIZE) == 0 &&
        actor->incarnation > outcome->own_incarnation)
        outcome->own_incarnation = actor->incarnation;
    uint16_t ours = ACTORS_NONE;
    if (make_room_for_number(reader, number)) {
        ours = actors_intern(&keyspace->actors, actor);
        reader->numbers[number] = ours;
    }
    reader->has_gaps |= ours == ACTORS_NONE;
    return ours != ACTORS_NONE;
}

static inline uint16_t number_of(const struct entries_reader *reader, uint16_t theirs) {
    return LIKELY(theirs < reader->number_count) ? reader->numbers[theirs] : ACTORS_NONE;
}

/* Gives a version of several dots our numbers, sorted by them. Should two of theirs mean one of ours, the higher counter counts. */
static bool translate_dots(const struct entries_reader *reader, struct record_parts *parts,
                           struct dot *dots) {
    struct version version = {.count = 0};
    for (uint32_t i = 0; i <= parts->other_count; i++) {
        struct dot dot = i == parts->other_count ? parts->newest : parts->others[i];
        dot.actor = number_of(reader, dot.actor);
        if (dot.actor == ACTORS_NONE)
            return false;
        bool fits = version_raise(&version, dot);
        CHECK(fits);
    }
    record_parts_set_version(parts, &version, dots);
    return true;
}

/* false: it names an actor that is not known. */
static bool translate(const struct entries_reader *reader, struct item *item, struct dot *dots) {
    uint16_t newest = number_of(reader, item->parts.newest.actor);
    item->actor = newest;
    if (LIKELY(item->parts.other_count == 0)) {
        item->parts.newest.actor = newest;
        return newest != ACTORS_NONE;
    }
    return translate_dots(reader, &item->parts, dots);
}

/* ---- Applying ---- */

/* Entries that are looked at together, and the dots of their versions beside the newest: most have none. */
#define BATCH_ITEMS   BATCH_COMMANDS
#define BATCH_DOTS    (4 * VERSION_DOTS_MAX)
#define FETCHED_COUNT 16
/* A batch whose merge states take more bytes is full. */
#define BATCH_STATES_SIZE (64 * 1024)

struct batch {
    uint32_t count;
    uint32_t dots_used;
    bool is_broken; /* an entry behind the last makes no sense */
    struct item items[BATCH_ITEMS];
    struct dot dots[BATCH_DOTS];
};

struct application {
    struct entries_reader *reader;
    const struct entries_options *options;
    struct keyspace *keyspace;
    struct entries_outcome *outcome;
    uint64_t fetched[FETCHED_COUNT]; /* hashes of the keys asked for last */
    uint32_t fetched_count;
    struct buffer states; /* merge states of the batch at hand */
    const uint8_t
        *for_whom; /* node id, in the payload: the next entry is for that node; NULL: for this one */
};

static void lose(struct ledger *ledger, const struct item *item) {
    if (names_key(item) || item->kind == ENTRY_FLUSH || item->kind == ENTRY_FLOOR)
        ledger->has_lost = true;
}

static bool translate_actor(void *context, uint16_t *actor) {
    *actor = number_of(context, *actor);
    return *actor != ACTORS_NONE;
}

enum placing { PLACED, UNPLACED, MALFORMED };

/* Copies the merge state of an entry, and gives the copy our numbers. */
static enum placing place_state(struct application *application, struct item *item) {
    struct buffer *states = &application->states;
    uint32_t size = item->parts.state_size;
    item->state_at = states->size;
    if (!buffer_append(states, item->parts.state, size))
        return UNPLACED;
    uint8_t *state = states->data + item->state_at;
    if (!merge_state_renumber(state, size, translate_actor, application->reader))
        return application->reader->has_gaps ? UNPLACED : MALFORMED;
    return merge_state_sort(state, size) ? PLACED : MALFORMED;
}

/* Gives all that an entry names our numbers. */
static enum placing place_version(struct application *application, struct item *item, struct dot *dots) {
    if (!translate(application->reader, item, dots))
        return application->reader->has_gaps ? UNPLACED : MALFORMED;
    return LIKELY(item->parts.state_size == 0) ? PLACED : place_state(application, item);
}

/* Where the states of the batch stand now that their buffer grows no more. */
static void place_states(const struct application *application, struct batch *batch) {
    for (uint32_t i = 0; application->states.size != 0 && i < batch->count; i++)
        if (batch->items[i].kind == ENTRY_RECORD && batch->items[i].parts.state_size != 0)
            batch->items[i].parts.state = application->states.data + batch->items[i].state_at;
}

/* Reads entries until the batch is full, places their keys and asks for the headers of their slots. */
static void collect(struct application *application, struct cursor *cursor, struct batch *batch) {
    struct keyspace *keyspace = application->keyspace;
    struct entries_reader *reader = application->reader;
    struct database *database = keyspace->databases[0];
    batch->count = batch->dots_used = 0;
    batch->is_broken = false;
    buffer_clear(&application->states);
    while (cursor_remaining(cursor) != 0 && batch->count < BATCH_ITEMS &&
           batch->dots_used + VERSION_DOTS_MAX <= BATCH_DOTS &&
           application->states.size < BATCH_STATES_SIZE) {
        struct item *item = &batch->items[batch->count];
        struct dot *dots = batch->dots + batch->dots_used;
        struct actor_identity actor;
        if (!read_entry(cursor, item, dots, &actor)) {
            batch->is_broken = true;
            return;
        }
        if (item->kind == ENTRY_ACTOR) {
            if (learn_actor(reader, keyspace, item->actor, &actor, application->outcome))
                continue;
            item->is_unplaced = true;
        } else if (names_version(item)) {
            enum placing placing = place_version(application, item, dots);
            batch->is_broken = placing == MALFORMED;
            if (batch->is_broken)
                return;
            item->is_unplaced = placing == UNPLACED;
            batch->dots_used += item->parts.other_count;
        }
        if (names_key(item)) {
            item->key = key_of(item);
            keyspace_place(keyspace, &item->key);
            if (LIKELY(database != NULL))
                prefetch(&database->slots[item->key.slot]);
        }
        batch->count++;
    }
}

/* The further stages, over all keys of the batch: buckets, then records; those that were displaced from their home bucket are
 * looked for a stage later. */
static void fetch_keys(struct keyspace *keyspace, struct batch *batch) {
    struct database *database = keyspace->databases[0];
    uint8_t displaced[BATCH_ITEMS];
    uint32_t displaced_count = 0;
    const struct record *likely;
    if (database == NULL || batch->count < 2)
        return;
    for (uint32_t i = 0; i < batch->count; i++)
        if (LIKELY(names_key(&batch->items[i])))
            dict_prefetch_bucket(&database->slots[batch->items[i].key.slot], batch->items[i].key.hash);
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct argument *key = &batch->items[i].key;
        if (LIKELY(names_key(&batch->items[i])) &&
            dict_prefetch_record(&database->slots[key->slot], key->hash, 0, &likely) == DICT_DISPLACED)
            displaced[displaced_count++] = (uint8_t)i;
    }
    for (uint32_t i = 0; i < displaced_count; i++) {
        const struct argument *key = &batch->items[displaced[i]].key;
        dict_prefetch_record(&database->slots[key->slot], key->hash, 1, &likely);
    }
}

/* Notes a write that this node has not made, under the actor of its own writes. Of those before it, others may know more than it does. */
static void watch_own_dots(const struct application *application, const struct record_parts *parts) {
    uint16_t own = application->keyspace->actor;
    uint64_t counter = parts->newest.actor == own ? parts->newest.counter : 0;
    for (uint32_t i = 0; i < parts->other_count; i++)
        if (parts->others[i].actor == own)
            counter = parts->others[i].counter;
    if (UNLIKELY(counter > application->keyspace->counter && counter > application->outcome->own_counter))
        application->outcome->own_counter = counter;
}

static inline void count_change(struct entries_outcome *outcome, bool has_changed) {
    if (has_changed)
        outcome->changed++;
    else
        outcome->stale++;
}

/* Whether neither of two records of a key has seen what the other holds. */
static bool are_concurrent(const struct keyspace *keyspace, const struct record_parts *theirs,
                           const struct record *record) {
    struct version our_version, their_version;
    struct record_parts ours;
    struct dot others[VERSION_DOTS_MAX];
    record_parts(record, &ours, others);
    record_parts_version(&ours, &our_version);
    record_parts_version(theirs, &their_version);
    return !content_is_covered(&keyspace->actors, theirs, &our_version) &&
           !content_is_covered(&keyspace->actors, &ours, &their_version);
}

/* A candidate of the sender's. Whether it is not to be taken; then it is told so. */
static bool refuse_candidate(struct application *application, struct item *item,
                             const struct record *record) {
    const struct entries_options *options = application->options;
    struct keyspace *keyspace = application->keyspace;
    struct buffer *answers = &application->outcome->answers;
    struct version theirs;
    if (record != NULL && (record->counter <= keyspace->ledger->floors.counters[item->key.slot] ||
                           !are_concurrent(keyspace, &item->parts, record)))
        return false;
    record_parts_version(&item->parts, &theirs);
    if (options->answers_writer != NULL) {
        bool is_told =
            entries_tell_flush(options->answers_writer, keyspace->ledger, answers, item->key.slot) &&
            entries_add_gone(options->answers_writer, &keyspace->actors, answers, &item->key, &theirs) &&
            (record == NULL ||
             entries_add_record(options->answers_writer, &keyspace->actors, answers, record));
        if (!is_told)
            lose(keyspace->ledger, item); /* the next comparison will tell */
    }
    application->outcome->buried++;
    application->outcome->stale++;
    return true;
}

/* This node's own candidate gives way to what does not know it. */
static void give_way(struct application *application, struct item *item, const struct record *record) {
    if (are_concurrent(application->keyspace, &item->parts, record))
        keyspace_drop_copy(application->keyspace, &item->key);
}

/* A record meets a slot with a floor, perhaps. Returns whether it is not to be taken. */
static __attribute__((noinline)) bool judge(struct application *application, struct item *item) {
    const struct entries_options *options = application->options;
    uint64_t floor = application->keyspace->ledger->floors.counters[item->key.slot];
    bool is_below = item->parts.newest.counter <= floor;
    if (is_below && item->parts.type != RECORD_TOMBSTONE && options->is_candidate != NULL &&
        options->is_candidate(options->context, item->key.slot))
        return refuse_candidate(application, item, keyspace_find_record(application->keyspace, &item->key));
    if (is_below || floor == 0 || !options->gives_way)
        return false;
    const struct record *record = keyspace_find_record(application->keyspace, &item->key);
    if (record != NULL && record->counter <= floor)
        give_way(application, item, record);
    return false;
}

static bool apply_record(struct application *application, struct item *item) {
    struct keyspace *keyspace = application->keyspace;
    bool has_changed;
    bool may_be_candidate = item->parts.newest.counter <= keyspace->ledger->floors.highest;
    if (UNLIKELY(may_be_candidate || application->options->gives_way) && judge(application, item))
        return true;
    if (!keyspace_merge(keyspace, 0, &item->key, &item->parts, &has_changed))
        return false;
    count_change(application->outcome, has_changed);
    return true;
}

/* The version that a patch was made of: the writer's dot was another, or not there. */
static void base_of(const struct item *item, const struct version *version, struct version *base) {
    base->count = 0;
    for (uint32_t i = 0; i < version->count; i++) {
        struct dot dot = version->dots[i];
        if (dot.actor == item->actor)
            dot.counter = item->number;
        if (dot.counter != 0)
            base->dots[base->count++] = dot;
    }
}

/* Asks for a key, unless that was done just before. */
static bool fetch(struct application *application, const struct argument *key) {
    uint32_t held = application->fetched_count < FETCHED_COUNT ? application->fetched_count : FETCHED_COUNT;
    for (uint32_t i = 0; i < held; i++)
        if (application->fetched[i] == key->hash)
            return true;
    if (!entries_add_fetch(&application->outcome->fetches, key->data, key->size))
        return false;
    application->fetched[application->fetched_count++ % FETCHED_COUNT] = key->hash;
    return true;
}

/* Not inlined, as all here that have large frames: they would lie on the stack beside the whole batch. */
static __attribute__((noinline)) bool apply_patch(struct application *application, struct item *item) {
    struct keyspace_patch_parts patch = {.value_size = item->parts.value_size,
                                         .offset = item->first,
                                         .size = item->last,
                                         .bytes = item->parts.value,
                                         .expiry_ms = item->parts.expiry_ms,
                                         .encoding = item->parts.encoding};
    record_parts_version(&item->parts, &patch.version);
    base_of(item, &patch.version, &patch.base);
    switch (keyspace_apply_patch(application->keyspace, &item->key, &patch)) {
    case PATCH_APPLIED: application->outcome->changed++; return true;
    case PATCH_STALE: application->outcome->stale++; return true;
    case PATCH_UNFIT: return fetch(application, &item->key);
    case PATCH_NO_MEMORY: break;
    }
    return false;
}

static __attribute__((noinline)) void apply_expired(struct application *application, struct item *item) {
    struct keyspace *keyspace = application->keyspace;
    struct version version;
    bool has_changed = false;
    record_parts_version(&item->parts, &version);
    if (UNLIKELY(!keyspace_is_possible(keyspace, item->parts.newest.counter)))
        keyspace->counters.refused_future++; /* it would be newer than anything */
    else
        has_changed = keyspace_apply_expired(keyspace, &item->key, &version);
    count_change(application->outcome, has_changed);
}

/* Not inlined: its slots would lie on the stack beside the whole batch. */
static __attribute__((noinline)) void apply_flush(struct application *application, const struct item *item) {
    struct keyspace *keyspace = application->keyspace;
    struct slot_set slots = {{0}};
    uint64_t refused = keyspace->counters.refused_future;
    bool is_news = false;
    for (uint32_t slot = item->first; slot <= item->last; slot++) {
        slot_set_add(&slots, slot);
        is_news |= keyspace->ledger->flush_counters[slot] < item->number;
    }
    if (is_news)
        application->outcome->changed += keyspace_flush_slots(keyspace, &slots, item->number);
    application->outcome->stale += !is_news || keyspace->counters.refused_future != refused;
}

static __attribute__((noinline)) void apply_floor(struct application *application, const struct item *item) {
    struct keyspace *keyspace = application->keyspace;
    count_change(application->outcome, floors_raise(keyspace, item->first, item->last, item->number));
    (void)floors_step(keyspace, FLOOR_STEP_UNITS);
}

static __attribute__((noinline)) bool answer(struct application *application, struct item *item) {
    struct keyspace *keyspace = application->keyspace;
    struct buffer *answers = &application->outcome->answers;
    const struct record *record = keyspace_find_record(keyspace, &item->key);
    if (record == NULL || application->options->answers_writer == NULL)
        return true;
    if (answers->size >= ENTRIES_ANSWERS_MAX) {
        lose(keyspace->ledger, item);
        return true;
    }
    struct entries_writer *writer = application->options->answers_writer;
    return entries_tell_flush(writer, keyspace->ledger, answers, item->key.slot) &&
           entries_add_record(writer, &keyspace->actors, answers, record);
}

/* This node stands in for the one that the entry is for. */
static void stand_in(struct application *application, const struct item *item, bool is_applied) {
    const struct entries_options *options = application->options;
    bool is_kept = item->kind == ENTRY_RECORD || item->kind == ENTRY_PATCH;
    if (is_applied && is_kept && options->stands_in != NULL)
        options->stands_in(options->context, application->for_whom, &item->key);
    application->for_whom = NULL;
}

/* false: no memory, nothing changed. */
static bool apply_item(struct application *application, struct item *item) {
    struct entries_outcome *outcome = application->outcome;
    if (UNLIKELY(item->is_unplaced))
        return false;
    if (LIKELY(names_version(item)))
        watch_own_dots(application, &item->parts);
    bool done = true;
    if (LIKELY(item->kind == ENTRY_RECORD)) {
        done = apply_record(application, item);
    } else if (item->kind == ENTRY_PATCH) {
        done = apply_patch(application, item);
    } else if (item->kind == ENTRY_EXPIRED) {
        apply_expired(application, item);
    } else if (item->kind == ENTRY_FLUSH) {
        apply_flush(application, item);
    } else if (item->kind == ENTRY_FLOOR) {
        apply_floor(application, item);
    } else if (item->kind == ENTRY_FETCH) {
        done = answer(application, item);
    } else if (item->kind == ENTRY_MARK) {
        outcome->mark = item->number;
    } else {
        application->for_whom = item->parts.value;
        return true;
    }
    outcome->applied += done;
    if (UNLIKELY(application->for_whom != NULL))
        stand_in(application, item, done);
    return done;
}

/* Returns how it went. The counts of the keyspace tell what its doors do not. */
static enum entries_status apply_batches(struct application *application, struct cursor *cursor) {
    struct keyspace *keyspace = application->keyspace;
    struct batch batch;
    bool is_lost =
        false; /* memory has ended: what follows is not applied. The actors in it are still learned */
    while (cursor_remaining(cursor) != 0) {
        collect(application, cursor, &batch);
        place_states(application, &batch);
        if (!is_lost)
            fetch_keys(keyspace, &batch);
        for (uint32_t i = 0; i < batch.count; i++) {
            is_lost = is_lost || !apply_item(application, &batch.items[i]);
            if (is_lost)
                lose(keyspace->ledger, &batch.items[i]);
        }
        if (batch.is_broken)
            return ENTRIES_MALFORMED;
    }
    return is_lost ? ENTRIES_NO_MEMORY : ENTRIES_APPLIED;
}

enum entries_status entries_apply(struct entries_reader *reader, const struct entries_options *options,
                                  const uint8_t *data, size_t size, struct entries_outcome *outcome) {
    struct keyspace *keyspace = options->keyspace;
    struct application application = {
        .reader = reader, .options = options, .keyspace = keyspace, .outcome = outcome};
    struct cursor cursor = cursor_make(data, size);
    CHECK(keyspace->ledger != NULL);
    struct keyspace_counters before = keyspace->counters;
    buffer_init(&application.states, reader->mem);
    enum entries_status status = apply_batches(&application, &cursor);
    buffer_release(&application.states);
    outcome->conflicts += keyspace->counters.merge_conflicts - before.merge_conflicts;
    outcome->refused += keyspace->counters.refused_future - before.refused_future;
    return status;
}

size_t entries_each_missed(const uint8_t *data, size_t size, size_t from, uint32_t limit,
                           const struct entries_missed *missed) {
    struct cursor cursor = cursor_make(data + from, size - from);
    bool is_for_other = false;
    while (cursor_remaining(&cursor) != 0 && (limit != 0 || is_for_other)) {
        struct item item;
        struct dot dots[VERSION_DOTS_MAX];
        struct actor_identity actor;
        if (!read_entry(&cursor, &item, dots, &actor))
            return size;
        if (item.kind == ENTRY_ACTOR)
            continue;
        limit -= limit != 0;
        if ((item.kind == ENTRY_RECORD || item.kind == ENTRY_PATCH) && !is_for_other) {
            struct argument key = key_of(&item);
            missed->key(missed->context, &key);
        } else if (item.kind == ENTRY_FLUSH) {
            missed->flush(missed->context);
        }
        is_for_other = item.kind == ENTRY_FOR;
    }
    return (size_t)(cursor.position - data);
}
