# expiry.py - random commands on times to live, and scenes in which keys really expire.
#
# May touch: the world's choices; scenes: the pair of servers. Must never know: sockets.
# Invariants: in a stream no key expires while the test runs (safety.py); a scene goes on when both servers say that
# the keys are gone, not after a time.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

from command import Command
from groups import strings

FLAGS = [[], [], [b"NX"], [b"XX"], [b"GT"], [b"LT"], [b"XX", b"GT"], [b"XX", b"LT"], [b"GT", b"XX"], [b"LT", b"XX"]]
WRONG_FLAGS = [[b"NX", b"XX"], [b"NX", b"GT"], [b"NX", b"LT"], [b"GT", b"LT"], [b"NOSUCH"], [b""], [b"XX", b"NOSUCH"],
               [b"NX", b"NX"], [b"XX", b"GT", b"LT"]]


def expire(world):
    name = world.pick((b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT"))
    time = {b"EXPIRE": world.relative_seconds, b"PEXPIRE": world.relative_ms,
            b"EXPIREAT": world.absolute_seconds, b"PEXPIREAT": world.absolute_ms}[name]()
    flags = world.pick(FLAGS) if world.chance(0.94) else world.pick(WRONG_FLAGS)
    return [Command([world.word(name), world.key(), time] + [world.word(flag) for flag in flags])]


def look(world):
    return [Command([world.word(world.pick((b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME"))), world.key()])]


def persist(world):
    return [Command([world.word(b"PERSIST"), world.key()])]


def what_keeps_the_time(world):
    """A time, then a command that may keep it, drop it or carry it to another key."""
    key, other = world.key(), world.key()
    time = [b"PEXPIREAT", key, b"4102444800000"]
    step = world.pick((
        [b"SET", key, b"x"], [b"SET", key, b"x", b"KEEPTTL"], [b"GETSET", key, b"x"], [b"APPEND", key, b"x"],
        [b"INCR", key], [b"INCRBYFLOAT", key, b"1"], [b"SETRANGE", key, b"1", b"x"], [b"SETBIT", key, b"5", b"1"],
        [b"BITFIELD", key, b"SET", b"u4", b"#1", b"3"], [b"BITOP", b"OR", key, other], [b"MSET", key, b"x"],
        [b"RENAME", key, other], [b"RENAMENX", key, other], [b"RENAME", other, key], [b"COPY", key, other],
        [b"COPY", key, other, b"REPLACE"], [b"COPY", other, key, b"REPLACE"], [b"MOVE", key, b"3"], [b"GETDEL", key],
        [b"GETEX", key], [b"SETNX", key, b"x"], [b"MSETNX", key, b"x"], [b"PERSIST", key], [b"TOUCH", key]))
    return [Command([b"SET", key, world.value()]), Command(time), Command(step)] + [
        Command([b"PEXPIRETIME", name]) for name in (key, other)]


COMMANDS = [(8, expire), (6, look), (2, persist), (3, what_keeps_the_time), (3, strings.getex)]


def generate(world):
    return world.weighted(COMMANDS)(world)


def keys_that_expire(pair, world):
    """Short times in every way to give them; afterwards nothing of the keys is left."""
    names = [b"brief:%d" % number for number in range(world.between(1, 12))]
    commands = []
    for name in names:
        ms = b"%d" % world.between(1, 30)
        commands += [Command(args) for args in world.pick((
            [[b"SET", name, b"v", b"PX", ms]], [[b"SET", name, b"v", b"PXAT", b"2000"]], [[b"PSETEX", name, ms, b"v"]],
            [[b"SET", name, b"v"], [b"PEXPIRE", name, ms]], [[b"SET", name, b"1"], [b"GETEX", name, b"PX", ms]],
            [[b"SET", name, b"v", b"PX", b"900000000"], [b"PEXPIRE", name, ms, b"LT"]],
            [[b"SET", name, b"v"], [b"DUMP", name]] + [[b"PEXPIRE", name, ms, b"NX"]]))]
    # The shortest of the times may end between two of these commands, so only what comes afterwards is compared.
    pair.run_uncompared(commands)
    pair.wait_until([Command([b"EXISTS"] + names)], b":0\r\n")
    commands = [Command([b"DBSIZE"])]
    for name in names:
        commands += [Command(args) for args in world.pick((
            [[b"GET", name], [b"TTL", name], [b"PTTL", name]], [[b"TYPE", name], [b"EXPIRETIME", name]],
            [[b"SETNX", name, b"new"], [b"PTTL", name]], [[b"INCR", name], [b"PEXPIRETIME", name]],
            [[b"APPEND", name, b"x"], [b"GET", name], [b"TTL", name]], [[b"PERSIST", name]], [[b"DEL", name]],
            [[b"RENAME", name, b"brief:x"]], [[b"SET", name, b"x", b"XX"]], [[b"SET", name, b"x", b"NX"]],
            [[b"OBJECT", b"ENCODING", name]], [[b"GETDEL", name]], [[b"COPY", name, b"brief:y"]],
            [[b"SET", name, b"x", b"KEEPTTL"], [b"TTL", name]], [[b"EXPIRE", name, b"444444"]], [[b"DUMP", name]],
            [[b"MSETNX", name, b"a"]], [[b"SETBIT", name, b"1", b"1"], [b"TTL", name]], [[b"GETEX", name]]))]
    commands.append(Command([b"KEYS", b"brief*"]))
    pair.run(commands)


def watched_key_expires(pair, world):
    """A watched key that expires by itself makes EXEC fail; one that was gone before WATCH does not."""
    name = b"brief:watched"
    if world.chance(0.5):
        pair.run_uncompared([Command([b"SET", name, b"v", b"PX", b"10"])])
        pair.wait_until([Command([b"EXISTS", name])], b":0\r\n")
        pair.run([Command([b"WATCH", name])])
    else:
        results = pair.run_uncompared([Command([b"SET", name, b"v", b"PX", b"100"]), Command([b"WATCH", name]),
                                       Command([b"EXISTS", name])])
        pair.wait_until([Command([b"EXISTS", name], 1)], b":0\r\n")
        if (results[2].ours, results[2].reference) != (b":1\r\n", b":1\r\n"):
            # The machine was so slow that the key was gone before it was watched.
            pair.run([Command([b"UNWATCH"])])
            return
    pair.run([Command([b"MULTI"]), Command([b"PING"]), Command([b"EXEC"]), Command([b"EXISTS", name])])


def counts_follow_expiry(pair, world):
    """Keys that nobody asks for expire all the same: DBSIZE falls to what is left."""
    pair.run([Command([b"SELECT", b"11"]), Command([b"FLUSHDB"]), Command([b"SET", b"stays", b"1"])])
    pair.run_uncompared([Command([b"SET", b"brief:%d" % number, b"v", b"PX", b"%d" % world.between(1, 40)])
                         for number in range(world.between(1, 50))])
    pair.wait_until([Command([b"DBSIZE"])], b":1\r\n")
    pair.run([Command([b"KEYS", b"*"]), Command([b"FLUSHDB"]), Command([b"SELECT", b"0"])])


SCENES = [(1.0, keys_that_expire), (0.6, watched_key_expires), (0.15, counts_follow_expiry)]
