/* virtual_network.c - memberships in virtual time; see the header.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "virtual_network.h"

#include <criterion/criterion.h>
#include <string.h>

#define LINK_RETRY_MS 100

struct network_item {
    uint64_t due_ms, sequence;
    uint32_t from, to; /* equal: a tick */
    uint64_t from_life, to_life;
    uint8_t *data;
    size_t size;
};

/* ---- The queue of what is due: a heap ---- */

static bool is_before(const struct network_item *one, const struct network_item *other) {
    return one->due_ms != other->due_ms ? one->due_ms < other->due_ms : one->sequence < other->sequence;
}

static void push(struct network *network, struct network_item item) {
    if (network->item_count == network->item_capacity) {
        uint32_t capacity = 2 * network->item_capacity + 64;
        network->items = mem_resize(&network->mem, network->items, network->item_capacity * sizeof item,
                                    capacity * sizeof item);
        cr_assert_not_null(network->items);
        network->item_capacity = capacity;
    }
    item.sequence = network->sequence++;
    uint32_t at = network->item_count++;
    for (; at > 0 && is_before(&item, &network->items[(at - 1) / 2]); at = (at - 1) / 2)
        network->items[at] = network->items[(at - 1) / 2];
    network->items[at] = item;
}

static struct network_item pop(struct network *network) {
    struct network_item first = network->items[0], last = network->items[--network->item_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= network->item_count)
            break;
        if (child + 1 < network->item_count && is_before(&network->items[child + 1], &network->items[child]))
            child++;
        if (!is_before(&network->items[child], &last))
            break;
        network->items[at] = network->items[child];
        at = child;
    }
    network->items[at] = last;
    return first;
}

/* ---- Nodes ---- */

void network_init(struct network *network, uint64_t seed) {
    memset(network, 0, sizeof *network);
    rng_init(&network->rng, seed);
    network->delay_min_ms = 1;
    network->delay_max_ms = 5;
    network->interval_ms = 200;
    network->suspect_timeout_ms = 1000;
    network->fan_out = 3;
    network->now_ms = 1000000;
    for (uint32_t i = 0; i < NETWORK_NODES_MAX; i++) {
        struct network_node *node = &network->nodes[i];
        for (size_t byte = 0; byte < NODE_ID_SIZE; byte++)
            node->id[byte] = (uint8_t)rng_next64(&network->rng);
        for (uint32_t other = 0; other < NETWORK_NODES_MAX; other++) {
            node->down_ms[other] = NETWORK_NEVER;
            node->link[other] = RING_NOBODY;
        }
    }
}

void network_release(struct network *network) {
    for (uint32_t i = 0; i < NETWORK_NODES_MAX; i++)
        membership_free(network->nodes[i].membership);
    for (uint32_t i = 0; i < network->item_count; i++)
        mem_free(&network->mem, network->items[i].data, network->items[i].size);
    mem_free(&network->mem, network->items, network->item_capacity * sizeof *network->items);
    cr_assert_eq(network->mem.used_bytes, 0);
    cr_assert_eq(network->mem.allocations, 0);
}

static uint32_t number_of(const struct network *network, const uint8_t id[NODE_ID_SIZE]) {
    for (uint32_t i = 0; i < NETWORK_NODES_MAX; i++)
        if (memcmp(network->nodes[i].id, id, NODE_ID_SIZE) == 0)
            return i;
    return NETWORK_NODES_MAX;
}

static void take_events(struct network *network, uint32_t number) {
    struct network_node *node = &network->nodes[number];
    struct membership_event event;
    while (membership_next_event(node->membership, &event)) {
        node->events[event.kind]++;
        node->last[event.kind] = event;
        if (event.member == RING_NOBODY)
            continue;
        uint32_t subject = number_of(network, membership_member(node->membership, event.member)->entry.id);
        cr_assert_lt(subject, NETWORK_NODES_MAX);
        if (event.kind == MEMBERSHIP_DOWN) {
            node->down_ms[subject] = network->now_ms;
            network->false_downs += network->nodes[subject].membership != NULL;
        } else if (event.kind == MEMBERSHIP_UP || event.kind == MEMBERSHIP_RESTARTED) {
            node->down_ms[subject] = NETWORK_NEVER;
        }
    }
}

enum introduction network_meet(struct network *network, uint32_t from, uint32_t to) {
    struct network_node *ends[2] = {&network->nodes[from], &network->nodes[to]};
    struct buffer introductions[2];
    enum introduction verdicts[2];
    uint16_t indexes[2];
    for (int i = 0; i < 2; i++) {
        buffer_init(&introductions[i], &network->mem);
        cr_assert(membership_write_introduction(ends[i]->membership, &introductions[i]));
    }
    for (int i = 0; i < 2; i++) {
        verdicts[i] = membership_introduce(ends[i]->membership, introductions[!i].data,
                                           introductions[!i].size, network->now_ms, &indexes[i]);
        take_events(network, i == 0 ? from : to);
    }
    for (int i = 0; i < 2; i++)
        buffer_release(&introductions[i]);
    if (verdicts[0] == INTRODUCTION_WELCOME && verdicts[1] == INTRODUCTION_WELCOME) {
        ends[0]->link[to] = indexes[0];
        ends[1]->link[from] = indexes[1];
    }
    return verdicts[0];
}

static bool is_linked(struct network *network, uint32_t from, uint32_t to) {
    if (network->nodes[to].membership == NULL || network->is_cut[from][to])
        return false;
    if (network->nodes[from].link[to] != RING_NOBODY && network->nodes[to].link[from] != RING_NOBODY)
        return true;
    if (network->now_ms < network->nodes[from].tried_ms[to] + LINK_RETRY_MS)
        return false;
    network->nodes[from].tried_ms[to] = network->now_ms;
    return !network->is_cut[to][from] && network->nodes[to].paused_until_ms <= network->now_ms &&
           network_meet(network, from, to) == INTRODUCTION_WELCOME &&
           network->nodes[from].link[to] != RING_NOBODY;
}

static void send_all(struct network *network, uint32_t from) {
    struct network_node *node = &network->nodes[from];
    struct buffer message;
    uint16_t index;
    buffer_init(&message, &network->mem);
    take_events(network, from);
    while (membership_next_message(node->membership, &index, &message)) {
        uint32_t to = number_of(network, membership_member(node->membership, index)->entry.id);
        network->messages++;
        if (to >= NETWORK_NODES_MAX || !is_linked(network, from, to) ||
            rng_below(&network->rng, 1000) < network->loss_per_mille)
            continue;
        uint64_t span_ms = network->delay_max_ms - network->delay_min_ms + 1;
        struct network_item item = {
            .due_ms = network->now_ms + network->delay_min_ms + rng_below(&network->rng, span_ms),
            .from = from,
            .to = to,
            .from_life = node->life,
            .to_life = network->nodes[to].life,
            .data = mem_alloc(&network->mem, message.size),
            .size = message.size,
        };
        cr_assert_not_null(item.data);
        memcpy(item.data, message.data, message.size);
        push(network, item);
    }
    buffer_release(&message);
}

void network_start(struct network *network, uint32_t number) {
    struct network_node *node = &network->nodes[number];
    cr_assert_null(node->membership);
    if (network->count <= number)
        network->count = number + 1;
    struct membership_options options = {
        .mem = &network->mem,
        .self = {.run = rng_next64(&network->rng),
                 .incarnation = ++node->incarnation,
                 .port = 7000,
                 .weight = 1},
        .random_seed = rng_next64(&network->rng),
        .interval_ms = network->interval_ms,
        .suspect_timeout_ms = network->suspect_timeout_ms,
        .fan_out = network->fan_out,
        .now_ms = network->now_ms,
    };
    memcpy(options.self.id, node->id, NODE_ID_SIZE);
    strcpy(options.self.host, "10.20.30.40");
    for (size_t i = 0; i < CLUSTER_ID_SIZE; i++)
        options.fresh_cluster_id[i] = (uint8_t)rng_next64(&network->rng);
    node->membership = membership_new(&options);
    cr_assert_not_null(node->membership);
    node->life++;
    node->paused_until_ms = 0;
    for (uint32_t other = 0; other < NETWORK_NODES_MAX; other++)
        node->down_ms[other] = NETWORK_NEVER;
    push(network,
         (struct network_item){.due_ms = network->now_ms + rng_below(&network->rng, network->interval_ms),
                               .from = number,
                               .to = number,
                               .from_life = node->life,
                               .to_life = node->life});
}

void network_kill(struct network *network, uint32_t number, bool is_refused) {
    struct network_node *node = &network->nodes[number];
    membership_free(node->membership);
    node->membership = NULL;
    for (uint32_t other = 0; other < NETWORK_NODES_MAX; other++) {
        struct network_node *peer = &network->nodes[other];
        if (is_refused && peer->membership != NULL && peer->link[number] != RING_NOBODY) {
            membership_note_broken(peer->membership, peer->link[number], network->now_ms);
            send_all(network, other);
        }
        peer->link[number] = node->link[other] = RING_NOBODY;
    }
}

void network_pause(struct network *network, uint32_t number, uint64_t duration_ms) {
    network->nodes[number].paused_until_ms = network->now_ms + duration_ms;
}

void network_set_cut(struct network *network, uint32_t border, bool is_cut) {
    for (uint32_t one = 0; one < border; one++)
        for (uint32_t other = border; other < NETWORK_NODES_MAX; other++)
            network->is_cut[one][other] = network->is_cut[other][one] = is_cut;
}

/* ---- Time ---- */

static void deliver(struct network *network, struct network_item *item) {
    struct network_node *node = &network->nodes[item->to];
    uint16_t from = node->link[item->from];
    if (from == RING_NOBODY || network->is_cut[item->from][item->to])
        return;
    cr_assert(membership_receive(node->membership, from, item->data, item->size, network->now_ms),
              "a node takes another's message for damaged");
    send_all(network, item->to);
}

static void step(struct network *network) {
    struct network_item item = pop(network);
    struct network_node *node = &network->nodes[item.to];
    network->now_ms = item.due_ms;
    if (node->membership == NULL || node->life != item.to_life ||
        network->nodes[item.from].life != item.from_life) {
        mem_free(&network->mem, item.data, item.size);
        return;
    }
    if (node->paused_until_ms > network->now_ms) {
        item.due_ms = node->paused_until_ms;
        push(network, item);
        return;
    }
    if (item.data == NULL) {
        membership_tick(node->membership, network->now_ms);
        send_all(network, item.to);
        item.due_ms = network->now_ms + NETWORK_TICK_MS;
        push(network, item);
        return;
    }
    deliver(network, &item);
    mem_free(&network->mem, item.data, item.size);
}

void network_run(struct network *network, uint64_t duration_ms) {
    uint64_t end_ms = network->now_ms + duration_ms;
    while (network->item_count > 0 && network->items[0].due_ms <= end_ms)
        step(network);
    network->now_ms = end_ms;
}

static bool holds_everywhere(struct network *network, bool (*condition)(struct network *, uint32_t)) {
    for (uint32_t i = 0; i < network->count; i++)
        if (network->nodes[i].membership != NULL && !condition(network, i))
            return false;
    return true;
}

uint64_t network_run_until(struct network *network, bool (*condition)(struct network *, uint32_t),
                           uint64_t limit_ms) {
    uint64_t start_ms = network->now_ms;
    while (!holds_everywhere(network, condition)) {
        if (network->now_ms - start_ms >= limit_ms)
            return NETWORK_NEVER;
        network_run(network, 10);
    }
    return network->now_ms - start_ms;
}

bool network_sees_all_up(struct network *network, uint32_t node) {
    uint32_t running = 0;
    for (uint32_t i = 0; i < network->count; i++) {
        if (network->nodes[i].membership == NULL)
            continue;
        running++;
        const struct member *member = network_view(network, node, i);
        if (member == NULL || member->state != MEMBER_UP)
            return false;
    }
    return membership_live_count(network->nodes[node].membership) == running;
}

void network_form(struct network *network, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        network_start(network, i);
        if (i > 0)
            cr_assert_eq(network_meet(network, i, 0), INTRODUCTION_WELCOME);
        network_run(network, 20);
    }
    cr_assert_neq(network_run_until(network, network_sees_all_up, 60000), NETWORK_NEVER,
                  "%u nodes do not find each other", count);
}

const struct member *network_view(const struct network *network, uint32_t observer, uint32_t subject) {
    const struct membership *membership = network->nodes[observer].membership;
    uint16_t index = membership_find(membership, network->nodes[subject].id);
    return index == RING_NOBODY ? NULL : membership_member(membership, index);
}
