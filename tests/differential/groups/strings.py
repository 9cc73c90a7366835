# strings.py - random commands on string values: SET and its family, numbers, ranges, LCS.
#
# May touch: the world's choices. Must never know: sockets, replies. Invariant: see safety.py for what is filtered.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

from command import Command
from world import LCS_KEYS


def set_value(world):
    args = [world.key(), world.value()]
    options = []
    if world.chance(0.45):
        options.append(world.time_option())
    elif world.chance(0.2):
        options.append([world.word(b"KEEPTTL")])
    if world.chance(0.35):
        options.append([world.word(world.pick((b"NX", b"XX")))])
    if world.chance(0.3):
        options.append([world.word(b"GET")])
    if world.chance(0.04):
        # Contradictions, repetitions and words that are no option.
        options.append(world.pick(([b"NX"], [b"XX"], [b"KEEPTTL"], [b"EX"], [b"PX", b"200000000"], [b"GET"],
                                   [b"NOSUCH"], [b"PERSIST"], [b"EX", b"200000"], [b""])))
    args += world.shuffled(options)
    # SET with a time in the past may or may not hide the key at once: the next command looks at it.
    return [Command([world.word(b"SET")] + args), Command([b"EXISTS", args[0]])]


def get(world):
    return [Command([world.word(b"GET"), world.key()])]


def getset(world):
    return [Command([world.word(b"GETSET"), world.key(), world.value()])]


def getdel(world):
    return [Command([world.word(b"GETDEL"), world.key()])]


def getex(world):
    key = world.key()
    args = [world.word(b"GETEX"), key]
    if world.chance(0.7):
        args += world.time_option()
    elif world.chance(0.6):
        args.append(world.word(b"PERSIST"))
    if world.chance(0.05):
        args += world.pick(([b"PERSIST"], [b"EX"], [b"NX"], [b"KEEPTTL"], [b"EX", b"300000"]))
    return [Command(args), Command([b"TTL", key])]


def setnx(world):
    return [Command([world.word(b"SETNX"), world.key(), world.value()])]


def setex(world):
    return [Command([world.word(b"SETEX"), world.key(), world.relative_seconds(), world.value()])]


def psetex(world):
    return [Command([world.word(b"PSETEX"), world.key(), world.relative_ms(), world.value()])]


def mget(world):
    return [Command([world.word(b"MGET")] + world.keys(6))]


def _pairs(world):
    return [word for key in world.keys(5) for word in (key, world.value())]


def mset(world):
    return [Command([world.word(b"MSET")] + _pairs(world) + ([world.key()] if world.chance(0.03) else []))]


def msetnx(world):
    return [Command([world.word(b"MSETNX")] + _pairs(world) + ([world.key()] if world.chance(0.03) else []))]


def append(world):
    return [Command([world.word(b"APPEND"), world.key(), world.value()])]


def strlen(world):
    return [Command([world.word(b"STRLEN"), world.key()])]


def getrange(world):
    name = world.word(world.pick((b"GETRANGE", b"GETRANGE", b"SUBSTR")))
    return [Command([name, world.key(), world.small(-60, 60), world.small(-60, 60)])]


def setrange(world):
    offset = b"%d" % world.between(2000, 6000) if world.chance(0.03) else world.small(0, 300)
    return [Command([world.word(b"SETRANGE"), world.key(), offset, world.value()])]


def incr(world):
    return [Command([world.word(world.pick((b"INCR", b"DECR"))), world.key()])]


def incrby(world):
    return [Command([world.word(world.pick((b"INCRBY", b"DECRBY"))), world.key(), world.integer()])]


def near_the_border(world):
    """A number near the ends of its type, then a step over or up to it."""
    key = world.key()
    start = world.pick((b"9223372036854775807", b"9223372036854775806", b"-9223372036854775808",
                        b"-9223372036854775807", b"9223372036854775800"))
    step = world.pick(([b"INCR", key], [b"DECR", key], [b"INCRBY", key, world.integer()],
                       [b"DECRBY", key, world.integer()], [b"INCRBYFLOAT", key, world.float()]))
    return [Command([b"SET", key, start]), Command(step), Command([b"GET", key])]


def incrbyfloat(world):
    return [Command([world.word(b"INCRBYFLOAT"), world.key(), world.float()])]


def float_from_fresh(world):
    """A value that is a float before the step, which random keys seldom are."""
    key = world.key()
    return [Command([b"SET", key, world.float()]), Command([world.word(b"INCRBYFLOAT"), key, world.float()]),
            Command([b"OBJECT", b"ENCODING", key])]


def lcs(world):
    commands = []
    letters = world.pick((b"ab", b"abcd", b"acgt\x00\xff"))
    for key in (world.pick(LCS_KEYS), world.pick(LCS_KEYS)):
        if world.chance(0.5):
            value = bytes(world.random.choices(letters, k=world.below(world.pick((4, 30, 120)))))
            commands.append(Command([b"SET", key, value]))
    if world.chance(0.05):
        commands.append(Command([b"DEL", world.pick(LCS_KEYS)]))
    options = []
    if world.chance(0.6):
        options.append([world.word(b"IDX")])
    elif world.chance(0.5):
        options.append([world.word(b"LEN")])
    if world.chance(0.4):
        options.append([world.word(b"MINMATCHLEN"), world.small(-1, 6)])
    if world.chance(0.4):
        options.append([world.word(b"WITHMATCHLEN")])
    if world.chance(0.05):
        options.append(world.pick(([b"IDX"], [b"LEN"], [b"NOSUCH"], [b"MINMATCHLEN"], [b"STRINGS"])))
    args = [world.word(b"LCS"), world.pick(LCS_KEYS), world.pick(LCS_KEYS)] + world.shuffled(options)
    return commands + [Command(args)]


COMMANDS = [
    (16, set_value), (8, get), (3, getset), (3, getdel), (6, getex), (3, setnx), (2, setex), (2, psetex), (4, mget),
    (3, mset), (2, msetnx), (5, append), (3, strlen), (5, getrange), (5, setrange), (5, incr), (6, incrby),
    (2, near_the_border), (5, incrbyfloat), (3, float_from_fresh), (4, lcs),
]


def generate(world):
    return world.weighted(COMMANDS)(world)


def lcs_of_too_much(pair, world):
    """The product of both lengths is more than a server may take for one answer."""
    pair.run([Command([b"SETRANGE", b"lcs:0", b"%d" % world.between(24_000, 30_000), b"x"]),
              Command([b"COPY", b"lcs:0", b"lcs:1", b"REPLACE"]),
              Command([b"LCS", b"lcs:0", b"lcs:1"]), Command([b"LCS", b"lcs:0", b"lcs:1", b"LEN"]),
              Command([b"LCS", b"lcs:0", b"nosuchkey"]), Command([b"DEL", b"lcs:0", b"lcs:1"])])


def stored_size_limit(pair, world):
    """What grows past proto-max-bulk-len is refused, exactly at the border."""
    border = 1024 * 1024
    offset = border + world.between(-3, 3)
    pair.run([Command([b"CONFIG", b"SET", b"proto-max-bulk-len", b"1mb"]),
              Command([b"DEL", b"k:0", b"k:1"]),
              Command([b"SETRANGE", b"k:0", b"%d" % (offset - 2), b"ab"]), Command([b"STRLEN", b"k:0"]),
              Command([b"SETRANGE", b"k:0", b"%d" % (border - 1), b"ab"]), Command([b"STRLEN", b"k:0"]),
              Command([b"APPEND", b"k:0", b"ab"]), Command([b"STRLEN", b"k:0"]),
              Command([b"SETRANGE", b"k:1", b"%d" % border, b""]), Command([b"EXISTS", b"k:1"]),
              Command([b"SETBIT", b"k:1", b"%d" % (8 * offset), b"1"]), Command([b"STRLEN", b"k:1"]),
              Command([b"BITFIELD", b"k:1", b"SET", b"u8", b"%d" % (8 * offset), b"1"]), Command([b"STRLEN", b"k:1"]),
              Command([b"DEL", b"k:0", b"k:1"]),
              Command([b"CONFIG", b"SET", b"proto-max-bulk-len", b"512mb"])])


SCENES = [(0.08, lcs_of_too_much), (0.1, stored_size_limit)]
