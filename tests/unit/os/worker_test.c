/* worker_test.c - tests of os/worker.h. Each test runs in a process of its own.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/worker.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ITEMS 5000

static struct mem mem;
static struct worker *worker;

static void open_worker(void) {
    worker = worker_new(&mem);
    cr_assert_not_null(worker);
}

static void close_worker(void) {
    worker_free(worker);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(worker, .init = open_worker, .fini = close_worker, .timeout = 120);

/* ---- Items ---------------------------------------------------------------------------------------------------- */

/* What a test's items share. The numbers of run are the helper's until the items are done. */
struct journal {
    unsigned run_count, done_count;
    unsigned run_order[ITEMS], done_order[ITEMS];
    unsigned again; /* how often done() still submits its item */
};

struct item {
    struct work work; /* first: an item is found by its work */
    struct journal *journal;
    unsigned number;
    pthread_t run_by, done_by;
};

static struct journal journal;
static struct item items[ITEMS];

static void item_run(struct work *work) {
    struct item *item = (struct item *)(void *)work;
    item->run_by = pthread_self();
    if (item->journal->run_count < ITEMS)
        item->journal->run_order[item->journal->run_count] = item->number;
    item->journal->run_count++;
}

static void item_done(struct work *work) {
    struct item *item = (struct item *)(void *)work;
    item->done_by = pthread_self();
    if (item->journal->done_count < ITEMS)
        item->journal->done_order[item->journal->done_count] = item->number;
    item->journal->done_count++;
    if (item->journal->again > 0) {
        item->journal->again--;
        worker_submit(worker, work);
    }
}

static struct work *prepare(unsigned number) {
    items[number] =
        (struct item){.work = {.run = item_run, .done = item_done}, .journal = &journal, .number = number};
    return &items[number].work;
}

static bool is_readable(int timeout_ms) {
    struct pollfd wish = {.fd = worker_fd(worker), .events = POLLIN};
    return poll(&wish, 1, timeout_ms) == 1;
}

static unsigned entries(const char *path) {
    DIR *folder = opendir(path);
    cr_assert_not_null(folder);
    unsigned count = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static unsigned threads(void) {
    return entries("/proc/self/task");
}

/* ---- Order and threads -------------------------------------------------------------------------------------------- */

Test(worker, thousands_of_items_run_and_come_back_in_the_order_of_their_submission) {
    for (unsigned i = 0; i < ITEMS; i++)
        worker_submit(worker, prepare(i));
    worker_finish(worker);
    cr_assert_eq(journal.run_count, ITEMS);
    cr_assert_eq(journal.done_count, ITEMS);
    for (unsigned i = 0; i < ITEMS; i++) {
        cr_assert_eq(journal.run_order[i], i);
        cr_assert_eq(journal.done_order[i], i);
    }
}

Test(worker, items_run_on_the_helper_and_are_done_on_the_callers_thread) {
    worker_submit(worker, prepare(0));
    worker_finish(worker);
    cr_assert_not(pthread_equal(items[0].run_by, pthread_self()));
    cr_assert(pthread_equal(items[0].done_by, pthread_self()));
}

Test(worker, nothing_is_done_before_it_is_collected) {
    cr_assert_not(is_readable(0));
    cr_assert_not(worker_is_busy(worker));
    worker_submit(worker, prepare(0));
    cr_assert(is_readable(-1));
    cr_assert_eq(journal.done_count, 0);
    cr_assert(worker_is_busy(worker));
    worker_collect(worker);
    cr_assert_eq(journal.done_count, 1);
    cr_assert_not(worker_is_busy(worker));
    cr_assert_not(is_readable(0));
}

Test(worker, collecting_without_a_reason_does_nothing) {
    worker_collect(worker);
    worker_finish(worker);
    cr_assert_eq(journal.done_count, 0);
}

/* Each of two sides waits for the other's descriptor only: an announcement that got lost would hold the test. */
Test(worker, every_item_is_announced) {
    for (unsigned round = 0; round < 4 * ITEMS; round++) {
        worker_submit(worker, prepare(round % ITEMS));
        if (round % 3 == 0)
            worker_submit(worker, prepare((round + 1) % ITEMS));
        while (journal.done_count < round + 1 + (round + 3) / 3) {
            cr_assert(is_readable(-1));
            worker_collect(worker);
        }
    }
}

Test(worker, an_item_may_be_submitted_again_when_it_is_done) {
    journal.again = 300;
    worker_submit(worker, prepare(0));
    worker_finish(worker);
    cr_assert_eq(journal.again, 0);
    cr_assert_eq(journal.run_count, 301);
    cr_assert_eq(journal.done_count, 301);
}

Test(worker, finishing_waits_for_what_others_submit_when_they_are_done) {
    journal.again = 1000;
    for (unsigned i = 0; i < 2000; i++)
        worker_submit(worker, prepare(i));
    worker_finish(worker);
    cr_assert_eq(journal.done_count, 3000);
    cr_assert_not(is_readable(0));
}

static void run_nothing(struct work *work) {
    (void)work;
}

static void done_free(struct work *work) {
    free(work);
}

Test(worker, done_may_free_the_item) {
    for (unsigned i = 0; i < 1000; i++) {
        struct work *work = malloc(sizeof *work);
        *work = (struct work){.run = run_nothing, .done = done_free};
        worker_submit(worker, work);
    }
    worker_finish(worker);
}

/* ---- Begin and end ---------------------------------------------------------------------------------------------- */

Test(worker, the_thread_begins_with_the_first_item_and_there_is_but_one) {
    unsigned before = threads();
    worker_free(worker_new(&mem));
    cr_assert_eq(threads(), before);
    worker_submit(worker, prepare(0));
    cr_assert_eq(threads(), before + 1);
    worker_finish(worker);
    worker_submit(worker, prepare(1));
    worker_finish(worker);
    cr_assert_eq(threads(), before + 1);
}

Test(worker, freeing_runs_what_is_queued) {
    for (unsigned i = 0; i < ITEMS; i++)
        worker_submit(worker, prepare(i));
    worker_free(worker);
    worker = NULL;
    cr_assert_eq(journal.run_count, ITEMS);
    cr_assert_eq(journal.done_count, ITEMS);
}

Test(worker, many_lives_leave_neither_threads_nor_descriptors) {
    worker_free(worker);
    unsigned threads_before = threads(), descriptors_before = entries("/proc/self/fd");
    for (unsigned life = 0; life < 500; life++) {
        worker = worker_new(&mem);
        cr_assert_not_null(worker);
        for (unsigned i = 0; i < life % 4; i++)
            worker_submit(worker, prepare(i));
        worker_free(worker);
    }
    worker = NULL;
    cr_assert_eq(journal.done_count, 500 / 4 * (0 + 1 + 2 + 3));
    /* A thread that has been joined is listed until the kernel has buried it. */
    cr_assert_lt(threads(), threads_before + 20);
    cr_assert_eq(entries("/proc/self/fd"), descriptors_before);
}

Test(worker, no_memory_is_an_answer) {
    mem.fuse = 1;
    cr_assert_null(worker_new(&mem));
    cr_assert_eq(errno, ENOMEM);
}

/* One descriptor is left, two are needed. */
Test(worker, no_descriptor_is_an_answer_that_leaves_nothing_behind) {
    unsigned before = entries("/proc/self/fd");
    int lowest = dup(worker_fd(worker));
    cr_assert_geq(lowest, 0);
    close(lowest);
    struct rlimit limit, small;
    getrlimit(RLIMIT_NOFILE, &limit);
    small = limit;
    small.rlim_cur = (rlim_t)lowest + 1;
    setrlimit(RLIMIT_NOFILE, &small);
    struct worker *other = worker_new(&mem);
    int error = errno;
    setrlimit(RLIMIT_NOFILE, &limit);
    cr_assert_null(other);
    cr_assert_eq(error, EMFILE);
    cr_assert_eq(entries("/proc/self/fd"), before);
}

/* A stack of half of all addresses: no thread can have it. */
Test(worker, where_no_thread_can_be_had_items_run_at_once_and_are_done_when_collected) {
    pthread_attr_t common, huge;
    pthread_getattr_default_np(&common);
    pthread_attr_init(&huge);
    cr_assert_eq(pthread_attr_setstacksize(&huge, (size_t)1 << 47), 0);
    cr_assert_eq(pthread_setattr_default_np(&huge), 0);
    worker_submit(worker, prepare(0));
    worker_submit(worker, prepare(1));
    cr_assert_eq(journal.run_count, 2);
    cr_assert_eq(journal.done_count, 0);
    cr_assert(pthread_equal(items[0].run_by, pthread_self()));
    cr_assert(is_readable(0));
    worker_collect(worker);
    cr_assert_eq(journal.done_count, 2);
    cr_assert_eq(journal.done_order[0], 0);

    /* The next one that can have a thread gets it. */
    pthread_setattr_default_np(&common);
    worker_submit(worker, prepare(2));
    worker_finish(worker);
    cr_assert_not(pthread_equal(items[2].run_by, pthread_self()));
}

/* ---- How the thread lives with others ---------------------------------------------------------------------------- */

struct portrait {
    struct work work;
    char name[16];
    int niceness, policy;
    bool blocks_all_signals;
};

static void portrait_run(struct work *work) {
    struct portrait *portrait = (struct portrait *)(void *)work;
    pthread_getname_np(pthread_self(), portrait->name, sizeof portrait->name);
    portrait->niceness = getpriority(PRIO_PROCESS, (id_t)gettid());
    portrait->policy = sched_getscheduler(gettid());
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGXFSZ, SIGCHLD, SIGALRM};
    portrait->blocks_all_signals = true;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        portrait->blocks_all_signals &= sigismember(&blocked, signals[i]) == 1;
}

static void portrait_done(struct work *work) {
    (void)work;
}

Test(worker, the_thread_has_a_name_is_a_batch_job_and_takes_no_signals) {
    struct portrait portrait = {.work = {.run = portrait_run, .done = portrait_done}};
    int niceness = getpriority(PRIO_PROCESS, 0);
    worker_submit(worker, &portrait.work);
    worker_finish(worker);
    cr_assert_str_eq(portrait.name, "checkpoint");
    cr_assert_eq(portrait.niceness, niceness);
    cr_assert_eq(portrait.policy, SCHED_BATCH);
    cr_assert(portrait.blocks_all_signals);
    cr_assert_eq(getpriority(PRIO_PROCESS, 0), niceness, "the caller's priority is its own");
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    cr_assert_not(sigismember(&blocked, SIGTERM), "the caller's signals are its own");
}

static void busy_run(struct work *work) {
    (void)work;
    volatile unsigned spins = 0;
    while (spins < 1000000)
        spins = spins + 1;
}

/* Both on one processor, and the caller never waits for anything. */
Test(worker, an_item_ends_beside_a_loop_that_never_rests) {
    cpu_set_t ours, one;
    cr_assert_eq(sched_getaffinity(0, sizeof ours, &ours), 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &ours))
            CPU_SET(i, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    struct work work = {.run = busy_run, .done = portrait_done};
    worker_submit(worker, &work);
    while (!is_readable(0))
        ;
    worker_finish(worker);
}
