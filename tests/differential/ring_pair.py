# ring_pair.py - the pair whose first side is a ring of nodes: each connection lives on one of them, chosen at random.
#
# May touch: sockets, through connection.py. Must never know: how commands are made, processes, printing.
# Invariants: where a connection lives depends on the epoch's seed and its number alone, so that a history can be played
# again; on one_node() all connections live on the same node.
# Tests: tests/differential/selftest.
#
# SPDX-License-Identifier: BSD-3-Clause

import contextlib
import random
import time

import compare
import pair as pairs
import resp
import ring
from command import Command

# Connections that read what the node has itself, from this number on; those that look go down from INSPECTOR. More
# nodes would let the two meet.
FIRST_READER = 80
MOST_NODES = 9


class RingSide(pairs.Side):
    """All nodes; server: the ring (servers.Ring)."""

    def __init__(self, server, greeting=()):
        super().__init__(server, greeting)
        self.seed = ""
        self.only_node = None
        self.inspectors = tuple(pairs.INSPECTOR - node for node in range(len(server.nodes)))

    def node_of(self, number):
        nodes = len(self.server.nodes)
        if self.only_node is not None:
            return self.only_node
        if number in self.inspectors:
            return self.inspectors.index(number)
        for first in (ring.FIRST_WANDERER, FIRST_READER):
            if first <= number < first + nodes:
                return number - first
        return random.Random("%s/%d" % (self.seed, number)).randrange(nodes)

    def address(self, number):
        node = self.server.nodes[self.node_of(number)]
        return node.host, node.port


class RingPair(pairs.Pair):
    # As in every cluster.
    DATABASES = 1
    is_ring = True

    def __init__(self, *arguments, **options):
        self.fitter = ring.Fitter()
        super().__init__(*arguments, **options)
        self.INSPECTORS = self.ours.inspectors

    @staticmethod
    def make_side(server, greeting):
        return RingSide(server, greeting)

    def begin(self, seed):
        self.ours.seed = seed

    def prepare(self, command):
        return self.fitter.fit(command, self.ours.only_node is not None)

    def describe(self):
        return "connections by node: " + ", ".join(
            "%d on %d" % (number, self.ours.node_of(number)) for number in sorted(self.ours.connections))

    def reset(self, protocol=None):
        changed = sorted(self.changed_settings)
        super().reset(protocol)
        self.fitter.clear()
        # Settings and pauses belong to a node; the flush of one is for all.
        for inspector in self.INSPECTORS[1:]:
            connection = self.ours.open(inspector)
            for name in changed:
                if name in self.settings[0]:
                    self.ours.ask(connection, [b"CONFIG", b"SET", name, self.settings[0][name]])
            self.ours.ask(connection, [b"CLIENT", b"UNPAUSE"])
            self.reference.open(inspector)

    def drop(self, number):
        super().drop(number)
        self.fitter.forget(number)

    def settle(self):
        # A node lists its own connections.
        if self.ours.only_node is not None:
            super().settle()

    @contextlib.contextmanager
    def fitted(self, tag):
        """Meanwhile all keys get the tag (None: those that need one)."""
        self.fitter.tag = tag
        try:
            yield
        finally:
            self.fitter.tag = None

    @contextlib.contextmanager
    def on_one_node(self, node):
        """Meanwhile there are no connections but to this node; afterwards there are none."""
        self._drop_all()
        self.ours.only_node = node
        try:
            yield
        finally:
            self._drop_all()
            self.ours.only_node = None

    def _drop_all(self):
        for side in self.sides:
            side.drop_all()
        self.queues = {}
        self.fitter.clear()
        self.unsettled = True

    def compare_copies(self):
        """Sooner or later what every node holds itself is what the reference holds: replication brings it there."""
        inspector = self.INSPECTOR
        names = compare.sorted_texts(resp.parse(self.reference.ask(self.reference.open(inspector), [b"KEYS", b"*"])))
        commands = [Command(args, inspector) for name in names for args in ([b"GET", name], [b"PEXPIRETIME", name])]
        wanted = [self.reference.ask(self.reference.open(inspector), command.args) for command in commands]
        for node in range(len(self.ours.server.nodes)):
            connection = self.ours.open(FIRST_READER + node)
            self.ours.ask(connection, [b"READONLY"])
            deadline = self.now() + pairs.SETTLE_TIMEOUT_S
            for command, reference in zip(commands, wanted):
                while True:
                    began = self.now()
                    ours = self.ours.ask(connection, command.args)
                    result = pairs.Result(command, command.plain_args(), ours, reference)
                    reason = self._reason(result)
                    if not reason:
                        break
                    if self.now() > deadline:
                        self.history.append(command)
                        self.differ(result, "the copy of node %d: %s\n%s" % (
                            node, reason, self._peek(command.args[1])))
                    time.sleep(max(0, 0.01 - (self.now() - began)))
                self.compared += 1
            self.ours.drop(FIRST_READER + node)

    def _peek(self, key):
        """What each node says of its own copy."""
        lines = []
        for node in range(len(self.ours.server.nodes)):
            raw = self.ours.ask(self.ours.open(FIRST_READER + node), [b"KV.PEEK", key])
            lines.append("    node %d holds %s" % (node, resp.show(raw, 300)))
        return "\n".join(lines)

    def _reason(self, result):
        if result.ours == result.reference:
            return None
        context = compare.Context(self._slack_ms(), False, (), self.accepted, True)
        return compare.difference(result.args, result.ours, result.reference, context)
