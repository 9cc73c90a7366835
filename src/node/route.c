/* route.c - the way of one command through the cluster: here, to one other node, again, or to several.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/route.h"

#include "node/monitor.h"
#include "node/quorum.h"
#include "node/replicate.h"
#include "node/transaction.h"
#include "node/wait.h"
#include "store/expire.h"
#include "store/ledger.h"

#include <stdio.h>

/* So long a command waits before it is tried again. */
#define RETRY_MS 20
/* A command of so many arguments may take long, whichever it is. */
#define SLOW_ARGUMENTS 1000

/* A command on its way. */
struct forwarded {
    struct awaited awaited; /* first: it is found by this */
    struct list_node retry; /* cluster->retries, while it waits to be tried again */
    const struct command *command;
    struct sink sink;
    uint64_t deadline_ms, retry_ms;
    uint64_t not_before_ms; /* it may be executed elsewhere until then */
    uint64_t order;         /* among all commands that were forwarded */
    uint32_t slot;          /* of its first key; ARGUMENT_NOT_PLACED: it has none */
    uint16_t *more_slots;   /* of its other keys, if they have several; NULL: all have one */
    uint32_t more_count;
    unsigned flags;
    uint16_t at_member; /* only there; ROUTE_NOBODY: wherever its keys are executed */
    bool was_refused, may_have_run;
    bool is_patient; /* it came too late once */
    bool is_booked;  /* in its slots' ways */
};

/* ---- Which member ---- */

bool route_may_execute(const struct node *node, uint32_t slot, unsigned flags) {
    const struct cluster *cluster = node->cluster;
    if (node->routes == NULL || node->routes[slot] == ROUTE_SELF)
        return true;
    unsigned wanted =
        slot_set_has(&cluster->held, slot) ? FORWARD_SECOND_HOP | FORWARD_REPLICA : FORWARD_STAND_IN;
    return flags & wanted && cluster_is_able(cluster, ROUTE_SELF);
}

/* What a call's keys have in common. */
struct keys {
    uint32_t slot; /* of the first */
    uint16_t member;
    bool one_slot, one_member;
    bool must_wait; /* one of them is to wait for what came before it in its slot */
};

static inline uint16_t route_to(const struct node *node, uint32_t slot) {
    return node->routes == NULL ? ROUTE_SELF : node->routes[slot];
}

/* Whether a command is to wait for others of its slot before it goes to a member. */
static inline bool must_wait(const struct node *node, uint32_t slot, uint16_t member) {
    if (slot == ARGUMENT_NOT_PLACED)
        return false;
    const struct slot_way *way = &node->cluster->ways[slot];
    return way->waiting != 0 || (way->in_flight != 0 && way->member != member);
}

static struct keys look_at_keys(const struct node *node, const struct command *command, struct argument *argv,
                                uint32_t argc) {
    int first = command->first_key, last = command_last_key(command, argc);
    keyspace_place(node->keyspace, &argv[first]);
    struct keys keys = {.slot = argv[first].slot, .one_slot = true, .one_member = true};
    keys.member = route_to(node, keys.slot);
    keys.must_wait = must_wait(node, keys.slot, keys.member);
    for (int i = first + command->key_step; command->key_step > 0 && i <= last; i += command->key_step) {
        keyspace_place(node->keyspace, &argv[i]);
        if (argv[i].slot == keys.slot)
            continue;
        uint16_t member = route_to(node, argv[i].slot);
        keys.one_slot = false;
        keys.one_member = keys.one_member && member == keys.member;
        keys.must_wait = keys.must_wait || must_wait(node, argv[i].slot, member);
    }
    return keys;
}

/* How long an answer of the member takes: what it took lately, and what waits there already. */
static uint64_t distance(const struct node *node, uint16_t member) {
    const struct peer *peer = cluster_peer(node->cluster, member);
    if (peer == NULL || !peer_is_linked(peer))
        return UINT64_MAX;
    return link_round_trip_us(peer->out->link) + 10 * (peer->awaited_next - peer->awaited_first);
}

/* The copy that answers a read, by the setting read-from. */
static uint16_t choose_reader(struct node *node, const struct session *session, uint32_t slot) {
    struct cluster *cluster = node->cluster;
    uint16_t holders[RING_COPIES_MAX], able[RING_COPIES_MAX];
    uint32_t count = cluster_holders(cluster, slot, holders), able_count = 0;
    for (uint32_t i = 0; i < count; i++)
        if (cluster_may_read(cluster, holders[i]))
            able[able_count++] = holders[i];
    if (able_count == 0)
        return node->routes[slot];
    int policy = node->config->read_from;
    if (session->flags & SESSION_READONLY && policy == READ_FROM_PRIMARY)
        policy = READ_FROM_NEAREST;
    if (policy == READ_FROM_RANDOM)
        return able[rng_below(&node->keyspace->random, able_count)];
    if (policy == READ_FROM_ROUND_ROBIN)
        return able[cluster->round_robin++ % able_count];
    const char *zone = membership_member(cluster->membership, ROUTE_SELF)->entry.zone;
    uint16_t best = able[0];
    uint64_t best_distance = UINT64_MAX;
    for (uint32_t i = 0; i < able_count; i++) {
        if (able[i] == ROUTE_SELF)
            return ROUTE_SELF;
        uint64_t far = distance(node, able[i]);
        bool is_elsewhere = strcmp(membership_member(cluster->membership, able[i])->entry.zone, zone) != 0;
        if (policy == READ_FROM_NEAREST && is_elsewhere && far < UINT64_MAX / 2)
            far += UINT64_MAX / 2;
        if (far < best_distance) {
            best_distance = far;
            best = able[i];
        }
    }
    return best;
}

/* ---- Executing here what somebody else awaits ---- */

static void give(struct node *node, struct sink sink, const char *error) {
    char line[256];
    int size = snprintf(line, sizeof line, "-%s\r\n", error);
    sink.take(node, sink.target, sink.part, (const uint8_t *)line, (size_t)size);
}

void route_run(struct node *node, const struct command *command, unsigned flags, struct argument *argv,
               uint32_t argc, struct buffer *out) {
    struct session *session = node->cluster->self;
    /* One of these may run inside another (a part of a command that was tried again): the outer one's is put back. */
    struct reply outer = session->reply;
    uint32_t outer_flags = session->flags;
    forward_set_session(session, out, flags);
    if (flags & FORWARD_EXEC) {
        transaction_run_forwarded(node, session, flags, argv, argc);
    } else {
        uint64_t started_ns = node_clock_ns(node);
        const struct command *ran = node_dispatch(node, session, command_by_id(command->parent), argv, argc);
        if (ran != NULL)
            node_book(node, session, ran, 1, node_clock_ns(node) - started_ns, argv, argc);
    }
    session->reply = outer;
    session->flags = outer_flags;
}

static void execute_here(struct node *node, const struct command *command, unsigned flags,
                         struct argument *argv, uint32_t argc, struct sink sink) {
    if (UNLIKELY(quorum_concerns_request(node, flags))) {
        quorum_execute(node, command, flags, argv, argc, &(struct quorum_target){.sink = sink});
        return;
    }
    struct buffer out;
    buffer_init(&out, node->mem);
    route_run(node, command, flags, argv, argc, &out);
    if (out.size == 0)
        give(node, sink,
             flags & FORWARD_REPEATED ? ERROR_INDETERMINATE
             : out.failed             ? ERROR_NO_MEMORY
                                      : ERROR_NOBODY);
    else
        sink.take(node, sink.target, sink.part, out.data, out.size);
    buffer_release(&out);
}

/* ---- Executing elsewhere ---- */

static void forwarded_free(struct node *node, struct forwarded *forwarded) {
    forward_release(&forwarded->awaited);
    mem_free(node->mem, forwarded->more_slots, forwarded->more_count * sizeof *forwarded->more_slots);
    mem_free(node->mem, forwarded, sizeof *forwarded);
}

static void finish(struct node *node, struct forwarded *forwarded, const uint8_t *reply, size_t size) {
    struct sink sink = forwarded->sink;
    sink.take(node, sink.target, sink.part, reply, size);
    forwarded_free(node, forwarded);
}

static void give_up(struct node *node, struct forwarded *forwarded, const char *error) {
    struct sink sink = forwarded->sink;
    forwarded_free(node, forwarded);
    give(node, sink, error);
}

static void give_up_for_nobody(struct node *node, struct forwarded *forwarded) {
    give_up(node, forwarded, forwarded->may_have_run ? ERROR_INDETERMINATE : ERROR_NOBODY);
}

/* The slots of a command are this many, one of them perhaps several times; those of one that has a slot at all. */
static inline uint32_t slot_count(const struct forwarded *forwarded) {
    return forwarded->slot == ARGUMENT_NOT_PLACED ? 0 : 1 + forwarded->more_count;
}

static inline uint32_t slot_at(const struct forwarded *forwarded, uint32_t index) {
    return index == 0 ? forwarded->slot : forwarded->more_slots[index - 1];
}

/* Commands wait in the order in which they came. Those of one slot are executed in it, too: as long as one waits, so do
 * all that came later and have a key in that slot (slot_way). */
static void wait_again(struct node *node, struct forwarded *forwarded) {
    struct list *retries = &node->cluster->retries;
    struct list_node *before = retries->end.previous;
    while (before != &retries->end && LIST_ENTRY(before, struct forwarded, retry)->order > forwarded->order)
        before = before->previous;
    list_insert_before(before->next, &forwarded->retry);
    for (uint32_t i = 0; i < slot_count(forwarded); i++) {
        uint32_t slot = slot_at(forwarded, i);
        node->cluster->ways[slot].waiting++;
        node->keyspace->ledger->notes[slot] &= (uint16_t)~SLOT_COORDINATED;
    }
}

static void take_waiting(struct node *node, struct forwarded *forwarded) {
    list_remove(&forwarded->retry);
    for (uint32_t i = 0; i < slot_count(forwarded); i++)
        node->cluster->ways[slot_at(forwarded, i)].waiting--;
}

/* The last command of a slot on this way is done, perhaps. */
static void note_done(struct node *node, uint32_t slot) {
    struct cluster *cluster = node->cluster;
    uint16_t *note = &node->keyspace->ledger->notes[slot];
    if (cluster_is_open(cluster, slot) && !(*note & SLOT_COORDINATED)) {
        *note |= SLOT_COORDINATED;
        keyspace_expire_anew(node->keyspace);
    }
    if (UNLIKELY(cluster->ways[slot].waiting != 0) && cluster->ways[slot].in_flight == 0)
        cluster->must_work = true;
}

static void book(struct node *node, struct forwarded *forwarded, uint16_t member) {
    if (forwarded->at_member != ROUTE_NOBODY || UNLIKELY(forwarded->slot == ARGUMENT_NOT_PLACED) ||
        UNLIKELY(forwarded->flags & FORWARD_REPLICA))
        return;
    for (uint32_t i = 0; i < slot_count(forwarded); i++) {
        struct slot_way *way = &node->cluster->ways[slot_at(forwarded, i)];
        way->in_flight++;
        way->member = member;
    }
    forwarded->is_booked = true;
}

static void unbook(struct node *node, struct forwarded *forwarded) {
    if (!forwarded->is_booked)
        return;
    forwarded->is_booked = false;
    for (uint32_t i = 0; i < slot_count(forwarded); i++)
        if (--node->cluster->ways[slot_at(forwarded, i)].in_flight == 0)
            note_done(node, slot_at(forwarded, i));
}

static void try_later(struct node *node, struct forwarded *forwarded) {
    forwarded->retry_ms = node->monotonic_ms + RETRY_MS;
    wait_again(node, forwarded);
}

/* Whether a command that was perhaps executed may be executed again. SET with NX, XX or GET would find what it has done itself. */
static bool may_repeat(struct node *node, const struct forwarded *forwarded) {
    struct argument *argv;
    uint32_t argc;
    if (!(forwarded->command->flags & COMMAND_RESEND) || forwarded->flags & FORWARD_EXEC)
        return false;
    if (forwarded->command->id != COMMAND_ID_SET)
        return true;
    if (!forward_arguments(node, &forwarded->awaited, &argv, &argc))
        return false;
    bool is_plain = true;
    for (uint32_t i = 3; i < argc; i++) /* a number behind EX and the like is none of these words */
        is_plain = is_plain && !argument_is(&argv[i], "nx") && !argument_is(&argv[i], "xx") &&
                   !argument_is(&argv[i], "get");
    mem_free(node->mem, argv, argc * sizeof *argv);
    return is_plain;
}

/* Whether a command that is for a certain member only is not to be had there now. */
static bool is_lost(const struct node *node, const struct forwarded *forwarded) {
    const struct peer *peer = cluster_peer(node->cluster, forwarded->at_member);
    return peer == NULL || peer->reach.is_passed_over || !cluster_is_up(node->cluster, peer->member);
}

/* What was not executed, or may be executed again, waits for its turn: at once if the routes lead elsewhere by now. */
static void try_elsewhere(struct node *node, struct forwarded *forwarded) {
    bool is_for_slot = forwarded->at_member == ROUTE_NOBODY && forwarded->slot != ARGUMENT_NOT_PLACED;
    uint16_t member = is_for_slot ? route_to(node, forwarded->slot) : ROUTE_SELF;
    node->cluster->retried++;
    try_later(node, forwarded);
    if (is_for_slot && member != ROUTE_NOBODY && member != forwarded->awaited.peer->member) {
        forwarded->retry_ms = node->monotonic_ms;
        node->cluster->must_work = true;
    }
}

static void answered(struct node *node, struct awaited *awaited, enum forward_outcome outcome,
                     const uint8_t *reply, size_t size) {
    struct forwarded *forwarded = (struct forwarded *)(void *)awaited;
    unbook(node, forwarded);
    switch (outcome) {
    case FORWARD_DONE: finish(node, forwarded, reply, size); return;
    case FORWARD_UNKNOWN:
        if (!may_repeat(node, forwarded)) {
            node->cluster->indeterminate++;
            give_up(node, forwarded, ERROR_INDETERMINATE);
            return;
        }
        forwarded->may_have_run = forwarded->command->flags & COMMAND_WRITE;
        if (forwarded->may_have_run)
            forwarded->not_before_ms = awaited->sent_ms + (uint64_t)node->config->failover_timeout_ms *
                                                              (forwarded->is_patient ? FAILOVER_PATIENCE : 1);
        break;
    case FORWARD_REFUSED: forwarded->was_refused = true; break;
    case FORWARD_LATE: forwarded->is_patient = true; break;
    case FORWARD_NOT_SENT: break;
    }
    /* A part of a command on all slots is of no use where the other node does not see them as its own, or is not sure. */
    if (forwarded->at_member != ROUTE_NOBODY &&
        (is_lost(node, forwarded) || (outcome == FORWARD_REFUSED && forwarded->flags & FORWARD_PART)))
        give_up_for_nobody(node, forwarded);
    else
        try_elsewhere(node, forwarded);
}

/* Notes the slots of its keys; they are placed. false: no memory. */
static bool keep_slots(struct node *node, struct forwarded *forwarded, const struct keys *keys,
                       const struct argument *argv, uint32_t argc) {
    const struct command *command = forwarded->command;
    int last = command_last_key(command, argc);
    forwarded->slot = keys->slot;
    forwarded->more_slots = NULL;
    forwarded->more_count = 0;
    if (LIKELY(keys->one_slot))
        return true;
    uint32_t count = (uint32_t)((last - command->first_key) / command->key_step);
    forwarded->more_slots = mem_alloc(node->mem, count * sizeof *forwarded->more_slots);
    if (forwarded->more_slots == NULL)
        return false;
    for (int i = command->first_key + command->key_step; i <= last; i += command->key_step)
        forwarded->more_slots[forwarded->more_count++] = (uint16_t)argv[i].slot;
    CHECK(forwarded->more_count == count);
    return true;
}

/* What a member must know of its slots. */
static unsigned flags_for(const struct node *node, const struct forwarded *forwarded, uint16_t member) {
    unsigned flags = 0;
    for (uint32_t i = 0; i < slot_count(forwarded); i++)
        flags |= failover_flags(node, slot_at(forwarded, i), member);
    return flags;
}

/* Sends a fresh command to a member, or keeps it to be tried later. */
static void send_to(struct node *node, uint16_t member, uint16_t at_member, const struct keys *keys,
                    const struct command *command, unsigned flags, const struct argument *argv, uint32_t argc,
                    struct sink sink) {
    struct forwarded *forwarded = mem_alloc(node->mem, sizeof *forwarded);
    if (forwarded == NULL) {
        give(node, sink, ERROR_NO_MEMORY);
        return;
    }
    forwarded->command = command;
    if (!keep_slots(node, forwarded, keys, argv, argc)) {
        mem_free(node->mem, forwarded, sizeof *forwarded);
        give(node, sink, ERROR_NO_MEMORY);
        return;
    }
    forwarded->awaited.done = answered;
    forwarded->awaited.peer = NULL;
    forwarded->awaited.is_slow = command->flags & COMMAND_SLOW || argc > SLOW_ARGUMENTS;
    forwarded->sink = sink;
    forwarded->deadline_ms = node->monotonic_ms + ROUTE_PATIENCE_MS;
    forwarded->flags = flags;
    forwarded->order =
        node->cluster->split_order != 0 ? node->cluster->split_order : node->cluster->forwarded + 1;
    forwarded->at_member = at_member;
    forwarded->was_refused = false;
    forwarded->may_have_run = flags & FORWARD_REPEATED;
    forwarded->is_patient = forwarded->is_booked = false;
    forwarded->not_before_ms = 0;
    struct peer *peer = member == ROUTE_NOBODY ? NULL : cluster_peer(node->cluster, member);
    node->cluster->forwarded++;
    /* What is read from another copy than the coordinator's has the way of that one. */
    bool is_behind = keys->one_slot ? must_wait(node, keys->slot, member) : keys->must_wait;
    if (LIKELY(peer != NULL) && LIKELY(!is_behind) &&
        LIKELY(forward_send(node, peer, flags | flags_for(node, forwarded, member), argv, argc,
                            &forwarded->awaited))) {
        book(node, forwarded, member);
        return;
    }
    if (forward_keep(node, argv, argc, &forwarded->awaited)) {
        try_later(node, forwarded);
        if (is_behind)
            forwarded->retry_ms = node->monotonic_ms;
    } else
        give_up(node, forwarded, ERROR_NO_MEMORY);
}

void route_execute_at(struct node *node, uint16_t member, const struct command *command, unsigned flags,
                      struct argument *argv, uint32_t argc, struct sink sink) {
    if (member == ROUTE_SELF)
        execute_here(node, command, flags, argv, argc, sink);
    else
        send_to(node, member, member, &(struct keys){.slot = ARGUMENT_NOT_PLACED, .one_slot = true}, command,
                flags, argv, argc, sink);
}

void route_execute(struct node *node, const struct command *command, unsigned flags, struct argument *argv,
                   uint32_t argc, struct sink sink) {
    struct keys keys = look_at_keys(node, command, argv, argc);
    if (!keys.one_member && command->flags & COMMAND_SPLIT)
        gather_split(node, command, flags, argv, argc, sink);
    else if (keys.member == ROUTE_SELF && !keys.must_wait)
        execute_here(node, command, flags, argv, argc, sink);
    else
        send_to(node, keys.member, ROUTE_NOBODY, &keys, command, flags, argv, argc, sink);
}

void route_execute_slot(struct node *node, uint32_t slot, const struct command *command, unsigned flags,
                        struct argument *argv, uint32_t argc, struct sink sink) {
    uint16_t member = route_to(node, slot);
    if (member == ROUTE_SELF && !must_wait(node, slot, ROUTE_SELF))
        execute_here(node, command, flags, argv, argc, sink);
    else
        send_to(node, member, ROUTE_NOBODY, &(struct keys){.slot = slot, .one_slot = true}, command, flags,
                argv, argc, sink);
}

/* The member that a waiting command is to go to now. */
static uint16_t member_for(struct node *node, const struct forwarded *forwarded, struct argument *argv,
                           uint32_t argc, bool *must_split) {
    *must_split = false;
    if (forwarded->at_member != ROUTE_NOBODY)
        return forwarded->at_member;
    if (forwarded->flags & FORWARD_EXEC)
        return route_to(node, transaction_slot(argv, argc));
    struct keys keys = look_at_keys(node, forwarded->command, argv, argc);
    *must_split = !keys.one_member;
    return keys.member;
}

/* Tries a command again that is on no list now; still in vain: it goes back to the list. */
static void try_again(struct node *node, struct forwarded *forwarded) {
    struct argument *argv;
    uint32_t argc;
    if (!forward_arguments(node, &forwarded->awaited, &argv, &argc)) {
        give_up(node, forwarded, ERROR_NO_MEMORY);
        return;
    }
    if (forwarded->may_have_run)
        forwarded->flags |= FORWARD_REPEATED;
    bool must_split;
    uint16_t member = member_for(node, forwarded, argv, argc, &must_split);
    unsigned flags = forwarded->flags | flags_for(node, forwarded, member);
    if (forwarded->was_refused && !(flags & FORWARD_PART))
        flags |= FORWARD_SECOND_HOP;
    if (forwarded->is_patient)
        flags |= FORWARD_PATIENT;
    if (must_split || member == ROUTE_SELF) {
        if (must_split) {
            uint64_t outer = node->cluster->split_order;
            node->cluster->split_order = forwarded->order;
            gather_split(node, forwarded->command, forwarded->flags, argv, argc, forwarded->sink);
            node->cluster->split_order = outer;
        } else
            execute_here(node, forwarded->command, forwarded->flags, argv, argc, forwarded->sink);
        for (uint32_t i = 0; i < slot_count(forwarded); i++)
            note_done(node, slot_at(forwarded, i));
        forwarded_free(node, forwarded);
    } else {
        struct peer *peer = member == ROUTE_NOBODY ? NULL : cluster_peer(node->cluster, member);
        if (forwarded->at_member != ROUTE_NOBODY && is_lost(node, forwarded))
            give_up_for_nobody(node, forwarded);
        else if (peer == NULL || !forward_resend(node, peer, flags, &forwarded->awaited))
            try_later(node, forwarded);
        else {
            book(node, forwarded, member);
            node->cluster->failover.resends++;
        }
    }
    mem_free(node->mem, argv, argc * sizeof *argv);
}

/* Whether something that is to be executed before it is not done yet. */
static bool is_behind_others(const struct node *node, const struct forwarded *forwarded) {
    for (uint32_t i = 0; i < slot_count(forwarded); i++)
        if (must_wait(node, slot_at(forwarded, i), route_to(node, slot_at(forwarded, i))))
            return true;
    return false;
}

uint32_t route_work(struct node *node) {
    struct cluster *cluster = node->cluster;
    struct list waiting;
    uint64_t next_ms = node->monotonic_ms + RETRY_MS;
    if (list_is_empty(&cluster->retries))
        return UINT32_MAX;
    /* Those that come back while this list is walked are for the next time. */
    list_init(&waiting);
    struct list_node *link;
    while ((link = list_first(&cluster->retries)) != NULL) {
        take_waiting(node, LIST_ENTRY(link, struct forwarded, retry));
        list_append(&waiting, link);
    }
    while ((link = list_first(&waiting)) != NULL) {
        struct forwarded *forwarded = LIST_ENTRY(link, struct forwarded, retry);
        list_remove(link);
        uint64_t due_ms =
            forwarded->retry_ms > forwarded->not_before_ms ? forwarded->retry_ms : forwarded->not_before_ms;
        if (node->monotonic_ms >= forwarded->deadline_ms) {
            give_up_for_nobody(node, forwarded);
        } else if (node->monotonic_ms < due_ms || is_behind_others(node, forwarded)) {
            wait_again(node, forwarded);
            if (node->monotonic_ms < due_ms && due_ms < next_ms)
                next_ms = due_ms;
        } else {
            try_again(node, forwarded);
        }
    }
    return list_is_empty(&cluster->retries) ? UINT32_MAX : (uint32_t)(next_ms - node->monotonic_ms);
}

void route_note_gone(struct node *node, const struct peer *peer) {
    LIST_FOR_EACH(link, &node->cluster->retries) {
        struct forwarded *forwarded = LIST_ENTRY(link, struct forwarded, retry);
        if (forwarded->awaited.peer == peer)
            forwarded->not_before_ms = 0;
    }
}

void route_retry(struct node *node) {
    LIST_FOR_EACH(link, &node->cluster->retries) {
        LIST_ENTRY(link, struct forwarded, retry)->retry_ms = node->monotonic_ms;
    }
    (void)route_work(node);
}

void route_release(struct node *node) {
    struct list_node *link;
    while ((link = list_first(&node->cluster->retries)) != NULL) {
        struct forwarded *forwarded = LIST_ENTRY(link, struct forwarded, retry);
        take_waiting(node, forwarded);
        give_up_for_nobody(node, forwarded);
    }
    gather_release(node);
}

/* ---- The commands of clients ---- */

/* A slot that WAIT will have to ask for. */
static void add_written(struct node *node, struct session *session, uint32_t slot) {
    struct session_cluster *of = route_session(node, session);
    if (of == NULL)
        return;
    for (uint32_t i = 0; i < of->written_count; i++)
        if (of->written[i] == slot)
            return;
    if (of->written_count == 0)
        of->written_epoch = node->cluster->route_epoch;
    if (of->written_count == WRITTEN_SLOTS_MAX)
        of->written_overflow = true;
    else
        of->written[of->written_count++] = (uint16_t)slot;
}

/* For WAIT. A session that writes here and there soon has written everywhere. */
static inline void note_written(struct node *node, struct session *session, uint32_t slot) {
    if (UNLIKELY(session->cluster == NULL) || UNLIKELY(!session->cluster->written_overflow))
        add_written(node, session, slot);
}

/* The reply will come: keeps its place, and counts the command as this node's client's. */
static struct reply_place *take(struct node *node, struct session *session, const struct command *command,
                                struct argument *argv, uint32_t argc) {
    struct reply_place *place = route_keep_place(node, session);
    if (place == NULL)
        return NULL;
    node->statistics.commands++;
    session->commands++;
    if (UNLIKELY(!list_is_empty(&node->monitors)) &&
        !(command->flags & (COMMAND_SKIP_MONITOR | COMMAND_ADMIN)))
        monitor_feed(node, session, argv, argc);
    return place;
}

static enum route no_memory(struct session *session) {
    reply_error(&session->reply, ERROR_NO_MEMORY);
    return ROUTE_REPLIED;
}

static enum route send_client(struct node *node, struct session *session, const struct command *command,
                              uint32_t slot) {
    uint16_t member = node->routes[slot];
    const struct member *other = membership_member(node->cluster->membership, member);
    uint16_t port = other->entry.cluster_port;
    node->statistics.of_command[command->id].rejected++;
    reply_error_format(&session->reply, "MOVED %u %s:%u", slot, other->entry.host, port);
    return ROUTE_REPLIED;
}

/* A command of a client that is executed here, and is about several copies. */
static enum route take_with_quorum(struct node *node, struct session *session, const struct command *command,
                                   unsigned flags, struct argument *argv, uint32_t argc) {
    struct reply_place *place = route_keep_place(node, session);
    if (place == NULL)
        return no_memory(session);
    session->commands++;
    if (UNLIKELY(!list_is_empty(&node->monitors)) &&
        !(command->flags & (COMMAND_SKIP_MONITOR | COMMAND_ADMIN)))
        monitor_feed(node, session, argv, argc);
    struct quorum_target target = {.sink = route_place_sink(place)};
    quorum_execute(node, command, flags, argv, argc, &target);
    return ROUTE_TAKEN;
}

/* A command whose keys are in one slot, or all at one member. */
static enum route to_one(struct node *node, struct session *session, const struct command *command,
                         struct argument *argv, uint32_t argc, const struct keys *keys) {
    uint16_t member = keys->member;
    unsigned flags = route_session_flags(session);
    if (command->flags & COMMAND_READONLY && keys->one_slot && quorum_reads(node, flags) <= 1 &&
        (session->flags & SESSION_READONLY || node->config->read_from != READ_FROM_PRIMARY)) {
        member = choose_reader(node, session, keys->slot);
        flags |= FORWARD_REPLICA;
    }
    if (command->flags & COMMAND_WRITE)
        note_written(node, session, keys->slot);
    bool is_open = flags & FORWARD_REPLICA || !keys->must_wait;
    if (member == ROUTE_SELF && LIKELY(is_open))
        return LIKELY(!quorum_concerns(node, session))
                   ? ROUTE_HERE
                   : take_with_quorum(node, session, command, flags, argv, argc);
    if (session->flags & SESSION_CLUSTER_VIEW && node->config->cluster_redirect_moved &&
        member != ROUTE_NOBODY && member != ROUTE_SELF)
        return send_client(node, session, command, keys->slot);
    if (node->cluster->is_joining) {
        reply_error(&session->reply, "CLUSTERDOWN this node has not met any node of its cluster yet");
        return ROUTE_REPLIED;
    }
    struct reply_place *place = take(node, session, command, argv, argc);
    if (place == NULL)
        return no_memory(session);
    send_to(node, member, ROUTE_NOBODY, keys, command, flags, argv, argc, route_place_sink(place));
    return ROUTE_TAKEN;
}

static enum route to_several(struct node *node, struct session *session, const struct command *command,
                             struct argument *argv, uint32_t argc) {
    if (node->cluster->is_joining) {
        reply_error(&session->reply, "CLUSTERDOWN this node has not met any node of its cluster yet");
        return ROUTE_REPLIED;
    }
    struct reply_place *place = take(node, session, command, argv, argc);
    if (place == NULL)
        return no_memory(session);
    unsigned flags = route_session_flags(session);
    if (command->flags & COMMAND_SPREAD)
        gather_spread(node, command, flags, argv, argc, route_place_sink(place));
    else
        gather_split(node, command, flags, argv, argc, route_place_sink(place));
    return ROUTE_TAKEN;
}

/* The commands that concern the connection and the cluster at once. */
static enum route special(struct node *node, struct session *session, const struct command *command,
                          struct argument *argv, uint32_t argc) {
    switch (command->id) {
    case COMMAND_ID_WATCH: return transaction_watch(node, session, argv, argc);
    case COMMAND_ID_EXEC: return transaction_exec(node, session, argv, argc);
    case COMMAND_ID_WAIT: {
        size_t places = session->place_count;
        wait_for_client(node, session, argv, argc);
        return session->place_count > places ? ROUTE_TAKEN : ROUTE_REPLIED;
    }
    default: return ROUTE_HERE;
    }
}

enum route route_command(struct node *node, struct session *session, const struct command *command,
                         struct argument *argv, uint32_t argc) {
    int first = command->first_key;
    /* The usual case: one key, and it is this node's. */
    if (LIKELY(first > 0) && command->last_key == first && !(command->flags & COMMAND_LOCAL)) {
        keyspace_place(node->keyspace, &argv[first]);
        bool may_read_elsewhere =
            command->flags & COMMAND_READONLY &&
            (session->flags & SESSION_READONLY || node->config->read_from != READ_FROM_PRIMARY);
        bool is_ours = node->keyspace->ledger->notes[argv[first].slot] & SLOT_COORDINATED;
        if (LIKELY(is_ours) && LIKELY(!may_read_elsewhere) && LIKELY(!quorum_concerns(node, session))) {
            if (command->flags & COMMAND_WRITE)
                note_written(node, session, argv[first].slot);
            return ROUTE_HERE;
        }
    }
    if (UNLIKELY(first <= 0) || command->flags & COMMAND_LOCAL) {
        if (command->flags & COMMAND_SPREAD && !(session->flags & SESSION_CLUSTER_VIEW))
            return to_several(node, session, command, argv, argc);
        if (command->flags & COMMAND_SPREAD && quorum_concerns(node, session))
            return take_with_quorum(node, session, command, route_session_flags(session) | FORWARD_PART, argv,
                                    argc);
        return special(node, session, command, argv, argc);
    }
    if (UNLIKELY(command->id == COMMAND_ID_WATCH))
        return special(node, session, command, argv, argc);
    struct keys keys = look_at_keys(node, command, argv, argc);
    if (LIKELY(keys.one_slot))
        return to_one(node, session, command, argv, argc, &keys);
    if (!(command->flags & COMMAND_SPLIT)) {
        reply_error(&session->reply, ERROR_CROSS_SLOT);
        return ROUTE_REPLIED;
    }
    if (command->flags & COMMAND_WRITE) {
        struct session_cluster *of = route_session(node, session);
        if (of != NULL)
            of->written_overflow = true; /* WAIT: all slots count */
    }
    if (keys.one_member && keys.member != ROUTE_NOBODY)
        return to_one(node, session, command, argv, argc, &keys);
    return to_several(node, session, command, argv, argc);
}

const char *route_check_queued(struct node *node, struct session *session, const struct command *command,
                               struct argument *argv, uint32_t argc) {
    if (command->flags & COMMAND_SPREAD && !(session->flags & SESSION_CLUSTER_VIEW))
        return "ERR this command speaks for the whole cluster, which cannot be done in one step: not in a transaction";
    if (command->first_key <= 0 || command->flags & COMMAND_LOCAL)
        return NULL;
    struct session_cluster *of = route_session(node, session);
    if (of == NULL)
        return ERROR_NO_MEMORY;
    struct keys keys = look_at_keys(node, command, argv, argc);
    if (!keys.one_slot || (of->transaction_slot != ARGUMENT_NOT_PLACED && of->transaction_slot != keys.slot))
        return ERROR_CROSS_SLOT;
    of->transaction_slot = keys.slot;
    if (command->flags & COMMAND_WRITE)
        note_written(node, session, keys.slot);
    return NULL;
}
