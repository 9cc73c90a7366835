/* model_store.c - the model's keys in chains, and who watches them.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/model_inside.h"

static void *take(struct model *model, size_t size) {
    void *pointer = mem_alloc_zeroed(model->options.mem, size == 0 ? 1 : size);
    CHECK(pointer != NULL);
    return pointer;
}

static void give(struct model *model, void *pointer, size_t size) {
    mem_free(model->options.mem, pointer, size == 0 ? 1 : size);
}

static void copy(uint8_t *to, const uint8_t *from, size_t size) {
    if (size != 0)
        memcpy(to, from, size);
}

static size_t chain_of(const uint8_t *key, size_t size) {
    uint64_t sum = 1469598103934665603u;
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ key[i]) * 1099511628211u;
    return (size_t)(sum >> 20) % MODEL_CHAINS;
}

static struct model_entry **place_of(struct model *model, uint32_t database, const uint8_t *key,
                                     size_t size) {
    struct model_database *of = &model->databases[database];
    if (of->chains == NULL)
        of->chains = take(model, MODEL_CHAINS * sizeof *of->chains);
    struct model_entry **place = &of->chains[chain_of(key, size)];
    while (*place != NULL && !bytes_equal((*place)->key, (*place)->key_size, key, size))
        place = &(*place)->next;
    return place;
}

/* ---- Watching ---- */

static void tell_session(struct model_session *session, const struct watched_name *name, bool is_sure) {
    if (is_sure && !name->is_unsure)
        session->watch_broken = true;
    else
        session->watch_unsure = true;
}

static void tell(struct model *model, uint32_t database, const struct model_entry *entry, bool is_reclaimed) {
    if (model->tells_nobody)
        return;
    for (struct model_session *session = model->sessions; session != NULL; session = session->next)
        for (struct watched_name *name = session->watched; name != NULL; name = name->next)
            if (name->database == database &&
                bytes_equal(name->key, name->key_size, entry->key, entry->key_size))
                tell_session(session, name, !(is_reclaimed && name->was_ghost));
}

void watch_tell_database(struct model *model, uint32_t database, uint32_t other) {
    for (struct model_session *session = model->sessions; session != NULL; session = session->next)
        for (struct watched_name *name = session->watched; name != NULL; name = name->next) {
            if (name->database != database && name->database != other)
                continue;
            const struct model_entry *here = entry_any(model, database, name->key, name->key_size);
            const struct model_entry *there = entry_any(model, other, name->key, name->key_size);
            if (here == NULL && there == NULL)
                continue;
            bool is_sure = entry_is_live(model, here) || entry_is_live(model, there);
            /* What had expired there comes here: it does not expire here, and the server may have let it go. */
            name->was_ghost = name->was_ghost || !is_sure;
            tell_session(session, name, is_sure);
        }
}

void watch_forget(struct model *model, struct model_session *session) {
    while (session->watched != NULL) {
        struct watched_name *name = session->watched;
        session->watched = name->next;
        give(model, name->key, name->key_size);
        give(model, name, sizeof *name);
    }
    session->watch_broken = session->watch_unsure = false;
}

/* ---- Entries ---- */

struct model_entry *entry_any(struct model *model, uint32_t database, const uint8_t *key, size_t key_size) {
    return *place_of(model, database, key, key_size);
}

bool entry_is_live(const struct model *model, const struct model_entry *entry) {
    return entry != NULL && (entry->expiry_ms == MODEL_NO_EXPIRY || model->now_ms <= entry->expiry_ms);
}

struct model_entry *entry_find(struct model *model, uint32_t database, const struct argument *key) {
    struct model_entry *entry = entry_any(model, database, key->data, key->size);
    if (entry_is_live(model, entry))
        return entry;
    if (entry != NULL && !model->reclaims_nothing)
        entry->is_reclaimed = true;
    return NULL;
}

static void entry_free(struct model *model, struct model_entry *entry) {
    give(model, entry->key, entry->key_size);
    give(model, entry->value, entry->value_size);
    give(model, entry, sizeof *entry);
}

static void drop(struct model *model, uint32_t database, struct model_entry *entry) {
    struct model_entry **place = place_of(model, database, entry->key, entry->key_size);
    *place = entry->next;
    entry_free(model, entry);
}

static struct model_entry *put(struct model *model, uint32_t database, const struct model_record *record) {
    struct model_entry **place = place_of(model, database, record->key, record->key_size);
    struct model_entry *entry = *place;
    uint8_t *value = take(model, record->value_size);
    copy(value, record->value, record->value_size);
    if (entry == NULL) {
        entry = *place = take(model, sizeof *entry);
        entry->key = take(model, record->key_size);
        entry->key_size = record->key_size;
        copy(entry->key, record->key, record->key_size);
        entry->born = ++model->births;
    } else {
        if (!entry_is_live(model, entry))
            entry->born = ++model->births;
        give(model, entry->value, entry->value_size);
    }
    entry->value = value;
    entry->value_size = record->value_size;
    entry->expiry_ms = record->expiry_ms;
    entry->shape = record->shape;
    entry->is_reclaimed = false;
    return entry;
}

struct model_entry *entry_put(struct model *model, uint32_t database, const struct argument *key,
                              const uint8_t *data, size_t size, int64_t expiry_ms, enum model_shape shape) {
    struct model_record record = {.key = key->data,
                                  .key_size = key->size,
                                  .value = data,
                                  .value_size = size,
                                  .expiry_ms = expiry_ms,
                                  .shape = shape};
    struct model_entry *entry = put(model, database, &record);
    tell(model, database, entry, false);
    return entry;
}

uint8_t *entry_resize(struct model *model, uint32_t database, struct model_entry *entry, size_t size,
                      enum model_shape shape) {
    uint8_t *value = take(model, size);
    copy(value, entry->value, size < entry->value_size ? size : entry->value_size);
    give(model, entry->value, entry->value_size);
    entry->value = value;
    entry->value_size = size;
    entry->shape = shape;
    tell(model, database, entry, false);
    return value;
}

void entry_set_expiry(struct model *model, uint32_t database, struct model_entry *entry, int64_t expiry_ms) {
    entry->expiry_ms = expiry_ms;
    tell(model, database, entry, false);
}

void entry_remove(struct model *model, uint32_t database, struct model_entry *entry) {
    tell(model, database, entry, false);
    drop(model, database, entry);
}

void database_empty(struct model *model, uint32_t database) {
    struct model_database *of = &model->databases[database];
    if (of->chains == NULL)
        return;
    for (size_t i = 0; i < MODEL_CHAINS; i++)
        while (of->chains[i] != NULL) {
            struct model_entry *entry = of->chains[i];
            of->chains[i] = entry->next;
            entry_free(model, entry);
        }
    give(model, of->chains, MODEL_CHAINS * sizeof *of->chains);
    of->chains = NULL;
}

/* ---- All of them ---- */

void database_each(struct model *model, uint32_t database,
                   void (*visit)(struct model_entry *entry, void *context), void *context) {
    const struct model_database *of = &model->databases[database];
    for (size_t i = 0; of->chains != NULL && i < MODEL_CHAINS; i++)
        for (struct model_entry *entry = of->chains[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            visit(entry, context);
        }
}

struct count {
    const struct model *model;
    uint64_t live, ghosts, bytes;
};

static void count_entry(struct model_entry *entry, void *context) {
    struct count *count = context;
    if (entry_is_live(count->model, entry))
        count->live++;
    else
        count->ghosts += !entry->is_reclaimed;
    count->bytes += entry->key_size + entry->value_size;
}

uint64_t database_count(const struct model *model, uint32_t database, uint64_t *ghosts) {
    struct count count = {.model = model};
    database_each((struct model *)model, database, count_entry, &count);
    *ghosts = count.ghosts;
    return count.live;
}

static struct count count_all(const struct model *model) {
    struct count count = {.model = model};
    for (uint32_t database = 0; database < MODEL_DATABASES; database++)
        database_each((struct model *)model, database, count_entry, &count);
    return count;
}

uint64_t model_count(struct model *model) {
    return count_all(model).live;
}

uint64_t model_bytes(const struct model *model) {
    return count_all(model).bytes;
}

static struct model_record record_of(uint32_t database, const struct model_entry *entry) {
    return (struct model_record){.database = database,
                                 .key = entry->key,
                                 .value = entry->value,
                                 .key_size = entry->key_size,
                                 .value_size = entry->value_size,
                                 .expiry_ms = entry->expiry_ms,
                                 .shape = entry->shape};
}

void model_each(struct model *model, void (*visit)(void *context, const struct model_record *record),
                void *context) {
    for (uint32_t database = 0; database < MODEL_DATABASES; database++) {
        const struct model_database *of = &model->databases[database];
        for (size_t i = 0; of->chains != NULL && i < MODEL_CHAINS; i++)
            for (const struct model_entry *entry = of->chains[i]; entry != NULL; entry = entry->next)
                if (entry_is_live(model, entry)) {
                    struct model_record record = record_of(database, entry);
                    visit(context, &record);
                }
    }
}

bool model_find(struct model *model, uint32_t database, const uint8_t *key, size_t key_size,
                struct model_record *record) {
    const struct model_entry *entry = entry_any(model, database, key, key_size);
    if (!entry_is_live(model, entry))
        return false;
    *record = record_of(database, entry);
    return true;
}

/* ---- Ghosts ---- */

struct ghost_hunt {
    struct model *model;
    uint32_t database;
    bool (*is_there)(void *context, const struct model_record *record);
    void *context;
};

/* A key that had expired and that the server has reclaimed meanwhile is gone for good, and its watchers know. One that
 * it still has is alive again, if it is not past its time any more. */
static void hunt(struct model_entry *entry, void *context) {
    struct ghost_hunt *state = context;
    if (entry->expiry_ms == MODEL_NO_EXPIRY || state->model->latest_ms <= entry->expiry_ms)
        return;
    struct model_record record = record_of(state->database, entry);
    if (!state->is_there(state->context, &record)) {
        tell(state->model, state->database, entry, true);
        drop(state->model, state->database, entry);
    } else if (entry_is_live(state->model, entry)) {
        entry->born = ++state->model->births;
    }
}

void model_settle_ghosts(struct model *model,
                         bool (*is_there)(void *context, const struct model_record *record), void *context) {
    struct ghost_hunt state = {.model = model, .is_there = is_there, .context = context};
    for (state.database = 0; state.database < MODEL_DATABASES; state.database++)
        database_each(model, state.database, hunt, &state);
    for (struct model_session *session = model->sessions; session != NULL; session = session->next)
        for (struct watched_name *name = session->watched; name != NULL; name = name->next)
            session->watch_unsure = session->watch_unsure || name->was_ghost;
    model->latest_ms = model->now_ms;
}

void model_forget_keys(struct model *model) {
    for (uint32_t database = 0; database < MODEL_DATABASES; database++)
        database_empty(model, database);
    for (struct model_session *session = model->sessions; session != NULL; session = session->next) {
        session->scan.is_running = false;
        session->watch_unsure = session->watch_unsure || session->watched != NULL;
    }
}

void model_put(struct model *model, const struct model_record *record) {
    put(model, record->database, record);
}
