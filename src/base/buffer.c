/* buffer.c - growth of the byte buffer: by doubling up to 1 MiB, then in quarters.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>

#define BUFFER_FIRST_SIZE   256
#define BUFFER_DOUBLING_MAX (1024 * 1024)

bool buffer_grow(struct buffer *buffer, size_t more) {
    size_t wanted;
    if (__builtin_add_overflow(buffer->size, more, &wanted) || wanted > SIZE_MAX / 4) {
        buffer->failed = true;
        return false;
    }
    size_t step = buffer->capacity < BUFFER_DOUBLING_MAX ? buffer->capacity : buffer->capacity / 4;
    size_t capacity = buffer->capacity + step;
    if (capacity < wanted)
        capacity = wanted;
    if (capacity < BUFFER_FIRST_SIZE)
        capacity = BUFFER_FIRST_SIZE;
    capacity = mem_class(capacity);
    uint8_t *data = mem_resize(buffer->mem, buffer->data, buffer->capacity, capacity);
    if (data == NULL) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

bool buffer_append_format(struct buffer *buffer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int needed = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    CHECK(needed >= 0);
    if (!buffer_reserve(buffer, (size_t)needed + 1))
        return false;
    va_start(arguments, format);
    vsnprintf((char *)buffer->data + buffer->size, (size_t)needed + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)needed;
    return true;
}

void buffer_consume(struct buffer *buffer, size_t size) {
    CHECK(size <= buffer->size);
    buffer->size -= size;
    if (buffer->size != 0)
        memmove(buffer->data, buffer->data + size, buffer->size);
}
