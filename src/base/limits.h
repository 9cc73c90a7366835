/* limits.h - every fixed limit of the server, each with its reason. Settings that a user may change
 * have their ranges in node/config; what is here holds always.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

/* The ring has 16384 slots: what Redis Cluster clients compute, CRC16 mod 16384. */
#define SLOT_COUNT 16384

/* SELECT 0..15, as a redis.conf without a `databases` line. */
#define DATABASE_COUNT 16

/* Keys and values: 512 MiB, the limit that clients know from Redis. Also keeps sizes within 32 bits. */
#define VALUE_SIZE_MAX (512u * 1024 * 1024)

/* A request: more arguments than any sane client sends; a length header reserves nothing. */
#define REQUEST_ARGUMENTS_MAX (1024 * 1024)
#define REQUEST_INLINE_MAX    (64 * 1024)

/* A pattern of KEYS, SCAN, CONFIG GET, COMMAND LIST: tried on every name, it takes up to as many steps as the product of the
 * two sizes. Far more than anybody writes, and little enough for any name. */
#define PATTERN_SIZE_MAX (16 * 1024)

/* Before AUTH (where a password is set): enough for HELLO 3 AUTH user password SETNAME name. */
#define UNAUTHENTICATED_ARGUMENTS_MAX 10
#define UNAUTHENTICATED_BULK_MAX      16384
#define UNAUTHENTICATED_OUTPUT_MAX    16384

/* One read: large enough that a deep pipeline costs one system call, small enough to stay in L2. */
#define INPUT_CHUNK_SIZE (128 * 1024)

/* Commands looked at together so that their memory accesses overlap. More than about 32 misses in
 * flight gain nothing on current processors; the batch also bounds the arrays in the node. */
#define BATCH_COMMANDS 64
#define BATCH_KEYS     128

/* Work units (a record touched, freed or moved) of one step of a background job. A unit costs up to
 * about 100 ns with cold caches, so a step stays far below the 1 ms that any background step may take. */
#define JOB_STEP_UNITS 1024

#endif
