/* argument_test.c - comparing an argument with the name of an option.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/argument.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* In a block of exactly its size, so that a sanitizer sees a look behind it. */
static bool is(const char *text, size_t size, const char *word) {
    uint8_t *bytes = malloc(size + (size == 0));
    memcpy(bytes, text, size);
    struct argument argument = {.data = bytes, .size = (uint32_t)size, .slot = ARGUMENT_NOT_PLACED};
    bool result = argument_is(&argument, word);
    free(bytes);
    return result;
}

Test(argument, a_word_is_known_in_any_case_of_its_letters) {
    cr_assert(is("match", 5, "match"));
    cr_assert(is("MaTcH", 5, "match"));
    cr_assert(is("lib-NAME", 8, "LIB-name"));
    cr_assert(is("", 0, ""));
}

Test(argument, nothing_but_the_whole_word_is_it) {
    cr_assert(!is("matc", 4, "match"));
    cr_assert(!is("matches", 7, "match"));
    cr_assert(!is("", 0, "match"));
    cr_assert(!is("match", 5, ""));
    cr_assert(!is("mitch", 5, "match"));
    cr_assert(!is("match\0", 6, "match"), "a zero byte is a byte like others");
    cr_assert(!is("mat\0h", 5, "match"));
    cr_assert(!is("lib_name", 8, "lib-name"), "only letters have a case");
    cr_assert(!is("[", 1, "{"));
}
