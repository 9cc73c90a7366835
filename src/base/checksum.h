/*
 * checksum.h - checksums that find damage in files and dumps. They prove nothing against someone who wants to
 * deceive.
 *
 * May touch: the caller's bytes. Must never know files or formats.
 * Tests: tests/unit/base/checksum_test.c
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* For our own files: XXH3, 64 bits, no seed (https://xxhash.com). */
uint64_t checksum_bytes(const void *data, size_t size);

/*
 * For the formats of Redis (RDB files, DUMP): CRC-64 with D. Jones's polynomial 0xad93d23594c935a9,
 * reflected, start value 0. Goes on from the check of the bytes before; begin with 0. "123456789" gives
 * 0xe9c6d914c4b8d9ca.
 */
uint64_t checksum_crc64(uint64_t check, const void *data, size_t size);

#endif
