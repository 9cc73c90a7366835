/* gossip_fuzz.c - a membership under any bytes from peers and disk, and any order of what may happen to it.
 *
 * Input: steps. Each begins with a byte that says what happens (enum step), then its fields; where bytes are given over there is
 * a u16 length first (what is missing at the end of the input is left out). The node has the id 0x10 x 20, and knows
 * members 0x11.. to 0x14.. of its cluster.
 * Checked after each step: the roster's order, counts and digests, recounted; that all messages, which the node wants to send,
 * make sense to a second node; that entries are read and written as the same bytes. At the end: what is saved is loaded by a
 * restarted node, which then saves the same; all memory is given back.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/gossip_codec.h"

#include "base/checksum.h"
#include "base/encode.h"

#include <stdlib.h>

#define MEMBERS    4
#define STEPS_MAX  64
#define NODE_BYTE  0x10
#define OTHER_BYTE 0x11 /* the first member: a membership of its own, which takes what the node says */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step {
    STEP_TICK,
    STEP_RECEIVE,
    STEP_RECEIVE_BODY, /* under a header that fits */
    STEP_INTRODUCE,
    STEP_INTRODUCE_ENTRY, /* of a node whose cluster's id fits, or does not */
    STEP_LOAD,
    STEP_LOAD_ENTRIES, /* under a header and over a checksum that fit */
    STEP_BROKEN,
    STEP_FORGET,
    STEP_SAY,
    STEP_TALK, /* the node and the other one tick and exchange all they have to say */
    STEPS
};

struct place {
    struct mem mem;
    struct membership *node, *other;
    uint64_t now_ms;
};

/* ---- The two nodes ---- */

static struct membership *make(struct place *place, uint8_t byte) {
    struct membership_options options = {
        .mem = &place->mem,
        .self = {.run = byte, .incarnation = 3, .port = 1, .weight = 1},
        .random_seed = byte,
        .interval_ms = 200,
        .suspect_timeout_ms = 1000,
        .fan_out = 3,
        .now_ms = place->now_ms,
    };
    memset(options.self.id, byte, NODE_ID_SIZE);
    strcpy(options.self.host, "h");
    struct membership *membership = membership_new(&options);
    CHECK(membership != NULL);
    return membership;
}

static struct buffer introduction_of(struct place *place, const struct membership *membership) {
    struct buffer introduction;
    buffer_init(&introduction, &place->mem);
    CHECK(membership_write_introduction(membership, &introduction));
    return introduction;
}

static void introduce(struct place *place, struct membership *to, const struct membership *who) {
    struct buffer introduction = introduction_of(place, who);
    uint16_t index;
    CHECK(membership_introduce(to, introduction.data, introduction.size, place->now_ms, &index) ==
          INTRODUCTION_WELCOME);
    buffer_release(&introduction);
}

static void begin(struct place *place) {
    *place = (struct place){.now_ms = 1000};
    place->node = make(place, NODE_BYTE);
    place->other = make(place, OTHER_BYTE);
    introduce(place, place->node, place->other);
    introduce(place, place->other, place->node);
    for (uint8_t i = 1; i < MEMBERS; i++) {
        struct membership *third = make(place, (uint8_t)(OTHER_BYTE + i));
        introduce(place, place->node, third);
        membership_free(third);
    }
}

/* ---- What must hold ---- */

static void check_text(const char *text, size_t room) {
    size_t size = strnlen(text, room);
    CHECK(size < room);
    for (size_t i = 0; i < size; i++)
        CHECK((uint8_t)text[i] > ' ' && text[i] != 0x7f);
}

static void check_roster(const struct membership *membership) {
    uint32_t present = 0, live = 0;
    uint64_t digest = 0, roster_digest = 0;
    CHECK(membership->count <= ROSTER_SIZE_MAX && membership->spares == NULL);
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct roster_member *one = membership->members[membership->sorted[i]];
        const struct member_entry *entry = &one->member.entry;
        if (i > 0)
            CHECK(memcmp(membership->members[membership->sorted[i - 1]]->member.entry.id, entry->id,
                         NODE_ID_SIZE) < 0);
        CHECK(membership_find(membership, entry->id) == membership->sorted[i]);
        bool is_present = one->member.state != MEMBER_REMOVED;
        CHECK(!one->is_stranger || !is_present);
        present += is_present;
        live += is_present && one->member.state != MEMBER_DOWN;
        digest += one->entry_hash;
        roster_digest += one->roster_hash;
        if (is_present)
            CHECK(one->entry_hash == roster_hash_entry(entry));
        CHECK(entry->weight <= RING_WEIGHT_MAX && one->witness_count <= WITNESSES_KEPT);
        CHECK(one->member.heard_ms <= membership->now_ms && one->member.state_ms <= membership->now_ms);
        check_text(entry->host, sizeof entry->host);
        check_text(entry->zone, sizeof entry->zone);
    }
    CHECK(present == membership->present_count && live == membership->live_count &&
          present <= RING_MEMBERS_MAX);
    CHECK(digest == membership->digest && roster_digest == membership->roster_digest);
    CHECK(roster_self(membership)->state == MEMBER_UP || roster_self(membership)->state == MEMBER_REMOVED);
}

static void drain_events(struct membership *membership) {
    struct membership_event event;
    while (membership_next_event(membership, &event)) {
        CHECK(event.kind <= MEMBERSHIP_ADOPTED);
        CHECK(event.member == RING_NOBODY || event.member < membership->count);
    }
}

/* Gives all that `from` wants to say to `to`, if it is for it; what is for others must make sense all the same. */
static void drain_messages(struct place *place, struct membership *from, struct membership *to) {
    struct buffer message;
    uint16_t index;
    buffer_init(&message, &place->mem);
    while (membership_next_message(from, &index, &message)) {
        struct gossip_message parsed;
        CHECK(index > 0 && index < from->count && gossip_parse(message.data, message.size, &parsed));
        uint16_t back = to == NULL ? RING_NOBODY : membership_find(to, roster_self(from)->entry.id);
        if (back == RING_NOBODY || back == 0 ||
            memcmp(roster_at(from, index)->member.entry.id, roster_self(to)->entry.id, NODE_ID_SIZE) != 0)
            continue;
        CHECK(membership_receive(to, back, message.data, message.size, place->now_ms));
        drain_events(to);
    }
    buffer_release(&message);
}

static void check_entries(const uint8_t *data, size_t size) {
    struct cursor cursor = cursor_make(data, size);
    while (cursor_remaining(&cursor) > 0) {
        const uint8_t *begin = cursor.position;
        struct rumour rumour, again;
        uint8_t written[GOSSIP_ENTRY_SIZE_MAX];
        gossip_read_entry(&cursor, &rumour);
        if (cursor_failed(&cursor))
            return;
        size_t read_size = (size_t)(cursor.position - begin);
        size_t written_size = (size_t)(gossip_write_entry(written, &rumour) - written);
        CHECK(written_size == read_size && memcmp(written, begin, read_size) == 0);
        struct cursor second = cursor_make(written, written_size);
        gossip_read_entry(&second, &again);
        CHECK(cursor_is_done(&second) && roster_compare_entries(&rumour.entry, &again.entry) == 0);
    }
}

/* ---- Steps ---- */

static struct cursor take_bytes(struct cursor *input) {
    size_t size = cursor_u16(input);
    if (cursor_failed(input))
        return cursor_make(NULL, 0);
    if (size > cursor_remaining(input))
        size = cursor_remaining(input);
    return cursor_make(cursor_bytes(input, size), size);
}

static void receive_body(struct place *place, struct cursor *input) {
    uint16_t from = cursor_u8(input);
    uint8_t kinds = cursor_u8(input), fit = cursor_u8(input);
    struct cursor body = take_bytes(input);
    struct gossip_header header = {
        .stage = (kinds & 7) % GOSSIP_STAGES,
        .rank = (kinds >> 3 & 3) % CLUSTER_RANKS,
        .heartbeats = (kinds >> 5) % (HEARTBEATS_BY_TAG + 1),
        .incarnation = 3 + (fit >> 4 & 1),
        .heartbeat = (uint64_t)(fit >> 5) * 20,
        .roster_digest = fit & 2 ? 1 : place->node->roster_digest,
        .digest = fit & 4 ? 2 : place->node->digest,
    };
    memcpy(header.cluster_id, place->node->cluster_id, CLUSTER_ID_SIZE);
    header.cluster_id[0] ^= fit & 1 ? 0x80 : fit >> 3 & 1;
    struct buffer message;
    buffer_init(&message, &place->mem);
    size_t size = cursor_remaining(&body);
    if (size > 0)
        check_entries(body.position + 1, size - 1);
    CHECK(gossip_append_header(&message, &header) && buffer_append(&message, body.position, size));
    membership_receive(place->node, from, message.data, message.size, place->now_ms);
    buffer_release(&message);
}

static void introduce_entry(struct place *place, struct cursor *input) {
    uint8_t kinds = cursor_u8(input);
    struct cursor entry = take_bytes(input);
    struct buffer introduction = introduction_of(place, place->node);
    uint16_t index = 0;
    introduction.size = 4 + CLUSTER_ID_SIZE;
    introduction.data[1] = kinds & 3;
    introduction.data[2] = kinds >> 3; /* others in its cluster */
    introduction.data[4] ^= kinds >> 2 & 1;
    check_entries(entry.position, cursor_remaining(&entry));
    CHECK(buffer_append(&introduction, entry.position, cursor_remaining(&entry)));
    enum introduction verdict =
        membership_introduce(place->node, introduction.data, introduction.size, place->now_ms, &index);
    CHECK(verdict <= INTRODUCTION_NO_MEMORY && (verdict == INTRODUCTION_WELCOME) == (index != RING_NOBODY));
    CHECK(index == RING_NOBODY || (index > 0 && index < place->node->count));
    buffer_release(&introduction);
}

static void load_entries(struct place *place, struct cursor *input) {
    uint8_t count = cursor_u8(input);
    struct cursor entries = take_bytes(input);
    struct buffer file;
    buffer_init(&file, &place->mem);
    buffer_append_text(&file, "rkvnodes");
    buffer_append(&file, "\1\1", 2);
    buffer_append(&file, roster_self(place->node)->entry.id, NODE_ID_SIZE);
    buffer_append(&file, place->node->cluster_id, CLUSTER_ID_SIZE);
    gossip_append_varint(&file, count);
    buffer_append(&file, entries.position, cursor_remaining(&entries));
    CHECK(gossip_append_fixed(&file, checksum_bytes(file.data, file.size), 8));
    uint64_t digest = membership_digest(place->node);
    if (!membership_load(place->node, file.data, file.size, place->now_ms))
        CHECK(membership_digest(place->node) == digest);
    buffer_release(&file);
}

static void say(struct place *place, uint8_t what) {
    switch (what % 6) {
    case 0: membership_set_settled(place->node, what & 64); break;
    case 1: membership_set_address(place->node, what & 64 ? "a" : "b", what, 2, 3); break;
    case 2: membership_set_place(place->node, what & 64 ? "west" : "", what); break;
    case 3: membership_set_incarnation(place->node, roster_self(place->node)->entry.incarnation + 1); break;
    case 4: membership_set_leaving(place->node, true); break;
    default: membership_set_load(place->node, what, what, what); break;
    }
}

static void talk(struct place *place, uint8_t rounds) {
    for (rounds %= 8; rounds > 0; rounds--) {
        place->now_ms += 100;
        membership_tick(place->node, place->now_ms);
        drain_messages(place, place->node, place->other);
        membership_tick(place->other, place->now_ms);
        drain_messages(place, place->other, place->node);
        drain_messages(place, place->node, place->other);
    }
}

static void take_step(struct place *place, struct cursor *input) {
    struct membership *node = place->node;
    struct cursor bytes;
    uint16_t index;
    uint8_t step = cursor_u8(input) % STEPS, field;
    switch ((enum step)step) {
    case STEP_TICK:
        place->now_ms += 20u * cursor_u8(input);
        membership_tick(node, place->now_ms);
        break;
    case STEP_RECEIVE:
        field = cursor_u8(input);
        bytes = take_bytes(input);
        membership_receive(node, field, bytes.position, cursor_remaining(&bytes), place->now_ms);
        break;
    case STEP_RECEIVE_BODY: receive_body(place, input); break;
    case STEP_INTRODUCE:
        bytes = take_bytes(input);
        membership_introduce(node, bytes.position, cursor_remaining(&bytes), place->now_ms, &index);
        break;
    case STEP_INTRODUCE_ENTRY: introduce_entry(place, input); break;
    case STEP_LOAD:
        bytes = take_bytes(input);
        membership_load(node, bytes.position, cursor_remaining(&bytes), place->now_ms);
        break;
    case STEP_LOAD_ENTRIES: load_entries(place, input); break;
    case STEP_BROKEN: membership_note_broken(node, cursor_u8(input), place->now_ms); break;
    case STEP_FORGET:
        field = cursor_u8(input);
        if (field < node->count)
            membership_forget(node, roster_at(node, field)->member.entry.id);
        break;
    case STEP_SAY: say(place, cursor_u8(input)); break;
    case STEP_TALK: talk(place, cursor_u8(input)); break;
    case STEPS: break;
    }
}

/* ---- The end ---- */

static void check_file(struct place *place) {
    struct buffer first, second;
    buffer_init(&first, &place->mem);
    buffer_init(&second, &place->mem);
    CHECK(membership_save(place->node, &first));
    struct membership *restarted = make(place, NODE_BYTE);
    restarted->members[0]->member.entry = roster_self(place->node)->entry;
    roster_entry_changed(restarted, 0);
    CHECK(membership_load(restarted, first.data, first.size, place->now_ms));
    check_roster(restarted);
    CHECK(membership_digest(restarted) == membership_digest(place->node));
    CHECK(membership_save(restarted, &second));
    CHECK(first.size == second.size);
    membership_free(restarted);
    buffer_release(&first);
    buffer_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct place place;
    struct cursor input = cursor_make(data, size);
    begin(&place);
    for (uint32_t left = STEPS_MAX; left > 0 && cursor_remaining(&input) > 0; left--) {
        take_step(&place, &input);
        drain_events(place.node);
        drain_messages(&place, place.node, place.other);
        drain_messages(&place, place.other, NULL);
        check_roster(place.node);
        check_roster(place.other);
    }
    check_file(&place);
    membership_free(place.node);
    membership_free(place.other);
    CHECK(place.mem.used_bytes == 0 && place.mem.allocations == 0);
    return 0;
}
