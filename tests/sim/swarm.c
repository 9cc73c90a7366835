/* swarm.c - draws the conditions of a run.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/swarm.h"

#define MS UINT64_C(1000000)
#define S  (1000 * MS)

static bool is_on(struct rng *rng) {
    return chance_permille(rng, 500);
}

static void draw_network(struct network_faults *faults, struct rng *rng) {
    faults->delay_min_ns = chance_magnitude(rng, 1000, MS);
    faults->delay_max_ns = faults->delay_min_ns + (is_on(rng) ? chance_magnitude(rng, 1000, 100 * MS) : 1000);
    if (is_on(rng))
        faults->arrive_max = (uint32_t)chance_magnitude(rng, 1, 16384);
    if (is_on(rng))
        faults->read_max = (uint32_t)chance_magnitude(rng, 1, 16384);
    if (is_on(rng))
        faults->write_max = (uint32_t)chance_magnitude(rng, 1, 16384);
    faults->window = (uint32_t)(is_on(rng) ? chance_magnitude(rng, 16, 65536) : 262144);
    if (is_on(rng)) {
        faults->stall_permille = (uint32_t)chance_magnitude(rng, 1, 50);
        faults->stall_max_ns = chance_magnitude(rng, MS, 5 * S);
    }
    if (is_on(rng)) {
        faults->cut_permille = (uint32_t)chance_magnitude(rng, 50, 1000);
        faults->cut_bytes_max = chance_magnitude(rng, 100, 200000);
        faults->vanish_permille = is_on(rng) ? 100 : 0;
    }
}

/* A weight that is 0 in half of the runs. */
static uint32_t weight(struct rng *rng, uint64_t most) {
    return is_on(rng) ? (uint32_t)chance_magnitude(rng, 1, most) : 0;
}

static void draw_mix(struct workload_mix *mix, struct rng *rng) {
    mix->keys = (uint32_t)chance_magnitude(rng, 3, 2000);
    mix->value_max = (uint32_t)chance_magnitude(rng, 8, chance_permille(rng, 100) ? 200000 : 2000);
    mix->databases = is_on(rng) ? 1 : (uint32_t)chance_between(rng, 2, 16);
    mix->expiry_max_ms = (uint32_t)chance_magnitude(rng, 2, 100000);
    mix->malformed = weight(rng, 20);
    mix->partial = weight(rng, 5);
    mix->inline_form = weight(rng, 300);
    mix->unknown_words = weight(rng, 30);
    mix->long_calls = weight(rng, 50);
    mix->introspection = weight(rng, 50);
    mix->transactions = weight(rng, 100);
    mix->scans = weight(rng, 50);
    mix->flushes = weight(rng, 10);
    mix->expiry_heavy = weight(rng, 500);
    mix->bulk_loads = chance_permille(rng, 250) ? (uint32_t)chance_magnitude(rng, 1, 50) : 0;
    mix->switches = weight(rng, 30);
    mix->kills = weight(rng, 5);
    mix->pauses = chance_permille(rng, 200) ? (uint32_t)chance_magnitude(rng, 1, 5) : 0;
    mix->silences = chance_permille(rng, 200) ? (uint32_t)chance_magnitude(rng, 1, 20) : 0;
    mix->one_slot = chance_permille(rng, mix->bulk_loads != 0 ? 500 : 200);
}

static void draw_process(struct swarm *swarm, struct rng *rng) {
    if (is_on(rng)) {
        swarm->pause_permille = (uint32_t)chance_magnitude(rng, 1, 20);
        swarm->pause_max_ns = chance_magnitude(rng, MS, 60 * S);
    }
    if (is_on(rng)) {
        swarm->jump_every_ns = chance_magnitude(rng, 10 * MS, 10 * S);
        swarm->jump_max_ms = chance_magnitude(rng, 1, 100000000);
    }
    swarm->slow_call_ns = is_on(rng) ? chance_magnitude(rng, 100, 20 * MS) : 50;
    if (is_on(rng)) {
        swarm->no_memory_permille = (uint32_t)chance_magnitude(rng, 1, 100);
        swarm->no_memory_depth = (uint32_t)chance_magnitude(rng, 1, 64);
    }
    if (chance_permille(rng, 250))
        swarm->maxmemory = chance_magnitude(rng, 1000, 1000000);
    swarm->has_password = chance_permille(rng, 250);
    swarm->maxclients = chance_permille(rng, 100) ? (uint32_t)chance_between(rng, 1, swarm->clients) : 10000;
    swarm->timeout_s = chance_permille(rng, 250) ? (uint32_t)chance_magnitude(rng, 1, 20) : 0;
    swarm->foreign_permille = chance_permille(rng, 100) ? 200 : 0;
    swarm->shuffles_sessions = is_on(rng);
}

static void draw_disk(struct swarm *swarm, struct rng *rng) {
    struct disk_conditions *disk = &swarm->disk;
    disk->help_min_ns = chance_magnitude(rng, 1000, 100000);
    disk->help_max_ns = disk->help_min_ns + chance_magnitude(rng, 1000, is_on(rng) ? 50 * MS : MS);
    if (is_on(rng)) {
        disk->rule_s = (uint32_t)chance_between(rng, 1, 4);
        disk->rule_changes = (uint32_t)chance_magnitude(rng, 1, 2000);
    }
    disk->stops_writes = is_on(rng);
    if (chance_permille(rng, 250))
        disk->error_permille = (uint32_t)chance_magnitude(rng, 1, 100);
    if (chance_permille(rng, 250))
        disk->full_permille = (uint32_t)chance_magnitude(rng, 1, 100);
    disk->trouble_max_ns = chance_magnitude(rng, 10 * MS, 10 * S);
    disk->ends = chance_permille(rng, 300) ? (uint32_t)chance_between(rng, 1, 3) : 0;
    disk->may_stop = true;
    disk->ends_at_last = is_on(rng);
    swarm->mix.saves = weight(rng, 20);
    swarm->mix.waits_for_saves = is_on(rng);
    swarm->mix.shutdowns = chance_permille(rng, 100) ? 1 : 0;
    if (chance_permille(rng, 150))
        swarm->mix.long_values = (uint32_t)chance_magnitude(rng, 1, 20);
}

/* Thousands of keys that expire at the same moment: little may come between. */
static void make_waves(struct swarm *swarm) {
    swarm->mix.bulk_loads = 20;
    swarm->mix.databases = 1;
    swarm->mix.flushes = 0;
    swarm->network.arrive_max = swarm->network.read_max = swarm->network.write_max = 0;
    swarm->network.cut_permille = 0;
    swarm->pipeline_max = 256;
    swarm->think_max_ns = 10 * MS;
    swarm->maxmemory = swarm->jump_every_ns = 0;
    swarm->requests = swarm->requests < 8000 ? 8000 : swarm->requests;
}

/* A disk that hardly ever works, and a process that shall save and end. */
static void make_bad_disk(struct swarm *swarm) {
    swarm->disk.full_permille = swarm->disk.error_permille = 300;
    swarm->disk.ends = 3;
    swarm->mix.shutdowns = 2;
}

/* Clients that take their time. */
static void make_idlers(struct swarm *swarm) {
    swarm->timeout_s = 1;
    swarm->think_max_ns = 4 * S;
    swarm->requests = swarm->requests > 2000 ? 2000 : swarm->requests;
}

void swarm_draw(struct swarm *swarm, struct rng *rng) {
    *swarm = (struct swarm){0};
    swarm->clients = (uint32_t)chance_magnitude(rng, 1, 32);
    swarm->pipeline_max = (uint32_t)(is_on(rng) ? chance_magnitude(rng, 1, 512) : 1);
    swarm->think_max_ns = is_on(rng) ? chance_magnitude(rng, 1000, 100 * MS) : 1000;
    swarm->requests = (uint32_t)chance_magnitude(rng, 500, 16000);
    draw_network(&swarm->network, rng);
    draw_mix(&swarm->mix, rng);
    draw_process(swarm, rng);
    /* What hardly ever comes about by chance. */
    if (chance_permille(rng, 80))
        make_waves(swarm);
    else if (chance_permille(rng, 80))
        make_idlers(swarm);
    draw_disk(swarm, rng);
    if (chance_permille(rng, 60))
        make_bad_disk(swarm);
    /* Silent requests say nothing about what became of them: they do not go together with what may refuse them. */
    if (swarm->no_memory_permille != 0 || swarm->maxmemory != 0 || swarm->mix.pauses != 0)
        swarm->mix.silences = 0;
    /* Nor with what may let them wait. */
    if (swarm->mix.silences != 0) {
        swarm->disk.may_stop = swarm->mix.waits_for_saves = false;
        swarm->mix.shutdowns = 0;
    }
    /* A byte at a time makes each request dear: fewer of them. */
    const struct network_faults *network = &swarm->network;
    if ((network->arrive_max != 0 && network->arrive_max < 16) ||
        (network->read_max != 0 && network->read_max < 16))
        swarm->requests = swarm->requests / 8 + 100;
    if (network->write_max != 0 && network->write_max < 16)
        swarm->requests = swarm->requests / 4 + 100;
    /* Nor are long values to come in small pieces. */
    if ((network->arrive_max != 0 && network->arrive_max < 1024) ||
        (network->read_max != 0 && network->read_max < 1024) ||
        (network->write_max != 0 && network->write_max < 1024) || network->window < 1024)
        swarm->mix.long_values = 0;
}

void swarm_heal(struct swarm *swarm) {
    swarm->network = (struct network_faults){.delay_min_ns = 1000, .delay_max_ns = 2000, .window = 262144};
    swarm->pause_permille = swarm->no_memory_permille = swarm->foreign_permille = 0;
    swarm->jump_every_ns = 0;
    swarm->disk.error_permille = swarm->disk.full_permille = 0;
    swarm->disk.help_min_ns = swarm->disk.help_max_ns = 10000;
    swarm->slow_call_ns = 50;
}
