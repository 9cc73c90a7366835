/* request.c - the request parser. The frequent shapes (one-digit counts, short lengths) are read without a loop.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "proto/request.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/load.h"
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

static enum number_status read_number(const uint8_t **at, const uint8_t *end, int64_t *value) {
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

/* A header line that is frequent: its type, one or two digits without a leading zero, CRLF. Returns its size, 4 or 5, or 0 if
 * the line is another. Reads HEADER_READ bytes. */
#define HEADER_READ 5

static inline size_t read_short_header(const uint8_t *at, char type, uint32_t *value) {
    uint32_t four = load_u32(at), digit = (four >> 8 & 0xff) - '0';
    if ((four & 0xffff00ff) == ((uint32_t)'\r' << 16 | (uint32_t)'\n' << 24 | (uint8_t)type)) {
        *value = digit;
        return digit <= 9 ? 4 : 0;
    }
    uint32_t second = (four >> 16 & 0xff) - '0';
    *value = digit * 10 + second;
    if ((uint8_t)four == (uint8_t)type && digit - 1 <= 8 && second <= 9 && four >> 24 == '\r' &&
        at[4] == '\n')
        return 5;
    return 0;
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

/* Reads the header of a request: how many arguments follow. */
static inline enum request_status read_count(const uint8_t **at, const uint8_t *end,
                                             const struct request_limits *limits, uint32_t *argc,
                                             struct request *request) {
    size_t header = 0;
    if (LIKELY(end - *at >= HEADER_READ))
        header = read_short_header(*at, '*', argc);
    if (LIKELY(header != 0 && *argc <= limits->arguments_max)) {
        *at += header;
        return REQUEST_COMPLETE;
    }
    size_t size = (size_t)(end - *at);
    ++*at;
    int64_t count;
    enum number_status status = read_number(at, end, &count);
    if (status != NUMBER_READ)
        return status == NUMBER_INCOMPLETE ? incomplete(request, size + 1)
                                           : bad_count(request, status, false);
    if (count > limits->arguments_max)
        return broken(request, limits->unauthenticated && count <= INT32_MAX
                                   ? "unauthenticated multibulk length"
                                   : "invalid multibulk length");
    *argc = count > 0 ? (uint32_t)count : 0;
    return REQUEST_COMPLETE;
}

/* Reads the header of an argument, any that there may be. `rest`: how many arguments are still to come, this one
 * included. Not inlined: the frequent shape is read by read_short_header(). */
static __attribute__((noinline)) enum request_status read_bulk_header(const uint8_t **at, const uint8_t *data,
                                                                      const uint8_t *end, uint32_t rest,
                                                                      const struct request_limits *limits,
                                                                      uint32_t *bulk,
                                                                      struct request *request) {
    size_t size = (size_t)(end - data), rest_min = (size_t)rest * ARGUMENT_SIZE_MIN;
    if (*at >= end)
        return incomplete(request, size + rest_min);
    if (**at != '$') {
        snprintf(request->error, sizeof request->error, "ERR Protocol error: expected '$', got '%c'",
                 **at == '\r' || **at == '\n' || **at == '\0' ? ' ' : **at);
        return REQUEST_BROKEN;
    }
    ++*at;
    int64_t value;
    enum number_status status = read_number(at, end, &value);
    if (status != NUMBER_READ)
        return status == NUMBER_INCOMPLETE ? incomplete(request, size + rest_min - 5)
                                           : bad_count(request, status, true);
    if (value < 0 || value > limits->bulk_max)
        return broken(request, limits->unauthenticated && value > 0 && value <= VALUE_SIZE_MAX
                                   ? "unauthenticated bulk length"
                                   : "invalid bulk length");
    *bulk = (uint32_t)value;
    return REQUEST_COMPLETE;
}

enum request_status request_parse(uint8_t *data, size_t size, const struct request_limits *limits,
                                  struct argument *arguments, size_t capacity, struct request *request) {
    if (UNLIKELY(size == 0))
        return incomplete(request, 1);
    if (UNLIKELY(data[0] != '*'))
        return parse_inline(data, size, arguments, capacity, request);
    const uint8_t *at = data, *end = data + size;
    uint32_t argc = 0;
    enum request_status status = read_count(&at, end, limits, &argc, request);
    if (UNLIKELY(status != REQUEST_COMPLETE))
        return status;
    request->argc = argc;
    /* Room is asked for only for arguments that can be there: a header alone reserves nothing. */
    if (UNLIKELY(argc > capacity)) {
        size_t arguments_here = (size_t)(end - at) / ARGUMENT_SIZE_MIN + 1;
        if (arguments_here > capacity) {
            request->argc = (uint32_t)(arguments_here < argc ? arguments_here : argc);
            return REQUEST_NO_ROOM;
        }
    }
    for (uint32_t i = 0; i < argc; i++) {
        uint32_t bulk;
        size_t header = 0;
        if (LIKELY(end - at >= HEADER_READ))
            header = read_short_header(at, '$', &bulk);
        if (LIKELY(header != 0 && bulk <= limits->bulk_max)) {
            at += header;
        } else {
            status = read_bulk_header(&at, data, end, argc - i, limits, &bulk, request);
            if (UNLIKELY(status != REQUEST_COMPLETE))
                return status;
        }
        size_t left = (size_t)(end - at);
        if (UNLIKELY(left < (size_t)bulk + 2))
            return incomplete(request,
                              size + ((size_t)bulk + 2 - left) + (argc - i - 1) * (size_t)ARGUMENT_SIZE_MIN);
        if (UNLIKELY(i >= capacity)) {
            request->argc = argc;
            return REQUEST_NO_ROOM;
        }
        arguments[i] = (struct argument){.data = at, .size = bulk, .slot = ARGUMENT_NOT_PLACED};
        at += bulk;
        if (UNLIKELY(at[0] != '\r' || at[1] != '\n'))
            return broken(request, "expected CRLF after an argument");
        at += 2;
    }
    request->consumed = (size_t)(at - data);
    return REQUEST_COMPLETE;
}
