/* merge_state.c - reading, making and merging what lets concurrent versions of a record become one.
 *
 * All that is merged is looked at through a `view`: the base, the parts and the siblings of one record, whichever of them it has.
 * A record without a state is a base alone.
 * May touch: base, data. Must never know: keys, tables, where actors' identities are kept.
 * Invariants: a view borrows the bytes it was made of; what is written anew has room before the first byte is.
 * Tests: tests/unit/data/merge_state_test.c, merge_state_histories_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "data/merge_state.h"

#include "base/cursor.h"
#include "base/encode.h"
#include "base/number.h"

#include <float.h>
#include <math.h>

#define DOT_SIZE            10
#define SIBLING_HEADER_SIZE (DOT_SIZE + 1 + 4)
#define PART_SIZE_MAX       (DOT_SIZE + 1 + 16)
#define PARTS_MAX           (2 * VERSION_DOTS_MAX) /* of two sides together */
#define CANDIDATES_MAX      (2 * MERGE_SIBLINGS_MAX + 1)
/* Kind, base with the longest text of a number, the two counts. */
#define COUNTER_HEADER_SIZE_MAX (1 + 1 + DOT_SIZE + 1 + 2 + NUMBER_LONG_DOUBLE_SIZE + 1 + 1)

enum base_kind { BASE_NOTHING = 0, BASE_NUMBER = 1, BASE_TEXT = 2, BASE_ZERO = 3 };

#define ZERO_TEXT "0"

/* How a part's sum is kept. */
enum sum_kind { SUM_INTEGER = 1, SUM_FLOAT = 2, SUM_WIDE = 3 };

typedef __int128 wide;

/* A part's sum, or a counter's value on the way to a text. */
struct sum {
    bool is_float;
    wide integer;
    long double real;
};

struct base {
    enum base_kind
        kind; /* of a side of a merge and of its outcome: whether a text is a number is asked late */
    struct dot dot;
    const uint8_t *text;
    uint32_t size;
    uint8_t encoding;
};

struct part {
    struct dot dot;
    const uint8_t *sum; /* its kind and its bytes */
};

struct view {
    bool is_counter;
    struct base base;
    uint32_t part_count, sibling_count;
    const uint8_t *base_dot; /* where it stands in the state */
    struct part parts[PARTS_MAX];
    struct sibling siblings[CANDIDATES_MAX];
};

/* ---- Numbers ------------------------------------------------------------------------------------------------------------- */

/* Of a kind that no state has: 0. */
static size_t sum_size(unsigned kind) {
    static const uint8_t sizes[] = {0, 8, 11, 16};
    return kind < sizeof sizes ? sizes[kind] : 0;
}

static bool fits_int64(wide integer) {
    return integer >= INT64_MIN && integer <= INT64_MAX;
}

static wide add_saturating(wide one, wide other) {
    const wide greatest = (wide)(~(unsigned __int128)0 >> 1);
    wide result;
    if (!__builtin_add_overflow(one, other, &result))
        return result;
    return other > 0 ? greatest : -greatest - 1;
}

static long double clamp(long double real) {
    return real > LDBL_MAX ? LDBL_MAX : real < -LDBL_MAX ? -LDBL_MAX : real;
}

static long double wide_to_real(wide integer) {
    return ldexpl((long double)(int64_t)(integer >> 64), 64) + (long double)(uint64_t)integer;
}

static enum sum_kind sum_kind(const struct sum *sum) {
    return sum->is_float ? SUM_FLOAT : fits_int64(sum->integer) ? SUM_INTEGER : SUM_WIDE;
}

static uint8_t *write_dot(uint8_t *at, struct dot dot) {
    return encode_u64(encode_u16(at, dot.actor), dot.counter);
}

static uint8_t *write_bytes(uint8_t *at, const uint8_t *bytes, size_t size) {
    if (size != 0)
        memcpy(at, bytes, size);
    return at + size;
}

static uint8_t *write_float(uint8_t *at, long double real) {
    uint64_t mantissa = 0;
    int exponent = 0;
    bool is_negative = real < 0;
    if (real != 0) {
        mantissa = (uint64_t)ldexpl(frexpl(fabsl(real), &exponent), 64);
        exponent -= 64;
    }
    at = encode_u64(at, mantissa);
    at = encode_u16(at, (uint16_t)exponent);
    *at++ = is_negative;
    return at;
}

static uint8_t *write_sum(uint8_t *at, const struct sum *sum) {
    enum sum_kind kind = sum_kind(sum);
    *at++ = (uint8_t)kind;
    if (kind == SUM_FLOAT)
        return write_float(at, sum->real);
    at = encode_u64(at, (uint64_t)sum->integer);
    return kind == SUM_WIDE ? encode_u64(at, (uint64_t)(sum->integer >> 64)) : at;
}

static struct sum read_sum(const uint8_t *at) {
    uint64_t low = load_u64(at + 1);
    switch (at[0]) {
    case SUM_FLOAT: {
        long double real = ldexpl((long double)low, (int16_t)load_u16(at + 9));
        return (struct sum){.is_float = true, .real = at[11] ? -real : real};
    }
    case SUM_WIDE: return (struct sum){.integer = (wide)((unsigned __int128)load_u64(at + 9) << 64 | low)};
    default: return (struct sum){.integer = (int64_t)low};
    }
}

/* Whether the bytes are what write_sum() makes of a number: each number has one form. */
static bool sum_is_valid(const uint8_t *at) {
    struct sum sum = read_sum(at);
    uint8_t again[1 + 16] = {0};
    if (sum.is_float && !isfinite(sum.real))
        return false;
    write_sum(again, &sum);
    return memcmp(at, again, 1 + sum_size(at[0])) == 0;
}

static void sum_add(struct sum *sum, const struct sum *other) {
    if (!sum->is_float && !other->is_float) {
        sum->integer = add_saturating(sum->integer, other->integer);
        return;
    }
    long double one = sum->is_float ? sum->real : wide_to_real(sum->integer);
    long double two = other->is_float ? other->real : wide_to_real(other->integer);
    *sum = (struct sum){.is_float = true, .real = clamp(one + two)};
}

static struct sum sum_of_amount(const struct amount *amount) {
    if (amount->is_float)
        return (struct sum){.is_float = true, .real = clamp(amount->real)};
    return (struct sum){.integer = amount->integer};
}

/* false: it is no number that INCR or INCRBYFLOAT could have started from. */
static bool sum_of_text(const uint8_t *text, size_t size, struct sum *sum) {
    int64_t integer;
    long double real;
    if (number_parse_int64((const char *)text, size, &integer)) {
        *sum = (struct sum){.integer = integer};
        return true;
    }
    if (!number_parse_long_double((const char *)text, size, &real) || !isfinite(real))
        return false;
    *sum = (struct sum){.is_float = true, .real = real};
    return true;
}

/* Writes it as INCR or INCRBYFLOAT leaves it: NUMBER_LONG_DOUBLE_SIZE bytes at most. */
static size_t sum_text(char *out, const struct sum *sum, uint8_t *encoding) {
    if (sum->is_float) {
        *encoding = ENCODING_EMBEDDED;
        return number_format_long_double(out, NUMBER_LONG_DOUBLE_SIZE, sum->real);
    }
    *encoding = ENCODING_NATURAL;
    return number_format_int64(out, sum->integer > INT64_MAX   ? INT64_MAX
                                    : sum->integer < INT64_MIN ? INT64_MIN
                                                               : (int64_t)sum->integer);
}

/* ---- Reading ------------------------------------------------------------------------------------------------------------- */

static struct dot read_dot(struct cursor *cursor) {
    uint16_t actor = cursor_u16(cursor);
    return (struct dot){.actor = actor, .counter = cursor_u64(cursor)};
}

static bool dots_are_equal(struct dot one, struct dot other) {
    return one.actor == other.actor && one.counter == other.counter;
}

static bool is_somebodys(struct dot dot) {
    return dot.actor != ACTOR_NUMBER_NONE && dot.counter != 0;
}

static void read_siblings(struct cursor *cursor, struct view *view, uint32_t least) {
    uint32_t count = cursor_u8(cursor);
    if (count < least || count > MERGE_SIBLINGS_MAX)
        cursor_fail(cursor);
    for (uint32_t i = 0; i < count && !cursor_failed(cursor); i++) {
        struct sibling *sibling = &view->siblings[i];
        sibling->dot = read_dot(cursor);
        sibling->encoding = cursor_u8(cursor);
        sibling->size = cursor_u32(cursor);
        sibling->value = cursor_bytes(cursor, sibling->size);
    }
    view->sibling_count = count;
}

/* Whether it is the number 0 as SET leaves it, which has a kind of its own. */
static bool base_is_zero(const struct base *base) {
    return base->size == 1 && base->text[0] == ZERO_TEXT[0] && base->encoding == ENCODING_NATURAL;
}

static void read_base(struct cursor *cursor, struct view *view) {
    struct base *base = &view->base;
    unsigned kind = cursor_u8(cursor);
    if (kind > BASE_ZERO)
        cursor_fail(cursor);
    view->base_dot = cursor->position;
    *base = (struct base){.kind = kind, .dot = read_dot(cursor)};
    if (kind == BASE_NUMBER) {
        base->encoding = cursor_u8(cursor);
        base->size = cursor_u16(cursor);
        base->text = cursor_bytes(cursor, base->size);
        if (!cursor_failed(cursor) && base_is_zero(base))
            cursor_fail(cursor); /* it has a shorter form */
    } else if (kind == BASE_ZERO) {
        base->kind = BASE_NUMBER;
        base->text = (const uint8_t *)ZERO_TEXT;
        base->size = 1;
    }
}

static void read_parts(struct cursor *cursor, struct view *view) {
    view->part_count = cursor_u8(cursor);
    if (view->part_count == 0 || view->part_count > VERSION_DOTS_MAX)
        cursor_fail(cursor);
    for (uint32_t i = 0; i < view->part_count && !cursor_failed(cursor); i++) {
        struct part *part = &view->parts[i];
        part->dot = read_dot(cursor);
        part->sum = cursor->position;
        size_t size = sum_size(cursor_u8(cursor));
        if (size == 0 || cursor_bytes(cursor, size) == NULL)
            cursor_fail(cursor);
    }
}

/* false: the bytes are no state, or more than one. What the numbers in it say is for merge_state_is_valid(). */
static bool view_read(struct view *view, const uint8_t *state, size_t size) {
    struct cursor cursor = cursor_make(state, size);
    unsigned kind = cursor_u8(&cursor);
    view->is_counter = kind == MERGE_STATE_COUNTER;
    view->part_count = 0;
    if (view->is_counter) {
        read_base(&cursor, view);
        read_parts(&cursor, view);
    } else if (kind != MERGE_STATE_SIBLINGS) {
        cursor_fail(&cursor);
    }
    read_siblings(&cursor, view, view->is_counter ? 0 : 1);
    return cursor_is_done(&cursor);
}

static bool base_is_valid(const struct base *base) {
    struct sum sum;
    if (!is_somebodys(base->dot))
        return base->kind == BASE_NOTHING && base->dot.actor == ACTOR_NUMBER_NONE && base->dot.counter == 0;
    return base->kind != BASE_NUMBER ||
           (base->encoding <= ENCODING_RAW && sum_of_text(base->text, base->size, &sum));
}

static bool siblings_are_valid(const struct view *view) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < view->sibling_count; i++) {
        const struct sibling *sibling = &view->siblings[i];
        bytes += sibling->size;
        if (!is_somebodys(sibling->dot) || sibling->encoding > ENCODING_RAW ||
            bytes > MERGE_SIBLINGS_SIZE_MAX)
            return false;
        for (uint32_t before = 0; before < i; before++)
            if (view->siblings[before].dot.counter < sibling->dot.counter ||
                dots_are_equal(view->siblings[before].dot, sibling->dot))
                return false;
    }
    return true;
}

bool merge_state_is_valid(const uint8_t *state, size_t size, unsigned record_type) {
    struct view view;
    if (size > UINT32_MAX || !view_read(&view, state, size) ||
        (record_type != RECORD_STRING && (record_type != RECORD_TOMBSTONE || view.is_counter)))
        return false;
    if (view.is_counter && !base_is_valid(&view.base))
        return false;
    for (uint32_t i = 0; i < view.part_count; i++) {
        const struct part *part = &view.parts[i];
        if (!is_somebodys(part->dot) || (i > 0 && part[-1].dot.actor >= part->dot.actor) ||
            !sum_is_valid(part->sum))
            return false;
    }
    return siblings_are_valid(&view);
}

/* What a state that was found valid once says. */
static void view_of_state(struct view *view, const uint8_t *state, size_t size) {
    bool is_valid = view_read(view, state, size);
    CHECK(is_valid);
}

static void view_of_record(struct view *view, const struct record_parts *parts) {
    view->is_counter = false;
    view->part_count = view->sibling_count = 0;
    if (parts->state_size != 0)
        view_of_state(view, parts->state, parts->state_size);
    if (!view->is_counter)
        view->base = (struct base){.dot = parts->newest};
    if (view->is_counter ? view->base.kind != BASE_TEXT : parts->type == RECORD_TOMBSTONE)
        return;
    view->base.kind = BASE_TEXT;
    view->base.text = parts->value;
    view->base.size = parts->value_size;
    view->base.encoding = parts->encoding;
}

bool merge_state_next_sibling(const uint8_t *state, size_t size, size_t *at, struct sibling *sibling) {
    if (*at == 0) {
        struct view view;
        view_of_state(&view, state, size);
        *at = size;
        for (uint32_t i = 0; i < view.sibling_count; i++)
            *at -= SIBLING_HEADER_SIZE + (size_t)view.siblings[i].size;
    }
    struct cursor cursor = cursor_make(state + *at, size - *at);
    sibling->dot = read_dot(&cursor);
    sibling->encoding = cursor_u8(&cursor);
    sibling->size = cursor_u32(&cursor);
    sibling->value = cursor_bytes(&cursor, sibling->size);
    if (cursor_failed(&cursor))
        return false;
    *at = size - cursor_remaining(&cursor);
    return true;
}

/* ---- Dots in place ------------------------------------------------------------------------------------------------------- */

/* Where the dots of a state stand, from its start: base, parts, siblings. Those of nobody are left out. */
static uint32_t find_dots(const uint8_t *state, size_t size,
                          size_t at[1 + VERSION_DOTS_MAX + MERGE_SIBLINGS_MAX]) {
    struct view view;
    uint32_t count = 0;
    view_of_state(&view, state, size);
    if (view.is_counter && view.base.dot.actor != ACTOR_NUMBER_NONE)
        at[count++] = (size_t)(view.base_dot - state);
    for (uint32_t i = 0; i < view.part_count; i++)
        at[count++] = (size_t)(view.parts[i].sum - state) - DOT_SIZE;
    for (uint32_t i = 0; i < view.sibling_count; i++)
        at[count++] = (size_t)(view.siblings[i].value - state) - SIBLING_HEADER_SIZE;
    return count;
}

bool merge_state_renumber(uint8_t *state, size_t size, merge_state_renumber_actor *renumber, void *context) {
    size_t at[1 + VERSION_DOTS_MAX + MERGE_SIBLINGS_MAX];
    uint32_t count = find_dots(state, size, at);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t actor = load_u16(state + at[i]);
        bool goes_on = renumber(context, &actor);
        encode_u16(state + at[i], actor);
        if (!goes_on)
            return false;
    }
    return true;
}

bool merge_state_each_dot(const uint8_t *state, size_t size, merge_state_visit_dot *visit, void *context) {
    size_t at[1 + VERSION_DOTS_MAX + MERGE_SIBLINGS_MAX];
    uint32_t count = find_dots(state, size, at);
    for (uint32_t i = 0; i < count; i++)
        if (!visit(context,
                   (struct dot){.actor = load_u16(state + at[i]), .counter = load_u64(state + at[i] + 2)}))
            return false;
    return true;
}

bool merge_state_sort(uint8_t *state, size_t size) {
    struct view view;
    view_of_state(&view, state, size);
    for (uint32_t i = 0; i < view.sibling_count; i++)
        for (uint32_t before = 0; before < i; before++)
            if (dots_are_equal(view.siblings[before].dot, view.siblings[i].dot))
                return false;
    if (view.part_count == 0)
        return true;
    uint8_t *first = state + (view.parts[0].sum - state) - DOT_SIZE;
    for (uint32_t i = 1; i < view.part_count; i++) {
        struct part part = view.parts[i];
        uint32_t place = i;
        for (; place > 0 && view.parts[place - 1].dot.actor > part.dot.actor; place--)
            view.parts[place] = view.parts[place - 1];
        if (place > 0 && view.parts[place - 1].dot.actor == part.dot.actor)
            return false;
        view.parts[place] = part;
    }
    uint8_t sorted[VERSION_DOTS_MAX * PART_SIZE_MAX], *end = sorted;
    for (uint32_t i = 0; i < view.part_count; i++)
        end = write_bytes(end, view.parts[i].sum - DOT_SIZE, DOT_SIZE + 1 + sum_size(view.parts[i].sum[0]));
    memcpy(first, sorted, (size_t)(end - sorted));
    return true;
}

void merge_state_touch(uint8_t *state, size_t size, struct dot dot) {
    struct view view;
    view_of_state(&view, state, size);
    if (!view.is_counter)
        return;
    uint8_t *at = state + (view.base_dot - state);
    if (view.base.kind == BASE_NOTHING)
        at[-1] = BASE_ZERO;
    write_dot(at, dot);
}

/* ---- Writing ------------------------------------------------------------------------------------------------------------- */

/* The most that view_write() writes. */
static size_t view_size_max(const struct view *view) {
    size_t size = COUNTER_HEADER_SIZE_MAX + (size_t)view->part_count * PART_SIZE_MAX;
    for (uint32_t i = 0; i < view->sibling_count; i++)
        size += SIBLING_HEADER_SIZE + (size_t)view->siblings[i].size;
    return size;
}

/* The state of what has parts or siblings. The base's kind says what is to be written of it. */
static uint8_t *view_write(uint8_t *at, const struct view *view) {
    *at++ = view->part_count != 0 ? MERGE_STATE_COUNTER : MERGE_STATE_SIBLINGS;
    if (view->part_count != 0) {
        bool is_number = view->base.kind == BASE_NUMBER, is_zero = is_number && base_is_zero(&view->base);
        *at++ = (uint8_t)(is_zero ? BASE_ZERO : view->base.kind);
        at = write_dot(at, view->base.dot);
        if (is_number && !is_zero) {
            *at++ = view->base.encoding;
            at = encode_u16(at, (uint16_t)view->base.size);
            at = write_bytes(at, view->base.text, view->base.size);
        }
        *at++ = (uint8_t)view->part_count;
    }
    for (uint32_t i = 0; i < view->part_count; i++) {
        at = write_dot(at, view->parts[i].dot);
        at = write_bytes(at, view->parts[i].sum, 1 + sum_size(view->parts[i].sum[0]));
    }
    *at++ = (uint8_t)view->sibling_count;
    for (uint32_t i = 0; i < view->sibling_count; i++) {
        const struct sibling *sibling = &view->siblings[i];
        at = write_dot(at, sibling->dot);
        *at++ = sibling->encoding;
        at = encode_fixed(at, sibling->size, 4);
        at = write_bytes(at, sibling->value, sibling->size);
    }
    return at;
}

/* Adds a part to the base, whose text is then in `text`. A base that is no number takes none: the part is hidden, and dropped. */
static void fold_part(struct view *view, uint32_t at, char text[NUMBER_LONG_DOUBLE_SIZE]) {
    struct sum sum = {0}, part = read_sum(view->parts[at].sum);
    struct base *base = &view->base;
    if (base->kind == BASE_NOTHING || sum_of_text(base->text, base->size, &sum)) {
        sum_add(&sum, &part);
        base->size = (uint32_t)sum_text(text, &sum, &base->encoding);
        base->text = (const uint8_t *)text;
        base->kind = BASE_NUMBER;
    }
    view->part_count--;
    memmove(&view->parts[at], &view->parts[at + 1], (view->part_count - at) * sizeof view->parts[0]);
}

static void fold_lowest_part(struct view *view, char text[NUMBER_LONG_DOUBLE_SIZE]) {
    uint32_t lowest = 0;
    for (uint32_t i = 1; i < view->part_count; i++)
        if (view->parts[i].dot.counter < view->parts[lowest].dot.counter)
            lowest = i;
    fold_part(view, lowest, text);
}

/* See merge_state_cover(). */
static void cover(struct view *view, const struct version *version, struct dot dot,
                  char text[NUMBER_LONG_DOUBLE_SIZE]) {
    bool is_covered = view->base.dot.counter == 0 || version_covers(version, view->base.dot);
    for (uint32_t i = view->part_count; i-- > 0;)
        if (!version_covers(version, view->parts[i].dot)) {
            fold_part(view, i, text);
            is_covered = false;
        }
    if (!is_covered)
        view->base.dot = dot;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < view->sibling_count; i++)
        if (version_covers(version, view->siblings[i].dot))
            view->siblings[kept++] = view->siblings[i];
    view->sibling_count = kept;
}

static bool append_view(struct buffer *out, const struct view *view) {
    if (!buffer_reserve(out, view_size_max(view)))
        return false;
    out->size = (size_t)(view_write(out->data + out->size, view) - out->data);
    return true;
}

bool merge_state_cover(struct buffer *out, const uint8_t *state, size_t size, const struct version *version,
                       struct dot dot) {
    struct view view;
    char text[NUMBER_LONG_DOUBLE_SIZE];
    view_of_state(&view, state, size);
    cover(&view, version, dot, text);
    return append_view(out, &view);
}

/* ---- Adding -------------------------------------------------------------------------------------------------------------- */

bool merge_state_add_in_place(uint8_t *state, size_t size, struct dot dot, const struct amount *amount) {
    struct view view;
    view_of_state(&view, state, size);
    if (view.is_counter && view.base.kind == BASE_TEXT)
        return false;
    for (uint32_t i = 0; i < view.part_count; i++) {
        if (view.parts[i].dot.actor != dot.actor)
            continue;
        uint8_t *at = state + (view.parts[i].sum - state);
        struct sum sum = read_sum(at), more = sum_of_amount(amount);
        sum_add(&sum, &more);
        if (sum_kind(&sum) != at[0])
            return false;
        write_sum(write_dot(at - DOT_SIZE, dot), &sum);
        return true;
    }
    return false;
}

/* What an addition begins with. */
static void view_of_old(struct view *view, const struct record_parts *old, bool is_gone, struct dot dot) {
    struct sum ignored;
    if (old != NULL && (!is_gone || old->type == RECORD_TOMBSTONE)) {
        view_of_record(view, old);
        if (view->base.kind == BASE_TEXT)
            view->base.kind =
                sum_of_text(view->base.text, view->base.size, &ignored) ? BASE_NUMBER : BASE_NOTHING;
        return;
    }
    /* An expired record is gone by this write: another node's clock may have let it live. */
    view->part_count = view->sibling_count = 0;
    view->base = (struct base){.dot = old != NULL ? dot : (struct dot){.actor = ACTOR_NUMBER_NONE}};
}

bool merge_state_has_past(const uint8_t *state, size_t size, const struct merge_past *past) {
    struct view view;
    view_of_state(&view, state, size);
    for (uint32_t i = 0; i < view.part_count; i++)
        if (past->is_past(past->context, view.parts[i].dot.actor))
            return true;
    return false;
}

static bool has_part_of(const struct view *view, uint16_t actor) {
    for (uint32_t i = 0; i < view->part_count; i++)
        if (view->parts[i].dot.actor == actor)
            return true;
    return false;
}

/* What ended starts of the adding node have added goes into the sum of its own part. */
static void gather_past(struct view *view, const struct merge_past *past, struct sum *sum) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < view->part_count; i++) {
        if (!past->is_past(past->context, view->parts[i].dot.actor)) {
            view->parts[kept++] = view->parts[i];
            continue;
        }
        struct sum part = read_sum(view->parts[i].sum);
        sum_add(sum, &part);
    }
    view->part_count = kept;
}

bool merge_state_add(struct buffer *state, const struct record_parts *old, bool is_gone, struct dot dot,
                     const struct amount *amount, const struct merge_past *past,
                     const struct version *version) {
    struct view view;
    struct sum sum = sum_of_amount(amount);
    uint8_t bytes[1 + 16];
    char text[NUMBER_LONG_DOUBLE_SIZE];
    view_of_old(&view, old, is_gone, dot);
    bool has_room = view.part_count < VERSION_DOTS_MAX || has_part_of(&view, dot.actor);
    if (past != NULL && (past->is_final || !has_room))
        gather_past(&view, past, &sum);
    uint32_t at = 0;
    while (at < view.part_count && view.parts[at].dot.actor < dot.actor)
        at++;
    if (at < view.part_count && view.parts[at].dot.actor == dot.actor) {
        struct sum before = read_sum(view.parts[at].sum);
        sum_add(&before, &sum);
        sum = before;
    } else {
        memmove(&view.parts[at + 1], &view.parts[at], (view.part_count - at) * sizeof view.parts[0]);
        view.part_count++;
    }
    write_sum(bytes, &sum);
    view.parts[at] = (struct part){.dot = dot, .sum = bytes};
    if (version != NULL)
        cover(&view, version, dot, text);
    return append_view(state, &view);
}

/* ---- Merging ------------------------------------------------------------------------------------------------------------- */

static int compare_dots(const struct merge_context *context, struct dot one, struct dot other) {
    if (one.counter != other.counter)
        return one.counter < other.counter ? -1 : 1;
    return one.actor == other.actor || one.counter == 0
               ? 0
               : context->compare_actors(context->context, one.actor, other.actor);
}

/* One dot has one content; where it has not (two clocks saw a key expire differently), the same one is chosen everywhere. */
static bool is_greater(const uint8_t *one, size_t one_size, const uint8_t *other, size_t other_size) {
    if (one_size != other_size)
        return one_size > other_size;
    return one_size != 0 && memcmp(one, other, one_size) > 0;
}

static bool part_is_greater(const struct part *one, const struct part *other) {
    if (one->dot.counter != other->dot.counter)
        return one->dot.counter > other->dot.counter;
    return is_greater(one->sum, 1 + sum_size(one->sum[0]), other->sum, 1 + sum_size(other->sum[0]));
}

/* The parts of both sides that are not done away with, sorted by actor. */
static void join_parts(struct view *joined, const struct view *ours, const struct version *our_version,
                       const struct view *theirs, const struct version *their_version) {
    uint32_t i = 0, j = 0;
    joined->part_count = 0;
    while (i < ours->part_count || j < theirs->part_count) {
        const struct part *our = i < ours->part_count ? &ours->parts[i] : NULL;
        const struct part *their = j < theirs->part_count ? &theirs->parts[j] : NULL;
        const struct part *kept;
        if (their == NULL || (our != NULL && our->dot.actor < their->dot.actor)) {
            kept = version_covers(their_version, our->dot) ? NULL : our;
            i++;
        } else if (our == NULL || their->dot.actor < our->dot.actor) {
            kept = version_covers(our_version, their->dot) ? NULL : their;
            j++;
        } else {
            kept = part_is_greater(our, their) ? our : their;
            i++;
            j++;
        }
        if (kept != NULL)
            joined->parts[joined->part_count++] = *kept;
    }
}

/* Whether the second base is the one that stays. */
static bool base_loses(const struct merge_context *context, const struct base *one,
                       const struct base *other) {
    int order = compare_dots(context, one->dot, other->dot);
    if (order != 0)
        return order < 0;
    if ((one->kind == BASE_NOTHING) != (other->kind == BASE_NOTHING))
        return one->kind == BASE_NOTHING;
    if (is_greater(one->text, one->size, other->text, other->size))
        return false;
    return is_greater(other->text, other->size, one->text, one->size) || other->encoding > one->encoding;
}

static bool has_dot(const struct view *view, struct dot dot) {
    if (dots_are_equal(view->base.dot, dot))
        return true;
    for (uint32_t i = 0; i < view->sibling_count; i++)
        if (dots_are_equal(view->siblings[i].dot, dot))
            return true;
    return false;
}

/* Puts a sibling into its place among the joined ones, which have room. */
static void insert_sibling(const struct merge_context *context, struct view *joined,
                           const struct sibling *sibling) {
    uint32_t place = joined->sibling_count;
    if (dots_are_equal(sibling->dot, joined->base.dot))
        return;
    for (uint32_t i = 0; i < joined->sibling_count; i++)
        if (dots_are_equal(joined->siblings[i].dot, sibling->dot))
            return;
    joined->sibling_count++;
    for (; place > 0 && compare_dots(context, joined->siblings[place - 1].dot, sibling->dot) < 0; place--)
        joined->siblings[place] = joined->siblings[place - 1];
    joined->siblings[place] = *sibling;
}

/* Adds those of one side that the other has not done away with. */
static void join_siblings(const struct merge_context *context, struct view *joined, const struct view *side,
                          const struct view *other, const struct version *other_version) {
    for (uint32_t i = 0; i < side->sibling_count; i++) {
        const struct sibling *sibling = &side->siblings[i];
        if (has_dot(other, sibling->dot) || !version_covers(other_version, sibling->dot))
            insert_sibling(context, joined, sibling);
    }
    const struct base *base = &side->base;
    if (!context->keeps_siblings || base->kind == BASE_NOTHING || version_covers(other_version, base->dot))
        return;
    struct sibling lost = {
        .dot = base->dot, .value = base->text, .size = base->size, .encoding = base->encoding};
    insert_sibling(context, joined, &lost);
}

/* The first ones that are within the limits. */
static void limit_siblings(struct view *joined) {
    uint64_t bytes = 0;
    uint32_t count = 0;
    while (count < joined->sibling_count && count < MERGE_SIBLINGS_MAX &&
           (bytes += joined->siblings[count].size) <= MERGE_SIBLINGS_SIZE_MAX)
        count++;
    joined->sibling_count = count;
}

/* Sums up in an order that is the same on all nodes: floats do not add up to the same in each. */
static struct sum sum_up(const struct merge_context *context, const struct view *joined, struct sum sum) {
    struct sum parts[VERSION_DOTS_MAX], integers = {0};
    uint16_t actors[VERSION_DOTS_MAX];
    for (uint32_t i = 0; i < joined->part_count; i++) {
        uint16_t actor = joined->parts[i].dot.actor;
        uint32_t place = i;
        for (; place > 0 && context->compare_actors(context->context, actors[place - 1], actor) > 0;
             place--) {
            parts[place] = parts[place - 1];
            actors[place] = actors[place - 1];
        }
        actors[place] = actor;
        parts[place] = read_sum(joined->parts[i].sum);
    }
    for (uint32_t i = 0; i < joined->part_count; i++)
        sum_add(parts[i].is_float ? &sum : &integers, &parts[i]);
    sum_add(&sum, &integers);
    return sum;
}

/* Finishes a view with parts: its value is in `value` or is the base's text. */
static void finish_counter(const struct merge_context *context, struct view *joined,
                           struct record_parts *merged, char folded[NUMBER_LONG_DOUBLE_SIZE],
                           uint8_t *value) {
    struct base *base = &joined->base;
    struct sum sum = {0};
    while (joined->part_count > VERSION_DOTS_MAX)
        fold_lowest_part(joined, folded);
    if (base->kind != BASE_NOTHING)
        base->kind = sum_of_text(base->text, base->size, &sum) ? BASE_NUMBER : BASE_TEXT;
    if (base->kind == BASE_TEXT)
        return;
    sum = sum_up(context, joined, sum);
    merged->type = RECORD_STRING;
    merged->value = value;
    merged->value_size = (uint32_t)sum_text((char *)value, &sum, &merged->encoding);
}

/* Fills in `merged`, whose value and state may have to be written to `bytes`. */
static bool finish(const struct merge_context *context, struct view *joined, struct record_parts *merged,
                   struct buffer *bytes) {
    struct base *base = &joined->base;
    char folded[NUMBER_LONG_DOUBLE_SIZE];
    merged->type = base->kind == BASE_NOTHING ? RECORD_TOMBSTONE : RECORD_STRING;
    merged->encoding = base->kind == BASE_NOTHING ? ENCODING_NATURAL : base->encoding;
    merged->value = base->text;
    merged->value_size = base->size;
    merged->state = NULL;
    merged->state_size = 0;
    if (joined->part_count != 0 || joined->sibling_count != 0) {
        if (!buffer_reserve(bytes, NUMBER_LONG_DOUBLE_SIZE + view_size_max(joined)))
            return false;
        if (joined->part_count != 0)
            finish_counter(context, joined, merged, folded, bytes->data);
        if (merged->value == bytes->data)
            bytes->size = merged->value_size;
        merged->state = bytes->data + bytes->size;
        merged->state_size = (uint32_t)(view_write(bytes->data + bytes->size, joined) - merged->state);
        bytes->size += merged->state_size;
    }
    if (merged->type == RECORD_TOMBSTONE)
        merged->expiry_ms = RECORD_NO_EXPIRY;
    return true;
}

static bool has_states(const struct record_parts *parts) {
    return parts->type == RECORD_STRING || parts->type == RECORD_TOMBSTONE;
}

bool merge_state_merge(const struct merge_context *context, const struct merge_side *winner,
                       const struct merge_side *loser, struct record_parts *merged, struct buffer *bytes) {
    struct view ours, theirs, joined;
    buffer_clear(bytes);
    *merged = *winner->parts;
    if (!has_states(winner->parts) || !has_states(loser->parts))
        return true;
    view_of_record(&ours, winner->parts);
    view_of_record(&theirs, loser->parts);
    joined.is_counter = true;
    joined.base = ours.base;
    if (base_loses(context, &ours.base, &theirs.base)) {
        joined.base = theirs.base;
        merged->expiry_ms = loser->parts->expiry_ms;
    } else if (dots_are_equal(ours.base.dot, theirs.base.dot) &&
               loser->parts->expiry_ms > merged->expiry_ms) {
        merged->expiry_ms = loser->parts->expiry_ms;
    }
    join_parts(&joined, &ours, winner->version, &theirs, loser->version);
    joined.sibling_count = 0;
    join_siblings(context, &joined, &ours, &theirs, loser->version);
    join_siblings(context, &joined, &theirs, &ours, winner->version);
    limit_siblings(&joined);
    return finish(context, &joined, merged, bytes);
}
