/*
 * linear_table.h - the 256 values of a table f with f(a ^ b) == f(a) ^ f(b), written as the eight that
 * determine it.
 *
 * The tables of cyclic redundancy checks are such tables: f(index) is the exclusive or of f(bit) over the
 * bits of the index. LINEAR_TABLE(f(1), f(2), f(4), ... f(128)) expands to the list of f(0) to f(255), all
 * constants.
 * Only for sources that need such tables; it must never know which check they belong to.
 * Tests: tests/unit/base/crc16_test.c, tests/unit/base/checksum_test.c
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_LINEAR_TABLE_H
#define BASE_LINEAR_TABLE_H

/* LINEAR_TABLE_n(x, ...): the first n values, each with x added. */
#define LINEAR_TABLE_2(x, a)           (x), (x) ^ (a)
#define LINEAR_TABLE_4(x, a, b)        LINEAR_TABLE_2(x, a), LINEAR_TABLE_2((x) ^ (b), a)
#define LINEAR_TABLE_8(x, a, b, c)     LINEAR_TABLE_4(x, a, b), LINEAR_TABLE_4((x) ^ (c), a, b)
#define LINEAR_TABLE_16(x, a, b, c, d) LINEAR_TABLE_8(x, a, b, c), LINEAR_TABLE_8((x) ^ (d), a, b, c)
#define LINEAR_TABLE_32(x, a, b, c, d, e) \
    LINEAR_TABLE_16(x, a, b, c, d), LINEAR_TABLE_16((x) ^ (e), a, b, c, d)
#define LINEAR_TABLE_64(x, a, b, c, d, e, f) \
    LINEAR_TABLE_32(x, a, b, c, d, e), LINEAR_TABLE_32((x) ^ (f), a, b, c, d, e)
#define LINEAR_TABLE_128(x, a, b, c, d, e, f, g) \
    LINEAR_TABLE_64(x, a, b, c, d, e, f), LINEAR_TABLE_64((x) ^ (g), a, b, c, d, e, f)

#define LINEAR_TABLE(a, b, c, d, e, f, g, h) \
    { LINEAR_TABLE_128(0, a, b, c, d, e, f, g), LINEAR_TABLE_128(h, a, b, c, d, e, f, g) }

#endif
