/* string_test.c - whole strings: SET, GET and their relatives, with the replies of redis-server 7.0.
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

TestSuite(string, .init = set_up, .fini = tear_down);

/* ---- SET ---- */

Test(string, set_writes_what_get_reads) {
    EXPECT(&harness, "SET a hello", "+OK\r\n");
    EXPECT(&harness, "GET a", "$5\r\nhello\r\n");
    EXPECT(&harness, "SET a \"\"", "+OK\r\n");
    EXPECT(&harness, "GET a", "$0\r\n\r\n");
    EXPECT(&harness, "SET \"\\x00\\xff\" \"\\x00\\r\\n\\xff\"", "+OK\r\n");
    EXPECT(&harness, "GET \"\\x00\\xff\"", "$4\r\n\000\r\n\377\r\n");
    EXPECT(&harness, "GET nosuch", "$-1\r\n");
    EXPECT(&harness, "SET a", "-ERR wrong number of arguments for 'set' command\r\n");
    EXPECT(&harness, "SET", "-ERR wrong number of arguments for 'set' command\r\n");
    EXPECT(&harness, "GET a b", "-ERR wrong number of arguments for 'get' command\r\n");
    EXPECT(&harness, "GET", "-ERR wrong number of arguments for 'get' command\r\n");
}

Test(string, set_replaces_value_and_expiry) {
    EXPECT(&harness, "SET a 1 EX 100", "+OK\r\n");
    EXPECT(&harness, "TTL a", ":100\r\n");
    EXPECT(&harness, "SET a 2", "+OK\r\n");
    EXPECT(&harness, "TTL a", ":-1\r\n");
    EXPECT(&harness, "GET a", "$1\r\n2\r\n");
}

Test(string, set_takes_a_value_of_another_type_away) {
    harness_put_list(&harness, "l");
    EXPECT(&harness, "GET l", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "SET l x", "+OK\r\n");
    EXPECT(&harness, "GET l", "$1\r\nx\r\n");
}

Test(string, set_nx_writes_only_an_absent_key) {
    EXPECT(&harness, "SET a 1 NX", "+OK\r\n");
    EXPECT(&harness, "SET a 2 NX", "$-1\r\n");
    EXPECT(&harness, "GET a", "$1\r\n1\r\n");
    EXPECT(&harness, "SET a 2 nX EX 100", "$-1\r\n");
    EXPECT(&harness, "TTL a", ":-1\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "SET l x NX", "$-1\r\n");
}

Test(string, set_xx_writes_only_a_present_key) {
    EXPECT(&harness, "SET a 1 XX", "$-1\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "SET a 2 xx", "+OK\r\n");
    EXPECT(&harness, "GET a", "$1\r\n2\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "SET l x XX", "+OK\r\n");
    EXPECT(&harness, "GET l", "$1\r\nx\r\n");
}

Test(string, set_get_answers_the_old_value) {
    EXPECT(&harness, "SET a 1 GET", "$-1\r\n");
    EXPECT(&harness, "SET a 2 GET", "$1\r\n1\r\n");
    EXPECT(&harness, "SET a 3 get GET", "$1\r\n2\r\n");
    EXPECT(&harness, "GET a", "$1\r\n3\r\n");
    /* whatever the condition says, too */
    EXPECT(&harness, "SET a 4 NX GET", "$1\r\n3\r\n");
    EXPECT(&harness, "GET a", "$1\r\n3\r\n");
    EXPECT(&harness, "SET b 1 XX GET", "$-1\r\n");
    EXPECT(&harness, "EXISTS b", ":0\r\n");
    EXPECT(&harness, "SET b 1 NX GET", "$-1\r\n");
    EXPECT(&harness, "GET b", "$1\r\n1\r\n");
    EXPECT(&harness, "SET a 5 GET XX", "$1\r\n3\r\n");
    EXPECT(&harness, "GET a", "$1\r\n5\r\n");
}

Test(string, set_get_refuses_another_type) {
    harness_put_list(&harness, "l");
    EXPECT(&harness, "SET l x GET", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "SET l x NX GET",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "SET l x XX GET",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "SET l x KEEPTTL GET",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "EXISTS l", ":1\r\n");
}

Test(string, set_with_an_expiry) {
    EXPECT(&harness, "SET a 1 EX 100", "+OK\r\n");
    EXPECT(&harness, "TTL a", ":100\r\n");
    EXPECT(&harness, "SET a 1 px 100000", "+OK\r\n");
    EXPECT(&harness, "TTL a", ":100\r\n");
    EXPECT(&harness, "SET a 1 EXAT 4102444800", "+OK\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":4102444800000\r\n");
    EXPECT(&harness, "SET a 1 PXAT 4102444800123", "+OK\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":4102444800123\r\n");
    EXPECT(&harness, "SET a 1 EXAT 9223372036854775", "+OK\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":9223372036854775000\r\n");
    EXPECT(&harness, "SET a 1 PXAT 9223372036854775807", "+OK\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":9223372036854775807\r\n");
    /* of one unit the last one counts */
    EXPECT(&harness, "SET a 1 EX 100 EX 200 ex 300", "+OK\r\n");
    EXPECT(&harness, "TTL a", ":300\r\n");
    EXPECT(&harness, "SET a 1 NX EX 5", "$-1\r\n");
    EXPECT(&harness, "TTL a", ":300\r\n");
}

Test(string, set_keepttl_keeps_the_expiry) {
    EXPECT(&harness, "SET a 1 PXAT 4102444800123", "+OK\r\n");
    EXPECT(&harness, "SET a 2 KEEPTTL", "+OK\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":4102444800123\r\n");
    EXPECT(&harness, "GET a", "$1\r\n2\r\n");
    EXPECT(&harness, "SET a 3 keepttl XX GET", "$1\r\n2\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":4102444800123\r\n");
    EXPECT(&harness, "SET b 1 KEEPTTL", "+OK\r\n");
    EXPECT(&harness, "TTL b", ":-1\r\n");
}

Test(string, set_with_an_expiry_in_the_past_leaves_no_key_to_be_seen) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "SET a 2 PXAT 1", "+OK\r\n");
    EXPECT(&harness, "GET a", "$-1\r\n");
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "SET a 2 EXAT 1 GET", "$1\r\n1\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
    EXPECT(&harness, "SET a 3 PXAT 1 NX", "+OK\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
    EXPECT(&harness, "DBSIZE", ":0\r\n");
}

Test(string, set_refuses_options_that_do_not_go_together) {
    EXPECT(&harness, "SET a 1 NX XX", "-ERR syntax error\r\n");
    EXPECT(&harness, "SET a 1 XX NX", "-ERR syntax error\r\n");
    EXPECT(&harness, "SET a 1 EX 1 PX 1", "-ERR syntax error\r\n");
    EXPECT(&harness, "SET a 1 EX 1 EXAT 1", "-ERR syntax error\r\n");
    EXPECT(&harness, "SET a 1 PXAT 1 PX 1", "-ERR syntax error\r\n");
    EXPECT(&harness, "SET a 1 KEEPTTL EX 1", "-ERR syntax error\r\n");
    EXPECT(&harness, "SET a 1 EX 1 KEEPTTL", "-ERR syntax error\r\n");
    EXPECT(&harness, "SET a 1 EX", "-ERR syntax error\r\n");
    EXPECT(&harness, "SET a 1 NX PX", "-ERR syntax error\r\n");
    EXPECT(&harness, "SET a 1 PERSIST", "-ERR syntax error\r\n");
    EXPECT(&harness, "SET a 1 foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "SET a 1 \"\"", "-ERR syntax error\r\n");
    EXPECT(&harness, "SET a 1 EX 1 NX foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
}

Test(string, set_refuses_expiries_that_are_none) {
    EXPECT(&harness, "SET a 1 EX x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SET a 1 EX 1.5", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SET a 1 EX \"\"", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SET a 1 EX 0", "-ERR invalid expire time in 'set' command\r\n");
    EXPECT(&harness, "SET a 1 EX -1", "-ERR invalid expire time in 'set' command\r\n");
    EXPECT(&harness, "SET a 1 PX 0", "-ERR invalid expire time in 'set' command\r\n");
    EXPECT(&harness, "SET a 1 EXAT 0", "-ERR invalid expire time in 'set' command\r\n");
    EXPECT(&harness, "SET a 1 PXAT -1", "-ERR invalid expire time in 'set' command\r\n");
    EXPECT(&harness, "SET a 1 EX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n");
    EXPECT(&harness, "SET a 1 EX 9223372036854775", "-ERR invalid expire time in 'set' command\r\n");
    EXPECT(&harness, "SET a 1 PX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n");
    EXPECT(&harness, "SET a 1 EXAT 9223372036854776", "-ERR invalid expire time in 'set' command\r\n");
    EXPECT(&harness, "SET a 1 EX 9223372036854775808", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
    /* the syntax is looked at first, then the expiry, then the key */
    EXPECT(&harness, "SET a 1 EX 0 foo", "-ERR syntax error\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "SET l 1 EX 0 GET", "-ERR invalid expire time in 'set' command\r\n");
}

/* ---- SETNX SETEX PSETEX GETSET GETDEL ---- */

Test(string, setnx_writes_only_an_absent_key) {
    EXPECT(&harness, "SETNX a 1", ":1\r\n");
    EXPECT(&harness, "SETNX a 2", ":0\r\n");
    EXPECT(&harness, "GET a", "$1\r\n1\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "SETNX l 1", ":0\r\n");
    EXPECT(&harness, "SETNX a", "-ERR wrong number of arguments for 'setnx' command\r\n");
}

Test(string, setex_and_psetex_write_with_an_expiry) {
    EXPECT(&harness, "SETEX a 100 hello", "+OK\r\n");
    EXPECT(&harness, "TTL a", ":100\r\n");
    EXPECT(&harness, "GET a", "$5\r\nhello\r\n");
    EXPECT(&harness, "PSETEX a 200000 world", "+OK\r\n");
    EXPECT(&harness, "TTL a", ":200\r\n");
    EXPECT(&harness, "GET a", "$5\r\nworld\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "SETEX l 100 x", "+OK\r\n");
    EXPECT(&harness, "GET l", "$1\r\nx\r\n");
    EXPECT(&harness, "SETEX a 0 x", "-ERR invalid expire time in 'setex' command\r\n");
    EXPECT(&harness, "SETEX a -1 x", "-ERR invalid expire time in 'setex' command\r\n");
    EXPECT(&harness, "SETEX a x x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SETEX a 9223372036854775807 x", "-ERR invalid expire time in 'setex' command\r\n");
    EXPECT(&harness, "PSETEX a 0 x", "-ERR invalid expire time in 'psetex' command\r\n");
    EXPECT(&harness, "PSETEX a x x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "PSETEX a 9223372036854775807 x", "-ERR invalid expire time in 'psetex' command\r\n");
    EXPECT(&harness, "SETEX a 100", "-ERR wrong number of arguments for 'setex' command\r\n");
    EXPECT(&harness, "PSETEX a 100 x y", "-ERR wrong number of arguments for 'psetex' command\r\n");
    EXPECT(&harness, "GET a", "$5\r\nworld\r\n");
}

Test(string, getset_answers_the_old_value_and_clears_the_expiry) {
    EXPECT(&harness, "GETSET a 1", "$-1\r\n");
    EXPECT(&harness, "GETSET a 2", "$1\r\n1\r\n");
    EXPECT(&harness, "GET a", "$1\r\n2\r\n");
    EXPECT(&harness, "EXPIRE a 100", ":1\r\n");
    EXPECT(&harness, "GETSET a 3", "$1\r\n2\r\n");
    EXPECT(&harness, "TTL a", ":-1\r\n");
    EXPECT(&harness, "GETSET a", "-ERR wrong number of arguments for 'getset' command\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "GETSET l x", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
}

Test(string, getdel_answers_and_deletes) {
    EXPECT(&harness, "SET a hello", "+OK\r\n");
    EXPECT(&harness, "GETDEL a", "$5\r\nhello\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
    EXPECT(&harness, "GETDEL a", "$-1\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "GETDEL l", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "EXISTS l", ":1\r\n");
    EXPECT(&harness, "GETDEL a b", "-ERR wrong number of arguments for 'getdel' command\r\n");
}

/* ---- GETEX ---- */

Test(string, getex_without_options_only_reads) {
    EXPECT(&harness, "SET a hello EX 100", "+OK\r\n");
    EXPECT(&harness, "GETEX a", "$5\r\nhello\r\n");
    EXPECT(&harness, "TTL a", ":100\r\n");
    EXPECT(&harness, "GETEX nosuch", "$-1\r\n");
    EXPECT(&harness, "GETEX", "-ERR wrong number of arguments for 'getex' command\r\n");
}

Test(string, getex_sets_an_expiry) {
    EXPECT(&harness, "SET a hello", "+OK\r\n");
    EXPECT(&harness, "GETEX a EX 100", "$5\r\nhello\r\n");
    EXPECT(&harness, "TTL a", ":100\r\n");
    EXPECT(&harness, "GETEX a px 200000", "$5\r\nhello\r\n");
    EXPECT(&harness, "TTL a", ":200\r\n");
    EXPECT(&harness, "GETEX a EXAT 4102444800", "$5\r\nhello\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":4102444800000\r\n");
    EXPECT(&harness, "GETEX a PXAT 4102444800123", "$5\r\nhello\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":4102444800123\r\n");
    EXPECT(&harness, "GETEX a EX 5 EX 10", "$5\r\nhello\r\n");
    EXPECT(&harness, "TTL a", ":10\r\n");
    EXPECT(&harness, "GET a", "$5\r\nhello\r\n");
}

Test(string, getex_persist_clears_the_expiry) {
    EXPECT(&harness, "SET a hello EX 100", "+OK\r\n");
    EXPECT(&harness, "GETEX a PERSIST", "$5\r\nhello\r\n");
    EXPECT(&harness, "TTL a", ":-1\r\n");
    EXPECT(&harness, "GETEX a persist PERSIST", "$5\r\nhello\r\n");
    EXPECT(&harness, "TTL a", ":-1\r\n");
    EXPECT(&harness, "GETEX nosuch PERSIST", "$-1\r\n");
}

Test(string, getex_deletes_a_key_whose_new_expiry_is_past) {
    EXPECT(&harness, "SET a hello", "+OK\r\n");
    EXPECT(&harness, "GETEX a PXAT 1", "$5\r\nhello\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
    EXPECT(&harness, "SET a hello", "+OK\r\n");
    EXPECT(&harness, "GETEX a EXAT 1", "$5\r\nhello\r\n");
    EXPECT(&harness, "DBSIZE", ":0\r\n");
}

Test(string, getex_refuses_what_set_refuses) {
    EXPECT(&harness, "SET a hello", "+OK\r\n");
    EXPECT(&harness, "GETEX a EX 0", "-ERR invalid expire time in 'getex' command\r\n");
    EXPECT(&harness, "GETEX a EX x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "GETEX a PX -1", "-ERR invalid expire time in 'getex' command\r\n");
    EXPECT(&harness, "GETEX a EXAT 0", "-ERR invalid expire time in 'getex' command\r\n");
    EXPECT(&harness, "GETEX a EX 9223372036854775807", "-ERR invalid expire time in 'getex' command\r\n");
    EXPECT(&harness, "GETEX a EX", "-ERR syntax error\r\n");
    EXPECT(&harness, "GETEX a EX 10 PX 10", "-ERR syntax error\r\n");
    EXPECT(&harness, "GETEX a PERSIST EX 10", "-ERR syntax error\r\n");
    EXPECT(&harness, "GETEX a EX 10 PERSIST", "-ERR syntax error\r\n");
    EXPECT(&harness, "GETEX a KEEPTTL", "-ERR syntax error\r\n");
    EXPECT(&harness, "GETEX a NX", "-ERR syntax error\r\n");
    EXPECT(&harness, "GETEX a foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "TTL a", ":-1\r\n");
    /* an absent key is answered before the number is read, its syntax is not */
    EXPECT(&harness, "GETEX nosuch EX 0", "$-1\r\n");
    EXPECT(&harness, "GETEX nosuch EX x", "$-1\r\n");
    EXPECT(&harness, "GETEX nosuch foo", "-ERR syntax error\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "GETEX l EX 0",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "GETEX l foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "GETEX l", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
}

/* ---- MGET MSET MSETNX ---- */

Test(string, mget_answers_nothing_for_what_is_no_string) {
    EXPECT(&harness, "MSET a 1 b \"\"", "+OK\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "MGET a nosuch b l a", "*5\r\n$1\r\n1\r\n$-1\r\n$0\r\n\r\n$-1\r\n$1\r\n1\r\n");
    EXPECT(&harness, "MGET nosuch", "*1\r\n$-1\r\n");
    EXPECT(&harness, "MGET", "-ERR wrong number of arguments for 'mget' command\r\n");
}

Test(string, mset_writes_all_and_clears_expiries) {
    EXPECT(&harness, "SET a 0 EX 100", "+OK\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "MSET a 1 b 2 l 3", "+OK\r\n");
    EXPECT(&harness, "MGET a b l", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n");
    EXPECT(&harness, "TTL a", ":-1\r\n");
    /* of a key that comes twice the last value stays */
    EXPECT(&harness, "MSET c 1 d 2 c 333333333333", "+OK\r\n");
    EXPECT(&harness, "MGET c d", "*2\r\n$12\r\n333333333333\r\n$1\r\n2\r\n");
    EXPECT(&harness, "MSET c 1 c 22 c 333", "+OK\r\n");
    EXPECT(&harness, "GET c", "$3\r\n333\r\n");
    EXPECT(&harness, "MSET a", "-ERR wrong number of arguments for 'mset' command\r\n");
    EXPECT(&harness, "MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n");
    EXPECT(&harness, "MSET", "-ERR wrong number of arguments for 'mset' command\r\n");
    EXPECT(&harness, "GET a", "$1\r\n1\r\n");
}

Test(string, msetnx_writes_all_or_none) {
    EXPECT(&harness, "MSETNX a 1 b 2", ":1\r\n");
    EXPECT(&harness, "MGET a b", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    EXPECT(&harness, "MSETNX c 1 b 3", ":0\r\n");
    EXPECT(&harness, "MGET c b", "*2\r\n$-1\r\n$1\r\n2\r\n");
    EXPECT(&harness, "MSETNX d 1 d 2", ":1\r\n");
    EXPECT(&harness, "GET d", "$1\r\n2\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "MSETNX e 1 l 2", ":0\r\n");
    EXPECT(&harness, "EXISTS e", ":0\r\n");
    EXPECT(&harness, "MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command\r\n");
    EXPECT(&harness, "MSETNX e", "-ERR wrong number of arguments for 'msetnx' command\r\n");
}

/* ---- OBJECT ENCODING ---- */

Test(string, each_command_leaves_the_encoding_that_redis_has) {
    EXPECT(&harness, "SET a 123", "+OK\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nint\r\n");
    EXPECT(&harness, "SET a hello", "+OK\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$6\r\nembstr\r\n");
    EXPECT(&harness, "SET a \"12345678901234567890123456789012345678901234\"", "+OK\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$6\r\nembstr\r\n");
    EXPECT(&harness, "SET a \"123456789012345678901234567890123456789012345\"", "+OK\r\n");
    EXPECT(&harness, "OBJECT ENCODING a", "$3\r\nraw\r\n");
    EXPECT(&harness, "APPEND b 123", ":3\r\n");
    EXPECT(&harness, "OBJECT ENCODING b", "$3\r\nint\r\n");
    EXPECT(&harness, "APPEND b 4", ":4\r\n");
    EXPECT(&harness, "OBJECT ENCODING b", "$3\r\nraw\r\n");
    EXPECT(&harness, "INCR b", ":1235\r\n");
    EXPECT(&harness, "OBJECT ENCODING b", "$3\r\nint\r\n");
    EXPECT(&harness, "APPEND b \"\"", ":4\r\n");
    EXPECT(&harness, "OBJECT ENCODING b", "$3\r\nraw\r\n");
    EXPECT(&harness, "INCRBYFLOAT b 1", "$4\r\n1236\r\n");
    EXPECT(&harness, "OBJECT ENCODING b", "$6\r\nembstr\r\n");
    EXPECT(&harness, "INCRBYFLOAT new 1", "$1\r\n1\r\n");
    EXPECT(&harness, "OBJECT ENCODING new", "$6\r\nembstr\r\n");
    EXPECT(&harness, "SETRANGE c 0 12", ":2\r\n");
    EXPECT(&harness, "OBJECT ENCODING c", "$3\r\nraw\r\n");
    EXPECT(&harness, "GETSET c 12", "$2\r\n12\r\n");
    EXPECT(&harness, "OBJECT ENCODING c", "$3\r\nint\r\n");
    EXPECT(&harness, "SETRANGE c 0 12", ":2\r\n");
    EXPECT(&harness, "OBJECT ENCODING c", "$3\r\nraw\r\n");
    EXPECT(&harness, "GETEX c EX 100", "$2\r\n12\r\n");
    EXPECT(&harness, "OBJECT ENCODING c", "$3\r\nraw\r\n");
    EXPECT(&harness, "GETEX c PERSIST", "$2\r\n12\r\n");
    EXPECT(&harness, "OBJECT ENCODING c", "$3\r\nraw\r\n");
    EXPECT(&harness, "SET c 1 KEEPTTL", "+OK\r\n");
    EXPECT(&harness, "OBJECT ENCODING c", "$3\r\nint\r\n");
    EXPECT(&harness, "MSET c 1 d x", "+OK\r\n");
    EXPECT(&harness, "OBJECT ENCODING c", "$3\r\nint\r\n");
    EXPECT(&harness, "SETNX e 1", ":1\r\n");
    EXPECT(&harness, "OBJECT ENCODING e", "$3\r\nint\r\n");
    EXPECT(&harness, "SETEX e 100 x", "+OK\r\n");
    EXPECT(&harness, "OBJECT ENCODING e", "$6\r\nembstr\r\n");
    EXPECT(&harness, "SET f 1e40", "+OK\r\n");
    EXPECT(&harness, "INCRBYFLOAT f 1", "$40\r\n9999999999999999999783686092270256259072\r\n");
    EXPECT(&harness, "OBJECT ENCODING f", "$6\r\nembstr\r\n");
    EXPECT(&harness, "SET f 1e60", "+OK\r\n");
    EXPECT(&harness, "INCRBYFLOAT f 1",
           "$60\r\n999999999999999999999373423426722168652130621984886772203520\r\n");
    EXPECT(&harness, "OBJECT ENCODING f", "$3\r\nraw\r\n");
}

/* ---- RESP3 ---- */

Test(string, in_resp3_nothing_is_null) {
    harness.reply.protocol = 3;
    EXPECT(&harness, "GET nosuch", "_\r\n");
    EXPECT(&harness, "MGET nosuch", "*1\r\n_\r\n");
    EXPECT(&harness, "SET a 1 GET", "_\r\n");
    EXPECT(&harness, "SET a 1 NX", "_\r\n");
    EXPECT(&harness, "GETDEL nosuch", "_\r\n");
    EXPECT(&harness, "GETEX nosuch", "_\r\n");
    EXPECT(&harness, "GETSET b 1", "_\r\n");
    EXPECT(&harness, "SET a 2 XX GET", "$1\r\n1\r\n");
    EXPECT(&harness, "STRLEN a", ":1\r\n");
    EXPECT(&harness, "INCRBYFLOAT a 0.5", "$3\r\n2.5\r\n");
}

/* ---- Time ---- */

static void advance(int64_t milliseconds) {
    harness_set_time(&harness, harness.keyspace->now_ms + milliseconds);
}

Test(string, a_relative_expiry_counts_from_now) {
    EXPECT(&harness, "SET a x EX 100", "+OK\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":1700000100000\r\n");
    EXPECT(&harness, "SET a x PX 100", "+OK\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":1700000000100\r\n");
    EXPECT(&harness, "GETEX a EX 7", "$1\r\nx\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":1700000007000\r\n");
    EXPECT(&harness, "PSETEX a 1 y", "+OK\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":1700000000001\r\n");
    EXPECT(&harness, "SETEX a 1 y", "+OK\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":1700000001000\r\n");
}

Test(string, the_largest_relative_expiry_ends_with_the_numbers) {
    EXPECT(&harness, "SET a x PX 9223370336854775807", "+OK\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":9223372036854775807\r\n");
    EXPECT(&harness, "SET a x PX 9223370336854775808", "-ERR invalid expire time in 'set' command\r\n");
    EXPECT(&harness, "SET a x EX 9223370336854775", "+OK\r\n");
    EXPECT(&harness, "SET a x EX 9223370336854776", "-ERR invalid expire time in 'set' command\r\n");
}

Test(string, getex_deletes_a_key_whose_new_expiry_is_now) {
    EXPECT(&harness, "SET a x", "+OK\r\n");
    EXPECT(&harness, "GETEX a PXAT 1700000000001", "$1\r\nx\r\n");
    EXPECT(&harness, "EXISTS a", ":1\r\n");
    EXPECT(&harness, "GETEX a PXAT 1700000000000", "$1\r\nx\r\n");
    EXPECT(&harness, "EXISTS a", ":0\r\n");
}

Test(string, a_key_whose_time_has_come_is_absent) {
    EXPECT(&harness, "MSET a 1 b 2", "+OK\r\n");
    EXPECT(&harness, "PEXPIRE a 100", ":1\r\n");
    advance(100);
    EXPECT(&harness, "GET a", "$1\r\n1\r\n");
    advance(1);
    EXPECT(&harness, "MGET a b", "*2\r\n$-1\r\n$1\r\n2\r\n");
    EXPECT(&harness, "GET a", "$-1\r\n");
    EXPECT(&harness, "DBSIZE", ":1\r\n");
}

Test(string, writing_an_expired_key_begins_anew) {
    static const char *const lines[][2] = {
        {"SETNX a x", ":1\r\n"},
        {"SET a x NX", "+OK\r\n"},
        {"SET a x XX", "$-1\r\n"},
        {"SET a x GET", "$-1\r\n"},
        {"GETSET a x", "$-1\r\n"},
        {"GETDEL a", "$-1\r\n"},
        {"GETEX a PERSIST", "$-1\r\n"},
        {"MSETNX a 1 b 2", ":1\r\n"},
        {"APPEND a xyz", ":3\r\n"},
        {"SETRANGE a 1 x", ":2\r\n"},
        {"INCR a", ":1\r\n"},
        {"INCRBYFLOAT a 1", "$1\r\n1\r\n"},
        {"SETBIT a 0 1", ":0\r\n"},
        {"BITOP NOT d a", ":0\r\n"},
        {"BITFIELD a INCRBY u8 0 1", "*1\r\n:1\r\n"},
        {"SET a x KEEPTTL", "+OK\r\n"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        EXPECT(&harness, "FLUSHALL", "+OK\r\n");
        EXPECT(&harness, "SET a 5 PX 100", "+OK\r\n");
        advance(101);
        harness_expect(__FILE__, __LINE__, &harness, lines[i][0], lines[i][1], strlen(lines[i][1]));
        struct harness_answer ttl = harness_run(&harness, "PTTL a");
        cr_assert(memcmp(ttl.data, ":-1\r\n", ttl.size) == 0 || memcmp(ttl.data, ":-2\r\n", ttl.size) == 0,
                  "%s keeps an expiry that has passed", lines[i][0]);
    }
}
