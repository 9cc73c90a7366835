/* cluster_stage.c - members that introduce themselves to the node.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/cluster_stage.h"

#include "node/cluster_slots.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void member_id(uint32_t number, uint8_t id[NODE_ID_SIZE]) {
    memset(id, 0xab, NODE_ID_SIZE);
    id[0] = (uint8_t)number;
    id[1] = (uint8_t)(number >> 8);
}

/* Of the node's cluster from the start: there is nobody to take over whose id. */
static struct membership *new_membership(struct mem *mem, const uint8_t *cluster_id, uint32_t number,
                                         uint64_t now_ms) {
    struct membership_options options = {.mem = mem,
                                         .random_seed = number + 1,
                                         .interval_ms = 200,
                                         .suspect_timeout_ms = 1000,
                                         .fan_out = 3,
                                         .now_ms = now_ms};
    struct member_entry *self = &options.self;
    member_id(number, self->id);
    memcpy(options.fresh_cluster_id, cluster_id, CLUSTER_ID_SIZE);
    self->run = number + 100;
    self->incarnation = number + 1;
    self->weight = 1;
    self->is_settled = true;
    snprintf(self->host, sizeof self->host, "10.0.%u.%u", number / 256, number % 256);
    snprintf(self->zone, sizeof self->zone, "zone-%u", number % 4);
    self->port = (uint16_t)(7000 + number);
    self->cluster_port = (uint16_t)(12000 + number);
    self->peer_port = (uint16_t)(17000 + number);
    struct membership *membership = membership_new(&options);
    cr_assert_not_null(membership);
    membership_set_settled(membership, true);
    return membership;
}

/* Another node is met. */
static void introduce(struct cluster_stage *stage, uint32_t number) {
    struct mem mem = {0};
    struct buffer introduction;
    buffer_init(&introduction, &mem);
    struct membership *other = new_membership(&mem, membership_cluster_id(stage->cluster->membership), number,
                                              stage->world.node->monotonic_ms);
    cr_assert(membership_write_introduction(other, &introduction));
    uint16_t member;
    cr_assert_eq(membership_introduce(stage->cluster->membership, introduction.data, introduction.size,
                                      stage->world.node->monotonic_ms, &member),
                 INTRODUCTION_WELCOME);
    cr_assert_eq(member, number);
    buffer_release(&introduction);
    membership_free(other);
}

void cluster_stage_begin(struct cluster_stage *stage, uint32_t members) {
    stage->identity = (struct identity){.actor = {.incarnation = 1}};
    member_id(0, stage->identity.actor.node_id);
    struct conversation_place place = {
        .identity = &stage->identity,
        .settings = "cluster-enabled yes\nport 7000\ncluster-announce-ip 10.0.0.0\ncluster-zone zone-0\n"};
    conversation_begin_at(&stage->world, &place);
    stage->cluster = stage->world.node->cluster;
    cr_assert_not_null(stage->cluster);
    for (uint32_t i = 1; i < members; i++)
        introduce(stage, i);
    cluster_update(stage->world.node);
    stage->client = conversation_client(&stage->world, 1);
    cr_assert_eq(stage->world.node->routes, members == 1 ? NULL : stage->cluster->routes);
}

void cluster_stage_end(struct cluster_stage *stage) {
    conversation_end(&stage->world);
}

const struct member *cluster_stage_member(const struct cluster_stage *stage, uint16_t member) {
    return membership_member(stage->cluster->membership, member);
}

void cluster_stage_set_state(struct cluster_stage *stage, uint16_t member, enum member_state state) {
    ((struct member *)(uintptr_t)cluster_stage_member(stage, member))->state = state;
}

const char *cluster_stage_id(struct cluster_stage *stage, uint16_t member, char text[41]) {
    identity_print_id(cluster_stage_member(stage, member)->entry.id, text);
    return text;
}
