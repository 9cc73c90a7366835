/*
 * glob_test.c - patterns: the plain cases, the odd ones that Redis has too, and the cost.
 *
 * The two long tables are answers of redis-server 7.0.15: of KEYS for patterns drawn at random from their own
 * special bytes, and of COMMAND LIST FILTERBY PATTERN, which ignores case.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "data/glob.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

struct glob_case {
    const char *pattern;
    size_t pattern_size;
    const char *text;
    size_t text_size;
    bool matches;
};

#define MATCHES(pattern, text) \
    { pattern, sizeof(pattern) - 1, text, sizeof(text) - 1, true }
#define DIFFERS(pattern, text) \
    { pattern, sizeof(pattern) - 1, text, sizeof(text) - 1, false }

/* Exact copies, so that a read past the end is a fault under the address sanitizer. */
static char *copy_of(const char *bytes, size_t size) {
    char *copy = malloc(size > 0 ? size : 1);
    cr_assert_not_null(copy);
    memcpy(copy, bytes, size);
    return copy;
}

static void expect_all(const struct glob_case *cases, size_t count, bool ignore_case) {
    for (size_t i = 0; i < count; i++) {
        char *pattern = copy_of(cases[i].pattern, cases[i].pattern_size);
        char *text = copy_of(cases[i].text, cases[i].text_size);
        bool matches = glob_match(pattern, cases[i].pattern_size, text, cases[i].text_size, ignore_case);
        cr_expect_eq(matches, cases[i].matches, "case %zu: pattern %s, text %s", i, cases[i].pattern,
                     cases[i].text);
        free(pattern);
        free(text);
    }
}

#define EXPECT_ALL(cases, ignore_case) expect_all(cases, sizeof(cases) / sizeof((cases)[0]), ignore_case)

Test(glob, plain_patterns_mean_what_everybody_expects) {
    static const struct glob_case cases[] = {
        MATCHES("user:1", "user:1"),
        DIFFERS("user:1", "user:2"),
        DIFFERS("user:1", "user:10"),
        DIFFERS("user:10", "user:1"),
        MATCHES("user:*", "user:"),
        MATCHES("user:*", "user:1:name"),
        MATCHES("*", "anything"),
        MATCHES("*:name", "user:1:name"),
        DIFFERS("*:name", "user:1:names"),
        MATCHES("user:?", "user:1"),
        DIFFERS("user:?", "user:"),
        DIFFERS("user:?", "user:12"),
        MATCHES("u*:*:n*e", "u:1:2:name"),
        DIFFERS("u*:*:n*e", "u:1:name2"),
        MATCHES("h[ae]llo", "hallo"),
        MATCHES("h[ae]llo", "hello"),
        DIFFERS("h[ae]llo", "hillo"),
        DIFFERS("h[ae]llo", "haello"),
        MATCHES("h[^e]llo", "hallo"),
        DIFFERS("h[^e]llo", "hello"),
        MATCHES("h[a-c]llo", "hbllo"),
        DIFFERS("h[a-c]llo", "hdllo"),
        MATCHES("h[c-a]llo", "hbllo"),
        DIFFERS("h[c-a]llo", "hdllo"),
        MATCHES("h[^a-c]llo", "hdllo"),
        DIFFERS("h[^a-c]llo", "hbllo"),
        MATCHES("[a-cx-z]", "y"),
        DIFFERS("[a-cx-z]", "m"),
        MATCHES("a\\*b", "a*b"),
        DIFFERS("a\\*b", "axb"),
        MATCHES("a\\?b", "a?b"),
        DIFFERS("a\\?b", "axb"),
        MATCHES("\\[a]", "[a]"),
        DIFFERS("\\[a]", "a"),
        MATCHES("[\\]]", "]"),
        DIFFERS("[\\]]", "\\]"),
        MATCHES("*a*b*c*", "xxaxxbxxcxx"),
        DIFFERS("*a*b*c*", "xxaxxcxxbxx"),
        MATCHES("***a***", "bab"),
        MATCHES("*ab", "aab"),
        MATCHES("*aab", "aaaab"),
        DIFFERS("*aab", "aaaba"),
    };
    EXPECT_ALL(cases, false);
}

Test(glob, an_empty_text_is_matched_by_the_empty_pattern_only) {
    static const struct glob_case cases[] = {
        MATCHES("", ""),  DIFFERS("*", ""),    DIFFERS("**", ""),
        DIFFERS("?", ""), DIFFERS("[^a]", ""), DIFFERS("", "a"),
    };
    EXPECT_ALL(cases, false);
}

Test(glob, brackets_that_are_never_closed_end_with_the_pattern) {
    static const struct glob_case cases[] = {
        DIFFERS("[", "["),      DIFFERS("[", "a"),     MATCHES("[a", "a"),    DIFFERS("[a", "b"),
        MATCHES("[^", "a"),     DIFFERS("[^", "ab"),   MATCHES("[^b", "a"),   DIFFERS("[^b", "b"),
        MATCHES("[a-", "-"),    MATCHES("[a-", "a"),   DIFFERS("[a-", "b"),   MATCHES("[\\", "\\"),
        DIFFERS("[\\", "a"),    MATCHES("[b\\", "b"),  MATCHES("[b\\", "\\"), MATCHES("x*[yz", "xay"),
        MATCHES("[a-\\", "\\"), MATCHES("[a-\\", "^"),
    };
    EXPECT_ALL(cases, false);
}

Test(glob, a_closing_bracket_closes_wherever_it_stands_except_as_the_end_of_a_range) {
    static const struct glob_case cases[] = {
        DIFFERS("[]", "]"),       DIFFERS("[]", "a"),   MATCHES("[^]", "a"),     MATCHES("[^]", "]"),
        DIFFERS("[]a]", "a"),     DIFFERS("[]a]", "]"), MATCHES("[^]a]", "xa]"), MATCHES("[a-]", "]"),
        MATCHES("[a-]", "_"),     DIFFERS("[a-]", "-"), DIFFERS("[a-]", "b"),    MATCHES("[a-]x]", "x"),
        DIFFERS("[a-]x]", "ax]"),
    };
    EXPECT_ALL(cases, false);
}

Test(glob, a_backslash_at_the_end_means_itself) {
    static const struct glob_case cases[] = {
        MATCHES("\\", "\\"),   MATCHES("a\\", "a\\"), DIFFERS("a\\", "a"),   MATCHES("*\\", "ab\\"),
        MATCHES("\\\\", "\\"), MATCHES("\\a", "a"),   DIFFERS("\\a", "\\a"),
    };
    EXPECT_ALL(cases, false);
}

Test(glob, zero_bytes_are_bytes_like_others_and_ranges_compare_signed) {
    static const struct glob_case cases[] = {
        MATCHES("a\0b", "a\0b"),        DIFFERS("a\0b", "a\0c"),
        MATCHES("*\0", "ab\0"),         MATCHES("?", "\0"),
        MATCHES("[\0]", "\0"),          MATCHES("[^a]", "\0"),
        MATCHES("[\001-\377]", "\377"), MATCHES("[\001-\377]", "\0"),
        MATCHES("[\001-\377]", "\001"), DIFFERS("[\001-\377]", "\200"),
        DIFFERS("[\001-\377]", "a"),    MATCHES("[\200-\300]", "\277"),
        DIFFERS("[\200-\300]", "\301"),
    };
    EXPECT_ALL(cases, false);
}

Test(glob, case_can_be_ignored) {
    static const struct glob_case cases[] = {
        MATCHES("MaxMemory*", "maxmemory-policy"),
        MATCHES("maxmemory*", "MAXMEMORY"),
        MATCHES("m[A-Z]x", "max"),
        MATCHES("m[a-z]x", "MAX"),
        MATCHES("[ABC]", "b"),
        MATCHES("\\M", "m"),
        DIFFERS("[\\M]", "m"),
        MATCHES("[\\m]", "m"),
        DIFFERS("[Z-a]", "z"),
        DIFFERS("[Z-a]", "a"),
        DIFFERS("@", "`"),
        DIFFERS("[", "{"),
        DIFFERS("[z-\200]", "\200"),
        MATCHES("[\200-\210]", "\201"),
        DIFFERS("\301", "\341"),
    };
    EXPECT_ALL(cases, true);
    cr_expect(!glob_match("A", 1, "a", 1, false));
    cr_expect(!glob_match("[A-Z]", 5, "a", 1, false));
}

Test(glob, a_single_star_is_everything_and_nothing_else_is) {
    cr_expect(glob_is_everything("*", 1));
    cr_expect(!glob_is_everything("**", 2));
    cr_expect(!glob_is_everything("?", 1));
    cr_expect(!glob_is_everything("", 0));
}

/* A matcher that tries every '*' anew would not finish these before the end of the universe. */
Test(glob, many_stars_against_a_long_text_take_one_walk_over_it, .timeout = 10) {
    size_t size = 1 << 20;
    char *text = malloc(size);
    cr_assert_not_null(text);
    memset(text, 'a', size);

    static const char stars[] = "a*a*a*a*a*a*a*a*a*a*b";
    cr_expect(!glob_match(stars, sizeof(stars) - 1, text, size, false));
    static const char brackets[] = "*[a]*[a]*?*[^b]*\\a*[b]";
    cr_expect(!glob_match(brackets, sizeof(brackets) - 1, text, size, false));
    cr_expect(!glob_match(stars, sizeof(stars) - 1, text, size, true));
    text[size - 1] = 'b';
    cr_expect(glob_match(stars, sizeof(stars) - 1, text, size, false));
    cr_expect(glob_match(brackets, sizeof(brackets) - 1, text, size, false));
    free(text);
}

Test(glob, a_long_pattern_of_stars_needs_no_stack) {
    size_t size = 200000;
    char *pattern = malloc(size);
    char *text = malloc(size);
    cr_assert(pattern != NULL && text != NULL);
    for (size_t i = 0; i < size; i++) {
        pattern[i] = i % 2 == 0 ? 'a' : '*';
        text[i] = 'a';
    }
    cr_expect(glob_match(pattern, size, text, size / 2, false));
    cr_expect(!glob_match(pattern, size, text, size / 2 - 1, false));
    free(pattern);
    free(text);
}

Test(glob, random_patterns_match_as_redis_answered) {
    /* clang-format off */
    static const struct glob_case cases[] = {
        MATCHES("?[?[?\?a*", "*["),
        MATCHES("?ab*-*?*?", "\\ab?---"),
        MATCHES("*?\?*?]", "]]]\\]"),
        MATCHES("*[\\b\\", "--*b"),
        MATCHES("[?\?", "?"),
        MATCHES("[\\?\\-", "?"),
        MATCHES("[?\?**-b^", "-"),
        MATCHES("?\\^*[a?", "[^^a[\\?"),
        MATCHES("?*]*b", "[]b"),
        MATCHES("[\\*", "*"),
        MATCHES("[b]", "b"),
        MATCHES("*[?ab?**]", "a"),
        MATCHES("*[b-", "bc-a-"),
        MATCHES("[[[", "["),
        MATCHES("[^", "?"),
        MATCHES("*b[b--", "]ab-"),
        MATCHES("-*^", "-\\[^"),
        MATCHES("*[-\\", "?^^-"),
        MATCHES("*[b]-", "b-"),
        MATCHES("\\]a", "]a"),
        MATCHES("?[-^", "b-"),
        MATCHES("?[\\\\*]?", "[\\["),
        MATCHES("**^-", "?^^-"),
        MATCHES("[?-[]-]", "[-]"),
        MATCHES("a\\cc", "acc"),
        MATCHES("[[\\]b[-]c", "]"),
        MATCHES("*\001\000*", "\000\376\001\000\177"),
        MATCHES("[*\177", "\177"),
        MATCHES("*[\377\000\377[\000\001", "\001"),
        MATCHES("\200[*\000\000\200*", "\200\000"),
        MATCHES("aba*a**b", "abaab"),
        MATCHES("ba*", "bab"),
        MATCHES("*aba*b*", "ababb"),
        MATCHES("a?*?b*c", "abbbac"),
        MATCHES("?b", "bb"),
        MATCHES("?-", "a-"),
        MATCHES("?*ca?", "acab"),
        MATCHES("-*a?c", "-c-aacc"),
        MATCHES("\\-", "-"),
        MATCHES("**\\**?", "*-a*"),
        MATCHES("[^[-b?", "-"),
        MATCHES("[b[-", "-"),
        MATCHES("[^\\][\\[a", "-"),
        MATCHES("[b-b^c]", "c"),
        MATCHES("\\c", "c"),
        MATCHES("]*]", "]b*-?*]"),
        MATCHES("]?", "]\\"),
        MATCHES("[a]*", "a-"),
        MATCHES("[\\\\", "\\"),
        MATCHES("*][[^*\\-", "]-"),
        MATCHES("*[b*", "abaaab"),
        MATCHES("b[a*[*]", "ba"),
        MATCHES("[[aa][a", "aa"),
        MATCHES("*-*", "bc-cb"),
        MATCHES("[?\?[?", "["),
        MATCHES("[-^*]\\", "^\\"),
        MATCHES("?[\\[?*^-\\", "?["),
        MATCHES("*\\]^*?-", "]^][--"),
        MATCHES("b*[b]?\?", "b]ab-b"),
        MATCHES("]*?-", "]^][--"),
        MATCHES("*\\", "]?\?bb-\\"),
        MATCHES("?\\b[\\cb\\", "abc"),
        MATCHES("[[[ba-", "b"),
        MATCHES("b[bb", "bb"),
        MATCHES("-*[--a*cc", "-c"),
        MATCHES("[-\\", "\\"),
        MATCHES("*b?", "b-*-bbb"),
        MATCHES("-*]*", "-?\?]^*"),
        MATCHES("?-[^]*", "a-?"),
        MATCHES("?*^", "^]b^\\^^"),
        MATCHES("*?[\\", "a[]b?\\"),
        MATCHES("*\\^", "^]b^\\^^"),
        MATCHES("[-*b*?b[*", "["),
        MATCHES("*?[[]", "a?]["),
        MATCHES("?b?[^*^*]", "bb*\\"),
        MATCHES("\\-*[?\\**?", "-b?*-\\?"),
        MATCHES("a?^", "ab^"),
        MATCHES("*a[*-?[", "ba?"),
        MATCHES("^?[?***[", "^*["),
        MATCHES("?[\\\\?ab", "*\\"),
        MATCHES("\\ab**", "ab^"),
        MATCHES("[*-]^[-?", "]"),
        MATCHES("[[cc[]--", "c--"),
        MATCHES("c[a-]", "ca"),
        MATCHES("*^[-^*^", "^^^"),
        MATCHES("**?-[^", "?-*"),
        MATCHES("-?*\\[*", "-[[\\"),
        MATCHES("]?*", "]]\\"),
        MATCHES("]*ca", "]]bca"),
        MATCHES("\\]a\\a", "]aa"),
        MATCHES("[[\\b--", "b"),
        MATCHES("[\\c^[b^", "b"),
        MATCHES("[-ba[a]", "a"),
        MATCHES("?\\]", "]]"),
        MATCHES("[-", "-"),
        MATCHES("[\\\\b^?\?-", "b"),
        MATCHES("[[b^", "b"),
        MATCHES("[\\?[]", "?"),
        MATCHES("[[b\\a", "["),
        MATCHES("*[?*--a]", "a-?]*^*"),
        MATCHES("[\\**b\\", "b"),
        MATCHES("c\\][*ab]*", "c]bbcc\\"),
        MATCHES("[\\\\\\b\\", "\\"),
        MATCHES("?a*aa**?b", "aaaabab"),
        MATCHES("b?[-", "b--"),
        MATCHES("[^]", "b"),
        MATCHES("-\\a?", "-ac"),
        MATCHES("[-aa?a-", "a"),
        MATCHES("-]*", "-]?"),
        MATCHES("[\377\000\001\177\177[", "\177"),
        MATCHES("[\000[[[\177\376\376", "\177"),
        MATCHES("?[a-^^^-]", "\\]"),
        MATCHES("^*", "^\\--?-b"),
        MATCHES("?*\\*b", "**b"),
        MATCHES("*-***", "bbb[\\?-"),
        MATCHES("**?^", "[?b]^"),
        MATCHES("?[\\a-]", "]a"),
        MATCHES("[\\]-", "-"),
        MATCHES("[-\\a\\]]*]", "a][*[]"),
        MATCHES("^*[*", "^^]*-*"),
        MATCHES("?[ba[-^a?", "?b"),
        MATCHES("**]***", "][[bb"),
        MATCHES("?b*[*b", "[b*"),
        MATCHES("[c[^?]", "c"),
        MATCHES("\\\\?][^[", "\\a]\\"),
        MATCHES("a]*[-\\?", "a]-?"),
        MATCHES("*[\\--[[*[", "^\\-"),
        MATCHES("[[\\ab]?", "a^"),
        MATCHES("[?^", "?"),
        MATCHES("]*[ab\\", "]--\\a"),
        MATCHES("a[b-[-\\^", "ab"),
        MATCHES("^**\\]*?", "^]*[^]?"),
        MATCHES("a*\\\\*\\", "aa\\b**\\"),
        MATCHES("]**[baba*", "]^*"),
        MATCHES("?\\", "\\\\"),
        MATCHES("?*]\\\\", "\\]\\"),
        MATCHES("[\377\\\377-", "\377"),
        MATCHES("[\\ba^", "b"),
        MATCHES("[\\b-\\^\\]\\", "b"),
        MATCHES("[--ac[[ab", "b"),
        MATCHES("[-]", "-"),
        MATCHES("[*^*?\\][[", "^"),
        MATCHES("[a?\\", "\\"),
        MATCHES("[^?]]*b", "*]-^]ab"),
        MATCHES("?\\*", "?*"),
        MATCHES("]b\\]*", "]b]\\]\\"),
        MATCHES("a*\\\\*]*", "aba\\]"),
        MATCHES("**^^", "\\\\]]-^^"),
        MATCHES("*]^b?*?\?", "]^b\\a]"),
        MATCHES("-*b*^?**", "-b^?-?\?"),
        MATCHES("?*[*[", "*?*"),
        MATCHES("?**\\-]**", "?[-]b"),
        MATCHES("[-^^", "-"),
        MATCHES("^?]\\", "^*]\\"),
        MATCHES("[*\\*^--", "["),
        MATCHES("[^a[][b-*", "-^"),
        MATCHES("*b\\-", "]b]b-"),
        MATCHES("*[[\\]", "\\]a]"),
        MATCHES("a?\??ba", "abaaba"),
        MATCHES("[-\\c*[", "-"),
        MATCHES("[^bab-", "["),
        MATCHES("?b[^b", "?b^"),
        MATCHES("[^-", "["),
        MATCHES("[^\\]ab?-", "\\"),
        MATCHES("*[?b\\?[", "^["),
        MATCHES("[*-", "*"),
        MATCHES("a[-a\\^", "a-"),
        MATCHES("[^*]^*", "-^\\"),
        MATCHES("*a\\^*", "*a^a"),
        MATCHES("*a**b[^", "[ba*[b*"),
        MATCHES("?*[-^", "[aa-"),
        MATCHES("[*\\b[*]*?", "[\\"),
        MATCHES("\\ba\\-*?", "ba-[b^"),
        MATCHES("][?[a[\\\\", "]\\"),
        MATCHES("?[b^c?aa", "ba"),
        MATCHES("[ba]", "b"),
        MATCHES("[b]b[aaa", "bba"),
        MATCHES("?[-^\\]", "?]"),
        MATCHES("*]b?*?\\", "]b]ca\\"),
        MATCHES("cb\\c]*?\?", "cbc]cb"),
        MATCHES("\000[\000\001*^\\-", "\000\000"),
        MATCHES("b[\\a^]", "ba"),
        MATCHES("-\\b*?", "-b*^^\\"),
        MATCHES("[[bb^c", "b"),
        MATCHES("b[\\b-aca\\", "bb"),
        MATCHES("[^^b]", "?"),
        MATCHES("[b\\b^*a*", "*"),
        MATCHES("][\\a]", "]a"),
        MATCHES("b?[*b^*\\?", "b]*"),
        MATCHES("[ab?a]", "b"),
        DIFFERS("?\\[a-*", "*bb^*ba"),
        DIFFERS("?[?[?\?a*", "-[?a*"),
        DIFFERS("[[", "a]a?[^"),
        DIFFERS("*[\\b\\", "-bb\\]*["),
        DIFFERS("[?\?", "a]a?[^"),
        DIFFERS("[*]b\\*", "[\\ab?"),
        DIFFERS("[\\?\\-", "b?ba]"),
        DIFFERS("^[\\?", "b-"),
        DIFFERS("[?\?**-b^", "b?ba]"),
        DIFFERS("?\\^*[a?", "-"),
        DIFFERS("^a[]", "ab\\"),
        DIFFERS("\\-a[", ""),
        DIFFERS("*]^a*[", "[\\ab?"),
        DIFFERS("]a^]-[a", "-[?\?[aa"),
        DIFFERS("[\\*", "*^\\-"),
        DIFFERS("b*?[?", "-["),
        DIFFERS("a[?^]]-cb", ""),
        DIFFERS("[b]", "--a"),
        DIFFERS("[-", "ab"),
        DIFFERS("]*a[][", "bc-abb-"),
        DIFFERS("-^[^-c-ca", "ab"),
        DIFFERS("bb[*b-b^", "-a-caba"),
        DIFFERS("][[---", "a"),
        DIFFERS("-c[*-", "c--"),
        DIFFERS("^[-", "abc"),
        DIFFERS("]a[-ba-**", "ca"),
        DIFFERS("*[?ab?**]", "c"),
        DIFFERS("]ca-[a*", "-aab-c"),
        DIFFERS("^[?[^a", "bc-abb-"),
        DIFFERS("^][^-]\\[", "*?*]["),
        DIFFERS("-[^a", "^*[^?"),
        DIFFERS("[^", "]a"),
        DIFFERS("*b[b--", "[\\]"),
        DIFFERS("\\^[^a-\\a\\", "]b"),
        DIFFERS("^\\\\b[", "[?^b^a"),
        DIFFERS("*[-\\", "[?^b^a"),
        DIFFERS("*[b]-", "-]\\?**"),
        DIFFERS("?[-^", "?[\\-b["),
        DIFFERS("?[\\\\*]?", "[^\\"),
        DIFFERS("[-*]^", "b[]\\]*"),
        DIFFERS("[?-[]-]", "["),
        DIFFERS("^]?]^*a[", "?-a[*]"),
        DIFFERS("a^]\\\\^[[", "]ab-"),
        DIFFERS("\\\\c]a[", "cbb]\\b\\"),
        DIFFERS("-ca[c", "\\ac\\c]]"),
        DIFFERS("\\\\c-a[[-", "]\\\\bc"),
        DIFFERS("cb[c", "b\\c\\a"),
        DIFFERS("-]-\\[\\\\a", "b"),
        DIFFERS("\\[[]", "]b]b]b\\"),
        DIFFERS("]a-[", "\\cb]"),
        DIFFERS("-bc[a[\\", "]b]b]b\\"),
        DIFFERS("b]bb\\[]b]", "]a\\]\\bc"),
        DIFFERS("]b[c", "acc]]"),
        DIFFERS("[[]-b[c[]", "]aac\\b"),
        DIFFERS("\200]\377[]\376[[", "\377\177"),
        DIFFERS("[\377\001]\200\177*\377", "\200\200\377\000\000\000"),
        DIFFERS("\177\200\376]\001[\376", "\177\000\376"),
        DIFFERS("[*\177", "\200\377\377"),
        DIFFERS("*[\377\000\377[\000\001", "\376\200\177"),
        DIFFERS("\200[*\000\000\200*", "\177\376\000\000"),
        DIFFERS("[*-a]\\\\", "*^"),
        DIFFERS("][a?b", "\\?b^bb"),
        DIFFERS("[[\\b^\\[", "*-a*"),
        DIFFERS("-?\?^?[b", "^][a"),
        DIFFERS("\\-[]", "-"),
        DIFFERS("\\[*^]\\[^", "]a["),
        DIFFERS("b[][?-*\\*", "--"),
        DIFFERS("^^-*^-[", "\\?b^bb"),
        DIFFERS("?\\[]", "[--]*?a"),
        DIFFERS("ab]-*[^", "bab"),
        DIFFERS("-?*[a\\\\[", "-["),
        DIFFERS("?[?\\", "]^ab"),
        DIFFERS("\\[?-^-[]?", "[--]*?a"),
        DIFFERS("^?*[]\\]", "[]?"),
        DIFFERS("]*[", "^?b*]*"),
        DIFFERS("[a]*", "]"),
        DIFFERS("b^a-?][", "-[*-]\\b"),
        DIFFERS("[\\\\", "?a"),
        DIFFERS("--?*--[a", "\\[^]"),
        DIFFERS("[\\-", "\\[^]"),
        DIFFERS("[?[\\[][", "[b*-b]^"),
        DIFFERS("*][[^*\\-", "]"),
        DIFFERS("]a^?*-[", "?\\\\"),
        DIFFERS("aa][-a^[", "[--?"),
        DIFFERS("^-^-[-\\", "[b*-b]^"),
        DIFFERS("*[b*", "aaaaa"),
        DIFFERS("[?\?[?", "[^"),
        DIFFERS("[-^*]\\", "ba*^*b"),
        DIFFERS("*-b?[", "]]b"),
        DIFFERS("?[\\[?*^-\\", "?b["),
        DIFFERS("b*[b]?\?", "?b["),
        DIFFERS("**a?[a[", "[\\a"),
        DIFFERS("\\][", "a\\*-"),
        DIFFERS("]bab^[a?", "abb]"),
        DIFFERS("[^]\\c^", "ca"),
        DIFFERS("^?[c", "cc]c]]"),
        DIFFERS("-b]\\[*\\-", "]bbba"),
        DIFFERS("-[]", "a]]"),
        DIFFERS("?*[-^", "bc\\]]ac"),
        DIFFERS("**[^]]*-", "cc]c]]"),
        DIFFERS("?\\b[\\cb\\", "ac\\]cb"),
        DIFFERS("-c^^[c", "]bbba"),
        DIFFERS("c-*^[", "\\b]abbc"),
        DIFFERS("]a?[ab\\[b", "\\b]abbc"),
        DIFFERS("]][a^^]", "cab]b"),
        DIFFERS("\\b[cb", "cab]b"),
        DIFFERS("*]^^\\[", "c\\]]c]"),
        DIFFERS("\000\\[\177\001\376", "\001\376\377\377\000\376"),
        DIFFERS("\177\177\376[\177^\377^", "\000\200\377"),
        DIFFERS("^^\177[^^", "\001\376\377\377\000\376"),
        DIFFERS("----[a", "bb"),
        DIFFERS("-aa[b--b-", "abbba"),
        DIFFERS("-*[--a*cc", "bac"),
        DIFFERS("?b?\\*[\\", "-?\?]^*"),
        DIFFERS("[]-*?]*\\^", "[b?"),
        DIFFERS("*?[\\", "a[]-^^"),
        DIFFERS("[a--?a[]b", "-b[-\\-b"),
        DIFFERS("*?[[]", "a]*b]b\\"),
        DIFFERS("*a[*-?[", "b"),
        DIFFERS("^?[?***[", "?a^"),
        DIFFERS("?[\\\\?ab", "]^-?\?-["),
        DIFFERS("-[aba?\\", "?a^"),
        DIFFERS("[*-]^[-?", "-bb*^"),
        DIFFERS("\\*]^?\376[\377", "\001\377\177"),
        DIFFERS("-\377\200?\?[\377", "\200"),
        DIFFERS("*\000?][-\001\200", "\177\177\177\376\377\377\376"),
        DIFFERS("^\377?]?][]\\", "\000\001\001\000\001\376\177"),
        DIFFERS("^[]", "bbb"),
        DIFFERS("\\[b\\[ba[", "aa"),
        DIFFERS("[]*[\\*[]", "^?^\\[*"),
        DIFFERS("[\\*\\-^*", "?-*"),
        DIFFERS("]?a[]ab", "\\["),
        DIFFERS("^?b]][\\", "\\]]a"),
        DIFFERS("**?-[^", "^^^"),
        DIFFERS("[-]-[\\[", "?a\\"),
        DIFFERS("?\?*\\a?*[?", "a["),
        DIFFERS("?^[", "[a[-]]"),
        DIFFERS("]\\^[", "aaa"),
        DIFFERS("^^a*[", "abaa"),
        DIFFERS("][[b]b?]?", "abaaa"),
        DIFFERS("?[*", "a"),
        DIFFERS("]^[b*", "abbb"),
        DIFFERS("-][?[", "ab"),
        DIFFERS("[\\\\b^?\?-", "]"),
        DIFFERS("[[b^", "[]]"),
        DIFFERS("[\\**b\\", "\\\\\\a]cb"),
        DIFFERS("b?[-", "cbabbb"),
        DIFFERS("^c[c^[*]", "c-a-ac"),
        DIFFERS("**^[?b", "cbabbb"),
        DIFFERS("a^[[[^?\\", "?b]^"),
    };
    /* clang-format on */
    EXPECT_ALL(cases, false);
}

Test(glob, random_patterns_match_command_names_as_redis_answered) {
    /* clang-format off */
    static const struct glob_case cases[] = {
        DIFFERS("BITCOUN?\?", "bitcount"),
        MATCHES("s[_-{]ve", "save"),
        DIFFERS("L[Mtge-]ET", "lset"),
        MATCHES("BI\\TCOUNT", "bitcount"),
        DIFFERS("B[AE]TFIELD", "bitfield"),
        DIFFERS("?IFFSTORE", "sdiffstore"),
        MATCHES("obje[_-z]t", "object"),
        MATCHES("SMEM*RS", "smembers"),
        MATCHES("?\?BSUB", "pubsub"),
        MATCHES("RENAME\\NX", "renamenx"),
        DIFFERS("[\\F]call", "fcall"),
        MATCHES("X\\RANGE", "xrange"),
        DIFFERS("[-m]FSELFTEST", "pfselftest"),
        MATCHES("LA*NCY", "latency"),
        DIFFERS("GEODIS[Ae@]", "geodist"),
        MATCHES("HSC*", "hscan"),
        DIFFERS("dbsiz[\200-@]", "dbsize"),
        DIFFERS("[\\S]laveof", "slaveof"),
        DIFFERS("BITFIE[Ema]D", "bitfield"),
        MATCHES("LPU*X", "lpushx"),
        MATCHES("pfad[{-_]", "pfadd"),
        DIFFERS("evals[`-\200]a", "evalsha"),
        DIFFERS("?NDEX", "lindex"),
        DIFFERS("[\\L]len", "llen"),
        DIFFERS("p[`-M]ng", "ping"),
        DIFFERS("X[A\\G]ENDING", "xpending"),
        DIFFERS("getra[\\N]ge", "getrange"),
        MATCHES("[EaZ]RANGE", "zrange"),
        MATCHES("MSET*", "msetnx"),
        MATCHES("XGR\\OUP", "xgroup"),
        DIFFERS("sel[\200-a]ct", "select"),
        MATCHES("W\\AIT", "wait"),
        DIFFERS("sub[\377-\200]cribe", "subscribe"),
        DIFFERS("L?NGE", "lrange"),
        MATCHES("[E-G^]EOHASH", "geohash"),
        MATCHES("xde[\\l]", "xdel"),
        DIFFERS("[z-{]inter", "sinter"),
        MATCHES("LMOV\\E", "lmove"),
        MATCHES("zr[z-\377]nge", "zrange"),
        DIFFERS("[\\G]eodist", "geodist"),
        DIFFERS("?USHALL", "flushall"),
        MATCHES("re[\\s]et", "reset"),
        DIFFERS("ZINT?", "zinter"),
        MATCHES("[\377-Z]pop", "rpop"),
    };
    /* clang-format on */
    EXPECT_ALL(cases, true);
}
