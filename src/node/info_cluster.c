/* info_cluster.c - what INFO says of the cluster: its section, and the lines about other nodes in the section `replication`.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/cluster_slots.h"
#include "node/info.h"
#include "node/quorum.h"

/* ---- Section cluster ---- */

/* Whether this node and another have nothing left to tell each other: it can be reached, has missed nothing, and its copies of
 * what this node coordinates were found equal; what this node holds no longer is where it belongs. */
static bool agrees_with(const struct node *node, const struct peer *peer) {
    const struct cluster *cluster = node->cluster;
    if (peer == NULL || !peer_is_reached(peer))
        return false;
    uint64_t oldest_ms = link_oldest_unacknowledged_ms(peer->out->link);
    if (oldest_ms != 0 && node->monotonic_ms - oldest_ms >= node->config->suspect_timeout_ms)
        return false;
    return cluster_is_able(cluster, peer->member) && !hints_has_any(&cluster->hints, peer->member) &&
           !peer->must_compare && (peer->asked_count == 0 || peer->is_agreed) &&
           (peer->leftover_count == 0 || peer->covered_ms != 0);
}

/* Whether all members are there, and this node agrees with each. Where all of them say so, any one may die. */
static bool agrees_with_all(const struct node *node, const struct cluster_counts *counts) {
    const struct cluster *cluster = node->cluster;
    if (cluster->is_joining || cluster->is_removed || !cluster_is_able(cluster, ROUTE_SELF) ||
        counts->up != counts->members)
        return false;
    for (uint32_t i = 1; i < membership_count(cluster->membership); i++)
        if (membership_member(cluster->membership, (uint16_t)i)->state != MEMBER_REMOVED &&
            !agrees_with(node, cluster_peer(cluster, (uint16_t)i)))
            return false;
    return true;
}

static void append_members(const struct node *node, const struct cluster_counts *counts,
                           struct buffer *text) {
    const struct cluster *cluster = node->cluster;
    const struct member_entry *own = &membership_member(cluster->membership, ROUTE_SELF)->entry;
    char cluster_id[IDENTITY_ID_SIZE], node_id[IDENTITY_ID_SIZE];
    identity_print_id(membership_cluster_id(cluster->membership), cluster_id);
    identity_print_id(own->id, node_id);
    buffer_append_format(text, "cluster_id:%s\r\ncluster_node_id:%s\r\n", cluster_id, node_id);
    buffer_append_format(text,
                         "cluster_members:%u\r\ncluster_members_up:%u\r\ncluster_members_suspect:%u\r\n"
                         "cluster_members_down:%u\r\ncluster_members_settled:%u\r\n",
                         counts->members, counts->up, counts->suspect, counts->down, counts->settled);
    buffer_append_format(text,
                         "cluster_ring_epoch:%llu\r\ncluster_ring_digest:%016llx\r\ncluster_copies:%u\r\n"
                         "cluster_slots_coordinated:%u\r\ncluster_slots_held:%u\r\ncluster_slots_lost:%u\r\n",
                         (unsigned long long)cluster->route_epoch,
                         cluster->ring == NULL ? 0 : (unsigned long long)cluster->ring->digest,
                         node->config->replication_factor, counts->slots_own, counts->slots_held,
                         counts->slots_lost);
    buffer_append_format(text, "cluster_is_settled:%u\r\ncluster_joining:%u\r\ncluster_agrees:%u\r\n",
                         cluster->is_settled, cluster->is_joining, agrees_with_all(node, counts));
}

static void append_records(const struct entries_outcome *outcome, struct buffer *text) {
    buffer_append_format(text,
                         "records_applied:%llu\r\nrecords_changed:%llu\r\nrecords_stale:%llu\r\n"
                         "records_refused:%llu\r\nrecords_conflicts:%llu\r\n",
                         (unsigned long long)outcome->applied, (unsigned long long)outcome->changed,
                         (unsigned long long)outcome->stale, (unsigned long long)outcome->refused,
                         (unsigned long long)outcome->conflicts);
}

static void append_traffic(const struct cluster *cluster, struct buffer *text) {
    buffer_append_format(
        text,
        "forwarded_commands:%llu\r\nforwarded_commands_executed:%llu\r\n"
        "redirected_commands:%llu\r\nretried_commands:%llu\r\nindeterminate_commands:%llu\r\n",
        (unsigned long long)cluster->forwarded, (unsigned long long)cluster->forwarded_here,
        (unsigned long long)cluster->redirected, (unsigned long long)cluster->retried,
        (unsigned long long)cluster->indeterminate);
    const struct failover *failover = &cluster->failover;
    double resent = cluster->forwarded == 0 ? 0 : (double)failover->resends / (double)cluster->forwarded;
    buffer_append_format(
        text,
        "passed_over_peers:%u\r\nfailovers:%llu\r\nresent_commands:%llu\r\nresent_percent:%.2f\r\n"
        "refused_late_commands:%llu\r\npauses:%llu\r\nleaving:%u\r\n",
        failover->passed_count, (unsigned long long)failover->passes, (unsigned long long)failover->resends,
        100 * resent, (unsigned long long)failover->refused_late, (unsigned long long)failover->pauses,
        failover->leave_phase != LEAVE_NOT);
    buffer_append_format(text, "gossip_output_bytes:%llu\r\ngossip_input_bytes:%llu\r\n",
                         (unsigned long long)membership_bytes_out(cluster->membership),
                         (unsigned long long)membership_bytes_in(cluster->membership));
    const struct compare_statistics *compared = &cluster->compare_statistics;
    buffer_append_format(text,
                         "antientropy_rounds:%llu\r\nantientropy_rounds_equal:%llu\r\n"
                         "antientropy_slots_differed:%llu\r\nantientropy_keys_sent:%llu\r\n"
                         "antientropy_keys_asked_for:%llu\r\nantientropy_output_bytes:%llu\r\n"
                         "antientropy_input_bytes:%llu\r\n",
                         (unsigned long long)compared->rounds, (unsigned long long)compared->equal_rounds,
                         (unsigned long long)compared->slots_differed,
                         (unsigned long long)compared->keys_sent,
                         (unsigned long long)compared->keys_asked_for,
                         (unsigned long long)compared->bytes_out, (unsigned long long)compared->bytes_in);
    append_records(&cluster->outcome, text);
}

/* Comparisons that run, and what is kept of deleted keys. */
static void append_repair(const struct node *node, struct buffer *text) {
    const struct cluster *cluster = node->cluster;
    const struct ledger *ledger = node->keyspace->ledger;
    uint32_t running = 0, slots_left = 0;
    for (uint32_t i = 0; i < cluster->peer_capacity; i++) {
        const struct peer *peer = cluster->peers[i];
        if (peer == NULL || peer->comparer.state != COMPARE_RUNNING)
            continue;
        running++;
        slots_left += slot_set_count(&peer->comparer.to_compare);
    }
    buffer_append_format(text,
                         "antientropy_running:%u\r\nantientropy_slots_left:%u\r\ntombstones:%llu\r\n"
                         "tombstones_dropped:%llu\r\nrecords_buried:%llu\r\nslots_sure:%u\r\n",
                         running, slots_left, (unsigned long long)ledger->tombstone_count,
                         (unsigned long long)ledger->floors.dropped,
                         (unsigned long long)cluster->outcome.buried, slot_set_count(&cluster->sure));
}

/* What others have missed, and this node will hand over. */
static void append_hints(const struct node *node, struct buffer *text) {
    const struct cluster *cluster = node->cluster;
    const struct hints *hints = &cluster->hints;
    uint64_t keys = 0, delivered = 0, dropped = 0;
    uint32_t number = 0;
    for (uint32_t i = 1; i < membership_count(cluster->membership); i++) {
        const struct hint_target *target = hints_target(hints, (uint16_t)i);
        if (target == NULL)
            continue;
        keys += hints_count(hints, (uint16_t)i);
        delivered += target->delivered;
        dropped += target->dropped;
        if (!hints_has_any(hints, (uint16_t)i) && target->delivered == 0 && target->dropped == 0)
            continue;
        char id[IDENTITY_ID_SIZE];
        identity_print_id(membership_member(cluster->membership, (uint16_t)i)->entry.id, id);
        buffer_append_format(
            text, "hints%u:id=%s,keys=%u,bytes=%llu,oldest_ms=%llu,delivered=%llu,dropped=%llu\r\n", number++,
            id, hints_count(hints, (uint16_t)i), (unsigned long long)target->used_bytes,
            (unsigned long long)hints_age_ms(hints, (uint16_t)i, node->monotonic_ms),
            (unsigned long long)target->delivered, (unsigned long long)target->dropped);
    }
    buffer_append_format(
        text, "hints_keys:%llu\r\nhints_bytes:%llu\r\nhints_delivered:%llu\r\nhints_dropped:%llu\r\n",
        (unsigned long long)keys, (unsigned long long)hints->used_bytes, (unsigned long long)delivered,
        (unsigned long long)dropped);
}

/* Links that came to nothing because one end does not want the other. */
static void append_refusals(const struct node *node, struct buffer *text) {
    const struct refusals *refusals = &node->cluster->refusals;
    char printed[REFUSALS_PRINTED_SIZE];
    uint32_t number = 0;
    for (uint32_t i = refusals_next(refusals, 0, node->monotonic_ms); i < REFUSALS_MAX;
         i = refusals_next(refusals, i + 1, node->monotonic_ms)) {
        refusals_print(&refusals->places[i], node->monotonic_ms, printed);
        buffer_append_format(text, "cluster_refused%u:%s\r\n", number++, printed);
    }
    buffer_append_format(text, "cluster_refused_now:%u\r\ncluster_refused_links:%llu\r\n", number,
                         (unsigned long long)refusals->count);
}

static void append_quorums(const struct node *node, struct buffer *text) {
    struct quorum_facts facts;
    quorum_read_facts(node, &facts);
    buffer_append_format(text,
                         "quorum_copies:%u\r\nquorum_read:%u\r\nquorum_write:%u\r\nquorum_overlaps:%s\r\n"
                         "quorum_sloppy:%s\r\n",
                         facts.copies, facts.read, facts.write,
                         facts.read + facts.write > facts.copies ? "yes" : "no",
                         node->config->sloppy_quorum ? "yes" : "no");
    buffer_append_format(text,
                         "quorum_waits:%llu\r\nquorum_timeouts:%llu\r\nquorum_gathers:%llu\r\n"
                         "noquorum:%llu\r\nread_repairs:%llu\r\n",
                         (unsigned long long)facts.waits, (unsigned long long)facts.timeouts,
                         (unsigned long long)facts.gathers, (unsigned long long)facts.refused,
                         (unsigned long long)facts.repairs);
}

void info_append_cluster(const struct node *node, struct buffer *text) {
    if (node->cluster == NULL)
        return;
    struct cluster_counts counts;
    cluster_count(node, &counts);
    append_members(node, &counts, text);
    append_refusals(node, text);
    append_traffic(node->cluster, text);
    append_repair(node, text);
    append_quorums(node, text);
    append_hints(node, text);
}

/* ---- Section replication ---- */

static const char *state_name(enum member_state state) {
    return state == MEMBER_UP ? "up" : state == MEMBER_SUSPECT ? "suspect" : "down";
}

/* What this node has sent a peer and does not know to have arrived. */
struct lag {
    uint64_t bytes, ms;
    uint32_t round_trip_us;
};

static struct lag lag_of(const struct node *node, const struct peer *peer) {
    if (peer == NULL || !peer_is_linked(peer))
        return (struct lag){0};
    const struct link *link = peer->out->link;
    uint64_t oldest_ms = link_oldest_unacknowledged_ms(link);
    bool waits = oldest_ms != 0 && oldest_ms < node->monotonic_ms;
    return (struct lag){.bytes = link_unacknowledged_bytes(link) + peer->records.size,
                        .ms = waits ? node->monotonic_ms - oldest_ms : 0,
                        .round_trip_us = link_round_trip_us(link)};
}

static void append_peer(const struct node *node, const struct member *member, const struct peer *peer,
                        uint32_t number, struct buffer *text) {
    static const struct peer nobody;
    const struct peer *seen = peer != NULL ? peer : &nobody;
    struct lag lag = lag_of(node, peer);
    char id[IDENTITY_ID_SIZE];
    identity_print_id(member->entry.id, id);
    buffer_append_format(
        text,
        "peer%u:id=%s,addr=%s:%u,state=%s,link=%s,lag_bytes=%llu,lag_ms=%llu,round_trip_us=%u,"
        "records_out=%llu,records_in=%llu,agreed=%s,agreed_ms_ago=%lld,hints=%u\r\n",
        number, id, member->entry.host, member->entry.port, state_name(member->state),
        peer != NULL && peer_is_linked(peer) ? "up" : "down", (unsigned long long)lag.bytes,
        (unsigned long long)lag.ms, lag.round_trip_us, (unsigned long long)seen->records_out,
        (unsigned long long)seen->records_in, seen->is_agreed ? "yes" : "no",
        seen->agreed_ms == 0 ? -1 : (long long)(node->monotonic_ms - seen->agreed_ms),
        peer != NULL ? hints_count(&node->cluster->hints, peer->member) : 0);
}

void info_append_peers(const struct node *node, struct buffer *text) {
    const struct cluster *cluster = node->cluster;
    if (cluster == NULL)
        return;
    uint64_t lag_bytes = 0, records_out = 0, records_in = 0;
    uint32_t number = 0, linked = 0;
    for (uint32_t i = 1; i < membership_count(cluster->membership); i++) {
        const struct member *member = membership_member(cluster->membership, (uint16_t)i);
        const struct peer *peer = cluster_peer(cluster, (uint16_t)i);
        if (member->state == MEMBER_REMOVED)
            continue;
        append_peer(node, member, peer, number++, text);
        if (peer == NULL)
            continue;
        linked += peer_is_linked(peer);
        lag_bytes += lag_of(node, peer).bytes;
        records_out += peer->records_out;
        records_in += peer->records_in;
    }
    buffer_append_format(text,
                         "peers:%u\r\npeers_linked:%u\r\npeers_lag_bytes:%llu\r\npeers_records_out:%llu\r\n"
                         "peers_records_in:%llu\r\n",
                         number, linked, (unsigned long long)lag_bytes, (unsigned long long)records_out,
                         (unsigned long long)records_in);
}
