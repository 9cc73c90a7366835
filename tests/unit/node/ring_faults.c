/* ring_faults.c - parting nodes, and looking at who notices.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/ring_faults.h"

#include <criterion/criterion.h>
#include <string.h>

#define MSET_KEYS 50

void ring_hold_pair(struct ring_stage *stage, unsigned one, unsigned other, bool is_held) {
    ring_hold(stage, one, other, is_held);
    ring_hold(stage, other, one, is_held);
}

void ring_hold_from(struct ring_stage *stage, unsigned from, bool is_held) {
    for (unsigned i = 0; i < stage->count; i++)
        if (i != from)
            ring_hold(stage, from, i, is_held);
}

void ring_part(struct ring_stage *stage, unsigned one, unsigned other, bool is_parted) {
    ring_hold_pair(stage, one, other, is_parted);
    if (is_parted)
        ring_cut(stage, one, other, true);
}

void ring_isolate(struct ring_stage *stage, unsigned number, bool is_isolated) {
    for (unsigned i = 0; i < stage->count; i++)
        if (i != number)
            ring_part(stage, number, i, is_isolated);
}

void ring_expect_down(struct ring_stage *stage, unsigned at, unsigned other) {
    const struct membership *membership = stage->nodes[at].node->cluster->membership;
    for (unsigned ms = 0; membership_member(membership, ring_member(stage, at, other))->state != MEMBER_DOWN;
         ms += 100) {
        cr_assert_lt(ms, 20000u);
        ring_wait(stage, 100);
    }
}

void ring_fill(struct ring_client *client, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        ring_say_format(client, "SET key:%u v", i);
    for (unsigned i = 0; i < count; i++)
        EXPECT_HEARD(client, "+OK\r\n");
}

void ring_fill_many(struct ring_client *client, const char *name, unsigned count) {
    for (unsigned i = 0; i < count; i += MSET_KEYS) {
        struct buffer line;
        buffer_init(&line, &client->at->stage->mem);
        for (unsigned k = i; k < count && k < i + MSET_KEYS; k++)
            buffer_append_format(&line, "%s %s:%u v", k == i ? "MSET" : "", name, k);
        buffer_append_byte(&line, 0);
        EXPECT_ASKED(client, (const char *)line.data, "+OK\r\n");
        buffer_release(&line);
    }
}

struct peer *ring_peer(struct ring_stage *stage, unsigned at, unsigned other) {
    return cluster_peer(stage->nodes[at].node->cluster, ring_member(stage, at, other));
}

struct quorum_facts ring_quorum_facts(struct ring_stage *stage, unsigned number) {
    struct quorum_facts facts;
    quorum_read_facts(stage->nodes[number].node, &facts);
    return facts;
}
