/* resolver_test.c - tests of os/resolver.h. Each test runs in a process of its own.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/resolver.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PORT 7001

static struct resolver *resolver;

/* Look-ups of "slow..." wait here until the test lets them go on. */
static sem_t gate;
static atomic_uint begun, ended;

static size_t look_up_for_test(const char *name, uint16_t port,
                               struct endpoint endpoints[RESOLVER_ENDPOINTS_MAX]) {
    atomic_fetch_add(&begun, 1);
    if (strncmp(name, "slow", 4) == 0)
        sem_wait(&gate);
    atomic_fetch_add(&ended, 1);
    if (strncmp(name, "nobody", 6) == 0)
        return 0;
    cr_assert(address_parse(&endpoints[0], "192.0.2.1", port));
    cr_assert(address_parse(&endpoints[1], "2001:db8::1", port));
    return 2;
}

static void begin(void) {
    sem_init(&gate, 0, 0);
    resolver = resolver_new(look_up_for_test);
    cr_assert_not_null(resolver);
}

static void end(void) {
    resolver_free(resolver);
}

TestSuite(resolver, .init = begin, .fini = end, .timeout = 60);

/* Waits for the next answer. */
static struct resolver_answer next_answer(struct resolver *from) {
    struct resolver_answer answer;
    while (!resolver_take(from, &answer)) {
        struct pollfd wish = {.fd = resolver_fd(from), .events = POLLIN};
        cr_assert_eq(poll(&wish, 1, 30000), 1);
    }
    return answer;
}

static void expect_silence(void) {
    struct pollfd wish = {.fd = resolver_fd(resolver), .events = POLLIN};
    struct resolver_answer answer;
    cr_assert_not(resolver_take(resolver, &answer));
    cr_assert_eq(poll(&wish, 1, 0), 0);
}

static void wait_for(const atomic_uint *counter, unsigned wanted) {
    while (atomic_load(counter) < wanted)
        sched_yield();
}

static void expect_endpoint(const struct endpoint *endpoint, const char *expected) {
    struct address address;
    char text[ADDRESS_PRINT_SIZE];
    address_from_socket(&address, (const struct sockaddr *)&endpoint->place, endpoint->size);
    address_print(&address, text);
    cr_assert_str_eq(text, expected);
}

Test(resolver, a_name_is_answered_with_its_addresses_and_the_port) {
    cr_assert(resolver_ask(resolver, 42, "somebody", PORT));
    struct resolver_answer answer = next_answer(resolver);
    cr_assert_eq(answer.id, 42);
    cr_assert_eq(answer.count, 2);
    expect_endpoint(&answer.endpoints[0], "192.0.2.1:7001");
    expect_endpoint(&answer.endpoints[1], "[2001:db8::1]:7001");
    expect_silence();
}

Test(resolver, a_name_without_addresses_is_answered_too) {
    cr_assert(resolver_ask(resolver, 1, "nobody", PORT));
    cr_assert_eq(next_answer(resolver).count, 0);
}

Test(resolver, every_question_gets_one_answer) {
    enum { QUESTIONS = RESOLVER_QUESTIONS_MAX };
    bool is_answered[QUESTIONS] = {false};
    for (uint64_t id = 0; id < QUESTIONS; id++)
        cr_assert(resolver_ask(resolver, id, "somebody", PORT));
    for (unsigned i = 0; i < QUESTIONS; i++) {
        struct resolver_answer answer = next_answer(resolver);
        cr_assert_lt(answer.id, QUESTIONS);
        cr_assert_not(is_answered[answer.id]);
        is_answered[answer.id] = true;
    }
    expect_silence();
    cr_assert_eq(atomic_load(&begun), QUESTIONS);
}

Test(resolver, a_name_that_takes_long_holds_nobody_up) {
    for (uint64_t id = 1; id < RESOLVER_THREADS_MAX; id++)
        cr_assert(resolver_ask(resolver, id, "slow", PORT));
    for (uint64_t id = 100; id < 120; id++) {
        cr_assert(resolver_ask(resolver, id, "somebody", PORT));
        cr_assert_eq(next_answer(resolver).id, id);
    }
    for (unsigned i = 1; i < RESOLVER_THREADS_MAX; i++)
        sem_post(&gate);
    for (unsigned i = 1; i < RESOLVER_THREADS_MAX; i++)
        cr_assert_lt(next_answer(resolver).id, RESOLVER_THREADS_MAX);
}

Test(resolver, there_are_no_more_look_ups_at_a_time_than_threads) {
    for (uint64_t id = 0; id < 20; id++)
        cr_assert(resolver_ask(resolver, id, "slow", PORT));
    wait_for(&begun, RESOLVER_THREADS_MAX);
    for (unsigned i = 0; i < 20; i++) {
        cr_assert_leq(atomic_load(&begun), atomic_load(&ended) + RESOLVER_THREADS_MAX);
        sem_post(&gate);
        next_answer(resolver);
    }
}

Test(resolver, a_forgotten_question_is_never_looked_up) {
    for (uint64_t id = 0; id < RESOLVER_THREADS_MAX; id++)
        cr_assert(resolver_ask(resolver, id, "slow", PORT));
    wait_for(&begun, RESOLVER_THREADS_MAX);
    for (uint64_t id = 10; id < 15; id++)
        cr_assert(resolver_ask(resolver, id, "somebody", PORT));
    resolver_forget(resolver, 10);
    resolver_forget(resolver, 12);
    resolver_forget(resolver, 14);
    resolver_forget(resolver, 77);
    uint64_t sum = 0;
    for (unsigned i = 0; i < RESOLVER_THREADS_MAX; i++)
        sem_post(&gate);
    for (unsigned i = 0; i < RESOLVER_THREADS_MAX + 2; i++)
        sum += next_answer(resolver).id;
    cr_assert_eq(sum, 0 + 1 + 2 + 3 + 11 + 13);
    cr_assert_eq(atomic_load(&begun), RESOLVER_THREADS_MAX + 2);
    expect_silence();
}

Test(resolver, too_many_questions_and_too_long_names_are_refused) {
    char name[RESOLVER_NAME_SIZE + 1];
    memset(name, 'n', sizeof name);
    name[RESOLVER_NAME_SIZE] = '\0';
    cr_assert_not(resolver_ask(resolver, 1, name, PORT));
    name[RESOLVER_NAME_SIZE - 1] = '\0';
    cr_assert(resolver_ask(resolver, 1, name, PORT));
    for (uint64_t id = 2; id <= RESOLVER_QUESTIONS_MAX; id++)
        cr_assert(resolver_ask(resolver, id, "slow", PORT));
    cr_assert_not(resolver_ask(resolver, 1000, "somebody", PORT));
    /* One answer that is taken makes room for one question. */
    cr_assert_eq(next_answer(resolver).id, 1);
    cr_assert(resolver_ask(resolver, 1000, "slow", PORT));
    cr_assert_not(resolver_ask(resolver, 1001, "somebody", PORT));
}

/* Threads of this process. */
static unsigned count_threads(void) {
    unsigned count = 0;
    DIR *tasks = opendir("/proc/self/task");
    cr_assert_not_null(tasks);
    for (const struct dirent *entry; (entry = readdir(tasks)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

Test(resolver, the_end_does_not_wait_for_look_ups) {
    unsigned threads_before = count_threads();
    struct resolver *other = resolver_new(look_up_for_test);
    for (uint64_t id = 0; id < 20; id++)
        cr_assert(resolver_ask(other, id, id == 3 ? "somebody" : "slow", PORT));
    /* Every thread is held, one of them after the name that is answered at once. */
    enum { BEGUN = RESOLVER_THREADS_MAX + 1 };
    wait_for(&begun, BEGUN);
    resolver_free(other);
    for (unsigned i = 0; i < 20; i++)
        sem_post(&gate);
    while (count_threads() > threads_before)
        sched_yield();
    cr_assert_eq(atomic_load(&begun), BEGUN);
    cr_assert_eq(atomic_load(&ended), BEGUN);
}

static atomic_bool ran_on_look_up;

static void note_thread(int number) {
    char name[16] = "";
    (void)number;
    pthread_getname_np(pthread_self(), name, sizeof name);
    atomic_store(&ran_on_look_up, strcmp(name, "resolver") == 0);
}

Test(resolver, signals_do_not_reach_the_threads) {
    struct sigaction action = {.sa_handler = note_thread};
    sigset_t all;
    sigaction(SIGUSR1, &action, NULL);
    cr_assert(resolver_ask(resolver, 1, "slow", PORT));
    wait_for(&begun, 1);
    /* Blocked here, it would be delivered to a thread that does not block it. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    kill(getpid(), SIGUSR1);
    sem_post(&gate);
    next_answer(resolver);
    cr_assert_not(atomic_load(&ran_on_look_up));
    sigset_t pending;
    sigpending(&pending);
    cr_assert(sigismember(&pending, SIGUSR1));
}

Test(resolver, the_system_knows_localhost_and_no_name_with_a_label_that_is_too_long) {
    struct resolver *real = resolver_new(NULL);
    char name[80];
    memset(name, 'x', sizeof name);
    snprintf(name + 70, sizeof name - 70, ".invalid");
    cr_assert(resolver_ask(real, 1, "localhost", PORT));
    struct resolver_answer answer = next_answer(real);
    cr_assert_geq(answer.count, 1);
    for (size_t i = 0; i < answer.count; i++) {
        struct address address;
        address_from_socket(&address, (const struct sockaddr *)&answer.endpoints[i].place,
                            answer.endpoints[i].size);
        cr_assert(address.loopback);
        cr_assert_eq(address.port, PORT);
    }
    cr_assert(resolver_ask(real, 2, name, PORT));
    answer = next_answer(real);
    cr_assert_eq(answer.id, 2);
    cr_assert_eq(answer.count, 0);
    resolver_free(real);
}

Test(resolver, an_end_without_a_beginning_is_fine) {
    resolver_free(NULL);
}
