/* reply_reader.h - the simulated client's own reader of replies, RESP2 and RESP3, a byte at a time if need be.
 *
 * Shares nothing with the server's code, so that both would have to be wrong in the same way.
 * May touch: bytes. Must never know: requests, connections.
 * Invariants: bytes that are no reply of the protocol are found at the first of them that cannot be.
 * Tests: the simulator's self-test (selftest.c).
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_REPLY_READER_H
#define SIM_REPLY_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define READER_DEPTH_MAX 32

struct reply_reader {
    unsigned protocol; /* 2 or 3: what only the other one has is an error; 0: either */
    bool is_broken;
    uint8_t state;
    uint8_t type;       /* of the element that is being read */
    uint8_t line_bytes; /* of a number: digits so far */
    bool is_negative;
    uint64_t number;
    uint64_t payload_left;
    unsigned depth;
    uint64_t left[READER_DEPTH_MAX]; /* elements still to come at each depth */
};

void reply_reader_init(struct reply_reader *reader, unsigned protocol);

/* Takes bytes up to the end of the reply at hand; returns how many. *is_complete: it ended with them, and the next
 * call begins another one. */
size_t reply_reader_take(struct reply_reader *reader, const uint8_t *data, size_t size, bool *is_complete);

/* The size of the reply that stands at the front of data; 0: none that is whole and well-formed. */
size_t reply_measure(const uint8_t *data, size_t size, unsigned protocol);

/* ---- Complete replies ---- */

/* An error whose text begins with these words. */
bool reply_is_error(const uint8_t *reply, size_t size, const char *words);
bool reply_is_text(const uint8_t *reply, size_t size, const char *text); /* exactly these bytes */
bool reply_integer_value(const uint8_t *reply, size_t size, int64_t *value);
bool reply_bulk_value(const uint8_t *reply, size_t size, const uint8_t **data, size_t *data_size);
bool reply_is_nil(const uint8_t *reply, size_t size); /* $-1, *-1 or _ */
/* An array, set or push (a map counts twice): its elements, and where the first one begins. */
bool reply_elements(const uint8_t *reply, size_t size, uint64_t *count, size_t *first);

#endif
