/* membership_roster.c - who is a member under which entry: entries come in, the newest stays, digests and events come out.
 *
 * The digests are sums of one hash per member, so a change costs one subtraction and one addition, and the order in which
 * members became known does not matter.
 * May touch: base. Must never know: who suspects whom, messages, files.
 * Tests: tests/unit/cluster/membership_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/gossip_codec.h"

#include "base/encode.h"
#include "base/hash.h"

#include <string.h>

/* A rumour goes with so many messages from each node that knows it, times the depth: digests catch what was missed. */
#define TELLS_PER_DEPTH 2

/* ---- Events ---- */

bool roster_reserve_events(struct membership *membership, uint32_t more) {
    if (membership->event_begin == membership->event_end)
        membership->event_begin = membership->event_end = 0;
    if (membership->event_capacity - membership->event_end >= more)
        return true;
    uint32_t waiting = membership->event_end - membership->event_begin;
    if (waiting > 0)
        memmove(membership->events, membership->events + membership->event_begin,
                waiting * sizeof *membership->events);
    membership->event_begin = 0;
    membership->event_end = waiting;
    if (membership->event_capacity - waiting >= more)
        return true;
    uint32_t capacity = 2 * (waiting + more);
    struct membership_event *events =
        mem_resize(membership->mem, membership->events, membership->event_capacity * sizeof *events,
                   capacity * sizeof *events);
    if (events == NULL)
        return false;
    membership->events = events;
    membership->event_capacity = capacity;
    return true;
}

void roster_add_event(struct membership *membership, enum membership_event_kind kind, uint16_t member,
                      uint64_t incarnation) {
    CHECK(membership->event_end < membership->event_capacity);
    membership->events[membership->event_end++] = (struct membership_event){kind, member, incarnation};
}

/* ---- Entries ---- */

static int compare_numbers(uint64_t one, uint64_t other) {
    return one < other ? -1 : one > other;
}

uint64_t roster_hash_entry(const struct member_entry *entry) {
    uint8_t bytes[GOSSIP_ENTRY_SIZE_MAX];
    struct rumour rumour = {.entry = *entry};
    return XXH3_64bits(bytes, (size_t)(gossip_write_entry(bytes, &rumour) - bytes));
}

/* Two entries of one run under one version should not be: then their hashes decide, so that all nodes keep the same one. */
int roster_compare_entries(const struct member_entry *one, const struct member_entry *other) {
    int order = compare_numbers(one->incarnation, other->incarnation);
    if (order == 0)
        order = compare_numbers(one->run, other->run);
    if (order == 0)
        order = compare_numbers(one->version, other->version);
    if (order == 0)
        order = compare_numbers(roster_hash_entry(one), roster_hash_entry(other));
    return order;
}

static uint64_t hash_of_roster(const struct member_entry *entry) {
    uint8_t bytes[NODE_ID_SIZE + 8];
    memcpy(bytes, entry->id, NODE_ID_SIZE);
    encode_fixed(bytes + NODE_ID_SIZE, entry->incarnation, 8);
    return XXH3_64bits(bytes, sizeof bytes);
}

static uint64_t hash_of_removed(const uint8_t id[NODE_ID_SIZE]) {
    return XXH3_64bits(id, NODE_ID_SIZE);
}

void roster_entry_changed(struct membership *membership, uint16_t index) {
    struct roster_member *one = roster_at(membership, index);
    bool is_removed = one->member.state == MEMBER_REMOVED;
    uint64_t entry_hash =
        is_removed ? hash_of_removed(one->member.entry.id) : roster_hash_entry(&one->member.entry);
    uint64_t roster_hash = is_removed ? 0 : hash_of_roster(&one->member.entry);
    if (one->is_stranger)
        entry_hash = roster_hash = 0;
    membership->digest += entry_hash - one->entry_hash;
    membership->roster_digest += roster_hash - one->roster_hash;
    one->entry_hash = entry_hash;
    one->roster_hash = roster_hash;
    one->changed_ms = membership->now_ms;
    one->tells_left = (uint8_t)(TELLS_PER_DEPTH * (1 + gossip_depth(membership)));
    membership->epoch++;
}

void roster_set_state(struct membership *membership, uint16_t index, enum member_state state) {
    struct roster_member *one = roster_at(membership, index);
    membership->present_count -= roster_is_present(one);
    membership->live_count -= roster_is_live(one);
    one->member.state = state;
    one->member.state_ms = membership->now_ms;
    membership->present_count += roster_is_present(one);
    membership->live_count += roster_is_live(one);
    if (state == MEMBER_DOWN)
        detector_doubt(membership, one);
}

/* ---- Members ---- */

uint32_t roster_search(const struct membership *membership, const uint8_t id[NODE_ID_SIZE], bool *is_found) {
    uint32_t low = 0, high = membership->count;
    *is_found = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order =
            memcmp(roster_at(membership, membership->sorted[middle])->member.entry.id, id, NODE_ID_SIZE);
        if (order == 0) {
            *is_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* All three grow, or none does. */
static bool reserve_arrays(struct membership *membership, uint32_t more) {
    if (membership->capacity - membership->count >= more)
        return true;
    uint32_t old = membership->capacity, capacity = 2 * (membership->count + more);
    struct roster_member **members = mem_alloc(membership->mem, capacity * sizeof *members);
    uint16_t *sorted = mem_alloc(membership->mem, capacity * sizeof *sorted);
    uint16_t *turns = mem_alloc(membership->mem, capacity * sizeof *turns);
    if (members == NULL || sorted == NULL || turns == NULL) {
        mem_free(membership->mem, members, capacity * sizeof *members);
        mem_free(membership->mem, sorted, capacity * sizeof *sorted);
        mem_free(membership->mem, turns, capacity * sizeof *turns);
        return false;
    }
    if (membership->count > 0) {
        memcpy(members, membership->members, membership->count * sizeof *members);
        memcpy(sorted, membership->sorted, membership->count * sizeof *sorted);
        memcpy(turns, membership->turns, membership->count * sizeof *turns);
    }
    mem_free(membership->mem, membership->members, old * sizeof *members);
    mem_free(membership->mem, membership->sorted, old * sizeof *sorted);
    mem_free(membership->mem, membership->turns, old * sizeof *turns);
    membership->members = members;
    membership->sorted = sorted;
    membership->turns = turns;
    membership->capacity = capacity;
    return true;
}

bool roster_reserve_members(struct membership *membership, uint32_t more) {
    if (!reserve_arrays(membership, more))
        return false;
    for (; more > 0; more--) {
        struct roster_member *spare = mem_alloc(membership->mem, sizeof *spare);
        if (spare == NULL) {
            roster_free_spares(membership);
            return false;
        }
        spare->next_spare = membership->spares;
        membership->spares = spare;
    }
    return true;
}

void roster_free_spares(struct membership *membership) {
    while (membership->spares != NULL) {
        struct roster_member *spare = membership->spares;
        membership->spares = spare->next_spare;
        mem_free(membership->mem, spare, sizeof *spare);
    }
}

/* Puts the index where the id belongs, and in for a turn at a random place. */
static void enter(struct membership *membership, uint16_t index, const uint8_t id[NODE_ID_SIZE]) {
    bool is_found;
    uint32_t place = roster_search(membership, id, &is_found);
    memmove(membership->sorted + place + 1, membership->sorted + place,
            (membership->count - place) * sizeof *membership->sorted);
    membership->sorted[place] = index;
    if (index == 0)
        return;
    uint32_t last = index - 1u, turn = (uint32_t)rng_below(&membership->rng, index);
    if (turn != last)
        membership->turns[last] = membership->turns[turn];
    membership->turns[turn] = index;
}

uint16_t roster_add(struct membership *membership, const struct rumour *rumour, bool is_stranger) {
    bool is_full = membership->count >= ROSTER_SIZE_MAX ||
                   (membership->present_count >= RING_MEMBERS_MAX && !rumour->is_removed);
    if (is_full || !roster_reserve_events(membership, 2) ||
        (membership->spares == NULL && !roster_reserve_members(membership, 1)))
        return RING_NOBODY;
    struct roster_member *one = membership->spares;
    uint16_t index = (uint16_t)membership->count;
    membership->spares = one->next_spare;
    *one = (struct roster_member){
        .member = {.entry = rumour->entry,
                   .state = MEMBER_REMOVED,
                   .heartbeat = rumour->heartbeat,
                   .heard_ms = membership->now_ms},
        .is_heartbeat_known = rumour->heartbeat > 0,
        .is_stranger = is_stranger,
    };
    membership->members[index] = one;
    enter(membership, index, rumour->entry.id);
    membership->count++;
    if (!rumour->is_removed)
        roster_set_state(membership, index,
                         is_stranger       ? MEMBER_REMOVED
                         : rumour->is_down ? MEMBER_DOWN
                                           : MEMBER_UP);
    roster_entry_changed(membership, index);
    if (is_stranger || index == 0)
        return index;
    roster_add_event(membership, rumour->is_removed ? MEMBERSHIP_REMOVED : MEMBERSHIP_JOINED, index,
                     rumour->entry.incarnation);
    if (rumour->is_down)
        roster_add_event(membership, MEMBERSHIP_DOWN, index, rumour->entry.incarnation);
    meeting_note_company(membership);
    return index;
}

bool roster_confirm(struct membership *membership, uint16_t index) {
    struct roster_member *one = roster_at(membership, index);
    if (membership->present_count >= RING_MEMBERS_MAX || !roster_reserve_events(membership, 1))
        return false;
    one->is_stranger = false;
    one->member.heard_ms = membership->now_ms;
    roster_set_state(membership, index, MEMBER_UP);
    /* The count of present members was taken while it was none. */
    roster_entry_changed(membership, index);
    roster_add_event(membership, MEMBERSHIP_JOINED, index, one->member.entry.incarnation);
    meeting_note_company(membership);
    return true;
}

bool roster_update(struct membership *membership, uint16_t index, const struct rumour *rumour) {
    struct roster_member *one = roster_at(membership, index);
    struct member_entry *entry = &one->member.entry;
    bool is_restart = rumour->entry.incarnation != entry->incarnation || rumour->entry.run != entry->run;
    if (!roster_reserve_events(membership, 2))
        return false;
    *entry = rumour->entry;
    if (!is_restart) {
        roster_entry_changed(membership, index);
        if (!one->is_stranger)
            roster_add_event(membership, MEMBERSHIP_CHANGED, index, entry->incarnation);
        return true;
    }
    /* Nothing that was known of the process before it holds for this one. */
    detector_acquit(one);
    one->member.heartbeat = rumour->heartbeat;
    one->member.heard_ms = membership->now_ms;
    one->is_heartbeat_known = rumour->heartbeat > 0;
    one->is_heard_here = false;
    one->is_broken_refuted = false;
    one->load_heartbeat = 0;
    one->rival_run = 0;
    if (one->is_stranger) {
        roster_entry_changed(membership, index);
        return true;
    }
    roster_set_state(membership, index, rumour->is_down ? MEMBER_DOWN : MEMBER_UP);
    roster_entry_changed(membership, index);
    roster_add_event(membership, MEMBERSHIP_RESTARTED, index, entry->incarnation);
    if (rumour->is_down)
        roster_add_event(membership, MEMBERSHIP_DOWN, index, entry->incarnation);
    return true;
}

bool roster_remove(struct membership *membership, uint16_t index) {
    struct roster_member *one = roster_at(membership, index);
    if (!roster_reserve_events(membership, 1))
        return false;
    one->is_stranger = false;
    detector_acquit(one);
    roster_set_state(membership, index, MEMBER_REMOVED);
    roster_entry_changed(membership, index);
    roster_add_event(membership, index == 0 ? MEMBERSHIP_SELF_REMOVED : MEMBERSHIP_REMOVED, index,
                     one->member.entry.incarnation);
    return true;
}

void roster_report_rival(struct membership *membership, uint16_t index, uint64_t run) {
    struct roster_member *one = roster_at(membership, index);
    if (one->rival_run == run || !roster_reserve_events(membership, 1))
        return;
    one->rival_run = run;
    roster_add_event(membership, MEMBERSHIP_DUPLICATE, index, one->member.entry.incarnation);
}

/* ---- Rumours ---- */

/* A peer knows this node in a later life, or another process under its id; telling it once per incarnation is enough. After this
 * node has risen above that, a second such report means that somebody else rises, too. */
static void hear_of_later_self(struct membership *membership, const struct member_entry *entry) {
    if (entry->incarnation <= membership->outdated_incarnation || !roster_reserve_events(membership, 2))
        return;
    membership->outdated_incarnation = entry->incarnation;
    roster_add_event(membership, MEMBERSHIP_SELF_OUTDATED, 0, entry->incarnation);
    if (membership->outdated_times++ > 0 && entry->run != roster_self(membership)->entry.run)
        roster_report_rival(membership, 0, entry->run);
}

static void hear_of_self(struct membership *membership, const struct rumour *rumour) {
    struct member *self = roster_self(membership);
    const struct member_entry *entry = &rumour->entry;
    if (self->state == MEMBER_REMOVED)
        return;
    if (rumour->is_removed) {
        roster_remove(membership, 0);
        return;
    }
    if (entry->incarnation < self->entry.incarnation)
        return;
    if (entry->incarnation > self->entry.incarnation || entry->run != self->entry.run) {
        hear_of_later_self(membership, entry);
        return;
    }
    if (roster_compare_entries(entry, &self->entry) > 0) {
        self->entry.version = entry->version + 1;
        roster_entry_changed(membership, 0);
    }
    if (rumour->heartbeat > self->heartbeat)
        self->heartbeat = rumour->heartbeat + 1;
    if (rumour->is_down)
        membership->wants_refutation = true;
}

static bool was_heard_lately(const struct membership *membership, const struct roster_member *one) {
    return one->member.state == MEMBER_UP &&
           membership->now_ms - one->member.heard_ms <= membership->suspect_timeout_ms;
}

void roster_hear(struct membership *membership, const struct rumour *rumour, uint16_t from) {
    const struct member_entry *entry = &rumour->entry;
    uint16_t index = membership_find(membership, entry->id);
    if (index == 0) {
        hear_of_self(membership, rumour);
        return;
    }
    if (index == RING_NOBODY) {
        roster_add(membership, rumour, false);
        return;
    }
    struct roster_member *one = roster_at(membership, index);
    if (one->member.state == MEMBER_REMOVED && !one->is_stranger)
        return;
    if (rumour->is_removed) {
        roster_remove(membership, index);
        return;
    }
    if (one->is_stranger && !roster_confirm(membership, index))
        return;
    if (entry->incarnation == one->member.entry.incarnation && entry->run != one->member.entry.run &&
        was_heard_lately(membership, one))
        roster_report_rival(membership, index, entry->run);
    if (roster_compare_entries(entry, &one->member.entry) > 0 && !roster_update(membership, index, rumour))
        return;
    if (rumour->heartbeat > 0 && entry->incarnation == one->member.entry.incarnation &&
        entry->run == one->member.entry.run)
        detector_hear(membership, index, rumour->heartbeat,
                      from == index     ? HEARD_DIRECTLY
                      : rumour->is_down ? HEARD_OF_SUSPECTED
                                        : HEARD_OF);
}
