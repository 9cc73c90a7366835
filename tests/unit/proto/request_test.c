/* request_test.c - requests found in bytes: arrays, inline commands, limits, errors, incomplete input.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/limits.h"
#include "proto/request.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const struct request_limits usual = {.arguments_max = REQUEST_ARGUMENTS_MAX,
                                            .bulk_max = VALUE_SIZE_MAX};
static const struct request_limits strangers = {.arguments_max = UNAUTHENTICATED_ARGUMENTS_MAX,
                                                .bulk_max = UNAUTHENTICATED_BULK_MAX,
                                                .unauthenticated = true};

static char copy[200000];
static struct argument arguments[64];
static struct request request;

static enum request_status parse_with(const struct request_limits *limits, const char *text, size_t size) {
    memcpy(copy, text, size);
    memset(&request, 0, sizeof request);
    return request_parse((uint8_t *)copy, size, limits, arguments, 64, &request);
}

static enum request_status parse(const char *text) {
    return parse_with(&usual, text, strlen(text));
}

static void is_argument(uint32_t index, const char *text) {
    cr_assert_eq(arguments[index].size, strlen(text), "argument %u has %u bytes", index,
                 arguments[index].size);
    cr_assert_eq(memcmp(arguments[index].data, text, strlen(text)), 0);
    cr_assert_eq(arguments[index].slot, ARGUMENT_NOT_PLACED);
}

static void breaks(const struct request_limits *limits, const char *text, const char *error) {
    cr_assert_eq(parse_with(limits, text, strlen(text)), REQUEST_BROKEN, "%s", text);
    cr_assert_str_eq(request.error, error);
}

Test(request, an_array_of_bulk_strings_is_taken_in_place) {
    const char *text = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nabcdefghijkl\r\nmore";
    cr_assert_eq(parse(text), REQUEST_COMPLETE);
    cr_assert_eq(request.argc, 3);
    is_argument(0, "SET");
    is_argument(1, "k");
    is_argument(2, "abcdefghijkl");
    cr_assert_eq(request.consumed, strlen(text) - 4);
    cr_assert_eq((const char *)arguments[0].data, copy + 8);
}

Test(request, every_prefix_is_incomplete_and_says_so) {
    const char *text = "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$300\r\n";
    static char whole[400];
    size_t size = strlen(text);
    memcpy(whole, text, size);
    memset(whole + size, 'x', 300);
    memcpy(whole + size + 300, "\r\n", 2);
    size += 302;
    for (size_t i = 0; i < size; i++) {
        cr_assert_eq(parse_with(&usual, whole, i), REQUEST_INCOMPLETE, "%zu bytes", i);
        cr_assert_gt(request.needed, i);
        cr_assert_leq(request.needed, size, "%zu bytes of %zu: %zu needed", i, size, request.needed);
    }
    cr_assert_eq(parse_with(&usual, whole, size), REQUEST_COMPLETE);
}

Test(request, inline_commands_are_split_at_spaces) {
    cr_assert_eq(parse("  set  key   value \r\n"), REQUEST_COMPLETE);
    cr_assert_eq(request.argc, 3);
    is_argument(0, "set");
    is_argument(1, "key");
    is_argument(2, "value");
    cr_assert_eq(parse("PING\n"), REQUEST_COMPLETE);
    is_argument(0, "PING");
    cr_assert_eq(parse("PIN"), REQUEST_INCOMPLETE);
}

Test(request, inline_commands_know_quotes_and_escapes) {
    cr_assert_eq(parse("set \"a b\\x41\\n\\\"\" 'it\\'s \\n'\r\n"), REQUEST_COMPLETE);
    cr_assert_eq(request.argc, 3);
    is_argument(1, "a bA\n\"");
    is_argument(2, "it's \\n");
    cr_assert_eq(parse("set \"\" ''\r\n"), REQUEST_COMPLETE);
    is_argument(1, "");
    is_argument(2, "");
    breaks(&usual, "set \"open\r\n", "ERR Protocol error: unbalanced quotes in request");
    breaks(&usual, "set \"a\"b\r\n", "ERR Protocol error: unbalanced quotes in request");
}

Test(request, empty_requests_are_nothing_to_do) {
    const char *texts[] = {"\r\n", "\n", "   \r\n", "*0\r\n", "*-1\r\n", "*-7\r\n"};
    for (unsigned i = 0; i < 6; i++) {
        cr_assert_eq(parse(texts[i]), REQUEST_COMPLETE);
        cr_assert_eq(request.argc, 0);
        cr_assert_eq(request.consumed, strlen(texts[i]));
    }
}

Test(request, broken_headers_have_the_words_that_clients_know) {
    breaks(&usual, "*x\r\n", "ERR Protocol error: invalid multibulk length");
    breaks(&usual, "*1048577\r\n", "ERR Protocol error: invalid multibulk length");
    breaks(&usual, "*3000000000\r\n", "ERR Protocol error: invalid multibulk length");
    breaks(&usual, "*1\r\nx1\r\n", "ERR Protocol error: expected '$', got 'x'");
    breaks(&usual, "*1\r\n$x\r\n", "ERR Protocol error: invalid bulk length");
    breaks(&usual, "*1\r\n$-1\r\n", "ERR Protocol error: invalid bulk length");
    breaks(&usual, "*1\r\n$+1\r\n", "ERR Protocol error: invalid bulk length");
    breaks(&usual, "*1\r\n$01\r\n", "ERR Protocol error: invalid bulk length");
    breaks(&usual, "*1\r\n$536870913\r\n", "ERR Protocol error: invalid bulk length");
    breaks(&usual, "*1\r\n$1\r\nabc\r\n", "ERR Protocol error: expected CRLF after an argument");
}

Test(request, strangers_have_small_limits) {
    breaks(&strangers, "*11\r\n", "ERR Protocol error: unauthenticated multibulk length");
    breaks(&strangers, "*1\r\n$16385\r\n", "ERR Protocol error: unauthenticated bulk length");
    cr_assert_eq(parse_with(&strangers, "*1\r\n$16384\r\n", 12), REQUEST_INCOMPLETE);
}

Test(request, too_long_headers_are_refused) {
    static char text[REQUEST_INLINE_MAX + 10];
    memset(text, 'a', sizeof text);
    cr_assert_eq(parse_with(&usual, text, sizeof text), REQUEST_BROKEN);
    cr_assert_str_eq(request.error, "ERR Protocol error: too big inline request");
    memset(text, '1', sizeof text);
    text[0] = '*';
    cr_assert_eq(parse_with(&usual, text, sizeof text), REQUEST_BROKEN);
    cr_assert_str_eq(request.error, "ERR Protocol error: too big mbulk count string");
}

Test(request, room_is_asked_for_only_for_arguments_that_are_there) {
    cr_assert_eq(parse("*1000000\r\n$1\r\na\r\n"), REQUEST_INCOMPLETE);
    static char text[2000];
    size_t size = (size_t)snprintf(text, sizeof text, "*100\r\n");
    for (unsigned i = 0; i < 100; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "$1\r\na\r\n");
    cr_assert_eq(parse_with(&usual, text, size), REQUEST_NO_ROOM);
    cr_assert_eq(request.argc, 100);
}
