/* allocator.c - jemalloc's settings and figures, through mallctl().
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/allocator.h"

#include <errno.h>
#include <string.h>

#ifdef REDIS_KV_JEMALLOC
#include <jemalloc/jemalloc.h>
#include <stdio.h>

/* jemalloc reads this when the process starts; the environment's MALLOC_CONF comes after it. That is its interface, and the only
 * variable here that others see.
 * - dirty_decay_ms, muzzy_decay_ms: how long freed pages wait for reuse. Tables grow step by step and free the old one each
 *   time; with jemalloc's ten seconds these pages are 1 to 2 bytes per key while a server is filled.
 * - oversize_threshold: by default 8 MiB and more come from an arena of their own, and go back at once when they are freed,
 *   which takes milliseconds: the background thread is to do that. See also allocator_set_up().
 * - slab_sizes: a slab costs 128 bytes besides its pages. Of these sizes one page holds so few pieces that it would be 2 to
 *   16 bytes for each: their slabs get more pages (size-size:pages), until it is 1 or 2. */
const char *malloc_conf = "dirty_decay_ms:1000,muzzy_decay_ms:0,oversize_threshold:0,"
                          "slab_sizes:64-64:4|96-96:6|112-112:7|128-128:8|192-192:6|224-224:7|256-256:8|"
                          "384-384:6|512-512:8";

/* One server thread allocates: one helper is plenty. */
#define BACKGROUND_THREADS ((size_t)1)

static uint64_t figure(const char *name) {
    size_t value = 0, size = sizeof value;
    return mallctl(name, &value, &size, NULL, 0) == 0 ? value : 0;
}

/* The first arena is made before jemalloc has read its settings. It would still hand back at once whatever 8 MiB in a row
 * are free; no row is as long as this. An allocator without the setting goes on: that costs time, not correctness. */
void allocator_set_up(void) {
    unsigned arena = 0;
    size_t size = sizeof arena, row_bytes = SIZE_MAX;
    char name[64];
    if (mallctl("thread.arena", &arena, &size, NULL, 0) != 0)
        return;
    snprintf(name, sizeof name, "arena.%u.oversize_threshold", arena);
    (void)mallctl(name, NULL, NULL, &row_bytes, sizeof row_bytes);
}

bool allocator_set_background(bool is_on) {
    size_t threads = BACKGROUND_THREADS;
    int error = is_on ? mallctl("max_background_threads", NULL, NULL, &threads, sizeof threads) : 0;
    if (error == 0)
        error = mallctl("background_thread", NULL, NULL, &is_on, sizeof is_on);
    errno = error;
    return error == 0;
}

void allocator_figures(struct allocator_figures *figures) {
    /* The figures are those of the last epoch: begin a new one. */
    uint64_t epoch = 1;
    size_t size = sizeof epoch;
    mallctl("epoch", &epoch, &size, &epoch, size);
    figures->allocated_bytes = figure("stats.allocated");
    figures->active_bytes = figure("stats.active");
    figures->resident_bytes = figure("stats.resident");
}

void allocator_purge(void) {
    char name[32];
    snprintf(name, sizeof name, "arena.%d.purge", MALLCTL_ARENAS_ALL);
    mallctl(name, NULL, NULL, NULL, 0);
}

#else

void allocator_set_up(void) {
}

bool allocator_set_background(bool is_on) {
    (void)is_on;
    return true;
}

void allocator_figures(struct allocator_figures *figures) {
    memset(figures, 0, sizeof *figures);
}

void allocator_purge(void) {
}

#endif
