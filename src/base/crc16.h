/*
 * crc16.h - the CRC16 that Redis Cluster clients compute, and the slot of a key.
 *
 * May touch: the caller's bytes. Must never know nodes or who owns a slot.
 * The check is CRC-16/XMODEM: polynomial 0x1021, start value 0, not reflected; "123456789" gives 0x31c3.
 * Tests: tests/unit/base/crc16_test.c
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_CRC16_H
#define BASE_CRC16_H

#include <stddef.h>
#include <stdint.h>

#define CRC16_SLOTS 16384

uint16_t crc16(const void *data, size_t size);

/*
 * The slot of a key, 0 to CRC16_SLOTS - 1: the CRC16 of its hash tag modulo CRC16_SLOTS. The tag is what
 * stands between the first '{' and the first '}' behind it, or the whole key if there is no such pair or
 * nothing is between.
 */
uint16_t crc16_key_slot(const void *key, size_t size);

#endif
