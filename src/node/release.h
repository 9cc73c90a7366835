/* release.h - what this server calls itself, and the level of Redis that clients may take it for.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_RELEASE_H
#define NODE_RELEASE_H

/* Our own version: INFO's redis_kv_version, --version, LOLWUT. */
#define REDIS_KV_VERSION "0.1.0"

/* What HELLO and INFO call redis_version: clients choose by it what they send. */
#define REDIS_LEVEL_VERSION "7.2.4"

/* HELLO's mode and INFO's redis_mode: on the port, and on the cluster-port. */
#define RELEASE_MODE         "standalone"
#define RELEASE_CLUSTER_MODE "cluster"

/* Where memory comes from, as INFO and --version say it. */
#ifdef REDIS_KV_JEMALLOC
#include <jemalloc/jemalloc.h>
#define RELEASE_TEXT_(number) #number
#define RELEASE_TEXT(number)  RELEASE_TEXT_(number)
#define RELEASE_ALLOCATOR                                              \
    "jemalloc-" RELEASE_TEXT(JEMALLOC_VERSION_MAJOR) "." RELEASE_TEXT( \
        JEMALLOC_VERSION_MINOR) "." RELEASE_TEXT(JEMALLOC_VERSION_BUGFIX)
#else
#define RELEASE_ALLOCATOR "libc"
#endif

#endif
