/* prefetch.h - asks the processor for memory that is needed soon.
 *
 * Not __builtin_prefetch: the compiler (gcc 12) takes a function that only prefetches for one without effect and drops
 * the calls to it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_PREFETCH_H
#define BASE_PREFETCH_H

#define CACHE_LINE_SIZE 64

static inline void prefetch(const void *address) {
#if defined(__x86_64__)
    __asm__ volatile("prefetcht0 %0" : : "m"(*(const char *)address));
#elif defined(__aarch64__)
    __asm__ volatile("prfm pldl1keep, %0" : : "Q"(*(const char *)address));
#else
    __builtin_prefetch(address);
#endif
}

#endif
