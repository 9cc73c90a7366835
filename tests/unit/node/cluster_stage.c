/* cluster_stage.c - members that introduce themselves to the node, and a ring of them.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/cluster_stage.h"

#include "node/cluster_slots.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct membership *new_membership(struct mem *mem, uint32_t number, uint64_t now_ms) {
    struct membership_options options = {.mem = mem,
                                         .random_seed = number + 1,
                                         .interval_ms = 200,
                                         .suspect_timeout_ms = 1000,
                                         .fan_out = 3,
                                         .now_ms = now_ms};
    struct member_entry *self = &options.self;
    memset(self->id, 0xab, sizeof self->id);
    self->id[0] = (uint8_t)number;
    self->id[1] = (uint8_t)(number >> 8);
    memset(options.fresh_cluster_id, 0xc1,
           sizeof options.fresh_cluster_id); /* of one cluster from the start */
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
    struct membership *other = new_membership(&mem, number, stage->world.node->monotonic_ms);
    cr_assert(membership_write_introduction(other, &introduction));
    uint16_t member;
    cr_assert_eq(membership_introduce(stage->cluster->membership, introduction.data, introduction.size,
                                      stage->world.node->monotonic_ms, &member),
                 INTRODUCTION_WELCOME);
    cr_assert_eq(member, number);
    buffer_release(&introduction);
    membership_free(other);
}

void cluster_stage_update(struct cluster_stage *stage) {
    struct cluster *cluster = stage->cluster;
    struct ring_member members[RING_MEMBERS_MAX / 4];
    cr_assert_leq(membership_count(cluster->membership), sizeof members / sizeof *members);
    ring_free(cluster->ring);
    cluster->ring_count = membership_ring_members(cluster->membership, members, cluster->ring_indexes);
    cluster->ring = ring_new(&stage->world.mem, members, cluster->ring_count, 3);
    cr_assert_not_null(cluster->ring);
    memset(&cluster->held, 0, sizeof cluster->held);
    memset(&cluster->coordinated, 0, sizeof cluster->coordinated);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        cluster->routes[slot] = cluster->ring_indexes[ring_primary(cluster->ring, slot)];
        if (cluster->routes[slot] == ROUTE_SELF)
            slot_set_add(&cluster->coordinated, slot);
        for (uint32_t i = 0; i < cluster->ring->width; i++)
            if (cluster->ring_indexes[ring_list(cluster->ring, slot)[i]] == ROUTE_SELF)
                slot_set_add(&cluster->held, slot);
    }
    cluster->route_epoch++;
    stage->world.node->routes = cluster->routes;
}

void cluster_stage_begin(struct cluster_stage *stage, uint32_t members) {
    conversation_begin(&stage->world);
    struct node *node = stage->world.node;
    stage->client = conversation_client(&stage->world, 1);
    stage->cluster = calloc(1, sizeof *stage->cluster);
    cr_assert_not_null(stage->cluster);
    struct cluster *cluster = stage->cluster;
    cluster->node = node;
    cluster->is_settled = true;
    snprintf(cluster->host_name, sizeof cluster->host_name, "10.0.0.0");
    list_init(&cluster->links);
    list_init(&cluster->attention);
    cluster->membership = new_membership(&stage->world.mem, 0, node->monotonic_ms);
    for (uint32_t i = 1; i < members; i++)
        introduce(stage, i);
    node->cluster = cluster;
    cluster_stage_update(stage);
    memset(stage->slots, 0, sizeof stage->slots);
}

void cluster_stage_end(struct cluster_stage *stage) {
    struct cluster *cluster = stage->cluster;
    stage->world.node->cluster = NULL;
    stage->world.node->routes = NULL;
    for (unsigned i = 0; i < 2; i++)
        if (cluster->slots_reply[i].mem != NULL)
            buffer_release(&cluster->slots_reply[i]);
    ring_free(cluster->ring);
    membership_free(cluster->membership);
    free(cluster);
    conversation_end(&stage->world);
}

const struct member *cluster_stage_member(const struct cluster_stage *stage, uint16_t member) {
    return membership_member(stage->cluster->membership, member);
}

void cluster_stage_set_state(struct cluster_stage *stage, uint16_t member, enum member_state state) {
    ((struct member *)(uintptr_t)cluster_stage_member(stage, member))->state = state;
}

const char *cluster_stage_id(struct cluster_stage *stage, uint16_t member, char text[41]) {
    cluster_print_id(cluster_stage_member(stage, member)->entry.id, text);
    return text;
}
