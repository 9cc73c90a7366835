/* worker.c - the helper thread; the contract is in worker.h.
 *
 * Items travel on two chains, one each way. A chain is only ever added to at its head and taken whole, each by one
 * atomic exchange: there is no lock that the helper could hold, with its processor taken away, while the loop waits for it.
 * Each chain has an eventfd, which is written to when the chain was empty before: whoever takes a chain resets its eventfd
 * first, so an item that comes after the taking is always announced anew.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/worker.h"

#include "base/check.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct chain {
    _Atomic(struct work *) newest; /* each item's `next` is the one before it */
    int fd;
};

struct worker {
    struct mem *mem;
    struct chain submitted; /* loop to helper; the helper sleeps in a read of its fd */
    struct chain run;       /* helper to loop; its fd never waits */
    atomic_bool is_ending;
    /* The loop's own. */
    bool has_thread;
    pthread_t thread;
    size_t pending; /* submitted, done() not yet called */
};

static void chain_announce(struct chain *chain) {
    uint64_t one = 1;
    ssize_t written;
    do
        written = write(chain->fd, &one, sizeof one);
    while (written < 0 && errno == EINTR);
    CHECK(written == (ssize_t)sizeof one); /* fails only at 2^64 - 1 announcements that nobody has read */
}

static void chain_add(struct chain *chain, struct work *work) {
    struct work *newest = atomic_load_explicit(&chain->newest, memory_order_relaxed);
    do
        work->next = newest;
    while (!atomic_compare_exchange_weak_explicit(&chain->newest, &newest, work, memory_order_release,
                                                  memory_order_relaxed));
    if (newest == NULL)
        chain_announce(chain);
}

/* All items, the oldest first. */
static struct work *chain_take(struct chain *chain) {
    struct work *newest = atomic_exchange_explicit(&chain->newest, NULL, memory_order_acquire);
    struct work *oldest = NULL;
    while (newest != NULL) {
        struct work *before = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = before;
    }
    return oldest;
}

/* Resets what chain_announce() did. Where the descriptor waits, returns when there was an announcement. */
static void chain_reset(struct chain *chain) {
    uint64_t count;
    ssize_t got;
    do
        got = read(chain->fd, &count, sizeof count);
    while (got < 0 && errno == EINTR);
}

static void run_one(struct worker *worker, struct work *work) {
    work->run(work);
    chain_add(&worker->run, work);
}

/* SCHED_BATCH: an item that arrives does not take the processor from the loop that has just submitted it. Not a lower
 * priority as well: measured on two busy processors, clients wait twice as long at the 99th percentile while a helper of
 * low priority is at work, because it is at work for twice as long. Where the system refuses, the thread works all the same. */
static void step_back(void) {
    struct sched_param parameter = {.sched_priority = 0};
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &parameter);
    pthread_setname_np(pthread_self(), "checkpoint");
}

static void *helper(void *context) {
    struct worker *worker = context;
    step_back();
    while (!atomic_load_explicit(&worker->is_ending, memory_order_acquire)) {
        chain_reset(&worker->submitted);
        struct work *work = chain_take(&worker->submitted);
        while (work != NULL) {
            struct work *next = work->next;
            run_one(worker, work);
            work = next;
        }
    }
    return NULL;
}

static bool start_thread(struct worker *worker) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    worker->has_thread = pthread_create(&worker->thread, NULL, helper, worker) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return worker->has_thread;
}

struct worker *worker_new(struct mem *mem) {
    struct worker *worker = mem_alloc_zeroed(mem, sizeof *worker);
    if (worker == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    worker->mem = mem;
    worker->submitted.fd = eventfd(0, EFD_CLOEXEC);
    worker->run.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->submitted.fd >= 0 && worker->run.fd >= 0)
        return worker;
    int error = errno;
    if (worker->submitted.fd >= 0)
        close(worker->submitted.fd);
    if (worker->run.fd >= 0)
        close(worker->run.fd);
    mem_free(mem, worker, sizeof *worker);
    errno = error;
    return NULL;
}

void worker_free(struct worker *worker) {
    if (worker == NULL)
        return;
    worker_finish(worker);
    if (worker->has_thread) {
        atomic_store_explicit(&worker->is_ending, true, memory_order_release);
        chain_announce(&worker->submitted);
        pthread_join(worker->thread, NULL);
    }
    close(worker->submitted.fd);
    close(worker->run.fd);
    mem_free(worker->mem, worker, sizeof *worker);
}

int worker_fd(const struct worker *worker) {
    return worker->run.fd;
}

bool worker_is_busy(const struct worker *worker) {
    return worker->pending > 0;
}

void worker_submit(void *context, struct work *work) {
    struct worker *worker = context;
    worker->pending++;
    if (worker->has_thread || start_thread(worker))
        chain_add(&worker->submitted, work);
    else
        run_one(worker, work);
}

void worker_collect(struct worker *worker) {
    chain_reset(&worker->run);
    struct work *work = chain_take(&worker->run);
    while (work != NULL) {
        struct work *next = work->next; /* done() may free the item or submit it again */
        worker->pending--;
        work->done(work);
        work = next;
    }
}

void worker_finish(struct worker *worker) {
    while (worker->pending > 0) {
        struct pollfd wish = {.fd = worker->run.fd, .events = POLLIN};
        poll(&wish, 1, -1);
        worker_collect(worker);
    }
}
