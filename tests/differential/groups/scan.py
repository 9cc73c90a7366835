# scan.py - SCAN: whole iterations, what they must return whatever happens meanwhile, and the errors.
#
# May touch: the pair of servers, the world's choices. Must never know: sockets, what a cursor means.
# Invariant: an element that is there from the start to the end of an iteration is returned, one that never was is not;
# how many come in one step and in which order is the server's own.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import compare
import resp
from command import Command
from groups import keys
from world import KEYS

LONGEST_ITERATION = 100_000


def words(world):
    """Options of one SCAN, each of them as often right as not."""
    options = []
    if world.chance(0.5):
        options.append([world.word(b"MATCH"), keys.pattern(world)])
    if world.chance(0.5):
        options.append([world.word(b"COUNT"), b"%d" % world.pick((1, 2, 10, 1000))])
    if world.chance(0.4):
        options.append([world.word(b"TYPE"), world.pick((b"string", b"STRING", b"list", b"hash", b"nosuchtype"))])
    return options


def generate(world):
    """One step, mostly a wrong one: the stream does not look at cursors."""
    if world.chance(0.4):
        return [Command([world.word(b"SCAN"), b"0"] + world.shuffled(words(world)))]
    return [Command([world.word(b"SCAN")] + world.pick((
        [], [b"abc"], [b""], [b"-1"], [b"1.5"], [b"18446744073709551616"], [b" 0"], [b"0", b"COUNT"],
        [b"0", b"COUNT", b"0"],
        [b"0", b"COUNT", b"-1"], [b"0", b"COUNT", b"abc"], [b"0", b"COUNT", b"99999999999999999999"], [b"0", b"MATCH"],
        [b"0", b"TYPE"], [b"0", b"NOSUCH", b"x"], [b"0", b"MATCH", b"*", b"COUNT"], [b"0", b"NOVALUES"],
        [b"0x"], [b"0", b""], [b"0", b"COUNT", b"1", b"COUNT", b"2"], [b"abc", b"COUNT", b"0"])))]


def iterate(pair, side, options, between=None):
    """The names that a whole iteration of one server returns, and the number of its steps."""
    connection = side.open(3)
    found, cursor, steps = [], b"0", 0
    while True:
        raw = side.ask(connection, [b"SCAN", cursor] + options)
        reply = resp.parse(raw)
        members = resp.items(reply)
        if reply[0] != "*" or not members or len(members) != 2:
            command = Command([b"SCAN", cursor] + options, 3)
            pair.differ(result_of(command, raw), "%s answers SCAN in another form" % side.server.label)
        cursor = resp.text(members[0])
        found += compare.texts(members[1])
        steps += 1
        if between:
            between(steps)
        if cursor == b"0" or steps > LONGEST_ITERATION:
            return found, steps


def result_of(command, ours, reference=b""):
    from pair import Result
    return Result(command, command.plain_args(), ours, reference)


def whole_iteration(pair, world):
    """Each server returns the same keys; nothing else changes them meanwhile, so each exactly once or more often."""
    database = world.pick((b"0", b"0", b"1", b"13"))
    pair.run([Command([b"SELECT", database], 3)])
    if database == b"13":
        many = world.between(1, 800)
        pair.run([Command([b"MSET"] + [word for number in range(many) for word in (b"s:%d" % number, b"v")], 3)])
        if world.chance(0.5):
            # A table that has just shrunk.
            pair.run([Command([b"DEL"] + [b"s:%d" % number for number in range(world.below(many) + 1)], 3)])
    options = world.shuffled(words(world))
    found = [set(iterate(pair, side, options)[0]) for side in pair.sides]
    command = Command([b"SCAN", b"0"] + options, 3)
    pair.compared += 1
    pair.coverage.note(command.args, True)
    pair.history.append(command)
    if found[0] != found[1]:
        pair.differ(result_of(command, repr(sorted(found[0])).encode(), repr(sorted(found[1])).encode()),
                    "missing %r, too many %r" % (sorted(found[1] - found[0]), sorted(found[0] - found[1])))
    pair.run([Command([b"FLUSHDB"], 3)] if database == b"13" else [])
    pair.run([Command([b"SELECT", b"0"], 3)])


def iteration_of_a_changing_table(pair, world):
    """Keys that stay all the time are returned, while others come and go and the table grows and shrinks."""
    pair.run([Command([b"SELECT", b"14"], 3), Command([b"SELECT", b"14"], 4), Command([b"FLUSHDB"], 3)])
    stay = {b"stay:%d" % number for number in range(world.between(1, 200))}
    pair.run([Command([b"MSET"] + [word for name in sorted(stay) for word in (name, b"v")], 3)])
    batches = [[b"come:%d:%d" % (round_, number) for number in range(world.between(1, 200))] for round_ in range(6)]
    count = b"%d" % world.pick((1, 5, 20))
    for side in pair.sides:
        def between(steps, side=side):
            other = side.open(4)
            if steps <= len(batches):
                side.ask(other, [b"MSET"] + [word for name in batches[steps - 1] for word in (name, b"v")])
            elif steps <= 2 * len(batches):
                side.ask(other, [b"DEL"] + batches[steps - 1 - len(batches)])
        found = set(iterate(pair, side, [b"COUNT", count], between)[0])
        allowed = stay.union(*batches)
        if not stay <= found <= allowed:
            pair.differ(result_of(Command([b"SCAN", b"0", b"COUNT", count], 3), b"", b""),
                        "%s: missing %r, too many %r" % (side.server.label, sorted(stay - found)[:9],
                                                         sorted(found - allowed)[:9]))
        pair.compared += 1
    pair.run([Command([b"FLUSHDB"], 3), Command([b"SELECT", b"0"], 3), Command([b"SELECT", b"0"], 4),
              Command([b"SET", world.pick(KEYS), b"x"])])


SCENES = [(2.0, whole_iteration), (0.3, iteration_of_a_changing_table)]
