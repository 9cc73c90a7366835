/* refusals_test.c - links that one end does not want are remembered, and told in bounds.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/refusals.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct refusals refusals;

static const struct refusal *note(const char *address, bool is_caller, const char *reason, uint64_t now_ms) {
    struct refusal what = {.is_caller = is_caller};
    refusal_describe(&what, address, reason);
    return refusals_note(&refusals, &what, now_ms);
}

static uint32_t shown(uint64_t now_ms) {
    uint32_t count = 0;
    for (uint32_t i = refusals_next(&refusals, 0, now_ms); i < REFUSALS_MAX;
         i = refusals_next(&refusals, i + 1, now_ms))
        count++;
    return count;
}

Test(refusals, the_same_is_news_once_and_again_after_a_long_while) {
    uint64_t now_ms = 1000;
    cr_assert_not_null(note("10.0.0.1:7", true, "no", now_ms));
    for (; now_ms < 1000 + REFUSALS_WARN_MS; now_ms += 500)
        cr_assert(now_ms == 1000 || note("10.0.0.1:7", true, "no", now_ms) == NULL);
    const struct refusal *again = note("10.0.0.1:7", true, "no", now_ms);
    cr_assert_not_null(again);
    cr_assert_eq(again->times, REFUSALS_WARN_MS / 500 + 1);
    cr_assert_eq(shown(now_ms), 1);
}

Test(refusals, another_reason_or_address_is_news_and_the_port_of_a_caller_is_not) {
    cr_assert_not_null(note("10.0.0.1:7", true, "no", 1));
    cr_assert_not_null(note("10.0.0.1:7", true, "never", 1));
    cr_assert_not_null(note("10.0.0.1:8", true, "no", 1));
    cr_assert_not_null(note("10.0.0.1:50000", false, "no", 1));
    cr_assert_null(note("10.0.0.1:50001", false, "no", 2));
    cr_assert_not_null(note("[::1]:50001", false, "no", 2));
    cr_assert_not_null(note("", false, "no", 2));
    char text[REFUSALS_PRINTED_SIZE];
    refusals_print(&refusals.places[3], 5, text);
    cr_assert_str_eq(text, "addr=10.0.0.1,direction=from,refused_by=self,times=2,ms_ago=3,reason=no");
    refusals_print(&refusals.places[4], 5, text);
    cr_assert_str_eq(text, "addr=[::1],direction=from,refused_by=self,times=1,ms_ago=3,reason=no");
}

Test(refusals, who_calls_from_everywhere_does_not_fill_the_log) {
    uint32_t news = 0;
    char address[32];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(address, sizeof address, "10.0.%u.%u:1", i / 256, i % 256);
        news += note(address, true, "no", 1 + i) != NULL;
    }
    cr_assert_eq(news, REFUSALS_MAX);
    cr_assert_eq(refusals.count, 1000);
    cr_assert_eq(shown(1000), REFUSALS_MAX);
    cr_assert_eq(shown(1000 + REFUSALS_OVER_MS), 0);
    cr_assert_not_null(note("10.1.0.0:1", true, "no", 1000 + REFUSALS_OVER_MS));
    cr_assert_eq(shown(1000 + REFUSALS_OVER_MS), 1);
}

Test(refusals, what_is_too_long_is_cut) {
    char text[300], printed[REFUSALS_PRINTED_SIZE];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    const struct refusal *news = note(text, true, text, 1);
    cr_assert_eq(strlen(news->address), REFUSAL_ADDRESS_SIZE - 1);
    cr_assert_eq(strlen(news->reason), REFUSAL_REASON_SIZE - 1);
    refusals_print(news, UINT64_MAX, printed);
    cr_assert_lt(strlen(printed), REFUSALS_PRINTED_SIZE);
}
