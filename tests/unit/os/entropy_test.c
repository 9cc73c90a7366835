/* entropy_test.c - tests of os/entropy.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/entropy.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

Test(entropy, two_drawings_differ) {
    uint8_t first[32] = {0}, second[32] = {0};
    cr_assert(entropy_fill(first, sizeof first));
    cr_assert(entropy_fill(second, sizeof second));
    cr_assert(memcmp(first, second, sizeof first) != 0);
}

Test(entropy, requests_above_what_the_kernel_gives_at_once_are_filled_to_their_last_byte_and_no_further) {
    enum { SIZE = 40 * 1024 * 1024 };
    uint8_t *bytes = calloc(SIZE + 1, 1);
    cr_assert_not_null(bytes);
    bytes[SIZE] = 77;
    cr_assert(entropy_fill(bytes, SIZE));
    cr_assert_eq(bytes[SIZE], 77);
    size_t zeros_at_the_end = 0;
    while (zeros_at_the_end < SIZE && bytes[SIZE - 1 - zeros_at_the_end] == 0)
        zeros_at_the_end++;
    cr_assert_lt(zeros_at_the_end, 16);
    free(bytes);
}
