# server_scenes.py - scenes about the server: what it counts, logs, reports about its commands, and refuses.
#
# May touch: the pair of servers, the world's choices. Must never know: sockets.
# Invariant: a scene leaves the settings as they were, as far as other commands' replies depend on them.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import compare
import coverage
import resp
from command import Command
from world import KEYS

MONITOR, ACTOR = 12, 13


def slow_log(pair, world):
    """With a limit of 0 everything is logged: the words of every entry, long and many ones shortened."""
    requests = [[b"SET", b"k:0", world.value()], [b"GET", b"k:0"], [b"SET", b"k:1", b"x" * world.between(120, 140)],
                [b"MGET"] + [b"k:%d" % number for number in range(world.between(28, 40))], [b"NOSUCHCOMMAND", b"a"],
                [b"INCR", b"k:1"], [b"PING", b"\x00\r\n"], [b"SET", b"k:2", b"v", b"EX", b"300000"], [b"MULTI"],
                [b"GET", b"k:0"], [b"EXEC"], [b"AUTH", b"a", b"b"], [b"GETEX", b"k:0", b"PX", b"400000000"], [b"GET"],
                [b"CONFIG", b"GET", b"databases"], [b"SETEX", b"k:3", b"300000", b"v"], [b"EXPIRE", b"k:0", b"500000"]]
    pair.run([Command([b"SLOWLOG", b"RESET"]), Command([b"CLIENT", b"SETNAME", b"slow"]),
              Command([b"CONFIG", b"SET", b"slowlog-max-len", b"%d" % world.pick((4, 128))]),
              Command([b"CONFIG", b"SET", b"slowlog-log-slower-than", b"0"])])
    for _ in range(world.between(1, 12)):
        pair.run([Command(world.pick(requests))])
    # An EXEC without MULTI, or a MULTI without EXEC, is ended here.
    pair.run([Command([b"DISCARD"]), Command([b"SLOWLOG", b"LEN"]),
              Command([b"SLOWLOG", b"GET"] + world.pick(([], [b"-1"], [b"3"], [b"100"]))),
              Command([b"CONFIG", b"SET", b"slowlog-log-slower-than", b"10000000"]), Command([b"SLOWLOG", b"RESET"]),
              Command([b"SLOWLOG", b"LEN"]), Command([b"CONFIG", b"SET", b"slowlog-max-len", b"128"])])


def counters(pair, world):
    """Calls, rejected and failed calls by command, errors by their first word, hits, misses and expired keys."""
    requests = [[b"SET", b"k:0", b"abc"], [b"GET", b"k:0"], [b"GET", b"nosuchkey"], [b"GET"], [b"INCR", b"k:0"],
                [b"NOSUCHCOMMAND"], [b"MGET", b"k:0", b"nosuchkey"], [b"EXPIRE", b"k:0", b"-1"],
                [b"OBJECT", b"NOSUCH", b"x"],
                [b"OBJECT", b"ENCODING", b"k:0"], [b"EXEC"], [b"MULTI"], [b"EXEC"], [b"SELECT", b"99"],
                [b"exists", b"k:0"],
                [b"CLIENT", b"GETNAME"], [b"AUTH", b"nosuchuser", b"x"], [b"HELLO", b"9"],
                [b"SET", b"k:0", b"x", b"PXAT", b"1"],
                [b"TTL", b"nosuchkey"], [b"TOUCH", b"k:0"], [b"RESTORE", b"k:1", b"0", b"bad"], [b"STRLEN", b"k:0"],
                [b"BITCOUNT", b"nosuchkey"], [b"GETRANGE", b"k:0", b"0", b"1"], [b"PERSIST", b"nosuchkey"],
                [b"DUMP", b"k:0"],
                [b"SETNX", b"k:0", b"x"], [b"COPY", b"nosuchkey", b"k:1"], [b"RENAME", b"nosuchkey", b"k:1"],
                [b"TYPE", b"k:0"]]
    pair.run([Command([b"CONFIG", b"RESETSTAT"])] +
             [Command(world.pick(requests)) for _ in range(world.between(5, 60))] +
             [Command([b"DISCARD"]), Command([b"EXISTS", b"k:0"])])
    pair.run([Command([b"INFO", b"commandstats"]), Command([b"INFO", b"errorstats"]),
              Command([b"INFO", b"commandstats", b"errorstats"])], exact=True)
    results = pair.run([Command([b"INFO", b"stats"])])
    fields = (b"keyspace_hits", b"keyspace_misses", b"expired_keys", b"total_error_replies", b"evicted_keys",
              b"rejected_connections")
    ours, reference = (compare.info_fields(resp.parse(raw)) for raw in (results[0].ours, results[0].reference))
    for field in fields:
        if ours.get(field) != reference.get(field):
            pair.differ(results[0], "%s is %r, not %r" % (field.decode(), ours.get(field), reference.get(field)))


def histograms(pair, world):
    """LATENCY HISTOGRAM counts every call of the commands that ran."""
    pair.run([Command([b"CONFIG", b"SET", b"latency-tracking", b"yes"]), Command([b"CONFIG", b"RESETSTAT"])] +
             [Command([b"SET", b"k:0", b"x"])] * world.between(1, 9) + [Command([b"GET", b"k:0"])] * world.between(0,
                                                                                                                   9) +
             [Command([b"CLIENT", b"GETNAME"])] + [Command([b"GET"])] * world.below(2))
    pair.run([Command([b"LATENCY", b"HISTOGRAM"] + words) for words in (
        [b"set"], [b"get"], [b"SET", b"get", b"nosuchcommand"], [b"client"], [b"client|getname"], [b"append"], [])],
             exact=True)
    pair.run([Command([b"INFO", b"latencystats"])])


def keyspace_section(pair, world):
    """INFO keyspace counts keys and keys with a time in each database."""
    pair.run([Command([b"SELECT", b"12"])] + [
        Command([b"SET", b"n:%d" % number, b"v"] + ([b"EX", b"%d" % world.between(200_000, 900_000)]
                                                    if world.chance(0.5) else []))
        for number in range(world.between(1, 30))])
    pair.run([Command([b"INFO", b"keyspace"]), Command([b"FLUSHDB"]), Command([b"INFO", b"keyspace"]),
              Command([b"SELECT", b"0"])])


def all_settings(pair, world):
    """Every directive of the reference has its name in ours too, and its default."""
    pair.run([Command([b"CONFIG", b"GET", b"*"]), Command([b"config", b"get", b"*max*", b"*max*", b"maxclients"])])


def all_commands(pair, world):
    """The whole table: every command that must be there, with all that is said about it."""
    pair.run([Command([b"COMMAND"]), Command([b"COMMAND", b"DOCS"]), Command([b"COMMAND", b"LIST"]),
              Command([b"COMMAND", b"COUNT"]), Command([b"COMMAND", b"INFO"]),
              Command([b"COMMAND", b"LIST", b"FILTERBY", b"MODULE", b"nosuch"])])
    pair.run([Command([b"COMMAND", b"LIST", b"FILTERBY", b"ACLCAT", category]) for category in (
        b"keyspace", b"read", b"write", b"set", b"sortedset", b"list", b"hash", b"string", b"bitmap", b"hyperloglog",
        b"geo", b"stream", b"pubsub", b"admin", b"fast", b"slow", b"blocking", b"dangerous", b"connection",
        b"transaction", b"scripting")])
    pair.run([Command([b"COMMAND", b"INFO", name]) for name in coverage.command_names() + coverage.subcommand_names()])


def unknown_commands(pair, world):
    """What ours does not have it does not pretend to have: no answer but the error for an unknown command."""
    results = pair.run([Command([b"COMMAND", b"LIST"])])
    ours, reference = (set(compare.texts(resp.parse(raw))) for raw in (results[0].ours, results[0].reference))
    for name in sorted(reference - ours):
        if b"|" in name or name in (b"replconf", b"psync", b"sync"):
            continue
        raw = pair.ask_ours([name, b"a", b"b"])
        if not raw.startswith(b"-ERR unknown command '" + name + b"', with args beginning with: 'a' 'b' "):
            pair.differ(results[0], "%s is not in COMMAND LIST, but answers %s" % (name.decode(), resp.show(raw, 100)))


def out_of_memory(pair, world):
    """At the limit commands that may need memory are refused, others are not; so is a transaction with one."""
    requests = [[b"SET", b"k:0", b"x"], [b"GET", b"k:0"], [b"DEL", b"k:1"], [b"INCR", b"k:2"],
                [b"APPEND", b"k:0", b"x"],
                [b"EXPIRE", b"k:0", b"700000"], [b"RENAME", b"k:0", b"k:3"], [b"COPY", b"k:3", b"k:4"],
                [b"GETDEL", b"k:0"],
                [b"SETRANGE", b"k:0", b"1", b"x"], [b"SETBIT", b"k:0", b"1", b"1"], [b"BITOP", b"NOT", b"k:0", b"k:3"],
                [b"BITFIELD", b"k:3", b"GET", b"u8", b"0"], [b"MSET", b"k:0", b"x"], [b"MSETNX", b"k:5", b"x"],
                [b"GETSET", b"k:0", b"x"], [b"SETNX", b"k:9", b"x"], [b"SETEX", b"k:0", b"700000", b"x"],
                [b"PERSIST", b"k:3"],
                [b"DECR", b"k:2"], [b"INCRBYFLOAT", b"k:2", b"1"], [b"RESTORE", b"k:7", b"0", b"bad"],
                [b"DUMP", b"k:3"],
                [b"MOVE", b"k:3", b"8"], [b"SWAPDB", b"1", b"2"], [b"GETEX", b"k:3", b"EX", b"800000"],
                [b"LCS", b"lcs:0", b"lcs:1"],
                [b"TOUCH", b"k:3"], [b"WATCH", b"k:3"], [b"UNWATCH"], [b"FLUSHDB"], [b"PING"], [b"CLIENT", b"GETNAME"],
                [b"SET", b"k:0"], [b"NOSUCHCOMMAND"], [b"PSETEX", b"k:0", b"700000000", b"x"], [b"UNLINK", b"k:2"],
                [b"BITFIELD_RO", b"k:3", b"GET", b"u8", b"0"], [b"SCAN", b"abc"], [b"OBJECT", b"ENCODING", b"k:3"]]
    pair.run([Command([b"SET", b"k:3", b"x"]),
              Command([b"CONFIG", b"SET", b"maxmemory-policy", b"noeviction", b"maxmemory", b"1"])] +
             [Command(world.pick(requests)) for _ in range(world.between(5, 25))])
    pair.run([Command([b"MULTI"])] + [Command(world.pick(requests[:20])) for _ in range(world.between(1, 3))] +
             [Command([b"EXEC"]), Command([b"CONFIG", b"SET", b"maxmemory", b"0"]), Command([b"SET", b"k:0", b"x"])])


def policies(pair, world):
    """The policy can be set and read back. The others belong to eviction, which ours refuses to promise."""
    for policy in (b"noeviction", b"nosuchpolicy"):
        pair.run([Command([b"CONFIG", b"SET", b"maxmemory-policy", policy]),
                  Command([b"CONFIG", b"GET", b"maxmemory-policy"]), Command([b"INFO", b"memory"])])


def monitor(pair, world):
    """What MONITOR shows of other connections' commands, but for the time and the address."""
    pair.run([Command([b"PING"], ACTOR), Command([b"SELECT", b"3"], ACTOR)])
    pair.run([Command([b"MONITOR"], MONITOR)])
    requests = [[b"SET", b"k:0", world.value()[:200]], [b"GET", b"k:0"], [b"get", world.pick(KEYS)],
                [b"NOSUCHCOMMAND", b"x"],
                [b"SET", b"k:0"], [b"AUTH", b"secret"], [b"CONFIG", b"GET", b"databases"],
                [b"PING", b"\x00\"\\\r\n\t\a\b\x7f\xff"],
                [b"MULTI"], [b"INCR", b"k:1"], [b"EXEC"], [b"DISCARD"], [b"SELECT", b"0"],
                [b"HELLO", b"2", b"AUTH", b"default", b"x"],
                [b"SETEX", b"k:0", b"300000", b"v"], [b"EXPIRE", b"k:0", b"-1"], [b"GETEX", b"k:0", b"EX", b"300000"],
                [b"ECHO", b""], [b"CLIENT", b"SETNAME", b"x"], [b"DBSIZE"], [b"CONFIG", b"SET", b"timeout", b"0"]]
    chosen = [world.pick(requests) for _ in range(world.between(2, 12))] + [[b"DISCARD"], [b"ECHO", b"the end"]]
    for request in chosen:
        pair.run([Command(request, ACTOR)])
    pair.compare_monitor(MONITOR, b'"ECHO" "the end"')
    pair.drop(MONITOR)
    pair.drop(ACTOR)


def purge(pair, world):
    pair.run([Command([b"MEMORY", b"PURGE"])])


def save(pair, world):
    """A save on each side, from its begin to its end. One that a transaction schedules begins when the server likes: not here."""
    pair.run([Command([b"SET", world.key(), world.value()])])
    pair.run([Command([world.word(form[0])] + form[1:]) for form in world.pick((
        [[b"SAVE"]], [[b"BGSAVE"]], [[b"BGSAVE", b"SCHEDULE"]],
        [[b"MULTI"], [b"SAVE"], [b"LASTSAVE"], [b"EXEC"]]))])
    pair.wait_until([Command([b"SAVE"])], b"+OK\r\n")


SCENES = [(0.3, save), (0.5, slow_log), (0.8, counters), (0.4, histograms), (0.3, keyspace_section), (0.06, all_settings),
          (0.15, all_commands), (0.03, unknown_commands), (0.5, out_of_memory), (0.06, policies), (0.3, monitor),
          (0.1, purge)]
