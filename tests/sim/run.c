/* run.c - two phases: faults, then peace.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/run.h"

#include "sim/client.h"
#include "sim/judge.h"
#include "sim/machine.h"

#include <stdio.h>

#define STEPS_DEFAULT 3000000
#define SPOILT_AFTER  200
/* Longer than any fault lasts that began before the peace. */
#define PEACE_NS UINT64_C(180000000000)

struct run {
    struct world world;
    struct swarm swarm;
    struct machine machine;
    struct judge judge;
    struct workload workload;
    struct client *clients;
    uint64_t requests_left;
    uint32_t ends_left; /* of processes, in the middle of the run */
};

static void begin(struct run *run, const struct run_options *options, struct sightings *sightings) {
    world_init(&run->world, options->seed);
    run->world.trace.prints_all = options->is_verbose;
    swarm_draw(&run->swarm, world_random(&run->world, CHANCE_SWARM));
    run->machine.world = &run->world; /* the judge looks at it before it begins */
    judge_init(&run->judge, &run->world, &run->swarm, &run->machine, sightings);
    struct machine_observer observer = judge_observer(&run->judge);
    machine_start(&run->machine, &run->world, &run->swarm, &observer, sightings);
    workload_init(&run->workload, &run->world, &run->swarm);
    run->requests_left = run->swarm.requests;
    run->ends_left = run->swarm.disk.ends;
    run->clients = world_alloc(&run->world, run->swarm.clients * sizeof *run->clients);
    for (uint32_t i = 0; i < run->swarm.clients; i++) {
        client_init(&run->clients[i], &run->machine, &run->workload, i, &run->requests_left, sightings);
        client_start(&run->clients[i]);
    }
}

/* The process comes to its end, one way or the other; if it was asked to, later, or not at all. */
static void end_process(struct run *run) {
    struct rng *rng = world_random(&run->world, CHANCE_DISK);
    static const enum node_stop ways[] = {NODE_STOP_DEFAULT, NODE_STOP_SAVE, NODE_STOP_NOSAVE};
    uint64_t way = rng_below(rng, 3);
    if (way == 0 && run->swarm.disk.may_stop)
        machine_ask_to_end(&run->machine, ways[rng_below(rng, 3)]);
    else
        machine_end(&run->machine, way == 1 ? PROCESS_KILLED : PROCESS_LOST_POWER);
}

/* Spread evenly over the requests. */
static void maybe_end_process(struct run *run) {
    uint64_t requests = run->swarm.requests;
    if (run->ends_left == 0 || run->requests_left > requests * run->ends_left / (run->swarm.disk.ends + 1))
        return;
    run->ends_left--;
    end_process(run);
}

static bool anybody_waits(const struct run *run) {
    for (uint32_t i = 0; i < run->swarm.clients; i++)
        if (client_waits(&run->clients[i]))
            return true;
    return false;
}

/* No faults any more: whoever waits for an answer gets it. */
static void make_peace(struct run *run) {
    struct world *world = &run->world;
    uint64_t until_ns = world->now_ns + PEACE_NS;
    swarm_heal(&run->swarm);
    run->requests_left = 0;
    world_note(world, "peace");
    for (uint32_t i = 0; i < run->swarm.clients; i++)
        client_wake(&run->clients[i]);
    machine_wake(&run->machine);
    while (anybody_waits(run) && !world_has_failed(world) && world->now_ns < until_ns && world_step(world))
        continue;
    for (uint32_t i = 0; i < run->swarm.clients && !world_has_failed(world); i++) {
        const struct client *client = &run->clients[i];
        if (!client_waits(client))
            continue;
        const struct conversation *conversation = client->current->conversation;
        world_fail(
            world,
            "I-LIVE: client %u still waits for %u answers; it said %llu bytes, %zu of them are not sent, the "
            "node was given %llu; %zu bytes of answers are on their way",
            i, conversation->unanswered, (unsigned long long)conversation->written,
            client->current->unsent.size, (unsigned long long)conversation->taken,
            conversation->replies.size - conversation->received);
    }
}

/* A last process on what the others have left. */
static void end_at_last(struct run *run) {
    struct world *world = &run->world;
    uint64_t until_ns = world->now_ns + PEACE_NS;
    uint32_t processes = run->machine.processes;
    if (!run->swarm.disk.ends_at_last || world_has_failed(world))
        return;
    judge_check(&run->judge);
    end_process(run);
    while ((run->machine.processes == processes || keeper_is_loading(&run->judge.keeper)) &&
           !world_has_failed(world) && world->now_ns < until_ns && world_step(world))
        continue;
    if (run->machine.processes == processes || keeper_is_loading(&run->judge.keeper))
        world_fail(world, "I-LIVE: a process does not %s",
                   run->machine.processes == processes ? "end" : "come to the end of its loading");
}

static void finish(struct run *run) {
    if (!world_has_failed(&run->world))
        judge_check(&run->judge);
    machine_stop(&run->machine);
    for (uint32_t i = 0; i < run->swarm.clients; i++)
        client_release(&run->clients[i]);
    world_free(&run->world, run->clients, run->swarm.clients * sizeof *run->clients);
    workload_release(&run->workload);
    judge_release(&run->judge);
}

static void describe(const struct run *run) {
    const struct swarm *swarm = &run->swarm;
    const struct disk_conditions *disk = &swarm->disk;
    const struct network_faults *network = &swarm->network;
    printf("conditions: %u clients, pipeline %u, %u requests, %u keys, values up to %u, %u databases\n",
           swarm->clients, swarm->pipeline_max, swarm->requests, swarm->mix.keys, swarm->mix.value_max,
           swarm->mix.databases);
    printf(
        "network: delay %llu-%llu us, arrive %u, read %u, write %u, window %u, stalls %u/1000 up to %llu ms, cuts "
        "%u/1000 within %llu bytes\n",
        (unsigned long long)network->delay_min_ns / 1000, (unsigned long long)network->delay_max_ns / 1000,
        network->arrive_max, network->read_max, network->write_max, network->window, network->stall_permille,
        (unsigned long long)network->stall_max_ns / 1000000, network->cut_permille,
        (unsigned long long)network->cut_bytes_max);
    printf(
        "process: pauses %u/1000 up to %llu ms, clock jumps every %llu ms up to %llu ms, no memory %u/1000 within %u, "
        "maxmemory +%llu, password %d, maxclients %u, timeout %u s\n",
        swarm->pause_permille, (unsigned long long)swarm->pause_max_ns / 1000000,
        (unsigned long long)swarm->jump_every_ns / 1000000, (unsigned long long)swarm->jump_max_ms,
        swarm->no_memory_permille, swarm->no_memory_depth, (unsigned long long)swarm->maxmemory,
        swarm->has_password, swarm->maxclients, swarm->timeout_s);
    printf(
        "disk: rule %u s %u changes, failures stop writes %d, helper %llu-%llu us, errors %u/1000, full %u/1000, "
        "ends %u, may stop %d, saves %u, SAVE %d, SHUTDOWN %u, long values %u/1000\n",
        disk->rule_s, disk->rule_changes, disk->stops_writes, (unsigned long long)disk->help_min_ns / 1000,
        (unsigned long long)disk->help_max_ns / 1000, disk->error_permille, disk->full_permille, disk->ends,
        disk->may_stop, swarm->mix.saves, swarm->mix.waits_for_saves, swarm->mix.shutdowns,
        swarm->mix.long_values);
}

void run_world(const struct run_options *options, struct run_result *result, struct sightings *sightings) {
    struct run run = {0};
    uint64_t steps = options->steps == 0 ? STEPS_DEFAULT : options->steps;
    begin(&run, options, sightings);
    if (options->is_verbose)
        describe(&run);
    struct world *world = &run.world;
    bool is_spoilt = options->spoil == NULL;
    while (run.requests_left > 0 && world->steps < steps && !world_has_failed(world) && world_step(world)) {
        maybe_end_process(&run);
        if (!is_spoilt && run.judge.judged >= SPOILT_AFTER)
            is_spoilt = options->spoil(&run.machine);
    }
    if (!world_has_failed(world))
        make_peace(&run);
    end_at_last(&run);
    finish(&run);
    *result = (struct run_result){.has_failed = world_has_failed(world),
                                  .hash = world->trace.hash,
                                  .requests = run.judge.judged,
                                  .unknown = run.judge.unknown,
                                  .events = world->steps,
                                  .virtual_ms = world->now_ns / 1000000};
    snprintf(result->failure, sizeof result->failure, "%s", world->failure);
    if (result->has_failed && options->last_lines != 0) {
        trace_print(&world->trace, options->last_lines);
        describe(&run);
    }
    world_release(world);
}
