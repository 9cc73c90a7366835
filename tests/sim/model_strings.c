/* model_strings.c - the commands on strings, as their documentation has them.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/model_inside.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct model_entry *find(struct model_call *call, uint32_t index) {
    return entry_find(call->model, call->session->database, &call->argv[index]);
}

static void put(struct model_call *call, uint32_t key, uint32_t value, int64_t expiry_ms) {
    entry_put(call->model, call->session->database, &call->argv[key], call->argv[value].data,
              call->argv[value].size, expiry_ms, SHAPE_NATURAL);
}

static void answer_value(struct model_call *call, const struct model_entry *entry) {
    if (entry == NULL)
        answer_null(call);
    else
        answer_bulk(call, entry->value, entry->value_size);
}

/* ---- Options of SET and GETEX ---- */

enum time_unit { UNIT_NONE, UNIT_EX, UNIT_PX, UNIT_EXAT, UNIT_PXAT };

struct options {
    bool nx, xx, get, keepttl, persist;
    enum time_unit unit;
    uint32_t time; /* the argument */
};

static enum time_unit unit_of(const struct argument *word) {
    return word_is(word, "ex")     ? UNIT_EX
           : word_is(word, "px")   ? UNIT_PX
           : word_is(word, "exat") ? UNIT_EXAT
           : word_is(word, "pxat") ? UNIT_PXAT
                                   : UNIT_NONE;
}

/* SET takes NX XX GET KEEPTTL, GETEX takes PERSIST; both take one unit of time, which may be said twice. */
static bool read_options(struct model_call *call, uint32_t first, bool is_set, struct options *options) {
    for (uint32_t i = first; i < call->argc; i++) {
        const struct argument *word = &call->argv[i];
        enum time_unit unit = unit_of(word);
        if (is_set && word_is(word, "nx") && !options->xx)
            options->nx = true;
        else if (is_set && word_is(word, "xx") && !options->nx)
            options->xx = true;
        else if (is_set && word_is(word, "get"))
            options->get = true;
        else if (is_set && word_is(word, "keepttl") && options->unit == UNIT_NONE)
            options->keepttl = true;
        else if (!is_set && word_is(word, "persist") && options->unit == UNIT_NONE)
            options->persist = true;
        else if (unit != UNIT_NONE && (options->unit == UNIT_NONE || options->unit == unit) &&
                 !options->keepttl && !options->persist && i + 1 < call->argc) {
            options->unit = unit;
            options->time = ++i;
        } else {
            return false;
        }
    }
    return true;
}

/* The moment in ms; false: the error is answered. */
static bool read_time(struct model_call *call, uint32_t index, enum time_unit unit, int64_t *expiry_ms) {
    int64_t number;
    if (!word_integer(&call->argv[index], &number)) {
        answer_error(call, WORDS_NOT_INTEGER);
        return false;
    }
    __int128 moment = number;
    if (unit == UNIT_EX || unit == UNIT_EXAT)
        moment *= 1000;
    if (unit == UNIT_EX || unit == UNIT_PX)
        moment += call->model->now_ms;
    if (number <= 0 || moment > INT64_MAX) {
        answer_error(call, "ERR invalid expire time in '%s' command", call->name);
        return false;
    }
    *expiry_ms = (int64_t)moment;
    return true;
}

/* ---- SET and its relatives ---- */

static void run_set(struct model_call *call) {
    struct options options = {0};
    int64_t expiry_ms = MODEL_NO_EXPIRY;
    if (!read_options(call, 3, true, &options)) {
        answer_error(call, WORDS_SYNTAX);
        return;
    }
    if (options.unit != UNIT_NONE && !read_time(call, options.time, options.unit, &expiry_ms))
        return;
    bool looks = options.nx || options.xx || options.get || options.keepttl;
    struct model_entry *old = looks ? find(call, 1) : NULL;
    if (options.get)
        answer_value(call, old);
    bool is_done = !(options.nx && old != NULL) && !(options.xx && old == NULL);
    if (!options.get) {
        if (is_done)
            answer_text(call, "+OK");
        else
            answer_null(call);
    }
    if (options.keepttl && old != NULL)
        expiry_ms = old->expiry_ms;
    if (is_done)
        put(call, 1, 2, expiry_ms);
}

static void run_setnx(struct model_call *call) {
    bool is_free = find(call, 1) == NULL;
    answer_integer(call, is_free);
    if (is_free)
        put(call, 1, 2, MODEL_NO_EXPIRY);
}

static void set_with_time(struct model_call *call, enum time_unit unit) {
    int64_t expiry_ms;
    if (!read_time(call, 2, unit, &expiry_ms))
        return;
    put(call, 1, 3, expiry_ms);
    answer_text(call, "+OK");
}

static void run_setex(struct model_call *call) {
    set_with_time(call, UNIT_EX);
}

static void run_psetex(struct model_call *call) {
    set_with_time(call, UNIT_PX);
}

static void run_getset(struct model_call *call) {
    answer_value(call, find(call, 1));
    put(call, 1, 2, MODEL_NO_EXPIRY);
}

static void run_get(struct model_call *call) {
    answer_value(call, find(call, 1));
}

static void run_getdel(struct model_call *call) {
    struct model_entry *entry = find(call, 1);
    answer_value(call, entry);
    if (entry != NULL)
        entry_remove(call->model, call->session->database, entry);
}

static void run_getex(struct model_call *call) {
    struct options options = {0};
    int64_t expiry_ms;
    if (!read_options(call, 2, false, &options)) {
        answer_error(call, WORDS_SYNTAX);
        return;
    }
    struct model_entry *entry = find(call, 1);
    if (entry == NULL) {
        answer_null(call);
        return;
    }
    if (options.unit != UNIT_NONE && !read_time(call, options.time, options.unit, &expiry_ms))
        return;
    answer_value(call, entry);
    if (options.persist && entry->expiry_ms != MODEL_NO_EXPIRY)
        entry_set_expiry(call->model, call->session->database, entry, MODEL_NO_EXPIRY);
    if (options.unit == UNIT_NONE)
        return;
    bool is_absolute = options.unit == UNIT_EXAT || options.unit == UNIT_PXAT;
    if (is_absolute && expiry_ms <= call->model->now_ms)
        entry_remove(call->model, call->session->database, entry);
    else
        entry_set_expiry(call->model, call->session->database, entry, expiry_ms);
}

/* ---- Several keys ---- */

static void run_mget(struct model_call *call) {
    answer_array(call, call->argc - 1);
    for (uint32_t i = 1; i < call->argc; i++)
        answer_value(call, find(call, i));
}

static bool come_in_pairs(struct model_call *call) {
    if (call->argc % 2 == 1)
        return true;
    answer_error(call, "ERR wrong number of arguments for '%s' command", call->name);
    return false;
}

static void run_mset(struct model_call *call) {
    if (!come_in_pairs(call))
        return;
    for (uint32_t i = 1; i < call->argc; i += 2)
        put(call, i, i + 1, MODEL_NO_EXPIRY);
    answer_text(call, "+OK");
}

static void run_msetnx(struct model_call *call) {
    if (!come_in_pairs(call))
        return;
    for (uint32_t i = 1; i < call->argc; i += 2)
        if (find(call, i) != NULL) {
            answer_integer(call, 0);
            return;
        }
    for (uint32_t i = 1; i < call->argc; i += 2)
        put(call, i, i + 1, MODEL_NO_EXPIRY);
    answer_integer(call, 1);
}

/* ---- Parts ---- */

static void run_append(struct model_call *call) {
    const struct argument *tail = &call->argv[2];
    struct model_entry *entry = find(call, 1);
    if (entry == NULL) {
        put(call, 1, 2, MODEL_NO_EXPIRY);
        answer_integer(call, tail->size);
        return;
    }
    size_t old_size = entry->value_size;
    if (old_size + tail->size > STRING_SIZE_MAX) {
        answer_error(call, WORDS_TOO_LARGE);
        return;
    }
    uint8_t *value =
        entry_resize(call->model, call->session->database, entry, old_size + tail->size, SHAPE_RAW);
    if (tail->size != 0)
        memcpy(value + old_size, tail->data, tail->size);
    answer_integer(call, (int64_t)entry->value_size);
}

static void run_strlen(struct model_call *call) {
    const struct model_entry *entry = find(call, 1);
    answer_integer(call, entry == NULL ? 0 : (int64_t)entry->value_size);
}

static void run_getrange(struct model_call *call) {
    int64_t first, last;
    if (!word_integer(&call->argv[2], &first) || !word_integer(&call->argv[3], &last)) {
        answer_error(call, WORDS_NOT_INTEGER);
        return;
    }
    const struct model_entry *entry = find(call, 1);
    int64_t size = entry == NULL ? 0 : (int64_t)entry->value_size;
    bool is_backwards = first < 0 && last < 0 && first > last;
    first = first < 0 ? first + size : first;
    last = last < 0 ? last + size : last;
    first = first < 0 ? 0 : first;
    last = last < 0 ? 0 : last >= size ? size - 1 : last;
    if (size == 0 || is_backwards || first > last)
        answer_bulk(call, "", 0);
    else
        answer_bulk(call, entry->value + first, (size_t)(last - first + 1));
}

static void run_setrange(struct model_call *call) {
    const struct argument *patch = &call->argv[3];
    int64_t offset;
    if (!word_integer(&call->argv[2], &offset)) {
        answer_error(call, WORDS_NOT_INTEGER);
        return;
    }
    if (offset < 0) {
        answer_error(call, "ERR offset is out of range");
        return;
    }
    struct model_entry *entry = find(call, 1);
    size_t old_size = entry == NULL ? 0 : entry->value_size;
    if (patch->size == 0) {
        answer_integer(call, (int64_t)old_size);
        return;
    }
    if (offset > (int64_t)STRING_SIZE_MAX - patch->size) {
        answer_error(call, WORDS_TOO_LARGE);
        return;
    }
    size_t size = (size_t)offset + patch->size < old_size ? old_size : (size_t)offset + patch->size;
    if (entry == NULL)
        entry = entry_put(call->model, call->session->database, &call->argv[1], NULL, 0, MODEL_NO_EXPIRY,
                          SHAPE_RAW);
    uint8_t *value = entry_resize(call->model, call->session->database, entry, size, SHAPE_RAW);
    memcpy(value + offset, patch->data, patch->size);
    answer_integer(call, (int64_t)size);
}

/* ---- Numbers ---- */

/* Replaces the value by a text; the expiry stays. */
static void write_text(struct model_call *call, struct model_entry *entry, const char *text,
                       enum model_shape shape) {
    size_t size = strlen(text);
    if (entry == NULL)
        entry_put(call->model, call->session->database, &call->argv[1], (const uint8_t *)text, size,
                  MODEL_NO_EXPIRY, shape);
    else
        memcpy(entry_resize(call->model, call->session->database, entry, size, shape), text, size);
}

static void increment(struct model_call *call, __int128 by) {
    struct model_entry *entry = find(call, 1);
    int64_t number = 0;
    if (entry != NULL && !text_integer(entry->value, entry->value_size, &number)) {
        answer_error(call, WORDS_NOT_INTEGER);
        return;
    }
    __int128 sum = number + by;
    if (sum < INT64_MIN || sum > INT64_MAX) {
        answer_error(call, "ERR increment or decrement would overflow");
        return;
    }
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)sum);
    write_text(call, entry, text, SHAPE_NATURAL);
    answer_integer(call, (int64_t)sum);
}

static void run_incr(struct model_call *call) {
    increment(call, 1);
}

static void run_decr(struct model_call *call) {
    increment(call, -1);
}

static void run_incrby(struct model_call *call) {
    int64_t by;
    if (word_integer(&call->argv[2], &by))
        increment(call, by);
    else
        answer_error(call, WORDS_NOT_INTEGER);
}

static void run_decrby(struct model_call *call) {
    int64_t by;
    if (!word_integer(&call->argv[2], &by))
        answer_error(call, WORDS_NOT_INTEGER);
    else if (by == INT64_MIN)
        answer_error(call, "ERR decrement would overflow");
    else
        increment(call, -(__int128)by);
}

/* A number as strtold() takes it, all of the text, and not too wide. */
static bool text_float(const uint8_t *text, size_t size, long double *value) {
    char copy[5120], *end;
    if (size == 0 || size >= sizeof copy || memchr(text, '\0', size) != NULL ||
        memchr(" \t\n\v\f\r", text[0], 6) != NULL)
        return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    errno = 0;
    *value = strtold(copy, &end);
    /* Infinity spelled out is a number; what is too large, or so small that it became nothing, is none. */
    return *end == '\0' && !isnan(*value) && (errno != ERANGE || (*value != 0 && !isinf(*value)));
}

/* Plain decimals, at most 17 behind the point, no zeros at their end. */
static void float_text(char *text, size_t size, long double value) {
    snprintf(text, size, "%.17Lf", value);
    if (strchr(text, '.') != NULL) {
        char *end = text + strlen(text);
        while (end[-1] == '0')
            *--end = '\0';
        if (end[-1] == '.')
            *--end = '\0';
    }
    if (strcmp(text, "-0") == 0)
        strcpy(text, "0");
}

static void run_incrbyfloat(struct model_call *call) {
    struct model_entry *entry = find(call, 1);
    long double number = 0, by;
    if ((entry != NULL && !text_float(entry->value, entry->value_size, &number)) ||
        !text_float(call->argv[2].data, call->argv[2].size, &by)) {
        answer_error(call, WORDS_NOT_FLOAT);
        return;
    }
    number += by;
    if (isnan(number) || isinf(number)) {
        answer_error(call, "ERR increment would produce NaN or Infinity");
        return;
    }
    char text[5200];
    float_text(text, sizeof text, number);
    write_text(call, entry, text, strlen(text) <= 44 ? SHAPE_EMBEDDED : SHAPE_NATURAL);
    answer_bulk_text(call, text);
}

/* ---- LCS ---- */

struct lcs {
    const uint8_t *a, *b;
    size_t a_size, b_size;
    uint32_t *lengths; /* of the prefixes' longest common subsequences */
};

static uint32_t *lcs_at(const struct lcs *lcs, size_t i, size_t j) {
    return &lcs->lengths[i * (lcs->b_size + 1) + j];
}

static void lcs_fill(const struct lcs *lcs) {
    for (size_t i = 1; i <= lcs->a_size; i++)
        for (size_t j = 1; j <= lcs->b_size; j++) {
            uint32_t up = *lcs_at(lcs, i - 1, j), left = *lcs_at(lcs, i, j - 1);
            bool is_same = lcs->a[i - 1] == lcs->b[j - 1];
            *lcs_at(lcs, i, j) = is_same ? *lcs_at(lcs, i - 1, j - 1) + 1 : up > left ? up : left;
        }
}

/* Walks back from the ends. is_in_a, is_in_b: which bytes belong to the sequence. */
static void lcs_mark(const struct lcs *lcs, uint32_t *partner) {
    size_t i = lcs->a_size, j = lcs->b_size;
    while (i > 0 && j > 0) {
        if (lcs->a[i - 1] == lcs->b[j - 1])
            partner[--i] = (uint32_t)--j;
        else if (*lcs_at(lcs, i - 1, j) > *lcs_at(lcs, i, j - 1))
            i--;
        else
            j--;
    }
}

#define NO_PARTNER UINT32_MAX

/* The runs that lie side by side in both strings, last one first. Answers them if it is to; returns how many. */
static size_t lcs_runs(struct model_call *call, const struct lcs *lcs, const uint32_t *partner, int64_t least,
                       bool with_length, bool answers) {
    size_t count = 0;
    for (size_t end = lcs->a_size; end > 0;) {
        size_t last = end - 1, first = last;
        end = last;
        if (partner[last] == NO_PARTNER)
            continue;
        while (first > 0 && partner[first - 1] != NO_PARTNER && partner[first - 1] + 1 == partner[first])
            first--;
        end = first;
        int64_t length = (int64_t)(last - first + 1);
        if (least != 0 && length < least)
            continue;
        count++;
        if (!answers)
            continue;
        answer_array(call, with_length ? 3 : 2);
        answer_array(call, 2);
        answer_integer(call, (int64_t)first);
        answer_integer(call, (int64_t)last);
        answer_array(call, 2);
        answer_integer(call, partner[first]);
        answer_integer(call, partner[last]);
        if (with_length)
            answer_integer(call, length);
    }
    return count;
}

struct lcs_words {
    bool len, idx, with_length;
    int64_t least;
};

static void lcs_answer(struct model_call *call, const struct lcs *lcs, const struct lcs_words *words) {
    uint32_t *partner = malloc((lcs->a_size + 1) * sizeof *partner);
    CHECK(partner != NULL);
    memset(partner, 0xff, (lcs->a_size + 1) * sizeof *partner);
    lcs_mark(lcs, partner);
    if (words->idx) {
        answer_map(call, 2);
        answer_bulk_text(call, "matches");
        answer_array(call, lcs_runs(call, lcs, partner, words->least, words->with_length, false));
        lcs_runs(call, lcs, partner, words->least, words->with_length, true);
        answer_bulk_text(call, "len");
        answer_integer(call, *lcs_at(lcs, lcs->a_size, lcs->b_size));
    } else if (words->len) {
        answer_integer(call, *lcs_at(lcs, lcs->a_size, lcs->b_size));
    } else {
        struct buffer text;
        buffer_init(&text, call->model->options.mem);
        for (size_t i = 0; i < lcs->a_size; i++)
            if (partner[i] != NO_PARTNER)
                CHECK(buffer_append_byte(&text, lcs->a[i]));
        answer_bulk(call, text.data, text.size);
        buffer_release(&text);
    }
    free(partner);
}

static void run_lcs(struct model_call *call) {
    const struct model_entry *a = find(call, 1), *b = find(call, 2);
    struct lcs_words words = {0};
    for (uint32_t i = 3; i < call->argc; i++) {
        const struct argument *word = &call->argv[i];
        if (word_is(word, "len"))
            words.len = true;
        else if (word_is(word, "idx"))
            words.idx = true;
        else if (word_is(word, "withmatchlen"))
            words.with_length = true;
        else if (word_is(word, "minmatchlen") && i + 1 < call->argc) {
            if (!word_integer(&call->argv[++i], &words.least)) {
                answer_error(call, WORDS_NOT_INTEGER);
                return;
            }
        } else {
            answer_error(call, WORDS_SYNTAX);
            return;
        }
    }
    if (words.len && words.idx) {
        answer_error(call, "ERR If you want both the length and indexes, please just use IDX.");
        return;
    }
    struct lcs lcs = {0};
    if (a != NULL)
        lcs.a = a->value, lcs.a_size = a->value_size;
    if (b != NULL)
        lcs.b = b->value, lcs.b_size = b->value_size;
    if ((lcs.a_size + 1) * (lcs.b_size + 1) > STRING_SIZE_MAX / 4) {
        answer_error(call, "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
        return;
    }
    lcs.lengths = calloc((lcs.a_size + 1) * (lcs.b_size + 1), sizeof *lcs.lengths);
    CHECK(lcs.lengths != NULL);
    lcs_fill(&lcs);
    lcs_answer(call, &lcs, &words);
    free(lcs.lengths);
}

static const struct model_command rows[] = {
    {"append", 3, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_append},
    {"decr", 2, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_decr},
    {"decrby", 3, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_decrby},
    {"get", 2, 0, run_get},
    {"getdel", 2, MODEL_WRITES, run_getdel},
    {"getex", -2, MODEL_WRITES, run_getex},
    {"getrange", 4, 0, run_getrange},
    {"getset", 3, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_getset},
    {"incr", 2, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_incr},
    {"incrby", 3, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_incrby},
    {"incrbyfloat", 3, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_incrbyfloat},
    {"lcs", -3, 0, run_lcs},
    {"mget", -2, 0, run_mget},
    {"mset", -3, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_mset},
    {"msetnx", -3, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_msetnx},
    {"psetex", 4, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_psetex},
    {"set", -3, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_set},
    {"setex", 4, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_setex},
    {"setnx", 3, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_setnx},
    {"setrange", 4, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_setrange},
    {"strlen", 2, 0, run_strlen},
    {"substr", 4, 0, run_getrange},
    {0},
};

const struct model_command *model_string_commands(void) {
    return rows;
}
