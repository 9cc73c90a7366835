/* replicate.c - effects become entries for the other copies; entries of others are applied; copies are compared.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/replicate.h"

#include "base/cursor.h"
#include "base/encode.h"
#include "node/burial.h"
#include "node/handoff.h"
#include "node/holders.h"
#include "node/peers.h"
#include "node/state.h"
#include "store/floors.h"
#include "store/ledger.h"

/* So many bytes gather for a peer within a turn before they are sent. */
#define GATHERED_MAX (1024 * 1024)
/* Of a buffer that is empty, so much is kept. */
#define KEPT_MAX (2 * 1024 * 1024)
/* Copies that agree are compared again after so long; those that differed after this, and longer if it does not help. */
#define COMPARE_EVERY_MS     10000
#define COMPARE_AGAIN_MS     20
#define COMPARE_AGAIN_MAX_MS 1000
/* Copies that agreed, but may have missed something since. */
#define COMPARE_LOST_MS 100
/* The other end sees the ring otherwise: gossip needs a moment. */
#define COMPARE_OTHER_SET_MS 100

/* ---- Out ---- */

/* What the peer was to be told is lost: it will be compared with. */
static void lose(struct peer *peer) {
    peer->must_compare = true;
    peer->is_agreed = false;
    peer->losses++;
}

bool replicate_send(struct node *node, struct peer *peer) {
    struct buffer *records = &peer->records;
    if (records->size == 0 && !records->failed)
        return false;
    uint64_t number;
    bool is_sent = !records->failed && peer_is_linked(peer) &&
                   link_send(peer->out->link, FRAME_RECORDS, records->data, records->size, &number);
    if (is_sent) {
        peers_raise(node, peer->out);
    } else {
        lose(peer);
        entries_writer_clear(&peer->writer); /* who its actors are may have been told in what is lost */
        handoff_miss_entries(node, peer, records->data, records->size);
    }
    if (records->capacity > KEPT_MAX)
        buffer_release(records);
    else
        buffer_clear(records);
    return is_sent;
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
static inline bool is_plain_for(const struct peer *peer, const struct record *record) {
    return LIKELY(record != NULL) && LIKELY(!(record->flags & RECORD_VECTOR)) &&
           LIKELY(entries_writer_has_told(&peer->writer, record->actor));
}

/* Those who stand in for absent holders are told for whom it is. */
static __attribute__((noinline)) void tell_stand_ins(struct node *node, const struct effect *effect,
                                                     const struct record *record,
                                                     const struct holder_set *set) {
    struct cluster *cluster = node->cluster;
    const struct stand_in *places = holders_stand_ins_of(cluster, set);
    for (uint32_t i = 0; i < set->stand_in_count; i++) {
        struct peer *peer = cluster_peer(cluster, places[i].member);
        if (peer == NULL || !peer_is_linked(peer))
            continue;
        bool had_failed = peer->records.failed;
        bool is_flushed =
            entries_tell_flush(&peer->writer, node->keyspace->ledger, &peer->records, effect->key.slot);
        size_t before = peer->records.size;
        const struct member *owner = membership_member(cluster->membership, places[i].owner);
        if (is_flushed && entries_add_for(&peer->records, owner->entry.id) &&
            entries_add_effect(&peer->writer, node->keyspace, &peer->records, effect, record)) {
            peer->records_out++;
            peers_mention(node, peer);
        } else {
            peer->losses++;
            peer->records.size = before; /* this node's own hint is left */
            peer->records.failed = had_failed;
        }
    }
}

static void tell_holders(struct node *node, const struct effect *effect, const struct record *record) {
    struct cluster *cluster = node->cluster;
    uint32_t note = node->keyspace->ledger->notes[effect->key.slot];
    const struct holder_set *set = &cluster->holder_sets[note & SLOT_NOTE_MASK];
    const struct peer *first = NULL;
    size_t begin = 0, end = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        struct peer *peer = cluster_peer(cluster, set->members[i]);
        if (UNLIKELY(peer == NULL))
            continue;
        if (UNLIKELY(!may_tell(peer))) {
            handoff_miss(node, peer, effect);
            continue;
        }
        bool is_plain = is_plain_for(peer, record) && effect->kind == EFFECT_WRITE;
        bool is_written =
            entries_tell_flush(&peer->writer, node->keyspace->ledger, &peer->records, effect->key.slot);
        if (UNLIKELY(!is_written)) {
            /* There is no memory for anything else, either. */
        } else if (is_plain && first != NULL) {
            is_written = buffer_append(&peer->records, first->records.data + begin, end - begin);
        } else if (is_plain) {
            begin = peer->records.size;
            is_written = entries_add_plain(&peer->records, record);
            end = peer->records.size;
            first = is_written ? peer : NULL;
        } else {
            is_written = entries_add_effect(&peer->writer, node->keyspace, &peer->records, effect, record);
        }
        told(node, peer, is_written);
        if (UNLIKELY(!is_written))
            handoff_miss(node, peer, effect);
        if (first == peer && UNLIKELY(peer->records.size != end))
            first = NULL; /* it was sent at once */
    }
    if (UNLIKELY(set->stand_in_count != 0))
        tell_stand_ins(node, effect, record, set);
}

/* Effects that found no memory to be noted. */
static void lose_all(struct node *node) {
    for (uint32_t i = 0; i < node->cluster->peer_capacity; i++)
        if (node->cluster->peers[i] != NULL)
            lose(node->cluster->peers[i]);
    node->keyspace->ledger->has_lost = false;
}

void replicate_effects(struct node *node) {
    struct keyspace *keyspace = node->keyspace;
    struct ledger *ledger = keyspace->ledger;
    if (UNLIKELY(ledger->has_lost))
        lose_all(node);
    uint32_t count = ledger->effect_count;
    if (count == 0)
        return;
    if (node->cluster->ring != NULL) {
        for (uint32_t i = 0; i < count; i++) {
            struct effect *effect = &ledger->effects[i];
            node->cluster->effects_told++;
            node->cluster->patches_told += effect->kind == EFFECT_PATCH;
            const struct record *record = count == 1 ? effect->record : NULL;
            if (record == NULL && effect->kind != EFFECT_EXPIRED)
                record = keyspace_find_record(keyspace, &effect->key);
            tell_holders(node, effect, record);
        }
    }
    ledger_clear_effects(ledger);
}

void replicate_record(struct node *node, struct peer *peer, const struct record *record) {
    struct keyspace *keyspace = node->keyspace;
    uint32_t slot = crc16_key_slot(record_key(record), record_key_size(record));
    if (may_tell(peer))
        told(node, peer,
             entries_tell_flush(&peer->writer, keyspace->ledger, &peer->records, slot) &&
                 entries_add_record(&peer->writer, &keyspace->actors, &peer->records, record));
}

void replicate_command(struct node *node, const struct command *command, bool has_failed) {
    replicate_effects(node);
    if (UNLIKELY(command->id == COMMAND_ID_FLUSHALL || command->id == COMMAND_ID_FLUSHDB) && !has_failed)
        replicate_flush(node, cluster_spoken(node->cluster), node->keyspace->counter);
}

/* The first slot of the set, from this one on, that a member holds; SLOT_COUNT: none. */
static uint32_t next_held(const struct cluster *cluster, const struct slot_set *slots, uint32_t slot,
                          uint16_t member) {
    for (slot = slot_set_next(slots, slot); slot < SLOT_COUNT && !holders_has(cluster, slot, member);)
        slot = slot_set_next(slots, slot + 1);
    return slot;
}

void replicate_flush(struct node *node, const struct slot_set *slots, uint64_t counter) {
    struct cluster *cluster = node->cluster;
    cluster->effects_told++;
    for (uint32_t i = 0; i < cluster->peer_capacity && cluster->ring != NULL; i++) {
        struct peer *peer = cluster->peers[i];
        uint32_t first = peer == NULL ? SLOT_COUNT : next_held(cluster, slots, 0, peer->member);
        if (first == SLOT_COUNT)
            continue;
        if (!may_tell(peer)) {
            handoff_miss_flush(node, peer);
            continue;
        }
        bool is_written = true;
        while (first < SLOT_COUNT && is_written) {
            uint32_t last = first, next;
            while ((next = next_held(cluster, slots, last + 1, peer->member)) == last + 1 &&
                   next < SLOT_COUNT)
                last = next;
            is_written = entries_add_flush(&peer->records, first, last, counter);
            first = next;
        }
        told(node, peer, is_written);
    }
}

/* ---- The pace of comparing ----
 *
 * What comparisons cost is counted by who asks, records among it, and its next question waits while there was more than repair-rate allows. */

/* So long it may be quiet before, and then make up for it. */
#define SAVED_MS        250
#define SAVED_BYTES_MIN 65536

static bool is_comparing(const struct peer *peer) {
    return peer->comparer.state == COMPARE_RUNNING || peer->handover.state == COMPARE_RUNNING;
}

static void spend(struct node *node, size_t bytes) {
    if (node->config->repair_rate != 0)
        node->cluster->repair_bytes -= (int64_t)bytes;
}

/* For how long nothing may be asked; 0: at once. */
static uint32_t pause_ms(struct node *node) {
    struct cluster *cluster = node->cluster;
    uint64_t rate = node->config->repair_rate;
    uint64_t elapsed_ms = node->monotonic_ms - cluster->repair_ms;
    cluster->repair_ms = node->monotonic_ms;
    if (rate == 0) {
        cluster->repair_bytes = 0;
        return 0;
    }
    uint64_t most = rate * SAVED_MS / 1000;
    most = most < SAVED_BYTES_MIN ? SAVED_BYTES_MIN : most;
    uint64_t missing = (uint64_t)((int64_t)most - cluster->repair_bytes);
    /* In this order, as a product of large numbers would not fit. */
    uint64_t full_ms = missing * 1000 / rate + 1;
    if (elapsed_ms >= full_ms)
        cluster->repair_bytes = (int64_t)most;
    else
        cluster->repair_bytes += (int64_t)(rate * elapsed_ms / 1000);
    return cluster->repair_bytes > 0 ? 0 : (uint32_t)((uint64_t)-cluster->repair_bytes * 1000 / rate + 1);
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
    struct entries_options options = {
        .keyspace = node->keyspace,
        .answers_writer = &peer->writer,
        .stands_in = handoff_stand_in,
        .is_candidate = burial_is_candidate,
        .gives_way =
            !cluster->is_settled && membership_member(cluster->membership, peer->member)->entry.is_settled,
        .context = node};
    if (is_comparing(peer))
        spend(node, size);
    uint64_t before = outcome->applied;
    outcome->mark = outcome->own_incarnation = outcome->own_counter = 0;
    cluster->records_from = peer;
    enum entries_status status = entries_apply(&link->reader, &options, payload, size, outcome);
    cluster->records_from = NULL;
    peer->records_in += outcome->applied - before;
    if (outcome->mark != 0)
        link_acknowledge_now(link->link);
    add(node, peer, &outcome->fetches);
    add(node, peer, &outcome->answers);
    buffer_clear(&outcome->fetches);
    buffer_clear(&outcome->answers);
    cluster_heed_outcome(node);
    if (status == ENTRIES_NO_MEMORY || link->reader.has_gaps) {
        /* The other end will compare when it has called again. */
        link_end(link->link, "no memory for what was sent");
        peers_raise(node, link);
        node->keyspace->ledger->has_lost = false;
    }
    return status != ENTRIES_MALFORMED;
}

/* ---- Comparing ----
 *
 * A frame begins with a byte that says which comparison it is of, and goes on as cluster/antientropy.h writes it. Of COMPARE_HANDOVER
 * a question has the set of slots in between: the answerer cannot know what the asker has left over. Of COMPARE_HOME an answer
 * has the number of the answerer's last checkpoint, and that of the oldest it might load, plus 1 (0: none), in between (varints). */

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

/* What an answer of COMPARE_HOME says before all else: see persistence_oldest(). */
struct checkpoints {
    uint64_t begun, oldest;
};

/* It is not settled, and to become so must hear that we have agreed with all the others, which the last comparison did not tell. */
static bool waits_for_our_word(const struct node *node, const struct peer *peer) {
    return !peer->was_settled_asked &&
           !membership_member(node->cluster->membership, peer->member)->entry.is_settled;
}

/* The state of a comparison has changed. */
static void note_state(struct node *node, struct peer *peer, const struct checkpoints *checkpoints) {
    switch (peer->comparer.state) {
    case COMPARE_EQUAL:
        peer->compare_pause_ms = COMPARE_AGAIN_MS;
        /* Or COMPARE_EVERY_MS after this one; sooner where something is lost meanwhile. */
        peer->next_compare_ms = node->monotonic_ms + COMPARE_LOST_MS;
        if (!peer->must_compare) {
            peer->is_agreed = true;
            peer->agreed_ms = node->monotonic_ms;
            peer->agreed_begun = peer->begun;
            node->cluster->must_wait_work = true;
            burial_note_equal(node, peer, checkpoints->begun, checkpoints->oldest);
        }
        if (waits_for_our_word(node, peer))
            peer->next_compare_ms = node->monotonic_ms; /* once more, as soon as we can give it */
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

/* A set is usually small: how many slots (varint), and for each how many there are between it and the one before (varints). Of more than
 * LISTED_MAX the number is 0, and one bit for each slot follows. */
#define LISTED_MAX 1024

static void write_set(struct buffer *frame, const struct slot_set *set) {
    uint8_t bytes[ENCODE_VARINT_MAX];
    uint32_t count = slot_set_count(set), behind = 0;
    bool is_list = count <= LISTED_MAX && count != 0;
    buffer_append(frame, bytes, (size_t)(encode_varint(bytes, is_list ? count : 0) - bytes));
    for (uint32_t slot = slot_set_next(set, 0); is_list && slot < SLOT_COUNT;
         slot = slot_set_next(set, behind)) {
        buffer_append(frame, bytes, (size_t)(encode_varint(bytes, slot - behind) - bytes));
        behind = slot + 1;
    }
    for (uint32_t word = 0; !is_list && word < SLOT_COUNT / 64; word++) {
        encode_fixed(bytes, set->bits[word], 8);
        buffer_append(frame, bytes, 8);
    }
}

/* Begins a frame of a comparison; `head` is the caller's to append to. */
static void begin_frame(struct buffer *frame, struct node *node, enum comparison comparison,
                        const struct slot_set *set) {
    buffer_init(frame, node->mem);
    buffer_append_byte(frame, (uint8_t)comparison);
    if (set != NULL)
        write_set(frame, set);
}

/* Sends the frame if anything was appended behind its head. */
static void end_frame(struct node *node, struct peer_link *link, struct buffer *frame, size_t head_size) {
    if (frame->failed || frame->size > head_size)
        send_compare(node, link, frame);
    buffer_release(frame);
}

/* What was left over is at its coordinator now, or not yet. */
static void note_handover(struct node *node, struct peer *peer) {
    bool is_covered = comparer_has_handed_over(&peer->handover);
    if (peer->handover.state == COMPARE_RUNNING)
        return;
    peer->next_handover_ms = node->monotonic_ms + (is_covered ? COMPARE_EVERY_MS : COMPARE_OTHER_SET_MS);
    if (!is_covered || !membership_member(node->cluster->membership, peer->member)->entry.is_settled) {
        peer->covered_ms = 0;
        if (is_covered)
            peer->next_handover_ms = node->monotonic_ms + COMPARE_AGAIN_MAX_MS; /* it is about to settle */
    } else if (peer->covered_ms == 0) {
        peer->covered_ms = node->monotonic_ms;
    } else if (node->monotonic_ms - peer->covered_ms >= DROP_AFTER_MS) {
        node_log(node, NODE_LOG_NOTICE,
                 "%u slots that other nodes hold now were handed over and are dropped here",
                 peer->leftover_count);
        for (uint32_t slot = slot_set_next(&peer->leftover, 0); slot < SLOT_COUNT;
             slot = slot_set_next(&peer->leftover, slot + 1))
            if (hints_of_slot(&node->cluster->hints, slot) != 0)
                slot_set_remove(&peer->leftover, slot); /* it stands in for somebody meanwhile */
        keyspace_drop_slots(node->keyspace, &peer->leftover);
        memset(&peer->leftover, 0, sizeof peer->leftover);
        peer->leftover_count = 0;
        peer->covered_ms = 0;
    }
}

/* The next question leaves, now or later. */
static void send_question(struct node *node, struct peer *peer, enum comparison comparison,
                          struct buffer *frame, size_t head_size) {
    if (frame->size > head_size && !frame->failed && pause_ms(node) != 0) {
        buffer_release(&peer->next_question[comparison]);
        peer->next_question[comparison] = *frame;
        node->cluster->must_work = true;
        return;
    }
    if (frame->size > head_size)
        spend(node, frame->size);
    end_frame(node, peer->out, frame, head_size);
}

/* Questions that had to wait. Returns the milliseconds for which they still have to. */
static uint32_t send_waiting(struct node *node, struct peer *peer) {
    for (unsigned i = 0; i < 2; i++) {
        struct buffer *frame = &peer->next_question[i];
        const struct comparer *comparer = i == COMPARE_HOME ? &peer->comparer : &peer->handover;
        if (frame->size == 0)
            continue;
        uint32_t wait_ms = comparer->state == COMPARE_RUNNING ? pause_ms(node) : 0;
        if (wait_ms != 0)
            return wait_ms;
        if (comparer->state == COMPARE_RUNNING) {
            spend(node, frame->size);
            send_compare(node, peer->out, frame);
        }
        buffer_release(frame);
    }
    return UINT32_MAX;
}

static bool take_answer(struct node *node, struct peer *peer, enum comparison comparison,
                        struct cursor *cursor) {
    struct checkpoints checkpoints = {0, 0};
    if (comparison == COMPARE_HOME) {
        checkpoints.begun = cursor_varint(cursor);
        checkpoints.oldest = cursor_varint(cursor) - 1;
        if (cursor_failed(cursor))
            return false;
    }
    const uint8_t *payload = cursor->position;
    size_t size = cursor_remaining(cursor), records_before = peer->records.size;
    struct compare_statistics *statistics = &node->cluster->compare_statistics;
    struct comparer *comparer = comparison == COMPARE_HOME ? &peer->comparer : &peer->handover;
    struct buffer frame;
    begin_frame(&frame, node, comparison, comparison == COMPARE_HOME ? NULL : &comparer->set);
    size_t head_size = frame.size;
    uint64_t started_cpu_ns = node_thread_cpu_ns(node);
    bool is_good = !frame.failed && comparer_receive(comparer, node->keyspace, &peer->writer, payload, size,
                                                     &frame, &peer->records, statistics);
    node_note_step(node, JOB_COMPARE, started_cpu_ns);
    if (!is_good) {
        buffer_release(&frame);
        return false;
    }
    spend(node, size + peer->records.size - records_before);
    replicate_send(node, peer); /* records go before the question that follows them */
    if (peer_is_linked(peer))
        send_question(node, peer, comparison, &frame, head_size);
    else
        buffer_release(&frame);
    if (comparison == COMPARE_HOME)
        note_state(node, peer, &checkpoints);
    else
        note_handover(node, peer);
    return true;
}

/* The set that a question of COMPARE_HANDOVER names: of slots that this node coordinates. */
static bool read_set(struct node *node, struct cursor *cursor, struct slot_set *set) {
    uint64_t count = cursor_varint(cursor), slot = 0;
    *set = (struct slot_set){{0}};
    if (count > LISTED_MAX)
        cursor_fail(cursor);
    for (uint64_t i = 0; i < count && !cursor_failed(cursor); i++, slot++) {
        uint64_t skipped = cursor_varint(cursor);
        slot += skipped < SLOT_COUNT ? skipped : SLOT_COUNT;
        if (slot >= SLOT_COUNT)
            cursor_fail(cursor);
        else
            slot_set_add(set, (uint32_t)slot);
    }
    for (uint32_t word = 0; count == 0 && word < SLOT_COUNT / 64; word++)
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
    if (comparison == COMPARE_HOME)
        set = peer->answered;
    if (!peer_is_linked(peer))
        set = (struct slot_set){
            {0}}; /* what the asker lacks could not be sent: it is to ask again, about the same as now */
    begin_frame(&frame, node, comparison, NULL);
    if (comparison == COMPARE_HOME) {
        uint8_t numbers[2 * ENCODE_VARINT_MAX];
        uint8_t *end = encode_varint(numbers, node->persistence.last_begun);
        end = encode_varint(end, persistence_oldest(node) + 1);
        buffer_append(&frame, numbers, (size_t)(end - numbers));
    }
    size_t head_size = frame.size;
    buffer_init(&records, node->mem);
    uint64_t started_cpu_ns = node_thread_cpu_ns(node);
    bool is_good =
        !frame.failed && compare_answer(node->keyspace, &set, comparison == COMPARE_HOME, &peer->writer,
                                        cursor->position, cursor_remaining(cursor), &frame, &records,
                                        &finding, &node->cluster->compare_statistics);
    node_note_step(node, JOB_COMPARE, started_cpu_ns);
    if (is_good) {
        add(node, peer, &records);
        end_frame(node, link, &frame, head_size);
        if (comparison == COMPARE_HOME && finding.is_equal && finding.is_settled) {
            burial_note_word(node, peer);
            if (!peer->settles_us) {
                peer->settles_us = true;
                cluster_settle(node);
            }
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
        return take_answer(node, link->peer, (enum comparison)comparison, &cursor);
    return take_question(node, link, (enum comparison)comparison, &cursor);
}

/* Whether all digests of the set are there. */
static bool are_known(const struct ledger *ledger, const struct slot_set *set) {
    if (floors_are_dropping(ledger))
        return false;
    if (ledger->is_walked)
        return true;
    uint32_t last = slot_set_next(set, ledger->walk_slot);
    return last == SLOT_COUNT;
}

static void begin(struct node *node, struct peer *peer) {
    struct buffer message;
    begin_frame(&message, node, COMPARE_HOME, NULL);
    replicate_send(node, peer);
    peer->must_compare = peer->wants_compare = false;
    burial_note_round(node, peer);
    buffer_release(&peer->next_question[COMPARE_HOME]);
    peer->begun = ++node->cluster->moments;
    peer->was_settled_asked = cluster_has_agreed(node, peer);
    peer->comparer.only_looks = !node->config->anti_entropy;
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
    buffer_release(&peer->next_question[COMPARE_HANDOVER]);
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
        uint32_t wait_ms = send_waiting(node, peer);
        if (wait_ms != UINT32_MAX && node->monotonic_ms + wait_ms < next_ms)
            next_ms = node->monotonic_ms + wait_ms;
        if (peer->leftover_count != 0 && peer->handover.state != COMPARE_RUNNING &&
            node->config->anti_entropy) {
            if (peer->next_handover_ms <= node->monotonic_ms &&
                are_known(node->keyspace->ledger, &peer->leftover))
                begin_handover(node, peer);
            next_ms = peer->next_handover_ms < next_ms ? peer->next_handover_ms : next_ms;
        }
        if (peer->asked_count == 0 || peer->comparer.state == COMPARE_RUNNING ||
            handoff_comes_first(node, peer))
            continue;
        bool is_wanted = peer->must_compare || peer->wants_compare || !peer->is_agreed ||
                         (waits_for_our_word(node, peer) && cluster_has_agreed(node, peer)) ||
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
