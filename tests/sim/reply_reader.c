/* reply_reader.c - a machine with one state for each place inside a reply.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/reply_reader.h"

#include <stdio.h>
#include <string.h>

enum state {
    STATE_TYPE,
    STATE_TEXT,     /* a line of any bytes but CR and LF */
    STATE_NUMBER,   /* a line that is an integer */
    STATE_LINE_END, /* LF after a line's CR */
    STATE_PAYLOAD,
    STATE_PAYLOAD_CR,
    STATE_PAYLOAD_LF,
};

#define PAYLOAD_MAX (UINT64_C(1) << 32)

void reply_reader_init(struct reply_reader *reader, unsigned protocol) {
    *reader = (struct reply_reader){.protocol = protocol, .state = STATE_TYPE};
}

/* One element is complete: how many more does its parent want? True: the whole reply is. */
static bool element_done(struct reply_reader *reader) {
    reader->state = STATE_TYPE;
    while (reader->depth > 0) {
        if (--reader->left[reader->depth - 1] != 0)
            return false;
        reader->depth--;
    }
    return true;
}

static void begin(struct reply_reader *reader, uint8_t type) {
    reader->type = type;
    reader->line_bytes = 0;
    reader->is_negative = false;
    reader->number = 0;
    if (memchr("+-", type, 2) != NULL)
        reader->state = STATE_TEXT;
    else if (memchr(":$*", type, 3) != NULL)
        reader->state = STATE_NUMBER;
    else if (reader->protocol != 2 && memchr("_#,(", type, 4) != NULL)
        reader->state = STATE_TEXT;
    else if (reader->protocol != 2 && memchr("!=%~>", type, 5) != NULL)
        reader->state = STATE_NUMBER;
    else
        reader->is_broken = true;
}

static void take_text(struct reply_reader *reader, uint8_t byte) {
    if (byte == '\r') {
        reader->state = STATE_LINE_END;
        reader->is_broken = (reader->type == '_' && reader->line_bytes != 0) ||
                            (reader->type == '#' && reader->line_bytes != 1) ||
                            (memchr(",(-", reader->type, 3) != NULL && reader->line_bytes == 0);
        return;
    }
    if (byte == '\n' || reader->type == '_' || (reader->type == '#' && byte != 't' && byte != 'f') ||
        (reader->type == '(' && (byte < '0' || byte > '9') && !(byte == '-' && reader->line_bytes == 0)))
        reader->is_broken = true;
    if (reader->line_bytes < 255)
        reader->line_bytes++;
}

static void take_digit(struct reply_reader *reader, uint8_t byte) {
    if (byte == '\r') {
        reader->is_broken = reader->line_bytes == 0;
        reader->state = STATE_LINE_END;
    } else if (byte == '-' && reader->line_bytes == 0 && !reader->is_negative) {
        reader->is_negative = true;
    } else if (byte < '0' || byte > '9' || reader->line_bytes == 19) {
        reader->is_broken = true;
    } else {
        reader->number = reader->number * 10 + (uint64_t)(byte - '0');
        reader->line_bytes++;
    }
}

/* A header of an array, map, set or push is read. */
static bool enter(struct reply_reader *reader) {
    uint64_t elements = reader->type == '%' ? reader->number * 2 : reader->number;
    if (elements == 0)
        return element_done(reader);
    if (reader->depth == READER_DEPTH_MAX) {
        reader->is_broken = true;
        return false;
    }
    reader->left[reader->depth++] = elements;
    reader->state = STATE_TYPE;
    return false;
}

/* The LF of a line. True: the whole reply is complete. */
static bool end_line(struct reply_reader *reader, uint8_t byte) {
    if (byte != '\n') {
        reader->is_broken = true;
        return false;
    }
    switch (reader->type) {
    case '$':
    case '!':
    case '=':
        if (reader->is_negative) {
            reader->is_broken = reader->number != 1 || reader->type != '$' || reader->protocol == 3;
            return !reader->is_broken && element_done(reader);
        }
        reader->is_broken = reader->number > PAYLOAD_MAX;
        reader->payload_left = reader->number;
        reader->state = reader->payload_left == 0 ? STATE_PAYLOAD_CR : STATE_PAYLOAD;
        return false;
    case '*':
    case '%':
    case '~':
    case '>':
        if (reader->is_negative) {
            reader->is_broken = reader->number != 1 || reader->type != '*' || reader->protocol == 3;
            return !reader->is_broken && element_done(reader);
        }
        return enter(reader);
    default: return element_done(reader);
    }
}

/* One byte outside of a payload. True: the reply is complete. */
static bool take_byte(struct reply_reader *reader, uint8_t byte) {
    switch (reader->state) {
    case STATE_TYPE: begin(reader, byte); return false;
    case STATE_TEXT: take_text(reader, byte); return false;
    case STATE_NUMBER: take_digit(reader, byte); return false;
    case STATE_LINE_END: return end_line(reader, byte);
    case STATE_PAYLOAD_CR:
        reader->is_broken = byte != '\r';
        reader->state = STATE_PAYLOAD_LF;
        return false;
    default: reader->is_broken = byte != '\n'; return !reader->is_broken && element_done(reader);
    }
}

size_t reply_reader_take(struct reply_reader *reader, const uint8_t *data, size_t size, bool *is_complete) {
    size_t taken = 0;
    *is_complete = false;
    while (taken < size && !*is_complete && !reader->is_broken) {
        if (reader->state == STATE_PAYLOAD) {
            size_t more = size - taken < reader->payload_left ? size - taken : (size_t)reader->payload_left;
            taken += more;
            reader->payload_left -= more;
            if (reader->payload_left == 0)
                reader->state = STATE_PAYLOAD_CR;
        } else {
            *is_complete = take_byte(reader, data[taken++]);
        }
    }
    return taken;
}

size_t reply_measure(const uint8_t *data, size_t size, unsigned protocol) {
    struct reply_reader reader;
    bool is_complete;
    reply_reader_init(&reader, protocol);
    size_t taken = reply_reader_take(&reader, data, size, &is_complete);
    return is_complete && !reader.is_broken ? taken : 0;
}

/* ---- Complete replies ---- */

bool reply_is_error(const uint8_t *reply, size_t size, const char *words) {
    size_t length = strlen(words);
    return size > length && reply[0] == '-' && memcmp(reply + 1, words, length) == 0;
}

bool reply_is_text(const uint8_t *reply, size_t size, const char *text) {
    return size == strlen(text) && memcmp(reply, text, size) == 0;
}

/* The number of a header line, and where the line ends. The reply is well-formed. */
static int64_t header_number(const uint8_t *reply, size_t size, size_t *end) {
    uint64_t number = 0;
    size_t at = 1;
    bool is_negative = reply[at] == '-';
    for (at += is_negative; at < size && reply[at] != '\r'; at++)
        number = number * 10 + (uint64_t)(reply[at] - '0');
    *end = at + 2;
    return (int64_t)(is_negative ? 0 - number : number);
}

bool reply_integer_value(const uint8_t *reply, size_t size, int64_t *value) {
    size_t end;
    if (size < 4 || reply[0] != ':')
        return false;
    *value = header_number(reply, size, &end);
    return true;
}

bool reply_bulk_value(const uint8_t *reply, size_t size, const uint8_t **data, size_t *data_size) {
    size_t end;
    if (size < 6 || reply[0] != '$')
        return false;
    int64_t length = header_number(reply, size, &end);
    if (length < 0)
        return false;
    *data = reply + end;
    *data_size = (size_t)length;
    return true;
}

bool reply_is_nil(const uint8_t *reply, size_t size) {
    return reply_is_text(reply, size, "$-1\r\n") || reply_is_text(reply, size, "*-1\r\n") ||
           reply_is_text(reply, size, "_\r\n");
}

bool reply_elements(const uint8_t *reply, size_t size, uint64_t *count, size_t *first) {
    if (size < 4 || memchr("*~>%", reply[0], 4) == NULL)
        return false;
    int64_t number = header_number(reply, size, first);
    if (number < 0)
        return false;
    *count = (uint64_t)number * (reply[0] == '%' ? 2 : 1);
    return true;
}
