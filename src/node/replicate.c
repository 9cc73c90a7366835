/* replicate.c - effects become entries for the other copies; entries of others are applied; copies are compared.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/replicate.h"

#include "base/cursor.h"
#include "base/encode.h"
#include "node/peers.h"
#include "node/state.h"
#include "store/ledger.h"

/* So many bytes gather for a peer within a turn before they are sent. */
#define GATHERED_MAX (1024 * 1024)
/* Of a buffer that is empty, so much is kept. */
#define KEPT_MAX (2 * 1024 * 1024)
/* Copies that agree are compared again after so long; those that differed after this, and longer if it does not help. */
#define COMPARE_EVERY_MS     10000
#define COMPARE_AGAIN_MS     20
#define COMPARE_AGAIN_MAX_MS 1000
/* The other end sees the ring otherwise: gossip needs a moment. */
#define COMPARE_OTHER_SET_MS 100

/* ---- Out ---- */

/* What the peer was to be told is lost: it will be compared with. */
static void lose(struct peer *peer) {
    peer->must_compare = true;
    peer->is_agreed = false;
}

void replicate_send(struct node *node, struct peer *peer) {
    struct buffer *records = &peer->records;
    if (records->size == 0 && !records->failed)
        return;
    uint64_t number;
    bool is_sent = !records->failed && peer_is_linked(peer) &&
                   link_send(peer->out->link, FRAME_RECORDS, records->data, records->size, &number);
    if (is_sent) {
        peers_raise(node, peer->out);
    } else {
        lose(peer);
        entries_writer_clear(&peer->writer); /* who its actors are may have been told in what is lost */
    }
    if (records->capacity > KEPT_MAX)
        buffer_release(records);
    else
        buffer_clear(records);
}

/* Whether entries for the peer can gather: else it is compared with later. */
static bool may_tell(struct peer *peer) {
    if (LIKELY(peer_is_linked(peer)))
        return true;
    lose(peer);
    return false;
}

static void told(struct node *node, struct peer *peer, bool is_written) {
    if (UNLIKELY(!is_written)) {
        lose(peer);
        return;
    }
    peer->records_out++;
    peers_mention(node, peer);
}

/* What was written for one peer is good for another, too, if that one knows the actor: the usual version has just one. */
static inline bool may_copy(const struct peer *first, const struct peer *peer, const struct record *record) {
    return LIKELY(first != NULL) && LIKELY(record != NULL) && LIKELY(!(record->flags & RECORD_VECTOR)) &&
           entries_writer_has_told(&peer->writer, record->actor);
}

static void tell_holders(struct node *node, const struct effect *effect, const struct record *record) {
    struct cluster *cluster = node->cluster;
    const uint16_t *list = ring_list(cluster->ring, effect->key.slot);
    struct peer *first = NULL;
    size_t begin = 0, end = 0;
    for (uint32_t i = 0; i < cluster->ring->width; i++) {
        struct peer *peer = cluster_peer(cluster, cluster->ring_indexes[list[i]]);
        if (peer == NULL || !may_tell(peer))
            continue;
        if (may_copy(first, peer, record)) {
            told(node, peer, buffer_append(&peer->records, first->records.data + begin, end - begin));
            continue;
        }
        begin = peer->records.size;
        bool is_written = entries_add_effect(&peer->writer, node->keyspace, &peer->records, effect, record);
        end = peer->records.size;
        first = is_written ? peer : NULL;
        told(node, peer, is_written);
        if (first != NULL && peer->records.size != end)
            first = NULL; /* it was sent at once */
    }
}

/* Effects that found no memory to be noted. */
static void lose_slots(struct node *node) {
    struct ledger *ledger = node->keyspace->ledger;
    for (uint32_t i = 0; i < node->cluster->peer_capacity; i++)
        if (node->cluster->peers[i] != NULL)
            lose(node->cluster->peers[i]);
    memset(ledger->lost, 0, sizeof ledger->lost);
    ledger->has_lost = false;
}

void replicate_effects(struct node *node) {
    struct keyspace *keyspace = node->keyspace;
    struct ledger *ledger = keyspace->ledger;
    if (UNLIKELY(ledger->has_lost))
        lose_slots(node);
    uint32_t count = ledger->effect_count;
    if (count == 0)
        return;
    if (node->cluster->ring != NULL) {
        for (uint32_t i = 0; i < count; i++) {
            struct effect *effect = &ledger->effects[i];
            const struct record *record = count == 1 ? effect->record : NULL;
            if (record == NULL && effect->kind != EFFECT_EXPIRED)
                record = keyspace_find_record(keyspace, &effect->key);
            tell_holders(node, effect, record);
        }
    }
    ledger_clear_effects(ledger);
}

void replicate_command(struct node *node, const struct command *command, bool has_failed) {
    replicate_effects(node);
    if (UNLIKELY(command->id == COMMAND_ID_FLUSHALL || command->id == COMMAND_ID_FLUSHDB) && !has_failed)
        replicate_flush(node, &node->cluster->coordinated, node->keyspace->counter);
}

void replicate_flush(struct node *node, const struct slot_set *slots, uint64_t counter) {
    struct cluster *cluster = node->cluster;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        struct peer *peer = cluster->peers[i];
        if (peer == NULL || peer->asked_count == 0 || !may_tell(peer))
            continue;
        bool is_written = true;
        for (uint32_t first = 0; first < SLOT_COUNT && is_written;) {
            if (!slot_set_has(slots, first) || !slot_set_has(&peer->asked, first)) {
                first++;
                continue;
            }
            uint32_t last = first;
            while (last + 1 < SLOT_COUNT && slot_set_has(slots, last + 1) &&
                   slot_set_has(&peer->asked, last + 1))
                last++;
            is_written = entries_add_flush(&peer->records, first, last, counter);
            first = last + 1;
        }
        told(node, peer, is_written);
    }
}

/* ---- In ---- */

static void add(struct node *node, struct peer *peer, const struct buffer *bytes) {
    if (bytes->size != 0 && may_tell(peer))
        told(node, peer, buffer_append(&peer->records, bytes->data, bytes->size));
}

bool replicate_receive(struct node *node, struct peer_link *link, const uint8_t *payload, size_t size) {
    struct cluster *cluster = node->cluster;
    struct peer *peer = link->peer;
    struct entries_outcome *outcome = &cluster->outcome;
    struct entries_options options = {.keyspace = node->keyspace, .answers_writer = &peer->writer};
    uint64_t before = outcome->applied;
    outcome->mark = outcome->own_incarnation = outcome->own_counter = 0;
    enum entries_status status = entries_apply(&link->reader, &options, payload, size, outcome);
    peer->records_in += outcome->applied - before;
    if (outcome->mark != 0)
        link_acknowledge_now(link->link);
    add(node, peer, &outcome->fetches);
    add(node, peer, &outcome->answers);
    buffer_clear(&outcome->fetches);
    buffer_clear(&outcome->answers);
    /* The peer knows a later start of this node, or writes under the present one that it has not made: it takes a new one. */
    uint64_t own = cluster->self_identity.incarnation;
    if (outcome->own_incarnation > own)
        cluster_take_incarnation(node, outcome->own_incarnation);
    else if (outcome->own_counter != 0)
        cluster_take_incarnation(node, own);
    if (status == ENTRIES_NO_MEMORY || link->reader.has_gaps) {
        /* The other end will compare when it has called again. */
        link_end(link->link, "no memory for what was sent");
        peers_raise(node, link);
        memset(node->keyspace->ledger->lost, 0, sizeof node->keyspace->ledger->lost);
        node->keyspace->ledger->has_lost = false;
    }
    return status != ENTRIES_MALFORMED;
}

/* ---- Comparing ----
 *
 * A frame begins with a byte that says which comparison it is of, and goes on as cluster/antientropy.h writes it. Of COMPARE_HANDOVER
 * a question has the set of slots in between, one bit each: the answerer cannot know what the asker has left over. */

enum comparison { COMPARE_HOME = 0, COMPARE_HANDOVER = 1 };

/* What the coordinator has is dropped here when it has had it for so long: it has compared with the other holders by then. */
#define DROP_AFTER_MS (COMPARE_EVERY_MS * 2)

static void send_compare(struct node *node, struct peer_link *link, const struct buffer *message) {
    uint64_t number;
    if (message->size == 0)
        return;
    if (message->failed || !link_send(link->link, FRAME_COMPARE, message->data, message->size, &number))
        link_end(link->link, "too much waits");
    peers_raise(node, link);
}

/* The state of a comparison has changed. */
static void note_state(struct node *node, struct peer *peer) {
    switch (peer->comparer.state) {
    case COMPARE_EQUAL:
        peer->compare_pause_ms = COMPARE_AGAIN_MS;
        peer->next_compare_ms = node->monotonic_ms + COMPARE_EVERY_MS;
        if (!peer->must_compare) {
            peer->is_agreed = true;
            peer->agreed_ms = node->monotonic_ms;
            peer->agreed_begun = peer->begun;
            node->cluster->must_wait_work = true;
        }
        if (!peer->was_settled_asked)
            peer->next_compare_ms =
                node->monotonic_ms; /* once more, with our word that we are settled, as soon as we are */
        cluster_settle(node);
        break;
    case COMPARE_EXCHANGED:
        peer->next_compare_ms = node->monotonic_ms + peer->compare_pause_ms;
        peer->compare_pause_ms *= 2;
        if (peer->compare_pause_ms > COMPARE_AGAIN_MAX_MS)
            peer->compare_pause_ms = COMPARE_AGAIN_MAX_MS;
        break;
    case COMPARE_OTHER_SET: peer->next_compare_ms = node->monotonic_ms + COMPARE_OTHER_SET_MS; break;
    default: break;
    }
}

/* Begins a frame of a comparison; `head` is the caller's to append to. */
static void begin_frame(struct buffer *frame, struct node *node, enum comparison comparison,
                        const struct slot_set *set) {
    buffer_init(frame, node->mem);
    buffer_append_byte(frame, (uint8_t)comparison);
    if (set != NULL)
        for (uint32_t word = 0; word < SLOT_COUNT / 64; word++) {
            uint8_t bytes[8];
            encode_fixed(bytes, set->bits[word], sizeof bytes);
            buffer_append(frame, bytes, sizeof bytes);
        }
}

/* Sends the frame if anything was appended behind its head. */
static void end_frame(struct node *node, struct peer_link *link, struct buffer *frame, size_t head_size) {
    if (frame->failed || frame->size > head_size)
        send_compare(node, link, frame);
    buffer_release(frame);
}

/* What was left over is at its coordinator now, or not yet. */
static void note_handover(struct node *node, struct peer *peer) {
    bool is_covered = peer->handover.state == COMPARE_EQUAL ||
                      (peer->handover.state == COMPARE_EXCHANGED && peer->handed_over == 0);
    if (peer->handover.state == COMPARE_RUNNING)
        return;
    peer->next_handover_ms = node->monotonic_ms + (is_covered ? COMPARE_EVERY_MS : COMPARE_OTHER_SET_MS);
    if (!is_covered || !membership_member(node->cluster->membership, peer->member)->entry.is_settled) {
        peer->covered_ms = 0;
    } else if (peer->covered_ms == 0) {
        peer->covered_ms = node->monotonic_ms;
    } else if (node->monotonic_ms - peer->covered_ms >= DROP_AFTER_MS) {
        node_log(node, NODE_LOG_NOTICE,
                 "%u slots that other nodes hold now were handed over and are dropped here",
                 peer->leftover_count);
        keyspace_drop_slots(node->keyspace, peer->leftover.bits);
        memset(&peer->leftover, 0, sizeof peer->leftover);
        peer->leftover_count = 0;
        peer->covered_ms = 0;
    }
}

static bool take_answer(struct node *node, struct peer *peer, enum comparison comparison,
                        const uint8_t *payload, size_t size) {
    struct compare_statistics *statistics = &node->cluster->compare_statistics;
    struct comparer *comparer = comparison == COMPARE_HOME ? &peer->comparer : &peer->handover;
    struct buffer frame;
    begin_frame(&frame, node, comparison, comparison == COMPARE_HOME ? NULL : &comparer->set);
    size_t head_size = frame.size;
    uint64_t started_cpu_ns = node_thread_cpu_ns(node), sent = statistics->keys_sent;
    bool is_good = !frame.failed && comparer_receive(comparer, node->keyspace, &peer->writer, payload, size,
                                                     &frame, &peer->records, statistics);
    node_note_step(node, JOB_COMPARE, started_cpu_ns);
    if (!is_good) {
        buffer_release(&frame);
        return false;
    }
    replicate_send(node, peer); /* records go before the question that follows them */
    if (peer_is_linked(peer))
        end_frame(node, peer->out, &frame, head_size);
    else
        buffer_release(&frame);
    if (comparison == COMPARE_HOME) {
        note_state(node, peer);
    } else {
        peer->handed_over += statistics->keys_sent - sent;
        note_handover(node, peer);
    }
    return true;
}

/* The set that a question of COMPARE_HANDOVER names: of slots that this node coordinates. */
static bool read_set(struct node *node, struct cursor *cursor, struct slot_set *set) {
    for (uint32_t word = 0; word < SLOT_COUNT / 64; word++)
        set->bits[word] = cursor_u64(cursor);
    if (cursor_failed(cursor))
        return false;
    bool is_ours = true;
    for (uint32_t word = 0; word < SLOT_COUNT / 64; word++)
        is_ours = is_ours && (set->bits[word] & ~node->cluster->coordinated.bits[word]) == 0;
    if (!is_ours)
        memset(set, 0, sizeof *set); /* then the answer is that another set is expected */
    return true;
}

static bool take_question(struct node *node, struct peer_link *link, enum comparison comparison,
                          struct cursor *cursor) {
    struct peer *peer = link->peer;
    struct buffer frame, records;
    struct compare_finding finding = {0};
    struct slot_set set;
    if (comparison == COMPARE_HANDOVER && !read_set(node, cursor, &set))
        return false;
    begin_frame(&frame, node, comparison, NULL);
    buffer_init(&records, node->mem);
    uint64_t started_cpu_ns = node_thread_cpu_ns(node);
    bool is_good =
        !frame.failed && compare_answer(node->keyspace, comparison == COMPARE_HOME ? &peer->answered : &set,
                                        &peer->writer, cursor->position, cursor_remaining(cursor), &frame,
                                        &records, &finding, &node->cluster->compare_statistics);
    node_note_step(node, JOB_COMPARE, started_cpu_ns);
    if (is_good) {
        add(node, peer, &records);
        end_frame(node, link, &frame, 1);
        if (comparison == COMPARE_HOME && finding.is_equal && finding.is_settled && !peer->settles_us) {
            peer->settles_us = true;
            cluster_settle(node);
        }
    } else {
        buffer_release(&frame);
    }
    buffer_release(&records);
    return is_good;
}

bool replicate_compare(struct node *node, struct peer_link *link, const uint8_t *payload, size_t size) {
    struct cursor cursor = cursor_make(payload, size);
    unsigned comparison = cursor_u8(&cursor);
    if (cursor_failed(&cursor) || comparison > COMPARE_HANDOVER)
        return false;
    if (link->is_caller)
        return take_answer(node, link->peer, (enum comparison)comparison, cursor.position,
                           cursor_remaining(&cursor));
    return take_question(node, link, (enum comparison)comparison, &cursor);
}

/* Whether all digests of the set are there. */
static bool are_known(const struct ledger *ledger, const struct slot_set *set) {
    if (ledger->is_walked)
        return true;
    uint32_t last = slot_set_next(set, ledger->walk_slot);
    return last == SLOT_COUNT;
}

static void begin(struct node *node, struct peer *peer) {
    struct buffer message;
    begin_frame(&message, node, COMPARE_HOME, NULL);
    replicate_send(node, peer);
    peer->must_compare = false;
    peer->begun = ++node->cluster->moments;
    peer->was_settled_asked = cluster_has_agreed(node, peer);
    if (peer_is_linked(peer) &&
        comparer_begin(&peer->comparer, node->keyspace, &peer->asked, peer->was_settled_asked, &message,
                       &node->cluster->compare_statistics))
        send_compare(node, peer->out, &message);
    else
        peer->must_compare = true;
    peer->next_compare_ms = node->monotonic_ms + COMPARE_OTHER_SET_MS;
    buffer_release(&message);
}

static void begin_handover(struct node *node, struct peer *peer) {
    struct buffer message;
    begin_frame(&message, node, COMPARE_HANDOVER, &peer->leftover);
    replicate_send(node, peer);
    peer->handed_over = 0;
    if (peer_is_linked(peer) && comparer_begin(&peer->handover, node->keyspace, &peer->leftover, false,
                                               &message, &node->cluster->compare_statistics))
        send_compare(node, peer->out, &message);
    peer->next_handover_ms = node->monotonic_ms + COMPARE_AGAIN_MAX_MS;
    buffer_release(&message);
}

uint32_t replicate_work(struct node *node) {
    struct cluster *cluster = node->cluster;
    uint64_t next_ms = node->monotonic_ms + COMPARE_EVERY_MS;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        struct peer *peer = cluster->peers[i];
        if (peer == NULL || !peer_is_linked(peer))
            continue;
        if (peer->leftover_count != 0 && peer->handover.state != COMPARE_RUNNING) {
            if (peer->next_handover_ms <= node->monotonic_ms &&
                are_known(node->keyspace->ledger, &peer->leftover))
                begin_handover(node, peer);
            next_ms = peer->next_handover_ms < next_ms ? peer->next_handover_ms : next_ms;
        }
        if (peer->asked_count == 0 || peer->comparer.state == COMPARE_RUNNING)
            continue;
        bool is_wanted = peer->must_compare || !peer->is_agreed ||
                         (!peer->was_settled_asked && cluster_has_agreed(node, peer)) ||
                         peer->agreed_ms + COMPARE_EVERY_MS <= node->monotonic_ms;
        if (is_wanted && peer->next_compare_ms <= node->monotonic_ms &&
            are_known(node->keyspace->ledger, &peer->asked))
            begin(node, peer);
        else if (is_wanted && peer->next_compare_ms < next_ms)
            next_ms = peer->next_compare_ms;
        else if (!is_wanted && peer->agreed_ms + COMPARE_EVERY_MS < next_ms)
            next_ms = peer->agreed_ms + COMPARE_EVERY_MS;
    }
    return next_ms <= node->monotonic_ms ? 1 : (uint32_t)(next_ms - node->monotonic_ms);
}
