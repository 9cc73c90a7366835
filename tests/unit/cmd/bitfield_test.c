/* bitfield_test.c - BITFIELD, BITFIELD_RO, with the replies of redis-server 7.0.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/harness.h"

#include <criterion/criterion.h>

static struct harness harness;

static void set_up(void) {
    harness_init(&harness);
}

static void tear_down(void) {
    harness_release(&harness);
}

TestSuite(bitfield, .init = set_up, .fini = tear_down);

/* ---- Fields ---- */

Test(bitfield, a_field_is_read_set_and_added_to) {
    EXPECT(&harness, "BITFIELD a SET u8 0 255", "*1\r\n:0\r\n");
    EXPECT(&harness, "BITFIELD a GET u8 0", "*1\r\n:255\r\n");
    EXPECT(&harness, "BITFIELD a GET i8 0", "*1\r\n:-1\r\n");
    EXPECT(&harness, "BITFIELD a SET i8 8 -2", "*1\r\n:0\r\n");
    EXPECT(&harness, "BITFIELD a GET u16 0", "*1\r\n:65534\r\n");
    EXPECT(&harness, "BITFIELD a INCRBY u8 0 -5 INCRBY u8 0 2 GET u8 0", "*3\r\n:250\r\n:252\r\n:252\r\n");
    EXPECT(&harness, "GET a", "$2\r\n\374\376\r\n");
    EXPECT(&harness, "BITFIELD a SET u4 2 5 SET i3 9 -1", "*2\r\n:15\r\n:-1\r\n");
    EXPECT(&harness, "GET a", "$2\r\n\324\376\r\n");
    EXPECT(&harness, "BITFIELD a GET u63 0 GET i64 0 GET u1 7 GET i1 8",
           "*4\r\n:7673852290062614528\r\n:-3099039493584322560\r\n:0\r\n:-1\r\n");
    EXPECT(&harness, "BITFIELD a SET i64 100 -9223372036854775808 SET u63 164 9223372036854775807",
           "*2\r\n:0\r\n:0\r\n");
    EXPECT(&harness, "BITFIELD a GET i64 100 GET u63 164",
           "*2\r\n:-9223372036854775808\r\n:9223372036854775807\r\n");
    EXPECT(&harness, "STRLEN a", ":29\r\n");
}

Test(bitfield, operations_see_what_those_before_them_wrote) {
    EXPECT(&harness, "BITFIELD a SET u8 0 1 GET u8 0 SET u8 0 2 INCRBY u8 0 10 GET u16 0",
           "*5\r\n:0\r\n:1\r\n:1\r\n:12\r\n:3072\r\n");
    EXPECT(&harness, "BITFIELD a get u8 0 set u8 0 200 incrby i8 0 1", "*3\r\n:12\r\n:12\r\n:-55\r\n");
}

Test(bitfield, a_field_past_the_end_reads_as_zeros) {
    EXPECT(&harness, "SET a \"\\xff\"", "+OK\r\n");
    EXPECT(&harness, "BITFIELD a GET u8 4", "*1\r\n:240\r\n");
    EXPECT(&harness, "BITFIELD a GET i64 0", "*1\r\n:-72057594037927936\r\n");
    EXPECT(&harness, "BITFIELD a GET u8 4294967295", "*1\r\n:0\r\n");
    EXPECT(&harness, "BITFIELD nosuch GET u8 0 GET i64 4294967295", "*2\r\n:0\r\n:0\r\n");
    EXPECT(&harness, "EXISTS nosuch", ":0\r\n");
    EXPECT(&harness, "STRLEN a", ":1\r\n");
}

Test(bitfield, writing_makes_the_string_long_enough) {
    EXPECT(&harness, "BITFIELD a SET u1 0 0", "*1\r\n:0\r\n");
    EXPECT(&harness, "STRLEN a", ":1\r\n");
    EXPECT(&harness, "BITFIELD a INCRBY u8 9 0", "*1\r\n:0\r\n");
    EXPECT(&harness, "STRLEN a", ":3\r\n");
    EXPECT(&harness, "BITFIELD a SET u8 0 1 GET u8 1000", "*2\r\n:0\r\n:0\r\n");
    EXPECT(&harness, "STRLEN a", ":3\r\n");
    EXPECT(&harness, "BITFIELD a SET i64 100 0 SET u8 0 7", "*2\r\n:0\r\n:1\r\n");
    EXPECT(&harness, "STRLEN a", ":21\r\n");
    EXPECT(&harness, "SET a x PXAT 4102444800123", "+OK\r\n");
    EXPECT(&harness, "BITFIELD a SET u8 100 1", "*1\r\n:0\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":4102444800123\r\n");
}

Test(bitfield, an_offset_with_a_number_sign_counts_fields) {
    EXPECT(&harness, "BITFIELD a SET u8 #0 1 SET u8 #1 2 SET u8 #2 3", "*3\r\n:0\r\n:0\r\n:0\r\n");
    EXPECT(&harness, "GET a", "$3\r\n\001\002\003\r\n");
    EXPECT(&harness, "BITFIELD a GET u4 #3 GET i5 #2", "*2\r\n:2\r\n:1\r\n");
    EXPECT(&harness, "BITFIELD a GET u8 #536870911", "*1\r\n:0\r\n");
    EXPECT(&harness, "BITFIELD a GET u8 #536870912", "-ERR bit offset is not an integer or out of range\r\n");
}

Test(bitfield, bitfield_without_operations_does_nothing) {
    EXPECT(&harness, "BITFIELD a", "*0\r\n");
    EXPECT(&harness, "BITFIELD_RO a", "*0\r\n");
    EXPECT(&harness, "BITFIELD a OVERFLOW SAT", "*0\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
}

/* ---- Overflow ---- */

Test(bitfield, overflow_wraps_unless_told_otherwise) {
    EXPECT(&harness, "BITFIELD a SET u8 0 250 SET i8 8 120", "*2\r\n:0\r\n:0\r\n");
    EXPECT(&harness, "BITFIELD a INCRBY u8 0 10 INCRBY i8 8 10", "*2\r\n:4\r\n:-126\r\n");
    EXPECT(&harness, "BITFIELD a INCRBY u8 0 -10 INCRBY i8 8 -10", "*2\r\n:250\r\n:120\r\n");
    EXPECT(&harness, "BITFIELD a SET u8 0 257 SET i8 8 129 GET u8 0 GET i8 8",
           "*4\r\n:250\r\n:120\r\n:1\r\n:-127\r\n");
    EXPECT(&harness, "BITFIELD a SET u8 0 -1 SET i8 8 -129 GET u8 0 GET i8 8",
           "*4\r\n:1\r\n:-127\r\n:255\r\n:127\r\n");
    EXPECT(&harness, "BITFIELD a SET i64 64 9223372036854775807 INCRBY i64 64 1 INCRBY i64 64 -1",
           "*3\r\n:0\r\n:-9223372036854775808\r\n:9223372036854775807\r\n");
    EXPECT(&harness, "BITFIELD a SET u63 64 -1 INCRBY u63 64 1 INCRBY u63 64 -1",
           "*3\r\n:4611686018427387903\r\n:0\r\n:9223372036854775807\r\n");
    EXPECT(&harness, "BITFIELD a INCRBY i8 0 9223372036854775807 INCRBY u8 0 -9223372036854775808",
           "*2\r\n:-2\r\n:254\r\n");
    EXPECT(&harness, "BITFIELD a OVERFLOW SAT OVERFLOW WRAP SET u1 0 3 GET u1 0", "*2\r\n:1\r\n:1\r\n");
}

Test(bitfield, overflow_sat_stops_at_the_ends) {
    EXPECT(&harness, "BITFIELD a OVERFLOW SAT SET u8 0 300 GET u8 0 SET i8 8 300 GET i8 8",
           "*4\r\n:0\r\n:255\r\n:0\r\n:127\r\n");
    EXPECT(&harness, "BITFIELD a OVERFLOW SAT SET u8 0 -1 GET u8 0 SET i8 8 -300 GET i8 8",
           "*4\r\n:255\r\n:255\r\n:127\r\n:-128\r\n");
    EXPECT(&harness,
           "BITFIELD a OVERFLOW sat INCRBY u8 0 10 INCRBY u8 0 -1000 INCRBY i8 8 -1 INCRBY i8 8 1000",
           "*4\r\n:255\r\n:0\r\n:-128\r\n:127\r\n");
    EXPECT(&harness, "BITFIELD a OVERFLOW SAT INCRBY i64 64 9223372036854775807 INCRBY i64 64 1",
           "*2\r\n:9223372036854775807\r\n:9223372036854775807\r\n");
    EXPECT(
        &harness,
        "BITFIELD a OVERFLOW SAT INCRBY i64 64 -9223372036854775808 INCRBY i64 64 -9223372036854775808 INCRBY i64 64 -1",
        "*3\r\n:-1\r\n:-9223372036854775808\r\n:-9223372036854775808\r\n");
    EXPECT(
        &harness,
        "BITFIELD a OVERFLOW SAT INCRBY u63 64 9223372036854775807 INCRBY u63 64 1 INCRBY u63 64 -9223372036854775808",
        "*3\r\n:9223372036854775807\r\n:9223372036854775807\r\n:0\r\n");
    EXPECT(&harness,
           "BITFIELD a OVERFLOW SAT INCRBY i8 0 9223372036854775807 INCRBY i8 0 -9223372036854775808",
           "*2\r\n:127\r\n:-128\r\n");
    /* a number that is too small by more than 63 bits counts as too large, as in Redis */
    EXPECT(&harness, "BITFIELD a OVERFLOW SAT SET i8 0 -9223372036854775808 GET i8 0",
           "*2\r\n:-128\r\n:127\r\n");
    EXPECT(&harness, "BITFIELD a OVERFLOW SAT SET i8 0 -9223372036854775681 GET i8 0",
           "*2\r\n:127\r\n:127\r\n");
    EXPECT(&harness, "BITFIELD a OVERFLOW SAT SET i8 0 -9223372036854775680 GET i8 0",
           "*2\r\n:127\r\n:-128\r\n");
    EXPECT(&harness, "BITFIELD a OVERFLOW SAT SET i63 0 -9223372036854775808 GET i63 0",
           "*2\r\n:-4593812357406261248\r\n:4611686018427387903\r\n");
}

Test(bitfield, overflow_fail_changes_nothing) {
    EXPECT(&harness, "BITFIELD a SET u8 0 250", "*1\r\n:0\r\n");
    EXPECT(&harness,
           "BITFIELD a OVERFLOW FAIL INCRBY u8 0 5 INCRBY u8 0 1 INCRBY u8 0 -255 INCRBY u8 0 -1 GET u8 0",
           "*5\r\n:255\r\n$-1\r\n:0\r\n$-1\r\n:0\r\n");
    EXPECT(&harness,
           "BITFIELD a OVERFLOW FAIL SET u8 0 256 SET i8 0 128 SET i8 0 -129 SET i8 0 -128 GET u8 0",
           "*5\r\n$-1\r\n$-1\r\n$-1\r\n:0\r\n:128\r\n");
    EXPECT(&harness,
           "BITFIELD a OVERFLOW FAIL INCRBY u2 0 9 OVERFLOW WRAP INCRBY u2 0 9 OVERFLOW FAIL INCRBY u2 0 9",
           "*3\r\n$-1\r\n:3\r\n$-1\r\n");
    /* but the string is as long as it would have become */
    EXPECT(&harness, "BITFIELD b OVERFLOW FAIL INCRBY u8 8 300", "*1\r\n$-1\r\n");
    EXPECT(&harness, "STRLEN b", ":2\r\n");
    harness.reply.protocol = 3;
    EXPECT(&harness, "BITFIELD a OVERFLOW FAIL INCRBY u2 0 9 GET u2 0", "*2\r\n_\r\n:3\r\n");
}

/* ---- Refusals ---- */

Test(bitfield, bitfield_refuses_what_is_no_operation) {
    EXPECT(&harness, "BITFIELD a GET", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITFIELD a GET u8", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITFIELD a SET u8 0", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITFIELD a INCRBY u8 0", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITFIELD a foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITFIELD a foo u8 0 1", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITFIELD a SET u8 0 1 foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITFIELD a OVERFLOW", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITFIELD a OVERFLOW foo", "-ERR Invalid OVERFLOW type specified\r\n");
    EXPECT(&harness, "BITFIELD a OVERFLOW foo foo", "-ERR Invalid OVERFLOW type specified\r\n");
    EXPECT(&harness, "BITFIELD a GET u8 0 SET u8 0 1 GET", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITFIELD", "-ERR wrong number of arguments for 'bitfield' command\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
}

Test(bitfield, bitfield_refuses_what_is_no_type) {
    EXPECT(
        &harness, "BITFIELD a GET u64 0",
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n");
    EXPECT(
        &harness, "BITFIELD a GET i65 0",
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n");
    EXPECT(
        &harness, "BITFIELD a GET u0 0",
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n");
    EXPECT(
        &harness, "BITFIELD a GET i0 0",
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n");
    EXPECT(
        &harness, "BITFIELD a GET i-1 0",
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n");
    EXPECT(
        &harness, "BITFIELD a GET u08 0",
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n");
    EXPECT(
        &harness, "BITFIELD a GET U8 0",
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n");
    EXPECT(
        &harness, "BITFIELD a GET x8 0",
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n");
    EXPECT(
        &harness, "BITFIELD a GET u 0",
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n");
    EXPECT(
        &harness, "BITFIELD a GET 8 0",
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n");
    EXPECT(
        &harness, "BITFIELD a GET \"\" 0",
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n");
    EXPECT(
        &harness, "BITFIELD a GET ux x",
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n");
}

Test(bitfield, bitfield_refuses_what_is_no_offset) {
    EXPECT(&harness, "BITFIELD a GET u8 x", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "BITFIELD a GET u8 -1", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "BITFIELD a GET u8 #-1", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "BITFIELD a GET u8 #", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "BITFIELD a GET u8 \"\"", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "BITFIELD a GET u8 ##1", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "BITFIELD a GET u8 4294967296", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "BITFIELD a GET u8 9223372036854775808",
           "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "BITFIELD a SET u8 x x", "-ERR bit offset is not an integer or out of range\r\n");
}

Test(bitfield, bitfield_refuses_what_is_no_number) {
    EXPECT(&harness, "BITFIELD a SET u8 0 x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "BITFIELD a INCRBY u8 0 \"\"", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "BITFIELD a INCRBY u8 0 1.5", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "BITFIELD a SET i64 0 9223372036854775808",
           "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
}

Test(bitfield, bitfield_checks_all_arguments_before_the_key) {
    harness_put_list(&harness, "l");
    EXPECT(&harness, "BITFIELD l GET u8 0",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "BITFIELD l SET u8 0 1",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "BITFIELD l", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "BITFIELD l SET u8 0 x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "BITFIELD l GET u8 0 foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITFIELD_RO l GET u8 0",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "BITFIELD_RO l SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n");
}

Test(bitfield, bitfield_ro_only_reads) {
    EXPECT(&harness, "SET a \"\\x01\\x02\"", "+OK\r\n");
    EXPECT(&harness, "BITFIELD_RO a GET u8 0 get u8 8", "*2\r\n:1\r\n:2\r\n");
    EXPECT(&harness, "BITFIELD_RO a OVERFLOW FAIL GET i16 0", "*1\r\n:258\r\n");
    EXPECT(&harness, "BITFIELD_RO nosuch GET u8 0", "*1\r\n:0\r\n");
    EXPECT(&harness, "BITFIELD_RO a SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n");
    EXPECT(&harness, "BITFIELD_RO a GET u8 0 INCRBY u8 0 1",
           "-ERR BITFIELD_RO only supports the GET subcommand\r\n");
    EXPECT(&harness, "BITFIELD_RO a SET u8 0 x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "BITFIELD_RO a GET u8 0 GET", "-ERR syntax error\r\n");
    EXPECT(&harness, "GET a", "$2\r\n\001\002\r\n");
}

Test(bitfield, writing_fields_makes_a_string_raw) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "BITFIELD a GET u8 0", "*1\r\n:49\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nint\r\n");
    EXPECT(&harness, "BITFIELD a SET u8 0 49", "*1\r\n:49\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nraw\r\n");
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "BITFIELD a OVERFLOW FAIL SET u8 0 256", "*1\r\n$-1\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nraw\r\n");
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "BITFIELD a SET u8 0 50", "*1\r\n:49\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nraw\r\n");
    EXPECT(&harness, "BITFIELD b SET u8 0 49", "*1\r\n:0\r\n");
    EXPECT(&harness, "OBJECT ENCODING b", "$3\r\nraw\r\n");
}
