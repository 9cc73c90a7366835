/* string_number_test.c - strings that hold numbers: INCR and its relatives, with the replies of redis-server 7.0.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/harness.h"

#include "store/ledger.h"

#include <criterion/criterion.h>

static struct harness harness;

static void set_up(void) {
    harness_init(&harness);
}

static void tear_down(void) {
    harness_release(&harness);
}

TestSuite(string_number, .init = set_up, .fini = tear_down);

/* ---- INCR and its relatives ---- */

Test(string_number, incr_counts) {
    EXPECT(&harness, "INCR a", ":1\r\n");
    EXPECT(&harness, "INCR a", ":2\r\n");
    EXPECT(&harness, "DECR a", ":1\r\n");
    EXPECT(&harness, "DECR a", ":0\r\n");
    EXPECT(&harness, "DECR a", ":-1\r\n");
    EXPECT(&harness, "INCRBY a 100", ":99\r\n");
    EXPECT(&harness, "DECRBY a 200", ":-101\r\n");
    EXPECT(&harness, "GET a", "$4\r\n-101\r\n");
    EXPECT(&harness, "INCRBY b -5", ":-5\r\n");
    EXPECT(&harness, "DECRBY c -5", ":5\r\n");
    EXPECT(&harness, "INCRBY a 0", ":-101\r\n");
    EXPECT(&harness, "SET a 99", "+OK\r\n");
    EXPECT(&harness, "INCR a", ":100\r\n");
    EXPECT(&harness, "SET a -10", "+OK\r\n");
    EXPECT(&harness, "INCR a", ":-9\r\n");
    EXPECT(&harness, "SET a -9", "+OK\r\n");
    EXPECT(&harness, "DECR a", ":-10\r\n");
    EXPECT(&harness, "INCRBY b 0", ":-5\r\n");
    EXPECT(&harness, "INCR a b", "-ERR wrong number of arguments for 'incr' command\r\n");
    EXPECT(&harness, "INCRBY a", "-ERR wrong number of arguments for 'incrby' command\r\n");
}

Test(string_number, incr_keeps_the_expiry) {
    EXPECT(&harness, "SET a 9 PXAT 4102444800123", "+OK\r\n");
    EXPECT(&harness, "INCR a", ":10\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":4102444800123\r\n");
    EXPECT(&harness, "GET a", "$2\r\n10\r\n");
}

Test(string_number, incr_refuses_what_is_no_integer) {
    EXPECT(&harness, "SET a \"\"", "+OK\r\n");
    EXPECT(&harness, "INCR a", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SET a \" 1\"", "+OK\r\n");
    EXPECT(&harness, "INCR a", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SET a \"1 \"", "+OK\r\n");
    EXPECT(&harness, "INCR a", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SET a 01", "+OK\r\n");
    EXPECT(&harness, "INCR a", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SET a -0", "+OK\r\n");
    EXPECT(&harness, "INCR a", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SET a +1", "+OK\r\n");
    EXPECT(&harness, "INCR a", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SET a 1.0", "+OK\r\n");
    EXPECT(&harness, "INCR a", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SET a 9223372036854775808", "+OK\r\n");
    EXPECT(&harness, "INCR a", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "DECR a", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SET a x", "+OK\r\n");
    EXPECT(&harness, "INCRBY a 1", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "INCRBY a x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "INCRBY a \"\"", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "INCRBY a 1.0", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "DECRBY a 9223372036854775808", "-ERR value is not an integer or out of range\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "INCR l", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "INCRBY l x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "INCRBY l 1", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&harness, "GET a", "$1\r\n1\r\n");
}

Test(string_number, incr_refuses_to_leave_the_64_bits) {
    EXPECT(&harness, "SET a 9223372036854775806", "+OK\r\n");
    EXPECT(&harness, "INCR a", ":9223372036854775807\r\n");
    EXPECT(&harness, "INCR a", "-ERR increment or decrement would overflow\r\n");
    EXPECT(&harness, "INCRBY a 1", "-ERR increment or decrement would overflow\r\n");
    EXPECT(&harness, "DECRBY a -1", "-ERR increment or decrement would overflow\r\n");
    EXPECT(&harness, "SET a -9223372036854775807", "+OK\r\n");
    EXPECT(&harness, "DECR a", ":-9223372036854775808\r\n");
    EXPECT(&harness, "DECR a", "-ERR increment or decrement would overflow\r\n");
    EXPECT(&harness, "INCRBY a -1", "-ERR increment or decrement would overflow\r\n");
    EXPECT(&harness, "DECRBY a -9223372036854775808", "-ERR decrement would overflow\r\n");
    EXPECT(&harness, "INCRBY a 9223372036854775807", ":-1\r\n");
    EXPECT(&harness, "INCRBY nosuch -9223372036854775808", ":-9223372036854775808\r\n");
    EXPECT(&harness, "SET b -1", "+OK\r\n");
    EXPECT(&harness, "INCRBY b -9223372036854775808", "-ERR increment or decrement would overflow\r\n");
    EXPECT(&harness, "GET b", "$2\r\n-1\r\n");
}

Test(string_number, incrbyfloat_adds) {
    EXPECT(&harness, "SET a 10.50", "+OK\r\n");
    EXPECT(&harness, "INCRBYFLOAT a 0.1", "$4\r\n10.6\r\n");
    EXPECT(&harness, "INCRBYFLOAT a -5", "$3\r\n5.6\r\n");
    EXPECT(&harness, "SET a 5.0e3", "+OK\r\n");
    EXPECT(&harness, "INCRBYFLOAT a 2.0e2", "$4\r\n5200\r\n");
    EXPECT(&harness, "INCRBYFLOAT b 3", "$1\r\n3\r\n");
    EXPECT(&harness, "INCRBYFLOAT b 1.5", "$3\r\n4.5\r\n");
    EXPECT(&harness, "INCRBYFLOAT c 0.1", "$3\r\n0.1\r\n");
    EXPECT(&harness, "INCRBYFLOAT c 0.2", "$3\r\n0.3\r\n");
    EXPECT(&harness, "INCRBYFLOAT d 1e20", "$21\r\n100000000000000000000\r\n");
    EXPECT(&harness, "INCRBYFLOAT d 0x10", "$21\r\n100000000000000000016\r\n");
    EXPECT(&harness, "INCRBYFLOAT e -0", "$1\r\n0\r\n");
    EXPECT(&harness, "SET f 3", "+OK\r\n");
    EXPECT(&harness, "INCRBYFLOAT f 1.25", "$4\r\n4.25\r\n");
    EXPECT(&harness, "INCRBYFLOAT g 1e-17", "$19\r\n0.00000000000000001\r\n");
    EXPECT(&harness, "INCRBYFLOAT h 1e-18", "$1\r\n0\r\n");
    EXPECT(&harness, "GET a", "$4\r\n5200\r\n");
    EXPECT(&harness, "INCRBYFLOAT a", "-ERR wrong number of arguments for 'incrbyfloat' command\r\n");
}

Test(string_number, incrbyfloat_keeps_the_expiry) {
    EXPECT(&harness, "SET a 9 PXAT 4102444800123", "+OK\r\n");
    EXPECT(&harness, "INCRBYFLOAT a 1", "$2\r\n10\r\n");
    EXPECT(&harness, "PEXPIRETIME a", ":4102444800123\r\n");
    EXPECT(&harness, "GET a", "$2\r\n10\r\n");
}

Test(string_number, incrbyfloat_refuses_what_is_no_number) {
    EXPECT(&harness, "SET a 1", "+OK\r\n");
    EXPECT(&harness, "INCRBYFLOAT a x", "-ERR value is not a valid float\r\n");
    EXPECT(&harness, "INCRBYFLOAT a \"\"", "-ERR value is not a valid float\r\n");
    EXPECT(&harness, "INCRBYFLOAT a \" 1\"", "-ERR value is not a valid float\r\n");
    EXPECT(&harness, "INCRBYFLOAT a nan", "-ERR value is not a valid float\r\n");
    EXPECT(&harness, "INCRBYFLOAT a inf", "-ERR increment would produce NaN or Infinity\r\n");
    EXPECT(&harness, "INCRBYFLOAT a -infinity", "-ERR increment would produce NaN or Infinity\r\n");
    EXPECT(&harness, "INCRBYFLOAT a 1e5000", "-ERR value is not a valid float\r\n");
    EXPECT(&harness, "SET a x", "+OK\r\n");
    EXPECT(&harness, "INCRBYFLOAT a 1", "-ERR value is not a valid float\r\n");
    EXPECT(&harness, "INCRBYFLOAT a x", "-ERR value is not a valid float\r\n");
    EXPECT(&harness, "SET a \"\"", "+OK\r\n");
    EXPECT(&harness, "INCRBYFLOAT a 1", "-ERR value is not a valid float\r\n");
    EXPECT(&harness, "SET a 1e4932", "+OK\r\n");
    EXPECT(&harness, "INCRBYFLOAT a 1e4932", "-ERR increment would produce NaN or Infinity\r\n");
    EXPECT(&harness, "GET a", "$6\r\n1e4932\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "INCRBYFLOAT l x",
           "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
}

/* ---- Where other nodes hold copies ---- */

static uint32_t state_size(const char *name) {
    struct argument key = {
        .data = (const uint8_t *)name, .size = (uint32_t)strlen(name), .slot = ARGUMENT_NOT_PLACED};
    return record_state_size(keyspace_find_record(harness.keyspace, &key));
}

Test(string_number, what_was_incremented_is_a_counter_where_others_hold_copies) {
    cr_assert(ledger_attach(harness.keyspace));
    EXPECT(&harness, "MSET a 10 text x", "+OK\r\n");
    cr_assert_eq(state_size("a"), 0);
    static const struct {
        const char *line, *reply;
    } steps[] = {
        {"INCR a", ":11\r\n"},
        {"DECRBY a 20", ":-9\r\n"},
        {"INCRBY a 9223372036854775807", ":9223372036854775798\r\n"},
        {"INCRBY a 10", "-ERR increment or decrement would overflow\r\n"},
        {"INCRBY a -9223372036854775798", ":0\r\n"},
        {"OBJECT ENCODING a", "$3\r\nint\r\n"},
        {"INCRBYFLOAT a 10.5", "$4\r\n10.5\r\n"},
        {"INCR a", "-ERR value is not an integer or out of range\r\n"},
        {"INCRBYFLOAT a 0.5", "$2\r\n11\r\n"},
        {"INCR a", ":12\r\n"},
        {"GET a", "$2\r\n12\r\n"},
        {"INCR n", ":1\r\n"},
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct harness_answer answer = harness_run(&harness, steps[i].line);
        cr_assert(answer.size == strlen(steps[i].reply) &&
                      memcmp(answer.data, steps[i].reply, answer.size) == 0,
                  "%s -> %.*s", steps[i].line, (int)answer.size, (const char *)answer.data);
        cr_assert_gt(state_size("a"), 0, "after %s", steps[i].line);
        ledger_clear_effects(harness.keyspace->ledger);
    }
    cr_assert_gt(state_size("n"), 0);
    EXPECT(&harness, "INCR text", "-ERR value is not an integer or out of range\r\n");
    cr_assert_eq(state_size("text"), 0);
    EXPECT(&harness, "APPEND a 0", ":3\r\n");
    cr_assert_eq(state_size("a"), 0);
    EXPECT(&harness, "INCR a", ":121\r\n");
}

Test(string_number, a_counter_that_finds_no_memory_stays_what_it_was) {
    static const char *const lines[] = {"INCR a", "INCR n", "INCRBYFLOAT a 0.25", "INCRBYFLOAT n 1e4900",
                                        "INCRBY e 100000000000000000"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        bool is_done = false;
        unsigned failed = 0;
        for (uint64_t fuse = 1; !is_done; fuse++) {
            harness_release(&harness);
            harness_init(&harness);
            cr_assert(ledger_attach(harness.keyspace));
            EXPECT(&harness, "SET a 10", "+OK\r\n");
            EXPECT(&harness, "SET e 20 PXAT 4102444800123", "+OK\r\n");
            EXPECT(&harness, "INCR e", ":21\r\n");
            harness.mem.fuse = fuse;
            struct harness_answer answer = harness_run(&harness, lines[i]);
            is_done = answer.data[0] != '-';
            harness.mem.fuse = 0;
            failed += !is_done;
            if (!is_done) {
                EXPECT(&harness, "MGET a e n", "*3\r\n$2\r\n10\r\n$2\r\n21\r\n$-1\r\n");
                EXPECT(&harness, "PEXPIRETIME e", ":4102444800123\r\n");
            }
        }
        cr_assert_gt(failed, 1, "%s", lines[i]);
    }
}
