# epoch.py - one epoch of the test: a seeded stream of commands and scenes between two empty keyspaces.
#
# May touch: the pairs of servers that are handed in. Must never know: sockets, processes, printing.
# Invariants: what is sent depends on the seed alone, never on a reply, so that an epoch can be played again by itself;
# after a difference both servers are emptied, so that one fault does not show up as many.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

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
    world = World("%s/resp%d/%d" % (seed, protocol, number), protocol)
    pair, guarded = pairs
    pair.reset(protocol)
    streams = [(share, module.generate) for share, module in modules if share and module.generate]
    scenes = [(rate / ROUNDS, scene, guarded if getattr(module, "GUARDED", False) else pair)
              for _, module in modules for rate, scene in module.SCENES]
    scenes = [row for row in scenes if row[2]]
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
        commands = _stream(world, streams)
        attempt(pair, lambda: pair.run(commands))
        for probability, scene, target in scenes:
            repeats = int(probability) + world.chance(probability % 1)
            if number == 0 and round_number == 0:
                # Every scene at least once in a run, however rare.
                repeats = max(1, repeats)
            for _ in range(repeats):
                # Each scene has choices of its own: how many it takes may depend on how the servers answer.
                scene_world = World(world.random.getrandbits(64), protocol)
                attempt(target, lambda: scene(target, scene_world))
        if round_number % ROUNDS_BETWEEN_COMPARISONS == ROUNDS_BETWEEN_COMPARISONS - 1 or round_number == ROUNDS - 1:
            attempt(pair, lambda: keys.compare_keyspace(pair, world))


def _stream(world, streams):
    commands = []
    while streams and len(commands) < ROUND_COMMANDS:
        commands += [command for command in world.weighted(streams)(world) if is_safe(command.args)]
    return commands
