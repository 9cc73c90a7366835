/* resolver.h - names into addresses beside the loop: questions go in, answers come back through a descriptor.
 *
 * A name server that does not answer keeps its thread for many seconds. So there are several threads, started when they
 * are needed, and they are of this module alone: no other work ever waits behind a name.
 *
 * May touch: threads of its own, the system's name resolver, an eventfd. Must never know: what the addresses are for.
 * Invariants: nothing here waits for a look-up, resolver_free() included; the number of threads and of questions is bounded;
 * signals are never delivered to the threads.
 * Tests: tests/unit/os/resolver_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef OS_RESOLVER_H
#define OS_RESOLVER_H

#include "os/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A name of DNS has at most 253 bytes. */
#define RESOLVER_NAME_SIZE 256
/* Addresses of one name that are told; others are left out. */
#define RESOLVER_ENDPOINTS_MAX 8
/* Look-ups at the same time, and questions that are waiting for one or under way. */
#define RESOLVER_THREADS_MAX   4
#define RESOLVER_QUESTIONS_MAX 256

struct resolver;

struct resolver_answer {
    uint64_t id;                                       /* of the question */
    size_t count;                                      /* 0: there is no such name, or nobody could tell */
    struct endpoint endpoints[RESOLVER_ENDPOINTS_MAX]; /* in the order in which they should be tried */
};

/* Finds the addresses of a name; runs on the threads. Returns how many it wrote to `endpoints`. */
typedef size_t resolver_look_up(const char *name, uint16_t port,
                                struct endpoint endpoints[RESOLVER_ENDPOINTS_MAX]);

/* look_up NULL: the system's (getaddrinfo). NULL: no memory or no descriptor (errno). No thread is started yet. */
struct resolver *resolver_new(resolver_look_up *look_up);

/* What has not been answered never will be. A look-up that is under way ends when it ends, unheard. NULL is allowed. */
void resolver_free(struct resolver *resolver);

/* Becomes readable when there are answers; for the loop. */
int resolver_fd(const struct resolver *resolver);

/* Asks for a name. False: the name is too long, there are too many questions, no memory, or no thread; there will be no answer. */
bool resolver_ask(struct resolver *resolver, uint64_t id, const char *name, uint16_t port)
    __attribute__((warn_unused_result));

/* The answer is of no interest any more: if the look-up has not begun, it never will. An answer may come all the same. */
void resolver_forget(struct resolver *resolver, uint64_t id);

/* The next answer; false: there is none. To be called until then when resolver_fd() is readable. */
bool resolver_take(struct resolver *resolver, struct resolver_answer *answer);

#endif
