# epoch.py - one epoch of the test: a seeded stream of commands and scenes between two empty keyspaces.
#
# May touch: the pairs of servers that are handed in. Must never know: sockets, processes, printing.
# Invariants: what is sent depends on the seed alone, never on a reply, so that an epoch can be played again by itself;
# after a difference both servers are emptied, so that one fault does not show up as many.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import ring
import ring_scenes
from groups import keys
from pair import Difference
from safety import is_safe
from world import World

# Commands of the stream in an epoch, and in a round of it; scenes come between rounds.
EPOCH_COMMANDS = 2500
ROUND_COMMANDS = 100
ROUNDS = EPOCH_COMMANDS // ROUND_COMMANDS
ROUNDS_BETWEEN_COMPARISONS = 12


def run_epoch(seed, protocol, number, pairs, modules, on_difference):
    """pairs: (pair, guarded pair or None); modules: rows of groups.load(); on_difference(pair, difference)."""
    pair, guarded = pairs
    name = "%s/resp%d/%d%s" % (seed, protocol, number, "/ring" if pair.is_ring else "")
    world = World(name, protocol)
    pair.begin(name)
    pair.reset(protocol)
    streams = [(share, module.generate) for share, module in modules if share and module.generate]
    scenes = [(rate / ROUNDS, scene, guarded if getattr(module, "GUARDED", False) else pair)
              for _, module in modules for rate, scene in module.SCENES]
    scenes = [row for row in scenes if row[2] and (not pair.is_ring or ring_scenes.takes(row[1]))]
    if guarded and any(row[2] is guarded for row in scenes):
        guarded.reset()
    if not streams:
        # Only scenes: as many as make the epoch worth its name.
        total = sum(rate for rate, _, _ in scenes)
        scenes = [(5 * rate / total, scene, target) for rate, scene, target in scenes]

    def attempt(target, function):
        try:
            function()
        except Difference as difference:
            on_difference(target, difference)
            target.reset(target.reference.protocol)

    for round_number in range(ROUNDS):
        commands = _ring_stream(world, streams, pair) if pair.is_ring else _stream(world, streams)
        attempt(pair, lambda: pair.run(commands))
        for probability, scene, target in scenes:
            repeats = int(probability) + world.chance(probability % 1)
            if number == 0 and round_number == 0:
                # Every scene at least once in a run, however rare.
                repeats = max(1, repeats)
            for _ in range(repeats):
                # Each scene has choices of its own: how many it takes may depend on how the servers answer.
                scene_world = World(world.random.getrandbits(64), protocol)
                if pair.is_ring:
                    attempt(target, lambda: ring_scenes.play(scene, target, scene_world))
                else:
                    attempt(target, lambda: scene(target, scene_world))
        is_last = round_number == ROUNDS - 1
        if is_last or round_number % ROUNDS_BETWEEN_COMPARISONS == ROUNDS_BETWEEN_COMPARISONS - 1:
            for inspector in pair.INSPECTORS:
                attempt(pair, lambda: keys.compare_keyspace(pair, inspector))
            if pair.is_ring:
                attempt(pair, pair.compare_copies)


def _stream(world, streams):
    commands = []
    while streams and len(commands) < ROUND_COMMANDS:
        commands += _script(world, streams)
    return commands


def _script(world, streams):
    return [command for command in world.weighted(streams)(world) if is_safe(command.args)]


def _ring_stream(world, streams, pair):
    """The same, dealt out to connections on all nodes: here in long pipelines, there one command by each way."""
    wanderer = ring.Wanderer(world, len(pair.ours.server.nodes), world.pick((0.02, 0.1, 0.3, 0.8)))
    commands = []
    while streams and len(commands) < ROUND_COMMANDS:
        commands += wanderer.deal(_script(world, streams))
    return commands
