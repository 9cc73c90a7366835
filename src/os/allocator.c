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

/* How long freed pages wait for reuse. Tables grow step by step and free the old one each time; with jemalloc's ten
 * seconds these pages are 1 to 2 bytes per key while a server is filled. */
#define DIRTY_PAGES_KEPT_MS 1000
/* One server thread allocates: one helper is plenty. */
#define BACKGROUND_THREADS ((size_t)1)

static uint64_t figure(const char *name) {
    size_t value = 0, size = sizeof value;
    return mallctl(name, &value, &size, NULL, 0) == 0 ? value : 0;
}

void allocator_set_up(void) {
    ssize_t dirty_ms = DIRTY_PAGES_KEPT_MS, muzzy_ms = 0;
    /* The arena that this thread has, and those that may come. An allocator that does not know a setting goes on
     * without it: it costs memory, not correctness. */
    unsigned arena = 0;
    size_t size = sizeof arena;
    char name[64];
    (void)mallctl("arenas.dirty_decay_ms", NULL, NULL, &dirty_ms, sizeof dirty_ms);
    (void)mallctl("arenas.muzzy_decay_ms", NULL, NULL, &muzzy_ms, sizeof muzzy_ms);
    if (mallctl("thread.arena", &arena, &size, NULL, 0) != 0)
        return;
    snprintf(name, sizeof name, "arena.%u.dirty_decay_ms", arena);
    (void)mallctl(name, NULL, NULL, &dirty_ms, sizeof dirty_ms);
    snprintf(name, sizeof name, "arena.%u.muzzy_decay_ms", arena);
    (void)mallctl(name, NULL, NULL, &muzzy_ms, sizeof muzzy_ms);
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
