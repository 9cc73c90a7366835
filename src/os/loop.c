/* loop.c - epoll; the contract is in loop.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/loop.h"

#include "base/check.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

struct loop {
    struct mem *mem;
    int fd;
    unsigned count; /* events of this turn */
    unsigned next;  /* the first that has not been handed out */
    struct epoll_event events[LOOP_EVENTS_MAX];
};

struct loop *loop_new(struct mem *mem) {
    struct loop *loop = mem_alloc(mem, sizeof *loop);
    if (loop == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    loop->mem = mem;
    loop->count = 0;
    loop->next = 0;
    loop->fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->fd < 0) {
        int error = errno;
        mem_free(mem, loop, sizeof *loop);
        errno = error;
        return NULL;
    }
    return loop;
}

void loop_free(struct loop *loop) {
    if (loop == NULL)
        return;
    close(loop->fd);
    mem_free(loop->mem, loop, sizeof *loop);
}

static struct epoll_event loop_interest(struct loop_source *source, uint32_t wanted) {
    uint32_t flags = 0;
    if (wanted & LOOP_READ)
        flags |= EPOLLIN;
    if (wanted & LOOP_WRITE)
        flags |= EPOLLOUT;
    return (struct epoll_event){.events = flags, .data.ptr = source};
}

/* The event of this source that is still to be handed out, or NULL. */
static struct epoll_event *loop_pending(struct loop *loop, const struct loop_source *source) {
    unsigned position = source->ready_position;
    if (position < loop->next || position >= loop->count || loop->events[position].data.ptr != source)
        return NULL;
    return &loop->events[position];
}

bool loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t kind, uint32_t wanted) {
    struct epoll_event interest = loop_interest(source, wanted);
    *source = (struct loop_source){.fd = fd, .kind = kind, .wanted = wanted, .ready_position = UINT32_MAX};
    return epoll_ctl(loop->fd, EPOLL_CTL_ADD, fd, &interest) == 0;
}

bool loop_change(struct loop *loop, struct loop_source *source, uint32_t wanted) {
    if (source->wanted == wanted)
        return true;
    struct epoll_event interest = loop_interest(source, wanted);
    if (epoll_ctl(loop->fd, EPOLL_CTL_MOD, source->fd, &interest) != 0)
        return false;
    source->wanted = wanted;
    return true;
}

void loop_remove(struct loop *loop, struct loop_source *source) {
    /* Fails only for a descriptor that was closed or never added: a mistake of the caller. */
    CHECK(epoll_ctl(loop->fd, EPOLL_CTL_DEL, source->fd, NULL) == 0);
    struct epoll_event *pending = loop_pending(loop, source);
    if (pending != NULL)
        pending->data.ptr = NULL;
    source->fd = -1;
}

unsigned loop_wait(struct loop *loop, int timeout_ms) {
    int count = epoll_wait(loop->fd, loop->events, LOOP_EVENTS_MAX, timeout_ms);
    CHECK(count >= 0 || errno == EINTR);
    loop->count = count > 0 ? (unsigned)count : 0;
    loop->next = 0;
    for (unsigned i = 0; i < loop->count; i++) {
        struct loop_source *source = loop->events[i].data.ptr;
        source->ready_position = i;
    }
    return loop->count;
}

bool loop_next(struct loop *loop, struct loop_event *event) {
    while (loop->next < loop->count) {
        const struct epoll_event *ready = &loop->events[loop->next++];
        struct loop_source *source = ready->data.ptr;
        if (source == NULL)
            continue;
        uint32_t bits = 0;
        if (ready->events & EPOLLIN)
            bits |= LOOP_READ;
        if (ready->events & EPOLLOUT)
            bits |= LOOP_WRITE;
        bits &= source->wanted;
        /* A broken connection answers both reads and writes, with the error: whoever waits for one must wake up. */
        if (ready->events & (EPOLLHUP | EPOLLERR))
            bits |= LOOP_HANGUP | source->wanted;
        if (bits == 0)
            continue;
        event->source = source;
        event->ready = bits;
        return true;
    }
    return false;
}
