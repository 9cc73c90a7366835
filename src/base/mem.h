/* mem.h - counted memory: every byte a node holds goes through one handle that can be told to fail.
 *
 * The handle counts bytes by the allocator's size classes (what is really taken, not what was asked
 * for) and so serves `maxmemory`, INFO and the leak check of the simulator. Frees are sized: the owner
 * knows how much it asked for, which spares the allocator a look-up.
 * May touch: the C allocator (jemalloc in the server). Must never know: what the memory is for.
 * Invariant: used_bytes is 0 again when all that was allocated through the handle is freed.
 * Tests: tests/unit/base/mem_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mem {
    size_t used_bytes;     /* held now, in size classes */
    size_t peak_bytes;     /* highest used_bytes seen by mem_note_peak() */
    uint64_t allocations;  /* live allocations */
    uint64_t fuse;         /* counts down at each allocation; the one that reaches 0 fails. 0 = never */
    bool fuse_stays_blown; /* after the failing one, all later ones fail too */
};

/* The size class that holds `size` bytes: allocations of equal class are interchangeable.
 * Classes: 8, multiples of 16 to 128, then four steps per doubling (jemalloc's). */
static inline size_t mem_class(size_t size) {
    if (size <= 128)
        return size <= 8 ? 8 : (size + 15) & ~(size_t)15;
    unsigned shift = 63u - (unsigned)__builtin_clzll(size - 1) - 2;
    size_t mask = ((size_t)1 << shift) - 1;
    return (size + mask) & ~mask;
}

/* Returns `size` bytes (undefined content), or NULL. size > 0. Released with mem_free() of equal class. */
void *mem_alloc(struct mem *mem, size_t size) __attribute__((malloc, warn_unused_result));

/* As mem_alloc(), filled with zero bytes. */
void *mem_alloc_zeroed(struct mem *mem, size_t size) __attribute__((malloc, warn_unused_result));

/* Changes the size of a block, content kept up to the smaller size; NULL leaves the block as it was.
 * pointer may be NULL (then old_size must be 0). */
void *mem_resize(struct mem *mem, void *pointer, size_t old_size, size_t new_size)
    __attribute__((warn_unused_result));

/* Gives a block back; `size` is what it was allocated (or last resized) with. NULL is allowed. */
void mem_free(struct mem *mem, void *pointer, size_t size);

/* Counts memory that a library takes from the allocator by itself: `counted` bytes of it are counted so far, it is `now`
 * bytes now. Returns `now`. */
static inline size_t mem_recount(struct mem *mem, size_t counted, size_t now) {
    mem->used_bytes += now - counted;
    return now;
}

/* Keeps the high-water mark; called once per turn, as it is not worth a compare per allocation. */
static inline void mem_note_peak(struct mem *mem) {
    if (mem->used_bytes > mem->peak_bytes)
        mem->peak_bytes = mem->used_bytes;
}

#endif
