/* resolver.c - look-ups of names on threads; the contract is in resolver.h.
 *
 * All is shared under one lock, which nobody holds during a look-up. The threads are nobody's to wait for: the owner
 * and each thread count as users of the whole, and the last one to leave gives it back. The memory is the C library's, because the
 * counted handle belongs to one thread.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/resolver.h"

#include "base/check.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct question {
    struct question *next;
    uint16_t port;
    char name[RESOLVER_NAME_SIZE];
    struct resolver_answer answer;
};

/* Questions in the order in which they came. */
struct line {
    struct question *first, *last;
};

struct resolver {
    resolver_look_up *look_up;
    int fd;
    pthread_mutex_t lock;
    pthread_cond_t asked;
    struct line waiting, answered;
    unsigned waiting_count;
    unsigned open_count; /* questions in all: waiting, under way, answered and not taken */
    unsigned thread_count, idle_count;
    unsigned users; /* threads and, until resolver_free(), the owner */
    bool is_ending;
};

static void line_append(struct line *line, struct question *question) {
    question->next = NULL;
    if (line->last == NULL)
        line->first = question;
    else
        line->last->next = question;
    line->last = question;
}

static struct question *line_take(struct line *line) {
    struct question *question = line->first;
    if (question == NULL)
        return NULL;
    line->first = question->next;
    if (line->first == NULL)
        line->last = NULL;
    return question;
}

static void line_clear(struct line *line) {
    struct question *question;
    while ((question = line_take(line)) != NULL)
        free(question);
}

static size_t look_up_by_system(const char *name, uint16_t port,
                                struct endpoint endpoints[RESOLVER_ENDPOINTS_MAX]) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    if (getaddrinfo(name, service, &hints, &found) != 0)
        return 0;
    size_t count = 0;
    for (const struct addrinfo *entry = found; entry != NULL && count < RESOLVER_ENDPOINTS_MAX;
         entry = entry->ai_next) {
        if (entry->ai_addrlen > sizeof endpoints->place)
            continue;
        memset(&endpoints[count], 0, sizeof endpoints[count]);
        memcpy(&endpoints[count].place, entry->ai_addr, entry->ai_addrlen);
        endpoints[count++].size = entry->ai_addrlen;
    }
    freeaddrinfo(found);
    return count;
}

static void announce(struct resolver *resolver) {
    uint64_t one = 1;
    ssize_t written;
    do
        written = write(resolver->fd, &one, sizeof one);
    while (written < 0 && errno == EINTR);
    CHECK(written == (ssize_t)sizeof one); /* fails only at 2^64 - 1 announcements that nobody has read */
}

/* To be called with the lock held, which is given back. */
static void leave(struct resolver *resolver) {
    bool is_last = --resolver->users == 0;
    pthread_mutex_unlock(&resolver->lock);
    if (!is_last)
        return;
    close(resolver->fd);
    pthread_cond_destroy(&resolver->asked);
    pthread_mutex_destroy(&resolver->lock);
    free(resolver);
}

/* The next question; NULL: the end has come. With the lock held. */
static struct question *wait_for_question(struct resolver *resolver) {
    while (!resolver->is_ending && resolver->waiting_count == 0) {
        resolver->idle_count++;
        pthread_cond_wait(&resolver->asked, &resolver->lock);
        resolver->idle_count--;
    }
    if (resolver->is_ending)
        return NULL;
    resolver->waiting_count--;
    return line_take(&resolver->waiting);
}

static void *answer_questions(void *context) {
    struct resolver *resolver = context;
    struct question *question;
    pthread_setname_np(pthread_self(), "resolver");
    pthread_mutex_lock(&resolver->lock);
    while ((question = wait_for_question(resolver)) != NULL) {
        pthread_mutex_unlock(&resolver->lock);
        struct resolver_answer *answer = &question->answer;
        answer->count = resolver->look_up(question->name, question->port, answer->endpoints);
        pthread_mutex_lock(&resolver->lock);
        if (resolver->is_ending) {
            free(question);
        } else {
            line_append(&resolver->answered, question);
            announce(resolver);
        }
    }
    leave(resolver);
    return NULL;
}

/* With the lock held. */
static bool start_thread(struct resolver *resolver) {
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool is_started = pthread_create(&thread, &attributes, answer_questions, resolver) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (is_started) {
        resolver->thread_count++;
        resolver->users++;
    }
    return is_started;
}

struct resolver *resolver_new(resolver_look_up *look_up) {
    struct resolver *resolver = calloc(1, sizeof *resolver);
    if (resolver == NULL)
        return NULL;
    resolver->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (resolver->fd < 0) {
        int error = errno;
        free(resolver);
        errno = error;
        return NULL;
    }
    resolver->look_up = look_up != NULL ? look_up : look_up_by_system;
    resolver->users = 1;
    pthread_mutex_init(&resolver->lock, NULL);
    pthread_cond_init(&resolver->asked, NULL);
    return resolver;
}

void resolver_free(struct resolver *resolver) {
    if (resolver == NULL)
        return;
    pthread_mutex_lock(&resolver->lock);
    resolver->is_ending = true;
    resolver->waiting_count = 0;
    line_clear(&resolver->waiting);
    line_clear(&resolver->answered);
    pthread_cond_broadcast(&resolver->asked);
    leave(resolver);
}

int resolver_fd(const struct resolver *resolver) {
    return resolver->fd;
}

bool resolver_ask(struct resolver *resolver, uint64_t id, const char *name, uint16_t port) {
    size_t length = strlen(name);
    if (length >= RESOLVER_NAME_SIZE)
        return false;
    struct question *question = calloc(1, sizeof *question);
    if (question == NULL)
        return false;
    memcpy(question->name, name, length + 1);
    question->port = port;
    question->answer.id = id;
    pthread_mutex_lock(&resolver->lock);
    bool is_taken = resolver->open_count < RESOLVER_QUESTIONS_MAX;
    if (is_taken && resolver->waiting_count >= resolver->idle_count &&
        resolver->thread_count < RESOLVER_THREADS_MAX)
        is_taken = start_thread(resolver) || resolver->thread_count > 0;
    if (is_taken) {
        line_append(&resolver->waiting, question);
        resolver->waiting_count++;
        resolver->open_count++;
        pthread_cond_signal(&resolver->asked);
    }
    pthread_mutex_unlock(&resolver->lock);
    if (!is_taken)
        free(question);
    return is_taken;
}

void resolver_forget(struct resolver *resolver, uint64_t id) {
    struct line kept = {NULL, NULL};
    struct question *question;
    pthread_mutex_lock(&resolver->lock);
    while ((question = line_take(&resolver->waiting)) != NULL) {
        if (question->answer.id != id) {
            line_append(&kept, question);
            continue;
        }
        free(question);
        resolver->waiting_count--;
        resolver->open_count--;
    }
    resolver->waiting = kept;
    pthread_mutex_unlock(&resolver->lock);
}

bool resolver_take(struct resolver *resolver, struct resolver_answer *answer) {
    pthread_mutex_lock(&resolver->lock);
    struct question *question = line_take(&resolver->answered);
    if (question != NULL) {
        resolver->open_count--;
    } else {
        /* Under the lock, so that an answer that comes next is announced anew. */
        uint64_t announced;
        while (read(resolver->fd, &announced, sizeof announced) < 0 && errno == EINTR)
            continue;
    }
    pthread_mutex_unlock(&resolver->lock);
    if (question == NULL)
        return false;
    *answer = question->answer;
    free(question);
    return true;
}
