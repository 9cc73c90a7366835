/* command.c - the rows of commands.def as constant data, and how a row is found by name.
 *
 * Names are compared eight bytes at a time, with capital letters made small in one go: a request's command costs
 * two loads, a multiplication and, as a rule, one slot of a small table.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/command.h"

#include "base/check.h"
#include "base/load.h"
#include "base/mem.h"
#include "cmd/handlers.h"

/* ---- Rows ---------------------------------------------------------------------------------------------------- */

#define KEY(...) KEY_NOTED(__VA_ARGS__, NULL)
#define KEY_NOTED(flags_, index_, last_, step_, notes_) \
    { flags_, index_, last_, step_, notes_ }
#define KEYS(...) (__VA_ARGS__)
#define NO_KEYS   ()
#define KEY_LIST(...) \
    { __VA_ARGS__ }
#define KEY_COUNT(...) \
    (sizeof((struct key_specification[])KEY_LIST(__VA_ARGS__)) / sizeof(struct key_specification))
#define HANDLER(function) function
#define NODE              NULL

#define ROW(id_, parent_, name_, arity_, flags_, categories_, group_, first_, last_, step_, keys_, tips_, \
            since_, complexity_, syntax_, summary_, handler_)                                             \
    [id_] = {.name = name_,                                                                               \
             .summary = summary_,                                                                         \
             .complexity = complexity_,                                                                   \
             .since = since_,                                                                             \
             .syntax = syntax_,                                                                           \
             .tips = tips_,                                                                               \
             .handler = handler_,                                                                         \
             .flags = flags_,                                                                             \
             .categories = categories_,                                                                   \
             .id = id_,                                                                                   \
             .parent = parent_,                                                                           \
             .arity = arity_,                                                                             \
             .group = group_,                                                                             \
             .first_key = first_,                                                                         \
             .last_key = last_,                                                                           \
             .key_step = step_,                                                                           \
             .key_specification_count = KEY_COUNT keys_,                                                  \
             .keys = KEY_LIST keys_},
#define COMMAND(id, ...)            ROW(COMMAND_ID_##id, COMMAND_ID_##id, __VA_ARGS__)
#define SUBCOMMAND(parent, id, ...) ROW(COMMAND_ID_##id, COMMAND_ID_##parent, __VA_ARGS__)

static const struct command rows[COMMAND_COUNT] = {
#include "cmd/commands.def"
};

const struct command *command_by_id(unsigned id) {
    CHECK(id < COMMAND_COUNT);
    return &rows[id];
}

/* ---- Names --------------------------------------------------------------------------------------------------- */

/* A name as words that compare without regard to case: its first eight bytes and, where it is longer, its last
 * eight (they may overlap), else zero. Together with the size they are the whole name up to 16 bytes. */
struct folded_name {
    uint64_t first, last;
};

/* Makes the letters A to Z among eight bytes small. Of the other bytes those from 0x80 on may change, but keep their
 * high bit, which no byte of a command's name has. */
static inline uint64_t fold_word(uint64_t word) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t low = word & ones * 0x7f;
    uint64_t from_a = low + ones * (0x80 - 'A');      /* the high bit of a byte: it is at least 'A' */
    uint64_t above_z = low + ones * (0x80 - 'Z' - 1); /* it is greater than 'Z' */
    uint64_t capital = from_a & ~above_z & ones * 0x80;
    return word | capital >> 2; /* 0x80 >> 2 is what tells 'a' from 'A' */
}

/* Names of equal size give equal words only if they are equal. */
static inline struct folded_name fold_name(const uint8_t *name, size_t size) {
    if (UNLIKELY(size == 0))
        return (struct folded_name){0};
    if (LIKELY(size < 8))
        return (struct folded_name){.first = fold_word(load_short(name, size))};
    return (struct folded_name){fold_word(load_u64(name)),
                                size == 8 ? 0 : fold_word(load_u64(name + size - 8))};
}

static inline uint8_t fold_byte(uint8_t byte) {
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

/* Whether `name` is `word` (lower case, `size` bytes), without regard to the case of letters. */
static bool is_word(const uint8_t *name, const char *word, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (fold_byte(name[i]) != (uint8_t)word[i])
            return false;
    return true;
}

/* ---- Index --------------------------------------------------------------------------------------------------- */

/* A power of two, at most half full even if every row were a top-level command: runs of taken slots stay short. */
#define INDEX_SLOTS 1024
_Static_assert(COMMAND_COUNT <= INDEX_SLOTS / 2, "the index of command names is too small");

struct index_slot {
    struct folded_name name;
    uint32_t size; /* of the name; 0: free */
    uint32_t id;
};

struct command_index {
    struct index_slot slots[INDEX_SLOTS];
};

static inline size_t slot_of(struct folded_name name) {
    uint64_t hash = (name.first ^ (name.last << 7 | name.last >> 57)) * UINT64_C(0x9e3779b97f4a7c15);
    return hash >> 32 & (INDEX_SLOTS - 1);
}

static void index_add(struct command_index *index, const struct command *command) {
    size_t size = strlen(command->name);
    struct folded_name name = fold_name((const uint8_t *)command->name, size);
    size_t at = slot_of(name);
    while (index->slots[at].size != 0)
        at = (at + 1) & (INDEX_SLOTS - 1);
    index->slots[at] = (struct index_slot){.name = name, .size = (uint32_t)size, .id = command->id};
}

struct command_index *command_index_new(struct mem *mem) {
    struct command_index *index = mem_alloc_zeroed(mem, sizeof *index);
    if (index == NULL)
        return NULL;
    for (unsigned id = 0; id < COMMAND_COUNT; id++)
        if (rows[id].parent == id)
            index_add(index, &rows[id]);
    return index;
}

void command_index_free(struct mem *mem, struct command_index *index) {
    mem_free(mem, index, sizeof *index);
}

const struct command *command_find(const struct command_index *index, const uint8_t *name, size_t size) {
    struct folded_name folded = fold_name(name, size);
    for (size_t at = slot_of(folded); index->slots[at].size != 0; at = (at + 1) & (INDEX_SLOTS - 1)) {
        const struct index_slot *slot = &index->slots[at];
        if (slot->name.first != folded.first || slot->name.last != folded.last || slot->size != size)
            continue;
        /* Both words together are the whole name, but for the middle of a very long one. */
        if (LIKELY(size <= 16) || is_word(name + 8, rows[slot->id].name + 8, size - 16))
            return &rows[slot->id];
    }
    return NULL;
}

const struct command *command_find_subcommand(const struct command *container, const uint8_t *name,
                                              size_t size) {
    size_t prefix = strlen(container->name) + 1; /* "client|" */
    for (unsigned id = container->id + 1u; id < COMMAND_COUNT && rows[id].parent == container->id; id++) {
        const char *own = rows[id].name + prefix;
        if (strlen(own) == size && is_word(name, own, size))
            return &rows[id];
    }
    return NULL;
}

/* ---- Keys ---------------------------------------------------------------------------------------------------- */

unsigned command_each_key(const struct command *command, uint32_t argc,
                          void (*visit)(void *context, uint32_t argument, unsigned flags), void *context) {
    unsigned count = 0;
    for (unsigned i = 0; i < command->key_specification_count; i++) {
        const struct key_specification *keys = &command->keys[i];
        int64_t last = keys->last < 0 ? (int64_t)argc + keys->last : keys->index + keys->last;
        if (last >= argc)
            last = (int64_t)argc - 1;
        for (int64_t at = keys->index; at <= last; at += keys->step) {
            visit(context, (uint32_t)at, keys->flags);
            count++;
        }
    }
    return count;
}
