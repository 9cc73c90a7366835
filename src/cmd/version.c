/* version.c - KV.VERSION, KV.PEEK and KV.SIBLINGS: what a copy of a key is, who wrote it, and what lost against it.
 *
 * A version is a list of writers, each with the counter that it had come to: [node id, incarnation, counter, time in
 * milliseconds]. The time is a part of the counter; the writer of the value comes first.
 * Siblings are the values that lost against concurrent ones, where conflict-keep has them kept (data/merge_state.h).
 * May touch: base, data, proto, store. Must never know: clients, peers.
 * Invariants: looking leaves no trace: an expired key is not reclaimed, no access is noted.
 * Tests: tests/unit/cmd/version_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/call.h"
#include "cmd/handlers.h"
#include "cmd/key.h"

#define COUNTER_LOGICAL_BITS 16

/* The record of argv[1], whatever it is: also a tombstone, or one whose time has come. NULL: there is none. */
static struct record *find_record(struct call *call) {
    struct database *database = call->keyspace->databases[call->database];
    struct argument *key = &call->argv[1];
    if (database == NULL)
        return NULL;
    keyspace_place(call->keyspace, key);
    return dict_find(&database->slots[key->slot], key->hash, key->data, key->size, NULL);
}

static bool is_expired(const struct call *call, const struct record *record) {
    return record->flags & RECORD_EXPIRY && call->keyspace->now_ms > record_expiry_ms(record);
}

/* The latest first. There are few. */
static void sort_dots(struct version *version) {
    for (uint32_t i = 1; i < version->count; i++) {
        struct dot dot = version->dots[i];
        uint32_t at = i;
        for (; at > 0 && version->dots[at - 1].counter < dot.counter; at--)
            version->dots[at] = version->dots[at - 1];
        version->dots[at] = dot;
    }
}

static void reply_dot(struct call *call, struct dot dot) {
    const struct actor_identity *actor = &call->keyspace->actors.identities[dot.actor];
    char id[2 * NODE_ID_SIZE + 1];
    for (unsigned i = 0; i < NODE_ID_SIZE; i++) {
        id[2 * i] = "0123456789abcdef"[actor->node_id[i] >> 4];
        id[2 * i + 1] = "0123456789abcdef"[actor->node_id[i] & 15];
    }
    reply_array(call->reply, 4);
    reply_bulk(call->reply, id, sizeof id - 1);
    reply_integer(call->reply, (int64_t)actor->incarnation);
    reply_integer(call->reply, (int64_t)dot.counter);
    reply_integer(call->reply, (int64_t)(dot.counter >> COUNTER_LOGICAL_BITS));
}

static void reply_version(struct call *call, const struct record *record) {
    struct version version;
    record_version(record, &version);
    sort_dots(&version);
    reply_array(call->reply, version.count);
    for (uint32_t i = 0; i < version.count; i++)
        reply_dot(call, version.dots[i]);
}

void kv_version_command(struct call *call) {
    const struct record *record = find_record(call);
    if (record == NULL || record_type(record) == RECORD_TOMBSTONE || is_expired(call, record))
        reply_null_array(call->reply);
    else
        reply_version(call, record);
}

/* [value, type, expiry, version]: the value is null where there is none to be seen, the expiry -1 where there is none. */
void kv_peek_command(struct call *call) {
    const struct record *record = find_record(call);
    if (record == NULL) {
        reply_null_array(call->reply);
        return;
    }
    bool is_tombstone = record_type(record) == RECORD_TOMBSTONE, expired = is_expired(call, record);
    reply_array(call->reply, 4);
    if (is_tombstone || expired)
        reply_null(call->reply);
    else
        reply_bulk(call->reply, record_value_const(record), record_value_size(record));
    reply_bulk_text(call->reply, is_tombstone ? "tombstone"
                                 : expired    ? "expired"
                                              : key_type_name(record_type(record)));
    reply_integer(call->reply, record->flags & RECORD_EXPIRY ? record_expiry_ms(record) : -1);
    reply_version(call, record);
}

static uint32_t count_siblings(const struct record_parts *parts) {
    struct sibling sibling;
    uint32_t count = 0;
    for (size_t at = 0;
         parts->state_size != 0 && merge_state_next_sibling(parts->state, parts->state_size, &at, &sibling);)
        count++;
    return count;
}

/* The value and the siblings, the newest first; null is the value of a key that is deleted and yet has siblings. */
void kv_siblings_command(struct call *call) {
    const struct record *record = find_record(call);
    struct record_parts parts = {.type = RECORD_TOMBSTONE};
    struct dot others[VERSION_DOTS_MAX];
    if (record != NULL && !is_expired(call, record))
        record_parts(record, &parts, others);
    uint32_t count = count_siblings(&parts);
    bool is_tombstone = parts.type == RECORD_TOMBSTONE;
    if (is_tombstone && count == 0) {
        reply_array(call->reply, 0);
        return;
    }
    reply_array(call->reply, 1 + count);
    if (is_tombstone)
        reply_null(call->reply);
    else
        reply_bulk(call->reply, parts.value, parts.value_size);
    struct sibling sibling;
    for (size_t at = 0; count > 0 && merge_state_next_sibling(parts.state, parts.state_size, &at, &sibling);)
        reply_bulk(call->reply, sibling.value, sibling.size);
}
