/* history.c - operations, and what they allow others to read.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/history.h"

#include "base/crc16.h"
#include "base/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAGS  3
#define LARGE 5 /* each so many-th key has long values */

static void name_key(struct history_key *key, uint32_t index) {
    static const enum key_kind kinds[] = {KEY_PLAIN, KEY_PLAIN,    KEY_TAGGED, KEY_COUNTER,
                                          KEY_PLAIN, KEY_VOLATILE, KEY_PAIR,   KEY_PAIR};
    key->kind = kinds[index % 8];
    key->is_large = index % LARGE == 0 && (key->kind == KEY_PLAIN || key->kind == KEY_TAGGED);
    int size;
    switch (key->kind) {
    case KEY_PLAIN: size = snprintf(key->name, sizeof key->name, "s:%u", index); break;
    case KEY_VOLATILE: size = snprintf(key->name, sizeof key->name, "v:%u", index); break;
    case KEY_COUNTER: size = snprintf(key->name, sizeof key->name, "n:%u", index); break;
    case KEY_TAGGED: size = snprintf(key->name, sizeof key->name, "{t%u}:%u", index / 8 % TAGS, index); break;
    default: size = snprintf(key->name, sizeof key->name, "{p%u}:%u", index / 8, index); break;
    }
    key->name_size = (uint32_t)size;
    key->slot = crc16_key_slot(key->name, key->name_size);
}

void history_init(struct history *history, struct world *world, const struct conditions *conditions) {
    *history = (struct history){.world = world, .conditions = conditions, .key_count = conditions->mix.keys};
    history->keys = world_alloc(world, history->key_count * sizeof *history->keys);
    for (uint32_t i = 0; i < history->key_count; i++)
        name_key(&history->keys[i], i);
    /* Half a pair is none. */
    struct history_key *last = &history->keys[history->key_count - 1];
    if (last->kind == KEY_PAIR && history->key_count % 8 == 7)
        last->kind = KEY_TAGGED;
}

void history_release(struct history *history) {
    struct world *world = history->world;
    for (uint32_t user = 0; user < HISTORY_USERS; user++) {
        for (uint32_t i = 0; i < history->operation_count[user]; i++)
            world_free(world, history->operations[user][i], sizeof(struct operation));
        mem_free(&world->mem, history->operations[user],
                 history->operation_capacity[user] * sizeof(struct operation *));
    }
    world_free(world, history->keys, history->key_count * sizeof *history->keys);
}

uint32_t history_find_key(const struct history *history, const uint8_t *name, size_t size) {
    const uint8_t *colon = memchr(name, ':', size);
    if (colon == NULL)
        return history->key_count;
    int64_t index;
    if (!number_parse_int64((const char *)colon + 1, size - (size_t)(colon + 1 - name), &index) ||
        index < 0 || (uint64_t)index >= history->key_count)
        return history->key_count;
    const struct history_key *key = &history->keys[index];
    return key->name_size == size && memcmp(key->name, name, size) == 0 ? (uint32_t)index
                                                                        : history->key_count;
}

struct operation *history_operation(struct history *history, uint32_t user, enum operation_kind kind) {
    uint32_t count = history->operation_count[user], capacity = history->operation_capacity[user];
    if (count == capacity) {
        capacity = capacity == 0 ? 64 : capacity * 2;
        history->operations[user] =
            mem_resize(&history->world->mem, history->operations[user], count * sizeof(struct operation *),
                       capacity * sizeof(struct operation *));
        CHECK(history->operations[user] != NULL);
        history->operation_capacity[user] = capacity;
    }
    struct operation *operation = world_alloc(history->world, sizeof *operation);
    *operation = (struct operation){.kind = kind, .user = user, .sequence = count, .done_ns = NO_TIME};
    history->operations[user][history->operation_count[user]++] = operation;
    return operation;
}

/* ---- Asked and told ---- */

static uint64_t ripe_after_ns(const struct history *history) {
    return history->conditions->is_calm || history->is_register ? 0 : RIPE_NS;
}

static void ripen(const struct history *history, struct ripening *ripening) {
    if (ripening->invoked_ns == 0 || ripening->done_ns + ripe_after_ns(history) > history->world->now_ns)
        return;
    if (ripening->invoked_ns > ripening->ripe_ns)
        ripening->ripe_ns = ripening->invoked_ns;
    ripening->invoked_ns = 0;
}

/* One that ripens is not replaced: else a key that is written all the time would never have a ripe one. */
static void plant(const struct history *history, struct ripening *ripening,
                  const struct operation *operation) {
    ripen(history, ripening);
    if (ripening->invoked_ns != 0)
        return;
    ripening->invoked_ns = operation->invoked_ns;
    ripening->done_ns = operation->done_ns;
    ripen(history, ripening);
}

static bool is_undisturbed(const struct history *history, const struct operation *operation) {
    return history->is_register || history->disturbed_ns == 0 ||
           operation->invoked_ns > history->disturbed_ns + UNDISTURBED_NS;
}

/* A flush is a delete of every key. */
static void for_each_key(struct history *history, struct operation *operation,
                         void (*visit)(struct history *history, struct history_key *key,
                                       struct operation *operation)) {
    if (operation->kind == OPERATION_FLUSH)
        for (uint32_t i = 0; i < history->key_count; i++)
            visit(history, &history->keys[i], operation);
    else
        for (uint32_t i = 0; i < operation->key_count; i++)
            visit(history, &history->keys[operation->keys[i]], operation);
}

static bool deletes(const struct operation *operation) {
    return operation->kind == OPERATION_DEL || operation->kind == OPERATION_FLUSH;
}

static bool resets(const struct operation *operation) {
    return operation->kind == OPERATION_RESET || deletes(operation);
}

static void ask_key(struct history *history, struct history_key *key, struct operation *operation) {
    if (deletes(operation))
        key->open_deletes++;
    if (resets(operation)) {
        key->open_resets++;
        key->last_reset_asked_ns = history->world->now_ns;
        key->counts_told = 0;
    }
    if (operation->kind == OPERATION_INCR)
        key->counts_asked++;
}

/* For people, of a run that is replayed. */
static void note(const struct history *history, const struct operation *operation, const char *what) {
    static const char *const outcomes[] = {"", ", done", ", nothing", ", refused", ", unknown"};
    if (history->world->trace.prints_all && operation->key_count != 0)
        world_comment(history->world, "user %u, operation %u (kind %u) of %s%s: %s%s", operation->user,
                      operation->sequence, operation->kind, history->keys[operation->keys[0]].name,
                      operation->key_count > 1 ? "..." : "", what, outcomes[operation->outcome]);
}

void history_ask(struct history *history, struct operation *operation) {
    operation->invoked_ns = history->world->now_ns;
    note(history, operation, "asked");
    history->was_flushed = history->was_flushed || operation->kind == OPERATION_FLUSH;
    for_each_key(history, operation, ask_key);
    if (operation->key_count != 0) {
        struct history_key *key = &history->keys[operation->keys[0]];
        ripen(history, &key->sets);
        ripen(history, &key->overwrites);
        operation->newest_set_ns = key->sets.ripe_ns;
        operation->newest_overwrite_ns = key->overwrites.ripe_ns;
        operation->counted = key->counts_told;
        operation->acknowledged_counter = key->acknowledged_counter;
    }
    if (!operation_writes(operation))
        return;
    operation->is_open = true;
    operation->next_open = history->open;
    operation->previous_open = NULL;
    if (operation->next_open != NULL)
        operation->next_open->previous_open = operation;
    history->open = operation;
}

static void tell_key(struct history *history, struct history_key *key, struct operation *operation) {
    bool is_done = operation->outcome == OUTCOME_DONE;
    if (operation->kind != OPERATION_INCR && operation->outcome == OUTCOME_UNKNOWN)
        key->has_unknown = true;
    if (operation->kind == OPERATION_INCR && operation->outcome == OUTCOME_FAILED)
        key->counts_refused++;
    if (deletes(operation)) {
        key->open_deletes--;
        if (operation->outcome == OUTCOME_UNKNOWN)
            key->last_delete_ns = NO_TIME;
        else if (is_done && key->last_delete_ns != NO_TIME)
            key->last_delete_ns = operation->done_ns;
    }
    if (resets(operation)) {
        key->open_resets--;
        key->counts_are_excused = key->counts_are_excused || operation->outcome == OUTCOME_UNKNOWN;
    }
    if (!is_done)
        return;
    if (resets(operation)) {
        key->counts_told = 0;
        key->last_reset_ns = operation->done_ns;
    }
    if (operation->kind == OPERATION_INCR && key->open_resets == 0 &&
        operation->invoked_ns > key->last_reset_ns)
        key->counts_told++;
    if (operation_sets(operation) && key->told_ns == 0)
        key->told_ns = operation->done_ns;
    if (!is_undisturbed(history, operation))
        return;
    if (operation_sets(operation))
        plant(history, &key->sets, operation);
    if (operation_sets(operation) || (deletes(operation) && !operation->missed_some))
        plant(history, &key->overwrites, operation);
}

void history_told(struct history *history, struct operation *operation, enum outcome outcome) {
    CHECK(operation->outcome == OUTCOME_OPEN);
    operation->outcome = outcome;
    operation->done_ns = outcome == OUTCOME_UNKNOWN ? NO_TIME : history->world->now_ns;
    history->outcomes[operation->kind][outcome]++;
    note(history, operation, "told");
    if (!operation->is_open)
        return;
    operation->is_open = false;
    if (operation->next_open != NULL)
        operation->next_open->previous_open = operation->previous_open;
    if (operation->previous_open != NULL)
        operation->previous_open->next_open = operation->next_open;
    else
        history->open = operation->next_open;
    for_each_key(history, operation, tell_key);
}

void history_disturb(struct history *history) {
    history->disturbed_ns = history->world->now_ns;
}

void history_excuse(struct history *history, uint32_t key) {
    history->keys[key].sets = history->keys[key].overwrites = (struct ripening){0};
    history->keys[key].told_ns = 0;
    history->keys[key].counts_are_excused = true;
}

bool history_is_there(const struct history *history, uint32_t index, uint64_t from_ns) {
    const struct history_key *key = &history->keys[index];
    return key->kind != KEY_VOLATILE && key->told_ns != 0 && key->told_ns < from_ns &&
           key->open_deletes == 0 && key->last_delete_ns == 0;
}

/* ---- Cells ---- */

static const char digits[] = "0123456789abcdef";

static void write_hex(uint8_t *at, unsigned places, uint32_t number) {
    for (unsigned i = 0; i < places; i++)
        at[i] = (uint8_t)digits[number >> 4 * (places - 1 - i) & 15];
}

void history_write_cells(const struct operation *operation, uint8_t *cells) {
    for (uint32_t i = 0; i < operation->cells; i++) {
        uint8_t *cell = cells + (size_t)i * CELL_SIZE;
        cell[0] = 'u';
        write_hex(cell + 1, 3, operation->user);
        cell[4] = '.';
        write_hex(cell + 5, 6, operation->sequence);
        cell[11] = ';';
    }
}

static bool read_hex(const uint8_t *at, unsigned places, uint32_t *number) {
    *number = 0;
    for (unsigned i = 0; i < places; i++) {
        const char *digit = at[i] == 0 ? NULL : strchr(digits, at[i]);
        if (digit == NULL)
            return false;
        *number = *number << 4 | (uint32_t)(digit - digits);
    }
    return true;
}

struct operation *history_find_cell(const struct history *history, const uint8_t *cell) {
    uint32_t user, sequence;
    if (cell[0] != 'u' || cell[4] != '.' || cell[11] != ';' || !read_hex(cell + 1, 3, &user) ||
        !read_hex(cell + 5, 6, &sequence) || user >= HISTORY_USERS ||
        sequence >= history->operation_count[user])
        return NULL;
    return history->operations[user][sequence];
}

uint64_t history_reset_number(const struct operation *operation) {
    return ((uint64_t)operation->sequence * HISTORY_USERS + operation->user + 1) * RESET_STEP;
}

struct operation *history_find_reset(const struct history *history, uint64_t number) {
    uint64_t place = number / RESET_STEP - 1, user = place % HISTORY_USERS, sequence = place / HISTORY_USERS;
    if (number < RESET_STEP || sequence >= history->operation_count[user])
        return NULL;
    struct operation *operation = history->operations[user][sequence];
    return operation->kind == OPERATION_RESET ? operation : NULL;
}

static bool has_key(const struct operation *operation, uint32_t key) {
    for (uint32_t i = 0; i < operation->key_count; i++)
        if (operation->keys[i] == key)
            return true;
    return false;
}

/* ---- Judging ---- */

struct value_view {
    const struct operation *reader;
    const struct history_key *key;
    uint32_t index;
    struct operation *setter; /* whose cells say that it set the whole */
    bool has_range;           /* something was written over */
    bool has_addition;        /* something was appended */
};

static bool judge_cell(struct history *history, struct value_view *view, uint32_t place,
                       const uint8_t *cell) {
    static const uint8_t zeros[CELL_SIZE];
    struct world *world = history->world;
    struct operation *writer = history_find_cell(history, cell);
    if (writer == NULL) {
        if (memcmp(cell, zeros, CELL_SIZE) == 0)
            return true;
        char readable[4 * CELL_SIZE + 1];
        world_fail(world, "I-PHANTOM: cell %u of %s is nobody's: %s", place, view->key->name,
                   trace_readable(readable, sizeof readable, cell, CELL_SIZE));
        return false;
    }
    bool is_write =
        operation_sets(writer) || writer->kind == OPERATION_APPEND || writer->kind == OPERATION_SETRANGE;
    if (!is_write || !has_key(writer, view->index) || writer->invoked_ns == 0) {
        world_fail(world, "I-PHANTOM: cell %u of %s is from operation %u of user %u, which did not write it",
                   place, view->key->name, writer->sequence, writer->user);
        return false;
    }
    if (writer->outcome == OUTCOME_FAILED || writer->outcome == OUTCOME_NOTHING) {
        world_fail(
            world,
            "I-HONEST: cell %u of %s is from operation %u of user %u, who was told that it was not done",
            place, view->key->name, writer->sequence, writer->user);
        return false;
    }
    if (writer->mark != history->marks) {
        writer->mark = history->marks;
        writer->mark_cells = 0;
    }
    bool is_too_much = ++writer->mark_cells > writer->cells;
    if (operation_sets(writer)) {
        is_too_much =
            is_too_much || place >= writer->cells || (view->setter != NULL && view->setter != writer);
        view->setter = writer;
    } else if (writer->kind == OPERATION_APPEND) {
        view->has_addition = true;
    } else if (writer->kind == OPERATION_SETRANGE) {
        view->has_range = true;
        is_too_much =
            is_too_much || place < writer->first_cell || place >= writer->first_cell + writer->cells;
    }
    if (is_too_much)
        world_fail(
            world,
            "I-PHANTOM: cell %u of %s cannot be from operation %u of user %u: a value is mixed of two, or written twice",
            place, view->key->name, writer->sequence, writer->user);
    return !is_too_much;
}

static void judge_freshness(struct history *history, const struct value_view *view, bool is_nil) {
    const struct operation *reader = view->reader;
    const struct history_key *key = view->key;
    if (!(history->is_strict || history->is_register) || key->kind == KEY_VOLATILE ||
        key->kind == KEY_COUNTER || reader->keys[0] != view->index)
        return;
    /* Who changes a part of a value while it is overwritten elsewhere may make an old one new: a register is no lock. */
    if (history->is_register && (view->has_range || view->has_addition))
        return;
    history->fresh_demands += reader->newest_overwrite_ns != 0;
    if (view->setter != NULL) {
        /* One that is not told may be executed a second time, with a stamp that was not seen yet. */
        if (history->is_register && view->setter->highest_counter != 0 &&
            view->setter->outcome == OUTCOME_DONE && view->setter->done_ns < reader->invoked_ns &&
            view->setter->highest_counter < reader->acknowledged_counter)
            world_fail(
                history->world,
                "I-FRESH: %s has the value of operation %u of user %u, stamped %llx; one with the stamp %llx "
                "had been acknowledged when the reader asked at %.6f s",
                key->name, view->setter->sequence, view->setter->user,
                (unsigned long long)view->setter->highest_counter,
                (unsigned long long)reader->acknowledged_counter, (double)reader->invoked_ns / 1e9);
        if (view->setter->done_ns < reader->newest_overwrite_ns)
            world_fail(
                history->world,
                "I-FRESH: %s still has the value of operation %u of user %u, told at %.6f s; a newer one was asked for "
                "at %.6f s and told before the reader asked at %.6f s",
                key->name, view->setter->sequence, view->setter->user, (double)view->setter->done_ns / 1e9,
                (double)reader->newest_overwrite_ns / 1e9, (double)reader->invoked_ns / 1e9);
    } else if (!view->has_range && key->open_deletes == 0 && key->last_delete_ns < reader->newest_set_ns) {
        world_fail(
            history->world,
            "I-FRESH: %s %s, but a value was asked for at %.6f s and told before the reader asked at %.6f s",
            key->name, is_nil ? "is not there" : "has lost its value", (double)reader->newest_set_ns / 1e9,
            (double)reader->invoked_ns / 1e9);
    }
}

/* Whether nothing excuses that a count is not there which had been told when the reader asked. */
static bool must_have_all(const struct history *history, const struct value_view *view) {
    const struct history_key *key = view->key;
    if (history->was_flushed || view->reader->keys[0] != view->index ||
        key->last_reset_asked_ns >= view->reader->invoked_ns)
        return false;
    return history->is_final ? !key->counts_are_excused : history->conditions->is_calm && history->is_strict;
}

uint64_t history_counts(struct history *history, uint32_t index, int64_t number) {
    uint64_t count = number < 0 ? 0 : (uint64_t)number % RESET_STEP;
    const struct history_key *key = &history->keys[index];
    const struct operation *reset =
        number < RESET_STEP ? NULL : history_find_reset(history, (uint64_t)number);
    if (number < 0 || (number >= RESET_STEP && (reset == NULL || reset->keys[0] != index)))
        world_fail(history->world, "I-PHANTOM: the counter %s is %lld", key->name, (long long)number);
    else if (reset != NULL && reset->outcome == OUTCOME_FAILED)
        world_fail(history->world, "I-HONEST: the counter %s is %lld, by a reset that was certainly not done",
                   key->name, (long long)number);
    else if (count > key->counts_asked - key->counts_refused)
        world_fail(history->world, "I-COUNT: %s is %lld, and only %llu have counted", key->name,
                   (long long)number, (unsigned long long)(key->counts_asked - key->counts_refused));
    return count;
}

static void judge_count(struct history *history, const struct value_view *view, const uint8_t *data,
                        size_t size) {
    const struct history_key *key = view->key;
    int64_t number = 0;
    if (data != NULL && !number_parse_int64((const char *)data, size, &number)) {
        char readable[64];
        world_fail(history->world, "I-PHANTOM: the counter %s is %s", key->name,
                   trace_readable(readable, sizeof readable, data, size));
        return;
    }
    uint64_t count = history_counts(history, view->index, number);
    if (!must_have_all(history, view))
        return;
    history->count_demands++;
    if (count < view->reader->counted)
        world_fail(history->world, "I-COUNT: %s is %lld, but %llu had been told that they were counted",
                   key->name, (long long)number, (unsigned long long)view->reader->counted);
}

bool history_judge(struct history *history, const struct operation *reader, uint32_t index,
                   const uint8_t *data, size_t size) {
    struct value_view view = {.reader = reader, .key = &history->keys[index], .index = index};
    history->values_read++;
    history->marks++;
    if (view.key->kind == KEY_COUNTER) {
        judge_count(history, &view, data, size);
        return !world_has_failed(history->world);
    }
    if (size % CELL_SIZE != 0) {
        world_fail(history->world, "I-PHANTOM: %s has %zu bytes, which nobody wrote", view.key->name, size);
        return false;
    }
    for (size_t place = 0; place < size / CELL_SIZE; place++)
        if (!judge_cell(history, &view, (uint32_t)place, data + place * CELL_SIZE))
            return false;
    judge_freshness(history, &view, data == NULL);
    return !world_has_failed(history->world);
}
