# ring.py - scenes for a ring of nodes: replies of several nodes in one pipeline, large values between nodes.
#
# May touch: the pair of servers, the world's choices. Must never know: sockets, which node owns a key.
# Invariant: a pipeline holds only commands whose replies depend on nothing but what was sent before in the same one.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import resp
from command import Command
from world import KEYS, TAGS, tagged

PIPELINES = (40, 41, 42)
READERS = (43, 44, 45)


def _single(world):
    key = world.key()
    return world.pick((
        [[b"GET", key]], [[b"SET", key, world.value()]], [[b"APPEND", key, world.text(9)]], [[b"INCR", key]],
        [[b"STRLEN", key]], [[b"DEL", key]], [[b"SETBIT", key, b"%d" % world.below(200), b"1"]], [[b"TYPE", key]],
        [[b"GETSET", key, world.value()]], [[b"SETRANGE", key, b"5", world.text(5)]], [[b"GETDEL", key]],
        [[b"PEXPIREAT", key, b"4102444800000"], [b"PEXPIRETIME", key]], [[b"PERSIST", key]], [[b"GET"]],
        [[b"BITFIELD", key, b"INCRBY", b"u8", b"#1", b"77", b"GET", b"u4", b"0"]], [[b"OBJECT", b"ENCODING", key]]))


def _several(world):
    pairs = [word for key in world.keys(5) for word in (key, world.value())]
    return world.pick(([[b"MGET"] + world.keys(6)], [[b"MSET"] + pairs], [[b"DEL"] + world.keys(4)],
                       [[b"UNLINK"] + world.keys(2)], [[b"EXISTS"] + world.keys(6)], [[b"TOUCH"] + world.keys(3)],
                       [[b"MSET"] + pairs + [b"odd"]]))


def _of_all(world):
    return world.pick(([[b"DBSIZE"]], [[b"DBSIZE"]], [[b"KEYS", b"nosuch*"]], [[b"FLUSHALL"]], [[b"FLUSHDB", b"NOW"]],
                       [[b"DBSIZE", b"x"]]))


def _connection(world):
    return world.pick(([[b"PING"]], [[b"ECHO", world.text(20)]], [[b"NOSUCHCOMMAND"]], [[b"CLIENT", b"GETNAME"]],
                       [[b"CLIENT", b"SETNAME", b"in-a-pipeline"]], [[b"SELECT", b"0"]], [[b"EXEC"]],
                       [[b"CLIENT", b"REPLY", b"SKIP"], [b"GET", world.key()]], [[b"RESET"]], [[b"UNWATCH"]],
                       [[b"CLIENT", b"REPLY", b"OFF"], [b"INCR", world.key()], [b"CLIENT", b"REPLY", b"ON"]]))


def _transaction(world):
    tag = world.pick(TAGS)
    key, other = (tagged(world.key(), tag) for _ in range(2))
    inside = [world.pick(([b"SET", key, world.value()], [b"GET", other], [b"INCR", key], [b"APPEND", other, b"x"],
                          [b"RENAME", key, other], [b"COPY", other, key, b"REPLACE"], [b"MGET", key, other],
                          [b"PING"], [b"CLIENT", b"GETNAME"], [b"ECHO", b"inside"], [b"DEL", key, other],
                          [b"BITOP", b"OR", key, key, other], [b"STRLEN", other]))
              for _ in range(world.below(5))]
    watch = [[b"WATCH", key, other]] if world.chance(0.3) else []
    touch = [[b"SET", other, b"touched"]] if watch and world.chance(0.5) else []
    return watch + touch + [[b"MULTI"]] + inside + [[b"EXEC" if world.chance(0.9) else b"DISCARD"]]


MIX = [(12, _single), (3, _several), (0.4, _of_all), (1.5, _connection), (1, _transaction)]


def pipeline(pair, world):
    """Any number of requests in one write: replies of all nodes come in the order of the requests."""
    requests = []
    while len(requests) < world.pick((5, 50, 500)):
        requests += world.weighted(MIX)(world)
    number = world.pick(PIPELINES)
    pair.until_echo(number, b"".join(map(resp.encode, requests)))
    pair.drop(number)


def pipeline_that_ends(pair, world):
    """The end of a connection comes behind all replies: QUIT, or bytes that are no request."""
    requests = []
    while len(requests) < 20:
        requests += world.weighted(MIX[:2])(world)
    end = world.pick((resp.encode([b"QUIT"]), b"*1\r\n$abc\r\n", b"ECHO \"open\r\n"))
    pair.until_closed(PIPELINES[0], b"".join(map(resp.encode, requests)) + end)


def large_values(pair, world):
    """Values of some megabytes, written at one node, changed and read at others."""
    keys = [world.pick(KEYS) for _ in range(2)]
    commands = [Command([b"SET", key, world.binary(world.between(100_000, 3_000_000))], world.pick(READERS))
                for key in keys]
    for _ in range(world.between(3, 8)):
        key = world.pick(keys)
        commands.append(Command(world.pick((
            [b"GET", key], [b"STRLEN", key], [b"APPEND", key, world.text(100)], [b"MGET"] + keys,
            [b"GETRANGE", key, b"-70000", b"-1"], [b"SETRANGE", key, b"50000", world.text(50_000)],
            [b"SETBIT", key, b"700000", b"1"], [b"BITCOUNT", key], [b"GETDEL", key],
            [b"EXPIRE", key, b"777777"])), world.pick(READERS)))
    pair.run(commands + [Command([b"DEL"] + keys)])


SCENES = [(3, pipeline), (1, pipeline_that_ends), (0.1, large_values)]
generate = None
