/* trace.h - what happened in a run: one number that two equal runs share, and the last events as lines for people.
 *
 * May touch: base. Must never know: what the events mean.
 * Invariants: the hash depends on everything that was noted, in its order, and on nothing else.
 * Tests: the simulator runs some seeds twice and compares.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include "base/mem.h"

#include <stdarg.h>

#define TRACE_LINES     512
#define TRACE_LINE_SIZE 240

struct trace_line {
    uint64_t time_ns;
    char text[TRACE_LINE_SIZE];
};

struct trace {
    uint64_t hash;
    uint64_t count;  /* lines noted */
    bool prints_all; /* every line goes to standard output as it comes */
    struct trace_line *lines;
};

void trace_init(struct trace *trace, struct mem *mem);
void trace_release(struct trace *trace, struct mem *mem);

/* Takes bytes, or a number, into the hash. */
void trace_bytes(struct trace *trace, const void *data, size_t size);
void trace_number(struct trace *trace, uint64_t number);

/* Notes a line and takes it into the hash. */
void trace_note(struct trace *trace, uint64_t time_ns, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void trace_note_list(struct trace *trace, uint64_t time_ns, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* Prints the last lines. */
void trace_print(const struct trace *trace, unsigned lines);

/* A readable form of bytes that may be anything, cut at the size of `text`. Returns text. */
const char *trace_readable(char *text, size_t text_size, const void *data, size_t size);

#endif
