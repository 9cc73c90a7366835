/* reply_test.c - the bytes of replies in both protocols.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "proto/reply.h"

#include <criterion/criterion.h>

struct writer {
    struct mem mem;
    struct buffer out;
    struct reply reply;
};

static void writer_init(struct writer *writer, uint8_t protocol) {
    *writer = (struct writer){0};
    buffer_init(&writer->out, &writer->mem);
    writer->reply = (struct reply){.out = &writer->out, .protocol = protocol};
}

static void wrote(struct writer *writer, const char *text) {
    cr_assert_eq(writer->out.size, strlen(text), "'%.*s' is not '%s'", (int)writer->out.size,
                 writer->out.data, text);
    cr_assert_eq(memcmp(writer->out.data, text, writer->out.size), 0, "'%.*s' is not '%s'",
                 (int)writer->out.size, writer->out.data, text);
    buffer_release(&writer->out);
    cr_assert_eq(writer->mem.used_bytes, 0);
}

#define WRITES(version, text, ...)           \
    do {                                     \
        struct writer writer;                \
        writer_init(&writer, version);       \
        struct reply *reply = &writer.reply; \
        __VA_ARGS__;                         \
        wrote(&writer, text);                \
    } while (0)

Test(reply, simple_things_are_the_same_in_both_protocols) {
    for (uint8_t protocol = 2; protocol <= 3; protocol++) {
        WRITES(protocol, "+OK\r\n", reply_ok(reply));
        WRITES(protocol, "+PONG\r\n", reply_simple(reply, "PONG"));
        WRITES(protocol, "-ERR no\r\n", reply_error(reply, "ERR no"));
        WRITES(protocol, "-ERR a  b\r\n", reply_error(reply, "ERR a\r\nb"));
        WRITES(protocol, "-ERR a  b\r\n", reply_error(reply, "ERR a\r\nb\n\r\n"));
        WRITES(protocol, ":0\r\n", reply_integer(reply, 0));
        WRITES(protocol, ":-42\r\n", reply_integer(reply, -42));
        WRITES(protocol, ":9223372036854775807\r\n", reply_integer(reply, INT64_MAX));
        WRITES(protocol, ":-9223372036854775808\r\n", reply_integer(reply, INT64_MIN));
        WRITES(protocol, "$0\r\n\r\n", reply_bulk(reply, NULL, 0));
        WRITES(protocol, "$3\r\nabc\r\n", reply_bulk(reply, "abc", 3));
        WRITES(protocol, "$12\r\nabcdefghijkl\r\n", reply_bulk_text(reply, "abcdefghijkl"));
        WRITES(protocol, "$3\r\n-17\r\n", reply_bulk_integer(reply, -17));
        WRITES(protocol, "$5\r\nx=007\r\n", reply_bulk_format(reply, "x=%03d", 7));
        WRITES(protocol, "*2\r\n", reply_array(reply, 2));
    }
}

Test(reply, types_that_only_resp3_has_become_their_equivalents_in_resp2) {
    WRITES(2, "$-1\r\n", reply_null(reply));
    WRITES(3, "_\r\n", reply_null(reply));
    WRITES(2, "*-1\r\n", reply_null_array(reply));
    WRITES(3, "_\r\n", reply_null_array(reply));
    WRITES(2, "*4\r\n", reply_map(reply, 2));
    WRITES(3, "%2\r\n", reply_map(reply, 2));
    WRITES(2, "*2\r\n", reply_set(reply, 2));
    WRITES(3, "~2\r\n", reply_set(reply, 2));
    WRITES(2, ":1\r\n", reply_boolean(reply, true));
    WRITES(3, "#t\r\n", reply_boolean(reply, true));
    WRITES(2, "$3\r\n1.5\r\n", reply_double(reply, 1.5));
    WRITES(3, ",1.5\r\n", reply_double(reply, 1.5));
    WRITES(2, "$2\r\nhi\r\n", reply_verbatim(reply, "txt", "hi", 2));
    WRITES(3, "=6\r\ntxt:hi\r\n", reply_verbatim(reply, "txt", "hi", 2));
}

Test(reply, a_deferred_header_is_put_in_front) {
    WRITES(3, "%1\r\n:1\r\n:2\r\n", size_t place = reply_deferred(reply); reply_integer(reply, 1);
           reply_integer(reply, 2); reply_deferred_set(reply, place, '%', 1));
    WRITES(2, "*2\r\n:1\r\n:2\r\n", size_t place = reply_deferred(reply); reply_integer(reply, 1);
           reply_integer(reply, 2); reply_deferred_set(reply, place, '%', 1));
}

Test(reply, without_memory_it_fails_and_can_be_rolled_back) {
    struct writer writer;
    writer_init(&writer, 2);
    reply_ok(&writer.reply);
    size_t mark = reply_mark(&writer.reply);
    writer.mem.fuse = 1;
    static char large[5000];
    reply_bulk(&writer.reply, large, sizeof large);
    cr_assert_not(reply_is_complete(&writer.reply));
    reply_rollback(&writer.reply, mark);
    cr_assert(reply_is_complete(&writer.reply));
    wrote(&writer, "+OK\r\n");
}
