# errors.py - wrong commands: too few and too many words, words of the wrong kind, unknown names.
#
# May touch: the world's choices. Must never know: sockets, replies.
# Invariant: what is sent by chance is filtered by safety.py; commands that would end or silence a connection are
# only sent with a number of words that they refuse.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import coverage
from command import Command
from groups import bitmaps, dump, expiry, keys, strings

NAMES = [name.upper() for name in coverage.command_names()]
SUBCOMMANDS = [name.upper().split(b"|") for name in coverage.subcommand_names()]
CONTAINERS = sorted({first for first, _ in SUBCOMMANDS})
# Only with numbers of words that they refuse: these do something to the connection, to all connections, or wait.
ARITY_ONLY = {b"QUIT": (), b"RESET": (2, 4), b"MONITOR": (2, 4), b"SHUTDOWN": (), b"EXEC": (2, 4), b"DISCARD": (2, 4),
              b"MULTI": (2, 4), b"FLUSHALL": (3, 5), b"FLUSHDB": (3, 5), b"WATCH": (1, 1), b"SELECT": (3, 5),
              b"HELLO": (),
              b"WAIT": (4, 6), b"SWAPDB": (4, 6), b"DEBUG": (), b"LCS": (1, 2), b"CONFIG": (1, 1), b"CLIENT": (1, 1)}
SUBCOMMAND_ARITY_ONLY = {b"KILL": (), b"PAUSE": (2, 2), b"UNPAUSE": (3, 5), b"REPLY": (4, 5), b"RESETSTAT": (3, 4),
                         b"REWRITE": (3, 5), b"SLEEP": (), b"SET": (2, 3), b"SETINFO": ()}


def number_of_words(world):
    """Every command with any number of words, most of them too few or too many."""
    if world.chance(0.65):
        name = [world.pick(NAMES)]
        low, high = ARITY_ONLY.get(name[0], (1, 9)) or (0, 0)
    else:
        name = list(world.pick(SUBCOMMANDS))
        low, high = SUBCOMMAND_ARITY_ONLY.get(name[1], (2, 7)) or (0, 0)
    if not low:
        return unknown_name(world)
    count = world.between(low, high) - len(name)
    args = [world.word(word) for word in name]
    for _ in range(count):
        args.append(world.key() if world.chance(0.5) else world.junk())
    return [Command(args)]


def unknown_name(world):
    name = world.pick((b"NOSUCHCOMMAND", b"foo", b"", b" ", b"get ", b" get", b"GETT", b"\x00", b"bar\x00baz",
                       b"new\r\nline",
                       b"\xff\xfe", b"x" * 127, b"x" * 128, b"x" * 129, b"x" * 500, b"quo'te", b'"dq"', b"%s%n",
                       b"client|id",
                       b"config|get", b"SLAVEOFF", b"HGET2", b"se\tt"))
    args = [world.pick((world.text(world.below(20)), world.junk(), b"a'b", b"\x00x", b"x" * 130, b"%d",
                        b"line\r\nbreak"))
            for _ in range(world.pick((0, 1, 2, 3, 8, 30)))]
    return [Command([name] + args)]


def unknown_subcommand(world):
    sub = world.pick((b"NOSUCH", b"nosuch", b"", b" ", b"\x00", b"x" * 127, b"x" * 128, b"x" * 200, b"HELPP",
                      b"a\r\nb", b"\xff",
                      b"id ", b"get|set", b"a'b", b"%s", b"help", b"0"))
    return [Command([world.word(world.pick(CONTAINERS)), sub] + [world.junk() for _ in range(world.below(4))])]


MUTABLE = [(5, strings.generate), (4, bitmaps.generate), (3, keys.generate), (3, expiry.generate), (1, dump.generate)]


def mutated(world):
    """A good command with one word dropped, doubled, added, exchanged or replaced."""
    commands = world.weighted(MUTABLE)(world)
    at = world.below(len(commands))
    if commands[at].args[0].upper() == b"SELECT":
        # A script that selects another database has to come back.
        return commands
    args = list(commands[at].args)
    for _ in range(world.pick((1, 1, 1, 2))):
        where = world.below(len(args))
        how = world.below(5)
        if how == 0 and len(args) > 1:
            del args[max(1, where)]
        elif how == 1:
            args.insert(where + 1, args[where])
        elif how == 2:
            args.insert(where + 1, world.junk())
        elif how == 3 and where:
            args[where] = world.junk()
        elif len(args) > 2:
            other = world.between(1, len(args) - 1)
            where = max(1, where)
            args[where], args[other] = args[other], args[where]
    return commands[:at] + [Command(args, store=commands[at].store)] + commands[at + 1:] + [
        Command([b"EXISTS", key]) for key in args[1:3] if isinstance(key, bytes)]


def capitals(world):
    """Names and options in any capitals."""
    commands = world.weighted(MUTABLE)(world)
    changed = []
    for command in commands:
        name = command.args[0]
        name = bytes(byte ^ 0x20 if chr(byte).isalpha() and world.chance(0.5) else byte for byte in name)
        changed.append(Command([name] + list(command.args[1:]), store=command.store))
    return changed


COMMANDS = [(5, number_of_words), (2, unknown_name), (2, unknown_subcommand), (5, mutated), (1, capitals)]
SCENES = []


def generate(world):
    return world.weighted(COMMANDS)(world)
