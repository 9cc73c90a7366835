/* bitmap.h - what the commands on bits share: how an offset is written.
 *
 * Tests: tests/unit/cmd/bitmap_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CMD_BITMAP_H
#define CMD_BITMAP_H

#include "cmd/call.h"

/* Reads argv[index] as the number of a bit in a string of at most VALUE_SIZE_MAX bytes. field_width: 0, or the width
 * of a field: then "#n" means n times that width. false: the error is replied. */
bool bitmap_offset(struct call *call, uint32_t index, unsigned field_width, uint64_t *offset);

#endif
