/* antientropy_answer.c - the answerer: what differs between a question and what is here.
 *
 * A question is checked to its end before the first thing is done about it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/antientropy_scan.h"

struct answering {
    struct keyspace *keyspace;
    const struct slot_set *expected;
    bool gives;
    struct entries_writer *writer;
    struct cursor cursor;
    uint64_t round;
    struct buffer *answer, *records;
    struct compare_finding *finding;
    struct compare_statistics *statistics;
};

/* Makes room for `size` bytes of the answer. NULL: no memory. */
static uint8_t *reserve(struct answering *answering, size_t size) {
    struct buffer *answer = answering->answer;
    return buffer_reserve(answer, size) ? answer->data + answer->size : NULL;
}

static void answer_up_to(struct answering *answering, const uint8_t *out) {
    answering->answer->size = (size_t)(out - answering->answer->data);
}

/* ---- Root and groups ---- */

static bool answer_root(struct answering *answering) {
    uint8_t flags = cursor_u8(&answering->cursor);
    uint64_t theirs = cursor_u64(&answering->cursor);
    if (!cursor_is_done(&answering->cursor) || flags & ~ASK_IS_SETTLED)
        return false;
    bool is_equal = compare_root(answering->keyspace->ledger, answering->expected) == theirs;
    if (!buffer_append_byte(answering->answer, is_equal))
        return false;
    answering->finding->is_equal = is_equal;
    answering->finding->is_settled = is_equal && flags & ASK_IS_SETTLED;
    answering->finding->has_differed = !is_equal;
    return true;
}

static bool answer_groups(struct answering *answering) {
    struct cursor *cursor = &answering->cursor;
    unsigned shift = cursor_u8(cursor);
    const uint8_t *looked_at = cursor_bytes(cursor, COMPARE_GROUPS / 8);
    bool is_small = shift == SMALL_GROUP_SHIFT;
    if (cursor_failed(cursor) || (shift != GROUP_SHIFT && !is_small))
        return false;
    uint8_t bits[(SLOT_COUNT >> SMALL_GROUP_SHIFT) / 8] = {0};
    uint64_t salt = compare_salt(answering->round);
    uint32_t count = 0;
    bool differs = false;
    for (uint32_t slot = slot_set_next(answering->expected, 0); slot < SLOT_COUNT;) {
        uint32_t group = slot >> GROUP_SHIFT;
        if (!(looked_at[group / 8] >> group % 8 & 1)) {
            slot = slot_set_next(answering->expected, (group + 1) << GROUP_SHIFT);
            continue;
        }
        uint64_t digest =
            compare_group_digest(answering->keyspace->ledger, answering->expected, shift, &slot);
        if (is_small ? cursor_u16(cursor) != compare_cut_short(digest, salt)
                     : cursor_u32(cursor) != compare_cut(digest, salt)) {
            bits[count / 8] |= (uint8_t)(1u << count % 8);
            differs = true;
        }
        count++;
    }
    answering->finding->has_differed = differs;
    return cursor_is_done(cursor) && buffer_append(answering->answer, bits, (count + 7) / 8);
}

/* ---- Slots ---- */

/* What is said of a slot beside its digest. */
enum slot_counter { FLUSH_COUNTER, FLOOR, SLOT_COUNTERS };

struct their_slot {
    uint32_t slot;
    uint32_t digest; /* cut short */
    uint64_t counters[SLOT_COUNTERS];
};

/* Returns how many there are; 0: they make no sense. */
static uint32_t read_slots(struct answering *answering, struct their_slot *slots) {
    struct cursor *cursor = &answering->cursor;
    uint64_t count = cursor_varint(cursor);
    uint64_t counter = 0, floor = 0;
    uint64_t behind = 0;
    if (count > COMPARE_SLOTS_MAX)
        return 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t head = cursor_varint(cursor);
        if (head >> 1 >= SLOT_COUNT)
            return 0;
        uint64_t slot = behind + (head >> 1);
        if (head & 1)
            counter = cursor_u64(cursor);
        floor = compare_floor_after(cursor_varint(cursor), floor);
        if (slot >= SLOT_COUNT || !slot_set_has(answering->expected, (uint32_t)slot))
            return 0;
        slots[i] = (struct their_slot){.slot = (uint32_t)slot,
                                       .counters = {[FLUSH_COUNTER] = counter, [FLOOR] = floor},
                                       .digest = cursor_u16(cursor)};
        behind = slot + 1;
    }
    return cursor_is_done(cursor) ? (uint32_t)count : 0;
}

/* Applies their flushes that are newer, all of one counter at once; afterwards none is said to be newer than ours. */
static bool apply_flushes(struct keyspace *keyspace, struct their_slot *slots, uint32_t count) {
    const uint64_t *ours = keyspace->ledger->flush_counters;
    bool has_flush = false;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t counter = slots[i].counters[FLUSH_COUNTER];
        if (counter <= ours[slots[i].slot])
            continue;
        struct slot_set flushed = {{0}};
        for (uint32_t k = i; k < count; k++)
            if (slots[k].counters[FLUSH_COUNTER] == counter && counter > ours[slots[k].slot])
                slot_set_add(&flushed, slots[k].slot);
        keyspace_flush_slots(keyspace, &flushed, counter);
        /* A counter that is impossible was refused: then there is nothing to be said about it. */
        has_flush |= ours[slots[i].slot] == counter;
        for (uint32_t k = i; k < count; k++)
            if (slot_set_has(&flushed, slots[k].slot))
                slots[k].counters[FLUSH_COUNTER] = ours[slots[k].slot];
    }
    return has_flush;
}

/* Applies their floors that are higher, and drops what it can for them at once; afterwards none is said to be higher than ours. */
static bool apply_floors(struct keyspace *keyspace, struct their_slot *slots, uint32_t count) {
    const uint64_t *ours = keyspace->ledger->floors.counters;
    bool has_floor = false;
    for (uint32_t i = 0; i < count; i++) {
        if (slots[i].counters[FLOOR] <= ours[slots[i].slot])
            continue;
        has_floor |= floors_raise(keyspace, slots[i].slot, slots[i].slot, slots[i].counters[FLOOR]);
        slots[i].counters[FLOOR] = ours[slots[i].slot];
    }
    if (has_floor)
        (void)floors_step(keyspace, COMPARE_STEP_RECORDS);
    return has_floor;
}

typedef bool add_slots(struct buffer *payload, uint32_t first_slot, uint32_t last_slot, uint64_t counter);

/* Sends our counters of this kind that are higher, each run of slots side by side as one. false: no memory. */
static bool send_counters(struct answering *answering, const struct their_slot *slots, uint32_t count,
                          enum slot_counter kind, const uint64_t *ours, add_slots *add, bool *has_sent) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t first = slots[i].slot;
        uint64_t counter = ours[first];
        if (counter <= slots[i].counters[kind])
            continue;
        for (; i + 1 < count; i++) {
            const struct their_slot *next = &slots[i + 1];
            if (next->slot != slots[i].slot + 1 || ours[next->slot] != counter ||
                counter <= next->counters[kind])
                break;
        }
        if (!add(answering->records, first, slots[i].slot, counter))
            return false;
        *has_sent = true;
    }
    return true;
}

static bool answer_slots(struct answering *answering) {
    struct their_slot slots[COMPARE_SLOTS_MAX];
    struct keyspace *keyspace = answering->keyspace;
    uint32_t count = read_slots(answering, slots);
    uint8_t *out = count == 0 ? NULL : reserve(answering, 1 + 2 + (size_t)2 * count * ENCODE_VARINT_MAX);
    if (out == NULL)
        return false;
    bool has_flush = apply_flushes(keyspace, slots, count);
    has_flush |= apply_floors(keyspace, slots, count);
    const struct ledger *ledger = keyspace->ledger;
    if (!send_counters(answering, slots, count, FLUSH_COUNTER, ledger->flush_counters, entries_add_flush,
                       &has_flush) ||
        !send_counters(answering, slots, count, FLOOR, ledger->floors.counters, entries_add_floor,
                       &has_flush))
        return false;
    uint64_t salt = compare_salt(answering->round);
    uint8_t *count_at = out + 1;
    uint32_t differing = 0, behind = 0;
    *out = has_flush;
    out += 1 + 2;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = slots[i].slot;
        if (compare_cut_short(keyspace->ledger->digests[slot], salt) == slots[i].digest)
            continue;
        out = encode_varint(encode_varint(out, slot - behind), compare_slot_records(keyspace, slot));
        behind = slot + 1;
        differing++;
    }
    encode_fixed(count_at, differing, 2);
    answer_up_to(answering, out);
    answering->finding->has_differed = has_flush || differing > 0;
    return true;
}

/* ---- Leaves ---- */

struct their_leaves {
    uint32_t slot, first, count;
    unsigned bits;
    const uint8_t *digests;
};

static bool read_leaves(struct answering *answering, struct cursor *cursor, struct their_leaves *leaves) {
    leaves->slot = cursor_u16(cursor);
    leaves->bits = cursor_u8(cursor);
    leaves->first = cursor_u32(cursor);
    leaves->count = cursor_u16(cursor);
    leaves->digests = cursor_bytes(cursor, (size_t)leaves->count * 4);
    return !cursor_failed(cursor) && leaves->slot < SLOT_COUNT &&
           slot_set_has(answering->expected, leaves->slot) && leaves->bits >= 1 &&
           leaves->bits <= LEAF_BITS_MAX && leaves->count >= 1 &&
           (uint64_t)leaves->first + leaves->count <= UINT64_C(1) << leaves->bits;
}

/* How many leaves a question names; 0: it makes no sense. */
static uint32_t check_leaves(struct answering *answering, struct cursor cursor) {
    uint32_t count = cursor_u16(&cursor);
    uint32_t total = 0;
    if (count == 0 || count > COMPARE_SLOTS_MAX)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        struct their_leaves leaves;
        if (!read_leaves(answering, &cursor, &leaves))
            return 0;
        total += leaves.count;
        if (total > COMPARE_LEAVES_MAX)
            return 0;
    }
    return cursor_is_done(&cursor) ? total : 0;
}

static bool answer_leaves(struct answering *answering) {
    uint32_t total = check_leaves(answering, answering->cursor);
    uint8_t *out = total == 0 ? NULL : reserve(answering, (total + 7) / 8);
    struct mem *mem = answering->keyspace->mem;
    struct compare_scan *scan =
        out == NULL ? NULL
                    : compare_scan_new(mem, answering->keyspace, answering->round, COMPARE_STEP_RECORDS);
    if (scan == NULL)
        return false;
    memset(out, 0, (total + 7) / 8);
    uint32_t bit = 0;
    for (uint32_t left = cursor_u16(&answering->cursor); left > 0; left--) {
        struct their_leaves leaves;
        bool makes_sense = read_leaves(answering, &answering->cursor, &leaves);
        CHECK(makes_sense); /* as it did before */
        uint32_t complete = 0;
        if (scan->walked < scan->budget)
            complete = compare_sum_leaves(scan, leaves.slot, leaves.bits, leaves.first, leaves.count);
        /* For what there is no budget the keys will tell. */
        for (uint32_t i = 0; i < leaves.count; i++, bit++) {
            bool differs =
                i >= complete || compare_leaf_digest(scan, i) != load_u32(leaves.digests + (size_t)i * 4);
            out[bit / 8] |= (uint8_t)(differs << bit % 8);
            answering->finding->has_differed |= differs;
        }
    }
    compare_scan_free(scan, mem, answering->statistics);
    answer_up_to(answering, out + (total + 7) / 8);
    return true;
}

/* ---- Keys ---- */

struct their_keys {
    uint32_t slot, first, last, count;
    bool is_awaited; /* what is here is to be sent */
    bool is_brief;
    const uint8_t *marks;
};

static uint64_t their_mark(const struct their_keys *keys, uint32_t i) {
    const uint8_t *mark = keys->marks + (size_t)i * MARK_SIZE;
    return (uint64_t)load_u32(mark) << 32 | mark[4] | (uint64_t)mark[5] << 8;
}

static bool read_keys(struct cursor *cursor, struct their_keys *keys) {
    keys->slot = cursor_u16(cursor);
    uint64_t head = cursor_varint(cursor), form = head % COMPARE_FORMS;
    keys->is_awaited = form == FORM_AWAITED;
    keys->is_brief = form == FORM_BRIEF;
    if (head / COMPARE_FORMS > (keys->is_awaited ? 0 : COMPARE_KEYS_MAX))
        return false;
    bool is_whole = form == FORM_ALL || keys->is_brief;
    keys->first = is_whole ? 0 : cursor_u32(cursor);
    keys->last = is_whole ? HASHES_LAST : form == FORM_RANGE ? cursor_u32(cursor) : keys->first;
    keys->count = (uint32_t)(head / COMPARE_FORMS);
    keys->marks = cursor_bytes(cursor, (size_t)keys->count * (keys->is_brief ? BRIEF_SIZE : MARK_SIZE));
    return !cursor_failed(cursor);
}

static bool check_marks(const struct their_keys *keys) {
    uint64_t before = (uint64_t)keys->first << 32;
    for (uint32_t i = 0; i < keys->count && !keys->is_brief; i++) {
        uint64_t mark = their_mark(keys, i);
        if (mark < before || compare_half_hash(mark) > keys->last)
            return false;
        before = mark;
    }
    return true;
}

/* How many places a question names; 0: it makes no sense. */
static uint32_t check_keys(const struct answering *answering, struct cursor cursor) {
    uint32_t count = cursor_u16(&cursor);
    uint32_t total = 0;
    if (count > COMPARE_SLOTS_MAX)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        struct their_keys keys;
        if (!read_keys(&cursor, &keys) || keys.slot >= SLOT_COUNT ||
            !slot_set_has(answering->expected, keys.slot) || keys.first > keys.last)
            return 0;
        total += keys.count;
        if (total > COMPARE_KEYS_MAX || !check_marks(&keys))
            return 0;
    }
    return cursor_is_done(&cursor) ? count : 0;
}

/* One step's merge of their keys with ours. */
struct merging {
    struct answering *answering;
    struct compare_scan *scan;
    uint8_t *out; /* where the answer goes on */
    size_t records_before;
    uint32_t sent;
    bool has_come_forward; /* at least one half hash was dealt with: may stop */
};

static bool is_full(const struct merging *merging) {
    size_t bytes = merging->answering->records->size - merging->records_before;
    return bytes >= COMPARE_RECORDS_BYTES || merging->sent >= COMPARE_KEYS_MAX;
}

/* The asker is to see to a half hash. one: the only record here, of which it has another version, or something like it; or NULL. */
static void want(struct merging *merging, uint32_t half_hash, bool has_sent, const struct record *one,
                 uint32_t *want_count) {
    merging->out = encode_fixed(merging->out, half_hash, 4);
    *merging->out++ = one != NULL ? HERE_ONE : has_sent ? HERE_SENT : HERE_NOTHING;
    if (one != NULL)
        merging->out = encode_fixed(merging->out, one->counter, 8);
    else
        merging->answering->statistics->keys_asked_for++;
    merging->answering->finding->has_differed = true;
    ++*want_count;
}

/* One half hash: theirs are [*their_at, their_end), ours [*our_at, our_end), each in order; both move to their ends. false: no memory. */
static bool merge_half_hash(struct merging *merging, const struct their_keys *theirs, uint32_t *their_at,
                            uint32_t their_end, uint32_t *our_at, uint32_t our_end, uint32_t *want_count) {
    struct answering *answering = merging->answering;
    const struct compare_item *ours = merging->scan->items;
    bool has_theirs = *their_at < their_end, has_ours = *our_at < our_end;
    bool wants = false;
    uint32_t half_hash = compare_half_hash(has_theirs ? their_mark(theirs, *their_at) : ours[*our_at].mark);
    if (their_end - *their_at == 1 && our_end - *our_at == 1) {
        if (their_mark(theirs, *their_at) != ours[*our_at].mark)
            want(merging, half_hash, false, ours[*our_at].record, want_count);
        *their_at = their_end;
        *our_at = our_end;
        return true;
    }
    while (*their_at < their_end || *our_at < our_end) {
        uint64_t mark = *their_at < their_end ? their_mark(theirs, *their_at) : UINT64_MAX;
        if (*our_at == our_end || (*their_at < their_end && mark < ours[*our_at].mark)) {
            wants = true;
            ++*their_at;
            continue;
        }
        const struct compare_item *item = &ours[(*our_at)++];
        if (*their_at < their_end && mark == item->mark) {
            ++*their_at;
            continue;
        }
        answering->finding->has_differed = true;
        if (!has_theirs && !theirs->is_awaited &&
            (!answering->gives || compare_is_expired(answering->keyspace, item->record)))
            continue;
        if (!entries_add_record(answering->writer, &answering->keyspace->actors, answering->records,
                                item->record))
            return false;
        merging->sent++;
        answering->statistics->keys_sent++;
    }
    if (wants)
        want(merging, half_hash, has_ours, NULL, want_count);
    return true;
}

static uint32_t end_of_theirs(const struct their_keys *theirs, uint32_t at, uint32_t half_hash) {
    while (at < theirs->count && compare_half_hash(their_mark(theirs, at)) == half_hash)
        at++;
    return at;
}

static uint32_t end_of_ours(const struct compare_scan *scan, uint32_t at, uint32_t half_hash) {
    while (at < scan->item_count && compare_half_hash(scan->items[at].mark) == half_hash)
        at++;
    return at;
}

/* Whether what is here of a slot can be compared with the digests alone: as many records, each of which a half hash names. */
static bool is_brief_enough(const struct compare_scan *scan, const struct their_keys *theirs, uint64_t end) {
    bool is_so = end > HASHES_LAST && scan->item_count == theirs->count;
    for (uint32_t i = 1; is_so && i < theirs->count; i++)
        is_so = compare_half_hash(scan->items[i].mark) != compare_half_hash(scan->items[i - 1].mark);
    return is_so;
}

/* The same keys, as it seems, of which some may have other versions. Returns what stands before the wants. */
static uint32_t compare_in_brief(struct merging *merging, const struct their_keys *theirs) {
    struct compare_scan *scan = merging->scan;
    uint32_t want_count = 0;
    uint64_t end = compare_collect(scan, theirs->slot, 0, HASHES_LAST, theirs->count + 1);
    if (!is_brief_enough(scan, theirs, end)) {
        merging->answering->finding->has_differed = true;
        return 1;
    }
    for (uint32_t i = 0; i < theirs->count; i++) {
        const struct compare_item *item = &scan->items[i];
        if ((item->mark & 0xffff) != load_u16(theirs->marks + (size_t)i * BRIEF_SIZE))
            want(merging, compare_half_hash(item->mark), false, item->record, &want_count);
    }
    return want_count * 2;
}

/* One range. *end: the half hash before which all was merged; last + 1: it is done. Returns what stands before the wants in *head. false:
 * no memory. */
static bool merge_range(struct merging *merging, const struct their_keys *theirs, uint64_t *end,
                        uint32_t *head) {
    struct compare_scan *scan = merging->scan;
    uint32_t want_count = 0, their_at = 0, our_at = 0;
    /* More is not looked at than can be equal or sent. */
    uint32_t sendable = merging->sent < COMPARE_KEYS_MAX ? COMPARE_KEYS_MAX - merging->sent : 1;
    *end = compare_collect(scan, theirs->slot, theirs->first, theirs->last, theirs->count + sendable);
    for (;;) {
        uint64_t half_hash = *end;
        if (their_at < theirs->count && compare_half_hash(their_mark(theirs, their_at)) < half_hash)
            half_hash = compare_half_hash(their_mark(theirs, their_at));
        if (our_at < scan->item_count && compare_half_hash(scan->items[our_at].mark) < half_hash)
            half_hash = compare_half_hash(scan->items[our_at].mark);
        if (half_hash == *end)
            break;
        if (merging->has_come_forward && is_full(merging)) {
            *end = half_hash;
            break;
        }
        if (!merge_half_hash(merging, theirs, &their_at, end_of_theirs(theirs, their_at, (uint32_t)half_hash),
                             &our_at, end_of_ours(scan, our_at, (uint32_t)half_hash), &want_count))
            return false;
        merging->has_come_forward = true;
    }
    *head = want_count * 2;
    return true;
}

/* One place; *end as above. false: no memory. */
static bool merge_place(struct merging *merging, const struct their_keys *theirs, uint64_t *end) {
    uint8_t *count_at = merging->out;
    uint32_t head;
    merging->out += WANT_COUNT_MAX;
    *end = (uint64_t)theirs->last + 1;
    if (theirs->is_brief)
        head = compare_in_brief(merging, theirs);
    else if (!merge_range(merging, theirs, end, &head))
        return false;
    merging->has_come_forward = true;
    /* The count is shorter than what was left for it where there are few. */
    uint8_t *wants = encode_varint(count_at, head);
    size_t size = (size_t)(merging->out - count_at) - WANT_COUNT_MAX;
    memmove(wants, count_at + WANT_COUNT_MAX, size);
    merging->out = wants + size;
    return true;
}

static bool merge_places(struct merging *merging, uint32_t count) {
    struct answering *answering = merging->answering;
    uint8_t *head = merging->out;
    uint32_t done = 0;
    uint64_t stopped = 0;
    merging->out += 2 + 4 + 2;
    for (; done < count; done++) {
        struct their_keys theirs;
        bool makes_sense = read_keys(&answering->cursor, &theirs);
        CHECK(makes_sense); /* as it did before */
        if (merging->has_come_forward &&
            (is_full(merging) || merging->scan->walked >= merging->scan->budget)) {
            stopped = theirs.first;
            merging->out = encode_varint(merging->out, 0);
            break;
        }
        if (!merge_place(merging, &theirs, &stopped))
            return false;
        if (stopped <= theirs.last)
            break;
        stopped = 0;
    }
    encode_fixed(encode_fixed(encode_fixed(head, done, 2), stopped, 4), merging->sent, 2);
    answer_up_to(answering, merging->out);
    return true;
}

static bool answer_keys(struct answering *answering) {
    uint32_t count = check_keys(answering, answering->cursor);
    uint8_t *out =
        count == 0
            ? NULL
            : reserve(answering, 8 + (size_t)count * WANT_COUNT_MAX + COMPARE_KEYS_MAX * WANT_SIZE_MAX);
    struct mem *mem = answering->keyspace->mem;
    struct compare_scan *scan =
        out == NULL ? NULL
                    : compare_scan_new(mem, answering->keyspace, answering->round, COMPARE_STEP_RECORDS);
    if (scan == NULL)
        return false;
    (void)cursor_u16(&answering->cursor);
    struct merging merging = {
        .answering = answering, .scan = scan, .out = out, .records_before = answering->records->size};
    bool done = merge_places(&merging, count);
    compare_scan_free(scan, mem, answering->statistics);
    return done;
}

/* ---- All ---- */

/* Whether the digests of all slots that are asked about are complete. A keyspace that is alone keeps none. */
static bool is_known(const struct keyspace *keyspace, const struct slot_set *set) {
    if (keyspace->is_alone || floors_are_dropping(keyspace->ledger))
        return false;
    if (keyspace->ledger->is_walked)
        return true;
    for (uint32_t slot = slot_set_next(set, 0); slot < SLOT_COUNT; slot = slot_set_next(set, slot + 1))
        if (!ledger_is_known(keyspace->ledger, slot))
            return false;
    return true;
}

static bool answer_body(struct answering *answering, uint8_t kind) {
    switch (kind) {
    case ASK_ROOT: return answer_root(answering);
    case ASK_GROUPS: return answer_groups(answering);
    case ASK_SLOTS: return answer_slots(answering);
    case ASK_LEAVES: return answer_leaves(answering);
    case ASK_KEYS: return answer_keys(answering);
    default: return false;
    }
}

bool compare_answer(struct keyspace *keyspace, const struct slot_set *expected, bool gives,
                    struct entries_writer *writer, const uint8_t *data, size_t size, struct buffer *answer,
                    struct buffer *records, struct compare_finding *finding,
                    struct compare_statistics *statistics) {
    CHECK(keyspace->ledger != NULL);
    *finding = (struct compare_finding){0};
    statistics->bytes_in += size;
    size_t before = answer->size;
    struct answering answering = {.keyspace = keyspace,
                                  .expected = expected,
                                  .gives = gives,
                                  .writer = writer,
                                  .cursor = cursor_make(data, size),
                                  .answer = answer,
                                  .records = records,
                                  .finding = finding,
                                  .statistics = statistics};
    uint8_t kind = cursor_u8(&answering.cursor);
    answering.round = cursor_varint(&answering.cursor);
    uint64_t step = cursor_varint(&answering.cursor);
    uint64_t set = cursor_u64(&answering.cursor);
    if (cursor_failed(&answering.cursor) || kind < ASK_ROOT || kind > ASK_KEYS ||
        !buffer_reserve(answer, ANSWER_HEAD_MAX))
        return false;
    bool is_same_set = set == slot_set_digest(expected) && is_known(keyspace, expected);
    uint8_t *out = answer->data + answer->size;
    *out++ = is_same_set ? (uint8_t)(kind | ANSWER_BIT) : ANSWER_OTHER_SET;
    answer->size = (size_t)(encode_varint(encode_varint(out, answering.round), step) - answer->data);
    if (is_same_set && !answer_body(&answering, kind)) {
        answer->size = before;
        *finding = (struct compare_finding){0};
        return false;
    }
    statistics->bytes_out += answer->size - before;
    return true;
}
