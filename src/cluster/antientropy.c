/* antientropy.c - sets of slots, and the asker: from one question to the next.
 *
 * What differs is kept as places: slots still to be compared (a set), leaves and keys (stacks). Keys are asked for when there are
 * enough of them for a message, or nothing else is left; leaves before further slots: so the stacks stay small whatever differs, and messages
 * are few.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/antientropy.h"

#include "cluster/antientropy_scan.h"

/* What the asker walks for one question. A slot is compared by leaves only where the answerer has a third more at most, which is then within
 * what it walks. Records for the last answer may be walked in the same step. */
#define LEAVES_BUDGET (COMPARE_STEP_RECORDS / 4 * 3)
#define KEYS_BUDGET   (COMPARE_STEP_RECORDS / 2)

#define KEYS_ENOUGH  COMPARE_SLOTS_MAX
#define PLACES_FIRST 64

/* ---- Sets ---- */

uint64_t slot_set_digest(const struct slot_set *set) {
    uint64_t digest = 0;
    for (uint32_t i = 0; i < SLOT_COUNT / 64; i++)
        digest = compare_mix(digest + set->bits[i] + i + 1);
    return digest;
}

/* ---- Places ---- */

static void places_release(struct compare_places *places, struct mem *mem) {
    mem_free(mem, places->items, places->capacity * sizeof *places->items);
    *places = (struct compare_places){0};
}

static bool places_push(struct compare_places *places, struct mem *mem, const struct compare_place *place) {
    if (places->count == places->capacity) {
        uint32_t capacity = places->capacity == 0 ? PLACES_FIRST : places->capacity * 2;
        struct compare_place *items =
            mem_resize(mem, places->items, places->capacity * sizeof *items, capacity * sizeof *items);
        if (items == NULL)
            return false;
        places->items = items;
        places->capacity = capacity;
    }
    places->items[places->count++] = *place;
    return true;
}

static struct compare_place *places_top(const struct compare_places *places) {
    return &places->items[places->count - 1];
}

/* ---- Life ---- */

void comparer_init(struct comparer *comparer, struct mem *mem) {
    *comparer = (struct comparer){.mem = mem, .state = COMPARE_IDLE};
}

static void end_round(struct comparer *comparer, enum compare_state state) {
    places_release(&comparer->leaves, comparer->mem);
    places_release(&comparer->keys, comparer->mem);
    places_release(&comparer->asked, comparer->mem);
    comparer->state = state;
}

void comparer_release(struct comparer *comparer) {
    end_round(comparer, COMPARE_IDLE);
}

void comparer_reset(struct comparer *comparer) {
    end_round(comparer, COMPARE_IDLE);
    comparer->told_root = 0;
}

bool comparer_has_handed_over(const struct comparer *comparer) {
    return comparer->state == COMPARE_EQUAL ||
           (comparer->state == COMPARE_EXCHANGED && comparer->has_handed_over);
}

/* All that differed was sent. */
static void end_whole_round(struct comparer *comparer) {
    comparer->has_handed_over = comparer->told_root == comparer->begun_root && comparer->lacked == 0;
    comparer->told_root = comparer->begun_root;
    end_round(comparer, COMPARE_EXCHANGED);
}

/* ---- Questions ---- */

/* Makes room for a question whose body has up to body_max bytes, and writes its head. NULL: no memory. */
static uint8_t *begin_question(struct comparer *comparer, struct buffer *message, enum compare_question kind,
                               size_t body_max) {
    if (!buffer_reserve(message, QUESTION_HEAD_MAX + body_max))
        return NULL;
    comparer->step++;
    comparer->question = (uint8_t)kind;
    comparer->asked.count = 0;
    uint8_t *out = message->data + message->size;
    *out++ = (uint8_t)kind;
    out = encode_varint(encode_varint(out, comparer->round), comparer->step);
    return encode_fixed(out, slot_set_digest(&comparer->set), 8);
}

static void end_question(struct buffer *message, const uint8_t *out) {
    message->size = (size_t)(out - message->data);
}

static bool ask_root(struct comparer *comparer, bool is_settled, struct buffer *message) {
    uint8_t *out = begin_question(comparer, message, ASK_ROOT, 1 + 8);
    if (out == NULL)
        return false;
    *out++ = is_settled ? ASK_IS_SETTLED : 0;
    end_question(message, encode_fixed(out, comparer->begun_root, 8));
    return true;
}

/* About the groups of all slots that are to be compared. */
static bool ask_groups(struct comparer *comparer, const struct keyspace *keyspace, unsigned shift,
                       struct buffer *message) {
    size_t digests_max = (size_t)(SLOT_COUNT >> shift) * 4;
    uint8_t *out = begin_question(comparer, message, ASK_GROUPS, GROUPS_HEAD_SIZE + digests_max);
    if (out == NULL)
        return false;
    comparer->group_shift = (uint8_t)shift;
    *out++ = (uint8_t)shift;
    bool is_small = shift != GROUP_SHIFT;
    uint8_t *bits = out;
    memset(bits, 0, COMPARE_GROUPS / 8);
    out += COMPARE_GROUPS / 8;
    uint64_t salt = compare_salt(comparer->round);
    for (uint32_t slot = slot_set_next(&comparer->to_compare, 0); slot < SLOT_COUNT;) {
        uint32_t group = slot >> GROUP_SHIFT;
        bits[group / 8] |= (uint8_t)(1u << group % 8);
        uint64_t digest = compare_group_digest(keyspace->ledger, &comparer->to_compare, shift, &slot);
        out = encode_fixed(out, compare_cut(digest, salt), is_small ? 2 : 4);
    }
    end_question(message, out);
    return true;
}

static bool ask_slots(struct comparer *comparer, const struct keyspace *keyspace, struct buffer *message) {
    uint8_t *out =
        begin_question(comparer, message, ASK_SLOTS, ENCODE_VARINT_MAX + COMPARE_SLOTS_MAX * SLOT_ENTRY_MAX);
    if (out == NULL)
        return false;
    uint32_t count = slot_set_count(&comparer->to_compare);
    count = count < COMPARE_SLOTS_MAX ? count : COMPARE_SLOTS_MAX;
    out = encode_varint(out, count);
    uint64_t salt = compare_salt(comparer->round);
    uint64_t counter = 0, floor_before = 0;
    uint32_t behind = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = slot_set_next(&comparer->to_compare, behind);
        uint64_t flush_counter = keyspace->ledger->flush_counters[slot];
        uint64_t floor = keyspace->ledger->floors.counters[slot];
        if (!places_push(&comparer->asked, comparer->mem, &(struct compare_place){.slot = (uint16_t)slot}))
            return false;
        slot_set_remove(&comparer->to_compare, slot);
        bool has_counter = flush_counter != counter;
        out = encode_varint(out, (uint64_t)(slot - behind) << 1 | has_counter);
        if (has_counter)
            out = encode_fixed(out, flush_counter, 8);
        out = encode_varint(out, compare_floor_step(floor, floor_before));
        out = encode_fixed(out, compare_cut_short(keyspace->ledger->digests[slot], salt), 2);
        counter = flush_counter;
        floor_before = floor;
        behind = slot + 1;
    }
    end_question(message, out);
    return true;
}

/* The half hashes of some leaves. */
static struct compare_place keys_of_leaves(const struct compare_place *leaves, uint32_t first,
                                           uint32_t last) {
    unsigned shift = 32 - leaves->bits;
    return (struct compare_place){
        .slot = leaves->slot, .first = first << shift, .last = last << shift | ((1u << shift) - 1)};
}

/* Writes what there is budget for of the place on top. *written is false where that is not one leaf. */
static bool write_leaves(struct comparer *comparer, struct compare_scan *scan, uint32_t count_max,
                         uint8_t **at, uint32_t *written) {
    struct compare_place *place = places_top(&comparer->leaves);
    uint32_t first = place->first;
    uint32_t left = place->last - first + 1;
    uint32_t count =
        compare_sum_leaves(scan, place->slot, place->bits, first, left < count_max ? left : count_max);
    *written = count;
    if (count == 0)
        return true;
    struct compare_place asked = *place;
    asked.last = first + count - 1;
    if (!places_push(&comparer->asked, comparer->mem, &asked))
        return false;
    uint8_t *out = encode_fixed(*at, place->slot, 2);
    *out++ = place->bits;
    out = encode_fixed(encode_fixed(out, first, 4), count, 2);
    for (uint32_t i = 0; i < count; i++)
        out = encode_fixed(out, compare_leaf_digest(scan, i), 4);
    *at = out;
    if (count < left)
        place->first += count;
    else
        comparer->leaves.count--;
    return true;
}

/* The message stays empty where the one place that was tried has grown so that its leaves are of no use: then it is among the keys now. */
static bool ask_leaves(struct comparer *comparer, struct compare_scan *scan, struct buffer *message) {
    uint8_t *out = begin_question(comparer, message, ASK_LEAVES,
                                  2 + COMPARE_SLOTS_MAX * LEAVES_HEAD_SIZE + COMPARE_LEAVES_MAX * 4);
    if (out == NULL)
        return false;
    uint8_t *count_at = out;
    out += 2;
    uint32_t total = 0, written = 1;
    while (comparer->leaves.count > 0 && comparer->asked.count < COMPARE_SLOTS_MAX &&
           total < COMPARE_LEAVES_MAX && scan->walked < scan->budget && written > 0) {
        if (!write_leaves(comparer, scan, COMPARE_LEAVES_MAX - total, &out, &written))
            return false;
        total += written;
    }
    if (comparer->asked.count == 0) {
        const struct compare_place *place = places_top(&comparer->leaves);
        struct compare_place keys = keys_of_leaves(place, place->first, place->last);
        comparer->leaves.count--;
        return places_push(&comparer->keys, comparer->mem, &keys);
    }
    encode_fixed(count_at, comparer->asked.count, 2);
    end_question(message, out);
    return true;
}

static bool ask_keys(struct comparer *comparer, struct compare_scan *scan, struct buffer *message) {
    uint8_t *out = begin_question(comparer, message, ASK_KEYS,
                                  2 + COMPARE_SLOTS_MAX * KEYS_HEAD_MAX + COMPARE_KEYS_MAX * MARK_SIZE);
    if (out == NULL)
        return false;
    uint8_t *count_at = out;
    out += 2;
    uint32_t total = 0;
    while (comparer->keys.count > 0 && comparer->asked.count < COMPARE_SLOTS_MAX &&
           total < COMPARE_KEYS_MAX && scan->walked < scan->budget) {
        struct compare_place *place = places_top(&comparer->keys);
        if (place->is_awaited) {
            if (!places_push(&comparer->asked, comparer->mem, place))
                return false;
            out = encode_varint(encode_fixed(out, place->slot, 2), FORM_AWAITED);
            out = encode_fixed(out, place->first, 4);
            comparer->keys.count--;
            continue;
        }
        uint64_t end =
            compare_collect(scan, place->slot, place->first, place->last, COMPARE_KEYS_MAX - total);
        struct compare_place asked = *place;
        asked.last = (uint32_t)(end - 1);
        bool is_whole = asked.first == 0 && asked.last == HASHES_LAST;
        asked.is_brief = asked.is_brief && is_whole;
        if (!places_push(&comparer->asked, comparer->mem, &asked))
            return false;
        enum compare_form form = asked.is_brief ? FORM_BRIEF : is_whole ? FORM_ALL : FORM_RANGE;
        out = encode_varint(encode_fixed(out, asked.slot, 2), scan->item_count * COMPARE_FORMS + form);
        if (form == FORM_RANGE)
            out = encode_fixed(encode_fixed(out, asked.first, 4), asked.last, 4);
        for (uint32_t i = 0; i < scan->item_count; i++) {
            if (form != FORM_BRIEF)
                out = encode_fixed(out, compare_half_hash(scan->items[i].mark), 4);
            out = encode_fixed(out, scan->items[i].mark & 0xffff, 2);
        }
        total += scan->item_count;
        if (end <= place->last)
            place->first = (uint32_t)end;
        else
            comparer->keys.count--;
    }
    encode_fixed(count_at, comparer->asked.count, 2);
    end_question(message, out);
    return true;
}

/* A question that needs a walk. */
static bool ask_by_walk(struct comparer *comparer, struct keyspace *keyspace, bool of_keys,
                        struct buffer *message, struct compare_statistics *statistics) {
    struct compare_scan *scan =
        compare_scan_new(comparer->mem, keyspace, comparer->round, of_keys ? KEYS_BUDGET : LEAVES_BUDGET);
    if (scan == NULL)
        return false;
    bool done = of_keys ? ask_keys(comparer, scan, message) : ask_leaves(comparer, scan, message);
    compare_scan_free(scan, comparer->mem, statistics);
    return done;
}

/* The next question, or the end of the round. */
static bool ask_on(struct comparer *comparer, struct keyspace *keyspace, struct buffer *message,
                   struct compare_statistics *statistics) {
    size_t before = message->size;
    while (message->size == before) {
        bool done;
        if (comparer->keys.count >= KEYS_ENOUGH) {
            done = ask_by_walk(comparer, keyspace, true, message, statistics);
        } else if (comparer->leaves.count > 0) {
            done = ask_by_walk(comparer, keyspace, false, message, statistics);
        } else if (slot_set_next(&comparer->to_compare, 0) < SLOT_COUNT) {
            done = ask_slots(comparer, keyspace, message);
        } else if (comparer->keys.count > 0) {
            done = ask_by_walk(comparer, keyspace, true, message, statistics);
        } else {
            end_whole_round(comparer);
            return true;
        }
        if (!done)
            return false;
    }
    return true;
}

bool comparer_begin(struct comparer *comparer, struct keyspace *keyspace, const struct slot_set *set,
                    bool is_settled, struct buffer *message, struct compare_statistics *statistics) {
    CHECK(keyspace->ledger != NULL);
    size_t before = message->size;
    end_round(comparer, COMPARE_RUNNING);
    comparer->round++;
    comparer->step = 0;
    comparer->exchanged = comparer->lacked = 0;
    comparer->set = *set;
    comparer->begun_root = compare_root(keyspace->ledger, set);
    comparer->to_compare = (struct slot_set){{0}};
    if (!ask_root(comparer, is_settled, message)) {
        end_round(comparer, COMPARE_IDLE);
        return false;
    }
    statistics->rounds++;
    statistics->bytes_out += message->size - before;
    return true;
}

/* ---- Answers ---- */

static bool take_root(struct comparer *comparer, struct keyspace *keyspace, struct cursor *cursor,
                      struct buffer *message, struct compare_statistics *statistics) {
    uint8_t is_equal = cursor_u8(cursor);
    if (!cursor_is_done(cursor) || is_equal > 1)
        return false;
    if (!is_equal && comparer->only_looks) {
        end_round(comparer, COMPARE_EXCHANGED);
        return true;
    }
    if (!is_equal) {
        comparer->to_compare = comparer->set;
        return ask_groups(comparer, keyspace, GROUP_SHIFT, message);
    }
    statistics->equal_rounds++;
    end_round(comparer, COMPARE_EQUAL);
    return true;
}

/* Slots of groups that are equal need not be compared any more. */
static bool take_groups(struct comparer *comparer, const struct keyspace *keyspace, struct cursor *cursor,
                        struct buffer *message) {
    const struct slot_set asked = comparer->to_compare;
    unsigned shift = comparer->group_shift;
    uint32_t count = 0;
    for (uint32_t slot = slot_set_next(&asked, 0); slot < SLOT_COUNT; count++)
        slot = slot_set_next(&asked, ((slot >> shift) + 1) << shift);
    const uint8_t *bits = cursor_bytes(cursor, (count + 7) / 8);
    if (!cursor_is_done(cursor))
        return false;
    uint32_t bit = 0, group = UINT32_MAX;
    for (uint32_t slot = slot_set_next(&asked, 0); slot < SLOT_COUNT;
         slot = slot_set_next(&asked, slot + 1)) {
        bit += group != UINT32_MAX && slot >> shift != group;
        group = slot >> shift;
        if (!(bits[bit / 8] >> bit % 8 & 1))
            slot_set_remove(&comparer->to_compare, slot);
    }
    bool is_done = shift != GROUP_SHIFT || slot_set_next(&comparer->to_compare, 0) == SLOT_COUNT;
    return is_done || ask_groups(comparer, keyspace, SMALL_GROUP_SHIFT, message);
}

/* Whether the digests of leaves would tell where a slot differs: where one side has much more, most leaves would differ. */
static bool is_worth_leaves(uint32_t ours, uint32_t theirs) {
    uint32_t less = ours < theirs ? ours : theirs;
    uint32_t more = ours < theirs ? theirs : ours;
    return less >= COMPARE_LARGE_SLOT && more - less <= more / 4;
}

static bool place_slot(struct comparer *comparer, uint32_t slot, uint32_t ours, uint32_t theirs) {
    struct compare_place place = {.slot = (uint16_t)slot, .last = HASHES_LAST, .is_brief = ours == theirs};
    if (!is_worth_leaves(ours, theirs))
        return places_push(&comparer->keys, comparer->mem, &place);
    uint32_t more = ours < theirs ? theirs : ours;
    place.bits = 1;
    while (place.bits < LEAF_BITS_MAX && more >> place.bits > COMPARE_LEAF_RECORDS)
        place.bits++;
    place.last = (UINT32_C(1) << place.bits) - 1;
    return places_push(&comparer->leaves, comparer->mem, &place);
}

static bool take_slots(struct comparer *comparer, const struct keyspace *keyspace, struct cursor *cursor,
                       struct compare_statistics *statistics) {
    uint8_t has_flush = cursor_u8(cursor);
    uint32_t count = cursor_u16(cursor);
    if (cursor_failed(cursor) || has_flush > 1 || count > comparer->asked.count)
        return false;
    uint64_t behind = 0;
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t skipped = cursor_varint(cursor);
        uint64_t records = cursor_varint(cursor);
        uint64_t slot = behind + skipped;
        if (cursor_failed(cursor) || skipped >= SLOT_COUNT || slot >= SLOT_COUNT || records > UINT32_MAX)
            return false;
        while (at < comparer->asked.count && comparer->asked.items[at].slot < slot)
            at++;
        if (at == comparer->asked.count || comparer->asked.items[at].slot != slot ||
            !place_slot(comparer, (uint32_t)slot, compare_slot_records(keyspace, (uint32_t)slot),
                        (uint32_t)records))
            return false;
        behind = slot + 1;
    }
    comparer->exchanged += has_flush;
    statistics->slots_differed += count;
    return cursor_is_done(cursor);
}

/* Leaves side by side become one place. */
static bool take_leaves_of(struct comparer *comparer, const struct compare_place *leaves, const uint8_t *bits,
                           uint32_t bit) {
    for (uint32_t leaf = leaves->first; leaf <= leaves->last; leaf++, bit++) {
        if (!(bits[bit / 8] >> bit % 8 & 1))
            continue;
        uint32_t first = leaf;
        for (; leaf < leaves->last && bits[(bit + 1) / 8] >> (bit + 1) % 8 & 1; leaf++)
            bit++;
        struct compare_place keys = keys_of_leaves(leaves, first, leaf);
        if (!places_push(&comparer->keys, comparer->mem, &keys))
            return false;
    }
    return true;
}

static bool take_leaves(struct comparer *comparer, struct cursor *cursor) {
    uint32_t total = 0;
    for (uint32_t i = 0; i < comparer->asked.count; i++)
        total += comparer->asked.items[i].last - comparer->asked.items[i].first + 1;
    const uint8_t *bits = cursor_bytes(cursor, (total + 7) / 8);
    if (!cursor_is_done(cursor))
        return false;
    uint32_t bit = 0;
    for (uint32_t i = 0; i < comparer->asked.count; i++) {
        const struct compare_place *leaves = &comparer->asked.items[i];
        if (!take_leaves_of(comparer, leaves, bits, bit))
            return false;
        bit += leaves->last - leaves->first + 1;
    }
    return true;
}

/* ---- Answers: keys ---- */

/* The records that the answerer asked for, of one place after another. */
struct serving {
    struct comparer *comparer;
    struct keyspace *keyspace;
    struct entries_writer *writer;
    struct buffer *records;
    size_t records_before;
    struct compare_scan *scan;
    struct compare_statistics *statistics;
    bool is_full; /* no more in this step */
};

/* What finds no room any more is compared once more. */
static bool put_off(struct serving *serving, uint32_t slot, uint32_t first, uint32_t last) {
    struct compare_place place = {.slot = (uint16_t)slot, .first = first, .last = last};
    serving->is_full = true;
    return places_push(&serving->comparer->keys, serving->comparer->mem, &place);
}

/* What the answerer has not sent yet, it is asked for. */
static bool await(struct serving *serving, uint32_t slot, uint32_t half_hash) {
    struct compare_place place = {
        .slot = (uint16_t)slot, .first = half_hash, .last = half_hash, .is_awaited = true};
    serving->statistics->keys_asked_for++;
    return places_push(&serving->comparer->keys, serving->comparer->mem, &place);
}

/* Sends the items from *at on that have the wanted half hash, unless the answerer has what is newer and it is of use here. */
static bool serve_one(struct serving *serving, uint32_t slot, const struct compare_want *want, uint32_t *at) {
    const struct compare_scan *scan = serving->scan;
    while (*at < scan->item_count && compare_half_hash(scan->items[*at].mark) < want->half_hash)
        ++*at;
    uint32_t end = *at;
    while (end < scan->item_count && compare_half_hash(scan->items[end].mark) == want->half_hash)
        end++;
    const struct record *first = end > *at ? scan->items[*at].record : NULL;
    bool is_one = end - *at == 1;
    if (first != NULL && (want->here != HERE_ONE || !is_one || first->counter > want->counter))
        serving->comparer->lacked++;
    if (want->here == HERE_ONE && first != NULL && !serving->comparer->hands_over) {
        if ((!is_one || first->counter <= want->counter) && !await(serving, slot, want->half_hash))
            return false;
        if (is_one && first->counter < want->counter) {
            *at = end;
            return true;
        }
    }
    for (; *at < end; ++*at) {
        const struct record *record = scan->items[*at].record;
        if (want->here == HERE_NOTHING && compare_is_expired(serving->keyspace, record))
            continue;
        if (!entries_add_record(serving->writer, &serving->keyspace->actors, serving->records, record))
            return false;
        serving->statistics->keys_sent++;
        serving->comparer->exchanged++;
    }
    return true;
}

/* The keys of a place that was asked about in brief are not the same on both sides. */
static bool ask_with_hashes(struct comparer *comparer, uint32_t slot) {
    struct compare_place place = {.slot = (uint16_t)slot, .last = HASHES_LAST};
    return places_push(&comparer->keys, comparer->mem, &place);
}

/* Whether there is a record for each of the wants. */
static bool has_all(const struct compare_scan *scan, const struct compare_want *wants, uint32_t count) {
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        while (at < scan->item_count && compare_half_hash(scan->items[at].mark) < wants[i].half_hash)
            at++;
        if (at == scan->item_count || compare_half_hash(scan->items[at].mark) != wants[i].half_hash)
            return false;
    }
    return true;
}

/* count > 0 wants of one place. */
static bool serve(struct serving *serving, const struct compare_place *place,
                  const struct compare_want *wants, uint32_t count) {
    struct compare_scan *scan = serving->scan;
    uint32_t slot = place->slot;
    uint32_t first = wants[0].half_hash, last = wants[count - 1].half_hash;
    if (serving->is_full || scan->walked >= scan->budget)
        return put_off(serving, slot, first, last);
    uint64_t end = compare_collect(scan, slot, first, last, COMPARE_KEYS_MAX);
    if (place->is_brief && !has_all(scan, wants, count))
        return ask_with_hashes(serving->comparer, slot);
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (wants[i].half_hash >= end ||
            serving->records->size - serving->records_before >= COMPARE_RECORDS_BYTES)
            return put_off(serving, slot, wants[i].half_hash, last);
        if (!serve_one(serving, slot, &wants[i], &at))
            return false;
    }
    return true;
}

/* What an answer about keys says besides the wants. */
struct keys_answer {
    uint32_t done;    /* places that were looked at to their end */
    uint32_t stopped; /* the next was up to here, if there is one */
    uint32_t sent;
};

/* Whether the wants of each place make sense. */
static bool check_wants(const struct comparer *comparer, const struct keys_answer *answer,
                        struct cursor cursor) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < comparer->asked.count && i <= answer->done; i++) {
        const struct compare_place *place = &comparer->asked.items[i];
        uint64_t least = place->first;
        uint64_t behind = i == answer->done ? answer->stopped : (uint64_t)place->last + 1;
        uint64_t head = cursor_varint(&cursor), count = head >> 1;
        total += count;
        if (cursor_failed(&cursor) || count > COMPARE_KEYS_MAX || total > COMPARE_KEYS_MAX ||
            (count > 0 && place->is_awaited) || (head & 1 && (count > 0 || !place->is_brief)))
            return false;
        for (uint64_t k = 0; k < count; k++) {
            struct compare_want want = compare_read_want(&cursor);
            if (cursor_failed(&cursor) || want.half_hash < least || want.half_hash >= behind ||
                (place->is_brief && want.here != HERE_ONE))
                return false;
            least = (uint64_t)want.half_hash + 1;
        }
    }
    return cursor_is_done(&cursor);
}

static bool check_keys(const struct comparer *comparer, const struct keys_answer *answer) {
    const struct compare_places *asked = &comparer->asked;
    if (answer->done > asked->count)
        return false;
    if (answer->done == asked->count)
        return answer->stopped == 0;
    const struct compare_place *place = &asked->items[answer->done];
    bool has_moved = answer->done > 0 || answer->stopped > place->first;
    return answer->stopped >= place->first && answer->stopped <= place->last && has_moved;
}

/* What the answerer had no room for is asked again. */
static bool put_back(struct comparer *comparer, const struct keys_answer *answer) {
    for (uint32_t i = comparer->asked.count; i-- > answer->done;) {
        struct compare_place place = comparer->asked.items[i];
        if (i == answer->done)
            place.first = answer->stopped;
        if (!places_push(&comparer->keys, comparer->mem, &place))
            return false;
    }
    return true;
}

static bool take_keys(struct serving *serving, struct cursor *cursor) {
    struct comparer *comparer = serving->comparer;
    struct compare_want *wants = serving->scan->wants;
    struct keys_answer answer = {.done = cursor_u16(cursor)};
    answer.stopped = cursor_u32(cursor);
    answer.sent = cursor_u16(cursor);
    if (cursor_failed(cursor) || !check_keys(comparer, &answer) || !check_wants(comparer, &answer, *cursor) ||
        !put_back(comparer, &answer))
        return false;
    comparer->exchanged += answer.sent;
    for (uint32_t i = 0; i < comparer->asked.count && i <= answer.done; i++) {
        const struct compare_place *place = &comparer->asked.items[i];
        uint32_t head = (uint32_t)cursor_varint(cursor), count = head >> 1;
        for (uint32_t k = 0; k < count; k++)
            wants[k] = compare_read_want(cursor);
        if ((head & 1 && !ask_with_hashes(comparer, place->slot)) ||
            (count > 0 && !serve(serving, place, wants, count)))
            return false;
    }
    return true;
}

static bool take_keys_by_walk(struct serving *serving, struct cursor *cursor) {
    struct comparer *comparer = serving->comparer;
    serving->records_before = serving->records->size;
    serving->scan = compare_scan_new(comparer->mem, serving->keyspace, comparer->round, KEYS_BUDGET);
    if (serving->scan == NULL)
        return false;
    bool done = take_keys(serving, cursor);
    compare_scan_free(serving->scan, comparer->mem, serving->statistics);
    return done;
}

static bool take_answer(struct serving *serving, struct cursor *cursor, struct buffer *message) {
    struct comparer *comparer = serving->comparer;
    struct keyspace *keyspace = serving->keyspace;
    switch ((enum compare_question)comparer->question) {
    case ASK_ROOT: return take_root(comparer, keyspace, cursor, message, serving->statistics);
    case ASK_GROUPS: return take_groups(comparer, keyspace, cursor, message);
    case ASK_SLOTS: return take_slots(comparer, keyspace, cursor, serving->statistics);
    case ASK_LEAVES: return take_leaves(comparer, cursor);
    case ASK_KEYS: return take_keys_by_walk(serving, cursor);
    }
    return false;
}

bool comparer_receive(struct comparer *comparer, struct keyspace *keyspace, struct entries_writer *writer,
                      const uint8_t *data, size_t size, struct buffer *message, struct buffer *records,
                      struct compare_statistics *statistics) {
    CHECK(keyspace->ledger != NULL);
    statistics->bytes_in += size;
    size_t before = message->size;
    struct cursor cursor = cursor_make(data, size);
    uint8_t kind = cursor_u8(&cursor);
    uint64_t round = cursor_varint(&cursor);
    uint64_t step = cursor_varint(&cursor);
    bool makes_sense = !cursor_failed(&cursor);
    if (makes_sense &&
        (comparer->state != COMPARE_RUNNING || round != comparer->round || step != comparer->step))
        return true;
    if (makes_sense && kind == ANSWER_OTHER_SET && cursor_is_done(&cursor)) {
        end_round(comparer, COMPARE_OTHER_SET);
        return true;
    }
    struct serving serving = {.comparer = comparer,
                              .keyspace = keyspace,
                              .writer = writer,
                              .records = records,
                              .statistics = statistics};
    bool done =
        makes_sense && kind == (comparer->question | ANSWER_BIT) && take_answer(&serving, &cursor, message);
    if (done && comparer->state == COMPARE_RUNNING && message->size == before)
        done = ask_on(comparer, keyspace, message, statistics);
    if (!done) {
        message->size = before;
        end_round(comparer, COMPARE_IDLE);
    }
    statistics->bytes_out += message->size - before;
    return done;
}
