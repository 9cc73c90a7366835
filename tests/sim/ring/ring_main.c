/* ring_main.c - which clusters are run, and what is printed of them.
 *
 * May touch: the clock of the machine, standard output. Must never know: what happens in a run.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/ring/ring_main.h"

#include "sim/ring/detector.h"
#include "sim/ring/fleet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Every so many runs, one is done a second time. */
#define REPEAT_EVERY  100
#define FAILURES_MAX  5
#define COUNT_DEFAULT 100

static double seconds_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool read_number(const char *text, uint64_t *number) {
    char *end;
    *number = strtoull(text, &end, 0);
    return *text != '\0' && *end == '\0';
}

bool ring_read_word(const char *word, const char *value, struct ring_plan *plan, int *taken) {
    bool has_value = value != NULL && value[0] != '-';
    *taken = 1;
    if (strcmp(word, "--ring") == 0) {
        plan->has_runs = true;
        return true;
    }
    if (strcmp(word, "--first-failure") == 0) {
        plan->stops_at_first = true;
        return true;
    }
    if (strcmp(word, "--ring-selftest") == 0) {
        plan->has_selftest = true;
        return true;
    }
    if (strcmp(word, "--scenario") == 0) {
        plan->has_scenarios = true;
        plan->scenario = has_value ? value : NULL;
        *taken = 1 + has_value;
        return true;
    }
    *taken = 2;
    if (strcmp(word, "--rings") == 0 && has_value) {
        plan->has_runs = true;
        return read_number(value, &plan->count);
    }
    if (strcmp(word, "--detector") == 0 && has_value)
        return read_number(value, &plan->detector_hours);
    return strcmp(word, "--ring-speed") == 0 && has_value && read_number(value, &plan->speed_seconds);
}

struct ring_tally {
    struct fleet_result sum;
    uint64_t runs, failed;
};

static void add_result(struct ring_tally *tally, const struct fleet_result *result) {
    struct fleet_result *sum = &tally->sum;
    tally->runs++;
    sum->virtual_ms += result->virtual_ms;
    sum->requests += result->requests;
    sum->unknown += result->unknown;
    sum->turns += result->turns;
    sum->events += result->events;
    sum->claims += result->claims;
    sum->excused += result->excused;
    sum->unseen += result->unseen;
    sum->fresh_demands += result->fresh_demands;
    sum->acknowledged += result->acknowledged;
    sum->graves += result->graves;
    sum->merges += result->merges;
    sum->count_demands += result->count_demands;
    sum->siblings += result->siblings;
    sum->kept += result->kept;
    sum->final_reads += result->final_reads;
}

static void print_sum(const struct fleet_result *sum) {
    printf("%" PRIu64 " requests (%" PRIu64 " without a sure outcome), %" PRIu64
           " acknowledged writes watched (%" PRIu64 " lost with their last holder, %" PRIu64
           " not seen), %" PRIu64 " reads that had to be fresh, %" PRIu64 " merges tried, %" PRIu64
           " values compared at the end, %" PRIu64 " counters that had to be complete, %" PRIu64
           " siblings seen, %" PRIu64 " values that a conflict had to leave, %" PRIu64
           " writes that several copies had to have, %" PRIu64 " tombstones given up\n",
           sum->requests, sum->unknown, sum->claims, sum->excused, sum->unseen, sum->fresh_demands,
           sum->merges, sum->final_reads, sum->count_demands, sum->siblings, sum->kept, sum->acknowledged,
           sum->graves);
}

static bool run_once(const struct fleet_options *options, const char *what, bool twice,
                     struct ring_tally *tally) {
    struct fleet_result result, again;
    fleet_run(options, &result);
    add_result(tally, &result);
    if (result.has_failed) {
        printf("FAILED %s seed=0x%" PRIx64 "  (sim --ring --seed %" PRIu64 "%s%s)\n   %s\n", what,
               options->seed, options->seed, options->scenario == NULL ? "" : " --scenario ",
               options->scenario == NULL ? "" : options->scenario, result.failure);
        return false;
    }
    if (twice) {
        struct fleet_options quiet = *options;
        quiet.is_verbose = false;
        fleet_run(&quiet, &again);
        if (again.hash != result.hash || again.has_failed) {
            printf("FAILED %s seed=0x%" PRIx64 "  I-DET: the second run was another one (%016" PRIx64
                   ", then %016" PRIx64 ")\n",
                   what, options->seed, result.hash, again.hash);
            return false;
        }
    }
    tally->sum.hash = result.hash;
    return true;
}

static void run_seeds(const struct ring_plan *plan, uint64_t *passed, uint64_t *failed) {
    struct ring_tally tally = {0};
    double begun = seconds_of(CLOCK_MONOTONIC);
    uint64_t count = plan->count == 0 && plan->seconds == 0 ? COUNT_DEFAULT : plan->count, seed = plan->first;
    while (tally.failed < (plan->stops_at_first ? 1 : FAILURES_MAX) &&
           (count == 0 || seed - plan->first < count) &&
           (count != 0 || seconds_of(CLOCK_MONOTONIC) - begun < plan->seconds)) {
        struct fleet_options options = {
            .seed = seed, .is_verbose = plan->is_verbose, .last_lines = plan->last_lines};
        bool is_good = run_once(&options, "ring", count == 1 || seed % REPEAT_EVERY == 0, &tally);
        tally.failed += !is_good;
        *passed += is_good;
        *failed += !is_good;
        seed++;
        fflush(stdout);
    }
    double seconds = seconds_of(CLOCK_MONOTONIC) - begun;
    if (count == 1 && tally.failed == 0)
        printf("SIM ring seed=0x%" PRIx64 " trace=%016" PRIx64 "\n", plan->first, tally.sum.hash);
    printf("%" PRIu64 " runs of clusters, %.1f hours of virtual time in %.1f s\n", tally.runs,
           (double)tally.sum.virtual_ms / 3.6e6, seconds);
    print_sum(&tally.sum);
}

static void run_scenarios(const struct ring_plan *plan, uint64_t *passed, uint64_t *failed) {
    const char *name;
    uint64_t found = 0;
    for (unsigned i = 0; (name = scenario_name(i)) != NULL; i++) {
        if (plan->scenario != NULL && strcmp(plan->scenario, name) != 0)
            continue;
        struct ring_tally tally = {0};
        struct fleet_options options = {
            .seed = plan->first, .last_lines = plan->last_lines, .scenario = name};
        bool is_good = run_once(&options, name, false, &tally);
        *passed += is_good;
        *failed += !is_good;
        found++;
        fflush(stdout);
        if (!is_good && plan->stops_at_first)
            break;
    }
    if (found == 0) {
        printf("FAILED there is no scenario %s\n", plan->scenario);
        ++*failed;
    }
}

static void measure(const struct ring_plan *plan) {
    struct fleet_result result;
    double begun = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    fleet_measure(plan->speed_seconds, &result);
    double seconds = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - begun, hours = (double)result.virtual_ms / 3.6e6;
    printf("5 nodes, %" PRIu64
           " requests in %.1f virtual s: %.2f s of CPU, %.3f virtual hours a CPU second; %" PRIu64
           " turns, %" PRIu64 " events, %" PRIu64 " bytes between nodes%s%s\n",
           result.requests, (double)result.virtual_ms / 1000, seconds, hours / seconds, result.turns,
           result.events, result.bytes, result.has_failed ? "; FAILED " : "", result.failure);
}

static void judge_times(const char *what, const struct detector_times *times, uint64_t median_ms,
                        uint64_t almost_all_ms, uint64_t *passed, uint64_t *failed) {
    bool is_good = times->median_ns <= median_ms * 1000000 && times->almost_all_ns <= almost_all_ms * 1000000;
    printf("%sa node that %s is called down by all others within %" PRIu64 " ms (half of %d cases), %" PRIu64
           " ms (99 %%), %" PRIu64 " ms (all)\n",
           is_good ? "" : "FAILED ", what, times->median_ns / 1000000, DETECTOR_TRIES,
           times->almost_all_ns / 1000000, times->most_ns / 1000000);
    *passed += is_good;
    *failed += !is_good;
}

static void try_detector(const struct ring_plan *plan, uint64_t *passed, uint64_t *failed) {
    struct detector_result result;
    double begun = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    detector_run(plan->first, (double)plan->detector_hours, &result);
    bool is_good = !result.has_failed && result.false_deaths == 0;
    printf("%s%" PRIu64 " false deaths in %" PRIu64 " node-hours of 5 nodes, 5 %% of frames lost, %" PRIu64
           " pauses of up to 1 s%s; %.1f s of CPU\n",
           is_good ? "" : "FAILED ", result.false_deaths, plan->detector_hours, result.pauses,
           result.has_failed ? "; the run itself has failed" : "",
           seconds_of(CLOCK_PROCESS_CPUTIME_ID) - begun);
    *passed += is_good;
    *failed += !is_good;
    judge_times("goes silently", &result.silent, 1500, 4000, passed, failed);
    judge_times("is killed, its connections reset,", &result.reset, 300, 300, passed, failed);
}

void ring_main(const struct ring_plan *plan, uint64_t *passed, uint64_t *failed) {
    bool is_one_seed = plan->count == 1;
    if (plan->has_scenarios)
        run_scenarios(plan, passed, failed);
    if (plan->has_runs && !(plan->has_scenarios && is_one_seed))
        run_seeds(plan, passed, failed);
    if (plan->has_selftest)
        fleet_selftest(passed, failed);
    if (plan->detector_hours != 0)
        try_detector(plan, passed, failed);
    if (plan->speed_seconds != 0)
        measure(plan);
}
