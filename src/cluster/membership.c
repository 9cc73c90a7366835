/* membership.c - the object itself, what is asked of it, and what this node says about itself.
 *
 * May touch: base. Must never know: links, keys, clocks.
 * Tests: tests/unit/cluster/membership_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/membership_inside.h"

#include "base/hash.h"

#include <string.h>

#define FAN_OUT_MAX 8

/* ---- The object ---- */

static struct rumour describe_self(const struct member_entry *self) {
    struct rumour rumour = {.entry = *self, .heartbeat = 1};
    rumour.entry.version = 1;
    rumour.entry.host[MEMBER_HOST_SIZE - 1] = '\0';
    rumour.entry.zone[MEMBER_ZONE_SIZE - 1] = '\0';
    if (rumour.entry.weight > RING_WEIGHT_MAX)
        rumour.entry.weight = RING_WEIGHT_MAX;
    return rumour;
}

struct membership *membership_new(const struct membership_options *options) {
    struct membership *membership = mem_alloc_zeroed(options->mem, sizeof *membership);
    if (membership == NULL)
        return NULL;
    membership->mem = options->mem;
    rng_init(&membership->rng, options->random_seed);
    memcpy(membership->cluster_id, options->fresh_cluster_id, CLUSTER_ID_SIZE);
    membership->interval_ms = options->interval_ms > 0 ? options->interval_ms : 1;
    membership->suspect_timeout_ms = options->suspect_timeout_ms > 0 ? options->suspect_timeout_ms : 1;
    membership->fan_out = options->fan_out < 1             ? 1
                          : options->fan_out < FAN_OUT_MAX ? options->fan_out
                                                           : FAN_OUT_MAX;
    membership->now_ms = options->now_ms;
    membership->next_beat_ms = options->now_ms;
    struct rumour self = describe_self(&options->self);
    if (roster_add(membership, &self, false) == RING_NOBODY) {
        membership_free(membership);
        return NULL;
    }
    return membership;
}

void membership_free(struct membership *membership) {
    if (membership == NULL)
        return;
    struct mem *mem = membership->mem;
    gossip_drop_queue(membership);
    roster_free_spares(membership);
    for (uint32_t i = 0; i < membership->count; i++)
        mem_free(mem, membership->members[i], sizeof *membership->members[i]);
    mem_free(mem, membership->members, membership->capacity * sizeof *membership->members);
    mem_free(mem, membership->sorted, membership->capacity * sizeof *membership->sorted);
    mem_free(mem, membership->turns, membership->capacity * sizeof *membership->turns);
    mem_free(mem, membership->events, membership->event_capacity * sizeof *membership->events);
    mem_free(mem, membership->queue, membership->queue_capacity * sizeof *membership->queue);
    mem_free(mem, membership, sizeof *membership);
}

/* ---- What is known ---- */

uint32_t membership_count(const struct membership *membership) {
    return membership->count;
}

const struct member *membership_member(const struct membership *membership, uint16_t index) {
    CHECK(index < membership->count);
    return &roster_at(membership, index)->member;
}

uint16_t membership_find(const struct membership *membership, const uint8_t id[NODE_ID_SIZE]) {
    bool is_found;
    uint32_t place = roster_search(membership, id, &is_found);
    return is_found ? membership->sorted[place] : RING_NOBODY;
}

uint32_t membership_live_count(const struct membership *membership) {
    return membership->live_count;
}

bool membership_is_alone(const struct membership *membership) {
    return !membership->had_company;
}

const uint8_t *membership_cluster_id(const struct membership *membership) {
    return membership->cluster_id;
}

uint64_t membership_epoch(const struct membership *membership) {
    return membership->epoch;
}

uint64_t membership_digest(const struct membership *membership) {
    return membership->digest;
}

uint64_t membership_bytes_out(const struct membership *membership) {
    return membership->bytes_out;
}

uint64_t membership_bytes_in(const struct membership *membership) {
    return membership->bytes_in;
}

bool membership_next_event(struct membership *membership, struct membership_event *event) {
    if (membership->event_begin == membership->event_end)
        return false;
    *event = membership->events[membership->event_begin++];
    return true;
}

bool membership_wants_link(const struct membership *membership, uint16_t member) {
    return member != 0 && member < membership->count && roster_is_present(roster_at(membership, member)) &&
           roster_self(membership)->state != MEMBER_REMOVED;
}

uint32_t membership_ring_members(const struct membership *membership, struct ring_member *members,
                                 uint16_t *indexes) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < membership->count && count < RING_MEMBERS_MAX; i++) {
        const struct roster_member *one = roster_at(membership, (uint16_t)i);
        if (!roster_is_present(one))
            continue;
        struct ring_member *member = &members[count];
        memcpy(member->id, one->member.entry.id, NODE_ID_SIZE);
        member->weight = one->member.entry.weight;
        member->zone = XXH3_64bits(one->member.entry.zone, strlen(one->member.entry.zone));
        indexes[count++] = (uint16_t)i;
    }
    return count;
}

/* ---- What this node says about itself ---- */

static void self_changed(struct membership *membership) {
    roster_self(membership)->entry.version++;
    roster_entry_changed(membership, 0);
}

void membership_set_settled(struct membership *membership, bool is_settled) {
    if (roster_self(membership)->entry.is_settled == is_settled)
        return;
    roster_self(membership)->entry.is_settled = is_settled;
    roster_self(membership)->entry.was_settled |= is_settled;
    self_changed(membership);
}

void membership_set_unsettled_ever(struct membership *membership) {
    struct member_entry *entry = &roster_self(membership)->entry;
    if (!entry->is_settled && !entry->was_settled)
        return;
    entry->is_settled = entry->was_settled = false;
    self_changed(membership);
}

/* As many bytes as fit, and zeros behind them: equal texts are equal bytes. */
static void set_text(char *text, size_t room, const char *value) {
    size_t size = strnlen(value, room - 1);
    memset(text, 0, room);
    memcpy(text, value, size);
}

void membership_set_address(struct membership *membership, const char *host, uint16_t port,
                            uint16_t cluster_port, uint16_t peer_port) {
    struct member_entry *entry = &roster_self(membership)->entry;
    if (strcmp(entry->host, host) == 0 && entry->port == port && entry->cluster_port == cluster_port &&
        entry->peer_port == peer_port)
        return;
    set_text(entry->host, sizeof entry->host, host);
    entry->port = port;
    entry->cluster_port = cluster_port;
    entry->peer_port = peer_port;
    self_changed(membership);
}

void membership_set_place(struct membership *membership, const char *zone, uint32_t weight) {
    struct member_entry *entry = &roster_self(membership)->entry;
    if (weight > RING_WEIGHT_MAX)
        weight = RING_WEIGHT_MAX;
    if (strcmp(entry->zone, zone) == 0 && entry->weight == weight)
        return;
    set_text(entry->zone, sizeof entry->zone, zone);
    entry->weight = weight;
    self_changed(membership);
}

void membership_set_incarnation(struct membership *membership, uint64_t incarnation) {
    struct member_entry *entry = &roster_self(membership)->entry;
    if (incarnation <= entry->incarnation)
        return;
    entry->incarnation = incarnation;
    entry->version = 0;
    self_changed(membership);
    gossip_greet_everybody(membership);
}

void membership_set_leaving(struct membership *membership, bool is_leaving) {
    if (roster_self(membership)->entry.is_leaving == is_leaving)
        return;
    roster_self(membership)->entry.is_leaving = is_leaving;
    self_changed(membership);
    gossip_greet_everybody(membership);
}

void membership_announce(struct membership *membership) {
    gossip_greet_everybody(membership);
}

void membership_set_load(struct membership *membership, uint64_t keys, uint64_t operations_per_s,
                         uint64_t used_bytes) {
    struct member *self = roster_self(membership);
    self->keys = keys;
    self->operations_per_s = operations_per_s;
    self->used_bytes = used_bytes;
}

void membership_set_hinted(struct membership *membership, uint64_t hinted) {
    roster_self(membership)->hinted = hinted;
}

bool membership_forget(struct membership *membership, const uint8_t id[NODE_ID_SIZE]) {
    uint16_t index = membership_find(membership, id);
    if (index == RING_NOBODY || index == 0 || !roster_is_present(roster_at(membership, index)) ||
        !roster_remove(membership, index))
        return false;
    /* It shall know why nobody speaks to it any more. */
    gossip_send_notice(membership, index);
    gossip_greet_everybody(membership);
    return true;
}
