# dump.py - DUMP and RESTORE: each server's own payload, as it is and spoiled.
#
# May touch: the world's choices. Must never know: what is in a payload; the two servers' formats differ.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

from command import Command, Register


def _flip(world):
    """One byte changed, somewhere (a payload's length is not known here)."""
    where, by = world.random.random(), world.between(1, 255)

    def change(payload):
        if not payload:
            return payload
        at = int(where * len(payload))
        return payload[:at] + bytes([payload[at] ^ by]) + payload[at + 1:]
    return change


def _cut(world):
    share = world.random.random()
    return lambda payload: payload[:int(share * len(payload))]


def _lengthen(world):
    tail = world.binary(world.between(1, 12))
    return lambda payload: payload + tail


def spoil(world):
    """A payload that no server may take: changed, cut or lengthened at random."""
    label, make = world.pick((("changed", _flip), ("cut", _cut), ("lengthened", _lengthen)))
    return Register("payload", make(world), label)


def restore(world):
    source, target = world.key(), world.key()
    commands = []
    if world.chance(0.5):
        commands.append(Command([b"SET", source, world.value()]))
    if world.chance(0.4):
        commands.append(Command([b"DEL", target]))
    commands.append(Command([world.word(b"DUMP"), source], store="payload"))
    options = []
    absolute = world.chance(0.3)
    if absolute:
        options.append([world.word(b"ABSTTL")])
    if world.chance(0.5):
        options.append([world.word(b"REPLACE")])
    if world.chance(0.25):
        options.append([world.word(b"IDLETIME"), world.pick((b"0", b"100", b"500", b"-1", b"x"))])
    if world.chance(0.25):
        options.append([world.word(b"FREQ"), world.pick((b"0", b"1", b"255", b"256", b"-1", b"x"))])
    if world.chance(0.04):
        options.append(world.pick(([b"NOSUCH"], [b"IDLETIME"], [b"FREQ"], [b""], [b"REPLACE"])))
    if world.chance(0.5):
        time = b"0"
    elif world.chance(0.1):
        time = world.pick((b"-1", b"abc", b"", b"9223372036854775808", b"1.5"))
    else:
        time = world.absolute_ms() if absolute else world.relative_ms()
    payload = Register("payload") if world.chance(0.8) else spoil(world)
    if world.chance(0.02):
        payload = world.pick((b"", b"x", world.binary(40)))
    commands.append(Command([world.word(b"RESTORE"), target, time, payload] + world.shuffled(options)))
    commands += [Command([b"GET", target]), Command([b"PTTL", target]), Command([b"PEXPIRETIME", target]),
                 Command([b"OBJECT", b"ENCODING", target])]
    return commands


def dump(world):
    return [Command([world.word(b"DUMP"), world.key()])]


COMMANDS = [(1, dump), (3, restore)]
SCENES = []


def generate(world):
    return world.weighted(COMMANDS)(world)
