/* config_quorum_test.c - read-quorum, write-quorum, and the names of usual pairs: what they mean, in any order.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/config_fixture.h"

#define BOTH "consistency read-quorum write-quorum"

static void expect(struct fixture *fixture, const char *name, unsigned reads, unsigned writes) {
    char shown[128];
    snprintf(shown, sizeof shown, "read-quorum=%u\nwrite-quorum=%u\nconsistency=%s\n", reads, writes, name);
    cr_assert_str_eq(fixture_get(fixture, BOTH), shown);
    cr_assert_eq(config_read_quorum(&fixture->config), reads);
    cr_assert_eq(config_write_quorum(&fixture->config), writes);
}

Test(config_quorum, one_copy_is_enough_unless_more_are_asked_for) {
    struct fixture fixture;
    fixture_begin(&fixture);
    expect(&fixture, "eventual", 1, 1);
    cr_assert_eq(fixture.config.quorum_timeout_ms, 1000);
    cr_assert(fixture.config.sloppy_quorum);
    cr_assert_eq(fixture.config.partition_mode, PARTITION_AVAILABLE);
    fixture_end(&fixture);
}

Test(config_quorum, a_name_sets_both_numbers_by_the_copies_there_are) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(fixture_apply(&fixture, "consistency fast-read"));
    expect(&fixture, "fast-read", 1, 3);
    cr_assert(fixture_apply(&fixture, "consistency fast-write"));
    expect(&fixture, "fast-write", 3, 1);
    cr_assert(fixture_apply(&fixture, "consistency quorum"));
    expect(&fixture, "quorum", 2, 2);
    cr_assert(fixture_apply(&fixture, "replication-factor 5"));
    expect(&fixture, "quorum", 3, 3);
    cr_assert(fixture_apply(&fixture, "consistency custom"));
    expect(&fixture, "quorum", 3, 3);
    cr_assert(fixture_apply(&fixture, "read-quorum 2"));
    expect(&fixture, "custom", 2, 3);
    cr_assert(fixture_apply(&fixture, "consistency eventual"));
    expect(&fixture, "eventual", 1, 1);
    fixture_end(&fixture);
}

Test(config_quorum, a_number_that_says_the_same_keeps_the_name) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(
        fixture_apply(&fixture, "consistency quorum\nread-quorum 2\nwrite-quorum 2\nreplication-factor 7"));
    expect(&fixture, "quorum", 4, 4);
    cr_assert(fixture_apply(&fixture, "write-quorum 7"));
    expect(&fixture, "custom", 4, 7);
    fixture_end(&fixture);
}

Test(config_quorum, more_copies_than_there_are_is_a_contradiction_of_the_whole_text) {
    struct fixture fixture;
    fixture_begin(&fixture);
    cr_assert(fixture_apply(&fixture, "write-quorum 5\nreplication-factor 5"));
    expect(&fixture, "fast-read", 1, 5);
    cr_assert_not(fixture_apply(&fixture, "replication-factor 4"));
    cr_assert_not_null(strstr(fixture.problem.reason, "write-quorum must not be above replication-factor"));
    cr_assert_not(fixture_apply(&fixture, "read-quorum 6"));
    cr_assert_not_null(strstr(fixture.problem.reason, "read-quorum must not be above replication-factor"));
    expect(&fixture, "fast-read", 1, 5);
    fixture_end(&fixture);
}

Test(config_quorum, what_is_no_number_and_no_name_is_refused) {
    struct fixture fixture;
    static const char *const bad[] = {"read-quorum 0",     "read-quorum 9",      "read-quorum two",
                                      "write-quorum -1",   "consistency strong", "quorum-timeout 9",
                                      "partition-mode no", "sloppy-quorum 2"};
    fixture_begin(&fixture);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_not(fixture_apply(&fixture, bad[i]), "%s", bad[i]);
    expect(&fixture, "eventual", 1, 1);
    fixture_end(&fixture);
}
