/*
 * number.c - numbers to text and text to numbers: the how behind number.h.
 *
 * May touch: the caller's bytes and errno. Knows nothing of objects, replies or configuration files.
 * Invariants: the fast ways give the same bytes as the slow ones (strtod, strtold, snprintf); they take only
 * what they can compute exactly in integers and leave everything else to the C library.
 * Tests: tests/unit/base/number_test.c
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"

#include "base/load.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned __int128 wide_uint;

#define DIGITS_UINT64_MAX           20
#define DIGITS_LONG_DOUBLE_DECIMALS 17

/* clang-format off */
static const uint64_t powers_of_ten[DIGITS_UINT64_MAX] = {
    1ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL, 100000000ULL, 1000000000ULL,
    10000000000ULL, 100000000000ULL, 1000000000000ULL, 10000000000000ULL, 100000000000000ULL,
    1000000000000000ULL, 10000000000000000ULL, 100000000000000000ULL, 1000000000000000000ULL,
    10000000000000000000ULL};
/* clang-format on */

static const char digit_pairs[] = "00010203040506070809"
                                  "10111213141516171819"
                                  "20212223242526272829"
                                  "30313233343536373839"
                                  "40414243444546474849"
                                  "50515253545556575859"
                                  "60616263646566676869"
                                  "70717273747576777879"
                                  "80818283848586878889"
                                  "90919293949596979899";

static bool is_digit(char byte) {
    return (unsigned char)(byte - '0') < 10;
}

static bool is_space(char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static char ascii_lower(char byte) {
    return byte >= 'A' && byte <= 'Z' ? (char)(byte + ('a' - 'A')) : byte;
}

/* --- integers ----------------------------------------------------------------------------------------- */

#define EIGHT_ZEROS 0x3030303030303030ULL /* "00000000" */

/*
 * The value of eight digits, the first one in the lowest byte: pairs, then fours, then all, side by side in
 * one word (J. Lee, "Fast numeric string to int", 2016). False if a byte is no digit.
 */
static inline bool parse_eight(uint64_t text, uint64_t *value) {
    uint64_t carried = text + 0x0606060606060606ULL;
    if (((text & 0xf0f0f0f0f0f0f0f0ULL) | (carried & 0xf0f0f0f0f0f0f0f0ULL) >> 4) != 0x3333333333333333ULL)
        return false;
    uint64_t pairs = text - EIGHT_ZEROS;
    pairs = pairs * 10 + (pairs >> 8);
    uint64_t first_and_third = (pairs & 0x000000ff000000ffULL) * (100 + (1000000ULL << 32));
    uint64_t second_and_fourth = (pairs >> 16 & 0x000000ff000000ffULL) * (1 + (10000ULL << 32));
    *value = (first_and_third + second_and_fourth) >> 32;
    return true;
}

/* Reads size digits without a leading zero unless it stands alone. */
static bool parse_magnitude(const char *text, size_t size, uint64_t *magnitude) {
    if (size == 0 || size > DIGITS_UINT64_MAX)
        return false;
    if (text[0] == '0') {
        *magnitude = 0;
        return size == 1;
    }

    /* What does not fill a block of eight goes first, behind zeros. */
    const uint8_t *bytes = (const uint8_t *)text;
    size_t first = size % 8;
    uint64_t result = 0;
    if (first != 0) {
        uint64_t fill = EIGHT_ZEROS >> 8 * first;
        uint64_t block = size < 8 ? load_short(bytes, first) : load_u64(bytes) << (64 - 8 * first);
        if (!parse_eight(block | fill, &result))
            return false;
    }
    for (size_t done = first; done < size; done += 8) {
        uint64_t eight;
        if (!parse_eight(load_u64(bytes + done), &eight))
            return false;
        if (__builtin_mul_overflow(result, 100000000, &result) ||
            __builtin_add_overflow(result, eight, &result))
            return false;
    }
    *magnitude = result;
    return true;
}

bool number_parse_uint64(const char *text, size_t size, uint64_t *value) {
    uint64_t magnitude;
    if (!parse_magnitude(text, size, &magnitude))
        return false;
    *value = magnitude;
    return true;
}

bool number_parse_int64(const char *text, size_t size, int64_t *value) {
    uint64_t magnitude;
    if (size > 0 && text[0] == '-') {
        if (!parse_magnitude(text + 1, size - 1, &magnitude))
            return false;
        if (magnitude == 0 || magnitude > (uint64_t)INT64_MAX + 1)
            return false;
        *value = (int64_t)(0 - magnitude);
        return true;
    }
    if (!parse_magnitude(text, size, &magnitude) || magnitude > INT64_MAX)
        return false;
    *value = (int64_t)magnitude;
    return true;
}

size_t number_size_uint64(uint64_t value) {
    if (value < 10)
        return 1;
    /* 1233/4096 is just above log10(2): the guess is the number of digits or one less. */
    unsigned bits = 64 - (unsigned)__builtin_clzll(value);
    size_t guess = (bits * 1233U) >> 12;
    return guess + (value >= powers_of_ten[guess]);
}

size_t number_size_int64(int64_t value) {
    return value < 0 ? 1 + number_size_uint64(0 - (uint64_t)value) : number_size_uint64((uint64_t)value);
}

static inline void write_pair(char *out, uint32_t below_100) {
    memcpy(out, digit_pairs + below_100 * 2, 2);
}

/* Writes value into exactly size bytes, zeros in front. Eight digits at a time, whose divisions run side by
 * side. */
static void write_digits(char *out, size_t size, uint64_t value) {
    while (size > 8) {
        uint32_t eight = (uint32_t)(value % 100000000);
        uint32_t high = eight / 10000;
        uint32_t low = eight % 10000;
        value /= 100000000;
        size -= 8;
        write_pair(out + size, high / 100);
        write_pair(out + size + 2, high % 100);
        write_pair(out + size + 4, low / 100);
        write_pair(out + size + 6, low % 100);
    }
    uint32_t rest = (uint32_t)value;
    while (size >= 2) {
        size -= 2;
        write_pair(out + size, rest % 100);
        rest /= 100;
    }
    if (size == 1)
        out[0] = (char)('0' + rest % 10);
}

size_t number_format_uint64(char out[NUMBER_INT64_SIZE], uint64_t value) {
    size_t size = number_size_uint64(value);
    write_digits(out, size, value);
    return size;
}

size_t number_format_int64(char out[NUMBER_INT64_SIZE], int64_t value) {
    if (value >= 0)
        return number_format_uint64(out, (uint64_t)value);
    uint64_t magnitude = 0 - (uint64_t)value;
    size_t size = number_size_uint64(magnitude);
    out[0] = '-';
    write_digits(out + 1, size, magnitude);
    return size + 1;
}

/* --- text to floating point --------------------------------------------------------------------------- */

/* The number (negative ? -1 : 1) * digits * 10^exponent. */
struct decimal {
    uint64_t digits;
    int exponent;
    bool negative;
};

/*
 * Reads plain decimal texts with at most 19 digits and a short exponent. False says nothing about the text
 * but that this function does not know it.
 */
static bool parse_plain_decimal(const char *text, size_t size, struct decimal *decimal) {
    const char *end = text + size;
    *decimal = (struct decimal){0};
    if (text < end && (*text == '-' || *text == '+')) {
        decimal->negative = *text == '-';
        text++;
    }

    size_t digits = 0;
    for (; text < end && is_digit(*text); text++, digits++) {
        if (digits == DIGITS_UINT64_MAX - 1)
            return false;
        decimal->digits = decimal->digits * 10 + (uint64_t)(*text - '0');
    }
    if (text < end && *text == '.') {
        for (text++; text < end && is_digit(*text); text++, digits++) {
            if (digits == DIGITS_UINT64_MAX - 1)
                return false;
            decimal->digits = decimal->digits * 10 + (uint64_t)(*text - '0');
            decimal->exponent--;
        }
    }
    if (digits == 0)
        return false;

    if (text < end && (*text == 'e' || *text == 'E')) {
        text++;
        bool negative = text < end && *text == '-';
        if (text < end && (*text == '-' || *text == '+'))
            text++;
        if (text == end || end - text > 3)
            return false;
        int exponent = 0;
        for (; text < end && is_digit(*text); text++)
            exponent = exponent * 10 + (*text - '0');
        decimal->exponent += negative ? -exponent : exponent;
    }
    return text == end;
}

/*
 * Digits and power of ten are both exact in the type: one multiplication or division rounds once, so the
 * result is the nearest (W. D. Clinger, "How to read floating point numbers accurately", 1990).
 */
static bool double_from_decimal(const struct decimal *decimal, double *value) {
    static const double exact_powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                          1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                          1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (FLT_EVAL_METHOD != 0 || decimal->digits > 1ULL << DBL_MANT_DIG || abs(decimal->exponent) > 22)
        return false;
    double result = (double)decimal->digits;
    if (decimal->exponent < 0)
        result /= exact_powers[-decimal->exponent];
    else
        result *= exact_powers[decimal->exponent];
    *value = decimal->negative ? -result : result;
    return true;
}

static bool long_double_from_decimal(const struct decimal *decimal, long double *value) {
    static const long double exact_powers[] = {
        1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,  1e7L,  1e8L,  1e9L,  1e10L, 1e11L, 1e12L, 1e13L,
        1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L, 1e20L, 1e21L, 1e22L, 1e23L, 1e24L, 1e25L, 1e26L, 1e27L};
    if (LDBL_MANT_DIG < 64 || abs(decimal->exponent) > 27)
        return false;
    long double result = (long double)decimal->digits;
    if (decimal->exponent < 0)
        result /= exact_powers[-decimal->exponent];
    else
        result *= exact_powers[decimal->exponent];
    *value = decimal->negative ? -result : result;
    return true;
}

/* The C library's readers want a terminating zero, skip spaces, and stop where they like: see that they
 * cannot. */
static bool copy_float_text(char copy[NUMBER_FLOAT_TEXT_SIZE_MAX + 1], const char *text, size_t size) {
    if (size == 0 || size > NUMBER_FLOAT_TEXT_SIZE_MAX || is_space(text[0]))
        return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    errno = 0;
    return true;
}

/* Not inlined, so that the usual short texts do not pay for the large stack frame. */
static __attribute__((noinline)) bool read_double(const char *text, size_t size, double *value) {
    char copy[NUMBER_FLOAT_TEXT_SIZE_MAX + 1];
    if (!copy_float_text(copy, text, size))
        return false;
    char *end;
    double result = strtod(copy, &end);
    if (end != copy + size || isnan(result))
        return false;
    if (errno == ERANGE && (isinf(result) || result == 0))
        return false;
    *value = result;
    return true;
}

static __attribute__((noinline)) bool read_long_double(const char *text, size_t size, long double *value) {
    char copy[NUMBER_FLOAT_TEXT_SIZE_MAX + 1];
    if (!copy_float_text(copy, text, size))
        return false;
    char *end;
    long double result = strtold(copy, &end);
    if (end != copy + size || isnan(result))
        return false;
    if (errno == ERANGE && (isinf(result) || result == 0))
        return false;
    *value = result;
    return true;
}

bool number_parse_double(const char *text, size_t size, double *value) {
    struct decimal decimal;
    if (parse_plain_decimal(text, size, &decimal) && double_from_decimal(&decimal, value))
        return true;
    return read_double(text, size, value);
}

bool number_parse_long_double(const char *text, size_t size, long double *value) {
    struct decimal decimal;
    if (parse_plain_decimal(text, size, &decimal) && long_double_from_decimal(&decimal, value))
        return true;
    return read_long_double(text, size, value);
}

/* --- floating point to text --------------------------------------------------------------------------- */

/* Writes size bytes of text and answers size. */
static size_t write_text(char *out, const char *text, size_t size) {
    memcpy(out, text, size);
    return size;
}

/* number / 2^shift, rounded to the nearest, ties to even, as printf() rounds. shift is 1 to 127. */
static uint64_t shift_rounded(wide_uint number, unsigned shift) {
    uint64_t result = (uint64_t)(number >> shift);
    wide_uint rest = number & (((wide_uint)1 << shift) - 1);
    wide_uint half = (wide_uint)1 << (shift - 1);
    if (rest > half || (rest == half && (result & 1) != 0))
        result++;
    return result;
}

/* Writes scaled / 10^decimals without trailing zeros behind the point. */
static size_t write_scaled(char *out, uint64_t scaled, unsigned decimals) {
    while (decimals > 0 && scaled % 10 == 0) {
        scaled /= 10;
        decimals--;
    }
    size_t size = number_size_uint64(scaled);
    if (decimals == 0) {
        write_digits(out, size, scaled);
        return size;
    }
    if (size <= decimals)
        size = (size_t)decimals + 1;
    write_digits(out, size, scaled);
    size_t whole = size - decimals;
    memmove(out + whole + 1, out + whole, decimals);
    out[whole] = '.';
    return size + 1;
}

/*
 * A positive double that is not an integer and lies in [0.0001, 1e17), as mantissa / 2^shift. In this range
 * all arithmetic on its first 17 significant digits is exact in 128 bits: shift is at most 66, and the
 * mantissa times 10^20 is below 2^120.
 */
struct fraction {
    uint64_t mantissa;
    unsigned shift;
    unsigned whole_digits; /* digits before the point, 0 if the number is below one */
    unsigned zeros;        /* zeros between the point and the first other digit */
};

static struct fraction fraction_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    struct fraction fraction = {.mantissa = (bits & ((1ULL << 52) - 1)) | 1ULL << 52,
                                .shift = 1075 - (unsigned)(bits >> 52)};
    if (value >= 1) {
        fraction.whole_digits = (unsigned)number_size_uint64((uint64_t)value);
    } else {
        /* These constants are a little above the powers of ten that they stand for, and the next double is
         * below. */
        fraction.zeros = value >= 0.1 ? 0 : value >= 0.01 ? 1 : value >= 0.001 ? 2 : 3;
    }
    return fraction;
}

/* The first digits of the number as an integer, to be divided by 10^*decimals. digits > whole_digits. */
static uint64_t fraction_round(const struct fraction *fraction, unsigned digits, unsigned *decimals,
                               bool *reads_back) {
    unsigned exponent = digits + fraction->zeros - fraction->whole_digits;
    wide_uint power = exponent < DIGITS_UINT64_MAX ? (wide_uint)powers_of_ten[exponent]
                                                   : (wide_uint)powers_of_ten[exponent - 1] * 10;
    wide_uint number = fraction->mantissa * power;
    uint64_t scaled = shift_rounded(number, fraction->shift);

    /* It reads back if it is nearer to this double than the middle between this one and a neighbour. The
     * neighbour below a power of two is only half as far away; taking it as the distance on both sides loses
     * nothing, for 17 digits are always enough. */
    wide_uint back = (wide_uint)scaled << fraction->shift;
    wide_uint error = back > number ? back - number : number - back;
    unsigned halves = fraction->mantissa == 1ULL << 52 ? 4 : 2;
    *reads_back = error * halves < power;
    *decimals = exponent;
    return scaled;
}

/* What both layouts of a double have in common: the special values, zero, the sign and integers below
 * 1e17. */
static bool format_common(char out[NUMBER_DOUBLE_SIZE], double value, size_t *size) {
    if (isnan(value))
        *size = write_text(out, "nan", 3);
    else if (isinf(value))
        *size = value > 0 ? write_text(out, "inf", 3) : write_text(out, "-inf", 4);
    else if (value == 0)
        *size = signbit(value) ? write_text(out, "-0", 2) : write_text(out, "0", 1);
    else if (fabs(value) < 1e17 && value == (double)(int64_t)value)
        *size = number_format_int64(out, (int64_t)value);
    else
        return false;
    return true;
}

size_t number_format_double(char out[NUMBER_DOUBLE_SIZE], double value) {
    size_t size;
    if (format_common(out, value, &size))
        return size;

    double magnitude = fabs(value);
    if (magnitude < 0.0001 || magnitude >= 1e17)
        return (size_t)snprintf(out, NUMBER_DOUBLE_SIZE, "%.17g", value);

    struct fraction fraction = fraction_of(magnitude);
    unsigned decimals;
    bool reads_back;
    uint64_t scaled = fraction_round(&fraction, 17, &decimals, &reads_back);
    size_t sign = value < 0;
    out[0] = '-';
    return sign + write_scaled(out + sign, scaled, decimals);
}

size_t number_format_double_shortest(char out[NUMBER_DOUBLE_SIZE], double value) {
    size_t size;
    if (format_common(out, value, &size))
        return size;

    double magnitude = fabs(value);
    if (magnitude < 0.0001 || magnitude >= 1e17) {
        /* Texts with up to 15 digits are all found at 15, for %g drops trailing zeros; below DBL_MIN digits
         * fade. */
        for (int digits = magnitude < DBL_MIN ? 1 : 15; digits < 17; digits++) {
            size = (size_t)snprintf(out, NUMBER_DOUBLE_SIZE, "%.*g", digits, value);
            if (strtod(out, NULL) == value)
                return size;
        }
        return (size_t)snprintf(out, NUMBER_DOUBLE_SIZE, "%.17g", value);
    }

    struct fraction fraction = fraction_of(magnitude);
    unsigned decimals = 0;
    bool reads_back = false;
    uint64_t scaled = 0;
    for (unsigned digits = 15; digits <= 17 && !reads_back; digits++) {
        if (digits > fraction.whole_digits)
            scaled = fraction_round(&fraction, digits, &decimals, &reads_back);
    }
    size_t sign = value < 0;
    out[0] = '-';
    return sign + write_scaled(out + sign, scaled, decimals);
}

/* Drops zeros at the end of a text that has a point, then the point; "-0" becomes "0". */
static size_t trim_decimals(char *text, size_t size) {
    while (text[size - 1] == '0')
        size--;
    if (text[size - 1] == '.')
        size--;
    if (size == 2 && text[0] == '-' && text[1] == '0') {
        text[0] = '0';
        return 1;
    }
    return size;
}

#if LDBL_MANT_DIG <= 64
/* For magnitudes below 2^64: the whole part fits a uint64_t, and so do 17 decimals of the rest. */
static size_t format_small_long_double(char *out, size_t capacity, bool negative, long double magnitude) {
    uint64_t whole = (uint64_t)magnitude;
    int exponent;
    long double rest =
        frexpl(magnitude - (long double)whole, &exponent); /* rest * 2^exponent, in [0.5, 1) or 0 */
    wide_uint number = (wide_uint)(uint64_t)(rest * 0x1p64L) *
                       powers_of_ten[DIGITS_LONG_DOUBLE_DECIMALS]; /* / 2^(64-exponent) */
    uint64_t decimals = exponent > -64 ? shift_rounded(number, (unsigned)(64 - exponent)) : 0;
    if (decimals == powers_of_ten[DIGITS_LONG_DOUBLE_DECIMALS]) {
        whole++;
        decimals = 0;
    }

    size_t whole_size = number_size_uint64(whole);
    size_t size = negative + whole_size + 1 + DIGITS_LONG_DOUBLE_DECIMALS;
    if (size + 1 > capacity)
        return 0;
    out[0] = '-';
    write_digits(out + negative, whole_size, whole);
    out[negative + whole_size] = '.';
    write_digits(out + negative + whole_size + 1, DIGITS_LONG_DOUBLE_DECIMALS, decimals);
    return trim_decimals(out, size);
}
#endif

size_t number_format_long_double(char *out, size_t capacity, long double value) {
    if (isnan(value))
        return capacity > 3 ? write_text(out, "nan", 3) : 0;
    if (isinf(value)) {
        if (capacity <= 4)
            return 0;
        return value > 0 ? write_text(out, "inf", 3) : write_text(out, "-inf", 4);
    }
#if LDBL_MANT_DIG <= 64
    if (fabsl(value) < 0x1p64L)
        return format_small_long_double(out, capacity, value < 0, fabsl(value));
#endif
    int size = snprintf(out, capacity, "%.*Lf", DIGITS_LONG_DOUBLE_DECIMALS, value);
    if (size < 0 || (size_t)size >= capacity)
        return 0;
    return trim_decimals(out, (size_t)size);
}

/* --- amounts of memory -------------------------------------------------------------------------------- */

bool number_parse_memory(const char *text, size_t size, uint64_t *bytes) {
    static const struct {
        char text[3];
        uint64_t bytes;
    } units[] = {{"", 1},
                 {"b", 1},
                 {"k", 1000},
                 {"kb", 1 << 10},
                 {"m", 1000000},
                 {"mb", 1 << 20},
                 {"g", 1000ULL * 1000 * 1000},
                 {"gb", 1 << 30}};

    uint64_t amount = 0;
    size_t digits = 0;
    for (; digits < size && is_digit(text[digits]); digits++) {
        if (__builtin_mul_overflow(amount, 10, &amount) ||
            __builtin_add_overflow(amount, (uint64_t)(text[digits] - '0'), &amount))
            return false;
    }
    if (size - digits > 2)
        return false;
    char unit[3] = {0};
    for (size_t i = digits; i < size; i++) {
        if (text[i] == '\0')
            return false;
        unit[i - digits] = ascii_lower(text[i]);
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i].text) == 0) {
            uint64_t result;
            if (__builtin_mul_overflow(amount, units[i].bytes, &result))
                return false;
            *bytes = result;
            return true;
        }
    }
    return false;
}

size_t number_format_human_size(char out[NUMBER_HUMAN_SIZE], uint64_t bytes) {
    static const char units[] = "KMGTP";
    unsigned power = 0;
    while (power < 6 && bytes >> 10 * (power + 1) != 0)
        power++;
    /* From 1024P on there is no unit, and the number is shown in bytes again. */
    if (power == 0 || power == 6)
        return (size_t)snprintf(out, NUMBER_HUMAN_SIZE, "%lluB", (unsigned long long)bytes);
    double amount = (double)bytes / (double)(1ULL << 10 * power);
    return (size_t)snprintf(out, NUMBER_HUMAN_SIZE, "%.2f%c", amount, units[power - 1]);
}
