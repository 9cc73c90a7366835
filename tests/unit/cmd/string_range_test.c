/* string_range_test.c - parts of strings: APPEND, STRLEN, GETRANGE, SETRANGE, with the replies of redis-server 7.0.
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

TestSuite(string_range, .init = set_up, .fini = tear_down);

/* ---- APPEND STRLEN ---- */

Test(string_range, append_makes_a_string_longer) {
    EXPECT(&harness, "APPEND a hello", ":5\r\n");
    EXPECT(&harness, "APPEND a \", world\"", ":12\r\n");
    EXPECT(&harness, "GET a", "$12\r\nhello, world\r\n");
    EXPECT(&harness, "APPEND a \"\"", ":12\r\n");
    EXPECT(&harness, "APPEND b \"\"", ":0\r\n");
    EXPECT(&harness, "EXISTS b", ":1\r\n");
    EXPECT(&harness, "APPEND a \"\\x00\"", ":13\r\n");
    EXPECT(&harness, "GET a", "$13\r\nhello, world\000\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "APPEND l x", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "APPEND a", "-ERR wrong number of arguments for 'append' command\r\n");
}

Test(string_range, append_keeps_the_expiry) {
    EXPECT(&harness, "SET a x PXAT 4102444800123", "+OK\r\n");
    EXPECT(&harness, "APPEND a yz", ":3\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":4102444800123\r\n");
    EXPECT(&harness, "GET a", "$3\r\nxyz\r\n");
}

Test(string_range, strlen_counts_bytes) {
    EXPECT(&harness, "SET a \"\\xc3\\xa9\\x00\"", "+OK\r\n");
    EXPECT(&harness, "STRLEN a", ":3\r\n");
    EXPECT(&harness, "STRLEN nosuch", ":0\r\n");
    EXPECT(&harness, "SET a \"\"", "+OK\r\n");
    EXPECT(&harness, "STRLEN a", ":0\r\n");
    EXPECT(&harness, "SET a 12345", "+OK\r\n");
    EXPECT(&harness, "STRLEN a", ":5\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "STRLEN l", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
}

/* ---- GETRANGE SETRANGE ---- */

Test(string_range, getrange_counts_from_either_end) {
    EXPECT(&harness, "SET a \"This is a string\"", "+OK\r\n");
    EXPECT(&harness, "GETRANGE a 0 3", "$4\r\nThis\r\n");
    EXPECT(&harness, "GETRANGE a -3 -1", "$3\r\ning\r\n");
    EXPECT(&harness, "GETRANGE a 0 -1", "$16\r\nThis is a string\r\n");
    EXPECT(&harness, "GETRANGE a 10 100", "$6\r\nstring\r\n");
    EXPECT(&harness, "GETRANGE a 5 3", "$0\r\n\r\n");
    EXPECT(&harness, "GETRANGE a 16 20", "$0\r\n\r\n");
    EXPECT(&harness, "GETRANGE a 0 16", "$16\r\nThis is a string\r\n");
    EXPECT(&harness, "GETRANGE a 15 15", "$1\r\ng\r\n");
    EXPECT(&harness, "GETRANGE a -100 3", "$4\r\nThis\r\n");
    EXPECT(&harness, "SUBSTR a -6 -1", "$6\r\nstring\r\n");
    EXPECT(&harness, "SUBSTR a 1 1", "$1\r\nh\r\n");
    EXPECT(&harness, "GETRANGE a 9223372036854775807 9223372036854775807", "$0\r\n\r\n");
    EXPECT(&harness, "GETRANGE a -9223372036854775808 9223372036854775807", "$16\r\nThis is a string\r\n");
    /* an end before the beginning is the beginning */
    EXPECT(&harness, "GETRANGE a 0 -100", "$1\r\nT\r\n");
    EXPECT(&harness, "GETRANGE a -100 -50", "$1\r\nT\r\n");
    EXPECT(&harness, "GETRANGE a -50 -100", "$0\r\n\r\n");
    EXPECT(&harness, "GETRANGE nosuch 0 -1", "$0\r\n\r\n");
    EXPECT(&harness, "SET a \"\"", "+OK\r\n");
    EXPECT(&harness, "GETRANGE a 0 -1", "$0\r\n\r\n");
    EXPECT(&harness, "GETRANGE a 0 0", "$0\r\n\r\n");
    EXPECT(&harness, "SET a 12345", "+OK\r\n");
    EXPECT(&harness, "GETRANGE a 1 2", "$2\r\n23\r\n");
}

Test(string_range, getrange_reads_its_numbers_first) {
    harness_put_list(&harness, "l");
    EXPECT(&harness, "GETRANGE l x 1", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "GETRANGE l 0 x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "GETRANGE l 0 1",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "GETRANGE nosuch x 0", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SUBSTR nosuch 0 9223372036854775808",
           "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "GETRANGE l 0", "-ERR wrong number of arguments for 'getrange' command\r\n");
}

Test(string_range, setrange_writes_within_a_string) {
    EXPECT(&harness, "SET a \"Hello World\"", "+OK\r\n");
    EXPECT(&harness, "SETRANGE a 6 Redis", ":11\r\n");
    EXPECT(&harness, "GET a", "$11\r\nHello Redis\r\n");
    EXPECT(&harness, "SETRANGE a 9 together", ":17\r\n");
    EXPECT(&harness, "GET a", "$17\r\nHello Redtogether\r\n");
    EXPECT(&harness, "SETRANGE a 20 x", ":21\r\n");
    EXPECT(&harness, "GET a", "$21\r\nHello Redtogether\000\000\000x\r\n");
    EXPECT(&harness, "SETRANGE a 0 J", ":21\r\n");
    EXPECT(&harness, "GET a", "$21\r\nJello Redtogether\000\000\000x\r\n");
}

Test(string_range, setrange_makes_an_absent_string) {
    EXPECT(&harness, "SETRANGE a 3 bc", ":5\r\n");
    EXPECT(&harness, "GET a", "$5\r\n\000\000\000bc\r\n");
    EXPECT(&harness, "SETRANGE b 0 x", ":1\r\n");
    EXPECT(&harness, "GET b", "$1\r\nx\r\n");
    EXPECT(&harness, "SETRANGE c 5 \"\"", ":0\r\n");
    EXPECT(&harness, "EXISTS c", ":0\r\n");
}

Test(string_range, setrange_keeps_the_expiry) {
    EXPECT(&harness, "SET a x PXAT 4102444800123", "+OK\r\n");
    EXPECT(&harness, "SETRANGE a 10 y", ":11\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":4102444800123\r\n");
}

Test(string_range, setrange_of_nothing_changes_nothing) {
    EXPECT(&harness, "SET a 12345", "+OK\r\n");
    EXPECT(&harness, "SETRANGE a 2 \"\"", ":5\r\n");
    EXPECT(&harness, "SETRANGE a 536870912 \"\"", ":5\r\n");
    EXPECT(&harness, "SETRANGE nosuch 536870912 \"\"", ":0\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nint\r\n");
    EXPECT(&harness, "STRLEN a", ":5\r\n");
}

Test(string_range, setrange_refuses_what_is_too_long) {
    EXPECT(&harness, "SET a x", "+OK\r\n");
    EXPECT(&harness, "SETRANGE a 536870911 xy",
           "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    EXPECT(&harness, "SETRANGE a 536870912 x",
           "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    EXPECT(&harness, "SETRANGE nosuch 536870911 xy",
           "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    EXPECT(&harness, "SETRANGE a 9223372036854775807 x",
           "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    EXPECT(&harness, "SETRANGE a -1 x", "-ERR offset is out of range\r\n");
    EXPECT(&harness, "SETRANGE a -1 \"\"", "-ERR offset is out of range\r\n");
    EXPECT(&harness, "SETRANGE a x \"\"", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SETRANGE a 1.0 \"\"", "-ERR value is not an integer or out of range\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "SETRANGE l x y", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SETRANGE l -1 y", "-ERR offset is out of range\r\n");
    EXPECT(&harness, "SETRANGE l 0 \"\"",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "SETRANGE l 536870912 x",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "SETRANGE l 0 x",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "GET a", "$1\r\nx\r\n");
}

Test(string_range, no_string_grows_beyond_512_mebibytes) {
    EXPECT(&harness, "SETRANGE a 536870911 x", ":536870912\r\n");
    EXPECT(&harness, "APPEND a y", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    EXPECT(&harness, "APPEND a \"\"", ":536870912\r\n");
    EXPECT(&harness, "SETRANGE a 536870911 xy",
           "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    EXPECT(&harness, "SETBIT a 4294967295 1", ":0\r\n");
    EXPECT(&harness, "GETRANGE a -2 -1", "$2\r\n\000y\r\n");
    EXPECT(&harness, "BITPOS a 1", ":4294967289\r\n");
}
