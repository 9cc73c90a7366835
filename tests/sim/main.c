/* main.c - the simulator's command line: which seeds, for how long, and what is printed of them.
 *
 *   sim                     300 seeds, some twice; the simulator itself on trial; every allocation that can fail; crashes
 *   sim --seed N            one run, with its hash: the same number, the same run
 *   sim --replay N          the same, and every event is printed
 *   sim --nightly           as without words, but for half an hour
 * Words that choose parts, of which those that are not named are left out:
 *   sim --seeds N           so many runs
 *   sim --seconds S         as many runs as fit into S seconds
 *   sim --selftest          whether the simulator sees what is wrong
 *   sim --allocations [WORD] the allocations that fail; of commands whose name begins with WORD
 *   sim --crashes N         checkpoints and identities over at least N crashes of the disk (crash.h); with --seed one history
 *   sim --rings N           so many runs of whole clusters (ring/fleet.h); with --seed or --replay and --ring that one,
 *                           with --seconds as many as fit
 *   sim --scenario [NAME]   failures of clusters that have a name: this one, or all
 *       --first-failure     in both, the first failure ends it
 *   sim --ring-selftest     whether the simulator of clusters sees what is wrong
 *   sim --detector H        H node-hours in which no node dies and none may be called down; then how soon one that does is
 *   sim --ring-speed S      how fast S seconds of a quiet cluster are simulated
 * Further words:
 *   --first N               the first seed (1)
 *   --steps N               each run ends after so many events at the latest
 *   --lines N               so many last events are printed of a run that fails (40)
 *
 * Seeds may be written in decimal or as 0x....
 * May touch: the clock of the machine, standard output. Must never know: what happens in a run.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/allocations.h"
#include "sim/crash.h"
#include "sim/ring/ring_main.h"
#include "sim/run.h"
#include "sim/selftest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SEEDS_DEFAULT   300
#define SECONDS_NIGHTLY 1800
#define CRASHES_DEFAULT 20000
/* Every so many runs, one is done a second time. */
#define REPEAT_EVERY 20
/* In so many runs everything rare should have been seen. */
#define SIGHTING_RUNS 300
#define FAILURES_MAX  5

struct plan {
    uint64_t first, count; /* seeds; count 0: as many as fit into the seconds */
    double seconds;
    bool has_one_seed, has_allocations, has_runs, has_selftest;
    bool chooses; /* the words name the parts */
    const char *allocation_word;
    uint64_t crashes; /* 0: none */
    struct ring_plan rings;
    struct run_options options;
};

struct tally {
    uint64_t passed, failed, runs, requests, virtual_ms;
    struct sightings sightings;
};

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t number_of(const char *text) {
    char *end;
    uint64_t number = strtoull(text, &end, 0);
    if (*text == '\0' || *end != '\0') {
        fprintf(stderr, "sim: '%s' is no number\n", text);
        exit(2);
    }
    return number;
}

/* One word and its value, which may be NULL; *taken: how many of the two were read. false: it means nothing. */
static bool read_word(const char *word, const char *value, struct plan *plan, int *taken) {
    *taken = 1;
    if (strcmp(word, "--nightly") == 0) {
        plan->seconds = SECONDS_NIGHTLY;
        plan->first = UINT64_C(1) << 32;
        return true;
    }
    if (strcmp(word, "--selftest") == 0) {
        plan->has_selftest = plan->chooses = true;
        return true;
    }
    if (strcmp(word, "--allocations") == 0) {
        bool has_value = value != NULL && value[0] != '-';
        plan->has_allocations = plan->chooses = true;
        plan->allocation_word = has_value ? value : "";
        *taken = 1 + has_value;
        return true;
    }
    if (ring_read_word(word, value, &plan->rings, taken)) {
        plan->chooses = true;
        return true;
    }
    *taken = 2;
    if (value == NULL)
        return false;
    if (strcmp(word, "--seed") == 0 || strcmp(word, "--replay") == 0) {
        plan->first = number_of(value);
        plan->count = 1;
        plan->has_one_seed = plan->chooses = true;
        plan->options.is_verbose = word[2] == 'r';
    } else if (strcmp(word, "--seeds") == 0) {
        plan->count = number_of(value);
        plan->has_runs = plan->chooses = true;
    } else if (strcmp(word, "--seconds") == 0) {
        plan->seconds = (double)number_of(value);
        plan->chooses = true;
    } else if (strcmp(word, "--crashes") == 0) {
        plan->crashes = number_of(value);
        plan->chooses = true;
    } else if (strcmp(word, "--first") == 0) {
        plan->first = number_of(value);
    } else if (strcmp(word, "--steps") == 0) {
        plan->options.steps = number_of(value);
    } else if (strcmp(word, "--lines") == 0) {
        plan->options.last_lines = (unsigned)number_of(value);
    } else {
        return false;
    }
    return true;
}

static bool read_words(int count, char **words, struct plan *plan) {
    int taken;
    for (int i = 1; i < count; i += taken)
        if (!read_word(words[i], i + 1 < count ? words[i + 1] : NULL, plan, &taken))
            return false;
    if (!plan->chooses) {
        plan->has_runs = plan->has_selftest = plan->has_allocations = true;
        plan->crashes = CRASHES_DEFAULT;
    }
    /* The seed is that of a history, or of a run. */
    if (plan->has_one_seed && plan->crashes != 0)
        plan->crashes = 1;
    else if (plan->has_one_seed && plan->rings.has_runs)
        plan->rings.count = 1;
    else if (plan->has_one_seed)
        plan->has_runs = true;
    else if (plan->seconds != 0 && !plan->rings.has_runs)
        plan->has_runs = true;
    if (plan->seconds == 0 && plan->count == 0)
        plan->count = SEEDS_DEFAULT;
    return true;
}

/* One seed; some twice, to see that the same number means the same run. */
static void run_seed(const struct plan *plan, uint64_t seed, struct tally *tally) {
    struct run_options options = plan->options;
    struct run_result result;
    options.seed = seed;
    run_world(&options, &result, &tally->sightings);
    tally->runs++;
    tally->requests += result.requests;
    tally->virtual_ms += result.virtual_ms;
    if (result.has_failed) {
        tally->failed++;
        printf("FAILED seed=0x%" PRIx64 "  (make sim SEED=%" PRIu64 ")\n   %s\n", seed, seed, result.failure);
        return;
    }
    if (plan->has_one_seed)
        printf("%" PRIu64 " requests, %" PRIu64 " of them unknown to the model, %" PRIu64
               " events, %.1f s of virtual time\n",
               result.requests, result.unknown, result.events, (double)result.virtual_ms / 1000);
    if (plan->has_one_seed || seed % REPEAT_EVERY == 0) {
        struct run_result again;
        struct sightings unused = {{0}};
        options.is_verbose = false;
        run_world(&options, &again, &unused);
        if (again.hash != result.hash) {
            tally->failed++;
            printf("FAILED seed=0x%" PRIx64 "  I-DET: the second run was another one (%016" PRIx64
                   ", then %016" PRIx64 ")\n",
                   seed, result.hash, again.hash);
            return;
        }
    }
    if (plan->has_one_seed)
        printf("SIM seed=0x%" PRIx64 " trace=%016" PRIx64 "\n", seed, result.hash);
    tally->passed++;
}

static void run_seeds(const struct plan *plan, struct tally *tally) {
    double begun = seconds_now();
    uint64_t seed = plan->first;
    printf("SIM seed=0x%" PRIx64 "...\n", seed);
    while (tally->failed < FAILURES_MAX && (plan->count == 0 || seed - plan->first < plan->count) &&
           (plan->count != 0 || seconds_now() - begun < plan->seconds)) {
        run_seed(plan, seed++, tally);
        fflush(stdout);
    }
    double seconds = seconds_now() - begun;
    printf("%" PRIu64 " runs, %" PRIu64
           " requests, %.1f hours of virtual time in %.1f s (%.0f requests a second)\n",
           tally->runs, tally->requests, (double)tally->virtual_ms / 3.6e6, seconds,
           (double)tally->requests / seconds);
}

/* What was never seen was never tested. */
static void look_for_unseen(struct tally *tally) {
    static const char *const words[] = {
#define X(name, text) text,
        SIGHTINGS(X)
#undef X
    };
    if (tally->runs < SIGHTING_RUNS || tally->failed != 0)
        return;
    for (unsigned i = 0; i < SIGHTING_COUNT; i++) {
        if (tally->sightings.seen[i] != 0) {
            tally->passed++;
            continue;
        }
        tally->failed++;
        printf("FAILED never seen in %" PRIu64 " runs: %s\n", tally->runs, words[i]);
    }
}

int main(int count, char **words) {
    struct plan plan = {.first = 1, .allocation_word = "", .options = {.last_lines = 40}};
    struct tally tally = {0};
    if (!read_words(count, words, &plan)) {
        fprintf(stderr,
                "usage: sim [--nightly] [--seed N | --replay N | --seeds N | --seconds S] [--selftest] "
                "[--allocations [WORD]] [--crashes N] [--ring] [--rings N] [--scenario [NAME]] "
                "[--ring-selftest] [--detector H] [--ring-speed S] [--first N] [--steps N] [--lines N]\n");
        return 2;
    }
    if (plan.has_runs) {
        run_seeds(&plan, &tally);
        look_for_unseen(&tally);
    }
    if (plan.has_selftest) {
        selftest(&tally.passed, &tally.failed);
        crash_selftest(&tally.passed, &tally.failed);
    }
    if (plan.crashes != 0) {
        struct crash_plan crashes = {.first = plan.first,
                                     .points = plan.crashes,
                                     .last_lines = plan.options.last_lines,
                                     .is_verbose = plan.options.is_verbose};
        crash_histories(&crashes, &tally.passed, &tally.failed);
    }
    if (plan.has_allocations) {
        struct allocation_tally of_allocations = {0};
        allocations_fail(plan.allocation_word, &of_allocations);
        tally.passed += of_allocations.passed;
        tally.failed += of_allocations.failed;
    }
    plan.rings.first = plan.first;
    plan.rings.seconds = plan.seconds;
    plan.rings.is_verbose = plan.options.is_verbose;
    plan.rings.last_lines = plan.options.last_lines;
    ring_main(&plan.rings, &tally.passed, &tally.failed);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", tally.passed, tally.failed);
    return tally.failed == 0 ? 0 : 1;
}
