/* buffer.h - a growing run of bytes from a counted memory handle; appends never fail half-way.
 *
 * May touch: base/mem. Must never know: what the bytes mean.
 * Invariants: size <= capacity; after a failed append `failed` is set and the content is what it was.
 * Tests: tests/unit/base/buffer_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include "base/mem.h"

#include <string.h>

struct buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
    struct mem *mem;
    bool failed; /* an append found no memory; stays set until buffer_clear() */
};

static inline void buffer_init(struct buffer *buffer, struct mem *mem) {
    *buffer = (struct buffer){.mem = mem};
}

static inline void buffer_release(struct buffer *buffer) {
    mem_free(buffer->mem, buffer->data, buffer->capacity);
    buffer_init(buffer, buffer->mem);
}

/* Forgets the content, keeps the memory. */
static inline void buffer_clear(struct buffer *buffer) {
    buffer->size = 0;
    buffer->failed = false;
}

/* The slow path of buffer_reserve(). */
bool buffer_grow(struct buffer *buffer, size_t more);

/* Makes room for `more` bytes after size; false: no memory (and `failed` is set). */
static inline bool buffer_reserve(struct buffer *buffer, size_t more) {
    return LIKELY(buffer->capacity - buffer->size >= more) ? true : buffer_grow(buffer, more);
}

static inline bool buffer_append(struct buffer *buffer, const void *data, size_t size) {
    if (UNLIKELY(!buffer_reserve(buffer, size)))
        return false;
    if (size != 0)
        memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return true;
}

static inline bool buffer_append_byte(struct buffer *buffer, uint8_t byte) {
    return buffer_append(buffer, &byte, 1);
}

static inline bool buffer_append_text(struct buffer *buffer, const char *text) {
    return buffer_append(buffer, text, strlen(text));
}

/* printf into the buffer. */
bool buffer_append_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Drops `size` bytes from the front. */
void buffer_consume(struct buffer *buffer, size_t size);

#endif
