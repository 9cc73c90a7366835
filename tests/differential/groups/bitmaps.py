# bitmaps.py - random commands on the bits of strings.
#
# May touch: the world's choices. Must never know: sockets, replies. Invariant: see safety.py for what is filtered.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

from command import Command

OFFSETS = [b"0", b"1", b"7", b"8", b"15", b"63", b"64", b"65", b"1000", b"20000", b"4294967295", b"4294967296", b"-1",
           b"9223372036854775807", b"abc", b"", b"1.5", b"01", b"+1", b" 1", b"18446744073709551616"]
WIDTHS = [b"u1", b"u2", b"u7", b"u8", b"u9", b"u16", b"u31", b"u32", b"u33", b"u62", b"u63", b"i1", b"i2", b"i5",
          b"i8",
          b"i16", b"i32", b"i33", b"i63", b"i64"]
WRONG_WIDTHS = [b"u64", b"i65", b"u0", b"i0", b"u-1", b"x8", b"8", b"u", b"", b"U8", b"I8", b"u08", b"u8 ", b"i64x"]


def offset(world):
    if world.chance(0.85):
        return b"%d" % world.below(world.pick((16, 200, 3000)))
    return world.pick(OFFSETS)


def setbit(world):
    bit = world.pick((b"0", b"1")) if world.chance(0.95) else world.pick((b"2", b"-1", b"", b"abc", b"01"))
    return [Command([world.word(b"SETBIT"), world.key(), offset(world), bit])]


def getbit(world):
    return [Command([world.word(b"GETBIT"), world.key(), offset(world)])]


def _range_end(world):
    point = world.random.random()
    if point < 0.6:
        return b"%d" % world.between(-40, 40)
    if point < 0.85:
        return b"%d" % world.between(-3000, 3000)
    return world.integer()


def _unit(world):
    if world.chance(0.97):
        return world.word(world.pick((b"BYTE", b"BIT")))
    return world.pick((b"BYTES", b"", b"x", b"0"))


def bitcount(world):
    args = [world.word(b"BITCOUNT"), world.key()]
    if world.chance(0.85):
        args += [_range_end(world), _range_end(world)]
        if world.chance(0.6):
            args.append(_unit(world))
    elif world.chance(0.3):
        args += [_range_end(world)] if world.chance(0.5) else [b"BIT"]
    return [Command(args)]


def bitpos(world):
    bit = world.pick((b"0", b"1")) if world.chance(0.95) else world.pick((b"2", b"-1", b"", b"abc"))
    args = [world.word(b"BITPOS"), world.key(), bit]
    if world.chance(0.8):
        args.append(_range_end(world))
        if world.chance(0.8):
            args.append(_range_end(world))
            if world.chance(0.6):
                args.append(_unit(world))
    commands = [Command(args)]
    if world.chance(0.1):
        # All bits set or clear: the answer past the end depends on whether an end was given.
        fill = world.pick((b"\xff", b"\x00")) * world.between(1, 20)
        commands.insert(0, Command([b"SET", args[1], fill]))
    return commands


def bitop(world):
    operation = world.pick((b"AND", b"OR", b"XOR", b"NOT")) if world.chance(0.97) else world.pick((b"NAND", b"", b"x"))
    sources = [world.key()] if operation == b"NOT" and world.chance(0.9) else world.keys(4)
    return [Command([world.word(b"BITOP"), world.word(operation), world.key()] + sources)]


def _type(world):
    return world.pick(WIDTHS) if world.chance(0.96) else world.pick(WRONG_WIDTHS)


def _field_offset(world):
    point = world.random.random()
    if point < 0.6:
        return b"%d" % world.below(300)
    if point < 0.92:
        return b"#%d" % world.below(40)
    return world.pick(OFFSETS + [b"#-1", b"#", b"#abc", b"##1", b"#9223372036854775807", b"# 1"])


def bitfield(world):
    args = [world.word(b"BITFIELD"), world.key()]
    for _ in range(world.between(0, 5) if world.chance(0.95) else world.between(6, 20)):
        point = world.random.random()
        if point < 0.25:
            args += [world.word(b"GET"), _type(world), _field_offset(world)]
        elif point < 0.5:
            args += [world.word(b"SET"), _type(world), _field_offset(world), world.integer()]
        elif point < 0.75:
            args += [world.word(b"INCRBY"), _type(world), _field_offset(world), world.integer()]
        elif point < 0.98:
            args += [world.word(b"OVERFLOW"), world.word(world.pick((b"WRAP", b"SAT", b"FAIL")))]
        else:
            args += world.pick(([b"GET"], [b"GET", b"u8"], [b"SET", b"u8", b"0"], [b"NOSUCH"], [b"OVERFLOW"],
                                [b"OVERFLOW", b"NOSUCH"], [b""]))
    return [Command(args)]


def overflow(world):
    """A field at the end of its range, stepped over it in every mode."""
    key, width, at = world.key(), world.pick(WIDTHS), b"#%d" % world.below(8)
    bits = int(width[1:])
    low, high = (0, 2 ** bits - 1) if width[:1] == b"u" else (-2 ** (bits - 1), 2 ** (bits - 1) - 1)
    start = b"%d" % world.pick((low, high, low + 1, high - 1, 0))
    step = world.pick((b"1", b"-1", b"%d" % high, b"%d" % low, world.integer()))
    args = [b"BITFIELD", key, b"SET", width, at, start]
    for mode in (b"WRAP", b"SAT", b"FAIL"):
        args += [b"OVERFLOW", mode, world.pick((b"INCRBY", b"SET")), width, at, step, b"GET", width, at]
    return [Command(args), Command([b"GET", key])]


def bitfield_ro(world):
    args = [world.word(b"BITFIELD_RO"), world.key()]
    for _ in range(world.below(5)):
        args += [world.word(b"GET"), _type(world), _field_offset(world)]
    if world.chance(0.08):
        args += world.pick(([b"SET", b"u8", b"0", b"1"], [b"INCRBY", b"u8", b"0", b"1"], [b"OVERFLOW", b"SAT"],
                            [b"GET"],
                            [b"NOSUCH"]))
    return [Command(args)]


COMMANDS = [(5, setbit), (4, getbit), (5, bitcount), (5, bitpos), (4, bitop), (6, bitfield), (3, overflow),
            (3, bitfield_ro)]
SCENES = []


def generate(world):
    return world.weighted(COMMANDS)(world)
