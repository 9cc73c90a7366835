# transactions.py - MULTI, EXEC, DISCARD, WATCH and UNWATCH, with several connections one after the other.
#
# May touch: the world's choices. Must never know: sockets, replies.
# Invariants: the order over all connections is the order of the list (Pair.run waits where the connection changes);
# every script leaves its connections outside of MULTI, without watched keys, in database 0.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

from command import Command
from groups import bitmaps, dump, expiry, keys, strings

# The connection that has the transaction; others get in between.
MAIN = 0
OTHER = 1

BODIES = [(6, strings.generate), (2, bitmaps.generate), (3, keys.generate), (3, expiry.generate), (1, dump.dump)]


def body(world, most=5):
    """What is queued: any commands, seldom of a kind that a transaction treats in its own way."""
    commands = []
    for _ in range(world.between(0, most)):
        commands += world.weighted(BODIES)(world)
    if world.chance(0.08):
        commands.append(Command(world.pick((
            [b"UNWATCH"], [b"PING"], [b"ECHO", b"x"], [b"SELECT", b"0"], [b"TIME"], [b"CLIENT", b"GETNAME"],
            [b"WAIT", b"1", b"0"], [b"COMMAND", b"COUNT"], [b"DBSIZE"], [b"CLIENT", b"SETNAME", b"inside"],
            [b"CONFIG", b"GET", b"maxmemory"], [b"ROLE"], [b"SWAPDB", b"0", b"1"], [b"OBJECT", b"HELP"],
            [b"INFO", b"cluster"], [b"LASTSAVE"], [b"FLUSHDB"], [b"CLIENT", b"NO-EVICT", b"off"]))))
    return [command for command in commands if command.connection == MAIN]


def plain(world):
    end = [b"EXEC"] if world.chance(0.85) else [b"DISCARD"]
    return [Command([world.word(b"MULTI")])] + body(world) + [Command([world.word(end[0])])]


def wrong_inside(world):
    """An error while queueing makes EXEC refuse everything; an error while running does not."""
    wrong = world.pick((
        [b"NOSUCHCOMMAND", b"a"], [b"GET"], [b"SET", b"k:0"], [b"MULTI"], [b"WATCH", b"k:0"], [b"EXEC", b"x"],
        [b"OBJECT", b"NOSUCH", b"k:0"], [b"CLIENT", b"NOSUCH"], [b"INCR", b"a", b"b"],
        [b"SET", b"k:0", b"v", b"NOSUCH"],
        [b"INCRBY", b"k:0", b"abc"], [b"SETBIT", b"k:0", b"x", b"1"], [b"DISCARD", b"x"], [b"SELECT", b"99"],
        [b"EXPIRE", b"k:0", b"abc"], [b"RENAME", b"nosuchkey", b"k:1"], [b"SUBSTR", b"k:0"]))
    inside = body(world, 3)
    inside.insert(world.below(len(inside) + 1), Command(wrong))
    return [Command([b"MULTI"])] + inside + [Command([world.pick((b"EXEC", b"EXEC", b"DISCARD"))]),
                                            # Where the wrong command ended the transaction, this is an error.
                                            Command([b"DISCARD"]), Command([b"UNWATCH"])]


def alone(world):
    """The commands outside of where they belong."""
    return [Command([world.word(world.pick((b"EXEC", b"DISCARD", b"UNWATCH")))])]


def ended_by_others(world):
    """RESET ends the transaction and the watches, and RESP3."""
    return [Command([b"WATCH", world.key()]), Command([b"MULTI"])] + body(world, 2) + [
        Command([b"RESET"]), Command([b"EXEC"]), Command([b"GET", b"nosuchkey"]),
        Command([b"HELLO", b"%d" % world.protocol]), Command([b"PING"])]


def protocol_inside(world):
    """HELLO in a transaction, to the protocol that the connection has or not."""
    return [Command([b"MULTI"]), Command([b"GET", b"nosuchkey"]),
            Command(world.pick(([b"HELLO"], [b"HELLO", b"2"], [b"HELLO", b"3"], [b"HELLO", b"9"]))),
            Command([b"GET", b"nosuchkey"]), Command([b"EXEC"]), Command([b"DISCARD"]),
            Command([b"GET", b"nosuchkey"]),
            Command([b"HELLO", b"%d" % world.protocol])]


def _interference(world, key):
    """Something that another connection does to the watched key, or next to it."""
    other = world.key()
    return world.pick((
        [[b"SET", key, b"x"]], [[b"SET", key, world.value()]], [[b"DEL", key]], [[b"GET", key]], [[b"TOUCH", key]],
        [[b"SETNX", key, b"x"]], [[b"APPEND", key, b""]], [[b"INCR", key]], [[b"EXPIRE", key, b"456789"]],
        [[b"EXPIRE", key, b"-1"]], [[b"PERSIST", key]], [[b"PEXPIREAT", key, b"1"]], [[b"GETEX", key, b"PERSIST"]],
        [[b"RENAME", key, other]], [[b"RENAME", other, key]], [[b"RENAMENX", other, key]], [[b"COPY", other, key]],
        [[b"COPY", other, key, b"REPLACE"]], [[b"MOVE", key, b"6"]], [[b"FLUSHDB"]], [[b"FLUSHALL"]],
        [[b"FLUSHDB", b"ASYNC"]], [[b"SWAPDB", b"0", b"1"]], [[b"SWAPDB", b"1", b"2"]], [[b"SWAPDB", b"0", b"0"]],
        [[b"SELECT", b"1"], [b"SET", key, b"x"], [b"SELECT", b"0"]],
        [[b"SELECT", b"1"], [b"FLUSHDB"], [b"SELECT", b"0"]],
        [[b"SETRANGE", key, b"0", b""]], [[b"SETBIT", key, b"1", b"0"]], [[b"BITFIELD", key, b"GET", b"u8", b"0"]],
        [[b"BITOP", b"AND", key, other]], [[b"BITFIELD", key, b"OVERFLOW", b"FAIL", b"INCRBY", b"u1", b"0", b"5"]],
        [[b"MSET", other, b"x", key, b"y"]], [[b"MSETNX", other, b"x", key, b"y"]], [[b"GETDEL", key]],
        [[b"SET", key, b"a"], [b"DEL", key]], [[b"DEL", key], [b"SET", key, b"a"]], [[b"SET", other, b"x"]],
        [[b"MULTI"], [b"SET", key, b"x"], [b"EXEC"]], [[b"MULTI"], [b"SET", key, b"x"], [b"DISCARD"]],
        [[b"SET", key, b"v", b"XX"]], [[b"SET", key, b"v", b"NX"]], [[b"SET", key, b"v", b"KEEPTTL"]], [[b"PING"]],
        [[b"DUMP", key]], [[b"UNLINK", key, other]], [[b"INCRBYFLOAT", key, b"0"]], [[b"GETSET", key, b"1"]]))


def watched(world):
    key = world.key()
    commands = [Command([b"SET", key, world.value()])] if world.chance(0.4) else []
    if world.chance(0.2):
        commands.append(Command([b"DEL", key]))
    if world.chance(0.15):
        commands.append(Command([b"PEXPIREAT", key, b"4102444800000"]))
    watches = [[key] + world.keys(3)] if world.chance(0.5) else [[key], [world.key()], [key]]
    commands += [Command([world.word(b"WATCH")] + names) for names in watches]
    where = world.below(4)
    by = MAIN if world.chance(0.25) else OTHER
    between = [Command(args, by) for args in _interference(world, key)]
    if where == 0 or by == MAIN:
        commands += between
    if world.chance(0.12):
        commands.append(Command([world.word(b"UNWATCH")]))
    commands.append(Command([b"MULTI"]))
    inside = body(world, 2)
    commands += inside[:1]
    if where and by == OTHER:
        commands += between
    commands += inside[1:]
    commands.append(Command([b"EXEC" if world.chance(0.9) else b"DISCARD"]))
    # Once more, without a watch: the first EXEC has dropped it.
    if world.chance(0.4):
        commands += [Command([b"SET", key, b"again"], OTHER), Command([b"MULTI"]), Command([b"PING"]),
                     Command([b"EXEC"])]
    return commands + [Command([b"GET", key])]


def other_database(world):
    """A watch belongs to the database that was selected when it was made."""
    key = world.key()
    commands = [Command([b"SELECT", b"1"]), Command([b"WATCH", key])]
    if world.chance(0.5):
        commands.append(Command([b"SELECT", b"0"]))
    commands.append(Command([b"SELECT", world.pick((b"0", b"1"))], OTHER))
    commands += [Command(world.pick(([b"SET", key, b"v"], [b"DEL", key], [b"SWAPDB", b"1", b"2"], [b"FLUSHDB"])),
                         OTHER),
                 Command([b"SELECT", b"0"], OTHER)]
    return commands + [Command([b"MULTI"]), Command([b"SELECT", b"2"]), Command([b"SET", key, b"from multi"]),
                       Command([b"EXEC"]), Command([b"GET", key]), Command([b"SELECT", b"0"])]


def two_at_once(world):
    """Two connections queue in turn; the one that ends first may spoil the other's watch."""
    key = world.key()
    commands = [Command([b"WATCH", key], number) for number in (MAIN, OTHER, 2)]
    commands += [Command([b"MULTI"], number) for number in (MAIN, OTHER)]
    for _ in range(world.between(1, 3)):
        commands += [Command(args, number) for number in (MAIN, OTHER)
                     for args in ([b"INCR", key], [b"APPEND", key, b"0"])[:world.between(1, 2)]]
    order = [MAIN, OTHER] if world.chance(0.5) else [OTHER, MAIN]
    commands += [Command([b"EXEC"], number) for number in order]
    return commands + [Command([b"GET", key], 2), Command([b"MULTI"], 2), Command([b"EXEC"], 2)]


COMMANDS = [(6, plain), (3, wrong_inside), (1, alone), (1, ended_by_others), (1, protocol_inside), (8, watched),
            (2, other_database), (2, two_at_once)]


def generate(world):
    return world.weighted(COMMANDS)(world)


def _closed_inside(pair, world):
    """QUIT in a transaction, and a connection that goes away with one open: nothing of it is done."""
    pair.run([Command([b"SET", b"k:0", b"before"]), Command([b"MULTI"], 5), Command([b"SET", b"k:0", b"inside"], 5),
              Command([b"QUIT"], 5, closes=True)])
    pair.run([Command([b"MULTI"], 5), Command([b"SET", b"k:0", b"inside"], 5)])
    pair.drop(5)
    pair.run([Command([b"GET", b"k:0"])])


SCENES = [(0.4, _closed_inside)]
