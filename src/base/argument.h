/* argument.h - one argument of a command: a span of bytes in place, with room for its place in the ring.
 *
 * The bytes belong to the read buffer (or to a queued transaction): valid while the command runs, never
 * longer. Where the argument is a key, slot and hash are computed once, ahead of execution, so that
 * memory can be fetched early; everything below reads them from here.
 * Tests: tests/unit/base/argument_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_ARGUMENT_H
#define BASE_ARGUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#define ARGUMENT_NOT_PLACED UINT32_MAX

struct argument {
    const uint8_t *data;
    uint32_t size;
    uint32_t slot; /* 0..16383, or ARGUMENT_NOT_PLACED: hash and slot are not computed yet */
    uint64_t hash;
};

/* Whether the argument equals a word, without regard to the case of letters (option names). */
static inline bool argument_is(const struct argument *argument, const char *word) {
    size_t size = strlen(word);
    return argument->size == size && strncasecmp((const char *)argument->data, word, size) == 0;
}

#endif
