# keys.py - random commands on keys whatever their value: existence, renaming, copying, databases, OBJECT.
#
# May touch: the world's choices; scenes: the pair of servers. Must never know: sockets.
# Invariant: a stream that selects another database selects database 0 again before it ends.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import compare
import resp
from command import Command, Register
from groups import strings
from world import KEYS

PATTERNS = [
    b"*", b"k:*", b"k:?", b"k:1?", b"?", b"", b"k:[0-3]", b"k:[^0-3]", b"k:[3-0]", b"k:[13579]", b"[kK]:*", b"K:*",
    b"k?*",
    b"\\*star\\*", b"\\[class\\]", b"*\\?*", b"back\\\\slash", b"*:1", b"{tag}*", b"*{*}*", b"**", b"***", b"*k*:*0*",
    b"k:[", b"k:[]", b"k:[^", b"k:[a-", b"k:\\", b"\\", b"[^k]*", b"[a-z]:*", b"[z-a]:*", b"k:[0-9][0-9]", b"*\x00*",
    b"\x00*", b"*\r\n*", b"*\xff*", b"[\xd0]*", b"\xd0?*", b"l" * 300, b"l*", b"*l", b"[0-9]*", b"-1", b"nosuch*",
    b"?*?*?",
    b"[\\]]*", b"k:[\\0-3]", b"[!k]*", b"k:[0\\-3]", b"*[", b"[]*", b"[^]*", b"k[:-:]0",
]


def delete(world):
    return [Command([world.word(world.pick((b"DEL", b"UNLINK")))] + world.keys(3))]


def exists(world):
    return [Command([world.word(world.pick((b"EXISTS", b"TOUCH")))] + world.keys(5))]


def kind(world):
    return [Command([world.word(b"TYPE"), world.key()])]


def rename(world):
    return [Command([world.word(world.pick((b"RENAME", b"RENAMENX"))), world.key(), world.key()])]


def copy(world):
    args = [world.word(b"COPY"), world.key(), world.key()]
    options = []
    if world.chance(0.4):
        options.append([world.word(b"DB"), world.database() if world.chance(0.9) else world.integer()])
    if world.chance(0.4):
        options.append([world.word(b"REPLACE")])
    if world.chance(0.04):
        options.append(world.pick(([b"DB"], [b"NOSUCH"], [b"REPLACE"], [b"DB", b"16"], [b"DB", b"-1"], [b"DB", b"x"])))
    return [Command(args + world.shuffled(options))]


def pattern(world):
    if world.chance(0.8):
        return world.pick(PATTERNS)
    pieces = (b"k", b":", b"?", b"1", b"[0-9]", b"[^a]", b"\\k", b"*", b"[1-", b"{")
    return b"".join(world.pick(pieces) for _ in range(4))


def keys(world):
    return [Command([world.word(b"KEYS"), pattern(world)])]


def count(world):
    return [Command([world.word(b"DBSIZE")])]


def object_facts(world):
    sub = world.pick((b"ENCODING", b"ENCODING", b"ENCODING", b"REFCOUNT", b"IDLETIME", b"FREQ", b"HELP"))
    return [Command([world.word(b"OBJECT"), world.word(sub)] + ([] if sub == b"HELP" else [world.key()]))]


def encodings(world):
    """How a value is kept, right after each way to make it."""
    key = world.key()
    make = world.pick((
        [b"SET", key, world.value()], [b"SET", key, b"%d" % world.between(-20, 20)], [b"APPEND", key, world.text(3)],
        [b"APPEND", key, b""], [b"SETRANGE", key, b"0", b"9"], [b"SETRANGE", key, b"0", b""], [b"INCR", key],
        [b"INCRBYFLOAT", key, b"0.5"], [b"SETBIT", key, b"3", b"0"], [b"BITOP", b"NOT", key, world.key()],
        [b"BITFIELD", key, b"GET", b"u8", b"0"], [b"BITFIELD", key, b"SET", b"u8", b"0", b"49"],
        [b"COPY", world.key(), key, b"REPLACE"], [b"RENAME", world.key(), key], [b"GETSET", key, world.value()],
        [b"MSET", key, world.value()], [b"SETNX", key, world.value()], [b"PSETEX", key, b"987654321", world.value()],
        [b"SET", key, world.text(44)], [b"SET", key, world.text(45)], [b"DECRBY", key, b"9"], [b"GETEX", key]))
    return [Command(make), Command([b"OBJECT", b"ENCODING", key])]


def select(world):
    """Some commands in another database."""
    commands = [Command([world.word(b"SELECT"), world.database()])]
    for _ in range(world.between(1, 5)):
        commands += world.weighted(((3, strings.generate), (2, exists), (1, delete), (1, count), (1, rename)))(world)
    return commands + [Command([b"SELECT", b"0"])]


def select_wrongly(world):
    return [Command([world.word(b"SELECT"), world.pick((b"16", b"-1", b"100", b"abc", b"", b"1.5",
                                                        b"9223372036854775807",
                                                        b"99999999999999999999", b" 1"))])]


def move(world):
    return [Command([world.word(b"MOVE"), world.key(), world.database() if world.chance(0.9) else world.integer()])]


def swap(world):
    first, second = (world.database() if world.chance(0.93) else world.integer() for _ in range(2))
    return [Command([world.word(b"SWAPDB"), first, second])]


def flush(world):
    return [Command([world.word(world.pick((b"FLUSHDB", b"FLUSHDB", b"FLUSHALL")))] +
                    world.pick(([], [world.word(b"ASYNC")], [world.word(b"SYNC")], [b"NOW"], [b"ASYNC", b"SYNC"])))]


COMMANDS = [(6, delete), (6, exists), (3, kind), (6, rename), (6, copy), (5, keys), (4, count), (6, object_facts),
            (5, encodings), (4, select), (1, select_wrongly), (4, move), (1.5, swap), (0.25, flush)]


def generate(world):
    return world.weighted(COMMANDS)(world)


def random_key(pair, world):
    """RANDOMKEY names a key that is there; nothing if there is none."""
    database = world.pick((b"0", b"0", b"0", b"7"))
    results = pair.run([Command([b"SELECT", database]), Command([world.word(b"RANDOMKEY")]), Command([b"KEYS", b"*"]),
                        Command([b"SELECT", b"0"])])
    chosen, there = results[1], results[2]
    for label, picked, all_keys in (("ours", chosen.ours, there.ours),
                                    ("the reference", chosen.reference, there.reference)):
        name = resp.parse(picked)[1]
        names = [item[1] for item in resp.parse(all_keys)[1]]
        if (name not in names) if names else (name is not None):
            pair.differ(chosen, "RANDOMKEY of %s names a key that KEYS does not" % label)


def idle_times(pair, world):
    """A long idle time can only be had by RESTORE; reading ends it, looking does not, nor does RENAME."""
    key, other = world.pick(KEYS[:10]), world.pick(KEYS[10:20])
    pair.run([Command([b"SET", key, world.value()]), Command([b"DUMP", key], store="idle")])
    look = world.pick(([b"TTL", key], [b"TYPE", key], [b"OBJECT", b"ENCODING", key], [b"EXISTS", key], [b"GET", key],
                       [b"TOUCH", key], [b"STRLEN", key], [b"EXPIRE", key, b"345678"], [b"APPEND", key, b""],
                       [b"COPY", key, b"k:19", b"REPLACE"], [b"GETEX", key], [b"PERSIST", key], [b"MGET", key],
                       [b"DUMP", key], [b"GETBIT", key, b"0"], [b"SETNX", key, b"x"], [b"MEMORY", b"USAGE", key],
                       [b"SET", key, b"x", b"XX"], [b"RENAMENX", key, other], [b"MOVE", key, b"5"]))
    pair.run([Command([b"DEL", other]), Command(_restore_idle(key)), Command(look),
              Command([b"OBJECT", b"IDLETIME", key]), Command([b"RENAME", key, other]),
              Command([b"OBJECT", b"IDLETIME", other])])


def _restore_idle(key):
    return [b"RESTORE", key, b"0", Register("idle"), b"REPLACE", b"IDLETIME", b"500"]


def frequencies(pair, world):
    """OBJECT FREQ wants a policy that counts; ours has none."""
    key = world.pick(KEYS[:10])
    pair.run([Command([b"DEL", key]),
              Command([b"OBJECT", b"FREQ", key]), Command([b"SET", key, b"x"]), Command([b"OBJECT", b"FREQ", key]),
              Command([b"GET", key]), Command([b"OBJECT", b"FREQ", key]), Command([b"OBJECT", b"IDLETIME", key]),
              Command([b"DUMP", key], store="freq")])
    pair.run([Command([b"RESTORE", key, b"0", Register("freq"), b"REPLACE", b"FREQ", b"%d" % world.below(256)]),
              Command([b"OBJECT", b"FREQ", key])])


def flushes(pair, world):
    """FLUSHDB empties its database alone, FLUSHALL all of them, with every option."""
    keep, drop = world.pick((b"1", b"2")), b"10"
    for name in (b"FLUSHDB", b"FLUSHALL"):
        for option in ([], [world.word(b"ASYNC")], [world.word(b"SYNC")]):
            commands = [Command([b"SELECT", keep]), Command([b"SET", world.key(), b"x"]), Command([b"SELECT", drop])]
            commands += [Command([b"SET", b"f:%d" % number, world.value()]) for number in range(world.between(0, 20))]
            commands += [Command([world.word(name)] + option), Command([b"DBSIZE"]), Command([b"KEYS", b"*"]),
                         Command([b"SELECT", keep]), Command([b"DBSIZE"])]
            pair.run(commands + [Command([b"SELECT", b"0"]), Command([b"DBSIZE"])])


SCENES = [(3, random_key), (1.5, idle_times), (0.4, frequencies), (0.3, flushes)]

# How to read a whole value, by the word that TYPE answers: compare_keyspace() compares these replies of every key.
# Other types of values get their row here.
VALUE_READERS = {b"string": lambda key: [b"GET", key]}


def compare_keyspace(pair, inspector):
    """Both servers hold the same keys, values, encodings and times, in every database."""
    for database in range(pair.DATABASES):
        results = pair.run([Command([b"SELECT", b"%d" % database], inspector), Command([b"DBSIZE"], inspector),
                            Command([b"KEYS", b"*"], inspector)])
        names = compare.sorted_texts(resp.parse(results[2].reference))
        kinds = pair.run([Command([b"TYPE", name], inspector) for name in names])
        commands = []
        for name, result in zip(names, kinds):
            reader = VALUE_READERS.get(resp.parse(result.reference)[1])
            commands += [reader(name)] if reader else []
            commands += [[b"PTTL", name], [b"PEXPIRETIME", name], [b"OBJECT", b"ENCODING", name]]
        pair.run([Command(args, inspector) for args in commands])
