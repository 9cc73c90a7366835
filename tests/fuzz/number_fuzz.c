/* number_fuzz.c - any text as a number and any number as a text: base/number.c against the C library, step by step.
 *
 * Input: a byte that chooses what is done; then a text, or the bits of a number.
 * Checked: texts are taken exactly if the header says so, and mean what strtoll(), strtod() and strtold() say; what is
 * refused leaves the value alone; every number's text is what printf() gives in the layout that the header describes,
 * the shortest one is the shortest that reads back, and reading a text gives the number that was written.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"

#include "base/check.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_SIZE_MAX 5200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- Texts ---- */

/* "0", or digits that do not begin with a zero. */
static bool is_plain_digits(const char *text, size_t size) {
    if (size == 0 || (text[0] == '0' && size > 1))
        return false;
    for (size_t i = 0; i < size; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return true;
}

static void check_integer_text(const char *text, size_t size, const char *terminated) {
    bool is_negative = size > 0 && text[0] == '-';
    bool is_form = is_plain_digits(text + is_negative, size - is_negative) &&
                   !(is_negative && size == 2 && text[1] == '0');
    int64_t read = 4711;
    errno = 0;
    long long expected = is_form ? strtoll(terminated, NULL, 10) : 0;
    bool is_taken = is_form && errno == 0;
    CHECK(number_parse_int64(text, size, &read) == is_taken);
    CHECK(read == (is_taken ? expected : 4711));
    if (is_taken) {
        char written[NUMBER_INT64_SIZE];
        CHECK(number_size_int64(read) == size && number_format_int64(written, read) == size);
        CHECK(memcmp(written, text, size) == 0);
    }
    uint64_t unsigned_read = 4711;
    is_form = is_plain_digits(text, size);
    errno = 0;
    unsigned long long unsigned_expected = is_form ? strtoull(terminated, NULL, 10) : 0;
    is_taken = is_form && errno == 0;
    CHECK(number_parse_uint64(text, size, &unsigned_read) == is_taken);
    CHECK(unsigned_read == (is_taken ? unsigned_expected : 4711));
}

/* Whether a number that the C library read in part of a text is one that we take. */
static bool is_float_taken(const char *terminated, size_t size, const char *end, int problem, bool is_nan,
                           bool is_extreme) {
    return size != 0 && size <= NUMBER_FLOAT_TEXT_SIZE_MAX && !isspace((unsigned char)terminated[0]) &&
           end == terminated + size && !is_nan && !(problem == ERANGE && is_extreme);
}

static bool is_same_double(double one, double other) {
    return memcmp(&one, &other, sizeof one) == 0;
}

static bool is_same_long_double(long double one, long double other) {
    return one == other && signbit(one) == signbit(other);
}

static void check_float_text(const char *text, size_t size, const char *terminated) {
    char *end;
    double read = 4711;
    errno = 0;
    double expected = strtod(terminated, &end);
    bool is_taken = is_float_taken(terminated, size, end, errno, isnan(expected),
                                   isinf(expected) || fpclassify(expected) == FP_ZERO);
    CHECK(number_parse_double(text, size, &read) == is_taken);
    CHECK(is_same_double(read, is_taken ? expected : 4711));
    long double long_read = 4711;
    errno = 0;
    long double long_expected = strtold(terminated, &end);
    is_taken = is_float_taken(terminated, size, end, errno, isnan(long_expected),
                              isinf(long_expected) || fpclassify(long_expected) == FP_ZERO);
    CHECK(number_parse_long_double(text, size, &long_read) == is_taken);
    CHECK(is_same_long_double(long_read, is_taken ? long_expected : 4711));
}

static void check_memory_text(const char *text, size_t size) {
    static const char *const names[] = {"", "b", "k", "kb", "m", "mb", "g", "gb"};
    static const uint64_t sizes[] = {1, 1, 1000, 1024, 1000000, 1048576, 1000000000, 1073741824};
    unsigned __int128 amount = 0;
    size_t digits = 0;
    for (; digits < size && text[digits] >= '0' && text[digits] <= '9'; digits++)
        if (amount <= UINT64_MAX)
            amount = amount * 10 + (unsigned)(text[digits] - '0');
    bool is_taken = false;
    uint64_t expected = 4711, read = 4711;
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool is_unit = size - digits == strlen(names[i]);
        for (size_t j = digits; is_unit && j < size; j++)
            is_unit = tolower((unsigned char)text[j]) == names[i][j - digits];
        if (is_unit && amount <= UINT64_MAX && amount * sizes[i] <= UINT64_MAX) {
            is_taken = true;
            expected = (uint64_t)(amount * sizes[i]);
        }
    }
    CHECK(number_parse_memory(text, size, &read) == is_taken && read == expected);
}

static void check_text(const uint8_t *data, size_t size) {
    if (size > TEXT_SIZE_MAX)
        return;
    /* The text ends where its memory ends; its copy for the C library has a zero behind it. */
    char *text = malloc(size + 1), *terminated = malloc(size + 1);
    CHECK(text != NULL && terminated != NULL);
    memcpy(text + 1, data, size);
    memcpy(terminated, data, size);
    terminated[size] = '\0';
    check_integer_text(text + 1, size, terminated);
    check_float_text(text + 1, size, terminated);
    check_memory_text(text + 1, size);
    free(text);
    free(terminated);
}

/* ---- Numbers ---- */

static void check_integer(uint64_t bits) {
    char written[NUMBER_INT64_SIZE], expected[32];
    int size = snprintf(expected, sizeof expected, "%lld", (long long)bits);
    CHECK(number_size_int64((int64_t)bits) == (size_t)size);
    CHECK(number_format_int64(written, (int64_t)bits) == (size_t)size &&
          !memcmp(written, expected, (size_t)size));
    int64_t back = 0;
    CHECK(number_parse_int64(written, (size_t)size, &back) && back == (int64_t)bits);
    size = snprintf(expected, sizeof expected, "%llu", (unsigned long long)bits);
    CHECK(number_size_uint64(bits) == (size_t)size);
    CHECK(number_format_uint64(written, bits) == (size_t)size && !memcmp(written, expected, (size_t)size));
    uint64_t unsigned_back = 0;
    CHECK(number_parse_uint64(written, (size_t)size, &unsigned_back) && unsigned_back == bits);
}

/* The number with the fewest significant digits that read back, in the layout of the one with 17: a plain number from
 * 0.0001 up to 1e17, where whole ones have all their digits; else one with an exponent. */
static size_t write_shortest(char *out, size_t capacity, double value) {
    if (isnan(value))
        return (size_t)snprintf(out, capacity, "nan");
    if (isinf(value) || (fabs(value) < 1e17 && value == floor(value)))
        return (size_t)snprintf(out, capacity, isinf(value) ? "%f" : "%.0f", value);
    char exponential[64];
    int digits = 1;
    for (; digits <= 17; digits++) {
        snprintf(exponential, sizeof exponential, "%.*e", digits - 1, value);
        if (strtod(exponential, NULL) == value)
            break;
    }
    CHECK(digits <= 17);
    int exponent = atoi(strchr(exponential, 'e') + 1);
    if (fabs(value) < 0.0001 || fabs(value) >= 1e17)
        return (size_t)snprintf(out, capacity, "%s", exponential);
    int decimals = digits - 1 - exponent;
    return (size_t)snprintf(out, capacity, "%.*f", decimals > 0 ? decimals : 0, value);
}

static void check_double(uint64_t bits) {
    double value, back;
    char written[NUMBER_DOUBLE_SIZE], expected[400];
    memcpy(&value, &bits, sizeof value);
    size_t size = (size_t)snprintf(expected, sizeof expected, "%.17g", value);
    if (isnan(value))
        size = (size_t)snprintf(expected, sizeof expected, "nan");
    CHECK(number_format_double(written, value) == size && memcmp(written, expected, size) == 0);
    if (!isnan(value))
        CHECK(number_parse_double(written, size, &back) && is_same_double(back, value));
    size_t shortest = write_shortest(expected, sizeof expected, value);
    CHECK(shortest <= size);
    CHECK(number_format_double_shortest(written, value) == shortest && !memcmp(written, expected, shortest));
    if (!isnan(value))
        CHECK(number_parse_double(written, shortest, &back) && is_same_double(back, value));
}

static void check_long_double(uint64_t mantissa, int16_t exponent) {
    char written[NUMBER_LONG_DOUBLE_SIZE], expected[NUMBER_LONG_DOUBLE_SIZE];
    long double value = ldexpl((long double)mantissa, exponent);
    if (exponent & 1 && value != 0)
        value = -value;
    int full = snprintf(expected, sizeof expected, "%.17Lf", value);
    size_t size = (size_t)full;
    if (!isinf(value)) {
        while (expected[size - 1] == '0')
            size--;
        size -= expected[size - 1] == '.';
        if (size == 2 && memcmp(expected, "-0", 2) == 0) {
            expected[0] = '0';
            size = 1;
        }
    }
    CHECK(number_format_long_double(written, sizeof written, value) == size);
    CHECK(memcmp(written, expected, size) == 0);
    /* What the room is for is the text before anything is trimmed. */
    CHECK(isinf(value) || number_format_long_double(written, (size_t)full + 1, value) == size);
    CHECK(isinf(value) || number_format_long_double(written, (size_t)full, value) == 0);
    long double back;
    CHECK(number_parse_long_double(written, size, &back));
    CHECK(isinf(value) ? back == value : fabsl(back - value) <= 0.5e-17L + fabsl(value) * 0x1p-63L);
}

static void check_human_size(uint64_t bytes) {
    char written[NUMBER_HUMAN_SIZE], expected[NUMBER_HUMAN_SIZE];
    static const char units[] = "BKMGTP";
    unsigned unit = 0;
    while (unit < 6 && bytes >= UINT64_C(1024) << 10 * unit)
        unit++;
    int size = unit == 0 || unit == 6
                   ? snprintf(expected, sizeof expected, "%lluB", (unsigned long long)bytes)
                   : snprintf(expected, sizeof expected, "%.2f%c", ldexp((double)bytes, -10 * (int)unit),
                              units[unit]);
    CHECK(number_format_human_size(written, bytes) == (size_t)size &&
          !memcmp(written, expected, (size_t)size));
}

/* Fewer bits make numbers that people write: with a short mantissa, near a power of two or of ten. */
static void check_number(const uint8_t *data, size_t size) {
    uint64_t bits = 0;
    int16_t exponent = 0;
    memcpy(&bits, data, size < 8 ? size : 8);
    if (size > 8)
        memcpy(&exponent, data + 8, size < 10 ? size - 8 : 2);
    check_integer(bits);
    check_double(bits);
    check_human_size(bits);
    check_long_double(bits, exponent);
    /* A decimal number: an integer by a power of ten. */
    double decimal = (double)(int64_t)bits * pow(10, exponent % 40);
    uint64_t decimal_bits;
    memcpy(&decimal_bits, &decimal, sizeof decimal_bits);
    for (int step = -1; step <= 1; step++)
        check_double(decimal_bits + (uint64_t)step);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    if (data[0] & 1)
        check_number(data + 1, size - 1);
    else
        check_text(data + 1, size - 1);
    return 0;
}
