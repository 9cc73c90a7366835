# server.py - commands about the server: COMMAND, CONFIG, INFO, MEMORY, SLOWLOG, LATENCY, and the small ones.
#
# May touch: the world's choices. Must never know: sockets, replies.
# Invariants: what a stream changes by CONFIG SET does not change how other commands answer; the runner sets it back
# (Pair.reset) before the next epoch. Scenes of the same group: groups/server_scenes.py.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import coverage
from command import Command
from groups import bitmaps, dump, expiry, keys, strings
from groups.server_scenes import SCENES

NAMES = coverage.command_names()
SUBCOMMANDS = coverage.subcommand_names()
OTHER_NAMES = [b"nosuchcommand", b"", b"get ", b"client|nosuch", b"client|", b"get|set", b"\x00", b"client|kill|x"]

BAD_INTEGERS = [b"abc", b"", b"-1", b"1.5", b"99999999999999999999", b"1 "]
POLICIES = [b"noeviction", b"NoEviction", b"nosuchpolicy", b""]  # ours refuses policies that evict
# What the stream sets: values that change nothing else, and wrong ones.
SETTINGS = {
    b"slowlog-log-slower-than": [b"20000000", b"-1", b"10000000"] + BAD_INTEGERS,
    b"slowlog-max-len": [b"128", b"0", b"1", b"1000"] + BAD_INTEGERS,
    b"latency-monitor-threshold": [b"0", b"1000000"] + BAD_INTEGERS,
    b"timeout": [b"0", b"100000"] + BAD_INTEGERS,
    b"tcp-keepalive": [b"0", b"300", b"60"] + BAD_INTEGERS,
    b"maxmemory": [b"0", b"10gb", b"9g", b"8000mb", b"10000000kb", b"9999999999", b"9999999999b", b"10GB", b"1x",
                   b"-1",
                   b"", b"10%", b"1.5gb"],
    b"maxmemory-policy": POLICIES,
    b"maxmemory-samples": [b"5", b"10", b"0"] + BAD_INTEGERS,
    b"lfu-log-factor": [b"10", b"0"] + BAD_INTEGERS,
    b"lfu-decay-time": [b"1", b"0", b"60"] + BAD_INTEGERS,
    b"hz": [b"10", b"100", b"1000"] + BAD_INTEGERS[:3],
    b"loglevel": [b"warning", b"notice", b"verbose", b"WARNING", b"nosuchlevel", b""],
    b"maxclients": [b"1000", b"2000"] + BAD_INTEGERS[:3],
    b"proto-max-bulk-len": [b"536870912", b"512mb", b"1", b"abc", b"-1", b""],
    b"client-query-buffer-limit": [b"1gb", b"1073741824", b"1", b"abc", b"-1"],
    b"client-output-buffer-limit": [
        b"normal 0 0 0", b"normal 1gb 512mb 60", b"pubsub 32mb 8mb 60", b"replica 256mb 64mb 60",
        b"slave 256mb 64mb 60 normal 0 0 0", b"nosuch 0 0 0", b"normal 0 0", b"normal a b c", b"normal -1 0 0", b""],
    b"notify-keyspace-events": [b"", b"KEA", b"Ex", b"Kg$", b"AKE", b"Q", b"?"],
    b"latency-tracking": [b"yes", b"no", b"YES", b"maybe", b"", b"1"],
    b"busy-reply-threshold": [b"5000", b"0"] + BAD_INTEGERS[:2],
    b"protected-mode": [b"yes", b"no", b"maybe"],
    b"appendfsync": [b"everysec", b"always", b"no", b"nosuch"],
    b"lazyfree-lazy-user-del": [b"yes", b"no", b"maybe"],
    b"lazyfree-lazy-user-flush": [b"yes", b"no", b"maybe"],
    b"lazyfree-lazy-expire": [b"yes", b"no", b"maybe"],
    b"hash-max-listpack-entries": [b"512", b"100", b"abc"],
    b"databases": [b"16", b"4", b"abc"],
    b"cluster-enabled": [b"no", b"yes"],
    b"nosuchdirective": [b"1"],
    b"": [b"1"],
}
DIRECTIVES = sorted(SETTINGS)
PATTERNS = [b"maxmemory*", b"slowlog-*", b"lfu-*", b"client-*-limit", b"time?ut", b"[mt]axclients", b"nosuch*", b"",
            b"latency-monitor-*", b"databases", b"MAXMEMORY", b"max*y", b"proto-max-bulk-len", b"save", b"requirepass",
            b"tcp-keepalive", b"appendonly", b"io-thread?"]

SECTIONS = [b"server", b"clients", b"memory", b"persistence", b"stats", b"replication", b"cpu", b"modules",
            b"commandstats", b"errorstats", b"latencystats", b"cluster", b"keyspace", b"all", b"default",
            b"everything",
            b"nosuchsection", b""]


def info(world):
    return [Command([world.word(b"INFO")] + [world.word(world.pick(SECTIONS)) for _ in range(world.pick((0, 1, 1, 1, 2,
                                                                                                         3)))])]


def config_get(world):
    names = [world.word(world.pick(PATTERNS if world.chance(0.5) else DIRECTIVES))
             for _ in range(world.pick((1, 1, 1, 2, 4)))]
    return [Command([world.word(b"CONFIG"), world.word(b"GET")] + names)]


def config_set(world):
    words = []
    names = []
    for _ in range(world.pick((1, 1, 1, 1, 2, 3))):
        name = world.pick(DIRECTIVES)
        names.append(name)
        words += [world.word(name), world.pick(SETTINGS[name])]
    if world.chance(0.04):
        words.pop()
    if world.chance(0.04):
        words += words[:2]
    return [Command([world.word(b"CONFIG"), world.word(b"SET")] + words), Command([b"CONFIG", b"GET"] + names)]


def config_rest(world):
    return [Command([b"CONFIG"] + world.pick(([b"RESETSTAT"], [b"HELP"], [b"RESETSTAT", b"x"], [b"GET"], [b"SET"],
                                              [b"REWRITE", b"x"], [b"REWRITE"])))]


def _names(world):
    pool = NAMES if world.chance(0.6) else SUBCOMMANDS if world.chance(0.7) else OTHER_NAMES
    return [world.word(world.pick(pool)) for _ in range(world.between(1, 3))]


def command_info(world):
    return [Command([world.word(b"COMMAND"), world.word(world.pick((b"INFO", b"INFO", b"DOCS")))] + _names(world))]


def command_keys(world):
    """GETKEYS of real commands, and of some with a word too few or too many."""
    make = world.weighted(((4, strings.generate), (3, bitmaps.generate), (3, keys.generate), (2, expiry.generate),
                           (1, dump.generate)))
    args = list(make(world)[-1].args)
    if world.chance(0.1):
        args.pop()
    if world.chance(0.05):
        args.append(b"x")
    if world.chance(0.06):
        args = world.pick(([b"NOSUCHCOMMAND", b"a"], [b"PING"], [b"OBJECT", b"NOSUCH", b"a"], [b"CLIENT", b"ID"],
                           [b""],
                           [b"OBJECT", b"ENCODING", b"a"], [b"MEMORY", b"USAGE", b"a"], [b"COMMAND"], [b"MULTI"],
                           [b"WATCH", b"a", b"b"], [b"LCS", b"a", b"b"], []))
    return [Command([b"COMMAND", world.word(world.pick((b"GETKEYS", b"GETKEYSANDFLAGS")))] + args)]


def command_list(world):
    return [Command([b"COMMAND"] + world.pick((
        [b"COUNT"], [b"LIST"], [b"HELP"], [b"COUNT", b"x"], [b"LIST", b"x"], [b"LIST", b"FILTERBY"],
        [b"LIST", b"FILTERBY", b"PATTERN"], [b"LIST", b"FILTERBY", b"PATTERN", b"get*"],
        [b"list", b"filterby", b"pattern", b"*set*"], [b"LIST", b"FILTERBY", b"PATTERN", b"client|*"],
        [b"LIST", b"FILTERBY", b"PATTERN", b"nosuch*"], [b"LIST", b"FILTERBY", b"ACLCAT", b"string"],
        [b"LIST", b"FILTERBY", b"ACLCAT", b"keyspace"], [b"LIST", b"FILTERBY", b"ACLCAT", b"nosuch"],
        [b"LIST", b"FILTERBY", b"ACLCAT", world.pick((b"bitmap", b"write", b"read", b"fast", b"slow", b"connection",
                                                      b"transaction", b"admin", b"dangerous", b"blocking"))],
        [b"LIST", b"FILTERBY", b"MODULE", b"nosuch"], [b"LIST", b"FILTERBY", b"NOSUCH", b"x"], [b"NOSUCH"])))]


def memory(world):
    return [Command([b"MEMORY"] + world.pick((
        [b"USAGE", world.key()], [b"USAGE", world.key(), b"SAMPLES", b"5"], [b"usage", world.key(), b"samples", b"0"],
        [b"USAGE", world.key(), b"SAMPLES", b"-1"], [b"USAGE", world.key(), b"SAMPLES", b"x"], [b"USAGE"],
        [b"USAGE", world.key(), b"SAMPLES"], [b"USAGE", world.key(), b"NOSUCH", b"1"], [b"STATS"], [b"DOCTOR"],
        [b"HELP"], [b"STATS", b"x"], [b"DOCTOR", b"x"], [b"PURGE", b"x"], [b"NOSUCH"])))]


def slowlog(world):
    return [Command([world.word(b"SLOWLOG")] + world.pick((
        [b"LEN"], [b"len"], [b"RESET"], [b"GET", b"0"], [b"GET", b"-2"], [b"GET", b"abc"], [b"GET", b"1.5"],
        [b"GET", b""],
        [b"GET", b"1", b"2"], [b"LEN", b"x"], [b"RESET", b"x"], [b"HELP"], [b"NOSUCH"], [])))]


def latency(world):
    return [Command([world.word(b"LATENCY")] + world.pick((
        [b"HISTORY", b"command"], [b"HISTORY", b"nosuchevent"], [b"HISTORY"], [b"HISTORY", b"a", b"b"], [b"LATEST"],
        [b"LATEST", b"x"], [b"RESET"], [b"RESET", b"command"], [b"reset", b"a", b"b"],
        [b"HISTOGRAM", b"nosuchcommand"],
        [b"HISTOGRAM", b"get"], [b"histogram", b"GET", b"set", b"nosuchcommand"], [b"HISTOGRAM", b"config|get"],
        [b"HELP"],
        [b"NOSUCH"])))]


def small_ones(world):
    return [Command([world.word(form[0])] + form[1:]) for form in [world.pick((
        [b"TIME"], [b"TIME", b"x"], [b"LASTSAVE"], [b"LASTSAVE", b"x"], [b"ROLE"], [b"ROLE", b"x"], [b"LOLWUT"],
        [b"LOLWUT", b"VERSION", b"5"], [b"LOLWUT", b"VERSION", b"6", b"3"],
        [b"LOLWUT", b"VERSION", b"5", b"10", b"2", b"3"],
        [b"LOLWUT", b"VERSION"], [b"LOLWUT", b"VERSION", b"x"], [b"LOLWUT", b"NOSUCH"], [b"DEBUG", b"SLEEP", b"0"],
        [b"DEBUG"], [b"DEBUG", b"SLEEP"], [b"DEBUG", b"NOSUCH"], [b"DEBUG", b"SLEEP", b"0", b"x"],
        [b"WAIT", b"0", b"0"],
        [b"WAIT", b"0", b"10"], [b"WAIT", b"1", b"2"], [b"WAIT", b"-1", b"0"], [b"WAIT", b"x", b"0"],
        [b"WAIT", b"0", b"x"], [b"WAIT", b"1", b"-1"], [b"WAIT", b"1"], [b"WAIT"], [b"SHUTDOWN", b"ABORT"],
        [b"SHUTDOWN", b"NOSUCH"], [b"SHUTDOWN", b"SAVE", b"NOSAVE"], [b"SHUTDOWN", b"ABORT", b"NOW"],
        [b"SHUTDOWN", b"FORCE", b"ABORT"], [b"SHUTDOWN", b"NOSAVE", b"NOW", b"FORCE", b"NOSUCH"],
        [b"SAVE", b"x"], [b"BGSAVE", b"x"], [b"BGSAVE", b"SCHEDULE", b"x"],
        [b"MONITOR", b"x"]))]]


COMMANDS = [(2, info), (2, config_get), (3, config_set), (0.5, config_rest), (3, command_info), (4, command_keys),
            (1, command_list), (2, memory), (1, slowlog), (1.5, latency), (4, small_ones)]
def generate(world):
    return world.weighted(COMMANDS)(world)
