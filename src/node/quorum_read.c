/* quorum_read.c - commands that look at other copies first: questions, answers, the order of commands on a slot, read repair.
 *
 * A question names keys, and the digest of what this node has of each (0: nothing). The answer: a byte, 1 if this copy is in agreement
 * (then it counts); for each key the digest of what the other has; and as entries (cluster/entries.h), with actors of their own, the
 * records of those keys whose digests differ, and the flushes of their slots.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/cursor.h"
#include "base/encode.h"
#include "base/load.h"
#include "node/holders.h"
#include "node/peers.h"
#include "node/quorum_inside.h"
#include "node/replicate.h"
#include "node/transaction.h"

/* Copies that have not answered for so long: all others are asked, too. */
#define HEDGE_MS    100
#define DIGEST_SIZE 8

/* One key of a command. */
struct gathered_key {
    struct argument *key;  /* of gather->argv, placed */
    uint64_t digest;       /* of what this node had when it asked */
    bool was_changed;      /* by what another copy had */
    uint8_t missing;       /* answers that are still needed */
    uint8_t count;         /* of members: those that may be asked */
    uint8_t asked, to_ask; /* one bit for each */
    uint16_t members[RING_COPIES_MAX];
};

/* A command that waits for other copies, or for a command before it. */
struct gather_command {
    struct list_node link; /* quorums->gathers */
    struct quorum_target target;
    const struct command *command;
    unsigned flags;
    struct quorum_wish wish;
    struct awaited kept; /* its arguments' bytes */
    struct argument *argv;
    uint32_t argc;
    struct list fetches; /* struct fetch: asked, or answered */
    uint32_t outstanding;
    uint64_t begun_ms, deadline_ms, hedge_ms;
    bool is_ready, was_hedged, is_late;
    uint32_t key_count;
    struct gathered_key keys[];
};

/* A question to one peer. */
struct fetch {
    struct awaited awaited;        /* first: it is found by this */
    struct list_node link;         /* gather->fetches */
    struct gather_command *gather; /* NULL: nobody wants the answer any more */
    bool is_answered;
    uint16_t member;
    uint32_t count;
    struct {
        uint32_t key;    /* of gather->keys */
        uint64_t digest; /* of what the peer has, if is_answered */
    } keys[];
};

static uint64_t digest_of(struct node *node, struct argument *key) {
    const struct record *record = keyspace_find_record(node->keyspace, key);
    return record == NULL ? 0 : ledger_record_digest(node->keyspace, key->hash, record);
}

/* ---- Which commands wait ---- */

struct slot_look {
    const struct quorums *quorums;
    bool is_busy;
};

static void look_at_slot(void *context, struct argument *key) {
    struct slot_look *look = context;
    look->is_busy = look->is_busy || look->quorums->gathers_of_slot[key->slot] != 0;
}

bool quorum_must_gather(const struct node *node, const struct command *command, unsigned flags,
                        struct argument *argv, uint32_t argc, const struct quorum_wish *wish) {
    const struct quorums *quorums = node->cluster->quorums;
    if (wish->must_look)
        return true;
    if (LIKELY(list_is_empty(&quorums->gathers)))
        return false;
    if (wish->is_part && node->cluster->spoken != NULL)
        return false; /* who coordinates has changed: the slots that it is about are known only now */
    if (wish->is_part || quorums->barriers != 0)
        return true;
    struct slot_look look = {.quorums = quorums};
    quorum_each_key((struct node *)(uintptr_t)node, command, flags, argv, argc, look_at_slot, &look);
    return look.is_busy;
}

/* ---- Whom to ask ---- */

bool quorum_counts_own(const struct node *node, uint32_t slot) {
    const struct cluster *cluster = node->cluster;
    return slot_set_has(&cluster->held, slot) ? cluster->is_settled : cluster->quorums->is_sloppy;
}

static void find_voters(const struct node *node, struct gathered_key *key, unsigned reads) {
    const struct cluster *cluster = node->cluster;
    const struct holder_set *set = holders_of(cluster, node->keyspace->ledger, key->key->slot);
    for (uint32_t i = 0; i < set->count && key->count < RING_COPIES_MAX; i++)
        if (cluster_may_read(cluster, set->members[i]))
            key->members[key->count++] = set->members[i];
    key->missing = (uint8_t)(reads - quorum_counts_own(node, key->key->slot));
}

/* How long an answer takes: what it took lately, and what waits there already. */
static uint64_t distance(const struct node *node, uint16_t member) {
    const struct peer *peer = cluster_peer(node->cluster, member);
    if (peer == NULL || !peer_is_reached(peer))
        return UINT64_MAX;
    return link_round_trip_us(peer->out->link) + 10 * (peer->awaited_next - peer->awaited_first);
}

/* Chooses so many more members of a key, the nearest. */
static void choose(const struct node *node, struct gathered_key *key, unsigned wanted) {
    for (; wanted != 0; wanted--) {
        uint64_t least = UINT64_MAX;
        unsigned best = RING_COPIES_MAX;
        for (unsigned i = 0; i < key->count; i++) {
            uint64_t far = (key->asked | key->to_ask) >> i & 1 ? UINT64_MAX : distance(node, key->members[i]);
            if (far < least) {
                least = far;
                best = i;
            }
        }
        if (best == RING_COPIES_MAX)
            return;
        key->to_ask = (uint8_t)(key->to_ask | 1u << best);
    }
}

/* ---- Asking ---- */

static void fetched(struct node *node, struct awaited *awaited, enum forward_outcome outcome,
                    const uint8_t *reply, size_t size);

static size_t fetch_size(const struct fetch *fetch) {
    return sizeof *fetch + fetch->count * sizeof fetch->keys[0];
}

/* The bit of a member that a key is to be asked for; 0: it is not. */
static uint8_t bit_to_ask(const struct gathered_key *key, uint16_t member) {
    for (unsigned i = 0; i < key->count; i++)
        if (key->members[i] == member)
            return (uint8_t)(key->to_ask & 1u << i);
    return 0;
}

/* Marks the keys that this member is to be asked for as asked, from key `first` on; they are listed in `fetch` if there is one.
 * Returns their number. */
static uint32_t take_keys(struct gather_command *gather, uint32_t first, uint16_t member,
                          struct fetch *fetch) {
    uint32_t count = 0;
    for (uint32_t i = first; i < gather->key_count; i++) {
        struct gathered_key *key = &gather->keys[i];
        uint8_t bit = bit_to_ask(key, member);
        if (bit == 0)
            continue;
        if (fetch != NULL) {
            fetch->keys[count].key = i;
            key->to_ask = (uint8_t)(key->to_ask & ~bit);
            key->asked |= bit;
        }
        count++;
    }
    return count;
}

static bool send_fetch(struct node *node, struct gather_command *gather, struct fetch *fetch) {
    size_t arguments_size = (fetch->count + 2) * sizeof(struct argument),
           digests_size = (size_t)fetch->count * DIGEST_SIZE;
    struct argument *argv = mem_alloc(node->mem, arguments_size);
    uint8_t *digests = mem_alloc(node->mem, digests_size);
    bool is_sent = false;
    if (argv != NULL && digests != NULL) {
        argv[0] = (struct argument){.data = (const uint8_t *)"FETCH", .size = 5};
        argv[1] = (struct argument){.data = digests, .size = (uint32_t)digests_size};
        for (uint32_t i = 0; i < fetch->count; i++) {
            const struct gathered_key *key = &gather->keys[fetch->keys[i].key];
            encode_fixed(digests + (size_t)i * DIGEST_SIZE, key->digest, DIGEST_SIZE);
            argv[i + 2] = *key->key;
        }
        struct peer *peer = cluster_peer(node->cluster, fetch->member);
        fetch->gather = gather;
        fetch->awaited.done = fetched;
        list_append(&gather->fetches, &fetch->link);
        gather->outstanding++;
        is_sent = forward_send(node, peer, FORWARD_FETCH, argv, fetch->count + 2, &fetch->awaited);
        if (!is_sent) {
            list_remove(&fetch->link);
            gather->outstanding--;
        }
    }
    mem_free(node->mem, argv, arguments_size);
    mem_free(node->mem, digests, digests_size);
    return is_sent;
}

/* Asks whoever was chosen. Who cannot be asked counts as one that does not answer. */
static void ask(struct node *node, struct gather_command *gather) {
    for (uint32_t i = 0; i < gather->key_count; i++) {
        struct gathered_key *key = &gather->keys[i];
        while (key->to_ask != 0) {
            uint16_t member = key->members[__builtin_ctz(key->to_ask)];
            uint32_t count = take_keys(gather, i, member, NULL);
            struct fetch *fetch = mem_alloc_zeroed(node->mem, sizeof *fetch + count * sizeof fetch->keys[0]);
            if (fetch == NULL) {
                key->asked |= key->to_ask;
                key->to_ask = 0;
                break;
            }
            fetch->member = member;
            fetch->count = count;
            take_keys(gather, i, member, fetch);
            if (!send_fetch(node, gather, fetch))
                mem_free(node->mem, fetch, fetch_size(fetch));
        }
    }
}

static void ask_first(struct node *node, struct gather_command *gather) {
    for (uint32_t i = 0; i < gather->key_count; i++) {
        struct gathered_key *key = &gather->keys[i];
        key->digest = digest_of(node, key->key);
        choose(node, key, key->missing);
    }
    ask(node, gather);
}

static void ask_all(struct node *node, struct gather_command *gather) {
    gather->was_hedged = true;
    for (uint32_t i = 0; i < gather->key_count; i++)
        if (gather->keys[i].missing != 0)
            choose(node, &gather->keys[i], RING_COPIES_MAX);
    ask(node, gather);
}

/* ---- Answers ---- */

/* Merges what a peer has. false: it makes no sense, or there is no memory. */
static bool merge(struct node *node, const uint8_t *data, size_t size) {
    struct entries_outcome *outcome = &node->cluster->outcome;
    struct entries_options options = {.keyspace = node->keyspace};
    struct entries_reader reader;
    entries_reader_init(&reader, node->mem);
    outcome->mark = outcome->own_incarnation = outcome->own_counter = 0;
    enum entries_status status = entries_apply(&reader, &options, data, size, outcome);
    entries_reader_release(&reader);
    buffer_clear(&outcome->fetches);
    buffer_clear(&outcome->answers);
    cluster_heed_outcome(node);
    return status == ENTRIES_APPLIED;
}

static bool take_answer(struct node *node, struct fetch *fetch, const uint8_t *reply, size_t size) {
    struct gather_command *gather = fetch->gather;
    struct cursor cursor = cursor_make(reply, size);
    bool is_vote = cursor_u8(&cursor) == 1;
    for (uint32_t i = 0; i < fetch->count; i++)
        fetch->keys[i].digest = cursor_u64(&cursor);
    if (cursor_failed(&cursor))
        return false;
    if (cursor_remaining(&cursor) != 0) {
        uint64_t *before = mem_alloc(node->mem, fetch->count * sizeof *before);
        if (before == NULL)
            return false;
        for (uint32_t i = 0; i < fetch->count; i++)
            before[i] = digest_of(node, gather->keys[fetch->keys[i].key].key);
        bool is_good = merge(node, cursor.position, cursor_remaining(&cursor));
        for (uint32_t i = 0; i < fetch->count; i++) {
            struct gathered_key *key = &gather->keys[fetch->keys[i].key];
            key->was_changed = key->was_changed || digest_of(node, key->key) != before[i];
        }
        mem_free(node->mem, before, fetch->count * sizeof *before);
        if (!is_good)
            return false;
    }
    for (uint32_t i = 0; is_vote && i < fetch->count; i++)
        if (gather->keys[fetch->keys[i].key].missing != 0)
            gather->keys[fetch->keys[i].key].missing--;
    return true;
}

/* A question has come to its end. */
static void fetched(struct node *node, struct awaited *awaited, enum forward_outcome outcome,
                    const uint8_t *reply, size_t size) {
    struct fetch *fetch = (struct fetch *)(void *)awaited;
    struct gather_command *gather = fetch->gather;
    forward_release(awaited);
    if (gather == NULL) {
        mem_free(node->mem, fetch, fetch_size(fetch));
        return;
    }
    gather->outstanding--;
    fetch->is_answered = outcome == FORWARD_DONE && take_answer(node, fetch, reply, size);
    if (!fetch->is_answered) {
        list_remove(&fetch->link);
        mem_free(node->mem, fetch, fetch_size(fetch));
    }
    node->cluster->quorums->must_run = true;
    node->cluster->must_wait_work = true;
}

void quorum_answer_fetch(struct node *node, struct peer_link *link, uint64_t number, struct argument *argv,
                         uint32_t argc) {
    const struct cluster *cluster = node->cluster;
    struct entries_writer writer;
    struct buffer answer, records;
    buffer_init(&answer, node->mem);
    buffer_init(&records, node->mem);
    entries_writer_init(&writer, node->mem);
    bool is_vote = cluster->is_settled;
    bool is_good = argc >= 2 && argv[1].size == (size_t)(argc - 2) * DIGEST_SIZE && !cluster->is_joining &&
                   !cluster->is_removed && !node->persistence.is_loading &&
                   buffer_reserve(&answer, 1 + (size_t)argv[1].size);
    for (uint32_t i = 2; is_good && i < argc; i++) {
        keyspace_place(node->keyspace, &argv[i]);
        const struct record *record = keyspace_find_record(node->keyspace, &argv[i]);
        uint64_t digest = record == NULL ? 0 : ledger_record_digest(node->keyspace, argv[i].hash, record);
        encode_fixed(answer.data + 1 + (size_t)(i - 2) * DIGEST_SIZE, digest, DIGEST_SIZE);
        is_vote = is_vote && slot_set_has(&cluster->held, argv[i].slot);
        /* What it has and is not here was flushed, perhaps. */
        if (digest != load_u64(argv[1].data + (size_t)(i - 2) * DIGEST_SIZE))
            is_good =
                entries_tell_flush(&writer, node->keyspace->ledger, &records, argv[i].slot) &&
                (record == NULL || entries_add_record(&writer, &node->keyspace->actors, &records, record));
    }
    if (is_good) {
        answer.data[0] = is_vote;
        answer.size = 1 + (size_t)argv[1].size;
        is_good = buffer_append(&answer, records.data, records.size);
    }
    /* Without bytes it says that nothing was done. */
    if (!forward_append_answer(&link->replies, number, answer.data, is_good ? answer.size : 0))
        link_end(link->link, "no memory");
    entries_writer_release(&writer);
    buffer_release(&records);
    buffer_release(&answer);
}

/* ---- Read repair ---- */

static void tell(struct node *node, uint16_t member, const struct record *record) {
    struct peer *peer = cluster_peer(node->cluster, member);
    if (peer == NULL || !peer_is_linked(peer))
        return;
    replicate_record(node, peer, record);
    node->cluster->quorums->facts.repairs++;
}

/* The record that a copy with this digest is to be told; NULL: none. What is gone is of no use where there never was anything. */
static const struct record *repair_of(struct node *node, const struct gathered_key *key, uint64_t theirs) {
    const struct record *record = keyspace_find_record(node->keyspace, key->key);
    if (record == NULL || ledger_record_digest(node->keyspace, key->key->hash, record) == theirs)
        return NULL;
    if (theirs == key->digest && !key->was_changed)
        return NULL; /* it was equal: what was written since is on its way to it */
    bool is_gone = record_type(record) == RECORD_TOMBSTONE ||
                   (record->flags & RECORD_EXPIRY && node->keyspace->now_ms > record_expiry_ms(record));
    return is_gone && theirs == 0 ? NULL : record;
}

/* Copies that have answered are told if they are behind; the others, if this one was. */
static void repair(struct node *node, struct gather_command *gather) {
    LIST_FOR_EACH(link, &gather->fetches) {
        struct fetch *fetch = LIST_ENTRY(link, struct fetch, link);
        for (uint32_t i = 0; fetch->is_answered && i < fetch->count; i++) {
            struct gathered_key *key = &gather->keys[fetch->keys[i].key];
            const struct record *record = repair_of(node, key, fetch->keys[i].digest);
            if (record != NULL)
                tell(node, fetch->member, record);
        }
    }
    for (uint32_t i = 0; i < gather->key_count; i++) {
        struct gathered_key *key = &gather->keys[i];
        const struct record *record =
            key->was_changed ? keyspace_find_record(node->keyspace, key->key) : NULL;
        for (unsigned k = 0; record != NULL && k < key->count; k++)
            if (!(key->asked >> k & 1))
                tell(node, key->members[k], record);
    }
}

/* ---- The commands that wait ---- */

static void free_gather(struct node *node, struct gather_command *gather) {
    LIST_FOR_EACH(link, &gather->fetches) {
        struct fetch *fetch = LIST_ENTRY(link, struct fetch, link);
        list_remove(link);
        if (fetch->is_answered)
            mem_free(node->mem, fetch, fetch_size(fetch));
        else
            fetch->gather = NULL; /* its answer will come */
    }
    mem_free(node->mem, gather->argv, gather->argc * sizeof *gather->argv);
    forward_release(&gather->kept);
    mem_free(node->mem, gather, sizeof *gather + gather->key_count * sizeof *gather->keys);
}

static void book(struct node *node, struct gather_command *gather, bool is_new) {
    struct quorums *quorums = node->cluster->quorums;
    for (uint32_t i = 0; i < gather->key_count; i++)
        quorums->gathers_of_slot[gather->keys[i].key->slot] += is_new ? 1 : (uint32_t)-1;
    if (gather->wish.is_part)
        quorums->barriers += is_new ? 1 : (uint32_t)-1;
    if (is_new)
        list_append(&quorums->gathers, &gather->link);
    else
        list_remove(&gather->link);
    quorum_apply_settings(node); /* while something waits, all commands come this way */
}

static void count_key(void *context, struct argument *key) {
    (void)key;
    ++*(uint32_t *)context;
}

static void add_key(void *context, struct argument *key) {
    struct gather_command *gather = context;
    gather->keys[gather->key_count++].key = key;
}

/* A copy of the command, with its keys. NULL: no memory. */
static struct gather_command *keep(struct node *node, const struct command *command, unsigned flags,
                                   struct argument *argv, uint32_t argc, const struct quorum_wish *wish,
                                   const struct quorum_target *target) {
    struct quorums *quorums = node->cluster->quorums;
    if (quorums->gathers_of_slot == NULL)
        quorums->gathers_of_slot = mem_alloc_zeroed(node->mem, SLOT_COUNT * sizeof *quorums->gathers_of_slot);
    uint32_t count = 0;
    if (!wish->is_part)
        quorum_each_key(node, command, flags, argv, argc, count_key, &count);
    struct gather_command *gather =
        mem_alloc_zeroed(node->mem, sizeof *gather + count * sizeof *gather->keys);
    if (gather == NULL || quorums->gathers_of_slot == NULL ||
        !forward_keep(node, argv, argc, &gather->kept)) {
        mem_free(node->mem, gather, sizeof *gather + count * sizeof *gather->keys);
        return NULL;
    }
    list_init(&gather->fetches);
    gather->target = *target;
    gather->command = command;
    gather->flags = flags;
    gather->wish = *wish;
    gather->begun_ms = node->monotonic_ms;
    gather->deadline_ms = node->monotonic_ms + quorums->timeout_ms;
    gather->hedge_ms = node->monotonic_ms + HEDGE_MS;
    if (forward_arguments(node, &gather->kept, &gather->argv, &gather->argc)) {
        if (!wish->is_part)
            quorum_each_key(node, command, flags, gather->argv, gather->argc, add_key, gather);
        CHECK(gather->key_count == count);
        return gather;
    }
    forward_release(&gather->kept);
    mem_free(node->mem, gather, sizeof *gather + count * sizeof *gather->keys);
    return NULL;
}

/* Finds who may answer. false: too few; *copies says how many there are of the slot that has the fewest. */
static bool has_voters(struct node *node, struct gather_command *gather, unsigned *copies) {
    bool is_enough = true;
    *copies = UINT8_MAX;
    for (uint32_t i = 0; i < gather->key_count; i++) {
        struct gathered_key *key = &gather->keys[i];
        find_voters(node, key, gather->wish.reads);
        unsigned there = key->count + gather->wish.reads - key->missing;
        *copies = there < *copies ? there : *copies;
        is_enough = is_enough && key->count >= key->missing;
    }
    return is_enough;
}

static bool has_all(const struct gather_command *gather) {
    for (uint32_t i = 0; i < gather->key_count; i++)
        if (gather->keys[i].missing != 0)
            return false;
    return true;
}

void quorum_gather(struct node *node, const struct command *command, unsigned flags, struct argument *argv,
                   uint32_t argc, const struct quorum_wish *wish, const struct quorum_target *target) {
    struct cluster *cluster = node->cluster;
    struct quorums *quorums = cluster->quorums;
    struct gather_command *gather = keep(node, command, flags, argv, argc, wish, target);
    unsigned copies;
    if (gather == NULL) {
        quorum_deliver_error(node, target, "-%s", ERROR_NO_MEMORY);
        return;
    }
    if (wish->must_look && !has_voters(node, gather, &copies)) {
        free_gather(node, gather);
        quorums->facts.refused++;
        quorum_refuse(node, target, flags,
                      "-NOQUORUM %u of the %u copies that a read needs can be reached; nothing was executed",
                      copies, wish->reads);
        return;
    }
    book(node, gather, true);
    if (wish->must_look) {
        quorums->facts.gathers++;
        uint64_t next_ms = node->monotonic_ms + quorums->sign_every_ms;
        next_ms = next_ms < gather->hedge_ms ? next_ms : gather->hedge_ms;
        if (cluster->next_work_ms > next_ms)
            cluster->next_work_ms = next_ms;
        ask_first(node, gather);
    }
    if (has_all(gather)) { /* it waits for those before it only */
        gather->is_ready = true;
        quorums->must_run = true;
        cluster->must_wait_work = true;
    }
}

/* Whether the command is still to be executed here. */
static bool is_still_ours(const struct node *node, const struct gather_command *gather) {
    unsigned flags = gather->flags & FORWARD_EXEC ? gather->flags : gather->flags | FORWARD_SECOND_HOP;
    if (node->routes == NULL || gather->wish.is_part)
        return true;
    for (uint32_t i = 0; i < gather->key_count; i++)
        if (!route_may_execute(node, gather->keys[i].key->slot, flags))
            return false;
    return true;
}

/* Who coordinates its slots now executes it. */
static void send_on(struct node *node, struct gather_command *gather) {
    struct sink sink = gather->target.sink;
    if (gather->target.to != NULL || sink.take == NULL)
        quorum_deliver(node, &gather->target, NULL, 0);
    else if (gather->flags & FORWARD_EXEC)
        route_execute_slot(node, transaction_slot(gather->argv, gather->argc), gather->command, gather->flags,
                           gather->argv, gather->argc, sink);
    else
        route_execute(node, gather->command, gather->flags, gather->argv, gather->argc, sink);
}

static void execute(struct node *node, struct gather_command *gather) {
    book(node, gather, false);
    repair(node, gather);
    if (is_still_ours(node, gather))
        quorum_execute_now(node, gather->command, gather->flags, gather->argv, gather->argc, &gather->wish,
                           &gather->target);
    else
        send_on(node, gather);
    free_gather(node, gather);
}

static void give_up(struct node *node, struct gather_command *gather) {
    unsigned missing = 0;
    for (uint32_t i = 0; i < gather->key_count; i++)
        missing = gather->keys[i].missing > missing ? gather->keys[i].missing : missing;
    book(node, gather, false);
    node->cluster->quorums->facts.timeouts++;
    quorum_refuse(node, &gather->target, gather->flags,
                  "-NOQUORUM %u of the %u copies that a read needs have answered; nothing was executed",
                  gather->wish.reads - missing, gather->wish.reads);
    free_gather(node, gather);
}

/* Slots that commands further ahead are about. */
static bool is_blocked(const struct gather_command *gather, const struct slot_set *busy, bool is_first,
                       bool is_behind_barrier) {
    if (is_behind_barrier || (gather->wish.is_part && !is_first))
        return true;
    for (uint32_t i = 0; i < gather->key_count; i++)
        if (slot_set_has(busy, gather->keys[i].key->slot))
            return true;
    return false;
}

void quorum_run(struct node *node) {
    struct quorums *quorums = node->cluster->quorums;
    if (LIKELY(!quorums->must_run))
        return;
    quorums->must_run = false;
    struct slot_set busy = {{0}};
    bool is_first = true, is_behind_barrier = false;
    LIST_FOR_EACH(link, &quorums->gathers) {
        struct gather_command *gather = LIST_ENTRY(link, struct gather_command, link);
        gather->is_ready = gather->is_ready || has_all(gather);
        if (!gather->is_ready && gather->outstanding == 0 && !gather->was_hedged)
            ask_all(node, gather);
        if (!gather->is_ready && (gather->is_late || gather->outstanding == 0)) {
            give_up(node, gather);
            continue;
        }
        if (gather->is_ready && !is_blocked(gather, &busy, is_first, is_behind_barrier)) {
            execute(node, gather);
            continue;
        }
        is_first = false;
        is_behind_barrier = is_behind_barrier || gather->wish.is_part;
        for (uint32_t i = 0; i < gather->key_count; i++)
            slot_set_add(&busy, gather->keys[i].key->slot);
    }
}

uint32_t quorum_gather_work(struct node *node) {
    struct quorums *quorums = node->cluster->quorums;
    uint64_t now_ms = node->monotonic_ms, first_ms = UINT64_MAX;
    LIST_FOR_EACH(link, &quorums->gathers) {
        struct gather_command *gather = LIST_ENTRY(link, struct gather_command, link);
        if (gather->is_ready)
            continue;
        if (now_ms >= gather->deadline_ms) {
            gather->is_late = true;
            quorums->must_run = true;
            continue;
        }
        if (now_ms >= gather->hedge_ms && !gather->was_hedged)
            ask_all(node, gather);
        uint64_t next_ms = gather->was_hedged ? gather->deadline_ms : gather->hedge_ms;
        first_ms = next_ms < first_ms ? next_ms : first_ms;
    }
    if (first_ms == UINT64_MAX)
        return UINT32_MAX;
    return first_ms - now_ms < UINT32_MAX ? (uint32_t)(first_ms - now_ms) : UINT32_MAX;
}

void quorum_gather_give_sign(struct node *node, uint64_t before_ms) {
    LIST_FOR_EACH(link, &node->cluster->quorums->gathers) {
        struct gather_command *gather = LIST_ENTRY(link, struct gather_command, link);
        if (gather->target.to != NULL && gather->begun_ms <= before_ms)
            quorum_give_sign(node, gather->target.to);
    }
}

void quorum_gather_forget_link(struct node *node, const struct peer_link *peer_link) {
    LIST_FOR_EACH(link, &node->cluster->quorums->gathers) {
        struct gather_command *gather = LIST_ENTRY(link, struct gather_command, link);
        if (gather->target.to == peer_link)
            gather->target = (struct quorum_target){.to = NULL};
    }
}

void quorum_gather_release(struct node *node) {
    struct list_node *link;
    while ((link = list_first(&node->cluster->quorums->gathers)) != NULL)
        give_up(node, LIST_ENTRY(link, struct gather_command, link));
}
