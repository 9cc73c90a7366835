/* lcs_test.c - LCS, with the replies of redis-server 7.0.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/harness.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct harness harness;

static void set_up(void) {
    harness_init(&harness);
}

static void tear_down(void) {
    harness_release(&harness);
}

TestSuite(lcs, .init = set_up, .fini = tear_down);

Test(lcs, lcs_answers_the_longest_common_subsequence) {
    EXPECT(&harness, "MSET a ohmytext b mynewtext", "+OK\r\n");
    EXPECT(&harness, "LCS a b", "$6\r\nmytext\r\n");
    EXPECT(&harness, "LCS a b LEN", ":6\r\n");
    EXPECT(
        &harness, "LCS a b IDX",
        "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:0\r\n:1\r\n$3\r\nlen\r\n:6\r\n");
    EXPECT(&harness, "LCS a b IDX MINMATCHLEN 4",
           "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n$3\r\nlen\r\n:6\r\n");
    EXPECT(
        &harness, "LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
        "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n$3\r\nlen\r\n:6\r\n");
    EXPECT(&harness, "LCS a b idx withmatchlen minmatchlen 5",
           "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:6\r\n");
    EXPECT(&harness, "LCS a b MINMATCHLEN 100", "$6\r\nmytext\r\n");
    EXPECT(&harness, "LCS a b LEN MINMATCHLEN 100 WITHMATCHLEN", ":6\r\n");
    EXPECT(
        &harness, "LCS b a IDX WITHMATCHLEN",
        "*4\r\n$7\r\nmatches\r\n*2\r\n*3\r\n*2\r\n:5\r\n:8\r\n*2\r\n:4\r\n:7\r\n:4\r\n*3\r\n*2\r\n:0\r\n:1\r\n*2\r\n:2\r\n:3\r\n:2\r\n$3\r\nlen\r\n:6\r\n");
    EXPECT(&harness, "LCS a a IDX",
           "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:0\r\n:7\r\n*2\r\n:0\r\n:7\r\n$3\r\nlen\r\n:8\r\n");
}

Test(lcs, lcs_goes_the_same_way_back_as_redis_where_there_are_several) {
    EXPECT(&harness, "MSET a AGGTAB b GXTXAYB", "+OK\r\n");
    EXPECT(&harness, "LCS a b", "$4\r\nGTAB\r\n");
    EXPECT(
        &harness, "LCS a b IDX",
        "*4\r\n$7\r\nmatches\r\n*4\r\n*2\r\n*2\r\n:5\r\n:5\r\n*2\r\n:6\r\n:6\r\n*2\r\n*2\r\n:4\r\n:4\r\n*2\r\n:4\r\n:4\r\n*2\r\n*2\r\n:3\r\n:3\r\n*2\r\n:2\r\n:2\r\n*2\r\n*2\r\n:2\r\n:2\r\n*2\r\n:0\r\n:0\r\n$3\r\nlen\r\n:4\r\n");
    EXPECT(
        &harness, "LCS b a IDX",
        "*4\r\n$7\r\nmatches\r\n*4\r\n*2\r\n*2\r\n:6\r\n:6\r\n*2\r\n:5\r\n:5\r\n*2\r\n*2\r\n:4\r\n:4\r\n*2\r\n:4\r\n:4\r\n*2\r\n*2\r\n:2\r\n:2\r\n*2\r\n:3\r\n:3\r\n*2\r\n*2\r\n:0\r\n:0\r\n*2\r\n:1\r\n:1\r\n$3\r\nlen\r\n:4\r\n");
    EXPECT(&harness, "MSET a abcabc b acbacb", "+OK\r\n");
    EXPECT(&harness, "LCS a b", "$4\r\nacbc\r\n");
    EXPECT(&harness, "LCS b a", "$4\r\nabcb\r\n");
    EXPECT(
        &harness, "LCS a b IDX",
        "*4\r\n$7\r\nmatches\r\n*4\r\n*2\r\n*2\r\n:5\r\n:5\r\n*2\r\n:4\r\n:4\r\n*2\r\n*2\r\n:4\r\n:4\r\n*2\r\n:2\r\n:2\r\n*2\r\n*2\r\n:2\r\n:2\r\n*2\r\n:1\r\n:1\r\n*2\r\n*2\r\n:0\r\n:0\r\n*2\r\n:0\r\n:0\r\n$3\r\nlen\r\n:4\r\n");
    EXPECT(
        &harness, "LCS b a IDX",
        "*4\r\n$7\r\nmatches\r\n*4\r\n*2\r\n*2\r\n:5\r\n:5\r\n*2\r\n:4\r\n:4\r\n*2\r\n*2\r\n:4\r\n:4\r\n*2\r\n:2\r\n:2\r\n*2\r\n*2\r\n:2\r\n:2\r\n*2\r\n:1\r\n:1\r\n*2\r\n*2\r\n:0\r\n:0\r\n*2\r\n:0\r\n:0\r\n$3\r\nlen\r\n:4\r\n");
    EXPECT(&harness, "MSET a \"\\x00\\x01\\x00\\x01\\x00\" b \"\\x01\\x00\\x01\"", "+OK\r\n");
    EXPECT(&harness, "LCS a b", "$3\r\n\001\000\001\r\n");
    EXPECT(&harness, "LCS a b IDX",
           "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:1\r\n:3\r\n*2\r\n:0\r\n:2\r\n$3\r\nlen\r\n:3\r\n");
    EXPECT(&harness, "LCS b a IDX",
           "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:0\r\n:2\r\n*2\r\n:1\r\n:3\r\n$3\r\nlen\r\n:3\r\n");
}

Test(lcs, lcs_takes_an_absent_key_as_empty) {
    EXPECT(&harness, "SET a abc", "+OK\r\n");
    EXPECT(&harness, "LCS a nosuch", "$0\r\n\r\n");
    EXPECT(&harness, "LCS nosuch a LEN", ":0\r\n");
    EXPECT(&harness, "LCS nosuch nosuch2 IDX", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n");
    EXPECT(&harness, "SET b \"\"", "+OK\r\n");
    EXPECT(&harness, "LCS a b", "$0\r\n\r\n");
    EXPECT(&harness, "LCS a b IDX WITHMATCHLEN", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n");
    EXPECT(&harness, "SET c xyz", "+OK\r\n");
    EXPECT(&harness, "LCS a c", "$0\r\n\r\n");
    EXPECT(&harness, "LCS a c LEN", ":0\r\n");
    EXPECT(&harness, "LCS a c IDX", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n");
}

Test(lcs, lcs_lists_matches_of_any_length_below_a_negative_minimum) {
    EXPECT(&harness, "MSET a abcd b axcd", "+OK\r\n");
    EXPECT(
        &harness, "LCS a b IDX MINMATCHLEN -5",
        "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:2\r\n:3\r\n*2\r\n*2\r\n:0\r\n:0\r\n*2\r\n:0\r\n:0\r\n$3\r\nlen\r\n:3\r\n");
    EXPECT(
        &harness, "LCS a b IDX MINMATCHLEN 0",
        "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:2\r\n:3\r\n*2\r\n*2\r\n:0\r\n:0\r\n*2\r\n:0\r\n:0\r\n$3\r\nlen\r\n:3\r\n");
    EXPECT(
        &harness, "LCS a b IDX MINMATCHLEN 1",
        "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:2\r\n:3\r\n*2\r\n*2\r\n:0\r\n:0\r\n*2\r\n:0\r\n:0\r\n$3\r\nlen\r\n:3\r\n");
    EXPECT(&harness, "LCS a b IDX MINMATCHLEN 2",
           "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:2\r\n:3\r\n$3\r\nlen\r\n:3\r\n");
    EXPECT(&harness, "LCS a b IDX MINMATCHLEN 3", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:3\r\n");
    EXPECT(
        &harness, "LCS a b IDX MINMATCHLEN 3 MINMATCHLEN 1",
        "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:2\r\n:3\r\n*2\r\n*2\r\n:0\r\n:0\r\n*2\r\n:0\r\n:0\r\n$3\r\nlen\r\n:3\r\n");
    EXPECT(&harness, "LCS a b IDX MINMATCHLEN 9223372036854775807",
           "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:3\r\n");
}

Test(lcs, lcs_in_resp3_answers_a_map) {
    EXPECT(&harness, "MSET a abcd b axcd", "+OK\r\n");
    harness.reply.protocol = 3;
    EXPECT(
        &harness, "LCS a b IDX",
        "%2\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:2\r\n:3\r\n*2\r\n*2\r\n:0\r\n:0\r\n*2\r\n:0\r\n:0\r\n$3\r\nlen\r\n:3\r\n");
    EXPECT(
        &harness, "LCS a b IDX WITHMATCHLEN",
        "%2\r\n$7\r\nmatches\r\n*2\r\n*3\r\n*2\r\n:2\r\n:3\r\n*2\r\n:2\r\n:3\r\n:2\r\n*3\r\n*2\r\n:0\r\n:0\r\n*2\r\n:0\r\n:0\r\n:1\r\n$3\r\nlen\r\n:3\r\n");
    EXPECT(&harness, "LCS a b", "$3\r\nacd\r\n");
    EXPECT(&harness, "LCS a b LEN", ":3\r\n");
    EXPECT(&harness, "LCS a nosuch IDX", "%2\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n");
}

Test(lcs, lcs_refuses_what_is_no_option) {
    EXPECT(&harness, "MSET a abc b abd", "+OK\r\n");
    EXPECT(&harness, "LCS a b foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "LCS a b LEN IDX",
           "-ERR If you want both the length and indexes, please just use IDX.\r\n");
    EXPECT(&harness, "LCS a b IDX LEN foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "LCS a b MINMATCHLEN", "-ERR syntax error\r\n");
    EXPECT(&harness, "LCS a b IDX MINMATCHLEN x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "LCS a b IDX MINMATCHLEN 1.0", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "LCS a b MINMATCHLEN x foo", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&harness, "LCS a b foo MINMATCHLEN x", "-ERR syntax error\r\n");
    EXPECT(&harness, "LCS a", "-ERR wrong number of arguments for 'lcs' command\r\n");
    EXPECT(&harness, "LCS nosuch nosuch foo", "-ERR syntax error\r\n");
}

Test(lcs, lcs_refuses_another_type) {
    EXPECT(&harness, "SET a abc", "+OK\r\n");
    harness_put_list(&harness, "l");
    EXPECT(&harness, "LCS l a", "-ERR The specified keys must contain string values\r\n");
    EXPECT(&harness, "LCS a l IDX", "-ERR The specified keys must contain string values\r\n");
    EXPECT(&harness, "LCS l nosuch foo", "-ERR The specified keys must contain string values\r\n");
    EXPECT(&harness, "LCS l l LEN IDX", "-ERR The specified keys must contain string values\r\n");
}

Test(lcs, lcs_of_strings_longer_than_a_machine_word) {
    EXPECT(
        &harness,
        "MSET a bbcdaadcbbdddbbbdaabacacdddddbcaabdbcdcddcdbcacbcabccaaddacadbacddaaadccbacaaaabdccbacccbddddacdbcdcccadcadbacdcccdaaaccdccbcbccccdaabcbcbcbdaaccbdbac b bdcbaabcbccacbdccdcdcddadbbaddbadccbacabaabdaadabcbadaacbcdacbbaabbcbaddacbcdadcaabaaaadaadcbcacddcccbcdabadabacddadacdcdddabbcadbdbacccadadacaadbbdaaadbacaaadccaabaaacbabbbddccdcdadbdbddbdbbadddbbcbb",
        "+OK\r\n");
    EXPECT(
        &harness, "LCS a b",
        "$104\r\nbdaacbbddddabadddbcaabddcdcbcacbabcaddacbcdadcbaaaaadcbacccbddddacdbcdcccadadacddaaadbcccaabcbbbdccbdbac\r\n");
    EXPECT(
        &harness, "LCS b a",
        "$104\r\nbbaacbbdddbbbdaabaadaadbcdccdacbabcaddacbcddaaaaaaaadccacccbddddacdbcdcccadcadbadcaaadccbcbcccdabbbbdcbb\r\n");
    EXPECT(&harness, "LCS a b LEN", ":104\r\n");
    EXPECT(
        &harness, "LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
        "*4\r\n$7\r\nmatches\r\n*4\r\n*3\r\n*2\r\n:114\r\n:117\r\n*2\r\n:147\r\n:150\r\n:4\r\n*3\r\n*2\r\n:99\r\n:103\r\n*2\r\n:133\r\n:137\r\n:5\r\n*3\r\n*2\r\n:54\r\n:58\r\n*2\r\n:69\r\n:73\r\n:5\r\n*3\r\n*2\r\n:31\r\n:34\r\n*2\r\n:40\r\n:43\r\n:4\r\n$3\r\nlen\r\n:104\r\n");
    EXPECT(
        &harness, "LCS b a IDX MINMATCHLEN 4",
        "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:69\r\n:73\r\n*2\r\n:54\r\n:58\r\n$3\r\nlen\r\n:104\r\n");
    EXPECT(
        &harness, "LCS a a IDX",
        "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:0\r\n:149\r\n*2\r\n:0\r\n:149\r\n$3\r\nlen\r\n:150\r\n");
}

Test(lcs, lcs_refuses_strings_whose_table_would_be_too_large) {
    EXPECT(&harness, "SETRANGE a 11583 x", ":11584\r\n");
    EXPECT(&harness, "LCS a a LEN", ":11584\r\n");
    EXPECT(
        &harness, "LCS a a IDX",
        "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:0\r\n:11583\r\n*2\r\n:0\r\n:11583\r\n$3\r\nlen\r\n:11584\r\n");
    EXPECT(&harness, "SETRANGE b 11584 x", ":11585\r\n");
    EXPECT(&harness, "LCS b b LEN",
           "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n");
    EXPECT(&harness, "LCS b b",
           "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n");
    EXPECT(&harness, "LCS b b foo", "-ERR syntax error\r\n");
    EXPECT(&harness, "LCS a b LEN",
           "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n");
    EXPECT(&harness, "SETRANGE c 67108861 x", ":67108862\r\n");
    EXPECT(&harness, "LCS nosuch c", "$0\r\n\r\n");
    EXPECT(&harness, "LCS nosuch c IDX", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n");
}

/* ---- Against the full table ---- */

#define LONGEST 260

/* The lengths for all prefixes, and the way back through them: a step in `b` where both ways are as good. */
static size_t subsequence_by_table(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                   uint8_t result[LONGEST]) {
    static uint16_t table[LONGEST + 1][LONGEST + 1];
    for (size_t i = 1; i <= a_size; i++)
        for (size_t j = 1; j <= b_size; j++) {
            uint16_t up = table[i - 1][j], left = table[i][j - 1];
            uint16_t longer = up > left ? up : left;
            table[i][j] = a[i - 1] == b[j - 1] ? (uint16_t)(table[i - 1][j - 1] + 1) : longer;
        }
    size_t size = table[a_size][b_size], left = size;
    for (size_t i = a_size, j = b_size; i > 0 && j > 0;) {
        if (a[i - 1] == b[j - 1]) {
            result[--left] = a[i - 1];
            i--;
            j--;
        } else if (table[i - 1][j] > table[i][j - 1]) {
            i--;
        } else {
            j--;
        }
    }
    return size;
}

static struct argument word(const char *text) {
    return (struct argument){.data = (const uint8_t *)text, .size = (uint32_t)strlen(text)};
}

static struct argument random_string(struct rng *rng, uint8_t bytes[LONGEST], unsigned letters) {
    size_t size = rng_below(rng, LONGEST + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)rng_below(rng, letters);
    return (struct argument){.data = bytes, .size = (uint32_t)size};
}

Test(lcs, lcs_of_random_strings_is_that_of_the_full_table) {
    struct rng rng;
    rng_init(&rng, 1);
    for (unsigned round = 0; round < 600; round++) {
        uint8_t a_bytes[LONGEST], b_bytes[LONGEST], expected[LONGEST];
        unsigned letters = round % 3 == 0 ? 2 : round % 3 == 1 ? 5 : 256;
        struct argument a = random_string(&rng, a_bytes, letters), b = random_string(&rng, b_bytes, letters);
        struct argument set[] = {word("MSET"), word("a"), a, word("b"), b};
        harness_run_arguments(&harness, set, 5);
        size_t size = subsequence_by_table(a.data, a.size, b.data, b.size, expected);
        char header[32];
        size_t header_size = (size_t)snprintf(header, sizeof header, "$%zu\r\n", size);
        struct harness_answer answer = harness_run(&harness, "LCS a b");
        cr_assert_eq(answer.size, header_size + size + 2);
        cr_assert_arr_eq(answer.data, header, header_size);
        cr_assert(memcmp(answer.data + header_size, expected, size) == 0, "round %u", round);
        snprintf(header, sizeof header, ":%zu\r\n", size);
        harness_expect(__FILE__, __LINE__, &harness, "LCS a b LEN", header, strlen(header));
    }
}
