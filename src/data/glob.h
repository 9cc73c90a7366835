/*
 * glob.h - the patterns of KEYS, SCAN MATCH, PSUBSCRIBE, CONFIG GET and ACL rules.
 *
 * May touch: the caller's bytes. Must never know what they name.
 *
 *   *        any number of bytes, also none
 *   ?        one byte
 *   [abc]    one of these bytes; [a-z] a range, also written backwards; [^...] any other byte
 *   \x       x itself, also within brackets
 *
 * All odd cases are as in Redis 7.0 on x86-64, for applications have patterns that rely on them:
 *   - an empty text is matched by the empty pattern only, not by "*";
 *   - brackets that are never closed end with the pattern; "[]" matches nothing, "[^]" any byte;
 *   - "[a-]" begins a range from 'a' to ']', so it does not close the brackets;
 *   - a '\' that ends the pattern, or the text within brackets that are never closed, means itself;
 *   - ranges compare signed bytes: "[\x01-\xff]" is the three bytes from -1 to 1;
 *   - ignoring case, a range is first put into that order, then its ends are made lower case and the bytes
 *     0x80 to 0xfe count from 128 on; an escaped byte within brackets keeps its case.
 *
 * Tests: tests/unit/data/glob_test.c
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef DATA_GLOB_H
#define DATA_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Does the pattern match the whole text? ignore_case concerns the letters A to Z. Takes at most as many steps
 * as the product of the two sizes.
 */
bool glob_match(const char *pattern, size_t pattern_size, const char *text, size_t text_size,
                bool ignore_case);

/*
 * The pattern is a single "*", which KEYS and SCAN take as "no pattern": then the empty key counts too, which
 * glob_match() would not find.
 */
static inline bool glob_is_everything(const char *pattern, size_t pattern_size) {
    return pattern_size == 1 && pattern[0] == '*';
}

#endif
