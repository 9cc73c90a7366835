/* replicate.c - effects become entries for the other copies; entries of others are applied; copies are compared.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/replicate.h"

#include "node/peers.h"
#include "node/state.h"
#include "store/ledger.h"

/* So many bytes gather for a peer within a turn before they are sent. */
#define GATHERED_MAX (1024 * 1024)
/* Of a buffer that is empty, so much is kept. */
#define KEPT_MAX (2 * 1024 * 1024)
/* Copies that agree are compared again after so long; those that differed after this, and longer if it does not help. */
#define COMPARE_EVERY_MS 10000
#define COMPARE_AGAIN_MS 20
#define COMPARE_AGAIN_MAX_MS 1000
/* The other end sees the ring otherwise: gossip needs a moment. */
#define COMPARE_OTHER_SET_MS 100

/* ---- Out ---- */

/* What the peer was to be told is lost: it will be compared with. */
static void lose(struct node *node, struct peer *peer) {
    (void)node;
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
        lose(node, peer);
        entries_writer_clear(&peer->writer); /* who its actors are may have been told in what is lost */
    }
    if (records->capacity > KEPT_MAX)
        buffer_release(records);
    else
        buffer_clear(records);
}

/* Whether entries for the peer can gather: else it is compared with later. */
static bool may_tell(struct node *node, struct peer *peer) {
    if (LIKELY(peer_is_linked(peer)))
        return true;
    lose(node, peer);
    return false;
}

static void told(struct node *node, struct peer *peer, bool is_written) {
    if (UNLIKELY(!is_written)) {
        lose(node, peer);
        return;
    }
    peer->records_out++;
    peers_mention(node, peer);
}

static void tell_holders(struct node *node, const struct effect *effect, const struct record *record) {
    struct cluster *cluster = node->cluster;
    const uint16_t *list = ring_list(cluster->ring, effect->key.slot);
    for (uint32_t i = 0; i < cluster->ring->width; i++) {
        struct peer *peer = cluster_peer(cluster, cluster->ring_indexes[list[i]]);
        if (peer != NULL && may_tell(node, peer))
            told(node, peer,
                 entries_add_effect(&peer->writer, node->keyspace, &peer->records, effect, record));
    }
}

/* Effects that found no memory to be noted. */
static void lose_slots(struct node *node) {
    struct ledger *ledger = node->keyspace->ledger;
    for (uint32_t i = 0; i < node->cluster->peer_capacity; i++)
        if (node->cluster->peers[i] != NULL)
            lose(node, node->cluster->peers[i]);
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

void replicate_command(struct node *node, const struct command *command) {
    replicate_effects(node);
    if (UNLIKELY(command->id == COMMAND_ID_FLUSHALL || command->id == COMMAND_ID_FLUSHDB))
        replicate_flush(node, &node->cluster->coordinated, node->keyspace->counter);
}

void replicate_flush(struct node *node, const struct slot_set *slots, uint64_t counter) {
    struct cluster *cluster = node->cluster;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        struct peer *peer = cluster->peers[i];
        if (peer == NULL || peer->asked_count == 0 || !may_tell(node, peer))
            continue;
        bool is_written = true;
        for (uint32_t first = 0; first < SLOT_COUNT && is_written;) {
            if (!slot_set_has(slots, first) || !slot_set_has(&peer->asked, first)) {
                first++;
                continue;
            }
            uint32_t last = first;
            while (last + 1 < SLOT_COUNT && slot_set_has(slots, last + 1) && slot_set_has(&peer->asked, last + 1))
                last++;
            is_written = entries_add_flush(&peer->records, first, last, counter);
            first = last + 1;
        }
        told(node, peer, is_written);
    }
}

/* ---- In ---- */

static bool add(struct node *node, struct peer *peer, struct buffer *bytes) {
    if (bytes->size == 0 || !may_tell(node, peer))
        return true;
    told(node, peer, buffer_append(&peer->records, bytes->data, bytes->size));
    return true;
}

/* A peer knows this node's present start by writes that it has not made, or a later start: it takes a new one. */
static void outlive(struct node *node, uint64_t incarnation) {
    cluster_take_incarnation(node, incarnation);
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
    uint64_t own = cluster->self_identity.incarnation;
    if (outcome->own_incarnation > own)
        outlive(node, outcome->own_incarnation);
    else if (outcome->own_counter != 0)
        outlive(node, own);
    if (status == ENTRIES_NO_MEMORY || link->reader.has_gaps) {
        /* The other end will compare when it has called again. */
        link_end(link->link, "no memory for what was sent");
        peers_raise(node, link);
        memset(node->keyspace->ledger->lost, 0, sizeof node->keyspace->ledger->lost);
        node->keyspace->ledger->has_lost = false;
    }
    return status != ENTRIES_MALFORMED;
}

/* ---- Comparing ---- */

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
        }
        if (!peer->was_settled_asked)
            peer->next_compare_ms = node->monotonic_ms; /* once more, with our word that we are settled, as soon as we are */
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

static bool take_answer(struct node *node, struct peer *peer, const uint8_t *payload, size_t size) {
    struct buffer message;
    buffer_init(&message, node->mem);
    uint64_t started_cpu_ns = node_thread_cpu_ns(node);
    bool is_good = comparer_receive(&peer->comparer, node->keyspace, &peer->writer, payload, size, &message,
                                    &peer->records, &node->cluster->compare_statistics);
    node_note_step(node, JOB_COMPARE, started_cpu_ns);
    if (is_good) {
        replicate_send(node, peer); /* records go before the question that follows them */
        if (peer_is_linked(peer))
            send_compare(node, peer->out, &message);
        note_state(node, peer);
    }
    buffer_release(&message);
    return is_good;
}

static bool take_question(struct node *node, struct peer_link *link, const uint8_t *payload, size_t size) {
    struct peer *peer = link->peer;
    struct buffer answer, records;
    struct compare_finding finding = {0};
    buffer_init(&answer, node->mem);
    buffer_init(&records, node->mem);
    uint64_t started_cpu_ns = node_thread_cpu_ns(node);
    bool is_good = compare_answer(node->keyspace, &peer->answered, &peer->writer, payload, size, &answer, &records,
                                  &finding, &node->cluster->compare_statistics);
    node_note_step(node, JOB_COMPARE, started_cpu_ns);
    if (is_good) {
        add(node, peer, &records);
        send_compare(node, link, &answer);
        if (finding.is_equal && finding.is_settled && !peer->settles_us) {
            peer->settles_us = true;
            cluster_settle(node);
        }
    }
    buffer_release(&answer);
    buffer_release(&records);
    return is_good;
}

bool replicate_compare(struct node *node, struct peer_link *link, const uint8_t *payload, size_t size) {
    return link->is_caller ? take_answer(node, link->peer, payload, size)
                           : take_question(node, link, payload, size);
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
    buffer_init(&message, node->mem);
    replicate_send(node, peer);
    peer->must_compare = false;
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

uint32_t replicate_work(struct node *node) {
    struct cluster *cluster = node->cluster;
    uint64_t next_ms = node->monotonic_ms + COMPARE_EVERY_MS;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        struct peer *peer = cluster->peers[i];
        if (peer == NULL || peer->asked_count == 0 || !peer_is_linked(peer) ||
            peer->comparer.state == COMPARE_RUNNING)
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
