/* checkpoint_fill.c - entry by entry into the keyspace.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/checkpoint_fill.h"

#include "data/merge_state.h"
#include "store/floors.h"

bool checkpoint_fill_begin(struct checkpoint_fill *fill, struct keyspace *keyspace,
                           const struct checkpoint_header *header) {
    *fill = (struct checkpoint_fill){.keyspace = keyspace, .header = *header, .database = DATABASE_COUNT};
    buffer_init(&fill->long_bytes, keyspace->mem);
    buffer_init(&fill->state, keyspace->mem);
    if (header->actor_count == 0)
        return true;
    size_t size = header->actor_count * sizeof *fill->actors;
    fill->actors = mem_alloc(keyspace->mem, size);
    if (fill->actors == NULL)
        return false;
    memset(fill->actors, 0xff, size);
    return true;
}

void checkpoint_fill_release(struct checkpoint_fill *fill) {
    if (fill->keyspace == NULL)
        return;
    mem_free(fill->keyspace->mem, fill->actors, fill->header.actor_count * sizeof *fill->actors);
    buffer_release(&fill->long_bytes);
    buffer_release(&fill->state);
    fill->keyspace = NULL;
}

static enum checkpoint_fill_status damaged(struct checkpoint_fill *fill, const char *problem) {
    fill->problem = problem;
    return FILL_DAMAGED;
}

/* Whether nobody else has, or will have, versions of these keys. A node of a cluster that has not met the others yet does not know. */
static bool has_no_peers(const struct keyspace *keyspace) {
    return keyspace->is_alone && keyspace->ledger == NULL;
}

/* The keyspace's number of a writer in the file. Alone, nobody else has versions of these keys to compare with: one writer
 * stands for all of the file, so that the list of past starts does not grow for ever. */
static uint16_t actor_of(struct checkpoint_fill *fill, uint16_t in_file) {
    if (fill->actors[in_file] == ACTORS_NONE) {
        struct actor_identity identity = has_no_peers(fill->keyspace)
                                             ? fill->header.writer
                                             : checkpoint_header_actor(&fill->header, in_file);
        fill->actors[in_file] = actors_intern(&fill->keyspace->actors, &identity);
    }
    return fill->actors[in_file];
}

/* Gives the version the keyspace's numbers. Dots must have been of different writers. */
static enum checkpoint_fill_status translate(struct checkpoint_fill *fill, struct record_parts *parts,
                                             struct dot others[VERSION_DOTS_MAX]) {
    parts->newest.actor = actor_of(fill, parts->newest.actor);
    if (parts->newest.actor == ACTORS_NONE)
        return FILL_NO_MEMORY;
    if (has_no_peers(fill->keyspace)) {
        parts->other_count = 0;
        return FILL_MORE;
    }
    struct version version = {.count = 0};
    for (uint32_t i = 0; i < parts->other_count; i++) {
        struct dot dot = {.actor = actor_of(fill, parts->others[i].actor),
                          .counter = parts->others[i].counter};
        if (dot.actor == ACTORS_NONE)
            return FILL_NO_MEMORY;
        if (!version_raise(&version, dot))
            return damaged(fill, "a version of too many writers");
    }
    if (version.count != parts->other_count)
        return damaged(fill, "a version names a writer twice");
    for (uint32_t i = 0; i < version.count; i++) {
        if (version.dots[i].actor == parts->newest.actor)
            return damaged(fill, "a version names a writer twice");
        others[i] = version.dots[i];
    }
    parts->others = others;
    return FILL_MORE;
}

static bool translate_actor(void *context, uint16_t *actor) {
    *actor = actor_of(context, *actor);
    return *actor != ACTORS_NONE;
}

/* Gives the merge state the keyspace's numbers, in a copy. Alone, nobody has anything to merge. */
static enum checkpoint_fill_status translate_state(struct checkpoint_fill *fill, struct record_parts *parts) {
    if (has_no_peers(fill->keyspace))
        parts->state_size = 0;
    if (LIKELY(parts->state_size == 0))
        return FILL_MORE;
    buffer_clear(&fill->state);
    if (!buffer_append(&fill->state, parts->state, parts->state_size) ||
        !merge_state_renumber(fill->state.data, fill->state.size, translate_actor, fill))
        return FILL_NO_MEMORY;
    if (!merge_state_sort(fill->state.data, fill->state.size))
        return damaged(fill, "a merge state names a writer twice");
    parts->state = fill->state.data;
    return FILL_MORE;
}

static enum checkpoint_fill_status add(struct checkpoint_fill *fill, uint32_t database,
                                       const struct record_parts *given) {
    struct keyspace *keyspace = fill->keyspace;
    struct record_parts parts = *given;
    struct dot others[VERSION_DOTS_MAX];
    bool has_expired = parts.expiry_ms != RECORD_NO_EXPIRY && keyspace->now_ms > parts.expiry_ms;
    if ((ledger_is_solitary(keyspace) && has_expired) ||
        (has_no_peers(keyspace) && parts.type == RECORD_TOMBSTONE)) {
        fill->expired++;
        return FILL_MORE;
    }
    enum checkpoint_fill_status status = translate(fill, &parts, others);
    if (status == FILL_MORE)
        status = translate_state(fill, &parts);
    if (status != FILL_MORE)
        return status;
    parts.access_s = keyspace->now_s;
    struct argument key = {.data = parts.key, .size = parts.key_size, .slot = ARGUMENT_NOT_PLACED};
    switch (keyspace_load(keyspace, database, &key, &parts)) {
    case LOAD_ADDED: fill->loaded++; return FILL_MORE;
    case LOAD_PRESENT: return damaged(fill, "a key comes twice");
    case LOAD_NO_MEMORY: break;
    }
    return FILL_NO_MEMORY;
}

static enum checkpoint_fill_status begin_long(struct checkpoint_fill *fill,
                                              const struct checkpoint_entry *entry) {
    if (fill->long_left != 0)
        return damaged(fill, "a long record begins within another");
    fill->entry = *entry;
    fill->entry.parts.others = fill->entry.others;
    fill->long_database = fill->database;
    fill->long_left = (uint64_t)entry->key_left + entry->state_size + entry->value_size;
    buffer_clear(&fill->long_bytes);
    return buffer_append(&fill->long_bytes, entry->parts.key, entry->parts.key_size) ? FILL_MORE
                                                                                     : FILL_NO_MEMORY;
}

/* All parts of a long record are there: its key, its merge state and its value stand one behind the other. */
static enum checkpoint_fill_status end_long(struct checkpoint_fill *fill) {
    struct record_parts parts = fill->entry.parts;
    parts.key = fill->long_bytes.data;
    parts.key_size += fill->entry.key_left;
    parts.state_size = fill->entry.state_size;
    parts.state = fill->long_bytes.data + parts.key_size;
    parts.value_size = fill->entry.value_size;
    parts.value = parts.value_size == 0 ? NULL : parts.state + parts.state_size;
    if (parts.state_size != 0 &&
        (!record_codec_takes_state(&parts, parts.state, parts.state_size) ||
         !checkpoint_state_names_actors(parts.state, parts.state_size, fill->header.actor_count)))
        return damaged(fill, "a merge state that cannot be read");
    enum checkpoint_fill_status status = add(fill, fill->long_database, &parts);
    buffer_release(&fill->long_bytes);
    buffer_release(&fill->state);
    return status;
}

/* The bytes grow as they come: what an entry promises reserves nothing. */
static enum checkpoint_fill_status take_part(struct checkpoint_fill *fill,
                                             const struct checkpoint_entry *part) {
    if (part->size > fill->long_left)
        return damaged(fill, "a part of no long record");
    if (!buffer_append(&fill->long_bytes, part->bytes, part->size))
        return FILL_NO_MEMORY;
    fill->long_left -= part->size;
    return fill->long_left == 0 ? end_long(fill) : FILL_MORE;
}

void checkpoint_fill_block(struct checkpoint_fill *fill) {
    fill->database = DATABASE_COUNT;
    fill->block_records = 0;
}

static enum checkpoint_fill_status take_entry(struct checkpoint_fill *fill, struct cursor *block) {
    struct checkpoint_entry entry;
    enum checkpoint_entry_kind kind = checkpoint_entry_read(block, fill->header.actor_count, &entry);
    if (fill->database == DATABASE_COUNT && kind != CHECKPOINT_DATABASE && kind != CHECKPOINT_ENTRY_BROKEN)
        return damaged(fill, "a block that begins without a database");
    switch (kind) {
    case CHECKPOINT_RECORD: fill->block_records++; return add(fill, fill->database, &entry.parts);
    case CHECKPOINT_DATABASE: fill->database = entry.database; return FILL_MORE;
    case CHECKPOINT_LONG: fill->block_records++; return begin_long(fill, &entry);
    case CHECKPOINT_PART: return take_part(fill, &entry);
    case CHECKPOINT_SLOTS:
        floors_load(fill->keyspace, entry.first_slot, entry.last_slot, entry.flush_counter, entry.floor);
        return FILL_MORE;
    case CHECKPOINT_ENTRY_BROKEN: break;
    }
    return damaged(fill, "an entry that cannot be read");
}

enum checkpoint_fill_status checkpoint_fill_step(struct checkpoint_fill *fill, struct cursor *block,
                                                 uint32_t records, uint32_t budget) {
    while (cursor_remaining(block) != 0) {
        if (budget-- == 0)
            return FILL_MORE;
        enum checkpoint_fill_status status = take_entry(fill, block);
        if (status != FILL_MORE)
            return status;
    }
    if (fill->block_records != records)
        return damaged(fill, "a block with another number of records than it says");
    return FILL_BLOCK_DONE;
}

bool checkpoint_fill_is_whole(const struct checkpoint_fill *fill) {
    return fill->long_left == 0;
}
