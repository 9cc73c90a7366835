/* reply.h - writes replies in RESP2 or RESP3 straight into an output buffer.
 *
 * One interface for both protocols: where RESP2 has no such type (map, set, double, null...) the usual
 * equivalent is written. A composite reply is a header with its element count, then the elements.
 * May touch: base. Must never know: commands, clients, sockets.
 * Invariants: a reply that found no memory sets out->failed and leaves the caller to reply_rollback().
 * Source of the formats: the RESP3 specification and RESP2 as redis.io documents them.
 * Tests: tests/unit/proto/reply_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef PROTO_REPLY_H
#define PROTO_REPLY_H

#include "base/buffer.h"

struct reply {
    struct buffer *out;
    uint8_t protocol;  /* 2 or 3 */
    uint32_t errors;   /* error replies written (INFO's errorstats read the text at error_mark) */
    size_t error_mark; /* where the last error reply begins in out */
};

/* A place to come back to: what is written after it can be taken back. */
static inline size_t reply_mark(const struct reply *reply) {
    return reply->out->size;
}

static inline void reply_rollback(struct reply *reply, size_t mark) {
    reply->out->size = mark;
    reply->out->failed = false;
}

/* False after something found no memory since the last rollback or clear. */
static inline bool reply_is_complete(const struct reply *reply) {
    return !reply->out->failed;
}

void reply_simple(struct reply *reply, const char *text); /* +text */
void reply_ok(struct reply *reply);                       /* +OK */
void reply_error(struct reply *reply, const char *text);  /* -text; text has its code word: "ERR ..." */
/* Of both: CR and LF within the text become spaces, those at its end go; cut at 512 bytes. */
void reply_error_format(struct reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_integer(struct reply *reply, int64_t value);              /* :value */
void reply_bulk(struct reply *reply, const void *data, size_t size); /* $size data */
void reply_bulk_text(struct reply *reply, const char *text);
/* Writes the header of a bulk of `size` bytes and returns where to fill them in; NULL: no memory. */
uint8_t *reply_bulk_space(struct reply *reply, size_t size);
void reply_bulk_integer(struct reply *reply, int64_t value); /* the integer as a bulk string */
void reply_bulk_format(struct reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_null(struct reply *reply);                 /* $-1 or _ */
void reply_null_array(struct reply *reply);           /* *-1 or _ */
void reply_array(struct reply *reply, size_t count);  /* *count */
void reply_map(struct reply *reply, size_t pairs);    /* %pairs, or *2*pairs */
void reply_set(struct reply *reply, size_t count);    /* ~count, or *count */
void reply_push(struct reply *reply, size_t count);   /* >count, or *count */
void reply_boolean(struct reply *reply, bool value);  /* #t or :1 */
void reply_double(struct reply *reply, double value); /* ,value or bulk */
void reply_verbatim(struct reply *reply, const char *format3, const void *data,
                    size_t size); /* =size txt:... or bulk */

/* Header of an aggregate whose count is known only later: reserve, write elements, then set the count. */
size_t reply_deferred(struct reply *reply);
void reply_deferred_set(struct reply *reply, size_t place, char type, size_t count);

#endif
