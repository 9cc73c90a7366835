/* reply.c - the formats of RESP2 and RESP3. The frequent ones (bulk, integer, +OK) are written without a call per byte.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "proto/reply.h"

#include "base/number.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define HEADER_SIZE_MAX 24 /* a type byte, 20 digits, CR LF */
#define ERROR_TEXT_MAX  512

static inline void put_crlf(uint8_t *at) {
    at[0] = '\r';
    at[1] = '\n';
}

/* Writes `type` number CRLF at `at`, returns what follows. */
static inline uint8_t *put_header(uint8_t *at, char type, uint64_t number) {
    *at++ = (uint8_t)type;
    if (LIKELY(number < 10)) {
        *at++ = (uint8_t)('0' + number);
    } else if (number < 100) {
        *at++ = (uint8_t)('0' + number / 10);
        *at++ = (uint8_t)('0' + number % 10);
    } else {
        at += number_format_uint64((char *)at, number);
    }
    put_crlf(at);
    return at + 2;
}

static void put_literal(struct reply *reply, const char *text, size_t size) {
    buffer_append(reply->out, text, size);
}

static void put_aggregate(struct reply *reply, char type, size_t count) {
    struct buffer *out = reply->out;
    if (UNLIKELY(!buffer_reserve(out, HEADER_SIZE_MAX)))
        return;
    uint8_t *end = put_header(out->data + out->size, type, count);
    out->size = (size_t)(end - out->data);
}

void reply_ok(struct reply *reply) {
    put_literal(reply, "+OK\r\n", 5);
}

void reply_simple(struct reply *reply, const char *text) {
    size_t size = strlen(text);
    struct buffer *out = reply->out;
    if (!buffer_reserve(out, size + 3))
        return;
    out->data[out->size] = '+';
    memcpy(out->data + out->size + 1, text, size);
    put_crlf(out->data + out->size + 1 + size);
    out->size += size + 3;
}

void reply_error(struct reply *reply, const char *text) {
    size_t size = strlen(text);
    if (size > ERROR_TEXT_MAX)
        size = ERROR_TEXT_MAX;
    while (size > 0 && (text[size - 1] == '\r' || text[size - 1] == '\n'))
        size--;
    struct buffer *out = reply->out;
    reply->errors++;
    if (!buffer_reserve(out, size + 3))
        return;
    reply->error_mark = out->size;
    uint8_t *at = out->data + out->size;
    at[0] = '-';
    for (size_t i = 0; i < size; i++)
        at[1 + i] = text[i] == '\r' || text[i] == '\n' ? ' ' : (uint8_t)text[i];
    put_crlf(at + 1 + size);
    out->size += size + 3;
}

void reply_error_format(struct reply *reply, const char *format, ...) {
    char text[ERROR_TEXT_MAX + 1];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    reply_error(reply, text);
}

void reply_integer(struct reply *reply, int64_t value) {
    struct buffer *out = reply->out;
    if (UNLIKELY(!buffer_reserve(out, HEADER_SIZE_MAX)))
        return;
    uint8_t *at = out->data + out->size;
    if (LIKELY(value >= 0)) {
        out->size = (size_t)(put_header(at, ':', (uint64_t)value) - out->data);
        return;
    }
    *at++ = ':';
    at += number_format_int64((char *)at, value);
    put_crlf(at);
    out->size = (size_t)(at + 2 - out->data);
}

uint8_t *reply_bulk_space(struct reply *reply, size_t size) {
    struct buffer *out = reply->out;
    if (UNLIKELY(!buffer_reserve(out, size + HEADER_SIZE_MAX + 2)))
        return NULL;
    uint8_t *bytes = put_header(out->data + out->size, '$', size);
    put_crlf(bytes + size);
    out->size = (size_t)(bytes + size + 2 - out->data);
    return bytes;
}

void reply_bulk(struct reply *reply, const void *data, size_t size) {
    uint8_t *space = reply_bulk_space(reply, size);
    if (LIKELY(space != NULL && size != 0))
        memcpy(space, data, size);
}

void reply_bulk_text(struct reply *reply, const char *text) {
    reply_bulk(reply, text, strlen(text));
}

void reply_bulk_integer(struct reply *reply, int64_t value) {
    char digits[NUMBER_INT64_SIZE];
    reply_bulk(reply, digits, number_format_int64(digits, value));
}

void reply_bulk_format(struct reply *reply, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    CHECK(size >= 0);
    uint8_t *space = reply_bulk_space(reply, (size_t)size);
    if (space == NULL)
        return;
    va_start(arguments, format);
    /* The final zero falls on the CR, which is put back. */
    vsnprintf((char *)space, (size_t)size + 1, format, arguments);
    va_end(arguments);
    space[size] = '\r';
}

void reply_null(struct reply *reply) {
    if (reply->protocol == 3)
        put_literal(reply, "_\r\n", 3);
    else
        put_literal(reply, "$-1\r\n", 5);
}

void reply_null_array(struct reply *reply) {
    if (reply->protocol == 3)
        put_literal(reply, "_\r\n", 3);
    else
        put_literal(reply, "*-1\r\n", 5);
}

void reply_array(struct reply *reply, size_t count) {
    put_aggregate(reply, '*', count);
}

void reply_map(struct reply *reply, size_t pairs) {
    if (reply->protocol == 3)
        put_aggregate(reply, '%', pairs);
    else
        put_aggregate(reply, '*', pairs * 2);
}

void reply_set(struct reply *reply, size_t count) {
    put_aggregate(reply, reply->protocol == 3 ? '~' : '*', count);
}

void reply_push(struct reply *reply, size_t count) {
    put_aggregate(reply, reply->protocol == 3 ? '>' : '*', count);
}

void reply_boolean(struct reply *reply, bool value) {
    if (reply->protocol == 3)
        put_literal(reply, value ? "#t\r\n" : "#f\r\n", 4);
    else
        put_literal(reply, value ? ":1\r\n" : ":0\r\n", 4);
}

void reply_double(struct reply *reply, double value) {
    char text[NUMBER_DOUBLE_SIZE];
    size_t size = number_format_double(text, value);
    if (reply->protocol != 3) {
        reply_bulk(reply, text, size);
        return;
    }
    struct buffer *out = reply->out;
    if (!buffer_reserve(out, size + 3))
        return;
    uint8_t *at = out->data + out->size;
    at[0] = ',';
    memcpy(at + 1, text, size);
    put_crlf(at + 1 + size);
    out->size += size + 3;
}

void reply_verbatim(struct reply *reply, const char *format3, const void *data, size_t size) {
    if (reply->protocol != 3) {
        reply_bulk(reply, data, size);
        return;
    }
    struct buffer *out = reply->out;
    if (!buffer_reserve(out, size + HEADER_SIZE_MAX + 6))
        return;
    uint8_t *at = put_header(out->data + out->size, '=', size + 4);
    memcpy(at, format3, 3);
    at[3] = ':';
    if (size != 0)
        memcpy(at + 4, data, size);
    put_crlf(at + 4 + size);
    out->size = (size_t)(at + 4 + size + 2 - out->data);
}

size_t reply_deferred(struct reply *reply) {
    return reply->out->size;
}

void reply_deferred_set(struct reply *reply, size_t place, char type, size_t count) {
    struct buffer *out = reply->out;
    if (reply->protocol != 3 && type != '*') {
        count = type == '%' ? count * 2 : count;
        type = '*';
    }
    uint8_t header[HEADER_SIZE_MAX];
    size_t size = (size_t)(put_header(header, type, count) - header);
    if (!buffer_reserve(out, size))
        return;
    memmove(out->data + place + size, out->data + place, out->size - place);
    memcpy(out->data + place, header, size);
    out->size += size;
}
