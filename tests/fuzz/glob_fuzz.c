/* glob_fuzz.c - any pattern with any text: glob_match() answers what a matcher answers that tries everything.
 *
 * Input: a byte (bit 0: case is ignored), the pattern up to the first byte 0xfe, then the text.
 * The slow matcher here spells out each element of the pattern as the set of bytes that it takes, and then keeps, for
 * every place in the pattern, all places in the text that can be reached: no choice, no way back.
 * Checked: both agree; what a text without special bytes means; stars more or less beside a star change nothing.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "data/glob.h"

#include "base/check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_SIZE_MAX 1024
#define SPLIT          0xfe

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct element {
    bool is_star;
    bool takes[256];
};

static unsigned lower(unsigned byte) {
    return byte >= 'A' && byte <= 'Z' ? byte + 32 : byte;
}

static int as_signed(unsigned byte) {
    return byte < 128 ? (int)byte : (int)byte - 256;
}

static void take_one(struct element *element, unsigned wanted, bool ignores_case) {
    for (unsigned byte = 0; byte < 256; byte++)
        if (byte == wanted || (ignores_case && lower(byte) == lower(wanted)))
            element->takes[byte] = true;
}

/* Where a byte stands in a range whose case is ignored: the highest one alone stays negative. */
static int folded_order(unsigned byte) {
    return byte == 255 ? -1 : (int)lower(byte);
}

static void take_range(struct element *element, unsigned from, unsigned to, bool ignores_case) {
    if (as_signed(from) > as_signed(to)) {
        unsigned kept = from;
        from = to;
        to = kept;
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        bool is_in = ignores_case
                         ? folded_order(byte) >= folded_order(from) && folded_order(byte) <= folded_order(to)
                         : as_signed(byte) >= as_signed(from) && as_signed(byte) <= as_signed(to);
        element->takes[byte] = element->takes[byte] || is_in;
    }
}

/* The bytes behind '['; answers where the brackets end. */
static const uint8_t *spell_brackets(struct element *element, const uint8_t *at, const uint8_t *end,
                                     bool ignores_case) {
    bool is_negated = at < end && *at == '^';
    at += is_negated;
    while (at < end && *at != ']') {
        if (*at == '\\' && end - at > 1) {
            element->takes[at[1]] = true;
            at += 2;
        } else if (end - at > 2 && at[1] == '-') {
            take_range(element, at[0], at[2], ignores_case);
            at += 3;
        } else {
            take_one(element, *at++, ignores_case);
        }
    }
    for (unsigned byte = 0; byte < 256; byte++)
        element->takes[byte] = element->takes[byte] != is_negated;
    return at < end ? at + 1 : at;
}

/* The element at the front of the pattern; answers where the next one begins. */
static const uint8_t *spell(struct element *element, const uint8_t *at, const uint8_t *end,
                            bool ignores_case) {
    memset(element, 0, sizeof *element);
    uint8_t first = *at++;
    if (first == '*') {
        element->is_star = true;
    } else if (first == '?') {
        memset(element->takes, true, sizeof element->takes);
    } else if (first == '[') {
        return spell_brackets(element, at, end, ignores_case);
    } else if (first == '\\' && at < end) {
        take_one(element, *at++, ignores_case);
    } else {
        take_one(element, first, ignores_case);
    }
    return at;
}

static bool match_slowly(const uint8_t *pattern, size_t pattern_size, const uint8_t *text, size_t text_size,
                         bool ignores_case) {
    if (text_size == 0)
        return pattern_size == 0; /* the odd case: not even "*" takes nothing */
    bool reached[INPUT_SIZE_MAX + 1] = {true};
    struct element element;
    for (const uint8_t *at = pattern, *end = pattern + pattern_size; at < end;) {
        at = spell(&element, at, end, ignores_case);
        if (element.is_star) {
            for (size_t i = 0; i < text_size; i++)
                reached[i + 1] = reached[i + 1] || reached[i];
        } else {
            for (size_t i = text_size; i > 0; i--)
                reached[i] = reached[i - 1] && element.takes[text[i - 1]];
            reached[0] = false;
        }
    }
    return reached[text_size];
}

static bool match(const uint8_t *pattern, size_t pattern_size, const uint8_t *text, size_t text_size,
                  bool ignores_case) {
    /* Copies that end where their memory ends. */
    char *pattern_copy = malloc(pattern_size + 1), *text_copy = malloc(text_size + 1);
    CHECK(pattern_copy != NULL && text_copy != NULL);
    memcpy(pattern_copy + 1, pattern, pattern_size);
    memcpy(text_copy + 1, text, text_size);
    bool matches = glob_match(pattern_copy + 1, pattern_size, text_copy + 1, text_size, ignores_case);
    free(pattern_copy);
    free(text_copy);
    return matches;
}

/* Every byte of the text with a backslash before it is a pattern of that text and of no other one. */
static void check_escaped(const uint8_t *text, size_t size) {
    uint8_t escaped[2 * INPUT_SIZE_MAX];
    for (size_t i = 0; i < size; i++) {
        escaped[2 * i] = '\\';
        escaped[2 * i + 1] = text[i];
    }
    CHECK(match(escaped, 2 * size, text, size, false) && match(escaped, 2 * size, text, size, true));
    if (size == 0)
        return;
    escaped[2 * size - 1] ^= 1;
    CHECK(!match(escaped, 2 * size, text, size, false));
    CHECK(!match(escaped, 2 * (size - 1), text, size, false));
}

/* A star is as good as two. */
static void check_doubled_star(const uint8_t *pattern, size_t pattern_size, const uint8_t *text,
                               size_t text_size, bool ignores_case, bool expected) {
    uint8_t doubled[INPUT_SIZE_MAX + 1];
    if (pattern_size == 0 || pattern[0] != '*')
        return;
    doubled[0] = '*';
    memcpy(doubled + 1, pattern, pattern_size);
    CHECK(match(doubled, pattern_size + 1, text, text_size, ignores_case) == expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2 || size > INPUT_SIZE_MAX)
        return 0;
    bool ignores_case = data[0] & 1;
    const uint8_t *pattern = data + 1, *end = data + size;
    const uint8_t *split = memchr(pattern, SPLIT, size - 1);
    const uint8_t *text = split == NULL ? end : split + 1;
    size_t pattern_size = (size_t)((split == NULL ? end : split) - pattern), text_size = (size_t)(end - text);
    bool expected = match_slowly(pattern, pattern_size, text, text_size, ignores_case);
    CHECK(match(pattern, pattern_size, text, text_size, ignores_case) == expected);
    check_doubled_star(pattern, pattern_size, text, text_size, ignores_case, expected);
    check_escaped(text, text_size);
    return 0;
}
