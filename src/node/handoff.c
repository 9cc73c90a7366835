/* handoff.c - hints are made, worked off in batches, and given up.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/handoff.h"

#include "node/holders.h"
#include "node/peers.h"
#include "node/replicate.h"
#include "node/state.h"

/* A batch is full with so many bytes of records (or with HINTS_BATCH_MAX keys), */
#define BATCH_BYTES (1024 * 1024)
/* and none is made while so much is on its way to the peer anyhow. */
#define BUSY_BYTES (4 * 1024 * 1024)
/* A batch that could not be sent is tried again then. */
#define AGAIN_MS 10
/* For so long behind the beginning of a link hints come before comparing. */
#define FIRST_MS 10000
/* How often hints are looked at that are too old. */
#define EXPIRE_EVERY_MS 1000

/* A link that has ended with frames that were not acknowledged. */
struct lost_link {
    struct list_node node; /* peer->lost_links */
    struct link *link;
    size_t at; /* in the first of them */
};

/* ---- Begin and end ---- */

static void apply_settings(struct node *node) {
    hints_set_limits(&node->cluster->hints, node->config->hint_memory,
                     (uint64_t)node->config->hint_window_s * 1000);
}

void handoff_init(struct node *node) {
    hints_init(&node->cluster->hints, node->mem, &node->keyspace->secret);
    apply_settings(node);
}

void handoff_release(struct node *node) {
    handoff_file_release(node);
    hints_release(&node->cluster->hints);
}

static void free_lost_link(struct node *node, struct lost_link *lost) {
    list_remove(&lost->node);
    link_free(lost->link);
    mem_free(node->mem, lost, sizeof *lost);
}

void handoff_forget_peer(struct node *node, struct peer *peer) {
    LIST_FOR_EACH(at, &peer->lost_links) {
        free_lost_link(node, LIST_ENTRY(at, struct lost_link, node));
    }
}

/* ---- What was missed ---- */

static void note(struct node *node, struct peer *peer, const struct argument *key) {
    if (!node->config->hinted_handoff ||
        !hints_add(&node->cluster->hints, peer->member, key, node->monotonic_ms))
        peer->must_compare = true;
}

void handoff_miss(struct node *node, struct peer *peer, const struct effect *effect) {
    if (effect->kind != EFFECT_EXPIRED) /* which each copy finds out by itself */
        note(node, peer, &effect->key);
}

void handoff_miss_flush(struct node *node, struct peer *peer) {
    if (!node->config->hinted_handoff ||
        !hints_add_flush(&node->cluster->hints, peer->member, node->monotonic_ms))
        peer->must_compare = true;
}

/* Whose entries are looked at. */
struct missing {
    struct node *node;
    struct peer *peer;
};

static void miss_key(void *context, struct argument *key) {
    const struct missing *missing = context;
    keyspace_place(missing->node->keyspace, key);
    if (holders_has(missing->node->cluster, key->slot, missing->peer->member))
        note(missing->node, missing->peer, key);
}

static void miss_flush(void *context) {
    const struct missing *missing = context;
    handoff_miss_flush(missing->node, missing->peer);
}

void handoff_miss_entries(struct node *node, struct peer *peer, const uint8_t *data, size_t size) {
    struct missing missing = {node, peer};
    const struct entries_missed visit = {&missing, miss_key, miss_flush};
    if (size != 0 && node->cluster->ring != NULL)
        (void)entries_each_missed(data, size, 0, UINT32_MAX, &visit);
}

void handoff_link_ended(struct node *node, struct peer *peer) {
    CHECK(!peer_is_linked(peer));
    hints_return(&node->cluster->hints, peer->member);
    peer->hints_frame = 0;
    (void)replicate_send(node, peer);
}

bool handoff_take_link(struct node *node, struct peer *peer, struct link *link) {
    unsigned kind;
    size_t size;
    if (!node->config->hinted_handoff || link_first_unacknowledged(link, &kind, &size) == NULL)
        return false;
    struct lost_link *lost = mem_alloc(node->mem, sizeof *lost);
    if (lost == NULL)
        return false;
    link_end(link, "closed");
    *lost = (struct lost_link){.link = link};
    list_append(&peer->lost_links, &lost->node);
    return true;
}

/* Goes on with what a link had not brought over. Returns the units that are left. */
static uint32_t work_off_link(struct node *node, struct peer *peer, struct lost_link *lost, uint32_t units) {
    struct missing missing = {node, peer};
    const struct entries_missed visit = {&missing, miss_key, miss_flush};
    while (units != 0) {
        unsigned kind;
        size_t size;
        const uint8_t *payload = link_first_unacknowledged(lost->link, &kind, &size);
        if (payload == NULL) {
            free_lost_link(node, lost);
            return units;
        }
        uint32_t limit = units < 64 ? units : 64;
        if (kind == FRAME_RECORDS && lost->at < size)
            lost->at = entries_each_missed(payload, size, lost->at, limit, &visit);
        if (kind != FRAME_RECORDS || lost->at >= size) {
            link_drop_first_unacknowledged(lost->link);
            lost->at = 0;
        }
        units -= limit;
    }
    return 0;
}

void handoff_link_ready(struct node *node, struct peer *peer) {
    peer->linked_ms = node->monotonic_ms;
    peer->next_hints_ms = 0;
    peer->hints_frame = 0;
    hints_welcome(&node->cluster->hints, peer->member);
    node->cluster->must_work = true;
}

void handoff_stand_in(void *context, const uint8_t node_id[NODE_ID_SIZE], const struct argument *key) {
    struct node *node = context;
    struct cluster *cluster = node->cluster;
    uint16_t member = membership_find(cluster->membership, node_id);
    if (member == RING_NOBODY || member == ROUTE_SELF || !node->config->hinted_handoff ||
        membership_member(cluster->membership, member)->state == MEMBER_REMOVED)
        return; /* then it is left over here, and goes to its coordinator */
    (void)hints_add(&cluster->hints, member, key, node->monotonic_ms);
    cluster->must_work = true;
}

/* ---- Handing over ---- */

bool handoff_comes_first(const struct node *node, const struct peer *peer) {
    return node->config->hinted_handoff && node->monotonic_ms - peer->linked_ms < FIRST_MS &&
           (hints_has_any(&node->cluster->hints, peer->member) || !list_is_empty(&peer->lost_links));
}

/* A batch that is being made. */
struct batch {
    struct node *node;
    struct peer *peer;
    size_t begin; /* of its records, in those that have gathered for the peer */
};

static enum hint_verdict send_hinted(void *context, const struct argument *hinted, uint64_t *version) {
    struct batch *batch = context;
    struct node *node = batch->node;
    struct peer *peer = batch->peer;
    struct argument key = *hinted;
    if (peer->records.size - batch->begin >= BATCH_BYTES)
        return HINT_STOP;
    bool is_due =
        holders_has(node->cluster, key.slot, peer->member) || node->cluster->routes[key.slot] == peer->member;
    const struct record *record = is_due ? keyspace_find_record(node->keyspace, &key) : NULL;
    if (record == NULL)
        return HINT_NEEDLESS;
    if (!entries_tell_flush(&peer->writer, node->keyspace->ledger, &peer->records, key.slot) ||
        !entries_add_record(&peer->writer, &node->keyspace->actors, &peer->records, record))
        return HINT_STOP;
    *version = ledger_record_digest(node->keyspace, key.hash, record);
    return HINT_SENT;
}

/* All flush counters of slots that the peer holds: which of them it lacks is not known. */
static bool send_flushes(struct node *node, struct peer *peer) {
    const uint64_t *counters = node->keyspace->ledger->flush_counters;
    for (uint32_t first = 0; first < SLOT_COUNT; first++) {
        if (counters[first] == 0 || !holders_has(node->cluster, first, peer->member))
            continue;
        uint32_t last = first;
        while (last + 1 < SLOT_COUNT && counters[last + 1] == counters[first] &&
               holders_has(node->cluster, last + 1, peer->member))
            last++;
        if (!entries_add_flush(&peer->records, first, last, counters[first]))
            return false;
        first = last;
    }
    return true;
}

/* Makes a batch, and sends it. Returns false if there is nothing to be waited for. */
static bool send_batch(struct node *node, struct peer *peer) {
    struct hints *hints = &node->cluster->hints;
    struct batch batch = {.node = node, .peer = peer, .begin = peer->records.size};
    bool is_flush = hints_take_flush(hints, peer->member);
    bool is_written = !is_flush || send_flushes(node, peer);
    uint32_t count = is_written ? hints_take(hints, peer->member, HINTS_BATCH_MAX, send_hinted, &batch) : 0;
    if (count == 0 && !is_flush)
        return false;
    /* Somebody waits for the acknowledgement: it comes at once behind a mark. */
    is_written = is_written && entries_add_mark(&peer->records, ++peer->marks);
    peer->records_out += count;
    if (replicate_send(node, peer) && is_written) {
        peer->hints_frame = link_last_number(peer->out->link);
        return true;
    }
    hints_return(hints, peer->member);
    peer->next_hints_ms = node->monotonic_ms + AGAIN_MS;
    return false;
}

/* The owner has it: a stand-in's own copy goes, unless it has changed since or is wanted for another one. */
static void drop_own_copy(void *context, const struct argument *hinted, uint64_t version) {
    struct node *node = context;
    struct cluster *cluster = node->cluster;
    struct argument key = *hinted;
    if (slot_set_has(&cluster->held, key.slot) || cluster->routes[key.slot] == ROUTE_SELF ||
        hints_has_key(&cluster->hints, &key))
        return;
    const struct record *record = keyspace_find_record(node->keyspace, &key);
    if (record != NULL && (ledger_record_digest(node->keyspace, key.hash, record) | 1) == (version | 1))
        keyspace_drop_copy(node->keyspace, &key);
}

/* Returns whether the peer's batch, if there is one, is still on its way. */
static bool is_on_its_way(struct node *node, struct peer *peer) {
    if (peer->hints_frame == 0)
        return false;
    if (link_acknowledged_number(peer->out->link) < peer->hints_frame)
        return true;
    peer->hints_frame = 0;
    hints_acknowledge(&node->cluster->hints, peer->member, drop_own_copy, node);
    if (!hints_has_any(&node->cluster->hints, peer->member))
        peer->next_compare_ms = node->monotonic_ms; /* which has waited for this */
    return false;
}

static uint32_t hand_over(struct node *node, struct peer *peer) {
    struct hints *hints = &node->cluster->hints;
    if (!node->config->hinted_handoff || !peer_is_linked(peer) || is_on_its_way(node, peer) ||
        !hints_has_any(hints, peer->member))
        return UINT32_MAX;
    if (node->monotonic_ms < peer->next_hints_ms)
        return (uint32_t)(peer->next_hints_ms - node->monotonic_ms);
    if (link_unacknowledged_bytes(peer->out->link) > BUSY_BYTES)
        return AGAIN_MS;
    if (send_batch(node, peer))
        return UINT32_MAX; /* its acknowledgement brings us here again */
    return hints_has_any(hints, peer->member) ? 1 : UINT32_MAX;
}

/* ---- What time brings ---- */

static uint32_t work_off_links(struct node *node, struct peer *peer, uint32_t units) {
    LIST_FOR_EACH(at, &peer->lost_links) {
        if (units != 0)
            units = work_off_link(node, peer, LIST_ENTRY(at, struct lost_link, node), units);
    }
    return units;
}

static void expire(struct node *node, struct peer *peer) {
    if (!hints_expire(&node->cluster->hints, peer->member, node->monotonic_ms))
        return;
    peer->must_compare = true;
    node_log(node, NODE_LOG_NOTICE,
             "A node has been away for %u s: what it has missed will be found by comparing",
             node->config->hint_window_s);
}

uint32_t handoff_work(struct node *node) {
    struct cluster *cluster = node->cluster;
    uint32_t wait_ms = EXPIRE_EVERY_MS, units = JOB_STEP_UNITS;
    if (cluster->ring == NULL)
        return wait_ms;
    apply_settings(node);
    uint64_t started_cpu_ns = node_thread_cpu_ns(node);
    uint64_t before = cluster->hints.count;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        struct peer *peer = cluster->peers[i];
        if (peer == NULL)
            continue;
        units = work_off_links(node, peer, units);
        expire(node, peer);
        uint32_t peer_ms = hand_over(node, peer);
        wait_ms = peer_ms < wait_ms ? peer_ms : wait_ms;
    }
    uint32_t dropped = hints_drop_step(&cluster->hints, units);
    units -= dropped < units ? dropped : units;
    if (units != JOB_STEP_UNITS || before != cluster->hints.count)
        node_note_step(node, JOB_HINTS, started_cpu_ns);
    return units != JOB_STEP_UNITS ? 0 : wait_ms;
}
