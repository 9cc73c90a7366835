/*
 * number_test.c - numbers to text and back: limits, odd texts, and the fast ways against the C library.
 *
 * What is taken and what is written was compared with redis-server 7.0.15 (INCRBY, INCRBYFLOAT, ZADD, ZSCORE,
 * CONFIG SET maxmemory).
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT(text)   text, sizeof(text) - 1

/* --- integers ----------------------------------------------------------------------------------------- */

/* From an exact copy, so that a read past the end is a fault under the address sanitizer. */
static bool parse_int64(const char *text, size_t size, int64_t *value) {
    char *copy = malloc(size > 0 ? size : 1);
    cr_assert_not_null(copy);
    memcpy(copy, text, size);
    bool taken = number_parse_int64(copy, size, value);
    free(copy);
    return taken;
}

Test(number, signed_integers_are_read) {
    static const struct {
        const char *text;
        int64_t value;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"9", 9},
        {"10", 10},
        {"-1", -1},
        {"-10", -10},
        {"123", 123},
        {"1234567", 1234567},
        {"12345678", 12345678},
        {"-12345678", -12345678},
        {"123456789", 123456789},
        {"1234567890123456", 1234567890123456},
        {"12345678901234567", 12345678901234567},
        {"1000000000000000000", 1000000000000000000},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775807", -INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t value = 42;
        cr_expect(parse_int64(cases[i].text, strlen(cases[i].text), &value), "%s", cases[i].text);
        cr_expect_eq(value, cases[i].value, "%s gave %" PRId64, cases[i].text, value);
    }
}

Test(number, texts_that_are_no_strict_integers_are_refused) {
    static const struct {
        const char *text;
        size_t size;
    } cases[] = {
        {TEXT("")},
        {TEXT("-")},
        {TEXT("-0")},
        {TEXT("00")},
        {TEXT("01")},
        {TEXT("-01")},
        {TEXT("+1")},
        {TEXT("--1")},
        {TEXT("-+1")},
        {TEXT(" 1")},
        {TEXT("1 ")},
        {TEXT("1\n")},
        {TEXT("1\0")},
        {TEXT("\0001")},
        {TEXT("1.0")},
        {TEXT("1e3")},
        {TEXT("0x1")},
        {TEXT("1,000")},
        {TEXT("a")},
        {TEXT("/")},
        {TEXT(":")},
        {TEXT("12345/78")},
        {TEXT("1234567:")},
        {TEXT("\xb1")},
        {TEXT("9223372036854775808")},
        {TEXT("-9223372036854775809")},
        {TEXT("18446744073709551615")},
        {TEXT("18446744073709551616")},
        {TEXT("-18446744073709551616")},
        {TEXT("99999999999999999999")},
        {TEXT("100000000000000000000")},
        {TEXT("-100000000000000000000")},
        {TEXT("000000000000000000001")},
        {TEXT("1111111111111111111111111111111111111111")},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t value = 42;
        cr_expect(!parse_int64(cases[i].text, cases[i].size, &value), "%s", cases[i].text);
        cr_expect_eq(value, 42, "%s touched the value", cases[i].text);
    }
}

Test(number, a_wrong_byte_is_found_wherever_it_stands) {
    for (size_t size = 1; size <= 18; size++) {
        for (size_t place = 0; place < size; place++) {
            for (int byte = 0; byte < 256; byte++) {
                char text[18];
                memset(text, '7', size);
                text[place] = (char)byte;
                int64_t value;
                bool digit = byte >= (place == 0 && size > 1 ? '1' : '0') && byte <= '9';
                bool minus = byte == '-' && place == 0 && size > 1;
                cr_assert_eq(parse_int64(text, size, &value), digit || minus, "size %zu place %zu byte %d",
                             size, place, byte);
            }
        }
    }
}

Test(number, unsigned_integers_go_up_to_64_bits) {
    uint64_t value = 42;
    cr_expect(number_parse_uint64(TEXT("0"), &value));
    cr_expect_eq(value, 0);
    cr_expect(number_parse_uint64(TEXT("9223372036854775808"), &value));
    cr_expect_eq(value, 1ULL << 63);
    cr_expect(number_parse_uint64(TEXT("18446744073709551615"), &value));
    cr_expect_eq(value, UINT64_MAX);
    cr_expect(!number_parse_uint64(TEXT("18446744073709551616"), &value));
    cr_expect(!number_parse_uint64(TEXT("-1"), &value));
    cr_expect(!number_parse_uint64(TEXT(""), &value));
    cr_expect(!number_parse_uint64(TEXT("007"), &value));
    cr_expect_eq(value, UINT64_MAX);
}

static void expect_integer_texts(uint64_t number) {
    char expected[32], text[NUMBER_INT64_SIZE];
    size_t size = (size_t)snprintf(expected, sizeof(expected), "%" PRIu64, number);
    uint64_t read_unsigned;
    cr_assert_eq(number_size_uint64(number), size, "%s", expected);
    cr_assert_eq(number_format_uint64(text, number), size, "%s", expected);
    cr_assert(memcmp(text, expected, size) == 0, "%s", expected);
    cr_assert(number_parse_uint64(text, size, &read_unsigned) && read_unsigned == number, "%s", expected);

    int64_t both[2] = {(int64_t)number, (int64_t)(0 - number)};
    for (size_t i = 0; i < 2; i++) {
        int64_t read_signed;
        size = (size_t)snprintf(expected, sizeof(expected), "%" PRId64, both[i]);
        cr_assert_eq(number_size_int64(both[i]), size, "%s", expected);
        cr_assert_eq(number_format_int64(text, both[i]), size, "%s", expected);
        cr_assert(memcmp(text, expected, size) == 0, "%s", expected);
        cr_assert(parse_int64(text, size, &read_signed) && read_signed == both[i], "%s", expected);
    }
}

Test(number, integers_are_written_as_the_c_library_does_and_read_back) {
    uint64_t power = 1;
    for (int digits = 0; digits < 20; digits++, power *= 10) {
        expect_integer_texts(power - 1);
        expect_integer_texts(power);
        expect_integer_texts(power + 1);
    }
    for (unsigned bits = 0; bits < 64; bits++) {
        expect_integer_texts((1ULL << bits) - 1);
        expect_integer_texts(1ULL << bits);
    }
    expect_integer_texts(UINT64_MAX);
    struct rng rng;
    rng_init(&rng, 1);
    for (int i = 0; i < 20000; i++)
        expect_integer_texts(rng_next64(&rng) >> rng_below(&rng, 64));
}

Test(number, writing_an_integer_touches_no_byte_behind_it) {
    char text[NUMBER_INT64_SIZE];
    memset(text, '#', sizeof(text));
    cr_expect_eq(number_format_int64(text, -1234), 5);
    cr_expect(memcmp(text, "-1234###############", sizeof(text)) == 0);
    cr_expect_eq(number_format_int64(text, INT64_MIN), NUMBER_INT64_SIZE);
}

/* --- text to floating point --------------------------------------------------------------------------- */

Test(number, doubles_are_read) {
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"0", 0},
        {"-0", -0.0},
        {"1", 1},
        {"+1", 1},
        {".5", 0.5},
        {"5.", 5},
        {"-.5", -0.5},
        {"00012", 12},
        {"0.1", 0.1},
        {"3.0e3", 3000},
        {"3E-3", 0.003},
        {"1e+2", 100},
        {"123456789012345678", 123456789012345678.0},
        {"0.000000000000000000000000001", 1e-27},
        {"9007199254740993", 9007199254740992.0},
        {"9007199254740993.00000000000000000000000000000001", 9007199254740994.0},
        {"99999999999999999999", 1e20},
        {"1844674407370955161.7", 1844674407370955161.7},
        {"1e22", 1e22},
        {"1e23", 1e23},
        {"1.7976931348623157e308", DBL_MAX},
        {"2.2250738585072014e-308", DBL_MIN},
        {"5e-324", 4.9406564584124654e-324},
        {"1e-310", 1e-310},
        {"0e999", 0},
        {"0x10", 16},
        {"0X1P+4", 16},
        {"0x.8", 0.5},
        {"-0x1p-3", -0.125},
        {"inf", INFINITY},
        {"+inf", INFINITY},
        {"-inf", -INFINITY},
        {"iNfinity", INFINITY},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        double value = 42;
        cr_expect(number_parse_double(cases[i].text, strlen(cases[i].text), &value), "%s", cases[i].text);
        cr_expect(memcmp(&value, &cases[i].value, sizeof(value)) == 0, "%s gave %a", cases[i].text, value);
        long double wide = 42;
        cr_expect(number_parse_long_double(cases[i].text, strlen(cases[i].text), &wide), "%s", cases[i].text);
        cr_expect(wide == strtold(cases[i].text, NULL), "%s gave %La", cases[i].text, wide);
        cr_expect_eq(!signbit(wide), !signbit(cases[i].value), "%s", cases[i].text);
    }
}

Test(number, texts_that_are_no_floating_point_numbers_are_refused) {
    static const struct {
        const char *text;
        size_t size;
    } cases[] = {
        {TEXT("")},        {TEXT(" ")},       {TEXT(" 1")},     {TEXT("1 ")},         {TEXT("\t1")},
        {TEXT("\n1")},     {TEXT("\v1")},     {TEXT("\f1")},    {TEXT("\r1")},        {TEXT(".")},
        {TEXT("-")},       {TEXT("+")},       {TEXT("--1")},    {TEXT("+-1")},        {TEXT("e5")},
        {TEXT("1e")},      {TEXT("1e+")},     {TEXT("1e-")},    {TEXT("1e5.5")},      {TEXT("1.2.3")},
        {TEXT("1,5")},     {TEXT("1_0")},     {TEXT("0x")},     {TEXT("0b1")},        {TEXT("nan")},
        {TEXT("-nan")},    {TEXT("NaN(1)")},  {TEXT("in")},     {TEXT("infin")},      {TEXT("1f")},
        {TEXT("1\0")},     {TEXT("\0001")},   {TEXT("1\0002")}, {TEXT("0x1p-20000")}, {TEXT("1e5000")},
        {TEXT("-1e5000")}, {TEXT("1e-5000")},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        double value = 42;
        long double wide = 42;
        cr_expect(!number_parse_double(cases[i].text, cases[i].size, &value), "%s", cases[i].text);
        cr_expect(!number_parse_long_double(cases[i].text, cases[i].size, &wide), "%s", cases[i].text);
        cr_expect_eq(value, 42);
        cr_expect_eq(wide, 42);
    }
}

Test(number, what_only_a_long_double_can_hold_is_no_double) {
    static const char *const texts[] = {"1e309", "1e400", "-1e400", "1e4932", "1e-330", "1e-4950"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        double value = 42;
        long double wide = 42;
        cr_expect(!number_parse_double(texts[i], strlen(texts[i]), &value), "%s", texts[i]);
        cr_expect_eq(value, 42);
        cr_expect(number_parse_long_double(texts[i], strlen(texts[i]), &wide), "%s", texts[i]);
        cr_expect(wide == strtold(texts[i], NULL), "%s", texts[i]);
    }
}

Test(number, long_texts_are_read_up_to_the_limit) {
    static char text[NUMBER_FLOAT_TEXT_SIZE_MAX + 1];
    memset(text, '0', sizeof(text));
    text[NUMBER_FLOAT_TEXT_SIZE_MAX - 1] = '7';
    double value = 42;
    long double wide = 42;
    cr_expect(number_parse_double(text, NUMBER_FLOAT_TEXT_SIZE_MAX, &value));
    cr_expect_eq(value, 7);
    cr_expect(number_parse_long_double(text, NUMBER_FLOAT_TEXT_SIZE_MAX, &wide));
    cr_expect_eq(wide, 7);
    cr_expect(!number_parse_double(text, NUMBER_FLOAT_TEXT_SIZE_MAX + 1, &value));
    cr_expect(!number_parse_long_double(text, NUMBER_FLOAT_TEXT_SIZE_MAX + 1, &wide));
    cr_expect_eq(value, 7);
}

/* The C library's answer under our rules. */
static bool read_by_library(const char *text, double *value) {
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && !isnan(*value) &&
           !(errno == ERANGE && (*value == 0 || isinf(*value)));
}

static bool read_wide_by_library(const char *text, long double *value) {
    char *end;
    errno = 0;
    *value = strtold(text, &end);
    return end != text && *end == '\0' && !isnan(*value) &&
           !(errno == ERANGE && (*value == 0 || isinf(*value)));
}

static void random_number_text(struct rng *rng, char *text, size_t capacity) {
    static const char alphabet[] = "0123456789012345678901234567890123456789.e-+";
    size_t size;
    switch (rng_below(rng, 3)) {
    case 0:
        size = rng_below(rng, 14);
        for (size_t i = 0; i < size; i++)
            text[i] = alphabet[rng_below(rng, sizeof(alphabet) - 1)];
        text[size] = '\0';
        break;
    case 1:
        snprintf(text, capacity, "%.*f", (int)rng_below(rng, 20),
                 (rng_double(rng) - 0.5) * pow(10, (double)rng_below(rng, 20)));
        break;
    default:
        snprintf(text, capacity, "%s%" PRIu64 ".%" PRIu64 "e%d", rng_below(rng, 2) == 0 ? "-" : "",
                 rng_below(rng, 100000000), rng_below(rng, 10000000000), (int)rng_below(rng, 80) - 40);
        break;
    }
}

Test(number, random_texts_are_read_as_the_c_library_does) {
    struct rng rng;
    rng_init(&rng, 2);
    for (int i = 0; i < 100000; i++) {
        char text[64];
        random_number_text(&rng, text, sizeof(text));
        double expected, value = 42;
        bool taken = read_by_library(text, &expected);
        cr_assert_eq(number_parse_double(text, strlen(text), &value), taken, "%s", text);
        cr_assert(!taken || memcmp(&value, &expected, sizeof(value)) == 0, "%s gave %a", text, value);
        long double wide_expected, wide = 42;
        taken = read_wide_by_library(text, &wide_expected);
        cr_assert_eq(number_parse_long_double(text, strlen(text), &wide), taken, "%s", text);
        cr_assert(!taken || (wide == wide_expected && !signbit(wide) == !signbit(wide_expected)),
                  "%s gave %La", text, wide);
    }
}

/* --- floating point to text --------------------------------------------------------------------------- */

struct double_case {
    double value;
    const char *exact;
    const char *shortest;
};

Test(number, doubles_are_written) {
    static const struct double_case cases[] = {
        {0, "0", "0"},
        {-0.0, "-0", "-0"},
        {1, "1", "1"},
        {-1, "-1", "-1"},
        {0.5, "0.5", "0.5"},
        {-0.5, "-0.5", "-0.5"},
        {0.1, "0.10000000000000001", "0.1"},
        {0.3, "0.29999999999999999", "0.3"},
        {0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"},
        {2.675, "2.6749999999999998", "2.675"},
        {123456.789, "123456.789", "123456.789"},
        {3.141592653589793, "3.1415926535897931", "3.141592653589793"},
        {0.0001, "0.0001", "0.0001"},
        {0.00012345, "0.00012344999999999999", "0.00012345"},
        {0.00001, "1.0000000000000001e-05", "1e-05"},
        {1e15, "1000000000000000", "1000000000000000"},
        {1e16, "10000000000000000", "10000000000000000"},
        {9999999999999999.0, "10000000000000000", "10000000000000000"},
        {99999999999999984.0, "99999999999999984", "99999999999999984"},
        {1e17, "1e+17", "1e+17"},
        {123456789012345678.0, "1.2345678901234568e+17", "1.2345678901234568e+17"},
        {1e18, "1e+18", "1e+18"},
        {1.5e300, "1.5000000000000001e+300", "1.5e+300"},
        {DBL_MAX, "1.7976931348623157e+308", "1.7976931348623157e+308"},
        {-DBL_MAX, "-1.7976931348623157e+308", "-1.7976931348623157e+308"},
        {5e-324, "4.9406564584124654e-324", "5e-324"},
        {4503599627370495.5, "4503599627370495.5", "4503599627370495.5"},
        {1.0000000000000002, "1.0000000000000002", "1.0000000000000002"},
        {0.99999999999999989, "0.99999999999999989", "0.9999999999999999"},
        {9.9999999999999982, "9.9999999999999982", "9.999999999999998"},
        {INFINITY, "inf", "inf"},
        {-INFINITY, "-inf", "-inf"},
        {NAN, "nan", "nan"},
        {-NAN, "nan", "nan"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[NUMBER_DOUBLE_SIZE + 1];
        text[number_format_double(text, cases[i].value)] = '\0';
        cr_expect_str_eq(text, cases[i].exact);
        text[number_format_double_shortest(text, cases[i].value)] = '\0';
        cr_expect_str_eq(text, cases[i].shortest);
    }
}

static double random_double(struct rng *rng) {
    uint64_t bits = rng_next64(rng);
    double value;
    switch (rng_below(rng, 6)) {
    case 0: memcpy(&value, &bits, sizeof(value)); return isnan(value) ? 0 : value;
    case 1: return ((double)rng_below(rng, 2000000) - 1000000) / 1000;
    case 2: return rng_double(rng) * pow(10, (double)rng_below(rng, 24) - 6);
    case 3: return ldexp((double)(bits >> 11), -(int)rng_below(rng, 70));
    case 4: return (double)rng_below(rng, 100000) / pow(10, (double)rng_below(rng, 9));
    default: /* powers of two and their neighbours */
        return ldexp(1.0 + ((double)rng_below(rng, 3) - 1) * 0x1p-52, (int)rng_below(rng, 130) - 70);
    }
}

Test(number, random_doubles_are_written_as_the_c_library_does) {
    struct rng rng;
    rng_init(&rng, 3);
    for (int i = 0; i < 100000; i++) {
        double value = random_double(&rng);
        char text[NUMBER_DOUBLE_SIZE + 1], expected[64];
        text[number_format_double(text, value)] = '\0';
        snprintf(expected, sizeof(expected), "%.17g", value);
        cr_assert_str_eq(text, expected);
    }
}

Test(number, the_shortest_text_reads_back_and_no_shorter_one_does) {
    struct rng rng;
    rng_init(&rng, 4);
    for (int i = 0; i < 50000; i++) {
        double value = random_double(&rng);
        char text[NUMBER_DOUBLE_SIZE + 1], expected[64];
        text[number_format_double_shortest(text, value)] = '\0';
        cr_assert(strtod(text, NULL) == value, "%s is not %a", text, value);
        int digits = 1;
        do
            snprintf(expected, sizeof(expected), "%.*g", digits, value);
        while (strtod(expected, NULL) != value && digits++ < 17);
        /* Where %g chooses an exponent only because it was given few digits, the layouts differ. */
        if (strchr(text, 'e') != NULL || strchr(expected, 'e') == NULL)
            cr_assert_str_eq(text, expected);
    }
}

static void expect_long_double(long double value, const char *expected) {
    char text[NUMBER_LONG_DOUBLE_SIZE];
    size_t size = number_format_long_double(text, sizeof(text), value);
    cr_assert_lt(size, sizeof(text));
    text[size] = '\0';
    cr_expect_str_eq(text, expected);
}

Test(number, long_doubles_are_written_in_plain_decimals) {
    expect_long_double(0, "0");
    expect_long_double(-0.0L, "0");
    expect_long_double(1, "1");
    expect_long_double(10, "10");
    expect_long_double(100, "100");
    expect_long_double(-1, "-1");
    expect_long_double(0.1L, "0.1");
    expect_long_double(-0.1L, "-0.1");
    expect_long_double(10.5L, "10.5");
    expect_long_double(5.0e3L, "5000");
    expect_long_double(3.14159265358979323846L, "3.14159265358979324");
    expect_long_double(1e-17L, "0.00000000000000001");
    expect_long_double(6e-18L, "0.00000000000000001");
    expect_long_double(-6e-18L, "-0.00000000000000001");
    expect_long_double(4e-18L, "0");
    expect_long_double(-4e-18L, "0");
    expect_long_double(1e-4000L, "0");
    expect_long_double(0x1p-64L, "0");
    expect_long_double(-0x1.8p-58L, "-0.00000000000000001");
    expect_long_double(1 - 0x1p-64L, "1");
    expect_long_double(0x1p-61L - 8, "-8");
}

Test(number, large_long_doubles_are_written_in_full) {
    expect_long_double(1e17L, "100000000000000000");
    expect_long_double(9223372036854775807.5L, "9223372036854775807.5");
    expect_long_double(18446744073709551615.0L, "18446744073709551615");
    expect_long_double(18446744073709551616.0L, "18446744073709551616");
    expect_long_double(-123456789012345678901234567890.0L, "-123456789012345678899921813504");
    char text[NUMBER_LONG_DOUBLE_SIZE];
    cr_expect_eq(number_format_long_double(text, sizeof(text), LDBL_MAX), 4933);
    cr_expect_eq(number_format_long_double(text, sizeof(text), -LDBL_MAX), 4934);
    cr_expect(memcmp(text, "-11897314953572317650212638530309702051", 38) == 0);
}

Test(number, long_doubles_that_are_no_numbers_are_named) {
    expect_long_double(INFINITY, "inf");
    expect_long_double(-INFINITY, "-inf");
    expect_long_double(NAN, "nan");
}

Test(number, a_long_double_that_may_not_fit_is_not_written) {
    char text[24];
    memset(text, '#', sizeof(text));
    cr_expect_eq(number_format_long_double(text, 19, 1.5L), 0);
    cr_expect_eq(number_format_long_double(text, 20, 1.5L), 3);
    cr_expect_eq(number_format_long_double(text, 20, -1.5L), 0);
    cr_expect_eq(number_format_long_double(text, 20, 1e30L), 0);
    cr_expect_eq(number_format_long_double(text, 4, INFINITY), 0);
    cr_expect_eq(number_format_long_double(text, 3, NAN), 0);
    cr_expect_eq(number_format_long_double(text, 0, 1.5L), 0);
    cr_expect_eq(text[20], '#');
}

Test(number, random_long_doubles_are_written_as_the_c_library_does) {
    struct rng rng;
    rng_init(&rng, 5);
    for (int i = 0; i < 50000; i++) {
        long double value = (long double)random_double(&rng) + (long double)random_double(&rng) * 1e-5L;
        if (i % 5 == 0)
            value = (long double)rng_next64(&rng) * powl(10, -(long double)rng_below(&rng, 40));
        if (isinf(value) || isnan(value))
            continue;
        static char expected[NUMBER_LONG_DOUBLE_SIZE];
        size_t size = (size_t)snprintf(expected, sizeof(expected), "%.17Lf", value);
        while (expected[size - 1] == '0')
            size--;
        size -= expected[size - 1] == '.';
        expected[size] = '\0';
        expect_long_double(value, strcmp(expected, "-0") == 0 ? "0" : expected);
    }
}

/* --- amounts of memory -------------------------------------------------------------------------------- */

Test(number, amounts_of_memory_are_read) {
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"00012", 12},
        {"100b", 100},
        {"1k", 1000},
        {"1kb", 1024},
        {"1K", 1000},
        {"1Kb", 1024},
        {"100mb", 100 << 20},
        {"3m", 3000000},
        {"1g", 1000000000},
        {"1gb", 1 << 30},
        {"1GB", 1 << 30},
        {"17179869183gb", 17179869183ULL << 30},
        {"18446744073709551615", UINT64_MAX},
        {"18446744073709551615b", UINT64_MAX},
        {"", 0},
        {"b", 0},
        {"kb", 0},
        {"g", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t bytes = 42;
        cr_expect(number_parse_memory(cases[i].text, strlen(cases[i].text), &bytes), "%s", cases[i].text);
        cr_expect_eq(bytes, cases[i].bytes, "%s gave %" PRIu64, cases[i].text, bytes);
    }
}

Test(number, texts_that_are_no_amounts_of_memory_are_refused) {
    static const struct {
        const char *text;
        size_t size;
    } cases[] = {
        {TEXT("-1")},
        {TEXT("+1")},
        {TEXT(" 1")},
        {TEXT("1 ")},
        {TEXT("1 gb")},
        {TEXT("1.5gb")},
        {TEXT("1tb")},
        {TEXT("1x")},
        {TEXT("1kbb")},
        {TEXT("1bk")},
        {TEXT("1k\0")},
        {TEXT("1\0")},
        {TEXT("1kb1")},
        {TEXT("0x10")},
        {TEXT("yes")},
        {TEXT("18446744073709551616")},
        {TEXT("17179869184gb")},
        {TEXT("18446744073709551615k")},
        {TEXT("99999999999999999999999999")},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t bytes = 42;
        cr_expect(!number_parse_memory(cases[i].text, cases[i].size, &bytes), "%s", cases[i].text);
        cr_expect_eq(bytes, 42);
    }
}

Test(number, sizes_are_written_for_people) {
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0B"},
        {1, "1B"},
        {1023, "1023B"},
        {1024, "1.00K"},
        {1536, "1.50K"},
        {1048575, "1024.00K"},
        {1048576, "1.00M"},
        {1572864, "1.50M"},
        {1ULL << 30, "1.00G"},
        {(1ULL << 40) * 5 / 2, "2.50T"},
        {1ULL << 50, "1.00P"},
        {(1ULL << 60) - 1, "1024.00P"},
        {1ULL << 60, "1152921504606846976B"},
        {UINT64_MAX, "18446744073709551615B"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[NUMBER_HUMAN_SIZE + 1];
        text[number_format_human_size(text, cases[i].bytes)] = '\0';
        cr_expect_str_eq(text, cases[i].text);
    }
}
