# ring.py - commands as a ring of nodes takes them: one database, the keys of one command in one slot, many connections.
#
# May touch: nothing. Must never know: sockets, comparison, which node owns a slot.
# Invariants: a command that a ring must answer as one server does stays as it is; one that it must refuse (another
# database, keys of several slots) becomes one that it takes; what was fitted once stays the same when it is fitted
# again, so that a history can be replayed.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import binascii

from command import Command, command_name
from safety import LCS_PREFIX, number
from world import TAGS, tagged

SLOTS = 16384

# Where the keys of a command stand: first, last (from the end, if negative), step.
_KEY_POSITIONS = {
    (1, 1, 1): """APPEND BITCOUNT BITFIELD BITFIELD_RO BITPOS DECR DECRBY DUMP EXPIRE EXPIREAT EXPIRETIME GET GETBIT
        GETDEL GETEX GETRANGE GETSET INCR INCRBY INCRBYFLOAT MOVE PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PSETEX PTTL
        RESTORE SET SETBIT SETEX SETNX SETRANGE STRLEN SUBSTR TTL TYPE""",
    (1, 2, 1): "COPY LCS RENAME RENAMENX",
    (1, -1, 1): "DEL EXISTS MGET TOUCH UNLINK WATCH",
    (1, -1, 2): "MSET MSETNX",
    (2, -1, 1): "BITOP",
    (2, 2, 1): "OBJECT MEMORY",
}
KEY_POSITIONS = {name.encode(): positions for positions, names in _KEY_POSITIONS.items() for name in names.split()}
# Split by the node that a client asks; all others with several keys want one slot.
SPLIT = {b"DEL", b"EXISTS", b"MGET", b"MSET", b"TOUCH", b"UNLINK"}
# They speak for all nodes, which is no single step: a transaction refuses them.
SPREAD = {b"DBSIZE", b"FLUSHALL", b"FLUSHDB", b"KEYS", b"RANDOMKEY", b"SCAN"}
# What these change or show belongs to the connection, or to the node that it goes to.
OF_A_CONNECTION = {b"AUTH", b"CLIENT", b"CONFIG", b"DISCARD", b"EXEC", b"HELLO", b"INFO", b"LATENCY", b"LASTSAVE",
                   b"MULTI", b"QUIT", b"RESET", b"SAVE", b"BGSAVE", b"SELECT", b"SLOWLOG", b"UNWATCH", b"WATCH"}

# One connection to each node, for commands that may go anywhere; the node's number is what comes after the first.
FIRST_WANDERER = 30


def slot_of(key):
    """As clients of Redis Cluster compute it."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1:end]
    return binascii.crc_hqx(key, 0) % SLOTS


def key_indexes(args):
    """Which of the arguments are keys."""
    first, last, step = KEY_POSITIONS.get(command_name(args), (0, 0, 0))
    if not first:
        return range(0)
    return range(first, min(last if last > 0 else len(args) + last, len(args) - 1) + 1, step)


def needs_tag(args):
    """Whether a ring would refuse the command because of its keys."""
    name = command_name(args)
    if name in SPLIT:
        return False
    return len({slot_of(args[at]) for at in key_indexes(args) if isinstance(args[at], bytes)}) > 1


def with_tag(args, tag):
    """The command with all its keys in the tag's slot."""
    args = list(args)
    for at in key_indexes(args):
        if isinstance(args[at], bytes):
            args[at] = tagged(args[at], tag)
    return args


def _in_one_database(args):
    name = command_name(args)
    if name == b"SELECT" and len(args) == 2 and number(args[1]):
        return [args[0], b"0"]
    if name == b"MOVE" and len(args) == 3:
        return [b"EXISTS", args[1]]
    if name == b"SWAPDB" and len(args) == 3:
        return [b"PING"]
    if name == b"COPY":
        return [b"0" if at > 3 and isinstance(args[at - 1], bytes) and args[at - 1].upper() == b"DB" and
                number(args[at]) is not None else word for at, word in enumerate(args)]
    return args


class Fitter:
    """Fits the commands of all connections, as they come; tag: the one that all keys get, or None."""

    def __init__(self):
        self.tag = None
        self.in_transaction = set()

    def clear(self):
        self.in_transaction.clear()

    def forget(self, connection):
        self.in_transaction.discard(connection)

    def fit(self, command, on_one_node=False):
        args = list(command.args)
        if not args or not isinstance(args[0], bytes):
            return command
        name = command_name(args)
        args = _in_one_database(args)
        inside = command.connection in self.in_transaction
        if inside and name in SPREAD:
            args = [b"PING"]
        if inside and name == b"HELLO":
            # What comes from another node in the transaction was written before this is done.
            args = args[:1]
        if name == b"BITFIELD" and args[2:5] == [b"OVERFLOW", b"FAIL", b"INCRBY"]:
            # It makes the key and tells no watcher; a ring compares versions.
            args = args[:2] + [b"GET", b"u8", b"0"]
        if name == b"CLIENT" and len(args) > 1 and args[1].upper() == b"LIST" and not on_one_node:
            # Each node lists its own connections.
            args = [args[0], b"INFO"]
        if self.tag:
            args = with_tag(args, self.tag)
        elif name == b"WATCH" or inside or needs_tag(args):
            args = with_tag(args, TAGS[0])
        self._follow(command.connection, name, len(args))
        if args == list(command.args):
            return command
        return Command(args, command.connection, command.store, command.closes)

    def _follow(self, connection, name, words):
        if name == b"MULTI" and words == 1:
            self.in_transaction.add(connection)
        elif name in (b"EXEC", b"DISCARD", b"RESET", b"QUIT") and words == 1:
            self.in_transaction.discard(connection)


# -- streams ----------------------------------------------------------------------------------------------------------

class Wanderer:
    """Deals the scripts of a stream out to connections and slots; restlessness: how often the connection changes."""

    def __init__(self, world, nodes, restlessness):
        self.world = world
        self.nodes = nodes
        self.restlessness = restlessness
        self.connection = 0

    def deal(self, commands):
        """The commands of one script, with keys in slots and on connections where a ring answers as one server."""
        world = self.world
        names = {command_name(command.args) for command in commands}
        if names & {b"MULTI", b"WATCH", b"EXEC"} or any(needs_tag(command.args) for command in commands) or \
                world.chance(0.25):
            tag = world.pick(TAGS)
            commands = [Command(with_tag(command.args, tag), command.connection, command.store, command.closes)
                        for command in commands]
        if names & OF_A_CONNECTION or any(command.connection for command in commands):
            return commands
        if world.chance(self.restlessness):
            self._go()
        if len(commands) < 2 or not world.chance(0.2):
            return [command.on(self.connection) for command in commands]
        # Each by another way: every node must know what was done through the one before.
        dealt = []
        for command in commands:
            self._go()
            dealt.append(command.on(self.connection))
        return dealt

    def _go(self):
        choice = self.world.below(self.nodes + 1)
        self.connection = 0 if choice == self.nodes else FIRST_WANDERER + choice
