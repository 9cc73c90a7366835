/* quorum.c - what a command wants of other copies; writes that are executed, and replies that wait for acknowledgements.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/holders.h"
#include "node/peers.h"
#include "node/quorum_inside.h"
#include "node/replicate.h"
#include "node/transaction.h"

#include <stdarg.h>
#include <stdio.h>

/* A reply up to this has its room before its command is executed: it cannot get lost. */
#define REPLY_ROOM 64
/* A buffer for replies that grew beyond this is given back. */
#define OUT_KEPT_MAX (256 * 1024)
/* So many sets of holders a command is about without memory of its own. */
#define NEEDS_FIRST 8

/* One peer, as all replies of a turn look at it. */
struct group_peer {
    uint16_t member;
    struct peer_link *out; /* that was told */
    uint64_t frame;        /* that it has to acknowledge; UINT64_MAX: it could not be sent */
    uint64_t losses;       /* of the peer, when it was first told something */
    bool must_agree; /* something sent before may have been lost: a part of a value may not fit what it has */
    bool has_acknowledged, has_agreed; /* when this was looked at last */
};

/* The replies of one turn. */
struct quorum_group {
    struct list_node link; /* quorums->groups */
    struct list replies;   /* struct held_reply */
    uint64_t begun;        /* cluster->moments */
    uint64_t begun_ms, deadline_ms;
    uint32_t peer_count, peer_capacity;
    struct group_peer peers[];
};

/* The copies of a slot that were told. */
struct need {
    uint16_t note; /* ledger->notes of the slot: slots of the same holders are looked at together */
    uint16_t slot;
    uint8_t count, wanted; /* wanted: how many of them have to acknowledge */
    bool counts_own;
    uint16_t peers[RING_COPIES_MAX]; /* members; in a held reply: of group->peers */
};

struct held_reply {
    struct list_node link; /* group->replies */
    struct quorum_target target;
    unsigned writes; /* W */
    bool has_patch;  /* a part of a value was told */
    uint32_t need_count, room;
    size_t size;
    struct need needs[]; /* behind them the reply */
};

/* What a command needs, while that is found out. */
struct needs {
    struct node *node;
    unsigned writes;
    struct mem *mem;
    struct need *at;
    uint32_t count, capacity;
    bool has_no_memory;
    struct need first[NEEDS_FIRST];
};

/* ---- Settings ---- */

bool quorum_begin(struct node *node) {
    struct quorums *quorums = mem_alloc_zeroed(node->mem, sizeof *quorums);
    if (quorums == NULL)
        return false;
    list_init(&quorums->groups);
    list_init(&quorums->gathers);
    buffer_init(&quorums->out, node->mem);
    node->cluster->quorums = quorums;
    quorum_apply_settings(node);
    return true;
}

void quorum_apply_settings(struct node *node) {
    if (node->cluster == NULL || node->cluster->quorums == NULL)
        return;
    const struct config *config = node->config;
    struct quorums *quorums = node->cluster->quorums;
    struct quorum_facts *facts = &quorums->facts;
    facts->copies = config->replication_factor;
    facts->read = config_read_quorum(config);
    facts->write = config_write_quorum(config);
    quorums->is_sloppy = config->sloppy_quorum;
    quorums->is_regular = !config->sloppy_quorum && facts->read + facts->write > facts->copies;
    quorums->timeout_ms = config->quorum_timeout_ms;
    quorums->sign_every_ms = config->failover_timeout_ms / 3 + 1;
    quorums->wants_majority = config->partition_mode == PARTITION_MAJORITY;
    bool by_settings = facts->read > 1 || facts->write > 1 || quorums->wants_majority;
    bool is_wanted = by_settings || quorums->is_wanted_by_session;
    node->has_quorum = by_settings || !list_is_empty(&quorums->gathers);
    if (is_wanted == quorums->is_wanted)
        return;
    quorums->is_wanted = is_wanted;
    node->cluster->must_update = node->cluster->must_route = true;
}

unsigned quorum_least(const struct node *node) {
    const struct quorum_facts *facts = &node->cluster->quorums->facts;
    if (!node->cluster->quorums->is_regular)
        return 0;
    return facts->read < facts->write ? facts->read : facts->write;
}

bool quorum_is_wanted(const struct node *node) {
    return node->cluster->quorums->is_wanted;
}

void quorum_read_facts(const struct node *node, struct quorum_facts *facts) {
    *facts = node->cluster->quorums->facts;
}

unsigned quorum_reads(const struct node *node, unsigned flags) {
    unsigned reads = FORWARD_READ_QUORUM(flags);
    return reads != 0 ? reads : node->cluster->quorums->facts.read;
}

/* ---- What a command is ---- */

/* Whether a write does not depend on what was there. */
static bool is_blind(const struct command *command, const struct argument *argv, uint32_t argc) {
    static const char *const conditions[] = {"nx", "xx", "get", "keepttl"};
    switch (command->id) {
    case COMMAND_ID_SETEX:
    case COMMAND_ID_PSETEX:
    case COMMAND_ID_MSET: return true;
    case COMMAND_ID_SET: break;
    default: return false;
    }
    for (uint32_t i = 3; i < argc; i++) /* a number behind EX and the like is none of these words */
        for (unsigned k = 0; k < sizeof conditions / sizeof conditions[0]; k++)
            if (argument_is(&argv[i], conditions[k]))
                return false;
    return true;
}

struct agreement {
    const struct node *node;
    bool is_known; /* this node knows all that the other copies have */
};

static void look_at_agreement(void *context, struct argument *key) {
    struct agreement *agreement = context;
    const struct cluster *cluster = agreement->node->cluster;
    const struct holder_set *set = holders_of(cluster, agreement->node->keyspace->ledger, key->slot);
    /* Who executes in the place of one that it passes over has not been compared for that: what this one has written lately is not known. */
    if (cluster_coordinator(cluster, key->slot) != ROUTE_SELF)
        agreement->is_known = false;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct peer *peer = cluster_peer(cluster, set->members[i]);
        if (peer == NULL)
            continue;
        if (peer_is_reached(peer) ? !peer->is_agreed : cluster_is_up(cluster, set->members[i]))
            agreement->is_known = false;
    }
}

/* Whether a write that does not depend on what was there may be stamped without a look at other copies: what they have is known, so the
 * stamp is above it. It is not where this node has come to coordinate, or has lost a link, and has not compared since; nor while another
 * holder lives that only others can reach: it may coordinate, too, by a clock that is ahead of this one's, and the others have that. */
static bool is_surely_newest(struct node *node, const struct command *command, unsigned flags,
                             struct argument *argv, uint32_t argc) {
    struct agreement agreement = {.node = node, .is_known = true};
    quorum_each_key(node, command, flags, argv, argc, look_at_agreement, &agreement);
    return agreement.is_known;
}

struct own_look {
    const struct node *node;
    bool counts; /* the own copies of all keys */
};

static void look_at_own(void *context, struct argument *key) {
    struct own_look *look = context;
    look->counts = look->counts && quorum_counts_own(look->node, key->slot);
}

/* Without stand-ins one copy is a home copy in agreement, too: whoever has none asks for it. */
static bool own_copies_count(struct node *node, const struct command *command, unsigned flags,
                             struct argument *argv, uint32_t argc) {
    struct own_look look = {.node = node, .counts = true};
    if (!node->cluster->quorums->is_sloppy)
        quorum_each_key(node, command, flags, argv, argc, look_at_own, &look);
    return look.counts;
}

static void ignore_key(void *context, struct argument *key) {
    (void)context;
    (void)key;
}

static struct quorum_wish wish_of(struct node *node, const struct command *command, unsigned flags,
                                  struct argument *argv, uint32_t argc) {
    const struct quorum_facts *facts = &node->cluster->quorums->facts;
    unsigned writes = FORWARD_WRITE_QUORUM(flags) != 0 ? FORWARD_WRITE_QUORUM(flags) : facts->write;
    uint32_t command_flags = command->flags;
    struct quorum_wish wish = {.reads = quorum_reads(node, flags), .writes = 1};
    wish.is_part = flags & FORWARD_PART;
    if (flags & FORWARD_EXEC)
        wish.is_nonsense = !transaction_look(node, argv, argc, &command_flags, ignore_key, NULL);
    wish.is_write = command_flags & COMMAND_WRITE;
    if (wish.is_write)
        wish.writes = writes;
    if (wish.is_part || wish.is_nonsense || command_flags == 0) {
        wish.reads = 1;
    } else if (wish.reads > 1 && !(flags & FORWARD_EXEC)) {
        bool is_blind_write = wish.is_write && is_blind(command, argv, argc);
        if (is_blind_write && is_surely_newest(node, command, flags, argv, argc))
            wish.reads = 1;
    }
    bool has_keys = !wish.is_part && !wish.is_nonsense && command_flags != 0;
    wish.must_look = wish.reads > 1 || (has_keys && !own_copies_count(node, command, flags, argv, argc));
    return wish;
}

/* One slot for each set of holders. */
static void each_set(struct node *node, quorum_visit *visit, void *context) {
    const struct cluster *cluster = node->cluster;
    uint64_t seen[SLOT_COUNT / 64] = {0};
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        uint32_t number = node->keyspace->ledger->notes[slot] & SLOT_NOTE_MASK;
        if (!slot_set_has(cluster_spoken(cluster), slot) || seen[number / 64] >> number % 64 & 1)
            continue;
        seen[number / 64] |= UINT64_C(1) << number % 64;
        struct argument place = {.slot = slot};
        visit(context, &place);
    }
}

void quorum_each_key(struct node *node, const struct command *command, unsigned flags, struct argument *argv,
                     uint32_t argc, quorum_visit *visit, void *context) {
    uint32_t command_flags;
    if (flags & FORWARD_EXEC) {
        (void)transaction_look(node, argv, argc, &command_flags, visit, context);
        return;
    }
    if (flags & FORWARD_PART) {
        each_set(node, visit, context);
        return;
    }
    int last = command_last_key(command, argc);
    for (int i = command->first_key; i > 0 && i <= last; i += command->key_step) {
        keyspace_place(node->keyspace, &argv[i]);
        visit(context, &argv[i]);
        if (command->key_step == 0)
            return;
    }
}

/* ---- Answers ---- */

void quorum_deliver(struct node *node, const struct quorum_target *target, const uint8_t *reply,
                    size_t size) {
    if (target->to != NULL) {
        if (!forward_append_answer(&target->to->replies, target->number, reply, size))
            link_end(target->to->link, "no memory");
        peers_raise(node, target->to);
    } else if (target->sink.take != NULL && size == 0) {
        quorum_deliver_error(node, target, "-%s", ERROR_NOBODY);
    } else if (target->sink.take != NULL) {
        target->sink.take(node, target->sink.target, target->sink.part, reply, size);
    }
}

static void deliver_line(struct node *node, const struct quorum_target *target, const char *format,
                         va_list arguments) {
    char line[256];
    int size = vsnprintf(line, sizeof line - 2, format, arguments);
    if (size > (int)sizeof line - 3)
        size = (int)sizeof line - 3;
    memcpy(line + size, "\r\n", 2);
    quorum_deliver(node, target, (const uint8_t *)line, (size_t)size + 2);
}

void quorum_deliver_error(struct node *node, const struct quorum_target *target, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    deliver_line(node, target, format, arguments);
    va_end(arguments);
}

void quorum_refuse(struct node *node, const struct quorum_target *target, unsigned flags, const char *format,
                   ...) {
    va_list arguments;
    va_start(arguments, format);
    if (flags & FORWARD_REPEATED)
        quorum_deliver_error(node, target, "-%s", ERROR_INDETERMINATE);
    else
        deliver_line(node, target, format, arguments);
    va_end(arguments);
}

/* ---- Before a write ---- */

/* The others that are told of a slot's writes now, and whose word counts: that of a newcomer does when it is settled, as for reads. */
static uint32_t reachable_copies(const struct node *node, uint32_t slot, uint16_t members[RING_COPIES_MAX]) {
    const struct cluster *cluster = node->cluster;
    const struct holder_set *set = holders_of(cluster, node->keyspace->ledger, slot);
    uint32_t count = 0;
    for (uint32_t i = 0; i < set->count && count < RING_COPIES_MAX; i++) {
        const struct peer *peer = cluster_peer(cluster, set->members[i]);
        if (peer != NULL && peer_is_reached(peer) &&
            !(cluster->quorums->is_regular && cluster_is_newcomer(cluster, set->members[i])))
            members[count++] = set->members[i];
    }
    if (UNLIKELY(set->stand_in_count != 0) && cluster->quorums->is_sloppy && count < RING_COPIES_MAX) {
        uint16_t stand_ins[RING_COPIES_MAX];
        uint32_t more = holders_stand_ins(node, slot, stand_ins);
        for (uint32_t i = 0; i < more && count < RING_COPIES_MAX; i++)
            members[count++] = stand_ins[i];
    }
    return count;
}

static bool grow(struct needs *needs) {
    uint32_t capacity = needs->capacity * 2;
    struct need *at = mem_alloc(needs->mem, capacity * sizeof *at);
    if (at == NULL)
        return false;
    memcpy(at, needs->at, needs->count * sizeof *at);
    if (needs->at != needs->first)
        mem_free(needs->mem, needs->at, needs->capacity * sizeof *at);
    needs->at = at;
    needs->capacity = capacity;
    return true;
}

static void add_need(void *context, struct argument *key) {
    struct needs *needs = context;
    struct node *node = needs->node;
    uint16_t note = node->keyspace->ledger->notes[key->slot];
    for (uint32_t i = 0; i < needs->count; i++)
        if (needs->at[i].note == note)
            return;
    if (needs->count == needs->capacity && !grow(needs)) {
        needs->has_no_memory = true;
        return;
    }
    struct need *need = &needs->at[needs->count++];
    *need = (struct need){.note = note, .slot = (uint16_t)key->slot};
    need->count = (uint8_t)reachable_copies(node, key->slot, need->peers);
    need->counts_own = slot_set_has(&node->cluster->held, key->slot) || node->cluster->quorums->is_sloppy;
    need->wanted = (uint8_t)(needs->writes - need->counts_own);
}

/* The copies that are there for the slot where there are fewest; whether that is enough. */
static bool are_enough(const struct needs *needs, unsigned *reachable) {
    bool is_enough = true;
    *reachable = UINT8_MAX;
    for (uint32_t i = 0; i < needs->count; i++) {
        const struct need *need = &needs->at[i];
        unsigned copies = (unsigned)need->count + need->counts_own;
        *reachable = copies < *reachable ? copies : *reachable;
        is_enough = is_enough && need->count >= need->wanted;
    }
    return is_enough;
}

static bool is_minority(const struct node *node) {
    const struct cluster *cluster = node->cluster;
    return cluster->quorums->wants_majority &&
           membership_live_count(cluster->membership) * 2 <= cluster->ring_count;
}

/* ---- Replies that wait ---- */

static void release_needs(struct needs *needs) {
    if (needs->at != needs->first)
        mem_free(needs->mem, needs->at, needs->capacity * sizeof *needs->at);
}

static size_t held_size(const struct held_reply *held) {
    return sizeof *held + held->need_count * sizeof *held->needs + held->room;
}

static uint8_t *held_bytes(struct held_reply *held) {
    return (uint8_t *)&held->needs[held->need_count];
}

static void free_held(struct node *node, struct held_reply *held) {
    mem_free(node->mem, held, held_size(held));
}

static void free_group(struct node *node, struct quorum_group *group) {
    mem_free(node->mem, group, sizeof *group + group->peer_capacity * sizeof *group->peers);
}

/* The group of this turn. NULL: no memory. */
static struct quorum_group *open_group(struct node *node) {
    struct cluster *cluster = node->cluster;
    struct quorums *quorums = cluster->quorums;
    if (quorums->open != NULL)
        return quorums->open;
    uint32_t capacity = 0;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++)
        capacity += cluster->peers[i] != NULL;
    struct quorum_group *group = mem_alloc_zeroed(node->mem, sizeof *group + capacity * sizeof *group->peers);
    if (group == NULL)
        return NULL;
    list_init(&group->replies);
    group->begun = ++cluster->moments;
    group->begun_ms = node->monotonic_ms;
    group->deadline_ms = node->monotonic_ms + quorums->timeout_ms;
    group->peer_capacity = capacity;
    uint64_t next_ms = node->monotonic_ms + quorums->sign_every_ms;
    next_ms = next_ms < group->deadline_ms ? next_ms : group->deadline_ms;
    if (cluster->next_work_ms > next_ms)
        cluster->next_work_ms = next_ms;
    return quorums->open = group;
}

/* Where a member stands among a group's peers, before it is told something; UINT32_MAX: it does not count. */
static uint32_t find_in_group(struct node *node, struct quorum_group *group, uint16_t member) {
    const struct peer *peer = cluster_peer(node->cluster, member);
    for (uint32_t i = 0; i < group->peer_count; i++)
        if (group->peers[i].member == member)
            return group->peers[i].out == peer->out ? i : UINT32_MAX;
    if (group->peer_count == group->peer_capacity)
        return UINT32_MAX; /* it was met in this very turn */
    group->peers[group->peer_count] =
        (struct group_peer){.member = member,
                            .out = peer->out,
                            .frame = UINT64_MAX,
                            .losses = peer->losses,
                            .must_agree = peer->must_compare || !peer->is_agreed};
    return group->peer_count++;
}

/* Everything that a reply needs to wait, before its command is executed. NULL: no memory. */
static struct held_reply *prepare(struct node *node, const struct needs *needs,
                                  const struct quorum_target *target) {
    struct quorum_group *group = open_group(node);
    size_t size = sizeof(struct held_reply) + needs->count * sizeof(struct need) + REPLY_ROOM;
    struct held_reply *held = group == NULL ? NULL : mem_alloc(node->mem, size);
    if (held == NULL)
        return NULL;
    *held = (struct held_reply){
        .target = *target, .writes = needs->writes, .need_count = needs->count, .room = REPLY_ROOM};
    memcpy(held->needs, needs->at, needs->count * sizeof *needs->at);
    for (uint32_t i = 0; i < held->need_count; i++) {
        struct need *need = &held->needs[i];
        uint8_t count = 0;
        for (uint32_t k = 0; k < need->count; k++) {
            uint32_t at = find_in_group(node, group, need->peers[k]);
            if (at != UINT32_MAX)
                need->peers[count++] = (uint16_t)at;
        }
        need->count = count;
    }
    return held;
}

/* A reply that is longer than most. false: no memory. */
static bool make_room(struct node *node, struct held_reply **held, size_t size) {
    if (size <= (*held)->room)
        return true;
    size_t old_size = held_size(*held);
    struct held_reply *longer = mem_resize(node->mem, *held, old_size, old_size - (*held)->room + size);
    if (longer == NULL || size > UINT32_MAX)
        return false;
    longer->room = (uint32_t)size;
    *held = longer;
    return true;
}

/* How many copies have the write, of the slot where there are fewest; whether that is enough. */
static bool is_acknowledged(const struct cluster *cluster, const struct quorum_group *group,
                            const struct held_reply *held, unsigned *copies) {
    bool is_enough = true;
    *copies = UINT8_MAX;
    for (uint32_t i = 0; i < held->need_count; i++) {
        const struct need *need = &held->needs[i];
        unsigned count = 0;
        for (uint32_t k = 0; k < need->count; k++) {
            const struct group_peer *of = &group->peers[need->peers[k]];
            const struct peer *peer = cluster_peer(cluster, of->member);
            bool fits = !held->has_patch || !of->must_agree || (peer != NULL && peer->is_agreed);
            count += (of->has_acknowledged && fits) ||
                     (of->has_agreed && peer != NULL && slot_set_has(&peer->asked, need->slot));
        }
        is_enough = is_enough && count >= need->wanted;
        if (count + need->counts_own < *copies)
            *copies = count + need->counts_own;
    }
    return is_enough;
}

/* Looks at a group's peers anew. Returns whether anything is different. */
static bool look_at_peers(const struct cluster *cluster, struct quorum_group *group) {
    bool is_new = false;
    for (uint32_t i = 0; i < group->peer_count; i++) {
        struct group_peer *of = &group->peers[i];
        const struct peer *peer = cluster_peer(cluster, of->member);
        bool is_linked = peer != NULL && peer_is_linked(peer);
        /* What was acknowledged once stays so. */
        bool has_acknowledged =
            of->has_acknowledged || (is_linked && peer->out == of->out && of->frame != UINT64_MAX &&
                                     link_acknowledged_number(peer->out->link) >= of->frame);
        bool has_agreed = peer != NULL && peer->is_agreed && peer->agreed_begun > group->begun;
        is_new = is_new || has_acknowledged != of->has_acknowledged || has_agreed != of->has_agreed;
        of->has_acknowledged = has_acknowledged;
        of->has_agreed = has_agreed;
    }
    return is_new;
}

/* Answers what has come to an end. */
static void work_on_group(struct node *node, struct quorum_group *group, bool is_over) {
    struct quorums *quorums = node->cluster->quorums;
    LIST_FOR_EACH(link, &group->replies) {
        struct held_reply *held = LIST_ENTRY(link, struct held_reply, link);
        unsigned copies;
        bool is_enough = is_acknowledged(node->cluster, group, held, &copies);
        if (!is_enough && !is_over)
            continue;
        list_remove(link);
        if (is_enough) {
            quorum_deliver(node, &held->target, held_bytes(held), held->size);
        } else {
            quorums->facts.timeouts++;
            quorum_deliver_error(node, &held->target,
                                 "-INDETERMINATE %u of %u copies have acknowledged the write", copies,
                                 held->writes);
        }
        free_held(node, held);
    }
}

static void end_group(struct node *node, struct quorum_group *group) {
    struct quorums *quorums = node->cluster->quorums;
    if (quorums->open == group)
        quorums->open = NULL;
    else
        list_remove(&group->link);
    free_group(node, group);
}

void quorum_end_turn(struct node *node) {
    struct cluster *cluster = node->cluster;
    struct quorum_group *group = cluster->quorums->open;
    if (LIKELY(group == NULL))
        return;
    if (list_is_empty(&group->replies)) {
        end_group(node, group);
        return;
    }
    cluster->quorums->open = NULL;
    list_append(&cluster->quorums->groups, &group->link);
    for (uint32_t i = 0; i < group->peer_count; i++) {
        struct group_peer *of = &group->peers[i];
        struct peer *peer = cluster_peer(cluster, of->member);
        if (!peer_is_linked(peer) || peer->out != of->out || peer->losses != of->losses)
            continue;
        bool is_marked = entries_add_mark(&peer->records, ++peer->marks);
        replicate_send(node, peer);
        if (is_marked && peer_is_linked(peer) && peer->losses == of->losses)
            of->frame = link_last_number(peer->out->link);
    }
}

/* ---- Signs of life ---- */

void quorum_give_sign(struct node *node, struct peer_link *link) {
    link_give_sign(link->link);
    peers_raise(node, link);
}

/* Whoever waits for an answer takes silence for an end (node/failover.h). Returns the milliseconds to the next sign. */
static uint32_t give_signs(struct node *node) {
    struct quorums *quorums = node->cluster->quorums;
    if (list_is_empty(&quorums->groups) && list_is_empty(&quorums->gathers))
        return UINT32_MAX;
    if (node->monotonic_ms < quorums->next_sign_ms) {
        uint64_t left_ms = quorums->next_sign_ms - node->monotonic_ms;
        return left_ms < quorums->sign_every_ms ? (uint32_t)left_ms : quorums->sign_every_ms;
    }
    quorums->next_sign_ms = node->monotonic_ms + quorums->sign_every_ms;
    uint64_t before_ms = node->monotonic_ms - quorums->sign_every_ms / 2;
    LIST_FOR_EACH(link, &quorums->groups) {
        struct quorum_group *group = LIST_ENTRY(link, struct quorum_group, link);
        if (group->begun_ms > before_ms)
            break;
        LIST_FOR_EACH(at, &group->replies) {
            struct held_reply *held = LIST_ENTRY(at, struct held_reply, link);
            if (held->target.to != NULL)
                quorum_give_sign(node, held->target.to);
        }
    }
    quorum_gather_give_sign(node, before_ms);
    return quorums->sign_every_ms;
}

bool quorum_waits(const struct node *node) {
    return !list_is_empty(&node->cluster->quorums->groups);
}

bool quorum_is_busy(const struct node *node) {
    const struct quorums *quorums = node->cluster->quorums;
    return quorums->open != NULL || quorum_waits(node) || !list_is_empty(&quorums->gathers);
}

uint32_t quorum_work(struct node *node) {
    struct quorums *quorums = node->cluster->quorums;
    uint64_t first_ms = UINT64_MAX;
    uint32_t gather_ms = quorum_gather_work(node);
    quorum_run(node);
    LIST_FOR_EACH(link, &quorums->groups) {
        struct quorum_group *group = LIST_ENTRY(link, struct quorum_group, link);
        bool is_over = node->monotonic_ms >= group->deadline_ms;
        if (look_at_peers(node->cluster, group) || is_over)
            work_on_group(node, group, is_over);
        if (list_is_empty(&group->replies))
            end_group(node, group);
        else if (group->deadline_ms < first_ms)
            first_ms = group->deadline_ms;
    }
    uint64_t left_ms = first_ms == UINT64_MAX ? UINT32_MAX : first_ms - node->monotonic_ms;
    uint32_t sign_ms = give_signs(node);
    gather_ms = sign_ms < gather_ms ? sign_ms : gather_ms;
    return left_ms < gather_ms ? (uint32_t)left_ms : gather_ms;
}

static void forget_in_group(struct quorum_group *group, const struct peer_link *peer_link) {
    LIST_FOR_EACH(link, &group->replies) {
        struct held_reply *held = LIST_ENTRY(link, struct held_reply, link);
        if (held->target.to == peer_link)
            held->target = (struct quorum_target){.to = NULL};
    }
    /* What comes at the same address later is another link. */
    for (uint32_t i = 0; i < group->peer_count; i++)
        if (group->peers[i].out == peer_link)
            group->peers[i].out = NULL;
}

void quorum_forget_link(struct node *node, const struct peer_link *peer_link) {
    struct quorums *quorums = node->cluster->quorums;
    LIST_FOR_EACH(link, &quorums->groups)
    forget_in_group(LIST_ENTRY(link, struct quorum_group, link), peer_link);
    if (quorums->open != NULL)
        forget_in_group(quorums->open, peer_link);
    quorum_gather_forget_link(node, peer_link);
}

void quorum_release(struct node *node) {
    struct quorums *quorums = node->cluster->quorums;
    if (quorums == NULL)
        return;
    quorum_gather_release(node);
    if (quorums->open != NULL) {
        list_append(&quorums->groups, &quorums->open->link);
        quorums->open = NULL;
    }
    LIST_FOR_EACH(link, &quorums->groups) {
        work_on_group(node, LIST_ENTRY(link, struct quorum_group, link), true);
        end_group(node, LIST_ENTRY(link, struct quorum_group, link));
    }
    mem_free(node->mem, quorums->gathers_of_slot, SLOT_COUNT * sizeof *quorums->gathers_of_slot);
    buffer_release(&quorums->out);
    mem_free(node->mem, quorums, sizeof *quorums);
    node->cluster->quorums = NULL;
}

/* ---- Executing ---- */

/* The reply goes, or waits. Frees `held`, or keeps it. */
static void finish(struct node *node, struct held_reply *held, const struct quorum_target *target,
                   const struct buffer *out, bool must_wait) {
    struct quorums *quorums = node->cluster->quorums;
    if (!must_wait) {
        if (held != NULL)
            free_held(node, held);
        quorum_deliver(node, target, out->data, out->size);
        return;
    }
    if (!make_room(node, &held, out->size)) {
        free_held(node, held);
        quorum_deliver_error(node, target,
                             "-INDETERMINATE executed, but there was no memory to wait for other copies");
        return;
    }
    memcpy(held_bytes(held), out->data, out->size);
    held->size = out->size;
    quorums->facts.waits++;
    list_append(&quorums->open->replies, &held->link);
}

static void run(struct node *node, const struct command *command, unsigned flags, struct argument *argv,
                uint32_t argc, struct held_reply *held, const struct quorum_target *target) {
    struct cluster *cluster = node->cluster;
    struct quorums *quorums = cluster->quorums;
    uint64_t told = cluster->effects_told, patches = cluster->patches_told;
    struct buffer own, *out = &quorums->out;
    bool is_inner = quorums->out_is_used;
    if (is_inner) {
        buffer_init(&own, node->mem);
        out = &own;
    }
    quorums->out_is_used = true;
    buffer_clear(out);
    route_run(node, command, flags, argv, argc, out);
    if (held != NULL)
        held->has_patch = cluster->patches_told != patches;
    finish(node, held, target, out, held != NULL && out->size != 0 && cluster->effects_told != told);
    quorums->out_is_used = is_inner;
    if (is_inner || out->capacity > OUT_KEPT_MAX)
        buffer_release(out);
}

void quorum_execute_now(struct node *node, const struct command *command, unsigned flags,
                        struct argument *argv, uint32_t argc, const struct quorum_wish *wish,
                        const struct quorum_target *target) {
    struct quorums *quorums = node->cluster->quorums;
    if (wish->is_write && UNLIKELY(is_minority(node))) {
        quorums->facts.refused++;
        quorum_refuse(node, target, flags,
                      "-NOQUORUM this node sees %u of %u nodes: too few to write; it was not executed",
                      membership_live_count(node->cluster->membership), node->cluster->ring_count);
        return;
    }
    if (wish->writes <= 1) {
        run(node, command, flags, argv, argc, NULL, target);
        return;
    }
    struct needs needs = {.node = node, .writes = wish->writes, .mem = node->mem, .capacity = NEEDS_FIRST};
    needs.at = needs.first;
    quorum_each_key(node, command, flags, argv, argc, add_need, &needs);
    unsigned reachable;
    if (needs.has_no_memory) {
        quorum_deliver_error(node, target, "-%s", ERROR_NO_MEMORY);
    } else if (!are_enough(&needs, &reachable)) {
        quorums->facts.refused++;
        quorum_refuse(node, target, flags,
                      "-NOQUORUM %u of the %u copies that a write needs can be reached; it was not executed",
                      reachable, wish->writes);
    } else {
        struct held_reply *held = prepare(node, &needs, target);
        if (held == NULL)
            quorum_deliver_error(node, target, "-%s", ERROR_NO_MEMORY);
        else
            run(node, command, flags, argv, argc, held, target);
    }
    release_needs(&needs);
}

void quorum_execute(struct node *node, const struct command *command, unsigned flags, struct argument *argv,
                    uint32_t argc, const struct quorum_target *target) {
    struct quorum_wish wish = wish_of(node, command, flags, argv, argc);
    if (quorum_must_gather(node, command, flags, argv, argc, &wish))
        quorum_gather(node, command, flags, argv, argc, &wish, target);
    else
        quorum_execute_now(node, command, flags, argv, argc, &wish, target);
}
