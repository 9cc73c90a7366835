/* calls.c - connections to other nodes while they are being made: names are resolved, addresses tried one after the other.
 *
 * A call has a few seconds for all of it. Each address gets its share of what is left, so that one that swallows everything does
 * not hide the next one. Every call resolves its name anew: it may mean another machine by now.
 *
 * Tests: tests/server/ (calls), tests/cluster/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/stream.h"
#include "server/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CALL_NS UINT64_C(3000000000)

struct call {
    struct loop_source
        source; /* first: a call is found by it; fd -1 while there is no connection being made */
    struct list_node all;
    uint64_t id;
    uint64_t deadline_ns;
    uint64_t attempt_deadline_ns; /* of the present address, or of the name */
    bool is_resolving;
    bool was_refused, was_lost; /* what became of the addresses so far: nobody listens, nothing is heard */
    size_t endpoint_count, next_endpoint;
    struct endpoint endpoints[RESOLVER_ENDPOINTS_MAX];
};

static void set_deadline(struct server *server, struct call *call, uint64_t deadline_ns) {
    call->attempt_deadline_ns = deadline_ns;
    if (deadline_ns < server->next_call_due_ns)
        server->next_call_due_ns = deadline_ns;
}

/* Gives up the present attempt. */
static void hang_up(struct server *server, struct call *call) {
    int fd = call->source.fd;
    if (fd < 0)
        return;
    loop_remove(server->loop, &call->source);
    stream_close(fd);
}

static void call_free(struct server *server, struct call *call) {
    hang_up(server, call);
    list_remove(&call->all);
    if (call->is_resolving)
        resolver_forget(server->resolver, call->id);
    mem_free(&server->options->mem, call, sizeof *call);
}

/* Only where somebody has said so, and nobody else may be there unheard, it is certain that the process is not there. */
static void call_failed(struct server *server, struct call *call) {
    bool is_refused = call->was_refused && !call->was_lost;
    uint64_t id = call->id;
    call_free(server, call);
    node_call_failed(server->node, id, is_refused ? NODE_CALL_REFUSED : NODE_CALL_UNREACHABLE);
}

static void note_failure(struct call *call, int error) {
    switch (error) {
    case ECONNREFUSED: call->was_refused = true; break;
    /* This machine cannot reach such addresses at all; the name has others, perhaps. */
    case EAFNOSUPPORT:
    case EADDRNOTAVAIL:
    case ENETUNREACH: break;
    default: call->was_lost = true; break;
    }
}

/* Tries the next address; the call is over when there is none left. */
static void try_next(struct server *server, struct call *call) {
    hang_up(server, call);
    while (call->next_endpoint < call->endpoint_count && server->now_ns < call->deadline_ns) {
        uint64_t share_ns =
            (call->deadline_ns - server->now_ns) / (call->endpoint_count - call->next_endpoint);
        int fd = stream_connect(&call->endpoints[call->next_endpoint++]);
        if (fd >= 0 && loop_add(server->loop, &call->source, fd, SOURCE_CALL, LOOP_WRITE)) {
            set_deadline(server, call, server->now_ns + share_ns);
            return;
        }
        note_failure(call, errno);
        call->source.fd = -1;
        if (fd >= 0)
            stream_close(fd);
    }
    call_failed(server, call);
}

void calls_ready(struct server *server, struct loop_source *source, uint32_t ready) {
    struct call *call = (struct call *)(void *)source;
    int fd = source->fd, error = stream_connect_outcome(fd);
    if (error == EINPROGRESS && !(ready & LOOP_HANGUP))
        return;
    if (error != 0) {
        note_failure(call, error);
        try_next(server, call);
        return;
    }
    uint64_t id = call->id;
    loop_remove(server->loop, source); /* the descriptor goes on */
    call_free(server, call);
    links_connected(server, fd, id);
}

void calls_resolved(struct server *server) {
    struct resolver_answer answer;
    while (resolver_take(server->resolver, &answer)) {
        LIST_FOR_EACH(node, &server->calls) {
            struct call *call = LIST_ENTRY(node, struct call, all);
            if (call->id != answer.id || !call->is_resolving)
                continue;
            call->is_resolving = false;
            call->endpoint_count = answer.count;
            memcpy(call->endpoints, answer.endpoints, answer.count * sizeof *answer.endpoints);
            try_next(server, call);
            break;
        }
    }
}

static void call_start(struct server *server, const struct node_call *wish) {
    struct call *call = mem_alloc_zeroed(&server->options->mem, sizeof *call);
    if (call == NULL) {
        node_call_failed(server->node, wish->id, NODE_CALL_UNREACHABLE);
        return;
    }
    call->id = wish->id;
    call->source.fd = -1;
    call->deadline_ns = server->now_ns + CALL_NS;
    list_append(&server->calls, &call->all);
    set_deadline(server, call, call->deadline_ns);
    if (address_parse(&call->endpoints[0], wish->host, wish->port)) {
        call->endpoint_count = 1;
        try_next(server, call);
    } else if (resolver_ask(server->resolver, call->id, wish->host, wish->port)) {
        call->is_resolving = true;
    } else {
        call_failed(server, call);
    }
}

/* Who has not been heard of in time. */
static void give_up_late_ones(struct server *server) {
    server->next_call_due_ns = UINT64_MAX;
    LIST_FOR_EACH(node, &server->calls) {
        struct call *call = LIST_ENTRY(node, struct call, all);
        if (call->attempt_deadline_ns > server->now_ns) {
            set_deadline(server, call, call->attempt_deadline_ns);
            continue;
        }
        call->was_lost = true;
        try_next(server, call);
    }
}

uint32_t calls_work(struct server *server, uint32_t wait_ms) {
    struct node_call wish;
    while (node_next_call(server->node, &wish))
        call_start(server, &wish);
    if (server->now_ns >= server->next_call_due_ns)
        give_up_late_ones(server);
    if (list_is_empty(&server->calls))
        return wait_ms;
    uint64_t left_ms = (server->next_call_due_ns - server->now_ns) / 1000000 + 1;
    return left_ms < wait_ms ? (uint32_t)left_ms : wait_ms;
}

bool calls_begin(struct server *server) {
    server->next_call_due_ns = UINT64_MAX;
    server->resolver = resolver_new(NULL);
    return server->resolver != NULL && loop_add(server->loop, &server->resolver_source,
                                                resolver_fd(server->resolver), SOURCE_RESOLVER, LOOP_READ);
}

void calls_end(struct server *server) {
    LIST_FOR_EACH(node, &server->calls) {
        call_free(server, LIST_ENTRY(node, struct call, all));
    }
    resolver_free(server->resolver);
    server->resolver = NULL;
}
