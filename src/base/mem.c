/* mem.c - the counted memory handle over jemalloc, or over the C library where a sanitizer watches.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#ifdef REDIS_KV_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

/* What to ask the allocator for: a block serves every size of its class. jemalloc rounds up to the class itself. */
static inline size_t mem_block_size(size_t size) {
#ifdef REDIS_KV_JEMALLOC
    return size;
#else
    return mem_class(size);
#endif
}

static inline bool mem_fuse_blows(struct mem *mem) {
    if (LIKELY(mem->fuse == 0))
        return false;
    if (--mem->fuse != 0)
        return false;
    if (mem->fuse_stays_blown)
        mem->fuse = 1;
    return true;
}

static inline void mem_count(struct mem *mem, size_t size) {
    mem->used_bytes += mem_class(size);
    mem->allocations++;
}

void *mem_alloc(struct mem *mem, size_t size) {
    if (UNLIKELY(mem_fuse_blows(mem)))
        return NULL;
    void *pointer = malloc(mem_block_size(size));
    if (LIKELY(pointer != NULL))
        mem_count(mem, size);
    return pointer;
}

void *mem_alloc_zeroed(struct mem *mem, size_t size) {
    if (UNLIKELY(mem_fuse_blows(mem)))
        return NULL;
    void *pointer = calloc(1, mem_block_size(size));
    if (LIKELY(pointer != NULL))
        mem_count(mem, size);
    return pointer;
}

void *mem_resize(struct mem *mem, void *pointer, size_t old_size, size_t new_size) {
    if (pointer == NULL)
        return mem_alloc(mem, new_size);
    if (mem_class(old_size) == mem_class(new_size) && mem_class(new_size) == new_size)
        return pointer;
    if (UNLIKELY(mem_fuse_blows(mem)))
        return NULL;
    void *moved = realloc(pointer, mem_block_size(new_size));
    if (moved != NULL)
        mem->used_bytes += mem_class(new_size) - mem_class(old_size);
    return moved;
}

void mem_free(struct mem *mem, void *pointer, size_t size) {
    if (pointer == NULL)
        return;
    mem->used_bytes -= mem_class(size);
    mem->allocations--;
#ifdef REDIS_KV_JEMALLOC
    sdallocx(pointer, size, 0);
#else
    free(pointer);
#endif
}
