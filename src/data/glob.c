/*
 * glob.c - matches a text with a pattern, without recursion.
 *
 * May touch: the caller's bytes. Must never know what they name.
 * Invariant: every element of a pattern but '*' takes exactly one byte of the text, and where it ends does
 * not depend on that byte. So the last '*' alone has to be tried with more bytes when a match fails: giving
 * an earlier one more bytes only leaves fewer for the rest.
 * Tests: tests/unit/data/glob_test.c
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "data/glob.h"

#include <string.h>

static inline char fold_case(char byte, bool ignore_case) {
    return ignore_case && byte >= 'A' && byte <= 'Z' ? (char)(byte + ('a' - 'A')) : byte;
}

/* A byte's place in a range: glob.h tells the odd case of the bytes from 0x80 on. */
static int range_order(char byte, bool ignore_case) {
    if (!ignore_case || byte == '\xff')
        return (signed char)byte;
    return (unsigned char)fold_case(byte, true);
}

static bool range_has(char from, char to, char byte, bool ignore_case) {
    if ((signed char)from > (signed char)to) {
        char swapped = from;
        from = to;
        to = swapped;
    }
    int order = range_order(byte, ignore_case);
    return order >= range_order(from, ignore_case) && order <= range_order(to, ignore_case);
}

/* Answers the size of the brackets at the start of the pattern, and whether they match the byte. */
static size_t match_brackets(const char *pattern, size_t size, char byte, bool ignore_case, bool *matches) {
    size_t i = 1;
    bool negated = i < size && pattern[i] == '^';
    if (negated)
        i++;

    bool found = false;
    while (i < size && pattern[i] != ']') {
        if (pattern[i] == '\\' && size - i >= 2) {
            found |= pattern[i + 1] == byte;
            i += 2;
        } else if (size - i >= 3 && pattern[i + 1] == '-') {
            found |= range_has(pattern[i], pattern[i + 2], byte, ignore_case);
            i += 3;
        } else {
            found |= fold_case(pattern[i], ignore_case) == fold_case(byte, ignore_case);
            i++;
        }
    }
    *matches = found != negated;
    return i < size ? i + 1 : size;
}

/* Answers the size of the element at the start of the pattern, which is not '*', and whether it matches the
 * byte. */
static inline size_t match_element(const char *pattern, size_t size, char byte, bool ignore_case,
                                   bool *matches) {
    switch (pattern[0]) {
    case '?': *matches = true; return 1;
    case '[': return match_brackets(pattern, size, byte, ignore_case, matches);
    case '\\':
        if (size >= 2) {
            *matches = fold_case(pattern[1], ignore_case) == fold_case(byte, ignore_case);
            return 2;
        }
        break;
    default: break;
    }
    *matches = fold_case(pattern[0], ignore_case) == fold_case(byte, ignore_case);
    return 1;
}

/*
 * The first place in the text where the pattern, which does not begin with '*', can begin to match: the
 * text's end if there is none. Only a pattern that begins with a byte that means itself allows to skip
 * anything.
 */
static inline const char *skip_to_start(const char *pattern, const char *text, const char *text_end,
                                        bool ignore_case) {
    if (ignore_case || pattern[0] == '?' || pattern[0] == '[' || pattern[0] == '\\')
        return text;
    const char *found = memchr(text, pattern[0], (size_t)(text_end - text));
    return found != NULL ? found : text_end;
}

bool glob_match(const char *pattern, size_t pattern_size, const char *text, size_t text_size,
                bool ignore_case) {
    if (text_size == 0)
        return pattern_size == 0;

    const char *pattern_end = pattern + pattern_size;
    const char *text_end = text + text_size;
    const char *after_star = NULL; /* the pattern behind the last '*' passed */
    const char *retry = NULL;      /* where in the text that rest was last tried */

    while (text < text_end) {
        if (pattern < pattern_end && *pattern == '*') {
            do
                pattern++;
            while (pattern < pattern_end && *pattern == '*');
            if (pattern == pattern_end)
                return true;
            after_star = pattern;
            text = retry = skip_to_start(after_star, text, text_end, ignore_case);
            continue;
        }
        if (pattern < pattern_end) {
            bool matches;
            size_t used =
                match_element(pattern, (size_t)(pattern_end - pattern), *text, ignore_case, &matches);
            if (matches) {
                pattern += used;
                text++;
                continue;
            }
        }
        if (after_star == NULL)
            return false;
        pattern = after_star;
        text = retry = skip_to_start(after_star, retry + 1, text_end, ignore_case);
    }

    while (pattern < pattern_end && *pattern == '*')
        pattern++;
    return pattern == pattern_end;
}
