/* request.c - the request parser. The frequent shapes (one-digit counts, short lengths) are read without a loop.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "proto/request.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/number.h"

#include <stdio.h>
#include <string.h>

/* A header line longer than this without its end is refused: no number is that long. */
#define HEADER_LINE_MAX REQUEST_INLINE_MAX
/* The shortest argument: $0 CRLF CRLF. */
#define ARGUMENT_SIZE_MIN 6

static enum request_status broken(struct request *request, const char *reason) {
    snprintf(request->error, sizeof request->error, "ERR Protocol error: %s", reason);
    return REQUEST_BROKEN;
}

static enum request_status incomplete(struct request *request, size_t needed) {
    request->needed = needed;
    return REQUEST_INCOMPLETE;
}

/* Reads a decimal number and its CRLF at *at. */
enum number_status { NUMBER_READ, NUMBER_INCOMPLETE, NUMBER_TOO_LONG, NUMBER_BAD };

static enum number_status read_number_slowly(const uint8_t **at, const uint8_t *end, int64_t *value) {
    size_t left = (size_t)(end - *at);
    const uint8_t *cr = memchr(*at, '\r', left < HEADER_LINE_MAX ? left : HEADER_LINE_MAX);
    if (cr == NULL)
        return left >= HEADER_LINE_MAX ? NUMBER_TOO_LONG : NUMBER_INCOMPLETE;
    if (cr + 1 >= end)
        return NUMBER_INCOMPLETE;
    if (cr[1] != '\n' || !number_parse_int64((const char *)*at, (size_t)(cr - *at), value))
        return NUMBER_BAD;
    *at = cr + 2;
    return NUMBER_READ;
}

static inline enum number_status read_number(const uint8_t **at, const uint8_t *end, int64_t *value) {
    const uint8_t *p = *at;
    if (LIKELY(end - p >= 4)) {
        unsigned first = p[0] - '0';
        if (LIKELY(first <= 9)) {
            if (p[1] == '\r' && p[2] == '\n') {
                *value = first;
                *at = p + 3;
                return NUMBER_READ;
            }
            unsigned second = p[1] - '0';
            if (LIKELY(first != 0 && second <= 9 && p[2] == '\r' && p[3] == '\n')) {
                *value = first * 10 + second;
                *at = p + 4;
                return NUMBER_READ;
            }
        }
    }
    return read_number_slowly(at, end, value);
}

static enum request_status bad_count(struct request *request, enum number_status status, bool is_bulk) {
    if (status == NUMBER_TOO_LONG)
        return broken(request, is_bulk ? "too big bulk count string" : "too big mbulk count string");
    return broken(request, is_bulk ? "invalid bulk length" : "invalid multibulk length");
}

/* One hexadecimal digit, or -1. */
static int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static uint8_t escaped(uint8_t c) {
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return c;
    }
}

/* What ends a word; vertical tabs and form feeds do not, though they are skipped between words. */
static bool ends_word(uint8_t c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\0';
}

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Reads one word of an inline command, from *at to the end of the word, and unquotes it in place if it is told to; false:
 * unbalanced quotes. */
static bool read_word(uint8_t **at, const uint8_t *end, struct argument *argument, bool unquotes) {
    uint8_t *read = *at, *write = *at;
    argument->data = write;
    uint8_t quote = 0;
    for (; read < end; read++) {
        uint8_t c = *read;
        if (quote == 0) {
            if (ends_word(c))
                break;
            if (c == '"' || c == '\'') {
                quote = c;
                continue;
            }
        } else if (c == quote) {
            if (read + 1 < end && !is_space(read[1]))
                return false; /* a closing quote must end the word */
            quote = 0;
            read++;
            break;
        } else if (c == '\\' && quote == '"' && read + 3 < end && read[1] == 'x' && hex_digit(read[2]) >= 0 &&
                   hex_digit(read[3]) >= 0) {
            c = (uint8_t)(hex_digit(read[2]) << 4 | hex_digit(read[3]));
            read += 3;
        } else if (c == '\\' && quote == '"' && read + 1 < end) {
            c = escaped(*++read);
        } else if (c == '\\' && quote == '\'' && read + 1 < end && read[1] == '\'') {
            c = *++read;
        }
        if (unquotes)
            *write = c;
        write++;
    }
    if (quote != 0)
        return false;
    argument->size = (uint32_t)(write - argument->data);
    argument->slot = ARGUMENT_NOT_PLACED;
    *at = read;
    return true;
}

/* Reads all words of a line; false: unbalanced quotes. */
static bool read_words(uint8_t *data, const uint8_t *end, struct argument *arguments, bool unquotes,
                       uint32_t *count) {
    *count = 0;
    for (uint8_t *at = data;;) {
        while (at < end && is_space(*at))
            at++;
        if (at >= end || *at == '\0')
            return true;
        if (!read_word(&at, end, &arguments[*count], unquotes))
            return false;
        ++*count;
    }
}

static enum request_status parse_inline(uint8_t *data, size_t size, struct argument *arguments,
                                        size_t capacity, struct request *request) {
    size_t looked_at = size < REQUEST_INLINE_MAX ? size : REQUEST_INLINE_MAX;
    uint8_t *newline = memchr(data, '\n', looked_at);
    if (newline == NULL)
        return size >= REQUEST_INLINE_MAX ? broken(request, "too big inline request")
                                          : incomplete(request, size + 1);
    /* An upper bound of the words; asked for before anything is unquoted, as that can be done only once. */
    size_t words_max = (size_t)(newline - data) / 2 + 1;
    if (words_max > capacity) {
        request->argc = (uint32_t)words_max;
        return REQUEST_NO_ROOM;
    }
    uint8_t *end = newline;
    if (end > data && end[-1] == '\r')
        end--;
    request->consumed = (size_t)(newline - data) + 1;
    /* A wrong line stays as it is: its bytes may be looked at again when the connection was held back. */
    if (!read_words(data, end, arguments, false, &request->argc))
        return broken(request, "unbalanced quotes in request");
    read_words(data, end, arguments, true, &request->argc);
    return REQUEST_COMPLETE;
}

enum request_status request_parse(uint8_t *data, size_t size, const struct request_limits *limits,
                                  struct argument *arguments, size_t capacity, struct request *request) {
    if (UNLIKELY(size == 0))
        return incomplete(request, 1);
    if (UNLIKELY(data[0] != '*'))
        return parse_inline(data, size, arguments, capacity, request);
    const uint8_t *at = data + 1, *end = data + size;
    int64_t count;
    enum number_status status = read_number(&at, end, &count);
    if (UNLIKELY(status != NUMBER_READ))
        return status == NUMBER_INCOMPLETE ? incomplete(request, size + 1)
                                           : bad_count(request, status, false);
    if (UNLIKELY(count > limits->arguments_max))
        return broken(request, limits->unauthenticated && count <= INT32_MAX
                                   ? "unauthenticated multibulk length"
                                   : "invalid multibulk length");
    request->argc = count > 0 ? (uint32_t)count : 0;
    /* Room is asked for only for arguments that can be there: a header alone reserves nothing. */
    size_t arguments_here = (size_t)(end - at) / ARGUMENT_SIZE_MIN + 1;
    if (UNLIKELY(request->argc > capacity && arguments_here > capacity)) {
        request->argc = (uint32_t)(arguments_here < request->argc ? arguments_here : request->argc);
        return REQUEST_NO_ROOM;
    }
    uint32_t argc = request->argc;
    for (uint32_t i = 0; i < argc; i++) {
        size_t rest_min = (size_t)(argc - i) * ARGUMENT_SIZE_MIN;
        if (UNLIKELY(at >= end))
            return incomplete(request, size + rest_min);
        if (UNLIKELY(*at != '$')) {
            snprintf(request->error, sizeof request->error, "ERR Protocol error: expected '$', got '%c'",
                     *at == '\r' || *at == '\n' || *at == '\0' ? ' ' : *at);
            return REQUEST_BROKEN;
        }
        at++;
        int64_t bulk;
        status = read_number(&at, end, &bulk);
        if (UNLIKELY(status != NUMBER_READ))
            return status == NUMBER_INCOMPLETE ? incomplete(request, size + rest_min - 5)
                                               : bad_count(request, status, true);
        if (UNLIKELY(bulk < 0 || bulk > limits->bulk_max))
            return broken(request, limits->unauthenticated && bulk > 0 && bulk <= VALUE_SIZE_MAX
                                       ? "unauthenticated bulk length"
                                       : "invalid bulk length");
        size_t left = (size_t)(end - at);
        if (UNLIKELY(left < (size_t)bulk + 2))
            return incomplete(request, size + ((size_t)bulk + 2 - left) + rest_min - ARGUMENT_SIZE_MIN);
        if (UNLIKELY(i >= capacity)) {
            request->argc = argc;
            return REQUEST_NO_ROOM;
        }
        arguments[i] = (struct argument){.data = at, .size = (uint32_t)bulk, .slot = ARGUMENT_NOT_PLACED};
        at += bulk;
        if (UNLIKELY(at[0] != '\r' || at[1] != '\n'))
            return broken(request, "expected CRLF after an argument");
        at += 2;
    }
    request->consumed = (size_t)(at - data);
    return REQUEST_COMPLETE;
}
