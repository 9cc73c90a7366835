/*
 * number.h - numbers to text and text to numbers, as clients of the Redis protocol see them.
 *
 * May touch: the caller's bytes. Knows nothing of objects, replies or configuration files.
 * Invariants: parsing takes the whole text or nothing, and leaves *value alone when it answers false;
 * formatting writes no terminating zero and answers the length written.
 * The functions on floating point numbers need the "C" numeric locale (the decimal point is '.'), which every
 * C program has until it calls setlocale(), and rounding to nearest.
 * Tests: tests/unit/base/number_test.c
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest text of an int64_t ("-9223372036854775808") and of a uint64_t. */
#define NUMBER_INT64_SIZE 20

/* Room for any double. */
#define NUMBER_DOUBLE_SIZE 32

/* Room for any long double in its plain decimal form: up to 4933 digits before the point and 17 behind it. */
#define NUMBER_LONG_DOUBLE_SIZE 5120

/* Longer texts are never taken as floating point numbers. */
#define NUMBER_FLOAT_TEXT_SIZE_MAX 5119

/* Room for any size that number_format_human_size() writes. */
#define NUMBER_HUMAN_SIZE 32

/*
 * Strict decimal integers: an optional '-' (signed only), then digits without a leading zero, except "0"
 * itself. No "-0", no '+', no space, nothing out of range, not empty.
 */
bool number_parse_int64(const char *text, size_t size, int64_t *value);
bool number_parse_uint64(const char *text, size_t size, uint64_t *value);

/* Writes the decimal text of value and answers its length. */
size_t number_format_int64(char out[NUMBER_INT64_SIZE], int64_t value);
size_t number_format_uint64(char out[NUMBER_INT64_SIZE], uint64_t value);

/* How many bytes the two functions above would write. */
size_t number_size_int64(int64_t value);
size_t number_size_uint64(uint64_t value);

/*
 * Floating point numbers as strtod() and strtold() read them (decimal, exponent, hexadecimal, inf, infinity),
 * except that NaN, space before or behind, an empty text, overflow to infinity, underflow to zero, and more
 * than NUMBER_FLOAT_TEXT_SIZE_MAX bytes are refused. Infinity spelled out is taken: whether it makes sense is
 * the caller's question.
 */
bool number_parse_double(const char *text, size_t size, double *value);
bool number_parse_long_double(const char *text, size_t size, long double *value);

/*
 * The text of a double with 17 significant digits, as Redis up to 7.0 shows scores: "3",
 * "0.10000000000000001", "1e+17", "-0", "inf", "-inf", "nan". Always reads back as the same double.
 */
size_t number_format_double(char out[NUMBER_DOUBLE_SIZE], double value);

/*
 * The shortest text that reads back as the same double, in the same layout: "0.1" where
 * number_format_double() writes "0.10000000000000001". This is how Redis since 7.2 chooses digits. Integers
 * below 1e17 are written in full by both.
 */
size_t number_format_double_shortest(char out[NUMBER_DOUBLE_SIZE], double value);

/*
 * The plain decimal text of a long double with at most 17 digits behind the point and no trailing zeros, as
 * the reply of INCRBYFLOAT. Minus zero, and what rounds to it, is "0". Answers 0 if the text with all its 17
 * decimals and a terminating zero may not fit into capacity bytes; NUMBER_LONG_DOUBLE_SIZE bytes always
 * suffice.
 */
size_t number_format_long_double(char *out, size_t capacity, long double value);

/*
 * An amount of memory as configuration files write it: digits and one of the units b, k, m, g (powers of
 * 1000), kb, mb, gb (powers of 1024) in any case, or no unit. No digits at all count as zero ("", "kb"), as
 * in Redis; an amount that does not fit into 64 bits is refused.
 */
bool number_parse_memory(const char *text, size_t size, uint64_t *bytes);

/* A size for people, as in used_memory_human: "512B", "1.50M". The units are powers of 1024, up to "P". */
size_t number_format_human_size(char out[NUMBER_HUMAN_SIZE], uint64_t bytes);

#endif
