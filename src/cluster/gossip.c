/* gossip.c - what is sent to whom, and what is made of a message.
 *
 * In a quiet cluster every message is a greeting: digests, and heartbeats of all present members by position in the order of
 * ids, which means the same at both ends as long as the digests of the rosters are equal (by tag if they were not when the
 * other end was last heard). An entry that has just changed goes along with the next few greetings, so that most
 * differences are gone before anybody compares digests. The rest is found by the digests and settled by conversation
 * (enum gossip_stage). Each message causes at most one other, and only where digests differ.
 * May touch: base. Must never know: who is down and why, files, links.
 * Sources: Demers et al., Epidemic Algorithms for Replicated Database Maintenance, 1987 (rumours, backed by anti-entropy).
 * Tests: tests/unit/cluster/membership_test.c (also bytes per second and spreading at 100 nodes), tests/fuzz/gossip_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/gossip_codec.h"

#include "base/encode.h"

#include <string.h>

#define GREETING_ENTRIES 8
#define NEWS_ENTRIES     32
#define NEWS_INTERVALS   10 /* an entry is news for so long */
#define OTHERS_LOADS     3  /* loads of others that are passed on with a greeting */
#define BURST_MEMBERS \
    16 /* greeted at once: all of a small cluster, in a larger one enough for the word to spread */

/* One message carries so many entries at most, about 100 KiB; what is left over follows in the next conversation. */
#define MESSAGE_ENTRIES 512
/* Written messages that wait to be taken. Who does not take them cannot fill the memory. */
#define QUEUED_BYTES_MAX 64

uint32_t gossip_depth(const struct membership *membership) {
    uint32_t depth = 0;
    while ((uint32_t)1 << depth < membership->present_count)
        depth++;
    return depth;
}

/* ---- The queue ---- */

static struct outgoing *add_outgoing(struct membership *membership) {
    if (membership->queue_begin == membership->queue_end)
        membership->queue_begin = membership->queue_end = 0;
    if (membership->queue_end < membership->queue_capacity)
        return &membership->queue[membership->queue_end++];
    uint32_t waiting = membership->queue_end - membership->queue_begin;
    if (membership->queue_begin >= membership->queue_capacity / 2 && waiting > 0) {
        memmove(membership->queue, membership->queue + membership->queue_begin,
                waiting * sizeof *membership->queue);
    } else {
        uint32_t capacity = 2 * membership->queue_capacity + 16;
        struct outgoing *queue = mem_alloc(membership->mem, capacity * sizeof *queue);
        if (queue == NULL)
            return NULL;
        if (waiting > 0)
            memcpy(queue, membership->queue + membership->queue_begin, waiting * sizeof *queue);
        mem_free(membership->mem, membership->queue, membership->queue_capacity * sizeof *queue);
        membership->queue = queue;
        membership->queue_capacity = capacity;
    }
    membership->queue_begin = 0;
    membership->queue_end = waiting;
    return &membership->queue[membership->queue_end++];
}

void gossip_enqueue(struct membership *membership, uint16_t member, enum gossip_stage stage) {
    struct roster_member *one = roster_at(membership, member);
    uint8_t bit = (uint8_t)(1u << stage);
    if (member == 0 || one->queued & bit)
        return;
    struct outgoing *outgoing = add_outgoing(membership);
    if (outgoing == NULL)
        return;
    *outgoing = (struct outgoing){.member = member, .stage = (uint8_t)stage};
    one->queued |= bit;
}

/* Takes over the buffer's bytes, or drops them. */
static void enqueue_bytes(struct membership *membership, uint16_t member, struct buffer *message) {
    struct outgoing *outgoing = NULL;
    uint8_t *data = NULL;
    if (!message->failed && membership->queued_bytes_count < QUEUED_BYTES_MAX)
        data = mem_alloc(membership->mem, message->size);
    if (data != NULL)
        outgoing = add_outgoing(membership);
    if (outgoing != NULL) {
        memcpy(data, message->data, message->size);
        *outgoing = (struct outgoing){.member = member, .data = data, .size = message->size};
        membership->queued_bytes_count++;
    } else {
        mem_free(membership->mem, data, message->size);
    }
    buffer_release(message);
}

static void drop_outgoing(struct membership *membership, struct outgoing *outgoing) {
    if (outgoing->data == NULL) {
        roster_at(membership, outgoing->member)->queued &= (uint8_t) ~(1u << outgoing->stage);
        return;
    }
    mem_free(membership->mem, outgoing->data, outgoing->size);
    membership->queued_bytes_count--;
}

void gossip_drop_queue(struct membership *membership) {
    while (membership->queue_begin < membership->queue_end)
        drop_outgoing(membership, &membership->queue[membership->queue_begin++]);
}

/* ---- Whose turn it is ---- */

static void shuffle_turns(struct membership *membership) {
    for (uint32_t left = membership->count - 1; left > 1; left--) {
        uint32_t other = (uint32_t)rng_below(&membership->rng, left);
        uint16_t index = membership->turns[left - 1];
        membership->turns[left - 1] = membership->turns[other];
        membership->turns[other] = index;
    }
}

/* Everybody once in random order, then in another order: as random as drawing, and nobody waits for long. */
void gossip_greet(struct membership *membership, uint32_t count) {
    uint32_t others = membership->live_count - 1;
    if (count > others)
        count = others;
    for (uint32_t tries = 2 * membership->count; tries > 0 && count > 0; tries--) {
        if (membership->turn + 1 >= membership->count) {
            membership->turn = 0;
            shuffle_turns(membership);
        }
        uint16_t index = membership->turns[membership->turn++];
        if (!roster_is_live(roster_at(membership, index)))
            continue;
        gossip_enqueue(membership, index, GOSSIP_GREETING);
        count--;
    }
}

void gossip_greet_everybody(struct membership *membership) {
    gossip_greet(membership, BURST_MEMBERS);
}

/* ---- Writing ---- */

static bool append_header(const struct membership *membership, struct buffer *out, enum gossip_stage stage,
                          enum gossip_heartbeats heartbeats) {
    const struct member *self = roster_self(membership);
    struct gossip_header header = {
        .stage = stage,
        .rank = meeting_rank(membership),
        .heartbeats = heartbeats,
        .incarnation = self->entry.incarnation,
        .heartbeat = self->heartbeat,
        .roster_digest = membership->roster_digest,
        .digest = membership->digest,
    };
    memcpy(header.cluster_id, membership->cluster_id, CLUSTER_ID_SIZE);
    return gossip_append_header(out, &header);
}

static bool append_entry(const struct membership *membership, struct buffer *out, uint16_t index) {
    const struct roster_member *one = roster_at(membership, index);
    struct rumour rumour = {
        .entry = one->member.entry,
        .heartbeat = one->member.heartbeat,
        .is_removed = one->member.state == MEMBER_REMOVED,
        .is_down = one->member.state == MEMBER_DOWN || one->member.state == MEMBER_SUSPECT,
    };
    uint8_t bytes[GOSSIP_ENTRY_SIZE_MAX];
    return buffer_append(out, bytes, (size_t)(gossip_write_entry(bytes, &rumour) - bytes));
}

static bool is_recent(const struct membership *membership, const struct roster_member *one) {
    return !one->is_stranger &&
           membership->now_ms - one->changed_ms <= NEWS_INTERVALS * membership->interval_ms;
}

/* The entries that a greeting or an answer to one carries, from a random member on: there may be more than fit. */
static bool append_news(struct membership *membership, struct buffer *out, enum gossip_stage stage) {
    uint16_t chosen[NEWS_ENTRIES];
    uint32_t count = 0, room = stage == GOSSIP_NEWS ? NEWS_ENTRIES : GREETING_ENTRIES;
    uint32_t at = (uint32_t)rng_below(&membership->rng, membership->count);
    for (uint32_t left = membership->count; left > 0 && count < room; left--) {
        const struct roster_member *one = roster_at(membership, (uint16_t)at);
        if (!one->is_stranger &&
            (one->tells_left > 0 || (stage == GOSSIP_NEWS && is_recent(membership, one))))
            chosen[count++] = (uint16_t)at;
        at = at + 1 == membership->count ? 0 : at + 1;
    }
    bool is_written = gossip_append_varint(out, count);
    for (uint32_t i = 0; i < count && is_written; i++) {
        struct roster_member *one = roster_at(membership, chosen[i]);
        one->tells_left -= one->tells_left > 0;
        is_written = append_entry(membership, out, chosen[i]);
    }
    return is_written;
}

/* Who is suspected by anybody is told so; to others each node speaks of its own suspicions only. */
static bool append_heartbeats(const struct membership *membership, struct buffer *out, uint16_t to,
                              enum gossip_heartbeats form) {
    size_t item_size = form == HEARTBEATS_BY_TAG ? GOSSIP_TAG_SIZE : 3;
    if (!gossip_append_varint(out, membership->present_count) ||
        !buffer_reserve(out, membership->present_count * item_size))
        return false;
    uint8_t *end = out->data + out->size;
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct roster_member *one = roster_at(membership, membership->sorted[i]);
        if (!roster_is_present(one))
            continue;
        if (form == HEARTBEATS_BY_TAG) {
            memcpy(end, one->member.entry.id, 4);
            end = encode_fixed(end + 4, one->member.entry.incarnation, 1);
        }
        uint32_t value = (uint32_t)(one->member.heartbeat & GOSSIP_HEARTBEAT_MASK);
        if (one->member.state != MEMBER_UP || (one->is_accused && membership->sorted[i] == to))
            value |= GOSSIP_SUSPECT_BIT;
        end = encode_fixed(end, value, 3);
    }
    out->size = (size_t)(end - out->data);
    return true;
}

#define LOAD_SIZE_MAX (4 * ENCODE_VARINT_MAX)

static uint8_t *write_load(uint8_t *out, const struct member *member) {
    out = encode_varint(encode_varint(out, member->keys), member->operations_per_s);
    return encode_varint(encode_varint(out, member->used_bytes), member->hinted);
}

/* This node's own load, and that of some others if the receiver can tell by position whose it is. */
static bool append_loads(struct membership *membership, struct buffer *out, enum gossip_heartbeats form) {
    uint32_t positions[OTHERS_LOADS], count = 0, place = 0;
    uint16_t indexes[OTHERS_LOADS];
    uint32_t first = (uint32_t)rng_below(&membership->rng, membership->present_count);
    for (uint32_t i = 0; i < membership->count && count < OTHERS_LOADS && form == HEARTBEATS_BY_POSITION;
         i++) {
        uint16_t index = membership->sorted[i];
        const struct roster_member *one = roster_at(membership, index);
        if (!roster_is_present(one))
            continue;
        if (place >= first && one->load_heartbeat > 0) {
            positions[count] = place;
            indexes[count++] = index;
        }
        place++;
    }
    uint8_t bytes[(1 + OTHERS_LOADS) * (ENCODE_VARINT_MAX + 3 + LOAD_SIZE_MAX)];
    uint8_t *end = write_load(bytes, roster_self(membership));
    *end++ = (uint8_t)count;
    for (uint32_t i = 0; i < count; i++) {
        const struct roster_member *one = roster_at(membership, indexes[i]);
        end = encode_varint(end, positions[i]);
        end = encode_fixed(end, one->load_heartbeat & GOSSIP_HEARTBEAT_MASK, 3);
        end = write_load(end, &one->member);
    }
    return buffer_append(out, bytes, (size_t)(end - bytes));
}

static bool write_greeting(struct membership *membership, uint16_t to, enum gossip_stage stage,
                           struct buffer *out) {
    bool is_equal = roster_at(membership, to)->their_roster_digest == membership->roster_digest;
    enum gossip_heartbeats form = is_equal ? HEARTBEATS_BY_POSITION : HEARTBEATS_BY_TAG;
    return append_header(membership, out, stage, form) && append_news(membership, out, stage) &&
           append_heartbeats(membership, out, to, form) && append_loads(membership, out, form);
}

static bool write_summary(struct membership *membership, struct buffer *out) {
    uint32_t strangers = 0;
    for (uint32_t i = 1; i < membership->count; i++)
        strangers += roster_at(membership, (uint16_t)i)->is_stranger;
    if (!append_header(membership, out, GOSSIP_SUMMARY, HEARTBEATS_NONE) || !gossip_append_varint(out, 0) ||
        !gossip_append_varint(out, membership->count - strangers))
        return false;
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct roster_member *one = roster_at(membership, membership->sorted[i]);
        if (one->is_stranger)
            continue;
        bool is_removed = one->member.state == MEMBER_REMOVED;
        if (!buffer_append(out, one->member.entry.id, NODE_ID_SIZE) || !buffer_append_byte(out, is_removed) ||
            !gossip_append_varint(out, is_removed ? 0 : one->member.entry.incarnation) ||
            !gossip_append_varint(out, is_removed ? 0 : one->member.entry.version) ||
            !gossip_append_fixed(out, one->entry_hash, 4))
            return false;
    }
    return true;
}

bool membership_next_message(struct membership *membership, uint16_t *member, struct buffer *message) {
    while (membership->queue_begin < membership->queue_end) {
        struct outgoing outgoing = membership->queue[membership->queue_begin++];
        buffer_clear(message);
        bool is_written;
        if (outgoing.data != NULL)
            is_written = buffer_append(message, outgoing.data, outgoing.size);
        else if (outgoing.stage == GOSSIP_SUMMARY)
            is_written = write_summary(membership, message);
        else
            is_written = write_greeting(membership, outgoing.member, outgoing.stage, message);
        drop_outgoing(membership, &outgoing);
        if (!is_written)
            continue;
        *member = outgoing.member;
        membership->bytes_out += message->size;
        return true;
    }
    return false;
}

void gossip_send_notice(struct membership *membership, uint16_t member) {
    struct roster_member *one = roster_at(membership, member);
    struct buffer message;
    if (one->notice_ms != 0 && membership->now_ms < one->notice_ms + membership->interval_ms)
        return;
    one->notice_ms = membership->now_ms;
    buffer_init(&message, membership->mem);
    if (!append_header(membership, &message, GOSSIP_WANTED, HEARTBEATS_NONE) ||
        !gossip_append_varint(&message, 1) || !append_entry(membership, &message, member))
        message.failed = true;
    enqueue_bytes(membership, member, &message);
}

/* ---- Answers ---- */

/* Writes the entries of the members that are marked, the first ones if there are too many; `first` is where to begin. */
static bool append_marked(const struct membership *membership, struct buffer *out, const uint8_t *marks,
                          uint32_t marked_count, uint32_t first) {
    uint32_t left = marked_count < MESSAGE_ENTRIES ? marked_count : MESSAGE_ENTRIES;
    bool is_written = gossip_append_varint(out, left);
    for (uint32_t i = first; left > 0 && is_written; i = i + 1 == membership->count ? 0 : i + 1)
        if (marks[i]) {
            is_written = append_entry(membership, out, (uint16_t)i);
            left--;
        }
    return is_written;
}

/* Whether the other end's line tells of a newer entry than the one here, an older one, or one to be compared by both. */
static void compare_line(const struct roster_member *one, const struct gossip_summary_line *line,
                         bool *is_ours_newer, bool *is_theirs_newer) {
    bool is_removed = one->member.state == MEMBER_REMOVED;
    const struct member_entry *entry = &one->member.entry;
    *is_ours_newer = *is_theirs_newer = false;
    if (is_removed || line->is_removed) {
        *is_ours_newer = is_removed && !line->is_removed;
        *is_theirs_newer = !is_removed;
    } else if (entry->incarnation != line->incarnation) {
        *is_ours_newer = entry->incarnation > line->incarnation;
        *is_theirs_newer = !*is_ours_newer;
    } else if ((uint32_t)one->entry_hash != line->hash) {
        /* Of two runs the versions say nothing: both ends look at both. */
        *is_ours_newer = entry->version >= line->version;
        *is_theirs_newer = entry->version <= line->version;
    }
}

static void answer_summary(struct membership *membership, uint16_t to, struct gossip_part part) {
    uint8_t *marks = mem_alloc(membership->mem, membership->count);
    struct buffer wanted, message;
    uint32_t ours_count = 0, wanted_count = 0;
    if (marks == NULL)
        return;
    buffer_init(&wanted, membership->mem);
    buffer_init(&message, membership->mem);
    for (uint32_t i = 0; i < membership->count; i++)
        marks[i] = !roster_at(membership, (uint16_t)i)->is_stranger;
    for (; part.count > 0; part.count--) {
        struct gossip_summary_line line;
        bool is_ours_newer = false, is_theirs_newer = true;
        gossip_read_summary_line(&part.cursor, &line);
        uint16_t index = membership_find(membership, line.id);
        if (index != RING_NOBODY && !roster_at(membership, index)->is_stranger) {
            compare_line(roster_at(membership, index), &line, &is_ours_newer, &is_theirs_newer);
            marks[index] = is_ours_newer;
        }
        if (is_theirs_newer && wanted_count < MESSAGE_ENTRIES)
            wanted_count += buffer_append(&wanted, line.id, NODE_ID_SIZE);
    }
    for (uint32_t i = 0; i < membership->count; i++)
        ours_count += marks[i];
    uint32_t first = (uint32_t)rng_below(&membership->rng, membership->count);
    if (!append_header(membership, &message, GOSSIP_DIFFERENCE, HEARTBEATS_NONE) ||
        !append_marked(membership, &message, marks, ours_count, first) ||
        !gossip_append_varint(&message, wanted_count) || !buffer_append(&message, wanted.data, wanted.size))
        message.failed = true;
    if (ours_count + wanted_count > 0)
        enqueue_bytes(membership, to, &message);
    buffer_release(&message);
    buffer_release(&wanted);
    mem_free(membership->mem, marks, membership->count);
}

static void answer_wanted(struct membership *membership, uint16_t to, struct gossip_part part) {
    uint8_t *marks = mem_alloc_zeroed(membership->mem, membership->count);
    struct buffer message;
    uint32_t marked_count = 0;
    if (marks == NULL)
        return;
    for (; part.count > 0; part.count--) {
        uint16_t index = membership_find(membership, cursor_bytes(&part.cursor, NODE_ID_SIZE));
        if (index == RING_NOBODY || roster_at(membership, index)->is_stranger || marks[index])
            continue;
        marks[index] = 1;
        marked_count++;
    }
    buffer_init(&message, membership->mem);
    if (!append_header(membership, &message, GOSSIP_WANTED, HEARTBEATS_NONE) ||
        !append_marked(membership, &message, marks, marked_count, 0))
        message.failed = true;
    if (marked_count > 0)
        enqueue_bytes(membership, to, &message);
    buffer_release(&message);
    mem_free(membership->mem, marks, membership->count);
}

static void answer_difference(struct membership *membership, uint16_t to, enum gossip_stage stage) {
    struct roster_member *one = roster_at(membership, to);
    if (stage == GOSSIP_GREETING)
        for (uint32_t i = 0; i < membership->count; i++)
            if (is_recent(membership, roster_at(membership, (uint16_t)i))) {
                gossip_enqueue(membership, to, GOSSIP_NEWS);
                return;
            }
    if (one->summary_ms != 0 && membership->now_ms < one->summary_ms + membership->interval_ms)
        return;
    one->summary_ms = membership->now_ms;
    gossip_enqueue(membership, to, GOSSIP_SUMMARY);
}

/* ---- Reading ---- */

static void hear_heartbeat(struct membership *membership, uint16_t index, uint16_t from, uint32_t value) {
    struct roster_member *one = roster_at(membership, index);
    uint32_t low = value & GOSSIP_HEARTBEAT_MASK;
    bool is_suspected = value & GOSSIP_SUSPECT_BIT;
    /* The sender's own stands in the header, in full. */
    if (index == from)
        return;
    uint64_t heartbeat = one->is_heartbeat_known ? gossip_extend_heartbeat(low, one->member.heartbeat) : low;
    if (index == 0) {
        if (heartbeat > one->member.heartbeat)
            one->member.heartbeat = heartbeat + 1;
        if (is_suspected)
            membership->wants_refutation = true;
        return;
    }
    detector_hear(membership, index, heartbeat, is_suspected ? HEARD_OF_SUSPECTED : HEARD_OF);
    detector_note_report(membership, index, from, heartbeat, is_suspected);
}

static void hear_by_position(struct membership *membership, uint16_t from, struct gossip_part part) {
    for (uint32_t i = 0; i < membership->count && part.count > 0; i++) {
        uint16_t index = membership->sorted[i];
        if (!roster_is_present(roster_at(membership, index)))
            continue;
        part.count--;
        hear_heartbeat(membership, index, from, gossip_read_u24(&part.cursor));
    }
}

/* Both lists are in the order of ids, so one walk finds what they share. Ids that begin alike are left out. */
static void hear_by_tag(struct membership *membership, uint16_t from, struct gossip_part part) {
    uint32_t at = 0;
    for (; part.count > 0; part.count--) {
        const uint8_t *tag = cursor_bytes(&part.cursor, 4);
        uint8_t incarnation = cursor_u8(&part.cursor);
        uint32_t value = gossip_read_u24(&part.cursor);
        uint16_t index = RING_NOBODY;
        for (; at < membership->count; at++) {
            const struct roster_member *one = roster_at(membership, membership->sorted[at]);
            int order = memcmp(one->member.entry.id, tag, 4);
            if (order > 0)
                break;
            if (order == 0 && roster_is_present(one)) {
                bool is_unique = index == RING_NOBODY;
                index = membership->sorted[at];
                if (!is_unique || (uint8_t)one->member.entry.incarnation != incarnation) {
                    index = RING_NOBODY;
                    break;
                }
            }
        }
        if (index != RING_NOBODY)
            hear_heartbeat(membership, index, from, value);
    }
}

static void set_load(struct roster_member *one, uint64_t heartbeat, const struct gossip_load *load) {
    if (heartbeat <= one->load_heartbeat)
        return;
    one->load_heartbeat = heartbeat;
    one->member.keys = load->keys;
    one->member.operations_per_s = load->operations_per_s;
    one->member.used_bytes = load->used_bytes;
    one->member.hinted = load->hinted;
}

/* The member at a position of the roster's present ones; NULL: there are fewer. */
static struct roster_member *at_position(struct membership *membership, uint64_t position) {
    for (uint32_t i = 0; i < membership->count; i++) {
        struct roster_member *one = roster_at(membership, membership->sorted[i]);
        if (roster_is_present(one) && position-- == 0)
            return one;
    }
    return NULL;
}

static void hear_loads(struct membership *membership, struct gossip_part part) {
    for (; part.count > 0; part.count--) {
        struct gossip_load load;
        struct roster_member *one = at_position(membership, cursor_varint(&part.cursor));
        uint32_t low = gossip_read_u24(&part.cursor);
        gossip_read_load(&part.cursor, &load);
        if (one == NULL || one == roster_at(membership, 0) || !one->is_heartbeat_known)
            continue;
        uint64_t heartbeat = gossip_extend_heartbeat(low, one->member.heartbeat);
        if (heartbeat <= one->member.heartbeat)
            set_load(one, heartbeat, &load);
    }
}

static void hear_heartbeats(struct membership *membership, uint16_t from,
                            const struct gossip_message *message) {
    bool is_same_roster = message->header.roster_digest == membership->roster_digest;
    struct roster_member *sender = roster_at(membership, from);
    if (message->header.heartbeats == HEARTBEATS_BY_TAG)
        hear_by_tag(membership, from, message->heartbeats);
    else if (message->header.heartbeats == HEARTBEATS_BY_POSITION && is_same_roster)
        hear_by_position(membership, from, message->heartbeats);
    else
        return;
    if (message->header.incarnation == sender->member.entry.incarnation)
        set_load(sender, message->header.heartbeat, &message->load);
    if (is_same_roster)
        hear_loads(membership, message->loads);
}

static void hear_sender(struct membership *membership, uint16_t from, const struct gossip_header *header) {
    struct roster_member *sender = roster_at(membership, from);
    sender->their_roster_digest = header->roster_digest;
    if (header->incarnation < sender->member.entry.incarnation)
        gossip_send_notice(membership, from);
    if (header->incarnation == sender->member.entry.incarnation)
        detector_hear(membership, from, header->heartbeat, HEARD_DIRECTLY);
}

/* Whether the sender belongs here; its cluster's id may become this node's. */
static bool is_of_this_cluster(struct membership *membership, uint16_t from,
                               const struct gossip_header *header) {
    struct roster_member *sender = roster_at(membership, from);
    switch (meeting_judge(membership, header->cluster_id, header->rank)) {
    case MEETING_SAME: break;
    case MEETING_ADOPT:
        if (!roster_reserve_events(membership, 1))
            return false;
        meeting_adopt(membership, header->cluster_id, header->rank);
        break;
    case MEETING_KEEP: gossip_enqueue(membership, from, GOSSIP_GREETING); return false;
    case MEETING_FOREIGN: meeting_report_foreign(membership, from); return false;
    }
    return !sender->is_stranger || roster_confirm(membership, from);
}

static void hear_entries(struct membership *membership, uint16_t from, struct gossip_part part) {
    for (; part.count > 0; part.count--) {
        struct rumour rumour;
        gossip_read_entry(&part.cursor, &rumour);
        roster_hear(membership, &rumour, from);
    }
}

bool membership_receive(struct membership *membership, uint16_t from, const uint8_t *data, size_t size,
                        uint64_t now_ms) {
    struct gossip_message message;
    membership_note_time(membership, now_ms);
    if (from == 0 || from >= membership->count || !gossip_parse(data, size, &message))
        return false;
    membership->bytes_in += size;
    struct roster_member *sender = roster_at(membership, from);
    if (sender->member.state == MEMBER_REMOVED && !sender->is_stranger) {
        gossip_send_notice(membership, from);
        return true;
    }
    if (roster_self(membership)->state == MEMBER_REMOVED ||
        !is_of_this_cluster(membership, from, &message.header))
        return true;
    hear_entries(membership, from, message.entries);
    hear_sender(membership, from, &message.header);
    hear_heartbeats(membership, from, &message);
    if (message.header.stage == GOSSIP_SUMMARY)
        answer_summary(membership, from, message.summary);
    else if (message.header.stage == GOSSIP_DIFFERENCE && message.wanted.count > 0)
        answer_wanted(membership, from, message.wanted);
    else if (message.header.digest != membership->digest &&
             (message.header.stage == GOSSIP_GREETING || message.header.stage == GOSSIP_NEWS))
        answer_difference(membership, from, message.header.stage);
    return true;
}
