/* bitmap_test.c - SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP, with the replies of redis-server 7.0.
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

TestSuite(bitmap, .init = set_up, .fini = tear_down);

/* ---- SETBIT GETBIT ---- */

Test(bitmap, setbit_answers_the_old_bit) {
    EXPECT(&harness, "SETBIT a 7 1", ":0\r\n");
    EXPECT(&harness, "GET a", "$1\r\n\001\r\n");
    EXPECT(&harness, "SETBIT a 7 0", ":1\r\n");
    EXPECT(&harness, "GET a", "$1\r\n\000\r\n");
    EXPECT(&harness, "SETBIT a 7 1", ":0\r\n");
    EXPECT(&harness, "SETBIT a 7 1", ":1\r\n");
    EXPECT(&harness, "SETBIT a 20 1", ":0\r\n");
    EXPECT(&harness, "GET a", "$3\r\n\001\000\010\r\n");
    EXPECT(&harness, "SETBIT a 20 0", ":1\r\n");
    EXPECT(&harness, "GET a", "$3\r\n\001\000\000\r\n");
    EXPECT(&harness, "GETBIT a 7", ":1\r\n");
    EXPECT(&harness, "GETBIT a 8", ":0\r\n");
    EXPECT(&harness, "GETBIT a 23", ":0\r\n");
    EXPECT(&harness, "GETBIT a 24", ":0\r\n");
    EXPECT(&harness, "GETBIT a 4294967295", ":0\r\n");
    EXPECT(&harness, "GETBIT nosuch 0", ":0\r\n");
    EXPECT(&harness, "SETBIT b 17 0", ":0\r\n");
    EXPECT(&harness, "STRLEN b", ":3\r\n");
    EXPECT(&harness, "SET c abc", "+OK\r\n");
    EXPECT(&harness, "SETBIT c 6 1", ":0\r\n");
    EXPECT(&harness, "GET c", "$3\r\ncbc\r\n");
}

Test(bitmap, setbit_keeps_the_expiry) {
    EXPECT(&harness, "SET a x PXAT 4102444800123", "+OK\r\n");
    EXPECT(&harness, "SETBIT a 100 1", ":0\r\n");
    EXPECT(&harness, "SETBIT a 0 1", ":0\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":4102444800123\r\n");
}

Test(bitmap, setbit_refuses_what_is_no_bit) {
    EXPECT(&harness, "SETBIT a x 1", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "SETBIT a -1 1", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "SETBIT a 4294967296 1", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "SETBIT a 9223372036854775807 1",
           "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "SETBIT a 9223372036854775808 1",
           "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "SETBIT a #1 1", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "SETBIT a \"\" 1", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "SETBIT a 0 2", "-ERR bit is not an integer or out of range\r\n");
    EXPECT(&harness, "SETBIT a 0 -1", "-ERR bit is not an integer or out of range\r\n");
    EXPECT(&harness, "SETBIT a 0 x", "-ERR bit is not an integer or out of range\r\n");
    EXPECT(&harness, "SETBIT a 0 4294967297", "-ERR bit is not an integer or out of range\r\n");
    EXPECT(&harness, "SETBIT a -1 2", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "SETBIT a 0", "-ERR wrong number of arguments for 'setbit' command\r\n");
    EXPECT(&harness, "GETBIT a x", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "GETBIT a -1", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "GETBIT a 4294967296", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "GETBIT a", "-ERR wrong number of arguments for 'getbit' command\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "SETBIT l x 1", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "SETBIT l 0 x", "-ERR bit is not an integer or out of range\r\n");
    EXPECT(&harness, "SETBIT l 0 1",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "GETBIT l x", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT(&harness, "GETBIT l 0", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
}

/* ---- BITCOUNT ---- */

Test(bitmap, bitcount_counts_within_a_range) {
    EXPECT(&harness, "SET a foobar", "+OK\r\n");
    EXPECT(&harness, "BITCOUNT a", ":26\r\n");
    EXPECT(&harness, "BITCOUNT a 0 0", ":4\r\n");
    EXPECT(&harness, "BITCOUNT a 1 1", ":6\r\n");
    EXPECT(&harness, "BITCOUNT a 1 1 BYTE", ":6\r\n");
    EXPECT(&harness, "BITCOUNT a 0 -1", ":26\r\n");
    EXPECT(&harness, "BITCOUNT a 5 30 BIT", ":17\r\n");
    EXPECT(&harness, "BITCOUNT a -8 -1 bit", ":4\r\n");
    EXPECT(&harness, "BITCOUNT a 0 -48 BIT", ":0\r\n");
    EXPECT(&harness, "BITCOUNT a 3 3 bit", ":0\r\n");
    EXPECT(&harness, "BITCOUNT a 10 9", ":0\r\n");
    EXPECT(&harness, "BITCOUNT a 100 200", ":0\r\n");
    EXPECT(&harness, "BITCOUNT a 5 6", ":4\r\n");
    EXPECT(&harness, "BITCOUNT a 40 48 BIT", ":4\r\n");
    EXPECT(&harness, "BITCOUNT a 0 9223372036854775807", ":26\r\n");
    EXPECT(&harness, "BITCOUNT a -9223372036854775808 9223372036854775807 BIT", ":26\r\n");
    /* an end before the beginning is the beginning */
    EXPECT(&harness, "BITCOUNT a 0 -100", ":4\r\n");
    EXPECT(&harness, "BITCOUNT a -200 -100", ":4\r\n");
    EXPECT(&harness, "BITCOUNT a -100 -200", ":0\r\n");
    EXPECT(&harness, "BITCOUNT a 1 -100 BIT", ":0\r\n");
    EXPECT(&harness, "SET a \"\"", "+OK\r\n");
    EXPECT(&harness, "BITCOUNT a", ":0\r\n");
    EXPECT(&harness, "BITCOUNT a 0 -1", ":0\r\n");
    EXPECT(&harness, "BITCOUNT a 0 -1 BIT", ":0\r\n");
}

Test(bitmap, bitcount_looks_the_key_up_first) {
    EXPECT(&harness, "SET a x", "+OK\r\n");
    EXPECT(&harness, "BITCOUNT a 0", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITCOUNT a x 0", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "BITCOUNT a 0 x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "BITCOUNT a 0 0 foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITCOUNT a 0 x foo", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "BITCOUNT a 0 0 BIT BIT", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITCOUNT a -1 -2 foo", ":0\r\n");
    EXPECT(&harness, "BITCOUNT nosuch", ":0\r\n");
    EXPECT(&harness, "BITCOUNT nosuch 0", ":0\r\n");
    EXPECT(&harness, "BITCOUNT nosuch x y", ":0\r\n");
    EXPECT(&harness, "BITCOUNT nosuch 0 0 foo", ":0\r\n");
    EXPECT(&harness, "BITCOUNT", "-ERR wrong number of arguments for 'bitcount' command\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "BITCOUNT l", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "BITCOUNT l x y",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "BITCOUNT l 0",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
}

/* ---- BITPOS ---- */

Test(bitmap, bitpos_finds_the_first_bit) {
    EXPECT(&harness, "SET a \"\\xff\\xf0\\x00\"", "+OK\r\n");
    EXPECT(&harness, "BITPOS a 0", ":12\r\n");
    EXPECT(&harness, "BITPOS a 1", ":0\r\n");
    EXPECT(&harness, "SET a \"\\x00\\xff\\xf0\"", "+OK\r\n");
    EXPECT(&harness, "BITPOS a 1 0", ":8\r\n");
    EXPECT(&harness, "BITPOS a 1 2", ":16\r\n");
    EXPECT(&harness, "BITPOS a 1 2 -1 BYTE", ":16\r\n");
    EXPECT(&harness, "BITPOS a 1 7 15 BIT", ":8\r\n");
    EXPECT(&harness, "BITPOS a 1 9 15 bit", ":9\r\n");
    EXPECT(&harness, "BITPOS a 0 9 15 BIT", ":-1\r\n");
    EXPECT(&harness, "BITPOS a 0 9 20 BIT", ":20\r\n");
    EXPECT(&harness, "BITPOS a 0 -5 -1 BIT", ":20\r\n");
    EXPECT(&harness, "BITPOS a 1 -3", ":8\r\n");
    EXPECT(&harness, "BITPOS a 1 -1 -1", ":16\r\n");
    EXPECT(&harness, "BITPOS a 1 3", ":-1\r\n");
    EXPECT(&harness, "BITPOS a 1 1 0", ":-1\r\n");
    EXPECT(&harness, "BITPOS a 1 -100 -200", ":-1\r\n");
    EXPECT(&harness, "BITPOS a 1 0 -100", ":-1\r\n");
    EXPECT(&harness, "SET a \"\\x00\\x00\\x00\"", "+OK\r\n");
    EXPECT(&harness, "BITPOS a 1", ":-1\r\n");
    EXPECT(&harness, "BITPOS a 1 0 -1 BIT", ":-1\r\n");
    EXPECT(&harness, "BITPOS a 0", ":0\r\n");
}

Test(bitmap, bitpos_takes_a_string_as_followed_by_zeros_unless_an_end_is_given) {
    EXPECT(&harness, "SET a \"\\xff\\xff\\xff\"", "+OK\r\n");
    EXPECT(&harness, "BITPOS a 0", ":24\r\n");
    EXPECT(&harness, "BITPOS a 0 1", ":24\r\n");
    EXPECT(&harness, "BITPOS a 0 -1", ":24\r\n");
    EXPECT(&harness, "BITPOS a 0 0 -1", ":-1\r\n");
    EXPECT(&harness, "BITPOS a 0 1 100", ":-1\r\n");
    EXPECT(&harness, "BITPOS a 0 0 -1 BIT", ":-1\r\n");
    EXPECT(&harness, "BITPOS a 0 3", ":-1\r\n");
    EXPECT(&harness, "SET a \"\"", "+OK\r\n");
    EXPECT(&harness, "BITPOS a 0", ":-1\r\n");
    EXPECT(&harness, "BITPOS a 1", ":-1\r\n");
    EXPECT(&harness, "BITPOS a 0 0", ":-1\r\n");
    EXPECT(&harness, "BITPOS a 0 0 -1", ":-1\r\n");
    EXPECT(&harness, "BITPOS a 1 0 -1 BIT", ":-1\r\n");
    EXPECT(&harness, "BITPOS nosuch 0", ":0\r\n");
    EXPECT(&harness, "BITPOS nosuch 1", ":-1\r\n");
}

Test(bitmap, bitpos_looks_at_the_bit_first_and_then_at_the_key) {
    EXPECT(&harness, "SET a x", "+OK\r\n");
    EXPECT(&harness, "BITPOS a x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "BITPOS a 2", "-ERR The bit argument must be 1 or 0.\r\n");
    EXPECT(&harness, "BITPOS a -1", "-ERR The bit argument must be 1 or 0.\r\n");
    EXPECT(&harness, "BITPOS nosuch 2", "-ERR The bit argument must be 1 or 0.\r\n");
    EXPECT(&harness, "BITPOS nosuch x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "BITPOS a 1 x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "BITPOS a 1 0 x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "BITPOS a 1 x 0 foo", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "BITPOS a 1 0 x foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITPOS a 1 0 0 foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITPOS a 1 0 0 BIT BIT", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITPOS nosuch 1 x", ":-1\r\n");
    EXPECT(&harness, "BITPOS nosuch 0 0 0 foo", ":0\r\n");
    EXPECT(&harness, "BITPOS nosuch 0 0 0 BIT BIT", ":0\r\n");
    EXPECT(&harness, "BITPOS a", "-ERR wrong number of arguments for 'bitpos' command\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "BITPOS l 2", "-ERR The bit argument must be 1 or 0.\r\n");
    EXPECT(&harness, "BITPOS l 1", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "BITPOS l 1 x",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
}

/* ---- BITOP ---- */

Test(bitmap, bitop_combines_strings) {
    EXPECT(&harness, "MSET a \"\\x0f\\xf0\\xaa\" b \"\\xff\\x0f\"", "+OK\r\n");
    EXPECT(&harness, "BITOP AND d a b", ":3\r\n");
    EXPECT(&harness, "GET d", "$3\r\n\017\000\000\r\n");
    EXPECT(&harness, "BITOP or d a b", ":3\r\n");
    EXPECT(&harness, "GET d", "$3\r\n\377\377\252\r\n");
    EXPECT(&harness, "BITOP Xor d a b", ":3\r\n");
    EXPECT(&harness, "GET d", "$3\r\n\360\377\252\r\n");
    EXPECT(&harness, "BITOP NOT d a", ":3\r\n");
    EXPECT(&harness, "GET d", "$3\r\n\360\017U\r\n");
    EXPECT(&harness, "BITOP AND d a", ":3\r\n");
    EXPECT(&harness, "GET d", "$3\r\n\017\360\252\r\n");
    EXPECT(&harness, "BITOP AND d a nosuch b", ":3\r\n");
    EXPECT(&harness, "GET d", "$3\r\n\000\000\000\r\n");
    EXPECT(&harness, "BITOP OR d nosuch a b a", ":3\r\n");
    EXPECT(&harness, "GET d", "$3\r\n\377\377\252\r\n");
    EXPECT(&harness, "BITOP XOR d a a a", ":3\r\n");
    EXPECT(&harness, "GET d", "$3\r\n\017\360\252\r\n");
    EXPECT(&harness, "BITOP XOR d a a", ":3\r\n");
    EXPECT(&harness, "GET d", "$3\r\n\000\000\000\r\n");
    EXPECT(&harness, "BITOP OR d 1 2", ":0\r\n");
    EXPECT(&harness, "EXISTS d", ":0\r\n");
}

Test(bitmap, bitop_works_when_the_destination_is_a_source) {
    EXPECT(&harness, "MSET a \"\\x0f\\xf0\\xaa\" b \"\\xff\\x0f\"", "+OK\r\n");
    EXPECT(&harness, "BITOP AND b a b", ":3\r\n");
    EXPECT(&harness, "GET b", "$3\r\n\017\000\000\r\n");
    EXPECT(&harness, "BITOP OR a b a a b", ":3\r\n");
    EXPECT(&harness, "GET a", "$3\r\n\017\360\252\r\n");
    EXPECT(&harness, "BITOP NOT a a", ":3\r\n");
    EXPECT(&harness, "GET a", "$3\r\n\360\017U\r\n");
    EXPECT(&harness, "BITOP XOR a a a", ":3\r\n");
    EXPECT(&harness, "GET a", "$3\r\n\000\000\000\r\n");
    EXPECT(&harness, "SET a abc", "+OK\r\n");
    EXPECT(&harness, "BITOP OR a nosuch a nosuch", ":3\r\n");
    EXPECT(&harness, "GET a", "$3\r\nabc\r\n");
}

Test(bitmap, bitop_replaces_whatever_the_destination_was) {
    EXPECT(&harness, "SET d \"a long string that was there before\" EX 100", "+OK\r\n");
    EXPECT(&harness, "SET a abc", "+OK\r\n");
    EXPECT(&harness, "BITOP OR d a", ":3\r\n");
    EXPECT(&harness, "GET d", "$3\r\nabc\r\n");
    EXPECT(&harness, "TTL d", ":-1\r\n");
    EXPECT(&harness, "SET d a EX 100", "+OK\r\n");
    EXPECT(&harness, "BITOP OR d a", ":3\r\n");
    EXPECT(&harness, "TTL d", ":-1\r\n");
    EXPECT(&harness, "SET d x", "+OK\r\n");
    EXPECT(&harness, "BITOP OR d a", ":3\r\n");
    EXPECT(&harness, "GET d", "$3\r\nabc\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "BITOP OR l a", ":3\r\n");
    EXPECT(&harness, "GET l", "$3\r\nabc\r\n");
}

Test(bitmap, bitop_of_nothing_deletes_the_destination) {
    EXPECT(&harness, "MSET d 1 e \"\"", "+OK\r\n");
    EXPECT(&harness, "BITOP AND d nosuch", ":0\r\n");
    EXPECT(&harness, "EXISTS d", ":0\r\n");
    EXPECT(&harness, "BITOP NOT d nosuch", ":0\r\n");
    EXPECT(&harness, "SET d 1", "+OK\r\n");
    EXPECT(&harness, "BITOP OR d e nosuch e", ":0\r\n");
    EXPECT(&harness, "EXISTS d", ":0\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "BITOP AND l nosuch", ":0\r\n");
    EXPECT(&harness, "EXISTS l", ":0\r\n");
}

Test(bitmap, bitop_refuses_what_is_no_operation) {
    EXPECT(&harness, "MSET a 1 b 2", "+OK\r\n");
    EXPECT(&harness, "BITOP foo d a b", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITOP \"\" d a", "-ERR syntax error\r\n");
    EXPECT(&harness, "BITOP NOT d a b", "-ERR BITOP NOT must be called with a single source key.\r\n");
    EXPECT(&harness, "BITOP not d a a", "-ERR BITOP NOT must be called with a single source key.\r\n");
    EXPECT(&harness, "BITOP AND d", "-ERR wrong number of arguments for 'bitop' command\r\n");
    EXPECT(&harness, "BITOP foo d", "-ERR wrong number of arguments for 'bitop' command\r\n");
    EXPECT(&harness, "EXISTS d", ":0\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "BITOP AND d l",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "BITOP AND d a l b",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "BITOP NOT d l b", "-ERR BITOP NOT must be called with a single source key.\r\n");
    EXPECT(&harness, "BITOP foo d l", "-ERR syntax error\r\n");
    EXPECT(&harness, "EXISTS d", ":0\r\n");
}

/* ---- OBJECT ENCODING ---- */

Test(bitmap, writing_bits_makes_a_string_raw) {
    EXPECT(&harness, "SETBIT a 1 1", ":0\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nraw\r\n");
    EXPECT(&harness, "SET a 123", "+OK\r\n");
    EXPECT(&harness, "SETBIT a 0 1", ":0\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nraw\r\n");
    EXPECT(&harness, "SET a 123", "+OK\r\n");
    EXPECT(&harness, "SETBIT a 0 0", ":0\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nraw\r\n");
    EXPECT(&harness, "GET a", "$3\r\n123\r\n");
    EXPECT(&harness, "SET a 123", "+OK\r\n");
    EXPECT(&harness, "GETBIT a 0", ":0\r\n");
    EXPECT(&harness, "BITCOUNT a", ":10\r\n");
    EXPECT(&harness, "BITPOS a 1", ":2\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nint\r\n");
    EXPECT(&harness, "BITOP AND d a", ":3\r\n");
    EXPECT(&harness, "OBJECT ENCODING d", "$3\r\nraw\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nint\r\n");
}
