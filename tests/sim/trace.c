/* trace.c - the hash, and a ring of the last lines.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/trace.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x9e3779b97f4a7c15)

void trace_init(struct trace *trace, struct mem *mem) {
    *trace = (struct trace){.hash = HASH_START};
    trace->lines = mem_alloc_zeroed(mem, TRACE_LINES * sizeof *trace->lines);
    CHECK(trace->lines != NULL);
}

void trace_release(struct trace *trace, struct mem *mem) {
    mem_free(mem, trace->lines, TRACE_LINES * sizeof *trace->lines);
}

void trace_number(struct trace *trace, uint64_t number) {
    uint64_t mixed = (trace->hash ^ number) * HASH_PRIME;
    trace->hash = mixed ^ (mixed >> 29);
}

void trace_bytes(struct trace *trace, const void *data, size_t size) {
    const uint8_t *at = data;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        trace_number(trace, word);
    }
    uint64_t rest = 0;
    for (size_t i = 0; i < size; i++)
        rest |= (uint64_t)at[i] << 8 * i;
    trace_number(trace, rest + ((uint64_t)size << 56));
}

static void print_line(const struct trace_line *line) {
    printf("%12.6f s  %s\n", (double)line->time_ns / 1e9, line->text);
}

void trace_note_list(struct trace *trace, uint64_t time_ns, const char *format, va_list arguments) {
    struct trace_line *line = &trace->lines[trace->count++ % TRACE_LINES];
    line->time_ns = time_ns;
    int size = vsnprintf(line->text, sizeof line->text, format, arguments);
    trace_number(trace, time_ns);
    trace_bytes(trace, line->text, size < TRACE_LINE_SIZE ? (size_t)size : TRACE_LINE_SIZE - 1);
    if (trace->prints_all)
        print_line(line);
}

void trace_note(struct trace *trace, uint64_t time_ns, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    trace_note_list(trace, time_ns, format, arguments);
    va_end(arguments);
}

void trace_print(const struct trace *trace, unsigned lines) {
    uint64_t begin = trace->count < TRACE_LINES ? 0 : trace->count - TRACE_LINES;
    if (trace->count - begin > lines)
        begin = trace->count - lines;
    for (uint64_t i = begin; i < trace->count; i++)
        print_line(&trace->lines[i % TRACE_LINES]);
}

const char *trace_readable(char *text, size_t text_size, const void *data, size_t size) {
    const uint8_t *bytes = data;
    size_t at = 0;
    for (size_t i = 0; i < size && at + 8 < text_size; i++) {
        uint8_t byte = bytes[i];
        if (byte == '\r')
            at += (size_t)snprintf(text + at, text_size - at, "\\r");
        else if (byte == '\n')
            at += (size_t)snprintf(text + at, text_size - at, "\\n");
        else if (isprint(byte))
            text[at++] = (char)byte;
        else
            at += (size_t)snprintf(text + at, text_size - at, "\\x%02x", byte);
        if (at + 8 >= text_size && i + 1 < size)
            at += (size_t)snprintf(text + at, text_size - at, "...");
    }
    text[at] = '\0';
    return text;
}
