/* membership_meeting.c - introductions on new links, and which of two clusters' ids stays.
 *
 * A node that expects the other end to take over its cluster's id does not count it as a member before it has heard it under
 * that id: two ends may judge by what is no longer true, because a node meets several others at once. Until then the
 * other is a stranger: it has an index, gets gossip, and is nobody's replica.
 * May touch: base. Must never know: links, files.
 * Tests: tests/unit/cluster/membership_test.c, tests/fuzz/gossip_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/gossip_codec.h"

#include "base/encode.h"

#include <string.h>

#define INTRODUCTION_FORMAT 2

/* Nodes that are started together, each naming the others as seeds, pair off before they all know each other; for this many
 * suspect timeouts after the first met, such groups may still become one. */
#define FORMING_TIMEOUTS 5
#define FOREIGN_TIMEOUTS 5 /* between two reports of foreign nodes */

/* ---- Ranks ---- */

enum cluster_rank meeting_rank(const struct membership *membership) {
    if (membership_is_alone(membership))
        return CLUSTER_ALONE;
    return membership->now_ms < membership->forming_until_ms ? CLUSTER_FORMING : CLUSTER_SETTLED;
}

enum meeting meeting_judge(const struct membership *membership, const uint8_t their_id[CLUSTER_ID_SIZE],
                           enum cluster_rank their_rank) {
    enum cluster_rank rank = meeting_rank(membership);
    int order = memcmp(their_id, membership->cluster_id, CLUSTER_ID_SIZE);
    if (order == 0)
        return MEETING_SAME;
    if (rank != their_rank)
        return rank < their_rank ? MEETING_ADOPT : MEETING_KEEP;
    if (rank == CLUSTER_SETTLED)
        return MEETING_FOREIGN;
    return order < 0 ? MEETING_ADOPT : MEETING_KEEP;
}

void meeting_note_company(struct membership *membership) {
    if (membership->had_company)
        return;
    membership->had_company = true;
    membership->forming_until_ms = membership->now_ms + FORMING_TIMEOUTS * membership->suspect_timeout_ms;
}

void meeting_adopt(struct membership *membership, const uint8_t their_id[CLUSTER_ID_SIZE],
                   enum cluster_rank their_rank) {
    meeting_note_company(membership);
    if (their_rank == CLUSTER_SETTLED)
        membership->forming_until_ms = 0;
    memcpy(membership->cluster_id, their_id, CLUSTER_ID_SIZE);
    for (uint32_t i = 1; i < membership->count; i++)
        roster_at(membership, (uint16_t)i)->is_heard_here = false;
    membership->epoch++;
    roster_add_event(membership, MEMBERSHIP_ADOPTED, RING_NOBODY, 0);
    gossip_greet_everybody(membership);
}

void meeting_report_foreign(struct membership *membership, uint16_t member) {
    if (membership->now_ms < membership->next_foreign_ms || !roster_reserve_events(membership, 1))
        return;
    membership->next_foreign_ms = membership->now_ms + FOREIGN_TIMEOUTS * membership->suspect_timeout_ms;
    roster_add_event(membership, MEMBERSHIP_FOREIGN, member, 0);
}

/* Whether a member could be of this node's cluster still. */
static bool is_company(const struct membership *membership, const struct roster_member *one) {
    bool is_apart = one->is_foreign && memcmp(one->foreign_id, membership->cluster_id, CLUSTER_ID_SIZE) != 0;
    return roster_is_live(one) && !is_apart;
}

/* How many others could be of this node's cluster, or are so for certain: what is boasted of to others. A node that has just begun
 * takes for alive whom its file names, and one that has taken over another id does not know who else did. */
static uint32_t count_company(const struct membership *membership, bool is_certain) {
    uint32_t count = 0;
    for (uint32_t i = 1; i < membership->count; i++) {
        const struct roster_member *one = roster_at(membership, (uint16_t)i);
        count += is_company(membership, one) &&
                 (!is_certain || (one->is_heard_here && one->member.state == MEMBER_UP));
    }
    return count;
}

/* A member says that it belongs to another cluster, in which it hears so many others. Once they were of one: some have taken over
 * another id since, and this node or the other has missed it (it ended before it had kept what it had agreed to, or came back with
 * an old disk). So the fewer follow the more, and of equally many the lower id stays. Who is down is not waited for: it may be
 * gone for good, and the word of that goes only to those who are of one cluster already. */
static bool is_left_behind(const struct membership *membership, const uint8_t their_id[CLUSTER_ID_SIZE],
                           uint32_t their_company) {
    uint32_t company = count_company(membership, false);
    if (company != their_company)
        return company < their_company;
    return memcmp(their_id, membership->cluster_id, CLUSTER_ID_SIZE) < 0;
}

/* ---- Introductions ---- */

bool membership_write_introduction(const struct membership *membership, struct buffer *introduction) {
    uint8_t bytes[4 + CLUSTER_ID_SIZE + GOSSIP_ENTRY_SIZE_MAX], *end = bytes;
    const struct member *self = roster_self(membership);
    struct rumour rumour = {.entry = self->entry, .heartbeat = self->heartbeat};
    *end++ = INTRODUCTION_FORMAT;
    *end++ = (uint8_t)meeting_rank(membership);
    end = encode_fixed(end, count_company(membership, true), 2);
    memcpy(end, membership->cluster_id, CLUSTER_ID_SIZE);
    end = gossip_write_entry(end + CLUSTER_ID_SIZE, &rumour);
    return buffer_append(introduction, bytes, (size_t)(end - bytes));
}

struct introduction_fields {
    const uint8_t *cluster_id;
    enum cluster_rank rank;
    uint32_t company; /* other members of its cluster that it hears */
    struct rumour rumour;
};

static bool read_introduction(const uint8_t *data, size_t size, struct introduction_fields *fields) {
    struct cursor cursor = cursor_make(data, size);
    uint8_t format = cursor_u8(&cursor), rank = cursor_u8(&cursor);
    fields->rank = rank;
    fields->company = cursor_u16(&cursor);
    fields->cluster_id = cursor_bytes(&cursor, CLUSTER_ID_SIZE);
    gossip_read_entry(&cursor, &fields->rumour);
    return format == INTRODUCTION_FORMAT && rank < CLUSTER_RANKS && !fields->rumour.is_removed &&
           !fields->rumour.is_down && cursor_is_done(&cursor);
}

/* A member introduces itself (again). Is it the process that is known, a later life of it, or another process? */
static enum introduction meet_known(struct membership *membership, uint16_t index,
                                    const struct rumour *rumour) {
    struct roster_member *one = roster_at(membership, index);
    const struct member_entry *known = &one->member.entry, *entry = &rumour->entry;
    bool is_heard = !one->is_stranger && one->member.state == MEMBER_UP && one->is_heartbeat_known &&
                    membership->now_ms - one->member.heard_ms <= membership->suspect_timeout_ms;
    if (entry->run != known->run && entry->incarnation <= known->incarnation) {
        if (is_heard) {
            roster_report_rival(membership, index, entry->run);
            return INTRODUCTION_DUPLICATE;
        }
        /* It has forgotten its former life. Told what is known of that, it will take a later incarnation, and be heard. */
        one->notice_ms = 0;
        gossip_send_notice(membership, index);
        return INTRODUCTION_WELCOME;
    }
    if (roster_compare_entries(entry, known) > 0 && !roster_update(membership, index, rumour))
        return INTRODUCTION_NO_MEMORY;
    if (one->is_stranger)
        return INTRODUCTION_WELCOME;
    if (entry->incarnation == one->member.entry.incarnation) {
        detector_hear(membership, index, rumour->heartbeat, HEARD_DIRECTLY);
        /* The link is new, so even a heartbeat that is known proves that it lives. */
        one->is_broken_refuted = false;
        detector_revive(membership, index);
    }
    return INTRODUCTION_WELCOME;
}

static enum introduction meet(struct membership *membership, const struct introduction_fields *fields,
                              enum meeting meeting, uint16_t *member) {
    uint16_t index = membership_find(membership, fields->rumour.entry.id);
    if (!roster_reserve_events(membership, 4))
        return INTRODUCTION_NO_MEMORY;
    if (index == RING_NOBODY) {
        index = roster_add(membership, &fields->rumour, true);
        if (index == RING_NOBODY)
            return INTRODUCTION_NO_MEMORY;
    } else {
        enum introduction verdict = meet_known(membership, index, &fields->rumour);
        if (verdict != INTRODUCTION_WELCOME)
            return verdict;
    }
    if (meeting == MEETING_ADOPT)
        meeting_adopt(membership, fields->cluster_id, fields->rank);
    if (meeting != MEETING_KEEP && roster_at(membership, index)->is_stranger &&
        !roster_confirm(membership, index))
        return INTRODUCTION_NO_MEMORY;
    /* Both ends get to know at once what the other knows. */
    gossip_enqueue(membership, index, GOSSIP_GREETING);
    *member = index;
    return INTRODUCTION_WELCOME;
}

/* Somebody who has an index here says which cluster it belongs to. Returns what is made of that. */
static enum meeting judge_known(const struct membership *membership, struct roster_member *one,
                                const struct introduction_fields *fields) {
    enum meeting meeting = meeting_judge(membership, fields->cluster_id, fields->rank);
    one->is_foreign = meeting == MEETING_FOREIGN && !one->is_stranger;
    memcpy(one->foreign_id, fields->cluster_id, CLUSTER_ID_SIZE);
    return one->is_foreign && is_left_behind(membership, fields->cluster_id, fields->company) ? MEETING_ADOPT
                                                                                              : meeting;
}

enum introduction membership_introduce(struct membership *membership, const uint8_t *data, size_t size,
                                       uint64_t now_ms, uint16_t *member) {
    struct introduction_fields fields;
    *member = RING_NOBODY;
    membership_note_time(membership, now_ms);
    if (!read_introduction(data, size, &fields))
        return INTRODUCTION_MALFORMED;
    uint16_t index = membership_find(membership, fields.rumour.entry.id);
    if (index == 0) {
        if (fields.rumour.entry.run == roster_self(membership)->entry.run)
            return INTRODUCTION_SELF;
        roster_report_rival(membership, 0, fields.rumour.entry.run);
        return INTRODUCTION_DUPLICATE;
    }
    struct roster_member *known = index == RING_NOBODY ? NULL : roster_at(membership, index);
    if (known != NULL && known->member.state == MEMBER_REMOVED && !known->is_stranger)
        return INTRODUCTION_REMOVED;
    enum meeting meeting = known == NULL ? meeting_judge(membership, fields.cluster_id, fields.rank)
                                         : judge_known(membership, known, &fields);
    if (meeting == MEETING_FOREIGN) {
        meeting_report_foreign(membership, index);
        return INTRODUCTION_FOREIGN;
    }
    return meet(membership, &fields, meeting, member);
}
