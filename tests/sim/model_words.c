/* model_words.c - words of requests, and the answers that the model would give.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/model_inside.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

bool word_is(const struct argument *argument, const char *word) {
    size_t i = 0;
    for (; i < argument->size && word[i] != '\0'; i++)
        if (tolower(argument->data[i]) != word[i])
            return false;
    return i == argument->size && word[i] == '\0';
}

bool text_integer(const uint8_t *text, size_t size, int64_t *value) {
    if (size == 0 || size > 20)
        return false;
    size_t at = text[0] == '-';
    if (at == size || (text[at] == '0' && size != 1))
        return false;
    __int128 number = 0;
    for (; at < size; at++) {
        if (text[at] < '0' || text[at] > '9')
            return false;
        number = number * 10 + (text[at] - '0');
    }
    if (text[0] == '-')
        number = -number;
    if (number < INT64_MIN || number > INT64_MAX)
        return false;
    *value = (int64_t)number;
    return true;
}

bool word_integer(const struct argument *argument, int64_t *value) {
    return text_integer(argument->data, argument->size, value);
}

bool bytes_equal(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size) {
    return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

bool reply_begins(const struct model_call *call, const char *words) {
    size_t size = strlen(words);
    return call->answer != NULL && call->answer_size >= size && memcmp(call->answer, words, size) == 0;
}

/* ---- Answers ---- */

static void append(struct model_call *call, const void *data, size_t size) {
    CHECK(buffer_append(call->out, data, size));
}

void answer_text(struct model_call *call, const char *line) {
    append(call, line, strlen(line));
    append(call, "\r\n", 2);
}

void answer_error(struct model_call *call, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    CHECK(size >= 0 && size < (int)sizeof text);
    /* Ends of lines are no part of an error: at the end they go, elsewhere they are spaces. */
    while (size > 0 && (text[size - 1] == '\r' || text[size - 1] == '\n'))
        text[--size] = '\0';
    for (int i = 0; i < size; i++)
        if (text[i] == '\r' || text[i] == '\n')
            text[i] = ' ';
    append(call, "-", 1);
    answer_text(call, text);
}

static void header(struct model_call *call, char type, long long number) {
    char line[32];
    snprintf(line, sizeof line, "%c%lld", type, number);
    answer_text(call, line);
}

void answer_integer(struct model_call *call, int64_t value) {
    header(call, ':', value);
}

void answer_bulk(struct model_call *call, const void *data, size_t size) {
    header(call, '$', (long long)size);
    append(call, data, size);
    append(call, "\r\n", 2);
}

void answer_bulk_text(struct model_call *call, const char *text) {
    answer_bulk(call, text, strlen(text));
}

void answer_null(struct model_call *call) {
    answer_text(call, call->session->protocol == 3 ? "_" : "$-1");
}

void answer_array(struct model_call *call, size_t count) {
    header(call, '*', (long long)count);
}

void answer_map(struct model_call *call, size_t pairs) {
    if (call->session->protocol == 3)
        header(call, '%', (long long)pairs);
    else
        header(call, '*', (long long)pairs * 2);
}

void judge(struct model_call *call, bool is_right, const char *words) {
    call->is_judged = true;
    call->verdict = is_right ? MODEL_RIGHT : MODEL_WRONG;
    if (!is_right)
        append(call, words, strlen(words));
}
